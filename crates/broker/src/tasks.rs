//! The one door to tasks: they end with the broker's runtime.

use std::future::Future;

/// Starts a task beside the others.
#[expect(clippy::disallowed_methods, reason = "the broker's door to tasks")]
pub(crate) fn spawn(task: impl Future<Output = ()> + Send + 'static) -> tokio::task::AbortHandle {
    tokio::spawn(task).abort_handle()
}

/// Runs something to its end even if nobody waits for it any more: a client that goes away in the middle of a change must
/// not leave it half made.
#[expect(clippy::disallowed_methods, reason = "the broker's door to tasks")]
pub(crate) async fn to_its_end<T: Send + 'static>(
    task: impl Future<Output = Result<T, tonic::Status>> + Send + 'static,
) -> Result<T, tonic::Status> {
    match tokio::spawn(task).await {
        Ok(answer) => answer,
        Err(e) if e.is_cancelled() => Err(tonic::Status::unavailable("The broker is shutting down.")),
        Err(e) => Err(tonic::Status::internal(format!("The broker failed: {e}"))),
    }
}

/// A lock whose holder cannot have left it half way: no code under the broker's locks panics on purpose.
pub(crate) fn lock<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Like [`lock`], to read.
pub(crate) fn read<T>(lock: &std::sync::RwLock<T>) -> std::sync::RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Like [`lock`], to write.
pub(crate) fn write<T>(lock: &std::sync::RwLock<T>) -> std::sync::RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Waits until the broker stops.
pub(crate) async fn stopped(stopping: &mut tokio::sync::watch::Receiver<bool>) {
    // A broker that is gone has stopped too.
    drop(stopping.wait_for(|stop| *stop).await);
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::oneshot;

    #[tokio::test]
    async fn a_change_is_made_although_its_client_goes_away() {
        let (go, gone) = oneshot::channel::<()>();
        let (done, ended) = oneshot::channel();
        let change = to_its_end(async move {
            gone.await.map_err(|_| tonic::Status::internal("never told to go on"))?;
            done.send(()).map_err(|()| tonic::Status::internal("nobody looks"))
        });
        tokio::select! {
            biased;
            answer = change => panic!("it cannot end yet: {answer:?}"),
            () = tokio::task::yield_now() => {}
        }
        // The future is dropped; the task is not.
        go.send(()).unwrap();
        ended.await.unwrap();
    }
}
