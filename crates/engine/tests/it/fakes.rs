//! Plan nodes that do what a test says.

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Int64Array, RecordBatch};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use bytes::Bytes;
use purlin_api::sink::Sink;
use purlin_api::source::{BoxFuture, Budget, Pull, Resume, Source, SourceStatus};
use purlin_api::{
    Answer, AsyncOperator, Batch, BuildCx, Distribution, EventTime, More, OpCx, Operator, Output, OutputRole,
    PlanNode, Port, Result, Running, Shape, TimerId, Times, Windowing,
};
use purlin_engine::JobOptions;
use purlin_engine::clock::{Clock, SystemClock};
use purlin_plan::{Graph, GraphInput, GraphNode, Plan, stages};
use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{Notify, oneshot};

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, true)]))
}

pub(crate) fn t(seconds: i64) -> EventTime {
    EventTime::from_seconds(seconds)
}

/// Rows with these numbers.
pub(crate) fn rows(numbers: &[i64]) -> Batch {
    let column = Arc::new(Int64Array::from(numbers.to_vec()));
    Batch::at(RecordBatch::try_new(schema(), vec![column]).unwrap(), Times::One(EventTime::MIN))
}

fn shape() -> Shape {
    Shape { schema: schema(), windowing: Arc::new(Windowing::global()), bounded: true }
}

pub(crate) fn job_options() -> JobOptions {
    JobOptions {
        rows_max: 16,
        bounds: Default::default(),
        threads: 2,
        clock: Arc::new(SystemClock),
        log: Arc::new(|_, _, _| {}),
        stall_after: Duration::from_secs(5),
        environment: std::sync::Arc::default(),
        live: Default::default(),
    }
}

/// Time that passes when a test says so, from one moment that somebody waits for to the next. Begins at 1,000,000 s.
#[derive(Debug, Default)]
pub(crate) struct TestClock(Mutex<Sleepers>);

#[derive(Debug, Default)]
struct Sleepers {
    passed: Duration,
    /// By time: those who wait. Those who gave up are dropped when their time comes.
    waiting: BTreeMap<(EventTime, u64), oneshot::Sender<()>>,
    next: u64,
}

impl Clock for TestClock {
    fn now(&self) -> EventTime {
        t(1_000_000).plus(self.0.lock().unwrap().passed.as_micros() as i64)
    }
    fn sleep(&self, until: EventTime) -> BoxFuture<'static, ()> {
        let (wake, woken) = oneshot::channel();
        let mut s = self.0.lock().unwrap();
        s.next += 1;
        let id = s.next;
        s.waiting.insert((until, id), wake);
        Box::pin(async move { drop(woken.await) })
    }
}

impl TestClock {
    /// Lets all tasks work until they wait, on a runtime with one thread.
    pub(crate) async fn settle(&self) {
        for _ in 0..300 {
            tokio::task::yield_now().await;
        }
    }

    /// Somebody sets it back by this much. Who sleeps looks again.
    pub(crate) fn set_back(&self, by: Duration) {
        let mut s = self.0.lock().unwrap();
        s.passed -= by;
        std::mem::take(&mut s.waiting).into_values().for_each(|w| _ = w.send(()));
    }

    /// Lets this much time pass.
    pub(crate) async fn pass(&self, time: Duration) {
        let end = self.now().plus(time.as_micros() as i64);
        loop {
            self.settle().await;
            let now = self.now();
            let mut s = self.0.lock().unwrap();
            s.waiting.retain(|_, w| !w.is_closed());
            let next = s.waiting.first_key_value().map_or(end, |((at, _), _)| (*at).clamp(now, end));
            s.passed += Duration::from_micros((next.0 - now.0) as u64);
            let mut due = Vec::new();
            while let Some(first) = s.waiting.first_entry().filter(|e| e.key().0 <= next) {
                due.push(first.remove());
            }
            drop(s);
            let woken = due.into_iter().filter_map(|w| w.send(()).ok()).count();
            if next == end && woken == 0 {
                return;
            }
        }
    }
}

/// Options for jobs whose time the test moves.
pub(crate) fn options_at(clock: &Arc<TestClock>) -> JobOptions {
    JobOptions { clock: clock.clone(), ..job_options() }
}

/// A plan of nodes in order; each reads the nodes of these numbers.
pub(crate) fn plan(lanes: usize, nodes: Vec<(&str, Fake, Vec<usize>)>) -> Plan {
    let mut graph = Graph::default();
    for (id, (label, fake, from)) in nodes.into_iter().enumerate() {
        let input = GraphInput {
            tag: "input".to_owned(),
            from: from.into_iter().map(|n| (n, 0)).collect(),
            shape: shape(),
        };
        graph.nodes.push(GraphNode {
            id,
            leaf: Some(id),
            label: label.to_owned(),
            type_name: "Fake".to_owned(),
            node: Arc::new(fake),
            inputs: if input.from.is_empty() { Vec::new() } else { vec![input] },
            span: Default::default(),
            implicit: false,
            ahead_of: None,
        });
    }
    let stages = stages::fuse(&graph, lanes);
    Plan { graph, stages }
}

type OnBatch = fn(Batch, &mut OpCx) -> Result<More>;

#[derive(Debug)]
pub(crate) struct Fake {
    outputs: Vec<Output>,
    what: What,
}

#[derive(Clone, Debug)]
enum What {
    Source(Range<i64>, usize),
    Divided(Range<i64>, usize),
    Operator(OnBatch),
    Keyed,
    Delayed,
    Repeating(usize),
    Outside(Outside),
    Live(LiveInput),
    /// Keeps rows until the watermark passes the end of their ten seconds.
    Tens,
    Sink(Seen),
}

impl Fake {
    fn new(what: What) -> Self {
        let outputs = match what {
            What::Sink(_) => Vec::new(),
            _ => {
                let shape = Shape { bounded: !matches!(what, What::Live(_)), ..shape() };
                vec![Output { tag: "out".to_owned(), shape, role: OutputRole::Main }]
            }
        };
        Fake { outputs, what }
    }
    pub(crate) fn source(numbers: Range<i64>, batch: usize) -> Self {
        Fake::new(What::Source(numbers, batch))
    }
    /// Gives the numbers in as many lanes as there are, which take them from one queue.
    pub(crate) fn divided(numbers: Range<i64>, batch: usize) -> Self {
        Fake::new(What::Divided(numbers, batch))
    }
    pub(crate) fn operator(f: OnBatch) -> Self {
        Fake::new(What::Operator(f))
    }
    /// Passes rows on, spread by their number.
    pub(crate) fn keyed() -> Self {
        Fake::new(What::Keyed)
    }
    /// Gives each row at the processing time of its number in seconds.
    pub(crate) fn delayed() -> Self {
        Fake::new(What::Delayed)
    }
    /// Gives each row several times.
    pub(crate) fn repeating(times: usize) -> Self {
        Fake::new(What::Repeating(times))
    }
    /// Asks something outside.
    pub(crate) fn outside(outside: &Outside) -> Self {
        Fake::new(What::Outside(outside.clone()))
    }
    /// Gives what a test hands it, and does not end.
    pub(crate) fn live(input: &LiveInput) -> Self {
        Fake::new(What::Live(input.clone()))
    }
    /// Keeps rows until the watermark passes the next full ten seconds of their number.
    pub(crate) fn tens() -> Self {
        Fake::new(What::Tens)
    }
    pub(crate) fn sink(seen: &Seen) -> Self {
        Fake::new(What::Sink(seen.clone()))
    }
    pub(crate) fn numbers(batch: &Batch) -> Vec<i64> {
        batch.rows.column(0).as_primitive::<Int64Type>().values().to_vec()
    }
}

impl PlanNode for Fake {
    fn outputs(&self) -> &[Output] {
        &self.outputs
    }
    fn explain(&self) -> String {
        String::new()
    }
    fn distribution(&self, _: Port) -> Distribution {
        if matches!(self.what, What::Keyed) { Distribution::Keyed(vec![0]) } else { Distribution::Any }
    }
    fn is_async(&self) -> bool {
        matches!(self.what, What::Outside(_))
    }
    fn lanes_max(&self) -> usize {
        if matches!(self.what, What::Divided(..)) { usize::MAX } else { 1 }
    }
    fn build(&self, cx: &BuildCx) -> Result<Running> {
        let source = |numbers, batch: &usize| Running::Source(Box::new(Numbers { numbers, batch: *batch }));
        Ok(match &self.what {
            What::Source(numbers, batch) => source(Arc::new(Mutex::new(numbers.clone())), batch),
            What::Divided(numbers, batch) => {
                source(cx.shared.get_or_make(|| Mutex::new(numbers.clone()))?, batch)
            }
            What::Operator(f) => Running::Operator(Box::new(Calls(*f))),
            What::Keyed => Running::Operator(Box::new(Calls(|batch, cx| {
                cx.fates.passed += batch.len() as u64;
                cx.emit(0, batch);
                Ok(More::No)
            }))),
            What::Delayed => Running::Operator(Box::new(Delayed)),
            What::Repeating(times) => {
                Running::Operator(Box::new(Repeating { times: *times, left: Vec::new() }))
            }
            What::Outside(outside) => {
                outside.state.lock().unwrap().built += 1;
                Running::Async(Box::new(outside.clone()))
            }
            What::Live(input) => Running::Source(Box::new(input.clone())),
            What::Tens => Running::Operator(Box::new(Tens::default())),
            What::Sink(seen) => Running::Sink(Box::new(seen.clone())),
        })
    }
}

struct Numbers {
    numbers: Arc<Mutex<Range<i64>>>,
    batch: usize,
}

impl Source for Numbers {
    fn next(&mut self, _: Budget) -> BoxFuture<'_, Result<Pull>> {
        let next: Vec<i64> = self.numbers.lock().unwrap().by_ref().take(self.batch).collect();
        Box::pin(async move {
            if next.is_empty() {
                return Ok(Pull::done());
            }
            Ok(Pull {
                read: next.len() as u64,
                batches: vec![(0, rows(&next))],
                watermark: EventTime::MIN,
                status: SourceStatus::Ready,
                resume: Resume::Barrier,
                dead: 0,
                skipped: 0,
            })
        })
    }
}

struct Calls(OnBatch);

impl Operator for Calls {
    fn on_batch(&mut self, _: Port, batch: Batch, cx: &mut OpCx) -> Result<More> {
        (self.0)(batch, cx)
    }
}

struct Delayed;

impl Operator for Delayed {
    fn on_batch(&mut self, _: Port, batch: Batch, cx: &mut OpCx) -> Result<More> {
        for n in Fake::numbers(&batch) {
            cx.set_timer(n as TimerId, t(n));
            cx.holds.add(t(n), "row");
            cx.fates.in_state += 1;
        }
        Ok(More::No)
    }
    fn on_timer(&mut self, id: TimerId, cx: &mut OpCx) -> Result<More> {
        let n = id as i64;
        assert!(cx.holds.release(t(n), "row"));
        cx.fates.in_state -= 1;
        cx.fates.passed += 1;
        cx.emit(0, rows(&[n]));
        Ok(More::No)
    }
    fn on_end(&mut self, cx: &mut OpCx) -> Result<More> {
        let left: Vec<i64> = cx.holds.iter().map(|(at, _, _)| at.0 / 1_000_000).collect();
        for n in left {
            self.on_timer(n as TimerId, cx)?;
        }
        Ok(More::No)
    }
}

struct Repeating {
    times: usize,
    left: Vec<(Batch, usize)>,
}

impl Operator for Repeating {
    fn on_batch(&mut self, _: Port, batch: Batch, cx: &mut OpCx) -> Result<More> {
        cx.fates.passed += batch.len() as u64;
        self.left.push((batch, self.times));
        self.resume(cx)
    }
    fn resume(&mut self, cx: &mut OpCx) -> Result<More> {
        let Some((batch, times)) = self.left.pop() else { return Ok(More::No) };
        cx.emit(0, batch.clone());
        if times > 1 {
            self.left.push((batch, times - 1));
        }
        Ok(if self.left.is_empty() { More::No } else { More::Yes })
    }
}

/// Rows by the end of their ten seconds, with the epoch of the first.
#[derive(Default)]
struct Tens(BTreeMap<i64, (u64, Vec<i64>)>);

impl Operator for Tens {
    fn on_batch(&mut self, _: Port, batch: Batch, cx: &mut OpCx) -> Result<More> {
        for n in Fake::numbers(&batch) {
            let end = (n / 10 + 1) * 10;
            if t(end) <= cx.watermark {
                cx.fates.late += 1;
                continue;
            }
            let (_, rows) = self.0.entry(end).or_insert_with(|| {
                cx.kept.add(cx.epoch);
                (cx.epoch, Vec::new())
            });
            rows.push(n);
            cx.fates.in_state += 1;
        }
        Ok(More::No)
    }
    fn on_watermark(&mut self, cx: &mut OpCx) -> Result<More> {
        while self.0.first_key_value().is_some_and(|(end, _)| t(*end) <= cx.watermark) {
            let (_, (epoch, numbers)) = self.0.pop_first().unwrap();
            assert!(cx.kept.release(epoch));
            cx.fates.in_state -= numbers.len() as u64;
            cx.fates.passed += numbers.len() as u64;
            cx.emit(0, rows(&numbers));
        }
        Ok(More::No)
    }
}

/// What a test hands to a live source, and what the source was told.
#[derive(Clone, Default)]
pub(crate) struct LiveInput(Arc<(Mutex<Given>, Notify)>);

#[derive(Default)]
struct Given {
    waiting: VecDeque<(Vec<i64>, Option<EventTime>)>,
    watermark: Option<EventTime>,
    heard: bool,
    pulls: usize,
    /// A barrier can pass after every so many batches; 0: after none.
    border: usize,
    restarted: bool,
    /// What a test has to say when it is asked for rows.
    on_pull: Option<Box<dyn Fn() + Send>>,
    batches: usize,
    /// Rows of the epoch under way, and of those that ended.
    since: Vec<i64>,
    epochs: Vec<(u64, Vec<i64>)>,
    acknowledged: Vec<i64>,
    closed: bool,
}

impl std::fmt::Debug for LiveInput {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LiveInput")
    }
}

impl LiveInput {
    /// A barrier can pass after every so many batches.
    pub(crate) fn with_borders(every: usize) -> Self {
        let input = LiveInput::default();
        input.0.0.lock().unwrap().border = every;
        input
    }
    /// Does this whenever it is asked for rows.
    pub(crate) fn on_pull(&self, does: impl Fn() + Send + 'static) {
        self.0.0.lock().unwrap().on_pull = Some(Box::new(does));
    }
    /// True if it was told that an earlier process left no position.
    pub(crate) fn restarted(&self) -> bool {
        self.0.0.lock().unwrap().restarted
    }
    /// Rows, then a watermark in seconds. Without rows, the source is idle.
    pub(crate) fn give(&self, numbers: &[i64], watermark: Option<i64>) {
        self.0.0.lock().unwrap().waiting.push_back((numbers.to_vec(), watermark.map(t)));
        self.0.1.notify_one();
    }
    pub(crate) fn acknowledged(&self) -> Vec<i64> {
        self.0.0.lock().unwrap().acknowledged.clone()
    }
    /// How often it was asked for rows.
    pub(crate) fn pulls(&self) -> usize {
        self.0.0.lock().unwrap().pulls
    }
    /// Batches that nobody took yet.
    pub(crate) fn waiting(&self) -> usize {
        self.0.0.lock().unwrap().waiting.len()
    }
    pub(crate) fn closed(&self) -> bool {
        self.0.0.lock().unwrap().closed
    }
    pub(crate) fn epochs(&self) -> usize {
        self.0.0.lock().unwrap().epochs.len()
    }
}

impl Source for LiveInput {
    fn restarted(&mut self) {
        self.0.0.lock().unwrap().restarted = true;
    }
    fn next(&mut self, _: Budget) -> BoxFuture<'_, Result<Pull>> {
        Box::pin(async move {
            {
                let mut given = self.0.0.lock().unwrap();
                given.pulls += 1;
                given.on_pull.iter().for_each(|does| does());
            }
            loop {
                {
                    let mut given = self.0.0.lock().unwrap();
                    let given = &mut *given;
                    let next = given.waiting.pop_front();
                    let idle = next.is_none();
                    if !idle || !given.heard {
                        let (numbers, watermark) = next.unwrap_or_default();
                        given.heard = true;
                        given.watermark = given.watermark.max(watermark);
                        given.since.extend(&numbers);
                        given.batches += usize::from(!numbers.is_empty());
                        let is_border = given.border > 0 && given.batches.is_multiple_of(given.border);
                        return Ok(Pull {
                            read: numbers.len() as u64,
                            batches: if numbers.is_empty() { vec![] } else { vec![(0, rows(&numbers))] },
                            watermark: given.watermark.unwrap_or(EventTime::MIN),
                            status: if numbers.is_empty() {
                                SourceStatus::Idle(0)
                            } else {
                                SourceStatus::Ready
                            },
                            resume: match is_border {
                                true => Resume::Seek(given.batches.to_string().into()),
                                false => Resume::Barrier,
                            },
                            dead: 0,
                            skipped: 0,
                        });
                    }
                }
                self.0.1.notified().await;
            }
        })
    }
    fn barrier(&mut self, epoch: u64) {
        let mut given = self.0.0.lock().unwrap();
        let rows = std::mem::take(&mut given.since);
        assert!(given.epochs.last().is_none_or(|(e, _)| *e < epoch), "epochs rise");
        given.epochs.push((epoch, rows));
    }
    fn committed(&mut self, epoch: u64) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            let mut given = self.0.0.lock().unwrap();
            let epochs = std::mem::take(&mut given.epochs);
            for (e, rows) in epochs {
                if e <= epoch {
                    given.acknowledged.extend(rows);
                } else {
                    given.epochs.push((e, rows));
                }
            }
            Ok(())
        })
    }
    fn close(&mut self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            self.0.0.lock().unwrap().closed = true;
            Ok(())
        })
    }
}

/// Gives rows back after a while, each second bundle sooner than the one before it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outside {
    pub(crate) state: Arc<Mutex<Asked>>,
    /// The bundle with this row fails.
    pub(crate) fails_at: Option<i64>,
    /// The bundle with this row loses a row.
    pub(crate) loses_at: Option<i64>,
    /// The bundle with this row never answers.
    pub(crate) hangs_at: Option<i64>,
    /// How long a bundle takes, and by which clock, instead of a few turns.
    pub(crate) takes: Option<(Arc<TestClock>, Duration)>,
}

#[derive(Debug, Default)]
pub(crate) struct Asked {
    built: usize,
    flying: usize,
    most: usize,
}

impl Outside {
    pub(crate) fn built(&self) -> usize {
        self.state.lock().unwrap().built
    }
    /// Bundles in flight now, and the most there were at once.
    pub(crate) fn flying(&self) -> usize {
        self.state.lock().unwrap().flying
    }
    pub(crate) fn most(&self) -> usize {
        self.state.lock().unwrap().most
    }
}

/// Counts a bundle as in flight for as long as its future lives.
struct Flying(Arc<Mutex<Asked>>);

impl Drop for Flying {
    fn drop(&mut self) {
        self.0.lock().unwrap().flying -= 1;
    }
}

impl AsyncOperator for Outside {
    fn submit(&mut self, _: Port, batch: Batch) -> BoxFuture<'static, Result<Answer>> {
        let numbers = Fake::numbers(&batch);
        let has = |n: Option<i64>| n.is_some_and(|n| numbers.contains(&n));
        let (fails, loses, hangs) = (has(self.fails_at), has(self.loses_at), has(self.hangs_at));
        let turns = if numbers.first().is_some_and(|n| n % 2 == 0) { 9 } else { 1 };
        let (state, takes) = (self.state.clone(), self.takes.clone());
        {
            let mut s = state.lock().unwrap();
            s.flying += 1;
            s.most = s.most.max(s.flying);
        }
        let flying = Flying(state);
        Box::pin(async move {
            let _flying = flying;
            if hangs {
                std::future::pending::<()>().await;
            }
            if let Some((clock, takes)) = takes {
                clock.sleep(clock.now().plus(takes.as_micros() as i64)).await;
            }
            for _ in 0..turns {
                tokio::task::yield_now().await;
            }
            if fails {
                return Err(purlin_api::Error::data("row 70"));
            }
            let mut answer = Answer::default();
            answer.fates.passed = batch.len() as u64 - u64::from(loses);
            answer.outputs.push((0, batch));
            Ok(answer)
        })
    }
    fn in_flight_max(&self) -> usize {
        3
    }
}

/// A sink that remembers what it was told.
#[derive(Clone, Default)]
pub(crate) struct Seen(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    numbers: Vec<i64>,
    largest: usize,
    watermark: Option<EventTime>,
    finished: bool,
    aborted: bool,
    on_row: Option<(usize, Box<dyn Fn() + Send>)>,
    /// How many rows had come when an epoch was prepared, and how many are committed.
    prepared: Vec<(u64, usize)>,
    committed: usize,
    /// The same of all epochs that were prepared.
    history: Vec<(u64, usize)>,
    restored: Option<u64>,
    /// Writing waits while this is set.
    blocked: Option<Arc<Notify>>,
    /// Preparing fails.
    fails: bool,
}

impl std::fmt::Debug for Seen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Seen")
    }
}

impl Seen {
    pub(crate) fn numbers(&self) -> Vec<i64> {
        self.0.lock().unwrap().numbers.clone()
    }
    pub(crate) fn largest_batch(&self) -> usize {
        self.0.lock().unwrap().largest
    }
    pub(crate) fn watermark(&self) -> EventTime {
        self.0.lock().unwrap().watermark.unwrap_or(EventTime::MIN)
    }
    pub(crate) fn finished(&self) -> bool {
        self.0.lock().unwrap().finished
    }
    pub(crate) fn aborted(&self) -> bool {
        self.0.lock().unwrap().aborted
    }
    /// How many rows came in an epoch that was prepared.
    pub(crate) fn rows_of(&self, epoch: u64) -> Option<usize> {
        let history = &self.0.lock().unwrap().history;
        let at = history.iter().position(|(e, _)| *e == epoch)?;
        let before = at.checked_sub(1).map_or(0, |i| history[i].1);
        Some(history[at].1 - before)
    }
    /// The epoch after which it goes on.
    pub(crate) fn restored(&self) -> Option<u64> {
        self.0.lock().unwrap().restored
    }
    /// How many of the rows that came are committed.
    pub(crate) fn committed(&self) -> usize {
        self.0.lock().unwrap().committed
    }
    /// From now on writing waits until the answer is notified.
    pub(crate) fn block(&self) -> Arc<Notify> {
        let gate = Arc::new(Notify::new());
        self.0.lock().unwrap().blocked = Some(gate.clone());
        gate
    }
    /// From now on it cannot prepare.
    pub(crate) fn fail(&self) {
        self.0.lock().unwrap().fails = true;
    }
    pub(crate) fn unblock(&self) {
        if let Some(gate) = self.0.lock().unwrap().blocked.take() {
            gate.notify_one();
        }
    }
    /// Calls `f` once this many rows have come.
    pub(crate) fn on_row(&self, count: usize, f: impl Fn() + Send + 'static) {
        self.0.lock().unwrap().on_row = Some((count, Box::new(f)));
    }
}

impl Sink for Seen {
    fn write(&mut self, batch: Batch) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            let gate = self.0.lock().unwrap().blocked.clone();
            if let Some(gate) = gate {
                gate.notified().await;
            }
            let mut s = self.0.lock().unwrap();
            s.numbers.extend(Fake::numbers(&batch));
            s.largest = s.largest.max(batch.len());
            if let Some((count, f)) = &s.on_row
                && s.numbers.len() >= *count
            {
                f();
            }
            Ok(())
        })
    }
    fn on_watermark(&mut self, to: EventTime) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            let mut s = self.0.lock().unwrap();
            assert!(s.watermark.is_none_or(|w| w < to), "watermarks only grow");
            s.watermark = Some(to);
            Ok(())
        })
    }
    fn prepare(&mut self, epoch: u64) -> BoxFuture<'_, Result<Bytes>> {
        Box::pin(async move {
            let mut s = self.0.lock().unwrap();
            if s.fails {
                return Err(purlin_api::Error::data("cannot prepare"));
            }
            let rows = s.numbers.len();
            s.prepared.push((epoch, rows));
            s.history.push((epoch, rows));
            Ok(Bytes::from(epoch.to_string()))
        })
    }
    fn commit(&mut self, epoch: u64, prepared: Bytes) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            let mut s = self.0.lock().unwrap();
            assert_eq!(prepared, Bytes::from(epoch.to_string()));
            let (of, rows) = s.prepared.remove(0);
            assert_eq!(of, epoch);
            s.committed = rows;
            Ok(())
        })
    }
    fn restore(&mut self, epoch: u64, prepared: Vec<Bytes>) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            assert!(prepared.iter().all(|p| *p == epoch.to_string()), "what was prepared for that epoch");
            self.0.lock().unwrap().restored = Some(epoch);
            Ok(())
        })
    }
    fn finish(&mut self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            self.0.lock().unwrap().finished = true;
            Ok(())
        })
    }
    fn abort(&mut self) {
        self.0.lock().unwrap().aborted = true;
    }
}
