//! The log of the windows that go out whole.
//!
//! | row | says |
//! |---|---|
//! | put | the state of a key in a window; the number of its panes if the window went out and stays |
//! | rows | how many rows of a window no pane has had: that many are counted in this slot |
//! | fired | the window went out and stays: each key of this slot has had its pane on time |
//! | gone | nothing is kept any more of the keys of this slot in the window |
//!
//! What became of a window is said once for each slot that had keys of it, so that every lane is told of its own keys,
//! however many lanes there will be. That is never more rows than were put. How many rows wait is known by window and
//! not by key; the slot of the window's first key stands for all.

use super::super::Aggregate;
use super::super::pools::PaneCount;
use super::super::states::{merge_states, nulls, state_fields, states};
use super::super::table::HashedKeys;
use super::{Notes, State, WindowTable, Windows, state_of};
use crate::state::{Columns, ROWS_MAX, SlotSet, WindowColumns, damaged, slot_of, window_fields};
use arrow_array::builder::{BinaryBuilder, BooleanBuilder, Int64Builder};
use arrow_array::{Array, ArrayRef, BinaryArray, BooleanArray, Int64Array, RecordBatch, UInt8Array};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use purlin_api::{Error, Extent, OpCx, Result, Saved, StateRows, StateTable, Window};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

const PUT: u8 = 0;
const ROWS: u8 = 1;
const FIRED: u8 = 2;
const GONE: u8 = 3;

/// The schema of the log.
pub(super) fn schema(aggregate: &Aggregate) -> SchemaRef {
    let mut fields = vec![Field::new("kind", DataType::UInt8, false)];
    fields.extend(window_fields());
    fields.extend([
        Field::new("key", DataType::Binary, true),
        Field::new("rows", DataType::Int64, true),
        Field::new("panes", DataType::Int64, true),
        Field::new("punctual", DataType::Boolean, true),
    ]);
    fields.extend(state_fields(aggregate.functions()));
    Arc::new(Schema::new(fields))
}

/// The columns of the log before the states.
struct Head<'a> {
    slots: &'a [u16],
    windows: Vec<Window>,
    /// Which of `windows` each row has.
    window_of: Vec<usize>,
    keys: &'a BinaryArray,
    rows: &'a Int64Array,
    panes: &'a Int64Array,
    punctual: &'a BooleanArray,
    states: &'a [ArrayRef],
}

/// What is put for some keys of a window.
struct Puts<'a> {
    head: &'a Head<'a>,
    keys: &'a HashedKeys,
    /// The first row that `keys` has.
    start: usize,
}

impl StateTable for WindowTable {
    fn name(&self) -> &'static str {
        "windows"
    }

    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn save(&mut self, extent: Extent) -> Result<Saved> {
        let whole = extent == Extent::Whole || self.notes.is_none();
        if whole {
            self.note()?;
        }
        let notes = self.notes.replace(Notes::default()).unwrap_or_default();
        let mut log = Vec::new();
        for (kind, windows) in [(FIRED, &notes.fired), (GONE, &notes.gone)] {
            let rows = windows.iter().flat_map(|w| w.slots.iter().map(|slot| (&w.window, slot, None)));
            self.say(kind, rows, &mut log)?;
        }
        let mut counts = Vec::new();
        for at in self.pools.places() {
            let pool = self.pools.get_mut(at)?;
            let groups = if whole { pool.live() } else { pool.take_touched() };
            for groups in groups.chunks(ROWS_MAX) {
                log.push(self.put_rows(at, groups)?);
            }
            self.counts(at, &groups, &mut counts)?;
        }
        self.say(ROWS, counts.iter().map(|(w, slot, rows)| (w, *slot, Some(*rows))), &mut log)?;
        Ok(Saved { extent: if whole { Extent::Whole } else { Extent::Changes }, log })
    }

    fn apply(&mut self, rows: &StateRows) -> Result<()> {
        if self.notes.is_none() {
            self.note()?;
        }
        let mut columns = Columns::of(&rows.rows);
        let kinds = columns.kinds()?;
        let head = Head::new(rows.slots.values(), &mut columns)?;
        let mut start = 0;
        for run in kinds.chunk_by(|a, b| a == b) {
            let range = start..start + run.len();
            start = range.end;
            match run.first() {
                Some(&PUT) => self.put(&head, range)?,
                Some(&ROWS) => range.into_iter().try_for_each(|row| self.count(&head, row))?,
                Some(&FIRED) => self.each_window(&head, range, WindowTable::part_fired)?,
                Some(&GONE) => self.each_window(&head, range, WindowTable::part_gone)?,
                _ => return Err(damaged("a row of an unknown kind")),
            }
        }
        Ok(())
    }
}

impl<'a> Head<'a> {
    fn new(slots: &'a [u16], columns: &mut Columns<'a>) -> Result<Self> {
        let read = crate::state::Windows::new(columns.take(3)?)?;
        let mut windows: Vec<Window> = Vec::new();
        let mut numbers = BTreeMap::<Window, usize>::new();
        let mut window_of = Vec::with_capacity(slots.len());
        for row in 0..slots.len() {
            let number = match window_of.last() {
                Some(last) if read.repeats(row) => *last,
                _ => {
                    let window = read.get(row)?;
                    *numbers.entry(window).or_insert_with_key(|w| {
                        windows.push(w.clone());
                        windows.len() - 1
                    })
                }
            };
            window_of.push(number);
        }
        let (keys, rows) = (columns.bytes()?, columns.ints()?);
        let (panes, punctual) = (columns.ints()?, columns.flags()?);
        Ok(Head { slots, windows, window_of, keys, rows, panes, punctual, states: columns.rest() })
    }

    fn window(&self, row: usize) -> Result<&Window> {
        let window = self.window_of.get(row).and_then(|w| self.windows.get(*w));
        window.ok_or_else(|| Error::internal("a row of a log without a window"))
    }

    fn slot(&self, row: usize) -> u16 {
        self.slots.get(row).copied().unwrap_or_default()
    }
}

/// Saving.
impl WindowTable {
    /// From now on changes are noted; nothing counts as saved.
    fn note(&mut self) -> Result<()> {
        let mut windows = BTreeMap::<usize, Vec<(u32, &Window, bool)>>::new();
        for (all, fired) in [(&self.open, false), (&self.fired, true)] {
            for ((_, window), state) in all {
                windows.entry(state.pool).or_default().push((state.member.number(), window, fired));
            }
        }
        self.pools.note();
        for (at, windows) in windows {
            self.pools.get_mut(at)?.note(windows.into_iter());
        }
        self.notes = Some(Notes::default());
        Ok(())
    }

    /// Rows that put these groups, which count as saved then.
    fn put_rows(&mut self, at: usize, groups: &[u32]) -> Result<StateRows> {
        let pool = self.pools.get_mut(at)?;
        let mut windows = WindowColumns::default();
        let (mut keys, mut slots) = (BinaryBuilder::new(), Vec::with_capacity(groups.len()));
        let (mut panes, mut punctual) = (Int64Builder::new(), BooleanBuilder::new());
        for group in groups {
            let key = pool.groups.key(*group);
            let slot = slot_of(key);
            keys.append_value(key);
            slots.push(slot);
            let had = pool.panes.get(*group as usize).copied().unwrap_or_default();
            let number = pool.groups.window_of(*group);
            let logged =
                pool.logged_mut(number).ok_or_else(|| Error::internal("a group without a window"))?;
            windows.push(&logged.window)?;
            logged.slots.insert(slot);
            panes.append_option(logged.fired.then(|| i64::from(had.count)));
            punctual.append_option(logged.fired.then_some(had.punctual));
        }
        let mut columns: Vec<ArrayRef> = vec![Arc::new(UInt8Array::from(vec![PUT; groups.len()]))];
        columns.extend(windows.finish());
        columns.push(Arc::new(keys.finish()));
        columns.push(Arc::new(Int64Array::new_null(groups.len())));
        columns.push(Arc::new(panes.finish()));
        columns.push(Arc::new(punctual.finish()));
        columns.extend(states(pool.groups.accumulators(), groups)?);
        StateRows::new(slots, RecordBatch::try_new(self.schema.clone(), columns)?)
    }

    /// The waiting rows of the windows of these groups, where they are not what was saved.
    fn counts(&mut self, at: usize, groups: &[u32], into: &mut Vec<(Window, u16, u64)>) -> Result<()> {
        let pool = self.pools.get_mut(at)?;
        let numbers: BTreeSet<u32> = groups.iter().map(|g| pool.groups.window_of(*g)).collect();
        for number in numbers {
            let Some(window) = pool.logged(number).filter(|l| !l.fired).map(|l| l.window.clone()) else {
                continue;
            };
            let Some(state) = self.open.get(&(window.end(), window.clone())) else { continue };
            let slot = slot_of(pool.groups.key(state.member.first()));
            let Some(logged) = pool.logged_mut(number) else { continue };
            if logged.counted.iter().map(|(_, rows)| rows).sum::<u64>() == state.rows {
                continue;
            }
            let elsewhere = logged.counted.iter().filter(|(other, _)| *other != slot);
            into.extend(elsewhere.map(|(other, _)| (window.clone(), *other, 0)));
            into.push((window, slot, state.rows));
            logged.counted = vec![(slot, state.rows)];
        }
        Ok(())
    }

    /// Rows that say something of windows.
    fn say<'a>(
        &self,
        kind: u8,
        all: impl Iterator<Item = (&'a Window, u16, Option<u64>)>,
        log: &mut Vec<StateRows>,
    ) -> Result<()> {
        let mut windows = WindowColumns::default();
        let (mut slots, mut rows) = (Vec::new(), Int64Builder::new());
        for (window, slot, n) in all {
            windows.push(window)?;
            slots.push(slot);
            rows.append_option(n.map(|n| n as i64));
        }
        let n = slots.len();
        if n == 0 {
            return Ok(());
        }
        let mut columns: Vec<ArrayRef> = vec![Arc::new(UInt8Array::from(vec![kind; n]))];
        columns.extend(windows.finish());
        columns.push(Arc::new(BinaryArray::new_null(n)));
        columns.push(Arc::new(rows.finish()));
        columns.push(Arc::new(Int64Array::new_null(n)));
        columns.push(Arc::new(BooleanArray::new_null(n)));
        columns.extend(nulls(&state_fields(self.aggregate.functions()), n));
        log.push(StateRows::new(slots, RecordBatch::try_new(self.schema.clone(), columns)?)?);
        Ok(())
    }
}

/// Restoring.
impl WindowTable {
    fn put(&mut self, head: &Head<'_>, range: std::ops::Range<usize>) -> Result<()> {
        let keys = range.clone().map(|row| if head.keys.is_valid(row) { head.keys.value(row) } else { &[] });
        // Decoding finds out whether they are keys of these types at all.
        let columns = self.aggregate.codec.decode(keys)?;
        let keys = self.hashed(&columns, range.len())?;
        let puts = Puts { head, keys: &keys, start: range.start };
        let mut by_window = BTreeMap::<(bool, usize), Vec<usize>>::new();
        for row in range {
            let window = head.window_of.get(row).copied().unwrap_or_default();
            by_window.entry((head.panes.is_valid(row), window)).or_default().push(row);
        }
        for ((fired, window), rows) in by_window {
            let Some(window) = head.windows.get(window) else { continue };
            self.put_in(window, fired, &puts, rows)?;
        }
        Ok(())
    }

    fn put_in(&mut self, window: &Window, fired: bool, puts: &Puts<'_>, mut rows: Vec<usize>) -> Result<()> {
        if fired {
            self.late(window)?;
        }
        let windows = if fired { &mut self.fired } else { &mut self.open };
        let State { pool, member, .. } = state_of(windows, window, &mut self.pools, &self.aggregate)?;
        let pool = self.pools.get_mut(*pool)?;
        let mut groups = Vec::with_capacity(rows.len());
        let places = rows.iter().map(|row| row - puts.start);
        pool.groups.intern(member, puts.keys, places, &mut groups);
        pool.groups.grow();
        for (group, row) in groups.iter().zip(&rows) {
            let slot = puts.head.slot(*row);
            if slot_of(pool.groups.key(*group)) != slot {
                return Err(damaged(format!("a key in slot {slot}, where it does not belong")));
            }
        }
        // Of a group that was put twice the later row counts.
        let mut seen = HashSet::with_capacity(groups.len());
        let latest: Vec<bool> = groups.iter().rev().map(|g| seen.insert(*g)).collect();
        let mut latest = latest.into_iter().rev();
        rows.retain(|_| latest.next() == Some(true));
        if rows.len() < groups.len() {
            groups.clear();
            let places = rows.iter().map(|row| row - puts.start);
            pool.groups.intern(member, puts.keys, places, &mut groups);
        }
        pool.groups.clear(&groups);
        if fired {
            pool.panes.resize(pool.groups.len(), PaneCount::default());
        }
        for (group, row) in groups.iter().zip(&rows) {
            if let Some(logged) = pool.logged_mut(member.number()) {
                logged.slots.insert(puts.head.slot(*row));
            }
            if let (true, Some(panes)) = (fired, pool.panes.get_mut(*group as usize)) {
                let count = u32::try_from(puts.head.panes.value(*row));
                let count = count.map_err(|_| damaged("a number of panes that cannot be"))?;
                let punctual = puts.head.punctual.is_valid(*row) && puts.head.punctual.value(*row);
                *panes = PaneCount { count, punctual };
            }
        }
        let rows: Vec<u32> = rows.iter().map(|row| *row as u32).collect();
        let functions = self.aggregate.functions();
        merge_states(pool.groups.accumulators_mut(), functions, &groups, puts.head.states, &rows)
    }

    fn count(&mut self, head: &Head<'_>, row: usize) -> Result<()> {
        let (window, slot) = (head.window(row)?, head.slot(row));
        let rows = u64::try_from(if head.rows.is_valid(row) { head.rows.value(row) } else { -1 });
        let rows = rows.map_err(|_| damaged("a number of rows that cannot be"))?;
        let Some(state) = self.open.get_mut(&(window.end(), window.clone())) else {
            return Err(damaged(format!("{rows} rows of a window without keys: {window:?}")));
        };
        if let Some(logged) = self.pools.get_mut(state.pool)?.logged_mut(state.member.number()) {
            logged.counted.retain(|(other, _)| *other != slot);
            if rows > 0 {
                logged.counted.push((slot, rows));
            }
            state.rows = logged.counted.iter().fold(0, |sum: u64, (_, rows)| sum.saturating_add(*rows));
        }
        Ok(())
    }

    /// Calls `done` with each window of these rows and the slots they are in.
    fn each_window(
        &mut self,
        head: &Head<'_>,
        range: std::ops::Range<usize>,
        done: fn(&mut Self, &Window, &SlotSet) -> Result<()>,
    ) -> Result<()> {
        let mut slots = BTreeMap::<usize, SlotSet>::new();
        for row in range {
            let window = head.window_of.get(row).copied().unwrap_or_default();
            slots.entry(window).or_default().insert(head.slot(row));
        }
        for (window, slots) in slots {
            if let Some(window) = head.windows.get(window) {
                done(self, window, &slots)?;
            }
        }
        Ok(())
    }

    /// The keys of a window in these slots have had their pane on time.
    fn part_fired(&mut self, window: &Window, slots: &SlotSet) -> Result<()> {
        let Some((state, others)) = self.take(false, window, slots)? else {
            return Err(damaged(format!("a window that went out without keys: {window:?}")));
        };
        self.count_first_panes(&state)?;
        if let Some(logged) = self.pools.get_mut(state.pool)?.logged_mut(state.member.number()) {
            logged.fired = true;
            logged.counted.clear();
        }
        let state = State { rows: 0, ..state };
        let here = (window.end(), window.clone());
        match self.fired.contains_key(&here) {
            false => drop(self.fired.insert(here, state)),
            // Keys of other lanes are here already.
            true => {
                let moved = self.put_rows_of(&state, |_| true)?;
                self.pools.close(state.pool, &state.member)?;
                moved.iter().try_for_each(|rows| self.apply(rows))?;
            }
        }
        others.iter().try_for_each(|rows| self.apply(rows))
    }

    /// The keys of a window in these slots are gone.
    fn part_gone(&mut self, window: &Window, slots: &SlotSet) -> Result<()> {
        let mut found = false;
        for fired in [false, true] {
            let Some((state, others)) = self.take(fired, window, slots)? else { continue };
            found = true;
            self.pools.close(state.pool, &state.member)?;
            others.iter().try_for_each(|rows| self.apply(rows))?;
        }
        if found { Ok(()) } else { Err(damaged(format!("the end of a window without keys: {window:?}"))) }
    }

    /// Takes out what a window has in these slots; what it has in others comes as a log.
    fn take(
        &mut self,
        fired: bool,
        window: &Window,
        slots: &SlotSet,
    ) -> Result<Option<(State, Vec<StateRows>)>> {
        fn of(table: &mut WindowTable, fired: bool) -> &mut Windows {
            if fired { &mut table.fired } else { &mut table.open }
        }
        let here = (window.end(), window.clone());
        let Some(state) = of(self, fired).get(&here) else { return Ok(None) };
        let (at, number) = (state.pool, state.member.number());
        let Some(logged) = self.pools.get(at)?.logged(number).cloned() else { return Ok(None) };
        if !logged.slots.iter().any(|slot| slots.contains(slot)) {
            return Ok(None);
        }
        let Some(state) = of(self, fired).remove(&here) else { return Ok(None) };
        if logged.slots.within(slots) {
            return Ok(Some((state, Vec::new())));
        }
        // Another lane's keys are not where this one's are: rare, so it may cost as much as reading them again.
        let theirs = self.put_rows_of(&state, |slot| slots.contains(slot))?;
        let mut others = self.put_rows_of(&state, |slot| !slots.contains(slot))?;
        let kept = logged.counted.iter().filter(|(slot, _)| !slots.contains(*slot));
        self.say(ROWS, kept.map(|(slot, rows)| (window, *slot, Some(*rows))), &mut others)?;
        self.pools.close(at, &state.member)?;
        theirs.iter().try_for_each(|rows| self.apply(rows))?;
        let state = of(self, fired).remove(&here);
        Ok(Some((state.ok_or_else(|| Error::internal("a window was lost"))?, others)))
    }

    /// Rows that put the keys of a window that are in some slots.
    fn put_rows_of(&mut self, state: &State, of: impl Fn(u16) -> bool) -> Result<Vec<StateRows>> {
        let groups = &self.pools.get(state.pool)?.groups;
        let mut all = groups.all(&state.member);
        all.retain(|g| of(slot_of(groups.key(*g))));
        all.chunks(ROWS_MAX).map(|groups| self.put_rows(state.pool, groups)).collect()
    }

    /// All is restored: says so to the context.
    pub(in super::super) fn restored(&mut self, cx: &mut OpCx) -> Result<()> {
        let forgets = self.aggregate.forgets();
        for state in self.open.values_mut() {
            cx.fates.in_state = cx.fates.in_state.saturating_add(state.rows);
            state.keeps(cx);
        }
        for ((end, window), state) in &mut self.fired {
            if !forgets {
                state.keeps(cx);
            }
            self.ahead |= *end > cx.watermark;
            if self.open.contains_key(&(*end, window.clone())) {
                let text = format!("some keys of a window went out and others did not: {window:?}");
                return Err(damaged(text));
            }
        }
        Ok(())
    }
}
