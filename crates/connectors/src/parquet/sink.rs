//! `WriteToParquet`.

use super::config::WriteToParquet;
use crate::format::parquet::{ParquetOut, check_schema, codec};
use crate::shared::bind;
use crate::shared::write::pieces::{PieceNode, plain};
use purlin_api::shape::physical;
use purlin_api::{BindCx, Entry, InputShape, PlanNode, Transform};
use purlin_spec::vocabulary::{Inputs, TransformDef};
use purlin_spec::{Config, Diagnostic, FromNode};
use std::sync::Arc;

/// Bytes of a row group unless the config says otherwise: Beam's default.
const ROW_GROUP_BYTES: i64 = 64 << 20;

/// Its catalogue entry.
pub(crate) fn entry() -> Entry {
    Entry {
        def: TransformDef {
            name: "WriteToParquet",
            doc: WriteToParquet::doc(),
            inputs: Inputs::One,
            error_handling: false,
            fields: WriteToParquet::fields,
        },
        decode: |node, d| WriteToParquet::from_node(node, d).map(|c| Arc::new(c) as Arc<dyn Transform>),
    }
}

impl Transform for WriteToParquet {
    fn bind(&self, inputs: &[InputShape], cx: &mut BindCx<'_>) -> Option<Arc<dyn PlanNode>> {
        let input = bind::only_input(inputs, cx)?;
        let suffix = self.file_name_suffix.as_deref();
        let target = bind::piece_target(cx, input, &self.path, self.num_shards.as_ref(), suffix);
        let word = self.codec.as_ref().map_or("none", |c| c.value.as_str());
        let codec = codec(word);
        if codec.is_none() {
            let span = self.codec.as_ref().map_or(cx.span, |c| c.span);
            let what = format!("cannot write Parquet files with the codec `{word}`");
            cx.diagnostics.push(
                Diagnostic::error("config/unknown-word", span, what)
                    .help("codecs written: `none`, `snappy`, `gzip`, `zstd`, `lz4`"),
            );
        }
        let bytes = self.row_group_buffer_size.as_ref().map_or(ROW_GROUP_BYTES, |b| b.value);
        if bytes < 1 {
            let span = self.row_group_buffer_size.as_ref().map_or(cx.span, |b| b.span);
            let what = format!("`row_group_buffer_size` is at least 1 byte, it is not {bytes}");
            cx.diagnostics.push(Diagnostic::error("config/out-of-range", span, what));
        }
        let schema = plain(&physical(&input.shape.schema));
        if let Err(e) = check_schema(&schema) {
            let what = format!("these rows cannot be written as Parquet: {e}");
            cx.diagnostics.push(Diagnostic::error("schema/not-writable", cx.span, what));
            return None;
        }
        let row_group_bytes = usize::try_from(bytes).ok()?;
        Some(Arc::new(PieceNode {
            format: Arc::new(ParquetOut { codec: codec?, row_group_bytes }),
            target: target?,
            suffix: suffix.unwrap_or_default().to_owned(),
            windowing: input.shape.windowing.clone(),
            schema,
        }))
    }
}
