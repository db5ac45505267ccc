//! `all` and `any`, over what Python holds for true.

use super::{Accumulator, only, unplanned};
use arrow_array::cast::AsArray;
use arrow_array::types::{Decimal128Type, DurationMicrosecondType, Float64Type, Int64Type};
use arrow_array::{Array, ArrayRef, BooleanArray};
use arrow_schema::{DataType, TimeUnit};
use purlin_api::Result;
use std::sync::Arc;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Quantifier {
    All,
    Any,
}

pub(super) struct TruthAccumulator {
    quantifier: Quantifier,
    /// The values are JSON texts of mixed types.
    json: bool,
    cells: Vec<bool>,
}

impl TruthAccumulator {
    pub(super) fn new(quantifier: Quantifier, json: bool) -> Self {
        TruthAccumulator { quantifier, json, cells: Vec::new() }
    }

    /// What holds of no values.
    fn empty(&self) -> bool {
        self.quantifier == Quantifier::All
    }

    fn add(&mut self, group: u32, truth: bool) {
        let quantifier = self.quantifier;
        if let Some(cell) = self.cells.get_mut(group as usize) {
            match quantifier {
                Quantifier::All => *cell &= truth,
                Quantifier::Any => *cell |= truth,
            }
        }
    }
}

impl Accumulator for TruthAccumulator {
    fn resize(&mut self, groups: usize) {
        let empty = self.empty();
        self.cells.resize(groups, empty);
    }

    fn update(&mut self, groups: &[u32], values: &ArrayRef) -> Result<()> {
        let truths = truths(values, self.json)?;
        for (group, truth) in groups.iter().zip(truths) {
            self.add(*group, truth);
        }
        Ok(())
    }

    fn merge(&mut self, into: u32, from: u32) {
        if let Some(truth) = self.cells.get(from as usize).copied() {
            self.clear(from);
            self.add(into, truth);
        }
    }

    fn clear(&mut self, group: u32) {
        let empty = self.empty();
        if let Some(cell) = self.cells.get_mut(group as usize) {
            *cell = empty;
        }
    }

    fn emit(&self, groups: &[u32]) -> Result<ArrayRef> {
        let truths: Vec<bool> = groups.iter().filter_map(|g| self.cells.get(*g as usize).copied()).collect();
        Ok(Arc::new(BooleanArray::from(truths)))
    }

    fn state(&self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.emit(groups)?])
    }

    fn merge_state(&mut self, groups: &[u32], states: &[ArrayRef]) -> Result<()> {
        for (group, truth) in groups.iter().zip(truths(only(states)?, false)?) {
            self.add(*group, truth);
        }
        Ok(())
    }

    fn size_bytes(&self) -> usize {
        self.cells.capacity()
    }
}

/// Python's truth of each value: null, zero, and what is empty are false; rows and times are true.
fn truths(values: &ArrayRef, json: bool) -> Result<Vec<bool>> {
    let valid = |i: usize| values.is_valid(i);
    let rows = 0..values.len();
    Ok(match values.data_type() {
        DataType::Null => vec![false; values.len()],
        DataType::Boolean => values.as_boolean().iter().map(|b| b == Some(true)).collect(),
        DataType::Int64 => {
            values.as_primitive::<Int64Type>().iter().map(|v| v.is_some_and(|v| v != 0)).collect()
        }
        DataType::Float64 => {
            values.as_primitive::<Float64Type>().iter().map(|v| v.is_some_and(|v| v != 0.0)).collect()
        }
        DataType::Utf8 if json => {
            values.as_string::<i32>().iter().map(|v| v.is_some_and(json_truth)).collect()
        }
        DataType::Utf8 => {
            values.as_string::<i32>().iter().map(|v| v.is_some_and(|v| !v.is_empty())).collect()
        }
        DataType::Binary => {
            values.as_binary::<i32>().iter().map(|v| v.is_some_and(|v| !v.is_empty())).collect()
        }
        DataType::List(_) => rows.map(|i| valid(i) && values.as_list::<i32>().value_length(i) > 0).collect(),
        DataType::Map(..) => rows.map(|i| valid(i) && values.as_map().value_length(i) > 0).collect(),
        DataType::Decimal128(..) => {
            values.as_primitive::<Decimal128Type>().iter().map(|v| v.is_some_and(|v| v != 0)).collect()
        }
        DataType::Duration(TimeUnit::Microsecond) => {
            let micros = values.as_primitive::<DurationMicrosecondType>();
            micros.iter().map(|v| v.is_some_and(|v| v != 0)).collect()
        }
        DataType::Struct(_) | DataType::Timestamp(..) | DataType::Date32 | DataType::Time64(_) => {
            rows.map(valid).collect()
        }
        _ => return Err(unplanned(values)),
    })
}

/// Python's truth of what a JSON text says.
fn json_truth(text: &str) -> bool {
    let text = text.trim();
    match text {
        "null" | "false" | "" | "\"\"" => false,
        // A list or a row: what is between the brackets.
        _ if text.starts_with(['[', '{']) => {
            let mut inner = text.chars();
            inner.next();
            inner.next_back();
            !inner.as_str().trim().is_empty()
        }
        _ => text.parse::<f64>() != Ok(0.0),
    }
}
