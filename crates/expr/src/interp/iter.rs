//! Iteration: iterators over values, and generators run step by step.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use super::call::Args;
use super::{Frame, Machine};
use crate::ir::Generator;
use crate::value::{DictCell, Key, Range, Res, Value, View, raise, type_error};

/// Iterators over iterators over iterators …: more would need unbounded stack.
const NESTING_MAX: u32 = 50;

pub(crate) struct IterState {
    kind: RefCell<Iter>,
    nesting: u32,
}

pub(crate) enum Iter {
    List(Value, usize),
    /// Backwards over a list; the next index is one less.
    ListBack(Value, usize),
    Text(Arc<str>, usize),
    Bytes(Arc<[u8]>, usize),
    Range(Rc<Range>, i64),
    Dict {
        dict: Rc<DictCell>,
        at: usize,
        len: usize,
        view: View,
    },
    Values(std::vec::IntoIter<Value>),
    Enumerate(Value, i64),
    Zip(Vec<Value>, bool),
    Map(Value, Vec<Value>),
    Filter(Value, Value),
    Generator(Box<GeneratorState>),
    Done,
}

impl Iter {
    pub(crate) fn into_value(self) -> Res<Value> {
        let below = match &self {
            Iter::Enumerate(v, _) | Iter::Filter(_, v) => nesting(v),
            Iter::Zip(vs, _) | Iter::Map(_, vs) => vs.iter().map(nesting).max().unwrap_or(0),
            Iter::Generator(g) => g.iters.first().map_or(0, nesting),
            _ => 0,
        };
        if below >= NESTING_MAX {
            return raise("RecursionError", "maximum recursion depth exceeded: iterators over iterators");
        }
        Ok(Value::Iter(Rc::new(IterState { kind: RefCell::new(self), nesting: below + 1 })))
    }
}

fn nesting(value: &Value) -> u32 {
    if let Value::Iter(state) = value { state.nesting } else { 0 }
}

impl IterState {
    pub(crate) fn type_name(&self) -> &'static str {
        match self.kind.try_borrow().as_deref() {
            Ok(Iter::Enumerate(..)) => "enumerate",
            Ok(Iter::Zip(..)) => "zip",
            Ok(Iter::Map(..)) => "map",
            Ok(Iter::Filter(..)) => "filter",
            Ok(Iter::ListBack(..)) => "list_reverseiterator",
            Ok(Iter::Generator(_)) | Err(_) => "generator",
            Ok(_) => "iterator",
        }
    }

    /// Gives up the values that only it holds.
    pub(crate) fn dismantle(self, waiting: &mut Vec<Value>) {
        match self.kind.into_inner() {
            Iter::List(v, _) | Iter::ListBack(v, _) | Iter::Enumerate(v, _) => waiting.push(v),
            Iter::Values(values) => waiting.extend(values),
            Iter::Zip(values, _) => waiting.extend(values),
            Iter::Map(f, values) => {
                waiting.push(f);
                waiting.extend(values);
            }
            Iter::Filter(f, v) => waiting.extend([f, v]),
            _ => {}
        }
    }
}

/// A generator expression between two of its elements.
pub(crate) struct GeneratorState {
    generator: Arc<Generator>,
    frame: Rc<Frame>,
    /// The running iterator of each clause entered so far.
    iters: Vec<Value>,
}

impl GeneratorState {
    pub(super) fn new(generator: Arc<Generator>, first: Value, frame: Rc<Frame>) -> GeneratorState {
        GeneratorState { generator, frame, iters: vec![first] }
    }

    fn next(&mut self, machine: &mut Machine<'_>) -> Res<Option<Value>> {
        // The place is restored on every way out, so an error ends the generator as in Python.
        let mut iters = std::mem::take(&mut self.iters);
        loop {
            let Some(current) = iters.last() else { return Ok(None) };
            let Some(clause) = self.generator.clauses.get(iters.len() - 1) else { return Ok(None) };
            let Some(value) = machine.next(current)? else {
                iters.pop();
                continue;
            };
            machine.assign(&clause.target, value, &self.frame)?;
            let mut kept = true;
            for condition in &clause.conditions {
                kept = kept && machine.eval(condition, &self.frame)?.truthy();
            }
            if !kept {
                continue;
            }
            match self.generator.clauses.get(iters.len()) {
                Some(inner) => {
                    let source = machine.eval(&inner.iter, &self.frame)?;
                    iters.push(machine.iter(&source)?);
                }
                None => {
                    let element = machine.eval(&self.generator.element, &self.frame)?;
                    self.iters = iters;
                    return Ok(Some(element));
                }
            }
        }
    }
}

impl Machine<'_> {
    /// `iter(value)`.
    pub(crate) fn iter(&mut self, value: &Value) -> Res<Value> {
        let iter = match value {
            Value::Iter(_) => return Ok(value.clone()),
            Value::List(_) | Value::Tuple(_) => Iter::List(value.clone(), 0),
            Value::Str(s) => Iter::Text(Arc::clone(s), 0),
            Value::Bytes(b) => Iter::Bytes(Arc::clone(b), 0),
            Value::Range(r) => Iter::Range(Rc::clone(r), 0),
            Value::Dict(d) => {
                Iter::Dict { dict: Rc::clone(d), at: 0, len: d.0.borrow().len(), view: View::Keys }
            }
            Value::View(d, view) => {
                Iter::Dict { dict: Rc::clone(d), at: 0, len: d.0.borrow().len(), view: *view }
            }
            Value::Set(s) => {
                let items: Vec<Value> = s.items.borrow().iter().map(|k| k.value().clone()).collect();
                Iter::Values(items.into_iter())
            }
            Value::Row(r) => Iter::Values(r.values.clone().into_iter()),
            other => return Err(type_error(format!("'{}' object is not iterable", other.type_name()))),
        };
        iter.into_value()
    }

    /// `next(iterator)`; `None` at its end.
    pub(crate) fn next(&mut self, iterator: &Value) -> Res<Option<Value>> {
        self.step()?;
        let Value::Iter(state) = iterator else {
            return Err(type_error(format!("'{}' object is not an iterator", iterator.type_name())));
        };
        let Ok(mut iter) = state.kind.try_borrow_mut() else {
            return raise("ValueError", "generator already executing");
        };
        let next = self.advance(&mut iter)?;
        if next.is_none() {
            *iter = Iter::Done;
        }
        Ok(next)
    }

    fn advance(&mut self, iter: &mut Iter) -> Res<Option<Value>> {
        Ok(match iter {
            Iter::List(values, at) => {
                *at += 1;
                match values {
                    Value::List(l) => l.0.borrow().get(*at - 1).cloned(),
                    Value::Tuple(t) => t.0.get(*at - 1).cloned(),
                    _ => None,
                }
            }
            Iter::ListBack(values, at) => match values {
                Value::List(l) if *at > 0 => {
                    *at -= 1;
                    l.0.borrow().get(*at).cloned()
                }
                _ => None,
            },
            Iter::Text(text, at) => text.get(*at..).and_then(|rest| rest.chars().next()).map(|c| {
                *at += c.len_utf8();
                Value::str(c.encode_utf8(&mut [0; 4]))
            }),
            Iter::Bytes(bytes, at) => {
                *at += 1;
                bytes.get(*at - 1).map(|b| Value::Int(i64::from(*b)))
            }
            Iter::Range(range, at) => {
                *at += 1;
                range.get(*at - 1).map(Value::Int)
            }
            Iter::Dict { dict, at, len, view } => {
                let dict = dict.0.borrow();
                if dict.len() != *len {
                    return raise("RuntimeError", "dictionary changed size during iteration");
                }
                *at += 1;
                dict.get_index(*at - 1).map(|(key, value)| match view {
                    View::Keys => key.value().clone(),
                    View::Values => value.clone(),
                    View::Items => Value::tuple(vec![key.value().clone(), value.clone()]),
                })
            }
            Iter::Values(values) => values.next(),
            Iter::Enumerate(inner, count) => self.next(inner)?.map(|v| {
                *count = count.saturating_add(1);
                Value::tuple(vec![Value::Int(*count - 1), v])
            }),
            Iter::Zip(inner, strict) => self.advance_zip(inner, *strict)?,
            Iter::Map(function, inner) => {
                let mut args = Vec::with_capacity(inner.len());
                for i in inner.iter() {
                    match self.next(i)? {
                        Some(value) => args.push(value),
                        None => return Ok(None),
                    }
                }
                Some(self.call(function, Args::of(args))?)
            }
            Iter::Filter(function, inner) => loop {
                let Some(value) = self.next(inner)? else { break None };
                let kept = match &*function {
                    Value::None => value.truthy(),
                    f => self.call(f, Args::of(vec![value.clone()]))?.truthy(),
                };
                if kept {
                    break Some(value);
                }
            },
            Iter::Generator(state) => state.next(self)?,
            Iter::Done => None,
        })
    }

    fn advance_zip(&mut self, inner: &[Value], strict: bool) -> Res<Option<Value>> {
        let mut values = Vec::with_capacity(inner.len());
        for (i, one) in inner.iter().enumerate() {
            match self.next(one)? {
                Some(value) => values.push(value),
                None if strict && i > 0 => {
                    let message = format!(
                        "zip() argument {} is shorter than argument{} ",
                        i + 1,
                        if i == 1 { "" } else { "s" }
                    );
                    return raise(
                        "ValueError",
                        format!("{message}{}", if i == 1 { "1".into() } else { format!("1-{i}") }),
                    );
                }
                None => {
                    for (later, other) in inner.iter().enumerate().skip(1).filter(|_| strict) {
                        if self.next(other)?.is_some() {
                            let message = format!("zip() argument {} is longer than argument", later + 1);
                            let before = if later == 1 { " 1".to_owned() } else { format!("s 1-{later}") };
                            return raise("ValueError", format!("{message}{before}"));
                        }
                    }
                    return Ok(None);
                }
            }
        }
        Ok(if inner.is_empty() { None } else { Some(Value::tuple(values)) })
    }

    /// All values of an iterable.
    pub(crate) fn collect(&mut self, value: &Value) -> Res<Vec<Value>> {
        match value {
            Value::List(l) => {
                let items = l.0.borrow().clone();
                self.charge(items.len() * size_of::<Value>())?;
                return Ok(items);
            }
            Value::Tuple(t) => {
                self.charge(t.0.len() * size_of::<Value>())?;
                return Ok(t.0.clone());
            }
            _ => {}
        }
        let iter = self.iter(value)?;
        let mut out = Vec::new();
        while let Some(item) = self.next(&iter)? {
            self.charge(size_of::<Value>())?;
            out.push(item);
        }
        Ok(out)
    }

    /// All values of an iterable, as keys.
    pub(crate) fn collect_keys(&mut self, value: &Value) -> Res<crate::value::Set> {
        if let Value::Set(set) = value {
            return Ok(set.items.borrow().clone());
        }
        self.collect(value)?.into_iter().map(Key::new).collect()
    }
}
