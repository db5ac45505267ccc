//! One log.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::task::{Context, Poll};

use tokio::sync::{oneshot, watch};

use super::format::IndexEntry;
use super::queue::Item;
use super::scan::Chunk;
use super::segment::Segment;
use super::shared::Shared;
use super::{Batch, LogId, LogOptions, Page, Room, Store, StoreError};

/// The entries a log has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The least offset that can be read.
    pub first: u64,
    /// The offset after the greatest durable one.
    pub next: u64,
}

/// Answers with the offset of the first entry of a batch once the whole batch is durable.
///
/// Dropping it does not take the entries back.
#[derive(Debug)]
pub struct Append(oneshot::Receiver<Result<u64, StoreError>>);

impl Append {
    /// Waits without a runtime.
    ///
    /// # Errors
    /// As awaiting it.
    pub fn wait_blocking(self) -> Result<u64, StoreError> {
        self.0.blocking_recv().unwrap_or(Err(StoreError::Closed))
    }

    /// The answer, if it is there.
    pub fn answer_now(&mut self) -> Option<Result<u64, StoreError>> {
        match self.0.try_recv() {
            Ok(answer) => Some(answer),
            Err(oneshot::error::TryRecvError::Empty) => None,
            Err(oneshot::error::TryRecvError::Closed) => Some(Err(StoreError::Closed)),
        }
    }
}

impl Future for Append {
    type Output = Result<u64, StoreError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx).map(|answer| answer.unwrap_or(Err(StoreError::Closed)))
    }
}

/// What readers need.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) options: LogOptions,
    /// In order; the last one is written to. Never empty.
    pub(crate) segments: Vec<Arc<Segment>>,
    /// Bytes of the files of all but the last.
    pub(crate) sealed_bytes: u64,
    /// The offset after the last durable entry, and where it ends in the last segment.
    pub(crate) next: u64,
    pub(crate) end: u64,
    /// The index of the last segment.
    pub(crate) index: Vec<IndexEntry>,
    /// Recent entries without gaps up to `next`, as far back as memory allows.
    pub(crate) tail: VecDeque<Arc<Chunk>>,
    pub(crate) deleted: bool,
    /// Why it takes no more writes.
    pub(crate) poisoned: Option<String>,
}

/// What only who writes needs.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    /// Entries of the index that are in its file.
    pub(crate) index_written: usize,
    /// The greatest time of all entries so far.
    pub(crate) time_max: i64,
}

#[derive(Debug)]
pub(crate) struct LogInner {
    pub(crate) id: LogId,
    /// Tells logs apart, also those that had the same name one after another.
    pub(crate) number: u64,
    pub(crate) folder: String,
    pub(crate) shared: Arc<Shared>,
    pub(crate) state: RwLock<State>,
    /// Held through every change of the files. Taken before `state`.
    pub(crate) writer: Mutex<Writer>,
    pub(crate) durable: watch::Sender<u64>,
    /// Grows with each failed append. Chained appends of an earlier generation fail.
    pub(crate) generation: AtomicU64,
}

impl LogInner {
    pub(crate) fn state(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn state_mut(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The segment that is written to.
    pub(crate) fn active(&self) -> Arc<Segment> {
        let state = self.state();
        let last = state.segments.last().cloned();
        last.unwrap_or_else(|| Arc::new(Segment::new(&self.id, &self.folder, state.next)))
    }

    pub(crate) fn deleted_error(&self) -> StoreError {
        StoreError::Deleted { log: self.id.to_string() }
    }
}

/// An append-only log. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Log {
    pub(super) store: Store,
    pub(super) inner: Arc<LogInner>,
}

impl Log {
    /// Its name.
    #[must_use]
    pub fn id(&self) -> &LogId {
        &self.inner.id
    }

    /// Puts a batch into the queue. Does not wait; the order of calls is the order of offsets.
    ///
    /// Errors come with the answer.
    #[must_use = "the entries are durable once this answers; `append_lazy` is for those nobody waits for"]
    pub fn append(&self, batch: Batch, room: Room) -> Append {
        let (item, answer) = self.item(batch, room);
        self.push(item);
        answer
    }

    /// As [`Log::append`] for entries nobody waits for: they go with the next commit, at the latest after
    /// [`super::StoreOptions::lazy_wait`].
    pub fn append_lazy(&self, batch: Batch, room: Room) {
        self.push(Item::new(self.inner.clone(), batch, room, None));
    }

    pub(super) fn item(&self, batch: Batch, room: Room) -> (Item, Append) {
        let (tell, answer) = oneshot::channel();
        (Item::new(self.inner.clone(), batch, room, Some(tell)), Append(answer))
    }

    pub(super) fn push(&self, item: Item) {
        self.inner.shared.queue.push(item);
    }

    /// Waits for room, appends, and waits until the batch is durable.
    ///
    /// # Errors
    /// Whatever keeps it from becoming durable; nothing of the batch is kept then.
    pub async fn write(&self, batch: Batch) -> Result<u64, StoreError> {
        let room = self.store.room(batch.bytes()).await?;
        self.append(batch, room).await
    }

    /// Durable entries from `from` on, of about `bytes_max` (at least one, if there is one). May read files.
    ///
    /// A `from` before the first entry begins at the first.
    ///
    /// # Errors
    /// If a file cannot be read. Damaged entries are no error: they stand in [`Page::damage`].
    pub fn read(&self, from: u64, bytes_max: usize) -> Result<Page, StoreError> {
        self.inner.read(from, bytes_max)
    }

    /// As [`Log::read`], without reading files: `None` if `from` is no longer in memory.
    #[must_use]
    pub fn read_recent(&self, from: u64, bytes_max: usize) -> Option<Page> {
        self.inner.read_recent(from, bytes_max)
    }

    /// The entries there are.
    #[must_use]
    pub fn bounds(&self) -> Bounds {
        let state = self.inner.state();
        Bounds { first: state.segments.first().map_or(state.next, |s| s.base), next: state.next }
    }

    /// [`Bounds::next`], as it grows.
    #[must_use]
    pub fn watch_next(&self) -> watch::Receiver<u64> {
        self.inner.durable.subscribe()
    }

    /// The first entry with a time of at least `time`; [`Bounds::next`] without one. May read files.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub fn first_at(&self, time: i64) -> Result<u64, StoreError> {
        self.inner.first_at(time)
    }

    /// Removes segments that hold only entries before `before`. Gives the first entry left.
    ///
    /// # Errors
    /// If a file cannot be removed or, when nothing is left, no new one made.
    pub fn trim(&self, before: u64) -> Result<u64, StoreError> {
        self.inner.trim(&mut self.inner.writer(), before)
    }

    /// Removes segments that hold only entries with times before `time`. Gives the first entry left.
    ///
    /// # Errors
    /// As [`Log::trim`].
    pub fn trim_older(&self, time: i64) -> Result<u64, StoreError> {
        self.inner.trim_older(time)
    }

    /// Bytes of its segments.
    #[must_use]
    pub fn bytes_on_disk(&self) -> u64 {
        let state = self.inner.state();
        state.sealed_bytes + state.end
    }

    /// Takes writes again after [`StoreError::Poisoned`], if the disk lets it: what was never answered is cut off.
    ///
    /// # Errors
    /// If the disk still fails.
    pub fn reopen(&self) -> Result<(), StoreError> {
        self.inner.reopen()
    }

    pub(super) fn generation(&self) -> u64 {
        self.inner.generation.load(Ordering::Acquire)
    }
}
