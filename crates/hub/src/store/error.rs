//! What goes wrong with the store, by what follows from it.

use std::error::Error as StdError;

use super::dialect::Dialect;

/// The kind of an error of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreErrorKind {
    /// There is no such thing.
    NotFound,
    /// The lease is not held any more: somebody else has the task or the branch. Nothing changed.
    StaleLease,
    /// It cannot be done as things stand: a wrong state, or an idempotency key that was used for
    /// something else. Nothing changed.
    Conflict,
    /// Whoever asks may not do it. Nothing changed.
    Forbidden,
    /// The request makes no sense. Nothing changed.
    Invalid,
    /// Too much is going on at once. The same call may be made again.
    Busy,
    /// The database cannot be reached, or broke off. The same call may be made again, with the
    /// same idempotency key: it may have happened.
    Unavailable,
    /// What is in the database makes no sense, or is of another version of this program.
    Corrupt,
}

impl StoreErrorKind {
    /// Whether the same call may succeed later.
    pub const fn is_transient(self) -> bool {
        match self {
            Self::Busy | Self::Unavailable => true,
            Self::NotFound
            | Self::StaleLease
            | Self::Conflict
            | Self::Forbidden
            | Self::Invalid
            | Self::Corrupt => false,
        }
    }
}

/// The store did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct StoreError {
    /// The kind, which decides what follows.
    pub kind: StoreErrorKind,
    /// One line for a person.
    pub message: String,
    #[source]
    pub source: Option<Box<dyn StdError + Send + Sync>>,
}

impl StoreError {
    pub(super) fn new(kind: StoreErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    pub(super) fn with(
        kind: StoreErrorKind,
        message: impl Into<String>,
        source: impl Into<Box<dyn StdError + Send + Sync>>,
    ) -> Self {
        Self { kind, message: message.into(), source: Some(source.into()) }
    }

    pub(super) fn not_found(what: impl std::fmt::Display) -> Self {
        Self::new(StoreErrorKind::NotFound, format!("there is no {what}"))
    }

    pub(super) fn conflict(message: impl Into<String>) -> Self {
        Self::new(StoreErrorKind::Conflict, message)
    }

    pub(super) fn forbidden(message: impl Into<String>) -> Self {
        Self::new(StoreErrorKind::Forbidden, message)
    }

    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::new(StoreErrorKind::Invalid, message)
    }

    pub(super) fn stale(message: impl Into<String>) -> Self {
        Self::new(StoreErrorKind::StaleLease, message)
    }

    pub(super) fn corrupt(message: impl Into<String>) -> Self {
        Self::new(StoreErrorKind::Corrupt, message)
    }
}

/// What a database error means for the transaction that met it.
pub(super) enum DatabaseError {
    /// A conflict with another transaction: it may be retried.
    Again(StoreError),
    /// It is over.
    Final(StoreError),
}

/// `sqlite` result codes: <https://www.sqlite.org/rescode.html>; the low byte is the primary code.
const SQLITE_BUSY: i64 = 5;
const SQLITE_LOCKED: i64 = 6;
const SQLITE_READONLY: i64 = 8;
const SQLITE_IOERR: i64 = 10;
const SQLITE_CORRUPT: i64 = 11;
const SQLITE_FULL: i64 = 13;
const SQLITE_CANTOPEN: i64 = 14;
const SQLITE_NOTADB: i64 = 26;

/// Sorts an error of the database.
pub(super) fn sort(dialect: Dialect, error: sqlx::Error) -> DatabaseError {
    use StoreErrorKind::{Busy, Corrupt, Unavailable};

    if let sqlx::Error::Database(database) = &error {
        if database.is_unique_violation() {
            return DatabaseError::Again(StoreError::with(
                Busy,
                "two requests wrote the same record at once",
                error,
            ));
        }
        let code = database.code().unwrap_or_default();
        let (again, kind, message) = match dialect {
            Dialect::Sqlite => match code.parse::<i64>().unwrap_or(0) & 0xff {
                SQLITE_BUSY | SQLITE_LOCKED => (false, Busy, "the database file is locked"),
                SQLITE_CORRUPT | SQLITE_NOTADB => (false, Corrupt, "the database file is damaged"),
                SQLITE_FULL => (false, Unavailable, "the disk is full"),
                SQLITE_IOERR | SQLITE_CANTOPEN | SQLITE_READONLY => {
                    (false, Unavailable, "could not read or write the database file")
                }
                _other => (false, Corrupt, "the database refused a statement"),
            },
            // Classes: https://www.postgresql.org/docs/current/errcodes-appendix.html
            Dialect::Postgres => match (code.get(..2).unwrap_or_default(), code.as_ref()) {
                ("40", _) | (_, "55P03") => (true, Busy, "transactions conflicted"),
                ("08" | "57" | "58", _) | (_, "25006") => {
                    (false, Unavailable, "the connection to the database was lost")
                }
                ("53", _) => (false, Unavailable, "the database is out of resources"),
                ("28", _) => (false, Unavailable, "the database rejected the login"),
                _other => (false, Corrupt, "the database refused a statement"),
            },
        };
        let error = StoreError::with(kind, message, error);
        return if again { DatabaseError::Again(error) } else { DatabaseError::Final(error) };
    }
    let (kind, message) = match &error {
        sqlx::Error::PoolTimedOut => (Busy, "all connections to the database are in use"),
        sqlx::Error::Configuration(_) => {
            (StoreErrorKind::Invalid, "the database's address is invalid")
        }
        sqlx::Error::ColumnDecode { .. }
        | sqlx::Error::ColumnNotFound(_)
        | sqlx::Error::Decode(_)
        | sqlx::Error::TypeNotFound { .. }
        | sqlx::Error::ColumnIndexOutOfBounds { .. } => {
            (Corrupt, "a record in the database is invalid")
        }
        _connection => (Unavailable, "the database is unreachable"),
    };
    DatabaseError::Final(StoreError::with(kind, message, error))
}
