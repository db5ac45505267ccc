//! Messages that cannot be decoded, as rows.

use crate::format::columns::Column;
use crate::shared::read::batch_of;
use arrow_array::RecordBatch;
use arrow_schema::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};
use purlin_api::shape::physical;
use purlin_api::{Error, Result};
use purlin_pubsub::proto::PubsubMessage;
use std::sync::Arc;

/// A map of text.
pub(super) fn text_map() -> DataType {
    let entries = Fields::from(vec![
        Field::new("key", DataType::Utf8, false),
        Field::new("value", DataType::Utf8, false),
    ]);
    DataType::Map(Arc::new(Field::new("entries", DataType::Struct(entries), false)), false)
}

/// Instants.
pub(super) fn timestamps() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

/// The rows of the error output.
pub(super) fn schema() -> SchemaRef {
    let element = Fields::from(vec![
        Field::new("payload", DataType::Binary, false),
        Field::new("attributes", text_map(), false),
        Field::new("message_id", DataType::Utf8, false),
        Field::new("publish_time", timestamps(), true),
    ]);
    Arc::new(Schema::new(vec![
        Field::new("element", DataType::Struct(element), false),
        Field::new("msg", DataType::Utf8, false),
        Field::new("stack", DataType::Utf8, false),
    ]))
}

/// Appends the attributes of a message to a column of maps, sorted so that equal messages make equal rows.
pub(super) fn push_attributes(column: &mut Column, message: &PubsubMessage) {
    let Column::Map(map) = column else {
        column.push_null();
        return;
    };
    let mut entries: Vec<(&String, &String)> = message.attributes.iter().collect();
    entries.sort_unstable();
    let (keys, values) = map.entries_mut();
    for (key, value) in entries {
        keys.push_text(key);
        values.push_text(value);
    }
    map.push_valid();
}

/// When a message was published, in microseconds since 1970.
pub(super) fn publish_time(message: &PubsubMessage) -> Option<i64> {
    let t = message.publish_time.as_ref()?;
    t.seconds.checked_mul(1_000_000)?.checked_add(i64::from(t.nanos) / 1000)
}

/// Bad messages that are collected for the error output.
#[derive(Default)]
pub(super) struct BadRows {
    columns: Vec<Column>,
    times: Vec<i64>,
}

impl BadRows {
    pub(super) fn len(&self) -> usize {
        self.times.len()
    }

    /// Adds a message with its event time, what is wrong with it, and where it came from.
    pub(super) fn push(
        &mut self,
        message: &PubsubMessage,
        time: i64,
        reason: &str,
        place: &str,
    ) -> Result<()> {
        if self.columns.is_empty() {
            self.columns = physical(&schema()).fields().iter().map(|f| Column::new(f)).collect();
        }
        let odd = || Error::internal("error rows have other columns than they should");
        let [Column::Struct(element), msg, stack] = self.columns.as_mut_slice() else { return Err(odd()) };
        let [payload, attributes, id, published] = element.columns_mut() else { return Err(odd()) };
        let (Column::Binary(payload), Column::Time(times, valid, _)) = (payload, published) else {
            return Err(odd());
        };
        payload.push(&message.data);
        push_attributes(attributes, message);
        id.push_text(&message.message_id);
        let at = publish_time(message);
        times.push(at.unwrap_or_default());
        valid.append(at.is_some());
        element.push_valid();
        msg.push_text(reason);
        stack.push_text(place);
        self.times.push(time);
        Ok(())
    }

    /// The rows and their times.
    pub(super) fn finish(&mut self) -> Result<(RecordBatch, Vec<i64>)> {
        let times = std::mem::take(&mut self.times);
        let columns = std::mem::take(&mut self.columns);
        let rows = batch_of(&physical(&schema()), columns.into_iter().map(Column::finish), times.len())?;
        Ok((rows, times))
    }
}
