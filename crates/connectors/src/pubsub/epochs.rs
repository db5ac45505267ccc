//! A writer whose messages go out when their epoch is committed.

use super::check::failed;
use super::prepared::{Gathered, Prepared, id_start};
use super::writer::Outgoing;
use bytes::Bytes;
use purlin_api::source::BoxFuture;
use purlin_api::{Batch, BuildCx, Error, ErrorKind, Result, Sink};
use purlin_pubsub::{Publisher, PublisherOptions, TopicName};

/// Bytes of the messages of an epoch at most: they are in memory twice while it is prepared.
const EPOCH_BYTES_MAX: usize = 1 << 30;
/// Messages that are decoded at a time when they are published.
const PART_MESSAGES: usize = 1000;
/// Their bytes, about.
const PART_BYTES: usize = 1 << 20;

/// Keeps messages until their epoch is committed, and publishes them then under ids that are the same if it has
/// to be done again.
///
/// **Invariants.** Nothing is published that was not in the bytes `commit` was given, or is left at `finish`. Ids
/// are a function of those bytes. `commit` answers when the service has taken all messages.
pub(super) struct EpochWriter {
    out: Outgoing,
    id_attribute: String,
    /// What ids start with, but for the epoch.
    id_start: String,
    gathered: Gathered,
    /// The last epoch that was prepared, here or by those before.
    epoch: u64,
    published: bool,
    bytes_max: usize,
}

impl EpochWriter {
    /// For one lane. `out` leaves ids to be given later.
    pub(super) fn new(out: Outgoing, id_attribute: String, cx: &BuildCx) -> Self {
        let at = &cx.environment;
        EpochWriter {
            id_start: id_start(&at.lineage, &at.pipeline, &cx.label, cx.lane),
            out,
            id_attribute,
            gathered: Gathered::default(),
            epoch: 0,
            published: false,
            bytes_max: EPOCH_BYTES_MAX,
        }
    }

    fn gather(&mut self, batch: &Batch) -> Result<()> {
        for message in self.out.all_messages(batch)? {
            let has_id = message.attributes.contains_key(&self.id_attribute);
            self.gathered.push(&message, has_id);
        }
        if self.gathered.size_bytes() > self.bytes_max {
            return Err(Error::new(
                ErrorKind::Exhausted,
                format!(
                    "the messages of one epoch for {} have more than {} MiB, and are kept in memory until it is committed; let \
                     fewer rows come at once, or write `x-purlin: {{delivery: at_least_once}}`, which publishes them as \
                     they come",
                    self.out.topic,
                    self.bytes_max >> 20
                ),
            ));
        }
        Ok(())
    }

    fn prepared(&mut self, epoch: u64) -> Bytes {
        self.epoch = epoch;
        let start = format!("{}-{epoch}", self.id_start);
        self.gathered.prepare(self.out.topic.as_str(), &self.id_attribute, &start)
    }

    /// The publisher for a topic, which is another one if the file has been changed since messages were prepared.
    fn publisher(&self, topic: &str) -> Result<Publisher> {
        if topic == self.out.topic.as_str() {
            return Ok(self.out.publisher.clone());
        }
        let name = TopicName::parse(topic, None).map_err(failed)?;
        Publisher::new(&self.out.client, &name, PublisherOptions::default()).map_err(failed)
    }

    async fn publish(&mut self, prepared: Bytes) -> Result<()> {
        let Some(mut prepared) = Prepared::read(prepared)? else { return Ok(()) };
        let publisher = self.publisher(&prepared.topic)?;
        self.published = true;
        loop {
            let (mut part, mut bytes) = (Vec::new(), 0);
            while part.len() < PART_MESSAGES && bytes < PART_BYTES {
                let Some(message) = prepared.next()? else { break };
                bytes += message.data.len();
                part.push(message);
            }
            if part.is_empty() {
                break;
            }
            publisher.publish(part).await.map_err(failed)?;
        }
        publisher.flush().await.map_err(failed)
    }
}

impl Sink for EpochWriter {
    fn write(&mut self, batch: Batch) -> BoxFuture<'_, Result<()>> {
        Box::pin(std::future::ready(self.gather(&batch)))
    }

    fn prepare(&mut self, epoch: u64) -> BoxFuture<'_, Result<Bytes>> {
        Box::pin(std::future::ready(Ok(self.prepared(epoch))))
    }

    fn commit(&mut self, _: u64, prepared: Bytes) -> BoxFuture<'_, Result<()>> {
        Box::pin(self.publish(prepared))
    }

    fn restore(&mut self, epoch: u64, prepared: Vec<Bytes>) -> BoxFuture<'_, Result<()>> {
        self.epoch = epoch;
        Box::pin(async move {
            for bytes in prepared {
                self.publish(bytes).await?;
            }
            Ok(())
        })
    }

    /// What is left was in no checkpoint: after a crash in here its rows are written again, and those whose ids are
    /// not the same then are there twice.
    fn finish(&mut self) -> BoxFuture<'_, Result<()>> {
        let left = self.prepared(self.epoch + 1);
        Box::pin(self.publish(left))
    }

    fn abort(&mut self) {
        self.gathered = Gathered::default();
    }

    fn made(&self) -> Vec<String> {
        if self.published { vec![self.out.topic.to_string()] } else { Vec::new() }
    }
}
