//! From events to records. Every match is exhaustive: a new event does not compile until it has
//! a record.

use std::time::Duration;

use super::record::*;
use greenloop_model::*;

pub(crate) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

pub(super) fn event(event: &RunEvent) -> EventForm {
    match event {
        RunEvent::Started(header) => EventForm::Started(Box::new(self::header(header))),
        RunEvent::Notice(notice) => {
            let (level, text) = match notice {
                Notice::Info(text) => ("info", text),
                Notice::Warning(text) => ("warning", text),
            };
            EventForm::Notice { level: level.to_owned(), text: text.clone() }
        }
        RunEvent::IterationStarted { iteration, of, commit } => EventForm::IterationStarted {
            iteration: *iteration,
            of: *of,
            commit: commit.to_string(),
        },
        RunEvent::StageStarted { iteration, stage, parts } => EventForm::StageStarted {
            iteration: *iteration,
            stage: stage.to_string(),
            parts: parts.clone(),
        },
        RunEvent::PartStarted { stage, name, command } => EventForm::PartStarted {
            stage: stage.to_string(),
            name: name.clone(),
            command: command.clone(),
        },
        RunEvent::Output { stage, name, text } => {
            EventForm::Output { stage: stage.to_string(), name: name.clone(), text: text.clone() }
        }
        RunEvent::GateFinished { iteration, result } => {
            EventForm::GateFinished { iteration: *iteration, gate: gate(result) }
        }
        RunEvent::StepFinished { stage, name, ok, detail, elapsed } => EventForm::StepFinished {
            stage: stage.to_string(),
            name: name.clone(),
            ok: *ok,
            detail: detail.clone(),
            elapsed_ms: millis(*elapsed),
        },
        RunEvent::StagePassed { iteration, stage, elapsed } => EventForm::StagePassed {
            iteration: *iteration,
            stage: stage.to_string(),
            elapsed_ms: millis(*elapsed),
        },
        RunEvent::StageFailed { iteration, failure, progress, elapsed } => EventForm::StageFailed {
            iteration: *iteration,
            failure: Box::new(self::failure(failure)),
            progress: progress.map(|progress| progress.name().to_owned()),
            elapsed_ms: millis(*elapsed),
        },
        RunEvent::FlakyRerun { stage, name, passed } => {
            EventForm::FlakyRerun { stage: stage.to_string(), name: name.clone(), passed: *passed }
        }
        RunEvent::Restored { release, ok, detail } => EventForm::Restored {
            release: release.map(|release| release.to_string()),
            ok: *ok,
            detail: detail.clone(),
        },
        RunEvent::AuthorAsked { iteration, model } => {
            EventForm::AuthorAsked { iteration: *iteration, model: model.clone() }
        }
        RunEvent::AuthorLooked { iteration, call } => {
            EventForm::AuthorLooked { iteration: *iteration, call: call.clone() }
        }
        RunEvent::PatchProposed { iteration, reason, diff, usage } => EventForm::PatchProposed {
            iteration: *iteration,
            reason: reason.clone(),
            diff: diff.clone(),
            usage: self::usage(usage),
        },
        RunEvent::PatchRefused { iteration, reason, usage } => EventForm::PatchRefused {
            iteration: *iteration,
            reason: reason.clone(),
            usage: self::usage(usage),
        },
        RunEvent::NoPatch { iteration, class, reason } => EventForm::NoPatch {
            iteration: *iteration,
            class: class.clone(),
            reason: reason.clone(),
        },
        RunEvent::ReviewerAsked { iteration, model } => {
            EventForm::ReviewerAsked { iteration: *iteration, model: model.clone() }
        }
        RunEvent::Reviewed { iteration, review, usage } => EventForm::Reviewed {
            iteration: *iteration,
            review: self::review(review),
            usage: self::usage(usage),
        },
        RunEvent::Evaluated { iteration, evaluation } => EventForm::Evaluated {
            iteration: *iteration,
            decision: evaluation.decision().name().to_owned(),
            matches: evaluation.matches().iter().map(rule_match).collect(),
        },
        RunEvent::HumanDecided { iteration, approved, who } => {
            EventForm::HumanDecided { iteration: *iteration, approved: *approved, who: who.clone() }
        }
        RunEvent::PatchApplied { iteration, commit, files } => EventForm::PatchApplied {
            iteration: *iteration,
            commit: commit.to_string(),
            files: files.clone(),
        },
        RunEvent::Progress { stage, name, done, total } => EventForm::Progress {
            stage: stage.name().to_owned(),
            name: name.clone(),
            done: *done,
            total: *total,
        },
        RunEvent::ImageReady { image, tags, reused } => {
            EventForm::ImageReady { image: image.to_string(), tags: tags.clone(), reused: *reused }
        }
        RunEvent::Switched { release, endpoint } => {
            EventForm::Switched { release: release.to_string(), url: endpoint.url.clone() }
        }
        RunEvent::Finished(summary) => EventForm::Finished(Box::new(self::summary(summary))),
    }
}

fn header(header: &RunHeader) -> HeaderForm {
    // The run's id stands in every record.
    let RunHeader {
        run: _,
        task,
        title,
        environment,
        commit,
        commit_subject,
        target,
        author,
        reviewer,
        limits,
        repository,
        invocation: Invocation { program, git, arguments, tail, options },
        folder,
    } = header;
    HeaderForm {
        task: task.name().to_owned(),
        title: title.clone(),
        environment: environment.as_ref().map(EnvironmentName::to_string),
        commit: commit.to_string(),
        commit_subject: commit_subject.clone(),
        target: target.map(|target| target.name().to_owned()),
        author: author.clone(),
        reviewer: reviewer.clone(),
        limits: LimitsForm {
            max_iterations: limits.max_iterations,
            no_progress_threshold: limits.no_progress_threshold,
            max_tokens: limits.max_tokens,
            max_cost_usd: limits.max_cost_usd,
            max_duration_ms: limits.max_duration.map(millis),
        },
        repository: repository.to_string_lossy().into_owned(),
        invocation: InvocationForm {
            program: program.clone(),
            git: git.clone(),
            arguments: arguments.clone(),
            tail: tail.clone(),
            options: options.clone(),
        },
        folder: folder.to_string_lossy().into_owned(),
    }
}

fn gate(result: &GateResult) -> GateForm {
    let GateResult { name, required, status, duration, output_bytes, log } = result;
    GateForm {
        name: name.clone(),
        required: *required,
        status: match status {
            GateStatus::Passed => GateStatusForm::Passed,
            GateStatus::Failed(exit) => GateStatusForm::Failed(self::exit(exit)),
            GateStatus::Flaky => GateStatusForm::Flaky,
            GateStatus::Skipped { needs } => GateStatusForm::Skipped { needs: needs.clone() },
            GateStatus::Cancelled => GateStatusForm::Cancelled,
        },
        duration_ms: millis(*duration),
        output_bytes: *output_bytes,
        log: log.clone(),
    }
}

fn exit(exit: &Exit) -> ExitForm {
    match exit {
        Exit::Code(code) => ExitForm::Code(*code),
        Exit::Signal(signal) => ExitForm::Signal(*signal),
        Exit::TimedOut(after) => ExitForm::TimedOutMs(millis(*after)),
        Exit::NotStarted(reason) => ExitForm::NotStarted(reason.clone()),
    }
}

fn failure(failure: &Failure) -> FailureForm {
    let Failure { stage, name, headline, class, fingerprint, flaky_suspect, symptoms, evidence } =
        failure;
    FailureForm {
        stage: stage.to_string(),
        name: name.clone(),
        headline: headline.clone(),
        class: class.to_string(),
        fingerprint: fingerprint.to_string(),
        flaky_suspect: *flaky_suspect,
        symptoms: symptoms.iter().cloned().collect(),
        evidence: self::evidence(evidence),
    }
}

fn evidence(evidence: &Evidence) -> EvidenceForm {
    let Evidence {
        command,
        exit,
        excerpts,
        log_lines,
        log,
        failing_tests,
        code,
        http,
        service_log,
        notes,
        remedy,
        deterministic: _,
    } = evidence;
    EvidenceForm {
        command: command.clone(),
        exit: exit.as_ref().map(self::exit),
        excerpts: excerpts
            .iter()
            .map(|excerpt| ExcerptForm {
                start: excerpt.start,
                end: excerpt.end,
                kind: excerpt.kind.clone(),
                text: excerpt.text.clone(),
                locations: excerpt.locations.iter().map(location).collect(),
            })
            .collect(),
        log_lines: *log_lines,
        log: log.clone(),
        failing_tests: failing_tests.iter().cloned().collect(),
        code: code
            .iter()
            .map(|code| CodeForm {
                path: code.path.clone(),
                first_line: code.first_line,
                text: code.text.clone(),
                about: location(&code.about),
            })
            .collect(),
        http: http
            .iter()
            .map(|exchange| HttpForm {
                request: exchange.request.clone(),
                status: exchange.status,
                response: exchange.response.clone(),
                complaint: exchange.complaint.clone(),
                elapsed_ms: millis(exchange.elapsed),
            })
            .collect(),
        service_log: service_log.clone(),
        notes: notes.clone(),
        remedy: remedy.as_ref().map(|Remedy { what, command, person_only }| RemedyForm {
            what: what.clone(),
            command: command.clone(),
            person_only: *person_only,
        }),
    }
}

fn location(location: &Location) -> LocationForm {
    LocationForm { file: location.file.clone(), line: location.line, column: location.column }
}

pub(super) const fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Approve => "approve",
        Verdict::Reject => "reject",
    }
}

fn review(review: &Review) -> ReviewForm {
    let Review { verdict, risk, reason, suggestion, reviewer } = review;
    ReviewForm {
        verdict: self::verdict(*verdict).to_owned(),
        risk: risk.name().to_owned(),
        reason: reason.clone(),
        suggestion: suggestion.clone(),
        reviewer: reviewer.clone(),
    }
}

fn rule_match(found: &RuleMatch) -> RuleMatchForm {
    let RuleMatch { rule, decision, path, line, detail } = found;
    RuleMatchForm {
        rule: rule.clone(),
        decision: decision.name().to_owned(),
        path: path.as_ref().map(RepoPath::to_string_lossy),
        line: *line,
        detail: detail.clone(),
    }
}

fn usage(usage: &Usage) -> UsageForm {
    let Usage { requests, input_tokens, output_tokens, cost_usd } = *usage;
    UsageForm { requests, input_tokens, output_tokens, cost_usd }
}

fn stop(stop: &StopReason) -> StopForm {
    match stop {
        StopReason::Verified => StopForm::Verified,
        StopReason::MaxIterations { limit } => StopForm::MaxIterations { limit: *limit },
        StopReason::NoProgress { repeats } => StopForm::NoProgress { repeats: *repeats },
        StopReason::RepeatedAnswer { what, reason } => {
            StopForm::RepeatedAnswer { what: what.name().to_owned(), reason: reason.clone() }
        }
        StopReason::RepeatedTree { swing } => StopForm::RepeatedTree { swing: *swing },
        StopReason::Budget { what } => StopForm::Budget { what: what.clone() },
        StopReason::NotHealable { class, stage } => {
            StopForm::NotHealable { class: class.to_string(), stage: stage.to_string() }
        }
        StopReason::NoPatch { class, reason } => {
            StopForm::NoPatch { class: class.name().to_owned(), reason: reason.clone() }
        }
        StopReason::Declined { reason } => StopForm::Declined { reason: reason.clone() },
        StopReason::NeedsHuman { request } => StopForm::NeedsHuman { request: request.clone() },
        StopReason::NoHealing { stage } => StopForm::NoHealing { stage: stage.to_string() },
        StopReason::NoModel { failure, reason } => StopForm::Failed {
            failure: failure.as_deref().map(failure_summary),
            no_model: reason.clone(),
        },
        StopReason::ModelUnavailable { failure, reason } => StopForm::ModelUnavailable {
            failure: failure.as_deref().map(failure_summary),
            reason: reason.clone(),
        },
        StopReason::Internal { reason } => StopForm::Internal { reason: reason.clone() },
        StopReason::Cancelled => StopForm::Cancelled,
        StopReason::Abandoned => StopForm::Abandoned,
    }
}

fn failure_summary(failure: &FailureSummary) -> FailureSummaryForm {
    let FailureSummary { stage, name, class, fingerprint, headline } = failure;
    FailureSummaryForm {
        stage: stage.to_string(),
        name: name.clone(),
        class: class.to_string(),
        fingerprint: fingerprint.to_string(),
        headline: headline.clone(),
    }
}

fn restoration(restoration: &Restoration) -> RestorationForm {
    let (outcome, serving_after) = match restoration {
        Restoration::Restored { serving_after, .. } => ("restored", *serving_after),
        Restoration::Untouched { .. } => ("untouched", None),
        Restoration::Nothing => ("nothing", None),
        Restoration::Unconfirmed => ("unconfirmed", None),
    };
    RestorationForm {
        outcome: outcome.to_owned(),
        release: restoration.release().map(|release| release.to_string()),
        serving_after_ms: serving_after.map(millis),
    }
}

fn fix(fix: &FixPlace) -> FixForm {
    let (place, reason) = match fix {
        FixPlace::WorkTree { .. } => ("work_tree", None),
        FixPlace::Branch => ("branch", None),
        FixPlace::SnapshotBranch => ("snapshot_branch", None),
        FixPlace::NotBroughtBack { why } => ("not_brought_back", Some(why.clone())),
    };
    let cannot_undo = matches!(fix, FixPlace::WorkTree { can_undo: false });
    FixForm { place: place.to_owned(), reason, can_undo: cannot_undo.then_some(false) }
}

fn proof(proof: &Proof) -> ProofForm {
    let Proof { gates, judged_without, passes, accepted_by } = proof;
    ProofForm {
        proven: proof.is_proven(),
        verdict: proof.verdict(),
        gates: gates.iter().map(gate_proof).collect(),
        judged_without: judged_without.clone(),
        passes: *passes,
        accepted_by: accepted_by.clone(),
    }
}

fn gate_proof(gate: &GateProof) -> GateProofForm {
    let GateProof {
        gate,
        basis,
        proven,
        before,
        after,
        fixed,
        fixed_total,
        kept,
        renamed,
        complaints,
    } = gate;
    let counts = |counts: &Option<TestCounts>| {
        counts.map(|TestCounts { passed, failed, skipped }| TestCountsForm {
            passed,
            failed,
            skipped,
        })
    };
    GateProofForm {
        gate: gate.clone(),
        basis: basis.name().to_owned(),
        proven: *proven,
        before: counts(before),
        after: counts(after),
        fixed: fixed.clone(),
        fixed_total: *fixed_total,
        kept: *kept,
        renamed: renamed.clone(),
        complaints: complaints.clone(),
    }
}

fn summary(summary: &RunSummary) -> SummaryForm {
    let RunSummary {
        stop,
        iterations,
        patches,
        failure,
        serving,
        restored,
        branch,
        fix,
        flaky,
        proof,
        usage,
        elapsed,
        next_steps,
    } = summary;
    SummaryForm {
        stop: self::stop(stop),
        verdict: stop.to_string(),
        iterations: *iterations,
        patches: patches
            .iter()
            .map(|patch| PatchForm {
                iteration: patch.iteration,
                failure: patch.failure.clone(),
                reason: patch.reason.clone(),
                diff: patch.diff.clone(),
                review: review(&patch.review),
                commit: patch.commit.to_string(),
                confirmed_by: patch.confirmed_by.clone(),
            })
            .collect(),
        failure: failure.as_deref().map(self::failure),
        serving: match serving {
            Some(RunningNow::Release { release, endpoint, condition }) => Some(ServingForm {
                release: release.to_string(),
                url: endpoint.url.clone(),
                condition: Some(condition.name().to_owned()),
                reason: condition.reason().map(str::to_owned),
            }),
            Some(RunningNow::Nothing | RunningNow::Unknown { .. }) | None => None,
        },
        serving_unknown: match serving {
            Some(RunningNow::Unknown { why }) => Some(why.clone()),
            Some(RunningNow::Nothing | RunningNow::Release { .. }) | None => None,
        },
        restored: summary.is_restored(),
        restoration: restored.as_ref().map(restoration),
        branch: branch.clone(),
        fix: fix.as_ref().map(self::fix),
        flaky: flaky.clone(),
        proof: proof.as_ref().map(self::proof),
        usage: self::usage(usage),
        elapsed_ms: millis(*elapsed),
        next_steps: next_steps
            .iter()
            .map(|NextStep { what, command }| NextStepForm {
                what: what.clone(),
                command: command.clone(),
            })
            .collect(),
    }
}
