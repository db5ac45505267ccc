use super::schema;
use crate::fixture::{load_with, vocabulary};
use serde_json::Value;

/// As much of JSON schema as [`schema`] uses.
fn accepts(root: &Value, schema: &Value, value: &Value) -> bool {
    let Some(rules) = schema.as_object() else { return schema.as_bool().unwrap_or(true) };
    rules.iter().all(|(key, rule)| match key.as_str() {
        "$ref" => {
            let path = rule.as_str().and_then(|r| r.strip_prefix('#')).expect("a local reference");
            accepts(root, root.pointer(path).unwrap_or_else(|| panic!("{path} is not defined")), value)
        }
        "type" => match rule {
            Value::Array(types) => types.iter().any(|t| is_type(value, t)),
            one => is_type(value, one),
        },
        "enum" => rule.as_array().is_some_and(|all| all.contains(value)),
        "const" => rule == value,
        "anyOf" => rule.as_array().is_some_and(|all| all.iter().any(|s| accepts(root, s, value))),
        "allOf" => rule.as_array().is_some_and(|all| all.iter().all(|s| accepts(root, s, value))),
        "not" => !accepts(root, rule, value),
        "if" => {
            !accepts(root, rule, value) || rules.get("then").is_none_or(|then| accepts(root, then, value))
        }
        "required" => {
            let keys = rule.as_array().expect("a list");
            value.as_object().is_none_or(|o| keys.iter().all(|k| o.contains_key(k.as_str().unwrap_or(""))))
        }
        "properties" => value
            .as_object()
            .is_none_or(|o| o.iter().all(|(k, v)| rule.get(k).is_none_or(|s| accepts(root, s, v)))),
        "additionalProperties" => value.as_object().is_none_or(|o| {
            let known = |k: &String| rules.get("properties").is_some_and(|p| p.get(k).is_some());
            o.iter().filter(|(k, _)| !known(k)).all(|(_, v)| match rule {
                Value::Bool(open) => *open,
                s => accepts(root, s, v),
            })
        }),
        "items" => value.as_array().is_none_or(|l| l.iter().all(|v| accepts(root, rule, v))),
        "then" | "$schema" | "$defs" | "title" | "description" | "pattern" => true,
        other => panic!("unknown keyword {other}"),
    })
}

fn is_type(value: &Value, name: &Value) -> bool {
    match name.as_str().unwrap_or("") {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "number" => value.is_number(),
        "integer" => value.is_i64(),
        "boolean" => value.is_boolean(),
        _ => value.is_null(),
    }
}

/// Whether the schema takes a file, and whether the shape check does.
fn both(text: &str) -> (bool, bool) {
    let node = crate::yaml::parse_str(text).0.expect("test YAML");
    let schema = schema(&vocabulary());
    (accepts(&schema, &schema, &node.to_json()), load_with(text, &[], false).spec.is_some())
}

const CREATE: &str = "{type: Create, config: {elements: [{a: 1}]}}";

#[test]
fn good_files_are_accepted() {
    for text in [
        format!("pipeline: {{type: chain, windowing: {{type: fixed, size: 5s}}, transforms: [{CREATE}, {{type: Filter, config: {{keep: a}}}}]}}"),
        format!("pipeline: {{transforms: [{CREATE}, {{type: MapToFields, input: Create, config: {{drop: a, append: true, fields: {{x: {{callable: f}}, y: 5}}}}}}]}}"),
        format!("pipeline: {{source: {CREATE}, transforms: [{{type: WindowInto, input: Create, windowing: {{type: global}}}}], sink: {{type: WriteToJson, input: WindowInto, config: {{path: x}}}}}}\noptions: {{a: 1}}\nother: 1"),
        format!("pipeline: {{transforms: [{CREATE}, {{type: chain, input: {{a: Create}}, transforms: [{{type: Explode}}], extra_transforms: [{{type: Flatten, input: [Explode, Explode]}}]}}]}}"),
        "pipeline: {transforms: [{type: T, config: {n: 1}}]}\nproviders:\n  - type: yaml\n    transforms: {T: {requires_inputs: false, config_schema: {properties: {n: {type: integer}}}, body: {type: Create, config: {elements: []}}}}".to_owned(),
        "pipeline: {transforms: []}\ntests: [{name: a, expected_inputs: [{name: B, elements: []}]}]".to_owned(),
    ] {
        assert_eq!(both(&text), (true, true), "{text}");
    }
}

#[test]
fn files_of_the_wrong_shape_are_refused() {
    for text in [
        "{}".to_owned(),
        "pipeline: []".to_owned(),
        "pipeline: {type: other, transforms: []}".to_owned(),
        "pipeline: {name: x, transforms: []}".to_owned(),
        "pipeline: {transforms: [{}]}".to_owned(),
        format!("pipeline: {{type: chain, transforms: [{CREATE}, {{type: Explode, input: Create}}]}}"),
        format!("pipeline: {{transforms: [{CREATE}, {{type: Explode, input: Create, colour: red}}]}}"),
        format!("pipeline: {{transforms: [{CREATE}, {{type: Explode, input: 5}}]}}"),
        format!(
            "pipeline: {{transforms: [{CREATE}, {{type: composite, input: Create, extra_transforms: [], transforms: []}}]}}"
        ),
        "pipeline: {transforms: []}\ntests: [{name: a, expected_inputs: [{name: B}]}]".to_owned(),
        "pipeline: {transforms: []}\nproviders: [{type: nothing, transforms: {}}]".to_owned(),
    ] {
        assert_eq!(both(&text), (false, false), "{text}");
    }
}

#[test]
fn configs_are_described() {
    let schema = schema(&vocabulary());
    let config = |t: &str| {
        schema.pointer(&format!("/$defs/transform-{t}/properties/config")).cloned().unwrap_or_default()
    };
    let good = |t: &str, json: Value| accepts(&schema, &config(t), &json);
    assert!(good("Create", serde_json::json!({"elements": [1], "output_schema": {}})));
    assert!(!good("Create", serde_json::json!({})) && !good("Create", serde_json::json!({"elements": 1})));
    assert!(!good("MapToFields", serde_json::json!({"fields": {"a": {"expression": "x", "callable": "y"}}})));
    assert!(!good("MapToFields", serde_json::json!({"fields": {}, "language": "cobol"})));
    assert!(!good("WindowInto", serde_json::json!({"windowing": {"type": "fixed", "sise": 5}})));
}
