use crate::testing::{Pipeline, node, spanned};
use crate::{PlanOptions, graph::Graph};
use purlin_spec::model::Ref;
use serde_json::{Value, json};

fn read() -> Pipeline {
    Pipeline::new().add("Read", "In", &[], &json!({"fields": {"a": "int", "b": "str?"}}))
}

fn labels(graph: &Graph) -> Vec<&str> {
    graph.nodes.iter().map(|n| n.label.as_str()).collect()
}

fn from<'g>(graph: &'g Graph, label: &str) -> Vec<(&'g str, usize)> {
    let node = graph.nodes.iter().find(|n| n.label == label).unwrap();
    node.inputs
        .iter()
        .flat_map(|i| &i.from)
        .map(|(id, port)| (graph.nodes[*id].label.as_str(), *port))
        .collect()
}

const NONE: Value = Value::Null;

#[test]
fn leaves_are_bound_after_what_they_read_in_any_order_of_the_file() {
    let mut p = read().add("Map", "M", &["In"], &NONE).add("WriteToJson", "Out", &["M"], &NONE);
    p.spec.leaves.reverse();
    for (id, leaf) in p.spec.leaves.iter_mut().enumerate() {
        leaf.id = id;
        leaf.inputs.iter_mut().flat_map(|i| &mut i.from).for_each(|r| r.leaf = 2 - r.leaf);
    }
    assert_eq!(labels(&p.plan(1).graph), ["In", "M", "Out"]);
}

#[test]
fn a_cycle_is_named() {
    let mut p =
        read().add("Map", "A", &["In"], &NONE).add("Map", "B", &["A"], &NONE).add("Map", "C", &["B"], &NONE);
    let span = p.spec.leaves[1].span;
    p.spec.leaves[1].inputs[0].from = vec![Ref { leaf: 2, output: None, span }];
    assert_eq!(p.messages(), ["cycle/transforms: transforms form a cycle: A -> B -> A"]);
}

#[test]
fn all_bad_configs_are_told_and_what_follows_from_them_is_not() {
    let p = read()
        .add("Map", "A", &["In"], &json!({"bad_config": 1}))
        .add("Map", "B", &["A.nowhere"], &NONE)
        .add("Nonsense", "C", &["B"], &NONE)
        .add("Combin", "D", &["In"], &NONE);
    assert_eq!(
        p.messages(),
        [
            "test/config: bad config of Map",
            "type/unknown: Unknown transform type `Nonsense`",
            "type/unknown: Unknown transform type `Combin`"
        ]
    );
}

#[test]
fn a_failed_bind_fails_the_plan_once() {
    let p = read().add("Map", "A", &["In"], &json!({"fail": "no such field"})).add("Map", "B", &["A"], &NONE);
    let (plan, messages) = p.try_plan(&PlanOptions::default());
    assert!(plan.is_none());
    assert_eq!(messages, ["test/bind: A: no such field"]);
}

#[test]
fn a_plain_name_means_the_only_result() {
    let handling = json!({"error_handling": {"output": "bad"}});
    let p = read().add("Map", "M", &["In"], &handling).add("Map", "Good", &["M"], &NONE);
    let p = p.add("Map", "Same", &["M.good"], &NONE).add("Map", "Bad", &["M.bad"], &NONE);
    let plan = p.plan(1);
    assert_eq!(from(&plan.graph, "Good"), [("M", 0)]);
    assert_eq!(from(&plan.graph, "Same"), [("M", 0)]);
    assert_eq!(from(&plan.graph, "Bad"), [("M", 1)]);
}

#[test]
fn several_results_need_a_name() {
    let split = json!({"outputs": ["big", "small"]});
    let p = read().add("Partition", "P", &["In"], &split).add("WriteToJson", "Out", &["P"], &NONE);
    assert_eq!(p.messages(), ["output/ambiguous: Ambiguous output: `P` has outputs big, small"]);
    let p = read().add("Partition", "P", &["In"], &split).add("WriteToJson", "Out", &["P.bigg"], &NONE);
    assert_eq!(p.messages(), ["output/unknown: Unknown output `bigg`: `P` only has outputs big, small"]);
    let p = read().add("Partition", "P", &["In"], &split).with(|l| l.main_output = Some("small".to_owned()));
    let plan = p.add("Map", "M", &["P"], &NONE).plan(1);
    assert_eq!(from(&plan.graph, "M"), [("P", 1)]);
}

#[test]
fn an_only_output_answers_to_out_and_not_to_other_names() {
    let plan = read().add("Map", "M", &["In.out"], &NONE).plan(1);
    assert_eq!(from(&plan.graph, "M"), [("In", 0)]);
    let p = read().add("Map", "M", &["In.good"], &NONE);
    assert_eq!(p.messages(), ["output/unknown: Unknown output `good`: `In` only has outputs out"]);
    let p = read().add("WriteToJson", "Out", &["In"], &NONE).add("Map", "M", &["Out"], &NONE);
    assert_eq!(p.messages(), ["output/none: `Out` has no output to read"]);
}

#[test]
fn references_of_one_input_are_merged_or_flattened() {
    let more = |fields: &Value| read().add("Read", "More", &[], &json!({"fields": fields}));
    let same = more(&json!({"a": "int?", "b": "str"})).add("Map", "M", &["In", "More"], &NONE).plan(1);
    assert_eq!(from(&same.graph, "M"), [("In", 0), ("More", 0)]);
    let schema = &same.graph.nodes[2].inputs[0].shape.schema;
    assert!(schema.field(0).is_nullable() && schema.field(1).is_nullable());

    let other = more(&json!({"c": "int"})).add("Map", "M", &["In", "More"], &NONE).plan(1);
    assert_eq!(labels(&other.graph), ["In", "More", "M-Flatten[input]", "M"]);
    assert_eq!(from(&other.graph, "M"), [("M-Flatten[input]", 0)]);
    assert!(other.graph.nodes[2].implicit);

    let p = more(&json!({"a": "str"})).add("Map", "M", &["In", "More"], &NONE);
    assert_eq!(p.messages(), ["test/union: M-Flatten[input]: `a` has two types"]);

    let plan = more(&json!({"c": "int"})).add("Flatten", "F", &["In", "More"], &NONE).plan(1);
    assert_eq!(labels(&plan.graph), ["In", "More", "F"]);
    let tags: Vec<&str> = plan.graph.nodes[2].inputs.iter().map(|i| i.tag.as_str()).collect();
    assert_eq!(tags, ["input0", "input1"]);
}

#[test]
fn windowing_stands_before_a_transform_and_after_a_root() {
    let fixed = json!({"type": "fixed", "size": 30});
    let p = read().windowed(&fixed).add("Map", "M", &["In"], &NONE).windowed(&json!({"size": 60}));
    let plan = p.plan(1);
    assert_eq!(labels(&plan.graph), ["In", "In[windowing]", "M[windowing]", "M"]);
    let windowing = |i: usize| plan.graph.nodes[i].node.outputs()[0].shape.windowing.describe();
    assert_eq!((windowing(1).as_str(), windowing(3).as_str()), ("fixed(30s)", "fixed(1m)"));

    let plan = read().add("WindowInto", "W", &["In"], &json!({})).windowed(&fixed).plan(1);
    assert_eq!(labels(&plan.graph), ["In", "W"]);
    assert_eq!(plan.graph.nodes[1].node.outputs()[0].shape.windowing.describe(), "fixed(30s)");

    let inputs: &[(&str, &[&str])] = &[("left", &["In"]), ("right", &["In"])];
    let plan = read().named("Join", "J", inputs, &NONE).windowed(&fixed).plan(1);
    assert_eq!(labels(&plan.graph), ["In", "J[windowing left]", "J[windowing right]", "J"]);
}

#[test]
fn an_output_schema_checks_the_result_and_its_failures_join_the_errors() {
    let schema = node(&json!({"type": "object"}));
    let p = read().with(|l| l.output_schema = Some(schema.clone())).add("Map", "M", &["In"], &NONE);
    let plan = p.plan(1);
    assert_eq!(labels(&plan.graph), ["In", "In[output_schema]", "M"]);
    assert_eq!(from(&plan.graph, "M"), [("In[output_schema]", 0)]);

    let config = json!({"fields": {"n": "int"}, "error_handling": {"output": "bad"}});
    let p = read().add("Map", "M", &["In"], &config).with(|l| l.output_schema = Some(schema.clone()));
    let plan = p.add("Map", "Bad", &["M.bad"], &NONE).add("Map", "Good", &["M"], &NONE).plan(1);
    assert_eq!(from(&plan.graph, "M-Flatten[bad]"), [("M", 1), ("M[output_schema]", 1)]);
    assert_eq!(from(&plan.graph, "Bad"), [("M-Flatten[bad]", 0)]);
    assert_eq!(from(&plan.graph, "Good"), [("M[output_schema]", 0)]);

    let same = json!({"error_handling": {"output": "bad"}});
    let p = read().add("Map", "M", &["In"], &same).with(|l| l.output_schema = Some(schema));
    let plan = p.add("Map", "Bad", &["M.bad"], &NONE).plan(1);
    assert_eq!(from(&plan.graph, "Bad"), [("M", 1), ("M[output_schema]", 1)]);

    let p = read().with(|l| l.output_schema = Some(node(&json!({"error_handling": {"output": "x"}}))));
    assert_eq!(
        p.messages(),
        ["output-schema/error-handling: `error_handling` is not supported inside `output_schema`"]
    );
}

#[test]
fn an_error_output_that_nobody_reads_is_refused() {
    let config = json!({"error_handling": {"output": "bad"}});
    let p = read().add("Map", "M", &["In"], &config).add("WriteToJson", "Out", &["M"], &NONE);
    assert_eq!(p.messages(), ["error-handling/unconsumed: Unconsumed error output `bad` of `M`"]);
    assert!(p.try_plan(&PlanOptions::default()).0.is_none());
    // A composite may hand it on.
    let p = read().add("Map", "C/M", &["In"], &config).add("WriteToJson", "Out", &["C/M"], &NONE);
    assert!(p.try_plan(&PlanOptions::default()).0.is_some());
    assert_eq!(p.messages().len(), 1);
}

#[test]
fn a_transform_without_input_is_refused() {
    let p = read().add("WriteToJson", "Out", &[], &NONE);
    assert_eq!(p.messages()[0], "input/missing: Missing inputs for transform `Out`");
}

#[test]
fn two_transforms_of_one_name_get_two_labels() {
    let p = read().add("Map", "M", &["In"], &NONE).add("Map", "M", &["In"], &NONE);
    assert_eq!(labels(&p.plan(1).graph), ["In", "M", "M#2"]);
}

#[test]
fn a_collection_without_end_needs_windows() {
    let p = |windowing: Option<&Value>, sink: &str| {
        let p = Pipeline::new().add("Read", "In", &[], &json!({"fields": {"a": "int"}, "unbounded": true}));
        let p = p.add("Map", "M", &["In"], &NONE);
        let p = match windowing {
            Some(w) => p.windowed(w),
            None => p,
        };
        p.add(sink, "Out", &["M"], &json!({"group_by": ["a"]}))
    };
    assert_eq!(
        p(None, "WriteToJson").messages(),
        [
            "window/unbounded-file: `Out` would never finish a file: its input has no end and is in the global window"
        ]
    );
    assert_eq!(
        p(None, "Combine").messages(),
        [
            "window/unbounded-global: `Out` would never give a result: its input has no end and is in the global window"
        ]
    );
    let fixed = json!({"size": 30});
    assert!(p(Some(&fixed), "WriteToJson").messages().is_empty());
    assert!(p(Some(&fixed), "Combine").messages().is_empty());
}

#[test]
fn names_of_any_kind_do_no_harm() {
    let p = read().add("Map", "", &["In"], &NONE).with(|l| l.type_name = spanned(""));
    assert_eq!(p.messages(), ["type/unknown: Unknown transform type ``"]);
}
