//! The file: signed first lines, and a compressed archive that they name by its hash.

use std::fs::File;
use std::io::{Read, Write as _};
use std::path::Path;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use flate2::Compression;
use flate2::bufread::GzDecoder;
use flate2::write::GzEncoder;
use sha2::{Digest as _, Sha256};

use super::BundleError;
use super::manifest::{AuditHead, Manifest, VERSION};
use greenloop_audit::{Checkpoint, SigningKey, VerifyingKey};
use greenloop_model::RunId;

/// The largest bundle, in bytes.
pub const LARGEST_FILE: u64 = 64 << 20;
/// What its archive holds, in this order, and the most bytes of each.
pub const ENTRIES: [(&str, u64); 5] = [
    (MANIFEST, 4 << 20),
    (PATCH, 16 << 20),
    (SUMMARY, 4 << 20),
    (AUDIT_LOG, 128 << 20),
    (CHECKPOINT, 64 << 10),
];
const MANIFEST: &str = "manifest.json";
const PATCH: &str = "patch.diff";
const SUMMARY: &str = "summary.md";
const AUDIT_LOG: &str = "audit.jsonl";
const CHECKPOINT: &str = "audit.checkpoint";
/// The first line.
const ORIGIN: &str = "greenloop/bundle/";
/// The most bytes of the first lines.
const LARGEST_HEAD: usize = 4 << 10;

/// A bundle whose signature was verified, or that is about to be signed.
#[derive(Debug, Clone, PartialEq)]
pub struct Bundle {
    pub manifest: Manifest,
    /// A git patch with full ids and binary files.
    pub patch: Vec<u8>,
    /// The run's summary, in Markdown.
    pub summary: Vec<u8>,
    /// The run's audit log.
    pub audit_log: Vec<u8>,
    /// Its checkpoint, signed by the same key.
    pub checkpoint: Vec<u8>,
}

impl Bundle {
    /// The file's bytes.
    ///
    /// # Errors
    /// [`BundleError::TooLarge`], and a manifest that cannot be written as JSON.
    pub fn seal(&self, key: &SigningKey) -> Result<Vec<u8>, BundleError> {
        let manifest = serde_json::to_vec_pretty(&self.manifest).map_err(BundleError::Manifest)?;
        let parts = [&manifest, &self.patch, &self.summary, &self.audit_log, &self.checkpoint];
        let mut archive = Vec::new();
        for ((name, most), content) in ENTRIES.iter().zip(parts) {
            if content.len() as u64 > *most {
                return Err(BundleError::TooLarge { what: (*name).to_owned(), most: *most });
            }
            archive.push((*name, content.as_slice()));
        }
        let file = seal(self.manifest.run, &packed(&archive)?, key);
        if file.len() as u64 > LARGEST_FILE {
            return Err(BundleError::TooLarge { what: "it".to_owned(), most: LARGEST_FILE });
        }
        Ok(file)
    }

    /// Reads a file and verifies it.
    ///
    /// # Errors
    /// Everything that is not exactly what the key has signed.
    pub fn read(path: &Path, key: &VerifyingKey) -> Result<Self, BundleError> {
        // A pipe would wait for its other end.
        if !std::fs::metadata(path)?.is_file() {
            return Err(BundleError::NotAFile);
        }
        let mut bytes = Vec::new();
        File::open(path)?.take(LARGEST_FILE + 1).read_to_end(&mut bytes)?;
        Self::open(&bytes, key)
    }

    /// Verifies the bytes of a file.
    ///
    /// # Errors
    /// Everything that is not exactly what the key has signed.
    pub fn open(bytes: &[u8], key: &VerifyingKey) -> Result<Self, BundleError> {
        if bytes.len() as u64 > LARGEST_FILE {
            return Err(BundleError::TooLarge { what: "it".to_owned(), most: LARGEST_FILE });
        }
        let (run, payload) = verified(bytes, key)?;
        let [manifest, patch, summary, audit_log, checkpoint] = unpacked(payload)?;
        // The version is read first: a later one may have other fields.
        let version: Version = serde_json::from_slice(&manifest).map_err(BundleError::Manifest)?;
        if version.version != VERSION {
            return Err(BundleError::Version { found: version.version, known: VERSION });
        }
        let manifest: Manifest =
            serde_json::from_slice(&manifest).map_err(BundleError::Manifest)?;
        let bundle = Self { manifest, patch, summary, audit_log, checkpoint };
        bundle.consistent(run, key)?;
        Ok(bundle)
    }

    fn consistent(&self, run: RunId, key: &VerifyingKey) -> Result<(), BundleError> {
        let contradiction = |what| Err(BundleError::Contradiction(what));
        if self.manifest.run != run {
            return contradiction("its first lines and its manifest name different runs");
        }
        let signed: Option<Checkpoint> =
            std::str::from_utf8(&self.checkpoint).ok().and_then(|text| text.parse().ok());
        let Some(signed) = signed else {
            return contradiction("the checkpoint of its audit log cannot be read");
        };
        if !signed.is_signed_by(key) {
            return contradiction("the key has not signed the checkpoint of its audit log");
        }
        let (log, checkpoint) =
            greenloop_audit::verify_log(&self.audit_log[..]).map_err(BundleError::AuditLog)?;
        let AuditHead { records, head } = &self.manifest.audit;
        let same = (signed.run, signed.records, signed.root)
            == (checkpoint.run, checkpoint.records, checkpoint.root);
        if !same || checkpoint.run != run || log.records != *records || log.head != *head {
            return contradiction("its audit log is not the one that it names");
        }
        if !log.complete {
            return contradiction("its audit log has no end");
        }
        Ok(())
    }
}

#[derive(serde::Deserialize)]
struct Version {
    version: u32,
}

/// The signed first lines, an empty line, and the payload.
pub(super) fn seal(run: RunId, payload: &[u8], key: &SigningKey) -> Vec<u8> {
    let digest = BASE64_STANDARD.encode(Sha256::digest(payload));
    let text = format!("{ORIGIN}{VERSION}\n{run}\n{}\n{digest}\n", payload.len());
    let mut file = key.sign_note(&text).into_bytes();
    file.push(b'\n');
    file.extend_from_slice(payload);
    file
}

/// The run that the first lines name, and the payload that they are the signature of.
fn verified<'a>(bytes: &'a [u8], key: &VerifyingKey) -> Result<(RunId, &'a [u8]), BundleError> {
    let form = BundleError::Form;
    if !bytes.starts_with(ORIGIN.as_bytes()) {
        return Err(form("its first line is not `greenloop/bundle/1`"));
    }
    let head = bytes.get(..LARGEST_HEAD).unwrap_or(bytes);
    let is_empty_line = |at: &usize| head[*at..].starts_with(b"\n\n");
    let mut ends = (0..head.len()).filter(is_empty_line);
    let end = match (ends.next(), ends.next()) {
        (Some(_), Some(end)) => end,
        _ => return Err(form("its first lines have no end")),
    };
    let (note, payload) = (&bytes[..=end], &bytes[end + 2..]);
    let note = std::str::from_utf8(note).map_err(|_| form("its first lines are not text"))?;
    let text =
        key.open_note(note).ok_or_else(|| BundleError::Signature { key: key.name().to_owned() })?;
    let mut lines = text.lines();
    let mut line = || lines.next().unwrap_or_default();
    if line() != format!("{ORIGIN}{VERSION}") {
        return Err(form("it is of another version"));
    }
    let run = line().parse().map_err(|_| form("its second line does not name a run"))?;
    if line() != payload.len().to_string() {
        return Err(BundleError::Content("it was cut off, or something was appended"));
    }
    if line() != BASE64_STANDARD.encode(Sha256::digest(payload)) {
        return Err(BundleError::Content("its hash is another"));
    }
    Ok((run, payload))
}

/// A compressed archive of these entries, the same bytes for the same content.
pub(super) fn packed(entries: &[(&str, &[u8])]) -> Result<Vec<u8>, BundleError> {
    let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::default()));
    for (name, content) in entries {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        header.set_entry_type(tar::EntryType::Regular);
        archive.append_data(&mut header, name, *content)?;
    }
    let mut encoder = archive.into_inner()?;
    encoder.flush()?;
    Ok(encoder.finish()?)
}

/// The entries of an archive that has exactly those of [`ENTRIES`]. Nothing is written.
fn unpacked(payload: &[u8]) -> Result<[Vec<u8>; ENTRIES.len()], BundleError> {
    let bad = |what: String| BundleError::Archive(what);
    let whole: u64 = ENTRIES.iter().map(|(_, most)| most + 1024).sum();
    let mut rest = payload;
    let mut archive = tar::Archive::new(GzDecoder::new(&mut rest).take(whole));
    let mut contents: [Vec<u8>; ENTRIES.len()] = Default::default();
    let mut wanted = ENTRIES.iter().zip(&mut contents);
    // Raw: no entry stands for the name or the size of another one.
    for entry in archive.entries()?.raw(true) {
        let entry = entry?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let Some(((expected, most), content)) = wanted.next() else {
            return Err(bad(format!("it has one entry too many: {name:?}")));
        };
        if name != *expected {
            return Err(bad(format!("it has the entry {name:?} where `{expected}` is due")));
        }
        if entry.header().entry_type() != tar::EntryType::Regular {
            return Err(bad(format!("`{name}` is not a regular file")));
        }
        if entry.size() > *most {
            return Err(BundleError::TooLarge { what: format!("`{name}`"), most: *most });
        }
        let size = entry.size();
        entry.take(*most).read_to_end(content)?;
        if content.len() as u64 != size {
            return Err(bad(format!("`{name}` is cut off")));
        }
    }
    if let Some(((missing, _), _)) = wanted.next() {
        return Err(bad(format!("`{missing}` is missing")));
    }
    // What follows the archive's end, inside the stream and behind it.
    let mut left = archive.into_inner();
    let mut padding = Vec::new();
    left.read_to_end(&mut padding)?;
    if padding.iter().any(|byte| *byte != 0) {
        return Err(bad("something follows its end".to_owned()));
    }
    drop(left);
    if !rest.is_empty() {
        return Err(bad("something follows its compressed data".to_owned()));
    }
    Ok(contents)
}
