//! What one lane keeps at a barrier, and how it goes on from a checkpoint.

use super::image::{Image, LogSize, NodeImage};
pub(crate) use super::manifest::Counts;
use crate::wiring::LaneParts;
use arrow_schema::SchemaRef;
use bytes::Bytes;
use purlin_api::{Error, EventTime, Extent, Result, Resume, Saved, StateTable};
use purlin_plan::NodeId;
use std::collections::BTreeMap;

/// What one lane keeps at a barrier.
#[derive(Debug)]
pub(crate) struct LanePart {
    pub(crate) lane: usize,
    pub(crate) lanes: usize,
    pub(crate) nodes: Vec<NodePart>,
}

impl LanePart {
    /// Whether sinks prepared anything.
    pub(crate) fn shows(&self) -> bool {
        self.nodes.iter().any(|n| n.prepared.as_ref().is_some_and(|p| !p.is_empty()))
    }
}

/// What one transform of it keeps.
#[derive(Debug)]
pub(crate) struct NodePart {
    pub(crate) node: NodeId,
    pub(crate) tables: Vec<SavedTable>,
    pub(crate) position: SavedPosition,
    pub(crate) prepared: Option<Bytes>,
    pub(crate) input: EventTime,
    pub(crate) output: EventTime,
    pub(crate) counts: Counts,
}

/// The name, schema and log of a table.
pub(crate) type SavedTable = (&'static str, SchemaRef, Saved);

/// Where a source stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum SavedPosition {
    /// At its beginning, or it is no source.
    #[default]
    None,
    At(Bytes),
    Ended(Option<Bytes>),
}

/// How far a source has come.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// What it said last.
    pub(crate) resume: Option<Resume>,
    pub(crate) ended: bool,
}

impl Progress {
    /// True if a barrier may pass here.
    pub(crate) fn is_resumable(&self) -> bool {
        self.ended || self.resume != Some(Resume::Barrier)
    }

    fn position(&self) -> SavedPosition {
        let at = match &self.resume {
            Some(Resume::Seek(at) | Resume::Replay(at)) => Some(at.clone()),
            Some(Resume::Barrier) | None => None,
        };
        match (self.ended, at) {
            (true, at) => SavedPosition::Ended(at),
            (false, Some(at)) => SavedPosition::At(at),
            (false, None) => SavedPosition::None,
        }
    }
}

/// Changes are written up to as many rows as the table had, and in so many pieces: what is read back is at most twice
/// the table then, and what is written about twice its changes.
const CHANGES_MIN: usize = 4096;
const PIECES_MAX: usize = 100;
/// Tables that are this large in rows are worth more pieces.
const LARGE: usize = 200_000;
const PIECES_OF_LARGE_MAX: usize = 1000;

/// The sizes of the logs of a lane's tables, by node and name.
#[derive(Debug, Default)]
pub(crate) struct LogSizes(BTreeMap<(usize, &'static str), LogSize>);

impl LogSizes {
    fn extent(&self, node: usize, table: &'static str) -> Extent {
        let Some(size) = self.0.get(&(node, table)) else { return Extent::Whole };
        let pieces_max = if size.whole < LARGE { PIECES_MAX } else { PIECES_OF_LARGE_MAX };
        if size.changes > size.whole.max(CHANGES_MIN) || size.pieces >= pieces_max {
            return Extent::Whole;
        }
        Extent::Changes
    }

    fn saved(&mut self, node: usize, table: &'static str, saved: &Saved) {
        let rows: usize = saved.log.iter().map(|r| r.rows.num_rows()).sum();
        let size = self.0.entry((node, table)).or_default();
        match saved.extent {
            Extent::Whole => *size = LogSize { whole: rows, changes: 0, pieces: 1 },
            Extent::Changes if rows > 0 => {
                size.changes += rows;
                size.pieces += 1;
            }
            Extent::Changes => {}
        }
    }

    /// Saves some tables.
    pub(crate) fn save(&mut self, node: usize, tables: Vec<&mut dyn StateTable>) -> Result<Vec<SavedTable>> {
        let mut all = Vec::with_capacity(tables.len());
        for table in tables {
            let saved = table.save(self.extent(node, table.name()))?;
            self.saved(node, table.name(), &saved);
            all.push((table.name(), table.schema(), saved));
        }
        Ok(all)
    }

    /// Fills some tables.
    fn restore(
        &mut self,
        node: usize,
        tables: Vec<&mut dyn StateTable>,
        image: &NodeImage,
        (lane, lanes): (usize, usize),
    ) -> Result<()> {
        for table in tables {
            let Some(saved) = image.tables.get(table.name()) else { continue };
            for rows in &saved.log {
                if rows.rows.schema().fields() != table.schema().fields() {
                    return Err(Error::internal(format!(
                        "the table `{}` of the checkpoint has other columns than this program's",
                        table.name()
                    )));
                }
                let mine = rows.of_lane(lane, lanes)?;
                if mine.rows.num_rows() > 0 {
                    table.apply(&mine)?;
                }
            }
            if image.lanes.len() == lanes
                && let Some(size) = saved.sizes.get(&lane)
            {
                self.0.insert((node, table.name()), *size);
            }
        }
        Ok(())
    }
}

impl LaneParts {
    /// True if a barrier may pass through all its sources.
    pub(crate) fn is_resumable(&self) -> bool {
        self.progress.iter().all(Progress::is_resumable)
    }

    /// What the lane keeps at a barrier that has just passed. The lane is quiet; `prepared` is what its sinks answered.
    pub(crate) fn save(&mut self, mut prepared: BTreeMap<usize, Bytes>) -> Result<LanePart> {
        let mut nodes = Vec::with_capacity(self.nodes.len());
        for (at, node) in self.nodes.iter().enumerate() {
            let mut part = self.core.save(at, *node, &mut self.sizes)?;
            part.prepared = prepared.remove(&at);
            nodes.push(part);
        }
        for ((at, source), progress) in self.sources.iter_mut().zip(&self.progress) {
            if let Some(part) = nodes.get_mut(*at) {
                part.position = progress.position();
                part.tables = self.sizes.save(*at, source.tables())?;
            }
        }
        Ok(LanePart { lane: self.lane, lanes: self.lanes, nodes })
    }

    /// Goes on from a checkpoint; sinks are the driver's.
    pub(crate) fn restore(&mut self, image: &Image) -> Result<()> {
        let place = (self.lane, self.lanes);
        for at in 0..self.nodes.len() {
            let node = image.node(self.core.label(at));
            self.core.start_at(at, node, image, place, |tables, node| {
                self.sizes.restore(at, tables, node, place)
            })?;
        }
        for ((at, source), progress) in self.sources.iter_mut().zip(&mut self.progress) {
            let label = self.core.label(*at).to_owned();
            if image.restarted {
                source.restarted();
            }
            let Some(node) = image.node(&label) else { continue };
            self.sizes.restore(*at, source.tables(), node, place).map_err(|e| e.in_place(&label))?;
            let positions: Vec<Bytes> = node.lanes.iter().filter_map(|l| l.position.clone()).collect();
            progress.ended = match node.lanes.get(self.lane).filter(|_| node.lanes.len() == self.lanes) {
                Some(lane) => lane.ended,
                None => !node.lanes.is_empty() && node.lanes.iter().all(|l| l.ended),
            };
            let has_rows = node.tables.values().any(|t| !t.log.is_empty());
            if !positions.is_empty() || has_rows {
                // Lanes may share what is left: where each of them stands is known once it has been asked.
                progress.resume = Some(Resume::Barrier);
                source.restore(&positions).map_err(|e| e.in_place(&label))?;
            }
            if progress.ended {
                let lane = node.lanes.get(self.lane).and_then(|l| l.position.clone());
                progress.resume = lane.map(Resume::Seek);
            }
        }
        Ok(())
    }
}
