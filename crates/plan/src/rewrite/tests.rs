use crate::testing::Pipeline;
use crate::{Plan, PlanOptions};
use serde_json::{Value, json};

const NONE: Value = Value::Null;

fn read() -> Pipeline {
    Pipeline::new().add("Read", "In", &[], &json!({"fields": {"a": "int", "b": "str", "c": "int"}}))
}

fn explained(plan: &Plan) -> Vec<(String, String)> {
    plan.graph.nodes.iter().map(|n| (n.label.clone(), n.node.explain())).collect()
}

#[test]
fn a_source_reads_what_is_used_and_what_rows_are_spread_by() {
    let combine = json!({"group_by": ["b"], "values": ["c"]});
    let p = read().add("Combine", "C", &["In"], &combine).add("WriteToJson", "Out", &["C"], &NONE);
    assert_eq!(explained(&p.plan(2))[0].1, "reads b, c");
    let options = PlanOptions { rewrite: false, ..PlanOptions::default() };
    assert_eq!(explained(&p.try_plan(&options).0.unwrap())[0].1, "");
}

#[test]
fn a_column_is_kept_for_any_of_its_readers() {
    let p = read()
        .add("Map", "M", &["In"], &NONE)
        .add("Combine", "C", &["M"], &json!({"group_by": ["b"]}))
        .add("Combine", "D", &["M"], &json!({"group_by": [], "values": ["a"]}));
    let p = p.add("WriteToJson", "Out", &["C"], &NONE).add("WriteToJson", "Out2", &["D"], &NONE);
    assert_eq!(explained(&p.plan(1))[0].1, "reads a, b");
    let p = p.add("WriteToJson", "All", &["M"], &NONE);
    assert_eq!(explained(&p.plan(1))[0].1, "");
}

#[test]
fn an_aggregation_is_split_where_it_offers_it() {
    let combine = |lift: bool| json!({"group_by": ["b"], "values": ["c"], "lift": lift});
    let p = read().add("Combine", "C", &["In"], &combine(true)).add("WriteToJson", "Out", &["C"], &NONE);
    let plan = p.plan(2);
    let labels: Vec<String> = explained(&plan).into_iter().map(|(l, e)| format!("{l}: {e}")).collect();
    assert_eq!(labels, ["In: reads b, c", "C[partial]: first step", "C: second step", "Out: "]);
    assert_eq!(plan.graph.nodes.iter().map(|n| n.id).collect::<Vec<_>>(), [0, 1, 2, 3]);
    assert_eq!(plan.graph.nodes[2].inputs[0].from, [(1, 0)]);
    assert_eq!(plan.graph.nodes[3].inputs[0].from, [(2, 0)]);

    let p = read().add("Combine", "C", &["In"], &combine(false));
    assert_eq!(p.plan(2).graph.nodes.len(), 2);
}
