//! Transcripts of every reporter, and what holds for all of them.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use super::*;
use greenloop_model::{RunEvent, RunSummary, Stage, StopReason};

/// A writer whose bytes can be read afterwards.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<u8>>>);

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Kept {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

fn transcript(make: impl Fn(Kept) -> Boxed, events: &[Stamped]) -> String {
    let kept = Kept::default();
    replay(vec![make(kept.clone())], events);
    kept.text()
}

#[test]
fn transcripts() {
    for (run, events) in [("healed", fixtures::healed()), ("restored", fixtures::restored())] {
        let check = |name: &str, text: String| {
            insta::assert_snapshot!(format!("{run}_{name}"), text);
        };
        check("human", transcript(|out| human(out, false, Screen::None), &events));
        check("plain", transcript(|out| plain(out), &events));
        check("azure", transcript(|out| azure(out), &events));
        check("json", transcript(|out| json(out), &events));
        let summary = render(Format::Markdown, &events).unwrap();
        check("summary_md", String::from_utf8(summary).unwrap());
        let history = run_history::RunHistory::of(&events);
        check("junit", String::from_utf8(junit::render(&history).unwrap()).unwrap());
    }
    let colour = transcript(|out| human(out, true, Screen::None), &fixtures::healed());
    insta::assert_snapshot!("healed_human_colour", colour.replace('\u{1b}', "␛"));
}

#[test]
fn a_fix_that_is_not_in_the_work_tree_is_no_success() {
    let events = fixtures::not_brought_back();
    let told = transcript(|out| human(out, false, Screen::None), &events);
    let azure = transcript(azure, &events);
    let page = String::from_utf8(render(Format::Markdown, &events).unwrap()).unwrap();
    for text in [&told, &azure, &page] {
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(text.contains("not in the work tree"), "{text}");
        assert!(text.contains("src/fleet.rs changed in the same lines since"), "{text}");
    }
    let head = page.lines().next().unwrap();
    assert!(head.starts_with("# ?"), "{head}");
    assert!(azure.contains("isOutput=true]waiting"), "{azure}");
}

/// Every text of every event says something to a terminal and to a build agent.
fn hostile(events: Vec<Stamped>) -> Vec<Stamped> {
    const EVIL: &str = "a\u{1b}[2Jb##vso[task.complete result=Failed;]c\r##[error]d\u{202e}e\u{9b}";
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(EVENTS_FILE);
    std::fs::write(&path, render(Format::Json, &events).unwrap()).unwrap();
    let lines = std::fs::read_to_string(&path).unwrap();
    let poison = |line: &str| {
        let mut record: serde_json::Value = serde_json::from_str(line).unwrap();
        poison(&mut record, EVIL);
        record.to_string() + "\n"
    };
    std::fs::write(&path, lines.lines().map(poison).collect::<String>()).unwrap();
    read_events(&path).unwrap()
}

fn poison(value: &mut serde_json::Value, evil: &str) {
    // What is validated cannot be evil.
    const CLOSED: [&str; 30] = [
        "condition",
        "place",
        "basis",
        "outcome",
        "image",
        "v",
        "run",
        "at",
        "event",
        "commit",
        "environment",
        "task",
        "target",
        "stage",
        "class",
        "fingerprint",
        "progress",
        "release",
        "decision",
        "verdict",
        "risk",
        "level",
        "kind",
        "status",
        "path",
        "stop",
        "failing_tests",
        "symptoms",
        "exit",
        "diff",
    ];
    match value {
        serde_json::Value::String(text) => text.push_str(evil),
        serde_json::Value::Array(items) => items.iter_mut().for_each(|item| poison(item, evil)),
        serde_json::Value::Object(fields) => {
            for (key, value) in fields {
                if key == "diff" && value.is_string() {
                    let diff = value.as_str().unwrap().replace("Whole litres", evil);
                    *value = diff.into();
                } else if !CLOSED.contains(&key.as_str()) {
                    poison(value, evil);
                }
            }
        }
        serde_json::Value::Null | serde_json::Value::Bool(_) | serde_json::Value::Number(_) => {}
    }
}

#[test]
fn no_reporter_lets_a_log_command_anything() {
    let events = hostile(fixtures::every_event());
    let is_ours = |line: &str| {
        const BEGINNINGS: [&str; 7] = [
            "##[group]",
            "##[endgroup]",
            "##[section]",
            "##vso[task.logissue type=",
            "##vso[build.addbuildtag]greenloop-",
            "##vso[task.setvariable variable=outcome;isOutput=true]",
            "##vso[task.setvariable variable=branch;isOutput=true]",
        ];
        BEGINNINGS.iter().any(|ours| line.starts_with(ours) && line.matches("##").count() == 1)
            || line.starts_with("##vso[task.setprogress value=")
    };
    let file = |format| String::from_utf8(render(format, &events).unwrap()).unwrap();
    for (name, text, color) in [
        ("human", transcript(|out| human(out, false, Screen::None), &events), false),
        ("colour", transcript(|out| human(out, true, Screen::None), &events), true),
        ("plain", transcript(|out| plain(out), &events), false),
        ("azure", transcript(|out| azure(out), &events), false),
        ("json", transcript(|out| json(out), &events), false),
        ("markdown", file(Format::Markdown), false),
        ("html", file(Format::Html), false),
    ] {
        for line in text.lines() {
            let own = name == "azure" && is_ours(line);
            let lower = line.to_lowercase();
            assert!(own || !lower.contains("##vso[") && !lower.contains("##["), "{name}: {line}");
            let bare =
                if color { anstream::adapter::strip_str(line).to_string() } else { line.into() };
            let control = |c: char| c.is_control() && c != '\t' || c == '\u{202e}';
            assert!(!bare.chars().any(control), "{name}: {bare:?}");
        }
        assert!(text.contains("task.complete"), "{name}: the text itself is there");
        // With colour, only colours: nothing moves the cursor.
        for sequence in text.split('\u{1b}').skip(1) {
            let parameters = sequence.trim_start_matches('[');
            let end = parameters.trim_start_matches(|c: char| c.is_ascii_digit() || c == ';');
            assert!(color && end.starts_with('m'), "{name}: {sequence:?}");
        }
    }
}

#[test]
fn no_line_is_wider_than_the_terminal() {
    use unicode_width::UnicodeWidthStr as _;
    for width in [40, 80, 120] {
        for events in [fixtures::healed(), fixtures::restored(), fixtures::every_event()] {
            let text = transcript(|out| human(out, false, Screen::Columns(width)), &events);
            let mut below_steps = false;
            for line in text.lines() {
                below_steps |= line == "What you can do";
                // What is copied stands alone on its line.
                let alone = line.trim_start();
                let is_path = !alone.contains(' ') && alone.contains('/');
                let is_command = below_steps && line.starts_with("    ");
                assert!(line.width() <= width || is_path || is_command, "{width}: {line}");
            }
        }
    }
}

#[test]
fn a_failure_that_no_model_mends_is_one_issue_of_a_pipeline() {
    let mut events = fixtures::healed();
    let failed = |stamped: &Stamped| matches!(stamped.event, RunEvent::StageFailed { .. });
    let at = events.iter().position(failed).unwrap();
    let RunEvent::StageFailed { failure, .. } = events[at].event.clone() else { panic!() };
    let Some(RunEvent::Finished(last)) = events.last().map(|last| last.event.clone()) else {
        panic!()
    };
    events.truncate(at + 1);
    // Only its end tells whether it was an error: one that broke off is warned of.
    let issues = |events: &[Stamped]| -> Vec<String> {
        let text = transcript(|out| azure(out), events);
        let issue = |line: &&str| line.starts_with("##vso[task.logissue");
        text.lines().filter(issue).map(str::to_owned).collect()
    };
    let told = |issues: &[String]| -> Vec<String> {
        let of_failure = |issue: &&String| issue.contains("mismatched types");
        issues.iter().filter(of_failure).cloned().collect()
    };
    let open = told(&issues(&events));
    assert!(matches!(open.as_slice(), [one] if one.contains("type=warning;")), "{open:?}");
    let stop = StopReason::NoModel { failure: None, reason: "no key".into() };
    let mut summary = RunSummary { stop, failure: Some(failure), patches: vec![], ..*last };
    summary.target.restored = None;
    events.push(Stamped { at: events[at].at, event: RunEvent::Finished(Box::new(summary)) });
    let closed = told(&issues(&events));
    assert!(
        matches!(closed.as_slice(), [one] if one.contains("type=error;sourcepath=src/main.rs;")),
        "{closed:?}"
    );
}

#[test]
fn every_iteration_has_its_heading() {
    for events in [fixtures::healed(), fixtures::restored()] {
        let text = transcript(|out| human(out, false, Screen::None), &events);
        let last = events.iter().filter_map(|stamped| match &stamped.event {
            RunEvent::AuthorAsked { iteration, .. }
            | RunEvent::IterationStarted { iteration, .. } => Some(*iteration),
            _ => None,
        });
        for iteration in 1..=last.max().unwrap_or(0) {
            let heading = format!("▸ Iteration {iteration} of ");
            assert_eq!(text.matches(&heading).count(), 1, "{heading}: {text}");
        }
    }
}

#[test]
fn a_new_answer_without_a_stage_has_a_heading_too() {
    let mut events = fixtures::healed();
    let asked = |stamped: &Stamped| matches!(stamped.event, RunEvent::AuthorAsked { .. });
    let at = events.iter().position(asked).unwrap();
    events.truncate(at + 1);
    let RunEvent::AuthorAsked { iteration, model } = events[at].event.clone() else { panic!() };
    let again = RunEvent::AuthorAsked { iteration: iteration + 1, model };
    events.push(Stamped { at: events[at].at, event: again });
    let text = transcript(|out| human(out, false, Screen::None), &events);
    assert!(text.contains(&format!("▸ Iteration {} of ", iteration + 1)), "{text}");
}

#[test]
fn progress_in_a_pipeline_only_grows_and_ends_at_all_of_it() {
    let whole = fixtures::healed();
    // A run that broke off has its end, too.
    for events in
        [whole.clone(), whole[..9].to_vec(), fixtures::restored(), fixtures::every_event()]
    {
        let text = transcript(|out| azure(out), &events);
        let values: Vec<u32> = text
            .lines()
            .filter_map(|line| line.strip_prefix("##vso[task.setprogress value="))
            .map(|rest| rest.split(';').next().unwrap().parse().unwrap())
            .collect();
        assert!(values.is_sorted(), "{values:?}");
        assert_eq!(values.last(), Some(&100), "{values:?}");
        assert_eq!(values.iter().filter(|value| **value == 100).count(), 1, "{values:?}");
    }
}

#[test]
fn a_flood_of_output_is_cut_and_none_of_it_is_kept() {
    let mut events = fixtures::healed();
    events.truncate(5);
    let text = "x".repeat(100) + "\n";
    let flood = RunEvent::Output { stage: Stage::Gates, name: "build".into(), text };
    let at = events[0].at;
    events.extend((0..20_000).map(|_| Stamped { at, event: flood.clone() }));
    events.extend(fixtures::healed().into_iter().filter(|stamped| {
        matches!(&stamped.event, RunEvent::GateFinished { result, .. } if result.name == "build")
    }));
    let printed = transcript(|out| plain(out), &events);
    assert!(printed.lines().count() < 5_100, "{}", printed.lines().count());
    assert!(printed.contains("build | … the rest is in its log"));
    assert!(transcript(|out| human(out, true, Screen::None), &events).len() < 4_000);
    let history = run_history::RunHistory::of(&events);
    assert!(history.passes.iter().map(|pass| pass.events.len()).sum::<usize>() < 20);
}

#[test]
fn a_finished_run_leaves_its_files_and_they_can_be_made_again() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    let mut events = fixtures::healed();
    if let RunEvent::Started(header) = &mut events[0].event {
        header.folder = folder.to_owned();
    }
    let kept = Kept::default();
    replay(
        vec![
            azure(kept.clone()),
            self::events(&folder.join(EVENTS_FILE)).unwrap(),
            markdown(folder.join(SUMMARY_FILE)),
            html(folder.join(HTML_FILE)),
            junit(folder.join(JUNIT_FILE)),
        ],
        &events,
    );
    let back = read_events(&folder.join(EVENTS_FILE)).unwrap();
    let quiet: Vec<Stamped> = events
        .into_iter()
        .filter(|stamped| !matches!(stamped.event, RunEvent::Output { .. }))
        .collect();
    assert_eq!(back, quiet);
    for (name, format) in [(SUMMARY_FILE, Format::Markdown), (HTML_FILE, Format::Html)] {
        assert_eq!(std::fs::read(folder.join(name)).unwrap(), render(format, &back).unwrap());
    }
    assert!(folder.join(JUNIT_FILE).is_file());
    let job = kept.text();
    let summary = folder.join(SUMMARY_FILE);
    let published = format!("##vso[task.uploadsummary]{}\n", summary.display());
    assert!(job.contains(&published), "{job}");
    assert!(job.ends_with("##vso[task.complete result=SucceededWithIssues;]healed\n"));
}

/// What is redrawn has to be looked at: run it on a terminal, with `--nocapture`.
#[test]
#[ignore = "takes seconds; shows the live progress to a person at a terminal"]
fn live_to_look_at() {
    let (tx, rx) = std::sync::mpsc::channel();
    let thread = spawn(vec![human(io::stdout(), true, Screen::Terminal)], rx);
    for stamped in fixtures::healed() {
        tx.send(stamped.event).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(250));
    }
    drop(tx);
    thread.join().unwrap();
}
