//! What flows along an edge.

use purlin_api::{Batch, EventTime};

/// One message of an edge. Messages of an edge keep their order: a watermark says that no row earlier
/// than it follows *on this edge*, so nothing else needs to account for rows in flight.
#[derive(Clone, Debug)]
pub enum Message {
    /// Rows.
    Batch(Batch),
    /// No earlier row follows.
    Watermark(EventTime),
    /// Nothing for now, and for how long is not known: do not wait for this input's watermark.
    Idle,
    /// All before this belongs to the epoch, all after it to the next.
    Barrier(u64),
    /// Nothing follows.
    End,
}

impl Message {
    /// Rows, for the bound of a channel. Control messages count as none.
    pub fn rows(&self) -> usize {
        match self {
            Message::Batch(b) => b.len(),
            _ => 0,
        }
    }

    /// Bytes, about, for the bound of a channel.
    pub fn bytes(&self) -> usize {
        match self {
            Message::Batch(b) => b.bytes(),
            _ => 0,
        }
    }
}
