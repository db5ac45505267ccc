//! The sink for formats that cannot be continued once a file has its end (Parquet, Avro).
//!
//! As in the sink for lines, rows go to hidden files that get their names when they are complete. A file
//! with an end cannot be cut back to a checkpoint, so that at a checkpoint every open file is ended: a
//! window's files are then one more shard each.

use super::Target;
use super::part::{create, publish, sync_folder_of, temporary_name};
use arrow_array::{RecordBatch, UInt32Array};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use arrow_select::take::take_record_batch;
use bytes::Bytes;
use purlin_api::source::BoxFuture;
use purlin_api::transform::{BuildCx, Distribution};
use purlin_api::unite::conform;
use purlin_api::{Batch, Error, EventTime, Output, PlanNode, Result, Running, Sink, Window, Windowing};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::sync::Arc;

/// Writers hold at most about this many bytes together; then the fullest ones must write.
const WAITING_BYTES_MAX: usize = 64 << 20;
/// Bytes gathered before a file is opened and written to.
const APPEND_BYTES: usize = 16 << 10;

/// A file format whose files have an end.
pub(crate) trait PieceFormat: std::fmt::Debug + Send + Sync {
    /// Begins a file.
    fn begin(&self, out: PieceFile, schema: &SchemaRef) -> Result<Box<dyn PieceWriter>>;
    /// For `explain`.
    fn describe(&self) -> String;
}

/// A file being written.
pub(crate) trait PieceWriter: Send {
    /// Takes rows.
    fn write(&mut self, rows: &RecordBatch) -> Result<()>;
    /// About how many bytes of rows are held in memory.
    fn waiting_bytes(&self) -> usize;
    /// Writes what is held.
    fn flush(&mut self) -> Result<()>;
    /// Writes what is held, and the end.
    fn finish(self: Box<Self>) -> Result<()>;
}

/// A file that is open only while bytes are appended: thousands of windows need no more handles than one.
pub(crate) type PieceFile = BufWriter<Append>;

/// Appends to a file that exists.
#[derive(Debug)]
pub(crate) struct Append {
    path: String,
}

impl Append {
    fn open(&self) -> std::io::Result<File> {
        OpenOptions::new().append(true).open(&self.path)
    }
}

impl Write for Append {
    fn write(&mut self, buf: &[u8]) -> std::io::Result<usize> {
        self.open()?.write_all(buf)?;
        Ok(buf.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The schema that files of these rows get: our fields without the marks that only we understand.
pub(crate) fn plain(schema: &Schema) -> SchemaRef {
    fn plain_field(f: &Field) -> Field {
        let data_type = match f.data_type() {
            DataType::List(i) => DataType::List(Arc::new(plain_field(i))),
            DataType::Struct(inner) => DataType::Struct(inner.iter().map(|f| plain_field(f)).collect()),
            DataType::Map(e, sorted) => DataType::Map(Arc::new(plain_field(e)), *sorted),
            other => other.clone(),
        };
        Field::new(f.name(), data_type, f.is_nullable())
    }
    Arc::new(Schema::new(schema.fields().iter().map(|f| plain_field(f)).collect::<Vec<_>>()))
}

/// A bound writer of such files.
#[derive(Clone, Debug)]
pub(crate) struct PieceNode {
    pub(crate) format: Arc<dyn PieceFormat>,
    pub(crate) target: Target,
    /// What comes after the names.
    pub(crate) suffix: String,
    pub(crate) windowing: Arc<Windowing>,
    /// The schema of the rows, for a file without any.
    pub(crate) schema: SchemaRef,
}

impl PlanNode for PieceNode {
    fn outputs(&self) -> &[Output] {
        &[]
    }

    fn explain(&self) -> String {
        let per = if self.target.windowed { ", per window" } else { "" };
        format!("{}; {}-*{}{per}", self.format.describe(), self.target.prefix, self.suffix)
    }

    fn distribution(&self, _: usize) -> Distribution {
        // The numbers of shards are counted in one place.
        Distribution::Single
    }

    fn claims(&self) -> Vec<String> {
        if self.target.beam_compat { Vec::new() } else { vec![format!("files `{}-*`", self.target.prefix)] }
    }

    fn build(&self, cx: &BuildCx) -> Result<Running> {
        let node = PieceNode { target: self.target.in_run(&cx.environment), ..self.clone() };
        Ok(Running::Sink(Box::new(PiecesSink::new(node))))
    }
}

/// A file of a window.
struct Piece {
    temporary: String,
    /// `None` once it has its end.
    writer: Option<Box<dyn PieceWriter>>,
    /// Which of the window's shards its rows are; ended files take no more.
    shard: usize,
    /// The name it is to get, once it is known.
    path: Option<String>,
    /// Whether a checkpoint relies on it.
    safe: bool,
    /// The epoch of its first row.
    since: u64,
}

/// What stands in a checkpoint of one file.
#[derive(Debug, Serialize, Deserialize)]
struct Prepared {
    temporary: String,
    /// Its name, if its window is complete.
    path: Option<String>,
    /// Start and end of its window; `None` for the global one.
    window: Option<(i64, i64)>,
}

/// A running writer.
struct PiecesSink {
    node: PieceNode,
    pieces: BTreeMap<Window, Vec<Piece>>,
    /// Rows so far, to spread them over shards.
    turn: u64,
    watermark: EventTime,
    /// The epoch that rows written now belong to.
    epoch: u64,
    made: Vec<String>,
}

impl PiecesSink {
    fn new(node: PieceNode) -> Self {
        PiecesSink {
            node,
            pieces: BTreeMap::new(),
            turn: 0,
            watermark: EventTime::MIN,
            epoch: 1,
            made: Vec::new(),
        }
    }

    fn take(&mut self, batch: &Batch) -> Result<()> {
        let rows = conform(&batch.rows, &plain(batch.rows.schema_ref()))?;
        if !self.node.target.windowed {
            return self.put(&Window::Global, &rows);
        }
        if let Some(window) = batch.windows.single() {
            return self.put(window, &rows);
        }
        let mut of_window = vec![Vec::new(); batch.windows.values().len()];
        for row in 0..batch.len() {
            if let Some(indices) = of_window.get_mut(batch.windows.key(row)) {
                indices.push(row as u32);
            }
        }
        for (window, indices) in batch.windows.values().iter().zip(of_window) {
            self.put(window, &take_record_batch(&rows, &UInt32Array::from(indices))?)?;
        }
        Ok(())
    }

    /// Writes rows of one window.
    fn put(&mut self, window: &Window, rows: &RecordBatch) -> Result<()> {
        if rows.num_rows() == 0 {
            return Ok(());
        }
        let shards = self.node.target.shards.max(1);
        if shards == 1 {
            self.append(window, 0, rows)?;
            return self.settle();
        }
        let mut of_shard = vec![Vec::new(); shards];
        for row in 0..rows.num_rows() {
            let shard = (self.turn % shards as u64) as usize;
            self.turn += 1;
            if let Some(indices) = of_shard.get_mut(shard) {
                indices.push(row as u32);
            }
        }
        for (shard, indices) in of_shard.into_iter().enumerate().filter(|(_, i)| !i.is_empty()) {
            self.append(window, shard, &take_record_batch(rows, &UInt32Array::from(indices))?)?;
        }
        self.settle()
    }

    fn append(&mut self, window: &Window, shard: usize, rows: &RecordBatch) -> Result<()> {
        let open = |p: &Piece| p.shard == shard && p.writer.is_some();
        if !self.pieces.get(window).is_some_and(|all| all.iter().any(open)) {
            self.begin(window, shard, rows.schema_ref())?;
        }
        let pieces = self.pieces.entry(window.clone()).or_default();
        match pieces.iter_mut().find(|p| open(p)).and_then(|p| p.writer.as_mut()) {
            Some(writer) => writer.write(rows),
            None => Err(Error::internal("a file that was begun is not there")),
        }
    }

    fn begin(&mut self, window: &Window, shard: usize, schema: &SchemaRef) -> Result<()> {
        let like = self.node.target.stem(window)?;
        let temporary = temporary_name(&like);
        create(&temporary)?;
        let pieces = self.pieces.entry(window.clone()).or_default();
        pieces.push(Piece {
            temporary: temporary.clone(),
            writer: None,
            shard,
            path: None,
            safe: false,
            since: self.epoch,
        });
        let out = BufWriter::with_capacity(APPEND_BYTES, Append { path: temporary });
        let writer = self.node.format.begin(out, schema)?;
        if let Some(last) = pieces.last_mut() {
            last.writer = Some(writer);
        }
        Ok(())
    }

    /// Lets the fullest writers write until not too much is held.
    fn settle(&mut self) -> Result<()> {
        let mut writers: Vec<_> =
            self.pieces.values_mut().flatten().filter_map(|p| p.writer.as_mut()).collect();
        let mut waiting: usize = writers.iter().map(|w| w.waiting_bytes()).sum();
        if waiting <= WAITING_BYTES_MAX {
            return Ok(());
        }
        writers.sort_by_key(|w| std::cmp::Reverse(w.waiting_bytes()));
        for writer in writers {
            let before = writer.waiting_bytes();
            writer.flush()?;
            waiting = waiting.saturating_sub(before);
            if waiting <= WAITING_BYTES_MAX / 2 {
                break;
            }
        }
        Ok(())
    }

    /// Ends the files of complete windows (`all`: of others too), makes them safe and gives complete ones their names.
    fn seal(&mut self, complete: impl Fn(&Window) -> bool, all: bool) -> Result<()> {
        let due = self.pieces.iter_mut().filter(|(w, _)| all || complete(w));
        for piece in due.flat_map(|(_, pieces)| pieces) {
            let Some(writer) = piece.writer.take() else { continue };
            writer.finish()?;
            let sync = || OpenOptions::new().append(true).open(&piece.temporary)?.sync_all();
            sync().map_err(|e| Error::io("write", &piece.temporary, e))?;
        }
        let mut names = Vec::new();
        for (window, pieces) in self.pieces.iter().filter(|(w, _)| complete(w)) {
            let named = pieces.iter().filter(|p| p.path.is_some()).count();
            let unnamed = pieces.iter().enumerate().filter(|(_, p)| p.path.is_none()).map(|(i, _)| i);
            for (number, i) in (named..).zip(unnamed) {
                names.push((window.clone(), i, self.name(window, number, pieces.len())?));
            }
        }
        for (window, i, name) in names {
            if let Some(piece) = self.pieces.get_mut(&window).and_then(|p| p.get_mut(i)) {
                piece.path = Some(name);
            }
        }
        Ok(())
    }

    fn name(&self, window: &Window, shard: usize, shards: usize) -> Result<String> {
        self.node.target.name(window, shard, shards, &self.node.suffix)
    }

    fn prepare_now(&mut self, all: bool) -> Result<Bytes> {
        let (bounded, watermark, windowing) =
            (self.node.target.bounded, self.watermark, self.node.windowing.clone());
        self.seal(|w| !bounded && *w != Window::Global && windowing.expiry(w) <= watermark, all)?;
        self.listed(all)
    }

    fn listed(&self, all: bool) -> Result<Bytes> {
        let mut list = Vec::new();
        for (window, pieces) in &self.pieces {
            let window = match window {
                Window::Global => None,
                other => Some((other.start().0, other.end().0)),
            };
            list.extend(pieces.iter().filter(|p| all || p.path.is_some()).map(|p| Prepared {
                temporary: p.temporary.clone(),
                path: p.path.clone(),
                window,
            }));
        }
        serde_json::to_vec(&list)
            .map(Bytes::from)
            .map_err(|e| Error::internal(format!("the files written so far cannot be listed: {e}")))
    }

    fn commit_now(&mut self, prepared: &Bytes) -> Result<()> {
        if prepared.is_empty() {
            return Ok(());
        }
        let list: Vec<Prepared> = serde_json::from_slice(prepared)
            .map_err(|e| Error::internal(format!("the list of prepared files is unreadable: {e}")))?;
        for p in list {
            let window = p.window.map_or(Window::Global, |(start, end)| Window::interval(start, end));
            let pieces = self.pieces.entry(window.clone()).or_default();
            let ours = pieces.iter().position(|piece| piece.temporary == p.temporary);
            match (p.path, ours) {
                (Some(path), ours) => {
                    if let Some(i) = ours {
                        pieces.remove(i);
                    }
                    publish(&p.temporary, &path)?;
                    sync_folder_of(&path)?;
                    self.made.push(path);
                }
                (None, Some(i)) => {
                    if let Some(piece) = pieces.get_mut(i) {
                        piece.safe = true;
                    }
                }
                (None, None) => pieces.push(Piece {
                    temporary: p.temporary,
                    writer: None,
                    shard: 0,
                    path: None,
                    safe: true,
                    since: 0,
                }),
            }
            if self.pieces.get(&window).is_some_and(Vec::is_empty) {
                self.pieces.remove(&window);
            }
        }
        Ok(())
    }

    fn finish_now(&mut self) -> Result<()> {
        if self.pieces.is_empty() && self.made.is_empty() && self.node.target.file_if_empty {
            let schema = self.node.schema.clone();
            self.begin(&Window::Global, 0, &schema)?;
        }
        self.seal(|_| true, true)?;
        let mut folders = BTreeSet::new();
        for piece in std::mem::take(&mut self.pieces).into_values().flatten() {
            let Some(path) = piece.path else { continue };
            publish(&piece.temporary, &path)?;
            folders.insert(crate::shared::path::split(&path).0.to_owned());
            self.made.push(path);
        }
        folders.iter().try_for_each(|f| sync_folder_of(f))
    }
}

impl Sink for PiecesSink {
    fn prepare_end(&mut self, epoch: u64) -> BoxFuture<'_, Result<Bytes>> {
        let prepared = self.seal(|_| true, true).and_then(|()| self.listed(true));
        self.epoch = epoch + 1;
        Box::pin(std::future::ready(prepared))
    }

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

    fn waiting_since(&self) -> Option<u64> {
        self.pieces.values().flatten().filter(|p| p.path.is_none()).map(|p| p.since).min()
    }

    fn commit(&mut self, _: u64, prepared: Bytes) -> BoxFuture<'_, Result<()>> {
        Box::pin(std::future::ready(self.commit_now(&prepared)))
    }

    fn finish(&mut self) -> BoxFuture<'_, Result<()>> {
        Box::pin(std::future::ready(self.finish_now()))
    }

    fn abort(&mut self) {
        for piece in std::mem::take(&mut self.pieces).into_values().flatten().filter(|p| !p.safe) {
            drop(piece.writer);
            // The run failed already: what cannot be taken away stays as a hidden file and nothing worse.
            drop(std::fs::remove_file(&piece.temporary));
        }
    }

    fn made(&self) -> Vec<String> {
        self.made.clone()
    }
}
