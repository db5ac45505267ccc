//! What is known of a subscription's time, as a table that checkpoints keep.
//!
//! The runner remembers the watermark that was told. What it cannot know is why: how disordered messages are, and the greatest
//! event time. Without those a restarted reader would trust messages to be in order, and those that are not
//! would be late.

use super::watermark::Estimate;
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Array, BinaryArray, Int64Array, RecordBatch};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use purlin_api::state::{Extent, Saved, StateRows, StateTable};
use purlin_api::{Error, Result};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The estimate that the lanes of a reader share; each saves all of it, and what several saved is put together.
pub(super) struct EventTimes {
    estimate: Arc<Mutex<Estimate>>,
    slot: u16,
    saved: Option<RecordBatch>,
}

impl EventTimes {
    /// For a lane that has this slot.
    pub(super) fn new(estimate: Arc<Mutex<Estimate>>, slot: u16) -> Self {
        EventTimes { estimate, slot, saved: None }
    }

    fn estimate(&self) -> MutexGuard<'_, Estimate> {
        self.estimate.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StateTable for EventTimes {
    fn name(&self) -> &'static str {
        "event times"
    }

    fn schema(&self) -> SchemaRef {
        Arc::new(Schema::new(vec![
            Field::new("high", DataType::Int64, true),
            // How many messages had a disorder of so many bits: 64 numbers, greatest byte first.
            Field::new("disorder", DataType::Binary, false),
        ]))
    }

    fn save(&mut self, extent: Extent) -> Result<Saved> {
        let (high, counts) = self.estimate().known();
        let counts: Vec<u8> = counts.iter().flat_map(|c| c.to_be_bytes()).collect();
        let high: Int64Array = std::iter::once(high).collect();
        let row = RecordBatch::try_new(
            self.schema(),
            vec![Arc::new(high), Arc::new(BinaryArray::from_vec(vec![&counts]))],
        )?;
        if extent == Extent::Changes && self.saved.as_ref() == Some(&row) {
            return Ok(Saved { extent, log: Vec::new() });
        }
        self.saved = Some(row.clone());
        Ok(Saved { extent: Extent::Whole, log: vec![StateRows::in_slot(self.slot, row)] })
    }

    fn apply(&mut self, rows: &StateRows) -> Result<()> {
        let odd = || Error::data("the event times of messages in the checkpoint make no sense");
        let columns = rows.rows.columns();
        let highs = columns.first().and_then(|c| c.as_primitive_opt::<Int64Type>()).ok_or_else(odd)?;
        let counts = columns.get(1).and_then(|c| c.as_binary_opt::<i32>()).ok_or_else(odd)?;
        for row in 0..rows.rows.num_rows() {
            let (parts, rest) = counts.value(row).as_chunks();
            if !rest.is_empty() || parts.len() != 64 {
                return Err(odd());
            }
            let high = highs.is_valid(row).then(|| highs.value(row));
            self.estimate().learn(high, parts.iter().map(|c| u64::from_be_bytes(*c)));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::watermark::Clock;
    use super::*;
    use purlin_api::state::own_slot;

    const S: i64 = 1_000_000;

    fn table() -> EventTimes {
        let estimate = Estimate::new(Clock::Attribute, Some(S), false);
        EventTimes::new(Arc::new(Mutex::new(estimate)), own_slot(0, 1))
    }

    #[test]
    fn a_restarted_reader_knows_how_disordered_messages_are() {
        let mut t = table();
        let first = t.save(Extent::Changes).unwrap();
        assert_eq!(first.extent, Extent::Whole);
        assert!(t.save(Extent::Changes).unwrap().log.is_empty());
        (0..100).for_each(|i| t.estimate().saw(1000 * S + i - 30 * S * (i % 2)));
        let told = t.estimate().watermark(2000 * S, None).unwrap();
        assert!((960 * S..970 * S).contains(&told), "{told}");
        let saved = t.save(Extent::Changes).unwrap();
        let mut later = table();
        // Two lanes saved the same.
        for log in [&first.log, &saved.log, &saved.log] {
            log.iter().for_each(|rows| later.apply(rows).unwrap());
        }
        assert_eq!(later.estimate().watermark(3000 * S, None), Some(told));
        later.estimate().saw(1001 * S);
        later.estimate().saw(971 * S);
        let now = later.estimate().watermark(3001 * S, None).unwrap();
        assert!(now <= 971 * S, "what comes 30 s late is not late: {now}");
        let mut forgetful = Estimate::new(Clock::Attribute, Some(S), false);
        forgetful.saw(1001 * S);
        assert_eq!(forgetful.watermark(3001 * S, None), Some(1000 * S), "as it would be without");
    }

    #[test]
    fn rows_that_make_no_sense_are_refused() {
        let columns: Vec<arrow_array::ArrayRef> =
            vec![Arc::new(Int64Array::from(vec![1])), Arc::new(BinaryArray::from_vec(vec![b"x"]))];
        let rows = RecordBatch::try_new(table().schema(), columns).unwrap();
        assert!(table().apply(&StateRows::in_slot(0, rows)).is_err());
    }
}
