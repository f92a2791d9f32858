//! Who asks, and whether they may: taken out of a request before its body is read.
//!
//! Scopes are steps: `admin` may what `work` may, and that what `read` may. Without a token
//! nobody changes anything; whether anybody may look is the hub's setting.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::FromRequestParts;
use axum::http::HeaderMap;
use axum::http::header::{AUTHORIZATION, SEC_WEBSOCKET_PROTOCOL};
use axum::http::request::Parts;

use super::Api;
use super::problem::{Kind, Problem};
use crate::store::{Operator, Scope, TokenView};
use greenloop_evidence::Redactor;

/// Where a request came from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) SocketAddr);

/// The prefix of the WebSocket subprotocol that carries a token: a browser cannot send another
/// header there.
const SUBPROTOCOL: &str = "bearer.";

/// Bytes of the reason for an action.
const LONGEST_REASON: usize = 4_096;

/// Who asks.
#[derive(Debug, Clone)]
pub(super) enum Caller {
    /// Somebody on this machine, without a token.
    Anonymous,
    /// The holder of a token.
    Token(Arc<TokenView>),
}

impl Caller {
    /// For logs and idempotency keys: no secret.
    pub(super) fn id(&self) -> &str {
        match self {
            Self::Anonymous => "anonymous",
            Self::Token(token) => &token.id,
        }
    }

    /// Whether it may speak for this agent.
    pub(super) fn must_be(&self, agent: &str) -> Result<(), Problem> {
        match self.agent() {
            Some(own) if own != agent => Err(Problem::new(
                Kind::Forbidden,
                format!("the token {} is restricted to the agent {own}", self.id()),
            )),
            Some(_) | None => Ok(()),
        }
    }

    /// The one agent that it may speak for.
    pub(super) fn agent(&self) -> Option<&str> {
        match self {
            Self::Anonymous => None,
            Self::Token(token) => token.agent.as_deref(),
        }
    }

    /// The token's name.
    pub(super) fn name(&self) -> Option<&str> {
        match self {
            Self::Anonymous => None,
            Self::Token(token) => Some(&token.name),
        }
    }

    /// The most that it may do.
    pub(super) fn scope(&self) -> Scope {
        Scope::ALL.iter().rev().copied().find(|it| self.may(*it)).unwrap_or(Scope::Read)
    }

    /// As the one who does something, and why.
    pub(super) fn operator(&self, reason: &str) -> Result<Operator, Problem> {
        let reason = reason.trim();
        if reason.len() > LONGEST_REASON {
            let message = format!("it is at most {LONGEST_REASON} bytes long");
            return Err(Problem::invalid("$.reason", message));
        }
        Ok(Operator {
            token: self.id().to_owned(),
            agent: self.agent().map(str::to_owned),
            name: self.name().unwrap_or("anonymous").to_owned(),
            reason: Redactor::default().redact(reason).into_owned(),
        })
    }

    fn may(&self, scope: Scope) -> bool {
        match self {
            Self::Anonymous => scope == Scope::Read,
            // In the order of their steps.
            Self::Token(token) => token.scopes.iter().any(|has| *has >= scope),
        }
    }
}

/// Somebody who may look.
#[derive(Debug)]
pub(super) struct Reader(pub(super) Caller);

/// Somebody who may work.
#[derive(Debug)]
pub(super) struct Worker(pub(super) Caller);

/// Somebody who may do everything.
#[derive(Debug)]
pub(super) struct Admin(pub(super) Caller);

macro_rules! caller {
    ($($name:ident, $scope:ident => $made:expr);+) => {$(
        impl FromRequestParts<Arc<Api>> for $name {
            type Rejection = Problem;

            async fn from_request_parts(
                parts: &mut Parts,
                api: &Arc<Api>,
            ) -> Result<Self, Problem> {
                caller(parts, api, Scope::$scope).await.map($made)
            }
        }
    )+};
}

caller!(Reader, Read => Reader; Worker, Work => Worker; Admin, Admin => Admin);

async fn caller(parts: &mut Parts, api: &Api, scope: Scope) -> Result<Caller, Problem> {
    let peer = parts.extensions.get::<Peer>().map(|peer| peer.0.ip());
    let caller = identify(&parts.headers, peer, api).await?;
    api.callers.take(caller.id().to_owned(), Instant::now()).map_err(slow_down)?;
    if caller.may(scope) {
        return Ok(caller);
    }
    match caller {
        Caller::Anonymous => Err(Problem::new(
            Kind::Unauthorised,
            format!(
                "this needs a token with the scope {0}: greenloop hub token create --scope {0}",
                scope.name()
            ),
        )),
        Caller::Token(token) => Err(Problem::new(
            Kind::Forbidden,
            format!("the token {} lacks the scope {}", token.id, scope.name()),
        )),
    }
}

async fn identify(headers: &HeaderMap, peer: Option<IpAddr>, api: &Api) -> Result<Caller, Problem> {
    let Some(token) = presented(headers)? else {
        if api.settings.open_to_read {
            return Ok(Caller::Anonymous);
        }
        return Err(Problem::new(
            Kind::Unauthorised,
            "this hub requires a token: authorization: Bearer glh_…",
        ));
    };
    // Whoever guesses is soon slow; whoever holds a good token is not held up by them.
    if let Some(peer) = peer.filter(|_| !api.tokens.knows(token)) {
        api.guesses.look(peer, Instant::now()).map_err(slow_down)?;
    }
    match api.tokens.verify(token).await? {
        Some(token) => Ok(Caller::Token(token)),
        None => {
            if let Some(peer) = peer {
                let _noted = api.guesses.take(peer, Instant::now());
            }
            Err(Problem::new(
                Kind::Unauthorised,
                "the token is unknown to this hub, has expired or was revoked",
            ))
        }
    }
}

/// The token of a request; a header that is something else is not taken for none.
pub(super) fn presented(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let malformed =
        || Problem::new(Kind::Unauthorised, "the header must be: authorization: Bearer glh_…");
    if let Some(value) = headers.get(AUTHORIZATION) {
        let text = value.to_str().map_err(|_not_text| malformed())?;
        let (scheme, token) = text.split_once(' ').ok_or_else(malformed)?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(malformed());
        }
        return Ok(Some(token.trim()));
    }
    Ok(headers
        .get_all(SEC_WEBSOCKET_PROTOCOL)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .find_map(|one| one.trim().strip_prefix(SUBPROTOCOL)))
}

fn slow_down(wait: Duration) -> Problem {
    let milliseconds = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).max(1);
    Problem::new(Kind::TooManyRequests, format!("too many requests: retry in {milliseconds} ms"))
        .retry_after_ms(milliseconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &'static str, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name.parse().unwrap(), value.parse().unwrap())])
    }

    #[test]
    fn a_token_is_found_where_it_may_be() {
        for (name, value, expect) in [
            ("authorization", "Bearer glh_a_b", Some("glh_a_b")),
            ("authorization", "bearer glh_a_b", Some("glh_a_b")),
            ("sec-websocket-protocol", "greenloop.v1, bearer.glh_a_b", Some("glh_a_b")),
            ("sec-websocket-protocol", "greenloop.v1", None),
            ("accept", "glh_a_b", None),
        ] {
            assert_eq!(presented(&headers(name, value)).unwrap(), expect, "{name}: {value}");
        }
        for value in ["Basic glh_a_b", "glh_a_b", "Bearer"] {
            presented(&headers("authorization", value)).unwrap_err();
        }
    }

    #[test]
    fn scopes_are_steps() {
        let token = |scopes: &[Scope]| {
            Caller::Token(Arc::new(TokenView {
                id: "t".to_owned(),
                name: "t".to_owned(),
                agent: Some("one".to_owned()),
                scopes: scopes.to_vec(),
                created_at: greenloop_hub_api::types::Timestamp(0),
                expires_at: None,
                revoked_at: None,
            }))
        };
        for (scopes, may) in [
            (vec![Scope::Read], [true, false, false]),
            (vec![Scope::Work], [true, true, false]),
            (vec![Scope::Admin], [true, true, true]),
            (vec![Scope::Read, Scope::Work], [true, true, false]),
        ] {
            let caller = token(&scopes);
            assert_eq!(Scope::ALL.iter().map(|it| caller.may(*it)).collect::<Vec<_>>(), may);
        }
        assert!(!Caller::Anonymous.may(Scope::Work));
        token(&[Scope::Work]).must_be("one").unwrap();
        token(&[Scope::Work]).must_be("two").unwrap_err();
    }
}
