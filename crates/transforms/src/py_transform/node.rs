//! Filters, and one function for rows, over batches.

use crate::common::{need, read_columns};
use crate::errors::{Errors, Failure, Policy};
use crate::expressions::Compiled;
use crate::filter::truth;
use arrow_array::cast::AsArray;
use arrow_array::{Array, RecordBatch, RecordBatchOptions, StructArray, UInt32Array};
use arrow_schema::SchemaRef;
use purlin_api::shape::physical;
use purlin_api::{
    Batch, BuildCx, Error, More, OpCx, Operator, Output, PlanNode, Port, Result, Running, Shape,
};
use std::sync::Arc;

/// What a row becomes.
#[derive(Clone, Debug)]
pub(super) struct Made {
    pub(super) value: Compiled,
    /// Whether the value is a list of rows, not one.
    pub(super) many: bool,
}

/// A transform that works row by row.
#[derive(Debug)]
pub(super) struct Rows {
    outputs: Vec<Output>,
    input: SchemaRef,
    filters: Arc<[Compiled]>,
    made: Option<Made>,
}

impl Rows {
    pub(super) fn new(input: &Shape, output: SchemaRef, filters: Vec<Compiled>, made: Option<Made>) -> Self {
        let outputs = Policy::default().outputs(input.with_schema(output));
        Rows { outputs, input: input.schema.clone(), filters: filters.into(), made }
    }
}

impl PlanNode for Rows {
    fn outputs(&self) -> &[Output] {
        &self.outputs
    }

    fn explain(&self) -> String {
        let mut parts: Vec<String> =
            self.filters.iter().map(|f| format!("keeps {}", f.describe(&self.input))).collect();
        parts.extend(self.made.as_ref().map(|m| {
            format!("{} {}", if m.many { "rows of" } else { "a row of" }, m.value.describe(&self.input))
        }));
        if parts.is_empty() { "rows pass".to_owned() } else { parts.join(", ") }
    }

    fn columns_needed(&self, outputs: &[Vec<bool>], _: &[Shape]) -> Vec<Vec<bool>> {
        let width = self.input.fields().len();
        let mut columns = match &self.made {
            None => read_columns(outputs, 0, width),
            Some(_) => vec![false; width],
        };
        let read = self.filters.iter().chain(self.made.iter().map(|m| &m.value));
        read.flat_map(Compiled::columns).for_each(|c| need(&mut columns, c));
        vec![columns]
    }

    fn build(&self, cx: &BuildCx) -> Result<Running> {
        let output = self.outputs.first().ok_or_else(|| Error::internal("no output"))?;
        Ok(Running::Operator(Box::new(RowsOperator {
            schema: physical(&output.shape.schema),
            filters: self.filters.clone(),
            made: self.made.clone(),
            errors: Policy::default().start(1, &cx.label),
            pending: None,
        })))
    }
}

#[derive(Debug)]
struct RowsOperator {
    schema: SchemaRef,
    filters: Arc<[Compiled]>,
    made: Option<Made>,
    errors: Errors,
    /// Rows that were made, and how many of them have gone.
    pending: Option<(Batch, usize)>,
}

impl RowsOperator {
    fn kept(&mut self, mut batch: Batch, cx: &mut OpCx) -> Result<Batch> {
        for filter in self.filters.iter() {
            let mut failures = Vec::new();
            let values = filter.eval(&batch.rows, cx.now, &mut failures)?;
            self.errors.split(&batch, failures, cx)?;
            let kept = batch.filter(&truth(&values, filter.is_any()))?;
            cx.fates.filtered += batch.len().saturating_sub(kept.len()) as u64;
            batch = kept;
        }
        Ok(batch)
    }

    fn rows(&self, batch: &Batch, rows: &StructArray) -> Result<Batch> {
        let options = RecordBatchOptions::new().with_row_count(Some(batch.len()));
        let rows = RecordBatch::try_new_with_options(self.schema.clone(), rows.columns().to_vec(), &options)?;
        Ok(batch.with_rows(rows))
    }

    /// One row for each.
    fn one(&mut self, made: &Made, batch: &Batch, cx: &mut OpCx) -> Result<()> {
        let mut failures = Vec::new();
        let values = made.value.eval(&batch.rows, cx.now, &mut failures)?;
        if failures.is_empty() {
            failures.extend((0..values.len()).filter(|row| values.is_null(*row)).map(not_a_row));
        }
        self.errors.split(batch, failures, cx)?;
        let rows = self.rows(batch, values.as_struct())?;
        cx.fates.passed += rows.len() as u64;
        cx.emit(0, rows);
        Ok(())
    }

    /// The rows of a list for each.
    fn many(&mut self, made: &Made, batch: &Batch, cx: &mut OpCx) -> Result<()> {
        let mut failures = Vec::new();
        let values = made.value.eval(&batch.rows, cx.now, &mut failures)?;
        self.errors.split(batch, failures, cx)?;
        let lists = values.as_list::<i32>();
        let (mut parents, mut places, mut failures) = (Vec::new(), Vec::new(), Vec::new());
        for (row, pair) in lists.offsets().windows(2).enumerate() {
            let [from, to] = pair else { continue };
            let (from, to) = (*from as u32, *to as u32);
            failures
                .extend((from..to).find(|at| lists.values().is_null(*at as usize)).map(|_| not_a_row(row)));
            let fate = if from == to { &mut cx.fates.filtered } else { &mut cx.fates.passed };
            *fate += 1;
            parents.extend((from..to).map(|_| row as u32));
            places.extend(from..to);
        }
        self.errors.split(batch, failures, cx)?;
        let rows = arrow_select::take::take(lists.values(), &UInt32Array::from(places), None)?;
        let rows = self.rows(&batch.take(&UInt32Array::from(parents))?, rows.as_struct())?;
        self.pending = Some((rows, 0));
        Ok(())
    }

    /// Emits what was made, a piece at a time: a row may have become many.
    fn step(&mut self, cx: &mut OpCx) -> More {
        let Some((rows, from)) = self.pending.take() else { return More::No };
        let length = cx.rows_max.max(1).min(rows.len() - from);
        if length == 0 {
            return More::No;
        }
        cx.emit(0, rows.slice(from, length));
        if from + length == rows.len() {
            return More::No;
        }
        self.pending = Some((rows, from + length));
        More::Yes
    }
}

/// What a row is that should have become one.
fn not_a_row(row: usize) -> Failure {
    Failure::raised(row, "TypeError", "a function of the PyTransform returned None, not a Row")
}

impl Operator for RowsOperator {
    fn on_batch(&mut self, _: Port, batch: Batch, cx: &mut OpCx) -> Result<More> {
        let batch = self.kept(batch, cx)?;
        match self.made.clone() {
            None => {
                cx.fates.passed += batch.len() as u64;
                cx.emit(0, batch);
            }
            Some(made) if made.many => self.many(&made, &batch, cx)?,
            Some(made) => self.one(&made, &batch, cx)?,
        }
        Ok(self.step(cx))
    }

    fn resume(&mut self, cx: &mut OpCx) -> Result<More> {
        Ok(self.step(cx))
    }
}
