//! A bound `Sql`: what it needs of its inputs, and how it runs.

use super::Sql;
use super::problems::diagnostic;
use super::rows::RowsNode;
use super::windows::WindowsNode;
use purlin_api::shape::physical;
use purlin_api::window::WindowFn;
use purlin_api::{
    AccumulationMode, BindCx, Distribution, InputShape, Output, OutputRole, PlanNode, Shape, Trigger,
    Windowing,
};
use purlin_spec::Diagnostic;
use purlin_spec::types::Snippet;
use purlin_sql::{PCOLLECTION, Query};
use std::sync::Arc;

/// Binds a `Sql`.
pub(crate) fn bind(sql: &Sql, inputs: &[InputShape], cx: &mut BindCx<'_>) -> Option<Arc<dyn PlanNode>> {
    // The tag of an input without a name is `input`.
    let name = |i: &InputShape| match inputs.len() {
        1 if i.tag == "input" => PCOLLECTION.to_owned(),
        _ => i.tag.clone(),
    };
    let tables: Vec<_> = inputs.iter().map(|i| (name(i), physical(&i.shape.schema))).collect();
    let query = match Query::compile(&sql.query.value, &tables) {
        Ok(query) => query,
        Err(problem) => {
            let snippet = Snippet { text: sql.query.value.clone(), span: sql.query.span };
            cx.diagnostics.push(diagnostic(problem, &snippet));
            return None;
        }
    };
    if let ([input], true) = (inputs, query.rows().is_some()) {
        let shape = input.shape.with_schema(query.schema().clone());
        return Some(Arc::new(RowsNode::new(shape, input.shape.clone(), query)));
    }
    per_window(query, inputs, Distribution::Single, cx)
}

/// A query that runs over each window when it ends. `distribution` is that of all inputs.
pub(crate) fn per_window(
    query: Query,
    inputs: &[InputShape],
    distribution: Distribution,
    cx: &mut BindCx<'_>,
) -> Option<Arc<dyn PlanNode>> {
    let (first, others) = inputs.split_first()?;
    windows(first, others, cx)?;
    let shape = Shape {
        schema: query.schema().clone(),
        windowing: Arc::new(Windowing {
            trigger: Trigger::Default,
            accumulation: AccumulationMode::Discarding,
            ..first.shape.windowing.as_ref().clone()
        }),
        bounded: inputs.iter().all(|i| i.shape.bounded),
    };
    let output = Output { tag: "out".to_owned(), shape, role: OutputRole::Main };
    Some(Arc::new(WindowsNode::new(output, inputs, query, distribution)))
}

/// Rows only meet inside a window, and a window is queried once, when it ends.
fn windows(first: &InputShape, others: &[InputShape], cx: &mut BindCx<'_>) -> Option<()> {
    let mut good = true;
    for input in others {
        let (a, b) = (&first.shape.windowing.window_fn, &input.shape.windowing.window_fn);
        if a != b {
            good = false;
            let text = format!("`{}` queries collections with different windows", cx.label);
            cx.diagnostics.push(
                Diagnostic::error("sql/windows", input.span, text)
                    .label(format!("{} here, {} in `{}`", b.describe(), a.describe(), first.tag))
                    .help("put `windowing` on the transform: it windows all inputs"),
            );
        }
    }
    for input in std::iter::once(first).chain(others) {
        good &= ends_once(input, cx);
    }
    good.then_some(())
}

/// True if each window of an input ends, and is complete then.
fn ends_once(input: &InputShape, cx: &mut BindCx<'_>) -> bool {
    let windowing = &input.shape.windowing;
    let (label, tag) = (cx.label, &input.tag);
    let refused = match &windowing.window_fn {
        WindowFn::Sessions { .. } => Some(
            Diagnostic::error("sql/sessions", input.span, format!("`{label}` cannot query sessions yet"))
                .label(format!("`{tag}` is windowed into {}", windowing.window_fn.describe()))
                .help("use fixed or sliding windows; a Combine of plain aggregates can do sessions"),
        ),
        WindowFn::Global if !input.shape.bounded => Some(
            Diagnostic::error(
                "window/unbounded-global",
                input.span,
                format!(
                    "`{label}` would never give a result: `{tag}` has no end and is in the global window"
                ),
            )
            .label("a window is queried when it ends")
            .help("put `windowing: {type: fixed, size: 60s}` on it"),
        ),
        _ => None,
    };
    let on_time =
        matches!(windowing.trigger, Trigger::Default | Trigger::AfterWatermark { early: None, late: None });
    let again = (!on_time || windowing.allowed_lateness != 0 || windowing.late_output.is_some()).then(|| {
        Diagnostic::error(
            "sql/panes",
            input.span,
            format!("`{label}` queries a window once, when it ends: it has no early or late panes yet"),
        )
        .label(format!("`{tag}` is windowed as {}", windowing.describe()))
        .help("leave `trigger`, `allowed_lateness` and `late_output` out of the `windowing` before it")
    });
    let good = refused.is_none() && again.is_none();
    refused.into_iter().chain(again).for_each(|d| cx.diagnostics.push(d));
    good
}
