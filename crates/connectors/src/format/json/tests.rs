//! Typed decoding agrees with parsing into values.

use super::decode::Json;
use super::infer::sample;
use crate::shared::read::Format;
use crate::shared::records::Records;
use proptest::prelude::*;
use purlin_api::json::row_to_json;
use serde_json::{Map, Value, json};

fn leaf() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (-1e300f64..1e300).prop_map(Value::from),
        "[a\"\\\\/\n\u{1}é😀]{0,6}".prop_map(Value::from),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    leaf().prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec(("[abc]", inner), 0..4)
                .prop_map(|m| Value::Object(m.into_iter().collect())),
        ]
    })
}

/// Values with what typing may change put aside: whole floats are integers, missing is null.
fn canonical(v: &Value) -> Value {
    match v {
        Value::Number(n) => json!(n.as_f64()),
        Value::Array(items) => items.iter().map(canonical).collect(),
        Value::Object(members) => {
            let kept = members.iter().map(|(k, v)| (k.clone(), canonical(v))).filter(|(_, v)| !empty(v));
            Value::Object(kept.collect::<Map<_, _>>())
        }
        other => other.clone(),
    }
}

/// Null, or an object in which nothing was left.
fn empty(v: &Value) -> bool {
    v.is_null()
}

proptest! {
    #[test]
    fn typed_rows_equal_parsed_rows(
        rows in prop::collection::vec(prop::collection::vec(("[abcd]", value()), 0..5), 1..8),
        chunk in 1usize..50,
    ) {
        let rows: Vec<Value> = rows.into_iter().map(|r| Value::Object(r.into_iter().collect())).collect();
        let text: String = rows.iter().map(|r| format!("{r}\n")).collect();
        let json = Json { lines: true, python_text: false, declared: false, sampled: rows.len() };
        let head = bytes::Bytes::from(text.clone());
        let found = sample(&head, true, json.framing(), 1000, false).unwrap();
        prop_assert_eq!(found.rows, rows.len());
        let needed = vec![true; found.schema.fields().len()];
        let input = Box::new(std::io::Cursor::new(text.into_bytes()));
        let mut records = Records::new(input, "f", json.framing(), 1 << 20).in_chunks(chunk);
        let mut decoder = json.decoder(&found.schema, &needed);
        while let Some(record) = records.next().unwrap() {
            prop_assert!(decoder.record(&record).is_ok());
        }
        let batch = decoder.finish().unwrap();
        for (i, row) in rows.iter().enumerate() {
            prop_assert_eq!(canonical(&row_to_json(&batch, i)), canonical(row));
        }
    }

    #[test]
    fn no_text_makes_it_panic(text in "[\\[\\]{}:,\"0-9ae.+\\\\ -]{0,40}") {
        let json = Json { lines: true, python_text: false, declared: false, sampled: 1 };
        let head = bytes::Bytes::from_static(b"{\"a\": 1, \"e\": {\"a\": [1.5]}, \"9\": null}\n{\"9\": \"x\", \"0\": [{}]}");
        let schema = sample(&head, true, json.framing(), 10, false).unwrap().schema;
        let needed = vec![true; schema.fields().len()];
        let mut decoder = json.decoder(&schema, &needed);
        let record = crate::shared::records::Record { bytes: text.as_bytes(), line: 1, fault: None };
        let good = decoder.record(&record);
        let rows = usize::from(matches!(good, Ok(crate::shared::read::Fate::Row)));
        prop_assert_eq!(decoder.rows(), rows);
        if rows > 0 {
            prop_assert_eq!(decoder.finish().unwrap().num_rows(), 1);
        }
    }
}
