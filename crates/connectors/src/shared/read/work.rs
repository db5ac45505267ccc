//! What the lanes of a reader share: the queue of pieces, line numbers, progress, the count of bad records.

use super::pieces::{Part, Piece};
use purlin_api::{Error, FileInfo, Result};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeSet, VecDeque};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How much is read at once where only line ends are counted, in bytes: what a core's cache holds.
const COUNT_CHUNK_BYTES: usize = 256 << 10;

/// Where one lane of a reader stands, as it is kept in a checkpoint.
///
/// The positions of all lanes at the same barrier together say what is left ([`Work::restore`]): of a piece
/// that a lane holds, what comes after its offset; of the pieces that no lane mentions, all. A lane needs to
/// know nothing of the others for that. Pieces go by their number, so the files must be the same and be
/// divided into as many pieces.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Position {
    /// How many pieces there are.
    pub(super) pieces: usize,
    /// The pieces this lane has finished, as runs: the first, and the first behind the last.
    pub(super) finished: Vec<(usize, usize)>,
    /// What is left of the piece it holds.
    pub(super) held: Option<Remainder>,
    /// What is left of pieces that lanes before it held, and that it has not taken up yet.
    pub(super) inherited: Vec<Remainder>,
}

impl Position {
    /// Notes that a piece is finished.
    pub(super) fn finish(&mut self, piece: usize) {
        match self.finished.last_mut() {
            Some((_, end)) if *end == piece => *end += 1,
            _ => self.finished.push((piece, piece + 1)),
        }
    }
}

/// The rest of a piece.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Remainder {
    /// Which piece.
    pub(super) piece: usize,
    /// Its next file, by index.
    pub(super) next: usize,
    /// The file before that, if it is not read to its end.
    pub(super) open: Option<OpenAt>,
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
pub(super) struct OpenAt {
    /// Its path.
    pub(super) path: String,
    /// Bytes of it (decompressed) that were read.
    pub(super) offset: u64,
    /// The line that comes next; in a part of a file counted from the part's first line.
    pub(super) line: u64,
}

/// Something to read.
#[derive(Clone, Debug)]
pub(super) struct Todo {
    pub(super) index: usize,
    pub(super) piece: Piece,
    pub(super) left: Option<Remainder>,
}

/// Records of all lanes together.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    pub(super) read: u64,
    pub(super) dead: u64,
    /// Lanes that have not ended.
    lanes: usize,
}

/// The work of a reader, shared by its lanes.
#[derive(Debug)]
pub(crate) struct Work {
    files: Arc<[FileInfo]>,
    pieces: Arc<[Piece]>,
    queue: Mutex<VecDeque<Todo>>,
    /// How many line ends lie in each piece, where that is known.
    line_ends: Vec<Mutex<Option<u64>>>,
    bytes_done: AtomicU64,
    bytes_total: u64,
    tally: Mutex<Tally>,
    /// Runs of pieces that were finished before a restart, and the pieces that were held then. The first lane
    /// takes both: some lane's position must tell of them, and no other may.
    finished: Mutex<Vec<(usize, usize)>>,
    inherited: Mutex<VecDeque<Todo>>,
}

impl Work {
    /// All of it.
    pub(crate) fn new(files: Arc<[FileInfo]>, pieces: Arc<[Piece]>) -> Self {
        let todo = |(index, piece): (usize, &Piece)| Todo { index, piece: piece.clone(), left: None };
        Work {
            files,
            queue: Mutex::new(pieces.iter().enumerate().map(todo).collect()),
            line_ends: pieces.iter().map(|_| Mutex::default()).collect(),
            bytes_done: AtomicU64::new(0),
            bytes_total: pieces.iter().map(|p| p.bytes).sum(),
            pieces,
            tally: Mutex::default(),
            finished: Mutex::default(),
            inherited: Mutex::default(),
        }
    }

    /// What the positions of all lanes at one barrier leave to do.
    ///
    /// # Errors
    /// Positions of other files, or of other pieces.
    #[cfg_attr(not(test), expect(dead_code, reason = "sources cannot be restored through the contract yet"))]
    pub(crate) fn restore<'p>(
        files: Arc<[FileInfo]>,
        pieces: Arc<[Piece]>,
        positions: impl IntoIterator<Item = &'p [u8]>,
    ) -> Result<Self> {
        let (mut begun, mut held, mut finished) = (BTreeSet::new(), VecDeque::new(), Vec::new());
        let mut done = 0;
        for bytes in positions {
            let position: Position = serde_json::from_slice(bytes)
                .map_err(|e| Error::internal(format!("a file reader's position is unreadable: {e}")))?;
            if position.pieces != pieces.len() {
                let what = "the files are others than when reading stopped, or they are divided otherwise";
                return Err(Error::data(what));
            }
            for (first, end) in &position.finished {
                begun.extend(*first..*end);
                let bytes = pieces.iter().take(*end).skip(*first).map(|p| p.bytes);
                done += bytes.sum::<u64>();
            }
            finished.extend(position.finished);
            for left in position.held.into_iter().chain(position.inherited) {
                if let Some(open) = left.open.as_ref().filter(|o| !files.iter().any(|f| f.path == o.path)) {
                    let what = format!("the file `{}`, which was being read, is no longer there", open.path);
                    return Err(Error::data(what));
                }
                let piece = pieces.get(left.piece).ok_or_else(no_piece)?.clone();
                begun.insert(left.piece);
                done += left.bytes_done(&piece, &files);
                held.push_back(Todo { index: left.piece, piece, left: Some(left) });
            }
        }
        let (finished, bytes_done) = (Mutex::new(finished), AtomicU64::new(done));
        let work = Work { finished, bytes_done, inherited: Mutex::new(held), ..Work::new(files, pieces) };
        lock(&work.queue).retain(|t| !begun.contains(&t.index));
        Ok(work)
    }

    /// The position of a lane that begins, and the pieces it takes up before any other.
    pub(super) fn begin(&self) -> (Position, VecDeque<Todo>) {
        let finished = std::mem::take(&mut *lock(&self.finished));
        let position = Position { pieces: self.pieces.len(), finished, held: None, inherited: Vec::new() };
        (position, std::mem::take(&mut *lock(&self.inherited)))
    }

    /// The files, by index.
    pub(super) fn file(&self, index: usize) -> Option<&FileInfo> {
        self.files.get(index)
    }

    /// The next piece that nobody has taken.
    pub(super) fn take(&self) -> Option<Todo> {
        lock(&self.queue).pop_front()
    }

    /// True if nothing is left to take.
    pub(super) fn is_empty(&self) -> bool {
        lock(&self.queue).is_empty()
    }

    /// A lane that will end.
    pub(super) fn begin_lane(&self) {
        lock(&self.tally).lanes += 1;
    }

    /// A lane has ended. Answers the count over all lanes if it was the last.
    pub(super) fn end_lane(&self, read: u64, dead: u64) -> Option<Tally> {
        let mut tally = lock(&self.tally);
        tally.read += read;
        tally.dead += dead;
        tally.lanes = tally.lanes.saturating_sub(1);
        (tally.lanes == 0).then_some(*tally)
    }

    /// Bytes were read.
    pub(super) fn progressed(&self, bytes: u64) {
        self.bytes_done.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Bytes read by all lanes, and all bytes there are.
    pub(super) fn progress(&self) -> (u64, u64) {
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

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic elsewhere leaves nothing half changed: each section changes one value.
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

fn no_piece() -> Error {
    Error::internal("a piece of a reader's work is not there")
}
