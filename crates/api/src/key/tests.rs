use super::*;
use arrow_array::types::{Float64Type, Int64Type};
use arrow_array::{
    Array, BinaryArray, BooleanArray, ListArray, MapArray, NullArray, PrimitiveArray, StringArray,
};
use arrow_array::{
    Date32Array, Decimal128Array, DurationMicrosecondArray, StructArray, TimestampMicrosecondArray,
};
use arrow_buffer::{NullBuffer, OffsetBuffer};
use arrow_schema::Fields;
use proptest::prelude::*;
use std::cmp::Ordering;
use std::sync::Arc;

/// A value, in words of its own, so that order and equality here owe nothing to the codec.
#[derive(Clone, Debug)]
enum Value {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Time(i64),
    Decimal(i128),
    Text(String),
    Bytes(Vec<u8>),
    List(Vec<Value>),
    Struct(Vec<Value>),
    Map(Vec<(String, Value)>),
}

fn compare(a: &Value, b: &Value) -> Ordering {
    use Value::*;
    match (a, b) {
        (Null, Null) => Ordering::Equal,
        (Null, _) => Ordering::Less,
        (_, Null) => Ordering::Greater,
        (Bool(a), Bool(b)) => a.cmp(b),
        (Int(a), Int(b)) | (Time(a), Time(b)) => a.cmp(b),
        (Decimal(a), Decimal(b)) => a.cmp(b),
        (Float(a), Float(b)) => a.partial_cmp(b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan())),
        (Text(a), Text(b)) => a.chars().cmp(b.chars()),
        (Bytes(a), Bytes(b)) => a.cmp(b),
        (List(a), List(b)) | (Struct(a), Struct(b)) => compare_all(a, b),
        (Map(a), Map(b)) => {
            let flat = |m: &[(String, Value)]| {
                let mut m = m.to_vec();
                m.sort_by(|a, b| a.0.cmp(&b.0));
                m.into_iter().flat_map(|(k, v)| [Text(k), v]).collect::<Vec<_>>()
            };
            compare_all(&flat(a), &flat(b))
        }
        _ => unreachable!("values of one type"),
    }
}

fn compare_all(a: &[Value], b: &[Value]) -> Ordering {
    let differing = a.iter().zip(b).map(|(a, b)| compare(a, b)).find(|o| o.is_ne());
    differing.unwrap_or_else(|| a.len().cmp(&b.len()))
}

fn array(t: &DataType, values: &[Value]) -> ArrayRef {
    use Value::*;
    let nulls = || Some(NullBuffer::from_iter(values.iter().map(|v| !matches!(v, Null))));
    match t {
        DataType::Null => Arc::new(NullArray::new(values.len())),
        DataType::Boolean => Arc::new(BooleanArray::from_iter(values.iter().map(|v| match v {
            Bool(b) => Some(*b),
            _ => None,
        }))),
        DataType::Int64 => Arc::new(PrimitiveArray::<Int64Type>::from_iter(values.iter().map(|v| match v {
            Int(i) => Some(*i),
            _ => None,
        }))),
        DataType::Float64 => {
            Arc::new(PrimitiveArray::<Float64Type>::from_iter(values.iter().map(|v| match v {
                Float(f) => Some(*f),
                _ => None,
            })))
        }
        DataType::Decimal128(..) => {
            let units = values.iter().map(|v| match v {
                Decimal(units) => Some(*units),
                _ => None,
            });
            Arc::new(Decimal128Array::from_iter(units).with_data_type(t.clone()))
        }
        DataType::Date32 => Arc::new(Date32Array::from_iter(values.iter().map(|v| match v {
            Time(days) => Some(*days as i32),
            _ => None,
        }))),
        DataType::Duration(_) => {
            Arc::new(DurationMicrosecondArray::from_iter(values.iter().map(|v| match v {
                Time(t) => Some(*t),
                _ => None,
            })))
        }
        DataType::Timestamp(..) => {
            let times = values.iter().map(|v| match v {
                Time(t) => Some(*t),
                _ => None,
            });
            Arc::new(TimestampMicrosecondArray::from_iter(times).with_data_type(t.clone()))
        }
        DataType::Utf8 => Arc::new(StringArray::from_iter(values.iter().map(|v| match v {
            Text(s) => Some(s.as_str()),
            _ => None,
        }))),
        DataType::Binary => Arc::new(BinaryArray::from_iter(values.iter().map(|v| match v {
            Bytes(b) => Some(b.as_slice()),
            _ => None,
        }))),
        DataType::List(item) => {
            let lists: Vec<&[Value]> = values
                .iter()
                .map(|v| match v {
                    List(l) => l.as_slice(),
                    _ => &[],
                })
                .collect();
            let offsets = OffsetBuffer::from_lengths(lists.iter().map(|l| l.len()));
            Arc::new(ListArray::new(item.clone(), offsets, array(item.data_type(), &lists.concat()), nulls()))
        }
        DataType::Struct(fields) => {
            let column = |i: usize, f: &Field| {
                let inner: Vec<Value> = values
                    .iter()
                    .map(|v| match v {
                        Struct(s) => s[i].clone(),
                        _ => Null,
                    })
                    .collect();
                array(f.data_type(), &inner)
            };
            let columns = fields.iter().enumerate().map(|(i, f)| column(i, f)).collect();
            Arc::new(StructArray::new(fields.clone(), columns, nulls()))
        }
        DataType::Map(entries, _) => {
            let maps: Vec<&[(String, Value)]> = values
                .iter()
                .map(|v| match v {
                    Map(m) => m.as_slice(),
                    _ => &[],
                })
                .collect();
            let offsets = OffsetBuffer::from_lengths(maps.iter().map(|m| m.len()));
            let all = maps.concat();
            let keys: Vec<Value> = all.iter().map(|(k, _)| Text(k.clone())).collect();
            let inner: Vec<Value> = all.into_iter().map(|(_, v)| v).collect();
            let DataType::Struct(fields) = entries.data_type() else { unreachable!() };
            let columns = vec![array(&DataType::Utf8, &keys), array(fields[1].data_type(), &inner)];
            Arc::new(MapArray::new(
                entries.clone(),
                offsets,
                StructArray::new(fields.clone(), columns, None),
                nulls(),
                false,
            ))
        }
        _ => unreachable!(),
    }
}

fn any_type() -> impl Strategy<Value = DataType> {
    let leaf = prop_oneof![
        Just(DataType::Null),
        Just(DataType::Boolean),
        Just(DataType::Int64),
        Just(DataType::Float64),
        Just(DataType::Utf8),
        Just(DataType::Binary),
        Just(DataType::Timestamp(TimeUnit::Microsecond, None)),
        Just(DataType::Date32),
        Just(DataType::Duration(TimeUnit::Microsecond)),
        Just(DataType::Decimal128(38, 4)),
        Just(DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))),
    ];
    leaf.prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            inner.clone().prop_map(|t| DataType::List(Arc::new(Field::new("item", t, true)))),
            prop::collection::vec(inner.clone(), 1..3).prop_map(|types| {
                let field = |(i, t)| Field::new(format!("f{i}"), t, true);
                DataType::Struct(types.into_iter().enumerate().map(field).collect::<Fields>())
            }),
            inner.prop_map(|t| {
                let fields = vec![Field::new("keys", DataType::Utf8, false), Field::new("values", t, true)];
                let entries = Field::new("entries", DataType::Struct(fields.into()), false);
                DataType::Map(Arc::new(entries), false)
            }),
        ]
    })
}

/// Few different values, many of them at the edges, so that equal ones and close ones meet.
fn any_value(t: &DataType) -> BoxedStrategy<Value> {
    let bytes = prop::collection::vec(prop_oneof![0..4_u8, Just(255), any::<u8>()], 0..4);
    let present = match t {
        DataType::Null => return Just(Value::Null).boxed(),
        DataType::Boolean => any::<bool>().prop_map(Value::Bool).boxed(),
        DataType::Int64 => {
            prop_oneof![any::<i64>(), -2..3_i64, Just(i64::MIN), Just(i64::MAX)].prop_map(Value::Int).boxed()
        }
        DataType::Float64 => {
            let edges = prop::sample::select(vec![
                0.0,
                -0.0,
                1.0,
                -1.0,
                f64::NAN,
                -f64::NAN,
                f64::INFINITY,
                f64::NEG_INFINITY,
                f64::MIN_POSITIVE,
                5e-324,
            ]);
            prop_oneof![edges, any::<f64>()].prop_map(Value::Float).boxed()
        }
        DataType::Decimal128(..) => prop_oneof![any::<i128>(), -2..3_i128, Just(i128::MIN), Just(i128::MAX)]
            .prop_map(Value::Decimal)
            .boxed(),
        DataType::Date32 => any::<i32>().prop_map(|days| Value::Time(days.into())).boxed(),
        DataType::Timestamp(..) | DataType::Duration(_) => any::<i64>().prop_map(Value::Time).boxed(),
        DataType::Utf8 => "[\u{0}\u{1}\u{2}ab\u{e9}\u{ffff}\u{10000}]{0,4}".prop_map(Value::Text).boxed(),
        DataType::Binary => bytes.prop_map(Value::Bytes).boxed(),
        DataType::List(item) => {
            prop::collection::vec(any_value(item.data_type()), 0..3).prop_map(Value::List).boxed()
        }
        DataType::Struct(fields) => fields
            .iter()
            .map(|f| any_value(f.data_type()))
            .collect::<Vec<_>>()
            .prop_map(Value::Struct)
            .boxed(),
        DataType::Map(entries, _) => {
            let DataType::Struct(fields) = entries.data_type() else { unreachable!() };
            let entry = ("[ab\u{0}]{0,2}", any_value(fields[1].data_type()));
            let map = prop::collection::btree_map(entry.0, entry.1, 0..3);
            map.prop_map(|m| Value::Map(m.into_iter().rev().collect())).boxed()
        }
        _ => unreachable!(),
    };
    prop_oneof![1 => Just(Value::Null), 6 => present].boxed()
}

fn any_rows() -> impl Strategy<Value = (Vec<DataType>, Vec<Vec<Value>>)> {
    prop::collection::vec(any_type(), 1..4).prop_flat_map(|types| {
        let row = types.iter().map(any_value).collect::<Vec<_>>();
        (Just(types), prop::collection::vec(row, 1..12))
    })
}

fn columns(types: &[DataType], rows: &[Vec<Value>]) -> Vec<ArrayRef> {
    let column =
        |(i, t): (usize, &DataType)| array(t, &rows.iter().map(|r| r[i].clone()).collect::<Vec<_>>());
    types.iter().enumerate().map(column).collect()
}

proptest! {
    #[test]
    fn bytes_are_ordered_like_values((types, rows) in any_rows()) {
        let codec = KeyCodec::new(&types).unwrap();
        let keys = codec.encode(&columns(&types, &rows), rows.len()).unwrap();
        for (i, a) in rows.iter().enumerate() {
            for (j, b) in rows.iter().enumerate() {
                prop_assert_eq!(keys.get(i).cmp(keys.get(j)), compare_all(a, b), "{:?} {:?}", a, b);
                // Self-delimiting: no key is the beginning of another.
                prop_assert!(keys.get(i) == keys.get(j) || !keys.get(j).starts_with(keys.get(i)));
            }
        }
    }

    #[test]
    fn columns_come_back((types, rows) in any_rows(), skip in 0..3_usize) {
        let codec = KeyCodec::new(&types).unwrap();
        let columns = columns(&types, &rows);
        let keys = codec.encode(&columns, rows.len()).unwrap();
        prop_assert_eq!(keys.len(), rows.len());
        let back = codec.decode(keys.iter()).unwrap();
        for (column, t) in back.iter().zip(&types) {
            prop_assert_eq!(column.data_type(), t);
            prop_assert_eq!(column.len(), rows.len());
        }
        prop_assert_eq!(&codec.encode(&back, rows.len()).unwrap(), &keys);
        // A slice has the keys of its rows.
        let skip = skip.min(rows.len());
        let sliced: Vec<ArrayRef> = columns.iter().map(|c| c.slice(skip, rows.len() - skip)).collect();
        let sliced = codec.encode(&sliced, rows.len() - skip).unwrap();
        prop_assert_eq!(sliced.iter().collect::<Vec<_>>(), keys.iter().skip(skip).collect::<Vec<_>>());
    }

    #[test]
    fn no_bytes_crash(types in prop::collection::vec(any_type(), 0..3), key in prop::collection::vec(0..4_u8, 0..24)) {
        let codec = KeyCodec::new(&types).unwrap();
        if let Ok(columns) = codec.decode([key.as_slice()]) {
            let again = codec.encode(&columns, 1).unwrap();
            prop_assert_eq!(codec.decode(again.iter()).unwrap(), columns);
        }
    }
}

#[test]
fn values_come_back_exactly() {
    let types = [DataType::Utf8, DataType::Int64, DataType::Float64];
    let text: ArrayRef = Arc::new(StringArray::from(vec![Some("a\u{0}\u{1}b"), None, Some("")]));
    let int: ArrayRef = Arc::new(PrimitiveArray::<Int64Type>::from(vec![Some(i64::MIN), Some(7), None]));
    let float: ArrayRef = Arc::new(PrimitiveArray::<Float64Type>::from(vec![Some(-0.0), Some(1e300), None]));
    let codec = KeyCodec::new(&types).unwrap();
    let keys = codec.encode(&[text.clone(), int.clone(), float], 3).unwrap();
    let back = codec.decode(keys.iter()).unwrap();
    assert_eq!(&back[0], &text);
    assert_eq!(&back[1], &int);
    let floats: &PrimitiveArray<Float64Type> = back[2].as_any().downcast_ref().unwrap();
    assert_eq!(floats.value(0).to_bits(), 0.0_f64.to_bits());
    assert_eq!((floats.value(1), floats.is_null(2)), (1e300, true));
}

#[test]
fn layout_is_fixed() {
    let codec = KeyCodec::new(&[DataType::Utf8, DataType::Int64]).unwrap();
    let columns: [ArrayRef; 2] =
        [Arc::new(StringArray::from(vec!["k\u{1}"])), Arc::new(PrimitiveArray::<Int64Type>::from(vec![-1]))];
    let keys = codec.encode(&columns, 1).unwrap();
    assert_eq!(keys.get(0), [1, b'k', 1, 2, 0, 1, 0x7f, 255, 255, 255, 255, 255, 255, 255]);
}

#[test]
fn hashes_are_those_of_xxh3() {
    // The published value for no bytes; a change would move every stored key to another slot.
    assert_eq!(hash(b""), 0x2d06_8005_38d3_94c2);
}

#[test]
fn single_columns_have_the_same_bytes_as_many() {
    let ints: ArrayRef = Arc::new(PrimitiveArray::<Int64Type>::from(vec![3, -4]));
    let texts: ArrayRef = Arc::new(StringArray::from(vec!["x", "yy"]));
    let pair = KeyCodec::new(&[DataType::Int64, DataType::Utf8]).unwrap();
    let both = pair.encode(&[ints.clone(), texts.clone()], 2).unwrap();
    let int = KeyCodec::new(&[DataType::Int64]).unwrap().encode(&[ints], 2).unwrap();
    let text = KeyCodec::new(&[DataType::Utf8]).unwrap().encode(&[texts], 2).unwrap();
    for row in 0..2 {
        assert_eq!(both.get(row), [int.get(row), text.get(row)].concat());
    }
}

#[test]
fn no_columns_is_one_key() {
    let codec = KeyCodec::new(&[]).unwrap();
    let keys = codec.encode(&[], 3).unwrap();
    assert_eq!(keys.iter().collect::<Vec<_>>(), [b"", b"", b""]);
    assert!(codec.decode(keys.iter()).unwrap().is_empty());
}

#[test]
fn wrong_columns_are_refused() {
    let codec = KeyCodec::new(&[DataType::Int64]).unwrap();
    let text: ArrayRef = Arc::new(StringArray::from(vec!["x"]));
    assert!(codec.encode(&[text], 1).is_err());
    assert!(codec.encode(&[], 1).is_err());
    assert!(KeyCodec::new(&[DataType::Float32]).is_err());
}

#[test]
fn lanes_share_the_slots() {
    for lanes in [1, 2, 3, 7, 64, 1024] {
        let owners: Vec<usize> = (0..KEY_SLOTS).map(|s| lane(s, lanes)).collect();
        assert!(owners.is_sorted());
        assert_eq!((owners[0], owners[1023]), (0, lanes - 1));
    }
    assert_eq!(lane(5, 0), 0);
    let slots: std::collections::HashSet<u16> =
        (0..20_000_u64).map(|i| slot(hash(&i.to_be_bytes()))).collect();
    assert_eq!(slots.len(), usize::from(KEY_SLOTS));
}
