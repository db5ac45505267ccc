//! Lines that are read by their shape give what the parser gives.

use super::decode::{Json, JsonDecoder};
use crate::shared::read::{Decoder, Fate, Format, Stop};
use crate::shared::records::Record;
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use proptest::prelude::*;
use std::sync::Arc;

fn schema() -> SchemaRef {
    let field = |name: &str, t| Field::new(name, t, true);
    Arc::new(Schema::new(vec![
        field("id", DataType::Utf8),
        field("n", DataType::Int64),
        field("x", DataType::Float64),
        field("skip", DataType::Float64),
        field("b", DataType::Binary),
        field("absent", DataType::Int64),
        field("flag", DataType::Boolean),
    ]))
}

fn json(declared: bool) -> Json {
    Json { lines: true, python_text: false, declared, sampled: 1 }
}

/// What became of each line, and the rows, in batches of three.
fn outcome(decoder: &mut dyn Decoder, lines: &[Vec<u8>]) -> Vec<String> {
    let mut out = Vec::new();
    for (i, bytes) in lines.iter().enumerate() {
        let record = Record { bytes, line: i as u64 + 1, fault: None };
        out.push(match decoder.record(&record) {
            Ok(fate) => format!("{fate:?}"),
            Err(Stop::Row(e)) => format!("{e:?}"),
            Err(Stop::File(e)) => panic!("{e}"),
        });
        if decoder.rows() == 3 || (decoder.rows() > 0 && i + 1 == lines.len()) {
            out.push(format!("{:?}", decoder.finish().unwrap()));
        }
    }
    out
}

fn agree(lines: &[Vec<u8>], needed: &[bool], declared: bool) -> Result<(), TestCaseError> {
    let (json, schema) = (json(declared), schema());
    let fast = outcome(json.decoder(&schema, needed).as_mut(), lines);
    let plain = outcome(&mut JsonDecoder::plain(&json, &schema, needed), lines);
    prop_assert_eq!(fast, plain);
    Ok(())
}

fn line() -> impl Strategy<Value = String> {
    let text = prop_oneof![8 => "[a-zé ]{0,12}", 2 => "[a-zé]{20,70}", 1 => r#"\\[nt"\\]|\\u00e9|\\x"#];
    let number = prop_oneof![
        6 => "-?(0|[1-9][0-9]{0,8})(\\.[0-9]{1,5})?",
        2 => "-?[0-9]{0,20}\\.?[0-9]{0,20}([eE][+-]?[0-9]{0,3})?",
        1 => "null|true|-0|-0.0|007|1.|\"5\"|9007199254740993|0.30000000000000004",
    ];
    let int = prop_oneof![6 => "-?(0|[1-9][0-9]{0,14})", 1 => "[0-9]{15,20}|1.0|2.5|1e3|null"];
    (text.clone(), int, number.clone(), number, text, 0..12).prop_map(
        |(id, n, x, skip, b, form)| match form {
            // Lines like the others but for a key that is not there.
            9 => format!(r#"{{"n":{n},"x":{x},"skip":{skip},"b":"{b}"}}"#),
            10 => format!(r#"{{"id":"{id}","n":{n},"x":{x},"skip":{skip}}}"#),
            0 => format!(r#"{{"n":{n},"id":"{id}"}}"#),
            1 => format!(r#"{{"id": "{id}", "n": {n}, "x": {x}}} "#),
            2 => format!(r#"{{"id":"{id}","id":"{b}","n":{n}}}"#),
            3 => format!(r#"{{"id":"{id}","n":{n},"other":{x},"flag":true}}"#),
            _ => format!(r#"{{"id":"{id}","n":{n},"x":{x},"skip":{skip},"b":"{b}"}}"#),
        },
    )
}

/// A line with some bytes put in, taken out or changed.
fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let change = (
        any::<prop::sample::Index>(),
        0..3,
        prop_oneof![any::<u8>(), prop::sample::select(&b"\"\\{}:,.0-e \t\x01"[..])],
    );
    let changes = prop_oneof![3 => Just(Vec::new()), 2 => prop::collection::vec(change, 1..3)];
    (line(), changes).prop_map(|(line, changes)| {
        let mut bytes = line.into_bytes();
        for (at, what, byte) in changes.into_iter() {
            let at = at.index(bytes.len().max(1));
            match what {
                0 => bytes.insert(at.min(bytes.len()), byte),
                1 if at < bytes.len() => drop(bytes.remove(at)),
                _ => bytes.get_mut(at).into_iter().for_each(|b| *b = byte),
            }
        }
        bytes
    })
}

/// Amounts as files have them, and as nobody should write them.
fn amount() -> impl Strategy<Value = String> {
    let quoted = |s: &str| prop::string::string_regex(s).unwrap().prop_map(|t| format!("\"{t}\""));
    prop_oneof![
        6 => "-?(0|[1-9][0-9]{0,8})(\\.[0-9]{1,3}0{0,2})?",
        2 => "-?(0|[1-9][0-9]{0,45})(\\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?",
        2 => quoted("[-+ ]?[0-9]{0,9}[.]?[0-9]{0,4}(e[0-9])? ?"),
        1 => "null|true|\"NaN\"|\"1_0\"|\"\\\\u0031\"|\"\"|\\[1\\]|1e400|\"١٢\"",
    ]
}

proptest! {
    #[test]
    fn amounts_are_the_same_both_ways(amounts in prop::collection::vec((amount(), amount()), 1..30)) {
        let field = |name: &str, t| Field::new(name, t, true);
        let fields = vec![field("a", DataType::Decimal128(12, 2)), field("b", DataType::Decimal128(38, 0))];
        let schema = Arc::new(Schema::new(fields));
        let lines: Vec<Vec<u8>> =
            amounts.iter().map(|(a, b)| format!(r#"{{"a":{a},"b":{b}}}"#).into_bytes()).collect();
        let json = json(true);
        let fast = outcome(json.decoder(&schema, &[true, true]).as_mut(), &lines);
        prop_assert_eq!(fast, outcome(&mut JsonDecoder::plain(&json, &schema, &[true, true]), &lines));
    }

    #[test]
    fn shapes_and_the_parser_agree(
        lines in prop::collection::vec(mutated(), 1..40),
        needed in prop::collection::vec(any::<bool>(), 7),
        declared in any::<bool>(),
    ) {
        agree(&lines, &needed, declared)?;
    }

    #[test]
    fn one_changed_byte_after_many_alike(at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>()) {
        let good = br#"{"id":"abc","n":12,"x":1.25,"skip":0.5,"b":"yes"}"#.to_vec();
        let mut bad = good.clone();
        let at = at.index(bad.len());
        if cut { bad.truncate(at) } else { bad[at] = byte }
        let lines = [good.clone(), good.clone(), bad, good];
        agree(&lines, &[true, true, true, false, true, true, true], true)?;
    }
}

#[test]
fn lines_alike_do_not_reach_the_parser() {
    let (json, schema) = (json(true), schema());
    let mut decoder = JsonDecoder::plain(&json, &schema, &[true; 7]);
    let shaped = |decoder: &mut JsonDecoder, text: &str| {
        let record = Record { bytes: text.as_bytes(), line: 1, fault: None };
        assert!(matches!(decoder.record(&record), Ok(Fate::Row)), "{text}");
        decoder.has_shape()
    };
    assert!(!shaped(&mut decoder, r#"{"id":"a","n":1}"#), "without learning there is no shape");
    let mut decoder = JsonDecoder::new(&json, &schema, &[true; 7]);
    assert!(shaped(&mut decoder, r#"{"id":"a","n":1}"#));
    assert!(decoder.read_alike(br#"{"id":"other","n":-77}"#));
    assert!(!decoder.read_alike(br#"{"n":-77,"id":"other"}"#));
    shaped(&mut decoder, r#"{"n":-77,"id":"other"}"#);
    assert!(decoder.read_alike(br#"{"n":5,"id":"b"}"#), "several shapes are known");
    assert!(decoder.read_alike(br#"{"id":"other","n":-77}"#));
    for keys in 3..20 {
        let others: Vec<String> = (0..keys).map(|key| format!(r#""other{key}":1"#)).collect();
        shaped(&mut decoder, &format!("{{{}}}", others.join(",")));
    }
    assert!(!decoder.read_alike(br#"{"id":"other","n":-77,"x":1}"#));
    for _ in 0..40 {
        shaped(&mut decoder, r#"{"id":"other","n":-77,"x":1}"#);
    }
    assert!(decoder.read_alike(br#"{"id":"b","n":5,"x":2.5}"#), "shapes change with the lines");
}

#[test]
fn amounts_have_a_shape_too() {
    let schema: SchemaRef = Arc::new(Schema::new(vec![Field::new("a", DataType::Decimal128(12, 2), true)]));
    let json = json(true);
    let mut decoder = JsonDecoder::new(&json, &schema, &[true]);
    let record = |text: &'static str| Record { bytes: text.as_bytes(), line: 1, fault: None };
    assert!(matches!(decoder.record(&record(r#"{"a":1.5}"#)), Ok(Fate::Row)));
    assert!(decoder.read_alike(br#"{"a":-1234567890.00}"#));
    assert!(!decoder.read_alike(br#"{"a":1.005}"#), "what does not fit is for the parser to judge");
}
