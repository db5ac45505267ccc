//! Records of one file, with their line numbers, in a bounded buffer.

use super::compression::{self, Compression};
use super::scan::{Brackets, Found, Framing, Scan};
use purlin_api::{Error, ErrorKind, Result};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

/// How much is read at once, in bytes.
const CHUNK_BYTES: usize = 1 << 20;
/// How much of a record that is too long is kept, in bytes.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// How often per file reading goes on behind a quote that is never closed. Each time costs up to the
/// longest record's length; after these the rest belongs to the last such record.
const OPEN_QUOTES_MAX: u32 = 8;
/// How much is read at once behind the end of a range, where at most one line is of interest, in bytes.
const TAIL_BYTES: usize = 64 << 10;
/// A buffer that a long record has made larger than this is not used for another file, in bytes.
const SPARE_BYTES_MAX: usize = 4 << 20;

/// One record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Record<'a> {
    /// Its bytes without the line end; only the beginning if it is too long.
    pub(crate) bytes: &'a [u8],
    /// The line it begins on, from 1; in a range, counted from the first line of the range.
    pub(crate) line: u64,
    /// What is wrong with its frame.
    pub(crate) fault: Option<Fault>,
}

/// What lies ahead in a file of lines: whole lines, and mostly the beginning of another.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ahead<'a> {
    /// The bytes, from the beginning of a line.
    pub(crate) bytes: &'a [u8],
    /// Lines that begin here or behind it are not for this reader.
    pub(crate) begin_max: usize,
    /// Longer lines are too long, in bytes without the line end.
    pub(crate) line_bytes_max: usize,
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

/// Reads records one after the other: of a whole file, or of a range of bytes of one.
///
/// Ranges are for files of lines. A line belongs to the range that its first byte lies in. So a range begins
/// behind the first line end at or after the byte before it, and reads the line that crosses its end to the
/// end of that line: however a file is cut, every line is read once. Lines are counted from the range's
/// first one.
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
    /// No record begins at or behind this offset.
    limit: u64,
    /// Set while the rest of a record that was too long is passed over.
    discarding: bool,
    head: Vec<u8>,
    open_quotes: u32,
    began: bool,
    /// Set until the first line of a range is found.
    joining: bool,
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
            limit: u64::MAX,
            discarding: false,
            head: Vec::new(),
            open_quotes: 0,
            began: false,
            joining: false,
            told_open_array: false,
        }
    }

    /// Opens the lines of a file that is not compressed that begin at the bytes from `start` to before `end`
    /// (`None`: the file's last). Positions are those of the file.
    pub(crate) fn open_range(
        path: &str,
        record_bytes_max: usize,
        start: u64,
        end: Option<u64>,
    ) -> Result<Self> {
        let file = File::open(path).map_err(|e| Error::io("open", path, e))?;
        Records::range(file, path, record_bytes_max, start, end)
    }

    /// The lines of a range of anything that can be sought in.
    fn range(
        mut input: impl Read + Seek + Send + 'static,
        path: &str,
        record_bytes_max: usize,
        start: u64,
        end: Option<u64>,
    ) -> Result<Self> {
        let at = |e| Error::io("read", path, e);
        if start > 0 {
            let mut mark = Vec::new();
            input.by_ref().take(2).read_to_end(&mut mark).map_err(at)?;
            check_encoding(&mark, path)?;
            input.seek(SeekFrom::Start(start - 1)).map_err(at)?;
        }
        let mut records = Records::new(Box::new(input), path, Framing::Lines, record_bytes_max);
        records.limit = end.unwrap_or(u64::MAX);
        if start > 0 {
            records.offset = start - 1;
            records.began = true;
            // The rest of a line that belongs to the range before; it is looked for when reading begins.
            records.joining = true;
        }
        Ok(records)
    }

    /// Goes on in an opened range at a position that [`Records::position`] gave.
    pub(crate) fn resume_range(
        path: &str,
        record_bytes_max: usize,
        (offset, line): (u64, u64),
        end: Option<u64>,
    ) -> Result<Self> {
        let mut file = File::open(path).map_err(|e| Error::io("open", path, e))?;
        file.seek(SeekFrom::Start(offset)).map_err(|e| Error::io("read", path, e))?;
        let records = Records::new(Box::new(file), path, Framing::Lines, record_bytes_max);
        let limit = end.unwrap_or(u64::MAX);
        Ok(Records { offset, line, limit, began: offset > 0, ..records })
    }

    /// Reads into a buffer that [`Records::into_buffer`] gave.
    pub(crate) fn with_buffer(mut self, buffer: Vec<u8>) -> Self {
        self.buf = buffer;
        self
    }

    /// The buffer, for the next file.
    pub(crate) fn into_buffer(self) -> Vec<u8> {
        if self.buf.len() > SPARE_BYTES_MAX { Vec::new() } else { self.buf }
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

    /// What is at hand of lines, if the next record is the next line.
    pub(crate) fn ahead(&self) -> Option<Ahead<'_>> {
        if self.framing != Framing::Lines || !self.began || self.joining || self.discarding {
            return None;
        }
        let bytes = self.buf.get(self.start..self.end).filter(|b| !b.is_empty())?;
        let begin_max = usize::try_from(self.limit.saturating_sub(self.offset)).unwrap_or(usize::MAX);
        Some(Ahead { bytes, begin_max, line_bytes_max: self.record_bytes_max })
    }

    /// Passes over lines that were read from what is [ahead](Records::ahead): so many bytes and lines.
    pub(crate) fn pass(&mut self, bytes: usize, lines: u64) {
        self.consume(bytes);
        self.line += lines;
    }

    /// The next record; `None` at the end of the file or range.
    pub(crate) fn next(&mut self) -> Result<Option<Record<'_>>> {
        loop {
            if !self.began {
                self.begin()?;
            } else if self.offset >= self.limit && !self.discarding {
                return Ok(None);
            } else if self.joining {
                self.join()?;
                continue;
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
                    } else if self.end - self.start > self.record_bytes_max.saturating_add(1) {
                        // One byte more may be the `\r` of its line end.
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
            [0xef, 0xbb, 0xbf, ..] => {
                self.consume(3);
                // However short the range is, the first line is the first range's.
                self.limit = self.limit.max(self.offset + 1);
            }
            start => check_encoding(start, &self.path)?,
        }
        Ok(())
    }

    /// Passes over a piece of the line that belongs to the range before.
    fn join(&mut self) -> Result<()> {
        let data = self.buf.get(self.start..self.end).unwrap_or_default();
        match memchr::memchr(b'\n', data) {
            Some(i) => {
                self.consume(i + 1);
                self.joining = false;
            }
            None => {
                let n = data.len();
                self.consume(n);
                self.fill()?;
                // At the end of the file the search for a record finds that there is none.
                self.joining = !self.eof;
            }
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
        let before_limit = self.limit.saturating_sub(self.offset + (self.end - self.start) as u64);
        let to = self.buf.get_mut(self.end..).unwrap_or_default();
        let room = usize::try_from(before_limit).unwrap_or(usize::MAX).max(TAIL_BYTES);
        let room = room.min(to.len()).min(self.chunk_bytes);
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

/// Refuses what the first bytes of a file show to be UTF-16.
fn check_encoding(start: &[u8], path: &str) -> Result<()> {
    if !matches!(start, [0xff, 0xfe, ..] | [0xfe, 0xff, ..]) {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Data, format!("`{path}` is UTF-16 text; convert it to UTF-8")))
}

#[cfg(test)]
mod tests;
