//! Random work on a disk that fails and forgets, against a model of what must be there.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Rng;
use super::model::{Model, Sent, is_expected};
use super::sim::{Lie, SimDisk};
use crate::store::{
    Append, Journal, JournalOptions, Log, LogId, LogOptions, StateMachine, Store, StoreError, StoreOptions,
    SyncMode,
};

/// Counts its deltas and hashes them in order.
#[derive(Clone, Debug, Default, PartialEq)]
struct Chain {
    count: u64,
    hash: u64,
}

impl StateMachine for Chain {
    fn apply(&mut self, delta: &[u8]) -> Result<(), String> {
        let number = delta.first_chunk::<8>().map(|b| u64::from_le_bytes(*b)).ok_or("too short")?;
        if number != self.count {
            return Err(format!("delta {number} after {} deltas", self.count));
        }
        self.hash = Rng(self.hash ^ crc32c::crc32c(delta) as u64).next();
        self.count += 1;
        Ok(())
    }

    fn snapshot(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.count.to_le_bytes());
        out.extend_from_slice(&self.hash.to_le_bytes());
        out.resize(out.len() + 50, 7);
    }

    fn restore(&mut self, snapshot: &[u8]) -> Result<(), String> {
        let number = |at: usize| u64::from_le_bytes(snapshot[at..at + 8].try_into().unwrap());
        *self = Self { count: number(0), hash: number(8) };
        Ok(())
    }
}

fn options(sync: SyncMode) -> StoreOptions {
    StoreOptions {
        sync,
        queue_bytes_max: 1 << 20,
        tail_bytes_max: 3000,
        read_bytes_max: 3000,
        files_max: 6,
        reserve_bytes: 4096,
        block_bytes: 400,
        write_bytes: 1500,
        index_bytes: 300,
        index_batch: 3,
        // The same seed, the same run.
        commit_threads: 1,
        lazy_wait: Duration::from_millis(1),
    }
}

/// How a run of the program ends.
#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    Close,
    Kill,
    Crash,
}

struct World {
    rng: Rng,
    disk: SimDisk,
    sync: SyncMode,
    store: Store,
    models: BTreeMap<u64, (Log, Model)>,
    journal: Journal<Chain>,
    /// The state after each number of deltas.
    states: Vec<Chain>,
    /// Deltas applied whose answer is not known, with how many deltas it covers.
    deltas: Vec<(u64, Append)>,
    /// Deltas that must be there.
    deltas_durable: u64,
}

fn id(n: u64) -> LogId {
    LogId::new(format!("log-{n}")).unwrap()
}

fn journal_options() -> JournalOptions {
    JournalOptions { delta_bytes_min: 200, delta_times: 2, ..JournalOptions::default() }
}

const JOURNAL: &str = "journal";

impl World {
    fn new(seed: u64, sync: SyncMode, lie: Option<Lie>) -> Self {
        let disk = SimDisk::new(seed);
        lie.into_iter().for_each(|lie| disk.lie(lie));
        let (store, _) = Store::open_stepped(disk.mount(), options(sync)).unwrap();
        let id = LogId::new(JOURNAL).unwrap();
        let journal = Journal::open_with(&store, &id, journal_options(), Chain::default()).unwrap();
        Self {
            rng: Rng(seed ^ 0x5EED),
            disk,
            sync,
            store,
            models: BTreeMap::new(),
            journal,
            states: vec![Chain::default()],
            deltas: Vec::new(),
            deltas_durable: 0,
        }
    }

    fn run(&mut self, steps: u32) -> Result<(), String> {
        for step in 0..steps {
            self.step().map_err(|e| format!("step {step}: {e}"))?;
        }
        self.restart(End::Crash)
    }

    fn step(&mut self) -> Result<(), String> {
        match self.rng.below(100) {
            0..30 => self.append()?,
            30..42 => self.delta()?,
            42..64 => {
                self.store.commit_now();
                self.answers(false)?;
            }
            64..76 => self.read()?,
            76..80 => self.seek()?,
            80..84 => self.trim()?,
            84..86 => self.disk.set_free(Some(self.rng.below(3000))),
            86..89 => self.disk.set_free(None),
            89 => self.disk.fail_syncs(1),
            90 => self.disk.fail_writes(1),
            91..94 => self.reopen()?,
            94 => self.delete()?,
            95 => self.restart(End::Close)?,
            96 => self.restart(End::Kill)?,
            _ => self.restart(End::Crash)?,
        }
        Ok(())
    }

    /// One of three logs, which is made if it is not there.
    fn log(&mut self) -> Result<Option<u64>, String> {
        let n = self.rng.below(3);
        if let std::collections::btree_map::Entry::Vacant(place) = self.models.entry(n) {
            let size = LogOptions { segment_bytes: 2000, uses_reserve: n == 0 };
            match self.store.log(&id(n), size) {
                Ok(log) => drop(place.insert((log, Model::default()))),
                Err(e) if is_expected(&e) => return Ok(None),
                Err(e) => return Err(e.to_string()),
            }
        }
        Ok(Some(n))
    }

    fn append(&mut self) -> Result<(), String> {
        let Some(n) = self.log()? else { return Ok(()) };
        let (log, model) = self.models.get_mut(&n).unwrap();
        let sent = Sent::random(&mut self.rng, model.batches, &mut model.clock);
        model.batches += 1;
        let batch = sent.batch();
        let Some(room) = self.store.room_now(batch.bytes()) else { return Ok(()) };
        let append = log.append(batch, room);
        model.pending.push((sent, append));
        Ok(())
    }

    fn delta(&mut self) -> Result<(), String> {
        let Some(room) = self.store.room_now(100) else { return Ok(()) };
        let count = self.journal.state().count;
        let mut delta = count.to_le_bytes().to_vec();
        delta.resize(8 + self.rng.below(60) as usize, count as u8);
        if self.rng.once_in(3) {
            self.journal.apply_lazy(&delta, 0, room).map_err(|e| e.to_string())?;
        } else {
            let append = self.journal.apply(&delta, 0, room).map_err(|e| e.to_string())?;
            self.deltas.push((count + 1, append));
        }
        self.states.push(self.journal.state().clone());
        Ok(())
    }

    fn answers(&mut self, dead: bool) -> Result<(), String> {
        for (n, (_, model)) in &mut self.models {
            model.take_answers(dead).map_err(|e| format!("log {n}: {e}"))?;
        }
        let mut still = Vec::new();
        for (count, mut append) in self.deltas.drain(..) {
            match append.answer_now() {
                None if dead => return Err("a delta was never answered".to_owned()),
                None => still.push((count, append)),
                Some(Ok(_)) => self.deltas_durable = self.deltas_durable.max(count),
                Some(Err(e)) if is_expected(&e) => {}
                Some(Err(e)) => return Err(format!("delta {count}: {e}")),
            }
        }
        self.deltas = still;
        Ok(())
    }

    fn read(&mut self) -> Result<(), String> {
        let Some(n) = self.log()? else { return Ok(()) };
        let (log, model) = self.models.get_mut(&n).unwrap();
        let from = self.rng.below(model.next() + 3);
        let bytes_max = self.rng.below(4000) as usize;
        if let Some(page) = log.read_recent(from, bytes_max) {
            let again = log.read(from, bytes_max).map_err(|e| e.to_string())?;
            let n = page.records.len();
            if page.records[..] != again.records[..n.min(again.records.len())] {
                return Err("memory and disk differ".to_owned());
            }
        }
        model.compare(log, from, bytes_max).map_err(|e| format!("log {n}: {e}"))
    }

    fn seek(&mut self) -> Result<(), String> {
        let Some(n) = self.log()? else { return Ok(()) };
        let (log, model) = self.models.get_mut(&n).unwrap();
        let time = self.rng.below(model.clock.max(1) as u64 + 50) as i64;
        let found = log.first_at(time).map_err(|e| e.to_string())?;
        let bounds = log.bounds();
        let expected = model.first_at(bounds.first, time);
        if found != expected.unwrap_or(bounds.next) {
            return Err(format!("log {n}: the first entry at {time} is {expected:?}, not {found}"));
        }
        Ok(())
    }

    fn trim(&mut self) -> Result<(), String> {
        let Some(n) = self.log()? else { return Ok(()) };
        let (log, model) = self.models.get_mut(&n).unwrap();
        let before = self.rng.below(model.next() + 1);
        model.trimmed = model.trimmed.max(before);
        let result = if self.rng.once_in(3) {
            let time =
                model.entries.get((before.saturating_sub(model.first)) as usize).map_or(0, |(t, _)| *t);
            // Only segments whose times are all less may go: nothing from the first entry with that time on.
            model.trimmed = model.trimmed.max(model.first_at(0, time).unwrap_or(model.next()));
            log.trim_older(time)
        } else {
            log.trim(before)
        };
        match result {
            Err(e) if !is_expected(&e) => Err(format!("log {n}: {e}")),
            _ => Ok(()),
        }
    }

    fn reopen(&mut self) -> Result<(), String> {
        let logs = self.models.values().map(|(log, _)| log).chain([self.journal.log()]);
        for log in logs {
            match log.reopen() {
                Err(e) if !is_expected(&e) => return Err(e.to_string()),
                _ => {}
            }
        }
        Ok(())
    }

    fn delete(&mut self) -> Result<(), String> {
        let n = self.rng.below(3);
        match self.store.delete_log(&id(n)) {
            Ok(there) if there != self.models.contains_key(&n) => Err(format!("log {n} there: {there}")),
            Err(e) if !is_expected(&e) => Err(e.to_string()),
            Err(_) => Ok(()),
            Ok(_) => {
                let Some((log, _)) = self.models.remove(&n) else { return Ok(()) };
                match log.read(0, 10) {
                    Err(StoreError::Deleted { .. }) => Ok(()),
                    other => Err(format!("a deleted log reads {other:?}")),
                }
            }
        }
    }

    /// Stops, starts again, and looks at what is left.
    fn restart(&mut self, end: End) -> Result<(), String> {
        match end {
            End::Close => {
                self.store.close();
                self.disk.kill();
            }
            End::Kill => self.disk.kill(),
            End::Crash => self.disk.crash(),
        }
        // What was answered before counts; of the rest nothing is known.
        self.answers(end == End::Close)?;
        let (store, recovery) = Store::open_stepped(self.disk.mount(), options(self.sync))
            .map_err(|e| format!("opening: {e}"))?;
        let lost = recovery.damage.iter().find(|d| !d.offsets.is_empty());
        if let Some(lost) = lost {
            return Err(format!("lost at opening: {lost:?}"));
        }
        let found: Vec<&LogId> = recovery.logs.iter().filter(|l| l.as_str() != JOURNAL).collect();
        let known: Vec<LogId> = self.models.keys().map(|n| id(*n)).collect();
        // One whose making or deleting failed may be there or not.
        if let Some(missing) = known.iter().find(|k| !found.contains(k)) {
            return Err(format!("{missing} is gone"));
        }
        for n in 0..3 {
            if found.contains(&&id(n)) || self.models.contains_key(&n) {
                let size = LogOptions { segment_bytes: 2000, uses_reserve: n == 0 };
                let log = store.log(&id(n), size).map_err(|e| e.to_string())?;
                let (_, mut model) = self.models.remove(&n).unwrap_or((log.clone(), Model::default()));
                model.recovered(&log).map_err(|e| format!("log {n}: {e}"))?;
                self.models.insert(n, (log, model));
            }
        }
        self.restart_journal(&store)?;
        self.store = store;
        Ok(())
    }

    fn restart_journal(&mut self, store: &Store) -> Result<(), String> {
        let id = LogId::new(JOURNAL).unwrap();
        let journal = Journal::open_with(store, &id, journal_options(), Chain::default());
        let journal = journal.map_err(|e| format!("journal: {e}"))?;
        let count = journal.state().count;
        if count < self.deltas_durable {
            return Err(format!("{} deltas were answered, {count} are left", self.deltas_durable));
        }
        if self.states.get(count as usize) != Some(journal.state()) {
            return Err(format!("the state after {count} deltas is another one"));
        }
        self.states.truncate(count as usize + 1);
        self.deltas.clear();
        self.deltas_durable = count;
        self.journal = journal;
        Ok(())
    }
}

fn simulate(seed: u64, sync: SyncMode, lie: Option<Lie>) -> Result<(), String> {
    World::new(seed, sync, lie).run(250).map_err(|e| format!("seed {seed}: {e}"))
}

#[test]
fn nothing_answered_is_lost_and_nothing_is_invented() {
    let seeds = std::env::var("PURLIN_STORE_SEEDS").ok().and_then(|s| s.parse().ok()).unwrap_or(300);
    let from = std::env::var("PURLIN_STORE_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(0);
    let wrong: Vec<String> =
        (from..from + seeds).filter_map(|s| simulate(s, SyncMode::Durable, None).err()).collect();
    assert!(wrong.is_empty(), "{} of {seeds}: {:#?}", wrong.len(), &wrong[..wrong.len().min(5)]);
}

#[test]
fn the_simulation_finds_answers_before_sync() {
    assert!((0..50).any(|seed| simulate(seed, SyncMode::Os, None).is_err()));
}

#[test]
fn the_simulation_finds_disks_that_do_not_sync() {
    for lie in [Lie::Sync, Lie::SyncFolder] {
        assert!((0..50).any(|seed| simulate(seed, SyncMode::Durable, Some(lie)).is_err()), "{lie:?}");
    }
}
