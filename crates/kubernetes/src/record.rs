//! What is remembered of a release, as the one Secret that keeps it.
//!
//! What changes (state, times) stands in labels and annotations, where `kubectl get` shows it;
//! what does not (the objects) is compressed into the data. A Secret, not a ConfigMap, because a
//! release may hold Secrets.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::time::Duration;

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::error::{KubernetesError, KubernetesErrorKind};
use super::manifest::labels::{COMMIT, MANAGED_BY, MANAGER, RELEASE, RUN};
use super::manifest::{Manifest, ObjectId, Origin};
use super::origin::Repository;
use greenloop_config::plan::Rollback;
use greenloop_model::{CommitId, EnvironmentName, ImageRef, Release, ReleaseId, ReleaseState};

/// The Secret's type.
pub(super) const TYPE: &str = "greenloop.dev/release";
/// The label with the environment.
pub(super) const ENVIRONMENT: &str = "greenloop.dev/environment";
const STATE: &str = "greenloop.dev/state";
const IMAGE: &str = "greenloop.dev/image";
const CREATED: &str = "greenloop.dev/created-at";
const VERIFIED: &str = "greenloop.dev/verified-at";
const SINCE: &str = "greenloop.dev/serving-since";
const PREVIOUS: &str = "greenloop.dev/previous";
const ROLLBACK: &str = "greenloop.dev/rollback";
const FENCING: &str = "greenloop.dev/fencing";
const REASON: &str = "greenloop.dev/reason";
const STOPPED: &str = "greenloop.dev/stopped-at";
/// The annotations with the repository that the release comes from.
pub(super) const REPOSITORY: &str = "greenloop.dev/repository";
pub(super) const ROOT_COMMIT: &str = "greenloop.dev/root-commit";
/// The annotation with the path of the configuration in it.
pub(super) const CONFIGURATION: &str = "greenloop.dev/configuration";
const KEY: &str = "release.json.gz";

/// The most compressed bytes: a Secret holds one MiB, with everything around.
const LARGEST: usize = 1_000_000;
/// The most bytes that are unfolded.
const UNFOLDED: u64 = 64 << 20;
/// The form of the data.
const VERSION: u32 = 1;

/// What is remembered of a release.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Record {
    pub(super) release: Release,
    /// Since when it serves, for one that does.
    pub(super) since: Option<jiff::Timestamp>,
    /// The verified release that served when this one came.
    pub(super) previous: Option<ReleaseId>,
    /// Whether it may be rolled back.
    pub(super) rollback: Rollback,
    /// The fencing number under which it was made.
    pub(super) fencing: i64,
    /// Why it failed or was given up.
    pub(super) reason: Option<String>,
    /// When it was stopped on request, with nothing in its place.
    pub(super) stopped: Option<jiff::Timestamp>,
    /// Where it comes from; unknown in records of a version that did not keep that.
    pub(super) repository: Repository,
    pub(super) content: Content,
}

/// What does not change.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct Content {
    /// Its objects, as they were applied, in order.
    pub(super) objects: Vec<Value>,
    /// Objects that were not there before it.
    pub(super) created: Vec<ObjectId>,
    /// Objects that Greenloop has made, in this release and before it; empty in records of a
    /// version that did not keep that.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) made: Vec<ObjectId>,
    /// What served before the very first release, where Greenloop had made none yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) before: Vec<Value>,
    /// `namespace/configmap/web` with the hash of its content.
    pub(super) config: BTreeMap<String, String>,
    /// How long it was given to become ready.
    #[serde(rename = "wait_seconds", with = "seconds")]
    pub(super) wait: Duration,
}

#[derive(Serialize, Deserialize)]
struct Stored {
    version: u32,
    #[serde(flatten)]
    content: Content,
}

/// A time in whole seconds.
mod seconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(time: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(time.as_secs())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        u64::deserialize(from).map(Duration::from_secs)
    }
}

/// The environment's name where the API wants a DNS label: lower case, with a few digits of a
/// hash where that alone would not be unique.
pub(super) fn slug(environment: &EnvironmentName) -> String {
    let name = environment.as_str();
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if name.bytes().all(plain) && !name.ends_with('-') && name.len() <= 40 {
        return name.to_owned();
    }
    let lower: String = name
        .to_ascii_lowercase()
        .bytes()
        .map(|b| if plain(b) { char::from(b) } else { '-' })
        .take(30)
        .collect();
    let digest = Sha256::digest(name.as_bytes());
    let digits: String = digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    format!("{}-{digits}", lower.trim_matches('-'))
}

/// The Secret's name.
pub(super) fn name(slug: &str, release: ReleaseId) -> String {
    format!("greenloop-{slug}-{release}")
}

fn damaged(name: &str, what: &str) -> KubernetesError {
    let message = format!("the record of a release secret/{name} {what}");
    KubernetesError::new(KubernetesErrorKind::Record, message)
}

impl Record {
    pub(super) fn id(&self) -> ReleaseId {
        self.release.id
    }

    /// Whether its smoke tests have ever passed, and it was not found faulty afterwards.
    pub(super) fn is_good(&self) -> bool {
        self.release.verified_at.is_some() && self.release.state != ReleaseState::Failed
    }

    /// Its objects, as they were applied, in order.
    pub(super) fn objects(&self) -> Vec<Manifest> {
        self.manifests(&self.content.objects)
    }

    /// What served before the very first release.
    pub(super) fn objects_before(&self) -> Vec<Manifest> {
        self.manifests(&self.content.before)
    }

    fn manifests(&self, values: &[Value]) -> Vec<Manifest> {
        let origin = Origin { file: format!("release {}", self.id()), line: None };
        let values = values.iter().cloned();
        values.filter_map(|value| Manifest::new(value, origin.clone()).ok()).collect()
    }

    /// Whether it may be what serves.
    pub(super) fn serves(&self) -> bool {
        matches!(self.release.state, ReleaseState::Live | ReleaseState::Verified)
    }

    /// As it is kept; `None` as a version makes it new.
    ///
    /// # Errors
    /// When it is too large for a Secret.
    pub(super) fn encode(
        &self,
        namespace: &str,
        slug: &str,
        version: Option<String>,
    ) -> Result<Secret, KubernetesError> {
        let name = name(slug, self.id());
        let stored = Stored { version: VERSION, content: self.content.clone() };
        let packed =
            pack(&stored).map_err(|e| damaged(&name, "could not be created").because(e))?;
        if packed.len() > LARGEST {
            let message = format!(
                "the record of release {} would have {} KiB (compressed), but the Secret that \
                 stores it can hold at most {}: split the release, or keep large files out of \
                 ConfigMaps",
                self.id(),
                packed.len() / 1024,
                LARGEST / 1024
            );
            return Err(KubernetesError::new(KubernetesErrorKind::Manifest, message));
        }
        let release = &self.release;
        let labels = [
            (MANAGED_BY, MANAGER.to_owned()),
            (ENVIRONMENT, slug.to_owned()),
            (RELEASE, release.id.to_string()),
            (RUN, release.run.to_string()),
            (STATE, release.state.name().to_owned()),
        ];
        let rollback = match self.rollback {
            Rollback::Allowed => "allowed",
            Rollback::Forbidden => "forbidden",
        };
        let annotations = [
            (COMMIT, Some(release.commit.to_string())),
            (IMAGE, release.image.as_ref().map(ImageRef::to_string)),
            (CREATED, Some(release.created_at.to_string())),
            (VERIFIED, release.verified_at.map(|at| at.to_string())),
            (SINCE, self.since.map(|at| at.to_string())),
            (PREVIOUS, self.previous.map(|id| id.to_string())),
            (ROLLBACK, Some(rollback.to_owned())),
            (FENCING, Some(self.fencing.to_string())),
            (REASON, self.reason.clone()),
            (STOPPED, self.stopped.map(|at| at.to_string())),
            (REPOSITORY, self.repository.remote.clone()),
            (ROOT_COMMIT, self.repository.root.as_ref().map(ToString::to_string)),
            (CONFIGURATION, self.repository.configuration.clone()),
        ];
        Ok(Secret {
            metadata: ObjectMeta {
                name: Some(name),
                namespace: Some(namespace.to_owned()),
                resource_version: version,
                labels: Some(labels.map(|(key, value)| (key.to_owned(), value)).into()),
                annotations: Some(
                    annotations
                        .into_iter()
                        .filter_map(|(key, value)| Some((key.to_owned(), value?)))
                        .collect(),
                ),
                ..ObjectMeta::default()
            },
            type_: Some(TYPE.to_owned()),
            data: Some([(KEY.to_owned(), ByteString(packed))].into()),
            ..Secret::default()
        })
    }

    /// What a Secret says.
    ///
    /// # Errors
    /// When it is damaged, or made by a Greenloop that is newer.
    pub(super) fn decode(secret: &Secret) -> Result<Self, KubernetesError> {
        let name = secret.metadata.name.as_deref().unwrap_or_default();
        let labels = secret.metadata.labels.as_ref();
        let annotations = secret.metadata.annotations.as_ref();
        let text = |key: &str| {
            let value = labels.and_then(|l| l.get(key)).or(annotations.and_then(|a| a.get(key)));
            value.map(String::as_str)
        };
        fn parsed<T: std::str::FromStr>(
            name: &str,
            key: &str,
            text: Option<&str>,
        ) -> Result<T, KubernetesError> {
            text.and_then(|text| text.parse().ok())
                .ok_or_else(|| damaged(name, &format!("has no usable {key}")))
        }
        let state = text(STATE).and_then(|name| serde_json::from_value(name.into()).ok());
        let packed = secret.data.as_ref().and_then(|data| data.get(KEY));
        let packed = packed.ok_or_else(|| damaged(name, "has no content"))?;
        let stored =
            unpack(&packed.0).map_err(|e| damaged(name, "could not be read").because(e))?;
        if stored.version > VERSION {
            return Err(damaged(name, "was written by a newer Greenloop"));
        }
        let time = |key: &str| text(key).and_then(|text| text.parse().ok());
        Ok(Self {
            release: Release {
                id: parsed(name, RELEASE, text(RELEASE))?,
                commit: parsed::<CommitId>(name, COMMIT, text(COMMIT))?,
                run: parsed(name, RUN, text(RUN))?,
                image: text(IMAGE).and_then(ImageRef::parse),
                state: state.ok_or_else(|| damaged(name, &format!("has no usable {STATE}")))?,
                created_at: parsed(name, CREATED, text(CREATED))?,
                verified_at: time(VERIFIED),
            },
            since: time(SINCE),
            previous: text(PREVIOUS).and_then(|text| text.parse().ok()),
            rollback: match text(ROLLBACK) {
                Some("forbidden") => Rollback::Forbidden,
                _ => Rollback::Allowed,
            },
            fencing: text(FENCING).and_then(|text| text.parse().ok()).unwrap_or(0),
            reason: text(REASON).map(str::to_owned),
            stopped: time(STOPPED),
            repository: Repository {
                root: text(ROOT_COMMIT).and_then(|text| text.parse().ok()),
                remote: text(REPOSITORY).map(str::to_owned),
                configuration: text(CONFIGURATION).map(str::to_owned),
            },
            content: stored.content,
        })
    }
}

fn pack(stored: &Stored) -> std::io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    serde_json::to_writer(&mut encoder, stored)?;
    encoder.flush()?;
    encoder.finish()
}

fn unpack(packed: &[u8]) -> std::io::Result<Stored> {
    let mut text = Vec::new();
    GzDecoder::new(packed).take(UNFOLDED).read_to_end(&mut text)?;
    Ok(serde_json::from_slice(&text)?)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use greenloop_model::RunId;

    fn record() -> Record {
        let at: jiff::Timestamp = "2026-11-21T06:30:00.25Z".parse().unwrap();
        Record {
            release: Release {
                id: ReleaseId::generate(),
                commit: "0123456789abcdef0123456789abcdef01234567".parse().unwrap(),
                run: RunId::generate(),
                image: ImageRef::new("acr.io/fleet", &format!("sha256:{}", "ab".repeat(32))),
                state: ReleaseState::Verified,
                created_at: at,
                verified_at: Some(at),
            },
            since: Some(at),
            previous: Some(ReleaseId::generate()),
            rollback: Rollback::Forbidden,
            fencing: 7,
            reason: None,
            stopped: Some(at),
            repository: Repository::new(
                "ab".repeat(20).parse().ok(),
                Some("https://example.com/fleet/api.git"),
            ),
            content: Content {
                objects: vec![json!({"kind": "ConfigMap", "data": {"b": "1", "a": "ä"}})],
                created: vec![ObjectId {
                    api_version: "v1".to_owned(),
                    kind: "ConfigMap".to_owned(),
                    namespace: Some("shop".to_owned()),
                    name: "web".to_owned(),
                }],
                made: vec![ObjectId {
                    api_version: "apps/v1".to_owned(),
                    kind: "Deployment".to_owned(),
                    namespace: Some("shop".to_owned()),
                    name: "web".to_owned(),
                }],
                before: vec![],
                config: BTreeMap::from([("shop/configmap/web".to_owned(), "00".to_owned())]),
                wait: Duration::from_secs(300),
            },
        }
    }

    #[test]
    fn records_round_trip() {
        let record = record();
        let secret = record.encode("shop", "staging", None).unwrap();
        assert_eq!(secret.type_.as_deref(), Some(TYPE));
        assert_eq!(Record::decode(&secret).unwrap(), record);
        // Labels have a grammar of their own.
        for value in secret.metadata.labels.unwrap().values() {
            assert!(value.len() <= 63 && !value.contains([':', '/', '@']), "{value}");
        }
    }

    #[test]
    fn what_is_damaged_or_too_large_says_so() {
        let mut secret = record().encode("shop", "staging", None).unwrap();
        secret.data = Some([(KEY.to_owned(), ByteString(vec![1, 2, 3]))].into());
        assert!(Record::decode(&secret).unwrap_err().message.ends_with("could not be read"));
        secret.data = None;
        assert!(Record::decode(&secret).unwrap_err().message.ends_with("has no content"));

        let mut large = record();
        // Noise, which does not compress.
        let mut seed = 1u32;
        let noise: String = std::iter::repeat_with(|| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            char::from(b'!' + u8::try_from(seed >> 24).unwrap() % 90)
        })
        .take(1_600_000)
        .collect();
        large.content.objects = vec![json!({"data": noise})];
        let error = large.encode("shop", "staging", None).unwrap_err();
        assert!(error.message.contains("stores it can hold at most 976"), "{}", error.message);
    }

    #[test]
    fn environments_become_dns_labels() {
        for (name, expect) in [
            ("staging", "staging"),
            ("prod-eu", "prod-eu"),
            ("Prod_EU.1", "prod-eu-1-"),
            ("a-", "a-"),
        ] {
            let slug = slug(&name.parse().unwrap());
            assert!(slug.starts_with(expect), "{slug}");
            assert!(slug.len() <= 40 && !slug.ends_with('-'), "{slug}");
        }
        let of = |name: &str| slug(&name.parse().unwrap());
        assert_ne!(of("Prod"), of("pROD"));
    }
}
