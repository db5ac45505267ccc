//! Subscriptions: the state machine of [`core`] with a log to read from and a journal of what is acknowledged.

pub(crate) mod ack_id;
pub(crate) mod acked;
mod backlog;
pub(crate) mod core;
pub(crate) mod flow;
pub(crate) mod journal;
pub(crate) mod lease;
#[cfg(test)]
mod model;
mod ordering;
pub(crate) mod retry;
pub(crate) mod rules;

pub(crate) use crate::clock::Micros;

use self::ack_id::AckId;
use self::acked::AckSet;
use self::backlog::LogBacklog;
use self::core::{Core, Outcome, Taken, Taker};
use self::flow::Flow;
use self::journal::Acked;
use self::lease::Holder;
use crate::catalog::records::SubscriptionRecord;
use crate::clock;
use crate::error::status_of;
use crate::feed::Feed;
use crate::status::not_found;
use crate::store::{Append, Journal, LogId, Store, StoreError};
use crate::tasks::{lock, read, write};
use pubsub_proto::google::pubsub::v1 as pb;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use tokio::sync::watch;
use tonic::Status;

/// Room for a change of acknowledgements, for each ack id: two varints.
const DELTA_BYTES_EACH: usize = 20;

/// A subscription.
#[derive(Debug)]
pub(crate) struct Subscription {
    name: String,
    number: u64,
    created_at: u64,
    store: Store,
    feed: Arc<Feed>,
    resource: RwLock<Arc<pb::Subscription>>,
    state: Mutex<State>,
    /// Counts what may let a waiting stream go on: returned messages, other rules, the end.
    changed: watch::Sender<u64>,
    deleted: AtomicBool,
    pushing: AtomicBool,
}

#[derive(Debug)]
struct State {
    core: Core,
    backlog: LogBacklog,
    journal: Journal<Acked>,
}

/// What wakes one that waits for messages.
#[derive(Debug)]
pub(crate) struct Waker {
    published: watch::Receiver<u64>,
    changed: watch::Receiver<u64>,
}

impl Waker {
    /// Waits until there may be something to take, at the latest at `due`.
    pub(crate) async fn wait(&mut self, due: Option<Micros>) {
        tokio::select! {
            _ = self.published.changed() => {}
            _ = self.changed.changed() => {}
            () = clock::sleep_until(due) => {}
        }
    }
}

impl Subscription {
    /// Opens a subscription that is in the catalog. `start` must be greater than at any earlier start.
    pub(crate) fn open(
        store: &Store,
        record: SubscriptionRecord,
        feed: Arc<Feed>,
        start: u64,
    ) -> Result<Self, StoreError> {
        let journal =
            Journal::open(store, &journal_id(record.number)?, Acked(AckSet::below(record.created_at)))?;
        let mut acked = journal.state().0.clone();
        acked.insert_range(0, feed.log().bounds().first);
        let rules = rules::rules_of(&record.subscription);
        Ok(Subscription {
            name: record.subscription.name.clone(),
            number: record.number,
            created_at: record.created_at,
            store: store.clone(),
            state: Mutex::new(State {
                core: Core::new(record.number, rules, acked, start),
                backlog: LogBacklog::new(feed.log().clone()),
                journal,
            }),
            feed,
            resource: RwLock::new(Arc::new(record.subscription)),
            changed: watch::Sender::new(0),
            deleted: AtomicBool::new(false),
            pushing: AtomicBool::new(false),
        })
    }

    /// How many messages are not acknowledged. Those that the filter leaves out count until they are looked at.
    pub(crate) fn waiting(&self) -> u64 {
        let bounds = self.feed.log().bounds();
        lock(&self.state).core.acked().missing(bounds.first, bounds.next)
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// What tells it from others that had its name.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// Where the log ended when it was created.
    pub(crate) fn created_at(&self) -> u64 {
        self.created_at
    }

    /// The name of its journal.
    pub(crate) fn journal_id(&self) -> Result<LogId, StoreError> {
        journal_id(self.number)
    }

    /// Where its messages are.
    pub(crate) fn feed(&self) -> &Arc<Feed> {
        &self.feed
    }

    /// The resource as clients see it.
    pub(crate) fn resource(&self) -> Arc<pb::Subscription> {
        read(&self.resource).clone()
    }

    /// The record for the catalog, with another resource.
    pub(crate) fn record(&self, subscription: pb::Subscription) -> SubscriptionRecord {
        SubscriptionRecord {
            subscription,
            log: self.feed.number(),
            number: self.number,
            created_at: self.created_at,
        }
    }

    /// Changes the resource and the rules in it.
    pub(crate) fn set_resource(&self, subscription: pb::Subscription) {
        lock(&self.state).core.set_rules(rules::rules_of(&subscription));
        *write(&self.resource) = Arc::new(subscription);
        self.wake();
    }

    /// It is deleted: whoever waits gets to know.
    pub(crate) fn set_deleted(&self) {
        self.deleted.store(true, Ordering::Release);
        self.wake();
    }

    /// Answers true to the first that asks, until [`end_pushing`](Self::end_pushing).
    pub(crate) fn begin_pushing(&self) -> bool {
        !self.pushing.swap(true, Ordering::AcqRel)
    }

    /// Whoever pushed does so no more.
    pub(crate) fn end_pushing(&self) {
        self.pushing.store(false, Ordering::Release);
    }

    /// Lets all that wait look again.
    pub(crate) fn wake(&self) {
        self.changed.send_modify(|n| *n += 1);
    }

    /// The deadline of what `Pull` and push hand out.
    pub(crate) fn ack_deadline(&self) -> Micros {
        lock(&self.state).core.rules().ack_deadline
    }

    /// Whether messages can be taken.
    pub(crate) fn check_usable(&self) -> Result<(), Status> {
        if self.deleted.load(Ordering::Acquire) {
            return Err(not_found(&self.name));
        }
        if read(&self.resource).detached {
            return Err(Status::failed_precondition(format!(
                "Subscription ({}) is detached from its topic: it receives no messages.",
                self.name
            )));
        }
        Ok(())
    }

    /// To be made before looking for messages: what happens after that wakes it.
    pub(crate) fn waker(&self) -> Waker {
        Waker { published: self.feed.log().watch_next(), changed: self.changed.subscribe() }
    }

    /// A stream begins.
    pub(crate) fn open_stream(&self, flow: Flow) -> Holder {
        lock(&self.state).core.open_stream(flow)
    }

    /// A stream ended.
    pub(crate) fn close_stream(&self, holder: Holder) {
        lock(&self.state).core.close_stream(holder);
    }

    /// A holder that is no stream.
    pub(crate) fn new_holder(&self) -> Holder {
        lock(&self.state).core.new_holder()
    }

    /// Takes messages for a client. Also answers when to look again although nothing was published.
    pub(crate) fn take(&self, taker: Taker) -> Result<(Taken, Option<Micros>), Status> {
        self.check_usable()?;
        let mut state = lock(&self.state);
        let State { core, backlog, .. } = &mut *state;
        let taken = core.take(clock::now(), taker, backlog).map_err(status_of)?;
        let due = core.next_due();
        if taken.deliveries.is_empty() {
            backlog.clear_again();
        }
        Ok((taken, due))
    }

    /// Acknowledges messages. Answers, for each id, what became of it; on an exactly-once subscription only when that is
    /// durable.
    pub(crate) async fn ack(&self, ids: &[Option<AckId>]) -> Result<Vec<Outcome>, Status> {
        let bytes = 64 + ids.len() * DELTA_BYTES_EACH;
        let room = self.store.room(bytes).await.map_err(status_of)?;
        let now = clock::now();
        let (outcomes, append) = {
            let mut state = lock(&self.state);
            let exactly_once = state.core.rules().exactly_once;
            let outcomes = ids.iter().map(|id| match id {
                Some(id) => state.core.ack(id, now),
                None if exactly_once => Outcome::Invalid,
                None => Outcome::Done,
            });
            let outcomes: Vec<Outcome> = outcomes.collect();
            let delta = state.core.take_delta();
            let append = match delta {
                Some(d) if exactly_once => state.journal.apply(&journal::unite(&d), now, room).map(Some),
                // Nobody waits for it, so it need not have a sync of its own.
                Some(d) => state.journal.apply_lazy(&journal::unite(&d), now, room).map(|()| None),
                None => Ok(None),
            };
            (outcomes, append.map_err(status_of)?)
        };
        self.wake();
        finish(append).await?;
        Ok(outcomes)
    }

    /// Moves deadlines: for each id the seconds from now, 0 to give it back.
    pub(crate) fn modify(&self, ids: impl IntoIterator<Item = (Option<AckId>, i32)>) -> Vec<Outcome> {
        let now = clock::now();
        let mut state = lock(&self.state);
        let exactly_once = state.core.rules().exactly_once;
        let mut returned = false;
        let mut modify = |(id, seconds): (Option<AckId>, i32)| match id {
            Some(id) => {
                returned |= seconds <= 0;
                state.core.modify(&id, Micros::from(seconds) * rules::SECOND, now)
            }
            None if exactly_once => Outcome::Invalid,
            None => Outcome::Done,
        };
        let outcomes = ids.into_iter().map(&mut modify).collect();
        drop(state);
        if returned {
            self.wake();
        }
        outcomes
    }

    /// What is acknowledged now.
    pub(crate) fn acked(&self) -> AckSet {
        lock(&self.state).core.acked().clone()
    }

    /// Sets what is acknowledged, durably.
    pub(crate) async fn seek(&self, change: impl FnOnce(&AckSet) -> AckSet) -> Result<(), Status> {
        let room = self.store.room(1 << 20).await.map_err(status_of)?;
        let append = {
            let mut state = lock(&self.state);
            let set = change(state.core.acked());
            let append =
                state.journal.apply(&journal::replace(&set), clock::now(), room).map_err(status_of)?;
            state.core.seek(set);
            state.backlog.clear();
            append
        };
        self.wake();
        finish(Some(append)).await
    }

    /// Lets the journal take writes again after its disk failed.
    pub(crate) fn reopen(&self) -> Result<(), StoreError> {
        lock(&self.state).journal.log().reopen()
    }

    /// Forgets messages older than the subscription keeps, and tells the journal how far all is acknowledged. Answers
    /// the first offset it needs.
    pub(crate) fn keep_from(&self, offset: u64) -> Result<u64, StoreError> {
        let now = clock::now();
        let mut state = lock(&self.state);
        state.core.drop_before(offset, now);
        let floor = state.core.acked().floor();
        if floor > state.journal.state().0.floor()
            && let Some(room) = self.store.room_now(64)
        {
            state.journal.apply_lazy(&journal::unite(&AckSet::below(floor)), now, room)?;
        }
        Ok(floor)
    }
}

async fn finish(append: Option<Append>) -> Result<(), Status> {
    if let Some(append) = append {
        append.await.map_err(status_of)?;
    }
    Ok(())
}

fn journal_id(number: u64) -> Result<LogId, StoreError> {
    LogId::new(format!("acks-{number}"))
}
