//! How often somebody may ask: token buckets, one a caller.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Callers that are remembered at most; those with a full bucket need not be.
const MOST: usize = 10_000;

/// A bucket for each caller.
#[derive(Debug)]
pub(super) struct Limits<K> {
    /// Per second.
    rate: f64,
    burst: f64,
    buckets: Mutex<HashMap<K, Bucket>>,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    left: f64,
    at: Instant,
}

impl<K: Eq + Hash> Limits<K> {
    /// `rate` a second over time, `burst` at once. A rate of 0 is no limit.
    pub(super) fn new(rate: u32, burst: u32) -> Self {
        Self {
            rate: f64::from(rate),
            burst: f64::from(burst.max(1)),
            buckets: Mutex::new(HashMap::new()),
        }
    }

    /// Takes one; how long to wait when there is none.
    pub(super) fn take(&self, caller: K, now: Instant) -> Result<(), Duration> {
        self.spend(caller, now, 1.0)
    }

    /// Whether there is one, without taking it.
    pub(super) fn look(&self, caller: K, now: Instant) -> Result<(), Duration> {
        self.spend(caller, now, 0.0)
    }

    fn spend(&self, caller: K, now: Instant, cost: f64) -> Result<(), Duration> {
        if self.rate <= 0.0 {
            return Ok(());
        }
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= MOST && !buckets.contains_key(&caller) {
            buckets.retain(|_, it| it.refilled(now, self.rate, self.burst).left < self.burst);
            if buckets.len() >= MOST {
                // A flood of names: they share their fate until some are forgotten.
                return Err(Duration::from_secs(1));
            }
        }
        let full = Bucket { left: self.burst, at: now };
        let bucket = buckets.entry(caller).or_insert(full);
        *bucket = bucket.refilled(now, self.rate, self.burst);
        if bucket.left >= 1.0 {
            bucket.left -= cost;
            Ok(())
        } else {
            Err(Duration::from_secs_f64((1.0 - bucket.left) / self.rate))
        }
    }
}

impl Bucket {
    fn refilled(self, now: Instant, rate: f64, burst: f64) -> Self {
        let since = now.saturating_duration_since(self.at).as_secs_f64();
        Self { left: (self.left + since * rate).min(burst), at: now }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_let_through_and_then_the_rate() {
        let (limits, start) = (Limits::new(10, 3), Instant::now());
        for _ in 0..3 {
            limits.take("a", start).unwrap();
        }
        let wait = limits.take("a", start).unwrap_err();
        assert!(wait <= Duration::from_millis(100), "{wait:?}");
        limits.take("b", start).unwrap();
        limits.take("a", start + wait).unwrap();
        limits.take("a", start + wait).unwrap_err();
    }

    #[test]
    fn looking_costs_nothing() {
        let (limits, start) = (Limits::new(1, 1), Instant::now());
        limits.look("a", start).unwrap();
        limits.take("a", start).unwrap();
        limits.look("a", start).unwrap_err();
    }

    #[test]
    fn many_names_do_not_fill_the_memory() {
        let (limits, start) = (Limits::new(1, 2), Instant::now());
        for name in 0..3 * MOST {
            let _refused_from_some_point = limits.take(name, start);
        }
        assert!(limits.buckets.lock().unwrap().len() <= MOST);
        limits.take(4 * MOST, start + Duration::from_secs(10)).unwrap();
    }

    #[test]
    fn a_rate_of_nothing_is_no_limit() {
        let limits = Limits::new(0, 1);
        for _ in 0..1000 {
            limits.take((), Instant::now()).unwrap();
        }
    }
}
