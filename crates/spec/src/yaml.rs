//! YAML text to a spanned tree, under YAML 1.1 rules.
//!
//! The grammar is `saphyr-parser`'s (YAML 1.2, which differs in nothing that a pipeline uses); what a
//! scalar means is decided here, as PyYAML's safe loader does, because Beam reads files with that.

mod build;
mod indent;
mod scalar;
#[cfg(test)]
mod tests;

use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::node::{Node, Position, Sources, Value};
use crate::template::LineMap;
use saphyr_parser::{Parser, ScanError};

/// Parses one YAML document; an empty text is `null`.
///
/// `text` is what templating gave, `map` leads from it to the source, whose number is `file`. The spans
/// of the tree are places of the source. Everything that is wrong goes to `d` (codes `yaml/…`); `None`
/// if there is no tree at all.
pub fn parse(file: u32, text: &str, map: &LineMap, sources: &Sources, d: &mut Diagnostics) -> Option<Node> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let lines: Vec<&str> = text.lines().collect();
    if let Some(at) = null_byte(&lines) {
        let span = map.span(at, Position { column: at.column + 1, ..at });
        d.push(
            Diagnostic::error("yaml/null-byte", span, "a null byte stands in the file")
                .label("YAML is text, and text has none")
                .help("remove it, or write `\\0` in double quotes"),
        );
        return None;
    }
    let mut found = Diagnostics::default();
    let node = match tree(text, &lines, map, &mut found) {
        Err(e) => match indent::mended(text, &e) {
            Some((text, moved)) => {
                let lines: Vec<&str> = text.lines().collect();
                let map = map.with_moved(moved);
                found = Diagnostics::default();
                tree(&text, &lines, &map, &mut found).unwrap_or_else(|e| {
                    found.push(syntax_error(&e, &lines, &map, sources));
                    None
                })
            }
            None => {
                found.push(syntax_error(&e, &lines, map, sources));
                None
            }
        },
        Ok(node) => node,
    };
    d.extend(found);
    let mut node = node?;
    if node.is_null() && sources.get(node.span.file).is_none() {
        node.span.file = file;
    }
    Some(node)
}

/// The tree of a text; no tree if what is wrong with it is in `d`.
fn tree(text: &str, lines: &[&str], map: &LineMap, d: &mut Diagnostics) -> Result<Option<Node>, ScanError> {
    let mut builder = build::Builder::new(map, lines, text);
    let mut parser = Parser::new_from_str(text);
    while let Some(next) = parser.next_event() {
        let (event, span) = next?;
        if builder.event(event, span, d).is_none() {
            return Ok(None);
        }
    }
    let start = Position { line: 1, column: 1 };
    Ok(Some(builder.finish().unwrap_or_else(|| Node::new(Value::Null, map.span(start, start)))))
}

/// Parses a text that is its own source, for tests and small uses.
pub fn parse_str(text: &str) -> (Option<Node>, Diagnostics) {
    let (mut sources, mut d) = (Sources::default(), Diagnostics::default());
    let file = sources.add("text", text);
    let node = parse(file, text, &LineMap::identity(file), &sources, &mut d);
    (node, d)
}

/// The first null byte; the parser would take it for the end of the text.
fn null_byte(lines: &[&str]) -> Option<Position> {
    lines.iter().zip(1..).find_map(|(line, number)| {
        let column = line.chars().position(|c| c == '\0')?;
        Some(Position { line: number, column: u32::try_from(column).unwrap_or(u32::MAX - 1) + 1 })
    })
}

fn syntax_error(e: &ScanError, lines: &[&str], map: &LineMap, sources: &Sources) -> Diagnostic {
    let small = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let mut at =
        Position { line: small(e.marker().line().max(1)), column: small(e.marker().col().saturating_add(1)) };
    // The parser may notice only at the end of the text; the last line with something is more use.
    if at.line as usize > lines.len() {
        let last = lines.iter().rposition(|l| !l.trim().is_empty()).unwrap_or(0);
        at = Position {
            line: small(last + 1),
            column: small(lines.get(last).map_or(0, |l| l.trim_end().chars().count()).max(1)),
        };
    }
    let line = lines.get(at.line as usize - 1).copied().unwrap_or_default();
    if let Some(tab) = tab_in_indentation(lines, at, e.info().contains("tab")) {
        return tab_error(tab, map);
    }
    let span = map.span(at, Position { column: at.column.saturating_add(1), ..at });
    let (why, help) = explain(e.info(), line, at.column);
    let mut diagnostic =
        Diagnostic::error("yaml/syntax", span, format!("this is not YAML: {why}")).label(e.info());
    if let Some(help) = help {
        diagnostic = diagnostic.help(help);
    }
    if sources.line(span.file, span.start.line).is_some_and(|l| l.trim() != line.trim()) {
        let shown: String = line.chars().take(120).collect();
        diagnostic = diagnostic.help(format!("after templating the line reads `{}`", shown.trim_end()));
    }
    diagnostic
}

/// A tab before the first letter of the line at fault or of one beside it, or at the very place.
fn tab_in_indentation(lines: &[&str], at: Position, about_tabs: bool) -> Option<Position> {
    let line = |n: u32| lines.get((n as usize).checked_sub(1)?).copied();
    let next = about_tabs.then_some(at.line + 1);
    let found = [Some(at.line), Some(at.line.saturating_sub(1)), next].into_iter().flatten().find_map(|n| {
        let column =
            line(n)?.chars().take_while(|c| c.is_whitespace() || *c == '-').position(|c| c == '\t')?;
        Some(Position { line: n, column: column as u32 + 1 })
    });
    let is_tab = |p: &Position| {
        let index = (p.column as usize).checked_sub(1);
        index.and_then(|i| line(p.line)?.chars().nth(i)) == Some('\t')
    };
    let here = || [at, Position { column: at.column.saturating_sub(1), ..at }].into_iter().find(is_tab);
    found.or_else(here)
}

fn tab_error(at: Position, map: &LineMap) -> Diagnostic {
    let span = map.span(at, Position { column: at.column + 1, ..at });
    Diagnostic::error("yaml/tab", span, "a tab stands where YAML wants spaces")
        .label("YAML indents with spaces only")
        .help("replace tabs outside of text by spaces")
}

/// What a message of the parser most often means, and what to do.
fn explain(info: &str, line: &str, column: u32) -> (&'static str, Option<&'static str>) {
    const TABLE: &[(&str, &str, &str)] = &[
        (
            "mapping values are not allowed",
            "a second `:` on a line that already has one, or wrong indentation",
            "put quotes around text that contains `: `",
        ),
        (
            "unknown anchor",
            "an alias without its anchor",
            "define it before with `&name`; text that starts with `*` needs quotes",
        ),
        (
            "',' or '}'",
            "a `{` is not closed, or a comma is missing",
            "close it with `}`; text with `{`, `}` or `,` needs quotes inside `{…}`",
        ),
        (
            "',' or ']'",
            "a `[` is not closed, or a comma is missing",
            "close it with `]`; text with `[`, `]` or `,` needs quotes inside `[…]`",
        ),
        (
            "misplaced bracket",
            "a bracket closes something that is not open",
            "remove it, or put quotes around the text",
        ),
        ("did not find expected key", "wrong indentation", "keys of one mapping start in one column"),
        ("did not find expected '-'", "wrong indentation", "the `-` of one list stand in one column"),
        (
            "simple key expect",
            "a key without `:`",
            "write `key: value`; text over several lines needs `|` or quotes",
        ),
        ("unexpected end of stream", "a quote is not closed", "close it with the same quote"),
        (
            "escape",
            "an unknown escape after `\\` in double quotes",
            "use single quotes, or double the backslash",
        ),
        (
            "block sequence entries are not allowed",
            "a list starts where none may",
            "put the `-` on a line of its own, indented",
        ),
        ("tag", "a wrong tag", "text that starts with `!` needs quotes"),
        (
            "recursion limit",
            "lists or mappings are nested too deeply",
            "no pipeline needs so many levels: is a bracket left open?",
        ),
        ("unexpected character", "text may not start with this character", "put quotes around it"),
        (
            "invalid indentation",
            "wrong indentation",
            "indent what belongs together by the same number of spaces",
        ),
        (
            "wrongly indented line",
            "wrong indentation in a block of text",
            "indent the text by at least as much as its first line",
        ),
    ];
    if line.contains("{{") || line.contains("{%") {
        return (
            "it looks like a template that was not rendered",
            Some("put quotes around `{{ … }}`, or check the `{% raw %}` around it"),
        );
    }
    let at = line.chars().nth((column as usize).saturating_sub(1));
    if matches!(at, Some('@' | '`' | '%')) {
        return ("text may not start with this character", Some("put quotes around it"));
    }
    TABLE
        .iter()
        .find(|(part, ..)| info.contains(part))
        .map_or(("the structure is broken here", None), |(_, why, help)| (*why, Some(*help)))
}
