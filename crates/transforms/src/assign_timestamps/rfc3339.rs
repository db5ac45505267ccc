//! The one form of RFC 3339 that programs write most, read without a general parser.

/// Days of the months before each month, in a year that is no leap year.
const DAYS_BEFORE: [i64; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
const DAYS_OF: [i64; 12] = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

/// Microseconds since 1970 of `YYYY-MM-DDTHH:MM:SS[.f]Z` with one to six decimals, in the years 1583 to
/// 9998 (the general parser ends within 9999).
/// `None` for all other text, which may be a timestamp all the same.
pub(super) fn utc_micros(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    let (head, tail) = bytes.split_first_chunk::<19>()?;
    let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2, b'T', h1, h2, b':', i1, i2, b':', s1, s2] = head else {
        return None;
    };
    let year = pair(*y1, *y2)? * 100 + pair(*y3, *y4)?;
    let (month, day) = (pair(*m1, *m2)?, pair(*d1, *d2)?);
    let (hour, minute, second) = (pair(*h1, *h2)?, pair(*i1, *i2)?, pair(*s1, *s2)?);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let of_month = usize::try_from(month - 1).ok()?;
    let days = DAYS_OF.get(of_month)? + i64::from(leap && month == 2);
    // A leap second is for the general parser.
    if !(1583..=9998).contains(&year) || day < 1 || day > days || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let before = year - 1;
    let years = before * 365 + before / 4 - before / 100 + before / 400 - 719_162;
    let in_year = DAYS_BEFORE.get(of_month)? + i64::from(leap && month > 2) + day - 1;
    let seconds = (years + in_year) * 86_400 + hour * 3600 + minute * 60 + second;
    Some(seconds * 1_000_000 + decimals(tail)?)
}

fn pair(tens: u8, ones: u8) -> Option<i64> {
    let (tens, ones) = (tens.wrapping_sub(b'0'), ones.wrapping_sub(b'0'));
    (tens < 10 && ones < 10).then(|| i64::from(tens) * 10 + i64::from(ones))
}

/// Microseconds of `Z`, or of `.`, digits and `Z`.
fn decimals(tail: &[u8]) -> Option<i64> {
    let digits = match tail {
        [b'Z'] => return Some(0),
        [b'.', digits @ .., b'Z'] if (1..=6).contains(&digits.len()) => digits,
        _ => return None,
    };
    let mut micros = 0;
    for digit in digits {
        let digit = digit.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        micros = micros * 10 + i64::from(digit);
    }
    Some((digits.len()..6).fold(micros, |micros, _| micros * 10))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn general(text: &str) -> Option<i64> {
        text.parse::<jiff::Timestamp>().ok().map(|t| t.as_microsecond())
    }

    #[test]
    fn every_day_agrees_with_the_general_parser() {
        for year in (1583..=9998).step_by(7).chain([1600, 1700, 1900, 1970, 2000, 2024, 2100, 9998]) {
            for month in 0..=13 {
                for day in [0, 1, 28, 29, 30, 31, 32] {
                    let text = format!("{year:04}-{month:02}-{day:02}T23:59:58.5Z");
                    assert_eq!(utc_micros(&text), general(&text), "{text}");
                }
            }
        }
    }

    #[test]
    fn what_it_reads_the_general_parser_reads_alike() {
        let text = "2024-02-29T10:20:30.123456Z";
        assert_eq!(utc_micros(text), Some(1_709_202_030_123_456));
        for at in 0..text.len() {
            for byte in 0x20..0x7f {
                let mut bytes = text.as_bytes().to_vec();
                bytes[at] = byte;
                let changed = String::from_utf8(bytes).unwrap();
                if let Some(micros) = utc_micros(&changed) {
                    assert_eq!(Some(micros), general(&changed), "{changed}");
                }
            }
            assert_eq!(utc_micros(&text[..at]), None);
        }
        for decimals in 1..=6 {
            let text = format!("1969-12-31T23:59:59.{}Z", &"987654"[..decimals]);
            assert_eq!(utc_micros(&text), general(&text), "{text}");
        }
        for other in [
            "2024-02-29T10:20:30+00:00",
            "2024-02-29 10:20:30Z",
            "2024-02-29T10:20:30.Z",
            "é",
            "",
            "9999-12-31T00:00:00Z",
        ] {
            assert_eq!(utc_micros(other), None);
        }
    }
}
