//! Error rows of different makers on one output.

use arrow_schema::{Fields, Schema, SchemaRef};
use purlin_api::shape::physical;
use purlin_api::unite::{conform, unite_fields};
use purlin_api::{
    Batch, BuildCx, More, OpCx, Operator, Output, OutputRole, PlanNode, Port, Result, Running, Shape,
};
use std::sync::Arc;

/// Puts the rows of all inputs on one output.
#[derive(Clone, Debug)]
pub(crate) struct MergeErrors {
    outputs: [Output; 1],
}

/// A node that merges inputs of these shapes. A field of `element` that only some have is null for the
/// others (and marked, see [`purlin_api::unite::OPTIONAL_KEY`]); one that has two types becomes JSON text.
pub(crate) fn merge(tag: &str, inputs: &[Shape]) -> MergeErrors {
    let mut fields = Fields::empty();
    for (i, shape) in inputs.iter().enumerate() {
        let of = shape.schema.fields();
        // With `mix`, everything unites.
        fields = if i == 0 { of.clone() } else { unite_fields(&fields, of, true).unwrap_or(fields) };
    }
    let windowing =
        inputs.first().map_or_else(|| Arc::new(purlin_api::Windowing::global()), |s| s.windowing.clone());
    let schema = Arc::new(Schema::new(fields));
    let shape = Shape { schema, windowing, bounded: inputs.iter().all(|s| s.bounded) };
    MergeErrors { outputs: [Output { tag: tag.to_owned(), shape, role: OutputRole::Error }] }
}

impl MergeErrors {
    pub(crate) fn shape(&self) -> &Shape {
        let [output] = &self.outputs;
        &output.shape
    }
}

impl PlanNode for MergeErrors {
    fn outputs(&self) -> &[Output] {
        &self.outputs
    }

    fn explain(&self) -> String {
        "error rows of all inputs".to_owned()
    }

    fn build(&self, _: &BuildCx) -> Result<Running> {
        Ok(Running::Operator(Box::new(MergeOperator { schema: physical(&self.shape().schema) })))
    }
}

struct MergeOperator {
    schema: SchemaRef,
}

impl Operator for MergeOperator {
    fn on_batch(&mut self, _: Port, batch: Batch, cx: &mut OpCx) -> Result<More> {
        cx.fates.passed += batch.len() as u64;
        cx.emit(0, batch.with_rows(conform(&batch.rows, &self.schema)?));
        Ok(More::No)
    }
}

#[cfg(test)]
mod tests;
