//! The joins of one window, row by row: each step pulls rows from the one before it.
//!
//! A row on the way is a number for each input joined so far. Numbers are made in chunks, so that what is in
//! memory at a time is the rows of the window and a few chunks, however many rows the join gives.

use super::plan::Step;
use super::side::{KeyIndex, Keys, Side};
use arrow_array::ArrayRef;
use purlin_api::key::KeyCodec;
use purlin_api::{Error, Result};

/// In place of a row's number: no row.
pub(super) const NONE: u32 = u32::MAX;

/// Some rows on the way: a list of row numbers for each input joined so far, in the order of the steps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Chunk {
    pub(super) ids: Vec<Vec<u32>>,
}

impl Chunk {
    fn of(width: usize) -> Self {
        Chunk { ids: vec![Vec::new(); width] }
    }

    pub(super) fn len(&self) -> usize {
        self.ids.first().map_or(0, Vec::len)
    }

    /// Adds a row of `left` (or none at all) with a row of the next input.
    fn push(&mut self, left: Option<(&Chunk, usize)>, right: u32) {
        let Some((last, before)) = self.ids.split_last_mut() else { return };
        for (i, ids) in before.iter_mut().enumerate() {
            let id = left.and_then(|(chunk, row)| chunk.ids.get(i).and_then(|l| l.get(row)));
            ids.push(id.copied().unwrap_or(NONE));
        }
        last.push(right);
    }
}

/// The joins of one window.
#[derive(Debug)]
pub(super) struct Pipeline {
    /// By input.
    pub(super) sides: Vec<Side>,
    /// The input whose rows come first, and how many of them did.
    first: usize,
    scanned: u32,
    probes: Vec<Probe>,
}

impl Pipeline {
    /// `sides` by input.
    pub(super) fn new(sides: Vec<Side>, first: usize, steps: &[(Step, KeyCodec)]) -> Result<Self> {
        let mut order = vec![first];
        let mut probes = Vec::with_capacity(steps.len());
        for (step, codec) in steps {
            probes.push(Probe::new(&sides, step, codec, &order)?);
            order.push(step.input);
        }
        Ok(Pipeline { sides, first, scanned: 0, probes })
    }

    /// The next rows, at most `rows_max` (and at least one, unless all have been given).
    pub(super) fn next(&mut self, rows_max: usize) -> Result<Option<Chunk>> {
        let scan = Scan { rows: self.sides.get(self.first).map_or(0, Side::len), at: &mut self.scanned };
        pull(&self.sides, scan, &mut self.probes, rows_max.max(1))
    }
}

/// The rows of the first input.
struct Scan<'a> {
    rows: usize,
    at: &'a mut u32,
}

/// Pulls from the last of these probes, or from the first input.
fn pull(sides: &[Side], scan: Scan<'_>, probes: &mut [Probe], rows_max: usize) -> Result<Option<Chunk>> {
    let Some((probe, before)) = probes.split_last_mut() else {
        let start = *scan.at;
        let rows = (scan.rows - (start as usize).min(scan.rows)).min(rows_max) as u32;
        *scan.at = start + rows;
        return Ok((rows > 0).then(|| Chunk { ids: vec![(start..start + rows).collect()] }));
    };
    probe.next(sides, scan, before, rows_max)
}

/// One step: rows on the way, each with its partners in one more input.
#[derive(Debug)]
struct Probe {
    step: Step,
    codec: KeyCodec,
    /// For each equality of the step, which of the lists of a chunk its left side is in.
    places: Vec<usize>,
    width: usize,
    index: KeyIndex,
    /// The rows being looked up, their keys, which of them is next, and its next candidate.
    left: Chunk,
    keys: Keys,
    row: usize,
    candidate: u32,
    found: bool,
    left_done: bool,
    /// Which rows of the right side found a partner; kept only if the others are wanted.
    matched: Vec<bool>,
    /// How far the rows of the right side without a partner have been given.
    alone: usize,
}

impl Probe {
    fn new(sides: &[Side], step: &Step, codec: &KeyCodec, order: &[usize]) -> Result<Self> {
        let missing = || Error::internal("a join with an input that does not exist");
        let side = sides.get(step.input).ok_or_else(missing)?;
        let columns: Vec<usize> = step.on.iter().map(|o| o.right_column).collect();
        let place = |input: usize| order.iter().position(|i| *i == input).ok_or_else(missing);
        Ok(Probe {
            codec: codec.clone(),
            places: step.on.iter().map(|o| place(o.left.input)).collect::<Result<_>>()?,
            width: order.len() + 1,
            index: KeyIndex::new(side, codec, &columns)?,
            left: Chunk::default(),
            keys: Keys::default(),
            row: 0,
            candidate: NONE,
            found: false,
            left_done: false,
            matched: if step.keep.right { vec![false; side.len()] } else { Vec::new() },
            alone: 0,
            step: step.clone(),
        })
    }

    fn next(
        &mut self,
        sides: &[Side],
        scan: Scan<'_>,
        before: &mut [Probe],
        rows_max: usize,
    ) -> Result<Option<Chunk>> {
        let side = sides.get(self.step.input).ok_or_else(|| Error::internal("a join without an input"))?;
        let mut out = Chunk::of(self.width);
        while out.len() < rows_max {
            if self.row < self.left.len() {
                self.look_up(side, &mut out, rows_max);
            } else if !self.left_done {
                let scan = Scan { rows: scan.rows, at: &mut *scan.at };
                match pull(sides, scan, before, rows_max)? {
                    Some(chunk) => self.load(sides, chunk)?,
                    None => self.left_done = true,
                }
            } else {
                self.give_alone(&mut out, rows_max);
                break;
            }
        }
        Ok((out.len() > 0).then_some(out))
    }

    /// Takes rows to look up.
    fn load(&mut self, sides: &[Side], chunk: Chunk) -> Result<()> {
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(self.step.on.len());
        for (on, place) in self.step.on.iter().zip(&self.places) {
            let (Some(side), Some(ids)) = (sides.get(on.left.input), chunk.ids.get(*place)) else {
                return Err(Error::internal("a join on an input that is not joined yet"));
            };
            columns.push(side.column(on.left.column, &side.picks(ids))?);
        }
        self.keys = Keys::new(&self.codec, &columns, chunk.len())?;
        self.left = chunk;
        self.begin(0);
        Ok(())
    }

    fn begin(&mut self, row: usize) {
        self.row = row;
        self.found = false;
        self.candidate = if row < self.left.len() { self.index.head(&self.keys, row) } else { NONE };
    }

    /// Gives the partners of the rows that were taken, as many as there is room for.
    fn look_up(&mut self, side: &Side, out: &mut Chunk, rows_max: usize) {
        while self.row < self.left.len() && out.len() < rows_max {
            if self.candidate == NONE {
                if self.step.keep.left && !self.found {
                    out.push(Some((&self.left, self.row)), NONE);
                }
                self.begin(self.row + 1);
                continue;
            }
            let candidate = self.candidate;
            self.candidate = self.index.after(candidate);
            if self.index.equal(side, candidate, &self.keys, self.row) {
                self.found = true;
                out.push(Some((&self.left, self.row)), candidate);
                if let Some(m) = self.matched.get_mut(candidate as usize) {
                    *m = true;
                }
            }
        }
    }

    /// Gives the rows of the right side that nothing was equal to, if they are wanted.
    fn give_alone(&mut self, out: &mut Chunk, rows_max: usize) {
        while out.len() < rows_max
            && let Some(matched) = self.matched.get(self.alone)
        {
            if !*matched {
                out.push(None, self.alone as u32);
            }
            self.alone += 1;
        }
    }
}
