//! Rewrites expectations in the text of a file.

use super::Edit;
use purlin_spec::Sources;
use serde_json::Value;

/// Rows as a YAML list in flow style, one row a line when they do not fit one line.
pub(crate) fn elements(rows: &[Value]) -> String {
    let rows: Vec<String> = rows.iter().map(flow).collect();
    let line = format!("[{}]", rows.join(", "));
    if rows.len() < 2 || line.len() <= LINE_MAX { line } else { format!("[\n{}]", rows.join(",\n")) }
}

/// Expectations longer than this are written over several lines.
const LINE_MAX: usize = 80;

/// A value as YAML in flow style. Text is quoted whenever a reader could take it for something else.
pub(crate) fn flow(v: &Value) -> String {
    match v {
        Value::Object(m) => {
            let pairs: Vec<String> = m.iter().map(|(k, v)| format!("{}: {}", text(k), flow(v))).collect();
            format!("{{{}}}", pairs.join(", "))
        }
        Value::Array(l) => format!("[{}]", l.iter().map(flow).collect::<Vec<_>>().join(", ")),
        Value::String(s) => text(s),
        // YAML 1.1 floats need a dot and a signed exponent.
        Value::Number(n) if n.is_f64() => {
            let s = n.to_string();
            match s.split_once('e') {
                Some((m, e)) => {
                    let m = if m.contains('.') { m.to_owned() } else { format!("{m}.0") };
                    let e = if e.starts_with('-') {
                        e.to_owned()
                    } else {
                        format!("+{}", e.trim_start_matches('+'))
                    };
                    format!("{m}e{e}")
                }
                None => s,
            }
        }
        other => other.to_string(),
    }
}

fn text(s: &str) -> String {
    const WORDS: [&str; 9] = ["y", "n", "yes", "no", "on", "off", "true", "false", "null"];
    let plain = s.chars().next().is_some_and(|c| c.is_ascii_alphabetic())
        && s.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && !WORDS.contains(&s.to_ascii_lowercase().as_str());
    if plain { s.to_owned() } else { Value::String(s.to_owned()).to_string() }
}

/// Applies edits to the first file they are in. `None` if an edit has no place in it.
pub(crate) fn apply(sources: &Sources, mut edits: Vec<Edit>) -> Option<String> {
    let file = edits.first()?.span.file;
    let source = &sources.get(file)?.text;
    let mut text = source.clone();
    // From the end, so that earlier places stay where they are.
    edits.retain(|e| e.span.file == file);
    edits.sort_by_key(|e| std::cmp::Reverse(e.span.start));
    for edit in edits {
        let (from, to) = (offset(source, edit.span.start)?, offset(source, edit.span.end)?);
        let old = source.get(from..to)?;
        let kept = old.len() - old.trim_end().len();
        // Further lines stand deeper than the line that the value starts in, as YAML wants.
        let before = source.get(..from)?.rsplit('\n').next()?;
        let indent = before.len() - before.trim_start().len() + 4;
        let new = edit.text.replace('\n', &format!("\n{}", " ".repeat(indent)));
        text.replace_range(from..to - kept, &new);
    }
    Some(text)
}

fn offset(text: &str, at: purlin_spec::Position) -> Option<usize> {
    let line = (at.line as usize).checked_sub(1)?;
    let start: usize = text.split_inclusive('\n').take(line).map(str::len).sum();
    let rest = text.get(start..)?;
    let column = (at.column as usize).checked_sub(1)?;
    let inside = rest.char_indices().nth(column).map_or(rest.len(), |(i, _)| i);
    Some(start + inside)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_read_back_as_what_they_are() {
        let v =
            serde_json::json!({"a": "yes", "b": "x y", "c": 1.5e300, "d": [1, null, true], "e f": "plain"});
        assert_eq!(flow(&v), r#"{a: "yes", b: "x y", c: 1.5e+300, d: [1, null, true], "e f": plain}"#);
    }

    #[test]
    fn long_expectations_take_a_line_a_row() {
        let row = serde_json::json!({"row": {"customer": "a name that is rather long", "amount": 1}});
        let text = "steps:\n  - expect: {T: []}\n";
        let (node, d) = purlin_spec::yaml::parse_str(text);
        assert!(!d.has_errors());
        let node = node.unwrap();
        let step = &node.get("steps").unwrap().as_list().unwrap()[0];
        let span = step.get("expect").unwrap().get("T").unwrap().span;
        let mut sources = Sources::default();
        sources.add("text", text);
        let fixed = apply(&sources, vec![Edit { span, text: elements(&[row.clone(), row]) }]).unwrap();
        let line = "{row: {customer: \"a name that is rather long\", amount: 1}}";
        assert_eq!(fixed, format!("steps:\n  - expect: {{T: [\n      {line},\n      {line}]}}\n"));
        assert!(!purlin_spec::yaml::parse_str(&fixed).1.has_errors());
    }
}
