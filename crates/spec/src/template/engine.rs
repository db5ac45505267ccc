//! Runs the template engine: finds templates, keeps it within bounds, turns its errors into diagnostics.

use super::line_map::{LineMap, Origin};
use super::ops::{self, Budget, LIMIT_MET};
use super::prepare::{self, Marking, Prepared, Source};
use super::scan::{self, Piece, TokenKind};
use super::{TemplateCx, datetime, filters};
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::node::{Position, Sources, Span};
use crate::suggest;
use minijinja::{AutoEscape, Environment, Error, ErrorKind, UndefinedBehavior, Value};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::error::Error as _;
use std::sync::{Arc, Mutex, PoisonError};

/// Largest rendered text, in bytes.
pub(crate) const OUTPUT_BYTES_MAX: usize = 64 << 20;
/// Most instructions one rendering may take.
const FUEL: u64 = 3_000_000;
/// Deepest nesting of macros and includes, in the engine's units (a macro call takes 4, an include 10).
const RECURSION_MAX: usize = 200;
/// Most templates one file may bring in.
const TEMPLATES_MAX: usize = 256;

/// A template that was asked for: its path and who asks.
type Asked = (String, String);

/// The templates of one rendering, by number; number 0 is the one rendered.
#[derive(Debug, Default)]
struct Store {
    sources: Vec<Source>,
    prepared: Vec<Prepared>,
    /// What each request led to, or why there is no such template.
    known: BTreeMap<Asked, Result<usize, String>>,
    /// A request that is not known yet.
    pending: Option<Asked>,
}

/// The names that templates go by inside the engine.
fn engine_name(index: usize) -> String {
    format!("template {index}")
}

const MISSING: &str = "missing ";

impl Store {
    /// The engine's name of what `path` means in the template `parent`.
    fn resolve(&mut self, path: &str, parent: &str) -> String {
        let asked = (path.to_owned(), parent.to_owned());
        match self.known.get(&asked) {
            Some(Ok(index)) => engine_name(*index),
            Some(Err(_)) => format!("{MISSING}{path}"),
            None => {
                self.pending = Some(asked);
                String::new()
            }
        }
    }

    fn index(name: &str) -> Option<usize> {
        name.strip_prefix("template ")?.parse().ok()
    }
}

/// The rendering of one template.
pub(crate) struct Engine<'a> {
    cx: &'a TemplateCx<'a>,
    store: Arc<Mutex<Store>>,
    /// Where to point instead of into the template itself, if it has no file of its own.
    place: Option<Span>,
}

/// What a rendering gives.
pub(crate) struct Output {
    pub(crate) text: String,
    pub(crate) map: LineMap,
}

impl<'a> Engine<'a> {
    /// For one template.
    pub(crate) fn new(root: Source, place: Option<Span>, cx: &'a TemplateCx<'a>) -> Self {
        let store = Store { sources: vec![root], ..Store::default() };
        Engine { cx, store: Arc::new(Mutex::new(store)), place }
    }

    fn with<R>(&self, f: impl FnOnce(&mut Store) -> R) -> R {
        f(&mut self.store.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Renders, and finds where each line came from.
    pub(crate) fn run(&self, sources: &mut Sources, d: &mut Diagnostics) -> Option<Output> {
        let text = loop {
            match self.attempt(Marking::Off).0 {
                Ok(text) => break text,
                Err(e) => {
                    let pending = self.with(|s| s.pending.take());
                    match pending {
                        Some(asked) => self.bring_in(asked, sources, d)?,
                        None => {
                            d.push(self.diagnostic(&e));
                            return None;
                        }
                    }
                }
            }
        };
        let map = match self.place {
            Some(place) => LineMap::fixed(place),
            None => self.map(&text),
        };
        Some(Output { text, map })
    }

    /// Renders again with marks and reads the places off them. Marks can be seen by the template (by the
    /// filter `length`, say); if that changed the text, fewer are used, and at last none.
    fn map(&self, text: &str) -> LineMap {
        for marking in [Marking::Everywhere, Marking::TopLevel] {
            if let (Ok(marked), origins) = self.attempt(marking) {
                let (unmarked, stretches) = prepare::unmark(&marked, &origins);
                if prepare::same_lines(text, &unmarked) && !stretches.is_empty() {
                    return LineMap::stretches(stretches);
                }
            }
        }
        self.with(|s| {
            s.sources
                .first()
                .map_or(LineMap::identity(0), |root| LineMap::stretches(prepare::guess(text, root)))
        })
    }

    /// Loads a template that was asked for.
    fn bring_in(&self, asked: Asked, sources: &mut Sources, d: &mut Diagnostics) -> Option<()> {
        let from =
            self.with(|s| Store::index(&asked.1).and_then(|i| s.sources.get(i)).map(|s| s.name.clone()));
        let loaded = self.cx.loader.load(&asked.0, from.as_deref());
        self.with(|s| {
            if s.sources.len() >= TEMPLATES_MAX {
                let place =
                    self.place.or_else(|| s.sources.first().map(|r| r.span(0, 0))).unwrap_or_default();
                d.push(
                    Diagnostic::error("jinja/limit", place, "the template brings in too many others")
                        .label(format!("more than {TEMPLATES_MAX}")),
                );
                return None;
            }
            let index = loaded.map(|loaded| {
                let file = sources.add(loaded.name.clone(), loaded.text.clone());
                s.sources.iter().skip(1).position(|t| t.file == file).map_or_else(
                    || {
                        s.sources.push(Source::new(file, &loaded.name, &loaded.text));
                        s.sources.len() - 1
                    },
                    |i| i + 1,
                )
            });
            s.known.insert(asked, index);
            Some(())
        })
    }

    /// One rendering. An unknown template ends it, with the request left in the store.
    fn attempt(&self, marking: Marking) -> (Result<String, Error>, Vec<Origin>) {
        let mut origins = Vec::new();
        self.with(|s| {
            s.prepared = s
                .sources
                .iter()
                .enumerate()
                .map(|(i, source)| {
                    let below = marking == Marking::TopLevel && i > 0;
                    prepare::prepare(source, if below { Marking::Off } else { marking }, &mut origins)
                })
                .collect();
        });
        let budget = Budget::default();
        let env = self.environment(marking, &budget);
        let vars = self.variables();
        // The engine is not ours: should it panic on some input, that is an error of the template.
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let mut out = Limited::default();
            env.get_template(&engine_name(0))?.render_captured_to(vars, &mut out)?;
            String::from_utf8(out.0)
                .map_err(|_| Error::new(ErrorKind::WriteFailure, "the output is not text"))
        }));
        let failed =
            || Error::new(ErrorKind::InvalidOperation, "the template engine failed on this template");
        (result.unwrap_or_else(|_| Err(failed())), origins)
    }

    fn variables(&self) -> Value {
        let own = [("datetime".to_owned(), datetime::module(self.cx.now_micros))];
        let given = self.cx.vars.iter().map(|(k, v)| (k.clone(), Value::from(minijinja::value::Serde(v))));
        Value::from_pairs(own.into_iter().chain(given))
    }

    fn environment(&self, marking: Marking, budget: &Budget) -> Environment<'static> {
        let mut env = Environment::new();
        env.set_undefined_behavior(UndefinedBehavior::Strict);
        env.set_auto_escape_callback(|_| AutoEscape::None);
        env.set_debug(true);
        // A rendering with marks takes two more tags for each that writes.
        env.set_fuel(Some(if marking == Marking::Off { FUEL } else { 4 * FUEL }));
        env.set_recursion_limit(RECURSION_MAX);
        env.remove_global("debug");
        ops::register(&mut env, budget);
        filters::register(&mut env, budget);
        let b = budget.clone();
        env.set_formatter(move |out, _, value| {
            ops::defined(value)?;
            let text = ops::text_of(value, &b)?;
            b.take(text.len())?;
            out.write_str(&text).map_err(Error::from)
        });
        let store = Arc::clone(&self.store);
        let locked =
            move |f: &mut dyn FnMut(&mut Store)| f(&mut store.lock().unwrap_or_else(PoisonError::into_inner));
        let join = locked.clone();
        env.set_path_join_callback(move |path, parent| {
            let mut name = String::new();
            join(&mut |s| name = s.resolve(path, parent));
            Cow::Owned(name)
        });
        env.set_loader(move |name| {
            if name.starts_with(MISSING) {
                return Ok(None);
            }
            let mut text = None;
            locked(&mut |s| {
                text = Store::index(name).and_then(|i| s.prepared.get(i)).map(|p| p.text.clone());
            });
            text.map(Some)
                .ok_or_else(|| Error::new(ErrorKind::InvalidOperation, "a template is not loaded yet"))
        });
        env
    }

    /// What an error of the engine means, and where.
    fn diagnostic(&self, e: &Error) -> Diagnostic {
        let e = innermost(e);
        self.with(|s| {
            let (span, text) = self.place_of(e, s);
            let detail = e.detail().unwrap_or_default();
            match e.kind() {
                ErrorKind::TemplateNotFound => missing_template(detail, span, s),
                ErrorKind::SyntaxError | ErrorKind::BadEscape => {
                    let what = if detail.is_empty() { e.kind().to_string() } else { detail.to_owned() };
                    Diagnostic::error(
                        "jinja/syntax",
                        span,
                        format!("the template has a syntax error: {what}"),
                    )
                    .label(what.clone())
                    .maybe_help(syntax_help(&what))
                }
                _ if undefined_name(detail).is_some() => self.undefined(detail, &text, span, s),
                ErrorKind::UndefinedError | ErrorKind::UnknownFunction => {
                    self.undefined(detail, &text, span, s)
                }
                ErrorKind::UnknownFilter | ErrorKind::UnknownTest | ErrorKind::UnknownMethod => {
                    unknown_callable(e, detail, span)
                }
                ErrorKind::OutOfFuel => {
                    limit("the template runs for too long", span, format!("at most {FUEL} steps"))
                }
                ErrorKind::WriteFailure => too_much(span),
                _ if detail.contains(LIMIT_MET) => too_much(span),
                _ if detail.contains("recursion limit") => limit(
                    "macros or includes of the template call each other too deeply",
                    span,
                    "a call that never ends?".to_owned(),
                ),
                kind => {
                    let what = if detail.is_empty() { kind.to_string() } else { detail.to_owned() };
                    Diagnostic::error("jinja/error", span, format!("the template cannot be rendered: {what}"))
                        .label(what)
                }
            }
        })
    }

    /// The place of an error, and the text that stands there.
    fn place_of(&self, e: &Error, s: &Store) -> (Span, String) {
        let index = e.name().and_then(Store::index).unwrap_or(0);
        let (Some(source), Some(prepared)) = (s.sources.get(index), s.prepared.get(index)) else {
            return (self.place.unwrap_or_default(), String::new());
        };
        let (mut from, mut to) = match e.range() {
            Some(range) => prepared.original(range.start, range.end),
            None => {
                let lines = prepared.text.split_inclusive('\n').take(e.line().unwrap_or(1).saturating_sub(1));
                let from = prepared.original(lines.map(str::len).sum(), 0).0;
                let rest = source.text.get(from..).unwrap_or_default();
                (from, from + rest.lines().next().map_or(0, str::len))
            }
        };
        if let Some(found) =
            undefined_name(e.detail().unwrap_or_default()).and_then(|n| narrowed(&source.text, &n, from))
        {
            (from, to) = found;
        }
        to = to.min(source.text.len());
        from = floor(&source.text, from.min(to));
        to = floor(&source.text, to).max(from);
        let text = source.text.get(from..to).unwrap_or_default().to_owned();
        let mut span = source.span(from, to);
        if span.end <= span.start {
            span.end = Position { column: span.start.column + 1, ..span.start };
        }
        // A body without a file of its own.
        if index == 0 {
            span = self.place.unwrap_or(span);
        }
        (span, text)
    }

    fn undefined(&self, detail: &str, text: &str, span: Span, s: &Store) -> Diagnostic {
        let name = undefined_name(detail).unwrap_or_else(|| dotted_name(text));
        let mut known: BTreeSet<&str> = self.cx.vars.keys().map(String::as_str).collect();
        known.insert("datetime");
        s.sources.iter().for_each(|t| known.extend(names_made(&t.text)));
        let root = dotted_name(&name).split('.').next().unwrap_or_default().to_owned();
        let built_in =
            ["range", "dict", "namespace", "cycler", "joiner", "loop", "caller"].contains(&root.as_str());
        if root != name
            && (root.is_empty() || !name.starts_with(&root) || built_in || known.contains(root.as_str()))
        {
            return Diagnostic::error("jinja/undefined", span, format!("`{name}` has no value"))
                .label("this is undefined")
                .help("give a default where it may be missing: `| default('…')`");
        }
        Diagnostic::error("jinja/undefined", span, format!("the template variable `{root}` has no value"))
            .label(format!("known variables: {}", suggest::listed(known.iter().copied())))
            .maybe_help(suggest::did_you_mean(&root, known.iter().copied()))
            .help(format!("give it: `--jinja_variables='{{\"{root}\": …}}'`, or a default: `{{{{ {root} | default('…') }}}}`"))
    }
}

fn too_much(span: Span) -> Diagnostic {
    let most =
        format!("a template may give {} MiB, and make four times that on the way", OUTPUT_BYTES_MAX >> 20);
    limit(LIMIT_MET, span, most)
}

fn limit(what: &str, span: Span, help: String) -> Diagnostic {
    Diagnostic::error("jinja/limit", span, what.to_owned()).label("stopped here").help(help)
}

fn missing_template(detail: &str, span: Span, s: &Store) -> Diagnostic {
    let missing =
        s.known.iter().filter_map(|((path, _), found)| found.as_ref().err().map(|why| (path.as_str(), why)));
    let found = missing
        .filter(|(path, _)| {
            detail.contains(&format!("'{path}'")) || detail.contains(&format!("{MISSING}{path}"))
        })
        .max_by_key(|(path, _)| path.len());
    let (path, why) = found.map_or((detail, "not found"), |(path, why)| (path, why.as_str()));
    Diagnostic::error("jinja/missing-template", span, format!("the template `{path}` cannot be read"))
        .label(why)
        .help("write its path relative to the pipeline file, or `ignore missing` if it may be absent")
}

fn unknown_callable(e: &Error, detail: &str, span: Span) -> Diagnostic {
    let what = if detail.is_empty() { e.kind().to_string() } else { detail.to_owned() };
    Diagnostic::error("jinja/error", span, format!("the template uses something unknown: {what}"))
        .label(e.kind().to_string())
        .help("Beam YAML has Jinja's own filters, tests and functions, and `datetime`")
}

fn syntax_help(what: &str) -> Option<String> {
    let end = ["unexpected end of input", "unexpected end of"].iter().any(|p| what.contains(p));
    if end {
        return Some("every `{% if %}`, `{% for %}`, `{% macro %}` … needs its `{% end… %}`".to_owned());
    }
    Some("to keep `{{` or `{%` as text, put `{% raw %}` and `{% endraw %}` around it".to_owned())
}

/// The cause that lies deepest and still has a place.
fn innermost(e: &Error) -> &Error {
    let mut best = e;
    let mut next = e.source();
    while let Some(cause) = next {
        if let Some(inner) =
            cause.downcast_ref::<Error>().filter(|i| i.line().is_some() || best.line().is_none())
        {
            best = inner;
        }
        next = cause.source();
    }
    best
}

fn floor(text: &str, mut at: usize) -> usize {
    while at > 0 && !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// The expression that an error calls undefined: `… (`a.b` is undefined)`.
fn undefined_name(detail: &str) -> Option<String> {
    let (head, _) = detail.split_once("` is undefined")?;
    head.rsplit_once('`').map(|(_, name)| name.to_owned())
}

/// The first name, with its attributes, in a piece of a template.
fn dotted_name(text: &str) -> String {
    let text = text.trim_start_matches(|c: char| !(c.is_alphabetic() || c == '_'));
    text.chars().take_while(|c| c.is_alphanumeric() || matches!(c, '_' | '.')).collect()
}

/// The bytes of `name` in the tag around `at`, for errors whose place is the whole expression.
fn narrowed(text: &str, name: &str, at: usize) -> Option<(usize, usize)> {
    let word = dotted_name(name);
    let first = word.split('.').next().filter(|w| !w.is_empty() && name.starts_with(*w))?;
    let tag = scan::pieces(text)?.into_iter().find_map(|p| match p {
        Piece::Tag(tag) if tag.range.contains(&at) => Some(tag),
        _ => None,
    })?;
    let is_first = |t: &&scan::Token| t.kind == TokenKind::Name && text.get(t.range.clone()) == Some(first);
    let start = tag.tokens.iter().find(is_first)?.range.start;
    let whole = text.get(start..)?.starts_with(&word);
    Some((start, start + if whole { word.len() } else { first.len() }))
}

/// The names a template gives values to: by `set`, `macro`, `for`, `import`.
fn names_made(text: &str) -> Vec<&str> {
    let mut names = Vec::new();
    for piece in scan::pieces(text).unwrap_or_default() {
        let Piece::Tag(tag) = piece else { continue };
        let words: Vec<&str> = tag
            .tokens
            .iter()
            .filter(|t| t.kind == TokenKind::Name)
            .filter_map(|t| text.get(t.range.clone()))
            .collect();
        match words.first() {
            Some(&"set" | &"macro") if !tag.prints => names.extend(words.get(1)),
            Some(&"for") if !tag.prints => names.extend(words.iter().skip(1).take_while(|w| **w != "in")),
            Some(&"import" | &"from") if !tag.prints => {
                let after = words.iter().position(|w| *w == "as" || *w == "import").filter(|i| *i > 0);
                names.extend(words.iter().skip(after.map_or(usize::MAX, |i| i + 1)));
                names.extend(words.windows(2).filter(|w| w.first() == Some(&"as")).filter_map(|w| w.get(1)));
            }
            _ => {}
        }
    }
    names
}

/// Output that refuses to grow past its limit.
#[derive(Default)]
struct Limited(Vec<u8>);

impl std::io::Write for &mut Limited {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.0.len() + bytes.len() > OUTPUT_BYTES_MAX {
            return Err(std::io::Error::other(LIMIT_MET));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
