//! From records back to events.

use std::time::Duration;

use super::encode::verdict;
use super::record::*;
use greenloop_model::*;

/// A record that tells of no event we know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no {what}")]
pub struct InvalidEvent {
    what: &'static str,
    text: String,
}

impl InvalidEvent {
    fn new(what: &'static str, text: &str) -> Self {
        Self { what, text: text.chars().take(80).collect() }
    }
}

type Decoded<T> = Result<T, InvalidEvent>;

/// The value of `all` that `name` names.
fn named<T: Copy>(
    all: &[T],
    name: impl Fn(T) -> &'static str,
    what: &'static str,
    text: &str,
) -> Decoded<T> {
    all.iter()
        .copied()
        .find(|value| name(*value) == text)
        .ok_or_else(|| InvalidEvent::new(what, text))
}

fn parsed<T: std::str::FromStr>(what: &'static str, text: &str) -> Decoded<T> {
    text.parse().map_err(|_| InvalidEvent::new(what, text))
}

fn stage(text: &str) -> Decoded<Stage> {
    named(&Stage::ALL, Stage::name, "stage", text)
}

fn class(text: &str) -> Decoded<FailureClass> {
    named(&FailureClass::ALL, FailureClass::name, "failure class", text)
}

fn no_patch_class(text: &str) -> Decoded<NoPatchClass> {
    const ALL: [NoPatchClass; 3] =
        [NoPatchClass::Infrastructure, NoPatchClass::Flaky, NoPatchClass::NeedsHuman];
    named(&ALL, NoPatchClass::name, "no-patch class", text)
}

fn progress(text: &str) -> Decoded<Progress> {
    const ALL: [Progress; 4] =
        [Progress::Fixed, Progress::MovedOn, Progress::Same, Progress::Worse];
    named(&ALL, Progress::name, "progress", text)
}

fn decision(text: &str) -> Decoded<Decision> {
    const ALL: [Decision; 3] = [Decision::Allow, Decision::NeedsHuman, Decision::Forbid];
    named(&ALL, Decision::name, "decision", text)
}

fn commit(text: &str) -> Decoded<CommitId> {
    parsed("commit", text)
}

fn release(text: &str) -> Decoded<ReleaseId> {
    parsed("release", text)
}

fn image(text: &str) -> Decoded<ImageRef> {
    ImageRef::parse(text).ok_or_else(|| InvalidEvent::new("image", text))
}

fn time(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(super) fn event(run: Option<&str>, form: EventForm) -> Decoded<RunEvent> {
    Ok(match form {
        EventForm::Started(header) => {
            let run = parsed("run", run.unwrap_or_default())?;
            RunEvent::Started(Box::new(self::header(run, *header)?))
        }
        EventForm::Notice { level, text } => RunEvent::Notice(match level.as_str() {
            "info" => Notice::Info(text),
            "warning" => Notice::Warning(text),
            _ => return Err(InvalidEvent::new("level", &level)),
        }),
        EventForm::IterationStarted { iteration, of, commit } => {
            RunEvent::IterationStarted { iteration, of, commit: self::commit(&commit)? }
        }
        EventForm::StageStarted { iteration, stage, parts } => {
            RunEvent::StageStarted { iteration, stage: self::stage(&stage)?, parts }
        }
        EventForm::PartStarted { stage, name, command } => {
            RunEvent::PartStarted { stage: self::stage(&stage)?, name, command }
        }
        EventForm::Output { stage, name, text } => {
            RunEvent::Output { stage: self::stage(&stage)?, name, text }
        }
        EventForm::GateFinished { iteration, gate } => {
            RunEvent::GateFinished { iteration, result: self::gate(gate) }
        }
        EventForm::StepFinished { stage, name, ok, detail, elapsed_ms } => RunEvent::StepFinished {
            stage: self::stage(&stage)?,
            name,
            ok,
            detail,
            elapsed: time(elapsed_ms),
        },
        EventForm::StagePassed { iteration, stage, elapsed_ms } => RunEvent::StagePassed {
            iteration,
            stage: self::stage(&stage)?,
            elapsed: time(elapsed_ms),
        },
        EventForm::StageFailed { iteration, failure, progress, elapsed_ms } => {
            RunEvent::StageFailed {
                iteration,
                failure: Box::new(self::failure(*failure)?),
                progress: progress.as_deref().map(self::progress).transpose()?,
                elapsed: time(elapsed_ms),
            }
        }
        EventForm::FlakyRerun { stage, name, passed } => {
            RunEvent::FlakyRerun { stage: self::stage(&stage)?, name, passed }
        }
        EventForm::Restored { release, ok, detail } => RunEvent::Restored {
            release: release.as_deref().map(self::release).transpose()?,
            ok,
            detail,
        },
        EventForm::AuthorAsked { iteration, model } => RunEvent::AuthorAsked { iteration, model },
        EventForm::AuthorLooked { iteration, call } => RunEvent::AuthorLooked { iteration, call },
        EventForm::PatchProposed { iteration, reason, diff, usage } => {
            RunEvent::PatchProposed { iteration, reason, diff, usage: self::usage(&usage) }
        }
        EventForm::PatchRefused { iteration, reason, usage } => {
            RunEvent::PatchRefused { iteration, reason, usage: self::usage(&usage) }
        }
        EventForm::NoPatch { iteration, class, reason } => {
            RunEvent::NoPatch { iteration, class, reason }
        }
        EventForm::ReviewerAsked { iteration, model } => {
            RunEvent::ReviewerAsked { iteration, model }
        }
        EventForm::Reviewed { iteration, review, usage } => RunEvent::Reviewed {
            iteration,
            review: self::review(review)?,
            usage: self::usage(&usage),
        },
        EventForm::Evaluated { iteration, decision: _, matches } => RunEvent::Evaluated {
            iteration,
            evaluation: Evaluation::new(
                matches.into_iter().map(rule_match).collect::<Decoded<_>>()?,
            ),
        },
        EventForm::HumanDecided { iteration, approved, who } => {
            RunEvent::HumanDecided { iteration, approved, who }
        }
        EventForm::PatchApplied { iteration, commit, files } => {
            RunEvent::PatchApplied { iteration, commit: self::commit(&commit)?, files }
        }
        EventForm::Progress { stage, name, done, total } => {
            RunEvent::Progress { stage: self::stage(&stage)?, name, done, total }
        }
        EventForm::ImageReady { image, tags, reused } => {
            RunEvent::ImageReady { image: self::image(&image)?, tags, reused }
        }
        EventForm::Switched { release, url } => {
            RunEvent::Switched { release: self::release(&release)?, endpoint: Endpoint { url } }
        }
        EventForm::Finished(summary) => RunEvent::Finished(Box::new(self::summary(*summary)?)),
    })
}

fn header(run: RunId, form: HeaderForm) -> Decoded<RunHeader> {
    const TARGETS: [TargetKind; 3] =
        [TargetKind::Process, TargetKind::Docker, TargetKind::Kubernetes];
    let target = |text: &str| named(&TARGETS, TargetKind::name, "target", text);
    let task = named(&Task::ALL, Task::name, "task", &form.task)?;
    let InvocationForm { program, git, arguments, tail, options } = form.invocation;
    Ok(RunHeader {
        run,
        task,
        title: form.title,
        environment: form
            .environment
            .as_deref()
            .map(|name| parsed("environment", name))
            .transpose()?,
        commit: commit(&form.commit)?,
        commit_subject: form.commit_subject,
        target: form.target.as_deref().map(target).transpose()?,
        author: form.author,
        reviewer: form.reviewer,
        limits: Limits {
            max_iterations: form.limits.max_iterations,
            no_progress_threshold: form.limits.no_progress_threshold,
            max_tokens: form.limits.max_tokens,
            max_cost_usd: form.limits.max_cost_usd,
            max_duration: form.limits.max_duration_ms.map(time),
        },
        repository: form.repository.into(),
        invocation: Invocation { program, git, arguments, tail, options },
        folder: form.folder.into(),
    })
}

fn gate(form: GateForm) -> GateResult {
    GateResult {
        name: form.name,
        required: form.required,
        status: match form.status {
            GateStatusForm::Passed => GateStatus::Passed,
            GateStatusForm::Failed(exit) => GateStatus::Failed(self::exit(exit)),
            GateStatusForm::Flaky => GateStatus::Flaky,
            GateStatusForm::Skipped { needs } => GateStatus::Skipped { needs },
            GateStatusForm::Cancelled => GateStatus::Cancelled,
        },
        duration: time(form.duration_ms),
        output_bytes: form.output_bytes,
        log: form.log,
    }
}

fn exit(form: ExitForm) -> Exit {
    match form {
        ExitForm::Code(code) => Exit::Code(code),
        ExitForm::Signal(signal) => Exit::Signal(signal),
        ExitForm::TimedOutMs(after) => Exit::TimedOut(time(after)),
        ExitForm::NotStarted(reason) => Exit::NotStarted(reason),
    }
}

fn failure(form: FailureForm) -> Decoded<Failure> {
    Ok(Failure {
        stage: stage(&form.stage)?,
        name: form.name,
        headline: form.headline,
        class: class(&form.class)?,
        fingerprint: Fingerprint::parse(&form.fingerprint)
            .ok_or_else(|| InvalidEvent::new("fingerprint", &form.fingerprint))?,
        flaky_suspect: form.flaky_suspect,
        symptoms: form.symptoms.into_iter().collect(),
        evidence: evidence(form.evidence),
    })
}

fn evidence(form: EvidenceForm) -> Evidence {
    Evidence {
        command: form.command,
        exit: form.exit.map(exit),
        excerpts: form
            .excerpts
            .into_iter()
            .map(|excerpt| Excerpt {
                start: excerpt.start,
                end: excerpt.end,
                kind: excerpt.kind,
                text: excerpt.text,
                locations: excerpt.locations.into_iter().map(location).collect(),
            })
            .collect(),
        log_lines: form.log_lines,
        log: form.log,
        failing_tests: form.failing_tests.into_iter().collect(),
        code: form
            .code
            .into_iter()
            .map(|code| CodeContext {
                path: code.path,
                first_line: code.first_line,
                text: code.text,
                about: location(code.about),
            })
            .collect(),
        http: form
            .http
            .into_iter()
            .map(|exchange| HttpExchange {
                request: exchange.request,
                status: exchange.status,
                response: exchange.response,
                complaint: exchange.complaint,
                elapsed: time(exchange.elapsed_ms),
            })
            .collect(),
        service_log: form.service_log,
        notes: form.notes,
        remedy: form.remedy.map(|RemedyForm { what, command, person_only }| Remedy {
            what,
            command,
            person_only,
        }),
        deterministic: false,
    }
}

fn location(form: LocationForm) -> Location {
    Location { file: form.file, line: form.line, column: form.column }
}

fn review(form: ReviewForm) -> Decoded<Review> {
    Ok(Review {
        verdict: named(&[Verdict::Approve, Verdict::Reject], verdict, "verdict", &form.verdict)?,
        risk: named(&[Risk::Low, Risk::Medium, Risk::High], Risk::name, "risk", &form.risk)?,
        reason: form.reason,
        suggestion: form.suggestion,
        reviewer: form.reviewer,
    })
}

fn rule_match(form: RuleMatchForm) -> Decoded<RuleMatch> {
    let path = |text: String| {
        RepoPath::new(&text).map_err(|_| InvalidEvent::new("path in the repository", &text))
    };
    Ok(RuleMatch {
        rule: form.rule,
        decision: decision(&form.decision)?,
        path: form.path.map(path).transpose()?,
        line: form.line,
        detail: form.detail,
    })
}

fn usage(form: &UsageForm) -> Usage {
    Usage {
        requests: form.requests,
        input_tokens: form.input_tokens,
        output_tokens: form.output_tokens,
        cost_usd: form.cost_usd,
    }
}

fn stop(form: StopForm) -> Decoded<StopReason> {
    Ok(match form {
        StopForm::Verified => StopReason::Verified,
        StopForm::MaxIterations { limit } => StopReason::MaxIterations { limit },
        StopForm::NoProgress { repeats } => StopReason::NoProgress { repeats },
        StopForm::RepeatedAnswer { what, reason } => StopReason::RepeatedAnswer {
            what: named(&Repeated::ALL, Repeated::name, "repetition", &what)?,
            reason,
        },
        StopForm::RepeatedTree { swing } => StopReason::RepeatedTree { swing },
        StopForm::Budget { what } => StopReason::Budget { what },
        StopForm::NotHealable { class, stage } => {
            StopReason::NotHealable { class: self::class(&class)?, stage: self::stage(&stage)? }
        }
        StopForm::NoPatch { class, reason } => {
            StopReason::NoPatch { class: no_patch_class(&class)?, reason }
        }
        StopForm::Declined { reason } => StopReason::Declined { reason },
        StopForm::NeedsHuman { request } => StopReason::NeedsHuman { request },
        StopForm::NoHealing { stage } => StopReason::NoHealing { stage: self::stage(&stage)? },
        StopForm::Failed { failure, no_model: reason } => {
            StopReason::NoModel { failure: failure.map(failure_summary).transpose()?, reason }
        }
        StopForm::NoModel { reason } => StopReason::NoModel { failure: None, reason },
        StopForm::ModelUnavailable { failure, reason } => StopReason::ModelUnavailable {
            failure: failure.map(failure_summary).transpose()?,
            reason,
        },
        StopForm::Internal { reason } => StopReason::Internal { reason },
        StopForm::Cancelled => StopReason::Cancelled,
        StopForm::Abandoned => StopReason::Abandoned,
    })
}

fn failure_summary(form: FailureSummaryForm) -> Decoded<Box<FailureSummary>> {
    Ok(Box::new(FailureSummary {
        stage: stage(&form.stage)?,
        class: class(&form.class)?,
        fingerprint: Fingerprint::parse(&form.fingerprint)
            .ok_or_else(|| InvalidEvent::new("fingerprint", &form.fingerprint))?,
        name: form.name,
        headline: form.headline,
    }))
}

fn running_now(
    serving: Option<ServingForm>,
    unknown: Option<String>,
) -> Decoded<Option<RunningNow>> {
    let Some(form) = serving else { return Ok(unknown.map(|why| RunningNow::Unknown { why })) };
    let reason = form.reason.unwrap_or_default();
    let condition = match form.condition.as_deref() {
        None | Some("serving") => Condition::Serves,
        Some("partly") => Condition::Partly(reason),
        Some("down") => Condition::Down(reason),
        Some("unknown") => Condition::Unknown(reason),
        Some(other) => return Err(InvalidEvent::new("condition", other)),
    };
    let endpoint = Endpoint { url: form.url };
    Ok(Some(RunningNow::Release { release: release(&form.release)?, endpoint, condition }))
}

fn restoration(form: &SummaryForm) -> Decoded<Option<Restoration>> {
    let Some(restoration) = &form.restoration else {
        // An event that was written before restorations were told of in detail.
        let serving = form.serving.as_ref().filter(|_| form.restored);
        let release = serving.map(|serving| release(&serving.release)).transpose()?;
        return Ok(release.map(|release| Restoration::Restored { release, serving_after: None }));
    };
    let release = restoration.release.as_deref().map(release).transpose()?;
    let serving_after = restoration.serving_after_ms.map(time);
    match (restoration.outcome.as_str(), release) {
        ("restored", Some(release)) => Ok(Some(Restoration::Restored { release, serving_after })),
        ("untouched", Some(release)) => Ok(Some(Restoration::Untouched { release })),
        ("nothing", _) => Ok(Some(Restoration::Nothing)),
        ("unconfirmed", _) => Ok(Some(Restoration::Unconfirmed)),
        (other, _) => Err(InvalidEvent::new("restoration", other)),
    }
}

fn fix(form: FixForm) -> Decoded<FixPlace> {
    match (form.place.as_str(), form.reason) {
        ("work_tree", _) => Ok(FixPlace::WorkTree { can_undo: form.can_undo.unwrap_or(true) }),
        ("branch", _) => Ok(FixPlace::Branch),
        ("snapshot_branch", _) => Ok(FixPlace::SnapshotBranch),
        ("not_brought_back", why) => Ok(FixPlace::NotBroughtBack { why: why.unwrap_or_default() }),
        (other, _) => Err(InvalidEvent::new("place of a fix", other)),
    }
}

fn proof(form: ProofForm) -> Decoded<Proof> {
    Ok(Proof {
        gates: form.gates.into_iter().map(gate_proof).collect::<Decoded<_>>()?,
        judged_without: form.judged_without,
        passes: form.passes,
        accepted_by: form.accepted_by,
    })
}

fn gate_proof(form: GateProofForm) -> Decoded<GateProof> {
    let basis = ProofBasis::from_name(&form.basis)
        .ok_or_else(|| InvalidEvent::new("basis of a proof", &form.basis))?;
    let counts = |form: Option<TestCountsForm>| {
        form.map(|TestCountsForm { passed, failed, skipped }| TestCounts {
            passed,
            failed,
            skipped,
        })
    };
    Ok(GateProof {
        gate: form.gate,
        basis,
        proven: form.proven,
        before: counts(form.before),
        after: counts(form.after),
        fixed: form.fixed,
        fixed_total: form.fixed_total,
        kept: form.kept,
        renamed: form.renamed,
        complaints: form.complaints,
    })
}

fn summary(form: SummaryForm) -> Decoded<RunSummary> {
    let patch = |patch: PatchForm| {
        Ok(SummaryPatch {
            iteration: patch.iteration,
            failure: patch.failure,
            reason: patch.reason,
            diff: patch.diff,
            review: review(patch.review)?,
            commit: commit(&patch.commit)?,
            confirmed_by: patch.confirmed_by,
        })
    };
    let restored = restoration(&form)?;
    Ok(RunSummary {
        stop: stop(form.stop)?,
        iterations: form.iterations,
        patches: form.patches.into_iter().map(patch).collect::<Decoded<_>>()?,
        failure: form.failure.map(failure).transpose()?.map(Box::new),
        restored,
        serving: running_now(form.serving, form.serving_unknown)?,
        branch: form.branch,
        fix: form.fix.map(fix).transpose()?,
        flaky: form.flaky,
        proof: form.proof.map(proof).transpose()?,
        usage: usage(&form.usage),
        elapsed: time(form.elapsed_ms),
        next_steps: form
            .next_steps
            .into_iter()
            .map(|NextStepForm { what, command }| NextStep { what, command })
            .collect(),
    })
}
