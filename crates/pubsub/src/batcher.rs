//! Gathering messages into requests: by count, bytes and time, one request at a time for each ordering key.
//!
//! Pure: the time comes in as a parameter, and what to send comes out.

use std::collections::{HashMap, HashSet, VecDeque};

/// When a batch is full, or has waited long enough.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Messages of a request; Google takes at most 1000.
    pub messages_max: usize,
    /// Bytes of a request; Google takes at most 10 MB.
    pub bytes_max: usize,
    /// How long the first message of a batch waits for others, in microseconds.
    pub delay_us_max: i64,
}

/// Messages that go in one request.
#[derive(Debug, PartialEq, Eq)]
pub struct Batch<T> {
    /// The ordering key they share; empty for none.
    pub key: String,
    /// The messages, in order.
    pub items: Vec<T>,
    /// Their size.
    pub bytes: usize,
}

#[derive(Debug)]
struct Open<T> {
    items: Vec<T>,
    bytes: usize,
    since_us: i64,
}

/// What waits to be sent.
#[derive(Debug)]
pub struct Batcher<T> {
    limits: Limits,
    open: HashMap<String, Open<T>>,
    full: VecDeque<Batch<T>>,
    busy: HashSet<String>,
}

impl<T> Batcher<T> {
    /// Empty.
    pub fn new(limits: Limits) -> Self {
        Batcher { limits, open: HashMap::new(), full: VecDeque::new(), busy: HashSet::new() }
    }

    /// Takes a message of so many bytes at `now`.
    pub fn push(&mut self, key: &str, item: T, bytes: usize, now: i64) {
        let limits = self.limits;
        if self.open.get(key).is_some_and(|o| o.bytes + bytes > limits.bytes_max) {
            self.close(key);
        }
        let open = match self.open.get_mut(key) {
            Some(open) => open,
            None => self.open.entry(key.to_owned()).or_insert_with(|| Open {
                items: Vec::with_capacity(limits.messages_max.min(1024)),
                bytes: 0,
                since_us: now,
            }),
        };
        open.items.push(item);
        open.bytes += bytes;
        if open.items.len() >= limits.messages_max || open.bytes >= limits.bytes_max {
            self.close(key);
        }
    }

    fn close(&mut self, key: &str) {
        if let Some((key, open)) = self.open.remove_entry(key) {
            self.full.push_back(Batch { key, items: open.items, bytes: open.bytes });
        }
    }

    /// Closes what has waited long enough at `now`.
    pub fn tick(&mut self, now: i64) {
        let due = |o: &Open<T>| now.saturating_sub(o.since_us) >= self.limits.delay_us_max;
        let keys: Vec<String> = self.open.iter().filter(|(_, o)| due(o)).map(|(k, _)| k.clone()).collect();
        keys.iter().for_each(|k| self.close(k));
    }

    /// Closes everything.
    pub fn flush(&mut self) {
        let keys: Vec<String> = self.open.keys().cloned().collect();
        keys.iter().for_each(|k| self.close(k));
    }

    /// When [`Batcher::tick`] has something to do next.
    pub fn next_due(&self) -> Option<i64> {
        self.open.values().map(|o| o.since_us.saturating_add(self.limits.delay_us_max)).min()
    }

    /// A request to send now. One with an ordering key is followed by the next of that key only after
    /// [`Batcher::answered`].
    pub fn pop(&mut self) -> Option<Batch<T>> {
        let at = self.full.iter().position(|b| !self.busy.contains(&b.key))?;
        let batch = self.full.remove(at)?;
        if !batch.key.is_empty() {
            self.busy.insert(batch.key.clone());
        }
        Some(batch)
    }

    /// A request with this key was answered.
    pub fn answered(&mut self, key: &str) {
        self.busy.remove(key);
    }

    /// True if nothing waits.
    pub fn is_empty(&self) -> bool {
        self.open.is_empty() && self.full.is_empty()
    }

    /// Takes everything that waits, as it will not be sent.
    pub fn give_up(&mut self) -> Vec<Batch<T>> {
        self.flush();
        self.full.drain(..).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIMITS: Limits = Limits { messages_max: 3, bytes_max: 100, delay_us_max: 10 };

    fn taken(b: &mut Batcher<u32>) -> Vec<Vec<u32>> {
        std::iter::from_fn(|| b.pop()).map(|b| b.items).collect()
    }

    #[test]
    fn a_batch_is_full_by_count_by_bytes_or_by_time() {
        let mut b = Batcher::new(LIMITS);
        (0..4).for_each(|i| b.push("", i, 1, 0));
        assert_eq!(taken(&mut b), [vec![0, 1, 2]]);
        b.push("", 4, 99, 5);
        b.push("", 5, 99, 5);
        assert_eq!(taken(&mut b), [vec![3, 4]], "the third would not have fit");
        assert_eq!(b.next_due(), Some(15));
        b.tick(14);
        assert!(taken(&mut b).is_empty());
        b.tick(15);
        assert_eq!(taken(&mut b), [vec![5]]);
        assert!(b.is_empty());
    }

    #[test]
    fn a_key_has_one_request_in_flight() {
        let mut b = Batcher::new(LIMITS);
        (0..6).for_each(|i| b.push("k", i, 1, 0));
        (6..9).for_each(|i| b.push("l", i, 1, 0));
        assert_eq!(taken(&mut b), [vec![0, 1, 2], vec![6, 7, 8]]);
        b.answered("k");
        assert_eq!(taken(&mut b), [vec![3, 4, 5]]);
    }

    proptest! {
        #[test]
        fn nothing_is_lost_and_keys_keep_their_order(
            pushes in prop::collection::vec((0_u8..3, 1_usize..60), 0..200)
        ) {
            let mut b = Batcher::new(LIMITS);
            let mut sent: HashMap<String, Vec<u32>> = HashMap::new();
            for (i, (key, bytes)) in pushes.iter().enumerate() {
                b.push(&key.to_string(), i as u32, *bytes, i as i64);
                if i % 7 == 0 {
                    b.tick(i as i64);
                }
                if let Some(batch) = b.pop() {
                    prop_assert!(batch.items.len() <= 3);
                    b.answered(&batch.key);
                    sent.entry(batch.key).or_default().extend(batch.items);
                }
            }
            b.flush();
            while let Some(batch) = b.pop() {
                b.answered(&batch.key);
                sent.entry(batch.key).or_default().extend(batch.items);
            }
            prop_assert!(b.is_empty());
            prop_assert_eq!(sent.values().map(Vec::len).sum::<usize>(), pushes.len());
            prop_assert!(sent.values().all(|s| s.is_sorted()));
        }
    }
}
