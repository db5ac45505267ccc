//! The durable part of the broker: append-only logs in one folder, and state machines kept on them.
//!
//! A [`Store`] is one folder, held by one process. In it lie any number of [`Log`]s: entries in order, each with an
//! offset (0, 1, 2, ...) and a time. One thread commits for all of them: it takes what waits, writes once to each file
//! touched, syncs each once, and only then answers. A [`Journal`] keeps a [`StateMachine`] on a log as snapshots and
//! the deltas after them.
//!
//! What to call:
//!
//! - to write: [`Store::room`] (waits while the queue is full), then [`Log::append`] (never waits, fixes the order),
//!   then await the [`Append`] it gives (answers when the entries are durable). [`Log::write`] does all three.
//! - to read: [`Log::read_recent`] answers from memory or not at all; [`Log::read`] may read files, so call it where
//!   blocking is allowed. Only durable entries are ever read.
//!
//! The files are described in `docs/broker-log.md`.

mod batch;
mod cache;
mod commit;
mod disk;
mod error;
mod files;
mod format;
mod id;
mod journal;
mod log;
mod maintain;
mod options;
mod queue;
mod read;
mod recover;
mod scan;
mod segment;
mod shared;
#[expect(clippy::module_inception, reason = "the type that the module is named after")]
mod store;

#[cfg(test)]
mod tests;

pub use batch::{Batch, Damage, Entry, Page, Record};
pub use disk::{Disk, DiskEntry, DiskFile, RealDisk};
pub use error::StoreError;
pub use id::LogId;
pub use journal::{Journal, StateMachine};
pub use log::{Append, Bounds, Log};
pub use options::{JournalOptions, LogOptions, StoreOptions, SyncMode};
pub use store::{Recovery, Room, Store};
