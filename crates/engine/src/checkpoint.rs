//! Checkpoints: what all lanes keep at one barrier, on a store, and how a job goes on from there.
//!
//! ```text
//!  barrier(e) --> every lane: sinks prepare, tables give their logs  = LanePart
//!             --> Writer: one file for the epoch, with what changed; it names what it builds on
//!             --> durable: sinks commit, sources acknowledge
//!  start      --> Image: the logs of all tables, in order --> each lane takes those of its key slots
//! ```
//!
//! A checkpoint is one object, written whole or not at all, so there is nothing to be found half way. The format is
//! described in `docs/checkpoint-format.md`.

mod fit;
mod format;
mod image;
mod lane;
mod manifest;
mod open;
mod store;
mod writer;

pub use fit::{Change, Fit};
pub(crate) use image::{Image, NodeImage};
pub(crate) use lane::{Counts, LanePart, LogSizes, NodePart, Progress, SavedPosition};
pub(crate) use open::Loaded;
pub use open::{Checkpoints, From, Status, StatusView};
pub use store::{CheckpointStore, Folder, Memory, taken, try_store};
pub(crate) use writer::{Cut, Writer};
