//! Rows that wait for the end of their session.
//!
//! A session belongs to a key: rows of all inputs with this key whose times follow each other by less than the gap.
//! A row with a null in its key equals no other and so is a session of its own. Sessions that have ended are joined
//! many at a time: the number of its session, in a column of its own, then stands for the key of a row.

use super::closing::{Closing, RowWindows, Then};
use super::operator::{Layout, SideLayout, no_port};
use super::plan::{self, On, Step};
use super::side::{Keys, Side};
use super::windows::stores;
use arrow_array::{ArrayRef, Int64Array, RecordBatch, UInt32Array};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use purlin_api::key::KeyCodec;
use purlin_api::state::{InWindow, KeptRows, Place};
use purlin_api::{Batch, Error, EventTime, Kept, OpCx, Pane, Port, Result, StateTable, Window, take_rows};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// About how many rows are joined at a time.
const GROUP_ROWS: usize = 1 << 16;
/// Batches are written anew when they hold this many rows that are gone, and more of them than rows that wait.
const GONE_ROWS_MAX: usize = 1 << 16;

/// What sessions are made by.
#[derive(Debug)]
pub(super) struct SessionLayout {
    /// By input: the columns of the key, as they are kept.
    pub(super) keys: Vec<Vec<usize>>,
    pub(super) codec: KeyCodec,
    /// By input: what is kept, with the number of the session behind it.
    schemas: Vec<SchemaRef>,
    /// The steps, comparing that number.
    steps: Vec<(Step, KeyCodec)>,
}

impl SessionLayout {
    pub(super) fn new(
        keys: Vec<Vec<usize>>,
        types: &[DataType],
        kept: &[SchemaRef],
        steps: &[(Step, KeyCodec)],
    ) -> Result<Self> {
        let number = Arc::new(Field::new("session", DataType::Int64, false));
        let schemas = kept.iter().map(|schema| {
            let fields = schema.fields().iter().cloned().chain([Arc::clone(&number)]);
            Arc::new(Schema::new(fields.collect::<Vec<_>>()))
        });
        let last = |input: usize| kept.get(input).map_or(0, |s| s.fields().len());
        let steps = steps.iter().map(|(step, _)| {
            let on = step.on.iter().map(|on| On {
                left: plan::Place { input: on.left.input, column: last(on.left.input) },
                right_column: last(step.input),
                key: DataType::Int64,
                cast: false,
            });
            let on: Vec<On> = on.collect();
            let types = vec![DataType::Int64; on.len()];
            Ok((Step { on, ..step.clone() }, KeyCodec::new(&types)?))
        });
        Ok(SessionLayout {
            codec: KeyCodec::new(types)?,
            schemas: schemas.collect(),
            steps: steps.collect::<Result<_>>()?,
            keys,
        })
    }
}

impl SessionLayout {
    /// The keys of rows of an input.
    fn keys(&self, port: Port, rows: &RecordBatch) -> Result<Keys> {
        let columns = self.keys.get(port).ok_or_else(|| no_port(port))?;
        let columns: Option<Vec<ArrayRef>> =
            columns.iter().map(|c| rows.columns().get(*c).cloned()).collect();
        let columns = columns.ok_or_else(|| Error::internal("a join on a missing column"))?;
        Keys::new(&self.codec, &columns, rows.num_rows())
    }
}

/// A session that is not over.
#[derive(Debug)]
struct Session {
    /// None: of a row that equals nothing.
    key: Option<Arc<[u8]>>,
    start: EventTime,
    end: EventTime,
    /// By input.
    rows: Vec<Vec<Place>>,
    /// The epoch of its first row.
    since: u64,
}

#[derive(Debug)]
pub(super) struct Sessions {
    /// By input.
    stores: Vec<KeptRows>,
    /// By number, which rises with their age.
    sessions: BTreeMap<u64, Session>,
    next: u64,
    /// The sessions of each key, by start. They do not overlap.
    by_key: HashMap<Arc<[u8]>, BTreeMap<EventTime, u64>>,
    by_end: BTreeSet<(EventTime, u64)>,
    kept: Kept,
    /// The entry in the context: the oldest of `kept`.
    since: Option<u64>,
}

impl Sessions {
    pub(super) fn new(sides: &[SideLayout]) -> Self {
        Sessions {
            stores: stores("sessions", sides),
            sessions: BTreeMap::new(),
            next: 0,
            by_key: HashMap::new(),
            by_end: BTreeSet::new(),
            kept: Kept::default(),
            since: None,
        }
    }

    pub(super) fn tables(&mut self) -> Vec<&mut dyn StateTable> {
        self.stores.iter_mut().map(|table| table as &mut dyn StateTable).collect()
    }

    /// Takes the rows of a batch, of which `rows` are the columns that are kept. A row is late when the window that
    /// it alone would have is over.
    pub(super) fn keep(
        &mut self,
        layout: &SessionLayout,
        port: Port,
        batch: &Batch,
        rows: RecordBatch,
        cx: &mut OpCx,
    ) -> Result<()> {
        let in_time = |row: usize| batch.windows.get(row).end() > cx.watermark;
        let kept: Vec<u32> = (0..rows.num_rows()).filter(|row| in_time(*row)).map(|row| row as u32).collect();
        cx.fates.late += (rows.num_rows() - kept.len()) as u64;
        cx.fates.in_state += kept.len() as u64;
        if kept.is_empty() {
            return Ok(());
        }
        let spans: Vec<(EventTime, EventTime)> = kept
            .iter()
            .map(|row| {
                let window = batch.windows.get(*row as usize);
                (window.start(), window.end())
            })
            .collect();
        let rows = match kept.len() == rows.num_rows() {
            true => rows,
            false => take_rows(&rows, &UInt32Array::from(kept))?,
        };
        let keys = layout.keys(port, &rows)?;
        let store = self.stores.get_mut(port).ok_or_else(|| no_port(port))?;
        let part = store.add(rows, InWindow::Each(spans.clone()));
        for (row, span) in spans.into_iter().enumerate() {
            self.place(port, (part, row), keys.get(row), span, (cx.epoch, cx.watermark));
        }
        self.tell_kept(cx);
        Ok(())
    }

    /// Makes the sessions again of the rows that were restored.
    pub(super) fn restored(&mut self, layout: &SessionLayout, cx: &mut OpCx) -> Result<()> {
        for port in 0..self.stores.len() {
            let store = self.stores.get_mut(port).ok_or_else(|| no_port(port))?;
            store.restored()?;
            cx.fates.in_state += store.len() as u64;
            let mut all = Vec::new();
            for (part, rows, windows) in store.parts() {
                let spans = (0..rows.num_rows()).map(|row| windows.get(row));
                let spans: Vec<_> = spans.map(|w| (w.start(), w.end())).collect();
                all.push((part, layout.keys(port, rows)?, spans));
            }
            for (part, keys, spans) in all {
                for (row, span) in spans.into_iter().enumerate() {
                    // No session of these rows is over, though the watermark may have passed a row's own end.
                    self.place(port, (part, row), keys.get(row), span, (cx.epoch, EventTime::MIN));
                }
            }
        }
        self.tell_kept(cx);
        Ok(())
    }

    /// Puts a row into the session that it falls into, makes or merges sessions that the watermark has not passed.
    fn place(
        &mut self,
        port: Port,
        at: Place,
        key: Option<&[u8]>,
        (start, end): (EventTime, EventTime),
        (epoch, watermark): (u64, EventTime),
    ) {
        let rows = vec![Vec::new(); self.stores.len()];
        let mut session = Session { key: None, start, end, rows, since: epoch };
        if let Some(rows) = session.rows.get_mut(port) {
            rows.push(at);
        }
        if let Some(key) = key {
            let met = self.overlapping(key, start, end, watermark);
            for number in met {
                if let Some(other) = self.remove(number) {
                    session.absorb(other);
                }
            }
            session.key = Some(match self.by_key.get_key_value(key) {
                Some((key, _)) => Arc::clone(key),
                None => Arc::from(key),
            });
        }
        let number = self.next;
        self.next += 1;
        if let Some(key) = &session.key {
            self.by_key.entry(Arc::clone(key)).or_default().insert(session.start, number);
        }
        self.by_end.insert((session.end, number));
        self.kept.add(session.since);
        self.sessions.insert(number, session);
    }

    /// The sessions of a key that have an instant in common with `[start, end)`, but for those that are over.
    fn overlapping(&self, key: &[u8], start: EventTime, end: EventTime, watermark: EventTime) -> Vec<u64> {
        let Some(sessions) = self.by_key.get(key) else { return Vec::new() };
        let mut met = Vec::new();
        for (_, number) in sessions.range(..end).rev() {
            let Some(session) = self.sessions.get(number) else { continue };
            if session.end <= start {
                break;
            }
            if session.end > watermark {
                met.push(*number);
            }
        }
        met
    }

    fn remove(&mut self, number: u64) -> Option<Session> {
        let session = self.sessions.remove(&number)?;
        self.kept.change(Some(session.since), None);
        self.by_end.remove(&(session.end, number));
        if let Some(key) = &session.key
            && let Some(sessions) = self.by_key.get_mut(key)
        {
            sessions.remove(&session.start);
            if sessions.is_empty() {
                self.by_key.remove(key);
            }
        }
        Some(session)
    }

    /// Brings the entry in the context up to date.
    fn tell_kept(&mut self, cx: &mut OpCx) {
        let since = self.kept.oldest();
        cx.kept.change(std::mem::replace(&mut self.since, since), since);
    }

    /// Some sessions that the watermark has passed.
    pub(super) fn next(
        &mut self,
        layout: &Layout,
        sessions: &SessionLayout,
        cx: &mut OpCx,
    ) -> Result<Option<Closing>> {
        let inputs = self.stores.len();
        let (mut windows, mut places, mut numbers) =
            (Vec::new(), vec![Vec::new(); inputs], vec![Vec::new(); inputs]);
        let mut rows = 0;
        while rows < GROUP_ROWS {
            let Some((_, number)) = self.by_end.first().copied().filter(|(end, _)| *end <= cx.watermark)
            else {
                break;
            };
            let Some(session) = self.remove(number) else { continue };
            let session_number = windows.len() as u32;
            windows.push(Window::Interval { start: session.start, end: session.end });
            for ((rows_of, places), numbers) in session.rows.into_iter().zip(&mut places).zip(&mut numbers) {
                rows += rows_of.len();
                numbers.extend(std::iter::repeat_n(session_number, rows_of.len()));
                places.extend(rows_of);
            }
        }
        if windows.is_empty() {
            return Ok(None);
        }
        let mut sides = Vec::with_capacity(inputs);
        for (input, (places, numbers)) in places.iter().zip(&numbers).enumerate() {
            let schema = sessions.schemas.get(input).ok_or_else(|| no_port(input))?;
            sides.push(Side::new(schema, self.take(input, places, numbers, schema)?)?);
        }
        self.tidy()?;
        self.tell_kept(cx);
        let windows = RowWindows::Each(windows, numbers);
        Closing::new(layout, &sessions.steps, sides, windows, Pane::ONLY, Then::Settle).map(Some)
    }

    /// Rows of an input, with the numbers of their sessions.
    fn take(
        &mut self,
        input: usize,
        places: &[Place],
        numbers: &[u32],
        schema: &SchemaRef,
    ) -> Result<Vec<RecordBatch>> {
        let store = self.stores.get_mut(input).ok_or_else(|| no_port(input))?;
        if places.is_empty() {
            return Ok(Vec::new());
        }
        let mut columns = store.pick(places)?.columns().to_vec();
        columns.push(Arc::new(Int64Array::from_iter_values(numbers.iter().map(|n| i64::from(*n)))));
        store.remove(places)?;
        Ok(vec![RecordBatch::try_new(Arc::clone(schema), columns)?])
    }

    /// Gives back the memory of rows that are gone.
    fn tidy(&mut self) -> Result<()> {
        for input in 0..self.stores.len() {
            let Some(store) = self.stores.get_mut(input) else { continue };
            if store.held() - store.len() > GONE_ROWS_MAX.max(store.len()) {
                let mut all: Vec<&mut Place> =
                    self.sessions.values_mut().filter_map(|s| s.rows.get_mut(input)).flatten().collect();
                let places: Vec<Place> = all.iter().map(|at| **at).collect();
                let now = store.compact(&places)?;
                all.iter_mut().zip(now).for_each(|(at, now)| **at = now);
            }
        }
        Ok(())
    }
}

impl Session {
    /// Takes over the rows of another session of the same key.
    fn absorb(&mut self, other: Session) {
        self.since = self.since.min(other.since);
        self.start = self.start.min(other.start);
        self.end = self.end.max(other.end);
        for (own, mut theirs) in self.rows.iter_mut().zip(other.rows) {
            // The older rows first, and the longer list is not copied.
            theirs.append(own);
            *own = theirs;
        }
    }
}
