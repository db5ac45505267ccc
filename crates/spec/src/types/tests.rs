use super::{Accumulation, Code, Duration, ErrorHandling, Expression, Trigger, WindowFn, Windowing};
use crate::config::FromNode;
use crate::diagnostic::Diagnostics;
use crate::node::{Node, Position, Sources};
use crate::template::LineMap;
use proptest::prelude::*;

/// Decodes a text; on failure its messages, joined.
fn decode<T: FromNode>(text: &str) -> Result<T, String> {
    let (node, _) = crate::yaml::parse_str(text);
    let mut d = Diagnostics::default();
    let value = T::from_node(&node.expect("test YAML"), &mut d);
    assert_eq!(value.is_none(), d.has_errors(), "a refusal says why: {text}");
    value.ok_or_else(|| d.iter().map(|x| format!("{}: {}", x.code, x.message)).collect::<Vec<_>>().join("; "))
}

#[test]
fn durations() {
    for (text, micros) in [
        ("30", 30_000_000),
        ("0.5", 500_000),
        ("1:30", 90_000_000),
        ("5s", 5_000_000),
        ("1.5h", 5_400_000_000),
        ("200ms", 200_000),
        ("0.0015ms", 2),
        ("-2m", -120_000_000),
        ("1d", 86_400_000_000),
        (".5s", 500_000),
        ("1.0e+3", 1_000_000_000),
    ] {
        assert_eq!(decode::<Duration>(text).map(Duration::micros), Ok(micros), "{text}");
    }
    for text in ["abc", "5y", "s", "1..2s", "1e", "99999999999999h", "[1]", "true", "1-2s", ".inf"] {
        assert!(decode::<Duration>(text).is_err(), "{text}");
    }
    assert_eq!(
        decode::<Duration>("5y"),
        Err("duration/invalid: duration `5y` has the unknown time unit `y`; valid units: ms, s, m, h, d"
            .to_owned())
    );
    assert!(Duration::in_days("1.5d") && !Duration::in_days("5") && !Duration::in_days("d"));
}

proptest! {
    #[test]
    fn any_duration_text(text in "[-+0-9.a-z ]{0,24}") {
        // No panic, and no empty reason.
        prop_assert!(Duration::parse(&text).err().is_none_or(|why| !why.is_empty()));
    }

    #[test]
    fn whole_numbers_are_exact(n in -1_000_000_i64..1_000_000) {
        prop_assert_eq!(Duration::parse(&format!("{n}ms")).map(Duration::micros), Ok(n * 1000));
    }
}

fn code(text: &str) -> Result<String, String> {
    decode::<Expression>(text).map(|e| match e.code {
        Code::Expression(s) => format!("expression {}", s.text),
        Code::Callable(s) => format!("callable {}", s.text),
        Code::File { path, name } => format!("file {} {}", path.value, name.value),
    })
}

#[test]
fn expressions() {
    for (text, wanted) in [
        ("a + b", "expression a + b"),
        ("5", "expression 5"),
        ("012", "expression 10"),
        ("yes", "expression True"),
        ("1.50", "expression 1.50"),
        ("1.0e+3", "expression 1000.0"),
        ("{expression: 2, output_type: integer}", "expression 2"),
        ("{callable: 'lambda r: r.x'}", "callable lambda r: r.x"),
        ("{path: a.py, name: f}", "file a.py f"),
    ] {
        assert_eq!(code(text), Ok(wanted.to_owned()), "{text}");
    }
    for (text, wanted) in [
        ("~", "config/wrong-type: expected an expression, found nothing"),
        ("2024-01-02", "expression/date: `2024-01-02` is a date in YAML, not an expression"),
        ("{}", "expression/form: this expression has neither `expression` nor `callable` nor `path`"),
        (
            "{path: a}",
            "expression/form: an expression with `path` needs the `name` of the function in that file",
        ),
        (
            "{expression: a, callable: b}",
            "expression/form: an expression cannot have both `expression` and `callable`",
        ),
        ("{expression: a, name: b}", "expression/form: `name` belongs to `path`, which is not given"),
        ("{expresion: a}", "config/unknown-field: an expression has no field `expresion`"),
        (
            "{expression: a, output_type: 5}",
            "config/wrong-type: expected a type name such as `string`, or a JSON schema, found an integer",
        ),
    ] {
        assert_eq!(code(text), Err(wanted.to_owned()), "{text}");
    }
}

/// The place in `text` of what starts at a place of the expression under `a`.
fn located(text: &str, line: u32, column: u32) -> (u32, u32) {
    let (mut sources, mut d) = (Sources::default(), Diagnostics::default());
    let file = sources.add("t", text);
    let node = crate::yaml::parse(file, text, &LineMap::identity(file), &sources, &mut d).expect("test YAML");
    let e = Expression::from_node(node.get("a").unwrap_or(&node), &mut d).expect("an expression");
    let (Code::Expression(s) | Code::Callable(s)) = e.code else { panic!("no code") };
    let span = s.locate(&sources, Position { line, column }, Position { line, column: column + 1 });
    (span.start.line, span.start.column)
}

#[test]
fn places_inside_code() {
    assert_eq!(located("a: x + y\n", 1, 5), (1, 8));
    assert_eq!(located("a: 'x + y'\n", 1, 5), (1, 9));
    assert_eq!(located("b: 1\na: \"ä + y\"\n", 1, 5), (2, 9));
    assert_eq!(located("a:\n  callable: |\n    def f(r):\n      return r.x\n", 2, 3), (4, 7));
    // Folded or escaped: only the whole is known.
    assert_eq!(located("a: 'it''s'\n", 1, 4), (1, 4));
}

#[test]
fn error_handling() {
    let e: ErrorHandling = decode("{output: bad, threshold: 0.5}").expect("good");
    assert_eq!((e.output.value.as_str(), e.threshold), ("bad", Some(0.5)));
    // One slip, one message.
    assert_eq!(
        decode::<ErrorHandling>("{outptu: bad}").err().as_deref(),
        Some("config/unknown-field: `error_handling` has no field `outptu`")
    );
    assert_eq!(
        decode::<ErrorHandling>("{}").err().as_deref(),
        Some("config/missing-field: `error_handling` needs the field `output`")
    );
}

const SECOND: Duration = Duration::from_micros(1_000_000);

#[test]
fn windowings() {
    let window = |text: &str| decode::<Windowing>(text).map(|w| w.window);
    assert_eq!(window("{type: global}"), Ok(WindowFn::Global));
    assert_eq!(
        window("{type: fixed, size: 1, offset: 0.5}"),
        Ok(WindowFn::Fixed { size: SECOND, offset: Duration::from_micros(500_000) })
    );
    assert_eq!(
        window("{type: sliding, size: 1s, period: 1s}"),
        Ok(WindowFn::Sliding { size: SECOND, period: SECOND, offset: Duration::ZERO })
    );
    assert_eq!(window("\"type: sessions\\ngap: 1s\""), Ok(WindowFn::Sessions { gap: SECOND }));
    let all: Windowing = decode("{type: fixed, size: 1, allowed_lateness: 1, accumulation_mode: accumulating, late_output: late, trigger: {after_count: 3}}").expect("good");
    assert_eq!(all.allowed_lateness, Some(SECOND));
    assert_eq!(all.accumulation_mode, Some(Accumulation::Accumulating));
    assert_eq!(all.trigger, Some(Trigger::AfterCount(3)));
    assert_eq!(all.late_output.map(|l| l.value), Some("late".to_owned()));
    assert_eq!(
        decode::<Windowing>("{type: fixed, size: 1, allowed_lateness: -1}").err().as_deref(),
        Some("windowing/not-positive: `allowed_lateness` must not be negative")
    );
}

#[test]
fn beam_compat_refuses_extensions() {
    let (node, _) = crate::yaml::parse_str("{type: fixed, size: 1, allowed_lateness: 1}");
    let node: Node = node.expect("test YAML");
    let mut d = Diagnostics::default();
    assert_eq!(Windowing::parse(&node, true, &mut d), None);
    assert!(d.iter().all(|x| x.message.contains("allowed_lateness")) && d.has_errors());
}

#[test]
fn triggers() {
    let count = |n| Box::new(Trigger::AfterCount(n));
    for (text, wanted) in [
        ("default", Trigger::Default),
        ("after_watermark", Trigger::AfterWatermark { early: None, late: None }),
        (
            "{after_watermark: {early: {repeatedly: {after_count: 1}}, late: {after_count: 2}}}",
            Trigger::AfterWatermark {
                early: Some(Box::new(Trigger::Repeatedly(count(1)))),
                late: Some(count(2)),
            },
        ),
        ("{after_processing_time: 1s}", Trigger::AfterProcessingTime(SECOND)),
        ("{after_any: [default, {after_count: 1}]}", Trigger::AfterAny(vec![Trigger::Default, *count(1)])),
        ("{after_all: [default]}", Trigger::AfterAll(vec![Trigger::Default])),
        ("{after_each: [default]}", Trigger::AfterEach(vec![Trigger::Default])),
    ] {
        assert_eq!(decode::<Trigger>(text), Ok(wanted), "{text}");
    }
    for text in [
        "5",
        "{}",
        "{after_count: 1, repeatedly: default}",
        "repeatedly",
        "{default: 1}",
        "{after_any: []}",
        "{after_any: default}",
        "{after_watermark: {earyl: default}}",
        "{after_processing_time: -1}",
    ] {
        assert!(decode::<Trigger>(text).is_err(), "{text}");
    }
    let deep = format!("{}default{}", "{repeatedly: ".repeat(40), "}".repeat(40));
    assert!(decode::<Trigger>(&deep).is_err());
}
