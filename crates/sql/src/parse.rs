//! From text to a syntax tree: one query or one expression, and nothing else.

use crate::problem::Problem;
use sqlparser::ast::{Expr, Query, SetExpr, Statement};
use sqlparser::dialect::GenericDialect;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer};

/// The longest text, in bytes.
const BYTES_MAX: usize = 256 << 10;
/// The most operators in a chain, those of the parentheses around it included: each is a level of a tree, and trees
/// are walked recursively, by some rules of the optimiser more than once for each level.
const CHAIN_MAX: usize = 250;
/// How deep parentheses, functions and subqueries may be nested.
const DEPTH_MAX: usize = 60;

/// The tokens of a text, if they are not too many.
fn tokens(text: &str) -> Result<Vec<TokenWithSpan>, Problem> {
    if text.len() > BYTES_MAX {
        let message = format!("{} bytes of SQL; the limit is {BYTES_MAX}", text.len());
        return Err(Problem::new("sql/too-long", message));
    }
    let tokens = Tokenizer::new(&GenericDialect {}, text).tokenize_with_location().map_err(|e| {
        Problem::new("sql/syntax", e.message.clone()).at(e.location.line, e.location.column, 1)
    })?;
    let chain = longest_chain(&tokens);
    if chain > CHAIN_MAX {
        let message = format!("{chain} operators in one chain of SQL; the limit is {CHAIN_MAX}");
        return Err(Problem::new("sql/too-long", message).help("`x IN (…)` takes any number of values"));
    }
    Ok(tokens)
}

/// How long the longest chain of operators in a text is.
pub(crate) fn operators(text: &str) -> usize {
    tokens(text).map_or(0, |t| longest_chain(&t))
}

/// The operators that may lie in each other: those since the last comma or clause, for all open parentheses.
fn longest_chain(tokens: &[TokenWithSpan]) -> usize {
    const CLAUSES: [&str; 9] = ["FROM", "WHERE", "GROUP", "ORDER", "HAVING", "LIMIT", "THEN", "ELSE", "ON"];
    let mut open: Vec<usize> = vec![0];
    let (mut now, mut most) = (0_usize, 0_usize);
    for token in tokens {
        match &token.token {
            Token::LParen | Token::LBracket => {
                open.push(1);
                now += 1;
            }
            Token::RParen | Token::RBracket if open.len() > 1 => now -= open.pop().unwrap_or(0),
            Token::Comma => now -= std::mem::take(open.last_mut().unwrap_or(&mut 0)),
            Token::Word(w)
                if w.quote_style.is_none() && CLAUSES.iter().any(|c| w.value.eq_ignore_ascii_case(c)) =>
            {
                now -= std::mem::take(open.last_mut().unwrap_or(&mut 0));
            }
            t if is_operator(t) => {
                if let Some(last) = open.last_mut() {
                    *last += 1;
                }
                now += 1;
            }
            _ => {}
        }
        most = most.max(now);
    }
    most
}

fn is_operator(t: &Token) -> bool {
    match t {
        Token::Word(w) => {
            let words =
                ["AND", "OR", "NOT", "UNION", "EXCEPT", "INTERSECT", "IS", "JOIN", "LIKE", "WHEN", "SELECT"];
            w.quote_style.is_none() && words.iter().any(|o| w.value.eq_ignore_ascii_case(o))
        }
        Token::Whitespace(_) | Token::Number(..) | Token::SingleQuotedString(_) | Token::Period => false,
        Token::RParen | Token::RBracket | Token::SemiColon | Token::EOF => false,
        _ => true,
    }
}

/// A text, parsed with `with` to its end.
fn parsed<T>(text: &str, with: impl FnOnce(&mut Parser<'_>) -> Result<T, ParserError>) -> Result<T, Problem> {
    let dialect = GenericDialect {};
    let mut parser =
        Parser::new(&dialect).with_recursion_limit(DEPTH_MAX).with_tokens_with_locations(tokens(text)?);
    let tree = with(&mut parser).map_err(|e| at_end(problem(&e), text))?;
    while parser.consume_token(&Token::SemiColon) {}
    let rest = parser.peek_token();
    if rest.token != Token::EOF {
        let shown = rest.token.to_string();
        let problem = Problem::new("sql/syntax", format!("`{shown}` was not expected here"));
        return Err(problem.at(rest.span.start.line, rest.span.start.column, shown.chars().count()));
    }
    Ok(tree)
}

/// One query.
pub(crate) fn query(text: &str) -> Result<Query, Problem> {
    if text.trim().is_empty() {
        return Err(Problem::new("sql/syntax", "the query is empty"));
    }
    let statement = parsed(text, |p| p.parse_statement())?;
    let Statement::Query(query) = statement else {
        return Err(only_queries());
    };
    reads_only(&query)?;
    Ok(*query)
}

fn only_queries() -> Problem {
    Problem::new("sql/not-a-query", "only a query can be run here: nothing is created, changed or copied")
        .help("write `SELECT … FROM …`; `WITH` and `UNION` are fine")
}

/// `INSERT`, `UPDATE` and the like can stand where a query can.
fn reads_only(query: &Query) -> Result<(), Problem> {
    if !query.locks.is_empty()
        || query.for_clause.is_some()
        || query.settings.is_some()
        || !query.pipe_operators.is_empty()
    {
        return Err(Problem::new(
            "sql/unsupported",
            "locks, settings and `FOR` clauses are not supported here",
        ));
    }
    let tables = query.with.iter().flat_map(|w| w.cte_tables.iter());
    for inner in tables.map(|t| t.query.as_ref()) {
        reads_only(inner)?;
    }
    body_reads_only(&query.body)
}

fn body_reads_only(body: &SetExpr) -> Result<(), Problem> {
    match body {
        SetExpr::Select(select) if select.into.is_some() => Err(only_queries()),
        SetExpr::Select(_) | SetExpr::Values(_) => Ok(()),
        SetExpr::Query(query) => reads_only(query),
        SetExpr::SetOperation { left, right, .. } => {
            body_reads_only(left)?;
            body_reads_only(right)
        }
        _ => Err(only_queries()),
    }
}

/// One expression.
pub(crate) fn expression(text: &str) -> Result<Expr, Problem> {
    if text.trim().is_empty() {
        return Err(Problem::new("sql/syntax", "the expression is empty"));
    }
    parsed(text, |p| p.parse_expr())
}

const ENDS: &str = "but the text ends here";

/// The parser has no place for the end of a text.
fn at_end(problem: Problem, text: &str) -> Problem {
    if problem.at.is_some() || !problem.message.ends_with(ENDS) {
        return problem;
    }
    let text = text.trim_end();
    let last = text.lines().last().unwrap_or_default();
    problem.at(text.lines().count() as u64, last.chars().count() as u64 + 1, 1)
}

/// What the parser says, with its place taken out of the text.
pub(crate) fn problem(e: &ParserError) -> Problem {
    let message = match e {
        ParserError::RecursionLimitExceeded => {
            return Problem::new("sql/too-deep", format!("SQL nested deeper than {DEPTH_MAX} levels"));
        }
        ParserError::TokenizerError(m) | ParserError::ParserError(m) => m,
    };
    let (message, place) = match message.rsplit_once(" at Line: ") {
        Some((message, place)) => (message, place.split_once(", Column: ")),
        None => (message.as_str(), None),
    };
    let place = place.and_then(|(line, column)| Some((line.parse().ok()?, column.trim().parse().ok()?)));
    let found = message.rsplit_once("found: ").map_or(1, |(_, f)| f.chars().count());
    let message = message.replacen("Expected: ", "expected ", 1).replacen("Expected ", "expected ", 1);
    let mut problem = Problem::new("sql/syntax", message.replacen("found: EOF", ENDS, 1));
    if let Some((line, column)) = place {
        problem = problem.at(line, column, found);
    }
    problem
}
