//! Completions in a real bash, and the man pages.

use std::process::Command;

use crate::readme_paths::{typed, works};
use crate::repository::{Repository, deployable_without_a_model, free_port};

/// What bash offers for these words, the last of which is being typed.
fn offered(repository: &Repository, words: &[&str]) -> Vec<String> {
    let quoted: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
    let script = format!(
        "source <(greenloop completions bash)\n\
         function=$(complete -p greenloop | sed 's/.*-F \\([^ ]*\\).*/\\1/')\n\
         COMP_WORDS=(greenloop {}); COMP_CWORD={}; COMP_TYPE=9\n\
         COMP_LINE=\"${{COMP_WORDS[*]}}\"; COMP_POINT=${{#COMP_LINE}}\n\
         $function greenloop \"${{COMP_WORDS[COMP_CWORD]}}\" \"${{COMP_WORDS[COMP_CWORD-1]}}\"\n\
         printf '%s\\n' \"${{COMPREPLY[@]}}\"\n",
        quoted.join(" "),
        words.len()
    );
    repository.write("ask.bash", &script);
    let outcome = works(repository, "bash ask.bash", &[]);
    outcome.stdout.lines().map(|line| line.trim().to_owned()).collect()
}

#[test]
fn bash_completes_commands_environments_runs_releases_and_gates() {
    let repository = deployable_without_a_model(free_port(), "hello\n", "hello");
    let run = typed(&repository, "greenloop run --environment local", &[]);
    assert_eq!(run.code, Some(0), "{}", run.all());
    let id = repository.run_folder().file_name().unwrap().to_str().unwrap().to_owned();
    let has = |words: &[&str], wanted: &str| {
        let offered = offered(&repository, words);
        assert!(offered.iter().any(|one| one == wanted), "{words:?}: {offered:?}");
    };
    has(&["ini"], "init");
    has(&["run", "--envir"], "--environment");
    has(&["run", "--environment", ""], "local");
    has(&["audit", "show", ""], &id);
    has(&["run", "--resume", ""], &id);
    has(&["heal", "--", ""], "! grep -n teh page.txt");
    has(&["policy", "explain", "never_d"], "never_delete");
    let releases = offered(&repository, &["rollback", "--to-release", ""]);
    let status = works(&repository, "greenloop status --output json", &[]);
    let status: serde_json::Value = serde_json::from_str(&status.stdout).unwrap();
    let serving = status["serving"]["release"]["id"].as_str().unwrap().to_owned();
    assert_eq!(releases, [serving]);
    assert!(!offered(&repository, &["run", "--environment", "x"]).contains(&"local".to_owned()));
}

#[test]
fn every_shell_has_a_script_and_every_command_a_page() {
    let repository = Repository::new(&[("a", "")]);
    for shell in ["bash", "zsh", "fish", "powershell"] {
        let script = works(&repository, &format!("greenloop completions {shell}"), &[]).stdout;
        assert!(script.contains("GREENLOOP_COMPLETE"), "{shell}: {script}");
    }
    works(&repository, "greenloop man pages", &[]);
    for page in ["greenloop.1", "greenloop-run.1", "greenloop-audit-show.1", "greenloop-init.1"] {
        assert!(repository.read(&format!("pages/{page}")).contains(".TH"), "{page}");
    }
    let supervise = repository.path().join("pages/greenloop-supervise.1");
    assert!(!supervise.exists(), "a hidden command has no page");
    let man =
        Command::new("man").arg("-l").arg(repository.path().join("pages/greenloop.1")).output();
    if let Some(man) = man.ok().filter(|ran| ran.status.success()) {
        assert!(String::from_utf8_lossy(&man.stdout).contains("greenloop"));
    }
}
