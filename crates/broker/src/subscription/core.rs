//! A subscription as a state machine: what is delivered, when, to whom. It reads no clock and does no IO.

use super::Micros;
use super::ack_id::AckId;
use super::acked::AckSet;
use super::flow::Flow;
use super::lease::{Holder, Lease, Leases};
use super::ordering::Keys;
use super::retry::{Backoff, Retries, Waiting};
use crate::filter::Filter;
use crate::limits::{OUTSTANDING_MESSAGES_MAX, SCAN_MESSAGES_MAX};
use crate::message;
use crate::store::StoreError;
use bytes::Bytes;
use std::collections::HashMap;
use std::hash::BuildHasher;

/// What decides how a subscription delivers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rules {
    /// The deadline of what `Pull` and push hand out.
    pub(crate) ack_deadline: Micros,
    /// Whether messages with one ordering key are delivered in order.
    pub(crate) ordered: bool,
    /// Whether expired and unknown ack ids are refused.
    pub(crate) exactly_once: bool,
    /// The delay of messages that failed.
    pub(crate) backoff: Backoff,
    /// After so many deliveries a message goes to the dead-letter topic.
    pub(crate) attempts_max: Option<u32>,
    /// Only messages that match are delivered.
    pub(crate) filter: Option<Filter>,
}

/// A message as the log keeps it.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// Its place in the log.
    pub(crate) offset: u64,
    /// An encoded `PubsubMessage`.
    pub(crate) payload: Bytes,
}

/// Where messages come from.
pub(crate) trait Backlog {
    /// The first message at or after an offset; `None` if there is none yet.
    fn next_from(&mut self, offset: u64) -> Result<Option<Entry>, StoreError>;
    /// The message at an offset; `None` if it is kept no more.
    fn at(&mut self, offset: u64) -> Result<Option<Entry>, StoreError>;
}

/// One message for a client.
#[derive(Clone, Debug)]
pub(crate) struct Delivery {
    /// What the client acknowledges.
    pub(crate) ack_id: AckId,
    /// How often it was delivered, with this time.
    pub(crate) attempt: u32,
    /// An encoded `PubsubMessage`.
    pub(crate) payload: Bytes,
}

/// What [`Core::take`] found.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    /// For the client.
    pub(crate) deliveries: Vec<Delivery>,
    /// Delivered too often: for the dead-letter topic. They are leased until they are acknowledged or nacked.
    pub(crate) dead: Vec<Delivery>,
    /// It stopped for the length of the work, not because there was nothing more: call again.
    pub(crate) more: bool,
}

/// Who takes messages, and how many.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Taker {
    /// A stream, or a number of its own for each `Pull`.
    pub(crate) holder: Holder,
    /// The deadline of what it takes, from now.
    pub(crate) ack_deadline: Micros,
    /// At most so many messages.
    pub(crate) messages_max: usize,
    /// No more messages once this many bytes are taken.
    pub(crate) bytes_max: usize,
}

/// What became of an ack id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Done, or there was nothing to do.
    Done,
    /// The id is of no message that is out (exactly-once subscriptions only).
    Invalid,
}

/// The state of one subscription.
#[derive(Debug)]
pub(crate) struct Core {
    incarnation: u64,
    rules: Rules,
    acked: AckSet,
    /// The next offset that was never handed out.
    cursor: u64,
    leases: Leases,
    retries: Retries,
    keys: Keys,
    /// With seeds of this process: clients choose the keys.
    hasher: ahash::RandomState,
    flows: HashMap<Holder, Flow>,
    lease_next: u64,
    /// Ids of leases before this one are from before a seek: they acknowledge nothing.
    lease_first: u64,
    holder_next: Holder,
    /// Acknowledged since the last [`take_delta`](Self::take_delta).
    fresh: Vec<u64>,
}

impl Core {
    /// A subscription whose acknowledged messages are known. `incarnation` tells it from others of its name, and lease
    /// ids start at `lease_first`, which must be greater than any before.
    pub(crate) fn new(incarnation: u64, rules: Rules, acked: AckSet, lease_first: u64) -> Self {
        Core {
            incarnation,
            rules,
            cursor: acked.floor(),
            acked,
            leases: Leases::default(),
            retries: Retries::default(),
            keys: Keys::default(),
            hasher: seeded(&std::hash::RandomState::new()),
            flows: HashMap::new(),
            lease_next: lease_first,
            lease_first: 0,
            holder_next: 1,
            fresh: Vec::new(),
        }
    }

    /// Hashes ordering keys in a way that a test can repeat.
    #[cfg(test)]
    pub(crate) fn with_hasher(mut self, hasher: ahash::RandomState) -> Self {
        self.hasher = hasher;
        self
    }

    /// Other rules from now on.
    pub(crate) fn set_rules(&mut self, rules: Rules) {
        self.rules = rules;
    }

    /// The rules.
    pub(crate) fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Which messages are acknowledged.
    pub(crate) fn acked(&self) -> &AckSet {
        &self.acked
    }

    /// How many messages are out or wait to come again.
    pub(crate) fn outstanding(&self) -> usize {
        self.leases.len() + self.retries.len() + self.keys.waiting()
    }

    /// A number for a taker without a stream.
    pub(crate) fn new_holder(&mut self) -> Holder {
        self.holder_next += 1;
        self.holder_next
    }

    /// A stream begins.
    pub(crate) fn open_stream(&mut self, flow: Flow) -> Holder {
        let holder = self.new_holder();
        self.flows.insert(holder, flow);
        holder
    }

    /// A stream ended. What it holds comes again at its deadline.
    pub(crate) fn close_stream(&mut self, holder: Holder) {
        self.flows.remove(&holder);
    }

    /// When [`take`](Self::take) must be called again although nothing was published.
    pub(crate) fn next_due(&self) -> Option<Micros> {
        [self.leases.next_due(), self.retries.next_due(), self.keys.next_due()].into_iter().flatten().min()
    }

    /// Takes messages for a client: first those that come again, then new ones.
    pub(crate) fn take(
        &mut self,
        now: Micros,
        taker: Taker,
        backlog: &mut dyn Backlog,
    ) -> Result<Taken, StoreError> {
        self.expire(now);
        let mut taking = Taking {
            now,
            taker,
            room: (taker.messages_max as u64).min(self.flows.get(&taker.holder).map_or(u64::MAX, Flow::room)),
            bytes_left: taker.bytes_max.max(1),
            taken: Taken::default(),
        };
        self.take_again(&mut taking, backlog)?;
        self.take_keys(&mut taking, backlog)?;
        self.take_new(&mut taking, backlog)?;
        Ok(taking.taken)
    }

    fn take_again(&mut self, taking: &mut Taking, backlog: &mut dyn Backlog) -> Result<(), StoreError> {
        while taking.has_room()
            && let Some((offset, waiting)) = self.retries.pop_due(taking.now)
        {
            match backlog.at(offset) {
                Ok(Some(entry)) => self.hand_out(taking, entry, waiting.attempts, None),
                Ok(None) => self.forget(offset),
                Err(e) => {
                    self.retries.push(offset, waiting);
                    return Err(e);
                }
            }
        }
        Ok(())
    }

    fn take_keys(&mut self, taking: &mut Taking, backlog: &mut dyn Backlog) -> Result<(), StoreError> {
        while taking.has_room()
            && let Some(key) = self.keys.pop_due(taking.now)
        {
            while taking.has_room()
                && let Some((offset, attempts)) = self.keys.first_waiting(key)
            {
                match backlog.at(offset) {
                    Ok(Some(entry)) => self.hand_out(taking, entry, attempts, Some(key)),
                    Ok(None) => {
                        self.forget(offset);
                        self.keys.acked(key, offset, taking.now);
                    }
                    Err(e) => {
                        self.keys.served(key, taking.now);
                        return Err(e);
                    }
                }
            }
            self.keys.served(key, taking.now);
        }
        Ok(())
    }

    fn take_new(&mut self, taking: &mut Taking, backlog: &mut dyn Backlog) -> Result<(), StoreError> {
        let mut scanned = 0;
        while taking.has_room() && self.outstanding() < OUTSTANDING_MESSAGES_MAX {
            let from = self.acked.next_gap(self.cursor);
            let Some(entry) = backlog.next_from(from)? else { break };
            if entry.offset > self.cursor {
                // What lies between is acknowledged already, or kept no more.
                self.acked.insert_range(self.cursor, entry.offset);
            }
            self.cursor = entry.offset + 1;
            scanned += 1;
            if self.acked.contains(entry.offset) {
                continue;
            }
            if self.rules.filter.as_ref().is_some_and(|f| !f.matches(&entry.payload)) {
                self.acked.insert(entry.offset);
            } else {
                let key = self.key_of(&entry.payload);
                if key.is_none_or(|k| self.keys.admit(k, entry.offset, taking.taker.holder)) {
                    self.hand_out(taking, entry, 0, key);
                }
            }
            if scanned >= SCAN_MESSAGES_MAX {
                taking.taken.more = true;
                break;
            }
        }
        Ok(())
    }

    fn key_of(&self, payload: &[u8]) -> Option<u64> {
        if !self.rules.ordered {
            return None;
        }
        message::ordering_key(payload).map(|k| self.hasher.hash_one(k))
    }

    fn hand_out(&mut self, taking: &mut Taking, entry: Entry, attempts: u32, key: Option<u64>) {
        let dead = self.rules.attempts_max.is_some_and(|max| attempts >= max);
        let id = self.lease_next;
        self.lease_next += 1;
        let size = entry.payload.len();
        let holder = taking.taker.holder;
        let attempt = attempts.saturating_add(1);
        let deadline = taking.now + if dead { self.rules.ack_deadline } else { taking.taker.ack_deadline };
        let held_by = if dead { 0 } else { holder };
        let lease = Lease::new(id, deadline, attempt, u32::try_from(size).unwrap_or(u32::MAX), held_by, key);
        if let Some(key) = key {
            self.keys.sent(key, entry.offset, holder);
        }
        taking.bytes_left = taking.bytes_left.saturating_sub(size);
        if !dead {
            if let Some(flow) = self.flows.get_mut(&holder) {
                flow.sent(lease.bytes);
            }
            taking.room = taking.room.saturating_sub(1);
        }
        self.leases.grant(entry.offset, lease);
        let delivery = Delivery {
            ack_id: AckId { incarnation: self.incarnation, offset: entry.offset, lease: id },
            attempt,
            payload: entry.payload,
        };
        let list = if dead { &mut taking.taken.dead } else { &mut taking.taken.deliveries };
        list.push(delivery);
        // Dead ones are not for this taker, but bound what one call makes all the same.
        if taking.taken.dead.len() >= SCAN_MESSAGES_MAX {
            taking.taken.more = true;
            taking.room = 0;
        }
    }

    fn forget(&mut self, offset: u64) {
        self.acked.insert(offset);
        self.fresh.push(offset);
    }

    /// Ends the leases whose deadline has passed.
    fn expire(&mut self, now: Micros) {
        for (offset, lease) in self.leases.expired(now) {
            self.failed(offset, lease, now);
        }
    }

    fn failed(&mut self, offset: u64, lease: Lease, now: Micros) {
        self.give_back(&lease);
        let due = now.saturating_add(self.rules.backoff.delay(lease.attempt));
        let Some(key) = lease.key else {
            self.retries.push(offset, Waiting { due, attempts: lease.attempt });
            return;
        };
        for behind in self.keys.failed(key, offset, lease.attempt, due) {
            // Expired in the same moment, it is counted as failed itself when its turn comes.
            let Some(lease) = self.leases.end(behind) else { continue };
            self.give_back(&lease);
            self.keys.came_back(key, behind, lease.attempt.saturating_sub(1));
        }
    }

    fn give_back(&mut self, lease: &Lease) {
        if let Some(flow) = self.flows.get_mut(&lease.holder) {
            flow.back(lease.bytes);
        }
    }

    /// The lease an ack id means, if it is out and has not expired.
    fn live(&self, id: &AckId, now: Micros) -> Option<Lease> {
        self.leases.get(id.offset).copied().filter(|l| l.id == id.lease && l.deadline > now)
    }

    fn is_ours(&self, id: &AckId) -> bool {
        id.incarnation == self.incarnation && id.offset < self.cursor && id.lease >= self.lease_first
    }

    /// Acknowledges a message.
    pub(crate) fn ack(&mut self, id: &AckId, now: Micros) -> Outcome {
        if !self.is_ours(id) || self.rules.exactly_once && self.live(id, now).is_none() {
            return if self.rules.exactly_once { Outcome::Invalid } else { Outcome::Done };
        }
        if self.acked.contains(id.offset) {
            return Outcome::Done;
        }
        if let Some(lease) = self.leases.end(id.offset) {
            self.give_back(&lease);
            if let Some(key) = lease.key {
                self.keys.acked(key, id.offset, now);
            }
        } else if self.retries.remove(id.offset).is_none() && !self.keys.acked_late(id.offset, now) {
            // An earlier message of its key comes again, and this one must come after it, also to a client that has
            // seen it.
            return Outcome::Done;
        }
        self.forget(id.offset);
        Outcome::Done
    }

    /// Moves the deadline of a message; 0 gives it back.
    pub(crate) fn modify(&mut self, id: &AckId, deadline: Micros, now: Micros) -> Outcome {
        let Some(lease) = self.live(id, now).filter(|_| self.is_ours(id)) else {
            return if self.rules.exactly_once { Outcome::Invalid } else { Outcome::Done };
        };
        if deadline > 0 {
            self.leases.extend(id.offset, now.saturating_add(deadline));
        } else if self.leases.end(id.offset).is_some() {
            self.failed(id.offset, lease, now);
        }
        Outcome::Done
    }

    /// Acknowledges everything below an offset: it is older than what the subscription keeps.
    pub(crate) fn drop_before(&mut self, offset: u64, now: Micros) -> bool {
        let from = self.acked.floor();
        if offset <= from {
            return false;
        }
        let end = offset.min(self.cursor);
        // What is not acknowledged below the cursor is out or waits: as many steps as there are such messages.
        let mut gap = self.acked.next_gap(from);
        while gap < end {
            if let Some(lease) = self.leases.end(gap) {
                self.give_back(&lease);
                if let Some(key) = lease.key {
                    self.keys.acked(key, gap, now);
                }
            } else if self.retries.remove(gap).is_none() {
                self.keys.dropped(gap, now);
            }
            gap = self.acked.next_gap(gap + 1);
        }
        self.acked.insert_range(from, offset);
        self.cursor = self.cursor.max(self.acked.floor());
        true
    }

    /// Sets what is acknowledged. All leases end; ack ids given out before mean nothing any more.
    pub(crate) fn seek(&mut self, acked: AckSet) {
        self.leases.clear();
        self.retries.clear();
        self.keys.clear();
        self.fresh.clear();
        for flow in self.flows.values_mut() {
            flow.clear();
        }
        self.cursor = acked.floor();
        self.acked = acked;
        self.lease_first = self.lease_next;
    }

    /// What was acknowledged since the last call, as a set to be united with what was known before.
    pub(crate) fn take_delta(&mut self) -> Option<AckSet> {
        if self.fresh.is_empty() {
            return None;
        }
        let mut delta = AckSet::below(self.acked.floor());
        self.fresh.sort_unstable();
        for offset in self.fresh.drain(..) {
            delta.insert(offset);
        }
        Some(delta)
    }
}

/// A hasher with seeds of a source of randomness.
fn seeded(random: &std::hash::RandomState) -> ahash::RandomState {
    let [a, b, c, d] = [0, 1, 2, 3].map(|n: u64| random.hash_one(n));
    ahash::RandomState::with_seeds(a, b, c, d)
}

/// One call of [`Core::take`].
struct Taking {
    now: Micros,
    taker: Taker,
    room: u64,
    bytes_left: usize,
    taken: Taken,
}

impl Taking {
    fn has_room(&self) -> bool {
        self.room > 0 && self.bytes_left > 0
    }
}
