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

fn json(text: &str) -> String {
    good(text).to_json().to_string()
}

/// `code line:column-line:column` of each problem.
fn problems(text: &str) -> Vec<String> {
    let (_, d) = parse_str(text);
    let place = |s: Span| format!("{}:{}-{}:{}", s.start.line, s.start.column, s.end.line, s.end.column);
    d.iter().map(|d| format!("{} {}", d.code, d.span.map(place).unwrap_or_default())).collect()
}

fn under(node: &Node) -> (u32, u32, u32, u32) {
    let s = node.span;
    (s.start.line, s.start.column, s.end.line, s.end.column)
}

#[test]
fn structures_are_those_of_pyyaml() {
    for (text, wanted) in [
        ("- a\n -b", r#"["a -b"]"#),
        ("{a: b:c}", r#"{"a":"b:c"}"#),
        ("- - - a\n    - b", r#"[[["a","b"]]]"#),
        ("a: |2\n   x", r#"{"a":" x"}"#),
        ("a: |\n  x\n", r#"{"a":"x\n"}"#),
        ("a: |\n  x\n\nb: >-\n  y\n  z\n", r#"{"a":"x\n","b":"y z"}"#),
        ("a: b #c\nd: b#c", r#"{"a":"b","d":"b#c"}"#),
        ("x: {a, b}", r#"{"x":{"a":null,"b":null}}"#),
        ("x: [a: 1]", r#"{"x":[{"a":1}]}"#),
        ("a:\n- 1\n- 2", r#"{"a":[1,2]}"#),
        ("\u{feff}a: 1", r#"{"a":1}"#),
        ("a: 1\r\nb: 2\r\n", r#"{"a":1,"b":2}"#),
        ("[a,]", r#"["a"]"#),
        ("%YAML 1.1\n---\na: 1\n...\n", r#"{"a":1}"#),
        ("", "null"),
        ("# only\n", "null"),
    ] {
        assert_eq!(json(text), wanted, "{text:?}");
    }
}

#[test]
fn tags_decide_the_type() {
    assert_eq!(
        json(
            "[!!str 12, !!int '7', !!float 12, !!float 1e3, !!bool 'YES', !!null x, ! 12, !!seq [], !!map {}]"
        ),
        r#"["12",7,12.0,1000.0,true,null,12,[],{}]"#
    );
    assert_eq!(good("!!timestamp 2024-01-02").value, Value::Date("2024-01-02".into()));
    for text in ["!foo b", "!!int x", "!!set {a}", "!!binary aGk=", "!!bool 1", "!!map []"] {
        assert!(problems(text)[0].starts_with("yaml/tag 1:"), "{text}: {:?}", problems(text));
    }
}

#[test]
fn raw_is_kept_for_plain_scalars_only() {
    let node = good("[1.50, 'yes', yes, ~, !!str 7]");
    let raw: Vec<_> = node.as_list().unwrap().iter().map(|n| n.raw.as_deref()).collect();
    assert_eq!(raw, [Some("1.50"), None, Some("yes"), Some("~"), None]);
    assert_eq!(good("a:").get("a").unwrap().raw, None);
}

#[test]
fn keys_become_text_by_their_spelling() {
    assert_eq!(json("1: 2\n~: 3\n2.50: 1\nyes: 2\n'q': 4\n"), r#"{"1":2,"~":3,"2.50":1,"yes":2,"q":4}"#);
    assert_eq!(problems("? [a]\n: b"), ["yaml/key 1:3-1:6"]);
    assert_eq!(problems("a: {{ x }}"), ["yaml/key 1:5-1:10"]);
}

#[test]
fn the_last_of_two_equal_keys_wins() {
    assert_eq!(json("a: 1\nb: 2\na: 3"), r#"{"a":3,"b":2}"#);
    assert_eq!(problems("a: 1\nb: 2\na: 3"), ["yaml/duplicate-key 3:1-3:2"]);
    assert!(!parse_str("a: 1\na: 3").1.has_errors());
}

#[test]
fn merge_keys_give_way_to_own_keys() {
    assert_eq!(json("<<: {a: 1, b: 1}\nb: 2"), r#"{"a":1,"b":2}"#);
    assert_eq!(json("{b: 9, <<: [{a: 1, b: 1}, {a: 2, c: 2}], d: 1}"), r#"{"a":1,"c":2,"b":9,"d":1}"#);
    assert_eq!(json("- &base {a: 1, b: x}\n- {<<: *base, a: 2}"), r#"[{"a":1,"b":"x"},{"a":2,"b":"x"}]"#);
    assert_eq!(json("'<<': 1"), r#"{"<<":1}"#);
    assert!(problems("<<: {a: 1}\na: 2").is_empty());
    assert_eq!(problems("<<: 1"), ["yaml/merge 1:5-1:6"]);
    assert_eq!(problems("<<: [1]"), ["yaml/merge 1:6-1:7"]);
}

#[test]
fn anchors_repeat_values() {
    assert_eq!(json("&a a: *a"), r#"{"a":"a"}"#);
    assert_eq!(json("[&x {k: [1]}, *x, *x]"), r#"[{"k":[1]},{"k":[1]},{"k":[1]}]"#);
    assert_eq!(under(&good("[&x 1, *x]").as_list().unwrap()[1]), (1, 8, 1, 10));
    assert_eq!(problems("a: &x [*x]"), ["yaml/recursive-alias 1:8-1:10"]);
    assert_eq!(problems("a: *b"), ["yaml/syntax 1:4-1:5"]);
}

#[test]
fn what_unfolds_without_end_is_refused() {
    let mut laughs = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for i in 1..12 {
        let list = vec![format!("*a{}", i - 1); 10].join(", ");
        laughs.push_str(&format!("a{i}: &a{i} [{list}]\n"));
    }
    assert!(problems(&laughs)[0].starts_with("yaml/too-large "));
    // Long text counts too.
    let long = format!("a: &a {}\nb: [{}]\n", "x".repeat(1 << 20), vec!["*a"; 100].join(", "));
    assert!(problems(&long)[0].starts_with("yaml/too-large "));
    // So does a value under many anchors of its own.
    let nested: String = (0..150).map(|i| format!("{}k: &a{i}\n", " ".repeat(i))).collect();
    let items: String = (0..20_000).map(|_| format!("{}- x\n", " ".repeat(150))).collect();
    assert!(problems(&format!("{nested}{items}"))[0].starts_with("yaml/too-large "));
}

#[test]
fn deep_nesting_is_refused() {
    let list = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
    good(&list(200));
    assert!(problems(&list(201))[0].starts_with("yaml/too-deep "));
    for text in ["[".repeat(100_000), "- ".repeat(100_000), "{a: ".repeat(100_000), "? ".repeat(100_000)] {
        assert!(!problems(&text).is_empty());
    }
    let step =
        |i: usize| format!("a{i}: &a{i} [{}]\n", if i == 0 { "x".into() } else { format!("*a{}", i - 1) });
    let chain: String = (0..300).map(step).collect();
    assert!(problems(&chain)[0].starts_with("yaml/too-deep "));
}

#[test]
fn one_document_only() {
    assert_eq!(problems("a: 1\n---\nb: 2"), ["yaml/many-documents 2:1-2:4"]);
}

#[test]
fn tabs_are_named() {
    for (text, wanted) in [
        ("a:\n\tb: 1", "yaml/tab 2:1-2:2"),
        ("a:\n  b: 1\n\tc: 2", "yaml/tab 3:1-3:2"),
        ("a:\n  - x\n \t- y: 1", "yaml/tab 3:2-3:3"),
        ("a: |\n\ttext", "yaml/tab 2:1-2:2"),
        ("a:\tb", "yaml/tab 1:3-1:4"),
    ] {
        assert_eq!(problems(text), [wanted], "{text:?}");
    }
    assert_eq!(json("a: 'x\ty'"), r#"{"a":"x\ty"}"#);
}

#[test]
fn syntax_errors_have_a_place_and_help() {
    for (text, place, help) in [
        ("k: é: y", "1:5-1:6", "quotes"),
        ("a: @x", "1:4-1:5", "quotes"),
        ("a: %x", "1:4-1:5", "quotes"),
        ("a: 'x", "1:4-1:5", "same quote"),
        ("a: \"\\q\"", "1:4-1:5", "single quotes"),
        ("a: [1, 2", "1:8-1:9", "close it with `]`"),
        ("a: ]", "1:4-1:5", "remove it"),
        ("a: 1\n b: 2", "2:3-2:4", "quotes"),
        ("a: -", "1:4-1:5", "line of its own"),
    ] {
        assert_eq!(problems(text), [format!("yaml/syntax {place}")], "{text:?}");
        let (_, d) = parse_str(text);
        assert!(
            d.iter().all(|d| d.help.iter().any(|h| h.contains(help)) && !d.label.is_empty()),
            "{text:?} {d:?}"
        );
    }
}

#[test]
fn no_such_day_is_an_error() {
    for text in ["2024-02-30", "2023-02-29", "2024-13-01", "2024-01-02 25:00:00", "0000-01-01"] {
        assert!(problems(text)[0].starts_with("yaml/date 1:1"), "{text}");
    }
    good("[2024-02-29, 2000-02-29]");
}

#[test]
fn places_count_characters() {
    let node = good("é: [x, 'ü', {k: v}]\nb:\n  - c: |\n      text\n      more\n    d:\n");
    assert_eq!(under(&node), (1, 1, 6, 6));
    let list = node.get("é").unwrap();
    assert_eq!(under(list), (1, 4, 1, 20));
    let items: Vec<_> = list.as_list().unwrap().iter().map(under).collect();
    assert_eq!(items, [(1, 5, 1, 6), (1, 8, 1, 11), (1, 13, 1, 19)]);
    let inner = &node.get("b").unwrap().as_list().unwrap()[0];
    assert_eq!(under(inner), (3, 5, 6, 6));
    // A block of text is placed where its letters are.
    assert_eq!(under(inner.get("c").unwrap()), (4, 7, 5, 11));
    // A value that is not there stands at its key.
    assert_eq!(under(inner.get("d").unwrap()), (6, 5, 6, 6));
    assert_eq!(under(good("\u{feff}a: b\r\nc: d\r\n").get("c").unwrap()), (2, 4, 2, 5));
}

#[test]
fn long_lines_and_long_files_are_read() {
    let long = format!("a: {}\nb: [{}]\n", "é ".repeat(500_000), vec!["1"; 100_000].join(","));
    assert_eq!(good(&long).get("b").unwrap().as_list().unwrap().len(), 100_000);
    let many: String = (0..50_000).map(|i| format!("k{i}: 1\n")).collect();
    assert_eq!(good(&many).get("k49999").unwrap().span.start.line, 50_000);
}

proptest! {
    #[test]
    fn any_text_parses_or_says_why(text in any::<String>()) {
        let (node, d) = parse_str(&text);
        prop_assert!(node.is_some() || d.has_errors());
    }

    #[test]
    fn yaml_like_text_parses_or_says_why(text in r#"([a-z0-9]|: |- |\n|\n  |\t|\{|\}|\[|\]|,|'|"|&a |\*a|<<|!!str |!|\||>|#|%|\?|---|\\|é|\r\n|\u{feff}|\u{85}){0,50}"#) {
        let (node, d) = parse_str(&text);
        prop_assert!(node.is_some() || d.has_errors());
        if let Some(node) = node {
            prop_assert!(node.span.start <= node.span.end);
        }
    }

    #[test]
    fn scalars_keep_their_spelling(text in "[0-9+._:xobeTZ -]{1,24}") {
        let (node, _) = parse_str(&format!("[\"{text}\"]"));
        let node = node.unwrap();
        prop_assert_eq!(node.as_list().unwrap()[0].as_text(), Some(text.as_str()));
        super::scalar::resolve(&text);
    }

    #[test]
    fn numbers_mean_what_they_say(i in any::<i64>(), f in any::<f64>()) {
        prop_assert_eq!(&good(&i.to_string()).value, &Value::Int(i));
        if f.is_finite() {
            let text = format!("{f:?}");
            let number = text.contains('.') && (text.contains("e-") || !text.contains('e'));
            let wanted = if !number { Value::Text(text.clone()) } else { Value::Float(f) };
            prop_assert_eq!(&good(&text).value, &wanted);
        }
    }
}

#[test]
fn indentation_inside_of_braces_and_quotes_means_nothing() {
    let same = |text: &str, plain: &str| {
        let (node, d) = parse_str(text);
        let node =
            node.unwrap_or_else(|| panic!("{text}: {:?}", d.iter().map(|d| &d.message).collect::<Vec<_>>()));
        assert_eq!(node.to_json(), parse_str(plain).0.unwrap().to_json(), "{text}");
    };
    let plain = "a: {needs: {x: , y: }, b: [1, 2]}";
    same("a:\n  needs: {\n    'x',\n    'y'\n  }\n  b: [\n    1,\n2\n]\n", plain);
    same("a:\n  needs: {\nx,\ny}\n  b: [1,\n  2\n  ]", plain);
    same("k:\n  t: \"one\ntwo\n\nthree\"\n  u: 'a\n b'\n", "k: {t: \"one two\\nthree\", u: a b}");
    // Places are those before lines were moved.
    let (node, _) = parse_str("a:\n  b: {\n    x: 1,\n  y: 2\n}\n");
    let node = node.unwrap();
    let y = node.get("a").and_then(|a| a.get("b")).and_then(|b| b.get("y")).unwrap();
    assert_eq!((y.span.start.line, y.span.start.column, y.span.end.column), (4, 6, 7));
    // What is wrong otherwise is told as it stands.
    let (none, d) = parse_str("a: {\n  b: [1,\n}\nc: 1\n");
    assert!(none.is_none() && d.has_errors());
}
