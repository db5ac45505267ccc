use super::*;
use serde_json::Value;
use std::collections::HashMap;

const OPTIONS: Options = Options { count: 20_000, bad_per_million: 10_000, late: 5_000_000, seed: 7 };

fn text(dataset: Dataset, options: &Options) -> (String, Truth) {
    let mut out = Vec::new();
    let truth = generate(dataset, options, true, &mut out).unwrap().unwrap();
    (String::from_utf8(out).unwrap(), truth)
}

#[test]
fn orders_hold_what_the_truth_says() {
    let (text, truth) = text(Dataset::Orders, &OPTIONS);
    let (mut windows, mut groups) = (HashMap::new(), HashMap::new());
    let mut bad = 0;
    for line in text.lines() {
        let row: Value = serde_json::from_str(line).unwrap_or_default();
        let (Some(_), Some(amount)) = (row["order_id"].as_str(), row["amount"].as_f64()) else {
            bad += 1;
            continue;
        };
        let cents = (amount * 100.0).round() as u64;
        let clock: Vec<i64> =
            row["event_time"].as_str().unwrap()[11..19].split(':').map(|n| n.parse().unwrap()).collect();
        let second = (clock[0] - 10) * 3600 + clock[1] * 60 + clock[2];
        let start = orders::START_SECONDS + second / 300 * 300;
        let totals: &mut (u64, u64) = windows.entry(start).or_default();
        totals.0 += 1;
        totals.1 += cents;
        let customer: u128 = row["customer_id"].as_str().unwrap()[4..].parse().unwrap();
        *groups.entry((orders::START_SECONDS + second / 30 * 30, customer)).or_insert(0u64) += cents;
    }
    assert_eq!(text.lines().count() as u64, OPTIONS.count);
    assert_eq!(bad, truth.bad_lines());
    assert!((100..300).contains(&bad), "{bad} of 20000 lines are bad");
    let found: HashMap<_, _> = truth.by_window().iter().map(|(w, t)| (*w, (t.count, t.cents))).collect();
    assert_eq!(found, windows);
    let mut by_customer: HashMap<i64, Groups> = HashMap::new();
    for ((window, customer), cents) in groups {
        let g = by_customer.entry(window).or_default();
        g.groups += 1;
        g.cents += cents;
        g.weighted += (customer + 1) * u128::from(cents);
        g.squares += u128::from(cents) * u128::from(cents);
    }
    assert_eq!(truth.by_customer().into_iter().collect::<HashMap<_, _>>(), by_customer);
    assert_eq!(truth.to_json()["bad"].as_object().unwrap().len(), 3, "all three kinds of bad lines");
}

#[test]
fn purchases_hold_what_the_truth_says() {
    let (text, truth) = text(Dataset::Purchases, &OPTIONS);
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("Customer ID,Purchase Amount,Time Stamp"));
    let (mut good, mut cents) = (0, 0);
    for line in lines {
        let fields: Vec<&str> = line.split(',').collect();
        let [_, amount, time] = fields.as_slice() else { continue };
        if let (Ok(amount), Ok(_)) = (amount.parse::<f64>(), time.parse::<f64>()) {
            good += 1;
            cents += (amount * 100.0).round() as u64;
        }
    }
    assert_eq!(truth.good(), Totals { count: good, cents });
    assert_eq!(good + truth.bad_lines(), OPTIONS.count);
    assert!(truth.bad_lines() > 0);
}

#[test]
fn the_seed_decides_and_nothing_else() {
    for dataset in [Dataset::Orders, Dataset::Purchases] {
        let first = text(dataset, &OPTIONS).0;
        let mut again = Vec::new();
        assert!(generate(dataset, &OPTIONS, false, &mut again).unwrap().is_none());
        assert_eq!(first.as_bytes(), again);
        assert_ne!(first, text(dataset, &Options { seed: 8, ..OPTIONS }).0);
    }
}

#[test]
fn without_lateness_and_bad_lines_all_is_in_order() {
    let options = Options { count: 1000, bad_per_million: 0, late: 0, seed: 1 };
    let (text, truth) = text(Dataset::Orders, &options);
    assert_eq!((truth.good().count, truth.bad_lines()), (1000, 0));
    let times: Vec<&str> = text.lines().map(|l| l.rsplit_once("event_time").unwrap().1).collect();
    assert!(times.is_sorted());
}

#[test]
fn odd_options_are_no_problem() {
    for dataset in [Dataset::Orders, Dataset::Purchases] {
        for count in [0, 1, 3] {
            let late = i64::MAX;
            let options = Options { count, bad_per_million: 1_000_000, late, seed: u64::MAX };
            assert_eq!(text(dataset, &options).1.bad_lines(), count);
        }
    }
}

#[test]
fn a_stream_gives_what_the_file_has() {
    for dataset in [Dataset::Orders, Dataset::Purchases] {
        let (text, truth) = text(dataset, &OPTIONS);
        let mut stream = Stream::new(dataset, OPTIONS, true);
        let (mut json, mut csv) = (String::new(), stream.header().to_vec());
        let mut ids = std::collections::HashSet::new();
        for _ in 0..OPTIONS.count {
            let event = stream.next(None, Some(&mut csv));
            json.push_str(&String::from_utf8(event.payload).unwrap());
            json.push('\n');
            assert!(ids.insert(event.id));
        }
        let file = if dataset == Dataset::Orders { json } else { String::from_utf8(csv).unwrap() };
        assert!(file == text, "{dataset:?}");
        assert_eq!(stream.truth().map(Truth::to_json), Some(truth.to_json()));
    }
}

#[test]
fn live_events_are_of_the_present() {
    let now = 1_790_000_000_123_456;
    for dataset in [Dataset::Orders, Dataset::Purchases] {
        let first = |now| Stream::new(dataset, OPTIONS, false).next(Some(now), None).id;
        assert_ne!(first(now), first(now + 1_000_000), "two runs give different events");
        let mut stream = Stream::new(dataset, Options { bad_per_million: 0, ..OPTIONS }, false);
        for _ in 0..100 {
            let mut csv = Vec::new();
            let event = stream.next(Some(now), Some(&mut csv));
            assert!((now - OPTIONS.late - 1000..=now).contains(&event.micros), "{}", event.micros);
            let row: Value = serde_json::from_slice(&event.payload).unwrap();
            let (fields, csv) = (row.as_object().unwrap(), String::from_utf8(csv).unwrap());
            for (value, field) in fields.values().zip(csv.trim_end().split(',')) {
                match value {
                    Value::String(s) => assert_eq!(s, field),
                    n => assert_eq!(n.as_f64(), field.parse().ok()),
                }
            }
            let micros = match dataset {
                Dataset::Orders => {
                    let time: jiff::Timestamp = row["event_time"].as_str().unwrap().parse().unwrap();
                    time.as_microsecond()
                }
                Dataset::Purchases => (row["Time Stamp"].as_f64().unwrap() * 1e6).round() as i64,
            };
            assert!((micros - event.micros).abs() <= 1, "{micros} {}", event.micros);
        }
    }
}
