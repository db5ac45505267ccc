//! A state machine kept on a log.

use super::{Append, Batch, Log, LogId, LogOptions, Record, Room, Store, StoreError};

/// State that changes by deltas only, so that a journal can bring it back.
pub trait StateMachine: Sized {
    /// Makes one change. It must depend on nothing but the state and `delta`.
    ///
    /// # Errors
    /// Says what is wrong with `delta`. A refused delta must leave the state as it was.
    fn apply(&mut self, delta: &[u8]) -> Result<(), String>;

    /// Writes the whole state at the end of `out`.
    fn snapshot(&self, out: &mut Vec<u8>);

    /// Brings back what [`StateMachine::snapshot`] wrote.
    ///
    /// # Errors
    /// Says what is wrong with `snapshot`.
    fn restore(&mut self, snapshot: &[u8]) -> Result<(), String>;
}

const DELTA: u8 = 0;

/// A [`StateMachine`] that survives: deltas are appended to a log, and now and then the whole state.
///
/// The state in memory is ahead of the disk by the deltas that have not been answered yet. Whoever tells the outside
/// of a change awaits its [`Append`] first. If an append fails, the state in memory keeps the change; the journal
/// then writes the whole state before the next delta, so that memory and disk agree again.
#[derive(Debug)]
pub struct Journal<S> {
    log: Log,
    state: S,
}

impl<S: StateMachine> Journal<S> {
    /// Opens the journal `id`: `empty` gets the last snapshot and then the deltas after it. Reads files.
    ///
    /// # Errors
    /// If the log cannot be read or the state machine refuses what it wrote itself.
    pub fn open(store: &Store, id: &LogId, empty: S) -> Result<Self, StoreError> {
        let log = store.log(id, LogOptions::journal())?;
        let mut state = empty;
        let mut from = log.bounds().first;
        while from < log.bounds().next {
            let page = log.read(from, 1 << 20)?;
            for Record { offset, payload, .. } in &page.records {
                let Some(delta) = payload.get(1..) else { continue };
                state.apply(delta).map_err(|why| StoreError::State {
                    log: id.to_string(),
                    offset: *offset,
                    why,
                })?;
            }
            from = page.next;
        }
        Ok(Self { log, state })
    }

    /// The state, with all deltas applied so far.
    pub fn state(&self) -> &S {
        &self.state
    }

    /// Its log.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// Changes the state and puts the delta into the queue. `time` is in microseconds since 1970.
    ///
    /// # Errors
    /// [`StoreError::State`] if the state machine refuses the delta; nothing is changed or written then.
    pub fn apply(&mut self, delta: &[u8], time: i64, room: Room) -> Result<Append, StoreError> {
        let log = &self.log;
        self.state.apply(delta).map_err(|why| StoreError::State {
            log: log.id().to_string(),
            offset: log.bounds().next,
            why,
        })?;
        let mut batch = Batch::with_capacity(1, delta.len() + 1);
        batch.push_with(time, |out| {
            out.push(DELTA);
            out.extend_from_slice(delta);
        });
        Ok(log.append(batch, room))
    }

    /// As [`Journal::apply`] for a change nobody waits for.
    ///
    /// # Errors
    /// As [`Journal::apply`].
    pub fn apply_lazy(&mut self, delta: &[u8], time: i64, room: Room) -> Result<(), StoreError> {
        self.apply(delta, time, room).map(drop)
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
        let disk = Arc::new(RealDisk::new(&folder).expect("a folder"));
        let (store, _) = Store::open(disk, StoreOptions::default()).expect("a store");
        let id = LogId::new("sums").expect("a name");
        let mut journal = Journal::open(&store, &id, Sum::default()).expect("a journal");
        for n in [3_i64, 4] {
            let room = store.room_now(64).expect("room");
            journal.apply(&n.to_le_bytes(), 0, room).expect("a delta").wait_blocking().expect("durable");
        }
        drop(journal);
        let journal = Journal::open(&store, &id, Sum::default()).expect("a journal");
        assert_eq!(journal.state(), &Sum(7));
    }
}
