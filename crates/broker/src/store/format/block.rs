//! Blocks: what one commit adds to a file.

use std::mem;

use super::{i64_at, u32_at, u64_at};
use crate::store::Batch;

/// Bytes of a block's header.
pub(crate) const BLOCK_HEADER: usize = 40;
/// Bytes of an entry in a block's table.
pub(crate) const ENTRY_HEADER: usize = 12;
/// No block has a larger body.
const BODY_MAX: usize = 32 << 20;

/// The header of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BlockHeader {
    /// The checksum of the body.
    pub(crate) body_crc: u32,
    /// Bytes of the body.
    pub(crate) body_len: u32,
    /// Entries.
    pub(crate) count: u32,
    /// The offset of the first.
    pub(crate) base: u64,
    /// The greatest time among them.
    pub(crate) time_max: i64,
}

impl BlockHeader {
    fn encode(&self, mark: u64) -> [u8; BLOCK_HEADER] {
        let mut out = [0; BLOCK_HEADER];
        let (head, rest) = out.split_at_mut(12);
        let fields = [
            &self.body_crc.to_le_bytes()[..],
            &self.body_len.to_le_bytes(),
            &self.count.to_le_bytes(),
            &self.base.to_le_bytes(),
            &self.time_max.to_le_bytes(),
        ];
        let mut at = 0;
        for field in fields {
            if let Some(place) = rest.get_mut(at..at + field.len()) {
                place.copy_from_slice(field);
            }
            at += field.len();
        }
        let crc = header_crc(mark, rest);
        let (mark_at, crc_at) = head.split_at_mut(8);
        mark_at.copy_from_slice(&mark.to_le_bytes());
        crc_at.copy_from_slice(&crc.to_le_bytes());
        out
    }

    /// Reads the header at the start of `bytes`. `None` if there is no sound one of this file.
    pub(crate) fn decode(bytes: &[u8], mark: u64) -> Option<Self> {
        let bytes = bytes.get(..BLOCK_HEADER)?;
        if u64_at(bytes, 0)? != mark || u32_at(bytes, 8)? != header_crc(mark, bytes.get(12..)?) {
            return None;
        }
        let header = Self {
            body_crc: u32_at(bytes, 12)?,
            body_len: u32_at(bytes, 16)?,
            count: u32_at(bytes, 20)?,
            base: u64_at(bytes, 24)?,
            time_max: i64_at(bytes, 32)?,
        };
        let table = (header.count as usize).checked_mul(ENTRY_HEADER)?;
        let fits = header.count > 0
            && header.body_len as usize <= BODY_MAX
            && table <= header.body_len as usize
            && header.base.checked_add(u64::from(header.count)).is_some();
        fits.then_some(header)
    }

    /// Bytes of the whole block.
    pub(crate) fn block_len(&self) -> u64 {
        BLOCK_HEADER as u64 + u64::from(self.body_len)
    }

    /// The offset after its last entry.
    pub(crate) fn next(&self) -> u64 {
        self.base + u64::from(self.count)
    }
}

fn header_crc(mark: u64, rest: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&mark.to_le_bytes()), rest)
}

/// Checks the body of a block, which must be whole. An error says what is wrong.
pub(crate) fn check_body(header: &BlockHeader, body: &[u8]) -> Result<(), &'static str> {
    if body.len() != header.body_len as usize {
        return Err("the block is cut off");
    }
    if crc32c::crc32c(body) != header.body_crc {
        return Err("the checksum of the block does not fit");
    }
    let (table, payloads) =
        body.split_at_checked(header.count as usize * ENTRY_HEADER).unwrap_or((body, &[]));
    let mut before = 0;
    for entry in table.chunks_exact(ENTRY_HEADER) {
        let end = u32_at(entry, 8).unwrap_or(0);
        if end < before {
            return Err("the block's table goes backwards");
        }
        before = end;
    }
    if before as usize != payloads.len() {
        return Err("the block's table does not cover it");
    }
    Ok(())
}

/// Puts batches into blocks, one after another in one buffer.
#[derive(Debug)]
pub(crate) struct Encoder {
    mark: u64,
    /// A block takes no more batches once its body is this large.
    enough: usize,
    /// The offset of the next entry to be added.
    next: u64,
    /// The offset of the first entry of the block to come.
    base: u64,
    /// Batches of that block.
    open: Vec<Batch>,
    open_bytes: usize,
    out: Vec<u8>,
    blocks: Vec<(usize, BlockHeader)>,
}

impl Encoder {
    /// For a file with `mark`; the first entry gets the offset `next`. Blocks are closed at `enough` bytes.
    pub(crate) fn new(mark: u64, next: u64, enough: usize, capacity: usize) -> Self {
        let out = Vec::with_capacity(capacity);
        Self { mark, enough, next, base: next, open: Vec::new(), open_bytes: 0, out, blocks: Vec::new() }
    }

    /// Adds a batch, whole in one block if it is not larger than [`Batch::WHOLE_BYTES_MAX`]. Gives the offset of its
    /// first entry. No entry may be larger than [`Batch::ENTRY_BYTES_MAX`].
    pub(crate) fn add(&mut self, mut batch: Batch) -> u64 {
        let first = self.next;
        while let Some(rest) = batch.split_whole() {
            self.add_part(mem::replace(&mut batch, rest));
        }
        self.add_part(batch);
        first
    }

    fn add_part(&mut self, batch: Batch) {
        if batch.is_empty() {
            return;
        }
        self.next += batch.len() as u64;
        self.open_bytes += batch.body_bytes();
        self.open.push(batch);
        if self.open_bytes >= self.enough {
            self.close_block();
        }
    }

    /// Bytes added so far, without headers.
    pub(crate) fn bytes(&self) -> usize {
        self.out.len() + self.open_bytes
    }

    /// The offset of the next entry to be added.
    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    fn close_block(&mut self) {
        let batches = mem::take(&mut self.open);
        self.open_bytes = 0;
        let at = self.out.len();
        self.out.resize(at + BLOCK_HEADER, 0);
        let mut time_max = i64::MIN;
        let mut shift = 0;
        for batch in &batches {
            for (time, end) in &batch.table {
                time_max = time_max.max(*time);
                let mut entry = [0; ENTRY_HEADER];
                let (time_at, end_at) = entry.split_at_mut(8);
                time_at.copy_from_slice(&time.to_le_bytes());
                end_at.copy_from_slice(&(shift + end).to_le_bytes());
                self.out.extend_from_slice(&entry);
            }
            shift += batch.payloads.len() as u32;
        }
        for batch in &batches {
            self.out.extend_from_slice(&batch.payloads);
        }
        let Some((head, body)) = self.out.get_mut(at..).and_then(|b| b.split_at_mut_checked(BLOCK_HEADER))
        else {
            return;
        };
        let header = BlockHeader {
            body_crc: crc32c::crc32c(body),
            body_len: body.len() as u32,
            count: (self.next - self.base) as u32,
            base: self.base,
            time_max,
        };
        head.copy_from_slice(&header.encode(self.mark));
        self.blocks.push((at, header));
        self.base = self.next;
    }

    /// The bytes, and where in them each block begins.
    pub(crate) fn finish(mut self) -> (Vec<u8>, Vec<(usize, BlockHeader)>) {
        if !self.open.is_empty() {
            self.close_block();
        }
        (self.out, self.blocks)
    }
}
