//! A reader that is given back messages that it refused.

use super::decode::{Rows, Spec};
use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMicrosecondType;
use arrow_array::{Array, RecordBatch};
use purlin_api::source::BoxFuture;
use purlin_api::{
    Budget, BuildCx, Error, EventTime, Output, PlanNode, Pull, Result, Running, Source, SourceStatus,
};
use purlin_pubsub::proto::PubsubMessage;
use std::sync::Arc;

/// A reader of messages, instead of a subscription.
#[derive(Clone, Debug)]
pub(super) struct AgainNode {
    outputs: Vec<Output>,
    spec: Arc<Spec>,
    place: String,
    /// With the event times that they had.
    messages: Arc<[(PubsubMessage, i64)]>,
}

impl AgainNode {
    /// With the outputs of a reader of `place`, and its way of decoding.
    ///
    /// # Errors
    /// If the units are no messages.
    pub(super) fn new(
        outputs: &[Output],
        spec: &Arc<Spec>,
        place: String,
        units: &RecordBatch,
        times: &[EventTime],
    ) -> Result<Self> {
        let mut outputs = outputs.to_vec();
        outputs.iter_mut().for_each(|o| o.shape.bounded = true);
        Ok(AgainNode { outputs, spec: spec.clone(), place, messages: messages(units, times)?.into() })
    }
}

fn messages(units: &RecordBatch, times: &[EventTime]) -> Result<Vec<(PubsubMessage, i64)>> {
    let odd = || {
        Error::data("what this reader refused has `payload`, `attributes`, `message_id` and `publish_time`")
    };
    let column = |name| units.column_by_name(name).ok_or_else(odd);
    let payload = column("payload")?.as_binary_opt::<i32>().ok_or_else(odd)?;
    let attributes = column("attributes")?.as_map_opt().ok_or_else(odd)?;
    let ids = column("message_id")?.as_string_opt::<i32>().ok_or_else(odd)?;
    let published = column("publish_time")?.as_primitive_opt::<TimestampMicrosecondType>().ok_or_else(odd)?;
    let mut all = Vec::with_capacity(units.num_rows());
    for (row, time) in (0..units.num_rows()).zip(times) {
        let mut message = PubsubMessage {
            data: payload.value(row).to_vec().into(),
            message_id: ids.value(row).to_owned(),
            ..PubsubMessage::default()
        };
        let entries = attributes.value(row);
        let keys = entries.column(0).as_string_opt::<i32>().ok_or_else(odd)?;
        let values = entries.column(1).as_string_opt::<i32>().ok_or_else(odd)?;
        for i in 0..entries.len() {
            message.attributes.insert(keys.value(i).to_owned(), values.value(i).to_owned());
        }
        if published.is_valid(row) {
            let at = published.value(row);
            message.publish_time = Some(purlin_pubsub::prost_types::Timestamp {
                seconds: at.div_euclid(1_000_000),
                nanos: i32::try_from(at.rem_euclid(1_000_000)).unwrap_or_default() * 1000,
            });
        }
        all.push((message, time.0));
    }
    Ok(all)
}

impl PlanNode for AgainNode {
    fn outputs(&self) -> &[Output] {
        &self.outputs
    }

    fn explain(&self) -> String {
        format!("{}; {} messages once more", self.place, self.messages.len())
    }

    fn build(&self, cx: &BuildCx) -> Result<Running> {
        let needed = vec![true; self.spec.schema().fields().len()];
        let rows = Rows::new(self.spec.clone(), &needed, self.outputs.len() > 1, &self.place)
            .with_origins(cx.environment.keeps_letters);
        Ok(Running::Source(Box::new(Again { of: self.clone(), rows, next: 0 })))
    }
}

struct Again {
    of: AgainNode,
    rows: Rows,
    next: usize,
}

impl Again {
    fn pull(&mut self, rows_max: usize) -> Result<Pull> {
        let mut pull = Pull { status: SourceStatus::Ready, watermark: EventTime::MIN, ..Pull::done() };
        let messages = self.of.messages.clone();
        while self.rows.len() < rows_max.max(1) {
            let Some((message, kept)) = messages.get(self.next) else {
                pull.status = SourceStatus::Done;
                pull.watermark = EventTime::MAX;
                break;
            };
            self.next += 1;
            pull.read += 1;
            let time = self.of.spec.time(message, *kept);
            self.rows.push(message.clone(), time, *kept)?;
        }
        let filled = self.rows.finish()?;
        pull.batches = filled.batches;
        pull.dead = filled.dead;
        Ok(pull)
    }
}

impl Source for Again {
    fn next(&mut self, budget: Budget) -> BoxFuture<'_, Result<Pull>> {
        Box::pin(std::future::ready(self.pull(budget.rows_max)))
    }
}
