//! Readers are divided among lanes, after everything else: they know what they read by then.

use crate::graph::Graph;
use purlin_api::Division;

/// Divides the readers that offer it, if there are lanes to divide them among.
pub(crate) fn divide(graph: &mut Graph, how: Division) {
    if how.lanes < 2 {
        return;
    }
    for node in graph.nodes.iter_mut().filter(|n| n.is_source()) {
        if let Some(divided) = node.node.divide(how) {
            node.node = divided;
        }
    }
}
