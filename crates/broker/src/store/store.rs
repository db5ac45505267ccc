//! A folder of logs.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::cache::{Reads, Tail};
use super::commit::commit;
use super::files::Files;
use super::log::LogInner;
use super::queue::Queue;
use super::recover::open_log;
use super::shared::{Reserve, Shared};
use super::{Damage, Disk, Log, LogId, LogOptions, StoreError, StoreOptions};

const LOGS: &str = "logs";
const LOCK: &str = "LOCK";
/// Folders of deleted logs begin so.
const GONE: &str = ".gone-";

/// What opening a store found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// The logs, in order of name.
    pub logs: Vec<LogId>,
    /// What was wrong and what was done. A cut-off last write after a crash is normal and is here too.
    ///
    /// Only the ends of logs are looked at; damage elsewhere shows when it is read ([`super::Page::damage`]).
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
    shared: Arc<Shared>,
    logs: Mutex<BTreeMap<LogId, Arc<LogInner>>>,
    /// Logs opened so far.
    numbers: AtomicU64,
    room: Arc<Semaphore>,
    committer: Mutex<Option<JoinHandle<()>>>,
    lock: Mutex<Option<Box<dyn Debug + Send + Sync>>>,
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
        let (store, recovery) = Self::recover(disk, options)?;
        let ending = Ending(store.inner.shared.clone());
        let run = move || {
            let shared = &ending.0;
            // Nobody waits for it. Whoever needs it and does not have it gets `NoSpace`.
            shared.reserve.open(&shared.files).ok();
            while let Some(items) = shared.queue.take(shared.options.lazy_wait) {
                commit(shared, items);
            }
        };
        // The one thread of the store; `close` waits for its end.
        let thread = std::thread::Builder::new().name("log-commit".to_owned()).spawn(run);
        let thread = thread.map_err(|e| StoreError::io("start a thread for", LOGS, e))?;
        *lock(&store.inner.committer) = Some(thread);
        Ok((store, recovery))
    }

    /// As [`Store::open`], without the thread: nothing is written before the store is closed or told to.
    #[cfg(test)]
    pub(crate) fn open_stepped(
        disk: Arc<dyn Disk>,
        options: StoreOptions,
    ) -> Result<(Self, Recovery), StoreError> {
        let (store, recovery) = Self::recover(disk, options)?;
        store.inner.shared.reserve.open(&store.inner.shared.files)?;
        Ok((store, recovery))
    }

    fn recover(disk: Arc<dyn Disk>, options: StoreOptions) -> Result<(Self, Recovery), StoreError> {
        let folder = |e| StoreError::io("make", disk.show(LOGS), e);
        disk.create_folder(LOGS).and_then(|()| disk.sync_folder("")).map_err(folder)?;
        let held = disk.lock(LOCK).map_err(|e| StoreError::io("lock", disk.show(LOCK), e))?;
        let held = held.ok_or_else(|| StoreError::Locked { path: disk.show(LOCK) })?;
        let files = Files::new(disk, &options);
        let shared = Arc::new(Shared {
            queue: Queue::default(),
            tail: Tail::new(options.tail_bytes_max),
            reads: Reads::new(options.read_bytes_max),
            reserve: Reserve::new(options.reserve_bytes),
            files,
            options,
        });
        let (logs, recovery) = recover(&shared)?;
        let inner = Inner {
            numbers: AtomicU64::new(logs.len() as u64),
            room: Arc::new(Semaphore::new(shared.options.queue_bytes_max.min(u32::MAX as usize))),
            shared,
            logs: Mutex::new(logs),
            committer: Mutex::default(),
            lock: Mutex::new(Some(held)),
        };
        Ok((Self { inner: Arc::new(inner) }, recovery))
    }

    /// Writes what waits, on this thread.
    #[cfg(test)]
    pub(crate) fn commit_now(&self) {
        commit(&self.inner.shared, self.inner.shared.queue.take_now());
    }

    /// Opens a log, creating it if there is none. May write files.
    ///
    /// # Errors
    /// What the disk says.
    pub fn log(&self, id: &LogId, options: LogOptions) -> Result<Log, StoreError> {
        let mut logs = lock(&self.inner.logs);
        let inner = match logs.get(id) {
            Some(inner) => inner.clone(),
            None => {
                let shared = &self.inner.shared;
                let folder = format!("{LOGS}/{id}");
                let made = shared.files.disk.create_folder(&folder);
                made.map_err(|e| shared.files.error("make", &folder, e))?;
                shared.files.sync_folder(LOGS)?;
                let number = self.inner.numbers.fetch_add(1, Ordering::Relaxed);
                let inner = open_log(shared, id, &folder, number, &mut Vec::new())?;
                logs.insert(id.clone(), inner.clone());
                inner
            }
        };
        inner.state_mut().options = options;
        Ok(Log { store: self.clone(), inner })
    }

    /// Deletes a log with its files. `Ok(false)` if there is none.
    ///
    /// # Errors
    /// What the disk says.
    pub fn delete_log(&self, id: &LogId) -> Result<bool, StoreError> {
        let mut logs = lock(&self.inner.logs);
        let Some(log) = logs.get(id).cloned() else { return Ok(false) };
        let Shared { files, reads, .. } = self.inner.shared.as_ref();
        let _writer = log.writer();
        let gone = format!("{LOGS}/{GONE}{:016x}", files.disk.unique());
        let renamed = files.disk.rename(&log.folder, &gone);
        renamed.map_err(|e| files.error("remove", &log.folder, e))?;
        {
            let mut state = log.state_mut();
            state.deleted = true;
            state.tail.clear();
            state.index = Vec::new();
        }
        logs.remove(id);
        files.forget(&log.folder);
        reads.forget(log.number);
        files.sync_folder(LOGS)?;
        remove_folder(files, &gone)?;
        Ok(true)
    }

    /// The logs there are, in order of name.
    #[must_use]
    pub fn log_ids(&self) -> Vec<LogId> {
        lock(&self.inner.logs).keys().cloned().collect()
    }

    /// Waits until `bytes` more may wait to be written. A request larger than the whole queue waits for an empty one.
    ///
    /// # Errors
    /// [`StoreError::Closed`].
    pub async fn room(&self, bytes: usize) -> Result<Room, StoreError> {
        let permit = self.inner.room.clone().acquire_many_owned(self.permits(bytes)).await;
        permit.map(|permit| Room { permit }).map_err(|_| StoreError::Closed)
    }

    /// As [`Store::room`], without waiting: `None` when the queue is full or the store closed.
    #[must_use]
    pub fn room_now(&self, bytes: usize) -> Option<Room> {
        let permit = self.inner.room.clone().try_acquire_many_owned(self.permits(bytes)).ok()?;
        Some(Room { permit })
    }

    fn permits(&self, bytes: usize) -> u32 {
        u32::try_from(bytes.min(self.inner.shared.options.queue_bytes_max)).unwrap_or(u32::MAX)
    }

    /// Writes what waits, answers it, and gives the folder free. Later appends answer [`StoreError::Closed`].
    pub fn close(&self) {
        self.inner.close();
    }
}

impl Inner {
    fn close(&self) {
        let Shared { queue, files, .. } = self.shared.as_ref();
        self.room.close();
        queue.close();
        match lock(&self.committer).take() {
            // It ends when the queue is empty. It does not panic; if it did, there would be nothing left to do here.
            Some(thread) => drop(thread.join()),
            None => commit(&self.shared, queue.take_now()),
        }
        let Some(held) = lock(&self.lock).take() else { return };
        for log in lock(&self.logs).values() {
            log.end_index(&mut log.writer());
            // Says where the log ended, so that opening can tell damage from a cut-off write. Only a help.
            files.get(&log.active().index_path(), false).map(|file| file.sync()).ok();
        }
        drop(held);
    }
}

/// However the thread that writes ends, nobody waits for it afterwards.
struct Ending(Arc<Shared>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.queue.close();
        // Those who wait for them hear that the store is closed.
        drop(self.0.queue.take_now());
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.close();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Opens all logs and removes what is left of deleted ones.
fn recover(shared: &Arc<Shared>) -> Result<(BTreeMap<LogId, Arc<LogInner>>, Recovery), StoreError> {
    let files = &shared.files;
    let mut entries = files.disk.list(LOGS).map_err(|e| files.error("list", LOGS, e))?;
    entries.sort_unstable();
    files.sync_folder(LOGS)?;
    let mut recovery = Recovery::default();
    let mut logs = BTreeMap::new();
    for entry in entries.iter().filter(|e| e.folder) {
        let folder = format!("{LOGS}/{}", entry.name);
        if entry.name.starts_with(GONE) {
            remove_folder(files, &folder)?;
        } else if let Ok(id) = LogId::new(entry.name.clone()) {
            let log = open_log(shared, &id, &folder, logs.len() as u64, &mut recovery.damage)?;
            recovery.logs.push(id.clone());
            logs.insert(id, log);
        }
    }
    Ok((logs, recovery))
}

fn remove_folder(files: &Files, folder: &str) -> Result<(), StoreError> {
    let entries = files.disk.list(folder).map_err(|e| files.error("list", folder, e))?;
    for entry in entries {
        files.remove(&format!("{folder}/{}", entry.name))?;
    }
    files.disk.remove_folder(folder).map_err(|e| files.error("remove", folder, e))
}
