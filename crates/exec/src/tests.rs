//! Real processes.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{Command, Marker, Outcome, Program, children_marked, kill_marked, run};
use greenloop_model::{Exit, RunId};

fn shell(line: &str, run: RunId) -> Command {
    Command {
        program: Program::Shell(line.to_owned()),
        cwd: std::env::temp_dir(),
        env: Vec::new(),
        env_remove: Vec::new(),
        timeout: None,
        marker: Marker::new(run),
        confinement: None,
    }
}

async fn collect(command: &Command, cancel: &CancellationToken) -> (Outcome, Vec<u8>) {
    let mut bytes = Vec::new();
    let outcome = run(command, &mut |piece| bytes.extend_from_slice(piece), cancel).await;
    (outcome, bytes)
}

fn alive(run: RunId) -> usize {
    children_marked(format!("GREENLOOP_RUN={run}").as_bytes()).len()
}

#[tokio::test]
async fn tells_how_a_command_ended() {
    for (line, expect) in [
        ("exit 0", Exit::Code(0)),
        ("exit 3", Exit::Code(3)),
        ("kill -SEGV $$", Exit::Signal(11)),
        ("true; no-such-program-here", Exit::Code(127)),
    ] {
        let (outcome, _) =
            collect(&shell(line, RunId::generate()), &CancellationToken::new()).await;
        assert_eq!(outcome.exit, expect, "{line}");
        assert!(!outcome.cancelled && outcome.leftovers == 0, "{line}");
    }
}

#[tokio::test]
async fn both_outputs_interleave_and_need_not_be_text() {
    let line = r"printf 'a\n'; printf 'b\377\n' >&2; printf 'c\n'";
    let (outcome, bytes) =
        collect(&shell(line, RunId::generate()), &CancellationToken::new()).await;
    assert_eq!(bytes, b"a\nb\xff\nc\n");
    assert_eq!(outcome.output_bytes, 7);
}

#[tokio::test]
async fn a_command_that_is_quiet_is_reported_by_no_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let seen = folder.path().join("seen");
    let line = format!("printf a; until [ -e {} ]; do sleep 0.05; done; printf b", seen.display());
    let mut written = Vec::new();
    let mut output = |bytes: &[u8]| {
        if bytes.is_empty() {
            std::fs::write(&seen, "").unwrap();
        }
        written.push(bytes.to_vec());
    };
    let command =
        Command { timeout: Some(Duration::from_secs(120)), ..shell(&line, RunId::generate()) };
    let outcome = run(&command, &mut output, &CancellationToken::new()).await;
    assert_eq!(outcome.exit, Exit::Code(0));
    assert_eq!(written, [b"a".to_vec(), Vec::new(), b"b".to_vec()]);
}

#[tokio::test]
async fn what_cannot_start_says_why() {
    let run_id = RunId::generate();
    let missing =
        Command { program: Program::Argv(vec!["/no/such/program".into()]), ..shell("", run_id) };
    let nowhere = Command { cwd: "/no/such/folder".into(), ..shell("true", run_id) };
    let empty = Command { program: Program::Argv(Vec::new()), ..shell("", run_id) };
    for (command, expect) in
        [(missing, "/no/such/program"), (nowhere, "/no/such/folder"), (empty, "empty command")]
    {
        let (outcome, _) = collect(&command, &CancellationToken::new()).await;
        match outcome.exit {
            Exit::NotStarted(reason) => assert!(reason.contains(expect), "{reason}"),
            other => panic!("{other}"),
        }
    }
}

#[tokio::test]
async fn the_environment_is_as_said() {
    let run_id = RunId::generate();
    let mut command = shell("echo \"$ADDED/${PATH:+set}/${HOME-withheld}/$GREENLOOP_RUN\"", run_id);
    command.env = vec![("ADDED".into(), "x".into())];
    command.env_remove = vec!["HOME".into()];
    let (_, bytes) = collect(&command, &CancellationToken::new()).await;
    assert_eq!(String::from_utf8_lossy(&bytes), format!("x/set/withheld/{run_id}\n"));
}

#[tokio::test]
async fn a_timeout_ends_the_whole_group_and_its_escapees() {
    let run_id = RunId::generate();
    let mut command = shell(
        "sleep 300 & setsid sleep 300 & (trap '' TERM; sleep 300) & trap '' TERM; echo up; \
         sleep 300; sleep 300",
        run_id,
    );
    command.timeout = Some(Duration::from_millis(300));
    let (outcome, bytes) = collect(&command, &CancellationToken::new()).await;
    assert_eq!(outcome.exit, Exit::TimedOut(Duration::from_millis(300)));
    assert_eq!(bytes, b"up\n");
    assert_eq!(alive(run_id), 0);
}

#[tokio::test]
async fn a_cancel_ends_it_at_once_when_it_obeys() {
    let run_id = RunId::generate();
    let cancel = CancellationToken::new();
    let later = cancel.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(200)).await;
        later.cancel();
    });
    let (outcome, _) = collect(&shell("sleep 300 | cat", run_id), &cancel).await;
    assert!(outcome.cancelled);
    assert_eq!(alive(run_id), 0);
    let (outcome, _) = collect(&shell("echo never", run_id), &cancel).await;
    assert!(outcome.cancelled && outcome.output_bytes == 0);
}

#[tokio::test]
async fn leftovers_of_a_normal_end_are_killed_and_counted() {
    for (line, leftovers) in [
        ("sleep 300 & exit 0", 1),
        ("setsid sleep 300 >/dev/null 2>&1 & sleep 0.2; exit 0", 1),
        ("nohup sh -c 'sleep 300; :' >/dev/null 2>&1 & sleep 0.2; exit 0", 2),
    ] {
        let run_id = RunId::generate();
        let (outcome, _) = collect(&shell(line, run_id), &CancellationToken::new()).await;
        assert_eq!((outcome.exit, outcome.leftovers), (Exit::Code(0), leftovers), "{line}");
        assert_eq!(alive(run_id), 0, "{line}");
    }
}

#[tokio::test]
async fn a_background_job_may_finish_its_words_but_not_go_on_for_ever() {
    let late = shell("(sleep 0.4; echo late) & echo now", RunId::generate());
    let (outcome, bytes) = collect(&late, &CancellationToken::new()).await;
    assert_eq!(bytes, b"now\nlate\n");
    assert_eq!(outcome.leftovers, 0);
}

#[tokio::test]
async fn a_dropped_future_leaves_nothing() {
    let run_id = RunId::generate();
    let command = shell("setsid sleep 300 & sleep 300", run_id);
    let cancel = CancellationToken::new();
    let cut = tokio::time::timeout(Duration::from_millis(300), collect(&command, &cancel)).await;
    assert!(cut.is_err());
    assert_eq!(alive(run_id), 0);
}

#[tokio::test]
async fn a_dead_runs_children_are_found_by_its_mark() {
    let run_id = RunId::generate();
    let mut orphan = std::process::Command::new("sleep")
        .arg("300")
        .envs(Marker::new(run_id).variables())
        .spawn()
        .unwrap();
    assert_eq!(alive(run_id), 1);
    assert_eq!(kill_marked(RunId::generate()), 0);
    // The orphan is this test's own child: reap it meanwhile, as init would.
    let waiting = std::thread::spawn(move || orphan.wait());
    assert_eq!(kill_marked(run_id), 1);
    assert!(!waiting.join().unwrap().unwrap().success());
    assert_eq!(alive(run_id), 0);
}

#[tokio::test]
async fn output_is_streamed_not_kept() {
    let command = shell("head -c 50000000 /dev/zero", RunId::generate());
    let mut largest = 0usize;
    let mut total = 0usize;
    let outcome = run(
        &command,
        &mut |piece| {
            largest = largest.max(piece.len());
            total += piece.len();
        },
        &CancellationToken::new(),
    )
    .await;
    assert_eq!((outcome.output_bytes, total), (50_000_000, 50_000_000));
    assert!(largest <= 64 * 1024);
}
