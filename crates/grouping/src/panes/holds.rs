//! Holds on the output watermark, counted here so that few reach the shared set.

use ahash::AHashMap;
use purlin_api::{EventTime, Holds, Window};

/// The holds of all slots. One hold in [`Holds`] stands for all keys of a window; all sessions share
/// one owner, as there may be as many sessions as keys.
#[derive(Debug)]
pub(super) struct HoldBook {
    merges: bool,
    counts: AHashMap<(EventTime, Option<Window>), u64>,
}

impl HoldBook {
    pub(super) fn new(merges: bool) -> Self {
        HoldBook { merges, counts: AHashMap::new() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    /// Moves a slot's hold from `old` to `new`.
    pub(super) fn change(
        &mut self,
        window: &Window,
        old: Option<EventTime>,
        new: Option<EventTime>,
        holds: &mut Holds,
    ) {
        if old == new {
            return;
        }
        // The new one first: the watermark must not slip through in between.
        if let Some(t) = new {
            let key = (t, self.group(window));
            let n = self.counts.entry(key).or_insert(0);
            *n += 1;
            if *n == 1 {
                holds.add(t, &self.owner(window));
            }
        }
        if let Some(t) = old {
            let key = (t, self.group(window));
            if let Some(n) = self.counts.get_mut(&key) {
                *n -= 1;
                if *n == 0 {
                    self.counts.remove(&key);
                    let held = holds.release(t, &self.owner(window));
                    debug_assert!(held, "the hold at {t:?} was not there");
                }
            }
        }
    }

    fn group(&self, window: &Window) -> Option<Window> {
        (!self.merges).then(|| window.clone())
    }

    /// The name that `why` prints.
    fn owner(&self, window: &Window) -> String {
        match window {
            _ if self.merges => "sessions".to_owned(),
            Window::Global => "global window".to_owned(),
            w => format!("window [{}, {})", w.start(), w.end()),
        }
    }
}
