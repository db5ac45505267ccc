//! What both drivers do with a lane: carry its outbox, call its sinks, check its sources.

use crate::core::{SinkCall, Step};
use crate::flight::Landed;
use crate::message::Message;
use crate::wiring::LaneParts;
use purlin_api::{Error, EventTime, Fates, Pull, Result, Resume, SourceStatus};

/// A message on its way to the inbox of another lane.
#[derive(Debug)]
pub(crate) struct Parcel {
    pub(crate) stage: usize,
    pub(crate) lane: usize,
    pub(crate) slot: usize,
    pub(crate) message: Message,
}

/// What the driver must do before the lane can go on.
#[derive(Debug)]
pub(crate) enum Need {
    /// Nothing: the lane is quiet.
    Nothing,
    /// Carry these.
    Carry(Vec<Parcel>),
    /// Call the sink of this node.
    Sink { node: usize, call: SinkCall },
}

impl LaneParts {
    /// Works until something must be carried or called, or nothing is left.
    pub(crate) fn work(&mut self) -> Result<Need> {
        let step = self.core.run()?;
        let parcels = self.take_outbox()?;
        match step {
            // A sink call comes with an empty outbox: departures stop the run before it.
            Step::Sink { node, call } => Ok(Need::Sink { node, call }),
            Step::Worked => Ok(Need::Carry(parcels)),
            Step::Quiet if parcels.is_empty() => Ok(Need::Nothing),
            Step::Quiet => Ok(Need::Carry(parcels)),
        }
    }

    /// Sends a barrier out on every edge. The lane must be quiet.
    pub(crate) fn depart_barrier(&mut self, epoch: u64) -> Result<Vec<Parcel>> {
        if self.core.all_ended() {
            // It has said that nothing follows.
            return Ok(Vec::new());
        }
        let edges: Vec<usize> = self.outlets.keys().copied().collect();
        self.core.outbox.extend(edges.into_iter().map(|e| (e, Message::Barrier(epoch))));
        self.take_outbox()
    }

    /// Hands on what has passed through a flight; barriers are the driver's.
    pub(crate) fn land(&mut self, landed: Landed) -> Result<()> {
        let gone = || Error::internal("a message from an inlet that is not there");
        let inlet = |slot: usize| self.inlets.get(slot).copied().ok_or_else(gone);
        match landed {
            Landed::Answer { slot, rows, answer } => {
                let to = inlet(slot)?;
                self.core.deliver_answer(to.node, to.slot, rows, answer)
            }
            Landed::Message { slot, message } => {
                let to = inlet(slot)?;
                self.core.deliver(to.node, to.slot, message);
                Ok(())
            }
            Landed::Barrier(_) => Err(Error::internal("a barrier reached a transform")),
        }
    }

    fn take_outbox(&mut self) -> Result<Vec<Parcel>> {
        let mut parcels = Vec::new();
        for (edge, message) in std::mem::take(&mut self.core.outbox) {
            let Some(outlet) = self.outlets.get_mut(&edge) else {
                return Err(Error::internal("a message left by an edge that is not laid"));
            };
            let (stage, slots) = (outlet.to_stage, &outlet.slots);
            outlet.spreader.spread(message, |lane, message| {
                let slot = slots.get(lane).copied().unwrap_or(usize::MAX);
                parcels.push(Parcel { stage, lane, slot, message });
            })?;
        }
        Ok(parcels)
    }

    /// Takes in what a source gave; answers its status. Checks the source's side of the ledger.
    pub(crate) fn take_pull(&mut self, node: usize, pull: Pull) -> Result<SourceStatus> {
        let label = self.core.label(node).to_owned();
        let main: u64 = pull.batches.iter().filter(|(p, _)| *p == 0).map(|(_, b)| b.len() as u64).sum();
        if pull.read != main + pull.dead + pull.skipped {
            let message = format!(
                "the ledger does not balance: read {}, but gave {main} rows, {} dead letters, {} skipped",
                pull.read, pull.dead, pull.skipped
            );
            return Err(Error::internal(message).in_place(&label));
        }
        let fates = Fates { passed: main, dead: pull.dead, filtered: pull.skipped, ..Fates::default() };
        self.core.source_gave(node, pull.read, fates);
        let done = pull.status == SourceStatus::Done;
        if let Some(at) = self.sources.iter().position(|(n, _)| *n == node)
            && let Some(progress) = self.progress.get_mut(at)
        {
            progress.ended = done;
            // What was given before stands, if an end says nothing of its own.
            if !done || pull.resume != Resume::Barrier {
                progress.resume = Some(pull.resume);
            }
        }
        let idle = matches!(pull.status, SourceStatus::Idle(_)) && pull.batches.is_empty();
        let watermark = if done { EventTime::MAX } else { pull.watermark };
        self.core.deliver_pull(node, pull.batches, watermark, idle, done)?;
        Ok(pull.status)
    }
}
