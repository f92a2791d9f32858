//! What is shown on terminals of 40, 80 and 120 columns, on real pseudo-terminals (`script`): no
//! line is wider than the terminal but what people copy, which stands alone on its line.

use std::process::{Command, Stdio};

use unicode_width::UnicodeWidthStr as _;

use crate::hub::Hub;
use crate::repository::{Repository, free_port};
use crate::server::{APPROVE, ModelServer};

const WIDTHS: [usize; 3] = [40, 80, 120];

/// What `arguments` show at a terminal of so many columns, without styles; `None` where `script`
/// is missing.
fn shown(
    repository: &Repository,
    columns: usize,
    arguments: &str,
    variables: &[(&str, &str)],
) -> Option<String> {
    let line =
        format!("stty rows 40 cols {columns}; {} {arguments}", env!("CARGO_BIN_EXE_greenloop"));
    let mut command = Command::new("script");
    command.args(["-qec", &line, "/dev/null"]).current_dir(repository.path());
    for (name, _) in repository.greenloop().get_envs() {
        command.env_remove(name);
    }
    command.env_remove("CI").env_remove("COLUMNS").env("TERM", "xterm");
    command.envs(variables.iter().copied()).stdin(Stdio::null());
    match command.output() {
        Ok(ran) => Some(String::from_utf8_lossy(&ran.stdout).into_owned()),
        Err(error) => {
            eprintln!("LEFT OUT: `script` cannot be run: {error}");
            None
        }
    }
}

/// Whether it is a thing that is copied as a whole: one path, address, name or command.
fn is_whole(line: &str) -> bool {
    let alone = line.trim_start().trim_start_matches(['-', '+', '│', ' ']);
    let word = !alone.contains(' ') && alone.contains(['/', ':', '\\']);
    let quoted = alone.starts_with('`');
    // The forms of the help: `greenloop run [OPTIONS]`, `-c, --config <FILE>`.
    let command = ["greenloop ", "git ", "cd ", "$ ", "Usage: ", "./", "/"];
    word || quoted
        || command.iter().any(|start| alone.starts_with(start))
        || alone.starts_with("--")
}

/// Whether it is what is redrawn at the foot of the terminal: a part that runs, or how far it is.
fn is_live(line: &str) -> bool {
    let row = line.trim_start();
    let rest = row.trim_start_matches(|c: char| c.is_ascii_digit());
    let time = rest.len() < row.len() && (rest.starts_with("s ") || rest.starts_with("m "));
    line.starts_with("  ") && (time || row.starts_with(|c| "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏".contains(c)))
}

/// The longest beginning of at most so many columns.
fn head(text: &str, columns: usize) -> &str {
    let ends = text.char_indices().map(|(at, c)| at + c.len_utf8());
    let end = ends.take_while(|end| text[..*end].width() <= columns).last();
    &text[..end.unwrap_or(0)]
}

fn check(view: &str, columns: usize, text: &str) {
    // A carriage return draws a line again.
    let bare = anstream::adapter::strip_str(text).to_string();
    assert!(bare.trim().len() > 20, "{view}: {text:?}");
    for line in bare.split(['\n', '\r']).filter(|line| !line.trim().is_empty()) {
        if is_live(line) {
            // Rows that fill the terminal follow each other without a line end. One that is too wide
            // would go on with its text where the next begins with its indentation.
            let mut rest = line.trim_end();
            while rest.width() > columns {
                rest = &rest[head(rest, columns).len()..];
                assert!(rest.starts_with("  "), "{view} at {columns} columns: {line:?}");
            }
            continue;
        }
        assert!(
            line.width() <= columns || is_whole(line),
            "{view} at {columns} columns, {}: {line:?}\n{bare}",
            line.width()
        );
    }
}

const TASKS: &str = "\
project: {name: vehicles-and-drivers}
name: a fleet that has a rather long name for a file of two tasks
epics: [{key: API, title: 'The interface for vehicles, drivers and their working hours'}]
tasks:
  - {key: '1.1', epic: API, title: 'Plan routes for 車両と運転手の時間 and other things 🚚🚚🚚', hours: 4, command: 'true'}
  - {key: '1.2', epic: API, title: 'Write the documentation of every route that there is', hours: 2, command: 'true', needs: ['1.1']}
  - {key: '1.3', epic: API, title: 'Measure how long the answers take under load', hours: 2, command: 'true', needs: ['1.1']}
";

fn repository() -> Repository {
    let config = format!(
        "version: 1\nenvironments: {{local: {{url: 'http://127.0.0.1:{}', health_endpoint: /}}}}\n\
         quality_gates: [{{name: check-that-has-a-name-of-many-words, command: 'true'}}]\n\
         deploy:\n  method: process\n  process: {{command: [python3, -m, http.server, \
         '{{{{ port }}}}', --bind, 127.0.0.1], artifacts: [index.html]}}\n",
        free_port()
    );
    let wrong = "version: 1\nenvironments: {staging: {url: 'https://staging.fleet.example.com/a/b', \
                 helth_endpoint: /ready, health_endpoint: /}}\ndeploy: {method: proces}\n";
    let log = "   Compiling fleet v0.1.0\nerror[E0308]: mismatched types, because what is expected \
               here is a number of kilometres and what is given is a text 漢字漢字漢字漢字漢字漢字\n  \
               --> crates/server/src/handlers/vehicles/positions.rs:112:9\n   |\n\
               error: could not compile `fleet` (lib) due to 1 previous error\n";
    Repository::new(&[
        ("greenloop.yaml", &config),
        ("wrong.yaml", wrong),
        ("index.html", "hello"),
        ("build.log", log),
        ("tasks.yaml", TASKS),
    ])
}

#[test]
fn views_of_commands_are_as_wide_as_the_terminal() {
    let repository = repository();
    let empty = Repository::new(&[(
        "package.json",
        "{\"scripts\": {\"start\": \"node server.js\", \
        \"test\": \"node --test --experimental-test-coverage --test-reporter=spec test/\"}}",
    )]);
    for columns in WIDTHS {
        for view in [
            "",
            "status",
            "run",
            "run --dry-run",
            "verify",
            "doctor",
            "audit list",
            "explain build.log",
            "config check --config wrong.yaml",
            "config check --config missing/folder/that/is/not/there/greenloop.yaml",
            "tasks check tasks.yaml",
            "tasks graph tasks.yaml",
            "policy explain",
            "policy explain never_delete",
            "stop --environment elsewhere --yes",
            "heal -- no-such-program --with arguments that are long enough to be wrapped",
            "--help",
            "run --help",
            "heal --help",
            "tasks --help",
            "demo --help",
        ] {
            let Some(text) = shown(&repository, columns, view, &[]) else { return };
            check(view, columns, &text);
        }
        for view in ["", "init --dry-run --timeout 5"] {
            let Some(text) = shown(&empty, columns, view, &[]) else { return };
            check(&format!("{view} in an empty repository"), columns, &text);
        }
        shown(&repository, columns, "stop --yes", &[]);
    }
}

#[test]
fn views_of_a_hub_are_as_wide_as_the_terminal() {
    let repository = repository();
    let folder = tempfile::tempdir().unwrap();
    let hub = Hub::start(folder.path());
    let variables =
        [("GREENLOOP_HUB_URL", hub.url.as_str()), ("GREENLOOP_HUB_TOKEN", hub.token.as_str())];
    for columns in WIDTHS {
        for view in [
            "tasks import tasks.yaml --again",
            "tasks list",
            "tasks status",
            "tasks report",
            "tasks pause 1 -m 'the plan for vehicles and drivers has changed since then'",
            "tasks actions",
        ] {
            let Some(text) = shown(&repository, columns, view, &variables) else { return };
            check(view, columns, &text);
        }
        let Some(text) = shown(&repository, columns, "tasks status 1", &variables) else { return };
        let bare = anstream::adapter::strip_str(&text).to_string();
        let words = bare.split_whitespace().collect::<Vec<_>>().join(" ");
        // Nothing of a title is lost where it is wrapped.
        assert!(words.contains("Write the documentation of every route that there is"), "{bare}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_heal_is_as_wide_as_the_terminal() {
    const FIX: &str = "The operator is wrong: it subtracts where the test, which is right, wants \
        the sum 合計 of both numbers.\n\nadd.sh\n```sh\n<<<<<<< SEARCH\n  echo $(($1 - $2))\n\
        =======\n  echo $(($1 + $2)) # the sum of the first and the second number, as it should be\n\
        >>>>>>> REPLACE\n```\n";
    const TEST: &str = "#!/bin/sh\n. ./add.sh\n[ \"$(add 2 3)\" = 5 ] || { echo \"add.sh:2: error: \
        add 2 3 is $(add 2 3), and this is a line that no narrow terminal shows as a whole\" >&2; \
        exit 1; }\n";
    let server = ModelServer::start(&[FIX], APPROVE).await;
    let url = server.base_url();
    for columns in WIDTHS {
        let repository =
            Repository::new(&[("add.sh", "add() {\n  echo $(($1 - $2))\n}\n"), ("test.sh", TEST)]);
        let variables = [
            ("OPENAI_BASE_URL", url.as_str()),
            ("OPENAI_API_KEY", "sk-test-0123456789abcdef"),
            ("GREENLOOP_MODEL", "test-model"),
        ];
        for arguments in ["heal --branch -- sh test.sh", "audit list", ""] {
            let text =
                tokio::task::block_in_place(|| shown(&repository, columns, arguments, &variables));
            let Some(text) = text else { return };
            check(arguments, columns, &text);
            if arguments.starts_with("heal") {
                let words = anstream::adapter::strip_str(&text).to_string();
                let words = words.split_whitespace().collect::<Vec<_>>().join(" ");
                assert!(words.contains("It passes now") || words.contains("passes now"), "{text}");
                // Where one stands is the repository itself.
                assert!(words.contains(" logs/runs/"), "{text}");
            }
        }
    }
}

#[test]
fn files_in_the_output_of_commands_can_be_opened() {
    let repository = repository();
    const TERMINAL: [(&str, &str); 2] = [("TERM", "xterm-kitty"), ("NO_COLOR", "")];
    let link = |file: &str| {
        let path = repository.path().join(file).canonicalize().unwrap();
        format!("{}\u{1b}\\", path.display())
    };
    for (view, files) in [
        ("config check", vec!["greenloop.yaml"]),
        ("config check --config wrong.yaml", vec!["wrong.yaml"]),
        ("explain build.log", vec![]),
        ("init --yes", vec![".gitignore"]),
    ] {
        let Some(text) = shown(&repository, 120, view, &TERMINAL) else { return };
        for file in files {
            let opened = text.contains("\u{1b}]8;;file://") && text.contains(&link(file));
            assert!(opened, "{view}: {text:?}");
        }
        let Some(plain) = shown(&repository, 120, view, &[("NO_COLOR", "1")]) else { return };
        assert!(!plain.contains("\u{1b}]8;;"), "{view}: {plain:?}");
    }
    let Some(text) = shown(&repository, 120, "doctor", &TERMINAL) else { return };
    assert!(text.contains("\u{1b}]8;;http://127.0.0.1:"), "{text:?}");
}

#[test]
fn links_and_the_bell_are_for_terminals_that_have_them() {
    let repository = Repository::new(&[("a", "")]);
    let run =
        |variables: &[(&str, &str)]| shown(&repository, 80, "heal --bell=0 -- true", variables);
    let Some(with) = run(&[("TERM", "xterm-kitty"), ("NO_COLOR", "")]) else { return };
    assert!(with.contains("\u{1b}]8;;file://") && with.contains("report.html\u{1b}\\"), "{with:?}");
    assert!(with.contains("\u{1b}]99;") && with.contains("It passes"), "{with:?}");
    let Some(without) = run(&[("NO_COLOR", "1")]) else { return };
    assert!(!without.contains("\u{1b}]") && without.contains('\u{7}'), "{without:?}");
    let Some(quiet) = run(&[("CI", "1"), ("TERM", "xterm-kitty")]) else { return };
    assert!(!quiet.contains("\u{1b}]8;;"), "{quiet:?}");
    let piped = repository
        .greenloop()
        .args(["heal", "--bell=0", "--", "true"])
        .env("TERM", "xterm-kitty")
        .output()
        .unwrap();
    let said = [piped.stdout, piped.stderr].concat();
    assert!(!said.contains(&0x1b) && !said.contains(&0x07), "{}", String::from_utf8_lossy(&said));
}
