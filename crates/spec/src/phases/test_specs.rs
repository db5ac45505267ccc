//! The `tests:` of a file.

use super::keys;
use super::read::{text, wrong_shape};
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::model::{TestElements, TestSpec};
use crate::node::Node;
use crate::suggest;

pub(crate) fn read(node: &Node, d: &mut Diagnostics) -> Vec<TestSpec> {
    match node.as_list() {
        Some(list) => list.iter().enumerate().filter_map(|(i, n)| test(n, i, d)).collect(),
        None => {
            wrong_shape(node, "`tests`", "a list of tests", d);
            Vec::new()
        }
    }
}

fn unknown_keys(node: &Node, what: &str, valid: &[&str], d: &mut Diagnostics) {
    for (key, entry) in node.as_map().into_iter().flatten() {
        if !key.starts_with("__") && !valid.contains(&key.as_str()) {
            d.push(
                Diagnostic::error("test/unknown-key", entry.key, format!("{what} has no key `{key}`"))
                    .label(format!("valid keys: {}", valid.join(", ")))
                    .maybe_help(suggest::did_you_mean(key, valid.iter().copied())),
            );
        }
    }
}

fn slipped(node: &Node, missing: &str, valid: &[&str]) -> bool {
    suggest::slipped(missing, node.as_map().into_iter().flatten().map(|(k, _)| k.as_str()), valid)
}

fn test(node: &Node, index: usize, d: &mut Diagnostics) -> Option<TestSpec> {
    if node.as_map().is_none() {
        wrong_shape(node, "a test", "a mapping", d);
        return None;
    }
    unknown_keys(node, "a test", keys::TEST, d);
    let name = match node.get("name") {
        Some(n) => text(n, "the name of a test", d)?.value,
        None => format!("test {}", index + 1),
    };
    let mut list = |key: &str| elements(node, key, d);
    let mut test = TestSpec {
        mock_inputs: list("mock_inputs"),
        mock_outputs: list("mock_outputs"),
        expected_inputs: list("expected_inputs"),
        expected_outputs: list("expected_outputs"),
        allowed_sources: Vec::new(),
        span: node.get("name").map_or(node.span, |n| n.span),
        name,
    };
    match node.get("allowed_sources").map(|n| (n, n.as_list())) {
        None => {}
        Some((_, Some(list))) => {
            test.allowed_sources =
                list.iter().filter_map(|n| text(n, "an allowed source", d)).map(|s| s.value).collect();
        }
        Some((n, None)) => wrong_shape(n, "`allowed_sources`", "a list of names", d),
    }
    let given = |key: &str| node.get(key).is_some_and(|n| n.as_list().is_none_or(|l| !l.is_empty()));
    let slip = |key: &str| slipped(node, key, keys::TEST);
    if !given("expected_inputs")
        && !given("expected_outputs")
        && !slip("expected_inputs")
        && !slip("expected_outputs")
    {
        d.push(
            Diagnostic::error(
                "test/no-expectation",
                test.span,
                format!("test `{}` expects nothing", test.name),
            )
            .label("it needs `expected_inputs` or `expected_outputs`"),
        );
    }
    Some(test)
}

fn elements(node: &Node, key: &str, d: &mut Diagnostics) -> Vec<TestElements> {
    let Some(n) = node.get(key) else { return Vec::new() };
    let Some(list) = n.as_list() else {
        wrong_shape(n, &format!("`{key}`"), "a list", d);
        return Vec::new();
    };
    list.iter().filter_map(|n| one(n, key, d)).collect()
}

fn one(node: &Node, key: &str, d: &mut Diagnostics) -> Option<TestElements> {
    if node.as_map().is_none() {
        wrong_shape(node, &format!("an entry of `{key}`"), "a mapping with `name` and `elements`", d);
        return None;
    }
    unknown_keys(node, &format!("an entry of `{key}`"), keys::TEST_ELEMENTS, d);
    for needed in keys::TEST_ELEMENTS {
        if node.get(needed).is_none() && !slipped(node, needed, keys::TEST_ELEMENTS) {
            d.push(Diagnostic::error(
                "test/missing-key",
                node.span,
                format!("an entry of `{key}` has no `{needed}`"),
            ));
        }
    }
    let name = node.get("name").and_then(|n| text(n, "the name of a transform", d));
    let elements = node.get("elements")?;
    if elements.as_list().is_none() {
        wrong_shape(elements, "`elements`", "a list", d);
        return None;
    }
    Some(TestElements { name: name?, elements: elements.clone() })
}
