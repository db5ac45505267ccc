//! Rewrites: the same results for less work. One file each.

mod lift;
mod prune;

use crate::graph::Graph;

/// All rewrites. Columns are left out before aggregations are split: the parts need not say what they read.
pub(crate) fn rewrite(graph: &mut Graph) {
    prune::prune(graph);
    lift::lift(graph);
}

#[cfg(test)]
mod tests;
