//! Single stories about panes.

use crate::harness::{Out, Sim, seconds};
use purlin_api::time::SECOND;
use purlin_api::{AccumulationMode, EventTime, Holds, Trigger, Window, WindowFn, Windowing};
use purlin_grouping::panes::{Cells, PaneCx, PaneDriver, Placed, TimestampCombiner};
use std::sync::Arc;

const FIXED: WindowFn = WindowFn::Fixed { size: 10 * SECOND, offset: 0 };
const SESSIONS: WindowFn = WindowFn::Sessions { gap: 10 * SECOND };

fn windowing(window_fn: WindowFn, trigger: Trigger, lateness: i64) -> Windowing {
    Windowing { trigger, allowed_lateness: lateness.saturating_mul(SECOND), ..Windowing::of(window_fn) }
}

fn accumulating(w: Windowing) -> Windowing {
    Windowing { accumulation: AccumulationMode::Accumulating, ..w }
}

fn sim(w: Windowing) -> Sim {
    Sim::new(w, TimestampCombiner::EndOfWindow)
}

fn early_late(early: Trigger, late: Trigger) -> Trigger {
    Trigger::AfterWatermark { early: Some(Box::new(early)), late: Some(Box::new(late)) }
}

fn again(t: Trigger) -> Trigger {
    Trigger::Repeatedly(Box::new(t))
}

#[track_caller]
fn gives(out: Vec<Out>, expected: &[&str]) {
    assert_eq!(out.iter().map(Out::show).collect::<Vec<_>>(), expected);
}

#[test]
fn panes_come_by_time_then_window_then_key() {
    let mut s = sim(windowing(
        WindowFn::Sliding { size: 20 * SECOND, period: 10 * SECOND, offset: 0 },
        Trigger::Default,
        0,
    ));
    for (i, key) in ["b", "a", "b", "a"].iter().enumerate() {
        gives(s.row(key, 5 + 10 * (i as i64 / 2), i as i64), &[]);
    }
    gives(s.watermark(9), &[]);
    let expected = [
        "a [-10,10) [1] ON_TIME 0/0 first last @9",
        "b [-10,10) [0] ON_TIME 0/0 first last @9",
        "a [0,20) [1, 3] ON_TIME 0/0 first last @19",
        "b [0,20) [0, 2] ON_TIME 0/0 first last @19",
        "a [10,30) [3] ON_TIME 0/0 first last @29",
        "b [10,30) [2] ON_TIME 0/0 first last @29",
    ];
    gives(s.watermark(30), &expected);
    assert!(s.driver.is_empty());
    gives(s.row("a", 15, 7), &[]);
    assert_eq!(s.late, [7, 7]);
}

#[test]
fn the_last_pane_is_known_where_no_lateness_is_allowed() {
    let one = |lateness, compat| {
        let mut s = sim(windowing(FIXED, Trigger::Default, lateness));
        s.driver = PaneDriver::new(s.windowing.clone()).beam_last(compat);
        s.row("a", 1, 1);
        s.watermark(10).iter().map(|o| o.pane.is_last).collect::<Vec<_>>()
    };
    assert_eq!(one(0, false), [true]);
    assert_eq!(one(5, false), [false]);
    assert_eq!(one(0, true), [false]);
    let mut s = sim(Windowing::global());
    s.driver = PaneDriver::new(s.windowing.clone()).beam_last(true);
    s.row("a", 1, 1);
    gives(s.finish(), &["a global [1] ON_TIME 0/0 first last @end"]);
}

#[test]
fn rows_that_no_trigger_wanted_go_out_at_the_end() {
    // The trigger never fires: the pane at expiry is the only one.
    let mut s = sim(windowing(FIXED, Trigger::AfterCount(5), 20));
    s.row("a", 1, 1);
    s.row("a", 2, 2);
    gives(s.watermark(29), &[]);
    // Its rows held the watermark, so it is on time.
    assert_eq!(s.output, seconds(10).plus(-1000));
    gives(s.watermark(30), &["a [0,10) [1, 2] ON_TIME 0/0 first last @9"]);
    assert_eq!(s.output, seconds(30));

    // Late rows wait for two more that never come.
    let late = Trigger::AfterWatermark { early: None, late: Some(Box::new(Trigger::AfterCount(3))) };
    let mut s = sim(windowing(FIXED, late, 20));
    s.row("a", 1, 1);
    gives(s.watermark(10), &["a [0,10) [1] ON_TIME 0/0 first @9"]);
    s.row("a", 2, 2);
    gives(s.finish(), &["a [0,10) [2] LATE 1/1 last @9"]);

    // All rows came late, and none fired.
    let mut s = sim(windowing(FIXED, Trigger::AfterCount(3), 20));
    s.watermark(10);
    s.row("a", 2, 2);
    gives(s.finish(), &["a [0,10) [2] LATE 0/0 first last @9"]);
}

#[test]
fn a_finished_trigger_closes_its_window() {
    let mut s = sim(windowing(FIXED, Trigger::AfterCount(2), 10));
    s.row("a", 1, 1);
    gives(s.row("a", 2, 2), &["a [0,10) [1, 2] EARLY 0/-1 first last @9"]);
    gives(s.row("a", 3, 3), &[]);
    assert_eq!(s.late, [3]);
    // Only a tombstone is left, and no hold.
    assert_eq!((s.driver.len(), s.cells.live(), s.holds.is_empty()), (1, 0, true));
    gives(s.watermark(19), &[]);
    assert_eq!(s.driver.len(), 1);
    s.watermark(20);
    assert!(s.driver.is_empty());
}

#[test]
fn on_time_panes_may_be_empty_others_never_are() {
    let early = early_late(Trigger::AfterCount(2), Trigger::AfterCount(1));
    let mut s = sim(windowing(FIXED, early.clone(), 50));
    s.row("a", 1, 1);
    gives(s.row("a", 2, 2), &["a [0,10) [1, 2] EARLY 0/-1 first @9"]);
    gives(s.watermark(10), &["a [0,10) [] ON_TIME 1/0 @9"]);
    gives(s.row("a", 3, 3), &["a [0,10) [3] LATE 2/1 @9"]);
    gives(s.finish(), &[]);

    let mut s = sim(accumulating(windowing(FIXED, early, 50)));
    s.row("a", 1, 1);
    gives(s.row("a", 2, 2), &["a [0,10) [1, 2] EARLY 0/-1 first @9"]);
    gives(s.watermark(10), &["a [0,10) [1, 2] ON_TIME 1/0 @9"]);
    gives(s.row("a", 3, 3), &["a [0,10) [1, 2, 3] LATE 2/1 @9"]);
    gives(s.finish(), &[]);

    // The delay runs out after all rows have gone: the window closes without a word.
    let any =
        Trigger::AfterAny(vec![again(Trigger::AfterCount(1)), Trigger::AfterProcessingTime(5 * SECOND)]);
    let mut s = sim(windowing(FIXED, any, 0));
    gives(s.row("a", 1, 1), &["a [0,10) [1] EARLY 0/-1 first @9"]);
    gives(s.clock(5), &[]);
    assert_eq!((s.driver.len(), s.cells.live()), (1, 0));
    s.row("a", 2, 2);
    assert_eq!(s.late, [2]);
    gives(s.watermark(10), &[]);
    assert!(s.driver.is_empty());
}

#[test]
fn an_on_time_pane_comes_even_if_no_row_follows_an_early_one() {
    let each =
        Trigger::AfterEach(vec![Trigger::AfterCount(1), Trigger::AfterWatermark { early: None, late: None }]);
    let mut s = sim(windowing(FIXED, each, 0));
    gives(s.row("a", 1, 1), &["a [0,10) [1] EARLY 0/-1 first @9"]);
    gives(s.watermark(12), &["a [0,10) [] ON_TIME 1/0 last @9"]);
    assert!(s.driver.is_empty());
}

#[test]
fn delays_fire_by_the_clock() {
    let mut s = sim(windowing(WindowFn::Global, again(Trigger::AfterProcessingTime(5 * SECOND)), 0));
    s.row("b", 1, 1);
    s.row("a", 1, 2);
    s.clock(3);
    s.row("a", 1, 3);
    s.row("c", 1, 4);
    assert_eq!(s.driver.next_timer(), Some(seconds(5)));
    gives(s.clock(4), &[]);
    gives(s.clock(5), &["a global [2, 3] EARLY 0/-1 first @end", "b global [1] EARLY 0/-1 first @end"]);
    gives(s.clock(20), &["c global [4] EARLY 0/-1 first @end"]);
    assert_eq!(s.driver.next_timer(), None);
    s.row("a", 1, 5);
    assert_eq!(s.driver.next_timer(), Some(seconds(25)));
    gives(s.finish(), &["a global [5] ON_TIME 1/0 last @end"]);
    assert_eq!(s.driver.next_timer(), None);
}

#[test]
fn a_count_takes_the_delay_of_its_round_along() {
    let any = Trigger::AfterAny(vec![Trigger::AfterCount(2), Trigger::AfterProcessingTime(5 * SECOND)]);
    let mut s = sim(windowing(WindowFn::Global, again(any), 0));
    s.row("a", 1, 1);
    s.clock(3);
    gives(s.row("a", 1, 2), &["a global [1, 2] EARLY 0/-1 first @end"]);
    s.row("a", 1, 3);
    gives(s.clock(7), &[]);
    gives(s.clock(8), &["a global [3] EARLY 1/-1 @end"]);
}

#[test]
fn sessions_that_touch_stay_apart_until_a_row_joins_them() {
    let mut s = sim(windowing(SESSIONS, Trigger::Default, 0));
    s.row("a", 1, 1);
    s.row("a", 11, 2);
    s.row("b", 3, 3);
    assert_eq!((s.driver.len(), s.cells.live()), (3, 3));
    s.row("a", 5, 4);
    assert_eq!((s.driver.len(), s.cells.live()), (2, 2));
    gives(s.watermark(12), &[]);
    gives(s.watermark(13), &["b [3,13) [3] ON_TIME 0/0 first last @12"]);
    gives(s.watermark(21), &["a [1,21) [1, 2, 4] ON_TIME 0/0 first last @20"]);
    assert!(s.driver.is_empty());
}

#[test]
fn one_row_may_join_many_sessions() {
    let mut s = sim(windowing(WindowFn::Sessions { gap: 100 * SECOND }, Trigger::AfterCount(4), 0));
    s.row("a", 0, 1);
    s.row("a", 150, 2);
    s.row("a", 300, 3);
    assert_eq!(s.driver.len(), 3);
    s.row("a", 99, 4);
    assert_eq!(s.driver.len(), 2);
    gives(s.row("a", 210, 5), &["a [0,400) [1, 2, 3, 4, 5] EARLY 0/-1 first last @399"]);
}

#[test]
fn counters_start_again_in_another_session() {
    let mut s = sim(windowing(SESSIONS, again(Trigger::AfterCount(1)), 0));
    gives(s.row("a", 1, 1), &["a [1,11) [1] EARLY 0/-1 first @10"]);
    // The same session: it goes on counting.
    gives(s.row("a", 1, 2), &["a [1,11) [2] EARLY 1/-1 @10"]);
    gives(s.row("a", 2, 3), &["a [1,12) [3] EARLY 0/-1 first @11"]);
}

#[test]
fn a_session_that_grows_past_the_watermark_has_an_end_again() {
    let mut s = sim(accumulating(windowing(
        SESSIONS,
        early_late(Trigger::AfterCount(9), Trigger::AfterCount(1)),
        50,
    )));
    s.row("a", 1, 1);
    gives(s.watermark(12), &["a [1,11) [1] ON_TIME 0/0 first @10"]);
    assert!(s.holds.is_empty());
    gives(s.row("a", 5, 2), &[]);
    assert_eq!(s.holds.min(), Some(seconds(15).plus(-1000)));
    gives(s.watermark(15), &["a [1,15) [1, 2] ON_TIME 0/0 first @14"]);
    gives(s.row("a", 4, 3), &["a [1,15) [1, 2, 3] LATE 1/1 @14"]);
    gives(s.finish(), &[]);
}

#[test]
fn a_closed_session_takes_no_live_one_down() {
    let mut s = sim(windowing(SESSIONS, Trigger::AfterCount(2), 0));
    s.row("a", 1, 1);
    gives(s.row("a", 2, 2), &["a [1,12) [1, 2] EARLY 0/-1 first last @11"]);
    s.row("a", 15, 3);
    // It would join both.
    s.row("a", 8, 4);
    assert_eq!(s.late, [4]);
    gives(s.finish(), &["a [15,25) [3] ON_TIME 0/0 first last @24"]);
}

#[test]
fn holds_are_few_and_follow_their_windows() {
    let mut s = sim(windowing(FIXED, Trigger::Default, 0));
    for i in 0..50 {
        s.row(&i.to_string(), i % 20, i);
    }
    let held: Vec<_> = s.holds.iter().map(|(t, owner, n)| (t, owner.to_owned(), n)).collect();
    let (first, second) = (seconds(10).plus(-1000), seconds(20).plus(-1000));
    let owner = |a, b| format!("window [{}, {})", seconds(a), seconds(b));
    assert_eq!(held, [(first, owner(0, 10), 1), (second, owner(10, 20), 1)]);

    let mut s = sim(windowing(SESSIONS, Trigger::Default, 0));
    for t in 0..30 {
        s.row("a", t, t);
    }
    assert_eq!(s.holds.iter().count(), 1);
    s.watermark(20);
    // The hold of the session as it began would keep time at 10.
    assert_eq!(s.output, seconds(20));
    assert_eq!(s.finish().len(), 1);
    assert!(s.holds.is_empty());
}

#[test]
fn a_hold_stays_for_the_on_time_pane_and_no_longer() {
    let early = early_late(Trigger::AfterCount(2), Trigger::AfterCount(1));
    let mut s = Sim::new(windowing(FIXED, early, 50), TimestampCombiner::Earliest);
    s.row("a", 3, 1);
    gives(s.row("a", 4, 2), &["a [0,10) [1, 2] EARLY 0/-1 first @3"]);
    s.watermark(8);
    assert_eq!(s.output, seconds(3));
    // So the next pane is not behind the one before it.
    s.row("a", 9, 3);
    gives(s.watermark(12), &["a [0,10) [3] ON_TIME 1/0 @3"]);
    assert!(s.holds.is_empty());
    // Behind the watermark there is nothing to hold for.
    gives(s.row("a", 5, 4), &["a [0,10) [4] LATE 2/1 @9"]);

    // Without an on-time pane there is nothing to wait for.
    let mut s = Sim::new(windowing(FIXED, again(Trigger::AfterCount(1)), 0), TimestampCombiner::Earliest);
    s.row("a", 3, 1);
    assert!(s.holds.is_empty());

    // The end passes without a pane, though one might have come.
    let all =
        Trigger::AfterAll(vec![Trigger::AfterWatermark { early: None, late: None }, Trigger::AfterCount(9)]);
    let mut s = sim(windowing(FIXED, Trigger::AfterAny(vec![again(Trigger::AfterCount(1)), all]), 50));
    s.row("a", 3, 1);
    assert!(!s.holds.is_empty());
    gives(s.watermark(12), &[]);
    assert_eq!(s.output, seconds(12));
}

#[test]
fn a_closed_window_rings_no_more() {
    let any = Trigger::AfterAny(vec![Trigger::AfterCount(2), Trigger::AfterProcessingTime(5 * SECOND)]);
    let mut s = sim(windowing(FIXED, any, 0));
    s.row("a", 1, 1);
    assert_eq!(s.driver.next_timer(), Some(seconds(5)));
    s.row("a", 2, 2);
    assert_eq!((s.driver.next_timer(), s.driver.len()), (None, 1));
}

#[test]
fn timestamps_of_panes() {
    let run = |combiner| {
        let mut s = Sim::new(windowing(SESSIONS, Trigger::Default, 0), combiner);
        s.row("a", 14, 1);
        s.row("a", 3, 2);
        s.row("a", 8, 3);
        let held = s.holds.min().map(|t| t.0 / SECOND);
        (held, s.finish().iter().map(|o| o.timestamp.0 / SECOND).collect::<Vec<_>>())
    };
    assert_eq!(run(TimestampCombiner::Earliest), (Some(3), vec![3]));
    assert_eq!(run(TimestampCombiner::Latest), (Some(14), vec![14]));
    let (held, stamps) = run(TimestampCombiner::EndOfWindow);
    assert_eq!(stamps, [23]);
    // It may lag, but not run ahead.
    assert!(held.is_some_and(|t| t <= 23));
}

#[test]
fn windows_from_outside_are_taken_as_they_are() {
    let mut s = sim(windowing(FIXED, Trigger::Default, 0));
    let window = Window::Opaque { bytes: Arc::from(&b"w1"[..]), max: seconds(4) };
    let other = Window::Opaque { bytes: Arc::from(&b"w2"[..]), max: seconds(4) };
    for w in [&window, &other, &window] {
        let mut cx = PaneCx::new(s.watermark, s.now, &mut s.holds);
        let placed = s.driver.on_row(b"a", w, seconds(1), &mut cx, &mut s.cells);
        let Placed::Cell(cell) = placed else { panic!("it is not late") };
        s.cells.get(cell).push(1);
        s.driver.after_row(&mut cx, &mut s.cells, &mut Vec::new());
    }
    let out = s.watermark(5);
    assert_eq!(
        out.iter().map(|o| (&o.window, o.values.len())).collect::<Vec<_>>(),
        [(&window, 2), (&other, 1)]
    );
}

#[test]
fn the_ends_of_time_do_no_harm() {
    let ends = [
        EventTime(i64::MIN),
        EventTime::MIN,
        EventTime::END_OF_GLOBAL_WINDOW,
        EventTime::MAX,
        EventTime(i64::MAX),
    ];
    let functions = [WindowFn::Global, FIXED, SESSIONS, WindowFn::Sessions { gap: 0 }];
    for window_fn in functions {
        let mut s = sim(windowing(
            window_fn.clone(),
            early_late(Trigger::AfterCount(2), Trigger::AfterCount(2)),
            i64::MAX,
        ));
        let (mut rows, mut fired) = (0, Vec::new());
        for t in ends.into_iter().chain(ends) {
            let mut windows = Vec::new();
            window_fn.assign(t, |w| windows.push(w));
            for w in windows {
                let mut cx = PaneCx::new(s.watermark, EventTime::MAX, &mut s.holds);
                rows += 1;
                match s.driver.on_row(b"a", &w, t, &mut cx, &mut s.cells) {
                    Placed::Cell(cell) => s.cells.get(cell).push(0),
                    Placed::Late => s.late.push(0),
                }
                let mut now = Vec::new();
                s.driver.after_row(&mut cx, &mut s.cells, &mut now);
                now.iter().for_each(|f| f.settle(&mut s.cells));
                fired.extend(now);
            }
        }
        let out: u64 = fired.iter().map(|f| f.rows_new).sum::<u64>()
            + s.finish().iter().map(|o| o.rows_new).sum::<u64>();
        assert_eq!(out + s.late.len() as u64, rows, "{window_fn:?}");
        assert!(s.driver.is_empty() && s.holds.is_empty());
    }
}

/// Cells that only count.
#[derive(Default)]
struct Numbers {
    next: u32,
    free: Vec<u32>,
}

impl Cells for Numbers {
    fn add(&mut self) -> u32 {
        self.free.pop().unwrap_or_else(|| {
            self.next += 1;
            self.next
        })
    }
    fn merge(&mut self, _into: u32, _from: u32) {}
    fn clear(&mut self, _cell: u32) {}
    fn remove(&mut self, cell: u32) {
        self.free.push(cell);
    }
}

#[test]
fn a_watermark_costs_what_is_due_not_what_is_live() {
    // Were every step to look at every cell, this would be 2e9 visits and not end.
    let cells_live = 100_000_u32;
    let mut driver = PaneDriver::new(Arc::new(windowing(SESSIONS, Trigger::Default, 0)));
    let (mut holds, mut cells, mut fired) = (Holds::default(), Numbers::default(), Vec::new());
    for i in 0..cells_live {
        let t = 1_000_000 * SECOND;
        let mut cx = PaneCx::new(EventTime::MIN, seconds(0), &mut holds);
        let window = Window::interval(t, t + 10 * SECOND);
        driver.on_row(&i.to_le_bytes(), &window, EventTime(t), &mut cx, &mut cells);
        driver.after_row(&mut cx, &mut cells, &mut fired);
    }
    for t in 0..20_000 {
        driver.on_watermark(&mut PaneCx::new(seconds(t), seconds(0), &mut holds), &mut cells, &mut fired);
    }
    assert!(fired.is_empty());
    driver.on_watermark(&mut PaneCx::new(EventTime::MAX, seconds(0), &mut holds), &mut cells, &mut fired);
    assert_eq!(fired.len(), cells_live as usize);
    assert!(driver.is_empty() && holds.is_empty());
}
