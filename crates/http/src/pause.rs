//! How long to wait before asking again.

use std::time::Duration;

use http::HeaderMap;

/// The longest pause, whatever a server asks for: a deployment waits for it.
const LONGEST: Duration = Duration::from_secs(60);

/// Exponential back-off with jitter.
#[derive(Debug, Clone, Copy)]
pub struct Backoff {
    /// The first pause, on average.
    pub first: Duration,
    /// The longest pause, on average, when the server does not say how long.
    pub longest: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { first: Duration::from_millis(500), longest: Duration::from_secs(20) }
    }
}

impl Backoff {
    /// The pause before the retry after `retries` earlier ones: what the server asked for, at
    /// least, up to a minute; else half to one and a half times the doubling step, so that many
    /// clients do not come back at once.
    pub fn pause(&self, retries: u32, asked: Option<Duration>) -> Duration {
        let step = self.first.saturating_mul(2u32.saturating_pow(retries.min(16)));
        let jittered = step.min(self.longest).mul_f64(0.5 + random());
        match asked {
            // A little is added even here: the others were told the same second.
            Some(asked) => (asked + jittered.mul_f64(0.1)).min(LONGEST),
            None => jittered,
        }
    }
}

/// Between 0 and 1.
fn random() -> f64 {
    let random = uuid::Uuid::new_v4().as_u128() as u32;
    f64::from(random) / f64::from(u32::MAX)
}

/// What the response asks for: `retry-after-ms`, or `retry-after` in seconds or as a date.
pub fn asked_for(headers: &HeaderMap, now: jiff::Timestamp) -> Option<Duration> {
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
                asked_for(&headers, now),
                expect.map(Duration::from_millis),
                "{name}: {value}"
            );
        }
    }

    #[test]
    fn pauses_grow_are_jittered_and_capped() {
        let backoff = Backoff::default();
        let millis = |retries, asked| backoff.pause(retries, asked).as_millis();
        for _ in 0..200 {
            assert!((250..=750).contains(&millis(0, None)));
            assert!((1_000..=3_000).contains(&millis(2, None)));
            assert!((10_000..=30_000).contains(&millis(40, None)));
            let asked = millis(0, Some(Duration::from_secs(5)));
            assert!((5_000..=5_100).contains(&asked), "{asked}");
            assert_eq!(millis(0, Some(Duration::from_secs(3600))), 60_000);
        }
        let first = millis(0, None);
        assert!((0..200).any(|_| millis(0, None) != first), "no jitter");
    }
}
