//! Module `re`.

mod methods;
mod translate;

use std::cell::{OnceCell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use fancy_regex::Regex;

use methods::run;
pub(crate) use methods::{
    MATCH_METHODS, PATTERN_METHODS, group, match_attribute, match_method, pattern_attribute, pattern_method,
};
use translate::{Anchor, translate};

use crate::builtins::{BuiltinDef, def};
use crate::interp::{Args, Machine};
use crate::value::{Raise, Res, Value, raise, type_error};

pub(crate) const IGNORECASE: i64 = 2;
pub(crate) const MULTILINE: i64 = 8;
pub(crate) const DOTALL: i64 = 16;
pub(crate) const VERBOSE: i64 = 64;
pub(crate) const ASCII: i64 = 256;

pub(crate) const TABLE: &[BuiltinDef] = &[
    def("re.compile", |m, a| {
        let [pattern, flags] = a.bind("compile", ["pattern", "flags"], 1)?;
        pattern_of(m, &pattern.unwrap_or(Value::None), flags.as_ref()).map(Value::Pattern)
    }),
    def("re.escape", |m, a| {
        let value = a.one("escape")?;
        let Value::Str(s) = &value else {
            return Err(type_error(format!("expected str, got {}", value.type_name())));
        };
        let special = |c: char| "()[]{}?*+-|^$\\.&~# \t\n\r\u{b}\u{c}".contains(c);
        let escaped = s.chars().flat_map(|c| special(c).then_some('\\').into_iter().chain([c])).collect();
        m.text(escaped)
    }),
    def("re.findall", |m, a| module_call(m, a, "findall")),
    def("re.finditer", |m, a| module_call(m, a, "finditer")),
    def("re.fullmatch", |m, a| module_call(m, a, "fullmatch")),
    def("re.match", |m, a| module_call(m, a, "match")),
    def("re.purge", |_, _| Ok(Value::None)),
    def("re.search", |m, a| module_call(m, a, "search")),
    def("re.split", |m, a| module_call(m, a, "split")),
    def("re.sub", |m, a| module_call(m, a, "sub")),
    def("re.subn", |m, a| module_call(m, a, "subn")),
];

/// A compiled pattern. Its forms are built when first needed.
pub(crate) struct Pattern {
    pub(crate) source: String,
    pub(crate) flags: i64,
    /// By anchor, without and with a newline at the end of the text.
    forms: [[OnceCell<Regex>; 2]; 3],
}

/// A match: what the groups hold, in bytes of `text`.
pub(crate) struct Match {
    pub(crate) pattern: Rc<Pattern>,
    pub(crate) text: Arc<str>,
    pub(crate) groups: Vec<Option<(usize, usize)>>,
    pub(crate) names: Vec<Option<String>>,
}

impl Match {
    /// The text of a group.
    pub(crate) fn group_text(&self, index: usize) -> Option<&str> {
        let (start, end) = self.groups.get(index).copied().flatten()?;
        self.text.get(start..end)
    }

    /// Where a group lies, in characters.
    pub(crate) fn span(&self, index: usize) -> Option<(usize, usize)> {
        let (start, end) = self.groups.get(index).copied().flatten()?;
        let chars = |at: usize| self.text.get(..at).map_or(0, |t| t.chars().count());
        Some((chars(start), chars(end)))
    }
}

impl Pattern {
    fn form(&self, anchor: Anchor, text: &str) -> Res<&Regex> {
        let row = match anchor {
            Anchor::Anywhere => &self.forms[0],
            Anchor::Start => &self.forms[1],
            Anchor::Whole => &self.forms[2],
        };
        let newline = text.ends_with('\n');
        let cell = if newline { &row[1] } else { &row[0] };
        if let Some(regex) = cell.get() {
            return Ok(regex);
        }
        let translated = translate(&self.source, self.flags, anchor, newline)?;
        let regex = Regex::new(&translated).map_err(|e| {
            let message = e.to_string();
            Raise::new("error", message.lines().last().unwrap_or(&message))
        })?;
        Ok(cell.get_or_init(|| regex))
    }

    /// The first match at or after byte `from`.
    pub(super) fn find(
        self: &Rc<Pattern>,
        anchor: Anchor,
        text: &Arc<str>,
        from: usize,
    ) -> Res<Option<Match>> {
        let regex = self.form(anchor, text)?;
        let captures = match regex.captures_from_pos(text, from) {
            Ok(captures) => captures,
            // A limit of the evaluator: what is caught could be tried a million times.
            Err(e) => {
                return Err(Raise::limit(
                    "TimeoutError",
                    format!("the pattern is too slow on this text: {e}"),
                ));
            }
        };
        Ok(captures.map(|c| Match {
            pattern: Rc::clone(self),
            text: Arc::clone(text),
            groups: c.iter().map(|g| g.map(|g| (g.start(), g.end()))).collect(),
            names: regex.capture_names().map(|n| n.map(str::to_owned)).collect(),
        }))
    }
}

/// The work of compiling a pattern, in steps: a short one can make a program of megabytes.
const COMPILE_STEPS: u64 = 10_000;

/// Patterns in use: most programs have few and apply each to every row.
const CACHED_MAX: usize = 256;

thread_local! {
    static CACHE: RefCell<HashMap<(String, i64), Rc<Pattern>>> = RefCell::new(HashMap::new());
}

/// A pattern from its text, or a compiled one as it is.
pub(super) fn pattern_of(
    machine: &mut Machine<'_>,
    pattern: &Value,
    flags: Option<&Value>,
) -> Res<Rc<Pattern>> {
    let flags = flags.map_or(Ok(0), crate::builtins::int_argument)?;
    let source = match pattern {
        Value::Pattern(p) if flags == 0 => return Ok(Rc::clone(p)),
        Value::Pattern(_) => {
            return raise("ValueError", "cannot process flags argument with a compiled pattern");
        }
        Value::Str(s) => s.to_string(),
        Value::Bytes(_) => {
            return raise("NotImplementedError", "patterns over bytes are not supported: decode first");
        }
        _ => return Err(type_error("first argument must be string or compiled pattern")),
    };
    let key = (source, flags);
    if let Some(found) = CACHE.with(|c| c.borrow().get(&key).cloned()) {
        return Ok(found);
    }
    machine.spend(COMPILE_STEPS)?;
    let pattern = Rc::new(Pattern { source: key.0.clone(), flags, forms: Default::default() });
    // A bad pattern fails here and not at its first use.
    pattern.form(Anchor::Anywhere, "")?;
    CACHE.with(|c| {
        let mut cache = c.borrow_mut();
        if cache.len() >= CACHED_MAX {
            cache.clear();
        }
        cache.insert(key, Rc::clone(&pattern));
    });
    Ok(pattern)
}

/// `re.name(pattern, …, flags=0)`: the method of the compiled pattern.
fn module_call(machine: &mut Machine<'_>, mut args: Args, name: &str) -> Res<Value> {
    let mut flags = args.take_keyword("flags");
    let pattern = match args.take_keyword("pattern") {
        Some(pattern) => pattern,
        None if args.positional.is_empty() => {
            return Err(type_error(format!("{name}() missing 1 required positional argument: 'pattern'")));
        }
        None => args.positional.remove(0),
    };
    let own = match name {
        "sub" | "subn" => 3,
        "split" => 2,
        _ => 1,
    };
    if flags.is_none() && args.positional.len() == own + 1 {
        flags = args.positional.pop();
    }
    let pattern = pattern_of(machine, &pattern, flags.as_ref())?;
    run(machine, &pattern, name, args)
}
