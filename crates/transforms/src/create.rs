//! `Create`: rows written in the pipeline file.

use crate::common::described;
use bytes::Bytes;
use purlin_api::literal::{Literal, build_rows, infer_rows};
use purlin_api::source::BoxFuture;
use purlin_api::{
    Batch, BindCx, Budget, BuildCx, Entry, Error, ErrorKind, EventTime, Guarantee, InputShape, Output,
    OutputRole, PlanNode, Promise, Pull, Result, Resume, Running, Shape, Source, SourceStatus, StateShape,
    Transform, Windowing, json, key,
};
use purlin_spec::vocabulary::{Inputs, TransformDef};
use purlin_spec::{Config, Diagnostic, Diagnostics, FromNode, Node, Value};
use std::sync::Arc;

purlin_spec::config! {
    /// Makes a collection of the rows that are written in the file: constants, and inputs of tests.
    ///
    /// A mapping is a row; any other value is a row with the one field `element`. Keys that some elements
    /// lack are null there. Types follow from the values: an integer beside a float is a float, a list is
    /// an array, a nested mapping is a nested row, and values that have no common type are carried as they
    /// are (type `any`). Dates must be quoted. The rows have no timestamp (they sit at the start of time)
    /// until `AssignTimestamps` gives them one.
    ///
    /// ```yaml
    /// - type: Create
    ///   config:
    ///     elements:
    ///       - {name: Ann, age: 31}
    ///       - {name: Bob}
    /// ```
    pub struct Create {
        /// The rows, a list. An empty list makes an empty collection.
        pub elements: Vec<Node>,
        /// Spreads the rows over workers on Beam. No effect on results.
        pub reshuffle: bool = true,
    }
}

/// What the catalogue knows of it.
pub(crate) fn entry() -> Entry {
    Entry {
        def: TransformDef {
            name: "Create",
            doc: Create::doc(),
            inputs: Inputs::None,
            error_handling: false,
            fields: Create::fields,
        },
        decode: |node, d| Create::from_node(node, d).map(|t| Arc::new(t) as Arc<dyn Transform>),
    }
}

/// A value written in the file; a diagnostic for what no row can hold.
pub(crate) fn literal(node: &Node, d: &mut Diagnostics) -> Option<Literal> {
    Some(match &node.value {
        Value::Null => Literal::Null,
        Value::Bool(b) => Literal::Bool(*b),
        Value::Int(i) => Literal::Int(*i),
        Value::Float(f) => Literal::Float(*f),
        Value::Text(s) => Literal::Text(s.clone()),
        Value::BigInt(digits) => {
            d.push(
                Diagnostic::error("element/int-range", node.span, format!("`{digits}` does not fit 64 bits"))
                    .help("write a float, or text in quotes"),
            );
            return None;
        }
        Value::Date(text) => {
            d.push(
                Diagnostic::error(
                    "element/date",
                    node.span,
                    format!("`{text}` is a date in YAML, which rows cannot hold"),
                )
                .help(format!("put it in quotes: `'{text}'`")),
            );
            return None;
        }
        Value::List(items) => {
            // All before giving up, so that every problem is reported.
            let items: Vec<Option<Literal>> = items.iter().map(|i| literal(i, d)).collect();
            Literal::List(items.into_iter().collect::<Option<_>>()?)
        }
        Value::Map(fields) => {
            let fields: Vec<Option<(String, Literal)>> =
                fields.iter().map(|(k, e)| Some((k.clone(), literal(&e.node, d)?))).collect();
            Literal::Row(fields.into_iter().collect::<Option<_>>()?)
        }
    })
}

/// All elements, or diagnostics.
pub(crate) fn literals(elements: &[Node], d: &mut Diagnostics) -> Option<Vec<Literal>> {
    let all: Vec<Option<Literal>> = elements.iter().map(|e| literal(e, d)).collect();
    all.into_iter().collect()
}

impl Transform for Create {
    fn bind(&self, _: &[InputShape], cx: &mut BindCx<'_>) -> Option<Arc<dyn PlanNode>> {
        let rows = literals(&self.elements, cx.diagnostics)?;
        let schema = infer_rows(&rows);
        if cx.beam_compat
            && let Some(f) = schema.fields().iter().find(|f| f.data_type() == &arrow_schema::DataType::Null)
        {
            cx.diagnostics.push(
                Diagnostic::error(
                    "create/no-type",
                    cx.span,
                    format!("No types found for field `{}`", f.name()),
                )
                .label("it is null in every element"),
            );
            return None;
        }
        let rows = match build_rows(&schema, &rows) {
            Ok(batch) => batch,
            Err(e) => {
                cx.diagnostics.push(Diagnostic::error("create/elements", cx.span, e.message()));
                return None;
            }
        };
        let shape = Shape { schema, windowing: Arc::new(Windowing::global()), bounded: true };
        let outputs = vec![Output { tag: "out".to_owned(), shape, role: OutputRole::Main }];
        Some(Arc::new(CreateNode { outputs, rows: Batch::untimed(rows) }))
    }
}

#[derive(Debug)]
struct CreateNode {
    outputs: Vec<Output>,
    rows: Batch,
}

impl PlanNode for CreateNode {
    fn outputs(&self) -> &[Output] {
        &self.outputs
    }

    fn explain(&self) -> String {
        match self.rows.len() {
            1 => "1 row".to_owned(),
            n => format!("{n} rows"),
        }
    }

    fn guarantee(&self) -> Option<Guarantee> {
        let because = "its rows stand in the pipeline file".to_owned();
        Some(Guarantee { promise: Promise::ExactlyOnce, because })
    }

    fn state(&self) -> Option<StateShape> {
        let rows: String = (0..self.rows.len())
            .map(|row| format!("{}\n", json::row_to_json(&self.rows.rows, row)))
            .collect();
        let hash = key::hash(rows.as_bytes());
        let fields = described(self.rows.rows.schema_ref().fields());
        Some(StateShape::new(format!("a place in {} rows ({hash:016x}): {fields}", self.rows.len())))
    }

    fn build(&self, cx: &BuildCx) -> Result<Running> {
        // The first lane has them all: they were typed by hand, so there are few.
        let rows = if cx.lane == 0 { self.rows.clone() } else { self.rows.slice(0, 0) };
        Ok(Running::Source(Box::new(Elements { rows, at: 0 })))
    }
}

#[derive(Debug)]
struct Elements {
    rows: Batch,
    /// The next row to give.
    at: usize,
}

impl Source for Elements {
    fn next(&mut self, budget: Budget) -> BoxFuture<'_, Result<Pull>> {
        let n = (self.rows.len() - self.at).min(budget.rows_max.max(1));
        let batch = self.rows.slice(self.at, n);
        self.at += n;
        let done = self.at == self.rows.len();
        let pull = Pull {
            batches: if n > 0 { vec![(0, batch)] } else { Vec::new() },
            watermark: if done { EventTime::MAX } else { EventTime::MIN },
            status: if done { SourceStatus::Done } else { SourceStatus::Ready },
            resume: Resume::Replay((self.at as u64).to_le_bytes().to_vec().into()),
            read: n as u64,
            ..Pull::done()
        };
        Box::pin(async move { Ok(pull) })
    }

    fn restore(&mut self, positions: &[Bytes]) -> Result<()> {
        // Instances without rows stand at 0.
        let at = positions.iter().map(place).collect::<Result<Vec<_>>>()?.into_iter().max().unwrap_or(0);
        if self.rows.is_empty() {
            return Ok(());
        }
        if at > self.rows.len() {
            let text = format!("{at} rows of this Create were read, and it has {}", self.rows.len());
            return Err(Error::new(ErrorKind::Config, text));
        }
        self.at = at;
        Ok(())
    }
}

/// How many rows a position is behind.
fn place(position: &Bytes) -> Result<usize> {
    let bytes = <[u8; 8]>::try_from(position.as_ref()).ok();
    let at = bytes.and_then(|b| usize::try_from(u64::from_le_bytes(b)).ok());
    at.ok_or_else(|| Error::internal("a position of a Create is not a number"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use purlin_api::testing;
    use purlin_spec::Span;
    use std::task::{Context, Poll, Waker};

    fn node(v: Value) -> Node {
        Node::new(v, Span::default())
    }

    fn create(elements: Vec<Value>) -> Create {
        Create { elements: elements.into_iter().map(node).collect(), reshuffle: true }
    }

    fn row(fields: &[(&str, Value)]) -> Value {
        let entry = |v: &Value| purlin_spec::node::Entry { key: Span::default(), node: node(v.clone()) };
        Value::Map(fields.iter().map(|(k, v)| ((*k).to_owned(), entry(v))).collect())
    }

    fn pull(source: &mut dyn Source, rows_max: usize) -> Pull {
        let mut future = source.next(Budget { rows_max, bytes_max: 1 << 20 });
        match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(pull) => pull.unwrap(),
            Poll::Pending => panic!("it has nothing to wait for"),
        }
    }

    #[test]
    fn rows_come_in_pieces_and_then_end() {
        let plan =
            testing::bind(&create(vec![Value::Int(3), Value::Float(0.5), Value::Null]), &[], false).unwrap();
        let cx = BuildCx::one_lane("T", 10);
        let Running::Source(mut source) = plan.build(&cx).unwrap() else { panic!("not a source") };
        let first = pull(source.as_mut(), 2);
        assert_eq!((first.read, first.status, first.watermark), (2, SourceStatus::Ready, EventTime::MIN));
        assert_eq!(json::row_to_json(&first.batches[0].1.rows, 0).to_string(), r#"{"element":3.0}"#);
        let last = pull(source.as_mut(), 2);
        assert_eq!((last.read, last.status, last.watermark), (1, SourceStatus::Done, EventTime::MAX));
        let other = BuildCx { lane: 1, lanes: 2, ..cx };
        let Running::Source(mut source) = plan.build(&other).unwrap() else { panic!("not a source") };
        assert_eq!(pull(source.as_mut(), 2).read, 0);
    }

    #[test]
    fn it_goes_on_from_its_position() {
        let plan = testing::bind(&create((0..5).map(Value::Int).collect()), &[], false).unwrap();
        let start = |lane| {
            let cx = BuildCx { lane, lanes: 2, ..BuildCx::one_lane("T", 10) };
            let Running::Source(source) = plan.build(&cx).unwrap() else { panic!("not a source") };
            source
        };
        let position = |pull: &Pull| match &pull.resume {
            Resume::Replay(position) => position.clone(),
            other => panic!("{other:?}"),
        };
        let first = position(&pull(start(0).as_mut(), 3));
        let second = position(&pull(start(1).as_mut(), 3));
        let mut again = start(0);
        again.restore(&[first.clone(), second.clone()]).unwrap();
        let rest = pull(again.as_mut(), 10);
        assert_eq!((rest.read, rest.status), (2, SourceStatus::Done));
        assert_eq!(json::row_to_json(&rest.batches[0].1.rows, 0).to_string(), r#"{"element":3}"#);
        let mut other = start(1);
        other.restore(&[first, second]).unwrap();
        assert_eq!(pull(other.as_mut(), 10).read, 0);
        assert!(start(0).restore(&[Bytes::from_static(b"x")]).is_err());
        let e = start(0).restore(&[9_u64.to_le_bytes().to_vec().into()]).unwrap_err();
        assert_eq!(e.message(), "9 rows of this Create were read, and it has 5");
        assert_ne!(plan.state(), testing::bind(&create(vec![Value::Int(0)]), &[], false).unwrap().state());
    }

    #[test]
    fn a_field_that_is_null_everywhere_has_no_type_in_beam() {
        let t = create(vec![row(&[("k", Value::Int(1)), ("v", Value::Null)])]);
        let plan = testing::bind(&t, &[], false).unwrap();
        assert_eq!(plan.outputs()[0].shape.schema.field(1).data_type(), &arrow_schema::DataType::Null);
        let e = testing::bind(&t, &[], true).unwrap_err();
        assert!(e.contains("No types found for field `v`"), "{e}");
    }

    #[test]
    fn what_rows_cannot_hold_is_refused() {
        let t = create(vec![
            Value::Date("2024-01-02".to_owned()),
            Value::BigInt("99999999999999999999".to_owned()),
        ]);
        let e = testing::bind(&t, &[], false).unwrap_err();
        assert!(e.contains("element/date") && e.contains("element/int-range"), "{e}");
        let mut d = Diagnostics::default();
        let config = node(row(&[("elements", row(&[("a", Value::Int(1))]))]));
        assert!(Create::from_node(&config, &mut d).is_none());
        assert!(testing::describe(&d).contains("expected a list"), "{}", testing::describe(&d));
    }

    #[test]
    fn no_elements_are_no_rows() {
        let plan = testing::bind(&create(Vec::new()), &[], false).unwrap();
        assert_eq!(plan.explain(), "0 rows");
    }
}
