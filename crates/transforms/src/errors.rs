//! Rows that fail: where they go, how they look, and when there are too many.
//!
//! A failed row becomes `{element, msg, stack}` on the transform's error output, with the time, window and
//! pane it came with. Without an error output the first failed row ends the run.

use arrow_array::{ArrayRef, BooleanArray, RecordBatch, StringArray, StructArray, UInt32Array};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use purlin_api::shape::physical;
use purlin_api::state::{
    Columns, Entries, KeySlots, ints, read_ints, read_windows, window_columns, window_fields, window_key,
};
use purlin_api::{
    Batch, BindCx, Distribution, Error, EventTime, OpCx, OutPort, Output, OutputRole, Result, Shape,
    StateShape, StateTable, Window, json,
};
use purlin_spec::Diagnostic;
use purlin_spec::types::ErrorHandling;
use std::sync::Arc;

/// Longest print of a row in a message, in characters.
const ROW_CHARS_MAX: usize = 300;

/// Why a row failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// Its place in the batch.
    pub(crate) row: usize,
    /// As Python would print the exception: `ZeroDivisionError('division by zero')`.
    pub(crate) message: String,
    /// Where it happened.
    pub(crate) stack: String,
}

impl Failure {
    /// An exception of Python's kind `kind`, raised by the transform itself.
    pub(crate) fn raised(row: usize, kind: &str, message: &str) -> Self {
        let message = format!("{kind}({})", crate::python::repr(message));
        Failure { row, stack: message.clone(), message }
    }
}

/// What the author wants done with rows that fail.
#[derive(Clone, Debug, Default)]
pub(crate) struct Policy {
    /// The error output: its name and shape.
    output: Option<(String, Shape)>,
    threshold: Option<f64>,
}

impl Policy {
    /// From the config of a transform with this input; `None` if it is wrong.
    pub(crate) fn bind(
        handling: Option<&ErrorHandling>,
        input: &Shape,
        cx: &mut BindCx<'_>,
    ) -> Option<Policy> {
        let Some(handling) = handling else { return Some(Policy::default()) };
        if let Some(threshold) = handling.threshold
            && !(0.0..=1.0).contains(&threshold)
        {
            cx.diagnostics.push(
                Diagnostic::error(
                    "error-handling/threshold",
                    handling.output.span,
                    format!("`threshold` is a fraction from 0 to 1, not {threshold}"),
                )
                .help("0.05 lets five of a hundred rows fail"),
            );
            return None;
        }
        let output = (handling.output.value.clone(), error_shape(input));
        Some(Policy { output: Some(output), threshold: handling.threshold })
    }

    /// True if there is an error output.
    pub(crate) fn routes(&self) -> bool {
        self.output.is_some()
    }

    /// The main output and, after it, the error output if there is one. Beam calls the main one `good` then.
    pub(crate) fn outputs(&self, main: Shape) -> Vec<Output> {
        let tag = if self.routes() { "good" } else { "out" };
        let mut outputs = vec![Output { tag: tag.to_owned(), shape: main, role: OutputRole::Main }];
        outputs.extend(self.output());
        outputs
    }

    /// The error output, if there is one.
    pub(crate) fn output(&self) -> Option<Output> {
        let (tag, shape) = self.output.clone()?;
        Some(Output { tag, shape, role: OutputRole::Error })
    }

    /// A threshold is a fraction of all rows, so that all must meet in one lane.
    pub(crate) fn distribution(&self) -> Distribution {
        if self.threshold.is_some() { Distribution::Single } else { Distribution::Any }
    }

    /// True if the error output is read, and so every column of the input is needed.
    pub(crate) fn is_read(&self, outputs: &[Vec<bool>], port: OutPort) -> bool {
        self.routes() && outputs.get(port).is_some_and(|columns| columns.iter().any(|c| *c))
    }

    /// For `explain`: `; errors to bad`.
    pub(crate) fn explain(&self) -> String {
        let Some((name, _)) = &self.output else { return String::new() };
        match self.threshold {
            Some(t) => format!("; errors to {name}, at most {t}"),
            None => format!("; errors to {name}"),
        }
    }

    /// A running instance that emits failed rows on `port`.
    pub(crate) fn start(&self, port: OutPort, label: &str) -> Errors {
        Errors {
            route: self.output.as_ref().map(|(_, shape)| (port, physical(&shape.schema))),
            threshold: self.threshold,
            label: label.to_owned(),
            // A threshold gathers all rows in the first lane, which owns the first slot.
            seen: Entries::new("threshold", KeySlots::One(0)),
        }
    }

    /// What the counts for a threshold mean, if there is one.
    pub(crate) fn state(&self) -> Option<StateShape> {
        let (_, shape) = self.output.as_ref().filter(|_| self.threshold.is_some())?;
        let windows = shape.windowing.window_fn.describe();
        Some(StateShape::new(format!("rows and failed rows by window; windows {windows}")))
    }
}

/// The shape of the error rows of a transform with this input.
pub(crate) fn error_shape(input: &Shape) -> Shape {
    let schema = Schema::new(vec![
        Field::new("element", DataType::Struct(input.schema.fields().clone()), false),
        Field::new("msg", DataType::Utf8, false),
        Field::new("stack", DataType::Utf8, false),
    ]);
    input.with_schema(Arc::new(schema))
}

/// How many rows of a window there were, and how many of them failed.
#[derive(Clone, Debug)]
struct Counts {
    window: Window,
    rows: u64,
    failed: u64,
}

impl Columns for Counts {
    fn fields() -> Vec<Field> {
        let mut fields = window_fields();
        fields.extend(["rows", "failed"].map(|name| Field::new(name, DataType::Int64, true)));
        fields
    }

    fn write(values: &[Option<&Self>]) -> Result<Vec<ArrayRef>> {
        let mut columns = window_columns(values.iter().map(|v| v.map(|c| &c.window)));
        columns.push(ints(values.iter().map(|v| v.map(|c| c.rows.cast_signed()))));
        columns.push(ints(values.iter().map(|v| v.map(|c| c.failed.cast_signed()))));
        Ok(columns)
    }

    fn read(columns: &[ArrayRef]) -> Result<Vec<Self>> {
        let windows = read_windows(columns, 0)?;
        let counts = read_ints(columns, 3)?.zip(read_ints(columns, 4)?);
        let count = |n: Option<i64>| n.unwrap_or(0).cast_unsigned();
        let all = windows.into_iter().zip(counts);
        Ok(all.map(|(window, (r, f))| Counts { window, rows: count(r), failed: count(f) }).collect())
    }
}

/// Sends failed rows where they belong, and counts them against the threshold.
#[derive(Debug)]
pub(crate) struct Errors {
    route: Option<(OutPort, SchemaRef)>,
    threshold: Option<f64>,
    label: String,
    /// By window, kept only if there is a threshold.
    seen: Entries<Counts>,
}

impl Errors {
    /// Emits the failed rows of a batch; what it returns is the rest, or `None` if nothing failed. If a
    /// row failed more than once, the first failure of the list counts.
    ///
    /// # Errors
    /// A failed row when there is no error output.
    pub(crate) fn split(
        &mut self,
        batch: &Batch,
        mut failures: Vec<Failure>,
        cx: &mut OpCx,
    ) -> Result<Option<BooleanArray>> {
        failures.sort_by_key(|f| f.row);
        failures.dedup_by_key(|f| f.row);
        self.count(batch, &failures);
        let Some(first) = failures.first() else { return Ok(None) };
        let Some((port, schema)) = &self.route else { return Err(self.fatal(batch, first)) };
        let rows: UInt32Array = failures.iter().map(|f| f.row as u32).collect();
        let failed = batch.take(&rows)?;
        let (DataType::Struct(fields), Some(_)) = (schema.field(0).data_type(), schema.fields().get(2))
        else {
            return Err(Error::internal("error rows have no `element`"));
        };
        let element = StructArray::try_new_with_length(
            fields.clone(),
            failed.rows.columns().to_vec(),
            None,
            failures.len(),
        )?;
        let columns: Vec<ArrayRef> = vec![
            Arc::new(element),
            Arc::new(failures.iter().map(|f| Some(f.message.as_str())).collect::<StringArray>()),
            Arc::new(failures.iter().map(|f| Some(f.stack.as_str())).collect::<StringArray>()),
        ];
        cx.fates.dead += failures.len() as u64;
        cx.emit(*port, failed.with_rows(RecordBatch::try_new(schema.clone(), columns)?));
        let mut good = vec![true; batch.len()];
        for f in &failures {
            if let Some(g) = good.get_mut(f.row) {
                *g = false;
            }
        }
        Ok(Some(good.into()))
    }

    fn count(&mut self, batch: &Batch, failures: &[Failure]) {
        if self.threshold.is_none() {
            return;
        }
        let mut counts = vec![(0, 0); batch.windows.values().len()];
        for row in 0..batch.len() {
            if let Some((rows, _)) = counts.get_mut(batch.windows.key(row)) {
                *rows += 1;
            }
        }
        for f in failures {
            if let Some((_, failed)) = counts.get_mut(batch.windows.key(f.row)) {
                *failed += 1;
            }
        }
        for (window, (rows, failed)) in
            batch.windows.values().iter().zip(counts).filter(|(_, (rows, _))| *rows > 0)
        {
            let new = || Counts { window: window.clone(), rows: 0, failed: 0 };
            let counts = self.seen.entry(Arc::from(window_key(window)), new);
            counts.rows += rows;
            counts.failed += failed;
        }
    }

    /// The tables that hold its counts.
    pub(crate) fn tables(&mut self) -> Vec<&mut dyn StateTable> {
        match self.threshold {
            Some(_) => vec![&mut self.seen],
            None => Vec::new(),
        }
    }

    fn fatal(&self, batch: &Batch, f: &Failure) -> Error {
        let row = json::row_text(&batch.rows, f.row, ROW_CHARS_MAX);
        Error::data(format!("{}; the row was {row}", f.message)).in_place(&self.label)
    }

    /// Checks the windows that the watermark has passed.
    ///
    /// # Errors
    /// More rows of a window failed than the threshold allows.
    pub(crate) fn on_watermark(&mut self, cx: &OpCx) -> Result<()> {
        self.check(cx.watermark)
    }

    /// Checks all windows.
    ///
    /// # Errors
    /// More rows of a window failed than the threshold allows.
    pub(crate) fn on_end(&mut self) -> Result<()> {
        self.check(EventTime::MAX)
    }

    fn check(&mut self, watermark: EventTime) -> Result<()> {
        let Some(threshold) = self.threshold else { return Ok(()) };
        let over = self.seen.iter().filter(|(_, c)| c.window.end() <= watermark);
        let mut over: Vec<(Arc<[u8]>, Counts)> = over.map(|(k, c)| (Arc::clone(k), c.clone())).collect();
        over.iter().for_each(|(key, _)| drop(self.seen.remove(key)));
        over.retain(|(_, c)| c.failed as f64 > threshold * c.rows as f64);
        let first = over.into_iter().map(|(_, c)| c).min_by(|a, b| a.window.cmp(&b.window));
        let Some(Counts { window, rows, failed }) = first else { return Ok(()) };
        let place = match window {
            Window::Global => String::new(),
            w => format!(" of window {}", crate::python::window_text(&w)),
        };
        let text =
            format!("{failed} of {rows} rows{place} failed: more than the threshold of {threshold} allows");
        Err(Error::data(text).in_place(&self.label))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use purlin_api::testing;

    fn errors(route: bool, threshold: Option<f64>) -> Errors {
        let shape = testing::shape_of(r#"[{"a": 1}]"#).unwrap();
        let output = route.then(|| ("bad".to_owned(), error_shape(&shape)));
        Policy { output, threshold }.start(1, "T")
    }

    #[test]
    fn failed_rows_keep_their_place_and_reason() {
        let batch =
            testing::batch(r#"[{"a": 1, "time": 5}, {"a": 2, "time": 6}, {"a": 3, "time": 7}]"#).unwrap();
        let batch = batch.with_rows(batch.rows.project(&[0]).unwrap());
        let mut cx = OpCx::new(10);
        let failures =
            vec![Failure::raised(2, "ValueError", "it's"), Failure::raised(2, "KeyError", "second")];
        let good = errors(true, None).split(&batch, failures, &mut cx).unwrap().unwrap();
        assert_eq!(good, BooleanArray::from(vec![true, true, false]));
        let (port, bad) = &cx.outputs[0];
        assert_eq!((*port, bad.times.get(0), cx.fates.dead), (1, EventTime::from_seconds(7), 1));
        assert_eq!(
            json::row_to_json(&bad.rows, 0).to_string(),
            r#"{"element":{"a":3},"msg":"ValueError(\"it's\")","stack":"ValueError(\"it's\")"}"#
        );
    }

    #[test]
    fn without_an_error_output_the_run_fails() {
        let batch = testing::batch(r#"[{"a": 1}]"#).unwrap();
        let failure = vec![Failure::raised(0, "ValueError", "no")];
        let e = errors(false, None).split(&batch, failure, &mut OpCx::new(10)).unwrap_err();
        assert_eq!(e.to_string(), r#"transform `T`: ValueError('no'); the row was {"a":1}"#);
    }

    #[test]
    fn a_threshold_is_strict_and_per_window() {
        let mut errors = errors(true, Some(0.5));
        let mut batch = testing::batch(r#"[{"a": 1}, {"a": 2}]"#).unwrap();
        batch.windows = purlin_api::Dict::one(Window::interval(0, 10));
        let mut cx = OpCx::new(10);
        errors.split(&batch, vec![Failure::raised(0, "E", "x")], &mut cx).unwrap();
        cx.watermark = EventTime(10);
        errors.on_watermark(&cx).unwrap();
        batch.windows = purlin_api::Dict::one(Window::interval(10, 20));
        let both = vec![Failure::raised(0, "E", "x"), Failure::raised(1, "E", "x")];
        errors.split(&batch, both, &mut cx).unwrap();
        cx.watermark = EventTime(19);
        errors.on_watermark(&cx).unwrap();
        let e = errors.on_end().unwrap_err();
        assert!(e.message().contains("2 of 2 rows") && e.message().contains("threshold of 0.5"), "{e}");
    }
}
