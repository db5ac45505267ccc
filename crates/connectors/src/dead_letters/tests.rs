//! Letters from rows to files and back, and what damage does to them.

use super::edit::{Wanted, with_payload, with_values};
use super::journal::{Event, FailedAgain, Journal, State};
use super::letter::Letter;
use super::replay;
use super::rows::{decode, encode};
use super::store::{Store, Summary, counts};
use super::wrap::WrapNode;
use super::writer::Writer;
use crate::shared::testing::now as block_on;
use arrow_array::{ArrayRef, BinaryArray, RecordBatch, StringArray, UInt32Array};
use arrow_schema::{DataType, Field, Fields, Schema, TimeUnit};
use proptest::prelude::*;
use purlin_api::{Batch, Environment, InputShape, Sink, Window, json, testing};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;

fn environment(data: &Path, run: &str) -> Environment {
    Environment {
        pipeline: "orders".to_owned(),
        file: "orders.yaml".to_owned(),
        run: run.to_owned(),
        data: Some(data.to_owned()),
        ..Environment::default()
    }
}

/// Error rows of a transform `T`, as letters on their way to the writer.
fn letters(rows: &str) -> Batch {
    let errors: Vec<Value> = serde_json::from_str::<Vec<Value>>(rows)
        .unwrap()
        .into_iter()
        .map(|row| json!({"element": row, "msg": "E('no')", "stack": "here", "time": 5}))
        .collect();
    let batch = testing::batch(&Value::Array(errors).to_string()).unwrap();
    let shape = testing::shape(batch.schema());
    let input = InputShape { producer: "T".to_owned(), is_error: true, ..testing::input(shape) };
    let mut batch = batch.with_rows(WrapNode::new(&input, None).letters(&batch).unwrap());
    batch.windows = purlin_api::Dict::one(Window::interval(0, 60_000_000));
    batch
}

fn keep(data: &Path, run: &str, rows: &str) {
    let mut writer = Writer::new(&environment(data, run)).unwrap();
    block_on(writer.write(letters(rows))).unwrap();
    block_on(writer.finish()).unwrap();
}

fn ids(store: &Store) -> Vec<String> {
    store.read().unwrap().letters.into_iter().map(|l| l.id).collect()
}

#[test]
fn rows_come_back_with_their_types() {
    let fields = vec![
        Field::new("i", DataType::Int64, true),
        Field::new("f", DataType::Float64, true),
        Field::new("d", DataType::Decimal128(20, 4), true),
        Field::new("t", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), true),
        Field::new("b", DataType::Binary, true),
        Field::new("day", DataType::Date32, true),
        purlin_api::shape::any_field("any"),
        Field::new("l", DataType::List(Arc::new(Field::new("item", DataType::Utf8, true))), true),
    ];
    let text = r#"[{"i": 1}, {"i": -9007199254740993, "f": 0.1, "d": "12345.6789", "t": "2024-01-01T00:00:00.000001Z",
        "b": "é", "day": "2024-02-29", "any": {"x": [1, "2"]}, "l": ["a", null]}]"#;
    let all = testing::rows_of(&Schema::new(fields), text).unwrap();
    for row in 0..2 {
        let one = arrow_select::take::take_record_batch(&all, &UInt32Array::from(vec![row])).unwrap();
        let back = decode(&encode(&one).unwrap()).unwrap();
        assert_eq!(back, one);
        assert_eq!(back.schema(), all.schema(), "the marks of fields too");
    }
    assert!(decode("AAAA").is_err() && decode("no base 64").is_err() && decode("").is_err());
}

#[test]
fn letters_appear_at_the_commit_and_only_once() {
    let data = tempfile::tempdir().unwrap();
    let store = Store::new(data.path(), "orders");
    let mut writer = Writer::new(&environment(data.path(), "r")).unwrap();
    block_on(writer.write(letters(r#"[{"a": 1}, {"a": 2}]"#))).unwrap();
    let first = block_on(writer.prepare(1)).unwrap();
    block_on(writer.write(letters(r#"[{"a": 3}]"#))).unwrap();
    assert_eq!(ids(&store), Vec::<String>::new());
    block_on(writer.commit(1, first.clone())).unwrap();
    block_on(writer.commit(1, first.clone())).unwrap();
    assert_eq!(ids(&store), ["r.1.1", "r.1.2"]);
    writer.abort();
    drop(writer);
    assert!(std::fs::read_dir(store.folder()).unwrap().count() == 1, "what was not committed is taken away");
    // Another process goes on from the checkpoint: it commits again, and counts epochs on.
    let lineage = Environment { lineage: "r".to_owned(), ..environment(data.path(), "s") };
    let mut writer = Writer::new(&lineage).unwrap();
    block_on(writer.restore(1, vec![first])).unwrap();
    block_on(writer.write(letters(r#"[{"a": 3}]"#))).unwrap();
    let second = block_on(writer.prepare(2)).unwrap();
    block_on(writer.commit(2, second)).unwrap();
    assert_eq!(ids(&store), ["r.1.1", "r.1.2", "r.2.1"]);
    let letter = store.read().unwrap().letters.remove(2);
    assert_eq!(
        (letter.transform.as_str(), letter.reason.as_str(), letter.time_us),
        ("T", "E('no')", 5_000_000)
    );
    assert_eq!(letter.window(), Window::interval(0, 60_000_000));
    assert_eq!(json::row_to_json(&letter.row().unwrap(), 0), json!({"a": 3}));
}

#[test]
fn what_a_checkpoint_relies_on_appears_when_another_process_goes_on() {
    let data = tempfile::tempdir().unwrap();
    let store = Store::new(data.path(), "orders");
    let in_life = |run: &str| Environment { lineage: "l".to_owned(), ..environment(data.path(), run) };
    let hidden = || {
        let names = std::fs::read_dir(store.folder()).unwrap().map(|e| e.unwrap().file_name());
        names.filter(|n| n.to_string_lossy().starts_with('.')).count()
    };
    let mut writer = Writer::new(&in_life("r")).unwrap();
    assert!(block_on(writer.prepare(1)).unwrap().is_empty(), "nothing to keep");
    block_on(writer.write(letters(r#"[{"a": 1}, {"a": 2}]"#))).unwrap();
    let second = block_on(writer.prepare(2)).unwrap();
    // What comes later is in no checkpoint, prepared or not.
    block_on(writer.write(letters(r#"[{"a": 3}]"#))).unwrap();
    block_on(writer.prepare(3)).unwrap();
    block_on(writer.write(letters(r#"[{"a": 4}]"#))).unwrap();
    assert_eq!((ids(&store), hidden()), (Vec::new(), 3));
    writer.abort();
    assert_eq!(hidden(), 2, "what was prepared stays for the next process");
    let mut writer = Writer::new(&in_life("s")).unwrap();
    block_on(writer.restore(2, vec![second.clone()])).unwrap();
    assert_eq!((ids(&store), hidden()), (vec!["l.2.1".to_owned(), "l.2.2".to_owned()], 0));
    block_on(writer.restore(2, vec![second])).unwrap();
    block_on(writer.write(letters(r#"[{"a": 3}, {"a": 4}]"#))).unwrap();
    let third = block_on(writer.prepare(3)).unwrap();
    block_on(writer.commit(3, third)).unwrap();
    block_on(writer.finish()).unwrap();
    assert_eq!(ids(&store), ["l.2.1", "l.2.2", "l.3.1", "l.3.2"]);
    let gone = br#"{"file": ["x/.letters-l-000009.jsonl.tmp", "x/letters-l-000009.jsonl"], "letters": 1, "failed": []}"#;
    let mut writer = Writer::new(&in_life("t")).unwrap();
    let e = block_on(writer.restore(9, vec![gone.to_vec().into()])).unwrap_err().to_string();
    assert!(e.contains("letters-l-000009.jsonl"), "{e}");
}

#[test]
fn without_a_data_folder_nothing_is_kept() {
    let mut writer = Writer::new(&Environment::default()).unwrap();
    block_on(writer.write(letters(r#"[{"a": 1}]"#))).unwrap();
    block_on(writer.finish()).unwrap();
    assert!(writer.made().is_empty());
}

#[test]
fn the_journal_balances_and_forgets_what_was_not_written_to_its_end() {
    let data = tempfile::tempdir().unwrap();
    let store = Store::new(data.path(), "orders");
    keep(data.path(), "r", r#"[{"a": 1}, {"a": 2}, {"a": 3}, {"a": 4}]"#);
    let mut journal = Journal::read(&store).unwrap();
    let id = |n: u32| format!("r.1.{n}");
    journal.write(&store, Event::Dropped { letters: vec![id(1)], by: "test".to_owned() }).unwrap();
    let began = Event::Began { run: "x".to_owned(), letters: vec![id(2), id(3)] };
    journal.write(&store, began).unwrap();
    assert!(Journal::read(&store).unwrap().unfinished.is_some_and(|u| u.prepared.is_none()));
    let failed = FailedAgain { letter: id(3), reason: "again".to_owned(), stack: String::new() };
    let prepared = Event::Prepared { run: "x".to_owned(), failed: vec![failed], writers: Vec::new() };
    journal.write(&store, prepared).unwrap();
    journal.write(&store, Event::Done { run: "x".to_owned() }).unwrap();
    // A write that died in the middle.
    let path = store.folder().join("journal.jsonl");
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, [whole.as_slice(), b"{\"sum\":\"0"].concat()).unwrap();
    let mut journal = Journal::read(&store).unwrap();
    let states: Vec<State> = (1..=4).map(|n| journal.state(&id(n))).collect();
    assert_eq!(states, [State::Dropped, State::Replayed, State::Waiting, State::Waiting]);
    assert_eq!((journal.attempts(&id(3)), journal.attempts(&id(4))), (2, 1));
    let sum = counts(data.path(), "orders").unwrap();
    assert_eq!(sum, Summary { kept: 4, waiting: 2, replayed: 1, dropped: 1, damaged: 0 });
    journal.write(&store, Event::Dropped { letters: vec![id(4)], by: "test".to_owned() }).unwrap();
    assert_eq!(counts(data.path(), "orders").unwrap().dropped, 2, "the torn line does not hide the next");
}

fn one_letter(rows: &str) -> (tempfile::TempDir, Letter) {
    let data = tempfile::tempdir().unwrap();
    keep(data.path(), "r", rows);
    let letter = Store::new(data.path(), "orders").read().unwrap().letters.remove(0);
    (data, letter)
}

#[test]
fn edits_change_what_they_name_and_nothing_else() {
    let (_data, letter) = one_letter(r#"[{"a": 1, "o": {"x": 0.1, "l": [1, 2]}, "s": "t"}]"#);
    let set = |path: &str, value: Value| {
        with_values(&letter, &letter.row, &[(path.to_owned(), Wanted::Value(value))])
    };
    let edited = set("o.l[1]", json!(7)).unwrap();
    assert_eq!(edited.element.get(), r#"{"a":1,"o":{"x":0.1,"l":[1,7]},"s":"t"}"#);
    assert_eq!(decode(&edited.row).unwrap().schema(), letter.row().unwrap().schema());
    assert_eq!(set("a", Value::Null).unwrap().element.get(), r#"{"a":null,"o":{"x":0.1,"l":[1,2]},"s":"t"}"#);
    let refused = |path: &str, value: Value| set(path, value).unwrap_err().to_string();
    assert_eq!(refused("a", json!("x")), "field `a` is int, not text");
    assert!(refused("b", json!(1)).contains("it has a, o, s"));
    assert!(refused("o.l[2]", json!(1)).contains("no `[2]`"));
    assert!(refused("o..x", json!(1)).contains("no path"));
    assert!(with_payload(&letter, &letter.row, b"x").unwrap_err().to_string().contains("has no payload"));
}

#[test]
fn letters_are_given_to_inputs_whose_fields_have_changed_if_they_fit() {
    let (_data, letter) = one_letter(r#"[{"a": 1, "s": "t"}]"#);
    let given = super::journal::Given { element: &letter.element, row: &letter.row };
    let give = |shape: &str| replay::to_input(&testing::shape_of(shape).unwrap(), &[(&letter, given)]);
    assert!(give(r#"[{"a": 1, "s": "t"}]"#).is_ok());
    let may_be_null = r#"[{"s": "t", "a": 1.5, "new": true}, {"s": "t", "a": 1.5, "new": null}]"#;
    assert!(give(may_be_null).is_ok(), "by name, an integer as a float");
    let e = give(r#"[{"a": 1, "s": "t", "new": true}]"#).unwrap_err().to_string();
    assert!(e.contains("letter r.1.1") && e.contains("no field `new`") && e.contains("drop r.1.1"), "{e}");
    let e = give(r#"[{"a": 1}]"#).unwrap_err().to_string();
    assert!(e.contains("letter r.1.1 cannot be given to `T`") && e.contains("`s` has no place"), "{e}");
    let e = give(r#"[{"a": "text", "s": "t"}]"#).unwrap_err().to_string();
    assert!(e.contains("field `a` is str, not an integer"), "{e}");
}

#[test]
fn what_is_never_null_is_not_given_as_null() {
    let fields = |nullable| {
        let price = Field::new("price", DataType::Float64, nullable);
        let items =
            DataType::List(Arc::new(Field::new("item", DataType::Struct(vec![price].into()), nullable)));
        let note = |name: &str| Field::new(name, DataType::Utf8, nullable);
        let notes = Fields::from(vec![Field::new("key", DataType::Utf8, false), note("value")]);
        let entries = Arc::new(Field::new("entries", DataType::Struct(notes), false));
        let map = Field::new("notes", DataType::Map(entries, false), nullable);
        Schema::new(vec![note("id"), Field::new("items", items, nullable), map])
    };
    let letter_of = |row: &str| {
        let row = testing::rows_of(&fields(true), &format!("[{row}]")).unwrap();
        let (_data, letter) = one_letter(r#"[{"x": 1}]"#);
        Letter { row: encode(&row).unwrap(), ..letter }
    };
    let give = |row: &str, nullable: bool| {
        let (letter, shape) = (letter_of(row), testing::shape(Arc::new(fields(nullable))));
        let given = super::journal::Given { element: &letter.element, row: &letter.row };
        replay::to_input(&shape, &[(&letter, given)]).map(drop).map_err(|e| e.to_string())
    };
    let full = r#"{"id": "a", "items": [{"price": 1.5}], "notes": {"k": "v"}}"#;
    assert_eq!(give(full, false), Ok(()));
    for (row, path) in [
        (full.replace("\"a\"", "null"), "id"),
        (full.replace("1.5", "null"), "items[0].price"),
        (full.replace("\"v\"", "null"), "notes.k"),
    ] {
        assert_eq!(give(&row, true), Ok(()), "{row}");
        let e = give(&row, false).unwrap_err();
        for part in ["letter r.1.1 cannot be given to `T`", &format!("`{path}` is null"), "edit r.1.1 --set"]
        {
            assert!(e.contains(part), "{part}: {e}");
        }
    }
}

#[test]
fn an_edit_does_not_empty_what_is_never_null() {
    let batch = letters(r#"[{"id": "a", "q": 0}]"#);
    let error = Schema::new(vec![
        Field::new(
            "element",
            DataType::Struct(
                vec![Field::new("id", DataType::Utf8, false), Field::new("q", DataType::Int64, true)].into(),
            ),
            false,
        ),
        Field::new("msg", DataType::Utf8, false),
        Field::new("stack", DataType::Utf8, false),
    ]);
    let rows = testing::rows_of(&error, r#"[{"element": {"id": "a", "q": 0}, "msg": "no", "stack": ""}]"#);
    let shape = testing::shape(Arc::new(error.clone()));
    let input = InputShape { producer: "T".to_owned(), is_error: true, ..testing::input(shape) };
    let wrapped = WrapNode::new(&input, None).letters(&batch.with_rows(rows.unwrap())).unwrap();
    let data = tempfile::tempdir().unwrap();
    let mut writer = Writer::new(&environment(data.path(), "r")).unwrap();
    block_on(writer.write(letters(r#"[{"x": 1}]"#).with_rows(wrapped))).unwrap();
    block_on(writer.finish()).unwrap();
    let letter = Store::new(data.path(), "orders").read().unwrap().letters.remove(0);
    let set = |path: &str, typed: &str| {
        with_values(&letter, &letter.row, &[(path.to_owned(), Wanted::Typed(typed.to_owned()))])
    };
    let e = set("id", "null").unwrap_err().to_string();
    assert!(e.contains("field `id` of letter r.1.1 is never null"), "{e}");
    assert_eq!(set("q", "null").unwrap().element.get(), r#"{"id":"a","q":null}"#);
    let edited = set("id", "b").unwrap();
    let given = super::journal::Given { element: &edited.element, row: &edited.row };
    let input = testing::shape_of(r#"[{"id": "a", "q": 1}]"#).unwrap();
    replay::to_input(&input, &[(&letter, given)]).unwrap();
}

#[test]
fn what_is_typed_is_text_where_the_field_is() {
    let (_data, letter) =
        one_letter(r#"[{"id": "a", "n": 1, "o": {"t": "x", "l": ["y"]}, "any": {"x": 1}, "f": 0.5}]"#);
    let set = |path: &str, typed: &str| {
        let edited = with_values(&letter, &letter.row, &[(path.to_owned(), Wanted::Typed(typed.to_owned()))]);
        edited.map(|e| serde_json::from_str::<Value>(e.element.get()).unwrap()).map_err(|e| e.to_string())
    };
    for (path, typed, found, value) in [
        ("id", "7", "/id", json!("7")),
        ("id", "0.10", "/id", json!("0.10")),
        ("id", "true", "/id", json!("true")),
        ("id", "\"7\"", "/id", json!("7")),
        ("id", "null", "/id", Value::Null),
        ("o.t", "1795314417590", "/o/t", json!("1795314417590")),
        ("o.l[0]", "[8]", "/o/l/0", json!("[8]")),
        ("n", "7", "/n", json!(7)),
        ("f", "7", "/f", json!(7.0)),
        ("any", "{\"x\": 7}", "/any", json!({"x": 7})),
    ] {
        assert_eq!(set(path, typed).unwrap().pointer(found), Some(&value), "{path}={typed}");
    }
    assert_eq!(set("n", "x").unwrap_err(), "field `n` is int, not text");
}

#[test]
fn bytes_that_are_no_text_are_told_in_base_64() {
    let fields = vec![Field::new("payload", DataType::Binary, true), Field::new("id", DataType::Utf8, true)];
    let row = |bytes: &[u8]| {
        let columns: Vec<ArrayRef> =
            vec![Arc::new(BinaryArray::from(vec![bytes])), Arc::new(StringArray::from(vec!["\u{fffd}"]))];
        let row = RecordBatch::try_new(Arc::new(Schema::new(fields.clone())), columns).unwrap();
        super::letter::told(&json::row_to_json(&row, 0).to_string(), &encode(&row).unwrap())
    };
    assert_eq!(row(b"a\xff"), json!({"payload": "a\u{fffd}", "id": "\u{fffd}", "payload_base64": "Yf8="}));
    assert_eq!(row("é\u{fffd}".as_bytes()), json!({"payload": "é\u{fffd}", "id": "\u{fffd}"}));
    assert_eq!(super::letter::told("no JSON", ""), json!("no JSON"));
}

fn same(letter: &Letter, of: &[Letter]) -> bool {
    of.iter().any(|l| l.id == letter.id && l.row == letter.row && l.element.get() == letter.element.get())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Whatever happens to the bytes of a file: no panic, no letter that was not kept, and no letter is gone unsaid.
    #[test]
    fn damage_is_told_and_hides_no_other_letter(
        at in 0.0..1.0f64, len in 0usize..40, with in proptest::collection::vec(any::<u8>(), 0..40),
    ) {
        let data = tempfile::tempdir().unwrap();
        keep(data.path(), "r", r#"[{"a": 1}, {"a": 2}, {"a": 3}]"#);
        let store = Store::new(data.path(), "orders");
        let kept = store.read().unwrap().letters;
        let path = store.folder().join("letters-r-000001.jsonl");
        let mut bytes = std::fs::read(&path).unwrap();
        let start = (at * bytes.len() as f64) as usize;
        let end = (start + len).min(bytes.len());
        bytes.splice(start..end, with);
        std::fs::write(&path, &bytes).unwrap();
        match store.read() {
            Ok(read) => {
                prop_assert!(read.letters.iter().all(|l| same(l, &kept)));
                prop_assert!(read.letters.len() == kept.len() || !read.damaged.is_empty());
                for e in &read.damaged {
                    prop_assert!(e.message().contains("letters-r-000001.jsonl"), "{}", e);
                }
            }
            Err(e) => prop_assert!(e.message().contains("letters-r-000001.jsonl"), "{}", e),
        }
    }

    /// The same of the journal: what it says is what was written, or it is refused.
    #[test]
    fn a_damaged_journal_is_refused(at in 0.0..1.0f64, with in any::<u8>()) {
        let data = tempfile::tempdir().unwrap();
        keep(data.path(), "r", r#"[{"a": 1}]"#);
        let store = Store::new(data.path(), "orders");
        let mut journal = Journal::read(&store).unwrap();
        for by in ["one", "two"] {
            let dropped = Event::Dropped { letters: vec!["r.1.1".to_owned()], by: by.to_owned() };
            journal.write(&store, dropped).unwrap();
        }
        let path = store.folder().join("journal.jsonl");
        let mut bytes = std::fs::read(&path).unwrap();
        let at = (at * bytes.len() as f64) as usize;
        let same = std::mem::replace(&mut bytes[at], with) == with;
        // Without its end the last line counts as never written.
        let torn = at + 1 == bytes.len();
        std::fs::write(&path, &bytes).unwrap();
        match Journal::read(&store) {
            Ok(_) => prop_assert!(same || torn),
            Err(e) => prop_assert!(e.message().contains("journal.jsonl"), "{}", e),
        }
    }
}

#[test]
fn files_of_another_version_are_named() {
    let data = tempfile::tempdir().unwrap();
    keep(data.path(), "r", r#"[{"a": 1}]"#);
    let store = Store::new(data.path(), "orders");
    let header = super::lines::line(&json!({"purlin": "dead letters", "version": 9, "file": ""})).unwrap();
    std::fs::write(store.folder().join("letters-s-000001.jsonl"), header).unwrap();
    let e = store.read().unwrap_err().to_string();
    assert!(e.contains("letters-s-000001.jsonl") && e.contains("version 9"), "{e}");
}

#[test]
fn two_commands_do_not_work_on_the_same_letters() {
    let data = tempfile::tempdir().unwrap();
    keep(data.path(), "r", r#"[{"a": 1}]"#);
    let store = Store::new(data.path(), "orders");
    let guard = store.lock().unwrap();
    assert_eq!(store.lock().unwrap_err().kind(), purlin_api::ErrorKind::Conflict);
    drop(guard);
    store.lock().unwrap();
}

#[test]
fn equal_names_are_one_folder_and_odd_ones_are_safe() {
    let folder = |name: &str| Store::new(Path::new("d"), name).folder().display().to_string();
    assert_eq!(folder("orders"), "d/deadletters/orders");
    assert_eq!(folder("../../etc"), "d/deadletters/_.._etc");
    assert_eq!(folder(".."), "d/deadletters/pipeline");
    assert_eq!(folder(""), "d/deadletters/pipeline");
}
