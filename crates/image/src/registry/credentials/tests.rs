use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use secrecy::ExposeSecret as _;
use tempfile::TempDir;

use super::*;

/// A home with Docker's configuration, and a helper that does what `script` says.
struct Home {
    folder: TempDir,
}

impl Home {
    fn new(config: &str, script: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join(".docker")).unwrap();
        std::fs::write(folder.path().join(".docker/config.json"), config).unwrap();
        let helper = folder.path().join("docker-credential-test");
        std::fs::write(&helper, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&helper, std::fs::Permissions::from_mode(0o755)).unwrap();
        Self { folder }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    async fn login(&self, host: &str) -> Result<Option<Login>, RegistryError> {
        let home = self.path().display().to_string();
        let env = move |name: &str| match name {
            "HOME" => Some(home.clone()),
            "PATH" => Some(format!("{home}:/usr/bin:/bin")),
            _ => None,
        };
        Credentials::new(Arc::new(env), None).login(host).await
    }
}

const STORE: &str = r#"{"credsStore": "test"}"#;

#[tokio::test]
async fn a_helper_is_asked_with_the_host_on_its_input() {
    let answer = r#"test "$1" = get || exit 1
        host=$(cat)
        case "$host" in
          token.example) echo '{"ServerURL": "x", "Username": "<token>", "Secret": "a-token"}';;
          none.example) echo 'credentials not found in native keychain'; exit 1;;
          *) printf '{"Username": "me", "Secret": "for %s"}' "$host";;
        esac"#;
    let home = Home::new(STORE, answer);
    for (host, expect) in [
        ("one.example:5000", Some(("me", "for one.example:5000", false))),
        ("docker.io", Some(("me", "for https://index.docker.io/v1/", false))),
        ("token.example", Some(("", "a-token", true))),
        ("none.example", None),
    ] {
        let login = home.login(host).await.unwrap();
        let seen = login.as_ref().map(|login| {
            (login.username.as_str(), login.password.expose_secret(), login.identity_token)
        });
        assert_eq!(seen, expect, "{host}");
    }
}

#[tokio::test]
async fn helpers_are_for_their_hosts_only() {
    let config = r#"{"credHelpers": {"one.example": "test"}}"#;
    let home = Home::new(config, r#"echo '{"Username": "me", "Secret": "x"}'"#);
    assert!(home.login("one.example").await.unwrap().is_some());
    assert!(home.login("two.example").await.unwrap().is_none());
}

#[tokio::test]
async fn a_helper_that_is_no_help_is_an_error_unless_the_file_knows_better() {
    for (config, script) in [
        (STORE, "echo 'the key store is locked'; exit 1"),
        (STORE, "echo 'no JSON: s3cret-value'"),
        (STORE, "exit 0"),
        (r#"{"credsStore": "absent"}"#, ""),
        (r#"{"credsStore": "../docker-credential-test"}"#, "echo '{}'"),
    ] {
        let error = Home::new(config, script).login("one.example").await.unwrap_err();
        assert_eq!(error.kind, RegistryErrorKind::Auth, "{config} {script}");
        let whole = format!("{} {error:?}", greenloop_model::error_chain(&error));
        assert!(!whole.contains("s3cret"), "{whole}");
    }
    let config = r#"{"credsStore": "absent", "auths": {"one.example": {"auth": "bWU6cHc="}}}"#;
    let login = Home::new(config, "").login("one.example").await.unwrap().unwrap();
    assert_eq!(login.username, "me");
}

#[tokio::test]
async fn a_file_that_is_not_dockers_is_told_without_what_it_holds() {
    let error = Home::new("{\"auths\": s3cret", "").login("one.example").await.unwrap_err();
    assert_eq!(error.kind, RegistryErrorKind::Auth);
    assert!(error.message.contains("config.json") && !format!("{error:?}").contains("s3cret"));
    for nothing in ["", "{}", "  \n"] {
        assert!(Home::new(nothing, "").login("one.example").await.unwrap().is_none());
    }
    let none = Credentials::new(Arc::new(|_: &str| None), None);
    assert!(none.login("one.example").await.unwrap().is_none());
}

#[tokio::test]
async fn half_a_login_is_a_mistake() {
    for given in [USERNAME, PASSWORD] {
        let env = move |name: &str| (name == given).then(|| "x".to_owned());
        let error = Credentials::new(Arc::new(env), None).login("h").await.unwrap_err();
        assert_eq!(error.kind, RegistryErrorKind::Auth);
        assert!(error.message.contains(USERNAME) && error.message.contains(PASSWORD), "{error}");
    }
}
