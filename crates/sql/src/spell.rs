//! Calcite's spellings, put into those that are planned.
//!
//! Source of the meanings: Calcite's SQL reference (<https://calcite.apache.org/docs/reference.html>).

use crate::problem::Problem;
use sqlparser::ast::helpers::attached_token::AttachedToken;
use sqlparser::ast::{
    BinaryOperator, CaseWhen, CastKind, CeilFloorKind, DataType, DateTimeField, DuplicateTreatment, Expr,
    ExtractSyntax, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList, FunctionArguments, Ident,
    ObjectName, ObjectNamePart, Query, Select, SelectItem, Spanned, TableFactor, UnaryOperator, Value,
    ValueWithSpan, VisitMut, VisitorMut,
};
use sqlparser::tokenizer::Span;
use std::collections::BTreeSet;
use std::ops::ControlFlow;

/// What [`crate::functions`] calls a negation that notices overflow.
pub(crate) const NEGATE: &str = "__negate";

/// Rewrites an expression.
pub(crate) fn expression(e: &mut Expr) -> Result<(), Problem> {
    broken(e.visit(&mut Speller::default()))
}

/// Rewrites a query.
pub(crate) fn query(q: &mut Query) -> Result<(), Problem> {
    let mut tables = Tables::default();
    broken(q.visit(&mut tables))?;
    broken(q.visit(&mut Speller { tables: tables.0 }))
}

fn broken(flow: ControlFlow<Problem>) -> Result<(), Problem> {
    match flow {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(problem) => Err(problem),
    }
}

/// The names that tables go by.
#[derive(Default)]
struct Tables(BTreeSet<String>);

impl VisitorMut for Tables {
    type Break = Problem;

    fn pre_visit_table_factor(&mut self, t: &mut TableFactor) -> ControlFlow<Problem> {
        let alias = match t {
            TableFactor::Table { name, alias, .. } => {
                let last = name.0.last().and_then(ObjectNamePart::as_ident);
                self.0.extend(last.map(|i| i.value.clone()));
                alias
            }
            TableFactor::Derived { alias, .. } | TableFactor::NestedJoin { alias, .. } => alias,
            _ => return ControlFlow::Continue(()),
        };
        self.0.extend(alias.as_ref().map(|a| a.name.value.clone()));
        ControlFlow::Continue(())
    }
}

#[derive(Default)]
struct Speller {
    tables: BTreeSet<String>,
}

impl VisitorMut for Speller {
    type Break = Problem;

    fn post_visit_select(&mut self, select: &mut Select) -> ControlFlow<Problem> {
        for (i, item) in select.projection.iter_mut().enumerate() {
            let SelectItem::UnnamedExpr(e) = item else { continue };
            let Some(alias) = self.name_of(e, i) else { continue };
            *item = SelectItem::ExprWithAlias { expr: e.clone(), alias: Ident::with_quote('"', alias) };
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, e: &mut Expr) -> ControlFlow<Problem> {
        match respelled(e) {
            Ok(Some(new)) => *e = new,
            Ok(None) => {}
            Err(problem) => return ControlFlow::Break(*problem),
        }
        ControlFlow::Continue(())
    }
}

impl Speller {
    /// What Calcite calls a column of the result that has no name of its own.
    fn name_of(&self, e: &Expr, place: usize) -> Option<String> {
        match e {
            Expr::Identifier(_) => None,
            Expr::CompoundIdentifier(parts) => match parts.as_slice() {
                [table, _] if self.tables.contains(&table.value) => None,
                parts => parts.last().map(|p| p.value.clone()),
            },
            _ => Some(format!("EXPR${place}")),
        }
    }
}

type Respelled = Result<Option<Expr>, Box<Problem>>;

fn respelled(e: &Expr) -> Respelled {
    Ok(match e {
        Expr::Function(f) => return function(f),
        Expr::Floor { expr, field: CeilFloorKind::DateTimeField(unit) }
            if *unit != DateTimeField::NoDateTime =>
        {
            Some(call("date_trunc", vec![unit_text(unit), expr.as_ref().clone()]))
        }
        Expr::Ceil { expr, field: CeilFloorKind::DateTimeField(unit) }
            if *unit != DateTimeField::NoDateTime =>
        {
            Some(ceil(expr, unit))
        }
        Expr::Floor { field: CeilFloorKind::Scale(_), .. }
        | Expr::Ceil { field: CeilFloorKind::Scale(_), .. } => {
            let span = e.span();
            let problem = Problem::new("sql/unsupported", "FLOOR and CEIL take one number here");
            return Err(Box::new(problem.at(span.start.line, span.start.column, 1)));
        }
        // Sunday is 1 in Calcite, and 0 in DataFusion.
        Expr::Extract { field: DateTimeField::Dow | DateTimeField::DayOfWeek, expr, .. } => {
            let day = call("date_part", vec![text("dow"), expr.as_ref().clone()]);
            Some(nested(binary(day, BinaryOperator::Plus, number(1))))
        }
        Expr::Extract { field: DateTimeField::DayOfYear, syntax, expr } => {
            Some(Expr::Extract { field: DateTimeField::Doy, syntax: syntax.clone(), expr: expr.clone() })
        }
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } if !is_number(expr) => {
            Some(call(NEGATE, vec![expr.as_ref().clone()]))
        }
        Expr::SimilarTo { negated, expr, pattern, escape_char } => {
            Some(similar(*negated, expr, pattern, escape_char.as_ref())?)
        }
        _ => None,
    })
}

fn function(f: &Function) -> Respelled {
    let [ObjectNamePart::Identifier(name)] = f.name.0.as_slice() else { return Ok(None) };
    let upper = name.value.to_ascii_uppercase();
    let plain = f.over.is_none() && f.filter.is_none();
    let args = arguments(f);
    let (Some(args), true) = (args, plain) else {
        return Ok(renamed(f, &upper));
    };
    let [a, b, c] = [args.first(), args.get(1), args.get(2)].map(|e| e.copied().cloned());
    Ok(match (upper.as_str(), a, b, c, args.len()) {
        ("MOD", Some(a), Some(b), None, 2) => {
            Some(nested(binary(nested(a), BinaryOperator::Modulo, nested(b))))
        }
        ("IF", Some(a), Some(b), Some(c), 3) => Some(case(a, b, Some(c))),
        ("TIMESTAMPDIFF" | "TIMESTAMPADD", Some(unit), Some(b), Some(c), 3) => {
            let Expr::Identifier(unit) = unit else { return Ok(None) };
            let unit = unit.value.to_ascii_lowercase();
            let unit = unit.strip_prefix("sql_tsi_").unwrap_or(&unit).to_owned();
            Some(call(&upper.to_ascii_lowercase(), vec![text(unit), b, c]))
        }
        ("CURRENT_DATE", None, None, None, 0) => Some(Expr::Cast {
            kind: CastKind::Cast,
            expr: Box::new(call("current_timestamp", Vec::new())),
            data_type: DataType::Date,
            array: false,
            format: None,
        }),
        (_, Some(a), None, None, 1) if part(&upper).is_some() => {
            let field = part(&upper).unwrap_or(DateTimeField::Year);
            let extract = Expr::Extract { field, syntax: ExtractSyntax::From, expr: Box::new(a) };
            respelled(&extract)?.or(Some(extract))
        }
        ("ITEM", Some(a), Some(b), None, 2) => Some(call("array_element", vec![a, b])),
        ("TUMBLE" | "HOP" | "SESSION", ..) => return Err(Box::new(group_window(name))),
        (other, ..) if ["TUMBLE_", "HOP_", "SESSION_"].iter().any(|p| other.starts_with(p)) => {
            return Err(Box::new(group_window(name)));
        }
        _ => return Ok(renamed(f, &upper)),
    })
}

/// Functions that only have another name.
fn renamed(f: &Function, upper: &str) -> Option<Expr> {
    let other = match upper {
        "TRUNCATE" => "trunc",
        "LISTAGG" => "string_agg",
        "APPROX_COUNT_DISTINCT" => "approx_distinct",
        // Any value will do, so it is one that does not depend on the order of rows.
        "ANY_VALUE" => "min",
        "COLLECT" => "array_agg",
        _ => return None,
    };
    let mut f = f.clone();
    f.name = ObjectName::from(Ident::new(other));
    Some(Expr::Function(f))
}

fn part(upper: &str) -> Option<DateTimeField> {
    Some(match upper {
        "YEAR" => DateTimeField::Year,
        "QUARTER" => DateTimeField::Quarter,
        "MONTH" => DateTimeField::Month,
        "WEEK" => DateTimeField::Week(None),
        "DAYOFYEAR" => DateTimeField::Doy,
        "DAYOFMONTH" => DateTimeField::Day,
        "DAYOFWEEK" => DateTimeField::DayOfWeek,
        "HOUR" => DateTimeField::Hour,
        "MINUTE" => DateTimeField::Minute,
        "SECOND" => DateTimeField::Second,
        _ => return None,
    })
}

fn group_window(name: &Ident) -> Problem {
    let message =
        format!("the group window {} is not supported: windows are not said in SQL here", name.value);
    Problem::new("sql/group-window", message)
        .at(name.span.start.line, name.span.start.column, name.value.chars().count())
        .help("put `windowing: {type: fixed, size: …}` on the transform: each window is queried by itself")
}

/// The arguments of a call, if they are plain expressions.
fn arguments(f: &Function) -> Option<Vec<&Expr>> {
    match &f.args {
        FunctionArguments::None => Some(Vec::new()),
        FunctionArguments::List(list) => {
            let plain =
                list.clauses.is_empty() && list.duplicate_treatment != Some(DuplicateTreatment::Distinct);
            let args = list.args.iter().map(|a| match a {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(e)) => Some(e),
                _ => None,
            });
            plain.then(|| args.collect()).flatten()
        }
        FunctionArguments::Subquery(_) => None,
    }
}

pub(crate) fn call(name: &str, args: Vec<Expr>) -> Expr {
    let args = args.into_iter().map(|e| FunctionArg::Unnamed(FunctionArgExpr::Expr(e))).collect();
    Expr::Function(Function {
        name: ObjectName::from(Ident::new(name)),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList {
            duplicate_treatment: None,
            args,
            clauses: Vec::new(),
        }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })
}

fn value(value: Value) -> Expr {
    Expr::Value(ValueWithSpan { value, span: Span::empty() })
}

fn text(s: impl Into<String>) -> Expr {
    value(Value::SingleQuotedString(s.into()))
}

fn number(n: i64) -> Expr {
    value(Value::Number(n.to_string(), false))
}

fn is_number(e: &Expr) -> bool {
    matches!(e, Expr::Value(ValueWithSpan { value: Value::Number(..), .. }))
}

fn unit_text(unit: &DateTimeField) -> Expr {
    text(unit.to_string().to_ascii_lowercase())
}

fn nested(e: Expr) -> Expr {
    Expr::Nested(Box::new(e))
}

fn binary(left: Expr, op: BinaryOperator, right: Expr) -> Expr {
    Expr::BinaryOp { left: Box::new(left), op, right: Box::new(right) }
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

/// The least whole unit that is not before an instant.
fn ceil(e: &Expr, unit: &DateTimeField) -> Expr {
    let floor = call("date_trunc", vec![unit_text(unit), e.clone()]);
    let whole = binary(floor.clone(), BinaryOperator::Eq, nested(e.clone()));
    let next = call("timestampadd", vec![unit_text(unit), number(1), floor]);
    case(whole, e.clone(), Some(next))
}

/// `SIMILAR TO`, as a regular expression.
fn similar(
    negated: bool,
    e: &Expr,
    pattern: &Expr,
    escape: Option<&ValueWithSpan>,
) -> Result<Expr, Box<Problem>> {
    let Expr::Value(ValueWithSpan { value: Value::SingleQuotedString(pattern), .. }) = pattern else {
        return Err(Box::new(
            Problem::new("sql/unsupported", "the pattern of SIMILAR TO must be a literal text")
                .help("for a pattern that is computed use `REGEXP_LIKE(x, pattern)`"),
        ));
    };
    let escape = match escape.map(|e| &e.value) {
        Some(Value::SingleQuotedString(s)) => s.chars().next(),
        _ => None,
    };
    let matches = call("regexp_like", vec![e.clone(), text(regex(pattern, escape))]);
    Ok(if negated { Expr::UnaryOp { op: UnaryOperator::Not, expr: Box::new(matches) } } else { matches })
}

/// The regular expression of an SQL pattern (SQL:2016, 8.6): `%` any text, `_` any character, and
/// `| * + ? { } ( ) [ ]` as in regular expressions; it holds for the whole text.
pub(crate) fn regex(pattern: &str, escape: Option<char>) -> String {
    let mut out = String::from("^(?s:");
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        match c {
            c if Some(c) == escape => {
                if let Some(literal) = chars.next() {
                    out.push_str(&escaped(literal));
                }
            }
            '%' => out.push_str(".*"),
            '_' => out.push('.'),
            '.' | '\\' | '^' | '$' => out.push_str(&escaped(c)),
            c => out.push(c),
        }
    }
    out.push_str(")$");
    out
}

fn escaped(c: char) -> String {
    if c.is_alphanumeric() || c.is_whitespace() || c == '_' { c.to_string() } else { format!("\\{c}") }
}
