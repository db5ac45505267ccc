//! `AssertEqual`: the run fails unless a collection is what it should be.

use crate::common::only_input;
use crate::create::literals;
use purlin_api::state::{Entries, KeySlots, LaneCell};
use purlin_api::{
    Batch, BindCx, BuildCx, Distribution, Entry, Error, InputShape, More, OpCx, Operator, Output, PlanNode,
    Port, Result, Running, StateShape, StateTable, Transform, json, key,
};
use purlin_spec::vocabulary::{Inputs, TransformDef};
use purlin_spec::{Config, FromNode, Node};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

purlin_spec::config! {
    /// Fails the run unless its input has exactly these rows. For tests inside a pipeline file.
    ///
    /// Order does not matter, how often a row occurs does. Fields that are null count as missing on both
    /// sides, and numbers are compared by value. It has no output.
    ///
    /// ```yaml
    /// - type: AssertEqual
    ///   input: Totals
    ///   config:
    ///     elements:
    ///       - {customer: Ann, total: 7.5}
    /// ```
    pub struct AssertEqual {
        /// The rows, written as in `Create`.
        pub elements: Vec<Node>,
    }
}

/// What the catalogue knows of it.
pub(crate) fn entry() -> Entry {
    Entry {
        def: TransformDef {
            name: "AssertEqual",
            doc: AssertEqual::doc(),
            inputs: Inputs::One,
            error_handling: false,
            fields: AssertEqual::fields,
        },
        decode: |node, d| AssertEqual::from_node(node, d).map(|t| Arc::new(t) as Arc<dyn Transform>),
    }
}

/// Rows that a message shows of each kind.
const SHOWN_MAX: usize = 10;
/// Longest print of a row, in characters.
const ROW_CHARS_MAX: usize = 300;

impl Transform for AssertEqual {
    fn bind(&self, inputs: &[InputShape], cx: &mut BindCx<'_>) -> Option<Arc<dyn PlanNode>> {
        only_input(inputs, cx)?;
        let elements = literals(&self.elements, cx.diagnostics)?;
        let mut expected = BTreeMap::new();
        for element in &elements {
            let row = match element.to_json() {
                row @ Value::Object(_) => row,
                other => Value::Object([("element".to_owned(), other)].into_iter().collect()),
            };
            *expected.entry(canonical(row)).or_insert(0_u64) += 1;
        }
        Some(Arc::new(AssertNode { expected: Arc::new(expected), rows: elements.len() }))
    }
}

/// One text for all rows that count as equal: sorted keys, no nulls, whole floats as integers.
fn canonical(row: Value) -> String {
    normal(row).to_string()
}

fn normal(v: Value) -> Value {
    /// Below this every whole float is an integer of its own.
    const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;
    match v {
        Value::Object(fields) => {
            let fields: BTreeMap<String, Value> =
                fields.into_iter().filter(|(_, v)| !v.is_null()).map(|(k, v)| (k, normal(v))).collect();
            Value::Object(fields.into_iter().collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(normal).collect()),
        Value::Number(n) => match n.as_f64() {
            Some(f) if n.is_f64() && f.fract() == 0.0 && f.abs() < WHOLE_MAX => Value::from(f as i64),
            _ => Value::Number(n),
        },
        other => other,
    }
}

#[derive(Debug)]
struct AssertNode {
    expected: Arc<BTreeMap<String, u64>>,
    rows: usize,
}

impl PlanNode for AssertNode {
    fn outputs(&self) -> &[Output] {
        &[]
    }

    fn explain(&self) -> String {
        format!("{} rows expected", self.rows)
    }

    fn distribution(&self, _: usize) -> Distribution {
        Distribution::Single
    }

    fn state(&self) -> Option<StateShape> {
        let expected: String = self.expected.iter().map(|(row, n)| format!("{n} {row}\n")).collect();
        let hash = key::hash(expected.as_bytes());
        Some(StateShape::new(format!("rows seen of those expected ({} rows, {hash:016x})", self.rows)))
    }

    fn build(&self, cx: &BuildCx) -> Result<Running> {
        // Rows are only compared where they meet: other lanes get none.
        let expected = if cx.lane == 0 { Arc::clone(&self.expected) } else { Arc::default() };
        Ok(Running::Operator(Box::new(Compare {
            expected,
            seen: Entries::new("seen", KeySlots::own(cx)),
            unexpected: Entries::new("unexpected", KeySlots::own(cx)),
            unexpected_rows: LaneCell::new("unexpected rows", cx, |a, b| a + b),
            label: cx.label.clone(),
        })))
    }
}

/// Memory is bounded by what is expected: of other rows it keeps a few examples and the count.
#[derive(Debug)]
struct Compare {
    expected: Arc<BTreeMap<String, u64>>,
    /// How many came of each row that is expected.
    seen: Entries<u64>,
    /// How many came of some rows that are not.
    unexpected: Entries<u64>,
    unexpected_rows: LaneCell<u64>,
    label: String,
}

impl Compare {
    fn saw(&mut self, text: String) {
        let seen = self.seen.get(text.as_bytes()).copied().unwrap_or(0);
        if self.expected.get(&text).is_some_and(|wanted| seen < *wanted) {
            self.seen.put(Arc::from(text.into_bytes()), seen + 1);
            return;
        }
        self.unexpected_rows.set(*self.unexpected_rows + 1);
        let shown: Arc<[u8]> = Arc::from(json::shortened(text, ROW_CHARS_MAX).into_bytes());
        if self.unexpected.len() < SHOWN_MAX || self.unexpected.get(&shown).is_some() {
            *self.unexpected.entry(shown, || 0) += 1;
        }
    }

    /// The rows that did not come, and how many of each.
    fn missing(&self) -> impl Iterator<Item = (&String, u64)> {
        let seen = |row: &String| self.seen.get(row.as_bytes()).copied().unwrap_or(0);
        self.expected.iter().map(move |(row, wanted)| (row, wanted.saturating_sub(seen(row))))
    }

    /// Examples of rows that nobody expected.
    fn examples(&self) -> Vec<String> {
        let text = |(row, n): (&Arc<[u8]>, &u64)| (String::from_utf8_lossy(row).into_owned(), *n);
        let mut rows: Vec<(String, u64)> = self.unexpected.iter().map(text).collect();
        rows.sort_unstable();
        rows.into_iter().flat_map(|(row, n)| (0..n).map(move |_| row.clone())).take(SHOWN_MAX).collect()
    }
}

impl Operator for Compare {
    fn on_batch(&mut self, _: Port, batch: Batch, cx: &mut OpCx) -> Result<More> {
        for row in 0..batch.len() {
            self.saw(canonical(json::row_to_json(&batch.rows, row)));
        }
        cx.fates.in_state += batch.len() as u64;
        Ok(More::No)
    }

    fn tables(&mut self) -> Vec<&mut dyn StateTable> {
        vec![&mut self.seen, &mut self.unexpected, &mut self.unexpected_rows]
    }

    fn restored(&mut self, cx: &mut OpCx) -> Result<()> {
        cx.fates.in_state = self.seen.iter().map(|(_, n)| n).sum::<u64>() + *self.unexpected_rows;
        Ok(())
    }

    fn on_end(&mut self, cx: &mut OpCx) -> Result<More> {
        cx.fates.passed += std::mem::take(&mut cx.fates.in_state);
        let missing: u64 = self.missing().map(|(_, n)| n).sum();
        if missing == 0 && *self.unexpected_rows == 0 {
            return Ok(More::No);
        }
        let shown: Vec<String> = self
            .missing()
            .flat_map(|(row, left)| (0..left).map(move |_| json::shortened(row.clone(), ROW_CHARS_MAX)))
            .take(SHOWN_MAX)
            .collect();
        let list = |rows: &[String], all: u64| match all - rows.len() as u64 {
            0 => rows.join(", "),
            more => format!("{} and {more} more", rows.join(", ")),
        };
        let mut text = "the rows are not those expected".to_owned();
        if missing > 0 {
            text.push_str(&format!("; missing elements: {}", list(&shown, missing)));
        }
        if *self.unexpected_rows > 0 {
            text.push_str(&format!(
                "; unexpected elements: {}",
                list(&self.examples(), *self.unexpected_rows)
            ));
        }
        Err(Error::data(text).in_place(&self.label))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use purlin_api::testing;
    use purlin_spec::{Span, node};

    fn assert_equal(rows: &[&[(&str, node::Value)]]) -> AssertEqual {
        let wrap = |v: node::Value| Node::new(v, Span::default());
        let entry = |v: &node::Value| node::Entry { key: Span::default(), node: wrap(v.clone()) };
        let row = |r: &[(&str, node::Value)]| {
            wrap(node::Value::Map(r.iter().map(|(k, v)| ((*k).into(), entry(v))).collect()))
        };
        AssertEqual { elements: rows.iter().map(|r| row(r)).collect() }
    }

    #[test]
    fn order_nulls_and_kinds_of_number_do_not_matter() {
        let t = assert_equal(&[
            &[("a", node::Value::Int(2)), ("b", node::Value::Text("x".to_owned()))],
            &[("a", node::Value::Int(1))],
        ]);
        let rows = r#"[{"b": null, "a": 1.0}, {"b": "x", "a": 2.0}]"#;
        let (_, driver) = testing::run(&t, &[rows], false).unwrap();
        assert!(driver.emitted.is_empty());
        assert_eq!(driver.cx.fates.passed, 2);
    }

    #[test]
    fn what_differs_is_named() {
        let t = assert_equal(&[&[("a", node::Value::Int(1))], &[("a", node::Value::Int(1))]]);
        let e = testing::run(&t, &[r#"[{"a": 1}, {"a": 3}]"#], false).unwrap_err();
        assert_eq!(
            e,
            r#"transform `T`: the rows are not those expected; missing elements: {"a":1}; unexpected elements: {"a":3}"#
        );
        let e = testing::run(&t, &[r#"[{"a": 1}, {"a": 1}, {"a": 1}]"#], false).unwrap_err();
        assert!(e.contains(r#"unexpected elements: {"a":1}"#) && !e.contains("missing"), "{e}");
    }
}
