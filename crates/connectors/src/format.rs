//! Formats: bytes to columns and back, apart from where the bytes come from.

#[cfg(feature = "avro")]
pub(crate) mod avro;
pub(crate) mod columns;
pub(crate) mod csv;
pub(crate) mod json;
#[cfg(feature = "parquet")]
pub(crate) mod parquet;
#[cfg(feature = "pubsub")]
pub(crate) mod proto;
pub(crate) mod python_text;
pub(crate) mod schema;
pub(crate) mod text;
