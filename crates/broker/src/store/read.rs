//! Reading a log.

use std::ops::Range;
use std::sync::Arc;

use super::format::IndexEntry;
use super::log::{LogInner, State};
use super::scan::{Chunk, Scanner, Step};
use super::segment::Segment;
use super::{Damage, Page, StoreError};

/// What stands at an offset.
enum Found {
    Chunk(Arc<Chunk>),
    /// Not readable; read on at the end of `offsets`.
    Damage(Damage),
}

/// A segment and what bounds it.
struct Place {
    segment: Arc<Segment>,
    /// The offset after its last entry.
    next: u64,
    /// Where it ends and the entry of its index to begin at, if it is still written to.
    active: Option<(u64, IndexEntry)>,
}

impl State {
    /// The chunk in memory that has `offset`.
    fn recent(&self, offset: u64) -> Option<&Arc<Chunk>> {
        let i = self.tail.partition_point(|c| c.next() <= offset);
        self.tail.get(i).filter(|c| c.first() <= offset)
    }

    pub(crate) fn first(&self) -> u64 {
        self.segments.first().map_or(self.next, |s| s.base)
    }

    /// The segment that has or should have `offset`; `fits` finds the place in its index if it is the last.
    fn place(&self, i: usize, fits: impl Fn(&IndexEntry) -> bool) -> Option<Place> {
        let segment = self.segments.get(i)?.clone();
        let behind = self.segments.get(i + 1);
        let next = behind.map_or(self.next, |s| s.base);
        let active = match behind {
            Some(_) => None,
            None => {
                let at = self.index.partition_point(fits).saturating_sub(1);
                Some((self.end, *self.index.get(at)?))
            }
        };
        Some(Place { segment, next, active })
    }
}

impl LogInner {
    pub(crate) fn read(&self, from: u64, bytes_max: usize) -> Result<Page, StoreError> {
        let mut page = Page { next: from, ..Page::default() };
        let mut bytes = 0;
        loop {
            let chunk = {
                let state = self.state();
                if state.deleted {
                    return Err(self.deleted_error());
                }
                page.next = page.next.max(state.first());
                if page.next >= state.next {
                    return Ok(page);
                }
                state.recent(page.next).cloned()
            };
            let chunk = match chunk {
                Some(chunk) => chunk,
                // Another file is read only if this page is still small.
                None if bytes > 0 && bytes >= bytes_max / 2 => return Ok(page),
                None => match self.load(page.next)? {
                    Some(Found::Chunk(chunk)) => chunk,
                    Some(Found::Damage(damage)) => {
                        page.next = damage.offsets.end;
                        page.damage.push(damage);
                        continue;
                    }
                    None => continue,
                },
            };
            if !add(&mut page, &chunk, &mut bytes, bytes_max) {
                return Ok(page);
            }
        }
    }

    pub(crate) fn read_recent(&self, from: u64, bytes_max: usize) -> Option<Page> {
        let mut page = Page { next: from, ..Page::default() };
        let mut bytes = 0;
        loop {
            let state = self.state();
            page.next = page.next.max(state.first());
            if page.next >= state.next && !state.deleted {
                return Some(page);
            }
            let Some(chunk) = state.recent(page.next).filter(|_| !state.deleted).cloned() else {
                return (!page.records.is_empty()).then_some(page);
            };
            drop(state);
            if !add(&mut page, &chunk, &mut bytes, bytes_max) {
                return Some(page);
            }
        }
    }

    /// What stands on disk at `offset`; `None` if the log changed meanwhile.
    fn load(&self, offset: u64) -> Result<Option<Found>, StoreError> {
        let place = {
            let state = self.state();
            let i = state.segments.partition_point(|s| s.base <= offset).saturating_sub(1);
            state.place(i, |e| e.offset <= offset)
        };
        let Some(place) = place else { return Ok(None) };
        match self.load_from(&place, offset) {
            // Trimmed or deleted while it was read.
            Err(e) if self.state().deleted || self.state().first() > offset => {
                drop(e);
                Ok(None)
            }
            other => other.map(Some),
        }
    }

    fn load_from(&self, place: &Place, offset: u64) -> Result<Found, StoreError> {
        let shared = &self.shared;
        let segment = &place.segment;
        let cached = shared.reads.get(self.number, segment.base, offset);
        let (mut position, mut expected) = match &cached {
            Some(chunk) if offset < chunk.next() => return Ok(Found::Chunk(chunk.clone())),
            Some(chunk) => (chunk.end(), chunk.next()),
            None => (0, 0),
        };
        let path = segment.path();
        let file = shared.files.get(&path, false)?;
        let lost = |position, offsets: Range<u64>, why: String| {
            let path = shared.files.disk.show(&path);
            Ok(Found::Damage(Damage { path, position, offsets, why, done: "left out" }))
        };
        let mark = match segment.meta(&shared.files) {
            Ok(meta) => meta.mark,
            Err(StoreError::Damaged { why, .. }) => return lost(0, offset..place.next, why),
            Err(e) => return Err(e),
        };
        if cached.is_none() {
            let entry = self.index_entry(place, offset)?;
            (position, expected) = (entry.position, entry.offset);
        }
        let end = match place.active {
            Some((end, _)) => end,
            None => file.size().map_err(|e| shared.files.error("read", &path, e))?,
        };
        let scanner = Scanner { file: &file, path: &path, segment: segment.base, mark, end };
        let mut bad: Option<(u64, &str)> = None;
        loop {
            match scanner.step(position, expected)? {
                Step::Chunk(chunk) if chunk.next() <= offset => {
                    (position, expected) = (chunk.end(), chunk.next());
                    bad = None;
                }
                Step::Chunk(chunk) => {
                    let chunk = Arc::new(chunk);
                    shared.reads.put(self.number, &chunk);
                    if chunk.first() <= offset {
                        return Ok(Found::Chunk(chunk));
                    }
                    let (position, why) = bad.unwrap_or((position, "entries are missing"));
                    return lost(position, offset..chunk.first().min(place.next), why.to_owned());
                }
                Step::Bad { to: Some((to, next)), .. } if next.base <= offset => {
                    (position, expected) = (to, next.base);
                }
                Step::Bad { why, to: Some((to, _)), .. } => {
                    bad = Some((position, why));
                    position = to;
                }
                Step::Bad { why, to: None, .. } => return lost(position, offset..place.next, why.to_owned()),
                Step::End => return lost(position, offset..place.next, "the file ends too early".to_owned()),
            }
        }
    }

    fn index_entry(&self, place: &Place, offset: u64) -> Result<IndexEntry, StoreError> {
        if let Some((_, entry)) = place.active {
            return Ok(entry);
        }
        let index = place.segment.complete_index(&self.shared.files)?;
        let at = index.partition_point(|e| e.offset <= offset).saturating_sub(1);
        let start = place.segment.meta(&self.shared.files)?.start;
        let none = IndexEntry { offset: place.segment.base, position: start, ..IndexEntry::NONE };
        Ok(index.get(at).copied().unwrap_or(none))
    }

    pub(crate) fn first_at(&self, time: i64) -> Result<u64, StoreError> {
        let (segments, mut offset) = {
            let state = self.state();
            (state.segments.clone(), state.first())
        };
        // Times need not grow, but the greatest time before a place does.
        let (mut low, mut high) = (0, segments.len());
        while low + 1 < high {
            let mid = (low + high) / 2;
            let Some(segment) = segments.get(mid) else { break };
            match segment.meta(&self.shared.files) {
                Ok(meta) if meta.time_before < time => low = mid,
                Ok(_) => high = mid,
                // Not known: look from further back.
                Err(StoreError::Damaged { .. }) => high = mid,
                Err(e) => return Err(e),
            }
        }
        if let Some(segment) = segments.get(low) {
            offset = offset.max(segment.base).max(self.indexed_at(segment, time)?);
        }
        self.scan_for(offset, time)
    }

    /// An offset of a segment before which all times are less than `time`, as near as its index tells.
    fn indexed_at(&self, segment: &Arc<Segment>, time: i64) -> Result<u64, StoreError> {
        let before = |index: &[IndexEntry]| {
            let at = index.partition_point(|e| e.time_before < time).saturating_sub(1);
            index.get(at).map_or(segment.base, |e| e.offset)
        };
        {
            let state = self.state();
            if state.segments.last().is_some_and(|s| s.base == segment.base) {
                return Ok(before(&state.index));
            }
        }
        match segment.complete_index(&self.shared.files) {
            Ok(index) => Ok(before(&index)),
            Err(StoreError::Damaged { .. }) => Ok(segment.base),
            Err(e) => Err(e),
        }
    }

    fn scan_for(&self, mut offset: u64, time: i64) -> Result<u64, StoreError> {
        loop {
            let chunk = {
                let state = self.state();
                offset = offset.max(state.first());
                if offset >= state.next {
                    return Ok(state.next);
                }
                state.recent(offset).cloned()
            };
            let chunk = match chunk {
                Some(chunk) => chunk,
                None => match self.load(offset)? {
                    Some(Found::Chunk(chunk)) => chunk,
                    Some(Found::Damage(damage)) => {
                        offset = damage.offsets.end;
                        continue;
                    }
                    None => continue,
                },
            };
            if let Some(found) = chunk.first_at(offset, time) {
                return Ok(found);
            }
            offset = chunk.next();
        }
    }
}

/// Adds entries of a chunk to a page. False if the page is full.
fn add(page: &mut Page, chunk: &Chunk, bytes: &mut usize, bytes_max: usize) -> bool {
    let Page { records, next, .. } = page;
    chunk.records(*next, |record| {
        let more = *bytes + record.payload.len();
        if !records.is_empty() && more > bytes_max {
            return false;
        }
        *bytes = more;
        *next = record.offset + 1;
        records.push(record);
        true
    })
}
