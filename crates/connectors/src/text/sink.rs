//! `WriteToText`.

use super::config::WriteToText;
use crate::format::text::TextOut;
use crate::shared::bind;
use crate::shared::write::{Target, WriteNode};
use purlin_api::{BindCx, Entry, InputShape, PlanNode, Transform};
use purlin_spec::vocabulary::{Inputs, TransformDef};
use purlin_spec::{Config, Diagnostic, FromNode, suggest};
use std::sync::Arc;

/// Its catalogue entry.
pub(crate) fn entry() -> Entry {
    Entry {
        def: TransformDef {
            name: "WriteToText",
            doc: WriteToText::doc(),
            inputs: Inputs::One,
            error_handling: false,
            fields: WriteToText::fields,
        },
        decode: |node, d| WriteToText::from_node(node, d).map(|c| Arc::new(c) as Arc<dyn Transform>),
    }
}

impl Transform for WriteToText {
    fn bind(&self, inputs: &[InputShape], cx: &mut BindCx<'_>) -> Option<Arc<dyn PlanNode>> {
        let input = bind::only_input(inputs, cx)?;
        let fields = input.shape.schema.fields();
        if fields.len() != 1 {
            let names = suggest::listed(fields.iter().map(|f| f.name().as_str()));
            cx.diagnostics.push(
                Diagnostic::error(
                    "schema/not-one-field",
                    cx.span,
                    "WriteToText takes rows with exactly one field",
                )
                .label(format!("these have {}: {names}", fields.len()))
                .help("put a `MapToFields` before it that makes one field of text, or use `WriteToJson`"),
            );
        }
        let target = bind::target(cx, input, &self.path, None, self.compression.as_ref())?;
        if fields.len() != 1 {
            return None;
        }
        // Beam's batch writer of text disregards windows.
        let windowed = target.windowed && !(cx.beam_compat && input.shape.bounded);
        Some(Arc::new(WriteNode {
            encoder: Arc::new(TextOut { beam_compat: cx.beam_compat }),
            target: Target { windowed, file_if_empty: true, ..target },
            windowing: input.shape.windowing.clone(),
        }))
    }
}
