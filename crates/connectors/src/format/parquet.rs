//! Parquet files.

mod pages;
mod read;
mod types;
mod write;

pub(crate) use read::Parquet;
pub(crate) use write::{ParquetOut, check_schema, codec};

use parquet::errors::ParquetError;

/// What the library says, without the kind of error before it.
fn text(e: ParquetError) -> String {
    match e {
        ParquetError::General(text)
        | ParquetError::EOF(text)
        | ParquetError::ArrowError(text)
        | ParquetError::NYI(text) => text,
        other => other.to_string(),
    }
}
