//! The door to tasks: one runtime for the network, apart from the threads on which pipelines compute.

use crate::error::{Error, ErrorKind, Result};
use std::future::Future;
use std::sync::OnceLock;
use tokio::runtime::{Handle, Runtime};
use tokio::task::JoinHandle;

/// Threads of the network. One decodes more messages than a pipeline of one core computes with; the second
/// keeps leases alive while the first is busy.
const THREADS: usize = 2;

static RUNTIME: OnceLock<std::result::Result<Runtime, String>> = OnceLock::new();

fn runtime() -> &'static std::result::Result<Runtime, String> {
    RUNTIME.get_or_init(|| {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name("purlin-network")
            .enable_io()
            .enable_time()
            .build()
            .map_err(|e| e.to_string())
    })
}

/// The network's runtime, if threads can be started; callers that can fail ask this first.
pub(crate) fn try_handle() -> Result<&'static Handle> {
    match runtime() {
        Ok(r) => Ok(r.handle()),
        Err(e) => {
            Err(Error::new(ErrorKind::Exhausted, format!("cannot start the threads of the network: {e}")))
        }
    }
}

/// Starts a task that goes on by itself; dropping the handle does not end it.
pub(crate) fn spawn<F>(task: F) -> Result<JoinHandle<F::Output>>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    Ok(try_handle()?.spawn(task))
}

/// Does network work for a caller on any executor.
///
/// # Errors
/// What the work answers, or that it broke down.
pub(crate) async fn on_network<T: Send + 'static>(
    work: impl Future<Output = Result<T>> + Send + 'static,
) -> Result<T> {
    // A caller that goes away takes its call with it.
    struct Ends(tokio::task::AbortHandle);
    impl Drop for Ends {
        fn drop(&mut self) {
            self.0.abort();
        }
    }
    let task = spawn(work)?;
    let _ends = Ends(task.abort_handle());
    match task.await {
        Ok(answer) => answer,
        Err(e) => {
            Err(Error::new(ErrorKind::Internal, format!("a task of the Pub/Sub client broke down: {e}")))
        }
    }
}

/// Runs to the end for a caller that is not asynchronous, such as the command line, and makes it wait.
///
/// # Errors
/// What the work answers, or that threads cannot be started.
pub fn block_on<T: Send + 'static>(work: impl Future<Output = Result<T>> + Send + 'static) -> Result<T> {
    let (done, wait) = std::sync::mpsc::sync_channel(1);
    let task = spawn(async move {
        // Who does not wait any more need not be told.
        drop(done.send(work.await));
    })?;
    // A thread of a pipeline's runtime may wait here, but must not run another runtime.
    let answer = wait.recv();
    drop(task);
    answer.unwrap_or_else(|_| Err(Error::new(ErrorKind::Internal, "a task of the Pub/Sub client broke down")))
}
