//! How much the redactor finds: secrets of today's providers and values without a shape, each in
//! the forms in which programs print them, through the whole-text and the streaming interface.
//! And how little it hides of logs without secrets, and how fast it is.
//!
//! `scripts/redaction-figures.py` prints the figures.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use greenloop_evidence::{MARKER, Redactor};

/// What a program prints, and the part of it that nobody may see.
struct Secret {
    name: &'static str,
    text: String,
    secret: String,
    /// The redactor is told the value, because nothing in the text says that it is one.
    known: bool,
}

/// Letters and digits that look random and are the same in every run.
fn random(seed: u64, alphabet: &[u8], length: usize) -> String {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..length)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            char::from(alphabet[usize::try_from(state >> 33).unwrap() % alphabet.len()])
        })
        .collect()
}

const ALNUM: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
const UPPER: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
const LOWER: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789";
const HEX: &[u8] = b"0123456789abcdef";
const BASE64: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const URL_SAFE: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Put together here, so that no scanner takes this file for one that holds them.
fn secrets() -> Vec<Secret> {
    let mut seed = 0;
    let mut r = |alphabet: &[u8], length: usize| {
        seed += 1;
        random(seed, alphabet, length)
    };
    let mut out = Vec::new();
    let mut add = |name: &'static str, before: &str, secret: String, after: &str, known: bool| {
        out.push(Secret { name, text: format!("{before}{secret}{after}"), secret, known });
    };
    // By its own shape.
    add("aws access key", "", format!("AKIA{}", r(UPPER, 16)), "", false);
    add("aws temporary key", "", format!("ASIA{}", r(UPPER, 16)), "", false);
    add("aws secret", "aws_secret_access_key = ", r(BASE64, 40), "", false);
    add(
        "azure storage",
        "DefaultEndpointsProtocol=https;AccountName=shop;AccountKey=",
        format!("{}==", r(BASE64, 86)),
        ";EndpointSuffix=core.windows.net",
        false,
    );
    add(
        "azure sas",
        "https://shop.blob.core.windows.net/c?sv=2024-08-04&se=2027-01-01&sr=c&sp=rl&sig=",
        format!("{}%3D", r(ALNUM, 43)),
        "",
        false,
    );
    add("entra client secret", "", format!("{}8Q~{}", r(ALNUM, 3), r(ALNUM, 34)), "", false);
    add("azure devops pat", "", format!("{}AZDO{}", r(ALNUM, 76), r(ALNUM, 4)), "", false);
    add(
        "service bus",
        "Endpoint=sb://shop.servicebus.windows.net/;SharedAccessKeyName=root;SharedAccessKey=",
        format!("{}=", r(BASE64, 43)),
        "",
        false,
    );
    add("github classic", "", format!("ghp_{}", r(ALNUM, 36)), "", false);
    add("github app", "", format!("ghs_{}", r(ALNUM, 36)), "", false);
    add(
        "github fine-grained",
        "",
        format!("github_pat_{}_{}", r(ALNUM, 22), r(ALNUM, 59)),
        "",
        false,
    );
    add("gitlab", "", format!("glpat-{}", r(URL_SAFE, 20)), "", false);
    add("gitlab deploy", "", format!("gldt-{}", r(ALNUM, 20)), "", false);
    add(
        "slack bot",
        "",
        format!("xoxb-{}-{}-{}", r(b"123456789", 12), r(b"123456789", 13), r(ALNUM, 24)),
        "",
        false,
    );
    add(
        "slack webhook",
        "https://hooks.slack.com/services/",
        format!("T{}/B{}/{}", r(UPPER, 8), r(UPPER, 10), r(ALNUM, 24)),
        "",
        false,
    );
    add("stripe", "", format!("sk_live_{}", r(ALNUM, 24)), "", false);
    add("stripe restricted", "", format!("rk_live_{}", r(ALNUM, 99)), "", false);
    add("npm", "", format!("npm_{}", r(ALNUM, 36)), "", false);
    add("pypi", "", format!("pypi-AgEIcHlwaS5vcmc{}", r(URL_SAFE, 140)), "", false);
    add("google api", "", format!("AIza{}", r(ALNUM, 35)), "", false);
    add("google oauth", "", format!("ya29.a0{}", r(URL_SAFE, 120)), "", false);
    add(
        "google service account",
        r#""private_key": "-----BEGIN PRIVATE KEY-----\n"#,
        format!(r"{}\n{}", r(BASE64, 64), r(BASE64, 64)),
        r#"\n-----END PRIVATE KEY-----\n","#,
        false,
    );
    add(
        "jwt",
        "",
        format!(
            "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIx{}.{}",
            r(URL_SAFE, 40),
            r(URL_SAFE, 43)
        ),
        "",
        false,
    );
    add("openai project", "", format!("sk-proj-{}", r(URL_SAFE, 156)), "", false);
    add("openai", "", format!("sk-{}T3BlbkFJ{}", r(ALNUM, 20), r(ALNUM, 20)), "", false);
    add("anthropic", "", format!("sk-ant-api03-{}-{}AA", r(URL_SAFE, 86), r(ALNUM, 6)), "", false);
    add("hugging face", "", format!("hf_{}", r(ALNUM, 34)), "", false);
    add("docker pat", "", format!("dckr_pat_{}", r(URL_SAFE, 27)), "", false);
    add("sendgrid", "", format!("SG.{}.{}", r(URL_SAFE, 22), r(URL_SAFE, 43)), "", false);
    add("vault", "", format!("hvs.CAESI{}", r(ALNUM, 90)), "", false);
    add("digitalocean", "", format!("dop_v1_{}", r(HEX, 64)), "", false);
    add("databricks", "", format!("dapi{}", r(HEX, 32)), "", false);
    add("azure openai", "", format!("{}JQQJ99BA{}", r(ALNUM, 52), r(ALNUM, 22)), "", false);
    add("telegram bot", "", format!("{}:AA{}", r(b"123456789", 10), r(ALNUM, 33)), "", false);
    // By the words around it.
    add("basic auth in a url", "https://deploy:", r(ALNUM, 20), "@git.example.org/shop.git", false);
    add("postgres url", "postgres://shop:", r(LOWER, 14), "@db.example.org:5432/shop", false);
    add(
        "sql server",
        "Server=tcp:db.example.org,1433;User ID=shop;Password=",
        r(ALNUM, 18),
        ";Encrypt=true",
        false,
    );
    add(
        "docker auth",
        r#"{"auths":{"ghcr.io":{"auth":""#,
        STANDARD.encode(format!("deploy:{}", r(ALNUM, 24))),
        r#""}}}"#,
        false,
    );
    add("kubeconfig token", "    token: ", r(URL_SAFE, 64), "", false);
    add("bearer header", "Authorization: Bearer ", r(ALNUM, 40), "", false);
    add(
        "basic header",
        "Authorization: Basic ",
        STANDARD.encode(format!("deploy:{}", r(ALNUM, 16))),
        "",
        false,
    );
    add("password", "password=", r(ALNUM, 16), "", false);
    add("environment variable", "export DB_PASSWORD=", r(ALNUM, 16), "", false);
    // Values with no shape, which the redactor is told.
    for (name, value) in [
        ("hex value", r(HEX, 32)),
        ("word and sign", format!("Tr0ub4dor&{}", r(LOWER, 6))),
        (
            "uuid value",
            format!("{}-{}-4{}-8{}-{}", r(HEX, 8), r(HEX, 4), r(HEX, 3), r(HEX, 3), r(HEX, 12)),
        ),
        ("punctuated", format!("p@ss/w\"rd<{}>'+%", r(LOWER, 8))),
        ("words", "correct-horse-battery-staple".to_owned()),
        ("blanks", "correct horse battery staple".to_owned()),
        ("letters with accents", format!("größe-é{}", r(LOWER, 8))),
        ("short", r(ALNUM, 9)),
        ("base64 value", format!("{}=", r(BASE64, 43))),
        ("long", r(ALNUM, 300)),
        ("model key", format!("sk-{}", r(ALNUM, 30))),
        ("database password", r(ALNUM, 24)),
    ] {
        add(name, "", value, "", true);
    }
    out
}

/// What is printed, and the pieces of it that show the secret.
struct Printed {
    text: String,
    pieces: Vec<String>,
}

/// All outputs in which a form shows a secret.
type Form = fn(&Secret) -> Vec<Printed>;

/// The forms: a name, and what a program that prints the secret so puts out.
const FORMS: &[(&str, Form)] = &[
    ("plain", |s| vec![shown(format!("{}\n", s.text), [&s.secret])]),
    ("colour inside", colour),
    ("url-encoded", |s| {
        ["%{:02X}", "%{:02x}"]
            .map(|_| ())
            .iter()
            .enumerate()
            .map(|(lower, ())| {
                let code = |text: &str| percent(text, lower == 1);
                shown(format!("GET /cb?state={}&x=1\n", code(&s.text)), [&code(&s.secret)])
            })
            .collect()
    }),
    ("base64", |s| {
        (0..3)
            .flat_map(|phase| {
                let whole = format!("{}{}", &":: "[..phase], s.text);
                let padded = STANDARD.encode(&whole);
                let wrapped: String = padded
                    .as_bytes()
                    .chunks(76)
                    .map(|line| format!("{}\n", String::from_utf8_lossy(line)))
                    .collect();
                let inner = base64_of(&s.text, &s.secret, phase);
                [
                    Printed { text: format!("data: {padded}\n"), pieces: vec![inner.clone()] },
                    Printed {
                        text: format!("{}\n", URL_SAFE_NO_PAD.encode(&whole)),
                        pieces: vec![inner.clone()],
                    },
                    Printed { text: wrapped, pieces: vec![inner] },
                ]
            })
            .collect()
    }),
    ("hex lower", |s| {
        let hex = |text: &str| {
            text.bytes().fold(String::new(), |mut out, b| {
                let _ = write!(out, "{b:02x}");
                out
            })
        };
        vec![shown(format!("raw {}\n", hex(&s.text)), [&hex(&s.secret)])]
    }),
    ("hex upper", |s| {
        let hex = |text: &str| {
            text.bytes().fold(String::new(), |mut out, b| {
                let _ = write!(out, "{b:02X}");
                out
            })
        };
        vec![shown(format!("{}\n", hex(&s.text)), [&hex(&s.secret)])]
    }),
    ("json", |s| {
        let quoted = |text: &str| serde_json::Value::from(text).to_string();
        let inner = |text: &str| quoted(text).trim_matches('"').to_owned();
        let twice = |text: &str| inner(&quoted(text));
        let marks = |text: &str| {
            inner(text)
                .replace('&', "\\u0026")
                .replace('<', "\\u003c")
                .replace('>', "\\u003e")
                .replace('=', "\\u003d")
                .replace('+', "\\u002B")
                .replace('\'', "\\u0027")
        };
        vec![
            shown(
                format!("{{\"level\":\"info\",\"msg\":{}}}\n", quoted(&s.text)),
                [&inner(&s.secret)],
            ),
            shown(format!("{{\"msg\":\"{}\"}}\n", twice(&s.text)), [&inner(&inner(&s.secret))]),
            shown(format!("{{\"msg\":\"{}\"}}\n", marks(&s.text)), [&marks(&s.secret)]),
        ]
    }),
    ("html", |s| {
        let named = |text: &str| {
            text.replace('&', "&amp;")
                .replace('<', "&lt;")
                .replace('>', "&gt;")
                .replace('"', "&quot;")
                .replace('\'', "&#39;")
        };
        let numbered = |text: &str| {
            text.chars().fold(String::new(), |mut out, c| {
                let _ = if c.is_ascii_alphanumeric() {
                    write!(out, "{c}")
                } else {
                    write!(out, "&#{};", u32::from(c))
                };
                out
            })
        };
        vec![
            shown(format!("<td>{}</td>\n", named(&s.text)), [&named(&s.secret)]),
            shown(format!("<td>{}</td>\n", numbered(&s.text)), [&numbered(&s.secret)]),
        ]
    }),
    ("over lines", |s| {
        let half = half_of(&s.secret);
        let (first, second) = s.secret.split_at(half);
        let text = s.text.replacen(&s.secret, &format!("{first}\n{second}"), 1);
        let wrapped = s.secret.as_bytes().chunks(16).map(String::from_utf8_lossy);
        let wrapped: Vec<String> = wrapped.map(|piece| piece.replace('\u{fffd}', "")).collect();
        vec![
            shown(format!("{text}\n"), [first, second]),
            shown(
                format!("before it\r\n{}\r\nafter it\r\n", text.replace('\n', "\r\n")),
                [first, second],
            ),
            shown(
                s.text.replacen(&s.secret, &wrapped.join("\n  "), 1) + "\n",
                wrapped.iter().map(String::as_str),
            ),
        ]
    }),
    ("continued lines", |s| {
        let (first, second) = s.secret.split_at(half_of(&s.secret));
        ["\\\n", "\\\n    ", "\"\\\n\"", "\" \\\n  \""]
            .map(|joint| {
                let text = s.text.replacen(&s.secret, &format!("{first}{joint}{second}"), 1);
                shown(format!("+ {text}\n"), [first, second])
            })
            .into()
    }),
    ("inside others", |s| {
        vec![
            shown(format!("xyz_{}_abc\n", s.text), [&s.secret]),
            shown(format!("  value: '{}'  # from the vault\n", s.text), [&s.secret]),
            shown(format!("[info] got=({}), next\n", s.text), [&s.secret]),
            shown(format!("--set value={} --wait\n", s.text), [&s.secret]),
        ]
    }),
];

/// A form in which only a known value is looked for: what is printed of it, in parts.
type KnownForm = fn(&str) -> (String, Vec<String>);

/// Rows of sixteen bytes.
fn rows(bytes: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    bytes.chunks(16).enumerate().map(|(row, bytes)| (16 * row, bytes))
}

fn joined(bytes: &[u8], between: &str, print: fn(u8) -> String) -> String {
    bytes.iter().map(|byte| print(*byte)).collect::<Vec<_>>().join(between)
}

fn letters(bytes: &[u8]) -> String {
    let letter = |byte: &u8| if byte.is_ascii_graphic() { char::from(*byte) } else { '.' };
    bytes.iter().map(letter).collect()
}

/// A dump of `value` and a line end, each row put together of its offset, its numbers and its
/// letters.
fn dump(
    value: &str,
    numbers: fn(&[u8]) -> String,
    row: fn(usize, &str, &str) -> String,
) -> (String, Vec<String>) {
    let (mut text, mut pieces) = (String::new(), Vec::new());
    for (offset, bytes) in rows(format!("{value}\n").as_bytes()) {
        let (numbers, letters) = (numbers(bytes), letters(bytes));
        text += &row(offset, &numbers, &letters);
        // One or two letters show nothing.
        if bytes.len() > 3 {
            pieces.extend([numbers, letters]);
        }
    }
    (text, pieces)
}

fn words(bytes: &[u8], print: fn(u16) -> String) -> String {
    let word = |pair: &[u8]| u16::from(pair[0]) | u16::from(*pair.get(1).unwrap_or(&0)) << 8;
    bytes.chunks(2).map(|pair| print(word(pair))).collect::<Vec<_>>().join(" ")
}

fn in_parts(value: &str, joint: &str) -> (String, Vec<String>) {
    let letters: Vec<char> = value.chars().collect();
    let parts: Vec<String> = letters.chunks(9).map(|part| part.iter().collect()).collect();
    // One or two letters show nothing.
    (parts.join(joint), parts.into_iter().filter(|part| part.len() > 3).collect())
}

fn alone(text: String) -> (String, Vec<String>) {
    (text.clone(), vec![text])
}

/// What dumps, other encodings and gutters make of a value.
const KNOWN_FORMS: &[(&str, KnownForm)] = &[
    ("xxd", |v| {
        let numbers = |row: &[u8]| {
            let pairs = row.chunks(2).map(|pair| joined(pair, "", |byte| format!("{byte:02x}")));
            pairs.collect::<Vec<_>>().join(" ")
        };
        dump(v, numbers, |at, numbers, letters| format!("{at:08x}: {numbers:<39}  {letters}\n"))
    }),
    ("hexdump -C", |v| {
        let numbers = |row: &[u8]| {
            let halves = row.chunks(8).map(|half| joined(half, " ", |byte| format!("{byte:02x}")));
            halves.collect::<Vec<_>>().join("  ")
        };
        dump(v, numbers, |at, numbers, letters| format!("{at:08x}  {numbers:<48}  |{letters}|\n"))
    }),
    ("hexdump", |v| {
        dump(
            v,
            |row| words(row, |word| format!("{word:04x}")),
            |at, numbers, _| format!("{at:07x} {numbers}\n"),
        )
    }),
    ("od", |v| {
        dump(
            v,
            |row| words(row, |word| format!("{word:06o}")),
            |at, numbers, _| format!("{at:07o} {numbers}\n"),
        )
    }),
    ("od -tx1", |v| {
        dump(
            v,
            |row| joined(row, " ", |byte| format!("{byte:02x}")),
            |at, numbers, _| format!("{at:07o} {numbers}\n"),
        )
    }),
    ("od -An -tx1", |v| {
        dump(
            v,
            |row| joined(row, " ", |byte| format!("{byte:02x}")),
            |_, numbers, _| format!(" {numbers}\n"),
        )
    }),
    ("od -b", |v| {
        dump(
            v,
            |row| joined(row, " ", |byte| format!("{byte:03o}")),
            |at, numbers, _| format!("{at:07o} {numbers}\n"),
        )
    }),
    ("od -c", |v| {
        dump(
            v,
            |row| {
                joined(row, " ", |byte| match byte {
                    b'\n' => " \\n".to_owned(),
                    byte if byte.is_ascii() => format!("  {}", char::from(byte)),
                    byte => format!("{byte:03o}"),
                })
            },
            |at, numbers, _| format!("{at:07o} {numbers}\n"),
        )
    }),
    ("decimal list", |v| alone(format!("[{}]", joined(v.as_bytes(), ", ", |b| b.to_string())))),
    ("decimal slice", |v| alone(format!("[{}]", joined(v.as_bytes(), " ", |b| b.to_string())))),
    ("octal escapes", |v| {
        alone(format!("\\{}", joined(v.as_bytes(), "\\", |byte| format!("{byte:03o}"))))
    }),
    ("quoted-printable", |v| {
        alone(format!("={}", joined(v.as_bytes(), "=", |byte| format!("{byte:02X}"))))
    }),
    ("soft line breaks", |v| in_parts(v, "=\n")),
    ("UTF-16 in hex", |v| {
        let wide: Vec<u8> = v.encode_utf16().flat_map(u16::to_le_bytes).collect();
        alone(joined(&wide, "", |byte| format!("{byte:02x}")))
    }),
    ("UTF-16 in base64", |v| {
        let wide: Vec<u8> = v.encode_utf16().flat_map(u16::to_le_bytes).collect();
        alone(STANDARD.encode(wide))
    }),
    ("UTF-16, high byte first, in base64", |v| {
        let wide: Vec<u8> = v.encode_utf16().flat_map(u16::to_be_bytes).collect();
        alone(STANDARD.encode(wide))
    }),
    ("letters apart", |v| alone(v.chars().map(String::from).collect::<Vec<_>>().join(" "))),
    ("letters with dashes", |v| alone(v.chars().map(String::from).collect::<Vec<_>>().join("-"))),
    ("list of letters", |v| {
        alone(format!("['{}']", v.chars().map(String::from).collect::<Vec<_>>().join("', '")))
    }),
    ("with commas", |v| in_parts(v, ",")),
    ("list of parts", |v| in_parts(v, "', '")),
    ("numbered lines", |v| in_parts(v, "\n 13 | ")),
    ("timestamps", |v| in_parts(v, "\n2026-11-30T10:00:01.123Z ")),
    ("table", |v| in_parts(v, " |\n| ")),
    ("backspace", |v| {
        let (first, second) = v.split_at(half_of(v));
        (format!("{first}xy\u{8}\u{8}{second}"), vec![first.to_owned(), second.to_owned()])
    }),
    ("full width", |v| {
        let wide = |c: char| match c {
            '!'..='~' => char::from_u32(u32::from(c) + 0xfee0).unwrap(),
            _ => c,
        };
        alone(v.chars().map(wide).collect())
    }),
];

fn shown<'a>(text: String, pieces: impl IntoIterator<Item = impl AsRef<str> + 'a>) -> Printed {
    Printed { text, pieces: pieces.into_iter().map(|piece| piece.as_ref().to_owned()).collect() }
}

fn half_of(text: &str) -> usize {
    (text.len() / 2..).find(|at| text.is_char_boundary(*at)).unwrap()
}

fn percent(text: &str, lower: bool) -> String {
    text.bytes().fold(String::new(), |mut out, b| {
        let _ = match b {
            b if b.is_ascii_alphanumeric() || b"-._~".contains(&b) => {
                write!(out, "{}", char::from(b))
            }
            b if lower => write!(out, "%{b:02x}"),
            b => write!(out, "%{b:02X}"),
        };
        out
    })
}

/// The digits of base64 that hold the secret and nothing else.
fn base64_of(text: &str, secret: &str, phase: usize) -> String {
    let at = phase + text.find(secret).unwrap();
    let whole = STANDARD.encode(format!("{}{text}", &":: "[..phase]));
    whole[(at * 8).div_ceil(6)..(at + secret.len()) * 8 / 6].to_owned()
}

fn colour(s: &Secret) -> Vec<Printed> {
    let (first, second) = s.secret.split_at(half_of(&s.secret));
    ["\x1b[1;31m\x1b[K", "\x1b[0m", "\x1b]8;;http://x\x1b\\", "\x08", "\x1b[38;2;1;2;3m"]
        .map(|code| {
            let text = s.text.replacen(&s.secret, &format!("{first}{code}{second}"), 1);
            shown(format!("{text}\x1b[0m\n"), [first, second])
        })
        .into()
}

/// Bytes of a piece in a row that show too much of it.
const WINDOW: usize = 8;

/// Whether `out` shows part of the secret, also without what a wrap puts between.
fn leaks(out: &str, piece: &str) -> bool {
    let joined: String = out.split_whitespace().collect();
    let bytes = piece.as_bytes();
    let window = WINDOW.min(bytes.len());
    bytes.windows(window).any(|part| {
        memchr::memmem::find(out.as_bytes(), part).is_some()
            || memchr::memmem::find(joined.as_bytes(), part).is_some()
    })
}

fn streamed(redactor: &Redactor, text: &str, chunk: usize) -> String {
    let mut stream = redactor.line_redactor();
    let mut out = Vec::new();
    for bytes in text.as_bytes().chunks(chunk) {
        stream.push(bytes, &mut out);
    }
    stream.finish(&mut out);
    String::from_utf8_lossy(&out).into_owned()
}

#[test]
fn secrets_in_every_form_are_found() {
    let secrets = secrets();
    assert!(secrets.len() >= 40 && FORMS.len() >= 11);
    let (mut missed, mut all) = (Vec::new(), 0);
    for secret in &secrets {
        for known in [false, true] {
            if !known && secret.known {
                continue;
            }
            let values = known.then(|| secret.secret.clone());
            let redactor = Redactor::new(values);
            for (form, print) in FORMS {
                all += 1;
                let leak = print(secret).into_iter().find_map(|printed| {
                    [
                        redactor.redact(&printed.text).into_owned(),
                        streamed(&redactor, &printed.text, usize::MAX),
                        streamed(&redactor, &printed.text, 7),
                    ]
                    .into_iter()
                    .find(|out| printed.pieces.iter().any(|piece| leaks(out, piece)))
                });
                if let Some(out) = leak {
                    missed.push((known, secret.name, *form, out));
                }
            }
        }
    }
    for (known, name, form, out) in &missed {
        println!("missed: {} {name}, {form}: {out:?}", if *known { "known" } else { "shape" });
    }
    let unknown = missed.iter().filter(|(known, ..)| !known).count();
    println!(
        "redaction: {} of {all} secrets in a form are shown ({} of known values, {unknown} by shape)",
        missed.len(),
        missed.len() - unknown
    );
    assert!(missed.len() * 20 <= all);
    assert_eq!(missed.len(), unknown, "a known value is shown");
}

#[test]
fn known_values_are_found_in_dumps_and_in_parts() {
    let values = secrets().into_iter().filter(|s| s.known || s.secret.len() >= 20);
    // As long as the rows of a dump, and longer and shorter than some of them.
    let long = (12..60).map(|length| random(4711, ALNUM, length));
    let values: Vec<String> = values.map(|s| s.secret).chain(long).collect();
    // Letters alone, words and what is shorter than twelve bytes are looked for in one piece.
    let values = values.into_iter().filter(|v| {
        (12..200).contains(&v.len()) && v.is_ascii() && v.bytes().any(|b| b.is_ascii_digit())
    });
    let (mut missed, mut all) = (0, 0);
    for value in values {
        let redactor = Redactor::new([value.clone()]);
        for (form, print) in KNOWN_FORMS {
            all += 1;
            let (text, pieces) = print(&value);
            let text = format!("begin\n{text}\nend\n");
            for out in [
                redactor.redact(&text).into_owned(),
                streamed(&redactor, &text, usize::MAX),
                streamed(&redactor, &text, 7),
            ] {
                assert_eq!(out.lines().count(), text.lines().count());
                assert!(out.starts_with("begin\n") && out.ends_with("\nend\n"), "{form}: {out}");
                if pieces.iter().any(|piece| leaks(&out, piece)) {
                    missed += 1;
                    println!("missed: {form} of {value}: {out}");
                    break;
                }
            }
        }
    }
    println!("redaction: {missed} of {all} known values in a dump or in parts are shown");
    assert_eq!(missed, 0);
}

/// Logs without secrets: `GREENLOOP_LOGS` names a folder of them.
#[test]
fn real_logs_stay_as_they_are() {
    let Some(root) = std::env::var_os("GREENLOOP_LOGS").map(PathBuf::from) else {
        println!("skipped: GREENLOOP_LOGS names no folder");
        return;
    };
    let mut files = Vec::new();
    collect(&root, &mut files);
    let (mut lines, mut hidden) = (0, 0);
    for file in files {
        let bytes = std::fs::read(&file).expect("a log");
        let text = String::from_utf8_lossy(&bytes);
        lines += text.lines().count();
        let out = streamed(&Redactor::default(), &text, 4096);
        for (was, is) in text.lines().zip(out.lines()).filter(|(was, is)| was != is) {
            hidden += 1;
            println!("hidden: {was:.200} -> {is:.200}");
        }
        assert_eq!(text.lines().count(), out.lines().count());
    }
    println!("redaction: {hidden} of {lines} lines of real logs are changed");
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        match path.is_dir() {
            true => collect(&path, files),
            false => files.push(path),
        }
    }
}

#[test]
fn speed() {
    if cfg!(debug_assertions) {
        println!("skipped: not optimised");
        return;
    }
    let redactor = Redactor::new(secrets().into_iter().filter(|s| s.known).map(|s| s.secret));
    let mut log = String::new();
    for n in 0..200_000u32 {
        let _ = match n % 8 {
            0 => writeln!(log, "   Compiling crate-name-{n} v1.{}.0", n % 17),
            1 => writeln!(
                log,
                "[INFO] Downloaded from central: https://repo.maven.apache.org/maven2/org/acme/artifact-{n}/{n}/a-{n}.jar (380 kB at 2.1 MB/s)"
            ),
            2 => writeln!(log, "test module{n}::tests::handles_case_{n}_as_expected ... ok"),
            3 => writeln!(
                log,
                "2026-05-30T09:11:02.{n:07}Z  > Task :module{n}:compileJava UP-TO-DATE"
            ),
            4 => writeln!(
                log,
                "\x1b[1;34mINFO\x1b[m {n} resolved \x1b[32mmodule{n}\x1b[0m in workspace /home/runner/work/project/{n}"
            ),
            5 => {
                writeln!(log, "warning: unused variable: `value_{n}` in function handle_error_{n}")
            }
            6 => writeln!(
                log,
                "gcc -Wall -Werror -O2 -Iinclude -DVERSION={n} -c -o build/obj_{n}.o src/unit_{n}/source_{n}.c"
            ),
            _ => writeln!(
                log,
                "[{n}/200000] building target //services/backend/module{n}:library with toolchain default, digest {:016x}",
                u64::from(n).wrapping_mul(0x9e37_79b9_7f4a_7c15)
            ),
        };
    }
    for (name, run) in [
        ("stream", (|r, log| streamed(r, log, 64 * 1024).len()) as fn(&Redactor, &str) -> usize),
        ("whole", |r, log| r.redact(log).len()),
    ] {
        let best = (0..5)
            .map(|_| {
                let begun = std::time::Instant::now();
                std::hint::black_box(run(&redactor, &log));
                begun.elapsed()
            })
            .min()
            .expect("five runs");
        let mebibytes = f64::from(u32::try_from(log.len()).expect("small")) / 1e6;
        println!("redaction: {name} {:.0} MB/s", mebibytes / best.as_secs_f64());
    }
    assert!(!redactor.redact(&log).contains(MARKER));
}
