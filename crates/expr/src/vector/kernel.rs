//! Columns of values while an expression is computed.

use std::sync::Arc;

use arrow_array::builder::StringBuilder;
use arrow_array::types::{Float64Type, Int64Type};
use arrow_array::{Array as _, ArrayRef, BooleanArray, PrimitiveArray, StringArray, new_null_array};
use arrow_buffer::{BooleanBuffer, NullBuffer};
use arrow_schema::DataType;

/// Arrow's text arrays end at 2 GiB; case mapping may triple a text.
pub(super) const BYTES_MAX: usize = 600 << 20;

/// A column, or one value for all rows. Null is None.
#[derive(Clone)]
pub(super) enum Vector {
    None,
    BoolConst(bool),
    IntConst(i64),
    FloatConst(f64),
    StrConst(Arc<str>),
    Bool(BooleanArray),
    Int(PrimitiveArray<Int64Type>),
    Float(PrimitiveArray<Float64Type>),
    Str(StringArray),
}

impl Vector {
    /// Whether all rows have a value.
    pub(super) fn is_full(&self) -> bool {
        match self {
            Vector::None => false,
            Vector::Bool(a) => a.null_count() == 0,
            Vector::Int(a) => a.null_count() == 0,
            Vector::Float(a) => a.null_count() == 0,
            Vector::Str(a) => a.null_count() == 0,
            _ => true,
        }
    }

    pub(super) fn is_none(&self, row: usize) -> bool {
        match self {
            Vector::None => true,
            Vector::Bool(a) => a.is_null(row),
            Vector::Int(a) => a.is_null(row),
            Vector::Float(a) => a.is_null(row),
            Vector::Str(a) => a.is_null(row),
            _ => false,
        }
    }

    /// A bit for each row: whether it is None.
    pub(super) fn nones(&self, rows: usize) -> BooleanBuffer {
        let nones =
            |nulls: Option<&NullBuffer>| nulls.map_or_else(|| BooleanBuffer::new_unset(rows), |n| !n.inner());
        match self {
            Vector::None => BooleanBuffer::new_set(rows),
            Vector::Bool(a) => nones(a.nulls()),
            Vector::Int(a) => nones(a.nulls()),
            Vector::Float(a) => nones(a.nulls()),
            Vector::Str(a) => nones(a.nulls()),
            _ => BooleanBuffer::new_unset(rows),
        }
    }

    /// The bits behind a full column of truth values.
    pub(super) fn bits(&self) -> Option<&BooleanBuffer> {
        if let Vector::Bool(a) = self { (a.null_count() == 0).then(|| a.values()) } else { None }
    }

    /// The integer of a row that has one; bools count.
    pub(super) fn int(&self, row: usize) -> i64 {
        match self {
            Vector::IntConst(i) => *i,
            Vector::BoolConst(b) => i64::from(*b),
            Vector::Int(a) => a.value(row),
            Vector::Bool(a) => i64::from(a.value(row)),
            _ => 0,
        }
    }

    /// The number of a row as a float, rounded as CPython rounds integers.
    pub(super) fn float(&self, row: usize) -> f64 {
        match self {
            Vector::FloatConst(f) => *f,
            Vector::Float(a) => a.value(row),
            #[allow(clippy::cast_precision_loss, reason = "rounds to nearest even, as CPython does")]
            other => other.int(row) as f64,
        }
    }

    pub(super) fn text(&self, row: usize) -> &str {
        match self {
            Vector::StrConst(s) => s,
            Vector::Str(a) => a.value(row),
            _ => "",
        }
    }

    pub(super) fn is_float(&self) -> bool {
        matches!(self, Vector::FloatConst(_) | Vector::Float(_))
    }

    pub(super) fn is_text(&self) -> bool {
        matches!(self, Vector::StrConst(_) | Vector::Str(_))
    }

    pub(super) fn is_bool(&self) -> bool {
        matches!(self, Vector::BoolConst(_) | Vector::Bool(_))
    }

    /// Python's truth.
    pub(super) fn truth(&self, row: usize) -> bool {
        if self.is_none(row) {
            false
        } else if self.is_text() {
            !self.text(row).is_empty()
        } else if self.is_float() {
            self.float(row) != 0.0
        } else {
            self.int(row) != 0
        }
    }

    /// The slice behind a full column of integers.
    pub(super) fn int_slice(&self) -> Option<&[i64]> {
        if let Vector::Int(a) = self { (a.null_count() == 0).then(|| &a.values()[..]) } else { None }
    }

    /// The slice behind a full column of floats.
    pub(super) fn float_slice(&self) -> Option<&[f64]> {
        if let Vector::Float(a) = self { (a.null_count() == 0).then(|| &a.values()[..]) } else { None }
    }

    /// How many bytes of text all rows have together.
    pub(super) fn text_bytes(&self, rows: usize) -> usize {
        match self {
            Vector::StrConst(s) => s.len().saturating_mul(rows),
            Vector::Str(a) => a.value_data().len(),
            _ => 0,
        }
    }

    /// As an array of `rows` rows. `None` if the types do not agree.
    pub(super) fn store(self, rows: usize, wanted: &DataType) -> Option<ArrayRef> {
        let array: ArrayRef = match self {
            Vector::None => new_null_array(wanted, rows),
            Vector::BoolConst(b) => Arc::new(BooleanArray::from(vec![b; rows])),
            Vector::IntConst(i) => Arc::new(PrimitiveArray::<Int64Type>::from_value(i, rows)),
            Vector::FloatConst(f) => Arc::new(PrimitiveArray::<Float64Type>::from_value(f, rows)),
            Vector::StrConst(ref s) if s.len().saturating_mul(rows) > BYTES_MAX => return None,
            Vector::StrConst(s) => {
                let mut builder =
                    StringBuilder::with_capacity(rows, s.len().saturating_mul(rows).min(1 << 24));
                (0..rows).for_each(|_| builder.append_value(&s));
                Arc::new(builder.finish())
            }
            Vector::Bool(a) => Arc::new(a),
            Vector::Int(a) => Arc::new(a),
            Vector::Float(a) => Arc::new(a),
            Vector::Str(a) => Arc::new(a),
        };
        (array.data_type() == wanted && array.len() == rows).then_some(array)
    }
}

/// A text column from one text per row.
pub(super) fn texts<'a>(rows: usize, mut text: impl FnMut(usize, &mut String) -> bool + 'a) -> Vector {
    let mut builder = StringBuilder::with_capacity(rows, rows * 16);
    let mut buffer = String::new();
    for row in 0..rows {
        buffer.clear();
        if text(row, &mut buffer) { builder.append_value(&buffer) } else { builder.append_null() }
    }
    Vector::Str(builder.finish())
}

pub(super) fn bools(rows: usize, f: impl FnMut(usize) -> bool) -> Vector {
    of_bits(BooleanBuffer::collect_bool(rows, f))
}

/// A full column of truth values.
pub(super) fn of_bits(bits: BooleanBuffer) -> Vector {
    Vector::Bool(BooleanArray::new(bits, None))
}

pub(super) fn ints(rows: usize, f: impl FnMut(usize) -> Option<i64>) -> Vector {
    Vector::Int((0..rows).map(f).collect())
}

pub(super) fn floats(rows: usize, f: impl FnMut(usize) -> Option<f64>) -> Vector {
    Vector::Float((0..rows).map(f).collect())
}
