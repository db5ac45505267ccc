//! Error rows of different makers on one output: columns that differ become JSON text.

use arrow_array::builder::StringBuilder;
use arrow_array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, new_null_array};
use arrow_schema::{Field, Schema, SchemaRef};
use indexmap::IndexMap;
use purlin_api::json::write_value;
use purlin_api::shape::{any_field, is_any, nullable, physical};
use purlin_api::{
    Batch, BuildCx, Error, More, OpCx, Operator, Output, OutputRole, PlanNode, Port, Result, Running, Shape,
};
use std::sync::Arc;

/// Puts the rows of all inputs on one output.
#[derive(Clone, Debug)]
pub(crate) struct MergeErrors {
    outputs: [Output; 1],
}

/// A node that merges inputs of these shapes, and keeps what they do not have in common as text.
pub(crate) fn merge(tag: &str, inputs: &[Shape]) -> MergeErrors {
    let mut fields: IndexMap<String, Field> = IndexMap::new();
    for shape in inputs {
        for field in shape.schema.fields() {
            let field = nullable(field);
            match fields.get_mut(field.name()) {
                None => {
                    fields.insert(field.name().clone(), field);
                }
                Some(known) if *known == field => {}
                Some(known) => *known = any_field(field.name()),
            }
        }
    }
    let schema = Arc::new(Schema::new(fields.into_values().collect::<Vec<_>>()));
    let windowing =
        inputs.first().map_or_else(|| Arc::new(purlin_api::Windowing::global()), |s| s.windowing.clone());
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
        "error rows of all inputs; columns of different types as text".to_owned()
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
        let schema = batch.rows.schema();
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(self.schema.fields().len());
        for wanted in self.schema.fields() {
            columns.push(match schema.column_with_name(wanted.name()) {
                None => new_null_array(wanted.data_type(), batch.len()),
                Some((i, field)) if is_any(wanted) && !is_any(field) => as_text(batch.rows.column(i), field)?,
                Some((i, _)) => batch.rows.column(i).clone(),
            });
        }
        let options = RecordBatchOptions::new().with_row_count(Some(batch.len()));
        let rows = RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)?;
        cx.fates.passed += batch.len() as u64;
        cx.emit(0, batch.with_rows(rows));
        Ok(More::No)
    }
}

/// A column as JSON text, null where it is null.
fn as_text(column: &ArrayRef, field: &Field) -> Result<ArrayRef> {
    let mut texts = StringBuilder::with_capacity(column.len(), 0);
    let mut json = Vec::new();
    for row in 0..column.len() {
        if column.is_null(row) {
            texts.append_null();
            continue;
        }
        json.clear();
        write_value(field, column.as_ref(), row, &mut json);
        let text = std::str::from_utf8(&json)
            .map_err(|e| Error::internal(format!("column `{}` as JSON is no text: {e}", field.name())))?;
        texts.append_value(text);
    }
    Ok(Arc::new(texts.finish()))
}

#[cfg(test)]
mod tests;
