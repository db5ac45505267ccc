//! `sum` and `mean`.
//!
//! Ints are summed in 128 bits: the order of the rows never decides whether a sum fits its type.
//!
//! Floats are mostly decimals that somebody wrote: prices, weights, seconds. A float that is the one
//! nearest to a decimal of at most [`DECIMALS`] places (and below 2^51 millionths) is summed as that
//! decimal, exactly, so that 0.1 + 0.2 is 0.3, and the same whatever the order, the batches, and the
//! partial sums. The rest is summed in two floats (Neumaier): the error is about 2^-100 of the sum of
//! the magnitudes, and so another order gives another result only where that reaches the last bit.

use super::{Accumulator, Block, Cell, Cells, NullRule, blocks, unplanned};
use arrow_array::cast::AsArray;
use arrow_array::types::{Decimal128Type, Float64Type, Int64Type};
use arrow_array::{Array, ArrayRef, Decimal128Array, Float64Array, Int64Array};
use arrow_schema::DataType;
use purlin_api::{Error, Result};
use std::sync::Arc;

/// Decimal places that are summed exactly.
const DECIMALS: i8 = 6;
const UNIT: f64 = 1e6;
/// Floats below this count every half: rounding by adding works, and so do exact products.
const LIMIT: f64 = (1_u64 << 51) as f64;
/// Whole numbers up to here are exact as floats.
const EXACT: u128 = 1 << 53;
/// Digits of a state's decimal: all that 2^126 has.
const DIGITS: u8 = 38;

/// What a group's values come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    Sum,
    Mean,
}

#[derive(Clone, Copy, Default)]
struct IntSum {
    sum: i128,
    count: u64,
}

impl Cell for IntSum {
    fn merge(&mut self, from: &Self) {
        self.sum = self.sum.saturating_add(from.sum);
        self.count += from.count;
    }
}

impl IntSum {
    fn total(&self) -> Result<Option<i64>> {
        if self.count == 0 {
            return Ok(None);
        }
        let fits = i64::try_from(self.sum);
        fits.map(Some)
            .map_err(|_| Error::data(format!("the sum {} does not fit an int of 64 bits", self.sum)))
    }

    fn mean(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum as f64 / self.count as f64)
    }
}

/// `sum` and `mean` of ints and bools.
pub(super) struct IntSumAccumulator {
    moment: Moment,
    nulls: NullRule,
    cells: Cells<IntSum>,
}

impl IntSumAccumulator {
    pub(super) fn new(moment: Moment, nulls: NullRule) -> Self {
        IntSumAccumulator { moment, nulls, cells: Cells::new() }
    }

    #[inline]
    fn add(&mut self, group: u32, value: i64) {
        if let Some(cell) = self.cells.get_mut(group) {
            cell.sum += i128::from(value);
            cell.count += 1;
        }
    }
}

impl Accumulator for IntSumAccumulator {
    fn resize(&mut self, groups: usize) {
        self.cells.resize(groups);
    }

    fn update(&mut self, groups: &[u32], values: &ArrayRef) -> Result<()> {
        self.nulls.check(values)?;
        if let Some(values) = values.as_boolean_opt() {
            for (group, value) in groups.iter().zip(values.iter()) {
                if let Some(value) = value {
                    self.add(*group, i64::from(value));
                }
            }
            return Ok(());
        }
        let values = values.as_primitive_opt::<Int64Type>().ok_or_else(|| unplanned(values))?;
        if values.null_count() == 0 {
            for (group, value) in groups.iter().zip(values.values()) {
                self.add(*group, *value);
            }
        } else {
            for (group, value) in groups.iter().zip(values.iter()) {
                if let Some(value) = value {
                    self.add(*group, value);
                }
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
        let cells = self.cells.of(groups);
        Ok(match self.moment {
            Moment::Sum => Arc::new(cells.map(IntSum::total).collect::<Result<Int64Array>>()?),
            Moment::Mean => Arc::new(cells.map(IntSum::mean).collect::<Float64Array>()),
        })
    }

    fn state(&self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        let sums = Decimal128Array::from_iter_values(self.cells.of(groups).map(|c| c.sum));
        let counts = Int64Array::from_iter_values(self.cells.of(groups).map(|c| c.count as i64));
        Ok(vec![Arc::new(sums.with_precision_and_scale(DIGITS, 0)?), Arc::new(counts)])
    }

    fn merge_state(&mut self, groups: &[u32], states: &[ArrayRef]) -> Result<()> {
        let [sums, counts] = states else { return Err(Error::internal("a sum of ints has 2 state columns")) };
        let sums = sums.as_primitive_opt::<Decimal128Type>().ok_or_else(|| unplanned(sums))?;
        let counts = counts.as_primitive_opt::<Int64Type>().ok_or_else(|| unplanned(counts))?;
        for ((group, sum), count) in groups.iter().zip(sums.values()).zip(counts.values()) {
            if let Some(cell) = self.cells.get_mut(*group) {
                cell.merge(&IntSum { sum: *sum, count: *count as u64 });
            }
        }
        Ok(())
    }

    fn size_bytes(&self) -> usize {
        self.cells.size_bytes()
    }
}

/// The state columns of a sum or mean of ints.
pub(super) fn int_state() -> Vec<DataType> {
    vec![DataType::Decimal128(DIGITS, 0), DataType::Int64]
}

/// The state columns of a sum or mean of floats.
pub(super) fn float_state() -> Vec<DataType> {
    vec![DataType::Decimal128(DIGITS, DECIMALS), DataType::Float64, DataType::Float64, DataType::Int64]
}

/// Sum of floats: the decimals among them, and the rest in two parts.
#[derive(Clone, Copy, Default)]
struct FloatSum {
    /// Millionths.
    decimal: i128,
    high: f64,
    low: f64,
    count: u64,
}

impl Cell for FloatSum {
    fn merge(&mut self, from: &Self) {
        self.decimal = self.decimal.saturating_add(from.decimal);
        self.add_float(from.high);
        self.low += from.low;
        self.count += from.count;
    }
}

impl FloatSum {
    #[inline]
    fn add(&mut self, value: f64) {
        self.count += 1;
        // The nearest whole number, without a call: adding 1.5 * 2^52 leaves no bits for a fraction.
        const SHIFT: f64 = 1.5 * (1_u64 << 52) as f64;
        let scaled = value * UNIT;
        let whole = (scaled + SHIFT) - SHIFT;
        if scaled.abs() < LIMIT && whole / UNIT == value {
            self.decimal += i128::from(whole as i64);
        } else {
            self.add_float(value);
        }
    }

    /// Adds values of one group. Mostly all are decimals: then their sum needs neither branches nor 128 bits,
    /// and vector instructions do it.
    fn add_all(&mut self, values: &[f64]) {
        const SHIFT: f64 = 1.5 * (1_u64 << 52) as f64;
        // Millionths are below 2^51, so that the sum of so many fits.
        for values in values.chunks(1 << 11) {
            let (mut sum, mut decimals) = (0_i64, true);
            for value in values {
                let scaled = value * UNIT;
                let shifted = scaled + SHIFT;
                decimals &= (scaled.abs() < LIMIT) & ((shifted - SHIFT) / UNIT == *value);
                // Shifted like this the last bits of a float are the whole number.
                sum = sum.wrapping_add((shifted.to_bits() as i64).wrapping_sub(SHIFT.to_bits() as i64));
            }
            if decimals {
                self.decimal += i128::from(sum);
                self.count += values.len() as u64;
            } else {
                values.iter().for_each(|value| self.add(*value));
            }
        }
    }

    #[inline]
    fn add_float(&mut self, value: f64) {
        let (sum, error) = two_sum(self.high, value);
        self.high = sum;
        self.low += error;
    }

    fn total(&self) -> f64 {
        if !self.high.is_finite() {
            return self.high;
        }
        if self.high == 0.0 && self.low == 0.0 {
            return ratio(self.decimal, 1);
        }
        let unit = UNIT as i128;
        let (sum, error) = two_sum(self.high, (self.decimal / unit) as f64);
        sum + (error + self.low + (self.decimal % unit) as f64 / UNIT)
    }

    fn sum(&self) -> Option<f64> {
        (self.count > 0).then(|| self.total())
    }

    fn mean(&self) -> Option<f64> {
        if self.count == 0 {
            None
        } else if self.high == 0.0 && self.low == 0.0 {
            Some(ratio(self.decimal, self.count))
        } else {
            Some(self.total() / self.count as f64)
        }
    }
}

/// `millionths / 10^6 / count`, with one rounding where both sides are exact as floats.
fn ratio(millionths: i128, count: u64) -> f64 {
    let below = u128::from(count) * UNIT as u128;
    if millionths.unsigned_abs() <= EXACT && below <= EXACT {
        return millionths as f64 / below as f64;
    }
    let below = below as i128;
    (millionths / below) as f64 + (millionths % below) as f64 / below as f64
}

/// The sum, and what its rounding lost.
#[inline]
fn two_sum(a: f64, b: f64) -> (f64, f64) {
    let sum = a + b;
    let b_part = sum - a;
    (sum, (a - (sum - b_part)) + (b - b_part))
}

/// `sum` and `mean` of floats.
pub(super) struct FloatSumAccumulator {
    moment: Moment,
    nulls: NullRule,
    cells: Cells<FloatSum>,
}

impl FloatSumAccumulator {
    pub(super) fn new(moment: Moment, nulls: NullRule) -> Self {
        FloatSumAccumulator { moment, nulls, cells: Cells::new() }
    }
}

impl Accumulator for FloatSumAccumulator {
    fn resize(&mut self, groups: usize) {
        self.cells.resize(groups);
    }

    fn update(&mut self, groups: &[u32], values: &ArrayRef) -> Result<()> {
        self.nulls.check(values)?;
        let values = values.as_primitive_opt::<Float64Type>().ok_or_else(|| unplanned(values))?;
        if values.null_count() == 0 {
            for (block, range) in blocks(groups) {
                let values = values.values().get(range).unwrap_or_default();
                match block {
                    Block::One(group) => {
                        self.cells.get_mut(group).into_iter().for_each(|c| c.add_all(values))
                    }
                    Block::Each(groups) => {
                        for (group, value) in groups.iter().zip(values) {
                            if let Some(cell) = self.cells.get_mut(*group) {
                                cell.add(*value);
                            }
                        }
                    }
                }
            }
        } else {
            for (group, value) in groups.iter().zip(values.iter()) {
                if let (Some(cell), Some(value)) = (self.cells.get_mut(*group), value) {
                    cell.add(value);
                }
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
        let cells = self.cells.of(groups);
        Ok(Arc::new(match self.moment {
            Moment::Sum => cells.map(FloatSum::sum).collect::<Float64Array>(),
            Moment::Mean => cells.map(FloatSum::mean).collect::<Float64Array>(),
        }))
    }

    fn state(&self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        let decimals = Decimal128Array::from_iter_values(self.cells.of(groups).map(|c| c.decimal));
        Ok(vec![
            Arc::new(decimals.with_precision_and_scale(DIGITS, DECIMALS)?),
            Arc::new(Float64Array::from_iter_values(self.cells.of(groups).map(|c| c.high))),
            Arc::new(Float64Array::from_iter_values(self.cells.of(groups).map(|c| c.low))),
            Arc::new(Int64Array::from_iter_values(self.cells.of(groups).map(|c| c.count as i64))),
        ])
    }

    fn merge_state(&mut self, groups: &[u32], states: &[ArrayRef]) -> Result<()> {
        let [decimals, highs, lows, counts] = states else {
            return Err(Error::internal("a sum of floats has 4 state columns"));
        };
        let decimals = decimals.as_primitive_opt::<Decimal128Type>().ok_or_else(|| unplanned(decimals))?;
        let highs = highs.as_primitive_opt::<Float64Type>().ok_or_else(|| unplanned(highs))?;
        let lows = lows.as_primitive_opt::<Float64Type>().ok_or_else(|| unplanned(lows))?;
        let counts = counts.as_primitive_opt::<Int64Type>().ok_or_else(|| unplanned(counts))?;
        let floats = highs.values().iter().zip(lows.values());
        let rows = decimals.values().iter().zip(floats).zip(counts.values());
        for (group, ((decimal, (high, low)), count)) in groups.iter().zip(rows) {
            if let Some(cell) = self.cells.get_mut(*group) {
                cell.merge(&FloatSum { decimal: *decimal, high: *high, low: *low, count: *count as u64 });
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
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn many_at_once_are_summed_as_one_by_one(
            values in prop::collection::vec(
                prop_oneof![
                    20 => (-1_000_000_i64..1_000_000).prop_map(|n| n as f64 / 100.0),
                    4 => any::<i64>().prop_map(|n| (n >> (n & 63)) as f64 / UNIT),
                    1 => any::<f64>(),
                    1 => prop::sample::select(vec![-0.0, LIMIT / UNIT, -LIMIT / UNIT, f64::NAN, f64::INFINITY]),
                ],
                0..40,
            ),
            copies in 1..150_usize,
        ) {
            let values = values.repeat(copies);
            let (mut all, mut each) = (FloatSum::default(), FloatSum::default());
            all.add_all(&values);
            values.iter().for_each(|v| each.add(*v));
            prop_assert_eq!((all.decimal, all.count), (each.decimal, each.count));
            prop_assert_eq!((all.high.to_bits(), all.low.to_bits()), (each.high.to_bits(), each.low.to_bits()));
        }
    }
}
