//! `Explode`: a row for each value of a list.

mod lists;

use crate::common::{known_field, need, only_input, read_columns};
use crate::errors::{Errors, Policy};
use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow_schema::{Schema, SchemaRef};
use lists::Lists;
use purlin_api::shape::{physical, type_name};
use purlin_api::{
    Batch, BindCx, BuildCx, Distribution, Entry, Error, InputShape, More, OpCx, Operator, Output, PlanNode,
    Port, Result, Running, Shape, StateShape, StateTable, Transform,
};
use purlin_spec::config::{OneOrMany, Spanned};
use purlin_spec::types::ErrorHandling;
use purlin_spec::vocabulary::{Inputs, TransformDef};
use purlin_spec::{Config, Diagnostic, FromNode};
use std::sync::Arc;

purlin_spec::config! {
    /// Makes a row for each value of a list: a row with `tags: [a, b]` becomes two, with `tags: a` and
    /// `tags: b`. All other fields are copied. A row whose list is empty gives no row.
    ///
    /// Text explodes into its characters. A null where a list should be fails the row.
    ///
    /// ```yaml
    /// - type: Explode
    ///   input: Orders
    ///   config:
    ///     fields: [items, prices]
    ///     cross_product: false
    /// ```
    pub struct Explode {
        /// The field, or fields, that hold lists.
        pub fields: OneOrMany<Spanned<String>>,
        /// With several fields: `true` makes a row for each combination of their values, `false` puts the
        /// first values together, then the second ones, with nulls where a list is shorter. Must be given
        /// when there are several fields.
        pub cross_product: Option<bool>,
        /// Where rows go that have no list.
        pub error_handling: Option<ErrorHandling>,
    }
}

/// What the catalogue knows of it.
pub(crate) fn entry() -> Entry {
    Entry {
        def: TransformDef {
            name: "Explode",
            doc: Explode::doc(),
            inputs: Inputs::One,
            error_handling: true,
            fields: Explode::fields,
        },
        decode: |node, d| Explode::from_node(node, d).map(|t| Arc::new(t) as Arc<dyn Transform>),
    }
}

impl Transform for Explode {
    fn bind(&self, inputs: &[InputShape], cx: &mut BindCx<'_>) -> Option<Arc<dyn PlanNode>> {
        let input = only_input(inputs, cx)?;
        let schema = &input.shape.schema;
        let mut fields: Vec<_> = schema.fields().iter().cloned().collect();
        let mut columns = Vec::new();
        let cross = self.cross_product.unwrap_or(true);
        let mut good = true;
        if self.cross_product.is_none() && self.fields.0.len() > 1 {
            good = false;
            cx.diagnostics.push(
                Diagnostic::error(
                    "explode/cross-product",
                    cx.span,
                    "`cross_product` must be given for several fields",
                )
                .help("`true` makes all combinations, `false` pairs first with first, second with second"),
            );
        }
        for name in &self.fields.0 {
            let Some(at) = known_field(name, schema, cx) else {
                good = false;
                continue;
            };
            let field = schema.field(at);
            match lists::item(field) {
                Some(item) if !columns.contains(&at) => {
                    let nullable = item.is_nullable() || !cross;
                    if let Some(f) = fields.get_mut(at) {
                        *f = Arc::new(item.with_nullable(nullable));
                    }
                    columns.push(at);
                }
                // Given twice: its values are gone after the first time.
                Some(_) => {
                    good = false;
                    let text = format!("field `{}` is given twice", name.value);
                    cx.diagnostics.push(Diagnostic::error("explode/twice", name.span, text));
                }
                None => {
                    good = false;
                    cx.diagnostics.push(
                        Diagnostic::error(
                            "explode/not-a-list",
                            name.span,
                            format!("field `{}` is not a list", name.value),
                        )
                        .label(format!("it is {}", type_name(field))),
                    );
                }
            }
        }
        let policy = Policy::bind(self.error_handling.as_ref(), &input.shape, cx)?;
        if !good {
            return None;
        }
        let main = input.shape.with_schema(Arc::new(Schema::new(fields)));
        Some(Arc::new(ExplodeNode {
            outputs: policy.outputs(main),
            input: schema.clone(),
            columns,
            cross,
            policy,
        }))
    }
}

#[derive(Debug)]
struct ExplodeNode {
    outputs: Vec<Output>,
    input: SchemaRef,
    /// The places of the fields to explode, in the order given.
    columns: Vec<usize>,
    cross: bool,
    policy: Policy,
}

impl PlanNode for ExplodeNode {
    fn outputs(&self) -> &[Output] {
        &self.outputs
    }

    fn explain(&self) -> String {
        let names: Vec<&str> = self
            .columns
            .iter()
            .filter_map(|c| self.input.fields().get(*c))
            .map(|f| f.name().as_str())
            .collect();
        let how = match (names.len(), self.cross) {
            (0 | 1, _) => "",
            (_, true) => ", all combinations",
            (_, false) => ", side by side",
        };
        format!("{}{how}{}", names.join(", "), self.policy.explain())
    }

    fn distribution(&self, _: usize) -> Distribution {
        self.policy.distribution()
    }

    fn columns_needed(&self, outputs: &[Vec<bool>], inputs: &[Shape]) -> Vec<Vec<bool>> {
        if self.policy.is_read(outputs, 1) {
            return vec![crate::common::all_columns(inputs.first())];
        }
        let mut columns = read_columns(outputs, 0, self.input.fields().len());
        self.columns.iter().for_each(|c| need(&mut columns, *c));
        vec![columns]
    }

    fn state(&self) -> Option<StateShape> {
        self.policy.state()
    }

    fn build(&self, cx: &BuildCx) -> Result<Running> {
        let output = self.outputs.first().ok_or_else(|| Error::internal("no output"))?;
        Ok(Running::Operator(Box::new(ExplodeOperator {
            schema: physical(&output.shape.schema),
            columns: self.columns.clone(),
            cross: self.cross,
            errors: self.policy.start(1, &cx.label),
            pending: None,
        })))
    }
}

#[derive(Debug)]
struct ExplodeOperator {
    schema: SchemaRef,
    columns: Vec<usize>,
    cross: bool,
    errors: Errors,
    pending: Option<Pending>,
}

/// A batch that is being exploded: lists may be long, so the result comes in pieces.
#[derive(Debug)]
struct Pending {
    batch: Batch,
    /// The values of each exploded field.
    lists: Vec<Lists>,
    row: usize,
    /// How many results the row gave already.
    done: u64,
}

impl Pending {
    /// How many rows a row becomes.
    fn results(&self, row: usize, cross: bool) -> u64 {
        let lengths = self.lists.iter().map(|l| l.length(row) as u64);
        if cross { lengths.fold(1, u64::saturating_mul) } else { lengths.max().unwrap_or(0) }
    }

    /// Where in its list the value of each field is for result `n` of the row; the first field turns slowest.
    fn places(&self, row: usize, n: u64, cross: bool, out: &mut [Vec<Option<u32>>]) {
        let mut rest = n;
        for (list, out) in self.lists.iter().zip(out).rev() {
            let length = list.length(row) as u64;
            let place = if cross { rest.checked_rem(length) } else { Some(n).filter(|n| *n < length) };
            if cross {
                rest = rest.checked_div(length).unwrap_or(0);
            }
            out.push(place.map(|p| list.start(row) + p as u32));
        }
    }
}

impl ExplodeOperator {
    fn step(&mut self, cx: &mut OpCx) -> Result<More> {
        let Some(mut pending) = self.pending.take() else { return Ok(More::No) };
        let mut parents: Vec<u32> = Vec::new();
        let mut places = vec![Vec::new(); pending.lists.len()];
        let room = cx.rows_max.max(1);
        while pending.row < pending.batch.len() && parents.len() < room {
            let results = pending.results(pending.row, self.cross);
            while pending.done < results && parents.len() < room {
                parents.push(pending.row as u32);
                pending.places(pending.row, pending.done, self.cross, &mut places);
                pending.done += 1;
            }
            if pending.done == results {
                cx.fates.in_state = cx.fates.in_state.saturating_sub(1);
                let fate = if results == 0 { &mut cx.fates.filtered } else { &mut cx.fates.passed };
                *fate += 1;
                pending.row += 1;
                pending.done = 0;
            }
        }
        if !parents.is_empty() {
            let batch = self.rows(&pending, parents, places)?;
            cx.emit(0, batch);
        }
        if pending.row < pending.batch.len() {
            self.pending = Some(pending);
            return Ok(More::Yes);
        }
        Ok(More::No)
    }

    fn rows(&self, pending: &Pending, parents: Vec<u32>, places: Vec<Vec<Option<u32>>>) -> Result<Batch> {
        let rows = parents.len();
        let taken = pending.batch.take(&UInt32Array::from(parents))?;
        let mut columns: Vec<ArrayRef> = taken.rows.columns().to_vec();
        for ((at, list), places) in self.columns.iter().zip(&pending.lists).zip(places) {
            if let Some(column) = columns.get_mut(*at) {
                *column = arrow_select::take::take(list.values(), &UInt32Array::from(places), None)?;
            }
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        Ok(taken.with_rows(RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)?))
    }
}

impl Operator for ExplodeOperator {
    fn on_batch(&mut self, _: Port, batch: Batch, cx: &mut OpCx) -> Result<More> {
        let schema = batch.schema();
        let mut failures = Vec::new();
        let mut all = Vec::new();
        for at in &self.columns {
            let (Some(column), Some(field)) = (batch.rows.columns().get(*at), schema.fields().get(*at))
            else {
                return Err(Error::internal("a field to explode is missing"));
            };
            all.push(Lists::of(field, column, &mut failures)?);
        }
        let good = self.errors.split(&batch, failures, cx)?;
        let (batch, lists) = match good {
            None => (batch, all),
            Some(good) => {
                let kept: Vec<usize> = (0..batch.len()).filter(|row| good.value(*row)).collect();
                (batch.filter(&good)?, all.into_iter().map(|l| l.keep(&kept)).collect())
            }
        };
        cx.fates.in_state += batch.len() as u64;
        self.pending = Some(Pending { batch, lists, row: 0, done: 0 });
        self.step(cx)
    }

    fn resume(&mut self, cx: &mut OpCx) -> Result<More> {
        self.step(cx)
    }

    fn on_watermark(&mut self, cx: &mut OpCx) -> Result<More> {
        self.errors.on_watermark(cx)?;
        Ok(More::No)
    }

    fn on_end(&mut self, _: &mut OpCx) -> Result<More> {
        self.errors.on_end()?;
        Ok(More::No)
    }

    fn tables(&mut self) -> Vec<&mut dyn StateTable> {
        self.errors.tables()
    }
}

#[cfg(test)]
mod tests;
