//! Programs made of real ones and by a grammar: compiling ends, what compiles runs within bounds, and column by
//! column gives what row by row gives.

use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{Field, Schema};
use purlin_testkit::fuzz::{self, Random, mutate};
use serde_json::{Value as Json, json};

use super::cases::column;
use crate::{Code, Language, Options, RowContext, compile};

const DICTIONARY: &[&str] = &[
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    ":",
    ",",
    ".",
    "'",
    "\"",
    "f'{",
    "}'",
    "**",
    "//",
    "%",
    "<<",
    ">>",
    "@",
    "~",
    "not ",
    " if ",
    " else ",
    " for x in ",
    " in ",
    " is ",
    " and ",
    " or ",
    "lambda v: ",
    ":=",
    "*",
    "**{",
    "=",
    "-",
    "+",
    "a",
    "b",
    "x",
    "s",
    "n",
    "t",
    "l",
    "d",
    "row",
    "row.a",
    "row.s",
    "None",
    "True",
    "0",
    "1",
    "-1",
    "2**63",
    "10**10",
    "9**9**9",
    "1e400",
    "0x",
    "1_0",
    "1j",
    "'a'*10**10",
    "[0]*10**9",
    "range(10**18)",
    "while True: pass\n",
    "while True:\n    ",
    "return ",
    "def f(row):\n  ",
    "try:\n    ",
    "  except Exception: pass\n",
    "raise ",
    "yield ",
    "import re\n",
    "import math\n",
    "import json\n",
    "re.sub('(a*)*b', '', 'a'*30)",
    "re.findall('.*?x|a', s*1000)",
    "(?=a)",
    "(a{1000}){1000}",
    "\\1",
    "math.factorial(20000)",
    "math.comb(",
    "pow(3, 2**100000, 2**100000)",
    ":999999999}",
    ":01000000,}",
    ":.99999f}",
    "'%999999999d' % a",
    "'%.*f' % (10**6, x)",
    ".format(a)",
    ".zfill(10**9)",
    ".center(10**9)",
    ".join(l)",
    ".split()",
    ".encode()",
    "json.loads('['*10**4)",
    "json.dumps(",
    "sorted(l)",
    "sum(range(10**9))",
    "max(",
    "len(",
    "str(",
    "int('1'*5000)",
    "int(",
    "bytes(10**10)",
    "hex(1<<10**6)",
    "repr(",
    "[v for v in range(10**9)]",
    "é",
    "😀",
    "\0",
    "\u{feff}",
    "\n",
    "\n  ",
    "\t",
    "#",
    "\\",
];

/// Programs that must end as errors of their rows, or quickly.
const HOSTILE: &[&str] = &[
    "9**9**9",
    "'a'*10**10",
    "[0]*10**10",
    "f'{a:999999999}'",
    "f'{x:.999999f}'",
    "f'{a:01000000,}'",
    "'{:1000000}'.format(a)",
    "'%0999999999d' % a",
    "('x'*10**7).center(10**18)",
    "pow(3, 2**1000000, 2**1000000 - 1)",
    "1 << 10**10",
    "sum(range(10**18))",
    "list(range(10**18))",
    "[s.encode() * 1000 for v in range(10**7)]",
    "f\"{'a'*10**8}{'a'*10**8}{'a'*10**8}{'a'*10**8}{'a'*10**8}{'a'*10**8}{'a'*10**8}{'a'*10**8}\"",
    "import re\nlambda row: re.search('(a*)*b(?=c)', 'a' * 40)",
    "import re\nlambda row: re.search('(a|aa)+$', 'a' * 10000 + 'b')",
    "import re\nlambda row: re.findall('(?:.*?x|a)', 'a' * 3 * 10**4)",
    "import re\nlambda row: re.compile('((((a{100}){100}){100}){100})(?=b)')",
    "import re\nlambda row: re.compile('(' * 30000)",
    "import re\nlambda row: [re.compile('a' * i + '\\\\w{900}') for i in range(10**5)]",
    "import re\nlambda row: [m.group() for m in [re.match('a*', 'a' * 10**6)] for i in range(10**6)]",
    "import math\nlambda row: math.comb(2**1000000, 20000)",
    "import math\nlambda row: [math.factorial(20000) for i in range(10**5)]",
    "import json\nlambda row: json.dumps(['a' * 10**5] * 10**6, indent=9)",
    "import json\nlambda row: json.loads('[' * 10**6)",
    "import json\nlambda row: json.loads('[' + '[],' * 10**7 + '0]')",
    "def f(row):\n  while True: pass",
    "def f(row):\n  while True:\n    try:\n      while True: pass\n    except BaseException: pass",
    "def f(row):\n  a = (1,)\n  for i in range(60): a = (a, a)\n  return a == a and {a: 1}",
    "def f(row):\n  a = [1]\n  b = [1]\n  for i in range(60): a, b = [a, a], [b, b]\n  return a == b",
    "def f(row):\n  a = []\n  for i in range(60): a = [a, a]\n  return repr(a)",
    "def f(row):\n  a = []\n  for i in range(60): a = [a, a]\n  return a",
    "def f(row):\n  a = []\n  for i in range(10**6): a = [a]\n  return len(a)",
    "def f(row):\n  a = []\n  a.append(a)\n  return str(a), a == a",
    "def f(row):\n  def g(n): return g(n + 1)\n  return g(0)",
    "def f(row):\n  s = 'ab' * 10**5\n  while True:\n    'c' in s",
    "def f(row):\n  l = list(range(10**6))\n  while l: l.pop(0)",
    "def f(row):\n  l = list(range(10**6))\n  del l[::2]\n  return len(l)",
    "def f(row):\n  x = 3**600000\n  while True: x * x",
    "def f(row):\n  while True: 3**600000",
    "def f(row):\n  def g(**k): return 1\n  return g(**{str(i): i for i in range(10**6)})",
    "def f(row):\n  d = {i: i for i in range(4 * 10**4)}\n  while d: d.pop(next(iter(d)))",
    "def f(row):\n  l = ['a' * 10**6] * 10**5\n  return ''.join(l)",
    "def f(row):\n  l = [('a' * 10**5) + str(i) for i in range(1000)]\n  while True: sorted(l)",
    "import datetime\nlambda row: datetime.datetime(2024, 1, 1).strftime('%c' * 10**7)",
    "[v for v in l if v in l for w in range(10**9)]",
    "int('1' * 10**8)",
    "int.from_bytes(b'a' * 10**8, 'big') * 3",
    "hex(1 << 10**6)",
    "'%d' % (1 << 10**6)",
];

/// A batch with every type that rows have, some of it null.
fn rows() -> RecordBatch {
    let rows = json!([
        {"a": 7, "b": -3, "x": 2.5, "s": "Hello, Wörld", "n": null, "t": true, "l": [3, 1, 2], "d": {"k": 1}, "o": 1},
        {"a": i64::MAX, "b": 0, "x": -0.0, "s": "", "n": null, "t": false, "l": [], "d": {"k": 2}, "o": null},
        {"a": i64::MIN, "b": 1, "x": 1e300, "s": " 42 \n", "n": null, "t": true, "l": [1], "d": {"k": null}, "o": -5},
    ]);
    let rows = rows.as_array().expect("rows");
    let names: Vec<&String> = rows[0].as_object().expect("a row").keys().collect();
    let columns: Vec<ArrayRef> =
        names.iter().map(|n| column(&rows.iter().map(|r| r[*n].clone()).collect::<Vec<Json>>())).collect();
    let field = |(n, c): (&&String, &ArrayRef)| {
        Field::new(n.as_str(), c.data_type().clone(), **n != "a" && **n != "s")
    };
    let fields: Vec<Field> = names.iter().zip(&columns).map(field).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).expect("a batch")
}

/// Compiles a text in each language; what compiles runs both ways.
fn try_text(text: &str, batch: &RecordBatch) {
    for (language, code) in [
        (Language::Generic, Code::Expression(text)),
        (Language::Python, Code::Expression(text)),
        (Language::Python, Code::Callable(text)),
    ] {
        let program = match compile(language, code, &batch.schema(), None, &Options::default()) {
            Ok(program) => program,
            Err(problems) => {
                assert!(!problems.is_empty(), "{text:?} failed without a reason");
                for range in problems.iter().filter_map(|p| p.range.as_ref()) {
                    assert!(range.start <= range.end && range.end <= text.len(), "{range:?} of {text:?}");
                }
                continue;
            }
        };
        let context = RowContext { now_micros: Some(0) };
        let found = program.eval(batch, &context);
        assert_eq!(found.values.len(), batch.num_rows(), "{text:?}");
        assert_eq!(found.values.data_type(), &program.field_type().0, "{text:?}");
        if program.describe() == "vectorised" {
            let slow = program.eval_by_row(batch, &context);
            assert_eq!(found.errors, slow.errors, "{text:?}");
            assert_eq!(found.values.as_ref(), slow.values.as_ref(), "{text:?}");
        }
    }
}

fn add(r: &mut Random, words: &[&str], out: &mut String) {
    let word: &&str = r.pick(words);
    out.push_str(word);
}

/// An expression by a grammar.
fn expression(r: &mut Random, depth: usize, out: &mut String) {
    const LEAVES: &[&str] = &[
        "a",
        "b",
        "x",
        "s",
        "n",
        "t",
        "l",
        "d",
        "o",
        "0",
        "1",
        "-1",
        "2",
        "7",
        "0.5",
        "-0.0",
        "1e308",
        "2**62",
        "None",
        "True",
        "''",
        "'a'",
        "'12'",
        "' Ab '",
        "[1, 2]",
        "'é😀'",
        "float('nan')",
        "float('inf')",
    ];
    const OPERATORS: &[&str] = &[
        "+", "-", "*", "/", "//", "%", "<", "<=", "==", "!=", ">", ">=", " and ", " or ", " in ", " is ",
        "&", "|", "^", " not in ", " is not ",
    ];
    const FUNCTIONS: &[&str] = &[
        "str", "int", "float", "bool", "len", "abs", "round", "repr", "not ", "-", "~", "sorted", "list",
        "max", "hash",
    ];
    const METHODS: &[&str] = &[
        "upper()",
        "lower()",
        "strip()",
        "title()",
        "split()",
        "isdigit()",
        "startswith('a')",
        "replace('a', 'b')",
        "find('l')",
        "zfill(5)",
        "get('k')",
        "k",
        "append(1)",
        "count('l')",
        "is_integer()",
        "encode()",
    ];
    if depth == 0 {
        add(r, LEAVES, out);
        return;
    }
    let part = |r: &mut Random, out: &mut String| {
        let below = r.below(depth);
        expression(r, below, out);
    };
    match r.below(10) {
        0..=3 => {
            out.push('(');
            part(r, out);
            add(r, OPERATORS, out);
            part(r, out);
            out.push(')');
        }
        4 | 5 => {
            add(r, FUNCTIONS, out);
            out.push('(');
            part(r, out);
            out.push(')');
        }
        6 => {
            out.push('(');
            for word in ["", " if ", " else "] {
                out.push_str(word);
                part(r, out);
            }
            out.push(')');
        }
        7 => {
            out.push('(');
            part(r, out);
            out.push_str(").");
            add(r, METHODS, out);
        }
        8 => {
            out.push('(');
            part(r, out);
            out.push_str(")[");
            part(r, out);
            add(r, &["]", ":]", ":2]", "::-1]"], out);
        }
        _ => {
            out.push_str("f'<{");
            let mut inner = String::new();
            part(r, &mut inner);
            out.push_str(&inner.replace('\'', "\""));
            add(r, &["}>'", ":>8}'", ":.2f}'", ":,}'", "!r}'"], out);
        }
    }
}

#[test]
fn fuzz_programs() {
    let mut seeds: Vec<&str> = include_str!("expressions.txt").lines().filter(|l| !l.is_empty()).collect();
    seeds.extend(include_str!("functions.txt").split("---\n"));
    let batch = rows();
    let make = |r: &mut Random| {
        if r.below(3) == 0 {
            let mut text = String::new();
            expression(r, 4, &mut text);
            return text.into_bytes();
        }
        mutate(r.pick(&seeds).as_bytes(), DICTIONARY, r)
    };
    fuzz::run("programs", 2000, make, |input, _| try_text(&String::from_utf8_lossy(input), &batch));
}

#[test]
fn hostile_programs_end() {
    let batch = rows().slice(0, 1);
    for text in HOSTILE {
        #[allow(clippy::disallowed_methods)] // how long a test takes
        let start = std::time::Instant::now();
        try_text(text, &batch);
        let took = start.elapsed().as_secs();
        println!("{took:4} s  {text:?}");
        // Seconds at most where nothing else runs; a busy machine gets its time.
        assert!(took < 600, "{took} s for {text:?}");
    }
}
