//! `ReadFromAvro`.

use super::config::ReadFromAvro;
use crate::format::avro::Avro;
use crate::shared::bind;
use crate::shared::tables::{self, Options};
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
        let path = bind::pattern(cx, self.path.as_ref(), self.file_pattern.as_ref())?;
        let files = bind::files(cx, path);
        let options =
            Options { columns: None, schema: self.schema.as_ref(), errors: self.error_handling.as_ref() };
        tables::bind(Arc::new(Avro), cx, files, &options, path)
    }
}
