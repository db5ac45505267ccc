//! Rows to files, one set a window.

use super::part::Part;
use super::shelf::{Prepared, Shelf, Written, place};
use super::temporary::{Owner, sync_folder_of};
use super::{RowEncoder, WriteNode};
use arrow_schema::SchemaRef;
use bytes::Bytes;
use purlin_api::source::BoxFuture;
use purlin_api::{Batch, EventTime, Result, Sink, Window};
use std::collections::BTreeMap;

/// Most file handles held at once.
const OPEN_FILES_MAX: usize = 64;
/// A file is written to when this many bytes wait for it.
const FILE_BUFFER_BYTES: usize = 256 << 10;
/// All files are written to when this many bytes wait.
const BUFFER_BYTES_MAX: usize = 16 << 20;

/// A running file writer.
pub(crate) struct FilesSink {
    node: WriteNode,
    shelf: Shelf,
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
}

impl FilesSink {
    /// A writer that has written nothing.
    pub(super) fn new(node: WriteNode, owner: Owner) -> Self {
        FilesSink {
            shelf: Shelf::new(node.target.clone(), node.target.compression.extension(), owner),
            node,
            schema: None,
            parts: BTreeMap::new(),
            turn: 0,
            clock: 0,
            buffered: 0,
            open: 0,
            watermark: EventTime::MIN,
            epoch: 1,
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
        let mut part = Part::new(self.shelf.like(&key.0)?, self.node.target.compression);
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
                idle.close(&self.shelf.owner)?;
                self.open -= 1;
                self.buffered = self.buffered.saturating_sub(waiting);
            }
        }
        let Some(part) = self.parts.get_mut(key) else { return Ok(()) };
        self.open += usize::from(!part.is_open());
        self.buffered = self.buffered.saturating_sub(part.buffer.len());
        part.used = clock;
        part.flush(&self.shelf.owner)
    }

    /// Ends these files, makes them safe and gives them their names, under which they are not shown yet.
    fn complete(&mut self, keys: &[(Window, usize)]) -> Result<()> {
        let names = self.shelf.names(keys)?;
        let mut ended = Vec::new();
        for (key, path) in keys.iter().zip(names) {
            let Some(part) = self.parts.get_mut(key) else { continue };
            self.node.encoder.epilogue(&mut part.buffer);
            let bytes = part.seal(&self.shelf.owner)?;
            let open = Written::open(&part.temporary, key, bytes, part.rows, part.since);
            ended.push(Written { path: Some(path), ..open });
        }
        // Rows that come for them from now on go to new files.
        keys.iter().for_each(|key| drop(self.parts.remove(key)));
        self.shelf.ready.extend(ended);
        self.count();
        Ok(())
    }

    fn count(&mut self) {
        self.open = self.parts.values().filter(|p| p.is_open()).count();
        self.buffered = self.parts.values().map(|p| p.buffer.len()).sum();
    }

    /// Makes complete files ready, and with `all` the others safe.
    fn prepare_now(&mut self, all: bool) -> Result<Bytes> {
        let complete = |w: &Window| self.shelf.is_complete(w, &self.node.windowing, self.watermark, all);
        let keys: Vec<_> = self.parts.keys().filter(|(w, _)| complete(w)).cloned().collect();
        self.complete(&keys)?;
        let mut open = Vec::new();
        for (key, part) in self.parts.iter_mut().filter(|_| all) {
            let bytes = part.seal(&self.shelf.owner)?;
            open.push(Written::open(&part.temporary, key, bytes, part.rows, part.since));
        }
        if let Some(file) = open.first().or(self.shelf.ready.first()).filter(|_| all) {
            sync_folder_of(&file.temporary)?;
        }
        self.count();
        let prepared = self.shelf.prepared(self.turn, open)?;
        if all && self.shelf.owner.goes_on {
            self.parts.values_mut().for_each(Part::keep);
        }
        Ok(prepared)
    }

    fn restore_now(&mut self, epoch: u64, prepared: &[Bytes]) -> Result<()> {
        let (open, turn) = self.shelf.restore(prepared)?;
        for file in open {
            let key = place(&self.parts, &file);
            self.parts.insert(key, Part::adopt(file, self.node.target.compression)?);
        }
        self.turn = turn;
        self.epoch = epoch + 1;
        Ok(())
    }

    /// Ends all files.
    fn complete_all(&mut self) -> Result<()> {
        if self.parts.is_empty() && self.shelf.is_empty() && self.node.target.file_if_empty {
            let part = Part::new(self.shelf.like(&Window::Global)?, self.node.target.compression);
            self.parts.insert((Window::Global, 0), part);
        }
        let keys: Vec<_> = self.parts.keys().cloned().collect();
        self.complete(&keys)
    }

    fn prepare_end_now(&mut self) -> Result<Bytes> {
        self.complete_all()?;
        self.shelf.prepared_end(self.turn)
    }

    fn finish_now(&mut self) -> Result<()> {
        self.complete_all()?;
        self.shelf.show()
    }
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
        let prepared = self.prepare_end_now();
        self.epoch = epoch + 1;
        Box::pin(std::future::ready(prepared))
    }

    fn waiting_since(&self) -> Option<u64> {
        self.parts.values().map(|part| part.since).min()
    }

    fn commit(&mut self, _: u64, prepared: Bytes) -> BoxFuture<'_, Result<()>> {
        let prepared = Prepared::read(&prepared);
        let done = prepared.and_then(|p| p.map_or(Ok(()), |p| self.shelf.commit(&p)));
        Box::pin(std::future::ready(done))
    }

    fn restore(&mut self, epoch: u64, prepared: Vec<Bytes>) -> BoxFuture<'_, Result<()>> {
        Box::pin(std::future::ready(self.restore_now(epoch, &prepared)))
    }

    fn finish(&mut self) -> BoxFuture<'_, Result<()>> {
        Box::pin(std::future::ready(self.finish_now()))
    }

    fn abort(&mut self) {
        self.parts.values_mut().for_each(Part::abandon);
        self.parts.clear();
        self.shelf.abort();
    }

    fn made(&self) -> Vec<String> {
        self.shelf.made.clone()
    }
}
