//! Refusals of the API server that pass by themselves: what it asks is not there yet, or what it
//! counts will be given back. Like `admission_error`, this reads words, for the API has no field for them.

use super::error::{KubernetesError, KubernetesErrorKind};

/// What a refusal waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TransientRefusal {
    /// An admission or conversion webhook does not answer.
    Webhook,
    /// The namespace's quota is used up.
    Quota,
}

/// How the API server begins when it could not ask a webhook
/// (`k8s.io/apiserver/pkg/admission/plugin/webhook/errors`), and a conversion webhook
/// (`apiextensions-apiserver`).
const WEBHOOK: &[&str] =
    &["failed calling webhook", "failed to call webhook", "conversion webhook for"];
/// A webhook that answers something wrong is not one that is not there yet.
const ANSWERED: &[&str] = &["invalid admission response", "expected webhook response"];

/// What the refusal waits for, if it passes.
pub(super) fn transient_refusal(error: &KubernetesError) -> Option<TransientRefusal> {
    let says = |words: &&str| error.message.contains(*words);
    match error.kind {
        KubernetesErrorKind::Quota => Some(TransientRefusal::Quota),
        KubernetesErrorKind::Unreachable | KubernetesErrorKind::Manifest
            if WEBHOOK.iter().any(says) && !ANSWERED.iter().any(says) =>
        {
            Some(TransientRefusal::Webhook)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_is_told_from_what_does_not() {
        use KubernetesErrorKind as Kind;
        for (kind, message, expect) in [
            (
                Kind::Unreachable,
                "could not apply deployment/web: Internal error occurred: failed calling webhook \
                 \"validate.policy.example\": failed to call webhook: Post \
                 \"https://policy.shop.svc:443/validate?timeout=10s\": dial tcp 10.96.3.4:443: \
                 connect: connection refused",
                Some(TransientRefusal::Webhook),
            ),
            (
                Kind::Unreachable,
                "Internal error occurred: failed calling webhook \"webhook.cert-manager.io\": \
                 failed to call webhook: Post \"https://cert-manager-webhook.cert-manager.svc:443/\
                 validate?timeout=30s\": no endpoints available for service \
                 \"cert-manager-webhook\"",
                Some(TransientRefusal::Webhook),
            ),
            (
                Kind::Unreachable,
                "conversion webhook for example.org/v1, Kind=Widget failed: Post \
                 \"https://widgets.shop.svc:443/convert?timeout=30s\": dial tcp: connect: \
                 connection refused",
                Some(TransientRefusal::Webhook),
            ),
            (Kind::Quota, "forbidden: exceeded quota: pods", Some(TransientRefusal::Quota)),
            (
                Kind::Denied,
                "admission webhook \"policy.example.org\" denied the request: no owner label",
                None,
            ),
            (
                Kind::Unreachable,
                "failed calling webhook \"a\": invalid admission response: no uid",
                None,
            ),
            (Kind::Unreachable, "etcdserver: request timed out", None),
        ] {
            let error = KubernetesError::new(kind, message);
            assert_eq!(transient_refusal(&error), expect, "{message}");
        }
    }
}
