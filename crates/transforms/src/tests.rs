//! All transforms together: the reference's examples, and small chains from Create to the last row.

use super::*;
use purlin_api::source::Budget;
use purlin_api::testing::{self, Driver};
use purlin_api::{Batch, BuildCx, Catalog, InputShape, Running, SourceStatus};
use purlin_spec::types::Windowing;
use purlin_spec::{Diagnostics, Kind, Node, yaml};
use std::collections::BTreeSet;
use std::task::{Context, Poll, Waker};

fn parse(text: &str) -> Node {
    let (node, d) = yaml::parse_str(text);
    assert!(!d.has_errors(), "{text}\n{}", testing::describe(&d));
    node.unwrap()
}

/// The rows that the last transform of a chain gives on port 0, or what is wrong.
fn chain(text: &str, beam_compat: bool) -> Result<Vec<String>, String> {
    let catalog = Catalog::new([catalog()]);
    let mut flowing: Option<(InputShape, Vec<Batch>)> = None;
    for t in parse(text).as_list().unwrap() {
        let name = t.get("type").unwrap().as_text().unwrap();
        let empty = parse("{}");
        let mut d = Diagnostics::default();
        let decoded = (catalog.get(name).unwrap().decode)(t.get("config").unwrap_or(&empty), &mut d);
        let transform = decoded.ok_or_else(|| testing::describe(&d))?;
        let (inputs, batches): (Vec<InputShape>, Vec<Batch>) =
            flowing.take().map_or_else(Default::default, |(i, b)| (vec![i], b));
        let (inputs, batches) = match t.get("windowing") {
            Some(w) => {
                let windowing = windowing_from_spec(&Windowing::parse(w, beam_compat, &mut d).unwrap());
                let node = assign_windows(&inputs[0].shape, windowing);
                (vec![testing::input(node.outputs()[0].shape.clone())], drive(node.as_ref(), batches)?)
            }
            None => (inputs, batches),
        };
        let node = testing::bind(transform.as_ref(), &inputs, beam_compat)?;
        let cx = BuildCx::one_lane("T", 1024);
        let given = match node.build(&cx).unwrap() {
            Running::Source(mut source) => {
                let mut future = source.next(Budget { rows_max: 1 << 20, bytes_max: 1 << 30 });
                let Poll::Ready(pull) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) else {
                    panic!()
                };
                let pull = pull.unwrap();
                assert_eq!(pull.status, SourceStatus::Done);
                pull.batches.into_iter().map(|(_, b)| b).collect()
            }
            Running::Operator(_) => drive(node.as_ref(), batches)?,
            Running::Sink(_) | Running::Async(_) => panic!("only sources and operators here"),
        };
        let Some(output) = node.outputs().first() else { return Ok(Vec::new()) };
        flowing = Some((testing::input(output.shape.clone()), given));
    }
    let batches = flowing.map(|(_, b)| b).unwrap_or_default();
    let rows = batches
        .iter()
        .flat_map(|b| (0..b.len()).map(|r| purlin_api::json::row_to_json(&b.rows, r).to_string()));
    let mut rows: Vec<String> = rows.collect();
    rows.sort();
    Ok(rows)
}

fn drive(node: &dyn purlin_api::PlanNode, batches: Vec<Batch>) -> Result<Vec<Batch>, String> {
    let mut driver = Driver::new(node).unwrap();
    for batch in batches {
        driver.push(0, batch).map_err(|e| e.to_string())?;
    }
    driver.end().map_err(|e| e.to_string())?;
    driver.check_schemas(node).unwrap();
    Ok(driver.emitted.into_iter().filter(|(port, _)| *port == 0).map(|(_, b)| b).collect())
}

#[test]
fn every_transform_is_documented_with_an_example_that_decodes() {
    let mut names = BTreeSet::new();
    for entry in catalog() {
        let def = &entry.def;
        assert!(names.insert(def.name), "{} is listed twice", def.name);
        for field in (def.fields)() {
            assert!(field.doc.trim().len() > 10, "{}.{} has no doc", def.name, field.name);
            assert!(field.name != "error_handling" || def.error_handling, "{} handles errors", def.name);
            assert!(
                field.kind != Kind::Any || !field.required,
                "{}.{} says nothing of its kind",
                def.name,
                field.name
            );
        }
        let example = def.doc.split("```yaml\n").nth(1).and_then(|e| e.split("```").next());
        let example = example.unwrap_or_else(|| panic!("{} has no example", def.name));
        // Doc comments keep the space after the slashes.
        let example: String =
            example.lines().map(|l| format!("{}\n", l.strip_prefix(' ').unwrap_or(l))).collect();
        let list = parse(&example);
        let own =
            list.as_list().unwrap().iter().find(|t| t.get("type").and_then(Node::as_text) == Some(def.name));
        let empty = parse("{}");
        let mut d = Diagnostics::default();
        let config = own.expect("the example uses it").get("config").unwrap_or(&empty);
        assert!((entry.decode)(config, &mut d).is_some(), "{}: {}", def.name, testing::describe(&d));
    }
}

#[test]
fn sliding_windows_end_to_end() {
    let text = "
- {type: Create, config: {elements: [{k: a, t: 3, v: 1}, {k: a, t: 12, v: 2}, {k: a, t: 18, v: 4}]}}
- {type: AssignTimestamps, config: {timestamp: t}}
- {type: WindowInto, config: {windowing: {type: sliding, size: 20s, period: 10s}}}
- {type: Combine, config: {group_by: k, combine: {v: sum}}}
- {type: ExtractWindowingInfo, config: {fields: {w: window_string}}}
";
    assert_eq!(
        chain(text, false).unwrap(),
        [
            r#"{"k":"a","v":1,"w":"[-10.0, 10.0)"}"#,
            r#"{"k":"a","v":6,"w":"[10.0, 30.0)"}"#,
            r#"{"k":"a","v":7,"w":"[0.0, 20.0)"}"#
        ]
    );
}

#[test]
fn sessions_end_to_end() {
    let text = "
- {type: Create, config: {elements: [{u: a, t: 0}, {u: a, t: 10}, {u: a, t: 19}]}}
- {type: AssignTimestamps, config: {timestamp: t}}
- {type: Combine, windowing: {type: sessions, gap: 10s}, config: {group_by: u, combine: {n: {value: t, fn: count}}}}
- {type: ExtractWindowingInfo, config: {fields: {w: window_string}}}
";
    assert_eq!(
        chain(text, false).unwrap(),
        [r#"{"n":1,"u":"a","w":"[0.0, 10.0)"}"#, r#"{"n":2,"u":"a","w":"[10.0, 29.0)"}"#].map(|r| r
            .replace(r#""n":1,"u":"a""#, r#""u":"a","n":1"#)
            .replace(r#""n":2,"u":"a""#, r#""u":"a","n":2"#))
    );
}

#[test]
fn results_are_grouped_again_in_other_windows() {
    let text = "
- {type: Create, config: {elements: [{k: a, t: 1, v: 1}, {k: a, t: 11, v: 2}, {k: b, t: 12, v: 3}]}}
- {type: AssignTimestamps, config: {timestamp: t}}
- {type: Combine, windowing: {type: fixed, size: 10}, config: {group_by: k, combine: {v: sum}}}
- {type: Combine, windowing: {type: global}, config: {group_by: k, combine: {v: max}}}
";
    assert_eq!(chain(text, false).unwrap(), [r#"{"k":"a","v":2}"#, r#"{"k":"b","v":3}"#]);
}

#[test]
fn timestamps_are_numbers_in_python() {
    let text = "
- {type: Create, config: {elements: [{k: a, t: 3}, {k: a, t: 7}]}}
- {type: AssignTimestamps, config: {timestamp: t}}
- {type: Combine, windowing: {type: fixed, size: 10}, config: {group_by: k, combine: {t: max}}}
- {type: ExtractWindowingInfo, config: {fields: [timestamp, pane_info]}}
- {type: MapToFields, config: {language: python, fields: {t: t, ts: float(timestamp), when: pane_info.timing}}}
";
    assert_eq!(chain(text, false).unwrap(), [r#"{"t":7,"ts":9.999,"when":"ON_TIME"}"#]);
}

#[test]
fn words_are_split_exploded_and_counted() {
    let text = "
- {type: Create, config: {elements: [{text: 'rain, wind and rain.'}, {text: 'wind'}]}}
- {type: MapToFields, config: {language: python, fields: {word: \"[w.strip('.,').lower() for w in text.split()]\"}}}
- {type: Explode, config: {fields: word}}
- {type: Combine, config: {group_by: word, combine: {n: {value: word, fn: count}}}}
- {type: Filter, config: {keep: n > 1}}
- {type: AssertEqual, config: {elements: [{word: rain, n: 2}, {word: wind, n: 2}]}}
";
    assert_eq!(chain(text, false), Ok(Vec::new()));
}

#[test]
fn nothing_in_gives_nothing_out() {
    let text = "
- {type: Create, config: {elements: [{v: 2}]}}
- {type: Filter, config: {keep: v > 5}}
- {type: Combine, config: {group_by: [], combine: {n: {value: v, fn: count}}}}
";
    assert_eq!(chain(text, false), Ok(Vec::new()));
}

#[test]
fn nested_rows_are_read_by_path() {
    let text = "
- type: Create
  config:
    elements:
      - {id: 1, who: {name: Ann, tags: [a, b]}, pts: [{x: 1}, {x: 2}]}
      - {id: 2, who: {name: Bob, tags: []}, pts: []}
- type: MapToFields
  config: {language: python, fields: {id: id, name: who.name, ntags: len(who.tags), xs: '[p.x for p in pts]'}}
";
    assert_eq!(
        chain(text, false).unwrap(),
        [r#"{"id":1,"name":"Ann","ntags":2,"xs":[1,2]}"#, r#"{"id":2,"name":"Bob","ntags":0,"xs":[]}"#]
    );
}

#[test]
fn the_generic_language_widens_beyond_beam() {
    let text = "
- {type: Create, config: {elements: [{a: 1}, {a: 2}]}}
- {type: MapToFields, config: {fields: {big: 3000000000, half: 0.5, word: '\"x\"', same: a == 1}}}
";
    assert_eq!(
        chain(text, false).unwrap(),
        [
            r#"{"big":3000000000,"half":0.5,"word":"x","same":false}"#,
            r#"{"big":3000000000,"half":0.5,"word":"x","same":true}"#
        ]
    );
    assert!(chain(text, true).unwrap_err().contains("3000000000"));
}
