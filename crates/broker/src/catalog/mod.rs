//! All resources: in memory for use, in a journal for the next start.

pub(crate) mod records;

use crate::clock::{self, Micros};
use crate::error::{Error, status_of};
use crate::feed::Feed;
use crate::name::Kind;
use crate::status::not_found;
use crate::store::{Journal, LogId, LogOptions, Store, StoreError};
use crate::subscription::Subscription;
use crate::tasks::{lock, read, write};
use crate::topic::Topic;
use prost::Message;
use records::{Changes, Records, SchemaRecord, SnapshotRecord, SubscriptionRecord, TopicRecord};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, RwLock};
use tonic::Status;

/// What a client is told about `topic` of a subscription whose topic is gone.
pub(crate) const DELETED_TOPIC: &str = "_deleted-topic_";

/// Resources of one kind, by name.
type Shelf<T> = RwLock<BTreeMap<String, Arc<T>>>;

/// All resources.
#[derive(Debug)]
pub(crate) struct Catalog {
    store: Store,
    /// One change of resources at a time.
    journal: tokio::sync::Mutex<Journal<Records>>,
    topics: Shelf<Topic>,
    subscriptions: Shelf<Subscription>,
    snapshots: Shelf<SnapshotRecord>,
    schemas: Shelf<SchemaRecord>,
    feeds: Mutex<BTreeMap<u64, Arc<Feed>>>,
    last_number: Mutex<u64>,
}

/// The right to change resources, one change after another.
pub(crate) type Change<'a> = tokio::sync::MutexGuard<'a, Journal<Records>>;

impl Catalog {
    /// Reads what an earlier run left.
    pub(crate) fn open(store: &Store) -> Result<Self, Error> {
        let journal = Journal::open(store, &LogId::new("catalog")?, Records::default())?;
        let records = journal.state().0.clone();
        let catalog = Catalog {
            store: store.clone(),
            journal: tokio::sync::Mutex::new(journal),
            topics: Shelf::default(),
            subscriptions: Shelf::default(),
            snapshots: Shelf::default(),
            schemas: Shelf::default(),
            feeds: Mutex::default(),
            last_number: Mutex::new(0),
        };
        for (name, record) in &records {
            catalog.load(name, record)?;
        }
        catalog.delete_strays(&records)?;
        Ok(catalog)
    }

    fn load(&self, name: &str, record: &[u8]) -> Result<(), Error> {
        let damaged = |e: prost::DecodeError| Error::Catalog(format!("the record of {name}: {e}"));
        let kind = name.split('/').nth(2).unwrap_or_default();
        if kind == Kind::Topic.plural() {
            let record = TopicRecord::decode(record).map_err(damaged)?;
            self.add_topic(record)?;
        } else if kind == Kind::Subscription.plural() {
            let record = SubscriptionRecord::decode(record).map_err(damaged)?;
            self.add_subscription(record)?;
        } else if kind == Kind::Snapshot.plural() {
            let record = SnapshotRecord::decode(record).map_err(damaged)?;
            self.feed(record.log)?;
            write(&self.snapshots).insert(name.to_owned(), Arc::new(record));
        } else {
            let record = SchemaRecord::decode(record).map_err(damaged)?;
            write(&self.schemas).insert(name.to_owned(), Arc::new(record));
        }
        Ok(())
    }

    /// Deletes logs that belong to no resource: a run ended between a change of resources and of logs. Where there are
    /// no resources at all, the catalog may have been lost, and nothing is deleted.
    fn delete_strays(&self, records: &BTreeMap<String, bytes::Bytes>) -> Result<(), Error> {
        if records.is_empty() {
            return Ok(());
        }
        let feeds: Vec<u64> = lock(&self.feeds).keys().copied().collect();
        let journals: Vec<u64> = read(&self.subscriptions).values().map(|s| s.number()).collect();
        for id in self.store.log_ids() {
            let stray = match id.as_str().split_once('-').map(|(kind, n)| (kind, n.parse::<u64>())) {
                Some(("topic", Ok(number))) => !feeds.contains(&number),
                Some(("acks", Ok(number))) => !journals.contains(&number),
                _ => false,
            };
            if stray {
                self.store.delete_log(&id)?;
            }
        }
        Ok(())
    }

    /// The store.
    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    /// A number that no log or subscription had before: the time, or the next.
    pub(crate) fn new_number(&self) -> u64 {
        let mut last = lock(&self.last_number);
        *last = u64::try_from(clock::now()).unwrap_or(0).max(*last + 1);
        *last
    }

    /// Begins a change of resources.
    pub(crate) async fn change(&self) -> Change<'_> {
        self.journal.lock().await
    }

    /// Makes changes durable. What is in memory is changed by the caller, once this is done.
    pub(crate) async fn commit(&self, change: &mut Change<'_>, changes: Changes) -> Result<(), Status> {
        let delta = changes.encode_to_vec();
        let room = self.store.room(delta.len() + 64).await.map_err(status_of)?;
        let append = change.apply(&delta, clock::now(), room).map_err(status_of)?;
        append.await.map_err(status_of)?;
        Ok(())
    }

    /// The log with a number, opened once.
    pub(crate) fn feed(&self, number: u64) -> Result<Arc<Feed>, StoreError> {
        let mut feeds = lock(&self.feeds);
        if let Some(feed) = feeds.get(&number) {
            return Ok(feed.clone());
        }
        let id = LogId::new(format!("topic-{number}"))?;
        let feed = Arc::new(Feed::open(number, self.store.log(&id, LogOptions::default())?)?);
        feeds.insert(number, feed.clone());
        Ok(feed)
    }

    /// All logs of topics.
    pub(crate) fn feeds(&self) -> Vec<Arc<Feed>> {
        lock(&self.feeds).values().cloned().collect()
    }

    /// Deletes the log if nothing uses it any more.
    pub(crate) fn release(&self, number: u64) -> Result<(), StoreError> {
        let used = read(&self.topics).values().any(|t| t.feed().number() == number)
            || read(&self.subscriptions).values().any(|s| s.feed().number() == number)
            || read(&self.snapshots).values().any(|s| s.log == number);
        if !used && lock(&self.feeds).remove(&number).is_some() {
            self.store.delete_log(&LogId::new(format!("topic-{number}"))?)?;
        }
        Ok(())
    }

    /// Puts a topic in place.
    pub(crate) fn add_topic(&self, record: TopicRecord) -> Result<Arc<Topic>, StoreError> {
        let name = record.topic.name.clone();
        let topic = Arc::new(Topic::new(record, |number| self.feed(number))?);
        write(&self.topics).insert(name, topic.clone());
        Ok(topic)
    }

    /// Takes a topic away.
    pub(crate) fn remove_topic(&self, name: &str) {
        write(&self.topics).remove(name);
    }

    /// Puts a subscription in place.
    pub(crate) fn add_subscription(
        &self,
        record: SubscriptionRecord,
    ) -> Result<Arc<Subscription>, StoreError> {
        let name = record.subscription.name.clone();
        let feed = self.feed(record.log)?;
        let subscription = Arc::new(Subscription::open(&self.store, record, feed, self.new_number())?);
        write(&self.subscriptions).insert(name, subscription.clone());
        Ok(subscription)
    }

    /// Takes a subscription away, with what it has acknowledged.
    pub(crate) fn remove_subscription(&self, subscription: &Subscription) -> Result<(), StoreError> {
        write(&self.subscriptions).remove(subscription.name());
        self.store.delete_log(&subscription.journal_id()?)?;
        self.release(subscription.feed().number())
    }

    /// Puts a snapshot in place.
    pub(crate) fn add_snapshot(&self, record: SnapshotRecord) {
        write(&self.snapshots).insert(record.snapshot.name.clone(), Arc::new(record));
    }

    /// Takes a snapshot away.
    pub(crate) fn remove_snapshot(&self, name: &str) -> Result<(), StoreError> {
        let removed = write(&self.snapshots).remove(name);
        removed.map_or(Ok(()), |s| self.release(s.log))
    }

    /// Puts a schema in place, or takes it away.
    pub(crate) fn set_schema(&self, name: &str, record: Option<SchemaRecord>) {
        match record {
            Some(record) => drop(write(&self.schemas).insert(name.to_owned(), Arc::new(record))),
            None => drop(write(&self.schemas).remove(name)),
        }
    }

    /// The topic of a name.
    pub(crate) fn topic(&self, name: &str) -> Result<Arc<Topic>, Status> {
        read(&self.topics).get(name).cloned().ok_or_else(|| not_found(name))
    }

    /// The subscription of a name.
    pub(crate) fn subscription(&self, name: &str) -> Result<Arc<Subscription>, Status> {
        read(&self.subscriptions).get(name).cloned().ok_or_else(|| not_found(name))
    }

    /// The snapshot of a name.
    pub(crate) fn snapshot(&self, name: &str) -> Result<Arc<SnapshotRecord>, Status> {
        read(&self.snapshots).get(name).cloned().ok_or_else(|| not_found(name))
    }

    /// The schema of a name.
    pub(crate) fn schema(&self, name: &str) -> Result<Arc<SchemaRecord>, Status> {
        read(&self.schemas).get(name).cloned().ok_or_else(|| not_found(name))
    }

    /// All topics, by name.
    pub(crate) fn topics(&self) -> Vec<Arc<Topic>> {
        read(&self.topics).values().cloned().collect()
    }

    /// All subscriptions, by name.
    pub(crate) fn subscriptions(&self) -> Vec<Arc<Subscription>> {
        read(&self.subscriptions).values().cloned().collect()
    }

    /// All snapshots, by name.
    pub(crate) fn snapshots(&self) -> Vec<Arc<SnapshotRecord>> {
        read(&self.snapshots).values().cloned().collect()
    }

    /// All schemas, by name.
    pub(crate) fn schemas(&self) -> Vec<(String, Arc<SchemaRecord>)> {
        read(&self.schemas).iter().map(|(n, s)| (n.clone(), s.clone())).collect()
    }
}

/// When snapshots may be forgotten.
pub(crate) fn is_expired(snapshot: &SnapshotRecord, now: Micros) -> bool {
    snapshot.snapshot.expire_time.as_ref().is_some_and(|t| clock::micros_of(t) <= now)
}
