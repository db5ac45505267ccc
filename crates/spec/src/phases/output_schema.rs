//! `output_schema`, on the transform or in its `config`, moves to a place of its own.

use super::tree::Transform;
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::node::Value;

/// Takes `output_schema` out of the config of one leaf.
pub(crate) fn lift(t: &mut Transform, d: &mut Diagnostics) {
    if let Value::Map(config) = &mut t.config.value
        && let Some(entry) = config.shift_remove("output_schema")
        && !entry.node.is_null()
    {
        if entry.node.as_map().is_some() {
            t.output_schema = Some(entry.node);
        } else {
            super::read::wrong_shape(&entry.node, "`output_schema`", "a JSON schema (a mapping)", d);
            t.broken = true;
        }
    }
    if let Some(entry) =
        t.output_schema.as_ref().and_then(|s| s.as_map()).and_then(|m| m.get("error_handling"))
    {
        d.push(
            Diagnostic::error(
                "output-schema/error-handling",
                entry.key,
                "error_handling is not supported in `output_schema`",
            )
            .label("rows that fail the schema go where the transform's own errors go")
            .help("put `error_handling` in the `config` of the transform, or use ValidateWithSchema"),
        );
        t.broken = true;
    }
}
