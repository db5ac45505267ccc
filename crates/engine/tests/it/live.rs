//! Jobs that do not end by themselves: epochs, acknowledgements, stopping, idleness, timers, backpressure.
//!
//! Time passes when a test says so: seconds cost nothing, and limits are exact.

use super::fakes::{Fake, LiveInput, Outside, Seen, TestClock, options_at, plan, rows, t};
use super::numbers;
use purlin_api::EventTime;
use purlin_engine::clock::Clock;
use purlin_engine::why::Busy;
use purlin_engine::{Ending, Job, JobOptions, Left, Live, Outcome, StepRun, Stop, Watcher};
use purlin_plan::Plan;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::task::JoinHandle;

const MS: Duration = Duration::from_millis(1);

/// A job that runs while the test goes on.
struct Running {
    stop: Stop,
    watcher: Watcher,
    task: JoinHandle<Outcome>,
}

fn start(plan: &Plan, options: JobOptions) -> Running {
    let job = Job::new(plan, options).unwrap();
    assert!(job.is_live());
    let (stop, watcher) = (job.stop_handle(), job.watcher().unwrap());
    #[allow(clippy::disallowed_methods)] // a test's own task
    let task = tokio::spawn(job.run_async());
    Running { stop, watcher, task }
}

impl Running {
    async fn end(self, clock: &TestClock) -> Outcome {
        clock.pass(Duration::from_secs(60)).await;
        assert!(self.task.is_finished(), "the job hangs");
        self.task.await.unwrap()
    }
}

fn straight(input: &LiveInput, seen: &Seen) -> Plan {
    plan(1, vec![("In", Fake::live(input), vec![]), ("Out", Fake::sink(seen), vec![0])])
}

fn windowed(input: &LiveInput, seen: &Seen) -> Plan {
    let nodes = vec![
        ("In", Fake::live(input), vec![]),
        ("Key", Fake::keyed(), vec![0]),
        ("Tens", Fake::tens(), vec![1]),
        ("Out", Fake::sink(seen), vec![2]),
    ];
    plan(2, nodes)
}

#[tokio::test]
async fn rows_are_acknowledged_after_they_are_committed() {
    let clock = Arc::<TestClock>::default();
    let (input, seen) = (LiveInput::default(), Seen::default());
    input.give(&[1, 2], Some(1));
    let running = start(&straight(&input, &seen), options_at(&clock));
    clock.pass(50 * MS).await;
    assert_eq!((numbers(&seen), seen.committed(), input.acknowledged()), (vec![1, 2], 0, vec![]));
    clock.pass(2000 * MS).await;
    assert_eq!((seen.committed(), input.acknowledged()), (2, vec![1, 2]));
    let epochs = input.epochs();
    clock.pass(60_000 * MS).await;
    assert_eq!(input.epochs(), epochs, "where nothing moves there are no epochs");
    input.give(&[3], None);
    clock.pass(MS).await;
    assert_eq!(numbers(&seen), [1, 2, 3], "a row that comes wakes the source at once");
    running.stop.stop();
    let outcome = running.end(&clock).await;
    outcome.result.unwrap();
    assert!(matches!(outcome.ending, Ending::Stopped(Left { unacknowledged_rows: 0, .. })));
    assert_eq!((seen.committed(), input.acknowledged()), (3, vec![1, 2, 3]), "the last epoch is committed");
    assert!(input.closed() && !seen.finished());
}

#[tokio::test]
async fn epochs_flow_through_lanes_and_asynchronous_stages() {
    let clock = Arc::<TestClock>::default();
    for lanes in [1, 3] {
        let (input, seen, outside) = (LiveInput::default(), Seen::default(), Outside::default());
        let nodes = vec![
            ("In", Fake::live(&input), vec![]),
            ("Ask", Fake::outside(&outside), vec![0]),
            ("Key", Fake::keyed(), vec![1]),
            ("Out", Fake::sink(&seen), vec![2]),
        ];
        let running = start(&plan(lanes, nodes), options_at(&clock));
        for n in 0..100 {
            input.give(&[n], Some(n));
            clock.pass(37 * MS).await;
        }
        clock.pass(3000 * MS).await;
        assert_eq!(input.acknowledged(), (0..100).collect::<Vec<_>>());
        assert_eq!((numbers(&seen).len(), seen.committed()), (100, 100));
        running.stop.stop();
        running.end(&clock).await.result.unwrap();
    }
}

#[tokio::test]
async fn rows_in_open_windows_are_not_acknowledged_and_come_back_after_a_stop() {
    let clock = Arc::<TestClock>::default();
    let (input, seen) = (LiveInput::default(), Seen::default());
    let running = start(&windowed(&input, &seen), options_at(&clock));
    input.give(&[1, 2, 3], Some(3));
    clock.pass(3000 * MS).await;
    input.give(&[4, 11], Some(9));
    clock.pass(3000 * MS).await;
    assert_eq!((numbers(&seen), input.acknowledged()), (vec![], vec![]), "all are in windows");
    input.give(&[], Some(10));
    clock.pass(3000 * MS).await;
    // The window [0, 10) is out. 4 and 11 came in one epoch, and 11 is still in state.
    assert_eq!((numbers(&seen), input.acknowledged()), (vec![1, 2, 3, 4], vec![1, 2, 3]));
    running.stop.stop();
    let outcome = running.end(&clock).await;
    outcome.result.unwrap();
    let Ending::Stopped(left) = outcome.ending else { panic!("{:?}", outcome.ending) };
    assert_eq!((left.unacknowledged_rows, left.early_rows), (2, 0));
    assert_eq!(outcome.stats[2].fates().in_state, 1, "the window that is open keeps its row");
    assert_eq!((numbers(&seen), seen.committed()), (vec![1, 2, 3, 4], 4));
}

#[tokio::test]
async fn a_drain_closes_windows_and_acknowledges_everything() {
    let clock = Arc::<TestClock>::default();
    let (input, seen) = (LiveInput::default(), Seen::default());
    let running = start(&windowed(&input, &seen), options_at(&clock));
    input.give(&[1, 2, 13], Some(3));
    clock.pass(100 * MS).await;
    running.stop.drain();
    let outcome = running.end(&clock).await;
    outcome.result.unwrap();
    assert!(matches!(outcome.ending, Ending::Drained(_)));
    assert_eq!((numbers(&seen), input.acknowledged()), (vec![1, 2, 13], vec![1, 2, 13]));
    assert!(seen.finished() && input.closed());
}

#[tokio::test]
async fn it_drains_by_itself_after_a_time_or_when_nothing_comes() {
    let clock = Arc::<TestClock>::default();
    for (live, seconds) in [
        (Live { until_idle: Some(5000 * MS), ..Live::default() }, 9),
        (Live { run_for: Some(60_000 * MS), ..Live::default() }, 60),
    ] {
        let (input, seen) = (LiveInput::default(), Seen::default());
        let options = JobOptions { live, ..options_at(&clock) };
        let begun = clock.now();
        let running = start(&windowed(&input, &seen), options);
        for n in 0..5 {
            input.give(&[n], Some(n));
            input.give(&[], None);
            clock.pass(1000 * MS).await;
        }
        while clock.now() < begun.plus((seconds - 1) * 1_000_000) {
            assert!(!running.task.is_finished());
            clock.pass(100 * MS).await;
        }
        clock.pass(1200 * MS).await;
        assert!(running.task.is_finished(), "it is over after {seconds} s");
        let outcome = running.end(&clock).await;
        assert!(matches!(outcome.ending, Ending::Drained(_)));
        assert_eq!((numbers(&seen).len(), input.acknowledged().len()), (5, 5));
    }
}

#[tokio::test]
async fn a_halt_ends_at_once_even_while_a_sink_waits() {
    let clock = Arc::<TestClock>::default();
    let (input, seen) = (LiveInput::default(), Seen::default());
    let running = start(&straight(&input, &seen), options_at(&clock));
    let _gate = seen.block();
    input.give(&[1], None);
    clock.pass(100 * MS).await;
    running.stop.stop();
    clock.pass(10_000 * MS).await;
    assert!(!running.task.is_finished(), "what is in flight is waited for");
    running.stop.halt();
    let outcome = running.end(&clock).await;
    assert_eq!(outcome.ending, Ending::Halted);
    assert!(seen.aborted() && input.acknowledged().is_empty());
}

#[tokio::test]
async fn the_oldest_epochs_are_acknowledged_when_too_many_rows_wait() {
    let clock = Arc::<TestClock>::default();
    let (input, seen) = (LiveInput::default(), Seen::default());
    let told = Arc::new(AtomicUsize::new(0));
    let counter = told.clone();
    let options = JobOptions {
        live: Live { unacknowledged_rows_max: 30, ..Live::default() },
        log: Arc::new(move |_, _, text| {
            assert!(text.contains("more than 30 rows"));
            counter.fetch_add(1, Ordering::SeqCst);
        }),
        ..options_at(&clock)
    };
    let running = start(&windowed(&input, &seen), options);
    for round in 0..10 {
        input.give(&[round; 10], None);
        clock.pass(1500 * MS).await;
    }
    assert_eq!(input.acknowledged().len(), 70);
    running.stop.stop();
    let Ending::Stopped(left) = running.end(&clock).await.ending else { panic!() };
    assert_eq!((left.early_rows, left.unacknowledged_rows), (70, 30));
    assert_eq!(told.load(Ordering::SeqCst), 1, "said once");
}

#[tokio::test]
async fn a_blocked_sink_stops_the_source() {
    let clock = Arc::<TestClock>::default();
    let (input, seen) = (LiveInput::default(), Seen::default());
    let nodes = vec![
        ("In", Fake::live(&input), vec![]),
        ("Key", Fake::keyed(), vec![0]),
        ("Out", Fake::sink(&seen), vec![1]),
    ];
    let mut options = options_at(&clock);
    options.bounds.rows_max = 20;
    let gate = seen.block();
    let running = start(&plan(2, nodes), options);
    (0..1000).for_each(|n| input.give(&[n; 5], None));
    clock.pass(60_000 * MS).await;
    // Three queues of 20 rows in each of 2 lanes, and what each of the lanes has in hand.
    let taken = 1000 - input.waiting();
    assert!(taken < 60, "{taken} batches of 5 rows were taken");
    let pulls = input.pulls();
    clock.pass(60_000 * MS).await;
    assert_eq!(input.pulls(), pulls, "the source is not asked");
    // Who looks is told what the lanes are busy with, though they cannot answer.
    let look = running.watcher.ask();
    clock.pass(1000 * MS).await;
    assert!(!running.watcher.is_answered(&look));
    let view = running.watcher.view(&look, clock.now());
    let busy: Vec<Busy> = view.lanes.iter().map(|l| l.busy).collect();
    let long_ago = |since: &EventTime| clock.now().0 - since.0 > 100_000_000;
    assert!(
        busy.iter().any(|b| matches!(b, Busy::Writing { node: 2, since } if long_ago(since))),
        "{busy:?}"
    );
    assert!(busy.iter().any(|b| matches!(b, Busy::Sending { since, .. } if long_ago(since))), "{busy:?}");
    drop(gate);
    seen.unblock();
    clock.pass(1000 * MS).await;
    assert_eq!(numbers(&seen).len(), 5000);
    let look = running.watcher.ask();
    clock.pass(MS).await;
    assert!(running.watcher.is_answered(&look));
    let view = running.watcher.view(&look, clock.now());
    assert!(view.lanes.iter().all(|l| l.is_fresh && l.busy == Busy::No && !l.views.is_empty()));
    running.stop.stop();
    running.end(&clock).await.result.unwrap();
    assert_eq!(input.acknowledged().len(), 5000);
}

#[tokio::test]
async fn timers_fire_on_time_while_the_source_waits() {
    let clock = Arc::<TestClock>::default();
    let (input, seen) = (LiveInput::default(), Seen::default());
    let nodes = vec![
        ("In", Fake::live(&input), vec![]),
        ("Delayed", Fake::delayed(), vec![0]),
        ("Out", Fake::sink(&seen), vec![1]),
    ];
    let running = start(&plan(1, nodes), options_at(&clock));
    // The clock is at 1,000,000 s: rows are given when it shows their number.
    input.give(&[1_000_002, 1_000_900], None);
    clock.pass(1999 * MS).await;
    assert!(numbers(&seen).is_empty());
    clock.pass(2 * MS).await;
    assert_eq!(numbers(&seen), [1_000_002]);
    let pulls = input.pulls();
    clock.pass(800_000 * MS).await;
    assert!(input.pulls() - pulls < 50, "{} pulls while nothing came", input.pulls() - pulls);
    clock.pass(200_000 * MS).await;
    assert_eq!(numbers(&seen), [1_000_002, 1_000_900]);
    running.stop.stop();
    running.end(&clock).await.result.unwrap();
    assert_eq!(input.acknowledged().len(), 2);
}

#[tokio::test]
async fn a_window_goes_out_when_the_watermark_passes_it() {
    let clock = Arc::<TestClock>::default();
    let (input, seen) = (LiveInput::default(), Seen::default());
    let running = start(&windowed(&input, &seen), options_at(&clock));
    input.give(&[1], Some(3));
    clock.pass(100_000 * MS).await;
    input.give(&[], Some(10));
    clock.pass(MS).await;
    assert_eq!(numbers(&seen), [1]);
    running.stop.stop();
    running.end(&clock).await.result.unwrap();
}

/// Two inputs that meet.
fn meeting(a: &LiveInput, b: &LiveInput, seen: &Seen) -> Plan {
    let nodes = vec![
        ("A", Fake::live(a), vec![]),
        ("B", Fake::live(b), vec![]),
        ("Key", Fake::keyed(), vec![0, 1]),
        ("Out", Fake::sink(seen), vec![2]),
    ];
    plan(2, nodes)
}

#[tokio::test]
async fn a_source_never_heard_from_does_not_hold_time() {
    let clock = Arc::<TestClock>::default();
    let (a, b, seen) = (LiveInput::default(), LiveInput::default(), Seen::default());
    let running = start(&meeting(&a, &b, &seen), options_at(&clock));
    a.give(&[1], Some(5));
    clock.pass(MS).await;
    assert_eq!(seen.watermark(), t(5));
    // Both are idle: time follows what they promise.
    a.give(&[], Some(7));
    clock.pass(MS).await;
    assert_eq!(seen.watermark(), t(7));
    b.give(&[2], Some(8));
    a.give(&[3], Some(9));
    clock.pass(MS).await;
    assert_eq!(seen.watermark(), t(8), "B is alive and holds time");
    b.give(&[], Some(8));
    clock.pass(MS).await;
    assert_eq!(seen.watermark(), t(9), "B is idle again");
    running.stop.drain();
    running.end(&clock).await.result.unwrap();
    assert_eq!(seen.watermark(), EventTime::MAX);
}

#[test]
fn idleness_goes_through_holds_and_merges() {
    // A's rows wait for the clock in front of the merge: what they give is a sign of life, and then A is idle again.
    let seen = Seen::default();
    let nodes = vec![
        ("A", Fake::live(&LiveInput::default()), vec![]),
        ("B", Fake::live(&LiveInput::default()), vec![]),
        ("Delayed", Fake::delayed(), vec![0]),
        ("Key", Fake::keyed(), vec![2, 1]),
        ("Out", Fake::sink(&seen), vec![3]),
    ];
    let p = plan(1, nodes);
    let mut run = StepRun::new(&p, 10).unwrap();
    run.inject(0, vec![(0, rows(&[20]))]).unwrap();
    run.watermark(0, t(5)).unwrap();
    run.idle(0).unwrap();
    run.watermark(1, t(7)).unwrap();
    assert_eq!(seen.watermark(), t(7), "A is idle");
    run.advance_clock(t(20)).unwrap();
    assert_eq!(seen.numbers(), [20]);
    run.watermark(1, t(9)).unwrap();
    assert_eq!(seen.watermark(), t(9), "A is idle after its timer");
    run.idle(1).unwrap();
    run.watermark(0, t(30)).unwrap();
    assert_eq!(seen.watermark(), t(30), "B is idle");
    run.idle(0).unwrap();
    run.end(0).unwrap();
    assert_eq!(seen.watermark(), t(30), "an idle input is not an ended one");
    run.end(1).unwrap();
    run.finish().unwrap();
}

#[test]
fn what_a_window_gave_to_another_is_held_for_the_first_ones_rows() {
    let seen = Seen::default();
    let nodes = vec![
        ("In", Fake::live(&LiveInput::default()), vec![]),
        ("First", Fake::tens(), vec![0]),
        ("Key", Fake::keyed(), vec![1]),
        ("Second", Fake::delayed(), vec![2]),
        ("Out", Fake::sink(&seen), vec![3]),
    ];
    let mut run = StepRun::new(&plan(2, nodes), 10).unwrap();
    assert_eq!(run.barrier().unwrap(), None);
    run.inject(0, vec![(0, rows(&[5]))]).unwrap();
    assert_eq!(run.barrier().unwrap(), Some(2));
    run.inject(0, vec![(0, rows(&[15]))]).unwrap();
    assert_eq!(run.barrier().unwrap(), Some(2));
    run.watermark(0, t(10)).unwrap();
    assert_eq!(run.barrier().unwrap(), Some(2), "its row waits for the clock now");
    run.advance_clock(t(5)).unwrap();
    assert_eq!(seen.numbers(), [5]);
    assert_eq!(run.barrier().unwrap(), Some(3));
    run.watermark(0, t(20)).unwrap();
    run.advance_clock(t(15)).unwrap();
    assert_eq!(run.barrier().unwrap(), None);
}

#[tokio::test]
async fn a_source_that_waits_does_not_keep_others_waiting() {
    let clock = Arc::<TestClock>::default();
    let (a, b, seen) = (LiveInput::default(), LiveInput::default(), Seen::default());
    let nodes = vec![
        ("A", Fake::live(&a), vec![]),
        ("B", Fake::live(&b), vec![]),
        ("Both", Fake::repeating(1), vec![0, 1]),
        ("Out", Fake::sink(&seen), vec![2]),
    ];
    let running = start(&plan(1, nodes), options_at(&clock));
    for n in 0..10 {
        if n % 3 == 0 { &a } else { &b }.give(&[n], None);
        clock.pass(MS).await;
        assert_eq!(numbers(&seen).len() as i64, n + 1);
    }
    clock.pass(5000 * MS).await;
    assert_eq!((a.acknowledged().len(), b.acknowledged().len()), (4, 6));
    running.stop.stop();
    running.end(&clock).await.result.unwrap();
}

#[tokio::test]
async fn a_source_that_is_not_asked_is_not_idle() {
    let clock = Arc::<TestClock>::default();
    let (input, seen) = (LiveInput::default(), Seen::default());
    let live = Live { until_idle: Some(5000 * MS), ..Live::default() };
    let gate = seen.block();
    let running = start(&straight(&input, &seen), JobOptions { live, ..options_at(&clock) });
    (0..20).for_each(|n| input.give(&[n; 16], None));
    input.give(&[], None);
    clock.pass(60_000 * MS).await;
    assert!(!running.task.is_finished());
    drop(gate);
    seen.unblock();
    let outcome = running.end(&clock).await;
    assert!(matches!(outcome.ending, Ending::Drained(_)));
    assert_eq!((numbers(&seen).len(), input.acknowledged().len()), (320, 320));
}
