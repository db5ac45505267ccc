//! `WriteToJson`.

use super::config::{WriteToJson, check_orient};
use crate::format::json::encode::JsonOut;
use crate::shared::bind;
use crate::shared::write::WriteNode;
use purlin_api::{BindCx, Entry, InputShape, PlanNode, Transform};
use purlin_spec::vocabulary::{Inputs, TransformDef};
use purlin_spec::{Config, FromNode};
use std::sync::Arc;

/// Its catalogue entry.
pub(crate) fn entry() -> Entry {
    Entry {
        def: TransformDef {
            name: "WriteToJson",
            doc: WriteToJson::doc(),
            inputs: Inputs::One,
            error_handling: false,
            fields: WriteToJson::fields,
        },
        decode: |node, d| WriteToJson::from_node(node, d).map(|c| Arc::new(c) as Arc<dyn Transform>),
    }
}

impl Transform for WriteToJson {
    fn bind(&self, inputs: &[InputShape], cx: &mut BindCx<'_>) -> Option<Arc<dyn PlanNode>> {
        let input = bind::only_input(inputs, cx)?;
        check_orient(self.orient.as_ref(), cx.diagnostics);
        let target =
            bind::target(cx, input, &self.path, self.num_shards.as_ref(), self.compression.as_ref())?;
        let encoder = JsonOut { lines: self.lines, beam_compat: cx.beam_compat };
        Some(Arc::new(WriteNode {
            encoder: Arc::new(encoder),
            target,
            windowing: input.shape.windowing.clone(),
        }))
    }
}
