//! Rows into messages.

use super::prepared::ID_BYTES_MAX;
use crate::format::avro::Datum;
use crate::format::proto;
use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_schema::{DataType, Field};
use bytes::Bytes;
use purlin_api::json::{write_text, write_value};
use purlin_api::{Batch, EventTime, Result};
use purlin_pubsub::check_message_with;
use purlin_pubsub::proto::PubsubMessage;
use std::collections::HashMap;
use std::sync::Arc;

/// How payloads are encoded.
#[derive(Clone, Debug)]
pub(super) enum PayloadSpec {
    /// The only field, bytes or text.
    Raw,
    /// An object.
    Json,
    /// A record.
    Avro(Datum),
    /// A message of Protocol Buffers.
    Proto(proto::Writer),
}

impl PayloadSpec {
    /// What it is, for people.
    pub(super) fn name(&self) -> &'static str {
        match self {
            PayloadSpec::Raw => "raw",
            PayloadSpec::Json => "json",
            PayloadSpec::Avro(_) => "avro",
            PayloadSpec::Proto(_) => "proto",
        }
    }
}

/// How rows become messages.
#[derive(Clone, Debug)]
pub(super) struct Spec {
    pub(super) payload: PayloadSpec,
    /// The columns of the payload.
    pub(super) columns: Vec<usize>,
    /// Columns of text that are attributes.
    pub(super) attributes: Vec<usize>,
    /// A column of maps of text whose entries are attributes.
    pub(super) attributes_map: Option<usize>,
    /// The attribute for an id of its own.
    pub(super) id_attribute: Option<String>,
    /// The attribute for the event time.
    pub(super) timestamp_attribute: Option<String>,
}

/// Where the ids of messages come from whose rows give none.
#[derive(Debug)]
pub(super) enum Ids {
    /// There are none.
    None,
    /// Made now, such as no other message has.
    Now {
        /// The attribute for them.
        attribute: String,
        /// What they start with; nobody else has that.
        prefix: String,
        /// How many there are.
        made: u64,
    },
    /// Given when their epoch is prepared, in this attribute; a message must have room for one.
    Later(String),
}

impl Ids {
    /// For messages that are published at once.
    pub(super) fn now(attribute: Option<&String>, prefix: String) -> Self {
        match attribute {
            Some(attribute) => Ids::Now { attribute: attribute.clone(), prefix, made: 0 },
            None => Ids::None,
        }
    }

    /// Gives a message an id, unless its row has given one or it is given one later.
    fn give(&mut self, attributes: &mut HashMap<String, String>) {
        if let Ids::Now { attribute, prefix, made } = self
            && !attributes.contains_key(attribute)
        {
            *made += 1;
            attributes.insert(attribute.clone(), format!("{prefix}-{made}"));
        }
    }

    /// The room that a message must have for an id that it is given later: attributes, and bytes.
    fn room(&self, message: &PubsubMessage) -> (usize, usize) {
        match self {
            Ids::Later(name) if !message.attributes.contains_key(name) => (1, name.len() + ID_BYTES_MAX + 16),
            _ => (0, 0),
        }
    }
}

/// A row that cannot be a message, and why.
pub(super) type BadRow = (usize, String);

/// Makes messages of rows, in one lane.
pub(super) struct Encoder {
    pub(super) spec: Arc<Spec>,
    pub(super) ids: Ids,
}

impl Encoder {
    /// The messages of the rows that can be one, and which rows cannot, and why.
    pub(super) fn messages(&mut self, batch: &Batch) -> Result<(Vec<PubsubMessage>, Vec<BadRow>)> {
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
}

/// The rows of one batch.
pub(super) struct Rows<'a> {
    spec: &'a Spec,
    batch: &'a Batch,
    payload: Payload<'a>,
    scratch: Vec<u8>,
}

enum Payload<'a> {
    Raw(Option<&'a ArrayRef>),
    Json(Vec<Member<'a>>),
    Avro(&'a Datum, RecordBatch),
    Proto(&'a proto::Writer, RecordBatch),
}

struct Member<'a> {
    /// `"name":`.
    key: Vec<u8>,
    field: &'a Field,
    array: &'a ArrayRef,
}

impl<'a> Rows<'a> {
    /// Over the rows of a batch.
    pub(super) fn new(spec: &'a Spec, batch: &'a Batch) -> Result<Self> {
        let payload = match &spec.payload {
            PayloadSpec::Raw => Payload::Raw(spec.columns.first().and_then(|c| batch.rows.columns().get(*c))),
            PayloadSpec::Avro(datum) => Payload::Avro(datum, batch.rows.project(&spec.columns)?),
            PayloadSpec::Proto(writer) => Payload::Proto(writer, batch.rows.project(&spec.columns)?),
            PayloadSpec::Json => {
                let schema = batch.rows.schema_ref();
                let mut members: Vec<Member<'a>> = spec
                    .columns
                    .iter()
                    .filter_map(|c| Some((schema.fields().get(*c)?, batch.rows.columns().get(*c)?)))
                    .map(|(field, array)| Member { key: key(field.name()), field, array })
                    .collect();
                members.sort_by(|a, b| a.field.name().cmp(b.field.name()));
                Payload::Json(members)
            }
        };
        Ok(Rows { spec, batch, payload, scratch: Vec::new() })
    }

    /// The message of a row.
    ///
    /// # Errors
    /// Why it cannot be one.
    pub(super) fn message(&mut self, row: usize, ids: &mut Ids) -> Result<PubsubMessage, String> {
        let mut attributes = HashMap::new();
        self.attributes(row, &mut attributes)?;
        ids.give(&mut attributes);
        let time = self.batch.times.get(row);
        if let Some(name) = &self.spec.timestamp_attribute
            && time > EventTime::MIN
        {
            attributes.insert(name.clone(), time.0.div_euclid(1000).to_string());
        }
        let data = self.data(row)?;
        let message = PubsubMessage { data, attributes, ..PubsubMessage::default() };
        let (attributes, bytes) = ids.room(&message);
        check_message_with(&message, attributes, bytes)?;
        Ok(message)
    }

    fn attributes(&self, row: usize, out: &mut HashMap<String, String>) -> Result<(), String> {
        let columns = self.batch.rows.columns();
        if let Some(map) = self.spec.attributes_map.and_then(|c| columns.get(c)?.as_map_opt())
            && map.is_valid(row)
        {
            let entries = map.value(row);
            if let (Some(keys), Some(values)) = (
                entries.columns().first().and_then(|c| c.as_string_opt::<i32>()),
                entries.columns().get(1).and_then(|c| c.as_string_opt::<i32>()),
            ) {
                let present = (0..entries.len()).filter(|i| keys.is_valid(*i) && values.is_valid(*i));
                out.extend(present.map(|i| (keys.value(i).to_owned(), values.value(i).to_owned())));
            }
        }
        let schema = self.batch.rows.schema_ref();
        for at in &self.spec.attributes {
            let (Some(field), Some(column)) = (schema.fields().get(*at), columns.get(*at)) else { continue };
            let Some(texts) = column.as_string_opt::<i32>() else {
                return Err(format!("the attribute `{}` is no text", field.name()));
            };
            if texts.is_valid(row) {
                out.insert(field.name().clone(), texts.value(row).to_owned());
            }
        }
        Ok(())
    }

    fn data(&mut self, row: usize) -> Result<Bytes, String> {
        self.scratch.clear();
        match &self.payload {
            Payload::Raw(column) => {
                let column = column.filter(|c| c.is_valid(row)).ok_or("the payload is null")?;
                let bytes = match column.data_type() {
                    DataType::Binary => column.as_binary_opt::<i32>().map(|c| c.value(row)),
                    _ => column.as_string_opt::<i32>().map(|c| c.value(row).as_bytes()),
                };
                self.scratch.extend_from_slice(bytes.ok_or("the payload is neither bytes nor text")?);
            }
            Payload::Json(members) => {
                let members = members.iter().map(|m| (m.key.as_slice(), m.field, m.array.as_ref()));
                object(members, row, &mut self.scratch);
            }
            Payload::Avro(datum, rows) => datum.write(rows, row, &mut self.scratch)?,
            Payload::Proto(writer, rows) => writer.write(rows, row, &mut self.scratch)?,
        }
        Ok(Bytes::copy_from_slice(&self.scratch))
    }
}

fn key(name: &str) -> Vec<u8> {
    let mut key = Vec::new();
    write_text(name, &mut key);
    key.push(b':');
    key
}

/// An object without the members that are null, as Beam writes it.
fn object<'a>(
    members: impl Iterator<Item = (&'a [u8], &'a Field, &'a dyn Array)>,
    row: usize,
    out: &mut Vec<u8>,
) {
    out.push(b'{');
    let mut first = true;
    for (key, field, array) in members.filter(|(_, _, a)| *a.data_type() != DataType::Null && a.is_valid(row))
    {
        if !std::mem::replace(&mut first, false) {
            out.push(b',');
        }
        out.extend_from_slice(key);
        value(field, array, row, out);
    }
    out.push(b'}');
}

fn value(field: &Field, array: &dyn Array, row: usize, out: &mut Vec<u8>) {
    match field.data_type() {
        DataType::Struct(fields) if array.is_valid(row) => {
            let Some(s) = array.as_struct_opt() else { return };
            let mut members: Vec<(Vec<u8>, &Field, &dyn Array)> = fields
                .iter()
                .zip(s.columns())
                .map(|(f, c)| (key(f.name()), f.as_ref(), c.as_ref()))
                .collect();
            members.sort_by(|a, b| a.1.name().cmp(b.1.name()));
            object(members.iter().map(|(k, f, a)| (k.as_slice(), *f, *a)), row, out);
        }
        DataType::List(item) if array.is_valid(row) => {
            let Some(items) = array.as_list_opt::<i32>().map(|l| l.value(row)) else { return };
            out.push(b'[');
            for i in 0..items.len() {
                if i > 0 {
                    out.push(b',');
                }
                value(item, &items, i, out);
            }
            out.push(b']');
        }
        _ => write_value(field, array, row, out),
    }
}
