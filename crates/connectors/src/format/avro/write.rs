//! Writing Avro.

use super::codec::Codec;
use super::container::{Header, header, put_header, put_long};
use super::schema::{Member, parse};
use super::{encode, json_schema};
use crate::shared::write::pieces::{PieceFile, PieceFormat, PieceWriter};
use arrow_array::RecordBatch;
use arrow_schema::{Schema, SchemaRef};
use purlin_api::{Error, Result};
use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{BufReader, Write};
use std::sync::Arc;

/// Rows and bytes that become one block of a file.
const BLOCK_ROWS: usize = 8192;
const BLOCK_BYTES: usize = 64 << 10;

/// Writes Avro files.
#[derive(Clone, Debug)]
pub(crate) struct AvroOut {
    pub(crate) codec: Codec,
    pub(crate) declared: Option<Declared>,
}

/// A schema that the author gave.
#[derive(Clone, Debug)]
pub(crate) struct Declared {
    json: String,
    members: Arc<[Member]>,
}

impl Declared {
    /// Understands a schema in Avro's JSON form.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn new(json: String) -> Result<Self, String> {
        let members = parse(&json)?;
        Ok(Declared { json, members })
    }
}

impl AvroOut {
    /// Why rows of this schema cannot be written, if so.
    pub(crate) fn check_schema(&self, schema: &Schema) -> Result<(), String> {
        if schema.fields().is_empty() {
            return Err("the rows have no fields".to_owned());
        }
        if let Some(name) = json_schema::bad_name(schema.fields()) {
            return Err(format!(
                "Avro takes no field called `{name}`: names have letters, digits and `_` and begin with no digit"
            ));
        }
        encode::check(&self.schema(schema)?.members, schema.fields())
    }

    fn schema(&self, schema: &Schema) -> Result<Declared, String> {
        match &self.declared {
            Some(declared) => Ok(declared.clone()),
            None => Declared::new(json_schema::of(schema)?),
        }
    }
}

impl PieceFormat for AvroOut {
    fn begin(&self, mut out: PieceFile, schema: &SchemaRef) -> Result<Box<dyn PieceWriter>> {
        let schema = self.schema(schema).map_err(Error::data)?;
        let mark = mark(&schema.json);
        let header = Header { schema: schema.json, codec: self.codec, mark };
        let mut bytes = Vec::new();
        put_header(&header, &mut bytes);
        out.write_all(&bytes).map_err(not_written)?;
        let (codec, members) = (self.codec, schema.members);
        Ok(Box::new(Blocks { out, codec, mark, members, rows: 0, bytes: Vec::new() }))
    }

    fn go_on(&self, out: PieceFile, schema: &SchemaRef) -> Result<Option<Box<dyn PieceWriter>>> {
        // The file says which mark its blocks end in.
        let path = out.get_ref().path();
        let file = File::open(path).map_err(|e| Error::io("read", path, e))?;
        let begun = header(&mut BufReader::new(file)).map_err(|_| changed(path))?;
        let schema = self.schema(schema).map_err(Error::data)?;
        if begun.schema != schema.json || begun.codec != self.codec {
            return Err(changed(path));
        }
        let (codec, mark, members) = (self.codec, begun.mark, schema.members);
        Ok(Some(Box::new(Blocks { out, codec, mark, members, rows: 0, bytes: Vec::new() })))
    }

    fn goes_on(&self) -> bool {
        true
    }

    fn describe(&self) -> String {
        let schema = if self.declared.is_some() { ", schema given" } else { "" };
        format!("avro, {}{schema}", self.codec.name())
    }
}

/// The mark that ends the blocks. It must not be likely in the data, and the same rows make the same file:
/// so it is a hash of the schema.
fn mark(schema: &str) -> [u8; 16] {
    let half = |seed: u8| {
        let mut hasher = DefaultHasher::new();
        (seed, schema).hash(&mut hasher);
        hasher.finish()
    };
    (u128::from(half(1)) << 64 | u128::from(half(2))).to_be_bytes()
}

fn changed(path: &str) -> Error {
    Error::data(format!("cannot go on writing `{path}`: it was begun with another schema or codec"))
}

fn not_written(e: std::io::Error) -> Error {
    Error::io("write", "an Avro file", e)
}

struct Blocks {
    out: PieceFile,
    codec: Codec,
    mark: [u8; 16],
    members: Arc<[Member]>,
    /// What is held for the next block.
    rows: usize,
    bytes: Vec<u8>,
}

impl PieceWriter for Blocks {
    fn write(&mut self, rows: &RecordBatch) -> Result<()> {
        for first in (0..rows.num_rows()).step_by(BLOCK_ROWS / 8) {
            let part = rows.slice(first, (BLOCK_ROWS / 8).min(rows.num_rows() - first));
            encode::rows(&self.members, &part, &mut self.bytes)
                .map_err(|e| Error::data(format!("a row cannot be written as Avro: {e}")))?;
            self.rows += part.num_rows();
            if self.rows >= BLOCK_ROWS || self.bytes.len() >= BLOCK_BYTES {
                self.flush()?;
            }
        }
        Ok(())
    }

    fn waiting_bytes(&self) -> usize {
        self.bytes.len()
    }

    fn flush(&mut self) -> Result<()> {
        let rows = std::mem::take(&mut self.rows);
        if rows == 0 {
            return Ok(());
        }
        let bytes = self.codec.compress(std::mem::take(&mut self.bytes)).map_err(not_written)?;
        let mut head = Vec::new();
        put_long(rows as i64, &mut head);
        put_long(bytes.len() as i64, &mut head);
        let parts: [&[u8]; 3] = [&head, &bytes, &self.mark];
        parts.iter().try_for_each(|part| self.out.write_all(part)).map_err(not_written)
    }

    fn settle(&mut self) -> Result<()> {
        self.flush()?;
        self.out.flush().map_err(not_written)
    }

    fn finish(mut self: Box<Self>) -> Result<()> {
        self.flush()?;
        self.out.into_inner().map(|_| ()).map_err(|e| not_written(e.into_error()))
    }
}
