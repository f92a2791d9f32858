//! Flat JSON objects: as much as a vehicle needs.

/// `text` as a JSON string, quotation marks included.
pub fn string(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            c if c.is_control() => out.push_str(&format!("\\u{:04x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// The members of a flat object whose values are texts and whole numbers, numbers as text.
/// `None` for anything else.
pub fn members(text: &str) -> Option<Vec<(String, String)>> {
    let mut rest = text.trim().strip_prefix('{')?.trim_start();
    let mut members = Vec::new();
    if let Some(end) = rest.strip_prefix('}') {
        return end.trim().is_empty().then_some(members);
    }
    loop {
        let (name, after) = quoted(rest)?;
        rest = after.trim_start().strip_prefix(':')?.trim_start();
        let value;
        if rest.starts_with('"') {
            (value, rest) = quoted(rest)?;
        } else {
            let end = rest.find(|c: char| !c.is_ascii_digit()).filter(|end| *end > 0)?;
            value = rest[..end].to_owned();
            rest = &rest[end..];
        }
        members.push((name, value));
        rest = rest.trim_start();
        if let Some(after) = rest.strip_prefix(',') {
            rest = after.trim_start();
        } else {
            return rest.strip_prefix('}')?.trim().is_empty().then_some(members);
        }
    }
}

/// A string at the beginning of `text`, and what follows it.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut out = String::new();
    let mut chars = text.strip_prefix('"')?.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((out, &text[at + 2..])),
            '\\' => out.push(match chars.next()?.1 {
                'n' => '\n',
                't' => '\t',
                c @ ('"' | '\\' | '/') => c,
                _ => return None,
            }),
            c => out.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_flat_objects() {
        let members =
            members(r#" { "plate" : "GL-1", "range_km":320 , "note":"a \"b\"" } "#).unwrap();
        let expect = [("plate", "GL-1"), ("range_km", "320"), ("note", "a \"b\"")];
        assert_eq!(members, expect.map(|(k, v)| (k.to_owned(), v.to_owned())));
    }

    #[test]
    fn refuses_what_is_not_a_flat_object() {
        for text in
            ["", "[]", "{", "{\"a\"}", "{\"a\":}", "{\"a\":[]}", "{\"a\":1,}", "{\"a\":1} x"]
        {
            assert_eq!(members(text), None, "{text}");
        }
    }

    #[test]
    fn escapes_what_a_string_cannot_hold() {
        assert_eq!(string("a\"b\\c\n\u{1}"), "\"a\\\"b\\\\c\\n\\u0001\"");
    }
}
