//! The steps of a pipeline, and the functions of a row that say the same.

use super::{Elementwise, Mapped, Res, Taken, refused};
use ruff_python_ast::{self as ast, Expr, Operator};
use ruff_text_size::Ranged as _;

/// What is done with each element.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Map(Call),
    Filter(Call),
    FlatMap(Call),
}

/// A function, and what it is called with after the element.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Call {
    function: String,
    is_lambda: bool,
    rest: Vec<String>,
}

impl Call {
    /// The call for an element.
    fn of(&self, element: &str) -> String {
        let function = &self.function;
        let plain = function.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '.');
        let args: String = self.rest.iter().map(|a| format!(", {a}")).collect();
        if plain { format!("{function}({element}{args})") } else { format!("({function})({element}{args})") }
    }
}

/// What to write in YAML for what is not compiled.
const INSTEAD: [(&str, &str); 12] = [
    ("GroupByKey", "`Combine` with `group`"),
    ("GroupBy", "`Combine`"),
    ("GroupIntoBatches", "`Combine` with `group`: batches have no place in a result"),
    ("CombinePerKey", "`Combine`"),
    ("CombineGlobally", "`Combine` with `group_by: []`"),
    ("ParDo", "`MapToFields`, `Filter` or `Explode` with a `callable`"),
    ("Create", "`Create`"),
    ("Flatten", "`Flatten`"),
    ("WindowInto", "`WindowInto`"),
    ("CoGroupByKey", "`Join`"),
    ("Partition", "`Partition`"),
    ("Distinct", "`Combine` with `group_by` on all fields"),
];

impl Taken<'_> {
    /// The steps that lead to a collection.
    pub(super) fn steps(&mut self, expr: &Expr) -> Res<Vec<Step>> {
        match expr {
            Expr::Name(name) if self.collections.contains_key(name.id.as_str()) => {
                Ok(self.collections.get(name.id.as_str()).cloned().unwrap_or_default())
            }
            Expr::BinOp(op) if op.op == Operator::BitOr => {
                let mut steps = self.steps(&op.left)?;
                steps.extend(self.steps(&op.right)?);
                Ok(steps)
            }
            // A label.
            Expr::BinOp(op) if op.op == Operator::RShift => self.steps(&op.right),
            Expr::Call(call) => self.call(call),
            other => {
                let what = format!("`{}` is not compiled", self.text.first_line(other.range()));
                Err(refused(what).help(COMPILED))
            }
        }
    }

    fn call(&mut self, call: &ast::ExprCall) -> Res<Vec<Step>> {
        if let Expr::Attribute(a) = call.func.as_ref()
            && ["with_output_types", "with_input_types", "with_resource_hints"].contains(&a.attr.as_str())
        {
            return self.steps(&a.value);
        }
        let name = dotted(&call.func).unwrap_or_default();
        let from_beam = match name.split_once('.') {
            Some((first, _)) => first == "beam" || first == "apache_beam",
            None => self.is_imported(&name),
        };
        let step = match name.rsplit('.').next().filter(|_| from_beam) {
            Some("Map") => Step::Map(self.function_of(call)?),
            Some("Filter") => Step::Filter(self.function_of(call)?),
            Some("FlatMap") => Step::FlatMap(self.function_of(call)?),
            Some("Reshuffle") => return Ok(Vec::new()),
            last => {
                let shown = if name.is_empty() { self.text.first_line(call.range()) } else { name.clone() };
                let mut problem = refused(format!("`{shown}` is not compiled")).help(COMPILED);
                if let Some((_, instead)) = INSTEAD.iter().find(|(n, _)| Some(*n) == last) {
                    problem = problem.help(format!("in YAML: {instead}"));
                } else if let Some(io) =
                    last.filter(|l| l.starts_with("ReadFrom") || l.starts_with("WriteTo"))
                {
                    problem = problem.help(format!("in YAML: a transform `{io}` of its own"));
                }
                return Err(problem);
            }
        };
        Ok(vec![step])
    }

    fn is_imported(&self, name: &str) -> bool {
        self.imports
            .iter()
            .any(|(names, text)| text.contains("apache_beam") && names.iter().any(|n| n == name))
    }

    fn function_of(&self, call: &ast::ExprCall) -> Res<Call> {
        let mut args = call.arguments.args.iter();
        let named = call.arguments.keywords.iter().find(|k| k.arg.as_deref() == Some("fn"));
        let Some(function) = named.map(|k| &k.value).or_else(|| args.next()) else {
            return Err(refused("a step without a function"));
        };
        let mut rest: Vec<String> = args.map(|a| self.text.slice(a.range())).collect();
        for k in call
            .arguments
            .keywords
            .iter()
            .filter(|k| !["fn", "label"].contains(&k.arg.as_deref().unwrap_or("")))
        {
            rest.push(self.text.slice(k.range()));
        }
        if rest.iter().any(|r| {
            r.contains("pvalue.") || r.contains("AsDict") || r.contains("AsList") || r.contains("AsSingleton")
        }) {
            return Err(
                refused("a side input is not compiled").help("in YAML: `Join` with the other collection")
            );
        }
        let function_text = self.text.slice(function.range());
        Ok(Call { function: function_text, is_lambda: function.is_lambda_expr(), rest })
    }

    /// Scripts for the steps: filters that come first, and one function for all the others.
    pub(super) fn scripts(&self, steps: Vec<Step>) -> Res<Elementwise> {
        let mut steps = steps.into_iter().peekable();
        let mut filters = Vec::new();
        while let Some(Step::Filter(call)) = steps.peek() {
            filters.push(self.script(call));
            steps.next();
        }
        let rest: Vec<Step> = steps.collect();
        let maps: Option<Vec<&Call>> =
            rest.iter().map(|s| if let Step::Map(call) = s { Some(call) } else { None }).collect();
        let result = match maps.as_deref() {
            Some([]) => None,
            Some([one]) => Some(Mapped { code: self.script(one), many: false }),
            Some(all) => {
                let value = all.iter().fold("__e".to_owned(), |value, call| call.of(&value));
                Some(Mapped { code: self.with_support(&format!("lambda __e: {value}"), None), many: false })
            }
            None => {
                let mut list = "[__e]".to_owned();
                for (i, step) in rest.iter().enumerate() {
                    let x = format!("__x{i}");
                    list = match step {
                        Step::Map(call) => format!("[{} for {x} in {list}]", call.of(&x)),
                        Step::Filter(call) => format!("[{x} for {x} in {list} if {}]", call.of(&x)),
                        Step::FlatMap(call) => {
                            format!("[__y{i} for {x} in {list} for __y{i} in {}]", call.of(&x))
                        }
                    };
                }
                Some(Mapped { code: self.with_support(&format!("lambda __e: {list}"), None), many: true })
            }
        };
        Ok(Elementwise { filters, result })
    }

    /// A script whose callable is one function.
    fn script(&self, call: &Call) -> String {
        if call.rest.is_empty() && call.is_lambda {
            // In parentheses a lambda may span lines.
            return self.with_support(&format!("({})", call.function), None);
        }
        if call.rest.is_empty() && self.support.iter().any(|s| s.function.as_deref() == Some(&call.function))
        {
            return self.with_support("", Some(&call.function));
        }
        self.with_support(&format!("lambda __e: {}", call.of("__e")), None)
    }

    /// A callable after what it may need; function `last` after the other statements.
    fn with_support(&self, callable: &str, last: Option<&str>) -> String {
        let is_last = |s: &super::Support| last.is_some() && s.function.as_deref() == last;
        let mut parts: Vec<&str> =
            self.support.iter().filter(|s| !is_last(s)).map(|s| s.text.as_str()).collect();
        parts.extend(self.support.iter().rfind(|s| is_last(s)).map(|s| s.text.as_str()));
        parts.push(callable);
        let text = parts.join("\n");
        let used = |name: &String| words(&text).any(|w| w == name);
        let imports =
            self.imports.iter().filter(|(names, _)| names.iter().any(used)).map(|(_, t)| t.as_str());
        let mut script: String = imports.map(|t| format!("{t}\n")).collect();
        script.push_str(&text);
        script
    }
}

const COMPILED: &str =
    "compiled: `beam.Map`, `beam.Filter`, `beam.FlatMap` and `beam.Reshuffle`, one after the other";

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric() && c != '_')
}

/// The dotted name that an expression is.
pub(super) fn dotted(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Name(name) => Some(name.id.to_string()),
        Expr::Attribute(a) => Some(format!("{}.{}", dotted(&a.value)?, a.attr)),
        _ => None,
    }
}
