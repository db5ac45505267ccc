//! Queries that need one row at a time: batches are queried as they come.

use crate::errors::{Errors, Failure, Policy};
use purlin_api::shape::physical;
use purlin_api::{
    Batch, BuildCx, Error, EventTime, More, OpCx, Operator, Output, OutputRole, PlanNode, Port, Result,
    Running, Shape,
};
use purlin_sql::Query;
use std::sync::Arc;

#[derive(Debug)]
pub(super) struct RowsNode {
    outputs: Vec<Output>,
    input: Shape,
    query: Arc<Query>,
}

impl RowsNode {
    pub(super) fn new(shape: Shape, input: Shape, query: Query) -> Self {
        let outputs = vec![Output { tag: "out".to_owned(), shape, role: OutputRole::Main }];
        RowsNode { outputs, input, query: Arc::new(query) }
    }
}

impl PlanNode for RowsNode {
    fn outputs(&self) -> &[Output] {
        &self.outputs
    }

    fn explain(&self) -> String {
        format!("sql, row by row: {}", self.query.text())
    }

    fn columns_needed(&self, _: &[Vec<bool>], _: &[Shape]) -> Vec<Vec<bool>> {
        let width = self.input.schema.fields().len();
        let reads = self.query.rows().map(|r| r.reads().to_vec());
        vec![reads.filter(|r| r.len() == width).unwrap_or_else(|| vec![true; width])]
    }

    fn build(&self, cx: &BuildCx) -> Result<Running> {
        Ok(Running::Operator(Box::new(RowsOperator {
            schema: physical(self.query.schema()),
            query: self.query.clone(),
            errors: Policy::default().start(0, &cx.label),
        })))
    }
}

#[derive(Debug)]
struct RowsOperator {
    query: Arc<Query>,
    schema: arrow_schema::SchemaRef,
    errors: Errors,
}

impl Operator for RowsOperator {
    fn on_batch(&mut self, _: Port, batch: Batch, cx: &mut OpCx) -> Result<More> {
        let Some(query) = self.query.rows() else {
            return Err(Error::internal("this query needs whole windows"));
        };
        let now = (cx.now > EventTime::MIN).then_some(cx.now.0);
        let selected = query.run(&batch.rows, now).map_err(Error::internal)?;
        let failures =
            selected.errors.iter().map(|e| Failure::raised(e.row, "SqlError", &e.message)).collect();
        // There is no error output: a failure ends the run here.
        self.errors.split(&batch, failures, cx)?;
        let rows = selected.rows.with_schema(self.schema.clone())?;
        let kept = batch.take(&selected.from)?.with_rows(rows);
        cx.fates.passed += kept.len() as u64;
        cx.fates.filtered += (batch.len() - kept.len()) as u64;
        cx.emit(0, kept);
        Ok(More::No)
    }
}
