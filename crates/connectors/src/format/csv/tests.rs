//! What is written is read back.

use super::cell::CellType;
use super::decode::{Csv, CsvColumn};
use super::encode::{CsvOut, Quoting};
use super::{Layout, column_names};
use crate::shared::read::{Fate, Format};
use crate::shared::records::Records;
use crate::shared::write::Encoder;
use arrow_array::{Float64Array, Int64Array, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema};
use proptest::prelude::*;
use std::sync::Arc;

fn round_trip(batch: &RecordBatch, delimiter: u8, quoting: Quoting, chunk: usize) -> RecordBatch {
    let names: Vec<String> = batch.schema().fields().iter().map(|f| f.name().clone()).collect();
    let out = CsvOut {
        delimiter,
        quote: b'"',
        quoting,
        header: Some(names.clone()),
        null: "NULL".to_owned(),
        line_end: "\r\n".to_owned(),
        columns: (0..names.len()).collect(),
        beam_compat: false,
    };
    let mut bytes = Vec::new();
    out.prologue(&batch.schema(), &mut bytes);
    let mut rows = out.rows(batch);
    for i in 0..batch.num_rows() {
        rows.write(i, i == 0, &mut bytes).unwrap();
    }
    let nulls = super::cell::Nulls { pandas: false, more: ["NULL".to_owned()].into() };
    let types = [CellType::Int, CellType::Float, CellType::Text];
    let csv = Csv {
        layout: Arc::new(Layout { delimiter, nulls, ..Layout::default() }),
        columns: names
            .iter()
            .zip(types)
            .map(|(n, t)| CsvColumn { name: Some(n.clone()), cell_type: t, declared: true })
            .collect(),
        all: None,
        sampled: 0,
    };
    let input = Box::new(std::io::Cursor::new(bytes.clone()));
    let mut records = Records::new(input, "f", csv.framing(), 1 << 20).in_chunks(chunk);
    let mut decoder = csv.decoder(&batch.schema(), &[true; 3]);
    decoder.open("f").unwrap();
    while let Some(record) = records.next().unwrap() {
        let fate = decoder.record(&record).unwrap();
        assert_ne!(fate, Fate::Skipped, "{:?}", String::from_utf8_lossy(&bytes));
    }
    decoder.finish().unwrap()
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(
        rows in prop::collection::vec((any::<Option<i64>>(), prop::option::of(-1e300f64..1e300), prop::option::of("[a\"',|\r\n é0#]{0,8}")), 1..20),
        chunk in 1usize..40,
        pipe in any::<bool>(),
        all in any::<bool>(),
    ) {
        let schema = Schema::new(vec![
            Field::new("i\"x", DataType::Int64, true),
            Field::new("f,", DataType::Float64, true),
            Field::new("s\n", DataType::Utf8, true),
        ]);
        let batch = RecordBatch::try_new(Arc::new(schema), vec![
            Arc::new(rows.iter().map(|r| r.0).collect::<Int64Array>()),
            Arc::new(rows.iter().map(|r| r.1).collect::<Float64Array>()),
            Arc::new(rows.iter().map(|r| r.2.clone()).collect::<StringArray>()),
        ]).unwrap();
        let quoting = if all { Quoting::All } else { Quoting::Minimal };
        let back = round_trip(&batch, if pipe { b'|' } else { b',' }, quoting, chunk);
        prop_assert_eq!(back, batch);
    }
}

#[test]
fn names() {
    assert_eq!(
        column_names(["a", "", "a", "a.1", "a"].into_iter()),
        ["a", "Unnamed: 1", "a.1", "a.1.1", "a.2"]
    );
}
