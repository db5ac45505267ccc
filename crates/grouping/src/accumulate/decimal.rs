//! `sum` and `mean` of decimals: exact, in 256 bits on the way, so that the order of the rows never decides
//! whether a sum fits its type. A sum keeps the scale; a mean has [`MEAN_DECIMALS`] more, as in Spark SQL,
//! with a half rounded to the even digit.

use super::sum::Moment;
use super::{Accumulator, Cell, Cells, NullRule, unplanned};
use arrow_array::cast::AsArray;
use arrow_array::types::{Decimal128Type, Decimal256Type, Int64Type};
use arrow_array::{ArrayRef, Decimal128Array, Decimal256Array, Int64Array};
use arrow_buffer::i256;
use arrow_schema::DataType;
use purlin_api::decimal::{DIGITS_MAX, fits, power_of_ten};
use purlin_api::{Error, Result};
use std::cmp::Ordering;
use std::sync::Arc;

/// How many decimals a mean has more than its values.
const MEAN_DECIMALS: i8 = 4;
/// Digits of a state.
const STATE_DIGITS: u8 = 76;

/// The type of the result.
pub(super) fn output(moment: Moment, scale: i8) -> DataType {
    match moment {
        Moment::Sum => DataType::Decimal128(DIGITS_MAX, scale),
        Moment::Mean => DataType::Decimal128(DIGITS_MAX, mean_scale(scale)),
    }
}

fn mean_scale(scale: i8) -> i8 {
    scale.saturating_add(MEAN_DECIMALS).min(DIGITS_MAX as i8).max(scale)
}

/// The state columns.
pub(super) fn state(scale: i8) -> Vec<DataType> {
    vec![DataType::Decimal256(STATE_DIGITS, scale), DataType::Int64]
}

#[derive(Clone, Copy, Default)]
struct DecimalSum {
    units: i256,
    count: u64,
}

impl Cell for DecimalSum {
    fn merge(&mut self, from: &Self) {
        // 2^64 values of 128 bits fit.
        self.units = self.units.wrapping_add(from.units);
        self.count += from.count;
    }
}

/// `sum` and `mean` of decimals of one scale.
pub(super) struct DecimalSumAccumulator {
    moment: Moment,
    scale: i8,
    nulls: NullRule,
    cells: Cells<DecimalSum>,
}

impl DecimalSumAccumulator {
    pub(super) fn new(moment: Moment, scale: i8, nulls: NullRule) -> Self {
        DecimalSumAccumulator { moment, scale, nulls, cells: Cells::new() }
    }

    fn result(&self, cell: &DecimalSum) -> Result<Option<i128>> {
        if cell.count == 0 {
            return Ok(None);
        }
        let units = match self.moment {
            Moment::Sum => Some(cell.units),
            Moment::Mean => mean(cell, mean_scale(self.scale) - self.scale),
        };
        let units = units.and_then(i256::to_i128).filter(|u| fits(*u, DIGITS_MAX));
        units.map(Some).ok_or_else(|| {
            let what = if self.moment == Moment::Sum { "sum" } else { "mean" };
            Error::data(format!(
                "the {what} has more than {DIGITS_MAX} digits, which no decimal has room for"
            ))
        })
    }
}

/// The mean with so many decimals more, a half to the even digit.
fn mean(cell: &DecimalSum, decimals: i8) -> Option<i256> {
    let factor = i256::from_i128(power_of_ten(u32::try_from(decimals).ok()?)?);
    let (units, count) = (cell.units.checked_mul(factor)?, i256::from_i128(i128::from(cell.count)));
    let (quotient, rest) = (units.checked_div(count)?, units.checked_rem(count)?);
    let odd = quotient.checked_rem(i256::from_i128(2))? != i256::ZERO;
    let twice = rest.checked_abs()?.checked_mul(i256::from_i128(2))?;
    let away = match twice.cmp(&count) {
        Ordering::Less => false,
        Ordering::Greater => true,
        Ordering::Equal => odd,
    };
    let step = if units < i256::ZERO { i256::MINUS_ONE } else { i256::ONE };
    if away { quotient.checked_add(step) } else { Some(quotient) }
}

impl Accumulator for DecimalSumAccumulator {
    fn resize(&mut self, groups: usize) {
        self.cells.resize(groups);
    }

    fn update(&mut self, groups: &[u32], values: &ArrayRef) -> Result<()> {
        self.nulls.check(values)?;
        let values = values.as_primitive_opt::<Decimal128Type>().ok_or_else(|| unplanned(values))?;
        for (group, value) in groups.iter().zip(values.iter()) {
            if let (Some(cell), Some(value)) = (self.cells.get_mut(*group), value) {
                cell.merge(&DecimalSum { units: i256::from_i128(value), count: 1 });
            }
        }
        Ok(())
    }

    fn merge(&mut self, into: u32, from: u32) {
        self.cells.merge(into, from);
    }

    fn clear(&mut self, group: u32) {
        self.cells.clear(group);
    }

    fn emit(&self, groups: &[u32]) -> Result<ArrayRef> {
        let results = self.cells.of(groups).map(|c| self.result(c)).collect::<Result<Decimal128Array>>()?;
        Ok(Arc::new(results.with_data_type(output(self.moment, self.scale))))
    }

    fn state(&self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        let sums = Decimal256Array::from_iter_values(self.cells.of(groups).map(|c| c.units));
        let counts = Int64Array::from_iter_values(self.cells.of(groups).map(|c| c.count as i64));
        Ok(vec![Arc::new(sums.with_precision_and_scale(STATE_DIGITS, self.scale)?), Arc::new(counts)])
    }

    fn merge_state(&mut self, groups: &[u32], states: &[ArrayRef]) -> Result<()> {
        let [sums, counts] = states else {
            return Err(Error::internal("a sum of decimals has 2 state columns"));
        };
        let sums = sums.as_primitive_opt::<Decimal256Type>().ok_or_else(|| unplanned(sums))?;
        let counts = counts.as_primitive_opt::<Int64Type>().ok_or_else(|| unplanned(counts))?;
        for ((group, units), count) in groups.iter().zip(sums.values()).zip(counts.values()) {
            if let Some(cell) = self.cells.get_mut(*group) {
                cell.merge(&DecimalSum { units: *units, count: *count as u64 });
            }
        }
        Ok(())
    }

    fn size_bytes(&self) -> usize {
        self.cells.size_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::super::AggregateFn;
    use super::*;
    use arrow_array::Array;
    use arrow_schema::Field;
    use proptest::prelude::*;
    use purlin_api::decimal::{divide_half_even, parse, text};

    fn column(units: Vec<Option<i128>>, scale: i8) -> ArrayRef {
        Arc::new(Decimal128Array::from(units).with_precision_and_scale(DIGITS_MAX, scale).unwrap())
    }

    fn run(name: &str, values: &ArrayRef) -> Result<Option<String>> {
        let function =
            AggregateFn::resolve(name, &Field::new("v", values.data_type().clone(), true)).unwrap();
        let mut whole = function.accumulator()?;
        whole.resize(1);
        let (first, rest) =
            (values.slice(0, values.len() / 2), values.slice(values.len() / 2, values.len().div_ceil(2)));
        // Half of it by way of a state, as between lanes.
        let mut part = function.accumulator()?;
        part.resize(1);
        part.update(&vec![0; first.len()], &first)?;
        whole.merge_state(&[0], &part.state(&[0])?)?;
        whole.update(&vec![0; rest.len()], &rest)?;
        let out = whole.emit(&[0])?;
        assert_eq!(out.data_type(), function.output_field("x").data_type());
        let DataType::Decimal128(_, scale) = out.data_type() else { panic!("{}", out.data_type()) };
        Ok(out.as_primitive::<Decimal128Type>().iter().next().unwrap().map(|u| text(u, *scale)))
    }

    fn cents(texts: &[&str]) -> ArrayRef {
        column(texts.iter().map(|t| parse(t.as_bytes(), 38, 2).ok()).collect(), 2)
    }

    #[test]
    fn sums_means_and_extremes_are_exact() {
        let money = cents(&["0.10", "0.20", "99999999999999999999.99", "-99999999999999999999.99", "null"]);
        assert_eq!(run("sum", &money).unwrap().as_deref(), Some("0.30"));
        assert_eq!(run("mean", &money).unwrap().as_deref(), Some("0.075000"));
        assert_eq!(run("max", &money).unwrap().as_deref(), Some("99999999999999999999.99"));
        assert_eq!(run("min", &money).unwrap().as_deref(), Some("-99999999999999999999.99"));
        assert_eq!(run("mean", &cents(&["0.01", "0.01", "0.02"])).unwrap().as_deref(), Some("0.013333"));
        assert_eq!(run("mean", &cents(&["-0.02", "0", "0"])).unwrap().as_deref(), Some("-0.006667"));
        assert_eq!(run("sum", &cents(&["null", "null"])).unwrap(), None);
        assert_eq!(run("mean", &cents(&["null"])).unwrap(), None);
    }

    #[test]
    fn what_does_not_fit_is_an_error_and_only_at_the_end() {
        let big = 10_i128.pow(38) - 1;
        let e = run("sum", &column(vec![Some(big), Some(1)], 0)).unwrap_err();
        assert_eq!(e.message(), "the sum has more than 38 digits, which no decimal has room for");
        let back = column(vec![Some(big), Some(big), Some(-big), Some(-big), Some(5)], 0);
        assert_eq!(run("sum", &back).unwrap().as_deref(), Some("5"));
        assert_eq!(
            run("mean", &column(vec![Some(big)], 0)).unwrap_err().message(),
            "the mean has more than 38 digits, which no decimal has room for"
        );
        assert_eq!(run("mean", &column(vec![Some(3)], 38)).unwrap().unwrap().len(), 40);
    }

    #[test]
    fn a_half_goes_to_the_even_digit() {
        // 1/8 and 3/8 of a unit, to two decimals: means of scale 0 have four.
        let eighths = |n: i128| {
            let mut values = vec![Some(0); 20_000];
            values[0] = Some(n);
            column(values, 0)
        };
        assert_eq!(run("mean", &eighths(1)).unwrap().as_deref(), Some("0.0000"));
        assert_eq!(run("mean", &eighths(3)).unwrap().as_deref(), Some("0.0002"));
        assert_eq!(run("mean", &eighths(-3)).unwrap().as_deref(), Some("-0.0002"));
    }

    proptest! {
        #[test]
        fn sums_and_means_are_those_of_whole_numbers(
            units in prop::collection::vec(prop::option::of(-(10_i128.pow(30))..10_i128.pow(30)), 0..40),
            scale in 0i8..6,
        ) {
            let present: Vec<i128> = units.iter().flatten().copied().collect();
            let values = column(units.clone(), scale);
            let sum: i128 = present.iter().sum();
            let want = (!present.is_empty()).then(|| text(sum, scale));
            prop_assert_eq!(run("sum", &values).unwrap(), want);
            let mean = divide_half_even(sum * 10_000, present.len() as i128).map(|m| text(m, scale + 4));
            prop_assert_eq!(run("mean", &values).unwrap(), mean);
        }
    }
}
