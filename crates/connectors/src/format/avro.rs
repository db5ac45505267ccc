//! Avro object container files, after the specification of Avro 1.12.

mod codec;
mod container;
mod decode;
mod encode;
mod json_schema;
mod read;
mod schema;
mod write;

pub(crate) use codec::Codec;
pub(crate) use read::Avro;
pub(crate) use write::{AvroOut, Declared};
