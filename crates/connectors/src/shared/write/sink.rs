//! Rows to files, one set a window.

use super::part::{Part, publish, sync_folder_of};
use super::{RowEncoder, WriteNode};
use arrow_schema::SchemaRef;
use bytes::Bytes;
use purlin_api::source::BoxFuture;
use purlin_api::{Batch, Error, EventTime, Result, Sink, Window};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Most file handles held at once.
const OPEN_FILES_MAX: usize = 64;
/// A file is written to when this many bytes wait for it.
const FILE_BUFFER_BYTES: usize = 256 << 10;
/// All files are written to when this many bytes wait.
const BUFFER_BYTES_MAX: usize = 16 << 20;

/// What stands in a checkpoint of one file.
#[derive(Debug, Serialize, Deserialize)]
struct Prepared {
    temporary: String,
    /// Its name, if it is complete.
    path: Option<String>,
    bytes: u64,
    rows: u64,
    /// Start and end of its window; `None` for the global one.
    window: Option<(i64, i64)>,
    shard: usize,
}

/// A running file writer.
pub(crate) struct FilesSink {
    node: WriteNode,
    schema: Option<SchemaRef>,
    parts: BTreeMap<(Window, usize), Part>,
    /// Rows of each window so far, to spread them over shards.
    turn: u64,
    /// Counts writes, to find the file that was not used for longest.
    clock: u64,
    buffered: usize,
    open: usize,
    watermark: EventTime,
    /// The epoch that rows written now belong to.
    epoch: u64,
    /// The first epoch with rows in files that are not complete, at the last `prepare`.
    waiting_since: Option<u64>,
    made: Vec<String>,
}

impl FilesSink {
    /// A writer that has written nothing.
    pub(super) fn new(node: WriteNode) -> Self {
        FilesSink {
            node,
            schema: None,
            parts: BTreeMap::new(),
            turn: 0,
            clock: 0,
            buffered: 0,
            open: 0,
            watermark: EventTime::MIN,
            epoch: 1,
            waiting_since: None,
            made: Vec::new(),
        }
    }

    fn take(&mut self, batch: &Batch) -> Result<()> {
        let schema = self.schema.get_or_insert_with(|| batch.schema()).clone();
        let encoder = self.node.encoder.clone();
        let mut rows = encoder.rows(&batch.rows);
        if !self.node.target.windowed {
            return self.put(&Window::Global, 0..batch.len(), &schema, rows.as_mut());
        }
        if let Some(window) = batch.windows.single() {
            return self.put(window, 0..batch.len(), &schema, rows.as_mut());
        }
        let mut of_window = vec![Vec::new(); batch.windows.values().len()];
        for row in 0..batch.len() {
            if let Some(rows) = of_window.get_mut(batch.windows.key(row)) {
                rows.push(row);
            }
        }
        for (window, indices) in batch.windows.values().iter().zip(of_window) {
            self.put(window, indices.into_iter(), &schema, rows.as_mut())?;
        }
        Ok(())
    }

    /// Writes rows of one window.
    fn put(
        &mut self,
        window: &Window,
        rows: impl ExactSizeIterator<Item = usize>,
        schema: &SchemaRef,
        encoder: &mut dyn RowEncoder,
    ) -> Result<()> {
        if rows.len() == 0 {
            return Ok(());
        }
        let shards = self.node.target.shards.max(1);
        let mut of_shard = vec![Vec::new(); shards];
        for row in rows {
            let shard = (self.turn % shards as u64) as usize;
            self.turn += 1;
            if let Some(rows) = of_shard.get_mut(shard) {
                rows.push(row);
            }
        }
        for (shard, rows) in of_shard.into_iter().enumerate().filter(|(_, rows)| !rows.is_empty()) {
            let key = (window.clone(), shard);
            self.begin(&key, schema)?;
            let mut rows = rows.into_iter().peekable();
            while rows.peek().is_some() {
                let Some(part) = self.parts.get_mut(&key) else { break };
                let before = part.buffer.len();
                while part.buffer.len() < FILE_BUFFER_BYTES {
                    let Some(row) = rows.next() else { break };
                    encoder.write(row, part.rows == 0, &mut part.buffer)?;
                    part.rows += 1;
                }
                self.buffered += part.buffer.len() - before;
                if part.buffer.len() >= FILE_BUFFER_BYTES {
                    self.flush(&key)?;
                }
            }
        }
        if self.buffered > BUFFER_BYTES_MAX {
            let keys: Vec<_> =
                self.parts.iter().filter(|(_, p)| !p.buffer.is_empty()).map(|(k, _)| k.clone()).collect();
            keys.iter().try_for_each(|k| self.flush(k))?;
        }
        Ok(())
    }

    /// Makes a file for a window and shard that has none.
    fn begin(&mut self, key: &(Window, usize), schema: &SchemaRef) -> Result<()> {
        if self.parts.contains_key(key) {
            return Ok(());
        }
        let like = self.node.target.stem(&key.0)?;
        let mut part = Part::new(&like, self.node.target.compression);
        part.since = self.epoch;
        self.node.encoder.prologue(schema, &mut part.buffer);
        self.buffered += part.buffer.len();
        self.parts.insert(key.clone(), part);
        Ok(())
    }

    fn flush(&mut self, key: &(Window, usize)) -> Result<()> {
        self.clock += 1;
        let clock = self.clock;
        if self.open >= OPEN_FILES_MAX && self.parts.get(key).is_some_and(|p| !p.is_open()) {
            let idle = self.parts.values_mut().filter(|p| p.is_open()).min_by_key(|p| p.used);
            if let Some(idle) = idle {
                let waiting = idle.buffer.len();
                idle.close()?;
                self.open -= 1;
                self.buffered = self.buffered.saturating_sub(waiting);
            }
        }
        let Some(part) = self.parts.get_mut(key) else { return Ok(()) };
        self.open += usize::from(!part.is_open());
        self.buffered = self.buffered.saturating_sub(part.buffer.len());
        part.used = clock;
        part.flush()
    }

    /// Ends complete files and makes them safe, `all` others too; the answer tells their lengths.
    fn seal(&mut self, complete: impl Fn(&Window) -> bool, all: bool) -> Result<Vec<Prepared>> {
        let mut sealed = Vec::new();
        for ((window, shard), part) in &mut self.parts {
            if complete(window) {
                self.node.encoder.epilogue(&mut part.buffer);
            } else if !all {
                continue;
            }
            let bytes = part.seal()?;
            let window = match window {
                Window::Global => None,
                other => Some((other.start().0, other.end().0)),
            };
            let temporary = part.temporary.clone();
            sealed.push(Prepared { temporary, path: None, bytes, rows: part.rows, window, shard: *shard });
        }
        self.open = self.parts.values().filter(|p| p.is_open()).count();
        self.buffered = self.parts.values().map(|p| p.buffer.len()).sum();
        let names = self.names(complete)?;
        for (prepared, path) in sealed.iter_mut().zip(names.into_iter().filter(|n| all || n.is_some())) {
            prepared.path = path;
        }
        Ok(sealed)
    }

    /// The names of complete files, in the order of the parts. Shards are numbered by window.
    fn names(&self, complete: impl Fn(&Window) -> bool) -> Result<Vec<Option<String>>> {
        let mut shards: BTreeMap<&Window, usize> = BTreeMap::new();
        self.parts.keys().for_each(|(w, _)| *shards.entry(w).or_default() += 1);
        let mut names = Vec::with_capacity(self.parts.len());
        let mut number = 0;
        let mut last: Option<&Window> = None;
        for (window, _) in self.parts.keys() {
            number = if last == Some(window) { number + 1 } else { 0 };
            last = Some(window);
            if !complete(window) {
                names.push(None);
                continue;
            }
            let count = shards.get(window).copied().unwrap_or(1);
            names.push(Some(self.name(window, number, count)?));
        }
        Ok(names)
    }

    fn name(&self, window: &Window, shard: usize, shards: usize) -> Result<String> {
        self.node.target.name(window, shard, shards, self.node.target.compression.extension())
    }

    fn prepare_now(&mut self, all: bool) -> Result<Bytes> {
        let (bounded, watermark, windowing) =
            (self.node.target.bounded, self.watermark, self.node.windowing.clone());
        let complete = |w: &Window| !bounded && *w != Window::Global && windowing.expiry(w) <= watermark;
        let prepared = self.seal(complete, all)?;
        let open = self.parts.iter().filter(|((window, _), _)| !complete(window));
        self.waiting_since = open.map(|(_, part)| part.since).min();
        listed(&prepared)
    }

    fn prepare_all(&mut self) -> Result<Bytes> {
        let prepared = self.seal(|_| true, true)?;
        self.waiting_since = None;
        listed(&prepared)
    }

    fn commit_now(&mut self, prepared: &Bytes) -> Result<()> {
        if prepared.is_empty() {
            return Ok(());
        }
        let list: Vec<Prepared> = serde_json::from_slice(prepared)
            .map_err(|e| Error::internal(format!("the list of prepared files is unreadable: {e}")))?;
        for p in list {
            let window = p.window.map_or(Window::Global, |(start, end)| Window::interval(start, end));
            let key = (window, p.shard);
            let is_ours = self.parts.get(&key).is_some_and(|part| part.temporary == p.temporary);
            match p.path {
                Some(path) => {
                    self.publish(&p.temporary, path)?;
                    if is_ours {
                        self.parts.remove(&key);
                    }
                }
                None => match self.parts.get_mut(&key) {
                    Some(part) if is_ours => part.safe_bytes = p.bytes,
                    Some(_) => {}
                    None => {
                        let compression = self.node.target.compression;
                        let part = Part::adopt(p.temporary, compression, p.bytes, p.rows)?;
                        self.parts.insert(key, part);
                    }
                },
            }
        }
        Ok(())
    }

    fn publish(&mut self, temporary: &str, path: String) -> Result<()> {
        publish(temporary, &path)?;
        sync_folder_of(&path)?;
        self.made.push(path);
        Ok(())
    }

    fn finish_now(&mut self) -> Result<()> {
        if self.parts.is_empty() && self.made.is_empty() && self.node.target.file_if_empty {
            let part = Part::new(&self.node.target.prefix, self.node.target.compression);
            self.parts.insert((Window::Global, 0), part);
        }
        let mut folders = BTreeSet::new();
        for prepared in self.seal(|_| true, true)? {
            let Some(path) = prepared.path else { continue };
            publish(&prepared.temporary, &path)?;
            folders.insert(crate::shared::path::split(&path).0.to_owned());
            self.made.push(path);
        }
        self.parts.clear();
        folders.iter().try_for_each(|f| sync_folder_of(f))
    }
}

fn listed(prepared: &[Prepared]) -> Result<Bytes> {
    serde_json::to_vec(prepared)
        .map(Bytes::from)
        .map_err(|e| Error::internal(format!("the files written so far cannot be listed: {e}")))
}

impl Sink for FilesSink {
    fn write(&mut self, batch: Batch) -> BoxFuture<'_, Result<()>> {
        Box::pin(std::future::ready(self.take(&batch)))
    }

    fn on_watermark(&mut self, to: EventTime) -> BoxFuture<'_, Result<()>> {
        self.watermark = to;
        Box::pin(std::future::ready(Ok(())))
    }

    fn prepare(&mut self, epoch: u64) -> BoxFuture<'_, Result<Bytes>> {
        let prepared = self.prepare_now(true);
        self.epoch = epoch + 1;
        Box::pin(std::future::ready(prepared))
    }

    fn prepare_visible(&mut self, epoch: u64) -> BoxFuture<'_, Result<Bytes>> {
        let prepared = self.prepare_now(false);
        self.epoch = epoch + 1;
        Box::pin(std::future::ready(prepared))
    }

    fn prepare_end(&mut self, epoch: u64) -> BoxFuture<'_, Result<Bytes>> {
        let prepared = self.prepare_all();
        self.epoch = epoch + 1;
        Box::pin(std::future::ready(prepared))
    }

    fn waiting_since(&self) -> Option<u64> {
        self.waiting_since
    }

    fn commit(&mut self, _: u64, prepared: Bytes) -> BoxFuture<'_, Result<()>> {
        Box::pin(std::future::ready(self.commit_now(&prepared)))
    }

    fn finish(&mut self) -> BoxFuture<'_, Result<()>> {
        Box::pin(std::future::ready(self.finish_now()))
    }

    fn abort(&mut self) {
        self.parts.values_mut().for_each(Part::abandon);
        self.parts.clear();
    }

    fn made(&self) -> Vec<String> {
        self.made.clone()
    }
}
