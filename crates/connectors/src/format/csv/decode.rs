//! CSV records into columns.

use super::cell::{self, CellType};
use super::split::Fields;
use super::{Layout, column_names};
use crate::format::columns::Column;
use crate::format::text::utf8;
use crate::shared::read::{Decoder, Fate, Format, RowError, Stop, batch_of};
use crate::shared::records::Record;
use crate::shared::scan::Framing;
use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use purlin_api::{Error, Result, time};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// Longest cell that a message quotes, in characters.
const QUOTED_CHARS_MAX: usize = 60;

/// One column to read.
#[derive(Clone, Debug)]
pub(crate) struct CsvColumn {
    /// Its name in the files; `None` for the column that holds the file's name.
    pub(crate) name: Option<String>,
    /// Its type.
    pub(crate) cell_type: CellType,
    /// True if the author gave the type; otherwise it was sampled.
    pub(crate) declared: bool,
}

/// CSV with its layout and the columns to read, in the order of the schema.
#[derive(Clone, Debug)]
pub(crate) struct Csv {
    pub(crate) layout: Arc<Layout>,
    pub(crate) columns: Arc<[CsvColumn]>,
    /// Names of all columns of the file that was sampled; other files must have the same ones. `None` if
    /// the author gave the schema: then what is missing is null and the rest is passed over.
    pub(crate) all: Option<Arc<[String]>>,
    /// How many rows the types were sampled from.
    pub(crate) sampled: usize,
}

impl Format for Csv {
    fn framing(&self) -> Framing {
        self.layout.framing()
    }

    fn decoder(&self, schema: &SchemaRef, needed: &[bool]) -> Box<dyn Decoder> {
        Box::new(CsvDecoder {
            csv: self.clone(),
            schema: schema.clone(),
            needed: needed.to_vec(),
            file: String::new(),
            header_due: true,
            before_header: 0,
            rows_left: None,
            width: 0,
            plan: Vec::new(),
            fields: Fields::default(),
            columns: Vec::new(),
            rows: 0,
        })
    }

    fn describe(&self) -> String {
        match self.layout.delimiter {
            b',' => "csv".to_owned(),
            d => format!("csv delimited by {:?}", char::from(d)),
        }
    }
}

/// What to do for one column of the schema.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// Null in every row.
    Null,
    /// The file's name.
    FileName,
    /// Read this field.
    Field(usize),
}

struct CsvDecoder {
    csv: Csv,
    schema: SchemaRef,
    needed: Vec<bool>,
    file: String,
    header_due: bool,
    /// Rows to pass over before the header.
    before_header: u64,
    /// How many rows of the open file are still wanted, if not all.
    rows_left: Option<u64>,
    /// How many fields a row of the open file should have.
    width: usize,
    plan: Vec<Step>,
    fields: Fields,
    columns: Vec<Column>,
    rows: usize,
}

impl CsvDecoder {
    /// Fixes where in the open file the columns are.
    fn set_header(&mut self, names: &[String]) -> Result<()> {
        let index: HashMap<&str, usize> = names.iter().enumerate().map(|(i, n)| (n.as_str(), i)).collect();
        if let Some(all) = self.csv.all.as_deref().filter(|all| *all != names) {
            let known: HashSet<&String> = all.iter().collect();
            let missing = all.iter().find(|n| !index.contains_key(n.as_str()));
            let extra = names.iter().find(|n| !known.contains(n));
            let problem = match (missing, extra) {
                (Some(n), _) => format!("has no column `{n}`, which the first file has"),
                (None, Some(n)) => format!("has a column `{n}`, which the first file does not have"),
                (None, None) => String::new(),
            };
            if !problem.is_empty() {
                return Err(Error::data(format!(
                    "the file `{}` {problem}; give a `schema` with the columns to read, so that missing ones are null",
                    self.file
                )));
            }
        }
        self.width = names.len();
        self.plan = self
            .csv
            .columns
            .iter()
            .enumerate()
            .map(|(i, c)| match (&c.name, self.needed.get(i)) {
                (_, Some(false)) => Step::Null,
                (None, _) => Step::FileName,
                (Some(name), _) => index.get(name.as_str()).map_or(Step::Null, |i| Step::Field(*i)),
            })
            .collect();
        self.header_due = false;
        Ok(())
    }

    fn begin_batch(&mut self) {
        self.columns = self
            .schema
            .fields()
            .iter()
            .zip(&self.needed)
            .map(|(f, needed)| if *needed { Column::new(f) } else { Column::unread(f) })
            .collect();
    }

    fn row(&mut self, record: &str, line: u64) -> Result<(), RowError> {
        let saw = self.fields.len();
        if saw > self.width {
            return Err(RowError::new(format!("Expected {} fields in line {line}, saw {saw}", self.width)));
        }
        for ((step, column), spec) in self.plan.iter().zip(&mut self.columns).zip(self.csv.columns.iter()) {
            match step {
                Step::Null => column.push_null(),
                Step::FileName => column.push_text(&self.file),
                Step::Field(i) => match self.fields.get(record, *i) {
                    None => column.push_null(),
                    Some(text) => push(column, text, spec, &self.csv)
                        .map_err(|e| RowError { column: self.fields.start(*i).map(|s| s as u64 + 1), ..e })?,
                },
            }
        }
        Ok(())
    }
}

impl Decoder for CsvDecoder {
    fn open(&mut self, file: &str) -> Result<()> {
        file.clone_into(&mut self.file);
        self.header_due = true;
        self.before_header = self.csv.layout.before_header;
        self.rows_left = self.csv.layout.rows_max;
        if !self.csv.layout.header {
            let names = self.csv.layout.names.clone().or_else(|| self.csv.all.as_ref().map(|a| a.to_vec()));
            self.set_header(&names.unwrap_or_default())?;
        }
        Ok(())
    }

    fn at_data(&self) -> bool {
        !self.header_due
    }

    fn record(&mut self, record: &Record<'_>) -> Result<Fate, Stop> {
        let layout = self.csv.layout.clone();
        if layout.skip.has(record.line) {
            return Ok(Fate::Skipped);
        }
        let text = utf8(record.bytes)?;
        if layout.is_blank(text) {
            return Ok(Fate::Skipped);
        }
        if self.header_due && self.before_header > 0 {
            self.before_header -= 1;
            return Ok(Fate::Skipped);
        }
        if !self.header_due && self.rows_left == Some(0) {
            return Ok(Fate::Skipped);
        }
        self.fields.split(text, &layout);
        if self.header_due {
            let names = match &layout.names {
                Some(names) => names.clone(),
                None => column_names(self.fields.iter(text)),
            };
            self.set_header(&names).map_err(Stop::File)?;
            return Ok(Fate::Header);
        }
        if self.rows == 0 && self.columns.is_empty() {
            self.begin_batch();
        }
        if let Err(e) = self.row(text, record.line) {
            let rows = self.rows;
            self.columns.iter_mut().for_each(|c| c.truncate(rows));
            return Err(e.into());
        }
        self.rows += 1;
        self.rows_left = self.rows_left.map(|n| n.saturating_sub(1));
        Ok(Fate::Row)
    }

    fn rows(&self) -> usize {
        self.rows
    }

    fn finish(&mut self) -> Result<RecordBatch> {
        let rows = std::mem::take(&mut self.rows);
        let columns = std::mem::take(&mut self.columns);
        batch_of(&self.schema, columns.into_iter().map(Column::finish), rows)
    }
}

fn push(column: &mut Column, text: &str, spec: &CsvColumn, csv: &Csv) -> Result<(), RowError> {
    if csv.layout.nulls.has(text) {
        column.push_null();
        return Ok(());
    }
    // Zeros that a number would lose: the sample was of numbers without any.
    let plain = csv.layout.numbers.plain(text);
    let loses = || !spec.declared && !csv.layout.beam_compat && cell::has_leading_zero(&plain);
    let read = match spec.cell_type {
        CellType::Text => {
            column.push_text(text);
            Some(())
        }
        CellType::TruthText => {
            column.push_text(match csv.layout.truths.read(text) {
                Some(true) => "True",
                Some(false) => "False",
                None => text,
            });
            Some(())
        }
        CellType::Int => cell::integer(&plain).filter(|_| !loses()).map(|i| column.push_int(i)),
        CellType::Float => cell::float(&plain).filter(|_| !loses()).map(|f| column.push_float(f)),
        CellType::Bool => csv.layout.truths.read(text).map(|b| column.push_bool(b)),
        CellType::Time => text.parse::<jiff::Timestamp>().ok().map(|t| column.push_int(t.as_microsecond())),
        CellType::DateTime => time::parse_datetime(text).map(|t| column.push_int(t)),
        CellType::Date => time::parse_date(text).map(|days| column.push_days(days)),
        CellType::Decimal(t) => t.parse(&plain).ok().map(|units| column.push_units(units)),
    };
    read.ok_or_else(|| misfit(text, spec, csv, loses()))
}

fn misfit(text: &str, spec: &CsvColumn, csv: &Csv, loses: bool) -> RowError {
    let name = spec.name.as_deref().unwrap_or_default();
    let word = match spec.cell_type {
        CellType::Bool => "bool".to_owned(),
        CellType::Int => "int".to_owned(),
        CellType::Float => "float".to_owned(),
        CellType::Text | CellType::TruthText => "str".to_owned(),
        CellType::Time => "timestamp".to_owned(),
        CellType::DateTime => "datetime".to_owned(),
        CellType::Date => "date".to_owned(),
        CellType::Decimal(t) => format!("decimal({}, {})", t.precision, t.scale),
    };
    let shown = purlin_api::json::shortened(text.to_owned(), QUOTED_CHARS_MAX);
    let mut reason = format!("cannot read {shown:?} as {word} in column `{name}`");
    if let CellType::Decimal(t) = spec.cell_type
        && let Err(why) = t.parse(&csv.layout.numbers.plain(text))
    {
        reason.push_str(&format!(": {}", why.reason(t.precision, t.scale)));
    }
    if loses {
        reason.push_str(": it would lose its leading zeros");
    }
    let error = RowError::new(reason);
    if spec.declared {
        return error;
    }
    error.help(format!(
        "the type was sampled from the first {} rows; if they mislead, give `dtype: {{{name}: str}}`",
        csv.sampled
    ))
}
