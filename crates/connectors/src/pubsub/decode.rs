//! Messages into columns.

use super::bad::{BadRows, publish_time, push_attributes, text_map, timestamps};
use crate::format::avro::{Datum, Datums};
use crate::format::columns::Column;
use crate::format::json::decode::Json;
use crate::format::proto;
use crate::format::text::utf8;
use crate::shared::read::{Decoder, Fate, Format, Stop, batch_of};
use crate::shared::records::Record;
use arrow_array::{Array, ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions, StructArray};
use arrow_buffer::{BooleanBuffer, NullBuffer};
use arrow_schema::{DataType, Field, Fields, Schema, SchemaRef};
use arrow_select::filter::filter_record_batch;
use purlin_api::shape::physical;
use purlin_api::time::parse_rfc3339;
use purlin_api::{Batch, Error, EventTime, Origin, Result, SourceMessage, Times};
use purlin_pubsub::proto::PubsubMessage;
use std::sync::Arc;

/// How payloads are decoded.
#[derive(Clone, Debug)]
pub(super) enum PayloadSpec {
    /// One field of bytes.
    Raw,
    /// One field of text.
    Text,
    /// The fields of an object.
    Json,
    /// The fields of a record.
    Avro(Datum),
    /// The fields of a message of Protocol Buffers.
    Proto(Arc<proto::Message>),
}

/// How messages become rows.
#[derive(Clone, Debug)]
pub(super) struct Spec {
    pub(super) payload: PayloadSpec,
    /// The fields of the payload; one that may not be null must be there.
    pub(super) fields: SchemaRef,
    /// Attributes that are fields.
    pub(super) attributes: Vec<String>,
    /// A field for all attributes.
    pub(super) attributes_map: Option<String>,
    /// A field for the time of publishing.
    pub(super) publish_time: Option<String>,
    /// The attribute that has the event time.
    pub(super) timestamp_attribute: Option<String>,
}

impl Spec {
    /// The rows.
    pub(super) fn schema(&self) -> SchemaRef {
        let mut fields: Vec<Field> = self.fields.fields().iter().map(|f| Field::clone(f)).collect();
        fields.extend(self.attributes.iter().map(|a| Field::new(a, DataType::Utf8, false)));
        fields.extend(self.attributes_map.iter().map(|a| Field::new(a, text_map(), false)));
        fields.extend(self.publish_time.iter().map(|a| Field::new(a, timestamps(), true)));
        Arc::new(Schema::new(fields))
    }

    /// The event time of a message, in microseconds since 1970, or what is wrong with it.
    pub(super) fn time(&self, message: &PubsubMessage, arrived: i64) -> Result<i64, String> {
        let published = publish_time(message).unwrap_or(arrived);
        match self.timestamp_attribute.as_ref().and_then(|a| Some((a, message.attributes.get(a)?))) {
            None => Ok(published),
            Some((name, text)) => time_of(text).ok_or_else(|| {
                format!(
                    "the attribute `{name}` is no time: `{text}`; a time is in milliseconds since 1970, or \
                     like 2015-10-29T23:41:41.123Z"
                )
            }),
        }
    }
}

/// Milliseconds since 1970, or RFC 3339.
fn time_of(text: &str) -> Option<i64> {
    let text = text.trim();
    match text.parse::<i64>() {
        Ok(ms) => Some(EventTime(ms.saturating_mul(1000)).clamped().0),
        Err(_) => parse_rfc3339(text).map(|t| t.0),
    }
}

enum Columns {
    Raw(Column),
    Text(Column),
    Records(Box<dyn Decoder>),
    Avro(Datums),
    Proto(proto::Reader),
}

impl Columns {
    fn new(spec: &Spec, needed: &[bool]) -> Self {
        let schema = physical(&spec.fields);
        let single = || {
            let field = schema
                .fields()
                .first()
                .map_or_else(|| Field::new("payload", DataType::Null, true), |f| Field::clone(f));
            if needed.first() == Some(&true) { Column::new(&field) } else { Column::unread(&field) }
        };
        match &spec.payload {
            PayloadSpec::Raw => Columns::Raw(single()),
            PayloadSpec::Text => Columns::Text(single()),
            PayloadSpec::Json => {
                // What is required is looked at, whether it is read or not.
                let needed: Vec<bool> =
                    spec.fields.fields().iter().zip(needed).map(|(f, n)| *n || !f.is_nullable()).collect();
                let json = Json { lines: true, python_text: false, declared: true, sampled: 0 };
                Columns::Records(json.decoder(&schema, &needed))
            }
            PayloadSpec::Avro(datum) => Columns::Avro(datum.reader(&schema, needed)),
            PayloadSpec::Proto(message) => Columns::Proto(proto::Reader::new(message, &schema, needed)),
        }
    }

    /// Takes a payload, or says what is wrong with it.
    fn push(&mut self, data: &[u8]) -> Result<Result<(), String>> {
        let words = |stop: Stop| match stop {
            Stop::File(e) => Err(e),
            Stop::Row(e) => Ok(Err(match e.column {
                Some(column) => format!("{}, at character {column}", e.reason),
                None => e.reason,
            })),
        };
        match self {
            Columns::Raw(Column::Binary(column)) => column.push(data),
            Columns::Raw(other) => other.push_null(),
            Columns::Text(column) => match utf8(data) {
                Ok(text) => column.push_text(text),
                Err(e) => return words(e.into()),
            },
            Columns::Records(decoder) => {
                let record = Record { bytes: data, line: 1, fault: None };
                match decoder.record(&record) {
                    Ok(Fate::Row) => {}
                    Ok(Fate::Skipped | Fate::Header) => return Ok(Err("the payload is empty".to_owned())),
                    Err(stop) => return words(stop),
                }
            }
            Columns::Avro(datums) => return Ok(datums.push(data)),
            Columns::Proto(reader) => return Ok(reader.push(data)),
        }
        Ok(Ok(()))
    }

    /// The columns, and which of the rows taken are bad all the same, and why.
    fn finish(&mut self, spec: &Spec, rows: usize) -> Result<(RecordBatch, Vec<(usize, String)>)> {
        let schema = physical(&spec.fields);
        match self {
            Columns::Raw(column) | Columns::Text(column) => {
                let empty = match schema.fields().first() {
                    Some(f) if !matches!(column, Column::Null(..)) => Column::new(f),
                    Some(f) => Column::unread(f),
                    None => return Err(Error::internal("a payload without a field")),
                };
                let full = std::mem::replace(column, empty);
                Ok((batch_of(&schema, std::iter::once(full.finish()), rows)?, Vec::new()))
            }
            Columns::Records(decoder) => {
                let batch = decoder.finish()?;
                let missing = missing(spec.fields.fields(), batch.columns(), batch.num_rows());
                Ok((batch, missing))
            }
            Columns::Avro(datums) => datums.finish(),
            Columns::Proto(reader) => Ok((reader.finish()?, Vec::new())),
        }
    }
}

/// Rows that lack what they must have, in order, with the first field they lack.
fn missing(fields: &Fields, columns: &[ArrayRef], rows: usize) -> Vec<(usize, String)> {
    let mut all: Vec<(usize, String)> = Vec::new();
    look(fields, columns, None, "", &mut all);
    all.retain(|(row, _)| *row < rows);
    all.sort_by_key(|(row, _)| *row);
    all.dedup_by_key(|(row, _)| *row);
    all
}

fn look(
    fields: &Fields,
    columns: &[ArrayRef],
    outer: Option<&NullBuffer>,
    path: &str,
    all: &mut Vec<(usize, String)>,
) {
    for (f, column) in fields.iter().zip(columns) {
        let there = |row: usize| outer.is_none_or(|o| o.is_valid(row));
        if !f.is_nullable() && column.logical_null_count() > 0 {
            let nulls = column.logical_nulls();
            let name = format!("{path}{}", f.name());
            let absent = (0..column.len()).filter(|row| nulls.as_ref().is_some_and(|n| n.is_null(*row)));
            all.extend(
                absent
                    .filter(|row| there(*row))
                    .map(|row| (row, format!("the required field `{name}` is not there"))),
            );
        }
        if let (DataType::Struct(inner), Some(s)) =
            (f.data_type(), column.as_any().downcast_ref::<StructArray>())
        {
            // Deeper ones matter only where the row itself is there.
            let valid = BooleanBuffer::collect_bool(s.len(), |row| there(row) && s.is_valid(row));
            look(inner, s.columns(), Some(&NullBuffer::new(valid)), &format!("{path}{}.", f.name()), all);
        }
    }
}

/// Rows that are being filled.
pub(super) struct Rows {
    spec: Arc<Spec>,
    needed: Vec<bool>,
    payload: Columns,
    attributes: Vec<Column>,
    map: Option<Column>,
    published: Option<Column>,
    times: Vec<i64>,
    /// The messages of the rows, if something may turn out to be wrong with them at the end.
    messages: Vec<PubsubMessage>,
    /// Where bad messages go, unless they fail the run.
    bad: Option<BadRows>,
    place: Arc<str>,
    /// Rows say which message they are.
    tells_origins: bool,
}

/// What was read.
pub(super) struct Filled {
    /// Rows by output.
    pub(super) batches: Vec<(usize, Batch)>,
    /// Messages that went to the error output.
    pub(super) dead: u64,
}

impl Rows {
    /// Empty. `place` names the subscription.
    pub(super) fn new(spec: Arc<Spec>, needed: &[bool], errors: bool, place: &str) -> Self {
        let mut rows = Rows {
            payload: Columns::new(&spec, needed),
            needed: needed.to_vec(),
            attributes: Vec::new(),
            map: None,
            published: None,
            times: Vec::new(),
            messages: Vec::new(),
            bad: errors.then(BadRows::default),
            place: place.into(),
            tells_origins: false,
            spec,
        };
        rows.begin();
        rows
    }

    /// From now on each row says which message it is.
    #[must_use]
    pub(super) fn with_origins(mut self, tells: bool) -> Self {
        self.tells_origins = tells;
        self
    }

    fn begin(&mut self) {
        let schema = physical(&self.spec.schema());
        let first = self.spec.fields.fields().len();
        let mut rest = schema
            .fields()
            .iter()
            .zip(&self.needed)
            .skip(first)
            .map(|(f, needed)| if *needed { Column::new(f) } else { Column::unread(f) });
        self.attributes = rest.by_ref().take(self.spec.attributes.len()).collect();
        self.map = self.spec.attributes_map.is_some().then(|| rest.next()).flatten();
        self.published = self.spec.publish_time.is_some().then(|| rest.next()).flatten();
    }

    /// Rows so far, good and bad.
    pub(super) fn len(&self) -> usize {
        self.times.len() + self.bad.as_ref().map_or(0, BadRows::len)
    }

    /// Takes a message that arrived at `arrived` with the event time `time`.
    ///
    /// # Errors
    /// If it is bad and there is no error output.
    pub(super) fn push(
        &mut self,
        message: PubsubMessage,
        time: Result<i64, String>,
        arrived: i64,
    ) -> Result<()> {
        let lacks = self.spec.attributes.iter().find(|a| !message.attributes.contains_key(*a));
        let read = match (time, lacks) {
            (Err(why), _) => Err(why),
            (Ok(_), Some(name)) => Err(format!("it has no attribute `{name}`")),
            (Ok(time), None) => self.payload.push(&message.data)?.map(|()| time),
        };
        let time = match read {
            Ok(time) => time,
            Err(why) => return self.refuse(&message, publish_time(&message).unwrap_or(arrived), &why),
        };
        for (name, column) in self.spec.attributes.iter().zip(&mut self.attributes) {
            column.push_text(message.attributes.get(name).map_or("", String::as_str));
        }
        if let Some(map) = &mut self.map {
            push_attributes(map, &message);
        }
        match &mut self.published {
            Some(Column::Time(times, valid, _)) => {
                let at = publish_time(&message);
                times.push(at.unwrap_or_default());
                valid.append(at.is_some());
            }
            Some(other) => other.push_null(),
            None => {}
        }
        self.times.push(time);
        if self.tells_origins || matches!(self.payload, Columns::Records(_) | Columns::Avro(_)) {
            self.messages.push(message);
        }
        Ok(())
    }

    fn refuse(&mut self, message: &PubsubMessage, time: i64, why: &str) -> Result<()> {
        let place = format!("{}, message {}", self.place, message.message_id);
        match &mut self.bad {
            Some(bad) => bad.push(message, time, why, &place),
            None => Err(Error::data(format!(
                "{place}: {why}; to go on without such messages, give the transform `error_handling: {{output: \
                 NAME}}` (it was not acknowledged and comes again)"
            ))),
        }
    }

    /// Gives what was taken.
    pub(super) fn finish(&mut self) -> Result<Filled> {
        let mut batches = Vec::new();
        if !self.times.is_empty() {
            batches.extend(self.finish_good()?.map(|batch| (0, batch)));
        }
        let mut dead = 0;
        if let Some(bad) = self.bad.as_mut().filter(|b| b.len() > 0) {
            let (rows, times) = bad.finish()?;
            dead = times.len() as u64;
            batches.push((1, Batch::at(rows, Times::Each(times.into()))));
        }
        Ok(Filled { batches, dead })
    }

    /// The rows that are good to the end.
    fn finish_good(&mut self) -> Result<Option<Batch>> {
        let rows = self.times.len();
        let (payload, bad) = self.payload.finish(&self.spec, rows)?;
        let schema = physical(&self.spec.schema());
        let rest = std::mem::take(&mut self.attributes)
            .into_iter()
            .chain(self.map.take())
            .chain(self.published.take())
            .map(Column::finish);
        let mut columns = payload.columns().to_vec();
        for column in rest {
            columns.push(column?);
        }
        self.begin();
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let mut batch = RecordBatch::try_new_with_options(schema, columns, &options)?;
        let mut times = std::mem::take(&mut self.times);
        let mut messages = std::mem::take(&mut self.messages);
        if !bad.is_empty() {
            let mut good = vec![true; rows];
            for (row, why) in bad {
                if let (Some(g), Some(message), Some(time)) =
                    (good.get_mut(row), messages.get(row), times.get(row))
                {
                    *g = false;
                    self.refuse(message, *time, &why)?;
                }
            }
            let mut kept = good.iter();
            times.retain(|_| *kept.next().unwrap_or(&true));
            let mut kept = good.iter();
            messages.retain(|_| *kept.next().unwrap_or(&true));
            batch = filter_record_batch(&batch, &BooleanArray::from(good))?;
        }
        if batch.num_rows() == 0 {
            return Ok(None);
        }
        let batch = Batch::at(batch, Times::Each(times.into()));
        if !self.tells_origins {
            return Ok(Some(batch));
        }
        let origins = messages.into_iter().map(|m| self.origin(m)).collect();
        Ok(Some(batch.with_origins(origins)))
    }

    fn origin(&self, message: PubsubMessage) -> Origin {
        Origin::Message(Arc::new(SourceMessage {
            subscription: self.place.clone(),
            id: message.message_id,
            payload: message.data,
            attributes: message.attributes.into_iter().collect(),
        }))
    }
}
