//! What a command needs before it can run at all: looked at before anything runs, and again to
//! tell what a status of 126 or 127 means.
//!
//! Lives here: finding the command that a configured line begins with, and naming what is wrong
//! with it. Must not be here: running anything of the repository; only the shell is asked whether
//! it has a command or a construct itself. Where it is not certain what a shell would run, nothing is said.

mod line;
mod syntax;

use std::path::Path;
use std::sync::LazyLock;

use regex::Regex;

use greenloop_config::nearest::near_file;
use greenloop_config::plan::{GatePlan, ScriptPlan};
pub use greenloop_config::program::{ProgramFault, look_up, path_variable};
use greenloop_config::program::{look_up_in_shell, missing};
use greenloop_model::{FailureClass, Remedy};

/// What is wrong with a part of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// `gate lint`, `the smoke script`.
    pub subject: String,
    pub fault: ProgramFault,
    /// Whether a run surely fails for it: nothing that runs before can repair it, and no patch.
    pub certain: bool,
}

/// What cannot be started as the tree and the machine are now. A gate may make, install or
/// `chmod` what a later one and the smoke script need.
pub fn judge(gates: &[GatePlan], script: Option<&ScriptPlan>, root: &Path) -> Vec<Finding> {
    let of_gates = gates.iter().enumerate().filter_map(|(nth, gate)| {
        // Nothing runs without its folder; a gate before may make it.
        if let Some(fault) = no_folder(gate, root) {
            let certain = nth == 0 && gate.needs.is_empty() && gate.required;
            return Some(Finding { subject: format!("gate {}", gate.name), fault, certain });
        }
        // Nothing that runs before changes how the shell reads the line.
        if let Some(fault) = syntax::fault(&gate.command) {
            let subject = format!("gate {}", gate.name);
            return Some(Finding { subject, fault, certain: gate.required });
        }
        let (fault, decides) = of_gate(gate, root)?;
        let first = nth == 0 && gate.needs.is_empty();
        let certain = first && gate.required && decides && fault.remedy().person_only;
        Some(Finding { subject: format!("gate {}", gate.name), fault, certain })
    });
    let of_script = script.and_then(|script| {
        let fault = of_script(script, root)?;
        let certain = gates.is_empty() && fault.remedy().person_only;
        Some(Finding { subject: "the smoke script".to_owned(), fault, certain })
    });
    of_gates.chain(of_script).collect()
}

/// Where a gate is to run, if that is no folder.
fn no_folder(gate: &GatePlan, root: &Path) -> Option<ProgramFault> {
    let wanted = gate.working_directory.as_ref()?;
    let folder = root.join(wanted.to_os_path());
    let path = wanted.to_string();
    let near = near_file(&folder, &path);
    (!folder.is_dir()).then_some(ProgramFault::NoFolder { path, near })
}

/// What keeps a gate's first command from being started, and whether the gate fails for that.
fn of_gate(gate: &GatePlan, root: &Path) -> Option<(ProgramFault, bool)> {
    let folder = match &gate.working_directory {
        Some(folder) => root.join(folder.to_os_path()),
        None => root.to_owned(),
    };
    let first = line::first_command(&gate.command)?;
    let folder = match &first.folder {
        Some(to) => folder.join(to),
        None => folder,
    };
    // The shell reports a folder that is not there.
    if !folder.is_dir() {
        return None;
    }
    let fault = match look_up_in_shell(&first.word, &folder, &gate.env) {
        Err(fault) => fault,
        Ok(()) => missing(&folder, &first.script?)?,
    };
    Some((fault, first.decides))
}

/// What keeps the smoke script from being started.
pub fn of_script(script: &ScriptPlan, root: &Path) -> Option<ProgramFault> {
    let written = script.script.to_string_lossy();
    let word = if written.contains('/') { written.into_owned() } else { format!("./{written}") };
    look_up(&word, root, &path_variable()).err()
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

/// What keeps a failure of a gate's tests from being the gate's, when it is known.
pub fn hides_status(gate: &GatePlan) -> Option<&'static str> {
    syntax::hides_status(&gate.command)
}

/// Why a gate ended with 126 or 127, when that is known from its command and its output: a class,
/// what is wrong, and what to do.
pub fn cause(gate: &GatePlan, output: &str, root: &Path) -> Option<(FailureClass, String, Remedy)> {
    let first = of_gate(gate, root);
    let decides = first.as_ref().is_some_and(|(_, decides)| *decides);
    let deeper = if decides { None } else { deeper(gate, output) };
    deeper.or_else(|| {
        first.map(|(fault, _)| (FailureClass::Config, fault.to_string(), fault.remedy()))
    })
}

/// The program that a gate's output names last as not found.
fn deeper(gate: &GatePlan, output: &str) -> Option<(FailureClass, String, Remedy)> {
    /// Shorter names are near too many programs.
    const TELLING: usize = 5;
    let found = NOT_FOUND.as_ref()?.captures_iter(output).last()?;
    let name = ["a", "b", "c"].iter().find_map(|group| found.name(group))?.as_str();
    let mut fault = look_up_in_shell(name, Path::new("/"), &gate.env).err()?;
    if line::runs(&gate.command, name) {
        return Some((FailureClass::Config, fault.to_string(), fault.remedy()));
    }
    // What runs it stands in the repository: that may be wrong, or lack a dependency, as well as
    // the machine.
    let class = match &mut fault {
        ProgramFault::OnlyInBash { .. } => FailureClass::Code,
        ProgramFault::NotOnPath { near: Some(_), .. } if name.len() >= TELLING => {
            FailureClass::Code
        }
        ProgramFault::NotOnPath { near, .. } => {
            *near = None;
            FailureClass::Unknown
        }
        ProgramFault::NoFile { .. }
        | ProgramFault::NoFolder { .. }
        | ProgramFault::NotExecutable { .. }
        | ProgramFault::Folder { .. }
        | ProgramFault::ShellSyntax { .. }
        | ProgramFault::NoInterpreter { .. } => return None,
    };
    Some((class, fault.to_string(), Remedy { person_only: false, ..fault.remedy() }))
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

/// Whether a gate failed because it opens a terminal, and there is none.
pub fn wants_terminal(output: &str) -> bool {
    output.lines().any(|line| line.contains("/dev/tty") && line.contains("No such device"))
}

/// What helps a gate that wants input.
pub fn input_remedy() -> Remedy {
    Remedy {
        what: "gates run unattended and with empty input: pass the input by an option or a file, \
            or make the command non-interactive"
            .to_owned(),
        command: None,
        person_only: false,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::process::Stdio;
    use std::time::Duration;

    use super::*;

    fn gate(name: &str, command: &str, needs: &[&str]) -> GatePlan {
        GatePlan {
            needs: needs.iter().map(|need| (*need).to_owned()).collect(),
            ..GatePlan::new(name, command)
        }
    }

    #[test]
    fn only_what_is_certain_keeps_a_run_from_beginning() {
        let tree = tempfile::tempdir().unwrap();
        let root = tree.path();
        std::fs::write(root.join("check.sh"), "#!/bin/sh\n").unwrap();
        let script = |script: &str| ScriptPlan {
            script: script.into(),
            timeout: Duration::MAX,
            writes: Vec::new(),
        };
        let told = |gates: &[GatePlan], script: Option<&ScriptPlan>| -> Vec<(String, bool)> {
            let found = judge(gates, script, root);
            found.into_iter().map(|found| (found.subject, found.certain)).collect()
        };
        let of = |subject: &str, certain| vec![(subject.to_owned(), certain)];
        let misspelt = || gate("a", "carggo-of-nobody test", &[]);
        assert_eq!(told(&[misspelt()], None), of("gate a", true));
        // What runs before may install, make or chmod it.
        let fine = || gate("z", "X=1 sh -c true", &[]);
        let mode = || gate("a", "./check.sh", &[]);
        for late in [misspelt(), mode(), gate("a", "./chekc.sh", &[]), gate("a", "/etc", &[])] {
            let needing = GatePlan { needs: vec!["z".into()], ..late.clone() };
            assert_eq!(
                told(std::slice::from_ref(&late), None),
                of("gate a", true),
                "{}",
                late.command
            );
            assert_eq!(told(&[fine(), late], None), of("gate a", false));
            assert_eq!(told(&[needing, fine()], None), of("gate a", false));
        }
        let advice = GatePlan { required: false, ..misspelt() };
        assert_eq!(told(&[advice], None), of("gate a", false));
        // A patch may add the file; nothing but a person adds a mode.
        assert_eq!(told(&[gate("a", "./target/built", &[])], None), of("gate a", false));
        let (present, gone) = (script("check.sh"), script("scripts/gone.sh"));
        assert_eq!(told(&[], Some(&present)), of("the smoke script", true));
        assert_eq!(told(&[fine()], Some(&present)), of("the smoke script", false));
        assert_eq!(told(&[], Some(&gone)), of("the smoke script", false));
        let executable = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(root.join("check.sh"), executable).unwrap();
        assert_eq!(told(&[mode()], Some(&present)), []);
    }

    #[test]
    fn a_gate_without_its_folder_is_found_before_it_runs() {
        let tree = tempfile::tempdir().unwrap();
        std::fs::create_dir(tree.path().join("frontend")).unwrap();
        let in_folder = |name: &str, folder: &str| GatePlan {
            working_directory: folder.parse().ok(),
            ..gate(name, "true", &[])
        };
        let found = |gates: &[GatePlan]| judge(gates, None, tree.path());
        assert_eq!(found(&[in_folder("a", "frontend")]), []);
        let wrong = found(&[in_folder("a", "fronted"), in_folder("b", "made-by-a")]);
        let certain: Vec<bool> = wrong.iter().map(|finding| finding.certain).collect();
        assert_eq!(certain, [true, false]);
        let said = wrong[0].fault.to_string();
        assert_eq!(said, "there is no folder `fronted`, its `working_directory`");
        assert!(wrong[0].fault.remedy().what.contains("`frontend`"));
    }

    /// A line that passes is never called certain to fail, whatever programs it lacks.
    #[test]
    fn a_line_that_passes_is_not_refused() {
        let tree = tempfile::tempdir().unwrap();
        let root = tree.path();
        std::fs::write(root.join("plain.sh"), "exit 0\n").unwrap();
        for line in [
            "exec 2>&1; true",
            "2>/dev/null true",
            "lacking-x test || true",
            "lacking-x use 18; true",
            "lacking-x use 18\ntrue",
            "lacking-x & true",
            "lacking-x | cat",
            "lacking-x \"$HOME\" | cat",
            "lacking-x \"$(echo ')' \"a\")\" || true",
            "! lacking-x --version",
            "./plain.sh; true",
            "sh gone.sh || true",
            "export A=1; lacking-x; true",
            "test -f yarn.lock && lacking-x install; true",
            "test -f yarn.lock || true",
            "echo 'exit 0' >made.sh && sh ./made.sh",
            "if lacking-x; then exit 1; fi",
            "while lacking-x; do exit 1; done",
            "lacking() { true; }; lacking",
            "eval true",
            "trap '' INT; true",
            "unset -v FOO; true",
            "read answer || true",
            "lacking-x <<END || true\ntext\nEND\n",
        ] {
            let mut shell = std::process::Command::new("sh");
            shell.args(["-c", line]).current_dir(root).stdin(Stdio::null());
            assert!(shell.output().unwrap().status.success(), "{line}");
            let found = judge(&[gate("g", line, &[])], None, root);
            assert!(found.iter().all(|found| !found.certain), "{line}: {found:?}");
        }
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
    fn a_missing_program_is_the_configuration_s_the_repository_s_or_nobody_s() {
        let tree = tempfile::tempdir().unwrap();
        let root = tree.path();
        std::fs::write(root.join("plain.sh"), "exit 0\n").unwrap();
        for (command, output, expect) in [
            ("true && carggo-x test", "sh: 1: carggo-x: not found\n", FailureClass::Config),
            (
                "sh build.sh",
                "build.sh: line 3: wholly-unknown-tool: command not found\n",
                FailureClass::Unknown,
            ),
            ("npm run jest-x", "sh: 1: jest-x: not found\n", FailureClass::Unknown),
            (
                "lacking-x; npm run jest-x",
                "sh: 1: lacking-x: not found\nsh: 1: jest-x: not found\n",
                FailureClass::Unknown,
            ),
            ("sh -c 'a && carggo-x'", "sh: 1: carggo-x: not found\n", FailureClass::Config),
            ("sh build.sh", "build.sh: 2: chmodd: not found\n", FailureClass::Code),
            (
                "sh -e x",
                "/usr/bin/env: ‘pytohn-99’: No such file or directory\n",
                FailureClass::Unknown,
            ),
            ("make", "make: no-such-tool: No such file or directory\n", FailureClass::Unknown),
        ] {
            let (class, said, remedy) = cause(&gate("g", command, &[]), output, root).unwrap();
            assert_eq!(class, expect, "{output}: {said}");
            // The author is asked unless it is the configuration alone.
            assert_eq!(remedy.person_only, class == FailureClass::Config, "{output}");
            if class == FailureClass::Unknown {
                assert!(remedy.what.starts_with("install `"), "{}", remedy.what);
            }
        }
        assert_eq!(cause(&gate("g", "sh x", &[]), "error: file not found\n", root), None);
        assert_eq!(cause(&gate("g", "sh x", &[]), "sh: not found\n", root), None, "it is there");
        // The first command is named before what its output says, where the gate fails for it.
        let said = "sh: 1: jest-x: not found\n";
        let (.., remedy) = cause(&gate("g", "./plain.sh", &[]), said, root).unwrap();
        assert_eq!(remedy.command.as_deref(), Some("chmod +x ./plain.sh"));
    }
}
