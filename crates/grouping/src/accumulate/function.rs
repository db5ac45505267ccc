//! Which aggregate functions there are, for which types, and what they give.

use super::count::CountAccumulator;
use super::decimal::{self, DecimalSumAccumulator};
use super::distinct::{ApproxDistinctAccumulator, SetAccumulator, hashes_type};
use super::extreme::{KeyExtreme, PrimitiveExtreme, Side};
use super::list::{Element, ListAccumulator, item_of};
use super::nothing::NothingAccumulator;
use super::quantiles::{QuantilesAccumulator, state_type};
use super::sum::{FloatSumAccumulator, IntSumAccumulator, Moment, float_state, int_state};
use super::top::{Best, TopAccumulator};
use super::truth::{Quantifier, TruthAccumulator};
use super::{Accumulator, NullRule};
use arrow_array::types::{Decimal128Type, Float64Type, Int64Type, TimestampMicrosecondType};
use arrow_schema::{DataType, Field, FieldRef};
use purlin_api::key::encodes;
use purlin_api::shape::{is_any, nullable, nullable_type, type_name};
use purlin_api::{Error, Result};
use std::sync::Arc;

/// The built-in functions, in the order that messages list them.
pub const NAMES: [&str; 9] = ["sum", "max", "min", "all", "any", "mean", "count", "group", "concat"];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Sum,
    Mean,
    Extreme(Side),
    Truth(Quantifier),
    Count,
    Group,
    Concat,
    Top(Side, usize),
    Set,
    Quantiles {
        count: usize,
        reverse: bool,
    },
    /// How many hashes are kept.
    ApproxDistinct(usize),
    Ranked {
        name: &'static str,
        side: Side,
        n: usize,
        best: Best,
    },
}

/// An aggregate function for values of one type.
#[derive(Clone, Debug, PartialEq)]
pub struct AggregateFn {
    kind: Kind,
    input: Field,
    output: DataType,
    nulls: bool,
    null_fails: bool,
}

impl AggregateFn {
    /// The built-in function of this name for a column. `Err` is a message for the author: there is no
    /// such function, or it does not take values of this type.
    pub fn resolve(name: &str, input: &Field) -> Result<Self, String> {
        let kind = match name {
            "sum" => Kind::Sum,
            "mean" => Kind::Mean,
            "max" => Kind::Extreme(Side::Max),
            "min" => Kind::Extreme(Side::Min),
            "all" => Kind::Truth(Quantifier::All),
            "any" => Kind::Truth(Quantifier::Any),
            "count" => Kind::Count,
            "group" => Kind::Group,
            "concat" => Kind::Concat,
            _ => return Err(format!("unknown CombineFn \"{name}\"; there are {}", NAMES.join(", "))),
        };
        let refuse = |needs: &str| Err(format!("`{name}` needs {needs}, not {}", type_name(input)));
        let number = matches!(
            input.data_type(),
            DataType::Boolean | DataType::Int64 | DataType::Float64 | DataType::Decimal128(..)
        );
        let null = input.data_type() == &DataType::Null;
        let output = match kind {
            Kind::Sum | Kind::Mean if !number && !null => return refuse("numbers"),
            Kind::Extreme(_) if is_any(input) || !encodes(input.data_type()) => {
                return refuse("values of one type");
            }
            Kind::Concat if !null && item_of(input.data_type()).is_none() => return refuse("lists"),
            Kind::Sum | Kind::Mean if let DataType::Decimal128(_, scale) = input.data_type() => {
                decimal::output(if kind == Kind::Sum { Moment::Sum } else { Moment::Mean }, *scale)
            }
            Kind::Sum if input.data_type() == &DataType::Boolean => DataType::Int64,
            Kind::Sum | Kind::Extreme(_) | Kind::Concat => nullable_type(input.data_type()),
            Kind::Mean => DataType::Float64,
            Kind::Truth(_) => DataType::Boolean,
            Kind::Count => DataType::Int64,
            _ => list_of(input),
        };
        let nulls = match kind {
            Kind::Sum | Kind::Mean | Kind::Extreme(_) => input.is_nullable() || null,
            Kind::Concat => null,
            _ => false,
        };
        Ok(AggregateFn { kind, input: input.clone(), output, nulls, null_fails: false })
    }

    /// The `n` greatest (or least) values as a list, best first: Beam's `TopCombineFn`. `Err` is a message
    /// for the author.
    pub fn top(n: usize, least: bool, input: &Field) -> Result<Self, String> {
        ordered("top", input)?;
        let side = if least { Side::Min } else { Side::Max };
        Ok(Self::of(Kind::Top(side, n), input, list_of(input)))
    }

    /// The different values as a list, in their order, null among them: Beam's `ToSetCombineFn`.
    pub fn set(input: &Field) -> Result<Self, String> {
        if !encodes(input.data_type()) {
            return Err(format!("`set` cannot compare values of type {}", type_name(input)));
        }
        Ok(Self::of(Kind::Set, input, list_of(input)))
    }

    /// `count` values that cut the group in parts of equal size, the least and the greatest among them:
    /// Beam's `ApproximateQuantilesCombineFn`. Exact for the first few thousand values of a group; its
    /// state is bounded. `Err` is a message for the author.
    pub fn quantiles(count: usize, reverse: bool, input: &Field) -> Result<Self, String> {
        ordered("quantiles", input)?;
        Ok(Self::of(Kind::Quantiles { count, reverse }, input, list_of(input)))
    }

    /// About how many different values there are, nulls left out: exact up to `sample_size`, then with a
    /// standard error of 1/√`sample_size`. Beam's `ApproximateUniqueCombineFn`.
    pub fn approx_distinct(sample_size: usize, input: &Field) -> Result<Self, String> {
        if !encodes(input.data_type()) {
            return Err(format!("`approx_distinct` cannot compare values of type {}", type_name(input)));
        }
        Ok(Self::of(Kind::ApproxDistinct(sample_size), input, DataType::Int64))
    }

    /// The values whose ranks are the greatest (or least): the input is a row of a rank and a value. With
    /// `n` they come as a list, best first; without, the best alone, null if there is none. Rows that are null
    /// are skipped; equal ranks are ordered by value. `Err` is a message for the author.
    pub fn ranked(name: &'static str, n: Option<usize>, least: bool, input: &Field) -> Result<Self, String> {
        let DataType::Struct(fields) = input.data_type() else {
            return Err(format!("`{name}` needs ranks and values, not {}", type_name(input)));
        };
        let [rank, value] = fields.as_ref() else {
            return Err(format!("`{name}` needs a rank and a value, not {} columns", fields.len()));
        };
        ordered(name, rank)?;
        if !encodes(value.data_type()) {
            return Err(format!("`{name}` cannot keep values of type {}", type_name(value)));
        }
        let output = if n.is_some() { list_of(value) } else { nullable_type(value.data_type()) };
        let best = if n.is_some() { Best::Ranked } else { Best::RankedOne };
        let side = if least { Side::Min } else { Side::Max };
        let mut function = Self::of(Kind::Ranked { name, side, n: n.unwrap_or(1), best }, input, output);
        function.nulls = n.is_none();
        Ok(function)
    }

    fn of(kind: Kind, input: &Field, output: DataType) -> Self {
        AggregateFn { kind, input: input.clone(), output, nulls: false, null_fails: false }
    }

    /// Whether a null in `sum`, `mean`, `max`, `min`, `concat` and `top` fails the run, as in Beam, rather than
    /// being skipped.
    #[must_use]
    pub fn failing_on_null(mut self, fails: bool) -> Self {
        self.null_fails = fails;
        self
    }

    /// Its name.
    pub fn name(&self) -> &'static str {
        match self.kind {
            Kind::Sum => "sum",
            Kind::Mean => "mean",
            Kind::Extreme(Side::Max) => "max",
            Kind::Extreme(Side::Min) => "min",
            Kind::Truth(Quantifier::All) => "all",
            Kind::Truth(Quantifier::Any) => "any",
            Kind::Count => "count",
            Kind::Group => "group",
            Kind::Concat => "concat",
            Kind::Top(..) => "top",
            Kind::Set => "set",
            Kind::Quantiles { .. } => "quantiles",
            Kind::ApproxDistinct(_) => "approx_distinct",
            Kind::Ranked { name, .. } => name,
        }
    }

    /// All that must be the same for its state to mean the same, but for what it is computed of.
    pub fn means(&self) -> String {
        let least = |side: Side| if side == Side::Min { "least" } else { "greatest" };
        let what = match self.kind {
            Kind::Top(side, n) => format!(" of the {n} {}", least(side)),
            Kind::Quantiles { count, reverse } => {
                format!(" at {count}{}", if reverse { " in reverse" } else { "" })
            }
            Kind::ApproxDistinct(k) => format!(" of {k} samples"),
            Kind::Ranked { side, n, .. } => format!(" of the {n} {}", least(side)),
            _ => String::new(),
        };
        format!("{}{what}, {}", self.name(), type_name(&self.input))
    }

    /// The field of its result. It may be null where the input may: a group may hold nothing else.
    pub fn output_field(&self, name: &str) -> Field {
        let field = Field::new(name, self.output.clone(), self.nulls);
        match (&self.kind, self.input.data_type()) {
            // The value may be of any type, which its metadata says.
            (Kind::Ranked { best: Best::RankedOne, .. }, DataType::Struct(fields)) => {
                let metadata = fields.get(1).map(|f| f.metadata().clone());
                field.with_metadata(metadata.unwrap_or_default())
            }
            _ => field,
        }
    }

    /// The fields of its state, for partial aggregation; named after `name`.
    pub fn state_fields(&self, name: &str) -> Vec<Field> {
        let null = self.input.data_type() == &DataType::Null;
        let types = match self.kind {
            Kind::Sum | Kind::Mean | Kind::Extreme(_) | Kind::Concat if null => Vec::new(),
            Kind::Sum | Kind::Mean => match self.input.data_type() {
                DataType::Float64 => float_state(),
                DataType::Decimal128(_, scale) => decimal::state(*scale),
                _ => int_state(),
            },
            Kind::Ranked { .. } => vec![list_of(&self.input)],
            Kind::Quantiles { .. } => vec![state_type(&nullable(&self.input))],
            Kind::ApproxDistinct(_) => vec![hashes_type()],
            _ => vec![self.output.clone()],
        };
        let field = |(i, t)| Field::new(format!("{name}__state{i}"), t, true);
        types.into_iter().enumerate().map(field).collect()
    }

    /// True if the state of a group stays small whatever the number of its rows.
    pub fn shrinks(&self) -> bool {
        !matches!(self.kind, Kind::Group | Kind::Concat | Kind::Set)
    }

    /// Fresh state without groups.
    pub fn accumulator(&self) -> Result<Box<dyn Accumulator>> {
        let nulls = self.null_rule();
        if self.input.data_type() == &DataType::Null
            && matches!(self.kind, Kind::Sum | Kind::Mean | Kind::Extreme(_) | Kind::Concat)
        {
            return Ok(Box::new(NothingAccumulator::new(self.output.clone(), nulls)));
        }
        Ok(match self.kind {
            Kind::Sum => self.moment(Moment::Sum, nulls),
            Kind::Mean => self.moment(Moment::Mean, nulls),
            Kind::Extreme(side) => match &self.output {
                t @ DataType::Int64 => Box::new(PrimitiveExtreme::<Int64Type>::new(side, nulls, t.clone())),
                t @ DataType::Float64 => {
                    Box::new(PrimitiveExtreme::<Float64Type>::new(side, nulls, t.clone()))
                }
                t @ DataType::Decimal128(..) => {
                    Box::new(PrimitiveExtreme::<Decimal128Type>::new(side, nulls, t.clone()))
                }
                t @ DataType::Timestamp(..) => {
                    Box::new(PrimitiveExtreme::<TimestampMicrosecondType>::new(side, nulls, t.clone()))
                }
                t => Box::new(KeyExtreme::new(side, nulls, t)?),
            },
            Kind::Truth(quantifier) => Box::new(TruthAccumulator::new(quantifier, is_any(&self.input))),
            Kind::Count => Box::new(CountAccumulator::new()),
            Kind::Group => self.list(Element::Item, nulls)?,
            Kind::Concat => self.list(Element::List, nulls)?,
            Kind::Top(side, n) => Box::new(TopAccumulator::new(side, n, nulls, Best::Values, self.item()?)?),
            Kind::Set => Box::new(SetAccumulator::new(self.item()?)?),
            Kind::Quantiles { count, reverse } => {
                Box::new(QuantilesAccumulator::new(count, reverse, nulls, self.item()?)?)
            }
            Kind::ApproxDistinct(k) => {
                let input = nullable_type(self.input.data_type());
                Box::new(ApproxDistinctAccumulator::new(k, nulls, &input)?)
            }
            Kind::Ranked { side, n, best, .. } => {
                let item = Arc::new(nullable(&self.input).with_name("item"));
                Box::new(TopAccumulator::new(side, n, nulls, best, item)?)
            }
        })
    }

    fn moment(&self, moment: Moment, nulls: NullRule) -> Box<dyn Accumulator> {
        match self.input.data_type() {
            DataType::Float64 => Box::new(FloatSumAccumulator::new(moment, nulls)),
            DataType::Decimal128(_, scale) => Box::new(DecimalSumAccumulator::new(moment, *scale, nulls)),
            _ => Box::new(IntSumAccumulator::new(moment, nulls)),
        }
    }

    fn list(&self, element: Element, nulls: NullRule) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(ListAccumulator::new(element, self.item()?, nulls)))
    }

    fn item(&self) -> Result<FieldRef> {
        item_of(&self.output).ok_or_else(|| Error::internal("a list aggregate without a list"))
    }

    fn null_rule(&self) -> NullRule {
        if !self.null_fails {
            return NullRule::Skip;
        }
        NullRule::Fail(match self.kind {
            Kind::Sum | Kind::Mean => "TypeError: unsupported operand type(s) for +: a number and 'NoneType'",
            Kind::Extreme(Side::Max) | Kind::Top(..) | Kind::Quantiles { .. } => {
                "TypeError: '>' not supported between a value and 'NoneType'"
            }
            Kind::Extreme(Side::Min) => "TypeError: '<' not supported between a value and 'NoneType'",
            Kind::Concat => "TypeError: 'NoneType' object is not iterable",
            _ => return NullRule::Skip,
        })
    }
}

/// A list of values of this field.
fn list_of(input: &Field) -> DataType {
    DataType::List(Arc::new(nullable(input).with_name("item")))
}

/// Refuses values that have no order.
fn ordered(name: &str, input: &Field) -> Result<(), String> {
    if is_any(input) || !encodes(input.data_type()) {
        return Err(format!("`{name}` needs values of one type, not {}", type_name(input)));
    }
    Ok(())
}
