//! Which names say that what stands under them is a secret: variables, keys, flags.
//!
//! The one table of it; redaction, the configuration's checks and what is shown of it ask here.

/// Words of a name that make it a secret's.
const WORDS: &[&str] = &[
    "PASSWORD",
    "PASSWD",
    "PASSPHRASE",
    "PWD",
    "PW",
    "SECRET",
    "TOKEN",
    "CREDENTIAL",
    "CREDENTIALS",
    "CREDS",
    "SAS",
    "PAT",
    "CONNSTR",
    "DSN",
];

/// Ends of a word that is written together: `DBPASSWORD`, `AUTHTOKEN`, `APIKEY`.
const ENDS: &[&str] = &[
    "PASSWORD",
    "PASSWORDS",
    "PASSWD",
    "SECRET",
    "TOKEN",
    "APIKEY",
    "ACCESSKEY",
    "ACCOUNTKEY",
    "PRIVATEKEY",
    "SECRETKEY",
    "CREDENTIAL",
    "CREDENTIALS",
    "CONNECTIONSTRING",
];

/// What kind of key is a secret: the word before `KEY`. Most keys are those of maps.
const KEYS: &[&str] = &[
    "API",
    "ACCESS",
    "ACCOUNT",
    "SHARED",
    "PRIVATE",
    "SIGNING",
    "ENCRYPTION",
    "AUTH",
    "STORAGE",
    "MASTER",
    "CLIENT",
    "SERVICE",
    "LICENSE",
    "SECRET",
    "SUBSCRIPTION",
    "DEPLOY",
    "SSH",
];

/// Last words of a name that is about a secret and does not hold it: `TOKEN_FILE`,
/// `api_key_env`, `password_length`.
const ABOUT: &[&str] = &[
    "ENV",
    "NAME",
    "NAMES",
    "FILE",
    "PATH",
    "DIR",
    "URL",
    "URI",
    "HOST",
    "STDIN",
    "LENGTH",
    "LEN",
    "SIZE",
    "COUNT",
    "RATE",
    "LIMIT",
    "MAX",
    "MIN",
    "TYPE",
    "KIND",
    "TTL",
    "AGE",
    "EXPIRY",
    "EXPIRES",
    "EXPIRATION",
    "ID",
    "POLICY",
    "FIELD",
    "HEADER",
    "PARAM",
    "VERSION",
    "REF",
    "USER",
    "ENABLED",
    "REQUIRED",
    "STORE",
    "PROVIDER",
    "ALGORITHM",
    "ALG",
    "ENCODING",
    "ENCODER",
    "ENCRYPTION",
    "FORMAT",
    "HASHER",
    "METHOD",
    "SCHEME",
];

/// Whether a name says that its value is a secret, wherever in it the word stands:
/// `DB_PASSWORD_PROD`, `db-pass`, `dbPassword`, `api_key`. `PWD` alone is a shell's folder.
pub fn names_secret(name: &str) -> bool {
    let words = words(name);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    if matches!(words.as_slice(), ["PWD" | "OLDPWD"] | ["MAX" | "MIN" | "NUM", ..]) {
        return false;
    }
    let about = words.len() > 1 && words.last().is_some_and(|last| ABOUT.contains(last));
    !about && words.iter().enumerate().any(|(at, word)| says_secret(&words, at, word))
}

/// The same more readily, for values that are looked for in texts and hidden there: any key may
/// be one, and what a name is about may hold it after all.
pub fn may_name_secret(name: &str) -> bool {
    let words = words(name);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    // `GIT_CONFIG_KEY_0` names a setting of git's; its value is in `GIT_CONFIG_VALUE_0`.
    let names_setting = matches!(words.as_slice(), ["GIT", "CONFIG", "KEY", ..]);
    !names_setting
        && !matches!(words.as_slice(), ["PWD" | "OLDPWD"])
        && words.iter().enumerate().any(|(at, word)| {
            *word == "KEY"
                || *word == "PASS"
                || says_secret(&words, at, word)
                || ENDS.iter().any(|text| word.contains(text))
        })
}

fn says_secret(words: &[&str], at: usize, word: &str) -> bool {
    let before = at.checked_sub(1).and_then(|before| words.get(before));
    let after = words.get(at + 1);
    WORDS.contains(&word)
        || ENDS.iter().any(|end| word.ends_with(end))
        || (word == "KEY" && before.is_some_and(|kind| KEYS.contains(kind)))
        || (word == "CONNECTION" && after == Some(&"STRING"))
        // A name that begins with it is about passing: `pass_through`.
        || (word == "PASS" && (at > 0 || after.is_none()))
}

/// The words of a name in capitals, however they are put together: `dbPassword`, `db-password`.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut lower = false;
    for c in name.chars() {
        if !c.is_alphanumeric() || (c.is_uppercase() && lower) {
            words.push(String::new());
        }
        lower = c.is_lowercase() || c.is_ascii_digit();
        if c.is_alphanumeric()
            && let Some(word) = words.last_mut()
        {
            word.extend(c.to_uppercase());
        }
    }
    // `PASSWORD2` is one more password.
    for word in &mut words {
        let bare = word.trim_end_matches(|c: char| c.is_ascii_digit()).len();
        if bare > 0 {
            word.truncate(bare);
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell() {
        for name in [
            "PASS",
            "DB_PASS",
            "db-pass",
            "DB_PASSWORD_PROD",
            "dbPasswordProd",
            "PASSWORD2",
            "DATABASE_PASSWD",
            "DB_PWD",
            "APP_SECRET_OLD",
            "GITHUB_TOKEN",
            "SYSTEM_ACCESSTOKEN",
            "api_key",
            "API-KEY",
            "apiKey",
            "OPENAI_APIKEY",
            "AWS_SECRET_ACCESS_KEY",
            "STRIPE_PRIVATE_KEY_LIVE",
            "CREDENTIAL",
            "AZURE_STORAGE_CONNECTION_STRING",
            "SECRET_KEY_BASE",
        ] {
            assert!(names_secret(name) && may_name_secret(name), "{name}");
        }
        for name in [
            "PWD",
            "OLDPWD",
            "KEYBOARD",
            "MONKEY",
            "PASSED",
            "PASSENGERS",
            "BYPASS",
            "COMPASS_URL",
            "pass_through",
            "pass_rate",
            "TEST_PASS_RATE",
            "max_tokens",
            "MAX_TOKEN",
            "TOKENIZERS_PARALLELISM",
            "api_key_env",
            "TOKEN_FILE",
            "password-stdin",
            "password_encryption",
            "token_format",
            "PATH",
            "PARTITION_KEY",
            "KEY",
            "",
        ] {
            assert!(!names_secret(name), "{name}");
        }
        assert!(may_name_secret("SERVICE_KEY") && may_name_secret("TOKEN_NAME"));
        assert!(!may_name_secret("PWD") && !may_name_secret("KEYBOARD"));
        assert!(!may_name_secret("GIT_CONFIG_KEY_0"));
    }
}
