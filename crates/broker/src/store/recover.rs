//! Opening a log: only its last segment is looked at, and of that what its index does not cover.

use std::ops::Range;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, RwLock};

use tokio::sync::watch;

use super::files::Files;
use super::format::{BlockHeader, ENTRY_HEADER, IndexEntry, IndexKind};
use super::log::{LogInner, State, Writer};
use super::scan::{Chunk, Scanner, Step};
use super::segment::Segment;
use super::shared::Shared;
use super::{Damage, LogId, LogOptions, StoreError};

/// What the end of a segment is like.
struct End {
    /// The offset after its last entry, or a greater one if that is not known.
    next: u64,
    /// Where the next block goes.
    position: u64,
    time_max: i64,
    index: Vec<IndexEntry>,
    /// Entries of `index` in the file, without the first.
    index_written: usize,
    /// May be written to.
    sound: bool,
    /// Has no entries.
    empty: bool,
    /// The store was closed well, so that everything is durable.
    closed: bool,
}

/// Reads `folder` and makes it fit for writing.
pub(crate) fn open_log(
    shared: &Arc<Shared>,
    id: &LogId,
    folder: &str,
    number: u64,
    damage: &mut Vec<Damage>,
) -> Result<Arc<LogInner>, StoreError> {
    let files = &shared.files;
    let (mut segments, mut sizes) = list(files, id, folder)?;
    let mut writer = Writer { index_written: 0, time_max: i64::MIN };
    let mut end = loop {
        let Some(last) = segments.last().cloned() else {
            let segment = Segment::new(id, folder, 0);
            let meta = segment.create(files, i64::MIN)?;
            segments.push(Arc::new(segment));
            sizes.push(meta.start);
            break fresh(0, meta.start, i64::MIN);
        };
        let size = sizes.last().copied().unwrap_or(0);
        let before = segments.len().checked_sub(2).and_then(|i| Some((segments.get(i)?, *sizes.get(i)?)));
        if just_begun(files, &last, size)? {
            // No block can be in it: the first is written only after the header is durable.
            let why = "the header is cut off".to_owned();
            let done = "a segment that was just being made was made again";
            let (path, offsets) = (files.disk.show(&last.path()), last.base..last.base);
            damage.push(Damage { path, position: 0, offsets, why, done });
            if before.is_none() {
                break fresh(last.base, last.create(files, i64::MIN)?.start, i64::MIN);
            }
            last.remove(files)?;
            segments.pop();
            sizes.pop();
            continue;
        }
        let mut end = open_segment(files, &last, size, true, damage)?;
        if let Some((before, size)) = before.filter(|_| end.empty) {
            let earlier = open_segment(files, before, size, false, &mut Vec::new())?;
            if earlier.sound && earlier.next > last.base {
                // Its making failed, and the log went on without it.
                last.remove(files)?;
                segments.pop();
                sizes.pop();
                continue;
            }
            end.time_max = end.time_max.max(earlier.time_max);
        }
        break end;
    };
    if !end.closed {
        // The process may have ended between making names and syncing them.
        files.sync_folder(folder)?;
    }
    if !end.sound {
        let segment = Segment::new(id, folder, end.next);
        let meta = segment.create(files, end.time_max)?;
        segments.push(Arc::new(segment));
        sizes.push(meta.start);
        end = fresh(end.next, meta.start, end.time_max);
    }
    writer.index_written = end.index_written;
    writer.time_max = end.time_max;
    sizes.pop();
    let state = State {
        options: LogOptions::default(),
        segments,
        sealed_bytes: sizes.iter().sum(),
        next: end.next,
        end: end.position,
        index: end.index,
        tail: std::collections::VecDeque::new(),
        deleted: false,
        poisoned: None,
    };
    Ok(Arc::new(LogInner {
        id: id.clone(),
        number,
        folder: folder.to_owned(),
        shared: shared.clone(),
        durable: watch::Sender::new(state.next),
        state: RwLock::new(state),
        writer: Mutex::new(writer),
        generation: AtomicU64::new(0),
    }))
}

fn fresh(next: u64, position: u64, time_max: i64) -> End {
    let index = vec![IndexEntry { offset: next, position, time_before: time_max, kind: IndexKind::Block }];
    End { next, position, time_max, index, index_written: 0, sound: true, empty: true, closed: false }
}

/// The segments in order, with the sizes of their files.
fn list(files: &Files, id: &LogId, folder: &str) -> Result<(Vec<Arc<Segment>>, Vec<u64>), StoreError> {
    let entries = files.disk.list(folder).map_err(|e| files.error("list", folder, e))?;
    let mut found: Vec<(u64, u64)> =
        entries.iter().filter_map(|e| Some((Segment::base_of(&e.name)?, e.bytes))).collect();
    found.sort_unstable();
    let segments = found.iter().map(|(base, _)| Arc::new(Segment::new(id, folder, *base))).collect();
    Ok((segments, found.into_iter().map(|(_, bytes)| bytes).collect()))
}

/// Whether a crash came between making the file and making it durable.
fn just_begun(files: &Files, segment: &Segment, size: u64) -> Result<bool, StoreError> {
    match segment.meta(files) {
        Err(StoreError::Damaged { .. }) => Ok(size <= segment.header_len()),
        other => other.map(|_| false),
    }
}

/// Looks at the end of the last segment; `cut` removes what a crash left of the last write.
fn open_segment(
    files: &Files,
    segment: &Segment,
    size: u64,
    cut: bool,
    damage: &mut Vec<Damage>,
) -> Result<End, StoreError> {
    let path = segment.path();
    let shown = files.disk.show(&path);
    let mut report = |position, offsets, why, done| {
        damage.push(Damage { path: shown.clone(), position, offsets, why, done });
    };
    let meta = match segment.meta(files) {
        Ok(meta) => meta.clone(),
        Err(StoreError::Damaged { why, .. }) => {
            // No entry takes less than its place in a table, so no offset is used twice.
            let next = segment.base + size / ENTRY_HEADER as u64 + 1;
            report(0, segment.base..next, why, "left as it is; a new segment was begun behind it");
            let mut end = fresh(next, 0, i64::MIN);
            end.sound = false;
            return Ok(end);
        }
        Err(e) => return Err(e),
    };
    if let Some(why) = meta.wrong {
        report(0, segment.base..segment.base, why.to_owned(), "read without its header");
    }
    let sound = meta.wrong.is_none();
    Tailing { files, segment, size, mark: meta.mark, cut, sound, report }.open()
}

/// Reads a segment from the last place that its index knows.
struct Tailing<'a, R> {
    files: &'a Files,
    segment: &'a Segment,
    size: u64,
    mark: u64,
    cut: bool,
    /// The header is sound.
    sound: bool,
    /// Takes position, offsets, what is wrong, and what was done.
    report: R,
}

impl<R: FnMut(u64, Range<u64>, String, &'static str)> Tailing<'_, R> {
    fn open(mut self) -> Result<End, StoreError> {
        let Self { files, segment, size, mark, cut, .. } = self;
        let path = segment.path();
        let (mut end, durable) = self.begin()?;
        let file = files.get(&path, false)?;
        let scanner = Scanner { file: &file, path: &path, segment: segment.base, mark, end: size };
        loop {
            match scanner.step(end.position, end.next)? {
                Step::Chunk(chunk) => self.add(&chunk, &mut end),
                Step::Bad { why, to: Some((to, next)), .. } => {
                    let done = "left out; what follows is read";
                    (self.report)(end.position, end.next..next.base, why.to_owned(), done);
                    (end.position, end.next) = (to, next.base);
                }
                Step::Bad { why, header, to: None } => {
                    if self.is_torn(why, header, &durable, &mut end) && end.sound && cut {
                        let done = "a write that a crash cut off was removed; it had not been answered";
                        (self.report)(end.position, end.next..end.next, why.to_owned(), done);
                        let cut = file.set_len(end.position).and_then(|()| file.sync());
                        cut.map_err(|e| files.error("cut", &path, e))?;
                    }
                    break;
                }
                Step::End => break,
            }
        }
        if cut && !end.closed {
            // The process may have ended between writing and syncing: what is read from now on must stay so.
            file.sync().map_err(|e| files.error("sync", &path, e))?;
        }
        if end.next < durable.offset {
            let why = "the file ends too early".to_owned();
            let done = "left out; a new segment was begun";
            (self.report)(end.position, end.next..durable.offset, why, done);
            end.next = durable.offset;
            end.sound = false;
        }
        end.empty = end.next == segment.base;
        Ok(end)
    }

    /// Where to begin, and the last place that was durable once.
    fn begin(&self) -> Result<(End, IndexEntry), StoreError> {
        let Self { size, sound, .. } = *self;
        let mut index = self.segment.index(self.files)?;
        // What the index speaks of was durable.
        let durable = index.last().copied().unwrap_or(IndexEntry::NONE);
        let index_written = index.len().saturating_sub(1);
        index.truncate(index.partition_point(|e| e.position <= size).max(1));
        let from = index.last().copied().unwrap_or(IndexEntry::NONE);
        let end = End {
            next: from.offset,
            position: from.position,
            // Not known without the header.
            time_max: if from.time_before == i64::MAX { i64::MIN } else { from.time_before },
            index_written,
            sound: sound && durable.position <= size,
            empty: false,
            closed: sound && durable.kind == IndexKind::End && durable.position == size,
            index,
        };
        Ok((end, durable))
    }

    fn add(&self, chunk: &Chunk, end: &mut End) {
        let mut indexed = end.index.last().map_or(0, |e| e.position);
        for (at, block) in &chunk.blocks {
            let position = chunk.position + *at as u64;
            if position >= indexed + self.files.index_bytes {
                let (offset, time_before, kind) = (block.base, end.time_max, IndexKind::Block);
                end.index.push(IndexEntry { offset, position, time_before, kind });
                indexed = position;
            }
            end.time_max = end.time_max.max(block.time_max);
        }
        (end.position, end.next) = (chunk.end(), chunk.next());
    }

    /// Whether what stands at the end, and is no block, is a write that a crash cut off. If not, it was written whole
    /// once, and is left out.
    fn is_torn(
        &mut self,
        why: &str,
        header: Option<BlockHeader>,
        durable: &IndexEntry,
        end: &mut End,
    ) -> bool {
        let in_index = end.position == durable.position && durable.kind == IndexKind::Block;
        if !in_index || end.index_written == 0 {
            return true;
        }
        let most = (self.size - end.position) / ENTRY_HEADER as u64 + 1;
        let next = header.map_or(end.next + most, |h| h.next());
        let done = "left out; a new segment was begun";
        (self.report)(end.position, end.next..next, why.to_owned(), done);
        end.next = next;
        end.sound = false;
        false
    }
}
