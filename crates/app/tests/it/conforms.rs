//! Whether a JSON value is as a JSON schema of an OpenAPI document says: the few words that ours uses.

use serde_json::Value;

/// Says where a value is not as its schema wants it.
pub(crate) fn problems(document: &Value, schema: &Value, value: &Value) -> Vec<String> {
    let mut problems = Vec::new();
    check(document, schema, value, "answer", &mut problems);
    problems
}

fn check(document: &Value, schema: &Value, value: &Value, at: &str, problems: &mut Vec<String>) {
    if let Some(reference) = schema["$ref"].as_str() {
        let found = document.pointer(reference.trim_start_matches('#'));
        return check(document, found.expect("a schema that is referred to"), value, at, problems);
    }
    if let Some(any) = schema["anyOf"].as_array() {
        let tries: Vec<Vec<String>> = any.iter().map(|s| self::problems(document, s, value)).collect();
        if tries.iter().all(|t| !t.is_empty()) {
            problems.push(format!("{at} is none of what it may be: {tries:?}"));
        }
        return;
    }
    if let Some(wanted) = schema.get("const").filter(|c| *c != value) {
        problems.push(format!("{at} is {value}, not {wanted}"));
    }
    if let Some(words) = schema["enum"].as_array().filter(|w| !w.contains(value)) {
        problems.push(format!("{at} is {value}, none of {words:?}"));
    }
    let types: Vec<&str> = match &schema["type"] {
        Value::String(one) => vec![one],
        Value::Array(many) => many.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    if !types.is_empty() && !types.iter().any(|t| is(t, value)) {
        problems.push(format!("{at} is {value}, not of type {types:?}"));
    }
    for (i, item) in value.as_array().into_iter().flatten().enumerate() {
        check(document, &schema["items"], item, &format!("{at}[{i}]"), problems);
    }
    let Some(object) = value.as_object() else { return };
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if !object.contains_key(name) {
            problems.push(format!("{at}.{name} is described and not answered"));
        }
    }
    for (name, value) in object {
        let at = format!("{at}.{name}");
        match (&schema["properties"][name], &schema["additionalProperties"]) {
            (Value::Null, Value::Bool(false)) => problems.push(format!("{at} is answered and not described")),
            (Value::Null, more) => check(document, more, value, &at, problems),
            (own, _) => check(document, own, value, &at, problems),
        }
    }
}

fn is(kind: &str, value: &Value) -> bool {
    match kind {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("the schema has a type `{other}`"),
    }
}

#[test]
fn differences_are_found() {
    let document = serde_json::json!({"s": {"type": "object", "required": ["a"], "additionalProperties": false,
        "properties": {"a": {"type": ["integer", "null"]}, "b": {"type": "array", "items": {"enum": ["x"]}}}}});
    let schema = serde_json::json!({"$ref": "#/s"});
    let of = |v: Value| problems(&document, &schema, &v);
    assert_eq!(of(serde_json::json!({"a": 1, "b": ["x"]})), [""; 0]);
    assert_eq!(of(serde_json::json!({"b": []})), ["answer.a is described and not answered"]);
    assert_eq!(of(serde_json::json!({"a": null, "c": 1})), ["answer.c is answered and not described"]);
    assert_eq!(of(serde_json::json!({"a": "1", "b": ["y"]})).len(), 2);
}
