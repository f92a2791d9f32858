//! Whether a machine has a managed identity: off Azure, the address of the metadata service
//! answers nothing, and asking it for a token would take minutes.

use std::time::Duration;

use url::Url;

use greenloop_http::HttpClients;

/// Where a virtual machine in Azure finds its metadata.
pub(super) const METADATA: &str = "http://169.254.169.254/";
/// On Azure it answers in a few milliseconds.
const TOKEN_TIMEOUT: Duration = Duration::from_secs(1);

/// Whether the metadata service answers as Azure's does: a request without its header is
/// refused with 400; other clouds have other services at this address, which say 401 or 404.
pub(super) async fn is_there(http: &HttpClients, metadata: Option<&Url>) -> bool {
    let own = Url::parse(METADATA).ok();
    let Some(Ok(url)) =
        metadata.or(own.as_ref()).map(|base| base.join("metadata/identity/oauth2/token"))
    else {
        return false;
    };
    let Ok(client) = http.client(&url) else { return false };
    let query = [("api-version", "2018-02-01")];
    match tokio::time::timeout(TOKEN_TIMEOUT, client.get(url).query(&query).send()).await {
        Ok(Ok(answer)) => answer.status() == http::StatusCode::BAD_REQUEST,
        Ok(Err(_)) | Err(_) => false,
    }
}
