//! Which crate may depend on which.

use std::collections::BTreeMap;

/// What each crate may depend on, among ours. ARCHITECTURE.md draws the same arrows.
const ALLOWED: &[(&str, &[&str])] = &[
    ("spec", &[]),
    ("api", &["spec"]),
    ("expr", &[]),
    ("sql", &[]),
    ("grouping", &["api"]),
    ("transforms", &["spec", "api", "expr", "sql", "grouping"]),
    ("broker", &[]),
    ("pubsub", &[]),
    ("connectors", &["spec", "api", "pubsub"]),
    ("plan", &["spec", "api"]),
    ("engine", &["api", "plan"]),
    ("pyworker", &["api"]),
    (
        "app",
        &[
            "spec",
            "api",
            "expr",
            "transforms",
            "connectors",
            "plan",
            "engine",
            "pyworker",
            "pubsub",
            "broker",
        ],
    ),
];

/// Libraries that a crate must do without, and why.
const FORBIDDEN: &[(&str, &str, &str)] = &[
    ("spec", "arrow", "spec knows text, not columns"),
    ("spec", "tokio", "spec does no IO"),
    ("api", "tokio", "contracts are free of a runtime"),
    ("plan", "tokio", "plan does no IO"),
    ("expr", "tokio", "expressions are pure"),
    ("sql", "tokio", "queries run on the thread that asks"),
    ("grouping", "tokio", "operators are pure"),
    ("transforms", "tokio", "operators are pure"),
    ("engine", "saphyr", "the engine never sees YAML"),
];

fn dependencies(krate: &str) -> Vec<String> {
    let manifest = crate::root().join("crates").join(krate).join("Cargo.toml");
    let text = std::fs::read_to_string(&manifest).expect("every crate has a manifest");
    let mut inside = false;
    let mut found = Vec::new();
    for line in text.lines() {
        if line.starts_with('[') {
            inside = line.trim() == "[dependencies]";
        } else if inside && let Some((name, _)) = line.split_once('=') {
            found.push(name.trim().trim_matches('"').split('.').next().unwrap_or_default().to_owned());
        }
    }
    found
}

#[test]
fn crates_depend_only_along_the_arrows() {
    let allowed: BTreeMap<&str, &[&str]> = ALLOWED.iter().copied().collect();
    let mut wrong = Vec::new();
    for entry in std::fs::read_dir(crate::root().join("crates")).expect("crates/") {
        let name = entry.expect("a folder").file_name().to_string_lossy().into_owned();
        let Some(may) = allowed.get(name.as_str()) else {
            wrong.push(format!("crate `{name}` has no line in the table of arrows"));
            continue;
        };
        for dep in dependencies(&name) {
            if let Some(ours) = dep.strip_prefix("purlin-")
                && !may.contains(&ours)
            {
                wrong.push(format!("`{name}` must not depend on `{ours}`"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn crates_do_without_what_they_must() {
    for (krate, library, why) in FORBIDDEN {
        let deps = dependencies(krate);
        assert!(!deps.iter().any(|d| d.starts_with(library)), "`{krate}` depends on `{library}`, but {why}");
    }
}

#[test]
fn architecture_names_every_crate() {
    let text = std::fs::read_to_string(crate::root().join("ARCHITECTURE.md")).expect("ARCHITECTURE.md");
    for (krate, _) in ALLOWED {
        assert!(text.contains(&format!("`{krate}`")), "ARCHITECTURE.md does not speak of `{krate}`");
    }
}
