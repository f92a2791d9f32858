//! Rows of answers: beside `driver.rs`, nothing else in the store reads what sqlx returns.

use super::driver::{DriverRow, WholeNumber};
use super::error::{StoreError, StoreErrorKind};

/// A row with the types that the store has.
pub(super) struct Record(pub(super) DriverRow);

impl Record {
    fn broken(column: &str, error: sqlx::Error) -> StoreError {
        StoreError::with(
            StoreErrorKind::Corrupt,
            format!("the column {column} of a record is invalid"),
            error,
        )
    }

    /// A number.
    pub(super) fn int(&self, column: &str) -> Result<i64, StoreError> {
        let WholeNumber(it) = self.0.get(column).map_err(|e| Self::broken(column, e))?;
        Ok(it)
    }

    /// A number, or nothing.
    pub(super) fn opt_int(&self, column: &str) -> Result<Option<i64>, StoreError> {
        let it: Option<WholeNumber> = self.0.get(column).map_err(|e| Self::broken(column, e))?;
        Ok(it.map(|WholeNumber(it)| it))
    }

    /// A number that is never negative.
    pub(super) fn count(&self, column: &str) -> Result<u64, StoreError> {
        Ok(self.int(column)?.max(0).cast_unsigned())
    }

    /// 0 or 1.
    pub(super) fn flag(&self, column: &str) -> Result<bool, StoreError> {
        Ok(self.int(column)? != 0)
    }

    /// A percent.
    pub(super) fn percent(&self, column: &str) -> Result<Option<u8>, StoreError> {
        Ok(self.opt_int(column)?.map(|it| u8::try_from(it.clamp(0, 100)).unwrap_or(100)))
    }

    /// A number with a fraction.
    pub(super) fn real(&self, column: &str) -> Result<f64, StoreError> {
        self.0.get(column).map_err(|e| Self::broken(column, e))
    }

    /// The same, or nothing.
    pub(super) fn opt_real(&self, column: &str) -> Result<Option<f64>, StoreError> {
        self.0.get(column).map_err(|e| Self::broken(column, e))
    }

    /// Text.
    pub(super) fn text(&self, column: &str) -> Result<String, StoreError> {
        self.0.get(column).map_err(|e| Self::broken(column, e))
    }

    /// What is no text.
    pub(super) fn bytes(&self, column: &str) -> Result<Vec<u8>, StoreError> {
        self.0.get(column).map_err(|e| Self::broken(column, e))
    }

    /// Text, or nothing.
    pub(super) fn opt_text(&self, column: &str) -> Result<Option<String>, StoreError> {
        self.0.get(column).map_err(|e| Self::broken(column, e))
    }

    /// A list of strings.
    pub(super) fn list(&self, column: &str) -> Result<Vec<String>, StoreError> {
        serde_json::from_str(&self.text(column)?).map_err(|error| {
            StoreError::with(
                StoreErrorKind::Corrupt,
                format!("the column {column} of a record is not a list"),
                error,
            )
        })
    }

    /// A list of numbers.
    pub(super) fn numbers(&self, column: &str) -> Result<Vec<i64>, StoreError> {
        serde_json::from_str(&self.text(column)?).map_err(|error| {
            StoreError::with(
                StoreErrorKind::Corrupt,
                format!("the column {column} of a record is not a list of numbers"),
                error,
            )
        })
    }

    /// One of a closed set of names.
    pub(super) fn named<T>(
        &self,
        column: &str,
        from_name: fn(&str) -> Option<T>,
    ) -> Result<T, StoreError> {
        let name = self.text(column)?;
        from_name(&name).ok_or_else(|| {
            StoreError::corrupt(format!("a record has the unknown {column} `{name}`"))
        })
    }
}
