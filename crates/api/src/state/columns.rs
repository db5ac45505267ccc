//! Values as columns.

use crate::error::{Error, Result};
use crate::time::EventTime;
use crate::window::Window;
use arrow_array::builder::{BinaryBuilder, Int64Builder, ListBuilder};
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Array, ArrayRef, Int64Array};
use arrow_schema::{DataType, Field};
use std::sync::Arc;

/// A value that a table stores in columns.
pub trait Columns: Sized {
    /// The columns: part of the format of what is stored. All may be null.
    fn fields() -> Vec<Field>;

    /// The columns of some values; `None` is null in all of them.
    ///
    /// # Errors
    /// If columns cannot be made: a bug.
    fn write(values: &[Option<&Self>]) -> Result<Vec<ArrayRef>>;

    /// The values of columns. What is asked of rows that are `None` does not matter.
    ///
    /// # Errors
    /// If the columns are not those of [`Columns::fields`].
    fn read(columns: &[ArrayRef]) -> Result<Vec<Self>>;
}

impl Columns for u64 {
    fn fields() -> Vec<Field> {
        vec![Field::new("count", DataType::Int64, true)]
    }

    fn write(values: &[Option<&Self>]) -> Result<Vec<ArrayRef>> {
        Ok(vec![ints(values.iter().map(|v| v.map(|v| v.cast_signed())))])
    }

    fn read(columns: &[ArrayRef]) -> Result<Vec<Self>> {
        Ok(read_ints(columns, 0)?.map(|v| v.unwrap_or(0).cast_unsigned()).collect())
    }
}

/// A column of integers.
pub fn ints(values: impl Iterator<Item = Option<i64>>) -> ArrayRef {
    Arc::new(values.collect::<Int64Array>())
}

fn no_column(at: usize) -> Error {
    Error::internal(format!("stored state has another column {at}"))
}

/// The values of the column of integers at this place.
///
/// # Errors
/// If it is none.
pub fn read_ints(columns: &[ArrayRef], at: usize) -> Result<impl Iterator<Item = Option<i64>>> {
    let column =
        columns.get(at).and_then(|c| c.as_primitive_opt::<Int64Type>()).ok_or_else(|| no_column(at))?;
    Ok(column.iter())
}

/// A column of lists of integers; see [`read_int_lists`]. Its type is [`int_lists`] of nothing.
pub fn int_lists<I: IntoIterator<Item = i64>>(values: impl Iterator<Item = Option<I>>) -> ArrayRef {
    let mut lists = ListBuilder::new(Int64Builder::new());
    for list in values {
        match list {
            Some(list) => {
                list.into_iter().for_each(|v| lists.values().append_value(v));
                lists.append(true);
            }
            None => lists.append(false),
        }
    }
    Arc::new(lists.finish())
}

/// The values of the column of lists of integers at this place.
///
/// # Errors
/// If it is none.
pub fn read_int_lists(columns: &[ArrayRef], at: usize) -> Result<Vec<Vec<i64>>> {
    let column = columns.get(at).and_then(|c| c.as_list_opt::<i32>()).ok_or_else(|| no_column(at))?;
    column
        .iter()
        .map(|list| match list {
            None => Ok(Vec::new()),
            Some(list) => {
                let list = list.as_primitive_opt::<Int64Type>().ok_or_else(|| no_column(at))?;
                Ok(list.values().to_vec())
            }
        })
        .collect()
}

/// The columns of a window: start and end in microseconds, or its encoding and the end; all null for the global one.
pub fn window_fields() -> Vec<Field> {
    vec![
        Field::new("window_start", DataType::Int64, true),
        Field::new("window_end", DataType::Int64, true),
        Field::new("window_bytes", DataType::Binary, true),
    ]
}

/// Windows as columns. `None` looks like the global window.
pub fn window_columns<'a>(windows: impl Iterator<Item = Option<&'a Window>>) -> Vec<ArrayRef> {
    let (mut starts, mut ends, mut encoded) =
        (Int64Builder::new(), Int64Builder::new(), BinaryBuilder::new());
    for window in windows {
        let (start, end, bytes) = match window {
            None | Some(Window::Global) => (None, None, None),
            Some(Window::Interval { start, end }) => (Some(start.0), Some(end.0), None),
            Some(Window::Opaque { bytes, max }) => (None, Some(max.0), Some(bytes)),
        };
        starts.append_option(start);
        ends.append_option(end);
        encoded.append_option(bytes);
    }
    vec![Arc::new(starts.finish()), Arc::new(ends.finish()), Arc::new(encoded.finish())]
}

/// The windows of the columns that begin at this place.
///
/// # Errors
/// If they are none.
pub fn read_windows(columns: &[ArrayRef], at: usize) -> Result<Vec<Window>> {
    let bytes =
        columns.get(at + 2).and_then(|c| c.as_binary_opt::<i32>()).ok_or_else(|| no_column(at + 2))?;
    let spans = read_ints(columns, at)?.zip(read_ints(columns, at + 1)?);
    let windows = spans.enumerate().map(|(row, span)| match span {
        (Some(start), Some(end)) => Window::interval(start, end),
        (None, Some(max)) if bytes.is_valid(row) => {
            Window::Opaque { bytes: bytes.value(row).into(), max: EventTime(max) }
        }
        _ => Window::Global,
    });
    Ok(windows.collect())
}

/// Bytes that tell windows apart.
pub fn window_key(window: &Window) -> Vec<u8> {
    match window {
        Window::Global => Vec::new(),
        Window::Interval { start, end } => [start.0.to_be_bytes(), end.0.to_be_bytes()].concat(),
        Window::Opaque { bytes, .. } => [&[0], bytes.as_ref()].concat(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_come_back() {
        let windows = [
            Window::Global,
            Window::interval(-5, 7),
            Window::Opaque { bytes: b"\x01\x02".as_slice().into(), max: EventTime(9) },
        ];
        let columns = window_columns(windows.iter().map(Some));
        assert_eq!(read_windows(&columns, 0).unwrap(), windows);
        assert!(read_windows(&columns, 1).is_err());
        assert!(columns.iter().zip(window_fields()).all(|(c, f)| c.data_type() == f.data_type()));
    }

    #[test]
    fn lists_come_back() {
        let lists = [Some(vec![1, -2]), None, Some(Vec::new())];
        let column = int_lists(lists.iter().cloned());
        assert_eq!(read_int_lists(&[column], 0).unwrap(), [vec![1, -2], vec![], vec![]]);
        assert!(read_int_lists(&[ints([Some(1)].into_iter())], 0).is_err());
    }
}
