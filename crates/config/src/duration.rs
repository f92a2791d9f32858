//! Lengths of time as people write them: `500ms`, `30s`, `5m`, `1h30m`, `0.5`.

use std::time::Duration;

/// A week: more than any stage could want, and far from every overflow.
pub(super) const LONGEST: Duration = Duration::from_secs(7 * 24 * 60 * 60);

const UNITS: &[(&str, f64)] =
    &[("ms", 0.001), ("s", 1.0), ("m", 60.0), ("h", 3600.0), ("d", 86_400.0)];

/// `None` for what is not a length of time, or is negative or longer than [`LONGEST`].
pub fn parse(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    if rest.is_empty() {
        return None;
    }
    if let Ok(seconds) = rest.parse::<f64>() {
        return from_seconds(seconds);
    }
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let amount: f64 = rest[..digits].parse().ok()?;
        rest = rest[digits..].trim_start();
        let letters = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
        let (_, factor) = UNITS.iter().find(|(unit, _)| *unit == &rest[..letters])?;
        seconds += amount * factor;
        rest = rest[letters..].trim_start();
    }
    from_seconds(seconds)
}

pub fn from_seconds(seconds: f64) -> Option<Duration> {
    Duration::try_from_secs_f64(seconds).ok().filter(|d| *d <= LONGEST)
}

/// The shortest way to write it that [`parse`] reads back.
pub(super) fn render(duration: Duration) -> String {
    let ms = duration.as_millis();
    match ms {
        0 => "0s".to_owned(),
        _ if !ms.is_multiple_of(1000) => format!("{ms}ms"),
        _ if ms.is_multiple_of(3_600_000) => format!("{}h", ms / 3_600_000),
        _ if ms.is_multiple_of(60_000) => format!("{}m", ms / 60_000),
        _ => format!("{}s", ms / 1000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_people_write() {
        for (text, expect) in [
            ("30", Some(30_000)),
            ("0.5", Some(500)),
            ("500ms", Some(500)),
            ("30s", Some(30_000)),
            (" 5 m ", Some(300_000)),
            ("1h30m", Some(5_400_000)),
            ("1.5h", Some(5_400_000)),
            ("", None),
            ("soon", None),
            ("-3", None),
            ("5 minutes", None),
            ("3m5", None),
            ("30d", None),
            ("NaN", None),
            ("inf", None),
            ("1e300", None),
        ] {
            assert_eq!(parse(text), expect.map(Duration::from_millis), "{text:?}");
        }
    }

    #[test]
    fn what_is_rendered_reads_back() {
        for ms in [0, 1, 500, 1000, 1500, 60_000, 90_000, 3_600_000, 5_400_000] {
            let duration = Duration::from_millis(ms);
            assert_eq!(parse(&render(duration)), Some(duration), "{ms}");
        }
    }
}
