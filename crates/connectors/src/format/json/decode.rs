//! JSON records into columns. The parser behind is serde_json; only `visit` knows that.

use super::shape::Shape;
use super::visit::{MARK, Path, Row, Rules};
use crate::format::columns::{Column, FieldIndex, Size};
use crate::format::text::utf8;
use crate::shared::read::{Decoder, Fate, Format, RowError, Stop, batch_of};
use crate::shared::records::{Ahead, Record};
use crate::shared::scan::Framing;
use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use purlin_api::Result;
use serde::de::DeserializeSeed;

/// JSON objects, one a line or in one array.
#[derive(Clone, Debug)]
pub(crate) struct Json {
    /// One object a line; otherwise one array, or objects one after the other.
    pub(crate) lines: bool,
    /// Nested values become the text that Python prints of them, as in Beam.
    pub(crate) python_text: bool,
    /// True if the author gave the schema: keys it lacks are passed over.
    pub(crate) declared: bool,
    /// How many rows the schema was sampled from.
    pub(crate) sampled: usize,
}

impl Format for Json {
    fn framing(&self) -> Framing {
        if self.lines { Framing::Lines } else { Framing::JsonArray }
    }

    fn decoder(&self, schema: &SchemaRef, needed: &[bool]) -> Box<dyn Decoder> {
        Box::new(JsonDecoder::new(self, schema, needed))
    }

    fn describe(&self) -> String {
        if self.lines { "json lines" } else { "json array" }.to_owned()
    }
}

/// Appends JSON objects to columns.
pub(super) struct JsonDecoder {
    json: Json,
    index: FieldIndex,
    schema: SchemaRef,
    needed: Vec<bool>,
    columns: Vec<Column>,
    /// The sizes of the columns of the batch before: the next will be about as large.
    sizes: Vec<Size>,
    rows: usize,
    learned: Learned,
}

/// What is known of how lines look.
#[derive(Debug, Default)]
struct Learned {
    /// Shapes of lines, in the order in which they were learned: some lines lack a key that most have.
    shapes: Vec<Shape>,
    /// The one to be replaced next.
    oldest: usize,
    /// Good lines in a row that looked otherwise.
    misses: u32,
    /// How often a shape was looked for.
    attempts: u32,
}

/// So many shapes are known at a time.
const SHAPES_MAX: usize = 4;
/// So many good lines of another shape make a new one worth learning in place of an old one,
const MISSES_MAX: u32 = 16;
/// and so many attempts show that lines have no shape in common.
const ATTEMPTS_MAX: u32 = 64;

impl Learned {
    /// After a line that only the parser could read.
    fn missed(&mut self, line: &[u8], schema: &SchemaRef, index: &FieldIndex, columns: &[Column]) {
        self.misses += 1;
        let is_full = self.shapes.len() >= SHAPES_MAX;
        if self.attempts >= ATTEMPTS_MAX || (is_full && self.misses < MISSES_MAX) {
            return;
        }
        self.attempts += 1;
        self.misses = 0;
        let Some(shape) = Shape::learn(line, schema.fields(), index, columns) else { return };
        match self.shapes.get_mut(self.oldest) {
            Some(old) if is_full => {
                *old = shape;
                self.oldest = (self.oldest + 1) % SHAPES_MAX;
            }
            _ => self.shapes.push(shape),
        }
    }
}

impl JsonDecoder {
    /// Without what is learned of lines: what the parser alone gives.
    #[cfg(test)]
    pub(super) fn plain(json: &Json, schema: &SchemaRef, needed: &[bool]) -> Self {
        let learned = Learned { attempts: ATTEMPTS_MAX, ..Learned::default() };
        JsonDecoder { learned, ..JsonDecoder::new(json, schema, needed) }
    }

    pub(super) fn new(json: &Json, schema: &SchemaRef, needed: &[bool]) -> Self {
        JsonDecoder {
            json: json.clone(),
            index: FieldIndex::of(schema.fields()),
            schema: schema.clone(),
            needed: needed.to_vec(),
            columns: Vec::new(),
            sizes: Vec::new(),
            rows: 0,
            learned: Learned::default(),
        }
    }

    /// True once a shape is known.
    #[cfg(test)]
    pub(super) fn has_shape(&self) -> bool {
        !self.learned.shapes.is_empty()
    }

    /// Appends the row that `bytes` begin with, if it looks like those before and `ends` there. How long it is. The caller
    /// counts it.
    #[inline]
    fn read_row(&mut self, bytes: &[u8], ends: impl Fn(usize) -> Option<usize>) -> Option<usize> {
        for at in 0..self.learned.shapes.len() {
            let used = self.learned.shapes.get(at).and_then(|s| s.read(bytes, &mut self.columns));
            if let Some(end) = used.and_then(&ends) {
                self.learned.misses = 0;
                return Some(end);
            }
            self.take_back();
        }
        None
    }

    /// Reads a line that looks like those before. The caller counts the row.
    pub(super) fn read_alike(&mut self, line: &[u8]) -> bool {
        self.read_row(line, |used| (used == line.len()).then_some(used)).is_some()
    }

    /// Takes an unfinished row out of the columns.
    fn take_back(&mut self) {
        let rows = self.rows;
        self.columns.iter_mut().for_each(|c| c.truncate(rows));
    }

    fn begin_batch(&mut self) {
        let fields = self.schema.fields().iter().zip(&self.needed);
        self.columns =
            fields.map(|(f, needed)| if *needed { Column::new(f) } else { Column::unread(f) }).collect();
        self.columns.iter_mut().zip(&self.sizes).for_each(|(c, size)| c.reserve(*size));
    }

    fn parse(&mut self, text: &str) -> Result<(), serde_json::Error> {
        let rules = Rules { python_text: self.json.python_text, extra_keys: self.json.declared };
        let mut parser = serde_json::Deserializer::from_str(text);
        Row {
            fields: self.schema.fields(),
            index: &self.index,
            columns: &mut self.columns,
            rows: self.rows,
            rules,
            path: Path::default(),
        }
        .deserialize(&mut parser)?;
        parser.end()
    }
}

impl Decoder for JsonDecoder {
    fn open(&mut self, _: &str) -> Result<()> {
        Ok(())
    }

    fn record(&mut self, record: &Record<'_>) -> Result<Fate, Stop> {
        if self.rows == 0 && self.columns.is_empty() {
            self.begin_batch();
        }
        if self.read_alike(record.bytes) {
            self.rows += 1;
            return Ok(Fate::Row);
        }
        let text = utf8(record.bytes)?;
        if text.trim_ascii().is_empty() {
            return Ok(Fate::Skipped);
        }
        if let Err(e) = self.parse(text) {
            self.take_back();
            return Err(problem(&e, record.line, &self.json).into());
        }
        self.rows += 1;
        self.learned.missed(record.bytes, &self.schema, &self.index, &self.columns);
        Ok(Fate::Row)
    }

    fn lines(&mut self, ahead: &Ahead<'_>, rows_max: usize) -> (u64, usize) {
        if self.rows == 0 && self.columns.is_empty() {
            self.begin_batch();
        }
        let (before, mut at) = (self.rows, 0);
        while at < ahead.begin_max && self.rows - before < rows_max {
            let Some(rest) = ahead.bytes.get(at..) else { break };
            let ends = |used: usize| match rest.get(used..)? {
                _ if used > ahead.line_bytes_max => None,
                [b'\n', ..] => Some(used + 1),
                [b'\r', b'\n', ..] => Some(used + 2),
                _ => None,
            };
            let Some(used) = self.read_row(rest, ends) else { break };
            at += used;
            self.rows += 1;
        }
        ((self.rows - before) as u64, at)
    }

    fn rows(&self) -> usize {
        self.rows
    }

    fn finish(&mut self) -> Result<RecordBatch> {
        let rows = std::mem::take(&mut self.rows);
        let mut columns = std::mem::take(&mut self.columns);
        self.sizes = columns.iter().map(Column::size).collect();
        for column in &mut columns {
            // Lines read by their shape leave these out.
            if let Column::Null(_, len) = column {
                *len = rows;
            }
        }
        batch_of(&self.schema, columns.into_iter().map(Column::finish), rows)
    }
}

/// A parse error as a row error: the place in the file, not in the record.
fn problem(e: &serde_json::Error, line: u64, json: &Json) -> RowError {
    let text = e.to_string();
    // serde_json appends the place to its messages.
    let (text, ours) = match text.strip_prefix(MARK) {
        Some(t) => (t, true),
        None => (text.as_str(), false),
    };
    let reason = text.rfind(" at line ").and_then(|i| text.get(..i)).unwrap_or(text);
    let error = RowError {
        line: Some(line + (e.line() as u64).saturating_sub(1)),
        column: (e.column() > 0).then(|| e.column() as u64),
        reason: if ours { reason.to_owned() } else { format!("invalid JSON: {reason}") },
        help: None,
    };
    if !ours || json.declared {
        return error;
    }
    error.help(format!(
        "the fields were sampled from the first {} rows; if they mislead, give a `schema`",
        json.sampled
    ))
}
