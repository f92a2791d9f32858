//! What an admission controller meant. The API has one code for all of them (403 `Forbidden`)
//! and no field that tells a full quota from a rule, so this one table reads the words.

use super::error::KubernetesErrorKind;

/// Words of the ResourceQuota controller (`plugin/pkg/admission/resourcequota`).
const QUOTA: &[&str] = &["exceeded quota:", "exceeded hierarchical quota:"];

/// The kind of a denial that is not the authorizer's.
pub(super) fn kind_of(message: &str) -> KubernetesErrorKind {
    if QUOTA.iter().any(|words| message.contains(words)) {
        KubernetesErrorKind::Quota
    } else {
        KubernetesErrorKind::Denied
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_quota_is_told_from_a_rule() {
        for (message, expect) in [
            (
                "persistentvolumeclaims \"data\" is forbidden: exceeded quota: storage, requested: \
                 requests.storage=10Gi, used: requests.storage=95Gi, limited: \
                 requests.storage=100Gi",
                KubernetesErrorKind::Quota,
            ),
            (
                "pods \"web\" is forbidden: violates PodSecurity \"restricted:latest\": \
                 runAsNonRoot != true",
                KubernetesErrorKind::Denied,
            ),
            (
                "admission webhook \"policy.example.org\" denied the request: no owner label",
                KubernetesErrorKind::Denied,
            ),
        ] {
            assert_eq!(kind_of(message), expect, "{message}");
        }
    }
}
