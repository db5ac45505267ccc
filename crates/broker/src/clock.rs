//! The one door to the clock. Everything else is told the time.

/// Microseconds since 1970.
pub(crate) type Micros = i64;

/// The time.
#[expect(clippy::disallowed_methods, reason = "the broker's door to the clock")]
pub(crate) fn now() -> Micros {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |d| i64::try_from(d.as_micros()).unwrap_or(i64::MAX))
}

/// A time as the API has it.
pub(crate) fn timestamp(time: Micros) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: time.div_euclid(1_000_000),
        nanos: i32::try_from(time.rem_euclid(1_000_000) * 1000).unwrap_or(0),
    }
}

/// A time of the API, without what is below a microsecond.
pub(crate) fn micros_of(t: &prost_types::Timestamp) -> Micros {
    t.seconds.saturating_mul(1_000_000).saturating_add(i64::from(t.nanos) / 1000)
}

/// A length of time of the API in microseconds.
pub(crate) fn span_of(d: &prost_types::Duration) -> Micros {
    d.seconds.saturating_mul(1_000_000).saturating_add(i64::from(d.nanos) / 1000)
}

/// Sleeps until a time, or for ever.
pub(crate) async fn sleep_until(time: Option<Micros>) {
    match time {
        Some(time) => {
            let left = u64::try_from(time.saturating_sub(now())).unwrap_or(0);
            tokio::time::sleep(std::time::Duration::from_micros(left)).await;
        }
        None => std::future::pending().await,
    }
}

/// A time as RFC 3339 text.
pub(crate) fn rfc3339(time: Micros) -> String {
    jiff::Timestamp::from_microsecond(time).map(|t| t.to_string()).unwrap_or_default()
}

/// RFC 3339 text as a time.
pub(crate) fn parse_rfc3339(text: &str) -> Option<Micros> {
    text.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_microsecond)
}
