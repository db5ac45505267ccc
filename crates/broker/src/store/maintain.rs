//! Trimming, reopening and deleting logs.

use std::sync::atomic::Ordering;

use super::StoreError;
use super::log::{LogInner, Writer};

/// A last segment with fewer bytes than this is not replaced when all its entries are trimmed.
const KEEP_BYTES: u64 = 64 << 10;

impl LogInner {
    pub(crate) fn trim(&self, writer: &mut Writer, before: u64) -> Result<u64, StoreError> {
        let all = {
            let state = self.state();
            if state.deleted {
                return Err(self.deleted_error());
            }
            let sound = state.poisoned.is_none();
            let used = state.segments.last().is_some_and(|s| s.base < state.next);
            sound && used && before >= state.next && state.end >= KEEP_BYTES
        };
        if all {
            self.roll(writer)?;
        }
        let files = &self.shared.files;
        loop {
            // One after another, from the first: a crash leaves no gap.
            let segment = {
                let mut state = self.state_mut();
                match state.segments.get(1) {
                    Some(behind) if behind.base <= before => state.segments.remove(0),
                    _ => return Ok(state.first()),
                }
            };
            let path = segment.path();
            let size =
                files.get(&path, false).and_then(|f| f.size().map_err(|e| files.error("read", &path, e)));
            // Only for the sum of bytes.
            let size = size.unwrap_or(0);
            if let Err(e) = segment.remove(files) {
                self.state_mut().segments.insert(0, segment);
                return Err(e);
            }
            let mut state = self.state_mut();
            state.sealed_bytes = state.sealed_bytes.saturating_sub(size);
        }
    }

    pub(crate) fn trim_older(&self, time: i64) -> Result<u64, StoreError> {
        let mut writer = self.writer();
        if writer.time_max < time {
            let next = self.state().next;
            return self.trim(&mut writer, next);
        }
        let segments = self.state().segments.clone();
        let mut before = 0;
        for segment in segments.iter().skip(1) {
            // The greatest time before a segment only grows.
            match segment.meta(&self.shared.files) {
                Ok(meta) if meta.time_before < time => before = segment.base,
                Ok(_) | Err(StoreError::Damaged { .. }) => break,
                Err(e) => return Err(e),
            }
        }
        self.trim(&mut writer, before)
    }

    pub(crate) fn reopen(&self) -> Result<(), StoreError> {
        let _writer = self.writer();
        let (end, next) = {
            let state = self.state();
            if state.deleted {
                return Err(self.deleted_error());
            }
            if state.poisoned.is_none() {
                return Ok(());
            }
            (state.end, state.next)
        };
        let files = &self.shared.files;
        let segment = self.active();
        let path = segment.path();
        files.forget(&path);
        let file = files.get(&path, false)?;
        // What was synced before is on disk; what was not is cut off, whatever memory says of it.
        file.set_len(end).and_then(|()| file.sync()).map_err(|e| files.error("sync", &path, e))?;
        if segment.base != next {
            // A segment whose making failed.
            super::segment::Segment::new(&self.id, &self.folder, next).remove(files)?;
        }
        self.generation.fetch_add(1, Ordering::AcqRel);
        self.state_mut().poisoned = None;
        Ok(())
    }
}
