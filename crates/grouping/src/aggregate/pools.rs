//! Tables that windows keep their groups in.
//!
//! A window has a table of its own, which goes when it goes. Where there are very many windows at once (a
//! year of minutes in one backfill) most are small, and a table each would cost more than what is in it:
//! then windows that open one after the other share one.

use super::Aggregate;
use super::table::{Groups, Member};
use purlin_api::{Error, Result};

/// Tables from which on new windows share. (Tests have few windows and must meet both cases.)
const APART_MAX: usize = if cfg!(test) { 2 } else { 256 };
/// Windows that share a table.
const SHARING: u32 = if cfg!(test) { 3 } else { 256 };
/// Groups from which on a table is not shared any further.
const SHARED_GROUPS_MAX: usize = 16 * 1024;

/// One table.
pub(super) struct Pool {
    pub(super) groups: Groups,
    /// How many panes a group has had; only kept where windows stay after their first pane.
    pub(super) panes: Vec<PaneCount>,
    /// Windows that are open here, and that ever were.
    open: u32,
    opened: u32,
}

/// The panes that a group has had.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct PaneCount {
    pub(super) count: u32,
    /// The first was on time.
    pub(super) punctual: bool,
}

/// All tables of an operator.
#[derive(Default)]
pub(super) struct Pools {
    slots: Vec<Option<Pool>>,
    free: Vec<usize>,
    /// The table that the next window may share.
    shared: Option<usize>,
}

impl Pools {
    /// A place for a new window: the table and the member.
    pub(super) fn open(&mut self, aggregate: &Aggregate) -> Result<(usize, Member)> {
        let shares = |pool: &Pool| pool.opened < SHARING && pool.groups.len() < SHARED_GROUPS_MAX;
        let shared =
            self.shared.filter(|at| self.slots.get(*at).and_then(Option::as_ref).is_some_and(shares));
        let at = match shared {
            Some(at) => at,
            None => self.add(Groups::new(aggregate.accumulators()?)),
        };
        self.shared = (self.slots.len() - self.free.len() > APART_MAX).then_some(at);
        let pool = self.get_mut(at)?;
        pool.open += 1;
        pool.opened += 1;
        Ok((at, pool.groups.open()))
    }

    fn add(&mut self, groups: Groups) -> usize {
        let pool = Some(Pool { groups, panes: Vec::new(), open: 0, opened: 0 });
        match self.free.pop() {
            Some(at) => {
                if let Some(slot) = self.slots.get_mut(at) {
                    *slot = pool;
                }
                at
            }
            None => {
                self.slots.push(pool);
                self.slots.len() - 1
            }
        }
    }

    /// A table that is in use.
    pub(super) fn get(&self, at: usize) -> Result<&Pool> {
        self.slots.get(at).and_then(Option::as_ref).ok_or_else(missing)
    }

    /// A table that is in use.
    pub(super) fn get_mut(&mut self, at: usize) -> Result<&mut Pool> {
        self.slots.get_mut(at).and_then(Option::as_mut).ok_or_else(missing)
    }

    /// Gives back what a window had.
    pub(super) fn close(&mut self, at: usize, member: &Member) -> Result<()> {
        let pool = self.get_mut(at)?;
        pool.open -= 1;
        if pool.open > 0 {
            let groups = pool.groups.all(member);
            pool.groups.clear(&groups);
            return Ok(());
        }
        if let Some(slot) = self.slots.get_mut(at) {
            *slot = None;
        }
        self.free.push(at);
        self.shared = self.shared.filter(|shared| *shared != at);
        if self.free.len() == self.slots.len() {
            *self = Pools::default();
        }
        Ok(())
    }

    pub(super) fn size_bytes(&self) -> usize {
        let pools = self.slots.iter().flatten();
        pools.map(|p| p.groups.size_bytes() + p.panes.capacity() * size_of::<PaneCount>()).sum()
    }
}

fn missing() -> Error {
    Error::internal("a window has lost its table")
}
