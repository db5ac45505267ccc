//! `MapToFields`: new rows from the fields of old ones.

use crate::common::{find, known_field, need, only_input, read_columns};
use crate::errors::{Errors, Policy};
use crate::expressions::{Compiled, compile, language};
use crate::worker::{behind, visible};
use arrow_array::{RecordBatch, RecordBatchOptions};
use arrow_schema::{Schema, SchemaRef};
use purlin_api::shape::physical;
use purlin_api::{
    Batch, BindCx, BuildCx, Distribution, Entry, Error, InputShape, More, OpCx, Operator, Output, PlanNode,
    Port, Result, Running, Shape, StateShape, StateTable, Transform,
};
use purlin_spec::config::{Named, OneOrMany, Spanned};
use purlin_spec::types::{ErrorHandling, Expression};
use purlin_spec::vocabulary::{Inputs, TransformDef};
use purlin_spec::{Config, Diagnostic, FromNode, Node};
use std::sync::Arc;

purlin_spec::config! {
    /// Makes new rows whose fields are computed from the fields of the old ones.
    ///
    /// In `language: generic` (the default) a value is the name of a field, a number, a text in double
    /// quotes, or one comparison of two of them. In `language: python` it is any Python expression over the
    /// fields, or a function of the row:
    ///
    /// ```yaml
    /// - type: MapToFields
    ///   input: Orders
    ///   config:
    ///     language: python
    ///     append: true
    ///     drop: [price_text]
    ///     fields:
    ///       price: {expression: float(price_text), output_type: number}
    ///       city:
    ///         callable: |
    ///           def city(row):
    ///             return row.address.city.title()
    ///     error_handling: {output: broken}
    /// ```
    ///
    /// In `language: sql` (or `calcite`) it is any SQL expression over the columns of the row, such as
    /// `COALESCE(UPPER(city), '?')`; see the guide on [SQL](../guide/sql.md).
    ///
    /// Syntax errors, unknown names and impossible types are reported before any data is read. A row that
    /// raises (a division by zero, say) fails the run, or goes to the error output if there is one.
    /// `output_type` is a JSON schema type (`string integer number boolean`, or a schema) that every value
    /// is checked against; null never fits.
    pub struct MapToFields {
        /// The new fields and how each is computed: an expression, or a mapping with `expression`,
        /// `callable`, or `path` and `name` of a function in a Python file, and optionally `output_type`.
        pub fields: Named<Expression>,
        /// Keeps the fields of the input, and puts the new ones after them.
        pub append: bool = false,
        /// Fields of the input to leave out. Only with `append`.
        pub drop: Option<OneOrMany<Spanned<String>>>,
        /// The language of the expressions: `generic` (the default), `python` or `sql`.
        pub language: Option<Spanned<String>>,
        /// Packages that the functions need. Beam installs them; here they are not used.
        pub dependencies: Option<Node>,
        /// Where rows go whose computation fails.
        pub error_handling: Option<ErrorHandling>,
    }
}

/// What the catalogue knows of it.
pub(crate) fn entry() -> Entry {
    Entry {
        def: TransformDef {
            name: "MapToFields",
            doc: MapToFields::doc(),
            inputs: Inputs::One,
            error_handling: true,
            fields: MapToFields::fields,
        },
        decode: |node, d| MapToFields::from_node(node, d).map(|t| Arc::new(t) as Arc<dyn Transform>),
    }
}

impl Transform for MapToFields {
    fn bind(&self, inputs: &[InputShape], cx: &mut BindCx<'_>) -> Option<Arc<dyn PlanNode>> {
        let input = only_input(inputs, cx)?;
        let schema = &input.shape.schema;
        let kept = self.kept(schema, cx);
        let language = language(self.language.as_ref(), cx)?;
        let new: Vec<Option<(String, Compiled)>> = self
            .fields
            .0
            .iter()
            .map(|(name, e)| Some((name.value.clone(), compile(e, language, schema, cx)?)))
            .collect();
        let policy = Policy::bind(self.error_handling.as_ref(), &input.shape, cx)?;
        let mut columns = kept?;
        columns.extend(new.into_iter().collect::<Option<Vec<_>>>()?);
        let fields: Vec<_> = columns.iter().map(|(name, c)| c.field(name)).collect();
        let main = input.shape.with_schema(Arc::new(Schema::new(fields)));
        let outputs = policy.outputs(main);
        let columns: Arc<[_]> = columns.into();
        let node = MapNode { outputs, input: schema.clone(), columns: columns.clone(), policy };
        let values: Vec<&Compiled> = columns.iter().map(|(_, c)| c).collect();
        Some(behind(Arc::new(node), &values, &input.shape))
    }
}

impl MapToFields {
    /// The fields of the input that stay.
    fn kept(&self, schema: &SchemaRef, cx: &mut BindCx<'_>) -> Option<Vec<(String, Compiled)>> {
        let dropped: &[Spanned<String>] = self.drop.as_ref().map_or(&[], |d| &d.0);
        let mut good = true;
        if let (false, Some(first)) = (self.append, dropped.first()) {
            good = false;
            cx.diagnostics.push(
                Diagnostic::error("map/drop-without-append", first.span, "`drop` needs `append: true`")
                    .label("without `append` only the new fields are kept anyway"),
            );
        }
        for name in dropped {
            good &= known_field(name, schema, cx).is_some();
        }
        let is_dropped = |name: &str| dropped.iter().any(|d| d.value == name);
        if self.append {
            for (name, _) in &self.fields.0 {
                if find(schema, &name.value).is_some() && !is_dropped(&name.value) {
                    good = false;
                    let text = format!("redefinition of field `{}`, which the input already has", name.value);
                    cx.diagnostics.push(
                        Diagnostic::error("map/redefinition", name.span, text)
                            .help(format!("to replace it, add `drop: [{}]`", name.value)),
                    );
                }
            }
        }
        let fields = schema.fields().iter().enumerate().filter(|(_, f)| self.append && !is_dropped(f.name()));
        good.then(|| fields.map(|(i, f)| (f.name().clone(), Compiled::column(i, f))).collect())
    }
}

#[derive(Debug)]
struct MapNode {
    outputs: Vec<Output>,
    input: SchemaRef,
    columns: Arc<[(String, Compiled)]>,
    policy: Policy,
}

impl PlanNode for MapNode {
    fn outputs(&self) -> &[Output] {
        &self.outputs
    }

    fn explain(&self) -> String {
        let one = |(name, c): &(String, Compiled)| {
            let what = c.describe(&self.input);
            if what == *name { what } else { format!("{name} = {what}") }
        };
        let fields: Vec<String> = self.columns.iter().map(one).collect();
        format!("{}{}", fields.join(", "), self.policy.explain())
    }

    fn distribution(&self, _: usize) -> Distribution {
        self.policy.distribution()
    }

    fn columns_needed(&self, outputs: &[Vec<bool>], inputs: &[Shape]) -> Vec<Vec<bool>> {
        if self.policy.is_read(outputs, 1) {
            return vec![crate::common::all_columns(inputs.first())];
        }
        let read = read_columns(outputs, 0, self.columns.len());
        let mut columns = vec![false; self.input.fields().len()];
        for ((_, c), read) in self.columns.iter().zip(read) {
            // What is computed may fail, and then must, whether it is read or not.
            if read || c.as_column().is_none() {
                c.columns().into_iter().for_each(|i| need(&mut columns, i));
            }
        }
        vec![columns]
    }

    fn state(&self) -> Option<StateShape> {
        self.policy.state()
    }

    fn build(&self, cx: &BuildCx) -> Result<Running> {
        let output = self.outputs.first().ok_or_else(|| Error::internal("no output"))?;
        Ok(Running::Operator(Box::new(MapOperator {
            schema: physical(&output.shape.schema),
            columns: self.columns.clone(),
            errors: self.policy.start(1, &cx.label),
        })))
    }
}

#[derive(Debug)]
struct MapOperator {
    schema: SchemaRef,
    columns: Arc<[(String, Compiled)]>,
    errors: Errors,
}

impl Operator for MapOperator {
    fn on_batch(&mut self, _: Port, batch: Batch, cx: &mut OpCx) -> Result<More> {
        let mut failures = Vec::new();
        let (all, batch) = visible(batch)?;
        let columns: Vec<_> =
            self.columns.iter().map(|(_, c)| c.eval(&all, cx.now, &mut failures)).collect::<Result<_>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(batch.len()));
        let rows = RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)?;
        let good = self.errors.split(&batch, failures, cx)?;
        let mapped = batch.with_rows(rows);
        let mapped = match good {
            None => mapped,
            Some(good) => mapped.filter(&good)?,
        };
        cx.fates.passed += mapped.len() as u64;
        cx.emit(0, mapped);
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
