//! Methods of lists, tuples, dicts, sets and ranges.

use std::rc::Rc;

use super::{class, functions, int_argument, no_attribute};
use crate::interp::{Args, Machine};
use crate::value::{
    DictCell, Key, ListCell, Raise, Res, Set, SetCell, Value, View, equal, raise, repr, type_error,
    value_error,
};

pub(super) const LIST: &[&str] =
    &["append", "clear", "copy", "count", "extend", "index", "insert", "pop", "remove", "reverse", "sort"];
pub(super) const TUPLE: &[&str] = &["count", "index"];
pub(super) const DICT: &[&str] =
    &["clear", "copy", "get", "items", "keys", "pop", "popitem", "setdefault", "update", "values"];
pub(super) const SET: &[&str] = &[
    "add",
    "clear",
    "copy",
    "difference",
    "discard",
    "intersection",
    "isdisjoint",
    "issubset",
    "issuperset",
    "pop",
    "remove",
    "symmetric_difference",
    "union",
    "update",
];

pub(super) fn names(table: &[&'static str]) -> Vec<&'static str> {
    table.to_vec()
}

pub(super) fn call(machine: &mut Machine<'_>, object: &Value, name: &str, args: Args) -> Res<Value> {
    match object {
        Value::List(l) if name == "sort" => sort(machine, l, args),
        Value::List(l) if matches!(name, "append" | "extend" | "insert" | "pop" | "remove") => {
            change_list(machine, l, name, args)
        }
        Value::List(l) if name == "copy" => {
            machine.charge(l.0.borrow().len() * size_of::<Value>())?;
            args.none(name).map(|()| Value::list(l.0.borrow().clone()))
        }
        Value::List(l) => list(l, name, args).unwrap_or_else(|args| sequence(machine, object, name, args)),
        Value::Tuple(_) | Value::Range(_) => sequence(machine, object, name, args),
        Value::Dict(d) => dict(machine, d, name, args),
        Value::Set(s) => set(machine, s, name, args),
        other => Err(no_attribute(other, name)),
    }
}

/// `count` and `index`.
fn sequence(machine: &mut Machine<'_>, object: &Value, name: &str, args: Args) -> Res<Value> {
    match name {
        "count" => {
            let value = args.one("count")?;
            let items = machine.collect(object)?;
            Ok(Value::from_usize(class::count_equal(&items, &value)?))
        }
        "index" => {
            let [value, start, end] = args.bind("index", ["/", "/", "/"], 1)?;
            let value = value.unwrap_or(Value::None);
            let items = machine.collect(object)?;
            let part = |v: Option<Value>| v.as_ref().map(int_argument).transpose();
            let picked = crate::interp::slice_bounds(&[part(start)?, part(end)?, None], items.len())?;
            for i in picked {
                if let Some(item) = items.get(i)
                    && equal(item, &value)?
                {
                    return Ok(Value::from_usize(i));
                }
            }
            Err(match object {
                Value::Tuple(_) => value_error("tuple.index(x): x not in tuple"),
                Value::Range(_) => value_error(format!("{} is not in range", repr(&value)?)),
                _ => value_error(format!("{} is not in list", repr(&value)?)),
            })
        }
        _ => Err(no_attribute(object, name)),
    }
}

fn list(l: &Rc<ListCell>, name: &str, args: Args) -> Result<Res<Value>, Args> {
    Ok(match name {
        "clear" => args.none(name).map(|()| {
            let old = std::mem::take(&mut *l.0.borrow_mut());
            drop(old);
            Value::None
        }),
        "reverse" => args.none(name).map(|()| {
            l.0.borrow_mut().reverse();
            Value::None
        }),
        _ => return Err(args),
    })
}

fn change_list(machine: &mut Machine<'_>, l: &Rc<ListCell>, name: &str, args: Args) -> Res<Value> {
    match name {
        "append" => {
            let value = args.one("list.append")?;
            machine.charge(size_of::<Value>())?;
            l.0.borrow_mut().push(value);
        }
        "extend" => {
            let values = args.one("list.extend")?;
            let items = machine.collect(&values)?;
            l.0.borrow_mut().extend(items);
        }
        "insert" => {
            let [at, value] = args.bind("insert", ["/", "/"], 2)?;
            let at = int_argument(&at.unwrap_or(Value::None))?;
            machine.charge(size_of::<Value>())?;
            let mut items = l.0.borrow_mut();
            let len = i64::try_from(items.len()).unwrap_or(i64::MAX);
            let at = if at < 0 { at.saturating_add(len).max(0) } else { at.min(len) };
            machine.scan(usize::try_from(len - at).unwrap_or(0) * size_of::<Value>())?;
            items.insert(usize::try_from(at).unwrap_or(0), value.unwrap_or(Value::None));
        }
        "pop" => {
            let [at] = args.bind("pop", ["/"], 0)?;
            let at = at.as_ref().map_or(Ok(-1), int_argument)?;
            let mut items = l.0.borrow_mut();
            if items.is_empty() {
                return raise("IndexError", "pop from empty list");
            }
            let len = i64::try_from(items.len()).unwrap_or(i64::MAX);
            let at = if at < 0 { at.saturating_add(len) } else { at };
            return match usize::try_from(at).ok().filter(|i| *i < items.len()) {
                Some(i) => {
                    machine.scan((items.len() - i) * size_of::<Value>())?;
                    Ok(items.remove(i))
                }
                None => raise("IndexError", "pop index out of range"),
            };
        }
        _ => {
            let value = args.one("list.remove")?;
            machine.work(l.0.borrow().len() * size_of::<Value>())?;
            let found = functions::find_equal(&l.0.borrow(), &value)?;
            let Some(at) = found else { return Err(value_error("list.remove(x): x not in list")) };
            let old = l.0.borrow_mut().remove(at);
            drop(old);
        }
    }
    Ok(Value::None)
}

fn sort(machine: &mut Machine<'_>, l: &Rc<ListCell>, mut args: Args) -> Res<Value> {
    let (key, reverse) = (args.take_keyword("key"), args.take_keyword("reverse"));
    args.none("sort")?;
    let items = l.0.borrow().clone();
    let sorted = functions::sort(machine, items, key, reverse)?;
    let old = std::mem::replace(&mut *l.0.borrow_mut(), sorted);
    drop(old);
    Ok(Value::None)
}

/// About the bytes that move up when a key is taken out.
pub(crate) fn behind(dict: &crate::value::Dict, key: &Key) -> usize {
    dict.get_index_of(key).map_or(0, |at| (dict.len() - at) * 8)
}

fn dict(machine: &mut Machine<'_>, d: &Rc<DictCell>, name: &str, mut args: Args) -> Res<Value> {
    match name {
        "get" => {
            let [key, default] = args.bind("get", ["/", "/"], 1)?;
            let key = Key::new(key.unwrap_or(Value::None))?;
            Ok(d.0.borrow().get(&key).cloned().or(default).unwrap_or(Value::None))
        }
        "keys" => args.none(name).map(|()| Value::View(Rc::clone(d), View::Keys)),
        "values" => args.none(name).map(|()| Value::View(Rc::clone(d), View::Values)),
        "items" => args.none(name).map(|()| Value::View(Rc::clone(d), View::Items)),
        "copy" => {
            machine.charge(d.0.borrow().len() * 64)?;
            args.none(name).map(|()| Value::dict(d.0.borrow().clone()))
        }
        "clear" => args.none(name).map(|()| {
            let old = std::mem::take(&mut *d.0.borrow_mut());
            drop(old);
            Value::None
        }),
        "setdefault" => {
            let [key, default] = args.bind("setdefault", ["/", "/"], 1)?;
            let key = Key::new(key.unwrap_or(Value::None))?;
            machine.charge(64)?;
            Ok(d.0.borrow_mut().entry(key).or_insert(default.unwrap_or(Value::None)).clone())
        }
        "pop" => {
            let [key, default] = args.bind("pop", ["/", "/"], 1)?;
            let key = key.unwrap_or(Value::None);
            let slot = Key::new(key.clone())?;
            machine.work(behind(&d.0.borrow(), &slot))?;
            let found = d.0.borrow_mut().shift_remove(&slot);
            found.or(default).ok_or_else(|| Raise::with_args("KeyError", vec![key]))
        }
        "popitem" => {
            args.none(name)?;
            match d.0.borrow_mut().pop() {
                Some((key, value)) => Ok(Value::tuple(vec![key.into_value(), value])),
                None => raise("KeyError", "popitem(): dictionary is empty"),
            }
        }
        "update" => {
            let keywords = std::mem::take(&mut args.keywords);
            let [values] = args.bind("update", ["/"], 0)?;
            let mut new = crate::value::Dict::new();
            if let Some(values) = values {
                class::extend_dict(machine, &mut new, &values)?;
            }
            new.extend(keywords.into_iter().map(|(k, v)| (Key::str(&k), v)));
            d.0.borrow_mut().extend(new);
            Ok(Value::None)
        }
        _ => Err(no_attribute(&Value::Dict(Rc::clone(d)), name)),
    }
}

fn set(machine: &mut Machine<'_>, s: &Rc<SetCell>, name: &str, args: Args) -> Res<Value> {
    let changes = matches!(name, "add" | "clear" | "discard" | "remove" | "pop" | "update");
    if changes && !s.frozen {
        return change_set(machine, s, name, args);
    }
    if name == "copy" {
        machine.charge(s.items.borrow().len() * 32)?;
        return args.none(name).map(|()| Value::set(s.items.borrow().clone(), s.frozen));
    }
    let mut others: Vec<Set> = Vec::new();
    for other in &args.positional {
        others.push(machine.collect_keys(other)?);
    }
    let own = s.items.borrow().clone();
    machine.charge(own.len() * 32)?;
    let first = || {
        others.first().ok_or_else(|| type_error(format!("set.{name}() takes exactly one argument (0 given)")))
    };
    Ok(match name {
        "union" => Value::set(
            others.into_iter().fold(own, |mut a, b| {
                a.extend(b);
                a
            }),
            s.frozen,
        ),
        "intersection" => {
            Value::set(others.iter().fold(own, |a, b| a.intersection(b).cloned().collect()), s.frozen)
        }
        "difference" => {
            Value::set(others.iter().fold(own, |a, b| a.difference(b).cloned().collect()), s.frozen)
        }
        "symmetric_difference" => Value::set(own.symmetric_difference(first()?).cloned().collect(), s.frozen),
        "isdisjoint" => Value::Bool(own.is_disjoint(first()?)),
        "issubset" => Value::Bool(own.is_subset(first()?)),
        "issuperset" => Value::Bool(own.is_superset(first()?)),
        _ => return Err(no_attribute(&Value::Set(Rc::clone(s)), name)),
    })
}

fn change_set(machine: &mut Machine<'_>, s: &Rc<SetCell>, name: &str, args: Args) -> Res<Value> {
    match name {
        "add" => {
            let key = Key::new(args.one("set.add")?)?;
            machine.charge(32)?;
            s.items.borrow_mut().insert(key);
        }
        "clear" => {
            args.none(name)?;
            s.items.borrow_mut().clear();
        }
        "pop" => {
            args.none(name)?;
            machine.work(s.items.borrow().len() * 8)?;
            return match s.items.borrow_mut().shift_remove_index(0) {
                Some(key) => Ok(key.into_value()),
                None => raise("KeyError", "pop from an empty set"),
            };
        }
        "update" => {
            for other in &args.positional {
                let items = machine.collect_keys(other)?;
                machine.charge(items.len() * 32)?;
                s.items.borrow_mut().extend(items);
            }
        }
        _ => {
            let value = args.one(name)?;
            machine.work(s.items.borrow().len() * 8)?;
            let found = s.items.borrow_mut().shift_remove(&Key::new(value.clone())?);
            if !found && name == "remove" {
                return Err(Raise::with_args("KeyError", vec![value]));
            }
        }
    }
    Ok(Value::None)
}
