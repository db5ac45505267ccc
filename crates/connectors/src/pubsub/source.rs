//! `ReadFromPubSub`.

use super::again::AgainNode;
use super::bad;
use super::check::{self, Payload, refuse};
use super::config::ReadFromPubSub;
use super::decode::{PayloadSpec, Rows, Spec};
use super::reader::Reader;
use super::watermark::Clock;
use super::work::{From, Slot};
use arrow_array::RecordBatch;
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use purlin_api::{
    BindCx, BuildCx, Division, Entry, EventTime, Guarantee, InputShape, Output, OutputRole, PlanNode,
    Promise, Result, Running, Shape, StateShape, Transform, Windowing,
};
use purlin_spec::config::Spanned;
use purlin_spec::types::ErrorHandling;
use purlin_spec::vocabulary::{Inputs, TransformDef};
use purlin_spec::{Config, Diagnostic, FromNode};
use std::sync::Arc;

/// Its catalogue entry.
pub(crate) fn entry() -> Entry {
    Entry {
        def: TransformDef {
            name: "ReadFromPubSub",
            doc: ReadFromPubSub::doc(),
            inputs: Inputs::None,
            error_handling: true,
            fields: ReadFromPubSub::fields,
        },
        decode: |node, d| ReadFromPubSub::from_node(node, d).map(|c| Arc::new(c) as Arc<dyn Transform>),
    }
}

impl Transform for ReadFromPubSub {
    fn bind(&self, _: &[InputShape], cx: &mut BindCx<'_>) -> Option<Arc<dyn PlanNode>> {
        let from = self.from(cx);
        if let Some(e) = &self.error_handling
            && e.threshold.is_some()
        {
            let what = "`threshold` has no effect here: the input has no end, so no fraction of it is known";
            cx.diagnostics.push(Diagnostic::warning("error-handling/threshold", e.output.span, what));
        }
        let spec = self.spec(cx)?;
        let schema = spec.schema();
        Some(Arc::new(ReadNode {
            from: from?,
            needed: vec![true; schema.fields().len()],
            outputs: outputs(schema, self.error_handling.as_ref()),
            spec: Arc::new(spec),
            id_attribute: self.id_attribute.as_ref().map(|a| a.value.clone()),
            slack_us: self.watermark_slack.as_ref().map(|s| s.value.micros()),
            lanes: 1,
        }))
    }
}

impl ReadFromPubSub {
    /// How messages become rows.
    pub(super) fn spec(&self, cx: &mut BindCx<'_>) -> Option<Spec> {
        let (payload, fields) = Payload::bind(&self.format, cx).and_then(|p| self.payload(p, cx))?;
        let attributes = check::names(self.attributes.as_ref());
        let extra = attributes.iter().chain(&self.attributes_map).chain(&self.publish_time_field);
        if !check::distinct(fields.fields(), extra, cx) {
            return None;
        }
        let text = |s: &Option<Spanned<String>>| s.as_ref().map(|s| s.value.clone());
        Some(Spec {
            payload,
            fields,
            attributes: attributes.iter().map(|a| a.value.clone()).collect(),
            attributes_map: text(&self.attributes_map),
            publish_time: text(&self.publish_time_field),
            timestamp_attribute: text(&self.timestamp_attribute),
        })
    }

    fn from(&self, cx: &mut BindCx<'_>) -> Option<From> {
        match (&self.topic, &self.subscription) {
            (Some(topic), None) => check::topic(topic, cx).map(From::Topic),
            (None, Some(name)) => check::subscription(name, cx).map(From::Subscription),
            (Some(_), Some(second)) => refuse(
                cx,
                "config/both-given",
                second.span,
                "give `topic` or `subscription`, not both".to_owned(),
            ),
            (None, None) => {
                let what = "a reader of messages needs a `subscription` or a `topic`";
                let problem = Diagnostic::error("config/missing-field", cx.span, what);
                cx.diagnostics.push(
                    problem.help("add `subscription: projects/PROJECT/subscriptions/NAME` to its `config`"),
                );
                None
            }
        }
    }

    fn payload(&self, payload: Payload, cx: &mut BindCx<'_>) -> Option<(PayloadSpec, SchemaRef)> {
        let one = |of| Arc::new(Schema::new(vec![Field::new("payload", of, false)]));
        match payload {
            Payload::Raw | Payload::Text => {
                check::no_schema(payload, self.schema.as_ref(), cx);
                Some(match payload {
                    Payload::Raw => (PayloadSpec::Raw, one(DataType::Binary)),
                    _ => (PayloadSpec::Text, one(DataType::Utf8)),
                })
            }
            Payload::Json => {
                let node = check::needs_schema(payload, &self.format, self.schema.as_ref(), cx)?;
                Some((PayloadSpec::Json, check::json_schema(node, cx)?))
            }
            Payload::Avro => {
                let node = check::needs_schema(payload, &self.format, self.schema.as_ref(), cx)?;
                let datum = check::avro_schema(node, cx)?;
                let schema = Arc::new(Schema::new(datum.fields()));
                Some((PayloadSpec::Avro(datum), schema))
            }
            Payload::Proto => {
                let node = check::needs_schema(payload, &self.format, self.schema.as_ref(), cx)?;
                let message = check::proto_schema(node, cx)?;
                let schema = Arc::new(Schema::new(message.fields()));
                Some((PayloadSpec::Proto(message), schema))
            }
        }
    }
}

/// Rows without an end, and perhaps an error output.
fn outputs(schema: SchemaRef, errors: Option<&ErrorHandling>) -> Vec<Output> {
    let shape = |schema| Shape { schema, windowing: Arc::new(Windowing::global()), bounded: false };
    let tag = if errors.is_some() { "good" } else { "out" };
    let mut outputs = vec![Output { tag: tag.to_owned(), shape: shape(schema), role: OutputRole::Main }];
    if let Some(e) = errors {
        let tag = e.output.value.clone();
        outputs.push(Output { tag, shape: shape(bad::schema()), role: OutputRole::Error });
    }
    outputs
}

/// A bound reader.
#[derive(Clone, Debug)]
struct ReadNode {
    from: From,
    spec: Arc<Spec>,
    needed: Vec<bool>,
    outputs: Vec<Output>,
    id_attribute: Option<String>,
    slack_us: Option<i64>,
    lanes: usize,
}

impl PlanNode for ReadNode {
    fn outputs(&self) -> &[Output] {
        &self.outputs
    }

    fn explain(&self) -> String {
        let format = match &self.spec.payload {
            PayloadSpec::Raw => "raw",
            PayloadSpec::Text => "string",
            PayloadSpec::Json => "json",
            PayloadSpec::Avro(_) => "avro",
            PayloadSpec::Proto(_) => "proto",
        };
        let time = match &self.spec.timestamp_attribute {
            Some(name) => format!("; time from attribute {name}"),
            None => String::new(),
        };
        let errors = self.outputs.get(1).map(|o| format!("; errors to {}", o.tag)).unwrap_or_default();
        format!("{format} messages; {}{time}{errors}", self.from)
    }

    fn prune(&self, needed: &[bool]) -> Option<Arc<dyn PlanNode>> {
        if needed.len() != self.needed.len() || needed == self.needed {
            return None;
        }
        Some(Arc::new(ReadNode { needed: needed.to_vec(), ..self.clone() }))
    }

    fn divide(&self, how: Division) -> Option<Arc<dyn PlanNode>> {
        (how.lanes > 1).then(|| Arc::new(ReadNode { lanes: how.lanes, ..self.clone() }) as Arc<dyn PlanNode>)
    }

    fn lanes_max(&self) -> usize {
        self.lanes
    }

    fn guarantee(&self) -> Option<Guarantee> {
        let because = "messages are acknowledged when what was made of them is in a checkpoint, which keeps their ids, so that \
                       those that come again are known";
        Some(Guarantee { promise: Promise::ExactlyOnce, because: because.to_owned() })
    }

    fn state(&self) -> Option<StateShape> {
        let ids = match &self.id_attribute {
            Some(name) => format!("; ids from attribute {name}"),
            None => String::new(),
        };
        let time = match &self.spec.timestamp_attribute {
            Some(name) => format!("; time from attribute {name}"),
            None => String::new(),
        };
        Some(StateShape::new(format!("{}{ids}{time}", self.from)))
    }

    fn again(&self, units: RecordBatch, times: Vec<EventTime>) -> Result<Arc<dyn PlanNode>> {
        Ok(Arc::new(AgainNode::new(&self.outputs, &self.spec, self.from.to_string(), &units, &times)?))
    }

    fn build(&self, cx: &BuildCx) -> Result<Running> {
        let clock = match self.spec.timestamp_attribute {
            Some(_) => Clock::Attribute,
            None => Clock::PublishTime,
        };
        let work = cx.shared.get_or_make(Slot::default)?.open(&self.from, clock, self.slack_us, cx)?;
        let rows = Rows::new(
            self.spec.clone(),
            &self.needed,
            self.outputs.len() > 1,
            work.subscriber().name().as_str(),
        );
        let rows = rows.with_origins(cx.environment.keeps_letters);
        let reader = Reader::new(work, self.spec.clone(), rows, self.id_attribute.clone(), cx);
        Ok(Running::Source(Box::new(reader)))
    }
}
