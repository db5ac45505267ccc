//! Aggregates of a group, taken apart: plain aggregates of expressions, and what is computed of them.
//!
//! `sum(a * b) / count(*)` is the sum of `a * b`, the number of rows, and then one divided by the other. The parts
//! can be computed by a pipeline's own aggregation, which keeps no rows.

use crate::expression::Expression;
use crate::functions;
use crate::problem::Problem;
use crate::{guard, parse, spell};
use arrow_schema::Schema;
use sqlparser::ast::helpers::attached_token::AttachedToken;
use sqlparser::ast::{
    CaseWhen, DuplicateTreatment, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Ident,
    ObjectNamePart, Value, ValueWithSpan, VisitMut, VisitorMut,
};
use sqlparser::tokenizer::Span;
use std::ops::ControlFlow;

/// A plain aggregate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SimpleFn {
    /// The sum of what is not null.
    Sum,
    /// The number of rows.
    Rows,
    /// The mean of what is not null.
    Mean,
    /// The least.
    Min,
    /// The greatest.
    Max,
}

/// One aggregate of an expression.
#[derive(Debug)]
pub struct Simple {
    /// Which.
    pub function: SimpleFn,
    /// Of what, unless rows are counted.
    pub value: Option<Expression>,
}

/// An output of an aggregation, taken apart.
#[derive(Debug)]
pub struct Aggregates {
    /// The plain aggregates.
    pub simple: Vec<Simple>,
    text: String,
    post: Expr,
}

impl Drop for Aggregates {
    fn drop(&mut self) {
        let nothing = Expr::Identifier(Ident::new(""));
        guard::dropped(guard::room(&self.text), std::mem::replace(&mut self.post, nothing));
    }
}

impl Aggregates {
    /// Takes an output apart; `None` if it has aggregates that are not plain. `prefix` begins the names that
    /// [`Aggregates::finish`] will look for: the n-th plain aggregate is column `{prefix}{n}`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn split(text: &str, prefix: &str, input: &Schema) -> Result<Option<Self>, Problem> {
        guard::planning(|| Aggregates::taken_apart(text, prefix, input))
    }

    fn taken_apart(text: &str, prefix: &str, input: &Schema) -> Result<Option<Self>, Problem> {
        let mut post = parse::expression(text)?;
        spell::expression(&mut post)?;
        let mut finder = Finder { prefix, found: Vec::new(), plain: true, inside: 0 };
        if post.visit(&mut finder).is_break() || !finder.plain || finder.found.is_empty() {
            return Ok(None);
        }
        let simple = finder.found.into_iter().map(|(function, value)| {
            let value = value.map(|e| {
                let shown = e.to_string();
                Expression::of(e, text, input).map(|e| e.shown_as(&shown))
            });
            let value = value.transpose()?;
            Ok(Simple { function, value })
        });
        Ok(Some(Aggregates { simple: simple.collect::<Result<_, Problem>>()?, text: text.to_owned(), post }))
    }

    /// True if the output is its only plain aggregate as it is.
    pub fn is_plain(&self) -> bool {
        self.simple.len() == 1 && matches!(self.post, Expr::Identifier(_))
    }

    /// What is computed of the group's keys and the plain aggregates.
    ///
    /// # Errors
    /// What is wrong with it, such as a column that is no key.
    pub fn finish(&self, columns: &Schema) -> Result<Expression, Problem> {
        guard::planning(|| Expression::of(self.post.clone(), &self.text, columns))
    }
}

/// True for the bare name of an aggregate.
pub fn is_aggregate(name: &str) -> bool {
    functions::all().aggregate.contains_key(&name.to_ascii_lowercase())
}

/// Takes plain aggregates out.
struct Finder<'a> {
    prefix: &'a str,
    found: Vec<(SimpleFn, Option<Expr>)>,
    plain: bool,
    /// How many aggregates or subqueries are around.
    inside: usize,
}

impl VisitorMut for Finder<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, _: &mut sqlparser::ast::Query) -> ControlFlow<()> {
        self.plain = false;
        ControlFlow::Break(())
    }

    fn pre_visit_expr(&mut self, e: &mut Expr) -> ControlFlow<()> {
        if let Expr::Function(f) = e
            && aggregate_name(f).is_some()
        {
            self.inside += 1;
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, e: &mut Expr) -> ControlFlow<()> {
        let Expr::Function(f) = e else { return ControlFlow::Continue(()) };
        let Some(name) = aggregate_name(f) else {
            if f.over.is_some() {
                self.plain = false;
            }
            return ControlFlow::Continue(());
        };
        self.inside = self.inside.saturating_sub(1);
        match simple(&name, f) {
            Some(simple) if self.inside == 0 => {
                let span = match f.name.0.first() {
                    Some(ObjectNamePart::Identifier(i)) => i.span,
                    _ => Span::empty(),
                };
                let column = format!("{}{}", self.prefix, self.found.len());
                self.found.push(simple);
                *e = Expr::Identifier(Ident::with_quote_and_span('"', span, column));
            }
            _ => self.plain = false,
        }
        ControlFlow::Continue(())
    }
}

fn aggregate_name(f: &Function) -> Option<String> {
    let [ObjectNamePart::Identifier(name)] = f.name.0.as_slice() else { return None };
    let lower = name.value.to_ascii_lowercase();
    functions::all().aggregate.contains_key(&lower).then_some(lower)
}

/// What a call computes, if it is a plain aggregate.
fn simple(name: &str, f: &Function) -> Option<(SimpleFn, Option<Expr>)> {
    let FunctionArguments::List(list) = &f.args else { return None };
    let distinct = list.duplicate_treatment == Some(DuplicateTreatment::Distinct);
    let odd = f.over.is_some()
        || !f.within_group.is_empty()
        || f.null_treatment.is_some()
        || !list.clauses.is_empty();
    let [FunctionArg::Unnamed(argument)] = list.args.as_slice() else { return None };
    let least = matches!(name, "min" | "max");
    if odd || (distinct && !least) {
        return None;
    }
    let argument = match argument {
        FunctionArgExpr::Expr(e) => Some(e.clone()),
        FunctionArgExpr::Wildcard => None,
        _ => return None,
    };
    let filter = f.filter.as_deref().cloned();
    Some(match (name, argument) {
        ("count", None) => match filter {
            None => (SimpleFn::Rows, None),
            Some(condition) => (SimpleFn::Sum, Some(case(condition, number(1), Some(number(0))))),
        },
        ("count", Some(e)) => {
            let counted = case(Expr::IsNotNull(Box::new(nested(e))), number(1), Some(number(0)));
            let counted = match filter {
                None => counted,
                Some(condition) => case(condition, counted, Some(number(0))),
            };
            (SimpleFn::Sum, Some(counted))
        }
        (_, None) => return None,
        (name, Some(e)) => {
            let function = match name {
                "sum" => SimpleFn::Sum,
                "avg" | "mean" => SimpleFn::Mean,
                "min" => SimpleFn::Min,
                "max" => SimpleFn::Max,
                _ => return None,
            };
            (function, Some(filter.map_or(e.clone(), |condition| case(condition, e, None))))
        }
    })
}

fn nested(e: Expr) -> Expr {
    Expr::Nested(Box::new(e))
}

fn number(n: u8) -> Expr {
    Expr::Value(ValueWithSpan { value: Value::Number(n.to_string(), false), span: Span::empty() })
}

fn case(condition: Expr, result: Expr, otherwise: Option<Expr>) -> Expr {
    Expr::Case {
        case_token: AttachedToken::empty(),
        end_token: AttachedToken::empty(),
        operand: None,
        conditions: vec![CaseWhen { condition, result }],
        else_result: otherwise.map(Box::new),
    }
}
