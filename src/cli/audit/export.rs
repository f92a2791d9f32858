//! `greenloop audit export`: one archive for an auditor.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read as _, Write};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::app::audit_log;
use crate::cli::error::{CommandError, Exit};
use crate::cli::output;
use greenloop_audit::{CHECKPOINT_FILE, Checkpoint, VerifyingKey, verify_run};
use greenloop_model::RunId;
use greenloop_workspace::Workspace;

/// What the archive says of itself; the parts in capitals are filled in.
const README: &str = include_str!("export_readme.md");

/// A file of the archive.
struct Member {
    /// Below the archive's folder.
    path: String,
    content: Content,
}

enum Content {
    Text(String),
    File(PathBuf),
}

pub(super) fn export(
    root: &Path,
    run: &str,
    out: Option<PathBuf>,
    key: Option<&VerifyingKey>,
) -> Result<Exit, CommandError> {
    let log = audit_log(root, run)?;
    let folder = log.parent().unwrap_or(Path::new(".")).to_owned();
    let verified = verify_run(&folder);
    let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let anchors = anchors(root, &name)?;
    let finding = match &verified {
        Ok(run) if run.log.complete => format!("complete, {} records, unchanged", run.log.records),
        Ok(run) => format!("{} records without an end: under way, or it died", run.log.records),
        Err(fault) => format!("BROKEN: {fault}"),
    };
    let top = format!("greenloop-audit-{name}");
    let out = out.unwrap_or_else(|| PathBuf::from(format!("{top}.tar.gz")));
    let failed = |e: io::Error| {
        CommandError::infrastructure(format!("could not write {}", out.display())).because(e)
    };
    let mut members = vec![Member {
        path: "README.md".to_owned(),
        content: Content::Text(readme(&name, &finding, !anchors.is_empty(), key)),
    }];
    for (path, text) in anchors {
        members.push(Member { path, content: Content::Text(text) });
    }
    let below = format!("logs/runs/{name}");
    collect(&folder, &below, &mut members).map_err(|e| {
        CommandError::infrastructure(format!("could not read {}", folder.display())).because(e)
    })?;
    members.sort_by(|a, b| a.path.cmp(&b.path));
    let count = members.len();
    write(&out, &top, members).map_err(failed)?;
    output::print(&format!("{}: {count} files; the run is {finding}\n", out.display()))?;
    Ok(if verified.is_ok_and(|run| run.log.complete) { Exit::Ok } else { Exit::NeedsPerson })
}

/// The checkpoints of this run that git keeps, the one with most records first.
fn anchors(root: &Path, name: &str) -> Result<Vec<(String, String)>, CommandError> {
    let Ok(repository) = Workspace::open(root) else { return Ok(Vec::new()) };
    let texts = repository.checkpoints().map_err(|e| {
        CommandError::infrastructure("the checkpoints in git cannot be read").because(e)
    })?;
    let run: Option<RunId> = name.parse().ok();
    let mut kept: Vec<(Checkpoint, String)> = texts
        .into_iter()
        .filter_map(|text| Some((text.parse::<Checkpoint>().ok()?, text)))
        .filter(|(checkpoint, _)| Some(checkpoint.run) == run)
        .collect();
    kept.sort_by_key(|(checkpoint, _)| std::cmp::Reverse(checkpoint.records));
    let named = kept.into_iter().enumerate().map(|(at, (checkpoint, text))| match at {
        0 => ("checkpoint.txt".to_owned(), text),
        _ => (format!("checkpoints/{}.txt", checkpoint.records), text),
    });
    Ok(named.collect())
}

fn readme(run: &str, finding: &str, anchored: bool, key: Option<&VerifyingKey>) -> String {
    let mut verify = format!("greenloop audit verify {run}");
    if anchored {
        verify.push_str(" --anchor checkpoint.txt");
    }
    if let Some(key) = key {
        let _infallible = write!(verify, " --key '{key}'");
    }
    let kept = if anchored {
        "`checkpoint.txt` is the last checkpoint that the repository keeps in `refs/greenloop/audit`. \
         Compare it with one that you have from elsewhere: the archive's own proves nothing against \
         somebody who wrote the archive."
    } else {
        "The repository keeps no checkpoint of this run: without one from elsewhere, a rewrite of \
         the whole run cannot be found."
    };
    README
        .replace("RUN", run)
        .replace("FINDING", finding)
        .replace("VERIFY", &verify)
        .replace("CHECKPOINT", kept)
        .replace("OWN", CHECKPOINT_FILE)
}

/// The regular files of a folder. Links are left out: what they point to is none of the run's.
fn collect(folder: &Path, below: &str, members: &mut Vec<Member>) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let path = format!("{below}/{}", entry.file_name().to_string_lossy());
        let kind = entry.file_type()?;
        if kind.is_dir() {
            collect(&entry.path(), &path, members)?;
        } else if kind.is_file() {
            members.push(Member { path, content: Content::File(entry.path()) });
        }
    }
    Ok(())
}

/// Writes the archive, and only then gives it its name. The same run gives the same bytes.
fn write(out: &Path, top: &str, members: Vec<Member>) -> io::Result<()> {
    let folder = out.parent().filter(|folder| !folder.as_os_str().is_empty());
    let mut part = tempfile::NamedTempFile::new_in(folder.unwrap_or(Path::new(".")))?;
    let mut archive = tar::Builder::new(GzEncoder::new(&mut part, Compression::default()));
    for Member { path, content } in members {
        let path = format!("{top}/{path}");
        match content {
            Content::Text(text) => append(&mut archive, &path, text.len() as u64, text.as_bytes())?,
            Content::File(from) => {
                let file = File::open(from)?;
                let size = file.metadata()?.len();
                // A log that grows meanwhile is cut where it was.
                append(&mut archive, &path, size, file.take(size))?;
            }
        }
    }
    archive.into_inner()?.finish()?.flush()?;
    part.as_file().sync_all()?;
    part.persist(out).map_err(|error| error.error)?;
    Ok(())
}

fn append<W: Write>(
    archive: &mut tar::Builder<W>,
    path: &str,
    size: u64,
    content: impl io::Read,
) -> io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_size(size);
    header.set_mode(0o644);
    header.set_entry_type(tar::EntryType::Regular);
    archive.append_data(&mut header, path, content)
}
