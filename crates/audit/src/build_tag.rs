//! A checkpoint as tags of a build in Azure DevOps, where a run's writer cannot change them later.
//!
//! One tag is the head, one each signature: the agent puts a tag into the path of a URL, which a
//! server may limit to 260 characters and in which it takes no colon and no slash. `<root>` and
//! `<signature>` are base64 of the URL alphabet; the signature begins with the key's id.
//!
//! ```text
//! greenloop-audit.<run>.<records>.<root>
//! greenloop-audit-sig.<signature>
//! ```

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use super::checkpoint::{Checkpoint, CheckpointError, Signature};

/// What a tag with a head begins with.
const HEAD: &str = "greenloop-audit.";
/// What one with a signature begins with.
const SIGNATURE: &str = "greenloop-audit-sig.";
/// The bytes of a key's id and an Ed25519 signature.
const SIGNATURE_BYTES: usize = 68;

impl Checkpoint {
    /// The tags that [`Checkpoint::of_build_tags`] reads: letters, digits, `-`, `_` and `.`, at
    /// most 128 of them.
    pub fn to_build_tags(&self) -> Vec<String> {
        let root = BASE64_URL_SAFE_NO_PAD.encode(self.root);
        let head = format!("{HEAD}{}.{}.{root}", self.run, self.records);
        let signed = self
            .signatures()
            .iter()
            .map(|it| format!("{SIGNATURE}{}", BASE64_URL_SAFE_NO_PAD.encode(&it.bytes)));
        std::iter::once(head).chain(signed).collect()
    }

    /// Whether a text may have checkpoints in the form of tags.
    pub fn has_build_tags(text: &str) -> bool {
        text.contains(HEAD)
    }

    /// The checkpoints among the tags of a build, however they are listed: one a line, in JSON, with
    /// others between them. A signature is taken for one of each head; it verifies only its own.
    ///
    /// # Errors
    /// [`CheckpointError::Form`] for a text without a head, and where a tag was changed.
    pub fn of_build_tags(text: &str) -> Result<Vec<Self>, CheckpointError> {
        let form = CheckpointError::Form;
        let is_of_tag = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        let tags: Vec<&str> = text.split(|c: char| !is_of_tag(c)).collect();
        let signatures: Option<Vec<Signature>> =
            tags.iter().filter_map(|tag| tag.strip_prefix(SIGNATURE)).map(signature).collect();
        let signatures = signatures.ok_or(form("a tag of a build is not a signature"))?;
        let heads = tags.iter().filter_map(|tag| tag.strip_prefix(HEAD)).map(head);
        let heads: Option<Vec<Self>> = heads.collect();
        let heads = heads.ok_or(form("a tag of a build is not the head of a log"))?;
        match heads.is_empty() {
            true => Err(form("no tag of a build is the head of a log")),
            false => Ok(heads.into_iter().map(|it| it.with_signatures(&signatures)).collect()),
        }
    }
}

/// `<run>.<records>.<root>`
fn head(text: &str) -> Option<Checkpoint> {
    let mut parts = text.splitn(3, '.');
    let (run, records, root) = (parts.next()?, parts.next()?, parts.next()?);
    let root = BASE64_URL_SAFE_NO_PAD.decode(root).ok()?.try_into().ok()?;
    Some(Checkpoint::new(run.parse().ok()?, records.parse().ok()?, root))
}

fn signature(text: &str) -> Option<Signature> {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).ok()?;
    (bytes.len() == SIGNATURE_BYTES).then_some(Signature { name: None, bytes })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SigningKey;
    use greenloop_model::RunId;

    fn checkpoint(records: u64) -> Checkpoint {
        Checkpoint::new(RunId::generate(), records, [records as u8; 32])
    }

    #[test]
    fn tags_are_short_and_valid_and_read_as_they_are_written() {
        let key = SigningKey::generate("a-name-as-long-as-anybody-wants-it-to-be").unwrap();
        let signed = checkpoint(u64::MAX).signed(&key);
        let tags = signed.to_build_tags();
        assert_eq!(tags.len(), 2);
        for tag in &tags {
            let valid = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
            assert!(tag.len() <= 128 && tag.chars().all(valid), "{tag}");
        }
        let listed = [
            tags.join("\n"),
            format!(
                r#"{{"count":4,"value":["nightly","{}","greenloop-healed","{}"]}}"#,
                tags[1], tags[0]
            ),
            format!(
                "##vso[build.addbuildtag]{}\r\n##vso[build.addbuildtag]{}\r\n",
                tags[0], tags[1]
            ),
        ];
        for text in listed {
            let read = Checkpoint::of_build_tags(&text).unwrap();
            let [read] = read.as_slice() else { panic!("{text}: {read:?}") };
            assert_eq!(
                (read.run, read.records, read.root),
                (signed.run, signed.records, signed.root)
            );
            assert!(read.is_signed_by(&key.public()), "{text}");
        }
    }

    #[test]
    fn a_signature_counts_for_its_own_head_only() {
        let (key, other) = (SigningKey::generate("a").unwrap(), SigningKey::generate("a").unwrap());
        let (signed, unsigned) = (checkpoint(7).signed(&key), checkpoint(8));
        let text = [signed.to_build_tags(), unsigned.to_build_tags()].concat().join(" ");
        let read = Checkpoint::of_build_tags(&text).unwrap();
        let is_signed: Vec<bool> = read.iter().map(|it| it.is_signed_by(&key.public())).collect();
        assert_eq!(is_signed, [true, false]);
        assert!(!read[0].is_signed_by(&other.public()));
        // A head that was changed is no longer what was signed.
        let forged = text.replacen(".7.", ".6.", 1);
        assert!(!Checkpoint::of_build_tags(&forged).unwrap()[0].is_signed_by(&key.public()));
    }

    #[test]
    fn what_is_no_tag_of_a_checkpoint_is_an_error() {
        let tags = checkpoint(7).signed(&SigningKey::generate("a").unwrap()).to_build_tags();
        let (head, signature) = (tags[0].as_str(), tags[1].as_str());
        for text in [
            "",
            "nightly",
            signature,
            "greenloop-audit.",
            &head[..head.len() - 1],
            &head.replacen(".7.", ".x.", 1),
            &format!("{head} {}", &signature[..signature.len() - 2]),
        ] {
            assert!(Checkpoint::of_build_tags(text).is_err(), "{text}");
        }
    }
}
