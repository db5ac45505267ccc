//! Help for the tests of formats of columns: rows of all our types, and damaged files.

use super::testing::{Folder, Read};
use arrow_array::builder::{Int64Builder, ListBuilder, MapBuilder, StringBuilder};
use arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int64Array, NullArray,
    RecordBatch, StringArray, StructArray, Time64MicrosecondArray, TimestampMicrosecondArray,
};
use arrow_schema::{Field, Schema};
use proptest::prelude::*;
use purlin_api::json::row_to_json;
use purlin_api::shape::physical;
use purlin_api::{Batch, Entry, Shape, Windowing};
use std::sync::Arc;

/// What the columns of one row are made from.
#[derive(Clone, Debug)]
pub(crate) struct Seed {
    int: Option<i64>,
    float: Option<f64>,
    text: Option<String>,
    list: Option<Vec<Option<i64>>>,
    map: Option<Vec<(String, Option<String>)>>,
}

/// Some rows.
pub(crate) fn seeds() -> impl Strategy<Value = Vec<Seed>> {
    let finite = prop_oneof![any::<f64>().prop_filter("finite", |f| f.is_finite()), Just(-0.0)];
    let text = prop_oneof!["\\PC{0,8}", Just("\0\u{10ffff}".to_owned())];
    let list = proptest::collection::vec(any::<Option<i64>>(), 0..4);
    let map = proptest::collection::vec(("[a-c]{1,3}", proptest::option::of("[a-z]{0,3}")), 0..3);
    use proptest::option::of;
    let seed = (any::<Option<i64>>(), of(finite), of(text), of(list), of(map))
        .prop_map(|(int, float, text, list, map)| Seed { int, float, text, list, map });
    proptest::collection::vec(seed, 1..20)
}

/// A batch with a column of each of our types.
pub(crate) fn batch(seeds: &[Seed]) -> RecordBatch {
    let ints = || seeds.iter().map(|s| s.int);
    let text: ArrayRef = Arc::new(seeds.iter().map(|s| s.text.clone()).collect::<StringArray>());
    let int: ArrayRef = Arc::new(ints().collect::<Int64Array>());
    // Years 0 to 9999, in which all readers agree.
    let near = || ints().map(|i| i.map(|i| i % 60_000_000_000_000_000));
    let mut list = ListBuilder::new(Int64Builder::new());
    let mut map = MapBuilder::new(None, StringBuilder::new(), StringBuilder::new());
    for s in seeds {
        list.append_option(s.list.clone());
        let mut entries = s.map.clone().unwrap_or_default();
        entries.sort();
        entries.dedup_by(|a, b| a.0 == b.0);
        for (k, v) in entries {
            map.keys().append_value(k);
            map.values().append_option(v);
        }
        map.append(s.map.is_some()).unwrap();
    }
    let row: Vec<(Arc<Field>, ArrayRef)> = vec![
        (Arc::new(Field::new("x", int.data_type().clone(), true)), int.clone()),
        (Arc::new(Field::new("y", text.data_type().clone(), true)), text.clone()),
    ];
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("int", int),
        ("float", Arc::new(seeds.iter().map(|s| s.float).collect::<Float64Array>())),
        ("bool", Arc::new(ints().map(|i| i.map(|i| i % 2 == 0)).collect::<BooleanArray>())),
        (
            "bytes",
            Arc::new(seeds.iter().map(|s| s.text.as_deref().map(str::as_bytes)).collect::<BinaryArray>()),
        ),
        ("text", text),
        ("time", Arc::new(near().collect::<TimestampMicrosecondArray>().with_timezone("UTC"))),
        ("date", Arc::new(near().map(|i| i.map(|i| (i % 700_000) as i32)).collect::<Date32Array>())),
        (
            "clock",
            Arc::new(
                ints().map(|i| i.map(|i| i.rem_euclid(86_400_000_000))).collect::<Time64MicrosecondArray>(),
            ),
        ),
        (
            "decimal",
            Arc::new(
                ints()
                    .map(|i| i.map(i128::from))
                    .collect::<Decimal128Array>()
                    .with_precision_and_scale(30, 4)
                    .unwrap(),
            ),
        ),
        ("list", Arc::new(list.finish())),
        ("map", Arc::new(map.finish())),
        ("row", Arc::new(StructArray::from(row))),
        ("nothing", Arc::new(NullArray::new(seeds.len()))),
    ];
    let fields: Vec<Field> =
        columns.iter().map(|(n, c)| Field::new(*n, c.data_type().clone(), true)).collect();
    let columns = columns.into_iter().map(|(_, c)| c).collect();
    RecordBatch::try_new(physical(&Schema::new(fields)), columns).unwrap()
}

pub(crate) fn texts(rows: &RecordBatch) -> Vec<String> {
    (0..rows.num_rows()).map(|i| row_to_json(rows, i).to_string()).collect()
}

pub(crate) fn shape(rows: &RecordBatch) -> Shape {
    Shape { schema: rows.schema(), windowing: Arc::new(Windowing::global()), bounded: true }
}

/// Writes rows, reads them again and compares.
pub(crate) fn check_roundtrip(write: &Entry, read: &Entry, rows: &RecordBatch, config: &str) {
    let folder = Folder::new(&[]);
    let config = format!("{{path: '{{}}/t' {config}}}");
    // In two batches, so that files are continued.
    let half = rows.num_rows() / 2;
    let all = Batch::untimed(rows.clone());
    let parts = [all.slice(0, half), all.slice(half, rows.num_rows() - half)];
    folder.write(write, &config, shape(rows), &parts, false).unwrap();
    let got = folder.read(read, "{path: '{}/t*'}").unwrap();
    assert_eq!(got.rows, texts(rows), "{config}");
}

/// Writes rows to one file and gives its bytes.
pub(crate) fn file_of(write: &Entry, rows: &RecordBatch, config: &str) -> Vec<u8> {
    let folder = Folder::new(&[]);
    let config = format!("{{path: '{{}}/t' {config}}}");
    folder.write(write, &config, shape(rows), &[Batch::untimed(rows.clone())], false).unwrap();
    std::fs::read(format!("{}/t-00000-of-00001", folder.path())).unwrap()
}

/// Reads bytes as a file; beside it lies one that can be read, so that the schema is known.
pub(crate) fn read_beside(read: &Entry, good: &[u8], bytes: &[u8]) -> Result<Read, String> {
    let folder = Folder::new(&[("a", good), ("b", bytes)]);
    folder.read(read, "{path: '{}/?', error_handling: {output: bad}}")
}

/// Reads bytes as the only file, damage to the error output. The schema is given, so that it cannot be lost.
fn read_alone(read: &Entry, bytes: &[u8], schema: &str) -> Result<Read, String> {
    let folder = Folder::new(&[("b", bytes)]);
    folder.read(read, &format!("{{path: '{{}}/b', schema: {schema}, error_handling: {{output: bad}}}}"))
}

/// Every cut of a file: rows from its beginning and one error that names it. At the places of `borders` a
/// cut file looks like a whole one.
pub(crate) fn check_cuts(read: &Entry, good: &[u8], schema: &str, borders: &[usize]) {
    let whole = read_alone(read, good, schema).unwrap();
    assert_eq!(whole.dead, 0, "{:?}", whole.errors);
    for cut in 0..good.len() {
        let got = read_alone(read, &good[..cut], schema).unwrap();
        assert!(whole.rows.starts_with(&got.rows), "cut at {cut}: {got:?}");
        let errors = usize::from(!borders.contains(&cut));
        assert_eq!(got.errors.len(), errors, "cut at {cut}: {got:?}");
        assert!(got.errors.iter().all(|e| e.contains("{}/b")), "cut at {cut}: {got:?}");
        let folder = Folder::new(&[("b", &good[..cut])]);
        let strict = folder.read(read, "{path: '{}/b'}");
        assert_eq!(strict.is_err(), errors == 1, "cut at {cut}: {strict:?}");
    }
}

/// Changed bytes of a file: rows, or an error; and no row is lost without one.
pub(crate) fn check_flips(read: &Entry, good: &[u8], schema: &str, step: usize) {
    let rows = read_alone(read, good, schema).unwrap().rows.len();
    for at in (0..good.len()).step_by(step) {
        for change in [0xff, 0x80, 0x40, 1] {
            let mut bytes = good.to_vec();
            bytes[at] ^= change;
            let got = read_alone(read, &bytes, schema).unwrap();
            assert!(got.dead > 0 || got.rows.len() == rows, "byte {at} ^ {change}: {got:?}");
            // With the schema that the damaged file has.
            let folder = Folder::new(&[("b", &bytes)]);
            if let Ok(got) = folder.read(read, "{path: '{}/b'}") {
                assert_eq!(got.rows.len(), rows, "byte {at} ^ {change}: {got:?}");
            }
        }
    }
}

/// A piece of damage: where, how many bytes are taken out, what is put in.
pub(crate) fn damage() -> impl Strategy<Value = Vec<(prop::sample::Index, usize, Vec<u8>)>> {
    let bytes = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..12),
        proptest::collection::vec(Just(0xff), 1..10),
        proptest::collection::vec(Just(0), 1..10),
    ];
    proptest::collection::vec((any::<prop::sample::Index>(), 0usize..40, bytes), 1..4)
}

/// Any damage to a file: rows, or an error.
pub(crate) fn check_any_damage(
    read: &Entry,
    good: &[u8],
    schema: &str,
    damage: &[(prop::sample::Index, usize, Vec<u8>)],
) {
    let mut bytes = good.to_vec();
    for (at, out, put) in damage {
        let at = at.index(bytes.len() + 1);
        let end = (at + out).min(bytes.len());
        bytes.splice(at..end, put.iter().copied());
    }
    drop(read_alone(read, &bytes, schema).unwrap());
    drop(Folder::new(&[("b", &bytes)]).read(read, "{path: '{}/b'}"));
}

/// Runs a test that must be done after so many seconds: a reader that hangs fails it.
#[allow(clippy::disallowed_methods)] // the time of a test, not of a job
pub(crate) fn within(seconds: u64, work: impl FnOnce() + Send + 'static) {
    let (done, wait) = std::sync::mpsc::sync_channel(1);
    let worker = std::thread::spawn(move || {
        work();
        // Nobody waits any more: the test failed.
        done.send(()).ok();
    });
    if wait.recv_timeout(std::time::Duration::from_secs(seconds))
        == Err(std::sync::mpsc::RecvTimeoutError::Timeout)
    {
        panic!("not done after {seconds} s");
    }
    if let Err(e) = worker.join() {
        std::panic::resume_unwind(e);
    }
}

/// Reads the files of other programs under `tests/interchange` and compares them with the rows beside them.
pub(crate) fn check_foreign_files(read: &Entry, extension: &str) -> usize {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interchange");
    let mut files = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let rows = path.with_extension(format!("{extension}.jsonl"));
        if path.extension().is_none_or(|e| e != extension) || !rows.exists() {
            continue;
        }
        let parse = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        let want: Vec<_> = std::fs::read_to_string(rows).unwrap().lines().map(parse).collect();
        let got = Folder::new(&[]).read(read, &format!("{{path: '{}'}}", path.display())).unwrap();
        assert_eq!(got.rows.len(), want.len(), "{}", path.display());
        for (got, want) in got.rows.iter().zip(&want) {
            check_value(&parse(got), want, &path.display().to_string());
        }
        files += 1;
    }
    files
}

/// Equal, or numbers of equal value: a decimal may be written as a number or as text.
fn check_value(got: &serde_json::Value, want: &serde_json::Value, place: &str) {
    use serde_json::Value as V;
    let number = |v: &V| {
        match v {
            V::Number(n) => Some(n.to_string()),
            V::String(s) => Some(s.clone()),
            _ => None,
        }
        .and_then(|text| text.parse::<f64>().ok())
    };
    match (got, want) {
        (V::Object(a), V::Object(b)) => {
            assert_eq!(a.keys().collect::<Vec<_>>(), b.keys().collect::<Vec<_>>(), "{place}");
            b.iter().for_each(|(k, v)| check_value(&a[k], v, &format!("{place}.{k}")));
        }
        (V::Array(a), V::Array(b)) if a.len() == b.len() => {
            a.iter().zip(b).for_each(|(a, b)| check_value(a, b, place));
        }
        (a, b) => {
            assert!(a == b || (number(a).is_some() && number(a) == number(b)), "{place}: {a} is not {b}")
        }
    }
}
