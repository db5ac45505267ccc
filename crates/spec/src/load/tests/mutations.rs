//! No text makes it panic.

use crate::fixture::problems;
use proptest::prelude::*;

const SEED: &str = r#"pipeline:
  type: composite
  windowing: {type: sliding, size: 1h, period: 5m}
  source: {type: Create, config: {elements: [{a: 1}]}}
  transforms:
    - {type: MapToFields, name: M, input: Create, config: {fields: {a: a}, error_handling: {output: bad}}}
    - type: chain
      name: Sub
      input: {l: M, r: [M.bad, T]}
      transforms:
        - {type: Join, config: {fields: {}}}
        - {type: Explode, windowing: {type: sessions, gap: 3s}}
      extra_transforms:
        - {type: Filter, input: Join.out, config: {keep: x}}
      output: {out: Explode}
    - {type: T, input: Sub.out, config: {n: 4, output_schema: {}}}
    - {type: composite, name: Last, input: T, transforms: [{type: Flatten, input: input}], output: {o: Flatten.x}}
  sink: {type: WriteToJson, input: Last.o, config: {path: x}}
providers:
  - include: lib.yaml
  - type: yaml
    transforms:
      T: {config_schema: {properties: {n: {type: integer}}}, body: {type: chain, transforms: [{type: U}]}}
      U: {requires_inputs: false, body: "type: Filter\nconfig: {keep: x}"}
tests:
  - {name: a, expected_outputs: [{name: M, elements: []}]}
"#;

fn fine(text: &str) {
    for beam_compat in [false, true] {
        // `problems` also checks that there is a description exactly if there is no error.
        problems(text, &[("lib.yaml", SEED)], beam_compat);
    }
}

/// Words to put in the place of others, so that texts stay YAML but mean something else.
const WORDS: [&str; 24] = [
    "Create",
    "M",
    "T",
    "U",
    "Sub",
    "Last",
    "chain",
    "composite",
    "input",
    "output",
    "type",
    "transforms",
    "config",
    "null",
    "[]",
    "{}",
    "5",
    "Sub.out",
    "M.bad",
    "yaml",
    "body",
    "include",
    "windowing",
    "''",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn cut_and_pasted(from in 0..SEED.len(), len in 0..120_usize, to in 0..SEED.len()) {
        let end = (from + len).min(SEED.len());
        let mut text = SEED.to_owned();
        let piece = SEED[from..end].to_owned();
        text.insert_str(to, &piece);
        fine(&text);
        fine(&(SEED[..from].to_owned() + &SEED[end..]));
    }

    #[test]
    fn words_swapped(changes in prop::collection::vec((0..200_usize, 0..WORDS.len()), 1..4)) {
        let mut parts: Vec<&str> = SEED.split_inclusive(|c: char| !c.is_alphanumeric()).collect();
        let count = parts.len();
        let mut made: Vec<String> = Vec::new();
        for (at, word) in &changes {
            let part = parts[at % count];
            let tail: String = part.chars().rev().take(1).filter(|c| !c.is_alphanumeric()).collect();
            made.push(format!("{}{tail}", WORDS[*word]));
        }
        for ((at, _), word) in changes.iter().zip(&made) {
            parts[at % count] = word;
        }
        fine(&parts.concat());
    }

    #[test]
    fn any_text(text in "[ -~\n]{0,200}") {
        fine(&text);
    }
}

#[test]
fn the_seed_itself_is_read_far() {
    let problems = problems(SEED, &[("lib.yaml", "[]")], false);
    assert!(problems.contains("error["), "{problems}");
}
