//! Messages that a client holds: each until its ack deadline.

use super::Micros;
use std::collections::{BTreeMap, HashMap};

/// How finely deadlines are grouped: a lease ends at most this long after its deadline.
pub(super) const TICK_MICROS: Micros = 50_000;

/// Who holds a lease: a stream, or one `Pull`. 0 is nobody outside: the message is on its way to the dead-letter topic.
pub(crate) type Holder = u64;

/// One message in a client's hands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lease {
    /// Tells this delivery from others of the same message; part of the ack id.
    pub(crate) id: u64,
    /// When the lease ends unless it is extended.
    pub(crate) deadline: Micros,
    /// How often the message has been delivered, with this time.
    pub(crate) attempt: u32,
    /// The size of the message.
    pub(crate) bytes: u32,
    /// Who holds it.
    pub(crate) holder: Holder,
    /// The hash of its ordering key, where order matters.
    pub(crate) key: Option<u64>,
    tick: i64,
}

impl Lease {
    /// A lease that has not been granted yet.
    pub(crate) fn new(
        id: u64,
        deadline: Micros,
        attempt: u32,
        bytes: u32,
        holder: Holder,
        key: Option<u64>,
    ) -> Self {
        Lease { id, deadline, attempt, bytes, holder, key, tick: 0 }
    }
}

/// All leases of a subscription, by offset and by deadline.
#[derive(Debug)]
pub(crate) struct Leases {
    by_offset: HashMap<u64, Lease, ahash::RandomState>,
    /// Offsets that may have to end in a tick. A lease is in one tick that counts (`Lease::tick`), at or before its
    /// deadline: extending a lease costs nothing until that tick comes.
    ticks: BTreeMap<i64, Vec<u64>>,
}

impl Default for Leases {
    fn default() -> Self {
        // Offsets are given by the broker, not by clients: nobody can make them collide.
        let hasher = ahash::RandomState::with_seeds(1, 2, 3, 4);
        Self { by_offset: HashMap::with_hasher(hasher), ticks: BTreeMap::new() }
    }
}

impl Leases {
    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.by_offset.len()
    }

    /// The lease of an offset.
    pub(crate) fn get(&self, offset: u64) -> Option<&Lease> {
        self.by_offset.get(&offset)
    }

    /// Grants a lease. The offset must have none.
    pub(crate) fn grant(&mut self, offset: u64, mut lease: Lease) {
        lease.tick = tick_of(lease.deadline);
        self.ticks.entry(lease.tick).or_default().push(offset);
        let before = self.by_offset.insert(offset, lease);
        debug_assert!(before.is_none(), "offset {offset} has two leases");
    }

    /// Ends a lease, acknowledged or not.
    pub(crate) fn end(&mut self, offset: u64) -> Option<Lease> {
        let lease = self.by_offset.remove(&offset);
        if self.by_offset.is_empty() {
            self.ticks.clear();
        }
        lease
    }

    /// Moves the deadline of a lease.
    pub(crate) fn extend(&mut self, offset: u64, deadline: Micros) {
        let Some(lease) = self.by_offset.get_mut(&offset) else { return };
        lease.deadline = deadline;
        let tick = tick_of(deadline);
        if tick < lease.tick {
            lease.tick = tick;
            self.ticks.entry(tick).or_default().push(offset);
        }
    }

    /// Takes out the leases whose deadline has passed.
    pub(crate) fn expired(&mut self, now: Micros) -> Vec<(u64, Lease)> {
        let mut ended = Vec::new();
        while let Some(first) = self.ticks.first_entry() {
            let tick = *first.key();
            if tick.saturating_mul(TICK_MICROS) > now {
                break;
            }
            for offset in first.remove() {
                let Some(lease) = self.by_offset.get_mut(&offset).filter(|l| l.tick == tick) else {
                    continue;
                };
                if lease.deadline <= now {
                    ended.extend(self.by_offset.remove(&offset).map(|l| (offset, l)));
                } else {
                    lease.tick = tick_of(lease.deadline).max(tick + 1);
                    self.ticks.entry(lease.tick).or_default().push(offset);
                }
            }
        }
        ended
    }

    /// When [`expired`](Self::expired) must be asked again.
    pub(crate) fn next_due(&self) -> Option<Micros> {
        self.ticks.first_key_value().map(|(t, _)| t.saturating_mul(TICK_MICROS))
    }

    /// Ends all leases.
    pub(crate) fn clear(&mut self) {
        self.by_offset.clear();
        self.ticks.clear();
    }
}

/// The first tick that begins at or after a time.
fn tick_of(deadline: Micros) -> i64 {
    deadline.div_euclid(TICK_MICROS) + i64::from(deadline.rem_euclid(TICK_MICROS) != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lease(deadline: Micros) -> Lease {
        Lease::new(1, deadline, 1, 10, 1, None)
    }

    #[test]
    fn an_extended_lease_ends_at_its_new_deadline_only() {
        let mut leases = Leases::default();
        leases.grant(7, lease(1_000_000));
        leases.extend(7, 3_000_000);
        assert!(leases.expired(1_500_000).is_empty());
        assert_eq!(leases.expired(3_000_000).len(), 1);
        assert_eq!((leases.len(), leases.next_due()), (0, None));
    }

    proptest! {
        #[test]
        fn leases_end_within_a_tick_of_their_deadline(
            ops in proptest::collection::vec((0u64..6, 0i64..2_000_000, 0u8..4), 0..80),
        ) {
            let mut leases = Leases::default();
            let mut model: HashMap<u64, Micros> = HashMap::new();
            let mut now = 0;
            for (offset, by, what) in ops {
                match what {
                    0 if !model.contains_key(&offset) => {
                        leases.grant(offset, lease(now + by));
                        model.insert(offset, now + by);
                    }
                    1 if model.contains_key(&offset) => {
                        leases.extend(offset, now + by);
                        model.insert(offset, now + by);
                    }
                    2 => {
                        prop_assert_eq!(leases.end(offset).is_some(), model.remove(&offset).is_some());
                    }
                    _ => {
                        now += by / 4;
                        for (offset, _) in leases.expired(now) {
                            prop_assert!(model.remove(&offset).unwrap() <= now);
                        }
                        prop_assert!(model.values().all(|d| *d + TICK_MICROS > now));
                    }
                }
                prop_assert_eq!(leases.len(), model.len());
                let due = leases.next_due().unwrap_or(Micros::MAX);
                prop_assert!(model.values().all(|d| due < *d + TICK_MICROS));
            }
        }
    }
}
