//! Reads the transcripts: YAML, with window functions and triggers in Python's call syntax.

use crate::harness::Sim;
use purlin_api::time::SECOND;
use purlin_api::{AccumulationMode, Trigger, WindowFn, Windowing};
use purlin_grouping::panes::TimestampCombiner;
use saphyr::{LoadableYamlNode, Yaml};

/// One transcript.
#[derive(Debug)]
pub(super) struct Transcript {
    pub(super) name: String,
    pub(super) windowing: Windowing,
    pub(super) combiner: TimestampCombiner,
    /// The message it must be refused with.
    pub(super) error: Option<String>,
    pub(super) actions: Vec<Action>,
}

impl Transcript {
    pub(super) fn sim(&self) -> Sim {
        Sim::new(self.windowing.clone(), self.combiner)
    }
}

/// A transcript, or the name of one that is about a window function of the test's own.
pub(super) enum Parsed {
    Standard(Transcript),
    Other(String),
}

/// One line; times in seconds.
#[derive(Debug)]
pub(super) enum Action {
    Input(Vec<i64>),
    Watermark(i64),
    /// Processing time moves on by this much.
    Clock(i64),
    Expect(Vec<Expected>),
    State,
}

/// What is asked of a pane.
#[derive(Clone, Debug, Default)]
pub(super) struct Expected {
    pub(super) window: Option<(i64, i64)>,
    pub(super) values: Option<Vec<i64>>,
    pub(super) timestamp: Option<i64>,
    pub(super) index: Option<i64>,
    pub(super) nonspeculative_index: Option<i64>,
    pub(super) early: Option<bool>,
    pub(super) late: Option<bool>,
    pub(super) is_final: Option<bool>,
}

/// All transcripts of a file.
pub(super) fn transcripts(text: &str) -> Result<Vec<Parsed>, String> {
    // One line leaves out a space that YAML 1.2 asks for here and Beam's reader (1.1) does not.
    let text = text.replace("values:[", "values: [");
    Yaml::load_from_str(&text).map_err(|e| e.to_string())?.iter().map(transcript).collect()
}

fn transcript(doc: &Yaml<'_>) -> Result<Parsed, String> {
    let text = |key: &str| doc.as_mapping_get(key).and_then(Yaml::as_str);
    let name = text("name").unwrap_or("unnamed").to_owned();
    let window_fn = text("window_fn").unwrap_or("GlobalWindows");
    if window_fn.starts_with("CustomTimestampingFixedWindows") {
        return Ok(Parsed::Other(name));
    }
    let accumulation = match text("accumulation_mode").unwrap_or("accumulating").to_lowercase().as_str() {
        "accumulating" => AccumulationMode::Accumulating,
        "discarding" => AccumulationMode::Discarding,
        other => return Err(format!("{name}: accumulation mode {other}")),
    };
    let combiner = match text("timestamp_combiner").unwrap_or("OUTPUT_AT_EOW") {
        "OUTPUT_AT_EOW" => TimestampCombiner::EndOfWindow,
        "OUTPUT_AT_EARLIEST" => TimestampCombiner::Earliest,
        "OUTPUT_AT_LATEST" => TimestampCombiner::Latest,
        other => return Err(format!("{name}: timestamp combiner {other}")),
    };
    let lateness = match doc.as_mapping_get("allowed_lateness") {
        None => 0,
        Some(v) => v.as_integer().ok_or_else(|| format!("{name}: allowed_lateness"))?,
    };
    let actions = doc.as_mapping_get("transcript").and_then(Yaml::as_sequence);
    let actions = actions.ok_or_else(|| format!("{name}: no transcript"))?.iter().map(action);
    Ok(Parsed::Standard(Transcript {
        windowing: Windowing {
            window_fn: windows(&Call::parse(window_fn)?)?,
            trigger: trigger(&Call::parse(text("trigger_fn").unwrap_or("Default"))?)?,
            accumulation,
            allowed_lateness: lateness * SECOND,
            late_output: None,
        },
        combiner,
        error: text("error").map(str::to_owned),
        actions: actions.collect::<Result<_, _>>().map_err(|e| format!("{name}: {e}"))?,
        name,
    }))
}

fn action(line: &Yaml<'_>) -> Result<Action, String> {
    let map = line.as_mapping().filter(|m| m.len() == 1).and_then(|m| m.iter().next());
    let (word, value) = map.ok_or("a line must have one action")?;
    let number = || value.as_integer().ok_or("not a number".to_owned());
    match word.as_str() {
        Some("input") => Ok(Action::Input(numbers(value)?)),
        Some("watermark") => Ok(Action::Watermark(number()?)),
        Some("clock") => Ok(Action::Clock(number()?)),
        Some("state") => Ok(Action::State),
        Some("expect") => {
            let panes = value.as_sequence().ok_or("`expect` is not a list")?;
            Ok(Action::Expect(panes.iter().map(expected).collect::<Result<_, _>>()?))
        }
        other => Err(format!("Unknown action: {other:?}")),
    }
}

fn expected(pane: &Yaml<'_>) -> Result<Expected, String> {
    let mut e = Expected::default();
    for (key, value) in pane.as_mapping().ok_or("a pane is not a mapping")? {
        let key = key.as_str().ok_or("a key is not text")?;
        let number = || value.as_integer().ok_or(format!("{key} is not a number"));
        let flag = || value.as_bool().ok_or(format!("{key} is not true or false"));
        match key {
            "window" => match numbers(value)?.as_slice() {
                [start, end] => e.window = Some((*start, *end)),
                _ => return Err("a window has a start and an end".to_owned()),
            },
            "values" => {
                let mut values = numbers(value)?;
                values.sort_unstable();
                e.values = Some(values);
            }
            "timestamp" => e.timestamp = Some(number()?),
            "index" => e.index = Some(number()?),
            "nonspeculative_index" => e.nonspeculative_index = Some(number()?),
            "early" => e.early = Some(flag()?),
            "late" => e.late = Some(flag()?),
            "final" => e.is_final = Some(flag()?),
            other => return Err(format!("unknown attribute {other}")),
        }
    }
    Ok(e)
}

fn numbers(list: &Yaml<'_>) -> Result<Vec<i64>, String> {
    let list = list.as_sequence().ok_or("not a list")?;
    list.iter().map(|v| v.as_integer().ok_or("not a number".to_owned())).collect()
}

/// `Name(arg, name=arg)`, or a number.
#[derive(Debug, PartialEq)]
struct Call {
    name: String,
    args: Vec<Call>,
    named: Vec<(String, Call)>,
}

impl Call {
    fn parse(text: &str) -> Result<Call, String> {
        let text = text.trim();
        let Some((name, rest)) = text.split_once('(') else {
            return Ok(Call { name: text.to_owned(), args: Vec::new(), named: Vec::new() });
        };
        let inner = rest.strip_suffix(')').ok_or_else(|| format!("`{text}` does not end"))?;
        let mut call = Call { name: name.trim().to_owned(), args: Vec::new(), named: Vec::new() };
        for arg in split(inner) {
            // An `=` of this call stands before any bracket.
            match arg.split_once('=').filter(|(name, _)| !name.contains('(')) {
                Some((name, value)) => call.named.push((name.trim().to_owned(), Call::parse(value)?)),
                None => call.args.push(Call::parse(arg)?),
            }
        }
        Ok(call)
    }

    fn number(&self) -> Result<i64, String> {
        self.name.parse().map_err(|_| format!("Unknown function: {}", self.name))
    }

    /// The argument with this place or name.
    fn arg(&self, place: usize, name: &str) -> Option<&Call> {
        self.args.get(place).or_else(|| self.named.iter().find(|(n, _)| n == name).map(|(_, c)| c))
    }

    fn seconds(&self, place: usize, name: &str, default: Option<i64>) -> Result<i64, String> {
        match (self.arg(place, name), default) {
            (Some(c), _) => Ok(c.number()? * SECOND),
            (None, Some(d)) => Ok(d),
            (None, None) => Err(format!("{} needs `{name}`", self.name)),
        }
    }
}

/// Cuts at the commas that stand in no bracket.
fn split(text: &str) -> Vec<&str> {
    let (mut parts, mut start, mut depth) = (Vec::new(), 0, 0);
    for (i, c) in text.char_indices() {
        match c {
            '(' | '[' => depth += 1,
            ')' | ']' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&text[start..i]);
                start = i + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts.retain(|p| !p.trim().is_empty());
    parts
}

fn windows(call: &Call) -> Result<WindowFn, String> {
    match call.name.as_str() {
        "GlobalWindows" => Ok(WindowFn::Global),
        "FixedWindows" => Ok(WindowFn::Fixed {
            size: call.seconds(0, "size", None)?,
            offset: call.seconds(1, "offset", Some(0))?,
        }),
        "SlidingWindows" => Ok(WindowFn::Sliding {
            size: call.seconds(0, "size", None)?,
            period: call.seconds(1, "period", None)?,
            offset: call.seconds(2, "offset", Some(0))?,
        }),
        "Sessions" => Ok(WindowFn::Sessions { gap: call.seconds(0, "gap_size", None)? }),
        other => Err(format!("Unknown function: {other}")),
    }
}

fn trigger(call: &Call) -> Result<Trigger, String> {
    let list = || call.args.iter().map(trigger).collect::<Result<Vec<_>, _>>();
    let part = |place, name| call.arg(place, name).map(|c| trigger(c).map(Box::new)).transpose();
    match call.name.as_str() {
        "Default" | "DefaultTrigger" => Ok(Trigger::Default),
        "AfterWatermark" => Ok(Trigger::AfterWatermark { early: part(0, "early")?, late: part(1, "late")? }),
        "AfterProcessingTime" => Ok(Trigger::AfterProcessingTime(call.seconds(0, "delay", Some(0))?)),
        "AfterCount" => {
            let n = call.arg(0, "count").ok_or("AfterCount needs a count")?.number()?;
            Ok(Trigger::AfterCount(u64::try_from(n).map_err(|e| e.to_string())?))
        }
        "Repeatedly" => Ok(Trigger::Repeatedly(part(0, "underlying")?.ok_or("Repeatedly needs a trigger")?)),
        "AfterAny" | "OrFinally" => Ok(Trigger::AfterAny(list()?)),
        "AfterAll" => Ok(Trigger::AfterAll(list()?)),
        "AfterEach" => Ok(Trigger::AfterEach(list()?)),
        other => Err(format!("Unknown function: {other}")),
    }
}

#[test]
fn calls_nest() {
    let call = Call::parse(
        "AfterWatermark(early=AfterCount(3), late=AfterAny(AfterCount(1), AfterProcessingTime(2)))",
    );
    let late = Trigger::AfterAny(vec![Trigger::AfterCount(1), Trigger::AfterProcessingTime(2 * SECOND)]);
    let expected =
        Trigger::AfterWatermark { early: Some(Box::new(Trigger::AfterCount(3))), late: Some(Box::new(late)) };
    assert_eq!(trigger(&call.expect("it parses")), Ok(expected));
    assert!(Call::parse("AfterCount(3").is_err());
    assert!(trigger(&Call::parse("AfterFoo(3)").expect("it parses")).is_err());
}
