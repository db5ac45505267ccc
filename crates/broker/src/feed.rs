//! The messages of a topic. They outlive it as long as subscriptions or snapshots need them.

use crate::clock::Micros;
use crate::error::status_of;
use crate::message;
use crate::store::{Batch, Log, Store, StoreError};
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
    /// The messages in a log. Reads the last one: ids and times go on behind it, also when the clock was put back.
    pub(crate) fn open(number: u64, log: Log) -> Result<Self, StoreError> {
        let bounds = log.bounds();
        let mut last = Last::default();
        if bounds.next > bounds.first {
            for record in log.read(bounds.next - 1, 1)?.records {
                last.time = record.time;
                last.id = message::message_id(&record.payload).parse().unwrap_or(0);
            }
        }
        Ok(Feed { number, log, last: Mutex::new(last) })
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{LogId, LogOptions, RealDisk, StoreOptions};
    use prost::Message;
    use pubsub_proto::google::pubsub::v1::PubsubMessage;
    use std::sync::Arc;

    #[tokio::test]
    async fn ids_and_times_never_go_back() {
        let folder = std::env::temp_dir().join(format!("purlin-feed-{}", std::process::id()));
        let message = PubsubMessage { data: "x".into(), ..Default::default() }.encode_to_vec();
        let mut ids = Vec::new();
        // Each start has a clock that is behind the one before.
        for now in [2_000_000, 1_000_000, 0] {
            let disk = Arc::new(RealDisk::new(&folder).unwrap());
            let (store, _) = Store::open(disk, StoreOptions::default()).unwrap();
            let log = store.log(&LogId::new("topic-1").unwrap(), LogOptions::default()).unwrap();
            let feed = Feed::open(1, log).unwrap();
            for _ in 0..2 {
                ids.push(feed.publish(&store, &[&message, &message], now).await.unwrap());
            }
            let records = feed.log().read(0, 1 << 20).unwrap().records;
            assert!(records.is_sorted_by_key(|r| r.time));
            store.close();
        }
        assert!(ids.is_sorted_by(|a, b| a + 2 <= *b), "{ids:?}");
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
