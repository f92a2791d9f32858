//! How long to wait before asking again: one policy, whose figures each caller chooses.

use std::time::Duration;

pub use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder, Retryable};
use http::HeaderMap;

/// The longest pause before a retry, whatever the server asks for: a deployment waits for it.
pub const LONGEST: Duration = Duration::from_secs(60);

/// For a request to a service: four retries in about ten seconds.
pub const RETRY: ExponentialBuilder =
    backoff(Duration::from_millis(350), Duration::from_secs(15)).with_max_times(4);

/// Delays that double from `first` to `longest`, without an end. Each is lengthened at random, by
/// up to as much again, so that many clients do not come back at once.
pub const fn backoff(first: Duration, longest: Duration) -> ExponentialBuilder {
    ExponentialBuilder::new()
        .with_min_delay(first)
        .with_max_delay(longest)
        .without_max_times()
        .with_jitter()
}

/// The delay before retry `n`, from 0: `first`, doubled `n` times, at most `longest`; nothing random.
pub fn nth_delay(first: Duration, longest: Duration, n: u32) -> Duration {
    // More doublings than this exceed any limit.
    const MOST_DOUBLINGS: u32 = 32;
    let delays = ExponentialBuilder::new().with_min_delay(first).with_max_delay(longest);
    let mut delays = delays.without_max_times().build();
    delays.nth(n.min(MOST_DOUBLINGS) as usize).map_or(longest, |delay| delay.min(longest))
}

/// `delay`, or what the server asked for, up to a minute. A little is added even then: the others
/// were told the same second.
pub fn delay(delay: Duration, asked: Option<Duration>) -> Duration {
    asked.map_or(delay, |asked| asked.saturating_add(delay.mul_f64(0.1)).min(LONGEST))
}

/// How long all pauses of a policy together may be; of one without an end, those of an hour.
pub(crate) fn longest_in_all(retry: ExponentialBuilder) -> Duration {
    const MOST: usize = 60;
    retry.build().take(MOST).map(|_delay| LONGEST).sum()
}

/// What the response asks for: `retry-after-ms`, or `retry-after` in seconds or as a date.
pub fn retry_after(headers: &HeaderMap, now: jiff::Timestamp) -> Option<Duration> {
    let header = |name: &str| headers.get(name).and_then(|v| v.to_str().ok()).map(str::trim);
    if let Some(millis) = header("retry-after-ms").and_then(|v| v.parse::<f64>().ok()) {
        return Duration::try_from_secs_f64(millis / 1000.0).ok();
    }
    let value = header("retry-after")?;
    if let Ok(seconds) = value.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    let date = jiff::fmt::rfc2822::parse(value).ok()?.timestamp();
    Some(Duration::try_from(date.duration_since(now)).unwrap_or(Duration::ZERO))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_longest() {
        let (first, longest) = (Duration::from_secs(2), Duration::from_secs(15));
        for (n, seconds) in [(0, 2), (1, 4), (2, 8), (3, 15), (4, 15), (u32::MAX, 15)] {
            assert_eq!(nth_delay(first, longest, n), Duration::from_secs(seconds), "{n}");
        }
        assert_eq!(nth_delay(longest, first, 0), first);
    }

    #[test]
    fn retry_after_in_all_its_forms() {
        let now: jiff::Timestamp = "2026-11-06T08:49:30Z".parse().unwrap();
        for (name, value, expect) in [
            ("retry-after", "7", Some(7_000)),
            ("retry-after", " 0.5 ", Some(500)),
            ("retry-after", "Fri, 06 Nov 2026 08:49:37 GMT", Some(7_000)),
            ("retry-after", "Fri, 06 Nov 2026 08:00:00 GMT", Some(0)),
            ("retry-after", "soon", None),
            ("retry-after", "-3", None),
            ("retry-after-ms", "250", Some(250)),
            ("x-other", "1", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(name, value.parse().unwrap());
            assert_eq!(
                retry_after(&headers, now),
                expect.map(Duration::from_millis),
                "{name}: {value}"
            );
        }
    }

    #[test]
    fn delays_grow_are_jittered_and_capped() {
        let policy = backoff(Duration::from_millis(500), Duration::from_secs(20));
        let nth = |n| policy.build().nth(n).unwrap().as_millis();
        for _ in 0..200 {
            assert!((500..=1_000).contains(&nth(0)));
            assert!((2_000..=4_000).contains(&nth(2)));
            assert!((20_000..=40_000).contains(&nth(40)));
        }
        let first = nth(0);
        assert!((0..200).any(|_| nth(0) != first), "no jitter");
        assert_eq!(RETRY.build().count(), 4);
        let second = Duration::from_secs(1);
        assert_eq!(delay(second, None), second);
        assert_eq!(delay(second, Some(5 * second)), Duration::from_millis(5_100));
        assert_eq!(delay(second, Some(3_600 * second)), 60 * second);
        assert_eq!(delay(second, Some(Duration::MAX)), 60 * second);
    }
}
