//! The one form of RFC 3339 that programs write most, read without a general parser.

/// Days of the months before each month, in a year that is no leap year.
const DAYS_BEFORE: [i64; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
const DAYS_OF: [i64; 12] = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

/// Reads timestamps; it remembers the last date, as rows that follow each other mostly share it.
#[derive(Debug, Default)]
pub(super) struct Utc {
    /// `YYYY-MM-DDT`, and the seconds from 1970 to its begin.
    last: Option<([u8; 11], i64)>,
}

impl Utc {
    /// Microseconds since 1970 of `YYYY-MM-DDTHH:MM:SS[.f]Z` with one to six decimals, in the years 1583 to
    /// 9998 (the general parser ends within 9999).
    /// `None` for all other text, which may be a timestamp all the same.
    #[inline]
    pub(super) fn micros(&mut self, text: &str) -> Option<i64> {
        let (date, rest) = text.as_bytes().split_first_chunk::<11>()?;
        let (time, tail) = rest.split_first_chunk::<8>()?;
        let midnight = match self.last {
            Some((last, midnight)) if last == *date => midnight,
            _ => {
                let midnight = midnight(date)?;
                self.last = Some((*date, midnight));
                midnight
            }
        };
        Some((midnight + seconds(*time)?) * 1_000_000 + decimals(tail)?)
    }
}

/// Seconds from 1970 to the begin of a day: `YYYY-MM-DDT`.
fn midnight(date: &[u8; 11]) -> Option<i64> {
    let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2, b'T'] = date else { return None };
    let year = pair(*y1, *y2)? * 100 + pair(*y3, *y4)?;
    let (month, day) = (pair(*m1, *m2)?, pair(*d1, *d2)?);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let of_month = usize::try_from(month - 1).ok()?;
    let days = DAYS_OF.get(of_month)? + i64::from(leap && month == 2);
    if !(1583..=9998).contains(&year) || day < 1 || day > days {
        return None;
    }
    let before = year - 1;
    let years = before * 365 + before / 4 - before / 100 + before / 400 - 719_162;
    let in_year = DAYS_BEFORE.get(of_month)? + i64::from(leap && month > 2) + day - 1;
    Some((years + in_year) * 86_400)
}

/// Seconds of `HH:MM:SS`, its eight bytes in one word.
#[inline]
fn seconds(time: [u8; 8]) -> Option<i64> {
    // What differs from this is the digits, and nothing else may.
    let digits = u64::from_le_bytes(time) ^ u64::from_le_bytes(*b"00:00:00");
    // Each sum reaches 0x10 if a digit is above 9, or if a colon is something else. Where the first test
    // holds no sum carries into the next byte.
    let above = digits.wrapping_add(u64::from_le_bytes([6, 6, 15, 6, 6, 15, 6, 6]));
    if (digits | above) & 0xf0f0_f0f0_f0f0_f0f0 != 0 {
        return None;
    }
    let pairs = digits * 10 + (digits >> 8);
    let pair = |at: u32| ((pairs >> (8 * at)) & 0xff) as i64;
    let (hour, minute, second) = (pair(0), pair(3), pair(6));
    // A leap second is for the general parser.
    (hour < 24 && minute < 60 && second < 60).then_some(hour * 3600 + minute * 60 + second)
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

    fn utc_micros(text: &str) -> Option<i64> {
        let alone = Utc::default().micros(text);
        let mut after_another = Utc::default();
        assert!(after_another.micros("2024-02-29T00:00:00Z").is_some());
        assert_eq!(after_another.micros(text), alone, "{text}");
        alone
    }

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
            for byte in 0..=0xff {
                let mut bytes = text.as_bytes().to_vec();
                bytes[at] = byte;
                let Ok(changed) = String::from_utf8(bytes) else { continue };
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
