//! The bytes of a checkpoint's object: sections, then the manifest, then where the manifest is.
//!
//! ```text
//!  "PURLINCP" | version u32 | sections ... | manifest (JSON) | length u64 | crc32c u32 | "PURLINCP"
//! ```
//!
//! Numbers are little-endian. A section is a stream of Arrow's IPC format (column `slot`, then the table's own) or what
//! a source or sink answered. Every section has its crc32c in the manifest.

use super::manifest::{FORMAT, Manifest, Section};
use super::store::CheckpointStore;
use arrow_array::cast::AsArray;
use arrow_array::types::UInt16Type;
use arrow_array::{ArrayRef, RecordBatch};
use arrow_ipc::reader::StreamReader;
use arrow_ipc::writer::StreamWriter;
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use bytes::Bytes;
use purlin_api::{Error, ErrorKind, Result, StateRows};
use std::sync::Arc;

const MAGIC: &[u8; 8] = b"PURLINCP";
const HEAD: u64 = 12;
const TAIL: u64 = 20;
const SUFFIX: &str = ".checkpoint";

/// The name of an epoch's object: sorted by name they are sorted by epoch.
pub(crate) fn object_name(epoch: u64) -> String {
    format!("{epoch:020}{SUFFIX}")
}

/// The epoch of an object, if it is a checkpoint.
pub(crate) fn epoch_of(name: &str) -> Option<u64> {
    name.strip_suffix(SUFFIX)?.parse().ok()
}

/// An object that is being made.
#[derive(Debug)]
pub(crate) struct Object {
    epoch: u64,
    parts: Vec<Bytes>,
    length: u64,
}

impl Object {
    pub(crate) fn new(epoch: u64) -> Self {
        let head = [MAGIC.as_slice(), &FORMAT.to_le_bytes()].concat();
        Object { epoch, length: head.len() as u64, parts: vec![head.into()] }
    }

    /// Appends a section.
    pub(crate) fn section(&mut self, bytes: Bytes) -> Section {
        let (offset, length) = (self.length, bytes.len() as u64);
        let crc32c = crc32c::crc32c(&bytes);
        self.length += length;
        self.parts.push(bytes);
        Section { epoch: self.epoch, offset, length, crc32c }
    }

    /// Completes it with its manifest.
    pub(crate) fn finish(mut self, manifest: &Manifest) -> Result<Vec<Bytes>> {
        let json = serde_json::to_vec(manifest)
            .map_err(|e| Error::internal(format!("a checkpoint's manifest cannot be written: {e}")))?;
        let mut tail = Vec::with_capacity(TAIL as usize);
        tail.extend((json.len() as u64).to_le_bytes());
        tail.extend(crc32c::crc32c(&json).to_le_bytes());
        tail.extend(MAGIC);
        self.parts.push(json.into());
        self.parts.push(tail.into());
        Ok(self.parts)
    }
}

fn damaged(store: &dyn CheckpointStore, name: &str, what: &str) -> Error {
    Error::new(
        ErrorKind::Config,
        format!(
            "the checkpoint `{name}` in `{}` is damaged: {what}; nothing was read or written. If there is a copy, put \
             it back; `--from scratch` starts without it (windows that were open are lost)",
            store.place()
        ),
    )
}

/// Reads the manifest of an object.
pub(crate) fn read_manifest(store: &dyn CheckpointStore, name: &str, size: u64) -> Result<Manifest> {
    let bad = |what: &str| damaged(store, name, what);
    if size < HEAD + TAIL {
        return Err(bad("it is too short"));
    }
    let head = store.get(name, 0..HEAD)?;
    let version = match head.strip_prefix(MAGIC.as_slice()).map(<[u8; 4]>::try_from) {
        Some(Ok(version)) => u32::from_le_bytes(version),
        _ => return Err(bad("it does not begin like a checkpoint")),
    };
    if version == 0 || version > FORMAT {
        return Err(Error::new(
            ErrorKind::Config,
            format!(
                "the checkpoint `{name}` in `{}` has format {version}, and this program reads formats up to {FORMAT}: \
                 use a newer one, or `--from scratch`",
                store.place()
            ),
        ));
    }
    let tail = store.get(name, size - TAIL..size)?;
    let number = |at: usize, n: usize| tail.get(at..at + n);
    let (length, crc) = match (number(0, 8), number(8, 4), number(12, 8)) {
        (Some(length), Some(crc), Some(magic)) if magic == MAGIC => {
            let length =
                length.try_into().map(u64::from_le_bytes).map_err(|_| bad("its end is not whole"))?;
            (length, crc.try_into().map(u32::from_le_bytes).map_err(|_| bad("its end is not whole"))?)
        }
        _ => return Err(bad("it does not end like a checkpoint")),
    };
    let end = size - TAIL;
    let start =
        end.checked_sub(length).filter(|s| *s >= HEAD).ok_or_else(|| bad("its manifest is too long"))?;
    let json = store.get(name, start..end)?;
    if crc32c::crc32c(&json) != crc {
        return Err(bad("the checksum of its manifest is wrong"));
    }
    let manifest: Manifest =
        serde_json::from_slice(&json).map_err(|e| bad(&format!("its manifest cannot be read: {e}")))?;
    if epoch_of(name) != Some(manifest.epoch) {
        return Err(bad(&format!("it is the checkpoint of epoch {}, under another name", manifest.epoch)));
    }
    Ok(manifest)
}

/// Reads a section.
pub(crate) fn read_section(store: &dyn CheckpointStore, section: &Section) -> Result<Bytes> {
    let name = object_name(section.epoch);
    let end = section.offset.checked_add(section.length);
    let end = end.ok_or_else(|| damaged(store, &name, "a section lies outside"))?;
    let bytes = store.get(&name, section.offset..end)?;
    if bytes.len() as u64 != section.length || crc32c::crc32c(&bytes) != section.crc32c {
        return Err(damaged(
            store,
            &name,
            &format!("the checksum of the section at {} is wrong", section.offset),
        ));
    }
    Ok(bytes)
}

fn with_slots(schema: &Schema) -> SchemaRef {
    let mut fields = vec![Arc::new(Field::new("slot", DataType::UInt16, false))];
    fields.extend(schema.fields().iter().cloned());
    Arc::new(Schema::new(fields))
}

/// A log as bytes.
pub(crate) fn encode_log(schema: &Schema, log: &[StateRows]) -> Result<Bytes> {
    let schema = with_slots(schema);
    let mut writer = StreamWriter::try_new(Vec::new(), &schema)?;
    for rows in log {
        let mut columns: Vec<ArrayRef> = vec![Arc::new(rows.slots.clone())];
        columns.extend(rows.rows.columns().iter().cloned());
        writer.write(&RecordBatch::try_new(schema.clone(), columns)?)?;
    }
    Ok(writer.into_inner()?.into())
}

/// A log from bytes whose checksum was right.
pub(crate) fn decode_log(bytes: &[u8]) -> Result<Vec<StateRows>> {
    let odd = || Error::internal("a section of a checkpoint has no column of key slots");
    let mut log = Vec::new();
    for batch in StreamReader::try_new(bytes, None)? {
        let batch = batch?;
        let slots =
            batch.columns().first().and_then(|c| c.as_primitive_opt::<UInt16Type>()).ok_or_else(odd)?;
        let slots = slots.values().to_vec();
        let own: Vec<usize> = (1..batch.num_columns()).collect();
        log.push(StateRows::new(slots, batch.project(&own)?)?);
    }
    Ok(log)
}
