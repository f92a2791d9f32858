//! Flaky tests are remembered by repository, and forgotten.

use greenloop_hub_api::types::FlakeReport;

use crate::place::Place;
use crate::retention::FOREVER;

const DAY_US: i64 = 24 * 3600 * 1_000_000;

fn report(repository: &str, tests: &[&str]) -> FlakeReport {
    let tests = tests.iter().map(|test| (*test).to_owned()).collect();
    FlakeReport { repository: repository.to_owned(), tests }
}

/// By repository, the latest first; what two reports name at the same time is there once.
pub(crate) async fn flaky_tests_are_kept_by_repository(place: &Place) {
    let (one, two) = (place.open().await, place.open().await);
    let (a, b) = (report("fleet", &["b", "a", "a"]), report("fleet", &["a", "b", "c"]));
    let (first, second) = tokio::join!(one.report_flakes(&a), two.report_flakes(&b));
    first.unwrap();
    second.unwrap();
    one.report_flakes(&report("shop", &["a"])).await.unwrap();
    one.report_flakes(&report("fleet", &["b"])).await.unwrap();
    let found = two.flakes("fleet", 500).await.unwrap();
    let mut names: Vec<&str> = found.iter().map(|it| it.test.as_str()).collect();
    assert_eq!(names[0], "b");
    names.sort_unstable();
    assert_eq!(names, ["a", "b", "c"]);
    assert!(found.is_sorted_by(|x, y| x.seen_at >= y.seen_at), "{found:?}");
    assert_eq!(one.flakes("shop", 500).await.unwrap().len(), 1);
    assert!(one.flakes("other", 500).await.unwrap().is_empty());
    assert_eq!(one.flakes("fleet", 2).await.unwrap().len(), 2);
}

/// After two quiet weeks a test is in no answer, and its row goes; a new report brings it back.
pub(crate) async fn flaky_tests_are_forgotten(place: &Place) {
    let store = place.open().await;
    store.report_flakes(&report("fleet", &["old", "quiet"])).await.unwrap();
    place
        .meddle(&format!(
            "UPDATE flakes SET seen_at = seen_at - 15 * {DAY_US} WHERE test = 'old'; \
             UPDATE flakes SET seen_at = seen_at - 13 * {DAY_US} WHERE test = 'quiet'"
        ))
        .await;
    let names = async || -> Vec<String> {
        store.flakes("fleet", 500).await.unwrap().into_iter().map(|it| it.test).collect()
    };
    assert_eq!(names().await, ["quiet"]);
    assert_eq!(place.count("SELECT COUNT(*) FROM flakes").await, 2);
    let purged = store.purge(&FOREVER).await.unwrap().unwrap();
    assert_eq!((purged.table, purged.rows), ("flakes", 1));
    assert_eq!(place.count("SELECT COUNT(*) FROM flakes").await, 1);
    store.report_flakes(&report("fleet", &["old"])).await.unwrap();
    assert_eq!(names().await, ["old", "quiet"]);
}

/// Of one repository only so many are kept, those that were reported last.
pub(crate) async fn flaky_tests_are_bounded(place: &Place) {
    let store = place.open().await;
    for part in 0..5 {
        let tests: Vec<String> = (0..500).map(|n| format!("test {part} {n}")).collect();
        let tests: Vec<&str> = tests.iter().map(String::as_str).collect();
        store.report_flakes(&report("fleet", &tests)).await.unwrap();
    }
    store.report_flakes(&report("shop", &["a"])).await.unwrap();
    let of =
        |repository: &str| format!("SELECT COUNT(*) FROM flakes WHERE repository = '{repository}'");
    assert_eq!(place.count(&of("fleet")).await, 2_000);
    assert_eq!(place.count(&of("shop")).await, 1);
    let oldest = "SELECT COUNT(*) FROM flakes WHERE test LIKE 'test 0 %'";
    assert_eq!(place.count(oldest).await, 0);
}
