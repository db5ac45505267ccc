//! Puts results together into batches.

use super::OUT;
use arrow_array::{ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions};
use arrow_schema::SchemaRef;
use arrow_select::concat::concat_batches;
use purlin_api::{Batch, Dict, EventTime, OpCx, Pane, Result, Times, Window};
use std::hash::Hash;
use std::sync::Arc;

/// Something each of some rows has.
pub(super) enum Each<T> {
    /// All have this.
    One(T),
    /// One a row.
    Rows(Vec<T>),
}

impl<T: Clone + PartialEq> Each<T> {
    /// As one value, if all rows have the same.
    fn shortened(self) -> Self {
        match &self {
            Each::Rows(values) => match values.split_first() {
                Some((first, rest)) if rest.iter().all(|v| v == first) => Each::One(first.clone()),
                _ => self,
            },
            Each::One(_) => self,
        }
    }

    /// What the windows of some rows have, given as runs of rows; mostly there is one run.
    pub(super) fn of_runs(runs: &[(Window, usize)], of: impl Fn(&Window) -> T) -> Self {
        match runs {
            [(window, _)] => Each::One(of(window)),
            _ => {
                let each = |(window, rows): &(Window, usize)| std::iter::repeat_n(of(window), *rows);
                Each::Rows(runs.iter().flat_map(each).collect()).shortened()
            }
        }
    }

    fn get(&self, row: usize) -> Option<&T> {
        match self {
            Each::One(value) => Some(value),
            Each::Rows(values) => values.get(row),
        }
    }
}

/// Some results.
pub(super) struct Piece {
    pub(super) windows: Each<Window>,
    pub(super) times: Each<EventTime>,
    pub(super) panes: Each<Pane>,
    pub(super) columns: Vec<ArrayRef>,
    pub(super) rows: usize,
}

/// Collects results until there are enough for a batch: many small windows make one batch.
pub(super) struct Emitter {
    schema: SchemaRef,
    pieces: Vec<Piece>,
    rows: usize,
}

impl Emitter {
    pub(super) fn new(schema: SchemaRef) -> Self {
        Emitter { schema, pieces: Vec::new(), rows: 0 }
    }

    /// Takes results; `retraction` is the value of that field where the schema has it.
    pub(super) fn push(&mut self, mut piece: Piece, retraction: Option<bool>, cx: &mut OpCx) -> Result<()> {
        if self.rows + piece.rows > cx.rows_max {
            self.flush(cx)?;
        }
        if let Some(flag) = retraction {
            piece.columns.push(Arc::new(BooleanArray::from(vec![flag; piece.rows])));
        }
        self.rows += piece.rows;
        self.pieces.push(piece);
        Ok(())
    }

    /// Emits what is left.
    pub(super) fn flush(&mut self, cx: &mut OpCx) -> Result<()> {
        let pieces = std::mem::take(&mut self.pieces);
        self.rows = 0;
        if pieces.is_empty() {
            return Ok(());
        }
        let batches = pieces.iter().map(|p| self.batch(p)).collect::<Result<Vec<_>>>()?;
        let rows = match batches.as_slice() {
            [only] => only.clone(),
            all => concat_batches(&self.schema, all)?,
        };
        let times = match one(&pieces, |p| &p.times) {
            Some(time) => Times::One(*time),
            None => Times::Each(all(&pieces, |p| &p.times).map(|t| t.0).collect()),
        };
        let windows = dict(&pieces, |p| &p.windows, Window::Global);
        let panes = dict(&pieces, |p| &p.panes, Pane::UNKNOWN);
        cx.emit(OUT, Batch { rows, times, windows, panes, origins: None });
        Ok(())
    }

    fn batch(&self, piece: &Piece) -> Result<RecordBatch> {
        let options = RecordBatchOptions::new().with_row_count(Some(piece.rows));
        Ok(RecordBatch::try_new_with_options(self.schema.clone(), piece.columns.clone(), &options)?)
    }
}

/// The value that all rows have, if no piece knows otherwise.
fn one<T: PartialEq>(pieces: &[Piece], of: impl Fn(&Piece) -> &Each<T>) -> Option<&T> {
    let mut values = pieces.iter().map(|p| match of(p) {
        Each::One(value) => Some(value),
        Each::Rows(_) => None,
    });
    let first = values.next()??;
    values.all(|v| v == Some(first)).then_some(first)
}

fn all<T: Clone + PartialEq + 'static>(
    pieces: &[Piece],
    of: impl Fn(&Piece) -> &Each<T>,
) -> impl Iterator<Item = T> {
    let each: Vec<T> = pieces
        .iter()
        .flat_map(|p| {
            let values = of(p);
            (0..p.rows).filter_map(move |row| values.get(row).cloned())
        })
        .collect();
    each.into_iter()
}

fn dict<T: Clone + Eq + Hash + 'static>(
    pieces: &[Piece],
    of: impl Fn(&Piece) -> &Each<T>,
    empty: T,
) -> Dict<T> {
    match one(pieces, &of) {
        Some(value) => Dict::one(value.clone()),
        None => Dict::from_rows(all(pieces, of), empty),
    }
}
