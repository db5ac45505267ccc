//! `WindowInto`: rows into windows.

use crate::common::only_input;
use crate::windows::{assign_windows, windowing_from_spec};
use purlin_api::{BindCx, Entry, InputShape, PlanNode, Transform};
use purlin_spec::types::Windowing;
use purlin_spec::vocabulary::{Inputs, TransformDef};
use purlin_spec::{Config, FromNode, Node};
use std::sync::Arc;

purlin_spec::config! {
    /// Puts rows into windows of event time. Aggregations further down work per window.
    ///
    /// `fixed` windows of a `size` follow each other; `sliding` windows of a `size` start every `period` and
    /// overlap; `sessions` last as long as rows of a key follow each other by less than `gap`; `global` is
    /// one window for all time. Starts are multiples of the size (or period) since 1970, plus `offset`.
    /// Durations are seconds, or have a unit: `ms s m h d`.
    ///
    /// The windowing stays with the rows: a later `AssignTimestamps` puts them into other windows of the
    /// same kind. Any other transform can carry a `windowing:` too, for its inputs.
    ///
    /// Beyond Beam YAML, `allowed_lateness`, `trigger`, `accumulation_mode` and `late_output` say when
    /// results are given and what becomes of late rows.
    ///
    /// ```yaml
    /// - type: WindowInto
    ///   input: Events
    ///   config:
    ///     windowing: {type: fixed, size: 5m, allowed_lateness: 1h}
    /// ```
    pub struct WindowInto {
        /// The windows. May stand beside `type` instead of in `config`.
        pub windowing: Windows,
    }
}

/// A windowing as written. It is read when the transform is bound: what it may hold depends on the mode.
#[derive(Clone, Debug)]
pub(crate) struct Windows(Node);

impl FromNode for Windows {
    fn kind() -> purlin_spec::Kind {
        Windowing::kind()
    }

    fn from_node(node: &Node, _: &mut purlin_spec::Diagnostics) -> Option<Self> {
        Some(Windows(node.clone()))
    }
}

/// What the catalogue knows of it.
pub(crate) fn entry() -> Entry {
    Entry {
        def: TransformDef {
            name: "WindowInto",
            doc: WindowInto::doc(),
            inputs: Inputs::One,
            error_handling: false,
            fields: WindowInto::fields,
        },
        decode: |node, d| WindowInto::from_node(node, d).map(|t| Arc::new(t) as Arc<dyn Transform>),
    }
}

impl Transform for WindowInto {
    fn bind(&self, inputs: &[InputShape], cx: &mut BindCx<'_>) -> Option<Arc<dyn PlanNode>> {
        let windowing = Windowing::parse(&self.windowing.0, cx.beam_compat, cx.diagnostics)?;
        let input = only_input(inputs, cx)?;
        Some(assign_windows(&input.shape, windowing_from_spec(&windowing)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use purlin_api::testing;
    use purlin_spec::{Span, Value};

    fn window_into(text: &str) -> WindowInto {
        WindowInto { windowing: Windows(Node::new(Value::Text(text.to_owned()), Span::default())) }
    }

    #[test]
    fn the_windowing_goes_with_the_rows() {
        let t = window_into(
            "{type: fixed, size: 500ms, offset: 750ms, allowed_lateness: 10s, late_output: late, trigger: {after_watermark: {late: {after_count: 2}}}}",
        );
        let (node, driver) = testing::run(&t, &[r#"[{"time": 1}]"#], false).unwrap();
        assert_eq!(
            node.explain(),
            "fixed(500ms, offset 250ms), trigger after_watermark(late after_count(2)), discarding, lateness 10s"
        );
        assert_eq!(node.outputs()[0].shape.windowing.late_output.as_deref(), Some("late"));
        assert_eq!(crate::python::window_text(driver.emitted[0].1.windows.get(0)), "[0.75, 1.25)");
    }

    #[test]
    fn beam_knows_no_lateness() {
        let e = testing::run(
            &window_into("{type: fixed, size: 5s, allowed_lateness: 10s}"),
            &[r#"[{"time": 1}]"#],
            true,
        );
        assert!(e.unwrap_err().contains("allowed_lateness"));
    }
}
