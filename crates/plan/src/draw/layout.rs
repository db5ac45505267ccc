//! Where boxes go: a layered layout, top to bottom.
//!
//! A node's layer is the length of the longest way to it. Edges over several layers get a bend in each layer
//! between. Inside a layer, places are ordered by the mean place of their neighbours, sweeping down and up a
//! few times; ties keep the order before, so the picture depends on the graph alone.

use crate::graph::{Edge, Graph, NodeId};
use std::collections::BTreeMap;

/// Distance between two boxes, in pixels.
pub(super) const GAP: f64 = 28.0;
/// Distance between two layers.
pub(super) const LAYER_GAP: f64 = 46.0;
/// Width of the way of an edge through a layer.
const BEND: f64 = 10.0;
const SWEEPS: usize = 6;

/// A picture: boxes and the ways of edges.
pub(super) struct Layout {
    /// By node: centre x, top y.
    pub(super) boxes: Vec<(f64, f64)>,
    /// Each edge with the points it goes through.
    pub(super) ways: Vec<(Edge, Vec<(f64, f64)>)>,
    pub(super) width: f64,
    pub(super) height: f64,
}

/// A box, or a bend of an edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Slot {
    Node(NodeId),
    Bend(usize, usize),
}

struct Layers {
    /// Slots by layer, left to right.
    slots: Vec<Vec<Slot>>,
    /// Slots one layer up and one down that a slot is tied to.
    up: BTreeMap<Slot, Vec<Slot>>,
    down: BTreeMap<Slot, Vec<Slot>>,
}

/// Lays a graph out; `size` gives the width and height of a node's box.
pub(super) fn layout(graph: &Graph, size: impl Fn(NodeId) -> (f64, f64)) -> Layout {
    let edges: Vec<Edge> = graph.edges().filter(|e| e.from.0 < e.to.0).collect();
    let mut layer: Vec<usize> = vec![0; graph.nodes.len()];
    // Nodes stand after those they read, so one pass is enough.
    for node in &graph.nodes {
        let above = node.inputs.iter().flat_map(|i| &i.from).filter(|(from, _)| *from < node.id);
        let depth = above.filter_map(|(from, _)| layer.get(*from)).map(|l| l + 1).max().unwrap_or(0);
        if let Some(l) = layer.get_mut(node.id) {
            *l = depth;
        }
    }
    let mut layers = layered(graph, &edges, &layer);
    layers.sweep();
    place(graph, &edges, &layers, &layer, size)
}

/// The slots an edge goes through: its ends, and a bend in each layer between.
fn chain(edge_no: usize, edge: &Edge, layer: &[usize]) -> Vec<Slot> {
    let of = |id: NodeId| layer.get(id).copied().unwrap_or(0);
    let bends = (of(edge.from.0) + 1)..of(edge.to.0);
    let mut chain = vec![Slot::Node(edge.from.0)];
    chain.extend(bends.map(|l| Slot::Bend(edge_no, l)));
    chain.push(Slot::Node(edge.to.0));
    chain
}

fn layered(graph: &Graph, edges: &[Edge], layer: &[usize]) -> Layers {
    let count = layer.iter().max().map_or(0, |l| l + 1);
    let mut layers = Layers { slots: vec![Vec::new(); count], up: BTreeMap::new(), down: BTreeMap::new() };
    for node in &graph.nodes {
        let slots = layer.get(node.id).and_then(|l| layers.slots.get_mut(*l));
        slots.into_iter().for_each(|s| s.push(Slot::Node(node.id)));
    }
    for (i, edge) in edges.iter().enumerate() {
        let chain = chain(i, edge, layer);
        for pair in chain.windows(2) {
            let [above, below] = pair else { continue };
            layers.down.entry(*above).or_default().push(*below);
            layers.up.entry(*below).or_default().push(*above);
        }
        for slot in chain {
            if let Slot::Bend(_, l) = slot {
                layers.slots.get_mut(l).into_iter().for_each(|s| s.push(slot));
            }
        }
    }
    layers
}

impl Layers {
    fn sweep(&mut self) {
        let count = self.slots.len();
        for turn in 0..SWEEPS {
            if turn % 2 == 0 {
                (1..count).for_each(|l| self.order(l, l - 1, true));
            } else {
                (0..count.saturating_sub(1)).rev().for_each(|l| self.order(l, l + 1, false));
            }
        }
    }

    /// Orders a layer by the mean place of neighbours in `fixed`.
    fn order(&mut self, layer: usize, fixed: usize, upward: bool) {
        let place: BTreeMap<Slot, usize> =
            self.slots.get(fixed).into_iter().flatten().enumerate().map(|(i, s)| (*s, i)).collect();
        let ties = if upward { &self.up } else { &self.down };
        let Some(slots) = self.slots.get_mut(layer) else { return };
        let mut keyed: Vec<(f64, Slot)> = slots
            .iter()
            .enumerate()
            .map(|(i, slot)| {
                let near: Vec<usize> =
                    ties.get(slot).into_iter().flatten().filter_map(|n| place.get(n)).copied().collect();
                let mean = near.iter().sum::<usize>() as f64 / near.len().max(1) as f64;
                (if near.is_empty() { i as f64 } else { mean }, *slot)
            })
            .collect();
        keyed.sort_by(|a, b| a.0.total_cmp(&b.0));
        *slots = keyed.into_iter().map(|(_, s)| s).collect();
    }
}

fn place(
    graph: &Graph,
    edges: &[Edge],
    layers: &Layers,
    layer: &[usize],
    size: impl Fn(NodeId) -> (f64, f64),
) -> Layout {
    let slot_width = |s: &Slot| match s {
        Slot::Node(id) => size(*id).0,
        Slot::Bend(..) => BEND,
    };
    let widths: Vec<f64> =
        layers.slots.iter().map(|l| l.iter().map(|s| slot_width(s) + GAP).sum::<f64>() - GAP).collect();
    let width = widths.iter().copied().fold(0.0, f64::max) + 2.0 * GAP;
    let mut at: BTreeMap<Slot, (f64, f64)> = BTreeMap::new();
    let mut y = GAP;
    let mut bottoms = Vec::new();
    for (slots, row) in layers.slots.iter().zip(&widths) {
        let mut x = (width - row) / 2.0;
        let mut height: f64 = 0.0;
        for slot in slots {
            let w = slot_width(slot);
            at.insert(*slot, (x + w / 2.0, y));
            x += w + GAP;
            if let Slot::Node(id) = slot {
                height = height.max(size(*id).1);
            }
        }
        bottoms.push(y + height);
        y += height + LAYER_GAP;
    }
    let boxes =
        graph.nodes.iter().map(|n| at.get(&Slot::Node(n.id)).copied().unwrap_or((0.0, 0.0))).collect();
    let mut ways = Vec::with_capacity(edges.len());
    for (i, edge) in edges.iter().enumerate() {
        let mut points = Vec::new();
        for slot in chain(i, edge, layer) {
            let Some((x, y)) = at.get(&slot).copied() else { continue };
            match slot {
                Slot::Node(id) if id == edge.from.0 => points.push((x, y + size(id).1)),
                Slot::Node(_) => points.push((x, y)),
                Slot::Bend(_, l) => {
                    points.push((x, y));
                    points.extend(bottoms.get(l).map(|b| (x, *b)));
                }
            }
        }
        ways.push((*edge, points));
    }
    Layout { boxes, ways, width, height: (y - LAYER_GAP + GAP).max(2.0 * GAP) }
}
