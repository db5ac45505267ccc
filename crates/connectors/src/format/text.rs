//! Lines as they are.

use super::columns::Column;
use super::python_text::column_str;
use crate::shared::read::{Decoder, Fate, Format, RowError, Stop, batch_of};
use crate::shared::records::Record;
use crate::shared::scan::Framing;
use crate::shared::write::{Encoder, RowEncoder};
use arrow_array::RecordBatch;
use arrow_schema::{Schema, SchemaRef};
use purlin_api::Result;

/// One line is one row with one field of text.
#[derive(Debug)]
pub(crate) struct Text;

impl Format for Text {
    fn framing(&self) -> Framing {
        Framing::Lines
    }

    fn decoder(&self, schema: &SchemaRef, needed: &[bool]) -> Box<dyn Decoder> {
        let needed = needed.first() == Some(&true);
        Box::new(Lines { schema: schema.clone(), needed, column: None, rows: 0 })
    }

    fn describe(&self) -> String {
        "text lines".to_owned()
    }
}

struct Lines {
    schema: SchemaRef,
    needed: bool,
    column: Option<Column>,
    rows: usize,
}

impl Decoder for Lines {
    fn open(&mut self, _: &str) -> Result<()> {
        Ok(())
    }

    fn record(&mut self, record: &Record<'_>) -> Result<Fate, Stop> {
        let text = utf8(record.bytes)?;
        let (schema, needed) = (&self.schema, self.needed);
        let column = self.column.get_or_insert_with(|| match schema.fields().first() {
            Some(f) if needed => Column::new(f),
            _ => Column::Null(arrow_schema::DataType::Utf8, 0),
        });
        column.push_text(text);
        self.rows += 1;
        Ok(Fate::Row)
    }

    fn rows(&self) -> usize {
        self.rows
    }

    fn finish(&mut self) -> Result<RecordBatch> {
        let rows = std::mem::take(&mut self.rows);
        batch_of(&self.schema, self.column.take().into_iter().map(Column::finish), rows)
    }
}

/// The text of a record.
///
/// # Errors
/// Bytes that are not UTF-8, with the column of the first.
pub(crate) fn utf8(bytes: &[u8]) -> Result<&str, RowError> {
    std::str::from_utf8(bytes).map_err(|e| {
        let at = e.valid_up_to();
        let bad = bytes.get(at).copied().unwrap_or_default();
        RowError {
            line: None,
            column: Some(at as u64 + 1),
            reason: format!("byte 0x{bad:02x} is not valid UTF-8"),
            help: Some("convert the file to UTF-8".to_owned()),
        }
    })
}

/// One field as text, one value a line.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TextOut {
    pub(crate) beam_compat: bool,
}

impl Encoder for TextOut {
    fn prologue(&self, _: &Schema, _: &mut Vec<u8>) {}

    fn rows<'a>(&'a self, batch: &'a RecordBatch) -> Box<dyn RowEncoder + 'a> {
        Box::new(TextRows { beam_compat: self.beam_compat, batch, text: String::new() })
    }

    fn describe(&self) -> String {
        "text lines".to_owned()
    }
}

struct TextRows<'a> {
    beam_compat: bool,
    batch: &'a RecordBatch,
    text: String,
}

impl RowEncoder for TextRows<'_> {
    fn write(&mut self, row: usize, _: bool, out: &mut Vec<u8>) -> Result<()> {
        self.text.clear();
        column_str(self.batch, 0, row, self.beam_compat, &mut self.text);
        out.extend_from_slice(self.text.as_bytes());
        out.push(b'\n');
        Ok(())
    }
}
