//! Tokens of those who call the hub. Only a hash of the secret is kept; a secret is shown once.

use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use uuid::Uuid;

use super::columns::{micros, opt_time, time};
use super::connect::TaskStore;
use super::error::StoreError;
use super::record::Record;
use super::value::args;
use greenloop_hub_api::types::Timestamp;

/// What a token allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// To look.
    Read,
    /// To claim, to report on own attempts, to say that one is there.
    Work,
    /// To submit, cancel, retry, and to make tokens.
    Admin,
}

impl Scope {
    pub const ALL: &[Self] = &[Self::Read, Self::Work, Self::Admin];

    /// The name on the command line and in the database.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Work => "work",
            Self::Admin => "admin",
        }
    }

    /// The one of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|one| one.name() == name)
    }
}

/// A token to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRequest {
    /// For people: who has it.
    pub name: String,
    /// The one agent that may use it; any when `None`.
    pub agent: Option<String>,
    /// What it allows.
    pub scopes: Vec<Scope>,
    /// How long it is good for; until it is revoked when `None`.
    pub valid_for: Option<Duration>,
}

/// A token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenView {
    /// Its id: no secret.
    pub id: String,
    /// For people.
    pub name: String,
    /// The one agent that may use it.
    pub agent: Option<String>,
    /// What it allows.
    pub scopes: Vec<Scope>,
    /// When it was made.
    pub created_at: Timestamp,
    /// It is good until then.
    pub expires_at: Option<Timestamp>,
    /// It was revoked then.
    pub revoked_at: Option<Timestamp>,
}

/// A token that was just made.
#[derive(Debug)]
pub struct NewToken {
    /// The token.
    pub token: TokenView,
    /// `glh_<id>_<secret>`: what its holder is given, and nobody ever sees again.
    pub secret: SecretString,
}

/// Tells our tokens from other people's.
const PREFIX: &str = "glh_";

impl TaskStore {
    /// Makes a token.
    ///
    /// # Errors
    /// `Invalid` for one that allows nothing.
    pub async fn create_token(&self, request: &TokenRequest) -> Result<NewToken, StoreError> {
        if request.scopes.is_empty() {
            return Err(StoreError::invalid("a token needs at least one scope"));
        }
        let id = short_id();
        // Twice 122 random bits from the system.
        let secret = format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
        let whole = SecretString::from(format!("{PREFIX}{id}_{secret}"));
        let asked = Arc::new((request.clone(), id.clone(), hash(&secret).to_hex().to_string()));
        self.write(move |tx| {
            let asked = Arc::clone(&asked);
            Box::pin(async move {
                let (request, id, hash) = &*asked;
                let scopes: Vec<String> =
                    request.scopes.iter().map(|it| it.name().to_owned()).collect();
                tx.run(
                    "INSERT INTO tokens (id, name, agent, scopes, secret_hash, created_at, \
                     expires_at) VALUES ($1, $2, $3, $4, $5, {now}, {now} + $6)",
                    args![
                        id,
                        &request.name,
                        &request.agent,
                        scopes.as_slice(),
                        hash,
                        request.valid_for.map(micros),
                    ],
                )
                .await?;
                Ok(())
            })
        })
        .await?;
        Ok(NewToken { token: self.token(&id).await?, secret: whole })
    }

    /// Whose token this is, when it is one that is good now. The comparison takes as long for a
    /// wrong secret as for the right one.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn verify_token(&self, token: &str) -> Result<Option<TokenView>, StoreError> {
        let Some((id, secret)) = token.strip_prefix(PREFIX).and_then(|it| it.split_once('_'))
        else {
            return Ok(None);
        };
        let row = self
            .reader()
            .await?
            .tx()
            .maybe(
                "SELECT * FROM tokens WHERE id = $1 AND revoked_at IS NULL \
                     AND (expires_at IS NULL OR expires_at > {now})",
                args![id],
            )
            .await?;
        let Some(row) = row else { return Ok(None) };
        let kept = blake3::Hash::from_hex(row.text("secret_hash")?)
            .map_err(|_error| StoreError::corrupt("the hash of a token is invalid"))?;
        // Hashes of blake3 compare in constant time.
        if hash(secret) == kept { view(&row).map(Some) } else { Ok(None) }
    }

    /// Ends a token. Nothing happens to one that was revoked before.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn revoke_token(&self, id: &str) -> Result<TokenView, StoreError> {
        let asked = id.to_owned();
        self.write(move |tx| {
            let id = asked.clone();
            Box::pin(async move {
                tx.run(
                    "UPDATE tokens SET revoked_at = {now} WHERE id = $1 AND revoked_at IS NULL",
                    args![&id],
                )
                .await?;
                Ok(())
            })
        })
        .await?;
        self.token(id).await
    }

    /// One token.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn token(&self, id: &str) -> Result<TokenView, StoreError> {
        let row = self
            .reader()
            .await?
            .tx()
            .maybe("SELECT * FROM tokens WHERE id = $1", args![id])
            .await?;
        row.as_ref()
            .map(view)
            .transpose()?
            .ok_or_else(|| StoreError::not_found(format_args!("token {id}")))
    }

    /// All tokens, by their time.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn tokens(&self) -> Result<Vec<TokenView>, StoreError> {
        let mut reader = self.reader().await?;
        let tx = &mut reader.tx();
        let rows = tx.all("SELECT * FROM tokens ORDER BY created_at, id", args![]).await?;
        rows.iter().map(view).collect()
    }
}

fn short_id() -> String {
    Uuid::new_v4().simple().to_string().chars().take(12).collect()
}

/// Secrets are long and random: a fast hash is as good as a slow one.
fn hash(secret: &str) -> blake3::Hash {
    blake3::hash(secret.as_bytes())
}

impl NewToken {
    /// The secret as text, for the one place that shows it.
    pub fn expose(&self) -> &str {
        self.secret.expose_secret()
    }
}

fn view(row: &Record) -> Result<TokenView, StoreError> {
    Ok(TokenView {
        id: row.text("id")?,
        name: row.text("name")?,
        agent: row.opt_text("agent")?,
        scopes: row
            .list("scopes")?
            .iter()
            .map(|name| {
                Scope::from_name(name)
                    .ok_or_else(|| StoreError::corrupt(format!("a token has the scope `{name}`")))
            })
            .collect::<Result<_, _>>()?,
        created_at: time(row, "created_at")?,
        expires_at: opt_time(row, "expires_at")?,
        revoked_at: opt_time(row, "revoked_at")?,
    })
}
