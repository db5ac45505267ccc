//! `PyTransform`: Beam transforms written in Python, as far as they work row by row.

mod node;

use crate::common::only_input;
use crate::expressions::{Compiled, Language, compile};
use crate::reshuffle::Pass;
use arrow_schema::{DataType, Fields, Schema};
use node::{Made, Rows};
use purlin_api::{BindCx, Entry, InputShape, PlanNode, Transform};
use purlin_expr::{Elementwise, Form, Mapped, Problem};
use purlin_spec::config::Spanned;
use purlin_spec::types::{Code, Expression, Snippet};
use purlin_spec::vocabulary::{Inputs, TransformDef};
use purlin_spec::{Config, Diagnostic, FromNode, Node, Span};
use std::sync::Arc;

purlin_spec::config! {
    /// A transform written in Python, in the file itself. It is compiled if it works row by row: if all it does
    /// with its collection is `beam.Map`, `beam.Filter` and `beam.FlatMap`, one after the other, and the
    /// last of them gives a `beam.Row`.
    ///
    /// With `constructor: __callable__` the source is a function of the collection, with `__constructor__` a
    /// function or a class that makes a transform. The functions of rows are Python as in `MapToFields`.
    ///
    /// ```yaml
    /// - type: PyTransform
    ///   input: Orders
    ///   config:
    ///     constructor: __callable__
    ///     kwargs:
    ///       source: |
    ///         def dear(orders, least):
    ///           return (
    ///               orders
    ///               | beam.Filter(lambda o: o.price >= least)
    ///               | beam.Map(lambda o: beam.Row(id=o.id, cents=round(o.price * 100))))
    ///       least: 100
    /// ```
    ///
    /// A transform of a `python` provider is the same: its config are the arguments. Of the transforms that have
    /// a name of their own only `apache_beam.Reshuffle` runs, and rows pass it unchanged. All others need
    /// Beam: grouping, windows, readers and writers are transforms of their own in YAML.
    pub struct PyTransform {
        /// `__callable__`, `__constructor__`, or the dotted name of what makes the transform.
        pub constructor: Spanned<String>,
        /// Positional arguments; the first is the source, if it is not in `kwargs`.
        pub args: Option<Node>,
        /// Named arguments: `source`, and the others that the function takes.
        pub kwargs: Option<Node>,
    }
}

/// What the catalogue knows of it.
pub(crate) fn entry() -> Entry {
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

impl Transform for PyTransform {
    fn bind(&self, inputs: &[InputShape], cx: &mut BindCx<'_>) -> Option<Arc<dyn PlanNode>> {
        let name = self.constructor.value.as_str();
        let form = match name {
            "__callable__" => Form::Callable,
            "__constructor__" => Form::Constructor,
            _ if PASSING.contains(&name) => {
                let input = only_input(inputs, cx)?;
                return Some(Arc::new(Pass::new(input.shape.clone(), format!("{name}: rows pass"))));
            }
            other => {
                let text = format!("cannot run the Python transform `{other}`");
                cx.diagnostics.push(
                    Diagnostic::error("python/transform", self.constructor.span, text)
                        .label("it needs Beam's Python SDK")
                        .help("write it with `MapToFields`, `Filter`, `Explode` or `Combine` in `language: python`")
                        .help("or run this file on Beam"),
                );
                return None;
            }
        };
        let (source, taken) = self.taken(form, cx)?;
        let input = only_input(inputs, cx)?;
        let schema = &input.shape.schema;
        let mut filters = Vec::new();
        for code in &taken.filters {
            let mut condition = compiled(code, source, schema, cx)?;
            condition.as_condition();
            filters.push(condition);
        }
        let (output, result) = match &taken.result {
            None => (schema.clone(), None),
            Some(mapped) => {
                let value = compiled(&mapped.code, source, schema, cx)?;
                let fields = fields(&value, mapped, source, cx)?;
                (Arc::new(Schema::new(fields)), Some(Made { value, many: mapped.many }))
            }
        };
        Some(Arc::new(Rows::new(&input.shape, output, filters, result)))
    }
}

impl PyTransform {
    /// What the source does with each row, and where the source stands.
    fn taken(&self, form: Form, cx: &mut BindCx<'_>) -> Option<(Span, Elementwise)> {
        let mut args = self.args.as_ref().and_then(Node::as_list).unwrap_or_default();
        let named = self.kwargs.as_ref().and_then(|k| k.get("source"));
        let source = match args.split_first() {
            Some((first, rest)) => {
                args = rest;
                Some(first)
            }
            None => named,
        };
        let Some((source, text)) = source.and_then(|s| Some((s, s.as_text()?))) else {
            let what = format!("`{}` without a `source`", self.constructor.value);
            cx.diagnostics.push(
                Diagnostic::error("python/arguments", self.constructor.span, what)
                    .help("add `source:` to the `kwargs`, with the text of a Python function"),
            );
            return None;
        };
        let args: Vec<_> = args.iter().map(Node::to_json).collect();
        let mut kwargs = match self.kwargs.as_ref().map(Node::to_json) {
            Some(serde_json::Value::Object(map)) => map,
            _ => serde_json::Map::new(),
        };
        if named.is_some_and(|n| std::ptr::eq(n, source)) {
            kwargs.remove("source");
        }
        match purlin_expr::elementwise(text, form, &args, &kwargs) {
            Ok(taken) => Some((source.span, taken)),
            Err(problems) => {
                problems.into_iter().for_each(|p| cx.diagnostics.push(diagnostic(p, source.span)));
                None
            }
        }
    }
}

fn diagnostic(problem: Problem, span: Span) -> Diagnostic {
    let mut d = Diagnostic::error(problem.code, span, problem.message);
    d.help = problem.help;
    if problem.code == "python/transform" {
        d = d.label("this `PyTransform` does more than work row by row").help("or run this file on Beam");
    }
    d
}

fn compiled(code: &str, span: Span, schema: &Schema, cx: &mut BindCx<'_>) -> Option<Compiled> {
    let code = Code::Callable(Snippet { text: code.to_owned(), span });
    compile(&Expression { code, output_type: None, span }, Language::Python, schema, cx)
}

/// The fields of the rows that a function gives.
fn fields(value: &Compiled, mapped: &Mapped, span: Span, cx: &mut BindCx<'_>) -> Option<Fields> {
    let data_type = match value.data_type() {
        DataType::List(item) if mapped.many => item.data_type(),
        _ if mapped.many => &DataType::Null,
        other => other,
    };
    if let DataType::Struct(fields) = data_type
        && !value.is_any()
    {
        return Some(fields.clone());
    }
    let text = "the fields of this transform's rows are not known".to_owned();
    cx.diagnostics.push(
        Diagnostic::error("python/rows", span, text)
            .label("its last function does not give a `beam.Row` with the same fields each time")
            .help("let it return `beam.Row(name=value, …)`"),
    );
    None
}

#[cfg(test)]
mod tests;
