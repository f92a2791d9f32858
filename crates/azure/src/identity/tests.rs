use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use azure_core::credentials::TokenCredential;
use secrecy::ExposeSecret as _;
use serde_json::json;
use wiremock::matchers::{body_string_contains, header, method, path, query_param};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::*;
use crate::fake::Counting;

const ARM: &str = "https://management.azure.com/.default";
const TENANT: &str = "7b795fb9-0000-0000-0000-494864f99ba3";

/// The variables, and a path with no developer tools on it.
fn identity(plan: &AzurePlan, variables: &[(&str, &str)]) -> Result<Identity, AzureError> {
    let variables: BTreeMap<&str, &str> = variables.iter().copied().collect();
    Identity::new(plan, &|name| variables.get(name).map(|value| (*value).to_owned()))
}

/// A token server on this machine.
async fn authority() -> (MockServer, AzurePlan) {
    let server = MockServer::start().await;
    let plan = AzurePlan { authority_host: Some(server.uri()), ..AzurePlan::default() };
    (server, plan)
}

fn granted(token: &str) -> ResponseTemplate {
    ResponseTemplate::new(200)
        .set_body_json(json!({"token_type": "Bearer", "expires_in": 3600, "access_token": token}))
}

#[tokio::test]
async fn a_client_secret_is_exchanged_at_the_tenants_authority() {
    let (server, plan) = authority().await;
    Mock::given(method("POST"))
        .and(path(format!("/{TENANT}/oauth2/v2.0/token")))
        .and(body_string_contains("grant_type=client_credentials"))
        .and(body_string_contains("client_id=an-app"))
        .and(body_string_contains("client_secret=s3cret%7Evalue"))
        .and(body_string_contains("scope=https%3A%2F%2Fmanagement.azure.com%2F.default"))
        .respond_with(granted("arm-token"))
        .expect(1)
        .mount(&server)
        .await;
    let identity = identity(
        &plan,
        &[
            ("AZURE_TENANT_ID", TENANT),
            ("AZURE_CLIENT_ID", "an-app"),
            ("AZURE_CLIENT_SECRET", "s3cret~value\n"),
        ],
    )
    .unwrap();
    assert_eq!(identity.sources(), ["the client secret", "the managed identity"]);
    assert_eq!(identity.worked(), None);
    for _ in 0..2 {
        assert_eq!(identity.token(ARM).await.unwrap().expose_secret(), "arm-token");
    }
    assert_eq!(identity.clone().worked(), Some("the client secret"));
    assert!(!format!("{identity:?}").contains("s3cret"));
}

#[tokio::test]
async fn a_wrong_client_secret_is_told_and_nobody_else_is_asked() {
    let (server, plan) = authority().await;
    Mock::given(method("POST"))
        .respond_with(ResponseTemplate::new(401).set_body_json(json!({
            "error": "invalid_client",
            "error_description": "AADSTS7000215: Invalid client secret provided.",
            "error_codes": [7000215]
        })))
        .expect(1)
        .mount(&server)
        .await;
    let identity = identity(
        &plan,
        &[
            ("AZURE_TENANT_ID", TENANT),
            ("AZURE_CLIENT_ID", "an-app"),
            ("AZURE_CLIENT_SECRET", "wr0ng-secret"),
            // Not asked: it would be somebody else.
            ("AZURE_POD_IDENTITY_AUTHORITY_HOST", &server.uri()),
        ],
    )
    .unwrap();
    let error = identity.token(ARM).await.unwrap_err();
    assert_eq!(error.kind, AzureErrorKind::Auth, "{error:?}");
    assert_eq!(error.to_string(), "could not get a Microsoft Entra token from the client secret");
    let whole = greenloop_model::error_chain(&error);
    assert!(whole.contains("AADSTS7000215"), "{whole}");
    assert!(!format!("{whole} {error:?}").contains("wr0ng"), "{error:?}");
}

#[tokio::test]
async fn an_authority_that_is_down_is_no_refusal() {
    let plan =
        AzurePlan { authority_host: Some("http://127.0.0.1:9".into()), ..AzurePlan::default() };
    let variables = [
        ("AZURE_TENANT_ID", TENANT),
        ("AZURE_CLIENT_ID", "an-app"),
        ("AZURE_CLIENT_SECRET", "a-secret"),
    ];
    let error = identity(&plan, &variables).unwrap().token(ARM).await.unwrap_err();
    assert_eq!(error.kind, AzureErrorKind::Unreachable, "{error:?}");
}

#[tokio::test]
async fn a_workload_identity_shows_its_file() {
    let (server, plan) = authority().await;
    Mock::given(method("POST"))
        .and(path(format!("/{TENANT}/oauth2/v2.0/token")))
        .and(body_string_contains("client_assertion=a-federated-token"))
        .and(body_string_contains(
            "client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer",
        ))
        .respond_with(granted("workload-token"))
        .expect(1)
        .mount(&server)
        .await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "a-federated-token").unwrap();
    let plan =
        AzurePlan { tenant_id: Some(TENANT.into()), client_id: Some("a-workload".into()), ..plan };
    let identity =
        identity(&plan, &[("AZURE_FEDERATED_TOKEN_FILE", file.to_str().unwrap())]).unwrap();
    assert_eq!(identity.token(ARM).await.unwrap().expose_secret(), "workload-token");
    assert_eq!(identity.worked(), Some("the workload identity"));

    std::fs::remove_file(&file).unwrap();
    let error = identity.token("https://other/.default").await.unwrap_err();
    assert_eq!(error.kind, AzureErrorKind::NotConfigured, "{error:?}");
}

/// The metadata service of a virtual machine: 400 without its header, a token with it.
async fn metadata(server: &MockServer) {
    let expires = OffsetDateTime::now_utc().unix_timestamp() + 86_400;
    Mock::given(method("GET"))
        .and(path("/metadata/identity/oauth2/token"))
        .and(header("metadata", "true"))
        .and(query_param("resource", "https://management.azure.com"))
        .respond_with(ResponseTemplate::new(200).set_body_json(json!({
            "access_token": "machine-token",
            "expires_on": expires.to_string(),
            "resource": "https://management.azure.com",
            "token_type": "Bearer"
        })))
        .with_priority(1)
        .mount(server)
        .await;
    Mock::given(method("GET"))
        .respond_with(ResponseTemplate::new(400).set_body_json(json!({
            "error": "invalid_request",
            "error_description": "Required metadata header not specified"
        })))
        .mount(server)
        .await;
}

#[tokio::test]
async fn a_managed_identity_is_asked_where_there_is_one() {
    let server = MockServer::start().await;
    metadata(&server).await;
    let variables = [("AZURE_POD_IDENTITY_AUTHORITY_HOST", server.uri())];
    let variables = variables.each_ref().map(|(name, value)| (*name, value.as_str()));
    let plan = AzurePlan { client_id: Some("assigned".into()), ..AzurePlan::default() };
    let identity = identity(&plan, &variables).unwrap();
    assert_eq!(identity.token(ARM).await.unwrap().expose_secret(), "machine-token");
    assert_eq!(identity.worked(), Some("the managed identity"));
    let asked = server.received_requests().await.unwrap();
    assert_eq!(asked.len(), 2, "one probe and one request");
    assert!(asked[1].url.query().unwrap().contains("client_id=assigned"), "{}", asked[1].url);
}

#[tokio::test]
async fn off_azure_nothing_hangs() {
    // What another cloud says at this address.
    let server = MockServer::start().await;
    Mock::given(method("GET"))
        .respond_with(ResponseTemplate::new(401))
        .expect(1)
        .mount(&server)
        .await;
    let uri = server.uri();
    let variables = [("AZURE_POD_IDENTITY_AUTHORITY_HOST", uri.as_str())];
    let identity = identity(&AzurePlan::default(), &variables).unwrap();
    for _ in 0..2 {
        let error = identity.token(ARM).await.unwrap_err();
        assert_eq!(error.kind, AzureErrorKind::NoCredential);
        assert!(error.message.contains("the managed identity (this machine has none)"), "{error}");
    }

    // An address that takes connections and never answers.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let uri = format!("http://{}", silent.local_addr().unwrap());
    let variables = [("AZURE_POD_IDENTITY_AUTHORITY_HOST", uri.as_str())];
    let error = self::identity(&AzurePlan::default(), &variables).unwrap().token(ARM).await;
    assert_eq!(error.unwrap_err().kind, AzureErrorKind::NoCredential);
}

#[tokio::test]
async fn the_azure_cli_is_used_when_it_is_installed() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let az = folder.path().join("az");
    let expires = OffsetDateTime::now_utc().unix_timestamp() + 3600;
    let script = format!(
        "#!/bin/sh\ncase \"$*\" in\n  *--tenant*{TENANT}*) ;;\n  *) echo no tenant >&2; exit 1;;\nesac\n\
         echo '{{\"accessToken\": \"cli-token\", \"expires_on\": {expires}, \"tokenType\": \"Bearer\"}}'\n"
    );
    std::fs::write(&az, script).unwrap();
    std::fs::set_permissions(&az, std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:/usr/bin:/bin", folder.path().display());
    // Nothing listens presence, so that the machine is not taken for one in Azure.
    let variables = [
        ("PATH", path.as_str()),
        ("AZURE_POD_IDENTITY_AUTHORITY_HOST", "http://127.0.0.1:9"),
        ("AZURE_TENANT_ID", TENANT),
    ];
    let identity = identity(&AzurePlan::default(), &variables).unwrap();
    assert_eq!(identity.sources(), ["the managed identity", "the Azure CLI (az)"]);
    assert_eq!(identity.token(ARM).await.unwrap().expose_secret(), "cli-token");
    assert_eq!(identity.worked(), Some("the Azure CLI (az)"));
}

#[test]
fn the_environment_decides_which_ways_there_are() {
    let app = [("AZURE_TENANT_ID", "t-1"), ("AZURE_CLIENT_ID", "c-1")];
    let pipeline =
        [("SYSTEM_OIDCREQUESTURI", "https://dev.azure.com/x"), ("SYSTEM_ACCESSTOKEN", "t")];
    let with = |more: &[(&'static str, &'static str)]| [&app[..], &pipeline[..], more].concat();
    for (variables, expect) in [
        (vec![], vec![]),
        (app.to_vec(), vec![]),
        ([&app[..], &[("AZURE_CLIENT_SECRET", "s")]].concat(), vec!["the client secret"]),
        (vec![("AZURE_CLIENT_SECRET", "s")], vec![]),
        ([&app[..], &[("AZURE_CLIENT_SECRET", " ")]].concat(), vec![]),
        (with(&[]), vec![]),
        (with(&[("AZURE_SERVICE_CONNECTION_ID", "c")]), vec!["the pipeline's service connection"]),
        (
            [
                &pipeline[..],
                &[
                    ("AZURESUBSCRIPTION_TENANT_ID", "t-1"),
                    ("AZURESUBSCRIPTION_CLIENT_ID", "c-1"),
                    ("AZURESUBSCRIPTION_SERVICE_CONNECTION_ID", "c"),
                ],
            ]
            .concat(),
            vec!["the pipeline's service connection"],
        ),
        (
            with(&[
                ("AZURE_SERVICE_CONNECTION_ID", "c"),
                ("AZURE_FEDERATED_TOKEN_FILE", "/f"),
                ("AZURE_CLIENT_SECRET", "s"),
            ]),
            vec!["the client secret", "the pipeline's service connection", "the workload identity"],
        ),
    ] {
        let sources = identity(&AzurePlan::default(), &variables).unwrap().sources();
        assert_eq!(sources, [&expect[..], &["the managed identity"]].concat(), "{variables:?}");
    }
}

#[tokio::test]
async fn a_token_is_held_until_shortly_before_it_expires() {
    for (lives, expect) in [(3600, 1), (200, 2)] {
        let credential = Counting::living(lives);
        let identity = Identity::with_credential(credential.clone());
        identity.token(ARM).await.unwrap();
        identity.clone().token(ARM).await.unwrap();
        assert_eq!(credential.asked.load(Ordering::SeqCst), expect, "{lives}");
        identity.token("https://vault.azure.net/.default").await.unwrap();
        assert_eq!(credential.asked.load(Ordering::SeqCst), expect + 1, "a scope of its own");
        identity.forget(ARM).await;
        identity.token(ARM).await.unwrap();
        assert_eq!(credential.asked.load(Ordering::SeqCst), expect + 2, "forgotten");
    }
}

#[tokio::test]
async fn many_who_want_one_token_ask_for_it_once() {
    let credential = Counting::living(3600);
    let identity = Identity::with_credential(credential.clone());
    let all = (0..20).map(|_| identity.token(ARM));
    let tokens = futures::future::join_all(all).await;
    assert!(tokens.iter().all(|token| token.as_ref().unwrap().expose_secret() == "token-1"));
    assert_eq!(credential.asked.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn the_way_that_works_is_kept_and_all_are_named_when_none_does() {
    let (bad, good) = (Counting::living(-1), Counting::living(0));
    let identity = Identity::with_sources([
        ("bad", Presence::Perhaps, bad.clone() as Arc<dyn TokenCredential>),
        ("good", Presence::Perhaps, good.clone()),
    ]);
    identity.token(ARM).await.unwrap();
    identity.token(ARM).await.unwrap();
    assert_eq!(bad.asked.load(Ordering::SeqCst), 1);
    assert_eq!(good.asked.load(Ordering::SeqCst), 2);
    assert_eq!(identity.worked(), Some("good"));

    let identity = Identity::with_sources([
        ("this", Presence::Perhaps, bad.clone() as Arc<dyn TokenCredential>),
        ("that", Presence::Perhaps, bad),
    ]);
    let error = identity.token(ARM).await.unwrap_err();
    assert_eq!(error.to_string(), "could not get a Microsoft Entra token from this, that");
    assert_eq!(error.kind, AzureErrorKind::Auth);
}

/// What the credentials of `azure_identity` read from the process's own environment, they read
/// in a process of its own.
fn elsewhere(variables: &[(&str, &str)]) -> String {
    let exe = std::env::current_exe().unwrap();
    let name = "identity::tests::in_an_environment_of_its_own";
    let output = std::process::Command::new(exe)
        .args(["--exact", name, "--ignored", "--nocapture"])
        .env_remove("PATH")
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[tokio::test]
#[ignore = "run by the tests that prepare its environment"]
async fn in_an_environment_of_its_own() {
    let env = |name: &str| std::env::var(name).ok();
    let identity = Identity::new(&AzurePlan::default(), &env).unwrap();
    match identity.token(ARM).await {
        Ok(token) => println!("token {} from {:?}", token.expose_secret(), identity.worked()),
        Err(error) => println!("error {:?} {}", error.kind, greenloop_model::error_chain(&error)),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipeline_shows_a_token_for_its_service_connection() {
    let (server, _) = authority().await;
    Mock::given(method("POST"))
        .and(path("/org/_apis/oidctoken"))
        .and(query_param("serviceConnectionId", "a-connection"))
        .and(query_param("api-version", "7.1"))
        .and(header("authorization", "Bearer the-jobs-token"))
        .and(header("x-tfs-fedauthredirect", "Suppress"))
        .respond_with(
            ResponseTemplate::new(200).set_body_json(json!({"oidcToken": "an-oidc-token"})),
        )
        .expect(1)
        .mount(&server)
        .await;
    Mock::given(method("POST"))
        .and(path(format!("/{TENANT}/oauth2/v2.0/token")))
        .and(body_string_contains("client_assertion=an-oidc-token"))
        .respond_with(granted("pipeline-token"))
        .expect(1)
        .mount(&server)
        .await;
    let uri = server.uri();
    let oidc = format!("{uri}/org/_apis/oidctoken");
    let seen = tokio::task::spawn_blocking(move || {
        elsewhere(&[
            ("SYSTEM_OIDCREQUESTURI", &oidc),
            ("SYSTEM_ACCESSTOKEN", "the-jobs-token"),
            ("AZURE_AUTHORITY_HOST", &uri),
            ("AZURESUBSCRIPTION_TENANT_ID", TENANT),
            ("AZURESUBSCRIPTION_CLIENT_ID", "an-app"),
            ("AZURESUBSCRIPTION_SERVICE_CONNECTION_ID", "a-connection"),
        ])
    })
    .await
    .unwrap();
    let expect = "token pipeline-token from Some(\"the pipeline's service connection\")";
    assert!(seen.contains(expect), "{seen}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_service_has_an_endpoint_of_its_own() {
    let server = MockServer::start().await;
    let expires = OffsetDateTime::now_utc().unix_timestamp() + 3600;
    Mock::given(method("GET"))
        .and(path("/msi/token"))
        .and(header("x-identity-header", "a-header"))
        .and(query_param("resource", "https://management.azure.com"))
        .respond_with(ResponseTemplate::new(200).set_body_json(json!({
            "access_token": "app-token", "expires_on": expires.to_string(),
            "resource": "https://management.azure.com", "token_type": "Bearer"
        })))
        .expect(1)
        .mount(&server)
        .await;
    let endpoint = format!("{}/msi/token", server.uri());
    let seen = tokio::task::spawn_blocking(move || {
        elsewhere(&[("IDENTITY_ENDPOINT", &endpoint), ("IDENTITY_HEADER", "a-header")])
    })
    .await
    .unwrap();
    assert!(seen.contains("token app-token from Some(\"the managed identity\")"), "{seen}");
}
