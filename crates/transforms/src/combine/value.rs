//! What an aggregate is computed of, for each row.

use crate::errors::Failure;
use crate::expressions::Compiled;
use arrow_array::{Array, ArrayRef, Int64Array, RecordBatch, StructArray};
use arrow_schema::{DataType, Field, Fields, Schema};
use purlin_api::key::{KeyCodec, encodes, hash};
use purlin_api::shape::nullable;
use purlin_api::{Batch, EventTime, Result};
use std::sync::Arc;

/// The value of a row.
#[derive(Clone, Debug)]
pub(super) enum Value {
    /// One value.
    Plain(Compiled),
    /// A row of a rank and a value; null where the rank is.
    Ranked(Rank, Compiled),
}

/// What values are ordered by.
#[derive(Clone, Debug)]
pub(super) enum Rank {
    /// The event time.
    Time,
    /// A number that looks random and is the same for the same row, however rows are split.
    Row,
    /// A value.
    By(Compiled),
}

impl Value {
    /// The column it merely moves, if it does no more.
    pub(super) fn as_column(&self) -> Option<usize> {
        match self {
            Value::Plain(value) => value.as_column(),
            Value::Ranked(..) => None,
        }
    }

    /// The expressions in it.
    pub(super) fn parts(&self) -> Vec<&Compiled> {
        match self {
            Value::Plain(value) | Value::Ranked(Rank::Time | Rank::Row, value) => vec![value],
            Value::Ranked(Rank::By(by), value) => vec![by, value],
        }
    }

    /// The field of its values.
    pub(super) fn field(&self, name: &str) -> Field {
        match self {
            Value::Plain(value) => value.field(name),
            Value::Ranked(rank, value) => Field::new(name, DataType::Struct(parts(rank, value)), true),
        }
    }

    /// The columns it reads of a row of `width` columns.
    pub(super) fn columns(&self, width: usize) -> Vec<usize> {
        match self {
            Value::Plain(value) | Value::Ranked(Rank::Time, value) => value.columns(),
            Value::Ranked(Rank::Row, _) => (0..width).collect(),
            Value::Ranked(Rank::By(by), value) => [by.columns(), value.columns()].concat(),
        }
    }

    /// For `explain`.
    pub(super) fn describe(&self, row: &Schema) -> String {
        match self {
            Value::Plain(value) | Value::Ranked(Rank::Time | Rank::Row, value) => value.describe(row),
            Value::Ranked(Rank::By(by), value) => {
                format!("{} by {}", value.describe(row), by.describe(row))
            }
        }
    }

    /// What state that was computed of it depends on.
    pub(super) fn written(&self, row: &Schema) -> String {
        match self {
            Value::Plain(value) => value.written(row),
            Value::Ranked(Rank::Time, value) => format!("{} by time", value.written(row)),
            Value::Ranked(Rank::Row, value) => format!("{} by row", value.written(row)),
            Value::Ranked(Rank::By(by), value) => format!("{} by {}", value.written(row), by.written(row)),
        }
    }

    /// The values of a batch; rows that raise are pushed to `failures`. `all` are its rows with hidden columns.
    pub(super) fn eval(
        &self,
        batch: &Batch,
        all: &RecordBatch,
        now: EventTime,
        failures: &mut Vec<Failure>,
    ) -> Result<ArrayRef> {
        let (rank, value) = match self {
            Value::Plain(value) => return value.eval(all, now, failures),
            Value::Ranked(rank, value) => (rank, value),
        };
        let fields: Fields = parts(rank, value).iter().map(|f| Arc::new(nullable(f))).collect();
        let times = || (0..batch.len()).map(|row| batch.times.get(row).0);
        let ranks: ArrayRef = match rank {
            Rank::Time => Arc::new(Int64Array::from_iter_values(times())),
            Rank::Row => {
                let hashes = row_hashes(&batch.rows)?.into_iter().zip(times());
                // The time stirs equal rows apart; the multiplier is 2^64 divided by the golden ratio.
                let stir = |t: i64| t.cast_unsigned().wrapping_mul(0x9e37_79b9_7f4a_7c15);
                Arc::new(Int64Array::from_iter_values(hashes.map(|(h, t)| (h ^ stir(t)).cast_signed())))
            }
            Rank::By(by) => by.eval(all, now, failures)?,
        };
        let values = value.eval(all, now, failures)?;
        let nulls = ranks.logical_nulls();
        Ok(Arc::new(StructArray::try_new(fields, vec![ranks, values], nulls)?))
    }
}

fn parts(rank: &Rank, value: &Compiled) -> Fields {
    let by = match rank {
        Rank::Time | Rank::Row => Field::new("rank", DataType::Int64, true),
        Rank::By(by) => by.field("rank"),
    };
    [by, value.field("value")].into_iter().collect()
}

fn row_hashes(rows: &RecordBatch) -> Result<Vec<u64>> {
    let columns: Vec<ArrayRef> = rows.columns().iter().filter(|c| encodes(c.data_type())).cloned().collect();
    let types: Vec<DataType> = columns.iter().map(|c| c.data_type().clone()).collect();
    let keys = KeyCodec::new(&types)?.encode(&columns, rows.num_rows())?;
    Ok(keys.iter().map(hash).collect())
}
