//! What a command needs before it can run at all: looked at before anything runs, and again to
//! tell what a status of 126 or 127 means.
//!
//! Lives here: finding the program that a configured command begins with, and naming what is
//! wrong with it. Must not be here: running anything. Where it is not certain what a shell would
//! run, nothing is said.

mod line;
mod program;

use std::ffi::OsString;
use std::path::Path;
use std::sync::LazyLock;

use regex::Regex;

use crate::config::plan::{GatePlan, ScriptPlan};
use crate::model::{FailureClass, Remedy};

use program::missing;
pub use program::{ProgramFault, look_up};

/// What is wrong with a part of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// `gate lint`, `the smoke script`.
    pub subject: String,
    /// What is wrong.
    pub fault: ProgramFault,
}

/// What surely keeps a run from passing. A gate may make what a later one needs, and the program
/// of an advisory gate may be missing: those are not told here.
pub fn before_anything(
    gates: &[GatePlan],
    script: Option<&ScriptPlan>,
    root: &Path,
) -> Vec<Finding> {
    let of_gates = gates.iter().enumerate().filter_map(|(nth, gate)| {
        let fault = of_gate(gate, root).filter(|_| gate.required)?;
        let certain = match &fault {
            ProgramFault::NotExecutable { .. } | ProgramFault::Folder { .. } => true,
            ProgramFault::NotOnPath { .. } => nth == 0,
            // A file that is gone may be what the commit broke.
            ProgramFault::NoFile { near, .. } => nth == 0 && near.is_some(),
            ProgramFault::NoInterpreter { .. } => false,
        };
        certain.then(|| Finding { subject: format!("gate {}", gate.name), fault })
    });
    let of_script = script.and_then(|script| {
        let fault = of_script(script, root)?;
        let certain = match &fault {
            ProgramFault::NotExecutable { .. } | ProgramFault::Folder { .. } => true,
            ProgramFault::NoFile { .. } => gates.is_empty(),
            ProgramFault::NotOnPath { .. } | ProgramFault::NoInterpreter { .. } => false,
        };
        certain.then(|| Finding { subject: "the smoke script".to_owned(), fault })
    });
    of_gates.chain(of_script).collect()
}

/// What keeps a gate's own program from being started.
pub fn of_gate(gate: &GatePlan, root: &Path) -> Option<ProgramFault> {
    let folder = match &gate.working_directory {
        Some(folder) => root.join(folder.to_os_path()),
        None => root.to_owned(),
    };
    let first = line::first_program(&gate.command)?;
    let folder = match &first.folder {
        Some(to) => folder.join(to),
        None => folder,
    };
    // A folder that is not there is told by the shell.
    if !folder.is_dir() {
        return None;
    }
    match look_up(&first.word, &folder, &path_of(gate)) {
        Err(fault) => Some(fault),
        Ok(_) => first.script.and_then(|script| missing(&folder, &script)),
    }
}

/// What keeps the smoke script from being started.
pub fn of_script(script: &ScriptPlan, root: &Path) -> Option<ProgramFault> {
    let written = script.script.to_string_lossy();
    let word = if written.contains('/') { written.into_owned() } else { format!("./{written}") };
    look_up(&word, root, &path_variable()).err()
}

fn path_of(gate: &GatePlan) -> OsString {
    gate.env.get("PATH").map_or_else(path_variable, OsString::from)
}

/// The `PATH` of this process, which programs are looked for in.
pub fn path_variable() -> OsString {
    std::env::var_os("PATH").unwrap_or_default()
}

/// What shells, `env` and `make` say of a program that is not there, with its name. Examples:
/// `sh: 1: foo: not found`, `./x.sh: line 3: foo: command not found`,
/// `env: ‘foo’: No such file or directory`, `make: foo: No such file or directory`.
static NOT_FOUND: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(
        r"(?m)(?:^|[:\s])(?P<a>[\w.+-]+): (?:command )?not found\s*$|env: [‘'`]?(?P<b>[\w.+-]+)[’'`]?: No such file|make(?:\[\d+\])?: (?P<c>[\w.+-]+): No such file",
    )
    .ok()
});

/// What a gate that ended with 127 lacks, when not its own program: a class, what is wrong, and
/// what to do.
pub fn deeper(gate: &GatePlan, output: &str) -> Option<(FailureClass, String, Remedy)> {
    let found = NOT_FOUND.as_ref()?.captures(output)?;
    let name = ["a", "b", "c"].iter().find_map(|group| found.name(group))?.as_str();
    let path = path_of(gate);
    let fault = look_up(name, Path::new("/"), &path).err()?;
    let ProgramFault::NotOnPath { near, .. } = &fault else { return None };
    let configured = gate.command.split(|c: char| !(c.is_alphanumeric() || "_.+-".contains(c)));
    if configured.into_iter().any(|word| word == name) {
        return Some((FailureClass::Config, fault.to_string(), fault.remedy()));
    }
    // A long name that is nearly another's is misspelt where it stands, in the repository.
    if let Some(near) = near.as_deref().filter(|_| name.len() >= 5) {
        let what = format!("did you mean `{near}`?");
        let remedy = Remedy { what, command: None, person_only: false };
        return Some((FailureClass::Code, fault.to_string(), remedy));
    }
    let what = format!("install `{name}` on this machine, or add its folder to PATH");
    let remedy = Remedy { what, command: None, person_only: true };
    Some((FailureClass::Infrastructure, fault.to_string(), remedy))
}

/// What programs say whose input is empty, or no terminal. Examples:
/// `EOFError: EOF when reading a line`, `the input device is not a TTY`,
/// `sudo: a terminal is required to read the password`,
/// `fatal: could not read Username for 'https://…': No such device or address`,
/// `ExitPromptError: User force closed the prompt with 0 null`.
static WANTS_INPUT: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(
        r"(?i)EOFError: EOF when reading a line|(?:stdin|standard input|input(?: device)?) is not a (?:tty|terminal)|terminal is required to read|could not read (?:username|password) for .*: (?:No such device|terminal prompts disabled)|force closed the prompt",
    )
    .ok()
});

/// Whether a gate failed because it asks and nobody answers: it says so, or its own line reads
/// input and it ended without a word.
pub fn wants_input(gate: &GatePlan, output: &str, silent: bool) -> bool {
    WANTS_INPUT.as_ref().is_some_and(|said| said.is_match(output))
        || silent && line::reads_input(&gate.command)
}

/// What helps a gate that wants input.
pub fn input_remedy() -> Remedy {
    Remedy {
        what: "gates run without a person and with empty input: give the command what it asks \
               for by an option or a file, or tell it not to ask"
            .to_owned(),
        command: None,
        person_only: false,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn gate(name: &str, command: &str, needs: &[&str]) -> GatePlan {
        GatePlan {
            name: name.into(),
            command: command.into(),
            required: true,
            timeout: None,
            env: Default::default(),
            working_directory: None,
            needs: needs.iter().map(|need| (*need).to_owned()).collect(),
        }
    }

    #[test]
    fn only_what_is_certain_is_told_before_anything_runs() {
        let tree = tempfile::tempdir().unwrap();
        let root = tree.path();
        std::fs::write(root.join("check.sh"), "#!/bin/sh\n").unwrap();
        let script = ScriptPlan { script: "check.sh".into(), timeout: Default::default() };
        let told = |gates: &[GatePlan], script: Option<&ScriptPlan>| -> Vec<String> {
            let found = before_anything(gates, script, root);
            found.iter().map(|found| found.subject.clone()).collect()
        };
        let misspelt = || gate("a", "carggo-of-nobody test", &[]);
        assert_eq!(told(&[misspelt()], None), ["gate a"]);
        // Something before it may install it, or it is only advice.
        assert_eq!(told(&[gate("z", "X=1 sh -c true", &[]), misspelt()], None), ["gate z"; 0]);
        let advice = GatePlan { required: false, ..misspelt() };
        assert_eq!(told(&[advice], None), ["gate a"; 0]);
        // A build makes it; nothing makes a mode.
        let built = gate("b", "./target/built", &[]);
        assert_eq!(told(&[built], None), ["gate b"; 0]);
        let gates = [gate("x", "sh -c true", &[]), gate("c", "./check.sh", &["x"])];
        assert_eq!(told(&gates, Some(&script)), ["gate c", "the smoke script"]);
        let executable = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(root.join("check.sh"), executable).unwrap();
        assert_eq!(told(&gates, Some(&script)), ["gate c"; 0]);
        let gone = ScriptPlan { script: "scripts/gone.sh".into(), timeout: Default::default() };
        assert_eq!(told(&gates, Some(&gone)), ["gate c"; 0], "a gate may write it");
        assert_eq!(told(&[], Some(&gone)), ["the smoke script"]);
    }

    #[test]
    fn a_gate_that_asks_is_told_from_one_that_fails() {
        for (command, output, expect) in [
            ("python3 ask.py", "Traceback …\nEOFError: EOF when reading a line\n", true),
            ("docker run -it x", "the input device is not a TTY\n", true),
            ("sudo make", "sudo: a terminal is required to read the password; …", true),
            (
                "git fetch",
                "fatal: could not read Username for 'https://x': No such device or address",
                true,
            ),
            ("read answer", "", true),
            ("read answer", "answer: 3\n", false),
            ("sh test.sh", "", false),
            ("cat x", "EOF reached\n", false),
        ] {
            let silent = output.is_empty();
            assert_eq!(wants_input(&gate("g", command, &[]), output, silent), expect, "{command}");
        }
    }

    #[test]
    fn a_missing_program_is_the_configuration_s_the_repository_s_or_the_machine_s() {
        for (command, output, expect) in [
            ("true && carggo-x test", "sh: 1: carggo-x: not found\n", FailureClass::Config),
            (
                "sh build.sh",
                "build.sh: line 3: wholly-unknown-tool: command not found\n",
                FailureClass::Infrastructure,
            ),
            ("sh build.sh", "build.sh: 2: chmodd: not found\n", FailureClass::Code),
            (
                "./x.py",
                "/usr/bin/env: ‘pytohn-99’: No such file or directory\n",
                FailureClass::Infrastructure,
            ),
            (
                "make",
                "make: no-such-tool: No such file or directory\n",
                FailureClass::Infrastructure,
            ),
        ] {
            let (class, said, remedy) = deeper(&gate("g", command, &[]), output).unwrap();
            assert_eq!(class, expect, "{output}: {said}");
            assert_eq!(remedy.person_only, class != FailureClass::Code, "{output}");
        }
        assert_eq!(deeper(&gate("g", "make", &[]), "error: file not found\n"), None);
        assert_eq!(deeper(&gate("g", "make", &[]), "sh: not found\n"), None, "it is there");
    }
}
