//! Timed tests: panes, late rows and dead letters, step by step.

use crate::scratch::Scratch;

const PIPELINE: &str = "\
pipeline:
  transforms:
    - {type: ReadFromCsv, name: Purchases, config: {path: nowhere.csv}}
    - type: MapToFields
      name: Amounts
      input: Purchases
      config:
        language: python
        fields: {customer: customer, amount: int(amount)}
        error_handling: {output: failed}
    - type: Combine
      name: Totals
      input: Amounts
      windowing:
        type: fixed
        size: 30s
        trigger: {after_watermark: {early: {after_processing_time: 10s}, late: {after_count: 1}}}
        accumulation_mode: accumulating
        allowed_lateness: 1m
        late_output: too_late
      config: {group_by: customer, combine: {amount: sum}}
    - {type: WriteToJson, name: A, input: Totals, config: {path: a}}
    - {type: WriteToJson, name: B, input: Totals.too_late, config: {path: b}}
    - {type: WriteToJson, name: C, input: Amounts.failed, config: {path: c}}
x-purlin:
  tests:
    - name: early, on time, late, too late
      steps:
        - give: {Purchases: [{row: {customer: ann, amount: \"5\"}, at: 10s}]}
        - advance_clock: 9s
        - advance_clock: 1s
        - expect: {Totals: [{row: {customer: ann, amount: 5}, window: [0, 30], pane: {timing: EARLY, index: 0}}]}
        - give: {Purchases: [{row: {customer: ann, amount: \"2\"}, at: 11s}, {row: {customer: bob, amount: x}, at: 1s}]}
        - expect: {Amounts.failed: [{row: {element: {customer: bob, amount: x}, msg: \"ValueError(\\\"invalid literal for int() with base 10: 'x'\\\")\", stack: STACK}}]}
        - advance_watermark: 30s
        - expect: {Totals: [{row: {customer: ann, amount: 7}, pane: {timing: ON_TIME, index: 1}}]}
        - give: {Purchases: [{row: {customer: ann, amount: \"1\"}, at: 29s}]}
        - expect: {Totals: [{row: {customer: ann, amount: 8}, pane: {timing: LATE, index: 2}}]}
        - advance_watermark: 90s
        - give: {Purchases: [{row: {customer: ann, amount: \"1\"}, at: 29s}]}
        - expect: {Totals.too_late: [{customer: ann, amount: 1}]}
        - end
";

#[test]
fn every_pane_is_expected_when_it_comes() {
    let s = Scratch::new();
    // The text of `stack` is for people; the rest of the dead letter is checked to the letter.
    let without_dead = PIPELINE
        .lines()
        .filter(|l| !l.contains("STACK"))
        .map(|l| l.replace(", {row: {customer: bob, amount: x}, at: 1s}", ""))
        .collect::<Vec<_>>()
        .join("\n");
    s.write("p.yaml", &without_dead);
    let ran = s.purlin(&["test", "p.yaml"]);
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);

    let wrong = without_dead.replace("amount: 8", "amount: 9");
    s.write("w.yaml", wrong);
    let ran = s.purlin(&["test", "w.yaml"]);
    assert_eq!(ran.code, 1);
    assert!(
        ran.out.contains("came, not expected:     {\"row\":{\"customer\":\"ann\",\"amount\":8}"),
        "{}",
        ran.out
    );

    let unseen: Vec<&str> = without_dead.lines().filter(|l| !l.contains("timing: LATE")).collect();
    s.write("u.yaml", unseen.join("\n"));
    let ran = s.purlin(&["test", "u.yaml"]);
    assert!(ran.code == 1 && ran.out.contains("rows came that no `expect` took"), "{}", ran.out);
}

#[test]
fn dead_letters_are_expected_like_rows() {
    let s = Scratch::new();
    s.write("p.yaml", PIPELINE);
    let ran = s.purlin(&["test", "p.yaml"]);
    assert_eq!(ran.code, 1, "the stack is not known beforehand");
    assert!(ran.out.contains("invalid literal for int() with base 10: 'x'"), "{}", ran.out);
    let ran = s.purlin(&["test", "p.yaml", "--fix"]);
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
    let ran = s.purlin(&["test", "p.yaml"]);
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
}

#[test]
fn mistakes_in_a_timed_test_are_diagnostics() {
    let s = Scratch::new();
    for (from, to, wanted) in [
        ("advance_clock: 9s", "advance_clok: 9s", "did you mean `advance_clock`?"),
        ("at: 10s", "at: soon", "this is no instant"),
        ("- end", "- expect: {Totls: []}", "Totls"),
        ("- give: {Purchases: [{row: {customer: ann, amount: \"5\"}, at: 10s}]}", "- give: 5", "mapping"),
    ] {
        s.write("p.yaml", PIPELINE.replacen(from, to, 1));
        let ran = s.purlin(&["test", "p.yaml"]);
        assert!(ran.code > 0, "{to}: {ran:?}");
        let said = format!("{}{}", ran.out, ran.err);
        assert!(said.contains(wanted), "{to}: {said}");
        assert!(said.contains("p.yaml:") || said.contains("line"), "{to}: {said}");
    }
}

#[test]
fn a_script_that_cannot_be_played_says_why() {
    for (steps, says) in [
        (
            "- give: {S: []}\n        - advance_watermark: 10s\n        - advance_watermark: 5s",
            "the watermark is at 10 already; it goes forward only",
        ),
        ("- advance_watermark: 10s", "nothing gives rows in this test"),
        ("- give: {S: [{row: {a: 1}, pane: LATE}]}", "a given row has no window or pane"),
    ] {
        let s = Scratch::new();
        s.write(
            "p.yaml",
            format!(
                "pipeline:\n  transforms:\n    - {{type: Create, name: S, config: {{elements: [{{a: 1}}]}}}}\n\
                 x-purlin:\n  tests:\n    - name: t\n      steps:\n        {steps}\n        - expect: {{S: []}}\n"
            ),
        );
        let ran = s.purlin(&["test", "p.yaml"]);
        assert!(ran.code != 0 && format!("{}{}", ran.out, ran.err).contains(says), "{says}: {ran:?}");
    }
}
