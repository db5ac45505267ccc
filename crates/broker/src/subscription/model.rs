//! The state machine against a model: random clients, random time.

use super::ack_id::AckId;
use super::acked::AckSet;
use super::core::{Backlog, Core, Entry, Outcome, Rules, Taker};
use super::flow::Flow;
use super::journal::{Acked, replace, unite};
use super::lease::TICK_MICROS;
use super::retry::Backoff;
use crate::clock::Micros;
use crate::filter::Filter;
use crate::store::{StateMachine, StoreError};
use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;
use prost::Message;
use pubsub_proto::google::pubsub::v1::PubsubMessage;
use std::collections::{BTreeMap, BTreeSet, HashMap};

const SECOND: Micros = 1_000_000;

/// Time moves in whole ticks of the leases, so that the model knows exactly which have ended. What is between two ticks
/// is tested beside the leases.
const TICK: Micros = TICK_MICROS;

/// A log in memory.
#[derive(Default)]
struct Messages(Vec<Entry>);

impl Messages {
    fn publish(&mut self, key: &str, kept: bool) {
        let mut message =
            PubsubMessage { ordering_key: key.to_owned(), data: "x".into(), ..Default::default() };
        if kept {
            message.attributes.insert("kept".to_owned(), String::new());
        }
        let offset = self.0.len() as u64;
        self.0.push(Entry { offset, payload: message.encode_to_vec().into() });
    }
}

impl Backlog for Messages {
    fn next_from(&mut self, offset: u64) -> Result<Option<Entry>, StoreError> {
        self.at(offset)
    }

    fn at(&mut self, offset: u64) -> Result<Option<Entry>, StoreError> {
        Ok(self.0.get(offset as usize).cloned())
    }
}

#[derive(Clone, Debug)]
enum Step {
    Publish { key: u8, kept: bool },
    Pull { messages: usize },
    Stream { messages: usize },
    Ack { pick: usize },
    Nack { pick: usize },
    Extend { pick: usize },
    Wait { ticks: i64 },
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0u8..3, proptest::bool::weighted(0.8)).prop_map(|(key, kept)| Step::Publish { key, kept }),
        3 => (1usize..6).prop_map(|messages| Step::Pull { messages }),
        3 => (1usize..6).prop_map(|messages| Step::Stream { messages }),
        6 => any::<usize>().prop_map(|pick| Step::Ack { pick }),
        2 => any::<usize>().prop_map(|pick| Step::Nack { pick }),
        1 => any::<usize>().prop_map(|pick| Step::Extend { pick }),
        2 => (0i64..300).prop_map(|ticks| Step::Wait { ticks }),
        1 => Just(Step::Restart),
    ]
}

/// What the clients know.
struct World {
    rules: Rules,
    core: Core,
    journal: Acked,
    messages: Messages,
    keys: HashMap<u64, u8>,
    wanted: BTreeSet<u64>,
    acked: BTreeSet<u64>,
    /// The ids in clients' hands, of deliveries that have ended too.
    held: Vec<AckId>,
    /// What is out: the id that counts, and its deadline.
    out: BTreeMap<u64, (AckId, Micros)>,
    attempts: BTreeMap<u64, u32>,
    stream: u64,
    now: Micros,
}

const STREAM_MESSAGES_MAX: i64 = 4;

/// The order in which keys are served hangs on their hashes: a failing case must fail again.
fn hasher() -> ahash::RandomState {
    ahash::RandomState::with_seeds(1, 2, 3, 4)
}

impl World {
    fn new(rules: Rules) -> Self {
        let mut core = Core::new(7, rules.clone(), AckSet::default(), 1).with_hasher(hasher());
        let stream = core.open_stream(Flow::new(STREAM_MESSAGES_MAX, 0));
        World {
            rules,
            core,
            journal: Acked::default(),
            messages: Messages::default(),
            keys: HashMap::new(),
            wanted: BTreeSet::new(),
            acked: BTreeSet::new(),
            held: Vec::new(),
            out: BTreeMap::new(),
            attempts: BTreeMap::new(),
            stream,
            now: 0,
        }
    }

    fn take(&mut self, stream: bool, messages_max: usize) -> Result<usize, TestCaseError> {
        self.expire();
        let holder = if stream { self.stream } else { self.core.new_holder() };
        let taker = Taker { holder, ack_deadline: 10 * SECOND, messages_max, bytes_max: 1000 };
        let taken = self.core.take(self.now, taker, &mut self.messages).unwrap();
        prop_assert!(taken.deliveries.len() <= messages_max);
        for dead in &taken.dead {
            prop_assert_eq!(Some(dead.attempt), self.rules.attempts_max.map(|m| m + 1));
            self.core.ack(&dead.ack_id, self.now);
            self.wanted.remove(&dead.ack_id.offset);
            self.acked.insert(dead.ack_id.offset);
        }
        self.write_journal();
        let mut last_of_key: HashMap<u8, u64> = HashMap::new();
        for delivery in &taken.deliveries {
            let offset = delivery.ack_id.offset;
            prop_assert!(self.wanted.contains(&offset), "{} is filtered out", offset);
            prop_assert!(!self.acked.contains(&offset), "{} is acknowledged", offset);
            prop_assert!(!self.out.contains_key(&offset), "{} has two leases", offset);
            let attempts = self.attempts.entry(offset).or_default();
            prop_assert!(delivery.attempt <= *attempts + 1, "attempt {} of {}", delivery.attempt, offset);
            *attempts = delivery.attempt;
            if self.rules.ordered && self.keys[&offset] > 0 {
                let key = self.keys[&offset];
                let earlier = last_of_key.insert(key, offset);
                prop_assert!(earlier.is_none_or(|e| e < offset), "order of key {}", key);
                let open = self.wanted.iter().filter(|o| **o < offset && self.keys[o] == key);
                for o in open.filter(|o| !self.acked.contains(o)) {
                    prop_assert!(self.out.contains_key(o), "{} comes before {} of its key", offset, o);
                }
            }
            self.held.push(delivery.ack_id);
            self.out.insert(offset, (delivery.ack_id, self.now + 10 * SECOND));
        }
        Ok(taken.deliveries.len())
    }

    /// Whether an id is of the delivery that counts, and in time.
    fn is_live(&self, id: AckId) -> bool {
        self.out.get(&id.offset).is_some_and(|(current, until)| *current == id && *until > self.now)
    }

    fn ack(&mut self, id: AckId) -> TestCaseResult {
        let live = self.is_live(id);
        let outcome = self.core.ack(&id, self.now);
        if self.rules.exactly_once {
            prop_assert_eq!(outcome == Outcome::Done, live);
        } else {
            prop_assert_eq!(outcome, Outcome::Done);
        }
        if outcome == Outcome::Done {
            if self.core.acked().contains(id.offset) {
                self.acked.insert(id.offset);
                self.out.remove(&id.offset);
            } else {
                // Late, and its order matters.
                prop_assert!(self.rules.ordered && !live);
            }
        }
        self.write_journal();
        Ok(())
    }

    fn write_journal(&mut self) {
        if let Some(delta) = self.core.take_delta() {
            self.journal.apply(&unite(&delta)).unwrap();
        }
    }

    /// A delivery failed: what is out behind it of its key comes back with it.
    fn failed(&mut self, offset: u64) {
        self.out.remove(&offset);
        let key = self.keys[&offset];
        if self.rules.ordered && key > 0 {
            self.out.retain(|o, _| self.keys[o] != key || *o < offset);
        }
    }

    /// What the next call to take messages ends: the leases that are past their deadline.
    fn expire(&mut self) {
        let expired = self.out.iter().filter(|(_, (_, until))| *until <= self.now).map(|(offset, _)| *offset);
        for offset in expired.collect::<Vec<_>>() {
            self.failed(offset);
        }
    }

    fn restart(&mut self) {
        let lease = 1_000_000 * (self.now as u64 + 2);
        self.core = Core::new(7, self.rules.clone(), self.journal.0.clone(), lease).with_hasher(hasher());
        self.stream = self.core.open_stream(Flow::new(STREAM_MESSAGES_MAX, 0));
        self.attempts.clear();
        self.held.clear();
        self.out.clear();
    }

    fn step(&mut self, step: Step) -> TestCaseResult {
        match step {
            Step::Publish { key, kept } => {
                let offset = self.messages.0.len() as u64;
                let name = if key == 0 { String::new() } else { key.to_string() };
                self.messages.publish(&name, kept);
                self.keys.insert(offset, key);
                if kept || self.rules.filter.is_none() {
                    self.wanted.insert(offset);
                }
            }
            Step::Pull { messages } => drop(self.take(false, messages)?),
            Step::Stream { messages } => {
                let taken = self.take(true, messages)?;
                prop_assert!(taken as i64 <= STREAM_MESSAGES_MAX);
            }
            Step::Ack { pick } if !self.held.is_empty() => {
                let held = self.held.swap_remove(pick % self.held.len());
                self.ack(held)?;
            }
            Step::Nack { pick } if !self.held.is_empty() => {
                let id = self.held.swap_remove(pick % self.held.len());
                let live = self.is_live(id);
                self.core.modify(&id, 0, self.now);
                if live {
                    self.failed(id.offset);
                }
            }
            Step::Extend { pick } if !self.held.is_empty() => {
                let id = self.held[pick % self.held.len()];
                let live = self.is_live(id);
                self.core.modify(&id, 30 * SECOND, self.now);
                if live {
                    self.out.insert(id.offset, (id, self.now + 30 * SECOND));
                }
            }
            Step::Wait { ticks } => self.now += ticks * TICK,
            Step::Restart => self.restart(),
            Step::Ack { .. } | Step::Nack { .. } | Step::Extend { .. } => {}
        }
        Ok(())
    }

    /// With clients that acknowledge, everything is delivered in the end.
    fn finish(&mut self) -> TestCaseResult {
        for _ in 0..10_000 {
            if self.wanted.iter().all(|o| self.acked.contains(o)) {
                break;
            }
            self.take(false, 5)?;
            for held in std::mem::take(&mut self.held) {
                self.ack(held)?;
            }
            self.now += 5 * SECOND;
        }
        let left: Vec<&u64> = self.wanted.iter().filter(|o| !self.acked.contains(o)).collect();
        prop_assert!(left.is_empty(), "never delivered: {:?}", left);
        prop_assert_eq!(self.core.outstanding(), 0);
        for offset in &self.acked {
            prop_assert!(self.core.acked().contains(*offset));
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn every_message_is_delivered_until_it_is_acknowledged(
        steps in proptest::collection::vec(step(), 0..120),
        ordered: bool,
        exactly_once: bool,
        filtered: bool,
        backoff in proptest::option::of(0i64..5),
        dead in proptest::bool::weighted(0.3),
    ) {
        let backoff = backoff.map_or(Backoff::default(), |s| Backoff { min_micros: s * SECOND, max_micros: 8 * SECOND });
        let mut world = World::new(Rules {
            ack_deadline: 10 * SECOND,
            ordered,
            exactly_once,
            backoff,
            attempts_max: dead.then_some(5),
            filter: filtered.then(|| Filter::parse("attributes:kept").unwrap()),
        });
        for step in steps {
            world.step(step)?;
        }
        world.finish()?;
    }

    #[test]
    fn what_the_journal_has_is_what_was_acknowledged(
        acks in proptest::collection::vec(0u64..50, 0..60),
        cut in 0u64..50,
    ) {
        let mut journal = Acked::default();
        let mut direct = AckSet::default();
        for offset in acks {
            direct.insert(offset);
            let mut delta = AckSet::below(direct.floor());
            delta.insert(offset);
            journal.apply(&unite(&delta)).unwrap();
        }
        prop_assert_eq!(&journal.0, &direct);
        direct.cut(cut);
        journal.apply(&replace(&direct)).unwrap();
        let mut bytes = Vec::new();
        journal.snapshot(&mut bytes);
        let mut restored = Acked::default();
        restored.restore(&bytes).unwrap();
        prop_assert_eq!(restored.0, direct);
    }
}

#[test]
fn a_seek_ends_all_leases() {
    let mut world = World::new(Rules { ack_deadline: 10 * SECOND, ..Rules::default() });
    for _ in 0..3 {
        world.step(Step::Publish { key: 0, kept: true }).unwrap();
    }
    assert_eq!(world.take(true, 3).unwrap(), 3);
    world.core.seek(AckSet::below(1));
    world.out.clear();
    for id in std::mem::take(&mut world.held) {
        assert_eq!(world.core.ack(&id, world.now), Outcome::Done);
    }
    assert_eq!(world.core.acked(), &AckSet::below(1), "ids from before the seek mean nothing");
    assert_eq!(world.take(true, 3).unwrap(), 2, "the stream's limits count anew");
}

#[test]
fn a_stream_gets_no_more_than_it_asked_for() {
    let mut world = World::new(Rules { ack_deadline: 10 * SECOND, ..Rules::default() });
    for _ in 0..10 {
        world.step(Step::Publish { key: 0, kept: true }).unwrap();
    }
    assert_eq!(world.take(true, 10).unwrap(), STREAM_MESSAGES_MAX as usize);
    assert_eq!(world.take(true, 10).unwrap(), 0);
    let held = world.held.pop().unwrap();
    world.ack(held).unwrap();
    assert_eq!(world.take(true, 10).unwrap(), 1);
    assert_eq!(world.take(false, 10).unwrap(), 5);
}
