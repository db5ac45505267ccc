//! `Join`: rows of several collections put side by side where fields are equal.

mod closing;
mod config;
mod fields;
mod node;
mod operator;
mod plan;
mod probe;
#[cfg(test)]
mod property;
mod sessions;
mod side;
#[cfg(test)]
mod tests;
mod windows;

use config::{Equalities, Fields, JoinType};
use node::JoinNode;
use plan::{Joined, Keep};
use purlin_api::window::WindowFn;
use purlin_api::{
    AccumulationMode, BindCx, Entry, InputShape, Output, OutputRole, PlanNode, Shape, Transform, Trigger,
    Windowing,
};
use purlin_spec::vocabulary::{Inputs, TransformDef};
use purlin_spec::{Config, Diagnostic, FromNode, Span};
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
    /// A window is joined once, when it ends. With `allowed_lateness`, a row that comes after that adds the pairs that
    /// it makes with all rows of its window, in a late pane (of index 1, all of them); only inner joins take late rows, as a row that was given
    /// without a partner cannot be taken back. `trigger`, accumulating panes and `late_output` are refused.
    ///
    /// In session windows, rows of all inputs with equal keys are one session as long as their times follow each other
    /// by less than the gap, and the result is in the merged session. Each equality must then name a field of every
    /// input. A row with a null in its key is a session of its own. Sessions take no late rows.
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
        let pairs = plan::pairs(&self.equalities, inputs, cx);
        let kept = plan::kept(self.join_type.as_ref(), inputs, cx);
        let windowed = windowed(first, others, kept.as_deref().unwrap_or_default(), cx);
        let columns = fields::columns(self.fields.as_ref(), inputs, cx);
        let (pairs, kept, columns) = (pairs?, kept?, columns?);
        let joined = plan::joined(&pairs, &kept, self.equalities.span(), inputs, cx)?;
        windowed?;
        sessions(&joined, inputs, self.equalities.span(), cx)?;
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
fn windowed(first: &InputShape, others: &[InputShape], kept: &[Keep], cx: &mut BindCx<'_>) -> Option<()> {
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
        } else if first.shape.windowing.allowed_lateness != input.shape.windowing.allowed_lateness {
            good = false;
            let text = format!("`{}` joins collections that wait for late rows differently long", cx.label);
            cx.diagnostics.push(
                Diagnostic::error("join/windows", input.span, text)
                    .label(format!("not as long as `{}`", first.tag))
                    .help("put `windowing` on the Join: it windows all inputs"),
            );
        }
    }
    for input in std::iter::once(first).chain(others) {
        good &= joins_once(input, kept, cx);
    }
    good.then_some(())
}

/// True if each window of an input ends, and what is given when it does stays right.
fn joins_once(input: &InputShape, kept: &[Keep], cx: &mut BindCx<'_>) -> bool {
    let windowing = &input.shape.windowing;
    let (label, tag) = (cx.label, &input.tag);
    let refuse = |code, text: String, help: &str| {
        let label = format!("`{tag}` is windowed as {}", windowing.describe());
        Diagnostic::error(code, input.span, text).label(label).help(help)
    };
    let on_time =
        matches!(windowing.trigger, Trigger::Default | Trigger::AfterWatermark { early: None, late: None });
    let late = windowing.allowed_lateness != 0;
    let refused = if windowing.window_fn == WindowFn::Global && !input.shape.bounded {
        let what =
            format!("`{label}` would never give a result: `{tag}` has no end and is in the global window");
        Some(
            Diagnostic::error("window/unbounded-global", input.span, what)
                .label("windows are joined when they end")
                .help("put `windowing: {type: fixed, size: 60s}` on it"),
        )
    } else if !on_time {
        let what = format!(
            "`{label}` joins a window when it ends: it has no early panes, and no trigger for late ones"
        );
        Some(refuse("join/panes", what, "leave `trigger` out of the `windowing` before a Join"))
    } else if windowing.late_output.is_some() {
        let what = format!("`{label}` has no output for rows that are too late");
        Some(refuse("join/panes", what, "leave `late_output` out of the `windowing` before a Join"))
    } else if late && windowing.window_fn.merges() {
        let what = format!(
            "`{label}` cannot take late rows into sessions: one may join two that were given already"
        );
        Some(refuse("join/lateness", what, "leave `allowed_lateness` out, or use fixed or sliding windows"))
    } else if late && windowing.accumulation != AccumulationMode::Discarding {
        let what = format!("`{label}` gives each pair once: it cannot accumulate");
        Some(refuse("join/lateness", what, "leave `accumulation_mode` out of the `windowing` before a Join"))
    } else if late && kept.iter().any(|k| k.left || k.right) {
        let what = format!(
            "`{label}` cannot take late rows: a row that was given without a partner cannot be taken back"
        );
        Some(refuse("join/lateness", what, "use an inner join, or leave `allowed_lateness` out"))
    } else {
        None
    };
    let good = refused.is_none();
    refused.into_iter().for_each(|d| cx.diagnostics.push(d));
    good
}

/// Sessions belong to a key, so that all inputs must be joined by one.
fn sessions(joined: &Joined, inputs: &[InputShape], span: Span, cx: &mut BindCx<'_>) -> Option<()> {
    let merges = inputs.iter().any(|i| i.shape.windowing.window_fn.merges());
    if !merges || joined.shared_key(inputs.len()).is_some() {
        return Some(());
    }
    let tags: Vec<String> = inputs.iter().map(|i| format!("{}: FIELD", i.tag)).collect();
    cx.diagnostics.push(
        Diagnostic::error(
            "join/sessions",
            span,
            format!("`{}` cannot join sessions by these equalities", cx.label),
        )
        .label("a session belongs to one key: each equality must be about the same fields, one of each input")
        .help(format!("write `equalities: [{{{}}}]`, or use fixed or sliding windows", tags.join(", "))),
    );
    None
}
