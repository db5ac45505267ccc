//! A state machine kept on a log.

use super::queue::Item;
use super::{Append, Batch, Damage, JournalOptions, Log, LogId, Record, Room, Store, StoreError};

/// State that changes by deltas only, so that a journal can bring it back.
pub trait StateMachine: Sized {
    /// Makes one change. It must depend on nothing but the state and `delta`.
    ///
    /// # Errors
    /// Says what is wrong with `delta`. A refused delta must leave the state as it was.
    fn apply(&mut self, delta: &[u8]) -> Result<(), String>;

    /// Writes the whole state at the end of `out`.
    fn snapshot(&self, out: &mut Vec<u8>);

    /// Brings back what [`StateMachine::snapshot`] wrote, in place of whatever the state is.
    ///
    /// # Errors
    /// Says what is wrong with `snapshot`.
    fn restore(&mut self, snapshot: &[u8]) -> Result<(), String>;
}

/// The first byte of an entry: a delta, a part of a snapshot, the last part of a snapshot.
const DELTA: u8 = 0;
const PART: u8 = 1;
const LAST_PART: u8 = 2;
/// A larger snapshot goes into several entries.
const PART_BYTES: usize = 1 << 20;

/// A [`StateMachine`] that survives: deltas are appended to a log, and now and then the whole state, which makes all
/// before it needless.
///
/// The state in memory is ahead of the disk by the deltas that have not been answered yet. Whoever tells the outside
/// of a change awaits its [`Append`] first. If an append fails, the state in memory keeps the change and no later one
/// is written without it: those already queued fail too, and the next one writes the whole state.
#[derive(Debug)]
pub struct Journal<S> {
    log: Log,
    options: JournalOptions,
    state: S,
    /// Of the log, when the last append was queued.
    generation: u64,
    /// Bytes of deltas since the last snapshot, and of that snapshot.
    delta_bytes: u64,
    snapshot_bytes: u64,
    skipped: Vec<Damage>,
}

impl<S: StateMachine> Journal<S> {
    /// Opens the journal `id`: `empty` gets the last snapshot and then the deltas after it. Reads files.
    ///
    /// # Errors
    /// If the log cannot be read or the state machine refuses what it wrote itself.
    pub fn open(store: &Store, id: &LogId, empty: S) -> Result<Self, StoreError> {
        Self::open_with(store, id, JournalOptions::default(), empty)
    }

    /// As [`Journal::open`], with other settings.
    ///
    /// # Errors
    /// As [`Journal::open`]; a damaged entry is an error unless [`JournalOptions::skip_damage`] is set or a snapshot
    /// follows.
    pub fn open_with(
        store: &Store,
        id: &LogId,
        options: JournalOptions,
        empty: S,
    ) -> Result<Self, StoreError> {
        let log = store.log(id, options.log)?;
        let mut journal = Self {
            generation: log.generation(),
            log,
            options,
            state: empty,
            delta_bytes: 0,
            snapshot_bytes: 0,
            skipped: Vec::new(),
        };
        journal.replay()?;
        Ok(journal)
    }

    fn replay(&mut self) -> Result<(), StoreError> {
        let mut parts: Vec<u8> = Vec::new();
        let mut from = self.log.bounds().first;
        loop {
            let page = self.log.read(from, 1 << 20)?;
            if page.next == from {
                break;
            }
            from = page.next;
            let mut damage = page.damage.into_iter().peekable();
            for record in &page.records {
                while let Some(lost) = damage.next_if(|d| d.offsets.start < record.offset) {
                    parts.clear();
                    self.skipped.push(lost);
                }
                self.replay_one(record, &mut parts)?;
            }
            let behind = damage.len();
            self.skipped.extend(damage);
            if behind > 0 {
                parts.clear();
            }
        }
        match self.skipped.first() {
            Some(lost) if !self.options.skip_damage => Err(StoreError::Damaged {
                path: lost.path.clone(),
                position: lost.position,
                why: format!("{}; entries {:?} of a journal are lost", lost.why, lost.offsets),
            }),
            _ => Ok(()),
        }
    }

    fn replay_one(&mut self, record: &Record, parts: &mut Vec<u8>) -> Result<(), StoreError> {
        let Record { offset, payload, .. } = record;
        let refused = |why| StoreError::State { log: self.log.id().to_string(), offset: *offset, why };
        let Some((kind, bytes)) = payload.split_first() else {
            return Err(refused("an entry of a journal has at least one byte".to_owned()));
        };
        match *kind {
            DELTA => {
                // A snapshot without its last part was never answered.
                parts.clear();
                self.delta_bytes += payload.len() as u64;
                match self.state.apply(bytes) {
                    Err(why) if self.skipped.is_empty() => Err(refused(why)),
                    // It built on what is lost.
                    _ => Ok(()),
                }
            }
            PART => {
                parts.extend_from_slice(bytes);
                Ok(())
            }
            LAST_PART => {
                parts.extend_from_slice(bytes);
                self.state.restore(parts).map_err(refused)?;
                self.snapshot_bytes = parts.len() as u64;
                self.delta_bytes = 0;
                parts.clear();
                self.skipped.clear();
                Ok(())
            }
            other => Err(refused(format!("there is no kind {other} of entry in a journal"))),
        }
    }

    /// The state, with all deltas applied so far.
    pub fn state(&self) -> &S {
        &self.state
    }

    /// Its log.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// What could not be read when it was opened with [`JournalOptions::skip_damage`].
    pub fn skipped(&self) -> &[Damage] {
        &self.skipped
    }

    /// Changes the state and puts the delta, or a snapshot that has it, into the queue. `time` is in microseconds
    /// since 1970.
    ///
    /// # Errors
    /// [`StoreError::State`] if the state machine refuses the delta; nothing is changed or written then.
    pub fn apply(&mut self, delta: &[u8], time: i64, room: Room) -> Result<Append, StoreError> {
        let batch = self.change(delta, time)?;
        let (item, answer) = self.log.item(batch.0, room);
        self.push(item, batch.1);
        Ok(answer)
    }

    /// As [`Journal::apply`] for a change nobody waits for.
    ///
    /// # Errors
    /// As [`Journal::apply`].
    pub fn apply_lazy(&mut self, delta: &[u8], time: i64, room: Room) -> Result<(), StoreError> {
        let (batch, snapshot) = self.change(delta, time)?;
        let item = Item::new(self.log.inner.clone(), batch, room, None);
        self.push(item, snapshot);
        Ok(())
    }

    /// Writes the whole state, whether that is due or not.
    pub fn snapshot(&mut self, time: i64, room: Room) -> Append {
        let batch = self.snapshot_batch(time);
        let (item, answer) = self.log.item(batch, room);
        self.push(item, true);
        answer
    }

    /// Makes the change in memory. Gives what to write, and whether that is a snapshot.
    fn change(&mut self, delta: &[u8], time: i64) -> Result<(Batch, bool), StoreError> {
        self.state.apply(delta).map_err(|why| StoreError::State {
            log: self.log.id().to_string(),
            offset: self.log.bounds().next,
            why,
        })?;
        let generation = self.log.generation();
        let failed = generation != self.generation;
        self.generation = generation;
        self.delta_bytes += delta.len() as u64 + 1;
        let JournalOptions { delta_bytes_min, delta_times, .. } = self.options;
        if failed || self.delta_bytes > delta_bytes_min.max(delta_times.saturating_mul(self.snapshot_bytes)) {
            return Ok((self.snapshot_batch(time), true));
        }
        let mut batch = Batch::with_capacity(1, delta.len() + 1);
        batch.push_with(time, |out| {
            out.push(DELTA);
            out.extend_from_slice(delta);
        });
        Ok((batch, false))
    }

    fn snapshot_batch(&mut self, time: i64) -> Batch {
        let mut bytes = Vec::new();
        self.state.snapshot(&mut bytes);
        self.snapshot_bytes = bytes.len() as u64;
        self.delta_bytes = 0;
        self.generation = self.log.generation();
        let mut batch = Batch::with_capacity(bytes.len() / PART_BYTES + 1, bytes.len() + 64);
        let mut rest = bytes.as_slice();
        loop {
            let (part, after) = rest.split_at_checked(PART_BYTES).unwrap_or((rest, &[]));
            batch.push_with(time, |out| {
                out.push(if after.is_empty() { LAST_PART } else { PART });
                out.extend_from_slice(part);
            });
            if after.is_empty() {
                return batch;
            }
            rest = after;
        }
    }

    fn push(&self, mut item: Item, snapshot: bool) {
        item.chained = Some(self.generation);
        item.replaces = snapshot;
        self.log.push(item);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::{RealDisk, StoreOptions};
    use super::*;

    #[derive(Debug, Default, PartialEq)]
    struct Sum(i64);

    impl StateMachine for Sum {
        fn apply(&mut self, delta: &[u8]) -> Result<(), String> {
            let delta = <[u8; 8]>::try_from(delta).map_err(|_| "not 8 bytes".to_owned())?;
            self.0 += i64::from_le_bytes(delta);
            Ok(())
        }

        fn snapshot(&self, out: &mut Vec<u8>) {
            out.extend_from_slice(&self.0.to_le_bytes());
        }

        fn restore(&mut self, snapshot: &[u8]) -> Result<(), String> {
            self.0 = 0;
            self.apply(snapshot)
        }
    }

    #[test]
    fn a_journal_comes_back() {
        let folder = std::env::temp_dir().join(format!("purlin-journal-{}", std::process::id()));
        let id = LogId::new("sums").expect("a name");
        for (n, before) in [(3_i64, 0), (4, 3), (5, 7)] {
            let disk = Arc::new(RealDisk::new(&folder).expect("a folder"));
            let (store, recovery) = Store::open(disk, StoreOptions::default()).expect("a store");
            assert_eq!(recovery.damage, []);
            let mut journal = Journal::open(&store, &id, Sum::default()).expect("a journal");
            assert_eq!(journal.state(), &Sum(before));
            let room = store.room_now(64).expect("room");
            journal.apply(&n.to_le_bytes(), 0, room).expect("a delta").wait_blocking().expect("durable");
        }
        std::fs::remove_dir_all(&folder).expect("a folder that is there");
    }
}
