//! Calls: arguments, functions, builtins.

use std::rc::Rc;
use std::sync::Arc;

use super::{CALLS_MAX, Flow, Frame, Machine};
use crate::builtins;
use crate::ir::{Arguments, ExprKind, Function, Param, ParamKind};
use crate::value::{Dict, Key, Raise, Res, Value, raise, type_error};

/// Evaluated arguments.
#[derive(Default)]
pub(crate) struct Args {
    pub(crate) positional: Vec<Value>,
    pub(crate) keywords: Vec<(Arc<str>, Value)>,
}

impl Args {
    pub(crate) fn of(positional: Vec<Value>) -> Args {
        Args { positional, keywords: Vec::new() }
    }

    /// Puts the arguments into `names`' order. A name starting with `/` takes no keyword.
    pub(crate) fn bind<const N: usize>(
        self,
        function: &str,
        names: [&str; N],
        required: usize,
    ) -> Res<[Option<Value>; N]> {
        let given = self.positional.len();
        if given > N {
            let takes = match (N, required) {
                (0, _) => "takes no arguments".to_owned(),
                (1, 1) => "takes exactly one argument".to_owned(),
                (n, r) if n == r => format!("expected {n} arguments"),
                (n, _) => format!("expected at most {n} argument{}", if n == 1 { "" } else { "s" }),
            };
            let tail = if takes.starts_with("expected") {
                format!(", got {given}")
            } else {
                format!(" ({given} given)")
            };
            let name =
                if takes.starts_with("expected") { function.to_owned() } else { format!("{function}()") };
            return Err(type_error(format!("{name} {takes}{tail}")));
        }
        let mut bound: [Option<Value>; N] = std::array::from_fn(|_| None);
        for (place, value) in bound.iter_mut().zip(self.positional) {
            *place = Some(value);
        }
        for (name, value) in self.keywords {
            let place = names.iter().position(|n| **n == *name).and_then(|i| bound.get_mut(i));
            match place {
                Some(place @ None) => *place = Some(value),
                Some(Some(_)) => {
                    return Err(type_error(format!(
                        "{function}() got multiple values for argument '{name}'"
                    )));
                }
                None => {
                    let message = format!("{function}() got an unexpected keyword argument '{name}'");
                    return Err(type_error(message));
                }
            }
        }
        if bound.iter().take(required).any(Option::is_none) {
            let message = if N == 1 {
                format!("{function}() takes exactly one argument ({given} given)")
            } else {
                let least = if required == N { "" } else { "at least " };
                format!(
                    "{function} expected {least}{required} argument{}, got {given}",
                    if required == 1 { "" } else { "s" }
                )
            };
            return Err(type_error(message));
        }
        Ok(bound)
    }

    /// The only argument.
    pub(crate) fn one(self, function: &str) -> Res<Value> {
        let [value] = self.bind(function, ["/"], 1)?;
        value.ok_or_else(|| type_error(format!("{function}() takes exactly one argument (0 given)")))
    }

    /// No arguments.
    pub(crate) fn none(self, function: &str) -> Res<()> {
        self.bind::<0>(function, [], 0).map(|_| ())
    }

    /// Takes a keyword argument out.
    pub(crate) fn take_keyword(&mut self, name: &str) -> Option<Value> {
        let at = self.keywords.iter().position(|(n, _)| **n == *name)?;
        Some(self.keywords.remove(at).1)
    }
}

/// A function with what it captured.
pub(crate) struct Closure {
    pub(crate) function: Arc<Function>,
    defaults: Vec<Option<Value>>,
    frame: Rc<Frame>,
}

impl Closure {
    pub(crate) fn name(&self) -> &str {
        &self.function.name
    }

    /// Gives up the values that only it holds.
    pub(crate) fn dismantle(self, waiting: &mut Vec<Value>) {
        waiting.extend(self.defaults.into_iter().flatten());
        if let Some(mut frame) = Rc::into_inner(self.frame) {
            waiting.append(&mut frame.take_values());
        }
    }
}

impl Machine<'_> {
    pub(crate) fn closure(&mut self, function: &Arc<Function>, frame: &Rc<Frame>) -> Res<Value> {
        let mut defaults = Vec::with_capacity(function.params.len());
        for param in &function.params {
            defaults.push(param.default.as_ref().map(|d| self.eval(d, frame)).transpose()?);
        }
        self.charge(128)?;
        Ok(Value::Function(Rc::new(Closure {
            function: Arc::clone(function),
            defaults,
            frame: Rc::clone(frame),
        })))
    }

    pub(super) fn arguments(&mut self, arguments: &Arguments, frame: &Rc<Frame>) -> Res<Args> {
        let mut args =
            Args { positional: Vec::with_capacity(arguments.positional.len()), keywords: Vec::new() };
        for expr in &arguments.positional {
            match &expr.kind {
                ExprKind::Starred(inner) => {
                    let value = self.eval(inner, frame)?;
                    args.positional.extend(self.collect(&value)?);
                }
                _ => args.positional.push(self.eval(expr, frame)?),
            }
        }
        for (name, expr) in &arguments.keywords {
            let value = self.eval(expr, frame)?;
            match name {
                Some(name) => args.keywords.push((Arc::clone(name), value)),
                None => self.spread_keywords(&value, &mut args)?,
            }
        }
        Ok(args)
    }

    fn spread_keywords(&mut self, value: &Value, args: &mut Args) -> Res<()> {
        let Value::Dict(dict) = value else {
            let message = format!("argument after ** must be a mapping, not {}", value.type_name());
            return Err(type_error(message));
        };
        for (key, value) in dict.0.borrow().iter() {
            let Value::Str(name) = key.value() else { return Err(type_error("keywords must be strings")) };
            // Each name is looked for among those before it.
            self.spend(args.keywords.len() as u64 / 16 + 1)?;
            if args.keywords.iter().any(|(n, _)| n == name) {
                return Err(type_error(format!("got multiple values for keyword argument '{name}'")));
            }
            args.keywords.push((Arc::clone(name), value.clone()));
        }
        Ok(())
    }

    /// Calls any callable.
    pub(crate) fn call(&mut self, function: &Value, args: Args) -> Res<Value> {
        self.step()?;
        match function {
            Value::Function(closure) => self.call_closure(closure, args),
            Value::Builtin(builtin) => (builtin.call)(self, args),
            Value::Type(name) => builtins::construct(self, name, args),
            Value::Method(method) => builtins::call_method(self, &method.object, &method.name, args),
            other => Err(type_error(format!("'{}' object is not callable", other.type_name()))),
        }
    }

    fn call_closure(&mut self, closure: &Rc<Closure>, args: Args) -> Res<Value> {
        if self.calls >= CALLS_MAX {
            return raise("RecursionError", "maximum recursion depth exceeded");
        }
        let values = bind_params(closure, args)?;
        let frame = Frame::with(values, Some(Rc::clone(&closure.frame)));
        self.calls += 1;
        // Each level may nest expressions deeply; worker threads have small stacks.
        let flow =
            stacker::maybe_grow(STACK_RESERVE, STACK_SEGMENT, || self.block(&closure.function.body, &frame));
        self.calls -= 1;
        if Rc::strong_count(&frame) > 1 {
            self.captured.push(Rc::clone(&frame));
        }
        Ok(match flow? {
            Flow::Return(value) => value,
            _ => Value::None,
        })
    }
}

/// Stack that one call may need: expressions nest at most 200 deep.
pub(crate) const STACK_RESERVE: usize = 2 << 20;
pub(crate) const STACK_SEGMENT: usize = 8 << 20;

/// Arguments to slots, with CPython's complaints.
fn bind_params(closure: &Closure, args: Args) -> Res<Vec<Option<Value>>> {
    let function = &closure.function;
    let name = &function.name;
    let mut slots: Vec<Option<Value>> = vec![None; function.slots];
    let positional = |p: &&(usize, &Param)| matches!(p.1.kind, ParamKind::PositionalOnly | ParamKind::Normal);
    let params: Vec<(usize, &Param)> = function.params.iter().enumerate().collect();
    let places: Vec<usize> = params.iter().filter(positional).map(|p| p.0).collect();
    let rest_place = params.iter().find(|p| p.1.kind == ParamKind::Rest).map(|p| p.0);
    let given = args.positional.len();
    let mut values = args.positional.into_iter();
    for (place, value) in places.iter().zip(values.by_ref()) {
        set(&mut slots, *place, value);
    }
    let rest: Vec<Value> = values.collect();
    match rest_place {
        Some(place) => set(&mut slots, place, Value::tuple(rest)),
        None if !rest.is_empty() => {
            let (n, were) = (places.len(), if given == 1 { "was" } else { "were" });
            let s = if n == 1 { "" } else { "s" };
            return Err(type_error(format!(
                "{name}() takes {n} positional argument{s} but {given} {were} given"
            )));
        }
        None => {}
    }
    let mut extra = Dict::new();
    for (key, value) in args.keywords {
        let by_name = |p: &&(usize, &Param)| {
            matches!(p.1.kind, ParamKind::Normal | ParamKind::KeywordOnly) && p.1.name == key
        };
        match params.iter().find(by_name) {
            Some((place, _)) if slots.get(*place).is_some_and(Option::is_some) => {
                return Err(type_error(format!("{name}() got multiple values for argument '{key}'")));
            }
            Some((place, _)) => set(&mut slots, *place, value),
            None => {
                extra.insert(Key::str(&key), value);
            }
        }
    }
    match params.iter().find(|p| p.1.kind == ParamKind::Keywords) {
        Some((place, _)) => set(&mut slots, *place, Value::dict(extra)),
        None => {
            if let Some(key) = extra.keys().next().and_then(|k| k.value().as_str()) {
                return Err(type_error(format!("{name}() got an unexpected keyword argument '{key}'")));
            }
        }
    }
    fill_defaults(closure, &params, &mut slots)?;
    Ok(slots)
}

fn set(slots: &mut [Option<Value>], place: usize, value: Value) {
    if let Some(slot) = slots.get_mut(place) {
        *slot = Some(value);
    }
}

fn fill_defaults(closure: &Closure, params: &[(usize, &Param)], slots: &mut [Option<Value>]) -> Res<()> {
    let mut missing: Vec<String> = Vec::new();
    for (place, param) in params {
        if slots.get(*place).is_some_and(Option::is_some) {
            continue;
        }
        match closure.defaults.get(*place).cloned().flatten() {
            Some(value) => set(slots, *place, value),
            None => missing.push(format!("'{}'", param.name)),
        }
    }
    let listed = match missing.as_slice() {
        [] => return Ok(()),
        [one] => one.clone(),
        [head @ .., last] => format!("{} and {last}", head.join(", ")),
    };
    let (n, s) = (missing.len(), if missing.len() == 1 { "" } else { "s" });
    let message =
        format!("{}() missing {n} required positional argument{s}: {listed}", closure.function.name);
    Err(Raise::new("TypeError", message))
}
