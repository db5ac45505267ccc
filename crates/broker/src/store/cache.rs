//! What is kept in memory of what is on disk, within bounds over all logs.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::log::LogInner;
use super::scan::Chunk;

/// The bound on recent entries. The chunks themselves are with their logs.
#[derive(Debug)]
pub(crate) struct Tail {
    bytes_max: usize,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    bytes: usize,
    /// All chunks held, oldest first.
    order: VecDeque<(Weak<LogInner>, usize)>,
}

impl Tail {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { bytes_max, held: Mutex::default() }
    }

    /// Counts chunks that `log` now holds; the oldest of any log go to make room.
    pub(crate) fn add(&self, log: &Arc<LogInner>, chunks: impl Iterator<Item = usize>) {
        let mut gone = Vec::new();
        {
            let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
            for bytes in chunks {
                held.bytes += bytes;
                held.order.push_back((Arc::downgrade(log), bytes));
            }
            while held.bytes > self.bytes_max
                && let Some((log, bytes)) = held.order.pop_front()
            {
                held.bytes -= bytes;
                gone.push(log);
            }
        }
        for log in gone.iter().filter_map(Weak::upgrade) {
            log.state_mut().tail.pop_front();
        }
    }
}

/// Chunks read from disk, those used last.
#[derive(Debug)]
pub(crate) struct Reads {
    bytes_max: usize,
    held: Mutex<ReadsHeld>,
}

#[derive(Debug, Default)]
struct ReadsHeld {
    bytes: usize,
    uses: u64,
    /// With the number of the log and the last use.
    chunks: Vec<(u64, u64, Arc<Chunk>)>,
}

/// More chunks than this are not looked through.
const CHUNKS_MAX: usize = 128;

impl Reads {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { bytes_max, held: Mutex::default() }
    }

    fn held(&self) -> MutexGuard<'_, ReadsHeld> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The chunk of a segment that has `offset`, else the one that ends right before it.
    pub(crate) fn get(&self, log: u64, segment: u64, offset: u64) -> Option<Arc<Chunk>> {
        let mut held = self.held();
        held.uses += 1;
        let now = held.uses;
        let mine = held.chunks.iter_mut().filter(|(l, _, c)| *l == log && c.segment == segment);
        let fits = mine.filter(|(_, _, c)| c.first() <= offset && offset <= c.next());
        let (_, used, chunk) = fits.max_by_key(|(_, _, c)| c.next())?;
        *used = now;
        Some(chunk.clone())
    }

    pub(crate) fn put(&self, log: u64, chunk: &Arc<Chunk>) {
        let mut held = self.held();
        let same = |(l, _, c): &(u64, u64, Arc<Chunk>)| {
            *l == log && c.segment == chunk.segment && c.position == chunk.position
        };
        if let Some(i) = held.chunks.iter().position(same) {
            let (_, _, old) = held.chunks.swap_remove(i);
            held.bytes -= old.memory();
        }
        held.uses += 1;
        let now = held.uses;
        held.bytes += chunk.memory();
        held.chunks.push((log, now, chunk.clone()));
        while (held.bytes > self.bytes_max || held.chunks.len() > CHUNKS_MAX) && held.chunks.len() > 1 {
            let oldest = held.chunks.iter().enumerate().min_by_key(|(_, (_, used, _))| *used).map(|(i, _)| i);
            let Some((_, _, old)) = oldest.map(|i| held.chunks.swap_remove(i)) else { break };
            held.bytes -= old.memory();
        }
    }

    /// Forgets a log.
    pub(crate) fn forget(&self, log: u64) {
        let mut held = self.held();
        held.chunks.retain(|(l, ..)| *l != log);
        held.bytes = held.chunks.iter().map(|(_, _, c)| c.memory()).sum();
    }
}
