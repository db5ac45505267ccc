//! The reference in Markdown: a page per transform and an index, from the same definitions that decode.

use crate::config::{FieldDef, Kind};
use crate::vocabulary::{Inputs, TransformDef, Vocabulary};
use std::fmt::Write as _;

/// The page of one transform.
pub fn page(def: &TransformDef) -> String {
    let mut out = format!("# {}\n\n{}\n\n", def.name, paragraphs(def.doc));
    let inputs = match def.inputs {
        Inputs::None => "none; it starts a pipeline",
        Inputs::One => "one; a list of inputs is flattened first",
        Inputs::Named => "one, or several with names",
    };
    line(&mut out, format_args!("**Inputs**: {inputs}.\n"));
    if def.error_handling {
        line(
            &mut out,
            format_args!(
                "**Errors**: with `error_handling: {{output: NAME}}` rows that fail go to the output `NAME` as \
                 `element`, `msg`, `stack`; some transform must read it.\n"
            ),
        );
    }
    let fields = (def.fields)();
    out.push_str("## Config\n\n");
    if fields.is_empty() {
        out.push_str("It takes none.\n");
    } else {
        table(&mut out, &fields);
        nested(&mut out, &fields, "");
    }
    out
}

/// The list of all transforms, each with its first sentence and a link to its page.
pub fn index(vocabulary: &Vocabulary) -> String {
    let mut defs: Vec<&TransformDef> = vocabulary.iter().collect();
    defs.sort_by_key(|d| d.name);
    let mut out = "# Transforms\n\n| transform | what it does |\n|---|---|\n".to_owned();
    for def in defs {
        line(&mut out, format_args!("| [{0}]({0}.md) | {1} |", def.name, cell(&first_sentence(def.doc))));
    }
    out
}

fn line(out: &mut String, args: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    if out.write_fmt(args).is_err() {
        out.push_str("<format error>");
    }
    out.push('\n');
}

fn table(out: &mut String, fields: &[FieldDef]) {
    out.push_str("| field | accepts | default | meaning |\n|---|---|---|---|\n");
    for f in fields {
        let default = match (f.required, f.default) {
            (true, _) => "**required**".to_owned(),
            (false, Some(text)) => format!("`{}`", plain_default(text)),
            (false, None) => "none".to_owned(),
        };
        line(
            out,
            format_args!(
                "| `{}` | {} | {default} | {} |",
                f.name,
                cell(&accepts(&f.kind)),
                cell(&paragraphs(f.doc))
            ),
        );
    }
}

/// Tables for fields that are mappings themselves.
fn nested(out: &mut String, fields: &[FieldDef], path: &str) {
    for f in fields {
        let path = if path.is_empty() { f.name.to_owned() } else { format!("{path}.{}", f.name) };
        for inner in structs(&f.kind) {
            line(out, format_args!("\n### `{path}`\n"));
            table(out, inner);
            nested(out, inner, &path);
        }
    }
}

fn structs(kind: &Kind) -> Vec<&[FieldDef]> {
    match kind {
        Kind::Struct(fields) => vec![fields],
        Kind::List(k) | Kind::OneOrMany(k) | Kind::Map(k) => structs(k),
        Kind::AnyOf(kinds) => kinds.iter().flat_map(structs).collect(),
        _ => Vec::new(),
    }
}

/// What a kind accepts, in words.
fn accepts(kind: &Kind) -> String {
    match kind {
        Kind::Any => "any value".to_owned(),
        Kind::Text => "text".to_owned(),
        Kind::Bool => "`true` or `false`".to_owned(),
        Kind::Int => "integer".to_owned(),
        Kind::Float => "number".to_owned(),
        Kind::Duration => "duration (`30s`, `5m`, seconds)".to_owned(),
        Kind::Expression => "expression".to_owned(),
        Kind::JsonSchema => "JSON schema".to_owned(),
        Kind::Word(words) => words.iter().map(|w| format!("`{w}`")).collect::<Vec<_>>().join(", "),
        Kind::List(k) => format!("list of: {}", accepts(k)),
        Kind::OneOrMany(k) => format!("{0}, or list of: {0}", accepts(k)),
        Kind::Map(k) => format!("mapping from names to: {}", accepts(k)),
        Kind::Struct(_) => "mapping, see below".to_owned(),
        Kind::AnyOf(kinds) => kinds.iter().map(accepts).collect::<Vec<_>>().join("; or "),
    }
}

/// A default is kept as the Rust that makes it; shows what one would write in YAML.
fn plain_default(text: &str) -> String {
    let text = text.trim();
    let inner = text.split_once('"').and_then(|(_, rest)| rest.rsplit_once('"')).map(|(inner, _)| inner);
    match (inner, text) {
        (Some(""), _) => "''".to_owned(),
        (Some(inner), _) => inner.to_owned(),
        (None, "Vec::new()" | "vec![]" | "OneOrMany(vec![])" | "OneOrMany(Vec::new())") => "[]".to_owned(),
        (None, "None") => "null".to_owned(),
        _ => text.to_owned(),
    }
}

/// Doc comments have a blank at the start of each line.
fn paragraphs(doc: &str) -> String {
    doc.lines()
        .map(|l| l.strip_prefix(' ').unwrap_or(l).trim_end())
        .collect::<Vec<_>>()
        .join("\n")
        .trim()
        .to_owned()
}

fn first_sentence(doc: &str) -> String {
    let text = paragraphs(doc);
    let text = text.split("\n\n").next().unwrap_or("").replace('\n', " ");
    match text.find(". ") {
        Some(end) => text.get(..=end).unwrap_or(&text).to_owned(),
        None => text,
    }
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

#[cfg(test)]
mod tests;
