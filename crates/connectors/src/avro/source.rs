//! `ReadFromAvro`.

use super::config::ReadFromAvro;
use crate::format::avro::Avro;
use crate::shared::{bind, tables};
use purlin_api::{BindCx, Entry, InputShape, PlanNode, Transform};
use purlin_spec::vocabulary::{Inputs, TransformDef};
use purlin_spec::{Config, FromNode};
use std::sync::Arc;

/// Its catalogue entry.
pub(crate) fn entry() -> Entry {
    Entry {
        def: TransformDef {
            name: "ReadFromAvro",
            doc: ReadFromAvro::doc(),
            inputs: Inputs::None,
            error_handling: true,
            fields: ReadFromAvro::fields,
        },
        decode: |node, d| ReadFromAvro::from_node(node, d).map(|c| Arc::new(c) as Arc<dyn Transform>),
    }
}

impl Transform for ReadFromAvro {
    fn bind(&self, _: &[InputShape], cx: &mut BindCx<'_>) -> Option<Arc<dyn PlanNode>> {
        let files = bind::files(cx, &self.path);
        tables::bind(Arc::new(Avro), cx, files, None, self.error_handling.as_ref(), &self.path)
    }
}
