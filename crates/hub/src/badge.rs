//! Badges: a word and a state as a small SVG picture that needs nothing else, no font, no style, no
//! script. Pure.

/// What a badge says of something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    /// It went well.
    Good,
    /// It goes on.
    Active,
    /// A person should look.
    Warn,
    /// It failed.
    Bad,
    /// Nothing is known, or nobody minds.
    Neutral,
}

impl Tone {
    /// White text on each has a contrast of at least 4.5 to 1.
    const fn colour(self) -> &'static str {
        match self {
            Self::Good => "#1b7a4b",
            Self::Active => "#1d62b8",
            Self::Warn => "#8f5400",
            Self::Bad => "#b92d26",
            Self::Neutral => "#5f6a64",
        }
    }
}

/// Characters of a part that are shown.
const LONGEST: usize = 40;
const HEIGHT: u32 = 20;
/// Left and right of a text.
const SPACE: u32 = 6;

/// The picture: `label` in grey, `value` in the colour of `tone`.
pub(crate) fn svg(label: &str, value: &str, tone: Tone) -> String {
    let (label, value) = (shortened(label), shortened(value));
    let (left, right) = (width(&label), width(&value));
    let total = left + right;
    let name = escaped(&format!("{label}: {value}"));
    let text = |text: &str, from: u32, width: u32| {
        format!(
            "<text x=\"{}\" y=\"14\" textLength=\"{}\" lengthAdjust=\"spacingAndGlyphs\">{}</text>",
            from + SPACE,
            width - 2 * SPACE,
            escaped(text),
        )
    };
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{total}\" height=\"{HEIGHT}\" \
         role=\"img\" aria-label=\"{name}\"><title>{name}</title>\
         <rect width=\"{left}\" height=\"{HEIGHT}\" fill=\"#3d4641\"/>\
         <rect x=\"{left}\" width=\"{right}\" height=\"{HEIGHT}\" fill=\"{}\"/>\
         <g fill=\"#ffffff\" font-family=\"Verdana,Geneva,DejaVu Sans,sans-serif\" \
         font-size=\"11\">{}{}</g></svg>\n",
        tone.colour(),
        text(&label, 0, left),
        text(&value, left, right),
    )
}

/// One line without control characters, cut.
fn shortened(text: &str) -> String {
    let mut shown: String = text
        .chars()
        .map(|c| if c.is_whitespace() || c.is_control() { ' ' } else { c })
        .take(LONGEST + 1)
        .collect();
    if shown.chars().count() > LONGEST {
        shown = shown.chars().take(LONGEST - 1).chain(['…']).collect();
    }
    match shown.trim() {
        "" => "-".to_owned(),
        text => text.to_owned(),
    }
}

/// Pixels of a part in Verdana at 11 pixels, about; the picture has the text stretched to it.
fn width(text: &str) -> u32 {
    let tenths: u32 = text
        .chars()
        .map(|c| match c {
            'i' | 'j' | 'l' | '.' | ',' | ':' | ';' | '\'' | '|' | '!' | ' ' => 36,
            'm' | 'w' | 'M' | 'W' | '%' | '@' => 102,
            'A'..='Z' => 78,
            c if c.is_ascii() => 68,
            _ => 110,
        })
        .sum();
    tenths.div_ceil(10) + 2 * SPACE
}

/// Text as itself, also in an attribute. What XML cannot hold is left out.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\u{fffe}' | '\u{ffff}' => {}
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_badge_is_a_picture_that_needs_nothing_else() {
        insta::assert_snapshot!("badge", svg("production", "verified", Tone::Good));
    }

    #[test]
    fn text_is_no_markup_and_is_cut() {
        let picture = svg("</text><script>\"'&", &"x".repeat(500), Tone::Bad);
        assert!(!picture.contains("<script"), "{picture}");
        assert!(picture.contains("&lt;/text&gt;&lt;script&gt;&quot;&#39;&amp;"), "{picture}");
        assert!(picture.contains(&format!(">{}…</text>", "x".repeat(LONGEST - 1))), "{picture}");
        let empty = svg(" \n", "\u{7}", Tone::Neutral);
        assert!(empty.contains("aria-label=\"-: -\""), "{empty}");
    }

    #[test]
    fn a_longer_text_gets_a_wider_picture() {
        assert!(width("verified") > width("done") && width("mmmm") > width("llll"));
    }
}
