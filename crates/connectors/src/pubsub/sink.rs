//! `WriteToPubSub`.

use super::check::{self, Payload, failed, project, refuse};
use super::config::WriteToPubSub;
use super::encode::{Ids, PayloadSpec, Rows, Spec};
use crate::format::avro::Datum;
use crate::shared::bind;
use arrow_schema::{DataType, Field, Fields, Schema};
use bytes::Bytes;
use purlin_api::shape::{is_any, physical, type_name};
use purlin_api::source::BoxFuture;
use purlin_api::{
    Batch, BindCx, BuildCx, Entry, Error, InputShape, Output, PlanNode, Result, Running, Sink, Transform,
};
use purlin_pubsub::{Client, ClientOptions, Publisher, PublisherOptions, TopicName};
use purlin_spec::config::Spanned;
use purlin_spec::vocabulary::{Inputs, TransformDef};
use purlin_spec::{Config, Diagnostic, FromNode};
use std::sync::{Arc, Mutex, PoisonError};

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
        let payload = Payload::bind(&self.format, cx);
        if let Some(e) = &self.error_handling {
            let what = "`error_handling` of WriteToPubSub is not supported yet: a row that cannot be a message fails \
                        the run";
            cx.diagnostics.push(
                Diagnostic::error("config/unsupported", e.output.span, what)
                    .help("a `ValidateWithSchema` or `Filter` before it can keep such rows away"),
            );
        }
        let fields = physical(&input.shape.schema).fields().clone();
        let attributes = self.attributes(&fields, cx);
        let map = self.attributes_map(&fields, cx);
        let (attributes, attributes_map) = (attributes?, map?);
        let taken = |i: &usize| attributes.contains(i) || attributes_map == Some(*i);
        let columns: Vec<usize> = (0..fields.len()).filter(|i| !taken(i)).collect();
        let payload = self.payload(payload?, &fields, &columns, cx)?;
        let text = |s: &Option<Spanned<String>>| s.as_ref().map(|s| s.value.clone());
        let spec = Spec {
            payload,
            columns,
            attributes,
            attributes_map,
            id_attribute: text(&self.id_attribute),
            timestamp_attribute: text(&self.timestamp_attribute),
        };
        Some(Arc::new(WriteNode { topic: topic?, spec: Arc::new(spec) }))
    }
}

impl WriteToPubSub {
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
            Payload::Proto => check::not_yet(&self.format, cx),
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
}

impl PlanNode for WriteNode {
    fn outputs(&self) -> &[Output] {
        &[]
    }

    fn explain(&self) -> String {
        let format = match self.spec.payload {
            PayloadSpec::Raw => "raw",
            PayloadSpec::Json => "json",
            PayloadSpec::Avro(_) => "avro",
        };
        format!("{format} messages; topic {}", self.topic)
    }

    fn build(&self, cx: &BuildCx) -> Result<Running> {
        let (publisher, topic) = cx.shared.get_or_make(Slot::default)?.open(&self.topic)?;
        let prefix = format!("{}-{}", purlin_pubsub::unique(), cx.lane);
        Ok(Running::Sink(Box::new(Writer {
            publisher,
            topic,
            spec: self.spec.clone(),
            ids: Ids::new(prefix),
            rows: 0,
        })))
    }
}

/// What the lanes share: one publisher, made by the first of them.
#[derive(Default)]
struct Slot(Mutex<Option<(Publisher, TopicName)>>);

impl Slot {
    fn open(&self, topic: &str) -> Result<(Publisher, TopicName)> {
        let mut slot = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = &*slot {
            return Ok(open.clone());
        }
        let topic = topic.to_owned();
        let open = purlin_pubsub::block_on(async move {
            let client = Client::new(&ClientOptions::default())?;
            let topic = TopicName::parse(&topic, project().as_deref())?;
            client.get_topic(&topic).await?;
            Ok((Publisher::new(&client, &topic, PublisherOptions::default())?, topic))
        });
        Ok(slot.insert(open.map_err(failed)?).clone())
    }
}

/// Publishes rows as they come.
struct Writer {
    publisher: Publisher,
    topic: TopicName,
    spec: Arc<Spec>,
    ids: Ids,
    rows: u64,
}

impl Writer {
    async fn publish(&mut self, batch: Batch) -> Result<()> {
        let mut messages = Vec::with_capacity(batch.len());
        let mut rows = Rows::new(&self.spec, &batch)?;
        for row in 0..batch.len() {
            let message = rows.message(row, &mut self.ids).map_err(|why| {
                let shown = purlin_api::json::row_text(&batch.rows, row, 200);
                Error::data(format!("a row cannot be published to {}: {why}; the row: {shown}", self.topic))
            })?;
            messages.push(message);
        }
        self.rows += messages.len() as u64;
        self.publisher.publish(messages).await.map_err(failed)
    }
}

impl Sink for Writer {
    fn write(&mut self, batch: Batch) -> BoxFuture<'_, Result<()>> {
        Box::pin(self.publish(batch))
    }

    fn prepare(&mut self, epoch: u64) -> BoxFuture<'_, Result<Bytes>> {
        let _ = epoch;
        Box::pin(async {
            self.publisher.flush().await.map_err(failed)?;
            Ok(Bytes::new())
        })
    }

    fn finish(&mut self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async { self.publisher.flush().await.map_err(failed) })
    }

    fn abort(&mut self) {
        // What was published is out: that is what "at least once" means here.
    }

    fn made(&self) -> Vec<String> {
        if self.rows == 0 { Vec::new() } else { vec![self.topic.to_string()] }
    }
}
