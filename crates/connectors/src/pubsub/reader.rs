//! A running reader: one lane's.

use super::bad::publish_time;
use super::check::failed;
use super::decode::{Rows, Spec};
use super::given::{Given, IDS_MAX};
use super::seen::{of_message_id, of_text};
use super::times::EventTimes;
use super::watermark::HOLD_US;
use super::work::Work;
use bytes::Bytes;
use purlin_api::source::BoxFuture;
use purlin_api::state::{StateTable, own_slot};
use purlin_api::{Budget, BuildCx, EventTime, Pull, Result, Resume, Source, SourceStatus};
use purlin_pubsub::proto::PubsubMessage;
use purlin_pubsub::{Arrival, Deliveries, Flushed, LeaseRange, clock};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// How long a call waits for messages before it says how far time has come.
const WAIT: Duration = Duration::from_millis(20);
/// Rows of a pull: some milliseconds of decoding.
const PULL_ROWS_MAX: usize = 8192;
/// Bytes of payload of a pull, the same.
const PULL_BYTES_MAX: usize = 2 << 20;

/// Reads a subscription.
pub(super) struct Reader {
    work: Arc<Work>,
    spec: Arc<Spec>,
    id_attribute: Option<String>,
    rows: Rows,
    /// What arrived and was not decoded yet.
    rest: Option<Rest>,
    given: Given,
    times: EventTimes,
    /// Messages that are acknowledged with the epoch of the next barrier.
    open: Vec<LeaseRange>,
    /// Copies since the last barrier: with the epoch after it. See [`Given`].
    copies: Vec<LeaseRange>,
    /// Those of earlier epochs.
    sealed: VecDeque<(u64, Vec<LeaseRange>)>,
    /// Epochs that have been acknowledged, and the service's answers to that.
    acknowledging: VecDeque<(u64, Flushed)>,
    watermark: EventTime,
    ended: bool,
}

struct Rest {
    deliveries: Deliveries,
    messages: std::vec::IntoIter<Arrival>,
    done: usize,
    /// How far time had come when it arrived. Until all of it is given we say no more than that, whatever other lanes have
    /// learned meanwhile: it would make late what is here.
    time: EventTime,
}

impl Reader {
    pub(super) fn new(
        work: Arc<Work>,
        spec: Arc<Spec>,
        rows: Rows,
        id_attribute: Option<String>,
        cx: &BuildCx,
    ) -> Self {
        let slot = own_slot(cx.lane, cx.lanes);
        Reader {
            given: Given::new(slot, IDS_MAX / cx.lanes.max(1)),
            times: EventTimes::new(work.shared_estimate(), slot),
            work,
            spec,
            id_attribute,
            rows,
            rest: None,
            open: Vec::new(),
            copies: Vec::new(),
            sealed: VecDeque::new(),
            acknowledging: VecDeque::new(),
            watermark: EventTime::MIN,
            ended: false,
        }
    }

    fn id(&self, message: &PubsubMessage) -> u128 {
        let own = self.id_attribute.as_ref().and_then(|a| message.attributes.get(a));
        own.map_or_else(|| of_message_id(&message.message_id), |id| of_text(id))
    }

    fn arrived(&mut self, mut deliveries: Deliveries) {
        let messages = std::mem::take(&mut deliveries.messages).into_iter();
        let time = self.work.estimate().told().map_or(EventTime::MIN, |t| EventTime(t).clamped());
        self.rest = Some(Rest { deliveries, messages, done: 0, time });
    }

    /// Decodes what arrived, up to the budget.
    fn decode(
        &mut self,
        rows_max: usize,
        bytes_max: usize,
        pull: &mut Pull,
        bytes: &mut usize,
    ) -> Result<()> {
        let Some(mut rest) = self.rest.take() else { return Ok(()) };
        let at = rest.deliveries.at;
        let work = self.work.clone();
        let (mut seen, mut estimate) = (work.seen(), work.estimate());
        let is_held = estimate.is_held(at);
        let mut failure = None;
        while self.rows.len() < rows_max && *bytes < bytes_max {
            let Some(arrival) = rest.messages.next() else { break };
            let lease = rest.deliveries.range(rest.done, rest.done + 1);
            rest.done += 1;
            pull.read += 1;
            let message = arrival.message;
            let time = self.spec.time(&message, at);
            let known = time.as_ref().ok().copied().or_else(|| publish_time(&message)).unwrap_or(at);
            if !self.given.give(self.id(&message), &mut seen) {
                estimate.saw_again(known);
                join(&mut self.copies, lease);
                pull.skipped += 1;
                continue;
            }
            join(&mut self.open, lease);
            *bytes += message.data.len();
            // What comes again after a restart, and what was published meanwhile, comes in any order.
            if is_held {
                estimate.saw_again(known);
            } else {
                estimate.saw(known);
            }
            if let Err(e) = self.rows.push(message, time, at) {
                failure = Some(e);
                break;
            }
        }
        if rest.messages.len() > 0 {
            self.rest = Some(rest);
        }
        failure.map_or(Ok(()), Err)
    }

    async fn pull(&mut self, budget: Budget) -> Result<Pull> {
        let rows_max = budget.rows_max.clamp(1, PULL_ROWS_MAX);
        let bytes_max = budget.bytes_max.clamp(1, PULL_BYTES_MAX);
        let mut pull = Pull { status: SourceStatus::Ready, watermark: self.watermark, ..Pull::done() };
        let mut bytes = 0;
        if self.rest.is_none()
            && let Some(got) = self.work.subscriber().next(WAIT).await.map_err(failed)?
        {
            self.arrived(got);
        }
        // From here on nothing waits: the caller may give up this future only above.
        while self.rows.len() < rows_max && bytes < bytes_max {
            if self.rest.is_none() {
                match self.work.subscriber().try_next().map_err(failed)? {
                    Some(got) => self.arrived(got),
                    None => break,
                }
            }
            self.decode(rows_max, bytes_max, &mut pull, &mut bytes)?;
        }
        let filled = self.rows.finish()?;
        pull.batches = filled.batches;
        pull.dead = filled.dead;
        self.tell_time(&mut pull);
        pull.resume = Resume::Seek(Bytes::copy_from_slice(self.work.subscriber().name().as_str().as_bytes()));
        Ok(pull)
    }

    fn tell_time(&mut self, pull: &mut Pull) {
        let now = clock::now();
        let quiet = self.work.subscriber().quiet_since().filter(|_| self.rest.is_none());
        let mut estimate = self.work.estimate();
        let most = self.rest.as_ref().map_or(EventTime::MAX, |r| r.time);
        if let Some(t) = estimate.watermark(now, quiet) {
            self.watermark = self.watermark.max(EventTime(t).clamped().min(most));
        }
        pull.watermark = self.watermark;
        if pull.batches.is_empty() && estimate.is_idle(now, quiet) {
            pull.status = SourceStatus::Idle(0);
        }
    }

    async fn acknowledge(&mut self, epoch: u64) -> Result<()> {
        while let Some((_, ranges)) = self.sealed.front().filter(|(e, _)| *e <= epoch) {
            self.work.subscriber().ack(ranges).await.map_err(failed)?;
            self.sealed.pop_front();
        }
        if self.acknowledging.back().is_none_or(|(e, _)| *e < epoch) {
            let answers = self.work.subscriber().flushed().await.map_err(failed)?;
            self.acknowledging.push_back((epoch, answers));
        }
        Ok(())
    }

    async fn end(&mut self) -> Result<()> {
        if std::mem::replace(&mut self.ended, true) {
            return Ok(());
        }
        self.work.end_lane().await
    }
}

/// Adds the lease of a message that mostly follows on the last.
fn join(ranges: &mut Vec<LeaseRange>, next: LeaseRange) {
    match ranges.last_mut().filter(|last| last.batch == next.batch && last.to == next.from) {
        Some(last) => last.to = next.to,
        None => ranges.push(next),
    }
}

impl Source for Reader {
    fn next(&mut self, budget: Budget) -> BoxFuture<'_, Result<Pull>> {
        Box::pin(self.pull(budget))
    }

    fn barrier(&mut self, epoch: u64) {
        let ranges = std::mem::replace(&mut self.open, std::mem::take(&mut self.copies));
        if !ranges.is_empty() {
            self.sealed.push_back((epoch, ranges));
        }
        let now = clock::now();
        while self.acknowledging.front_mut().is_some_and(|(_, answers)| answers.is_done()) {
            if let Some((epoch, _)) = self.acknowledging.pop_front() {
                self.given.acknowledged(epoch, now);
            }
        }
        self.given.barrier(epoch, now, &mut self.work.seen());
    }

    fn tables(&mut self) -> Vec<&mut dyn StateTable> {
        vec![&mut self.given, &mut self.times]
    }

    fn restarted(&mut self) {
        self.work.estimate().hold(clock::now().saturating_add(HOLD_US));
    }

    fn awaits_more(&self) -> bool {
        self.work.estimate().is_held(clock::now())
    }

    /// Where to go on is what the service knows: it gives again what was not acknowledged. What the checkpoint has of that is
    /// known by its id; what it has not comes when the leases of the process before have run out, and must not be late.
    fn restore(&mut self, _: &[Bytes]) -> Result<()> {
        self.work.goes_on()?;
        let now = clock::now();
        self.given.restored(now, &mut self.work.seen());
        self.restarted();
        Ok(())
    }

    fn committed(&mut self, epoch: u64) -> BoxFuture<'_, Result<()>> {
        Box::pin(self.acknowledge(epoch))
    }

    fn close(&mut self) -> BoxFuture<'_, Result<()>> {
        Box::pin(self.end())
    }
}
