//! `windowing:` is checked and moved to where it takes effect.
//!
//! On a transform with inputs it windows them; on a root, its outputs; on the pipeline or a composite it goes
//! to the roots inside that have none of their own (and to the composite's inputs). Transforms that a
//! provider defines count as one transform.

use super::tree::{Body, Group, GroupKind, Transform, walk};
use crate::diagnostic::Diagnostics;
use crate::node::{Entry, Node, Value};
use crate::types::Windowing;

const WINDOW_INTO: &str = "WindowInto";

pub(crate) fn apply(root: &mut Transform, beam_compat: bool, d: &mut Diagnostics) {
    walk(root, &mut |t| {
        if matches!(t.body, Body::Leaf) && t.type_name.value == WINDOW_INTO {
            into_config(t);
            if let Value::Map(config) = &mut t.config.value
                && let Some(entry) = config.get_mut("windowing")
            {
                match checked(&entry.node, beam_compat, d) {
                    Some(node) => entry.node = node,
                    None => t.broken = true,
                }
            }
        } else if let Some(node) = t.windowing.take() {
            t.windowing = checked(&node, beam_compat, d);
            t.broken |= t.windowing.is_none();
        }
    });
    push(root);
}

/// The step that applies windows takes `windowing` from its config.
fn into_config(t: &mut Transform) {
    if let (Some(node), Value::Map(config)) = (t.windowing.take(), &mut t.config.value) {
        config.insert("windowing".to_owned(), Entry { key: node.span, node });
    }
}

fn checked(node: &Node, beam_compat: bool, d: &mut Diagnostics) -> Option<Node> {
    let node = match node.as_text() {
        Some(_) => crate::types::parse_windowing_text(node, d)?,
        None => node.clone(),
    };
    let node = if beam_compat { beam_days(node) } else { node };
    Windowing::parse(&node, beam_compat, d)?;
    Some(node)
}

/// Beam 2.77 takes a day as 12 hours.
fn beam_days(mut node: Node) -> Node {
    if let Value::Map(map) = &mut node.value {
        for key in ["size", "period", "gap", "offset"] {
            let Some(entry) = map.get_mut(key) else { continue };
            let days = entry
                .node
                .as_text()
                .and_then(|t| t.trim().strip_suffix('d'))
                .and_then(|n| n.trim().parse::<f64>().ok());
            if let Some(hours) = days.map(|n| n * 12.0).filter(|h| h.is_finite()) {
                entry.node.value = Value::Text(format!("{hours}h"));
                entry.node.raw = None;
            }
        }
    }
    node
}

fn push(t: &mut Transform) {
    let rooted = t.input.is_none();
    let Body::Group(group) = &mut t.body else { return };
    if group.kind != GroupKind::Provider {
        if let Some(windowing) = &t.windowing {
            to_roots(group, windowing);
        }
        if rooted {
            t.windowing = None;
        }
    }
    group.inside_mut().for_each(push);
}

fn to_roots(group: &mut Group, windowing: &Node) {
    for member in group.inside_mut() {
        if member.input.is_none() && member.windowing.is_none() && member.type_name.value != WINDOW_INTO {
            member.windowing = Some(windowing.clone());
        }
    }
}
