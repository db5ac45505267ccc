//! Reading a subscription: streaming pulls that stay open, leases that stay alive, acknowledgements in batches.

mod acks;
mod queue;
mod stream;

use crate::client::{Client, unique};
use crate::clock;
use crate::error::{Error, Result, Target};
pub use crate::leases::LeaseRange;
use crate::leases::Leases;
use crate::names::SubscriptionName;
use crate::proto::PubsubMessage;
use crate::tasks;
use queue::Queue;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;

/// Lists of ids that wait to be acknowledged or given back.
const ACKS_QUEUED_MAX: usize = 256;
/// How long the end waits for the service to end its streams: what it has sent until then can be given back.
const STREAMS_END_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the end waits for the last acknowledgements.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);

/// Messages held at a time, unless told otherwise. Less than what `purlin broker` lets out of one subscription, a
/// million: a reader that waits there would not know that it must let go.
const MESSAGES_HELD_MAX: usize = 900_000;

/// How a subscription is read.
#[derive(Clone, Copy, Debug)]
pub struct SubscriberOptions {
    /// Streams that are held open. Google gives each some ten megabytes a second.
    pub streams: usize,
    /// Messages that may be held at a time: arrived, and neither acknowledged nor given back.
    pub messages_held_max: usize,
    /// Their bytes, as the service counts them; 0 for no bound.
    pub bytes_held_max: usize,
    /// Bytes that arrived and nobody has taken yet, about.
    pub bytes_waiting_max: usize,
    /// For how long messages are leased at a time, in seconds: 10 to 600.
    pub lease_seconds: i32,
    /// For how long at most, for messages that are held for long: each lease is twice as long as the one before.
    pub lease_seconds_max: i32,
    /// For how long a lease is extended at most.
    pub hold_max: Duration,
    /// How long to go on trying when the service does not answer.
    pub give_up_after: Duration,
}

impl Default for SubscriberOptions {
    fn default() -> Self {
        SubscriberOptions {
            streams: 1,
            messages_held_max: MESSAGES_HELD_MAX,
            bytes_held_max: 0,
            bytes_waiting_max: 32 << 20,
            lease_seconds: 60,
            lease_seconds_max: 600,
            hold_max: Duration::from_secs(3600),
            give_up_after: Duration::from_secs(600),
        }
    }
}

/// A message that arrived, without the id by which it is acknowledged: its place among the
/// [deliveries](Deliveries) stands for that.
#[derive(Clone, Debug, PartialEq)]
pub struct Arrival {
    /// The message.
    pub message: PubsubMessage,
    /// How often it was tried, if the subscription counts that.
    pub delivery_attempt: i32,
}

/// Messages that arrived together.
#[derive(Debug)]
pub struct Deliveries {
    /// The number of this arrival.
    pub batch: u64,
    /// When they arrived, in microseconds since 1970.
    pub at: i64,
    /// The messages.
    pub messages: Vec<Arrival>,
}

impl Deliveries {
    /// The messages from `from` up to but not `to`.
    pub fn range(&self, from: usize, to: usize) -> LeaseRange {
        let place = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        LeaseRange { batch: self.batch, from: place(from), to: place(to) }
    }

    /// All messages.
    pub fn all(&self) -> LeaseRange {
        self.range(0, self.messages.len())
    }
}

/// Answers to acknowledgements that are on their way.
#[derive(Debug)]
pub struct Flushed {
    wait: tokio::sync::oneshot::Receiver<()>,
    is_done: bool,
}

impl Flushed {
    /// True if all have been answered.
    pub fn is_done(&mut self) -> bool {
        self.is_done = self.is_done || self.wait.try_recv().is_ok();
        self.is_done
    }
}

/// What the tasks of a subscriber share.
#[derive(Debug)]
struct Shared {
    client: Client,
    name: SubscriptionName,
    client_id: String,
    options: SubscriberOptions,
    leases: Mutex<Leases>,
    queue: Queue,
    /// Streams that will not be opened again.
    streams_ended: watch::Sender<usize>,
    /// Streams that are open now.
    streams_open: AtomicUsize,
    /// When something came last, or when a stream was opened last, in microseconds since 1970.
    moved_at: AtomicI64,
    /// What the service said of the subscription.
    exactly_once: AtomicBool,
    acks_failed: AtomicU64,
    /// Set when the streams are to end.
    closing: watch::Sender<bool>,
}

impl Shared {
    fn leases(&self) -> MutexGuard<'_, Leases> {
        self.leases.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn target(&self) -> Target {
        Target::from(&self.name)
    }

    /// Remembers that something happened now.
    fn moved(&self) {
        self.moved_at.store(clock::now(), Ordering::Relaxed);
    }
}

/// A reader of one subscription. Several lanes may share it: each message goes to one of them.
///
/// Dropping it ends the streams; [`Subscriber::close`] also gives back what is held.
#[derive(Debug)]
pub struct Subscriber {
    shared: Arc<Shared>,
    acks: mpsc::Sender<acks::Job>,
    tasks: Vec<AbortHandle>,
}

impl Subscriber {
    /// Opens the streams.
    ///
    /// Whether the subscription exists shows at the first [`Subscriber::next`], or by
    /// [`Client::get_subscription`].
    ///
    /// # Errors
    /// If threads cannot be started.
    pub fn start(client: &Client, name: &SubscriptionName, options: SubscriberOptions) -> Result<Self> {
        let lease_seconds = options.lease_seconds.clamp(10, 600);
        let lease_seconds_max = options.lease_seconds_max.clamp(lease_seconds, 600);
        let streams = options.streams.max(1);
        let options = SubscriberOptions { lease_seconds, lease_seconds_max, streams, ..options };
        let micros = |seconds: i32| i64::from(seconds) * 1_000_000;
        let shared = Arc::new(Shared {
            client: client.clone(),
            name: name.clone(),
            client_id: unique(),
            options,
            leases: Mutex::new(Leases::new(
                micros(lease_seconds),
                micros(lease_seconds_max),
                clock::micros(options.hold_max),
            )),
            queue: Queue::new(options.bytes_waiting_max),
            streams_ended: watch::Sender::new(0),
            streams_open: AtomicUsize::new(0),
            moved_at: AtomicI64::new(clock::now()),
            exactly_once: AtomicBool::new(false),
            acks_failed: AtomicU64::new(0),
            closing: watch::Sender::new(false),
        });
        let (acks, queue) = mpsc::channel(ACKS_QUEUED_MAX);
        let mut tasks = Vec::new();
        for _ in 0..options.streams {
            tasks.push(tasks::spawn(stream::run(shared.clone()))?.abort_handle());
        }
        tasks.push(tasks::spawn(acks::extend(shared.clone()))?.abort_handle());
        // Not aborted: it ends by itself when everything was answered and nobody can ask any more.
        drop(tasks::spawn(acks::run(shared.clone(), queue))?);
        Ok(Subscriber { shared, acks, tasks })
    }

    /// The next messages, waiting at most so long; `None` if nothing came.
    ///
    /// May be dropped while it waits: nothing is lost.
    ///
    /// # Errors
    /// If the service refuses the subscription, or does not answer for too long.
    pub async fn next(&self, wait: Duration) -> Result<Option<Deliveries>> {
        if let Some(got) = self.try_next()? {
            return Ok(Some(got));
        }
        let got = clock::within(wait, self.shared.queue.take()).await.transpose()?;
        if got.is_some() {
            self.shared.moved();
        }
        Ok(got)
    }

    /// The next messages, if some wait here.
    ///
    /// # Errors
    /// As [`Subscriber::next`].
    pub fn try_next(&self) -> Result<Option<Deliveries>> {
        let got = self.shared.queue.try_take()?;
        if got.is_some() {
            // While it waited here, more may have waited behind it.
            self.shared.moved();
        }
        Ok(got)
    }

    /// Since when the service has had nothing for us although it could have sent it, in microseconds since
    /// 1970. `None` while a stream is closed, messages wait here, or no more may be held.
    pub fn quiet_since(&self) -> Option<i64> {
        let s = &self.shared;
        let room = s.leases().held() < s.options.messages_held_max / 10 * 9;
        let open = s.streams_open.load(Ordering::Acquire) == s.options.streams;
        if room && open && s.queue.is_empty() {
            return Some(s.moved_at.load(Ordering::Relaxed));
        }
        // Quiet begins when none of this holds any more.
        s.moved();
        None
    }

    /// Acknowledges: these messages will not come again. Waits only for room in the queue of acknowledgements.
    ///
    /// One that the service does not take in time is a message that comes again; see
    /// [`Subscriber::acks_failed`].
    ///
    /// # Errors
    /// If the subscriber was closed.
    pub async fn ack(&self, ranges: &[LeaseRange]) -> Result<()> {
        self.settle(ranges, acks::Answer::Ack).await
    }

    /// Gives messages back, to come again.
    ///
    /// # Errors
    /// If the subscriber was closed.
    pub async fn nack(&self, ranges: &[LeaseRange]) -> Result<()> {
        self.settle(ranges, acks::Answer::Nack).await
    }

    async fn settle(&self, ranges: &[LeaseRange], answer: acks::Answer) -> Result<()> {
        let ids: Vec<String> = {
            let mut leases = self.shared.leases();
            ranges.iter().flat_map(|r| leases.release(*r)).collect()
        };
        if ids.is_empty() {
            return Ok(());
        }
        self.acks.send(acks::Job::Settle(answer, ids)).await.map_err(|_| acks::gone())
    }

    /// Waits until all acknowledgements so far were answered.
    ///
    /// # Errors
    /// If the subscriber was closed.
    pub async fn flush(&self) -> Result<()> {
        let (done, wait) = tokio::sync::oneshot::channel();
        self.acks.send(acks::Job::Flush(done)).await.map_err(|_| acks::gone())?;
        wait.await.map_err(|_| acks::gone())
    }

    /// Asks when all acknowledgements so far will have been answered, without waiting for it.
    ///
    /// # Errors
    /// If the subscriber was closed.
    pub async fn flushed(&self) -> Result<Flushed> {
        let (done, wait) = tokio::sync::oneshot::channel();
        self.acks.send(acks::Job::Flush(done)).await.map_err(|_| acks::gone())?;
        Ok(Flushed { wait, is_done: false })
    }

    /// True if the service says that it delivers exactly once.
    pub fn exactly_once(&self) -> bool {
        self.shared.exactly_once.load(Ordering::Relaxed)
    }

    /// Acknowledgements that the service did not take: their messages come again.
    pub fn acks_failed(&self) -> u64 {
        self.shared.acks_failed.load(Ordering::Relaxed)
    }

    /// Messages that are held.
    pub fn held(&self) -> usize {
        self.shared.leases().held()
    }

    /// Which subscription.
    pub fn name(&self) -> &SubscriptionName {
        &self.shared.name
    }

    /// Ends the streams, gives back what is still held, and waits for the last acknowledgements, a few seconds
    /// at most.
    ///
    /// # Errors
    /// If the service did not answer in time.
    pub async fn close(&self) -> Result<()> {
        self.shared.closing.send_replace(true);
        let (mut ended, streams) = (self.shared.streams_ended.subscribe(), self.shared.options.streams);
        // What is on its way would otherwise come again only when its lease ends.
        drop(clock::within(STREAMS_END_TIMEOUT, ended.wait_for(|n| *n >= streams)).await);
        self.tasks.iter().for_each(AbortHandle::abort);
        self.shared.queue.clear();
        let ids = self.shared.leases().release_all();
        let ends = async {
            if !ids.is_empty() {
                self.acks.send(acks::Job::Settle(acks::Answer::Nack, ids)).await.map_err(|_| acks::gone())?;
            }
            self.flush().await
        };
        clock::within(CLOSE_TIMEOUT, ends).await.unwrap_or_else(|| {
            Err(Error::new(
                crate::ErrorKind::Unavailable,
                format!(
                    "the last acknowledgements on subscription `{}` were not answered in time: the service cannot be \
                     reached, or is slow; messages without one come again",
                    self.shared.name
                ),
            ))
        })
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        self.shared.closing.send_replace(true);
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}
