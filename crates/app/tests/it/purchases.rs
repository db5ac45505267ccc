//! The purchases job on the real CSV.

use crate::scratch::Scratch;
use std::collections::BTreeMap;
use std::path::Path;

pub(crate) fn repository() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

#[test]
fn sums_by_customer_and_window_are_those_of_the_file() {
    let s = Scratch::new();
    let root = repository();
    let csv = root.join("pipelines/purchases/customer_data.csv");
    let input = format!("input={}", csv.display());
    let pipeline = root.join("pipelines/purchases/batch.yaml").display().to_string();
    let ran = s.purlin(&["run", &pipeline, "--set", &input, "--set", "output=out"]);
    assert_eq!(ran.code, 0, "{}", ran.err);

    let mut printed: Vec<&str> = ran.out.lines().collect();
    printed.sort_unstable();
    let mut expected = expected(&std::fs::read_to_string(&csv).expect("the sample"));
    expected.sort_unstable();
    assert_eq!(printed, expected);
    for line in [
        "CO39:, $64.61, Window: 2024-09-18 07:27:00 - 2024-09-18 07:27:30",
        "CO39:, $116.21, Window: 2024-09-18 07:27:30 - 2024-09-18 07:28:00",
        "CO39:, $66.21, Window: 2024-09-18 07:28:00 - 2024-09-18 07:28:30",
    ] {
        assert!(printed.contains(&line), "{line} is missing");
    }

    let dead = s.lines("out/broken");
    assert_eq!(dead.len(), 1);
    let dead: serde_json::Value = serde_json::from_str(&dead[0]).expect("JSON");
    assert_eq!(dead["element"]["line"], 102);
    assert_eq!(dead["element"]["text"], "100,CO67,85.73,1726644463.8209743");
    assert!(dead["msg"].as_str().is_some_and(|m| m.contains("4")), "{dead}");
    assert!(ran.err.contains("dead letters 1"), "{}", ran.err);
}

/// The sums in integer cents, straight from the text of the file.
pub(crate) fn expected(csv: &str) -> Vec<String> {
    let mut cents: BTreeMap<(String, i64), i64> = BTreeMap::new();
    for line in csv.lines().skip(1) {
        let cells: Vec<&str> = line.split(',').collect();
        let &[customer, amount, time] = cells.as_slice() else { continue };
        let (whole, part) = amount.split_once('.').unwrap_or((amount, ""));
        let amount = whole.parse::<i64>().expect("an amount") * 100
            + format!("{part:0<2}").parse::<i64>().expect("cents");
        let seconds: i64 = time.split('.').next().and_then(|s| s.parse().ok()).expect("a time");
        *cents.entry((customer.to_owned(), seconds / 30 * 30)).or_default() += amount;
    }
    let clock = |t: i64| {
        let day = t % 86_400;
        format!("2024-09-18 {:02}:{:02}:{:02}", day / 3600, day / 60 % 60, day % 60)
    };
    cents
        .into_iter()
        .map(|((customer, start), cents)| {
            let amount = format!("{}.{:02}", cents / 100, cents % 100);
            let amount = amount.strip_suffix('0').filter(|a| !a.ends_with('.')).unwrap_or(&amount);
            format!("{customer}:, ${amount}, Window: {} - {}", clock(start), clock(start + 30))
        })
        .collect()
}
