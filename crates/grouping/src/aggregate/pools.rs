//! Tables that windows keep their groups in.
//!
//! A window has a table of its own, which goes when it goes. Where there are very many windows at once (a
//! year of minutes in one backfill) most are small, and a table each would cost more than what is in it:
//! then windows that open one after the other share one.

use super::Aggregate;
use super::table::{Groups, Member};
use crate::state::SlotSet;
use purlin_api::{Error, Result, Window};

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
    /// What was saved and what has changed since; nothing before anything is saved.
    log: Option<Box<PoolLog>>,
}

/// What the saved state knows of a table.
#[derive(Default)]
struct PoolLog {
    /// By window number; those that are gone are `None`.
    windows: Vec<Option<Logged>>,
    /// Groups that have changed: a bit for each, and a list.
    bits: Vec<u64>,
    touched: Vec<u32>,
}

/// What the saved state knows of a window.
#[derive(Clone)]
pub(super) struct Logged {
    pub(super) window: Window,
    /// It went out and stays for late rows.
    pub(super) fired: bool,
    /// The slots of the groups that were saved.
    pub(super) slots: SlotSet,
    /// How many rows that no pane has had were saved, and in which slots.
    pub(super) counted: Vec<(u16, u64)>,
}

impl Logged {
    fn new(window: &Window) -> Self {
        Logged { window: window.clone(), fired: false, slots: SlotSet::default(), counted: Vec::new() }
    }
}

impl Pool {
    /// Notes that these groups have changed.
    #[inline]
    pub(super) fn touch(&mut self, groups: &[u32]) {
        if let Some(log) = &mut self.log {
            log.touch(groups);
        }
    }

    /// The groups that have changed, those of windows that are gone left out, rising; they count as unchanged
    /// from now on.
    pub(super) fn take_touched(&mut self) -> Vec<u32> {
        let Some(log) = &mut self.log else { return Vec::new() };
        let mut touched = std::mem::take(&mut log.touched);
        for group in &touched {
            if let Some(word) = log.bits.get_mut(*group as usize / 64) {
                *word = 0;
            }
        }
        touched.retain(|g| self.logged(self.groups.window_of(*g)).is_some());
        touched.sort_unstable();
        touched
    }

    /// All groups of windows that are not gone, rising.
    pub(super) fn live(&self) -> Vec<u32> {
        let groups = 0..self.groups.len() as u32;
        groups.filter(|g| self.logged(self.groups.window_of(*g)).is_some()).collect()
    }

    /// What the saved state knows of the window of this number.
    pub(super) fn logged(&self, window: u32) -> Option<&Logged> {
        self.log.as_ref()?.windows.get(window as usize)?.as_ref()
    }

    pub(super) fn logged_mut(&mut self, window: u32) -> Option<&mut Logged> {
        self.log.as_mut()?.windows.get_mut(window as usize)?.as_mut()
    }

    /// Begins to note what changes; `windows` are those that are not gone, with their numbers.
    pub(super) fn note<'a>(&mut self, windows: impl Iterator<Item = (u32, &'a Window, bool)>) {
        let mut log = PoolLog::default();
        for (number, window, fired) in windows {
            log.open(number, Logged { fired, ..Logged::new(window) });
        }
        self.log = Some(Box::new(log));
    }
}

impl PoolLog {
    fn touch(&mut self, groups: &[u32]) {
        for group in groups {
            let (word, bit) = (*group as usize / 64, 1_u64 << (group % 64));
            if self.bits.len() <= word {
                self.bits.resize((word + 1).next_power_of_two(), 0);
            }
            if let Some(word) = self.bits.get_mut(word)
                && *word & bit == 0
            {
                *word |= bit;
                self.touched.push(*group);
            }
        }
    }

    fn open(&mut self, number: u32, logged: Logged) {
        let number = number as usize;
        if self.windows.len() <= number {
            self.windows.resize(number + 1, None);
        }
        if let Some(at) = self.windows.get_mut(number) {
            *at = Some(logged);
        }
    }
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
    /// Changes are noted.
    noting: bool,
}

impl Pools {
    /// A place for a new window: the table and the member.
    pub(super) fn open(&mut self, aggregate: &Aggregate, window: &Window) -> Result<(usize, Member)> {
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
        let member = pool.groups.open();
        if let Some(log) = &mut pool.log {
            log.open(member.number(), Logged::new(window));
        }
        Ok((at, member))
    }

    /// From now on changes are noted. Each table that there is must be told: [`Pool::note`].
    pub(super) fn note(&mut self) {
        self.noting = true;
    }

    /// The tables that are in use.
    pub(super) fn places(&self) -> Vec<usize> {
        let used = |(at, pool): (usize, &Option<Pool>)| pool.as_ref().map(|_| at);
        self.slots.iter().enumerate().filter_map(used).collect()
    }

    fn add(&mut self, groups: Groups) -> usize {
        let log = self.noting.then(Box::default);
        let pool = Some(Pool { groups, panes: Vec::new(), open: 0, opened: 0, log });
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

    /// Gives back what a window had; answers what the saved state knows of it.
    pub(super) fn close(&mut self, at: usize, member: &Member) -> Result<Option<Logged>> {
        let pool = self.get_mut(at)?;
        let number = member.number() as usize;
        let logged = pool.log.as_mut().and_then(|l| l.windows.get_mut(number)).and_then(Option::take);
        pool.open -= 1;
        if pool.open > 0 {
            let groups = pool.groups.all(member);
            pool.groups.clear(&groups);
            return Ok(logged);
        }
        if let Some(slot) = self.slots.get_mut(at) {
            *slot = None;
        }
        self.free.push(at);
        self.shared = self.shared.filter(|shared| *shared != at);
        if self.free.len() == self.slots.len() {
            *self = Pools { noting: self.noting, ..Pools::default() };
        }
        Ok(logged)
    }

    pub(super) fn size_bytes(&self) -> usize {
        let pools = self.slots.iter().flatten();
        pools.map(|p| p.groups.size_bytes() + p.panes.capacity() * size_of::<PaneCount>()).sum()
    }
}

fn missing() -> Error {
    Error::internal("a window has lost its table")
}
