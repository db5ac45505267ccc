//! `ReadFromText`.

use super::config::ReadFromText;
use crate::format::text::Text;
use crate::shared::bind;
use crate::shared::read::ReadNode;
use arrow_schema::{DataType, Field, Schema};
use purlin_api::{BindCx, Entry, InputShape, PlanNode, Transform};
use purlin_spec::vocabulary::{Inputs, TransformDef};
use purlin_spec::{Config, FromNode};
use std::sync::Arc;

/// Its catalogue entry.
pub(crate) fn entry() -> Entry {
    Entry {
        def: TransformDef {
            name: "ReadFromText",
            doc: ReadFromText::doc(),
            inputs: Inputs::None,
            error_handling: true,
            fields: ReadFromText::fields,
        },
        decode: |node, d| ReadFromText::from_node(node, d).map(|c| Arc::new(c) as Arc<dyn Transform>),
    }
}

impl Transform for ReadFromText {
    fn bind(&self, _: &[InputShape], cx: &mut BindCx<'_>) -> Option<Arc<dyn PlanNode>> {
        let errors = self.error_handling.as_ref();
        let limits = bind::limits(cx, errors, self.max_line_bytes.as_ref());
        let files = bind::files(cx, &self.path)?;
        let (on_bad, record_bytes_max) = limits?;
        let schema = Arc::new(Schema::new(vec![Field::new("line", DataType::Utf8, false)]));
        Some(Arc::new(ReadNode {
            format: Arc::new(Text),
            files,
            outputs: bind::outputs(schema, errors),
            needed: vec![true],
            on_bad,
            record_bytes_max,
        }))
    }
}
