//! Which content is in which registry already: a small file beside the repository, so that the
//! digest is known before the registry is asked. It is only ever a hint: the registry must still
//! have what it names.

use std::collections::VecDeque;
use std::fs;
use std::io::Write;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use greenloop_model::ImageRef;

/// The file's name.
const FILE: &str = "images.jsonl";
/// Images remembered.
const MOST: usize = 200;
/// A longer file is not ours.
const LONGEST: u64 = 1 << 20;

/// The images known by their content.
#[derive(Debug)]
pub(super) struct DigestCache {
    path: PathBuf,
}

/// One line, version 1.
#[derive(Debug, Serialize, Deserialize)]
struct CachedImage {
    key: String,
    image: String,
}

impl DigestCache {
    /// Kept in this folder.
    pub(super) fn in_folder(folder: &std::path::Path) -> Self {
        Self { path: folder.join(FILE) }
    }

    /// The image with that content in that repository.
    pub(super) fn get(&self, key: &str, repository: &str) -> Option<ImageRef> {
        self.entries()
            .iter()
            .rev()
            .filter(|entry| entry.key == key)
            .filter_map(|entry| ImageRef::parse(&entry.image))
            .find(|image| image.repository() == repository)
    }

    /// Remembers one. Two runs that do so at once may forget one of the two, which costs a
    /// question to the registry.
    pub(super) fn put(&self, key: &str, image: &ImageRef) -> std::io::Result<()> {
        let mut entries = self.entries();
        let image = image.to_string();
        entries.retain(|entry| entry.key != key || entry.image != image);
        entries.push_back(CachedImage { key: key.to_owned(), image });
        while entries.len() > MOST {
            entries.pop_front();
        }
        let folder = self.path.parent().unwrap_or(&self.path);
        fs::create_dir_all(folder)?;
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        for entry in &entries {
            serde_json::to_writer(&mut file, entry)?;
            file.write_all(b"\n")?;
        }
        file.persist(&self.path)?;
        Ok(())
    }

    fn entries(&self) -> VecDeque<CachedImage> {
        let fits = fs::metadata(&self.path).is_ok_and(|meta| meta.len() <= LONGEST);
        let text =
            if fits { fs::read_to_string(&self.path).unwrap_or_default() } else { String::new() };
        // A line that a later version wrote is passed over.
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_image_of_a_content_is_known() {
        let folder = tempfile::tempdir().unwrap();
        let known = DigestCache::in_folder(&folder.path().join("deep"));
        let image = |n: u64| ImageRef::new("r:1/a", &format!("sha256:{n:064x}")).unwrap();
        assert_eq!(known.get("k", "r:1/a"), None);
        known.put("k", &image(1)).unwrap();
        known.put("k", &image(2)).unwrap();
        assert_eq!(known.get("k", "r:1/a"), Some(image(2)));
        assert_eq!(known.get("k", "r:1/b"), None);
        for n in 0..300 {
            known.put(&format!("other{n}"), &image(n)).unwrap();
        }
        assert_eq!(known.get("k", "r:1/a"), None, "old ones are forgotten");
        fs::write(folder.path().join("deep").join(FILE), "garbage\n{\"key\":1}\n").unwrap();
        assert_eq!(known.get("k", "r:1/a"), None);
        known.put("k", &image(3)).unwrap();
        assert_eq!(known.get("k", "r:1/a"), Some(image(3)));
    }
}
