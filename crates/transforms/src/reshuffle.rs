//! `Reshuffle`, and the one `PyTransform` that means the same: rows pass through.

use crate::common::{only_input, read_columns};
use purlin_api::{
    Batch, BindCx, BuildCx, Entry, InputShape, More, OpCx, Operator, Output, OutputRole, PlanNode, Port,
    Result, Running, Shape, Transform,
};
use purlin_spec::config::Spanned;
use purlin_spec::vocabulary::{Inputs, TransformDef};
use purlin_spec::{Config, Diagnostic, FromNode, Node};
use std::sync::Arc;

purlin_spec::config! {
    /// Spreads rows over workers anew on Beam. Here rows pass unchanged: the engine balances by itself.
    ///
    /// ```yaml
    /// - type: Reshuffle
    ///   input: Wide
    /// ```
    pub struct Reshuffle {
        /// How many groups Beam makes. No effect on results.
        pub num_buckets: Option<i64>,
    }
}

purlin_spec::config! {
    /// A transform written in Python.
    ///
    /// Only constructors that this engine knows are run: `apache_beam.transforms.util.Reshuffle` (rows pass
    /// unchanged). Others need Beam; most of them can be written with `MapToFields`, `Filter`, `Explode`
    /// and `Combine` in `language: python`.
    ///
    /// ```yaml
    /// - type: PyTransform
    ///   input: Wide
    ///   config:
    ///     constructor: apache_beam.transforms.util.Reshuffle
    /// ```
    pub struct PyTransform {
        /// The dotted name of what makes the transform.
        pub constructor: Spanned<String>,
        /// Positional arguments.
        pub args: Option<Node>,
        /// Named arguments.
        pub kwargs: Option<Node>,
    }
}

/// What the catalogue knows of `Reshuffle`.
pub(crate) fn entry() -> Entry {
    Entry {
        def: TransformDef {
            name: "Reshuffle",
            doc: Reshuffle::doc(),
            inputs: Inputs::One,
            error_handling: false,
            fields: Reshuffle::fields,
        },
        decode: |node, d| Reshuffle::from_node(node, d).map(|t| Arc::new(t) as Arc<dyn Transform>),
    }
}

/// What the catalogue knows of `PyTransform`.
pub(crate) fn py_entry() -> Entry {
    Entry {
        def: TransformDef {
            name: "PyTransform",
            doc: PyTransform::doc(),
            inputs: Inputs::Named,
            error_handling: false,
            fields: PyTransform::fields,
        },
        decode: |node, d| PyTransform::from_node(node, d).map(|t| Arc::new(t) as Arc<dyn Transform>),
    }
}

/// Constructors that pass rows on unchanged.
const PASSING: [&str; 3] =
    ["apache_beam.transforms.util.Reshuffle", "apache_beam.Reshuffle", "apache_beam.transforms.Reshuffle"];

impl Transform for Reshuffle {
    fn bind(&self, inputs: &[InputShape], cx: &mut BindCx<'_>) -> Option<Arc<dyn PlanNode>> {
        let input = only_input(inputs, cx)?;
        Some(Arc::new(Pass::new(input.shape.clone(), "rows pass".to_owned())))
    }
}

impl Transform for PyTransform {
    fn bind(&self, inputs: &[InputShape], cx: &mut BindCx<'_>) -> Option<Arc<dyn PlanNode>> {
        let name = self.constructor.value.as_str();
        if PASSING.contains(&name) {
            let input = only_input(inputs, cx)?;
            return Some(Arc::new(Pass::new(input.shape.clone(), format!("{name}: rows pass"))));
        }
        let what = match name {
            "__callable__" | "__constructor__" => "a PyTransform with its own Python source".to_owned(),
            other => format!("the Python transform `{other}`"),
        };
        cx.diagnostics.push(
            Diagnostic::error("python/transform", self.constructor.span, format!("cannot run {what}"))
                .label("it needs Beam's Python SDK")
                .help("write it with `MapToFields`, `Filter`, `Explode` or `Combine` in `language: python`")
                .help("or run this file on Beam"),
        );
        None
    }
}

/// Rows pass unchanged.
#[derive(Debug)]
pub(crate) struct Pass {
    outputs: Vec<Output>,
    explain: String,
}

impl Pass {
    pub(crate) fn new(shape: Shape, explain: String) -> Self {
        Pass { outputs: vec![Output { tag: "out".to_owned(), shape, role: OutputRole::Main }], explain }
    }
}

impl PlanNode for Pass {
    fn outputs(&self) -> &[Output] {
        &self.outputs
    }

    fn explain(&self) -> String {
        self.explain.clone()
    }

    fn columns_needed(&self, outputs: &[Vec<bool>], inputs: &[Shape]) -> Vec<Vec<bool>> {
        inputs.iter().map(|s| read_columns(outputs, 0, s.schema.fields().len())).collect()
    }

    fn build(&self, _: &BuildCx) -> Result<Running> {
        Ok(Running::Operator(Box::new(PassOperator)))
    }
}

#[derive(Debug)]
struct PassOperator;

impl Operator for PassOperator {
    fn on_batch(&mut self, _: Port, batch: Batch, cx: &mut OpCx) -> Result<More> {
        cx.fates.passed += batch.len() as u64;
        cx.emit(0, batch);
        Ok(More::No)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use purlin_api::testing;
    use purlin_spec::Span;

    #[test]
    fn rows_pass() {
        let rows = [r#"[{"a": 1}, {"a": 2}]"#];
        let (_, driver) = testing::run(&Reshuffle { num_buckets: None }, &rows, false).unwrap();
        assert_eq!(driver.rows(0), [r#"{"a":1}"#, r#"{"a":2}"#]);
        let named = |name: &str| PyTransform {
            constructor: Spanned { value: name.to_owned(), span: Span::default() },
            args: None,
            kwargs: None,
        };
        let (_, driver) =
            testing::run(&named("apache_beam.transforms.util.Reshuffle"), &rows, false).unwrap();
        assert_eq!(driver.rows(0).len(), 2);
        let e = testing::run(&named("my.Own"), &rows, false).unwrap_err();
        assert!(e.contains("python/transform") && e.contains("my.Own"), "{e}");
    }
}
