//! Statements.

use std::rc::Rc;

use super::{Frame, Machine, access};
use crate::ir::{Handler, Stmt, StmtKind, Target};
use crate::value::{
    Exception, Raise, Res, Value, is_exception_type, is_subtype, raise, text, type_error, value_error,
};

/// How a statement ended.
pub(crate) enum Flow {
    Next,
    Break,
    Continue,
    Return(Value),
}

impl Machine<'_> {
    pub(crate) fn block(&mut self, stmts: &[Stmt], frame: &Rc<Frame>) -> Res<Flow> {
        for stmt in stmts {
            match self.exec(stmt, frame).map_err(|r| r.placed(stmt.at))? {
                Flow::Next => {}
                other => return Ok(other),
            }
        }
        Ok(Flow::Next)
    }

    fn exec(&mut self, stmt: &Stmt, frame: &Rc<Frame>) -> Res<Flow> {
        self.step()?;
        match &stmt.kind {
            StmtKind::Expr(e) => {
                self.eval(e, frame)?;
            }
            StmtKind::Assign(targets, value) => {
                let value = self.eval(value, frame)?;
                for target in targets {
                    self.assign(target, value.clone(), frame)?;
                }
            }
            StmtKind::Augment(target, op, value) => self.augment(target, *op, value, frame)?,
            StmtKind::Def(var, function) => {
                let closure = self.closure(function, frame)?;
                frame.set(var, Some(closure));
            }
            StmtKind::If(test, then, otherwise) => {
                let branch = if self.eval(test, frame)?.truthy() { then } else { otherwise };
                return self.block(branch, frame);
            }
            StmtKind::While(test, body, otherwise) => {
                while self.eval(test, frame)?.truthy() {
                    match self.block(body, frame)? {
                        Flow::Break => return Ok(Flow::Next),
                        Flow::Return(value) => return Ok(Flow::Return(value)),
                        Flow::Next | Flow::Continue => self.step()?,
                    }
                }
                return self.block(otherwise, frame);
            }
            StmtKind::For { target, iter, body, otherwise } => {
                let values = self.eval(iter, frame)?;
                let iter = self.iter(&values)?;
                while let Some(value) = self.next(&iter)? {
                    self.assign(target, value, frame)?;
                    match self.block(body, frame)? {
                        Flow::Break => return Ok(Flow::Next),
                        Flow::Return(value) => return Ok(Flow::Return(value)),
                        Flow::Next | Flow::Continue => {}
                    }
                }
                return self.block(otherwise, frame);
            }
            StmtKind::Break => return Ok(Flow::Break),
            StmtKind::Continue => return Ok(Flow::Continue),
            StmtKind::Return(None) => return Ok(Flow::Return(Value::None)),
            StmtKind::Return(Some(e)) => return self.eval(e, frame).map(Flow::Return),
            StmtKind::Raise(e) => return Err(self.raised(e.as_ref(), frame)?),
            StmtKind::Assert(test, message) => {
                if !self.eval(test, frame)?.truthy() {
                    let args = message.as_ref().map(|m| self.eval(m, frame)).transpose()?;
                    return Err(Raise::with_args("AssertionError", args.into_iter().collect()));
                }
            }
            StmtKind::Try { body, handlers, otherwise, finally } => {
                let flow = self.attempt(body, handlers, otherwise, frame);
                if flow.as_ref().is_err_and(|r| r.fatal) {
                    return flow;
                }
                return match self.block(finally, frame)? {
                    Flow::Next => flow,
                    other => Ok(other),
                };
            }
            StmtKind::Delete(targets) => {
                for target in targets {
                    self.delete(target, frame)?;
                }
            }
        }
        Ok(Flow::Next)
    }

    fn raised(&mut self, e: Option<&crate::ir::Expr>, frame: &Rc<Frame>) -> Res<Raise> {
        let Some(e) = e else {
            return match self.handling.last() {
                Some(raise) => Ok(raise.again()),
                None => raise("RuntimeError", "No active exception to reraise"),
            };
        };
        match self.eval(e, frame)? {
            Value::Exception(exception) => Ok(Raise { exception, at: None, fatal: false }),
            Value::Type(kind) if is_exception_type(kind) => Ok(Raise::with_args(kind, Vec::new())),
            _ => Err(type_error("exceptions must derive from BaseException")),
        }
    }

    fn attempt(
        &mut self,
        body: &[Stmt],
        handlers: &[Handler],
        otherwise: &[Stmt],
        frame: &Rc<Frame>,
    ) -> Res<Flow> {
        let raised = match self.block(body, frame) {
            Ok(Flow::Next) => return self.block(otherwise, frame),
            Ok(other) => return Ok(other),
            Err(raised) if raised.fatal => return Err(raised),
            Err(raised) => raised,
        };
        for handler in handlers {
            if let Some(class) = &handler.class {
                let class = self.eval(class, frame)?;
                if !self.catches(&class, raised.exception.kind)? {
                    continue;
                }
            }
            if let Some(var) = &handler.name {
                frame.set(var, Some(Value::Exception(Rc::clone(&raised.exception))));
            }
            self.handling.push(raised);
            let flow = self.block(&handler.body, frame);
            self.handling.pop();
            if let Some(var) = &handler.name {
                frame.set(var, None);
            }
            return flow;
        }
        Err(raised)
    }

    fn catches(&mut self, class: &Value, kind: &str) -> Res<bool> {
        match class {
            Value::Type(base) if is_exception_type(base) => Ok(is_subtype(kind, base)),
            Value::Tuple(classes) => {
                for class in &classes.0 {
                    if self.catches(class, kind)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            _ => Err(type_error("catching classes that do not inherit from BaseException is not allowed")),
        }
    }

    pub(super) fn assign(&mut self, target: &Target, value: Value, frame: &Rc<Frame>) -> Res<()> {
        match target {
            Target::Var(var) => frame.set(var, Some(value)),
            Target::Subscript(object, index) => {
                let object = self.eval(object, frame)?;
                let index = self.index(index, frame)?;
                access::set_item(self, &object, index, value)?;
            }
            Target::Unpack(targets, star) => self.unpack(targets, *star, &value, frame)?,
        }
        Ok(())
    }

    fn unpack(
        &mut self,
        targets: &[Target],
        star: Option<usize>,
        value: &Value,
        frame: &Rc<Frame>,
    ) -> Res<()> {
        let wanted = targets.len();
        let iter = self
            .iter(value)
            .map_err(|_| type_error(format!("cannot unpack non-iterable {} object", value.type_name())))?;
        let mut values = Vec::with_capacity(wanted);
        while let Some(item) = self.next(&iter)? {
            values.push(item);
            if star.is_none() && values.len() > wanted {
                return Err(value_error(format!("too many values to unpack (expected {wanted})")));
            }
        }
        if let Some(at) = star {
            let needed = wanted.saturating_sub(1);
            if values.len() < needed {
                let got = values.len();
                let message = format!("not enough values to unpack (expected at least {needed}, got {got})");
                return Err(value_error(message));
            }
            let tail = values.len() - (needed - at.min(needed));
            let middle = values.splice(at.min(tail)..tail, [Value::None]).collect();
            if let Some(place) = values.get_mut(at) {
                *place = Value::list(middle);
            }
        }
        if values.len() < wanted {
            let got = values.len();
            return Err(value_error(format!("not enough values to unpack (expected {wanted}, got {got})")));
        }
        for (target, value) in targets.iter().zip(values) {
            self.assign(target, value, frame)?;
        }
        Ok(())
    }

    /// `target op= value`: lists, dicts and sets change in place.
    fn augment(
        &mut self,
        target: &Target,
        op: crate::ir::Binary,
        value: &crate::ir::Expr,
        frame: &Rc<Frame>,
    ) -> Res<()> {
        match target {
            Target::Var(var) => {
                let old = frame.get(var)?;
                let value = self.eval(value, frame)?;
                let new = self.in_place(op, old, &value)?;
                frame.set(var, Some(new));
            }
            Target::Subscript(object, index) => {
                let object = self.eval(object, frame)?;
                let index = self.index(index, frame)?;
                let old = access::get_index(self, &object, &index)?;
                let value = self.eval(value, frame)?;
                let new = self.in_place(op, old, &value)?;
                access::set_item(self, &object, index, new)?;
            }
            Target::Unpack(..) => return Err(type_error("illegal target for augmented assignment")),
        }
        Ok(())
    }

    fn in_place(&mut self, op: crate::ir::Binary, old: Value, value: &Value) -> Res<Value> {
        use crate::ir::Binary;
        match (&old, op) {
            (Value::List(list), Binary::Add) => {
                let items = self.collect(value)?;
                self.charge(items.len() * size_of::<Value>())?;
                list.0.borrow_mut().extend(items);
                Ok(old)
            }
            (Value::Dict(dict), Binary::Or) if matches!(value, Value::Dict(_)) => {
                if let Value::Dict(other) = value
                    && !Rc::ptr_eq(dict, other)
                {
                    dict.0.borrow_mut().extend(other.0.borrow().iter().map(|(k, v)| (k.clone(), v.clone())));
                }
                Ok(old)
            }
            (Value::Set(set), Binary::Or | Binary::And | Binary::Sub | Binary::Xor) if !set.frozen => {
                let new = super::binary(self, op, &old, value)?;
                if let Value::Set(new) = &new {
                    let items = new.items.borrow().clone();
                    *set.items.borrow_mut() = items;
                }
                Ok(old)
            }
            _ => super::binary(self, op, &old, value).map_err(|r| augmented(r, op)),
        }
    }

    fn delete(&mut self, target: &Target, frame: &Rc<Frame>) -> Res<()> {
        match target {
            Target::Var(var) => {
                frame.get(var)?;
                frame.set(var, None);
            }
            Target::Subscript(object, index) => {
                let object = self.eval(object, frame)?;
                let index = self.index(index, frame)?;
                access::delete_item(self, &object, &index)?;
            }
            Target::Unpack(targets, _) => {
                for target in targets {
                    self.delete(target, frame)?;
                }
            }
        }
        Ok(())
    }
}

/// CPython names the augmented operator: `unsupported operand type(s) for +=`.
fn augmented(raised: Raise, op: crate::ir::Binary) -> Raise {
    let plain = format!("unsupported operand type(s) for {}: ", op.sign());
    let message = raised.exception.args.first().and_then(|a| text(a).ok()).unwrap_or_default();
    match message.strip_prefix(&plain) {
        Some(rest) if raised.exception.kind == "TypeError" => {
            let sign = if op == crate::ir::Binary::Pow { "**" } else { op.sign() };
            type_error(format!("unsupported operand type(s) for {sign}=: {rest}"))
        }
        _ => raised,
    }
}

impl Raise {
    /// The place of the failure, unless an inner one is known.
    pub(crate) fn placed(mut self, at: u32) -> Raise {
        self.at = self.at.or(Some(at));
        self
    }

    pub(super) fn again(&self) -> Raise {
        Raise { exception: Rc::<Exception>::clone(&self.exception), at: self.at, fatal: self.fatal }
    }
}
