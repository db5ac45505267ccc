//! What holds for panes whatever comes. [`Sim`] checks holds, timestamps and row counts at every step.

use crate::harness::{Out, Sim, seconds};
use proptest::prelude::*;
use purlin_api::time::SECOND;
use purlin_api::{AccumulationMode, Timing, Trigger, Window, WindowFn, Windowing};
use purlin_grouping::panes::TimestampCombiner;
use std::collections::{BTreeMap, BTreeSet};

#[derive(Clone, Copy, Debug)]
enum Step {
    Row { key: u8, t: i64 },
    Watermark(i64),
    Clock(i64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => (0..3u8, 0..60i64).prop_map(|(key, t)| Step::Row { key, t }),
        2 => (0..12i64).prop_map(Step::Watermark),
        1 => (0..6i64).prop_map(Step::Clock),
    ];
    prop::collection::vec(step, 0..60)
}

fn apart() -> impl Strategy<Value = WindowFn> {
    prop_oneof![
        Just(WindowFn::Global),
        (1..15i64, 0..5i64)
            .prop_map(|(size, offset)| WindowFn::Fixed { size: size * SECOND, offset: offset * SECOND }),
        (1..15i64, 1..8i64).prop_map(|(size, period)| WindowFn::Sliding {
            size: size * SECOND,
            period: period * SECOND,
            offset: 0
        }),
    ]
}

fn window_fns() -> impl Strategy<Value = WindowFn> {
    prop_oneof![
        3 => apart(),
        1 => (1..9i64).prop_map(|gap| WindowFn::Sessions { gap: gap * SECOND }),
    ]
}

fn triggers() -> impl Strategy<Value = Trigger> {
    let leaf = prop_oneof![
        Just(Trigger::Default),
        Just(Trigger::AfterWatermark { early: None, late: None }),
        (1..5u64).prop_map(Trigger::AfterCount),
        (0..8i64).prop_map(|d| Trigger::AfterProcessingTime(d * SECOND)),
    ];
    leaf.prop_recursive(3, 8, 3, |inner| {
        let list = || prop::collection::vec(inner.clone(), 1..4);
        let part = || prop::option::of(inner.clone().prop_map(Box::new));
        prop_oneof![
            inner.clone().prop_map(|t| Trigger::Repeatedly(Box::new(t))),
            (part(), part()).prop_map(|(early, late)| Trigger::AfterWatermark { early, late }),
            list().prop_map(Trigger::AfterAny),
            list().prop_map(Trigger::AfterAll),
            list().prop_map(Trigger::AfterEach),
        ]
    })
}

fn combiners() -> impl Strategy<Value = TimestampCombiner> {
    prop_oneof![
        Just(TimestampCombiner::EndOfWindow),
        Just(TimestampCombiner::Earliest),
        Just(TimestampCombiner::Latest)
    ]
}

fn modes() -> impl Strategy<Value = AccumulationMode> {
    prop_oneof![
        Just(AccumulationMode::Discarding),
        Just(AccumulationMode::Accumulating),
        Just(AccumulationMode::Retracting)
    ]
}

fn windowings() -> impl Strategy<Value = Windowing> {
    let lateness = prop_oneof![Just(0), 0..30i64];
    (window_fns(), triggers(), modes(), lateness).prop_map(|(window_fn, trigger, accumulation, lateness)| {
        Windowing { window_fn, trigger, accumulation, allowed_lateness: lateness * SECOND, late_output: None }
    })
}

/// Plays steps, each row with its number as value; `each` sees what came out of each step.
fn play(sim: &mut Sim, steps: &[Step], mut each: impl FnMut(&mut Sim, Vec<Out>)) {
    let (mut watermark, mut now) = (0, 0);
    for (i, step) in steps.iter().enumerate() {
        let out = match step {
            Step::Row { key, t } => sim.row(&key.to_string(), *t, i as i64),
            Step::Watermark(d) => {
                watermark += d;
                sim.watermark(watermark)
            }
            Step::Clock(d) => {
                now += d;
                sim.clock(now)
            }
        };
        each(sim, out);
    }
}

/// Every copy of a row (one per window) with its number.
fn copies(w: &Windowing, steps: &[Step]) -> Vec<i64> {
    let mut all = Vec::new();
    for (i, step) in steps.iter().enumerate() {
        if let Step::Row { t, .. } = step {
            w.window_fn.assign(seconds(*t), |_| all.push(i as i64));
        }
    }
    all
}

/// What the default trigger without lateness must give, the slow way: all windows in a list, merged by
/// looking at every pair, searched from end to end at every watermark.
fn naive(w: &Windowing, steps: &[Step]) -> (Vec<String>, Vec<i64>) {
    let mut live: Vec<(String, Window, Vec<i64>)> = Vec::new();
    let (mut out, mut late, mut watermark) = (Vec::new(), Vec::new(), i64::MIN);
    let mut elapsed = 0;
    let steps = steps.iter().copied().enumerate().chain([(0, Step::Watermark(i64::MAX / SECOND))]);
    for (i, step) in steps {
        match step {
            Step::Clock(_) => {}
            Step::Row { key, t } => w.window_fn.assign(seconds(t), |window| {
                if window.end().0 <= watermark {
                    late.push(i as i64);
                    return;
                }
                live.push((key.to_string(), window, vec![i as i64]));
                join(&mut live, w.window_fn.merges());
            }),
            Step::Watermark(d) => {
                elapsed = if d > 1_000_000 { d } else { elapsed + d };
                watermark = elapsed.saturating_mul(SECOND);
                let (mut due, rest): (Vec<_>, Vec<_>) =
                    live.drain(..).partition(|(_, w, _)| w.end().0 <= watermark);
                live = rest;
                due.sort_by_key(|(key, w, _)| (w.end(), w.clone(), key.clone()));
                out.extend(due.into_iter().map(|(key, window, mut values)| {
                    values.sort_unstable();
                    format!("{key} {window:?} {values:?}")
                }));
            }
        }
    }
    (out, late)
}

fn join(live: &mut Vec<(String, Window, Vec<i64>)>, merges: bool) {
    let meets = |a: &(String, Window, Vec<i64>), b: &(String, Window, Vec<i64>)| {
        let overlap = a.1.start() < b.1.end() && b.1.start() < a.1.end();
        a.0 == b.0 && (a.1 == b.1 || (merges && overlap))
    };
    loop {
        let pair = (0..live.len()).flat_map(|i| (i + 1..live.len()).map(move |j| (i, j)));
        let Some((i, j)) = pair.into_iter().find(|(i, j)| meets(&live[*i], &live[*j])) else { return };
        let other = live.remove(j);
        let one = &mut live[i];
        if one.1 != other.1 {
            one.1 = Window::Interval {
                start: one.1.start().min(other.1.start()),
                end: one.1.end().max(other.1.end()),
            };
        }
        one.2.extend(other.2);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn with_one_pane_a_window_it_is_a_plain_group_by(
        window_fn in window_fns(), mode in modes(), combiner in combiners(), steps in steps(),
    ) {
        let windowing = Windowing { accumulation: mode, ..Windowing::of(window_fn) };
        let (expected, late) = naive(&windowing, &steps);
        let mut sim = Sim::new(windowing, combiner);
        let mut out = Vec::new();
        play(&mut sim, &steps, |_, o| out.extend(o));
        out.extend(sim.finish());
        let shown: Vec<_> = out.iter().map(|o| format!("{} {:?} {:?}", o.key, o.window, o.values)).collect();
        prop_assert_eq!(shown, expected);
        prop_assert_eq!(&sim.late, &late);
        prop_assert!(out.iter().all(|o| o.pane == purlin_api::Pane::ONLY));
        prop_assert!(sim.driver.is_empty());
    }

    #[test]
    fn every_row_is_somewhere(windowing in windowings(), combiner in combiners(), steps in steps()) {
        let all = copies(&windowing, &steps);
        let mut sim = Sim::new(windowing, combiner);
        let discards = sim.discards();
        let mut fired: Vec<i64> = Vec::new();
        let mut told = 0;
        play(&mut sim, &steps, |sim, out| {
            told += out.iter().map(|o| o.rows_new).sum::<u64>();
            if discards {
                fired.extend(out.into_iter().flat_map(|o| o.values));
                let known = fired.iter().copied().chain(sim.cells.all()).chain(sim.late.iter().copied());
                let mut known: Vec<i64> = known.collect();
                known.sort_unstable();
                assert_eq!(known, all[..known.len()], "each once, and no other");
            }
        });
        let out = sim.finish();
        told += out.iter().map(|o| o.rows_new).sum::<u64>();
        prop_assert_eq!(told + sim.late.len() as u64, all.len() as u64);
        if discards {
            fired.extend(out.into_iter().flat_map(|o| o.values));
            fired.extend(&sim.late);
            fired.sort_unstable();
            prop_assert_eq!(fired, all);
        }
        prop_assert!(sim.driver.is_empty() && sim.holds.is_empty() && sim.cells.live() == 0);
    }

    #[test]
    fn accumulating_panes_only_grow(windowing in windowings(), combiner in combiners(), steps in steps()) {
        let windowing = Windowing { accumulation: AccumulationMode::Accumulating, ..windowing };
        let mut sim = Sim::new(windowing, combiner);
        let mut out = Vec::new();
        play(&mut sim, &steps, |_, o| out.extend(o));
        out.extend(sim.finish());
        let mut last: Vec<&Out> = Vec::new();
        for o in &out {
            let inside = |p: &Out| p.key == o.key && p.window.start() >= o.window.start() && p.window.end() <= o.window.end();
            let merges = sim.windowing.window_fn.merges();
            for p in last.iter().filter(|p| p.window == o.window && p.key == o.key || merges && inside(p) && !p.pane.is_last) {
                let (before, now): (BTreeSet<_>, BTreeSet<_>) = (p.values.iter().collect(), o.values.iter().collect());
                prop_assert!(before.is_subset(&now), "{} then {}", p.show(), o.show());
            }
            last.push(o);
        }
    }

    #[test]
    fn panes_are_counted(windowing in windowings(), combiner in combiners(), steps in steps()) {
        let mut sim = Sim::new(windowing, combiner);
        let mut out = Vec::new();
        play(&mut sim, &steps, |_, o| out.extend(o));
        out.extend(sim.finish());
        let merges = sim.windowing.window_fn.merges();
        let mut by_window: BTreeMap<_, Vec<&Out>> = BTreeMap::new();
        for o in &out {
            prop_assert_eq!(o.pane.is_first, o.pane.index == 0);
            prop_assert_eq!(o.pane.timing == Timing::Early, o.pane.nonspeculative_index == -1);
            prop_assert!(o.rows_new > 0 || o.pane.timing == Timing::OnTime);
            if !merges {
                by_window.entry((&o.key, &o.window)).or_default().push(o);
            }
        }
        for panes in by_window.values() {
            let mut nonspeculative = 0;
            for (i, o) in panes.iter().enumerate() {
                prop_assert_eq!(o.pane.index, i as i64);
                prop_assert!(!o.pane.is_last || i + 1 == panes.len(), "a pane after the last");
                prop_assert!(i == 0 || panes[i - 1].pane.timing <= o.pane.timing, "early, on time, late");
                if o.pane.timing != Timing::Early {
                    prop_assert_eq!(o.pane.nonspeculative_index, nonspeculative);
                    nonspeculative += 1;
                }
            }
            prop_assert!(panes.iter().filter(|o| o.pane.timing == Timing::OnTime).count() <= 1);
        }
    }

    #[test]
    fn a_watermark_that_jumps_gives_what_one_that_creeps_gives(
        windowing in windowings(), combiner in combiners(), steps in steps(), far in 0..100i64,
    ) {
        let run = |creeps: bool| {
            let mut sim = Sim::new(windowing.clone(), combiner);
            let (mut watermark, mut out) = (0, Vec::new());
            play(&mut sim, &steps, |_, o| out.extend(o));
            steps.iter().for_each(|s| if let Step::Watermark(d) = s { watermark += d });
            if creeps {
                (watermark..watermark + far).for_each(|t| out.extend(sim.watermark(t)));
            }
            out.extend(sim.watermark(watermark + far));
            (out, sim.driver.len(), sim.cells.live(), sim.holds.min())
        };
        prop_assert_eq!(run(true), run(false));
    }

    #[test]
    fn with_watermark_panes_each_window_has_one_on_time(
        window_fn in apart(), early in triggers(), late in triggers(), mode in modes(), steps in steps(),
    ) {
        let trigger = Trigger::AfterWatermark { early: Some(Box::new(early)), late: Some(Box::new(late)) };
        let windowing = Windowing { trigger, accumulation: mode, ..Windowing::of(window_fn) };
        let mut windows = BTreeSet::new();
        let mut sim = Sim::new(windowing, TimestampCombiner::EndOfWindow);
        let mut out = Vec::new();
        let mut watermark = i64::MIN;
        for step in &steps {
            match step {
                Step::Watermark(d) => watermark = watermark.max(0) + d,
                Step::Row { key, t } => sim.windowing.window_fn.assign(seconds(*t), |w| {
                    if w.end() > seconds(watermark) {
                        windows.insert((key.to_string(), w));
                    }
                }),
                Step::Clock(_) => {}
            }
        }
        play(&mut sim, &steps, |_, o| out.extend(o));
        out.extend(sim.finish());
        let on_time = out.into_iter().filter(|o| o.pane.timing == Timing::OnTime).map(|o| (o.key, o.window));
        let on_time: Vec<_> = on_time.collect();
        prop_assert_eq!(on_time.len(), windows.len());
        prop_assert_eq!(on_time.into_iter().collect::<BTreeSet<_>>(), windows);
    }
}
