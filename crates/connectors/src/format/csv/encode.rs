//! Columns into CSV.

use crate::format::python_text::write_str;
use crate::shared::write::{Encoder, RowEncoder};
use arrow_array::{Array, RecordBatch};
use arrow_schema::Schema;
use purlin_api::Result;

/// Which fields get quotes (Python's `csv.QUOTE_...`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Quoting {
    /// Those that need them.
    Minimal,
    /// All.
    All,
    /// All but numbers.
    NonNumeric,
    /// None.
    None,
}

/// How CSV is written.
#[derive(Clone, Debug)]
pub(crate) struct CsvOut {
    pub(crate) delimiter: u8,
    pub(crate) quote: u8,
    pub(crate) quoting: Quoting,
    /// The header's names instead of the fields' names; `None` for no header.
    pub(crate) header: Option<Vec<String>>,
    /// What null is written as.
    pub(crate) null: String,
    pub(crate) line_end: String,
    /// Which columns, in this order.
    pub(crate) columns: Vec<usize>,
    pub(crate) beam_compat: bool,
}

impl CsvOut {
    fn cell(&self, text: &str, numeric: bool, out: &mut Vec<u8>) {
        let bytes = text.as_bytes();
        let needs =
            || bytes.iter().any(|b| *b == self.delimiter || *b == self.quote || matches!(b, b'\n' | b'\r'));
        let quoted = match self.quoting {
            Quoting::Minimal => needs(),
            Quoting::All => true,
            Quoting::NonNumeric => !numeric,
            Quoting::None => false,
        };
        if !quoted {
            out.extend_from_slice(bytes);
            return;
        }
        out.push(self.quote);
        for b in bytes {
            if *b == self.quote {
                out.push(self.quote);
            }
            out.push(*b);
        }
        out.push(self.quote);
    }

    /// A row of one empty field would be a blank line, which readers pass over.
    fn end_row(&self, from: usize, out: &mut Vec<u8>) {
        if out.len() == from && self.columns.len() == 1 && self.quoting != Quoting::None {
            out.extend_from_slice(&[self.quote, self.quote]);
        }
        out.extend_from_slice(self.line_end.as_bytes());
    }
}

impl Encoder for CsvOut {
    fn prologue(&self, _: &Schema, out: &mut Vec<u8>) {
        let Some(names) = &self.header else { return };
        let from = out.len();
        for (i, name) in names.iter().enumerate() {
            if i > 0 {
                out.push(self.delimiter);
            }
            self.cell(name, false, out);
        }
        self.end_row(from, out);
    }

    fn rows<'a>(&'a self, batch: &'a RecordBatch) -> Box<dyn RowEncoder + 'a> {
        Box::new(Rows { out: self, batch, cell: String::new() })
    }

    fn describe(&self) -> String {
        "csv".to_owned()
    }

    fn means(&self) -> String {
        let CsvOut { delimiter, quote, quoting, header, null, line_end, columns, .. } = self;
        let (delimiter, quote) = (char::from(*delimiter), char::from(*quote));
        format!(
            "csv delimited by {delimiter:?}, quotes {quote:?} {quoting:?}, header {header:?}, null {null:?}, line ends {line_end:?}, columns {columns:?}"
        )
    }
}

struct Rows<'a> {
    out: &'a CsvOut,
    batch: &'a RecordBatch,
    cell: String,
}

impl RowEncoder for Rows<'_> {
    fn write(&mut self, row: usize, _: bool, out: &mut Vec<u8>) -> Result<()> {
        let from = out.len();
        let schema = self.batch.schema_ref();
        for (i, column) in self.out.columns.iter().enumerate() {
            if i > 0 {
                out.push(self.out.delimiter);
            }
            let Some(array) = self.batch.columns().get(*column) else { continue };
            let nan = array
                .as_any()
                .downcast_ref::<arrow_array::Float64Array>()
                .is_some_and(|a| a.value(row).is_nan());
            if nan || array.is_null(row) || array.data_type().is_null() {
                self.out.cell(&self.out.null, false, out);
                continue;
            }
            self.cell.clear();
            write_str(schema.field(*column), array, row, self.out.beam_compat, &mut self.cell);
            self.out.cell(&self.cell, array.data_type().is_numeric(), out);
        }
        self.out.end_row(from, out);
        Ok(())
    }
}
