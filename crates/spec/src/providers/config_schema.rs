//! The config of a provider's transform against its declared JSON schema.
//!
//! The keywords that describe a config are checked: `type`, `properties`, `required`,
//! `additionalProperties`, `items`, `enum`, `const`, `minimum`, `maximum`.

use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::node::{Node, Value};
use crate::suggest;

/// Schemas nested deeper than this are not followed.
const DEPTH_MAX: usize = 32;

/// Checks a config; keys that the schema does not declare are refused, as in Beam.
pub(crate) fn check(config: &Node, schema: Option<&Node>, transform: &str, d: &mut Diagnostics) -> bool {
    object(config, schema, true, &format!("provider transform `{transform}`"), 0, d)
}

const TYPES: [&str; 7] = ["null", "boolean", "integer", "number", "string", "array", "object"];

/// Checks the types that a declared schema names; a misspelt one would accept nothing.
pub(crate) fn declared(schema: &Node, depth: usize, d: &mut Diagnostics) -> bool {
    if depth > DEPTH_MAX {
        return true;
    }
    let mut good = true;
    let named = schema.get("type").into_iter();
    for node in named.flat_map(|n| n.as_list().unwrap_or(std::slice::from_ref(n))) {
        let Some(word) = node.as_text().filter(|w| !TYPES.contains(w)) else { continue };
        good = false;
        d.push(
            Diagnostic::error("schema/invalid", node.span, format!("a JSON schema has no type `{word}`"))
                .label(format!("one of: {}", TYPES.join(", ")))
                .maybe_help(suggest::did_you_mean(word, TYPES)),
        );
    }
    for (_, entry) in schema.get("properties").and_then(Node::as_map).into_iter().flatten() {
        good &= declared(&entry.node, depth + 1, d);
    }
    for inner in ["items", "additionalProperties"].iter().filter_map(|k| schema.get(k)) {
        good &= declared(inner, depth + 1, d);
    }
    good
}

fn object(
    node: &Node,
    schema: Option<&Node>,
    closed: bool,
    what: &str,
    depth: usize,
    d: &mut Diagnostics,
) -> bool {
    let Some(map) = node.as_map() else { return true };
    let properties = schema.and_then(|s| s.get("properties")).and_then(Node::as_map);
    let names: Vec<&str> = properties
        .into_iter()
        .flat_map(|p| p.keys().map(String::as_str))
        .filter(|k| !k.starts_with("__"))
        .collect();
    let additional = schema.and_then(|s| s.get("additionalProperties"));
    let closed = match additional.map(|n| &n.value) {
        Some(Value::Bool(open)) => !open,
        Some(_) => false,
        None => closed,
    };
    let mut good = true;
    for (key, entry) in map.iter().filter(|(k, _)| !k.starts_with("__")) {
        match (properties.and_then(|p| p.get(key)), additional) {
            (Some(p), _) => good &= value(&entry.node, &p.node, &format!("`{key}` of {what}"), depth + 1, d),
            (None, Some(a)) if a.as_map().is_some() => {
                good &= value(&entry.node, a, &format!("`{key}` of {what}"), depth + 1, d);
            }
            (None, _) if closed => {
                good = false;
                d.push(
                    Diagnostic::error(
                        "provider/config-unknown",
                        entry.key,
                        format!("{what} has no config field `{key}`"),
                    )
                    .label(format!("valid fields: {}", suggest::listed(names.iter().copied())))
                    .maybe_help(suggest::did_you_mean(key, names.iter().copied())),
                );
            }
            _ => {}
        }
    }
    for required in schema.and_then(|s| s.get("required")).and_then(Node::as_list).unwrap_or_default() {
        let Some(name) = required.as_text() else { continue };
        if !map.contains_key(name) {
            good = false;
            d.push(
                Diagnostic::error(
                    "provider/config-missing",
                    node.span,
                    format!("{what} needs the config field `{name}`"),
                )
                .help(format!("add `{name}:` under `config:`")),
            );
        }
    }
    good
}

fn value(node: &Node, schema: &Node, what: &str, depth: usize, d: &mut Diagnostics) -> bool {
    if depth > DEPTH_MAX {
        return true;
    }
    let types: Vec<&str> = match schema.get("type").map(|t| &t.value) {
        Some(Value::Text(t)) => vec![t],
        Some(Value::List(l)) => l.iter().filter_map(Node::as_text).collect(),
        _ => Vec::new(),
    };
    if !types.is_empty() && !types.iter().any(|t| is_of(node, t)) {
        d.push(
            Diagnostic::error(
                "provider/config-type",
                node.span,
                format!("{what} must be of type {}", types.join(" or ")),
            )
            .label(format!("this is {}", node.kind_name())),
        );
        return false;
    }
    let refuse = |why: String, d: &mut Diagnostics| {
        d.push(Diagnostic::error("provider/config-value", node.span, format!("{what} {why}")));
        false
    };
    if let Some(allowed) = schema.get("enum").and_then(Node::as_list)
        && !allowed.iter().any(|a| a.to_json() == node.to_json())
    {
        let all: Vec<String> = allowed.iter().map(|a| a.to_json().to_string()).collect();
        return refuse(format!("must be one of {}", all.join(", ")), d);
    }
    if let Some(only) = schema.get("const").filter(|c| c.to_json() != node.to_json()) {
        return refuse(format!("must be {}", only.to_json()), d);
    }
    if let Some(number) = as_number(node) {
        if let Some(min) = schema.get("minimum").and_then(as_number).filter(|min| number < *min) {
            return refuse(format!("must be at least {min}"), d);
        }
        if let Some(max) = schema.get("maximum").and_then(as_number).filter(|max| number > *max) {
            return refuse(format!("must be at most {max}"), d);
        }
    }
    let mut good = true;
    if let (Some(items), Some(list)) = (schema.get("items"), node.as_list()) {
        for item in list {
            good &= value(item, items, &format!("an item of {what}"), depth + 1, d);
        }
    }
    object(node, Some(schema), false, what, depth, d) && good
}

fn as_number(node: &Node) -> Option<f64> {
    match node.value {
        Value::Int(i) => Some(i as f64),
        Value::Float(f) => Some(f),
        _ => None,
    }
}

fn is_of(node: &Node, type_name: &str) -> bool {
    match (&node.value, type_name) {
        (Value::Null, "null")
        | (Value::Bool(_), "boolean")
        | (Value::Int(_) | Value::BigInt(_), "integer" | "number")
        | (Value::Float(_), "number")
        | (Value::Text(_), "string")
        | (Value::List(_), "array")
        | (Value::Map(_), "object") => true,
        (Value::Float(f), "integer") => f.fract() == 0.0,
        _ => false,
    }
}
