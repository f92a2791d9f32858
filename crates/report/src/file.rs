//! Writing a report as a whole or not at all.

use std::io::{self, Write};
use std::path::Path;

/// Writes `bytes` beside `path` and moves them into place: a reader sees the old file or the
/// new one.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        Some(_) | None => Path::new("."),
    };
    let mut file = tempfile::Builder::new().prefix(".greenloop-").tempfile_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    #[cfg(unix)]
    {
        // A temporary file is for its owner alone; a report is for whoever may read the folder.
        use std::os::unix::fs::PermissionsExt;
        file.as_file().set_permissions(std::fs::Permissions::from_mode(0o644))?;
    }
    file.persist(path)?;
    Ok(())
}

#[cfg(all(test, target_os = "linux"))]
#[path = "../../../tests/fixtures/failing_sync.rs"]
mod failing_sync;

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::path::PathBuf;
    use std::process::Command;

    use super::failing_sync::with_failing_sync;
    use super::*;

    /// A tmpfs of 256 KiB, unmounted when dropped; `None` where mounting is not allowed.
    struct SmallDisk(PathBuf);

    impl SmallDisk {
        fn mount(at: &Path) -> Option<Self> {
            let mounted = Command::new("mount")
                .args(["-t", "tmpfs", "-o", "size=256k", "tmpfs"])
                .arg(at)
                .status();
            mounted.is_ok_and(|status| status.success()).then(|| Self(at.to_owned()))
        }
    }

    impl Drop for SmallDisk {
        fn drop(&mut self) {
            let _unmounted = Command::new("umount").arg(&self.0).status();
        }
    }

    #[test]
    fn a_full_disk_leaves_the_old_report_and_nothing_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let Some(disk) = SmallDisk::mount(folder.path()) else {
            println!("skipped: a tmpfs cannot be mounted here, so no disk was filled");
            return;
        };
        let report = disk.0.join("report.html");
        replace(&report, b"as it was").unwrap();
        let error = replace(&report, &vec![b'x'; 1 << 20]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull, "{error}");
        assert_eq!(std::fs::read(&report).unwrap(), b"as it was");
        let left = std::fs::read_dir(&disk.0).unwrap().count();
        assert_eq!(left, 1, "a temporary file was left");
        replace(&report, b"there is room for this").unwrap();
        assert_eq!(std::fs::read(&report).unwrap(), b"there is room for this");
    }

    #[test]
    fn a_report_that_cannot_be_synced_does_not_replace_the_old_one() {
        let folder = tempfile::tempdir().unwrap();
        let report = folder.path().join("report.html");
        replace(&report, b"as it was").unwrap();
        let error = with_failing_sync(|| replace(&report, b"new")).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EIO), "{error}");
        assert_eq!(std::fs::read(&report).unwrap(), b"as it was");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "a temporary file");
    }
}
