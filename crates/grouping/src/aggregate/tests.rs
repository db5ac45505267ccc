use super::*;
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Array, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray};
use proptest::prelude::*;
use purlin_api::{Dict, EventTime, Fates, More, Pane, Times, Window, WindowFn};
use std::collections::BTreeMap;

mod restart;

/// A row: key, value, seconds.
type Row = (Option<&'static str>, Option<i64>, i64);

fn schema() -> SchemaRef {
    let field = |name, t| Field::new(name, t, true);
    let fields = [field("k", DataType::Utf8), field("v", DataType::Int64), field("f", DataType::Float64)];
    Arc::new(Schema::new(fields.to_vec()))
}

/// Rows in the windows that `window_fn` gives them.
fn batch(rows: &[Row], window_fn: &WindowFn) -> Batch {
    let mut placed: Vec<(Row, Window)> = Vec::new();
    for row in rows {
        window_fn.assign(EventTime::from_seconds(row.2), |w| placed.push((*row, w)));
    }
    let keys = StringArray::from_iter(placed.iter().map(|(r, _)| r.0));
    let values = Int64Array::from_iter(placed.iter().map(|(r, _)| r.1));
    let cents = Float64Array::from_iter(placed.iter().map(|(r, _)| r.1.map(|v| v as f64 / 100.0)));
    Batch {
        rows: RecordBatch::try_new(schema(), vec![Arc::new(keys), Arc::new(values), Arc::new(cents)])
            .unwrap(),
        times: Times::Each(placed.iter().map(|(r, _)| r.2 * 1_000_000).collect()),
        windows: Dict::from_rows(placed.iter().map(|(_, w)| w.clone()), Window::Global),
        panes: Dict::one(Pane::UNKNOWN),
        origins: None,
    }
}

fn aggregate(functions: &[(&str, usize)], keys: &[usize], windowing: Windowing) -> Aggregate {
    let schema = schema();
    let aggregations = functions.iter().enumerate().map(|(i, (name, column))| Aggregation {
        name: format!("{name}{i}"),
        function: AggregateFn::resolve(name, schema.field(*column)).unwrap(),
        column: Some(*column),
    });
    Aggregate::new(schema.clone(), keys.to_vec(), aggregations.collect(), Arc::new(windowing)).unwrap()
}

fn fixed(seconds: i64) -> Windowing {
    Windowing::of(WindowFn::Fixed { size: seconds * 1_000_000, offset: 0 })
}

/// Runs an operator as the engine does, and checks the ledger after every call.
struct Driver<O> {
    operator: O,
    cx: OpCx,
    given: u64,
    resumed: usize,
}

impl<O: Operator> Driver<O> {
    fn new(operator: O, rows_max: usize) -> Self {
        Driver { operator, cx: OpCx::new(rows_max), given: 0, resumed: 0 }
    }

    fn finish(&mut self, mut more: More) -> Vec<(OutPort, Batch)> {
        loop {
            assert_eq!(self.cx.fates.total(), self.given, "{:?}", self.cx.fates);
            if more == More::No {
                assert!(self.cx.fates.in_state == 0 || !self.cx.kept.is_empty(), "rows of no epoch");
                return std::mem::take(&mut self.cx.outputs);
            }
            self.resumed += 1;
            more = self.operator.resume(&mut self.cx).unwrap();
        }
    }

    fn batch(&mut self, batch: Batch) -> Vec<(OutPort, Batch)> {
        self.given += batch.len() as u64;
        self.cx.epoch += 1;
        let more = self.operator.on_batch(0, batch, &mut self.cx).unwrap();
        self.finish(more)
    }

    fn watermark(&mut self, seconds: i64) -> Vec<(OutPort, Batch)> {
        self.move_watermark(EventTime::from_seconds(seconds))
    }

    fn move_watermark(&mut self, to: EventTime) -> Vec<(OutPort, Batch)> {
        self.cx.watermark = self.cx.watermark.max(to);
        let more = self.operator.on_watermark(&mut self.cx).unwrap();
        self.finish(more)
    }

    fn end(&mut self) -> Vec<(OutPort, Batch)> {
        let mut out = self.move_watermark(EventTime::MAX);
        let more = self.operator.on_end(&mut self.cx).unwrap();
        out.extend(self.finish(more));
        assert_eq!(self.cx.fates.in_state, 0);
        assert!(self.cx.holds.is_empty() && self.cx.kept.is_empty());
        out
    }
}

/// A row of output as text: columns, window, time, pane.
fn lines(out: &[(OutPort, Batch)]) -> Vec<String> {
    let mut lines = Vec::new();
    for (port, batch) in out {
        for row in 0..batch.len() {
            let mut cells: Vec<String> = batch.rows.columns().iter().map(|c| cell(c, row)).collect();
            let pane = batch.panes.get(row);
            let timing = pane.timing.name();
            let last = if pane.is_last { " last" } else { "" };
            let w = batch.windows.get(row);
            cells.push(format!("[{:?},{:?})@{:?}", w.start(), w.end(), batch.times.get(row)));
            cells.push(format!("{timing} {}/{}{last}", pane.index, pane.nonspeculative_index));
            let port = if *port == LATE { "LATE: " } else { "" };
            lines.push(format!("{port}{}", cells.join(" ")));
        }
    }
    lines
}

fn cell(column: &ArrayRef, row: usize) -> String {
    if column.is_null(row) {
        return "null".to_owned();
    }
    match column.data_type() {
        DataType::Utf8 => column.as_string::<i32>().value(row).to_owned(),
        DataType::Int64 => column.as_primitive::<Int64Type>().value(row).to_string(),
        DataType::Float64 => column.as_primitive::<arrow_array::types::Float64Type>().value(row).to_string(),
        DataType::Boolean => column.as_any().downcast_ref::<BooleanArray>().unwrap().value(row).to_string(),
        _ => format!("{:?}", column.slice(row, 1)).split_whitespace().collect::<Vec<_>>().join(" "),
    }
}

/// From which epoch rows are kept, after batches of one row at these seconds, each in an epoch of its own, and
/// watermarks (negative).
fn kept(windowing: Windowing, steps: &[i64]) -> Vec<Option<u64>> {
    let a = aggregate(&[("sum", 1)], &[0], windowing.clone());
    let mut d = Driver::new(a.operator().unwrap(), 100);
    let kept = steps.iter().map(|s| {
        if *s < 0 {
            d.watermark(-s);
        } else {
            d.batch(batch(&[(Some("a"), Some(1), *s)], &windowing.window_fn));
        }
        d.cx.kept.oldest()
    });
    let kept = kept.collect();
    d.end();
    kept
}

#[test]
fn epochs_are_kept_as_long_as_a_window_has_rows_of_them() {
    let w = fixed(10);
    let some = |epochs: &[u64]| epochs.iter().map(|e| (*e > 0).then_some(*e)).collect::<Vec<_>>();
    assert_eq!(kept(w.clone(), &[1, 2, 11, -10, 12, -20]), some(&[1, 1, 1, 3, 3, 0]));
    let late = Windowing { allowed_lateness: 5_000_000, ..w.clone() };
    let accumulating = Windowing { accumulation: AccumulationMode::Accumulating, ..late.clone() };
    assert_eq!(kept(accumulating, &[1, -10, 2, -15]), some(&[1, 1, 1, 0]), "late panes have the rows again");
    let discarding = Windowing { accumulation: AccumulationMode::Discarding, ..late };
    assert_eq!(kept(discarding.clone(), &[1, -10, 2, -15]), some(&[1, 0, 0, 0]));
    let counts = Trigger::Repeatedly(Box::new(Trigger::AfterCount(2)));
    let early = Windowing { trigger: counts.clone(), ..discarding };
    assert_eq!(kept(early.clone(), &[1, 2, 3, 4, -15]), some(&[1, 0, 3, 0, 0]));
    let early = Windowing { accumulation: AccumulationMode::Accumulating, ..early };
    assert_eq!(kept(early, &[1, 2, 3, 4, -15]), some(&[1, 1, 1, 1, 0]));
    let sessions = Windowing::of(WindowFn::Sessions { gap: 10_000_000 });
    assert_eq!(kept(sessions, &[1, 40, 15, 8, -30, -60]), some(&[1, 1, 1, 1, 2, 0]));
}

#[test]
fn the_first_step_of_two_keeps_epochs_until_its_groups_have_left() {
    let a = aggregate(&[("sum", 1)], &[0], fixed(10));
    let mut d = Driver::new(a.lift().unwrap().unwrap().partial.operator(0).unwrap(), 100);
    d.batch(batch(&[(Some("a"), Some(1), 1)], &fixed(10).window_fn));
    d.batch(batch(&[(Some("a"), Some(1), 11)], &fixed(10).window_fn));
    assert_eq!(d.cx.kept.oldest(), Some(1));
    d.watermark(10);
    assert_eq!(d.cx.kept.oldest(), Some(2));
    d.end();
}

#[test]
fn windows_go_out_at_their_end_in_time_order() {
    let w = fixed(10);
    let a = aggregate(&[("sum", 1), ("count", 1), ("mean", 2)], &[0], w.clone());
    let names: Vec<String> = a.output().fields().iter().map(|f| f.name().clone()).collect();
    assert_eq!(names, ["k", "sum0", "count1", "mean2"]);
    let mut d = Driver::new(a.operator().unwrap(), 100);
    let rows = [(Some("a"), Some(1), 12), (None, Some(5), 3), (Some("a"), Some(2), 4), (Some("a"), None, 9)];
    assert!(d.batch(batch(&rows, &w.window_fn)).is_empty());
    assert!(d.watermark(9).is_empty());
    assert_eq!(d.cx.fates, Fates { in_state: 4, ..Fates::default() });
    assert_eq!(d.operator.state_groups(), 3);
    assert_eq!(
        lines(&d.watermark(10)),
        [
            "null 5 1 0.05 [0s,10s)@9999000us ON_TIME 0/0 last",
            "a 2 2 0.02 [0s,10s)@9999000us ON_TIME 0/0 last",
        ]
    );
    // The first window is closed, the second is not.
    let late = batch(&[(Some("a"), Some(9), 5), (Some("a"), Some(10), 15)], &w.window_fn);
    assert!(d.batch(late).is_empty());
    assert_eq!(d.cx.fates, Fates { passed: 3, late: 1, in_state: 2, ..Fates::default() });
    assert_eq!(lines(&d.end()), ["a 11 2 0.055 [10s,20s)@19999000us ON_TIME 0/0 last"]);
    assert_eq!((d.operator.state_groups(), d.operator.state_bytes()), (0, 0));
}

#[test]
fn a_global_aggregate_is_one_row_and_none_of_nothing() {
    let a = aggregate(&[("sum", 1)], &[], Windowing::global());
    let mut d = Driver::new(a.operator().unwrap(), 100);
    assert!(d.batch(batch(&[], &WindowFn::Global)).is_empty());
    assert!(d.end().is_empty());
    let mut d = Driver::new(a.operator().unwrap(), 100);
    d.batch(batch(&[(None, Some(1), 0), (None, Some(2), 0)], &WindowFn::Global));
    let out = d.end();
    assert_eq!(out[0].1.times, Times::One(EventTime::END_OF_GLOBAL_WINDOW));
    assert_eq!(lines(&out).len(), 1);
    assert!(lines(&out)[0].starts_with("3 ["));
}

#[test]
fn late_rows_are_data_if_wanted() {
    let w = Windowing { late_output: Some("late".into()), ..fixed(10) };
    // The last column was computed for the aggregate and is not part of the row.
    let a = aggregate(&[("sum", 2)], &[0], w.clone()).with_row_columns(2);
    assert_eq!(a.late_output().fields().len(), 2);
    let mut d = Driver::new(a.operator().unwrap(), 100);
    d.watermark(10);
    let out = d.batch(batch(&[(Some("a"), Some(1), 12), (Some("b"), Some(7), 9)], &w.window_fn));
    assert_eq!(lines(&out), ["LATE: b 7 [0s,10s)@9s UNKNOWN 0/0 last"]);
    assert_eq!(d.cx.fates.late, 1);
}

#[test]
fn late_rows_within_lateness_make_panes_of_their_own() {
    let table = [
        (AccumulationMode::Discarding, vec!["a 4 LATE 1/1", "a 5 LATE 2/2", "b 6 LATE 0/0"]),
        (AccumulationMode::Accumulating, vec!["a 12 LATE 2/2", "a 7 LATE 1/1", "b 6 LATE 0/0"]),
        (
            AccumulationMode::Retracting,
            vec![
                "a 12 false LATE 2/2",
                "a 3 true ON_TIME 0/0",
                "a 7 false LATE 1/1",
                "a 7 true LATE 1/1",
                "b 6 false LATE 0/0",
            ],
        ),
    ];
    for (accumulation, expected) in table {
        let w = Windowing { allowed_lateness: 20_000_000, accumulation, ..fixed(10) };
        let a = aggregate(&[("sum", 1)], &[0], w.clone());
        let mut d = Driver::new(a.operator().unwrap(), 100);
        d.batch(batch(&[(Some("a"), Some(3), 1)], &w.window_fn));
        let flag = if accumulation == AccumulationMode::Retracting { "false " } else { "" };
        assert_eq!(lines(&d.watermark(11)), [format!("a 3 {flag}[0s,10s)@9999000us ON_TIME 0/0")]);
        let late = [(Some("a"), Some(4), 2), (Some("b"), Some(6), 2), (Some("a"), Some(5), 3)];
        let out = lines(&d.batch(batch(&late, &w.window_fn)));
        let mut out: Vec<String> = out.iter().map(|l| l.replace("[0s,10s)@9999000us ", "")).collect();
        out.sort();
        assert_eq!(out, expected);
        d.watermark(29);
        assert!(d.operator.state_groups() > 0);
        d.watermark(30);
        assert_eq!(d.operator.state_groups(), 0);
        d.batch(batch(&late, &w.window_fn));
        assert_eq!(d.cx.fates.late, 3);
    }
}

#[test]
fn sessions_merge() {
    let w = Windowing::of(WindowFn::Sessions { gap: 10_000_000 });
    let a = aggregate(&[("count", 1), ("sum", 1)], &[0], w.clone());
    let mut d = Driver::new(a.operator().unwrap(), 100);
    let rows = [
        (Some("a"), Some(1), 0),
        (Some("a"), Some(2), 19),
        (Some("b"), Some(3), 5),
        (Some("a"), Some(4), 10),
    ];
    d.batch(batch(&rows, &w.window_fn));
    let mut out = lines(&d.end());
    out.sort();
    assert_eq!(
        out,
        [
            "a 1 1 [0s,10s)@9999000us ON_TIME 0/0 last",
            "a 2 6 [10s,29s)@28999000us ON_TIME 0/0 last",
            "b 1 3 [5s,15s)@14999000us ON_TIME 0/0 last",
        ]
    );
    assert_eq!(d.operator.state_groups(), 0);
}

#[test]
fn early_panes_fire_by_count() {
    let early = Some(Box::new(Trigger::Repeatedly(Box::new(Trigger::AfterCount(2)))));
    for (accumulation, expected) in [
        (AccumulationMode::Discarding, vec!["a 3", "a 4"]),
        (AccumulationMode::Accumulating, vec!["a 3", "a 7"]),
        (AccumulationMode::Retracting, vec!["a 3 false", "a 3 true", "a 7 false"]),
    ] {
        let w = Windowing {
            trigger: Trigger::AfterWatermark { early: early.clone(), late: None },
            accumulation,
            ..fixed(10)
        };
        let a = aggregate(&[("sum", 1)], &[0], w.clone());
        let mut d = Driver::new(a.operator().unwrap(), 100);
        let rows = [(Some("a"), Some(1), 0), (Some("a"), Some(2), 1), (Some("a"), Some(4), 2)];
        let mut out = lines(&d.batch(batch(&rows, &w.window_fn)));
        assert!(out.last().unwrap().contains("EARLY 0/-1"), "{out:?}");
        assert!(!d.cx.holds.is_empty());
        out.extend(lines(&d.end()));
        assert!(out.last().unwrap().contains("ON_TIME 1/0"), "{out:?}");
        let out: Vec<&str> = out.iter().map(|l| l.split(" [").next().unwrap()).collect();
        assert_eq!(out, expected);
    }
}

#[test]
fn processing_time_fires_by_timer() {
    let w = Windowing {
        trigger: Trigger::Repeatedly(Box::new(Trigger::AfterProcessingTime(5_000_000))),
        ..Windowing::global()
    };
    let a = aggregate(&[("sum", 1)], &[0], w.clone());
    let mut d = Driver::new(a.operator().unwrap(), 100);
    d.cx.now = EventTime::from_seconds(100);
    assert!(d.batch(batch(&[(Some("a"), Some(1), 0)], &w.window_fn)).is_empty());
    assert_eq!(std::mem::take(&mut d.cx.timers), [(0, Some(EventTime::from_seconds(105)))]);
    d.cx.now = EventTime::from_seconds(105);
    let more = d.operator.on_timer(0, &mut d.cx).unwrap();
    assert!(lines(&d.finish(more))[0].starts_with("a 1 "));
    d.batch(batch(&[(Some("a"), Some(2), 0)], &w.window_fn));
    assert_eq!(std::mem::take(&mut d.cx.timers), [(0, Some(EventTime::from_seconds(110)))]);
    assert!(lines(&d.end())[0].starts_with("a 2 "));
}

#[test]
fn output_comes_in_steps() {
    let w = fixed(10);
    let a = aggregate(&[("count", 1)], &[0, 1], w.clone());
    let rows: Vec<Row> = (0..100).map(|i| (Some("a"), Some(i), i % 20)).collect();
    for general in [false, true] {
        let mut d = driver(&a, general, 7);
        d.batch(batch(&rows, &w.window_fn));
        let out = d.end();
        assert!(out.iter().all(|(_, b)| b.len() <= 7));
        assert_eq!(lines(&out).len(), 100);
        assert!((14..=15).contains(&d.resumed), "{}", d.resumed);
    }
}

#[test]
fn small_windows_share_a_batch() {
    let w = fixed(1);
    let a = aggregate(&[("sum", 1)], &[0], w.clone());
    let mut d = Driver::new(a.operator().unwrap(), 1000);
    let rows: Vec<Row> = (0..100).map(|i| (Some("a"), Some(i), i)).collect();
    d.batch(batch(&rows, &w.window_fn));
    let out = d.end();
    assert_eq!((out.len(), out[0].1.len()), (1, 100));
    let Times::Each(times) = &out[0].1.times else { panic!("one time for a hundred windows") };
    assert!(times.is_sorted());
}

#[test]
fn many_windows_share_tables_and_leave_nothing() {
    let w =
        Windowing { allowed_lateness: 5_000_000, accumulation: AccumulationMode::Accumulating, ..fixed(1) };
    let a = aggregate(&[("group", 1)], &[0], w.clone());
    let mut d = driver(&a, false, 1000);
    let rows: Vec<Row> = (0..300).map(|i| (Some("a"), Some(i), i / 3)).collect();
    d.batch(batch(&rows, &w.window_fn));
    let Either::Whole(whole) = &d.operator else { unreachable!() };
    let (full, groups) = (whole.state_bytes(), whole.state_groups());
    assert_eq!(groups, 100);
    assert_eq!(lines(&d.watermark(50)).len(), 50);
    let Either::Whole(whole) = &d.operator else { unreachable!() };
    // 45 windows have expired.
    assert_eq!(whole.state_groups(), 55);
    assert!(whole.state_bytes() < full * 3 / 4, "{} of {full}", whole.state_bytes());
    assert_eq!(lines(&d.end()).len(), 50);
    let Either::Whole(whole) = &d.operator else { unreachable!() };
    assert_eq!(whole.state_bytes(), 0);
}

#[test]
fn a_sum_that_does_not_fit_fails_the_run() {
    let a = aggregate(&[("sum", 1)], &[], Windowing::global());
    let mut d = Driver::new(a.operator().unwrap(), 10);
    d.batch(batch(&[(None, Some(i64::MAX), 0), (None, Some(1), 0)], &WindowFn::Global));
    d.cx.watermark = EventTime::MAX;
    assert_eq!(d.operator.on_watermark(&mut d.cx).unwrap_err().kind(), purlin_api::ErrorKind::Data);
}

#[test]
fn lifting_is_for_what_stays_the_same() {
    let lifts = |a: Aggregate| a.lift().unwrap().is_some();
    assert!(lifts(aggregate(&[("sum", 1), ("mean", 2), ("max", 0)], &[0], fixed(10))));
    assert!(!lifts(aggregate(&[("group", 1)], &[0], fixed(10))));
    assert!(!lifts(aggregate(&[("sum", 1)], &[0], Windowing { allowed_lateness: 1, ..fixed(10) })));
    assert!(!lifts(aggregate(&[("sum", 1)], &[0], Windowing { late_output: Some("l".into()), ..fixed(10) })));
    assert!(!lifts(aggregate(&[("sum", 1)], &[0], Windowing::of(WindowFn::Sessions { gap: 1 }))));
    let lift = aggregate(&[("sum", 1), ("count", 1)], &[0], fixed(10)).lift().unwrap().unwrap();
    let names: Vec<String> = lift.partial.output().fields().iter().map(|f| f.name().clone()).collect();
    assert_eq!(names, ["k", "sum0__state0", "sum0__state1", "count1__state0", "__rows"]);
    assert_eq!(lift.complete.keys(), [0]);
}

#[test]
fn a_partial_step_gives_up_where_it_does_not_pay() {
    let a = aggregate(&[("sum", 1)], &[1], Windowing::global());
    let lift = a.lift().unwrap().unwrap();
    let mut partial = Driver::new(lift.partial.operator(0).unwrap(), 8192);
    let mut complete = Driver::new(lift.complete.operator().unwrap(), 8192);
    let mut emitted = 0;
    for i in 0..10 {
        let rows: Vec<Row> = (0..5000).map(|v| (None, Some(i * 5000 + v), 0)).collect();
        for (_, b) in partial.batch(batch(&rows, &WindowFn::Global)) {
            emitted += b.len();
            complete.batch(b);
        }
    }
    // After 32768 rows the table was emptied, and from then on rows passed.
    assert_eq!((emitted, partial.operator.state_groups()), (50_000, 0));
    assert_eq!(lines(&complete.end()).len(), 50_000);

    // Few keys: all stays until the window ends.
    let a = aggregate(&[("sum", 1)], &[0], Windowing::global());
    let mut partial = Driver::new(a.lift().unwrap().unwrap().partial.operator(0).unwrap(), 8192);
    for _ in 0..10 {
        let rows: Vec<Row> = (0..5000).map(|v| (Some("a"), Some(v), 0)).collect();
        assert!(partial.batch(batch(&rows, &WindowFn::Global)).is_empty());
    }
    let out = partial.end();
    assert_eq!(out.iter().map(|(_, b)| b.len()).sum::<usize>(), 1);
}

enum Either {
    Whole(Box<super::whole::WholeWindows>),
    Panes(Box<super::general::Panes>),
}

impl Operator for Either {
    fn on_batch(&mut self, port: Port, batch: Batch, cx: &mut OpCx) -> Result<More> {
        match self {
            Either::Whole(o) => o.on_batch(port, batch, cx),
            Either::Panes(o) => o.on_batch(port, batch, cx),
        }
    }
    fn on_watermark(&mut self, cx: &mut OpCx) -> Result<More> {
        match self {
            Either::Whole(o) => o.on_watermark(cx),
            Either::Panes(o) => o.on_watermark(cx),
        }
    }
    fn resume(&mut self, cx: &mut OpCx) -> Result<More> {
        match self {
            Either::Whole(o) => o.resume(cx),
            Either::Panes(o) => o.resume(cx),
        }
    }
}

fn driver(a: &Aggregate, general: bool, rows_max: usize) -> Driver<Either> {
    let operator = if general {
        Either::Panes(Box::new(super::general::Panes::new(a.clone()).unwrap()))
    } else {
        Either::Whole(Box::new(super::whole::WholeWindows::new(a.clone()).unwrap()))
    };
    Driver::new(operator, rows_max)
}

/// What happens to an operator.
#[derive(Clone, Debug)]
enum Event {
    Rows(Vec<Row>),
    Watermark(i64),
}

fn any_row() -> impl Strategy<Value = Row> {
    let key = prop::sample::select(vec![None, Some("a"), Some("b"), Some("c"), Some("")]);
    (key, prop::option::of(-9..10_i64), 0..60_i64)
}

fn any_events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        3 => prop::collection::vec(any_row(), 1..12).prop_map(Event::Rows),
        1 => (0..80_i64).prop_map(Event::Watermark),
    ];
    prop::collection::vec(event, 1..12)
}

fn any_window_fn() -> impl Strategy<Value = WindowFn> {
    prop_oneof![
        Just(WindowFn::Global),
        (1..30_i64).prop_map(|s| WindowFn::Fixed { size: s * 1_000_000, offset: 0 }),
        (1..4_i64, 1..10_i64).prop_map(|(n, s)| WindowFn::Sliding {
            size: n * s * 1_000_000,
            period: s * 1_000_000,
            offset: 0
        }),
    ]
}

fn any_windowing() -> impl Strategy<Value = Windowing> {
    let trigger =
        prop_oneof![Just(Trigger::Default), Just(Trigger::AfterWatermark { early: None, late: None })];
    let accumulation = prop::sample::select(vec![
        AccumulationMode::Discarding,
        AccumulationMode::Accumulating,
        AccumulationMode::Retracting,
    ]);
    let lateness = prop_oneof![Just(0), 1..40_000_000_i64];
    let late = prop::option::of(Just("late".to_owned()));
    (any_window_fn(), trigger, accumulation, lateness, late).prop_map(
        |(window_fn, trigger, accumulation, l, late)| Windowing {
            window_fn,
            trigger,
            accumulation,
            allowed_lateness: l,
            late_output: late,
        },
    )
}

/// Plays events, rows cut into batches of `cut`, and returns everything that came out, sorted, and the
/// fates.
fn play<O: Operator>(d: &mut Driver<O>, events: &[Event], cut: usize, w: &Windowing) -> (Vec<String>, Fates) {
    let mut out = Vec::new();
    for event in events {
        match event {
            Event::Rows(rows) => {
                for rows in rows.chunks(cut) {
                    out.extend(lines(&d.batch(batch(rows, &w.window_fn))));
                }
            }
            Event::Watermark(t) => out.extend(lines(&d.watermark(*t))),
        }
    }
    out.extend(lines(&d.end()));
    out.sort();
    (out, d.cx.fates)
}

const FUNCTIONS: [(&str, usize); 5] = [("sum", 1), ("count", 1), ("mean", 2), ("min", 0), ("sum", 2)];

/// What should come out with the default trigger and no lateness, the plain way.
fn naive(events: &[Event], w: &Windowing) -> Vec<String> {
    let mut watermark = EventTime::MIN;
    let mut groups = BTreeMap::<(Window, Option<&str>), Vec<Option<i64>>>::new();
    for event in events {
        match event {
            Event::Watermark(t) => watermark = watermark.max(EventTime::from_seconds(*t)),
            Event::Rows(rows) => {
                for (key, value, t) in rows {
                    w.window_fn.assign(EventTime::from_seconds(*t), |window| {
                        if window.end() > watermark {
                            groups.entry((window, *key)).or_default().push(*value);
                        }
                    });
                }
            }
        }
    }
    let text = |v: Option<String>| v.unwrap_or_else(|| "null".to_owned());
    let line = |((window, key), values): ((Window, Option<&str>), Vec<Option<i64>>)| {
        let known: Vec<i64> = values.iter().flatten().copied().collect();
        let sum: i64 = known.iter().sum();
        let some = !known.is_empty();
        let sum_text = text(some.then(|| sum.to_string()));
        let mean = text(some.then(|| (sum as f64 / (100 * known.len()) as f64).to_string()));
        let cents = text(some.then(|| (sum as f64 / 100.0).to_string()));
        let key = text(key.map(str::to_owned));
        let (start, end, at) = (window.start(), window.end(), window.max_timestamp());
        format!(
            "{key} {sum_text} {} {mean} {key} {cents} [{start:?},{end:?})@{at:?} ON_TIME 0/0 last",
            values.len()
        )
    };
    let mut out: Vec<String> = groups.into_iter().map(line).collect();
    out.sort();
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn whole_windows_give_what_plain_code_gives(
        events in any_events(), window_fn in any_window_fn(), cut in 1..12_usize, rows_max in 1..20_usize,
    ) {
        let w = Windowing::of(window_fn);
        let a = aggregate(&FUNCTIONS, &[0], w.clone());
        let expected = naive(&events, &w);
        for general in [false, true] {
            let (out, _) = play(&mut driver(&a, general, rows_max), &events, cut, &w);
            prop_assert_eq!(&out, &expected, "general: {}", general);
        }
    }

    #[test]
    fn both_ways_give_the_same(events in any_events(), w in any_windowing(), cut in 1..12_usize, rows_max in 1..20_usize) {
        let a = aggregate(&FUNCTIONS, &[0], w.clone());
        let mut whole = driver(&a, false, rows_max);
        let mut panes = driver(&a, true, rows_max);
        let (expected, fates) = play(&mut whole, &events, cut, &w);
        prop_assert_eq!(play(&mut panes, &events, 12, &w), (expected, fates));
        let (Either::Whole(whole), Either::Panes(panes)) = (&whole.operator, &panes.operator) else { unreachable!() };
        prop_assert_eq!((whole.state_groups(), panes.state_groups()), (0, 0));
        prop_assert_eq!(whole.state_bytes(), 0);
    }

    #[test]
    fn two_steps_give_what_one_gives(
        events in any_events(), window_fn in any_window_fn(), cut in 1..12_usize, rows_max in 1..20_usize, passes in any::<bool>(),
    ) {
        let w = Windowing::of(window_fn);
        let a = aggregate(&FUNCTIONS, &[0], w.clone());
        let lift = a.lift().unwrap().unwrap();
        let mut operator = lift.partial.operator(0).unwrap();
        if passes {
            operator.pass_from_now_on();
        }
        let mut partial = Driver::new(operator, rows_max);
        let mut complete = Driver::new(lift.complete.operator().unwrap(), rows_max);
        let mut out = Vec::new();
        for event in &events {
            match event {
                Event::Rows(rows) => {
                    for rows in rows.chunks(cut) {
                        for (_, b) in partial.batch(batch(rows, &w.window_fn)) {
                            out.extend(lines(&complete.batch(b)));
                        }
                    }
                }
                Event::Watermark(t) => {
                    for (_, b) in partial.watermark(*t) {
                        out.extend(lines(&complete.batch(b)));
                    }
                    out.extend(lines(&complete.watermark(*t)));
                }
            }
        }
        partial.end().into_iter().for_each(|(_, b)| out.extend(lines(&complete.batch(b))));
        out.extend(lines(&complete.end()));
        out.sort();
        prop_assert_eq!(out, naive(&events, &w));
        prop_assert_eq!(partial.operator.state_bytes(), 0);
    }

    #[test]
    fn sessions_do_not_depend_on_batches_or_arrival(rows in prop::collection::vec(any_row(), 1..30), gap in 1..15_i64, cut in 1..12_usize) {
        let w = Windowing::of(WindowFn::Sessions { gap: gap * 1_000_000 });
        let a = aggregate(&FUNCTIONS, &[0], w.clone());
        let mut sorted = rows.clone();
        sorted.sort_by_key(|(.., t)| *t);
        let (expected, _) = play(&mut driver(&a, true, 5), &[Event::Rows(sorted)], 100, &w);
        let (out, _) = play(&mut driver(&a, true, 5), &[Event::Rows(rows)], cut, &w);
        prop_assert_eq!(out, expected);
    }
}
