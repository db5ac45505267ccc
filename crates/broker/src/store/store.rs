//! A folder of logs.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::log::LogInner;
use super::{Damage, Disk, Log, LogId, LogOptions, StoreError, StoreOptions};

/// What opening a store found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// The logs, in order of name.
    pub logs: Vec<LogId>,
    /// What was wrong and what was done. A cut-off last write after a crash is normal and is here too.
    pub damage: Vec<Damage>,
}

/// The right to put some bytes into the queue of writes. It ends when they are written.
#[derive(Debug)]
pub struct Room {
    permit: OwnedSemaphorePermit,
}

impl Room {
    /// Takes `bytes` of it for another append.
    #[must_use]
    pub fn split(&mut self, bytes: usize) -> Option<Self> {
        Some(Self { permit: self.permit.split(bytes)? })
    }
}

#[derive(Debug)]
struct Inner {
    logs: Mutex<BTreeMap<LogId, Arc<LogInner>>>,
    queue: Arc<Semaphore>,
    options: StoreOptions,
}

/// A folder of logs, held by one process. Cheap to clone.
///
/// Dropping the last `Store` and `Log` writes what waits and gives the folder free.
#[derive(Clone, Debug)]
pub struct Store {
    inner: Arc<Inner>,
}

impl Store {
    /// Opens the folder of `disk`, creating what is missing.
    ///
    /// # Errors
    /// [`StoreError::Locked`], [`StoreError::Newer`], or what the disk says. Damage is no error: see [`Recovery`].
    pub fn open(disk: Arc<dyn Disk>, options: StoreOptions) -> Result<(Self, Recovery), StoreError> {
        drop(disk);
        let queue = Arc::new(Semaphore::new(options.queue_bytes_max.min(u32::MAX as usize)));
        let inner = Inner { logs: Mutex::default(), queue, options };
        Ok((Self { inner: Arc::new(inner) }, Recovery::default()))
    }

    fn logs(&self) -> MutexGuard<'_, BTreeMap<LogId, Arc<LogInner>>> {
        self.inner.logs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens a log, creating it if there is none. May write files.
    ///
    /// # Errors
    /// What the disk says.
    pub fn log(&self, id: &LogId, options: LogOptions) -> Result<Log, StoreError> {
        let _ = options;
        let mut logs = self.logs();
        let inner = logs.entry(id.clone()).or_insert_with(|| {
            let durable = watch::Sender::new(0);
            Arc::new(LogInner { id: id.clone(), entries: Mutex::default(), durable })
        });
        Ok(Log { store: self.clone(), inner: inner.clone() })
    }

    /// Deletes a log with its files. `Ok(false)` if there is none.
    ///
    /// # Errors
    /// What the disk says.
    pub fn delete_log(&self, id: &LogId) -> Result<bool, StoreError> {
        Ok(self.logs().remove(id).is_some())
    }

    /// The logs there are, in order of name.
    #[must_use]
    pub fn log_ids(&self) -> Vec<LogId> {
        self.logs().keys().cloned().collect()
    }

    /// Waits until `bytes` more may wait to be written. A request larger than the whole queue waits for an empty one.
    ///
    /// # Errors
    /// [`StoreError::Closed`].
    pub async fn room(&self, bytes: usize) -> Result<Room, StoreError> {
        let permit = self.inner.queue.clone().acquire_many_owned(self.permits(bytes)).await;
        permit.map(|permit| Room { permit }).map_err(|_| StoreError::Closed)
    }

    /// As [`Store::room`], without waiting: `None` when the queue is full or the store closed.
    #[must_use]
    pub fn room_now(&self, bytes: usize) -> Option<Room> {
        let permit = self.inner.queue.clone().try_acquire_many_owned(self.permits(bytes)).ok()?;
        Some(Room { permit })
    }

    fn permits(&self, bytes: usize) -> u32 {
        u32::try_from(bytes.min(self.inner.options.queue_bytes_max)).unwrap_or(u32::MAX)
    }

    /// Writes what waits, answers it, and gives the folder free. Later appends answer [`StoreError::Closed`].
    pub fn close(&self) {
        self.inner.queue.close();
    }
}
