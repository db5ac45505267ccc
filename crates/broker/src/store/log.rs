//! One log.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::sync::{oneshot, watch};

use super::{Batch, LogId, Page, Record, Room, Store, StoreError};

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
pub struct Append(pub(crate) oneshot::Receiver<Result<u64, StoreError>>);

impl Append {
    /// Waits without a runtime.
    ///
    /// # Errors
    /// As awaiting it.
    pub fn wait_blocking(self) -> Result<u64, StoreError> {
        self.0.blocking_recv().unwrap_or(Err(StoreError::Closed))
    }
}

impl Future for Append {
    type Output = Result<u64, StoreError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx).map(|answer| answer.unwrap_or(Err(StoreError::Closed)))
    }
}

#[derive(Debug)]
pub(crate) struct LogInner {
    pub(crate) id: LogId,
    pub(crate) entries: Mutex<(u64, Vec<(i64, Bytes)>)>,
    pub(crate) durable: watch::Sender<u64>,
}

/// An append-only log. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Log {
    pub(crate) store: Store,
    pub(crate) inner: Arc<LogInner>,
}

impl Log {
    fn entries(&self) -> MutexGuard<'_, (u64, Vec<(i64, Bytes)>)> {
        self.inner.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

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
        let (tell, answer) = oneshot::channel();
        let mut entries = self.entries();
        let first = entries.0 + entries.1.len() as u64;
        let mut start = 0;
        let payloads = Bytes::from(batch.payloads);
        for (time, end) in batch.table {
            entries.1.push((time, payloads.slice(start..end as usize)));
            start = end as usize;
        }
        let next = entries.0 + entries.1.len() as u64;
        drop(entries);
        self.inner.durable.send_replace(next);
        drop(room);
        drop(tell.send(Ok(first)));
        Append(answer)
    }

    /// As [`Log::append`] for entries nobody waits for: they go with the next commit, at the latest after
    /// [`super::StoreOptions::lazy_wait`].
    pub fn append_lazy(&self, batch: Batch, room: Room) {
        drop(self.append(batch, room));
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
        let entries = self.entries();
        let from = from.max(entries.0);
        let mut page = Page { next: from, ..Page::default() };
        let mut bytes = 0;
        let skip = usize::try_from(from - entries.0).unwrap_or(usize::MAX);
        for (time, payload) in entries.1.iter().skip(skip) {
            if bytes > 0 && bytes + payload.len() > bytes_max {
                break;
            }
            bytes += payload.len();
            page.records.push(Record { offset: page.next, time: *time, payload: payload.clone() });
            page.next += 1;
        }
        Ok(page)
    }

    /// As [`Log::read`], without reading files: `None` if `from` is no longer in memory.
    #[must_use]
    pub fn read_recent(&self, from: u64, bytes_max: usize) -> Option<Page> {
        self.read(from, bytes_max).ok()
    }

    /// The entries there are.
    #[must_use]
    pub fn bounds(&self) -> Bounds {
        let entries = self.entries();
        Bounds { first: entries.0, next: entries.0 + entries.1.len() as u64 }
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
        let entries = self.entries();
        let at = entries.1.iter().position(|(t, _)| *t >= time).unwrap_or(entries.1.len());
        Ok(entries.0 + at as u64)
    }

    /// Removes segments that hold only entries before `before`. Gives the first entry left.
    ///
    /// # Errors
    /// If a file cannot be removed.
    pub fn trim(&self, before: u64) -> Result<u64, StoreError> {
        let mut entries = self.entries();
        let n = usize::try_from(before.saturating_sub(entries.0)).unwrap_or(usize::MAX).min(entries.1.len());
        entries.1.drain(..n);
        entries.0 += n as u64;
        Ok(entries.0)
    }

    /// Removes segments that hold only entries with times before `time`. Gives the first entry left.
    ///
    /// # Errors
    /// If a file cannot be removed.
    pub fn trim_older(&self, time: i64) -> Result<u64, StoreError> {
        let first = self.first_at(time)?;
        self.trim(first)
    }

    /// Bytes of its files.
    #[must_use]
    pub fn bytes_on_disk(&self) -> u64 {
        self.entries().1.iter().map(|(_, p)| p.len() as u64 + 12).sum()
    }

    /// Takes writes again after [`StoreError::Poisoned`], if the disk lets it: what was never answered is cut off.
    ///
    /// # Errors
    /// If the disk still fails.
    pub fn reopen(&self) -> Result<(), StoreError> {
        Ok(())
    }
}
