//! Names of output files, as Beam gives them: `PATH[-START-END]-SSSSS-of-NNNNN`.

use purlin_api::json::timestamp_text;
use purlin_api::{EventTime, Window};

/// Years 1 to 9999, the ones that Beam can name: microseconds since 1970.
const BEAM_YEARS: std::ops::Range<i64> = -62_135_596_800_000_000..253_402_300_800_000_000;

/// What comes between the path and the shard number: nothing for the global window, else
/// `-START-END` in UTC. Years outside 0 to 9999 have a sign and six digits.
///
/// # Errors
/// With `compat`, a window that Beam has no name for.
pub(crate) fn window_part(window: &Window, compat: bool) -> Result<String, String> {
    let (start, end) = match window {
        Window::Global => return Ok(String::new()),
        other => (other.start(), other.end()),
    };
    if compat && !(BEAM_YEARS.contains(&start.0) && BEAM_YEARS.contains(&end.0)) {
        return Err(format!(
            "the window {} to {} is out of the range of dates that Beam can name a file for",
            start.to_rfc3339(),
            end.to_rfc3339()
        ));
    }
    Ok(format!("-{}-{}", instant(start), instant(end)))
}

/// `YYYY-MM-DDTHH:MM:SS`, with six decimals if the instant has a fraction of a second.
fn instant(t: EventTime) -> String {
    let seconds = t.0.div_euclid(1_000_000);
    let fraction = t.0.rem_euclid(1_000_000);
    let text = timestamp_text(seconds.saturating_mul(1_000_000));
    // At the least instant the whole seconds do not fit into 64 bits: the text has decimals of its own.
    let text = text.trim_end_matches('Z').split('.').next().unwrap_or_default();
    if fraction == 0 { text.to_owned() } else { format!("{text}.{fraction:06}") }
}

/// `-SSSSS-of-NNNNN`.
pub(crate) fn shard_part(shard: usize, shards: usize) -> String {
    format!("-{shard:05}-of-{shards:05}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows() {
        let part = |start, end| window_part(&Window::interval(start, end), false).unwrap();
        assert_eq!(window_part(&Window::Global, true).unwrap(), "");
        assert_eq!(part(0, 60_000_000), "-1970-01-01T00:00:00-1970-01-01T00:01:00");
        assert_eq!(part(-1, 500_000), "-1969-12-31T23:59:59.999999-1970-01-01T00:00:00.500000");
        let hour = 3_600_000_000;
        let (start, end) = purlin_api::window::aligned(EventTime::MIN.0, hour, 0);
        // The least multiple of an hour does not fit into 64 bits less a rest: the window starts at the
        // least instant there is.
        let text = part(start, end);
        assert!(text.starts_with("--290308-12-21T"), "{text}");
        assert_eq!(text.matches('.').count(), 2, "{text}");
        assert!(window_part(&Window::interval(start, end), true).unwrap_err().contains("out of the range"));
        assert_eq!(shard_part(3, 12), "-00003-of-00012");
    }
}
