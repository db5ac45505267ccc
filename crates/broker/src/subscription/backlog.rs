//! The messages of a log, as a subscription reads them.

use super::core::{Backlog, Entry};
use crate::limits::READ_BYTES_MAX;
use crate::store::{Log, Page, Record, StoreError};

/// How much is read around a message that comes again.
const AGAIN_BYTES_MAX: usize = 64 << 10;

/// Two places in a log: where new messages come from, and where messages are read again.
#[derive(Debug)]
pub(crate) struct LogBacklog {
    log: Log,
    /// Read ahead; empty when the end was reached, so that a subscription at rest holds nothing.
    new: std::vec::IntoIter<Record>,
    again: Vec<Record>,
}

impl LogBacklog {
    /// The messages of a log.
    pub(crate) fn new(log: Log) -> Self {
        LogBacklog { log, new: Vec::new().into_iter(), again: Vec::new() }
    }

    /// Forgets what was read ahead.
    pub(crate) fn clear(&mut self) {
        self.new = Vec::new().into_iter();
        self.again = Vec::new();
    }

    /// Forgets what was read to deliver messages again.
    pub(crate) fn clear_again(&mut self) {
        self.again = Vec::new();
    }

    fn page(&self, from: u64, bytes_max: usize) -> Result<Page, StoreError> {
        match self.log.read_recent(from, bytes_max) {
            Some(page) => Ok(page),
            None => tokio::task::block_in_place(|| self.log.read(from, bytes_max)),
        }
    }
}

impl Backlog for LogBacklog {
    fn next_from(&mut self, offset: u64) -> Result<Option<Entry>, StoreError> {
        let mut from = offset;
        loop {
            for record in self.new.by_ref() {
                if record.offset >= offset {
                    return Ok(Some(Entry { offset: record.offset, payload: record.payload }));
                }
            }
            let page = self.page(from, READ_BYTES_MAX)?;
            if page.records.is_empty() && page.next <= from {
                return Ok(None);
            }
            // A page of nothing but damage: what follows it may be read.
            from = page.next;
            self.new = page.records.into_iter();
        }
    }

    fn at(&mut self, offset: u64) -> Result<Option<Entry>, StoreError> {
        let find = |records: &[Record]| {
            let at = records.binary_search_by_key(&offset, |r| r.offset).ok()?;
            records.get(at).map(|r| Entry { offset, payload: r.payload.clone() })
        };
        if let Some(entry) = find(&self.again) {
            return Ok(Some(entry));
        }
        self.again = self.page(offset, AGAIN_BYTES_MAX)?.records;
        Ok(find(&self.again))
    }
}
