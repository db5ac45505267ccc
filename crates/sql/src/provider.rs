//! What DataFusion's planner asks about: tables, functions, operators, types.

use crate::arithmetic::{self, Operator};
use crate::functions;
use crate::problem::Unknown;
use arrow_schema::{DataType, SchemaRef};
use datafusion_common::config::ConfigOptions;
use datafusion_common::{DFSchema, DataFusionError, Result, TableReference, plan_err};
use datafusion_expr::expr::{Cast, ScalarFunction};
use datafusion_expr::planner::{ContextProvider, ExprPlanner, PlannerResult, RawBinaryExpr, TypePlanner};
use datafusion_expr::type_coercion::binary::BinaryTypeCoercer;
use datafusion_expr::{
    AggregateUDF, Expr, ExprSchemable, HigherOrderUDF, Operator as Op, ScalarUDF, TableSource, WindowUDF,
};
use sqlparser::ast::{BinaryOperator, DataType as SqlType, TimezoneInfo};
use std::cell::RefCell;
use std::sync::Arc;

/// A table of which only the columns are known.
#[derive(Debug)]
pub(crate) struct Table {
    schema: SchemaRef,
}

impl TableSource for Table {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }
}

/// The tables of a query, and everything else there is.
pub(crate) struct Provider {
    tables: Vec<(String, Arc<Table>)>,
    options: Arc<ConfigOptions>,
    planners: Vec<Arc<dyn ExprPlanner>>,
    /// A table that was asked for and is none.
    pub(crate) missing: RefCell<Option<Unknown>>,
}

impl Provider {
    pub(crate) fn new(tables: &[(String, SchemaRef)], options: Arc<ConfigOptions>) -> Self {
        let planners: Vec<Arc<dyn ExprPlanner>> = vec![
            Arc::new(Arithmetic),
            Arc::new(datafusion_functions::core::planner::CoreFunctionPlanner::default()),
            Arc::new(datafusion_functions_nested::planner::NestedFunctionPlanner),
            Arc::new(datafusion_functions_nested::planner::FieldAccessPlanner),
            Arc::new(datafusion_functions::datetime::planner::DatetimeFunctionPlanner),
            Arc::new(datafusion_functions::unicode::planner::UnicodeFunctionPlanner),
            Arc::new(datafusion_functions_aggregate::planner::AggregateFunctionPlanner),
            Arc::new(datafusion_functions_window::planner::WindowFunctionPlanner),
        ];
        let tables = tables.iter().map(|(n, s)| (n.clone(), Arc::new(Table { schema: s.clone() }))).collect();
        Provider { tables, options, planners, missing: RefCell::new(None) }
    }
}

impl ContextProvider for Provider {
    fn get_table_source(&self, name: TableReference) -> Result<Arc<dyn TableSource>> {
        let found = match &name {
            TableReference::Bare { table } => self.tables.iter().find(|(n, _)| n == table.as_ref()),
            _ => None,
        };
        if let Some((_, table)) = found {
            return Ok(table.clone());
        }
        let known = self.tables.iter().map(|(n, _)| n.clone()).collect();
        *self.missing.borrow_mut() = Some(Unknown { name: name.table().to_owned(), known });
        plan_err!("unknown table `{name}`")
    }

    fn get_expr_planners(&self) -> &[Arc<dyn ExprPlanner>] {
        &self.planners
    }

    fn get_type_planner(&self) -> Option<Arc<dyn TypePlanner>> {
        Some(Arc::new(Types))
    }

    fn get_function_meta(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        functions::all().scalar.get(name).cloned()
    }

    fn get_higher_order_meta(&self, _: &str) -> Option<Arc<HigherOrderUDF>> {
        None
    }

    fn get_aggregate_meta(&self, name: &str) -> Option<Arc<AggregateUDF>> {
        functions::all().aggregate.get(name).cloned()
    }

    fn get_window_meta(&self, name: &str) -> Option<Arc<WindowUDF>> {
        functions::all().window.get(name).cloned()
    }

    fn get_variable_type(&self, _: &[String]) -> Option<DataType> {
        None
    }

    fn options(&self) -> &ConfigOptions {
        &self.options
    }

    fn udf_names(&self) -> Vec<String> {
        functions::all().scalar.keys().cloned().collect()
    }

    fn higher_order_function_names(&self) -> Vec<String> {
        Vec::new()
    }

    fn udaf_names(&self) -> Vec<String> {
        functions::all().aggregate.keys().cloned().collect()
    }

    fn udwf_names(&self) -> Vec<String> {
        functions::all().window.keys().cloned().collect()
    }
}

/// `+ - * / %` that notice what goes wrong.
#[derive(Debug)]
struct Arithmetic;

impl ExprPlanner for Arithmetic {
    fn plan_binary_op(&self, raw: RawBinaryExpr, schema: &DFSchema) -> Result<PlannerResult<RawBinaryExpr>> {
        let (ours, theirs) = match raw.op {
            BinaryOperator::Plus => (Operator::Add, Op::Plus),
            BinaryOperator::Minus => (Operator::Subtract, Op::Minus),
            BinaryOperator::Multiply => (Operator::Multiply, Op::Multiply),
            BinaryOperator::Divide => (Operator::Divide, Op::Divide),
            BinaryOperator::Modulo => (Operator::Modulo, Op::Modulo),
            _ => return Ok(PlannerResult::Original(raw)),
        };
        let (Ok(left), Ok(right)) = (raw.left.get_type(schema), raw.right.get_type(schema)) else {
            return Ok(PlannerResult::Original(raw));
        };
        let wanted = match (left.is_integer(), right.is_integer()) {
            (true, true) => DataType::Int64,
            (true, false) if right == DataType::Null => DataType::Int64,
            (false, true) if left == DataType::Null => DataType::Int64,
            _ => match BinaryTypeCoercer::new(&left, &theirs, &right).get_result_type() {
                Ok(t) => t,
                Err(_) => return Ok(PlannerResult::Original(raw)),
            },
        };
        if !ours.checks(&wanted) {
            return Ok(PlannerResult::Original(raw));
        }
        let cast = |e: Expr, t: &DataType| {
            if *t == wanted { e } else { Expr::Cast(Cast::new(Box::new(e), wanted.clone())) }
        };
        let args = vec![cast(raw.left, &left), cast(raw.right, &right)];
        let call = ScalarFunction::new_udf(arithmetic::function(ours), args);
        Ok(PlannerResult::Planned(Expr::ScalarFunction(call)))
    }
}

/// SQL's types, where they are not DataFusion's.
#[derive(Debug)]
struct Types;

impl TypePlanner for Types {
    fn plan_type_field(&self, t: &SqlType) -> Result<Option<arrow_schema::FieldRef>> {
        let t = match t {
            SqlType::Timestamp(
                _,
                TimezoneInfo::None
                | TimezoneInfo::WithoutTimeZone
                | TimezoneInfo::Tz
                | TimezoneInfo::WithTimeZone,
            )
            | SqlType::Datetime(_) => crate::temporal::instant(),
            SqlType::Varbinary(_) | SqlType::Binary(_) | SqlType::Bytes(_) => DataType::Binary,
            SqlType::Character(_) | SqlType::CharacterVarying(_) | SqlType::CharVarying(_) => DataType::Utf8,
            SqlType::Time(..) => {
                return Err(DataFusionError::NotImplemented("values of type TIME".to_owned()));
            }
            _ => return Ok(None),
        };
        Ok(Some(Arc::new(arrow_schema::Field::new("", t, true))))
    }
}
