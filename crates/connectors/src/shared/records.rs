//! Records of one file, with their line numbers, in a bounded buffer.

use super::compression::{self, Compression};
use super::scan::{Brackets, Found, Framing, Scan};
use purlin_api::{Error, ErrorKind, Result};
use std::io::Read;

/// How much is read at once, in bytes.
const CHUNK_BYTES: usize = 1 << 20;
/// How much of a record that is too long is kept, in bytes.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// How often per file reading goes on behind a quote that is never closed. Each time costs up to the
/// longest record's length; after these the rest belongs to the last such record.
const OPEN_QUOTES_MAX: u32 = 8;

/// One record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Record<'a> {
    /// Its bytes without the line end; only the beginning if it is too long.
    pub(crate) bytes: &'a [u8],
    /// The line it begins on, from 1.
    pub(crate) line: u64,
    /// What is wrong with its frame.
    pub(crate) fault: Option<Fault>,
}

/// What may be wrong with the frame of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Longer than allowed.
    TooLong,
    /// The quote opened on this line is not closed.
    OpenQuote {
        /// From 1.
        line: u64,
        /// From 1, in bytes; `None` if the line began too far back.
        column: Option<u64>,
    },
    /// The JSON array that the file holds is not closed.
    OpenArray,
}

/// Reads records one after the other.
///
/// It holds one chunk beside the record at hand, which is never longer than `record_bytes_max`.
pub(crate) struct Records {
    input: Box<dyn Read + Send>,
    path: String,
    compression: Compression,
    framing: Framing,
    record_bytes_max: usize,
    chunk_bytes: usize,
    buf: Vec<u8>,
    /// The bytes at hand are `buf[start..end]`.
    start: usize,
    end: usize,
    eof: bool,
    scan: Scan,
    brackets: Brackets,
    /// The line that `start` lies on.
    line: u64,
    /// How many bytes came before `start`.
    offset: u64,
    /// Set while the rest of a record that was too long is passed over.
    discarding: bool,
    head: Vec<u8>,
    open_quotes: u32,
    began: bool,
    told_open_array: bool,
}

impl Records {
    /// Opens a file; decompressed if its name says so.
    pub(crate) fn open(path: &str, framing: Framing, record_bytes_max: usize) -> Result<Self> {
        let (input, compression) = compression::open(path)?;
        Ok(Records { compression, ..Records::new(input, path, framing, record_bytes_max) })
    }

    /// From any reader of text that is not compressed.
    pub(crate) fn new(
        input: Box<dyn Read + Send>,
        path: &str,
        framing: Framing,
        record_bytes_max: usize,
    ) -> Self {
        Records {
            input,
            path: path.to_owned(),
            compression: Compression::None,
            framing,
            record_bytes_max,
            chunk_bytes: CHUNK_BYTES,
            buf: Vec::new(),
            start: 0,
            end: 0,
            eof: false,
            scan: Scan::default(),
            brackets: Brackets::default(),
            line: 1,
            offset: 0,
            discarding: false,
            head: Vec::new(),
            open_quotes: 0,
            began: false,
            told_open_array: false,
        }
    }

    /// Reads in pieces of this many bytes.
    #[cfg(test)]
    pub(crate) fn in_chunks(mut self, bytes: usize) -> Self {
        self.chunk_bytes = bytes;
        self
    }

    /// Where the next record begins (or the rest of one that was too long goes on): bytes of
    /// decompressed text before it, and its line.
    pub(crate) fn position(&self) -> (u64, u64) {
        (self.offset, self.line)
    }

    /// True unless the last record's end is still to be found.
    pub(crate) fn at_border(&self) -> bool {
        !self.discarding
    }

    /// Moves on to a position that [`Records::position`] gave.
    pub(crate) fn skip_to(&mut self, offset: u64, line: u64) -> Result<()> {
        while self.offset < offset {
            if self.start == self.end {
                if self.eof {
                    let what = format!("`{}` is shorter than when it was read before", self.path);
                    return Err(Error::data(what));
                }
                self.fill()?;
            }
            let step =
                (self.end - self.start).min(usize::try_from(offset - self.offset).unwrap_or(usize::MAX));
            self.consume(step);
        }
        self.began |= offset > 0;
        self.scan = Scan::default();
        self.line = line;
        Ok(())
    }

    /// The next record; `None` at the end of the file.
    pub(crate) fn next(&mut self) -> Result<Option<Record<'_>>> {
        loop {
            if !self.began {
                self.begin()?;
            }
            let data = self.buf.get(self.start..self.end).unwrap_or_default();
            match self.scan.find(self.framing, data, self.eof, &mut self.brackets) {
                Found::Record { start, end, next, newlines, lead } => {
                    if self.eof && self.scan.quote.is_some() && !self.discarding {
                        return Ok(Some(self.open_quote()));
                    }
                    let (from, line) = (self.start, self.line + lead);
                    let (discarded, too_long) = (self.discarding, end - start > self.record_bytes_max);
                    self.consume(next);
                    self.line += newlines;
                    self.scan = Scan::default();
                    self.discarding = false;
                    if discarded {
                        continue;
                    }
                    let kept = if too_long { end.min(start + HEAD_BYTES_MAX) } else { end };
                    let bytes = self.buf.get(from + start..from + kept).unwrap_or_default();
                    return Ok(Some(Record { bytes, line, fault: too_long.then_some(Fault::TooLong) }));
                }
                Found::More { skip } => {
                    // Line ends before `skip` are still counted by the scan.
                    self.consume(skip);
                    self.scan.forget(skip);
                    if self.discarding {
                        // One byte stays, by which a quote is told from one inside a field.
                        let seen = self.scan.at.saturating_sub(1);
                        self.consume(seen);
                        self.scan.forget(seen);
                    } else if self.end - self.start > self.record_bytes_max {
                        return Ok(Some(self.too_long()));
                    }
                    self.fill()?;
                }
                Found::End => {
                    let rest = self.end - self.start;
                    self.consume(rest);
                    self.line += std::mem::take(&mut self.scan).newlines;
                    if self.brackets.opened && !self.brackets.closed && !self.told_open_array {
                        self.told_open_array = true;
                        return Ok(Some(Record {
                            bytes: b"",
                            line: self.line,
                            fault: Some(Fault::OpenArray),
                        }));
                    }
                    return Ok(None);
                }
            }
        }
    }

    /// A record that is longer than allowed: its beginning now, and its end is looked for later.
    fn too_long(&mut self) -> Record<'_> {
        if self.scan.quote.is_some() {
            return self.open_quote();
        }
        let data = self.buf.get(self.start..self.end).unwrap_or_default();
        self.head.clear();
        self.head.extend_from_slice(data.get(..HEAD_BYTES_MAX).unwrap_or(data));
        self.discarding = true;
        Record { bytes: &self.head, line: self.line, fault: Some(Fault::TooLong) }
    }

    /// A quote that is not closed within the longest record, or not before the end of the file: most
    /// likely one stray quote. The record ends with the line it stands on, so that the lines behind it
    /// are read.
    fn open_quote(&mut self) -> Record<'_> {
        let (at, before) = self.scan.quote.unwrap_or_default();
        let data = self.buf.get(self.start..self.end).unwrap_or_default();
        let line_start = data.get(..at).and_then(|d| memchr::memrchr(b'\n', d)).map_or(0, |i| i + 1);
        let fault =
            Fault::OpenQuote { line: self.line + before, column: Some((at - line_start.min(at)) as u64 + 1) };
        let line = self.line;
        self.head.clear();
        let newline = memchr::memchr(b'\n', data.get(at..).unwrap_or_default()).map(|i| at + i);
        self.open_quotes += 1;
        match newline {
            Some(newline) if self.open_quotes <= OPEN_QUOTES_MAX => {
                let text = data.get(..newline.min(HEAD_BYTES_MAX)).unwrap_or_default();
                self.head.extend_from_slice(text.strip_suffix(b"\r").unwrap_or(text));
                self.consume(newline + 1);
                self.line += before + 1;
                self.scan = Scan::default();
            }
            _ => {
                self.head.extend_from_slice(data.get(..HEAD_BYTES_MAX).unwrap_or(data));
                self.discarding = true;
                if self.open_quotes <= OPEN_QUOTES_MAX {
                    self.scan.quote = None;
                }
                if self.eof {
                    let rest = self.end - self.start;
                    self.consume(rest);
                    self.line += self.scan.newlines;
                    self.scan = Scan::default();
                    self.discarding = false;
                }
            }
        }
        Record { bytes: &self.head, line, fault: Some(fault) }
    }

    fn consume(&mut self, n: usize) {
        self.start = (self.start + n).min(self.end);
        self.offset += n as u64;
    }

    /// Passes over a byte order mark.
    fn begin(&mut self) -> Result<()> {
        while self.end - self.start < 3 && !self.eof {
            self.fill()?;
        }
        self.began = true;
        match self.buf.get(self.start..self.end).unwrap_or_default() {
            [0xef, 0xbb, 0xbf, ..] => self.consume(3),
            [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => {
                let what = format!("`{}` is UTF-16 text; convert it to UTF-8", self.path);
                return Err(Error::new(ErrorKind::Data, what));
            }
            _ => {}
        }
        Ok(())
    }

    /// Reads a piece; the buffer grows only while one record fills it.
    fn fill(&mut self) -> Result<()> {
        if self.start > 0 {
            self.buf.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        let wanted = (self.end + self.chunk_bytes.min(1 << 16)).max(self.chunk_bytes);
        if self.buf.len() < wanted {
            // Doubling keeps the copying of a long record linear.
            let longest = self.record_bytes_max.saturating_add(self.chunk_bytes);
            self.buf.resize(wanted.max(self.end.saturating_mul(2).min(longest)), 0);
        }
        let to = self.buf.get_mut(self.end..).unwrap_or_default();
        let room = to.len().min(self.chunk_bytes);
        let to = to.get_mut(..room).unwrap_or_default();
        loop {
            match self.input.read(to) {
                Ok(0) => self.eof = true,
                Ok(n) => self.end += n,
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(compression::failed(&self.path, self.compression, e)),
            }
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests;
