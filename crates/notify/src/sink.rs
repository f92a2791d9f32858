//! Receivers, and one delivery to one.

use std::time::Duration;

use http::header::{CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use http::{Method, StatusCode};
use secrecy::SecretString;
use url::Url;

use super::{Notification, body, signature};
use greenloop_config::plan::NotificationPlan;
use greenloop_http::retry::{ExponentialBuilder, retry_after};
use greenloop_http::{HttpClients, HttpError, Outgoing, checked, words};
use greenloop_model::{NotificationForm, NotificationKind};

/// A receiver of notifications.
#[derive(Clone)]
pub struct Sink {
    /// As messages call it.
    pub name: String,
    form: NotificationForm,
    url: Url,
    secret: Option<SecretString>,
    /// Empty: all.
    events: Vec<NotificationKind>,
}

impl std::fmt::Debug for Sink {
    /// Never the address.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sink")
            .field("name", &self.name)
            .field("form", &self.form)
            .finish_non_exhaustive()
    }
}

/// Why there is no receiver.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SinkError {
    /// The variable with its address, or with its secret, is not set.
    #[error("notification sink `{sink}`: the environment variable {variable} is not set")]
    Unset { sink: String, variable: String },
    /// The variable holds no address of a web server.
    #[error(
        "notification sink `{sink}`: the environment variable {variable} does not hold an http or \
         https address"
    )]
    Address { sink: String, variable: String },
}

/// Why a delivery did not arrive.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("notification sink `{sink}`: {message}")]
pub struct DeliveryError {
    sink: String,
    message: String,
    /// Whether the same delivery may arrive later.
    pub again: bool,
    /// What the receiver asked for.
    pub after: Option<Duration>,
}

impl Sink {
    /// The receiver that a configuration names; `env` looks variables up.
    ///
    /// # Errors
    /// When a variable is not set, or its value is no address.
    pub fn of(
        plan: &NotificationPlan,
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, SinkError> {
        let value = |variable: &str| {
            let value = env(variable).map(|it| it.trim().to_owned()).filter(|it| !it.is_empty());
            value.ok_or_else(|| SinkError::Unset {
                sink: plan.name.clone(),
                variable: variable.to_owned(),
            })
        };
        let url = Url::parse(&value(&plan.url_env)?).ok();
        let url = url.filter(|it| matches!(it.scheme(), "http" | "https") && it.host().is_some());
        let url = url.ok_or_else(|| SinkError::Address {
            sink: plan.name.clone(),
            variable: plan.url_env.clone(),
        })?;
        let secret = plan.secret_env.as_deref().map(value).transpose()?;
        Ok(Self {
            name: plan.name.clone(),
            form: plan.form,
            url,
            secret: secret.map(SecretString::from),
            events: plan.events.clone(),
        })
    }

    /// Whether it wants to hear of such a thing.
    pub fn wants(&self, kind: NotificationKind) -> bool {
        self.events.is_empty() || self.events.contains(&kind)
    }
}

/// Sends notifications.
#[derive(Debug, Default)]
pub struct Sender {
    http: HttpClients,
}

impl Sender {
    /// Sends a notification, with `retry` between tries; `now` is signed, in seconds since the
    /// epoch.
    ///
    /// # Errors
    /// When it did not arrive.
    pub async fn send(
        &self,
        sink: &Sink,
        notification: &Notification,
        now: i64,
        retry: ExponentialBuilder,
    ) -> Result<(), DeliveryError> {
        let body = body(notification, sink.form).to_string();
        let body = checked("a receiver of notifications", body.as_bytes()).into_owned();
        let mut request = Outgoing::new(Method::POST, sink.url.clone());
        let mut header = |name: &'static str, value: &str| {
            if let Ok(value) = HeaderValue::from_str(value) {
                request.headers.insert(HeaderName::from_static(name), value);
            }
        };
        header("webhook-id", &notification.id);
        header("webhook-timestamp", &now.to_string());
        if let Some(secret) = &sink.secret {
            let signed = signature(secret, &notification.id, now, &body);
            header("webhook-signature", &signed);
        }
        request.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        request.body = body.into();
        let failed = |message: String, again: bool, after: Option<Duration>| DeliveryError {
            sink: sink.name.clone(),
            message,
            again,
            after,
        };
        let answer = self.http.send(&request, retry).await.map_err(|error| match error {
            HttpError::Connection(source) => {
                let why = greenloop_model::error_chain(&source.without_url());
                failed(format!("no connection: {why}"), true, None)
            }
            other @ (HttpError::Late | HttpError::TooLong) => failed(other.to_string(), true, None),
        })?;
        if answer.status.is_success() {
            return Ok(());
        }
        let again = answer.status.is_server_error()
            || matches!(answer.status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT);
        let asked = answer.headers.contains_key(RETRY_AFTER);
        let after = asked.then(|| retry_after(&answer.headers, jiff_now(now))).flatten();
        let said = words(&String::from_utf8_lossy(&answer.body));
        let said = if said.is_empty() { String::new() } else { format!(": {said}") };
        Err(failed(format!("it answered {}{said}", answer.status.as_u16()), again, after))
    }
}

fn jiff_now(seconds: i64) -> jiff::Timestamp {
    jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use wiremock::matchers::{method, path};
    use wiremock::{Mock, MockServer, ResponseTemplate};

    use super::*;

    fn plan() -> NotificationPlan {
        NotificationPlan {
            name: "ops".to_owned(),
            form: NotificationForm::Generic,
            url_env: "OPS_URL".to_owned(),
            secret_env: Some("OPS_SECRET".to_owned()),
            events: vec![NotificationKind::RunStopped],
        }
    }

    fn notification() -> Notification {
        Notification {
            id: "n-1".to_owned(),
            kind: NotificationKind::RunStopped,
            at: 7,
            title: "staging: stopped".to_owned(),
            text: String::new(),
            link: None,
            facts: Vec::new(),
        }
    }

    fn sink(address: &str) -> Sink {
        let address = format!("{address}/hook/of-nobody-else");
        let env =
            |name: &str| Some(if name == "OPS_URL" { address.clone() } else { "key".to_owned() });
        Sink::of(&plan(), &env).unwrap()
    }

    #[tokio::test]
    async fn a_receiver_that_refuses_first_gets_it_again_with_the_same_id() {
        let server = MockServer::start().await;
        let hook = || Mock::given(method("POST")).and(path("/hook/of-nobody-else"));
        hook().respond_with(ResponseTemplate::new(503)).up_to_n_times(2).mount(&server).await;
        hook().respond_with(ResponseTemplate::new(204)).mount(&server).await;
        let quick =
            ExponentialBuilder::new().with_min_delay(Duration::from_millis(1)).with_max_times(4);
        let sink = sink(&server.uri());
        Sender::default().send(&sink, &notification(), 1_614_265_330, quick).await.unwrap();
        let received = server.received_requests().await.unwrap();
        assert_eq!(received.len(), 3);
        let expect = signature(
            &SecretString::from("key".to_owned()),
            "n-1",
            1_614_265_330,
            &received[0].body,
        );
        for request in received {
            assert_eq!(request.headers["webhook-id"], "n-1");
            assert_eq!(request.headers["webhook-timestamp"], "1614265330");
            assert_eq!(request.headers["webhook-signature"], expect.as_str());
            assert_eq!(request.headers["content-type"], "application/json");
        }
    }

    #[tokio::test]
    async fn a_failure_says_whether_to_try_again_and_never_the_address() {
        let server = MockServer::start().await;
        let once = ExponentialBuilder::new().with_max_times(0);
        for (status, again, after) in
            [(400, false, None), (429, true, Some(7)), (500, true, None), (408, true, None)]
        {
            server.reset().await;
            let mut answer = ResponseTemplate::new(status).set_body_string("no such hook");
            if let Some(seconds) = after {
                answer = answer.insert_header("retry-after", seconds.to_string().as_str());
            }
            Mock::given(method("POST")).respond_with(answer).mount(&server).await;
            let sent = Sender::default().send(&sink(&server.uri()), &notification(), 1, once).await;
            let error = sent.unwrap_err();
            assert_eq!(error.again, again, "{status}");
            assert_eq!(error.after.map(|it| it.as_secs()), after, "{status}");
            let text = error.to_string();
            assert!(text.contains(&format!("answered {status}: no such hook")), "{text}");
            assert!(!text.contains("of-nobody-else"), "{text}");
        }
        let closed = sink("http://127.0.0.1:1");
        let error = Sender::default().send(&closed, &notification(), 1, once).await.unwrap_err();
        assert!(error.again && !format!("{error:?} {error}").contains("of-nobody-else"), "{error}");
    }

    #[test]
    fn a_sink_needs_its_variables_and_shows_none_of_their_values() {
        let env = |name: &str| match name {
            "OPS_URL" => Some("https://hooks.example/T00/secret".to_owned()),
            "OPS_SECRET" => Some("hunter2".to_owned()),
            _ => None,
        };
        let sink = Sink::of(&plan(), &env).unwrap();
        assert!(sink.wants(NotificationKind::RunStopped));
        assert!(!sink.wants(NotificationKind::RunVerified));
        let shown = format!("{sink:?}");
        assert!(!shown.contains("secret") && !shown.contains("hunter2"), "{shown}");
        let unset = Sink::of(&plan(), &|_| None).unwrap_err();
        assert!(unset.to_string().contains("OPS_URL is not set"), "{unset}");
        let wrong = Sink::of(&plan(), &|_| Some("ftp://x".to_owned())).unwrap_err();
        assert!(wrong.to_string().contains("does not hold"), "{wrong}");
    }
}
