//! Keyed, windowed aggregation as an operator.
//!
//! An [`Aggregate`] says what is grouped and how; [`Aggregate::operator`] makes a running instance for
//! one lane. Rows with equal keys must meet in one lane.
//!
//! Two ways lead to the same results. Where panes can only fire at the end of a window, rows go into
//! tables of windows and keys, and a window goes out as columns when the watermark passes its end. The rest
//! (early and late panes, counts, clocks, sessions) is driven row by row by [`crate::panes`], over the
//! same accumulators.

mod cells;
mod emit;
mod general;
mod partial;
mod parts;
mod pools;
mod states;
mod table;
#[cfg(test)]
mod tests;
mod whole;
mod windows;

pub use partial::{Lift, Partial, PartialOperator};

use crate::accumulate::{Accumulator, AggregateFn};
use arrow_array::ArrayRef;
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use purlin_api::key::KeyCodec;
use purlin_api::shape::{nullable_type, physical, type_name};
use purlin_api::{
    AccumulationMode, Batch, Error, More, OpCx, Operator, OutPort, Port, Result, StateTable, TimerId,
    Trigger, Windowing,
};
use std::ops::Range;
use std::sync::Arc;

/// The field that [`AccumulationMode::Retracting`] adds to the output: true in rows that take back what
/// the pane before said.
pub const RETRACTION: &str = "retraction";
/// The field of partial rows that says how many rows went into one.
pub const ROWS: &str = "__rows";
/// The port of the results.
pub const OUT: OutPort = 0;
/// The port of rows that came too late.
pub const LATE: OutPort = 1;

/// One aggregate of the output.
#[derive(Clone, Debug, PartialEq)]
pub struct Aggregation {
    /// The name of the output field.
    pub name: String,
    /// What is computed.
    pub function: AggregateFn,
    /// The input column it is computed of. Only `count` does without.
    pub column: Option<usize>,
}

/// What an accumulator is fed with.
#[derive(Clone, Debug, PartialEq)]
enum Feed {
    /// Values of this column, or just rows.
    Values(Option<usize>),
    /// States in these columns.
    States(Range<usize>),
}

/// What is grouped, and how.
#[derive(Clone, Debug)]
pub struct Aggregate {
    input: SchemaRef,
    /// How many columns of the input, from the first, are the row as it came; the others were computed.
    row_columns: usize,
    keys: Vec<usize>,
    aggregations: Vec<Aggregation>,
    feeds: Vec<Feed>,
    codec: KeyCodec,
    windowing: Arc<Windowing>,
    beam_last: bool,
    output: SchemaRef,
}

impl Aggregate {
    /// Groups rows of `input` by the columns `keys` (none: all rows of a window are one group).
    ///
    /// The output has the keys, with the names and nulls they have in `input`, then the aggregates, then
    /// [`RETRACTION`] if the windowing retracts. Fails if a column does not exist, or if a key has a type
    /// that no key can have.
    pub fn new(
        input: SchemaRef,
        keys: Vec<usize>,
        aggregations: Vec<Aggregation>,
        windowing: Arc<Windowing>,
    ) -> Result<Self> {
        let field = |i: usize| {
            let found = input.fields().get(i);
            found.ok_or_else(|| Error::internal(format!("column {i} of {}", input.fields().len())))
        };
        let key_fields: Vec<&Arc<Field>> = keys.iter().map(|k| field(*k)).collect::<Result<_>>()?;
        let types: Vec<DataType> = key_fields.iter().map(|f| nullable_type(f.data_type())).collect();
        let mut feeds = Vec::new();
        for a in &aggregations {
            match a.column {
                Some(column) => drop(field(column)?),
                None if a.function.name() == "count" => {}
                None => return Err(Error::internal(format!("`{}` of no column", a.function.name()))),
            }
            feeds.push(Feed::Values(a.column));
        }
        let mut fields: Vec<Field> = key_fields.iter().map(|f| f.as_ref().clone()).collect();
        fields.extend(aggregations.iter().map(|a| a.function.output_field(&a.name)));
        if windowing.accumulation == AccumulationMode::Retracting {
            fields.push(Field::new(RETRACTION, DataType::Boolean, false));
        }
        Ok(Aggregate {
            row_columns: input.fields().len(),
            codec: KeyCodec::new(&types)?,
            output: Arc::new(Schema::new(fields)),
            input,
            keys,
            aggregations,
            feeds,
            windowing,
            beam_last: false,
        })
    }

    /// Says that only the first `columns` columns of the input are the row as it came, and the others
    /// were computed for the aggregates: late rows go out without those.
    #[must_use]
    pub fn with_row_columns(mut self, columns: usize) -> Self {
        self.row_columns = columns.min(self.input.fields().len());
        self
    }

    /// Copies Beam's quirk of when a pane calls itself the last one.
    #[must_use]
    pub fn with_beam_last(mut self, on: bool) -> Self {
        self.beam_last = on;
        self
    }

    /// The schema of the results, with what is known of nulls.
    pub fn output(&self) -> &SchemaRef {
        &self.output
    }

    /// The schema of late rows.
    pub fn late_output(&self) -> SchemaRef {
        let fields = self.input.fields().iter().take(self.row_columns).cloned();
        Arc::new(Schema::new(fields.collect::<Vec<_>>()))
    }

    /// The key columns of the input.
    pub fn keys(&self) -> &[usize] {
        &self.keys
    }

    /// The aggregates.
    pub fn aggregations(&self) -> &[Aggregation] {
        &self.aggregations
    }

    /// How rows are windowed.
    pub fn windowing(&self) -> &Arc<Windowing> {
        &self.windowing
    }

    /// All that must be the same for the state of a running instance to mean the same; `column` tells what a column of
    /// the input is computed of. How long windows wait for late rows may change.
    pub fn means(&self, column: impl Fn(usize) -> String) -> String {
        let key = |k: &usize| {
            let field = self.input.fields().get(*k);
            format!("{} ({})", column(*k), field.map(|f| type_name(f)).unwrap_or_default())
        };
        let keys: Vec<String> = self.keys.iter().map(key).collect();
        let mut all = vec![match keys.as_slice() {
            [] => "all rows".to_owned(),
            keys => format!("group by {}", keys.join(", ")),
        }];
        for a in &self.aggregations {
            let of = a.column.map(&column).unwrap_or_default();
            all.push(format!("{}: {} ({of})", a.name, a.function.means()));
        }
        let Windowing { window_fn, trigger, accumulation, .. } = self.windowing.as_ref();
        all.push(format!("windows {}", window_fn.describe()));
        all.push(format!("trigger {}", trigger.describe()));
        let accumulation = match accumulation {
            AccumulationMode::Discarding => "discarding",
            AccumulationMode::Accumulating => "accumulating",
            AccumulationMode::Retracting => "retracting",
        };
        all.push(accumulation.to_owned());
        all.join("; ")
    }

    /// True if a window's panes fire at its end, and for late rows, and never else.
    pub fn fires_whole(&self) -> bool {
        !self.windowing.window_fn.merges()
            && matches!(
                self.windowing.trigger,
                Trigger::Default | Trigger::AfterWatermark { early: None, late: None }
            )
    }

    /// A running instance for one lane.
    pub fn operator(&self) -> Result<AggregateOperator> {
        Ok(AggregateOperator(if self.fires_whole() {
            Way::Whole(Box::new(whole::WholeWindows::new(self.clone())?))
        } else {
            Way::Panes(Box::new(general::Panes::new(self.clone())?))
        }))
    }

    /// The trigger has fired for good once a pane went out, where panes fire at the end of windows.
    fn fires_once(&self) -> bool {
        self.windowing.trigger != Trigger::Default
    }

    /// What a pane had is not in later ones, where panes fire at the end of windows.
    fn forgets(&self) -> bool {
        self.fires_once() || self.windowing.accumulation == AccumulationMode::Discarding
    }

    fn accumulators(&self) -> Result<Vec<Box<dyn Accumulator>>> {
        self.functions().map(AggregateFn::accumulator).collect()
    }

    fn functions(&self) -> impl Iterator<Item = &AggregateFn> {
        self.aggregations.iter().map(|a| &a.function)
    }

    fn key_columns(&self, batch: &Batch) -> Result<Vec<ArrayRef>> {
        self.keys.iter().map(|k| column(batch, *k).cloned()).collect()
    }

    /// The schema that result batches carry.
    fn emitted(&self) -> SchemaRef {
        physical(&self.output)
    }

    /// Counts rows that came too late, and emits them if they are wanted. `rows` may be in any order.
    fn late(&self, batch: &Batch, mut rows: Vec<u32>, cx: &mut OpCx) -> Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        cx.fates.late += rows.len() as u64;
        if self.windowing.late_output.is_some() {
            rows.sort_unstable();
            let late = batch.take(&rows.into())?;
            let columns: Vec<usize> = (0..self.row_columns).collect();
            let projected = late.rows.project(&columns)?;
            cx.emit(LATE, late.with_rows(projected));
        }
        Ok(())
    }
}

/// A running aggregation. Results go to port [`OUT`], late rows to [`LATE`] if they are wanted.
pub struct AggregateOperator(Way);

enum Way {
    Whole(Box<whole::WholeWindows>),
    Panes(Box<general::Panes>),
}

impl AggregateOperator {
    /// About how many bytes of state it holds.
    pub fn state_bytes(&self) -> usize {
        match &self.0 {
            Way::Whole(w) => w.state_bytes(),
            Way::Panes(p) => p.state_bytes(),
        }
    }

    /// How many groups (a key in a window) it has state for.
    pub fn state_groups(&self) -> usize {
        match &self.0 {
            Way::Whole(w) => w.state_groups(),
            Way::Panes(p) => p.state_groups(),
        }
    }

    fn inner(&mut self) -> &mut dyn Operator {
        match &mut self.0 {
            Way::Whole(w) => w.as_mut(),
            Way::Panes(p) => p.as_mut(),
        }
    }
}

impl Operator for AggregateOperator {
    fn on_batch(&mut self, port: Port, batch: Batch, cx: &mut OpCx) -> Result<More> {
        self.inner().on_batch(port, batch, cx)
    }

    fn on_watermark(&mut self, cx: &mut OpCx) -> Result<More> {
        self.inner().on_watermark(cx)
    }

    fn on_timer(&mut self, id: TimerId, cx: &mut OpCx) -> Result<More> {
        self.inner().on_timer(id, cx)
    }

    fn resume(&mut self, cx: &mut OpCx) -> Result<More> {
        self.inner().resume(cx)
    }

    fn on_end(&mut self, cx: &mut OpCx) -> Result<More> {
        self.inner().on_end(cx)
    }

    fn tables(&mut self) -> Vec<&mut dyn StateTable> {
        self.inner().tables()
    }

    fn restored(&mut self, cx: &mut OpCx) -> Result<()> {
        self.inner().restored(cx)
    }
}

fn column(batch: &Batch, index: usize) -> Result<&ArrayRef> {
    let columns = batch.rows.columns();
    columns
        .get(index)
        .ok_or_else(|| Error::internal(format!("column {index} of a batch of {}", columns.len())))
}
