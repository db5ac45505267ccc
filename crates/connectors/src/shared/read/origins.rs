//! Which lines the rows of a batch are, in pipelines that keep dead letters.

use purlin_api::{Batch, Origin};
use std::sync::Arc;

/// The lines of the rows that are being gathered, as runs of lines that follow each other.
#[derive(Default)]
pub(super) struct Origins {
    file: Option<Arc<str>>,
    runs: Vec<(Arc<str>, u64, u64)>,
}

impl Origins {
    /// The next so many rows are the lines of this file from `line` on.
    pub(super) fn push(&mut self, path: &str, line: u64, count: u64) {
        if count == 0 {
            return;
        }
        if let Some((file, first, length)) = self.runs.last_mut()
            && file.as_ref() == path
            && first.saturating_add(*length) == line
        {
            *length += count;
            return;
        }
        let file = match &self.file {
            Some(file) if file.as_ref() == path => file.clone(),
            _ => self.file.insert(path.into()).clone(),
        };
        self.runs.push((file, line, count));
    }

    /// Tells the rows of a batch where they come from.
    pub(super) fn tell(&mut self, batch: Batch) -> Batch {
        let runs = std::mem::take(&mut self.runs).into_iter();
        let lines = runs.flat_map(|(file, first, count)| {
            (0..count).map(move |i| Origin::Line { file: file.clone(), line: first.saturating_add(i) })
        });
        batch.with_origins(lines.collect())
    }
}
