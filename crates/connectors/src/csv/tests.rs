//! Reading and writing CSV.

use super::{sink, source};
use crate::shared::testing::{Folder, Read, gzip};
use crate::shared::testing_sinks::{check_names, check_sink};
use crate::shared::testing_sources::check_source;
use purlin_api::shape::type_name;
use purlin_api::testing::{batch, shape_of};
use std::fmt::Write as _;

fn read(text: &str, config: &str) -> Result<Read, String> {
    let config = if config.is_empty() {
        "{path: '{}/a.csv'}".to_owned()
    } else {
        format!("{{path: '{{}}/a.csv', {config}}}")
    };
    Folder::new(&[("a.csv", text.as_bytes())]).read(&source::entry(), &config)
}

/// The rows read, or the problem.
fn check(text: &str, config: &str, want: &[&str]) {
    match read(text, config) {
        Ok(got) => assert_eq!(got.rows, want, "{text:?} {config}"),
        Err(e) => panic!("{text:?} {config}: {e}"),
    }
}

fn refused(text: &str, config: &str, want: &str) {
    let e = read(text, config).unwrap_err();
    assert!(e.contains(want), "{text:?} {config}: {e}");
}

fn types(text: &str, config: &str, beam_compat: bool) -> String {
    let folder = Folder::new(&[("a.csv", text.as_bytes())]);
    match folder.bind(&source::entry(), &format!("{{path: '{{}}/a.csv' {config}}}"), None, beam_compat) {
        Ok(node) => {
            let fields = node.outputs()[0].shape.schema.fields().clone();
            fields.iter().map(|f| format!("{}:{}", f.name(), type_name(f))).collect::<Vec<_>>().join(" ")
        }
        Err(e) => e,
    }
}

#[test]
fn types_are_pandas_types() {
    check(
        "i,s,f,maybe,flag,note\n1,x,1.5,10,true,NA\n2,\"y,z\",2,,false,ok\n3,\"q \"\"q\"\" q\",-0.25,30,true,\n",
        "",
        &[
            r#"{"i":1,"s":"x","f":1.5,"maybe":10.0,"flag":true,"note":null}"#,
            r#"{"i":2,"s":"y,z","f":2.0,"maybe":null,"flag":false,"note":"ok"}"#,
            r#"{"i":3,"s":"q \"q\" q","f":-0.25,"maybe":30.0,"flag":true,"note":null}"#,
        ],
    );
    let zeros = "code,zip\n007,\"0123\"\n010,0456\n";
    check(zeros, "", &[r#"{"code":"007","zip":"0123"}"#, r#"{"code":"010","zip":"0456"}"#]);
    assert_eq!(types(zeros, "", true), "code:int zip:int");
    assert_eq!(types("a\n", "", false), "a:str");
}

#[test]
fn headers_may_be_anything() {
    assert_eq!(
        types("my col,a,a,,a.1,a\n1,2,3,4,5,6\n", "", false),
        "my col:int a:int a.1:int Unnamed: 3:int a.1.1:int a.2:int"
    );
    assert!(types("my col\n1\n", "", true).contains("schema/field-name"));
    assert!(types("", "", false).contains("file/empty"));
    assert!(types("\n\n", "", false).contains("file/empty"));
}

#[test]
fn options() {
    check("a|b\n1|x\n", "delimiter: '|'", &[r#"{"a":1,"b":"x"}"#]);
    check("a\tb\n1\tx\n", r"sep: '\t'", &[r#"{"a":1,"b":"x"}"#]);
    check(
        "#top\na,b\n1,x # one\n# all\n2,\"#\"\n",
        "comment: '#'",
        &[r#"{"a":1,"b":"x "}"#, r##"{"a":2,"b":"#"}"##],
    );
    check("1,x\n2,y\n", "names: [a, b]", &[r#"{"a":1,"b":"x"}"#, r#"{"a":2,"b":"y"}"#]);
    check("p,q\n1,x\n", "names: [a, b], header: 0", &[r#"{"a":1,"b":"x"}"#]);
    check("1,x\n", "header: null", &[r#"{"0":1,"1":"x"}"#]);
    check("junk\n\"junk\na,b\n1,2\n", "skiprows: 2, quoting: 3", &[r#"{"a":1,"b":2}"#]);
    check("a\njunk\n1\n", "skiprows: [1]", &[r#"{"a":1}"#]);
    check("a,b,c\n1,2,3\n", "usecols: [c, 0]", &[r#"{"a":1,"c":3}"#]);
    check("a,b\n1,2\n", "dtype: {a: str, b: float}", &[r#"{"a":"1","b":2.0}"#]);
    check("a,b\n007,\n", "dtype: int", &[r#"{"a":7,"b":null}"#]);
    check("a\n-\nNA\n1\n", "na_values: '-'", &[r#"{"a":null}"#, r#"{"a":null}"#, r#"{"a":1.0}"#]);
    check("a\nNA\n", "keep_default_na: false", &[r#"{"a":"NA"}"#]);
    check("a,b\n'1,2',x\n", "quotechar: \"'\"", &[r#"{"a":"1,2","b":"x"}"#]);
    check("a, b\n1, \"x,\ny\"\n", "skipinitialspace: true", &[r#"{"a":1,"b":"x,\ny"}"#]);
    check(
        "a;b\n1.234,5;x\n2;y\n",
        "sep: ';', decimal: ',', thousands: '.'",
        &[r#"{"a":1234.5,"b":"x"}"#, r#"{"a":2.0,"b":"y"}"#],
    );
    check("a\n\"1,234\"\n", "thousands: ','", &[r#"{"a":1234}"#]);
    check(
        "a;b\n1,5;x\n2.5;y\n",
        "sep: ';', decimal: ','",
        &[r#"{"a":"1,5","b":"x"}"#, r#"{"a":"2.5","b":"y"}"#],
    );
    check(
        "a,b\nyes,1\nTrue,0\nno,1\n",
        "true_values: ['yes'], false_values: ['no']",
        &[r#"{"a":true,"b":1}"#, r#"{"a":true,"b":0}"#, r#"{"a":false,"b":1}"#],
    );
    check(
        "a,b\n1,0\n",
        "true_values: ['1'], false_values: ['0'], dtype: {a: bool}",
        &[r#"{"a":true,"b":0}"#],
    );
    check(
        "a,b\n2024-01-02,2024-01-02T10:00:00+02:00\n2024-01-03 10:00,\n",
        "parse_dates: [a, 1]",
        &[
            r#"{"a":"2024-01-02T00:00:00","b":"2024-01-02T08:00:00Z"}"#,
            r#"{"a":"2024-01-03T10:00:00","b":null}"#,
        ],
    );
    check("junk\n\na,b\n1,2\n", "header: 1", &[r#"{"a":1,"b":2}"#]);
    check("x,y\na,b\n1,2\n", "header: 1, names: [p, q]", &[r#"{"p":1,"q":2}"#]);
    check("a\n1\n2\nx\n", "nrows: 2", &[r#"{"a":1}"#, r#"{"a":2}"#]);
    check(
        "a,b\n1.50,2024-02-29\n7,\n",
        "dtype: {a: 'decimal(9, 2)', b: date}",
        &[r#"{"a":1.5,"b":"2024-02-29"}"#, r#"{"a":7.0,"b":null}"#],
    );
    check(
        "a,b\n1,x\n2.5,3\n",
        "schema: {a: {type: number}, b: {type: [string, number]}}",
        &[r#"{"a":1.0,"b":"x"}"#, r#"{"a":2.5,"b":"3"}"#],
    );
    check(
        "a,b\n1,x\\,y\n2,\"q\\\"r\"\n3,two\\\nlines\n",
        "escapechar: '\\'",
        &[r#"{"a":1,"b":"x,y"}"#, r#"{"a":2,"b":"q\"r"}"#, r#"{"a":3,"b":"two\nlines"}"#],
    );
    check("a\n1\n", "filename_column: from", &[r#"{"a":1,"from":"{}/a.csv"}"#]);
    check(
        "b,a,extra\n1,2024-01-01T00:00:00Z,3\n",
        "schema: {type: object, properties: {a: {type: timestamp}, b: {type: string}, c: {type: integer}}}",
        &[r#"{"a":"2024-01-01T00:00:00Z","b":"1","c":null}"#],
    );
}

#[test]
fn options_that_make_no_sense_are_refused() {
    refused("a\n1\n", "delimiter: '||'", "config/not-one-character");
    refused("a\n1\n", "dtype: {b: int}", "the file has no column `b`");
    refused("a\n1\n", "dtype: {a: datetime64}", "`datetime64` is not a type of column");
    refused("a\n1\n", "usecols: [nope]", "the file has no column `nope`");
    refused("a\n1\n", "parse_dates: [b]", "the file has no column `b`");
    refused("a\n01/02/2024\n", "parse_dates: [a]", "no date in ISO 8601");
    refused("a\n2024-01-02\nsoon\n", "parse_dates: [a]", "cannot read \"soon\" as datetime in column `a`");
    refused("a\n1\n", "parse_date: [a]", "has no field `parse_date`");
    refused("a\n1\n", "seperator: ';'", "did you mean `sep`?");
    refused("a\n1\n", "nrows: -1", "cannot be negative");
    refused("a\n1\n", "index_col: true", "a pandas index");
    refused("a\n1\n", "dtype: {a: 'decimal(2, 3)'}", "is not a type of column");
    refused("a\n1.005\n", "dtype: {a: 'decimal(9, 2)'}", "it has more than 2 decimals");
    refused("a\n1\n", "encoding: latin-1", "`latin-1` are not supported");
    refused("a\n1\n", "filename_column: a", "already have a column `a`");
    refused("a\n1\n", "skiprows: -1", "cannot be negative");
    refused(
        "a\n1\n",
        "schema: {properties: {a: {type: array, items: {type: string}}}}",
        "cannot be list<str>",
    );
    refused("a\n1\n", "on_bad_lines: skip, error_handling: {output: bad}", "config/conflict");
    refused("a\n1\n", "header: 3", "it has no header");
    refused("a\n1\n", "header: top", "the number of a row");
}

#[test]
fn bad_lines() {
    let text = "a,b,c\n1,2,3\n\n1,\"x\ny\",3,4\n5,6\n";
    refused(
        text,
        "",
        "{}/a.csv:4: Expected 3 fields in line 4, saw 4; to go on without such lines, give the transform `error_handling",
    );
    let got = read(text, "error_handling: {output: bad}").unwrap();
    assert_eq!(got.rows, [r#"{"a":1,"b":2,"c":3.0}"#, r#"{"a":5,"b":6,"c":null}"#]);
    assert_eq!((got.read, got.dead, got.skipped), (4, 1, 1));
    assert!(got.errors[0].contains(r#""line":4,"text":"1,\"x\ny\",3,4""#), "{:?}", got.errors);
    let got = read(text, "on_bad_lines: skip").unwrap();
    assert_eq!((got.rows.len(), got.dead, got.skipped), (2, 1, 1));
}

/// A file whose second column is of one type for `n` rows and of another then.
fn turning(n: usize, before: &str, after: &str) -> String {
    let mut text = "i,v\n".to_owned();
    for i in 0..n {
        writeln!(text, "{i},{before}").unwrap();
    }
    text + "x,1\n99," + after + "\n"
}

#[test]
fn what_contradicts_the_sample_is_a_bad_line() {
    let got = read(&turning(1000, "5", "abc"), "error_handling: {output: bad}").unwrap();
    assert_eq!((got.rows.len(), got.dead), (1000, 2));
    assert!(got.errors[0].contains(r#"cannot read \"x\" as int in column `i`"#), "{:?}", got.errors);
    assert!(
        got.errors[1].contains(r#"cannot read \"abc\" as int in column `v`"#)
            && got.errors[1].contains("a.csv:1003:4"),
        "{:?}",
        got.errors
    );
    refused(
        &turning(1000, "5", "2.5"),
        "dtype: {i: str}",
        "the type was sampled from the first 1000 rows; if they mislead, give `dtype: {v: str}`",
    );
    refused(&turning(1000, "5", "007"), "dtype: {i: str}", "would lose its leading zeros");
    assert!(read(&turning(1000, "5", ""), "dtype: {i: str}").is_ok(), "a null fits any type");
    assert!(read(&turning(900, "5", "abc"), "").is_ok(), "the sample holds the change");
}

#[test]
fn files_of_one_pattern_have_the_same_columns() {
    let folder =
        |second: &str| Folder::new(&[("1.csv", b"a,b\n1,x\n"), ("2.csv", second.as_bytes()), ("3.csv", b"")]);
    let got = folder("b,a\ny,2\n").read(&source::entry(), "{path: '{}/*.csv'}").unwrap();
    assert_eq!(got.rows, [r#"{"a":1,"b":"x"}"#, r#"{"a":2,"b":"y"}"#]);
    for (second, want) in [("a\n1\n", "has no column `b`"), ("a,b,c\n1,2,3\n", "has a column `c`")] {
        let e = folder(second).read(&source::entry(), "{path: '{}/*.csv'}").unwrap_err();
        assert!(e.contains(want) && e.contains("2.csv"), "{e}");
    }
}

#[test]
fn hostile_files() {
    check("a,b\n\0,x\n", "", &[r#"{"a":"\u0000","b":"x"}"#]);
    refused(
        "a,b\n1,\"never closed\n2,x\n3,y\n",
        "",
        "{}/a.csv:2:3: the quote opened in line 2 is never closed",
    );
    let got = read("a,b\n1,\"open\n2,x\n3,y\n", "error_handling: {output: bad}").unwrap();
    assert_eq!((got.rows.len(), got.dead), (2, 1));
    let columns: Vec<String> = (0..10_000).map(|i| format!("c{i}")).collect();
    let row: Vec<String> = (0..10_000).map(|i| i.to_string()).collect();
    let text = format!("{}\n{}\n{}\n", columns.join(","), row.join(","), row.join(","));
    let folder = Folder::new(&[("a.csv", text.as_bytes())]);
    let node = folder.bind(&source::entry(), "{path: '{}/a.csv'}", None, false).unwrap();
    let mut needed = vec![false; 10_000];
    needed[9_999] = true;
    let got = folder.run(node.prune(&needed).unwrap().as_ref(), 10).unwrap();
    assert_eq!(got.rows.len(), 2);
    assert!(got.rows[0].ends_with(r#""c9998":null,"c9999":9999}"#));
}

#[test]
fn a_reader_goes_on_where_it_stopped() {
    let text = b"a,b\n1,\"x\ny\"\n2,z\n";
    let folder = Folder::new(&[("1.csv", text), ("2.csv", b"b,a\nw,3\n\nv,4\n"), ("3.csv.gz", &gzip(text))]);
    check_source(folder.bind(&source::entry(), "{path: '{}/*'}", None, false).unwrap().as_ref());
    let lines = "{path: '{}/*', error_handling: {output: bad}, quoting: 3}";
    check_source(folder.bind(&source::entry(), lines, None, false).unwrap().as_ref());
}

fn written(rows: &str, config: &str) -> String {
    let config = format!("{{path: '{{}}/out', {config}}}");
    let shape = shape_of(rows).unwrap();
    let files = Folder::new(&[]).write(&sink::entry(), &config, shape, &[batch(rows).unwrap()], false);
    match files {
        Ok(files) => files.into_iter().map(|(_, text)| text).collect::<Vec<_>>().join("--\n"),
        Err(e) => e,
    }
}

#[test]
fn rows_are_written_as_pandas_does() {
    let rows = r#"[{"a": 1, "b": "x", "c": 1.5, "d": true, "e": [1, 2]},
                   {"a": null, "b": "y|z, \"q\"\nw", "c": null, "d": false, "e": null},
                   {"a": 3, "b": "", "c": 1e20, "d": null, "e": []}]"#;
    assert_eq!(
        written(rows, ""),
        "a,b,c,d,e\n1,x,1.5,True,\"[1, 2]\"\n,\"y|z, \"\"q\"\"\nw\",,False,\n3,,1e+20,,[]\n"
    );
    let rows = r#"[{"a": 1, "b": "y|z"}, {"a": null, "b": "é"}]"#;
    assert_eq!(written(rows, "delimiter: '|'"), "a|b\n1|\"y|z\"\n|é\n");
    assert_eq!(written(rows, "header: false, na_rep: '-', columns: [b, a]"), "y|z,1\né,-\n");
    assert_eq!(written(rows, "header: [x, y], quoting: 2"), "\"x\",\"y\"\n1,\"y|z\"\n\"\",\"é\"\n");
    assert_eq!(written(rows, "num_shards: 2"), "a,b\n1,y|z\n--\na,b\n,é\n");
    assert_eq!(written(r#"[{"a": null}, {"a": "x"}]"#, ""), "a\n\"\"\nx\n");
    assert!(written(rows, "columns: [c]").contains("the rows have no field `c`"));
    assert!(written(rows, "float_format: x").contains("has no field `float_format`"));
    assert!(written(rows, "quoting: 7").contains("`quoting` is 0"));
}

#[test]
fn no_rows_write_nothing() {
    let shape = shape_of(r#"[{"v": "x"}]"#).unwrap();
    let files = Folder::new(&[]).write(&sink::entry(), "{path: '{}/out'}", shape, &[], false).unwrap();
    assert_eq!(files, []);
}

#[test]
fn a_writer_that_is_killed_writes_each_row_once() {
    check_sink(&sink::entry(), &source::entry(), &["", ", compression: bz2"], true);
    check_names(&sink::entry());
}
