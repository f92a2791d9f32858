//! Numbers and times, as people read them.

/// `2 d 3 h`, `1 h 05 min`, `3 min 20 s`, `12.5 s`
pub(super) fn duration(seconds: f64) -> String {
    if seconds < 60.0 {
        return format!("{} s", trimmed(seconds, 1));
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not negative")]
    let whole = seconds.round() as u64;
    let (days, hours) = (whole / 86_400, whole / 3_600 % 24);
    let (minutes, rest) = (whole / 60 % 60, whole % 60);
    match (days, hours) {
        (0, 0) => format!("{minutes} min {rest:02} s"),
        (0, _) => format!("{hours} h {minutes:02} min"),
        _ => format!("{days} d {hours} h"),
    }
}

/// At most so many decimals, no more than it needs.
pub(super) fn trimmed(number: f64, decimals: usize) -> String {
    let text = format!("{number:.decimals$}");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

pub(super) fn hours(hours: f64) -> String {
    format!("{} h", trimmed(hours, 2))
}

pub(super) fn counted(number: u64, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{} {what}s", grouped(number)) }
}

/// Whether a character reorders those around it: a text could show as another one.
pub(super) const fn is_bidi(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// `12,345`
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (nth, digit) in digits.chars().enumerate() {
        if nth > 0 && (digits.len() - nth).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_numbers_are_short() {
        for (seconds, expect) in [
            (0.0, "0 s"),
            (0.25, "0.2 s"),
            (12.0, "12 s"),
            (59.99, "60 s"),
            (200.0, "3 min 20 s"),
            (3_900.0, "1 h 05 min"),
            (183_600.0, "2 d 3 h"),
        ] {
            assert_eq!(duration(seconds), expect, "{seconds}");
        }
        assert_eq!(trimmed(100.0, 0), "100");
        assert_eq!((hours(1.5), hours(40.0)), ("1.5 h".to_owned(), "40 h".to_owned()));
        assert_eq!((grouped(999), grouped(1_234_567)), ("999".to_owned(), "1,234,567".to_owned()));
        assert_eq!(
            (counted(1, "task"), counted(1_000, "task")),
            ("1 task".into(), "1,000 tasks".into())
        );
    }
}
