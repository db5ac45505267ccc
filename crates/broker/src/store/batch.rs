//! Entries on their way in and out.

use std::ops::Range;

use bytes::Bytes;

use super::StoreError;
use super::format::{BLOCK_HEADER, ENTRY_HEADER};

/// One entry to append.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Microseconds since 1970.
    pub time: i64,
    /// Anything.
    pub payload: Bytes,
}

/// Entries to append together, laid out as they will stand in the file: no allocation for each.
///
/// A batch whose payloads come to at most [`Batch::WHOLE_BYTES_MAX`] is kept whole or not at all, also by a crash.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// For each entry its time and the end of its payload.
    pub(crate) table: Vec<(i64, u32)>,
    pub(crate) payloads: Vec<u8>,
}

impl Batch {
    /// Batches up to this many bytes are atomic.
    pub const WHOLE_BYTES_MAX: usize = 16 << 20;
    /// The greatest payload of one entry.
    pub const ENTRY_BYTES_MAX: usize = Self::WHOLE_BYTES_MAX - ENTRY_HEADER;
    /// The greatest sum of payloads of a batch.
    pub const BYTES_MAX: usize = 1 << 30;

    /// An empty batch.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty batch with space for `entries` of together `bytes`.
    #[must_use]
    pub fn with_capacity(entries: usize, bytes: usize) -> Self {
        Self { table: Vec::with_capacity(entries), payloads: Vec::with_capacity(bytes) }
    }

    /// Adds an entry.
    pub fn push(&mut self, time: i64, payload: &[u8]) {
        self.push_with(time, |out| out.extend_from_slice(payload));
    }

    /// Adds an entry whose payload `write` puts at the end of the buffer. It must not touch what is there already.
    pub fn push_with(&mut self, time: i64, write: impl FnOnce(&mut Vec<u8>)) {
        write(&mut self.payloads);
        // Append refuses what does not fit, so the cut-off end is never used.
        self.table.push((time, u32::try_from(self.payloads.len()).unwrap_or(u32::MAX)));
    }

    /// Entries.
    #[must_use]
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// True without entries.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// Bytes on disk, about: what to ask [`super::Store::room`] for.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.body_bytes() + BLOCK_HEADER
    }

    /// Bytes of the body of a block that holds only this.
    pub(crate) fn body_bytes(&self) -> usize {
        self.payloads.len() + ENTRY_HEADER * self.table.len()
    }

    /// Whether it may be appended at all.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        let too_large = |bytes, bytes_max| Err(StoreError::TooLarge { bytes, bytes_max });
        if self.payloads.len() > Self::BYTES_MAX {
            return too_large(self.payloads.len(), Self::BYTES_MAX);
        }
        if self.body_bytes() <= Self::ENTRY_BYTES_MAX {
            return Ok(());
        }
        let mut start = 0;
        for (_, end) in &self.table {
            let bytes = end.saturating_sub(start) as usize;
            if bytes > Self::ENTRY_BYTES_MAX {
                return too_large(bytes, Self::ENTRY_BYTES_MAX);
            }
            start = *end;
        }
        Ok(())
    }

    /// If it is too large for one block, keeps what fits and gives the rest.
    pub(crate) fn split_whole(&mut self) -> Option<Self> {
        if self.body_bytes() <= Self::WHOLE_BYTES_MAX {
            return None;
        }
        let fits = |(i, (_, end)): (usize, &(i64, u32))| {
            *end as usize + (i + 1) * ENTRY_HEADER <= Self::WHOLE_BYTES_MAX
        };
        let keep = self.table.iter().enumerate().take_while(|e| fits(*e)).count().max(1);
        let bytes = self.table.get(keep - 1).map_or(0, |(_, end)| *end);
        let mut table = self.table.split_off(keep);
        for (_, end) in &mut table {
            *end -= bytes;
        }
        Some(Self { table, payloads: self.payloads.split_off(bytes as usize) })
    }
}

impl FromIterator<Entry> for Batch {
    fn from_iter<T: IntoIterator<Item = Entry>>(entries: T) -> Self {
        let mut batch = Self::new();
        for entry in entries {
            batch.push(entry.time, &entry.payload);
        }
        batch
    }
}

impl From<Vec<Entry>> for Batch {
    fn from(entries: Vec<Entry>) -> Self {
        entries.into_iter().collect()
    }
}

/// One entry read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its place in the log.
    pub offset: u64,
    /// Microseconds since 1970.
    pub time: i64,
    /// A part of a buffer that all entries read with it share.
    pub payload: Bytes,
}

/// Entries that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The file.
    pub path: String,
    /// Where in the file it begins.
    pub position: u64,
    /// The entries that are lost, as far as is known.
    pub offsets: Range<u64>,
    /// What is wrong.
    pub why: String,
    /// What was done about it.
    pub done: &'static str,
}

/// What a read gives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// Entries in order.
    pub records: Vec<Record>,
    /// What had to be left out. Empty on a sound disk.
    pub damage: Vec<Damage>,
    /// Where to read on: after the last of `records` and `damage`.
    pub next: u64,
}
