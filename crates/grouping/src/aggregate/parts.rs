//! A batch cut up by window, so that work is per window and not per row.

use arrow_array::{ArrayRef, UInt32Array};
use arrow_select::take::take;
use purlin_api::{Batch, Result, Window};
use std::ops::Range;

/// The rows of a batch by window.
pub(super) struct Parts<'a> {
    /// Rows in the order of windows, then as they came; `None` if that is the order they are in.
    order: Option<UInt32Array>,
    parts: Vec<(&'a Window, Range<usize>)>,
}

impl<'a> Parts<'a> {
    pub(super) fn new(batch: &'a Batch) -> Self {
        let windows = batch.windows.values();
        let Some(keys) = batch.windows.keys() else {
            let only = windows.first().map(|w| (w, 0..batch.len()));
            return Parts { order: None, parts: only.into_iter().collect() };
        };
        let mut counts = vec![0_u32; windows.len()];
        for key in keys {
            if let Some(count) = counts.get_mut(*key as usize) {
                *count += 1;
            }
        }
        let mut parts = Vec::new();
        let mut start = 0;
        // From here on the counts say where the next row of a window goes.
        for (window, count) in windows.iter().zip(&mut counts) {
            let len = std::mem::replace(count, start as u32) as usize;
            if len > 0 {
                parts.push((window, start..start + len));
                start += len;
            }
        }
        if parts.len() == 1 {
            return Parts { order: None, parts };
        }
        let mut order = vec![0_u32; keys.len()];
        for (row, key) in keys.iter().enumerate() {
            if let Some(at) = counts.get_mut(*key as usize) {
                if let Some(place) = order.get_mut(*at as usize) {
                    *place = row as u32;
                }
                *at += 1;
            }
        }
        Parts { order: Some(UInt32Array::from(order)), parts }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &(&'a Window, Range<usize>)> {
        self.parts.iter()
    }

    /// The rows of the batch that stand at these places.
    pub(super) fn rows(&self, places: Range<usize>) -> impl Iterator<Item = usize> + '_ {
        let order = self.order.as_ref().map(|o| o.values().as_ref());
        places.map(move |place| order.map_or(place, |o: &[u32]| o.get(place).map_or(0, |row| *row as usize)))
    }

    /// A column in this order.
    pub(super) fn ordered(&self, column: &ArrayRef) -> Result<ArrayRef> {
        match &self.order {
            None => Ok(column.clone()),
            Some(order) => Ok(take(column, order, None)?),
        }
    }
}
