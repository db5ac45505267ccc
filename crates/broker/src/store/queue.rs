//! What waits to be written.

use std::collections::VecDeque;
use std::mem;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use super::log::LogInner;
use super::{Batch, Room, StoreError};

/// A batch on its way to disk.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) log: Arc<LogInner>,
    pub(crate) batch: Batch,
    pub(crate) tell: Option<oneshot::Sender<Result<u64, StoreError>>>,
    /// Fails if an append of this log has failed since this generation.
    pub(crate) chained: Option<u64>,
    /// Makes everything before it needless: goes to the beginning of a segment, and those before are removed.
    pub(crate) replaces: bool,
    /// Its share of the queue's bound, given back when it is written.
    _room: Room,
}

impl Item {
    pub(crate) fn new(
        log: Arc<LogInner>,
        batch: Batch,
        room: Room,
        tell: Option<oneshot::Sender<Result<u64, StoreError>>>,
    ) -> Self {
        Self { log, batch, tell, chained: None, replaces: false, _room: room }
    }

    /// Tells who waits, if somebody does.
    pub(crate) fn answer(&mut self, answer: Result<u64, StoreError>) {
        // Whoever no longer listens does not want to know.
        self.tell.take().map(|tell| tell.send(answer));
    }
}

#[derive(Debug, Default)]
struct Waiting {
    items: VecDeque<Item>,
    /// Somebody waits for one of them.
    urgent: bool,
    closed: bool,
}

/// The queue between those who append and the one thread that writes. Bounded by the [`Room`] that each item has.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

impl Queue {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn push(&self, mut item: Item) {
        if let Err(e) = item.batch.check() {
            item.answer(Err(e));
            return;
        }
        let mut waiting = self.waiting();
        if waiting.closed {
            drop(waiting);
            item.answer(Err(StoreError::Closed));
            return;
        }
        let wake = waiting.items.is_empty() || (item.tell.is_some() && !waiting.urgent);
        waiting.urgent |= item.tell.is_some();
        waiting.items.push_back(item);
        drop(waiting);
        if wake {
            self.changed.notify_one();
        }
    }

    /// All that waits, in order, at once.
    pub(crate) fn take_now(&self) -> VecDeque<Item> {
        let mut waiting = self.waiting();
        waiting.urgent = false;
        mem::take(&mut waiting.items)
    }

    /// Waits until something is to be written and takes all of it. What nobody waits for may wait `lazy_wait` for
    /// company. `None` once the queue is closed and empty.
    pub(crate) fn take(&self, lazy_wait: Duration) -> Option<VecDeque<Item>> {
        let mut waiting = self.waiting();
        while waiting.items.is_empty() {
            if waiting.closed {
                return None;
            }
            waiting = self.changed.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
        if !waiting.urgent && !waiting.closed {
            let idle = |w: &mut Waiting| !w.urgent && !w.closed;
            let waited = self.changed.wait_timeout_while(waiting, lazy_wait, idle);
            waiting = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        waiting.urgent = false;
        Some(mem::take(&mut waiting.items))
    }

    /// Takes no more.
    pub(crate) fn close(&self) {
        self.waiting().closed = true;
        self.changed.notify_all();
    }
}
