//! Queries that need whole windows: rows wait for the end of their window, then the query runs over all of them.

use crate::common::described;
use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions, UInt32Array, new_null_array};
use arrow_schema::{DataType, Schema, SchemaRef};
use arrow_select::interleave::interleave;
use purlin_api::key::{KeyCodec, encodes};
use purlin_api::shape::physical;
use purlin_api::state::{InWindow, KeptRows, PartId, RowSlots, numbered};
use purlin_api::{
    Batch, BuildCx, Dict, Distribution, Error, EventTime, InputShape, More, OpCx, Operator, Output, Pane,
    PlanNode, Port, Result, Running, Shape, StateShape, StateTable, Times, Window, take_rows,
};
use purlin_sql::Query;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// How many rows the batches have that a query is given.
const BLOCK_ROWS: usize = 8192;

#[derive(Debug)]
pub(super) struct WindowsNode {
    outputs: Vec<Output>,
    sides: Arc<[Side]>,
    query: Arc<Query>,
    distribution: Distribution,
}

/// What is kept of an input.
#[derive(Debug)]
struct Side {
    /// All its columns.
    schema: SchemaRef,
    /// Those that the query reads or rows are spread by, rising; none if the query does not read the input at all.
    kept: Option<Vec<usize>>,
    /// The schema of these.
    stored: SchemaRef,
    tag: String,
}

impl WindowsNode {
    pub(super) fn new(
        output: Output,
        inputs: &[InputShape],
        query: Query,
        distribution: Distribution,
    ) -> Self {
        let keys = match &distribution {
            Distribution::Keyed(keys) => keys.as_slice(),
            _ => &[],
        };
        let sides = inputs.iter().enumerate().map(|(i, input)| {
            let schema = physical(&input.shape.schema);
            let width = schema.fields().len();
            let is_kept = |c: &usize, reads: &[bool]| reads.get(*c) == Some(&true) || keys.contains(c);
            let kept: Option<Vec<usize>> =
                query.reads(i).map(|reads| (0..width).filter(|c| is_kept(c, reads)).collect());
            let fields = kept.iter().flatten().filter_map(|c| schema.fields().get(*c).cloned());
            let stored = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
            Side { schema, kept, stored, tag: input.tag.clone() }
        });
        WindowsNode { outputs: vec![output], sides: sides.collect(), query: Arc::new(query), distribution }
    }
}

impl PlanNode for WindowsNode {
    fn outputs(&self) -> &[Output] {
        &self.outputs
    }

    fn explain(&self) -> String {
        format!("sql, window by window: {}", self.query.text())
    }

    fn distribution(&self, _: usize) -> Distribution {
        self.distribution.clone()
    }

    fn columns_needed(&self, _: &[Vec<bool>], _: &[Shape]) -> Vec<Vec<bool>> {
        let of = |side: &Side| {
            let width = side.schema.fields().len();
            (0..width).map(|c| side.kept.as_ref().is_some_and(|k| k.contains(&c))).collect::<Vec<bool>>()
        };
        let mut needed: Vec<Vec<bool>> = self.sides.iter().map(of).collect();
        // Rows are spread by their keys even where the query does not read these.
        if let Distribution::Keyed(keys) = &self.distribution {
            for columns in &mut needed {
                keys.iter().for_each(|k| crate::common::need(columns, *k));
            }
        }
        needed
    }

    fn state(&self) -> Option<StateShape> {
        let side = |s: &Side| format!("{} ({})", s.tag, described(s.stored.fields()));
        let sides = self.sides.iter().map(side).collect::<Vec<_>>().join(", ");
        let windows = self.outputs.first()?.shape.windowing.window_fn.describe();
        let spread = match &self.distribution {
            Distribution::Keyed(columns) => format!(" by columns {columns:?}"),
            _ => String::new(),
        };
        let query = self.query.text();
        Some(StateShape::new(format!("rows of {sides} that wait{spread}; windows {windows}; query {query}")))
    }

    fn build(&self, cx: &BuildCx) -> Result<Running> {
        let stores = self.sides.iter().enumerate().map(|(input, side)| {
            let place = |c: &usize| side.kept.as_ref().and_then(|kept| kept.binary_search(c).ok());
            let spread = match (&self.distribution, &side.kept) {
                (Distribution::Keyed(keys), Some(_)) => {
                    let places: Option<Vec<usize>> = keys.iter().map(place).collect();
                    Distribution::Keyed(places.ok_or_else(|| Error::internal("a key is not kept"))?)
                }
                _ => Distribution::Single,
            };
            let slots = RowSlots::new(&spread, &side.stored, cx)?;
            Ok(KeptRows::new(numbered("waiting", input), side.stored.clone(), slots))
        });
        let stores = stores.collect::<Result<_>>()?;
        let schema = self.outputs.first().map(|o| physical(&o.shape.schema));
        Ok(Running::Operator(Box::new(WindowsOperator {
            sides: self.sides.clone(),
            query: self.query.clone(),
            schema: schema.ok_or_else(|| Error::internal("a query without an output"))?,
            label: cx.label.clone(),
            stores,
            open: BTreeMap::new(),
            ready: VecDeque::new(),
        })))
    }
}

/// The rows of a window that is not over, by input.
#[derive(Debug)]
struct Waiting {
    parts: Vec<Vec<PartId>>,
    rows: u64,
    /// The epoch of the first row.
    since: u64,
}

#[derive(Debug)]
struct WindowsOperator {
    sides: Arc<[Side]>,
    query: Arc<Query>,
    schema: SchemaRef,
    label: String,
    /// By input: the rows that wait.
    stores: Vec<KeptRows>,
    /// By end, so that windows are found in the order of time.
    open: BTreeMap<(EventTime, Window), Waiting>,
    /// Results that are not given yet: none between two calls.
    ready: VecDeque<(Window, RecordBatch)>,
}

impl WindowsOperator {
    /// Keeps some rows of an input in one window, or counts them late.
    fn keep(&mut self, port: Port, window: &Window, rows: RecordBatch, cx: &mut OpCx) -> Result<()> {
        let count = rows.num_rows() as u64;
        if window.end() <= cx.watermark {
            cx.fates.late += count;
            return Ok(());
        }
        let store = self.stores.get_mut(port).ok_or_else(|| no_port(port))?;
        let id = store.add(rows, InWindow::One(window.clone()));
        self.open(port, window, id, cx)
    }

    /// Puts rows that wait into their window.
    fn open(&mut self, port: Port, window: &Window, id: PartId, cx: &mut OpCx) -> Result<()> {
        let inputs = self.sides.len();
        let rows = self.stores.get(port).ok_or_else(|| no_port(port))?.rows(id)?.num_rows() as u64;
        let waiting = self.open.entry((window.end(), window.clone())).or_insert_with(|| {
            cx.kept.add(cx.epoch);
            Waiting { parts: vec![Vec::new(); inputs], rows: 0, since: cx.epoch }
        });
        waiting.parts.get_mut(port).ok_or_else(|| no_port(port))?.push(id);
        waiting.rows += rows;
        cx.fates.in_state += rows;
        Ok(())
    }

    /// Queries the windows that the watermark has passed, and gives at most about `cx.rows_max` rows.
    fn advance(&mut self, cx: &mut OpCx) -> Result<More> {
        let mut room = cx.rows_max.max(1);
        loop {
            while let Some((window, rows)) = self.ready.pop_front() {
                let now = rows.num_rows().min(room);
                room -= now;
                cx.emit(0, result(&window, rows.slice(0, now)));
                if now < rows.num_rows() {
                    self.ready.push_front((window, rows.slice(now, rows.num_rows() - now)));
                    return Ok(More::Yes);
                }
                if room == 0 {
                    return Ok(More::Yes);
                }
            }
            if self.open.first_key_value().is_none_or(|((end, _), _)| *end > cx.watermark) {
                return Ok(More::No);
            }
            let Some(((_, window), waiting)) = self.open.pop_first() else { return Ok(More::No) };
            self.close(window, waiting, cx)?;
        }
    }

    /// Runs the query over a window that is over.
    fn close(&mut self, window: Window, waiting: Waiting, cx: &mut OpCx) -> Result<()> {
        let mut tables: Vec<Vec<RecordBatch>> = Vec::with_capacity(self.sides.len());
        for ((side, store), parts) in self.sides.iter().zip(&mut self.stores).zip(&waiting.parts) {
            tables.push(side.table(parts.iter().map(|id| store.take(*id)).collect::<Result<_>>()?)?);
        }
        let now = (cx.now > EventTime::MIN).then_some(cx.now.0);
        let results = self.query.run(&tables, now).map_err(|why| self.failed(&window, &why))?;
        cx.kept.change(Some(waiting.since), None);
        cx.fates.in_state -= waiting.rows;
        // Which rows a result was made of is not known: all of them, if there is one.
        if results.is_empty() {
            cx.fates.filtered += waiting.rows;
        } else {
            cx.fates.passed += waiting.rows;
        }
        for rows in results {
            self.ready.push_back((window.clone(), rows.with_schema(self.schema.clone())?));
        }
        Ok(())
    }

    fn failed(&self, window: &Window, why: &str) -> Error {
        let place = match window {
            Window::Global => String::new(),
            w => format!(" of window {}", crate::python::window_text(w)),
        };
        let text = format!("{why}, in the SQL over the rows{place}: {}", self.query.text());
        Error::data(text).in_place(&self.label)
    }
}

fn no_port(port: Port) -> Error {
    Error::internal(format!("this query has no input port {port}"))
}

fn result(window: &Window, rows: RecordBatch) -> Batch {
    Batch {
        rows,
        times: Times::One(window.max_timestamp()),
        windows: Dict::one(window.clone()),
        panes: Dict::one(Pane::ONLY),
        origins: None,
    }
}

impl Side {
    /// The rows as the query takes them, in the order of their values: how they arrived must not matter.
    fn table(&self, parts: Vec<RecordBatch>) -> Result<Vec<RecordBatch>> {
        let Some(kept) = &self.kept else { return Ok(Vec::new()) };
        let keyed: Vec<usize> = match parts.first() {
            None => return Ok(Vec::new()),
            Some(p) => (0..p.num_columns()).filter(|c| encodes(p.column(*c).data_type())).collect(),
        };
        let mut keys = Vec::with_capacity(parts.len());
        for part in &parts {
            let columns: Vec<ArrayRef> =
                keyed.iter().filter_map(|c| part.columns().get(*c).cloned()).collect();
            let types: Vec<_> = columns.iter().map(|c| c.data_type().clone()).collect();
            keys.push(KeyCodec::new(&types)?.encode(&columns, part.num_rows())?);
        }
        let of_part = |(p, part): (usize, &RecordBatch)| (0..part.num_rows()).map(move |row| (p, row));
        let mut order: Vec<(usize, usize)> = parts.iter().enumerate().flat_map(of_part).collect();
        let key = |(p, row): &(usize, usize)| keys.get(*p).map_or(&[][..], |k| k.get(*row));
        order.sort_by(|a, b| key(a).cmp(key(b)));
        order.chunks(BLOCK_ROWS).map(|rows| self.block(kept, &parts, rows)).collect()
    }

    /// Some rows with all columns of the input: those that are not kept are null.
    fn block(&self, kept: &[usize], parts: &[RecordBatch], rows: &[(usize, usize)]) -> Result<RecordBatch> {
        let column = |(c, field): (usize, &Arc<arrow_schema::Field>)| -> Result<ArrayRef> {
            let at = match kept.binary_search(&c) {
                Ok(at) if *field.data_type() != DataType::Null => at,
                _ => return Ok(new_null_array(field.data_type(), rows.len())),
            };
            let parts: Vec<&dyn arrow_array::Array> =
                parts.iter().filter_map(|p| p.columns().get(at).map(|c| c.as_ref())).collect();
            Ok(interleave(&parts, rows)?)
        };
        let columns = self.schema.fields().iter().enumerate().map(column).collect::<Result<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
        Ok(RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)?)
    }
}

impl Operator for WindowsOperator {
    fn on_batch(&mut self, port: Port, batch: Batch, cx: &mut OpCx) -> Result<More> {
        let Some(kept) = &self.sides.get(port).ok_or_else(|| no_port(port))?.kept else {
            // The query does not look at this input.
            cx.fates.filtered += batch.len() as u64;
            return Ok(More::No);
        };
        let rows = batch.rows.project(kept)?;
        if let Some(window) = batch.windows.single() {
            self.keep(port, window, rows, cx)?;
            return Ok(More::No);
        }
        let mut by_window: Vec<Vec<u32>> = vec![Vec::new(); batch.windows.values().len()];
        for row in 0..batch.len() {
            if let Some(list) = by_window.get_mut(batch.windows.key(row)) {
                list.push(row as u32);
            }
        }
        for (window, list) in batch.windows.values().iter().zip(by_window) {
            if !list.is_empty() {
                let part = take_rows(&rows, &UInt32Array::from(list))?;
                self.keep(port, window, part, cx)?;
            }
        }
        Ok(More::No)
    }

    fn on_watermark(&mut self, cx: &mut OpCx) -> Result<More> {
        self.advance(cx)
    }

    fn resume(&mut self, cx: &mut OpCx) -> Result<More> {
        self.advance(cx)
    }

    fn tables(&mut self) -> Vec<&mut dyn StateTable> {
        self.stores.iter_mut().map(|table| table as &mut dyn StateTable).collect()
    }

    fn restored(&mut self, cx: &mut OpCx) -> Result<()> {
        for port in 0..self.stores.len() {
            let store = self.stores.get_mut(port).ok_or_else(|| no_port(port))?;
            for (window, id) in store.restored_by_window()? {
                self.open(port, &window, id, cx)?;
            }
        }
        Ok(())
    }
}
