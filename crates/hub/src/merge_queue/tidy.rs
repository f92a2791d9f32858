//! What the merge queue leaves in its folder and nobody needs any more: mirrors of repositories
//! that no project has, and the output of gates of entries that are deleted.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio_util::sync::CancellationToken;

use super::candidate::NO_ENTRY;
use super::store::MergeStore;
use super::workdir::Workdir;
use crate::store::StoreError;
use greenloop_evidence::Redactor;
use greenloop_model::error_chain;
use greenloop_workspace::git::remove_folder;

/// A mirror that was asked for within this time may be in use.
const REST: Duration = Duration::from_secs(24 * 3600);
/// Output of gates is kept for this long, whatever it belongs to.
const LOGS: Duration = Duration::from_secs(7 * 24 * 3600);
/// Entries that the store is asked about at a time.
const ENTRIES: usize = 200;

/// Tidies up `every` so often, and at once.
pub(super) async fn tidy(
    store: Arc<dyn MergeStore>,
    workdir: Arc<Workdir>,
    redactor: Redactor,
    every: Duration,
    cancel: CancellationToken,
) {
    while !cancel.is_cancelled() {
        match tidied(&*store, &workdir).await {
            Ok((mirrors, logs)) if mirrors + logs > 0 => {
                tracing::info!(mirrors, logs, "deleted files that no project and no entry needs");
            }
            Ok(_) => {}
            Err(error) => {
                let error = redactor.redact(&error_chain(&error)).into_owned();
                tracing::warn!(error, "could not clean up the merge queue's folder");
            }
        }
        tokio::select! {
            () = tokio::time::sleep(every) => {}
            () = cancel.cancelled() => {}
        }
    }
}

async fn tidied(store: &dyn MergeStore, workdir: &Workdir) -> Result<(usize, usize), StoreError> {
    let repositories = store.repositories().await?;
    let mirrors = workdir.drop_mirrors(&repositories, REST).await;
    Ok((mirrors, drop_logs(store, &workdir.logs(), LOGS).await?))
}

/// Deletes the output of gates that is older than `after` and belongs to no entry that is kept.
async fn drop_logs(
    store: &dyn MergeStore,
    logs: &Path,
    after: Duration,
) -> Result<usize, StoreError> {
    let logs = logs.to_owned();
    let found = tokio::task::spawn_blocking(move || old(&logs, after));
    let found = found.await.unwrap_or_default();
    let mut dropped = 0;
    for some in found.chunks(ENTRIES) {
        let ids: Vec<i64> = some.iter().map(|(id, _)| *id).collect();
        let kept: HashSet<i64> = store.known_merges(&ids).await?.into_iter().collect();
        for (_, folder) in some.iter().filter(|(id, _)| !kept.contains(id)) {
            let folder = folder.clone();
            match tokio::task::spawn_blocking(move || remove_folder(&folder)).await {
                Ok(Ok(())) => dropped += 1,
                Ok(Err(error)) => tracing::warn!(%error, "could not delete the output of gates"),
                Err(error) => tracing::warn!(%error, "could not delete the output of gates"),
            }
        }
    }
    Ok(dropped)
}

/// Folders that nothing was written to for so long, with the entry that each is of. That of bare
/// tips stays, and loses what is old in it.
fn old(logs: &Path, after: Duration) -> Vec<(i64, PathBuf)> {
    let before = SystemTime::now().checked_sub(after);
    let is_old = |time: SystemTime| before.is_some_and(|before| time <= before);
    let mut found = Vec::new();
    for entry in std::fs::read_dir(logs).into_iter().flatten().flatten() {
        let Some(id) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let folder = entry.path();
        let files: Vec<(PathBuf, SystemTime)> = walkdir(&folder);
        if id == NO_ENTRY {
            for (file, _) in files.iter().filter(|(_, written)| is_old(*written)) {
                if let Err(error) = std::fs::remove_file(file) {
                    tracing::warn!(%error, "could not delete the output of gates");
                }
            }
        } else if files.iter().all(|(_, written)| is_old(*written)) {
            found.push((id, folder));
        }
    }
    found
}

/// The files below a folder, with when each was last written to.
fn walkdir(folder: &Path) -> Vec<(PathBuf, SystemTime)> {
    let mut files = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            match entry.metadata() {
                Ok(data) if data.is_dir() => open.push(entry.path()),
                Ok(data) => {
                    files.push((entry.path(), data.modified().unwrap_or(SystemTime::now())));
                }
                // It is gone, or not to be read: its folder is not old.
                Err(_) => files.push((entry.path(), SystemTime::now())),
            }
        }
    }
    files
}

#[cfg(test)]
mod tests {
    use super::super::tests::in_memory;
    use super::*;

    fn output(logs: &Path, id: i64, age: Duration) -> PathBuf {
        let file = logs.join(format!("{id}/stages/1-gates-1.log"));
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        let written = std::fs::File::create(&file).unwrap();
        written.set_modified(SystemTime::now() - age).unwrap();
        file
    }

    #[tokio::test]
    async fn output_of_gates_goes_with_its_entry_and_not_before_its_time() {
        let logs = tempfile::tempdir().unwrap();
        let (old, hour) = (2 * LOGS, Duration::from_secs(3600));
        // The store has the entries 1 and 2.
        let store = in_memory(&[1, 2]);
        let gone = [output(logs.path(), 7, old), output(logs.path(), NO_ENTRY, old)];
        let kept = [output(logs.path(), 1, old), output(logs.path(), 8, hour)];
        std::fs::write(logs.path().join("README"), "mine").unwrap();
        assert_eq!(drop_logs(&*store, logs.path(), LOGS).await.unwrap(), 1);
        assert!(gone.iter().all(|file| !file.exists()));
        assert!(kept.iter().all(|file| file.exists()));
        assert!(!logs.path().join("7").exists() && logs.path().join("README").exists());
        assert_eq!(drop_logs(&*store, logs.path(), LOGS).await.unwrap(), 0);
    }
}
