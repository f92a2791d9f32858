//! How the command that started a run is written, so that a suggested command
//! runs as it is printed.

use serde::{Deserialize, Serialize};

/// The command line a run was started by, in pieces.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invocation {
    /// The program: `greenloop`, or a path where no shell would find it; with a `cd` before it
    /// where the run's repository is not where the person is.
    pub program: String,
    /// Git, in the same way.
    pub git: String,
    /// Its arguments, up to where a flag may be added: `--environment local`.
    pub arguments: String,
    /// What follows the flags: ` -- cargo test`, or nothing.
    pub tail: String,
    /// The options every command of this environment wants: ` --config other.yaml`, or nothing.
    pub options: String,
}

impl Invocation {
    /// The command line again, with `flags` added.
    pub fn again(&self, flags: &str) -> String {
        let gap = if flags.is_empty() { "" } else { " " };
        format!("{} {}{gap}{flags}{}", self.program, self.arguments, self.tail)
    }
}

/// `word` as a POSIX shell reads it.
pub fn shell_word(word: &str) -> String {
    let plain = !word.is_empty()
        && word.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-./=:,@%+".contains(&b));
    if plain { word.to_owned() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

/// Whether a shell line holds no command, so that a shell "succeeds" with it: nothing at all, or
/// comments only.
pub fn runs_nothing(command: &str) -> bool {
    command.lines().map(str::trim).all(|line| line.is_empty() || line.starts_with('#'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_stand_before_the_command_that_is_healed() {
        let heal = Invocation {
            program: "greenloop".into(),
            git: "git".into(),
            arguments: "heal".into(),
            tail: " -- cargo test".into(),
            options: String::new(),
        };
        assert_eq!(heal.again(""), "greenloop heal -- cargo test");
        assert_eq!(heal.again("--yes"), "greenloop heal --yes -- cargo test");
    }

    #[test]
    fn words_are_quoted_when_a_shell_would_change_them() {
        for (word, expect) in
            [("a/b.c", "a/b.c"), ("", "''"), ("it's", r"'it'\''s'"), ("$x y", "'$x y'")]
        {
            assert_eq!(shell_word(word), expect);
        }
    }

    #[test]
    fn a_line_without_a_command_runs_nothing() {
        for command in ["", "   ", "\t\n ", "# cargo test", "\n  # a\n# b\n"] {
            assert!(runs_nothing(command), "{command:?}");
        }
        for command in ["true", ":", "''", "# a\ncargo test", "a#b", "echo '#'"] {
            assert!(!runs_nothing(command), "{command:?}");
        }
    }
}
