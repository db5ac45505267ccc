//! One slip, one message.

use super::{check, check_in};
use crate::fixture::problems;
use crate::model::Delivery;

#[test]
fn a_problem_is_shown_with_its_line_and_a_way_out() {
    let text = "pipeline:\n  type: chain\n  transforms:\n    - {type: Create, config: {elements: [1]}}\n    - type: WriteToJson\n      colour: red\n      config: {path: r}\n";
    assert_eq!(
        problems(text, &[], false),
        "\
error[shape/unknown-key]: transform `WriteToJson` has no key `colour`
 --> p.yaml:6:7
6 |       colour: red
  |       ^^^^^^ valid keys: type, name, input, output, output_schema, windowing, resource_hints, config
  = help: if `colour` is an option, it stands under `config:`
"
    );
}

#[test]
fn file_shape() {
    check(
        "",
        "
        shape/no-pipeline 1:1 the file has no `pipeline`
          ? a file is a mapping with the key `pipeline`, under which `transforms` are listed
    ",
    );
    check(
        "[1, 2]",
        "
        shape/no-pipeline 1:1 the file has no `pipeline`
          ? a file is a mapping with the key `pipeline`, under which `transforms` are listed
    ",
    );
    check(
        "piepline: {transforms: []}",
        "
        shape/no-pipeline 1:1 the file has no `pipeline`
          ? did you mean `pipeline`?
    ",
    );
    check(
        "pipelines: [a.yaml]",
        "
        shape/no-pipeline 1:1 the file has no `pipeline`
          ? a project, which lists pipelines, is run by `purlin up`; a pipeline has the key `pipeline`
    ",
    );
    check(
        "other: 1",
        "
        shape/no-pipeline 1:1 the file has no `pipeline`
          ? a file is a mapping with the key `pipeline`, under which `transforms` are listed
    ",
    );
    check(
        "pipeline: []",
        "
        shape/wrong-type 1:11 `pipeline` must be a mapping, not a list
          ? put the list under `transforms:`
    ",
    );
    check(
        "pipeline: {transforms: []}\noption: {a: 1}\nunrelated: 1",
        "
        ~shape/unknown-top-level 2:1 top-level key `option` is ignored
          ? did you mean `options`?
    ",
    );
    check(
        "pipeline: {transforms: []}\noptions: []\nx-purlin: 1\ntests: 1\nproviders: 1",
        "
        shape/wrong-type 2:10 `options` must be a mapping, not a list
        shape/wrong-type 3:11 `x-purlin` must be a mapping, not an integer
        shape/wrong-type 4:8 `tests` must be a list of tests, not an integer
        shape/wrong-type 5:12 `providers` must be a list, not an integer
    ",
    );
    check_in(
        "pipeline: {transforms: []}\nx-purlin: {}",
        &[],
        true,
        "
        ~shape/extension 2:1 `x-purlin` is ignored by Beam
    ",
    );
}

#[test]
fn pipeline_shape() {
    check(
        "pipeline: {type: chian, transforms: []}",
        "
        shape/pipeline-type 1:18 the type of a pipeline cannot be `chian`
    ",
    );
    check(
        "pipeline: {name: x, transforms: []}",
        "
        shape/unknown-key 1:12 `pipeline` has no key `name`
    ",
    );
    check(
        "pipeline: {source: {type: Create, config: {elements: []}}}",
        "
        shape/no-transforms 1:11 `pipeline` has no `transforms`
    ",
    );
    check(
        "pipeline: {type: chain, transforms: []}",
        "
        shape/empty-chain 1:11 the chain `pipeline` has no members
    ",
    );
    check(
        "pipeline: {transforms: {type: Create}}",
        "
        shape/wrong-type 1:24 `transforms` must be a list of transforms, not a mapping
    ",
    );
}

#[test]
fn transform_shape() {
    check(
        "pipeline:\n  transforms:\n    - {typ: Create, config: {elements: []}}",
        "
        type/missing 3:7 Missing type of this transform
          ? is `typ` a slip of `type`?
    ",
    );
    check(
        "pipeline:\n  transforms:\n    - Create",
        "
        shape/wrong-type 3:7 a transform must be a mapping, not text
    ",
    );
    check(
        "pipeline:\n  transforms:\n    - {type: Create, elements: [1]}",
        "
        shape/unknown-key 3:22 transform `Create` has no key `elements`
          ? options of a transform stand under `config:`; move `elements` there
    ",
    );
    check(
        "pipeline:\n  transforms:\n    - {type: Create, config: [1], name: 5}",
        "
        shape/wrong-type 3:30 `config` of `Create` must be a mapping, not a list
        shape/wrong-type 3:41 `name` must be text, not an integer
          ? put it in quotes
    ",
    );
    check(
        "pipeline:\n  transforms:\n    - {type: Create, config: {elements: [1]}, resource_hints: 1, output_schema: 1}",
        "
        shape/wrong-type 3:63 `resource_hints` must be a mapping, not an integer
        shape/wrong-type 3:81 `output_schema` must be a JSON schema (a mapping), not an integer
    ",
    );
    check(
        "pipeline:\n  transforms:\n    - {type: WriteToJson, input: 5, config: {path: x}}",
        "
        shape/wrong-type 3:34 `input` must be a name, a list of names, or a mapping to names, not an integer
    ",
    );
    check(
        "pipeline:\n  transforms:\n    - {type: WriteToJson, input: {a: {b: c}}, config: {path: x}}",
        "
        shape/wrong-type 3:38 an input must be the name of a transform, or a list of names, not a mapping
    ",
    );
    check(
        "pipeline:\n  transforms:\n    - {type: composite, config: {}, transforms: [], output: [a]}",
        "
        shape/unknown-key 3:25 composite `composite` has no key `config`
          ? give options to the transforms inside
        shape/wrong-type 3:61 `output` must be a name, or a mapping to names, not a list
    ",
    );
    let deep = format!(
        "pipeline:\n  transforms: [{}{}]",
        "{type: composite, transforms: [".repeat(45),
        "]}".repeat(45)
    );
    check(
        &deep,
        "
        shape/too-deep 2:1256 chains and composites are nested too deeply
    ",
    );
}

#[test]
fn consequences_are_not_reported() {
    // The transform without a type is still there for those who read it.
    check(
        "pipeline:\n  transforms:\n    - {name: A}\n    - {type: WriteToJson, input: A, config: {path: x}}",
        "
        type/missing 3:7 Missing type of `A`
    ",
    );
    check(
        "pipeline:\n  transforms:\n    - 7\n    - {type: WriteToJson, input: A, config: {path: x}}",
        "
        shape/wrong-type 3:7 a transform must be a mapping, not an integer
    ",
    );
    // A slip in a reference does not leave the error output unread.
    check(
        "pipeline:\n  transforms:\n    - {type: Create, config: {elements: []}}\n    - {type: MapToFields, name: Div, input: Create, config: {fields: {}, error_handling: {output: bad}}}\n    - {type: WriteToJson, input: Dvi.bad, config: {path: x}}",
        "
        name/unknown 5:34 Unknown transform `Dvi`
          ? did you mean `Div.bad`?
    ",
    );
}

#[test]
fn types() {
    check(
        "pipeline:\n  transforms:\n    - {type: Craete}",
        "
        type/unknown 3:14 Unknown transform type `Craete`
          ? did you mean `Create`?
    ",
    );
    check(
        "pipeline:\n  transforms:\n    - {type: write_to_json, input: {}}",
        "
        type/unknown 3:14 Unknown transform type `write_to_json`
          ? did you mean `WriteToJson`?
    ",
    );
    check(
        "pipeline:\n  transforms:\n    - {type: RunInference}",
        "
        type/unsupported 3:14 transform type `RunInference` is not supported
          ? the file is standard: run it on Beam, `python -m apache_beam.yaml.main --yaml_pipeline_file=FILE`
    ",
    );
    check(
        "pipeline:\n  transforms:\n    - {type: Filter, input: Filter, config: {keep: x, language: pyhton}}",
        "
        cycle/self 3:29 Circular reference: transform `Filter` reads itself
        language/unknown 3:65 Unknown language `pyhton` for `Filter`
          ? did you mean `python`?
    ",
    );
}

#[test]
fn chains() {
    check(
        "pipeline:\n  type: chain\n  transforms:\n    - {type: Create, output: x, config: {elements: []}}\n    - {type: WriteToJson, input: Create, config: {path: x}}",
        "
        chain/explicit-io 4:22 Explicit `output` on `Create`, which is a member of a chain
          ? use `type: composite` to name inputs, or put the transform under `extra_transforms`
        chain/explicit-io 5:27 Explicit `input` on `WriteToJson`, which is a member of a chain
          ? use `type: composite` to name inputs, or put the transform under `extra_transforms`
    ",
    );
    check(
        "pipeline:\n  transforms:\n    - {type: chain, output: Other, transforms: [{type: Create, config: {elements: []}}]}",
        "
        chain/output 3:29 Explicit output `Other` of a chain is not an output of the last transform
          ? leave `output` out: a chain gives the outputs of its last transform
    ",
    );
}

#[test]
fn inputs() {
    check(
        "pipeline:\n  transforms:\n    - {type: MapToFields, config: {fields: {a: a}}}",
        "
        input/missing 3:14 Missing input for `MapToFields`
          ? name one with `input:`, or connect transforms in order with `type: chain`
    ",
    );
    check(
        "pipeline:\n  transforms:\n    - {type: WriteToJson, input: {}, config: {path: x}}",
        "
        input/missing 3:14 Missing input for `WriteToJson`
          ? name one with `input:`, or connect transforms in order with `type: chain`
    ",
    );
    check(
        "pipeline:\n  type: chain\n  transforms:\n    - {type: Create, config: {elements: []}}\n    - {type: Create, config: {elements: []}}",
        "
        input/not-taken 5:14 `Create` takes no input
          ? in a chain it can only be the first member
    ",
    );
    check(
        "pipeline:\n  transforms:\n    - {type: Create, name: A, config: {elements: []}}\n    - {type: WriteToJson, input: {a: A, b: A}, config: {path: x}}",
        "
        input/too-many 4:14 `WriteToJson` takes one input, not 2 named ones
          ? to read several collections as one, list them: `input: [A, B]`
    ",
    );
}

#[test]
fn names() {
    check(
        "pipeline:\n  transforms:\n    - {type: Create, name: Alpha, config: {elements: []}}\n    - {type: WriteToJson, input: Alhpa.x, config: {path: x}}",
        "
        name/unknown 4:34 Unknown transform `Alhpa`
          ? did you mean `Alpha.x`?
    ",
    );
    check(
        "pipeline:\n  transforms:\n    - {type: Create, name: A, config: {elements: []}}\n    - {type: Create, name: B, config: {elements: []}}\n    - {type: WriteToJson, input: Create, config: {path: x}}",
        "
        name/ambiguous 5:34 Ambiguous transform `Create`
          ? give them different names with `name:`
    ",
    );
    check(
        "pipeline:\n  transforms:\n    - {type: Create, name: A, config: {elements: []}}\n    - {type: Create, name: B, config: {elements: []}}\n    - type: composite\n      name: C\n      input: A\n      transforms:\n        - {type: Flatten, input: [input, B]}",
        "
        name/unknown 9:42 Unknown transform `B`
          ? `B` is outside of `C`: give it as an `input` of `C`
    ",
    );
}

#[test]
fn cycles() {
    check(
        "pipeline:\n  transforms:\n    - {type: Flatten, name: A, input: A}",
        "
        cycle/self 3:39 Circular reference: transform `A` reads itself
    ",
    );
    check(
        "pipeline:\n  transforms:\n    - {type: MapToFields, name: A, input: B, config: {fields: {x: y}}}\n    - {type: MapToFields, name: B, input: A, config: {fields: {y: x}}}\n    - {type: WriteToJson, input: B, config: {path: x}}",
        "
        cycle/transforms 3:43 cycle: A -> B -> A
          ? take one of the references away
    ",
    );
    // Through a composite; what reads from a cycle is not reported.
    check(
        "pipeline:\n  transforms:\n    - {type: Flatten, name: A, input: C}\n    - {type: composite, name: C, input: B, transforms: [{type: Filter, config: {keep: x}}]}\n    - {type: Filter, name: B, input: A, config: {keep: x}}\n    - {type: Filter, name: Z, input: B, config: {keep: x}}",
        "
        cycle/transforms 3:39 cycle: A -> C -> B -> A
          ? take one of the references away
    ",
    );
}

#[test]
fn outputs() {
    let composite = |rest: &str, read: &str| {
        format!(
            "pipeline:\n  transforms:\n    - type: composite\n      name: C\n      transforms:\n        - {{type: Create, name: A, config: {{elements: []}}}}\n        - {{type: Create, name: B, config: {{elements: []}}}}\n{rest}    - {{type: WriteToJson, input: {read}, config: {{path: x}}}}"
        )
    };
    check(
        &composite("", "C"),
        "
        output/none 8:34 `C` has no output
          ? add to it for example `output: NAME_OF_A_MEMBER`
    ",
    );
    check(
        &composite("      output: {left: A, right: B}\n", "C"),
        "
        output/ambiguous 9:34 Ambiguous output of `C`
          ? name one of them: `C.OUTPUT`
    ",
    );
    check(
        &composite("      output: {left: A, right: B}\n", "C.rihgt"),
        "
        output/unknown 9:34 Unknown output `rihgt` of `C`
          ? did you mean `right`?
    ",
    );
    check(
        &composite("      output: {left: Nobody}\n", "C.left"),
        "
        name/unknown 8:22 Unknown transform `Nobody`
    ",
    );
}

#[test]
fn error_outputs() {
    let map = |handling: &str| {
        format!(
            "pipeline:\n  type: chain\n  transforms:\n    - {{type: Create, config: {{elements: []}}}}\n    - {{type: MapToFields, config: {{fields: {{}}, error_handling: {handling}}}}}"
        )
    };
    check(
        &map("{output: bad}"),
        "
        error-handling/unconsumed 5:73 Unconsumed error output `MapToFields.bad` of `MapToFields`
          ? read it with `input: MapToFields.bad`
    ",
    );
    check(
        &map("{}"),
        "
        error-handling/missing-output 5:48 Missing output in error_handling of `MapToFields`
          ? name the output that takes the failed rows: `error_handling: {output: errors}`
    ",
    );
    check(
        &map("bad"),
        "
        shape/wrong-type 5:64 `error_handling` must be a mapping such as `{output: errors}`, not text
    ",
    );
    check(
        "pipeline:\n  transforms:\n    - {type: Create, config: {elements: [], error_handling: {output: x}}}",
        "
        error-handling/not-supported 3:45 `Create` has no error_handling
    ",
    );
    check(
        "pipeline:\n  transforms:\n    - {type: Create, config: {elements: [], output_schema: {error_handling: {output: x}}}}",
        "
        output-schema/error-handling 3:61 error_handling is not supported in `output_schema`
          ? put `error_handling` in the `config` of the transform, or use ValidateWithSchema
    ",
    );
    check(
        "pipeline:\n  transforms:\n    - {type: Create, config: {elements: [], output_schema: 3}}",
        "
        shape/wrong-type 3:60 `output_schema` must be a JSON schema (a mapping), not an integer
    ",
    );
}

#[test]
fn windowing() {
    let window = |w: &str| {
        format!(
            "pipeline:\n  type: chain\n  transforms:\n    - {{type: Create, config: {{elements: []}}}}\n    - {{type: WindowInto, windowing: {w}}}"
        )
    };
    check(
        &window(
            "{type: fixed, size: 5s, allowed_lateness: 10s, late_output: late, accumulation_mode: retracting}",
        ),
        "",
    );
    check_in(
        &window("{type: fixed, size: 5s, allowed_lateness: 10s}"),
        &[],
        true,
        "
        windowing/unknown-parameter 5:61 Unknown parameter `allowed_lateness` of fixed windowing
          ? this key is an extension, and `--beam-compat` allows none
    ",
    );
    check(
        &window("{type: fixed, siez: 5s}"),
        "
        windowing/unknown-parameter 5:51 Unknown parameter `siez` of fixed windowing
          ? did you mean `size`?
    ",
    );
    check(
        &window("{type: fixed}"),
        "
        windowing/missing-parameter 5:37 fixed windowing needs `size`
          ? add for example `size: 30s`
    ",
    );
    check(
        &window("{type: fixd, size: 5s}"),
        "
        windowing/type 5:44 Unknown window type `fixd`
          ? did you mean `fixed`?
    ",
    );
    check(
        &window("{size: 5s}"),
        "
        windowing/type 5:37 windowing needs a `type`
    ",
    );
    check(
        &window("{type: sliding, size: 0, period: -1}"),
        "
        windowing/not-positive 5:59 `size` must be positive
        windowing/not-positive 5:70 `period` must be positive
    ",
    );
    check(
        &window("{type: fixed, size: 1y}"),
        "
        duration/invalid 5:57 duration `1y` has the unknown time unit `y`; valid units: ms, s, m, h, d
    ",
    );
    check(
        &window("{type: fixed, size: 1d}"),
        "
        ~duration/beam-days 5:57 `1d` is taken as days of 24 hours
          ? write hours, so that both agree
    ",
    );
    check_in(&window("{type: fixed, size: 1d}"), &[], true, "");
    check(&window("'{\"type\": \"sessions\", \"gap\": \"3s\"}'"), "");
    check(
        &window("'just words'"),
        "
        windowing/text 5:37 this windowing text is not a YAML or JSON mapping
          ? write a mapping: `windowing: {type: fixed, size: 30s}`
    ",
    );
    check(
        &window("{type: global, accumulation_mode: discading}"),
        "
        windowing/accumulation-mode 5:71 unknown accumulation mode `discading`
          ? did you mean `discarding`?
    ",
    );
    check(
        &window("{type: global, trigger: {after_count: 0}}"),
        "
        windowing/trigger 5:75 `after_count` must be at least 1
    ",
    );
    check(
        &window("{type: global, trigger: {after_cuont: 1}}"),
        "
        windowing/trigger 5:62 unknown trigger `after_cuont`
          ? did you mean `after_count`?
    ",
    );
    check(
        &window("[1]"),
        "
        config/wrong-type 5:37 expected a mapping such as `{type: fixed, size: 30s}`, found a list
    ",
    );
}

#[test]
fn tests_block() {
    let tests = |t: &str| format!("pipeline: {{transforms: []}}\ntests:\n  - {t}");
    check(&tests("{name: a, expected_outputs: [{name: X, elements: [1]}]}"), "");
    check(
        &tests("{name: a}"),
        "
        test/no-expectation 3:12 test `a` expects nothing
    ",
    );
    check(
        &tests("{expected_output: []}"),
        "
        test/unknown-key 3:6 a test has no key `expected_output`
          ? did you mean `expected_outputs`?
    ",
    );
    check(
        &tests("{expected_outputs: [{name: X, element: []}]}"),
        "
        test/unknown-key 3:35 an entry of `expected_outputs` has no key `element`
          ? did you mean `elements`?
    ",
    );
    check(&tests("{expected_outputs: [{name: X, elements: 1}, 2], allowed_sources: x}"), "
        shape/wrong-type 3:45 `elements` must be a list, not an integer
        shape/wrong-type 3:49 an entry of `expected_outputs` must be a mapping with `name` and `elements`, not an integer
        shape/wrong-type 3:70 `allowed_sources` must be a list of names, not text
    ");
    check(
        &tests("7"),
        "
        shape/wrong-type 3:5 a test must be a mapping, not an integer
    ",
    );
}

#[test]
fn a_misspelt_key_does_not_make_what_stands_under_it_missing() {
    check(
        "pipeline:\n  transfroms:\n    - {type: Create, config: {elements: []}}",
        "
        shape/unknown-key 2:3 `pipeline` has no key `transfroms`
          ? did you mean `transforms`?
    ",
    );
    check(
        "pipeline:\n  transforms:\n    - {type: Create, config: {elements: [1]}}\n    - {type: MapToFields, input: Create, config: {fields: {a: b}, error_handling: {outpt: bad}}}",
        "",
    );
    let config = |transform: &str| {
        let text = format!("pipeline:\n  transforms:\n    - {transform}");
        let partial = crate::fixture::load_with(&text, &[], false).partial.expect("a partial spec");
        partial.leaves[0].config.to_json().to_string()
    };
    assert_eq!(config("{type: Create, confg: {elements: [1]}}"), r#"{"elements":[1]}"#);
    assert_eq!(config("{type: Create, elements: [1]}"), r#"{"elements":[1]}"#);
}

#[test]
fn delivery_is_one_of_two_words() {
    check(
        "pipeline: {transforms: []}\nx-purlin: {delivery: atleast_once}",
        "
        config/unknown-word 2:22 `atleast_once` is no kind of delivery
          ? did you mean `at_least_once`?
    ",
    );
    check(
        "pipeline: {transforms: []}\nx-purlin: {delivery: 1}",
        "
        config/unknown-word 2:22 `delivery` is exactly_once or at_least_once, not an integer
    ",
    );
    for (word, delivery) in
        [("exactly_once", Some(Delivery::ExactlyOnce)), ("at_least_once", Some(Delivery::AtLeastOnce))]
    {
        let text = format!("pipeline: {{transforms: []}}\nx-purlin: {{delivery: {word}}}");
        let spec = crate::fixture::load_with(&text, &[], false).spec.expect("a good file");
        assert_eq!(spec.delivery, delivery);
    }
}

#[test]
fn x_purlin_has_no_keys_but_its_own() {
    check(
        "pipeline: {transforms: []}\nx-purlin: {tets: []}",
        "
        shape/unknown-key 2:12 `x-purlin` has no key `tets`
          ? did you mean `tests`?
    ",
    );
}

#[test]
fn text_that_is_no_yaml_at_all() {
    check(
        "pipeline: {transforms: [\"a\0b\"]}",
        "
        yaml/null-byte 1:27 a null byte stands in the file
          ? remove it, or write `\\0` in double quotes
    ",
    );
    check(
        &format!("pipeline: {}", "[".repeat(5000)),
        "
        yaml/syntax 1:266 this is not YAML: lists or mappings are nested too deeply
          ? no pipeline needs so many levels: is a bracket left open?
    ",
    );
}
