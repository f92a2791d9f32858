//! The two databases behind one connection type: sqlx's own drivers, not its `Any` driver.
//!
//! A parameter is sent with the type of its [`Value`], NULL or not: PostgreSQL types the
//! parameters of a prepared statement once, by the first call, and a NULL of another type there
//! breaks every later call with a number.

use std::borrow::Cow;

use futures::future::BoxFuture;
use futures::{FutureExt, TryFutureExt, TryStreamExt};
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgArguments, PgRow, PgTypeInfo, PgValueRef};
use sqlx::sqlite::{SqliteArguments, SqliteRow, SqliteTypeInfo, SqliteValueRef};
use sqlx::{
    Arguments, AssertSqlSafe, Database, Decode, Encode, PgConnection, Postgres, Row, Sqlite,
    SqliteConnection, Type, TypeInfo,
};

use super::dialect::Dialect;
use super::value::Value;

/// A borrowed connection to either database.
pub(super) enum Connection<'c> {
    Sqlite(&'c mut SqliteConnection),
    Postgres(&'c mut PgConnection),
}

impl<'c> From<&'c mut SqliteConnection> for Connection<'c> {
    fn from(connection: &'c mut SqliteConnection) -> Self {
        Self::Sqlite(connection)
    }
}

impl<'c> From<&'c mut PgConnection> for Connection<'c> {
    fn from(connection: &'c mut PgConnection) -> Self {
        Self::Postgres(connection)
    }
}

impl Connection<'_> {
    pub(super) const fn dialect(&self) -> Dialect {
        match self {
            Self::Sqlite(_) => Dialect::Sqlite,
            Self::Postgres(_) => Dialect::Postgres,
        }
    }

    /// Runs a statement; the number of rows it changed.
    ///
    /// Boxed, as the others: the compiler cannot see through a driver's future that any task may
    /// run it.
    pub(super) fn execute(
        &mut self,
        sql: Cow<'static, str>,
        values: Vec<Value>,
    ) -> BoxFuture<'_, Result<u64, sqlx::Error>> {
        let sql = AssertSqlSafe(sql);
        match self {
            Self::Sqlite(connection) => async move {
                let query = sqlx::query_with(sql, arguments::<SqliteArguments>(values)?);
                query.execute(&mut **connection).await.map(|done| done.rows_affected())
            }
            .boxed(),
            Self::Postgres(connection) => async move {
                let query = sqlx::query_with(sql, arguments::<PgArguments>(values)?);
                query.execute(&mut **connection).await.map(|done| done.rows_affected())
            }
            .boxed(),
        }
    }

    /// All rows of a statement, which is kept among the prepared ones when `keep`.
    pub(super) fn fetch(
        &mut self,
        sql: Cow<'static, str>,
        values: Vec<Value>,
        keep: bool,
    ) -> BoxFuture<'_, Result<Vec<DriverRow>, sqlx::Error>> {
        let sql = AssertSqlSafe(sql);
        match self {
            Self::Sqlite(connection) => async move {
                let query = sqlx::query_with(sql, arguments::<SqliteArguments>(values)?);
                let rows = query.persistent(keep).fetch(&mut **connection);
                rows.map_ok(DriverRow::Sqlite).try_collect().await
            }
            .boxed(),
            Self::Postgres(connection) => async move {
                let query = sqlx::query_with(sql, arguments::<PgArguments>(values)?);
                let rows = query.persistent(keep).fetch(&mut **connection);
                rows.map_ok(DriverRow::Postgres).try_collect().await
            }
            .boxed(),
        }
    }

    /// Runs several statements without parameters.
    pub(super) fn script(&mut self, sql: &'static str) -> BoxFuture<'_, Result<(), sqlx::Error>> {
        match self {
            Self::Sqlite(connection) => {
                sqlx::raw_sql(sql).execute(&mut **connection).map_ok(drop).boxed()
            }
            Self::Postgres(connection) => {
                sqlx::raw_sql(sql).execute(&mut **connection).map_ok(drop).boxed()
            }
        }
    }
}

/// A connection that is back in its pool once this is dropped.
pub(super) enum Pooled {
    Sqlite(PoolConnection<Sqlite>),
    Postgres(PoolConnection<Postgres>),
}

impl Pooled {
    pub(super) fn connection(&mut self) -> Connection<'_> {
        match self {
            Self::Sqlite(connection) => Connection::Sqlite(connection),
            Self::Postgres(connection) => Connection::Postgres(connection),
        }
    }
}

/// The values as the driver binds them: each with its own type, also when it is NULL.
fn arguments<A>(values: Vec<Value>) -> Result<A, sqlx::Error>
where
    A: Arguments,
    Option<i64>: Encode<'static, A::Database> + Type<A::Database>,
    Option<f64>: Encode<'static, A::Database> + Type<A::Database>,
    Option<String>: Encode<'static, A::Database> + Type<A::Database>,
    Vec<u8>: Encode<'static, A::Database> + Type<A::Database>,
{
    let mut arguments = A::default();
    for value in values {
        match value {
            Value::Int(it) => arguments.add(it),
            Value::Real(it) => arguments.add(it),
            Value::Text(it) => arguments.add(it),
            Value::Bytes(it) => arguments.add(it),
        }
        .map_err(sqlx::Error::Encode)?;
    }
    Ok(arguments)
}

/// A row of either database.
pub(super) enum DriverRow {
    Sqlite(SqliteRow),
    Postgres(PgRow),
}

impl DriverRow {
    pub(super) fn get<T>(&self, column: &str) -> Result<T, sqlx::Error>
    where
        T: for<'r> Decode<'r, Sqlite> + Type<Sqlite>,
        T: for<'r> Decode<'r, Postgres> + Type<Postgres>,
    {
        match self {
            Self::Sqlite(row) => row.try_get(column),
            Self::Postgres(row) => row.try_get(column),
        }
    }
}

/// A whole number of any width: PostgreSQL's literals and sums are not all BIGINT.
pub(super) struct WholeNumber(pub(super) i64);

impl Type<Postgres> for WholeNumber {
    fn type_info() -> PgTypeInfo {
        <i64 as Type<Postgres>>::type_info()
    }

    fn compatible(found: &PgTypeInfo) -> bool {
        matches!(found.name(), "INT8" | "INT4" | "INT2")
    }
}

impl<'r> Decode<'r, Postgres> for WholeNumber {
    fn decode(value: PgValueRef<'r>) -> Result<Self, sqlx::error::BoxDynError> {
        <i64 as Decode<'r, Postgres>>::decode(value).map(Self)
    }
}

impl Type<Sqlite> for WholeNumber {
    fn type_info() -> SqliteTypeInfo {
        <i64 as Type<Sqlite>>::type_info()
    }

    fn compatible(found: &<Sqlite as Database>::TypeInfo) -> bool {
        <i64 as Type<Sqlite>>::compatible(found)
    }
}

impl<'r> Decode<'r, Sqlite> for WholeNumber {
    fn decode(value: SqliteValueRef<'r>) -> Result<Self, sqlx::error::BoxDynError> {
        <i64 as Decode<'r, Sqlite>>::decode(value).map(Self)
    }
}
