//! Resources as the broker keeps them: records by name, changed by deltas.

use crate::store::StateMachine;
use bytes::Bytes;
use prost::Message;
use pubsub_proto::google::pubsub::v1 as pb;
use std::collections::BTreeMap;

/// A topic.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct TopicRecord {
    /// The resource.
    #[prost(message, required, tag = "1")]
    pub(crate) topic: pb::Topic,
    /// The number of its log.
    #[prost(uint64, tag = "2")]
    pub(crate) log: u64,
}

/// A subscription.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct SubscriptionRecord {
    /// The resource.
    #[prost(message, required, tag = "1")]
    pub(crate) subscription: pb::Subscription,
    /// The number of its topic's log.
    #[prost(uint64, tag = "2")]
    pub(crate) log: u64,
    /// Its own number, also in the name of its journal.
    #[prost(uint64, tag = "3")]
    pub(crate) number: u64,
    /// Where the log ended when it was created.
    #[prost(uint64, tag = "4")]
    pub(crate) created_at: u64,
}

/// A snapshot.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct SnapshotRecord {
    /// The resource.
    #[prost(message, required, tag = "1")]
    pub(crate) snapshot: pb::Snapshot,
    /// The number of the topic's log.
    #[prost(uint64, tag = "2")]
    pub(crate) log: u64,
    /// What was acknowledged, as [`crate::subscription::acked::AckSet`] writes it.
    #[prost(bytes = "vec", tag = "3")]
    pub(crate) acked: Vec<u8>,
}

/// A schema, with its revisions: oldest first.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct SchemaRecord {
    /// The revisions.
    #[prost(message, repeated, tag = "1")]
    pub(crate) revisions: Vec<pb::Schema>,
}

/// Some changes that are made together.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Changes {
    /// The changes, in order.
    #[prost(message, repeated, tag = "1")]
    pub(crate) changes: Vec<Change>,
}

/// A record that is put, or deleted.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Change {
    /// The resource's name.
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    /// The record; none deletes it.
    #[prost(bytes = "bytes", optional, tag = "2")]
    pub(crate) record: Option<Bytes>,
}

impl Changes {
    /// Adds a record.
    #[must_use]
    pub(crate) fn put(mut self, name: &str, record: &impl Message) -> Self {
        self.changes.push(Change { name: name.to_owned(), record: Some(record.encode_to_vec().into()) });
        self
    }

    /// Takes a record away.
    #[must_use]
    pub(crate) fn delete(mut self, name: &str) -> Self {
        self.changes.push(Change { name: name.to_owned(), record: None });
        self
    }
}

/// All records, by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Records(pub BTreeMap<String, Bytes>);

impl StateMachine for Records {
    fn apply(&mut self, delta: &[u8]) -> Result<(), String> {
        let changes = Changes::decode(delta).map_err(|e| e.to_string())?;
        for change in changes.changes {
            match change.record {
                Some(record) => drop(self.0.insert(change.name, record)),
                None => drop(self.0.remove(&change.name)),
            }
        }
        Ok(())
    }

    fn snapshot(&self, out: &mut Vec<u8>) {
        let put =
            |(name, record): (&String, &Bytes)| Change { name: name.clone(), record: Some(record.clone()) };
        out.extend(Changes { changes: self.0.iter().map(put).collect() }.encode_to_vec());
    }

    fn restore(&mut self, snapshot: &[u8]) -> Result<(), String> {
        self.0.clear();
        self.apply(snapshot)
    }
}
