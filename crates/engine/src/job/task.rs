//! The loop of a lane, but for what starts it: its inbox here, sources and asynchronous operators beside it.

use super::Shared;
use super::duties::{Duties, LastRites, ordered};
use crate::align::Alignment;
use crate::channel::Inbox;
use crate::checkpoint::Image;
use crate::core::SinkCall;
use crate::lane::{Need, Parcel};
use crate::message::Message;
use crate::why::Busy;
use crate::wiring::LaneParts;
use purlin_api::{Error, EventTime, Result};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::watch;

/// Stopped from outside, or because another lane failed: not an error of this lane.
pub(super) enum Halt {
    Stopped,
    Failed(Error),
}

impl From<Error> for Halt {
    fn from(e: Error) -> Self {
        Halt::Failed(e)
    }
}

/// A lane that has ended.
pub(super) struct LaneEnd {
    pub(super) index: usize,
    pub(super) rites: LastRites,
    pub(super) result: Result<()>,
}

pub(super) struct Task {
    pub(super) shared: Arc<Shared>,
    index: usize,
    pub(super) stop: watch::Receiver<bool>,
    /// Set in jobs with epochs.
    pub(super) duties: Option<Duties>,
    /// What it goes on from, in jobs with checkpoints.
    image: Option<Arc<Image>>,
}

/// Waits for something outside, unless the job is stopped.
pub(super) async fn or_halt<T>(
    stop: &mut watch::Receiver<bool>,
    outside: impl Future<Output = T>,
) -> Result<T, Halt> {
    tokio::select! { biased;
        done = outside => Ok(done),
        _ = stop.wait_for(|s| *s) => Err(Halt::Stopped),
    }
}

impl Task {
    pub(super) fn new(
        shared: Arc<Shared>,
        index: usize,
        stop: watch::Receiver<bool>,
        duties: Option<Duties>,
        image: Option<Arc<Image>>,
    ) -> Self {
        Task { shared, index, stop, duties, image }
    }

    pub(super) async fn drive(mut self, mut lane: LaneParts) -> LaneEnd {
        let driven = self.drive_on(&mut lane).await;
        if let Some(inbox) = self.shared.inboxes.get(&(lane.stage, lane.lane)) {
            inbox.close();
        }
        self.flush_log(&mut lane);
        if let Some(board) = &self.shared.board {
            board.ended(self.index);
        }
        let result = match driven {
            Ok(()) | Err(Halt::Stopped) => Ok(()),
            Err(Halt::Failed(e)) => Err(e),
        };
        LaneEnd { index: self.index, rites: LastRites::new(lane, self.duties), result }
    }

    /// From where it stands to the end of the job.
    async fn drive_on(&mut self, lane: &mut LaneParts) -> Result<(), Halt> {
        let image = self.image.take();
        let saves = image.is_some();
        if let Some(image) = image {
            self.restore(lane, &image).await?;
            drop(image);
            self.all_restored().await?;
            lane.core.announce();
            self.pump(lane).await?;
        }
        match lane.outside.take() {
            Some(operator) => self.drive_outside(lane, operator).await?,
            None if lane.sources.is_empty() => self.drive_inbox(lane).await?,
            None => self.drive_sources(lane).await?,
        }
        if saves { self.linger(lane).await } else { Ok(()) }
    }

    /// Goes on from a checkpoint.
    async fn restore(&mut self, lane: &mut LaneParts, image: &Image) -> Result<(), Halt> {
        lane.core.set_now(self.shared.options.clock.now());
        lane.restore(image)?;
        for (node, sink) in &mut lane.sinks {
            let label = lane.core.label(*node);
            // One that is new here is told the epoch, too: names that it gives hang on it.
            let prepared = image.node(label).map(|n| n.prepared(lane.lane, lane.lanes));
            let restored = sink.restore(image.epoch, prepared.unwrap_or_default());
            or_halt(&mut self.stop, restored).await?.map_err(|e| e.in_place(label))?;
        }
        Ok(())
    }

    /// Waits until all lanes are as they were: lanes of one transform may share what only all of them together know,
    /// such as the ids of messages that were given before.
    async fn all_restored(&mut self) -> Result<(), Halt> {
        self.shared.restoring.send_modify(|lanes| *lanes = lanes.saturating_sub(1));
        let mut restoring = self.shared.restoring.subscribe();
        // The sender is ours: it cannot be gone.
        or_halt(&mut self.stop, restoring.wait_for(|lanes| *lanes == 0)).await.map(|_| ())
    }

    async fn drive_inbox(&mut self, lane: &mut LaneParts) -> Result<(), Halt> {
        let gone = || Error::internal("a lane without an inbox");
        let inbox = self.shared.inboxes.get(&(lane.stage, lane.lane)).ok_or_else(gone)?.clone();
        let mut align = Alignment::new(lane.inlets.len());
        while !lane.core.all_ended() {
            let now = self.shared.options.clock.now();
            lane.core.fire_timers(now);
            self.pump(lane).await?;
            self.attend(lane).await?;
            let (slot, message) = match inbox.try_recv(|s| align.is_blocked(s)) {
                Some(got) => got,
                None => match self.receive(&inbox, &align, lane.core.next_timer()).await? {
                    Some(got) => got,
                    None => continue,
                },
            };
            let complete = match &message {
                Message::Barrier(epoch) => align.barrier(slot, *epoch),
                Message::End => align.end(slot),
                _ => None,
            };
            if !matches!(message, Message::Barrier(_)) {
                let inlet = lane.inlets.get(slot).copied().ok_or_else(gone)?;
                lane.core.deliver(inlet.node, inlet.slot, message);
                self.pump(lane).await?;
            }
            if let Some(epoch) = complete {
                self.pass_barrier(lane, epoch).await?;
            }
        }
        Ok(())
    }

    /// Waits for a message, or until a timer is due or something is ordered (`None`).
    async fn receive(
        &mut self,
        inbox: &Inbox,
        align: &Alignment,
        timer: Option<EventTime>,
    ) -> Result<Option<(usize, Message)>, Halt> {
        let _waiting = timer.is_none().then(|| Waiting::new(&self.shared.waiting));
        tokio::select! { biased;
            _ = self.stop.wait_for(|s| *s) => Err(Halt::Stopped),
            () = ordered(&mut self.duties) => Ok(None),
            got = inbox.recv(|s| align.is_blocked(s)) => Ok(Some(got)),
            () = sleep(&self.shared, timer), if timer.is_some() => Ok(None),
        }
    }

    /// Works the lane until it is quiet.
    pub(super) async fn pump(&mut self, lane: &mut LaneParts) -> Result<(), Halt> {
        loop {
            match lane.work()? {
                Need::Nothing => {
                    self.flush_log(lane);
                    return Ok(());
                }
                Need::Carry(parcels) => self.carry(parcels).await?,
                Need::Sink { node, call } => {
                    let label = lane.core.label(node).to_owned();
                    let Some(sink) = lane.sinks.get_mut(&node) else { continue };
                    let id = lane.nodes.get(node).copied().unwrap_or(node);
                    self.busy(|since| Busy::Writing { node: id, since });
                    match call {
                        SinkCall::Write(batch) => {
                            let rows = batch.len() as u64;
                            let written = or_halt(&mut self.stop, sink.write(batch)).await?;
                            written.map_err(|e| e.in_place(&label))?;
                            lane.core.sink_wrote(node, rows);
                        }
                        SinkCall::Watermark(to) => {
                            let told = or_halt(&mut self.stop, sink.on_watermark(to)).await?;
                            told.map_err(|e| e.in_place(&label))?;
                        }
                        SinkCall::End => {}
                    }
                    self.busy(|_| Busy::No);
                }
            }
            self.shared.moves.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) async fn carry(&mut self, parcels: Vec<Parcel>) -> Result<(), Halt> {
        for p in parcels {
            let inbox = self.shared.inboxes.get(&(p.stage, p.lane));
            let inbox =
                inbox.ok_or_else(|| Error::internal("a message to a lane that is not there"))?.clone();
            let _waiting = Waiting::new(&self.shared.waiting);
            self.busy(|since| Busy::Sending { to_stage: p.stage, since });
            tokio::select! { biased;
                sent = inbox.send(p.slot, p.message) => {
                    // A closed inbox means that the lane behind it has ended or is being stopped.
                    if sent.is_err() {
                        return Err(Halt::Stopped);
                    }
                }
                _ = self.stop.wait_for(|s| *s) => return Err(Halt::Stopped),
            }
            self.busy(|_| Busy::No);
        }
        Ok(())
    }

    /// Says what the lane may be waiting for now.
    fn busy(&self, busy: impl FnOnce(EventTime) -> Busy) {
        if let Some(board) = &self.shared.board {
            board.busy(self.index, busy(self.shared.options.clock.now()));
        }
    }

    fn flush_log(&self, lane: &mut LaneParts) {
        for (label, level, text) in lane.core.log.drain(..) {
            (self.shared.options.log)(&label, level, &text);
        }
    }
}

/// Counts a lane as waiting for as long as it lives.
pub(super) struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    pub(super) fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Waiting(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Waits until this processing time.
pub(super) async fn sleep(shared: &Shared, until: Option<EventTime>) {
    shared.options.clock.sleep(until.unwrap_or(EventTime::MAX)).await;
}
