//! Avro object container files, after the specification of Avro 1.12.

mod codec;
mod container;
#[cfg(feature = "pubsub")]
mod datum;
mod decode;
mod encode;
mod json_schema;
mod read;
mod schema;
mod write;

pub(crate) use codec::Codec;
#[cfg(feature = "pubsub")]
pub(crate) use datum::{Datum, Datums};
pub(crate) use read::Avro;
pub(crate) use write::{AvroOut, Declared};
