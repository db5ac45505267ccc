//! Bad records of a part of a file that wait for their line numbers.
//!
//! Lines of a part are counted from its first one. How many come before it the lanes that read the parts before know when
//! they have ended, which mostly is before this part ends; counting them sooner would read those parts a second time.

use super::RowError;
use super::errors::TEXT_BYTES_MAX;
use std::collections::VecDeque;

/// So much may wait, in bytes; then the lines are counted.
const WAITING_BYTES_MAX: usize = 1 << 20;

/// A bad record.
#[derive(Debug)]
pub(super) struct BadRecord {
    /// The line it begins on: of the part while it waits, then of the file.
    pub(super) line: u64,
    /// Its first bytes.
    pub(super) text: Vec<u8>,
    /// What is wrong with it.
    pub(super) error: RowError,
}

/// Bad records of one part, in the order of the file.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    path: String,
    records: VecDeque<BadRecord>,
    bytes: usize,
    /// How many lines come before the part.
    lines_before: Option<u64>,
}

impl Waiting {
    /// Takes a bad record of a file, whose line is that of the part. False if no more should wait.
    pub(super) fn push(&mut self, path: &str, line: u64, bytes: &[u8], error: RowError) -> bool {
        if self.records.is_empty() {
            *self = Waiting { path: path.to_owned(), ..Waiting::default() };
        }
        let text = bytes.get(..TEXT_BYTES_MAX).unwrap_or(bytes).to_vec();
        self.bytes += size_of::<BadRecord>() + text.len() + error.reason.len();
        self.records.push_back(BadRecord { line, text, error });
        self.bytes < WAITING_BYTES_MAX
    }

    /// True if nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// So many lines come before the part.
    pub(super) fn release(&mut self, lines_before: u64) {
        self.lines_before = Some(lines_before);
    }

    /// The next record that has its line number, and its file.
    pub(super) fn next(&mut self) -> Option<(&str, BadRecord)> {
        let before = self.lines_before?;
        let BadRecord { line, text, error } = self.records.pop_front()?;
        let error = RowError { line: error.line.map(|l| l + before), ..error };
        Some((&self.path, BadRecord { line: line + before, text, error }))
    }
}
