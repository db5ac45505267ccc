//! A plan as data, for the console.

use crate::Plan;
use crate::explain::notes;
use crate::graph::GraphNode;
use crate::stages::{Exchange, StageEdge};
use purlin_api::shape::type_name;
use purlin_api::{OutputRole, Shape};
use serde_json::{Value, json};

/// A plan as one JSON object:
/// `nodes` (`id label type explain implicit stage line inputs outputs`), `edges` (`from output to input role
/// exchange`; `exchange` is null inside a stage), `stages` (`id lanes nodes`).
pub fn to_json(plan: &Plan) -> Value {
    let stage_of = |id| plan.stages.of(id).map(|s| s.id);
    let nodes: Vec<Value> = plan.graph.nodes.iter().map(|n| node(n, stage_of(n.id))).collect();
    let edges: Vec<Value> = plan
        .graph
        .edges()
        .map(|e| {
            let output = plan.graph.get(e.from.0).and_then(|n| n.node.outputs().get(e.from.1));
            let input = plan.graph.get(e.to.0).and_then(|n| n.inputs.get(e.to.1));
            let crossing = plan.stages.edges.iter().find(|s| s.from == e.from && s.to == e.to);
            json!({
                "from": e.from.0,
                "output": output.map(|o| o.tag.as_str()),
                "to": e.to.0,
                "input": input.map(|i| i.tag.as_str()),
                "role": output.map(|o| role(o.role)),
                "exchange": crossing.map(exchange),
            })
        })
        .collect();
    let stages: Vec<Value> = plan
        .stages
        .stages
        .iter()
        .map(|s| json!({ "id": s.id, "lanes": s.lanes, "nodes": s.nodes }))
        .collect();
    json!({ "nodes": nodes, "edges": edges, "stages": stages })
}

fn node(n: &GraphNode, stage: Option<usize>) -> Value {
    let inputs: Vec<Value> =
        n.inputs.iter().map(|i| json!({ "tag": i.tag, "shape": shape(&i.shape) })).collect();
    let outputs: Vec<Value> = n
        .node
        .outputs()
        .iter()
        .map(|o| json!({ "tag": o.tag, "role": role(o.role), "shape": shape(&o.shape) }))
        .collect();
    json!({
        "id": n.id,
        "label": n.label,
        "type": n.type_name,
        "explain": n.node.explain(),
        "implicit": n.implicit,
        "stage": stage,
        "line": n.span.start.line,
        "inputs": inputs,
        "outputs": outputs,
    })
}

fn shape(s: &Shape) -> Value {
    let columns: Vec<Value> = s
        .schema
        .fields()
        .iter()
        .map(|f| json!({ "name": f.name(), "type": type_name(f), "nullable": f.is_nullable() }))
        .collect();
    json!({ "columns": columns, "windowing": s.windowing.describe(), "bounded": s.bounded, "notes": notes(s) })
}

fn role(r: OutputRole) -> &'static str {
    match r {
        OutputRole::Main => "main",
        OutputRole::Error => "error",
        OutputRole::Late => "late",
    }
}

fn exchange(e: &StageEdge) -> Value {
    match &e.exchange {
        Exchange::Forward => json!({ "kind": "forward" }),
        Exchange::Shuffle(columns) => json!({ "kind": "shuffle", "columns": columns }),
        Exchange::Gather => json!({ "kind": "gather" }),
        Exchange::Spread => json!({ "kind": "spread" }),
    }
}
