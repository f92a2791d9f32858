use secrecy::ExposeSecret as _;
use serde_json::json;
use wiremock::matchers::{header_exists, method, path, query_param};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::*;
use crate::fake::Counting;

const PATH: &str = "/subscriptions/s-1/resourceGroups/fleet%20group/providers/\
    Microsoft.ContainerService/managedClusters/fleet/listClusterUserCredential";

fn kubeconfig(user: &str) -> String {
    let b64 = |text: &str| STANDARD.encode(text);
    STANDARD.encode(format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: fleet\npreferences: {{}}\n\
         clusters:\n- cluster:\n    certificate-authority-data: {}\n    \
         server: https://fleet-dns-1.hcp.westeurope.azmk8s.io:443\n  name: fleet\n\
         contexts:\n- context:\n    cluster: fleet\n    user: clusterUser\n  name: fleet\n\
         users:\n- name: clusterUser\n  user:\n{user}",
        b64("-----BEGIN CERTIFICATE-----")
    ))
}

async fn ask(answer: ResponseTemplate) -> Result<AksCluster, AzureError> {
    let server = MockServer::start().await;
    Mock::given(method("POST"))
        .and(path(PATH))
        .and(query_param("format", "exec"))
        .and(query_param("api-version", API_VERSION))
        .and(header_exists("authorization"))
        .respond_with(answer)
        .mount(&server)
        .await;
    let azure = AzurePlan { resource_manager: Some(server.uri()), ..AzurePlan::default() };
    let aks = AksPlan {
        subscription: "s-1".into(),
        resource_group: "fleet group".into(),
        cluster: "fleet".into(),
    };
    cluster(&Identity::with_credential(Counting::living(3600)), &azure, &aks).await
}

fn given(user: &str) -> ResponseTemplate {
    let config = kubeconfig(user);
    let body = json!({"kubeconfigs": [{"name": "clusterUser", "value": config}]});
    ResponseTemplate::new(200).set_body_json(body)
}

#[tokio::test]
async fn a_cluster_that_knows_entra_is_given_a_token_in_the_plugins_place() {
    for user in [
        "    exec:\n      apiVersion: client.authentication.k8s.io/v1beta1\n      \
         command: kubelogin\n      args: [get-token, --server-id, x]\n",
        "    auth-provider:\n      name: azure\n      config: {environment: AzurePublicCloud}\n",
    ] {
        let cluster = ask(given(user)).await.unwrap();
        assert_eq!(cluster.server, "https://fleet-dns-1.hcp.westeurope.azmk8s.io:443");
        assert_eq!(cluster.certificate_authority, b"-----BEGIN CERTIFICATE-----");
        assert_eq!(cluster.token_scope, Some("6dae42f8-4368-4678-94ff-3960e28e3630/.default"));
        assert!(cluster.client_certificate.is_none() && cluster.token.is_none());
    }
}

#[tokio::test]
async fn a_cluster_with_accounts_of_its_own_gives_a_certificate() {
    let b64 = |text: &str| STANDARD.encode(text);
    let user = format!(
        "    client-certificate-data: {}\n    client-key-data: {}\n    token: a-static-token\n",
        b64("a certificate"),
        b64("a private key")
    );
    let cluster = ask(given(&user)).await.unwrap();
    assert_eq!(cluster.token_scope, None);
    assert!(!format!("{cluster:?}").contains("private key"));
    assert!(!format!("{cluster:?}").contains("a-static-token"));
    let (certificate, key) = cluster.client_certificate.unwrap();
    assert_eq!(
        (certificate.as_slice(), key.expose_secret()),
        (&b"a certificate"[..], "a private key")
    );
    assert_eq!(cluster.token.unwrap().expose_secret(), "a-static-token");
}

#[tokio::test]
async fn refusals_say_what_to_do() {
    let arm = |status: u16, code: &str| {
        let body = json!({"error": {"code": code, "message": "it says"}});
        ResponseTemplate::new(status).set_body_json(body)
    };
    for (answer, kind, words) in [
        (arm(404, "ResourceNotFound"), AzureErrorKind::NotFound, "deploy.kubernetes.aks"),
        (arm(403, "AuthorizationFailed"), AzureErrorKind::Forbidden, "Cluster User"),
        (arm(401, "InvalidAuthenticationTokenTenant"), AzureErrorKind::Auth, "tenant"),
        (
            arm(409, "OperationNotAllowed"),
            AzureErrorKind::Refused,
            "409 OperationNotAllowed: it says",
        ),
        (given("    username: x\n"), AzureErrorKind::Protocol, "no token, key or certificate"),
        (
            ResponseTemplate::new(200).set_body_json(json!({"kubeconfigs": []})),
            AzureErrorKind::Protocol,
            "no kubeconfig",
        ),
        (
            ResponseTemplate::new(200).set_body_json(
                json!({"kubeconfigs": [{"name": "x", "value": "c2VjcmV0LXg6IFs="}]}),
            ),
            AzureErrorKind::Protocol,
            "unexpected format",
        ),
    ] {
        let error = ask(answer).await.unwrap_err();
        assert_eq!(error.kind, kind, "{error:?}");
        assert!(error.message.contains(words), "{error}");
        assert!(!greenloop_model::error_chain(&error).contains("secret-x"), "{error:?}");
    }
}
