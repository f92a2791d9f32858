//! The spellings in which a value may reach a log.

const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const URL_SAFE: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
const BASE85: &[u8; 85] =
    b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;<=>?@^_`{|}~";
const Z85: &[u8; 85] =
    b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#";
const ASCII85: &[u8; 85] = &printable(b'!');
const UUENCODE_BLANK: &[u8; 64] = &printable(b' ');
/// A blank at the end of a line may get lost.
const UUENCODE: &[u8; 64] = &{
    let mut digits = printable(b' ');
    digits[0] = b'`';
    digits
};

/// Characters in a row.
const fn printable<const COUNT: usize>(first: u8) -> [u8; COUNT] {
    let mut digits = [first; COUNT];
    let mut at = 1;
    while at < COUNT {
        digits[at] = digits[at - 1] + 1;
        at += 1;
    }
    digits
}

/// What stands between letters that are printed one by one: `od -c`, lists of characters.
const LETTERS_APART: [&str; 9] = [" ", "   ", "-", ",", ", ", "', '", "','", "\", \"", "\",\""];

/// Bytes of a value that is also looked for in rare spellings.
const SHORTEST_RARE: usize = 8;
const LONGEST_RARE: usize = 512;

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
            let inner = inner_digits(value.as_bytes(), before, 6, alphabet);
            if inner.len() >= SHORTEST_BASE64 {
                out.push(inner);
            }
        }
    }
    if (SHORTEST_RARE..=LONGEST_RARE).contains(&value.len()) {
        rare(value, &mut out);
    }
    out.sort_unstable();
    out.dedup();
    out
}

/// What dumps and unusual encoders print: bytes as numbers, words of a dump, base32, base85,
/// UTF-16, uuencode, quoted-printable, letters apart, another case.
fn rare(value: &str, out: &mut Vec<Vec<u8>>) {
    let bytes = value.as_bytes();
    let list = |bytes: &[u8], between: &str, number: fn(u8) -> String| -> Vec<u8> {
        bytes.iter().map(|byte| number(*byte)).collect::<Vec<_>>().join(between).into_bytes()
    };
    let (lower, upper) = (|byte: u8| format!("{byte:02x}"), |byte: u8| format!("{byte:02X}"));
    let (octal, decimal) = (|byte: u8| format!("{byte:03o}"), |byte: u8| byte.to_string());
    // The first byte may be the last one of a dump's line.
    for part in [bytes, bytes.get(1..).unwrap_or_default()] {
        for number in [lower as fn(u8) -> String, upper] {
            out.push(list(part, " ", number));
            out.push(list(part, "", number));
        }
        out.push(list(part, " ", octal));
    }
    out.push([b"\\", list(bytes, "\\", octal).as_slice()].concat());
    out.extend([", ", ",", " ", ",\n"].map(|between| list(bytes, between, decimal)));
    out.push([b"=", list(bytes, "=", upper).as_slice()].concat());
    out.push(value.replace('=', "=3D").into_bytes());
    // Words of two bytes, the low one first: whole ones only.
    for at in 0..2 {
        let words: Vec<u16> = bytes
            .get(at..)
            .unwrap_or_default()
            .as_chunks()
            .0
            .iter()
            .map(|word| u16::from_le_bytes(*word))
            .collect();
        let words = |number: fn(&u16) -> String| {
            words.iter().map(number).collect::<Vec<_>>().join(" ").into_bytes()
        };
        out.push(words(|word| format!("{word:04x}")));
        out.push(words(|word| format!("{word:06o}")));
    }
    // What both byte orders have in common.
    let mut wide: Vec<u8> = value.encode_utf16().flat_map(u16::to_le_bytes).collect();
    wide.pop();
    out.push(list(&wide, "", lower));
    out.push(list(&wide, "", upper));
    for before in 0..3 {
        for alphabet in [STANDARD, URL_SAFE] {
            out.push(inner_digits(&wide, before, 6, alphabet));
        }
        for alphabet in [UUENCODE, UUENCODE_BLANK] {
            out.push(inner_digits(bytes, before, 6, alphabet));
        }
    }
    for before in 0..5 {
        let digits = inner_digits(bytes, before, 5, BASE32);
        out.push(digits.to_ascii_lowercase());
        out.push(digits);
    }
    for before in 0..4 {
        for alphabet in [ASCII85, BASE85, Z85] {
            out.push(base85_inner(bytes, before, alphabet));
        }
    }
    let letters = value.chars().map(String::from).collect::<Vec<_>>();
    for between in LETTERS_APART {
        out.push(letters.join(between).into_bytes());
    }
    let wide = |c: char| match c {
        '!'..='~' => char::from_u32(u32::from(c) + 0xfee0).unwrap_or(c),
        _ => c,
    };
    out.push(value.chars().map(wide).collect::<String>().into_bytes());
    // Words of configuration are written in any case.
    if bytes.iter().any(u8::is_ascii_digit) {
        out.push(value.to_lowercase().into_bytes());
        out.push(value.to_uppercase().into_bytes());
    }
}

/// The digits of so many bits that depend on `value` alone when `before` bytes of its group
/// precede it.
fn inner_digits(value: &[u8], before: usize, width: usize, alphabet: &[u8]) -> Vec<u8> {
    let mut bits = Vec::with_capacity(value.len() + before);
    bits.resize(before, 0u8);
    bits.extend_from_slice(value);
    let digits: Vec<u8> = (0..bits.len() * 8 / width)
        .filter_map(|i| {
            let bit = i * width;
            let high = u16::from(*bits.get(bit / 8)?) << 8;
            let low = bits.get(bit / 8 + 1).copied().map_or(0, u16::from);
            let digit = ((high | low) >> (16 - width - bit % 8)) & ((1 << width) - 1);
            alphabet.get(usize::from(digit)).copied()
        })
        .collect();
    // Digits that hold bits of what comes before are not the value's alone.
    let foreign = (before * 8).div_ceil(width);
    digits.get(foreign..).unwrap_or_default().to_vec()
}

/// The groups of base85 that depend on `value` alone when `before` bytes of one precede it.
fn base85_inner(value: &[u8], before: usize, alphabet: &[u8; 85]) -> Vec<u8> {
    let inner = value.get((4 - before) % 4..).unwrap_or_default();
    inner
        .as_chunks::<4>()
        .0
        .iter()
        .flat_map(|group| {
            let group = u32::from_be_bytes(*group);
            [85u32.pow(4), 85u32.pow(3), 85u32.pow(2), 85, 1].map(|power| {
                let digit = usize::try_from(group / power % 85).unwrap_or_default();
                alphabet.get(digit).copied().unwrap_or_default()
            })
        })
        .collect()
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

#[cfg(test)]
mod tests {
    use super::super::Redactor;

    #[test]
    fn rare_encodings_are_hidden() {
        let value = "Zq7-Wm3xKp9_Lt5vRb2yHd8nJc4";
        let redactor = Redactor::new([value.to_owned()]);
        for (text, shown) in [
            ("LJYTOLKXNUZXQS3QHFPUY5BVOZJGEMTZJBSDQ3SKMM2A====", "LJYT"),
            // Two bytes before it and two after.
            ("MFRFU4JXFVLW2M3YJNYDSX2MOQ2XMUTCGJ4UQZBYNZFGGNDDMQ======", "XFVLW"),
            (r"T5&fmS8X$ROK>?~OmsDNQerZBNMtx}N@Fw", "S8X$"),
            (r"cv^8cEmv(bcuR0OUrcm0c2Z(8c}Qe9Zc1Y`d3p", "cuR0O"),
            (r">&cJQ=)Ba<95lmu9QW.8;IVD,87X\t8n0[", "95lmu"),
            (";6G$W+5=M,WA+<#E?3'0U=E)B,GE(9#AN2F,T", "5=M,WA"),
            ("=>'E:<3<M5VTS>$MP.5],=#5V4F(R>4AD.&Y*8S0 ", "5VTS>$"),
            ("zq7-wm3xkp9_lt5vrb2yhd8njc4", "wm3x"),
            ("ZQ7-WM3XKP9_LT5VRB2YHD8NJC4", "WM3X"),
            ("Zq7-Wm3xK=\np9_Lt5vRb2yHd8nJc4", "Wm3x"),
        ] {
            let out = redactor.redact(&format!("got {text} there")).into_owned();
            assert!(!out.contains(shown) && out.starts_with("got "), "{text}: {out}");
            assert!(out.ends_with(" there"), "{text}: {out}");
        }
    }

    #[test]
    fn words_in_another_case_and_parts_of_words_stay() {
        let values = ["staging", "correct-horse-battery-staple", "release-2024"];
        let redactor = Redactor::new(values.map(str::to_owned));
        for text in [
            "STAGING of it",
            "the correct-horse is\nno battery-staple",
            "a release- of the year 1999\nand 2023",
            "s t a g e",
            "00000000: 0102 0304 0506 0708 090a 0b0c 0d0e 0f10  ................",
        ] {
            assert_eq!(redactor.redact(text), text);
        }
    }
}
