//! Plans as text, for `purlin explain`.

use crate::graph::{Graph, GraphNode, NodeId};
use crate::stages::{Exchange, Stage, StageEdge};
use crate::{Plan, Stages};
use arrow_schema::{Field, Schema};
use purlin_api::shape::{is_hidden, type_name};
use purlin_api::{Output, OutputRole, Shape, WindowFn};
use std::fmt::Write as _;

/// The end of the label of the half of an aggregation that runs before the shuffle.
const PARTIAL: &str = "[partial]";

/// The graph: for each transform what it is, reads, does and gives.
///
/// ```text
/// Visits     ReadFromCsv
///            visits.csv
///            -> page: str, cents: int?
/// ByPage     Combine       <- Visits
///            group_by page; sum(cents)
///            -> page: str, cents: int?
/// ```
pub fn logical(graph: &Graph) -> String {
    let label_width = width(graph.nodes.iter().map(|n| n.label.as_str()));
    let type_width = width(graph.nodes.iter().map(|n| n.type_name.as_str()));
    let mut out = String::new();
    for node in &graph.nodes {
        let head = format!(
            "{:label_width$}  {:type_width$}  {}",
            Escaped(&node.label).to_string(),
            Escaped(&node.type_name).to_string(),
            reads(graph, node)
        );
        line(&mut out, 0, &head);
        for detail in node.node.explain().lines() {
            line(&mut out, label_width + 2, &Escaped(detail).to_string());
        }
        let outputs = node.node.outputs();
        // What travels between the two halves of an aggregation is no business of the author's.
        if node.implicit && node.label.ends_with(PARTIAL) {
            line(&mut out, label_width + 2, "-> partial results");
            continue;
        }
        for output in outputs {
            line(&mut out, label_width + 2, &gives(output, outputs.len()));
        }
    }
    out
}

/// The stages: which transforms run together, in how many lanes, and how rows travel between them.
///
/// ```text
/// stage 0  1 lane
///   Visits            ReadFromCsv
///   ByPage[partial]   Combine
///   => stage 1        ByPage[partial] -> ByPage, shuffled by page
/// stage 1  4 lanes
///   ByPage            Combine
/// ```
pub fn staged(plan: &Plan) -> String {
    let Plan { graph, stages } = plan;
    let label_width = width(graph.nodes.iter().map(|n| n.label.as_str())).max("=> stage 10".len());
    let type_width = width(graph.nodes.iter().map(|n| n.type_name.as_str()));
    let mut out = String::new();
    for stage in &stages.stages {
        let lanes = if stage.lanes == 1 { "1 lane".to_owned() } else { format!("{} lanes", stage.lanes) };
        line(&mut out, 0, &format!("stage {}  {lanes}", stage.id));
        for node in stage.nodes.iter().filter_map(|id| graph.get(*id)) {
            let (label, type_name) = (Escaped(&node.label).to_string(), Escaped(&node.type_name).to_string());
            line(
                &mut out,
                2,
                &format!("{label:label_width$}  {type_name:type_width$}{}", inside(graph, stage, node)),
            );
        }
        for edge in stages.edges.iter().filter(|e| stage.nodes.contains(&e.from.0)) {
            let to = format!("=> stage {}", stages.of(edge.to.0).map_or(0, |s| s.id));
            line(&mut out, 2, &format!("{to:label_width$}  {}", travels(graph, edge)));
        }
    }
    out
}

/// Both texts.
pub fn explain(plan: &Plan) -> String {
    format!("{}\n{}", logical(&plan.graph), staged(plan))
}

/// How many lanes and stages, in a line: `3 stages, 5 transforms`.
pub fn summary(graph: &Graph, stages: &Stages) -> String {
    let count = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
    let written = graph.nodes.iter().filter(|n| !n.implicit).count();
    format!("{}, {}", count(stages.stages.len(), "stage"), count(written, "transform"))
}

/// Names are the author's: a line break in one must not break the text.
struct Escaped<'a>(&'a str);

impl std::fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for c in self.0.chars() {
            if c.is_control() { write!(f, "{}", c.escape_default())? } else { f.write_char(c)? }
        }
        Ok(())
    }
}

/// Labels longer than this do not push the columns after them to the right.
const WIDTH_MAX: usize = 40;

fn width<'a>(texts: impl Iterator<Item = &'a str>) -> usize {
    texts.map(|t| Escaped(t).to_string().chars().count()).filter(|w| *w <= WIDTH_MAX).max().unwrap_or(0)
}

fn line(out: &mut String, indent: usize, text: &str) {
    out.extend(std::iter::repeat_n(' ', indent));
    out.push_str(text.trim_end());
    out.push('\n');
}

/// What flows in: `<- A, B.bad`, with tags if there are several inputs: `<- orders: A, people: B`.
fn reads(graph: &Graph, node: &GraphNode) -> String {
    if node.inputs.is_empty() {
        return String::new();
    }
    let inputs: Vec<String> = node
        .inputs
        .iter()
        .map(|i| {
            let from: Vec<String> = i.from.iter().map(|f| name(graph, *f)).collect();
            let from = from.join(" + ");
            if node.inputs.len() > 1 { format!("{}: {from}", Escaped(&i.tag)) } else { from }
        })
        .collect();
    format!("<- {}", inputs.join(", "))
}

fn name(graph: &Graph, from: (NodeId, usize)) -> String {
    Escaped(&graph.output_name(from)).to_string()
}

/// What flows out: `-> a: int, b: str?  [fixed(30s), unbounded]`.
fn gives(output: &Output, count: usize) -> String {
    let arrow = match output.role {
        _ if count == 1 => "->".to_owned(),
        OutputRole::Main => format!("-> {}:", Escaped(&output.tag)),
        OutputRole::Error => format!("-> {} (errors):", Escaped(&output.tag)),
        OutputRole::Late => format!("-> {} (late):", Escaped(&output.tag)),
    };
    let notes = notes(&output.shape);
    let notes = if notes.is_empty() { notes } else { format!("  [{notes}]") };
    format!("{arrow} {}{notes}", Escaped(&columns(&output.shape.schema)))
}

/// What is worth saying of a collection beside its columns.
pub(crate) fn notes(shape: &Shape) -> String {
    let mut notes = Vec::new();
    let windowing = shape.windowing.describe();
    if shape.windowing.window_fn != WindowFn::Global || windowing != WindowFn::Global.describe() {
        notes.push(windowing);
    }
    if !shape.bounded {
        notes.push("unbounded".to_owned());
    }
    notes.join(", ")
}

/// `a: int, b: str?`: a question mark where there may be nulls.
pub(crate) fn columns(schema: &Schema) -> String {
    let mut columns: Vec<String> =
        schema.fields().iter().filter(|f| !is_hidden(f)).map(|f| column(f)).collect();
    let hidden = schema.fields().len() - columns.len();
    if columns.is_empty() {
        columns.push("(no columns)".to_owned());
    }
    if hidden > 0 {
        columns.push(format!("and {hidden} for the next"));
    }
    columns.join(", ")
}

fn column(f: &Field) -> String {
    let null = if f.is_nullable() && type_name(f) != "any" && type_name(f) != "null" { "?" } else { "" };
    format!("{}: {}{null}", f.name(), type_name(f))
}

/// What a fused node reads, where that is not simply the node before it.
fn inside(graph: &Graph, stage: &Stage, node: &GraphNode) -> String {
    let before =
        stage.nodes.iter().position(|id| *id == node.id).and_then(|i| stage.nodes.get(i.checked_sub(1)?));
    let from: Vec<(NodeId, usize)> = node.inputs.iter().flat_map(|i| i.from.iter().copied()).collect();
    let fused: Vec<_> = from.iter().filter(|(id, _)| stage.nodes.contains(id)).collect();
    let plain = matches!(fused.as_slice(), [(id, 0)] if Some(id) == before);
    if fused.is_empty() || plain {
        return String::new();
    }
    format!("  <- {}", fused.iter().map(|f| name(graph, **f)).collect::<Vec<_>>().join(", "))
}

fn travels(graph: &Graph, edge: &StageEdge) -> String {
    let to = graph.get(edge.to.0);
    let reader = to.map_or_else(String::new, |n| Escaped(&n.label).to_string());
    let tag = to.filter(|n| n.inputs.len() > 1).and_then(|n| n.inputs.get(edge.to.1));
    let tag = tag.map_or_else(String::new, |i| format!(".{}", Escaped(&i.tag)));
    let how = match &edge.exchange {
        Exchange::Forward => "lane to lane".to_owned(),
        Exchange::Gather => "gathered".to_owned(),
        Exchange::Spread => "spread".to_owned(),
        Exchange::Shuffle(keys) => {
            let schema = to.and_then(|n| n.inputs.get(edge.to.1)).map(|i| i.shape.schema.clone());
            let key = |k: &usize| {
                let field = schema.as_ref().and_then(|s| s.fields().get(*k).cloned());
                field.map_or_else(|| format!("#{k}"), |f| Escaped(f.name()).to_string())
            };
            format!("shuffled by {}", keys.iter().map(key).collect::<Vec<_>>().join(", "))
        }
    };
    format!("{} -> {reader}{tag}, {how}", name(graph, edge.from))
}

#[cfg(test)]
mod tests;
