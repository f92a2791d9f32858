//! What a `Lease` says: who holds it, whether it has expired, and its fencing number.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};

use crate::manifest::labels::{MANAGED_BY, MANAGER};
use greenloop_model::RunId;

/// How long a Lease is valid without a renewal.
pub(super) const DURATION: Duration = Duration::from_secs(15);
/// By how much another machine's clock may be wrong.
const SKEW: Duration = Duration::from_secs(5);
/// The fencing number, as an annotation of the Lease.
const FENCING: &str = "greenloop.dev/fencing";

pub(super) fn is_holder(lease: &Lease, run: RunId) -> bool {
    holder(lease).is_some_and(|holder| holder == run.to_string())
}

/// Who holds it; a Lease that was given back has nobody's name.
pub(super) fn holder(lease: &Lease) -> Option<&str> {
    let holder = lease.spec.as_ref()?.holder_identity.as_deref()?;
    (!holder.is_empty()).then_some(holder)
}

/// Whether nobody renewed it for too long, as this machine's clock has it.
pub(super) fn has_expired(lease: &Lease, now: jiff::Timestamp) -> bool {
    let Some(spec) = &lease.spec else { return true };
    let Some(renewed) = &spec.renew_time else { return true };
    let valid = spec.lease_duration_seconds.and_then(|s| u64::try_from(s).ok());
    let valid = valid.map_or(DURATION, Duration::from_secs);
    let age = now.duration_since(renewed.0);
    age > jiff::SignedDuration::try_from(valid + SKEW).unwrap_or(jiff::SignedDuration::MAX)
}

pub(super) fn transitions(lease: &Lease) -> i64 {
    let counted = lease.spec.as_ref().and_then(|spec| spec.lease_transitions).unwrap_or(0);
    let annotations = lease.metadata.annotations.as_ref();
    let noted = annotations.and_then(|a| a.get(FENCING)).and_then(|text| text.parse().ok());
    noted.unwrap_or(0).max(i64::from(counted))
}

/// `run 0193… since 2026-11-21 06:30:00Z`
pub(super) fn in_words(lease: &Lease) -> String {
    let Some(holder) = holder(lease) else {
        return "another run, which has released it since".to_owned();
    };
    match lease.spec.as_ref().and_then(|spec| spec.acquire_time.as_ref()) {
        Some(since) => format!("run {holder} since {}", since.0.strftime("%Y-%m-%d %H:%M:%SZ")),
        None => format!("run {holder}"),
    }
}

pub(super) fn fresh(name: &str, namespace: &str, run: RunId, floor: i64) -> Lease {
    let lease = Lease {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            namespace: Some(namespace.to_owned()),
            labels: Some([(MANAGED_BY.to_owned(), MANAGER.to_owned())].into()),
            ..ObjectMeta::default()
        },
        spec: None,
    };
    taken_over(lease, run, floor)
}

/// The Lease as `run` takes it. One that is taken again by its own holder keeps its time and
/// gets a new number all the same: an earlier process of the run may still be about to write.
pub(super) fn taken_over(mut lease: Lease, run: RunId, floor: i64) -> Lease {
    let now = MicroTime(jiff::Timestamp::now());
    let number = transitions(&lease).max(floor) + 1;
    let kept = lease.spec.as_ref().filter(|_| is_holder(&lease, run));
    let since = kept.and_then(|spec| spec.acquire_time.clone()).unwrap_or_else(|| now.clone());
    let annotations = lease.metadata.annotations.get_or_insert_default();
    annotations.insert(FENCING.to_owned(), number.to_string());
    lease.metadata.managed_fields = None;
    lease.spec = Some(LeaseSpec {
        holder_identity: Some(run.to_string()),
        lease_duration_seconds: i32::try_from(DURATION.as_secs()).ok(),
        acquire_time: Some(since),
        renew_time: Some(now),
        lease_transitions: i32::try_from(number).ok(),
        ..LeaseSpec::default()
    });
    lease
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_expires_by_its_renewal_with_tolerance() {
        let now = jiff::Timestamp::now();
        for (age, expect) in [(0, false), (14, false), (19, false), (21, true), (3_600, true)] {
            let mut lease = fresh("l", "n", RunId::generate(), 0);
            let renewed = now - jiff::SignedDuration::from_secs(age);
            lease.spec.as_mut().unwrap().renew_time = Some(MicroTime(renewed));
            assert_eq!(has_expired(&lease, now), expect, "{age}");
        }
        // One that was given back is nobody's, whatever its times.
        let mut lease = fresh("l", "n", RunId::generate(), 0);
        lease.spec.as_mut().unwrap().holder_identity = Some(String::new());
        assert_eq!(holder(&lease), None);
    }

    #[test]
    fn every_taking_has_a_greater_number() {
        let (first, second) = (RunId::generate(), RunId::generate());
        let lease = fresh("l", "n", first, 0);
        assert_eq!(transitions(&lease), 1);
        let since = lease.spec.as_ref().unwrap().acquire_time.clone();
        let again = taken_over(lease, first, 0);
        assert_eq!(transitions(&again), 2);
        assert_eq!(again.spec.as_ref().unwrap().acquire_time, since);
        let other = taken_over(again, second, 0);
        assert_eq!(transitions(&other), 3);
        assert!(is_holder(&other, second) && !is_holder(&other, first));
        assert_ne!(other.spec.as_ref().unwrap().acquire_time, since);
        // One that was deleted goes on where the records have come to.
        assert_eq!(transitions(&fresh("l", "n", first, 41)), 42);
    }
}
