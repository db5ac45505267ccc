//! What can be seen to go wrong before any data is read.

use crate::graph::{Graph, GraphNode};
use purlin_api::{OutputRole, Shape, Trigger, WindowFn};
use purlin_spec::{Diagnostic, Diagnostics};
use std::collections::BTreeMap;

/// Types that write files, each of which must end.
const FILE_SINKS: [&str; 6] =
    ["WriteToText", "WriteToCsv", "WriteToJson", "WriteToParquet", "WriteToAvro", "WriteToTFRecord"];

/// Types that give nothing before a window ends.
const AGGREGATIONS: [&str; 2] = ["Combine", "AssertEqual"];

/// Pushes what is wrong with a graph as a whole.
pub(crate) fn check(graph: &Graph, d: &mut Diagnostics) {
    for node in &graph.nodes {
        if node.inputs.iter().any(|i| never_fires(&i.shape)) {
            check_ends(graph, node, d);
        }
    }
    check_claims(graph, d);
    check_late(graph, d);
}

/// Late rows that the author named an output for, and nobody reads.
fn check_late(graph: &Graph, d: &mut Diagnostics) {
    for (id, node) in graph.nodes.iter().enumerate() {
        for (port, output) in node.node.outputs().iter().enumerate() {
            let reads = |n: &GraphNode| n.inputs.iter().any(|i| i.from.contains(&(id, port)));
            if output.role != OutputRole::Late || graph.nodes.iter().any(reads) {
                continue;
            }
            let full = format!("{}.{}", node.label, output.tag);
            d.push(
                Diagnostic::warning(
                    "late/unread",
                    node.span,
                    format!("nothing reads the late rows `{full}`"),
                )
                .label("they are counted, and given to nobody")
                .help(format!("read them with `input: {full}`, or leave `late_output` out")),
            );
        }
    }
}

/// Two nodes that would overwrite each other's results.
fn check_claims(graph: &Graph, d: &mut Diagnostics) {
    let mut holders: BTreeMap<String, &GraphNode> = BTreeMap::new();
    for node in &graph.nodes {
        for claim in node.node.claims() {
            let Some(first) = holders.get(&claim) else {
                holders.insert(claim, node);
                continue;
            };
            d.push(
                Diagnostic::error(
                    "plan/claimed-twice",
                    node.span,
                    format!("`{}` and `{}` both write {claim}", first.label, node.label),
                )
                .label("one would overwrite what the other wrote")
                .related(first.span, "the first")
                .help("give each a path of its own, or let one read both inputs"),
            );
        }
    }
}

/// True for a collection without end in a window without end that nothing but its end would fire.
fn never_fires(shape: &Shape) -> bool {
    let w = &shape.windowing;
    !shape.bounded && w.window_fn == WindowFn::Global && w.trigger == Trigger::Default
}

fn check_ends(graph: &Graph, node: &GraphNode, d: &mut Diagnostics) {
    let source = unbounded_source(graph, node);
    let name = &node.label;
    let diagnostic = if FILE_SINKS.contains(&node.type_name.as_str()) && !node.node.prints() {
        Diagnostic::error(
            "window/unbounded-file",
            node.span,
            format!("`{name}` would never finish a file: its input has no end and is in the global window"),
        )
        .label("a file ends when its window does")
    } else if AGGREGATIONS.contains(&node.type_name.as_str()) {
        Diagnostic::error(
            "window/unbounded-global",
            node.span,
            format!("`{name}` would never give a result: its input has no end and is in the global window"),
        )
        .label("it fires when its window ends")
    } else {
        return;
    };
    let diagnostic =
        diagnostic.help("put `windowing: {type: fixed, size: 60s}` on it, or a `trigger` into its windowing");
    d.push(match source {
        Some(source) => diagnostic.related(source.span, format!("`{}` reads without end", source.label)),
        None => diagnostic,
    });
}

/// The first source upstream that has no end.
fn unbounded_source<'g>(graph: &'g Graph, node: &'g GraphNode) -> Option<&'g GraphNode> {
    let mut at = node;
    loop {
        let from = at.inputs.iter().filter(|i| !i.shape.bounded).flat_map(|i| &i.from);
        let next = from.filter_map(|(id, port)| {
            let n = graph.get(*id)?;
            let unbounded = n.node.outputs().get(*port).is_some_and(|o| !o.shape.bounded);
            // Ids fall on the way up, so this ends.
            (unbounded && n.id < at.id).then_some(n)
        });
        match next.into_iter().next() {
            Some(n) => at = n,
            None => return at.is_source().then_some(at),
        }
    }
}
