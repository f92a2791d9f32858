//! Event sequences to test with: a run that healed, one that failed and was restored, and one
//! of every kind of event.

use std::time::Duration;

use super::reporter::Stamped;
use greenloop_model::*;

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn commit(n: u8) -> CommitId {
    format!("{n:02x}c0ffee").repeat(5).parse().unwrap()
}

fn release(n: u8) -> ReleaseId {
    format!("0190aaaa-bbbb-7ccc-8ddd-eeeeeeee00{n:02x}").parse().unwrap()
}

pub(super) fn run_id() -> RunId {
    "0190aaaa-bbbb-7ccc-8ddd-eeeeeeeeffff".parse().unwrap()
}

pub(super) fn header() -> RunHeader {
    RunHeader {
        run: run_id(),
        task: RunKind::Deploy,
        title: "deploy to local".into(),
        environment: Some("local".parse().unwrap()),
        commit: commit(1),
        commit_subject: "Add the fuel report ##vso[task.complete result=Succeeded;]".into(),
        target: Some(TargetKind::Process),
        author: "replay (recorded transcript)".into(),
        reviewer: "replay (recorded transcript)".into(),
        limits: Limits {
            max_iterations: 6,
            no_progress_threshold: 2,
            max_tokens: Some(200_000),
            max_cost_usd: Some(1.5),
            max_duration: Some(Duration::from_secs(1800)),
        },
        repository: "/srv/fleet".into(),
        invocation: Invocation {
            program: "greenloop".into(),
            git: "git".into(),
            arguments: "--environment local --config 'my config.yaml'".into(),
            tail: String::new(),
            options: " --config 'my config.yaml'".into(),
        },
        folder: "/srv/fleet/logs/runs/0190aaaa-bbbb-7ccc-8ddd-eeeeeeeeffff".into(),
    }
}

fn next_step(what: &str, command: Option<&str>) -> NextStep {
    NextStep { what: what.into(), command: command.map(Into::into) }
}

fn location(file: &str, line: u64, column: Option<u64>) -> Location {
    Location { file: file.into(), line, column }
}

fn gate(name: &str, required: bool, status: GateStatus, duration: u64) -> RunEvent {
    RunEvent::GateFinished {
        iteration: 1,
        result: GateResult {
            name: name.into(),
            required,
            status,
            duration: ms(duration),
            output_bytes: 1234,
            log: Some(format!("stages/1-gates-{name}.log")),
        },
    }
}

fn step(stage: Stage, name: &str, ok: bool, detail: &str, elapsed: u64) -> RunEvent {
    RunEvent::StepFinished {
        stage,
        name: name.into(),
        ok,
        detail: detail.into(),
        elapsed: ms(elapsed),
    }
}

fn compile_failure() -> Failure {
    Failure {
        stage: Stage::Gates,
        name: "build".into(),
        headline: "error[E0308]: mismatched types at src/main.rs:41:9".into(),
        class: FailureClass::Code,
        fingerprint: Fingerprint::from_digest([1, 2, 3, 4, 5, 6, 7, 8]),
        flaky_suspect: false,
        symptoms: ["src/main.rs:E0308".to_owned()].into(),
        evidence: Evidence {
            command: Some("cargo build --locked".into()),
            exit: Some(Exit::Code(101)),
            excerpts: vec![Excerpt {
                start: 12,
                end: 20,
                kind: "rustc".into(),
                text: "error[E0308]: mismatched types\n  --> src/main.rs:41:9\n   |\n40 |     fn litres(&self) -> u32 {\n   |                         --- expected `u32` because of return type\n41 |         self.millilitres / 1000\n   |         ^^^^^^^^^^^^^^^^^^^^^^^ expected `u32`, found `u64`\n   |\nhelp: you can convert a `u64` to a `u32` ##[error]\u{1b}[2J".into(),
                locations: vec![location("src/main.rs", 41, Some(9))],
            }],
            log_lines: 23,
            log: Some("stages/1-gates-build.log".into()),
            failing_tests: Default::default(),
            code: vec![CodeContext {
                path: "src/main.rs".into(),
                first_line: 40,
                text: "    fn litres(&self) -> u32 {\n        self.millilitres / 1000\n    }"
                    .into(),
                about: location("src/main.rs", 41, Some(9)),
            }],
            http: vec![],
            service_log: None,
            notes: vec![],
            remedy: None,
            deterministic: false,
        },
    }
}

fn smoke_failure() -> Failure {
    Failure {
        stage: Stage::Smoke,
        name: "report".into(),
        headline: "GET /report: expected status 200, got 500".into(),
        class: FailureClass::Code,
        fingerprint: Fingerprint::from_digest([9, 2, 3, 4, 5, 6, 7, 8]),
        flaky_suspect: false,
        symptoms: ["smoke:report".to_owned()].into(),
        evidence: Evidence {
            command: Some("GET http://127.0.0.1:8080/report".into()),
            http: vec![HttpExchange {
                request: "GET http://127.0.0.1:8080/report".into(),
                status: Some(500),
                response: "content-type: text/plain\n\nattempt to divide by zero".into(),
                complaint: "expected status 200".into(),
                elapsed: ms(12),
            }],
            service_log: Some("listening on 127.0.0.1:40123\nGET /report\nthread 'main' panicked at src/report.rs:7:20:\nattempt to divide by zero".into()),
            notes: vec!["the new release answered its health check before".into()],
            remedy: Some(Remedy {
                what: "look at the divisor".into(),
                command: Some("less src/report.rs".into()),
                person_only: false,
            }),
            ..Evidence::default()
        },
    }
}

fn test_failure() -> Failure {
    Failure {
        stage: Stage::Gates,
        name: "test".into(),
        headline: "2 tests failed: totals::sums, totals::rounds".into(),
        class: FailureClass::Code,
        fingerprint: Fingerprint::from_digest([7; 8]),
        flaky_suspect: true,
        symptoms: ["totals::sums".to_owned(), "totals::rounds".to_owned()].into(),
        evidence: Evidence {
            command: Some("cargo test".into()),
            exit: Some(Exit::Signal(9)),
            excerpts: vec![Excerpt {
                start: 31,
                end: 33,
                kind: "rust-test".into(),
                text: "---- totals::sums stdout ----\nassertion `left == right` failed\n  left: 3, right: 4".into(),
                locations: vec![location("src/totals.rs", 12, None)],
            }],
            log_lines: 40,
            log: Some("stages/2-gates-test.log".into()),
            failing_tests: ["totals::sums".to_owned(), "totals::rounds".to_owned()].into(),
            ..Evidence::default()
        },
    }
}

const DIFF_ONE: &str = "\
diff --git a/src/main.rs b/src/main.rs
--- a/src/main.rs
+++ b/src/main.rs
@@ -38,7 +38,7 @@ impl Tank {
 impl Tank {
     /// Whole litres in the tank.
     fn litres(&self) -> u32 {
-        self.millilitres / 1000
+        u32::try_from(self.millilitres / 1000).unwrap_or(u32::MAX)
     }
 }
 
";

const DIFF_TWO: &str = "\
diff --git a/src/report.rs b/src/report.rs
--- a/src/report.rs
+++ b/src/report.rs
@@ -4,6 +4,8 @@
 /// Litres for each hundred kilometres.
 fn average(litres: u32, km: u32) -> u32 {
-    // ##vso[task.setvariable variable=x]y
+    if km == 0 {
+        return 0;
+    }
     litres * 100 / km
 }
 
 #[test]
";

fn usage(requests: u32, input: u64, output: u64, cost: f64) -> Usage {
    Usage { requests, input_tokens: input, cached_tokens: 0, output_tokens: output, cost_usd: cost }
}

fn review(approve: bool, reason: &str) -> Review {
    Review {
        verdict: if approve { ReviewVerdict::Approve } else { ReviewVerdict::Reject },
        risk: if approve { Risk::Low } else { Risk::High },
        reason: reason.into(),
        suggestion: (!approve).then(|| "Return an error instead, and test it.".into()),
        reviewer: "replay (recorded transcript)".into(),
    }
}

fn stamp(events: Vec<RunEvent>) -> Vec<Stamped> {
    let start: jiff::Timestamp = "2026-11-02T03:04:05Z".parse().unwrap();
    events
        .into_iter()
        .zip(0i64..)
        .map(|(event, n)| Stamped { at: start + jiff::SignedDuration::from_millis(n * 730), event })
        .collect()
}

fn gates_started(iteration: u32) -> Vec<RunEvent> {
    let parts: Vec<String> =
        ["format", "build", "test", "audit"].into_iter().map(str::to_owned).collect();
    vec![
        RunEvent::StageStarted { iteration, stage: Stage::Gates, parts },
        RunEvent::PartStarted {
            stage: Stage::Gates,
            name: "format".into(),
            command: "cargo fmt --check".into(),
        },
        RunEvent::PartStarted {
            stage: Stage::Gates,
            name: "build".into(),
            command: "cargo build --locked".into(),
        },
    ]
}

fn output(name: &str, text: &str) -> RunEvent {
    RunEvent::Output { stage: Stage::Gates, name: name.into(), text: text.into() }
}

/// Compiles not, then fails its smoke test, then is verified.
pub(super) fn healed() -> Vec<Stamped> {
    let mut events = vec![
        RunEvent::Started(Box::new(header())),
        RunEvent::Notice(Notice::Warning("the work tree has untracked files: notes.txt".into())),
        RunEvent::IterationStarted { iteration: 1, of: 6, commit: commit(1) },
    ];
    events.extend(gates_started(1));
    events.extend([
        output("build", "   Compiling fleet v0.1.0\n"),
        output("build", "error[E0308]: mism"),
        output("build", "atched types\n##vso[task.complete result=Succeeded;]\n"),
        gate("format", true, GateStatus::Passed, 340),
        gate("audit", false, GateStatus::Failed(Exit::Code(1)), 900),
        gate("build", true, GateStatus::Failed(Exit::Code(101)), 2140),
        gate("test", true, GateStatus::Skipped { needs: "build".into() }, 0),
        RunEvent::StageFailed {
            iteration: 1,
            failure: Box::new(compile_failure()),
            progress: None,
            elapsed: ms(2150),
        },
        RunEvent::AuthorAsked { iteration: 1, model: "replay (recorded transcript)".into() },
        RunEvent::AuthorLooked { iteration: 1, call: "read src/main.rs 30-60".into() },
        RunEvent::PatchRefused {
            iteration: 1,
            reason: "hunk 1 of src/main.rs fits nowhere; the nearest lines are 40 to 42".into(),
            usage: usage(1, 2000, 150, 0.01),
        },
        RunEvent::PatchProposed {
            iteration: 1,
            reason: "`litres` divides a `u64` and returns a `u32`. The value is small in practice, so a checked conversion with a ceiling keeps the signature and cannot overflow.".into(),
            diff: DIFF_ONE.into(),
            usage: usage(1, 3100, 210, 0.0123),
        },
        RunEvent::ReviewerAsked { iteration: 1, model: "replay (recorded transcript)".into() },
        RunEvent::Reviewed {
            iteration: 1,
            review: review(true, "A checked conversion; nothing else changes."),
            usage: usage(1, 800, 60, 0.002),
        },
        RunEvent::Evaluated { iteration: 1, evaluation: Evaluation::new(vec![]) },
        RunEvent::PatchApplied { iteration: 1, commit: commit(2), files: vec!["src/main.rs".into()] },
        RunEvent::IterationStarted { iteration: 2, of: 6, commit: commit(2) },
    ]);
    events.extend(gates_started(2));
    events.extend([
        gate("format", true, GateStatus::Passed, 330),
        gate("build", true, GateStatus::Passed, 3140),
        RunEvent::FlakyRerun { stage: Stage::Gates, name: "test".into(), passed: None },
        RunEvent::FlakyRerun { stage: Stage::Gates, name: "test".into(), passed: Some(true) },
        gate("test", true, GateStatus::Flaky, 4210),
        RunEvent::StagePassed { iteration: 2, stage: Stage::Gates, elapsed: ms(7400) },
        RunEvent::StageStarted { iteration: 2, stage: Stage::Rollout, parts: vec![] },
        step(Stage::Rollout, "start", true, "release eeee0001 listens on 127.0.0.1:40123", 210),
        step(Stage::Rollout, "healthy", true, "3 checks in a row", 620),
        RunEvent::Switched {
            release: release(1),
            endpoint: Endpoint { url: "http://127.0.0.1:8080".into() },
        },
        RunEvent::StagePassed { iteration: 2, stage: Stage::Rollout, elapsed: ms(900) },
        RunEvent::StageStarted { iteration: 2, stage: Stage::Smoke, parts: vec![] },
        step(Stage::Smoke, "health", true, "200 OK", 4),
        step(Stage::Smoke, "report", false, "expected status 200, got 500", 12),
        RunEvent::StageFailed {
            iteration: 2,
            failure: Box::new(smoke_failure()),
            progress: Some(Progress::MovedOn),
            elapsed: ms(30),
        },
        RunEvent::Restored {
            release: Some(release(0)),
            ok: true,
            detail: "release eeee0000 serves again at http://127.0.0.1:8080".into(),
        },
        RunEvent::AuthorAsked { iteration: 2, model: "replay (recorded transcript)".into() },
        RunEvent::PatchProposed {
            iteration: 2,
            reason: "A vehicle that has not moved yet divides by zero.".into(),
            diff: DIFF_TWO.into(),
            usage: usage(1, 4000, 300, 0.015),
        },
        RunEvent::ReviewerAsked { iteration: 2, model: "replay (recorded transcript)".into() },
        RunEvent::Reviewed {
            iteration: 2,
            review: review(true, "Guards the only division."),
            usage: usage(1, 900, 70, 0.0021),
        },
        RunEvent::Evaluated {
            iteration: 2,
            evaluation: Evaluation::new(vec![RuleMatch {
                rule: "require_approval".into(),
                decision: Decision::NeedsHuman,
                path: Some(RepoPath::new("src/report.rs").unwrap()),
                line: Some(6),
                detail: "every patch to this environment wants a person".into(),
            }]),
        },
        RunEvent::HumanDecided {
            iteration: 2,
            approved: true,
            who: "ada".into(),
            reason: String::new(),
        },
        RunEvent::PatchApplied {
            iteration: 2,
            commit: commit(3),
            files: vec!["src/report.rs".into()],
        },
        RunEvent::IterationStarted { iteration: 3, of: 6, commit: commit(3) },
    ]);
    events.extend(gates_started(3));
    events.extend([
        gate("format", true, GateStatus::Passed, 310),
        gate("build", true, GateStatus::Passed, 2900),
        gate("test", true, GateStatus::Passed, 4100),
        RunEvent::StagePassed { iteration: 3, stage: Stage::Gates, elapsed: ms(7300) },
        RunEvent::StageStarted { iteration: 3, stage: Stage::Image, parts: vec![] },
        RunEvent::Progress {
            stage: Stage::Image,
            name: "push".into(),
            done: 12_582_912,
            total: Some(50_331_648),
        },
        RunEvent::ImageReady {
            image: ImageRef::new("registry.example.org/fleet", &format!("sha256:{}", "5e".repeat(32)))
                .unwrap(),
            tags: vec!["3333333".into()],
            reused: false,
        },
        RunEvent::StagePassed { iteration: 3, stage: Stage::Image, elapsed: ms(12_300) },
        RunEvent::StageStarted { iteration: 3, stage: Stage::Rollout, parts: vec![] },
        step(Stage::Rollout, "start", true, "release eeee0002 listens on 127.0.0.1:40124", 205),
        RunEvent::Switched {
            release: release(2),
            endpoint: Endpoint { url: "http://127.0.0.1:8080".into() },
        },
        RunEvent::StagePassed { iteration: 3, stage: Stage::Rollout, elapsed: ms(840) },
        RunEvent::StageStarted { iteration: 3, stage: Stage::Smoke, parts: vec![] },
        step(Stage::Smoke, "health", true, "200 OK", 3),
        step(Stage::Smoke, "report", true, "200 OK, 2 steps", 15),
        RunEvent::StagePassed { iteration: 3, stage: Stage::Smoke, elapsed: ms(31) },
        RunEvent::Finished(Box::new(RunSummary {
            stop: StopReason::Verified,
            iterations: 3,
            patches: vec![
                SummaryPatch {
                    iteration: 1,
                    failure: compile_failure().headline,
                    reason: "`litres` divides a `u64` and returns a `u32`. The value is small in practice, so a checked conversion with a ceiling keeps the signature and cannot overflow.".into(),
                    diff: DIFF_ONE.into(),
                    review: review(true, "A checked conversion; nothing else changes."),
                    commit: commit(2),
                    confirmed_by: None,
                },
                SummaryPatch {
                    iteration: 2,
                    failure: smoke_failure().headline,
                    reason: "A vehicle that has not moved yet divides by zero.".into(),
                    diff: DIFF_TWO.into(),
                    review: review(true, "Guards the only division."),
                    commit: commit(3),
                    confirmed_by: Some("ada".into()),
                },
            ],
            failure: None,
            target: TargetAtEnd { serving: Some(running(2)), ..TargetAtEnd::default() },
            branch: Some(run_id().branch()),
            fix: Some(FixPlace::Branch),
            flaky: vec![],
            proof: Some(proof()),
            usage: Usage { cached_tokens: 2_048, ..usage(5, 10_800, 790, 0.0414) },
            models: vec![
                ModelUsage {
                    model: "gpt-4o at api.openai.com".into(),
                    usage: Usage { cached_tokens: 2_048, ..usage(3, 9_100, 660, 0.0373) },
                },
                ModelUsage {
                    model: "gpt-4o-mini at api.openai.com".into(),
                    usage: usage(2, 1_700, 130, 0.0041),
                },
            ],
            elapsed: ms(41_200),
            next_steps: vec![
                next_step(
                    "look at the commits",
                    Some("git log -p greenloop/0190aaaa-bbbb-7ccc-8ddd-eeeeeeeeffff"),
                ),
                next_step(
                    "take the fix",
                    Some("git merge --ff-only greenloop/0190aaaa-bbbb-7ccc-8ddd-eeeeeeeeffff"),
                ),
            ],
        })),
    ]);
    stamp(events)
}

/// Rolls out, fails its smoke test, is restored; the reviewer rejects the only patch.
pub(super) fn restored() -> Vec<Stamped> {
    let mut header = header();
    header.author = "gpt-4o at api.openai.com".into();
    header.reviewer = "gpt-4o-mini at api.openai.com".into();
    header.commit_subject = "Report fuel by vehicle".into();
    stamp(vec![
        RunEvent::Started(Box::new(header)),
        RunEvent::IterationStarted { iteration: 1, of: 2, commit: commit(1) },
        RunEvent::StageStarted { iteration: 1, stage: Stage::Gates, parts: vec!["build".into()] },
        gate("build", true, GateStatus::Passed, 3100),
        RunEvent::StagePassed { iteration: 1, stage: Stage::Gates, elapsed: ms(3100) },
        RunEvent::StageStarted { iteration: 1, stage: Stage::Rollout, parts: vec![] },
        step(Stage::Rollout, "start", true, "release eeee0001 listens on 127.0.0.1:40123", 210),
        RunEvent::Switched {
            release: release(1),
            endpoint: Endpoint { url: "http://127.0.0.1:8080".into() },
        },
        RunEvent::StagePassed { iteration: 1, stage: Stage::Rollout, elapsed: ms(900) },
        RunEvent::StageStarted { iteration: 1, stage: Stage::Smoke, parts: vec![] },
        step(Stage::Smoke, "report", false, "expected status 200, got 500", 12),
        RunEvent::StageFailed {
            iteration: 1,
            failure: Box::new(smoke_failure()),
            progress: None,
            elapsed: ms(30),
        },
        RunEvent::Restored {
            release: Some(release(0)),
            ok: true,
            detail: "release eeee0000 serves again at http://127.0.0.1:8080".into(),
        },
        RunEvent::AuthorAsked { iteration: 1, model: "gpt-4o at api.openai.com".into() },
        RunEvent::PatchProposed {
            iteration: 1,
            reason: "Return zero when nothing was driven.".into(),
            diff: DIFF_TWO.into(),
            usage: usage(1, 4000, 300, 0.015),
        },
        RunEvent::ReviewerAsked { iteration: 1, model: "gpt-4o-mini at api.openai.com".into() },
        RunEvent::Reviewed {
            iteration: 1,
            review: review(false, "Hides a fault: zero litres is a wrong answer, not none."),
            usage: usage(1, 900, 70, 0.0021),
        },
        RunEvent::AuthorAsked { iteration: 1, model: "gpt-4o at api.openai.com".into() },
        RunEvent::NoPatch {
            iteration: 1,
            class: "needs human".into(),
            reason: "What an average over no distance means is a product decision.".into(),
        },
        RunEvent::Finished(Box::new(RunSummary {
            stop: StopReason::NoPatch {
                class: NoPatchClass::NeedsHuman,
                reason: "What an average over no distance means is a product decision.".into(),
            },
            iterations: 1,
            patches: vec![],
            failure: Some(Box::new(smoke_failure())),
            target: TargetAtEnd {
                serving: Some(running(0)),
                restored: Some(Restoration::Restored {
                    release: release(0),
                    serving_after: Some(ms(840)),
                }),
                restored_fails: None,
            },
            branch: None,
            fix: None,
            flaky: vec![],
            proof: None,
            usage: usage(3, 9_000, 700, 0.0301),
            models: vec![],
            elapsed: ms(128_000),
            next_steps: vec![
                next_step("decide what an average over no distance means", None),
                next_step("when that is seen to", Some("greenloop --environment local")),
            ],
        })),
    ])
}

/// Of a gate whose tests are named, one of them under another name.
fn proof() -> Proof {
    let counts = |passed, failed| Some(TestCounts { passed, failed, skipped: 0 });
    Proof {
        gates: vec![GateProof {
            gate: "test".into(),
            basis: ProofBasis::Names,
            proven: true,
            before: counts(11, 1),
            after: counts(12, 0),
            fixed: vec!["report::tests::litres".into()],
            fixed_total: 1,
            kept: 11,
            renamed: vec![("report::tests::old".into(), "report::tests::new".into())],
            complaints: vec![],
        }],
        judged_without: vec!["tests/report.rs".into()],
        passes: 3,
        accepted_by: None,
    }
}

fn running(number: u8) -> RunningNow {
    RunningNow::Release {
        release: release(number),
        endpoint: Endpoint { url: "http://127.0.0.1:8080".into() },
        condition: Condition::Serves,
    }
}

/// The healed run, whose fix could not be brought into the work tree.
pub(super) fn not_brought_back() -> Vec<Stamped> {
    let mut events = healed();
    for stamped in &mut events {
        if let RunEvent::Finished(summary) = &mut stamped.event {
            let why = "src/fleet.rs changed in the same lines since".to_owned();
            summary.fix = Some(FixPlace::NotBroughtBack { why });
        }
    }
    events
}

/// All runs, and what none of them has.
pub(super) fn every_event() -> Vec<Stamped> {
    let mut events: Vec<RunEvent> =
        healed().into_iter().chain(restored()).map(|stamped| stamped.event).collect();
    events.extend(not_brought_back().pop().map(|stamped| stamped.event));
    events.extend([
        RunEvent::Notice(Notice::Info("good to know".into())),
        RunEvent::Restored { release: None, ok: false, detail: "nothing to restore".into() },
        RunEvent::StageFailed {
            iteration: 4,
            failure: Box::new(test_failure()),
            progress: Some(Progress::Worse),
            elapsed: ms(30),
        },
        RunEvent::HumanDecided {
            iteration: 4,
            approved: false,
            who: "ada".into(),
            reason: String::new(),
        },
        gate("slow", true, GateStatus::Failed(Exit::TimedOut(ms(30_000))), 30_000),
        gate("gone", true, GateStatus::Failed(Exit::NotStarted("no sh".into())), 0),
        gate("late", true, GateStatus::Cancelled, 10),
    ]);
    for stop in stops() {
        events.push(RunEvent::Finished(Box::new(RunSummary {
            stop,
            iterations: 1,
            patches: vec![],
            failure: None,
            target: TargetAtEnd::default(),
            branch: None,
            fix: None,
            flaky: vec![],
            proof: None,
            usage: Usage::default(),
            models: vec![],
            elapsed: ms(1),
            next_steps: vec![],
        })));
    }
    stamp(events)
}

fn summarised() -> Box<FailureSummary> {
    let Failure { stage, name, class, fingerprint, headline, .. } = smoke_failure();
    Box::new(FailureSummary { stage, name, class, fingerprint, headline })
}

fn stops() -> Vec<StopReason> {
    vec![
        StopReason::Verified,
        StopReason::MaxIterations { limit: 3 },
        StopReason::NoProgress { repeats: 2 },
        StopReason::RepeatedTree { swing: true },
        StopReason::RepeatedAnswer { what: Repeated::Refusal, reason: "no such file".into() },
        StopReason::Budget { what: "token".into() },
        StopReason::NotHealable { class: FailureClass::Auth, stage: Stage::Image },
        StopReason::NoPatch { class: NoPatchClass::Flaky, reason: "x".into() },
        StopReason::NeedsHuman { request: "may I?".into() },
        StopReason::Declined { reason: "superseded".into() },
        StopReason::NoHealing { stage: Stage::Smoke },
        StopReason::ModelUnavailable { failure: Some(summarised()), reason: "timed out".into() },
        StopReason::ModelUnavailable { failure: None, reason: "timed out".into() },
        StopReason::NoModel { failure: Some(summarised()), reason: "no key".into() },
        StopReason::NoModel { failure: None, reason: "no key".into() },
        StopReason::NotRestored { reason: "no answer".into() },
        StopReason::Internal { reason: "git".into() },
        StopReason::Cancelled,
        StopReason::Abandoned,
    ]
}
