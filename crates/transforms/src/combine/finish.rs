//! What is computed of the results of an aggregation.

use crate::errors::{Errors, Policy};
use crate::expressions::Compiled;
use arrow_array::{RecordBatch, RecordBatchOptions};
use arrow_schema::{Field, Schema, SchemaRef};
use purlin_api::shape::physical;
use purlin_api::{Batch, BuildCx, More, OpCx, Operator, Port, Result, StateTable, TimerId};
use purlin_grouping::aggregate::OUT;
use std::sync::Arc;

/// Columns that are computed of the results of an aggregation and take the place of the aggregates.
#[derive(Clone, Debug)]
pub(super) struct Finish {
    columns: Arc<[(String, Compiled)]>,
    schema: SchemaRef,
}

impl Finish {
    /// Of these columns, over results whose first `keys` columns and last ones, beyond `aggregates`, stay. The
    /// expressions are over the results' columns.
    pub(super) fn new(columns: Vec<(String, Compiled)>) -> Self {
        Finish { columns: columns.into(), schema: Arc::new(Schema::empty()) }
    }

    /// The same, followed by what the results have after keys and aggregates (the mark of retractions).
    pub(super) fn over(mut self, results: &Schema) -> Self {
        let mut columns = self.columns.to_vec();
        if let Some((at, mark)) = results.fields().find(purlin_grouping::aggregate::RETRACTION) {
            columns.push((mark.name().clone(), Compiled::column(at, mark)));
        }
        let fields: Vec<Field> = columns.iter().map(|(name, c)| c.field(name)).collect();
        self.schema = Arc::new(Schema::new(fields));
        self.columns = columns.into();
        self
    }

    /// The columns that leave.
    pub(super) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// For `explain`: `name = expression` of what is more than a column.
    pub(super) fn describe(&self, results: &Schema) -> Vec<String> {
        let computed = self.columns.iter().filter(|(_, c)| c.as_column().is_none());
        computed.map(|(name, c)| format!("then {name} = {}", c.describe(results))).collect()
    }

    /// An aggregation followed by this, if there is any.
    pub(super) fn after(
        finish: Option<&Finish>,
        inner: Box<dyn Operator>,
        cx: &BuildCx,
    ) -> Box<dyn Operator> {
        let Some(finish) = finish else { return inner };
        Box::new(Finishing {
            inner,
            physical: physical(&finish.schema),
            columns: finish.columns.clone(),
            errors: Policy::default().start(0, &cx.label),
        })
    }
}

struct Finishing {
    inner: Box<dyn Operator>,
    columns: Arc<[(String, Compiled)]>,
    physical: SchemaRef,
    errors: Errors,
}

impl Finishing {
    /// Computes the columns of what was emitted since the outputs were `from` many.
    fn finish(&mut self, from: usize, more: More, cx: &mut OpCx) -> Result<More> {
        let emitted = cx.outputs.split_off(from.min(cx.outputs.len()));
        for (port, batch) in emitted {
            let batch = if port == OUT { self.computed(&batch, cx)? } else { batch };
            cx.outputs.push((port, batch));
        }
        Ok(more)
    }

    fn computed(&mut self, batch: &Batch, cx: &mut OpCx) -> Result<Batch> {
        let mut failures = Vec::new();
        let columns = self.columns.iter().map(|(_, c)| c.eval(&batch.rows, cx.now, &mut failures));
        let columns = columns.collect::<Result<Vec<_>>>()?;
        // There is no error output: a failure ends the run here.
        self.errors.split(batch, failures, cx)?;
        let options = RecordBatchOptions::new().with_row_count(Some(batch.len()));
        Ok(batch.with_rows(RecordBatch::try_new_with_options(self.physical.clone(), columns, &options)?))
    }
}

impl Operator for Finishing {
    fn on_batch(&mut self, port: Port, batch: Batch, cx: &mut OpCx) -> Result<More> {
        let from = cx.outputs.len();
        let more = self.inner.on_batch(port, batch, cx)?;
        self.finish(from, more, cx)
    }

    fn on_watermark(&mut self, cx: &mut OpCx) -> Result<More> {
        let from = cx.outputs.len();
        let more = self.inner.on_watermark(cx)?;
        self.finish(from, more, cx)
    }

    fn on_timer(&mut self, id: TimerId, cx: &mut OpCx) -> Result<More> {
        let from = cx.outputs.len();
        let more = self.inner.on_timer(id, cx)?;
        self.finish(from, more, cx)
    }

    fn resume(&mut self, cx: &mut OpCx) -> Result<More> {
        let from = cx.outputs.len();
        let more = self.inner.resume(cx)?;
        self.finish(from, more, cx)
    }

    fn on_end(&mut self, cx: &mut OpCx) -> Result<More> {
        let from = cx.outputs.len();
        let more = self.inner.on_end(cx)?;
        self.finish(from, more, cx)
    }

    fn tables(&mut self) -> Vec<&mut dyn StateTable> {
        self.inner.tables()
    }

    fn restored(&mut self, cx: &mut OpCx) -> Result<()> {
        self.inner.restored(cx)
    }
}
