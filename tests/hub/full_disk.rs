//! A hub whose SQLite file cannot be written to: a real file system that is really full.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::program::{Hub, graph, tasks, until};
use super::stores::Place;

/// A disk of 8 MiB, unmounted when dropped; `None` where mounting is not allowed.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(at: &Path) -> Option<Self> {
        let mut mount = Command::new("mount");
        let mounted = mount.args(["-t", "tmpfs", "-o", "size=8m", "tmpfs"]).arg(at).output();
        mounted.is_ok_and(|it| it.status.success()).then(|| Self(at.to_owned()))
    }

    fn filler(&self) -> PathBuf {
        self.0.join("filler")
    }

    fn fill(&self) {
        let filler = std::fs::File::create(self.filler()).unwrap();
        let full = std::io::copy(&mut std::io::repeat(b'x'), &mut &filler).unwrap_err();
        assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
    }

    fn clear(&self) {
        std::fs::remove_file(self.filler()).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _still_mounted = Command::new("umount").arg("-l").arg(&self.0).output();
    }
}

#[tokio::test]
async fn a_hub_that_cannot_write_answers_503_and_goes_on_when_it_can() {
    let place = Place::sqlite();
    let Some(disk) = SmallDisk::mount(place.folder.path()) else {
        eprintln!("SKIPPED: a tmpfs cannot be mounted here, so no disk was filled");
        return;
    };
    let hub = Hub::start_with(&place, &["--listen", "127.0.0.1:0", "--rate", "0"]);
    let admin = hub.admin(&place);
    let first = admin.submit(tasks(1)).await;
    disk.fill();
    // Some writes still fit into pages that the file has already.
    let large = graph(tasks(50));
    let mut taken = 0;
    let refused = loop {
        let answer = admin.post_keyed("/graphs", &format!("key-{taken}"), large.clone()).await;
        if answer.status != 201 {
            break answer;
        }
        taken += 1;
        assert!(taken < 2_000, "the disk never filled");
    };
    refused.problem(503, "unavailable");
    assert!(refused.headers.contains_key("retry-after"), "{refused:?}");
    let detail = refused.body["detail"].as_str().unwrap();
    assert!(detail.contains("may be repeated"), "{detail}");
    // What is there can be read all the same.
    admin.get(&format!("/graphs/{first}")).await.expect(200);

    disk.clear();
    // The same request, with its key: nothing of the refused one counts twice.
    let key = format!("key-{taken}");
    let made = until("the hub to write again", async || {
        let answer = admin.post_keyed("/graphs", &key, large.clone()).await;
        (answer.status == 201).then_some(answer.body)
    })
    .await;
    let again = admin.post_keyed("/graphs", &key, large.clone()).await;
    assert_eq!(again.body["id"], made["id"], "{again:?}");
    assert!(admin.claim("w", 0).await.is_some());
}
