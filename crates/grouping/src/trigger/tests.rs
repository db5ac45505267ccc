use super::*;
use proptest::prelude::*;

const END: i64 = 10;

fn count(n: u64) -> Trigger {
    Trigger::AfterCount(n)
}

fn delay(seconds: i64) -> Trigger {
    Trigger::AfterProcessingTime(seconds * 1_000_000)
}

fn again(t: Trigger) -> Trigger {
    Trigger::Repeatedly(Box::new(t))
}

fn end_of_window(early: Option<Trigger>, late: Option<Trigger>) -> Trigger {
    Trigger::AfterWatermark { early: early.map(Box::new), late: late.map(Box::new) }
}

fn at(watermark: i64, now: i64) -> Moment {
    Moment {
        watermark: EventTime::from_seconds(watermark),
        window_end: EventTime::from_seconds(END),
        now: EventTime::from_seconds(now),
    }
}

/// Runs a script against a window that ends at 10 s: `r` is a row, `w12` moves the watermark, `n5` the
/// clock. After each step the trigger is asked once. One letter a step: `.` nothing, `F` fires, `X` fires
/// and finishes, `-` has finished before.
fn run(trigger: &Trigger, script: &str) -> String {
    let machine = TriggerMachine::new(trigger);
    let mut state = machine.start();
    let (mut watermark, mut now, mut finished) = (0, 0, false);
    let step = |word: &str| {
        let number = || word.get(1..).and_then(|n| n.parse::<i64>().ok()).expect("a number");
        match word.as_bytes()[0] {
            b'r' => {
                if !finished {
                    machine.on_row(&mut state, &at(watermark, now));
                }
            }
            b'w' => watermark = number(),
            b'n' => now = number(),
            other => panic!("unknown step {other}"),
        }
        let at = at(watermark, now);
        if finished {
            '-'
        } else if machine.should_fire(&state, &at) {
            finished = machine.on_fire(&mut state, &at);
            if finished { 'X' } else { 'F' }
        } else {
            '.'
        }
    };
    script.split_whitespace().map(step).collect()
}

#[track_caller]
fn check(table: &[(Trigger, &str, &str)]) {
    for (trigger, script, expected) in table {
        assert_eq!(run(trigger, script), *expected, "{} on {script}", trigger.describe());
    }
}

#[test]
fn leaves() {
    check(&[
        (Trigger::Default, "r r w9 r w10 r r", "....FFF"),
        (end_of_window(None, None), "r r w9 w10 r", "...X-"),
        (end_of_window(Some(count(2)), None), "r r r r r w10 r", ".F.F.X-"),
        (end_of_window(None, Some(count(2))), "r r r w10 r r r r", "...F.F.F"),
        (end_of_window(Some(count(2)), Some(count(1))), "r r r w10 r r", ".F.FFF"),
        (end_of_window(Some(delay(5)), Some(delay(3))), "r n4 n5 n6 r n11 w10 r n13 n14 n20", "..F..FF..F."),
        // What came before the end does not count towards the late panes.
        (end_of_window(None, Some(count(2))), "r w10 r r", ".F.F"),
        // The first row is late: the on-time pane is still owed.
        (end_of_window(None, Some(count(2))), "w12 r r r", "F.F."),
        (count(1), "r r", "X-"),
        (count(3), "r r w20 n9 r r", "....X-"),
        // Beam refuses 0; it means 1 here.
        (count(0), "w3 r", ".X"),
        (delay(5), "n3 r n7 r n8 n9", "....X-"),
        (delay(5), "n9 w20", ".."),
        (delay(0), "r", "X"),
    ]);
}

#[test]
fn repetition() {
    check(&[
        (again(count(2)), "r r r r r", ".F.F."),
        (again(Trigger::Default), "r w10 r", ".FF"),
        (again(end_of_window(None, None)), "r w10 r r", ".FFF"),
        (again(again(count(2))), "r r r r", ".F.F"),
        // A new delay starts with the next row, not with the pane.
        (again(delay(5)), "r n5 n10 r n14 n15", ".F...F"),
    ]);
}

#[test]
fn any() {
    let any = Trigger::AfterAny;
    check(&[
        (any(vec![count(2), end_of_window(None, None)]), "r w10", ".X"),
        (any(vec![count(2), end_of_window(None, None)]), "r r", ".X"),
        // Not only the last member counts.
        (any(vec![count(2), count(9)]), "r r", ".X"),
        (any(vec![count(9), count(2)]), "r r", ".X"),
        (any(vec![count(9), delay(3), count(9)]), "r n3 r", ".X-"),
        // A member that repeats does not finish the whole.
        (any(vec![again(count(2)), count(5)]), "r r r r r r", ".F.FX-"),
        // A member that is not due keeps what it has counted.
        (any(vec![again(count(2)), count(3)]), "r r r", ".FX"),
        // A round ends for all members, and takes their timers along.
        (again(any(vec![count(2), delay(5)])), "r n3 r n5 r n8 n10 n20", "..F...F."),
        (again(any(vec![count(10), delay(5)])), "r n5 r n9 n10", ".F..F"),
    ]);
}

#[test]
fn all() {
    let all = Trigger::AfterAll;
    check(&[
        (all(vec![count(2), count(3)]), "r r r r", "..X-"),
        (all(vec![count(3), count(2)]), "r r r r", "..X-"),
        (all(vec![count(2), end_of_window(None, None)]), "r w10 r r", "..X-"),
        (all(vec![count(2), end_of_window(None, None)]), "r r w10", "..X"),
        // A delay that has passed still counts when the last row comes.
        (all(vec![delay(5), count(2)]), "r n5 n6 r", "...X"),
        (all(vec![delay(5), delay(8)]), "r n5 n8", "..X"),
        (again(all(vec![delay(5), count(2)])), "r r n5 r n9 r n10", "..F...F"),
        // A finished member stays finished while another goes on.
        (all(vec![count(1), again(count(2))]), "r r r r", ".F.F"),
        (all(vec![Trigger::AfterEach(vec![count(1)]), again(count(2))]), "r r r r", ".F.F"),
    ]);
}

#[test]
fn each() {
    let each = Trigger::AfterEach;
    check(&[
        (each(vec![count(1), count(2), count(3)]), "r r r r r r r", "F.F..X-"),
        (each(vec![count(2), end_of_window(None, None)]), "r r r w10 r", ".F.X-"),
        // A member that never finishes keeps its turn.
        (each(vec![again(count(2)), count(1)]), "r r r r", ".F.F"),
        (again(each(vec![count(1), count(2)])), "r r r r r r", "F.FF.F"),
        (each(vec![delay(5), delay(5)]), "r n5 n10 r n15", ".F..X"),
        (each(vec![]), "r w10 n5", "..."),
    ]);
}

#[test]
fn nesting() {
    let early = Trigger::AfterAny(vec![count(3), delay(5)]);
    check(&[
        (end_of_window(Some(early.clone()), Some(count(1))), "r r r r n5 w10 r n20", "..F.FFF."),
        (end_of_window(Some(early), None), "r n4 r n5 r n10 w10", "...F.FX"),
        (
            Trigger::AfterEach(vec![
                Trigger::AfterAll(vec![count(1), count(2)]),
                Trigger::AfterAny(vec![count(5), count(1)]),
            ]),
            "r r r r",
            ".FX-",
        ),
        (again(Trigger::AfterEach(vec![count(2), end_of_window(None, None)])), "r r r w10 r r r", ".F.F.FF"),
    ]);
}

#[test]
fn timers_are_told() {
    let second = EventTime::from_seconds;
    let told = |trigger: &Trigger, rows_at: &[i64], now: i64| {
        let machine = TriggerMachine::new(trigger);
        let mut state = machine.start();
        rows_at.iter().for_each(|t| machine.on_row(&mut state, &at(0, *t)));
        machine.next_timer(&state, second(now))
    };
    assert_eq!(told(&delay(5), &[], 0), None);
    assert_eq!(told(&delay(5), &[1, 2], 2), Some(second(6)));
    assert_eq!(told(&delay(5), &[1], 6), None);
    let all = Trigger::AfterAll(vec![delay(5), delay(9)]);
    assert_eq!(told(&all, &[0], 0), Some(second(5)));
    assert_eq!(told(&all, &[0], 5), Some(second(9)));
    assert!(!TriggerMachine::new(&count(3)).uses_clock());
    assert!(TriggerMachine::new(&again(delay(3))).uses_clock());
}

#[test]
fn on_time_panes_are_told() {
    let has = |t: Trigger| TriggerMachine::new(&t).has_on_time_pane();
    assert!(has(Trigger::Default));
    assert!(has(end_of_window(Some(count(1)), None)));
    assert!(has(again(Trigger::AfterAny(vec![count(1), Trigger::Default]))));
    assert!(!has(count(1)));
    assert!(!has(again(Trigger::AfterAll(vec![count(1), delay(3)]))));
}

#[test]
fn a_merge_that_moves_the_end_ahead_takes_the_on_time_pane_back() {
    let machine = TriggerMachine::new(&end_of_window(Some(count(2)), Some(count(3))));
    let mut state = machine.start();
    machine.on_row(&mut state, &at(10, 0));
    assert!(machine.should_fire(&state, &at(10, 0)));
    assert!(!machine.on_fire(&mut state, &at(10, 0)));
    machine.on_row(&mut state, &at(10, 0));
    let later = Moment { window_end: EventTime::from_seconds(20), ..at(10, 0) };
    // Still behind the watermark: nothing changes.
    let mut still = state.clone();
    machine.on_window(&mut still, &at(10, 0));
    assert_eq!(still, state);
    machine.on_window(&mut state, &later);
    assert_eq!(state, machine.start());
    assert!(!machine.should_fire(&state, &later));
    assert!(machine.should_fire(&state, &Moment { watermark: later.window_end, ..later }));
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Row,
    Watermark(i64),
    Clock(i64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => Just(Step::Row),
        1 => (0..4i64).prop_map(Step::Watermark),
        2 => (0..4i64).prop_map(Step::Clock),
    ];
    prop::collection::vec(step, 0..25)
}

fn triggers() -> impl Strategy<Value = Trigger> {
    let leaf = prop_oneof![
        Just(Trigger::Default),
        Just(end_of_window(None, None)),
        (1..5u64).prop_map(count),
        (0..6i64).prop_map(delay),
    ];
    leaf.prop_recursive(3, 10, 3, |inner| {
        let list = || prop::collection::vec(inner.clone(), 1..4);
        prop_oneof![
            inner.clone().prop_map(again),
            (prop::option::of(inner.clone()), prop::option::of(inner.clone()))
                .prop_map(|(early, late)| end_of_window(early, late)),
            list().prop_map(Trigger::AfterAny),
            list().prop_map(Trigger::AfterAll),
            list().prop_map(Trigger::AfterEach),
        ]
    })
}

/// Plays steps; calls `each` after every one. Fires when due if `fires`, and stops when finished.
fn play(
    machine: &TriggerMachine,
    steps: &[Step],
    fires: bool,
    mut each: impl FnMut(&TriggerState, &Moment, Option<bool>),
) -> TriggerState {
    let mut state = machine.start();
    let (mut watermark, mut now) = (0, 0);
    for step in steps {
        match step {
            Step::Row => machine.on_row(&mut state, &at(watermark, now)),
            Step::Watermark(d) => watermark += d,
            Step::Clock(d) => now += d,
        }
        let at = at(watermark, now);
        let due = fires && machine.should_fire(&state, &at);
        let finished = due.then(|| machine.on_fire(&mut state, &at));
        each(&state, &at, finished);
        if finished == Some(true) {
            break;
        }
    }
    state
}

proptest! {
    #[test]
    fn any_is_or_and_all_is_and(members in prop::collection::vec(triggers(), 1..4), steps in steps()) {
        let alone: Vec<_> = members.iter().map(TriggerMachine::new).collect();
        let asked = |machine: &TriggerMachine| {
            let mut answers = Vec::new();
            play(machine, &steps, false, |s, at, _| answers.push(machine.should_fire(s, at)));
            answers
        };
        let alone: Vec<_> = alone.iter().map(asked).collect();
        let any = asked(&TriggerMachine::new(&Trigger::AfterAny(members.clone())));
        let all = asked(&TriggerMachine::new(&Trigger::AfterAll(members.clone())));
        let first = asked(&TriggerMachine::new(&Trigger::AfterEach(members.clone())));
        let repeated = asked(&TriggerMachine::new(&again(members[0].clone())));
        for i in 0..steps.len() {
            prop_assert_eq!(any[i], alone.iter().any(|m| m[i]));
            prop_assert_eq!(all[i], alone.iter().all(|m| m[i]));
            prop_assert_eq!(first[i], alone[0][i]);
            prop_assert_eq!(repeated[i], alone[0][i]);
        }
    }

    #[test]
    fn any_finishes_when_a_due_member_does(members in prop::collection::vec(triggers(), 1..4), steps in steps()) {
        let history = |t: &Trigger| {
            let machine = TriggerMachine::new(t);
            let mut seen = Vec::new();
            play(&machine, &steps, false, |s, at, _| seen.push((s.clone(), *at)));
            // What it would say to each step: not due, or whether firing then finishes it.
            seen.into_iter()
                .map(|(mut s, at)| machine.should_fire(&s, &at).then(|| machine.on_fire(&mut s, &at)))
                .collect::<Vec<_>>()
        };
        let alone: Vec<_> = members.iter().map(history).collect();
        for (i, said) in history(&Trigger::AfterAny(members.clone())).into_iter().enumerate() {
            let expected = alone.iter().filter_map(|m| m[i]).reduce(|a, b| a || b);
            prop_assert_eq!(said, expected);
        }
    }

    #[test]
    fn repeatedly_never_finishes(t in triggers(), steps in steps()) {
        let machine = TriggerMachine::new(&again(t));
        let mut ends = 0;
        play(&machine, &steps, true, |_, _, finished| ends += usize::from(finished == Some(true)));
        prop_assert_eq!(ends, 0);
    }

    #[test]
    fn counts_count(n in 1..6u64, rows in 0..40usize) {
        let fired = |t: &Trigger| run(t, &"r ".repeat(rows)).matches(['F', 'X']).count();
        prop_assert_eq!(fired(&count(n)), usize::from(rows as u64 >= n));
        prop_assert_eq!(fired(&again(count(n))), rows / n as usize);
    }

    #[test]
    fn merging_is_associative_and_commutative(
        t in triggers(), a in steps(), b in steps(), c in steps(), end in 0..30i64, watermark in 0..30i64,
    ) {
        let machine = TriggerMachine::new(&t);
        let state = |steps: &[Step]| play(&machine, steps, true, |_, _, _| {});
        let (a, b, c) = (state(&a), state(&b), state(&c));
        let join = |x: &TriggerState, y: &TriggerState| {
            let mut x = x.clone();
            machine.on_merge(&mut x, y);
            x
        };
        prop_assert_eq!(join(&a, &b), join(&b, &a));
        prop_assert_eq!(join(&join(&a, &b), &c), join(&a, &join(&b, &c)));
        prop_assert_eq!(&join(&a, &machine.start()), &a);
        // Also if the window is settled in between, as long as it only grows.
        let moment = Moment { window_end: EventTime::from_seconds(end), ..at(watermark, 0) };
        let settled = |mut s: TriggerState| { machine.on_window(&mut s, &moment); s };
        prop_assert_eq!(settled(join(&settled(join(&a, &b)), &c)), settled(join(&a, &settled(join(&b, &c)))));
    }

    #[test]
    fn merged_counts_add_up(n in 1..9u64, a in 0..6usize, b in 0..6usize) {
        let machine = TriggerMachine::new(&count(n));
        let rows = |k: usize| play(&machine, &vec![Step::Row; k], false, |_, _, _| {});
        let mut merged = rows(a);
        machine.on_merge(&mut merged, &rows(b));
        prop_assert_eq!(&merged, &rows(a + b));
        prop_assert_eq!(machine.should_fire(&merged, &at(0, 0)), (a + b) as u64 >= n);
    }

    #[test]
    fn between_timers_nothing_changes(t in triggers(), steps in steps(), wait in 0..20i64) {
        let machine = TriggerMachine::new(&t);
        let mut wrong = None;
        play(&machine, &steps, true, |s, at, finished| {
            let next = machine.next_timer(s, at.now);
            let then = Moment { now: at.now.plus(wait * 500_000), ..*at };
            let before = next.is_none_or(|next| then.now < next);
            if finished != Some(true) && before && machine.should_fire(s, at) != machine.should_fire(s, &then) {
                wrong = Some((s.clone(), *at, next));
            }
            if next.is_some_and(|next| next <= at.now) || (next.is_some() && !machine.uses_clock()) {
                wrong = Some((s.clone(), *at, next));
            }
        });
        prop_assert_eq!(wrong, None);
    }

    #[test]
    fn foreign_states_do_no_harm(t in triggers(), other in triggers(), steps in steps()) {
        let (machine, foreign) = (TriggerMachine::new(&t), TriggerMachine::new(&other).start());
        for step in &steps {
            let mut s = foreign.clone();
            let at = at(i64::from(matches!(step, Step::Watermark(_))) * 20, 3);
            machine.on_row(&mut s, &at);
            machine.on_merge(&mut s, &machine.start());
            machine.on_window(&mut s, &at);
            if machine.should_fire(&s, &at) {
                let _finished = machine.on_fire(&mut s, &at);
            }
            machine.next_timer(&s, at.now);
        }
    }
}
