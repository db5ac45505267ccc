//! What is in flight at an asynchronous operator, in the order of its edge.
//!
//! Bundles and all that came between them stand in one queue. Answers may become ready in any order; they
//! leave the queue in the order of submitting, so that no watermark overtakes rows, no barrier leaves before
//! what belongs to its epoch, and the end comes last.

use crate::message::Message;
use purlin_api::source::BoxFuture;
use purlin_api::{Answer, AsyncOperator, Error, Port, Result};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::task::{Context, Poll};

/// Messages that may wait behind bundles; a reader that only moves its watermark must not fill memory.
const MESSAGES_MAX: usize = 64;

/// What may be worked off next.
#[derive(Debug)]
pub(crate) enum Landed {
    /// The answer to a bundle of this many rows.
    Answer { slot: usize, rows: u64, answer: Answer },
    /// Anything else that came on an input.
    Message { slot: usize, message: Message },
    /// All inputs have shown the barrier, and all before it has been worked off.
    Barrier(u64),
}

enum Item {
    Flying { slot: usize, rows: u64, future: BoxFuture<'static, Result<Answer>> },
    Answered { slot: usize, rows: u64, result: Result<Answer> },
    Message { slot: usize, message: Message },
    Barrier(u64),
}

/// The queue of one lane.
pub(crate) struct Flight {
    items: VecDeque<Item>,
    bundles_max: usize,
    bundles: usize,
    /// A barrier waits: what comes after it is not begun.
    barrier: bool,
}

impl Flight {
    pub(crate) fn new(bundles_max: usize) -> Self {
        Flight { items: VecDeque::new(), bundles_max: bundles_max.max(1), bundles: 0, barrier: false }
    }

    /// True if one more message may be taken in.
    pub(crate) fn has_room(&self) -> bool {
        self.bundles < self.bundles_max && self.items.len() < MESSAGES_MAX && !self.barrier
    }

    /// True if nothing is in flight and nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Takes a message of an input: a batch is submitted, all else waits for its turn.
    pub(crate) fn take(
        &mut self,
        operator: &mut dyn AsyncOperator,
        port: Port,
        slot: usize,
        message: Message,
    ) {
        match message {
            Message::Batch(batch) => {
                let rows = batch.len() as u64;
                let future = operator.submit(port, batch);
                self.bundles += 1;
                self.items.push_back(Item::Flying { slot, rows, future });
            }
            message => self.items.push_back(Item::Message { slot, message }),
        }
    }

    /// Lines a barrier up that all inputs have shown.
    pub(crate) fn barrier(&mut self, epoch: u64) {
        self.barrier = true;
        self.items.push_back(Item::Barrier(epoch));
    }

    /// Waits for what comes next. For ever if nothing is there.
    pub(crate) async fn next(&mut self) -> Result<Landed> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Landed>> {
        // All of them: a future does nothing unless it is polled.
        for item in &mut self.items {
            if let Item::Flying { slot, rows, future } = item
                && let Poll::Ready(result) = future.as_mut().poll(cx)
            {
                *item = Item::Answered { slot: *slot, rows: *rows, result };
            }
        }
        if let None | Some(Item::Flying { .. }) = self.items.front() {
            return Poll::Pending;
        }
        Poll::Ready(match self.items.pop_front() {
            Some(Item::Answered { slot, rows, result }) => {
                self.bundles -= 1;
                result.map(|answer| Landed::Answer { slot, rows, answer })
            }
            Some(Item::Message { slot, message }) => Ok(Landed::Message { slot, message }),
            Some(Item::Barrier(epoch)) => {
                self.barrier = false;
                Ok(Landed::Barrier(epoch))
            }
            Some(Item::Flying { .. }) | None => Err(Error::internal("the queue of a flight changed")),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::RecordBatch;
    use arrow_schema::Schema;
    use purlin_api::{Batch, EventTime};
    use std::sync::Arc;
    use std::task::Waker;
    use tokio::sync::oneshot;

    /// Answers when the test says so, in any order.
    #[derive(Default)]
    struct Asked(Vec<Option<oneshot::Sender<()>>>);

    impl AsyncOperator for Asked {
        fn submit(&mut self, _: Port, _: Batch) -> BoxFuture<'static, Result<Answer>> {
            let (tell, told) = oneshot::channel();
            self.0.push(Some(tell));
            Box::pin(async move {
                told.await.map_err(|_| Error::internal("gone"))?;
                Ok(Answer::default())
            })
        }
    }

    fn batch() -> Message {
        Message::Batch(Batch::untimed(RecordBatch::new_empty(Arc::new(Schema::empty()))))
    }

    fn next(flight: &mut Flight) -> Option<Landed> {
        match flight.poll_next(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(landed) => Some(landed.unwrap()),
            Poll::Pending => None,
        }
    }

    #[test]
    fn nothing_overtakes_a_bundle() {
        let (mut flight, mut asked) = (Flight::new(2), Asked::default());
        flight.take(&mut asked, 0, 0, batch());
        flight.take(&mut asked, 0, 0, Message::Watermark(EventTime::from_seconds(1)));
        assert!(flight.has_room());
        flight.take(&mut asked, 0, 0, batch());
        assert!(!flight.has_room(), "two bundles at most");
        asked.0[1].take().unwrap().send(()).unwrap();
        assert!(next(&mut flight).is_none(), "the first is not ready");
        asked.0[0].take().unwrap().send(()).unwrap();
        assert!(matches!(next(&mut flight), Some(Landed::Answer { .. })));
        assert!(flight.has_room());
        assert!(matches!(next(&mut flight), Some(Landed::Message { message: Message::Watermark(_), .. })));
        assert!(matches!(next(&mut flight), Some(Landed::Answer { .. })));
        assert!(flight.is_empty() && next(&mut flight).is_none());
    }

    #[test]
    fn nothing_begins_behind_a_barrier_and_it_leaves_when_all_before_it_is_done() {
        let (mut flight, mut asked) = (Flight::new(2), Asked::default());
        flight.take(&mut asked, 0, 0, batch());
        flight.barrier(7);
        assert!(!flight.has_room());
        assert!(next(&mut flight).is_none());
        asked.0[0].take().unwrap().send(()).unwrap();
        assert!(matches!(next(&mut flight), Some(Landed::Answer { .. })));
        assert!(matches!(next(&mut flight), Some(Landed::Barrier(7))));
        assert!(flight.has_room() && flight.is_empty());
    }

    #[test]
    fn watermarks_alone_do_not_fill_it_without_bound() {
        let (mut flight, mut asked) = (Flight::new(2), Asked::default());
        flight.take(&mut asked, 0, 0, batch());
        for s in 0..200 {
            if !flight.has_room() {
                break;
            }
            flight.take(&mut asked, 0, 0, Message::Watermark(EventTime::from_seconds(s)));
        }
        assert_eq!(flight.items.len(), MESSAGES_MAX);
    }
}
