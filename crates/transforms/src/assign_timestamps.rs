//! `AssignTimestamps`: event time from the row.

mod instant;
mod rfc3339;

use crate::common::{all_columns, need, only_input, read_columns};
use crate::errors::{Errors, Policy};
use crate::expressions::{Compiled, compile, language};
use crate::windows::assign;
use crate::worker::{behind, visible};
use purlin_api::shape::type_name;
use purlin_api::{
    Batch, BindCx, BuildCx, Distribution, Entry, InputShape, More, OpCx, Operator, Output, PlanNode, Port,
    Result, Running, Shape, StateShape, StateTable, Times, Transform, WindowFn,
};
use purlin_spec::config::Spanned;
use purlin_spec::types::{ErrorHandling, Expression};
use purlin_spec::vocabulary::{Inputs, TransformDef};
use purlin_spec::{Config, Diagnostic, FromNode};
use std::sync::Arc;

purlin_spec::config! {
    /// Gives each row the event time that it says it has.
    ///
    /// The value may be a number (seconds since 1970, with decimals down to the microsecond), a timestamp,
    /// a Python `datetime` with any offset, or RFC 3339 text such as `2024-01-02T03:04:05Z` or
    /// `2024-01-02T04:04:05+01:00`. Rows are put into the windows that their new time belongs to. Time may
    /// be moved back; such rows can be late for their windows.
    ///
    /// ```yaml
    /// - type: AssignTimestamps
    ///   input: Orders
    ///   config: {timestamp: ordered_at}
    /// ```
    pub struct AssignTimestamps {
        /// The field or expression that gives the time; as in `MapToFields`.
        pub timestamp: Expression,
        /// The language of the expression: `generic` (the default), `python` or `sql`.
        pub language: Option<Spanned<String>>,
        /// Where rows go that have no usable time.
        pub error_handling: Option<ErrorHandling>,
    }
}

/// What the catalogue knows of it.
pub(crate) fn entry() -> Entry {
    Entry {
        def: TransformDef {
            name: "AssignTimestamps",
            doc: AssignTimestamps::doc(),
            inputs: Inputs::One,
            error_handling: true,
            fields: AssignTimestamps::fields,
        },
        decode: |node, d| AssignTimestamps::from_node(node, d).map(|t| Arc::new(t) as Arc<dyn Transform>),
    }
}

impl Transform for AssignTimestamps {
    fn bind(&self, inputs: &[InputShape], cx: &mut BindCx<'_>) -> Option<Arc<dyn PlanNode>> {
        let input = only_input(inputs, cx)?;
        let language = language(self.language.as_ref(), cx)?;
        let timestamp = compile(&self.timestamp, language, &input.shape.schema, cx);
        let policy = Policy::bind(self.error_handling.as_ref(), &input.shape, cx)?;
        let mut timestamp = timestamp?;
        if cx.beam_compat {
            timestamp.require_utc();
        }
        if !instant::fits(&timestamp) {
            let text = format!("a timestamp cannot be made of {}", type_name(&timestamp.field("timestamp")));
            cx.diagnostics.push(
                Diagnostic::error("timestamp/type", self.timestamp.span, text)
                    .help("give seconds since 1970, RFC 3339 text, or a Python `datetime`"),
            );
            return None;
        }
        let outputs = policy.outputs(input.shape.clone());
        let node = AssignNode {
            outputs,
            input: input.shape.clone(),
            timestamp: timestamp.clone(),
            policy,
            beam_compat: cx.beam_compat,
        };
        Some(behind(Arc::new(node), &[&timestamp], &input.shape))
    }
}

#[derive(Debug)]
struct AssignNode {
    outputs: Vec<Output>,
    input: Shape,
    timestamp: Compiled,
    policy: Policy,
    beam_compat: bool,
}

impl PlanNode for AssignNode {
    fn outputs(&self) -> &[Output] {
        &self.outputs
    }

    fn explain(&self) -> String {
        format!("{}{}", self.timestamp.describe(&self.input.schema), self.policy.explain())
    }

    fn distribution(&self, _: usize) -> Distribution {
        self.policy.distribution()
    }

    fn columns_needed(&self, outputs: &[Vec<bool>], inputs: &[Shape]) -> Vec<Vec<bool>> {
        if self.policy.is_read(outputs, 1) {
            return vec![all_columns(inputs.first())];
        }
        let mut columns = read_columns(outputs, 0, self.input.schema.fields().len());
        self.timestamp.columns().into_iter().for_each(|c| need(&mut columns, c));
        vec![columns]
    }

    fn state(&self) -> Option<StateShape> {
        self.policy.state()
    }

    fn build(&self, cx: &BuildCx) -> Result<Running> {
        Ok(Running::Operator(Box::new(AssignOperator {
            timestamp: self.timestamp.clone(),
            window_fn: self.input.windowing.window_fn.clone(),
            beam_compat: self.beam_compat,
            errors: self.policy.start(1, &cx.label),
        })))
    }
}

#[derive(Debug)]
struct AssignOperator {
    timestamp: Compiled,
    /// The window function stays with the collection: new times mean other windows.
    window_fn: WindowFn,
    beam_compat: bool,
    errors: Errors,
}

impl Operator for AssignOperator {
    fn on_batch(&mut self, _: Port, batch: Batch, cx: &mut OpCx) -> Result<More> {
        let mut failures = Vec::new();
        let (all, batch) = visible(batch)?;
        let values = self.timestamp.eval(&all, cx.now, &mut failures)?;
        let times = instant::times(&values, self.timestamp.is_any(), self.beam_compat, &mut failures)?;
        let good = self.errors.split(&batch, failures, cx)?;
        let timed = Batch { times: Times::Each(times.into()), ..batch };
        let timed = match good {
            None => timed,
            Some(good) => timed.filter(&good)?,
        };
        let rows = timed.len() as u64;
        let (windowed, lost) = assign(timed, &self.window_fn)?;
        cx.fates.passed += rows - lost;
        cx.fates.filtered += lost;
        cx.emit(0, windowed);
        Ok(More::No)
    }

    fn on_watermark(&mut self, cx: &mut OpCx) -> Result<More> {
        self.errors.on_watermark(cx)?;
        Ok(More::No)
    }

    fn on_end(&mut self, _: &mut OpCx) -> Result<More> {
        self.errors.on_end()?;
        Ok(More::No)
    }

    fn tables(&mut self) -> Vec<&mut dyn StateTable> {
        self.errors.tables()
    }
}

#[cfg(test)]
mod tests;
