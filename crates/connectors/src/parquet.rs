//! Parquet files.

pub mod config;
pub(crate) mod sink;
pub(crate) mod source;

#[cfg(test)]
mod tests;
