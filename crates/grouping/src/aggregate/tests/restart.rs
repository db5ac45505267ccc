//! A job that is stopped, saved and restored, maybe in other lanes, gives what one gives that never stopped.

use super::{Row, any_window_fn, fixed, lines};
use crate::accumulate::AggregateFn;
use crate::aggregate::{Aggregate, AggregateOperator, Aggregation};
use arrow_array::builder::{Int64Builder, ListBuilder};
use arrow_array::{
    ArrayRef, Decimal128Array, Float64Array, Int64Array, NullArray, RecordBatch, StringArray, StructArray,
};
use arrow_schema::{DataType, Field, Fields, Schema, SchemaRef};
use arrow_select::concat::concat_batches;
use proptest::prelude::*;
use purlin_api::key::{KeyCodec, hash, lane, slot};
use purlin_api::{
    AccumulationMode, Batch, Dict, EventTime, Extent, Fates, More, OpCx, Operator, Pane, Result, StateRows,
    Times, Trigger, Window, WindowFn, Windowing,
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

struct Lane {
    operator: AggregateOperator,
    cx: OpCx,
    given: u64,
    timers: BTreeMap<u64, EventTime>,
    log: Vec<StateRows>,
}

impl Lane {
    fn new(aggregate: &Aggregate, rows_max: usize) -> Self {
        let (operator, cx) = (aggregate.operator().unwrap(), OpCx::new(rows_max));
        Lane { operator, cx, given: 0, timers: BTreeMap::new(), log: Vec::new() }
    }

    fn settle(&mut self, mut more: More, out: &mut Vec<String>) {
        loop {
            assert_eq!(self.cx.fates.total(), self.given, "{:?}", self.cx.fates);
            out.extend(lines(&std::mem::take(&mut self.cx.outputs)));
            if more == More::No {
                break;
            }
            more = self.operator.resume(&mut self.cx).unwrap();
        }
        assert!(self.cx.fates.in_state == 0 || !self.cx.kept.is_empty(), "rows of no epoch");
        self.take_timers();
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
    lanes: Vec<Lane>,
    fates: Fates,
    out: Vec<String>,
    rows_max: usize,
}

impl Job {
    fn new(aggregate: Aggregate, rows_max: usize) -> Self {
        let lanes = vec![Lane::new(&aggregate, rows_max)];
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
            one.given += batch.len() as u64;
            one.cx.epoch += 1;
            let more = one.operator.on_batch(0, batch, &mut one.cx).unwrap();
            one.settle(more, &mut self.out);
        }
    }

    fn watermark(&mut self, to: EventTime) {
        self.each(|operator, cx| {
            cx.watermark = cx.watermark.max(to);
            operator.on_watermark(cx)
        });
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
            let mut lane = Lane::new(&self.aggregate, self.rows_max);
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
