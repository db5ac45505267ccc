//! `StripErrorMetadata`: the failed row without the reason.

use crate::common::{find, names, only_input};
use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions};
use arrow_schema::{DataType, Schema, SchemaRef};
use purlin_api::shape::physical;
use purlin_api::{
    Batch, BindCx, BuildCx, Entry, Error, InputShape, More, OpCx, Operator, Output, OutputRole, PlanNode,
    Port, Result, Running, Shape, Transform,
};
use purlin_spec::vocabulary::{Inputs, TransformDef};
use purlin_spec::{Config, Diagnostic, FromNode, suggest};
use std::sync::Arc;

purlin_spec::config! {
    /// Turns rows of an error output back into the rows that failed, to mend them or to keep them.
    ///
    /// The result is what the field `failed_row`, `element` or `record` (the first of them that exists)
    /// holds; `msg` and `stack` are dropped.
    ///
    /// ```yaml
    /// - type: StripErrorMetadata
    ///   input: Parse.errors
    /// ```
    pub struct StripErrorMetadata {}
}

/// Where error outputs keep the failed row, as Beam looks for it.
const FIELDS: [&str; 3] = ["failed_row", "element", "record"];

/// What the catalogue knows of it.
pub(crate) fn entry() -> Entry {
    Entry {
        def: TransformDef {
            name: "StripErrorMetadata",
            doc: StripErrorMetadata::doc(),
            inputs: Inputs::One,
            error_handling: false,
            fields: StripErrorMetadata::fields,
        },
        decode: |node, d| StripErrorMetadata::from_node(node, d).map(|t| Arc::new(t) as Arc<dyn Transform>),
    }
}

impl Transform for StripErrorMetadata {
    fn bind(&self, inputs: &[InputShape], cx: &mut BindCx<'_>) -> Option<Arc<dyn PlanNode>> {
        let input = only_input(inputs, cx)?;
        let schema = &input.shape.schema;
        let Some(at) = FIELDS.iter().find_map(|name| find(schema, name)) else {
            cx.diagnostics.push(
                Diagnostic::error(
                    "input/not-an-error-output",
                    input.span,
                    "this input is not an error output",
                )
                .label(format!("it has: {}", suggest::listed(names(schema))))
                .help(format!(
                    "an error output has a field {}; read `NAME.errors`, where `errors` is what \
                        `error_handling.output` of NAME says",
                    FIELDS.join(" or ")
                )),
            );
            return None;
        };
        let field = schema.field(at);
        let inner = match field.data_type() {
            DataType::Struct(fields) => {
                let fields = fields.iter().map(|f| match field.is_nullable() {
                    true => Arc::new(f.as_ref().clone().with_nullable(true)),
                    false => f.clone(),
                });
                Schema::new(fields.collect::<Vec<_>>())
            }
            _ => Schema::new(vec![field.clone()]),
        };
        let shape = input.shape.with_schema(Arc::new(inner));
        let outputs = vec![Output { tag: "out".to_owned(), shape, role: OutputRole::Main }];
        Some(Arc::new(StripNode { outputs, at, name: field.name().clone() }))
    }
}

#[derive(Debug)]
struct StripNode {
    outputs: Vec<Output>,
    at: usize,
    name: String,
}

impl PlanNode for StripNode {
    fn outputs(&self) -> &[Output] {
        &self.outputs
    }

    fn explain(&self) -> String {
        format!("the row in {}", self.name)
    }

    fn columns_needed(&self, _: &[Vec<bool>], inputs: &[Shape]) -> Vec<Vec<bool>> {
        inputs.iter().map(|s| (0..s.schema.fields().len()).map(|i| i == self.at).collect()).collect()
    }

    fn build(&self, _: &BuildCx) -> Result<Running> {
        let schema = self.outputs.first().map(|o| physical(&o.shape.schema));
        let schema = schema.ok_or_else(|| Error::internal("no output"))?;
        Ok(Running::Operator(Box::new(Strip { at: self.at, schema })))
    }
}

#[derive(Debug)]
struct Strip {
    at: usize,
    schema: SchemaRef,
}

impl Operator for Strip {
    fn on_batch(&mut self, _: Port, batch: Batch, cx: &mut OpCx) -> Result<More> {
        let column =
            batch.rows.columns().get(self.at).ok_or_else(|| Error::internal("the failed row is missing"))?;
        let columns = match column.as_struct_opt() {
            Some(rows) => {
                // A null row is a row of nulls.
                let missing =
                    rows.nulls().filter(|n| n.null_count() > 0).map(|n| BooleanArray::new(!n.inner(), None));
                let children = rows.columns().iter().map(|c| match &missing {
                    Some(missing) if c.data_type() != &DataType::Null => {
                        arrow_select::nullif::nullif(c, missing)
                    }
                    _ => Ok(c.clone()),
                });
                children.collect::<std::result::Result<Vec<ArrayRef>, _>>()?
            }
            None => vec![column.clone()],
        };
        let options = RecordBatchOptions::new().with_row_count(Some(batch.len()));
        let rows = RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)?;
        cx.fates.passed += batch.len() as u64;
        cx.emit(0, batch.with_rows(rows));
        Ok(More::No)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use purlin_api::testing;

    #[test]
    fn the_failed_row_comes_back() {
        let rows = r#"[{"element": {"a": 1, "b": "x"}, "msg": "m", "stack": "s"}, {"element": null, "msg": "m", "stack": "s"}]"#;
        let (node, driver) = testing::run(&StripErrorMetadata {}, &[rows], false).unwrap();
        assert_eq!(driver.rows(0), [r#"{"a":1,"b":"x"}"#, r#"{"a":null,"b":null}"#]);
        let shape = testing::shape_of(rows).unwrap();
        assert_eq!(node.columns_needed(&[], &[shape]), [vec![true, false, false]]);
    }

    #[test]
    fn plain_values_stay_in_their_field_and_other_inputs_are_refused() {
        let (_, driver) =
            testing::run(&StripErrorMetadata {}, &[r#"[{"record": "raw", "error": 1}]"#], false).unwrap();
        assert_eq!(driver.rows(0), [r#"{"record":"raw"}"#]);
        let e = testing::run(&StripErrorMetadata {}, &[r#"[{"a": 1}]"#], false).unwrap_err();
        assert!(e.contains("error output") && e.contains("it has: a"), "{e}");
    }
}
