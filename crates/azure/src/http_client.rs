//! How the requests of `azure_identity` reach their servers: through our own clients, and to
//! other addresses where the settings say so.

use std::sync::Arc;

use azure_core::cloud::{CloudConfiguration, CustomConfiguration};
use azure_core::error::ErrorKind;
use azure_core::http::{
    AsyncRawResponse, ClientOptions, ExponentialRetryOptions, HttpClient, Request, RetryOptions,
    Transport,
};
use azure_core::time::Duration;
use url::{Origin, Url};

use super::cloud::Cloud;
use greenloop_http::HttpClients;

/// Sends as [`HttpClients`] does. `azure_identity` takes no authority but an https one, and knows
/// one address for a machine's metadata: what goes there is sent where it is really wanted.
#[derive(Debug)]
struct AzureHttpClient {
    http: Arc<HttpClients>,
    routes: Vec<(Origin, Url)>,
}

#[async_trait::async_trait]
impl HttpClient for AzureHttpClient {
    async fn execute_request(&self, request: &Request) -> azure_core::Result<AsyncRawResponse> {
        let origin = request.url().origin();
        let mut request = request.clone();
        if let Some((_, to)) = self.routes.iter().find(|(from, _)| *from == origin) {
            let url = request.url_mut();
            // The setters fail only for URLs that cannot have a host or a port; these have both.
            let moved = url.set_scheme(to.scheme()).is_ok()
                && url.set_host(to.host_str()).is_ok()
                && url.set_port(to.port()).is_ok();
            if !moved {
                let message = "could not change the address";
                return Err(azure_core::Error::with_message(ErrorKind::Other, message));
            }
        }
        let client = self.http.client(request.url()).map_err(|error| {
            azure_core::Error::with_error(
                ErrorKind::Other,
                error,
                "could not create an HTTP \
                client",
            )
        })?;
        client.execute_request(&request).await
    }
}

/// Options for a credential of this cloud. `metadata` takes the place of the address at which a
/// machine in Azure finds its metadata.
pub(super) fn options(
    http: Arc<HttpClients>,
    cloud: &Cloud,
    metadata: Option<&Url>,
) -> ClientOptions {
    let mut routes = Vec::new();
    let mut authority = cloud.authority.clone();
    if authority.scheme() == "http" && authority.set_scheme("https").is_err() {
        // Cannot be: http and https are both special schemes. The credential says what is wrong.
        authority = cloud.authority.clone();
    }
    // `set_scheme` keeps a port that is the other scheme's own, and the origin tells.
    routes.push((authority.origin(), cloud.authority.clone()));
    if let (Some(to), Ok(from)) = (metadata, Url::parse(super::managed::METADATA)) {
        routes.push((from.origin(), to.clone()));
    }
    let mut custom = CustomConfiguration::default();
    authority.as_str().clone_into(&mut custom.authority_host);
    let retry = RetryOptions::exponential(ExponentialRetryOptions {
        initial_delay: Duration::milliseconds(200),
        max_retries: 3,
        max_total_elapsed: Duration::seconds(20),
        ..ExponentialRetryOptions::default()
    });
    ClientOptions {
        retry,
        transport: Some(Transport::new(Arc::new(AzureHttpClient { http, routes }))),
        cloud: Some(Arc::new(CloudConfiguration::from(custom))),
        ..ClientOptions::default()
    }
}
