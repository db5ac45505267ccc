//! Computes a plan over one batch.

use std::cmp::Ordering;

use arrow_array::{BooleanArray, PrimitiveArray, RecordBatch};
use arrow_schema::Field;
use num_traits::ToPrimitive as _;

use super::kernel::{BYTES_MAX, Vector, bools, floats, ints, of_bits, texts};
use super::{Apply, Kind, Node};
use crate::arrow::Column;
use crate::builtins::is_space;
use crate::interp::{float_floor_div, float_mod, floor_div_int, mod_int};
use crate::ir::{Binary, Compare};
use crate::value::{Value, float_repr, parse_float, parse_int};

/// Integers up to here are exact as floats.
const EXACT: u64 = 1 << 53;
/// A text longer than this is left to the interpreter, which counts memory.
const TEXT_MAX: usize = 1 << 20;

pub(super) struct Run {
    columns: Vec<(usize, Vector)>,
    rows: usize,
    /// The rows that must be done again by the interpreter.
    pub(super) trouble: Vec<bool>,
    /// The texts of this batch are too long for one array: the interpreter must do all of it.
    pub(super) too_large: bool,
}

impl Run {
    pub(super) fn new(batch: &RecordBatch, fields: &[(usize, Field)], rows: usize) -> Option<Run> {
        let mut columns = Vec::with_capacity(fields.len());
        for (index, field) in fields {
            let vector = match Column::new(batch.columns().get(*index)?, field).ok()? {
                Column::Null => Vector::None,
                Column::Bool(a) => Vector::Bool(a),
                Column::Int(a) => Vector::Int(a),
                Column::Float(a) => Vector::Float(a),
                Column::Str(a) => Vector::Str(a),
                _ => return None,
            };
            columns.push((*index, vector));
        }
        Some(Run { columns, rows, trouble: vec![false; rows], too_large: false })
    }

    fn mark(&mut self, row: usize) {
        if let Some(flag) = self.trouble.get_mut(row) {
            *flag = true;
        }
    }

    pub(super) fn node(&mut self, node: &Node) -> Vector {
        match node {
            Node::None => Vector::None,
            Node::Bool(b) => Vector::BoolConst(*b),
            Node::Int(i) => Vector::IntConst(*i),
            Node::Float(f) => Vector::FloatConst(*f),
            Node::Str(s) => Vector::StrConst(s.clone()),
            Node::Column(index) => {
                let found = self.columns.iter().find(|(i, _)| i == index);
                found.map_or(Vector::None, |(_, vector)| vector.clone())
            }
            Node::Arithmetic(op, a, b, kind) => {
                let (a, b) = (self.node(a), self.node(b));
                if *kind == Kind::Int {
                    self.int_arithmetic(*op, &a, &b)
                } else {
                    self.float_arithmetic(*op, &a, &b)
                }
            }
            Node::Concat(parts) => {
                let parts: Vec<Vector> = parts.iter().map(|p| self.node(p)).collect();
                self.concat(&parts)
            }
            Node::Compare(op, a, b) => {
                let (a, b) = (self.node(a), self.node(b));
                self.compare(*op, &a, &b)
            }
            Node::Contains(text, part) => {
                let (text, part) = (self.node(text), self.node(part));
                self.texts_test(&text, &part, |text, part| text.contains(part))
            }
            Node::Affix(start, text, part) => {
                let (text, part) = (self.node(text), self.node(part));
                let start = *start;
                self.texts_test(
                    &text,
                    &part,
                    move |t, p| if start { t.starts_with(p) } else { t.ends_with(p) },
                )
            }
            Node::IsNone(e) => {
                let e = self.node(e);
                of_bits(e.nones(self.rows))
            }
            Node::Not(e) => {
                let e = self.node(e);
                match e.bits() {
                    Some(bits) => of_bits(!bits),
                    None => bools(self.rows, |row| !e.truth(row)),
                }
            }
            Node::Logic(and, a, b) => {
                let (a, b) = (self.node(a), self.node(b));
                if let (Some(a), Some(b)) = (a.bits(), b.bits()) {
                    return of_bits(if *and { a & b } else { a | b });
                }
                if a.is_bool() && b.is_bool() && a.is_full() && b.is_full() {
                    let and = *and;
                    return bools(self.rows, |row| {
                        if and { a.truth(row) & b.truth(row) } else { a.truth(row) | b.truth(row) }
                    });
                }
                let test: Vec<bool> = (0..self.rows).map(|row| a.truth(row) == *and).collect();
                self.select(&test, &b, &a)
            }
            Node::If(test, a, b) => {
                let test = self.node(test);
                let test: Vec<bool> = (0..self.rows).map(|row| test.truth(row)).collect();
                let (a, b) = (self.node(a), self.node(b));
                self.select(&test, &a, &b)
            }
            Node::Apply(apply, e) => {
                let e = self.node(e);
                self.apply(*apply, &e)
            }
            Node::Widen(e) => {
                let e = self.node(e);
                floats(self.rows, |row| (!e.is_none(row)).then(|| e.float(row)))
            }
        }
    }

    /// Whether a text array made of these fits; if not, nothing that is computed counts any more.
    fn fits(&mut self, parts: &[&Vector]) -> bool {
        let bytes = parts.iter().fold(0_usize, |n, p| n.saturating_add(p.text_bytes(self.rows)));
        self.too_large |= bytes > BYTES_MAX;
        !self.too_large
    }

    /// `a` where the test holds, else `b`; both of one kind.
    fn select(&mut self, test: &[bool], a: &Vector, b: &Vector) -> Vector {
        let rows = self.rows;
        if !self.fits(&[a, b]) {
            return Vector::None;
        }
        let pick = |row: usize| if test.get(row).copied().unwrap_or(false) { a } else { b };
        let some = |row: usize| Some(pick(row)).filter(|v| !v.is_none(row));
        let of = |f: fn(&Vector) -> bool| f(a) || f(b);
        if of(Vector::is_text) {
            texts(rows, |row, out| some(row).map(|v| out.push_str(v.text(row))).is_some())
        } else if of(Vector::is_float) {
            floats(rows, |row| some(row).map(|v| v.float(row)))
        } else if of(Vector::is_bool) {
            Vector::Bool((0..rows).map(|row| some(row).map(|v| v.truth(row))).collect::<BooleanArray>())
        } else if matches!((a, b), (Vector::None, Vector::None)) {
            Vector::None
        } else {
            ints(rows, |row| some(row).map(|v| v.int(row)))
        }
    }

    /// Marks the rows where one side is None: arithmetic with None raises.
    fn mark_none(&mut self, a: &Vector, b: &Vector) {
        if !a.is_full() || !b.is_full() {
            (0..self.rows).filter(|row| a.is_none(*row) || b.is_none(*row)).for_each(|row| self.mark(row));
        }
    }

    fn int_arithmetic(&mut self, op: Binary, a: &Vector, b: &Vector) -> Vector {
        match op {
            Binary::Add => self.ints_with(a, b, i64::checked_add),
            Binary::Sub => self.ints_with(a, b, i64::checked_sub),
            Binary::Mul => self.ints_with(a, b, i64::checked_mul),
            Binary::FloorDiv => self.ints_with(a, b, floor_div_int),
            _ => self.ints_with(a, b, mod_int),
        }
    }

    fn ints_with(&mut self, a: &Vector, b: &Vector, f: impl Fn(i64, i64) -> Option<i64>) -> Vector {
        self.mark_none(a, b);
        let trouble = &mut self.trouble;
        let mut one = |row: usize, x: i64, y: i64| match f(x, y) {
            Some(value) => value,
            None => {
                if let Some(flag) = trouble.get_mut(row) {
                    *flag = true;
                }
                0
            }
        };
        let values: Vec<i64> = match (a.int_slice(), b.int_slice(), b) {
            (Some(x), Some(y), _) => x.iter().zip(y).enumerate().map(|(i, (x, y))| one(i, *x, *y)).collect(),
            (Some(x), None, Vector::IntConst(y)) => {
                x.iter().enumerate().map(|(i, x)| one(i, *x, *y)).collect()
            }
            _ => (0..self.rows)
                .map(|i| if a.is_none(i) || b.is_none(i) { 0 } else { one(i, a.int(i), b.int(i)) })
                .collect(),
        };
        Vector::Int(PrimitiveArray::from(values))
    }

    fn float_arithmetic(&mut self, op: Binary, a: &Vector, b: &Vector) -> Vector {
        let whole = !a.is_float() && !b.is_float();
        match op {
            Binary::Add => self.floats_with(a, b, |x, y| Some(x + y)),
            Binary::Sub => self.floats_with(a, b, |x, y| Some(x - y)),
            Binary::Mul => self.floats_with(a, b, |x, y| Some(x * y)),
            // The quotient of large integers is rounded once, not thrice.
            Binary::Div if whole => {
                self.mark_none(a, b);
                let exact = |v: i64| v.unsigned_abs() <= EXACT;
                for row in 0..self.rows {
                    if !exact(a.int(row)) || !exact(b.int(row)) {
                        self.mark(row);
                    }
                }
                self.floats_with(a, b, |x, y| (y != 0.0).then(|| x / y))
            }
            Binary::Div => self.floats_with(a, b, |x, y| (y != 0.0).then(|| x / y)),
            Binary::FloorDiv => self.floats_with(a, b, |x, y| (y != 0.0).then(|| float_floor_div(x, y))),
            _ => self.floats_with(a, b, |x, y| (y != 0.0).then(|| float_mod(x, y))),
        }
    }

    fn floats_with(&mut self, a: &Vector, b: &Vector, f: impl Fn(f64, f64) -> Option<f64>) -> Vector {
        self.mark_none(a, b);
        let trouble = &mut self.trouble;
        let mut one = |row: usize, x: f64, y: f64| match f(x, y) {
            Some(value) => value,
            None => {
                if let Some(flag) = trouble.get_mut(row) {
                    *flag = true;
                }
                0.0
            }
        };
        let values: Vec<f64> = match (a.float_slice(), b.float_slice(), b) {
            (Some(x), Some(y), _) => x.iter().zip(y).enumerate().map(|(i, (x, y))| one(i, *x, *y)).collect(),
            (Some(x), None, Vector::FloatConst(y)) => {
                x.iter().enumerate().map(|(i, x)| one(i, *x, *y)).collect()
            }
            _ => (0..self.rows)
                .map(|i| if a.is_none(i) || b.is_none(i) { 0.0 } else { one(i, a.float(i), b.float(i)) })
                .collect(),
        };
        Vector::Float(PrimitiveArray::from(values))
    }

    fn concat(&mut self, parts: &[Vector]) -> Vector {
        if !self.fits(&parts.iter().collect::<Vec<_>>()) {
            return Vector::None;
        }
        for row in 0..self.rows {
            let long =
                parts.iter().map(|p| if p.is_none(row) { 0 } else { p.text(row).len() }).sum::<usize>()
                    > TEXT_MAX;
            if long || parts.iter().any(|p| p.is_none(row)) {
                self.mark(row);
            }
        }
        let trouble = &self.trouble;
        texts(self.rows, |row, out| {
            let fine = !trouble.get(row).copied().unwrap_or(false);
            if fine {
                parts.iter().for_each(|p| out.push_str(p.text(row)));
            }
            fine
        })
    }

    fn texts_test(&mut self, text: &Vector, part: &Vector, test: impl Fn(&str, &str) -> bool) -> Vector {
        self.mark_none(text, part);
        bools(self.rows, |row| {
            !text.is_none(row) && !part.is_none(row) && test(text.text(row), part.text(row))
        })
    }

    fn compare(&mut self, op: Compare, a: &Vector, b: &Vector) -> Vector {
        let equality = matches!(op, Compare::Eq | Compare::Ne);
        if !equality {
            self.mark_none(a, b);
        }
        let (text, float) = (a.is_text() || b.is_text(), a.is_float() || b.is_float());
        if float && !(a.is_float() && b.is_float()) {
            // An integer beyond 2^53 is compared exactly, not as the float near it.
            let whole = if a.is_float() { b } else { a };
            for row in 0..self.rows {
                if !whole.is_none(row) && whole.int(row).unsigned_abs() > EXACT {
                    self.mark(row);
                }
            }
        }
        let holds = |order: Option<Ordering>| match op {
            Compare::Eq => order == Some(Ordering::Equal),
            Compare::Ne => order != Some(Ordering::Equal),
            Compare::Lt => order.is_some_and(Ordering::is_lt),
            Compare::Le => order.is_some_and(Ordering::is_le),
            Compare::Gt => order.is_some_and(Ordering::is_gt),
            _ => order.is_some_and(Ordering::is_ge),
        };
        bools(self.rows, |row| {
            let (x, y) = (a.is_none(row), b.is_none(row));
            if x || y {
                return equality && (x && y) == (op == Compare::Eq);
            }
            holds(if text {
                Some(a.text(row).cmp(b.text(row)))
            } else if float {
                a.float(row).partial_cmp(&b.float(row))
            } else {
                Some(a.int(row).cmp(&b.int(row)))
            })
        })
    }

    fn apply(&mut self, apply: Apply, e: &Vector) -> Vector {
        let rows = self.rows;
        if !self.fits(&[e]) {
            return Vector::None;
        }
        match apply {
            Apply::ToBool => return bools(rows, |row| e.truth(row)),
            Apply::ToText => return texts(rows, |row, out| text_of(e, row, out)),
            _ => {}
        }
        // All others raise on None.
        self.mark_none(e, e);
        match apply {
            Apply::Negate | Apply::Absolute if e.is_float() => {
                let negate = apply == Apply::Negate;
                floats(rows, |row| Some(if negate { -e.float(row) } else { e.float(row).abs() }))
            }
            Apply::Negate => self.ints_with(e, e, |x, _| x.checked_neg()),
            Apply::Absolute => self.ints_with(e, e, |x, _| x.checked_abs()),
            Apply::Round => self.fallible_ints(|row| whole(e.float(row).round_ties_even())),
            Apply::ToInt if e.is_text() => {
                self.fallible_ints(|row| match parse_int(e.text(row), 10, &Value::None) {
                    Ok(Value::Int(i)) => Some(i),
                    _ => None,
                })
            }
            Apply::ToInt if e.is_float() => self.fallible_ints(|row| whole(e.float(row).trunc())),
            Apply::ToInt => ints(rows, |row| Some(e.int(row))),
            Apply::ToFloat if e.is_text() => {
                let parsed: Vec<Option<f64>> = (0..rows).map(|row| parse_float(e.text(row)).ok()).collect();
                parsed.iter().enumerate().filter(|(_, p)| p.is_none()).for_each(|(row, _)| self.mark(row));
                Vector::Float(parsed.into_iter().collect())
            }
            Apply::ToFloat => floats(rows, |row| Some(e.float(row))),
            Apply::Length => ints(rows, |row| i64::try_from(e.text(row).chars().count()).ok()),
            Apply::Upper => texts_of(rows, e, str::to_uppercase),
            Apply::Lower => texts_of(rows, e, str::to_lowercase),
            Apply::Strip => texts(rows, |row, out| {
                out.push_str(e.text(row).trim_matches(is_space));
                true
            }),
            Apply::StripLeft => texts(rows, |row, out| {
                out.push_str(e.text(row).trim_start_matches(is_space));
                true
            }),
            _ => texts(rows, |row, out| {
                out.push_str(e.text(row).trim_end_matches(is_space));
                true
            }),
        }
    }

    fn fallible_ints(&mut self, f: impl Fn(usize) -> Option<i64>) -> Vector {
        let found: Vec<Option<i64>> = (0..self.rows).map(f).collect();
        found.iter().enumerate().filter(|(_, v)| v.is_none()).for_each(|(row, _)| self.mark(row));
        Vector::Int(found.into_iter().collect())
    }
}

fn texts_of(rows: usize, e: &Vector, f: impl Fn(&str) -> String) -> Vector {
    texts(rows, |row, out| {
        out.push_str(&f(e.text(row)));
        true
    })
}

fn whole(x: f64) -> Option<i64> {
    if x.abs() < 9.0e18 { x.to_i64() } else { None }
}

/// `str(value)`.
fn text_of(e: &Vector, row: usize, out: &mut String) -> bool {
    if e.is_none(row) {
        out.push_str("None");
    } else if e.is_text() {
        out.push_str(e.text(row));
    } else if e.is_float() {
        out.push_str(&float_repr(e.float(row)));
    } else if e.is_bool() {
        out.push_str(if e.truth(row) { "True" } else { "False" });
    } else {
        out.push_str(&e.int(row).to_string());
    }
    true
}
