//! Rows of a file that is not complete and whose format cannot be gone on with: kept beside its place as Arrow streams,
//! one after the other, of which the file is made when it is complete.

use super::pieces::{APPEND_BYTES, Append, PieceFile, PieceWriter};
use arrow_array::RecordBatch;
use arrow_ipc::reader::StreamReader;
use arrow_ipc::writer::StreamWriter;
use arrow_schema::{ArrowError, SchemaRef};
use arrow_select::concat::concat_batches;
use purlin_api::{Error, Result};
use std::fs::File;
use std::io::{BufRead, BufReader};

/// Rows and bytes that are written together.
const CHUNK_ROWS: usize = 8192;
const CHUNK_BYTES: usize = 1 << 20;

/// A spool that is being written.
pub(super) struct Spool {
    path: String,
    schema: SchemaRef,
    stream: Option<StreamWriter<PieceFile>>,
    held: Vec<RecordBatch>,
    rows: usize,
    bytes: usize,
}

impl Spool {
    /// Goes on behind what the file has, which may be nothing.
    pub(super) fn new(path: String, schema: SchemaRef) -> Self {
        Spool { path, schema, stream: None, held: Vec::new(), rows: 0, bytes: 0 }
    }

    fn failed(&self, e: ArrowError) -> Error {
        failed("write", &self.path, e)
    }
}

fn failed(what: &str, path: &str, e: ArrowError) -> Error {
    match e {
        ArrowError::IoError(_, e) => Error::io(what, path, e),
        e => Error::data(format!("cannot {what} `{path}`: {e}")),
    }
}

impl PieceWriter for Spool {
    fn write(&mut self, rows: &RecordBatch) -> Result<()> {
        self.rows += rows.num_rows();
        self.bytes += rows.get_array_memory_size();
        self.held.push(rows.clone());
        if self.rows >= CHUNK_ROWS || self.bytes >= CHUNK_BYTES { self.flush() } else { Ok(()) }
    }

    fn waiting_bytes(&self) -> usize {
        self.bytes
    }

    fn flush(&mut self) -> Result<()> {
        let held = std::mem::take(&mut self.held);
        if held.is_empty() {
            return Ok(());
        }
        (self.rows, self.bytes) = (0, 0);
        let rows = concat_batches(&self.schema, &held)?;
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => {
                let out = PieceFile::with_capacity(APPEND_BYTES, Append::new(&self.path));
                StreamWriter::try_new(out, &self.schema).map_err(|e| self.failed(e))?
            }
        };
        stream.write(&rows).map_err(|e| self.failed(e))?;
        self.stream = Some(stream);
        Ok(())
    }

    fn settle(&mut self) -> Result<()> {
        self.flush()?;
        let Some(stream) = self.stream.take() else { return Ok(()) };
        let out = stream.into_inner().map_err(|e| self.failed(e))?;
        out.into_inner().map(|_| ()).map_err(|e| Error::io("write", &self.path, e.into_error()))
    }

    fn finish(mut self: Box<Self>) -> Result<()> {
        self.settle()
    }
}

/// Gives all rows of a spool that was settled.
pub(super) fn read(path: &str, take: &mut dyn FnMut(RecordBatch) -> Result<()>) -> Result<()> {
    let io = |e| Error::io("read", path, e);
    let mut input = BufReader::new(File::open(path).map_err(io)?);
    while !input.fill_buf().map_err(io)?.is_empty() {
        let stream = StreamReader::try_new(&mut input, None).map_err(|e| failed("read", path, e))?;
        for rows in stream {
            take(rows.map_err(|e| failed("read", path, e))?)?;
        }
    }
    Ok(())
}
