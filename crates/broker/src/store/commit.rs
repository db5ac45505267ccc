//! Writing what waits: one write and one sync for each file touched, then the answers.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use super::format::{Encoder, INDEX_ENTRY, INDEX_HEADER, IndexEntry, IndexKind, encode_index_header};
use super::log::{LogInner, Writer};
use super::queue::Item;
use super::scan::Chunk;
use super::segment::Segment;
use super::shared::Shared;
use super::{DiskFile, StoreError};

/// Writes and answers `items`.
pub(crate) fn commit(shared: &Shared, items: VecDeque<Item>) {
    let mut logs: Vec<(Arc<LogInner>, VecDeque<Item>)> = Vec::new();
    let mut places: HashMap<u64, usize> = HashMap::new();
    for item in items {
        let place = *places.entry(item.log.number).or_insert_with(|| {
            logs.push((item.log.clone(), VecDeque::new()));
            logs.len() - 1
        });
        if let Some((_, items)) = logs.get_mut(place) {
            items.push_back(item);
        }
    }
    commit_logs(logs, shared.options.commit_threads);
    // The reserve is a convenience; whoever needs it and cannot have it gets `NoSpace`.
    shared.reserve.after_commit(&shared.files).ok();
}

/// Commits each log, on several threads if there are several: the system can then do their syncs together.
fn commit_logs(logs: Vec<(Arc<LogInner>, VecDeque<Item>)>, threads: usize) {
    let lanes = threads.clamp(1, logs.len().max(1));
    let work = Mutex::new(logs.into_iter());
    let next = || work.lock().unwrap_or_else(PoisonError::into_inner).next();
    let run = || {
        while let Some((log, items)) = next() {
            log.commit(items);
        }
    };
    // They end before this does.
    std::thread::scope(|scope| {
        for _ in 1..lanes {
            // Without another thread this one does it all.
            std::thread::Builder::new().name("log-commit".to_owned()).spawn_scoped(scope, run).ok();
        }
        run();
    });
}

/// What one sync makes durable.
struct Run {
    segment: Arc<Segment>,
    file: Arc<dyn DiskFile>,
    path: String,
    mark: u64,
    /// Where the next bytes go.
    position: u64,
    encoder: Encoder,
    chunks: Vec<Arc<Chunk>>,
    /// With the offset of the first entry.
    items: Vec<(Item, u64)>,
}

impl LogInner {
    /// Writes and answers `items`, all of this log.
    pub(crate) fn commit(self: &Arc<Self>, mut items: VecDeque<Item>) {
        let mut writer = self.writer();
        while !items.is_empty() {
            if let Err((e, failed)) = self.commit_run(&mut writer, &mut items) {
                self.generation.fetch_add(1, Ordering::AcqRel);
                // What stands behind in this round would only meet the same.
                let failed = failed.into_iter().map(|(item, _)| item);
                failed.chain(items.drain(..)).for_each(|mut item| item.answer(Err(e.clone())));
            }
        }
        self.flush_index(&mut writer, self.shared.options.index_batch);
    }

    fn refusal(&self, item: &Item) -> Option<StoreError> {
        let state = self.state();
        if state.deleted {
            return Some(self.deleted_error());
        }
        if let Some(why) = &state.poisoned {
            return Some(StoreError::Poisoned { log: self.id.to_string(), why: why.clone() });
        }
        let generation = self.generation.load(Ordering::Acquire);
        let broken = item.chained.is_some_and(|g| g != generation);
        broken.then(|| StoreError::Chained { log: self.id.to_string() })
    }

    /// Writes items up to a change of segments and syncs once.
    fn commit_run(
        self: &Arc<Self>,
        writer: &mut Writer,
        items: &mut VecDeque<Item>,
    ) -> Result<(), (StoreError, Vec<(Item, u64)>)> {
        let bytes =
            items.iter().map(|i| i.batch.bytes()).sum::<usize>().min(self.shared.options.write_bytes * 3 / 2);
        let mut run: Option<Run> = None;
        while let Some(mut item) = items.pop_front() {
            if let Some(e) = self.refusal(&item) {
                item.answer(Err(e));
                continue;
            }
            let full = run.as_ref().is_some_and(|r| r.position >= self.state().options.segment_bytes);
            if run.is_some() && (full || item.replaces) {
                items.push_front(item);
                break;
            }
            let run = match &mut run {
                Some(run) => run,
                none => match self.begin_run(writer, item.replaces, bytes) {
                    Ok(begun) => none.insert(begun),
                    Err(e) => return Err((e, vec![(item, 0)])),
                },
            };
            let first = run.encoder.add(std::mem::take(&mut item.batch));
            run.items.push((item, first));
            if run.encoder.bytes() >= self.shared.options.write_bytes
                && let Err(e) = self.write(run)
            {
                return Err((e, std::mem::take(&mut run.items)));
            }
        }
        let Some(mut run) = run else { return Ok(()) };
        let done = self.write(&mut run).and_then(|()| self.sync_run(&run));
        match done {
            Ok(()) => {
                self.publish(writer, run);
                Ok(())
            }
            Err(e) => Err((e, run.items)),
        }
    }

    fn begin_run(&self, writer: &mut Writer, new_segment: bool, bytes: usize) -> Result<Run, StoreError> {
        let files = &self.shared.files;
        let (end, next, full, used) = {
            let state = self.state();
            let first = state.segments.last().is_none_or(|s| s.base == state.next);
            (state.end, state.next, state.end >= state.options.segment_bytes, !first)
        };
        let mut position = end;
        if used && (full || new_segment) {
            position = self.roll(writer)?;
        }
        let segment = self.active();
        let path = segment.path();
        let file = files.get(&path, false)?;
        let mark = segment.meta(files)?.mark;
        let encoder = Encoder::new(mark, next, self.shared.options.block_bytes, bytes);
        Ok(Run { segment, file, path, mark, position, encoder, chunks: Vec::new(), items: Vec::new() })
    }

    /// Writes what is encoded. After an error the file ends where it did before the run.
    fn write(&self, run: &mut Run) -> Result<(), StoreError> {
        let next = run.encoder.next();
        let encoder = std::mem::replace(
            &mut run.encoder,
            Encoder::new(run.mark, next, self.shared.options.block_bytes, 0),
        );
        let (bytes, blocks) = encoder.finish();
        if bytes.is_empty() {
            return Ok(());
        }
        if let Err(e) = self.write_at(run, &bytes) {
            let end = self.state().end;
            let cut = run.file.set_len(end).and_then(|()| run.file.sync());
            let error = self.shared.files.error("write", &run.path, e);
            if cut.is_err() || !error.is_no_space() {
                self.poison(&error);
            }
            return Err(error);
        }
        let position = run.position;
        run.position += bytes.len() as u64;
        let (segment, bytes) = (run.segment.base, Bytes::from(bytes));
        run.chunks.push(Arc::new(Chunk { segment, position, bytes, blocks }));
        Ok(())
    }

    fn write_at(&self, run: &Run, bytes: &[u8]) -> io::Result<()> {
        loop {
            let Err(e) = run.file.write_at(bytes, run.position) else { return Ok(()) };
            let full = matches!(e.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
            let reserve = full && self.state().options.uses_reserve;
            let files = &self.shared.files;
            if !reserve || !self.shared.reserve.give_back(bytes.len() as u64 + 65536, files).unwrap_or(false)
            {
                return Err(e);
            }
        }
    }

    fn sync_run(&self, run: &Run) -> Result<(), StoreError> {
        if let Err(e) = self.shared.sync(run.file.as_ref()) {
            // The system may have dropped what it could not write and say nothing the next time, so a second sync
            // would prove nothing.
            let e = self.shared.files.error("sync", &run.path, e);
            self.poison(&e);
            // Nor must a restart read from memory what is not on disk. If this fails too, nothing is lost by it that
            // was answered.
            run.file.set_len(self.state().end).and_then(|()| run.file.sync()).ok();
            return Err(e);
        }
        Ok(())
    }

    pub(crate) fn poison(&self, why: &StoreError) {
        self.state_mut().poisoned.get_or_insert_with(|| why.to_string());
    }

    /// Lets readers see what is durable now, and answers.
    fn publish(self: &Arc<Self>, writer: &mut Writer, run: Run) {
        let Some(next) = run.chunks.last().map(|c| c.next()) else {
            // Only empty batches.
            run.items.into_iter().for_each(|(mut item, first)| item.answer(Ok(first)));
            return;
        };
        {
            let mut state = self.state_mut();
            let mut indexed = state.index.last().map_or(0, |e| e.position);
            for chunk in &run.chunks {
                for (at, block) in &chunk.blocks {
                    let position = chunk.position + *at as u64;
                    if position >= indexed + self.shared.options.index_bytes {
                        let (offset, time_before) = (block.base, writer.time_max);
                        let kind = IndexKind::Block;
                        state.index.push(IndexEntry { offset, position, time_before, kind });
                        indexed = position;
                    }
                    writer.time_max = writer.time_max.max(block.time_max);
                }
                state.tail.push_back(chunk.clone());
            }
            state.next = next;
            state.end = run.position;
        }
        self.shared.tail.add(self, run.chunks.iter().map(|c| c.memory()));
        self.durable.send_replace(next);
        let mut replaced = None;
        for (mut item, first) in run.items {
            if item.replaces {
                replaced = Some(first);
            }
            item.answer(Ok(first));
        }
        if let Some(before) = replaced {
            // What could not be removed now is removed after the next snapshot, or when the log is opened.
            self.trim(writer, before).ok();
        }
    }

    /// Begins a new segment. All before it is durable. Gives where its first block goes.
    pub(crate) fn roll(&self, writer: &mut Writer) -> Result<u64, StoreError> {
        let files = &self.shared.files;
        self.end_index(writer);
        let next = self.state().next;
        let segment = Segment::new(&self.id, &self.folder, next);
        let meta = loop {
            let made = segment.create(files, writer.time_max);
            let Err(e) = made else { break made? };
            let reserve = e.is_no_space() && self.state().options.uses_reserve;
            if reserve && self.shared.reserve.give_back(1, files)? {
                continue;
            }
            // A segment left behind would hide what is written to this one from now on.
            if segment.remove(files).is_err() {
                self.poison(&e);
            }
            return Err(e);
        };
        let mut state = self.state_mut();
        let first = IndexEntry {
            offset: next,
            position: meta.start,
            time_before: meta.time_before,
            kind: IndexKind::Block,
        };
        state.sealed_bytes += state.end;
        state.segments.push(Arc::new(segment));
        state.end = meta.start;
        state.index = vec![first];
        writer.index_written = 0;
        Ok(meta.start)
    }

    /// Adds the end of the segment to its index.
    pub(crate) fn end_index(&self, writer: &mut Writer) {
        {
            let mut state = self.state_mut();
            let last = state.index.last().map_or(0, |e| e.position);
            if state.end > last {
                let (offset, position, time_before) = (state.next, state.end, writer.time_max);
                state.index.push(IndexEntry { offset, position, time_before, kind: IndexKind::End });
            }
        }
        self.flush_index(writer, 1);
    }

    /// Writes index entries to their file if at least `least` wait.
    fn flush_index(&self, writer: &mut Writer, least: usize) {
        let files = &self.shared.files;
        // The first entry is the start of the segment, which is not in the file.
        let skip = writer.index_written + 1;
        let waiting: Vec<IndexEntry> = self.state().index.iter().skip(skip).copied().collect();
        if waiting.len() < least || waiting.is_empty() {
            return;
        }
        let segment = self.active();
        let write = || -> Result<(), StoreError> {
            let mark = segment.meta(files)?.mark;
            let path = segment.index_path();
            let file = files.get(&path, true)?;
            let error = |e| files.error("write", &path, e);
            if writer.index_written == 0 {
                file.write_at(&encode_index_header(mark), 0).map_err(error)?;
            }
            let bytes: Vec<u8> = waiting.iter().flat_map(|e| e.encode(mark)).collect();
            let at = INDEX_HEADER + writer.index_written * INDEX_ENTRY;
            file.write_at(&bytes, at as u64).map_err(error)
        };
        // The index can be made again from the segment; the same entries are written with the next ones.
        if write().is_ok() {
            writer.index_written += waiting.len();
        }
    }
}
