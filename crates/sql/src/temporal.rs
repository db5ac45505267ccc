//! The present, and distances between instants.

use arrow_array::types::{Int64Type, TimestampMicrosecondType};
use arrow_array::{ArrayRef, Int64Array, TimestampMicrosecondArray, cast::AsArray};
use arrow_schema::{DataType, TimeUnit};
use datafusion_common::{Result, ScalarValue, exec_err, plan_err};
use datafusion_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, ToSpan, Unit};
use std::cell::Cell;
use std::sync::Arc;

/// What [`now`] is called.
pub(crate) const NOW: &str = "current_timestamp";

/// The type of all instants: microseconds, UTC.
pub(crate) fn instant() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

thread_local! {
    /// The present of the evaluation that runs on this thread. Functions are given nothing but their arguments.
    static PRESENT: Cell<Option<i64>> = const { Cell::new(None) };
}

/// Runs something whose present is `now`, in microseconds since 1970.
pub(crate) fn at<T>(now: Option<i64>, run: impl FnOnce() -> T) -> T {
    struct Back(Option<i64>);
    impl Drop for Back {
        fn drop(&mut self) {
            PRESENT.set(self.0);
        }
    }
    let _back = Back(PRESENT.replace(now));
    run()
}

/// `CURRENT_TIMESTAMP`.
pub(crate) fn now() -> ScalarUDF {
    // Volatile, so that no plan keeps the present in which it was made.
    ScalarUDF::from(Now {
        signature: Signature::nullary(Volatility::Volatile),
        aliases: vec!["localtimestamp".to_owned()],
    })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Now {
    signature: Signature,
    aliases: Vec<String>,
}

impl ScalarUDFImpl for Now {
    fn name(&self) -> &str {
        NOW
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(instant())
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        match PRESENT.get() {
            Some(now) => {
                Ok(ColumnarValue::Scalar(ScalarValue::TimestampMicrosecond(Some(now), Some("UTC".into()))))
            }
            None => exec_err!("the present is not known here"),
        }
    }
}

/// `TIMESTAMPDIFF(unit, a, b)`: the whole units from `a` to `b`.
pub(crate) fn diff() -> ScalarUDF {
    ScalarUDF::from(Distance { add: false, signature: exact(instant()) })
}

/// `TIMESTAMPADD(unit, n, t)`.
pub(crate) fn add() -> ScalarUDF {
    ScalarUDF::from(Distance { add: true, signature: exact(DataType::Int64) })
}

fn exact(second: DataType) -> Signature {
    Signature::exact(vec![DataType::Utf8, second, instant()], Volatility::Immutable)
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Distance {
    add: bool,
    signature: Signature,
}

impl ScalarUDFImpl for Distance {
    fn name(&self) -> &str {
        if self.add { "timestampadd" } else { "timestampdiff" }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(if self.add { instant() } else { DataType::Int64 })
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [unit, a, b] = args.args.as_slice() else {
            return exec_err!("`{}` takes three values", self.name());
        };
        let ColumnarValue::Scalar(ScalarValue::Utf8(Some(name))) = unit else {
            return exec_err!("the unit of `{}` must be a word such as DAY", self.name());
        };
        let Some(unit) = unit_of(name) else {
            return plan_err!(
                "unknown unit `{name}`: there are SECOND, MINUTE, HOUR, DAY, WEEK, MONTH, QUARTER, YEAR"
            );
        };
        let (a, b) = (a.to_array(args.number_rows)?, b.to_array(args.number_rows)?);
        let result: ArrayRef = if self.add { added(unit, &a, &b)? } else { between(unit, &a, &b)? };
        Ok(ColumnarValue::Array(result))
    }
}

/// A unit, and how many of it make one of the unit that is asked for.
fn unit_of(name: &str) -> Option<(Unit, i64)> {
    Some(match name.strip_suffix('s').unwrap_or(name) {
        "microsecond" => (Unit::Microsecond, 1),
        "millisecond" => (Unit::Millisecond, 1),
        "second" => (Unit::Second, 1),
        "minute" => (Unit::Minute, 1),
        "hour" => (Unit::Hour, 1),
        "day" => (Unit::Day, 1),
        "week" => (Unit::Day, 7),
        "month" => (Unit::Month, 1),
        "quarter" => (Unit::Month, 3),
        "year" => (Unit::Year, 1),
        _ => return None,
    })
}

fn civil(micros: i64) -> Result<DateTime> {
    match Timestamp::from_microsecond(micros) {
        Ok(t) => Ok(TimeZone::UTC.to_datetime(t)),
        Err(e) => exec_err!("{e}"),
    }
}

fn between((unit, per): (Unit, i64), a: &ArrayRef, b: &ArrayRef) -> Result<ArrayRef> {
    let (Some(a), Some(b)) =
        (a.as_primitive_opt::<TimestampMicrosecondType>(), b.as_primitive_opt::<TimestampMicrosecondType>())
    else {
        return exec_err!("`timestampdiff` takes two instants");
    };
    let rows = a.iter().zip(b).map(|pair| {
        let (Some(a), Some(b)) = pair else { return Ok(None) };
        let span = match civil(a)?.until((unit, civil(b)?)) {
            Ok(span) => span,
            Err(e) => return exec_err!("{e}"),
        };
        let whole = match unit {
            Unit::Microsecond => span.get_microseconds(),
            Unit::Millisecond => span.get_milliseconds(),
            Unit::Second => span.get_seconds(),
            Unit::Minute => span.get_minutes(),
            Unit::Hour => i64::from(span.get_hours()),
            Unit::Day => i64::from(span.get_days()),
            Unit::Month => i64::from(span.get_months()),
            _ => i64::from(span.get_years()),
        };
        Ok(Some(whole / per))
    });
    Ok(Arc::new(rows.collect::<Result<Int64Array>>()?))
}

fn added((unit, per): (Unit, i64), n: &ArrayRef, t: &ArrayRef) -> Result<ArrayRef> {
    let (Some(n), Some(t)) =
        (n.as_primitive_opt::<Int64Type>(), t.as_primitive_opt::<TimestampMicrosecondType>())
    else {
        return exec_err!("`timestampadd` takes a number and an instant");
    };
    let rows = n.iter().zip(t).map(|pair| {
        let (Some(n), Some(t)) = pair else { return Ok(None) };
        let moved =
            n.checked_mul(per).and_then(|n| span(unit, n)).map(|s| civil(t).map(|t| t.checked_add(s)));
        match moved.transpose()? {
            Some(Ok(moved)) => match TimeZone::UTC.to_timestamp(moved) {
                Ok(t) => Ok(Some(t.as_microsecond())),
                Err(e) => exec_err!("{e}"),
            },
            _ => exec_err!("timestamp out of range"),
        }
    });
    let moved: TimestampMicrosecondArray = rows.collect::<Result<_>>()?;
    Ok(Arc::new(moved.with_timezone("UTC")))
}

fn span(unit: Unit, n: i64) -> Option<Span> {
    let zero = 0.seconds();
    match unit {
        Unit::Microsecond => zero.try_microseconds(n),
        Unit::Millisecond => zero.try_milliseconds(n),
        Unit::Second => zero.try_seconds(n),
        Unit::Minute => zero.try_minutes(n),
        Unit::Hour => zero.try_hours(n),
        Unit::Day => zero.try_days(n),
        Unit::Month => zero.try_months(n),
        _ => zero.try_years(n),
    }
    .ok()
}
