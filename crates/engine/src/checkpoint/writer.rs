//! Writes checkpoints, each on what those before it left, and takes away what is not needed any more.

use super::format::{Object, encode_log, epoch_of, object_name};
use super::lane::{LanePart, NodePart, SavedPosition};
use super::manifest::{Counts, FORMAT, LaneEntry, LogEntry, Manifest, TableEntry, TransformEntry};
use super::store::{CheckpointStore, taken};
use purlin_api::{Error, Extent, Result};
use purlin_plan::Graph;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Whose checkpoints these are.
#[derive(Clone, Debug, Default)]
pub(crate) struct Origin {
    pub(crate) pipeline: String,
    pub(crate) lineage: String,
    pub(crate) run: String,
}

impl Origin {
    /// Writes the checkpoint of nothing.
    pub(crate) fn begin(&self, store: &dyn CheckpointStore, epoch: u64, at: i64) -> Result<Manifest> {
        let manifest = Manifest { drained: true, ..self.manifest(epoch, at) };
        store.put(&object_name(epoch), &Object::new(epoch).finish(&manifest)?)?;
        Ok(manifest)
    }

    /// Of no transforms yet.
    fn manifest(&self, epoch: u64, at: i64) -> Manifest {
        Manifest {
            format: FORMAT,
            purlin: env!("CARGO_PKG_VERSION").to_owned(),
            pipeline: self.pipeline.clone(),
            lineage: self.lineage.clone(),
            run: self.run.clone(),
            epoch,
            at,
            ..Manifest::default()
        }
    }
}

/// What a checkpoint is of.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cut {
    pub(crate) epoch: u64,
    /// When it is written, in microseconds since 1970.
    pub(crate) at: i64,
    /// See [`Manifest::drained`].
    pub(crate) drained: bool,
    /// See [`Manifest::confirms`].
    pub(crate) confirms: bool,
}

/// What is known of a transform beside what lanes save.
#[derive(Clone, Debug)]
struct Known {
    label: String,
    type_name: String,
    means: Option<String>,
}

/// Writes the checkpoints of one job.
#[derive(Debug)]
pub(crate) struct Writer {
    store: Arc<dyn CheckpointStore>,
    origin: Origin,
    nodes: Vec<Known>,
    /// What earlier runs counted, by label.
    base: BTreeMap<String, Counts>,
    last: Manifest,
}

impl Writer {
    /// For a job that goes on from `last`, if that has an epoch.
    pub(crate) fn new(
        store: Arc<dyn CheckpointStore>,
        origin: Origin,
        graph: &Graph,
        last: Option<Manifest>,
    ) -> Self {
        let known = |n: &purlin_plan::GraphNode| Known {
            label: n.label.clone(),
            type_name: n.type_name.clone(),
            means: n.node.state().map(|s| s.means),
        };
        let last = last.unwrap_or_default();
        let base = last.transforms.iter().map(|t| {
            let counts = Counts { in_state: 0, ..t.counts.clone() };
            (t.label.clone(), counts)
        });
        Writer { store, origin, nodes: graph.nodes.iter().map(known).collect(), base: base.collect(), last }
    }

    /// Writes the checkpoint of an epoch. Answers how many bytes it has.
    pub(crate) fn write(&mut self, of: Cut, parts: Vec<LanePart>) -> Result<u64> {
        let Cut { epoch, at, drained, confirms } = of;
        self.check_all_lanes(&parts)?;
        let mut by_node: BTreeMap<usize, Vec<(usize, NodePart)>> = BTreeMap::new();
        for part in parts {
            for node in part.nodes {
                by_node.entry(node.node).or_default().push((part.lane, node));
            }
        }
        let mut object = Object::new(epoch);
        let mut transforms = Vec::with_capacity(by_node.len());
        for (node, mut lanes) in by_node {
            lanes.sort_by_key(|(lane, _)| *lane);
            let Some(known) = self.nodes.get(node) else { continue };
            transforms.push(self.transform(known, lanes, &mut object)?);
        }
        let manifest = Manifest { drained, confirms, transforms, ..self.origin.manifest(epoch, at) };
        let parts = object.finish(&manifest)?;
        let bytes = parts.iter().map(|p| p.len() as u64).sum();
        self.store.put(&object_name(epoch), &parts)?;
        let before = std::mem::replace(&mut self.last, manifest);
        self.clear(epoch, &before)?;
        Ok(bytes)
    }

    /// Every lane of every transform must be there: what is missing would be lost.
    fn check_all_lanes(&self, parts: &[LanePart]) -> Result<()> {
        let mut missing: Vec<Option<usize>> = vec![None; self.nodes.len()];
        for part in parts {
            for node in &part.nodes {
                if let Some(missing) = missing.get_mut(node.node) {
                    *missing = Some(missing.unwrap_or(part.lanes).saturating_sub(1));
                }
            }
        }
        match missing.iter().position(|m| *m != Some(0)) {
            Some(node) => {
                let label = self.nodes.get(node).map_or("", |n| n.label.as_str());
                Err(Error::internal("a checkpoint without all of its lanes was not written").in_place(label))
            }
            None => Ok(()),
        }
    }

    fn transform(
        &self,
        known: &Known,
        lanes: Vec<(usize, NodePart)>,
        object: &mut Object,
    ) -> Result<TransformEntry> {
        let old = self.last.transform(&known.label);
        let same_lanes = old.is_some_and(|t| t.lanes.len() == lanes.len());
        let mut entry = TransformEntry {
            label: known.label.clone(),
            type_name: known.type_name.clone(),
            means: known.means.clone(),
            counts: self.base.get(&known.label).cloned().unwrap_or_default(),
            ..TransformEntry::default()
        };
        let mut tables: BTreeMap<&'static str, Vec<LogEntry>> = BTreeMap::new();
        for (lane, part) in lanes {
            entry.counts.add(&part.counts);
            let (ended, position) = match part.position {
                SavedPosition::None => (false, None),
                SavedPosition::At(at) => (false, Some(at)),
                SavedPosition::Ended(at) => (true, at),
            };
            entry.lanes.push(LaneEntry {
                input: part.input.0,
                output: part.output.0,
                ended,
                position: position.map(|p| object.section(p)),
                prepared: part.prepared.map(|p| object.section(p)),
            });
            for (name, schema, saved) in part.tables {
                let log = tables.entry(name).or_default();
                if saved.extent == Extent::Changes && same_lanes {
                    let old = old.and_then(|t| t.tables.iter().find(|t| t.name == name));
                    log.extend(old.iter().flat_map(|t| &t.log).filter(|l| l.lane == lane).cloned());
                }
                let rows: u64 = saved.log.iter().map(|r| r.rows.num_rows() as u64).sum();
                if rows > 0 {
                    let section = object.section(encode_log(&schema, &saved.log)?);
                    log.push(LogEntry { lane, rows, section });
                }
            }
        }
        entry.tables =
            tables.into_iter().map(|(name, log)| TableEntry { name: name.to_owned(), log }).collect();
        Ok(entry)
    }

    /// Deletes what neither this checkpoint nor the one before it needs.
    ///
    /// Nothing may be committed unless this epoch is the newest there is. A process that stood still while another took
    /// over may find the name of its epoch free again, as the other has deleted that object; but then it finds later
    /// ones, as the newest is never deleted.
    fn clear(&self, epoch: u64, before: &Manifest) -> Result<()> {
        let needed: BTreeSet<u64> = self.last.needs().chain(before.needs()).collect();
        let objects = self.store.list()?;
        let known = || objects.iter().filter_map(|(name, _)| Some((name, epoch_of(name)?)));
        if let Some((later, _)) = known().find(|(_, e)| *e > epoch) {
            return Err(taken(later, self.store.as_ref()));
        }
        for (name, _) in known().filter(|(_, e)| !needed.contains(e)) {
            self.store.delete(name)?;
        }
        Ok(())
    }
}
