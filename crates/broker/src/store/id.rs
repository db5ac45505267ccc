//! Names of logs.

use std::fmt;

use super::StoreError;

/// The name of a log, which is also the name of its folder.
///
/// 1 to 128 characters of `a-z A-Z 0-9 _ -` and `.`, not beginning with `.`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LogId(String);

impl LogId {
    /// Checks a name.
    ///
    /// # Errors
    /// [`StoreError::BadId`] for a name that would not be a safe file name.
    pub fn new(name: impl Into<String>) -> Result<Self, StoreError> {
        let name = name.into();
        let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
        if name.is_empty() || name.len() > 128 || name.starts_with('.') || !name.bytes().all(fits) {
            return Err(StoreError::BadId { name });
        }
        Ok(Self(name))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
