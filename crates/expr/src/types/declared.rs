//! `output_type`: a JSON-schema type becomes an Arrow field.

use std::sync::Arc;

use arrow_schema::{DataType, Field, TimeUnit};
use serde_json::Value as Json;

use super::{DECIMAL_DIGITS, map_type};
use crate::problem::{Problem, nearest};

/// Schemas nested deeper are refused.
const DEPTH_MAX: usize = 64;

/// The field that a declared `output_type` asks for: a type name, or a schema with `type`.
pub(crate) fn declared_field(schema: &Json, name: &str) -> Result<Field, Problem> {
    field(schema, name, 0)
}

fn field(schema: &Json, name: &str, depth: usize) -> Result<Field, Problem> {
    if depth > DEPTH_MAX {
        return Err(Problem::new("expr/type", "the output_type is nested too deep", None));
    }
    let kind = match schema {
        Json::String(kind) => kind.as_str(),
        Json::Object(map) => match map.get("type") {
            Some(Json::String(kind)) => kind.as_str(),
            None if map.contains_key("properties") => "object",
            other => {
                let shown = other.map_or_else(|| "missing".to_owned(), Json::to_string);
                return Err(unknown(&shown));
            }
        },
        other => return Err(unknown(&other.to_string())),
    };
    let part = |key: &str| schema.get(key);
    let format = part("format").and_then(Json::as_str);
    let data_type = match kind {
        "decimal" => decimal(schema)?,
        "number" | "string" if format == Some("decimal") => decimal(schema)?,
        "string" if format == Some("date") => DataType::Date32,
        "string" if format == Some("date-time") => {
            DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
        }
        "timestamp" => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        "string" if format == Some("date-time-local") => DataType::Timestamp(TimeUnit::Microsecond, None),
        "string" => DataType::Utf8,
        "integer" => DataType::Int64,
        "number" => DataType::Float64,
        "boolean" => DataType::Boolean,
        "bytes" => DataType::Binary,
        "null" => DataType::Null,
        "array" => match part("items") {
            Some(items) => DataType::List(Arc::new(field(items, "item", depth + 1)?)),
            None => return Err(Problem::new("expr/type", "output_type `array` needs `items`", None)),
        },
        "object" => match (part("properties"), part("additionalProperties")) {
            (Some(Json::Object(properties)), _) => {
                let fields =
                    properties.iter().map(|(n, s)| field(s, n, depth + 1)).collect::<Result<Vec<_>, _>>()?;
                DataType::Struct(fields.into())
            }
            (None, Some(values @ (Json::Object(_) | Json::String(_)))) => {
                map_type(field(values, "value", depth + 1)?)
            }
            _ => {
                let message = "output_type `object` needs `properties` or `additionalProperties`";
                return Err(Problem::new("expr/type", message, None));
            }
        },
        other => return Err(unknown(other)),
    };
    Ok(Field::new(name, data_type.clone(), data_type == DataType::Null))
}

/// `{type: number, format: decimal, scale: 2}`, with the precision if there is one.
fn decimal(schema: &Json) -> Result<DataType, Problem> {
    let digits = |key: &str, least: u8| match schema.get(key) {
        None => Ok(None),
        Some(given) => {
            let n = given.as_u64().and_then(|n| u8::try_from(n).ok());
            n.filter(|n| (least..=DECIMAL_DIGITS).contains(n)).map(Some).ok_or_else(|| {
                let message =
                    format!("the `{key}` of a decimal is a whole number from {least} to {DECIMAL_DIGITS}");
                Problem::new("expr/type", message, None)
            })
        }
    };
    let (scale, precision) = (digits("scale", 0)?, digits("precision", 1)?.unwrap_or(DECIMAL_DIGITS));
    let Some(scale) = scale else {
        return Err(Problem::new("expr/type", "output_type `decimal` needs a `scale`", None)
            .help("write how many decimals it has: `{type: number, format: decimal, scale: 2}`"));
    };
    match i8::try_from(scale) {
        Ok(signed) if scale <= precision => Ok(DataType::Decimal128(precision, signed)),
        _ => Err(Problem::new("expr/type", format!("{scale} decimals in {precision} digits"), None)),
    }
}

fn unknown(kind: &str) -> Problem {
    const NAMES: [&str; 10] = [
        "string",
        "integer",
        "number",
        "boolean",
        "bytes",
        "array",
        "object",
        "null",
        "decimal",
        "timestamp",
    ];
    let mut problem = Problem::new("expr/type", format!("unknown output_type {kind}"), None);
    if let Some(near) = nearest(kind, NAMES.into_iter()) {
        problem = problem.help(format!("did you mean `{near}`?"));
    }
    problem.help(format!("types: {}", NAMES.join(", ")))
}
