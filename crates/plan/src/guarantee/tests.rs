use super::*;
use crate::graph::GraphInput;
use insta::assert_snapshot;
use purlin_api::testing::shape;
use purlin_api::{BuildCx, Error, Output, OutputRole, PlanNode, Result, Running, Shape};
use std::sync::Arc;

#[derive(Debug)]
struct Fake {
    outputs: Vec<Output>,
    promise: Option<Promise>,
    /// Promises no more than this where rows go out as they come.
    at_once: Option<Promise>,
}

impl PlanNode for Fake {
    fn outputs(&self) -> &[Output] {
        &self.outputs
    }

    fn explain(&self) -> String {
        String::new()
    }

    fn guarantee(&self) -> Option<Guarantee> {
        self.promise.map(|promise| Guarantee { promise, because: "it is made so".to_owned() })
    }

    fn guarantee_in(&self, c: Circumstances) -> Option<Guarantee> {
        match self.at_once {
            Some(promise) if c.delivery == Delivery::AtLeastOnce || !c.checkpoints => {
                Some(Guarantee { promise, because: "rows are published as they come".to_owned() })
            }
            _ => self.guarantee(),
        }
    }

    fn build(&self, _: &BuildCx) -> Result<Running> {
        Err(Error::internal("never built"))
    }
}

fn no_rows(bounded: bool) -> Shape {
    Shape { bounded, ..shape(Arc::new(arrow_schema::Schema::empty())) }
}

/// A reader, a transform that says nothing, and these writers.
fn graph(reads: Option<Promise>, bounded: bool, writers: &[(Option<Promise>, Option<Promise>)]) -> Graph {
    let output = || vec![Output { tag: "out".to_owned(), shape: no_rows(bounded), role: OutputRole::Main }];
    let mut nodes = vec![
        (Fake { outputs: output(), promise: reads, at_once: None }, "ReadFromX", None),
        (Fake { outputs: output(), promise: None, at_once: None }, "MapToFields", Some(0)),
    ];
    for (promise, at_once) in writers {
        nodes.push((Fake { outputs: Vec::new(), promise: *promise, at_once: *at_once }, "WriteToX", Some(1)));
    }
    let node = |(id, (node, type_name, from)): (usize, (Fake, &str, Option<usize>))| GraphNode {
        id,
        leaf: None,
        label: format!("T{id}"),
        type_name: type_name.to_owned(),
        node: Arc::new(node),
        inputs: from
            .map(|n| GraphInput { tag: "input".to_owned(), from: vec![(n, 0)], shape: no_rows(bounded) })
            .into_iter()
            .collect(),
        span: Span::at(0, 10 * id as u32 + 10, 1, 1),
        implicit: false,
        ahead_of: None,
    };
    Graph { nodes: nodes.into_iter().enumerate().map(node).collect() }
}

const ONCE: Option<Promise> = Some(Promise::ExactlyOnce);
const AT_LEAST: Option<Promise> = Some(Promise::AtLeastOnce);
const AT_MOST: Option<Promise> = Some(Promise::AtMostOnce);

fn line(graph: &Graph, delivery: Delivery) -> String {
    promised(graph, delivery).line(&Sources::default()).unwrap_or_else(|| "unknown".to_owned())
}

#[test]
fn the_weakest_link_is_named() {
    let strong = graph(ONCE, false, &[(ONCE, AT_LEAST), (ONCE, None)]);
    assert_snapshot!(line(&strong, Delivery::ExactlyOnce), @"exactly once");
    assert_snapshot!(line(&strong, Delivery::AtLeastOnce), @r#"at least once, because WriteToX "T2" (line 30): rows are published as they come"#);
    let batch = graph(ONCE, true, &[(ONCE, AT_LEAST)]);
    assert_snapshot!(line(&batch, Delivery::ExactlyOnce), @r#"at least once, because WriteToX "T2" (line 30): rows are published as they come"#);
    let weak = graph(AT_LEAST, false, &[(AT_MOST, None), (ONCE, None), (AT_MOST, None)]);
    assert_snapshot!(line(&weak, Delivery::ExactlyOnce), @r#"at most once, because WriteToX "T2" (line 30): it is made so (1 more of its readers and writers promise no more)"#);
}

#[test]
fn who_does_not_say_leaves_it_unknown() {
    let unknown = promised(&graph(ONCE, false, &[(AT_LEAST, None), (None, None)]), Delivery::ExactlyOnce);
    assert_eq!((unknown.promise(), unknown.line(&Sources::default())), (None, None));
    assert_eq!(unknown.weakest().count(), 0);
    assert_eq!(unknown.links.len(), 3, "the transform between them is none");
}

#[test]
fn programs_are_told_all_links() {
    let mut sources = Sources::default();
    sources.add("p.yaml", "");
    let all = promised(&graph(ONCE, false, &[(AT_LEAST, None)]), Delivery::ExactlyOnce);
    assert_snapshot!(format!("{:#}", all.to_json(&sources)), @r#"
    {
      "promise": "at_least_once",
      "weakest": [
        "T2"
      ],
      "links": [
        {
          "transform": "T0",
          "type": "ReadFromX",
          "file": "p.yaml",
          "line": 10,
          "promise": "exactly_once",
          "because": "it is made so"
        },
        {
          "transform": "T2",
          "type": "WriteToX",
          "file": "p.yaml",
          "line": 30,
          "promise": "at_least_once",
          "because": "it is made so"
        }
      ]
    }
    "#);
}
