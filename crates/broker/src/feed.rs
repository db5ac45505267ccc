//! The messages of a topic. They outlive it as long as subscriptions or snapshots need them.

use crate::clock::Micros;
use crate::error::status_of;
use crate::message;
use crate::store::{Batch, Log, Store};
use crate::tasks::lock;
use std::sync::Mutex;
use tonic::Status;

/// Ids are this many times the microsecond they begin at: so many messages a microsecond fit, and a broker that starts
/// anew begins above all it gave before.
const IDS_A_MICROSECOND: u64 = 64;

/// The messages of a topic, in the order in which they were published.
#[derive(Debug)]
pub(crate) struct Feed {
    number: u64,
    log: Log,
    last: Mutex<Last>,
}

/// What was given to the message before.
#[derive(Clone, Copy, Debug, Default)]
struct Last {
    time: Micros,
    id: u64,
}

impl Feed {
    /// The messages in a log.
    pub(crate) fn new(number: u64, log: Log) -> Self {
        Feed { number, log, last: Mutex::default() }
    }

    /// The number of the log.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// The log.
    pub(crate) fn log(&self) -> &Log {
        &self.log
    }

    /// Appends checked messages and answers their ids once they are durable: the first, and how many follow it.
    pub(crate) async fn publish(
        &self,
        store: &Store,
        messages: &[&[u8]],
        now: Micros,
    ) -> Result<u64, Status> {
        let bytes: usize = messages.iter().map(|m| m.len() + message::COMPLETED_BYTES).sum();
        let room = store.room(bytes + 12 * messages.len() + 48).await.map_err(status_of)?;
        let (first, append) = {
            let mut last = lock(&self.last);
            let time = now.max(last.time);
            let first = u64::try_from(time).unwrap_or(0).saturating_mul(IDS_A_MICROSECOND).max(last.id + 1);
            *last = Last { time, id: first + messages.len() as u64 };
            let mut batch = Batch::with_capacity(messages.len(), bytes);
            for (id, message) in (first..).zip(messages) {
                batch.push_with(time, |into| message::complete(message, id, time, into));
            }
            (first, self.log.append(batch, room))
        };
        append.await.map_err(status_of)?;
        Ok(first)
    }
}
