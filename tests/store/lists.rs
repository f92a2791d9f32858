//! Lists that are read in parts, and the search through all tasks.

use greenloop_hub::store::{PageRequest, RunFilter, TaskStore};
use greenloop_hub_api::types::{Action, RunReport, TaskSubmission};

use crate::place::Place;
use crate::work::{claim, committed, graph, many, task};

const DAY_US: i64 = 24 * 3600 * 1_000_000;

async fn report(store: &TaskStore, id: &str, environment: &str) {
    let run = RunReport {
        id: id.to_owned(),
        environment: environment.to_owned(),
        state: "verified".to_owned(),
        commit: None,
        iterations: 1,
        summary: String::new(),
        report: String::new(),
    };
    store.report_run(&run).await.unwrap();
}

/// All ids, read in parts of this size.
async fn in_parts(store: &TaskStore, filter: &RunFilter, size: u32) -> Vec<String> {
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let (part, next) = store.runs(filter, after.as_ref(), size).await.unwrap();
        assert!(part.len() <= size as usize && !part.is_empty());
        all.extend(part.into_iter().map(|it| it.id));
        match next {
            Some(next) => after = Some(next),
            None => return all,
        }
    }
}

/// Every run once, whatever the size of the parts, also where several were reported at once.
pub(crate) async fn runs_are_read_in_parts(place: &Place) {
    let store = place.open().await;
    for n in 0..7 {
        report(&store, &format!("r {n}"), if n % 2 == 0 { "staging" } else { "live" }).await;
    }
    // Three at the same moment, and the others before.
    place
        .meddle(&format!(
            "UPDATE runs SET updated_at = {DAY_US} WHERE id IN ('r 2', 'r 3', 'r 4'); \
             UPDATE runs SET updated_at = 5 WHERE id = 'r 0'; \
             UPDATE runs SET updated_at = 7 WHERE id = 'r 1'"
        ))
        .await;
    let all = in_parts(&store, &RunFilter::default(), 500).await;
    assert_eq!(all, ["r 6", "r 5", "r 4", "r 3", "r 2", "r 1", "r 0"]);
    for size in 1..=7 {
        assert_eq!(in_parts(&store, &RunFilter::default(), size).await, all, "{size}");
    }
    let staging = RunFilter { environment: Some("staging".to_owned()), ..RunFilter::default() };
    assert_eq!(in_parts(&store, &staging, 2).await, ["r 6", "r 4", "r 2", "r 0"]);
    // One that is reported after the first part was read is no reason to miss another.
    let (part, next) = store.runs(&RunFilter::default(), None, 3).await.unwrap();
    assert_eq!(part.last().unwrap().id, "r 4");
    report(&store, "r 1", "live").await;
    let (rest, none) = store.runs(&RunFilter::default(), next.as_ref(), 10).await.unwrap();
    assert_eq!(rest.iter().map(|it| it.id.as_str()).collect::<Vec<_>>(), ["r 3", "r 2", "r 0"]);
    assert_eq!(none, None);
}

async fn found(store: &TaskStore, text: &str) -> Vec<String> {
    let page = store.search_tasks(text, PageRequest::first(50)).await.unwrap();
    page.items.into_iter().map(|it| it.key).collect()
}

/// Tasks of all graphs are found by what people remember of them.
pub(crate) async fn tasks_are_found_in_all_graphs(place: &Place) {
    let store = place.open().await;
    let spec = |key: &str, title: &str, command: &str| {
        let action = Action::Command(command.to_owned());
        let mut spec = task(key);
        spec.submission = TaskSubmission::new(key, title, action);
        spec
    };
    let mut first = spec("1.1", "Migrate the LOGIN page", "true");
    first.description = "for 100% of users".to_owned();
    let mut second = spec("1.2", "Payments", "./migrate_payments.sh");
    second.branch = Some("people/anna".to_owned());
    store.submit(&graph(vec![first, second]), None, None).await.unwrap();
    store
        .submit(&graph(vec![spec("9", "Über alles", "echo 100 users")]), None, None)
        .await
        .unwrap();
    for (text, keys) in [
        ("migrate", &["1.2", "1.1"][..]),
        ("login page", &["1.1"]),
        ("MIGRATE_", &["1.2"]),
        // What is special in a pattern is text here.
        ("100%", &["1.1"]),
        ("100_", &[]),
        ("Über", &["9"]),
        ("anna", &["1.2"]),
        ("1.1", &["1.1"]),
        ("nothing of it", &[]),
    ] {
        assert_eq!(found(&store, text).await, keys, "{text}");
    }
    // By its id, first; by who worked on it, its branch and its commit.
    let all = store.search_tasks("1", PageRequest::first(1)).await.unwrap();
    assert_eq!(all.items[0].id.0, 1);
    let rest = PageRequest { cursor: all.next, limit: 50 };
    let rest = store.search_tasks("1", rest).await.unwrap();
    assert!(rest.items.iter().all(|it| it.id.0 != 1) && rest.next.is_none());
    let claimed = claim(&store, "agent-zoe").await.unwrap();
    let commit = "c0ffee".repeat(6);
    store.complete(claimed.lease(), &committed(&commit), None).await.unwrap();
    let key = claimed.task.key.as_str();
    for text in ["ZOE", "c0ffeec0", &format!("task/{}/e1", claimed.task.id)] {
        assert_eq!(found(&store, text).await, [key], "{text}");
    }
}

/// A search looks at a bounded number of tasks, and goes on where it stopped.
pub(crate) async fn a_search_goes_on_where_it_stopped(place: &Place) {
    let store = place.open().await;
    store.submit(&many(3), None, None).await.unwrap();
    // As if many had come and gone between them.
    let id = place.count("SELECT MAX(id) FROM tasks").await;
    place.meddle(&format!("UPDATE tasks SET id = {} WHERE id = {id}", id + 50_000)).await;
    let (mut keys, mut page, mut parts) = (Vec::new(), PageRequest::first(50), 0);
    loop {
        let part = store.search_tasks("task", page).await.unwrap();
        keys.extend(part.items.into_iter().map(|it| it.id.0));
        parts += 1;
        match part.next {
            Some(next) => page.cursor = Some(next),
            None => break,
        }
    }
    assert_eq!(keys, [id + 50_000, id - 1, id - 2]);
    assert!(parts > 1, "the first part did not look at everything");
}
