//! What a log must hold, told apart from what it may hold.

use crate::store::{Append, Batch, Log, Page, StoreError};

use super::Rng;

/// A batch whose entries tell which they are.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sent {
    /// Grows with each batch of a log.
    pub(crate) number: u64,
    pub(crate) entries: Vec<(i64, Vec<u8>)>,
}

impl Sent {
    pub(crate) fn random(rng: &mut Rng, number: u64, clock: &mut i64) -> Self {
        let n = if rng.once_in(20) { 0 } else { 1 + rng.below(12) };
        let entries = (0..n).map(|i| {
            // Mostly forward, sometimes back.
            *clock += rng.below(40) as i64 - 8;
            let mut payload = Vec::new();
            payload.extend_from_slice(&number.to_le_bytes());
            payload.extend_from_slice(&(i as u16).to_le_bytes());
            payload.extend_from_slice(&(n as u16).to_le_bytes());
            let long = if rng.once_in(30) { 3000 } else { 60 };
            let mut filler = Rng(number * 1000 + i);
            payload.extend((0..rng.below(long)).map(|_| filler.next() as u8));
            (*clock, payload)
        });
        Self { number, entries: entries.collect() }
    }

    pub(crate) fn batch(&self) -> Batch {
        let mut batch = Batch::new();
        self.entries.iter().for_each(|(time, payload)| batch.push(*time, payload));
        batch
    }
}

/// What is known of one log.
#[derive(Debug, Default)]
pub(crate) struct Model {
    /// The entries that were there at the last look, from `first` on, and those answered since.
    pub(crate) first: u64,
    pub(crate) entries: Vec<(i64, Vec<u8>)>,
    /// Sent, in order, and not answered.
    pub(crate) pending: Vec<(Sent, Append)>,
    /// Answered with an error since the last success: a crash may still bring them up.
    pub(crate) failed: Vec<Sent>,
    /// Everything before this may be gone.
    pub(crate) trimmed: u64,
    pub(crate) batches: u64,
    pub(crate) clock: i64,
}

impl Model {
    pub(crate) fn next(&self) -> u64 {
        self.first + self.entries.len() as u64
    }

    /// Takes the answers there are. `dead` means that no more come.
    pub(crate) fn take_answers(&mut self, dead: bool) -> Result<(), String> {
        let mut still = Vec::new();
        for (sent, mut append) in std::mem::take(&mut self.pending) {
            match append.answer_now() {
                None if dead => return Err("an append was never answered".to_owned()),
                None => still.push((sent, append)),
                Some(Ok(offset)) if offset != self.next() => {
                    return Err(format!("batch {} is at {offset}, not {}", sent.number, self.next()));
                }
                Some(Ok(_)) => {
                    if !sent.entries.is_empty() {
                        self.failed.clear();
                    }
                    self.entries.extend(sent.entries);
                }
                Some(Err(e)) if is_expected(&e) => self.failed.push(sent),
                Some(Err(e)) => return Err(format!("batch {}: {e}", sent.number)),
            }
        }
        self.pending = still;
        Ok(())
    }

    /// Compares with what the log has while it runs: exactly what was answered.
    pub(crate) fn compare(&mut self, log: &Log, from: u64, bytes_max: usize) -> Result<(), String> {
        let page = log.read(from, bytes_max).map_err(|e| e.to_string())?;
        no_damage(&page)?;
        let bounds = log.bounds();
        if bounds.first > self.trimmed.max(self.first) {
            return Err(format!(
                "the log begins at {}, but was trimmed only to {}",
                bounds.first, self.trimmed
            ));
        }
        if bounds.next != self.next() {
            return Err(format!("the log ends at {}, not {}", bounds.next, self.next()));
        }
        let expected = from.max(bounds.first);
        if page.records.is_empty() && expected < bounds.next {
            return Err(format!("nothing at {expected} of {bounds:?}"));
        }
        for (expected, record) in (expected..).zip(&page.records) {
            if record.offset != expected {
                return Err(format!("offset {} in place of {expected}", record.offset));
            }
            match self.entries.get((record.offset - self.first) as usize) {
                Some((time, payload)) if *time == record.time && payload[..] == record.payload[..] => {}
                _ => return Err(format!("entry {} is another one", record.offset)),
            }
        }
        Ok(())
    }

    /// Compares with what the log has after a crash or a restart, and takes that for the truth.
    pub(crate) fn recovered(&mut self, log: &Log) -> Result<(), String> {
        let bounds = log.bounds();
        if bounds.first > self.trimmed.max(self.first) {
            return Err(format!(
                "the log begins at {}, but was trimmed only to {}",
                bounds.first, self.trimmed
            ));
        }
        let mut found = Vec::new();
        let mut from = bounds.first;
        while from < bounds.next {
            let page = log.read(from, 1 << 16).map_err(|e| e.to_string())?;
            no_damage(&page)?;
            if page.next <= from {
                return Err(format!("reading stands still at {from}"));
            }
            from = page.next;
            found.extend(page.records);
        }
        if bounds.next < self.next() {
            return Err(format!("{} entries were answered, {} are left", self.next(), bounds.next));
        }
        let known = found.iter().filter(|r| r.offset >= self.first && r.offset < self.next());
        for record in known {
            let (time, payload) = &self.entries[(record.offset - self.first) as usize];
            if *time != record.time || payload[..] != record.payload[..] {
                return Err(format!("entry {} is another one", record.offset));
            }
        }
        // What follows may be any of those sent, in order, each whole.
        let mut maybe: Vec<Sent> = std::mem::take(&mut self.failed);
        maybe.extend(std::mem::take(&mut self.pending).into_iter().map(|(s, _)| s));
        let mut maybe = maybe.into_iter();
        let mut rest = found.iter().filter(|r| r.offset >= self.next()).peekable();
        while let Some(record) = rest.peek() {
            let number = u64::from_le_bytes(record.payload[..8].try_into().unwrap());
            let Some(sent) = maybe.find(|s| s.number == number) else {
                return Err(format!(
                    "entry {} of batch {number} was never sent, or out of order",
                    record.offset
                ));
            };
            for (time, payload) in &sent.entries {
                match rest.next() {
                    Some(r) if r.time == *time && r.payload[..] == payload[..] => {}
                    other => return Err(format!("batch {number} is not whole: {other:?}")),
                }
            }
        }
        self.first = bounds.first;
        self.entries = found.into_iter().map(|r| (r.time, r.payload.to_vec())).collect();
        Ok(())
    }

    /// The first entry with at least `time`, by looking at all.
    pub(crate) fn first_at(&self, from: u64, time: i64) -> Option<u64> {
        let skip = from.saturating_sub(self.first) as usize;
        let at = self.entries.iter().skip(skip).position(|(t, _)| *t >= time)?;
        Some(self.first + (skip + at) as u64)
    }
}

fn no_damage(page: &Page) -> Result<(), String> {
    if page.damage.is_empty() { Ok(()) } else { Err(format!("damage: {:?}", page.damage)) }
}

/// Errors that the simulated faults bring.
pub(crate) fn is_expected(e: &StoreError) -> bool {
    match e {
        StoreError::NoSpace { .. }
        | StoreError::Poisoned { .. }
        | StoreError::Chained { .. }
        | StoreError::Deleted { .. } => true,
        StoreError::Io { source, .. } => source.to_string().contains("the disk cannot"),
        _ => false,
    }
}
