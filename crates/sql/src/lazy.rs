//! Physical expressions whose `AND` and `OR` look at the right side only where the left does not decide.
//!
//! DataFusion evaluates the right side for all rows of a batch if some need it: whether `b <> 0 AND a / b > 1`
//! fails would then depend on the neighbours of a row.

use arrow_arith::boolean::{and_kleene, not, or_kleene};
use arrow_array::{BooleanArray, RecordBatch, cast::AsArray};
use arrow_schema::{DataType, Schema};
use datafusion_common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion_common::{DFSchema, Result, exec_err};
use datafusion_expr::execution_props::ExecutionProps;
use datafusion_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion_expr::{ColumnarValue, Expr, Operator};
use datafusion_physical_expr::expressions::{BinaryExpr, CastExpr};
use datafusion_physical_expr::{PhysicalExpr, ScalarFunctionExpr, create_physical_expr};
use std::any::Any;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// The physical expression of a logical one.
pub(crate) fn physical(e: &Expr, schema: &DFSchema) -> Result<Arc<dyn PhysicalExpr>> {
    let plain = create_physical_expr(e, schema, &ExecutionProps::new(), &PhysicalPlanningContext::default())?;
    let lazy = plain.transform_up(|e| {
        let any: &dyn Any = e.as_ref();
        let Some(binary) = any.downcast_ref::<BinaryExpr>() else { return Ok(Transformed::no(e)) };
        let and = match binary.op() {
            Operator::And => true,
            Operator::Or => false,
            _ => return Ok(Transformed::no(e)),
        };
        if !may_fail(binary.right())? {
            return Ok(Transformed::no(e));
        }
        let lazy = Lazy { and, left: binary.left().clone(), right: binary.right().clone() };
        Ok(Transformed::yes(Arc::new(lazy) as Arc<dyn PhysicalExpr>))
    })?;
    Ok(lazy.data)
}

fn may_fail(e: &Arc<dyn PhysicalExpr>) -> Result<bool> {
    let mut fails = false;
    e.apply(|e| {
        let any: &dyn Any = e.as_ref();
        fails |= any.is::<ScalarFunctionExpr>() || any.is::<CastExpr>();
        if let Some(binary) = any.downcast_ref::<BinaryExpr>() {
            use Operator::{Divide, Minus, Modulo, Multiply, Plus};
            fails |= matches!(binary.op(), Plus | Minus | Multiply | Divide | Modulo);
        }
        Ok(if fails { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(fails)
}

#[derive(Debug, Eq)]
struct Lazy {
    and: bool,
    left: Arc<dyn PhysicalExpr>,
    right: Arc<dyn PhysicalExpr>,
}

// By hand, as derived code would move out of the boxes (https://github.com/rust-lang/rust/issues/78808).
impl PartialEq for Lazy {
    fn eq(&self, other: &Self) -> bool {
        self.and == other.and && self.left.eq(&other.left) && self.right.eq(&other.right)
    }
}

impl Hash for Lazy {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.and.hash(state);
        self.left.hash(state);
        self.right.hash(state);
    }
}

impl Lazy {
    fn word(&self) -> &'static str {
        if self.and { "AND" } else { "OR" }
    }
}

impl fmt::Display for Lazy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.left, self.word(), self.right)
    }
}

fn truths(v: ColumnarValue, rows: usize) -> Result<BooleanArray> {
    let column = v.into_array(rows)?;
    match column.as_boolean_opt() {
        Some(b) => Ok(b.clone()),
        None if *column.data_type() == DataType::Null => Ok(BooleanArray::new_null(rows)),
        None => exec_err!("a condition of type {}", column.data_type()),
    }
}

impl PhysicalExpr for Lazy {
    fn data_type(&self, _: &Schema) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn nullable(&self, _: &Schema) -> Result<bool> {
        Ok(true)
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        let rows = batch.num_rows();
        let left = truths(self.left.evaluate(batch)?, rows)?;
        // Where the left side is null, the right one decides.
        let open: BooleanArray = left.iter().map(|l| Some(l != Some(!self.and))).collect();
        if !open.has_true() {
            return Ok(ColumnarValue::Array(Arc::new(left)));
        }
        let right = truths(self.right.evaluate_selection(batch, &open)?, rows)?;
        // Where the left side has decided, the right one is what changes nothing.
        let closed = not(&open)?;
        let right: BooleanArray = right
            .iter()
            .zip(closed.iter())
            .map(|(r, c)| if c == Some(true) { Some(self.and) } else { r })
            .collect();
        let both = if self.and { and_kleene(&left, &right)? } else { or_kleene(&left, &right)? };
        Ok(ColumnarValue::Array(Arc::new(both)))
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.left, &self.right]
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn PhysicalExpr>>,
    ) -> Result<Arc<dyn PhysicalExpr>> {
        match <[_; 2]>::try_from(children) {
            Ok([left, right]) => Ok(Arc::new(Lazy { and: self.and, left, right })),
            Err(_) => exec_err!("{} has two sides", self.word()),
        }
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
