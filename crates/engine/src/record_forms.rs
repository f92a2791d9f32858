//! Forms of single fields in the records of the machine, for `#[serde(with = …)]`.

use serde::Serialize;

use greenloop_model::StopReason;

/// The kind of a stop reason as its record has it: `max_iterations`.
pub(super) fn stop_word(reason: &StopReason) -> String {
    let record = serde_json::to_value(reason).unwrap_or_default();
    record.get("kind").and_then(serde_json::Value::as_str).unwrap_or_default().to_owned()
}

/// `{"stop": "verified", "reason": "…"}`
pub(super) fn stop<S: serde::Serializer>(
    reason: &StopReason,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Stop {
        stop: String,
        reason: String,
    }
    Stop { stop: stop_word(reason), reason: reason.to_string() }.serialize(serializer)
}

/// A value under the key `failure`.
pub(super) mod failure {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    struct Keyed<T> {
        failure: T,
    }

    pub(crate) fn serialize<T: Serialize, S: Serializer>(
        failure: &T,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        Keyed { failure }.serialize(serializer)
    }

    pub(crate) fn deserialize<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<T, D::Error> {
        Ok(Keyed::deserialize(deserializer)?.failure)
    }
}

/// A verdict as `true` where it approves.
pub(super) mod approved {
    use serde::{Deserialize, Deserializer, Serializer};

    use greenloop_model::ReviewVerdict;

    pub(crate) fn serialize<S: Serializer>(
        verdict: &ReviewVerdict,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_bool(*verdict == ReviewVerdict::Approve)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<ReviewVerdict, D::Error> {
        let approved = bool::deserialize(deserializer)?;
        Ok(if approved { ReviewVerdict::Approve } else { ReviewVerdict::Reject })
    }
}
