//! What right files become.

use super::{becomes, check_in};
use crate::fixture::leaves;

const A: &str = "{type: Create, name: A, config: {elements: []}}";
const B: &str = "{type: Create, name: B, config: {elements: []}}";

#[test]
fn a_chain_connects_its_members() {
    becomes(
        "pipeline:\n  type: chain\n  source: {type: Create, config: {elements: []}}\n  transforms:\n    - {type: Filter, config: {keep: x}}\n  sink: {type: WriteToJson, config: {path: x}}\n",
        "
        Create: Create()
        Filter: Filter(input=Create)
        WriteToJson: WriteToJson(input=Filter)
    ",
    );
}

#[test]
fn extra_transforms_read_members_by_name() {
    becomes(
        "pipeline:\n  type: chain\n  transforms:\n    - {type: Create, config: {elements: []}}\n    - {type: MapToFields, name: Div, config: {fields: {}, error_handling: {output: oops}}}\n    - {type: WriteToJson, config: {path: x}}\n  extra_transforms:\n    - {type: MapToFields, name: Msgs, input: Div.oops, config: {fields: {}}}\n    - {type: WriteToJson, name: WM, input: Msgs, config: {path: y}}\n",
        "
        Create: Create()
        Div: MapToFields(input=Create)
        WriteToJson: WriteToJson(input=Div)
        Msgs: MapToFields(input=Div.oops)
        WM: WriteToJson(input=Msgs)
    ",
    );
}

#[test]
fn extra_transforms_have_no_language_step_in_beam() {
    check_in(
        "pipeline:\n  type: chain\n  transforms:\n    - {type: Create, config: {elements: []}}\n  extra_transforms:\n    - {type: MapToFields, input: Create, config: {fields: {}}}\n",
        &[],
        true,
        r#"
        type/unknown 6:14 Unknown transform type "MapToFields"
          ? leave out `--beam-compat`
    "#,
    );
}

#[test]
fn inputs_are_text_lists_and_mappings() {
    becomes(
        &format!(
            "pipeline:\n  transforms:\n    - {A}\n    - {B}\n    - {{type: Filter, input: [A, B], config: {{keep: x}}}}\n    - {{type: Join, input: {{l: A, r: [B, Filter]}}}}\n    - {{type: PyTransform, input: {{}}}}\n"
        ),
        "
        A: Create()
        B: Create()
        Filter: Filter(input=A+B)
        Join: Join(l=A, r=B+Filter)
        PyTransform: PyTransform()
    ",
    );
}

#[test]
fn nested_scopes() {
    // Order in the file does not matter; inside, the keys of `input` are names; a chain without inputs sees
    // those around it.
    becomes(
        &format!(
            "pipeline:\n  transforms:\n    - {{type: WriteToJson, input: C.out, config: {{path: x}}}}\n    - type: composite\n      name: C\n      input: {{left: A, right: B}}\n      transforms:\n        - type: composite\n          name: Inner\n          transforms:\n            - {{type: Flatten, input: [left, right]}}\n          output: Flatten\n        - {{type: Filter, input: Inner, config: {{keep: x}}}}\n      output: {{out: Filter, same: left}}\n    - {A}\n    - {B}\n    - {{type: Filter, input: C.same, config: {{keep: x}}}}\n"
        ),
        "
        WriteToJson: WriteToJson(input=C/Filter)
        C/Inner/Flatten: Flatten(input=A+B)
        C/Filter: Filter(input=C/Inner/Flatten)
        A: Create()
        B: Create()
        Filter: Filter(input=A)
    ",
    );
}

#[test]
fn a_composite_with_an_input_is_chained_if_nothing_is_said() {
    becomes(
        &format!(
            "pipeline:\n  transforms:\n    - {A}\n    - type: composite\n      name: Steps\n      input: A\n      transforms:\n        - {{type: MapToFields, config: {{fields: {{}}}}}}\n        - {{type: Filter, config: {{keep: x}}}}\n    - {{type: WriteToJson, input: Steps, config: {{path: x}}}}\n"
        ),
        "
        A: Create()
        Steps/MapToFields: MapToFields(input=A)
        Steps/Filter: Filter(input=Steps/MapToFields)
        WriteToJson: WriteToJson(input=Steps/Filter)
    ",
    );
}

#[test]
fn a_chain_passes_several_inputs_to_its_first_member() {
    becomes(
        &format!(
            "pipeline:\n  transforms:\n    - {A}\n    - {B}\n    - type: chain\n      input: {{l: A, r: B}}\n      transforms:\n        - {{type: Join}}\n        - {{type: Filter, name: Last, config: {{keep: x}}}}\n      output: {{kept: Last}}\n    - {{type: WriteToJson, input: Chain.kept, config: {{path: x}}}}\n"
        ),
        "
        A: Create()
        B: Create()
        Chain/Join: Join(l=A, r=B)
        Chain/Last: Filter(input=Chain/Join)
        WriteToJson: WriteToJson(input=Chain/Last)
    ",
    );
}

#[test]
fn names_and_types() {
    // `MapToFields` is only the default name of the first: with a language, types are no names.
    becomes(
        &format!(
            "pipeline:\n  transforms:\n    - {A}\n    - {{type: MapToFields, input: Create, config: {{fields: {{}}}}}}\n    - {{type: MapToFields, name: M, input: MapToFields, config: {{fields: {{}}}}}}\n    - {{type: WriteToJson, name: W, input: M, config: {{path: x}}}}\n    - {{type: WriteToJson, name: W, input: M, config: {{path: y}}}}\n"
        ),
        "
        A: Create()
        MapToFields: MapToFields(input=A)
        M: MapToFields(input=MapToFields)
        W: WriteToJson(input=M)
        W: WriteToJson(input=M)
    ",
    );
}

#[test]
fn windowing_goes_to_roots_and_inputs() {
    becomes(
        "pipeline:\n  windowing: {type: fixed, size: 1h}\n  transforms:\n    - {type: Create, name: A, config: {elements: []}}\n    - {type: Create, name: B, windowing: {type: global}, config: {elements: []}}\n    - {type: composite, name: In, transforms: [{type: Create, name: D, config: {elements: []}}], output: D}\n    - {type: Combine, name: S, windowing: {type: fixed, size: 2}, input: [A, B, In]}\n    - {type: composite, name: C, windowing: {type: sessions, gap: 3}, input: S, transforms: [{type: Filter, config: {keep: x}}]}\n    - {type: WindowInto, input: C, windowing: '{\"type\": \"global\"}'}\n",
        r#"
        A: Create() @{"type":"fixed","size":"1h"}
        B: Create() @{"type":"global"}
        In/D: Create() @{"type":"fixed","size":"1h"}
        S: Combine(input=A+B+In/D) @{"type":"fixed","size":2}
        C/WindowInto[input]: WindowInto(input=S) @{"type":"sessions","gap":3}
        C/Filter: Filter(input=C/WindowInto[input])
        WindowInto: WindowInto(input=C/Filter) @{"type":"global"}
    "#,
    );
}

#[test]
fn beam_takes_a_day_as_12_hours() {
    let text = "pipeline:\n  type: chain\n  windowing: {type: fixed, size: 1.5d}\n  transforms:\n    - {type: Create, config: {elements: []}}\n";
    assert_eq!(leaves(text, &[], true).trim(), "Create: Create() @{\"type\":\"fixed\",\"size\":\"18h\"}");
}

#[test]
fn what_a_leaf_keeps() {
    let text = "pipeline:\n  transforms:\n    - {type: Create, config: {elements: []}}\n    - type: MapToFields\n      input: Create\n      config: {fields: {a: b}, error_handling: {output: bad}, output_schema: {type: object}}\n    - {type: WriteToJson, input: MapToFields.bad, config: {path: x}}\noptions: {streaming: true}\nx-purlin: {tests: []}\ntests:\n  - {name: t, mock_outputs: [{name: Create, elements: [1]}], expected_inputs: [{name: WriteToJson, elements: []}], allowed_sources: [Create]}\n";
    let loaded = crate::fixture::load_with(text, &[], false);
    let spec = loaded.spec.expect("a good pipeline");
    let map = &spec.leaves[1];
    assert_eq!(
        map.config.to_json(),
        serde_json::json!({"fields": {"a": "b"}, "error_handling": {"output": "bad"}, "language": "generic"})
    );
    assert_eq!(
        map.output_schema.as_ref().map(crate::Node::to_json),
        Some(serde_json::json!({"type": "object"}))
    );
    assert_eq!(map.error_output.as_ref().map(|e| e.value.as_str()), Some("bad"));
    assert_eq!(spec.leaves[2].inputs[0].from[0].output.as_deref(), Some("bad"));
    assert!(spec.options.is_some() && spec.x_purlin.is_some());
    let test = &spec.tests[0];
    assert_eq!((test.name.as_str(), test.mock_outputs.len(), test.expected_inputs.len()), ("t", 1, 1));
    assert_eq!(test.allowed_sources, ["Create"]);
}
