//! Lines of JSON, changed at random: the reader that learns the shape of lines gives what the parser alone gives, and
//! a bad line takes no other with it.

use super::decode::{Json, JsonDecoder};
use crate::shared::read::{Decoder, Fate, Format, Stop};
use crate::shared::records::{Record, Records};
use crate::shared::scan::Framing;
use arrow_schema::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};
use purlin_api::json::row_to_json;
use purlin_testkit::fuzz::{self, Random, mutate};
use std::sync::Arc;

const SEEDS: &[&str] = &[
    r#"{"id":"c1","n":12,"x":1.25,"skip":0.5,"b":"yes","flag":true}"#,
    r#"{"id": "c1", "n": -7, "x": 1e3, "other": {"a": [1, {"b": null}]}, "t": "2024-02-09T10:05:00Z"}"#,
    r#"{"id":"\u00e9\ud83d\ude00","n":9223372036854775807,"x":-0,"l":[1,2,3],"r":{"p":"q","i":[1]}}"#,
    r#"{"id":"a","id":"b","n":1,"n":2,"l":[1],"l":[],"r":{"p":"x","p":"y"},"any":[{"k":1}],"any":2}"#,
    r#"{"x":18446744073709551616,"n":1.0,"any":{"a":1},"b":"\u0000","flag":null}"#,
    r#"{"n":null,"id":null,"x":null,"l":null,"r":null,"t":null}"#,
];

const DICTIONARY: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    "\"",
    "\\",
    "\\\"",
    "\\\\",
    "\\/",
    "\\u0000",
    "\\ud800",
    "\\udc00",
    "\\ud83d\\ude00",
    "\\u12",
    "\\x",
    "null",
    "true",
    "false",
    "nul",
    "NaN",
    "Infinity",
    "-",
    "-0",
    "-0.0",
    "0",
    "00",
    "007",
    "1.",
    ".5",
    "1e400",
    "-1e400",
    "1e-400",
    "1E+5",
    "5e",
    "9223372036854775808",
    "-9223372036854775809",
    "123456789012345",
    "1234567890123456",
    "0.1234567890123456789",
    "9007199254740993",
    " ",
    "\t",
    "\r",
    "\n",
    "\r\n",
    "\u{feff}",
    "\0",
    "\u{1}",
    "\u{7f}",
    "\u{85}",
    "\u{2028}",
    "é",
    "😀",
    "\"id\":",
    "\"n\":",
    "\"x\":",
    "\"l\":",
    "\"r\":",
    "\"any\":",
    "\"\":",
    "{\"id\":\"c2\",\"n\":5}",
    "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
    "2024-02-30T10:05:00Z",
    "2024-02-09T10:05:00+01:00",
];

/// A good line, which must come out whatever stands before and behind it.
const GOOD: &str = r#"{"id":"good","n":1,"x":0.5,"skip":1,"b":"z","flag":false}"#;

fn schema() -> SchemaRef {
    let field = |name: &str, t| Field::new(name, t, true);
    let inner = Fields::from(vec![
        field("p", DataType::Utf8),
        field("i", DataType::List(Arc::new(field("item", DataType::Int64)))),
    ]);
    Arc::new(Schema::new(vec![
        field("id", DataType::Utf8),
        field("n", DataType::Int64),
        field("x", DataType::Float64),
        field("skip", DataType::Float64),
        field("b", DataType::Binary),
        field("flag", DataType::Boolean),
        field("l", DataType::List(Arc::new(field("item", DataType::Int64)))),
        field("r", DataType::Struct(inner)),
        field("t", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))),
        purlin_api::shape::any_field("any"),
    ]))
}

/// What became of each record, with the rows, in batches of `size`.
fn outcome(decoder: &mut dyn Decoder, text: &[u8], size: usize) -> Vec<String> {
    outcome_in(decoder, text, size, None)
}

/// The same; with `ahead` the decoder may take lines by itself, so many bytes of text being at hand.
fn outcome_in(decoder: &mut dyn Decoder, text: &[u8], size: usize, ahead: Option<usize>) -> Vec<String> {
    let mut records =
        Records::new(Box::new(std::io::Cursor::new(text.to_vec())), "fuzz", Framing::Lines, 4096)
            .in_chunks(ahead.unwrap_or(64));
    let mut out = Vec::new();
    let mut rows = Vec::new();
    let mut flush = |decoder: &mut dyn Decoder| {
        let batch = decoder.finish().expect("rows that were accepted");
        rows.extend((0..batch.num_rows()).map(|row| row_to_json(&batch, row).to_string()));
    };
    loop {
        let room = size.saturating_sub(decoder.rows() + 1);
        if let Some(lying) = records.ahead().filter(|_| ahead.is_some() && room > 0) {
            let (_, before) = records.position();
            let (lines, bytes) = decoder.lines(&lying, room);
            out.extend(lying.bytes[..bytes].split_inclusive(|b| *b == b'\n').enumerate().map(|(i, line)| {
                let line = line.strip_suffix(b"\n").expect("a whole line");
                let len = line.strip_suffix(b"\r").unwrap_or(line).len();
                format!("{} None {len} bytes: row", before + i as u64)
            }));
            records.pass(bytes, lines);
        }
        let Some(record) = records.next().expect("bytes in memory") else { break };
        let Record { bytes, line, fault } = record;
        let told = match decoder.record(&record) {
            Ok(fate) => {
                matches!(fate, Fate::Row).then(|| "row".to_owned()).unwrap_or_else(|| format!("{fate:?}"))
            }
            Err(Stop::Row(e)) => format!("{e:?}"),
            Err(Stop::File(e)) => panic!("{e}"),
        };
        out.push(format!("{line} {fault:?} {} bytes: {told}", bytes.len()));
        if decoder.rows() >= size {
            flush(decoder);
        }
    }
    if decoder.rows() > 0 {
        flush(decoder);
    }
    out.extend(rows);
    out
}

fn compare(text: &[u8], schema: &SchemaRef, needed: &[bool]) {
    for (declared, python_text) in [(true, false), (false, false), (true, true)] {
        let json = Json { lines: true, python_text, declared, sampled: 1 };
        let plain = outcome(&mut JsonDecoder::plain(&json, schema, needed), text, 3);
        let fast = outcome(json.decoder(schema, needed).as_mut(), text, 3);
        assert_eq!(fast, plain, "{:?}", String::from_utf8_lossy(text));
        let one = outcome(json.decoder(schema, needed).as_mut(), text, 1);
        assert_eq!(one, plain, "batch sizes: {:?}", String::from_utf8_lossy(text));
        for (size, at_hand) in [(1000, 8192), (3, 300), (7, 64)] {
            let many = outcome_in(json.decoder(schema, needed).as_mut(), text, size, Some(at_hand));
            assert_eq!(many, plain, "many lines at once: {:?}", String::from_utf8_lossy(text));
        }
    }
}

#[test]
fn fuzz_json_lines() {
    let schema = schema();
    let make = |r: &mut Random| {
        let mut text = Vec::new();
        for _ in 0..r.below(4) {
            text.extend_from_slice(GOOD.as_bytes());
            text.push(b'\n');
        }
        for _ in 0..=r.below(3) {
            let seed = if r.below(2) == 0 { GOOD } else { SEEDS[r.below(SEEDS.len())] };
            text.extend(mutate(seed.as_bytes(), DICTIONARY, r));
            text.push(b'\n');
            text.extend_from_slice(GOOD.as_bytes());
            text.push(b'\n');
        }
        text
    };
    fuzz::run("json-lines", 3000, make, |text, _| {
        compare(text, &schema, &[true; 10]);
        let some: Vec<bool> = (0..10).map(|i| (text.len() >> (i % 4)) & 1 == 0).collect();
        compare(text, &schema, &some);
    });
}

/// What is not JSON is refused and what is JSON is read, line by line; the lines around are read.
#[test]
fn each_odd_line_alone() {
    let schema = schema();
    let row = |text: &str| -> String {
        let json = Json { lines: true, python_text: false, declared: true, sampled: 1 };
        let lines = format!("{GOOD}\n{GOOD}\n{text}\n{GOOD}\n");
        compare(lines.as_bytes(), &schema, &[true; 10]);
        let all = outcome(json.decoder(&schema, &[true; 10]).as_mut(), lines.as_bytes(), 10);
        let good = all.iter().filter(|l| l.contains(r#""good""#)).count();
        assert_eq!(good, 3, "{text:?} takes its neighbours with it: {all:#?}");
        all.get(2).cloned().unwrap_or_default()
    };
    for good in [
        r#"{"id":"a","id":"b"}"#,
        r#"{"x":-0}"#,
        r#"{"x":-0.0}"#,
        r#"{"x":1e3}"#,
        r#"{"x":0.1234567890123456789}"#,
        r#"{"x":123456789012345678901234567890}"#,
        r#"{"n":9223372036854775807}"#,
        r#"{"n":1.0}"#,
        r#"{"id":"\ud83d\ude00\u0000\u00e9"}"#,
        "  {\"id\":\"a\"}\t",
        "{\"id\":\"a\"}\r",
        r#"{"any":{"deep":[1]}}"#,
        "{}",
        // What nobody reads is passed over however deep it is.
        &format!("{{\"other\":{}{}}}", "[".repeat(1500), "]".repeat(1500)),
    ] {
        assert!(row(good).ends_with(": row"), "{good:?}: {}", row(good));
    }
    for bad in [
        r#"{"x":1e400}"#,
        r#"{"n":9223372036854775808}"#,
        r#"{"n":1.5}"#,
        r#"{"n":007}"#,
        r#"{"n":1.}"#,
        r#"{"n":.5}"#,
        r#"{"n":+1}"#,
        r#"{"n":NaN}"#,
        r#"{"id":"\ud800"}"#,
        r#"{"id":"\x"}"#,
        r#"{"id":"a"#,
        r#"{"id":"a"}}"#,
        r#"{"id":"a",}"#,
        r#"{"id" "a"}"#,
        "{\"id\":\"\u{1}\"}",
        "{\"id\":\"a\tb\"}",
        "{\"id\":\"a\u{0}b\"}",
        "\u{feff}{\"id\":\"a\"}",
        "[]",
        "1",
        &format!("{{\"any\":{}{}}}", "[".repeat(500), "]".repeat(500)),
    ] {
        assert!(row(bad).contains("RowError"), "{bad:?}: {}", row(bad));
    }
}
