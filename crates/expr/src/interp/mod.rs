//! Row by row: evaluates the resolved program on Python values.

mod access;
mod call;
mod exec;
mod expr;
mod frame;
mod iter;
mod ops;

use std::rc::Rc;
use std::sync::Arc;

pub(crate) use access::{get_item, slice_bounds};
pub(crate) use call::{Args, Closure, STACK_SEGMENT};
pub(crate) use exec::Flow;
pub(crate) use frame::Frame;
pub(crate) use iter::{Iter, IterState};
pub(crate) use ops::{
    BITS_MAX, binary, compare, float_floor_div, float_mod, floor_div_int, mod_int, product_steps,
};

use crate::arrow::Column;
use crate::value::{Raise, Res, Row, Value, budget};

/// Evaluation steps that one row may take: about a second of work. `while True` ends here.
pub(crate) const STEPS_MAX: u64 = 2_000_000;
/// Bytes that one row may build up, roughly counted.
pub(crate) const BYTES_MAX: usize = 256 << 20;
/// Calls inside calls.
const CALLS_MAX: u32 = 200;

/// The evaluator's state for one batch.
pub(crate) struct Machine<'a> {
    columns: &'a [Option<Column>],
    names: Arc<[Arc<str>]>,
    row: usize,
    /// The row's values read so far: a list that a function changes stays changed for this row.
    read: Vec<Option<Value>>,
    steps: u64,
    bytes: usize,
    calls: u32,
    /// What `datetime.now()` gives, microseconds since 1970.
    pub(crate) now: Option<i64>,
    /// Exceptions being handled, for a bare `raise`.
    handling: Vec<Raise>,
    /// Frames that closures captured: emptied after the row, as they may hold each other.
    captured: Vec<Rc<Frame>>,
}

impl<'a> Machine<'a> {
    pub(crate) fn new(
        columns: &'a [Option<Column>],
        names: Arc<[Arc<str>]>,
        now: Option<i64>,
    ) -> Machine<'a> {
        let read = vec![None; columns.len()];
        Machine {
            columns,
            names,
            row: 0,
            read,
            steps: 0,
            bytes: 0,
            calls: 0,
            now,
            handling: Vec::new(),
            captured: Vec::new(),
        }
    }

    /// Moves to another row: limits start anew.
    pub(crate) fn start_row(&mut self, row: usize) {
        self.row = row;
        self.read.iter_mut().for_each(|v| *v = None);
        self.steps = 0;
        self.bytes = 0;
        self.calls = 0;
        budget::start_row();
        self.handling.clear();
        for frame in self.captured.drain(..) {
            drop(frame.take());
        }
    }

    /// Counts one step of work.
    pub(crate) fn step(&mut self) -> Res<()> {
        self.spend(1)
    }

    /// Counts work whose amount is known before it is done, in steps.
    pub(crate) fn spend(&mut self, steps: u64) -> Res<()> {
        self.steps = self.steps.saturating_add(steps);
        if self.steps > STEPS_MAX {
            let message = format!("the row took more than {STEPS_MAX} steps");
            return Err(Raise::limit("TimeoutError", message));
        }
        Ok(())
    }

    /// Counts bytes that are gone through character by character.
    pub(crate) fn work(&mut self, bytes: usize) -> Res<()> {
        self.spend(u64::try_from(bytes >> 10).unwrap_or(u64::MAX))
    }

    /// Counts bytes that the processor copies or compares many at once.
    pub(crate) fn scan(&mut self, bytes: usize) -> Res<()> {
        self.spend(u64::try_from(bytes >> 14).unwrap_or(u64::MAX))
    }

    /// Counts bytes about to be allocated; work is counted with them.
    pub(crate) fn charge(&mut self, bytes: usize) -> Res<()> {
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes > BYTES_MAX {
            let message = format!("the row needed more than {} MiB", BYTES_MAX >> 20);
            return Err(Raise::limit("MemoryError", message));
        }
        self.work(bytes)
    }

    /// A new text, counted.
    pub(crate) fn text(&mut self, text: String) -> Res<Value> {
        self.charge(text.len())?;
        Ok(Value::Str(Arc::from(text)))
    }

    /// A new list, counted.
    pub(crate) fn list(&mut self, items: Vec<Value>) -> Res<Value> {
        self.charge(items.len() * size_of::<Value>())?;
        Ok(Value::list(items))
    }

    /// Field `index` of the current row.
    pub(crate) fn column(&mut self, index: usize) -> Res<Value> {
        if let Some(Some(value)) = self.read.get(index) {
            return Ok(value.clone());
        }
        let value = match self.columns.get(index) {
            Some(Some(column)) => column.value(self.row)?,
            _ => Value::None,
        };
        if let Some(place) = self.read.get_mut(index) {
            *place = Some(value.clone());
        }
        Ok(value)
    }

    /// The whole current row. Columns that the program cannot reach are not read.
    pub(crate) fn whole_row(&mut self) -> Res<Value> {
        let values = (0..self.names.len()).map(|i| self.column(i)).collect::<Res<Vec<Value>>>()?;
        Ok(Value::Row(Rc::new(Row { names: Arc::clone(&self.names), values })))
    }
}
