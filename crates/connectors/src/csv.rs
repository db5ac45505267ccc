//! CSV files, one row a record.

pub mod config;
pub(crate) mod sink;
pub(crate) mod source;

#[cfg(test)]
mod tests;
