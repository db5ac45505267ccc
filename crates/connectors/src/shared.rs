//! What all file readers and writers have in common.

pub(crate) mod bind;
pub(crate) mod compression;
pub(crate) mod console;
pub(crate) mod naming;
pub(crate) mod path;
pub(crate) mod probe;
pub(crate) mod read;
pub(crate) mod records;
pub(crate) mod scan;
#[cfg(any(feature = "parquet", feature = "avro"))]
pub(crate) mod tables;
pub(crate) mod write;

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
pub(crate) mod testing_sinks;
#[cfg(test)]
pub(crate) mod testing_sources;
#[cfg(test)]
#[cfg(any(feature = "parquet", feature = "avro"))]
pub(crate) mod testing_tables;
