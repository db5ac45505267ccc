//! What stands before a writer with an error output: an operator that makes messages of rows.
//!
//! A sink has no outputs, and a row that cannot be a message must be known before its epoch is prepared. So rows are encoded
//! here, those that cannot be messages go to the error output, and the sink is given messages.

use super::encode::{BadRow, Encoder, Spec};
use super::sink::ids;
use arrow_array::builder::BinaryBuilder;
use arrow_array::cast::AsArray;
use arrow_array::{ArrayRef, RecordBatch, StringArray, StructArray, UInt32Array};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use purlin_api::shape::physical;
use purlin_api::{
    Batch, BuildCx, Error, More, OpCx, Operator, Output, OutputRole, PlanNode, Port, Result, Running, Shape,
};
use purlin_pubsub::prost::Message as _;
use purlin_pubsub::proto::PubsubMessage;
use std::sync::Arc;

/// The output with messages, and the one with rows that cannot be one.
const MESSAGES: usize = 0;
const ERRORS: usize = 1;

/// Bytes of messages in one batch, about: a column of bytes may have 2 GiB, and one message 10 MB.
const BATCH_BYTES: usize = 16 << 20;

/// The only column of messages: each as the API encodes it.
fn messages_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("message", DataType::Binary, false)]))
}

/// The rows of the error output for an input.
fn error_schema(input: &Schema) -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("element", DataType::Struct(input.fields().clone()), false),
        Field::new("msg", DataType::Utf8, false),
        Field::new("stack", DataType::Utf8, false),
    ]))
}

/// The messages in a batch that came from [`MessagesNode`].
///
/// # Errors
/// If it holds something else.
pub(super) fn decoded(batch: &Batch) -> Result<Vec<PubsubMessage>> {
    let column = batch.rows.columns().first().and_then(|c| c.as_binary_opt::<i32>());
    let column = column.ok_or_else(|| Error::internal("a batch of messages has no column of bytes"))?;
    let message = |row| {
        PubsubMessage::decode(column.value(row))
            .map_err(|e| Error::internal(format!("an encoded message: {e}")))
    };
    (0..batch.len()).map(message).collect()
}

/// Makes messages of rows.
#[derive(Clone, Debug)]
pub(super) struct MessagesNode {
    outputs: Vec<Output>,
    topic: String,
    spec: Arc<Spec>,
}

impl MessagesNode {
    /// For rows of a shape; those that cannot be messages go to the output `errors`.
    pub(super) fn new(input: &Shape, errors: &str, topic: &str, spec: Arc<Spec>) -> Self {
        let output =
            |tag: &str, schema, role| Output { tag: tag.to_owned(), shape: input.with_schema(schema), role };
        let outputs = vec![
            output("messages", messages_schema(), OutputRole::Main),
            output(errors, error_schema(&input.schema), OutputRole::Error),
        ];
        MessagesNode { outputs, topic: topic.to_owned(), spec }
    }
}

impl PlanNode for MessagesNode {
    fn outputs(&self) -> &[Output] {
        &self.outputs
    }

    fn explain(&self) -> String {
        let errors = self.outputs.get(ERRORS).map_or("", |o| o.tag.as_str());
        format!("{} messages of rows; errors to {errors}", self.spec.payload.name())
    }

    fn build(&self, cx: &BuildCx) -> Result<Running> {
        let errors = self.outputs.get(ERRORS).ok_or_else(|| Error::internal("no error output"))?;
        Ok(Running::Operator(Box::new(Encoding {
            encoder: Encoder { spec: self.spec.clone(), ids: ids(&self.spec, cx) },
            topic: self.topic.clone(),
            messages: physical(&messages_schema()),
            errors: physical(&errors.shape.schema),
        })))
    }
}

struct Encoding {
    encoder: Encoder,
    topic: String,
    messages: SchemaRef,
    errors: SchemaRef,
}

impl Operator for Encoding {
    fn on_batch(&mut self, _: Port, batch: Batch, cx: &mut OpCx) -> Result<More> {
        let (messages, bad) = self.encoder.messages(&batch)?;
        cx.fates.passed += messages.len() as u64;
        cx.fates.dead += bad.len() as u64;
        if bad.is_empty() {
            self.emit(&messages, &batch, cx)?;
            return Ok(More::No);
        }
        let mut refused = bad.iter().map(|(row, _)| *row).peekable();
        let good: UInt32Array =
            (0..batch.len()).filter(|row| refused.next_if_eq(row).is_none()).map(as_u32).collect();
        self.emit(&messages, &batch.take(&good)?, cx)?;
        cx.emit(ERRORS, self.error_rows(&batch, &bad)?);
        Ok(More::No)
    }
}

impl Encoding {
    /// Gives on the messages of these rows, in batches that are not too large.
    fn emit(&self, messages: &[PubsubMessage], rows: &Batch, cx: &mut OpCx) -> Result<()> {
        let mut from = 0;
        while from < messages.len() {
            let mut column = BinaryBuilder::new();
            let mut until = from;
            while let Some(message) = messages.get(until)
                && column.values_slice().len() < BATCH_BYTES
            {
                column.append_value(message.encode_to_vec());
                until += 1;
            }
            let column: ArrayRef = Arc::new(column.finish());
            let part = rows.slice(from, until - from);
            cx.emit(MESSAGES, part.with_rows(RecordBatch::try_new(self.messages.clone(), vec![column])?));
            from = until;
        }
        Ok(())
    }

    fn error_rows(&self, batch: &Batch, bad: &[BadRow]) -> Result<Batch> {
        let rows: UInt32Array = bad.iter().map(|(row, _)| as_u32(*row)).collect();
        let taken = batch.take(&rows)?;
        let DataType::Struct(fields) = self.errors.field(0).data_type() else {
            return Err(Error::internal("error rows have no `element`"));
        };
        let element =
            StructArray::try_new_with_length(fields.clone(), taken.rows.columns().to_vec(), None, bad.len())?;
        let why: StringArray = bad.iter().map(|(_, why)| Some(why.as_str())).collect();
        let place: StringArray = bad.iter().map(|_| Some(self.topic.as_str())).collect();
        let columns: Vec<ArrayRef> = vec![Arc::new(element), Arc::new(why), Arc::new(place)];
        Ok(taken.with_rows(RecordBatch::try_new(self.errors.clone(), columns)?))
    }
}

/// A row of a batch, of which there are fewer than 2^32.
fn as_u32(row: usize) -> u32 {
    u32::try_from(row).unwrap_or(u32::MAX)
}
