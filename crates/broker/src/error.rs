//! Errors of starting and running a broker. What a client did wrong is a [`tonic::Status`] instead.

use crate::store::StoreError;
use std::net::SocketAddr;
use tonic::Status;

/// Why a broker does not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// Another program has the port. What to write for another one, is for the command to say.
    #[error("{0} is in use by another program (another broker?): stop it, or choose another port")]
    InUse(SocketAddr),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why not.
        source: std::io::Error,
    },
    /// Options that do not go together.
    #[error("{0}")]
    Options(String),
    /// The operating system gives no threads.
    #[error("cannot start threads: {0}")]
    Threads(std::io::Error),
    /// The folder cannot be used.
    #[error("cannot use the folder {}: {why}", folder.display())]
    Data {
        /// Which.
        folder: std::path::PathBuf,
        /// Why not.
        why: String,
    },
    /// What was written by an earlier run cannot be understood.
    #[error("the broker's catalog cannot be read: {0}")]
    Catalog(String),
}

/// What a client is told when the store fails.
pub(crate) fn status_of(error: StoreError) -> Status {
    match error {
        StoreError::NoSpace { .. } => Status::resource_exhausted(format!(
            "The broker's disk is full: nothing of the request was kept. Free some space and try again. ({error})"
        )),
        StoreError::TooLarge { .. } => Status::invalid_argument(error.to_string()),
        StoreError::Deleted { .. } => Status::not_found(error.to_string()),
        StoreError::Closed => Status::unavailable("The broker is shutting down."),
        _ => Status::unavailable(format!("The broker cannot use its disk: {error}")),
    }
}
