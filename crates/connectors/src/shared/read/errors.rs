//! Records that cannot be read: in words, and as rows.

use super::{RowError, batch_of};
use crate::format::columns::Column;
use crate::shared::records::Fault;
use arrow_array::RecordBatch;
use arrow_schema::{DataType, Field, Fields, Schema, SchemaRef};
use purlin_api::shape::physical;
use purlin_api::{Error, Result};
use std::sync::Arc;

/// How much of a bad record goes into its error row, in bytes.
pub(super) const TEXT_BYTES_MAX: usize = 64 << 10;

/// A fault of a frame in words.
pub(super) fn fault_text(fault: Fault, record_bytes_max: usize) -> RowError {
    match fault {
        Fault::TooLong => RowError::new(format!("the record is longer than {record_bytes_max} bytes"))
            .help("raise `max_line_bytes` if it is meant to be"),
        Fault::OpenQuote { line, column } => RowError {
            line: Some(line),
            column,
            reason: format!("the quote opened in line {line} is never closed"),
            help: Some("close it, or write a quote inside quotes twice".to_owned()),
        },
        Fault::OpenArray => RowError::new("the JSON array is never closed; the file was cut off"),
    }
}

/// `FILE:LINE[:COLUMN]`.
fn place(file: &str, line: u64, e: &RowError) -> String {
    let line = e.line.unwrap_or(line);
    match e.column {
        Some(column) => format!("{file}:{line}:{column}"),
        None => format!("{file}:{line}"),
    }
}

/// The failure of a run by a bad record that nothing was said about.
pub(super) fn bad_record(file: &str, line: u64, e: &RowError) -> Error {
    let place = place(file, line, e);
    let help = e.help.as_ref().map(|h| format!("; {h}")).unwrap_or_default();
    Error::data(format!(
        "{place}: {}{help}; to go on without such lines, give the transform `error_handling: {{output: NAME}}`",
        e.reason
    ))
}

/// The schema of error rows of file readers: `element` with file, line and text of the record.
pub(crate) fn error_schema() -> SchemaRef {
    let element = Fields::from(vec![
        Field::new("file", DataType::Utf8, false),
        Field::new("line", DataType::Int64, false),
        Field::new("text", DataType::Utf8, false),
    ]);
    Arc::new(Schema::new(vec![
        Field::new("element", DataType::Struct(element), false),
        Field::new("msg", DataType::Utf8, false),
        Field::new("stack", DataType::Utf8, false),
    ]))
}

/// Error rows that are being gathered.
#[derive(Default)]
pub(super) struct ErrorRows {
    columns: Option<Vec<Column>>,
    rows: usize,
}

impl ErrorRows {
    pub(super) fn len(&self) -> usize {
        self.rows
    }

    /// Takes a bad record, which begins on this line of the file.
    pub(super) fn push(&mut self, file: &str, begins: u64, bytes: &[u8], e: &RowError) -> Result<()> {
        let columns = self.columns.get_or_insert_with(|| {
            physical(&error_schema()).fields().iter().map(|f| Column::new(f)).collect()
        });
        let kept = bytes.get(..TEXT_BYTES_MAX).unwrap_or(bytes);
        let text = String::from_utf8_lossy(kept);
        let line = e.line.unwrap_or(begins);
        let [Column::Struct(element), msg, stack] = columns.as_mut_slice() else {
            return Err(Error::internal("error rows have other columns than they should"));
        };
        let [name, number, content] = element.columns_mut() else {
            return Err(Error::internal("error elements have other fields than they should"));
        };
        name.push_text(file);
        number.push_int(i64::try_from(line).unwrap_or(i64::MAX));
        content.push_text(&text);
        element.push_valid();
        msg.push_text(&e.reason);
        stack.push_text(&place(file, begins, e));
        self.rows += 1;
        Ok(())
    }

    pub(super) fn finish(&mut self) -> Result<RecordBatch> {
        let schema = physical(&error_schema());
        let rows = std::mem::take(&mut self.rows);
        let columns = self.columns.take().unwrap_or_default();
        batch_of(&schema, columns.into_iter().map(Column::finish), rows)
    }
}
