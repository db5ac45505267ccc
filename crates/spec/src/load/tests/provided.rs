//! Transforms that providers define.

use super::{becomes_in, check_in};

const USE: &str = "pipeline:\n  type: chain\n  transforms:\n    - {type: Create, config: {elements: []}}\n    - {type: T, config: {n: 4}}\n    - {type: WriteToJson, config: {path: x}}\n";
const SCHEMA: &str = "config_schema: {properties: {n: {type: integer}, s: {type: string, enum: [a, b]}, l: {type: array, items: {type: integer, minimum: 1}}}, required: [n]}";

fn with(provider: &str) -> String {
    format!("{USE}providers:\n{provider}")
}

fn yaml(body: &str) -> String {
    with(&format!("  - type: yaml\n    transforms:\n      T: {{{SCHEMA}, body: {body}}}\n"))
}

#[test]
fn a_body_stands_for_the_transform() {
    becomes_in(
        &yaml("{type: chain, transforms: [{type: Filter, config: {keep: x}}, {type: Explode}]}"),
        &[],
        "
        Create: Create()
        T/Filter: Filter(input=Create)
        T/Explode: Explode(input=T/Filter)
        WriteToJson: WriteToJson(input=T/Explode)
    ",
    );
    becomes_in(
        &yaml(
            "{type: composite, transforms: [{type: Filter, input: input, config: {keep: x}}], output: Filter}",
        ),
        &[],
        "
        Create: Create()
        T/Filter: Filter(input=Create)
        WriteToJson: WriteToJson(input=T/Filter)
    ",
    );
    becomes_in(
        &yaml("\"type: Filter\\nconfig: {keep: x}\""),
        &[],
        "
        Create: Create()
        T/Filter: Filter(input=Create)
        WriteToJson: WriteToJson(input=T/Filter)
    ",
    );
}

#[test]
fn a_body_is_a_template_of_the_config() {
    let config = |body: &str| {
        let lib = format!(
            "- type: yaml\n  transforms:\n    T:\n      config_schema: {{properties: {{n: {{}}}}}}\n      body: {body}\n"
        );
        let spec =
            crate::fixture::load_with(&with("  - include: lib.yaml\n"), &[("lib.yaml", &lib)], false).spec;
        spec.map(|s| s.leaves[1].config.to_json().to_string()).unwrap_or_default()
    };
    assert_eq!(
        config("'{type: Explode, config: {fields: \"x{{n}}\", n: {{n}}}}'"),
        r#"{"fields":"x4","n":4}"#
    );
    // What Beam writes with quotes stays text; what it writes plain is read again; keys come sorted.
    assert_eq!(
        config("{type: Explode, config: {group_by: '{{n}}', fields: '-{{n}}', combine: {b: 'x > {{n}}', 'a{{n}}': {{}}}}}".replace("{{}}", "[]").as_str()),
        r#"{"combine":{"a4":[],"b":"x > 4"},"fields":-4,"group_by":"4"}"#
    );
}

#[test]
fn windowing_on_a_provided_transform() {
    let text = "pipeline:\n  transforms:\n    - {type: Gen, windowing: {type: global}}\n    - {type: T, input: {any: Gen}, windowing: {type: fixed, size: 1}}\n    - {type: WriteToJson, name: W, input: T, config: {path: x}}\nproviders:\n  - type: yaml\n    transforms:\n      Gen: {requires_inputs: false, body: {type: Create, config: {elements: []}}}\n      T: {body: {type: Filter, config: {keep: x}}}\n";
    becomes_in(
        text,
        &[],
        r#"
        Gen/Create: Create()
        T/WindowInto[input]: WindowInto(input=Gen/WindowInto[output]) @{"type":"fixed","size":1}
        T/Filter: Filter(input=T/WindowInto[input])
        W: WriteToJson(input=T/Filter)
        Gen/WindowInto[output]: WindowInto(input=Gen/Create) @{"type":"global"}
    "#,
    );
}

#[test]
fn the_plain_name_means_the_good_output() {
    let text = |read: &str| {
        format!(
            "pipeline:\n  transforms:\n    - {{type: Create, config: {{elements: []}}}}\n    - {{type: T, input: Create}}\n    - {{type: WriteToJson, name: Good, input: {read}, config: {{path: x}}}}\n    - {{type: WriteToJson, name: Bad, input: T.bad, config: {{path: x}}}}\nproviders:\n  - include: lib.yaml\n"
        )
    };
    let leaf = "- type: yaml\n  transforms:\n    T:\n      body: {type: MapToFields, config: {fields: {}, error_handling: {output: bad}}}\n";
    becomes_in(
        &text("T"),
        &[("lib.yaml", leaf)],
        "
        Create: Create()
        T/MapToFields: MapToFields(input=Create)
        Good: WriteToJson(input=T/MapToFields)
        Bad: WriteToJson(input=T/MapToFields.bad)
    ",
    );
    check_in(
        &text("T"),
        &[("lib.yaml", leaf)],
        true,
        "
        output/ambiguous 5:46 Ambiguous output of `T`
          ? name one of them: `T.OUTPUT`
    ",
    );
    check_in(&text("T.good"), &[("lib.yaml", leaf)], true, "");
    let composite = "- type: yaml\n  transforms:\n    T:\n      body:\n        type: composite\n        transforms:\n          - {type: MapToFields, name: M, input: input, config: {fields: {}, error_handling: {output: e}}}\n        output: {fine: M, bad: M.e}\n";
    becomes_in(
        &text("T"),
        &[("lib.yaml", composite)],
        "
        Create: Create()
        T/M: MapToFields(input=Create)
        Good: WriteToJson(input=T/M)
        Bad: WriteToJson(input=T/M.e)
    ",
    );
    check_in(
        &text("T"),
        &[("lib.yaml", composite)],
        true,
        "
        output/ambiguous 5:46 Ambiguous output of `T`
          ? name one of them: `T.OUTPUT`
    ",
    );
}

#[test]
fn the_config_is_checked() {
    let text = |config: &str| yaml("{type: Filter, config: {keep: x}}").replace("{n: 4}", config);
    check_in(
        &text("{n: x, m: 1, s: c, l: [0]}"),
        &[],
        false,
        r#"
        provider/config-type 5:29 `n` of provider transform `T` must be of type integer
        provider/config-unknown 5:32 provider transform `T` has no config field `m`
        provider/config-value 5:41 `s` of provider transform `T` must be one of "a", "b"
        provider/config-value 5:48 an item of `l` of provider transform `T` must be at least 1
    "#,
    );
    check_in(
        &text("{}"),
        &[],
        false,
        "
        provider/config-missing 5:25 provider transform `T` needs the config field `n`
          ? add `n:` under `config:`
    ",
    );
}

#[test]
fn missing_input() {
    let text = "pipeline:\n  transforms:\n    - {type: T, config: {n: 1}}\n".to_owned()
        + &yaml("{type: Filter, config: {keep: x}}")[USE.len()..];
    check_in(
        &text,
        &[],
        false,
        "
        input/missing 3:14 Missing input for `T`
          ? name one with `input:`, or connect transforms in order with `type: chain`
    ",
    );
    let text = "pipeline:\n  transforms:\n    - {type: T}\nproviders: [{type: yaml, transforms: {T: {requires_inputs: false, body: {type: Filter, config: {keep: x}}}}}]\n";
    check_in(
        text,
        &[],
        false,
        "
        input/missing 4:80 Missing input for `Filter`
          ? name one with `input:`, or connect transforms in order with `type: chain`
    ",
    );
}

#[test]
fn provider_shape() {
    check_in(
        &with("  - 5\n"),
        &[],
        false,
        "
        shape/wrong-type 8:5 a provider must be a mapping, not an integer
    ",
    );
    check_in(
        &with("  - {type: yml, transforms: {T: {body: {}}}, colour: 1}\n"),
        &[],
        false,
        "
        provider/type 8:12 Unknown provider type `yml`
          ? did you mean `yaml`?
        shape/unknown-key 8:46 a provider has no key `colour`
    ",
    );
    check_in(
        &with("  - {typ: yaml}\n"),
        &[],
        false,
        "
        provider/missing-key 8:5 this provider has no `transforms`
        shape/unknown-key 8:6 a provider has no key `typ`
          ? did you mean `type`?
    ",
    );
    check_in(
        &with("  - {type: yaml, transforms: {T: {bdy: {type: Filter}}}}\n"),
        &[],
        false,
        "
        provider/missing-key 8:34 provider transform `T` has no `body`
          ? is `bdy` a slip of `body`?
    ",
    );
    check_in(&with("  - {type: yaml, transforms: {T: {body: 5}}}\n"), &[], false, "
        shape/wrong-type 8:41 `body` of provider transform `T` must be a transform, as a mapping or text, not an integer
    ");
    check_in(
        &with("  - {type: yaml, transforms: {T: {body: just text}}}\n"),
        &[],
        false,
        "
        provider/config-unknown 5:26 provider transform `T` has no config field `n`
    ",
    );
    check_in(
        &with(
            "  - {type: yaml, transforms: {T: {requires_inputs: 1, config_schema: 2, body: {type: Filter}}}}\n",
        ),
        &[],
        false,
        "
        shape/wrong-type 8:52 `requires_inputs` must be `true` or `false`, not an integer
        shape/wrong-type 8:70 `config_schema` must be a JSON schema (a mapping), not an integer
    ",
    );
    // Beam ignores keys it does not know here.
    check_in(
        &with(
            "  - {type: yaml, transforms: {T: {colour: 1, config_schema: {properties: {n: {}}}, body: '[1]'}}}\n",
        ),
        &[],
        false,
        "
        provider/body 8:31 the body of `T` is not a transform
        ~provider/unknown-key 8:35 `colour` of provider transform `T` is ignored
    ",
    );
    // Not used: no matter.
    check_in(
        &with(
            "  - {type: python, transforms: {U: a.b.c}}\n  - {type: yaml, transforms: {T: {config_schema: {properties: {n: {}}}, body: {type: Explode}}}}\n",
        ),
        &[],
        false,
        "",
    );
    check_in(
        &with("  - {type: python, transforms: {T: a.b.c}}\n"),
        &[],
        false,
        "
        provider/unsupported 5:14 `T` comes from a provider of type `python`, which is not supported
          ? write the transform as a `yaml` provider, or run the file on Beam: `python -m apache_beam.yaml.main`
    ",
    );
    check_in(
        &with("  - {type: javaJar, config: {jar: x}, transforms: {T: 'beam:x'}}\n"),
        &[],
        false,
        "
        provider/unsupported 5:14 `T` comes from a provider of type `javaJar`, which is not supported
          ? write the transform as a `yaml` provider, or run the file on Beam: `python -m apache_beam.yaml.main`
    ",
    );
}

#[test]
fn problems_of_a_body_are_shown_where_it_stands() {
    let lib = "# a library\n- type: yaml\n  transforms:\n    T:\n      config_schema: {properties: {n: {type: integer}}}\n      body: |\n        type: chain\n        transforms:\n          - type: Filtr\n            config: {keep: x}\n";
    check_in(
        &with("  - include: lib.yaml\n"),
        &[("lib.yaml", lib)],
        false,
        "
        type/unknown lib.yaml:9:19 Unknown transform type `Filtr`
          ? did you mean `Filter`?
    ",
    );
    let lib = lib.replace("|\n", "\n");
    check_in(
        &with("  - include: lib.yaml\n"),
        &[("lib.yaml", &lib)],
        false,
        "
        type/unknown lib.yaml:9:19 Unknown transform type `Filtr`
          ? did you mean `Filter`?
    ",
    );
}

#[test]
fn includes() {
    check_in(
        &with("  - include: nowhere.yaml\n"),
        &[],
        false,
        "
        provider/include 8:14 cannot read the provider file `nowhere.yaml`
          ? paths are relative to the file that includes
    ",
    );
    check_in(
        &with("  - {include: a.yaml, type: yaml}\n"),
        &[("a.yaml", "- include: b.yaml"), ("b.yaml", "- include: a.yaml")],
        false,
        "
        provider/include 8:23 `type` cannot stand beside `include`
        provider/include-cycle b.yaml:1:12 provider files include each other
    ",
    );
    check_in(
        &with("  - include: a.yaml\n"),
        &[("a.yaml", "type: yaml")],
        false,
        "
        provider/include a.yaml:1:1 the provider file `a.yaml` is not a list
    ",
    );
}

#[test]
fn recursion_is_named() {
    let text = with(
        "  - type: yaml\n    transforms:\n      T: {config_schema: {properties: {n: {}}}, body: {type: U}}\n      U: {body: {type: T}}\n",
    );
    check_in(
        &text,
        &[],
        false,
        "
        provider/recursive 11:24 provider transform `T` uses itself: T -> U -> T
    ",
    );
    // Twice as many at each level: bounded too.
    let mut text = USE.to_owned()
        + "providers:\n  - type: yaml\n    transforms:\n      T: {config_schema: {properties: {n: {}}}, body: {type: L0}}\n";
    for i in 0..20 {
        let next = i + 1;
        text.push_str(&format!(
            "      L{i}: {{body: {{type: chain, transforms: [{{type: L{next}}}, {{type: L{next}}}]}}}}\n"
        ));
    }
    text.push_str("      L20: {body: {type: Explode}}\n");
    check_in(
        &text,
        &[],
        false,
        "
        provider/too-many 29:66 the providers expand to more than 5000 transforms
    ",
    );
}

#[test]
fn renaming() {
    let provider = |mappings: &str, to: &str| {
        with(&format!(
            "  - type: renaming\n    transforms: {{T: {to}}}\n    config:\n      mappings: {mappings}\n      defaults: {{T: {{s: a}}}}\n      underlying_provider:\n        type: yaml\n        config: {{}}\n        transforms:\n          Under: {{config_schema: {{properties: {{m: {{type: integer}}, s: {{}}}}}}, body: {{type: Filter, config: {{keep: x}}}}}}\n"
        ))
    };
    becomes_in(
        &provider("{T: {n: m}}", "Under"),
        &[],
        "
        Create: Create()
        T/Filter: Filter(input=Create)
        WriteToJson: WriteToJson(input=T/Filter)
    ",
    );
    check_in(
        &provider("{T: {}}", "Under"),
        &[],
        false,
        "
        provider/config-unknown 5:26 provider transform `T` has no config field `n`
    ",
    );
    check_in(
        &provider("{}", "Under"),
        &[],
        false,
        "
        provider/renaming 9:18 Missing transform `T` in `mappings`
    ",
    );
    check_in(
        &provider("{T: {n: m}}", "Other"),
        &[],
        false,
        "
        provider/renaming 9:21 the underlying provider has no transform `Other`
    ",
    );
}

#[test]
fn output_schema_goes_to_the_leaf_that_gives_the_output() {
    let text = |body: &str| yaml(body).replace("{n: 4}", "{n: 4, output_schema: {type: object}}");
    let with = |body: &str| -> Vec<String> {
        let spec = crate::fixture::load_with(&text(body), &[], false).spec.expect("a good pipeline");
        spec.leaves.iter().filter(|l| l.output_schema.is_some()).map(|l| l.name.clone()).collect()
    };
    assert_eq!(
        with("{type: chain, transforms: [{type: Filter, config: {keep: x}}, {type: Explode}]}"),
        ["Explode"]
    );
    let two = "{type: Filter, input: input, config: {keep: x}}, {type: Explode, input: input}";
    assert_eq!(with(&format!("{{type: composite, transforms: [{two}], output: Filter}}")), ["Filter"]);
    assert_eq!(
        with(&format!("{{type: composite, transforms: [{two}], output: {{a: Filter, good: Explode}}}}")),
        ["Explode"]
    );
    check_in(
        &text(&format!("{{type: composite, transforms: [{two}], output: {{a: Filter, b: Explode}}}}")),
        &[],
        false,
        "
        provider/output-schema 5:14 `T` cannot have an `output_schema`
          ? put a ValidateWithSchema after it
        output/ambiguous 6:14 Ambiguous output of `T`
          ? name one of them: `T.OUTPUT`
    ",
    );
}

#[test]
fn a_schema_names_types_that_exist() {
    let text = yaml("{type: Filter, config: {keep: x}}").replace("{type: integer", "{type: intger");
    let got = super::brief(&text, &[], false);
    assert!(got.contains("a JSON schema has no type `intger`\n  ? did you mean `integer`?"), "{got}");
}
