//! Asynchronous operators: bounded, in order, whole or not at all, gone when the job stops.

use super::fakes::{Fake, Outside, Seen, TestClock, job_options, options_at, plan, rows, t};
use super::numbers;
use purlin_api::{ErrorKind, EventTime};
use purlin_engine::{Ending, Job, StepRun};
use purlin_plan::Plan;
use std::sync::Arc;
use std::time::Duration;

fn asking(lanes: usize, count: i64, outside: &Outside, seen: &Seen) -> Plan {
    plan(
        lanes,
        vec![
            ("In", Fake::source(0..count, 7), vec![]),
            ("Ask", Fake::outside(outside), vec![0]),
            ("After", Fake::repeating(1), vec![1]),
            ("Out", Fake::sink(seen), vec![2]),
        ],
    )
}

#[test]
fn answers_are_applied_in_order_however_late_they_are() {
    let (outside, seen) = (Outside::default(), Seen::default());
    let p = asking(1, 1000, &outside, &seen);
    assert_eq!(p.stages.stages.len(), 2, "an asynchronous transform starts a stage");
    let outcome = Job::new(&p, job_options()).unwrap().run();
    outcome.result.unwrap();
    assert_eq!(seen.numbers(), (0..1000).collect::<Vec<_>>());
    assert_eq!((outcome.stats[1].rows_in(), outcome.stats[1].fates().passed), (1000, 1000));
    assert!((2..=3).contains(&outside.most()), "{} bundles in flight", outside.most());
    assert!(seen.finished() && seen.watermark() == EventTime::MAX);
}

#[test]
fn every_lane_has_an_instance() {
    let (outside, seen) = (Outside::default(), Seen::default());
    let p = asking(3, 1000, &outside, &seen);
    assert_eq!(p.stages.stages[1].lanes, 3);
    Job::new(&p, job_options()).unwrap().run().result.unwrap();
    assert_eq!((numbers(&seen), outside.built()), ((0..1000).collect::<Vec<_>>(), 3));
}

#[test]
fn a_failed_answer_fails_the_job_and_what_is_in_flight_is_dropped() {
    let (outside, seen) = (Outside { fails_at: Some(70), ..Outside::default() }, Seen::default());
    let outcome = Job::new(&asking(1, 1000, &outside, &seen), job_options()).unwrap().run();
    let e = outcome.result.unwrap_err();
    assert_eq!((e.kind(), e.place(), e.message()), (ErrorKind::Data, Some("Ask"), "row 70"));
    assert!(seen.aborted() && seen.numbers().iter().all(|n| *n < 70));
    assert_eq!(outside.flying(), 0);
}

#[test]
fn a_bundle_that_is_not_accounted_for_fails_the_job() {
    let (outside, seen) = (Outside { loses_at: Some(70), ..Outside::default() }, Seen::default());
    let e = Job::new(&asking(1, 1000, &outside, &seen), job_options()).unwrap().run().result.unwrap_err();
    assert_eq!((e.kind(), e.place()), (ErrorKind::Internal, Some("Ask")));
    assert!(e.message().contains("ledger does not balance"), "{e}");
}

#[test]
fn a_stop_drops_bundles_that_never_answer() {
    let (outside, seen) = (Outside { hangs_at: Some(700), ..Outside::default() }, Seen::default());
    let job = Job::new(&asking(1, 1000, &outside, &seen), job_options()).unwrap();
    let stop = job.stop_handle();
    seen.on_row(600, move || stop.stop());
    let outcome = job.run();
    assert!(outcome.ending == Ending::Halted && outcome.result.is_ok());
    assert!(seen.aborted());
    assert_eq!(outside.flying(), 0);
}

#[tokio::test]
async fn waiting_for_an_answer_is_no_stall() {
    let clock = Arc::<TestClock>::default();
    let outside = Outside { takes: Some((clock.clone(), Duration::from_secs(300))), ..Outside::default() };
    let seen = Seen::default();
    let mut options = options_at(&clock);
    options.stall_after = Duration::from_millis(20);
    let job = Job::new(&asking(1, 14, &outside, &seen), options).unwrap();
    #[allow(clippy::disallowed_methods)] // a test's own task
    let running = tokio::spawn(job.run_async());
    clock.pass(Duration::from_secs(290)).await;
    assert!(!running.is_finished() && outside.flying() > 0, "it waits, for much longer than a stall takes");
    clock.pass(Duration::from_secs(900)).await;
    assert!(running.is_finished(), "the job hangs");
    running.await.unwrap().result.unwrap();
    assert_eq!(seen.numbers().len(), 14);
}

#[test]
fn single_stepped_jobs_wait_for_each_answer() {
    let (outside, seen) = (Outside::default(), Seen::default());
    let mut run = StepRun::new(&asking(1, 0, &outside, &seen), 7).unwrap();
    run.inject(0, vec![(0, rows(&[1, 2])), (0, rows(&[3]))]).unwrap();
    assert_eq!(seen.numbers(), [1, 2, 3]);
    run.watermark(0, t(5)).unwrap();
    assert_eq!(seen.watermark(), t(5));
    run.barrier().unwrap();
    run.inject(0, vec![(0, rows(&[4]))]).unwrap();
    run.end(0).unwrap();
    run.finish().unwrap();
    assert_eq!((seen.numbers(), outside.most()), (vec![1, 2, 3, 4], 1));

    let (outside, seen) = (Outside { fails_at: Some(70), ..Outside::default() }, Seen::default());
    let e = StepRun::new(&asking(2, 1000, &outside, &seen), 7).unwrap().run_to_end().unwrap_err();
    assert_eq!((e.place(), e.message()), (Some("Ask"), "row 70"));
    assert!(seen.aborted());
}
