//! A look at the headers of pages before they are decoded.
//!
//! The decoder believes what a page says of itself and makes room for it: gigabytes, for one flipped bit.
//! So every header is read first. The layout is that of `PageHeader` in Parquet's `parquet.thrift`, in
//! Thrift's compact protocol.

use parquet::file::metadata::ColumnChunkMetaData;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

/// Pages up to this size are believed; larger ones must fit what the footer says of their column.
const PAGE_BYTES: i64 = 64 << 20;
/// How much of a page is read for its header, at first and at most.
const HEADER_BYTES: usize = 256;
const HEADER_BYTES_MAX: usize = 16 << 20;
/// Deepest nesting of what is passed over.
const DEPTH_MAX: usize = 16;

/// Checks the pages of a column of a row group.
///
/// # Errors
/// What is wrong with them.
pub(super) fn check(file: &mut File, bytes: u64, column: &ColumnChunkMetaData) -> Result<(), String> {
    let damaged = || "its pages do not lie in the file".to_owned();
    let start = match column.dictionary_page_offset() {
        // Some writers give 0 for none.
        Some(offset) if offset > 0 => offset.min(column.data_page_offset()),
        _ => column.data_page_offset(),
    };
    let start = u64::try_from(start).map_err(|_| damaged())?;
    let len = u64::try_from(column.compressed_size()).map_err(|_| damaged())?;
    let end = start.checked_add(len).filter(|end| *end <= bytes).ok_or_else(damaged)?;
    let mut at = start;
    while at < end {
        let (header, header_len) = header_at(file, at, end)?;
        let data = at + header_len as u64;
        let compressed = u64::try_from(header.compressed).unwrap_or(u64::MAX);
        if compressed > end - data {
            return Err(format!("a page of {} bytes reaches beyond its column", header.compressed));
        }
        let whole = column.uncompressed_size().max(PAGE_BYTES);
        if !(0..=whole).contains(&header.uncompressed) {
            return Err(format!("a page claims to have {} bytes", header.uncompressed));
        }
        if header.is_dictionary && !(0..=header.uncompressed).contains(&header.values) {
            return Err(format!("a dictionary claims to have {} values", header.values));
        }
        at = data + compressed;
    }
    Ok(())
}

/// What a page says of itself.
#[derive(Debug, Default, PartialEq)]
struct Header {
    uncompressed: i64,
    compressed: i64,
    is_dictionary: bool,
    /// Values of a dictionary.
    values: i64,
}

fn header_at(file: &mut File, at: u64, end: u64) -> Result<(Header, usize), String> {
    let mut bytes_max = HEADER_BYTES;
    loop {
        let mut bytes = Vec::new();
        let read = |file: &mut File, bytes: &mut Vec<u8>| {
            file.seek(SeekFrom::Start(at))?;
            file.take((end - at).min(bytes_max as u64)).read_to_end(bytes)
        };
        read(file, &mut bytes).map_err(|e| format!("cannot be read: {e}"))?;
        let mut input = Compact { bytes: &bytes, at: 0 };
        if let Some(header) = input.header() {
            return Ok((header, input.at));
        }
        if bytes.len() < bytes_max || bytes_max >= HEADER_BYTES_MAX {
            return Err("a page has no header that can be read".to_owned());
        }
        bytes_max *= 16;
    }
}

/// Thrift's compact protocol. `None` is what cannot be, or goes on behind the bytes.
struct Compact<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// The types of fields.
const TRUE: u8 = 1;
const FALSE: u8 = 2;
const I8: u8 = 3;
const I16: u8 = 4;
const I32: u8 = 5;
const I64: u8 = 6;
const DOUBLE: u8 = 7;
const BINARY: u8 = 8;
const LIST: u8 = 9;
const SET: u8 = 10;
const MAP: u8 = 11;
const STRUCT: u8 = 12;

impl Compact<'_> {
    fn byte(&mut self) -> Option<u8> {
        let byte = *self.bytes.get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn int(&mut self) -> Option<i64> {
        let value = self.varint()?;
        Some((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    /// The type and number of the next field; the type 0 ends a struct.
    fn field(&mut self, last: &mut i64) -> Option<u8> {
        let byte = self.byte()?;
        if byte == 0 {
            return Some(0);
        }
        *last = match byte >> 4 {
            0 => self.int()?,
            delta => *last + i64::from(delta),
        };
        Some(byte & 15)
    }

    fn header(&mut self) -> Option<Header> {
        let (mut header, mut number) = (Header::default(), 0);
        let mut seen = [false; 3];
        loop {
            match (self.field(&mut number)?, number) {
                (0, _) => return (seen == [true; 3]).then_some(header),
                (I32, 1) => {
                    self.int()?;
                    seen[0] = true;
                }
                (I32, 2) => {
                    header.uncompressed = self.int()?;
                    seen[1] = true;
                }
                (I32, 3) => {
                    header.compressed = self.int()?;
                    seen[2] = true;
                }
                (STRUCT, 7) => {
                    header.is_dictionary = true;
                    header.values = self.values()?;
                }
                (other, _) => self.pass_over(other, DEPTH_MAX)?,
            }
        }
    }

    /// The first field of a `DictionaryPageHeader`.
    fn values(&mut self) -> Option<i64> {
        let (mut values, mut number) = (0, 0);
        loop {
            match (self.field(&mut number)?, number) {
                (0, _) => return Some(values),
                (I32, 1) => values = self.int()?,
                (other, _) => self.pass_over(other, DEPTH_MAX)?,
            }
        }
    }

    fn pass_over(&mut self, kind: u8, depth: usize) -> Option<()> {
        let depth = depth.checked_sub(1)?;
        match kind {
            TRUE | FALSE => {}
            I8 => drop(self.byte()?),
            I16 | I32 | I64 => drop(self.varint()?),
            DOUBLE => self.skip(8)?,
            BINARY => {
                let len = self.varint()?;
                self.skip(len)?;
            }
            LIST | SET => {
                let head = self.byte()?;
                let len = if head >> 4 == 15 { self.varint()? } else { u64::from(head >> 4) };
                for _ in 0..len {
                    self.pass_over_item(head & 15, depth)?;
                }
            }
            MAP => {
                let len = self.varint()?;
                let kinds = if len == 0 { 0 } else { self.byte()? };
                for _ in 0..len {
                    self.pass_over_item(kinds >> 4, depth)?;
                    self.pass_over_item(kinds & 15, depth)?;
                }
            }
            STRUCT => {
                let mut number = 0;
                loop {
                    match self.field(&mut number)? {
                        0 => break,
                        other => self.pass_over(other, depth)?,
                    }
                }
            }
            _ => return None,
        }
        Some(())
    }

    /// Inside lists and maps a boolean has a byte.
    fn pass_over_item(&mut self, kind: u8, depth: usize) -> Option<()> {
        match kind {
            TRUE | FALSE => self.byte().map(drop),
            other => self.pass_over(other, depth),
        }
    }

    fn skip(&mut self, bytes: u64) -> Option<()> {
        let at = self.at.checked_add(usize::try_from(bytes).ok()?)?;
        self.at = (at <= self.bytes.len()).then_some(at)?;
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_header_is_understood() {
        // A dictionary page of 300 bytes, 10 values, with a checksum and an unknown struct behind it.
        let bytes = [
            0x15, 0x04, 0x15, 0xd8, 0x04, 0x15, 0x14, 0x15, 0x01, 0x3c, 0x15, 0x14, 0x15, 0x00, 0x00, 0x5c,
            0x19, 0x12, 0x01, 0x00, 0x00,
        ];
        let mut input = Compact { bytes: &bytes, at: 0 };
        let want = Header { uncompressed: 300, compressed: 10, is_dictionary: true, values: 10 };
        assert_eq!(input.header(), Some(want));
        assert_eq!(input.at, bytes.len());
        for cut in 0..bytes.len() {
            assert_eq!(Compact { bytes: &bytes[..cut], at: 0 }.header(), None, "cut at {cut}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_bring_it_down(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut input = Compact { bytes: &bytes, at: 0 };
            let _ = input.header();
            prop_assert!(input.at <= bytes.len());
        }
    }
}
