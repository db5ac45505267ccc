//! The inbox of a running stage: one queue an input, each bounded in rows and in bytes.

use crate::message::Message;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// The bounds of one queue; queues of an inbox that has many get less. A queue takes a message as long as it is below both.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Rows.
    pub rows_max: usize,
    /// Bytes, about.
    pub bytes_max: usize,
    /// Messages, so that control messages are bounded too.
    pub messages_max: usize,
}

/// What an inbox may hold for each of its queues, however many there are: some batches.
const QUEUE_MIN: Bounds = Bounds { rows_max: 16 * 1024, bytes_max: 1 << 20, messages_max: 64 };
/// Up to so many queues each has the whole bounds; beyond, they share what these many have.
const QUEUES_WHOLE: usize = 4;

impl Bounds {
    /// The bounds of each of so many queues of one inbox: with many lanes, memory must not grow with their
    /// square.
    fn shared_by(self, queues: usize) -> Bounds {
        let share = |whole: usize, least: usize| {
            (whole.saturating_mul(QUEUES_WHOLE) / queues.max(QUEUES_WHOLE)).max(least.min(whole))
        };
        Bounds {
            rows_max: share(self.rows_max, QUEUE_MIN.rows_max),
            bytes_max: share(self.bytes_max, QUEUE_MIN.bytes_max),
            messages_max: share(self.messages_max, QUEUE_MIN.messages_max),
        }
    }
}

impl Default for Bounds {
    fn default() -> Self {
        Bounds { rows_max: 64 * 1024, bytes_max: 32 << 20, messages_max: 1024 }
    }
}

#[derive(Debug, Default)]
struct Queue {
    messages: VecDeque<Message>,
    rows: usize,
    bytes: usize,
}

#[derive(Debug)]
struct State {
    queues: Vec<Queue>,
    next: usize,
    closed: bool,
}

/// The receiving end of all edges into one lane of a stage.
#[derive(Debug)]
pub struct Inbox {
    state: Mutex<State>,
    bounds: Bounds,
    filled: Notify,
    drained: Vec<Notify>,
}

/// The receiver is gone: the job is being stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed;

impl Inbox {
    /// With this many queues.
    pub fn new(slots: usize, bounds: Bounds) -> Arc<Self> {
        Arc::new(Inbox {
            state: Mutex::new(State {
                queues: (0..slots).map(|_| Queue::default()).collect(),
                next: 0,
                closed: false,
            }),
            bounds: bounds.shared_by(slots),
            filled: Notify::new(),
            drained: (0..slots).map(|_| Notify::new()).collect(),
        })
    }

    /// Puts a message into a queue, waiting while it is full.
    pub async fn send(&self, slot: usize, message: Message) -> Result<(), Closed> {
        let mut message = Some(message);
        loop {
            let room = self.drained.get(slot).ok_or(Closed)?.notified();
            match self.try_send(slot, &mut message) {
                Ok(true) => return Ok(()),
                Ok(false) => room.await,
                Err(closed) => return Err(closed),
            }
        }
    }

    fn try_send(&self, slot: usize, message: &mut Option<Message>) -> Result<bool, Closed> {
        let mut state = self.lock();
        if state.closed {
            return Err(Closed);
        }
        let queue = state.queues.get_mut(slot).ok_or(Closed)?;
        let full = queue.rows >= self.bounds.rows_max
            || queue.bytes >= self.bounds.bytes_max
            || queue.messages.len() >= self.bounds.messages_max;
        if full {
            return Ok(false);
        }
        if let Some(m) = message.take() {
            queue.rows += m.rows();
            queue.bytes += m.bytes();
            queue.messages.push_back(m);
        }
        drop(state);
        self.filled.notify_one();
        Ok(true)
    }

    /// The next message of any queue for which `blocked` is false; queues take turns.
    pub async fn recv(&self, blocked: impl Fn(usize) -> bool) -> (usize, Message) {
        loop {
            let filled = self.filled.notified();
            if let Some(got) = self.try_recv(&blocked) {
                return got;
            }
            filled.await;
        }
    }

    /// The next message, if there is one.
    pub fn try_recv(&self, blocked: impl Fn(usize) -> bool) -> Option<(usize, Message)> {
        let mut state = self.lock();
        let n = state.queues.len();
        let start = state.next;
        for i in 0..n {
            let slot = (start + i) % n;
            if blocked(slot) {
                continue;
            }
            let Some(queue) = state.queues.get_mut(slot) else { continue };
            if let Some(message) = queue.messages.pop_front() {
                queue.rows -= message.rows();
                queue.bytes -= message.bytes();
                state.next = (slot + 1) % n;
                drop(state);
                if let Some(d) = self.drained.get(slot) {
                    d.notify_one();
                }
                return Some((slot, message));
            }
        }
        None
    }

    /// Refuses all further messages.
    pub fn close(&self) {
        self.lock().closed = true;
        for d in &self.drained {
            d.notify_one();
        }
    }

    /// Rows and bytes waiting, by queue.
    pub fn waiting(&self) -> Vec<(usize, usize)> {
        self.lock().queues.iter().map(|q| (q.rows, q.bytes)).collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere cannot leave the queues half changed: every section above is a few moves.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use purlin_api::EventTime;

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().build().unwrap()
    }

    #[test]
    fn many_queues_share_the_bounds() {
        let whole = Bounds::default();
        let of = |queues| {
            let b = whole.shared_by(queues);
            (b.rows_max, b.bytes_max, b.messages_max)
        };
        assert_eq!(of(1), (64 * 1024, 32 << 20, 1024));
        assert_eq!(of(4), of(1));
        assert_eq!(of(8), (32 * 1024, 16 << 20, 512));
        assert_eq!(of(1000), (16 * 1024, 1 << 20, 64));
        let small = Bounds { rows_max: 1, bytes_max: 1, messages_max: 1 }.shared_by(100);
        assert_eq!((small.rows_max, small.bytes_max, small.messages_max), (1, 1, 1));
    }

    #[test]
    fn a_full_queue_makes_the_sender_wait_and_others_go_on() {
        runtime().block_on(async {
            let inbox = Inbox::new(2, Bounds { rows_max: 1, bytes_max: 1, messages_max: 2 });
            let mark = |s| Message::Watermark(EventTime::from_seconds(s));
            inbox.send(0, mark(1)).await.unwrap();
            inbox.send(0, mark(2)).await.unwrap();
            let mut third = Box::pin(inbox.send(0, mark(3)));
            tokio::select! { biased;
                _ = &mut third => panic!("queue 0 is full"),
                r = inbox.send(1, Message::End) => r.unwrap(),
            }
            assert!(matches!(inbox.try_recv(|_| false), Some((0, Message::Watermark(_)))));
            third.await.unwrap();
            assert!(matches!(inbox.try_recv(|s| s == 0), Some((1, Message::End))));
            assert!(inbox.try_recv(|s| s == 0).is_none(), "a blocked queue gives nothing");
            inbox.close();
            assert_eq!(inbox.send(1, Message::End).await, Err(Closed));
        });
    }
}
