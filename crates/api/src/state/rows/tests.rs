use super::*;
use crate::json::row_to_json;
use crate::key::KeyCodec;
use crate::state::StateRows;
use crate::testing::rows;
use arrow_schema::DataType;
use proptest::prelude::*;

fn table(keyed: bool) -> KeptRows {
    let schema = rows(r#"[{"k": "", "v": 0}]"#).unwrap().schema();
    let slots = match keyed {
        true => RowSlots::Keyed { columns: vec![0], codec: KeyCodec::new(&[DataType::Utf8]).unwrap() },
        false => RowSlots::One(3),
    };
    KeptRows::new("rows", schema, slots)
}

fn some(from: i64, n: i64) -> RecordBatch {
    let rows_json: Vec<String> =
        (from..from + n).map(|v| format!(r#"{{"k": "k{}", "v": {v}}}"#, v % 7)).collect();
    rows(&format!("[{}]", rows_json.join(","))).unwrap()
}

fn at(start: i64) -> (EventTime, EventTime) {
    (EventTime(start), EventTime(start + 10))
}

/// All rows that wait, with their windows.
fn content(t: &KeptRows) -> Vec<String> {
    let mut all = Vec::new();
    for part in t.parts.values() {
        let text = |row| format!("{} {:?}", row_to_json(&part.rows, row), part.windows.get(row));
        all.extend(part.live().map(text));
    }
    all.sort();
    assert_eq!(all.len(), t.len());
    all
}

fn restore(logs: &[StateRows], keyed: bool, lane: usize, lanes: usize) -> KeptRows {
    let mut t = table(keyed);
    logs.iter().for_each(|l| t.apply(&l.of_lane(lane, lanes).unwrap()).unwrap());
    t.restored().unwrap();
    t
}

#[test]
fn windows_of_all_kinds_come_back() {
    let mut t = table(true);
    let opaque = Window::Opaque { bytes: b"w".as_slice().into(), max: EventTime(4) };
    let windows = [Window::Global, Window::interval(0, 10), opaque, Window::interval(10, 20)];
    for (n, window) in windows.iter().enumerate() {
        t.add(some(n as i64 * 10, 10), InWindow::One(window.clone()));
    }
    let log = t.save(Extent::Whole).unwrap().log;
    assert_eq!(log.len(), 1, "small parts are put together");
    let mut back = table(true);
    back.apply(&log[0]).unwrap();
    let parts = back.restored_by_window().unwrap();
    assert_eq!(content(&back), content(&t));
    let mut found: Vec<Window> = parts.into_iter().map(|(w, _)| w).collect();
    found.sort();
    let mut windows = windows.to_vec();
    windows.sort();
    assert_eq!(found, windows);
}

#[test]
fn rows_without_columns_are_counted() {
    let schema = std::sync::Arc::new(arrow_schema::Schema::empty());
    let rows = |n| {
        let options = RecordBatchOptions::new().with_row_count(Some(n));
        RecordBatch::try_new_with_options(schema.clone(), Vec::new(), &options).unwrap()
    };
    let mut t = KeptRows::new("rows", schema.clone(), RowSlots::One(0));
    t.add(rows(3), InWindow::One(Window::Global));
    let id = t.add(rows(2), InWindow::One(Window::interval(0, 1)));
    let mut log = t.save(Extent::Whole).unwrap().log;
    t.take(id).unwrap();
    log.extend(t.save(Extent::Changes).unwrap().log);
    let mut back = KeptRows::new("rows", schema.clone(), RowSlots::One(0));
    log.iter().for_each(|l| back.apply(l).unwrap());
    let parts = back.restored_by_window().unwrap();
    assert_eq!((back.len(), parts.len(), &parts[0].0), (3, 1, &Window::Global));
}

#[test]
fn a_part_that_goes_is_one_row_of_the_log() {
    let mut t = table(false);
    let id = t.add(some(0, 1000), InWindow::One(Window::Global));
    t.save(Extent::Changes).unwrap();
    assert_eq!(t.take(id).unwrap().num_rows(), 1000);
    let log = t.save(Extent::Changes).unwrap().log;
    assert_eq!(log.iter().map(|l| l.rows.num_rows()).sum::<usize>(), 1);
}

#[derive(Clone, Debug)]
enum Step {
    Add(u8, bool),
    Take(u8),
    Remove(u8, u8),
    Compact,
    Save(bool),
    Restore,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1..20_u8, any::<bool>()).prop_map(|(n, one)| Step::Add(n, one)),
        2 => any::<u8>().prop_map(Step::Take),
        3 => (any::<u8>(), any::<u8>()).prop_map(|(p, n)| Step::Remove(p, n)),
        1 => Just(Step::Compact),
        3 => any::<bool>().prop_map(Step::Save),
        1 => Just(Step::Restore),
    ]
}

/// All places that are still there.
fn places(t: &KeptRows) -> Vec<Place> {
    t.parts.iter().flat_map(|(id, p)| p.live().map(|row| (*id, row)).collect::<Vec<_>>()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_log_makes_the_table(steps in prop::collection::vec(step(), 1..40), keyed in any::<bool>()) {
        let mut t = table(keyed);
        let mut log: Vec<StateRows> = Vec::new();
        let mut next = 0;
        for step in &steps {
            match step {
                Step::Add(n, one) => {
                    let rows = some(next, i64::from(*n));
                    let windows = match one {
                        true => InWindow::One(Window::interval(next, next + 10)),
                        false => InWindow::Each((0..i64::from(*n)).map(|i| at(next + i)).collect()),
                    };
                    next += i64::from(*n);
                    t.add(rows, windows);
                }
                Step::Take(n) => {
                    let whole: Vec<_> = t.parts.iter().filter(|(_, p)| p.live.is_none()).map(|(id, _)| *id).collect();
                    if let Some(id) = whole.get(usize::from(*n) % whole.len().max(1)) {
                        t.take(*id).unwrap();
                    }
                }
                Step::Remove(first, every) => {
                    let gone: Vec<_> =
                        places(&t).into_iter().skip(usize::from(*first) % 16).step_by(1 + usize::from(*every) % 5).collect();
                    t.remove(&gone).unwrap();
                }
                Step::Compact => {
                    let before = content(&t);
                    let all = places(&t);
                    let picked = t.pick(&all).unwrap();
                    let now = t.compact(&all).unwrap();
                    prop_assert_eq!(t.pick(&now).unwrap(), picked);
                    prop_assert_eq!(content(&t), before);
                    prop_assert_eq!(t.held(), t.len());
                }
                Step::Save(whole) => {
                    let saved = t.save(if *whole { Extent::Whole } else { Extent::Changes }).unwrap();
                    if saved.extent == Extent::Whole {
                        log.clear();
                    }
                    log.extend(saved.log);
                    let whole = restore(&log, keyed, 0, 1);
                    prop_assert_eq!(content(&whole), content(&t));
                    let mut lanes: Vec<String> = (0..3).flat_map(|l| content(&restore(&log, keyed, l, 3))).collect();
                    lanes.sort();
                    prop_assert_eq!(lanes, content(&t));
                }
                Step::Restore => {
                    let saved = t.save(Extent::Changes).unwrap();
                    if saved.extent == Extent::Whole {
                        log.clear();
                    }
                    log.extend(saved.log);
                    t = restore(&log, keyed, 0, 1);
                }
            }
        }
    }
}
