//! Reading and writing Parquet.

use super::{sink, source};
use crate::shared::testing::{Folder, now, sink as start, sink_with_checkpoints};
use crate::shared::testing_sinks::{check_names, check_sink};
use crate::shared::testing_sources::{check_changed_files, check_source};
use crate::shared::testing_tables::{
    batch, check_any_damage, check_cuts, check_flips, check_foreign_files, check_roundtrip, damage, file_of,
    read_beside, seeds, shape, within,
};
use arrow_array::{
    ArrayRef, Decimal256Array, DictionaryArray, Float32Array, Int32Array, LargeStringArray, RecordBatch,
    TimestampMillisecondArray, TimestampNanosecondArray, UInt64Array, types::Int32Type,
};
use parquet::arrow::ArrowWriter;
use proptest::prelude::*;
use purlin_api::shape::type_name;
use purlin_api::testing::{batch as rows_of, shape_of};
use purlin_api::{Batch, Dict, EventTime, Shape, Window, WindowFn, Windowing};
use std::sync::Arc;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn all_types_come_back(seeds in seeds(), codec in "none|snappy|gzip|zstd|lz4") {
        check_roundtrip(&sink::entry(), &source::entry(), &batch(&seeds), &format!(", codec: {codec}"));
    }
}

fn foreign(columns: Vec<(&str, ArrayRef)>) -> Vec<u8> {
    let rows = RecordBatch::try_from_iter(columns).unwrap();
    let mut writer = ArrowWriter::try_new(Vec::new(), rows.schema(), None).unwrap();
    writer.write(&rows).unwrap();
    writer.into_inner().unwrap()
}

fn simple(json: &str) -> Vec<u8> {
    file_of(&sink::entry(), &rows_of(json).unwrap().rows, "")
}

#[test]
fn foreign_types_become_ours() {
    let file = foreign(vec![
        ("i", Arc::new(Int32Array::from(vec![Some(1), None]))),
        ("f", Arc::new(Float32Array::from(vec![1.5, -2.0]))),
        ("s", Arc::new(LargeStringArray::from(vec!["a", "b"]))),
        ("d", Arc::new(DictionaryArray::<Int32Type>::from_iter(["x", "y"]))),
        ("t", Arc::new(TimestampNanosecondArray::from(vec![1_500_000_000, 0]))),
    ]);
    let folder = Folder::new(&[("a", &file)]);
    let node = folder.bind(&source::entry(), "{path: '{}/a'}", None, false).unwrap();
    let fields = node.outputs()[0].shape.schema.fields().clone();
    let types: Vec<_> = fields.iter().map(|f| type_name(f)).collect();
    assert_eq!(types, ["int", "float", "str", "str", "timestamp"]);
    assert_eq!(
        folder.run(node.as_ref(), 10).unwrap().rows,
        [
            r#"{"i":1,"f":1.5,"s":"a","d":"x","t":"1970-01-01T00:00:01.5Z"}"#,
            r#"{"i":null,"f":-2.0,"s":"b","d":"y","t":"1970-01-01T00:00:00Z"}"#
        ]
    );
}

#[test]
fn values_without_a_common_type_are_written_as_json() {
    let rows =
        r#"[{"a": 1, "r": {"x": [1]}, "l": [{"y": 1}]}, {"a": "x", "r": {"x": ["t"]}, "l": [{"z": 2}]}]"#;
    let folder = Folder::new(&[("f", &simple(rows))]);
    let want = [
        r#"{"a":"1","r":{"x":["1"]},"l":[{"y":1,"z":null}]}"#,
        r#"{"a":"\"x\"","r":{"x":["\"t\""]},"l":[{"y":null,"z":2}]}"#,
    ];
    assert_eq!(folder.read(&source::entry(), "{path: '{}/f'}").unwrap().rows, want);
}

#[test]
fn files_of_other_programs_are_read() {
    assert_eq!(check_foreign_files(&source::entry(), "parquet"), 7);
    let file = |name: &str| format!("{{path: '{}/tests/interchange/{name}'}}", env!("CARGO_MANIFEST_DIR"));
    let folder = Folder::new(&[]);
    let e = folder.read(&source::entry(), &file("brotli.parquet")).unwrap_err();
    assert!(e.contains("column `i`: its pages are compressed with brotli, which is not read here"), "{e}");
    let e = folder.read(&source::entry(), &file("u64.parquet")).unwrap_err();
    assert!(e.contains("u64.parquet`, row 2: `u`: ") && e.contains("18446744073709551615"), "{e}");
}

#[test]
fn a_schema_of_the_author_is_read() {
    let folder = Folder::new(&[("1", &simple(r#"[{"a": 1, "b": "x"}]"#)), ("2", b"broken")]);
    let config = "{path: '{}/1', schema: {a: number, z: string}}";
    assert_eq!(folder.read(&source::entry(), config).unwrap().rows, [r#"{"a":1.0,"z":null}"#]);
    let e = folder.read(&source::entry(), "{path: '{}/1', schema: {b: integer}}").unwrap_err();
    assert!(e.contains("column `b` is int in the `schema` and str in `{}/1`"), "{e}");
    let lenient = "{path: '{}/*', schema: {a: integer}, error_handling: {output: bad}}";
    let got = folder.read(&source::entry(), lenient).unwrap();
    assert_eq!((got.rows.as_slice(), got.dead), (&[r#"{"a":1}"#.to_owned()][..], 1));
    for (config, want) in [
        ("{schema: {a: integer}}", "config/missing-field"),
        ("{path: a, file_pattern: b}", "config/both-given"),
        ("{file_pattern: '{}/1', columns: [a, a]}", "schema/duplicate-field"),
    ] {
        let e = folder.bind(&source::entry(), config, None, false).unwrap_err();
        assert!(e.contains(want), "{config}: {e}");
    }
}

#[test]
fn values_too_big_are_bad_rows() {
    let file = foreign(vec![("u", Arc::new(UInt64Array::from(vec![1, u64::MAX, 3])))]);
    let folder = Folder::new(&[("a", &file)]);
    let e = folder.read(&source::entry(), "{path: '{}/a'}").unwrap_err();
    assert!(e.contains("`{}/a`, row 2: ") && e.contains("18446744073709551615"), "{e}");
    let got = folder.read(&source::entry(), "{path: '{}/a', error_handling: {output: bad}}").unwrap();
    assert_eq!(got.rows, [r#"{"u":1}"#, r#"{"u":3}"#]);
    assert_eq!((got.read, got.dead), (3, 1));
    assert!(got.errors[0].starts_with(r#"{"element":{"file":"{}/a","row":2},"msg":"#), "{:?}", got.errors);
    let e = folder.read(&source::entry(), "{path: '{}/a', error_handling: {output: bad, threshold: 0.2}}");
    assert!(e.unwrap_err().contains("1 of 3 rows and files could not be read"));
}

#[test]
fn values_that_no_type_of_ours_holds_are_bad_rows() {
    let wide = arrow_buffer::i256::from_parts(0, 1 << 100);
    let wide = Decimal256Array::from(vec![Some(arrow_buffer::i256::from(7)), Some(wide), None, None]);
    let millis = TimestampMillisecondArray::from(vec![Some(1), Some(2), Some(i64::MAX), Some(i64::MIN)]);
    let file = foreign(vec![
        ("d", Arc::new(wide.with_precision_and_scale(70, 0).unwrap())),
        ("t", Arc::new(millis)),
        ("n", Arc::new(TimestampNanosecondArray::from(vec![i64::MIN, i64::MAX, 0, -1]))),
    ]);
    let folder = Folder::new(&[("a", &file)]);
    let got = folder.read(&source::entry(), "{path: '{}/a', error_handling: {output: bad}}").unwrap();
    assert_eq!((got.rows.len(), got.dead), (1, 3), "{got:?}");
    for (e, want) in got.errors.iter().zip(["row 2: `d`: ", "row 3: `t`: ", "row 4: `t`: "]) {
        assert!(e.contains(want), "{want}: {e}");
    }
    assert!(got.rows[0].contains("1677-09-21T00:12:43.145"), "{got:?}");
}

#[test]
fn only_needed_columns_are_read() {
    let file = simple(r#"[{"a": 1, "b": "x", "c": 2.5}]"#);
    let folder = Folder::new(&[("a", &file)]);
    let node = folder.bind(&source::entry(), "{path: '{}/a'}", None, false).unwrap();
    let pruned = node.prune(&[false, true, false]).unwrap();
    assert_eq!(folder.run(pruned.as_ref(), 10).unwrap().rows, [r#"{"a":null,"b":"x","c":null}"#]);
    assert!(pruned.explain().ends_with("; 1 of 3 columns"), "{}", pruned.explain());
    let none = node.prune(&[false, false, false]).unwrap();
    assert_eq!(folder.run(none.as_ref(), 10).unwrap().rows.len(), 1, "rows count without columns");
    let got = folder.read(&source::entry(), "{path: '{}/a', columns: [c, a]}").unwrap();
    assert_eq!(got.rows, [r#"{"c":2.5,"a":1}"#]);
    let e = folder.bind(&source::entry(), "{path: '{}/a', columns: [z]}", None, false).unwrap_err();
    assert!(e.contains("schema/unknown-field: the files have no column `z`"), "{e}");
}

#[test]
fn files_unite_by_name() {
    let one = simple(r#"[{"a": 1, "b": "x"}]"#);
    let two = simple(r#"[{"c": true, "a": 1.5}]"#);
    let folder = Folder::new(&[("1", &one), ("2", &two)]);
    assert_eq!(
        folder.read(&source::entry(), "{path: '{}/*'}").unwrap().rows,
        [r#"{"a":1.0,"b":"x","c":null}"#, r#"{"a":1.5,"b":null,"c":true}"#]
    );
    folder.put("3", &simple(r#"[{"a": "text"}]"#));
    let e = folder.read(&source::entry(), "{path: '{}/*'}").unwrap_err();
    assert!(e.contains("schema/files-differ: column `a` is float in `{}/1` and str in `{}/3`"), "{e}");
    let got = folder.read(&source::entry(), "{path: '{}/*', error_handling: {output: bad}}").unwrap();
    assert_eq!((got.rows.len(), got.dead), (2, 1));
    assert!(got.errors[0].contains(r#""element":{"file":"{}/3","row":null}"#), "{:?}", got.errors);
}

#[test]
fn damaged_files_are_clear_errors() {
    let good = simple(r#"[{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]"#);
    for (bytes, want) in [
        (&good[..good.len() - 3], "`{}/a` is not a Parquet file, or was cut off"),
        (b"", "`{}/a` is empty"),
        (b"a,b\n1,2\n", "`{}/a` is not a Parquet file"),
        (b"PAR1\xff\xff\xff\x7fPAR1", "cannot read `{}/a` as Parquet"),
        (b"PAR1", "cannot read `{}/a` as Parquet"),
        (b"xxxxPARE", "`{}/a` is encrypted Parquet"),
    ] {
        let folder = Folder::new(&[("a", bytes)]);
        let e = folder.read(&source::entry(), "{path: '{}/a'}").unwrap_err();
        assert!(e.contains(want), "{e}");
        let got = read_beside(&source::entry(), &good, bytes).unwrap();
        assert_eq!((got.rows.len(), got.dead), (2, 1), "{want}");
    }
}

/// Some row groups of all kinds of columns.
fn row_groups(codec: &str) -> Vec<u8> {
    let rows: Vec<String> = (0..40)
        .map(|i| format!(r#"{{"a": {i}, "b": "text {}", "l": [{i}, null], "r": {{"x": {i}.5}}}}"#, i % 7))
        .collect();
    let rows = rows_of(&format!("[{}]", rows.join(","))).unwrap();
    let folder = Folder::new(&[]);
    let config = format!("{{path: '{{}}/t', codec: {codec}, row_group_buffer_size: 1}}");
    let parts = [rows.slice(0, 15), rows.slice(15, 25)];
    folder.write(&sink::entry(), &config, shape(&rows.rows), &parts, false).unwrap();
    std::fs::read(format!("{}/t-00000-of-00001", folder.path())).unwrap()
}

const SCHEMA: &str =
    "{a: integer, b: string, l: {type: array, items: integer}, r: {type: object, properties: {x: number}}}";

#[test]
fn a_cut_file_is_an_error() {
    within(300, || check_cuts(&source::entry(), &row_groups("none"), SCHEMA, &[]));
}

#[test]
fn no_damage_brings_the_reader_down() {
    for codec in ["none", "snappy", "gzip", "zstd", "lz4"] {
        within(300, move || {
            check_flips(&source::entry(), &row_groups(codec), SCHEMA, if codec == "none" { 7 } else { 23 })
        });
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]
    #[test]
    fn any_damage_is_an_error_or_rows(damage in damage(), codec in "none|snappy|zstd") {
        let good = row_groups(&codec);
        within(60, move || check_any_damage(&source::entry(), &good, SCHEMA, &damage));
    }
}

#[test]
fn rows_before_the_damage_are_kept() {
    let mut file = row_groups("none");
    // The first text of the second row group has a length that reaches behind its page.
    let at = file.windows(6).rposition(|w| w == b"text 1").unwrap() - 1;
    file[at] = 0x7f;
    let folder = Folder::new(&[("a", &file)]);
    let got = folder.read(&source::entry(), "{path: '{}/a', error_handling: {output: bad}}").unwrap();
    assert_eq!((got.rows.len(), got.dead), (15, 1), "{:?}", got.errors);
    assert!(got.errors[0].contains("`{}/a` as Parquet: row group 2 (rows 16 to 40): "), "{:?}", got.errors);
    assert!(got.errors[0].contains("it was read up to row 15"), "{:?}", got.errors);
    let e = folder.read(&source::entry(), "{path: '{}/a'}").unwrap_err();
    assert!(e.contains("row group 2") && e.contains("error_handling"), "{e}");
}

#[test]
fn a_reader_goes_on_where_it_stopped() {
    let file = simple(r#"[{"a": 1}, {"a": 2}, {"a": 3}]"#);
    let folder = Folder::new(&[("1", &file), ("2", b"damaged"), ("3", &file)]);
    let config = "{path: '{}/*', error_handling: {output: bad}}";
    check_source(folder.bind(&source::entry(), config, None, false).unwrap().as_ref());
    let node = folder.bind(&source::entry(), "{path: '{}/[13]'}", None, false).unwrap();
    check_changed_files(&folder, node.as_ref(), "1");
}

#[test]
fn names_shards_and_no_rows() {
    let rows = r#"[{"a": 1}, {"a": 2}, {"a": 3}]"#;
    let names = |config: &str, batches: &[Batch]| -> Vec<String> {
        let folder = Folder::new(&[]);
        let files = folder.write(&sink::entry(), config, shape_of(rows).unwrap(), batches, false).unwrap();
        files.into_iter().map(|f| f.0).collect()
    };
    let all = [rows_of(rows).unwrap()];
    assert_eq!(
        names("{path: '{}/t', num_shards: 2, file_name_suffix: .parquet}", &all),
        ["t-00000-of-00002.parquet", "t-00001-of-00002.parquet"]
    );
    assert_eq!(names("{path: '{}/t', row_group_buffer_size: 1}", &all), ["t-00000-of-00001"]);
    assert_eq!(names("{path: '{}/t'}", &[]), ["t-00000-of-00001"], "Beam leaves a file without rows");
    let empty = file_of(&sink::entry(), &all[0].rows.slice(0, 0), "");
    let folder = Folder::new(&[("a", &empty)]);
    assert_eq!(folder.read(&source::entry(), "{path: '{}/a'}").unwrap().rows.len(), 0);
}

#[test]
fn what_cannot_be_written_is_said_before_the_run() {
    let folder = Folder::new(&[]);
    for (rows, config, want) in [
        (
            r#"[{"a": 1}]"#,
            ", codec: lz5",
            "config/unknown-word: cannot write Parquet files with the codec `lz5`",
        ),
        (r#"[{"a": 1}]"#, ", row_group_buffer_size: 0", "config/out-of-range"),
        (r#"[{"a": 1}]"#, ", file_name_suffix: /x", "config/out-of-range"),
        (r#"[{}]"#, "", "schema/not-writable"),
        (r#"[{"a": {}}]"#, "", "schema/not-writable"),
    ] {
        let config = format!("{{path: '{{}}/t' {config}}}");
        let e = folder.bind(&sink::entry(), &config, Some(shape_of(rows).unwrap()), false).unwrap_err();
        assert!(e.contains(want), "{rows} {config}: {e}");
    }
}

fn windowed(rows: &str, bounded: bool) -> Shape {
    let windowing = Arc::new(Windowing::of(WindowFn::Fixed { size: 60_000_000, offset: 0 }));
    Shape { windowing, bounded, ..shape_of(rows).unwrap() }
}

fn in_windows(rows: &str, starts: &[i64]) -> Batch {
    let windows = starts.iter().map(|s| Window::interval(s * 1_000_000, (s + 60) * 1_000_000));
    Batch { windows: Dict::from_rows(windows, Window::Global), ..rows_of(rows).unwrap() }
}

#[test]
fn more_windows_than_file_handles() {
    let starts: Vec<i64> = (0..3000).map(|i| (i % 1500) * 60).collect();
    let rows: Vec<String> = starts.iter().map(|s| format!("{{\"t\": {s}}}")).collect();
    let rows = format!("[{}]", rows.join(","));
    let folder = Folder::new(&[]);
    let batch = in_windows(&rows, &starts);
    let files =
        folder.write(&sink::entry(), "{path: '{}/r'}", windowed(&rows, true), &[batch], false).unwrap();
    assert_eq!(files.len(), 1500);
    assert_eq!(files[0].0, "r-1970-01-01T00:00:00-1970-01-01T00:01:00-00000-of-00001");
    assert_eq!(folder.read(&source::entry(), "{path: '{}/r*'}").unwrap().rows.len(), 3000);
}

#[test]
fn a_stream_commits_windows_and_survives_a_crash() {
    let rows = r#"[{"t": 5}, {"t": 65}]"#;
    let folder = Folder::new(&[]);
    let node = folder.bind(&sink::entry(), "{path: '{}/r'}", Some(windowed(rows, false)), false).unwrap();
    let names = || -> Vec<String> {
        folder.files().into_iter().map(|f| f.0).filter(|n| !n.starts_with('.')).collect()
    };
    let mut first = sink_with_checkpoints(node.as_ref());
    now(first.write(in_windows(rows, &[0, 60]))).unwrap();
    now(first.on_watermark(EventTime::from_seconds(60))).unwrap();
    let prepared = now(first.prepare(1)).unwrap();
    assert_eq!(names(), Vec::<String>::new(), "nothing is seen before the commit");
    now(first.commit(1, prepared.clone())).unwrap();
    assert_eq!(names(), ["r-1970-01-01T00:00:00-1970-01-01T00:01:00-00000-of-00001"]);
    // Written after the checkpoint, lost with the crash, and given again by the source.
    now(first.write(in_windows(r#"[{"t": 66}]"#, &[60]))).unwrap();
    first.abort();
    drop(first);
    let mut second = sink_with_checkpoints(node.as_ref());
    now(second.restore(1, vec![prepared])).unwrap();
    now(second.write(in_windows(r#"[{"t": 66}]"#, &[60]))).unwrap();
    now(second.finish()).unwrap();
    let ends: Vec<String> = names().iter().map(|n| n.split_at(n.len() - 14).1.to_owned()).collect();
    assert_eq!(ends, ["00000-of-00001", "00000-of-00001"]);
    assert_eq!(folder.files().len(), 2, "no temporary file is left");
    let got = folder.read(&source::entry(), "{path: '{}/r*'}").unwrap();
    assert_eq!(got.rows, [r#"{"t":5}"#, r#"{"t":65}"#, r#"{"t":66}"#]);
}

/// Files that were begun before the first checkpoint of a job that did not say it would have any.
#[test]
fn all_types_go_through_a_spool() {
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(12));
    let checked = runner.run(&(seeds(), any::<bool>()), |(seeds, known)| {
        let rows = batch(&seeds);
        let folder = Folder::new(&[]);
        let node = folder.bind(&sink::entry(), "{path: '{}/r'}", Some(shape(&rows)), false).unwrap();
        let mut s = if known { sink_with_checkpoints(node.as_ref()) } else { start(node.as_ref()) };
        now(s.write(Batch::untimed(rows.clone()))).unwrap();
        let prepared = now(s.prepare(1)).unwrap();
        now(s.commit(1, prepared)).unwrap();
        now(s.write(Batch::untimed(rows.clone()))).unwrap();
        now(s.finish()).unwrap();
        prop_assert_eq!(folder.files().len(), 1);
        let once = crate::shared::testing_tables::texts(&rows);
        let got = folder.read(&source::entry(), "{path: '{}/r*'}").unwrap();
        prop_assert_eq!(got.rows, [once.clone(), once].concat());
        Ok(())
    });
    checked.unwrap();
}

#[test]
fn a_failed_run_leaves_nothing() {
    let folder = Folder::new(&[]);
    let rows = r#"[{"t": 5}]"#;
    let node = folder.bind(&sink::entry(), "{path: '{}/r'}", Some(shape_of(rows).unwrap()), false).unwrap();
    let mut s = start(node.as_ref());
    now(s.write(rows_of(rows).unwrap())).unwrap();
    assert_eq!(folder.files().len(), 1);
    s.abort();
    assert_eq!(folder.files(), []);
    assert!(shape(&rows_of(rows).unwrap().rows).bounded);
}

#[test]
fn a_live_job_shows_windows_when_they_are_complete_and_says_what_waits() {
    let rows = r#"[{"t": 5}, {"t": 65}]"#;
    let folder = Folder::new(&[]);
    let shape = windowed(rows, false);
    let node = folder.bind(&sink::entry(), "{path: '{}/r'}", Some(shape), false).unwrap();
    let visible = || folder.files().into_iter().filter(|f| !f.0.starts_with('.')).count();
    let mut s = start(node.as_ref());
    now(s.write(in_windows(r#"[{"t": 5}]"#, &[0]))).unwrap();
    let prepared = now(s.prepare_visible(1)).unwrap();
    assert_eq!(s.waiting_since(), Some(1), "the window is open");
    now(s.commit(1, prepared)).unwrap();
    now(s.write(in_windows(rows, &[0, 60]))).unwrap();
    now(s.on_watermark(EventTime::from_seconds(60))).unwrap();
    let prepared = now(s.prepare_visible(2)).unwrap();
    assert_eq!((s.waiting_since(), visible()), (Some(2), 0));
    now(s.commit(2, prepared)).unwrap();
    assert_eq!(visible(), 1);
    s.abort();
    assert_eq!(folder.files().len(), 1, "rows that wait come again: nothing of them is left");
    let all = folder.read(&source::entry(), "{path: '{}/r*'}").unwrap();
    assert_eq!(all.rows.len(), 2);
}

#[test]
fn a_writer_that_is_killed_writes_each_row_once() {
    check_sink(&sink::entry(), &source::entry(), &["", ", codec: zstd"], false);
    check_names(&sink::entry());
}
