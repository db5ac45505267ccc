//! `purlin deadletters drop`.

use super::args::{DropArgs, Wanted};
use super::fields::Fields;
use super::list::balance;
use super::{Exit, Output, Shelf, find_all, must_be_free};
use crate::up::project::name_of_file;
use purlin_api::{Error, ErrorKind, Result};
use purlin_connectors::dead_letters::journal::{Event, State};
use purlin_connectors::dead_letters::letter::Letter;
use purlin_connectors::dead_letters::store::{Store, Summary};
use serde_json::{Value, json};
use std::path::Path;

pub(super) fn drop(args: &DropArgs, data: &Path, out: &mut Output) -> Result<Exit> {
    let chosen = match &args.all {
        None if args.ids.is_empty() => {
            let text = "which letters? Name them, or give --all PIPELINE, with --where to choose among them";
            return Err(Error::new(ErrorKind::Config, text));
        }
        None if !args.wanted.is_empty() => {
            let text = "name letters, or choose them by rules with --all, not both";
            return Err(Error::new(ErrorKind::Config, text));
        }
        None => find_all(&args.ids, data, None)?,
        Some(name) => all(name, &args.wanted, data, out)?,
    };
    let (mut reports, mut damaged) = (Vec::new(), false);
    for (shelf, letters) in chosen {
        let _guard = shelf.store.lock()?;
        let mut shelf = Shelf::open(data, &shelf.pipeline)?;
        damaged |= shelf.tell_damage(out);
        letters.iter().try_for_each(|l| must_be_free(&shelf, l))?;
        let ids: Vec<String> = letters.into_iter().map(|l| l.id).collect();
        let count = ids.len();
        if !args.dry_run {
            shelf.journal.write(&shelf.store, Event::Dropped { letters: ids.clone(), by: rule(args) })?;
        }
        let sum = Summary::of(&shelf.contents, &shelf.journal);
        if !out.json {
            let what = if args.dry_run { "would be dropped" } else { "dropped" };
            out.print(&format!("{}: {count} {what}; {}\n", shelf.pipeline, balance(sum)));
        }
        reports.push(json!({"pipeline": shelf.pipeline, "dropped": ids, "dry_run": args.dry_run}));
    }
    if out.json {
        out.print_json(&Value::Array(reports));
    } else if reports.is_empty() {
        out.print("no such letters wait\n");
    }
    Ok(if damaged { Exit::Failed } else { Exit::Success })
}

/// The letters that wait of one pipeline, or of all.
fn all(name: &str, wanted: &Wanted, data: &Path, out: &mut Output) -> Result<Vec<(Shelf, Vec<Letter>)>> {
    let names = if name.is_empty() { Store::pipelines(data)? } else { vec![name_of_file(name)] };
    let (mut chosen, mut fields) = (Vec::new(), Fields::default());
    for name in names {
        let shelf = Shelf::open(data, &name)?;
        fields.look(&shelf, wanted);
        let letters: Vec<Letter> = shelf.wanted(wanted, Some(State::Waiting)).cloned().collect();
        if !letters.is_empty() {
            chosen.push((shelf, letters));
        }
    }
    fields.tell(wanted, out);
    Ok(chosen)
}

fn rule(args: &DropArgs) -> String {
    if args.all.is_none() {
        return "by name".to_owned();
    }
    let mut rules: Vec<String> = Vec::new();
    rules.extend(args.wanted.transform.iter().map(|t| format!("transform {t}")));
    rules.extend(args.wanted.since.iter().map(|t| format!("since {}", t.to_rfc3339())));
    rules.extend(args.wanted.until.iter().map(|t| format!("until {}", t.to_rfc3339())));
    for c in &args.wanted.conditions {
        rules.push(format!("{}{}{}", c.field, if c.whole { '=' } else { '~' }, c.text));
    }
    if rules.is_empty() { "all".to_owned() } else { rules.join(", ") }
}
