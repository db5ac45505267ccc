//! Avro object container files.

use crate::format::foreign::plain;
use crate::shared::compression;
use crate::shared::tables::{TableFormat, TableReader};
use crate::shared::write::pieces::{PieceFile, PieceFormat, PieceWriter};
use arrow_array::{ArrayRef, RecordBatch, new_empty_array};
use arrow_avro::compression::CompressionCodec;
use arrow_avro::reader::{Reader, ReaderBuilder};
use arrow_avro::schema::SCHEMA_METADATA_KEY;
use arrow_avro::writer::{AvroWriter, WriterBuilder, format::AvroOcfFormat};
use arrow_cast::{CastOptions, cast_with_options};
use arrow_schema::{DataType, Field, Fields, Schema, SchemaRef};
use arrow_select::concat::concat_batches;
use purlin_api::transform::Probe;
use purlin_api::{Budget, Error, FileInfo, Result};
use std::io::{BufReader, Cursor, Read};

/// How much of a file's beginning is looked at for its schema, one after the other.
const HEAD_BYTES: [usize; 3] = [64 << 10, 1 << 20, 32 << 20];
/// Rows and bytes that become one block of a file.
const BLOCK_ROWS: usize = 8192;
const BLOCK_BYTES: usize = 1 << 20;
/// Most rows that a block may claim: more is damage.
const BLOCK_ROWS_MAX: u64 = 1 << 31;

/// Reads Avro files.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Avro;

fn damaged(path: &str, e: impl std::fmt::Display) -> Error {
    Error::data(format!("cannot read `{path}` as Avro: {e}"))
}

fn check_begin(path: &str, head: &[u8]) -> Result<()> {
    match head {
        [b'O', b'b', b'j', 1, ..] => Ok(()),
        [] => Err(Error::data(format!("`{path}` is empty: it is not an Avro file"))),
        _ => Err(Error::data(format!("`{path}` is not an Avro file: it does not begin like one"))),
    }
}

impl TableFormat for Avro {
    fn schema(&self, probe: &dyn Probe, file: &FileInfo) -> Result<SchemaRef> {
        let mut last = None;
        for bytes_max in HEAD_BYTES {
            let head = probe.head(&file.path, bytes_max)?;
            check_begin(&file.path, &head)?;
            let whole = head.len() < bytes_max;
            match ReaderBuilder::new().build(Cursor::new(head)) {
                Ok(reader) => return Ok(reader.schema()),
                Err(e) if whole => return Err(damaged(&file.path, e)),
                Err(e) => last = Some(e),
            }
        }
        let why = last.map_or_else(|| "it has no header".to_owned(), |e| e.to_string());
        Err(damaged(&file.path, why))
    }

    fn open(&self, path: &str, _: &dyn Fn(&str) -> bool, budget: Budget) -> Result<Box<dyn TableReader>> {
        check_blocks(path, &mut BufReader::new(compression::open(path)?.0))?;
        let (reader, _) = compression::open(path)?;
        let mut reader = BufReader::new(reader);
        let head = std::io::BufRead::fill_buf(&mut reader).map_err(|e| Error::io("read", path, e))?;
        check_begin(path, head)?;
        let builder = ReaderBuilder::new().with_batch_size(budget.rows_max.clamp(1, BLOCK_ROWS));
        let reader = builder.build(reader).map_err(|e| damaged(path, e))?;
        Ok(Box::new(Rows { path: path.to_owned(), schema: reader.schema(), reader }))
    }

    fn name(&self) -> &'static str {
        "Avro"
    }
}

/// Walks over the blocks of a file: the decoder takes a file that was cut off for one that ended.
fn check_blocks(path: &str, input: &mut impl std::io::BufRead) -> Result<()> {
    let cut = |_: std::io::Error| damaged(path, "the file was cut off");
    let mut magic = [0; 4];
    let magic_len = input.take(4).read(&mut magic).map_err(cut)?;
    check_begin(path, magic.get(..magic_len).unwrap_or_default())?;
    loop {
        let count = read_long(input).map_err(cut)?;
        if count == 0 {
            break;
        }
        if count < 0 {
            read_long(input).map_err(cut)?;
        }
        for _ in 0..count.unsigned_abs().saturating_mul(2) {
            let len = read_long(input).map_err(cut)?;
            pass_over(input, len).map_err(cut)?;
        }
    }
    let (mut sync, mut mark) = ([0; 16], [0; 16]);
    input.read_exact(&mut sync).map_err(cut)?;
    while !input.fill_buf().map_err(cut)?.is_empty() {
        let rows = read_long(input).map_err(cut)?;
        let bytes = read_long(input).map_err(cut)?;
        pass_over(input, bytes).map_err(cut)?;
        input.read_exact(&mut mark).map_err(cut)?;
        if mark != sync || rows < 0 || rows.unsigned_abs() > BLOCK_ROWS_MAX {
            return Err(damaged(path, "a block does not end where it says"));
        }
    }
    Ok(())
}

fn read_long(input: &mut impl Read) -> std::io::Result<i64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let mut byte = [0];
        input.read_exact(&mut byte)?;
        let [byte] = byte;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok((value >> 1) as i64 ^ -((value & 1) as i64));
        }
    }
    Err(std::io::ErrorKind::InvalidData.into())
}

fn pass_over(input: &mut impl Read, bytes: i64) -> std::io::Result<()> {
    let bytes = u64::try_from(bytes).map_err(|_| std::io::Error::from(std::io::ErrorKind::InvalidData))?;
    match std::io::copy(&mut input.take(bytes), &mut std::io::sink())? {
        n if n == bytes => Ok(()),
        _ => Err(std::io::ErrorKind::UnexpectedEof.into()),
    }
}

struct Rows {
    path: String,
    schema: SchemaRef,
    reader: Reader<BufReader<Box<dyn Read + Send>>>,
}

impl TableReader for Rows {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn next(&mut self) -> Result<Option<RecordBatch>> {
        self.reader.next().transpose().map_err(|e| damaged(&self.path, e))
    }
}

/// Writes Avro files.
#[derive(Clone, Debug)]
pub(crate) struct AvroOut {
    pub(crate) codec: Option<CompressionCodec>,
    /// The author's schema and the columns it asks for.
    pub(crate) declared: Option<Declared>,
}

/// A schema that the author gave.
#[derive(Clone, Debug)]
pub(crate) struct Declared {
    json: String,
    fields: Fields,
}

impl Declared {
    /// Understands a schema in Avro's JSON form.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn new(json: String) -> Result<Self, String> {
        let mut file = b"Obj\x01".to_vec();
        long(2, &mut file);
        for (key, value) in [("avro.schema", json.as_str()), ("avro.codec", "null")] {
            for text in [key, value] {
                long(i64::try_from(text.len()).unwrap_or(i64::MAX), &mut file);
                file.extend_from_slice(text.as_bytes());
            }
        }
        long(0, &mut file);
        file.extend_from_slice(&[0; 16]);
        let reader = ReaderBuilder::new().build(Cursor::new(file)).map_err(|e| e.to_string())?;
        Ok(Declared { json, fields: reader.schema().fields().clone() })
    }
}

/// An integer in Avro's zigzag form.
fn long(value: i64, out: &mut Vec<u8>) {
    let mut rest = ((value << 1) ^ (value >> 63)) as u64;
    while rest >= 0x80 {
        out.push((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

/// The codec of one of Beam's words; `Some(None)` is no compression.
pub(crate) fn codec(word: &str) -> Option<Option<CompressionCodec>> {
    Some(match word.to_ascii_lowercase().as_str() {
        "null" | "none" => None,
        "deflate" => Some(CompressionCodec::Deflate),
        "snappy" => Some(CompressionCodec::Snappy),
        "zstandard" | "zstd" => Some(CompressionCodec::ZStandard),
        "bzip2" => Some(CompressionCodec::Bzip2),
        _ => return None,
    })
}

/// A name that Avro does not take, if there is one.
fn bad_name(fields: &Fields) -> Option<&str> {
    fn in_type(t: &DataType) -> Option<&str> {
        match t {
            DataType::Struct(fields) => bad_name(fields),
            DataType::List(item) => in_type(item.data_type()),
            DataType::Map(entries, _) => match entries.data_type() {
                DataType::Struct(kv) => kv.get(1).and_then(|v| in_type(v.data_type())),
                _ => None,
            },
            _ => None,
        }
    }
    let fits = |name: &str| {
        name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    fields.iter().find_map(|f| if fits(f.name()) { in_type(f.data_type()) } else { Some(f.name().as_str()) })
}

impl AvroOut {
    /// Why rows of this schema cannot be written, if so.
    pub(crate) fn check_schema(&self, schema: &Schema) -> Result<(), String> {
        if schema.fields().is_empty() {
            return Err("the rows have no fields".to_owned());
        }
        if let Some(name) = bad_name(schema.fields()) {
            return Err(format!(
                "Avro takes no field called `{name}`: names have letters, digits and `_` and begin with no digit"
            ));
        }
        let schema = plain(schema);
        if let Some(d) = &self.declared {
            if let Some(f) = schema.fields().iter().find(|f| d.fields.find(f.name()).is_none()) {
                return Err(format!("the `schema` has no field `{}`, which the rows have", f.name()));
            }
            let lacks =
                |f: &&std::sync::Arc<Field>| !f.is_nullable() && schema.column_with_name(f.name()).is_none();
            if let Some(f) = d.fields.iter().find(lacks) {
                return Err(format!("the rows have no field `{}`, which the `schema` needs", f.name()));
            }
        }
        let rows = RecordBatch::new_empty(schema);
        let target = self.target(rows.schema_ref());
        let rows = self.fit(&rows).map_err(|e| e.message().to_owned())?;
        let writer = WriterBuilder::new(target.as_ref().clone()).build::<_, AvroOcfFormat>(Vec::new());
        let writer: Result<AvroWriter<Vec<u8>>, String> = writer.map_err(|e| e.to_string());
        writer?.write(&rows).map_err(|e| e.to_string())
    }

    /// The schema that a writer is given.
    fn target(&self, schema: &SchemaRef) -> SchemaRef {
        match &self.declared {
            None => schema.clone(),
            Some(d) => {
                let metadata = [(SCHEMA_METADATA_KEY.to_owned(), d.json.clone())].into();
                Schema::new_with_metadata(d.fields.clone(), metadata).into()
            }
        }
    }

    /// Rows with the columns of the author's schema.
    fn fit(&self, rows: &RecordBatch) -> Result<RecordBatch> {
        let Some(d) = &self.declared else { return Ok(rows.clone()) };
        let options = CastOptions { safe: false, ..CastOptions::default() };
        let columns: Result<Vec<ArrayRef>> = d
            .fields
            .iter()
            .map(|f| match rows.column_by_name(f.name()) {
                Some(column) => cast_with_options(column, f.data_type(), &options)
                    .map_err(|e| Error::data(format!("`{}` does not fit the `schema`: {e}", f.name()))),
                None if rows.num_rows() == 0 => Ok(new_empty_array(f.data_type())),
                None => Ok(arrow_array::new_null_array(f.data_type(), rows.num_rows())),
            })
            .collect();
        RecordBatch::try_new(Schema::new(d.fields.clone()).into(), columns?)
            .map_err(|e| Error::data(format!("rows do not fit the `schema`: {e}")))
    }
}

impl PieceFormat for AvroOut {
    fn begin(&self, out: PieceFile, schema: &SchemaRef) -> Result<Box<dyn PieceWriter>> {
        let builder = WriterBuilder::new(self.target(schema).as_ref().clone()).with_compression(self.codec);
        let writer: AvroWriter<PieceFile> = builder.build::<_, AvroOcfFormat>(out).map_err(not_written)?;
        Ok(Box::new(Blocks { format: self.clone(), writer, held: Vec::new(), rows: 0, bytes: 0 }))
    }

    fn describe(&self) -> String {
        match self.codec {
            None => "avro, null".to_owned(),
            Some(codec) => format!("avro, {codec:?}").to_lowercase(),
        }
    }
}

fn not_written(e: impl std::fmt::Display) -> Error {
    Error::data(format!("cannot write an Avro file: {e}"))
}

struct Blocks {
    format: AvroOut,
    writer: AvroWriter<PieceFile>,
    /// Rows for the next block.
    held: Vec<RecordBatch>,
    rows: usize,
    bytes: usize,
}

impl PieceWriter for Blocks {
    fn write(&mut self, rows: &RecordBatch) -> Result<()> {
        self.rows += rows.num_rows();
        self.bytes += rows.get_array_memory_size();
        self.held.push(self.format.fit(rows)?);
        if self.rows >= BLOCK_ROWS || self.bytes >= BLOCK_BYTES { self.flush() } else { Ok(()) }
    }

    fn waiting_bytes(&self) -> usize {
        self.bytes
    }

    fn flush(&mut self) -> Result<()> {
        let Some(first) = self.held.first() else { return Ok(()) };
        let rows = concat_batches(first.schema_ref(), &self.held)?;
        self.held.clear();
        (self.rows, self.bytes) = (0, 0);
        self.writer.write(&rows).map_err(not_written)
    }

    fn finish(mut self: Box<Self>) -> Result<()> {
        self.flush()?;
        self.writer.finish().map_err(not_written)?;
        let out = self.writer.into_inner();
        out.into_inner().map(|_| ()).map_err(|e| Error::io("write", "an Avro file", e.into_error()))
    }
}
