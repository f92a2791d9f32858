//! A task that is a command.

use std::ffi::OsString;
use std::sync::Arc;
use std::time::Duration;

use super::lease_keeper::LeaseGuard;
use super::live_log::LogSink;
use super::log::TaskLog;
use super::options::SandboxOptions;
use super::report::{AttemptError, evidence};
use super::self_check::{Fault, out_of_memory_kills};
use super::stop::AttemptCancel;
use super::workdir::Checkout;
use greenloop_evidence::{Extraction, Redactor};
use greenloop_exec::sandbox::{Confinement, Grant, Place, Sandbox, SandboxError};
use greenloop_exec::{Command, Marker, Program};
use greenloop_hub_api::types::Claimed;
use greenloop_model::task::EvidenceKind;
use greenloop_model::{Exit, FailureClass, Network, RunId, error_chain};
use greenloop_workspace::git::system_class;

/// For a command whose task sets no limit.
const TIMEOUT: Duration = Duration::from_secs(6 * 60 * 60);

/// What a command is run with.
pub(super) struct CommandContext<'a> {
    pub(super) claimed: &'a Claimed,
    pub(super) checkout: &'a Checkout,
    pub(super) run: RunId,
    pub(super) agent: &'a str,
    pub(super) env_remove: &'a [String],
    pub(super) sandbox: Option<&'a SandboxOptions>,
    pub(super) redactor: &'a Redactor,
    pub(super) live: LogSink,
}

/// Runs the command in the checkout; `guard` reports its latest line.
pub(super) async fn run(
    line: &str,
    context: &CommandContext<'_>,
    guard: &LeaseGuard,
    cancel: &AttemptCancel,
) -> Result<(), AttemptError> {
    let timeout = context.claimed.task.timeout_seconds.map_or(TIMEOUT, Duration::from_secs);
    let confinement = confinement(context).map_err(|error| {
        AttemptError::new(
            FailureClass::Infrastructure,
            format!("no sandbox: {}", error_chain(&error)),
        )
    })?;
    let command = Command {
        program: Program::Shell(line.to_owned()),
        cwd: context.checkout.folder.clone(),
        env: variables(context),
        env_remove: context.env_remove.iter().map(OsString::from).collect(),
        timeout: Some(timeout),
        marker: Marker::new(context.run),
        confinement,
    };
    let mut log = TaskLog::new(&context.checkout.log, context.redactor, context.live.clone());
    let mut output = |bytes: &[u8]| {
        if let Some(latest) = log.push(bytes) {
            guard.report(percent(&latest), latest);
        }
    };
    let kills = out_of_memory_kills();
    let outcome = greenloop_exec::run(&command, &mut output, cancel.token()).await;
    let output = log.finish(context.redactor);
    if outcome.exit == Exit::Code(0) && !outcome.cancelled {
        return Ok(());
    }
    let extraction = output.extraction;
    let fault = fault(&outcome.exit, &extraction, kills < out_of_memory_kills());
    let class = match (&outcome.exit, extraction.class) {
        _ if outcome.exceeded.is_some() => FailureClass::Quota,
        (Exit::TimedOut(_), FailureClass::Unknown) => FailureClass::Timeout,
        (Exit::NotStarted(_), _) | (Exit::Code(126 | 127), FailureClass::Unknown) => {
            FailureClass::Config
        }
        (Exit::Code(_) | Exit::Signal(_) | Exit::TimedOut(_), said) => said,
    };
    let message = match extraction.headline.as_str() {
        _ if outcome.exceeded.is_some() => {
            let limit = outcome.exceeded.unwrap_or_default();
            format!("the command was ended for going over a limit of its sandbox: {limit}")
        }
        "" => format!("the command failed: {}", outcome.exit),
        telling => format!("the command failed ({}): {telling}", outcome.exit),
    };
    let mut found = Vec::new();
    if !extraction.excerpts.is_empty() {
        let texts: Vec<String> = extraction
            .excerpts
            .iter()
            .map(|e| format!("lines {}-{} ({})\n{}\n", e.start, e.end, e.kind, e.text))
            .collect();
        let tests = match extraction.failing_tests.len() {
            0 => String::new(),
            n => format!("; {n} failing tests"),
        };
        let title = format!("{}: relevant lines{tests}", outcome.exit);
        found.push(evidence(EvidenceKind::Test, &title, &texts.join("\n"), context.redactor));
    }
    if !output.end.is_empty() {
        let title = format!("the last of {} lines of output", extraction.lines);
        found.push(evidence(EvidenceKind::Log, &title, &output.end, context.redactor));
    }
    let fingerprint = Some(extraction.fingerprint);
    Err(AttemptError { fingerprint, evidence: found, fault, ..AttemptError::new(class, message) })
}

/// The sandbox of the command in its checkout.
fn confinement(context: &CommandContext<'_>) -> Result<Option<Confinement>, SandboxError> {
    let Some(options) = context.sandbox else { return Ok(None) };
    let checkout = context.checkout;
    let mut settings = options.settings.clone();
    // The clone borrows the mirror's objects.
    settings.read.extend(checkout.mirror_folder());
    let git = checkout.folder.join(".git");
    let place = Place {
        root: checkout.folder.clone(),
        git: if git.exists() { vec![git.clone()] } else { Vec::new() },
        own: Vec::new(),
        state: vec![git.join("greenloop")],
        scratch: checkout.scratch(),
        launcher: options.launcher.clone(),
    };
    let sandbox = Arc::new(Sandbox::new(settings, place)?);
    let grant = Grant { network: Network::all_or_none(options.network), ..Grant::default() };
    Ok(Some(Confinement { sandbox, grant }))
}

/// What this machine is surely at fault for. Whether it is at fault for anything else is found
/// out by the self-check.
fn fault(exit: &Exit, extraction: &Extraction, killed: bool) -> Option<Fault> {
    // 128 + 9 is how a shell reports it of the program that it waited for.
    if killed && matches!(exit, Exit::Signal(9) | Exit::Code(137)) {
        let reason = "the kernel killed a process of the task because memory ran out";
        return Some(Fault::new(FailureClass::Infrastructure, reason));
    }
    // A program that cleans up after itself leaves nothing for the self-check to see.
    let heals = extraction.class.heals();
    let class = system_class(&extraction.headline).filter(|_| !heals)?;
    Some(Fault::new(class, format!("this machine: {}", extraction.headline)))
}

/// How far the work is, where a line says so: `progress: 40%` as its beginning, or `[ 40%]` as
/// builders print it.
fn percent(line: &str) -> Option<u8> {
    let line = line.trim_start();
    let rest = match line.strip_prefix('[') {
        Some(rest) => rest,
        None => line
            .get(..9)
            .filter(|word| word.eq_ignore_ascii_case("progress:"))
            .and_then(|word| line.get(word.len()..))?,
    };
    let number = rest.trim_start().split_once('%')?.0;
    number.parse().ok().filter(|percent| *percent <= 100)
}

/// What a task's command gets to know of the task.
fn variables(context: &CommandContext<'_>) -> Vec<(OsString, OsString)> {
    let Claimed { task, epoch, target, branch, previous, .. } = context.claimed;
    let own = [
        ("GREENLOOP_TASK", task.id.to_string()),
        ("GREENLOOP_TASK_KEY", task.key.clone()),
        ("GREENLOOP_TASK_TITLE", task.title.clone()),
        ("GREENLOOP_TASK_DESCRIPTION", task.description.clone()),
        ("GREENLOOP_TASK_EPOCH", epoch.to_string()),
        ("GREENLOOP_TASK_BRANCH", branch.clone()),
        ("GREENLOOP_TASK_TARGET", target.clone()),
        ("GREENLOOP_TASK_ROLE", task.role.clone().unwrap_or_default()),
        ("GREENLOOP_TASK_PREVIOUS", previous.clone().unwrap_or_default()),
        ("GREENLOOP_AGENT", context.agent.to_owned()),
    ];
    // A NUL would keep the command from being started.
    own.into_iter().map(|(name, value)| (name.into(), value.replace('\0', " ").into())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_the_machines_fault_and_a_failing_test_is_not() {
        let of = |log: &str, exit: Exit, killed| {
            let extraction = greenloop_evidence::extract(
                log.as_bytes(),
                Default::default(),
                &Redactor::default(),
            );
            fault(&exit, &extraction, killed).map(|fault| fault.reason)
        };
        let full = of("cp: error writing 'b': No space left on device\n", Exit::Code(1), false);
        assert!(full.unwrap().contains("No space left on device"));
        assert_eq!(of("error: cannot find 'x'\n", Exit::Code(1), false), None);
        assert_eq!(of("", Exit::Code(137), false), None, "somebody else killed it");
        assert_eq!(of("", Exit::Code(1), true), None, "something else was killed");
        assert!(of("", Exit::Signal(9), true).unwrap().contains("memory"));
    }

    #[test]
    fn lines_say_how_far_the_work_is() {
        for (line, expect) in [
            ("progress: 40%", Some(40)),
            ("Progress:100% of the files", Some(100)),
            ("[  7%] Building CXX object a.o", Some(7)),
            ("[101%]", None),
            ("[-1%]", None),
            ("[info] 12% left", None),
            ("40% done", None),
            ("progresé: 4%", None),
            ("", None),
        ] {
            assert_eq!(percent(line), expect, "{line}");
        }
    }
}
