//! Columns that nobody reads are not read from outside either, nor copied on the way.

use crate::graph::{Graph, GraphNode, NodeId};
use purlin_api::{Distribution, OutPort, Output, Shape};
use std::collections::BTreeSet;

/// Tells each node which columns of its first output are read, walking from the sinks backwards.
pub(crate) fn prune(graph: &mut Graph) {
    let read: BTreeSet<(NodeId, OutPort)> = graph.edges().map(|e| e.from).collect();
    // What nobody reads is computed all the same: it may fail, or be logged.
    let at_first = |n: &GraphNode, (port, o): (OutPort, &Output)| {
        vec![!read.contains(&(n.id, port)); o.shape.schema.fields().len()]
    };
    let mut needed: Vec<Vec<Vec<bool>>> = graph
        .nodes
        .iter()
        .map(|n| n.node.outputs().iter().enumerate().map(|o| at_first(n, o)).collect())
        .collect();
    for node in graph.nodes.iter_mut().rev() {
        let Some(outputs) = needed.get(node.id).cloned() else { continue };
        narrow(node, &outputs);
        for (input, columns) in node.inputs.iter().zip(inputs_needed(node, &outputs)) {
            for (from, port) in &input.from {
                let Some(known) = needed.get_mut(*from).and_then(|o| o.get_mut(*port)) else { continue };
                for (i, known) in known.iter_mut().enumerate() {
                    // What a node does not answer for is needed.
                    *known |= columns.get(i).copied().unwrap_or(true);
                }
            }
        }
    }
}

fn narrow(node: &mut GraphNode, outputs: &[Vec<bool>]) {
    let Some(columns) = outputs.first() else { return };
    if columns.iter().all(|c| *c) {
        return;
    }
    if let Some(pruned) = node.node.prune(columns) {
        node.node = pruned;
    }
}

/// The columns a node reads of each input: for its outputs, and to be spread by.
fn inputs_needed(node: &GraphNode, outputs: &[Vec<bool>]) -> Vec<Vec<bool>> {
    let shapes: Vec<Shape> = node.inputs.iter().map(|i| i.shape.clone()).collect();
    let mut columns = node.node.columns_needed(outputs, &shapes);
    columns.resize(shapes.len(), Vec::new());
    for (port, (columns, shape)) in columns.iter_mut().zip(&shapes).enumerate() {
        columns.resize(shape.schema.fields().len(), true);
        if let Distribution::Keyed(keys) = node.node.distribution(port) {
            for key in keys {
                if let Some(c) = columns.get_mut(key) {
                    *c = true;
                }
            }
        }
    }
    columns
}
