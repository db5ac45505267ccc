//! Live figures of a running job, by transform.

use purlin_api::{EventTime, Fates};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

/// Counters of one transform, over all its lanes.
#[derive(Debug)]
pub struct NodeStats {
    /// The transform's label.
    pub label: String,
    /// Its type.
    pub type_name: String,
    /// True if it reads from outside.
    pub is_source: bool,
    /// True if it only writes to outside.
    pub is_sink: bool,
    /// Rows it was given; for a source, units it read.
    pub rows_in: AtomicU64,
    /// Rows it gave, by output.
    pub rows_out: Vec<AtomicU64>,
    /// Rows that went on.
    pub passed: AtomicU64,
    /// Rows dropped on purpose.
    pub filtered: AtomicU64,
    /// Rows that came too late.
    pub late: AtomicU64,
    /// Rows that failed.
    pub dead: AtomicU64,
    /// Rows waiting in state.
    pub in_state: AtomicU64,
    /// The output watermark of the last lane that moved.
    pub watermark: AtomicI64,
    /// For a source: how many of its instances gave something when they were last asked.
    pub active: AtomicU64,
    /// For a source that knows: how much it has read, in units of its own (bytes, for files).
    pub read_done: AtomicU64,
    /// For a source that knows: how much there is to read; 0 if it does not.
    pub read_total: AtomicU64,
}

impl NodeStats {
    /// All at zero.
    pub fn new(label: &str, type_name: &str, inputs: usize, outputs: usize) -> Self {
        NodeStats {
            label: label.to_owned(),
            type_name: type_name.to_owned(),
            is_source: inputs == 0,
            is_sink: inputs > 0 && outputs == 0,
            rows_in: AtomicU64::new(0),
            rows_out: (0..outputs).map(|_| AtomicU64::new(0)).collect(),
            passed: AtomicU64::new(0),
            filtered: AtomicU64::new(0),
            late: AtomicU64::new(0),
            dead: AtomicU64::new(0),
            in_state: AtomicU64::new(0),
            watermark: AtomicI64::new(EventTime::MIN.0),
            active: AtomicU64::new(0),
            read_done: AtomicU64::new(0),
            read_total: AtomicU64::new(0),
        }
    }

    /// Begins with what earlier runs counted; rows in state are the lanes' to say.
    pub(crate) fn start_at(&self, counts: &crate::checkpoint::Counts) {
        let add = |a: &AtomicU64, n: u64| {
            a.fetch_add(n, Ordering::Relaxed);
        };
        add(&self.rows_in, counts.rows_in);
        self.rows_out.iter().zip(&counts.rows_out).for_each(|(a, n)| add(a, *n));
        add(&self.passed, counts.passed);
        add(&self.filtered, counts.filtered);
        add(&self.late, counts.late);
        add(&self.dead, counts.dead);
    }

    /// Adds what a lane's fates changed by.
    pub(crate) fn add_fates(&self, before: &Fates, after: &Fates) {
        let add = |a: &AtomicU64, b: u64, c: u64| {
            // Wrapping keeps a fall (rows leaving state) right in unsigned arithmetic.
            a.fetch_add(c.wrapping_sub(b), Ordering::Relaxed);
        };
        add(&self.passed, before.passed, after.passed);
        add(&self.filtered, before.filtered, after.filtered);
        add(&self.late, before.late, after.late);
        add(&self.dead, before.dead, after.dead);
        add(&self.in_state, before.in_state, after.in_state);
    }

    /// The fates as they stand.
    pub fn fates(&self) -> Fates {
        let get = |a: &AtomicU64| a.load(Ordering::Relaxed);
        Fates {
            passed: get(&self.passed),
            filtered: get(&self.filtered),
            late: get(&self.late),
            dead: get(&self.dead),
            in_state: get(&self.in_state),
        }
    }

    /// Rows given, as they stand.
    pub fn rows_in(&self) -> u64 {
        self.rows_in.load(Ordering::Relaxed)
    }

    /// Rows emitted over all outputs.
    pub fn rows_out(&self) -> u64 {
        self.rows_out.iter().map(|a| a.load(Ordering::Relaxed)).sum()
    }
}
