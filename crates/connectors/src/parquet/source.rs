//! `ReadFromParquet`.

use super::config::ReadFromParquet;
use crate::format::parquet::Parquet;
use crate::shared::{bind, tables};
use purlin_api::{BindCx, Entry, InputShape, PlanNode, Transform};
use purlin_spec::vocabulary::{Inputs, TransformDef};
use purlin_spec::{Config, FromNode};
use std::sync::Arc;

/// Its catalogue entry.
pub(crate) fn entry() -> Entry {
    Entry {
        def: TransformDef {
            name: "ReadFromParquet",
            doc: ReadFromParquet::doc(),
            inputs: Inputs::None,
            error_handling: true,
            fields: ReadFromParquet::fields,
        },
        decode: |node, d| ReadFromParquet::from_node(node, d).map(|c| Arc::new(c) as Arc<dyn Transform>),
    }
}

impl Transform for ReadFromParquet {
    fn bind(&self, _: &[InputShape], cx: &mut BindCx<'_>) -> Option<Arc<dyn PlanNode>> {
        let files = bind::files(cx, &self.path);
        tables::bind(
            Arc::new(Parquet),
            cx,
            files,
            self.columns.as_deref(),
            self.error_handling.as_ref(),
            &self.path,
        )
    }
}
