//! The commands of docs/tutorial.md, as they are written; only the port is replaced.

use crate::readme_paths::{put, repository, typed, works};
use crate::repository::{free_port, get};

/// The blocks of a language.
fn blocks(language: &str) -> Vec<&'static str> {
    let opening = format!("```{language}\n");
    let page = include_str!("../../docs/tutorial.md");
    page.split(opening.as_str()).skip(1).filter_map(|rest| rest.split("```").next()).collect()
}

/// The commands of a block, without comments.
fn commands(block: &str, port: &str) -> Vec<String> {
    let lines = block.lines().map(|line| line.split("  #").next().unwrap_or_default().trim());
    lines.filter(|line| !line.is_empty()).map(|line| line.replace("8787", port)).collect()
}

#[test]
fn the_tutorial_works_as_it_is_written() {
    let sh = blocks("sh");
    let port = free_port();
    let text = port.to_string();
    // `git init` is done already.
    let repository = repository(&[("notes.txt", "hello\n")]);
    repository.write("server.py", blocks("python")[0]);
    repository.write("config.yaml", &put(blocks("yaml")[0], "8787", &text));
    for line in [commands(sh[1], &text), commands(sh[2], &text)].concat() {
        works(&repository, &line, &[]);
    }
    assert_eq!(get(port, "/"), Some((200, "hello".to_owned())));
    assert_eq!(repository.git(&["status", "--porcelain"]), "");
    for line in commands(sh[3], &text) {
        let outcome = typed(&repository, &line, &[]);
        let expect = if line.starts_with("greenloop") { 4 } else { 0 };
        assert_eq!(outcome.code, Some(expect), "{line}: {}", outcome.all());
    }
    assert_eq!(get(port, "/"), Some((200, "hello".to_owned())));
    let run = repository.run_folder().file_name().unwrap().to_str().unwrap().to_owned();
    for line in commands(sh[4], &text) {
        works(&repository, &line.replace("RUN", &run), &[]);
    }
}
