//! `Reshuffle`: rows pass through.

use crate::common::{only_input, read_columns};
use purlin_api::{
    Batch, BindCx, BuildCx, Entry, InputShape, More, OpCx, Operator, Output, OutputRole, PlanNode, Port,
    Result, Running, Shape, Transform,
};
use purlin_spec::vocabulary::{Inputs, TransformDef};
use purlin_spec::{Config, FromNode};
use std::sync::Arc;

purlin_spec::config! {
    /// Spreads rows over workers anew on Beam. Here rows pass unchanged: the engine balances by itself.
    ///
    /// ```yaml
    /// - type: Reshuffle
    ///   input: Wide
    /// ```
    pub struct Reshuffle {
        /// How many groups Beam makes. No effect on results.
        pub num_buckets: Option<i64>,
    }
}

/// What the catalogue knows of `Reshuffle`.
pub(crate) fn entry() -> Entry {
    Entry {
        def: TransformDef {
            name: "Reshuffle",
            doc: Reshuffle::doc(),
            inputs: Inputs::One,
            error_handling: false,
            fields: Reshuffle::fields,
        },
        decode: |node, d| Reshuffle::from_node(node, d).map(|t| Arc::new(t) as Arc<dyn Transform>),
    }
}

impl Transform for Reshuffle {
    fn bind(&self, inputs: &[InputShape], cx: &mut BindCx<'_>) -> Option<Arc<dyn PlanNode>> {
        let input = only_input(inputs, cx)?;
        Some(Arc::new(Pass::new(input.shape.clone(), "rows pass".to_owned())))
    }
}

/// Rows pass unchanged.
#[derive(Debug)]
pub(crate) struct Pass {
    outputs: Vec<Output>,
    explain: String,
}

impl Pass {
    pub(crate) fn new(shape: Shape, explain: String) -> Self {
        Pass { outputs: vec![Output { tag: "out".to_owned(), shape, role: OutputRole::Main }], explain }
    }
}

impl PlanNode for Pass {
    fn outputs(&self) -> &[Output] {
        &self.outputs
    }

    fn explain(&self) -> String {
        self.explain.clone()
    }

    fn columns_needed(&self, outputs: &[Vec<bool>], inputs: &[Shape]) -> Vec<Vec<bool>> {
        inputs.iter().map(|s| read_columns(outputs, 0, s.schema.fields().len())).collect()
    }

    fn build(&self, _: &BuildCx) -> Result<Running> {
        Ok(Running::Operator(Box::new(PassOperator)))
    }
}

#[derive(Debug)]
struct PassOperator;

impl Operator for PassOperator {
    fn on_batch(&mut self, _: Port, batch: Batch, cx: &mut OpCx) -> Result<More> {
        cx.fates.passed += batch.len() as u64;
        cx.emit(0, batch);
        Ok(More::No)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use purlin_api::testing;

    #[test]
    fn rows_pass() {
        let rows = [r#"[{"a": 1}, {"a": 2}]"#];
        let (_, driver) = testing::run(&Reshuffle { num_buckets: None }, &rows, false).unwrap();
        assert_eq!(driver.rows(0), [r#"{"a":1}"#, r#"{"a":2}"#]);
    }
}
