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

/// Every cut and many flipped bytes of a file: either rows or an error, never more than the file's own.
pub(crate) fn check_damage(read: &Entry, good: &[u8], step: usize) {
    std::panic::set_hook(Box::new(|_| {}));
    let rows = read_beside(read, good, good).unwrap().rows.len() / 2;
    for cut in (0..good.len()).step_by(step) {
        let got = read_beside(read, good, &good[..cut]).unwrap();
        assert!(got.dead == 1 || got.rows.len() <= 2 * rows, "cut at {cut}: {got:?}");
    }
    for at in (0..good.len()).step_by(step) {
        for change in [0xff, 0x80, 1] {
            let mut bytes = good.to_vec();
            bytes[at] ^= change;
            // The answer may be wrong, as nothing guards it; what matters is that there is one.
            let folder = Folder::new(&[("b", &bytes)]);
            drop(folder.read(read, "{path: '{}/b'}"));
            drop(read_beside(read, good, &bytes));
        }
    }
}
