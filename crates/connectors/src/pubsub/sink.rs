//! `WriteToPubSub`.

use super::check::{self, Payload, refuse};
use super::config::WriteToPubSub;
use super::encode::{Encoder, Ids, PayloadSpec, Spec};
use super::epochs::EpochWriter;
use super::messages::MessagesNode;
use super::prepared::ID_ATTRIBUTE;
use super::writer::{Incoming, Open, Outgoing, Slot, Writer};
use crate::format::avro::Datum;
use crate::format::proto;
use crate::shared::bind;
use arrow_schema::{DataType, Field, Fields, Schema};
use purlin_api::shape::{is_any, physical, type_name};
use purlin_api::{
    BindCx, BuildCx, Circumstances, Delivery, Entry, Guarantee, InputShape, Output, PlanNode, Promise,
    Result, Running, StateShape, Transform,
};
use purlin_spec::config::Spanned;
use purlin_spec::vocabulary::{Inputs, TransformDef};
use purlin_spec::{Config, Diagnostic, FromNode};
use std::sync::Arc;

/// Its catalogue entry.
pub(crate) fn entry() -> Entry {
    Entry {
        def: TransformDef {
            name: "WriteToPubSub",
            doc: WriteToPubSub::doc(),
            inputs: Inputs::One,
            error_handling: true,
            fields: WriteToPubSub::fields,
        },
        decode: |node, d| WriteToPubSub::from_node(node, d).map(|c| Arc::new(c) as Arc<dyn Transform>),
    }
}

impl Transform for WriteToPubSub {
    fn bind(&self, inputs: &[InputShape], cx: &mut BindCx<'_>) -> Option<Arc<dyn PlanNode>> {
        let input = bind::only_input(inputs, cx)?;
        let topic = check::topic(&self.topic, cx);
        let errors = self.error_handling.as_ref().map(|e| {
            if e.threshold.is_some() {
                let what = "`threshold` has no effect here: rows that cannot be messages are few or all";
                cx.diagnostics.push(Diagnostic::warning("error-handling/threshold", e.output.span, what));
            }
            e.output.value.as_str()
        });
        let spec = self.spec(&input.shape.schema, cx);
        let (topic, spec) = (topic?, Arc::new(spec?));
        let ahead = errors.map(|errors| MessagesNode::new(&input.shape, errors, &topic, spec.clone()));
        Some(Arc::new(WriteNode { topic, spec, ahead }))
    }
}

impl WriteToPubSub {
    /// How rows of a schema become messages.
    pub(super) fn spec(&self, schema: &Schema, cx: &mut BindCx<'_>) -> Option<Spec> {
        let payload = Payload::bind(&self.format, cx);
        let fields = physical(schema).fields().clone();
        let attributes = self.attributes(&fields, cx);
        let map = self.attributes_map(&fields, cx);
        let (attributes, attributes_map) = (attributes?, map?);
        let taken = |i: &usize| attributes.contains(i) || attributes_map == Some(*i);
        let columns: Vec<usize> = (0..fields.len()).filter(|i| !taken(i)).collect();
        let payload = self.payload(payload?, &fields, &columns, cx)?;
        let text = |s: &Option<Spanned<String>>| s.as_ref().map(|s| s.value.clone());
        Some(Spec {
            payload,
            columns,
            attributes,
            attributes_map,
            id_attribute: text(&self.id_attribute),
            timestamp_attribute: text(&self.timestamp_attribute),
        })
    }

    fn attributes(&self, fields: &Fields, cx: &mut BindCx<'_>) -> Option<Vec<usize>> {
        let mut found = Vec::new();
        for name in check::names(self.attributes.as_ref()) {
            found.push(self.column(name, fields, cx).filter(|(_, f)| {
                let good = *f.data_type() == DataType::Utf8 && !is_any(f);
                if !good {
                    let what = format!("attributes are text, and `{}` is {}", name.value, type_name(f));
                    cx.diagnostics.push(
                        Diagnostic::error("pubsub/attribute-type", name.span, what)
                            .help("a `MapToFields` before it can make text of it: `str(x)`"),
                    );
                }
                good
            }));
        }
        found.into_iter().map(|f| f.map(|(i, _)| i)).collect()
    }

    fn attributes_map(&self, fields: &Fields, cx: &mut BindCx<'_>) -> Option<Option<usize>> {
        let Some(name) = &self.attributes_map else { return Some(None) };
        let (at, field) = self.column(name, fields, cx)?;
        let is_text = |f: &Field| *f.data_type() == DataType::Utf8 && !is_any(f);
        let fits = match field.data_type() {
            DataType::Map(entries, _) => match entries.data_type() {
                DataType::Struct(kv) => kv.iter().all(|f| is_text(f)),
                _ => false,
            },
            _ => false,
        };
        if !fits {
            let what = format!("`{}` is {}, and not a map from text to text", name.value, type_name(field));
            return refuse(cx, "pubsub/attribute-type", name.span, what);
        }
        Some(Some(at))
    }

    fn column<'a>(
        &self,
        name: &Spanned<String>,
        fields: &'a Fields,
        cx: &mut BindCx<'_>,
    ) -> Option<(usize, &'a Field)> {
        if let Some((at, field)) = fields.find(&name.value) {
            return Some((at, field.as_ref()));
        }
        let known = fields.iter().map(|f| f.name().as_str());
        let help = purlin_spec::suggest::did_you_mean(&name.value, known);
        let what = format!("the rows have no field `{}`", name.value);
        cx.diagnostics.push(Diagnostic::error("name/unknown-field", name.span, what).maybe_help(help));
        None
    }

    fn payload(
        &self,
        payload: Payload,
        fields: &Fields,
        columns: &[usize],
        cx: &mut BindCx<'_>,
    ) -> Option<PayloadSpec> {
        let left: Fields = columns.iter().filter_map(|c| fields.get(*c).cloned()).collect();
        match payload {
            Payload::Raw | Payload::Text => {
                check::no_schema(payload, self.schema.as_ref(), cx);
                let names: Vec<&str> = left.iter().map(|f| f.name().as_str()).collect();
                let fits = |f: &Field| match f.data_type() {
                    DataType::Binary => payload == Payload::Raw,
                    DataType::Utf8 => !is_any(f),
                    _ => false,
                };
                let problem = match left.iter().as_slice() {
                    [one] if fits(one) => return Some(PayloadSpec::Raw),
                    [one] => {
                        format!("`{}` is {}, and a payload is bytes or text", one.name(), type_name(one))
                    }
                    [] => "no field is left for the payload".to_owned(),
                    _ => format!("a payload is one field, and these are left: {}", names.join(", ")),
                };
                let what = format!("these rows cannot be written as {}: {problem}", payload.name());
                cx.diagnostics.push(
                    Diagnostic::error("schema/not-writable", self.format.span, what).help(
                        "a `MapToFields` before it can make one field of text, or write `format: JSON`",
                    ),
                );
                None
            }
            Payload::Json => Some(PayloadSpec::Json),
            Payload::Avro => {
                let datum = match check::given(self.schema.as_ref()) {
                    Some(node) => check::avro_schema(node, cx)?,
                    None => match Datum::of(&Schema::new(left.clone())) {
                        Ok(datum) => datum,
                        Err(e) => return self.not_avro(&e, cx),
                    },
                };
                if let Err(e) = datum.check(&left) {
                    return self.not_avro(&e, cx);
                }
                Some(PayloadSpec::Avro(datum))
            }
            Payload::Proto => {
                let node = check::needs_schema(payload, &self.format, self.schema.as_ref(), cx)?;
                let message = check::proto_schema(node, cx)?;
                match proto::Writer::new(message, &left) {
                    Ok(writer) => Some(PayloadSpec::Proto(writer)),
                    Err(e) => {
                        let what = format!("these rows cannot be written as PROTO: {e}");
                        refuse(cx, "schema/not-writable", self.format.span, what)
                    }
                }
            }
        }
    }

    fn not_avro<T>(&self, why: &str, cx: &mut BindCx<'_>) -> Option<T> {
        let what = format!("these rows cannot be written as Avro: {why}");
        refuse(cx, "schema/not-writable", self.format.span, what)
    }
}

/// A bound writer.
#[derive(Clone, Debug)]
struct WriteNode {
    topic: String,
    spec: Arc<Spec>,
    /// What makes messages of rows before them, if there is an error output.
    ahead: Option<MessagesNode>,
}

impl PlanNode for WriteNode {
    fn outputs(&self) -> &[Output] {
        &[]
    }

    fn explain(&self) -> String {
        format!("{} messages; topic {}", self.spec.payload.name(), self.topic)
    }

    fn ahead_of(&self, _: usize) -> Option<Arc<dyn PlanNode>> {
        self.ahead.clone().map(|r| Arc::new(r) as Arc<dyn PlanNode>)
    }

    fn guarantee(&self) -> Option<Guarantee> {
        self.guarantee_in(Circumstances { delivery: Delivery::ExactlyOnce, checkpoints: true })
    }

    fn guarantee_in(&self, circumstances: Circumstances) -> Option<Guarantee> {
        let at_once = |why: &str| {
            let because = format!("rows are published as they come{why}");
            Guarantee { promise: Promise::AtLeastOnce, because }
        };
        Some(if circumstances.delivery == Delivery::AtLeastOnce {
            at_once("; to make it exactly once: leave `delivery: at_least_once` out of `x-purlin`")
        } else if !circumstances.checkpoints {
            at_once(", and a pipeline that ends by itself begins anew after a failure")
        } else {
            let name = id_attribute(&self.spec);
            let because = format!(
                "messages are published when their epoch is committed, and one that has to be published again has the same \
                 `{name}`, by which readers can tell"
            );
            Guarantee { promise: Promise::ExactlyOnce, because }
        })
    }

    /// Each prepared epoch says itself where it goes.
    fn state(&self) -> Option<StateShape> {
        Some(StateShape::new("messages to publish"))
    }

    fn build(&self, cx: &BuildCx) -> Result<Running> {
        let at = &cx.environment;
        let Open { client, publisher, topic } =
            cx.shared.get_or_make(Slot::default)?.open(&self.topic, at)?;
        let incoming = match self.ahead {
            Some(_) => Incoming::Messages,
            None => Incoming::Rows(Encoder { spec: self.spec.clone(), ids: ids(&self.spec, cx) }),
        };
        let out = Outgoing { client, publisher, topic, incoming };
        if publishes_at_once(cx) {
            return Ok(Running::Sink(Box::new(Writer::new(out))));
        }
        Ok(Running::Sink(Box::new(EpochWriter::new(out, id_attribute(&self.spec), cx))))
    }
}

/// Without checkpoints nothing would be published again under the same ids: waiting would gain nothing.
fn publishes_at_once(cx: &BuildCx) -> bool {
    cx.environment.delivery == Delivery::AtLeastOnce || cx.environment.lineage.is_empty()
}

fn id_attribute(spec: &Spec) -> String {
    spec.id_attribute.as_deref().unwrap_or(ID_ATTRIBUTE).to_owned()
}

/// Where the ids of messages come from in one lane.
pub(super) fn ids(spec: &Spec, cx: &BuildCx) -> Ids {
    if publishes_at_once(cx) {
        Ids::now(spec.id_attribute.as_ref(), format!("{}-{}", purlin_pubsub::unique(), cx.lane))
    } else {
        Ids::Later(id_attribute(spec))
    }
}
