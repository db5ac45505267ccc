//! Replays of dead letters: the same pipeline, whose readers give nothing but the letters.
//!
//! [`feed`] changes a pipeline's graph; [`carry_out`] runs it. What a replay shows and what it says of the letters is one
//! effect: the journal names the letters that are taken, all writers prepare, the journal keeps what they answered, they
//! commit, the journal says that it is done. Who finds a replay in the journal that is not done completes it: from what
//! the writers answered if that is there, else from the beginning, under the same name
//! ([ADR 23](../../../docs/adr/0023-dead-letters.md)).

mod carry;

pub use carry::{Death, Replay, carry_out, complete, environment};

use purlin_api::{Error, ErrorKind, Result, Shape};
use purlin_connectors::dead_letters::journal::Given;
use purlin_connectors::dead_letters::letter::Letter;
use purlin_connectors::dead_letters::replay::{nothing, to_input, to_reader};
use purlin_plan::{Feed, Graph, NodeId};
use purlin_spec::suggest;
use std::collections::BTreeMap;

/// Letters, and the rows to give back for them.
pub type Letters<'a> = Vec<(&'a Letter, Given<'a>)>;

/// Where letters go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The transform that refused them.
    pub transform: String,
    /// How many.
    pub letters: usize,
    /// Whether it is a reader, which decodes them once more.
    pub is_reader: bool,
}

/// A graph whose readers give nothing but these letters, each to the transform that refused it.
///
/// # Errors
/// All that is wrong: letters of transforms that are not there, and such that do not fit.
pub fn feed(mut graph: Graph, letters: Letters<'_>) -> Result<(Graph, Vec<Route>), Vec<Error>> {
    let mut by_transform: BTreeMap<&str, Letters<'_>> = BTreeMap::new();
    for (letter, given) in letters {
        by_transform.entry(&letter.transform).or_default().push((letter, given));
    }
    let (mut feeds, mut routes, mut wrong) = (Vec::new(), Vec::new(), Vec::new());
    for node in graph.nodes.iter_mut().filter(|n| n.is_source()) {
        let source = match by_transform.remove(node.label.as_str()) {
            None => Ok(nothing(node.node.as_ref())),
            Some(letters) => {
                routes.push(Route { transform: node.label.clone(), letters: letters.len(), is_reader: true });
                to_reader(node.node.as_ref(), &letters).map_err(|e| e.in_place(&node.label))
            }
        };
        match source {
            Ok(source) => node.node = source,
            Err(e) => wrong.push(e),
        }
    }
    for (label, letters) in by_transform {
        let count = letters.len();
        let made = target(&graph, label, &letters).and_then(|(to, shape)| {
            let node = to_input(&shape, &letters).map_err(|e| e.in_place(label))?;
            Ok(Feed {
                label: format!("{label}[letters]"),
                type_name: "DeadLetters".to_owned(),
                node,
                to: (to, 0),
            })
        });
        match made {
            Ok(feed) => {
                feeds.push(feed);
                routes.push(Route { transform: label.to_owned(), letters: count, is_reader: false });
            }
            Err(e) => wrong.push(e),
        }
    }
    if wrong.is_empty() { Ok((graph.fed(feeds), routes)) } else { Err(wrong) }
}

/// The node whose only input takes the rows that a transform refused, and that input's shape.
fn target(graph: &Graph, label: &str, letters: &Letters<'_>) -> Result<(NodeId, Shape)> {
    let refuse = |text: String| Err(Error::new(ErrorKind::Config, text));
    let Some(node) = graph.nodes.iter().find(|n| n.label == label) else {
        let known = graph.nodes.iter().filter(|n| !n.implicit).map(|n| n.label.as_str());
        let near =
            suggest::nearest(label, known).map(|n| format!("; was it renamed to `{n}`?")).unwrap_or_default();
        let first = letters.first().map_or("", |(l, _)| l.id.as_str());
        return refuse(format!(
            "the pipeline has no transform `{label}`, which refused {} letters, such as {first}{near}",
            letters.len()
        ));
    };
    let [input] = node.inputs.as_slice() else {
        return refuse(format!(
            "`{label}` has several inputs: it is not known which of them a letter came from"
        ));
    };
    // A part of it may stand before it: what computes outside the program, what makes messages of rows.
    let ahead = match input.from.as_slice() {
        [(from, _)] => graph.get(*from).filter(|n| n.ahead_of.as_deref() == Some(label)),
        _ => None,
    };
    match ahead.and_then(|n| Some((n.id, n.inputs.first()?.shape.clone()))) {
        Some(ahead) => Ok(ahead),
        None => Ok((node.id, input.shape.clone())),
    }
}
