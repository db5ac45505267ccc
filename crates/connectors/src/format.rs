//! Formats: bytes to columns and back, apart from where the bytes come from.

pub(crate) mod columns;
pub(crate) mod csv;
pub(crate) mod json;
pub(crate) mod python_text;
pub(crate) mod schema;
pub(crate) mod text;
