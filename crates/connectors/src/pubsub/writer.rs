//! Running writers: a sink, and for pipelines with an error output an asynchronous transform.

use super::check::failed;
use super::encode::{Ids, Rows, Spec};
use arrow_array::{ArrayRef, RecordBatch, StringArray, StructArray, UInt32Array};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use bytes::Bytes;
use purlin_api::shape::physical;
use purlin_api::source::BoxFuture;
use purlin_api::{Answer, AsyncOperator, Batch, Environment, Error, Fates, Port, Result, Sink};
use purlin_pubsub::proto::PubsubMessage;
use purlin_pubsub::{Client, ClientOptions, Publisher, PublisherOptions, TopicName};
use std::sync::{Arc, Mutex, PoisonError};

/// Characters of a row that a message about it shows.
const SHOWN_CHARS_MAX: usize = 200;
/// Bundles whose messages were not answered yet.
const BUNDLES_IN_FLIGHT_MAX: usize = 16;

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

/// A row that cannot be a message, and why.
type BadRow = (usize, String);

/// Where rows go, and how.
pub(super) struct Outgoing {
    pub(super) client: Client,
    pub(super) publisher: Publisher,
    pub(super) topic: TopicName,
    pub(super) spec: Arc<Spec>,
    pub(super) ids: Ids,
}

impl Outgoing {
    /// The messages of the rows that can be one, and which rows cannot, and why.
    fn messages(&mut self, batch: &Batch) -> Result<(Vec<PubsubMessage>, Vec<BadRow>)> {
        let (mut messages, mut bad) = (Vec::with_capacity(batch.len()), Vec::new());
        let mut rows = Rows::new(&self.spec, batch)?;
        for row in 0..batch.len() {
            match rows.message(row, &mut self.ids) {
                Ok(message) => messages.push(message),
                Err(why) => bad.push((row, why)),
            }
        }
        Ok((messages, bad))
    }

    /// The messages of all rows.
    ///
    /// # Errors
    /// If one of them cannot be a message.
    pub(super) fn all_messages(&mut self, batch: &Batch) -> Result<Vec<PubsubMessage>> {
        let (messages, bad) = self.messages(batch)?;
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

/// The rows of the error output for an input.
pub(super) fn error_schema(input: &Schema) -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("element", DataType::Struct(input.fields().clone()), false),
        Field::new("msg", DataType::Utf8, false),
        Field::new("stack", DataType::Utf8, false),
    ]))
}

/// Publishes rows as they come, and gives those that cannot be messages on an error output.
pub(super) struct Publishing {
    out: Outgoing,
    errors: SchemaRef,
}

impl Publishing {
    pub(super) fn new(out: Outgoing, errors: &Schema) -> Self {
        Publishing { out, errors: physical(errors) }
    }

    fn error_rows(&self, batch: &Batch, bad: &[BadRow]) -> Result<Batch> {
        let rows: UInt32Array = bad.iter().map(|(row, _)| u32::try_from(*row).unwrap_or(u32::MAX)).collect();
        let taken = batch.take(&rows)?;
        let DataType::Struct(fields) = self.errors.field(0).data_type() else {
            return Err(Error::internal("error rows have no `element`"));
        };
        let element =
            StructArray::try_new_with_length(fields.clone(), taken.rows.columns().to_vec(), None, bad.len())?;
        let why: StringArray = bad.iter().map(|(_, why)| Some(why.as_str())).collect();
        let place: StringArray = bad.iter().map(|_| Some(self.out.topic.as_str())).collect();
        let columns: Vec<ArrayRef> = vec![Arc::new(element), Arc::new(why), Arc::new(place)];
        Ok(taken.with_rows(RecordBatch::try_new(self.errors.clone(), columns)?))
    }
}

impl AsyncOperator for Publishing {
    fn submit(&mut self, _: Port, batch: Batch) -> BoxFuture<'static, Result<Answer>> {
        let encoded = self.out.messages(&batch).and_then(|(messages, bad)| {
            let outputs = if bad.is_empty() { Vec::new() } else { vec![(0, self.error_rows(&batch, &bad)?)] };
            let fates = Fates { passed: messages.len() as u64, dead: bad.len() as u64, ..Fates::default() };
            Ok((messages, Answer { outputs, fates, log: Vec::new() }))
        });
        let publisher = self.out.publisher.clone();
        Box::pin(async move {
            let (messages, answer) = encoded?;
            publisher.publish_for_ids(messages).await.map_err(failed)?;
            Ok(answer)
        })
    }

    fn in_flight_max(&self) -> usize {
        BUNDLES_IN_FLIGHT_MAX
    }
}
