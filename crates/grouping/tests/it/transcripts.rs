//! Beam's own transcripts of what triggers do (`trigger_transcripts.yaml` of its Python SDK).
//!
//! A transcript is a list of actions (`input`, `watermark`, `clock`) with, after each, the panes that must
//! have come out (`expect`); what an `expect` leaves out of a pane may be anything. Panes that no `expect`
//! speaks of are errors, and so are expected ones that do not come. Transcripts with an `error` must be
//! refused with that message: they show that the runner can fail. `state` speaks of Beam's insides, and
//! Beam's runners pass over it too; `broken_on` names runners of Beam and does not concern us.
//!
//! As in Beam, each is run as it stands, with several keys (in several orders where order cannot matter),
//! and as a batch where it has no late rows.

use crate::harness::{Out, Sim, seconds};
use parse::{Action, Expected, Parsed, Transcript, transcripts};
use purlin_api::time::SECOND;
use purlin_api::{AccumulationMode, EventTime, Timing, Trigger, Window};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;

mod parse;

/// Finds the file; without it, tests are skipped loudly, and fail where the environment says `CI`.
fn data() -> Option<String> {
    let folder = std::env::var_os("PURLIN_BEAM_DATA").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/beam-data")),
        PathBuf::from,
    );
    let path = folder.join("trigger_transcripts.yaml");
    match std::fs::read_to_string(&path) {
        Ok(text) => Some(text),
        Err(e) => {
            let advice = format!(
                "\nSKIPPED: Beam's trigger transcripts. Cannot read {}: {e}.\n\
                 Fetch them with `testkit/fetch-beam-data.sh target/beam-data`.\n\n",
                path.display()
            );
            assert!(std::env::var_os("CI").is_none(), "{advice}");
            // Past the test harness, which keeps the output of passing tests to itself.
            std::io::stderr().write_all(advice.as_bytes()).expect("standard error");
            None
        }
    }
}

/// Runs every standard transcript; answers how many ran. `run` says `None` for those it does not suit.
fn run_all(run: impl Fn(&Transcript) -> Option<Result<(), String>>) -> Option<usize> {
    let text = data()?;
    let (mut ran, mut other, mut failures) = (0, Vec::new(), Vec::new());
    for parsed in transcripts(&text).expect("the file can be read") {
        let transcript = match parsed {
            Parsed::Standard(t) => t,
            Parsed::Other(name) => {
                other.push(name);
                continue;
            }
        };
        let Some(result) = run(&transcript) else { continue };
        ran += 1;
        let verdict = match (&transcript.error, result) {
            (None, result) => result,
            (Some(expected), Err(e)) if e.contains(expected) => Ok(()),
            (Some(expected), result) => Err(format!("should be refused with `{expected}`, got {result:?}")),
        };
        failures.extend(verdict.err().map(|e| format!("{}: {e}", transcript.name)));
    }
    assert!(failures.is_empty(), "{} of {ran} failed:\n{}", failures.len(), failures.join("\n"));
    assert_eq!(
        other,
        [
            "timestamp_combiner_custom_timestamping_eow",
            "timestamp_combiner_custom_timestamping_earliest",
            "timestamp_combiner_custom_timestamping_earliest",
        ],
        "the transcripts with window functions that are not standard"
    );
    Some(ran)
}

#[test]
fn as_they_stand() {
    if let Some(ran) = run_all(|t| Some(run_alone(t))) {
        assert_eq!(ran, 15);
    }
}

#[test]
fn with_several_keys() {
    if let Some(ran) = run_all(|t| Some(run_keyed(t))) {
        assert_eq!(ran, 15);
    }
}

#[test]
fn as_batches() {
    if let Some(ran) = run_all(run_batch) {
        assert_eq!(ran, 8);
    }
}

/// Each `expect` takes its panes out of what came; nothing may be left when time goes on.
fn run_alone(transcript: &Transcript) -> Result<(), String> {
    let mut sim = transcript.sim();
    let mut output: Vec<Out> = Vec::new();
    for action in &transcript.actions {
        match action {
            Action::Expect(expected) => {
                for e in expected {
                    let found = output.iter().position(|o| matches(o, e));
                    let found =
                        found.ok_or_else(|| format!("Unmatched output {e:?} in {}", show(&output)))?;
                    output.remove(found);
                }
                continue;
            }
            _ if output.is_empty() => {}
            _ => return Err(format!("Unexpected output: {} before {action:?}", show(&output))),
        }
        output = act(&mut sim, action, |values| values.iter().map(|v| ("key", *v)).collect());
    }
    if !output.is_empty() {
        return Err(format!("Unexpected output: {}", show(&output)));
    }
    end(&mut sim)
}

/// Several keys side by side, each of which must give what is expected. Where order cannot matter (the
/// default trigger, accumulating), every key gets its rows in another order.
fn run_keyed(transcript: &Transcript) -> Result<(), String> {
    let any_order = transcript.windowing.trigger == Trigger::Default
        && transcript.windowing.accumulation == AccumulationMode::Accumulating;
    let keys: &[&str] =
        if any_order { &["original", "reversed", "odd and even", "one by one"] } else { &["key1", "key2"] };
    let order = |values: &[i64]| {
        let mut rows = Vec::new();
        for key in keys.iter().filter(|k| **k != "one by one") {
            let mut values = values.to_vec();
            match *key {
                "reversed" => values.reverse(),
                "odd and even" => values.sort_by_key(|v| (v % 2, -v)),
                _ => {}
            }
            rows.extend(values.into_iter().map(|v| (*key, v)));
        }
        if keys.contains(&"one by one") {
            // In between those of the other keys.
            let apart = values.iter().enumerate().map(|(i, v)| (i * 2, ("one by one", *v)));
            apart.for_each(|(at, row)| rows.insert(at, row));
        }
        rows
    };
    let mut sim = transcript.sim();
    let mut output: Vec<Out> = Vec::new();
    for action in transcript.actions.iter().chain([&Action::Expect(Vec::new())]) {
        match action {
            Action::Expect(expected) => {
                check_keys(keys, &output, expected)?;
                output.clear();
            }
            _ => {
                check_keys(keys, &output, &[])?;
                output = act(&mut sim, action, order);
            }
        }
    }
    end(&mut sim)
}

fn check_keys(keys: &[&str], output: &[Out], expected: &[Expected]) -> Result<(), String> {
    keys.iter().try_for_each(|key| {
        let mine: Vec<Out> = output.iter().filter(|o| o.key == *key).cloned().collect();
        check(&mine, expected).map_err(|e| format!("{e} for {key}"))
    })
}

/// As many as expected, and each of them expected.
fn check(output: &[Out], expected: &[Expected]) -> Result<(), String> {
    let what = || format!("expected {expected:?} but got {}", show(output));
    if output.len() > expected.len() {
        return Err(format!("Unexpected output: {}", what()));
    }
    if output.len() < expected.len() || !output.iter().all(|o| expected.iter().any(|e| matches(o, e))) {
        return Err(format!("Unmatched output: {}", what()));
    }
    Ok(())
}

/// All rows, then the end of time: the last pane of each window must be what was expected last.
fn run_batch(transcript: &Transcript) -> Option<Result<(), String>> {
    if transcript.windowing.accumulation != AccumulationMode::Accumulating {
        return None;
    }
    let mut watermark = i64::MIN;
    let mut rows = Vec::new();
    let mut last: BTreeMap<(i64, i64), Expected> = BTreeMap::new();
    for action in &transcript.actions {
        match action {
            Action::Watermark(t) => watermark = *t,
            Action::Input(values) if values.iter().any(|v| *v <= watermark) => return None,
            Action::Input(values) => rows.extend(values),
            Action::Expect(expected) => {
                for e in expected {
                    let Some(window) = e.window else { return Some(Err("a pane without a window".into())) };
                    last.insert(
                        window,
                        Expected {
                            window: e.window,
                            values: e.values.clone(),
                            timestamp: e.timestamp,
                            ..Expected::default()
                        },
                    );
                }
            }
            Action::Clock(_) | Action::State => {}
        }
    }
    let mut sim = transcript.sim();
    let output = rows.iter().flat_map(|v| sim.row("key", *v, *v)).collect::<Vec<_>>();
    let output = output.into_iter().chain(sim.finish());
    let final_panes: BTreeMap<Window, Out> = output.map(|o| (o.window.clone(), o)).collect();
    let final_panes: Vec<Out> = final_panes.into_values().collect();
    Some(check(&final_panes, &last.into_values().collect::<Vec<_>>()))
}

fn act<'a>(sim: &mut Sim, action: &Action, rows: impl Fn(&[i64]) -> Vec<(&'a str, i64)>) -> Vec<Out> {
    match action {
        Action::Input(values) => rows(values).into_iter().flat_map(|(key, v)| sim.row(key, v, v)).collect(),
        Action::Watermark(t) => sim.watermark(*t),
        Action::Clock(d) => sim.clock(sim.now.0 / SECOND + d),
        Action::State | Action::Expect(_) => Vec::new(),
    }
}

/// After the end of time nothing is left.
fn end(sim: &mut Sim) -> Result<(), String> {
    sim.finish();
    if sim.driver.is_empty() && sim.holds.is_empty() && sim.output == EventTime::MAX {
        Ok(())
    } else {
        Err("something is left at the end of time".to_owned())
    }
}

fn matches(out: &Out, expected: &Expected) -> bool {
    fn same<T: PartialEq>(expected: &Option<T>, is: &T) -> bool {
        expected.as_ref().is_none_or(|e| e == is)
    }
    // Whole seconds, cut off, as Beam's runners differ in what is below.
    let second = |t: EventTime| t.0.div_euclid(SECOND);
    let window = (second(out.window.start().max(seconds(i64::MIN))), second(out.window.max_timestamp()));
    same(&expected.window, &window)
        && same(&expected.values, &out.values)
        && same(&expected.timestamp, &second(out.timestamp))
        && same(&expected.index, &out.pane.index)
        && same(&expected.nonspeculative_index, &out.pane.nonspeculative_index)
        && same(&expected.early, &(out.pane.timing == Timing::Early))
        && same(&expected.late, &(out.pane.timing == Timing::Late))
        && same(&expected.is_final, &out.pane.is_last)
}

fn show(output: &[Out]) -> String {
    format!("[{}]", output.iter().map(Out::show).collect::<Vec<_>>().join("; "))
}
