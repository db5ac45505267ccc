//! `Partition`: rows to one of several outputs.

use crate::common::{all_columns, need, only_input, read_columns};
use crate::errors::{Errors, Failure, Policy};
use crate::expressions::{Compiled, compile, language};
use crate::worker::{behind, visible};
use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, UInt32Array};
use arrow_schema::{DataType, SchemaRef};
use purlin_api::shape::type_name;
use purlin_api::{
    Batch, BindCx, BuildCx, Distribution, Entry, InputShape, More, OpCx, Operator, OutPort, Output,
    OutputRole, PlanNode, Port, Result, Running, Shape, StateShape, StateTable, Transform,
};
use purlin_spec::config::Spanned;
use purlin_spec::types::{Code, ErrorHandling, Expression};
use purlin_spec::vocabulary::{Inputs, TransformDef};
use purlin_spec::{Config, Diagnostic, FromNode};
use serde_json::Value;
use std::sync::Arc;

purlin_spec::config! {
    /// Sends each row to one of several outputs, named by an expression.
    ///
    /// There is no main output: read `NAME.output`. The expression must give text. A row whose text is not
    /// among `outputs` goes to `unknown_output`; without one it fails. A null counts as unknown.
    ///
    /// ```yaml
    /// - type: Partition
    ///   name: ByStatus
    ///   input: Orders
    ///   config:
    ///     by: status
    ///     outputs: [open, paid]
    ///     unknown_output: other
    /// - type: LogForTesting
    ///   input: ByStatus.paid
    /// ```
    pub struct Partition {
        /// The expression that names the output; as in `MapToFields`.
        pub by: Expression,
        /// The names of the outputs.
        pub outputs: Vec<Spanned<String>>,
        /// The output of rows whose name is none of `outputs`.
        pub unknown_output: Option<Spanned<String>>,
        /// The language of the expression: `generic` (the default), `python` or `sql`.
        pub language: Option<Spanned<String>>,
        /// Where rows go that fail or have no output.
        pub error_handling: Option<ErrorHandling>,
    }
}

/// What the catalogue knows of it.
pub(crate) fn entry() -> Entry {
    Entry {
        def: TransformDef {
            name: "Partition",
            doc: Partition::doc(),
            inputs: Inputs::One,
            error_handling: true,
            fields: Partition::fields,
        },
        decode: |node, d| Partition::from_node(node, d).map(|t| Arc::new(t) as Arc<dyn Transform>),
    }
}

impl Transform for Partition {
    fn bind(&self, inputs: &[InputShape], cx: &mut BindCx<'_>) -> Option<Arc<dyn PlanNode>> {
        let input = only_input(inputs, cx)?;
        let good = self.check_names(cx);
        let language = language(self.language.as_ref(), cx)?;
        let by = compile(&self.by, language, &input.shape.schema, cx);
        let policy = Policy::bind(self.error_handling.as_ref(), &input.shape, cx)?;
        let by = by?;
        if !by.is_any() && !matches!(by.data_type(), DataType::Utf8 | DataType::Null) {
            let text = format!("`by` must return a string type, not {}", type_name(&by.field("by")));
            cx.diagnostics.push(Diagnostic::error("partition/not-text", self.by.span, text).help(
                "outputs are named by text; in `language: python`, `str(...)` makes text of any value",
            ));
            return None;
        }
        if !good {
            return None;
        }
        let mut names: Vec<String> = self.outputs.iter().map(|o| o.value.clone()).collect();
        let unknown = self.unknown_output.as_ref().map(|u| {
            names.iter().position(|n| *n == u.value).unwrap_or_else(|| {
                names.push(u.value.clone());
                names.len() - 1
            })
        });
        let main =
            |tag: &String| Output { tag: tag.clone(), shape: input.shape.clone(), role: OutputRole::Main };
        let mut outputs: Vec<Output> = names.iter().map(main).collect();
        outputs.extend(policy.output());
        let route =
            Route { by, by_text: self.by_text(), names: names.into(), listed: self.outputs.len(), unknown };
        let by = route.by.clone();
        let node = PartitionNode { outputs, input: input.shape.schema.clone(), route, policy };
        Some(behind(Arc::new(node), &[&by], &input.shape))
    }
}

impl Partition {
    fn check_names(&self, cx: &mut BindCx<'_>) -> bool {
        let before = cx.diagnostics.error_count();
        for (i, output) in self.outputs.iter().enumerate() {
            if self.outputs.iter().take(i).any(|o| o.value == output.value) {
                let text = format!("output `{}` is listed twice", output.value);
                cx.diagnostics.push(Diagnostic::error("partition/output-twice", output.span, text));
            }
        }
        if let Some(errors) = self.error_handling.as_ref().map(|e| &e.output)
            && self.outputs.iter().chain(&self.unknown_output).any(|o| o.value == errors.value)
        {
            let text = format!("error handling output `{}` cannot be among the listed outputs", errors.value);
            cx.diagnostics.push(
                Diagnostic::error("partition/error-output", errors.span, text)
                    .help("give it a name of its own"),
            );
        }
        cx.diagnostics.error_count() == before
    }

    /// The expression as messages name it.
    fn by_text(&self) -> String {
        match &self.by.code {
            Code::Expression(s) => format!("{{'expression': {}}}", crate::python::repr(&s.text)),
            Code::Callable(_) => "by".to_owned(),
            Code::File { name, .. } => name.value.clone(),
        }
    }
}

/// How rows find their output.
#[derive(Clone, Debug)]
struct Route {
    by: Compiled,
    by_text: String,
    /// By port; the listed ones first.
    names: Arc<[String]>,
    listed: usize,
    unknown: Option<OutPort>,
}

impl Route {
    /// The port for a name, or why there is none.
    fn port(&self, name: Option<&str>) -> std::result::Result<OutPort, String> {
        let listed = name.and_then(|n| self.names.iter().take(self.listed).position(|o| o == n));
        listed.or(self.unknown).ok_or_else(|| match name {
            Some(name) => format!("Unknown output name \"{name}\" from {}", self.by_text),
            None => format!("Unknown output name None from {}", self.by_text),
        })
    }

    /// The port of a value without a type, given as JSON.
    fn untyped(&self, json: Option<&str>) -> std::result::Result<OutPort, String> {
        match json.map(serde_json::from_str::<Value>) {
            None | Some(Ok(Value::Null)) => self.port(None),
            Some(Ok(Value::String(name))) => self.port(Some(&name)),
            Some(_) => {
                let shown = json.unwrap_or_default();
                Err(format!("Returned output name \"{shown}\" from {} must be a string", self.by_text))
            }
        }
    }
}

#[derive(Debug)]
struct PartitionNode {
    outputs: Vec<Output>,
    input: SchemaRef,
    route: Route,
    policy: Policy,
}

impl PlanNode for PartitionNode {
    fn outputs(&self) -> &[Output] {
        &self.outputs
    }

    fn explain(&self) -> String {
        let names = self.route.names.join(", ");
        format!("{} to {names}{}", self.route.by.describe(&self.input), self.policy.explain())
    }

    fn distribution(&self, _: usize) -> Distribution {
        self.policy.distribution()
    }

    fn columns_needed(&self, outputs: &[Vec<bool>], inputs: &[Shape]) -> Vec<Vec<bool>> {
        let ports = self.route.names.len();
        if self.policy.is_read(outputs, ports) {
            return vec![all_columns(inputs.first())];
        }
        let width = self.input.fields().len();
        let mut columns = vec![false; width];
        for port in 0..ports {
            for (c, read) in columns.iter_mut().zip(read_columns(outputs, port, width)) {
                *c |= read;
            }
        }
        self.route.by.columns().into_iter().for_each(|c| need(&mut columns, c));
        vec![columns]
    }

    fn state(&self) -> Option<StateShape> {
        self.policy.state()
    }

    fn build(&self, cx: &BuildCx) -> Result<Running> {
        let errors = self.policy.start(self.route.names.len(), &cx.label);
        Ok(Running::Operator(Box::new(PartitionOperator { route: self.route.clone(), errors })))
    }
}

#[derive(Debug)]
struct PartitionOperator {
    route: Route,
    errors: Errors,
}

impl PartitionOperator {
    /// The rows of each port.
    fn ports(&self, values: &ArrayRef, failures: &mut Vec<Failure>) -> Vec<Vec<u32>> {
        let mut rows = vec![Vec::new(); self.route.names.len()];
        let mut failed = vec![false; values.len()];
        failures.iter().for_each(|f| {
            if let Some(failed) = failed.get_mut(f.row) {
                *failed = true;
            }
        });
        let texts = values.as_string_opt::<i32>();
        for (row, failed) in failed.into_iter().enumerate() {
            if failed {
                continue;
            }
            let text = texts.filter(|t| t.is_valid(row)).map(|t| t.value(row));
            let port = if self.route.by.is_any() { self.route.untyped(text) } else { self.route.port(text) };
            match port {
                Ok(port) => {
                    if let Some(rows) = rows.get_mut(port) {
                        rows.push(row as u32);
                    }
                }
                Err(why) => failures.push(Failure::raised(row, "ValueError", &why)),
            }
        }
        rows
    }
}

impl Operator for PartitionOperator {
    fn on_batch(&mut self, _: Port, batch: Batch, cx: &mut OpCx) -> Result<More> {
        let mut failures = Vec::new();
        let (all, batch) = visible(batch)?;
        let values = self.route.by.eval(&all, cx.now, &mut failures)?;
        let ports = self.ports(&values, &mut failures);
        self.errors.split(&batch, failures, cx)?;
        for (port, rows) in ports.into_iter().enumerate() {
            if rows.is_empty() {
                continue;
            }
            cx.fates.passed += rows.len() as u64;
            let all = rows.len() == batch.len();
            let part = if all { batch.clone() } else { batch.take(&UInt32Array::from(rows))? };
            cx.emit(port, part);
        }
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
mod tests {
    use super::*;
    use crate::testing::{expression, handling, spanned};
    use purlin_api::testing;

    fn partition(by: &str, unknown: Option<&str>, errors: Option<&str>) -> Partition {
        Partition {
            by: expression(by),
            outputs: vec![spanned("x"), spanned("y")],
            unknown_output: unknown.map(spanned),
            language: Some(spanned("python")),
            error_handling: handling(errors, None),
        }
    }

    const ROWS: &str = r#"[{"a": 1, "b": "x"}, {"a": 2, "b": "y"}, {"a": 3, "b": "z"}, {"a": 4, "b": null}]"#;

    #[test]
    fn rows_go_to_their_output() {
        let (node, driver) = testing::run(&partition("b", Some("other"), None), &[ROWS], false).unwrap();
        let tags: Vec<&str> = node.outputs().iter().map(|o| o.tag.as_str()).collect();
        assert_eq!(tags, ["x", "y", "other"]);
        assert_eq!(driver.rows(0), [r#"{"a":1,"b":"x"}"#]);
        assert_eq!(driver.rows(2), [r#"{"a":3,"b":"z"}"#, r#"{"a":4,"b":null}"#]);
    }

    #[test]
    fn unknown_names_fail() {
        let e = testing::run(&partition("b", None, None), &[ROWS], false).unwrap_err();
        assert!(e.contains(r#"ValueError('Unknown output name "z" from {\'expression\': \'b\'}')"#), "{e}");
        let (node, driver) = testing::run(&partition("b", None, Some("bad")), &[ROWS], false).unwrap();
        assert_eq!((node.outputs()[2].tag.as_str(), node.outputs()[2].role), ("bad", OutputRole::Error));
        assert_eq!((driver.rows(0).len(), driver.rows(2).len()), (1, 2));
    }

    #[test]
    fn untyped_values_may_be_text() {
        let rows = r#"[{"v": "x"}, {"v": 5}, {"v": null}]"#;
        let (_, driver) = testing::run(&partition("v", Some("other"), Some("bad")), &[rows], false).unwrap();
        assert_eq!((driver.rows(0).len(), driver.rows(2).len()), (1, 1));
        assert!(driver.rows(3)[0].contains("must be a string"), "{:?}", driver.rows(3));
    }

    #[test]
    fn what_cannot_work_is_refused() {
        let e = testing::run(&partition("a", None, None), &[ROWS], false).unwrap_err();
        assert!(e.contains("must return a string type, not int"), "{e}");
        let e = testing::run(&partition("b", None, Some("y")), &[ROWS], false).unwrap_err();
        assert!(e.contains("cannot be among the listed outputs"), "{e}");
    }
}
