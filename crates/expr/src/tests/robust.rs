//! Any text at all: compiling ends, and says something.

use arrow_schema::{DataType, Field, Schema};
use proptest::prelude::*;

use crate::{Code, Language, Options, compile};

fn schema() -> Schema {
    Schema::new(vec![
        Field::new("a", DataType::Int64, true),
        Field::new("s", DataType::Utf8, false),
        Field::new("my col", DataType::Float64, true),
    ])
}

fn try_all(text: &str) {
    for options in [Options::default(), Options { beam_compat: true }] {
        for language in [Language::Generic, Language::Python] {
            for code in [Code::Expression(text), Code::Callable(text), Code::File { text, name: "f" }] {
                if let Err(problems) = compile(language, code, &schema(), None, &options) {
                    assert!(!problems.is_empty(), "{text:?} failed without a reason");
                    for range in problems.iter().filter_map(|p| p.range.as_ref()) {
                        assert!(range.start <= range.end && range.end <= text.len(), "{range:?} of {text:?}");
                    }
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn any_text_compiles_or_is_refused(text in any::<String>()) {
        try_all(&text);
    }

    #[test]
    fn any_tokens_compile_or_are_refused(tokens in prop::collection::vec(prop::sample::select(vec![
        "a", "s", "row", "f", "def f(row):\n  ", "lambda row: ", "return ", "(", ")", "[", "]", "{", "}", ":", ",", ".",
        "x", "1", "'t'", "f'{", "}'", "+", "**", "not ", "if ", " else ", " for ", " in ", "import re\n", "re.", "=", ":=",
        "\n", "\n  ", "*", "yield ", "await ", "class A: ", "try:\n", "while ", "é", "😀", "\\", "#", "\"\"\"", "@", "await",
    ]), 0..24)) {
        try_all(&tokens.concat());
    }
}

#[test]
fn deep_nesting_is_refused_not_overflowed() {
    let deep = [
        "(".repeat(20_000),
        "-".repeat(60_000) + "1",
        "not ".repeat(15_000) + "a",
        "a".to_owned() + &"+a".repeat(30_000),
        "a".to_owned() + &".b".repeat(30_000),
        "a".to_owned() + &"()".repeat(30_000),
        "[".repeat(30_000) + &"]".repeat(30_000),
        "lambda: ".repeat(8_000) + "a",
        "a if a else ".repeat(5_000) + "a",
        "a**".repeat(20_000) + "a",
        "x = ".repeat(10_000) + "1",
        "def f(row):\n  if row.a: pass\n".to_owned() + &"  elif row.a: pass\n".repeat(3_000),
        "f'{".repeat(5_000),
    ];
    for text in deep {
        try_all(&text);
    }
}
