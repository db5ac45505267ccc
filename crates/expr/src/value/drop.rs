//! Dropping without recursion: a list nested a million deep must not overflow the stack when it dies.

use std::rc::Rc;

use super::{DictCell, ListCell, Row, TupleCell, Value};

/// Drops `values` and all that only they hold, one by one.
pub(super) fn drop_deep(values: Vec<Value>) {
    if !values.iter().any(Value::is_container) {
        return;
    }
    let mut waiting = values;
    while let Some(value) = waiting.pop() {
        match value {
            Value::List(list) => {
                if let Some(mut list) = Rc::into_inner(list) {
                    waiting.append(list.0.get_mut());
                }
            }
            Value::Tuple(tuple) => {
                if let Some(mut tuple) = Rc::into_inner(tuple) {
                    waiting.append(&mut tuple.0);
                }
            }
            Value::Dict(dict) => {
                if let Some(mut dict) = Rc::into_inner(dict) {
                    waiting.extend(std::mem::take(dict.0.get_mut()).into_values());
                }
            }
            Value::Row(row) => {
                if let Some(mut row) = Rc::into_inner(row) {
                    waiting.append(&mut row.values);
                }
            }
            Value::Function(closure) => {
                if let Some(closure) = Rc::into_inner(closure) {
                    closure.dismantle(&mut waiting);
                }
            }
            Value::Iter(state) => {
                if let Some(state) = Rc::into_inner(state) {
                    state.dismantle(&mut waiting);
                }
            }
            _ => {}
        }
    }
}

impl Drop for ListCell {
    fn drop(&mut self) {
        drop_deep(std::mem::take(self.0.get_mut()));
    }
}

impl Drop for TupleCell {
    fn drop(&mut self) {
        drop_deep(std::mem::take(&mut self.0));
    }
}

impl Drop for DictCell {
    fn drop(&mut self) {
        let values = std::mem::take(self.0.get_mut());
        if values.values().any(Value::is_container) {
            drop_deep(values.into_values().collect());
        }
    }
}

impl Drop for Row {
    fn drop(&mut self) {
        drop_deep(std::mem::take(&mut self.values));
    }
}
