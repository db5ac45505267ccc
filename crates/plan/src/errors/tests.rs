use super::merge;
use arrow_array::builder::{ListBuilder, MapBuilder, StringBuilder};
use arrow_array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray,
    StructArray, TimestampMicrosecondArray,
};
use arrow_schema::{DataType, Field, Fields, Schema};
use purlin_api::shape::{is_any, physical};
use purlin_api::{Batch, BuildCx, OpCx, PlanNode, Running, Shape, Windowing};
use std::sync::Arc;

fn batch(element: StructArray, msg: &str) -> (Shape, Batch) {
    let fields = vec![
        Field::new("element", element.data_type().clone(), false),
        Field::new("msg", DataType::Utf8, false),
        Field::new("stack", DataType::Utf8, false),
    ];
    let schema = Arc::new(Schema::new(fields));
    let text = |t: &str| Arc::new(StringArray::from(vec![t; element.len()])) as ArrayRef;
    let columns = vec![Arc::new(element.clone()) as ArrayRef, text(msg), text("")];
    let rows = RecordBatch::try_new(physical(&schema), columns).unwrap();
    let shape = Shape { schema, windowing: Arc::new(Windowing::global()), bounded: true };
    (shape, Batch::untimed(rows))
}

fn element(columns: Vec<(&str, ArrayRef)>) -> StructArray {
    let fields: Fields = columns.iter().map(|(n, a)| Field::new(*n, a.data_type().clone(), true)).collect();
    StructArray::new(fields, columns.into_iter().map(|(_, a)| a).collect(), None)
}

/// The merged rows, as (element, msg).
fn run(inputs: Vec<(Shape, Batch)>) -> Vec<(String, String)> {
    let shapes: Vec<Shape> = inputs.iter().map(|(s, _)| s.clone()).collect();
    let node = merge("bad", &shapes);
    assert!(is_any(node.shape().schema.field(0)));
    let cx = BuildCx { label: String::new(), lane: 0, lanes: 1, rows_max: 100 };
    let Running::Operator(mut op) = node.build(&cx).unwrap() else { panic!("not an operator") };
    let mut cx = OpCx::new(100);
    let mut rows_in = 0;
    for (port, (_, batch)) in inputs.into_iter().enumerate() {
        rows_in += batch.len() as u64;
        op.on_batch(port, batch, &mut cx).unwrap();
    }
    assert_eq!(cx.fates.passed, rows_in);
    let text = |b: &Batch, column: usize, row: usize| {
        let column = b.rows.column(column).as_any().downcast_ref::<StringArray>().unwrap();
        column.value(row).to_owned()
    };
    cx.outputs
        .iter()
        .flat_map(|(_, b)| (0..b.len()).map(|r| (text(b, 0, r), text(b, 1, r))).collect::<Vec<_>>())
        .collect()
}

#[test]
fn elements_of_two_kinds_become_json() {
    let one = batch(element(vec![("v", Arc::new(StringArray::from(vec!["x"])))]), "no int");
    let two = batch(element(vec![("n", Arc::new(Int64Array::from(vec![Some(-2), None])))]), "too small");
    let expected = [("{\"v\":\"x\"}", "no int"), ("{\"n\":-2}", "too small"), ("{\"n\":null}", "too small")];
    assert_eq!(run(vec![one, two]), expected.map(|(e, m)| (e.to_owned(), m.to_owned())));
}

#[test]
fn every_type_can_be_written() {
    let mut list = ListBuilder::new(StringBuilder::new());
    list.append_value([Some("p"), None]);
    let mut map = MapBuilder::new(None, StringBuilder::new(), StringBuilder::new());
    map.keys().append_value("k");
    map.values().append_value("w");
    map.append(true).unwrap();
    let all = element(vec![
        ("b", Arc::new(BooleanArray::from(vec![true]))),
        ("f", Arc::new(Float64Array::from(vec![1.5]))),
        ("y", Arc::new(BinaryArray::from(vec![&b"raw"[..]]))),
        ("t", Arc::new(TimestampMicrosecondArray::from(vec![1_500_000]).with_timezone("UTC"))),
        ("l", Arc::new(list.finish())),
        ("m", Arc::new(map.finish())),
        ("z", arrow_array::new_null_array(&DataType::Null, 1)),
    ]);
    let other = batch(element(vec![("v", Arc::new(StringArray::from(vec!["x"])))]), "");
    let rows = run(vec![batch(all, ""), other]);
    let expected =
        r#"{"b":true,"f":1.5,"y":"raw","t":"1970-01-01T00:00:01.5Z","l":["p",null],"m":{"k":"w"},"z":null}"#;
    assert_eq!(rows[0].0, expected);
}
