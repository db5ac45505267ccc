//! `Filter`: some of the rows.

use crate::common::{need, only_input, read_columns};
use crate::errors::{Errors, Policy};
use crate::expressions::{Compiled, Language, compile, language};
use crate::worker::{behind, visible};
use arrow_array::{ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions, cast::AsArray, new_null_array};
use arrow_schema::SchemaRef;
use purlin_api::{
    Batch, BindCx, BuildCx, Distribution, Entry, InputShape, More, OpCx, Operator, Output, PlanNode, Port,
    Result, Running, Shape, StateShape, StateTable, Transform,
};
use purlin_spec::config::Spanned;
use purlin_spec::types::{ErrorHandling, Expression};
use purlin_spec::vocabulary::{Inputs, TransformDef};
use purlin_spec::{Config, FromNode};
use std::sync::Arc;

purlin_spec::config! {
    /// Keeps the rows for which an expression is true.
    ///
    /// True is what Python takes for true: not `0`, `""`, `[]`, null or `False`. Expressions are written as
    /// in `MapToFields`. In `language: sql` a condition is a boolean, and null keeps no row.
    ///
    /// ```yaml
    /// - type: Filter
    ///   input: Orders
    ///   config:
    ///     language: python
    ///     keep: amount > 100 and country in ('NO', 'SE')
    /// ```
    pub struct Filter {
        /// The expression, or a mapping with `expression`, `callable`, or `path` and `name`.
        pub keep: Expression,
        /// The language of the expression: `generic` (the default), `python` or `sql`.
        pub language: Option<Spanned<String>>,
        /// Where rows go for which the expression fails.
        pub error_handling: Option<ErrorHandling>,
    }
}

/// What the catalogue knows of it.
pub(crate) fn entry() -> Entry {
    Entry {
        def: TransformDef {
            name: "Filter",
            doc: Filter::doc(),
            inputs: Inputs::One,
            error_handling: true,
            fields: Filter::fields,
        },
        decode: |node, d| Filter::from_node(node, d).map(|t| Arc::new(t) as Arc<dyn Transform>),
    }
}

impl Transform for Filter {
    fn bind(&self, inputs: &[InputShape], cx: &mut BindCx<'_>) -> Option<Arc<dyn PlanNode>> {
        let input = only_input(inputs, cx)?;
        let language = language(self.language.as_ref(), cx)?;
        let mut keep = compile(&self.keep, language, &input.shape.schema, cx);
        if let Some(keep) = &mut keep {
            keep.as_condition();
        }
        if language == Language::Sql {
            keep = keep.filter(|k| crate::sql::is_condition(k, &self.keep, cx));
        }
        let policy = Policy::bind(self.error_handling.as_ref(), &input.shape, cx)?;
        let outputs = policy.outputs(input.shape.clone());
        let (keep, schema) = (keep?, input.shape.schema.clone());
        let read = crate::common::all_columns(Some(&input.shape));
        let node = FilterNode { outputs, input: schema, keep: keep.clone(), policy, read };
        Some(behind(Arc::new(node), &[&keep], &input.shape))
    }
}

#[derive(Clone, Debug)]
struct FilterNode {
    outputs: Vec<Output>,
    input: SchemaRef,
    keep: Compiled,
    policy: Policy,
    /// The columns that are read of the rows that stay. Often a condition is all that a column is for.
    read: Vec<bool>,
}

impl PlanNode for FilterNode {
    fn outputs(&self) -> &[Output] {
        &self.outputs
    }

    fn explain(&self) -> String {
        format!("{}{}", self.keep.describe(&self.input), self.policy.explain())
    }

    fn distribution(&self, _: usize) -> Distribution {
        self.policy.distribution()
    }

    fn columns_needed(&self, outputs: &[Vec<bool>], inputs: &[Shape]) -> Vec<Vec<bool>> {
        if self.policy.is_read(outputs, 1) {
            return vec![crate::common::all_columns(inputs.first())];
        }
        let mut columns = read_columns(outputs, 0, self.input.fields().len());
        self.keep.columns().into_iter().for_each(|c| need(&mut columns, c));
        vec![columns]
    }

    fn prune(&self, needed: &[bool]) -> Option<Arc<dyn PlanNode>> {
        (needed.len() == self.read.len())
            .then(|| Arc::new(FilterNode { read: needed.to_vec(), ..self.clone() }) as Arc<dyn PlanNode>)
    }

    fn state(&self) -> Option<StateShape> {
        self.policy.state()
    }

    fn build(&self, cx: &BuildCx) -> Result<Running> {
        let errors = self.policy.start(1, &cx.label);
        let read = self.read.iter().enumerate().filter(|(_, read)| **read).map(|(i, _)| i).collect();
        Ok(Running::Operator(Box::new(FilterOperator { keep: self.keep.clone(), errors, read })))
    }
}

#[derive(Debug)]
struct FilterOperator {
    keep: Compiled,
    errors: Errors,
    /// The columns that are read of the rows that stay.
    read: Vec<usize>,
}

impl FilterOperator {
    /// The rows that stay; if not all do, columns that nobody reads become nulls and are not copied.
    fn kept(&self, batch: &Batch, keep: &BooleanArray) -> Result<Batch> {
        if self.read.len() == batch.rows.num_columns() || keep.true_count() == batch.len() {
            return batch.filter(keep);
        }
        let kept = batch.with_rows(batch.rows.project(&self.read)?).filter(keep)?;
        let (schema, rows) = (batch.schema(), kept.len());
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(schema.fields().len());
        let mut read = self.read.iter().zip(kept.rows.columns()).peekable();
        for (i, field) in schema.fields().iter().enumerate() {
            columns.push(match read.next_if(|(at, _)| **at == i) {
                Some((_, column)) => column.clone(),
                None => new_null_array(field.data_type(), rows),
            });
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        Ok(kept.with_rows(RecordBatch::try_new_with_options(schema, columns, &options)?))
    }
}

/// Which values Python takes for true. Values without a type are read as the JSON they are.
pub(crate) fn truth(values: &ArrayRef, is_any: bool) -> BooleanArray {
    match values.as_string_opt::<i32>() {
        Some(texts) if is_any => {
            let falsy = ["null", "false", "0", "0.0", "-0.0", "\"\"", "[]", "{}"];
            texts.iter().map(|t| Some(t.is_some_and(|t| !falsy.contains(&t)))).collect()
        }
        _ => purlin_expr::truthy(values),
    }
}

impl Operator for FilterOperator {
    fn on_batch(&mut self, _: Port, batch: Batch, cx: &mut OpCx) -> Result<More> {
        let mut failures = Vec::new();
        let (all, batch) = visible(batch)?;
        let values = self.keep.eval(&all, cx.now, &mut failures)?;
        let failed = failures.iter().map(|f| f.row).collect::<std::collections::BTreeSet<_>>().len();
        let mut keep = truth(&values, self.keep.is_any());
        if let Some(good) = self.errors.split(&batch, failures, cx)? {
            keep =
                keep.iter().zip(good.iter()).map(|(k, g)| Some(k == Some(true) && g == Some(true))).collect();
        }
        let rows = batch.len();
        let kept = self.kept(&batch, &keep)?;
        cx.fates.passed += kept.len() as u64;
        cx.fates.filtered += rows.saturating_sub(kept.len() + failed) as u64;
        cx.emit(0, kept);
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

    fn filter(language: &str, keep: &str, errors: Option<&str>) -> Filter {
        Filter {
            keep: expression(keep),
            language: Some(spanned(language)),
            error_handling: handling(errors, None),
        }
    }

    #[test]
    fn rows_that_compare_stay() {
        let rows = r#"[{"a": 1, "b": 3}, {"a": 4, "b": 3}]"#;
        let (_, driver) = testing::run(&filter("generic", "a > b", None), &[rows], false).unwrap();
        assert_eq!(driver.rows(0), [r#"{"a":4,"b":3}"#]);
        assert_eq!((driver.cx.fates.passed, driver.cx.fates.filtered), (1, 1));
        let (_, driver) = testing::run(&filter("generic", "a >= 1", None), &[rows], false).unwrap();
        assert_eq!(driver.rows(0).len(), 2);
    }

    #[test]
    fn values_without_a_type_are_conditions() {
        let rows = r#"[{"s": "apple"}, {"s": "bob"}]"#;
        let keep = "s if s > 'b' else set()";
        let (_, driver) = testing::run(&filter("python", keep, None), &[rows], false).unwrap();
        assert_eq!(driver.rows(0), [r#"{"s":"bob"}"#]);
    }

    #[test]
    fn truth_is_pythons() {
        let kept =
            |rows: &str| testing::run(&filter("generic", "v", None), &[rows], false).unwrap().1.rows(0).len();
        assert_eq!(kept(r#"[{"v": 0}, {"v": 2}, {"v": null}]"#), 1);
        assert_eq!(kept(r#"[{"v": ""}, {"v": "0"}]"#), 1);
        assert_eq!(kept(r#"[{"v": []}, {"v": [0]}]"#), 1);
        assert_eq!(kept(r#"[{"v": 0}, {"v": "0"}, {"v": "x"}, {"v": false}, {"v": []}, {"v": null}]"#), 2);
    }

    #[test]
    fn rows_that_raise_go_to_the_error_output() {
        let rows = r#"[{"a": 1}, {"a": 0}, {"a": -1}]"#;
        let (_, driver) = testing::run(&filter("python", "1 / a > 0", Some("bad")), &[rows], false).unwrap();
        assert_eq!(driver.rows(0), [r#"{"a":1}"#]);
        assert!(
            driver.rows(1)[0].contains(r#"ZeroDivisionError('division by zero')"#),
            "{:?}",
            driver.rows(1)
        );
        assert_eq!(driver.cx.fates.filtered, 1);
        let e = testing::run(&filter("python", "1 / a > 0", None), &[rows], false).unwrap_err();
        assert!(e.contains(r#"{"a":0}"#), "{e}");
    }

    #[cfg(feature = "sql")]
    #[test]
    fn sql_keeps_what_is_true() {
        let rows = r#"[{"a": 5}, {"a": null}, {"a": 1}]"#;
        let (_, driver) = testing::run(&filter("sql", "a > 2", None), &[rows], false).unwrap();
        assert_eq!((driver.rows(0), driver.cx.fates.filtered), (vec![r#"{"a":5}"#.to_owned()], 2));
        let e = testing::run(&filter("calcite", "a + 1", None), &[rows], false).unwrap_err();
        assert!(e.contains("sql/condition"), "{e}");
    }

    #[test]
    fn columns_that_only_the_condition_reads_are_not_copied() {
        let rows = r#"[{"a": 1, "b": 3, "c": "x"}, {"a": 4, "b": 5, "c": "y"}]"#;
        let (node, _) = testing::run(&filter("generic", "a > 1", None), &[rows], false).unwrap();
        let pruned = node.prune(&[false, true, false]).unwrap();
        let mut driver = testing::Driver::new(pruned.as_ref()).unwrap();
        driver.push_json(rows).unwrap();
        assert_eq!(driver.rows(0), [r#"{"a":null,"b":5,"c":null}"#]);
        assert_eq!((driver.cx.fates.passed, driver.cx.fates.filtered), (1, 1));
        // A condition that reads nothing else leaves nothing to copy at all.
        let pruned = node.prune(&[false; 3]).unwrap();
        let mut driver = testing::Driver::new(pruned.as_ref()).unwrap();
        driver.push_json(rows).unwrap();
        assert_eq!(driver.rows(0), [r#"{"a":null,"b":null,"c":null}"#]);
    }

    #[test]
    fn other_languages_are_refused_with_a_way_out() {
        let e = testing::run(&filter("javascript", "a > 0", None), &[r#"[{"a": 1}]"#], false).unwrap_err();
        assert!(e.contains("language/unsupported") && e.contains("language: python"), "{e}");
    }
}
