//! The JSON schema of the whole language, for editors: made from the vocabulary and from the same tables of
//! keys that the shape check uses.

use crate::config::{FieldDef, FromNode, Kind};
use crate::phases::keys;
use crate::types::Windowing;
use crate::vocabulary::{TIMED_STEPS, TransformDef, Vocabulary};
use serde_json::{Map, Value, json};

/// The JSON schema (draft 2020-12) of a pipeline file.
pub fn schema(vocabulary: &Vocabulary) -> Value {
    let mut defs = Map::new();
    defs.insert("windowing".to_owned(), of_kind(&Windowing::kind()));
    defs.insert("input".to_owned(), input());
    defs.insert("output".to_owned(), json!({"anyOf": [{"type": "string"}, names()]}));
    defs.insert("transform".to_owned(), any_transform(vocabulary));
    defs.insert("chain".to_owned(), group(keys::CHAIN));
    defs.insert("composite".to_owned(), group(keys::COMPOSITE));
    defs.insert("other".to_owned(), closed(keys::TRANSFORM, &["type"]));
    defs.insert("member".to_owned(), member());
    defs.insert("provider".to_owned(), provider());
    defs.insert("test".to_owned(), test());
    defs.insert("timed-test".to_owned(), timed_test());
    defs.insert("elements".to_owned(), closed(keys::TEST_ELEMENTS, keys::TEST_ELEMENTS));
    for def in vocabulary.iter() {
        defs.insert(format!("transform-{}", def.name), transform(def));
    }
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Beam YAML pipeline",
        "type": "object",
        "required": ["pipeline"],
        "properties": {
            "pipeline": pipeline(),
            "providers": {"type": "array", "items": {"$ref": "#/$defs/provider"}},
            "options": {"type": "object"},
            "tests": {"type": "array", "items": {"$ref": "#/$defs/test"}},
            "x-purlin": {
                "type": "object",
                "properties": {
                    "delivery": {"enum": keys::DELIVERIES},
                    "resources": resources(),
                    "tests": {"type": "array", "items": {"$ref": "#/$defs/timed-test"}},
                },
                "additionalProperties": false,
            },
        },
        "$defs": defs,
    })
}

/// What a pipeline needs of Pub/Sub; the app reads it, and a test there compares the keys.
fn resources() -> Value {
    let (text, flag, span) =
        (json!({"type": "string"}), json!({"type": "boolean"}), json!({"type": ["number", "string"]}));
    json!({
        "type": "object",
        "properties": {
            "topics": {"type": "array", "items": {"anyOf": [
                text,
                {"type": "object", "required": ["name"], "additionalProperties": false,
                 "properties": {"name": text, "message_retention_duration": span}},
            ]}},
            "subscriptions": {"type": "array", "items": {
                "type": "object",
                "required": ["name", "topic"],
                "additionalProperties": false,
                "properties": {
                    "name": text, "topic": text, "ack_deadline": span, "filter": text,
                    "dead_letter_topic": text,
                    "max_delivery_attempts": {"type": "integer", "minimum": 5, "maximum": 100},
                    "enable_message_ordering": flag, "enable_exactly_once_delivery": flag,
                    "message_retention_duration": span, "retain_acked_messages": flag, "push_endpoint": text,
                },
            }},
        },
        "additionalProperties": false,
    })
}

/// A timed test: its steps do one thing each.
fn timed_test() -> Value {
    let by_name = json!({"type": "object", "additionalProperties": {"type": "array"}});
    let moment = json!({"type": ["number", "string"]});
    let arg = |step: &str| match step {
        "give" | "expect" => by_name.clone(),
        "advance_watermark" => json!({"anyOf": [
            moment.clone(), {"type": "object", "additionalProperties": moment.clone()}]}),
        "advance_clock" => moment.clone(),
        "idle" => json!({"type": ["string", "array"], "items": {"type": "string"}}),
        _ => json!({}),
    };
    let properties: Map<String, Value> =
        TIMED_STEPS.iter().map(|step| ((*step).to_owned(), arg(step))).collect();
    json!({
        "type": "object",
        "required": ["steps"],
        "properties": {
            "name": {"type": ["string", "number", "boolean"]},
            "steps": {"type": "array", "items": {"anyOf": [
                {"const": "end"},
                {"type": "object", "properties": properties, "additionalProperties": false,
                 "minProperties": 1, "maxProperties": 1},
            ]}},
        },
        "additionalProperties": false,
    })
}

/// What a key of the structure holds.
fn key(name: &str) -> Value {
    match name {
        "type" | "name" | "description" => json!({"type": "string"}),
        "input" => json!({"$ref": "#/$defs/input"}),
        "output" => json!({"$ref": "#/$defs/output"}),
        "windowing" => json!({"$ref": "#/$defs/windowing"}),
        "transforms" | "extra_transforms" => json!({"type": "array", "items": {"$ref": "#/$defs/transform"}}),
        "source" | "sink" => json!({"$ref": "#/$defs/transform"}),
        "elements" => json!({"type": "array"}),
        "requires_inputs" => json!({"type": "boolean"}),
        "allowed_sources" => json!({"type": "array", "items": {"type": "string"}}),
        "mock_inputs" | "mock_outputs" | "expected_inputs" | "expected_outputs" => {
            json!({"type": "array", "items": {"$ref": "#/$defs/elements"}})
        }
        "body" => json!({"type": ["object", "string"]}),
        _ => json!({"type": "object"}),
    }
}

/// A mapping with these keys and no others.
fn closed(names: &[&str], required: &[&str]) -> Value {
    let properties: Map<String, Value> = names.iter().map(|n| ((*n).to_owned(), key(n))).collect();
    json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false})
}

fn has_members() -> Value {
    json!([{"required": ["transforms"]}, {"required": ["source", "sink"]}])
}

/// In a chain, members may not say what they read.
fn chain_rule() -> Value {
    let implicit = json!({"$ref": "#/$defs/member"});
    json!({
        "if": {"properties": {"type": {"const": "chain"}}, "required": ["type"]},
        "then": {"properties": {"transforms": {"items": implicit}, "source": implicit, "sink": implicit}},
    })
}

fn member() -> Value {
    json!({"not": {"anyOf": [{"required": ["input"]}, {"required": ["output"]}]}})
}

fn group(names: &[&str]) -> Value {
    let mut schema = closed(names, &["type"]);
    schema["anyOf"] = has_members();
    schema["allOf"] = json!([chain_rule()]);
    schema
}

fn pipeline() -> Value {
    let mut schema = closed(keys::PIPELINE, &[]);
    schema["properties"]["type"] = json!({"enum": ["chain", "composite"]});
    schema["anyOf"] = has_members();
    schema["allOf"] = json!([chain_rule()]);
    schema
}

fn names() -> Value {
    json!({"type": "object", "additionalProperties": {"type": "string"}})
}

fn input() -> Value {
    let one = json!({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]});
    json!({"anyOf": [
        {"type": "string"},
        {"type": "array", "items": {"type": "string"}},
        {"type": "object", "additionalProperties": one},
    ]})
}

/// Chooses the schema by the type; types of providers get the general one.
fn any_transform(vocabulary: &Vocabulary) -> Value {
    let when = |name: &str, def: &str| {
        json!({
            "if": {"properties": {"type": {"const": name}}, "required": ["type"]},
            "then": {"$ref": format!("#/$defs/{def}")},
        })
    };
    let mut known: Vec<&str> = vec!["chain", "composite"];
    known.extend(vocabulary.iter().map(|d| d.name));
    let mut rules = vec![when("chain", "chain"), when("composite", "composite")];
    rules.extend(vocabulary.iter().map(|d| when(d.name, &format!("transform-{}", d.name))));
    rules.push(json!({
        "if": {"properties": {"type": {"not": {"enum": known}}}},
        "then": {"$ref": "#/$defs/other"},
    }));
    // Listing the types here lets an editor complete them.
    let types = json!({"anyOf": [{"enum": known}, {"type": "string"}]});
    json!({"type": "object", "properties": {"type": types}, "required": ["type"], "allOf": rules})
}

fn transform(def: &TransformDef) -> Value {
    let mut schema = closed(keys::TRANSFORM, &["type"]);
    let mut config = of_kind(&def.kind());
    if let Some(properties) = config["properties"].as_object_mut() {
        properties.insert("output_schema".to_owned(), json!({"type": "object"}));
    }
    if (def.fields)().iter().any(|f| f.required) && !takes_windowing_outside(def) {
        schema["required"] = json!(["type", "config"]);
    }
    if takes_windowing_outside(def) {
        // `windowing` may stand on the transform instead.
        config["required"] = json!([]);
    }
    schema["properties"]["config"] = config;
    schema["properties"]["type"] = json!({"const": def.name});
    schema["description"] = json!(def.doc.trim());
    schema
}

fn takes_windowing_outside(def: &TransformDef) -> bool {
    def.name == "WindowInto"
}

fn provider() -> Value {
    let include = json!({
        "type": "object",
        "properties": {"include": {"type": "string"}},
        "required": ["include"],
        "additionalProperties": false,
    });
    let mut given = closed(keys::PROVIDER, &["type", "transforms"]);
    given["properties"]["type"] = json!({"enum": keys::PROVIDER_TYPES});
    let yaml_transform = closed(keys::YAML_TRANSFORM, &["body"]);
    given["properties"]["transforms"] =
        json!({"type": "object", "additionalProperties": {"anyOf": [{"type": "string"}, yaml_transform]}});
    json!({"anyOf": [include, given]})
}

fn test() -> Value {
    let mut schema = closed(keys::TEST, &[]);
    schema["anyOf"] = json!([{"required": ["expected_inputs"]}, {"required": ["expected_outputs"]}]);
    schema
}

/// The JSON schema of what a kind accepts.
pub fn of_kind(kind: &Kind) -> Value {
    match kind {
        Kind::Any => json!({}),
        Kind::Text => json!({"type": ["string", "number", "boolean"]}),
        Kind::Bool => json!({"type": "boolean"}),
        Kind::Int => json!({"type": "integer"}),
        Kind::Float => json!({"type": "number"}),
        Kind::Duration => {
            json!({"anyOf": [{"type": "number"}, {"type": "string", "pattern": "^\\s*[-+]?[0-9.]+\\s*(ms|s|m|h|d)?\\s*$"}]})
        }
        Kind::Expression => expression(),
        Kind::JsonSchema => json!({"type": "object"}),
        Kind::Word(words) => json!({"enum": words}),
        Kind::List(item) => json!({"type": "array", "items": of_kind(item)}),
        Kind::OneOrMany(item) => {
            let item = of_kind(item);
            json!({"anyOf": [item, {"type": "array", "items": item}]})
        }
        Kind::Map(item) => json!({"type": "object", "additionalProperties": of_kind(item)}),
        Kind::Struct(fields) => of_fields(fields),
        Kind::AnyOf(kinds) => json!({"anyOf": kinds.iter().map(of_kind).collect::<Vec<_>>()}),
    }
}

fn of_fields(fields: &[FieldDef]) -> Value {
    let mut properties = Map::new();
    for field in fields {
        let mut schema = of_kind(&field.kind);
        if let Some(object) = schema.as_object_mut().filter(|_| !field.doc.trim().is_empty()) {
            object.insert("description".to_owned(), json!(field.doc.trim()));
        }
        if !field.required {
            // An optional field may be left empty.
            let described = schema.as_object_mut().and_then(|o| o.remove("description"));
            schema = json!({"anyOf": [schema, {"type": "null"}]});
            if let Some(text) = described {
                schema["description"] = text;
            }
        }
        properties.insert(field.name.to_owned(), schema);
    }
    let required: Vec<&str> = fields.iter().filter(|f| f.required).map(|f| f.name).collect();
    json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false})
}

fn expression() -> Value {
    let output_type = json!({"type": ["string", "object", "null"]});
    let form = |given: &[&str]| {
        let mut properties: Map<String, Value> = given
            .iter()
            .map(|g| ((*g).to_owned(), json!({"type": ["string", "number", "boolean"]})))
            .collect();
        properties.insert("output_type".to_owned(), output_type.clone());
        json!({"type": "object", "properties": properties, "required": given, "additionalProperties": false})
    };
    json!({"anyOf": [
        {"type": ["string", "number", "boolean"]},
        form(&["expression"]),
        form(&["callable"]),
        form(&["path", "name"]),
    ]})
}

#[cfg(test)]
mod tests;
