//! What is outside the process, and outlives it.

use bytes::Bytes;
use purlin_api::{Error, ErrorKind, Result};
use purlin_engine::checkpoint::{CheckpointStore, Memory};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard};

/// SplitMix64 (Steele, Lea, Flood 2014).
#[derive(Clone, Debug)]
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
    pub(super) fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }
    pub(super) fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }
    pub(super) fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }
}

/// What is done wrong on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bug {
    None,
    /// A sink shows an epoch again that is committed again.
    CommitTwice,
    /// The source does not save which messages it has given.
    ForgetIds,
    /// A sink shows rows before their epoch is committed.
    ShowAtOnce,
    /// The source acknowledges what it gives at once.
    AcknowledgeEarly,
}

/// A message of the topic.
#[derive(Clone, Debug)]
pub(super) struct Message {
    pub(super) id: i64,
    /// What it is about: two messages may be about the same order.
    pub(super) order: i64,
    pub(super) customer: String,
    pub(super) cents: i64,
    /// Seconds.
    pub(super) time: i64,
}

#[derive(Debug)]
struct State {
    messages: BTreeMap<i64, Message>,
    unacknowledged: BTreeSet<i64>,
    /// Not on their way to a process that lives.
    waiting: Vec<i64>,
    visible: BTreeMap<(String, u64), Vec<String>>,
    shown_at_once: Vec<String>,
    random: Random,
    bug: Bug,
    calm: bool,
    now: i64,
}

/// A topic with a subscription, and what pipelines have shown.
#[derive(Clone, Debug)]
pub(super) struct World(Arc<Mutex<State>>);

impl World {
    /// A world with some messages, two of a hundred of which are about an order that was there before.
    pub(super) fn new(random: &mut Random, bug: Bug) -> Self {
        let mut messages = BTreeMap::new();
        let mut time = 0;
        for id in 0..(20 + random.below(150)) as i64 {
            time += random.below(4) as i64;
            let again = id > 0 && random.chance(5);
            let (order, time, cents) = match again {
                true => {
                    let other: &Message = &messages[&(random.below(id as usize) as i64)];
                    (other.order, other.time, other.cents)
                }
                false => (id, time, random.below(10_000) as i64),
            };
            let customer = match again {
                true => messages[&order].customer.clone(),
                false => format!("c{}", random.below(7)),
            };
            messages.insert(id, Message { id, order, customer, cents, time });
        }
        World::of(messages, Random::new(random.next()), bug, false)
    }

    /// A world in which nothing comes.
    pub(super) fn empty() -> Self {
        World::of(BTreeMap::new(), Random::new(0), Bug::None, true)
    }

    fn of(messages: BTreeMap<i64, Message>, random: Random, bug: Bug, calm: bool) -> Self {
        let unacknowledged: BTreeSet<i64> = messages.keys().copied().collect();
        let waiting = unacknowledged.iter().copied().collect();
        World(Arc::new(Mutex::new(State {
            messages,
            unacknowledged,
            waiting,
            visible: BTreeMap::new(),
            shown_at_once: Vec::new(),
            random,
            bug,
            calm,
            now: 1_000_000_000,
        })))
    }

    /// The same messages, in order, each once, and nothing wrong.
    pub(super) fn calm(&self) -> World {
        World::of(self.state().messages.clone(), Random::new(0), Bug::None, true)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no thread has died")
    }

    pub(super) fn bug(&self) -> Bug {
        self.state().bug
    }

    pub(super) fn now(&self) -> i64 {
        self.state().now
    }

    pub(super) fn tick(&self, random: &mut Random) {
        self.state().now += random.below(5_000_000) as i64;
    }

    /// Whoever had messages is gone: they come again.
    pub(super) fn process_died(&self) {
        let mut s = self.state();
        s.waiting = s.unacknowledged.iter().copied().collect();
    }

    /// Some messages, not far out of order, and now and then one that stays to come again.
    pub(super) fn receive(&self, max: usize) -> Vec<Message> {
        let mut s = self.state();
        let mut got = Vec::new();
        let calm = s.calm;
        let wanted = if calm { max } else { 1 + s.random.below(max.min(20)) };
        while got.len() < wanted && !s.waiting.is_empty() {
            let near = s.waiting.len().min(if calm { 1 } else { 12 });
            let at = s.random.below(near);
            let id = s.waiting[at];
            if calm || !s.random.chance(5) {
                s.waiting.remove(at);
            }
            got.push(s.messages[&id].clone());
        }
        got
    }

    /// The earliest time of what may come and is not among these.
    pub(super) fn least_waiting(&self, seen: &BTreeSet<i64>) -> Option<i64> {
        let s = self.state();
        let new = s.waiting.iter().filter(|id| !seen.contains(id));
        new.map(|id| s.messages[id].time).min()
    }

    pub(super) fn acknowledge(&self, ids: &[i64]) {
        let mut s = self.state();
        for id in ids {
            // An acknowledgement may be lost: then the message comes again.
            if !s.calm && s.random.chance(10) {
                if s.unacknowledged.contains(id) && !s.waiting.contains(id) {
                    s.waiting.push(*id);
                }
            } else {
                s.unacknowledged.remove(id);
                s.waiting.retain(|w| w != id);
            }
        }
    }

    pub(super) fn acknowledge_all(&self) {
        let mut s = self.state();
        if s.waiting.is_empty() {
            s.unacknowledged.clear();
        }
    }

    pub(super) fn all_acknowledged(&self) -> bool {
        self.state().unacknowledged.is_empty()
    }

    /// Shows the rows of an epoch of a sink; again if need be.
    pub(super) fn commit(&self, sink: &str, epoch: u64, rows: Vec<String>) -> Result<()> {
        let mut s = self.state();
        if !s.calm && s.random.chance(1) {
            return Err(Error::new(ErrorKind::Unavailable, "the sink does not answer"));
        }
        let twice = s.bug == Bug::CommitTwice;
        let shown = s.visible.entry((sink.to_owned(), epoch)).or_default();
        if twice || shown.is_empty() {
            shown.extend(rows);
        } else if *shown != rows {
            return Err(Error::internal(format!("epoch {epoch} of {sink} is not what it was")));
        }
        Ok(())
    }

    pub(super) fn show_at_once(&self, row: String) {
        self.state().shown_at_once.push(row);
    }

    /// All rows that are visible, sorted.
    pub(super) fn visible(&self) -> Vec<String> {
        let s = self.state();
        let mut rows: Vec<String> = s.visible.values().flatten().chain(&s.shown_at_once).cloned().collect();
        rows.sort();
        rows
    }
}

/// A store that fails now and then, before it has written or after it.
#[derive(Debug)]
pub(super) struct FaultyStore {
    inner: Memory,
    random: Mutex<(Random, bool)>,
}

impl FaultyStore {
    pub(super) fn new(seed: u64) -> Self {
        FaultyStore { inner: Memory::default(), random: Mutex::new((Random::new(seed), true)) }
    }

    pub(super) fn is_faulty(&self, faulty: bool) {
        self.random.lock().expect("no thread has died").1 = faulty;
    }

    fn fails(&self) -> Result<()> {
        let mut r = self.random.lock().expect("no thread has died");
        match r.1 && r.0.chance(2) {
            true => Err(Error::new(ErrorKind::Unavailable, "the store does not answer")),
            false => Ok(()),
        }
    }
}

impl CheckpointStore for FaultyStore {
    fn put(&self, name: &str, parts: &[Bytes]) -> Result<()> {
        self.fails()?;
        self.inner.put(name, parts)?;
        // It is there, and whoever wrote it does not know.
        self.fails()
    }
    fn list(&self) -> Result<Vec<(String, u64)>> {
        self.fails()?;
        self.inner.list()
    }
    fn get(&self, name: &str, range: Range<u64>) -> Result<Bytes> {
        self.fails()?;
        self.inner.get(name, range)
    }
    fn delete(&self, name: &str) -> Result<()> {
        self.fails()?;
        self.inner.delete(name)
    }
    fn place(&self) -> String {
        "a faulty store".to_owned()
    }
}
