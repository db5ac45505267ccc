//! The graph as a picture that needs no other program.

use super::layout::{Layout, layout};
use crate::Plan;
use crate::explain::notes;
use crate::graph::{Graph, GraphNode, NodeId};
use purlin_api::OutputRole;
use std::fmt::Write as _;

/// Width of a letter of the label font, about.
const LETTER: f64 = 7.4;
const BOX_HEIGHT: f64 = 42.0;
/// Letters of a label that are shown.
const SHOWN_MAX: usize = 36;

/// Light tints, one a stage in turn; dark text can be read on all of them.
pub(super) const TINTS: [&str; 8] =
    ["#e8f0fe", "#e6f4ea", "#fef7e0", "#fce8e6", "#f3e8fd", "#e4f7fb", "#fdf0e6", "#eef1f4"];

/// The graph as SVG: boxes with label and type, top to bottom; error and late edges are dashed.
pub fn to_svg(graph: &Graph) -> String {
    draw(graph, |_| None)
}

/// The same, with the boxes of each stage in one tint.
pub fn to_svg_staged(plan: &Plan) -> String {
    draw(&plan.graph, |id| plan.stages.of(id).map(|s| (s.id, s.lanes)))
}

fn draw(graph: &Graph, stage: impl Fn(NodeId) -> Option<(usize, usize)>) -> String {
    let at = layout(graph, |id| graph.get(id).map_or((0.0, 0.0), size));
    let mut out = String::new();
    put(
        &mut out,
        format_args!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {w:.0} {h:.0}\" width=\"{w:.0}\" height=\"{h:.0}\" \
             font-family=\"ui-sans-serif, system-ui, sans-serif\" font-size=\"13\">\n",
            w = at.width,
            h = at.height
        ),
    );
    out.push_str(
        "<defs><marker id=\"tip\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" markerWidth=\"7\" markerHeight=\"7\" \
         orient=\"auto\"><path d=\"M0 0L8 4L0 8z\" fill=\"#5f6368\"/></marker></defs>\n",
    );
    edges(&mut out, graph, &at);
    for (node, (x, y)) in graph.nodes.iter().zip(&at.boxes) {
        boxed(&mut out, node, *x, *y, stage(node.id));
    }
    out.push_str("</svg>\n");
    out
}

fn size(node: &GraphNode) -> (f64, f64) {
    let letters = shown(&node.label).chars().count().max(shown(&node.type_name).chars().count());
    (letters as f64 * LETTER + 28.0, BOX_HEIGHT)
}

fn shown(text: &str) -> String {
    if text.chars().count() <= SHOWN_MAX {
        return text.to_owned();
    }
    text.chars().take(SHOWN_MAX - 1).chain(['…']).collect()
}

fn boxed(out: &mut String, node: &GraphNode, x: f64, y: f64, stage: Option<(usize, usize)>) {
    let (w, h) = size(node);
    let tint = stage.and_then(|(s, _)| TINTS.get(s % TINTS.len())).copied().unwrap_or("#ffffff");
    let line = if node.implicit { " stroke-dasharray=\"2 2\"" } else { "" };
    let mut title = format!("{} ({})\n{}", node.label, node.type_name, node.node.explain());
    if let Some((stage, lanes)) = stage {
        title.push_str(&format!("\nstage {stage}, lanes {lanes}"));
    }
    put(
        out,
        format_args!(
            "<g><title>{}</title><rect x=\"{:.1}\" y=\"{y:.1}\" width=\"{w:.1}\" height=\"{h:.1}\" rx=\"7\" fill=\"{tint}\" \
             stroke=\"#5f6368\"{line}/>",
            escaped(&title),
            x - w / 2.0
        ),
    );
    let one_line = node.label == node.type_name;
    let label_y = if one_line { y + 26.0 } else { y + 18.0 };
    put(
        out,
        format_args!(
            "<text x=\"{x:.1}\" y=\"{label_y:.1}\" text-anchor=\"middle\" font-weight=\"600\" fill=\"#202124\">{}</text>",
            escaped(&shown(&node.label))
        ),
    );
    if !one_line {
        put(
            out,
            format_args!(
                "<text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\" font-size=\"11\" fill=\"#5f6368\">{}</text>",
                y + 34.0,
                escaped(&shown(&node.type_name))
            ),
        );
    }
    out.push_str("</g>\n");
}

fn edges(out: &mut String, graph: &Graph, at: &Layout) {
    for (edge, points) in &at.ways {
        let Some(output) = graph.get(edge.from.0).and_then(|n| n.node.outputs().get(edge.from.1)) else {
            continue;
        };
        let dashed = if output.role == OutputRole::Main { "" } else { " stroke-dasharray=\"5 4\"" };
        let several = graph.get(edge.from.0).is_some_and(|n| n.node.outputs().len() > 1);
        let Some(path) = curve(points) else { continue };
        let notes = notes(&output.shape);
        let tip =
            if notes.is_empty() { String::new() } else { format!("<title>{}</title>", escaped(&notes)) };
        put(
            out,
            format_args!(
                "<path d=\"{path}\" fill=\"none\" stroke=\"#5f6368\"{dashed} marker-end=\"url(#tip)\">{tip}</path>\n"
            ),
        );
        if let (true, [(x1, y1), (x2, y2), ..]) = (several, points.as_slice()) {
            let (x, y) = (x1 + (x2 - x1) * 0.5 + 5.0, y1 + (y2 - y1) * 0.5);
            put(
                out,
                format_args!(
                    "<text x=\"{x:.1}\" y=\"{y:.1}\" font-size=\"11\" fill=\"#5f6368\">{}</text>\n",
                    escaped(&shown(&output.tag))
                ),
            );
        }
    }
}

/// A smooth way through the points, upright at each of them.
fn curve(points: &[(f64, f64)]) -> Option<String> {
    let ((x, y), rest) = points.split_first()?;
    let mut path = format!("M{x:.1} {y:.1}");
    let (mut x, mut y) = (*x, *y);
    for (nx, ny) in rest {
        let middle = (y + ny) / 2.0;
        path.push_str(&format!(" C{x:.1} {middle:.1} {nx:.1} {middle:.1} {nx:.1} {ny:.1}"));
        (x, y) = (*nx, *ny);
    }
    Some(path)
}

/// Text as XML content; what XML cannot hold is replaced.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' | '\t' => out.push(c),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

fn put(out: &mut String, args: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    if out.write_fmt(args).is_err() {
        out.push_str("<format error>");
    }
}
