//! The engine with transforms made for the purpose: order, time, ends, failure.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)] // a test fails by these

mod checkpoints;
mod fakes;
mod live;
mod outside;

use fakes::{Fake, Seen, job_options, plan, rows, t};
use purlin_api::{ErrorKind, EventTime, More};
use purlin_engine::{Ending, Job, StepRun};
use std::time::Duration;

fn numbers(seen: &Seen) -> Vec<i64> {
    let mut all = seen.numbers();
    all.sort_unstable();
    all
}

#[test]
fn every_row_reaches_the_sink_over_shuffled_lanes() {
    for lanes in [1, 3] {
        let seen = Seen::default();
        let p = plan(
            lanes,
            vec![
                ("In", Fake::source(0..1000, 7), vec![]),
                ("Key", Fake::keyed(), vec![0]),
                ("Out", Fake::sink(&seen), vec![1]),
            ],
        );
        StepRun::new(&p, 7).unwrap().run_to_end().unwrap();
        assert_eq!(numbers(&seen), (0..1000).collect::<Vec<_>>());
        assert!(seen.finished() && seen.watermark() == EventTime::MAX);

        let seen = Seen::default();
        let p = plan(
            lanes,
            vec![
                ("In", Fake::source(0..1000, 7), vec![]),
                ("Key", Fake::keyed(), vec![0]),
                ("Out", Fake::sink(&seen), vec![1]),
            ],
        );
        let outcome = Job::new(&p, job_options()).unwrap().run();
        outcome.result.unwrap();
        assert_eq!(numbers(&seen), (0..1000).collect::<Vec<_>>());
        assert_eq!(outcome.stats[1].rows_in(), 1000);
        assert!(seen.finished());
    }
}

#[test]
fn a_row_lost_by_an_operator_fails_the_job() {
    let seen = Seen::default();
    let p = plan(
        1,
        vec![
            ("In", Fake::source(0..10, 5), vec![]),
            (
                "Thief",
                Fake::operator(|batch, cx| {
                    cx.fates.passed += batch.len() as u64 - 1;
                    cx.emit(0, batch.slice(1, batch.len() - 1));
                    Ok(More::No)
                }),
                vec![0],
            ),
            ("Out", Fake::sink(&seen), vec![1]),
        ],
    );
    let e = Job::new(&p, job_options()).unwrap().run().result.unwrap_err();
    assert_eq!((e.kind(), e.place()), (ErrorKind::Internal, Some("Thief")));
    assert!(e.message().contains("ledger does not balance"), "{e}");
    assert!(seen.aborted() && !seen.finished());
}

#[test]
fn a_failing_lane_stops_the_others_and_nothing_becomes_visible() {
    let seen = Seen::default();
    let p = plan(
        2,
        vec![
            ("Endless", Fake::source(0..i64::MAX, 10), vec![]),
            ("Key", Fake::keyed(), vec![0]),
            (
                "Fails",
                Fake::operator(|batch, cx| {
                    if Fake::numbers(&batch).contains(&500) {
                        return Err(purlin_api::Error::data("row 500"));
                    }
                    cx.fates.passed += batch.len() as u64;
                    cx.emit(0, batch);
                    Ok(More::No)
                }),
                vec![1],
            ),
            ("Out", Fake::sink(&seen), vec![2]),
        ],
    );
    let outcome = Job::new(&p, job_options()).unwrap().run();
    let e = outcome.result.unwrap_err();
    assert_eq!((e.place(), e.message()), (Some("Fails"), "row 500"));
    assert!(seen.aborted() && outcome.ending == Ending::End);
}

#[test]
fn a_stop_from_outside_ends_an_endless_job() {
    let seen = Seen::default();
    let p = plan(
        1,
        vec![("Endless", Fake::source(0..i64::MAX, 10), vec![]), ("Out", Fake::sink(&seen), vec![0])],
    );
    let job = Job::new(&p, job_options()).unwrap();
    let stop = job.stop_handle();
    seen.on_row(100, move || stop.stop());
    let outcome = job.run();
    assert!(outcome.ending == Ending::Halted && outcome.result.is_ok());
    assert!(seen.aborted() && !seen.finished());
}

#[test]
fn a_slow_sink_makes_the_source_wait() {
    let seen = Seen::default();
    let p = plan(
        2,
        vec![
            ("In", Fake::source(0..5000, 10), vec![]),
            ("Key", Fake::keyed(), vec![0]),
            ("Out", Fake::sink(&seen), vec![1]),
        ],
    );
    let mut options = job_options();
    options.bounds.rows_max = 1;
    options.bounds.messages_max = 1;
    let outcome = Job::new(&p, options).unwrap().run();
    outcome.result.unwrap();
    assert_eq!(numbers(&seen).len(), 5000);
}

#[test]
fn holds_keep_the_watermark_back_until_they_are_released() {
    let seen = Seen::default();
    let p = plan(
        1,
        vec![
            ("In", Fake::source(0..0, 1), vec![]),
            // Holds at the number of a row; a negative one releases the hold.
            (
                "Holds",
                Fake::operator(|batch, cx| {
                    for n in Fake::numbers(&batch) {
                        if n >= 0 {
                            cx.holds.add(t(n), "row");
                        } else {
                            assert!(cx.holds.release(t(-n), "row"));
                        }
                    }
                    cx.fates.passed += batch.len() as u64;
                    Ok(More::No)
                }),
                vec![0],
            ),
            ("Out", Fake::sink(&seen), vec![1]),
        ],
    );
    let mut run = StepRun::new(&p, 10).unwrap();
    run.inject(0, vec![(0, rows(&[5]))]).unwrap();
    run.watermark(0, t(20)).unwrap();
    assert_eq!(seen.watermark(), t(5));
    run.inject(0, vec![(0, rows(&[-5, 15]))]).unwrap();
    assert_eq!(seen.watermark(), t(15));
    let e = run.end(0).unwrap_err();
    assert!(e.message().contains("row still holds the watermark at"), "{e}");
}

#[test]
fn an_idle_source_does_not_hold_time_and_a_missing_end_is_a_stall() {
    let seen = Seen::default();
    let p = plan(
        1,
        vec![
            ("A", Fake::source(0..0, 1), vec![]),
            ("B", Fake::source(0..0, 1), vec![]),
            ("Out", Fake::sink(&seen), vec![0, 1]),
        ],
    );
    let mut run = StepRun::new(&p, 10).unwrap();
    run.watermark(0, t(10)).unwrap();
    assert_eq!(seen.watermark(), EventTime::MIN);
    run.idle(1).unwrap();
    assert_eq!(seen.watermark(), t(10));
    run.watermark(1, t(3)).unwrap();
    assert_eq!(seen.watermark(), t(10), "time does not go back");
    run.watermark(0, t(20)).unwrap();
    assert_eq!(seen.watermark(), t(10), "it is live again, and behind");
    run.end(0).unwrap();
    let e = run.finish().unwrap_err();
    assert!(e.message().contains("stalled") && e.message().contains("`Out`"), "{e}");
    run.end(1).unwrap();
    run.finish().unwrap();
}

#[test]
fn timers_fire_in_order_of_time() {
    let seen = Seen::default();
    let p = plan(
        1,
        vec![
            ("In", Fake::source(0..0, 1), vec![]),
            ("Later", Fake::delayed(), vec![0]),
            ("Out", Fake::sink(&seen), vec![1]),
        ],
    );
    let mut run = StepRun::new(&p, 10).unwrap();
    run.inject(0, vec![(0, rows(&[30, 10, 20]))]).unwrap();
    run.advance_clock(t(9)).unwrap();
    assert_eq!(seen.numbers(), Vec::<i64>::new());
    run.advance_clock(t(25)).unwrap();
    assert_eq!(seen.numbers(), [10, 20]);
    run.end(0).unwrap();
    run.finish().unwrap();
    assert_eq!(seen.numbers(), [10, 20, 30]);
}

#[test]
fn large_output_comes_in_pieces() {
    let seen = Seen::default();
    let p = plan(
        1,
        vec![
            ("In", Fake::source(0..3, 3), vec![]),
            ("Many", Fake::repeating(100), vec![0]),
            ("Out", Fake::sink(&seen), vec![1]),
        ],
    );
    StepRun::new(&p, 3).unwrap().run_to_end().unwrap();
    assert_eq!(seen.numbers().len(), 300);
    assert!(seen.largest_batch() <= 3);
}

#[test]
fn barriers_pass_every_stage_without_losing_rows() {
    let seen = Seen::default();
    let p = plan(
        3,
        vec![
            ("A", Fake::source(0..0, 1), vec![]),
            ("B", Fake::source(0..0, 1), vec![]),
            ("Key", Fake::keyed(), vec![0, 1]),
            ("Out", Fake::sink(&seen), vec![2]),
        ],
    );
    let mut run = StepRun::new(&p, 10).unwrap();
    for n in 0..20 {
        run.inject((n % 2) as usize, vec![(0, rows(&[n]))]).unwrap();
        run.barrier().unwrap();
    }
    run.end(0).unwrap();
    run.end(1).unwrap();
    run.finish().unwrap();
    assert_eq!(numbers(&seen), (0..20).collect::<Vec<_>>());
}

#[test]
fn a_job_on_one_thread_gives_what_a_job_on_four_gives() {
    for threads in [1, 4] {
        let seen = Seen::default();
        let p = plan(
            4,
            vec![
                ("In", Fake::source(0..2000, 13), vec![]),
                ("Key", Fake::keyed(), vec![0]),
                ("Many", Fake::repeating(2), vec![1]),
                ("Out", Fake::sink(&seen), vec![2]),
            ],
        );
        let mut options = job_options();
        options.threads = threads;
        options.stall_after = Duration::from_secs(30);
        Job::new(&p, options).unwrap().run().result.unwrap();
        assert_eq!(numbers(&seen).len(), 4000);
    }
}

#[test]
fn a_divided_source_is_read_once_and_its_figures_are_those_of_all_lanes() {
    for (step_by_step, lanes) in [(true, 1), (true, 3), (false, 3)] {
        let seen = Seen::default();
        let p = plan(
            lanes,
            vec![
                ("In", Fake::divided(0..1000, 7), vec![]),
                ("Key", Fake::keyed(), vec![0]),
                ("Out", Fake::sink(&seen), vec![1]),
            ],
        );
        assert_eq!(p.stages.stages[0].lanes, lanes);
        let stats = if step_by_step {
            let mut run = StepRun::new(&p, 7).unwrap();
            run.run_to_end().unwrap();
            run.stats().to_vec()
        } else {
            let outcome = Job::new(&p, job_options()).unwrap().run();
            outcome.result.unwrap();
            outcome.stats
        };
        assert_eq!(numbers(&seen), (0..1000).collect::<Vec<_>>());
        assert!(seen.finished() && seen.watermark() == EventTime::MAX);
        assert_eq!((stats[0].rows_in(), stats[0].rows_out(), stats[1].rows_in()), (1000, 1000, 1000));
    }
}

#[test]
fn what_runs_with_a_divided_source_runs_in_each_of_its_lanes() {
    let seen = Seen::default();
    let p = plan(
        3,
        vec![
            ("In", Fake::divided(0..100, 5), vec![]),
            ("Many", Fake::repeating(2), vec![0]),
            ("Out", Fake::sink(&seen), vec![1]),
        ],
    );
    assert_eq!(p.stages.stages[0].nodes, [0, 1]);
    Job::new(&p, job_options()).unwrap().run().result.unwrap();
    assert_eq!(numbers(&seen).len(), 200);
}

#[test]
fn time_and_barriers_of_a_divided_source_come_in_all_its_lanes() {
    let seen = Seen::default();
    let nodes = vec![
        ("In", Fake::divided(0..0, 1), vec![]),
        ("Key", Fake::keyed(), vec![0]),
        ("Out", Fake::sink(&seen), vec![1]),
    ];
    let p = plan(3, nodes);
    let mut run = StepRun::new(&p, 10).unwrap();
    for n in 0..10 {
        run.inject(0, vec![(0, rows(&[n]))]).unwrap();
        run.barrier().unwrap();
        run.watermark(0, t(n)).unwrap();
        assert_eq!(seen.watermark(), t(n));
    }
    run.idle(0).unwrap();
    run.end(0).unwrap();
    run.finish().unwrap();
    assert_eq!(numbers(&seen), (0..10).collect::<Vec<_>>());
}

#[test]
fn a_failure_in_one_lane_of_a_divided_source_stops_the_others() {
    let seen = Seen::default();
    let p = plan(
        3,
        vec![
            ("Endless", Fake::divided(0..i64::MAX, 10), vec![]),
            (
                "Fails",
                Fake::operator(|batch, cx| {
                    if Fake::numbers(&batch).contains(&5000) {
                        return Err(purlin_api::Error::data("row 5000"));
                    }
                    cx.fates.passed += batch.len() as u64;
                    cx.emit(0, batch);
                    Ok(More::No)
                }),
                vec![0],
            ),
            ("Out", Fake::sink(&seen), vec![1]),
        ],
    );
    let outcome = Job::new(&p, job_options()).unwrap().run();
    assert_eq!(outcome.result.unwrap_err().message(), "row 5000");
    assert!(seen.aborted() && outcome.ending == Ending::End);
}
