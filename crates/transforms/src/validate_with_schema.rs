//! `ValidateWithSchema`, and the check that `output_schema` puts after any transform.

mod compatible;

use crate::common::{all_columns, only_input};
use crate::errors::{Errors, Failure, Policy};
use arrow_schema::DataType;
use jsonschema::Validator;
use purlin_api::{
    Batch, BindCx, BuildCx, Distribution, Entry, InputShape, More, OpCx, Operator, Output, PlanNode, Port,
    Result, Running, Shape, StateShape, StateTable, Transform, json,
};
use purlin_spec::types::ErrorHandling;
use purlin_spec::vocabulary::{Inputs, TransformDef};
use purlin_spec::{Config, Diagnostic, Diagnostics, FromNode, Kind, Node};
use serde_json::Value;
use std::sync::Arc;

purlin_spec::config! {
    /// Checks every row against a JSON schema and passes it on.
    ///
    /// All of JSON Schema works: `minimum`, `pattern`, `enum`, `required` and so on. Fields that are null
    /// count as missing. What cannot fit, whatever the rows hold (a text field where the schema wants an
    /// integer), is refused before any data is read.
    ///
    /// ```yaml
    /// - type: ValidateWithSchema
    ///   input: People
    ///   config:
    ///     schema:
    ///       type: object
    ///       properties:
    ///         age: {type: integer, minimum: 0, maximum: 150}
    ///       required: [age]
    ///     error_handling: {output: invalid}
    /// ```
    pub struct ValidateWithSchema {
        /// The schema.
        pub schema: JsonSchema,
        /// Where rows go that do not fit.
        pub error_handling: Option<ErrorHandling>,
    }
}

/// A JSON schema as written: a mapping.
#[derive(Clone, Debug)]
pub(crate) struct JsonSchema(Node);

impl FromNode for JsonSchema {
    fn kind() -> Kind {
        Kind::JsonSchema
    }

    fn from_node(node: &Node, d: &mut Diagnostics) -> Option<Self> {
        if node.as_map().is_none() {
            purlin_spec::config::wrong_kind(node, "a JSON schema (a mapping)", d);
            return None;
        }
        Some(JsonSchema(node.clone()))
    }
}

/// What the catalogue knows of it.
pub(crate) fn entry() -> Entry {
    Entry {
        def: TransformDef {
            name: "ValidateWithSchema",
            doc: ValidateWithSchema::doc(),
            inputs: Inputs::One,
            error_handling: true,
            fields: ValidateWithSchema::fields,
        },
        decode: |node, d| ValidateWithSchema::from_node(node, d).map(|t| Arc::new(t) as Arc<dyn Transform>),
    }
}

impl Transform for ValidateWithSchema {
    fn bind(&self, inputs: &[InputShape], cx: &mut BindCx<'_>) -> Option<Arc<dyn PlanNode>> {
        let input = only_input(inputs, cx)?;
        guard(&self.schema.0, &input.shape, self.error_handling.as_ref(), cx)
    }
}

/// The check that `output_schema: SCHEMA` asks for, to be put after a transform's output of shape `input`.
///
/// Rows that fit pass on port 0. With `error_handling` (the transform's own) the others are error rows on
/// port 1, whose `element` is the row that did not fit; without, they fail the run. Problems of the schema
/// are pushed to `cx.diagnostics`, and `None` returned.
pub fn schema_guard(
    schema: &Node,
    input: &Shape,
    error_handling: Option<&ErrorHandling>,
    cx: &mut BindCx<'_>,
) -> Option<Arc<dyn PlanNode>> {
    if let Some(own) = schema.get("error_handling") {
        cx.diagnostics.push(
            Diagnostic::error(
                "schema/error-handling",
                own.span,
                "`output_schema` has no `error_handling` of its own",
            )
            .help("put `error_handling` into the `config` of the transform; it then serves both"),
        );
        return None;
    }
    let schema = JsonSchema::from_node(schema, cx.diagnostics)?;
    guard(&schema.0, input, error_handling, cx)
}

fn guard(
    node: &Node,
    input: &Shape,
    error_handling: Option<&ErrorHandling>,
    cx: &mut BindCx<'_>,
) -> Option<Arc<dyn PlanNode>> {
    let schema = node.to_json();
    let validator = match jsonschema::validator_for(&schema) {
        Ok(validator) => validator,
        Err(e) => {
            let text = format!("this is not a valid JSON schema: {e}");
            cx.diagnostics.push(Diagnostic::error("schema/invalid", node.span, text));
            return None;
        }
    };
    if let Err(why) = compatible::rows(&input.schema, &schema, cx.beam_compat) {
        cx.diagnostics.push(
            Diagnostic::error("schema/incompatible", node.span, why)
                .label("no row of the input can fit this schema"),
        );
        return None;
    }
    let policy = Policy::bind(error_handling, input, cx)?;
    let outputs = policy.outputs(input.clone());
    Some(Arc::new(GuardNode { outputs, validator: Arc::new(validator), policy }))
}

#[derive(Debug)]
struct GuardNode {
    outputs: Vec<Output>,
    validator: Arc<Validator>,
    policy: Policy,
}

impl PlanNode for GuardNode {
    fn outputs(&self) -> &[Output] {
        &self.outputs
    }

    fn explain(&self) -> String {
        format!("JSON schema{}", self.policy.explain())
    }

    fn distribution(&self, _: usize) -> Distribution {
        self.policy.distribution()
    }

    fn columns_needed(&self, _: &[Vec<bool>], inputs: &[Shape]) -> Vec<Vec<bool>> {
        // A schema may say something of any field, were it only that it must exist.
        vec![all_columns(inputs.first())]
    }

    fn state(&self) -> Option<StateShape> {
        self.policy.state()
    }

    fn build(&self, cx: &BuildCx) -> Result<Running> {
        let errors = self.policy.start(1, &cx.label);
        Ok(Running::Operator(Box::new(Guard { validator: self.validator.clone(), errors })))
    }
}

#[derive(Debug)]
struct Guard {
    validator: Arc<Validator>,
    errors: Errors,
}

/// A row without its nulls, as Beam shows it to the validator.
fn without_nulls(v: Value) -> Value {
    match v {
        Value::Object(fields) => Value::Object(
            fields.into_iter().filter(|(_, v)| !v.is_null()).map(|(k, v)| (k, without_nulls(v))).collect(),
        ),
        Value::Array(items) => Value::Array(items.into_iter().map(without_nulls).collect()),
        other => other,
    }
}

/// Decimals of many digits are text in a JSON value; the validator looks at them as the numbers they are about.
fn with_numbers(mut row: Value, fields: &arrow_schema::Fields) -> Value {
    for field in fields.iter().filter(|f| matches!(f.data_type(), DataType::Decimal128(..))) {
        if let Some(value) = row.get_mut(field.name())
            && let Some(number) =
                value.as_str().and_then(|t| t.parse().ok()).and_then(serde_json::Number::from_f64)
        {
            *value = Value::Number(number);
        }
    }
    row
}

impl Operator for Guard {
    fn on_batch(&mut self, _: Port, batch: Batch, cx: &mut OpCx) -> Result<More> {
        let mut failures = Vec::new();
        for row in 0..batch.len() {
            let value = json::row_to_json(&batch.rows, row);
            let value = without_nulls(with_numbers(value, batch.rows.schema_ref().fields()));
            if let Err(e) = self.validator.validate(&value) {
                let place = match e.instance_path().as_str() {
                    "" => String::new(),
                    path => format!(" at {path}"),
                };
                let reason = e.to_string();
                failures.push(Failure {
                    row,
                    message: format!("<ValidationError: {}>", crate::python::repr(&reason)),
                    stack: format!("ValidationError: {reason}{place}"),
                });
            }
        }
        let good = self.errors.split(&batch, failures, cx)?;
        let batch = match good {
            None => batch,
            Some(good) => batch.filter(&good)?,
        };
        cx.fates.passed += batch.len() as u64;
        cx.emit(0, batch);
        Ok(More::No)
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
