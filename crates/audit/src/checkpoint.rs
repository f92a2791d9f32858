//! Checkpoints: a log's length and Merkle root, signed, to be kept where the log's writer cannot
//! change them.
//!
//! The text is a checkpoint of C2SP's tlog-checkpoint, its signature that of a signed note with an
//! Ed25519 key (<https://c2sp.org/tlog-checkpoint>, <https://c2sp.org/signed-note>):
//!
//! ```text
//! greenloop/audit/01a22a36-7133-7717-8214-94e9a960ee7b
//! 18
//! CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=
//!
//! — deploys Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=
//! ```
//!
//! Keys have the forms of Go's `note` package: `PRIVATE+KEY+<name>+<id>+<base64>` signs,
//! `<name>+<id>+<base64>` verifies.
//!
//! A witness signs besides, with the time (<https://c2sp.org/tlog-cosignature>), after it was shown
//! that the log extends what it signed before. Its verifying key has another type.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use sha2::{Digest, Sha256};

use super::merkle::{self, ConsistencyProof, Hash};
use greenloop_model::RunId;

/// What the first line begins with.
const ORIGIN: &str = "greenloop/audit/";
/// The signature type of Ed25519 in keys and key ids.
const ED25519_TYPE: u8 = 1;
/// The same of a witness's signature with a time.
const COSIGNATURE_TYPE: u8 = 4;
/// Bytes of that time, and of the signature that follows it.
const TIME_LEN: usize = 8;
const PRIVATE: &str = "PRIVATE+KEY+";

/// A key or a checkpoint that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// Not of the form above.
    #[error("not a checkpoint of an audit log: {0}")]
    Form(&'static str),
    /// Not a key of the form above.
    #[error("not {wanted}")]
    Key { wanted: &'static str },
}

/// The first records of a run's log, by their number and their Merkle root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The run.
    pub run: RunId,
    /// How many records.
    pub records: u64,
    /// The root over their lines, without the `\n`.
    pub root: Hash,
    signatures: Vec<Signature>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Signature {
    /// Of the key; `None` where a form has no room for it: the key's id depends on it too.
    pub(super) name: Option<String>,
    /// The key's id and the signature proper.
    pub(super) bytes: Vec<u8>,
}

impl Signature {
    /// Reads a line of the form `— <name> <base64>`.
    fn read(line: &str) -> Option<Self> {
        let (name, bytes) = line.strip_prefix("— ")?.split_once(' ')?;
        let bytes = BASE64_STANDARD.decode(bytes).ok()?;
        Some(Self { name: Some(name.to_owned()), bytes })
    }

    /// The form that [`Self::read`] reads; `None` without a name.
    fn line(&self) -> Option<String> {
        let name = self.name.as_ref()?;
        Some(format!("— {name} {}", BASE64_STANDARD.encode(&self.bytes)))
    }
}

impl Checkpoint {
    pub(super) fn new(run: RunId, records: u64, root: Hash) -> Self {
        Self { run, records, root, signatures: Vec::new() }
    }

    /// The same, with these signatures besides.
    pub(super) fn with_signatures(mut self, signatures: &[Signature]) -> Self {
        self.signatures.extend_from_slice(signatures);
        self
    }

    pub(super) fn signatures(&self) -> &[Signature] {
        &self.signatures
    }

    /// What is signed.
    fn body(&self) -> String {
        let root = BASE64_STANDARD.encode(self.root);
        format!("{ORIGIN}{}\n{}\n{root}\n", self.run, self.records)
    }

    /// The same, with a signature by this key.
    #[must_use]
    pub fn signed(mut self, key: &SigningKey) -> Self {
        self.signatures.push(key.sign(&self.body()));
        self
    }

    /// The same, with a signature by this witness at this time, in seconds since 1970.
    #[must_use]
    pub fn cosigned(mut self, witness: &SigningKey, at: u64) -> Self {
        let signed = witness.pair.sign(cosigned_text(at, &self.body()).as_bytes());
        let id = witness.as_witness().id();
        let bytes = [&id[..], &at.to_be_bytes(), signed.as_ref()].concat();
        self.signatures.push(Signature { name: Some(witness.name.clone()), bytes });
        self
    }

    /// Whether `newer` is of the same run, and the proof shows that its log begins with this one's
    /// records.
    pub fn is_extended_by(&self, newer: &Self, proof: &ConsistencyProof) -> bool {
        let (first, second) = ((self.records, &self.root), (newer.records, &newer.root));
        self.run == newer.run && merkle::is_consistent(first, second, &proof.0)
    }

    /// Whether `other` is of the same records, whoever has signed it.
    pub fn is_of_same_log(&self, other: &Self) -> bool {
        self.body() == other.body()
    }

    /// Whether the key has signed it.
    pub fn is_signed_by(&self, key: &VerifyingKey) -> bool {
        let body = self.body();
        self.signatures.iter().any(|signature| key.has_signed(&body, signature))
    }
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.body())?;
        let mut lines = self.signatures.iter().filter_map(Signature::line);
        lines.try_for_each(|line| writeln!(f, "{line}"))
    }
}

impl FromStr for Checkpoint {
    type Err = CheckpointError;

    fn from_str(text: &str) -> Result<Self, CheckpointError> {
        let form = CheckpointError::Form;
        let (body, signatures) =
            text.split_once("\n\n").ok_or(form("there is no empty line after its text"))?;
        let mut lines = body.lines();
        let mut line = || lines.next().unwrap_or_default();
        let run = line().strip_prefix(ORIGIN).and_then(|run| run.parse().ok());
        let records = line().parse().ok();
        let root = BASE64_STANDARD.decode(line()).ok().and_then(|root| root.try_into().ok());
        let signatures = signatures.lines().map(Signature::read);
        let read = Self {
            run: run.ok_or(form("its first line does not name a run"))?,
            records: records.ok_or(form("its second line is not a number of records"))?,
            root: root.ok_or(form("its third line is not a SHA-256 hash"))?,
            signatures: signatures
                .collect::<Option<_>>()
                .ok_or(form("a line after the empty one is not a signature"))?,
        };
        // Any further line would appear to be signed.
        if read.body().trim_end() == body { Ok(read) } else { Err(form("it has further lines")) }
    }
}

/// An Ed25519 key that signs checkpoints.
pub struct SigningKey {
    name: String,
    seed: [u8; 32],
    pair: Ed25519KeyPair,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("name", &self.name).finish_non_exhaustive()
    }
}

impl SigningKey {
    /// A new key. The name has no blank and no `+`.
    ///
    /// # Errors
    /// [`CheckpointError::Key`] for another name, and where the system has no random numbers.
    pub fn generate(name: &str) -> Result<Self, CheckpointError> {
        let mut seed = [0; 32];
        aws_lc_rs::rand::fill(&mut seed)
            .map_err(|_| CheckpointError::Key { wanted: "possible: no random numbers" })?;
        Self::new(name, seed)
    }

    fn new(name: &str, seed: [u8; 32]) -> Result<Self, CheckpointError> {
        let wanted = "a name for a key: it must not be empty, and have no blank and no `+`";
        if name.is_empty() || name.contains(|c: char| c.is_whitespace() || c == '+') {
            return Err(CheckpointError::Key { wanted });
        }
        let wanted = "an Ed25519 key";
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed)
            .map_err(|_| CheckpointError::Key { wanted })?;
        Ok(Self { name: name.to_owned(), seed, pair })
    }

    /// The key that verifies what this one signs.
    pub fn public(&self) -> VerifyingKey {
        let mut public = [0; 32];
        public.copy_from_slice(self.pair.public_key().as_ref());
        VerifyingKey { name: self.name.clone(), kind: ED25519_TYPE, public }
    }

    /// The key that verifies what this one signs as a witness.
    pub fn as_witness(&self) -> VerifyingKey {
        VerifyingKey { kind: COSIGNATURE_TYPE, ..self.public() }
    }

    fn sign(&self, text: &str) -> Signature {
        let signature = self.pair.sign(text.as_bytes());
        let bytes = [&self.public().id()[..], signature.as_ref()].concat();
        Signature { name: Some(self.name.clone()), bytes }
    }

    /// A signed note: `text`, which ends with a line feed and has no empty line, an empty line,
    /// and the signature.
    pub fn sign_note(&self, text: &str) -> String {
        let line = self.sign(text).line().unwrap_or_default();
        format!("{text}\n{line}\n")
    }

    /// The secret text that [`SigningKey::from_str`] reads.
    pub fn to_secret(&self) -> String {
        let public = self.public();
        format!("{PRIVATE}{}+{}", public.name, key_text(&public.id(), ED25519_TYPE, &self.seed))
    }
}

impl FromStr for SigningKey {
    type Err = CheckpointError;

    fn from_str(text: &str) -> Result<Self, CheckpointError> {
        let wanted = "a signing key (PRIVATE+KEY+<name>+<id>+<base64>)";
        let refused = CheckpointError::Key { wanted };
        let rest = text.trim().strip_prefix(PRIVATE).ok_or(refused.clone())?;
        let (name, id, kind, seed) = key_parts(rest).ok_or(refused.clone())?;
        if kind != ED25519_TYPE {
            return Err(refused);
        }
        let key = Self::new(&name, seed)?;
        if key.public().id() == id { Ok(key) } else { Err(refused) }
    }
}

/// The key that verifies signatures of a [`SigningKey`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifyingKey {
    name: String,
    /// [`ED25519_TYPE`] or [`COSIGNATURE_TYPE`].
    kind: u8,
    public: [u8; 32],
}

impl VerifyingKey {
    /// The name that its owner gave it.
    pub fn name(&self) -> &str {
        &self.name
    }

    fn has_signed(&self, text: &str, signature: &Signature) -> bool {
        let key = UnparsedPublicKey::new(&ED25519, self.public);
        signature.name.as_ref().is_none_or(|name| *name == self.name)
            && signature.bytes.strip_prefix(&self.id()).is_some_and(|signature| {
                if self.kind == ED25519_TYPE {
                    return key.verify(text.as_bytes(), signature).is_ok();
                }
                signature.split_first_chunk::<TIME_LEN>().is_some_and(|(at, signature)| {
                    let signed = cosigned_text(u64::from_be_bytes(*at), text);
                    key.verify(signed.as_bytes(), signature).is_ok()
                })
            })
    }

    /// The text of a signed note of exactly the form that [`SigningKey::sign_note`] gives it;
    /// `None` when this key has not signed it.
    pub fn open_note<'a>(&self, note: &'a str) -> Option<&'a str> {
        let end = note.find("\n\n")? + 1;
        let (text, rest) = note.split_at(end);
        let line = rest.strip_prefix('\n')?.strip_suffix('\n')?;
        let signature =
            Signature::read(line).filter(|read| read.line().as_deref() == Some(line))?;
        self.has_signed(text, &signature).then_some(text)
    }

    fn id(&self) -> [u8; 4] {
        let digest = Sha256::new()
            .chain_update(&self.name)
            .chain_update([b'\n', self.kind])
            .chain_update(self.public)
            .finalize();
        [digest[0], digest[1], digest[2], digest[3]]
    }
}

impl fmt::Display for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}+{}", self.name, key_text(&self.id(), self.kind, &self.public))
    }
}

impl FromStr for VerifyingKey {
    type Err = CheckpointError;

    fn from_str(text: &str) -> Result<Self, CheckpointError> {
        let wanted = "a verifying key (<name>+<id>+<base64>)";
        let (name, id, kind, public) =
            key_parts(text.trim()).ok_or(CheckpointError::Key { wanted })?;
        let key = Self { name, kind, public };
        if key.id() == id { Ok(key) } else { Err(CheckpointError::Key { wanted }) }
    }
}

/// What a witness signs.
fn cosigned_text(at: u64, body: &str) -> String {
    format!("cosignature/v1\ntime {at}\n{body}")
}

/// `<id>+<base64 of the type and the key>`
fn key_text(id: &[u8; 4], kind: u8, key: &[u8; 32]) -> String {
    let typed = [&[kind][..], key].concat();
    format!("{:08x}+{}", u32::from_be_bytes(*id), BASE64_STANDARD.encode(typed))
}

/// Name, id, type and key.
fn key_parts(text: &str) -> Option<(String, [u8; 4], u8, [u8; 32])> {
    // The base64 may hold a `+` itself.
    let mut parts = text.splitn(3, '+');
    let (name, id, key) = (parts.next()?, parts.next()?, parts.next()?);
    let id = (id.len() == 8).then(|| u32::from_str_radix(id, 16).ok()).flatten()?;
    let typed = BASE64_STANDARD.decode(key).ok()?;
    let (kind, key) = typed.split_first()?;
    let known = [ED25519_TYPE, COSIGNATURE_TYPE].contains(kind);
    let key = known.then(|| key.try_into().ok()).flatten()?;
    Some((name.to_owned(), id.to_be_bytes(), *kind, key))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A key pair and a signed note from the documentation and tests of Go's
    /// `golang.org/x/mod/sumdb/note`.
    #[test]
    fn keys_have_the_forms_of_go() {
        let secret =
            "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";
        let public = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
        let key: SigningKey = secret.parse().unwrap();
        assert_eq!(key.to_secret(), secret);
        assert_eq!(key.public().to_string(), public);
        assert_eq!(public.parse::<VerifyingKey>().unwrap(), key.public());
        let text = "If you think cryptography is the answer to your problem,\n\
                    then you don't know what your problem is.\n";
        let note = "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=";
        let signature = key.pair.sign(text.as_bytes());
        let signed = [&key.public().id()[..], signature.as_ref()].concat();
        assert_eq!(BASE64_STANDARD.encode(signed), note);
        for wrong in [
            "",
            "PeterNeumann",
            "PeterNeumann+c74f20a4+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
            "Peter+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
            secret,
        ] {
            assert!(wrong.parse::<VerifyingKey>().is_err(), "{wrong}");
        }
        assert!(public.parse::<SigningKey>().is_err());
        assert!(SigningKey::generate("two words").is_err() && SigningKey::generate("a+b").is_err());
    }

    #[test]
    fn a_checkpoint_is_read_as_it_is_written_and_proves_who_signed_it() {
        let (key, other) = (SigningKey::generate("a").unwrap(), SigningKey::generate("a").unwrap());
        let checkpoint = Checkpoint::new(RunId::generate(), 18, [7; 32]).signed(&key);
        let text = checkpoint.to_string();
        let read: Checkpoint = text.parse().unwrap();
        assert_eq!(read, checkpoint);
        assert!(read.is_signed_by(&key.public()) && !read.is_signed_by(&other.public()));
        let key = key.public();
        // Every other body under the same signature is refused.
        for (from, to) in [("\n18\n", "\n17\n"), ("BwcH", "CAgI"), ("audit/0", "audit/1")] {
            let forged = text.replacen(from, to, 1);
            assert_ne!(forged, text, "{from}");
            let accepted = forged.parse::<Checkpoint>().is_ok_and(|c| c.is_signed_by(&key));
            assert!(!accepted, "{forged}");
        }
        for broken in
            ["", "x\n\n", &text.replacen("\n\n", "\nmore\n\n", 1), &text[..text.len() / 2]]
        {
            assert!(broken.parse::<Checkpoint>().is_err(), "{broken}");
        }
        let unsigned = Checkpoint::new(RunId::generate(), 0, [0; 32]);
        assert!(!unsigned.to_string().parse::<Checkpoint>().unwrap().is_signed_by(&key));
    }

    #[test]
    fn a_witness_signs_with_the_time() {
        let (writer, witness) =
            (SigningKey::generate("ci").unwrap(), SigningKey::generate("hub").unwrap());
        let signed = Checkpoint::new(RunId::generate(), 18, [7; 32]).signed(&writer);
        let cosigned = signed.clone().cosigned(&witness, 1_796_000_000);
        let text = cosigned.to_string();
        let read: Checkpoint = text.parse().unwrap();
        assert!(read.is_of_same_log(&signed) && read.is_signed_by(&writer.public()));
        let key: VerifyingKey = witness.as_witness().to_string().parse().unwrap();
        assert!(read.is_signed_by(&key) && !signed.is_signed_by(&key));
        // It is no signature of the log's writer, nor one of another time or another log.
        assert!(!read.is_signed_by(&witness.public()));
        let mut other_time = read.clone();
        other_time.signatures[1].bytes[11] ^= 1;
        assert!(!other_time.is_signed_by(&key));
        let forged: Checkpoint = text.replacen("\n18\n", "\n17\n", 1).parse().unwrap();
        assert!(!forged.is_signed_by(&key));
        assert!(witness.as_witness().to_string().parse::<SigningKey>().is_err());
    }
}
