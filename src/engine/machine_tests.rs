//! The machine, driven with no process, file or clock at all.

use std::time::Duration;

use proptest::prelude::*;

use super::*;

fn tree(n: u8) -> TreeId {
    format!("{n:02x}").repeat(20).parse().unwrap()
}

fn limits() -> Limits {
    Limits {
        max_iterations: 5,
        no_progress_threshold: 2,
        max_tokens: Some(1_000),
        max_cost_usd: None,
        max_duration: Some(Duration::from_secs(3_600)),
    }
}

fn course() -> Course {
    Course {
        stages: vec![Stage::Gates, Stage::Rollout, Stage::Smoke],
        limits: limits(),
        mode: Mode::Heal,
        approve_rollout: false,
        tree: tree(0),
    }
}

fn symptom(stage: Stage, fingerprint: u8) -> Symptom {
    Symptom {
        stage,
        name: "test".into(),
        class: FailureClass::Code,
        fingerprint: Fingerprint::from_digest([fingerprint; 8]),
        headline: format!("{stage} failed"),
        flaky_suspect: false,
    }
}

fn feed(state: State, what: Happened) -> (State, Effect) {
    let input = Input { at: Duration::ZERO, spent: Usage::default(), what };
    step(state, input).unwrap()
}

/// Feeds `inputs` and returns the effects, as short words.
fn play(course: Course, inputs: Vec<Happened>) -> (State, Vec<Effect>) {
    let mut state = State::new(course);
    let mut effects = Vec::new();
    for what in inputs {
        let (next, effect) = feed(state, what);
        state = next;
        effects.push(effect);
    }
    (state, effects)
}

fn proposed(n: u8) -> Happened {
    Happened::Proposed { tree: tree(n), decision: Decision::Allow }
}

fn approved() -> Happened {
    Happened::Reviewed { verdict: Verdict::Approve }
}

/// The inputs of one round: the gates fail with `fingerprint` and are patched to tree `to`.
fn round(fingerprint: u8, to: u8) -> Vec<Happened> {
    vec![
        Happened::StageFailed(symptom(Stage::Gates, fingerprint)),
        proposed(to),
        approved(),
        Happened::Applied { tree: tree(to) },
    ]
}

fn last(course: Course, inputs: Vec<Happened>) -> Effect {
    play(course, inputs).1.pop().unwrap()
}

#[test]
fn a_good_commit_goes_straight_through() {
    use Happened::*;
    let (state, effects) =
        play(course(), vec![Started, StagePassed, StagePassed, StagePassed, MarkedVerified]);
    assert_eq!(
        effects,
        vec![
            Effect::RunStage { iteration: 1, stage: Stage::Gates },
            Effect::RunStage { iteration: 1, stage: Stage::Rollout },
            Effect::RunStage { iteration: 1, stage: Stage::Smoke },
            Effect::MarkVerified,
            Effect::Finish(StopReason::Verified),
        ]
    );
    assert_eq!(state.stop_reason(), Some(&StopReason::Verified));
    assert_eq!(state.restored(), None);
}

#[test]
fn a_failed_smoke_test_restores_before_the_author_is_asked() {
    use Happened::*;
    let (state, effects) = play(
        course(),
        vec![
            Started,
            StagePassed,
            StagePassed,
            StageFailed(symptom(Stage::Smoke, 1)),
            Restored { serving: true },
        ],
    );
    assert_eq!(effects[3], Effect::Restore);
    assert_eq!(effects[4], Effect::AskAuthor { iteration: 1, again: false });
    assert_eq!(state.restored(), Some(true));
}

#[test]
fn what_the_target_declines_is_left_to_a_person() {
    use Happened::*;
    let reason = || "a newer rollout is under way".to_owned();
    let stop = Effect::Finish(StopReason::Declined { reason: reason() });
    for before in [
        vec![Started, StagePassed],
        vec![Started, StagePassed, StagePassed, StageFailed(symptom(Stage::Smoke, 1))],
        vec![Started, StagePassed, StagePassed, StagePassed],
    ] {
        let inputs = before.into_iter().chain([Declined { reason: reason() }]).collect();
        let effects = play(course(), inputs).1;
        assert_eq!(effects.last(), Some(&stop), "{effects:?}");
        assert!(effects.iter().filter(|effect| **effect == Effect::Restore).count() <= 1);
    }
}

#[test]
fn classes_that_no_patch_can_mend_never_reach_the_author() {
    for class in [FailureClass::Infrastructure, FailureClass::Auth, FailureClass::Quota] {
        let failure = Symptom { class, ..symptom(Stage::Gates, 1) };
        let effect = last(course(), vec![Happened::Started, Happened::StageFailed(failure)]);
        assert_eq!(effect, Effect::Finish(StopReason::NotHealable { class, stage: Stage::Gates }));
    }
}

#[test]
fn without_a_model_a_run_ends_with_what_failed() {
    use Happened::*;
    let gate = symptom(Stage::Gates, 1);
    let smoke = symptom(Stage::Smoke, 1);
    for (before, failed) in [
        (vec![Started, StageFailed(gate.clone())], gate),
        (
            vec![
                Started,
                StagePassed,
                StagePassed,
                StageFailed(smoke.clone()),
                Restored { serving: true },
            ],
            smoke,
        ),
    ] {
        for configured in [true, false] {
            let missing = ModelFailed { reason: "no key".into(), configured };
            let inputs = before.iter().cloned().chain([missing]).collect();
            let Effect::Finish(stop) = last(course(), inputs) else { panic!("it goes on") };
            let (StopReason::NoModel { failure, reason }
            | StopReason::ModelUnavailable { failure, reason }) = &stop
            else {
                panic!("{stop:?}")
            };
            assert_eq!(matches!(stop, StopReason::ModelUnavailable { .. }), configured);
            assert_eq!(failure.as_ref(), Some(&failed.summary()));
            assert_eq!(reason, "no key");
            assert!(stop.to_string().starts_with(&failed.headline), "{stop}");
        }
    }
}

#[test]
fn a_flaky_suspect_runs_again_once_on_the_same_tree() {
    let suspect = || Symptom { flaky_suspect: true, ..symptom(Stage::Gates, 1) };
    let start = vec![Happened::Started, Happened::StageFailed(suspect())];
    let rerun = Effect::Rerun { iteration: 1, stage: Stage::Gates, name: "test".into() };
    assert_eq!(last(course(), start.clone()), rerun);

    let mut passes = start.clone();
    passes.push(Happened::RerunPassed);
    let next = Effect::RunStage { iteration: 1, stage: Stage::Rollout };
    assert_eq!(last(course(), passes), next);

    let mut fails = start;
    fails.push(Happened::RerunFailed(suspect()));
    assert_eq!(last(course(), fails), Effect::AskAuthor { iteration: 1, again: false });
}

#[test]
fn a_refused_answer_goes_back_once_within_the_iteration() {
    let refused = || Happened::Refused { reason: "ambiguous".into() };
    let start = vec![Happened::Started, Happened::StageFailed(symptom(Stage::Gates, 1)), refused()];
    assert_eq!(last(course(), start.clone()), Effect::AskAuthor { iteration: 1, again: true });
    let mut twice = start;
    twice.push(refused());
    assert_eq!(last(course(), twice), Effect::AskAuthor { iteration: 2, again: false });
}

#[test]
fn a_rejection_costs_an_iteration_and_no_second_run_of_the_stages() {
    let effect = last(
        course(),
        vec![
            Happened::Started,
            Happened::StageFailed(symptom(Stage::Gates, 1)),
            proposed(1),
            Happened::Reviewed { verdict: Verdict::Reject },
        ],
    );
    assert_eq!(effect, Effect::AskAuthor { iteration: 2, again: false });
}

#[test]
fn what_the_policy_forbids_is_never_reviewed_or_applied() {
    let effect = last(
        course(),
        vec![
            Happened::Started,
            Happened::StageFailed(symptom(Stage::Gates, 1)),
            Happened::Proposed { tree: tree(1), decision: Decision::Forbid },
        ],
    );
    assert_eq!(effect, Effect::AskAuthor { iteration: 2, again: false });
}

#[test]
fn a_person_decides_where_the_policy_wants_one() {
    let start = vec![
        Happened::Started,
        Happened::StageFailed(symptom(Stage::Gates, 1)),
        Happened::Proposed { tree: tree(1), decision: Decision::NeedsHuman },
        approved(),
    ];
    assert_eq!(last(course(), start.clone()), Effect::AskHumanForPatch { iteration: 1 });
    let request = "apply?".to_owned();
    for (approved, expect) in [
        (Some(true), Effect::Apply { iteration: 1 }),
        (Some(false), Effect::Finish(StopReason::NeedsHuman { request: request.clone() })),
        (None, Effect::Finish(StopReason::NeedsHuman { request: request.clone() })),
    ] {
        let mut inputs = start.clone();
        inputs.push(Happened::HumanDecided { approved, request: request.clone() });
        assert_eq!(last(course(), inputs), expect, "{approved:?}");
    }
}

#[test]
fn an_environment_that_wants_approval_is_asked_about_before_the_rollout() {
    let effect = last(
        Course { approve_rollout: true, ..course() },
        vec![Happened::Started, Happened::StagePassed],
    );
    assert_eq!(effect, Effect::AskHumanForRollout { iteration: 1 });
}

#[test]
fn the_same_fingerprint_stops_at_the_threshold() {
    for (threshold, rounds) in [(1, 0), (2, 1), (3, 2)] {
        let limits = Limits { no_progress_threshold: threshold, ..limits() };
        let mut inputs = vec![Happened::Started];
        for n in 0..rounds {
            inputs.extend(round(7, n + 1));
        }
        inputs.push(Happened::StageFailed(symptom(Stage::Gates, 7)));
        assert_eq!(
            last(Course { limits, ..course() }, inputs),
            Effect::Finish(StopReason::NoProgress { repeats: threshold }),
            "threshold {threshold}"
        );
    }
}

#[test]
fn fingerprints_that_swing_stop_whatever_the_threshold() {
    let limits = Limits { no_progress_threshold: 9, max_iterations: 9, ..limits() };
    let mut inputs = vec![Happened::Started];
    inputs.extend(round(1, 1));
    inputs.extend(round(2, 2));
    inputs.push(Happened::StageFailed(symptom(Stage::Gates, 1)));
    let effect = last(Course { limits, ..course() }, inputs);
    assert_eq!(effect, Effect::Finish(StopReason::NoProgress { repeats: 2 }));
}

#[test]
fn a_patch_back_to_a_tree_that_failed_is_not_applied() {
    let mut inputs = vec![Happened::Started];
    inputs.extend(round(1, 1));
    inputs.push(Happened::StageFailed(symptom(Stage::Gates, 2)));
    inputs.push(proposed(0));
    assert_eq!(last(course(), inputs), Effect::Finish(StopReason::RepeatedTree { swing: true }));
}

#[test]
fn the_last_iteration_asks_no_author() {
    let mut inputs = vec![Happened::Started];
    for n in 1..5 {
        inputs.extend(round(n, n));
    }
    inputs.push(Happened::StageFailed(symptom(Stage::Gates, 99)));
    assert_eq!(last(course(), inputs), Effect::Finish(StopReason::MaxIterations { limit: 5 }));
}

#[test]
fn budgets_stop_before_the_next_request() {
    let (state, _) = play(course(), vec![Happened::Started]);
    let spent = Usage { input_tokens: 900, output_tokens: 100, ..Usage::default() };
    let what = Happened::StageFailed(symptom(Stage::Gates, 1));
    let (_, effect) =
        step(state.clone(), Input { at: Duration::ZERO, spent, what: what.clone() }).unwrap();
    assert!(matches!(effect, Effect::Finish(StopReason::Budget { .. })), "{effect:?}");
    let late = Input { at: Duration::from_secs(3_600), spent: Usage::default(), what };
    let (_, effect) = step(state, late).unwrap();
    assert!(matches!(effect, Effect::Finish(StopReason::Budget { .. })), "{effect:?}");
}

#[test]
fn a_rollback_is_never_rolled_back() {
    let course =
        Course { stages: vec![Stage::Rollout, Stage::Smoke], mode: Mode::RollBack, ..course() };
    let inputs = vec![
        Happened::Started,
        Happened::StagePassed,
        Happened::StageFailed(symptom(Stage::Smoke, 1)),
    ];
    assert_eq!(last(course, inputs), Effect::Finish(StopReason::NoHealing { stage: Stage::Smoke }));
}

#[test]
fn cancelling_takes_an_unverified_release_back() {
    let inputs =
        vec![Happened::Started, Happened::StagePassed, Happened::StagePassed, Happened::Cancelled];
    assert_eq!(last(course(), inputs.clone()), Effect::Restore);
    let mut ended = inputs;
    for happened in [
        Happened::Restored { serving: true },
        // What could not be done in the time that is left is the next run's.
        Happened::RestoreFailed { reason: "no answer".into() },
    ] {
        ended.push(happened);
        assert_eq!(last(course(), ended.clone()), Effect::Finish(StopReason::Cancelled));
        ended.pop();
    }
}

#[test]
fn a_resumed_run_begins_its_iteration_anew_and_counts_nothing_twice() {
    let mut inputs = vec![Happened::Started];
    inputs.extend(round(1, 1));
    inputs.push(Happened::StageFailed(symptom(Stage::Gates, 2)));
    inputs.push(Happened::Resumed);
    let (state, effects) = play(course(), inputs);
    assert_eq!(effects.last(), Some(&Effect::RunStage { iteration: 2, stage: Stage::Gates }));
    let (_, effect) = feed(state, Happened::StageFailed(symptom(Stage::Gates, 2)));
    assert_eq!(effect, Effect::AskAuthor { iteration: 2, again: false });
}

#[test]
fn nothing_follows_the_end() {
    let (state, _) = play(course(), vec![Happened::Started, Happened::Cancelled]);
    let input = Input { at: Duration::ZERO, spent: Usage::default(), what: Happened::Started };
    assert!(step(state, input).is_err());
}

/// Any input that could answer the effect.
fn answers(effect: &Effect) -> BoxedStrategy<Happened> {
    let failing = |stage: Stage| {
        (0u8..4, any::<bool>(), 0usize..FailureClass::ALL.len()).prop_map(
            move |(f, flaky, class)| Symptom {
                flaky_suspect: flaky,
                class: FailureClass::ALL[class],
                ..symptom(stage, f)
            },
        )
    };
    let specific = match effect {
        Effect::RunStage { stage, .. } => prop_oneof![
            2 => Just(Happened::StagePassed),
            3 => failing(*stage).prop_map(Happened::StageFailed),
        ]
        .boxed(),
        Effect::Rerun { stage, .. } => prop_oneof![
            Just(Happened::RerunPassed),
            failing(*stage).prop_map(Happened::RerunFailed),
        ]
        .boxed(),
        Effect::Restore => prop_oneof![
            any::<bool>().prop_map(|serving| Happened::Restored { serving }),
            Just(Happened::RestoreFailed { reason: "gone".into() }),
            Just(Happened::Declined { reason: "superseded".into() }),
        ]
        .boxed(),
        Effect::AskAuthor { .. } => prop_oneof![
            4 => (0u8..6, 0usize..3).prop_map(|(t, d)| Happened::Proposed {
                tree: tree(t),
                decision: [Decision::Allow, Decision::NeedsHuman, Decision::Forbid][d],
            }),
            1 => Just(Happened::Refused { reason: "no".into() }),
            1 => (0usize..3).prop_map(|c| Happened::NoPatch {
                class: [NoPatchClass::Flaky, NoPatchClass::Infrastructure, NoPatchClass::NeedsHuman][c],
                reason: "no".into(),
            }),
        ]
        .boxed(),
        Effect::AskReviewer { .. } => prop_oneof![
            3 => Just(approved()),
            1 => Just(Happened::Reviewed { verdict: Verdict::Reject }),
            1 => Just(Happened::ModelFailed { reason: "down".into(), configured: true }),
        ]
        .boxed(),
        Effect::AskHumanForPatch { .. } | Effect::AskHumanForRollout { .. } => {
            proptest::option::of(any::<bool>())
                .prop_map(|approved| Happened::HumanDecided { approved, request: "?".into() })
                .boxed()
        }
        Effect::Apply { .. } => (6u8..200).prop_map(|t| Happened::Applied { tree: tree(t) }).boxed(),
        Effect::MarkVerified => Just(Happened::MarkedVerified).boxed(),
        Effect::Finish(_) => Just(Happened::Cancelled).boxed(),
    };
    prop_oneof![
        20 => specific,
        1 => Just(Happened::Cancelled),
        1 => Just(Happened::Resumed),
    ]
    .boxed()
}

proptest! {
    /// Whatever happens, a run ends, within its iterations, with an approved review before each
    /// patch, and never with a release of its own that is out and not verified.
    #[test]
    fn every_run_ends_as_it_should(seed in any::<u64>(), approve in any::<bool>()) {
        let mut runner = proptest::test_runner::TestRunner::new_with_rng(
            Default::default(),
            proptest::test_runner::TestRng::from_seed(
                proptest::test_runner::RngAlgorithm::ChaCha,
                &seed.to_le_bytes().repeat(4),
            ),
        );
        let mut state = State::new(Course { approve_rollout: approve, ..course() });
        let mut what = Happened::Started;
        let mut reviewed = false;
        let mut out = false;
        let mut resumes = 0;
        for _ in 0..400 {
            if what == Happened::Resumed {
                resumes += 1;
                out = false;
            }
            let (next, effect) = feed(state, what.clone());
            state = next;
            prop_assert!(state.iteration() <= 5);
            match &effect {
                Effect::AskReviewer { .. } => reviewed = false,
                Effect::Apply { .. } => prop_assert!(reviewed, "applied without an approved review"),
                Effect::RunStage { stage: Stage::Rollout, .. } => out = true,
                Effect::Restore => out = false,
                Effect::MarkVerified => prop_assert!(out),
                Effect::Finish(reason) => {
                    prop_assert!(!out || *reason == StopReason::Verified, "{reason:?} leaves a release out");
                    return Ok(());
                }
                Effect::RunStage { .. }
                | Effect::Rerun { .. }
                | Effect::AskAuthor { .. }
                | Effect::AskHumanForPatch { .. }
                | Effect::AskHumanForRollout { .. } => {}
            }
            if let Happened::Reviewed { verdict: Verdict::Approve } = &what {
                reviewed = true;
            }
            what = answers(&effect).new_tree(&mut runner).unwrap().current();
            if resumes > 3 && what == Happened::Resumed {
                what = Happened::Cancelled;
            }
            if let Happened::Reviewed { verdict: Verdict::Approve } = &what {
                reviewed = true;
            }
        }
        prop_assert!(false, "the run never ended");
    }
}

fn with_tasks() -> Course {
    Course { stages: vec![Stage::Gates, Stage::Tasks, Stage::Rollout, Stage::Smoke], ..course() }
}

#[test]
fn the_work_of_tasks_becomes_the_tree_at_hand() {
    use Happened::*;
    let merged = TasksMerged { tree: tree(7) };
    let (state, effects) = play(with_tasks(), vec![Started, StagePassed, merged.clone()]);
    assert_eq!(state.tree(), &tree(7));
    assert_eq!(effects[1], Effect::RunStage { iteration: 1, stage: Stage::Tasks });
    assert_eq!(effects[2], Effect::RunStage { iteration: 1, stage: Stage::Rollout });
    // Nowhere else.
    let (state, _) = play(with_tasks(), vec![Started]);
    let input = Input { at: Duration::ZERO, spent: Usage::default(), what: merged };
    assert!(step(state, input).is_err());
}

#[test]
fn the_author_is_not_asked_about_tasks() {
    use Happened::*;
    let failed = StageFailed(symptom(Stage::Tasks, 1));
    let end = last(with_tasks(), vec![Started, StagePassed, failed]);
    let class = FailureClass::Code;
    assert_eq!(end, Effect::Finish(StopReason::NotHealable { class, stage: Stage::Tasks }));
}
