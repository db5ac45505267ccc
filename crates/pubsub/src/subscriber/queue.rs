//! What arrived and nobody has taken yet.

use super::Deliveries;
use crate::error::{Error, Result};
use prost::Message as _;
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// A queue bounded in bytes, for several readers and writers.
#[derive(Debug)]
pub(super) struct Queue {
    state: Mutex<State>,
    bytes_max: usize,
    arrived: Notify,
    taken: Notify,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<(Deliveries, usize)>,
    bytes: usize,
    failed: Option<Error>,
}

impl Queue {
    pub(super) fn new(bytes_max: usize) -> Self {
        Queue { state: Mutex::default(), bytes_max, arrived: Notify::new(), taken: Notify::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts messages in, once there is room; one lot always fits into an empty queue.
    pub(super) async fn put(&self, got: Deliveries) {
        let bytes = got.messages.iter().map(|m| m.message.encoded_len() + size_of::<super::Arrival>()).sum();
        loop {
            let room = self.taken.notified();
            {
                let mut state = self.state();
                if state.bytes + bytes <= self.bytes_max || state.waiting.is_empty() {
                    state.bytes += bytes;
                    state.waiting.push_back((got, bytes));
                    break;
                }
            }
            room.await;
        }
        self.arrived.notify_one();
    }

    /// Takes what is there; the failure only when nothing is left before it.
    pub(super) fn try_take(&self) -> Result<Option<Deliveries>> {
        let mut state = self.state();
        match state.waiting.pop_front() {
            Some((got, bytes)) => {
                state.bytes -= bytes;
                if !state.waiting.is_empty() {
                    self.arrived.notify_one();
                }
                drop(state);
                self.taken.notify_one();
                Ok(Some(got))
            }
            None => state.failed.clone().map_or(Ok(None), Err),
        }
    }

    /// Waits for messages.
    pub(super) async fn take(&self) -> Result<Deliveries> {
        loop {
            let arrived = self.arrived.notified();
            if let Some(got) = self.try_take()? {
                return Ok(got);
            }
            arrived.await;
        }
    }

    /// Nothing more will come; readers are told why.
    pub(super) fn fail(&self, e: Error) {
        self.state().failed.get_or_insert(e);
        self.arrived.notify_waiters();
        self.arrived.notify_one();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.state().waiting.is_empty()
    }

    /// Throws away what waits, as it was given back.
    pub(super) fn clear(&self) {
        let mut state = self.state();
        state.waiting.clear();
        state.bytes = 0;
        drop(state);
        self.taken.notify_waiters();
    }
}
