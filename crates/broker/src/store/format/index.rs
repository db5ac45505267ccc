//! The index beside a segment: where in the file some of its entries begin. It can be made again from the segment.

use super::{VERSION, i64_at, u32_at, u64_at};

const MAGIC: &[u8; 8] = b"PURLNIDX";

/// Bytes of the header of an index file.
pub(crate) const INDEX_HEADER: usize = 24;
/// Bytes of an entry.
pub(crate) const INDEX_ENTRY: usize = 32;

/// Whether an entry speaks of a block or of the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IndexKind {
    /// A block begins here.
    Block,
    /// The segment ended here when this was written.
    End,
}

/// A place in a segment that was durable when the entry was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IndexEntry {
    /// The offset of the first entry from here on.
    pub(crate) offset: u64,
    /// Where in the segment file.
    pub(crate) position: u64,
    /// The greatest time of all entries of the log before this place.
    pub(crate) time_before: i64,
    /// What is here.
    pub(crate) kind: IndexKind,
}

impl IndexEntry {
    /// The beginning of a log.
    pub(crate) const NONE: Self =
        Self { offset: 0, position: 0, time_before: i64::MIN, kind: IndexKind::Block };

    pub(crate) fn encode(&self, mark: u64) -> [u8; INDEX_ENTRY] {
        let mut out = [0; INDEX_ENTRY];
        let (body, crc) = out.split_at_mut(28);
        let kind = match self.kind {
            IndexKind::Block => 0_u32,
            IndexKind::End => 1,
        };
        let fields = [
            &self.offset.to_le_bytes()[..],
            &self.position.to_le_bytes(),
            &self.time_before.to_le_bytes(),
            &kind.to_le_bytes(),
        ];
        let mut at = 0;
        for field in fields {
            if let Some(place) = body.get_mut(at..at + field.len()) {
                place.copy_from_slice(field);
            }
            at += field.len();
        }
        crc.copy_from_slice(&checksum(mark, body).to_le_bytes());
        out
    }

    /// Reads an entry of the segment with `mark`; `None` if it is none.
    pub(crate) fn decode(bytes: &[u8], mark: u64) -> Option<Self> {
        if u32_at(bytes, 28)? != checksum(mark, bytes.get(..28)?) {
            return None;
        }
        let kind = match u32_at(bytes, 24)? {
            0 => IndexKind::Block,
            1 => IndexKind::End,
            _ => return None,
        };
        Some(Self {
            offset: u64_at(bytes, 0)?,
            position: u64_at(bytes, 8)?,
            time_before: i64_at(bytes, 16)?,
            kind,
        })
    }
}

fn checksum(mark: u64, bytes: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&mark.to_le_bytes()), bytes)
}

/// The header of the index of the segment with `mark`.
pub(crate) fn encode_index_header(mark: u64) -> [u8; INDEX_HEADER] {
    let mut out = [0; INDEX_HEADER];
    let (head, rest) = out.split_at_mut(8);
    head.copy_from_slice(MAGIC);
    let (version, rest) = rest.split_at_mut(4);
    version.copy_from_slice(&VERSION.to_le_bytes());
    let (mark_at, crc) = rest.split_at_mut(8);
    mark_at.copy_from_slice(&mark.to_le_bytes());
    crc.copy_from_slice(&checksum(mark, MAGIC).to_le_bytes());
    out
}

/// The mark of the segment that an index belongs to. `None` if this is no index of this version.
pub(crate) fn decode_index_header(bytes: &[u8]) -> Option<u64> {
    let mark = u64_at(bytes, 12)?;
    let sound = bytes.get(..8)? == MAGIC
        && u32_at(bytes, 8)? == VERSION
        && u32_at(bytes, 20)? == checksum(mark, MAGIC);
    sound.then_some(mark)
}
