//! Whether rows of a type can fit a JSON schema at all.

use arrow_schema::{DataType, Field, Schema};
use purlin_api::shape::is_any;
use serde_json::Value;

/// Checks the type of whole rows.
///
/// # Errors
/// Why no row can fit, in Beam's words.
pub(super) fn rows(schema: &Schema, wanted: &Value, beam_compat: bool) -> Result<(), String> {
    Check { beam_compat }.object(schema.fields(), wanted)
}

struct Check {
    beam_compat: bool,
}

impl Check {
    fn object(&self, fields: &[std::sync::Arc<Field>], wanted: &Value) -> Result<(), String> {
        self.word("object", wanted)?;
        let required =
            wanted.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
        for name in required {
            if !fields.iter().any(|f| f.name() == name) {
                return Err(format!(
                    "Missing or unknown property '{name}': the schema requires it, the rows lack it"
                ));
            }
        }
        let closed = wanted.get("additionalProperties") == Some(&Value::Bool(false));
        // What the names of further properties must look like is for the validator to say.
        let by_pattern = wanted.get("patternProperties").is_some();
        for field in fields {
            match wanted.get("properties").and_then(|p| p.get(field.name())) {
                Some(inner) => {
                    self.field(field, inner)
                        .map_err(|e| format!("Incompatible schema for '{}': {e}", field.name()))?;
                }
                None if closed && !by_pattern => {
                    return Err(format!(
                        "Prohibited property: '{}' is not among the schema's properties, and additionalProperties is false",
                        field.name()
                    ));
                }
                None => {}
            }
        }
        Ok(())
    }

    fn field(&self, field: &Field, wanted: &Value) -> Result<(), String> {
        if is_any(field) {
            return Ok(());
        }
        match field.data_type() {
            DataType::Boolean => self.word("boolean", wanted),
            DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 => {
                self.word("integer", wanted)
            }
            DataType::UInt8 | DataType::UInt16 | DataType::UInt32 | DataType::UInt64 => {
                self.word("integer", wanted)
            }
            DataType::Float16 | DataType::Float32 | DataType::Float64 | DataType::Decimal128(..) => {
                self.word("number", wanted)
            }
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => self.word("string", wanted),
            DataType::List(item) | DataType::LargeList(item) => {
                self.word("array", wanted)?;
                wanted.get("items").map_or(Ok(()), |inner| self.field(item, inner))
            }
            DataType::Struct(fields) => self.object(fields, wanted),
            DataType::Map(entries, _) => {
                self.word("object", wanted)?;
                match (wanted.get("additionalProperties"), entries.data_type()) {
                    (Some(Value::Bool(false)), _) => Err("Incompatible types: map vs object".to_owned()),
                    (Some(inner @ Value::Object(_)), DataType::Struct(pair)) => {
                        pair.get(1).map_or(Ok(()), |value| self.field(value, inner))
                    }
                    _ => Ok(()),
                }
            }
            // Null, bytes, timestamps: only the values can tell.
            _ => Ok(()),
        }
    }

    /// Checks the `type` of a schema, a word or a list of them. An integer is a number, but not to Beam.
    fn word(&self, have: &str, wanted: &Value) -> Result<(), String> {
        let fits = |w: &Value| w == have || (have == "integer" && w == "number" && !self.beam_compat);
        match wanted.get("type") {
            None => Ok(()),
            Some(Value::Array(words)) if words.iter().any(fits) => Ok(()),
            Some(word) if fits(word) => Ok(()),
            Some(word) => Err(format!("Incompatible types: {have} vs {}", word.to_string().replace('"', ""))),
        }
    }
}
