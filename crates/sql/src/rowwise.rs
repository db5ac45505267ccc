//! Queries that look at one row at a time, run over batches as they come.

use crate::problem::Problem;
use crate::{guard, lazy, output, plan, temporal};
use arrow_array::{
    Array, ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions, UInt32Array, cast::AsArray,
};
use arrow_schema::{Schema, SchemaRef};
use arrow_select::concat::concat_batches;
use arrow_select::filter::{filter, filter_record_batch};
use datafusion_common::DFSchema;
use datafusion_expr::{Expr, LogicalPlan};
use datafusion_physical_expr::PhysicalExpr;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Why a row failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowError {
    /// Its place in the batch.
    pub row: usize,
    /// What went wrong, such as `division by zero`.
    pub message: String,
}

/// The result of a query over a batch.
#[derive(Clone, Debug)]
pub struct Selected {
    /// The rows of the result.
    pub rows: RecordBatch,
    /// For each of them the row of the batch that it was made of; rising.
    pub from: UInt32Array,
    /// The rows that failed, in order.
    pub errors: Vec<RowError>,
}

/// The values of an expression, one for each row of a batch.
#[derive(Clone, Debug)]
pub struct Evaluated {
    /// Null where the row failed.
    pub values: ArrayRef,
    /// The rows that failed, in order.
    pub errors: Vec<RowError>,
}

/// One thing that is done to rows.
#[derive(Debug)]
enum Step {
    Keep(Arc<dyn PhysicalExpr>),
    /// Columns; the schema is what they are before their types are settled.
    Make(Vec<Arc<dyn PhysicalExpr>>, SchemaRef),
}

/// A query over one table that gives at most one row for each, and needs no other for it.
#[derive(Debug)]
pub struct RowQuery {
    table: usize,
    steps: Vec<Step>,
    output: SchemaRef,
    /// Which columns of the table are read.
    reads: Vec<bool>,
    /// For columns of the result that are merely moved: which one of the table.
    moves: Vec<Option<usize>>,
    /// Stack that it needs.
    room: usize,
}

impl Drop for RowQuery {
    fn drop(&mut self) {
        crate::guard::dropped(self.room, std::mem::take(&mut self.steps));
    }
}

impl RowQuery {
    /// Of a plan whose types are settled; `None` if it needs more than one row at a time.
    pub(crate) fn of(
        plan: &LogicalPlan,
        tables: &plan::Tables,
        text: &str,
    ) -> Result<Option<RowQuery>, Problem> {
        let mut nodes = Vec::new();
        let mut at = plan;
        let scan = loop {
            match at {
                LogicalPlan::Projection(p) => {
                    nodes.push(at);
                    at = &p.input;
                }
                LogicalPlan::Filter(f) => {
                    nodes.push(at);
                    at = &f.input;
                }
                LogicalPlan::SubqueryAlias(a) => at = &a.input,
                LogicalPlan::TableScan(scan) => break scan,
                _ => return Ok(None),
            }
        };
        if nodes.iter().any(|n| n.expressions().iter().any(needs_more)) || scan.projection.is_some() {
            return Ok(None);
        }
        let Some(table) = tables.iter().position(|(n, _)| n == scan.table_name.table()) else {
            return Ok(None);
        };
        nodes.reverse();
        let width = scan.source.schema().fields().len();
        let build = || -> datafusion_common::Result<RowQuery> { RowQuery::built(table, width, &nodes, plan) };
        let mut built = guard::planning(|| build().map_err(|e| crate::problem::from_datafusion(&e, text)))?;
        built.output = schema(built.output.as_ref())?;
        built.room = guard::room(text);
        Ok(Some(built))
    }

    fn built(
        table: usize,
        width: usize,
        nodes: &[&LogicalPlan],
        plan: &LogicalPlan,
    ) -> datafusion_common::Result<RowQuery> {
        let mut steps = Vec::new();
        // What each column of the rows so far was made of.
        let mut made_of: Vec<BTreeSet<usize>> = (0..width).map(|i| BTreeSet::from([i])).collect();
        let mut moves: Vec<Option<usize>> = (0..width).map(Some).collect();
        let mut reads = vec![false; width];
        for node in nodes {
            match node {
                LogicalPlan::Filter(f) => {
                    let used = used(&f.predicate, f.input.schema(), &made_of)?;
                    used.into_iter().for_each(|c| reads.iter_mut().skip(c).take(1).for_each(|r| *r = true));
                    steps.push(Step::Keep(lazy::physical(&f.predicate, f.input.schema())?));
                }
                LogicalPlan::Projection(p) => {
                    let input = p.input.schema();
                    let columns = p
                        .expr
                        .iter()
                        .map(|e| lazy::physical(e, input))
                        .collect::<datafusion_common::Result<_>>()?;
                    let next = p
                        .expr
                        .iter()
                        .map(|e| used(e, input, &made_of))
                        .collect::<datafusion_common::Result<_>>()?;
                    let moved = p.expr.iter().map(|e| {
                        let bare = match e {
                            Expr::Alias(a) => a.expr.as_ref(),
                            e => e,
                        };
                        let Expr::Column(c) = bare else { return Ok(None) };
                        Ok(moves.get(input.index_of_column(c)?).copied().flatten())
                    });
                    moves = moved.collect::<datafusion_common::Result<_>>()?;
                    made_of = next;
                    steps.push(Step::Make(columns, Arc::new(p.schema.as_arrow().clone())));
                }
                _ => {}
            }
        }
        for c in made_of.into_iter().flatten() {
            reads.iter_mut().skip(c).take(1).for_each(|r| *r = true);
        }
        Ok(RowQuery {
            table,
            steps,
            output: Arc::new(plan.schema().as_arrow().clone()),
            reads,
            moves,
            room: 0,
        })
    }

    /// Which table it is over.
    pub fn table(&self) -> usize {
        self.table
    }

    /// The columns of the result; all may be null.
    pub fn schema(&self) -> &SchemaRef {
        &self.output
    }

    /// Which columns of the table it reads.
    pub fn reads(&self) -> &[bool] {
        &self.reads
    }

    /// The column of the table that a column of the result merely moves.
    pub fn moves(&self, column: usize) -> Option<usize> {
        self.moves.get(column).copied().flatten()
    }

    /// True if it drops rows.
    pub fn filters(&self) -> bool {
        self.steps.iter().any(|s| matches!(s, Step::Keep(_)))
    }

    /// Runs it over a batch. `now` is the present, in microseconds since 1970.
    ///
    /// # Errors
    /// A batch that is not of the table.
    pub fn run(&self, rows: &RecordBatch, now: Option<i64>) -> Result<Selected, String> {
        if rows.num_rows() == 0 {
            let none = RecordBatch::new_empty(self.output.clone());
            return Ok(Selected {
                rows: none,
                from: UInt32Array::from(Vec::<u32>::new()),
                errors: Vec::new(),
            });
        }
        let mut pieces =
            Pieces { query: self, rows, now, done: Vec::new(), from: Vec::new(), errors: Vec::new() };
        pieces.run(0, rows.num_rows())?;
        let Pieces { done, from, errors, .. } = pieces;
        let rows = match done.as_slice() {
            [one] => one.clone(),
            all => concat_batches(&self.output, all).map_err(|e| e.to_string())?,
        };
        Ok(Selected { rows, from: from.into(), errors })
    }

    /// The rows of the result and, for each, the row it was made of.
    fn attempt(&self, rows: &RecordBatch, now: Option<i64>) -> Result<(RecordBatch, Vec<u32>), String> {
        guard::running(self.room, || temporal::at(now, || self.steps(rows)))
    }

    fn steps(&self, rows: &RecordBatch) -> Result<(RecordBatch, Vec<u32>), String> {
        let failed = |e: datafusion_common::DataFusionError| plan::run_error(&e);
        let arrow = |e: arrow_schema::ArrowError| crate::problem::plain(&e.to_string());
        let mut rows = rows.clone();
        let mut from = UInt32Array::from_iter_values(0..rows.num_rows() as u32);
        for step in &self.steps {
            match step {
                Step::Keep(condition) => {
                    let truth = condition
                        .evaluate(&rows)
                        .and_then(|v| v.into_array(rows.num_rows()))
                        .map_err(failed)?;
                    let keep = match truth.as_boolean_opt() {
                        Some(keep) => keep.clone(),
                        None => BooleanArray::from(vec![false; rows.num_rows()]),
                    };
                    rows = filter_record_batch(&rows, &keep).map_err(arrow)?;
                    from = filter(&from, &keep).map_err(arrow)?.as_primitive().clone();
                }
                Step::Make(columns, schema) => {
                    let values =
                        columns.iter().map(|c| c.evaluate(&rows).and_then(|v| v.into_array(rows.num_rows())));
                    let values = values.collect::<Result<Vec<_>, _>>().map_err(failed)?;
                    rows = batch(schema, values, rows.num_rows()).map_err(arrow)?;
                }
            }
        }
        let columns =
            rows.columns().iter().zip(self.output.fields()).zip(&self.moves).map(|((c, f), moved)| {
                let settled = output::values(c, f.data_type())?;
                Ok(if moved.is_some() { settled } else { output::one_zero(settled) })
            });
        let columns = columns.collect::<Result<Vec<_>, String>>()?;
        Ok((batch(&self.output, columns, rows.num_rows()).map_err(arrow)?, from.values().to_vec()))
    }

    /// Runs it over a batch, for a query that has one column and drops nothing.
    pub(crate) fn evaluate(&self, rows: &RecordBatch, now: Option<i64>) -> Result<Evaluated, String> {
        let selected = self.run(rows, now)?;
        let Some(values) = selected.rows.columns().first() else {
            return Err("an expression without a value".to_owned());
        };
        if selected.errors.is_empty() {
            return Ok(Evaluated { values: values.clone(), errors: selected.errors });
        }
        let mut places: Vec<Option<u32>> = vec![None; rows.num_rows()];
        for (value, row) in selected.from.values().iter().enumerate() {
            if let Some(place) = places.get_mut(*row as usize) {
                *place = Some(value as u32);
            }
        }
        let values =
            arrow_select::take::take(values, &UInt32Array::from(places), None).map_err(|e| e.to_string())?;
        Ok(Evaluated { values, errors: selected.errors })
    }
}

fn batch(
    schema: &SchemaRef,
    columns: Vec<ArrayRef>,
    rows: usize,
) -> Result<RecordBatch, arrow_schema::ArrowError> {
    // What may be null is not known better than by looking; all fields may.
    let fields = schema.fields().iter().zip(&columns);
    let fields =
        fields.map(|(f, c)| f.as_ref().clone().with_nullable(true).with_data_type(c.data_type().clone()));
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    RecordBatch::try_new_with_options(schema, columns, &RecordBatchOptions::new().with_row_count(Some(rows)))
}

/// The columns of the table that an expression looks at.
fn used(
    e: &Expr,
    input: &DFSchema,
    made_of: &[BTreeSet<usize>],
) -> datafusion_common::Result<BTreeSet<usize>> {
    let mut all = BTreeSet::new();
    for c in e.column_refs() {
        all.extend(made_of.get(input.index_of_column(c)?).into_iter().flatten());
    }
    Ok(all)
}

fn needs_more(e: &Expr) -> bool {
    use datafusion_common::tree_node::{TreeNode, TreeNodeRecursion};
    let mut found = false;
    let walked = e.apply(|e| {
        found |= matches!(
            e,
            Expr::AggregateFunction(_)
                | Expr::WindowFunction(_)
                | Expr::ScalarSubquery(_)
                | Expr::InSubquery(_)
                | Expr::Exists(_)
                | Expr::Unnest(_)
                | Expr::OuterReferenceColumn(..)
        );
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    });
    found || walked.is_err()
}

/// A schema in the types that leave, each name once: a second `id` is `id0`, as in Calcite.
pub(crate) fn schema(computed: &Schema) -> Result<SchemaRef, Problem> {
    let mut names: BTreeSet<String> = BTreeSet::new();
    let mut fields = Vec::new();
    for f in computed.fields() {
        let free = |n: &String| !names.contains(n);
        let numbered = (0..).map(|i| format!("{}{i}", f.name()));
        let name = std::iter::once(f.name().clone()).chain(numbered).find(free).unwrap_or_default();
        names.insert(name.clone());
        fields.push(output::field(f)?.with_name(name));
    }
    Ok(Arc::new(Schema::new(fields)))
}

/// A batch that is cut in half until what fails is one row.
struct Pieces<'a> {
    query: &'a RowQuery,
    rows: &'a RecordBatch,
    now: Option<i64>,
    done: Vec<RecordBatch>,
    from: Vec<u32>,
    errors: Vec<RowError>,
}

impl Pieces<'_> {
    fn run(&mut self, offset: usize, length: usize) -> Result<(), String> {
        match self.query.attempt(&self.rows.slice(offset, length), self.now) {
            Ok((rows, from)) => {
                self.done.push(rows);
                self.from.extend(from.into_iter().map(|r| r + offset as u32));
            }
            Err(message) if length == 0 => return Err(message),
            Err(message) if length == 1 => self.errors.push(RowError { row: offset, message }),
            Err(_) => {
                self.run(offset, length / 2)?;
                self.run(offset + length / 2, length - length / 2)?;
            }
        }
        Ok(())
    }
}
