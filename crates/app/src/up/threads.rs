//! The door to threads that are no part of a job: keepers of pipelines, and the threads their jobs are led from.

use std::thread::JoinHandle;

/// Starts a thread; `name` is what the system shows.
///
/// # Errors
/// If the system gives no more threads.
pub(crate) fn start<F>(name: &str, work: F) -> std::io::Result<JoinHandle<()>>
where
    F: FnOnce() + Send + 'static,
{
    std::thread::Builder::new().name(name.chars().filter(|c| *c != '\0').collect()).spawn(work)
}
