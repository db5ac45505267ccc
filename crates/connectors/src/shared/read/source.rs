//! A running file reader: one lane's.

use super::errors::{ErrorRows, bad_record, fault_text};
use super::origins::Origins;
use super::pieces::Part;
use super::waiting::Waiting;
use super::work::{FileState, OpenAt, Position, Remainder, Shared, Todo, Work};
use super::{Decoder, Fate, OnBad, ReadNode, Stop};
use crate::shared::records::{Ahead, Records};
use crate::shared::scan::Framing;
use bytes::Bytes;
use purlin_api::shape::physical;
use purlin_api::source::BoxFuture;
use purlin_api::{Batch, Budget, Error, EventTime, Pull, Result, Resume, Source, SourceStatus};
use std::collections::VecDeque;
use std::sync::Arc;

/// About how many bytes one pull decodes: some milliseconds of work.
const PULL_BYTES: u64 = 2 << 20;
/// Opening a file counts as reading this many bytes.
const OPEN_COST_BYTES: u64 = 64 << 10;

/// A lane's instance of a file reader. It reads a piece, then takes the next from the queue.
pub(crate) struct FilesSource {
    node: ReadNode,
    shared: Arc<Shared>,
    work: Arc<Work>,
    held: Option<Held>,
    /// What others held before a restart, to be read first.
    inherited: VecDeque<Todo>,
    /// What it has finished; the rest is put in when the position is asked for.
    position: Position,
    /// Whether it has taken what there was before a restart.
    begun: bool,
    decoder: Box<dyn Decoder>,
    errors: Option<ErrorRows>,
    origins: Option<Origins>,
    /// Bad records of the piece at hand that are not among the errors yet.
    waiting: Waiting,
    /// The buffer of the file before.
    spare: Vec<u8>,
    ended: bool,
}

/// The piece at hand.
struct Held {
    todo: Todo,
    /// The next file, by index.
    next: usize,
    open: Option<Opened>,
}

/// The file at hand, or the part of it.
struct Opened {
    path: String,
    records: Records,
    /// How many lines of the file come before the first that is read here, if that is known.
    lines_before: Option<u64>,
    /// The file when it was opened.
    seen: FileState,
    /// Where it begins.
    start: u64,
    /// How much of it there is, and how much of that has been told as progress, in bytes.
    bytes: u64,
    told: u64,
}

impl FilesSource {
    /// A reader that takes its work from a queue.
    pub(crate) fn new(node: ReadNode, shared: Arc<Shared>) -> Result<Self> {
        let schema = match node.outputs.first() {
            Some(out) => physical(&out.shape.schema),
            None => return Err(Error::internal("a reader has no output")),
        };
        let work = shared.work();
        work.begin_lane();
        let (position, inherited) = (work.blank(), VecDeque::new());
        Ok(FilesSource {
            decoder: node.format.decoder(&schema, &node.needed),
            errors: matches!(node.on_bad, OnBad::Output { .. }).then(ErrorRows::default),
            origins: None,
            position,
            begun: false,
            inherited,
            node,
            shared,
            work,
            held: None,
            waiting: Waiting::default(),
            spare: Vec::new(),
            ended: false,
        })
    }

    /// From now on each row says which line it is.
    #[must_use]
    pub(crate) fn with_origins(mut self, tells: bool) -> Self {
        self.origins = tells.then(Origins::default);
        self
    }

    fn pull(&mut self, budget: Budget) -> Result<Pull> {
        if !std::mem::replace(&mut self.begun, true) {
            (self.position, self.inherited) = self.work.begin();
        }
        let rows_max = budget.rows_max.max(1);
        let bytes_max = PULL_BYTES.min((budget.bytes_max as u64).max(1));
        let mut pull = Pull { status: SourceStatus::Ready, watermark: EventTime::MIN, ..Pull::done() };
        let mut bytes = 0;
        while self.decoder.rows() + self.errors.as_ref().map_or(0, ErrorRows::len) < rows_max
            && bytes < bytes_max
        {
            if let Some(errors) = &mut self.errors
                && let Some((path, bad)) = self.waiting.next()
            {
                errors.push(path, bad.line, &bad.text, &bad.error)?;
                pull.read += 1;
                pull.dead += 1;
                bytes += bad.text.len() as u64;
                continue;
            }
            if self.held.as_ref().is_none_or(|h| h.open.is_none()) {
                if !self.open_next()? {
                    pull.status = SourceStatus::Done;
                    pull.watermark = EventTime::MAX;
                    break;
                }
                bytes += OPEN_COST_BYTES;
            }
            bytes += self.lines(&mut pull, rows_max, bytes_max.saturating_sub(bytes));
            bytes += self.step(&mut pull)?;
        }
        if self.decoder.rows() > 0 {
            let batch = Batch::untimed(self.decoder.finish()?);
            let batch = match &mut self.origins {
                Some(origins) => origins.tell(batch),
                None => batch,
            };
            pull.batches.push((0, batch));
        }
        if let Some(errors) = self.errors.as_mut().filter(|e| e.len() > 0) {
            pull.batches.push((1, Batch::untimed(errors.finish()?)));
        }
        self.position.read += pull.read;
        self.position.dead += pull.dead;
        self.tell_progress();
        if pull.status == SourceStatus::Done && !std::mem::replace(&mut self.ended, true) {
            self.check_threshold()?;
        }
        pull.resume = self.resume()?;
        Ok(pull)
    }

    /// Opens the next file of the piece at hand, or of the next piece. False if there is none.
    fn open_next(&mut self) -> Result<bool> {
        loop {
            let Some(held) = &mut self.held else {
                let Some(todo) = self.inherited.pop_front().or_else(|| self.work.take()) else {
                    return Ok(false);
                };
                let next = todo.left.as_ref().map_or(todo.piece.files.start, |left| left.next);
                self.held = Some(Held { todo, next, open: None });
                continue;
            };
            let resumed = held.todo.left.take().and_then(|left| left.open);
            if let Some(at) = resumed {
                let bytes = held.todo.piece.bytes;
                let part = held.todo.piece.part;
                let opened = self.open(at.path.clone(), part, bytes, Some(&at))?;
                self.put(opened)?;
                return Ok(true);
            }
            if held.next < held.todo.piece.files.end {
                let (next, part) = (held.next, held.todo.piece.part);
                held.next += 1;
                let file = self.work.file(next).ok_or_else(|| Error::internal("a piece of no file"))?;
                let bytes = if part.is_some() { held.todo.piece.bytes } else { file.bytes };
                let path = file.path.clone();
                let opened = self.open(path, part, bytes, None)?;
                self.put(opened)?;
                return Ok(true);
            }
            self.position.finish(held.todo.index);
            self.held = None;
        }
    }

    fn put(&mut self, mut opened: Opened) -> Result<()> {
        let Some(held) = &mut self.held else { return Ok(()) };
        if let (None, Some(part)) = (opened.lines_before, held.todo.piece.part) {
            opened.lines_before = self.work.told_lines_before(held.todo.index, part);
        }
        if self.origins.is_some() && opened.lines_before.is_none() {
            opened.lines_before = Some(lines_before(&self.work, &held.todo)?);
        }
        held.open = Some(opened);
        Ok(())
    }

    /// Opens a file, or a part of one, at its beginning or where its reading was left.
    fn open(&mut self, path: String, part: Option<Part>, bytes: u64, at: Option<&OpenAt>) -> Result<Opened> {
        let max = self.node.record_bytes_max;
        let start = part.map_or(0, |p| p.start);
        // Before a part's start its first line is still to be found, as if nothing had been read.
        let at = at.filter(|at| at.offset > 0 && at.offset >= start);
        let buffer = std::mem::take(&mut self.spare);
        let records = match (part, at) {
            (None, _) => Records::open(&path, self.node.format.framing(), max),
            (Some(p), None) => Records::open_range(&path, max, p.start, p.end),
            (Some(p), Some(at)) => Records::resume_range(&path, max, (at.offset, at.line), p.end),
        };
        let mut records = records?.with_buffer(buffer);
        self.decoder.open(&path)?;
        if let (None, Some(at)) = (part, at) {
            self.skip_to(&mut records, at)?;
        }
        let lines_before = if part.is_some_and(|p| p.number > 0) { None } else { Some(0) };
        let seen = FileState::of(&path).map_err(|e| Error::io("open", &path, e))?;
        Ok(Opened { path, records, lines_before, seen, start, bytes, told: 0 })
    }

    /// Moves on in a file that is read from its beginning, because what stands before the data (a header, a
    /// bracket) tells how to read the rest.
    fn skip_to(&mut self, records: &mut Records, at: &OpenAt) -> Result<()> {
        while let Some(record) = records.next()? {
            if self.decoder.at_data() {
                break;
            }
            match self.decoder.record(&record) {
                Ok(_) => {}
                Err(Stop::File(e)) => return Err(e),
                Err(Stop::Row(e)) => return Err(bad_record(&at.path, record.line, &e)),
            }
            if self.decoder.at_data() && !matches!(self.node.format.framing(), Framing::JsonArray) {
                break;
            }
        }
        records.skip_to(at.offset, at.line)
    }

    /// Lets the decoder take lines that it knows how to read, about so many bytes; returns how many they had.
    fn lines(&mut self, pull: &mut Pull, rows_max: usize, bytes_max: u64) -> u64 {
        let Some(open) = self.held.as_mut().and_then(|h| h.open.as_mut()) else { return 0 };
        // One row is left for the record behind them.
        let taken = self.decoder.rows() + self.errors.as_ref().map_or(0, ErrorRows::len);
        let rows_max = rows_max.saturating_sub(taken + 1);
        let Some(ahead) = open.records.ahead().filter(|_| rows_max > 0) else { return 0 };
        let begin_max = ahead.begin_max.min(usize::try_from(bytes_max).unwrap_or(usize::MAX));
        let (lines, bytes) = self.decoder.lines(&Ahead { begin_max, ..ahead }, rows_max);
        if let Some(origins) = &mut self.origins {
            let (_, line) = open.records.position();
            origins.push(&open.path, open.lines_before.unwrap_or(0) + line, lines);
        }
        open.records.pass(bytes, lines);
        pull.read += lines;
        bytes as u64
    }

    /// Takes the next record of the open file; returns how many bytes it had.
    fn step(&mut self, pull: &mut Pull) -> Result<u64> {
        let FilesSource { node, work, held, decoder, errors, origins, waiting, .. } = self;
        let Some(Held { todo, open: Some(open), .. }) = held else { return Ok(0) };
        let (before, _) = open.records.position();
        let Some(record) = open.records.next()? else {
            self.close()?;
            return Ok(0);
        };
        let fate = match record.fault {
            Some(fault) => Err(Stop::Row(fault_text(fault, node.record_bytes_max))),
            None => decoder.record(&record),
        };
        match fate {
            Ok(Fate::Header) => {}
            Ok(Fate::Row) => {
                pull.read += 1;
                if let Some(origins) = origins {
                    origins.push(&open.path, open.lines_before.unwrap_or(0) + record.line, 1);
                }
            }
            Ok(Fate::Skipped) => {
                pull.read += 1;
                pull.skipped += 1;
            }
            Err(Stop::File(e)) => return Err(e),
            Err(Stop::Row(_)) if node.on_bad == OnBad::Skip => {
                pull.read += 1;
                pull.dead += 1;
            }
            Err(Stop::Row(e)) => {
                // They are counted when they are given.
                let waits = waiting.push(&open.path, record.line, record.bytes, e);
                if open.lines_before.is_none() && !(waits && errors.is_some()) {
                    open.lines_before = Some(lines_before(work, todo)?);
                }
                if let Some(n) = open.lines_before {
                    waiting.release(n);
                }
                if errors.is_none()
                    && let Some((path, bad)) = waiting.next()
                {
                    return Err(bad_record(path, bad.line, &bad.error));
                }
            }
        }
        let (after, _) = open.records.position();
        Ok(after.saturating_sub(before))
    }

    /// The open file, or part, is read to its end.
    fn close(&mut self) -> Result<()> {
        let Some(held) = &mut self.held else { return Ok(()) };
        let Some(open) = held.open.take() else { return Ok(()) };
        self.work.progressed(open.bytes.saturating_sub(open.told));
        if held.todo.piece.part.is_some() {
            let (_, line) = open.records.position();
            self.work.tell_line_ends(held.todo.index, line.saturating_sub(1));
        }
        self.spare = open.records.into_buffer();
        if !self.waiting.is_empty() {
            self.waiting.release(lines_before(&self.work, &held.todo)?);
        }
        Ok(())
    }

    fn tell_progress(&mut self) {
        let Some(open) = self.held.as_mut().and_then(|h| h.open.as_mut()) else { return };
        // Inside a compressed file the offset counts what came out of it: near enough for a bar.
        let (offset, _) = open.records.position();
        let done = offset.saturating_sub(open.start).min(open.bytes);
        self.work.progressed(done.saturating_sub(open.told));
        open.told = open.told.max(done);
    }

    /// The lane that ends last judges the records of all.
    fn check_threshold(&self) -> Result<()> {
        let Some(tally) = self.work.end_lane(self.position.read, self.position.dead) else { return Ok(()) };
        let OnBad::Output { threshold: Some(threshold) } = self.node.on_bad else { return Ok(()) };
        let fraction = tally.dead as f64 / tally.read.max(1) as f64;
        if fraction <= threshold {
            return Ok(());
        }
        Err(Error::data(format!(
            "{} of {} records could not be read, more than the threshold of {threshold} that `error_handling` sets",
            tally.dead, tally.read
        )))
    }

    fn resume(&mut self) -> Result<Resume> {
        if !self.waiting.is_empty() {
            return Ok(Resume::Barrier);
        }
        self.position.inherited = self.inherited.iter().filter_map(|todo| todo.left.clone()).collect();
        self.position.held = match &self.held {
            None => None,
            Some(Held { open: Some(open), .. }) if !open.records.at_border() => return Ok(Resume::Barrier),
            Some(Held { todo, next, open }) => {
                let open = open.as_ref().map(|open| {
                    let (offset, line) = open.records.position();
                    OpenAt { path: open.path.clone(), offset, line, seen: open.seen }
                });
                Some(Remainder { piece: todo.index, next: *next, open })
            }
        };
        self.position.resume()
    }
}

/// How many lines of the file come before the piece at hand; counted, if it must be.
fn lines_before(work: &Work, todo: &Todo) -> Result<u64> {
    todo.piece.part.map_or(Ok(0), |part| work.lines_before(todo.index, part))
}

impl Source for FilesSource {
    fn next(&mut self, budget: Budget) -> BoxFuture<'_, Result<Pull>> {
        Box::pin(std::future::ready(self.pull(budget)))
    }

    fn restore(&mut self, positions: &[Bytes]) -> Result<()> {
        let framing = self.node.format.framing();
        let work = self.shared.restore(&self.node.files, framing, positions)?;
        // It may have found the restored work when it was built.
        if !Arc::ptr_eq(&work, &self.work) {
            work.begin_lane();
            self.position = work.blank();
            self.work = work;
        }
        Ok(())
    }

    fn progress(&self) -> Option<(u64, u64)> {
        Some(self.work.progress())
    }

    fn split(&mut self) -> Option<Box<dyn Source>> {
        // Another reader at the same queue; the piece at hand is never divided.
        if self.work.is_empty() {
            return None;
        }
        let other = FilesSource::new(self.node.clone(), self.shared.clone()).ok()?;
        Some(Box::new(other))
    }
}
