//! Rows with their time, window and pane.

use crate::error::Result;
use crate::pane::Pane;
use crate::time::EventTime;
use crate::window::Window;
use arrow_array::{Array, BooleanArray, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow_buffer::ScalarBuffer;
use arrow_schema::SchemaRef;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::fmt;
use std::hash::Hash;
use std::sync::Arc;

/// The rows at these indices, in this order; there may be no columns.
///
/// # Errors
/// If there are no such rows: a bug of the caller.
pub fn take_rows(rows: &RecordBatch, indices: &UInt32Array) -> Result<RecordBatch> {
    if rows.num_columns() > 0 {
        return Ok(arrow_select::take::take_record_batch(rows, indices)?);
    }
    // Arrow's kernel takes the number of rows from the first column.
    let options = RecordBatchOptions::new().with_row_count(Some(indices.len()));
    Ok(RecordBatch::try_new_with_options(rows.schema(), Vec::new(), &options)?)
}

/// The event times of a batch's rows.
#[derive(Clone, Debug, PartialEq)]
pub enum Times {
    /// All rows have this one.
    One(EventTime),
    /// One a row, microseconds.
    Each(ScalarBuffer<i64>),
}

impl Times {
    /// The time of a row.
    pub fn get(&self, row: usize) -> EventTime {
        match self {
            Times::One(t) => *t,
            Times::Each(v) => EventTime(v.get(row).copied().unwrap_or(EventTime::MIN.0)),
        }
    }
}

/// A value a row, kept once per distinct value: most batches lie in one window and one pane.
#[derive(Clone, Debug, PartialEq)]
pub struct Dict<T> {
    values: Arc<[T]>,
    /// Index into `values` by row; `None` means that all rows have `values[0]`.
    keys: Option<Arc<[u32]>>,
}

impl<T: Clone + Eq + Hash> Dict<T> {
    /// All rows have this one.
    pub fn one(value: T) -> Self {
        Dict { values: Arc::from([value]), keys: None }
    }

    /// From distinct values and an index by row. Each key must be less than the number of values.
    pub fn new(values: Vec<T>, keys: Vec<u32>) -> Self {
        debug_assert!(keys.iter().all(|k| (*k as usize) < values.len()));
        if values.len() == 1 {
            return Dict { values: values.into(), keys: None };
        }
        Dict { values: values.into(), keys: Some(keys.into()) }
    }

    /// From one value a row; `rows` must not be empty unless the batch is.
    pub fn from_rows(rows: impl IntoIterator<Item = T>, empty: T) -> Self {
        let mut index = std::collections::HashMap::<T, u32>::new();
        let mut values: Vec<T> = Vec::new();
        // Neighbours mostly have the same value: look there first.
        let mut last = 0;
        let keys: Vec<u32> = rows
            .into_iter()
            .map(|v| {
                if values.get(last as usize) != Some(&v) {
                    last = *index.entry(v).or_insert_with_key(|v| {
                        values.push(v.clone());
                        (values.len() - 1) as u32
                    });
                }
                last
            })
            .collect();
        if values.is_empty() { Dict::one(empty) } else { Dict::new(values, keys) }
    }

    /// The distinct values. Some may have no row left after a filter.
    pub fn values(&self) -> &[T] {
        &self.values
    }

    /// The index of each row's value, unless all rows have the first.
    pub fn keys(&self) -> Option<&[u32]> {
        self.keys.as_deref()
    }

    /// The only value, if there is just one.
    pub fn single(&self) -> Option<&T> {
        if self.keys.is_none() { self.values.first() } else { None }
    }

    /// The index into [`Dict::values`] of a row.
    pub fn key(&self, row: usize) -> usize {
        self.keys.as_ref().and_then(|k| k.get(row)).map_or(0, |k| *k as usize)
    }

    /// The value of a row.
    pub fn get(&self, row: usize) -> &T {
        // `new` and `one` keep keys in range and values non-empty.
        self.values.get(self.key(row)).unwrap_or(&self.values[0])
    }

    fn pick(&self, rows: impl Iterator<Item = usize>) -> Self {
        match &self.keys {
            None => self.clone(),
            Some(keys) => {
                let keys = rows.map(|r| keys.get(r).copied().unwrap_or(0)).collect();
                Dict { values: self.values.clone(), keys: Some(keys) }
            }
        }
    }
}

/// Where a row came from outside the pipeline.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Origin {
    /// A line of a file.
    Line {
        /// The file's path.
        file: Arc<str>,
        /// The number of the line where its record begins, from 1.
        line: u64,
    },
    /// A message.
    Message(Arc<SourceMessage>),
}

/// A message as a service gave it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SourceMessage {
    /// What it was read from.
    pub subscription: Arc<str>,
    /// The service's id of it.
    pub id: String,
    /// Its payload.
    pub payload: Bytes,
    /// Its attributes.
    pub attributes: BTreeMap<String, String>,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Line { file, line } => write!(f, "{file}:{line}"),
            Origin::Message(m) => write!(f, "{}, message {}", m.subscription, m.id),
        }
    }
}

/// Some rows of a collection: an Arrow record batch with event time, window and pane beside it.
///
/// A row is in exactly one window: a window function that puts an element into several makes as many
/// rows. Batches are never changed; cutting one shares its columns.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The rows. For payloads that are not ours to read: one binary column.
    pub rows: RecordBatch,
    /// Event time by row.
    pub times: Times,
    /// Window by row.
    pub windows: Dict<Window>,
    /// Pane by row.
    pub panes: Dict<Pane>,
    /// Origin by row, if the reader was asked for it ([`Environment::keeps_letters`](crate::Environment)). Rows that are made of
    /// several have none.
    pub origins: Option<Dict<Origin>>,
}

impl Batch {
    /// Rows without timestamps, in the global window, as a source without event time gives them.
    pub fn untimed(rows: RecordBatch) -> Self {
        Batch::at(rows, Times::One(EventTime::MIN))
    }

    /// Rows with timestamps, in the global window.
    pub fn at(rows: RecordBatch, times: Times) -> Self {
        Batch {
            rows,
            times,
            windows: Dict::one(Window::Global),
            panes: Dict::one(Pane::UNKNOWN),
            origins: None,
        }
    }

    /// The same rows, each with its origin; there must be as many, or the rows have none: a wrong one is worse.
    #[must_use]
    pub fn with_origins(self, origins: Vec<Origin>) -> Batch {
        debug_assert_eq!(origins.len(), self.len());
        let keys = (0..origins.len() as u32).collect();
        let fits = !origins.is_empty() && origins.len() == self.len();
        let origins = fits.then(|| Dict::new(origins, keys));
        Batch { origins, ..self }
    }

    /// How many rows.
    pub fn len(&self) -> usize {
        self.rows.num_rows()
    }

    /// True if it has no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The schema of the rows.
    pub fn schema(&self) -> SchemaRef {
        self.rows.schema()
    }

    /// About how many bytes it holds in memory (shared buffers count in full).
    pub fn bytes(&self) -> usize {
        self.rows.get_array_memory_size()
            + match &self.times {
                Times::One(_) => 8,
                Times::Each(t) => t.len() * 8,
            }
            + self.windows.keys.as_ref().map_or(0, |k| k.len() * 4)
            + self.origins.as_ref().map_or(0, |o| o.values.len() * size_of::<Origin>())
    }

    /// The same times, windows and panes around other columns; `rows` must have as many rows.
    #[must_use]
    pub fn with_rows(&self, rows: RecordBatch) -> Batch {
        debug_assert_eq!(rows.num_rows(), self.len());
        Batch {
            rows,
            times: self.times.clone(),
            windows: self.windows.clone(),
            panes: self.panes.clone(),
            origins: self.origins.clone(),
        }
    }

    /// The rows at these indices, in this order.
    pub fn take(&self, indices: &UInt32Array) -> Result<Batch> {
        let rows = take_rows(&self.rows, indices)?;
        let at = || indices.values().iter().map(|i| *i as usize);
        let times = match &self.times {
            Times::One(t) => Times::One(*t),
            Times::Each(v) => Times::Each(at().map(|i| v.get(i).copied().unwrap_or_default()).collect()),
        };
        let origins = self.origins.as_ref().map(|o| o.pick(at()));
        Ok(Batch { rows, times, windows: self.windows.pick(at()), panes: self.panes.pick(at()), origins })
    }

    /// The rows where `keep` is true (null counts as false).
    pub fn filter(&self, keep: &BooleanArray) -> Result<Batch> {
        let kept = keep.true_count();
        if kept == self.len() {
            return Ok(self.clone());
        }
        let kept_bits = match keep.nulls() {
            Some(nulls) => keep.values() & nulls.inner(),
            None => keep.values().clone(),
        };
        let at = || kept_bits.set_indices();
        let rows = arrow_select::filter::filter_record_batch(&self.rows, keep)?;
        let times = match &self.times {
            Times::One(t) => Times::One(*t),
            Times::Each(v) => Times::Each(at().map(|i| v.get(i).copied().unwrap_or_default()).collect()),
        };
        let origins = self.origins.as_ref().map(|o| o.pick(at()));
        Ok(Batch { rows, times, windows: self.windows.pick(at()), panes: self.panes.pick(at()), origins })
    }

    /// `length` rows from `offset`; both must lie inside.
    #[must_use]
    pub fn slice(&self, offset: usize, length: usize) -> Batch {
        let rows = self.rows.slice(offset, length);
        let times = match &self.times {
            Times::One(t) => Times::One(*t),
            Times::Each(v) => Times::Each(v.slice(offset, length)),
        };
        let range = offset..offset + length;
        let origins = self.origins.as_ref().map(|o| o.pick(range.clone()));
        Batch {
            rows,
            times,
            windows: self.windows.pick(range.clone()),
            panes: self.panes.pick(range),
            origins,
        }
    }
}
