use super::*;
use purlin_api::testing::{self, Driver};
use serde_json::{Value, json};

fn bound(config: Value, rows: &str) -> std::result::Result<Arc<dyn PlanNode>, String> {
    let mut d = Diagnostics::default();
    // JSON is YAML.
    let node = crate::shared::testing::node(&config.to_string());
    let Some(t) = MatchAll::from_node(&node, &mut d) else { return Err(testing::describe(&d)) };
    testing::bind(&t, &[testing::input(testing::shape_of(rows).unwrap())], false)
}

/// The rows given for these, `rows_max` at a time, without the folder.
fn run(config: Value, rows: &str, rows_max: usize) -> std::result::Result<(Vec<String>, Driver), String> {
    let node = bound(config, rows)?;
    let mut driver = Driver::new(node.as_ref()).map_err(|e| e.to_string())?;
    driver.cx.rows_max = rows_max;
    driver.push_json(rows).map_err(|e| e.to_string())?;
    driver.end().map_err(|e| e.to_string())?;
    driver.check_schemas(node.as_ref()).map_err(|e| e.to_string())?;
    Ok((driver.rows(0), driver))
}

#[test]
fn files_are_found_by_row() {
    let dir = tempfile::tempdir().unwrap();
    let at = |n: &str| format!("{}/{n}", dir.path().display());
    for (name, text) in [("a.csv", "12"), ("b.csv", "3456"), (".hidden.csv", ""), ("c.txt", "")] {
        std::fs::write(at(name), text).unwrap();
    }
    let rows = json!([
        {"p": at("*.csv"), "time": 1}, {"p": at("none*"), "time": 2}, {"p": null, "time": 3},
        {"p": at("c.txt"), "time": 4}, {"p": at("a.csv"), "time": 5},
    ]);
    for rows_max in [1, 2, 100] {
        let (found, driver) = run(json!({"file_pattern": "p"}), &rows.to_string(), rows_max).unwrap();
        let found: Vec<(String, i64)> = found
            .iter()
            .map(|row| {
                let row: Value = serde_json::from_str(row).unwrap();
                assert!(row["last_updated_in_seconds"].as_f64().unwrap() > 1.7e9, "{row}");
                let path = row["path"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
                (path, row["size_in_bytes"].as_i64().unwrap())
            })
            .collect();
        let wanted = [("a.csv", 2), ("b.csv", 4), ("c.txt", 0), ("a.csv", 2)];
        assert_eq!(found, wanted.map(|(p, n)| (p.to_owned(), n)));
        assert_eq!((driver.cx.fates.passed, driver.cx.fates.filtered, driver.cx.fates.in_state), (3, 2, 0));
    }
}

#[test]
fn patterns_without_files_do_what_the_author_says() {
    let dir = tempfile::tempdir().unwrap();
    let at = |n: &str| format!("{}/{n}", dir.path().display());
    let given = |treatment: &str, name: &str| {
        let rows = json!([{"p": at(name)}]).to_string();
        run(json!({"empty_match_treatment": treatment}), &rows, 9).map(|(rows, _)| rows.len())
    };
    assert_eq!(given("ALLOW", "none").unwrap(), 0);
    assert_eq!(given("ALLOW_IF_WILDCARD", "none*").unwrap(), 0);
    for (treatment, name) in [("DISALLOW", "none*"), ("DISALLOW", "none"), ("ALLOW_IF_WILDCARD", "none")] {
        let e = given(treatment, name).unwrap_err();
        assert!(e.contains("found no files that match") && e.contains(name), "{treatment}: {e}");
    }
    assert!(given("allow", "none").unwrap_err().contains("ALLOW_IF_WILDCARD"));
    assert!(given("ALLOW", "").unwrap_err().contains("is a directory"), "a folder is no file");
}

#[test]
fn the_field_must_be_clear_and_text() {
    let one = r#"[{"p": "x"}]"#;
    assert!(bound(json!({}), one).is_ok());
    for (config, rows, wanted) in [
        (json!({}), r#"[{"p": "x", "q": 1}]"#, "add `file_pattern: FIELD`"),
        (json!({"file_pattern": "pp"}), one, "unknown field `pp`"),
        (json!({"file_pattern": "q"}), r#"[{"p": "x", "q": 1}]"#, "match/not-text"),
    ] {
        let e = bound(config.clone(), rows).unwrap_err();
        assert!(e.contains(wanted), "{config}: {e}");
    }
}
