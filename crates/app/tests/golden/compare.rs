//! Rows as multisets: JSON and text lines in any order, numbers by value, a null key like a missing one.
//! Parquet and Avro files are read by purlin itself; tests of the connectors hold its readers to what other
//! programs write.

use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The files below a folder that are not hidden, by relative path.
pub(crate) fn files_of(folder: &Path) -> Result<BTreeMap<String, PathBuf>, String> {
    let mut files = BTreeMap::new();
    let mut open = vec![folder.to_path_buf()];
    while let Some(f) = open.pop() {
        for entry in std::fs::read_dir(&f).map_err(|e| e.to_string())? {
            let path = entry.map_err(|e| e.to_string())?.path();
            if path.file_name().is_some_and(|n| n.to_string_lossy().starts_with('.')) {
                continue;
            }
            if path.is_dir() {
                open.push(path);
            } else {
                let name = path.strip_prefix(folder).map_err(|e| e.to_string())?;
                files.insert(name.to_string_lossy().into_owned(), path.clone());
            }
        }
    }
    Ok(files)
}

/// The name a file was asked to be written under: without shard, window and extension.
fn group_of(file: &str) -> &str {
    let bytes = file.as_bytes();
    for (i, c) in file.char_indices() {
        let rest = bytes.get(i + 1..).unwrap_or_default();
        let digit_after = rest.first().is_some_and(u8::is_ascii_digit)
            || (rest.first() == Some(&b'-') && rest.get(1).is_some_and(u8::is_ascii_digit));
        if c == '.' || (c == '-' && digit_after) {
            return file.get(..i).unwrap_or(file);
        }
    }
    file
}

/// Compares what was written below `out` with the files of `expected` (none at all: nothing may be written).
pub(crate) fn folders(expected: &Path, out: &Path, exact: bool) -> Result<(), String> {
    let mut got: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, path) in files_of(out)? {
        let text = text_of(&path).map_err(|e| format!("{name}: {e}"))?;
        let lines = text.strip_suffix('\n').unwrap_or(&text).split('\n').map(str::to_owned);
        let of = got.entry(group_of(&name).to_owned()).or_default();
        let headed = !of.is_empty() && csv_in(expected, group_of(&name));
        of.extend(lines.skip(usize::from(headed)));
    }
    let wanted = if expected.is_dir() { files_of(expected)? } else { BTreeMap::new() };
    let mut groups = Vec::new();
    for (name, path) in &wanted {
        let (group, kind) = name.rsplit_once('.').ok_or("expected files have an extension")?;
        groups.push(group.to_owned());
        let text = std::fs::read_to_string(path).map_err(|e| e.to_string())?;
        let want: Vec<String> =
            text.strip_suffix('\n').unwrap_or(&text).split('\n').map(str::to_owned).collect();
        let have = got.get(group).cloned().unwrap_or_default();
        let (want, have) = (canonical(want, kind, exact)?, canonical(have, kind, exact)?);
        if want != have {
            let missing: Vec<_> = want.iter().filter(|l| !have.contains(l)).take(3).collect();
            let extra: Vec<_> = have.iter().filter(|l| !want.contains(l)).take(3).collect();
            return Err(format!(
                "{group}: {} rows wanted, {} written; missing {missing:?}; not wanted {extra:?}",
                want.len(),
                have.len()
            ));
        }
    }
    let stray: Vec<_> = got
        .iter()
        .filter(|(g, rows)| !groups.contains(g) && rows.iter().any(|r| !r.trim().is_empty()))
        .map(|(g, _)| g)
        .collect();
    if stray.is_empty() { Ok(()) } else { Err(format!("unexpected output {stray:?}")) }
}

/// What stands in a file; rows of Parquet and Avro as JSON.
fn text_of(path: &Path) -> Result<String, String> {
    let bytes = std::fs::read(path).map_err(|e| e.to_string())?;
    let reader = match bytes.first_chunk::<4>() {
        Some(b"PAR1") => "ReadFromParquet",
        Some(b"Obj\x01") => "ReadFromAvro",
        _ => return String::from_utf8(bytes).map_err(|e| e.to_string()),
    };
    // Beside the folder of the outputs, so that it is no output.
    let scratch = path.ancestors().find(|f| f.file_name().is_some_and(|n| n == "out")).ok_or("no `out`")?;
    let scratch = scratch.with_file_name("read_back");
    std::fs::create_dir_all(&scratch).map_err(|e| e.to_string())?;
    let step =
        |transform: &str, path: &Path| serde_json::json!({"type": transform, "config": {"path": path}});
    let steps = [step(reader, path), step("WriteToJson", &scratch.join("rows"))];
    let pipeline = scratch.join("pipeline.yaml");
    let text = serde_json::json!({"pipeline": {"type": "chain", "transforms": steps}}).to_string();
    std::fs::write(&pipeline, text).map_err(|e| e.to_string())?;
    let run = Command::new(env!("CARGO_BIN_EXE_purlin")).arg("run").arg(&pipeline).output();
    let run = run.map_err(|e| e.to_string())?;
    if !run.status.success() {
        return Err(String::from_utf8_lossy(&run.stderr).into_owned());
    }
    let rows = scratch.join("rows-00000-of-00001");
    // No rows, no file.
    let text =
        if rows.exists() { std::fs::read_to_string(rows).map_err(|e| e.to_string())? } else { String::new() };
    std::fs::remove_dir_all(&scratch).map_err(|e| e.to_string())?;
    Ok(text)
}

fn csv_in(expected: &Path, group: &str) -> bool {
    expected.join(format!("{group}.csv")).exists()
}

fn canonical(rows: Vec<String>, kind: &str, exact: bool) -> Result<Vec<String>, String> {
    let mut rows: Vec<String> = match kind {
        "jsonl" => rows
            .iter()
            .filter(|r| !r.trim().is_empty())
            .map(|r| {
                let v: Value = serde_json::from_str(r).map_err(|e| format!("{r}: {e}"))?;
                Ok(canonical_json(&v, exact).to_string())
            })
            .collect::<Result<_, String>>()?,
        _ => rows,
    };
    let from = usize::from(kind == "csv").min(rows.len());
    if let Some(rest) = rows.get_mut(from..) {
        rest.sort();
    }
    Ok(rows)
}

fn canonical_json(v: &Value, exact: bool) -> Value {
    match v {
        Value::Object(m) => {
            let sorted: BTreeMap<&String, Value> =
                m.iter().filter(|(_, v)| !v.is_null()).map(|(k, v)| (k, canonical_json(v, exact))).collect();
            Value::Object(sorted.into_iter().map(|(k, v)| (k.clone(), v)).collect())
        }
        Value::Array(l) => Value::Array(l.iter().map(|v| canonical_json(v, exact)).collect()),
        Value::Number(n) => {
            let f = n.as_f64().unwrap_or(f64::NAN);
            if f.abs() >= 2f64.powi(53) && f.fract() == 0.0 {
                return Value::String(n.as_i64().map_or_else(|| format!("{f:.0}"), |i| i.to_string()));
            }
            Value::String(if exact { format!("{f:?}") } else { format!("{f:.8e}") })
        }
        other => other.clone(),
    }
}
