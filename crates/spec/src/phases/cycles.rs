//! Cycles, named by their members.

use super::graph::{Graph, Scope};
use super::lookup::{ScopeWires, Wires};
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::node::Span;
use std::collections::VecDeque;

/// Reports each cycle among the members of a scope. Every cycle of leaves shows up as a cycle of members
/// of the innermost scope that holds all of it.
pub(crate) fn check(graph: &Graph, wires: &Wires, d: &mut Diagnostics) {
    for (scope, wires) in graph.scopes.iter().zip(&wires.scopes) {
        let mut left = on_or_behind_cycles(wires);
        while let Some(start) = left.iter().position(|l| *l) {
            match shortest_cycle(start, wires) {
                Some(cycle) => {
                    d.push(report(scope, &cycle));
                    // What reads from a named cycle is no news.
                    for (index, _) in &cycle {
                        drop_readers(*index, wires, &mut left);
                    }
                }
                None => clear(&mut left, start),
            }
        }
    }
}

fn clear(left: &mut [bool], index: usize) {
    if let Some(l) = left.get_mut(index) {
        *l = false;
    }
}

/// Which members wait forever for their inputs.
fn on_or_behind_cycles(wires: &ScopeWires) -> Vec<bool> {
    let count = wires.reads.len();
    let mut readers: Vec<Vec<usize>> = vec![Vec::new(); count];
    let mut waits: Vec<usize> = wires.reads.iter().map(Vec::len).collect();
    for (reader, reads) in wires.reads.iter().enumerate() {
        for (read, _) in reads {
            if let Some(r) = readers.get_mut(*read) {
                r.push(reader);
            }
        }
    }
    let mut ready: Vec<usize> = (0..count).filter(|i| waits.get(*i) == Some(&0)).collect();
    let mut left = vec![true; count];
    while let Some(index) = ready.pop() {
        clear(&mut left, index);
        for reader in readers.get(index).into_iter().flatten() {
            if let Some(w) = waits.get_mut(*reader) {
                *w = w.saturating_sub(1);
                if *w == 0 {
                    ready.push(*reader);
                }
            }
        }
    }
    left
}

/// The members on a shortest way from `start` back to it, with the place where each reads the next.
fn shortest_cycle(start: usize, wires: &ScopeWires) -> Option<Vec<(usize, Span)>> {
    let mut from: Vec<Option<(usize, Span)>> = vec![None; wires.reads.len()];
    let mut queue = VecDeque::from([start]);
    while let Some(at) = queue.pop_front() {
        for (next, span) in wires.reads.get(at)? {
            if *next == start {
                let mut cycle = vec![(at, *span)];
                let mut back = at;
                while back != start {
                    let (previous, span) = (*from.get(back)?)?;
                    cycle.push((previous, span));
                    back = previous;
                }
                cycle.reverse();
                return Some(cycle);
            }
            let seen = from.get_mut(*next)?;
            if seen.is_none() {
                *seen = Some((at, *span));
                queue.push_back(*next);
            }
        }
    }
    None
}

fn drop_readers(index: usize, wires: &ScopeWires, left: &mut [bool]) {
    let mut stack = vec![index];
    while let Some(at) = stack.pop() {
        clear(left, at);
        for (reader, reads) in wires.reads.iter().enumerate() {
            if left.get(reader) == Some(&true) && reads.iter().any(|(r, _)| *r == at) {
                clear(left, reader);
                stack.push(reader);
            }
        }
    }
}

fn report(scope: &Scope, cycle: &[(usize, Span)]) -> Diagnostic {
    let label = |i: usize| scope.members.get(i).map_or("?", |m| m.label.as_str());
    let mut names: Vec<&str> = cycle.iter().map(|(i, _)| label(*i)).collect();
    names.extend(cycle.first().map(|(i, _)| label(*i)));
    let span = cycle.first().map(|(_, s)| *s).unwrap_or_default();
    let mut problem = Diagnostic::error("cycle/transforms", span, format!("cycle: {}", names.join(" -> ")))
        .label("each of these reads the next, so none can start")
        .help("take one of the references away");
    for (index, span) in cycle.iter().skip(1) {
        problem = problem.related(*span, format!("`{}` reads it here", label(*index)));
    }
    problem
}
