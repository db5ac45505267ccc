//! `Combine`: rows grouped and aggregated.

mod config;
mod finish;
mod functions;
mod node;
#[cfg(feature = "sql")]
mod sql;
mod value;

use crate::common::{find, known_field, names, only_input};
use crate::expressions::{Compiled, Language, compile, language};
use crate::worker::behind;
use arrow_schema::Schema;
use config::Aggregates;
use finish::Finish;
use node::{CombineNode, Computed};
use purlin_api::{
    BindCx, Entry, InputShape, Output, OutputRole, PlanNode, Shape, Transform, Trigger, Windowing,
};
use purlin_grouping::accumulate::AggregateFn;
use purlin_grouping::aggregate::{Aggregate, Aggregation};
use purlin_spec::config::{OneOrMany, Spanned};
use purlin_spec::types::{Code, Expression, Snippet};
use purlin_spec::vocabulary::{Inputs, TransformDef};
use purlin_spec::{Config, Diagnostic, Diagnostics, FromNode, suggest};
use std::sync::Arc;
use value::Value;

purlin_spec::config! {
    /// Groups rows that have equal values in some fields, and aggregates each group: per window, if the rows
    /// are windowed.
    ///
    /// The result has the fields of `group_by`, then the aggregates. It carries the last millisecond of
    /// its window as its time. Null is a key like any other.
    ///
    /// | function | gives |
    /// |---|---|
    /// | `sum`, `max`, `min` | the type of the value; nulls are skipped, and a group of nulls gives null |
    /// | `mean` | a float; nulls are skipped |
    /// | `count` | how many rows, those with a null value included |
    /// | `all`, `any` | a boolean |
    /// | `group` | a list of all values, in no fixed order, nulls included |
    /// | `concat` | the values, which are lists, put one after the other |
    ///
    /// Others take a `config`, and so a mapping: `{type: top, config: {n: 3}}`. Beam's own names mean the same,
    /// such as `apache_beam.transforms.combiners.TopCombineFn`.
    ///
    /// | function | Beam's class | gives |
    /// |---|---|---|
    /// | `top` | `TopCombineFn` | a list of the `n` greatest values, greatest first; with `reverse: true` of the least; with `by: FIELD` the values of the rows where that is greatest |
    /// | `set` | `ToSetCombineFn` | a list of the different values, sorted |
    /// | `quantiles` | `ApproximateQuantilesCombineFn` | a list of `num_quantiles` values, from the least to the greatest, that cut the group in parts of equal size; exact below 4096 values, then within about 0.3 % of the rank, in bounded memory |
    /// | `approx_distinct` | `ApproximateUniqueCombineFn` | how many different values, nulls left out; exact below `sample_size` (4096) of them, then with a standard error of 1/√`sample_size` |
    /// | `sample` | `SampleCombineFn` | a list of `n` values; the same rows give the same sample |
    /// | `first`, `last` | `LatestCombineFn` | the value with the least or greatest event time |
    /// | `arg_max`, `arg_min` | | the value of the row where `by` is greatest or least |
    ///
    /// `MeanCombineFn`, `CountCombineFn`, `ToListCombineFn` and `ConcatListCombineFn` are `mean`, `count`, `group` and
    /// `concat`. Where ranks are equal the greater value wins, in `first` and `arg_min` the lesser.
    ///
    /// Without rows there is no result, not even when everything is one group. The `windowing` of the rows
    /// may say more: when to give early and late results, and where late rows go.
    ///
    /// ```yaml
    /// - type: Combine
    ///   input: Orders
    ///   windowing: {type: fixed, size: 5m}
    ///   config:
    ///     group_by: [country, city]
    ///     combine:
    ///       amount: sum
    ///       revenue: {value: price * quantity, fn: sum}
    ///       largest: {value: amount, fn: {type: top, config: {n: 3}}}
    ///       best_customer: {value: customer, fn: {type: arg_max, config: {by: amount}}}
    /// ```
    pub struct Combine {
        /// The fields that make a group: one name or a list. `[]` makes one group of all rows.
        pub group_by: OneOrMany<Spanned<String>>,
        /// The aggregates: a function's name for each output field, or a mapping with `fn` (a name, or a mapping
        /// with `type` and `config`) and `value`.
        /// `value` is a field or a Python expression; the default is the field that has the output's name.
        pub combine: Aggregates,
        /// The language of the expressions. `generic` and `python` mean the same here; in `sql` an aggregate is
        /// SQL, such as `SUM(a) / COUNT(*)`, or `fn(value)`.
        pub language: Option<Spanned<String>>,
    }
}

/// What the catalogue knows of it.
pub(crate) fn entry() -> Entry {
    Entry {
        def: TransformDef {
            name: "Combine",
            doc: Combine::doc(),
            inputs: Inputs::One,
            error_handling: false,
            fields: Combine::fields,
        },
        decode: |node, d| {
            let combine = Combine::from_node(node, d)?;
            combine.functions_known(d).then(|| Arc::new(combine) as Arc<dyn Transform>)
        },
    }
}

impl Transform for Combine {
    fn bind(&self, inputs: &[InputShape], cx: &mut BindCx<'_>) -> Option<Arc<dyn PlanNode>> {
        let input = only_input(inputs, cx)?;
        let language = language(self.language.as_ref(), cx)?;
        let keys = self.keys(&input.shape.schema, cx);
        #[cfg(feature = "sql")]
        if language == Language::Sql {
            return sql::bind(self, keys?, input, cx);
        }
        let _ = language;
        let parts = self.parts(&input.shape.schema, cx);
        aggregated(&input.shape, keys?, parts?, None, cx)
    }
}

/// The node of an aggregation; `finish` is computed of its results.
fn aggregated(
    input: &Shape,
    keys: Vec<usize>,
    parts: Vec<Part>,
    finish: Option<Finish>,
    cx: &mut BindCx<'_>,
) -> Option<Arc<dyn PlanNode>> {
    let mut fields: Vec<_> = input.schema.fields().iter().cloned().collect();
    let row_columns = fields.len();
    let (mut aggregations, mut computed) = (Vec::new(), Vec::new());
    for part in parts {
        let column = part.value.map(|value| {
            value.as_column().unwrap_or_else(|| {
                fields.push(Arc::new(value.field(&format!("__value{}", computed.len()))));
                computed.push(value);
                fields.len() - 1
            })
        });
        aggregations.push(Aggregation { name: part.name, function: part.function, column });
    }
    let extended = Arc::new(Schema::new(fields));
    let aggregate = match Aggregate::new(extended.clone(), keys, aggregations, input.windowing.clone()) {
        // `is_last` is what Beam says it is: a window without lateness does not tell that its pane is last.
        Ok(a) => a.with_row_columns(row_columns).with_beam_last(true),
        Err(e) => {
            cx.diagnostics.push(Diagnostic::error("combine/key", cx.span, e.message()));
            return None;
        }
    };
    let mut outputs = outputs(&aggregate, input);
    let finish = finish.map(|f| f.over(aggregate.output()));
    if let (Some(finish), Some(main)) = (&finish, outputs.first_mut()) {
        main.shape = main.shape.with_schema(finish.schema().clone());
    }
    let computed = Computed { schema: extended, values: computed.into() };
    let values: Vec<Compiled> = computed.values.iter().flat_map(Value::parts).cloned().collect();
    let node = CombineNode { outputs, input: input.clone(), aggregate, computed, finish };
    Some(behind(Arc::new(node), &values.iter().collect::<Vec<_>>(), input))
}

/// One aggregate, checked.
struct Part {
    name: String,
    /// What is aggregated; nothing where rows are counted.
    value: Option<Value>,
    function: AggregateFn,
}

impl Combine {
    /// Checks the functions' names, which can be done before the input is known.
    fn functions_known(&self, d: &mut Diagnostics) -> bool {
        let language = self.language.as_ref().map_or("generic", |l| l.value.as_str());
        if !["generic", "python"].contains(&language) {
            return true;
        }
        let unknown = self.combine.0.iter().filter(|(_, a)| functions::known(a, d).is_none()).count();
        unknown == 0
    }

    fn keys(&self, schema: &Schema, cx: &mut BindCx<'_>) -> Option<Vec<usize>> {
        let mut keys = Vec::new();
        let mut good = true;
        for name in &self.group_by.0 {
            match known_field(name, schema, cx) {
                Some(at) if keys.contains(&at) => {
                    good = false;
                    let text = format!("`{}` is twice in `group_by`", name.value);
                    cx.diagnostics.push(Diagnostic::error("combine/key-twice", name.span, text));
                }
                Some(at) => keys.push(at),
                None => good = false,
            }
        }
        good.then_some(keys)
    }

    fn parts(&self, schema: &Schema, cx: &mut BindCx<'_>) -> Option<Vec<Part>> {
        let parts: Vec<Option<Part>> = self
            .combine
            .0
            .iter()
            .map(|(name, a)| {
                self.free(name, cx)?;
                let value = value(name, a.value.as_ref(), schema, cx)?;
                let (value, function) = functions::resolve(&name.value, a, value, schema, cx)?;
                Some(Part { name: name.value.clone(), value: Some(value), function })
            })
            .collect();
        parts.into_iter().collect()
    }
}

impl Combine {
    /// Checks that an output is not called like a key.
    fn free(&self, name: &Spanned<String>, cx: &mut BindCx<'_>) -> Option<()> {
        if self.group_by.0.iter().all(|k| k.value != name.value) {
            return Some(());
        }
        let text = format!("`{}` is a field of `group_by` and an aggregate", name.value);
        cx.diagnostics.push(
            Diagnostic::error("combine/name-twice", name.span, text)
                .help(format!("give it another name: `total_{0}: {{value: {0}, fn: …}}`", name.value)),
        );
        None
    }
}

/// What is aggregated: the expression given, else the field that has the output's name.
fn value(
    name: &Spanned<String>,
    given: Option<&Expression>,
    schema: &Schema,
    cx: &mut BindCx<'_>,
) -> Option<Compiled> {
    if let Some(given) = given {
        // Beam takes Python here whatever the language is.
        return compile(given, Language::Python, schema, cx);
    }
    if find(schema, &name.value).is_none() {
        cx.diagnostics.push(
            Diagnostic::error("name/unknown-field", name.span, format!("unknown field `{}`", name.value))
                .label(format!("the input has: {}", suggest::listed(names(schema))))
                .help(format!("say what to aggregate: `{}: {{value: FIELD, fn: …}}`", name.value))
                .maybe_help(suggest::did_you_mean(&name.value, names(schema))),
        );
        return None;
    }
    let code = Code::Expression(Snippet { text: name.value.clone(), span: name.span });
    compile(&Expression { code, output_type: None, span: name.span }, Language::Python, schema, cx)
}

fn outputs(aggregate: &Aggregate, input: &Shape) -> Vec<Output> {
    let shape = Shape {
        schema: aggregate.output().clone(),
        windowing: Arc::new(continued(&input.windowing)),
        bounded: input.bounded,
    };
    let mut outputs = vec![Output { tag: "out".to_owned(), shape, role: OutputRole::Main }];
    if let Some(late) = &input.windowing.late_output {
        let shape = input.with_schema(aggregate.late_output());
        outputs.push(Output { tag: late.clone(), shape, role: OutputRole::Late });
    }
    outputs
}

/// The windowing of results: a further aggregation fires as often as this one did (Beam's continuation
/// triggers), and rows that were late have been dealt with.
fn continued(windowing: &Windowing) -> Windowing {
    Windowing { trigger: continuation(&windowing.trigger), late_output: None, ..windowing.clone() }
}

fn continuation(trigger: &Trigger) -> Trigger {
    let boxed = |t: &Trigger| Box::new(continuation(t));
    let all = |l: &[Trigger]| l.iter().map(continuation).collect();
    match trigger {
        Trigger::Default => Trigger::Default,
        Trigger::AfterWatermark { early, late } => {
            Trigger::AfterWatermark { early: early.as_deref().map(boxed), late: late.as_deref().map(boxed) }
        }
        Trigger::AfterProcessingTime(_) | Trigger::AfterCount(_) => Trigger::AfterCount(1),
        Trigger::Repeatedly(t) => Trigger::Repeatedly(boxed(t)),
        Trigger::AfterAny(l) => Trigger::AfterAny(all(l)),
        Trigger::AfterAll(l) => Trigger::AfterAll(all(l)),
        Trigger::AfterEach(l) => Trigger::Repeatedly(Box::new(Trigger::AfterAny(all(l)))),
    }
}

#[cfg(test)]
mod tests;
