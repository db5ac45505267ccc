//! The sink for formats whose files have an end (Parquet, Avro).
//!
//! As in the sink for lines, rows go to hidden files that get their names when they are complete. At a checkpoint a file
//! stays open if its format can be gone on with behind what is there. Others, from the first checkpoint on, are kept as
//! spools until they are complete.

use super::Target;
use super::shelf::{Prepared, Shelf, Written, place};
use super::spool::{self, Spool};
use super::temporary::{Owner, cut, remove, sync_folder_of};
use arrow_array::{RecordBatch, UInt32Array};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use arrow_select::take::take_record_batch;
use bytes::Bytes;
use purlin_api::shape::type_name;
use purlin_api::source::BoxFuture;
use purlin_api::transform::{BuildCx, Distribution, Guarantee};
use purlin_api::unite::conform;
use purlin_api::{
    Batch, Error, EventTime, Output, PlanNode, Result, Running, Sink, StateShape, Window, Windowing,
};
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::sync::Arc;

/// Writers hold at most about this many bytes together; then the fullest ones must write.
const WAITING_BYTES_MAX: usize = 64 << 20;
/// Bytes gathered before a file is opened and written to.
pub(super) const APPEND_BYTES: usize = 16 << 10;

/// A file format whose files have an end.
pub(crate) trait PieceFormat: std::fmt::Debug + Send + Sync {
    /// Begins a file.
    fn begin(&self, out: PieceFile, schema: &SchemaRef) -> Result<Box<dyn PieceWriter>>;
    /// Goes on with a file whose writer was settled. `None` if the format does not allow it.
    fn go_on(&self, out: PieceFile, schema: &SchemaRef) -> Result<Option<Box<dyn PieceWriter>>> {
        let _ = (out, schema);
        Ok(None)
    }
    /// Gives all rows of a file that was finished, in formats that cannot be gone on with.
    fn read_back(&self, path: &str, _: &mut dyn FnMut(RecordBatch) -> Result<()>) -> Result<()> {
        Err(Error::internal(format!("`{path}` cannot be read back")))
    }
    /// Whether files can be gone on with.
    fn goes_on(&self) -> bool;
    /// What must stay the same for a file to be gone on with.
    fn means(&self) -> String {
        self.describe()
    }
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
    /// Writes what is held, all the way to the file, so that it can be gone on with behind it.
    fn settle(&mut self) -> Result<()> {
        Err(Error::internal("a file that cannot be gone on with was to stay open"))
    }
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
    pub(super) fn new(path: &str) -> Self {
        Append { path: path.to_owned() }
    }

    /// Which file.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

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

    fn state(&self) -> Option<StateShape> {
        let fields = self.schema.fields().iter();
        let fields: Vec<_> = fields.map(|f| format!("{} {}", f.name(), type_name(f))).collect();
        let format = format!("{} of {}", self.format.means(), fields.join(", "));
        Some(self.target.state(&format, &self.windowing))
    }

    fn guarantee(&self) -> Option<Guarantee> {
        Some(self.target.guarantee())
    }

    fn build(&self, cx: &BuildCx) -> Result<Running> {
        let owner = Owner::of(cx, &self.target.prefix);
        let node = PieceNode { target: self.target.in_run(&cx.environment), ..self.clone() };
        Ok(Running::Sink(Box::new(PiecesSink::new(node, owner))))
    }
}

/// A file of a window.
struct Piece {
    temporary: String,
    /// `None` if nothing was written since another process left it.
    writer: Option<Box<dyn PieceWriter>>,
    /// Whether it is a spool.
    spool: bool,
    /// Its length when it was last made safe, if nothing was written since.
    sealed: Option<u64>,
    /// Its length at the last checkpoint.
    safe: Option<u64>,
    /// The epoch of its first row.
    since: u64,
}

/// A running writer.
struct PiecesSink {
    node: PieceNode,
    shelf: Shelf,
    pieces: BTreeMap<(Window, usize), Piece>,
    /// Whether new files begin as spools.
    spooling: bool,
    /// Rows so far, to spread them over shards.
    turn: u64,
    watermark: EventTime,
    /// The epoch that rows written now belong to.
    epoch: u64,
}

impl PiecesSink {
    fn new(node: PieceNode, owner: Owner) -> Self {
        PiecesSink {
            pieces: BTreeMap::new(),
            spooling: owner.goes_on && !node.format.goes_on(),
            shelf: Shelf::new(node.target.clone(), &node.suffix, owner),
            node,
            turn: 0,
            watermark: EventTime::MIN,
            epoch: 1,
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
        let key = (window.clone(), shard);
        if !self.pieces.contains_key(&key) {
            self.begin(&key, rows.schema_ref(), self.spooling)?;
        }
        let Some(piece) = self.pieces.get_mut(&key) else {
            return Err(Error::internal("a file that was begun is not there"));
        };
        piece.sealed = None;
        if piece.writer.is_none() {
            piece.writer = go_on(self.node.format.as_ref(), piece, rows.schema_ref())?;
        }
        match &mut piece.writer {
            Some(writer) => writer.write(rows),
            None => Err(Error::internal("a file that cannot be gone on with has no spool")),
        }
    }

    fn begin(&mut self, key: &(Window, usize), schema: &SchemaRef, spool: bool) -> Result<()> {
        let (temporary, _) = self.shelf.owner.create(&self.shelf.like(&key.0)?)?;
        let piece = Piece { temporary, writer: None, spool, sealed: None, safe: None, since: self.epoch };
        let piece = self.pieces.entry(key.clone()).or_insert(piece);
        piece.writer = Some(match spool {
            true => Box::new(Spool::new(piece.temporary.clone(), schema.clone())),
            false => self.node.format.begin(piece_file(&piece.temporary), schema)?,
        });
        Ok(())
    }

    /// Lets the fullest writers write until not too much is held.
    fn settle(&mut self) -> Result<()> {
        let mut writers: Vec<_> = self.pieces.values_mut().filter_map(|p| p.writer.as_mut()).collect();
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

    /// Ends these files, makes them safe and gives them their names, under which they are not shown yet.
    fn complete(&mut self, keys: &[(Window, usize)]) -> Result<()> {
        let names = self.shelf.names(keys)?;
        let mut ended = Vec::new();
        for (key, path) in keys.iter().zip(names) {
            let Some(piece) = self.pieces.get_mut(key) else { continue };
            if let Some(writer) = piece.writer.take() {
                piece.sealed = None;
                writer.finish()?;
            }
            let open = Written::open(&piece.temporary, key, 0, 0, piece.since);
            ended.push(if piece.spool {
                let temporary = made_of(&self.node, &self.shelf, key, &piece.temporary)?;
                let bytes = sync(&temporary)?;
                let made_of = Some(piece.temporary.clone());
                Written { temporary, bytes, path: Some(path), made_of, ..open }
            } else {
                Written { bytes: piece.seal()?, path: Some(path), ..open }
            });
        }
        // Rows that come for them from now on go to new files.
        keys.iter().for_each(|key| drop(self.pieces.remove(key)));
        self.shelf.ready.extend(ended);
        Ok(())
    }

    /// Makes complete files ready, and with `all` the others safe.
    fn prepare_now(&mut self, all: bool) -> Result<Bytes> {
        let complete = |w: &Window| self.shelf.is_complete(w, &self.node.windowing, self.watermark, all);
        let keys: Vec<_> = self.pieces.keys().filter(|(w, _)| complete(w)).cloned().collect();
        self.complete(&keys)?;
        let mut open = Vec::new();
        for (key, piece) in self.pieces.iter_mut().filter(|_| all) {
            if !piece.spool && !self.node.format.goes_on() {
                piece.unwind(&self.node, &self.shelf, &key.0)?;
            }
            if piece.sealed.is_none()
                && let Some(writer) = &mut piece.writer
            {
                writer.settle()?;
            }
            let bytes = piece.seal()?;
            let file = Written::open(&piece.temporary, key, bytes, 0, piece.since);
            open.push(Written { spool: piece.spool, ..file });
        }
        if let Some(file) = open.first().or(self.shelf.ready.first()).filter(|_| all) {
            sync_folder_of(&file.temporary)?;
        }
        self.spooling |= all && !self.node.format.goes_on();
        let prepared = self.shelf.prepared(self.turn, open)?;
        if all && self.shelf.owner.goes_on {
            self.pieces.values_mut().for_each(|piece| piece.safe = piece.sealed);
        }
        Ok(prepared)
    }

    fn restore_now(&mut self, epoch: u64, prepared: &[Bytes]) -> Result<()> {
        let (open, turn) = self.shelf.restore(prepared)?;
        for file in open {
            cut(&file.temporary, file.bytes)?;
            let safe = Some(file.bytes);
            let (key, Written { temporary, spool, since, .. }) = (place(&self.pieces, &file), file);
            let piece = Piece { temporary, writer: None, spool, sealed: safe, safe, since };
            self.pieces.insert(key, piece);
        }
        self.turn = turn;
        self.epoch = epoch + 1;
        Ok(())
    }

    /// Ends all files.
    fn complete_all(&mut self) -> Result<()> {
        if self.pieces.is_empty() && self.shelf.is_empty() && self.node.target.file_if_empty {
            let schema = self.node.schema.clone();
            self.begin(&(Window::Global, 0), &schema, false)?;
        }
        let keys: Vec<_> = self.pieces.keys().cloned().collect();
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

impl Piece {
    /// Makes it survive a loss of power; returns its length.
    fn seal(&mut self) -> Result<u64> {
        let bytes = match self.sealed {
            Some(bytes) => bytes,
            None => sync(&self.temporary)?,
        };
        self.sealed = Some(bytes);
        Ok(bytes)
    }

    /// Makes a spool of a file that was begun before the first checkpoint.
    fn unwind(&mut self, node: &PieceNode, shelf: &Shelf, window: &Window) -> Result<()> {
        let Some(writer) = self.writer.take() else { return Ok(()) };
        writer.finish()?;
        let (temporary, _) = shelf.owner.create(&shelf.like(window)?)?;
        let begun = std::mem::replace(&mut self.temporary, temporary);
        (self.spool, self.sealed) = (true, None);
        let mut spool: Option<Spool> = None;
        node.format.read_back(&begun, &mut |rows| {
            let schema = node.schema.clone();
            let spool = spool.get_or_insert_with(|| Spool::new(self.temporary.clone(), schema));
            spool.write(&conform(&rows, &node.schema)?)
        })?;
        self.writer = spool.map(|spool| Box::new(spool) as Box<dyn PieceWriter>);
        remove(&begun)
    }

    /// Takes away what no checkpoint relies on. This is called when a run failed already: a failure here leaves a hidden
    /// file, or the end of one, and nothing worse.
    fn abandon(self) {
        drop(self.writer);
        drop(self.safe.map_or_else(|| remove(&self.temporary), |bytes| cut(&self.temporary, bytes)));
    }
}

fn piece_file(path: &str) -> PieceFile {
    BufWriter::with_capacity(APPEND_BYTES, Append::new(path))
}

/// A writer behind what another process left.
fn go_on(
    format: &dyn PieceFormat,
    piece: &Piece,
    schema: &SchemaRef,
) -> Result<Option<Box<dyn PieceWriter>>> {
    if piece.spool {
        return Ok(Some(Box::new(Spool::new(piece.temporary.clone(), schema.clone()))));
    }
    format.go_on(piece_file(&piece.temporary), schema)
}

/// Makes a file in its format of a spool.
fn made_of(node: &PieceNode, shelf: &Shelf, key: &(Window, usize), spool: &str) -> Result<String> {
    let (temporary, _) = shelf.owner.create(&shelf.like(&key.0)?)?;
    if let Err(e) = encode(node, spool, &temporary) {
        // A full disk gets back what it can.
        drop(remove(&temporary));
        return Err(e);
    }
    Ok(temporary)
}

fn encode(node: &PieceNode, spool: &str, temporary: &str) -> Result<()> {
    let mut writer: Option<(Box<dyn PieceWriter>, SchemaRef)> = None;
    spool::read(spool, &mut |rows| {
        if writer.is_none() {
            let schema = rows.schema();
            writer = Some((node.format.begin(piece_file(temporary), &schema)?, schema));
        }
        match &mut writer {
            Some((writer, schema)) => writer.write(&conform(&rows, schema)?),
            None => Ok(()),
        }
    })?;
    match writer {
        Some((writer, _)) => writer.finish(),
        None => node.format.begin(piece_file(temporary), &node.schema)?.finish(),
    }
}

/// Makes a file survive a loss of power; returns its length.
fn sync(path: &str) -> Result<u64> {
    let io = |e| Error::io("write", path, e);
    let file = OpenOptions::new().append(true).open(path).map_err(io)?;
    file.sync_all().map_err(io)?;
    Ok(file.metadata().map_err(io)?.len())
}

impl Sink for PiecesSink {
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
        self.pieces.values().map(|p| p.since).min()
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
        std::mem::take(&mut self.pieces).into_values().for_each(Piece::abandon);
        self.shelf.abort();
    }

    fn made(&self) -> Vec<String> {
        self.shelf.made.clone()
    }
}
