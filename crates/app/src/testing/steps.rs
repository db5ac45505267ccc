//! The steps of a timed test, as they are written.

use purlin_api::EventTime;
use purlin_spec::config::{FromNode, check_keys, wrong_kind};
use purlin_spec::types::Duration;
use purlin_spec::vocabulary::{TIMED_STEPS, TIMED_TEST};
use purlin_spec::{Diagnostic, Diagnostics, Node, Span, Value, suggest};

/// One entry of `x-purlin: tests:`.
#[derive(Clone, Debug)]
pub(crate) struct TimedTest {
    pub(crate) name: String,
    pub(crate) span: Span,
    pub(crate) steps: Vec<Step>,
}

/// One step, and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) span: Span,
    pub(crate) what: What,
}

/// What a step does.
#[derive(Clone, Debug)]
pub(crate) enum What {
    /// Rows of transforms, as if they had just given them.
    Give(Vec<(Name, Vec<GivenRow>)>),
    /// The watermark of some transforms (all that give rows, if none is named) moves to an instant.
    Watermark(Vec<(Option<Name>, EventTime)>),
    /// Processing time moves on by a duration, in microseconds.
    Clock(i64),
    /// These have nothing for now.
    Idle(Vec<Name>),
    /// All that give rows have ended.
    End,
    /// What came out of transforms since the step before, and where the expectation stands.
    Expect(Vec<(Name, Vec<ExpectedRow>, Span)>),
}

/// A name in the file, and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Name {
    pub(crate) text: String,
    pub(crate) span: Span,
}

/// A row that a test gives.
#[derive(Clone, Debug)]
pub(crate) struct GivenRow {
    pub(crate) at: EventTime,
    pub(crate) row: Node,
}

/// A row that a test expects; what is `None` may be anything.
#[derive(Clone, Debug)]
pub(crate) struct ExpectedRow {
    pub(crate) row: serde_json::Value,
    pub(crate) at: Option<EventTime>,
    /// Start and end; `None` inside for the global window.
    pub(crate) window: Option<Option<(EventTime, EventTime)>>,
    pub(crate) pane: Option<serde_json::Map<String, serde_json::Value>>,
}

/// Reads `tests` of an `x-purlin` block.
pub(crate) fn parse_tests(tests: &Node, d: &mut Diagnostics) -> Vec<TimedTest> {
    let Some(list) = tests.as_list() else {
        wrong_kind(tests, "a list of tests", d);
        return Vec::new();
    };
    list.iter().filter_map(|n| parse_test(n, d)).collect()
}

fn parse_test(node: &Node, d: &mut Diagnostics) -> Option<TimedTest> {
    if !check_keys(node, "a timed test", TIMED_TEST, d) {
        return None;
    }
    let name = node.get("name").and_then(Node::scalar_text).unwrap_or_else(|| "unnamed".to_owned());
    let Some(steps) = node.get("steps").and_then(Node::as_list) else {
        d.push(
            Diagnostic::error("timed/no-steps", node.span, format!("the timed test `{name}` has no steps"))
                .help("give it `steps:`, a list of give, advance_watermark, advance_clock, idle, end and expect"),
        );
        return None;
    };
    let steps: Vec<Option<Step>> = steps.iter().map(|s| parse_step(s, d)).collect();
    Some(TimedTest { name, span: node.span, steps: steps.into_iter().collect::<Option<_>>()? })
}

fn parse_step(node: &Node, d: &mut Diagnostics) -> Option<Step> {
    if let Some("end") = node.as_text() {
        return Some(Step { span: node.span, what: What::End });
    }
    if !check_keys(node, "a step", TIMED_STEPS, d) {
        return None;
    }
    let map = node.as_map()?;
    let (Some((verb, entry)), 1) = (map.first(), map.len()) else {
        d.push(
            Diagnostic::error(
                "timed/step",
                node.span,
                format!("a step does one thing, this has {}", map.len()),
            )
            .help("write each as an item of the list: `- give: …`, `- advance_watermark: …`, `- expect: …`"),
        );
        return None;
    };
    let arg = &entry.node;
    let what = match verb.as_str() {
        "give" => What::Give(by_name(arg, d, |rows, d| each(rows, d, given_row))?),
        "advance_watermark" => match &arg.value {
            Value::Map(_) => {
                What::Watermark(by_name(arg, d, instant)?.into_iter().map(|(n, t)| (Some(n), t)).collect())
            }
            _ => What::Watermark(vec![(None, instant(arg, d)?)]),
        },
        "advance_clock" => What::Clock(forward(arg, d)?),
        "idle" => {
            let items = arg.as_list().map_or_else(|| vec![arg.clone()], <[Node]>::to_vec);
            What::Idle(items.iter().map(|n| name_of(n, d)).collect::<Option<_>>()?)
        }
        "end" => What::End,
        _ => What::Expect(
            by_name(arg, d, |rows, d| Some((each(rows, d, expected_row)?, rows.span)))?
                .into_iter()
                .map(|(n, (rows, span))| (n, rows, span))
                .collect(),
        ),
    };
    Some(Step { span: node.span, what })
}

/// A duration that is not negative, in microseconds: the clock does not go back.
fn forward(node: &Node, d: &mut Diagnostics) -> Option<i64> {
    let by = Duration::from_node(node, d)?.micros();
    if by < 0 {
        d.push(
            Diagnostic::error("timed/clock", node.span, "the clock goes forward only")
                .help("write how far it goes on, such as `30s`"),
        );
        return None;
    }
    Some(by)
}

fn by_name<T>(
    node: &Node,
    d: &mut Diagnostics,
    mut f: impl FnMut(&Node, &mut Diagnostics) -> Option<T>,
) -> Option<Vec<(Name, T)>> {
    let Some(map) = node.as_map() else {
        wrong_kind(node, "a mapping from transforms to rows, such as `{Purchases: [...]}`", d);
        return None;
    };
    let all: Vec<Option<(Name, T)>> =
        map.iter().map(|(k, e)| Some((Name { text: k.clone(), span: e.key }, f(&e.node, d)?))).collect();
    all.into_iter().collect()
}

fn each<T>(node: &Node, d: &mut Diagnostics, f: fn(&Node, &mut Diagnostics) -> Option<T>) -> Option<Vec<T>> {
    let Some(list) = node.as_list() else {
        wrong_kind(node, "a list of rows", d);
        return None;
    };
    let all: Vec<Option<T>> = list.iter().map(|n| f(n, d)).collect();
    all.into_iter().collect()
}

fn name_of(node: &Node, d: &mut Diagnostics) -> Option<Name> {
    let text = String::from_node(node, d)?;
    Some(Name { text, span: node.span })
}

/// True for `{row: {...}, at: …}` and its like; any other mapping is the row itself.
fn is_wrapped(node: &Node) -> bool {
    node.get("row").is_some_and(|r| r.as_map().is_some())
        && node
            .as_map()
            .is_some_and(|m| m.keys().all(|k| ["row", "at", "window", "pane"].contains(&k.as_str())))
}

/// Refuses `{rwo: {...}, at: 10s}`: it would silently be a row with the fields `rwo` and `at`.
fn no_slip(node: &Node, d: &mut Diagnostics) -> Option<()> {
    let map = node.as_map()?;
    const KEYS: &[&str] = &["row", "at", "window", "pane"];
    if node.get("row").is_some() && map.values().any(|e| e.node.as_map().is_some()) {
        // `row` is there: it is one of the others that is misspelt.
        let stray = map.iter().find(|(k, _)| !KEYS.contains(&k.as_str()) && !k.starts_with("__"));
        if let (Some((key, entry)), Some(near)) =
            (stray, stray.and_then(|(k, _)| suggest::nearest(k, KEYS.iter().copied())))
        {
            d.push(slip(key, entry.key, near));
            return None;
        }
        return Some(());
    }
    let beside = map.keys().any(|k| ["at", "window", "pane"].contains(&k.as_str()));
    let maps = map.iter().filter(|(_, e)| e.node.as_map().is_some());
    let near = maps.into_iter().find(|(k, _)| suggest::nearest(k, ["row"]).is_some());
    if let Some((key, entry)) = near.filter(|_| beside) {
        d.push(slip(key, entry.key, "row"));
        return None;
    }
    Some(())
}

fn slip(key: &str, span: Span, near: &str) -> Diagnostic {
    Diagnostic::error("config/unknown-field", span, format!("a row with its time has no field `{key}`"))
        .label("valid fields: row, at, window, pane")
        .help(format!("did you mean `{near}`?"))
}

fn given_row(node: &Node, d: &mut Diagnostics) -> Option<GivenRow> {
    if node.as_map().is_some() {
        no_slip(node, d)?;
    }
    if !is_wrapped(node) {
        return Some(GivenRow { at: EventTime::MIN, row: node.clone() });
    }
    let at = match node.get("at") {
        Some(at) => instant(at, d)?,
        None => EventTime::MIN,
    };
    if let Some(stray) = node.get("window").or_else(|| node.get("pane")) {
        d.push(
            Diagnostic::error(
                "timed/given-window",
                stray.span,
                "a given row has no window or pane of its own",
            )
            .help("give it a time with `at:`; the pipeline's windowing does the rest"),
        );
        return None;
    }
    Some(GivenRow { at, row: node.get("row")?.clone() })
}

fn expected_row(node: &Node, d: &mut Diagnostics) -> Option<ExpectedRow> {
    if node.as_map().is_some() {
        no_slip(node, d)?;
    }
    if !is_wrapped(node) {
        return Some(ExpectedRow { row: row_json(node), at: None, window: None, pane: None });
    }
    let at = match node.get("at") {
        Some(at) => Some(instant(at, d)?),
        None => None,
    };
    let window = match node.get("window") {
        None => None,
        Some(n) if n.as_text() == Some("global") => Some(None),
        Some(n) => match n.as_list() {
            Some([start, end]) => Some(Some((instant(start, d)?, instant(end, d)?))),
            _ => {
                wrong_kind(n, "`[start, end]` or `global`", d);
                return None;
            }
        },
    };
    let pane = match node.get("pane") {
        None => None,
        Some(n) => Some(pane(n, d)?),
    };
    Some(ExpectedRow { row: row_json(node.get("row")?), at, window, pane })
}

fn row_json(node: &Node) -> serde_json::Value {
    match node.to_json() {
        row @ serde_json::Value::Object(_) => row,
        scalar => serde_json::json!({ "element": scalar }),
    }
}

const TIMINGS: &[&str] = &["EARLY", "ON_TIME", "LATE", "UNKNOWN"];

/// The timing of a pane, in capitals.
fn timing(node: &Node, d: &mut Diagnostics) -> Option<String> {
    let text = String::from_node(node, d)?.to_uppercase();
    if !TIMINGS.contains(&text.as_str()) {
        d.push(
            Diagnostic::error("timed/timing", node.span, format!("a pane has no timing `{text}`"))
                .label(format!("one of: {}", TIMINGS.join(", ")))
                .maybe_help(suggest::did_you_mean(&text, TIMINGS.iter().copied())),
        );
        return None;
    }
    Some(text)
}

const PANE_KEYS: &[&str] = &["timing", "index", "nonspeculative_index", "is_first", "is_last"];

fn pane(node: &Node, d: &mut Diagnostics) -> Option<serde_json::Map<String, serde_json::Value>> {
    if node.as_text().is_some() {
        return Some([("timing".to_owned(), timing(node, d)?.into())].into_iter().collect());
    }
    if !check_keys(node, "a pane", PANE_KEYS, d) {
        return None;
    }
    if let Some(given) = node.get("timing") {
        timing(given, d)?;
    }
    match node.to_json() {
        serde_json::Value::Object(map) => Some(map),
        _ => None,
    }
}

/// An instant: seconds since 1970 (`30`, `1.5`), a duration since then (`2m`), or RFC 3339.
fn instant(node: &Node, d: &mut Diagnostics) -> Option<EventTime> {
    if let Some(text) = node.scalar_text() {
        if let Ok(since) = Duration::parse(&text) {
            return Some(EventTime(since.micros()).clamped());
        }
        if let Some(t) = purlin_api::time::parse_rfc3339(&text) {
            return Some(t);
        }
    }
    d.push(
        Diagnostic::error("timed/instant", node.span, "this is no instant")
            .help("write seconds since 1970 (`30`), a duration since then (`2m`), or `2024-03-05T10:00:00Z`"),
    );
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The problem of the one step of a test, as `message help`.
    fn problem(step: &str) -> String {
        let (node, _) = purlin_spec::yaml::parse_str(&format!("- {{name: t, steps: [{step}]}}"));
        let mut d = Diagnostics::default();
        parse_tests(&node.unwrap(), &mut d);
        d.iter().map(|d| format!("{} {}", d.message, d.help.join(" "))).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn slips_in_rows_and_panes_are_named() {
        for (step, says) in [
            ("{give: {A: [{rwo: {a: 1}, at: 1}]}}", "no field `rwo` did you mean `row`?"),
            ("{expect: {A: [{row: {a: 1}, panes: LATE}]}}", "no field `panes` did you mean `pane`?"),
            ("{expect: {A: [{row: {a: 1}, pane: ONTIME}]}}", "no timing `ONTIME` did you mean `ON_TIME`?"),
            ("{expect: {A: [{row: {a: 1}, pane: {timing: LAET}}]}}", "did you mean `LATE`?"),
            ("{advance_clock: -3}", "the clock goes forward only"),
            ("{advance_clok: 3}", "did you mean `advance_clock`?"),
        ] {
            assert!(problem(step).contains(says), "{step}: {}", problem(step));
        }
    }

    #[test]
    fn rows_may_have_any_fields() {
        for step in
            ["{give: {A: [{at: 1, b: {c: 2}}]}}", "{give: {A: [{rows: {a: 1}}]}}", "{expect: {A: [5, x]}}"]
        {
            assert_eq!(problem(step), "");
        }
    }
}
