use super::*;
use crate::testing::node_of;
use purlin_api::testing;
use purlin_spec::Sources;
use purlin_spec::config::Spanned;

fn validate(schema: &str, output: Option<&str>) -> ValidateWithSchema {
    let output = output.map(|o| Spanned { value: o.to_owned(), span: Default::default() });
    ValidateWithSchema {
        schema: JsonSchema(node_of(&serde_json::from_str(schema).unwrap())),
        error_handling: output.map(|output| ErrorHandling { output, threshold: None }),
    }
}

fn run(schema: &str, rows: &str) -> Result<Vec<String>, String> {
    testing::run(&validate(schema, None), &[rows], false).map(|(_, d)| d.rows(0))
}

#[test]
fn rows_are_checked_without_their_nulls() {
    let schema = r#"{"type": "object", "properties": {"age": {"type": "integer", "maximum": 150}, "name": {"type": "string", "pattern": "^[A-Z]"}}}"#;
    assert_eq!(run(schema, r#"[{"age": 30, "name": null}, {"age": null, "name": "Ann"}]"#).unwrap().len(), 2);
    let e = run(schema, r#"[{"age": 300, "name": "Bob"}]"#).unwrap_err();
    assert!(
        e.contains("300 is greater than the maximum of 150") && e.contains(r#"{"age":300,"name":"Bob"}"#),
        "{e}"
    );
    let e = run(schema, r#"[{"age": 3, "name": "bob"}]"#).unwrap_err();
    assert!(e.contains("bob") && e.contains("^[A-Z]"), "{e}");
    let e = run(r#"{"required": ["a"]}"#, r#"[{"a": 1}, {"a": null}]"#).unwrap_err();
    assert!(e.contains("required"), "{e}");
}

#[test]
fn misfits_become_error_rows() {
    let t = validate(r#"{"properties": {"year": {"minimum": 1950}}}"#, Some("bad"));
    let (_, driver) = testing::run(&t, &[r#"[{"year": 1900}, {"year": 2004}]"#], false).unwrap();
    assert_eq!(driver.rows(0), [r#"{"year":2004}"#]);
    let bad: Value = serde_json::from_str(&driver.rows(1)[0]).unwrap();
    assert_eq!(bad["element"]["year"], 1900);
    assert_eq!(bad["msg"], "<ValidationError: '1900 is less than the minimum of 1950'>");
    assert_eq!(bad["stack"], "ValidationError: 1900 is less than the minimum of 1950 at /year");
}

#[test]
fn what_cannot_fit_is_refused_before_data_flows() {
    let rows = r#"[{"a": 1, "l": ["x"], "r": {"p": 1.5}}]"#;
    let refused = |schema: &str| testing::run(&validate(schema, None), &[rows], false).unwrap_err();
    assert!(
        refused(r#"{"properties": {"a": {"type": "string"}}}"#)
            .contains("Incompatible types: integer vs string")
    );
    assert!(refused(r#"{"properties": {"l": {"items": {"type": "number"}}}}"#).contains("string vs number"));
    assert!(
        refused(r#"{"properties": {"r": {"properties": {"p": {"type": "integer"}}}}}"#).contains("for 'r'")
    );
    assert!(refused(r#"{"required": ["zz"]}"#).contains("Missing or unknown property 'zz'"));
    assert!(
        refused(r#"{"additionalProperties": false, "properties": {"a": {}, "l": {}}}"#)
            .contains("Prohibited property: 'r'")
    );
    assert!(refused(r#"{"type": "objekt"}"#).contains("schema/"));
    let number = r#"{"properties": {"a": {"type": ["number", "null"]}}}"#;
    assert_eq!(run(number, rows).unwrap().len(), 1);
    assert!(testing::run(&validate(number, None), &[rows], true).unwrap_err().contains("Incompatible types"));
}

#[test]
fn an_output_schema_has_no_error_handling_of_its_own() {
    let mut diagnostics = Diagnostics::default();
    let mut cx = BindCx {
        label: "T",
        span: Default::default(),
        type_span: Default::default(),
        beam_compat: false,
        probe: &testing::NoFiles,
        diagnostics: &mut diagnostics,
    };
    let schema = node_of(&serde_json::json!({"type": "object", "error_handling": {"output": "x"}}));
    let shape = testing::shape_of(r#"[{"a": 1}]"#).unwrap();
    assert!(schema_guard(&schema, &shape, None, &mut cx).is_none());
    assert!(diagnostics.render(&Sources::default()).contains("schema/error-handling"));
}
