//! What a lane does for epochs: barriers, commits, acknowledgements; and what is left to do when it has ended.

use super::PreparedSink;
use super::task::{Halt, Task, or_halt};
use crate::commit::{Orders, Reading, Report};
use crate::wiring::LaneParts;
use bytes::Bytes;
use purlin_api::{Error, Result};
use std::collections::BTreeMap;
use tokio::sync::{mpsc, watch};

/// What a lane of a job with epochs has done of its orders.
pub(super) struct Duties {
    index: usize,
    orders: watch::Receiver<Orders>,
    reports: mpsc::Sender<Report>,
    /// Rows that the lane's sources gave since the last barrier.
    pub(super) read: u64,
    barrier: u64,
    commit: u64,
    tell: u64,
    look: u64,
    /// What sinks have prepared and not committed: node, epoch, what it answered.
    prepared: Vec<(usize, u64, Bytes)>,
    /// The job has checkpoints.
    saves: bool,
}

impl Duties {
    pub(super) fn new(
        index: usize,
        orders: watch::Receiver<Orders>,
        reports: mpsc::Sender<Report>,
        saves: bool,
    ) -> Self {
        let Orders { barrier, commit, .. } = *orders.borrow();
        let prepared = Vec::new();
        Duties { index, orders, reports, read: 0, barrier, commit, tell: 0, look: 0, prepared, saves }
    }

    /// True if the job has checkpoints.
    pub(super) fn saves(&self) -> bool {
        self.saves
    }

    /// True if a barrier is ordered that has not passed here.
    pub(super) fn owes_barrier(&self) -> bool {
        self.barrier < self.orders.borrow().barrier
    }
}

/// Waits for an order; for ever in jobs without.
pub(super) async fn ordered(duties: &mut Option<Duties>) {
    let gone = match duties {
        Some(duties) => duties.orders.changed().await.is_err(),
        None => true,
    };
    if gone {
        std::future::pending().await
    }
}

impl Task {
    /// Does what was ordered and is not done. The lane must be quiet.
    pub(super) async fn attend(&mut self, lane: &mut LaneParts) -> Result<Reading, Halt> {
        let Some(duties) = &mut self.duties else { return Ok(Reading::On) };
        if !duties.orders.has_changed().unwrap_or(false) && duties.is_done(&duties.orders.borrow()) {
            return Ok(duties.orders.borrow().reading);
        }
        let orders = *duties.orders.borrow_and_update();
        if duties.look < orders.look {
            duties.look = orders.look;
            if let Some(board) = &self.shared.board {
                board.put(duties.index, orders.look, lane.core.views(&lane.nodes, lane.lane));
            }
        }
        if duties.commit < orders.commit {
            duties.commit = orders.commit;
            let index = duties.index;
            if self.commit(lane, orders.commit).await? {
                self.report(Report::Committed { lane: index, epoch: orders.commit }).await?;
            }
        }
        let Some(duties) = &mut self.duties else { return Ok(Reading::On) };
        let index = duties.index;
        if duties.tell < orders.tell {
            duties.tell = orders.tell;
            for (node, source) in &mut lane.sources {
                let told = or_halt(&mut self.stop, source.committed(orders.acknowledged)).await?;
                told.map_err(|e| e.in_place(lane.core.label(*node)))?;
            }
            if !lane.sources.is_empty() {
                self.report(Report::Told { lane: index, tell: orders.tell }).await?;
            }
        }
        let Some(duties) = &mut self.duties else { return Ok(Reading::On) };
        let begins = !lane.sources.is_empty() || (duties.saves && lane.core.all_ended());
        if duties.barrier < orders.barrier && begins && (!duties.saves || lane.is_resumable()) {
            for (_, source) in &mut lane.sources {
                source.barrier(orders.barrier);
            }
            self.pass_barrier(lane, orders.barrier).await?;
        }
        Ok(orders.reading)
    }

    /// The barrier of `epoch` is here and all before it has been worked off: sinks prepare, and it goes on.
    pub(super) async fn pass_barrier(&mut self, lane: &mut LaneParts, epoch: u64) -> Result<(), Halt> {
        let saves = self.duties.as_ref().is_some_and(|d| d.saves);
        let mut kept: Vec<(usize, u64)> = lane.core.pass_barrier(epoch);
        let mut to_save = BTreeMap::new();
        for (node, sink) in &mut lane.sinks {
            let preparing = if saves { sink.prepare(epoch) } else { sink.prepare_visible(epoch) };
            let prepared = or_halt(&mut self.stop, preparing).await?;
            let prepared = prepared.map_err(|e| e.in_place(lane.core.label(*node)))?;
            kept.extend(sink.waiting_since().map(|since| (*node, since)));
            if saves {
                to_save.insert(*node, prepared.clone());
            }
            if let Some(duties) = &mut self.duties {
                duties.prepared.push((*node, epoch, prepared));
            }
        }
        if saves {
            let part = lane.save(to_save)?;
            self.report(Report::Part(Box::new(part))).await?;
        }
        let parcels = lane.depart_barrier(epoch)?;
        self.carry(parcels).await?;
        let Some(duties) = &mut self.duties else { return Ok(()) };
        duties.barrier = epoch;
        let kept = kept.into_iter().filter_map(|(at, oldest)| Some((*lane.nodes.get(at)?, oldest)));
        let report = Report::Passed {
            lane: duties.index,
            epoch,
            read: std::mem::take(&mut duties.read),
            kept: kept.collect(),
        };
        self.report(report).await
    }

    /// Commits what was prepared for epochs up to this one. Answers whether the lane has sinks.
    async fn commit(&mut self, lane: &mut LaneParts, epoch: u64) -> Result<bool, Halt> {
        let Some(duties) = &mut self.duties else { return Ok(false) };
        while let Some((node, of, prepared)) = duties.prepared.first().filter(|p| p.1 <= epoch).cloned() {
            if let Some(sink) = lane.sinks.get_mut(&node) {
                let committed = or_halt(&mut self.stop, sink.commit(of, prepared)).await?;
                committed.map_err(|e| e.in_place(lane.core.label(node)))?;
            }
            duties.prepared.remove(0);
        }
        Ok(!lane.sinks.is_empty())
    }

    /// Everything in the lane has ended: it goes on to do its duties until the job is over.
    pub(super) async fn linger(&mut self, lane: &mut LaneParts) -> Result<(), Halt> {
        self.report(Report::Done).await?;
        loop {
            self.attend(lane).await?;
            tokio::select! { biased;
                _ = self.stop.wait_for(|s| *s) => return Err(Halt::Stopped),
                () = ordered(&mut self.duties) => {}
            }
        }
    }

    async fn report(&mut self, report: Report) -> Result<(), Halt> {
        let Some(duties) = &mut self.duties else { return Ok(()) };
        or_halt(&mut self.stop, duties.reports.send(report)).await?.map_err(|_| Halt::Stopped)
    }
}

impl Duties {
    fn is_done(&self, orders: &Orders) -> bool {
        self.barrier >= orders.barrier
            && self.commit >= orders.commit
            && self.tell >= orders.tell
            && self.look >= orders.look
    }
}

/// A lane that has ended, and what is left to do for it.
pub(super) struct LastRites {
    pub(super) lane: LaneParts,
    prepared: Vec<(usize, u64, Bytes)>,
}

/// Lets all sinks prepare everything, before any of them shows something.
pub(super) async fn prepare_all(rites: &mut [LastRites]) -> Result<Vec<PreparedSink>> {
    /// Jobs that end by themselves have no other.
    const EPOCH: u64 = 1;
    let mut all = Vec::new();
    for LastRites { lane, prepared: kept } in rites {
        for (node, sink) in &mut lane.sinks {
            let label = lane.core.label(*node).to_owned();
            let prepared = sink.prepare_end(EPOCH).await.map_err(|e| e.in_place(&label))?;
            kept.push((*node, EPOCH, prepared.clone()));
            all.push(PreparedSink { label, lane: lane.lane, prepared });
        }
    }
    Ok(all)
}

impl LastRites {
    pub(super) fn new(lane: LaneParts, duties: Option<Duties>) -> Self {
        LastRites { lane, prepared: duties.map(|d| d.prepared).unwrap_or_default() }
    }

    /// Commits what is prepared; with `finishes` everything becomes visible.
    pub(super) async fn sinks(&mut self, finishes: bool) -> Result<()> {
        let lane = &mut self.lane;
        let place = |lane: &LaneParts, node: usize, e: Error| e.in_place(lane.core.label(node));
        for (node, epoch, prepared) in std::mem::take(&mut self.prepared) {
            if let Some(sink) = lane.sinks.get_mut(&node) {
                let committed = sink.commit(epoch, prepared).await;
                committed.map_err(|e| place(lane, node, e))?;
            }
        }
        for (node, sink) in lane.sinks.iter_mut().filter(|_| finishes) {
            sink.finish().await.map_err(|e| e.in_place(lane.core.label(*node)))?;
        }
        Ok(())
    }

    /// Acknowledges everything, if `last_epoch` is given, and closes the sources.
    pub(super) async fn sources(&mut self, last_epoch: Option<u64>) -> Result<()> {
        for (node, source) in &mut self.lane.sources {
            if let Some(epoch) = last_epoch {
                source.barrier(epoch);
                source.committed(epoch).await.map_err(|e| e.in_place(self.lane.core.label(*node)))?;
            }
            source.close().await.map_err(|e| e.in_place(self.lane.core.label(*node)))?;
        }
        Ok(())
    }

    pub(super) fn made(&self) -> impl Iterator<Item = String> {
        self.lane.sinks.values().flat_map(|s| s.made())
    }

    pub(super) fn abort(&mut self) {
        self.lane.sinks.values_mut().for_each(|s| s.abort());
    }
}
