//! Bundles that are read as they were written, and everything else, which is refused.

use std::collections::BTreeSet;

use super::container::{packed, seal};
use super::*;
use greenloop_audit::{FILE_NAME, SigningKey, VerifyingKey, Writer, verify_run};
use greenloop_model::{
    Evidence, Failure, FailureClass, Fingerprint, Review, ReviewVerdict, Risk, RunId, Stage,
};
use proptest::prelude::*;

fn key() -> SigningKey {
    SigningKey::generate("heal-job").unwrap()
}

fn failure() -> Failure {
    Failure {
        stage: Stage::Gates,
        name: "command".to_owned(),
        headline: "add 2 3 is -1".to_owned(),
        class: FailureClass::Code,
        fingerprint: Fingerprint::from_digest([1; 8]),
        flaky_suspect: false,
        symptoms: BTreeSet::new(),
        evidence: Evidence::default(),
    }
}

fn ran(iteration: u32, passed: &[&str], failed: &[&str]) -> TestsRan {
    let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    TestsRan {
        iteration,
        gate: "command".to_owned(),
        judge: "tree".to_owned(),
        passed: set(passed),
        failed: set(failed),
        skipped: BTreeSet::new(),
        cut: false,
    }
}

/// A bundle of a real, closed audit log.
fn bundle(key: &SigningKey) -> Bundle {
    let folder = tempfile::tempdir().unwrap();
    let run = RunId::generate();
    let folder = folder.path().join(run.to_string());
    std::fs::create_dir(&folder).unwrap();
    let log = folder.join(FILE_NAME);
    let audit = Writer::create(&log, run, Box::new(str::to_owned)).unwrap();
    let data = serde_json::json!({"outcome": "verified"});
    audit.close(&greenloop_audit::Actor::Machine, data, &folder).unwrap();
    let verified = verify_run(&folder).unwrap();
    let review = Review {
        verdict: ReviewVerdict::Approve,
        risk: Risk::Low,
        reason: "right".to_owned(),
        suggestion: None,
        reviewer: "m".to_owned(),
    };
    let commit = "1111111111111111111111111111111111111111";
    let manifest = Manifest {
        version: VERSION,
        greenloop: "0.1.0".to_owned(),
        run,
        created: jiff::Timestamp::UNIX_EPOCH,
        base: Revision { commit: commit.parse().unwrap(), tree: commit.parse().unwrap() },
        result: commit.parse().unwrap(),
        command: "sh test.sh".to_owned(),
        directory: None,
        failure: Box::new(failure()),
        repairs: vec![Repair {
            iteration: 1,
            failure: "add 2 3 is -1".to_owned(),
            reason: "It subtracted.".to_owned(),
            review,
            confirmed_by: None,
        }],
        proof: None,
        tests: vec![ran(1, &["a"], &["b"]), ran(2, &["a", "b"], &[])],
        policy: "0".repeat(64),
        author: "m".to_owned(),
        audit: AuditHead { records: verified.log.records, head: verified.log.head.clone() },
    };
    Bundle {
        manifest,
        patch: b"diff --git a/a b/a\n".to_vec(),
        summary: b"# Healed\n".to_vec(),
        audit_log: std::fs::read(&log).unwrap(),
        checkpoint: verified.checkpoint().signed(key).to_string().into_bytes(),
    }
}

#[test]
fn a_bundle_is_read_as_it_was_written_by_its_key_alone() {
    let key = key();
    let bundle = bundle(&key);
    let file = bundle.seal(&key).unwrap();
    assert_eq!(file, bundle.seal(&key).unwrap(), "the same content makes the same bytes");
    assert_eq!(Bundle::open(&file, &key.public()).unwrap(), bundle);
    // A key of the same name is another key.
    let other = self::key().public();
    assert!(matches!(Bundle::open(&file, &other), Err(BundleError::Signature { .. })));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("b");
    std::fs::write(&path, &file).unwrap();
    assert_eq!(Bundle::read(&path, &key.public()).unwrap(), bundle);
    assert!(matches!(Bundle::read(folder.path(), &key.public()), Err(BundleError::NotAFile)));
}

#[test]
fn any_changed_byte_any_cut_and_anything_appended_is_refused() {
    let key = key();
    let file = bundle(&key).seal(&key).unwrap();
    let public = key.public();
    let refused = |bytes: &[u8]| Bundle::open(bytes, &public).is_err();
    for at in 0..file.len() {
        for flip in [0x01, 0x20, 0x80] {
            let mut changed = file.clone();
            changed[at] ^= flip;
            assert!(refused(&changed), "byte {at} with {flip:#x}");
        }
        assert!(refused(&file[..at]), "cut to {at}");
    }
    for more in [&b"\0"[..], b"\n", b"x", &file] {
        assert!(refused(&[&file[..], more].concat()), "{} bytes appended", more.len());
    }
    assert!(refused(b""));
    assert!(refused(&vec![0; 1 << 20]));
}

proptest! {
    #[test]
    fn other_bytes_are_refused_without_a_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..400),
        head in proptest::bool::ANY,
    ) {
        let key: VerifyingKey =
            "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW".parse().unwrap();
        let start: &[u8] = if head { b"greenloop/bundle/1\n" } else { b"" };
        prop_assert!(Bundle::open(&[start, &bytes].concat(), &key).is_err());
    }
}

/// Whoever holds the key may still write what no bundle is.
#[test]
fn a_signed_archive_with_other_entries_is_refused() {
    let key = key();
    let whole = bundle(&key);
    let manifest = serde_json::to_vec(&whole.manifest).unwrap();
    let good: Vec<(&str, &[u8])> = vec![
        ("manifest.json", &manifest),
        ("patch.diff", &whole.patch),
        ("summary.md", &whole.summary),
        ("audit.jsonl", &whole.audit_log),
        ("audit.checkpoint", &whole.checkpoint),
    ];
    let run = whole.manifest.run;
    let opened = |payload: &[u8]| Bundle::open(&seal(run, payload, &key), &key.public());
    assert_eq!(opened(&packed(&good).unwrap()).unwrap(), whole);
    let with = |at: usize, entry: (&'static str, &'static [u8])| {
        let mut entries = good.clone();
        entries.insert(at, entry);
        packed(&entries)
    };
    for (entries, says) in [
        (with(5, ("extra", b"x")), "one entry too many"),
        (with(2, ("patch.diff", b"x")), "`summary.md` is due"),
        (with(0, ("sub/manifest.json", b"x")), "`manifest.json` is due"),
        (packed(&good[..4]), "`audit.checkpoint` is missing"),
        (packed(&[]), "`manifest.json` is missing"),
    ] {
        let error = opened(&entries.unwrap()).unwrap_err().to_string();
        assert!(error.contains(says), "{says}: {error}");
    }
    // Names that lead elsewhere, and entries that are no files, written byte by byte.
    let manifest_len = manifest.len() as u64;
    for (name, kind, size, says) in [
        ("../manifest.json", tar::EntryType::Regular, manifest_len, "is due"),
        ("/etc/passwd", tar::EntryType::Regular, manifest_len, "is due"),
        ("manifest.json", tar::EntryType::Symlink, 0, "not a regular file"),
        ("manifest.json", tar::EntryType::Link, 0, "not a regular file"),
        ("manifest.json", tar::EntryType::Directory, 0, "not a regular file"),
        ("manifest.json", tar::EntryType::GNULongName, manifest_len, "not a regular file"),
        ("manifest.json", tar::EntryType::XHeader, manifest_len, "not a regular file"),
        ("manifest.json", tar::EntryType::Regular, 1 << 40, "larger than"),
    ] {
        let mut header = tar::Header::new_ustar();
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        if kind == tar::EntryType::Symlink {
            header.set_link_name("/etc/passwd").unwrap();
        }
        header.set_entry_type(kind);
        header.set_size(size);
        header.set_cksum();
        let mut archive = header.as_bytes().to_vec();
        archive.extend(&manifest);
        archive.resize(archive.len().next_multiple_of(512), 0);
        let error = opened(&gzip(&archive)).unwrap_err().to_string();
        assert!(error.contains(says), "{name} {kind:?}: {error}");
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write as _;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn a_signed_payload_that_is_more_than_an_archive_is_refused() {
    let key = key();
    let whole = bundle(&key);
    let run = whole.manifest.run;
    let file = whole.seal(&key).unwrap();
    let payload_at = file.windows(2).position(|two| two == [0x1f, 0x8b]).unwrap();
    let payload = file[payload_at..].to_vec();
    let opened = |payload: &[u8]| Bundle::open(&seal(run, payload, &key), &key.public());
    assert!(opened(&payload).is_ok());
    for (what, payload) in [
        ("a second stream", [&payload[..], &gzip(b"more")].concat()),
        ("a byte", [&payload[..], b"x"].concat()),
        ("cut", payload[..payload.len() - 9].to_vec()),
        ("not compressed", b"manifest.json".to_vec()),
        ("nothing", Vec::new()),
        // 200 MiB of zeros in 200 KiB: the archive's end, and what follows is bounded.
        ("a bomb", gzip(&vec![1; 200 << 20])),
    ] {
        assert!(opened(&payload).is_err(), "{what}");
    }
    // Another run's first lines over the same archive.
    let moved = seal(RunId::generate(), &payload, &key);
    let error = Bundle::open(&moved, &key.public()).unwrap_err();
    assert!(matches!(error, BundleError::Contradiction(_)), "{error}");
}

#[test]
fn parts_that_do_not_belong_together_are_refused() {
    let key = key();
    let whole = bundle(&key);
    let changed = |change: &dyn Fn(&mut Bundle)| {
        let mut bundle = whole.clone();
        change(&mut bundle);
        Bundle::open(&bundle.seal(&key).unwrap(), &key.public())
    };
    let others = bundle(&key);
    let unsigned = bundle(&self::key()).checkpoint;
    assert!(changed(&|_| {}).is_ok());
    assert!(changed(&|it| it.checkpoint = b"x".to_vec()).is_err());
    assert!(changed(&|it| it.checkpoint.clone_from(&others.checkpoint)).is_err());
    assert!(changed(&|it| it.checkpoint.clone_from(&unsigned)).is_err());
    assert!(changed(&|it| it.manifest.audit.records += 1).is_err());
    assert!(changed(&|it| it.audit_log.clone_from(&others.audit_log)).is_err());
    assert!(changed(&|it| it.audit_log.truncate(100)).is_err());
    assert!(changed(&|it| it.audit_log.clear()).is_err());
    let later = changed(&|it| it.manifest.version += 1).unwrap_err();
    assert!(matches!(later, BundleError::Version { found: 2, known: 1 }), "{later}");
}

#[test]
fn the_tests_that_ran_can_speak_against_a_repair() {
    let key = key();
    let mut manifest = bundle(&key).manifest;
    assert_eq!(manifest.test_complaint(), None);
    for (after, says) in [
        (ran(2, &["a"], &["b"]), Some("`b` of `command` fails")),
        (ran(2, &["b"], &[]), Some("`a` of `command` no longer passes")),
        // Nothing is named.
        (ran(2, &[], &[]), None),
    ] {
        manifest.tests[1] = after;
        let complaint = manifest.test_complaint();
        assert_eq!(complaint.is_some(), says.is_some(), "{complaint:?}");
        assert!(complaint.unwrap_or_default().contains(says.unwrap_or_default()));
    }
    assert_eq!(manifest.unreviewed(), None);
    manifest.repairs[0].review.verdict = ReviewVerdict::Reject;
    assert!(manifest.unreviewed().is_some());
    manifest.repairs.clear();
    assert!(manifest.unreviewed().is_some());
}
