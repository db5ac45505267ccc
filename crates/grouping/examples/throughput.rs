//! How many rows a second a lane groups, for few and for many keys.
//!
//! `cargo run --release -p purlin-grouping --example throughput [millions of rows]`

#![allow(
    clippy::disallowed_methods,
    reason = "a measurement reads the clock; nothing here is part of the engine"
)]
#![allow(clippy::print_stdout, reason = "the measurement is the output")]

use arrow_array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use purlin_api::key::{KeyCodec, hash};
use purlin_api::{
    AccumulationMode, Batch, Dict, EventTime, More, OpCx, Operator, Pane, Result, Times, Trigger, Window,
    WindowFn, Windowing,
};
use purlin_grouping::accumulate::AggregateFn;
use purlin_grouping::aggregate::{Aggregate, Aggregation};
use std::sync::Arc;
use std::time::Instant;

/// Rows of a batch.
const BATCH: usize = 8192;
/// Batches that are made; they are used again and again.
const BATCHES: usize = 64;
/// Rows from one second of event time to the next.
const ROWS_A_SECOND: usize = 20_000;

/// Makes the key column of a batch of rows that have these keys.
type KeyColumn = fn(&[u64]) -> ArrayRef;

fn text(keys: &[u64]) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(keys.iter().map(|k| format!("CO{k}"))))
}

fn int(keys: &[u64]) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values(keys.iter().map(|k| *k as i64)))
}

fn schema(key: &ArrayRef) -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("k", key.data_type().clone(), true),
        Field::new("amount", DataType::Float64, true),
        Field::new("quantity", DataType::Int64, true),
    ]))
}

/// Batches with keys drawn from `keys`, in order of time, in the global window.
fn batches(keys: u64, column: KeyColumn) -> Result<Vec<Batch>> {
    let mut state = 1_u64;
    let mut next = || {
        // Knuth's linear congruence: the same rows in every run.
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 33
    };
    (0..BATCHES)
        .map(|b| {
            let drawn: Vec<u64> = (0..BATCH).map(|_| next() % keys).collect();
            let key = column(&drawn);
            let amounts =
                Float64Array::from_iter_values((0..BATCH).map(|_| (next() % 100_000) as f64 / 100.0));
            let quantities = Int64Array::from_iter_values((0..BATCH).map(|_| (next() % 10) as i64));
            let rows =
                RecordBatch::try_new(schema(&key), vec![key, Arc::new(amounts), Arc::new(quantities)])?;
            let time = |row: usize| ((b * BATCH + row) as i64) * 1_000_000 / ROWS_A_SECOND as i64;
            Ok(Batch::at(rows, Times::Each((0..BATCH).map(time).collect())))
        })
        .collect()
}

/// The batch in windows.
fn windowed(batch: &Batch, window_fn: &WindowFn) -> Batch {
    let windows: Vec<Window> = (0..batch.len())
        .map(|row| {
            let mut window = Window::Global;
            window_fn.assign(batch.times.get(row), |w| window = w);
            window
        })
        .collect();
    let panes = Dict::one(Pane::UNKNOWN);
    Batch { windows: Dict::from_rows(windows, Window::Global), panes, ..batch.clone() }
}

fn aggregate(batch: &Batch, windowing: Windowing) -> Result<Aggregate> {
    let schema = batch.schema();
    let aggregation = |name: &str, column: usize| -> Result<Aggregation> {
        let function =
            AggregateFn::resolve(name, schema.field(column)).map_err(purlin_api::Error::internal)?;
        Ok(Aggregation { name: format!("{name}{column}"), function, column: Some(column) })
    };
    let all = vec![aggregation("sum", 1)?, aggregation("count", 1)?, aggregation("mean", 2)?];
    Aggregate::new(schema.clone(), vec![0], all, Arc::new(windowing))
}

/// Calls an operator and returns what it emitted.
fn call(
    operator: &mut dyn Operator,
    cx: &mut OpCx,
    with: impl FnOnce(&mut dyn Operator, &mut OpCx) -> Result<More>,
) -> Result<Vec<Batch>> {
    let mut more = with(operator, cx)?;
    while more == More::Yes {
        more = operator.resume(cx)?;
    }
    Ok(cx.outputs.drain(..).map(|(_, b)| b).collect())
}

/// Feeds `rows` rows through operators in a row and returns rows a second.
fn run(mut chain: Vec<Box<dyn Operator>>, input: &[Batch], rows: usize) -> Result<(f64, usize)> {
    let mut contexts: Vec<OpCx> = chain.iter().map(|_| OpCx::new(BATCH)).collect();
    let mut emitted = 0;
    let start = Instant::now();
    for batch in input.iter().cycle().take(rows / BATCH) {
        let mut flow = vec![batch.clone()];
        for (operator, cx) in chain.iter_mut().zip(&mut contexts) {
            let mut next = Vec::new();
            for b in flow {
                next.extend(call(operator.as_mut(), cx, |o, cx| o.on_batch(0, b, cx))?);
            }
            flow = next;
        }
        emitted += flow.iter().map(Batch::len).sum::<usize>();
    }
    let mut flow: Vec<Batch> = Vec::new();
    for (operator, cx) in chain.iter_mut().zip(&mut contexts) {
        let mut next = Vec::new();
        for b in flow {
            next.extend(call(operator.as_mut(), cx, |o, cx| o.on_batch(0, b, cx))?);
        }
        cx.watermark = EventTime::MAX;
        next.extend(call(operator.as_mut(), cx, |o, cx| o.on_watermark(cx))?);
        flow = next;
    }
    emitted += flow.iter().map(Batch::len).sum::<usize>();
    Ok(((rows / BATCH * BATCH) as f64 / start.elapsed().as_secs_f64(), emitted))
}

fn report(what: &str, (rate, emitted): (f64, usize)) {
    println!("{what:<58} {:>7.1} M rows/s  {emitted:>9} out", rate / 1e6);
}

fn codecs(rows: usize) -> Result<()> {
    for (name, column) in [("text", text as KeyColumn), ("int", int)] {
        let key = column(&(0..BATCH as u64).map(|k| k * 7 % 5000).collect::<Vec<_>>());
        let codec = KeyCodec::new(&[key.data_type().clone()])?;
        let pair = KeyCodec::new(&[key.data_type().clone(), DataType::Int64])?;
        let second = int(&(0..BATCH as u64).collect::<Vec<_>>());
        let rate = |start: Instant| (rows / BATCH * BATCH) as f64 / start.elapsed().as_secs_f64();
        let start = Instant::now();
        let mut bytes = 0;
        for _ in 0..rows / BATCH {
            bytes += codec.encode(std::slice::from_ref(&key), BATCH)?.size_bytes();
        }
        report(&format!("encode one {name} key"), (rate(start), bytes / 1000));
        let start = Instant::now();
        for _ in 0..rows / BATCH {
            bytes += pair.encode(&[key.clone(), second.clone()], BATCH)?.size_bytes();
        }
        report(&format!("encode a {name} and an int key"), (rate(start), bytes / 1000));
        let keys = codec.encode(std::slice::from_ref(&key), BATCH)?;
        let start = Instant::now();
        let mut sum = 0_u64;
        for _ in 0..rows / BATCH {
            sum = keys.iter().fold(sum, |sum, key| sum ^ hash(key));
        }
        report(&format!("hash one {name} key"), (rate(start), (sum % 1000) as usize));
        let start = Instant::now();
        let mut decoded = 0;
        for _ in 0..rows / BATCH {
            decoded += codec.decode(keys.iter())?.len();
        }
        report(&format!("decode one {name} key"), (rate(start), decoded));
    }
    Ok(())
}

fn main() -> Result<()> {
    let millions = std::env::args().nth(1).and_then(|a| a.parse().ok()).unwrap_or(8_usize);
    let rows = millions * 1_000_000;
    codecs(rows)?;
    for keys in [1, 100, 10_000, 1_000_000] {
        for (name, column) in [("text", text as KeyColumn), ("int", int)] {
            let plain = batches(keys, column)?;
            let Some(first) = plain.first() else { continue };
            let global = aggregate(first, Windowing::global())?;
            report(
                &format!("{keys} {name} keys, global"),
                run(vec![Box::new(global.operator()?)], &plain, rows)?,
            );
            if let Some(lift) = global.lift()? {
                let chain: Vec<Box<dyn Operator>> =
                    vec![Box::new(lift.partial.operator(0)?), Box::new(lift.complete.operator()?)];
                report(&format!("{keys} {name} keys, global, two steps"), run(chain, &plain, rows)?);
            }
            let window_fn = WindowFn::Fixed { size: 1_000_000, offset: 0 };
            let fixed: Vec<Batch> = plain.iter().map(|b| windowed(b, &window_fn)).collect();
            let small = WindowFn::Fixed { size: 100, offset: 0 };
            let a = aggregate(first, Windowing::of(small.clone()))?;
            let fine: Vec<Batch> = plain.iter().map(|b| windowed(b, &small)).collect();
            let rate = run(vec![Box::new(a.operator()?)], &fine, BATCH * BATCHES)?;
            report(&format!("{keys} {name} keys, windows of 2 rows"), rate);
            let windowing = Windowing::of(window_fn);
            let a = aggregate(first, windowing.clone())?;
            report(
                &format!("{keys} {name} keys, windows of 1 s"),
                run(vec![Box::new(a.operator()?)], &fixed, rows)?,
            );
            let early = Some(Box::new(Trigger::Repeatedly(Box::new(Trigger::AfterCount(1000)))));
            let trigger = Trigger::AfterWatermark { early, late: None };
            let w = Windowing { trigger, accumulation: AccumulationMode::Accumulating, ..windowing };
            let a = aggregate(first, w)?;
            let rate = run(vec![Box::new(a.operator()?)], &fixed, rows / 4)?;
            report(&format!("{keys} {name} keys, windows of 1 s, early panes of 1000"), rate);
        }
    }
    Ok(())
}
