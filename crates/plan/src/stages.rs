//! From a graph to stages: which transforms run in one another's arms, and how rows travel between.
//!
//! A transform joins the stage it reads from when all its inputs come from there and its rows may stay in
//! the lane they are in. Else it starts a stage: at a shuffle by key, where lanes come together, where
//! several stages meet, before a sink when there are lanes to overlap writing with, and at a transform that
//! asks something outside: what is in flight there must not overtake, nor hold up, what runs before it.
//! A reader whose work is divided has several lanes from the start, and so has what follows it up to the next such place.
//!
//! A transform that starts a stage only reads stages made before, and one that joins a stage only reads that
//! stage: so stages are numbered in topological order.

use crate::graph::{Graph, GraphNode, NodeId};
use purlin_api::{Distribution, OutPort, Port};
use std::collections::BTreeSet;

/// The stages of a plan.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stages {
    /// In topological order.
    pub stages: Vec<Stage>,
    /// The edges of the graph that cross from one stage to another; all others are fused.
    pub edges: Vec<StageEdge>,
}

/// Transforms that run as one: rows go from one to the next without leaving their lane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stage {
    /// Its place in [`Stages::stages`].
    pub id: usize,
    /// Its nodes, in topological order; edges between them run in place.
    pub nodes: Vec<NodeId>,
    /// How many instances of it run side by side.
    pub lanes: usize,
}

/// An edge that crosses from one stage to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StageEdge {
    /// The output.
    pub from: (NodeId, OutPort),
    /// The input.
    pub to: (NodeId, Port),
    /// How rows are spread over the reader's lanes.
    pub exchange: Exchange,
}

/// How rows travel from the lanes of one stage to those of another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exchange {
    /// Lane i to lane i; both sides have as many lanes.
    Forward,
    /// Rows with equal values in these columns meet in one lane.
    Shuffle(Vec<usize>),
    /// All to lane 0.
    Gather,
    /// Batches in turn to each lane.
    Spread,
}

impl Stages {
    /// The stage a node is in.
    pub fn of(&self, node: NodeId) -> Option<&Stage> {
        self.stages.iter().find(|s| s.nodes.contains(&node))
    }
}

/// What a node asks of its lanes, all ports together.
enum Wants {
    /// Any lanes.
    Any,
    /// As many lanes as there are, at the head of a stage.
    Apart,
    /// As many as keyed stages get, met by key.
    Keyed,
    /// One lane.
    Single,
    /// One lane, and apart from what it reads when there are lanes to overlap with.
    Sink,
}

fn wants(node: &GraphNode) -> Wants {
    if node.is_sink() {
        return Wants::Sink;
    }
    let mut wants = Wants::Any;
    for port in 0..node.inputs.len() {
        match node.node.distribution(port) {
            Distribution::Any => {}
            Distribution::Keyed(columns) if !columns.is_empty() => wants = Wants::Keyed,
            // Rows without a key all meet.
            Distribution::Keyed(_) | Distribution::Single => return Wants::Single,
        }
    }
    if node.node.is_async() && matches!(wants, Wants::Any) { Wants::Apart } else { wants }
}

/// Puts the nodes of a graph into stages; keyed ones and divided readers get up to `lanes` lanes.
pub fn fuse(graph: &Graph, lanes: usize) -> Stages {
    let lanes = lanes.max(1);
    let mut stages: Vec<Stage> = Vec::new();
    let mut stage_of: Vec<usize> = Vec::with_capacity(graph.nodes.len());
    for node in &graph.nodes {
        let from: BTreeSet<usize> = node
            .inputs
            .iter()
            .flat_map(|i| &i.from)
            .filter_map(|(id, _)| stage_of.get(*id).copied())
            .collect();
        let lanes_of = |s: &usize| stages.get(*s).map_or(1, |s| s.lanes);
        let only = if from.len() == 1 { from.first().copied() } else { None };
        let wants = wants(node);
        let joins = only.filter(|s| match wants {
            _ if node.node.is_async() => false,
            Wants::Any => true,
            Wants::Apart => false,
            Wants::Keyed | Wants::Sink => lanes == 1,
            Wants::Single => lanes_of(s) == 1,
        });
        let stage = match joins {
            Some(s) => s,
            None => {
                let lanes = match wants {
                    Wants::Keyed | Wants::Apart => lanes,
                    Wants::Single | Wants::Sink => 1,
                    Wants::Any if node.is_source() => node.node.lanes_max().clamp(1, lanes),
                    Wants::Any => from.iter().map(lanes_of).max().unwrap_or(1),
                };
                stages.push(Stage { id: stages.len(), nodes: Vec::new(), lanes });
                stages.len() - 1
            }
        };
        stage_of.push(stage);
        if let Some(s) = stages.get_mut(stage) {
            s.nodes.push(node.id);
        }
    }
    let edges = crossing(graph, &stages, &stage_of);
    Stages { stages, edges }
}

fn crossing(graph: &Graph, stages: &[Stage], stage_of: &[usize]) -> Vec<StageEdge> {
    let mut edges = Vec::new();
    for edge in graph.edges() {
        let (from, to) = (stage_of.get(edge.from.0), stage_of.get(edge.to.0));
        if from == to {
            continue;
        }
        let lanes = |s: Option<&usize>| s.and_then(|s| stages.get(*s)).map_or(1, |s| s.lanes);
        let (before, after) = (lanes(from), lanes(to));
        let distribution = graph.get(edge.to.0).map_or(Distribution::Any, |n| n.node.distribution(edge.to.1));
        let exchange = match distribution {
            Distribution::Keyed(columns) if after > 1 && !columns.is_empty() => Exchange::Shuffle(columns),
            _ if before == after => Exchange::Forward,
            _ if after == 1 => Exchange::Gather,
            _ => Exchange::Spread,
        };
        edges.push(StageEdge { from: edge.from, to: edge.to, exchange });
    }
    edges
}

#[cfg(test)]
mod tests;
