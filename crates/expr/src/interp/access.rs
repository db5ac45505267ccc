//! `object[index]`, slices, and changing items.

use std::collections::HashSet;
use std::rc::Rc;

use super::{Frame, Machine};
use crate::builtins;
use crate::ir::{Expr, ExprKind};
use crate::value::{Key, Raise, Res, Value, raise, type_error, value_error};

/// The index of a subscript: a value, or the three parts of a slice.
pub(crate) enum Index {
    Value(Value),
    Slice([Option<i64>; 3]),
}

impl Machine<'_> {
    pub(super) fn index(&mut self, index: &Expr, frame: &Rc<Frame>) -> Res<Index> {
        let ExprKind::Slice(lower, upper, step) = &index.kind else {
            return Ok(Index::Value(self.eval(index, frame)?));
        };
        let mut parts = [None, None, None];
        for (part, expr) in parts.iter_mut().zip([lower, upper, step]) {
            let Some(expr) = expr else { continue };
            *part = match self.eval(expr, frame)? {
                Value::None => None,
                Value::Big(b) => Some(if b.sign() == num_bigint::Sign::Minus { i64::MIN } else { i64::MAX }),
                other => Some(other.as_int().ok_or_else(|| {
                    type_error("slice indices must be integers or None or have an __index__ method")
                })?),
            };
        }
        Ok(Index::Slice(parts))
    }
}

pub(crate) fn get_index(machine: &mut Machine<'_>, object: &Value, index: &Index) -> Res<Value> {
    match index {
        Index::Value(index) => {
            let found = get_item(object, index)?;
            match (object, &found) {
                (Value::Str(s), _) => machine.scan(s.len())?,
                (Value::Match(_), Value::Str(s)) => machine.charge(s.len())?,
                _ => {}
            }
            Ok(found)
        }
        Index::Slice(parts) => get_slice(machine, object, parts),
    }
}

/// `object[index]`.
pub(crate) fn get_item(object: &Value, index: &Value) -> Res<Value> {
    match object {
        Value::List(l) => sequence_item(&l.0.borrow(), index, "list"),
        Value::Tuple(t) => sequence_item(&t.0, index, "tuple"),
        Value::Row(r) => sequence_item(&r.values, index, "tuple"),
        Value::Dict(d) => {
            let key = Key::new(index.clone())?;
            let found = d.0.borrow().get(&key).cloned();
            found.ok_or_else(|| Raise::with_args("KeyError", vec![index.clone()]))
        }
        Value::Str(s) => {
            let at = whole_index(index, "string indices must be integers", true)?;
            let found = if s.is_ascii() {
                position(at, s.len()).and_then(|i| s.get(i..=i)).map(Value::str)
            } else {
                let chars = s.chars().count();
                let c = position(at, chars).and_then(|i| s.chars().nth(i));
                c.map(|c| Value::str(c.encode_utf8(&mut [0; 4])))
            };
            found.ok_or_else(|| Raise::new("IndexError", "string index out of range"))
        }
        Value::Bytes(b) => {
            let at = whole_index(index, "byte indices must be integers or slices", false)?;
            let found = position(at, b.len()).and_then(|i| b.get(i)).map(|b| Value::Int(i64::from(*b)));
            found.ok_or_else(|| Raise::new("IndexError", "index out of range"))
        }
        Value::Range(r) => {
            let at = whole_index(index, "range indices must be integers or slices", false)?;
            let at = if at < 0 { at.saturating_add(r.len()) } else { at };
            let found = r.get(at).map(Value::Int);
            found.ok_or_else(|| Raise::new("IndexError", "range object index out of range"))
        }
        Value::Match(m) => crate::regex::group(m, index),
        // `list[int]` in an annotation that is evaluated after all.
        Value::Type("list" | "dict" | "set" | "frozenset" | "tuple" | "type") => Ok(object.clone()),
        Value::Type(name) => Err(type_error(format!("type '{name}' is not subscriptable"))),
        other => Err(type_error(format!("'{}' object is not subscriptable", other.type_name()))),
    }
}

fn sequence_item(items: &[Value], index: &Value, kind: &str) -> Res<Value> {
    let at = whole_index(index, &format!("{kind} indices must be integers or slices"), false)?;
    let found = position(at, items.len()).and_then(|i| items.get(i)).cloned();
    found.ok_or_else(|| Raise::new("IndexError", format!("{kind} index out of range")))
}

/// The integer in `index`, or a TypeError that starts with `what`.
fn whole_index(index: &Value, what: &str, quoted: bool) -> Res<i64> {
    match index {
        Value::Big(_) => raise("IndexError", "cannot fit 'int' into an index-sized integer"),
        other => other.as_int().ok_or_else(|| {
            let kind = other.type_name();
            let kind = if quoted { format!("'{kind}'") } else { kind.to_owned() };
            type_error(format!("{what}, not {kind}"))
        }),
    }
}

/// A Python index as a position, if inside.
fn position(at: i64, len: usize) -> Option<usize> {
    let at = if at < 0 { at.checked_add(i64::try_from(len).ok()?)? } else { at };
    usize::try_from(at).ok().filter(|i| *i < len)
}

/// The positions that a slice selects.
pub(crate) fn slice_bounds(parts: &[Option<i64>; 3], len: usize) -> Res<Vec<usize>> {
    let len = i64::try_from(len).unwrap_or(i64::MAX);
    let step = parts[2].unwrap_or(1);
    if step == 0 {
        return Err(value_error("slice step cannot be zero"));
    }
    let (low, high) = if step > 0 { (0, len) } else { (-1, len - 1) };
    let clamp = |at: i64| if at < 0 { at.saturating_add(len).max(low) } else { at.min(high) };
    let start = parts[0].map_or(if step > 0 { low } else { high }, clamp);
    let stop = parts[1].map_or(if step > 0 { high } else { low }, clamp);
    let mut out = Vec::new();
    let mut at = start;
    while if step > 0 { at < stop } else { at > stop } {
        out.push(usize::try_from(at).unwrap_or(0));
        match at.checked_add(step) {
            Some(next) => at = next,
            None => break,
        }
    }
    Ok(out)
}

fn get_slice(machine: &mut Machine<'_>, object: &Value, parts: &[Option<i64>; 3]) -> Res<Value> {
    let pick = |items: &[Value]| -> Res<Vec<Value>> {
        Ok(slice_bounds(parts, items.len())?.into_iter().filter_map(|i| items.get(i).cloned()).collect())
    };
    match object {
        Value::List(l) => {
            machine.work(l.0.borrow().len() * size_of::<usize>())?;
            let items = pick(&l.0.borrow())?;
            machine.list(items)
        }
        Value::Tuple(t) => {
            machine.charge(t.0.len() * size_of::<Value>())?;
            Ok(Value::tuple(pick(&t.0)?))
        }
        Value::Row(r) => Ok(Value::tuple(pick(&r.values)?)),
        Value::Str(s) if s.is_ascii() => {
            machine.scan(s.len())?;
            let bytes = s.as_bytes();
            let picked = slice_bounds(parts, bytes.len())?.into_iter().filter_map(|i| bytes.get(i));
            let text: String = picked.map(|b| char::from(*b)).collect();
            machine.text(text)
        }
        Value::Str(s) => {
            machine.work(s.len() * size_of::<char>())?;
            let chars: Vec<char> = s.chars().collect();
            let text = slice_bounds(parts, chars.len())?.into_iter().filter_map(|i| chars.get(i)).collect();
            machine.text(text)
        }
        Value::Bytes(b) => {
            machine.charge(b.len())?;
            let picked: Vec<u8> =
                slice_bounds(parts, b.len())?.into_iter().filter_map(|i| b.get(i).copied()).collect();
            Ok(Value::Bytes(picked.into()))
        }
        Value::Range(r) => {
            let len = usize::try_from(r.len()).unwrap_or(usize::MAX);
            machine.charge(len.min(super::BYTES_MAX) * size_of::<Value>())?;
            let picked = slice_bounds(parts, len)?;
            let value = |i: usize| i64::try_from(i).ok().and_then(|i| r.get(i)).map(Value::Int);
            Ok(Value::list(picked.into_iter().filter_map(value).collect()))
        }
        Value::Dict(_) => Err(type_error("unhashable type: 'slice'")),
        Value::Type(_) => get_item(object, &Value::None),
        other => Err(type_error(format!("'{}' object is not subscriptable", other.type_name()))),
    }
}

/// `object[index] = value`.
pub(super) fn set_item(machine: &mut Machine<'_>, object: &Value, index: Index, value: Value) -> Res<()> {
    match (object, index) {
        (Value::Dict(d), Index::Value(key)) => {
            machine.charge(64)?;
            let key = Key::new(key)?;
            let old = d.0.borrow_mut().insert(key, value);
            drop(old);
            Ok(())
        }
        (Value::List(l), Index::Value(index)) => {
            let at = whole_index(&index, "list indices must be integers or slices", false)?;
            let mut items = l.0.borrow_mut();
            let len = items.len();
            let place = position(at, len).and_then(|i| items.get_mut(i));
            let place =
                place.ok_or_else(|| Raise::new("IndexError", "list assignment index out of range"))?;
            let old = std::mem::replace(place, value);
            drop(items);
            drop(old);
            Ok(())
        }
        (Value::List(l), Index::Slice(parts)) => {
            let new = machine.collect(&value)?;
            let len = l.0.borrow().len();
            machine.work(len * size_of::<usize>())?;
            set_slice(&mut l.0.borrow_mut(), &parts, len, new)
        }
        (other, _) => {
            Err(type_error(format!("'{}' object does not support item assignment", other.type_name())))
        }
    }
}

fn set_slice(items: &mut Vec<Value>, parts: &[Option<i64>; 3], len: usize, new: Vec<Value>) -> Res<()> {
    let picked = slice_bounds(parts, len)?;
    if parts[2].unwrap_or(1) == 1 {
        let signed = i64::try_from(len).unwrap_or(i64::MAX);
        let clamp = |at: i64| (if at < 0 { at.saturating_add(signed) } else { at }).clamp(0, signed);
        let start = usize::try_from(parts[0].map_or(0, clamp)).unwrap_or(0);
        let stop = usize::try_from(parts[1].map_or(signed, clamp)).unwrap_or(len).max(start);
        items.splice(start..stop, new);
        return Ok(());
    }
    if picked.len() != new.len() {
        let (got, wanted) = (new.len(), picked.len());
        let message = format!("attempt to assign sequence of size {got} to extended slice of size {wanted}");
        return Err(value_error(message));
    }
    for (at, value) in picked.into_iter().zip(new) {
        if let Some(place) = items.get_mut(at) {
            *place = value;
        }
    }
    Ok(())
}

/// `del object[index]`.
pub(super) fn delete_item(machine: &mut Machine<'_>, object: &Value, index: &Index) -> Res<()> {
    match (object, index) {
        (Value::Dict(d), Index::Value(key)) => {
            let slot = Key::new(key.clone())?;
            machine.work(builtins::behind(&d.0.borrow(), &slot))?;
            let found = d.0.borrow_mut().shift_remove(&slot);
            found.map(|_| ()).ok_or_else(|| Raise::with_args("KeyError", vec![key.clone()]))
        }
        (Value::List(l), Index::Value(index)) => {
            let at = whole_index(index, "list indices must be integers or slices", false)?;
            let len = l.0.borrow().len();
            let at = position(at, len);
            let at = at.ok_or_else(|| Raise::new("IndexError", "list assignment index out of range"))?;
            machine.scan((len - at) * size_of::<Value>())?;
            let old = l.0.borrow_mut().remove(at);
            drop(old);
            Ok(())
        }
        (Value::List(l), Index::Slice(parts)) => {
            let len = l.0.borrow().len();
            machine.work(len * size_of::<Value>())?;
            let gone: HashSet<usize> = slice_bounds(parts, len)?.into_iter().collect();
            let all = std::mem::take(&mut *l.0.borrow_mut());
            let (old, kept): (Vec<_>, Vec<_>) =
                all.into_iter().enumerate().partition(|(i, _)| gone.contains(i));
            *l.0.borrow_mut() = kept.into_iter().map(|(_, v)| v).collect();
            drop(old);
            Ok(())
        }
        (other, _) => {
            Err(type_error(format!("'{}' object doesn't support item deletion", other.type_name())))
        }
    }
}
