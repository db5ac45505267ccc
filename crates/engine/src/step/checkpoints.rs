//! Checkpoints of a job that is stepped by hand: the same parts, format and order as in [`crate::job`].

use super::{StepRun, at_once};
use crate::checkpoint::{Checkpoints, Cut, Image, LanePart, Writer};
use bytes::Bytes;
use purlin_api::{Error, EventTime, Result};
use std::collections::BTreeMap;

/// How far a checkpoint comes before the process dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Until {
    /// All sinks have prepared; nothing is on the store.
    Prepared,
    /// It is on the store; no sink has committed.
    Written,
    /// All sinks have committed; no source knows.
    Committed,
    /// It is complete.
    Told,
}

/// Writes checkpoints.
pub(super) struct Saver {
    writer: Writer,
    parts: Vec<LanePart>,
    prepared: Vec<(usize, usize, Bytes)>,
}

impl StepRun {
    /// Goes on from a pipeline's checkpoints, and writes more with [`StepRun::checkpoint`]. Unlike jobs on threads, one
    /// that ends by itself may have them.
    ///
    /// # Errors
    /// If the last checkpoint does not fit, or cannot be read.
    pub fn with_checkpoints(mut self, plan: &purlin_plan::Plan, checkpoints: Checkpoints) -> Result<Self> {
        let loaded = checkpoints.load(&plan.graph)?;
        for (node, stats) in plan.graph.nodes.iter().zip(&self.stats) {
            if let Some(saved) = loaded.image.node(&node.label) {
                stats.start_at(&saved.counts);
            }
        }
        self.saver = Some(Saver { writer: loaded.writer, parts: Vec::new(), prepared: Vec::new() });
        self.barriers = loaded.image.epoch;
        for lane in 0..self.lanes.len() {
            self.restore(lane, &loaded.image)?;
        }
        // Lanes speak to each other only when all are as they were.
        for lane in 0..self.lanes.len() {
            if let Some(parts) = self.lanes.get_mut(lane) {
                parts.core.announce();
            }
            self.work(lane)?;
        }
        self.settle()?;
        let ended = |run: &Self, (lane, s): (usize, usize)| {
            run.lanes.get(lane).and_then(|l| l.progress.get(s)).is_some_and(|p| p.ended)
        };
        for place in self.open.clone() {
            if ended(&self, place)
                && let Some(parts) = self.lanes.get_mut(place.0)
                && let Some(node) = parts.sources.get(place.1).map(|(node, _)| *node)
            {
                parts.core.deliver_pull(node, Vec::new(), EventTime::MAX, false, true)?;
                self.work(place.0)?;
                self.settle()?;
                self.open.retain(|o| *o != place);
            }
        }
        Ok(self)
    }

    fn restore(&mut self, lane: usize, image: &Image) -> Result<()> {
        let Some(parts) = self.lanes.get_mut(lane) else { return Ok(()) };
        parts.restore(image)?;
        for (node, sink) in &mut parts.sinks {
            let label = parts.core.label(*node);
            let prepared = image.node(label).map(|n| n.prepared(parts.lane, parts.lanes));
            at_once(sink.restore(image.epoch, prepared.unwrap_or_default()))?
                .map_err(|e| e.in_place(label))?;
        }
        Ok(())
    }

    /// Ends an epoch with a checkpoint, as far as this. Answers whether it could: sources may stand where no barrier
    /// can pass.
    ///
    /// # Errors
    /// If the store or a sink fails, or the job has no checkpoints.
    pub fn checkpoint(&mut self, until: Until) -> Result<bool> {
        if !self.lanes.iter().all(|l| l.is_resumable()) {
            return Ok(false);
        }
        self.barriers += 1;
        let epoch = self.barriers;
        for lane in 0..self.lanes.len() {
            let Some(parts) = self.lanes.get_mut(lane) else { continue };
            if !parts.sources.is_empty() || parts.core.all_ended() {
                parts.sources.iter_mut().for_each(|(_, s)| s.barrier(epoch));
                self.pass_barrier(lane, epoch)?;
            }
        }
        self.settle()?;
        let saver = self.saver.as_mut().ok_or_else(|| Error::internal("a job without checkpoints"))?;
        let (parts, prepared) = (std::mem::take(&mut saver.parts), std::mem::take(&mut saver.prepared));
        if until == Until::Prepared {
            return Ok(true);
        }
        let drained = self.open.is_empty();
        saver.writer.write(Cut { epoch, drained, ..Cut::default() }, parts)?;
        if until == Until::Written {
            return Ok(true);
        }
        for (lane, node, bytes) in prepared {
            let Some(parts) = self.lanes.get_mut(lane) else { continue };
            if let Some(sink) = parts.sinks.get_mut(&node) {
                at_once(sink.commit(epoch, bytes))?.map_err(|e| e.in_place(parts.core.label(node)))?;
            }
        }
        if until == Until::Committed {
            return Ok(true);
        }
        for (_, source) in self.lanes.iter_mut().flat_map(|l| &mut l.sources) {
            at_once(source.committed(epoch))??;
        }
        Ok(true)
    }

    /// The barrier is at this lane: it gives what it keeps.
    pub(super) fn save_lane(&mut self, lane: usize, epoch: u64) -> Result<()> {
        let (Some(saver), Some(parts)) = (&mut self.saver, self.lanes.get_mut(lane)) else { return Ok(()) };
        let mut to_save = BTreeMap::new();
        for (node, sink) in &mut parts.sinks {
            let prepared = at_once(sink.prepare(epoch))?.map_err(|e| e.in_place(parts.core.label(*node)))?;
            to_save.insert(*node, prepared.clone());
            saver.prepared.push((lane, *node, prepared));
        }
        saver.parts.push(parts.save(to_save)?);
        Ok(())
    }
}
