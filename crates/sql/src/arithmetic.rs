//! Arithmetic that notices overflow and division by zero.
//!
//! DataFusion wraps integers around, and divides floats by zero. Here both are errors.

use crate::spell::NEGATE;
use arrow_arith::numeric;
use arrow_array::cast::AsArray;
use arrow_array::types::Float64Type;
use arrow_array::{Array, ArrayRef, Datum};
use arrow_schema::{ArrowError, DataType};
use datafusion_common::{DataFusionError, Result, ScalarValue, exec_err};
use datafusion_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};
use std::sync::{Arc, LazyLock};

/// An operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Operator {
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
}

impl Operator {
    const ALL: [Operator; 5] =
        [Operator::Add, Operator::Subtract, Operator::Multiply, Operator::Divide, Operator::Modulo];

    fn sign(self) -> &'static str {
        match self {
            Operator::Add => "+",
            Operator::Subtract => "-",
            Operator::Multiply => "*",
            Operator::Divide => "/",
            Operator::Modulo => "%",
        }
    }

    fn apply(self, a: &dyn Datum, b: &dyn Datum) -> std::result::Result<ArrayRef, ArrowError> {
        match self {
            Operator::Add => numeric::add(a, b),
            Operator::Subtract => numeric::sub(a, b),
            Operator::Multiply => numeric::mul(a, b),
            Operator::Divide => numeric::div(a, b),
            Operator::Modulo => numeric::rem(a, b),
        }
    }

    /// True if the operator has something to notice for values of this type.
    pub(crate) fn checks(self, t: &DataType) -> bool {
        match t {
            DataType::Int64 => true,
            DataType::Float64 => matches!(self, Operator::Divide | Operator::Modulo),
            _ => false,
        }
    }
}

/// The function of an operator over two values of the type it is to be done in.
pub(crate) fn function(op: Operator) -> Arc<ScalarUDF> {
    static ALL: LazyLock<Vec<Arc<ScalarUDF>>> =
        LazyLock::new(|| Operator::ALL.map(|op| Arc::new(ScalarUDF::from(Checked::new(op)))).into());
    let at = Operator::ALL.iter().position(|o| *o == op);
    at.and_then(|i| ALL.get(i).cloned()).unwrap_or_else(|| Arc::new(ScalarUDF::from(Checked::new(op))))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Checked {
    op: Operator,
    signature: Signature,
}

impl Checked {
    fn new(op: Operator) -> Self {
        Checked { op, signature: Signature::any(2, Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for Checked {
    fn name(&self) -> &str {
        self.op.sign()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, args: &[DataType]) -> Result<DataType> {
        Ok(args.first().cloned().unwrap_or(DataType::Null))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [a, b] = args.args.as_slice() else { return exec_err!("`{}` needs two values", self.op.sign()) };
        if matches!(self.op, Operator::Divide | Operator::Modulo) && divides_by_zero(a, b, args.number_rows)?
        {
            return exec_err!("division by zero");
        }
        let result = self.op.apply(datum(a)?.as_ref(), datum(b)?.as_ref()).map_err(|e| clear(&e, self.op))?;
        scalars(&args.args, result)
    }
}

/// One value if all arguments were one, else a column.
fn scalars(args: &[ColumnarValue], result: ArrayRef) -> Result<ColumnarValue> {
    if args.iter().all(|a| matches!(a, ColumnarValue::Scalar(_))) {
        return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&result, 0)?));
    }
    Ok(ColumnarValue::Array(result))
}

fn datum(v: &ColumnarValue) -> Result<Box<dyn Datum>> {
    Ok(match v {
        ColumnarValue::Array(a) => Box::new(Arc::clone(a)),
        ColumnarValue::Scalar(s) => Box::new(s.to_scalar()?),
    })
}

fn clear(e: &ArrowError, op: Operator) -> DataFusionError {
    match e {
        ArrowError::DivideByZero => DataFusionError::Execution("division by zero".to_owned()),
        ArrowError::ArithmeticOverflow(what) => {
            let what = what.strip_prefix("Overflow happened on: ").unwrap_or(what);
            DataFusionError::Execution(format!("integer overflow: {what}"))
        }
        other => DataFusionError::Execution(format!("`{}`: {other}", op.sign())),
    }
}

/// True if a float that is not null is divided by zero. (Integers are checked by the division itself.)
fn divides_by_zero(a: &ColumnarValue, b: &ColumnarValue, rows: usize) -> Result<bool> {
    if b.data_type() != DataType::Float64 {
        return Ok(false);
    }
    if let ColumnarValue::Scalar(ScalarValue::Float64(divisor)) = b
        && divisor.is_none_or(|d| d != 0.0)
    {
        return Ok(false);
    }
    let (a, b) = (a.to_array(rows)?, b.to_array(rows)?);
    let Some(divisors) = b.as_primitive_opt::<Float64Type>() else { return Ok(false) };
    Ok(divisors.iter().enumerate().any(|(row, d)| d == Some(0.0) && a.is_valid(row)))
}

/// `-x`.
pub(crate) fn negate() -> ScalarUDF {
    ScalarUDF::from(Negate { signature: Signature::any(1, Volatility::Immutable) })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Negate {
    signature: Signature,
}

impl ScalarUDFImpl for Negate {
    fn name(&self) -> &str {
        NEGATE
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, args: &[DataType]) -> Result<DataType> {
        match args.first() {
            Some(t) if t.is_numeric() || *t == DataType::Null || matches!(t, DataType::Interval(_)) => {
                Ok(t.clone())
            }
            Some(t) => Err(DataFusionError::Plan(format!("a value of type {t} has no negative"))),
            None => exec_err!("nothing to negate"),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [a] = args.args.as_slice() else { return exec_err!("nothing to negate") };
        let column = a.to_array(args.number_rows)?;
        if *column.data_type() == DataType::Null {
            return Ok(a.clone());
        }
        let result = numeric::neg(column.as_ref()).map_err(|e| clear(&e, Operator::Subtract))?;
        scalars(&args.args, result)
    }
}
