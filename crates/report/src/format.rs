//! Times, counts and money as people read them.

use std::time::Duration;

use greenloop_model::{RunSummary, Usage};

/// `12ms`, `0.3s`, `12.4s`, `3m 05s`, `1h 02m`.
pub(super) fn duration(time: Duration) -> String {
    if time.as_millis() < 100 {
        return format!("{}ms", time.as_millis());
    }
    let tenths = (time.as_millis() + 50) / 100;
    let seconds = (time.as_millis() + 500) / 1000;
    match seconds {
        _ if tenths < 600 => format!("{}.{}s", tenths / 10, tenths % 10),
        0..3600 => format!("{}m {:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h {:02}m", seconds / 3600, seconds % 3600 / 60),
    }
}

/// `512 B`, `12.0 MiB`, `1.5 GiB`
pub(super) fn bytes(n: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let (mut whole, mut tenths, mut unit) = (n, 0, 0);
    while whole >= 1024 && unit + 1 < UNITS.len() {
        tenths = whole % 1024 * 10 / 1024;
        whole /= 1024;
        unit += 1;
    }
    let name = UNITS.get(unit).copied().unwrap_or("B");
    if unit == 0 { format!("{n} B") } else { format!("{whole}.{tenths} {name}") }
}

/// `12.0 MiB of 48.0 MiB (25%)`, or `12.0 MiB` when the whole is not known.
pub(super) fn progress(done: u64, total: Option<u64>) -> String {
    match total.filter(|total| *total > 0) {
        None => bytes(done),
        Some(total) => {
            let percent = u128::from(done) * 100 / u128::from(total);
            format!("{} of {} ({}%)", bytes(done), bytes(total), percent.min(100))
        }
    }
}

/// `12,345`
pub(super) fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `1 patch`, `2 patches`
pub(super) fn counted(n: u64, one: &str, many: &str) -> String {
    format!("{} {}", count(n), if n == 1 { one } else { many })
}

/// What each model used, where there were several.
pub(super) fn usage_by_model(summary: &RunSummary) -> Vec<(&str, String)> {
    let several = summary.models.len() > 1;
    let models = summary.models.iter().filter(|_| several);
    models.map(|used| (used.model.as_str(), usage(&used.usage))).collect()
}

/// `6 requests · 12,345 tokens (9,000 cached) · $0.0123`; without the money where no price is
/// configured.
pub(super) fn usage(usage: &Usage) -> String {
    let mut text = format!(
        "{} · {}",
        counted(usage.requests.into(), "request", "requests"),
        counted(usage.tokens(), "token", "tokens")
    );
    if usage.cached_tokens > 0 {
        text.push_str(&format!(" ({} cached)", count(usage.cached_tokens)));
    }
    if usage.cost_usd > 0.0 {
        text.push_str(&format!(" · ${:.4}", usage.cost_usd));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_well() {
        for (millis, expect) in [
            (0, "0ms"),
            (99, "99ms"),
            (340, "0.3s"),
            (12_440, "12.4s"),
            (59_949, "59.9s"),
            (59_990, "1m 00s"),
            (185_000, "3m 05s"),
            (3_725_000, "1h 02m"),
        ] {
            assert_eq!(duration(Duration::from_millis(millis)), expect);
        }
    }

    #[test]
    fn counts_are_grouped() {
        for (n, expect) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(count(n), expect);
        }
        assert_eq!(counted(1, "patch", "patches"), "1 patch");
    }
}
