//! The content key: the same key, the same image.

use greenloop_config::plan::BuildPlan;

/// Changes whenever what is hashed does.
const VERSION: &str = "greenloop image 1";
/// What a tag that names content begins with.
const TAG: &str = "content-";
/// Hex digits in such a tag.
const TAG_DIGITS: usize = 40;

/// Everything that an image is made from. What differs from run to run (the commit, the run, the
/// time) is not in it.
pub(super) struct Ingredients<'a> {
    /// Digest of the files in the build context.
    pub context: &'a str,
    /// The Dockerfile, which `.dockerignore` may keep out of the context.
    pub dockerfile: &'a str,
    /// Build arguments, target and configured labels.
    pub plan: &'a BuildPlan,
    /// `linux/amd64`
    pub platform: &'a str,
    /// Names and digests of the base images.
    pub bases: &'a [(String, String)],
}

/// 64 hex digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ContentKey(String);

impl ContentKey {
    /// Of these.
    pub(super) fn of(made_from: &Ingredients<'_>) -> Self {
        let mut hasher = blake3::Hasher::new();
        // With lengths, so that no two lists of parts read the same.
        let mut part = |text: &str| {
            hasher.update(&(text.len() as u64).to_le_bytes());
            hasher.update(text.as_bytes());
        };
        part(VERSION);
        part(made_from.context);
        part(made_from.dockerfile);
        part(made_from.platform);
        part(made_from.plan.target.as_deref().unwrap_or_default());
        for map in [&made_from.plan.args, &made_from.plan.labels] {
            part(&map.len().to_string());
            for (name, value) in map {
                part(name);
                part(value);
            }
        }
        for (name, digest) in made_from.bases {
            part(name);
            part(digest);
        }
        Self(hasher.finalize().to_hex().to_string())
    }

    /// The tag by which any machine finds the image: `content-0123…`.
    pub(super) fn tag(&self) -> String {
        format!("{TAG}{}", self.0.get(..TAG_DIGITS).unwrap_or(&self.0))
    }

    /// All digits.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}
