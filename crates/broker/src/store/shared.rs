//! What the logs of a store share, and the space held back for a full disk.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::cache::{Reads, Tail};
use super::files::Files;
use super::queue::Queue;
use super::{StoreError, StoreOptions, SyncMode};

/// The reserve grows and shrinks by this much.
const STEP: u64 = 1 << 20;
/// Commits between two attempts to make the reserve whole again.
const GROW_EVERY: u32 = 256;

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) files: Files,
    pub(crate) options: StoreOptions,
    pub(crate) queue: Queue,
    pub(crate) tail: Tail,
    pub(crate) reads: Reads,
    pub(crate) reserve: Reserve,
}

impl Shared {
    /// Makes what was written to `file` durable, as far as the options ask for it.
    pub(crate) fn sync(&self, file: &dyn super::DiskFile) -> std::io::Result<()> {
        match self.options.sync {
            SyncMode::Durable => file.sync(),
            SyncMode::Os => Ok(()),
        }
    }
}

/// A file of zeros that is given back bit by bit when the disk is full.
#[derive(Debug)]
pub(crate) struct Reserve {
    bytes: u64,
    held: Mutex<Reserved>,
}

#[derive(Debug, Default)]
struct Reserved {
    bytes: u64,
    /// Commits since the last attempt to grow.
    commits: u32,
}

const PATH: &str = "RESERVE";

impl Reserve {
    pub(crate) fn new(bytes: u64) -> Self {
        Self { bytes, held: Mutex::default() }
    }

    fn held(&self) -> MutexGuard<'_, Reserved> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Finds what is there and makes it whole, as far as there is space.
    pub(crate) fn open(&self, files: &Files) -> Result<(), StoreError> {
        let mut held = self.held();
        let file = match files.get(PATH, true) {
            Err(StoreError::NoSpace { .. }) => return Ok(()),
            other => other?,
        };
        held.bytes = file.size().map_err(|e| files.error("read", PATH, e))?;
        if held.bytes > self.bytes {
            file.set_len(self.bytes).map_err(|e| files.error("cut", PATH, e))?;
            held.bytes = self.bytes;
        }
        // All at once, or as much as there is space for.
        let mut step = self.bytes;
        while held.bytes < self.bytes {
            match self.grow(&mut held, files, step) {
                Err(e) if e.is_no_space() && step > STEP => step = STEP,
                Err(e) if e.is_no_space() => break,
                other => other?,
            }
        }
        Ok(())
    }

    fn grow(&self, held: &mut Reserved, files: &Files, step: u64) -> Result<(), StoreError> {
        let step = step.min(self.bytes - held.bytes);
        let file = files.get(PATH, true)?;
        let zeros = vec![0; step as usize];
        let written = file.write_at(&zeros, held.bytes).and_then(|()| file.sync());
        if let Err(e) = written {
            // It only has to have the space that it says it has.
            file.set_len(held.bytes).map_err(|e| files.error("cut", PATH, e))?;
            return Err(files.error("write", PATH, e));
        }
        held.bytes += step;
        Ok(())
    }

    /// Gives at least `bytes` back to the disk. False if there is nothing left.
    pub(crate) fn give_back(&self, bytes: u64, files: &Files) -> Result<bool, StoreError> {
        let mut held = self.held();
        if held.bytes == 0 {
            return Ok(false);
        }
        let left = held.bytes.saturating_sub(bytes.max(STEP));
        let file = files.get(PATH, true)?;
        file.set_len(left).and_then(|()| file.sync()).map_err(|e| files.error("cut", PATH, e))?;
        held.bytes = left;
        held.commits = 0;
        Ok(true)
    }

    /// Now and then takes back what was given, if there is space.
    pub(crate) fn after_commit(&self, files: &Files) -> Result<(), StoreError> {
        let mut held = self.held();
        if held.bytes >= self.bytes {
            return Ok(());
        }
        held.commits += 1;
        if held.commits < GROW_EVERY {
            return Ok(());
        }
        held.commits = 0;
        match self.grow(&mut held, files, STEP) {
            Err(e) if e.is_no_space() => Ok(()),
            other => other,
        }
    }
}
