//! Outside systems: one folder each, formats beside them.
//!
//! [`catalog`] lists the readers and writers; [`LocalProbe`] is the door through which binding looks at
//! local files.
//!
//! **Invariants.** Formats of lines know nothing of where bytes come from; formats of columns (Parquet, Avro)
//! open local files, as they seek in them. Memory is bounded by the longest record
//! allowed and the budget of a pull. A record that cannot be read is never dropped without being counted. What a checkpoint
//! relies on (positions, hidden files) is synced before it is told, and outlives a failed run.

#[cfg(feature = "avro")]
pub mod avro;
pub mod csv;
pub mod dead_letters;
pub mod json;
pub mod match_all;
#[cfg(feature = "parquet")]
pub mod parquet;
#[cfg(feature = "pubsub")]
pub mod pubsub;
pub mod text;

mod format;
mod shared;

pub use shared::probe::LocalProbe;

use purlin_api::Entry;

/// All transforms of this crate, in the order of the reference.
pub fn catalog() -> Vec<Entry> {
    vec![
        text::source::entry(),
        text::sink::entry(),
        csv::source::entry(),
        csv::sink::entry(),
        json::source::entry(),
        json::sink::entry(),
        #[cfg(feature = "parquet")]
        parquet::source::entry(),
        #[cfg(feature = "parquet")]
        parquet::sink::entry(),
        #[cfg(feature = "avro")]
        avro::source::entry(),
        #[cfg(feature = "avro")]
        avro::sink::entry(),
        #[cfg(feature = "pubsub")]
        pubsub::source::entry(),
        #[cfg(feature = "pubsub")]
        pubsub::sink::entry(),
        dead_letters::sink::entry(),
        match_all::entry(),
    ]
}
