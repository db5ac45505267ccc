//! Reading and writing text.

use super::{sink, source};
use crate::shared::testing::Folder;
use crate::shared::testing_sinks::{check_names, check_sink};
use crate::shared::testing_sources::{check_changed_files, check_source};
use purlin_api::Running;
use purlin_api::testing::{batch, shape_of};

fn read(files: &[(&str, &[u8])], config: &str) -> Result<crate::shared::testing::Read, String> {
    Folder::new(files).read(&source::entry(), config)
}

#[test]
fn lines_keep_their_spaces_and_lose_their_ends() {
    let got = read(
        &[("a.txt", b"\xef\xbb\xbfhello\r\n\n  spaced  \n"), ("b.txt", "lást".as_bytes()), ("c.txt", b"")],
        "{path: '{}/*.txt'}",
    )
    .unwrap();
    assert_eq!(
        got.rows,
        [r#"{"line":"hello"}"#, r#"{"line":""}"#, r#"{"line":"  spaced  "}"#, r#"{"line":"lást"}"#]
    );
}

#[test]
fn bad_lines_fail_the_run_or_go_to_the_error_output() {
    let files: &[(&str, &[u8])] = &[("a.txt", b"good\nb\xffd\nlonger than ten\nend")];
    let e = read(files, "{path: '{}/a.txt'}").unwrap_err();
    assert!(e.contains("{}/a.txt:2:2: byte 0xff is not valid UTF-8"), "{e}");
    assert!(e.contains("error_handling"), "{e}");
    let got = read(files, "{path: '{}/a.txt', max_line_bytes: 10, error_handling: {output: bad}}").unwrap();
    assert_eq!(got.rows, [r#"{"line":"good"}"#, r#"{"line":"end"}"#]);
    assert_eq!(
        got.errors,
        [
            "{\"element\":{\"file\":\"{}/a.txt\",\"line\":2,\"text\":\"b\u{fffd}d\"},\"msg\":\"byte 0xff is not valid UTF-8\",\"stack\":\"{}/a.txt:2:2\"}",
            r#"{"element":{"file":"{}/a.txt","line":3,"text":"longer than ten"},"msg":"the record is longer than 10 bytes","stack":"{}/a.txt:3"}"#
        ]
    );
    assert_eq!((got.read, got.dead, got.skipped), (4, 2, 0));
    let e =
        read(files, "{path: '{}/a.txt', max_line_bytes: 10, error_handling: {output: bad, threshold: 0.4}}");
    assert!(e.unwrap_err().contains("2 of 4 records could not be read"));
    assert!(
        read(files, "{path: '{}/a.txt', max_line_bytes: 10, error_handling: {output: bad, threshold: 0.5}}")
            .is_ok()
    );
}

#[test]
fn what_is_wrong_with_a_path_is_said() {
    let folder = Folder::new(&[("a.txt", b"x"), ("b.xz", b"x")]);
    for (config, want) in [
        ("{path: '{}/none*'}", "file/no-match: found no files that match `{}/none*`"),
        ("{path: '{}'}", "is a directory; to read the files in it write `{}/*`"),
        ("{path: 'gs://b/x'}", "is on `gs`, which this transform cannot reach"),
        ("{path: '{}/b.xz'}", "cannot read `.xz` files"),
        ("{path: '{}/a.txt', max_line_bytes: 0}", "config/out-of-range"),
        ("{path: '{}/a.txt', nope: 1}", "config/unknown-field"),
        ("{}", "needs the field `path`"),
    ] {
        let config = if config == "{}" { "{ }" } else { config };
        let e = folder.bind(&source::entry(), config, None, false).unwrap_err();
        assert!(e.contains(want), "{config}: {e}");
    }
    assert!(folder.bind(&source::entry(), "{path: 'file://{}/a.txt'}", None, false).is_ok());
}

#[test]
fn a_cut_gzip_file_fails_with_its_name() {
    use std::io::Write as _;
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    for i in 0..1000 {
        writeln!(gz, "line {i}").unwrap();
    }
    let bytes = gz.finish().unwrap();
    let got = read(&[("a.gz", &bytes)], "{path: '{}/a.gz'}").unwrap();
    assert_eq!((got.rows.len(), got.rows[999].as_str()), (1000, r#"{"line":"line 999"}"#));
    let e = read(&[("a.gz", &bytes[..bytes.len() - 9])], "{path: '{}/a.gz'}").unwrap_err();
    assert!(e.contains("cannot decompress `{}/a.gz`") && e.contains("cut off"), "{e}");
}

#[test]
fn a_reader_goes_on_where_it_stopped() {
    let folder = Folder::new(&[("a", b"1\n2\r\n\n3"), ("b", b""), ("c", b"4\n\xff\n5\n")]);
    let config = "{path: '{}/*', error_handling: {output: bad}}";
    check_source(folder.bind(&source::entry(), config, None, false).unwrap().as_ref());
    let folder = Folder::new(&[("a", b"1\n2\n3\n"), ("b", b"4\n")]);
    let node = folder.bind(&source::entry(), "{path: '{}/*'}", None, false).unwrap();
    check_changed_files(&folder, node.as_ref(), "a");
}

#[test]
fn lanes_and_splits_read_every_file_once() {
    let folder = Folder::new(&[]);
    for i in 0..11 {
        folder.put(&format!("f{i}"), format!("{i}\n").as_bytes());
    }
    let node = folder.bind(&source::entry(), "{path: '{}/f*'}", None, false).unwrap();
    let node = node.divide(purlin_api::Division { lanes: 3, piece_bytes: Some(4) }).unwrap();
    let cx = crate::shared::testing::cx();
    let mut sources = Vec::new();
    for lane in 0..3 {
        let cx = purlin_api::BuildCx { lane, lanes: 3, ..cx.clone() };
        let Running::Source(mut s) = node.build(&cx).unwrap() else { panic!() };
        sources.push(s.split().unwrap());
        sources.push(s);
    }
    let mut rows = Vec::new();
    for s in &mut sources {
        rows.extend(crate::shared::testing::drain(s.as_mut(), 5).unwrap().rows);
    }
    assert!(sources.iter_mut().all(|s| s.split().is_none()), "nothing is left to give away");
    assert_eq!(rows.len(), 11);
    rows.sort();
    rows.dedup();
    assert_eq!(rows.len(), 11);
}

#[test]
fn a_column_nobody_reads_is_null() {
    let folder = Folder::new(&[("a", b"1\n2\n")]);
    let node = folder.bind(&source::entry(), "{path: '{}/a'}", None, false).unwrap();
    let pruned = node.prune(&[false]).unwrap();
    assert_eq!(folder.run(pruned.as_ref(), 10).unwrap().rows, [r#"{"line":null}"#, r#"{"line":null}"#]);
    assert!(pruned.explain().contains("0 of 1 columns"), "{}", pruned.explain());
}

#[test]
fn values_are_written_as_python_prints_them() {
    let rows = r#"[{"v": 1.0}, {"v": null}, {"v": 2.5}]"#;
    let files = Folder::new(&[])
        .write(
            &sink::entry(),
            "{path: '{}/sub/out'}",
            shape_of(rows).unwrap(),
            &[batch(rows).unwrap()],
            false,
        )
        .unwrap();
    assert_eq!(files, [("sub/out-00000-of-00001".to_owned(), "1.0\nNone\n2.5\n".to_owned())]);
}

#[test]
fn no_rows_make_one_empty_file() {
    let shape = shape_of(r#"[{"v": "x"}]"#).unwrap();
    let files = Folder::new(&[]).write(&sink::entry(), "{path: '{}/out'}", shape, &[], false).unwrap();
    assert_eq!(files, [("out-00000-of-00001".to_owned(), String::new())]);
}

#[test]
fn rows_of_two_fields_are_refused() {
    let shape = shape_of(r#"[{"a": 1, "b": 2}]"#).unwrap();
    let e = Folder::new(&[]).bind(&sink::entry(), "{path: '{}/out'}", Some(shape), false).unwrap_err();
    assert!(e.contains("exactly one field") && e.contains("a, b"), "{e}");
}

#[test]
fn a_writer_that_is_killed_writes_each_row_once() {
    check_sink(&sink::entry(), &source::entry(), &["one_shard", "one_shard, compression: gzip"], true);
    check_names(&sink::entry());
}
