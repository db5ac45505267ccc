//! Rewrites: the same results for less work. One file each.

mod divide;
mod lift;
mod prune;

pub(crate) use divide::divide;

use crate::graph::Graph;

/// All rewrites. Columns are left out before aggregations are split: the parts need not say what they read.
pub(crate) fn rewrite(graph: &mut Graph) {
    prune::prune(graph);
    lift::lift(graph);
}

#[cfg(test)]
mod tests;
