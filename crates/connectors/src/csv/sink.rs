//! `WriteToCsv`.

use super::config::{HeaderOut, WriteToCsv};
use crate::format::csv::encode::{CsvOut, Quoting};
use crate::shared::bind;
use crate::shared::write::WriteNode;
use purlin_api::{BindCx, Entry, InputShape, PlanNode, Shape, Transform};
use purlin_spec::config::Spanned;
use purlin_spec::vocabulary::{Inputs, TransformDef};
use purlin_spec::{Config, Diagnostic, FromNode, suggest};
use std::sync::Arc;

/// Its catalogue entry.
pub(crate) fn entry() -> Entry {
    Entry {
        def: TransformDef {
            name: "WriteToCsv",
            doc: WriteToCsv::doc(),
            inputs: Inputs::One,
            error_handling: false,
            fields: WriteToCsv::fields,
        },
        decode: |node, d| WriteToCsv::from_node(node, d).map(|c| Arc::new(c) as Arc<dyn Transform>),
    }
}

impl Transform for WriteToCsv {
    fn bind(&self, inputs: &[InputShape], cx: &mut BindCx<'_>) -> Option<Arc<dyn PlanNode>> {
        let input = bind::only_input(inputs, cx)?;
        bind::check_encoding(self.encoding.as_ref(), cx.diagnostics);
        let format = self.format(&input.shape, cx);
        let target =
            bind::target(cx, input, &self.path, self.num_shards.as_ref(), self.compression.as_ref())?;
        Some(Arc::new(WriteNode {
            encoder: Arc::new(format?),
            target,
            windowing: input.shape.windowing.clone(),
        }))
    }
}

impl WriteToCsv {
    fn format(&self, shape: &Shape, cx: &mut BindCx<'_>) -> Option<CsvOut> {
        let columns = self.chosen(shape, cx)?;
        let (beam_compat, d) = (cx.beam_compat, &mut *cx.diagnostics);
        let mut byte = |what: &str, value: Option<&Spanned<String>>, default: u8| match value {
            None => Some(default),
            Some(v) => bind::one_byte(what, v, d),
        };
        let delimiter = byte("delimiter", self.delimiter.as_ref().or(self.sep.as_ref()), b',');
        let quote = byte("quotechar", self.quotechar.as_ref(), b'"');
        let quoting = match self.quoting.as_ref().map(|q| (q.value, q.span)) {
            None | Some((0, _)) => Quoting::Minimal,
            Some((1, _)) => Quoting::All,
            Some((2, _)) => Quoting::NonNumeric,
            Some((3, _)) => Quoting::None,
            Some((other, span)) => {
                let what =
                    format!("`quoting` is 0 (minimal), 1 (all), 2 (not numbers) or 3 (none), not {other}");
                d.push(Diagnostic::error("config/out-of-range", span, what));
                return None;
            }
        };
        let header = match &self.header {
            Some(HeaderOut::Bool(false)) => None,
            Some(HeaderOut::Names(names)) if names.len() != columns.len() => {
                let what = format!("`header` has {} names for {} columns", names.len(), columns.len());
                d.push(Diagnostic::error("config/wrong-length", cx.span, what));
                return None;
            }
            Some(HeaderOut::Names(names)) => Some(names.clone()),
            _ => {
                let fields = shape.schema.fields();
                Some(columns.iter().filter_map(|i| fields.get(*i)).map(|f| f.name().clone()).collect())
            }
        };
        Some(CsvOut {
            delimiter: delimiter?,
            quote: quote?,
            quoting,
            header,
            null: self.na_rep.clone(),
            line_end: self.lineterminator.clone().unwrap_or_else(|| "\n".to_owned()),
            columns,
            beam_compat,
        })
    }

    fn chosen(&self, shape: &Shape, cx: &mut BindCx<'_>) -> Option<Vec<usize>> {
        let fields = shape.schema.fields();
        let Some(wanted) = &self.columns else { return Some((0..fields.len()).collect()) };
        let names = || fields.iter().map(|f| f.name().as_str());
        let places: Vec<Option<usize>> = wanted
            .iter()
            .map(|w| {
                let place = names().position(|n| n == w.value);
                if place.is_none() {
                    cx.diagnostics.push(
                        Diagnostic::error(
                            "name/unknown-field",
                            w.span,
                            format!("the rows have no field `{}`", w.value),
                        )
                        .label(format!("valid fields: {}", suggest::listed(names())))
                        .maybe_help(suggest::did_you_mean(&w.value, names())),
                    );
                }
                place
            })
            .collect();
        places.into_iter().collect()
    }
}
