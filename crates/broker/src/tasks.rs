//! The one door to tasks: they end with the broker's runtime.

use std::future::Future;

/// Starts a task beside the others.
#[expect(clippy::disallowed_methods, reason = "the broker's door to tasks")]
pub(crate) fn spawn(task: impl Future<Output = ()> + Send + 'static) -> tokio::task::AbortHandle {
    tokio::spawn(task).abort_handle()
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
