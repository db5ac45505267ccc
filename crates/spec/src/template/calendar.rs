//! Days, clocks and their text forms, as Python's `datetime` has them (proleptic Gregorian, no leap
//! seconds). Instants are microseconds of wall time since 1970-01-01.

use std::fmt::Write as _;

/// Microseconds of a day.
pub(crate) const DAY: i64 = 86_400_000_000;
/// Microseconds of a second.
pub(crate) const SECOND: i64 = 1_000_000;
/// 0001-01-01, the least instant Python has.
pub(crate) const LEAST: i64 = -62_135_596_800 * SECOND;
/// The end of year 9999, exclusive.
pub(crate) const END: i64 = 253_402_300_800 * SECOND;

const DAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// Year, month and day from days since 1970-01-01.
pub(crate) fn civil(days: i64) -> (i64, i64, i64) {
    // Years are counted from March, so that the leap day is the last of its year.
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

/// Days since 1970-01-01; `None` if there is no such day in the years 1 to 9999.
pub(crate) fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    if !(1..=9999).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let y = if month <= 2 { year - 1 } else { year };
    let era = y.div_euclid(400);
    let year_of_era = y.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + of_year - 719_468;
    (civil(days) == (year, month, day)).then_some(days)
}

/// An instant from its parts; `None` if a part is out of range.
pub(crate) fn instant(date: (i64, i64, i64), clock: (i64, i64, i64), micros: i64) -> Option<i64> {
    let (hour, minute, second) = clock;
    let good = (0..24).contains(&hour) && (0..60).contains(&minute) && (0..60).contains(&second);
    let seconds = hour * 3600 + minute * 60 + second;
    let day = days(date.0, date.1, date.2)?;
    (good && (0..SECOND).contains(&micros)).then_some(day * DAY + seconds * SECOND + micros)
}

/// An instant taken apart.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Parts {
    pub(crate) year: i64,
    pub(crate) month: i64,
    pub(crate) day: i64,
    pub(crate) hour: i64,
    pub(crate) minute: i64,
    pub(crate) second: i64,
    pub(crate) micros: i64,
    /// Monday is 0.
    pub(crate) weekday: i64,
    /// 1 January is 1.
    pub(crate) of_year: i64,
}

/// Takes an instant apart.
pub(crate) fn parts(at: i64) -> Parts {
    let day = at.div_euclid(DAY);
    let clock = at.rem_euclid(DAY);
    let (year, month, d) = civil(day);
    let seconds = clock / SECOND;
    Parts {
        year,
        month,
        day: d,
        hour: seconds / 3600,
        minute: seconds / 60 % 60,
        second: seconds % 60,
        micros: clock % SECOND,
        weekday: (day + 3).rem_euclid(7),
        of_year: day - days(year, 1, 1).unwrap_or(day) + 1,
    }
}

/// ISO year, week and weekday (Monday is 1).
pub(crate) fn iso_week(at: i64) -> (i64, i64, i64) {
    let day = at.div_euclid(DAY);
    let weekday = (day + 3).rem_euclid(7);
    let (year, ..) = civil(day - weekday + 3);
    let first = days(year, 1, 1).unwrap_or(day);
    (year, (day - weekday + 3 - first) / 7 + 1, weekday + 1)
}

/// `+HH:MM[:SS]`, or without the colons.
pub(crate) fn offset_text(seconds: i32, colon: &str) -> String {
    let (sign, s) = if seconds < 0 { ('-', -seconds) } else { ('+', seconds) };
    let mut text = format!("{sign}{:02}{colon}{:02}", s / 3600, s / 60 % 60);
    if s % 60 != 0 {
        put(&mut text, format_args!("{colon}{:02}", s % 60));
    }
    text
}

fn put(out: &mut String, args: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    if out.write_fmt(args).is_err() {
        out.push_str("<format error>");
    }
}

/// `YYYY-MM-DD`.
pub(crate) fn date_text(at: i64) -> String {
    let p = parts(at);
    format!("{:04}-{:02}-{:02}", p.year, p.month, p.day)
}

/// `HH:MM:SS`, with `.ffffff` if there are microseconds.
pub(crate) fn clock_text(at: i64) -> String {
    let p = parts(at);
    let mut text = format!("{:02}:{:02}:{:02}", p.hour, p.minute, p.second);
    if p.micros != 0 {
        put(&mut text, format_args!(".{:06}", p.micros));
    }
    text
}

fn name(list: &[&'static str], index: i64) -> &'static str {
    usize::try_from(index).ok().and_then(|i| list.get(i)).copied().unwrap_or_default()
}

fn short(name: &str) -> &str {
    name.get(..3).unwrap_or(name)
}

/// Python's `strftime` in the C locale. Codes it does not know are kept as they are.
pub(crate) fn strftime(format: &str, at: i64, offset: Option<i32>) -> String {
    let p = parts(at);
    let mut out = String::new();
    let mut chars = format.chars();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let mut code = chars.next();
        let bare = code == Some('-');
        if bare {
            code = chars.next();
        }
        let colon = code == Some(':');
        if colon {
            code = chars.next();
        }
        let Some(code) = code else {
            out.push('%');
            continue;
        };
        let text = match code {
            'z' => offset.map(|o| offset_text(o, if colon { ":" } else { "" })).unwrap_or_default(),
            'Z' => offset.map(zone_name).unwrap_or_default(),
            _ => field(code, at, &p).unwrap_or_else(|| format!("%{code}")),
        };
        let digits = text.len() > 1 && text.bytes().all(|b| b.is_ascii_digit() || b == b' ');
        match text.trim_start_matches(['0', ' ']) {
            "" if bare && digits => out.push('0'),
            rest if bare && digits => out.push_str(rest),
            _ => out.push_str(&text),
        }
    }
    out
}

/// `UTC`, or `UTC+02:00`.
pub(crate) fn zone_name(offset: i32) -> String {
    if offset == 0 { "UTC".to_owned() } else { format!("UTC{}", offset_text(offset, ":")) }
}

fn field(code: char, at: i64, p: &Parts) -> Option<String> {
    let sunday = (p.weekday + 1) % 7;
    let hour_12 = if p.hour % 12 == 0 { 12 } else { p.hour % 12 };
    let whole = |format: &str| strftime(format, at, None);
    Some(match code {
        'a' => short(name(&DAYS, p.weekday)).to_owned(),
        'A' => name(&DAYS, p.weekday).to_owned(),
        'b' | 'h' => short(name(&MONTHS, p.month - 1)).to_owned(),
        'B' => name(&MONTHS, p.month - 1).to_owned(),
        'w' => sunday.to_string(),
        'u' => (p.weekday + 1).to_string(),
        'd' => format!("{:02}", p.day),
        'e' => format!("{:2}", p.day),
        'm' => format!("{:02}", p.month),
        'y' => format!("{:02}", p.year % 100),
        'Y' => format!("{:04}", p.year),
        'C' => format!("{:02}", p.year / 100),
        'H' => format!("{:02}", p.hour),
        'I' => format!("{hour_12:02}"),
        'p' => if p.hour < 12 { "AM" } else { "PM" }.to_owned(),
        'M' => format!("{:02}", p.minute),
        'S' => format!("{:02}", p.second),
        'f' => format!("{:06}", p.micros),
        'j' => format!("{:03}", p.of_year),
        'U' => format!("{:02}", (p.of_year + 6 - sunday) / 7),
        'W' => format!("{:02}", (p.of_year + 6 - p.weekday) / 7),
        'G' => format!("{:04}", iso_week(at).0),
        'V' => format!("{:02}", iso_week(at).1),
        's' => at.div_euclid(SECOND).to_string(),
        'c' => whole("%a %b %e %H:%M:%S %Y"),
        'x' | 'D' => whole("%m/%d/%y"),
        'X' | 'T' => whole("%H:%M:%S"),
        'F' => whole("%Y-%m-%d"),
        'R' => whole("%H:%M"),
        'n' => "\n".to_owned(),
        't' => "\t".to_owned(),
        '%' => "%".to_owned(),
        _ => return None,
    })
}

struct Reader<'a>(&'a str);

impl Reader<'_> {
    fn number(&mut self, digits_max: usize) -> Option<i64> {
        let n = self.0.bytes().take(digits_max).take_while(u8::is_ascii_digit).count();
        let (head, tail) = self.0.split_at_checked(n)?;
        self.0 = tail;
        head.parse().ok()
    }

    fn exactly(&mut self, digits: usize) -> Option<i64> {
        let before = self.0.len();
        self.number(digits).filter(|_| before - self.0.len() == digits)
    }

    fn literal(&mut self, text: &str) -> Option<()> {
        self.0 = self.0.strip_prefix(text)?;
        Some(())
    }

    /// One of the names or their first three letters, whatever the case; its index.
    fn one_of(&mut self, names: &[&str]) -> Option<i64> {
        let starts = |n: &str| self.0.get(..n.len()).is_some_and(|t| t.eq_ignore_ascii_case(n));
        let (index, length) = names.iter().enumerate().find_map(|(i, n)| {
            let length = [*n, short(n)].iter().find(|n| starts(n)).map(|n| n.len())?;
            Some((i as i64, length))
        })?;
        self.0 = self.0.get(length..)?;
        Some(index)
    }

    /// `.` has been read: up to six digits of a second.
    fn fraction(&mut self) -> Option<i64> {
        let n = self.0.bytes().take(6).take_while(u8::is_ascii_digit).count();
        let value = self.number(6)?;
        Some(value * 10_i64.pow(6 - n as u32))
    }

    /// `Z`, `+HHMM` or `+HH:MM[:SS]`, in seconds.
    fn offset(&mut self) -> Option<i32> {
        if self.literal("Z").is_some() {
            return Some(0);
        }
        let sign = if self.literal("-").is_some() {
            -1
        } else {
            self.literal("+")?;
            1
        };
        let hours = self.exactly(2)?;
        let colon = self.literal(":").is_some();
        let minutes = self.exactly(2)?;
        let seconds = if colon && self.literal(":").is_some() { self.exactly(2)? } else { 0 };
        let total = hours * 3600 + minutes * 60 + seconds;
        (total < 86_400 && minutes < 60 && seconds < 60).then_some(sign * total as i32)
    }
}

/// An instant and its offset, if one is given.
pub(crate) type Read = (i64, Option<i32>);

/// Python's `strptime`.
pub(crate) fn strptime(text: &str, format: &str) -> Option<Read> {
    let mut r = Reader(text);
    let (mut date, mut clock, mut micros) = ((1900, 1, 1), (0, 0, 0), 0);
    let (mut afternoon, mut offset, mut of_year) = (None, None, None);
    let expanded = format.replace("%F", "%Y-%m-%d").replace("%T", "%H:%M:%S").replace("%R", "%H:%M");
    let mut chars = expanded.chars();
    while let Some(c) = chars.next() {
        if c.is_whitespace() {
            r.0 = r.0.trim_start();
            continue;
        }
        if c != '%' {
            r.0 = r.0.strip_prefix(c)?;
            continue;
        }
        match chars.next()? {
            'Y' => date.0 = r.exactly(4)?,
            'y' => {
                let year = r.exactly(2)?;
                date.0 = if year < 69 { 2000 + year } else { 1900 + year };
            }
            'm' => date.1 = r.number(2)?,
            'd' | 'e' => date.2 = r.number(2)?,
            'b' | 'B' | 'h' => date.1 = r.one_of(&MONTHS)? + 1,
            'a' | 'A' => {
                r.one_of(&DAYS)?;
            }
            'H' => clock.0 = r.number(2)?,
            'I' => clock.0 = r.number(2).filter(|h| (1..=12).contains(h))?,
            'p' => afternoon = Some(r.one_of(&["AM", "PM"])? == 1),
            'M' => clock.1 = r.number(2)?,
            'S' => clock.2 = r.number(2)?,
            'f' => micros = r.fraction()?,
            'j' => of_year = Some(r.number(3)?),
            'z' => offset = Some(r.offset()?),
            'Z' => {
                let name = ["UTC", "GMT"].iter().find(|n| r.0.starts_with(**n))?;
                r.literal(name)?;
            }
            '%' => r.literal("%")?,
            _ => return None,
        }
    }
    if let Some(pm) = afternoon {
        clock.0 = clock.0 % 12 + if pm { 12 } else { 0 };
    }
    let mut at = instant(date, clock, micros)?;
    if let Some(n) = of_year {
        at = (1..=366).contains(&n).then(|| at + (n - 1) * DAY)?;
    }
    r.0.is_empty().then_some((at, offset))
}

/// `YYYY-MM-DD` or `YYYYMMDD`, as days since 1970.
pub(crate) fn date_from_iso(text: &str) -> Option<i64> {
    let mut r = Reader(text);
    let day = iso_date(&mut r)?;
    r.0.is_empty().then_some(day)
}

fn iso_date(r: &mut Reader<'_>) -> Option<i64> {
    let year = r.exactly(4)?;
    let dash = r.literal("-").is_some();
    let month = r.exactly(2)?;
    if dash {
        r.literal("-")?;
    }
    days(year, month, r.exactly(2)?)
}

/// Python's `datetime.fromisoformat`, without week dates.
pub(crate) fn datetime_from_iso(text: &str) -> Option<Read> {
    let mut r = Reader(text);
    let day = iso_date(&mut r)?;
    if r.0.is_empty() {
        return Some((day * DAY, None));
    }
    // Any one character may stand between the two.
    let mut chars = r.0.chars();
    chars.next();
    r.0 = chars.as_str();
    let hour = r.exactly(2)?;
    let (mut minute, mut second, mut micros) = (0, 0, 0);
    let colon = r.literal(":").is_some();
    if colon || r.0.starts_with(|c: char| c.is_ascii_digit()) {
        minute = r.exactly(2)?;
        if (colon && r.literal(":").is_some()) || (!colon && r.0.starts_with(|c: char| c.is_ascii_digit())) {
            second = r.exactly(2)?;
            if r.literal(".").is_some() || r.literal(",").is_some() {
                micros = r.fraction()?;
            }
        }
    }
    let offset = if r.0.is_empty() { None } else { Some(r.offset()?) };
    let date = civil(day);
    r.0.is_empty().then(|| instant(date, (hour, minute, second), micros)).flatten().map(|at| (at, offset))
}
