//! What a checkpoint says of itself.

use purlin_api::Fates;
use serde::{Deserialize, Serialize};

/// The version of the format that is written. Readers read this one and those before it.
pub(crate) const FORMAT: u32 = 1;

/// One checkpoint: what it is of, and where its parts are.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    pub(crate) format: u32,
    /// The version of the program that wrote it.
    pub(crate) purlin: String,
    pub(crate) pipeline: String,
    /// Drawn when the pipeline started from scratch.
    pub(crate) lineage: String,
    /// Drawn by each run, so that two processes never write the same bytes; earlier ones have none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) run: String,
    pub(crate) epoch: u64,
    /// When it was written, in microseconds since 1970.
    pub(crate) at: i64,
    /// The pipeline had been drained: no windows were open, and time begins anew.
    pub(crate) drained: bool,
    /// What its sinks prepared for the epochs before it is committed, and for this one they prepared nothing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) confirms: bool,
    pub(crate) transforms: Vec<TransformEntry>,
}

/// One transform.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct TransformEntry {
    pub(crate) label: String,
    #[serde(rename = "type")]
    pub(crate) type_name: String,
    /// What its state means; transforms without state have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) means: Option<String>,
    pub(crate) counts: Counts,
    pub(crate) lanes: Vec<LaneEntry>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) tables: Vec<TableEntry>,
}

/// What became of rows, over the life of the pipeline.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Counts {
    pub(crate) rows_in: u64,
    pub(crate) rows_out: Vec<u64>,
    pub(crate) passed: u64,
    pub(crate) filtered: u64,
    pub(crate) late: u64,
    pub(crate) dead: u64,
    pub(crate) in_state: u64,
}

impl Counts {
    pub(crate) fn new(rows_in: u64, rows_out: &[u64], fates: &Fates) -> Self {
        Counts {
            rows_in,
            rows_out: rows_out.to_vec(),
            passed: fates.passed,
            filtered: fates.filtered,
            late: fates.late,
            dead: fates.dead,
            in_state: fates.in_state,
        }
    }

    /// Adds what another lane, or another run, counted. Rows in state are not added: they are what they are now.
    pub(crate) fn add(&mut self, more: &Counts) {
        self.rows_in += more.rows_in;
        self.rows_out.resize(self.rows_out.len().max(more.rows_out.len()), 0);
        self.rows_out.iter_mut().zip(&more.rows_out).for_each(|(a, b)| *a += b);
        self.passed += more.passed;
        self.filtered += more.filtered;
        self.late += more.late;
        self.dead += more.dead;
        self.in_state += more.in_state;
    }
}

/// One lane of a transform.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct LaneEntry {
    /// Watermarks, in microseconds.
    pub(crate) input: i64,
    pub(crate) output: i64,
    /// For a source: it had ended.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) ended: bool,
    /// For a source: where it stood, if it had given anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) position: Option<Section>,
    /// For a sink: what it had prepared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) prepared: Option<Section>,
}

/// One table of a transform.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct TableEntry {
    pub(crate) name: String,
    /// Its log, in order.
    pub(crate) log: Vec<LogEntry>,
}

/// A piece of a table's log.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct LogEntry {
    /// The lane that saved it.
    pub(crate) lane: usize,
    pub(crate) rows: u64,
    #[serde(flatten)]
    pub(crate) section: Section,
}

/// Some bytes of a checkpoint's object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Section {
    /// The epoch of the object.
    pub(crate) epoch: u64,
    pub(crate) offset: u64,
    pub(crate) length: u64,
    pub(crate) crc32c: u32,
}

impl Manifest {
    /// The epochs of all objects that it needs.
    pub(crate) fn needs(&self) -> impl Iterator<Item = u64> + '_ {
        let of_tables = self.transforms.iter().flat_map(|t| &t.tables);
        of_tables.flat_map(|t| &t.log).map(|l| l.section.epoch).chain([self.epoch])
    }

    /// True if there is anything in the state of a transform.
    pub(crate) fn has_state(&self, of: &TransformEntry) -> bool {
        let lanes = of.lanes.iter().any(|l| l.position.is_some());
        lanes || of.tables.iter().any(|t| t.log.iter().any(|l| l.rows > 0)) || self.has_prepared(of)
    }

    /// True if sinks prepared anything that counts: after a pipeline was drained no file is open, and what they say has been
    /// shown need not be shown again.
    fn has_prepared(&self, of: &TransformEntry) -> bool {
        let is_over = self.drained && self.confirms;
        !is_over && of.lanes.iter().any(|l| l.prepared.is_some_and(|p| p.length > 0))
    }

    pub(crate) fn transform(&self, label: &str) -> Option<&TransformEntry> {
        self.transforms.iter().find(|t| t.label == label)
    }
}
