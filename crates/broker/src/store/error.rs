//! What can go wrong with a store.

use std::sync::Arc;

/// An error of the store. One failure may answer many appends, so it can be cloned.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process (or another `Store` of this one) has the folder open.
    #[error("{path} is in use by another process; stop it, or use another folder")]
    Locked {
        /// The lock file.
        path: String,
    },
    /// The file was written by a newer version of the format.
    #[error("{path} has format version {found}, and this program reads up to {known}; use a newer program")]
    Newer {
        /// The file.
        path: String,
        /// The version it has.
        found: u32,
        /// The greatest version known here.
        known: u32,
    },
    /// A name that cannot name a log.
    #[error("`{name}` cannot name a log; 1 to 128 letters, digits, `_`, `-` and `.`, not beginning with `.`")]
    BadId {
        /// The name.
        name: String,
    },
    /// No space is left. Nothing of the append is kept; it works again once there is space.
    #[error("no space left to write {path}; nothing of it was kept; free some space and try again")]
    NoSpace {
        /// The file.
        path: String,
    },
    /// The operating system refused something.
    #[error("cannot {what} {path}: {source}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// The file.
        path: String,
        /// Why not.
        source: Arc<std::io::Error>,
    },
    /// An earlier write or sync of this log failed, so that what is on disk is not known; see [`super::Log::reopen`].
    #[error("log `{log}` takes no more writes since one failed: {why}; reopen it or restart")]
    Poisoned {
        /// The log.
        log: String,
        /// The first failure.
        why: String,
    },
    /// A change of a journal builds on one that was not written, so it was not written either.
    #[error("log `{log}`: an earlier change was not written, so neither was this one; try again")]
    Chained {
        /// The log.
        log: String,
    },
    /// A file does not say what it must, and the program cannot go on without it.
    #[error("{path} is damaged at byte {position}: {why}")]
    Damaged {
        /// The file.
        path: String,
        /// Where in it.
        position: u64,
        /// What is wrong.
        why: String,
    },
    /// An entry is larger than a block can hold.
    #[error("an entry of {bytes} bytes is too large; at most {bytes_max}")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        bytes_max: usize,
    },
    /// A state machine refused its own snapshot or delta.
    #[error("log `{log}`, offset {offset}: {why}")]
    State {
        /// The log.
        log: String,
        /// The entry.
        offset: u64,
        /// The state machine's reason.
        why: String,
    },
    /// The log was deleted.
    #[error("log `{log}` was deleted")]
    Deleted {
        /// The log.
        log: String,
    },
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
}

impl StoreError {
    /// From what the operating system says about `path`.
    #[must_use]
    pub fn io(what: &'static str, path: impl Into<String>, source: std::io::Error) -> Self {
        use std::io::ErrorKind::{QuotaExceeded, StorageFull};
        match source.kind() {
            StorageFull | QuotaExceeded => Self::NoSpace { path: path.into() },
            _ => Self::Io { what, path: path.into(), source: Arc::new(source) },
        }
    }

    /// True if it works again once there is space.
    #[must_use]
    pub fn is_no_space(&self) -> bool {
        matches!(self, Self::NoSpace { .. })
    }
}
