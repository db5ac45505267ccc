//! The windows of an aggregation that go out whole, with their groups: all of its state.

mod state;

use super::Aggregate;
use super::pools::{Logged, PaneCount, Pools};
use super::table::{HashedKeys, Member};
use ahash::RandomState;
use arrow_array::ArrayRef;
use arrow_schema::SchemaRef;
use purlin_api::{EventTime, OpCx, Result, Window};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// By end, so that windows are found in the order of time.
pub(super) type Windows = BTreeMap<(EventTime, Window), State>;

/// What is kept of a window.
pub(super) struct State {
    pub(super) pool: usize,
    pub(super) member: Member,
    /// Rows that no pane has had yet.
    pub(super) rows: u64,
    /// The epoch of the first row that is kept.
    since: Option<u64>,
}

impl State {
    /// Rows of this epoch are kept.
    pub(super) fn keeps(&mut self, cx: &mut OpCx) {
        if self.since.is_none() {
            self.since = Some(cx.epoch);
            cx.kept.add(cx.epoch);
        }
    }

    /// Nothing is kept any more.
    pub(super) fn forgets(&mut self, cx: &mut OpCx) {
        cx.kept.change(self.since.take(), None);
    }
}

/// What has become of windows since the state was last saved: of those that had been saved.
#[derive(Default)]
struct Notes {
    /// They went out and stay.
    fired: Vec<Logged>,
    gone: Vec<Logged>,
}

/// All windows.
pub(super) struct WindowTable {
    pub(super) aggregate: Aggregate,
    random: RandomState,
    schema: SchemaRef,
    pub(super) pools: Pools,
    /// Windows the watermark has not passed.
    pub(super) open: Windows,
    /// Windows that went out and may still get late rows.
    pub(super) fired: Windows,
    /// Nothing before state is saved or restored.
    notes: Option<Notes>,
    /// Windows have gone out that end after the watermark: it was restored to an earlier time.
    ahead: bool,
}

impl WindowTable {
    pub(super) fn new(aggregate: Aggregate) -> Self {
        WindowTable {
            random: RandomState::new(),
            schema: state::schema(&aggregate),
            pools: Pools::default(),
            open: Windows::new(),
            fired: Windows::new(),
            notes: None,
            ahead: false,
            aggregate,
        }
    }

    pub(super) fn size_bytes(&self) -> usize {
        let windows = self.open.len() + self.fired.len();
        self.pools.size_bytes() + windows * size_of::<((EventTime, Window), State)>()
    }

    /// How many groups there are.
    pub(super) fn groups(&self) -> usize {
        self.open.values().chain(self.fired.values()).map(|s| s.member.len()).sum()
    }

    pub(super) fn hashed(&self, keys: &[ArrayRef], rows: usize) -> Result<HashedKeys> {
        HashedKeys::new(&self.aggregate.codec, keys, rows, &self.random)
    }

    /// True if the window went out though the watermark has not passed it.
    #[inline]
    pub(super) fn is_ahead(&self, window: &Window) -> bool {
        self.ahead && self.fired.contains_key(&(window.end(), window.clone()))
    }

    /// Makes the state of a window that the watermark has passed, if there is none.
    pub(super) fn late(&mut self, window: &Window) -> Result<()> {
        let state = state_of(&mut self.fired, window, &mut self.pools, &self.aggregate)?;
        if let Some(logged) = self.pools.get_mut(state.pool)?.logged_mut(state.member.number()) {
            logged.fired = true;
        }
        Ok(())
    }

    /// Gives back what a window had that nothing can come for.
    pub(super) fn close(&mut self, state: &State) -> Result<()> {
        let logged = self.pools.close(state.pool, &state.member)?;
        if let (Some(notes), Some(logged)) = (&mut self.notes, logged)
            && !logged.slots.is_empty()
        {
            notes.gone.push(logged);
        }
        Ok(())
    }

    /// A window went out and stays for late rows.
    pub(super) fn stays(&mut self, window: Window, state: State) -> Result<()> {
        self.count_first_panes(&state)?;
        let pool = self.pools.get_mut(state.pool)?;
        if let (Some(notes), Some(logged)) = (&mut self.notes, pool.logged_mut(state.member.number())) {
            logged.fired = true;
            logged.counted.clear();
            if !logged.slots.is_empty() {
                notes.fired.push(logged.clone());
            }
        }
        self.fired.insert((window.end(), window), state);
        Ok(())
    }

    /// Every group has had its pane on time, and what later panes do not have is forgotten.
    fn count_first_panes(&mut self, state: &State) -> Result<()> {
        let forgets = self.aggregate.forgets();
        let pool = self.pools.get_mut(state.pool)?;
        let groups = pool.groups.all(&state.member);
        if forgets {
            pool.groups.clear(&groups);
        }
        pool.panes.resize(pool.groups.len(), PaneCount::default());
        for group in groups {
            if let Some(panes) = pool.panes.get_mut(group as usize) {
                *panes = PaneCount { count: 1, punctual: true };
            }
        }
        Ok(())
    }
}

/// The state of a window, made if it is new.
pub(super) fn state_of<'a>(
    windows: &'a mut Windows,
    window: &Window,
    pools: &mut Pools,
    aggregate: &Aggregate,
) -> Result<&'a mut State> {
    Ok(match windows.entry((window.end(), window.clone())) {
        Entry::Occupied(found) => found.into_mut(),
        Entry::Vacant(free) => {
            let (pool, member) = pools.open(aggregate, window)?;
            free.insert(State { pool, member, rows: 0, since: None })
        }
    })
}

/// Takes out the first window, if it ends at or before `end`.
pub(super) fn pop_until(windows: &mut Windows, end: EventTime) -> Option<((EventTime, Window), State)> {
    if windows.first_key_value().is_some_and(|((t, _), _)| *t <= end) { windows.pop_first() } else { None }
}
