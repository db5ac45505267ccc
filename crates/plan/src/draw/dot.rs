//! The graph in Graphviz' language.

use crate::graph::{Graph, GraphNode};
use purlin_api::OutputRole;
use std::fmt::Write as _;

/// The graph as Graphviz text: boxes with label and type; edges with error and late rows are dashed.
pub fn to_dot(graph: &Graph) -> String {
    let mut out = String::from("digraph pipeline {\n  rankdir=TB;\n  node [shape=box, style=rounded];\n");
    for node in &graph.nodes {
        put(&mut out, format_args!("  n{} [label={}];\n", node.id, quoted(&box_text(node))));
    }
    for edge in graph.edges() {
        let output = graph.get(edge.from.0).and_then(|n| n.node.outputs().get(edge.from.1));
        let several = graph.get(edge.from.0).is_some_and(|n| n.node.outputs().len() > 1);
        let mut style = Vec::new();
        if let Some(output) = output {
            if several {
                style.push(format!("label={}", quoted(&output.tag)));
            }
            if output.role != OutputRole::Main {
                style.push("style=dashed".to_owned());
            }
        }
        let style = if style.is_empty() { String::new() } else { format!(" [{}]", style.join(", ")) };
        put(&mut out, format_args!("  n{} -> n{}{style};\n", edge.from.0, edge.to.0));
    }
    out.push_str("}\n");
    out
}

fn box_text(node: &GraphNode) -> String {
    if node.label == node.type_name {
        node.label.clone()
    } else {
        format!("{}\n{}", node.label, node.type_name)
    }
}

fn quoted(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n").replace('\r', "");
    format!("\"{escaped}\"")
}

fn put(out: &mut String, args: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    if out.write_fmt(args).is_err() {
        out.push_str("<format error>");
    }
}
