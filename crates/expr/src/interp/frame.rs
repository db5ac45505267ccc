//! The variables of one running function.

use std::cell::RefCell;
use std::rc::Rc;

use crate::ir::Var;
use crate::value::{Raise, Res, Value, drop_frame_values};

pub(crate) struct Frame {
    slots: RefCell<Vec<Option<Value>>>,
    parent: Option<Rc<Frame>>,
}

impl Frame {
    pub(crate) fn new(slots: usize, parent: Option<Rc<Frame>>) -> Rc<Frame> {
        Rc::new(Frame { slots: RefCell::new(vec![None; slots]), parent })
    }

    pub(crate) fn with(values: Vec<Option<Value>>, parent: Option<Rc<Frame>>) -> Rc<Frame> {
        Rc::new(Frame { slots: RefCell::new(values), parent })
    }

    fn at(&self, depth: u16) -> Option<&Frame> {
        let mut frame = self;
        for _ in 0..depth {
            frame = frame.parent.as_deref()?;
        }
        Some(frame)
    }

    pub(crate) fn get(&self, var: &Var) -> Res<Value> {
        let found =
            self.at(var.depth).and_then(|f| f.slots.borrow().get(usize::from(var.slot)).cloned().flatten());
        found.ok_or_else(|| {
            let name = &var.name;
            match (var.depth, self.parent.is_some()) {
                (0, true) => Raise::new(
                    "UnboundLocalError",
                    format!("cannot access local variable '{name}' where it is not associated with a value"),
                ),
                _ => Raise::new("NameError", format!("name '{name}' is not defined")),
            }
        })
    }

    pub(crate) fn set(&self, var: &Var, value: Option<Value>) {
        if let Some(frame) = self.at(var.depth) {
            // The old value dies only after the borrow: its drop may reach this frame.
            let old = match frame.slots.borrow_mut().get_mut(usize::from(var.slot)) {
                Some(slot) => std::mem::replace(slot, value),
                None => None,
            };
            drop(old);
        }
    }

    /// Empties the frame.
    pub(crate) fn take(&self) -> Vec<Value> {
        match self.slots.try_borrow_mut() {
            Ok(mut slots) => slots.iter_mut().filter_map(Option::take).collect(),
            Err(_) => Vec::new(),
        }
    }

    pub(crate) fn take_values(&mut self) -> Vec<Value> {
        self.slots.get_mut().iter_mut().filter_map(Option::take).collect()
    }
}

impl Drop for Frame {
    fn drop(&mut self) {
        drop_frame_values(self);
    }
}
