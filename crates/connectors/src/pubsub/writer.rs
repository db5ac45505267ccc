//! Where messages go: the publisher that lanes share, and a sink that publishes rows as they come.

use super::check::failed;
use super::encode::Encoder;
use super::messages::decoded;
use bytes::Bytes;
use purlin_api::source::BoxFuture;
use purlin_api::{Batch, Environment, Error, Result, Sink};
use purlin_pubsub::proto::PubsubMessage;
use purlin_pubsub::{Client, ClientOptions, Publisher, PublisherOptions, TopicName};
use std::sync::{Mutex, PoisonError};

/// Characters of a row that a message about it shows.
const SHOWN_CHARS_MAX: usize = 200;

/// What the lanes share: one publisher, made by the first of them.
#[derive(Default)]
pub(super) struct Slot(Mutex<Option<Open>>);

/// A publisher to a topic that is there.
#[derive(Clone)]
pub(super) struct Open {
    pub(super) client: Client,
    pub(super) publisher: Publisher,
    pub(super) topic: TopicName,
}

impl Slot {
    /// The publisher; the first lane looks the topic up.
    ///
    /// # Errors
    /// If there is no such topic, or nobody to ask.
    pub(super) fn open(&self, topic: &str, at: &Environment) -> Result<Open> {
        let mut slot = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = &*slot {
            return Ok(open.clone());
        }
        let (topic, host, project) = (topic.to_owned(), at.pubsub.clone(), at.project.clone());
        let open = purlin_pubsub::block_on(async move {
            let client = Client::new(&ClientOptions { host, ..ClientOptions::default() })?;
            let topic = TopicName::parse(&topic, client.project(project.as_deref()).as_deref())?;
            client.get_topic(&topic).await?;
            let publisher = Publisher::new(&client, &topic, PublisherOptions::default())?;
            Ok(Open { client, publisher, topic })
        });
        Ok(slot.insert(open.map_err(failed)?).clone())
    }
}

/// What rows are when they come to the sink.
pub(super) enum Incoming {
    /// As the author made them.
    Rows(Encoder),
    /// Messages: an operator before the sink has encoded them, and gave those that cannot be one elsewhere.
    Messages,
}

/// Where rows go, and how.
pub(super) struct Outgoing {
    pub(super) client: Client,
    pub(super) publisher: Publisher,
    pub(super) topic: TopicName,
    pub(super) incoming: Incoming,
}

impl Outgoing {
    /// The messages of all rows.
    ///
    /// # Errors
    /// If one of them cannot be a message.
    pub(super) fn all_messages(&mut self, batch: &Batch) -> Result<Vec<PubsubMessage>> {
        let Incoming::Rows(encoder) = &mut self.incoming else { return decoded(batch) };
        let (messages, bad) = encoder.messages(batch)?;
        let Some((row, why)) = bad.first() else { return Ok(messages) };
        let shown = purlin_api::json::row_text(&batch.rows, *row, SHOWN_CHARS_MAX);
        Err(Error::data(format!(
            "a row cannot be published to {}: {why}; to go on without such rows, give the transform \
             `error_handling: {{output: NAME}}`; the row: {shown}",
            self.topic
        )))
    }
}

/// Publishes rows as they come.
pub(super) struct Writer {
    out: Outgoing,
    rows: u64,
}

impl Writer {
    pub(super) fn new(out: Outgoing) -> Self {
        Writer { out, rows: 0 }
    }

    async fn publish(&mut self, batch: Batch) -> Result<()> {
        let messages = self.out.all_messages(&batch)?;
        self.rows += messages.len() as u64;
        self.out.publisher.publish(messages).await.map_err(failed)
    }
}

impl Sink for Writer {
    fn write(&mut self, batch: Batch) -> BoxFuture<'_, Result<()>> {
        Box::pin(self.publish(batch))
    }

    fn prepare(&mut self, epoch: u64) -> BoxFuture<'_, Result<Bytes>> {
        let _ = epoch;
        Box::pin(async {
            self.out.publisher.flush().await.map_err(failed)?;
            Ok(Bytes::new())
        })
    }

    fn finish(&mut self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async { self.out.publisher.flush().await.map_err(failed) })
    }

    fn abort(&mut self) {
        // What was published is out: that is what "at least once" means here.
    }

    fn made(&self) -> Vec<String> {
        if self.rows == 0 { Vec::new() } else { vec![self.out.topic.to_string()] }
    }
}
