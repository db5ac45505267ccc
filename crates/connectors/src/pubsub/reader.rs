//! A running reader: one lane's.

use super::bad::publish_time;
use super::check::failed;
use super::decode::{Rows, Spec};
use super::seen::{of_message_id, of_text};
use super::watermark::Estimate;
use super::work::Work;
use bytes::Bytes;
use purlin_api::source::BoxFuture;
use purlin_api::{Budget, EventTime, Pull, Result, Resume, Source, SourceStatus};
use purlin_pubsub::proto::PubsubMessage;
use purlin_pubsub::{Arrival, Deliveries, LeaseRange, clock};
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
    /// Messages that were read since the last barrier.
    open: Vec<LeaseRange>,
    /// Those before it, by epoch.
    sealed: VecDeque<(u64, Vec<LeaseRange>)>,
    watermark: EventTime,
    ended: bool,
}

struct Rest {
    deliveries: Deliveries,
    messages: std::vec::IntoIter<Arrival>,
    done: usize,
}

impl Reader {
    pub(super) fn new(
        work: Arc<Work>,
        spec: Arc<Spec>,
        needed: &[bool],
        errors: bool,
        id_attribute: Option<String>,
    ) -> Self {
        let place = work.subscriber().name().to_string();
        let rows = Rows::new(spec.clone(), needed, errors, place);
        Reader {
            work,
            spec,
            id_attribute,
            rows,
            rest: None,
            open: Vec::new(),
            sealed: VecDeque::new(),
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
        self.rest = Some(Rest { deliveries, messages, done: 0 });
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
        let (at, from) = (rest.deliveries.at, rest.done);
        let work = self.work.clone();
        let (mut seen, mut estimate) = (work.seen(), work.estimate());
        let mut failure = None;
        while self.rows.len() < rows_max && *bytes < bytes_max {
            let Some(arrival) = rest.messages.next() else { break };
            rest.done += 1;
            pull.read += 1;
            let message = arrival.message;
            let time = self.spec.time(&message, at);
            let known = time.as_ref().ok().copied().or_else(|| publish_time(&message)).unwrap_or(at);
            if !seen.is_new(self.id(&message), at) {
                estimate.saw_again(known);
                pull.skipped += 1;
                continue;
            }
            *bytes += message.data.len();
            estimate.saw(known);
            if let Err(e) = self.rows.push(message, time, at) {
                failure = Some(e);
                break;
            }
        }
        // One that comes twice is acknowledged with those that came with it: its first copy is not committed later.
        if rest.done > from {
            self.open.push(rest.deliveries.range(from, rest.done));
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
        if let Some(t) = self.work.estimate().watermark(now, quiet) {
            self.watermark = self.watermark.max(EventTime(t).clamped());
        }
        pull.watermark = self.watermark;
        if pull.batches.is_empty() && Estimate::is_idle(now, quiet) {
            pull.status = SourceStatus::Idle(0);
        }
    }

    async fn acknowledge(&mut self, epoch: u64) -> Result<()> {
        while let Some((_, ranges)) = self.sealed.front().filter(|(e, _)| *e <= epoch) {
            self.work.subscriber().ack(ranges).await.map_err(failed)?;
            self.sealed.pop_front();
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

impl Source for Reader {
    fn next(&mut self, budget: Budget) -> BoxFuture<'_, Result<Pull>> {
        Box::pin(self.pull(budget))
    }

    fn barrier(&mut self, epoch: u64) {
        let ranges = std::mem::take(&mut self.open);
        if !ranges.is_empty() {
            self.sealed.push_back((epoch, ranges));
        }
    }

    fn committed(&mut self, epoch: u64) -> BoxFuture<'_, Result<()>> {
        Box::pin(self.acknowledge(epoch))
    }

    fn close(&mut self) -> BoxFuture<'_, Result<()>> {
        Box::pin(self.end())
    }
}
