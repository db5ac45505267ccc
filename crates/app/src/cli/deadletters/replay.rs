//! `purlin deadletters replay`.

use super::args::ReplayArgs;
use super::fields::Fields;
use super::list::balance;
use super::{Exit, Output, Shelf, draw_name, find_all};
use crate::cli::args::cores;
use crate::cli::options;
use crate::cli::run::print_log;
use crate::pipeline::{Pipeline, PipelineOptions};
use crate::replay::{Letters, Replay, Route, carry_out, complete, environment, feed};
use crate::report::count;
use crate::run::{self, RunOptions};
use crate::up::project::name_of_file;
use purlin_api::{Error, ErrorKind, Result};
use purlin_connectors::dead_letters::journal::{Event, FailedAgain, State, Unfinished};
use purlin_connectors::dead_letters::store::Summary;
use purlin_plan::Plan;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

pub(super) fn replay(
    args: &ReplayArgs,
    options: &Map<String, Value>,
    data: &Path,
    out: &mut Output,
) -> Result<Exit> {
    let load = args.load.pipeline_options(options)?;
    let opened = Pipeline::open(&args.file, &load);
    let mut pipeline = opened.map_err(|e| by_name(&args.file, data).unwrap_or(e))?;
    options::warn(&mut pipeline);
    let name = args.pipeline.clone().unwrap_or_else(|| name_of_file(&args.file));
    let shelf = Shelf::open(data, &name)?;
    if shelf.contents.letters.is_empty() && shelf.contents.damaged.is_empty() {
        return nothing_to_do(out, &format!("{name} has no dead letters here\n"));
    }
    let _guard = shelf.store.lock()?;
    let mut fields = Fields::default();
    fields.look(&shelf, &args.wanted);
    fields.tell(&args.wanted, out);
    let mut work = Work { args, load, data, shelf: Shelf::open(data, &name)?, out };
    work.start(pipeline)
}

/// For who names the pipeline whose letters are listed, and not its file.
fn by_name(name: &str, data: &Path) -> Option<Error> {
    let letters = Shelf::open(data, name).ok()?.contents.letters;
    let file = &letters.first()?.file;
    let text = format!(
        "`{name}` is the name of a pipeline, and a replay runs its file: `purlin deadletters replay {file} --all`"
    );
    Some(Error::new(ErrorKind::Config, text))
}

fn nothing_to_do(out: &mut Output, text: &str) -> Result<Exit> {
    if out.json {
        out.print_json(&json!({"replays": []}));
    } else {
        out.print(text);
    }
    Ok(Exit::Success)
}

/// True if a letter was kept by another pipeline, which is still there; a file that was moved is the same pipeline.
fn is_of_another(kept_by: &str, file: &str) -> bool {
    match (std::fs::canonicalize(kept_by), std::fs::canonicalize(file)) {
        (Ok(a), Ok(b)) => a != b,
        _ => false,
    }
}

/// Everything that a replay needs, with the letters locked.
struct Work<'a> {
    args: &'a ReplayArgs,
    load: PipelineOptions,
    data: &'a Path,
    shelf: Shelf,
    out: &'a mut Output,
}

impl Work<'_> {
    fn start(&mut self, mut pipeline: Pipeline) -> Result<Exit> {
        let damaged = self.shelf.tell_damage(self.out);
        let (mut exit, mut reports, mut handled) = (Exit::Success, Vec::new(), BTreeSet::new());
        if let Some(open) = self.shelf.journal.unfinished.clone() {
            if self.args.dry_run {
                self.out.note(&format!("replay {} was interrupted and would be completed first\n", open.run));
            } else {
                handled.extend(open.letters.iter().cloned());
                let (how, report) = self.go_on(&mut pipeline, open)?;
                reports.push(report);
                exit = how;
            }
        }
        let letters = self.chosen(&handled)?;
        if exit == Exit::Success && !letters.is_empty() {
            let (how, report) = self.begin(&mut pipeline, letters)?;
            reports.push(report);
            exit = how;
        } else if reports.is_empty() {
            return nothing_to_do(self.out, "no such letters wait\n");
        }
        if self.out.json {
            self.out.print_json(&json!({"replays": reports}));
        }
        Ok(if damaged && exit == Exit::Success { Exit::Failed } else { exit })
    }

    /// The letters that are asked for and wait. Each is handled once by a call.
    fn chosen(&self, handled: &BTreeSet<String>) -> Result<Vec<String>> {
        let all = self.args.all || !self.args.wanted.is_empty();
        if !all && self.args.ids.is_empty() {
            if !handled.is_empty() {
                return Ok(Vec::new());
            }
            let text = "which letters? Name them, or give --all, with --where to choose among them";
            return Err(Error::new(ErrorKind::Config, text));
        }
        let waits = |id: &String| self.shelf.journal.state(id) == State::Waiting && !handled.contains(id);
        if !self.args.ids.is_empty() && !self.args.wanted.is_empty() {
            return Err(Error::new(ErrorKind::Config, "name letters, or choose them by rules, not both"));
        }
        if self.args.ids.is_empty() {
            let wanted = self.shelf.wanted(&self.args.wanted, Some(State::Waiting));
            return Ok(wanted.map(|l| l.id.clone()).filter(waits).collect());
        }
        let found = find_all(&self.args.ids, self.data, Some(&self.shelf.pipeline))?;
        let ids = found.into_iter().flat_map(|(_, letters)| letters).map(|l| l.id);
        let mut chosen = Vec::new();
        for id in ids.filter(|id| !handled.contains(id)) {
            if !waits(&id) {
                let state = self.shelf.journal.state(&id).name();
                let text = format!("letter {id} is {state} and does not wait any more");
                return Err(Error::new(ErrorKind::Config, text));
            }
            chosen.push(id);
        }
        Ok(chosen)
    }

    /// Completes a replay that was interrupted: from what was prepared, or from the beginning under the same name.
    fn go_on(&mut self, pipeline: &mut Pipeline, open: Unfinished) -> Result<(Exit, Value)> {
        let Some(writers) = &open.prepared else {
            self.out.note(&format!(
                "replay {} was interrupted before it showed anything: it is done again\n",
                open.run
            ));
            return self.carry(pipeline, open.run, open.letters);
        };
        let Some(plan) = pipeline.plan(&self.load) else { return Ok((self.refused(pipeline), Value::Null)) };
        let environment = Arc::new(environment(&self.shelf.pipeline, &self.args.file, self.data, &open.run));
        let made = complete(&self.shelf.store, &mut self.shelf.journal, &plan, &environment, writers)?;
        let failed = open.failed().to_vec();
        let report = self.report(&open.run, open.letters.len(), &failed);
        if !self.out.json {
            made.iter().for_each(|m| self.out.note(&format!("  wrote {m}\n")));
            self.out.print(&format!("replay {}, which was interrupted, is complete\n", open.run));
            self.tell(&open.run, open.letters.len(), &failed);
        }
        Ok((Exit::Success, report))
    }

    fn begin(&mut self, pipeline: &mut Pipeline, letters: Vec<String>) -> Result<(Exit, Value)> {
        let run = draw_name();
        if self.args.dry_run {
            let Some((_, routes)) = self.plan(pipeline, &letters)? else {
                return Ok((self.refused(pipeline), Value::Null));
            };
            return Ok((Exit::Success, self.tell_routes(&routes)));
        }
        self.carry(pipeline, run, letters)
    }

    fn carry(&mut self, pipeline: &mut Pipeline, run: String, letters: Vec<String>) -> Result<(Exit, Value)> {
        let planned = self.plan(pipeline, &letters);
        let is_new = self.shelf.journal.unfinished.is_none();
        let (plan, _) = match planned {
            Ok(Some(planned)) => planned,
            other => {
                if !is_new {
                    // Nothing of it can be seen, so that its letters are free.
                    let why = "the pipeline does not fit its letters any more".to_owned();
                    self.shelf.journal.write(&self.shelf.store, Event::Failed { run, why })?;
                }
                return other.map(|_| (self.refused(pipeline), Value::Null));
            }
        };
        if is_new {
            let began = Event::Began { run: run.clone(), letters: letters.clone() };
            self.shelf.journal.write(&self.shelf.store, began)?;
        }
        let replay = Replay {
            store: &self.shelf.store,
            letters,
            plan: Arc::new(plan),
            environment: Arc::new(environment(&self.shelf.pipeline, &self.args.file, self.data, &run)),
            death: self.args.die_at,
        };
        let options = RunOptions {
            batch_rows: run::BATCH_ROWS,
            threads: self.load.lanes.max(cores()),
            log: Arc::new(print_log),
            live: purlin_engine::Live::default(),
            environment: (*replay.environment).clone(),
            checkpoints: None,
        };
        let (summary, failed) = carry_out(&replay, options, &self.args.file)?;
        let letters = replay.letters.len();
        self.shelf = Shelf::open(self.data, &self.shelf.pipeline)?;
        if !self.out.json {
            self.out.note(&summary.to_text());
        }
        if !summary.is_success() {
            let shown = match &self.shelf.journal.unfinished {
                Some(_) => "what it made is safe; call the same command again to show the rest of it",
                None => "nothing of it was shown; its letters wait as before",
            };
            self.out.note(&format!("replay {run} failed: {shown}\n"));
            return Ok((Exit::Failed, json!({"replay": run, "status": "failed", "run": summary.to_json()})));
        }
        let mut report = self.report(&run, letters, &failed);
        if let Some(object) = report.as_object_mut() {
            object.insert("run".to_owned(), summary.to_json());
        }
        if !self.out.json {
            self.tell(&run, letters, &failed);
        }
        Ok((Exit::Success, report))
    }

    /// The plan of the pipeline with the letters instead of what its readers read; `None` if the file is refused.
    fn plan(&self, pipeline: &mut Pipeline, letters: &[String]) -> Result<Option<(Plan, Vec<Route>)>> {
        let Some(graph) = pipeline.graph(&self.load) else { return Ok(None) };
        let ids: BTreeSet<&String> = letters.iter().collect();
        let all = self.shelf.contents.letters.iter().filter(|l| ids.contains(&l.id));
        let taken: Letters<'_> = all.map(|l| (l, self.shelf.journal.given(l))).collect();
        if taken.len() != ids.len() {
            let text = format!("{} letters of the replay cannot be read any more", ids.len() - taken.len());
            return Err(Error::data(text));
        }
        if let Some((other, _)) = taken.iter().find(|(l, _)| is_of_another(&l.file, &self.args.file)) {
            let text = format!(
                "letter {} was kept by `{}`, another file of the same name; --where id~{} tells its run from others",
                other.id,
                other.file,
                other.id.split('.').next().unwrap_or_default()
            );
            return Err(Error::new(ErrorKind::Config, text));
        }
        let (graph, routes) = feed(graph, taken).map_err(|errors| {
            let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
            Error::new(ErrorKind::Config, format!("{}; nothing was read or written", texts.join("\n  ")))
        })?;
        Ok(Some((purlin_plan::lay_out(graph, &self.load.plan_options()), routes)))
    }

    fn refused(&mut self, pipeline: &Pipeline) -> Exit {
        self.out.diagnostics(pipeline);
        Exit::Refused
    }

    fn tell_routes(&mut self, routes: &[Route]) -> Value {
        let mut list = Vec::new();
        for r in routes {
            if !self.out.json {
                let how = if r.is_reader { "would be decoded again by" } else { "would be given again to" };
                let letters = if r.letters == 1 { "letter" } else { "letters" };
                self.out.print(&format!("{} {letters} {how} {}\n", count(r.letters as u64), r.transform));
            }
            list.push(json!({"transform": r.transform, "letters": r.letters}));
        }
        json!({"status": "dry run", "routes": list})
    }

    fn report(&self, run: &str, letters: usize, failed: &[FailedAgain]) -> Value {
        let sum = Summary::of(&self.shelf.contents, &self.shelf.journal);
        json!({
            "replay": run, "status": "done", "read": letters, "replayed": letters - failed.len(),
            "failed_again": failed.iter().map(|f| json!({"id": f.letter, "reason": f.reason})).collect::<Vec<_>>(),
            "kept": sum.kept, "waiting": sum.waiting, "dropped": sum.dropped,
        })
    }

    fn tell(&mut self, run: &str, letters: usize, failed: &[FailedAgain]) {
        let n = |n: usize| count(n as u64);
        let (good, again) = (n(letters - failed.len()), n(failed.len()));
        self.out
            .print(&format!("replay {run}: read {} = replayed {good} + failed again {again}\n", n(letters)));
        for f in failed {
            self.out.print(&format!("  {} failed again: {}\n", f.letter, f.reason));
        }
        let sum = Summary::of(&self.shelf.contents, &self.shelf.journal);
        self.out.print(&format!("{}: {}\n", self.shelf.pipeline, balance(sum)));
    }
}
