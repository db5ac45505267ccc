//! What the lanes of a reader share: the connection, the subscription, what was seen, and how far time has come.

use super::check::failed;
use super::seen::Seen;
use super::watermark::{CHECKPOINT_LEASE_SECONDS, Clock, Estimate};
use purlin_api::key::hash;
use purlin_api::{BuildCx, Error, ErrorKind, Result};
use purlin_pubsub::clock;
use purlin_pubsub::{Client, ClientOptions, Subscriber, SubscriberOptions, SubscriptionName, TopicName};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long the end waits for the service.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);
/// Streams that are held open to Google, which gives each some ten megabytes a second.
const STREAMS_GOOGLE: usize = 4;

/// Where messages come from, as the author wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum From {
    Topic(String),
    Subscription(String),
}

impl std::fmt::Display for From {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            From::Topic(name) => write!(f, "topic {name}"),
            From::Subscription(name) => write!(f, "subscription {name}"),
        }
    }
}

/// What the lanes share.
pub(super) struct Work {
    client: Client,
    subscriber: Arc<Subscriber>,
    /// The topic, if the subscription to it was made just now.
    made_to: Option<TopicName>,
    /// True if the subscription was made for this reader, and goes with it.
    temporary: bool,
    seen: Mutex<Seen>,
    estimate: Arc<Mutex<Estimate>>,
    /// Lanes that have not ended.
    lanes: AtomicUsize,
    closed: AtomicBool,
}

/// The place of [`Work`] until the first lane opens it.
#[derive(Default)]
pub(super) struct Slot(Mutex<Option<Arc<Work>>>);

impl Slot {
    /// What the lanes share; the first one opens it.
    ///
    /// # Errors
    /// If the subscription cannot be read.
    pub(super) fn open(
        &self,
        from: &From,
        clock: Clock,
        slack_us: Option<i64>,
        cx: &BuildCx,
    ) -> Result<Arc<Work>> {
        let mut slot = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let work = match &*slot {
            Some(work) => work.clone(),
            None => slot.insert(Arc::new(Work::open(from.clone(), clock, slack_us, cx)?)).clone(),
        };
        work.lanes.fetch_add(1, Ordering::AcqRel);
        Ok(work)
    }
}

/// In a pipeline with checkpoints, a name that is its own for a subscription to a topic: the next run goes on with it.
fn kept(from: &From, cx: &BuildCx) -> Option<String> {
    let at = &cx.environment;
    let whose = [at.lineage.as_str(), &at.pipeline, &cx.label, &from.to_string()].join("\0");
    let other = format!("{whose}\0");
    let id = format!("purlin-{:016x}{:016x}", hash(whose.as_bytes()), hash(other.as_bytes()));
    (!at.lineage.is_empty()).then_some(id)
}

impl Work {
    fn open(from: From, clock: Clock, slack_us: Option<i64>, cx: &BuildCx) -> Result<Self> {
        let own = kept(&from, cx);
        let (host, project) = (cx.environment.pubsub.clone(), cx.environment.project.clone());
        let opened = purlin_pubsub::block_on(async move {
            let client = Client::new(&ClientOptions { host, ..ClientOptions::default() })?;
            let project = client.project(project.as_deref());
            let (name, made_to, temporary) = match from {
                From::Subscription(name) => {
                    let name = SubscriptionName::parse(&name, project.as_deref())?;
                    client.get_subscription(&name).await?;
                    (name, None, false)
                }
                From::Topic(name) => {
                    let topic = TopicName::parse(&name, project.as_deref())?;
                    match &own {
                        Some(id) => {
                            let (name, is_new) = client.kept_subscription(&topic, id).await?;
                            (name, is_new.then_some(topic), false)
                        }
                        None => (client.create_temporary_subscription(&topic).await?, None, true),
                    }
                }
            };
            let streams = if client.address().is_google() { STREAMS_GOOGLE } else { 1 };
            // What waits in windows is held as long as they are open; the runner bounds how much that is.
            let options =
                SubscriberOptions { streams, hold_max: Duration::MAX, ..SubscriberOptions::default() };
            let options = match own {
                Some(_) => SubscriberOptions {
                    lease_seconds: CHECKPOINT_LEASE_SECONDS,
                    lease_seconds_max: CHECKPOINT_LEASE_SECONDS,
                    ..options
                },
                None => options,
            };
            let subscriber = Subscriber::start(&client, &name, options)?;
            Ok((client, subscriber, made_to, temporary))
        });
        let (client, subscriber, made_to, temporary) = opened.map_err(failed)?;
        let google = client.address().is_google();
        Ok(Work {
            client,
            subscriber: Arc::new(subscriber),
            made_to,
            temporary,
            seen: Mutex::default(),
            estimate: Arc::new(Mutex::new(Estimate::new(clock, slack_us, google))),
            lanes: AtomicUsize::new(0),
            closed: AtomicBool::new(false),
        })
    }

    /// A reader goes on from a checkpoint: with the subscription that it had.
    ///
    /// # Errors
    /// If that was gone: nobody kept what was published since.
    pub(super) fn goes_on(&self) -> Result<()> {
        let Some(topic) = &self.made_to else { return Ok(()) };
        let (client, name) = (self.client.clone(), self.subscriber.name().clone());
        // Unless it is gone again, the next start would not notice. Other lanes may have done it.
        let gone = name.clone();
        drop(purlin_pubsub::block_on(async move { client.delete_subscription(&gone).await }));
        Err(Error::new(
            ErrorKind::Config,
            format!(
                "the subscription `{name}`, with which this pipeline reads `{topic}`, is gone, and with it what it had not \
                 read; services remove subscriptions that nobody reads for long. To go on without those messages, make it \
                 again: `purlin subscriptions create {name} --topic {topic}`; or start with `--from scratch`"
            ),
        ))
    }

    pub(super) fn subscriber(&self) -> &Subscriber {
        &self.subscriber
    }

    pub(super) fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn estimate(&self) -> MutexGuard<'_, Estimate> {
        self.estimate.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The estimate, for a table of it.
    pub(super) fn shared_estimate(&self) -> Arc<Mutex<Estimate>> {
        self.estimate.clone()
    }

    /// A lane has ended; the last one gives back what is held, and closes the connection.
    pub(super) async fn end_lane(&self) -> Result<()> {
        if self.lanes.fetch_sub(1, Ordering::AcqRel) == 1 && !self.closed.swap(true, Ordering::AcqRel) {
            close(self.client.clone(), self.subscriber.clone(), self.temporary).await.map_err(failed)?;
        }
        Ok(())
    }
}

async fn close(client: Client, subscriber: Arc<Subscriber>, temporary: bool) -> purlin_pubsub::Result<()> {
    let given_back = subscriber.close().await;
    if !temporary {
        return given_back;
    }
    // With its subscription go the messages that could not be given back.
    let removed = client.delete_subscription(subscriber.name());
    clock::within(CLOSE_TIMEOUT, removed).await.unwrap_or(Ok(()))
}

impl Drop for Work {
    /// After a failure nobody closes: messages are given back, so that they come again soon, and what was made
    /// for this reader is removed, as far as the service answers.
    fn drop(&mut self) {
        if self.closed.swap(true, Ordering::AcqRel) {
            return;
        }
        let (client, subscriber, temporary) = (self.client.clone(), self.subscriber.clone(), self.temporary);
        let done = purlin_pubsub::block_on(async move {
            clock::within(CLOSE_TIMEOUT, close(client, subscriber, temporary)).await.unwrap_or(Ok(()))
        });
        // The job has failed already, with an error that says more.
        drop(done);
    }
}
