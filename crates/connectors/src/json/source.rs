//! `ReadFromJson`.

use super::config::{ReadFromJson, check_orient};
use crate::format::json::decode::Json;
use crate::format::json::infer;
use crate::format::schema::from_json_schema;
use crate::shared::bind;
use crate::shared::read::{Format, ReadNode};
use arrow_schema::SchemaRef;
use bytes::Bytes;
use purlin_api::transform::Probe;
use purlin_api::{BindCx, Entry, FileInfo, InputShape, PlanNode, Result, Transform};
use purlin_spec::vocabulary::{Inputs, TransformDef};
use purlin_spec::{Config, Diagnostic, FromNode, Value};
use std::sync::Arc;

/// How many rows the fields are sampled from, and how many Beam looks at.
const SAMPLE_ROWS: usize = 1000;
const BEAM_SAMPLE_ROWS: usize = 100;

/// Its catalogue entry.
pub(crate) fn entry() -> Entry {
    Entry {
        def: TransformDef {
            name: "ReadFromJson",
            doc: ReadFromJson::doc(),
            inputs: Inputs::None,
            error_handling: true,
            fields: ReadFromJson::fields,
        },
        decode: |node, d| ReadFromJson::from_node(node, d).map(|c| Arc::new(c) as Arc<dyn Transform>),
    }
}

impl Transform for ReadFromJson {
    fn bind(&self, _: &[InputShape], cx: &mut BindCx<'_>) -> Option<Arc<dyn PlanNode>> {
        let errors = self.error_handling.as_ref();
        let limits = bind::limits(cx, errors, self.max_line_bytes.as_ref());
        bind::check_encoding(self.encoding.as_ref(), cx.diagnostics);
        check_orient(self.orient.as_ref(), cx.diagnostics);
        if let Some(node) = self.dtype.as_ref().filter(|n| !matches!(n.value, Value::Bool(_) | Value::Null)) {
            cx.diagnostics.push(
                Diagnostic::error("config/unsupported", node.span, "`dtype` is `true` or `false` here")
                    .help("give a `schema` to set types"),
            );
        }
        if let Some(dates) = self.convert_dates.as_ref().filter(|c| c.value) {
            cx.diagnostics.push(
                Diagnostic::error(
                    "config/unsupported",
                    dates.span,
                    "`convert_dates` would guess dates by field names",
                )
                .help("give a `schema` with `{type: string, format: date}` or `format: date-time`"),
            );
        }
        let files = bind::files(cx, &self.path)?;
        let (on_bad, record_bytes_max) = limits?;
        let mut json = Json {
            lines: self.lines,
            python_text: cx.beam_compat,
            declared: self.schema.is_some(),
            sampled: 0,
        };
        let schema = match &self.schema {
            Some(s) => from_json_schema(&s.0, cx.diagnostics)?,
            None => self.sampled(cx, &files, &mut json)?,
        };
        if cx.diagnostics.has_errors() {
            return None;
        }
        Some(Arc::new(ReadNode {
            format: Arc::new(json),
            files,
            needed: vec![true; schema.fields().len()],
            outputs: bind::outputs(schema, errors),
            on_bad,
            record_bytes_max,
        }))
    }
}

impl ReadFromJson {
    /// A first file that was read whole, and the beginnings of those after it, whose objects may have more
    /// fields; whether this is all of the last one.
    fn with_next_files(
        &self,
        probe: &dyn Probe,
        files: &[FileInfo],
        head: &Bytes,
        whole: bool,
    ) -> Result<(Bytes, bool)> {
        /// Enough for the rows that are sampled, together.
        const BYTES_MAX: usize = 1 << 20;
        let rest = files.iter().skip_while(|f| f.bytes == 0).skip(1).filter(|f| f.bytes > 0);
        let (mut all, mut whole) = (head.to_vec(), whole);
        for file in rest.take_while(|_| self.lines) {
            let room = BYTES_MAX.saturating_sub(all.len());
            if !whole || room == 0 {
                break;
            }
            let next = probe.head(&file.path, room)?;
            whole = next.len() < room;
            all.push(b'\n');
            all.extend_from_slice(&next);
        }
        Ok((all.into(), whole))
    }

    fn sampled(&self, cx: &mut BindCx<'_>, files: &[FileInfo], json: &mut Json) -> Option<SchemaRef> {
        let rows_max = if cx.beam_compat { BEAM_SAMPLE_ROWS } else { SAMPLE_ROWS };
        let sample = bind::sampled(cx.probe, files, |head, whole| {
            let (head, whole) = &self.with_next_files(cx.probe, files, head, whole)?;
            let sample = infer::sample(head, *whole, json.framing(), rows_max, json.python_text)?;
            let enough = !sample.wants_more;
            Ok((sample, enough))
        });
        let (message, help) = match sample {
            Ok(Some(sample)) if !sample.schema.fields().is_empty() => {
                json.sampled = sample.rows;
                return Some(sample.schema);
            }
            Ok(Some(sample)) if sample.rows == 0 => (
                format!("the first of the files of `{}` holds no JSON object", self.path.value),
                if self.lines {
                    "each line is one object; for a file that is one array give `lines: false`"
                } else {
                    "the file should be one array of objects"
                },
            ),
            Ok(_) => (
                format!("`{}` is empty: it does not show which fields there are", self.path.value),
                "give a `schema` if empty files are to be read",
            ),
            Err(e) => {
                cx.diagnostics.push(Diagnostic::error("file/cannot-read", self.path.span, e.message()));
                return None;
            }
        };
        cx.diagnostics.push(Diagnostic::error("file/no-rows", self.path.span, message).help(help));
        None
    }
}
