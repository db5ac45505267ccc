//! A bound `Combine`, and its two steps.

use super::finish::Finish;
use super::value::Value;
use crate::common::{all_columns, need, read_columns};
use crate::errors::{Errors, Policy};
use crate::worker::visible;
use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use purlin_api::shape::physical;
use purlin_api::state::own_slot;
use purlin_api::transform::Lifted;
use purlin_api::{
    Batch, BuildCx, Distribution, Error, More, OpCx, Operator, Output, OutputRole, PlanNode, Port, Result,
    Running, Shape, StateShape, StateTable, TimerId,
};
use purlin_grouping::aggregate::{Aggregate, Partial};
use std::sync::Arc;

/// Values that are computed from a row before it is aggregated, as further columns.
#[derive(Clone, Debug)]
pub(super) struct Computed {
    /// The row and the computed columns.
    pub(super) schema: SchemaRef,
    pub(super) values: Arc<[Value]>,
}

impl Computed {
    fn add(&self, batch: Batch, physical: &SchemaRef, errors: &mut Errors, cx: &mut OpCx) -> Result<Batch> {
        if self.values.is_empty() {
            return Ok(batch);
        }
        let mut failures = Vec::new();
        let (all, batch) = visible(batch)?;
        let mut columns = batch.rows.columns().to_vec();
        for value in self.values.iter() {
            columns.push(value.eval(&batch, &all, cx.now, &mut failures)?);
        }
        // There is no error output: a failure ends the run here.
        errors.split(&batch, failures, cx)?;
        let rows = RecordBatch::try_new(physical.clone(), columns)?;
        Ok(batch.with_rows(rows))
    }

    /// Marks the columns of the row that keys and aggregates need.
    fn columns_needed(&self, aggregate: &Aggregate, row_columns: usize) -> Vec<bool> {
        let mut columns = vec![false; row_columns];
        aggregate.keys().iter().for_each(|k| need(&mut columns, *k));
        for a in aggregate.aggregations() {
            let column = a.column.filter(|c| *c < row_columns);
            column.into_iter().for_each(|c| need(&mut columns, c));
        }
        let values = self.values.iter().flat_map(|v| v.columns(row_columns));
        values.for_each(|c| need(&mut columns, c));
        columns
    }
}

fn keyed(keys: &[usize]) -> Distribution {
    if keys.is_empty() { Distribution::Single } else { Distribution::Keyed(keys.to_vec()) }
}

/// The whole aggregation.
#[derive(Debug)]
pub(super) struct CombineNode {
    pub(super) outputs: Vec<Output>,
    pub(super) input: Shape,
    pub(super) aggregate: Aggregate,
    pub(super) computed: Computed,
    pub(super) finish: Option<Finish>,
}

impl CombineNode {
    fn text(&self) -> String {
        let row = &self.input.schema;
        let name = |i: usize| self.computed.schema.fields().get(i).map_or("", |f| f.name().as_str());
        let value = |i: usize| match i.checked_sub(row.fields().len()) {
            None => name(i).to_owned(),
            Some(n) => self.computed.values.get(n).map_or_else(String::new, |v| v.describe(row)),
        };
        let keys: Vec<&str> = self.aggregate.keys().iter().map(|k| name(*k)).collect();
        let keys =
            if keys.is_empty() { "all rows".to_owned() } else { format!("group_by {}", keys.join(", ")) };
        let mut parts = vec![keys];
        for a in self.aggregate.aggregations() {
            let what = a.column.map(value).unwrap_or_default();
            let call = format!("{}({what})", a.function.name());
            parts.push(if what == a.name { call } else { format!("{} = {call}", a.name) });
        }
        parts.extend(self.finish.iter().flat_map(|f| f.describe(self.aggregate.output())));
        parts.join("; ")
    }

    /// What its state means. Not what is computed of the results: that may change.
    fn means(&self) -> String {
        let row = &self.input.schema;
        self.aggregate.means(|column| match column.checked_sub(row.fields().len()) {
            None => row.fields().get(column).map_or_else(String::new, |f| f.name().clone()),
            Some(n) => self.computed.values.get(n).map_or_else(String::new, |v| v.written(row)),
        })
    }
}

impl PlanNode for CombineNode {
    fn outputs(&self) -> &[Output] {
        &self.outputs
    }

    fn explain(&self) -> String {
        self.text()
    }

    fn distribution(&self, _: usize) -> Distribution {
        keyed(self.aggregate.keys())
    }

    fn columns_needed(&self, outputs: &[Vec<bool>], _: &[Shape]) -> Vec<Vec<bool>> {
        let width = self.input.schema.fields().len();
        let mut columns = self.computed.columns_needed(&self.aggregate, width);
        if self.outputs.len() > 1 {
            for (c, late) in columns.iter_mut().zip(read_columns(outputs, 1, width)) {
                *c |= late;
            }
        }
        vec![columns]
    }

    fn lift(&self) -> Option<Lifted> {
        // Late rows are counted one by one; a partial step would count the pieces it made of them.
        if !self.input.bounded {
            return None;
        }
        // An aggregation that cannot be split runs whole; if it cannot run at all, `build` says why.
        let lift = self.aggregate.lift().ok().flatten()?;
        let shape = self.input.with_schema(lift.partial.output().clone());
        let partial = PartialNode {
            outputs: vec![Output { tag: "out".to_owned(), shape, role: OutputRole::Main }],
            text: self.text(),
            means: self.means(),
            needed: self.computed.columns_needed(&self.aggregate, self.input.schema.fields().len()),
            partial: lift.partial,
            computed: self.computed.clone(),
        };
        let complete = CompleteNode {
            outputs: self.outputs.clone(),
            text: self.text(),
            means: self.means(),
            aggregate: lift.complete,
            finish: self.finish.clone(),
        };
        Some(Lifted { partial: Arc::new(partial), complete: Arc::new(complete) })
    }

    fn state(&self) -> Option<StateShape> {
        Some(StateShape::new(self.means()))
    }

    fn build(&self, cx: &BuildCx) -> Result<Running> {
        let inner = Finish::after(self.finish.as_ref(), Box::new(self.aggregate.operator()?), cx);
        Ok(operator(inner, &self.computed, cx))
    }
}

fn operator(inner: Box<dyn Operator>, computed: &Computed, cx: &BuildCx) -> Running {
    if computed.values.is_empty() {
        return Running::Operator(inner);
    }
    Running::Operator(Box::new(ComputeFirst {
        inner,
        physical: physical(&computed.schema),
        computed: computed.clone(),
        errors: Policy::default().start(0, &cx.label),
    }))
}

/// The first of two steps, before the shuffle.
#[derive(Debug)]
struct PartialNode {
    outputs: Vec<Output>,
    text: String,
    means: String,
    needed: Vec<bool>,
    partial: Partial,
    computed: Computed,
}

impl PlanNode for PartialNode {
    fn outputs(&self) -> &[Output] {
        &self.outputs
    }

    fn explain(&self) -> String {
        format!("partial: {}", self.text)
    }

    fn columns_needed(&self, _: &[Vec<bool>], _: &[Shape]) -> Vec<Vec<bool>> {
        vec![self.needed.clone()]
    }

    fn state(&self) -> Option<StateShape> {
        Some(StateShape::new(format!("partial: {}", self.means)))
    }

    fn build(&self, cx: &BuildCx) -> Result<Running> {
        let inner = self.partial.operator(own_slot(cx.lane, cx.lanes))?;
        Ok(operator(Box::new(inner), &self.computed, cx))
    }
}

/// The second step, where equal keys meet.
#[derive(Debug)]
struct CompleteNode {
    outputs: Vec<Output>,
    text: String,
    means: String,
    aggregate: Aggregate,
    finish: Option<Finish>,
}

impl PlanNode for CompleteNode {
    fn outputs(&self) -> &[Output] {
        &self.outputs
    }

    fn explain(&self) -> String {
        format!("complete: {}", self.text)
    }

    fn distribution(&self, _: usize) -> Distribution {
        keyed(self.aggregate.keys())
    }

    fn columns_needed(&self, _: &[Vec<bool>], inputs: &[Shape]) -> Vec<Vec<bool>> {
        vec![all_columns(inputs.first())]
    }

    fn state(&self) -> Option<StateShape> {
        Some(StateShape::new(&self.means))
    }

    fn build(&self, cx: &BuildCx) -> Result<Running> {
        Ok(Running::Operator(Finish::after(self.finish.as_ref(), Box::new(self.aggregate.operator()?), cx)))
    }
}

/// Computes values, then hands the rows on.
struct ComputeFirst {
    inner: Box<dyn Operator>,
    physical: SchemaRef,
    computed: Computed,
    errors: Errors,
}

impl Operator for ComputeFirst {
    fn on_batch(&mut self, port: Port, batch: Batch, cx: &mut OpCx) -> Result<More> {
        if port != 0 {
            return Err(Error::internal(format!("an aggregation has no input port {port}")));
        }
        let batch = self.computed.add(batch, &self.physical, &mut self.errors, cx)?;
        self.inner.on_batch(port, batch, cx)
    }

    fn on_watermark(&mut self, cx: &mut OpCx) -> Result<More> {
        self.inner.on_watermark(cx)
    }

    fn on_timer(&mut self, id: TimerId, cx: &mut OpCx) -> Result<More> {
        self.inner.on_timer(id, cx)
    }

    fn resume(&mut self, cx: &mut OpCx) -> Result<More> {
        self.inner.resume(cx)
    }

    fn on_end(&mut self, cx: &mut OpCx) -> Result<More> {
        self.inner.on_end(cx)
    }

    fn tables(&mut self) -> Vec<&mut dyn StateTable> {
        self.inner.tables()
    }

    fn restored(&mut self, cx: &mut OpCx) -> Result<()> {
        self.inner.restored(cx)
    }
}
