//! Reading and writing JSON.

use super::{sink, source};
use crate::shared::testing::{Folder, Read, gzip, now, sink as start};
use crate::shared::testing_sinks::{check_names, check_sink};
use crate::shared::testing_sources::check_source;
use purlin_api::shape::type_name;
use purlin_api::testing::{batch, shape_of};
use purlin_api::{Batch, Dict, EventTime, Shape, Window, WindowFn, Windowing};
use std::fmt::Write as _;
use std::sync::Arc;

fn read(text: &str, config: &str) -> Result<Read, String> {
    let config = format!("{{path: '{{}}/a.json' {config}}}");
    Folder::new(&[("a.json", text.as_bytes())]).read(&source::entry(), &config)
}

fn check(text: &str, config: &str, want: &[&str]) {
    match read(text, config) {
        Ok(got) => assert_eq!(got.rows, want, "{text:?} {config}"),
        Err(e) => panic!("{text:?} {config}: {e}"),
    }
}

fn refused(text: &str, config: &str, want: &str) {
    let e = read(text, config).unwrap_err();
    assert!(e.contains(want), "{text:?} {config}: {e}");
}

fn types(text: &str, beam_compat: bool) -> String {
    let folder = Folder::new(&[("a.json", text.as_bytes())]);
    match folder.bind(&source::entry(), "{path: '{}/a.json'}", None, beam_compat) {
        Ok(node) => {
            let fields = node.outputs()[0].shape.schema.fields().clone();
            fields.iter().map(|f| format!("{}:{}", f.name(), type_name(f))).collect::<Vec<_>>().join(" ")
        }
        Err(e) => e,
    }
}

#[test]
fn fields_are_found() {
    let text = r#"{"a": 1, "s": "x", "f": 1.0, "b": true, "n": null}
{"a": 2, "s": null, "f": 2.5, "b": false, "l": [], "r": {"x": 1}}
{"a": 3, "f": -1, "b": true, "l": [1, 2.5], "r": {"y": ["t"]}, "m": 1, "e": {}, "big": 18446744073709551615}
{"m": "x"}"#;
    assert_eq!(
        types(text, false),
        "a:int s:str f:float b:bool n:null l:list<float> r:row<x: int, y: list<str>> m:any e:any big:any"
    );
    assert_eq!(types(text, true), "a:int s:str f:float b:bool n:null l:str r:str m:any e:str big:any");
    assert!(types("", false).contains("file/no-rows"));
    assert!(types("[{\"a\": 1}]\n", false).contains("`lines: false`"));
    assert!(types("{}\n", false).contains("does not show which fields"));
}

#[test]
fn fields_of_later_files_are_found() {
    let files: [(&str, &[u8]); 3] =
        [("a.json", b""), ("b.json", b"{\"a\": 1}"), ("c.json", b"{\"a\": 2.5, \"b\": \"x\"}\n")];
    let read = Folder::new(&files).read(&source::entry(), "{path: '{}/*.json'}").unwrap();
    assert_eq!(read.rows, [r#"{"a":1.0,"b":null}"#, r#"{"a":2.5,"b":"x"}"#]);
}

#[test]
fn values_are_kept() {
    check(
        "{\"a\": 1, \"r\": {\"x\": [1, null]}, \"m\": 1.50}\n\n{\"r\": null, \"a\": 2, \"m\": {\"k\": [ 1 ]}}\n{\"a\": 1, \"a\": 9}",
        "",
        &[
            r#"{"a":1,"r":{"x":[1,null]},"m":1.5}"#,
            r#"{"a":2,"r":null,"m":{"k":[1]}}"#,
            r#"{"a":9,"r":null,"m":null}"#,
        ],
    );
    check(
        "{\"t\": \"2024-01-01T00:00:00+01:00\", \"n\": 3, \"more\": [1], \"o\": {\"z\": 1}}\n",
        ", schema: {properties: {t: {type: timestamp}, n: {type: number}, miss: {type: string}, o: {type: object}}}",
        &[r#"{"t":"2023-12-31T23:00:00Z","n":3.0,"miss":null,"o":{"z":1}}"#],
    );
}

/// All types that a schema has a word for, nested ones too.
#[test]
fn types_by_schema() {
    let schema = ", schema: {d: {type: number, format: decimal, scale: 2}, day: {type: string, format: date}, \
        at: {type: string, format: date-time-local}, m: {type: object, additionalProperties: {type: decimal, scale: 1}}, \
        l: {type: array, items: {type: string, format: date}}, r: {type: object, properties: {x: {type: decimal, scale: 0}}}, \
        u: {type: [number, string]}, b: bytes}";
    check(
        "{\"d\": 12.50, \"day\": \"2024-02-29\", \"at\": \"2024-01-01T10:00\", \"m\": {\"k\": \"0.5\", \"j\": null}, \
         \"l\": [\"2024-01-01\", null], \"r\": {\"x\": 7.0}, \"u\": 1.50, \"b\": \"é\"}\n{\"d\": \" 1e1 \", \"m\": {}, \"u\": \"x\"}\n",
        schema,
        &[
            r#"{"d":12.5,"day":"2024-02-29","at":"2024-01-01T10:00:00","m":{"k":0.5,"j":null},"l":["2024-01-01",null],"r":{"x":7},"u":1.5,"b":"é"}"#,
            r#"{"d":10.0,"day":null,"at":null,"m":{},"l":null,"r":null,"u":"x","b":null}"#,
        ],
    );
    for (line, want) in [
        ("{\"d\": 0.001}", "cannot read 0.001 as decimal(38, 2) in field `d`: it has more than 2 decimals"),
        (
            "{\"d\": \"NaN\"}",
            "cannot read \"NaN\" as decimal(38, 2) in field `d`: it is not a decimal number",
        ),
        ("{\"d\": [1]}", "cannot read [1] as decimal(38, 2) in field `d`: it is not a decimal number"),
        ("{\"d\": 1e37}", "in field `d`: it has more than 36 digits before the point"),
        ("{\"day\": \"2024-02-30\"}", "cannot read \"2024-02-30\" as date in field `day`"),
        (
            "{\"at\": \"2024-01-01T00:00:00Z\"}",
            "cannot read \"2024-01-01T00:00:00Z\" as datetime in field `at`",
        ),
        ("{\"m\": {\"k\": 0.55}}", "in field `m.k`: it has more than 1 decimal"),
        ("{\"m\": {\"k\": 1, \"k\": 2}}", "a map has a key twice in field `m`"),
        ("{\"m\": [1]}", "cannot read a list as map in field `m`"),
        ("{\"l\": [\"soon\"]}", "cannot read \"soon\" as date in field `l[]`"),
        ("{\"r\": {\"x\": 0.5}}", "in field `r.x`: it has more than 0 decimals"),
    ] {
        refused(&format!("{line}\n"), schema, want);
    }
    refused("{}", ", convert_dates: true", "would guess dates");
    refused("{}", ", nrows: 3", "has no field `nrows`");
}

#[test]
fn arrays_of_objects() {
    let text = " [\n {\"a\": 1},\n {\"a\":\n 2}]\n";
    check(text, ", lines: false", &[r#"{"a":1}"#, r#"{"a":2}"#]);
    refused("[{\"a\": 1},\n", ", lines: false", "{}/a.json:2: the JSON array is never closed");
    refused("[{\"a\": 1},\n{\"a\":\n x}]", ", lines: false", "{}/a.json:3:2: invalid JSON: expected value");
}

#[test]
fn beam_prints_nested_values_as_python() {
    let folder = Folder::new(&[("a.json", br#"{"r": {"x": [1, null, "it's"]}, "l": [true]}"#)]);
    let node = folder.bind(&source::entry(), "{path: '{}/a.json'}", None, true).unwrap();
    let got = folder.run(node.as_ref(), 10).unwrap().rows;
    assert_eq!(got, [r#"{"r":"{'x': [1, None, \"it's\"]}","l":"[True]"}"#]);
}

#[test]
fn bad_lines() {
    let mut text = String::new();
    for i in 0..1000 {
        writeln!(text, "{{\"a\": {i}, \"r\": {{\"x\": [1]}}}}").unwrap();
    }
    let deep = "[".repeat(200);
    for (line, want) in [
        (
            "{\"a\": \"x\"}",
            "a.json:1001:9: cannot read \"x\" as int in field `a`; the fields were sampled from the first 1000 rows",
        ),
        ("{\"a\": 1.5}", "cannot read 1.5 as int in field `a`"),
        ("{\"a\": 9223372036854775808}", "(more than 64 bits) as int in field `a`"),
        ("{\"r\": {\"x\": [1, \"y\"]}}", "cannot read \"y\" as int in field `r.x[]`"),
        ("{\"r\": {\"z\": 1}}", "unknown field `r.z`"),
        ("{\"b\": 1}", "unknown field `b`"),
        ("{\"a\": 1", "invalid JSON: EOF while parsing an object"),
        ("{\"a\": 1} x", "invalid JSON: trailing characters"),
        ("[1]", "invalid JSON"),
        ("17", "invalid JSON"),
        (deep.as_str(), "invalid JSON"),
    ] {
        let all = format!("{text}{line}\n{{\"a\": 5.0, \"r\": {{\"x\": [7]}}}}\n");
        refused(&all, "", want);
        let got = read(&all, ", error_handling: {output: bad}").unwrap();
        assert_eq!((got.rows.len(), got.dead), (1001, 1), "{line}");
        assert_eq!(got.rows[1000], r#"{"a":5,"r":{"x":[7]}}"#, "a bad row leaves no trace: {line}");
    }
}

#[test]
fn deep_and_wide_objects() {
    let deep = format!("{{\"a\": {}1{}}}\n", "{\"x\": ".repeat(150), "}".repeat(150));
    refused(&deep, ", schema: {properties: {a: {type: object}}}", "nested deeper than 120 levels");
    let wide: Vec<String> = (0..10_000).map(|i| format!("\"k{i}\": {i}")).collect();
    let got = read(&format!("{{{}}}\n", wide.join(", ")), "").unwrap();
    assert!(got.rows[0].ends_with("\"k9999\":9999}"));
    let nested = format!("{{\"d\": {{{}}}}}", wide.join(", "));
    assert_eq!(types(&nested, false), "d:any");
}

#[test]
fn a_reader_goes_on_where_it_stopped() {
    for (lines, text) in
        [(true, "{\"a\":1}\n\n{\"a\":2}\r\n{\"a\":3}"), (false, "[{\"a\":1},\n{\"a\":2},{\"a\":3}\n]")]
    {
        let folder = Folder::new(&[("a.json", text.as_bytes()), ("b.json.gz", &gzip(text.as_bytes()))]);
        let config = format!("{{path: '{{}}/*', lines: {lines}}}");
        check_source(folder.bind(&source::entry(), &config, None, false).unwrap().as_ref());
    }
}

fn written(rows: &str, config: &str, beam_compat: bool) -> String {
    let config = format!("{{path: '{{}}/out' {config}}}");
    let shape = shape_of(rows).unwrap();
    match Folder::new(&[]).write(&sink::entry(), &config, shape, &[batch(rows).unwrap()], beam_compat) {
        Ok(files) => files.into_iter().map(|(_, text)| text).collect::<Vec<_>>().join("--\n"),
        Err(e) => e,
    }
}

#[test]
fn rows_are_written() {
    let rows = r#"[{"k": 0.12345678901234567, "s": "é/", "r": {"x": 1, "l": [{"y": 2.0}]}}, {"k": 1.0, "s": null, "r": null}]"#;
    assert_eq!(
        written(rows, "", false),
        "{\"k\":0.12345678901234566,\"s\":\"é/\",\"r\":{\"x\":1,\"l\":[{\"y\":2.0}]}}\n{\"k\":1.0,\"s\":null,\"r\":null}\n"
    );
    assert_eq!(
        written(rows, "", true),
        "{\"k\":0.123456789,\"s\":\"\\u00e9\\/\",\"r\":[1,[[2.0]]]}\n{\"k\":1.0,\"s\":null,\"r\":null}\n"
    );
    assert_eq!(written(r#"[{"a": 1}, {"a": 2}]"#, ", lines: false", false), r#"[{"a":1},{"a":2}]"#);
    assert!(written(rows, ", orient: split", false).contains("`orient: split` is not supported"));
    assert!(written(rows, ", indent: 2", false).contains("has no field `indent`"));
    assert_eq!(written(rows, ", compression: zstd", false).split(':').next(), Some("config/unknown-word"));
}

fn windowed(shape: &Shape, bounded: bool) -> Shape {
    Shape {
        windowing: Arc::new(Windowing::of(WindowFn::Fixed { size: 60_000_000, offset: 0 })),
        bounded,
        ..shape.clone()
    }
}

fn in_windows(rows: &str, starts: &[i64]) -> Batch {
    let windows = starts.iter().map(|s| Window::interval(s * 1_000_000, (s + 60) * 1_000_000));
    Batch { windows: Dict::from_rows(windows, Window::Global), ..batch(rows).unwrap() }
}

#[test]
fn every_window_has_its_file() {
    let rows = r#"[{"t": 5}, {"t": 65}, {"t": 66}]"#;
    let shape = windowed(&shape_of(rows).unwrap(), true);
    let files = Folder::new(&[])
        .write(&sink::entry(), "{path: '{}/r'}", shape.clone(), &[in_windows(rows, &[0, 60, 60])], false)
        .unwrap();
    let want = [
        ("r-1970-01-01T00:00:00-1970-01-01T00:01:00-00000-of-00001", "{\"t\":5}\n"),
        ("r-1970-01-01T00:01:00-1970-01-01T00:02:00-00000-of-00001", "{\"t\":65}\n{\"t\":66}\n"),
    ];
    assert_eq!(files, want.map(|(n, t)| (n.to_owned(), t.to_owned())));
    let early = Batch {
        windows: Dict::one(Window::interval(EventTime::MIN.0, EventTime::MIN.0 + 60)),
        ..batch(rows).unwrap()
    };
    let files = Folder::new(&[])
        .write(&sink::entry(), "{path: '{}/r'}", shape.clone(), std::slice::from_ref(&early), false)
        .unwrap();
    assert_eq!(files.len(), 1);
    assert!(files[0].0.starts_with("r--290308-12-21T19:59:05"), "{files:?}");
    let folder = Folder::new(&[]);
    let e = folder.write(&sink::entry(), "{path: '{}/r'}", shape, &[early], true).unwrap_err();
    assert!(e.contains("out of the range of dates"), "{e}");
    assert_eq!(folder.files(), []);
}

#[test]
fn more_windows_than_file_handles() {
    let shape = windowed(&shape_of(r#"[{"t": 5}]"#).unwrap(), true);
    let starts: Vec<i64> = (0..300).map(|i| (i % 150) * 60).collect();
    let long = "x".repeat(100_000);
    let rows: Vec<String> = starts.iter().map(|s| format!("{{\"t\": {s}, \"p\": \"{long}\"}}")).collect();
    let batch = in_windows(&format!("[{}]", rows.join(",")), &starts);
    for (compression, name_end) in [("none", ""), ("gzip", ".gz")] {
        let folder = Folder::new(&[]);
        let config = format!("{{path: '{{}}/r', compression: {compression}}}");
        // Twice, so that files are opened again.
        let files = folder
            .write(&sink::entry(), &config, shape.clone(), &[batch.clone(), batch.clone()], false)
            .unwrap();
        assert_eq!(files.len(), 150);
        assert!(files.iter().all(|f| f.0.ends_with(&format!("of-00001{name_end}"))), "{:?}", files[0].0);
        let all = folder.read(&source::entry(), "{path: '{}/r*'}").unwrap();
        assert_eq!(all.rows.len(), 600);
    }
}

#[test]
fn nothing_is_seen_before_the_end_nor_left_after_a_failure() {
    let rows = r#"[{"t": 5}]"#;
    let folder = Folder::new(&[]);
    let shape = shape_of(rows).unwrap();
    let node = folder.bind(&sink::entry(), "{path: '{}/r'}", Some(shape), false).unwrap();
    let mut s = start(node.as_ref());
    now(s.write(batch(rows).unwrap())).unwrap();
    now(s.prepare(1)).unwrap();
    let files = folder.files();
    assert!(files.len() == 1 && files[0].0.starts_with(".r.tmp-"), "{files:?}");
    s.abort();
    assert_eq!(folder.files(), []);
}

#[test]
fn a_folder_in_the_way_is_a_clear_error() {
    let folder = Folder::new(&[("file", b"")]);
    let shape = shape_of(r#"[{"t": 5}]"#).unwrap();
    let e = folder.bind(&sink::entry(), "{path: '{}/file/r'}", Some(shape.clone()), false).unwrap_err();
    assert!(e.contains("file/cannot-write: cannot write to `{}/file/r`"), "{e}");
    let e = folder.bind(&sink::entry(), "{path: 's3://b/r'}", Some(shape), false).unwrap_err();
    assert!(e.contains("is on `s3`"), "{e}");
}

#[test]
fn a_stream_commits_windows_and_survives_a_crash() {
    let rows = r#"[{"t": 5}, {"t": 65}]"#;
    let folder = Folder::new(&[]);
    let shape = windowed(&shape_of(rows).unwrap(), false);
    let node = folder.bind(&sink::entry(), "{path: '{}/r'}", Some(shape), false).unwrap();
    let visible = |folder: &Folder| -> Vec<(String, String)> {
        folder.files().into_iter().filter(|f| !f.0.starts_with('.')).collect()
    };
    let mut first = start(node.as_ref());
    now(first.write(in_windows(rows, &[0, 60]))).unwrap();
    now(first.on_watermark(EventTime::from_seconds(60))).unwrap();
    let prepared = now(first.prepare(1)).unwrap();
    assert_eq!(visible(&folder), []);
    now(first.commit(1, prepared.clone())).unwrap();
    let one = "r-1970-01-01T00:00:00-1970-01-01T00:01:00-00000-of-00001".to_owned();
    assert_eq!(visible(&folder), [(one.clone(), "{\"t\":5}\n".to_owned())]);
    // Written after the checkpoint, lost with the crash, and given again by the source.
    now(first.write(in_windows(r#"[{"t": 66}]"#, &[60]))).unwrap();
    now(first.prepare(2)).unwrap();
    drop(first);
    let mut second = start(node.as_ref());
    now(second.restore(1, vec![prepared])).unwrap();
    assert_eq!(visible(&folder), [(one, "{\"t\":5}\n".to_owned())]);
    now(second.write(in_windows(r#"[{"t": 66}, {"t": 6}]"#, &[60, 0]))).unwrap();
    now(second.finish()).unwrap();
    let files = folder.files();
    let texts: Vec<(&str, &str)> =
        files.iter().map(|(n, t)| (n.split_at(n.len() - 14).1, t.as_str())).collect();
    assert_eq!(
        texts,
        [
            ("00000-of-00001", "{\"t\":5}\n"),
            ("00001-of-00002", "{\"t\":6}\n"),
            ("00000-of-00001", "{\"t\":65}\n{\"t\":66}\n")
        ]
    );
}

#[test]
fn a_live_job_shows_windows_when_they_are_complete_and_says_what_waits() {
    let rows = r#"[{"t": 5}, {"t": 65}]"#;
    let folder = Folder::new(&[]);
    let shape = windowed(&shape_of(rows).unwrap(), false);
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
    check_sink(&sink::entry(), &source::entry(), &["", ", lines: false", ", compression: gzip"], true);
    check_names(&sink::entry());
}
