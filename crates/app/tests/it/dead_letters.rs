//! Dead letters from end to end: kept, looked at, mended, replayed, dropped; each row once, whatever is killed.

use crate::scratch::{Ran, Scratch};
use serde_json::Value;

const PIPELINE: &str = "
pipeline:
  transforms:
    - type: ReadFromCsv
      name: Orders
      config:
        path: orders.csv
        schema: {type: object, properties: {id: {type: integer}, total: {type: number}, quantity: {type: integer}}}
        error_handling: {output: broken}
    - type: MapToFields
      name: Priced
      input: Orders
      config:
        language: python
        fields: {id: id, price: total / quantity}
        error_handling: {output: failed}
    - {type: WriteToJson, name: Good, input: Priced, config: {path: out/good}}
    - {type: WriteToDeadLetters, name: Letters, input: [Orders.broken, Priced.failed]}
";

/// Two rows that a transform refuses and one that the reader does.
const ORDERS: &str = "id,total,quantity\n1,10,2\n2,x,3\n3,9,0\n4,8,4\n5,7,0\n";

fn run_with(pipeline: &str) -> Scratch {
    let s = Scratch::new();
    s.write("p.yaml", pipeline).write("orders.csv", ORDERS);
    ok(s.purlin(&["run", "p.yaml"]));
    s
}

fn ok(ran: Ran) -> Ran {
    assert_eq!(ran.code, 0, "{ran:?}");
    ran
}

fn letters(s: &Scratch, args: &[&str]) -> Ran {
    s.purlin(&[&["deadletters"], args].concat())
}

/// The store as `list` tells it.
fn list(s: &Scratch) -> Value {
    let all: Value = serde_json::from_str(&ok(letters(s, &["list", "p.yaml", "--json"])).out).expect("JSON");
    let one = all[0].clone();
    let of = |name: &str| one[name].as_u64().expect("a count");
    assert_eq!(of("kept"), of("waiting") + of("replayed") + of("dropped"), "{one}");
    assert_eq!(of("kept"), one["letters"].as_array().expect("letters").len() as u64);
    one
}

fn counts(s: &Scratch) -> [u64; 4] {
    let all = list(s);
    ["kept", "waiting", "replayed", "dropped"].map(|name| all[name].as_u64().expect("a count"))
}

/// The letter whose row has this text in it.
fn letter(s: &Scratch, part: &str) -> Value {
    let all = list(s);
    let mut found = all["letters"].as_array().expect("letters").iter();
    found.find(|l| l["element"].to_string().contains(part)).unwrap_or_else(|| panic!("{part}: {all}")).clone()
}

fn id(s: &Scratch, part: &str) -> String {
    letter(s, part)["id"].as_str().expect("an id").to_owned()
}

const FIRST: [&str; 2] = [r#"{"id":1,"price":5.0}"#, r#"{"id":4,"price":2.0}"#];

fn good(s: &Scratch, more: &[&str]) {
    let mut wanted: Vec<&str> = FIRST.iter().chain(more).copied().collect();
    wanted.sort_unstable();
    assert_eq!(s.lines("out/good"), wanted);
}

#[test]
fn letters_are_mended_and_replayed_once() {
    let s = run_with(PIPELINE);
    assert_eq!(counts(&s), [3, 3, 0, 0]);
    let broken = letter(&s, "2,x,3");
    assert_eq!(broken["position"], "orders.csv:3:3");
    assert_eq!(broken["transform"], "Orders");
    assert_eq!(letter(&s, "\"id\":3")["transform"], "Priced");

    // A dry run changes nothing.
    let before = s.names();
    let dry = ok(letters(&s, &["replay", "p.yaml", "--all", "--dry-run"]));
    assert!(dry.out.contains("1 letter would be decoded again by Orders"), "{dry:?}");
    assert!(dry.out.contains("2 letters would be given again to Priced"), "{dry:?}");
    assert_eq!((s.names(), counts(&s)), (before, [3, 3, 0, 0]));
    assert!(!s.path().join(".purlin/deadletters/p/journal.jsonl").exists());
    good(&s, &[]);

    ok(letters(&s, &["edit", &id(&s, "\"id\":3"), "--set", "quantity=3"]));
    s.write("line.txt", "2,12,3\n");
    ok(letters(&s, &["edit", &id(&s, "2,x,3"), "--payload-file", "line.txt"]));
    let ran = ok(letters(&s, &["replay", "p.yaml", "--all"]));
    assert!(ran.out.contains("read 3 = replayed 2 + failed again 1"), "{ran:?}");
    assert!(ran.err.contains("ledger: read 3;") && ran.err.contains("every transform balances"), "{ran:?}");
    good(&s, &[r#"{"id":2,"price":4.0}"#, r#"{"id":3,"price":3.0}"#]);

    // The one that failed again is the same letter.
    assert_eq!(counts(&s), [3, 1, 2, 0]);
    let again = letter(&s, "\"id\":5");
    assert_eq!((&again["state"], &again["attempts"]), (&Value::from("waiting"), &Value::from(2)));
    let shown = ok(letters(&s, &["show", &id(&s, "\"id\":3")])).out;
    for part in ["\"quantity\":0", "edited to  {\"id\":3,\"total\":9.0,\"quantity\":3}", "replayed in"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }

    // What is replayed stays so.
    let ran = letters(&s, &["replay", "p.yaml", &id(&s, "\"id\":3")]);
    assert!(ran.code == 2 && ran.err.contains("is replayed and does not wait any more"), "{ran:?}");
    ok(letters(&s, &["drop", "--all", "p", "--where", "reason~ZeroDivision"]));
    assert_eq!(counts(&s), [3, 0, 2, 1]);
    assert!(ok(letters(&s, &["replay", "p.yaml", "--all"])).out.contains("no such letters wait"));
    good(&s, &[r#"{"id":2,"price":4.0}"#, r#"{"id":3,"price":3.0}"#]);
}

#[test]
fn a_killed_replay_is_completed_and_nothing_is_doubled() {
    for death in ["began", "prepared", "shown"] {
        let s = run_with(PIPELINE);
        ok(letters(&s, &["edit", &id(&s, "\"id\":3"), "--set", "quantity=3"]));
        let ended = s.dies(&["deadletters", "replay", "p.yaml", "--all", "--die-at", death]);
        assert!(!ended, "{death}: it came to its end");
        assert_eq!(counts(&s), [3, 3, 0, 0], "{death}: nothing is decided before it is done");
        let ran = letters(&s, &["list", "p"]);
        assert!(ran.out.contains("of 3 letters was interrupted"), "{death}: {ran:?}");
        if death != "shown" {
            good(&s, &[]);
        }
        let ran = letters(&s, &["edit", &id(&s, "\"id\":3"), "--set", "quantity=9"]);
        assert!(ran.code == 2 && ran.err.contains("belongs to replay"), "{death}: {ran:?}");
        // Each letter is handled once by a call: those that failed again in the old replay are not taken anew.
        let ran = ok(letters(&s, &["replay", "p.yaml", "--all"]));
        assert!(ran.out.contains("read 3 = replayed 1 + failed again 2"), "{death}: {ran:?}");
        good(&s, &[r#"{"id":3,"price":3.0}"#]);
        assert_eq!(counts(&s), [3, 2, 1, 0], "{death}");
        assert_eq!(letter(&s, "\"id\":5")["attempts"], 2, "{death}");
        ok(letters(&s, &["replay", "p.yaml", "--all"]));
        assert_eq!(letter(&s, "\"id\":5")["attempts"], 3, "{death}");
        good(&s, &[r#"{"id":3,"price":3.0}"#]);
    }
}

#[test]
fn letters_that_came_after_an_interrupted_replay_are_given_in_the_same_call() {
    let s = run_with(PIPELINE);
    ok(letters(&s, &["edit", &id(&s, "\"id\":3"), "--set", "quantity=3"]));
    assert!(!s.dies(&["deadletters", "replay", "p.yaml", "--all", "--die-at", "began"]));
    s.write("orders.csv", "id,total,quantity\n6,8,0\n");
    ok(s.purlin(&["run", "p.yaml"]));
    assert_eq!(counts(&s), [4, 4, 0, 0]);
    ok(letters(&s, &["edit", &id(&s, "\"id\":6"), "--set", "quantity=4"]));
    let ran = ok(letters(&s, &["replay", "p.yaml", "--all"]));
    assert!(ran.out.contains("read 3 = replayed 1 + failed again 2"), "{ran:?}");
    assert!(ran.out.contains("read 1 = replayed 1 + failed again 0"), "{ran:?}");
    assert_eq!(counts(&s), [4, 2, 2, 0]);
    assert!(!letters(&s, &["list", "p"]).out.contains("interrupted"));
}

#[test]
fn a_replay_that_died_between_two_writers_is_completed() {
    let s = run_with(&format!(
        "{PIPELINE}    - {{type: WriteToCsv, name: Table, input: Priced, config: {{path: out/table}}}}\n"
    ));
    ok(letters(&s, &["edit", &id(&s, "\"id\":3"), "--set", "quantity=3"]));
    assert!(!s.dies(&["deadletters", "replay", "p.yaml", "--all", "--die-at", "prepared"]));
    // One of them had given its file its name.
    let out = s.path().join("out");
    let hidden =
        std::fs::read_dir(&out).expect("out").flatten().map(|e| e.file_name().to_string_lossy().into_owned());
    let hidden = hidden.into_iter().find(|n| n.starts_with(".good-replay-")).expect("a hidden file");
    let stem = hidden.trim_start_matches('.').split(".tmp-").next().expect("a stem");
    std::fs::rename(out.join(&hidden), out.join(format!("{stem}-00000-of-00001"))).expect("renamed");
    // The pipeline would give something else by now: what was decided is shown all the same.
    s.write(
        "p.yaml",
        std::fs::read_to_string(s.path().join("p.yaml")).expect("text").replace("total / quantity", "total"),
    );
    ok(letters(&s, &["replay", "p.yaml"]));
    good(&s, &[r#"{"id":3,"price":3.0}"#]);
    let table = s.lines("out/table");
    assert_eq!(table.iter().filter(|l| l.starts_with("3,")).count(), 1, "{table:?}");
    assert_eq!(counts(&s), [3, 2, 1, 0]);
    let left = std::fs::read_dir(&out).expect("out").flatten();
    assert!(
        left.into_iter().all(|e| !e.file_name().to_string_lossy().starts_with('.')),
        "no hidden file is left"
    );
}

#[test]
fn a_replay_that_fails_shows_nothing_and_its_letters_wait() {
    let s = run_with(PIPELINE);
    ok(letters(&s, &["edit", &id(&s, "\"id\":3"), "--set", "quantity=3"]));
    // Without an error output the first bad row fails the run.
    let strict = PIPELINE
        .replace("        error_handling: {output: failed}\n", "")
        .replace("[Orders.broken, Priced.failed]", "[Orders.broken]");
    s.write("p.yaml", strict);
    let ran = letters(&s, &["replay", "p.yaml", "--all"]);
    assert!(ran.code == 1 && ran.err.contains("nothing of it was shown"), "{ran:?}");
    assert_eq!(counts(&s), [3, 3, 0, 0]);
    assert_eq!(letter(&s, "\"id\":5")["attempts"], 1);
    good(&s, &[]);
    s.write("p.yaml", PIPELINE);
    ok(letters(&s, &["replay", "p.yaml", "--all"]));
    good(&s, &[r#"{"id":3,"price":3.0}"#]);
}

#[test]
fn letters_that_do_not_fit_are_refused_before_anything_is_touched() {
    let s = run_with(PIPELINE);
    s.write("p.yaml", PIPELINE.replace("Priced", "Prices"));
    let ran = letters(&s, &["replay", "p.yaml", "--all"]);
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.err.contains("no transform `Priced`") && ran.err.contains("renamed to `Prices`"), "{ran:?}");
    s.write("p.yaml", PIPELINE.replace("quantity", "amount"));
    let ran = letters(&s, &["replay", "p.yaml", "--all"]);
    assert!(ran.code == 2 && ran.err.contains("`quantity` has no place"), "{ran:?}");
    assert!(!s.path().join(".purlin/deadletters/p/journal.jsonl").exists());
    good(&s, &[]);
}

#[test]
fn letters_of_another_file_of_the_same_name_are_not_given_to_this_one() {
    let s = run_with(PIPELINE);
    s.write("other/p.yaml", PIPELINE);
    let ran = letters(&s, &["replay", "other/p.yaml", "--all"]);
    assert!(ran.code == 2 && ran.err.contains("was kept by `p.yaml`"), "{ran:?}");
    std::fs::remove_file(s.path().join("p.yaml")).expect("removed");
    ok(letters(&s, &["replay", "other/p.yaml", "--all"]));
    assert_eq!(counts(&s), [3, 3, 0, 0], "a file that was moved is the same pipeline");
    // Letters of one run are told from those of others by their names.
    let run = id(&s, "\"id\":5").split('.').next().expect("a run").to_owned();
    ok(s.purlin(&["run", "other/p.yaml"]));
    assert_eq!(counts(&s), [6, 6, 0, 0]);
    ok(letters(&s, &["drop", "--all", "p", "--where", &format!("id~{run}.")]));
    assert_eq!(counts(&s), [6, 3, 0, 3]);
}

#[test]
fn a_row_that_fails_further_down_is_a_new_letter() {
    // What was refused by the reader gets past it, and is refused by the next.
    let s = run_with(PIPELINE);
    let reader = id(&s, "2,x,3");
    ok(letters(&s, &["edit", &reader, "--set", "text=2,12,0"]));
    let ran = ok(letters(&s, &["replay", "p.yaml", &reader]));
    assert!(ran.out.contains("read 1 = replayed 1 + failed again 0"), "{ran:?}");
    assert_eq!(counts(&s), [4, 3, 1, 0]);
    let new = letter(&s, "\"id\":2");
    assert_eq!((&new["transform"], &new["attempts"]), (&Value::from("Priced"), &Value::from(1)));
    good(&s, &[]);
}

#[test]
fn rows_go_back_at_their_time_and_into_their_window() {
    let s = Scratch::new();
    s.write(
        "p.yaml",
        "
pipeline:
  transforms:
    - type: Create
      name: Events
      config:
        elements: [{t: 10, v: a}, {t: 20, v: '1'}, {t: 70, v: b}]
    - {type: AssignTimestamps, name: Timed, input: Events, config: {timestamp: t}}
    - type: WindowInto
      name: Windowed
      input: Timed
      windowing: {type: sliding, size: 60s, period: 30s}
    - type: MapToFields
      name: Parsed
      input: Windowed
      config: {language: python, fields: {n: int(v)}, error_handling: {output: bad}}
    - {type: Combine, name: Sums, input: Parsed, config: {group_by: [], combine: {n: sum}}}
    - {type: WriteToJson, name: Out, input: Sums, config: {path: out/sums}}
    - {type: WriteToDeadLetters, name: Letters, input: Parsed.bad}
",
    );
    ok(s.purlin(&["run", "p.yaml"]));
    // Each row is in two windows, and is a letter in each.
    assert_eq!(counts(&s), [4, 4, 0, 0]);
    for l in list(&s)["letters"].as_array().expect("letters") {
        let value = if l["element"]["v"] == "a" { "v=\"5\"" } else { "v=\"7\"" };
        ok(letters(&s, &["edit", l["id"].as_str().expect("an id"), "--set", value]));
    }
    ok(letters(&s, &["replay", "p.yaml", "--all", "--lanes", "2"]));
    let mut names: Vec<String> = std::fs::read_dir(s.path().join("out"))
        .expect("out")
        .map(|e| e.expect("a name").file_name().to_string_lossy().into_owned())
        .filter(|n| n.contains("-replay-"))
        .map(|n| n.split("-replay-").next().unwrap_or_default().to_owned())
        .collect();
    names.sort();
    assert_eq!(
        names,
        [
            "sums-1969-12-31T23:59:30-1970-01-01T00:00:30",
            "sums-1970-01-01T00:00:00-1970-01-01T00:01:00",
            "sums-1970-01-01T00:00:30-1970-01-01T00:01:30",
            "sums-1970-01-01T00:01:00-1970-01-01T00:02:00",
        ]
    );
    assert_eq!(s.lines("out/sums").iter().filter(|l| l.as_str() == r#"{"n":5}"#).count(), 2);
    assert_eq!(s.lines("out/sums").iter().filter(|l| l.as_str() == r#"{"n":7}"#).count(), 2);
}

#[test]
fn plain_rows_need_a_reason() {
    let pipeline = |config: &str| {
        format!(
            "
pipeline:
  transforms:
    - {{type: Create, name: Rows, config: {{elements: [{{a: 1}}, {{a: -1}}]}}}}
    - {{type: Partition, name: Split, input: Rows, config: {{language: python, by: \"'ok' if a > 0 else 'odd'\", outputs: [ok, odd]}}}}
    - {{type: WriteToJson, name: Out, input: Split.ok, config: {{path: out/good}}}}
    - {{type: WriteToDeadLetters, name: Letters, input: Split.odd{config}}}
"
        )
    };
    let s = Scratch::new();
    s.write("p.yaml", pipeline(""));
    let ran = s.purlin(&["run", "p.yaml"]);
    assert!(ran.code == 2 && ran.err.contains("add `reason: TEXT`"), "{ran:?}");
    s.write("p.yaml", pipeline(", config: {reason: negative}"));
    ok(s.purlin(&["run", "p.yaml"]));
    assert_eq!(letter(&s, "-1")["reason"], "negative");
    ok(letters(&s, &["replay", "p.yaml", "--all"]));
    assert_eq!(letter(&s, "-1")["attempts"], 2);
    ok(letters(&s, &["edit", &id(&s, "-1"), "--set", "a=2"]));
    ok(letters(&s, &["replay", "p.yaml", "--all"]));
    assert_eq!(s.lines("out/good"), [r#"{"a":1}"#, r#"{"a":2}"#]);
    let two = pipeline(
        ", config: {reason: x}}\n    - {type: WriteToDeadLetters, name: More, input: Split.odd, config: {reason: x}",
    );
    s.write("p.yaml", two);
    let ran = s.purlin(&["check", "p.yaml"]);
    assert!(ran.code == 2 && ran.err.contains("both write the dead letters of the pipeline"), "{ran:?}");
}

#[test]
fn a_damaged_file_is_named_and_the_other_letters_are_shown() {
    let s = run_with(PIPELINE);
    let folder = s.path().join(".purlin/deadletters/p");
    let file = std::fs::read_dir(&folder).expect("letters").flatten().next().expect("a file").path();
    let text = std::fs::read_to_string(&file).expect("text");
    std::fs::write(&file, text.replacen("\"total\":9.0", "\"total\":8.0", 1)).expect("written");
    let ran = letters(&s, &["list", "p.yaml"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.err.contains("line 2 is damaged") || ran.err.contains("line 3 is damaged"), "{ran:?}");
    assert!(ran.err.contains(&file.file_name().expect("a name").to_string_lossy().into_owned()), "{ran:?}");
    assert!(ran.out.contains("kept 2 = waiting 2 + replayed 0 + dropped 0; 1 damaged"), "{ran:?}");
    // With the journal damaged letters are still shown, and nothing is done to them.
    ok(letters(&s, &["edit", "--set", "quantity=7", &first_id(&ran, "ZeroDivision")]));
    let journal = folder.join("journal.jsonl");
    let text = std::fs::read_to_string(&journal).expect("text");
    std::fs::write(&journal, text.replace("quantity", "quantitY")).expect("written");
    let ran = letters(&s, &["list", "p.yaml"]);
    assert!(ran.code == 1 && ran.err.contains("journal.jsonl`, line 2 is damaged"), "{ran:?}");
    assert!(ran.out.contains("kept 2 ="), "{ran:?}");
    let ran = letters(&s, &["replay", "p.yaml", "--all"]);
    assert!(ran.code == 1 && ran.err.contains("nothing is done to them"), "{ran:?}");
    good(&s, &[]);
}

/// The name on the first line of a list that has this text.
fn first_id(ran: &Ran, part: &str) -> String {
    let line = ran.out.lines().find(|l| l.contains(part)).expect("a line");
    line.split_whitespace().next().expect("an id").to_owned()
}

fn hidden(folder: &std::path::Path) -> Vec<String> {
    let names = std::fs::read_dir(folder).expect("a folder").flatten().map(|e| e.file_name());
    names.map(|n| n.to_string_lossy().into_owned()).filter(|n| n.starts_with('.')).collect()
}

#[test]
fn a_run_that_dies_after_every_checkpoint_keeps_the_same_letters() {
    let what = |s: &Scratch| {
        let all = list(s);
        let letters = all["letters"].as_array().expect("letters").iter();
        let mut texts: Vec<String> = letters
            .map(|l| format!("{} {} {} {}", l["transform"], l["position"], l["reason"], l["element"]))
            .collect();
        texts.sort();
        texts
    };
    let wanted = what(&run_with(PIPELINE));
    assert_eq!(wanted.len(), 3);
    for lanes in ["1", "2"] {
        let s = Scratch::new();
        s.write("p.yaml", PIPELINE).write("orders.csv", ORDERS);
        ok(s.purlin(&["run", "p.yaml", "--rehearse-deaths", "--batch-rows", "1", "--lanes", lanes]));
        assert_eq!(what(&s), wanted);
        good(&s, &[]);
        assert_eq!(hidden(&s.path().join(".purlin/deadletters/p")), [""; 0]);
        // They are letters like all others.
        ok(letters(&s, &["edit", &id(&s, "\"id\":3"), "--set", "quantity=3"]));
        ok(letters(&s, &["replay", "p.yaml", "--all"]));
        assert_eq!(counts(&s), [3, 2, 1, 0]);
        good(&s, &[r#"{"id":3,"price":3.0}"#]);
    }
}

#[test]
fn files_of_every_format_are_one_effect_of_a_replay() {
    let more = "    - {type: WriteToParquet, name: Table, input: Priced, config: {path: out/table}}
    - {type: WriteToAvro, name: Records, input: Priced, config: {path: out/records}}
    - {type: WriteToCsv, name: Lines, input: Priced, config: {path: out/lines}}
    - {type: WriteToJson, name: Nothing, input: None, config: {path: out/nothing}}
    - {type: Filter, name: None, input: Priced, config: {language: python, keep: id > 100}}
";
    for death in ["began", "prepared", "shown"] {
        let s = run_with(&format!("{PIPELINE}{more}"));
        ok(letters(&s, &["edit", &id(&s, "\"id\":3"), "--set", "quantity=3"]));
        assert!(!s.dies(&["deadletters", "replay", "p.yaml", "--all", "--die-at", death]));
        ok(letters(&s, &["replay", "p.yaml"]));
        let out = s.path().join("out");
        assert_eq!(hidden(&out), [""; 0], "{death}");
        let mut made: Vec<String> = std::fs::read_dir(&out)
            .expect("out")
            .flatten()
            .map(|e| e.file_name().to_string_lossy().into_owned())
            .filter(|n| n.contains("-replay-"))
            .collect();
        made.sort();
        let of: Vec<&str> = made.iter().filter_map(|n| n.split('-').next()).collect();
        assert_eq!(of, ["good", "lines", "records", "table"], "{death}: {made:?}");
        assert!(made.iter().all(|n| n.contains("-00000-of-00001")), "{made:?}");
        let table = std::fs::read(out.join(made.last().expect("a table"))).expect("bytes");
        assert!(table.starts_with(b"PAR1") && table.ends_with(b"PAR1"), "{death}");
        good(&s, &[r#"{"id":3,"price":3.0}"#]);
    }
}

#[test]
fn rows_that_a_later_transform_refuses_say_which_line_they_were() {
    let s = Scratch::new();
    // In pieces of a few lines, some lines without rows, one that is broken, and a filter in between.
    let lines: Vec<String> = (1..=2000)
        .map(|n| match n {
            n if n % 97 == 0 => String::new(),
            n if n % 499 == 0 => "{\"broken".to_owned(),
            n => format!("{{\"id\": {n}, \"quantity\": {}}}", i32::from(n % 250 != 3)),
        })
        .collect();
    s.write("orders.jsonl", lines.join("\n"));
    s.write(
        "p.yaml",
        "
pipeline:
  transforms:
    - type: ReadFromJson
      name: Orders
      config:
        path: orders.jsonl
        schema: {type: object, properties: {id: {type: integer}, quantity: {type: integer}}}
        error_handling: {output: broken}
    - {type: Filter, name: Some, input: Orders, config: {language: python, keep: id % 3 != 1}}
    - type: MapToFields
      name: Share
      input: Some
      config: {language: python, fields: {id: id, share: 1 / quantity}, error_handling: {output: failed}}
    - {type: WriteToJson, name: Good, input: Share, config: {path: good}}
    - {type: WriteToDeadLetters, name: Letters, input: [Orders.broken, Share.failed]}
",
    );
    ok(s.purlin(&["run", "p.yaml", "--lanes=3", "--piece-bytes=200"]));
    let all = list(&s);
    let mut found = Vec::new();
    for letter in all["letters"].as_array().expect("letters") {
        let position = letter["position"].as_str().expect("a position");
        match letter["element"]["id"].as_i64() {
            Some(id) => assert_eq!(position, format!("orders.jsonl:{id}")),
            None => assert!(position.starts_with("orders.jsonl:") && letter["element"]["line"].is_i64()),
        }
        found.push(position.to_owned());
    }
    assert_eq!(found.len(), 5 + 4, "{found:?}");
}

#[test]
fn every_format_of_lines_knows_where_its_records_begin() {
    let schema = "schema: {type: object, properties: {id: {type: integer}, note: {type: string}}}";
    for (reader, config, text, lines) in [
        // A record of two lines moves those behind it.
        ("ReadFromCsv", schema, "id,note\n1,x\n0,\"two\nlines\"\n\n0,z\n", [3, 6]),
        ("ReadFromJson", schema, "{\"id\": 1}\n\n{\"id\": 0}\n{\"id\": 0}", [3, 4]),
        (
            "ReadFromJson",
            "orient: records, lines: false",
            "[{\"id\": 1},\n{\"id\": 0}, {\"id\": 2},\n\n{\"id\": 0}]",
            [2, 4],
        ),
        ("ReadFromText", "", "1\n0\n2\n0\n", [2, 4]),
    ] {
        let s = Scratch::new();
        let id = if reader == "ReadFromText" { "int(line)" } else { "id" };
        s.write("in", text).write(
            "p.yaml",
            format!(
                "
pipeline:
  transforms:
    - {{type: {reader}, name: In, config: {{path: in, {config}}}}}
    - type: MapToFields
      name: Share
      input: In
      config: {{language: python, fields: {{share: 1 / {id}}}, error_handling: {{output: failed}}}}
    - {{type: WriteToJson, name: Good, input: Share, config: {{path: good}}}}
    - {{type: WriteToDeadLetters, name: Letters, input: Share.failed}}
"
            ),
        );
        ok(s.purlin(&["run", "p.yaml"]));
        let all = list(&s);
        let found: Vec<&str> = all["letters"]
            .as_array()
            .expect("letters")
            .iter()
            .filter_map(|l| l["position"].as_str())
            .collect();
        assert_eq!(found, lines.map(|line| format!("in:{line}")), "{reader} {config}");
    }
}

#[test]
fn a_name_under_which_nothing_was_kept_is_told() {
    let s = run_with(PIPELINE);
    let ran = ok(letters(&s, &["list", "ordres"]));
    assert!(ran.out.contains("no dead letters of `ordres` here; there are some of `"), "{}", ran.out);
}

#[test]
fn a_field_that_no_letter_has_is_told() {
    let s = run_with(PIPELINE);
    for args in [
        &["list", "--where", "reson~Zero"][..],
        &["drop", "--all", "p", "--where", "reson~Zero"],
        &["replay", "p.yaml", "--where", "reson~Zero"],
    ] {
        let ran = ok(letters(&s, args));
        let wanted = "no letter has a field `reson`; did you mean `reason`? There are reason, id, stack, position, \
                      and of the rows file, id, line, quantity, text, total\n";
        assert!(ran.err.contains(wanted), "{ran:?}");
    }
    let ran = ok(letters(&s, &["list", "--where", "quantity=9", "--where", "line=3"]));
    assert!(ran.err.is_empty(), "{ran:?}");
}

#[test]
fn who_replays_a_name_is_told_its_file() {
    let s = run_with(PIPELINE);
    let ran = letters(&s, &["replay", "p", "--all"]);
    assert!(ran.code == 2 && ran.err.contains("`purlin deadletters replay p.yaml --all`"), "{ran:?}");
    assert!(letters(&s, &["replay", "q", "--all"]).err.contains("cannot read the pipeline file `q`"));
}

#[test]
fn a_file_called_pipeline_goes_by_its_folder() {
    let s = Scratch::new();
    s.write("shop/pipeline.yaml", PIPELINE).write("orders.csv", ORDERS);
    ok(s.purlin(&["run", "shop/pipeline.yaml"]));
    assert!(s.path().join(".purlin/deadletters/shop").is_dir());
    for name in ["shop", "shop/pipeline.yaml"] {
        assert!(ok(letters(&s, &["list", name])).out.contains("kept 3 ="), "{name}");
    }
    let ran = ok(letters(&s, &["replay", "shop/pipeline.yaml", "--all"]));
    assert!(ran.out.contains("shop: kept 3 ="), "{ran:?}");
    let ran = ok(letters(&s, &["replay", "shop/pipeline.yaml", "--pipeline", "other", "--all"]));
    assert!(ran.out.contains("other has no dead letters here"), "{ran:?}");
}

#[test]
fn a_row_that_lacks_what_is_never_null_is_not_given_back() {
    // Nothing is null in rows that are written down, unless it is in one of them.
    let pipeline = |elements: &str| {
        format!(
            "
pipeline:
  transforms:
    - {{type: Create, name: Orders, config: {{elements: [{elements}]}}}}
    - type: MapToFields
      name: Share
      input: Orders
      config: {{language: python, fields: {{id: id, v: 10 / q}}, error_handling: {{output: bad}}}}
    - {{type: WriteToJson, name: Good, input: Share, config: {{path: out/good}}}}
    - {{type: WriteToDeadLetters, name: Letters, input: Share.bad}}
"
        )
    };
    let s = Scratch::new();
    s.write("p.yaml", pipeline("{id: a, q: 0}, {id: null, q: 0}"));
    ok(s.purlin(&["run", "p.yaml"]));
    let (first, second) = (id(&s, "\"a\""), id(&s, "null"));
    let ran = letters(&s, &["edit", &first, "--set", "q=null"]);
    assert!(
        ran.code == 2 && ran.err.contains("field `q` of letter") && ran.err.contains("never null"),
        "{ran:?}"
    );
    // A field that is text takes what is typed.
    ok(letters(&s, &["edit", &first, "--set", "id=7", "--set", "q=5"]));
    ok(letters(&s, &["edit", &second, "--set", "q=2"]));

    // The pipeline asks for more by now.
    s.write("p.yaml", pipeline("{id: a, q: 0, country: x}"));
    let ran = letters(&s, &["replay", "p.yaml", "--all"]);
    assert!(
        ran.code == 2 && ran.err.contains("no field `country`") && ran.err.contains("read or written"),
        "{ran:?}"
    );
    s.write("p.yaml", pipeline("{id: a, q: 0}"));
    let ran = letters(&s, &["replay", "p.yaml", "--all"]);
    let wanted = [
        format!(
            "letter {second} cannot be given to `Share`: its field `id` is null, and is never null there"
        ),
        format!("`purlin deadletters edit {second} --set id=VALUE`"),
    ];
    assert!(ran.code == 2 && wanted.iter().all(|w| ran.err.contains(w)), "{ran:?}");
    assert_eq!(s.lines("out/good"), [""; 0]);
    assert_eq!(counts(&s), [2, 2, 0, 0]);
    ok(letters(&s, &["edit", &second, "--set", "id=8"]));
    ok(letters(&s, &["replay", "p.yaml", "--all"]));
    assert_eq!(s.lines("out/good"), [r#"{"id":"7","v":2.0}"#, r#"{"id":"8","v":5.0}"#]);
}
