//! Which failures of gates run once more before the author is asked.

use std::time::Duration;

use greenloop_config::plan::GatePlan;
use greenloop_model::{Failure, GateResult, GateStatus};

/// Gates that failed within this time, all together, run once more.
const CHEAP: Duration = Duration::from_secs(30);
/// A gate with a time limit must have failed within this part of it, too.
const CHEAP_SHARE: u32 = 4;

/// Whether gates that failed run again before anybody is asked, although nothing in their output
/// speaks of chance: that takes little time, a patch for a test that fails by chance is worse than
/// none, and what came of the command once says nothing. What is known for certain (a compiler's
/// error at a place in the source, a command that is not there) does not change by itself, and
/// neither does what no patch repairs.
pub(super) fn is_cheap_to_rerun(
    failure: &Failure,
    results: &[GateResult],
    plans: &[GatePlan],
) -> bool {
    let failed = || results.iter().filter(|gate| matches!(gate.status, GateStatus::Failed(_)));
    let limit = |name: &str| plans.iter().find(|plan| plan.name == name)?.timeout;
    let within_limits = || {
        failed()
            .all(|gate| limit(&gate.name).is_none_or(|limit| gate.duration <= limit / CHEAP_SHARE))
    };
    // An assignment that is still to be done is no command that failed.
    failed().next().is_some()
        && failure.class.heals()
        && failure.evidence.remedy.is_none()
        && !failure.evidence.deterministic
        && failed().map(|gate| gate.duration).sum::<Duration>() <= CHEAP
        && within_limits()
}

#[cfg(test)]
mod tests {
    use super::*;
    use greenloop_model::{Evidence, Exit, FailureClass, Fingerprint, Remedy, Stage};

    fn failure(class: FailureClass, evidence: Evidence) -> Failure {
        Failure {
            stage: Stage::Gates,
            name: "test".into(),
            headline: String::new(),
            class,
            fingerprint: Fingerprint::from_digest([0; 8]),
            flaky_suspect: false,
            symptoms: Default::default(),
            evidence,
        }
    }

    fn result(name: &str, status: GateStatus, millis: u64) -> GateResult {
        GateResult {
            name: name.into(),
            required: true,
            status,
            duration: Duration::from_millis(millis),
            output_bytes: 0,
            log: None,
        }
    }

    fn plan(name: &str, timeout: Option<u64>) -> GatePlan {
        GatePlan {
            name: name.into(),
            command: "true".into(),
            required: true,
            timeout: timeout.map(Duration::from_secs),
            working_directory: None,
            env: Default::default(),
            access: Default::default(),
            needs: Vec::new(),
            reports: Vec::new(),
            writes: Vec::new(),
        }
    }

    #[test]
    fn time_decides_at_thirty_seconds_and_at_a_quarter_of_the_limit() {
        let unknown = failure(FailureClass::Code, Evidence::default());
        // Each gate: milliseconds until it failed, and its limit in seconds.
        type Gates<'g> = &'g [(u64, Option<u64>)];
        let cases: &[(Gates, bool)] = &[
            (&[(0, None)], true),
            (&[(30_000, None)], true),
            (&[(30_001, None)], false),
            (&[(25_000, Some(100))], true),
            (&[(25_001, Some(100))], false),
            (&[(30_000, Some(120))], true),
            (&[(30_001, Some(1_000))], false),
            (&[(2_500, Some(10))], true),
            (&[(2_501, Some(10))], false),
            // The time of all that failed counts, and the limit of each.
            (&[(15_000, None), (15_000, None)], true),
            (&[(15_000, None), (15_001, None)], false),
            (&[(1_000, Some(100)), (1_001, Some(4))], false),
        ];
        for (gates, cheap) in cases {
            let names: Vec<String> = (0..gates.len()).map(|n| format!("gate-{n}")).collect();
            let failed = |(name, (millis, _)): (&String, &(u64, Option<u64>))| {
                result(name, GateStatus::Failed(Exit::Code(1)), *millis)
            };
            let results: Vec<GateResult> = names.iter().zip(*gates).map(failed).collect();
            let plans: Vec<GatePlan> =
                names.iter().zip(*gates).map(|(name, (_, limit))| plan(name, *limit)).collect();
            assert_eq!(is_cheap_to_rerun(&unknown, &results, &plans), *cheap, "{gates:?}");
        }
    }

    #[test]
    fn what_passed_or_never_ran_takes_no_time_of_the_rerun() {
        let unknown = failure(FailureClass::Unknown, Evidence::default());
        let results = [
            result("slow", GateStatus::Passed, 600_000),
            result("test", GateStatus::Failed(Exit::Code(1)), 10),
            result("after", GateStatus::Skipped { needs: "test".into() }, 0),
        ];
        let plans = [plan("slow", Some(700)), plan("test", None), plan("after", None)];
        assert!(is_cheap_to_rerun(&unknown, &results, &plans));
        assert!(!is_cheap_to_rerun(&unknown, &results[..1], &plans), "nothing failed");
    }

    #[test]
    fn what_is_certain_does_not_run_again() {
        let results = [result("test", GateStatus::Failed(Exit::Code(1)), 10)];
        let plans = [plan("test", None)];
        let certain = [
            failure(FailureClass::Code, Evidence { deterministic: true, ..Evidence::default() }),
            failure(
                FailureClass::Config,
                Evidence { remedy: Some(Remedy::health_path("/health")), ..Evidence::default() },
            ),
            failure(FailureClass::Infrastructure, Evidence::default()),
        ];
        for failure in certain {
            assert!(!is_cheap_to_rerun(&failure, &results, &plans), "{failure:?}");
        }
        let unknown = failure(FailureClass::Code, Evidence::default());
        assert!(is_cheap_to_rerun(&unknown, &results, &plans));
    }
}
