//! `purlin deadletters show`.

use super::{Exit, Output, Shelf, find_all, window_text};
use purlin_api::Result;
use purlin_api::shape::type_name;
use purlin_connectors::dead_letters::letter::{Letter, told};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::path::Path;

pub(super) fn show(ids: &[String], data: &Path, out: &mut Output) -> Result<Exit> {
    let (mut all, mut texts) = (Vec::new(), Vec::new());
    for (shelf, letters) in find_all(ids, data, None)? {
        for letter in &letters {
            all.push(json(&shelf, letter));
            texts.push(text(&shelf, letter)?);
        }
    }
    if out.json {
        out.print_json(&Value::Array(all));
    } else {
        out.print(&texts.join("\n"));
    }
    Ok(Exit::Success)
}

fn history(shelf: &Shelf, letter: &Letter) -> Vec<(String, String)> {
    let kept = (letter.kept_at.clone(), format!("failed: {}", letter.reason));
    let later = shelf.journal.fate(&letter.id).map(|f| f.history.clone()).unwrap_or_default();
    std::iter::once(kept).chain(later).collect()
}

fn json(shelf: &Shelf, letter: &Letter) -> Value {
    let mut value = shelf.json(letter);
    if let Some(object) = value.as_object_mut() {
        object.insert("original".to_owned(), told(letter.element.get(), &letter.row));
        let history = history(shelf, letter).into_iter().map(|(at, what)| json!({"at": at, "what": what}));
        object.insert("history".to_owned(), Value::Array(history.collect()));
    }
    value
}

fn text(shelf: &Shelf, letter: &Letter) -> Result<String> {
    let mut text = format!("{} of {}\n", letter.id, shelf.pipeline);
    let mut line = |name: &str, value: &str| {
        // Writing to a String cannot fail.
        let _written = writeln!(text, "  {name:10} {value}");
    };
    line("state", shelf.journal.state(&letter.id).name());
    line("attempts", &shelf.journal.attempts(&letter.id).to_string());
    line("transform", &letter.transform);
    line("reason", shelf.reason(letter));
    line("stack", &letter.stack);
    if let Some(position) = &letter.position {
        line("position", position);
    }
    if let Some(message) = &letter.message {
        line("message", message.get());
    }
    line("time", letter.time.as_deref().unwrap_or("none"));
    if letter.window.is_some() {
        line("window", &window_text(letter));
    }
    let row = letter.row()?;
    let types: Vec<String> =
        row.schema().fields().iter().map(|f| format!("{}: {}", f.name(), type_name(f))).collect();
    line("fields", &types.join(", "));
    let given = shelf.journal.given(letter);
    line("element", letter.element.get());
    if given.row != letter.row {
        line("edited to", given.element.get());
    }
    for (at, what) in history(shelf, letter) {
        line("", &format!("{at}  {what}"));
    }
    Ok(text)
}
