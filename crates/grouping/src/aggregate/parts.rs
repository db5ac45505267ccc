//! A batch cut up by window, so that work is per window and not per row.

use arrow_array::{ArrayRef, UInt32Array};
use arrow_select::take::take;
use purlin_api::{Batch, Result, Window};
use std::ops::Range;

/// The rows of a batch that are in one window.
pub(super) struct Part<'a, K> {
    pub(super) window: &'a Window,
    pub(super) kind: K,
    /// Where the rows stand in the order of [`Parts`].
    pub(super) places: Range<usize>,
}

/// The rows of a batch by window.
pub(super) struct Parts<'a, K> {
    /// Rows in the order of the parts, then as they came; `None` if that is the order they are in.
    order: Option<UInt32Array>,
    parts: Vec<Part<'a, K>>,
}

impl<'a, K: Ord + Copy> Parts<'a, K> {
    /// Cuts a batch. `kind` is asked once for each window that has rows; windows of a kind are neighbours.
    pub(super) fn new(batch: &'a Batch, mut kind: impl FnMut(&Window) -> Result<K>) -> Result<Self> {
        let windows = batch.windows.values();
        let mut counts = vec![0_usize; windows.len()];
        match (batch.windows.keys(), counts.first_mut()) {
            (Some(keys), _) => {
                for key in keys {
                    if let Some(count) = counts.get_mut(*key as usize) {
                        *count += 1;
                    }
                }
            }
            (None, Some(all)) => *all = batch.len(),
            (None, None) => {}
        }
        let mut found = Vec::new();
        for (index, (window, count)) in windows.iter().zip(&counts).enumerate() {
            if *count > 0 {
                found.push((kind(window)?, index));
            }
        }
        found.sort_unstable();
        let mut parts = Vec::with_capacity(found.len());
        let mut start = 0;
        for (kind, index) in found {
            if let (Some(window), Some(count)) = (windows.get(index), counts.get_mut(index)) {
                parts.push(Part { window, kind, places: start..start + *count });
                // From here on it says where the next row of the window goes.
                start += std::mem::replace(count, start);
            }
        }
        let order = batch.windows.keys().filter(|_| parts.len() > 1).map(|keys| order(keys, counts));
        Ok(Parts { order, parts })
    }

    /// The parts, those of a kind together.
    pub(super) fn kinds(&self) -> impl Iterator<Item = &[Part<'a, K>]> {
        self.parts.chunk_by(|a, b| a.kind == b.kind)
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

/// The rows by place; `starts` is the place of each window's first row.
fn order(keys: &[u32], mut starts: Vec<usize>) -> UInt32Array {
    let mut order = vec![0_u32; keys.len()];
    for (row, key) in keys.iter().enumerate() {
        if let Some(at) = starts.get_mut(*key as usize) {
            if let Some(place) = order.get_mut(*at) {
                *place = row as u32;
            }
            *at += 1;
        }
    }
    UInt32Array::from(order)
}
