//! Reading and writing Avro.

use super::{sink, source};
use crate::shared::testing::Folder;
use crate::shared::testing_tables::{batch, check_damage, check_roundtrip, file_of, read_beside, seeds};
use proptest::prelude::*;
use purlin_api::shape::type_name;
use purlin_api::testing::{batch as rows_of, shape_of};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn all_types_come_back(seeds in seeds(), codec in "deflate|'null'|snappy|zstandard|bzip2") {
        check_roundtrip(&sink::entry(), &source::entry(), &batch(&seeds), &format!(", codec: {codec}"));
    }
}

fn simple(json: &str) -> Vec<u8> {
    file_of(&sink::entry(), &rows_of(json).unwrap().rows, "")
}

/// A file of one block, as other programs write it.
fn foreign(schema: &str, rows: u8, block: &[u8]) -> Vec<u8> {
    let mut file = b"Obj\x01\x02\x16avro.schema".to_vec();
    let len = schema.len() << 1;
    file.extend([(len & 0x7f) as u8 | 0x80, (len >> 7) as u8]);
    file.extend_from_slice(schema.as_bytes());
    file.push(0);
    file.extend([7; 16]);
    file.extend([rows << 1, (block.len() << 1) as u8]);
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
        assert!(e.contains("fit the `schema`"), "{e}");
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
        (&good[..good.len() - 30], "cannot read `{}/a` as Avro"),
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

#[test]
fn no_damage_brings_the_reader_down() {
    let rows = rows_of(r#"[{"a": 1, "b": "x", "l": [1, 2]}, {"a": 2, "b": "y", "l": []}]"#).unwrap().rows;
    for codec in ["'null'", "deflate"] {
        check_damage(&source::entry(), &file_of(&sink::entry(), &rows, &format!(", codec: {codec}")), 7);
    }
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
