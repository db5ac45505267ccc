//! The graph: bound transforms, and what flows between them.

use purlin_api::{OutPort, PlanNode, Port, Shape};
use purlin_spec::Span;
use purlin_spec::model::LeafId;
use std::sync::Arc;

/// The place of a node in [`Graph::nodes`].
pub type NodeId = usize;

/// All transforms of a pipeline, each after those it reads.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    /// In topological order; a node's id is its place.
    pub nodes: Vec<GraphNode>,
}

/// One transform, bound.
#[derive(Clone, Debug)]
pub struct GraphNode {
    /// Its place in [`Graph::nodes`].
    pub id: NodeId,
    /// The transform of the file that it is, or belongs to.
    pub leaf: Option<LeafId>,
    /// Its name for people and for state: unique in the graph.
    pub label: String,
    /// Its type, such as `Combine`.
    pub type_name: String,
    /// What it does.
    pub node: Arc<dyn PlanNode>,
    /// What it reads; the index is the port.
    pub inputs: Vec<GraphInput>,
    /// Where its transform stands in the file.
    pub span: Span,
    /// True for what the author left implicit: flattening, windowing, schema checks, partial steps.
    pub implicit: bool,
    /// The label of the node that put this one before itself ([`PlanNode::ahead`], [`PlanNode::ahead_of`]): the two are one
    /// transform, which takes what this one takes.
    pub ahead_of: Option<String>,
}

/// One input of a node.
#[derive(Clone, Debug)]
pub struct GraphInput {
    /// Its tag: `input`, or the author's name for it.
    pub tag: String,
    /// What it reads. Several are merged: they have the same columns.
    pub from: Vec<(NodeId, OutPort)>,
    /// What comes in.
    pub shape: Shape,
}

/// One edge of the graph: an output that an input reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Edge {
    /// The output.
    pub from: (NodeId, OutPort),
    /// The input.
    pub to: (NodeId, Port),
}

/// A source to put before a graph.
#[derive(Clone, Debug)]
pub struct Feed {
    /// Its name, unlike all others.
    pub label: String,
    /// Its type, for people.
    pub type_name: String,
    /// What it does: output 0 has the columns of the input.
    pub node: Arc<dyn PlanNode>,
    /// The input that reads it beside what it reads already.
    pub to: (NodeId, Port),
}

impl GraphNode {
    /// True if nothing flows in: it reads from outside.
    pub fn is_source(&self) -> bool {
        self.inputs.is_empty()
    }

    /// True if nothing flows out: it writes to outside.
    pub fn is_sink(&self) -> bool {
        !self.inputs.is_empty() && self.node.outputs().is_empty()
    }
}

impl Graph {
    /// The same graph with further sources, which come first; all other ids grow by their number.
    #[must_use]
    pub fn fed(self, feeds: Vec<Feed>) -> Graph {
        let shift = feeds.len();
        let mut old = self.nodes;
        for node in &mut old {
            node.id += shift;
            for (from, _) in node.inputs.iter_mut().flat_map(|i| &mut i.from) {
                *from += shift;
            }
        }
        let mut nodes = Vec::with_capacity(shift + old.len());
        for (id, feed) in feeds.into_iter().enumerate() {
            let (to, port) = feed.to;
            let Some(reader) = old.get_mut(to) else { continue };
            let span = reader.span;
            if let Some(input) = reader.inputs.get_mut(port) {
                input.from.push((id, 0));
            }
            nodes.push(GraphNode {
                id,
                leaf: None,
                label: feed.label,
                type_name: feed.type_name,
                node: feed.node,
                inputs: Vec::new(),
                span,
                implicit: false,
                ahead_of: None,
            });
        }
        nodes.extend(old);
        Graph { nodes }
    }

    /// A node.
    pub fn get(&self, id: NodeId) -> Option<&GraphNode> {
        self.nodes.get(id)
    }

    /// True if some source never ends by itself: such a pipeline is live, and has epochs and checkpoints.
    pub fn is_live(&self) -> bool {
        let sources = self.nodes.iter().filter(|n| n.is_source());
        sources.flat_map(|n| n.node.outputs()).any(|o| !o.shape.bounded)
    }

    /// True if rows that fail may be kept as dead letters.
    pub fn keeps_letters(&self) -> bool {
        self.nodes.iter().any(|n| n.type_name == crate::resolve::DEAD_LETTERS)
    }

    /// All edges, by reader, port, and order of merging.
    pub fn edges(&self) -> impl Iterator<Item = Edge> + '_ {
        self.nodes.iter().flat_map(|n| {
            n.inputs.iter().enumerate().flat_map(move |(port, i)| {
                i.from.iter().map(move |from| Edge { from: *from, to: (n.id, port) })
            })
        })
    }

    /// Who reads an output.
    pub fn readers(&self, from: (NodeId, OutPort)) -> impl Iterator<Item = (NodeId, Port)> + '_ {
        self.edges().filter(move |e| e.from == from).map(|e| e.to)
    }

    /// The label of a node, and of its output if it has several: `Partition.big`.
    pub fn output_name(&self, (id, port): (NodeId, OutPort)) -> String {
        let Some(node) = self.nodes.get(id) else { return format!("#{id}") };
        match node.node.outputs().get(port) {
            Some(o) if node.node.outputs().len() > 1 => format!("{}.{}", node.label, o.tag),
            _ => node.label.clone(),
        }
    }
}
