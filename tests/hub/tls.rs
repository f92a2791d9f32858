//! TLS.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::program::{Client, Hub};
use super::stores::Place;

/// A self-signed certificate for this machine.
fn certificate(folder: &Path) -> (PathBuf, PathBuf) {
    let (certificate, key) = (folder.join("tls.crt"), folder.join("tls.key"));
    let output = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"])
        .args(["-nodes", "-days", "2", "-subj", "/CN=localhost"])
        .args(["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    (certificate, key)
}

#[tokio::test]
async fn with_a_certificate_it_speaks_tls_and_nothing_else() {
    let place = Place::sqlite();
    let (certificate, key) = certificate(place.folder.path());
    let (certificate_path, key_path) = (certificate.to_str().unwrap(), key.to_str().unwrap());
    let arguments =
        ["--listen", "127.0.0.1:0", "--tls-cert", certificate_path, "--tls-key", key_path];
    let hub = Hub::start_with(&place, &arguments);
    assert_eq!(hub.scheme, "https");
    let pem = std::fs::read(&certificate).unwrap();
    let http = reqwest::Client::builder()
        .tls_certs_only([reqwest::Certificate::from_pem(&pem).unwrap()])
        .build()
        .unwrap();
    let client = Client { http, ..hub.admin(&place) };
    let answer = client.get("/graphs").await;
    assert!(answer.headers.contains_key("strict-transport-security"));
    answer.expect(200);
    client.submit(super::program::tasks(1)).await;
    assert!(client.claim("w", 0).await.is_some());

    let plain = format!("http://{}/api/v1/health", hub.address);
    let refused = reqwest::get(plain).await;
    assert!(refused.is_err(), "{refused:?}");
    let stranger = reqwest::Client::builder().build().unwrap();
    stranger.get(hub.url("/api/v1/health")).send().await.unwrap_err();
}

#[test]
fn what_is_no_certificate_is_refused() {
    let place = Place::sqlite();
    let (certificate, key) = certificate(place.folder.path());
    let (certificate, key) = (certificate.to_str().unwrap(), key.to_str().unwrap());
    for (certificate, key) in [("/nowhere", key), (key, key), (certificate, "/nowhere")] {
        let arguments = ["--listen", "127.0.0.1:0", "--tls-cert", certificate, "--tls-key", key];
        let said = Hub::try_start(&place, &arguments).err().unwrap();
        assert!(said.contains("the hub cannot serve TLS"), "{said}");
    }
}
