//! Which epochs nothing depends on any more: pure.
//!
//! Every transform that keeps rows says at each barrier from which epoch the oldest of them is. That alone is not
//! enough: what a window emits in epoch 9 was made of rows of epoch 2, and may then wait in another transform's
//! state, which knows it as of epoch 9. So the age of an entry goes back to what stood upstream when it came:
//!
//! `origin(D, e) = min(e, least over all U upstream of D of age(U, e - 1))`, where
//! `age(U, b) = origin(U, oldest entry of U at barrier b)`, and nothing if U keeps nothing then.
//!
//! All that U gives in epoch `e` comes from what it kept at barrier `e - 1`, or from rows that reached it in `e`,
//! for which the same holds one step further up. So `origin` is never too young. It never falls from one epoch to
//! the next, so that runs of it are kept and not every epoch.

use purlin_plan::{Graph, NodeId};
use std::collections::{BTreeMap, VecDeque};

/// Runs of origins kept for one transform; more are merged, which makes entries look older than they are.
const RUNS_MAX: usize = 1024;

/// From which epoch the oldest rows of each transform are that keeps some.
pub(crate) type Oldest = BTreeMap<NodeId, u64>;

/// The ages of all that is kept.
#[derive(Debug)]
pub(crate) struct Ages {
    /// By node: all nodes that its rows come from.
    upstream: Vec<Vec<NodeId>>,
    /// By node: from this epoch on, entries have this origin. Before the first run, and while it says `None`, an
    /// entry's origin is its epoch.
    runs: Vec<VecDeque<(u64, Option<u64>)>>,
    /// The age of what each node keeps, at the last barrier.
    ages: Oldest,
}

impl Ages {
    /// Nothing is kept yet.
    pub(crate) fn new(graph: &Graph) -> Self {
        let mut upstream: Vec<Vec<NodeId>> = Vec::with_capacity(graph.nodes.len());
        for node in &graph.nodes {
            let mut of: Vec<NodeId> = Vec::new();
            for (from, _) in node.inputs.iter().flat_map(|i| &i.from) {
                of.push(*from);
                of.extend(upstream.get(*from).into_iter().flatten());
            }
            of.sort_unstable();
            of.dedup();
            upstream.push(of);
        }
        Ages { runs: vec![VecDeque::new(); upstream.len()], upstream, ages: Oldest::new() }
    }

    /// The barrier of `epoch` has passed everywhere, and this is what is kept. Answers the oldest epoch that
    /// anything still depends on, if there is one.
    pub(crate) fn barrier(&mut self, epoch: u64, kept: &Oldest) -> Option<u64> {
        let before = std::mem::take(&mut self.ages);
        for (node, (upstream, runs)) in self.upstream.iter().zip(&mut self.runs).enumerate() {
            let origin = upstream.iter().filter_map(|u| before.get(u)).min().copied().filter(|o| *o < epoch);
            let last = runs.back().and_then(|(_, o)| *o);
            if origin != last {
                runs.push_back((epoch, origin));
            }
            let Some(oldest) = kept.get(&node).copied() else {
                // Entries to come are of later epochs.
                if let Some(last) = runs.pop_back() {
                    runs.clear();
                    runs.push_back(last);
                }
                continue;
            };
            while runs.get(1).is_some_and(|(from, _)| *from <= oldest) {
                runs.pop_front();
            }
            if runs.len() > RUNS_MAX
                && let Some((from, origin)) = runs.remove(1)
                && let Some((first, of)) = runs.front_mut()
            {
                *of = Some(of.unwrap_or(*first).min(origin.unwrap_or(from)));
            }
            let first = runs.front().filter(|(from, _)| *from <= oldest).and_then(|(_, o)| *o);
            self.ages.insert(node, first.map_or(oldest, |o| o.min(oldest)));
        }
        self.ages.values().min().copied()
    }
}

/// Rows that were read and are not acknowledged, by epoch.
#[derive(Debug)]
pub(crate) struct Unacknowledged {
    rows_max: u64,
    epochs: VecDeque<(u64, u64)>,
    rows: u64,
    acknowledged: u64,
    /// Rows acknowledged although something may still have depended on them.
    pub(crate) early_rows: u64,
}

impl Unacknowledged {
    pub(crate) fn new(rows_max: u64) -> Self {
        Unacknowledged { rows_max, epochs: VecDeque::new(), rows: 0, acknowledged: 0, early_rows: 0 }
    }

    /// An epoch with this many rows is committed, and everything from `needed` on is still depended on. Answers
    /// the epoch up to which rows are to be acknowledged.
    pub(crate) fn commit(&mut self, epoch: u64, rows: u64, needed: Option<u64>) -> u64 {
        // Epochs without rows need no place, however long the others wait.
        if rows > 0 {
            self.epochs.push_back((epoch, rows));
            self.rows += rows;
        }
        let free = needed.map_or(epoch, |n| n.saturating_sub(1).min(epoch));
        while let Some((first, rows)) = self.epochs.front().copied() {
            let early = first > free;
            if early && self.rows <= self.rows_max {
                break;
            }
            if early {
                self.early_rows += rows;
            }
            self.rows -= rows;
            self.acknowledged = first;
            self.epochs.pop_front();
        }
        let next = self.epochs.front().map_or(u64::MAX, |(e, _)| *e);
        self.acknowledged = self.acknowledged.max(free.min(next - 1));
        self.acknowledged
    }

    /// Rows that wait to be acknowledged, and the first epoch that does.
    pub(crate) fn waiting(&self) -> (u64, Option<u64>) {
        (self.rows, self.epochs.front().map(|(e, _)| *e))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use purlin_plan::{GraphInput, GraphNode};
    use std::sync::Arc;

    #[derive(Debug)]
    struct Nothing;
    impl purlin_api::PlanNode for Nothing {
        fn outputs(&self) -> &[purlin_api::Output] {
            &[]
        }
        fn explain(&self) -> String {
            String::new()
        }
        fn build(&self, _: &purlin_api::BuildCx) -> purlin_api::Result<purlin_api::Running> {
            Err(purlin_api::Error::internal("not built"))
        }
    }

    /// A graph in which each node reads these.
    fn graph(reads: &[&[NodeId]]) -> Graph {
        let mut graph = Graph::default();
        for (id, from) in reads.iter().enumerate() {
            let shape = purlin_api::testing::shape(Arc::new(arrow_schema::Schema::empty()));
            let from = from.iter().map(|n| (*n, 0)).collect();
            graph.nodes.push(GraphNode {
                id,
                leaf: None,
                label: String::new(),
                type_name: String::new(),
                node: Arc::new(Nothing),
                inputs: vec![GraphInput { tag: String::new(), from, shape }],
                span: Default::default(),
                implicit: false,
                ahead_of: None,
            });
        }
        graph
    }

    fn kept(of: &[(NodeId, u64)]) -> Oldest {
        of.iter().copied().collect()
    }

    #[test]
    fn one_window_holds_its_epochs_and_the_next_one_its_own() {
        let mut a = Ages::new(&graph(&[&[], &[0]]));
        assert_eq!(a.barrier(1, &kept(&[])), None);
        assert_eq!(a.barrier(2, &kept(&[(1, 2)])), Some(2));
        assert_eq!(a.barrier(3, &kept(&[(1, 2)])), Some(2));
        assert_eq!(a.barrier(4, &kept(&[(1, 4)])), Some(4), "the window of epoch 2 has gone out");
        assert_eq!(a.barrier(5, &kept(&[])), None);
    }

    #[test]
    fn what_a_window_gave_to_another_is_as_old_as_its_rows() {
        let mut a = Ages::new(&graph(&[&[], &[0], &[1]]));
        assert_eq!(a.barrier(1, &kept(&[(1, 1)])), Some(1));
        assert_eq!(a.barrier(2, &kept(&[(1, 1)])), Some(1));
        // The first window closes in epoch 3: its result waits in node 2, and was made of rows of epoch 1.
        assert_eq!(a.barrier(3, &kept(&[(1, 3), (2, 3)])), Some(1));
        // The next results in epoch 5 are made of rows of epoch 3.
        assert_eq!(a.barrier(4, &kept(&[(1, 3), (2, 3)])), Some(1));
        assert_eq!(a.barrier(5, &kept(&[(1, 5), (2, 3)])), Some(1));
        // Node 2 gave what came in epoch 3 and keeps what came in epoch 5.
        assert_eq!(a.barrier(6, &kept(&[(1, 5), (2, 5)])), Some(3));
        assert_eq!(a.barrier(7, &kept(&[(1, 5)])), Some(5));
    }

    #[test]
    fn what_came_while_nothing_was_kept_upstream_is_as_old_as_its_epoch() {
        let mut a = Ages::new(&graph(&[&[], &[0], &[1]]));
        a.barrier(1, &kept(&[(1, 1)]));
        a.barrier(2, &kept(&[]));
        assert_eq!(a.barrier(3, &kept(&[(2, 3)])), Some(3));
        assert_eq!(a.barrier(4, &kept(&[(2, 3)])), Some(3));
    }

    #[test]
    fn acknowledgement_waits_for_what_is_needed_but_not_beyond_the_bound() {
        let mut u = Unacknowledged::new(100);
        assert_eq!(u.commit(1, 40, None), 1);
        assert_eq!(u.commit(2, 40, Some(2)), 1);
        assert_eq!(u.commit(3, 40, Some(2)), 1);
        assert_eq!((u.waiting(), u.early_rows), ((80, Some(2)), 0));
        assert_eq!(u.commit(4, 40, Some(2)), 2, "120 rows are too many");
        assert_eq!((u.waiting(), u.early_rows), ((80, Some(3)), 40));
        assert_eq!(u.commit(5, 0, Some(4)), 3);
        assert_eq!(u.commit(6, 0, None), 6);
        assert_eq!(u.waiting(), (0, None));
        assert_eq!(u.commit(7, 1, Some(7)), 6);
        (8..1000).for_each(|e| assert_eq!(u.commit(e, 0, Some(7)), 6));
        assert_eq!((u.epochs.len(), u.commit(1000, 0, Some(1000))), (1, 999));
    }
}
