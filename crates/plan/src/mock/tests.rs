use super::mock;
use crate::testing::{Pipeline, elements, messages};
use purlin_spec::Diagnostics;
use purlin_spec::model::{Spec, TestSpec};
use serde_json::{Value, json};

const NONE: Value = Value::Null;

/// Src -> Words -> Explode -> Count -> Sink, and errors of Words to Bad.
fn pipeline() -> Pipeline {
    Pipeline::new()
        .add("Read", "Src", &[], &json!({"fields": {"line": "str"}}))
        .add("Map", "Words", &["Src"], &json!({"error_handling": {"output": "bad"}}))
        .add("Map", "Explode", &["Words"], &NONE)
        .add("Combine", "Count", &["Explode"], &json!({"group_by": ["line"]}))
        .add("WriteToJson", "Sink", &["Count"], &NONE)
        .add("WriteToJson", "Bad", &["Words.bad"], &NONE)
}

fn rows() -> Value {
    json!([{"line": "x"}])
}

/// Each leaf as `name: Type <- input.output, ...`.
fn shown(spec: &Spec) -> Vec<String> {
    let leaf = |l: &purlin_spec::model::Leaf| {
        let from: Vec<String> = l
            .inputs
            .iter()
            .flat_map(|i| &i.from)
            .map(|r| {
                let output = r.output.as_deref().map_or(String::new(), |o| format!(".{o}"));
                format!("{}{output}", spec.leaves[r.leaf].label())
            })
            .collect();
        format!("{}: {} <- {}", l.label(), l.type_name.value, from.join(", "))
            .trim_end_matches(" <- ")
            .to_owned()
    };
    assert!(spec.leaves.iter().enumerate().all(|(i, l)| l.id == i));
    spec.leaves.iter().map(leaf).collect()
}

fn cut(p: &Pipeline, test: &TestSpec) -> Result<Spec, Vec<String>> {
    let mut d = Diagnostics::default();
    mock(&p.spec, test, &mut d).ok_or_else(|| messages(&d))
}

#[test]
fn a_mocked_output_and_an_expected_input() {
    let test = TestSpec {
        mock_outputs: vec![elements("Src", &rows())],
        expected_inputs: vec![elements("Sink", &json!([]))],
        ..TestSpec::default()
    };
    let spec = cut(&pipeline(), &test).unwrap();
    assert_eq!(
        shown(&spec),
        [
            "Words: Map <- MockOutput[Src]",
            "Explode: Map <- Words",
            "Count: Combine <- Explode",
            "MockOutput[Src]: Create",
            "CheckExpectedInput[Sink]: AssertEqual <- Count"
        ]
    );
    assert_eq!(spec.leaves[3].config.to_json(), json!({"elements": rows()}));
    // Nobody reads the errors any more, which is fine in a test.
    assert_eq!(spec.leaves[0].error_output, None);
    let fields = json!({"elements": rows(), "fields": {"line": "str"}});
    let mut p = Pipeline { spec };
    p.spec.leaves[3].config = crate::testing::node(&fields);
    assert_eq!(p.messages(), [] as [&str; 0]);
}

#[test]
fn a_mocked_input_and_an_expected_output() {
    let test = TestSpec {
        mock_inputs: vec![elements("Explode", &rows())],
        expected_outputs: vec![elements("Explode", &rows())],
        ..TestSpec::default()
    };
    assert_eq!(
        shown(&cut(&pipeline(), &test).unwrap()),
        [
            "Explode: Map <- MockInput[Explode]",
            "MockInput[Explode]: Create",
            "CheckExpectedOutput[Explode]: AssertEqual <- Explode"
        ]
    );
}

#[test]
fn an_error_output_can_be_expected_and_mocked() {
    let test = TestSpec {
        mock_inputs: vec![elements("Words", &rows())],
        expected_outputs: vec![elements("Words.bad", &rows())],
        ..TestSpec::default()
    };
    let spec = cut(&pipeline(), &test).unwrap();
    assert_eq!(shown(&spec)[2], "CheckExpectedOutput[Words.bad]: AssertEqual <- Words.bad");
    assert!(spec.leaves[0].error_output.is_some());

    let test = TestSpec {
        mock_outputs: vec![elements("Words.bad", &rows()), elements("Words.good", &rows())],
        expected_inputs: vec![elements("Bad", &rows()), elements("Explode", &rows())],
        ..TestSpec::default()
    };
    assert_eq!(
        shown(&cut(&pipeline(), &test).unwrap()),
        [
            "MockOutput[Words.bad]: Create",
            "MockOutput[Words.good]: Create",
            "CheckExpectedInput[Bad]: AssertEqual <- MockOutput[Words.bad]",
            "CheckExpectedInput[Explode]: AssertEqual <- MockOutput[Words.good]"
        ]
    );
}

#[test]
fn used_outputs_beside_a_mocked_one_must_be_mocked() {
    let test = TestSpec {
        name: "t".to_owned(),
        mock_outputs: vec![elements("Words.bad", &rows())],
        expected_outputs: vec![elements("Explode", &rows())],
        ..TestSpec::default()
    };
    assert_eq!(
        cut(&pipeline(), &test).unwrap_err(),
        ["test/unmocked-output: Unmocked output `out` of `Words` in test `t`"]
    );
}

#[test]
fn a_source_runs_only_if_allowed_or_made_of_elements() {
    let test = |allowed: &[&str]| TestSpec {
        name: "t".to_owned(),
        expected_outputs: vec![elements("Explode", &rows())],
        allowed_sources: allowed.iter().map(|s| (*s).to_owned()).collect(),
        ..TestSpec::default()
    };
    assert_eq!(
        cut(&pipeline(), &test(&[])).unwrap_err(),
        ["test/source-not-mocked: Non-mocked source `Src` in test `t`"]
    );
    assert!(cut(&pipeline(), &test(&["Src"])).is_ok());
    assert!(cut(&pipeline(), &test(&["Read"])).is_ok());
    let p = Pipeline::new().add("Create", "C", &[], &NONE).add("Map", "Explode", &["C"], &NONE);
    assert!(cut(&p, &test(&[])).is_ok());
}

#[test]
fn wrong_names_and_tests_that_expect_nothing_are_refused() {
    let test = TestSpec { name: "t".to_owned(), ..TestSpec::default() };
    assert_eq!(cut(&pipeline(), &test).unwrap_err(), ["test/no-expectation: the test `t` expects nothing"]);
    let test = TestSpec { expected_outputs: vec![elements("Cuont", &rows())], ..TestSpec::default() };
    assert_eq!(cut(&pipeline(), &test).unwrap_err(), ["name/unknown: Unknown transform `Cuont`"]);
    let test = TestSpec { expected_outputs: vec![elements("Map", &rows())], ..TestSpec::default() };
    assert_eq!(cut(&pipeline(), &test).unwrap_err(), ["name/ambiguous: Ambiguous transform `Map`"]);
    let test = TestSpec { expected_inputs: vec![elements("Src", &rows())], ..TestSpec::default() };
    assert_eq!(
        cut(&pipeline(), &test).unwrap_err(),
        ["test/inputs: `Src` has 0 inputs; `expected_inputs` compares exactly one"]
    );
}

#[test]
fn composites_are_addressed_as_a_whole() {
    let p = Pipeline::new()
        .add("Read", "Src", &[], &NONE)
        .add("Map", "Comp/A", &["Src"], &NONE)
        .add("Map", "Comp/B", &["Comp/A"], &NONE)
        .add("WriteToJson", "Sink", &["Comp/B"], &NONE);
    let test = TestSpec {
        mock_inputs: vec![elements("Comp", &rows())],
        expected_outputs: vec![elements("Comp", &rows())],
        ..TestSpec::default()
    };
    assert_eq!(
        shown(&cut(&p, &test).unwrap()),
        [
            "Comp/A: Map <- MockInput[Comp]",
            "Comp/B: Map <- Comp/A",
            "MockInput[Comp]: Create",
            "CheckExpectedOutput[Comp]: AssertEqual <- Comp/B"
        ]
    );
    let test = TestSpec {
        mock_outputs: vec![elements("Comp", &rows()), elements("Src", &rows())],
        expected_inputs: vec![elements("Sink", &rows()), elements("Comp", &rows())],
        ..TestSpec::default()
    };
    assert_eq!(
        shown(&cut(&p, &test).unwrap())[2..],
        [
            "CheckExpectedInput[Sink]: AssertEqual <- MockOutput[Comp]",
            "CheckExpectedInput[Comp]: AssertEqual <- MockOutput[Src]"
        ]
    );
    let test = TestSpec { expected_outputs: vec![elements("A", &rows())], ..TestSpec::default() };
    assert_eq!(cut(&p, &test).unwrap_err(), ["name/unknown: Unknown transform `A`"]);
}
