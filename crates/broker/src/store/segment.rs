//! One segment file with its index.

use std::sync::OnceLock;

use super::files::Files;
use super::format::{
    HeaderError, INDEX_ENTRY, INDEX_HEADER, IndexEntry, IndexKind, SEGMENT_HEADER_MAX, SegmentHeader,
    VERSION, decode_index_header, encode_index_header,
};
use super::scan::{Scanner, Step};
use super::{LogId, StoreError};

/// An index that ends so many times [`super::StoreOptions::index_bytes`] before its segment is completed when it is
/// needed.
const INDEX_BEHIND_MAX: u64 = 128;

/// What must be known of a segment to read it.
#[derive(Clone, Debug)]
pub(crate) struct Meta {
    pub(crate) mark: u64,
    /// Where the first block begins.
    pub(crate) start: u64,
    /// The greatest time before the segment; the greatest there is if that is not known.
    pub(crate) time_before: i64,
    /// What is wrong with the header, if something is.
    pub(crate) wrong: Option<&'static str>,
}

/// A segment of a log. Nothing of it is read before it is needed.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) base: u64,
    folder: String,
    log: LogId,
    meta: OnceLock<Meta>,
}

impl Segment {
    pub(crate) fn new(log: &LogId, folder: &str, base: u64) -> Self {
        Self { base, folder: folder.to_owned(), log: log.clone(), meta: OnceLock::new() }
    }

    /// The segment file.
    pub(crate) fn path(&self) -> String {
        format!("{}/{:020}.seg", self.folder, self.base)
    }

    /// The index file.
    pub(crate) fn index_path(&self) -> String {
        format!("{}/{:020}.idx", self.folder, self.base)
    }

    /// The first offset that a file of this name has.
    pub(crate) fn base_of(name: &str) -> Option<u64> {
        let digits = name.strip_suffix(".seg").filter(|d| d.len() == 20)?;
        digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok())?
    }

    /// Makes the file, durable with its name. After an error it is gone again, if the disk lets it.
    pub(crate) fn create(&self, files: &Files, time_before: i64) -> Result<Meta, StoreError> {
        self.try_create(files, time_before).inspect_err(|_| {
            // What could not be synced must not be taken for durable by whoever opens the log next.
            self.remove(files).ok();
        })
    }

    fn try_create(&self, files: &Files, time_before: i64) -> Result<Meta, StoreError> {
        let path = self.path();
        // Something may be left from an attempt that found no space.
        files.remove(&self.index_path())?;
        let file = files.get(&path, true)?;
        let mark = files.disk.unique().max(1);
        let log = self.log.as_str().to_owned();
        let header = SegmentHeader { mark, base: self.base, time_before, log }.encode();
        file.set_len(0).map_err(|e| files.error("cut", &path, e))?;
        file.write_at(&header, 0).map_err(|e| files.error("write", &path, e))?;
        file.sync().map_err(|e| files.error("sync", &path, e))?;
        files.sync_folder(&self.folder)?;
        let meta = Meta { mark, start: header.len() as u64, time_before, wrong: None };
        Ok(self.meta.get_or_init(|| meta).clone())
    }

    /// Bytes that its header takes.
    pub(crate) fn header_len(&self) -> u64 {
        SegmentHeader::len_for(self.log.as_str()) as u64
    }

    /// What the header says, or what can be found out without it.
    pub(crate) fn meta(&self, files: &Files) -> Result<&Meta, StoreError> {
        if let Some(meta) = self.meta.get() {
            return Ok(meta);
        }
        let meta = self.read_meta(files)?;
        Ok(self.meta.get_or_init(|| meta))
    }

    fn read_meta(&self, files: &Files) -> Result<Meta, StoreError> {
        let path = self.path();
        let file = files.get(&path, false)?;
        let mut bytes = vec![0; SEGMENT_HEADER_MAX + 8];
        let n = file.read_at(&mut bytes, 0).map_err(|e| files.error("read", &path, e))?;
        bytes.truncate(n);
        let wrong = match SegmentHeader::decode(&bytes) {
            Ok((header, start)) if header.base == self.base && header.log == self.log.as_str() => {
                let SegmentHeader { mark, time_before, .. } = header;
                return Ok(Meta { mark, start: start as u64, time_before, wrong: None });
            }
            Ok(_) => "it is from another log or place",
            Err(HeaderError::Newer(found)) => {
                return Err(StoreError::Newer { path: files.disk.show(&path), found, known: VERSION });
            }
            Err(HeaderError::Short) => "its header is cut off",
            Err(HeaderError::Bad(why)) => why,
        };
        self.meta_without_header(files, &bytes, wrong)
    }

    /// The mark stands in the index too, and at the start of each block.
    fn meta_without_header(
        &self,
        files: &Files,
        bytes: &[u8],
        wrong: &'static str,
    ) -> Result<Meta, StoreError> {
        let path = self.path();
        let file = files.get(&path, false)?;
        let end = file.size().map_err(|e| files.error("read", &path, e))?;
        let start = SegmentHeader::len_for(self.log.as_str());
        let from_block = bytes.get(start..start + 8).and_then(|b| b.try_into().ok()).map(u64::from_le_bytes);
        let from_index = self.index_bytes(files)?.as_deref().and_then(decode_index_header);
        let start = start as u64;
        for mark in from_index.into_iter().chain(from_block) {
            let scanner = Scanner { file: &file, path: &path, segment: self.base, mark, end };
            let sound = match scanner.step(start, self.base)? {
                Step::Chunk(_) => true,
                Step::Bad { to, .. } => to.is_some(),
                Step::End => false,
            };
            if sound {
                return Ok(Meta { mark, start, time_before: i64::MAX, wrong: Some(wrong) });
            }
        }
        let path = files.disk.show(&path);
        Err(StoreError::Damaged { path, position: 0, why: format!("{wrong}, and no block can be found") })
    }

    fn index_bytes(&self, files: &Files) -> Result<Option<Vec<u8>>, StoreError> {
        let path = self.index_path();
        let file = match files.get(&path, false) {
            Err(StoreError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
                return Ok(None);
            }
            other => other?,
        };
        let size = file.size().map_err(|e| files.error("read", &path, e))?;
        let mut bytes = vec![0; usize::try_from(size).unwrap_or(usize::MAX).min(64 << 20)];
        let n = file.read_at(&mut bytes, 0).map_err(|e| files.error("read", &path, e))?;
        bytes.truncate(n);
        Ok(Some(bytes))
    }

    /// The sound entries of the index, in order; the first is always the start of the segment.
    pub(crate) fn index(&self, files: &Files) -> Result<Vec<IndexEntry>, StoreError> {
        let Meta { mark, start, time_before, .. } = *self.meta(files)?;
        let first = IndexEntry { offset: self.base, position: start, time_before, kind: IndexKind::Block };
        let mut entries = vec![first];
        let bytes = self.index_bytes(files)?.unwrap_or_default();
        if decode_index_header(&bytes) != Some(mark) {
            return Ok(entries);
        }
        let mut last = first;
        for part in bytes.get(INDEX_HEADER..).unwrap_or_default().chunks_exact(INDEX_ENTRY) {
            // Only from a damaged index, which is made again when it is too short.
            let Some(entry) = IndexEntry::decode(part, mark) else { break };
            if entry.offset < last.offset || entry.position < last.position {
                break;
            }
            if entry.position > start {
                entries.push(entry);
            }
            last = entry;
        }
        Ok(entries)
    }

    /// As [`Segment::index`], for a segment that is complete: an index that is missing or too short is made again.
    pub(crate) fn complete_index(&self, files: &Files) -> Result<Vec<IndexEntry>, StoreError> {
        let mut entries = self.index(files)?;
        let path = self.path();
        let file = files.get(&path, false)?;
        let end = file.size().map_err(|e| files.error("read", &path, e))?;
        let Some(last) = entries.last().copied() else { return Ok(entries) };
        if end.saturating_sub(last.position) <= INDEX_BEHIND_MAX * files.index_bytes {
            return Ok(entries);
        }
        let mark = self.meta(files)?.mark;
        let scanner = Scanner { file: &file, path: &path, segment: self.base, mark, end };
        let (mut position, mut expected, mut time_before) = (last.position, last.offset, last.time_before);
        let mut indexed = last.position;
        loop {
            match scanner.step(position, expected)? {
                Step::Chunk(chunk) => {
                    for (at, block) in &chunk.blocks {
                        let position = chunk.position + *at as u64;
                        if position >= indexed + files.index_bytes {
                            let kind = IndexKind::Block;
                            entries.push(IndexEntry { offset: block.base, position, time_before, kind });
                            indexed = position;
                        }
                        time_before = time_before.max(block.time_max);
                    }
                    (position, expected) = (chunk.end(), chunk.next());
                }
                Step::Bad { to: Some((to, _)), .. } => position = to,
                Step::Bad { to: None, .. } | Step::End => break,
            }
        }
        entries.push(IndexEntry { offset: expected, position, time_before, kind: IndexKind::End });
        // Without space for it, it is made again next time.
        match self.write_index(files, mark, &entries) {
            Err(e) if !e.is_no_space() => Err(e),
            _ => Ok(entries),
        }
    }

    /// Writes a whole index. `entries` begin with the start of the segment, which is not written.
    pub(crate) fn write_index(
        &self,
        files: &Files,
        mark: u64,
        entries: &[IndexEntry],
    ) -> Result<(), StoreError> {
        let path = self.index_path();
        let mut bytes = encode_index_header(mark).to_vec();
        for entry in entries.iter().skip(1) {
            bytes.extend_from_slice(&entry.encode(mark));
        }
        let file = files.get(&path, true)?;
        file.set_len(0).map_err(|e| files.error("cut", &path, e))?;
        file.write_at(&bytes, 0).map_err(|e| files.error("write", &path, e))
    }

    /// Removes both files.
    pub(crate) fn remove(&self, files: &Files) -> Result<(), StoreError> {
        files.remove(&self.index_path())?;
        files.remove(&self.path())?;
        files.sync_folder(&self.folder)
    }
}
