//! What a lane's transforms keep at a barrier, and how they go on from it.

use super::{Core, Kind, no_cell};
use crate::checkpoint::{Counts, Image, LogSizes, NodeImage, NodePart, SavedPosition};
use crate::message::Message;
use purlin_api::{Error, EventTime, Result, StateTable};
use purlin_plan::NodeId;

impl Core {
    /// What a transform keeps: its tables, watermarks and counts. Sources and sinks add what is theirs.
    pub(crate) fn save(&mut self, at: usize, node: NodeId, sizes: &mut LogSizes) -> Result<NodePart> {
        let cell = self.cells.get_mut(at).ok_or_else(no_cell)?;
        let mut tables = Vec::new();
        if let (Kind::Operator(operator), false) = (&mut cell.kind, cell.ended) {
            let declared = operator.tables();
            if declared.is_empty() && cell.cx.fates.in_state > 0 {
                let text = format!("keeps {} rows, and declares no table for them", cell.cx.fates.in_state);
                return Err(Error::internal(text).in_place(&cell.label));
            }
            tables = sizes.save(at, declared).map_err(|e| e.in_place(&cell.label))?;
        }
        Ok(NodePart {
            node,
            tables,
            position: SavedPosition::None,
            prepared: None,
            input: if cell.is_source() { cell.told } else { cell.merge.current() },
            output: cell.told,
            counts: Counts::new(cell.rows_in - cell.restored_rows, &cell.rows_out, &cell.cx.fates),
        })
    }

    /// A transform goes on from a checkpoint: `fill` fills its tables. Without anything of it in the checkpoint, and
    /// if no windows were open then, it begins.
    pub(crate) fn start_at(
        &mut self,
        at: usize,
        saved: Option<&NodeImage>,
        image: &Image,
        (lane, lanes): (usize, usize),
        fill: impl FnOnce(Vec<&mut dyn StateTable>, &NodeImage) -> Result<()>,
    ) -> Result<()> {
        let cell = self.cells.get_mut(at).ok_or_else(no_cell)?;
        let label = cell.label.clone();
        cell.cx.epoch = image.epoch + 1;
        let saved = saved.filter(|_| !image.drained);
        if let Some(saved) = saved {
            let (input, output) = saved.watermarks(lane, lanes);
            cell.cx.watermark = input;
            cell.merge.start_at(input);
            cell.told = output;
            cell.stats.watermark.store(output.0, std::sync::atomic::Ordering::Relaxed);
        }
        let Kind::Operator(operator) = &mut cell.kind else { return Ok(()) };
        if let Some(saved) = saved {
            fill(operator.tables(), saved).map_err(|e| e.in_place(&label))?;
        }
        cell.cx.now = self.now;
        operator.restored(&mut cell.cx).map_err(|e| e.in_place(&label))?;
        if !cell.cx.outputs.is_empty() || cell.cx.fates.total() != cell.cx.fates.in_state {
            return Err(Error::internal("gave rows while it was restored").in_place(&label));
        }
        cell.rows_in = cell.cx.fates.in_state;
        cell.restored_rows = cell.rows_in;
        cell.stats.add_fates(&Default::default(), &cell.cx.fates);
        for (id, time) in std::mem::take(&mut cell.cx.timers) {
            cell.timers.change(id, time);
        }
        Ok(())
    }

    /// Lines up for the readers of restored transforms what they were told before. Work it off before anything else.
    pub(crate) fn announce(&mut self) {
        for node in (0..self.cells.len()).rev() {
            if let Some(told) = self.cells.get(node).map(|c| c.told).filter(|t| *t > EventTime::MIN) {
                self.push_all_routes(node, &Message::Watermark(told));
            }
        }
    }
}
