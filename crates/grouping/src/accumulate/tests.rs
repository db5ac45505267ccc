use super::*;
use arrow_array::builder::{Int64Builder, ListBuilder, MapBuilder, StringBuilder};
use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{
    BinaryArray, BooleanArray, Float64Array, Int64Array, ListArray, NullArray, StringArray,
    TimestampMicrosecondArray,
};
use arrow_schema::{DataType, Field};
use proptest::prelude::*;
use purlin_api::ErrorKind;
use purlin_api::shape::any_field;
use std::sync::Arc;

fn function(name: &str, values: &ArrayRef) -> AggregateFn {
    AggregateFn::resolve(name, &Field::new("v", values.data_type().clone(), true)).unwrap()
}

/// One group with these values.
fn run(name: &str, values: impl Array + 'static) -> ArrayRef {
    let values: ArrayRef = Arc::new(values);
    let function = function(name, &values);
    let mut a = function.accumulator().unwrap();
    a.resize(1);
    a.update(&vec![0; values.len()], &values).unwrap();
    let out = a.emit(&[0]).unwrap();
    assert_eq!(out.data_type(), function.output_field("x").data_type());
    assert_eq!(out.len(), 1);
    out
}

fn int(a: &ArrayRef) -> Option<i64> {
    a.as_primitive::<Int64Type>().iter().next().unwrap()
}

fn float(a: &ArrayRef) -> Option<f64> {
    a.as_primitive::<Float64Type>().iter().next().unwrap()
}

fn truth(a: &ArrayRef) -> bool {
    a.as_boolean().value(0)
}

fn list(values: &[Option<&[Option<i64>]>]) -> ListArray {
    ListArray::from_iter_primitive::<Int64Type, _, _>(values.iter().map(|l| l.map(|l| l.to_vec())))
}

#[test]
fn sums() {
    assert_eq!(int(&run("sum", Int64Array::from(vec![Some(1), None, Some(4)]))), Some(5));
    assert_eq!(int(&run("sum", Int64Array::from(vec![None, None]))), None);
    assert_eq!(int(&run("sum", BooleanArray::from(vec![true, false, true]))), Some(2));
    assert_eq!(float(&run("sum", Float64Array::from(vec![Some(0.5), None]))), Some(0.5));
    assert_eq!(float(&run("sum", Float64Array::from(vec![None::<f64>]))), None);
    assert!(run("sum", NullArray::new(3)).is_null(0) || run("sum", NullArray::new(3)).data_type().is_null());
}

#[test]
fn a_sum_may_leave_its_type_on_the_way_but_not_at_the_end() {
    assert_eq!(
        int(&run("sum", Int64Array::from(vec![i64::MAX, i64::MAX, -i64::MAX, -5]))),
        Some(i64::MAX - 5)
    );
    let values: ArrayRef = Arc::new(Int64Array::from(vec![i64::MAX, 1]));
    let mut a = function("sum", &values).accumulator().unwrap();
    a.resize(1);
    a.update(&[0, 0], &values).unwrap();
    let e = a.emit(&[0]).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Data);
    assert_eq!(e.message(), "the sum 9223372036854775808 does not fit an int of 64 bits");
}

#[test]
fn money_has_no_dust() {
    let table: [(&[f64], f64); 8] = [
        (&[0.1, 0.2], 0.3),
        (&[64.61, 51.6], 116.21),
        (&[0.1; 10], 1.0),
        (&[1e9, 0.01, -1e9], 0.01),
        (&[19.99, 5.01, -25.0], 0.0),
        (&[1.1, 2.2, 3.3], 6.6),
        (&[0.000001, 0.000002], 0.000003),
        (&[1e300, 1.0, -1e300], 1.0),
    ];
    for (values, sum) in table {
        let out = float(&run("sum", Float64Array::from(values.to_vec()))).unwrap();
        assert_eq!(out.to_bits(), sum.to_bits(), "{values:?}: {out}");
    }
    assert_eq!(float(&run("mean", Float64Array::from(vec![0.1, 0.2]))), Some(0.15));
    assert_eq!(float(&run("mean", Float64Array::from(vec![1.1, 2.2, 3.3]))), Some(2.2));
}

#[test]
fn floats_at_the_edge() {
    let sum = |v: &[f64]| float(&run("sum", Float64Array::from(v.to_vec()))).unwrap();
    assert_eq!(sum(&[f64::INFINITY, 1.0]), f64::INFINITY);
    assert!(sum(&[f64::INFINITY, f64::NEG_INFINITY]).is_nan());
    assert!(sum(&[f64::NAN, 1.0]).is_nan());
    assert_eq!(sum(&[1e308, 1e308]), f64::INFINITY);
    assert_eq!(sum(&[1.0 / 3.0, 1.0 / 3.0, 1.0 / 3.0]), 1.0);
    assert_eq!(sum(&[9e15, 1.0]), 9e15 + 1.0);
    assert_eq!(sum(&[5e-324, 5e-324]), 1e-323);
    assert_eq!(sum(&[2e9 + 0.1, 3e9 + 0.1]), 5e9 + 0.2);
    // Big sums of decimals have more digits than a float: still the nearest one.
    assert_eq!(sum(&vec![2_000_000_000.25; 10_000]), 20_000_000_002_500.0);
}

#[test]
fn means_and_counts() {
    assert_eq!(float(&run("mean", Int64Array::from(vec![Some(1), None, Some(4)]))), Some(2.5));
    assert_eq!(float(&run("mean", Int64Array::from(vec![None]))), None);
    assert_eq!(float(&run("mean", BooleanArray::from(vec![true, false]))), Some(0.5));
    assert_eq!(float(&run("mean", NullArray::new(2))), None);
    assert_eq!(int(&run("count", Int64Array::from(vec![Some(1), None]))), Some(2));
    assert_eq!(int(&run("count", NullArray::new(3))), Some(3));
}

#[test]
fn extremes() {
    assert_eq!(int(&run("max", Int64Array::from(vec![Some(-3), None, Some(-1)]))), Some(-1));
    assert_eq!(int(&run("min", Int64Array::from(vec![Some(3), None, Some(8)]))), Some(3));
    assert_eq!(int(&run("min", Int64Array::from(vec![None]))), None);
    assert_eq!(float(&run("max", Float64Array::from(vec![-2.0, -7.5]))), Some(-2.0));
    assert!(float(&run("max", Float64Array::from(vec![1.0, f64::NAN, 2.0]))).unwrap().is_nan());
    assert_eq!(float(&run("min", Float64Array::from(vec![f64::NAN, 1.0]))), Some(1.0));
    assert_eq!(run("max", StringArray::from(vec!["b", "a", "\u{e9}"])).as_string::<i32>().value(0), "\u{e9}");
    assert_eq!(
        run("min", StringArray::from(vec![Some("b"), None, Some("")])).as_string::<i32>().value(0),
        ""
    );
    assert!(run("min", StringArray::from(vec![None::<&str>])).is_null(0));
    assert_eq!(run("max", BinaryArray::from(vec![b"a".as_slice(), b"\0"])).as_binary::<i32>().value(0), b"a");
    assert!(truth(&run("max", BooleanArray::from(vec![false, true]))));
    assert!(!truth(&run("min", BooleanArray::from(vec![false, true]))));
    let times = TimestampMicrosecondArray::from(vec![5, 9, 7]).with_timezone("UTC");
    assert_eq!(run("max", times).as_primitive::<TimestampMicrosecondType>().value(0), 9);
    let lists = list(&[Some(&[Some(1), Some(2)]), Some(&[Some(1)]), None]);
    assert_eq!(run("max", lists).as_list::<i32>().value(0).as_primitive::<Int64Type>().values(), &[1, 2]);
}

#[test]
fn truths_are_those_of_python() {
    let table: Vec<(ArrayRef, bool, bool)> = vec![
        (Arc::new(BooleanArray::from(vec![true, false])), false, true),
        (Arc::new(Int64Array::from(vec![1, 2])), true, true),
        (Arc::new(Int64Array::from(vec![Some(1), None])), false, true),
        (Arc::new(Int64Array::from(vec![0])), false, false),
        (Arc::new(Float64Array::from(vec![f64::NAN, -0.0])), false, true),
        (Arc::new(StringArray::from(vec!["", "0"])), false, true),
        (Arc::new(BinaryArray::from(vec![b"".as_slice()])), false, false),
        (Arc::new(TimestampMicrosecondArray::from(vec![0])), true, true),
        (Arc::new(list(&[Some(&[]), Some(&[None])])), false, true),
        (Arc::new(NullArray::new(1)), false, false),
    ];
    for (values, all, any) in table {
        let results = ["all", "any"].map(|name| {
            let mut a = function(name, &values).accumulator().unwrap();
            a.resize(1);
            a.update(&vec![0; values.len()], &values).unwrap();
            truth(&a.emit(&[0]).unwrap())
        });
        assert_eq!(results, [all, any], "{values:?}");
    }
    let json = AggregateFn::resolve("any", &any_field("v")).unwrap();
    for (text, expected) in [
        ("null", false),
        ("0", false),
        ("-0.0", false),
        ("\"\"", false),
        ("[ ]", false),
        ("{}", false),
        ("false", false),
        ("[0]", true),
        ("[[]]", true),
        ("\"0\"", true),
        ("0.1", true),
        ("true", true),
        ("{\"a\":null}", true),
    ] {
        let mut a = json.accumulator().unwrap();
        a.resize(1);
        a.update(&[0], &(Arc::new(StringArray::from(vec![text])) as ArrayRef)).unwrap();
        assert_eq!(truth(&a.emit(&[0]).unwrap()), expected, "{text}");
    }
}

#[test]
fn maps_are_true_unless_empty() {
    let mut b = MapBuilder::new(None, StringBuilder::new(), Int64Builder::new());
    b.append(true).unwrap();
    b.keys().append_value("k");
    b.values().append_null();
    b.append(true).unwrap();
    let maps = b.finish();
    assert!(truth(&run("any", maps.clone())));
    assert!(!truth(&run("all", maps)));
}

#[test]
fn lists() {
    let grouped = run("group", Int64Array::from(vec![Some(1), None, Some(3)]));
    let expected: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None, Some(3)]));
    assert_eq!(&grouped.as_list::<i32>().value(0), &expected);
    let joined = run("concat", list(&[Some(&[Some(1)]), None, Some(&[]), Some(&[None, Some(2)])]));
    let expected: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None, Some(2)]));
    assert_eq!(&joined.as_list::<i32>().value(0), &expected);
    let nested = run("group", list(&[Some(&[Some(1)]), None]));
    assert_eq!(nested.as_list::<i32>().value(0).as_list::<i32>().value_length(0), 1);
    assert_eq!(run("group", NullArray::new(2)).as_list::<i32>().value_length(0), 2);
}

#[test]
fn tops() {
    let values: ArrayRef =
        Arc::new(Int64Array::from(vec![Some(2), Some(9), None, Some(4), Some(9), Some(-1)]));
    let field = Field::new("v", DataType::Int64, true);
    for (n, least, expected) in [
        (3, false, vec![9, 9, 4]),
        (2, true, vec![-1, 2]),
        (9, true, vec![-1, 2, 4, 9, 9]),
        (0, false, vec![]),
    ] {
        let mut a = AggregateFn::top(n, least, &field).unwrap().accumulator().unwrap();
        a.resize(1);
        a.update(&[0; 6], &values).unwrap();
        let out = a.emit(&[0]).unwrap();
        assert_eq!(out.as_list::<i32>().value(0).as_primitive::<Int64Type>().values(), &expected[..]);
    }
}

/// All values of one group, in batches of 1000.
fn over(f: &AggregateFn, values: impl Iterator<Item = i64>) -> Box<dyn Accumulator> {
    let mut a = f.accumulator().unwrap();
    a.resize(1);
    let values: Vec<i64> = values.collect();
    for part in values.chunks(1000) {
        a.update(&vec![0; part.len()], &(Arc::new(Int64Array::from(part.to_vec())) as ArrayRef)).unwrap();
    }
    a
}

/// Numbers from 0 to `n` in an order that looks random.
fn shuffled(n: i64) -> impl Iterator<Item = i64> {
    (0..n).map(move |i| i * 7919 % n)
}

#[test]
fn quantiles_are_exact_for_few_and_near_for_many() {
    let field = Field::new("v", DataType::Int64, true);
    let f = AggregateFn::quantiles(5, false, &field).unwrap();
    let of = |n: i64| {
        let a = over(&f, shuffled(n));
        let out = a.emit(&[0]).unwrap();
        (out.as_list::<i32>().value(0).as_primitive::<Int64Type>().values().to_vec(), a.size_bytes())
    };
    assert_eq!(of(101).0, [0, 25, 50, 75, 100]);
    assert_eq!(of(1).0, [0; 5]);
    let (got, bytes) = of(200_000);
    for (got, expected) in got.iter().zip([0, 50_000, 100_000, 150_000, 199_999]) {
        assert!((got - expected).abs() <= 600, "{got} for {expected}");
    }
    assert!(bytes < 3 << 20, "{bytes}");
}

#[test]
fn distinct_values_are_exact_for_few_and_near_for_many() {
    let field = Field::new("v", DataType::Int64, true);
    let f = AggregateFn::approx_distinct(1024, &field).unwrap();
    let of = |n: i64| int(&over(&f, shuffled(n).chain(shuffled(n))).emit(&[0]).unwrap()).unwrap();
    assert_eq!(of(1000), 1000);
    assert!((of(50_000) - 50_000).abs() < 5_000, "{}", of(50_000));
    assert!(over(&f, shuffled(50_000)).size_bytes() < 64 * 1024);
}

#[test]
fn a_list_keeps_no_more_than_it_must() {
    let values: ArrayRef = Arc::new(Int64Array::from_iter_values(0..4096));
    let mut a = function("group", &values).accumulator().unwrap();
    a.resize(2);
    for round in 0..200 {
        a.update(&[round % 2; 8], &values.slice(round as usize, 8)).unwrap();
        a.clear((round + 1) % 2);
    }
    // 1600 values came, 8 are left, and at most about as many more wait to be swept.
    assert!(a.size_bytes() < 64 * 1024, "{}", a.size_bytes());
    assert_eq!(a.emit(&[0, 1]).unwrap().as_list::<i32>().values().len(), 8);
    a.clear(0);
    a.clear(1);
    assert!(a.size_bytes() < 256, "{}", a.size_bytes());
}

#[test]
fn unknown_and_unfit_functions_are_refused() {
    let field = |t| Field::new("v", t, true);
    let e = |name: &str, f: &Field| AggregateFn::resolve(name, f).unwrap_err();
    assert_eq!(
        e("median", &field(DataType::Int64)),
        "unknown CombineFn \"median\"; there are sum, max, min, all, any, mean, count, group, concat"
    );
    assert_eq!(e("sum", &field(DataType::Utf8)), "`sum` needs numbers, not str");
    assert_eq!(e("concat", &field(DataType::Int64)), "`concat` needs lists, not int");
    assert_eq!(e("max", &any_field("v")), "`max` needs values of one type, not any");
}

#[test]
fn nulls_fail_the_run_if_told_to() {
    let values: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None]));
    for name in ["sum", "mean", "max", "min"] {
        let mut a = function(name, &values).failing_on_null(true).accumulator().unwrap();
        a.resize(1);
        let e = a.update(&[0, 0], &values).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Data);
        assert!(e.message().contains("'NoneType'"), "{e}");
    }
    for name in ["count", "group", "all"] {
        let mut a = function(name, &values).failing_on_null(true).accumulator().unwrap();
        a.resize(1);
        a.update(&[0, 0], &values).unwrap();
    }
}

#[test]
fn ranked_values_merge() {
    let ranks: ArrayRef = Arc::new(Int64Array::from(vec![3, 1, 2, 2]));
    let names: ArrayRef = Arc::new(StringArray::from(vec![Some("c"), None, Some("b"), Some("bb")]));
    let fields = vec![Field::new("rank", DataType::Int64, true), Field::new("value", DataType::Utf8, true)];
    let rows = arrow_array::StructArray::new(fields.into(), vec![ranks, names], None);
    let field = Field::new("v", rows.data_type().clone(), true);
    let rows: ArrayRef = Arc::new(rows);
    let least = AggregateFn::ranked("first", None, true, &field).unwrap();
    let best = AggregateFn::ranked("top", Some(3), false, &field).unwrap();
    for f in [&least, &best] {
        let (mut a, mut b) = (f.accumulator().unwrap(), f.accumulator().unwrap());
        a.resize(3);
        a.update(&[0, 0, 1, 1], &rows).unwrap();
        let states = a.state(&[0, 1]).unwrap();
        assert_eq!(states[0].data_type(), f.state_fields("x")[0].data_type());
        b.resize(1);
        b.merge_state(&[0, 0], &states).unwrap();
        a.merge(0, 1);
        let out = a.emit(&[0, 2]).unwrap();
        assert_eq!(out.data_type(), f.output_field("x").data_type());
        assert_eq!(&out.slice(0, 1), &b.emit(&[0]).unwrap());
        if f == &least {
            assert!(out.is_null(0) && out.is_null(1));
        } else {
            let list = out.as_list::<i32>().value(0);
            assert_eq!(
                list.as_string::<i32>().iter().collect::<Vec<_>>(),
                [Some("c"), Some("bb"), Some("b")]
            );
        }
    }
}

/// The functions that a column of a type takes.
fn functions(values: &ArrayRef) -> Vec<AggregateFn> {
    let field = Field::new("v", values.data_type().clone(), true);
    let mut all: Vec<_> = NAMES.iter().filter_map(|name| AggregateFn::resolve(name, &field).ok()).collect();
    all.push(AggregateFn::top(2, false, &field).unwrap());
    all.push(AggregateFn::top(3, true, &field).unwrap());
    all.push(AggregateFn::set(&field).unwrap());
    all.push(AggregateFn::quantiles(4, false, &field).unwrap());
    all.push(AggregateFn::approx_distinct(5, &field).unwrap());
    all
}

fn any_column() -> impl Strategy<Value = ArrayRef> {
    let n = 1..40_usize;
    let floats = prop_oneof![
        (-100_000..100_000_i64).prop_map(|c| c as f64 / 100.0),
        // Sums of these are exact however they are split, as their bits never span more than two floats.
        (-1000..1000_i64).prop_map(|v| v as f64 / 1024.0 / 1024.0 / 1024.0),
    ];
    prop_oneof![
        prop::collection::vec(prop::option::of(-50..50_i64), n.clone())
            .prop_map(|v| Arc::new(Int64Array::from(v)) as ArrayRef),
        prop::collection::vec(prop::option::of(floats), n.clone())
            .prop_map(|v| Arc::new(Float64Array::from(v)) as ArrayRef),
        prop::collection::vec(prop::option::of("[a-c\u{0}]{0,2}"), n.clone())
            .prop_map(|v| Arc::new(StringArray::from(v)) as ArrayRef),
        prop::collection::vec(prop::option::of(prop::collection::vec(prop::option::of(0..3_i64), 0..3)), n)
            .prop_map(|v| {
                let mut b = ListBuilder::new(Int64Builder::new());
                v.into_iter().for_each(|l| b.append_option(l));
                Arc::new(b.finish()) as ArrayRef
            }),
    ]
}

proptest! {
    /// However rows are cut, merged, and sent on as states, groups come to the same.
    #[test]
    fn splits_do_not_matter(values in any_column(), cuts in prop::collection::vec(0..40_usize, 0..4), seed in any::<u64>()) {
        let groups: Vec<u32> = (0..values.len()).map(|i| ((seed >> (i % 60)) & 3) as u32).collect();
        for f in functions(&values) {
            let mut whole = f.accumulator().unwrap();
            whole.resize(4);
            whole.update(&groups, &values).unwrap();
            let expected = whole.emit(&[3, 0, 1, 2]).unwrap();
            let planned = f.output_field("x");
            prop_assert_eq!(expected.data_type(), planned.data_type());

            // In pieces, each in groups of its own that are merged afterwards, or sent as states.
            let mut cuts: Vec<usize> = cuts.iter().map(|c| c % values.len()).collect();
            cuts.extend([0, values.len()]);
            cuts.sort_unstable();
            let mut merged = f.accumulator().unwrap();
            let mut from_states = f.accumulator().unwrap();
            merged.resize(8);
            from_states.resize(4);
            for cut in cuts.windows(2) {
                let piece = values.slice(cut[0], cut[1] - cut[0]);
                let piece_groups = &groups[cut[0]..cut[1]];
                let apart: Vec<u32> = piece_groups.iter().map(|g| g + 4).collect();
                merged.update(&apart, &piece).unwrap();
                (0..4).for_each(|g| merged.merge(g, g + 4));
                let mut part = f.accumulator().unwrap();
                part.resize(4);
                part.update(piece_groups, &piece).unwrap();
                let states = part.state(&[0, 1, 2, 3]).unwrap();
                let types: Vec<_> = states.iter().map(|s| s.data_type().clone()).collect();
                let fields: Vec<_> = f.state_fields("x").iter().map(|f| f.data_type().clone()).collect();
                prop_assert_eq!(types, fields);
                from_states.merge_state(&[0, 1, 2, 3], &states).unwrap();
            }
            prop_assert_eq!(&merged.emit(&[3, 0, 1, 2]).unwrap(), &expected, "{} merged", f.name());
            prop_assert_eq!(&from_states.emit(&[3, 0, 1, 2]).unwrap(), &expected, "{} from states", f.name());

            // Emptied groups are as new.
            (0..4).for_each(|g| merged.clear(g));
            merged.update(&groups, &values).unwrap();
            prop_assert_eq!(&merged.emit(&[3, 0, 1, 2]).unwrap(), &expected, "{} cleared", f.name());
        }
    }
}

/// Values of a group, the state of which is taken up by another one, which goes on in the same way.
fn goes_on(function: &AggregateFn, values: &ArrayRef) {
    let half = values.len() / 2;
    let (first, rest) = (values.slice(0, half), values.slice(half, values.len() - half));
    let mut whole = function.accumulator().unwrap();
    whole.resize(2);
    whole.update(&vec![1; first.len()], &first).unwrap();
    let state = whole.state(&[1]).unwrap();
    let mut other = function.accumulator().unwrap();
    other.resize(1);
    other.merge_state(&[0], &state).unwrap();
    assert_eq!(other.state(&[0]).unwrap(), state, "{}", function.name());
    whole.update(&vec![1; rest.len()], &rest).unwrap();
    other.update(&vec![0; rest.len()], &rest).unwrap();
    assert_eq!(other.state(&[0]).unwrap(), whole.state(&[1]).unwrap(), "{}", function.name());
    assert_eq!(&other.emit(&[0]).unwrap(), &whole.emit(&[1]).unwrap(), "{}", function.name());
}

#[test]
fn a_state_that_is_taken_up_is_the_same_state() {
    // More than a sketch keeps exactly, in no order.
    let ints: ArrayRef = Arc::new(Int64Array::from_iter_values((0..30_000).map(|i| i * 7919 % 30_011)));
    let field = Field::new("v", DataType::Int64, true);
    goes_on(&AggregateFn::quantiles(9, false, &field).unwrap(), &ints);
    goes_on(&AggregateFn::approx_distinct(100, &field).unwrap(), &ints);
    goes_on(&AggregateFn::top(5, true, &field).unwrap(), &ints);
    let floats: ArrayRef =
        Arc::new(Float64Array::from_iter((0..999).map(|i| (i % 5 > 0).then(|| 1e17 / f64::from(i) - 0.1))));
    for name in ["sum", "mean", "min", "max", "group", "count"] {
        goes_on(&function(name, &ints), &ints);
        goes_on(&function(name, &floats), &floats);
    }
    let odd: ArrayRef = Arc::new(Float64Array::from(vec![f64::INFINITY, 1.0, 2.0, f64::NEG_INFINITY]));
    goes_on(&function("max", &odd), &odd);
    goes_on(&function("min", &odd), &odd);
}
