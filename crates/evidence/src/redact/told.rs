//! Secrets in markup, command lines and sentences: the text before the value names
//! it, without a `=` or `:` between the two.

use regex::bytes::Captures;

use greenloop_model::names_secret;

use super::assignment::is_placeholder;

/// `<password>…</password>`, `<add key="ApiKey" value="…"/>`.
pub(super) const MARKUP: &str = r#"(?x)
    < (?: [A-Za-z][\w-]*: )? (?P<name> [A-Za-z][\w.-]* ) > \s* (?P<s> [^<>\s]{4,} ) \s* </
  | < [^<>\r\n]*? \b(?i:key|name|id) \s*=\s* ["'] (?P<key> [\w.:-]+ ) ["'] [^<>\r\n]*? \b(?i:value) \s*=\s*
    (?: "(?P<dq> [^"\r\n]{4,} )" | '(?P<sq> [^'\r\n]{4,} )' )"#;

/// A part of a connection string that is not the first.
pub(super) const CONNECTION: &str = r#"(?ix)
    \b [a-z][a-z\ _]* \ ?=\ ? [^;="'\r\n]* ; (?: [^;"'\r\n]* ; )*? \s*
    (?: password | pwd | (?:account|access|sharedaccess)key ) \ ?=\ ? (?P<s> [^;"'\s]{3,} )"#;

/// Programs that take a secret as an argument, or from a pipe that is fed on the same line.
pub(super) const COMMAND: &str = r#"(?x)
    \b(?: docker | podman | nerdctl | buildah | skopeo | oras | crane | helm | az | cf | ibmcloud | oc | twine | flit | pulp )\b
      [^\r\n|;&]*? \b(?:login|upload|publish)\b [^\r\n|;&]*? \s -p (?: \s+ | = )? (?P<s> ['"]?[^\s'"-][^\s'"]{3,} )
  | \bnuget\b [^\r\n|;&]*? \b(?:push|setapikey)\b [^\r\n|;&]*? \s (?: -k | -[Aa]pi[Kk]ey ) \s+ (?P<dq> ['"]?[^\s'"-][^\s'"]{7,} )
  | \bvault \s+ login \s+ (?: -\S+ \s+ )* (?: token= )? (?P<sq> [^\s=-][^\s=]{7,} )
  | \s -pass(?:in|out|word)? \s+ pass: (?P<bare> [^\s'"]{4,} )"#;

/// `echo … | docker login --password-stdin`, `echo user:… | chpasswd`.
pub(super) const PIPED: &str = r#"(?x)
    \b(?:echo|printf) \s+ (?: -\w+ \s+ )* (?: ['"]%s(?:\\n)?['"] \s+ )?
    (?: ['"]? (?P<s> [^\s'"|]{4,} ) ['"]? \s* \| [^\r\n]*? \s -{1,2} (?: pass(?:word)?-stdin | with-token | stdin )\b
      | ['"]? [\w.-]+ : (?P<dq> [^\s'"|]{4,} ) ['"]? \s* \| \s* (?: \S+ \s+ )*? chpasswd\b )"#;

/// `aws configure set aws_secret_access_key …`, `setx API_SECRET …`.
pub(super) const SET: &str = r#"(?ix)
    \b(?: (?:config|configure) \s+ (?:set|add) | set | setx | setenv | config | configure | add ) \s+ (?: -\S+ \s+ )* (?P<name> [^\s=]+ ) \s+ ['"]? (?P<s> [^\s'"=]{6,} )"#;

/// A line of a `.netrc`.
pub(super) const NETRC: &str = r"(?xm)
    (?: \b login \s+ \S+ \s+ | ^ \s* ) password \s+ (?P<s> \S{4,} ) \s* (?: $ | account\b | macdef\b )";

/// `password set to …`, `Your new secret access key: …`, `Passwort: …`.
pub(super) const SENTENCE: &str = r#"(?ix)
    \b (?: (?: password | passphrase | passwort | kennwort | token | secret | key ) \s+
           (?: (?: was | is | has\ been ) \s+ )? (?: set | reset | changed | updated | rotated ) \s+ to \s* :?
         | (?: (?: secret | access | api | signing | private | encryption | shared | account | master ) \s+ )+ key \s* [:=]
         | (?: pw | passwort | kennwort ) \s* [:=] )
    \s* ['"`]? (?P<s> [^\s'"`,;]{6,} )"#;

fn value<'t>(captures: &Captures<'t>) -> &'t [u8] {
    let value = ["s", "dq", "sq", "bare"].into_iter().find_map(|name| captures.name(name));
    let value = value.map(|found| found.as_bytes()).unwrap_or_default();
    value.strip_prefix(b"\"").or(value.strip_prefix(b"'")).unwrap_or(value)
}

/// Letters and digits: no word of a sentence.
fn is_mixed(value: &[u8]) -> bool {
    value.iter().any(u8::is_ascii_digit) && value.iter().any(u8::is_ascii_alphabetic)
}

/// Whether the name is one of a secret's, and the value none of a type or of a keyword.
pub(super) fn named(captures: &Captures<'_>) -> bool {
    let name = captures.name("name").or_else(|| captures.name("key"));
    let name = name.map(|found| String::from_utf8_lossy(found.as_bytes()));
    let value = value(captures);
    // A grammar's `<token>return</token>` is a word; a password may be one.
    let password = |name: &str| name.to_ascii_lowercase().contains("pass");
    name.is_some_and(|name| names_secret(&name) && (password(&name) || is_mixed(value)))
        && !is_placeholder(value)
}

/// The same, for a value that a name comes before with nothing but a blank between.
pub(super) fn set(captures: &Captures<'_>) -> bool {
    named(captures) && is_mixed(value(captures))
}

/// Whether the value is a real one, and not a placeholder.
pub(super) fn given(captures: &Captures<'_>) -> bool {
    !is_placeholder(value(captures))
}

/// The same, where the text may also be a word of a sentence.
pub(super) fn mixed(captures: &Captures<'_>) -> bool {
    let value = value(captures);
    is_mixed(value) && !is_placeholder(value) && !value.starts_with(b"/") && !value.contains(&b'(')
}

#[cfg(test)]
mod tests {
    use super::super::Redactor;

    #[test]
    fn what_is_told_to_be_a_secret_is_hidden() {
        let hex = "a1b2c3d4".repeat(8);
        let (forty, base64) = (&hex[..40], "aB3dE6gH9j".repeat(4));
        let table = [
            ("GITHUB_PAT=§", "Zk3v0xT7mLp2RwB"),
            ("export AZURE_DEVOPS_PAT: §", "Zk3v0xT7mLp2RwB"),
            ("<password>§</password>", "hunterhunter"),
            ("  <ns:clientSecret>§</ns:clientSecret>", "Zk3v0xT7mLp2RwB"),
            ("<add key=\"ApiKey\" value=\"§\" />", "Zk3v0xT7mLp2RwB"),
            ("<property name='db.password' value='§'/>", "hunterhunter"),
            ("connectionString=\"Server=x;User Id=y;Password=§;\"", "hunterhunter"),
            ("Data Source=tcp:x,1433; Initial Catalog=a; Pwd=§; Encrypt=true", "hunterhunter"),
            ("git clone https://§@github.com/a/b.git", "Zk3v001xT7mLp2RwB"),
            ("docker login -u x -p § reg.example.org", "hunterhunter"),
            ("+ podman login reg.example.org -p '§'", "hunterhunter"),
            ("az login --service-principal -u x -p § --tenant y", "hunterhunter"),
            ("twine upload -u x -p § dist/*", "hunterhunter"),
            ("nuget push x.nupkg -k §", "Zk3v0xT7mLp2RwB"),
            ("dotnet nuget push x.nupkg -ApiKey §", "Zk3v0xT7mLp2RwB"),
            ("vault login §", "Zk3v0xT7mLp2RwB"),
            ("openssl rsa -in k.pem -passin pass:§ -out o", "hunterhunter"),
            ("openssl pkcs12 -passout pass:§", "hunterhunter"),
            ("echo § | docker login --password-stdin -u x", "hunterhunter"),
            ("echo \"§\" | gh auth login --with-token", "hunterhunter"),
            ("echo \"root:§\" | sudo chpasswd", "hunterhunter"),
            ("aws configure set aws_secret_access_key § --profile p", "Zk3v0xT7mLp2RwB"),
            ("npm config set //registry.npmjs.org/:_authToken §", "Zk3v0xT7mLp2RwB"),
            ("setx API_SECRET §", "Zk3v0xT7mLp2RwB"),
            ("machine github.com login x password §", "hunter2hunter"),
            ("  password §", "hunter2hunter"),
            ("root password set to §", "Zk3v0xT7mLp2RwB"),
            ("Your new secret access key: §", "Zk3v0xT7mLp2RwB"),
            ("signing key: §", "Zk3v0xT7mLp2RwB"),
            ("pw: §", "Zk3v0xT7mLp2RwB"),
            ("Passwort: §", "Zk3v0xT7mLp2RwB"),
            ("password: |\n  §\n", "hunterhunter"),
            ("\"password\":\n  \"§\"\n", "hunterhunter"),
            ("DB_PASSWORD=\n§\n", "Zk3v0xT7mLp2RwB"),
            ("got gto_§", forty),
            ("got doo_v1_§", &hex),
            ("got CCIPAT_aBcDeFgHiJkLmNoPqRsTuV_§", forty),
            ("got bkua_§", forty),
            ("discord MTIzNDU2Nzg5MDEyMzQ1Njc4.GaBcDe.§", &base64[..38]),
            ("https://discord.com/api/webhooks/123456789012345678/§", &base64),
            ("Authorization: Bot §", &base64),
        ];
        let redactor = Redactor::default();
        for (frame, secret) in table {
            let text = frame.replace('§', secret);
            let shown = redactor.redact(&text);
            assert!(!shown.contains(secret) && shown.contains("[redacted"), "{text} -> {shown}");
            let mut stream = redactor.line_redactor();
            let mut out = Vec::new();
            stream.push(text.as_bytes(), &mut out);
            stream.finish(&mut out);
            assert_eq!(String::from_utf8_lossy(&out), shown, "{text}");
        }
    }

    #[test]
    fn what_only_speaks_of_one_is_left_alone() {
        let redactor = Redactor::default();
        for text in [
            "JAVA_PATH=/usr/lib/jvm2",
            "<password>${env.DB_PASSWORD}</password>",
            "<token>return</token> <keyword>class</keyword>",
            "<add key=\"timeout\" value=\"30seconds\" />",
            "<property name=\"token.type\" value=\"jwt2\"/>",
            "git clone https://myorg2@dev.azure.com/myorg2/x/_git/y",
            "docker run -p 8080:8080 login-service",
            "docker login -u x -p $DOCKER_PASSWORD",
            "docker login --password-stdin registry1.example.org",
            "cat token.txt | docker login --password-stdin",
            "echo $TOKEN | docker login -u x --password-stdin",
            "npm config set registry https://registry2.example.org",
            "aws configure set region eu-central-1",
            "cannot set token type2 here",
            "config: secret key1 has no owner",
            "the password must hold 8 characters",
            "password set to expire",
            "vault login -method=oidc",
            "vault login failed, retrying",
            "primary key: users2_id",
            "error: token set to (none)",
            "pass: test2",
            "  12 | <token>abc</token>",
        ] {
            assert_eq!(redactor.redact(text), text);
        }
    }
}
