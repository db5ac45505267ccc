//! `purlin deadletters list`.

use super::args::ListArgs;
use super::fields::Fields;
use super::{Exit, Output, Shelf};
use crate::report::count;
use crate::up::project::name_of_file;
use purlin_api::Result;
use purlin_api::json::shortened;
use purlin_connectors::dead_letters::letter::Letter;
use purlin_connectors::dead_letters::store::{Store, Summary};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Characters of a reason, a place or a transform on a line.
const SHOWN_CHARS_MAX: usize = 60;

pub(super) fn list(args: &ListArgs, data: &Path, out: &mut Output) -> Result<Exit> {
    let kept = Store::pipelines(data)?;
    let names = match &args.pipeline {
        Some(name) => vec![name_of_file(name)],
        None => kept.clone(),
    };
    let (mut exit, mut all, mut fields) = (Exit::Success, Vec::new(), Fields::default());
    for name in &names {
        if !out.json && !kept.contains(name) {
            out.print(&nothing_of(name, &kept));
            continue;
        }
        let shelf = Shelf::look(data, name)?;
        if shelf.tell_damage(out) {
            exit = Exit::Failed;
        }
        fields.look(&shelf, &args.wanted);
        let letters: Vec<&Letter> = shelf.wanted(&args.wanted, args.state.map(Into::into)).collect();
        let sum = Summary::of(&shelf.contents, &shelf.journal);
        if out.json {
            all.push(json(&shelf, &letters, sum));
        } else {
            out.print(&text(&shelf, &letters, sum));
        }
    }
    fields.tell(&args.wanted, out);
    if out.json {
        out.print_json(&Value::Array(all));
    } else if names.is_empty() {
        out.print("no pipeline has dead letters here\n");
    }
    Ok(exit)
}

/// Says that `purlin run` kept letters, too, if the project's are listed.
pub(super) fn tell_of_others(runs: Option<PathBuf>, out: &mut Output) {
    let Some(runs) = runs.filter(|r| Store::pipelines(r).is_ok_and(|names| !names.is_empty())) else {
        return;
    };
    let runs = runs.display();
    out.note(&format!(
        "note: letters of `purlin run` lie in `{runs}`, see `purlin deadletters list --data {runs}`\n"
    ));
}

/// For a name under which nothing was ever kept: maybe a slip.
fn nothing_of(name: &str, kept: &[String]) -> String {
    match kept {
        [] => format!("no dead letters of `{name}` here, nor of any other pipeline\n"),
        kept => format!("no dead letters of `{name}` here; there are some of `{}`\n", kept.join("`, `")),
    }
}

fn json(shelf: &Shelf, letters: &[&Letter], sum: Summary) -> Value {
    json!({
        "pipeline": shelf.pipeline,
        "kept": sum.kept, "waiting": sum.waiting, "replayed": sum.replayed, "dropped": sum.dropped,
        "damaged": sum.damaged,
        "unfinished_replay": shelf.journal.unfinished.as_ref().map(|u| u.run.clone()),
        "letters": letters.iter().map(|l| shelf.json(l)).collect::<Vec<_>>(),
    })
}

fn text(shelf: &Shelf, letters: &[&Letter], sum: Summary) -> String {
    let mut rows = vec![["id", "state", "tries", "time", "transform", "reason"].map(str::to_owned)];
    for l in letters {
        let short = |t: &str| shortened(t.replace('\n', " "), SHOWN_CHARS_MAX);
        let place = l.position.as_ref().map(|p| format!(" ({})", short(p))).unwrap_or_default();
        rows.push([
            l.id.clone(),
            shelf.journal.state(&l.id).name().to_owned(),
            shelf.journal.attempts(&l.id).to_string(),
            l.time.clone().unwrap_or_else(|| "-".to_owned()),
            short(&l.transform),
            format!("{}{place}", short(shelf.reason(l))),
        ]);
    }
    let mut widths = [0; 6];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let mut text = format!("{}\n", shelf.pipeline);
    for row in rows.iter().filter(|_| !letters.is_empty()) {
        let mut line = String::from("  ");
        for (width, cell) in widths.iter().zip(row) {
            line.push_str(&format!("{cell:width$}  "));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text.push_str(&format!("  {}\n", balance(sum)));
    if let Some(open) = &shelf.journal.unfinished {
        text.push_str(&format!(
            "  replay {} of {} letters was interrupted; `purlin deadletters replay FILE` completes it\n",
            open.run,
            count(open.letters.len() as u64)
        ));
    }
    text
}

/// The totals of a pipeline in a line.
pub(super) fn balance(sum: Summary) -> String {
    let damaged = match sum.damaged {
        0 => String::new(),
        n => format!("; {} damaged", count(n)),
    };
    format!(
        "kept {} = waiting {} + replayed {} + dropped {}{damaged}",
        count(sum.kept),
        count(sum.waiting),
        count(sum.replayed),
        count(sum.dropped)
    )
}
