//! From a syntax tree to a plan whose types are settled.

use crate::guard;
use crate::problem::{Problem, from_datafusion};
use crate::provider::Provider;
use arrow_schema::{Field, SchemaRef};
use datafusion_common::config::ConfigOptions;
use datafusion_common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion_common::{Column, DataFusionError, ExprSchema};
use datafusion_expr::{Expr, LogicalPlan};
use datafusion_optimizer::analyzer::Analyzer;
use datafusion_optimizer::optimizer::{Optimizer, OptimizerContext};
use datafusion_optimizer::simplify_expressions::SimplifyExpressions;
use datafusion_sql::planner::{ParserOptions, SqlToRel};
use sqlparser::ast::{Query, Statement};
use std::sync::{Arc, LazyLock};

/// The metadata that marks a column whose values have no common type: text that holds one JSON value a row.
const UNTYPED: (&str, &str) = ("purlin.type", "any");

/// The tables of a query: names and columns.
pub(crate) type Tables = [(String, SchemaRef)];

/// DataFusion's settings, fixed, so that a plan depends on the text and the schemas alone.
pub(crate) fn options() -> Arc<ConfigOptions> {
    static OPTIONS: LazyLock<Arc<ConfigOptions>> = LazyLock::new(|| {
        let mut o = ConfigOptions::default();
        o.execution.target_partitions = 1;
        o.execution.coalesce_batches = false;
        o.optimizer.repartition_aggregations = false;
        o.optimizer.repartition_joins = false;
        o.optimizer.repartition_sorts = false;
        o.optimizer.repartition_windows = false;
        o.optimizer.enable_physical_uncorrelated_scalar_subquery = false;
        o.sql_parser.enable_ident_normalization = false;
        o.sql_parser.map_string_types_to_utf8view = false;
        o.sql_parser.collect_spans = true;
        Arc::new(o)
    });
    OPTIONS.clone()
}

/// The plan of a query as it is written, with its types settled.
pub(crate) fn analyzed(query: Query, text: &str, tables: &Tables) -> Result<LogicalPlan, Problem> {
    guard::planning(|| {
        let provider = Provider::new(tables, options());
        let parser = ParserOptions::from(&options().sql_parser);
        let planner = SqlToRel::new_with_options(&provider, parser);
        let plan = planner.sql_statement_to_plan(Statement::Query(Box::new(query)));
        let plan = plan.map_err(|e| match provider.missing.take() {
            Some(unknown) => no_table(unknown, text),
            None => from_datafusion(&e, text),
        })?;
        only_reads(&plan)?;
        typed_only(&plan, text)?;
        let analyzer = Analyzer::new();
        analyzer.execute_and_check(plan, &options(), |_, _| {}).map_err(|e| from_datafusion(&e, text))
    })
}

fn no_table(unknown: crate::Unknown, text: &str) -> Problem {
    let mut p = Problem::new("sql/unknown-table", format!("unknown table `{}`", unknown.name));
    p = p.or_at_name(text, &unknown.name).help(match unknown.known.as_slice() {
        [only] => format!("the only table is `{only}`"),
        several => format!("the tables are the inputs: {}", several.join(", ")),
    });
    p.unknown = Some(Box::new(unknown));
    p
}

/// The plan with constants folded and nothing else changed.
pub(crate) fn simplified(plan: LogicalPlan, text: &str) -> Result<LogicalPlan, Problem> {
    optimized_by(Optimizer::with_rules(vec![Arc::new(SimplifyExpressions::new())]), plan, text)
}

/// The plan as it is run.
pub(crate) fn optimized(plan: LogicalPlan, text: &str) -> Result<LogicalPlan, Problem> {
    optimized_by(Optimizer::new(), plan, text)
}

fn optimized_by(optimizer: Optimizer, plan: LogicalPlan, text: &str) -> Result<LogicalPlan, Problem> {
    guard::planning(|| {
        // No time of the query: nothing may be folded that depends on it.
        let context =
            OptimizerContext::new_with_config_options(options()).without_query_execution_start_time();
        optimizer.optimize(plan, &context, |_, _| {}).map_err(|e| from_datafusion(&e, text))
    })
}

/// Nothing is changed, created, copied or explained, here or in a part.
fn only_reads(plan: &LogicalPlan) -> Result<(), Problem> {
    let mut bad = None;
    let walked = plan.apply_with_subqueries(|p| {
        let name = match p {
            LogicalPlan::Dml(_) | LogicalPlan::Ddl(_) | LogicalPlan::Copy(_) | LogicalPlan::Statement(_) => {
                "a change"
            }
            LogicalPlan::Explain(_) | LogicalPlan::Analyze(_) | LogicalPlan::DescribeTable(_) => {
                "an explanation"
            }
            LogicalPlan::RecursiveQuery(_) => "a recursive query",
            LogicalPlan::Extension(_) => "an extension",
            _ => return Ok(TreeNodeRecursion::Continue),
        };
        bad = Some(name);
        Ok(TreeNodeRecursion::Stop)
    });
    match (bad, walked) {
        (Some(what), _) => Err(Problem::new("sql/unsupported", format!("{what} is not supported here"))),
        (None, Err(e)) => Err(from_datafusion(&e, "")),
        (None, Ok(_)) => Ok(()),
    }
}

/// True for a column whose values have no common type.
pub(crate) fn is_untyped(f: &Field) -> bool {
    f.metadata().get(UNTYPED.0).is_some_and(|t| t == UNTYPED.1)
}

/// Columns without a type may be passed on, and nothing else: what they hold is JSON text, which means something
/// else to every function.
fn typed_only(plan: &LogicalPlan, text: &str) -> Result<(), Problem> {
    let mut found: Option<Column> = None;
    let walked = plan.apply_with_subqueries(|p| {
        let inputs = p.inputs();
        let untyped =
            |c: &Column| inputs.iter().any(|i| i.schema().field_from_column(c).is_ok_and(|f| is_untyped(f)));
        let moves = matches!(p, LogicalPlan::Projection(_));
        p.apply_expressions(|e| {
            let bare = match e {
                Expr::Alias(a) => a.expr.as_ref(),
                e => e,
            };
            if moves && matches!(bare, Expr::Column(_)) {
                return Ok(TreeNodeRecursion::Continue);
            }
            e.apply(|e| {
                if let Expr::Column(c) = e
                    && untyped(c)
                {
                    found = Some(c.clone());
                    return Ok(TreeNodeRecursion::Stop);
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    });
    if let Err(e) = walked {
        return Err(from_datafusion(&e, text));
    }
    let Some(column) = found else { return Ok(()) };
    Err(untyped(&column.name, text))
}

/// A column without a type where one is needed.
pub(crate) fn untyped(name: &str, text: &str) -> Problem {
    let message = format!("column `{name}` has values of several types, which SQL cannot compute with");
    Problem::new("sql/untyped-column", message)
        .or_at_name(text, name)
        .help("give it a type first, in a MapToFields with `output_type`")
}

/// What DataFusion says against a text, while it runs.
pub(crate) fn run_error(e: &DataFusionError) -> String {
    crate::problem::plain(&e.find_root().strip_backtrace())
}
