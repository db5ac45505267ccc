use super::*;
use proptest::prelude::*;
use purlin_api::key::lane;
use purlin_api::state::own_slot;

const S: i64 = 1_000_000;

/// What a checkpoint keeps of some lanes.
type Logs = Vec<Vec<StateRows>>;

/// The lanes of a reader.
struct Lanes {
    seen: Seen,
    lanes: Vec<Given>,
    logs: Logs,
}

impl Lanes {
    fn new(lanes: usize, ids_max: usize) -> Self {
        Lanes {
            seen: Seen::default(),
            lanes: (0..lanes).map(|l| Given::new(own_slot(l, lanes), ids_max)).collect(),
            logs: vec![Vec::new(); lanes],
        }
    }

    fn restored(lanes: usize, ids_max: usize, logs: &Logs, now: i64) -> Self {
        let mut all = Lanes::new(lanes, ids_max);
        for (at, given) in all.lanes.iter_mut().enumerate() {
            for rows in logs.iter().flatten() {
                let mine = rows.of_lane(at, lanes).unwrap();
                assert!(mine.slots.values().iter().all(|s| lane(*s, lanes) == at));
                given.apply(&mine).unwrap();
            }
            given.restored(now, &mut all.seen);
        }
        all
    }

    fn give(&mut self, lane: usize, id: u128) -> bool {
        self.lanes[lane].give(id, &mut self.seen)
    }

    fn barrier(&mut self, lane: usize, epoch: u64, now: i64, extent: Extent) {
        let given = &mut self.lanes[lane];
        given.barrier(epoch, now, &mut self.seen);
        let saved = given.save(extent).unwrap();
        if saved.extent == Extent::Whole {
            self.logs[lane].clear();
        }
        assert!(saved.log.iter().all(|r| r.rows.schema() == given.schema()));
        self.logs[lane].extend(saved.log);
    }
}

#[test]
fn what_was_given_after_the_barrier_is_new_again() {
    let mut l = Lanes::new(1, 100);
    assert!(l.give(0, 1) && l.give(0, 2) && !l.give(0, 2));
    l.barrier(0, 1, S, Extent::Changes);
    assert!(l.give(0, 3));
    let mut l = Lanes::restored(1, 100, &l.logs, 2 * S);
    assert!(!l.give(0, 1) && !l.give(0, 2) && l.give(0, 3));
}

#[test]
fn ids_are_forgotten_ten_minutes_after_their_messages_were_acknowledged() {
    let mut l = Lanes::new(1, 100);
    l.give(0, 1);
    l.barrier(0, 1, 0, Extent::Changes);
    l.barrier(0, 2, 5 * HORIZON_US, Extent::Changes);
    assert!(!l.give(0, 1), "it may still come again");
    l.lanes[0].acknowledged(2, 5 * HORIZON_US);
    l.barrier(0, 3, 6 * HORIZON_US - 1, Extent::Changes);
    l.barrier(0, 4, 6 * HORIZON_US - 1, Extent::Changes);
    assert!(l.seen.has(1));
    l.lanes[0].acknowledged(4, 6 * HORIZON_US);
    l.barrier(0, 5, 6 * HORIZON_US, Extent::Changes);
    assert!(l.seen.has(1), "its copy is remembered for as long");
    l.barrier(0, 5, 7 * HORIZON_US, Extent::Changes);
    assert!(!l.seen.has(1));
    // However long nobody has read, time counts from the restart on.
    l.give(0, 2);
    l.barrier(0, 6, 7 * HORIZON_US, Extent::Changes);
    l.lanes[0].acknowledged(6, 7 * HORIZON_US);
    l.barrier(0, 7, 7 * HORIZON_US, Extent::Changes);
    let mut l = Lanes::restored(1, 100, &l.logs, 50 * HORIZON_US);
    l.barrier(0, 8, 51 * HORIZON_US - 1, Extent::Changes);
    assert!(l.seen.has(2));
    l.barrier(0, 9, 51 * HORIZON_US, Extent::Changes);
    assert!(!l.seen.has(2));
}

#[test]
fn what_is_owed_outlives_any_number_of_others() {
    let mut l = Lanes::new(1, 10);
    l.give(0, 1);
    l.barrier(0, 1, 0, Extent::Changes);
    l.lanes[0].acknowledged(1, 0);
    l.give(0, 2);
    l.barrier(0, 2, 0, Extent::Changes);
    for crash in 1..3_u64 {
        l = Lanes::restored(1, 10, &l.logs, 0);
        for id in 100..200 {
            assert!(l.give(0, u128::from(crash * 1000 + id)));
        }
        let epoch = 2 + crash;
        l.barrier(0, epoch, 0, Extent::Changes);
        l.lanes[0].acknowledged(epoch, 0);
        l.barrier(0, epoch, 0, Extent::Changes);
        assert!(!l.seen.has(1) && l.seen.has(2), "after crash {crash}");
        assert_eq!(l.seen.len(), 11);
        l.barrier(0, epoch + 1, 0, Extent::Changes);
    }
    assert!(!l.give(0, 2));
    l.barrier(0, 9, 0, Extent::Changes);
    let again = Lanes::restored(1, 10, &l.logs, 0);
    assert!(again.seen.has(2), "the copy belongs to the next epoch, and is owed until then");
    l.barrier(0, 10, 2 * OWED_US, Extent::Changes);
    assert!(l.seen.has(2), "the copy is not acknowledged");
    l.lanes[0].acknowledged(10, 2 * OWED_US);
    l.barrier(0, 11, 3 * OWED_US, Extent::Changes);
    assert_eq!(l.seen.len(), 0);
}

#[test]
fn a_log_of_changes_only_is_bounded_when_it_is_restored() {
    let mut l = Lanes::new(1, 10);
    for epoch in 1..200_u64 {
        (0..5).for_each(|i| assert!(l.give(0, u128::from(epoch * 10 + i))));
        l.barrier(0, epoch, epoch as i64, Extent::Changes);
        l.lanes[0].acknowledged(epoch, epoch as i64);
    }
    l.barrier(0, 200, 200, Extent::Changes);
    assert!(l.seen.len() <= 10);
    let restored = Lanes::restored(1, 10, &l.logs, 300);
    assert_eq!(restored.seen.len(), 10);
    assert!((1990..1995).chain(1980..1985).all(|id| restored.seen.has(id)));
}

#[test]
fn nothing_is_logged_if_nothing_has_changed() {
    let mut g = Given::new(0, 10);
    let mut seen = Seen::default();
    g.give(1, &mut seen);
    g.barrier(1, 0, &mut seen);
    assert_eq!(g.save(Extent::Changes).unwrap().extent, Extent::Whole, "the first is all of it");
    g.barrier(2, 0, &mut seen);
    assert!(g.save(Extent::Changes).unwrap().log.is_empty());
    g.acknowledged(1, 0);
    assert_eq!(g.save(Extent::Changes).unwrap().log[0].rows.num_rows(), 1);
    assert!(g.save(Extent::Changes).unwrap().log.is_empty());
    assert_eq!(g.save(Extent::Whole).unwrap().extent, Extent::Whole);
}

/// A row that was changed: epoch, time, acknowledged, ids.
type Row = (i64, i64, i64, Vec<u8>);

#[derive(Clone, Debug)]
enum Op {
    /// These messages come to a lane.
    Give(usize, Vec<u128>),
    /// A barrier passes all lanes, one after the other; messages come to those behind it meanwhile.
    Barrier(Vec<(usize, u128)>, bool),
    /// What was given up to this many epochs ago is acknowledged, or only in some lanes.
    Acknowledge(u64, usize),
    /// The process dies, and starts again with so many lanes.
    Crash(usize),
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let id = 0_u128..60;
    let op = prop_oneof![
        4 => (0..4_usize, prop::collection::vec(id.clone(), 0..8)).prop_map(|(l, ids)| Op::Give(l, ids)),
        3 => (prop::collection::vec((0..4_usize, id), 0..4), any::<bool>()).prop_map(|(m, w)| Op::Barrier(m, w)),
        2 => (0..3_u64, 1..5_usize).prop_map(|(e, l)| Op::Acknowledge(e, l)),
        1 => (1..5_usize).prop_map(Op::Crash),
    ];
    prop::collection::vec(op, 0..60)
}

proptest! {
    /// No id is given twice and kept, and none is dropped that was not: whatever was given up to the checkpoint's barrier
    /// is known after a crash, and nothing else.
    #[test]
    fn the_table_is_what_was_given_up_to_the_barrier(ops in ops()) {
        let mut l = Lanes::new(1, 1000);
        let (mut known, mut epoch) = (HashSet::<u128>::new(), 0_u64);
        // What the last complete checkpoint has.
        let (mut checkpoint, mut logs): (HashSet<u128>, Logs) = Default::default();
        for op in ops {
            let lanes = l.lanes.len();
            match op {
                Op::Give(lane, ids) => {
                    for id in ids {
                        prop_assert_eq!(l.give(lane % lanes, id), known.insert(id));
                    }
                }
                Op::Barrier(meanwhile, whole) => {
                    epoch += 1;
                    let mut before = known.clone();
                    for lane in 0..lanes {
                        let extent = if whole { Extent::Whole } else { Extent::Changes };
                        l.barrier(lane, epoch, epoch as i64, extent);
                        // Those that are through already give messages of the next epoch, the others of this one.
                        for (to, id) in &meanwhile {
                            let is_new = l.give(to % lanes, *id);
                            prop_assert_eq!(is_new, known.insert(*id));
                            if is_new && to % lanes > lane {
                                before.insert(*id);
                            }
                        }
                    }
                    checkpoint = before;
                    logs.clone_from(&l.logs);
                }
                Op::Acknowledge(ago, some) => {
                    for given in l.lanes.iter_mut().take(some) {
                        given.acknowledged(epoch.saturating_sub(ago), epoch as i64);
                    }
                }
                Op::Crash(lanes) => {
                    l = Lanes::restored(lanes, 1000, &logs, epoch as i64);
                    l.logs = vec![Vec::new(); lanes];
                    known.clone_from(&checkpoint);
                    for id in 0..60 {
                        prop_assert_eq!(l.seen.has(id), known.contains(&id), "{}", id);
                    }
                    prop_assert_eq!(l.seen.len(), known.len());
                }
            }
        }
        // All is forgotten in the end: nothing is counted too often.
        for given in &mut l.lanes {
            given.barrier(epoch + 1, 0, &mut l.seen);
            given.barrier(epoch + 2, 0, &mut l.seen);
            given.acknowledged(epoch + 2, 0);
            given.barrier(epoch + 3, OWED_US + HORIZON_US + 1000, &mut l.seen);
        }
        prop_assert_eq!(l.seen.len(), 0);
    }

    #[test]
    fn rows_that_make_no_sense_are_no_panic(rows in prop::collection::vec(
        (any::<i64>(), any::<i64>(), any::<i64>(), prop::collection::vec(any::<u8>(), 0..40)), 0..8)) {
        let int = |of: fn(&Row) -> i64| -> ArrayRef {
            Arc::new(rows.iter().map(of).collect::<Int64Array>())
        };
        let ids: BinaryArray = rows.iter().map(|r| Some(r.3.as_slice())).collect();
        let columns = vec![int(|r| r.0), int(|r| r.1), int(|r| r.2), Arc::new(ids) as ArrayRef];
        let batch = RecordBatch::try_new(schema(), columns).unwrap();
        let (mut g, mut seen) = (Given::new(0, 2), Seen::default());
        let fits = rows.iter().all(|r| r.3.len() % ID_BYTES == 0);
        prop_assert_eq!(g.apply(&StateRows::in_slot(0, batch)).is_ok(), fits);
        g.restored(i64::MAX, &mut seen);
        g.barrier(1, 0, &mut seen);
        g.save(Extent::Whole).unwrap();
    }
}
