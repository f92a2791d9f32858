//! Successful releases, their reports, and rollbacks.

use crate::binary::Shop;
use crate::program::{HEALTHY, HEALTHY_TOO};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_becomes_a_release_and_a_rollback_takes_it_back() {
    let Some(shop) = Shop::new(&HEALTHY, "").await else { return };
    let first = shop.ends(&[], 0);
    let image = shop.applied().await.unwrap();
    assert!(image.starts_with(&format!("{}@sha256:", shop.image)), "{image}: {}", first.all());
    assert_eq!(shop.records().await, 1);
    let status = shop.status();
    let release = &status["serving"]["release"];
    assert_eq!(release["image"], image, "{status}");
    assert_eq!(release["state"], "verified", "{status}");
    assert_eq!(release["commit"], shop.repository.git(&["rev-parse", "HEAD"]), "{status}");
    let run = shop.repository.run_folder();
    assert_eq!(release["run"], run.file_name().unwrap().to_str().unwrap(), "{status}");
    assert_eq!(status["commits_since"]["count"], 0, "{status}");
    assert_eq!(status["notes"], serde_json::json!([]), "{status}");

    // The same commit again: nothing is built, nothing changes, and it is a release.
    let again = shop.ends(&[], 0);
    assert!(again.all().contains("already in the registry"), "{}", again.all());
    assert_eq!(shop.applied().await.as_ref(), Some(&image));

    shop.expect_page("two");
    shop.change(&HEALTHY_TOO, "serve the second page");
    let text = shop.ends(&["status"], 0);
    assert!(text.stdout.contains("commits since then: 1"), "{}", text.all());
    assert!(text.stdout.contains("serve the second page"), "{}", text.all());
    assert!(text.stdout.contains(&image), "{}", text.all());
    shop.ends(&[], 0);
    let second = shop.applied().await.unwrap();
    assert_ne!(second, image);
    assert_eq!(shop.status()["serving"]["release"]["image"], second);

    // Smoke tests are those of the work tree, which still expects the second page.
    let wrong = shop.run(&["rollback"]);
    assert_ne!(wrong.code, Some(0), "{}", wrong.all());
    assert!(wrong.all().contains("page"), "{}", wrong.all());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rollback_is_followed_and_smoke_tested() {
    let Some(shop) = Shop::new(&HEALTHY, "").await else { return };
    shop.ends(&[], 0);
    let first = shop.applied().await.unwrap();
    let release = shop.status()["serving"]["release"]["id"].clone();
    shop.expect_page("o");
    shop.change(&HEALTHY_TOO, "serve the second page");
    shop.ends(&[], 0);
    assert_ne!(shop.applied().await.unwrap(), first);

    let back = shop.ends(&["rollback", "--output", "json"], 0);
    assert_eq!(shop.applied().await.unwrap(), first);
    for part in [r#""ready""#, r#""page""#, "release"] {
        assert!(back.stdout.contains(part), "{part}: {}", back.all());
    }
    let status = shop.status();
    assert_eq!(status["serving"]["release"]["id"], release, "{status}");
    assert_eq!(status["serving"]["release"]["state"], "verified", "{status}");
    assert_eq!(status["commits_since"]["count"], 1, "{status}");
    // There is no release before the first.
    let further = shop.run(&["rollback"]);
    assert_ne!(further.code, Some(0), "{}", further.all());
    assert!(further.all().contains("no verified release before"), "{}", further.all());
    assert_eq!(shop.applied().await.unwrap(), first);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dry_run_shows_the_difference_and_changes_nothing() {
    let Some(shop) = Shop::new(&HEALTHY, "").await else { return };
    let before = shop.writes();
    let dry = shop.ends(&["--dry-run"], 0);
    for part in ["deployment/web", "+  name: web", "No image was built"] {
        assert!(dry.stdout.contains(part), "{part}: {}", dry.all());
    }
    assert!(dry.stdout.contains(&format!("{}@sha256:0000", shop.image)), "{}", dry.all());
    assert_eq!(shop.writes(), before);

    shop.ends(&[], 0);
    let image = shop.applied().await.unwrap();
    let before = shop.writes();
    let manifests = shop.repository.read("k8s/app.yaml");
    shop.repository.write("k8s/app.yaml", &manifests.replace("replicas: 1", "replicas: 2"));
    shop.repository.commit("two of it");
    let dry = shop.ends(&["--dry-run"], 0);
    assert!(dry.stdout.contains("+  replicas: 2"), "{}", dry.all());
    // The dry run uses the serving image, so the diff shows the rest of the release.
    assert!(!dry.stdout.contains("sha256:0000"), "{}", dry.all());
    assert_eq!(shop.applied().await, Some(image));
    assert_eq!(shop.writes(), before);
}
