//! `Flatten`: several collections as one.

use arrow_schema::SchemaRef;
use purlin_api::shape::{physical, type_name};
use purlin_api::unite::{conform, schema_of, unite_fields};
use purlin_api::{
    Batch, BindCx, BuildCx, Entry, InputShape, More, OpCx, Operator, Output, OutputRole, PlanNode, Port,
    Result, Running, Shape, Transform,
};
use purlin_spec::vocabulary::{Inputs, TransformDef};
use purlin_spec::{Config, Diagnostic, FromNode};
use std::sync::Arc;

purlin_spec::config! {
    /// Puts the rows of several collections into one; rows that occur twice stay twice.
    ///
    /// The result has the fields of all inputs. A field that an input lacks is null in its rows, and a field
    /// that is an integer here and a float there is a float. Other differences of type are refused: give
    /// the field one type, or another name, with `MapToFields`. A list of inputs on any other transform
    /// means the same.
    ///
    /// ```yaml
    /// - type: Flatten
    ///   input: [North, South]
    /// ```
    pub struct Flatten {}
}

/// What the catalogue knows of it.
pub(crate) fn entry() -> Entry {
    Entry {
        def: TransformDef {
            name: "Flatten",
            doc: Flatten::doc(),
            inputs: Inputs::Named,
            error_handling: false,
            fields: Flatten::fields,
        },
        decode: |node, d| Flatten::from_node(node, d).map(|t| Arc::new(t) as Arc<dyn Transform>),
    }
}

impl Transform for Flatten {
    fn bind(&self, inputs: &[InputShape], cx: &mut BindCx<'_>) -> Option<Arc<dyn PlanNode>> {
        let Some((first, others)) = inputs.split_first() else {
            cx.diagnostics.push(
                Diagnostic::error("input/missing", cx.span, format!("`{}` has no input", cx.label))
                    .help("add `input: [NAME, NAME]`"),
            );
            return None;
        };
        let mut shape = first.shape.clone();
        let mut fields = shape.schema.fields().clone();
        let mut good = true;
        for input in others {
            shape.bounded &= input.shape.bounded;
            good &= same_windows(first, input, cx);
            match unite_fields(&fields, input.shape.schema.fields(), cx.beam_compat) {
                Ok(united) => fields = united,
                Err(name) => {
                    cx.diagnostics.push(two_types(&name, &fields, input));
                    good = false;
                }
            }
        }
        if !good {
            return None;
        }
        let shape = Shape { schema: schema_of(fields), ..shape };
        let outputs = vec![Output { tag: "out".to_owned(), shape, role: OutputRole::Main }];
        Some(Arc::new(FlattenNode { outputs, inputs: inputs.len() }))
    }
}

/// Rows windowed in two ways cannot be grouped together. Beam silently takes the first input's windowing.
fn same_windows(first: &InputShape, input: &InputShape, cx: &mut BindCx<'_>) -> bool {
    let (a, b) = (&first.shape.windowing, &input.shape.windowing);
    if a.window_fn == b.window_fn {
        return true;
    }
    let text = format!("`{}` joins collections with different windows", cx.label);
    let make = if cx.beam_compat { Diagnostic::warning } else { Diagnostic::error };
    cx.diagnostics.push(
        make("flatten/windows", input.span, text)
            .label(format!("{} here, {} in the first input", b.window_fn.describe(), a.window_fn.describe()))
            .help("put the same `windowing` on all inputs"),
    );
    cx.beam_compat
}

fn two_types(name: &str, fields: &arrow_schema::Fields, input: &InputShape) -> Diagnostic {
    let of = |fields: &arrow_schema::Fields| {
        fields.iter().find(|f| f.name() == name).map_or_else(|| "missing".to_owned(), |f| type_name(f))
    };
    Diagnostic::error(
        "flatten/types",
        input.span,
        format!("incompatible types: field `{name}` has two of them"),
    )
    .label(format!("{} here, {} before", of(input.shape.schema.fields()), of(fields)))
    .help(format!("convert `{name}` with `MapToFields` before the two meet"))
}

#[derive(Debug)]
struct FlattenNode {
    outputs: Vec<Output>,
    inputs: usize,
}

impl PlanNode for FlattenNode {
    fn outputs(&self) -> &[Output] {
        &self.outputs
    }

    fn explain(&self) -> String {
        format!("{} inputs", self.inputs)
    }

    fn columns_needed(&self, outputs: &[Vec<bool>], inputs: &[Shape]) -> Vec<Vec<bool>> {
        let Some(output) = self.outputs.first() else { return Vec::new() };
        let fields = output.shape.schema.fields();
        let read = crate::common::read_columns(outputs, 0, fields.len());
        let is_read = |name: &str| fields.iter().zip(&read).any(|(f, r)| *r && f.name() == name);
        inputs.iter().map(|s| s.schema.fields().iter().map(|f| is_read(f.name())).collect()).collect()
    }

    fn build(&self, _: &BuildCx) -> Result<Running> {
        let schema =
            self.outputs.first().map_or_else(|| schema_of(Default::default()), |o| physical(&o.shape.schema));
        Ok(Running::Operator(Box::new(Union { schema })))
    }
}

#[derive(Debug)]
struct Union {
    schema: SchemaRef,
}

impl Operator for Union {
    fn on_batch(&mut self, _: Port, batch: Batch, cx: &mut OpCx) -> Result<More> {
        let rows = conform(&batch.rows, &self.schema)?;
        cx.fates.passed += batch.len() as u64;
        cx.emit(0, batch.with_rows(rows));
        Ok(More::No)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use purlin_api::testing::{self, Driver};

    fn run(a: &str, b: &str, beam_compat: bool) -> Result<Vec<String>, String> {
        let inputs = [a, b].map(|json| testing::input(testing::shape_of(json).unwrap()));
        let node = testing::bind(&Flatten {}, &inputs, beam_compat)?;
        let mut driver = Driver::new(node.as_ref()).unwrap();
        for (port, json) in [a, b].into_iter().enumerate() {
            let rows = testing::rows_of(&inputs[port].shape.schema, json).unwrap();
            driver.push(port, Batch::untimed(rows)).unwrap();
        }
        driver.end().unwrap();
        driver.check_schemas(node.as_ref()).unwrap();
        Ok(driver.rows(0))
    }

    #[test]
    fn fields_unite_and_numbers_widen() {
        let rows =
            run(r#"[{"a": 1, "b": "x"}]"#, r#"[{"c": [1], "a": 2.5}, {"a": null, "c": []}]"#, false).unwrap();
        assert_eq!(
            rows,
            [
                r#"{"a":1.0,"b":"x","c":null}"#,
                r#"{"a":2.5,"b":null,"c":[1]}"#,
                r#"{"a":null,"b":null,"c":[]}"#
            ]
        );
    }

    #[test]
    fn nested_rows_and_lists_unite() {
        let a = r#"[{"r": {"x": 1, "l": [{"p": 1}]}, "n": null}]"#;
        let b = r#"[{"r": {"l": [{"q": "s", "p": 0.5}]}, "n": "t"}, {"r": null, "n": null}]"#;
        assert_eq!(
            run(a, b, false).unwrap(),
            [
                r#"{"r":{"x":1,"l":[{"p":1.0,"q":null}]},"n":null}"#,
                r#"{"r":{"x":null,"l":[{"p":0.5,"q":"s"}]},"n":"t"}"#,
                r#"{"r":null,"n":null}"#
            ]
        );
    }

    #[test]
    fn fields_that_only_some_nested_rows_have_are_marked() {
        let inputs = [r#"[{"e": {"v": "x", "w": 1}}]"#, r#"[{"e": {"n": 1, "w": 2}}]"#];
        let inputs = inputs.map(|j| testing::input(testing::shape_of(j).unwrap()));
        let node = testing::bind(&Flatten {}, &inputs, false).unwrap();
        let arrow_schema::DataType::Struct(fields) =
            node.outputs()[0].shape.schema.field(0).data_type().clone()
        else {
            panic!("not a row")
        };
        let optional = |name: &str| {
            fields.find(name).unwrap().1.metadata().contains_key(purlin_api::unite::OPTIONAL_KEY)
        };
        assert_eq!(["v", "w", "n"].map(optional), [true, false, true]);
    }

    #[test]
    fn two_kinds_are_refused_and_mixed_only_as_beam_does() {
        let (a, b) = (r#"[{"a": 1}, {"a": null}]"#, r#"[{"a": "x"}]"#);
        let e = run(a, b, false).unwrap_err();
        assert!(e.contains("flatten/types") && e.contains("str here, int before"), "{e}");
        assert_eq!(run(a, b, true).unwrap(), [r#"{"a":1}"#, r#"{"a":null}"#, r#"{"a":"x"}"#]);
    }

    #[test]
    fn only_columns_that_are_read_are_needed() {
        let inputs = [r#"[{"a": 1, "b": 1}]"#, r#"[{"c": 1, "a": 1}]"#]
            .map(|j| testing::input(testing::shape_of(j).unwrap()));
        let node = testing::bind(&Flatten {}, &inputs, false).unwrap();
        let shapes = inputs.map(|i| i.shape);
        let needed = node.columns_needed(&[vec![true, false, false]], &shapes);
        assert_eq!(needed, [vec![true, false], vec![false, true]]);
    }
}
