//! The spellings in which a value may reach a log.

const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const URL_SAFE: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Shortest base64 spelling that is looked for: shorter ones turn up by chance.
const SHORTEST_BASE64: usize = 8;

/// Shortest hexadecimal spelling that is looked for.
const SHORTEST_HEX: usize = 12;

/// The value itself, in hexadecimal, in HTML, percent-encoded, escaped as in JSON, and in base64 of both alphabets at
/// each of the three places it may have in a longer text.
pub(super) fn spellings(value: &str) -> Vec<Vec<u8>> {
    let mut out = vec![value.as_bytes().to_vec()];
    let percent = |upper: bool, plus: bool| -> Vec<u8> {
        value
            .bytes()
            .flat_map(|b| match b {
                b if b.is_ascii_alphanumeric() || b"-._~".contains(&b) => vec![b],
                b' ' if plus => vec![b'+'],
                b if upper => format!("%{b:02X}").into_bytes(),
                b => format!("%{b:02x}").into_bytes(),
            })
            .collect()
    };
    out.extend([percent(true, false), percent(false, false), percent(true, true)]);
    let json = serde_json::Value::from(value).to_string();
    if let Some(inner) = json.get(1..json.len() - 1) {
        out.push(inner.as_bytes().to_vec());
        out.push(inner.replace('/', "\\/").into_bytes());
    }
    let html = |quote: &str| -> String {
        value
            .replace('&', "&amp;")
            .replace('<', "&lt;")
            .replace('>', "&gt;")
            .replace('"', "&quot;")
            .replace('\'', quote)
    };
    out.extend(["&#39;", "&#x27;", "&apos;"].map(|quote| html(quote).into_bytes()));
    let hex = |digits: fn(u8) -> String| value.bytes().map(digits).collect::<String>();
    let lower = hex(|byte| format!("{byte:02x}"));
    if lower.len() >= SHORTEST_HEX {
        out.push(lower.into_bytes());
        out.push(hex(|byte| format!("{byte:02X}")).into_bytes());
        out.push(hex(|byte| format!("\\x{byte:02x}")).into_bytes());
        out.push(hex(|byte| format!("%{byte:02X}")).into_bytes());
    }
    for alphabet in [STANDARD, URL_SAFE] {
        for before in 0..3 {
            let inner = base64_inner(value.as_bytes(), before, alphabet);
            if inner.len() >= SHORTEST_BASE64 {
                out.push(inner);
            }
        }
    }
    out.sort_unstable();
    out.dedup();
    out
}

/// The base64 digits that depend on `value` alone when `before` bytes (0 to 2) of its group of
/// three precede it.
fn base64_inner(value: &[u8], before: usize, alphabet: &[u8; 64]) -> Vec<u8> {
    let mut bits = Vec::with_capacity(value.len() + before);
    bits.resize(before, 0u8);
    bits.extend_from_slice(value);
    let digits: Vec<u8> = (0..bits.len() * 8 / 6)
        .filter_map(|i| {
            let bit = i * 6;
            let high = u16::from(*bits.get(bit / 8)?) << 8;
            let low = bits.get(bit / 8 + 1).copied().map_or(0, u16::from);
            let six = ((high | low) >> (10 - bit % 8)) & 63;
            alphabet.get(usize::from(six)).copied()
        })
        .collect();
    // Digits that hold bits of what comes before are not the value's alone.
    let foreign = (before * 8).div_ceil(6);
    digits.get(foreign..).unwrap_or_default().to_vec()
}

/// How many bytes of `tail` finish a base64 spelling: the last digit and the padding.
pub(super) fn tail(found: Option<&[u8]>, tail: &[u8]) -> usize {
    let digit = |b: &u8| b.is_ascii_alphanumeric() || b"+/-_".contains(b);
    if !found.is_some_and(|found| found.iter().all(digit)) {
        return 0;
    }
    let digits = tail.iter().take(2).take_while(|b| digit(b)).count();
    let padding = tail.get(digits..).unwrap_or_default().iter().take_while(|b| **b == b'=').count();
    if padding > 0 { digits + padding.min(2) } else { 0 }
}
