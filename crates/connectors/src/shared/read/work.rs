//! What the lanes of a reader share: the queue of pieces, line numbers, progress, the count of bad records.

use super::pieces::{Cut, Part, Piece};
use crate::shared::scan::Framing;
use bytes::Bytes;
use purlin_api::{Error, FileInfo, Result, Resume, key};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeSet, VecDeque};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::UNIX_EPOCH;

/// How much is read at once where only line ends are counted, in bytes: what a core's cache holds.
const COUNT_CHUNK_BYTES: usize = 256 << 10;

/// Where one lane of a reader stands, as it is kept in a checkpoint.
///
/// The positions of all lanes at the same barrier together say what is left ([`Work::restore`]): of a piece
/// that a lane holds, what comes after its offset; of the pieces that no lane mentions, all. A lane needs to
/// know nothing of the others for that. Pieces go by their number, so the files must be the same; they are made
/// pieces of as they were.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::shared) struct Position {
    /// What is read.
    what: Stamp,
    /// The pieces this lane has finished, as runs: the first, and the first behind the last.
    finished: Vec<(usize, usize)>,
    /// What is left of the piece it holds.
    pub(in crate::shared) held: Option<Remainder>,
    /// What is left of pieces that lanes before it held, and that it has not taken up yet.
    pub(in crate::shared) inherited: Vec<Remainder>,
    /// Units this lane has read (for the first lane of a restored job: those of all lanes before too), and the bad ones
    /// among them.
    pub(in crate::shared) read: u64,
    pub(in crate::shared) dead: u64,
}

/// What tells the work of a reader from other work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Stamp {
    /// A hash of the paths and lengths of all files.
    hash: u64,
    files: usize,
    bytes: u64,
    cut: Cut,
    pieces: usize,
}

impl Stamp {
    fn of(files: &[FileInfo], cut: Cut, pieces: usize) -> Self {
        let mut text = Vec::new();
        for file in files {
            text.extend_from_slice(file.path.as_bytes());
            text.push(0);
            text.extend_from_slice(&file.bytes.to_le_bytes());
        }
        let bytes = files.iter().map(|f| f.bytes).sum();
        Stamp { hash: key::hash(&text), files: files.len(), bytes, cut, pieces }
    }
}

impl Position {
    /// Notes that a piece is finished.
    pub(in crate::shared) fn finish(&mut self, piece: usize) {
        match self.finished.last_mut() {
            Some((_, end)) if *end == piece => *end += 1,
            _ => self.finished.push((piece, piece + 1)),
        }
    }

    /// As it is kept.
    pub(in crate::shared) fn resume(&self) -> Result<Resume> {
        let bytes = serde_json::to_vec(self)
            .map_err(|e| Error::internal(format!("a file reader's position cannot be kept: {e}")))?;
        Ok(Resume::Seek(Bytes::from(bytes)))
    }
}

/// The rest of a piece.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::shared) struct Remainder {
    /// Which piece.
    pub(in crate::shared) piece: usize,
    /// Its next file, by index.
    pub(in crate::shared) next: usize,
    /// The file before that, if it is not read to its end.
    pub(in crate::shared) open: Option<OpenAt>,
}

impl Remainder {
    /// How much of the piece's files was read to the end.
    fn bytes_done(&self, piece: &Piece, files: &[FileInfo]) -> u64 {
        let closed = if self.open.is_some() { self.next.saturating_sub(1) } else { self.next };
        match piece.part {
            Some(_) if closed < piece.files.end => 0,
            Some(_) => piece.bytes,
            None => files.iter().take(closed).skip(piece.files.start).map(|f| f.bytes).sum(),
        }
    }
}

/// A place in a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::shared) struct OpenAt {
    /// Its path.
    pub(in crate::shared) path: String,
    /// Bytes of it (decompressed) that were read; in files of columns: rows.
    pub(in crate::shared) offset: u64,
    /// The line that comes next; in a part of a file counted from the part's first line.
    pub(in crate::shared) line: u64,
    /// The file when it was opened.
    pub(in crate::shared) seen: FileState,
}

impl OpenAt {
    /// The file must be as it was.
    fn check(&self) -> Result<()> {
        if crate::shared::path::is_stream(&self.path) {
            let what = "which cannot be read again: what was read of it before the checkpoint is gone";
            return Err(Error::data(format!(
                "cannot go on reading `{}`: it is a pipe or a device, {what}",
                self.path
            )));
        }
        let found = FileState::of(&self.path).map_err(|e| Error::io("go on reading", &self.path, e))?;
        if found == self.seen {
            return Ok(());
        }
        let how = if found.bytes == self.seen.bytes {
            "it was written to since".to_owned()
        } else {
            format!("it had {} bytes and has {} now", self.seen.bytes, found.bytes)
        };
        Err(Error::data(format!(
            "cannot go on reading `{}`, of which a part was read before the checkpoint: {how}; put back the file as it was, or start the pipeline from scratch",
            self.path
        )))
    }
}

/// What tells whether a file is the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::shared) struct FileState {
    /// Its length on disk.
    bytes: u64,
    /// When it was last written to, in microseconds since 1970, if that is known.
    written: Option<i64>,
}

impl FileState {
    /// The file as it is now.
    pub(in crate::shared) fn of(path: &str) -> std::io::Result<Self> {
        let found = std::fs::metadata(path)?;
        let written = found.modified().ok().and_then(|t| t.duration_since(UNIX_EPOCH).ok());
        let written = written.and_then(|t| i64::try_from(t.as_micros()).ok());
        Ok(FileState { bytes: found.len(), written })
    }
}

/// Something to read.
#[derive(Clone, Debug)]
pub(in crate::shared) struct Todo {
    pub(in crate::shared) index: usize,
    pub(in crate::shared) piece: Piece,
    pub(in crate::shared) left: Option<Remainder>,
}

/// Records of all lanes together.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::shared) struct Tally {
    pub(in crate::shared) read: u64,
    pub(in crate::shared) dead: u64,
    /// Lanes that have not ended.
    lanes: usize,
}

/// The work of a reader, shared by its lanes.
#[derive(Debug)]
pub(crate) struct Work {
    files: Arc<[FileInfo]>,
    pieces: Vec<Piece>,
    queue: Mutex<VecDeque<Todo>>,
    /// How many line ends lie in each piece, where that is known.
    line_ends: Vec<Mutex<Option<u64>>>,
    bytes_done: AtomicU64,
    bytes_total: u64,
    tally: Mutex<Tally>,
    /// What was done before a restart, and the pieces that were held then. The first lane takes both: some lane's
    /// position must tell of them, and no other may.
    begun: Mutex<(Position, VecDeque<Todo>)>,
}

impl Work {
    /// All of it.
    pub(crate) fn new(files: Arc<[FileInfo]>, framing: Framing, cut: Cut) -> Self {
        let pieces = cut.pieces(&files, framing);
        let todo = |(index, piece): (usize, &Piece)| Todo { index, piece: piece.clone(), left: None };
        let position = Position {
            what: Stamp::of(&files, cut, pieces.len()),
            finished: Vec::new(),
            held: None,
            inherited: Vec::new(),
            read: 0,
            dead: 0,
        };
        Work {
            files,
            queue: Mutex::new(pieces.iter().enumerate().map(todo).collect()),
            line_ends: pieces.iter().map(|_| Mutex::default()).collect(),
            bytes_done: AtomicU64::new(0),
            bytes_total: pieces.iter().map(|p| p.bytes).sum(),
            pieces,
            tally: Mutex::default(),
            begun: Mutex::new((position, VecDeque::new())),
        }
    }

    /// What the positions of all lanes at one barrier leave to do. `None` if there are none: nothing was begun.
    ///
    /// # Errors
    /// If the files are others than then, unless all had been read.
    pub(crate) fn restore(
        files: &Arc<[FileInfo]>,
        framing: Framing,
        positions: &[Bytes],
    ) -> Result<Option<Self>> {
        let read = |bytes: &Bytes| {
            serde_json::from_slice(bytes)
                .map_err(|e| Error::internal(format!("a file reader's position is unreadable: {e}")))
        };
        let positions: Vec<Position> = positions.iter().map(read).collect::<Result<_>>()?;
        let Some(what) = positions.first().map(|p| p.what.clone()) else { return Ok(None) };
        if positions.iter().any(|p| p.what != what) {
            return Err(Error::internal("the positions of a reader's lanes are of different files"));
        }
        let work = Work::new(files.clone(), framing, what.cut);
        let (mut begun, mut held) = (BTreeSet::new(), VecDeque::new());
        let mut before = Position {
            what,
            finished: Vec::new(),
            held: None,
            inherited: Vec::new(),
            read: positions.iter().map(|p| p.read).sum(),
            dead: positions.iter().map(|p| p.dead).sum(),
        };
        for position in positions {
            position.finished.iter().for_each(|(first, end)| begun.extend(*first..*end));
            before.finished.extend(position.finished);
            held.extend(position.held.into_iter().chain(position.inherited));
        }
        if held.is_empty() && begun.len() == before.what.pieces {
            // All was read: it does not matter what has become of the files.
            lock(&work.queue).clear();
            work.bytes_done.store(work.bytes_total, Ordering::Relaxed);
            *lock(&work.begun) = (before, VecDeque::new());
            return Ok(Some(work));
        }
        work.check_same(&before.what, &held)?;
        let mut done: u64 = begun.iter().filter_map(|i| work.pieces.get(*i)).map(|p| p.bytes).sum();
        let mut inherited = VecDeque::new();
        for left in held {
            let piece = work.pieces.get(left.piece).ok_or_else(no_piece)?.clone();
            begun.insert(left.piece);
            done += left.bytes_done(&piece, files);
            inherited.push_back(Todo { index: left.piece, piece, left: Some(left) });
        }
        work.bytes_done.store(done, Ordering::Relaxed);
        lock(&work.queue).retain(|t| !begun.contains(&t.index));
        *lock(&work.begun) = (before, inherited);
        Ok(Some(work))
    }

    /// The files must be those of a checkpoint, and what was begun must be as it was.
    fn check_same(&self, then: &Stamp, held: &VecDeque<Remainder>) -> Result<()> {
        for open in held.iter().filter_map(|left| left.open.as_ref()) {
            if !self.files.iter().any(|f| f.path == open.path) {
                let what = format!("the file `{}`, which was being read, is no longer there", open.path);
                return Err(Error::data(what));
            }
            open.check()?;
        }
        let now = &lock(&self.begun).0.what;
        if now == then {
            return Ok(());
        }
        Err(Error::data(format!(
            "cannot go on reading: the files are others than when the checkpoint was made ({} with {} bytes then, {} with {} bytes now{}); put them back, or start the pipeline from scratch",
            then.files,
            then.bytes,
            now.files,
            now.bytes,
            self.files.first().map(|f| format!(", first `{}`", f.path)).unwrap_or_default()
        )))
    }

    /// The position of a lane that has not begun.
    pub(in crate::shared) fn blank(&self) -> Position {
        Position { finished: Vec::new(), read: 0, dead: 0, ..lock(&self.begun).0.clone() }
    }

    /// The position of a lane that begins, and the pieces it takes up before any other. It must ask no sooner than with
    /// its first pull: a lane that has not pulled has no position that could tell of what it took.
    pub(in crate::shared) fn begin(&self) -> (Position, VecDeque<Todo>) {
        let blank = self.blank();
        let begun = &mut *lock(&self.begun);
        (std::mem::replace(&mut begun.0, blank), std::mem::take(&mut begun.1))
    }

    /// The files, by index.
    pub(in crate::shared) fn file(&self, index: usize) -> Option<&FileInfo> {
        self.files.get(index)
    }

    /// The next piece that nobody has taken.
    pub(in crate::shared) fn take(&self) -> Option<Todo> {
        lock(&self.queue).pop_front()
    }

    /// True if nothing is left to take.
    pub(in crate::shared) fn is_empty(&self) -> bool {
        lock(&self.queue).is_empty()
    }

    /// A lane that will end.
    pub(in crate::shared) fn begin_lane(&self) {
        lock(&self.tally).lanes += 1;
    }

    /// A lane has ended. Answers the count over all lanes if it was the last.
    pub(in crate::shared) fn end_lane(&self, read: u64, dead: u64) -> Option<Tally> {
        let mut tally = lock(&self.tally);
        tally.read += read;
        tally.dead += dead;
        tally.lanes = tally.lanes.saturating_sub(1);
        (tally.lanes == 0).then_some(*tally)
    }

    /// Bytes were read.
    pub(in crate::shared) fn progressed(&self, bytes: u64) {
        self.bytes_done.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Bytes read by all lanes, and all bytes there are.
    pub(in crate::shared) fn progress(&self) -> (u64, u64) {
        (self.bytes_done.load(Ordering::Relaxed).min(self.bytes_total), self.bytes_total)
    }

    /// A lane has read a piece to its end, and met so many line ends.
    pub(super) fn tell_line_ends(&self, piece: usize, line_ends: u64) {
        if let Some(known) = self.line_ends.get(piece) {
            *lock(known) = Some(line_ends);
        }
    }

    /// How many lines of the file come before the first line of a part, if the lanes that read them have told.
    pub(super) fn told_lines_before(&self, piece: usize, part: Part) -> Option<u64> {
        let before = self.line_ends.get(piece.checked_sub(part.number)?..piece)?;
        before.iter().map(|known| *lock(known)).sum()
    }

    /// How many lines of the file come before the first line of a part. What no lane knows yet is counted
    /// from the file; each piece at most once, whoever asks.
    pub(super) fn lines_before(&self, piece: usize, part: Part) -> Result<u64> {
        let first = piece.saturating_sub(part.number);
        let mut lines = 0;
        for before in first..piece {
            let mut known = lock(self.line_ends.get(before).ok_or_else(no_piece)?);
            lines += match *known {
                Some(n) => n,
                None => *known.insert(self.count_line_ends(before)?),
            };
        }
        Ok(lines)
    }

    /// Counts the line ends from the first line of a part to the first line of the next. The line end before
    /// the first line of a part is the first at or after the byte before it.
    fn count_line_ends(&self, piece: usize) -> Result<u64> {
        let piece = self.pieces.get(piece).ok_or_else(no_piece)?;
        let (Some(Part { start, end: Some(end), .. }), Some(file)) =
            (piece.part, self.files.get(piece.files.start))
        else {
            return Err(Error::internal("lines are counted in something that is no part of a file"));
        };
        let count = || -> std::io::Result<u64> {
            let mut input = File::open(&file.path)?;
            let from = start.saturating_sub(1);
            input.seek(SeekFrom::Start(from))?;
            let mut input = input.take(end - 1 - from);
            let mut buf = vec![0; COUNT_CHUNK_BYTES.min(usize::try_from(end - from).unwrap_or(usize::MAX))];
            let mut found = 0;
            loop {
                match input.read(&mut buf) {
                    Ok(0) => return Ok(found),
                    Ok(n) => {
                        let read = buf.get(..n).unwrap_or_default();
                        found += memchr::memchr_iter(b'\n', read).count() as u64;
                    }
                    Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                    Err(e) => return Err(e),
                }
            }
        };
        let found = count().map_err(|e| Error::io("read", &file.path, e))?;
        // The file's first line has no line end before it, the next part's first line has.
        Ok(if start == 0 { found + 1 } else { found })
    }
}

/// What the lanes of a reader find each other by: its work, which a restored job replaces once.
#[derive(Debug)]
pub(crate) struct Shared {
    work: Mutex<(Arc<Work>, bool)>,
}

impl Shared {
    /// Work that begins.
    pub(crate) fn new(work: Work) -> Self {
        Shared { work: Mutex::new((Arc::new(work), false)) }
    }

    /// The work there is.
    pub(in crate::shared) fn work(&self) -> Arc<Work> {
        lock(&self.work).0.clone()
    }

    /// What the positions of all lanes leave to do; the first lane that asks finds it out.
    ///
    /// # Errors
    /// As [`Work::restore`].
    pub(in crate::shared) fn restore(
        &self,
        files: &Arc<[FileInfo]>,
        framing: Framing,
        positions: &[Bytes],
    ) -> Result<Arc<Work>> {
        let (work, restored) = &mut *lock(&self.work);
        if !*restored {
            if let Some(left) = Work::restore(files, framing, positions)? {
                *work = Arc::new(left);
            }
            *restored = true;
        }
        Ok(work.clone())
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic elsewhere leaves nothing half changed: each section changes one value.
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

fn no_piece() -> Error {
    Error::internal("a piece of a reader's work is not there")
}
