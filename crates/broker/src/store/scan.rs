//! Reading blocks from a segment file, checking each, and finding the next sound one behind damage.

use std::sync::Arc;

use bytes::Bytes;
use memchr::memmem;

use super::format::{BLOCK_HEADER, BlockHeader, ENTRY_HEADER, check_body};
use super::{DiskFile, Record, StoreError};

/// Bytes read at once; more only for a block that is larger.
const READ_BYTES: usize = 512 << 10;
/// Bytes looked through at once for the next sound block.
const SEARCH_BYTES: usize = 1 << 20;

/// Checked blocks with consecutive offsets, as they stand in a file.
#[derive(Debug)]
pub(crate) struct Chunk {
    /// The first offset of the segment they are from.
    pub(crate) segment: u64,
    /// Where in the file they begin.
    pub(crate) position: u64,
    pub(crate) bytes: Bytes,
    /// Where in `bytes` each begins. Never empty.
    pub(crate) blocks: Vec<(usize, BlockHeader)>,
}

impl Chunk {
    /// The offset of the first entry.
    pub(crate) fn first(&self) -> u64 {
        self.blocks.first().map_or(0, |(_, b)| b.base)
    }

    /// The offset after the last entry.
    pub(crate) fn next(&self) -> u64 {
        self.blocks.last().map_or(0, |(_, b)| b.next())
    }

    /// Where in the file they end.
    pub(crate) fn end(&self) -> u64 {
        self.position + self.bytes.len() as u64
    }

    /// Bytes of memory, about.
    pub(crate) fn memory(&self) -> usize {
        self.bytes.len() + self.blocks.len() * 64 + 192
    }

    /// The entries from `from` on, until `take` says that one is too many. True if all were taken.
    pub(crate) fn records(&self, from: u64, mut take: impl FnMut(Record) -> bool) -> bool {
        let start = self.blocks.partition_point(|(_, b)| b.next() <= from);
        for (at, block) in self.blocks.iter().skip(start) {
            let table_at = at + BLOCK_HEADER;
            let payloads_at = table_at + block.count as usize * ENTRY_HEADER;
            let table = self.bytes.get(table_at..payloads_at).unwrap_or_default();
            let skip = from.saturating_sub(block.base) as usize;
            let mut start = match skip.checked_sub(1).and_then(|i| entry(table, i)) {
                Some((_, end)) => end,
                None => 0,
            };
            for (offset, part) in (block.base..).zip(table.chunks_exact(ENTRY_HEADER)).skip(skip) {
                let Some((time, end)) = entry(part, 0) else { break };
                // The table was checked when the block was read.
                let payload = self.bytes.slice(payloads_at + start..payloads_at + end);
                if !take(Record { offset, time, payload }) {
                    return false;
                }
                start = end;
            }
        }
        true
    }

    /// The first entry from `from` on with a time of at least `time`.
    pub(crate) fn first_at(&self, from: u64, time: i64) -> Option<u64> {
        for (at, block) in self.blocks.iter().filter(|(_, b)| b.time_max >= time && b.next() > from) {
            let table_at = at + BLOCK_HEADER;
            let table = self.bytes.get(table_at..).unwrap_or_default();
            for (i, part) in table.chunks_exact(ENTRY_HEADER).take(block.count as usize).enumerate() {
                let offset = block.base + i as u64;
                if offset >= from && entry(part, 0).is_some_and(|(t, _)| t >= time) {
                    return Some(offset);
                }
            }
        }
        None
    }
}

/// Time and end of the payload of an entry of a table.
fn entry(table: &[u8], index: usize) -> Option<(i64, usize)> {
    let part = table.get(index * ENTRY_HEADER..)?.first_chunk::<ENTRY_HEADER>()?;
    let (time, end) = part.split_first_chunk::<8>()?;
    Some((i64::from_le_bytes(*time), u32::from_le_bytes(end.try_into().ok()?) as usize))
}

/// What stands at a position.
#[derive(Debug)]
pub(crate) enum Step {
    /// Sound blocks.
    Chunk(Chunk),
    /// Something else.
    Bad {
        why: &'static str,
        /// Its header, if that is sound.
        header: Option<BlockHeader>,
        /// The next sound block, if one follows.
        to: Option<(u64, BlockHeader)>,
    },
    /// Nothing more.
    End,
}

/// Reads one segment file.
#[derive(Debug)]
pub(crate) struct Scanner<'a> {
    pub(crate) file: &'a Arc<dyn DiskFile>,
    pub(crate) path: &'a str,
    /// The first offset of the segment.
    pub(crate) segment: u64,
    pub(crate) mark: u64,
    /// Where to stop.
    pub(crate) end: u64,
}

impl Scanner<'_> {
    /// What stands at `position`. A block is sound only if its offsets are at least `expected`.
    pub(crate) fn step(&self, position: u64, expected: u64) -> Result<Step, StoreError> {
        if position >= self.end {
            return Ok(Step::End);
        }
        let mut bytes = self.bytes(position, READ_BYTES)?;
        let first = BlockHeader::decode(&bytes, self.mark);
        if let Some(header) = first
            && header.block_len() > bytes.len() as u64
            && position + header.block_len() <= self.end
        {
            bytes = self.bytes(position, header.block_len() as usize)?;
        }
        let mut blocks = Vec::new();
        let mut at = 0;
        let mut least = expected;
        let why = loop {
            let rest = bytes.get(at..).unwrap_or_default();
            let header = match self.sound(rest, least) {
                Ok(header) => header,
                Err(why) => break why,
            };
            if at > 0 && header.base != least {
                break "entries are missing";
            }
            blocks.push((at, header));
            at += header.block_len() as usize;
            least = header.next();
        };
        if blocks.is_empty() {
            return self.bad(position, expected, why, first);
        }
        bytes.truncate(at);
        let bytes = Bytes::from(bytes);
        Ok(Step::Chunk(Chunk { segment: self.segment, position, bytes, blocks }))
    }

    /// The header of the block that `bytes` begins with, if it is whole and sound.
    fn sound(&self, bytes: &[u8], least: u64) -> Result<BlockHeader, &'static str> {
        if bytes.len() < BLOCK_HEADER {
            return Err("the block is cut off");
        }
        let header = BlockHeader::decode(bytes, self.mark).ok_or("no block begins here")?;
        if header.base < least || header.base < self.segment {
            return Err("the block's offsets go back");
        }
        let body = bytes.get(BLOCK_HEADER..).unwrap_or_default();
        check_body(&header, body.get(..header.body_len as usize).unwrap_or(body))?;
        Ok(header)
    }

    /// Up to `len` bytes at `position`; fewer at the end.
    fn bytes(&self, position: u64, len: usize) -> Result<Vec<u8>, StoreError> {
        let len = len.min(usize::try_from(self.end.saturating_sub(position)).unwrap_or(len));
        let mut bytes = vec![0; len];
        let n = self.file.read_at(&mut bytes, position).map_err(|e| StoreError::io("read", self.path, e))?;
        bytes.truncate(n);
        Ok(bytes)
    }

    fn bad(
        &self,
        position: u64,
        expected: u64,
        why: &'static str,
        header: Option<BlockHeader>,
    ) -> Result<Step, StoreError> {
        // Nothing that stands inside the bad block can be sound, but its length may be what is wrong.
        if let Some(header) = header {
            let behind = position + header.block_len();
            if behind < self.end
                && let Some(next) = self.sound_at(behind, expected.max(header.next()))?
            {
                return Ok(Step::Bad { why, header: Some(header), to: Some((behind, next)) });
            }
        }
        let to = self.search(position + 1, expected)?;
        Ok(Step::Bad { why, header, to })
    }

    fn sound_at(&self, position: u64, least: u64) -> Result<Option<BlockHeader>, StoreError> {
        let head = self.bytes(position, BLOCK_HEADER)?;
        let Some(header) = BlockHeader::decode(&head, self.mark) else { return Ok(None) };
        if position + header.block_len() > self.end {
            return Ok(None);
        }
        let bytes = self.bytes(position, header.block_len() as usize)?;
        Ok(self.sound(&bytes, least).ok())
    }

    /// The first sound block at or after `position`.
    fn search(&self, mut position: u64, least: u64) -> Result<Option<(u64, BlockHeader)>, StoreError> {
        let mark = self.mark.to_le_bytes();
        let finder = memmem::Finder::new(&mark);
        while position + (BLOCK_HEADER as u64) < self.end {
            let bytes = self.bytes(position, SEARCH_BYTES)?;
            for at in finder.find_iter(&bytes) {
                let at = position + at as u64;
                if let Some(header) = self.sound_at(at, least)? {
                    return Ok(Some((at, header)));
                }
            }
            if bytes.len() < SEARCH_BYTES {
                break;
            }
            // A mark may lie across two windows.
            position += (bytes.len() - mark.len() + 1) as u64;
        }
        Ok(None)
    }
}
