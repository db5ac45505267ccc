//! A query over named tables.

use crate::problem::Problem;
use crate::rowwise::{self, RowQuery};
use crate::{expression, guard, output, parse, physical, plan, spell, temporal};
use arrow_array::{RecordBatch, RecordBatchOptions};
use arrow_schema::SchemaRef;
use datafusion_common::tree_node::TreeNodeRecursion;
use datafusion_expr::LogicalPlan;

/// A query, checked against the columns of its tables.
#[derive(Debug)]
pub struct Query {
    text: String,
    tables: Vec<(String, SchemaRef)>,
    plan: LogicalPlan,
    rows: Option<RowQuery>,
    output: SchemaRef,
    reads: Vec<Vec<bool>>,
}

impl Drop for Query {
    fn drop(&mut self) {
        guard::dropped(guard::room(&self.text), std::mem::take(&mut self.plan));
    }
}

impl Query {
    /// Checks `text` against tables: their names and columns.
    ///
    /// # Errors
    /// What is wrong with it: no query, syntax, unknown names, types that do not fit, what cannot be run.
    pub fn compile(text: &str, tables: &[(String, SchemaRef)]) -> Result<Self, Problem> {
        guard::planning(|| {
            let mut query = parse::query(text)?;
            spell::query(&mut query)?;
            Query::of(query, text, tables)
        })
    }

    fn of(query: sqlparser::ast::Query, text: &str, tables: &[(String, SchemaRef)]) -> Result<Self, Problem> {
        let tables: Vec<(String, SchemaRef)> =
            tables.iter().map(|(n, s)| (n.clone(), expression::all_nullable(s))).collect();
        let analyzed = plan::analyzed(query, text, &tables)?;
        let output = rowwise::schema(analyzed.schema().as_arrow())?;
        let rows = RowQuery::of(&plan::simplified(analyzed.clone(), text)?, &tables, text)?;
        let plan = plan::optimized(analyzed, text)?;
        guard::planning(|| {
            physical::check(&plan, &tables).map_err(|e| crate::problem::from_datafusion(&e, text))
        })?;
        let reads = reads(&plan, &tables, text)?;
        Ok(Query { text: expression::one_line(text), tables, plan, rows, output, reads })
    }

    /// Its text on one line.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The columns of the result; all may be null.
    pub fn schema(&self) -> &SchemaRef {
        &self.output
    }

    /// The same as something that is done row by row, if it needs no more.
    pub fn rows(&self) -> Option<&RowQuery> {
        self.rows.as_ref()
    }

    /// Which columns of a table are read; a table that is not read at all gives `None`.
    pub fn reads(&self, table: usize) -> Option<&[bool]> {
        self.reads.get(table).filter(|r| !r.is_empty()).map(Vec::as_slice)
    }

    /// The rows of the result, given those of each table. `now` is the present, in microseconds since 1970.
    ///
    /// The order of the rows is that of the query if it says one, else it follows from the rows given.
    ///
    /// # Errors
    /// What fails, as a text: a division by zero, a number that does not fit, a table that is not as it was said.
    pub fn run(&self, tables: &[Vec<RecordBatch>], now: Option<i64>) -> Result<Vec<RecordBatch>, String> {
        let batches = guard::planning_and_running(|| {
            temporal::at(now, || {
                physical::run(&self.plan, &self.tables, tables).map_err(|e| plan::run_error(&e))
            })
        })?;
        batches.into_iter().filter(|b| b.num_rows() > 0).map(|b| self.settled(&b)).collect()
    }

    fn settled(&self, rows: &RecordBatch) -> Result<RecordBatch, String> {
        let columns = rows.columns().iter().zip(self.output.fields());
        let columns =
            columns.map(|(c, f)| output::values(c, f.data_type())).collect::<Result<Vec<_>, _>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
        RecordBatch::try_new_with_options(self.output.clone(), columns, &options).map_err(|e| e.to_string())
    }
}

/// Which columns of each table the plan reads; nothing for a table that it does not read.
fn reads(plan: &LogicalPlan, tables: &plan::Tables, text: &str) -> Result<Vec<Vec<bool>>, Problem> {
    let mut reads: Vec<Vec<bool>> = vec![Vec::new(); tables.len()];
    let walked = plan.apply_with_subqueries(|p| {
        if let LogicalPlan::TableScan(scan) = p
            && let Some(table) = tables.iter().position(|(n, _)| n == scan.table_name.table())
            && let Some(columns) = reads.get_mut(table)
        {
            let width = scan.source.schema().fields().len();
            columns.resize(width.max(1), false);
            match &scan.projection {
                Some(used) => {
                    used.iter().for_each(|c| columns.iter_mut().skip(*c).take(1).for_each(|r| *r = true))
                }
                None => columns.iter_mut().for_each(|c| *c = true),
            }
        }
        Ok(TreeNodeRecursion::Continue)
    });
    walked.map_err(|e| crate::problem::from_datafusion(&e, text))?;
    Ok(reads)
}
