use super::{to_dot, to_json, to_svg, to_svg_staged};
use crate::graph::Graph;
use crate::testing::Pipeline;
use insta::assert_snapshot;
use serde_json::{Value, json};

const NONE: Value = Value::Null;

fn pipeline() -> Pipeline {
    Pipeline::new()
        .add("Create", "Create", &[], &json!({"fields": {"a": "int"}}))
        .add("Map", "<M> & \"co\"", &["Create"], &json!({"error_handling": {"output": "bad"}}))
        .add("Combine", "C", &["<M> & \"co\""], &json!({"group_by": ["a"]}))
        .add("WriteToJson", "Bad", &["<M> & \"co\".bad"], &NONE)
        .add("WriteToJson", "Out", &["C", "Create"], &NONE)
}

#[test]
fn dot_names_boxes_and_dashes_errors() {
    let p = pipeline();
    assert_snapshot!(to_dot(&p.plan(1).graph), @r#"
    digraph pipeline {
      rankdir=TB;
      node [shape=box, style=rounded];
      n0 [label="Create"];
      n1 [label="<M> & \"co\"\nMap"];
      n2 [label="C\nCombine"];
      n3 [label="Bad\nWriteToJson"];
      n4 [label="Out-Flatten[input]\nFlatten"];
      n5 [label="Out\nWriteToJson"];
      n0 -> n1;
      n1 -> n2 [label="out"];
      n1 -> n3 [label="bad", style=dashed];
      n2 -> n4;
      n0 -> n4;
      n4 -> n5;
    }
    "#);
}

#[test]
fn svg_has_a_box_a_node_and_a_way_an_edge() {
    let plan = pipeline().plan(2);
    let svg = to_svg(&plan.graph);
    assert_eq!(svg.matches("<rect").count(), plan.graph.nodes.len());
    assert_eq!(svg.matches("marker-end").count(), plan.graph.edges().count());
    assert_eq!(svg.matches("stroke-dasharray=\"5 4\"").count(), 1);
    assert!(svg.contains("&lt;M&gt; &amp; &quot;co&quot;") && !svg.contains("<M>"));
    assert_eq!(svg, to_svg(&plan.graph));
    let staged = to_svg_staged(&plan);
    let tints = super::svg::TINTS.iter().filter(|t| staged.contains(**t)).count();
    assert_eq!(tints, plan.stages.stages.len());
}

#[test]
fn boxes_do_not_overlap() {
    let mut p = Pipeline::new().add("Create", "S", &[], &json!({"fields": {"a": "int"}}));
    for i in 0..12 {
        let from = if i < 4 { "S".to_owned() } else { format!("m{}", i - 4) };
        p = p.add("Map", &format!("m{i}"), &[&from, "S"], &NONE);
    }
    let graph = p.plan(1).graph;
    let at = super::layout::layout(&graph, |_| (80.0, 40.0));
    for (i, (x, y)) in at.boxes.iter().enumerate() {
        assert!(*x >= 40.0 && *x <= at.width - 40.0 && *y >= 0.0 && y + 40.0 <= at.height);
        for (x2, y2) in &at.boxes[..i] {
            assert!((x - x2).abs() >= 80.0 || (y - y2).abs() >= 40.0);
        }
    }
    assert!(at.ways.iter().all(|(_, points)| points.len() >= 2));
}

#[test]
fn an_empty_graph_can_be_drawn() {
    let graph = Graph::default();
    assert!(to_svg(&graph).ends_with("</svg>\n"));
    assert!(to_dot(&graph).ends_with("}\n"));
}

#[test]
fn json_tells_nodes_edges_and_stages() {
    let json = to_json(&pipeline().plan(2));
    assert_eq!(json["nodes"].as_array().unwrap().len(), 6);
    assert_eq!(
        json["nodes"][2]["outputs"][0]["shape"]["columns"],
        json!([{"name": "a", "type": "int", "nullable": false}, {"name": "n", "type": "int", "nullable": true}])
    );
    let edges = json["edges"].as_array().unwrap();
    let exchange =
        |from: u64, to: u64| &edges.iter().find(|e| e["from"] == from && e["to"] == to).unwrap()["exchange"];
    assert_eq!(exchange(0, 1), &NONE);
    assert_eq!(exchange(1, 2), &json!({"kind": "shuffle", "columns": [0]}));
    let errors: Vec<&Value> = edges.iter().filter(|e| e["role"] == "error").collect();
    assert_eq!((errors.len(), &errors[0]["output"]), (1, &json!("bad")));
    assert_eq!(json["stages"][1], json!({"id": 1, "lanes": 2, "nodes": [2]}));
}
