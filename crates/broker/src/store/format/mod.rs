//! The bytes of the files. `docs/reference/broker-log.md` describes the same for people.
//!
//! All numbers are little-endian. Checksums are CRC-32C.

mod block;
mod index;
mod segment;

pub(crate) use block::{BLOCK_HEADER, BlockHeader, ENTRY_HEADER, Encoder, check_body};
pub(crate) use index::{
    INDEX_ENTRY, INDEX_HEADER, IndexEntry, IndexKind, decode_index_header, encode_index_header,
};
pub(crate) use segment::{HeaderError, SEGMENT_HEADER_MAX, SegmentHeader};

/// The version of the format this program writes, and the greatest it reads.
pub(crate) const VERSION: u32 = 1;

/// The number at `at`, if the bytes reach so far.
fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let part = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes(part.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    let part = bytes.get(at..at.checked_add(8)?)?;
    Some(u64::from_le_bytes(part.try_into().ok()?))
}

fn i64_at(bytes: &[u8], at: usize) -> Option<i64> {
    let part = bytes.get(at..at.checked_add(8)?)?;
    Some(i64::from_le_bytes(part.try_into().ok()?))
}
