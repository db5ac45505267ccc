//! `WriteToDeadLetters`.

use super::config::WriteToDeadLetters;
use super::wrap::WrapNode;
use super::writer::Writer;
use arrow_schema::{DataType, Schema};
use purlin_api::{
    BindCx, BuildCx, Distribution, Entry, Guarantee, InputShape, Output, PlanNode, Promise, Result, Running,
    StateShape, Transform,
};
use purlin_spec::vocabulary::{Inputs, TransformDef};
use purlin_spec::{Config, Diagnostic, FromNode};
use std::sync::Arc;

/// Its type.
pub(super) const NAME: &str = "WriteToDeadLetters";

/// Its catalogue entry.
pub(crate) fn entry() -> Entry {
    Entry {
        def: TransformDef {
            name: NAME,
            doc: WriteToDeadLetters::doc(),
            inputs: Inputs::One,
            error_handling: false,
            fields: WriteToDeadLetters::fields,
        },
        decode: |node, d| WriteToDeadLetters::from_node(node, d).map(|c| Arc::new(c) as Arc<dyn Transform>),
    }
}

impl Transform for WriteToDeadLetters {
    fn bind(&self, inputs: &[InputShape], cx: &mut BindCx<'_>) -> Option<Arc<dyn PlanNode>> {
        let mut wraps = Vec::with_capacity(inputs.len());
        for input in inputs {
            let is_error = input.is_error && is_error_row(&input.shape.schema);
            let reason = (!is_error).then(|| self.reason.as_ref().map(|r| r.value.clone()));
            if reason == Some(None) {
                let what = format!(
                    "the rows of `{}` are no error rows: they do not say why they are kept",
                    input.producer
                );
                cx.diagnostics.push(
                    Diagnostic::error("dead-letters/no-reason", input.span, what)
                        .label("it is no output of an `error_handling`")
                        .help("add `reason: TEXT` to the `config`"),
                );
                continue;
            }
            wraps.push(WrapNode::new(input, reason.flatten()));
        }
        (wraps.len() == inputs.len()).then(|| Arc::new(LettersNode { wraps }) as Arc<dyn PlanNode>)
    }
}

fn is_error_row(schema: &Schema) -> bool {
    let text = |name| schema.field_with_name(name).is_ok_and(|f| *f.data_type() == DataType::Utf8);
    schema.field_with_name("element").is_ok() && text("msg") && text("stack")
}

/// A bound writer; its rows are letters already.
#[derive(Debug)]
struct LettersNode {
    wraps: Vec<WrapNode>,
}

impl PlanNode for LettersNode {
    fn outputs(&self) -> &[Output] {
        &[]
    }

    fn explain(&self) -> String {
        "kept below .purlin/deadletters".to_owned()
    }

    fn distribution(&self, _: usize) -> Distribution {
        // Letters are numbered in one place.
        Distribution::Single
    }

    fn claims(&self) -> Vec<String> {
        vec!["the dead letters of the pipeline".to_owned()]
    }

    fn ahead_of(&self, port: usize) -> Option<Arc<dyn PlanNode>> {
        self.wraps.get(port).map(|w| Arc::new(w.clone()) as Arc<dyn PlanNode>)
    }

    fn state(&self) -> Option<StateShape> {
        // Letters that were prepared and not committed: each file says itself what it is.
        Some(StateShape::new("dead letters to show"))
    }

    fn guarantee(&self) -> Option<Guarantee> {
        let because = "letters appear when their epoch is committed".to_owned();
        Some(Guarantee { promise: Promise::ExactlyOnce, because })
    }

    fn build(&self, cx: &BuildCx) -> Result<Running> {
        Ok(Running::Sink(Box::new(Writer::new(&cx.environment)?)))
    }
}
