//! `ReadFromCsv`.

use super::config::{Dtype, Header, OnBadLines, ParseDates, ReadFromCsv, SkipRows};
use crate::format::columns::DecimalType;
use crate::format::csv::cell::{CellType, Nulls, Numbers, Truths};
use crate::format::csv::decode::{Csv, CsvColumn};
use crate::format::csv::{Layout, SkipLines, infer};
use crate::format::schema::{from_json_schema, takes_text};
use crate::shared::bind;
use crate::shared::read::{OnBad, ReadNode};
use arrow_schema::{DataType, Field, Schema, TimeUnit};
use purlin_api::decimal::DIGITS_MAX;
use purlin_api::shape::is_any;
use purlin_api::{BindCx, Entry, FileInfo, InputShape, PlanNode, Transform, time};
use purlin_spec::config::Spanned;
use purlin_spec::vocabulary::{Inputs, TransformDef};
use purlin_spec::{Config, Diagnostic, Diagnostics, FromNode, Node, suggest};
use std::collections::HashSet;
use std::sync::Arc;

/// How many rows types are sampled from, and how many Beam looks at.
const SAMPLE_ROWS: usize = 1000;
const BEAM_SAMPLE_ROWS: usize = 100;

/// Its catalogue entry.
pub(crate) fn entry() -> Entry {
    Entry {
        def: TransformDef {
            name: "ReadFromCsv",
            doc: ReadFromCsv::doc(),
            inputs: Inputs::None,
            error_handling: true,
            fields: ReadFromCsv::fields,
        },
        decode: |node, d| decode(node, d).map(|c| Arc::new(c) as Arc<dyn Transform>),
    }
}

fn decode(node: &Node, d: &mut Diagnostics) -> Option<ReadFromCsv> {
    let mut config = ReadFromCsv::from_node(node, d)?;
    // An explicit null is an answer here, not a missing one.
    if node.get("header").is_some_and(Node::is_null) {
        config.header = Some(Header::None);
    }
    Some(config)
}

/// The columns to read.
struct Columns {
    specs: Vec<CsvColumn>,
    fields: Vec<Field>,
    /// All names of the sampled file, unless the author gave a schema.
    all: Option<Arc<[String]>>,
    sampled: usize,
}

impl Transform for ReadFromCsv {
    fn bind(&self, _: &[InputShape], cx: &mut BindCx<'_>) -> Option<Arc<dyn PlanNode>> {
        let errors = self.error_handling.as_ref();
        let limits = bind::limits(cx, errors, self.max_line_bytes.as_ref());
        bind::check_encoding(self.encoding.as_ref(), cx.diagnostics);
        let layout = self.layout(cx);
        let files = bind::files(cx, &self.path)?;
        let ((on_bad, record_bytes_max), layout) = (limits?, layout?);
        if let (Some(OnBadLines::Skip), Some(e)) = (self.on_bad_lines, errors) {
            let what =
                "`on_bad_lines` passes over the lines that `error_handling` wants as data; give one of them";
            cx.diagnostics.push(Diagnostic::error("config/conflict", e.output.span, what));
        }
        let on_bad = match self.on_bad_lines {
            Some(OnBadLines::Skip) => OnBad::Skip,
            _ => on_bad,
        };
        let mut columns = match &self.schema {
            Some(s) => declared(&s.0, cx)?,
            None => self.sampled(cx, &files, &layout)?,
        };
        self.check_names(&columns, cx);
        if let Some(name) = &self.filename_column {
            if columns.fields.iter().any(|f| *f.name() == name.value) {
                let what = format!("the files already have a column `{}`", name.value);
                cx.diagnostics.push(Diagnostic::error("schema/duplicate-field", name.span, what));
            }
            columns.specs.push(CsvColumn { name: None, cell_type: CellType::Text, declared: true });
            columns.fields.push(Field::new(&name.value, DataType::Utf8, false));
        }
        if cx.diagnostics.has_errors() {
            return None;
        }
        let csv = Csv {
            layout: Arc::new(layout),
            columns: columns.specs.into(),
            all: columns.all,
            sampled: columns.sampled,
        };
        Some(Arc::new(ReadNode {
            format: Arc::new(csv),
            files,
            needed: vec![true; columns.fields.len()],
            outputs: bind::outputs(Arc::new(Schema::new(columns.fields)), errors),
            on_bad,
            record_bytes_max,
        }))
    }
}

impl ReadFromCsv {
    fn layout(&self, cx: &mut BindCx<'_>) -> Option<Layout> {
        let (beam_compat, d) = (cx.beam_compat, &mut *cx.diagnostics);
        let mut byte = |what: &str, value: &Option<Spanned<String>>| match value {
            None => Some(None),
            Some(v) => bind::one_byte(what, v, d).map(Some),
        };
        let delimiter = byte("delimiter", if self.delimiter.is_some() { &self.delimiter } else { &self.sep });
        let comment = byte("comment", &self.comment);
        let escape = byte("escapechar", &self.escapechar);
        let quote = byte("quotechar", &self.quotechar);
        let (point, thousands) = (byte("decimal", &self.decimal), byte("thousands", &self.thousands));
        let skip = self.skip_lines(d)?;
        let header = self.header.unwrap_or(match self.names {
            Some(_) => Header::None,
            None => Header::Row(0),
        });
        let rows_max = match &self.nrows {
            None => None,
            Some(n) if beam_compat => {
                d.push(Diagnostic::error("config/unsupported", n.span, "Beam does not support `nrows`"));
                return None;
            }
            Some(n) => match u64::try_from(n.value) {
                Ok(rows) => Some(rows),
                Err(_) => {
                    let what = "`nrows` counts rows; it cannot be negative";
                    d.push(Diagnostic::error("config/out-of-range", n.span, what));
                    return None;
                }
            },
        };
        if let Some(index) = self.index_col.as_ref().filter(|i| i.value) {
            let what = "`index_col` names a pandas index, which rows do not have";
            d.push(
                Diagnostic::error("config/unsupported", index.span, what)
                    .help("leave it out: all columns are fields"),
            );
        }
        let numbers = Numbers { point: point?.unwrap_or(b'.'), thousands: thousands? };
        let set = |words: &Option<Vec<String>>| words.iter().flatten().cloned().collect();
        Some(Layout {
            delimiter: delimiter?.unwrap_or(b','),
            quote: if self.quoting == Some(3) { None } else { Some(quote?.unwrap_or(b'"')) },
            comment: comment?,
            escape: escape?,
            header: header != Header::None,
            before_header: if let Header::Row(n) = header { n } else { 0 },
            rows_max,
            numbers,
            truths: Truths { yes: set(&self.true_values), no: set(&self.false_values) },
            names: self.names.clone(),
            skip,
            skip_blank: self.skip_blank_lines,
            skip_space: self.skipinitialspace,
            nulls: Nulls {
                pandas: self.keep_default_na,
                more: self.na_values.iter().flat_map(|n| n.0.iter().cloned()).collect(),
            },
            beam_compat,
        })
    }

    fn skip_lines(&self, d: &mut Diagnostics) -> Option<SkipLines> {
        let mut count = |line: &Spanned<i64>| {
            let n = u64::try_from(line.value).ok();
            if n.is_none() {
                let what = "`skiprows` counts lines from 0; it cannot be negative";
                d.push(Diagnostic::error("config/out-of-range", line.span, what));
            }
            n
        };
        match &self.skiprows {
            None => Some(SkipLines::None),
            Some(SkipRows::First(n)) => count(n).map(SkipLines::First),
            Some(SkipRows::These(lines)) => {
                lines.iter().map(count).collect::<Option<HashSet<_>>>().map(SkipLines::These)
            }
        }
    }

    /// Names and types from the beginning of the first file.
    fn sampled(&self, cx: &mut BindCx<'_>, files: &[FileInfo], layout: &Layout) -> Option<Columns> {
        let rows_max = if cx.beam_compat { BEAM_SAMPLE_ROWS } else { SAMPLE_ROWS };
        let sample = bind::sampled(cx.probe, files, |head, whole| {
            let sample = infer::sample(head, whole, layout, rows_max)?;
            let enough = sample.as_ref().is_some_and(|s| !s.wants_more);
            Ok((sample, enough))
        });
        let sample = match sample {
            Ok(sample) => sample.flatten().filter(|s| !s.columns.is_empty()),
            Err(e) => {
                cx.diagnostics.push(Diagnostic::error("file/cannot-read", self.path.span, e.message()));
                return None;
            }
        };
        let Some(sample) = sample else {
            cx.diagnostics.push(
                Diagnostic::error(
                    "file/empty",
                    self.path.span,
                    format!("`{}` is empty: it has no header", self.path.value),
                )
                .help("give a `schema` with the columns if empty files are to be read"),
            );
            return None;
        };
        let all: Arc<[String]> = sample.columns.iter().map(|(n, _)| n.clone()).collect();
        let mut specs: Vec<CsvColumn> = sample
            .columns
            .into_iter()
            .map(|(n, t)| CsvColumn { name: Some(n), cell_type: t, declared: false })
            .collect();
        self.set_types(&mut specs, cx.diagnostics);
        self.set_dates(&mut specs, &sample.firsts, cx.diagnostics);
        self.choose(&mut specs, &all, cx.diagnostics);
        let fields = specs.iter().map(|c| {
            let name = c.name.as_deref().unwrap_or_default();
            Field::new(name, arrow_type(c.cell_type), true)
        });
        let fields = fields.collect();
        Some(Columns { specs, fields, all: Some(all), sampled: sample.rows })
    }

    /// `dtype`.
    fn set_types(&self, specs: &mut [CsvColumn], d: &mut Diagnostics) {
        match &self.dtype {
            None => {}
            Some(Dtype::All(word)) => {
                if let Some(t) = dtype(word, d) {
                    for spec in specs {
                        (spec.cell_type, spec.declared) = (t, true);
                    }
                }
            }
            Some(Dtype::ByName(types)) => {
                for (name, word) in &types.0 {
                    let t = dtype(word, d);
                    let spec = specs.iter_mut().find(|s| s.name.as_ref() == Some(&name.value));
                    match (spec, t) {
                        (Some(spec), Some(t)) => (spec.cell_type, spec.declared) = (t, true),
                        (None, _) => unknown_column(name, specs, d),
                        (Some(_), None) => {}
                    }
                }
            }
        }
    }

    /// `parse_dates`: the first cell shows whether they have a zone.
    fn set_dates(&self, specs: &mut [CsvColumn], firsts: &[Option<String>], d: &mut Diagnostics) {
        let Some(ParseDates::Columns(wanted)) = &self.parse_dates else { return };
        for w in wanted {
            let by_place = || w.value.parse::<usize>().ok().filter(|i| *i < specs.len());
            let Some(i) = specs.iter().position(|s| s.name.as_ref() == Some(&w.value)).or_else(by_place)
            else {
                unknown_column(w, specs, d);
                continue;
            };
            let first = firsts.get(i).and_then(Option::as_deref);
            let cell_type = match first {
                None => CellType::DateTime,
                Some(text) if time::parse_datetime(text).is_some() => CellType::DateTime,
                Some(text) if time::parse_rfc3339(text).is_some() => CellType::Time,
                Some(text) => {
                    d.push(
                        Diagnostic::error(
                            "schema/dates",
                            w.span,
                            format!(
                                "column `{}` begins with {text:?}, which is no date in ISO 8601",
                                w.value
                            ),
                        )
                        .help(
                            "leave it as text and read it in Python: `datetime.strptime(row.x, '%d/%m/%Y')`",
                        ),
                    );
                    continue;
                }
            };
            if let Some(spec) = specs.get_mut(i) {
                (spec.cell_type, spec.declared) = (cell_type, true);
            }
        }
    }

    /// `usecols`, by name or by place.
    fn choose(&self, specs: &mut Vec<CsvColumn>, all: &[String], d: &mut Diagnostics) {
        let Some(wanted) = &self.usecols else { return };
        let mut chosen = HashSet::new();
        for w in wanted {
            let by_place = || w.value.parse::<usize>().ok().and_then(|i| all.get(i));
            match all.iter().find(|n| **n == w.value).or_else(by_place) {
                Some(name) => {
                    chosen.insert(name.clone());
                }
                None => unknown_column(w, specs, d),
            }
        }
        specs.retain(|s| s.name.as_ref().is_some_and(|n| chosen.contains(n)));
    }

    /// Beam takes only names that could be Python's.
    fn check_names(&self, columns: &Columns, cx: &mut BindCx<'_>) {
        if !cx.beam_compat {
            return;
        }
        let identifier = |n: &str| {
            !n.starts_with(|c: char| c.is_ascii_digit()) && n.chars().all(|c| c == '_' || c.is_alphanumeric())
        };
        if let Some(bad) = columns.fields.iter().find(|f| !identifier(f.name())) {
            let what = format!("Beam cannot read a column called `{}`: it is no identifier", bad.name());
            cx.diagnostics.push(Diagnostic::error("schema/field-name", self.path.span, what));
        }
    }
}

fn unknown_column(name: &Spanned<String>, specs: &[CsvColumn], d: &mut Diagnostics) {
    let names = || specs.iter().filter_map(|s| s.name.as_deref());
    d.push(
        Diagnostic::error(
            "name/unknown-field",
            name.span,
            format!("the file has no column `{}`", name.value),
        )
        .label(format!("its columns: {}", suggest::listed(names())))
        .maybe_help(suggest::did_you_mean(&name.value, names())),
    );
}

fn dtype(word: &Spanned<String>, d: &mut Diagnostics) -> Option<CellType> {
    match word.value.as_str() {
        "str" | "string" | "object" => Some(CellType::Text),
        "int" | "int64" | "Int64" | "integer" => Some(CellType::Int),
        "float" | "float64" | "Float64" | "number" => Some(CellType::Float),
        "bool" | "boolean" => Some(CellType::Bool),
        "date" => Some(CellType::Date),
        "datetime" => Some(CellType::DateTime),
        other => {
            if let Some(decimal) = decimal_dtype(other) {
                return Some(CellType::Decimal(decimal));
            }
            d.push(
                Diagnostic::error(
                    "schema/unknown-type",
                    word.span,
                    format!("`{other}` is not a type of column"),
                )
                .label("valid types: str, int, float, bool, date, datetime, decimal(PRECISION, SCALE)"),
            );
            None
        }
    }
}

/// `decimal(12, 2)`.
fn decimal_dtype(word: &str) -> Option<DecimalType> {
    let (precision, scale) = word.strip_prefix("decimal(")?.strip_suffix(')')?.split_once(',')?;
    let precision = precision.trim().parse::<u8>().ok().filter(|p| (1..=DIGITS_MAX).contains(p))?;
    let scale = scale.trim().parse::<u8>().ok().filter(|s| *s <= precision)?;
    Some(DecimalType { precision, scale: i8::try_from(scale).ok()? })
}

/// The columns of a JSON schema.
fn declared(node: &Node, cx: &mut BindCx<'_>) -> Option<Columns> {
    let schema_span = node.span;
    let schema = from_json_schema(node, cx.diagnostics)?;
    let mut specs = Vec::new();
    for f in schema.fields() {
        let cell_type = match f.data_type() {
            DataType::Utf8 if !is_any(f) => CellType::Text,
            DataType::Int64 => CellType::Int,
            DataType::Float64 => CellType::Float,
            DataType::Boolean => CellType::Bool,
            DataType::Timestamp(_, Some(_)) => CellType::Time,
            DataType::Timestamp(_, None) => CellType::DateTime,
            DataType::Date32 => CellType::Date,
            DataType::Decimal128(precision, scale) => {
                CellType::Decimal(DecimalType { precision: *precision, scale: *scale })
            }
            DataType::Utf8 if takes_text(node, f.name()) => CellType::Text,
            _ => {
                let what = format!(
                    "column `{}` cannot be {} in a CSV file",
                    f.name(),
                    purlin_api::shape::type_name(f)
                );
                cx.diagnostics.push(Diagnostic::error("schema/unknown-type", schema_span, what));
                continue;
            }
        };
        specs.push(CsvColumn { name: Some(f.name().clone()), cell_type, declared: true });
    }
    // Several types of which one is text are text in a file of text.
    let fields = schema.fields().iter().map(|f| match is_any(f) {
        true => Field::new(f.name(), DataType::Utf8, true),
        false => f.as_ref().clone(),
    });
    let fields = fields.collect();
    Some(Columns { specs, fields, all: None, sampled: 0 })
}

fn arrow_type(t: CellType) -> DataType {
    match t {
        CellType::Bool => DataType::Boolean,
        CellType::Int => DataType::Int64,
        CellType::Float => DataType::Float64,
        CellType::Text | CellType::TruthText => DataType::Utf8,
        CellType::Time => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        CellType::DateTime => DataType::Timestamp(TimeUnit::Microsecond, None),
        CellType::Date => DataType::Date32,
        CellType::Decimal(t) => DataType::Decimal128(t.precision, t.scale),
    }
}
