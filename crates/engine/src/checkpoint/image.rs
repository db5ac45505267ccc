//! A checkpoint in memory: what lanes are restored from.

use super::format::{decode_log, read_section};
use super::manifest::{Counts, Manifest};
use super::store::CheckpointStore;
use bytes::Bytes;
use purlin_api::{EventTime, Result, StateRows};
use std::collections::BTreeMap;

/// What a job goes on from.
#[derive(Debug, Default)]
pub(crate) struct Image {
    pub(crate) epoch: u64,
    /// No windows were open, and time begins anew.
    pub(crate) drained: bool,
    /// A process began and ended before it had written anything: what it had taken from sources may still come.
    pub(crate) restarted: bool,
    nodes: BTreeMap<String, NodeImage>,
}

/// One transform of it.
#[derive(Debug, Default)]
pub(crate) struct NodeImage {
    pub(crate) lanes: Vec<LaneImage>,
    pub(crate) counts: Counts,
    pub(crate) tables: BTreeMap<String, TableImage>,
}

/// One table: its log, and how large that is by lane.
#[derive(Debug, Default)]
pub(crate) struct TableImage {
    pub(crate) log: Vec<StateRows>,
    pub(crate) sizes: BTreeMap<usize, LogSize>,
}

/// How large the log of a table is, for one lane, in rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct LogSize {
    /// The piece that makes it whole.
    pub(crate) whole: usize,
    /// Those that change it.
    pub(crate) changes: usize,
    pub(crate) pieces: usize,
}

/// One lane of a transform.
#[derive(Debug)]
pub(crate) struct LaneImage {
    pub(crate) input: EventTime,
    pub(crate) output: EventTime,
    pub(crate) ended: bool,
    pub(crate) position: Option<Bytes>,
    pub(crate) prepared: Option<Bytes>,
}

impl Image {
    /// Nothing was kept; epochs go on from this one.
    pub(crate) fn scratch(epoch: u64) -> Self {
        Image { epoch, drained: true, restarted: false, nodes: BTreeMap::new() }
    }

    /// Reads all that a manifest names.
    pub(crate) fn load(store: &dyn CheckpointStore, manifest: &Manifest) -> Result<Self> {
        let mut nodes = BTreeMap::new();
        for t in &manifest.transforms {
            let read = |s: &Option<_>| s.as_ref().map(|s| read_section(store, s)).transpose();
            let mut node = NodeImage { counts: t.counts.clone(), ..NodeImage::default() };
            for l in &t.lanes {
                node.lanes.push(LaneImage {
                    input: EventTime(l.input),
                    output: EventTime(l.output),
                    ended: l.ended,
                    position: read(&l.position)?,
                    prepared: read(&l.prepared)?,
                });
            }
            for table in &t.tables {
                let of = node.tables.entry(table.name.clone()).or_default();
                for piece in &table.log {
                    let size = of.sizes.entry(piece.lane).or_default();
                    *(if size.pieces == 0 { &mut size.whole } else { &mut size.changes }) +=
                        piece.rows as usize;
                    size.pieces += 1;
                    of.log.extend(decode_log(&read_section(store, &piece.section)?)?);
                }
            }
            nodes.insert(t.label.clone(), node);
        }
        let restarted = manifest.transforms.is_empty();
        Ok(Image { epoch: manifest.epoch, drained: manifest.drained, restarted, nodes })
    }

    /// What there was of a transform is gone, but for what it counted and how far time had come.
    pub(crate) fn forget(&mut self, label: &str) {
        if let Some(node) = self.nodes.get_mut(label) {
            node.tables.clear();
            for lane in &mut node.lanes {
                (lane.position, lane.prepared) = (None, None);
            }
        }
    }

    /// What there is of a transform.
    pub(crate) fn node(&self, label: &str) -> Option<&NodeImage> {
        self.nodes.get(label)
    }
}

impl NodeImage {
    /// The watermarks that an instance in `lane` of `lanes` goes on from: its own if there were as many lanes, else
    /// the earliest.
    pub(crate) fn watermarks(&self, lane: usize, lanes: usize) -> (EventTime, EventTime) {
        let of = |get: fn(&LaneImage) -> EventTime| match self.lanes.get(lane) {
            Some(l) if self.lanes.len() == lanes => get(l),
            _ => self.lanes.iter().map(get).min().unwrap_or(EventTime::MIN),
        };
        (of(|l| l.input), of(|l| l.output))
    }

    /// What sinks prepared that an instance in `lane` of `lanes` takes over.
    pub(crate) fn prepared(&self, lane: usize, lanes: usize) -> Vec<Bytes> {
        let of_lanes = self.lanes.iter().enumerate();
        of_lanes.filter(|(i, _)| i % lanes.max(1) == lane).filter_map(|(_, l)| l.prepared.clone()).collect()
    }
}
