use super::*;
use crate::node::{Span, Value};
use proptest::prelude::*;

/// What PyYAML's safe loader makes of a plain scalar; `T` text, `D` date.
enum Py {
    N,
    B(bool),
    I(i64),
    Big(&'static str),
    F(f64),
    T,
    D,
}

/// Recorded from PyYAML 6.0.3.
const SCALARS: &[(&str, Py)] = {
    use Py::*;
    &[
    ("yes", B(true)),
    ("Yes", B(true)),
    ("YES", B(true)),
    ("yEs", T),
    ("no", B(false)),
    ("NO", B(false)),
    ("on", B(true)),
    ("On", B(true)),
    ("ON", B(true)),
    ("off", B(false)),
    ("OFF", B(false)),
    ("true", B(true)),
    ("TRUE", B(true)),
    ("tRUE", T),
    ("y", T),
    ("n", T),
    ("Y", T),
    ("N", T),
    ("null", N),
    ("Null", N),
    ("NULL", N),
    ("nULL", T),
    ("~", N),
    ("0", I(0)),
    ("1", I(1)),
    ("-1", I(-1)),
    ("+1", I(1)),
    ("007", I(7)),
    ("012", I(10)),
    ("-012", I(-10)),
    ("0o17", T),
    ("08", T),
    ("0_7", I(7)),
    ("0_", I(0)),
    ("00", I(0)),
    ("0x1F", I(31)),
    ("0X1F", T),
    ("-0xff", I(-255)),
    ("0b101", I(5)),
    ("-0b1", I(-1)),
    ("0b2", T),
    ("1_000", I(1000)),
    ("_1", T),
    ("1__0", I(10)),
    ("1_", I(1)),
    ("12:30:00", I(45000)),
    ("190:20:30", I(685230)),
    ("1:60", T),
    ("1:5", I(65)),
    ("-1:30", I(-90)),
    ("+1:30", I(90)),
    ("0:30", T),
    ("01:30", T),
    ("12:30:00.5", F(45000.5)),
    ("1:2.5", F(62.5)),
    ("1:30.", F(90.0)),
    ("1e3", T),
    ("1.0e+3", F(1000.0)),
    ("1.0e3", T),
    ("1.e+3", F(1000.0)),
    ("1.5", F(1.5)),
    ("1.", F(1.0)),
    (".5", F(0.5)),
    ("-.5", T),
    ("-1.5", F(-1.5)),
    ("+1.5", F(1.5)),
    ("._5", T),
    (".5_0", F(0.5)),
    ("1_0.5", F(10.5)),
    ("1.5_", F(1.5)),
    (".", T),
    ("-.", T),
    ("+.", T),
    ("1.5.2", T),
    (".inf", F(f64::INFINITY)),
    ("-.inf", F(f64::NEG_INFINITY)),
    ("+.Inf", F(f64::INFINITY)),
    (".INF", F(f64::INFINITY)),
    (".iNF", T),
    (".nan", F(f64::NAN)),
    (".NaN", F(f64::NAN)),
    (".NAN", F(f64::NAN)),
    ("-.nan", T),
    (".Nan", T),
    ("1.5e-3", F(0.0015)),
    ("1.5E+3", F(1500.0)),
    ("1.0e+", T),
    ("2024-01-02", D),
    ("2024-1-2", T),
    ("2024-01-2", T),
    ("2024-01-02T03:04:05Z", D),
    ("2024-1-2T3:04:05", D),
    ("2024-01-02t03:04:05.123", D),
    ("2024-01-02T03:04", T),
    ("2024-01-02T03:04:05+02:00", D),
    ("2024-01-02T03:04:05-2", D),
    ("2024-01-02T03:04:05+0200", T),
    ("20240102", I(20240102)),
    ("12345-01-01", T),
    ("9223372036854775807", I(9223372036854775807)),
    ("9223372036854775808", Big("9223372036854775808")),
    ("-9223372036854775808", I(-9223372036854775808)),
    ("-9223372036854775809", Big("-9223372036854775809")),
    ("0xFFFFFFFFFFFFFFFF", Big("18446744073709551615")),
    ("123456789012345678901234567890", Big("123456789012345678901234567890")),
    ("1,000", T),
    ("0.1.2", T),
    ("1-2", T),
    ("--", T),
    ("+", T),
    ("a", T),
    ("1a", T),
    ("0xg", T),
    ("1/2", T),
    ("-0", I(0)),
    ("0.0", F(0.0)),
    ("-0.0", F(-0.0)),
    ("1:2:3:4", I(223384)),
    ("00:00", T),
    ("1_2:3_0", T),
    ("1:3_0", T),
    ("100:00.0", F(6000.0)),
    ("0777777777777777777777777", Big("4722366482869645213695")),
    ("1e+3", T),
    ("+.5", T),
    ("-._5", T),
    ("0b_1", I(1)),
    ("+0b1", I(1)),
    ("+0x1f", I(31)),
    ("0b", T),
    ("0x", T),
    ("+", T),
    ("3.14abc", T),
    ("2024-01-02 03:04:05", D),
    ("2024-01-02 03:04:05 +02:00", D),
    ("2024-01-02  03:04:05.5  Z", D),
    ("2024-01-02 03:04", T),
    ("1 000", T),
    ("2024-01-02 03:04:05 Z ", D),
    ("on off", T),
    ]
};

fn good(text: &str) -> Node {
    let (node, d) = parse_str(text);
    assert!(!d.has_errors(), "{text:?}: {d:?}");
    node.unwrap()
}

#[test]
fn plain_scalars_mean_what_pyyaml_says() {
    for (text, wanted) in SCALARS {
        let node = good(&format!("- {text}"));
        let got = &node.as_list().unwrap()[0];
        let same = match (wanted, &got.value) {
            (Py::N, Value::Null) => true,
            (Py::B(a), Value::Bool(b)) => a == b,
            (Py::I(a), Value::Int(b)) => a == b,
            (Py::Big(a), Value::BigInt(b)) => a == b,
            (Py::F(a), Value::Float(b)) => a == b || (a.is_nan() && b.is_nan()),
            (Py::T, Value::Text(b)) => b == text.trim_end(),
            (Py::D, Value::Date(b)) => b == text.trim_end(),
            _ => false,
        };
        assert!(same, "{text}: {:?}", got.value);
        assert_eq!(got.raw.as_deref(), Some(text.trim_end()));
    }
}

#[test]
fn quirk() {
    for l in include_str!("/tmp/quirk.txt").split("\u{1}") {
        let (n, d) = parse_str(l);
        println!("{l:?} => {} {}", n.map_or("-".into(), |n| n.to_json().to_string()), d.iter().map(|d| format!("[{} {} {} / {} / {:?} {:?}]", d.code, d.message, d.label, d.help.join(";"), d.span.unwrap().start, d.span.unwrap().end.column)).collect::<String>());
    }
}
