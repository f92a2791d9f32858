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

fn spec() -> RunSpec {
    RunSpec {
        stages: vec![Stage::Gates, Stage::Rollout, Stage::Smoke],
        limits: limits(),
        mode: Mode::Heal,
        approve_rollout: false,
        attended: true,
        rules: Rules::CURRENT,
        tree: tree(0),
    }
}

fn symptom(stage: Stage, fingerprint: u8) -> FailureInput {
    FailureInput {
        stage,
        name: "test".into(),
        class: FailureClass::Code,
        fingerprint: Fingerprint::from_digest([fingerprint; 8]),
        headline: format!("{stage} failed"),
        person_only: false,
        flaky_suspect: false,
    }
}

fn feed(state: State, what: Event) -> (State, Effect) {
    let input = Input { at: Duration::ZERO, spent: Usage::default(), what };
    step(state, input).unwrap()
}

/// Feeds `inputs` and returns the effects, as short words.
fn play(spec: RunSpec, inputs: Vec<Event>) -> (State, Vec<Effect>) {
    let mut state = State::new(spec);
    let mut effects = Vec::new();
    for what in inputs {
        let (next, effect) = feed(state, what);
        state = next;
        effects.push(effect);
    }
    (state, effects)
}

/// An identity.
fn id(n: u8) -> Option<Fingerprint> {
    Some(Fingerprint::from_digest([n; 8]))
}

/// A patch that leads to tree `n`, in an answer of its own.
fn judged(n: u8, decision: Decision) -> Event {
    let wants = Confirmation { request: format!("apply {n}?"), avoidable: true };
    Event::Proposed {
        tree: tree(n),
        decision,
        answer: id(n),
        refusal: (decision == Decision::Forbid).then(|| id(n)).flatten(),
        wants: (decision == Decision::NeedsHuman).then_some(wants),
    }
}

/// An answer that is refused.
fn refused(answer: u8, refusal: u8) -> Event {
    Event::Refused { reason: "ambiguous".into(), answer: id(answer), refusal: id(refusal) }
}

fn rejected(review: u8) -> Event {
    Event::Reviewed { verdict: ReviewVerdict::Reject, review: id(review), reason: "no".into() }
}

fn proposed(n: u8) -> Event {
    judged(n, Decision::Allow)
}

fn approved() -> Event {
    Event::Reviewed { verdict: ReviewVerdict::Approve, review: id(99), reason: "yes".into() }
}

/// The inputs of one round: the gates fail with `fingerprint` and are patched to tree `to`.
fn round(fingerprint: u8, to: u8) -> Vec<Event> {
    vec![
        Event::StageFailed(symptom(Stage::Gates, fingerprint)),
        proposed(to),
        approved(),
        Event::Applied { tree: tree(to) },
    ]
}

fn last(spec: RunSpec, inputs: Vec<Event>) -> Effect {
    play(spec, inputs).1.pop().unwrap()
}

#[test]
fn a_good_commit_goes_straight_through() {
    use Event::*;
    let (state, effects) =
        play(spec(), vec![Started, StagePassed, StagePassed, StagePassed, MarkedVerified]);
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
    use Event::*;
    let (state, effects) = play(
        spec(),
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
    use Event::*;
    let reason = || "a newer rollout is under way".to_owned();
    let stop = Effect::Finish(StopReason::Declined { reason: reason() });
    for before in [
        vec![Started, StagePassed],
        vec![Started, StagePassed, StagePassed, StageFailed(symptom(Stage::Smoke, 1))],
        vec![Started, StagePassed, StagePassed, StagePassed],
    ] {
        let inputs = before.into_iter().chain([Declined { reason: reason() }]).collect();
        let effects = play(spec(), inputs).1;
        assert_eq!(effects.last(), Some(&stop), "{effects:?}");
        assert!(effects.iter().filter(|effect| **effect == Effect::Restore).count() <= 1);
    }
}

#[test]
fn classes_that_no_patch_can_mend_never_reach_the_author() {
    for class in [FailureClass::Infrastructure, FailureClass::Auth, FailureClass::Quota] {
        let failure = FailureInput { class, ..symptom(Stage::Gates, 1) };
        let effect = last(spec(), vec![Event::Started, Event::StageFailed(failure)]);
        assert_eq!(effect, Effect::Finish(StopReason::NotHealable { class, stage: Stage::Gates }));
    }
}

#[test]
fn what_only_a_person_can_mend_never_reaches_the_author() {
    let class = FailureClass::Config;
    let failure =
        FailureInput { class, person_only: true, flaky_suspect: true, ..symptom(Stage::Gates, 1) };
    let effect = last(spec(), vec![Event::Started, Event::StageFailed(failure)]);
    assert_eq!(effect, Effect::Finish(StopReason::NotHealable { class, stage: Stage::Gates }));
}

#[test]
fn without_a_model_a_run_ends_with_what_failed() {
    use Event::*;
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
            let Effect::Finish(stop) = last(spec(), inputs) else { panic!("it goes on") };
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
    let suspect = || FailureInput { flaky_suspect: true, ..symptom(Stage::Gates, 1) };
    let start = vec![Event::Started, Event::StageFailed(suspect())];
    let rerun = Effect::Rerun { iteration: 1, stage: Stage::Gates, name: "test".into() };
    assert_eq!(last(spec(), start.clone()), rerun);

    let mut passes = start.clone();
    passes.push(Event::RerunPassed);
    let next = Effect::RunStage { iteration: 1, stage: Stage::Rollout };
    assert_eq!(last(spec(), passes), next);

    let mut fails = start;
    fails.push(Event::RerunFailed(suspect()));
    assert_eq!(last(spec(), fails), Effect::AskAuthor { iteration: 1, again: false });
}

#[test]
fn a_refused_answer_goes_back_once_within_the_iteration() {
    let start = vec![Event::Started, Event::StageFailed(symptom(Stage::Gates, 1)), refused(1, 1)];
    assert_eq!(last(spec(), start.clone()), Effect::AskAuthor { iteration: 1, again: true });
    let mut twice = start;
    twice.push(refused(2, 2));
    assert_eq!(last(spec(), twice), Effect::AskAuthor { iteration: 2, again: false });
}

#[test]
fn a_rejection_costs_an_iteration_and_no_second_run_of_the_stages() {
    let effect = last(
        spec(),
        vec![
            Event::Started,
            Event::StageFailed(symptom(Stage::Gates, 1)),
            proposed(1),
            rejected(1),
        ],
    );
    assert_eq!(effect, Effect::AskAuthor { iteration: 2, again: false });
}

#[test]
fn what_the_policy_forbids_is_never_reviewed_or_applied() {
    let effect = last(
        spec(),
        vec![
            Event::Started,
            Event::StageFailed(symptom(Stage::Gates, 1)),
            judged(1, Decision::Forbid),
        ],
    );
    assert_eq!(effect, Effect::AskAuthor { iteration: 2, again: false });
}

#[test]
fn a_person_decides_where_the_policy_wants_one() {
    let start = vec![
        Event::Started,
        Event::StageFailed(symptom(Stage::Gates, 1)),
        judged(1, Decision::NeedsHuman),
        approved(),
    ];
    assert_eq!(last(spec(), start.clone()), Effect::AskHumanForPatch { iteration: 1 });
    let request = "apply?".to_owned();
    for (approved, expect) in [
        (Some(true), Effect::Apply { iteration: 1 }),
        (Some(false), Effect::Finish(StopReason::NeedsHuman { request: request.clone() })),
        (None, Effect::Finish(StopReason::NeedsHuman { request: request.clone() })),
    ] {
        let mut inputs = start.clone();
        inputs.push(Event::HumanDecided { approved, request: request.clone() });
        assert_eq!(last(spec(), inputs), expect, "{approved:?}");
    }
}

#[test]
fn an_environment_that_wants_approval_is_asked_about_before_the_rollout() {
    let effect =
        last(RunSpec { approve_rollout: true, ..spec() }, vec![Event::Started, Event::StagePassed]);
    assert_eq!(effect, Effect::AskHumanForRollout { iteration: 1 });
}

#[test]
fn the_same_fingerprint_stops_at_the_threshold() {
    for (threshold, rounds) in [(1, 0), (2, 1), (3, 2)] {
        let limits = Limits { no_progress_threshold: threshold, ..limits() };
        let mut inputs = vec![Event::Started];
        for n in 0..rounds {
            inputs.extend(round(7, n + 1));
        }
        inputs.push(Event::StageFailed(symptom(Stage::Gates, 7)));
        assert_eq!(
            last(RunSpec { limits, ..spec() }, inputs),
            Effect::Finish(StopReason::NoProgress { repeats: threshold }),
            "threshold {threshold}"
        );
    }
}

#[test]
fn fingerprints_that_swing_stop_whatever_the_threshold() {
    let limits = Limits { no_progress_threshold: 9, max_iterations: 9, ..limits() };
    let mut inputs = vec![Event::Started];
    inputs.extend(round(1, 1));
    inputs.extend(round(2, 2));
    inputs.push(Event::StageFailed(symptom(Stage::Gates, 1)));
    let effect = last(RunSpec { limits, ..spec() }, inputs);
    assert_eq!(effect, Effect::Finish(StopReason::NoProgress { repeats: 2 }));
}

#[test]
fn a_patch_back_to_a_tree_that_failed_is_not_applied() {
    let mut inputs = vec![Event::Started];
    inputs.extend(round(1, 1));
    inputs.push(Event::StageFailed(symptom(Stage::Gates, 2)));
    inputs.push(proposed(0));
    assert_eq!(last(spec(), inputs), Effect::Finish(StopReason::RepeatedTree { swing: true }));
}

#[test]
fn the_last_iteration_asks_no_author() {
    let mut inputs = vec![Event::Started];
    for n in 1..5 {
        inputs.extend(round(n, n));
    }
    inputs.push(Event::StageFailed(symptom(Stage::Gates, 99)));
    assert_eq!(last(spec(), inputs), Effect::Finish(StopReason::MaxIterations { limit: 5 }));
}

#[test]
fn budgets_stop_before_the_next_request() {
    let (state, _) = play(spec(), vec![Event::Started]);
    let spent = Usage { input_tokens: 900, output_tokens: 100, ..Usage::default() };
    let what = Event::StageFailed(symptom(Stage::Gates, 1));
    let (_, effect) =
        step(state.clone(), Input { at: Duration::ZERO, spent, what: what.clone() }).unwrap();
    assert!(matches!(effect, Effect::Finish(StopReason::Budget { .. })), "{effect:?}");
    let late = Input { at: Duration::from_secs(3_600), spent: Usage::default(), what };
    let (_, effect) = step(state, late).unwrap();
    assert!(matches!(effect, Effect::Finish(StopReason::Budget { .. })), "{effect:?}");
}

#[test]
fn a_rollback_is_never_rolled_back() {
    let spec =
        RunSpec { stages: vec![Stage::Rollout, Stage::Smoke], mode: Mode::RollBack, ..spec() };
    let inputs =
        vec![Event::Started, Event::StagePassed, Event::StageFailed(symptom(Stage::Smoke, 1))];
    assert_eq!(last(spec, inputs), Effect::Finish(StopReason::NoHealing { stage: Stage::Smoke }));
}

#[test]
fn cancelling_takes_an_unverified_release_back() {
    let inputs = vec![Event::Started, Event::StagePassed, Event::StagePassed, Event::Cancelled];
    assert_eq!(last(spec(), inputs.clone()), Effect::Restore);
    let mut ended = inputs;
    for happened in [
        Event::Restored { serving: true },
        // What could not be done in the time that is left is the next run's.
        Event::RestoreFailed { reason: "no answer".into() },
    ] {
        ended.push(happened);
        assert_eq!(last(spec(), ended.clone()), Effect::Finish(StopReason::Cancelled));
        ended.pop();
    }
}

#[test]
fn a_resumed_run_begins_its_iteration_anew_and_counts_nothing_twice() {
    let mut inputs = vec![Event::Started];
    inputs.extend(round(1, 1));
    inputs.push(Event::StageFailed(symptom(Stage::Gates, 2)));
    inputs.push(Event::Resumed { attended: Some(true) });
    let (state, effects) = play(spec(), inputs);
    assert_eq!(effects.last(), Some(&Effect::RunStage { iteration: 2, stage: Stage::Gates }));
    let (_, effect) = feed(state, Event::StageFailed(symptom(Stage::Gates, 2)));
    assert_eq!(effect, Effect::AskAuthor { iteration: 2, again: false });
}

#[test]
fn a_failure_that_is_seen_again_on_the_same_tree_after_a_resume_is_no_second_one() {
    // The rejection began another iteration without running the stages.
    let inputs = vec![
        Event::Started,
        Event::StageFailed(symptom(Stage::Gates, 1)),
        proposed(1),
        rejected(1),
        Event::Resumed { attended: Some(true) },
        Event::StageFailed(symptom(Stage::Gates, 1)),
    ];
    let first_rules = RunSpec { rules: Rules::V1, ..spec() };
    assert_eq!(last(spec(), inputs.clone()), Effect::AskAuthor { iteration: 2, again: false });
    let stop = Effect::Finish(StopReason::NoProgress { repeats: 2 });
    assert_eq!(last(first_rules, inputs), stop, "as logs of the first rules recorded it");
}

#[test]
fn nothing_follows_the_end() {
    let (state, _) = play(spec(), vec![Event::Started, Event::Cancelled]);
    let input = Input { at: Duration::ZERO, spent: Usage::default(), what: Event::Started };
    assert!(step(state, input).is_err());
}

fn doubted(fingerprint: u8, person: bool) -> Event {
    let request = format!("accept {fingerprint}?");
    Event::Doubted { symptom: symptom(Stage::Gates, fingerprint), request, person }
}

#[test]
fn a_tree_that_passes_and_is_doubted_goes_to_the_author_once_and_then_to_a_person() {
    let decided = |approved| Event::HumanDecided { approved, request: "accept 8?".into() };
    let mut inputs = vec![Event::Started];
    inputs.extend(round(1, 1));
    inputs.extend([doubted(7, false), proposed(2), approved(), Event::Applied { tree: tree(2) }]);
    let (_, effects) = play(spec(), inputs.clone());
    assert!(effects.contains(&Effect::AskAuthor { iteration: 2, again: false }), "{effects:?}");
    inputs.push(doubted(8, false));
    let (state, effects) = play(spec(), inputs.clone());
    assert_eq!(effects.last(), Some(&Effect::AskHumanForProof { iteration: 3 }));
    let (_, effect) = feed(state.clone(), decided(Some(true)));
    assert_eq!(effect, Effect::RunStage { iteration: 3, stage: Stage::Rollout });
    for answer in [Some(false), None] {
        let (_, effect) = feed(state.clone(), decided(answer));
        let stop = StopReason::NeedsHuman { request: "accept 8?".into() };
        assert_eq!(effect, Effect::Finish(stop));
    }
}

#[test]
fn what_only_a_person_can_say_goes_to_one_at_once() {
    let mut inputs = vec![Event::Started];
    inputs.extend(round(1, 1));
    inputs.push(doubted(7, true));
    assert_eq!(last(spec(), inputs), Effect::AskHumanForProof { iteration: 2 });
}

#[test]
fn an_author_that_has_nothing_better_leaves_the_doubt_to_a_person() {
    let mut start = vec![Event::Started];
    start.extend(round(1, 1));
    start.push(doubted(7, false));
    let person = Effect::Finish(StopReason::NeedsHuman { request: "accept 7?".into() });
    for after in [
        vec![refused(20, 1), refused(21, 1)],
        vec![judged(0, Decision::Allow)],
        vec![Event::NoPatch { class: NoPatchClass::NeedsHuman, reason: "the test".into() }],
    ] {
        let inputs = start.iter().cloned().chain(after).collect();
        assert_eq!(last(spec(), inputs), person);
    }
    let few = RunSpec { limits: Limits { max_iterations: 2, ..limits() }, ..spec() };
    assert_eq!(last(few, start), person);
}

/// Any input that could answer the effect.
fn answers(effect: &Effect) -> BoxedStrategy<Event> {
    let failing = |stage: Stage| {
        (0u8..4, any::<bool>(), 0usize..FailureClass::ALL.len()).prop_map(
            move |(f, flaky, class)| FailureInput {
                flaky_suspect: flaky,
                class: FailureClass::ALL[class],
                ..symptom(stage, f)
            },
        )
    };
    let specific = match effect {
        Effect::RunStage { stage, .. } => prop_oneof![
            2 => Just(Event::StagePassed),
            3 => failing(*stage).prop_map(Event::StageFailed),
            1 => (failing(*stage), any::<bool>()).prop_map(|(symptom, person)| {
                Event::Doubted { symptom, request: "accept?".into(), person }
            }),
        ]
        .boxed(),
        Effect::Rerun { stage, .. } => prop_oneof![
            Just(Event::RerunPassed),
            failing(*stage).prop_map(Event::RerunFailed),
        ]
        .boxed(),
        Effect::Restore => prop_oneof![
            any::<bool>().prop_map(|serving| Event::Restored { serving }),
            Just(Event::RestoreFailed { reason: "gone".into() }),
            Just(Event::Declined { reason: "superseded".into() }),
        ]
        .boxed(),
        Effect::AskAuthor { .. } => prop_oneof![
            4 => (0u8..6, 0usize..3).prop_map(|(t, d)| {
                judged(t, [Decision::Allow, Decision::NeedsHuman, Decision::Forbid][d])
            }),
            1 => (0u8..4, 0u8..4).prop_map(|(answer, refusal)| refused(10 + answer, refusal)),
            1 => (0usize..3).prop_map(|c| Event::NoPatch {
                class: [NoPatchClass::Flaky, NoPatchClass::Infrastructure, NoPatchClass::NeedsHuman][c],
                reason: "no".into(),
            }),
        ]
        .boxed(),
        Effect::AskReviewer { .. } => prop_oneof![
            3 => Just(approved()),
            1 => (0u8..4).prop_map(rejected),
            1 => Just(Event::ModelFailed { reason: "down".into(), configured: true }),
        ]
        .boxed(),
        Effect::AskHumanForPatch { .. }
        | Effect::AskHumanForRollout { .. }
        | Effect::AskHumanForProof { .. } => {
            proptest::option::of(any::<bool>())
                .prop_map(|approved| Event::HumanDecided { approved, request: "?".into() })
                .boxed()
        }
        Effect::Apply { .. } => (6u8..200).prop_map(|t| Event::Applied { tree: tree(t) }).boxed(),
        Effect::MarkVerified => Just(Event::MarkedVerified).boxed(),
        Effect::Finish(_) => Just(Event::Cancelled).boxed(),
    };
    prop_oneof![
        20 => specific,
        1 => Just(Event::Cancelled),
        1 => proptest::option::of(any::<bool>())
            .prop_map(|attended| Event::Resumed { attended }),
    ]
    .boxed()
}

proptest! {
    /// Whatever happens, a run ends, within its iterations, with an approved review before each
    /// patch, and never with a release of its own that is out and not verified.
    #[test]
    fn every_run_ends_as_it_should(
        seed in any::<u64>(),
        approve in any::<bool>(),
        attended in any::<bool>(),
        first_rules in any::<bool>(),
    ) {
        let mut runner = proptest::test_runner::TestRunner::new_with_rng(
            Default::default(),
            proptest::test_runner::TestRng::from_seed(
                proptest::test_runner::RngAlgorithm::ChaCha,
                &seed.to_le_bytes().repeat(4),
            ),
        );
        let rules = if first_rules { Rules::V1 } else { Rules::V2 };
        let mut state =
            State::new(RunSpec { approve_rollout: approve, attended, rules, ..spec() });
        let mut calls = 0;
        let mut what = Event::Started;
        let mut reviewed = false;
        let mut out = false;
        let mut resumes = 0;
        for _ in 0..400 {
            if matches!(what, Event::Resumed { .. }) {
                resumes += 1;
                out = false;
            }
            let (next, effect) = feed(state, what.clone());
            state = next;
            prop_assert!(state.iteration() <= 5);
            calls += u32::from(matches!(
                effect,
                Effect::AskAuthor { .. } | Effect::AskReviewer { .. }
            ));
            // A call that is under way when the limit is reached may still be reviewed.
            prop_assert!(first_rules || calls <= 3 * limits().max_iterations + 1);
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
                | Effect::AskHumanForRollout { .. }
                | Effect::AskHumanForProof { .. } => {}
            }
            if let Event::Reviewed { verdict: ReviewVerdict::Approve, .. } = &what {
                reviewed = true;
            }
            what = answers(&effect).new_tree(&mut runner).unwrap().current();
            if resumes > 3 && matches!(what, Event::Resumed { .. }) {
                what = Event::Cancelled;
            }
            if let Event::Reviewed { verdict: ReviewVerdict::Approve, .. } = &what {
                reviewed = true;
            }
        }
        prop_assert!(false, "the run never ended");
    }
}

fn with_tasks() -> RunSpec {
    RunSpec { stages: vec![Stage::Gates, Stage::Tasks, Stage::Rollout, Stage::Smoke], ..spec() }
}

#[test]
fn the_work_of_tasks_becomes_the_tree_at_hand() {
    use Event::*;
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
    use Event::*;
    let failed = StageFailed(symptom(Stage::Tasks, 1));
    let end = last(with_tasks(), vec![Started, StagePassed, failed]);
    let class = FailureClass::Code;
    assert_eq!(end, Effect::Finish(StopReason::NotHealable { class, stage: Stage::Tasks }));
}

/// From the failure on: the effects that follow `inputs`.
fn after_failure(spec: RunSpec, inputs: Vec<Event>) -> Vec<Effect> {
    let start = [Event::Started, Event::StageFailed(symptom(Stage::Gates, 1))];
    play(spec, start.into_iter().chain(inputs).collect()).1.split_off(1)
}

fn long() -> RunSpec {
    RunSpec { limits: Limits { max_iterations: 9, ..limits() }, ..spec() }
}

#[test]
fn what_the_author_or_the_reviewer_repeats_ends_the_run() {
    for (what, inputs) in [
        // The same text, refused at once and after another answer.
        (Repeated::Answer, vec![refused(1, 1), refused(1, 1)]),
        (Repeated::Answer, vec![refused(1, 1), refused(2, 2), refused(1, 1)]),
        // The same text that fits, which the reviewer has rejected.
        (Repeated::Answer, vec![proposed(1), rejected(1), proposed(1)]),
        // The same change in other words.
        (
            Repeated::Answer,
            vec![
                proposed(1),
                rejected(1),
                Event::Proposed {
                    tree: tree(1),
                    decision: Decision::Allow,
                    answer: id(77),
                    refusal: None,
                    wants: None,
                },
            ],
        ),
        (Repeated::Refusal, vec![refused(1, 7), refused(2, 7)]),
        (Repeated::Refusal, vec![refused(1, 1), refused(2, 7), refused(3, 7)]),
        (Repeated::Review, vec![proposed(1), rejected(5), proposed(2), rejected(5)]),
    ] {
        let calls = inputs.len();
        let effects = after_failure(long(), inputs);
        let Some(Effect::Finish(StopReason::RepeatedAnswer { what: found, .. })) = effects.last()
        else {
            panic!("{what:?}: {effects:?}")
        };
        assert_eq!((*found, effects.len()), (what, calls + 1), "{effects:?}");
    }
}

#[test]
fn what_is_new_goes_on() {
    for inputs in [
        vec![refused(1, 1), refused(2, 2), refused(3, 1)],
        vec![proposed(1), rejected(1), proposed(2), rejected(2)],
        // A refusal, then something else, then the refusal again.
        vec![refused(1, 7), proposed(2), rejected(1), refused(3, 7)],
        vec![judged(1, Decision::Forbid), judged(2, Decision::Forbid)],
    ] {
        let effects = after_failure(long(), inputs);
        assert!(matches!(effects.last(), Some(Effect::AskAuthor { .. })), "{effects:?}");
    }
}

#[test]
fn a_log_without_identities_is_replayed_by_the_first_rules() {
    let old = || Event::Refused { reason: "ambiguous".into(), answer: None, refusal: None };
    let wants_person = || Event::Proposed {
        tree: tree(1),
        decision: Decision::NeedsHuman,
        answer: None,
        refusal: None,
        wants: None,
    };
    let spec = || RunSpec { attended: false, rules: Rules::V1, ..long() };
    let effects = after_failure(spec(), vec![old(), old(), old()]);
    assert_eq!(effects.last(), Some(&Effect::AskAuthor { iteration: 2, again: true }));
    let effects = after_failure(spec(), vec![wants_person()]);
    assert_eq!(effects.last(), Some(&Effect::AskReviewer { iteration: 1 }));
}

#[test]
fn a_restore_that_fails_after_a_cancel_ends_by_the_rules_of_its_log() {
    for (rules, cancelled) in [(Rules::V1, false), (Rules::V2, true)] {
        let failed = Event::RestoreFailed { reason: "no answer".into() };
        let inputs =
            vec![Event::Started, Event::StagePassed, Event::StagePassed, Event::Cancelled, failed];
        let Effect::Finish(stop) = last(RunSpec { rules, ..spec() }, inputs) else {
            panic!("it goes on")
        };
        let internal = matches!(stop, StopReason::Internal { .. });
        assert_eq!((stop == StopReason::Cancelled, internal), (cancelled, !cancelled), "{stop:?}");
    }
}

#[test]
fn a_restore_that_fails_is_told_as_that_and_by_the_rules_of_its_log() {
    for (rules, told) in [(Rules::V2, false), (Rules::V3, true)] {
        let inputs = vec![
            Event::Started,
            Event::StagePassed,
            Event::StagePassed,
            Event::StageFailed(symptom(Stage::Smoke, 1)),
            Event::RestoreFailed { reason: "no answer".into() },
        ];
        let Effect::Finish(stop) = last(RunSpec { rules, ..spec() }, inputs) else {
            panic!("it goes on")
        };
        assert_eq!(
            stop == StopReason::NotRestored { reason: "no answer".into() },
            told,
            "{stop:?}"
        );
        assert!(stop.to_string().ends_with("could not be restored: no answer"), "{stop}");
    }
}

#[test]
fn an_answer_that_was_turned_down_may_fit_the_next_tree() {
    // Refused on the first tree; on the one that another patch led to it is an answer like any.
    let applied = [proposed(2), approved(), Event::Applied { tree: tree(2) }];
    let next = Event::StageFailed(symptom(Stage::Gates, 2));
    let again = Event::Proposed {
        tree: tree(3),
        decision: Decision::Allow,
        answer: id(1),
        refusal: None,
        wants: None,
    };
    let inputs: Vec<Event> =
        [refused(1, 1)].into_iter().chain(applied).chain([next, again.clone()]).collect();
    let effects = after_failure(long(), inputs);
    assert_eq!(effects.last(), Some(&Effect::AskReviewer { iteration: 2 }), "{effects:?}");

    // The work of tasks makes another tree as well.
    let flaky = Event::NoPatch { class: NoPatchClass::Flaky, reason: "a race".into() };
    let merged = Event::TasksMerged { tree: tree(2) };
    let rollout = Event::StageFailed(symptom(Stage::Rollout, 2));
    let restored = Event::Restored { serving: true };
    let inputs = vec![refused(1, 1), flaky, Event::RerunPassed, merged, rollout, restored, again];
    let limits = long().limits;
    let effects = after_failure(RunSpec { limits, ..with_tasks() }, inputs);
    assert_eq!(effects.last(), Some(&Effect::AskReviewer { iteration: 1 }), "{effects:?}");
}

/// A process dies after `before`; the next one finds the same failure and goes on with `after`.
fn resumed(spec: RunSpec, attended: bool, before: Vec<Event>, after: Vec<Event>) -> Vec<Effect> {
    let between =
        [Event::Resumed { attended: Some(attended) }, Event::StageFailed(symptom(Stage::Gates, 1))];
    after_failure(spec, before.into_iter().chain(between).chain(after).collect())
}

#[test]
fn what_was_turned_down_stays_so_when_the_run_is_resumed() {
    for (what, before, after) in [
        (Repeated::Answer, vec![refused(1, 1)], vec![refused(1, 1)]),
        (Repeated::Refusal, vec![refused(1, 7)], vec![refused(2, 7)]),
        (Repeated::Answer, vec![proposed(1), rejected(1)], vec![proposed(1)]),
        (Repeated::Review, vec![proposed(1), rejected(5)], vec![proposed(2), rejected(5)]),
        (Repeated::Answer, vec![judged(1, Decision::Forbid)], vec![judged(1, Decision::Forbid)]),
    ] {
        let effects = resumed(long(), true, before, after);
        let Some(Effect::Finish(StopReason::RepeatedAnswer { what: found, .. })) = effects.last()
        else {
            panic!("{what:?}: {effects:?}")
        };
        assert_eq!(*found, what, "{effects:?}");
    }
}

#[test]
fn a_patch_that_a_dead_process_lost_may_be_proposed_again() {
    let person = || judged(1, Decision::NeedsHuman);
    for (again, before, next) in [
        (proposed(1), vec![proposed(1)], Effect::AskReviewer { iteration: 1 }),
        (proposed(1), vec![proposed(1), approved()], Effect::AskReviewer { iteration: 1 }),
        (person(), vec![person(), approved()], Effect::AskReviewer { iteration: 1 }),
        // What was turned down before it stays turned down, in the count of iterations too.
        (proposed(2), vec![proposed(1), rejected(1), proposed(2)], {
            Effect::AskReviewer { iteration: 2 }
        }),
    ] {
        let effects = resumed(long(), true, before, vec![again]);
        assert_eq!(effects.last(), Some(&next), "{effects:?}");
    }
}

#[test]
fn who_can_be_asked_follows_the_process_that_asks() {
    let person = |n| judged(n, Decision::NeedsHuman);
    let spec = |attended| RunSpec { attended, ..long() };
    // Nobody is there any more: it goes back to the author instead of to the reviewer.
    let effects = resumed(spec(true), false, vec![], vec![person(1)]);
    assert_eq!(effects.last(), Some(&Effect::AskAuthor { iteration: 1, again: true }));
    // It went back once already; nobody can be asked now either.
    let effects = resumed(spec(false), false, vec![person(1)], vec![person(1)]);
    let waits = Effect::Finish(StopReason::NeedsHuman { request: "apply 1?".into() });
    assert_eq!(effects.last(), Some(&waits), "{effects:?}");
    // Somebody is there now: the patch that went back is put to them, whatever came after it.
    for before in [vec![person(1)], vec![person(1), proposed(2), rejected(1)]] {
        let Event::Proposed { tree, decision, answer, refusal, .. } = person(1) else { return };
        let again = Event::Proposed { tree, decision, answer, refusal, wants: None };
        let effects = resumed(spec(false), true, before, vec![again, approved()]);
        assert!(matches!(effects.last(), Some(Effect::AskHumanForPatch { .. })), "{effects:?}");
    }
    // A record without it changes nothing.
    let (state, _) = play(spec(false), vec![Event::Started, Event::Resumed { attended: None }]);
    assert!(state.nobody_to_ask(Decision::NeedsHuman));
}

#[test]
fn a_patch_that_wants_a_person_goes_back_once_before_it_is_reviewed() {
    let alone = || RunSpec { attended: false, ..long() };
    let waits = |n: u8| Effect::Finish(StopReason::NeedsHuman { request: format!("apply {n}?") });
    let person = |n| judged(n, Decision::NeedsHuman);
    let back = Effect::AskAuthor { iteration: 1, again: true };
    assert_eq!(after_failure(alone(), vec![person(1)]).last(), Some(&back));

    // Another way: reviewed and applied as any patch.
    let effects = after_failure(alone(), vec![person(1), proposed(2), approved()]);
    let expect = [
        Effect::AskAuthor { iteration: 1, again: false },
        back,
        Effect::AskReviewer { iteration: 1 },
        Effect::Apply { iteration: 1 },
    ];
    assert_eq!(effects, expect);

    // No other way, in all the forms of it: the run waits for a person, and nobody was paid to
    // review it.
    let no_patch = Event::NoPatch { class: NoPatchClass::NeedsHuman, reason: "no way".into() };
    for (last, stop) in [
        (person(1), waits(1)),
        (person(2), waits(2)),
        (no_patch, waits(1)),
        (Event::Refused { reason: "x".into(), answer: id(1), refusal: id(1) }, waits(1)),
    ] {
        // The first answer has the identity 1.
        let effects = after_failure(alone(), vec![person(1), last]);
        assert_eq!(effects.last(), Some(&stop), "{effects:?}");
        assert!(!effects.iter().any(|e| matches!(e, Effect::AskReviewer { .. })), "{effects:?}");
    }

    // Where every patch wants one, asking for another is in vain.
    let Event::Proposed { tree, decision, answer, refusal, .. } = person(1) else { return };
    let wants = Some(Confirmation { request: "apply 1?".into(), avoidable: false });
    let always = Event::Proposed { tree, decision, answer, refusal, wants };
    assert_eq!(after_failure(alone(), vec![always]).last(), Some(&waits(1)));

    // With a person it is reviewed first.
    let effects = after_failure(long(), vec![person(1)]);
    assert_eq!(effects.last(), Some(&Effect::AskReviewer { iteration: 1 }));
}
