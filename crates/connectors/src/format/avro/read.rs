//! Reading Avro: one block after the other.

use super::container::{Flaw, Header, MAGIC, block, header};
use super::schema::{Member, fields, parse};
use crate::shared::compression::{self, Compression};
use crate::shared::tables::{Chunk, TableFormat, TableReader};
use arrow_schema::{Schema, SchemaRef};
use purlin_api::transform::Probe;
use purlin_api::{Budget, Error, FileInfo, Result};
use std::io::{BufRead, BufReader, Cursor, Read};
use std::sync::Arc;

/// How much of a file's beginning is looked at for its schema, one after the other.
const HEAD_BYTES: [usize; 3] = [64 << 10, 1 << 20, 65 << 20];

/// Reads Avro files.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Avro;

fn damaged(path: &str, what: impl std::fmt::Display) -> Error {
    Error::data(format!("cannot read `{path}` as Avro: {what}"))
}

/// Says in plain words what files that do not begin like Avro are.
fn check_begin(path: &str, head: &[u8]) -> Result<()> {
    if head.is_empty() {
        return Err(Error::data(format!("`{path}` is empty: it is not an Avro file")));
    }
    if MAGIC.iter().zip(head).any(|(a, b)| a != b) {
        return Err(Error::data(format!("`{path}` is not an Avro file: it does not begin like one")));
    }
    Ok(())
}

fn of_flaw(path: &str, compression: Compression, place: &str, flaw: Flaw) -> Error {
    match flaw {
        Flaw::Cut => damaged(path, format!("{place}: the file was cut off")),
        Flaw::Bad(what) => damaged(path, format!("{place}: {what}")),
        Flaw::Io(e) => compression::failed(path, compression, e),
    }
}

impl TableFormat for Avro {
    fn schema(&self, probe: &dyn Probe, file: &FileInfo) -> Result<SchemaRef> {
        let path = &file.path;
        for bytes_max in HEAD_BYTES {
            let head = probe.head(path, bytes_max)?;
            check_begin(path, &head)?;
            let whole = head.len() < bytes_max;
            match header(&mut Cursor::new(head)) {
                Ok(header) => {
                    let members = parse(&header.schema).map_err(|e| bad_schema(path, e))?;
                    return Ok(Arc::new(Schema::new(fields(&members))));
                }
                Err(Flaw::Cut) if !whole => {}
                Err(flaw) => return Err(of_flaw(path, Compression::None, "its header", flaw)),
            }
        }
        Err(damaged(path, "its header is longer than 64 MiB"))
    }

    fn open(&self, path: &str, wanted: &dyn Fn(&str) -> bool, _: Budget) -> Result<Box<dyn TableReader>> {
        let (input, compression) = compression::open(path)?;
        let mut input = BufReader::with_capacity(64 << 10, input);
        let head = input.fill_buf().map_err(|e| compression::failed(path, compression, e))?;
        check_begin(path, head)?;
        let header = header(&mut input).map_err(|flaw| of_flaw(path, compression, "its header", flaw))?;
        let members = parse(&header.schema).map_err(|e| bad_schema(path, e))?;
        let schema = Schema::new(fields(&members));
        let wanted: Vec<bool> = members.iter().map(|m| wanted(&m.name)).collect();
        let kept: Vec<usize> =
            wanted.iter().enumerate().filter(|(_, wanted)| **wanted).map(|(i, _)| i).collect();
        Ok(Box::new(Rows {
            path: path.to_owned(),
            compression,
            input,
            header,
            members,
            wanted,
            kept: Arc::new(schema.project(&kept)?),
            schema: Arc::new(schema),
            blocks: 0,
            rows: 0,
            ahead: None,
        }))
    }

    fn name(&self) -> &'static str {
        "Avro"
    }
}

fn bad_schema(path: &str, e: String) -> Error {
    Error::data(format!("cannot read `{path}`: its schema cannot be used: {e}"))
}

struct Rows {
    path: String,
    compression: Compression,
    input: BufReader<Box<dyn Read + Send>>,
    header: Header,
    members: Arc<[Member]>,
    /// Which members are read.
    wanted: Vec<bool>,
    schema: SchemaRef,
    /// The columns of `wanted`.
    kept: SchemaRef,
    blocks: u64,
    /// Rows of the blocks so far.
    rows: u64,
    /// Read and not yet given.
    ahead: Option<Chunk>,
}

impl Rows {
    fn block(&mut self) -> Result<Option<Chunk>> {
        loop {
            self.blocks += 1;
            let place = format!("block {}, after row {}", self.blocks, self.rows);
            let (count, bytes) = match block(&mut self.input, &self.header) {
                Ok(Some(block)) => block,
                Ok(None) => return Ok(None),
                Err(flaw) => return Err(of_flaw(&self.path, self.compression, &place, flaw)),
            };
            let decoded = super::decode::rows(&bytes, count, &self.members, &self.wanted, &self.kept)?;
            let chunk = decoded.map_err(|e| damaged(&self.path, format!("{place}: {e}")))?;
            self.rows = self.rows.saturating_add(chunk.taken as u64);
            if chunk.taken > 0 {
                return Ok(Some(chunk));
            }
        }
    }
}

impl TableReader for Rows {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn next(&mut self, rows_max: usize) -> Result<Option<Chunk>> {
        let chunk = match self.ahead.take() {
            Some(chunk) => chunk,
            None => match self.block()? {
                Some(chunk) => chunk,
                None => return Ok(None),
            },
        };
        let (chunk, rest) = split(chunk, rows_max.max(1));
        self.ahead = rest;
        Ok(Some(chunk))
    }
}

/// At most `rows_max` rows, and what is left.
fn split(chunk: Chunk, rows_max: usize) -> (Chunk, Option<Chunk>) {
    if chunk.taken <= rows_max {
        return (chunk, None);
    }
    let border = chunk.bad.partition_point(|(row, _)| *row < rows_max);
    let mut bad = chunk.bad;
    let later = bad.split_off(border).into_iter().map(|(row, reason)| (row - rows_max, reason)).collect();
    let good = rows_max - bad.len();
    let rest = Chunk {
        rows: chunk.rows.slice(good, chunk.rows.num_rows() - good),
        bad: later,
        taken: chunk.taken - rows_max,
    };
    (Chunk { rows: chunk.rows.slice(0, good), bad, taken: rows_max }, Some(rest))
}
