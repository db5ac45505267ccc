//! From what the author wrote to a sequence of joins of two.
//!
//! An equality of several inputs becomes pairs: its first input with each other one. Inputs are joined one
//! after the other; a pair belongs to the later of its two. What rows without a partner are kept depends on
//! an input and the one written before it, whatever the equalities say: Beam's rule.

use super::config::{Equalities, JoinType};
use super::fields::known_column;
use crate::common::{find, names};
use arrow_schema::{DataType, Field};
use purlin_api::key::encodes;
use purlin_api::shape::{is_any, nullable_type, type_name};
use purlin_api::unite::{INT_DIGITS, decimal_of};
use purlin_api::{BindCx, Distribution, InputShape};
use purlin_spec::config::Spanned;
use purlin_spec::{Diagnostic, Span, suggest};

/// A field of an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) input: usize,
    pub(super) column: usize,
}

/// Two fields that must be equal.
#[derive(Clone, Debug)]
pub(super) struct Pair {
    pub(super) a: Place,
    pub(super) b: Place,
    /// The type in which they are compared.
    pub(super) key: DataType,
    /// True if one of them has another type, in which equal values have other key bytes.
    pub(super) cast: bool,
}

impl Pair {
    /// Its place in an input, and its other place.
    fn seen_from(&self, input: usize) -> Option<(Place, Place)> {
        match input {
            i if i == self.a.input => Some((self.a, self.b)),
            i if i == self.b.input => Some((self.b, self.a)),
            _ => None,
        }
    }
}

/// Whose rows are kept without a partner.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Keep {
    /// Those of what was joined before.
    pub(super) left: bool,
    /// Those of the input that is joined.
    pub(super) right: bool,
}

/// One equality of a step.
#[derive(Clone, Debug)]
pub(super) struct On {
    pub(super) left: Place,
    pub(super) right_column: usize,
    pub(super) key: DataType,
    /// See [`Pair::cast`].
    pub(super) cast: bool,
}

/// One join: everything before it with one more input.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub(super) input: usize,
    pub(super) keep: Keep,
    /// At least one.
    pub(super) on: Vec<On>,
}

/// The whole join.
#[derive(Clone, Debug)]
pub(super) struct Joined {
    /// Where it starts.
    pub(super) first: usize,
    pub(super) steps: Vec<Step>,
}

/// Fields that all inputs are joined by.
#[derive(Debug)]
pub(super) struct SharedKey {
    /// By input.
    pub(super) columns: Vec<Vec<usize>>,
    /// The types in which they are compared.
    pub(super) types: Vec<DataType>,
}

impl Joined {
    /// Which inputs may have no row in a row of the result.
    pub(super) fn nullable(&self) -> Vec<bool> {
        let mut nullable = vec![false; self.steps.len() + 1];
        let mut before = vec![self.first];
        for step in &self.steps {
            let after: &[usize] = if step.keep.left { &[step.input] } else { &[] };
            let before_too: &[usize] = if step.keep.right { &before } else { &[] };
            for input in after.iter().chain(before_too) {
                if let Some(n) = nullable.get_mut(*input) {
                    *n = true;
                }
            }
            before.push(step.input);
        }
        nullable
    }

    /// The columns of each input by which rows may be spread over lanes: in each step, rows only meet if
    /// they have equal values there. `None` if there are none.
    pub(super) fn keyed(&self) -> Option<Vec<Distribution>> {
        let mut starts: Vec<usize> = Vec::new();
        for step in &self.steps {
            let new = step.on.iter().filter(|o| o.left.input == self.first).map(|o| o.left.column);
            new.for_each(|c| {
                if !starts.contains(&c) {
                    starts.push(c)
                }
            });
        }
        let ways: Vec<Vec<Place>> = starts.iter().filter_map(|c| self.way(*c)).collect();
        if ways.is_empty() {
            return None;
        }
        let columns = |input: usize| {
            let of = |way: &Vec<Place>| way.iter().find(|p| p.input == input).map(|p| p.column);
            Distribution::Keyed(ways.iter().filter_map(of).collect())
        };
        Some((0..=self.steps.len()).map(columns).collect())
    }

    /// The fields of each input that all equalities are about, if they are about the same ones throughout: rows that
    /// meet anywhere are equal in all of them.
    pub(super) fn shared_key(&self, inputs: usize) -> Option<SharedKey> {
        let mut parts: Vec<(Vec<Option<usize>>, &DataType)> = Vec::new();
        for on in self.steps.iter().flat_map(|s| s.on.iter().map(move |on| (s.input, on))) {
            let (input, on) = on;
            let at = parts.iter().position(|(p, _)| p.get(on.left.input) == Some(&Some(on.left.column)));
            let at = at.unwrap_or_else(|| {
                let mut part = vec![None; inputs];
                if let Some(left) = part.get_mut(on.left.input) {
                    *left = Some(on.left.column);
                }
                parts.push((part, &on.key));
                parts.len() - 1
            });
            let (part, key) = parts.get_mut(at)?;
            let own = part.get_mut(input)?;
            if **key != on.key || own.is_some_and(|c| c != on.right_column) {
                return None;
            }
            *own = Some(on.right_column);
        }
        let column = |input: usize| parts.iter().map(|(p, _)| p.get(input).copied().flatten()).collect();
        let columns = (0..inputs).map(column).collect::<Option<Vec<Vec<usize>>>>()?;
        Some(SharedKey { columns, types: parts.into_iter().map(|(_, t)| t.clone()).collect() })
    }

    /// A column of each input, tied to this column of the first one by an equality of each step.
    fn way(&self, start: usize) -> Option<Vec<Place>> {
        let mut way = vec![Place { input: self.first, column: start }];
        for step in &self.steps {
            let tied = step.on.iter().find(|o| !o.cast && way.contains(&o.left))?;
            way.push(Place { input: step.input, column: tied.right_column });
        }
        Some(way)
    }
}

/// The input of this name, or a diagnostic that lists what there is.
pub(super) fn known_input<'a>(
    tag: &Spanned<String>,
    place: &str,
    inputs: &'a [InputShape],
    cx: &mut BindCx<'_>,
) -> Option<(usize, &'a InputShape)> {
    let found = inputs.iter().enumerate().find(|(_, i)| i.tag == tag.value);
    if found.is_none() {
        let tags = || inputs.iter().map(|i| i.tag.as_str());
        let text = format!("an invalid input `{}` was specified in `{place}`", tag.value);
        cx.diagnostics.push(
            Diagnostic::error("join/unknown-input", tag.span, text)
                .label(format!("the inputs are: {}", suggest::listed(tags())))
                .maybe_help(suggest::did_you_mean(&tag.value, tags())),
        );
    }
    found
}

/// The pairs of fields that must be equal.
pub(super) fn pairs(
    equalities: &Equalities,
    inputs: &[InputShape],
    cx: &mut BindCx<'_>,
) -> Option<Vec<Pair>> {
    let places = match equalities {
        Equalities::Everywhere(name) => vec![(name.span, everywhere(name, inputs, cx)?)],
        Equalities::Listed(list, _) => {
            let each = list.iter().map(|equality| {
                let places: Vec<Option<Place>> = equality
                    .0
                    .iter()
                    .map(|(tag, field)| {
                        let (input, shape) = known_input(tag, "equalities", inputs, cx)?;
                        Some(Place { input, column: known_column(field, shape, cx)? })
                    })
                    .collect();
                let span = equality.0.first().map_or(cx.span, |(tag, _)| tag.span);
                Some((span, places.into_iter().collect::<Option<Vec<_>>>()?))
            });
            let each: Vec<Option<_>> = each.collect();
            each.into_iter().collect::<Option<Vec<_>>>()?
        }
    };
    connected(&places, equalities.span(), inputs, cx)?;
    let mut pairs = Vec::new();
    for (span, places) in &places {
        let Some((first, others)) = places.split_first() else { continue };
        pairs.extend(others.iter().map(|other| pair(*first, *other, *span, inputs, cx)));
    }
    pairs.into_iter().collect()
}

fn everywhere(name: &Spanned<String>, inputs: &[InputShape], cx: &mut BindCx<'_>) -> Option<Vec<Place>> {
    let mut places = Vec::new();
    for (input, shape) in inputs.iter().enumerate() {
        match find(&shape.shape.schema, &name.value) {
            Some(column) => places.push(Place { input, column }),
            None => {
                let has = names(&shape.shape.schema);
                let text = format!("`{}` is not a field of all inputs", name.value);
                cx.diagnostics.push(
                    Diagnostic::error("name/unknown-field", name.span, text)
                        .label(format!("`{}` has: {}", shape.tag, suggest::listed(has)))
                        .maybe_help(suggest::did_you_mean(&name.value, names(&shape.shape.schema)))
                        .help("say which field of which input: `equalities: [{left: id, right: key}]`"),
                );
            }
        }
    }
    (places.len() == inputs.len()).then_some(places)
}

/// Every input must be tied to the first one, if only by way of others.
fn connected(
    equalities: &[(Span, Vec<Place>)],
    span: Span,
    inputs: &[InputShape],
    cx: &mut BindCx<'_>,
) -> Option<()> {
    let mut reached = vec![false; inputs.len()];
    let mut at = vec![0];
    while let Some(input) = at.pop() {
        let Some(new) = reached.get_mut(input).filter(|r| !**r) else { continue };
        *new = true;
        let here = |l: &&(Span, Vec<Place>)| l.1.iter().any(|p| p.input == input);
        at.extend(equalities.iter().filter(here).flat_map(|l| l.1.iter().map(|p| p.input)));
    }
    let left_out: Vec<&str> =
        inputs.iter().zip(&reached).filter(|(_, r)| !**r).map(|(i, _)| i.tag.as_str()).collect();
    let (Some(first), Some(lonely)) = (inputs.first(), left_out.first()) else { return Some(()) };
    cx.diagnostics.push(
        Diagnostic::error("join/unconnected", span, "the equalities do not connect all inputs")
            .label(format!("nothing ties {} to `{}`", suggest::listed(left_out.iter().copied()), first.tag))
            .help(format!("add an equality such as `{{{}: FIELD, {lonely}: FIELD}}`", first.tag)),
    );
    None
}

fn pair(a: Place, b: Place, span: Span, inputs: &[InputShape], cx: &mut BindCx<'_>) -> Option<Pair> {
    let field = |p: Place| {
        let input = inputs.get(p.input)?;
        Some((&input.tag, input.shape.schema.fields().get(p.column)?.as_ref()))
    };
    let ((a_tag, a_field), (b_tag, b_field)) = (field(a)?, field(b)?);
    if let Some((key, cast)) = compared(a_field, b_field) {
        return Some(Pair { a, b, key, cast });
    }
    let (a_name, b_name) = (a_field.name(), b_field.name());
    let text = format!("`{a_tag}.{a_name}` and `{b_tag}.{b_name}` cannot be equal");
    cx.diagnostics.push(
        Diagnostic::error("join/types", span, text)
            .label(format!("{} and {}", type_name(a_field), type_name(b_field)))
            .help("give both one type with `MapToFields` before they meet"),
    );
    None
}

/// The type in which two fields are compared, and whether one of them has another.
fn compared(a: &Field, b: &Field) -> Option<(DataType, bool)> {
    let (key, cast) = match (a.data_type(), b.data_type()) {
        // All null: equal to nothing, whatever the other is.
        (DataType::Null, other) | (other, DataType::Null) => (nullable_type(other), false),
        (DataType::Int64, DataType::Float64) | (DataType::Float64, DataType::Int64) => {
            (DataType::Float64, true)
        }
        (DataType::Decimal128(p, s), DataType::Decimal128(q, t)) => (decimal_of((*p, *s), (*q, *t)), s != t),
        (DataType::Int64, DataType::Decimal128(p, s)) | (DataType::Decimal128(p, s), DataType::Int64) => {
            (decimal_of((*p, *s), (INT_DIGITS, 0)), true)
        }
        (t, _) if is_any(a) == is_any(b) && type_name(a) == type_name(b) => (nullable_type(t), false),
        _ => return None,
    };
    encodes(&key).then_some((key, cast))
}

/// What is kept when an input is joined, for each input after the first.
pub(super) fn kept(
    join_type: Option<&JoinType>,
    inputs: &[InputShape],
    cx: &mut BindCx<'_>,
) -> Option<Vec<Keep>> {
    let same = |left, right| Some(vec![Keep { left, right }; inputs.len().saturating_sub(1)]);
    match join_type.unwrap_or(&JoinType::Inner) {
        JoinType::Inner => same(false, false),
        JoinType::Left => same(true, false),
        JoinType::Right => same(false, true),
        JoinType::Outer => same(true, true),
        JoinType::OuterOf(listed) => {
            let known: Vec<_> = listed.iter().map(|tag| known_input(tag, "type", inputs, cx)).collect();
            if known.iter().any(Option::is_none) {
                return None;
            }
            let outer = |i: &InputShape| listed.iter().any(|l| l.value == i.tag);
            let before = inputs.iter().zip(inputs.iter().skip(1));
            Some(before.map(|(a, b)| Keep { left: outer(a), right: outer(b) }).collect())
        }
    }
}

/// The steps, in the order of the inputs. Where no rows are kept without a partner, inputs that nothing
/// ties to those before wait until something does.
pub(super) fn joined(
    pairs: &[Pair],
    kept: &[Keep],
    span: Span,
    inputs: &[InputShape],
    cx: &mut BindCx<'_>,
) -> Option<Joined> {
    let movable = kept.iter().all(|k| *k == Keep::default());
    let mut before = vec![0];
    let mut waiting: Vec<usize> = (1..inputs.len()).collect();
    let mut steps = Vec::new();
    while !waiting.is_empty() {
        let tries = if movable { waiting.len() } else { 1 };
        let tied = waiting.iter().take(tries).position(|i| !ties(*i, &before, pairs).is_empty());
        let Some(at) = tied else {
            cx.diagnostics.push(out_of_order(waiting.first().copied(), span, inputs));
            return None;
        };
        let input = waiting.remove(at);
        let keep = kept.get(input - 1).copied().unwrap_or_default();
        steps.push(Step { input, keep, on: ties(input, &before, pairs) });
        before.push(input);
    }
    Some(Joined { first: 0, steps })
}

/// What ties an input to those before it.
fn ties(input: usize, before: &[usize], pairs: &[Pair]) -> Vec<On> {
    let on = |p: &Pair| {
        let (own, left) = p.seen_from(input)?;
        let known = before.contains(&left.input);
        known.then(|| On { left, right_column: own.column, key: p.key.clone(), cast: p.cast })
    };
    pairs.iter().filter_map(on).collect()
}

fn out_of_order(input: Option<usize>, span: Span, inputs: &[InputShape]) -> Diagnostic {
    let tag = input.and_then(|i| inputs.get(i)).map_or("", |i| i.tag.as_str());
    let text = format!("no equality ties `{tag}` to an input before it");
    Diagnostic::error("join/order", span, text)
        .label("inputs are joined in the order they are written; an equality pairs its first input with each other")
        .help(format!("write `{tag}` later in `input`, or tie it to an earlier input"))
}
