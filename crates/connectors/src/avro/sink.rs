//! `WriteToAvro`.

use super::config::WriteToAvro;
use crate::format::avro::{AvroOut, Codec, Declared};
use crate::shared::bind;
use crate::shared::write::pieces::{PieceNode, plain};
use purlin_api::shape::physical;
use purlin_api::{BindCx, Entry, InputShape, PlanNode, Transform};
use purlin_spec::vocabulary::{Inputs, TransformDef};
use purlin_spec::{Config, Diagnostic, FromNode, Node};
use std::sync::Arc;

/// Its catalogue entry.
pub(crate) fn entry() -> Entry {
    Entry {
        def: TransformDef {
            name: "WriteToAvro",
            doc: WriteToAvro::doc(),
            inputs: Inputs::One,
            error_handling: false,
            fields: WriteToAvro::fields,
        },
        decode: |node, d| WriteToAvro::from_node(node, d).map(|c| Arc::new(c) as Arc<dyn Transform>),
    }
}

impl Transform for WriteToAvro {
    fn bind(&self, inputs: &[InputShape], cx: &mut BindCx<'_>) -> Option<Arc<dyn PlanNode>> {
        let input = bind::only_input(inputs, cx)?;
        let suffix = self.file_name_suffix.as_deref();
        let target = bind::piece_target(cx, input, &self.path, self.num_shards.as_ref(), suffix);
        let word = self.codec.as_ref().map_or("deflate", |c| c.value.as_str());
        let codec = Codec::of(word);
        if codec.is_none() {
            let span = self.codec.as_ref().map_or(cx.span, |c| c.span);
            let what = format!("cannot write Avro files with the codec `{word}`");
            cx.diagnostics.push(
                Diagnostic::error("config/unknown-word", span, what)
                    .help("codecs written: `deflate`, `null`, `snappy`, `zstandard`, `bzip2`, `xz`"),
            );
        }
        let declared = match self.schema.as_ref().filter(|s| !s.is_null()) {
            Some(node) => Some(declared(node, cx)?),
            None => None,
        };
        let schema = plain(&physical(&input.shape.schema));
        let format = AvroOut { codec: codec?, declared };
        if let Err(e) = format.check_schema(&schema) {
            let what = format!("these rows cannot be written as Avro: {e}");
            cx.diagnostics.push(
                Diagnostic::error("schema/not-writable", cx.span, what)
                    .help("a `MapToFields` before it can rename and convert fields"),
            );
            return None;
        }
        Some(Arc::new(PieceNode {
            format: Arc::new(format),
            target: target?,
            suffix: suffix.unwrap_or_default().to_owned(),
            windowing: input.shape.windowing.clone(),
            schema,
        }))
    }
}

fn declared(node: &Node, cx: &mut BindCx<'_>) -> Option<Declared> {
    let json = match node.as_text() {
        Some(text) => text.to_owned(),
        None => node.to_json().to_string(),
    };
    Declared::new(json)
        .map_err(|e| {
            let what = format!("this is not an Avro schema of a record: {e}");
            cx.diagnostics.push(Diagnostic::error("schema/not-avro", node.span, what));
        })
        .ok()
}
