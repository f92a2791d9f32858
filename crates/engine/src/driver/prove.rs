//! Whether the tests that ran show that the patches work, and what speaks against it.
//!
//! After patches, gates that pass are compared with what ran before the first of them. Where the
//! patches change what gates judge by, the gates run once more with those files as they were: the
//! work tree gets them from a commit that no branch has, and its own back afterwards. A process
//! that dies in between leaves an intent in the audit log, by which recovery puts them back.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use serde_json::json;

use super::gate_writes::GatesRan;
use super::meddling::{Meddling, Written};
use super::{DriveError, Driver};
use crate::judges::{Judged, judging, only_comments, tampering};
use crate::machine::{Event, Mode};
use crate::stages::StageContext;
use crate::stages::gates::{GateTests, run_gates_counted};
use crate::stages::identity::combined;
use greenloop_audit::Actor;
use greenloop_config::plan::GatePlan;
use greenloop_evidence::{
    Comparison, Knowledge, Outcome, Source, TestReader, TestRun, is_diagnostic,
};
use greenloop_model::{
    ApprovalSubject, CommitId, EventSink, Evidence, Failure, FailureClass, FileChange, GateProof,
    GateResult, GateStatus, Notice, Proof, ProofBasis, RepoPath, RunEvent, Stage, StageOutcome,
    TestCounts,
};
use greenloop_ports::ApprovalQuestion;

/// Names of tests in one audit record, for each outcome.
const MOST_RECORDED: usize = 400;
/// Names of fixed tests in a proof.
const MOST_FIXED: usize = 50;
/// Tests that are named of what speaks against a tree.
const MOST_NAMED: usize = 20;
/// How often a gate must pass on a tree whose repair may be chance.
const PASSES: u32 = 3;

/// What is known of the tests that ran.
#[derive(Default)]
pub(super) struct Tests {
    /// By gate, before the first patch.
    base: GateTests,
    /// The commit that they ran on.
    base_commit: Option<CommitId>,
    /// Gates that failed then.
    failed: BTreeSet<String>,
    /// The failure then.
    failure: Option<Failure>,
    /// By gate, on the tree at hand.
    now: GateTests,
    /// What failed and passed on one tree, in this run.
    flaky: BTreeSet<String>,
    /// Judging files that the gates wrote.
    pub(super) meddling: Meddling,
    /// Tests that have failed on the tree at hand, whatever they did later.
    failed_now: BTreeSet<String>,
    proof: Option<Proof>,
    /// What a person is asked about.
    doubt: Option<Doubt>,
    /// Nobody has accepted a patch that the test results speak against.
    pub(super) is_proof_undecided: bool,
}

struct Doubt {
    request: String,
    facts: String,
    proof: Proof,
}

/// What came of the gates with what the base judges by.
enum BaseVerdict {
    /// The patches change nothing of it.
    NotAsked,
    /// They passed.
    Passed(GateTests),
    /// They did not.
    Failed { tests: GateTests, gates: Vec<GateResult>, headline: String },
    /// The patches change nothing else.
    OnlyJudges,
}

impl Tests {
    /// The proof of the final tree.
    pub(super) fn take_proof(&mut self) -> Option<Proof> {
        self.proof.take()
    }

    /// What ran of a gate on the tree at hand.
    pub(super) fn ran_now(&self, gate: &str) -> Option<&TestRun> {
        self.now.get(gate)
    }

    /// Tests were seen to fail and to pass on one tree.
    pub(super) fn add_flaky(&mut self, tests: BTreeSet<String>) {
        self.flaky.extend(tests);
    }

    /// All that failed of a gate was run once more, and passed.
    pub(super) fn settle(&mut self, gate: &str, before_patches: bool) {
        let Some(run) = self.now.remove(gate).map(TestRun::all_passed) else { return };
        if before_patches {
            self.base.insert(gate.to_owned(), run.clone());
            self.failed.remove(gate);
        }
        self.now.insert(gate.to_owned(), run);
    }

    /// Tests that failed and passed on one tree.
    pub(super) fn take_flaky(&mut self) -> BTreeSet<String> {
        std::mem::take(&mut self.flaky)
    }

    /// A new tree is at hand.
    pub(super) fn tree_changed(&mut self) {
        self.now.clear();
        self.meddling.tree_changed();
        self.failed_now.clear();
        self.proof = None;
        self.doubt = None;
    }

    /// Others have changed the tree: what ran before says nothing of it.
    pub(super) fn forget_base(&mut self) {
        *self = Self::default();
    }
}

impl Driver {
    /// Records what ran.
    pub(super) fn note_tests(
        &mut self,
        iteration: u32,
        ran: GateTests,
        gates: &[GateResult],
    ) -> Result<(), DriveError> {
        for (gate, run) in &ran {
            if run.knowledge() > Knowledge::Nothing {
                self.note_run(iteration, gate, run, "tree")?;
            }
        }
        let before_patches = self.context.patches.is_empty();
        let tests = &mut self.context.tests;
        for (gate, run) in ran {
            if let Some(earlier) = tests.now.get(&gate) {
                tests.flaky.extend(earlier.flipped(&run).map(str::to_owned));
            }
            if before_patches {
                tests.base.insert(gate.clone(), run.clone());
            } else {
                tests.failed_now.extend(run.named(Outcome::Failed).map(str::to_owned));
            }
            tests.now.insert(gate, run);
        }
        if before_patches {
            tests.base_commit = Some(self.tip.clone());
            for gate in gates.iter().filter(|gate| gate.required) {
                match gate.status {
                    GateStatus::Passed | GateStatus::Flaky => {
                        tests.failed.remove(&gate.name);
                    }
                    GateStatus::Failed(_) | GateStatus::Skipped { .. } => {
                        tests.failed.insert(gate.name.clone());
                    }
                    GateStatus::Cancelled => {}
                }
            }
        }
        Ok(())
    }

    /// The failure that the first patch is for.
    pub(super) fn note_first_failure(&mut self, failure: &Failure) {
        if self.context.patches.is_empty() {
            self.context.tests.failure = Some(failure.clone());
        }
    }

    fn note_run(
        &mut self,
        iteration: u32,
        gate: &str,
        run: &TestRun,
        judge: &str,
    ) -> Result<(), DriveError> {
        let list = |outcome| -> Vec<String> {
            let (names, _) = run.listed(outcome, MOST_RECORDED);
            names.iter().map(|name| self.redacted(name)).collect()
        };
        let counts = run.counts();
        let data = json!({
            "iteration": iteration,
            "gate": gate,
            "judge": judge,
            "basis": basis(run).name(),
            "counts": {"passed": counts.passed, "failed": counts.failed, "skipped": counts.skipped},
            "passed": list(Outcome::Passed),
            "failed": list(Outcome::Failed),
            "skipped": list(Outcome::Skipped),
            "cut": run.is_cut(),
        });
        self.note(&Actor::Machine, "gates.tests", data)
    }

    /// The doubt to pass to the machine when passing gates prove nothing; `None` without a doubt.
    /// Called once all gates pass.
    pub(super) async fn prove(&mut self, iteration: u32) -> Result<Option<Event>, DriveError> {
        let heals = self.state.spec().mode == Mode::Heal;
        if self.context.patches.is_empty() || !heals {
            return Ok(None);
        }
        let began = Instant::now();
        self.recall_base();
        let base = self.base_commit();
        let workspace = self.run.workspace.clone();
        let changes = workspace.changes(&base, &self.tip)?;
        let assigned = self.run.assignment.is_some();
        if assigned && !self.run_on_base(iteration, &base, &changes).await? {
            return Ok(Some(Event::Cancelled));
        }
        self.note_meddling(iteration).await?;
        let judged = judging(&changes, &self.run.gates, &workspace.tree_at(&base)?);
        let judged: Vec<Judged> =
            judged.into_iter().filter(|judged| !self.is_subject(&judged.path)).collect();
        let verdict = match self.ask_base(iteration, &base, &judged).await? {
            Some(verdict) => verdict,
            None => return Ok(Some(Event::Cancelled)),
        };
        let mut proof =
            Proof { gates: Vec::new(), judged_without: Vec::new(), passes: 1, accepted_by: None };
        let mut complaints = Vec::new();
        let meddled = self.context.tests.meddling.found();
        if !meddled.is_empty() {
            let names: Vec<String> = meddled.iter().map(ToString::to_string).collect();
            complaints.push(format!(
                "while the gates ran, tests or files that gates depend on were written, and not before \
                 the patches: {}; what passed is not what the commit has",
                names.join(", ")
            ));
        }
        let paths: Vec<String> =
            judged.iter().map(|judged| format!("{} ({})", judged.path, judged.what)).collect();
        match &verdict {
            BaseVerdict::NotAsked => {}
            BaseVerdict::Passed(_) => {
                proof.judged_without =
                    judged.iter().map(|judged| judged.path.to_string()).collect();
            }
            BaseVerdict::Failed { headline, .. } => complaints.push(format!(
                "it passes only with what the patches change in what judges: {}; with those as \
                 they were: {headline}",
                paths.join(", ")
            )),
            // A task may well be to write tests; those that were there are compared below.
            BaseVerdict::OnlyJudges if assigned => {}
            BaseVerdict::OnlyJudges => complaints.push(format!(
                "the patches change only what judges: {}; either that was wrong, or what it \
                 judges still is",
                paths.join(", ")
            )),
        }
        let on_base = match &verdict {
            BaseVerdict::Passed(tests) => Some(tests),
            BaseVerdict::NotAsked | BaseVerdict::Failed { .. } | BaseVerdict::OnlyJudges => None,
        };
        self.compare(on_base, &mut proof, &mut complaints);
        let named = proof.gates.iter().all(|gate| {
            gate.proven && matches!(gate.basis, ProofBasis::Names | ProofBasis::Report)
        });
        let product: Vec<FileChange> = changes
            .iter()
            .filter(|change| judged.iter().all(|judged| judged.path != change.path))
            .cloned()
            .collect();
        // `go test` says of a package that passes no more than that its program ended with success.
        let go = product.iter().any(|change| change.path.to_string_lossy().ends_with(".go"));
        complaints.extend(tampering(&product, named && !go && !proof.gates.is_empty()));
        if complaints.is_empty() && !assigned {
            match self.pass_again(iteration, &changes).await? {
                Some((passes, complaint)) => {
                    proof.passes = passes;
                    complaints.extend(complaint);
                }
                None => return Ok(Some(Event::Cancelled)),
            }
        }
        let complaints: Vec<String> =
            complaints.iter().map(|complaint| self.redacted(complaint)).collect();
        self.redact_proof(&mut proof);
        self.note_proof(iteration, &proof, &complaints)?;
        if complaints.is_empty() {
            // Where another stage failed, its own checks are what it is judged by.
            self.context.tests.proof = Some(proof).filter(|proof| !proof.gates.is_empty());
            return Ok(None);
        }
        let person = self.state.spec().attended
            && self.run.approval.shows_facts()
            && matches!(verdict, BaseVerdict::Failed { .. } | BaseVerdict::OnlyJudges);
        self.doubt(iteration, began, proof, complaints, &verdict, person).map(Some)
    }

    /// The commit before the patches.
    pub(super) fn base_commit(&self) -> CommitId {
        let known = self.context.tests.base_commit.as_ref();
        known.unwrap_or(&self.run.header.commit).clone()
    }

    /// It is not what judges there: a lint or a compiler complains of the very file, or the task
    /// names it.
    fn is_subject(&self, path: &RepoPath) -> bool {
        let path_text = path.to_string_lossy();
        if let Some(assignment) = &self.run.assignment {
            return assignment.files.iter().any(|file| file.trim_start_matches("./") == path_text);
        }
        let tests = &self.context.tests;
        let counted = |runs: &GateTests| {
            tests
                .failed
                .iter()
                .filter_map(|gate| runs.get(gate))
                .any(|run| run.knowledge() > Knowledge::Nothing || run.is_broken_off())
        };
        let Some(failure) = tests.failure.as_ref().filter(|failure| failure.stage == Stage::Gates)
        else {
            return false;
        };
        let path = path.to_string_lossy();
        !counted(&tests.base)
            && !counted(&tests.now)
            && failure.evidence.excerpts.iter().any(|excerpt| {
                is_diagnostic(&excerpt.kind)
                    && excerpt.locations.iter().any(|place| {
                        let file = place.file.trim_start_matches("./");
                        file == path || file.ends_with(&format!("/{path}"))
                    })
            })
    }

    /// Runs the gates with what they judge by as it was; `None` when the run was cancelled.
    async fn ask_base(
        &mut self,
        iteration: u32,
        base: &CommitId,
        judged: &[Judged],
    ) -> Result<Option<BaseVerdict>, DriveError> {
        if judged.is_empty() {
            return Ok(Some(BaseVerdict::NotAsked));
        }
        let workspace = self.run.workspace.clone();
        let back: Vec<FileChange> = judged.iter().map(|judged| judged.back.clone()).collect();
        let paths: Vec<RepoPath> = judged.iter().map(|judged| judged.path.clone()).collect();
        let message = "What the patches change, judged by what they found";
        let commit = workspace.detached_commit(&self.tip, &back, message)?;
        if workspace.tree_id(&commit)? == workspace.tree_id(base)? {
            return Ok(Some(BaseVerdict::OnlyJudges));
        }
        let names: Vec<String> = paths.iter().map(ToString::to_string).collect();
        self.events.send(RunEvent::Notice(Notice::Info(format!(
            "the patches change what the gates judge by ({}): the gates run again with those \
             files as before",
            names.join(", ")
        ))));
        let gates = self.run.gates.clone();
        let (outcome, tests, wrote) =
            self.run_gates_with(iteration, &gates, &commit, &paths).await?;
        self.context.tests.meddling.add(wrote);
        Ok(match outcome {
            StageOutcome::Passed { .. } => Some(BaseVerdict::Passed(tests)),
            StageOutcome::Failed { failure, gates } => {
                Some(BaseVerdict::Failed { tests, gates, headline: failure.headline })
            }
            StageOutcome::Declined { failure } => {
                Some(BaseVerdict::Failed { tests, gates: Vec::new(), headline: failure.headline })
            }
            StageOutcome::Cancelled => None,
        })
    }

    /// Runs gates with these paths of the work tree as `commit` has them, and puts the tip's back.
    /// Returns, as well, the judging files that the gates wrote.
    pub(super) async fn run_gates_with(
        &mut self,
        iteration: u32,
        gates: &[GatePlan],
        commit: &CommitId,
        paths: &[RepoPath],
    ) -> Result<(StageOutcome, GateTests, Written), DriveError> {
        let names: Vec<String> = paths.iter().map(ToString::to_string).collect();
        self.note(
            &Actor::Machine,
            "judge.intent",
            json!({"iteration": iteration, "commit": commit.to_string(), "paths": names}),
        )?;
        let workspace = self.run.workspace.clone();
        another_second(workspace.root(), paths).await;
        workspace.write_paths(paths, commit)?;
        let from = SystemTime::now();
        let silent = EventSink::null();
        let (outcome, tests) = {
            let context = StageContext { events: &silent, ..self.context(iteration) };
            run_gates_counted(gates, &[], &context).await
        };
        let ran = GatesRan { from, to: SystemTime::now() };
        self.context.gates_ran.push(ran);
        let written = self.written_by_gates(commit, &[ran])?;
        another_second(workspace.root(), paths).await;
        workspace.write_paths(paths, &self.tip)?;
        let passed = matches!(outcome, StageOutcome::Passed { .. });
        self.note(
            &Actor::Machine,
            "judge.done",
            json!({"iteration": iteration, "passed": passed}),
        )?;
        for (gate, run) in &tests {
            if run.knowledge() > Knowledge::Nothing {
                self.note_run(iteration, gate, run, "base")?;
            }
        }
        Ok((outcome, tests, written))
    }

    /// For a task: which tests its commit had. The gates have not run there, as nothing had failed;
    /// those that count tests do it now, once. `false`: the run was cancelled.
    async fn run_on_base(
        &mut self,
        iteration: u32,
        base: &CommitId,
        changes: &[FileChange],
    ) -> Result<bool, DriveError> {
        if !self.context.tests.base.is_empty() {
            return Ok(true);
        }
        let now = &self.context.tests.now;
        let counts = |gate: &&GatePlan| {
            gate.required
                && now.get(&gate.name).is_some_and(|run| run.knowledge() > Knowledge::Nothing)
        };
        let gates: Vec<GatePlan> = self.run.gates.iter().filter(counts).cloned().collect();
        if gates.is_empty() {
            return Ok(true);
        }
        self.events.send(RunEvent::Notice(Notice::Info(format!(
            "the gates that count tests run once on commit {}, to compare with",
            base.short()
        ))));
        let paths: Vec<RepoPath> = changes.iter().map(|change| change.path.clone()).collect();
        let (outcome, tests, _) = self.run_gates_with(iteration, &gates, base, &paths).await?;
        let gates = match outcome {
            StageOutcome::Cancelled => return Ok(false),
            StageOutcome::Passed { gates } | StageOutcome::Failed { gates, .. } => gates,
            StageOutcome::Declined { .. } => Vec::new(),
        };
        let failed = gates.iter().filter(|gate| matches!(gate.status, GateStatus::Failed(_)));
        self.context.tests.failed.extend(failed.map(|gate| gate.name.clone()));
        self.context.tests.base = tests;
        self.context.tests.base_commit = Some(base.clone());
        Ok(true)
    }

    /// Compares every gate's tests with those before the first patch.
    fn compare(
        &self,
        on_base: Option<&GateTests>,
        proof: &mut Proof,
        complaints: &mut Vec<String>,
    ) {
        let tests = &self.context.tests;
        let nothing = TestRun::default();
        for gate in self.run.gates.iter().filter(|gate| gate.required) {
            let Some(now) = tests.now.get(&gate.name) else { continue };
            let before = tests.base.get(&gate.name).unwrap_or(&nothing);
            let mut found = before.compare(now);
            // What a task has to do need not be something that failed.
            let assigned = self.run.assignment.is_some();
            let kept = |found: &Comparison| {
                assigned && found.is_sound() && found.knowledge > Knowledge::Nothing
            };
            let mut proven = found.is_proof() || kept(&found);
            if let Some(judged) = on_base.and_then(|runs| runs.get(&gate.name)) {
                let judged = before.compare(judged);
                if judged.is_sound() {
                    found.accept_renames();
                    proven = judged.is_proof() || kept(&judged);
                } else {
                    let said = judged.complaints(MOST_NAMED).into_iter();
                    complaints.extend(said.map(|line| {
                        format!("gate {}, with those files as before: {line}", gate.name)
                    }));
                }
            }
            let fixed =
                before.named(Outcome::Failed).filter(|test| tests.failed_now.contains(*test));
            let chance: Vec<&str> = fixed.take(MOST_NAMED).collect();
            if !chance.is_empty() {
                complaints.push(format!(
                    "gate {}: on the patched tree it failed before it passed, so it is not \
                     repaired: {}",
                    gate.name,
                    chance.join(", ")
                ));
            }
            let said = found.complaints(MOST_NAMED);
            complaints.extend(said.iter().map(|line| format!("gate {}: {line}", gate.name)));
            let counted = assigned && found.knowledge > Knowledge::Nothing;
            if tests.failed.contains(&gate.name)
                || counted
                || !said.is_empty()
                || !found.renamed.is_empty()
            {
                proof.gates.push(gate_proof(
                    &gate.name,
                    before,
                    now,
                    found,
                    proven && said.is_empty(),
                ));
            }
        }
    }

    /// A repair that may be chance has to pass again. How often the gates passed, and what speaks
    /// against it; `None` when the run was cancelled.
    async fn pass_again(
        &mut self,
        iteration: u32,
        changes: &[FileChange],
    ) -> Result<Option<(u32, Option<String>)>, DriveError> {
        // What a gate that runs no test reads may well be a comment.
        if self.counted_before() && only_comments(changes) {
            let why = "the patches change only comments and white space: what failed before and \
                       passes now is flaky, and not repaired";
            return Ok(Some((1, Some(why.to_owned()))));
        }
        let tests = &self.context.tests;
        let suspect = tests.failure.as_ref().is_some_and(|failure| {
            failure.flaky_suspect
                || self.run.passed_before.is_known_flaky(&failure.evidence.failing_tests)
        }) || !tests.flaky.is_empty();
        if !suspect {
            return Ok(Some((1, None)));
        }
        self.events.send(RunEvent::Notice(Notice::Info(format!(
            "the failure may be flaky: the gates run {PASSES} times on the patched tree"
        ))));
        let silent = EventSink::null();
        for pass in 2..=PASSES {
            let from = SystemTime::now();
            let outcome = {
                let context = StageContext { events: &silent, ..self.context(iteration) };
                run_gates_counted(&self.run.gates, &[], &context).await.0
            };
            self.context.gates_ran.push(GatesRan { from, to: SystemTime::now() });
            match outcome {
                StageOutcome::Passed { .. } => {}
                StageOutcome::Cancelled => return Ok(None),
                StageOutcome::Failed { failure, .. } | StageOutcome::Declined { failure } => {
                    let why = format!(
                        "on the same tree the gates passed and then failed, in run {pass} of \
                         {PASSES}: {}",
                        failure.headline
                    );
                    return Ok(Some((pass - 1, Some(why))));
                }
            }
        }
        Ok(Some((PASSES, None)))
    }

    /// Whether a gate that failed before the first patch ran tests.
    fn counted_before(&self) -> bool {
        let tests = &self.context.tests;
        let ran = |gate: &String| tests.base.get(gate);
        tests.failed.iter().filter_map(ran).any(|run| run.counts().ran() > 0)
    }

    fn redact_proof(&self, proof: &mut Proof) {
        for gate in &mut proof.gates {
            for name in &mut gate.fixed {
                *name = self.redacted(name);
            }
            for (old, new) in &mut gate.renamed {
                *old = self.redacted(old);
                *new = self.redacted(new);
            }
        }
    }

    fn note_proof(
        &mut self,
        iteration: u32,
        proof: &Proof,
        complaints: &[String],
    ) -> Result<(), DriveError> {
        let gate = |gate: &GateProof| {
            let counts = |counts: Option<TestCounts>| {
                counts
                    .map(|c| json!({"passed": c.passed, "failed": c.failed, "skipped": c.skipped}))
            };
            json!({
                "gate": gate.gate,
                "basis": gate.basis.name(),
                "proven": gate.proven,
                "before": counts(gate.before),
                "after": counts(gate.after),
                "fixed": gate.fixed,
                "fixed_total": gate.fixed_total,
                "kept": gate.kept,
                "renamed": gate.renamed,
            })
        };
        let gates: Vec<serde_json::Value> = proof.gates.iter().map(gate).collect();
        let data = json!({
            "iteration": iteration,
            "proven": proof.is_proven() && complaints.is_empty(),
            "gates": gates,
            "judged_without": proof.judged_without,
            "passes": proof.passes,
            "complaints": complaints,
        });
        self.note(&Actor::Machine, "gates.proof", data)
    }

    /// The failure reported to the machine, the author and a person for a tree that passes without
    /// proof.
    fn doubt(
        &mut self,
        iteration: u32,
        began: Instant,
        mut proof: Proof,
        complaints: Vec<String>,
        verdict: &BaseVerdict,
        person: bool,
    ) -> Result<Event, DriveError> {
        let gate = self.context.tests.failed.first().cloned();
        let gate = gate.or_else(|| self.run.gates.first().map(|gate| gate.name.clone()));
        let gate = gate.unwrap_or_default();
        let first = complaints.first().cloned().unwrap_or_default();
        let headline = format!("gate {gate} passes, but {first}");
        let mut parts = vec!["proof"];
        parts.extend(complaints.iter().map(String::as_str));
        let mut evidence = self
            .context
            .tests
            .failure
            .as_ref()
            .map_or_else(Evidence::default, |failure| failure.evidence.clone());
        evidence.remedy = None;
        let mut notes = vec![
            "With the patches so far the gate passes, but that is no repair. Repair the cause, and \
             take back what they changed in tests and in what runs them."
                .to_owned(),
        ];
        notes.extend(complaints.iter().cloned());
        notes.append(&mut evidence.notes);
        evidence.notes = notes;
        let failure = Failure {
            stage: Stage::Gates,
            name: gate.clone(),
            headline,
            class: FailureClass::Code,
            fingerprint: combined(&parts),
            flaky_suspect: false,
            symptoms: complaints.iter().cloned().collect(),
            evidence,
        };
        let symptom = super::stages::symptom_of(&failure);
        self.failed(iteration, failure, began.elapsed())?;
        let mut request =
            "accept the patches, although the test results speak against them?".to_owned();
        for complaint in &complaints {
            request.push_str(&format!("\n  {complaint}"));
        }
        let facts = self.redacted(&side_by_side(&self.context.tests, verdict));
        if let Some(gate) = proof.gates.first_mut() {
            gate.complaints = complaints;
        }
        self.context.tests.is_proof_undecided = true;
        self.context.tests.doubt = Some(Doubt { request: request.clone(), facts, proof });
        Ok(Event::Doubted { symptom, request, person })
    }

    /// Asks a person about the doubt at hand.
    pub(super) async fn ask_about_doubt(&mut self, iteration: u32) -> Result<Event, DriveError> {
        let Some(Doubt { request, facts, mut proof }) = self.context.tests.doubt.take() else {
            return Ok(Event::Broke { reason: "nothing to decide".into() });
        };
        let base = self.run.header.commit.clone();
        let diff = match self.run.approval.shows_facts() {
            true => self.run.workspace.diff(&base, &self.tip).unwrap_or_default(),
            false => String::new(),
        };
        let reviews = self.context.patches.iter().map(|patch| patch.review.reason.as_str());
        let question = ApprovalQuestion {
            subject: ApprovalSubject::Proof,
            iteration,
            commit: self.tip.clone(),
            base: self.run.workspace.tree_id(&base).ok(),
            tree: self.state.tree().clone(),
            policy: self.run.policy.digest(),
            request,
            diff: self.redacted(&diff),
            evidence: facts.clone(),
            review: reviews.collect::<Vec<_>>().join("\n"),
        };
        let (happened, decision) = self.ask_person(question, &facts).await?;
        if let Some(decision) = decision.filter(|decision| decision.approved) {
            self.context.tests.is_proof_undecided = false;
            proof.accepted_by = Some(decision.who);
            self.context.tests.proof = Some(proof);
        }
        Ok(happened)
    }

    /// What ran before the first patch, from the logs of a process that has died since.
    fn recall_base(&mut self) {
        if !self.context.tests.base.is_empty() {
            return;
        }
        for gate in &self.run.gates {
            // The first iteration's last log of the gate.
            let log = StageContext::logs_of(&self.run.header.folder, 1, Stage::Gates, &gate.name);
            if let Some(run) = log.last().and_then(|path| read_log(path)) {
                // Which gates failed is not known any more: those whose tests all passed did not.
                if run.counts().failed > 0 || run.knowledge() == Knowledge::Nothing {
                    self.context.tests.failed.insert(gate.name.clone());
                }
                self.context.tests.base.insert(gate.name.clone(), run);
            }
        }
    }
}

fn read_log(path: &Path) -> Option<TestRun> {
    use std::io::Read as _;
    let mut file = std::fs::File::open(path).ok()?;
    let mut reader = TestReader::new();
    let mut piece = vec![0; 64 << 10];
    loop {
        match file.read(&mut piece).ok()? {
            0 => return Some(reader.finish()),
            read => reader.push(piece.get(..read)?),
        }
    }
}

/// Lets the clock's second go by in which the files were written, where something remembers them by
/// the second of their change: Ruby's bootsnap and PHP's opcache do. Python does as well; what it has
/// compiled of a file is deleted when the file is written, unless it is kept elsewhere.
async fn another_second(root: &Path, paths: &[RepoPath]) {
    let elsewhere = std::env::var_os("PYTHONPYCACHEPREFIX").is_some();
    let by_second = |path: &&RepoPath| {
        let os_path = path.to_os_path();
        let extension = os_path.extension().and_then(|extension| extension.to_str());
        extension.is_some_and(|it| matches!(it, "rb" | "php") || it == "py" && elsewhere)
    };
    let latest = paths
        .iter()
        .filter(by_second)
        .filter_map(|path| root.join(path.to_os_path()).metadata().ok()?.modified().ok())
        .max();
    let Some(latest) = latest else { return };
    let second = |at: SystemTime| at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let (now, then) = (second(SystemTime::now()), second(latest));
    if now.as_secs() == then.as_secs() {
        let rest = Duration::from_secs(1) - Duration::from_nanos(u64::from(now.subsec_nanos()));
        tokio::time::sleep(rest).await;
    }
}

fn basis(run: &TestRun) -> ProofBasis {
    match (run.knowledge(), run.source()) {
        (Knowledge::Nothing, _) => ProofBasis::Nothing,
        (Knowledge::Counts, _) => ProofBasis::Counts,
        (Knowledge::Names, Source::Console) => ProofBasis::Names,
        (Knowledge::Names, Source::Report) => ProofBasis::Report,
    }
}

fn gate_proof(
    gate: &str,
    before: &TestRun,
    now: &TestRun,
    found: Comparison,
    proven: bool,
) -> GateProof {
    let counts = |run: &TestRun| (run.knowledge() > Knowledge::Nothing).then(|| run.counts());
    let by_number = found.before.failed;
    let fixed_total = (found.fixed.len() as u64).max(if proven { by_number } else { 0 });
    // A runner that names only its failures tells by numbers how many go on passing.
    let unnamed = now.knowledge() == Knowledge::Counts || before.knowledge() == Knowledge::Counts;
    let by_number = if proven && unnamed { found.before.passed.min(found.after.passed) } else { 0 };
    GateProof {
        gate: gate.to_owned(),
        basis: basis(now),
        proven,
        before: counts(before),
        after: counts(now),
        fixed: found.fixed.into_iter().take(MOST_FIXED).collect(),
        fixed_total,
        kept: found.kept.max(by_number),
        renamed: found.renamed,
        complaints: Vec::new(),
    }
}

/// Both results, for the person who decides.
fn side_by_side(tests: &Tests, verdict: &BaseVerdict) -> String {
    let list = |runs: &GateTests| -> String {
        let known: BTreeMap<&String, &TestRun> =
            runs.iter().filter(|(_, run)| run.knowledge() > Knowledge::Nothing).collect();
        let lines: Vec<String> =
            known.iter().map(|(gate, run)| format!("gate {gate}: {}", run.counts())).collect();
        if lines.is_empty() { "no test was counted".to_owned() } else { lines.join("; ") }
    };
    let mut text = format!("with the patches: every gate passes; {}\n", list(&tests.now));
    match verdict {
        BaseVerdict::NotAsked => {}
        BaseVerdict::Passed(runs) => {
            text.push_str(&format!(
                "with the patches, and what judges as it was: every gate passes; {}\n",
                list(runs)
            ));
        }
        BaseVerdict::Failed { tests: runs, gates, headline } => {
            let failed: Vec<&str> = gates
                .iter()
                .filter(|gate| gate.required && !gate.passed())
                .map(|gate| gate.name.as_str())
                .collect();
            text.push_str(&format!(
                "with the patches, and what judges as it was: gate {} fails: {headline}; {}\n",
                failed.join(", "),
                list(runs)
            ));
        }
        BaseVerdict::OnlyJudges => {
            text.push_str("with what judges as it was: nothing is left of the patches\n");
        }
    }
    text.push_str(&format!("before the patches: {}\n", list(&tests.base)));
    text
}
