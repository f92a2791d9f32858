//! Damage of every kind, a full disk, and a check of the documented shell recipe.

use std::path::{Path, PathBuf};
use std::process::Command;

use proptest::prelude::*;
use serde_json::{Value, json};

#[cfg(target_os = "linux")]
use self::failing_sync::with_failing_sync;
use super::*;
use greenloop_model::RunId;

#[cfg(target_os = "linux")]
#[path = "../../../tests/fixtures/failing_sync.rs"]
mod failing_sync;

fn keep() -> Redact {
    Box::new(str::to_owned)
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn log_of(events: &[(Actor, String, Value)], path: &Path, finish: bool) -> RunId {
    let run = RunId::generate();
    let mut writer = Writer::create(path, run, keep()).unwrap();
    for (actor, event, data) in events {
        writer.append(actor, event, data.clone()).unwrap();
    }
    if finish {
        writer.close(&Actor::Machine, json!({"outcome": "verified"}), dir_of(path)).unwrap();
    }
    run
}

fn some_events() -> Vec<(Actor, String, Value)> {
    vec![
        (Actor::Machine, "run.started".into(), json!({"title": "deploy", "environment": "local"})),
        (Actor::Author("gpt \"4\"\n".into()), "proposal".into(), json!({"n": 1, "x": [null, 1.5]})),
        (Actor::Reviewer("replay".into()), "review".into(), json!("}{\n\u{2028}ü")),
        (Actor::Human("ada".into()), "approved".into(), Value::Null),
    ]
}

fn dir_of(path: &Path) -> &Path {
    path.parent().unwrap()
}

fn lines(bytes: &[u8]) -> Vec<Vec<u8>> {
    bytes.split_inclusive(|b| *b == b'\n').map(<[u8]>::to_vec).collect()
}

/// What `verify` says of these bytes.
fn judge(folder: &Path, bytes: &[u8]) -> Result<Verified, Fault> {
    let path = folder.join("damaged.jsonl");
    std::fs::write(&path, bytes).unwrap();
    verify(&path)
}

#[test]
fn what_is_written_is_what_is_read() {
    let dir = folder();
    let path = dir.path().join(FILE_NAME);
    let events = some_events();
    let run = log_of(&events, &path, true);
    let records = read(&path).unwrap();
    assert_eq!(records.len(), 5);
    for (record, (actor, event, data)) in records.iter().zip(&events) {
        assert_eq!((&record.actor, &record.event, &record.data), (actor, event, data));
        assert_eq!(record.run, run);
    }
    assert!(records.windows(2).all(|w| w[0].mono_ms <= w[1].mono_ms && w[1].prev == w[0].hash));
    let verified = verify(&path).unwrap();
    assert_eq!(verified.head, records[4].hash);
    assert!(verified.complete && !verified.torn);
}

#[test]
fn the_shell_recipe_of_the_module_doc_verifies_a_log() {
    let dir = folder();
    let path = dir.path().join(FILE_NAME);
    log_of(&some_events(), &path, true);
    let doc = include_str!("lib.rs");
    let recipe: String = doc
        .lines()
        .skip_while(|line| *line != "//! ```sh")
        .skip(1)
        .take_while(|line| *line != "//! ```")
        .map(|line| format!("{}\n", line.trim_start_matches("//!").trim_start()))
        .collect();
    let check = || {
        let output =
            Command::new("bash").args(["-c", &recipe]).current_dir(dir.path()).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(recipe.contains("sha256sum"));
    assert_eq!(check(), "");
    let damaged = std::fs::read_to_string(&path).unwrap().replace("approved", "Approved");
    std::fs::write(&path, damaged).unwrap();
    assert!(check().starts_with("broken: {\"h\":"));
}

#[test]
fn a_torn_tail_at_every_byte_is_cut_saved_and_recorded() {
    let dir = folder();
    let path = dir.path().join(FILE_NAME);
    log_of(&some_events(), &path, false);
    let whole = std::fs::read(&path).unwrap();
    let last = lines(&whole).pop().unwrap().len();
    let start = whole.len() - last;
    for cut in start + 1..whole.len() {
        std::fs::write(&path, &whole[..cut]).unwrap();
        let before = verify(&path).unwrap();
        assert!(before.torn && !before.complete && before.records == 3);
        let (mut writer, records, torn) = Writer::resume(&path, keep()).unwrap();
        let torn = torn.unwrap();
        assert_eq!(std::fs::read(&torn.saved_as).unwrap(), &whole[start..cut]);
        assert_eq!(torn.bytes, (cut - start) as u64);
        assert_eq!(records.len(), 4);
        assert_eq!(records[3].event, TORN_TAIL);
        writer.append(&Actor::Machine, "next", json!({})).unwrap();
        drop(writer);
        let after = read(&path).unwrap();
        assert_eq!(after[..4], records);
        assert_eq!(after[4].event, "next");
        std::fs::remove_file(&torn.saved_as).unwrap();
    }
}

#[test]
fn a_second_torn_tail_does_not_overwrite_the_first() {
    let dir = folder();
    let path = dir.path().join(FILE_NAME);
    log_of(&some_events(), &path, false);
    for n in 1..=3 {
        let mut bytes = std::fs::read(&path).unwrap();
        bytes.extend_from_slice(b"{\"h\":\"half");
        std::fs::write(&path, bytes).unwrap();
        let (_, _, torn) = Writer::resume(&path, keep()).unwrap();
        assert!(torn.unwrap().saved_as.ends_with(format!("audit.jsonl.torn-{n}")));
    }
    assert_eq!(verify(&path).unwrap().records, 4 + 3);
}

#[test]
fn a_log_without_a_whole_record_never_began() {
    let dir = folder();
    let path = dir.path().join(FILE_NAME);
    for bytes in [&b""[..], b"{\"h\":\"12"] {
        std::fs::write(&path, bytes).unwrap();
        let error = Writer::resume(&path, keep()).unwrap_err();
        assert!(matches!(error.kind, AuditErrorKind::Empty), "{error}");
        assert_eq!(verify(&path).unwrap_err().what, FaultKind::Empty);
        assert_eq!(std::fs::read(&path).unwrap(), bytes);
    }
}

#[test]
fn a_log_is_never_overwritten_and_a_broken_one_never_resumed() {
    let dir = folder();
    let path = dir.path().join(FILE_NAME);
    let run = log_of(&some_events(), &path, false);
    assert!(Writer::create(&path, run, keep()).is_err());
    let damaged = std::fs::read_to_string(&path).unwrap().replace("proposal", "Proposal");
    std::fs::write(&path, &damaged).unwrap();
    let error = Writer::resume(&path, keep()).unwrap_err();
    let AuditErrorKind::Fault(fault) = error.kind else { panic!("{error}") };
    assert_eq!((fault.seq, fault.line, fault.what), (1, 2, FaultKind::Hash));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), damaged);
}

#[test]
fn every_string_is_redacted() {
    let dir = folder();
    let path = dir.path().join(FILE_NAME);
    let redact: Redact = Box::new(|text| text.replace("s3cret", "***"));
    let mut writer = Writer::create(&path, RunId::generate(), redact).unwrap();
    let data = json!({"s3cret": ["s3cret", {"a": "x s3cret"}], "n": 1});
    writer.append(&Actor::Author("s3cret".into()), "s3cret", data).unwrap();
    writer.close(&Actor::Human("s3cret".into()), json!(["s3cret"]), dir_of(&path)).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(!text.contains("s3cret") && text.matches("***").count() == 7, "{text}");
}

#[test]
fn time_goes_on_after_a_resume() {
    let dir = folder();
    let path = dir.path().join(FILE_NAME);
    log_of(&some_events(), &path, false);
    std::thread::sleep(std::time::Duration::from_millis(30));
    let (mut writer, records, torn) = Writer::resume(&path, keep()).unwrap();
    assert_eq!(torn, None);
    writer.append(&Actor::Machine, "later", Value::Null).unwrap();
    let last = read(&path).unwrap().pop().unwrap();
    assert!(last.mono_ms >= records[3].mono_ms + 30, "{last:?}");
}

#[test]
fn listing_tolerates_broken_runs() {
    let dir = folder();
    let make = |finish| {
        let run = RunId::generate();
        let folder = dir.path().join(run.to_string());
        std::fs::create_dir(&folder).unwrap();
        let path = folder.join(FILE_NAME);
        let mut writer = Writer::create(&path, run, keep()).unwrap();
        for (actor, event, data) in some_events() {
            writer.append(&actor, &event, data).unwrap();
        }
        if finish {
            writer.close(&Actor::Machine, json!({"outcome": "verified"}), dir_of(&path)).unwrap();
        }
        path
    };
    make(true);
    make(false);
    let broken = make(true);
    let damaged = std::fs::read_to_string(&broken).unwrap().replace("approved", "Approved");
    std::fs::write(&broken, damaged).unwrap();
    std::fs::create_dir(dir.path().join(RunId::generate().to_string())).unwrap();
    std::fs::create_dir(dir.path().join("something else")).unwrap();

    let runs = list(dir.path());
    let seen: Vec<_> = runs
        .iter()
        .map(|r| (r.records, r.complete, r.outcome.as_deref(), r.broken.as_ref().map(|f| f.seq)))
        .collect();
    let expect = [
        (0, false, None, Some(0)),
        (3, false, None, Some(3)),
        (4, false, None, None),
        (5, true, Some("verified"), None),
    ];
    assert_eq!(seen, expect);
    assert_eq!(runs[3].title.as_deref(), Some("deploy"));
    assert_eq!(runs[3].environment.as_deref(), Some("local"));
    assert_eq!(list(&dir.path().join("nowhere")), []);
}

#[test]
fn what_is_no_regular_file_is_refused_and_not_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let pipe = dir.path().join(RunId::generate().to_string());
    let folder = dir.path().join(RunId::generate().to_string());
    std::fs::create_dir_all(&pipe).unwrap();
    std::fs::create_dir_all(folder.join(FILE_NAME)).unwrap();
    let fifo = pipe.join(FILE_NAME);
    let (kind, mode) = (rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU);
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, kind, mode, 0).unwrap();
    for log in [fifo, folder.join(FILE_NAME)] {
        assert_eq!(verify(&log).unwrap_err().what, FaultKind::NotAFile);
        assert!(read(&log).is_err());
        assert!(Writer::resume(&log, Box::new(str::to_owned)).is_err());
    }
    let listed = list(dir.path());
    assert_eq!(listed.len(), 2);
    for run in listed {
        assert_eq!(run.broken.map(|fault| fault.what), Some(FaultKind::NotAFile));
    }
}

/// A run's folder with files beside the log, and the checkpoint of its end.
fn run_folder(dir: &Path) -> (PathBuf, Checkpoint) {
    let run = RunId::generate();
    let folder = dir.join(run.to_string());
    for sub in ["patches", "stages"] {
        std::fs::create_dir_all(folder.join(sub)).unwrap();
    }
    let path = folder.join(FILE_NAME);
    let mut writer = Writer::create(&path, run, keep()).unwrap();
    for (actor, event, data) in some_events() {
        writer.append(&actor, &event, data).unwrap();
    }
    for file in ["patches/patch_1.diff", "stages/1-gates-test.log", "report.html", "events.jsonl"] {
        std::fs::write(folder.join(file), file).unwrap();
    }
    let outcome = json!({"outcome": "verified"});
    let checkpoint = writer.close(&Actor::Machine, outcome, &folder).unwrap();
    (folder, checkpoint)
}

#[test]
fn the_last_record_seals_the_log_and_the_files_beside_it() {
    let dir = folder();
    let (folder, checkpoint) = run_folder(dir.path());
    let verified = verify_run(&folder).unwrap();
    assert_eq!(verified.artifacts, Some(4));
    assert!(verified.log.complete && verified.is_whole_in(&checkpoint));
    // Where a checkpoint is kept is no file that the run leaves.
    std::fs::write(folder.join(CHECKPOINT_FILE), checkpoint.to_string()).unwrap();
    assert_eq!(verify_run(&folder).unwrap(), verified);

    let changed = |path: &str, change| FaultKind::Artifact { path: path.into(), change };
    let fault = || verify_run(&folder).unwrap_err().what;
    let report = folder.join("report.html");
    std::fs::write(&report, "report.htmm").unwrap();
    assert_eq!(fault(), changed("report.html", Change::Edited));
    std::fs::remove_file(&report).unwrap();
    assert_eq!(fault(), changed("report.html", Change::Missing));
    std::os::unix::fs::symlink("events.jsonl", &report).unwrap();
    assert_eq!(fault(), changed("report.html", Change::Missing));
    std::fs::remove_file(&report).unwrap();
    std::fs::write(&report, "report.html").unwrap();
    std::fs::write(folder.join("patches/patch_2.diff"), "").unwrap();
    assert_eq!(fault(), changed("patches/patch_2.diff", Change::Added));
    std::fs::remove_file(folder.join("patches/patch_2.diff")).unwrap();
    assert_eq!(verify_run(&folder).unwrap(), verified);

    let renamed = dir.path().join(RunId::generate().to_string());
    std::fs::rename(&folder, &renamed).unwrap();
    let run = verified.run;
    assert_eq!(verify_run(&renamed).unwrap_err().what, FaultKind::Folder { run });
}

/// The log as somebody leaves it who knows the form: every hash and the seal are made again.
fn forged(log: &[u8], keep: impl Fn(&Record) -> bool, change: impl Fn(&mut Record)) -> Vec<u8> {
    let mut forged = Vec::new();
    let mut prev = record::GENESIS.to_owned();
    let mut seq = 0;
    let path = folder();
    let path = path.path().join(FILE_NAME);
    std::fs::write(&path, log).unwrap();
    for mut record in read(&path).unwrap() {
        if !keep(&record) {
            continue;
        }
        change(&mut record);
        if let Some(sealed) = record.data.get_mut("sealed") {
            sealed["records"] = seq.into();
            sealed["head"] = prev.clone().into();
        }
        let draft = record::Draft {
            seq,
            prev: &prev,
            wall: record.wall,
            mono_ms: record.mono_ms,
            run: record.run,
            actor: &record.actor,
            event: &record.event,
            data: &record.data,
        };
        let (line, hash) = draft.line().unwrap();
        forged.extend(line);
        prev = hash;
        seq += 1;
    }
    forged
}

/// Each way to change a finished log: found by the folder itself where it does not take a
/// rewrite of everything, and always by a checkpoint that is kept elsewhere.
#[test]
fn no_change_of_a_finished_log_passes_its_checkpoint() {
    let dir = folder();
    let (folder, checkpoint) = run_folder(dir.path());
    let path = folder.join(FILE_NAME);
    let log = std::fs::read(&path).unwrap();
    let all = lines(&log);
    let mut found_without = 0;
    let mut tried = 0;
    let mut check = |changed: &[u8], rewritten: bool, what: String| {
        assert_ne!(changed, log, "{what}");
        std::fs::write(&path, changed).unwrap();
        tried += 1;
        let verified = verify_run(&folder);
        let complete = verified.as_ref().is_ok_and(|run| run.log.complete);
        found_without += usize::from(!complete);
        assert!(!complete || rewritten, "{what}");
        assert!(!verified.is_ok_and(|run| run.is_whole_in(&checkpoint)), "{what}");
    };
    for n in 0..all.len() {
        let without = [&all[..n], &all[n + 1..]].concat().concat();
        check(&without, false, format!("record {n} dropped"));
        check(&all[..n].concat(), false, format!("cut before record {n}"));
        let doubled = [&all[..=n], &all[n..]].concat().concat();
        check(&doubled, false, format!("record {n} doubled"));
        let mut flipped = log.clone();
        let middle = all[..n].concat().len() + all[n].len() / 2;
        flipped[middle] ^= 1;
        check(&flipped, false, format!("a bit of record {n} flipped"));
        if n > 0 {
            let mut swapped = all.clone();
            swapped.swap(n - 1, n);
            check(&swapped.concat(), false, format!("record {n} swapped"));
        }
        let (n, last) = (n as u64, all.len() as u64 - 1);
        check(&forged(&log, |r| r.seq != n, |_| {}), n != last, format!("record {n} cut out"));
        let other = |record: &mut Record| {
            if record.seq == n {
                record.event.push('x');
            }
        };
        check(&forged(&log, |_| true, other), n != last, format!("record {n} forged"));
    }
    let mut fork = log.clone();
    fork.extend(forged(&log, |r| r.seq == 0, |_| {}));
    check(&fork, false, "a second beginning".into());
    let unsealed = |record: &mut Record| {
        if let Some(fields) = record.data.as_object_mut() {
            fields.remove("sealed");
        }
    };
    check(&forged(&log, |_| true, unsealed), true, "the seal taken off".into());
    assert_eq!((found_without, tried), (27, 36));
    std::fs::write(&path, &log).unwrap();
    assert!(verify_run(&folder).unwrap().is_whole_in(&checkpoint));
}

/// A tmpfs of 256 KiB, unmounted when dropped; `None` where mounting is not allowed.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(at: &Path) -> Option<Self> {
        let status = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=256k", "tmpfs"])
            .arg(at)
            .output()
            .ok()?
            .status;
        status.success().then(|| Self(at.to_owned()))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _still_mounted = Command::new("umount").arg(&self.0).output();
    }
}

#[test]
fn a_full_disk_leaves_whole_records_and_room_for_the_last() {
    for preallocates in [true, false] {
        let dir = folder();
        let Some(disk) = SmallDisk::mount(dir.path()) else {
            eprintln!("SKIPPED: a tmpfs cannot be mounted here, so no disk was filled");
            return;
        };
        let path = disk.0.join(FILE_NAME);
        let mut writer = Writer::create(&path, RunId::generate(), keep()).unwrap();
        if !preallocates {
            writer.forget_preallocation();
        }
        let filler = json!("x".repeat(9_000));
        let mut taken = 0;
        let error = loop {
            match writer.append(&Actor::Machine, "filler", filler.clone()) {
                Ok(_) => taken += 1,
                Err(error) => break error,
            }
            assert!(taken < 100, "the disk never filled");
        };
        assert!(matches!(error.kind, AuditErrorKind::Io { .. }), "{error}");
        let verified = verify(&path).unwrap();
        assert_eq!((verified.records, verified.torn), (taken, false));
        // Whatever else eats the disk meanwhile cannot take the reserved space.
        if preallocates {
            let _full = std::fs::write(disk.0.join("other"), vec![1u8; 300 << 10]);
        }
        let again = writer.append(&Actor::Machine, "small", Value::Null).unwrap_err();
        assert!(matches!(again.kind, AuditErrorKind::Poisoned), "{again}");
        writer
            .close(&Actor::Machine, json!({"outcome": "the audit log is full"}), dir_of(&path))
            .unwrap();
        let verified = verify(&path).unwrap();
        assert_eq!((verified.records, verified.complete), (taken + 1, true));
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_record_that_cannot_be_synced_does_not_count_and_ends_the_log() {
    let dir = folder();
    let path = dir.path().join(FILE_NAME);
    let mut writer = Writer::create(&path, RunId::generate(), keep()).unwrap();
    for event in ["run.started", "input"] {
        writer.append(&Actor::Machine, event, Value::Null).unwrap();
    }
    let before = std::fs::read(&path).unwrap();
    let head = writer.head().to_owned();
    let failed = |error: AuditError| match error.kind {
        AuditErrorKind::Io { source, .. } => source.raw_os_error() == Some(libc::EIO),
        other => panic!("{other:?}"),
    };
    let error = with_failing_sync(|| writer.append(&Actor::Machine, "intent", Value::Null));
    assert!(failed(error.unwrap_err()));
    assert_eq!((std::fs::read(&path).unwrap(), writer.head()), (before.clone(), head.as_str()));
    // Also when the disk is well again: what it lost meanwhile is unknown.
    let again = writer.append(&Actor::Machine, "intent", Value::Null).unwrap_err();
    assert!(matches!(again.kind, AuditErrorKind::Poisoned), "{again}");
    let closed = with_failing_sync(|| writer.close(&Actor::Machine, json!({}), dir.path()));
    assert!(failed(closed.unwrap_err()));
    assert_eq!(std::fs::read(&path).unwrap(), before);
    let verified = verify(&path).unwrap();
    assert_eq!((verified.records, verified.complete, verified.torn), (2, false, false));

    let other = dir.path().join("other.jsonl");
    let run = RunId::generate();
    assert!(failed(with_failing_sync(|| Writer::create(&other, run, keep())).unwrap_err()));
}

#[test]
fn closing_gives_the_reserved_space_back() {
    use std::os::unix::fs::MetadataExt;
    let dir = folder();
    let path = dir.path().join(FILE_NAME);
    log_of(&some_events(), &path, false);
    let open = std::fs::metadata(&path).unwrap();
    let closed = dir.path().join("closed.jsonl");
    log_of(&some_events(), &closed, true);
    let blocks = std::fs::metadata(&closed).unwrap().blocks();
    assert!(open.len() < 4096, "preallocation does not change the size");
    assert!(blocks * 512 <= 16 << 10, "{blocks} blocks are left");
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
        any::<char>().prop_map(|c| Value::from(c.to_string())),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-z\"\\\\]{0,4}", inner, 0..4)
                .prop_map(|m| Value::Object(m.into_iter().collect())),
        ]
    })
}

fn any_events() -> impl Strategy<Value = Vec<(Actor, String, Value)>> {
    let actor = prop_oneof![
        Just(Actor::Machine),
        "\\PC{0,8}".prop_map(Actor::Author),
        "\\PC{0,8}".prop_map(Actor::Reviewer),
        "\\PC{0,8}".prop_map(Actor::Human),
    ];
    prop::collection::vec((actor, "[a-z.]{1,10}", any_json()), 1..6)
}

#[derive(Debug, Clone)]
enum Damage {
    Byte { at: prop::sample::Index, with: u8 },
    Remove(prop::sample::Index),
    Swap(prop::sample::Index, prop::sample::Index),
    Repeat { which: prop::sample::Index, at: prop::sample::Index },
    Insert { at: prop::sample::Index, line: String },
    Truncate(prop::sample::Index),
}

fn any_damage() -> impl Strategy<Value = Damage> {
    let index = any::<prop::sample::Index>;
    prop_oneof![
        4 => (index(), 1..=255u8).prop_map(|(at, with)| Damage::Byte { at, with }),
        1 => index().prop_map(Damage::Remove),
        1 => (index(), index()).prop_map(|(a, b)| Damage::Swap(a, b)),
        1 => (index(), index()).prop_map(|(which, at)| Damage::Repeat { which, at }),
        1 => (index(), "\\PC{0,20}").prop_map(|(at, line)| Damage::Insert { at, line }),
        2 => index().prop_map(Damage::Truncate),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn any_damage_is_found_and_named(events in any_events(), damage in any_damage()) {
        let dir = folder();
        let path = dir.path().join(FILE_NAME);
        log_of(&events, &path, true);
        let bytes = std::fs::read(&path).unwrap();
        let intact = lines(&bytes);
        let records = intact.len() as u64;
        prop_assert_eq!(judge(dir.path(), &bytes).map(|v| v.records), Ok(records));
        let line_at = |offset: usize| bytes[..offset].iter().filter(|b| **b == b'\n').count() as u64;

        // The first record that is not what was written there; `None` where nothing changed.
        let (damaged, first) = match damage {
            Damage::Byte { at, with } => {
                let at = at.index(bytes.len());
                let mut damaged = bytes.clone();
                damaged[at] ^= with;
                (damaged, Some(line_at(at)))
            }
            Damage::Remove(at) => {
                let at = at.index(intact.len());
                let mut damaged = intact.clone();
                damaged.remove(at);
                (damaged.concat(), Some(at as u64))
            }
            Damage::Swap(a, b) => {
                let (a, b) = (a.index(intact.len()), b.index(intact.len()));
                let mut damaged = intact.clone();
                damaged.swap(a, b);
                (damaged.concat(), (a != b).then_some(a.min(b) as u64))
            }
            Damage::Repeat { which, at } => {
                let (which, at) = (which.index(intact.len()), at.index(intact.len() + 1));
                let mut damaged = intact.clone();
                damaged.insert(at, intact[which].clone());
                // Beside itself, the copy is one or the other.
                let first = if at == which { at + 1 } else { at };
                (damaged.concat(), Some(first as u64))
            }
            Damage::Insert { at, line } => {
                let at = at.index(intact.len() + 1);
                let mut damaged = intact.clone();
                damaged.insert(at, format!("{line}\n").into_bytes());
                (damaged.concat(), Some(at as u64))
            }
            Damage::Truncate(at) => {
                let at = at.index(bytes.len());
                let whole = line_at(at);
                match judge(dir.path(), &bytes[..at]) {
                    Ok(verified) => {
                        prop_assert!(!verified.complete);
                        prop_assert_eq!(verified.records, whole);
                        let at_boundary = at == 0 || bytes[at - 1] == b'\n';
                        prop_assert_eq!(verified.torn, !at_boundary);
                    }
                    Err(fault) => prop_assert_eq!((fault.seq, whole), (0, 0)),
                }
                return Ok(());
            }
        };
        match (judge(dir.path(), &damaged), first) {
            (Ok(verified), None) => prop_assert!(verified.complete),
            (Err(fault), Some(first)) => {
                prop_assert_eq!((fault.seq, fault.line), (first, first + 1), "{}", fault);
            }
            // Without its last record, or with that record's `\n` changed, a log looks like one
            // whose process died; it is never taken for a complete one.
            (Ok(verified), Some(first)) => {
                prop_assert!(!verified.complete && verified.records == first);
                prop_assert_eq!(first, records - 1);
            }
            (Err(fault), None) => prop_assert!(false, "{fault}"),
        }
    }
}

#[test]
fn a_log_that_was_deleted_takes_no_more_records() {
    let dir = folder();
    let path = dir.path().join(FILE_NAME);
    let mut writer = Writer::create(&path, RunId::generate(), keep()).unwrap();
    writer.append(&Actor::Machine, "run.started", Value::Null).unwrap();
    std::fs::remove_file(&path).unwrap();
    let error = writer.append(&Actor::Machine, "input", Value::Null).unwrap_err();
    assert!(matches!(error.kind, AuditErrorKind::Io { .. }), "{error:?}");
}

#[test]
fn a_living_log_is_checkpointed_and_what_was_kept_finds_a_rewrite() {
    let folder = tempfile::tempdir().unwrap();
    let run = RunId::generate();
    let folder = folder.path().join(run.to_string());
    std::fs::create_dir(&folder).unwrap();
    let write = |event: &str| {
        let path = folder.join(FILE_NAME);
        let _none_yet = std::fs::remove_file(&path);
        let mut writer = Writer::create(&path, run, Box::new(str::to_owned)).unwrap();
        let kept = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
        let keep = std::sync::Arc::clone(&kept);
        writer.checkpoint_every(
            std::num::NonZeroU64::new(3).unwrap(),
            Box::new(move |checkpoint| keep.lock().unwrap().push(checkpoint)),
        );
        for n in 0..7 {
            let event = if n == 1 { event } else { "x" };
            writer.append(&Actor::Machine, event, serde_json::json!({"n": n})).unwrap();
        }
        drop(writer);
        kept.lock().unwrap().clone()
    };
    let kept = write("as it was");
    assert_eq!(kept.iter().map(|checkpoint| checkpoint.records).collect::<Vec<_>>(), [3, 6]);
    let log = verify_run(&folder).unwrap();
    assert!(kept.iter().all(|checkpoint| log.extends(checkpoint)));

    // Written again from the second record on, with every hash computed again.
    write("as somebody wants it");
    let forged = verify_run(&folder).unwrap();
    assert!(!kept.iter().any(|checkpoint| forged.extends(checkpoint)));
}

#[test]
fn a_record_that_waits_for_the_next_is_in_the_log_at_once_and_in_order() {
    let dir = folder();
    let path = dir.path().join("audit.jsonl");
    let mut log = Writer::create(&path, RunId::generate(), keep()).unwrap();
    log.append_with_next(&Actor::Machine, "input", json!({"n": 1})).unwrap();
    let records = || std::fs::read_to_string(&path).unwrap().matches("\"input\"").count();
    assert_eq!(records(), 1);
    let intent = log.append(&Actor::Machine, "intent", json!({"n": 2})).unwrap();
    assert_eq!(intent.seq, 1);
    drop(log);
    let (_log, records, torn) = Writer::resume(&path, keep()).unwrap();
    assert_eq!(records.iter().map(|it| it.event.as_str()).collect::<Vec<_>>(), ["input", "intent"]);
    assert_eq!(torn, None);
    // Only the second of the two waits for the disk.
    let (mut log, ..) = Writer::resume(&path, keep()).unwrap();
    with_failing_sync(|| {
        log.append_with_next(&Actor::Machine, "input", json!({})).unwrap();
        log.append(&Actor::Machine, "intent", json!({})).unwrap_err();
    });
}
