//! The order of binding: each leaf after those it reads.

use purlin_spec::model::{Leaf, LeafId};
use purlin_spec::{Diagnostic, Diagnostics};
use std::collections::{BTreeMap, BTreeSet};

/// The leaves in topological order, file order where there is a choice. Those on a cycle, or behind one,
/// are left out and the cycle is named.
pub(crate) fn order(leaves: &[Leaf], d: &mut Diagnostics) -> Vec<LeafId> {
    let reads: Vec<BTreeSet<LeafId>> =
        leaves.iter().map(|l| l.inputs.iter().flat_map(|i| &i.from).map(|r| r.leaf).collect()).collect();
    let mut waiting: Vec<usize> = reads.iter().map(BTreeSet::len).collect();
    let mut readers: BTreeMap<LeafId, Vec<LeafId>> = BTreeMap::new();
    for (id, from) in reads.iter().enumerate() {
        for f in from {
            if *f >= leaves.len() {
                unknown(leaves, id, d);
            }
            readers.entry(*f).or_default().push(id);
        }
    }
    let mut ready: BTreeSet<LeafId> =
        waiting.iter().enumerate().filter(|(_, n)| **n == 0).map(|(id, _)| id).collect();
    let mut order = Vec::with_capacity(leaves.len());
    while let Some(id) = ready.pop_first() {
        order.push(id);
        for reader in readers.get(&id).into_iter().flatten() {
            if let Some(n) = waiting.get_mut(*reader) {
                *n -= 1;
                if *n == 0 {
                    ready.insert(*reader);
                }
            }
        }
    }
    if order.len() < leaves.len() {
        name_cycle(leaves, &reads, &order.iter().copied().collect(), d);
    }
    order
}

fn unknown(leaves: &[Leaf], id: LeafId, d: &mut Diagnostics) {
    let Some(leaf) = leaves.get(id) else { return };
    d.push(Diagnostic::error(
        "plan/internal",
        leaf.span,
        format!("`{}` reads a transform that does not exist; please report it", leaf.label()),
    ));
}

/// From the first leaf that could not be ordered, backwards through others, until one comes again.
fn name_cycle(leaves: &[Leaf], reads: &[BTreeSet<LeafId>], done: &BTreeSet<LeafId>, d: &mut Diagnostics) {
    let stuck = |id: &LeafId| *id < leaves.len() && !done.contains(id);
    let mut path: Vec<LeafId> = Vec::new();
    let mut at = (0..leaves.len()).find(stuck);
    while let Some(id) = at {
        if let Some(start) = path.iter().position(|p| *p == id) {
            // The path runs against the flow; people read with it.
            let mut names: Vec<String> = path
                .iter()
                .skip(start)
                .chain([&id])
                .filter_map(|p| leaves.get(*p))
                .map(Leaf::label)
                .collect();
            names.reverse();
            let Some(leaf) = leaves.get(id) else { return };
            d.push(
                Diagnostic::error(
                    "cycle/transforms",
                    leaf.span,
                    format!("transforms form a cycle: {}", names.join(" -> ")),
                )
                .label("it waits for its own output"),
            );
            return;
        }
        path.push(id);
        at = reads.get(id).and_then(|r| r.iter().copied().find(stuck));
    }
}
