//! The functions of `fuzz/` with bounded inputs: seeds that have the shape of the real thing,
//! damaged in the ways that files and messages are. `PROPTEST_CASES` makes it longer.

use proptest::prelude::*;
use proptest::sample::Index;

#[path = "../../../fuzz/src/lib.rs"]
#[expect(unreachable_pub, reason = "public for the fuzz targets, which are another package")]
mod entries;

const PATCHES: &[&str] = &[
    "diff --git a/a.txt b/a.txt\n--- a/a.txt\n+++ b/a.txt\n@@ -1,3 +1,3 @@\n one\n-two\n+TWO\n three\n",
    "why\n\na.txt\n```\n<<<<<<< SEARCH\ntwo\n=======\n2\n>>>>>>> REPLACE\n```\n",
    "*** Begin Patch\n*** Update File: a.txt\n@@\n-two\n+2\n*** Add File: c.txt\n+new\n*** End Patch\n",
    "src/a.rs\n```rust\nfn a() -> u32 {\n    2\n}\n```\n",
    "diff --git a/b.txt b/c.txt\nsimilarity index 90%\nrename from b.txt\nrename to c.txt\n",
];
const LOGS: &[&str] = &[
    "error[E0308]: mismatched types\n --> src/a.rs:2:5\n  |\n2 |     x\n  |     ^ expected `u32`\n",
    "\x1b[31mFAILED\x1b[0m tests/test_a.py::test_b - assert 1 == 2\nFuzz-Known-\\\nValue-1\n",
    "password=hunter2hunter9\r\n-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEF\n",
    "RnV6ei1Lbm93bi1WYWx1ZS0x ghp_aB3dE6gH9jK2mN5pQ8sT\n1vW4yZ7bC0dF3gH6xx %46uzz\n",
];
const CONFIGS: &[&str] = &[
    "environments: {local: {url: 'http://127.0.0.1:1'}}\ndeploy: {method: process, process: {command: ./x}}\n",
    "quality_gates:\n  - {name: a, command: make, needs: [b]}\n  - {name: b, command: make}\n",
    "safety: {rules: [{id: a, decision: forbid, reason: r, paths: [x/]}], max_files: 3}\n",
];
const AUDITS: &[&str] = &[
    "{\"h\":\"aa\",\"body\":{\"seq\":0,\"prev\":\"00\",\"wall\":\"2026-11-02T10:15:30.123Z\"}}\n",
    "greenloop/audit/01a22a36-7133-7717-8214-94e9a960ee7b\n18\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n",
    "greenloop-audit.01a22a36-7133-7717-8214-94e9a960ee7b.18.CsUYapGGPo4dkMgIAUqom_Xajj7h2fB2MPA3j2jxq2I\n\
     greenloop-audit-sig.Az3grlgtzPICa5OS8npVmf1Myq_5IZniMp-ZJurmRDeOoRDe4URYN7u5_Zhcyv2q1gGzGku9nTo-zyWE-xeMcTOAYQ8\n",
];
const BODIES: &[&str] = &[
    r#"{"agent":"a","role":"r","capabilities":["x"],"max":3,"wait_seconds":10}"#,
    r#"{"commit":"abc","summary":"done"}"#,
    r#"{"reason":"r","class":"code","fingerprint":"00"}"#,
    r#"{"name":"g","repository":"r","tasks":[{"id":"a","title":"t","depends_on":["b"]},{"id":"b","title":"u"}]}"#,
];
const TASKS: &[&str] = &[
    "name: g\nrepository: ./r\ntasks:\n  - {id: a, title: A, depends_on: [b]}\n  - {id: b, title: B}\n",
    "epics:\n  - {id: e, title: E}\ntasks: [{id: a, title: A, epic: e, points: 3}]\n",
];

/// What happens to a seed.
#[derive(Debug, Clone)]
enum Damage {
    Flip(Index, u8),
    Cut(Index, Index),
    Insert(Index, Vec<u8>),
    Repeat(Index, Index, u16),
    Append(Index),
}

fn damage() -> impl Strategy<Value = Damage> {
    let odd = prop_oneof![
        Just(b"\0".to_vec()),
        Just("\u{202e}\u{200b}\u{feff}".into()),
        Just(b"&a *a <<: ~".to_vec()),
        Just(b"{[\"'`%\\".to_vec()),
        Just(b"\r\n\r".to_vec()),
        Just(b"../../etc/passwd".to_vec()),
        Just(b"18446744073709551616".to_vec()),
        proptest::collection::vec(any::<u8>(), 1..40),
    ];
    prop_oneof![
        (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Damage::Flip(at, byte)),
        (any::<Index>(), any::<Index>()).prop_map(|(a, b)| Damage::Cut(a, b)),
        (any::<Index>(), odd).prop_map(|(at, bytes)| Damage::Insert(at, bytes)),
        (any::<Index>(), any::<Index>(), 2..300u16).prop_map(|(a, b, n)| Damage::Repeat(a, b, n)),
        any::<Index>().prop_map(Damage::Append),
    ]
}

fn damaged(seeds: &'static [&'static str]) -> impl Strategy<Value = Vec<u8>> {
    let whole = (any::<Index>(), proptest::collection::vec(damage(), 0..8)).prop_map(
        move |(seed, damages)| {
            let mut bytes = seed.get(seeds).as_bytes().to_vec();
            for damage in damages {
                apply(&mut bytes, damage, seeds);
                bytes.truncate(48 << 10);
            }
            bytes
        },
    );
    prop_oneof![9 => whole, 1 => proptest::collection::vec(any::<u8>(), 0..2000)]
}

fn apply(bytes: &mut Vec<u8>, damage: Damage, seeds: &[&str]) {
    let length = bytes.len();
    let range = |a: Index, b: Index| {
        let (a, b) = (a.index(length + 1), b.index(length + 1));
        a.min(b)..a.max(b)
    };
    match damage {
        Damage::Flip(at, byte) if length > 0 => bytes[at.index(length)] ^= byte,
        Damage::Flip(..) => {}
        Damage::Cut(a, b) => drop(bytes.drain(range(a, b))),
        Damage::Insert(at, new) => {
            let at = at.index(length + 1);
            bytes.splice(at..at, new);
        }
        Damage::Repeat(a, b, times) => {
            let range = range(a, b);
            let part = bytes[range.clone()].repeat(usize::from(times));
            bytes.splice(range.end..range.end, part);
        }
        Damage::Append(seed) => bytes.extend_from_slice(seed.get(seeds).as_bytes()),
    }
}

/// Few cases by default: a debug build scans logs slowly.
fn cases() -> ProptestConfig {
    let config = ProptestConfig::default();
    match std::env::var_os("PROPTEST_CASES") {
        Some(_) => config,
        None => ProptestConfig { cases: 64, ..config },
    }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn any_patch_is_understood_or_refused(data in damaged(PATCHES)) {
        entries::patch(&data);
    }

    #[test]
    fn any_log_is_read_and_redacted(data in damaged(LOGS)) {
        entries::extract(&data);
    }

    #[test]
    fn any_configuration_is_read_or_refused_in_short(data in damaged(CONFIGS)) {
        entries::config(&data);
    }

    #[test]
    fn any_audit_log_is_verified_or_refused(data in damaged(AUDITS)) {
        entries::audit(&data);
    }

    #[test]
    fn any_body_is_read_or_refused(data in damaged(BODIES)) {
        entries::hub_body(&data);
    }

    #[test]
    fn any_task_file_is_read_or_refused_in_short(data in damaged(TASKS)) {
        entries::tasks(&data);
    }
}

/// Inputs that were found, and what of them did not hold then.
#[test]
fn what_was_found_once_holds() {
    // A file of 35 KB with a mistake in every line had an error of 329 KB.
    let tasks = "  - {id: a b, title: '', depends_on: [zz], points: -1}\n".repeat(660);
    entries::tasks(format!("name: g\ntasks:\n{tasks}").as_bytes());
    let gates = "  - {nam: a, comand: '', need: [zz], timeout: -1}\n".repeat(700);
    entries::config(format!("quality_gates:\n{gates}").as_bytes());
    let keys: String = (0..2000).map(|n| format!("unknown_key_{n}: 1\n")).collect();
    entries::config(keys.as_bytes());
    assert!(serde_json::from_str::<serde_json::Value>(BODIES.first().unwrap()).is_ok());
}
