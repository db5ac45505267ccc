//! Which files a reader still has before it.

use serde::{Deserialize, Serialize};

/// Files to be read, by index: every `step`th from `next` to before `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Waiting {
    /// The next one.
    pub(super) next: usize,
    pub(super) step: usize,
    pub(super) end: usize,
}

impl Waiting {
    /// The next one.
    pub(super) fn pop(&mut self) -> Option<usize> {
        let i = (self.next < self.end).then_some(self.next)?;
        self.next = self.next.saturating_add(self.step.max(1));
        Some(i)
    }

    fn len(&self) -> usize {
        self.end.saturating_sub(self.next).div_ceil(self.step.max(1))
    }

    /// Gives the second half away; `None` if there is only one.
    pub(super) fn split(&mut self) -> Option<Waiting> {
        let len = self.len();
        let keep = len.div_ceil(2);
        if keep == len {
            return None;
        }
        let border = self.next + keep * self.step.max(1);
        let other = Waiting { next: border, ..*self };
        self.end = border;
        Some(other)
    }
}
