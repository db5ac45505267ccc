//! `purlin deadletters edit`.

use super::args::EditArgs;
use super::{Exit, Output, Shelf, find_all, must_be_free};
use purlin_api::{Error, ErrorKind, Result};
use purlin_connectors::dead_letters::edit::{Wanted, differences, with_payload, with_values};
use purlin_connectors::dead_letters::journal::{Edited, Event};
use purlin_connectors::dead_letters::letter::{Letter, told};
use serde_json::{Value, json};
use std::io::Write;
use std::path::Path;
use std::process::Command;

pub(super) fn edit(args: &EditArgs, data: &Path, out: &mut Output) -> Result<Exit> {
    let mut found = find_all(std::slice::from_ref(&args.id), data, None)?;
    let Some((shelf, letters)) = found.first_mut() else { return Ok(Exit::Failed) };
    let Some(letter) = letters.first() else { return Ok(Exit::Failed) };
    let _guard = shelf.store.lock()?;
    // Somebody may have worked on it until now.
    *shelf = Shelf::open(data, &shelf.pipeline)?;
    must_be_free(shelf, letter)?;
    let edited = changed(args, shelf, letter)?;
    let same = edited.row == shelf.journal.given(letter).row;
    if out.json {
        let element = told(edited.element.get(), &edited.row);
        out.print_json(
            &json!({"id": letter.id, "element": element, "changed": !same, "dry_run": args.dry_run}),
        );
    } else {
        let how = match (same, args.dry_run) {
            (true, _) => "is as it was",
            (false, true) => "would be",
            (false, false) => "is now",
        };
        out.print(&format!("{} {how} {}\n", letter.id, edited.element.get()));
    }
    if !same && !args.dry_run {
        shelf.journal.write(&shelf.store, Event::Edited(edited))?;
    }
    Ok(Exit::Success)
}

fn changed(args: &EditArgs, shelf: &Shelf, letter: &Letter) -> Result<Edited> {
    let given = shelf.journal.given(letter);
    if let Some(file) = &args.payload_file {
        let bytes = std::fs::read(file).map_err(|e| Error::io("read", &file.display().to_string(), e))?;
        return with_payload(letter, given.row, &bytes);
    }
    if args.editor {
        let after = in_editor(given.element.get())?;
        return with_values(letter, given.row, &differences(given.element.get(), &after)?);
    }
    if args.set.is_empty() {
        let text = "what is to change? Give --set PATH=VALUE, --payload-file FILE or --editor";
        return Err(Error::new(ErrorKind::Config, text));
    }
    let pair = |text: &String| match text.split_once('=') {
        Some((path, value)) => Ok((path.trim().to_owned(), Wanted::Typed(value.to_owned()))),
        None => Err(Error::new(ErrorKind::Config, format!("--set wants PATH=VALUE, found `{text}`"))),
    };
    let values = args.set.iter().map(pair).collect::<Result<Vec<_>>>()?;
    with_values(letter, given.row, &values)
}

/// Lets somebody change a row, a field a line.
fn in_editor(element: &str) -> Result<String> {
    let editor =
        std::env::var("VISUAL").or_else(|_| std::env::var("EDITOR")).unwrap_or_else(|_| "vi".to_owned());
    let pretty = serde_json::from_str::<Value>(element).map_or(element.to_owned(), |v| format!("{v:#}"));
    let name = format!("purlin-{}-{}.json", std::process::id(), super::draw_name());
    let path = std::env::temp_dir().join(name);
    let shown = path.display().to_string();
    let mut file = std::fs::OpenOptions::new().create_new(true).write(true).open(&path);
    let written = file.as_mut().map_err(|e| std::io::Error::new(e.kind(), e.to_string()));
    let written = written.and_then(|f| f.write_all(pretty.as_bytes()));
    written.map_err(|e| Error::io("write", &shown, e))?;
    // As a shell splits it: editors are called with flags, such as `code --wait`.
    let ran = Command::new("sh").arg("-c").arg(format!("{editor} \"$0\"")).arg(&path).status();
    let after = match ran {
        Ok(status) if status.success() => {
            std::fs::read_to_string(&path).map_err(|e| Error::io("read", &shown, e))
        }
        Ok(status) => Err(Error::new(ErrorKind::Unavailable, format!("`{editor}` ended with {status}"))),
        Err(e) => Err(Error::io("start", &editor, e)),
    };
    // It holds a row that may be nobody else's business.
    std::fs::remove_file(&path).map_err(|e| Error::io("remove", &shown, e))?;
    after
}
