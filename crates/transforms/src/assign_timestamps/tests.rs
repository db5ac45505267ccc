use super::*;
use crate::testing::{callable, expression, handling, spanned};
use purlin_api::testing::{self, Driver};
use purlin_api::{Windowing, time::SECOND};

fn assign_timestamps(timestamp: Expression, errors: Option<&str>) -> AssignTimestamps {
    AssignTimestamps { timestamp, language: Some(spanned("python")), error_handling: handling(errors, None) }
}

/// The times that rows get, in seconds.
fn times(driver: &Driver) -> Vec<f64> {
    let of = |b: &Batch| (0..b.len()).map(|r| b.times.get(r).0 as f64 / 1e6).collect::<Vec<_>>();
    driver.emitted.iter().filter(|(port, _)| *port == 0).flat_map(|(_, b)| of(b)).collect()
}

#[test]
fn numbers_are_seconds_and_text_is_rfc_3339() {
    let run = |rows: &str| {
        times(&testing::run(&assign_timestamps(expression("t"), None), &[rows], false).unwrap().1)
    };
    assert_eq!(run(r#"[{"t": 3}, {"t": -10}]"#), [3.0, -10.0]);
    assert_eq!(run(r#"[{"t": 0.1234567}, {"t": 1.5}]"#), [0.123457, 1.5]);
    assert_eq!(run(r#"[{"t": "1970-01-01T00:00:01.5Z"}, {"t": "1970-01-01T01:00:00+01:00"}]"#), [1.5, 0.0]);
    assert_eq!(run(r#"[{"t": 5}, {"t": "1970-01-01T00:00:07Z"}]"#), [5.0, 7.0]);
}

#[test]
fn what_is_no_instant_fails_the_row_and_the_schema_stays() {
    let rows = r#"[{"t": "soon"}, {"t": null}, {"t": "1970-01-01T00:00:00Z"}, {"t": "2024-01-01 10:00:00"}]"#;
    let (_, driver) = testing::run(&assign_timestamps(expression("t"), Some("bad")), &[rows], false).unwrap();
    assert_eq!(driver.rows(0), [r#"{"t":"1970-01-01T00:00:00Z"}"#]);
    assert_eq!(driver.rows(1).len(), 3);
    assert!(driver.rows(1)[0].contains("'soon' is not a timestamp"), "{:?}", driver.rows(1));
    let huge = testing::run(&assign_timestamps(expression("t"), None), &[r#"[{"t": 1e300}]"#], false);
    assert!(huge.unwrap_err().contains("out of range"));
}

#[test]
fn beam_takes_no_text() {
    let rows = r#"[{"t": "2024-01-02T03:04:05Z"}]"#;
    let e = testing::run(&assign_timestamps(expression("t"), None), &[rows], true).unwrap_err();
    assert!(e.contains("Cannot interpret 2024-01-02T03:04:05Z <class 'str'> as Timestamp."), "{e}");
    let e = testing::run(&assign_timestamps(expression("t"), None), &[r#"[{"t": null}, {"t": 1}]"#], false)
        .unwrap_err();
    assert!(e.contains("Cannot interpret None <class 'NoneType'> as Timestamp."), "{e}");
    let e = testing::run(&assign_timestamps(expression("[t]"), None), &[rows], false).unwrap_err();
    assert!(e.contains("timestamp/type"), "{e}");
}

#[test]
fn datetimes_may_have_any_offset() {
    let code = "from datetime import datetime\ndef when(row):\n  return datetime.fromisoformat(row.t)\n";
    let rows = r#"[{"t": "1970-01-01T02:00:00+01:00"}]"#;
    let (_, driver) = testing::run(&assign_timestamps(callable(code), None), &[rows], false).unwrap();
    assert_eq!(times(&driver), [3600.0]);
}

#[test]
fn rows_move_to_the_windows_of_their_new_time() {
    let rows = r#"[{"t": 3}, {"t": 12}]"#;
    let mut shape = testing::shape_of(rows).unwrap();
    let sliding = WindowFn::Sliding { size: 20 * SECOND, period: 10 * SECOND, offset: 0 };
    shape.windowing = Arc::new(Windowing::of(sliding));
    let t = assign_timestamps(expression("t"), None);
    let node = testing::bind(&t, &[testing::input(shape)], false).unwrap();
    let mut driver = Driver::new(node.as_ref()).unwrap();
    driver.push_json(rows).unwrap();
    let windows: Vec<String> = driver
        .emitted
        .iter()
        .flat_map(|(_, b)| {
            (0..b.len()).map(|r| crate::python::window_text(b.windows.get(r))).collect::<Vec<_>>()
        })
        .collect();
    assert_eq!(windows, ["[0.0, 20.0)", "[-10.0, 10.0)", "[10.0, 30.0)", "[0.0, 20.0)"]);
    assert_eq!(driver.cx.fates.passed, 2);
}
