//! Aggregations start where the rows are, so that fewer rows are shuffled.

use crate::graph::{Graph, GraphInput, GraphNode, NodeId};
use purlin_api::OutPort;
use purlin_api::transform::Lifted;

/// Splits each aggregation that offers it into a partial step and one that completes it.
pub(crate) fn lift(graph: &mut Graph) {
    let mut nodes: Vec<GraphNode> = Vec::with_capacity(graph.nodes.len());
    // Where each old node went.
    let mut moved: Vec<NodeId> = Vec::with_capacity(graph.nodes.len());
    for mut node in std::mem::take(&mut graph.nodes) {
        for (id, _) in node.inputs.iter_mut().flat_map(|i| &mut i.from) {
            *id = moved.get(*id).copied().unwrap_or(*id);
        }
        match offer(&node) {
            Some(lifted) => moved.push(split(node, lifted, &mut nodes)),
            None => {
                node.id = nodes.len();
                moved.push(node.id);
                nodes.push(node);
            }
        }
    }
    graph.nodes = nodes;
}

/// What the node offers, if its parts fit in its place.
fn offer(node: &GraphNode) -> Option<Lifted> {
    let lifted = if node.inputs.len() == 1 { node.node.lift()? } else { return None };
    let tags = |n: &dyn purlin_api::PlanNode| n.outputs().iter().map(|o| o.tag.clone()).collect::<Vec<_>>();
    let fits =
        lifted.partial.outputs().len() == 1 && tags(lifted.complete.as_ref()) == tags(node.node.as_ref());
    fits.then_some(lifted)
}

/// Puts both steps in; readers then read the second.
fn split(node: GraphNode, lifted: Lifted, nodes: &mut Vec<GraphNode>) -> NodeId {
    const OUT: OutPort = 0;
    let id = nodes.len();
    let tag = node.inputs.first().map_or_else(|| "input".to_owned(), |i| i.tag.clone());
    let shape = lifted.partial.outputs().first().map(|o| o.shape.clone());
    let partial = GraphNode {
        id,
        label: format!("{}[partial]", node.label),
        node: lifted.partial,
        inputs: node.inputs.clone(),
        implicit: true,
        ahead_of: None,
        ..node.clone()
    };
    nodes.push(partial);
    let inputs = shape.into_iter().map(|shape| GraphInput { tag: tag.clone(), from: vec![(id, OUT)], shape });
    nodes.push(GraphNode { id: id + 1, node: lifted.complete, inputs: inputs.collect(), ..node });
    id + 1
}
