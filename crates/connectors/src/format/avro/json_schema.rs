//! The schema that files get unless the author gives one.

use arrow_schema::{DataType, Field, Fields, Schema};
use serde_json::{Value, json};
use std::collections::HashSet;

/// A record of these fields, each of which may be null.
///
/// # Errors
/// Why there is none.
pub(super) fn of(schema: &Schema) -> Result<String, String> {
    let mut names = HashSet::new();
    Ok(record("row", schema.fields(), &mut names)?.to_string())
}

/// A name that Avro does not take, if there is one.
pub(super) fn bad_name(fields: &Fields) -> Option<&str> {
    fn in_type(t: &DataType) -> Option<&str> {
        match t {
            DataType::Struct(fields) => bad_name(fields),
            DataType::List(item) => in_type(item.data_type()),
            DataType::Map(entries, _) => in_type(value_of(entries)?.data_type()),
            _ => None,
        }
    }
    let fits = |name: &str| {
        name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    fields.iter().find_map(|f| if fits(f.name()) { in_type(f.data_type()) } else { Some(f.name().as_str()) })
}

/// The field of the values of a map.
fn value_of(entries: &Field) -> Option<&Field> {
    match entries.data_type() {
        DataType::Struct(kv) => kv.get(1).map(AsRef::as_ref),
        _ => None,
    }
}

/// Records need names, each its own: they are those of the fields on the way to them.
fn record(name: &str, fields: &Fields, names: &mut HashSet<String>) -> Result<Value, String> {
    let mut own = name.to_owned();
    while !names.insert(own.clone()) {
        own.push('_');
    }
    let fields = fields
        .iter()
        .map(|f| {
            let inner = type_of(f, &format!("{name}_{}", f.name()), names)?;
            Ok(json!({"name": f.name(), "type": inner}))
        })
        .collect::<Result<Vec<_>, String>>()?;
    Ok(json!({"type": "record", "name": own, "fields": fields}))
}

fn type_of(f: &Field, name: &str, names: &mut HashSet<String>) -> Result<Value, String> {
    let inner = match f.data_type() {
        DataType::Null => return Ok(json!("null")),
        DataType::Boolean => json!("boolean"),
        DataType::Int64 => json!("long"),
        DataType::Float64 => json!("double"),
        DataType::Utf8 => json!("string"),
        DataType::Binary => json!("bytes"),
        DataType::Date32 => json!({"type": "int", "logicalType": "date"}),
        DataType::Time64(_) => json!({"type": "long", "logicalType": "time-micros"}),
        DataType::Timestamp(..) => json!({"type": "long", "logicalType": "timestamp-micros"}),
        DataType::Decimal128(digits, scale) if *scale >= 0 => {
            json!({"type": "bytes", "logicalType": "decimal", "precision": digits, "scale": scale})
        }
        DataType::List(item) => json!({"type": "array", "items": type_of(item, name, names)?}),
        DataType::Map(entries, _) => match value_of(entries) {
            Some(value) => json!({"type": "map", "values": type_of(value, name, names)?}),
            None => return Err(format!("`{}` is a map without values", f.name())),
        },
        DataType::Struct(fields) => record(name, fields, names)?,
        other => return Err(format!("`{}` has the type {other}, which Avro has not", f.name())),
    };
    Ok(json!(["null", inner]))
}
