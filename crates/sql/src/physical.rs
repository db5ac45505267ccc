//! A plan, run over rows in memory on the calling thread.
//!
//! One partition, no runtime: every stream is polled to its end here. DataFusion's own planner of this step lives
//! in its umbrella crate, with catalogues and file formats that nothing here may reach.

use crate::{lazy, plan};
use arrow_array::RecordBatch;
use arrow_schema::{Schema, SchemaRef};
use datafusion_common::{DFSchema, DataFusionError, JoinType, Result, internal_err, not_impl_err};
use datafusion_execution::config::SessionConfig;
use datafusion_execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion_execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion_execution::{SendableRecordBatchStream, TaskContext};
use datafusion_expr::execution_props::ExecutionProps;
use datafusion_expr::expr::{WindowFunction, WindowFunctionParams, physical_name};
use datafusion_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion_expr::utils::generate_sort_key;
use datafusion_expr::{
    Aggregate, Expr, FetchType, Join, Limit, LogicalPlan, Projection, SkipType, SortExpr, TableScan, Window,
};
use datafusion_physical_expr::aggregate::LoweredAggregateBuilder;
use datafusion_physical_expr::window::WindowExpr;
use datafusion_physical_expr::{LexOrdering, create_physical_sort_exprs};
use datafusion_physical_plan::aggregates::{AggregateExec, AggregateMode, PhysicalGroupBy};
use datafusion_physical_plan::empty::EmptyExec;
use datafusion_physical_plan::filter::FilterExec;
use datafusion_physical_plan::joins::utils::JoinFilter;
use datafusion_physical_plan::joins::{CrossJoinExec, HashJoinExec, NestedLoopJoinExec, PartitionMode};
use datafusion_physical_plan::limit::GlobalLimitExec;
use datafusion_physical_plan::memory::MemoryStream;
use datafusion_physical_plan::placeholder_row::PlaceholderRowExec;
use datafusion_physical_plan::projection::{ProjectionExec, ProjectionExpr};
use datafusion_physical_plan::sorts::sort::SortExec;
use datafusion_physical_plan::streaming::{PartitionStream, StreamingTableExec};
use datafusion_physical_plan::unnest::{ListUnnest, UnnestExec};
use datafusion_physical_plan::windows::{BoundedWindowAggExec, WindowAggExec, create_window_expr};
use datafusion_physical_plan::{ExecutionPlan, InputOrderMode, collect};
use std::sync::{Arc, LazyLock};

type Exec = Arc<dyn ExecutionPlan>;

/// Checks that a plan can be run.
pub(crate) fn check(plan: &LogicalPlan, tables: &plan::Tables) -> Result<()> {
    Lowering { tables, rows: None }.lower(plan).map(|_| ())
}

/// The rows of a plan's result.
pub(crate) fn run(
    plan: &LogicalPlan,
    tables: &plan::Tables,
    rows: &[Vec<RecordBatch>],
) -> Result<Vec<RecordBatch>> {
    let exec = Lowering { tables, rows: Some(rows) }.lower(plan)?;
    finished(exec)
}

fn finished(exec: Exec) -> Result<Vec<RecordBatch>> {
    futures::executor::block_on(collect(exec, context()?))
}

/// Memory without a bound of its own, and nothing on disk.
fn context() -> Result<Arc<TaskContext>> {
    static RUNTIME: LazyLock<std::result::Result<Arc<RuntimeEnv>, String>> = LazyLock::new(|| {
        let disk = DiskManagerBuilder::default().with_mode(DiskManagerMode::Disabled);
        RuntimeEnvBuilder::new().with_disk_manager_builder(disk).build_arc().map_err(|e| e.to_string())
    });
    let runtime = RUNTIME.clone().map_err(DataFusionError::Internal)?;
    let config = SessionConfig::from(plan::options().as_ref().clone());
    Ok(Arc::new(TaskContext::default().with_session_config(config).with_runtime(runtime)))
}

/// Batches as a table.
#[derive(Debug)]
struct Rows {
    schema: SchemaRef,
    batches: Vec<RecordBatch>,
}

impl Rows {
    /// The batches must have the types of the schema.
    fn table(
        schema: &SchemaRef,
        batches: &[RecordBatch],
        projection: Option<&Vec<usize>>,
        fetch: Option<usize>,
    ) -> Result<Exec> {
        let same = |b: &RecordBatch| RecordBatch::try_new(schema.clone(), b.columns().to_vec());
        let batches = if schema.fields().is_empty() {
            batches.to_vec()
        } else {
            batches.iter().map(same).collect::<std::result::Result<_, _>>()?
        };
        let rows: Arc<dyn PartitionStream> = Arc::new(Rows { schema: schema.clone(), batches });
        Ok(Arc::new(StreamingTableExec::try_new(schema.clone(), vec![rows], projection, None, false, fetch)?))
    }
}

impl PartitionStream for Rows {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        match MemoryStream::try_new(self.batches.clone(), self.schema.clone(), None) {
            Ok(stream) => Box::pin(stream),
            Err(e) => {
                let failed = futures::stream::iter([Err(e)]);
                Box::pin(datafusion_physical_plan::stream::RecordBatchStreamAdapter::new(
                    self.schema.clone(),
                    failed,
                ))
            }
        }
    }
}

struct Lowering<'a> {
    tables: &'a plan::Tables,
    /// By table; none to see whether the plan can be run at all.
    rows: Option<&'a [Vec<RecordBatch>]>,
}

impl Lowering<'_> {
    fn lower(&self, node: &LogicalPlan) -> Result<Exec> {
        match node {
            LogicalPlan::TableScan(scan) => self.scan(scan),
            LogicalPlan::EmptyRelation(e) if e.produce_one_row => {
                Ok(Arc::new(PlaceholderRowExec::new(e.schema.inner().clone())))
            }
            LogicalPlan::EmptyRelation(e) => Ok(Arc::new(EmptyExec::new(e.schema.inner().clone()))),
            LogicalPlan::SubqueryAlias(a) => self.lower(&a.input),
            LogicalPlan::Projection(p) => project(p, self.lower(&p.input)?),
            LogicalPlan::Filter(f) => {
                let condition = lazy::physical(&f.predicate, f.input.schema())?;
                Ok(Arc::new(FilterExec::try_new(condition, self.lower(&f.input)?)?))
            }
            LogicalPlan::Aggregate(a) => aggregate(a, self.lower(&a.input)?),
            LogicalPlan::Window(w) => window(w, self.lower(&w.input)?),
            LogicalPlan::Sort(s) => sort(&s.expr, s.input.schema(), self.lower(&s.input)?, s.fetch),
            LogicalPlan::Limit(l) => limit(l, self.lower(&l.input)?),
            LogicalPlan::Join(j) => join(j, self.lower(&j.left)?, self.lower(&j.right)?),
            LogicalPlan::Union(u) => self.union(&u.inputs, u.schema.inner()),
            LogicalPlan::Unnest(u) => {
                let input = self.lower(&u.input)?;
                let lists = u.list_type_columns.iter().map(|(column, unnested)| ListUnnest {
                    index_in_input_schema: *column,
                    depth: unnested.depth,
                });
                let structs = u.struct_type_columns.clone();
                let schema = u.schema.inner().clone();
                Ok(Arc::new(UnnestExec::new(input, lists.collect(), structs, schema, u.options.clone())?))
            }
            LogicalPlan::Subquery(_) => {
                not_impl_err!("a subquery that uses columns of the query around it in this way")
            }
            LogicalPlan::Values(_) => not_impl_err!("VALUES; a Create makes rows"),
            other => not_impl_err!("{}", other.display()),
        }
    }

    fn scan(&self, scan: &TableScan) -> Result<Exec> {
        let name = scan.table_name.table();
        let Some(at) = self.tables.iter().position(|(n, _)| n == name) else {
            return internal_err!("no table `{name}`");
        };
        if !scan.filters.is_empty() {
            return internal_err!("a table was asked to filter");
        }
        let none = Vec::new();
        let rows = self.rows.and_then(|r| r.get(at)).unwrap_or(&none);
        Rows::table(&scan.source.schema(), rows, scan.projection.as_ref(), scan.fetch)
    }

    /// One after the other: each input is run to its end, as a union of streams would need tasks.
    fn union(&self, inputs: &[Arc<LogicalPlan>], schema: &SchemaRef) -> Result<Exec> {
        let inputs = inputs.iter().map(|i| self.lower(i)).collect::<Result<Vec<_>>>()?;
        let schema: SchemaRef = crate::expression::all_nullable(schema);
        if self.rows.is_none() {
            return Ok(Arc::new(EmptyExec::new(schema)));
        }
        let mut batches = Vec::new();
        for input in inputs {
            batches.extend(finished(input)?);
        }
        Rows::table(&schema, &batches, None, None)
    }
}

fn project(p: &Projection, input: Exec) -> Result<Exec> {
    let logical = p.input.schema();
    let columns = p.expr.iter().map(|e| {
        let alias = match e {
            Expr::Column(c) => input.schema().field(logical.index_of_column(c)?).name().clone(),
            e => physical_name(e)?,
        };
        Ok(ProjectionExpr { expr: lazy::physical(e, logical)?, alias })
    });
    let columns = columns.collect::<Result<Vec<_>>>()?;
    Ok(Arc::new(ProjectionExec::try_new_with_schema_metadata(columns, input, p.schema.as_arrow())?))
}

fn aggregate(a: &Aggregate, input: Exec) -> Result<Exec> {
    let logical = a.input.schema();
    if a.group_expr.iter().any(|e| matches!(e, Expr::GroupingSet(_))) {
        return not_impl_err!("GROUPING SETS, CUBE and ROLLUP");
    }
    let groups = a.group_expr.iter().map(|e| Ok((lazy::physical(e, logical)?, physical_name(e)?)));
    let groups = groups.collect::<Result<Vec<_>>>()?;
    let groups = if groups.is_empty() {
        PhysicalGroupBy::new(vec![], vec![], vec![], false)
    } else {
        PhysicalGroupBy::new_single(groups)
    };
    let (props, planning) = (ExecutionProps::new(), PhysicalPlanningContext::default());
    let schema = input.schema();
    let (mut functions, mut filters) = (Vec::new(), Vec::new());
    for e in &a.aggr_expr {
        let lowered = LoweredAggregateBuilder::new(e, logical, &schema, &props, &planning).build()?;
        functions.push(lowered.aggregate);
        filters.push(lowered.filter);
    }
    Ok(Arc::new(AggregateExec::try_new(AggregateMode::Single, groups, functions, filters, input, schema)?))
}

fn sort(by: &[SortExpr], schema: &DFSchema, input: Exec, fetch: Option<usize>) -> Result<Exec> {
    let by =
        create_physical_sort_exprs(by, schema, &ExecutionProps::new(), &PhysicalPlanningContext::default())?;
    match LexOrdering::new(by) {
        Some(by) => Ok(Arc::new(SortExec::new(by, input).with_fetch(fetch))),
        None => Ok(input),
    }
}

fn limit(l: &Limit, input: Exec) -> Result<Exec> {
    let (SkipType::Literal(skip), FetchType::Literal(fetch)) = (l.get_skip_type()?, l.get_fetch_type()?)
    else {
        return not_impl_err!("LIMIT and OFFSET that are computed");
    };
    Ok(Arc::new(GlobalLimitExec::new(input, skip, fetch)))
}

/// A window function and what its result is called.
fn window_function(e: &Expr) -> Result<(String, &WindowFunction)> {
    match e {
        Expr::WindowFunction(f) => Ok((e.schema_name().to_string(), f)),
        Expr::Alias(a) => window_function(&a.expr).map(|(_, f)| (a.name.clone(), f)),
        other => internal_err!("`{other}` is no window function"),
    }
}

fn window(w: &Window, input: Exec) -> Result<Exec> {
    let Some(first) = w.window_expr.first() else { return internal_err!("no window function") };
    let WindowFunctionParams { partition_by, order_by, .. } = &window_function(first)?.1.params;
    let keys: Vec<SortExpr> =
        generate_sort_key(partition_by, order_by)?.into_iter().map(|(key, _)| key).collect();
    let logical = w.input.schema();
    let input = sort(&keys, logical, input, None)?;
    let functions = w.window_expr.iter().map(|e| window_expr(e, logical, &input.schema()));
    let functions = functions.collect::<Result<Vec<_>>>()?;
    if functions.iter().all(|f| f.uses_bounded_memory()) {
        return Ok(Arc::new(BoundedWindowAggExec::try_new(functions, input, InputOrderMode::Sorted, false)?));
    }
    Ok(Arc::new(WindowAggExec::try_new(functions, input, false)?))
}

fn window_expr(e: &Expr, logical: &DFSchema, physical: &SchemaRef) -> Result<Arc<dyn WindowExpr>> {
    let (name, f) = window_function(e)?;
    let p = &f.params;
    let (props, planning) = (ExecutionProps::new(), PhysicalPlanningContext::default());
    let all = |es: &[Expr]| es.iter().map(|e| lazy::physical(e, logical)).collect::<Result<Vec<_>>>();
    let filter = p.filter.as_ref().map(|f| lazy::physical(f, logical)).transpose()?;
    create_window_expr(
        &f.fun,
        name,
        &all(&p.args)?,
        &all(&p.partition_by)?,
        &create_physical_sort_exprs(&p.order_by, logical, &props, &planning)?,
        Arc::new(p.window_frame.clone()),
        physical.clone(),
        p.null_treatment == Some(datafusion_expr::expr::NullTreatment::IgnoreNulls),
        p.distinct,
        filter,
    )
}

fn join(j: &Join, left: Exec, right: Exec) -> Result<Exec> {
    let on =
        j.on.iter()
            .map(|(l, r)| Ok((lazy::physical(l, j.left.schema())?, lazy::physical(r, j.right.schema())?)));
    let on = on.collect::<Result<Vec<_>>>()?;
    let filter = j.filter.as_ref().map(|f| join_filter(f, j, &left, &right)).transpose()?;
    if !on.is_empty() {
        let mode = PartitionMode::CollectLeft;
        let hash = HashJoinExec::try_new(
            left,
            right,
            on,
            filter,
            &j.join_type,
            None,
            mode,
            j.null_equality,
            j.null_aware,
        )?;
        return Ok(Arc::new(hash));
    }
    if filter.is_none() && j.join_type == JoinType::Inner {
        return Ok(Arc::new(CrossJoinExec::new(left, right)));
    }
    Ok(Arc::new(NestedLoopJoinExec::try_new(left, right, filter, &j.join_type, None)?))
}

/// A condition over the columns of both sides that it looks at, those of the left side first.
fn join_filter(f: &Expr, j: &Join, left: &Exec, right: &Exec) -> Result<JoinFilter> {
    let columns = f.column_refs();
    let of = |schema: &DFSchema| {
        let mut found: Vec<usize> = columns.iter().filter_map(|c| schema.index_of_column(c).ok()).collect();
        found.sort_unstable();
        found.dedup();
        found
    };
    let (l, r) = (of(j.left.schema()), of(j.right.schema()));
    let (mut logical, mut physical) = (Vec::new(), Vec::new());
    for (indices, schema, exec) in [(&l, j.left.schema(), left), (&r, j.right.schema(), right)] {
        for i in indices {
            let (qualifier, field) = schema.qualified_field(*i);
            logical.push((qualifier.cloned(), field.clone()));
            physical.push(exec.schema().field(*i).clone());
        }
    }
    let logical = DFSchema::new_with_metadata(logical, Default::default())?;
    let indices = JoinFilter::build_column_indices(l, r);
    Ok(JoinFilter::new(lazy::physical(f, &logical)?, indices, Arc::new(Schema::new(physical))))
}
