//! `Join`: rows of several collections put side by side where fields are equal.

mod config;
mod fields;
mod node;
mod operator;
mod plan;
mod probe;
#[cfg(test)]
mod property;
mod side;
#[cfg(test)]
mod tests;

use config::{Equalities, Fields, JoinType};
use node::JoinNode;
use purlin_api::window::WindowFn;
use purlin_api::{
    AccumulationMode, BindCx, Entry, InputShape, Output, OutputRole, PlanNode, Shape, Transform, Trigger,
    Windowing,
};
use purlin_spec::vocabulary::{Inputs, TransformDef};
use purlin_spec::{Config, Diagnostic, FromNode};
use std::sync::Arc;

purlin_spec::config! {
    /// Puts the rows of two or more collections side by side where fields of them are equal: per window, if
    /// the rows are windowed.
    ///
    /// `input` is a mapping: its keys are the names that the config calls the inputs by. Null equals nothing,
    /// not even null. An integer equals a float of the same value; fields of otherwise different types are
    /// refused.
    ///
    /// Inputs are joined one after the other, in the order they are written. `type` says what becomes of rows
    /// that find no partner:
    ///
    /// | type | keeps |
    /// |---|---|
    /// | `inner` | only rows that found one |
    /// | `left` | also all rows of the inputs before |
    /// | `right` | also all rows of the input that is joined |
    /// | `outer` | all rows |
    /// | `{outer: [a, b]}` | of each input and the one written before it, the rows of those that are listed |
    ///
    /// A row that is kept without a partner has null in the fields of the other side.
    ///
    /// The result has the `fields` in the order they are written, then all fields of the inputs that are not
    /// written. A second field of one name gets a number: `id`, `id0`, `id1`. Its time is the last
    /// millisecond of its window. All inputs need the same windows; `windowing` on the Join windows them all.
    ///
    /// ```yaml
    /// - type: Join
    ///   input: {o: Orders, c: Customers}
    ///   config:
    ///     type: left
    ///     equalities: [{o: customer_id, c: id}]
    ///     fields:
    ///       o: [order_id, amount]
    ///       c: {customer: name, country: country}
    /// ```
    pub struct Join {
        /// What must be equal: the name of a field that all inputs have, or a list of mappings from inputs
        /// to fields, each with at least two. They must connect all inputs.
        pub equalities: Equalities,
        /// Which rows without a partner are kept: `inner` (the default), `left`, `right`, `outer`, or
        /// `{outer: [input, …]}`.
        pub join_type as "type": Option<JoinType>,
        /// Which fields the result has, by input: a list of fields, or a mapping from new names to fields.
        /// Inputs that are not named here give all their fields.
        pub fields: Option<Fields>,
    }
}

/// What the catalogue knows of it.
pub(crate) fn entry() -> Entry {
    Entry {
        def: TransformDef {
            name: "Join",
            doc: Join::doc(),
            inputs: Inputs::Named,
            error_handling: false,
            fields: Join::fields,
        },
        decode: |node, d| Join::from_node(node, d).map(|t| Arc::new(t) as Arc<dyn Transform>),
    }
}

impl Transform for Join {
    fn bind(&self, inputs: &[InputShape], cx: &mut BindCx<'_>) -> Option<Arc<dyn PlanNode>> {
        let [first, others @ ..] = inputs else { return too_few(inputs, cx) };
        if others.is_empty() {
            return too_few(inputs, cx);
        }
        let windowed = windows(first, others, cx);
        let pairs = plan::pairs(&self.equalities, inputs, cx);
        let kept = plan::kept(self.join_type.as_ref(), inputs, cx);
        let columns = fields::columns(self.fields.as_ref(), inputs, cx);
        let (pairs, kept, columns) = (pairs?, kept?, columns?);
        let joined = plan::joined(&pairs, &kept, self.equalities.span(), inputs, cx)?;
        windowed?;
        let shape = Shape {
            schema: fields::schema(&columns, &joined, inputs),
            windowing: Arc::new(Windowing {
                trigger: Trigger::Default,
                accumulation: AccumulationMode::Discarding,
                ..first.shape.windowing.as_ref().clone()
            }),
            bounded: inputs.iter().all(|i| i.shape.bounded),
        };
        let outputs = vec![Output { tag: "out".to_owned(), shape, role: OutputRole::Main }];
        Some(Arc::new(JoinNode::new(outputs, inputs, joined, columns)))
    }
}

fn too_few(inputs: &[InputShape], cx: &mut BindCx<'_>) -> Option<Arc<dyn PlanNode>> {
    let span = inputs.first().map_or(cx.span, |i| i.span);
    cx.diagnostics.push(
        Diagnostic::error("join/inputs", span, format!("`{}` needs at least 2 inputs, with names", cx.label))
            .help("`input` must be a mapping from names to transforms: `input: {left: A, right: B}`"),
    );
    None
}

/// Rows only meet inside a window, and a window is joined once, when it ends.
fn windows(first: &InputShape, others: &[InputShape], cx: &mut BindCx<'_>) -> Option<()> {
    let mut good = true;
    for input in others {
        let (a, b) = (&first.shape.windowing.window_fn, &input.shape.windowing.window_fn);
        if a != b {
            good = false;
            let text = format!("`{}` joins collections with different windows", cx.label);
            cx.diagnostics.push(
                Diagnostic::error("join/windows", input.span, text)
                    .label(format!("{} here, {} in `{}`", b.describe(), a.describe(), first.tag))
                    .help("put `windowing` on the Join: it windows all inputs"),
            );
        }
    }
    for input in std::iter::once(first).chain(others) {
        good &= joins_once(input, cx);
    }
    good.then_some(())
}

/// True if each window of an input ends, and is complete then.
fn joins_once(input: &InputShape, cx: &mut BindCx<'_>) -> bool {
    let windowing = &input.shape.windowing;
    let (label, tag) = (cx.label, &input.tag);
    let refused = match &windowing.window_fn {
        WindowFn::Sessions { .. } => Some(
            Diagnostic::error("join/sessions", input.span, format!("`{label}` cannot join sessions yet"))
                .label(format!("`{tag}` is windowed into {}", windowing.window_fn.describe()))
                .help("use fixed or sliding windows"),
        ),
        WindowFn::Global if !input.shape.bounded => Some(
            Diagnostic::error(
                "window/unbounded-global",
                input.span,
                format!(
                    "`{label}` would never give a result: `{tag}` has no end and is in the global window"
                ),
            )
            .label("windows are joined when they end")
            .help("put `windowing: {type: fixed, size: 60s}` on it"),
        ),
        _ => None,
    };
    let on_time =
        matches!(windowing.trigger, Trigger::Default | Trigger::AfterWatermark { early: None, late: None });
    let again = (!on_time || windowing.allowed_lateness != 0 || windowing.late_output.is_some()).then(|| {
        Diagnostic::error(
            "join/panes",
            input.span,
            format!("`{label}` joins a window once, when it ends: it has no early or late panes yet"),
        )
        .label(format!("`{tag}` is windowed as {}", windowing.describe()))
        .help("leave `trigger`, `allowed_lateness` and `late_output` out of the `windowing` before a Join")
    });
    let good = refused.is_none() && again.is_none();
    refused.into_iter().chain(again).for_each(|d| cx.diagnostics.push(d));
    good
}
