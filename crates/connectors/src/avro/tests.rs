//! Reading and writing Avro.

use super::{sink, source};
use crate::shared::testing::{Folder, gzip};
use crate::shared::testing_sinks::{check_names, check_sink};
use crate::shared::testing_sources::check_source;
use crate::shared::testing_tables::{
    batch, check_any_damage, check_cuts, check_flips, check_foreign_files, check_roundtrip, damage, file_of,
    read_beside, seeds, within,
};
use proptest::prelude::*;
use purlin_api::shape::type_name;
use purlin_api::testing::{batch as rows_of, shape_of};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn all_types_come_back(seeds in seeds(), codec in "deflate|'null'|snappy|zstandard|bzip2|xz") {
        check_roundtrip(&sink::entry(), &source::entry(), &batch(&seeds), &format!(", codec: {codec}"));
    }
}

fn simple(json: &str) -> Vec<u8> {
    file_of(&sink::entry(), &rows_of(json).unwrap().rows, "")
}

/// A file of one block, as other programs write it.
fn foreign(schema: &str, rows: u8, block: &[u8]) -> Vec<u8> {
    counted(schema, &[rows << 1], block)
}

fn counted(schema: &str, rows: &[u8], block: &[u8]) -> Vec<u8> {
    let mut file = b"Obj\x01\x02\x16avro.schema".to_vec();
    let len = schema.len() << 1;
    file.extend([(len & 0x7f) as u8 | 0x80, (len >> 7 & 0x7f) as u8 | 0x80, (len >> 14) as u8]);
    file.extend_from_slice(schema.as_bytes());
    file.push(0);
    file.extend([7; 16]);
    file.extend_from_slice(rows);
    file.push((block.len() << 1) as u8);
    file.extend_from_slice(block);
    file.extend([7; 16]);
    file
}

#[test]
fn foreign_types_become_ours() {
    let schema = r#"{"type": "record", "name": "r", "fields": [
        {"name": "i", "type": ["int", "null"]},
        {"name": "f", "type": "float"},
        {"name": "e", "type": {"type": "enum", "name": "e", "symbols": ["X", "Y"]}},
        {"name": "u", "type": ["string", "long"]},
        {"name": "t", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "x", "type": {"type": "fixed", "name": "x", "size": 2}}
    ]}"#;
    let mut block = vec![0, 2];
    block.extend(1.5f32.to_le_bytes());
    block.extend([2, 0, 4, b'h', b'i', 0xd0, 0x0f, b'a', b'b']);
    block.push(2);
    block.extend(2f32.to_le_bytes());
    block.extend([0, 2, 6, 0, b'c', b'd']);
    let folder = Folder::new(&[("a", &foreign(schema, 2, &block))]);
    let node = folder.bind(&source::entry(), "{path: '{}/a'}", None, false).unwrap();
    let fields = node.outputs()[0].shape.schema.fields().clone();
    let types: Vec<_> = fields.iter().map(|f| type_name(f)).collect();
    assert_eq!(types, ["int", "float", "str", "any", "timestamp", "bytes"]);
    assert_eq!(
        folder.run(node.as_ref(), 10).unwrap().rows,
        [
            r#"{"i":1,"f":1.5,"e":"Y","u":"hi","t":"1970-01-01T00:00:01Z","x":"ab"}"#,
            r#"{"i":null,"f":2.0,"e":"X","u":3,"t":"1970-01-01T00:00:00Z","x":"cd"}"#
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
    assert_eq!(check_foreign_files(&source::entry(), "avro"), 7);
}

#[test]
fn a_schema_of_the_author_is_written() {
    let rows = r#"[{"a": 1, "s": "x"}, {"a": 2, "s": "y"}]"#;
    let schema = "{type: record, name: mine, fields: [{name: a, type: int}, {name: s, type: [string, 'null']}, {name: more, type: ['null', double]}]}";
    let file = file_of(&sink::entry(), &rows_of(rows).unwrap().rows, &format!(", schema: {schema}"));
    assert!(String::from_utf8_lossy(&file).contains(r#""name":"mine""#));
    let folder = Folder::new(&[("a", &file)]);
    assert_eq!(
        folder.read(&source::entry(), "{path: '{}/a'}").unwrap().rows,
        [r#"{"a":1,"s":"x","more":null}"#, r#"{"a":2,"s":"y","more":null}"#]
    );
}

#[test]
fn values_that_do_not_fit_the_schema_fail_the_run() {
    let folder = Folder::new(&[]);
    let config = "{path: '{}/t', schema: {type: record, name: m, fields: [{name: a, type: int}]}}";
    let shape = || shape_of(r#"[{"a": 1}]"#).unwrap();
    for bad in [r#"[{"a": 3000000000}]"#, r#"[{"a": 1}, {"a": null}]"#] {
        let e = folder.write(&sink::entry(), config, shape(), &[rows_of(bad).unwrap()], false).unwrap_err();
        assert!(e.contains("a row cannot be written as Avro: `a` is ") && e.contains("the `schema`"), "{e}");
        assert_eq!(folder.files(), []);
    }
}

#[test]
fn what_cannot_be_written_is_said_before_the_run() {
    let folder = Folder::new(&[]);
    for (rows, config, want) in [
        (
            r#"[{"a": 1}]"#,
            ", codec: lz5",
            "config/unknown-word: cannot write Avro files with the codec `lz5`",
        ),
        (r#"[{"my col": 1}]"#, "", "Avro takes no field called `my col`"),
        (r#"[{"a": {"1x": 1}}]"#, "", "Avro takes no field called `1x`"),
        (r#"[{}]"#, "", "schema/not-writable"),
        (r#"[{"a": 1}]"#, ", schema: {type: recor}", "schema/not-avro"),
        (r#"[{"a": 1}]"#, ", schema: 'no json'", "schema/not-avro"),
        (
            r#"[{"a": 1}]"#,
            ", schema: {type: record, name: m, fields: [{name: b, type: int}]}",
            "the `schema` has no field `a`",
        ),
        (
            r#"[{"a": 1}]"#,
            ", schema: {type: record, name: m, fields: [{name: a, type: int}, {name: b, type: int}]}",
            "the rows have no field `b`",
        ),
    ] {
        let config = format!("{{path: '{{}}/t' {config}}}");
        let e = folder.bind(&sink::entry(), &config, Some(shape_of(rows).unwrap()), false).unwrap_err();
        assert!(e.contains(want), "{rows} {config}: {e}");
    }
}

#[test]
fn files_unite_by_name_and_may_be_compressed_whole() {
    use std::io::Write as _;
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gz.write_all(&simple(r#"[{"c": true, "a": 1.5}]"#)).unwrap();
    let folder = Folder::new(&[("1", &simple(r#"[{"a": 1, "b": "x"}]"#)), ("2.gz", &gz.finish().unwrap())]);
    assert_eq!(
        folder.read(&source::entry(), "{path: '{}/*'}").unwrap().rows,
        [r#"{"a":1.0,"b":"x","c":null}"#, r#"{"a":1.5,"b":null,"c":true}"#]
    );
}

#[test]
fn damaged_files_are_clear_errors() {
    let good = simple(r#"[{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]"#);
    for (bytes, want) in [
        (&good[..good.len() - 3], "cannot read `{}/a` as Avro"),
        (&good[..good.len() - 20], "cannot read `{}/a` as Avro"),
        (b"", "`{}/a` is empty"),
        (b"a,b\n1,2\n", "`{}/a` is not an Avro file"),
        (b"Obj\x01", "cannot read `{}/a` as Avro"),
    ] {
        let folder = Folder::new(&[("a", bytes)]);
        let e = folder.read(&source::entry(), "{path: '{}/a'}").unwrap_err();
        assert!(e.contains(want), "{want}: {e}");
        let got = read_beside(&source::entry(), &good, bytes).unwrap();
        assert_eq!(got.dead, 1, "{want}");
    }
}

/// Several blocks of all kinds of columns, and where they end.
fn blocks(codec: &str) -> (Vec<u8>, Vec<usize>) {
    let rows: Vec<String> = (0..9)
        .map(|i| format!(r#"{{"a": {i}, "b": "text {}", "l": [{i}, null], "r": {{"x": {i}.5}}}}"#, i % 7))
        .collect();
    let file = |n: usize| {
        let rows = rows_of(&format!("[{}]", rows[n..n + 3].join(","))).unwrap().rows;
        file_of(&sink::entry(), &rows, &format!(", codec: {codec}"))
    };
    // The header and its mark are the same, so that the blocks of one are blocks of the other.
    let mut all = file(0);
    let first = all.len();
    let mark = all[first - 16..].to_vec();
    let header = all.windows(16).position(|w| w == mark).unwrap() + 16;
    let mut ends = vec![header, first];
    for n in [3, 6] {
        all.extend_from_slice(&file(n)[header..]);
        ends.push(all.len());
    }
    (all, ends)
}

const SCHEMA: &str =
    "{a: integer, b: string, l: {type: array, items: integer}, r: {type: object, properties: {x: number}}}";

#[test]
fn a_cut_file_is_an_error() {
    for codec in ["'null'", "deflate"] {
        within(300, move || {
            let (file, ends) = blocks(codec);
            check_cuts(&source::entry(), &file, SCHEMA, &ends);
        });
    }
}

#[test]
fn no_damage_brings_the_reader_down() {
    // The last two take long for each file.
    let codecs = [("'null'", 3), ("deflate", 9), ("snappy", 9), ("zstandard", 9), ("bzip2", 31), ("xz", 31)];
    for (codec, step) in codecs {
        within(300, move || check_flips(&source::entry(), &blocks(codec).0, SCHEMA, step));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]
    #[test]
    fn any_damage_is_an_error_or_rows(damage in damage(), codec in "'null'|deflate|snappy") {
        let good = blocks(&codec).0;
        within(60, move || check_any_damage(&source::entry(), &good, SCHEMA, &damage));
    }
}

#[test]
fn rows_before_the_damage_are_kept() {
    let (mut file, ends) = blocks("'null'");
    file[ends[2] - 1] ^= 1;
    let folder = Folder::new(&[("a", &file)]);
    let got = folder.read(&source::entry(), "{path: '{}/a', error_handling: {output: bad}}").unwrap();
    assert_eq!((got.rows.len(), got.dead), (3, 1), "{:?}", got.errors);
    let want = "cannot read `{}/a` as Avro: block 2, after row 3: it does not end in the mark of the file; it was read up to row 3";
    assert!(got.errors[0].contains(want), "{:?}", got.errors);
}

#[test]
fn claims_of_too_much_are_errors() {
    let rows = r#"{"type": "record", "name": "r", "fields": [{"name": "n", "type": "null"}]}"#;
    let list = r#"{"type": "record", "name": "r", "fields": [{"name": "n", "type": {"type": "array", "items": "null"}}]}"#;
    let text = r#"{"type": "record", "name": "r", "fields": [{"name": "n", "type": "string"}]}"#;
    let many = [0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f];
    for (schema, rows, block, want) in [
        (rows, &many[..], &[][..], "values without bytes"),
        (list, &[2][..], &many[..], "values without bytes"),
        (text, &[2][..], &many[..], "it ends inside a row"),
        (text, &[2][..], &[3][..], "it has a value of -2 bytes"),
        (text, &many[..], &[2, b'x'][..], "it ends inside a row"),
        (text, &[2][..], &[2, b'x', 0][..], "it has 1 bytes more than its 1 rows"),
    ] {
        let file = counted(schema, rows, block);
        within(300, move || {
            let folder = Folder::new(&[("a", &file)]);
            let e = folder.read(&source::entry(), "{path: '{}/a'}").unwrap_err();
            assert!(e.contains(want), "{want}: {e}");
        });
    }
    let schema = format!(
        r#"{{"type": "record", "name": "r", "fields": [{{"name": "n", "type": {}"int"{}}}]}}"#,
        "[".repeat(100),
        "]".repeat(100)
    );
    let folder = Folder::new(&[("a", &foreign(&schema, 0, b""))]);
    assert!(
        folder.read(&source::entry(), "{path: '{}/a'}").unwrap_err().contains("its schema cannot be used")
    );
    // Names that stand for names that stand for names: more columns than there are atoms.
    let mut inner = r#"{"type": "record", "name": "r0", "fields": []}"#.to_owned();
    for i in 1..40 {
        inner = format!(
            r#"{{"type": "record", "name": "r{i}", "fields": [{{"name": "a", "type": {inner}}}, {{"name": "b", "type": "r{}"}}]}}"#,
            i - 1
        );
    }
    let folder = Folder::new(&[("a", &foreign(&inner, 0, b""))]);
    assert!(
        folder.read(&source::entry(), "{path: '{}/a'}").unwrap_err().contains("its schema cannot be used")
    );
}

#[test]
fn values_that_do_not_fit_are_bad_rows() {
    let schema = r#"{"type": "record", "name": "r", "fields": [
        {"name": "t", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "s", "type": "string"},
        {"name": "d", "type": {"type": "bytes", "logicalType": "decimal", "precision": 2, "scale": 1}}
    ]}"#;
    let far = [0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
    let block =
        [&[2, 2, b'a', 2, 99][..], &far, &[2, b'b', 2, 1], &[4, 2, 0xff, 2, 1], &[6, 2, b'd', 2, 100]]
            .concat();
    let folder = Folder::new(&[("a", &foreign(schema, 4, &block))]);
    let got = folder.read(&source::entry(), "{path: '{}/a', error_handling: {output: bad}}").unwrap();
    assert_eq!(got.rows.len(), 1, "{got:?}");
    let reasons = [
        "row 2: `t`: 9223372036854775807 milliseconds",
        "row 3: `s`: the text is not UTF-8",
        "row 4: `d`: the decimal has more than 2 digits",
    ];
    for (e, reason) in got.errors.iter().zip(reasons) {
        assert!(e.contains(reason), "{reason}: {e}");
    }
    assert_eq!(got.errors.len(), 3);
}

#[test]
fn only_needed_columns_are_read() {
    let folder = Folder::new(&[("a", &simple(r#"[{"a": 1, "b": {"x": [1, 2]}, "c": 2.5}]"#))]);
    let node = folder.bind(&source::entry(), "{path: '{}/a'}", None, false).unwrap();
    let pruned = node.prune(&[false, false, true]).unwrap();
    assert_eq!(folder.run(pruned.as_ref(), 10).unwrap().rows, [r#"{"a":null,"b":null,"c":2.5}"#]);
    let none = node.prune(&[false, false, false]).unwrap();
    assert_eq!(folder.run(none.as_ref(), 10).unwrap().rows.len(), 1, "rows count without columns");
}

#[test]
fn a_reader_goes_on_where_it_stopped() {
    let (file, _) = blocks("deflate");
    let folder = Folder::new(&[("1", &file), ("2.gz", &gzip(&file))]);
    check_source(folder.bind(&source::entry(), "{path: '{}/*'}", None, false).unwrap().as_ref());
}

#[test]
fn no_rows_leave_a_file_with_the_schema() {
    let folder = Folder::new(&[]);
    let shape = shape_of(r#"[{"a": 1}]"#).unwrap();
    let files = folder.write(&sink::entry(), "{path: '{}/t'}", shape, &[], false).unwrap();
    assert_eq!(files.len(), 1);
    assert_eq!(files[0].0, "t-00000-of-00001");
    assert_eq!(folder.read(&source::entry(), "{path: '{}/t*'}").unwrap().rows.len(), 0);
}

#[test]
fn a_writer_that_is_killed_writes_each_row_once() {
    check_sink(&sink::entry(), &source::entry(), &["", ", codec: 'null'", ", codec: xz"], false);
    check_names(&sink::entry());
}
