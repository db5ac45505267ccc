//! `purlin status`.

use super::Exit;
use super::args::StatusArgs;
use super::data;
use super::output::Output;
use crate::live::why::short;
use crate::report::count;
use crate::up::record::Record;
use purlin_api::{Error, ErrorKind, Result};
use serde_json::Value;
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// How long an answer may take.
const ANSWER_MAX: Duration = Duration::from_secs(5);
/// The largest answer that is read.
const ANSWER_BYTES_MAX: u64 = 16 << 20;

pub(crate) fn status(args: &StatusArgs, out: &mut Output) -> Exit {
    let asked =
        Record::read(&data::folder(args.data.as_deref(), out)).and_then(|record| Ok((ask(&record)?, record)));
    let (answer, record) = match asked {
        Ok(asked) => asked,
        Err(e) => {
            out.error(&e);
            return Exit::Failed;
        }
    };
    if out.json {
        out.print_json(&answer);
    } else {
        out.print(&table(&answer, &record));
    }
    let list = answer.get("pipelines").and_then(Value::as_array);
    let goes_on = answer.get("refused").is_some_and(|r| !r.is_null());
    let well = !goes_on && list.is_some_and(|l| l.iter().all(|p| p.get("well") == Some(&Value::Bool(true))));
    if well { Exit::Success } else { Exit::Failed }
}

/// Asks a running `purlin up`.
fn ask(record: &Record) -> Result<Value> {
    let gone = |e: std::io::Error| {
        Error::new(
            ErrorKind::Unavailable,
            format!(
                "process {} was to answer on {}, and does not ({e}); it may have been killed: start it with `purlin up`",
                record.pid, record.http
            ),
        )
    };
    let mut stream = TcpStream::connect_timeout(&record.http, ANSWER_MAX).map_err(gone)?;
    stream.set_read_timeout(Some(ANSWER_MAX)).map_err(gone)?;
    stream.set_write_timeout(Some(ANSWER_MAX)).map_err(gone)?;
    // HTTP/1.0: the answer comes in one piece and ends with the connection.
    let request = format!("GET /api/v1/pipelines HTTP/1.0\r\nHost: {}\r\n\r\n", record.http);
    stream.write_all(request.as_bytes()).map_err(gone)?;
    let mut text = String::new();
    stream.take(ANSWER_BYTES_MAX).read_to_string(&mut text).map_err(gone)?;
    let strange = || {
        Error::new(
            ErrorKind::Unavailable,
            format!("what answers on {} is no `purlin up`; start it again", record.http),
        )
    };
    let (head, body) = text.split_once("\r\n\r\n").ok_or_else(strange)?;
    if head.split(' ').nth(1) != Some("200") {
        return Err(strange());
    }
    serde_json::from_str(body).map_err(|_| strange())
}

const COLUMNS: [&str; 8] =
    ["pipeline", "state", "rows/s", "lag", "in state", "late", "dead letters", "restarts"];

fn table(answer: &Value, record: &Record) -> String {
    let text = |v: &Value, key: &str| v.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let number = |v: &Value, key: &str| count(v.get(key).and_then(Value::as_u64).unwrap_or(0));
    let list = answer.get("pipelines").and_then(Value::as_array).cloned().unwrap_or_default();
    let row = |p: &Value| {
        let rate = p.get("rows_per_second").and_then(Value::as_f64).unwrap_or(0.0);
        let lag = p.get("watermark_lag_seconds").and_then(Value::as_f64);
        [
            text(p, "name"),
            text(p, "state"),
            if rate < 10.0 { format!("{rate:.1}") } else { count(rate.round() as u64) },
            lag.map_or("-".to_owned(), |l| short((l * 1e6) as i64)),
            number(p, "in_state"),
            number(p, "late"),
            number(p, "dead_letters"),
            number(p, "restarts"),
        ]
    };
    let rows: Vec<[String; 8]> = list.iter().map(row).collect();
    let widths: Vec<usize> = (0..COLUMNS.len())
        .map(|c| {
            let cells = rows.iter().filter_map(|r| r.get(c)).map(|t| t.chars().count());
            cells.chain(COLUMNS.get(c).map(|h| h.len())).max().unwrap_or(0)
        })
        .collect();
    let line = |cells: &[String]| {
        let cells = cells.iter().zip(&widths).enumerate();
        let cells = cells.map(|(i, (t, w))| if i < 2 { format!("{t:w$}") } else { format!("{t:>w$}") });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    let mut out = format!("{} (process {}) on http://{}\n", record.name, record.pid, record.http);
    let failure = |of: &Value, key: &str| {
        let failure = of.get(key).filter(|f| !f.is_null())?;
        let said = text(failure, "text").trim_end().replace('\n', "\n    ");
        Some(format!("({}): {said}", text(failure, "at")))
    };
    if let Some(failure) = failure(answer, "refused") {
        // Writing to a String cannot fail.
        let _written = writeln!(out, "  its project file is refused, what it said before goes on {failure}");
    }
    out.push_str(&line(&COLUMNS.map(str::to_owned)));
    out.push('\n');
    for (row, p) in rows.iter().zip(&list) {
        out.push_str(&line(row));
        out.push('\n');
        for (what, key) in [("refused", "refused"), ("last error", "last_error")] {
            if let Some(failure) = failure(p, key) {
                let _written = writeln!(out, "  {what} {failure}");
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_table_says_what_is_wrong() {
        let record =
            Record { pid: 7, name: "shop".to_owned(), http: ([127, 0, 0, 1], 1).into(), broker: None };
        let answer = json!({"pipelines": [
            {"name": "a", "state": "running", "rows_per_second": 1234.4, "watermark_lag_seconds": 2.34, "in_state": 5000,
             "late": 1, "dead_letters": 2, "restarts": 0, "last_error": null, "refused": null},
            {"name": "longer", "state": "failed", "rows_per_second": 0.0, "watermark_lag_seconds": null, "in_state": 0,
             "late": 0, "dead_letters": 0, "restarts": 3, "refused": null,
             "last_error": {"text": "no such topic", "at": "2024-03-05T12:00:00Z"}},
        ]});
        assert_eq!(
            table(&answer, &record),
            "shop (process 7) on http://127.0.0.1:1\n\
             pipeline  state    rows/s    lag  in state  late  dead letters  restarts\n\
             a         running   1,234  2.3 s     5,000     1             2         0\n\
             longer    failed      0.0      -         0     0             0         3\n  \
             last error (2024-03-05T12:00:00Z): no such topic\n"
        );
        let refused = json!({"text": "line 1\nline 2\n", "at": "2024-03-05T12:00:00Z"});
        let answer = json!({"pipelines": [], "refused": refused});
        assert_eq!(
            table(&answer, &record).lines().skip(1).take(2).collect::<Vec<_>>(),
            [
                "  its project file is refused, what it said before goes on (2024-03-05T12:00:00Z): line 1",
                "    line 2"
            ]
        );
    }
}
