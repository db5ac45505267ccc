//! Checkpoints of jobs on threads: where barriers may pass, and what is written when something fails.

use super::fakes::{Fake, LiveInput, Seen, TestClock, options_at, plan};
use super::numbers;
use purlin_api::{ErrorKind, EventTime};
use purlin_engine::checkpoint::{CheckpointStore, Checkpoints, From, Memory};
use purlin_engine::clock::Clock;
use purlin_engine::{Ending, Job, Outcome, Stop};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;

struct Running {
    stop: Stop,
    task: JoinHandle<Outcome>,
    clock: Arc<TestClock>,
}

/// A source, a transform in two lanes, a sink, on this store.
fn start(input: &LiveInput, seen: &Seen, store: &Arc<Memory>) -> Running {
    start_with(input, seen, open(store, "run"))
}

fn open(store: &Arc<Memory>, run: &str) -> Checkpoints {
    Checkpoints::open(store.clone(), "p", From::Checkpoint, run).unwrap()
}

fn start_with(input: &LiveInput, seen: &Seen, checkpoints: Checkpoints) -> Running {
    let nodes = vec![
        ("In", Fake::live(input), vec![]),
        ("Key", Fake::keyed(), vec![0]),
        ("Out", Fake::sink(seen), vec![1]),
    ];
    start_nodes(nodes, checkpoints)
}

fn start_nodes(nodes: Vec<(&str, Fake, Vec<usize>)>, checkpoints: Checkpoints) -> Running {
    let clock = Arc::<TestClock>::default();
    let job = Job::new(&plan(2, nodes), options_at(&clock)).unwrap().with_checkpoints(checkpoints).unwrap();
    let stop = job.stop_handle();
    #[allow(clippy::disallowed_methods)] // a test's own task
    let task = tokio::spawn(job.run_async());
    Running { stop, task, clock }
}

impl Running {
    /// Lets time pass until this holds. Checkpoints are written on other threads, which know no test's time.
    async fn until(&self, what: &str, holds: impl Fn() -> bool) {
        for _ in 0..2000 {
            if holds() {
                return;
            }
            self.clock.pass(Duration::from_millis(10)).await;
            std::thread::yield_now();
        }
        panic!("{what}: it did not come");
    }

    async fn end(self) -> Outcome {
        self.until("the end", || self.task.is_finished()).await;
        self.task.await.unwrap()
    }
}

fn written(store: &Memory) -> usize {
    store.list().unwrap().len()
}

#[tokio::test]
async fn rows_are_shown_and_acknowledged_once_they_are_in_a_checkpoint() {
    let (input, seen, store) = (LiveInput::with_borders(1), Seen::default(), Arc::<Memory>::default());
    let running = start(&input, &seen, &store);
    input.give(&[1, 2], Some(1));
    running.until("a commit", || seen.committed() == 2 && input.acknowledged() == [1, 2]).await;
    assert_eq!(written(&store), 1);
    running.stop.stop();
    let outcome = running.end().await;
    outcome.result.unwrap();
    assert!(
        matches!(outcome.ending, Ending::Stopped(_)) && outcome.checkpoint > Some(1),
        "{:?}",
        outcome.checkpoint
    );
    assert!(input.closed() && !seen.aborted());
}

#[tokio::test]
async fn a_barrier_waits_for_a_place_where_it_can_pass() {
    for drains in [false, true] {
        let (input, seen, store) = (LiveInput::with_borders(2), Seen::default(), Arc::<Memory>::default());
        let running = start(&input, &seen, &store);
        input.give(&[1], Some(1));
        running.until("the first row", || numbers(&seen) == [1]).await;
        running.clock.pass(Duration::from_secs(5)).await;
        assert_eq!((written(&store), seen.committed()), (0, 0), "between two borders nothing is cut");
        if drains {
            running.stop.drain()
        } else {
            running.stop.stop()
        }
        running.clock.pass(Duration::from_secs(5)).await;
        assert!(!running.task.is_finished(), "what is given after a restart would come twice");
        input.give(&[2], Some(2));
        input.give(&[3], Some(3));
        let outcome = running.end().await;
        outcome.result.unwrap();
        assert_ne!(outcome.ending, Ending::End);
        assert_eq!((numbers(&seen), seen.committed()), (vec![1, 2], 2), "read to the border and no further");
        assert_eq!((input.acknowledged(), input.waiting()), (vec![1, 2], 1));
    }
}

#[tokio::test]
async fn a_job_whose_sink_fails_leaves_no_checkpoint_of_that_epoch() {
    let (input, seen, store) = (LiveInput::with_borders(1), Seen::default(), Arc::<Memory>::default());
    let running = start(&input, &seen, &store);
    input.give(&[1], Some(1));
    running.until("a commit", || seen.committed() == 1).await;
    let before = store.list().unwrap();
    seen.fail();
    input.give(&[2], Some(2));
    let outcome = running.end().await;
    assert!(outcome.result.unwrap_err().message().contains("cannot prepare"));
    assert_eq!((store.list().unwrap(), outcome.checkpoint), (before, Some(1)));
    assert!(!seen.aborted(), "what is open is in the checkpoint before");
    assert_eq!(input.acknowledged(), [1]);
}

#[tokio::test]
async fn of_two_processes_on_one_store_only_one_commits_an_epoch() {
    for stalls_long in [false, true] {
        let store = Arc::<Memory>::default();
        let (old_input, old_seen) = (LiveInput::with_borders(1), Seen::default());
        let old = start(&old_input, &old_seen, &store);
        old_input.give(&[1], Some(1));
        old.until("a commit", || old_seen.committed() == 1).await;

        // It stands still, and another takes over.
        let (input, seen) = (LiveInput::with_borders(1), Seen::default());
        let new = start(&input, &seen, &store);
        for (row, count) in [(2, 1), (3, 2), (4, 3)] {
            input.give(&[row], Some(row));
            new.until("a commit of the other", || seen.committed() == count).await;
        }
        if stalls_long {
            // As if the other had gone on until nothing needs its first ones: the old one's next name is free again.
            let names: Vec<String> = store.list().unwrap().into_iter().map(|(n, _)| n).collect();
            names.iter().rev().skip(1).for_each(|n| store.delete(n).unwrap());
        }
        old_input.give(&[2], Some(2));
        let outcome = old.end().await;
        let e = outcome.result.unwrap_err();
        assert!(e.kind() == ErrorKind::Conflict && e.message().contains("runs elsewhere, too"), "{e}");
        assert_eq!((old_seen.committed(), old_input.acknowledged()), (1, vec![1]));

        input.give(&[5], Some(5));
        new.until("the other goes on", || seen.committed() == 4).await;
        new.stop.stop();
        new.end().await.result.unwrap();
    }
}

#[tokio::test]
async fn a_bug_ends_its_own_job_and_no_other() {
    let (input, seen, store) = (LiveInput::with_borders(1), Seen::default(), Arc::<Memory>::default());
    let (other_input, other_seen, other_store) =
        (LiveInput::with_borders(1), Seen::default(), Arc::<Memory>::default());
    let (broken, other) = (start(&input, &seen, &store), start(&other_input, &other_seen, &other_store));
    input.give(&[1], Some(1));
    broken.until("a commit", || seen.committed() == 1).await;
    seen.on_row(2, || panic!("planted"));
    input.give(&[2], Some(2));
    let outcome = broken.end().await;
    let e = outcome.result.unwrap_err();
    assert!(e.kind() == ErrorKind::Internal && e.message().contains("a lane broke down"), "{e}");
    assert_eq!((written(&store), outcome.checkpoint, input.acknowledged()), (1, Some(1), vec![1]));

    other_input.give(&[3], Some(3));
    other.until("the other goes on", || other_seen.committed() == 1).await;
    other.stop.stop();
    other.end().await.result.unwrap();
}

#[tokio::test]
async fn a_lineage_outlives_a_process_that_is_killed_before_its_first_epoch() {
    let store = Arc::<Memory>::default();
    let mut killed = open(&store, "first");
    killed.begin(EventTime::from_seconds(5)).unwrap();
    assert_eq!((killed.lineage(), written(&store)), ("first", 1));
    let mut at_once = open(&Arc::default(), "first");
    at_once.begin(EventTime::from_seconds(5)).unwrap();

    let mut second = open(&store, "second");
    second.begin(EventTime::from_seconds(6)).unwrap();
    assert_eq!((second.lineage(), written(&store)), ("first", 1));
    assert_eq!(second.resumes_from(), Some((1, EventTime::from_seconds(5))));
    for (checkpoints, restarted, epoch) in [(at_once, false, 2), (second, true, 2)] {
        let (input, seen) = (LiveInput::with_borders(1), Seen::default());
        let running = start_with(&input, &seen, checkpoints);
        input.give(&[1], Some(1));
        running.until("a commit", || seen.committed() == 1).await;
        assert_eq!(input.restarted(), restarted, "what the first one had taken may still come");
        running.stop.stop();
        let outcome = running.end().await;
        outcome.result.unwrap();
        assert!(outcome.checkpoint >= Some(epoch), "{:?}", outcome.checkpoint);
    }
    assert_eq!(open(&store, "third").lineage(), "first");
}

#[tokio::test]
async fn nothing_is_read_before_all_lanes_are_as_they_were() {
    let store = Arc::<Memory>::default();
    open(&store, "killed").begin(EventTime::from_seconds(5)).unwrap();
    let inputs = [LiveInput::with_borders(1), LiveInput::with_borders(1)];
    for (input, other) in [(&inputs[0], inputs[1].clone()), (&inputs[1], inputs[0].clone())] {
        input.on_pull(move || assert!(other.restarted(), "what it shares with others is not all there"));
    }
    let seen = Seen::default();
    let nodes = vec![
        ("In", Fake::live(&inputs[0]), vec![]),
        ("Also", Fake::live(&inputs[1]), vec![]),
        ("Key", Fake::keyed(), vec![0, 1]),
        ("Out", Fake::sink(&seen), vec![2]),
    ];
    let running = start_nodes(nodes, open(&store, "run"));
    inputs[0].give(&[1], Some(1));
    inputs[1].give(&[2], Some(2));
    running.until("a commit", || seen.committed() == 2).await;
    running.stop.stop();
    running.end().await.result.unwrap();
}

#[tokio::test]
async fn a_sink_that_is_new_is_told_the_epoch() {
    let store = Arc::<Memory>::default();
    let (input, seen) = (LiveInput::with_borders(1), Seen::default());
    let running = start(&input, &seen, &store);
    input.give(&[1], Some(1));
    running.until("a commit", || seen.committed() == 1).await;
    running.stop.stop();
    let last = running.end().await.checkpoint.unwrap();

    let (input, seen, new) = (LiveInput::with_borders(1), Seen::default(), Seen::default());
    let nodes = vec![
        ("In", Fake::live(&input), vec![]),
        ("Key", Fake::keyed(), vec![0]),
        ("Out", Fake::sink(&seen), vec![1]),
        ("New", Fake::sink(&new), vec![1]),
    ];
    let running = start_nodes(nodes, open(&store, "run"));
    input.give(&[2], Some(2));
    running.until("a commit", || new.committed() == 1).await;
    assert_eq!((seen.restored(), new.restored()), (Some(last), Some(last)));
    running.stop.stop();
    running.end().await.result.unwrap();
}

#[tokio::test]
async fn a_clock_that_is_set_back_holds_no_epoch_up() {
    let (input, seen, store) = (LiveInput::with_borders(1), Seen::default(), Arc::<Memory>::default());
    let running = start(&input, &seen, &store);
    running.clock.pass(Duration::from_secs(120)).await;
    input.give(&[1], Some(1));
    running.until("a commit", || seen.committed() == 1).await;
    running.clock.set_back(Duration::from_secs(120));
    input.give(&[2], Some(2));
    let before = running.clock.now();
    running.until("a commit", || seen.committed() == 2).await;
    assert!(running.clock.now().0 - before.0 < 10_000_000);
    running.stop.stop();
    running.end().await.result.unwrap();
}

#[tokio::test]
async fn what_is_shown_before_a_stop_is_not_shown_again() {
    for drains in [false, true] {
        let (input, seen, store) = (LiveInput::with_borders(1), Seen::default(), Arc::<Memory>::default());
        let running = start(&input, &seen, &store);
        input.give(&[1], Some(1));
        running.until("the row", || numbers(&seen) == [1]).await;
        if drains {
            running.stop.drain()
        } else {
            running.stop.stop()
        }
        let last = running.end().await.checkpoint.unwrap();
        // The newest checkpoint is of an epoch without rows: what the one before it prepared is committed.
        assert_eq!((seen.committed(), seen.rows_of(last)), (1, Some(0)));
    }
}
