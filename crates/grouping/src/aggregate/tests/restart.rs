//! A job that is stopped, saved and restored, maybe in other lanes, gives what one gives that never stopped.

use super::{Row, any_window_fn, fixed, lines};
use crate::accumulate::AggregateFn;
use crate::aggregate::{Aggregate, AggregateOperator, Aggregation};
use arrow_array::builder::{Int64Builder, ListBuilder};
use arrow_array::{
    Array, ArrayRef, Decimal128Array, Float64Array, Int64Array, NullArray, RecordBatch, StringArray,
    StructArray, UInt32Array,
};
use arrow_schema::{DataType, Field, Fields, Schema, SchemaRef};
use arrow_select::concat::concat_batches;
use proptest::prelude::*;
use purlin_api::key::{KeyCodec, hash, lane, slot};
use purlin_api::{
    AccumulationMode, Batch, Dict, EventTime, Extent, Fates, More, OpCx, Operator, OutPort, Pane, Result,
    StateRows, Times, Trigger, Window, WindowFn, Windowing,
};
use std::collections::BTreeMap;
use std::sync::Arc;

fn pair() -> Fields {
    [Field::new("rank", DataType::Int64, true), Field::new("value", DataType::Utf8, true)]
        .into_iter()
        .collect()
}

fn schema() -> SchemaRef {
    let field = |name: &str, t: DataType| Field::new(name, t, true);
    let ints = DataType::List(Arc::new(Field::new_list_field(DataType::Int64, true)));
    Arc::new(Schema::new(vec![
        field("k", DataType::Utf8),
        field("v", DataType::Int64),
        field("f", DataType::Float64),
        field("d", DataType::Decimal128(10, 2)),
        field("l", ints),
        field("r", DataType::Struct(pair())),
        field("n", DataType::Null),
    ]))
}

/// Rows in their windows, of those keys that are a lane's.
fn batch(rows: &[Row], window_fn: &WindowFn, of: &dyn Fn(&Row) -> bool) -> Batch {
    let mut placed: Vec<(Row, Window)> = Vec::new();
    for row in rows.iter().filter(|row| of(row)) {
        window_fn.assign(EventTime::from_seconds(row.2), |w| placed.push((*row, w)));
    }
    let values = || placed.iter().map(|(r, _)| r.1);
    let mut lists = ListBuilder::new(Int64Builder::new());
    for v in values() {
        v.into_iter().for_each(|v| (0..v.rem_euclid(3)).for_each(|i| lists.values().append_value(i)));
        lists.append(v.is_some());
    }
    let decimals = Decimal128Array::from_iter(values().map(|v| v.map(i128::from)));
    let keys: ArrayRef = Arc::new(StringArray::from_iter(placed.iter().map(|(r, _)| r.0)));
    let ints: ArrayRef = Arc::new(Int64Array::from_iter(values()));
    let columns: Vec<ArrayRef> = vec![
        keys.clone(),
        ints.clone(),
        Arc::new(Float64Array::from_iter(values().map(|v| v.map(|v| v as f64 / 7.0)))),
        Arc::new(decimals.with_precision_and_scale(10, 2).unwrap()),
        Arc::new(lists.finish()),
        Arc::new(StructArray::new(pair(), vec![ints, keys], None)),
        Arc::new(NullArray::new(placed.len())),
    ];
    Batch {
        rows: RecordBatch::try_new(schema(), columns).unwrap(),
        times: Times::Each(placed.iter().map(|(r, _)| r.2 * 1_000_000).collect()),
        windows: Dict::from_rows(placed.iter().map(|(_, w)| w.clone()), Window::Global),
        panes: Dict::one(Pane::UNKNOWN),
        origins: None,
    }
}

/// Every function, over every kind of state.
fn functions() -> Vec<(usize, AggregateFn)> {
    let schema = schema();
    let field = |c: usize| schema.field(c);
    let mut all: Vec<(usize, AggregateFn)> = [
        ("sum", 1),
        ("sum", 2),
        ("sum", 3),
        ("sum", 6),
        ("max", 0),
        ("max", 2),
        ("min", 1),
        ("min", 5),
        ("all", 1),
        ("any", 1),
        ("mean", 1),
        ("mean", 2),
        ("mean", 3),
        ("count", 1),
        ("group", 0),
        ("group", 6),
        ("concat", 4),
    ]
    .into_iter()
    .map(|(name, c)| (c, AggregateFn::resolve(name, field(c)).unwrap()))
    .collect();
    assert!(crate::accumulate::NAMES.iter().all(|n| all.iter().any(|(_, f)| f.name() == *n)));
    all.push((1, AggregateFn::top(2, false, field(1)).unwrap()));
    all.push((0, AggregateFn::set(field(0)).unwrap()));
    all.push((1, AggregateFn::quantiles(3, false, field(1)).unwrap()));
    all.push((1, AggregateFn::approx_distinct(3, field(1)).unwrap()));
    all.push((5, AggregateFn::ranked("top", Some(2), true, field(5)).unwrap()));
    all.push((5, AggregateFn::ranked("arg_max", None, false, field(5)).unwrap()));
    all
}

fn aggregate(chosen: &[usize], keys: &[usize], windowing: Windowing) -> Aggregate {
    let all = functions();
    let aggregations = chosen.iter().map(|i| {
        let (column, function) = all[i % all.len()].clone();
        Aggregation { name: format!("a{i}"), function, column: Some(column) }
    });
    Aggregate::new(schema(), keys.to_vec(), aggregations.collect(), Arc::new(windowing)).unwrap()
}

struct Lane<O> {
    operator: O,
    cx: OpCx,
    given: u64,
    timers: BTreeMap<u64, EventTime>,
    log: Vec<StateRows>,
}

impl<O: Operator> Lane<O> {
    fn new(operator: O, rows_max: usize) -> Self {
        let cx = OpCx::new(rows_max);
        Lane { operator, cx, given: 0, timers: BTreeMap::new(), log: Vec::new() }
    }

    fn settle(&mut self, more: More, out: &mut Vec<String>) {
        out.extend(lines(&self.finish(more)));
    }

    fn finish(&mut self, mut more: More) -> Vec<(OutPort, Batch)> {
        let mut out = Vec::new();
        loop {
            assert_eq!(self.cx.fates.total(), self.given, "{:?}", self.cx.fates);
            out.append(&mut self.cx.outputs);
            if more == More::No {
                break;
            }
            more = self.operator.resume(&mut self.cx).unwrap();
        }
        assert!(self.cx.fates.in_state == 0 || !self.cx.kept.is_empty(), "rows of no epoch");
        self.take_timers();
        out
    }

    fn give(&mut self, batch: Batch) -> Vec<(OutPort, Batch)> {
        self.given += batch.len() as u64;
        self.cx.epoch += 1;
        let more = self.operator.on_batch(0, batch, &mut self.cx).unwrap();
        self.finish(more)
    }

    fn watermark(&mut self, to: EventTime) -> Vec<(OutPort, Batch)> {
        self.cx.watermark = self.cx.watermark.max(to);
        let more = self.operator.on_watermark(&mut self.cx).unwrap();
        self.finish(more)
    }

    fn take_timers(&mut self) {
        for (id, at) in self.cx.timers.drain(..) {
            match at {
                Some(at) => drop(self.timers.insert(id, at)),
                None => drop(self.timers.remove(&id)),
            }
        }
    }

    fn save(&mut self, extent: Extent) -> usize {
        let mut rows = 0;
        for table in self.operator.tables() {
            let saved = table.save(extent).unwrap();
            assert!(saved.log.iter().all(|l| l.rows.schema() == table.schema()));
            rows += saved.log.iter().map(|l| l.rows.num_rows()).sum::<usize>();
            if saved.extent == Extent::Whole {
                self.log.clear();
            }
            self.log.extend(saved.log);
        }
        rows
    }

    fn apply(&mut self, rows: StateRows) -> Result<()> {
        self.operator.tables().first_mut().unwrap().apply(&rows)?;
        self.log.push(rows);
        Ok(())
    }

    fn restored(&mut self) -> Result<()> {
        self.operator.restored(&mut self.cx)?;
        self.given = self.cx.fates.in_state;
        self.take_timers();
        Ok(())
    }
}

/// An aggregation in some lanes: rows go to the lane of their key.
struct Job {
    aggregate: Aggregate,
    lanes: Vec<Lane<AggregateOperator>>,
    fates: Fates,
    out: Vec<String>,
    rows_max: usize,
}

impl Job {
    fn new(aggregate: Aggregate, rows_max: usize) -> Self {
        let lanes = vec![Lane::new(aggregate.operator().unwrap(), rows_max)];
        Job { aggregate, lanes, fates: Fates::default(), out: Vec::new(), rows_max }
    }

    fn each(&mut self, call: impl Fn(&mut AggregateOperator, &mut OpCx) -> Result<More>) {
        for lane in &mut self.lanes {
            let more = call(&mut lane.operator, &mut lane.cx).unwrap();
            lane.settle(more, &mut self.out);
        }
    }

    fn rows(&mut self, rows: &[Row]) {
        let (keyed, lanes) = (!self.aggregate.keys().is_empty(), self.lanes.len());
        let window_fn = self.aggregate.windowing().window_fn.clone();
        for (at, one) in self.lanes.iter_mut().enumerate() {
            let batch = batch(rows, &window_fn, &|row| !keyed || lane(slot_of(row.0), lanes) == at);
            self.out.extend(lines(&one.give(batch)));
        }
    }

    fn watermark(&mut self, to: EventTime) {
        self.lanes.iter_mut().for_each(|lane| self.out.extend(lines(&lane.watermark(to))));
    }

    /// Gives a batch to the only lane.
    fn batch(&mut self, batch: Batch) {
        let out = self.lanes.first_mut().unwrap().give(batch);
        self.out.extend(lines(&out));
    }

    fn clock(&mut self, seconds: i64) {
        for lane in &mut self.lanes {
            lane.cx.now = lane.cx.now.max(EventTime::from_seconds(seconds));
            while let Some((id, _)) =
                lane.timers.iter().find(|(_, at)| **at <= lane.cx.now).map(|(i, t)| (*i, *t))
            {
                lane.timers.remove(&id);
                let more = lane.operator.on_timer(id, &mut lane.cx).unwrap();
                lane.settle(more, &mut self.out);
            }
        }
    }

    fn end(&mut self) {
        self.watermark(EventTime::MAX);
        self.each(|operator, cx| operator.on_end(cx));
        for lane in &self.lanes {
            assert_eq!(lane.cx.fates.in_state, 0);
            assert!(lane.cx.holds.is_empty() && lane.cx.kept.is_empty());
            assert_eq!(lane.operator.state_groups(), 0);
        }
        self.count();
        self.out.sort();
    }

    /// Adds up what the lanes did.
    fn count(&mut self) {
        for lane in &self.lanes {
            let (all, one) = (&mut self.fates, lane.cx.fates);
            all.passed += one.passed;
            all.late += one.late;
        }
    }

    fn save(&mut self, extent: Extent) {
        for lane in &mut self.lanes {
            lane.save(extent);
        }
    }

    fn holds(&self) -> Option<EventTime> {
        self.lanes.iter().filter_map(|l| l.cx.holds.min()).min()
    }

    /// Stops, and goes on in so many lanes.
    fn restart(&mut self, lanes: usize, order: Order) {
        self.count();
        let held = self.holds();
        let timers: Vec<EventTime> = self.lanes.iter().flat_map(|l| l.timers.values().copied()).collect();
        let in_state: u64 = self.lanes.iter().map(|l| l.cx.fates.in_state).sum();
        let (watermark, now) = self.lanes.first().map(|l| (l.cx.watermark, l.cx.now)).unwrap();
        let epoch = self.lanes.iter().map(|l| l.cx.epoch).max().unwrap();
        let logs: Vec<Vec<StateRows>> = self.lanes.iter().map(|l| l.log.clone()).collect();
        let log = ordered(logs, order);
        self.lanes.clear();
        for at in 0..lanes {
            let mut lane = Lane::new(self.aggregate.operator().unwrap(), self.rows_max);
            (lane.cx.watermark, lane.cx.now, lane.cx.epoch) = (watermark, now, epoch);
            log.iter().for_each(|rows| lane.apply(rows.of_lane(at, lanes).unwrap()).unwrap());
            lane.restored().unwrap();
            self.lanes.push(lane);
        }
        assert_eq!(self.lanes.iter().map(|l| l.cx.fates.in_state).sum::<u64>(), in_state);
        assert_eq!(self.holds(), held);
        let again: Vec<EventTime> = self.lanes.iter().flat_map(|l| l.timers.values().copied()).collect();
        assert_eq!(again.iter().min(), timers.iter().min());
    }

    fn play(&mut self, events: &[Event], saves: bool) {
        for event in events {
            match event {
                Event::Rows(rows) => self.rows(rows),
                Event::Watermark(t) => self.watermark(EventTime::from_seconds(*t)),
                Event::Clock(t) => self.clock(*t),
                Event::Save(extent) if saves => self.save(*extent),
                Event::Restart(extent, lanes, order) if saves => {
                    self.save(*extent);
                    let lanes = if self.aggregate.keys().is_empty() { 1 } else { *lanes };
                    self.restart(lanes, *order);
                }
                Event::Save(_) | Event::Restart(..) => {}
            }
        }
        self.end();
    }
}

fn slot_of(key: Option<&str>) -> u16 {
    let column: ArrayRef = Arc::new(StringArray::from(vec![key]));
    let keys = KeyCodec::new(&[DataType::Utf8]).unwrap().encode(&[column], 1).unwrap();
    slot(hash(keys.get(0)))
}

/// In which order the logs of lanes are read; rows of one slot stay in theirs.
#[derive(Clone, Copy, Debug)]
enum Order {
    LaneByLane,
    InTurns,
    /// All rows in one batch.
    Joined,
}

fn ordered(logs: Vec<Vec<StateRows>>, order: Order) -> Vec<StateRows> {
    let most = logs.iter().map(Vec::len).max().unwrap_or(0);
    match order {
        Order::LaneByLane => logs.into_iter().flatten().collect(),
        Order::InTurns => {
            (0..most).flat_map(|i| logs.iter().filter_map(move |l| l.get(i).cloned())).collect()
        }
        Order::Joined => {
            let all: Vec<StateRows> = logs.into_iter().flatten().collect();
            let Some(first) = all.first() else { return Vec::new() };
            let rows = concat_batches(&first.rows.schema(), all.iter().map(|l| &l.rows)).unwrap();
            let slots = all.iter().flat_map(|l| l.slots.values().iter().copied()).collect();
            vec![StateRows::new(slots, rows).unwrap()]
        }
    }
}

/// What happens to a job.
#[derive(Clone, Debug)]
enum Event {
    Rows(Vec<Row>),
    Watermark(i64),
    Clock(i64),
    Save(Extent),
    /// Saved, stopped, and restored in so many lanes.
    Restart(Extent, usize, Order),
}

fn any_events() -> impl Strategy<Value = Vec<Event>> {
    let key = prop::sample::select(vec![None, Some("a"), Some("b"), Some("c"), Some(""), Some("d\u{1}e")]);
    let row = (key, prop::option::of(-9..10_i64), 0..60_i64);
    let extent = prop::sample::select(vec![Extent::Whole, Extent::Changes, Extent::Changes]);
    let order = prop::sample::select(vec![Order::LaneByLane, Order::InTurns, Order::Joined]);
    let event = prop_oneof![
        4 => prop::collection::vec(row, 1..10).prop_map(Event::Rows),
        2 => (0..100_i64).prop_map(Event::Watermark),
        1 => (0..60_i64).prop_map(Event::Clock),
        1 => extent.clone().prop_map(Event::Save),
        2 => (extent, 1..4_usize, order).prop_map(|(e, n, o)| Event::Restart(e, n, o)),
    ];
    prop::collection::vec(event, 1..20)
}

fn any_trigger() -> impl Strategy<Value = Trigger> {
    let simple = prop_oneof![
        (1..4_u64).prop_map(Trigger::AfterCount),
        (1..20_i64).prop_map(|s| Trigger::AfterProcessingTime(s * 1_000_000)),
        Just(Trigger::AfterWatermark { early: None, late: None }),
        Just(Trigger::Default),
    ];
    let early = simple.clone().prop_recursive(2, 6, 3, |t| {
        prop_oneof![
            t.clone().prop_map(|t| Trigger::Repeatedly(Box::new(t))),
            prop::collection::vec(t.clone(), 1..3).prop_map(Trigger::AfterAny),
            prop::collection::vec(t.clone(), 1..3).prop_map(Trigger::AfterAll),
            prop::collection::vec(t.clone(), 1..3).prop_map(Trigger::AfterEach),
            (prop::option::of(t.clone()), prop::option::of(t)).prop_map(|(early, late)| {
                Trigger::AfterWatermark { early: early.map(Box::new), late: late.map(Box::new) }
            }),
        ]
    });
    prop_oneof![2 => simple, 3 => early]
}

fn any_windowing() -> impl Strategy<Value = Windowing> {
    let window_fn = prop_oneof![
        3 => any_window_fn(),
        1 => (0..15_i64).prop_map(|s| WindowFn::Sessions { gap: s * 1_000_000 }),
    ];
    let accumulation = prop::sample::select(vec![
        AccumulationMode::Discarding,
        AccumulationMode::Accumulating,
        AccumulationMode::Retracting,
    ]);
    let lateness = prop_oneof![Just(0), 1..40_000_000_i64];
    let late = prop::option::of(Just("late".to_owned()));
    (window_fn, any_trigger(), accumulation, lateness, late).prop_map(
        |(window_fn, trigger, accumulation, l, late)| Windowing {
            window_fn,
            trigger,
            accumulation,
            allowed_lateness: l,
            late_output: late,
        },
    )
}

fn goes_on(events: &[Event], w: &Windowing, chosen: &[usize], keyed: bool, rows_max: usize) {
    let keys: &[usize] = if keyed { &[0] } else { &[] };
    let a = aggregate(chosen, keys, w.clone());
    let mut straight = Job::new(a.clone(), rows_max);
    straight.play(events, false);
    let mut stopped = Job::new(a, rows_max);
    stopped.play(events, true);
    assert_eq!(stopped.out, straight.out);
    assert_eq!(stopped.fates, straight.fates);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn a_restart_makes_no_difference(
        events in any_events(),
        w in any_windowing(),
        chosen in prop::collection::vec(0..23_usize, 1..5),
        keyed in prop::bool::weighted(0.9),
        rows_max in 1..20_usize,
    ) {
        goes_on(&events, &w, &chosen, keyed, rows_max);
    }

    #[test]
    fn a_restart_makes_no_difference_where_windows_go_out_whole(
        events in any_events(),
        w in super::any_windowing(),
        chosen in prop::collection::vec(0..23_usize, 1..5),
        keyed in prop::bool::weighted(0.9),
        rows_max in 1..20_usize,
    ) {
        goes_on(&events, &w, &chosen, keyed, rows_max);
    }
}

/// Rows given to the lanes in turn.
fn dealt(rows: &[Row], w: &Windowing, at: usize, lanes: usize) -> Batch {
    let mine: Vec<Row> = rows.iter().skip(at).step_by(lanes).copied().collect();
    batch(&mine, &w.window_fn, &|_| true)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn two_steps_go_on(events in any_events(), window_fn in any_window_fn(), rows_max in 1..20_usize) {
        let w = Windowing::of(window_fn);
        // Not the lists, which keep an order that there is none of between lanes.
        let a = aggregate(&[0, 1, 2, 4, 10, 13, 17, 20], &[0], w.clone());
        let mut straight = Job::new(a.clone(), rows_max);
        straight.play(&events, false);
        let lift = a.lift().unwrap().unwrap();
        let first = |lane, lanes| {
            Lane::new(lift.partial.operator(purlin_api::state::own_slot(lane, lanes)).unwrap(), rows_max)
        };
        let mut complete = Job::new(lift.complete.clone(), rows_max);
        let mut lanes = vec![first(0, 1)];
        let mut watermark = EventTime::MIN;
        for event in events.iter().chain([&Event::Watermark(i64::MAX)]) {
            let n = lanes.len();
            match event {
                Event::Rows(rows) => {
                    for (at, lane) in lanes.iter_mut().enumerate() {
                        let out = lane.give(dealt(rows, &w, at, n));
                        out.into_iter().for_each(|(_, b)| complete.batch(b));
                    }
                }
                Event::Watermark(t) => {
                    watermark = watermark.max(EventTime::from_seconds(*t));
                    for lane in &mut lanes {
                        lane.watermark(watermark).into_iter().for_each(|(_, b)| complete.batch(b));
                    }
                    complete.watermark(watermark);
                }
                Event::Clock(_) => {}
                Event::Save(extent) => lanes.iter_mut().for_each(|l| {
                    l.save(*extent);
                }),
                Event::Restart(extent, n, order) => {
                    lanes.iter_mut().for_each(|l| {
                        l.save(*extent);
                    });
                    let log = ordered(lanes.iter().map(|l| l.log.clone()).collect(), *order);
                    lanes = (0..*n).map(|at| first(at, *n)).collect();
                    for (at, lane) in lanes.iter_mut().enumerate() {
                        (lane.cx.watermark, lane.cx.epoch) = (watermark, 100);
                        log.iter().for_each(|rows| lane.apply(rows.of_lane(at, *n).unwrap()).unwrap());
                        lane.restored().unwrap();
                    }
                }
            }
        }
        complete.end();
        // A completing step counts pieces: its ledger is another.
        prop_assert_eq!(complete.out, straight.out.into_iter().collect::<Vec<_>>());
        for lane in &lanes {
            prop_assert_eq!(lane.cx.fates.in_state, 0);
        }
    }
}

#[test]
fn every_function_goes_on() {
    let rows = |n: i64| {
        Event::Rows((0..40).map(|i| (Some(["a", "b"][i as usize % 2]), Some(i * n % 17), i)).collect())
    };
    let all: Vec<usize> = (0..functions().len()).collect();
    let restart = |e, n| Event::Restart(e, n, Order::LaneByLane);
    let events = [
        rows(3),
        restart(Extent::Whole, 2),
        rows(5),
        restart(Extent::Changes, 1),
        rows(7),
        restart(Extent::Changes, 3),
    ];
    goes_on(&events, &fixed(20), &all, true, 100);
    goes_on(&events, &Windowing::of(WindowFn::Sessions { gap: 3_000_000 }), &all, true, 100);
}

/// A batch of rows that are grouped by their value.
fn values(values: impl Iterator<Item = i64>, w: &Windowing) -> Batch {
    let rows: Vec<Row> = values.map(|v| (Some("k"), Some(v), 1)).collect();
    batch(&rows, &w.window_fn, &|_| true)
}

#[test]
fn changes_cost_what_has_changed() {
    let counts = Trigger::Repeatedly(Box::new(Trigger::AfterCount(1_000_000)));
    let general = Windowing { trigger: counts, accumulation: AccumulationMode::Accumulating, ..fixed(10) };
    for w in [fixed(10), general] {
        let a = aggregate(&[0, 13], &[1], w.clone());
        let mut lane = Lane::new(a.operator().unwrap(), 8192);
        for from in (0..100_000).step_by(10_000) {
            lane.give(values(from..from + 10_000, &w));
        }
        let whole = lane.save(Extent::Changes);
        assert!((100_000..100_002).contains(&whole), "nothing was noted before: {whole}");
        assert_eq!(lane.save(Extent::Changes), 0);
        lane.give(values((0..3000).map(|i| i % 1000 * 77), &w));
        lane.give(values(100_000..100_005, &w));
        let changes = lane.save(Extent::Changes);
        assert!((1005..1007).contains(&changes), "{changes}");
        assert_eq!(lane.save(Extent::Changes), 0);

        let log = std::mem::take(&mut lane.log);
        let mut other = Lane::new(a.operator().unwrap(), 8192);
        log.into_iter().for_each(|rows| other.apply(rows).unwrap());
        other.restored().unwrap();
        assert_eq!(other.operator.state_groups(), 100_005);
        assert_eq!(other.save(Extent::Changes), 0, "what was restored has not changed");
        other.give(values(5..6, &w));
        let changes = other.save(Extent::Changes);
        assert!((1..3).contains(&changes), "{changes}");
        // The end of a window costs a row for each slot at most, or one for each key that has its own panes.
        assert_eq!(other.watermark(EventTime::MAX).iter().map(|(_, b)| b.len()).sum::<usize>(), 100_005);
        let ends = other.save(Extent::Changes);
        assert!(ends <= if a.fires_whole() { 1024 } else { 100_005 }, "{ends}");
        assert_eq!(other.operator.state_groups(), 0);
    }
}

#[test]
fn a_window_that_went_out_stays_so_if_the_watermark_is_restored_to_before_its_end() {
    let accumulation = AccumulationMode::Accumulating;
    let w = Windowing { allowed_lateness: 20_000_000, accumulation, ..fixed(10) };
    let a = aggregate(&[0], &[0], w.clone());
    let mut lane = Lane::new(a.operator().unwrap(), 100);
    lane.give(batch(&[(Some("a"), Some(3), 1)], &w.window_fn, &|_| true));
    assert_eq!(lines(&lane.watermark(EventTime::from_seconds(10))).len(), 1);
    lane.save(Extent::Whole);
    let mut other = Lane::new(a.operator().unwrap(), 100);
    other.cx.watermark = EventTime::from_seconds(5);
    lane.log.into_iter().for_each(|rows| other.apply(rows).unwrap());
    other.restored().unwrap();
    let out = lines(&other.give(batch(&[(Some("a"), Some(4), 2)], &w.window_fn, &|_| true)));
    assert_eq!(out, ["a 7 [0s,10s)@9999000us LATE 1/1"]);
    assert!(other.watermark(EventTime::MAX).is_empty());
    assert_eq!(other.operator.state_groups(), 0);
}

/// How a log is damaged.
#[derive(Clone, Debug)]
enum Damage {
    Slot(usize),
    Missing(usize),
    Column { column: usize, row: usize },
    Reversed,
}

fn any_damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        any::<usize>().prop_map(Damage::Slot),
        any::<usize>().prop_map(Damage::Missing),
        (any::<usize>(), any::<usize>()).prop_map(|(column, row)| Damage::Column { column, row }),
        Just(Damage::Reversed),
    ]
}

/// One batch of state, damaged; the second is true if it must be refused.
fn damaged(rows: &StateRows, damage: &Damage) -> (StateRows, bool) {
    let n = rows.rows.num_rows();
    let take = |order: &[u32]| {
        let order = UInt32Array::from(order.to_vec());
        arrow_select::take::take_record_batch(&rows.rows, &order).unwrap()
    };
    let slots = rows.slots.values();
    let pick = |order: &[u32]| {
        StateRows::new(order.iter().map(|i| slots[*i as usize]).collect(), take(order)).unwrap()
    };
    let all: Vec<u32> = (0..n as u32).collect();
    match damage {
        Damage::Slot(row) => {
            let mut slots = slots.to_vec();
            slots[row % n] = (slots[row % n] + 1) % 1024;
            let put = !rows.rows.column_by_name("key").unwrap().is_null(row % n);
            (StateRows::new(slots, rows.rows.clone()).unwrap(), put)
        }
        Damage::Missing(row) => {
            let kept: Vec<u32> = all.into_iter().filter(|i| *i as usize != row % n).collect();
            (pick(&kept), false)
        }
        // The value of another row, in one column.
        Damage::Column { column, row } => {
            let at = column % rows.rows.num_columns();
            let shifted: Vec<u32> = all.iter().map(|i| (i + (row % n) as u32) % n as u32).collect();
            let mut columns = rows.rows.columns().to_vec();
            columns[at] = take(&shifted).column(at).clone();
            let damaged = RecordBatch::try_new(rows.rows.schema(), columns);
            // A column that must not be null stays as it is.
            (StateRows { rows: damaged.unwrap_or(rows.rows.clone()), slots: rows.slots.clone() }, false)
        }
        Damage::Reversed => (pick(&all.into_iter().rev().collect::<Vec<_>>()), false),
    }
}

#[test]
fn a_key_in_a_wrong_slot_is_refused_though_a_later_row_counts() {
    let w = fixed(10);
    let a = aggregate(&[0], &[0], w.clone());
    let mut lane = Lane::new(a.operator().unwrap(), 100);
    for extent in [Extent::Whole, Extent::Changes] {
        lane.give(batch(&[(Some("a"), Some(3), 1)], &w.window_fn, &|_| true));
        lane.save(extent);
    }
    let log = ordered(vec![lane.log.clone()], Order::Joined);
    let refused = |damage: &Damage| {
        let (rows, put) = damaged(&log[0], damage);
        let mut other = Lane::new(a.operator().unwrap(), 100);
        assert!(put, "{damage:?}");
        other.apply(rows).is_err()
    };
    let puts: Vec<usize> =
        (0..log[0].rows.num_rows()).filter(|row| damaged(&log[0], &Damage::Slot(*row)).1).collect();
    assert!(puts.len() >= 2 && puts.into_iter().all(|row| refused(&Damage::Slot(row))));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn a_damaged_log_is_refused_or_does_no_harm(
        events in any_events(),
        w in any_windowing(),
        chosen in prop::collection::vec(0..23_usize, 1..4),
        damage in any_damage(),
    ) {
        let a = aggregate(&chosen, &[0], w);
        let mut job = Job::new(a.clone(), 20);
        for event in &events {
            match event {
                Event::Rows(rows) => job.rows(rows),
                Event::Watermark(t) => job.watermark(EventTime::from_seconds(*t)),
                Event::Clock(t) => job.clock(*t),
                Event::Save(extent) | Event::Restart(extent, ..) => job.save(*extent),
            }
        }
        job.save(Extent::Changes);
        let log = ordered(job.lanes.iter().map(|l| l.log.clone()).collect(), Order::Joined);
        let Some(rows) = log.first().filter(|l| l.rows.num_rows() > 0) else { return Ok(()) };
        let (rows, refused) = damaged(rows, &damage);
        let mut lane = Lane::new(a.operator().unwrap(), 20);
        lane.cx.watermark = job.lanes[0].cx.watermark;
        let applied = lane.apply(rows).and_then(|()| lane.restored());
        prop_assert!(!(refused && applied.is_ok()), "{:?}", damage);
        if applied.is_ok() {
            let some: [Row; 2] = [(Some("a"), Some(1), 20), (Some("b"), Some(2), 59)];
            lane.give(batch(&some, &a.windowing().window_fn, &|_| true));
            lane.watermark(EventTime::MAX);
        }
    }
}
