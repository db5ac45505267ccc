use super::{Exchange, Stages, fuse};
use crate::graph::{Graph, GraphInput, GraphNode};
use crate::testing::{Pipeline, fake_node, fake_shape};
use proptest::prelude::*;
use purlin_api::Distribution;
use purlin_spec::Span;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

const NONE: Value = Value::Null;

fn read(name: &str) -> Pipeline {
    Pipeline::new().add("Read", name, &[], &json!({"fields": {"a": "int", "b": "str"}}))
}

fn shown(stages: &Stages) -> Vec<(usize, Vec<usize>)> {
    stages.stages.iter().map(|s| (s.lanes, s.nodes.clone())).collect()
}

#[test]
fn with_one_lane_a_chain_is_one_stage() {
    let p =
        read("In").add("Map", "M", &["In"], &NONE).add("Combine", "C", &["M"], &json!({"group_by": ["a"]}));
    let plan = p.add("WriteToJson", "Out", &["C"], &NONE).plan(1);
    assert_eq!(shown(&plan.stages), [(1, vec![0, 1, 2, 3])]);
    assert_eq!(plan.stages.edges, []);
}

#[test]
fn lanes_begin_at_the_shuffle_and_end_at_the_sink() {
    let p =
        read("In").add("Map", "M", &["In"], &NONE).add("Combine", "C", &["M"], &json!({"group_by": ["b"]}));
    let p = p.add("Map", "After", &["C"], &NONE).add("WriteToJson", "Out", &["After"], &NONE);
    let plan = p.plan(4);
    assert_eq!(shown(&plan.stages), [(1, vec![0, 1]), (4, vec![2, 3]), (1, vec![4])]);
    let exchanges: Vec<&Exchange> = plan.stages.edges.iter().map(|e| &e.exchange).collect();
    assert_eq!(exchanges, [&Exchange::Shuffle(vec![1]), &Exchange::Gather]);
}

#[test]
fn a_combine_without_keys_has_one_lane() {
    let p = read("In").add("Combine", "C", &["In"], &json!({"group_by": []})).add(
        "WriteToJson",
        "Out",
        &["C"],
        &NONE,
    );
    assert_eq!(shown(&p.plan(4).stages), [(1, vec![0, 1]), (1, vec![2])]);
}

#[test]
fn a_partial_step_stays_with_the_rows() {
    let p = read("In").add("Combine", "C", &["In"], &json!({"group_by": ["b"], "lift": true}));
    let plan = p.plan(2);
    assert_eq!(shown(&plan.stages), [(1, vec![0, 1]), (2, vec![2])]);
    assert_eq!(plan.stages.edges[0].exchange, Exchange::Shuffle(vec![0]));
}

#[test]
fn a_divided_reader_has_lanes_from_the_start() {
    let read = |pieces: usize| {
        let config = json!({"fields": {"a": "int", "b": "str"}, "pieces": pieces});
        Pipeline::new().add("Read", "In", &[], &config)
    };
    let p = |pieces| {
        let p = read(pieces).add("Map", "M", &["In"], &NONE);
        let p = p.add("Combine", "C", &["M"], &json!({"group_by": ["b"], "lift": true}));
        p.add("WriteToJson", "Out", &["C"], &NONE).add("WriteToJson", "All", &["M"], &NONE)
    };
    assert_eq!(shown(&p(9).plan(1).stages), [(1, vec![0, 1, 2, 3, 4, 5])], "one lane divides nothing");
    let plan = p(9).plan(4);
    assert_eq!(shown(&plan.stages), [(4, vec![0, 1, 2]), (4, vec![3]), (1, vec![4]), (1, vec![5])]);
    let exchanges: Vec<&Exchange> = plan.stages.edges.iter().map(|e| &e.exchange).collect();
    assert_eq!(exchanges, [&Exchange::Shuffle(vec![0]), &Exchange::Gather, &Exchange::Gather]);
    assert!(plan.graph.nodes[0].node.explain().ends_with(" in 9 pieces"));
    // No more lanes than pieces; and where lanes do not fit, rows are spread anew.
    let plan = p(2).plan(4);
    assert_eq!(plan.stages.stages[0].lanes, 2);
    let p = read(2).add("Read", "B", &[], &json!({"fields": {"a": "int", "b": "str"}, "pieces": 3}));
    let plan = p.add("Map", "M", &["In", "B"], &NONE).add("Sort", "S", &["M"], &NONE).plan(8);
    assert_eq!(shown(&plan.stages), [(2, vec![0]), (3, vec![1]), (3, vec![2]), (1, vec![3])]);
    let exchanges: Vec<&Exchange> = plan.stages.edges.iter().map(|e| &e.exchange).collect();
    assert_eq!(exchanges, [&Exchange::Spread, &Exchange::Forward, &Exchange::Gather]);
    assert!(
        crate::explain::staged(&plan).starts_with("stage 0  2 lanes"),
        "{}",
        crate::explain::staged(&plan)
    );
}

#[test]
fn where_stages_meet_a_new_one_begins() {
    let p = read("A").add("Read", "B", &[], &json!({"fields": {"a": "int", "b": "str"}}));
    let plan = p.add("Map", "M", &["A", "B"], &NONE).plan(1);
    assert_eq!(shown(&plan.stages), [(1, vec![0]), (1, vec![1]), (1, vec![2])]);
    assert!(plan.stages.edges.iter().all(|e| e.exchange == Exchange::Forward));
    // One lane and several: the one is spread.
    let p = read("A").add("Combine", "C", &["A"], &json!({"group_by": ["a"]})).add(
        "Map",
        "M",
        &["A", "C"],
        &NONE,
    );
    let plan = p.plan(3);
    let meeting = plan.stages.stages.iter().find(|s| s.nodes.contains(&3)).unwrap();
    assert_eq!(meeting.lanes, 3);
}

#[test]
fn fan_out_and_in_inside_a_stage_stays_inside() {
    let p = read("In").add("Partition", "P", &["In"], &json!({"outputs": ["x", "y"]}));
    let plan = p.add("Map", "X", &["P.x"], &NONE).add("Map", "Both", &["X", "P.y"], &NONE).plan(4);
    assert_eq!(shown(&plan.stages), [(1, vec![0, 1, 2, 3])]);
}

/// A node of a random graph: which earlier outputs each input reads, how it is spread, its outputs; for a
/// source its pieces.
type Draft = (Vec<(Vec<(prop::sample::Index, u8)>, u8)>, usize, usize);

fn drafts() -> impl Strategy<Value = Vec<Draft>> {
    let from = prop::collection::vec((any::<prop::sample::Index>(), 0u8..3), 1..3);
    let input = (from, 0u8..4);
    prop::collection::vec((prop::collection::vec(input, 0..3), 0usize..3, 0usize..5), 1..24)
}

fn graph(drafts: &[Draft]) -> Graph {
    let mut graph = Graph::default();
    for (inputs, outputs, pieces) in drafts {
        let id = graph.nodes.len();
        let readable: Vec<(usize, usize)> =
            graph.nodes.iter().flat_map(|n| (0..n.node.outputs().len()).map(move |p| (n.id, p))).collect();
        let inputs: &[_] = if readable.is_empty() { &[] } else { inputs };
        let distribution = inputs.iter().map(|(_, kind)| match kind {
            0 => Distribution::Keyed(vec![0]),
            1 => Distribution::Single,
            _ => Distribution::Any,
        });
        // A source that nothing can read would say nothing.
        let outputs = if inputs.is_empty() { (*outputs).max(1) } else { *outputs };
        let divided = inputs.is_empty() && *pieces > 1;
        let mut node = fake_node(outputs, distribution.collect());
        (node.pieces, node.divided) = (*pieces, divided);
        let node = Arc::new(node);
        let inputs = inputs
            .iter()
            .map(|(from, _)| {
                let mut from: Vec<_> = from.iter().map(|(i, _)| *i.get(&readable)).collect();
                from.sort_unstable();
                from.dedup();
                GraphInput { tag: "input".to_owned(), from, shape: fake_shape() }
            })
            .collect();
        let (label, type_name) = (format!("n{id}"), "Fake".to_owned());
        graph.nodes.push(GraphNode {
            id,
            leaf: None,
            label,
            type_name,
            node,
            inputs,
            span: Span::default(),
            implicit: false,
            ahead_of: None,
        });
    }
    graph
}

proptest! {
    #[test]
    fn any_graph_is_cut_into_stages_that_can_run(drafts in drafts(), lanes in 1usize..5) {
        let graph = graph(&drafts);
        let stages = fuse(&graph, lanes);
        prop_assert_eq!(&stages, &fuse(&graph, lanes));

        let mut stage_of = BTreeMap::new();
        for (i, stage) in stages.stages.iter().enumerate() {
            prop_assert_eq!(stage.id, i);
            prop_assert!((1..=lanes).contains(&stage.lanes));
            prop_assert!(stage.nodes.is_sorted());
            for node in &stage.nodes {
                prop_assert!(stage_of.insert(*node, stage).is_none(), "node {} is in two stages", node);
            }
        }
        prop_assert_eq!(stage_of.len(), graph.nodes.len());

        let mut crossing = 0;
        for edge in graph.edges() {
            let (from, to) = (stage_of[&edge.from.0], stage_of[&edge.to.0]);
            let exchanges: Vec<_> =
                stages.edges.iter().filter(|e| e.from == edge.from && e.to == edge.to).collect();
            prop_assert_eq!(exchanges.len(), usize::from(from.id != to.id));
            crossing += exchanges.len();
            prop_assert!(from.id <= to.id);
            let keyed = graph.nodes[edge.to.0].node.distribution(edge.to.1) == Distribution::Keyed(vec![0]);
            if from.id == to.id {
                prop_assert!(!(keyed && to.lanes > 1), "rows of one key stay in different lanes");
            }
            for e in exchanges {
                match e.exchange {
                    Exchange::Forward => prop_assert_eq!(from.lanes, to.lanes),
                    Exchange::Gather => prop_assert!(from.lanes > 1 && to.lanes == 1),
                    Exchange::Spread => prop_assert!(from.lanes != to.lanes && to.lanes > 1),
                    Exchange::Shuffle(_) => prop_assert!(keyed && to.lanes > 1),
                }
                prop_assert!(!keyed || to.lanes == 1 || matches!(e.exchange, Exchange::Shuffle(_)));
            }
        }
        prop_assert_eq!(crossing, stages.edges.len());

        for node in &graph.nodes {
            let stage = stage_of[&node.id];
            let single = (0..node.inputs.len()).any(|p| node.node.distribution(p) == Distribution::Single);
            prop_assert!(stage.lanes == 1 || !(single || node.is_sink()));
            prop_assert!(!node.is_source() || stage.lanes == node.node.lanes_max().clamp(1, lanes));
            // Fused inputs come from the stage and from nowhere else.
            let inside = node.inputs.iter().flat_map(|i| &i.from).filter(|f| stage.nodes.contains(&f.0)).count();
            let all: usize = node.inputs.iter().map(|i| i.from.len()).sum();
            prop_assert!(inside == 0 || inside == all);
        }
    }
}
