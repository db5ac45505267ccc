//! Vectorised accumulators: the state of an aggregate for many groups at once.
//!
//! Groups are numbers from 0. An accumulator is first told how many there are ([`Accumulator::resize`])
//! and then gets columns with a group number by row, so that a batch costs one virtual call and not one
//! a row.

mod count;
mod decimal;
mod distinct;
mod extreme;
mod function;
mod list;
mod nothing;
mod quantiles;
mod sum;
#[cfg(test)]
mod tests;
mod top;
mod truth;

pub use function::{AggregateFn, NAMES};

use arrow_array::{Array, ArrayRef};
use purlin_api::{Error, Result};

/// The state of one aggregate for many groups.
///
/// Where a call takes `groups` and a column they have equally many rows, and each group is less than
/// what [`Accumulator::resize`] last said; groups beyond are left out.
pub trait Accumulator: Send {
    /// Says how many groups there are. New ones are empty; those beyond are forgotten.
    fn resize(&mut self, groups: usize);

    /// Adds each value to its group. Fails with [`purlin_api::ErrorKind::Data`] if a value cannot be.
    fn update(&mut self, groups: &[u32], values: &ArrayRef) -> Result<()>;

    /// Adds all that `from` has to `into`, behind what is there, and empties `from`.
    fn merge(&mut self, into: u32, from: u32);

    /// Empties a group.
    fn clear(&mut self, group: u32);

    /// The results of these groups, one a row. Changes nothing. Fails with
    /// [`purlin_api::ErrorKind::Data`] if a result has no place in its type.
    fn emit(&self, groups: &[u32]) -> Result<ArrayRef>;

    /// The states of these groups as columns ([`AggregateFn::state_fields`]). Changes nothing.
    fn state(&self, groups: &[u32]) -> Result<Vec<ArrayRef>>;

    /// Adds states that [`Accumulator::state`] gave, one a row.
    fn merge_state(&mut self, groups: &[u32], states: &[ArrayRef]) -> Result<()>;

    /// About how many bytes it holds.
    fn size_bytes(&self) -> usize;
}

/// The state of one group in accumulators that keep an equally sized cell for each.
trait Cell: Default + Clone + Send {
    fn merge(&mut self, from: &Self);
}

/// Cells by group.
struct Cells<C>(Vec<C>);

impl<C: Cell> Cells<C> {
    fn new() -> Self {
        Cells(Vec::new())
    }

    fn resize(&mut self, groups: usize) {
        self.0.resize(groups, C::default());
    }

    #[inline]
    fn get_mut(&mut self, group: u32) -> Option<&mut C> {
        self.0.get_mut(group as usize)
    }

    fn of<'a>(&'a self, groups: &'a [u32]) -> impl Iterator<Item = &'a C> {
        // Groups come from the caller's own numbering; one out of range would be a bug that the ledger
        // shows as a row count that is off.
        groups.iter().filter_map(|g| self.0.get(*g as usize))
    }

    fn merge(&mut self, into: u32, from: u32) {
        let Some(taken) = self.get_mut(from).map(std::mem::take) else { return };
        if let Some(cell) = self.get_mut(into) {
            cell.merge(&taken);
        }
    }

    fn clear(&mut self, group: u32) {
        if let Some(cell) = self.get_mut(group) {
            *cell = C::default();
        }
    }

    fn size_bytes(&self) -> usize {
        self.0.capacity() * size_of::<C>()
    }
}

/// Some rows that follow each other: of one group, or of several.
enum Block<'a> {
    /// All are of this group.
    One(u32),
    /// A group for each.
    Each(&'a [u32]),
}

/// Rows cut into pieces, those in which all are of one group told from the rest: one key, or windows that
/// rows come in the order of. Returns the places of the rows too.
fn blocks(groups: &[u32]) -> impl Iterator<Item = (Block<'_>, std::ops::Range<usize>)> {
    /// Enough to pay for the look at them.
    const ROWS: usize = 256;
    let mut start = 0;
    groups.chunks(ROWS).map(move |groups| {
        let range = start..start + groups.len();
        start = range.end;
        match groups.first() {
            // No early exit: the loop becomes a few vector instructions.
            Some(first) if groups.iter().fold(0, |differ, g| differ | (g ^ first)) == 0 => {
                (Block::One(*first), range)
            }
            _ => (Block::Each(groups), range),
        }
    })
}

/// What Beam's Python says when null meets arithmetic or comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NullRule {
    /// As SQL: nulls are left out.
    Skip,
    /// As Beam: the run fails.
    Fail(&'static str),
}

impl NullRule {
    /// Fails if the column has a null and the rule forbids it.
    fn check(self, values: &dyn Array) -> Result<()> {
        match self {
            NullRule::Fail(message) if values.logical_null_count() > 0 => Err(Error::data(message)),
            _ => Ok(()),
        }
    }
}

/// A column of a type that was not planned: a bug.
fn unplanned(values: &dyn Array) -> Error {
    Error::internal(format!("an aggregate got values of type {}", values.data_type()))
}

/// The only column of a state.
fn only(states: &[ArrayRef]) -> Result<&ArrayRef> {
    match states {
        [state] => Ok(state),
        _ => Err(Error::internal(format!("an aggregate's state has 1 column, not {}", states.len()))),
    }
}
