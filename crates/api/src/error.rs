//! Errors that tell who must act.

use std::fmt;

/// Shorthand for results with [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Whose problem it is, and so what to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The author of the pipeline must change the file or an option.
    Config,
    /// Some rows are bad: mend them, or give the transform an `error_handling`.
    Data,
    /// Something outside did not answer; trying again may help.
    Unavailable,
    /// Something outside refused: missing rights or credentials, no such file.
    Denied,
    /// Somebody else holds what is needed: a locked folder, a taken port.
    Conflict,
    /// A limit of memory, disk or size was reached.
    Exhausted,
    /// A bug of ours. Please report it.
    Internal,
}

/// An error for people: what, where, why, what to do. The text is not an interface; the kind is.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    place: Option<String>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// What the operating system said, without its number: `No such file or directory`.
fn said(e: &std::io::Error) -> String {
    let text = e.to_string();
    text.split_once(" (os error ").map_or(text.as_str(), |(said, _)| said).to_owned()
}

impl Error {
    /// A new error.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Error { kind, message: message.into(), place: None, source: None }
    }

    /// Rows that cannot be processed.
    pub fn data(message: impl Into<String>) -> Self {
        Error::new(ErrorKind::Data, message)
    }

    /// A bug of ours.
    pub fn internal(message: impl Into<String>) -> Self {
        Error::new(ErrorKind::Internal, message)
    }

    /// A failed file operation, with the path; the kind follows from the operating system's answer.
    pub fn io(what: &str, path: &str, e: std::io::Error) -> Self {
        use std::io::ErrorKind as K;
        let kind = match e.kind() {
            K::NotFound | K::PermissionDenied | K::IsADirectory | K::NotADirectory => ErrorKind::Denied,
            K::StorageFull | K::QuotaExceeded | K::OutOfMemory | K::FileTooLarge => ErrorKind::Exhausted,
            K::InvalidData => ErrorKind::Data,
            _ => ErrorKind::Unavailable,
        };
        Error {
            kind,
            message: format!("cannot {what} `{path}`: {}", said(&e)),
            place: None,
            source: Some(Box::new(e)),
        }
    }

    /// Names the transform (or part of the program) it happened in, unless a deeper place is known.
    #[must_use]
    pub fn in_place(mut self, place: &str) -> Self {
        self.place.get_or_insert_with(|| place.to_owned());
        self
    }

    /// Keeps the cause.
    #[must_use]
    pub fn caused_by(mut self, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        self.source = Some(Box::new(source));
        self
    }

    /// Whose problem it is.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The message without the place.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The transform it happened in, if known.
    pub fn place(&self) -> Option<&str> {
        self.place.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(f, "transform `{place}`: ")?;
        }
        f.write_str(&self.message)?;
        if self.kind == ErrorKind::Internal {
            f.write_str(" (this is a bug in purlin; please report it)")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|e| e as _)
    }
}

impl From<arrow_schema::ArrowError> for Error {
    fn from(e: arrow_schema::ArrowError) -> Self {
        Error::internal(format!("column operation failed: {e}")).caused_by(e)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_fail_in_words() {
        let e = Error::io("open", "x.csv", std::io::Error::from_raw_os_error(2));
        assert_eq!(e.message(), "cannot open `x.csv`: No such file or directory");
        assert_eq!(e.kind(), ErrorKind::Denied);
    }
}
