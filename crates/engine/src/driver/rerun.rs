//! Which failures of gates run once more before the author is asked, and how: only the tests that
//! failed, where the runner takes their names; else the whole gate.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use serde_json::json;

use super::gate_writes::GatesRan;
use super::{DriveError, Driver};
use crate::stages::gates::run_narrowed;
use crate::stages::narrow::{Narrowed, Shown, narrowed};
use greenloop_audit::Actor;
use greenloop_config::plan::GatePlan;
use greenloop_evidence::{Knowledge, Outcome};
use greenloop_model::{Failure, GateResult, GateStatus, Notice, RunEvent, Stage, StageOutcome};

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

/// What running gates once more came to.
pub(super) enum Again {
    /// They ran.
    Ran(StageOutcome),
    /// The tests that failed fail again: the failure at hand stands as it is.
    Confirmed,
}

impl Driver {
    /// Whether all required gates that failed can run again with just the tests that failed. That
    /// takes little time however long the gates take.
    pub(super) fn reruns_only_tests(&self, failure: &Failure, results: &[GateResult]) -> bool {
        let failed =
            |gate: &&GateResult| gate.required && matches!(gate.status, GateStatus::Failed(_));
        let plan = |gate: &GateResult| self.run.gates.iter().find(|plan| plan.name == gate.name);
        let mut gates = results.iter().filter(failed).peekable();
        gates.peek().is_some()
            && failure.class.heals()
            && failure.evidence.remedy.is_none()
            && !failure.evidence.deterministic
            && gates.all(|gate| plan(gate).is_some_and(|plan| self.narrowed(plan).is_some()))
    }

    fn narrowed(&self, plan: &GatePlan) -> Option<Narrowed> {
        // The names in reports are not those that a runner takes.
        let run = self.context.tests.ran_now(&plan.name).filter(|_| plan.reports.is_empty())?;
        narrowed(&plan.command, run)
    }

    /// Runs the gates that failed, and those that waited for them, once more on the same tree. The
    /// brief for the author is written meanwhile.
    pub(super) async fn rerun_gates(&mut self, iteration: u32) -> Result<Again, DriveError> {
        let names = self.context.unfinished_gates.clone();
        let failed = self.context.failed_gates.clone();
        let mut plans: Vec<GatePlan> =
            self.run.gates.iter().filter(|g| names.contains(&g.name)).cloned().collect();
        let mut settled: Vec<GateResult> = Vec::new();
        for plan in plans.iter().filter(|plan| plan.required && failed.contains(&plan.name)) {
            let Some(narrowed) = self.narrowed(plan) else { continue };
            self.events.send(RunEvent::StageStarted {
                iteration,
                stage: Stage::Gates,
                parts: vec![plan.name.clone()],
            });
            let from = SystemTime::now();
            let context = self.context(iteration);
            let rerun = run_narrowed(plan, &narrowed, &context);
            let (ran, prepared) = self.while_preparing(iteration, rerun).await;
            self.context.gates_ran.push(GatesRan { from, to: SystemTime::now() });
            self.context.prepared = prepared.or(self.context.prepared.take());
            let Some((result, run)) = ran else {
                return Ok(Again::Ran(StageOutcome::Cancelled));
            };
            let shown = narrowed.shown(&run, result.status == GateStatus::Flaky);
            let passed: BTreeSet<String> = narrowed.passed_in(&run).map(str::to_owned).collect();
            self.note(
                &Actor::Machine,
                "rerun.tests",
                json!({
                    "iteration": iteration,
                    "gate": plan.name,
                    "command": self.redacted(&narrowed.command),
                    "shown": match shown {
                        Shown::Passed => "passed",
                        Shown::Failed => "failed",
                        Shown::Unknown => "unknown",
                    },
                    "passed": passed,
                    "rest_ran": narrowed.rest_ran,
                }),
            )?;
            match shown {
                Shown::Failed => {
                    self.tell_of_flaky_tests(&passed);
                    self.context.tests.add_flaky(passed);
                    return Ok(Again::Confirmed);
                }
                Shown::Passed if narrowed.rest_ran => {
                    self.context.tests.add_flaky(passed);
                    self.context.tests.settle(&plan.name, self.context.patches.is_empty());
                    self.events.send(RunEvent::GateFinished { iteration, result: result.clone() });
                    settled.push(result);
                }
                Shown::Passed => self.context.tests.add_flaky(passed),
                Shown::Unknown => {}
            }
        }
        plans.retain(|plan| settled.iter().all(|gate| gate.name != plan.name));
        for plan in &mut plans {
            // What the others gave has been had already.
            plan.needs.retain(|need| {
                names.contains(need) && settled.iter().all(|gate| gate.name != *need)
            });
        }
        if plans.is_empty() {
            self.context.unfinished_gates.clear();
            self.context.failed_gates.clear();
            return Ok(Again::Ran(StageOutcome::Passed { gates: settled }));
        }
        Ok(Again::Ran(match self.gates(iteration, &plans, &failed).await? {
            StageOutcome::Passed { gates } => {
                settled.extend(gates);
                StageOutcome::Passed { gates: settled }
            }
            outcome @ (StageOutcome::Failed { .. }
            | StageOutcome::Declined { .. }
            | StageOutcome::Cancelled) => outcome,
        }))
    }

    /// Of the tests that failed, some passed on the same tree: those are not to be repaired.
    fn tell_of_flaky_tests(&mut self, passed: &BTreeSet<String>) {
        if passed.is_empty() {
            return;
        }
        let names: Vec<&str> = passed.iter().map(String::as_str).collect();
        let text = format!(
            "failed and then passed on the same tree, so flaky and not what is to be repaired: {}",
            names.join(", ")
        );
        self.events.send(RunEvent::Notice(Notice::Info(text.clone())));
        if let Some(failure) = &mut self.context.failure {
            failure.evidence.notes.push(text);
        }
    }

    /// What earlier runs saw on this very tree: tests that failed there and pass now, and those that
    /// fail now where their gate passed, are flaky.
    pub(super) fn compare_with_earlier_runs(&mut self, gates: &[GateResult]) {
        let tree = self.state.tree().clone();
        let mut flaky = BTreeSet::new();
        for plan in &self.run.gates {
            let Some(result) = gates.iter().find(|gate| gate.name == plan.name) else { continue };
            let Some(run) = self.context.tests.ran_now(&plan.name) else { continue };
            let memory = &mut self.run.passed_before;
            if memory.contains(&tree, &plan.command) {
                flaky.extend(run.named(Outcome::Failed).map(str::to_owned));
            } else if let Some(before) = memory.failed_tests(&tree, &plan.command) {
                let passed = run.named(Outcome::Passed);
                flaky.extend(passed.filter(|test| before.contains(*test)).map(str::to_owned));
            }
            let failed: BTreeSet<String> = run.named(Outcome::Failed).map(str::to_owned).collect();
            let named =
                run.knowledge() > Knowledge::Nothing && failed.len() as u64 == run.counts().failed;
            if matches!(result.status, GateStatus::Failed(_)) && named && !failed.is_empty() {
                memory.insert_failed(&tree, &plan.command, failed);
            }
        }
        self.context.tests.add_flaky(flaky);
    }

    /// Whether earlier runs speak for chance: the gate passed on this tree, one of the tests is known
    /// to be flaky, or other tests failed there.
    pub(super) fn is_suspect(&self, failure: &Failure, results: &[GateResult]) -> bool {
        let tree = self.state.tree();
        let memory = &self.run.passed_before;
        memory.is_known_flaky(&failure.evidence.failing_tests)
            || results.iter().filter(|gate| matches!(gate.status, GateStatus::Failed(_))).any(
                |gate| {
                    let plan = self.run.gates.iter().find(|plan| plan.name == gate.name);
                    let run = self.context.tests.ran_now(&gate.name);
                    plan.is_some_and(|plan| {
                        memory.contains(tree, &plan.command)
                            || memory.failed_tests(tree, &plan.command).zip(run).is_some_and(
                                |(before, run)| {
                                    run.named(Outcome::Failed).any(|test| !before.contains(test))
                                },
                            )
                    })
                },
            )
    }
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
        GatePlan { timeout: timeout.map(Duration::from_secs), ..GatePlan::new(name, "true") }
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
