//! Nearest names for "did you mean".

/// `did you mean `x`?` if one of `names` is near `wrong`, or a short form of it: `sep` of `seperator`.
pub fn did_you_mean<'a>(wrong: &str, names: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let names: Vec<&str> = names.into_iter().collect();
    let short = |n: &&str| n.len() >= SHORT_MIN && *n != wrong && wrong.starts_with(*n);
    let found = nearest(wrong, names.iter().copied());
    let found = found.or_else(|| names.iter().copied().filter(short).max_by_key(|n| n.len()));
    found.map(|n| format!("did you mean `{n}`?"))
}

/// Shorter beginnings say nothing.
const SHORT_MIN: usize = 3;

/// True if one of `given` is no valid name but looks like a slip of `missing`: then saying that it is
/// unknown is enough, and that `missing` is missing would be a second message for one slip.
pub fn slipped<'a>(missing: &str, given: impl IntoIterator<Item = &'a str>, valid: &[&str]) -> bool {
    nearest(missing, given.into_iter().filter(|g| !valid.contains(g))).is_some()
}

/// The name nearest to `wrong`, if any is near enough to be a likely slip: at most a third of its
/// characters differ (Damerau-Levenshtein, letter case counts little).
pub fn nearest<'a>(wrong: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (wrong.chars().count().max(3) / 3).max(1) * 2;
    names
        .into_iter()
        .filter(|n| *n != wrong)
        .map(|n| (distance(wrong, n), n))
        // All letters changed is no slip: `a` for `b`.
        .filter(|(d, n)| *d <= limit && *d < 2 * wrong.chars().count().max(n.chars().count()))
        .min_by_key(|(d, _)| *d)
        .map(|(_, n)| n)
}

/// Optimal string alignment distance; a change of case costs 1, any other edit 2.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    if a.len().abs_diff(b.len()) > 16 || a.len() > 128 || b.len() > 128 {
        return usize::MAX;
    }
    let width = b.len() + 1;
    let mut rows: Vec<Vec<usize>> = vec![(0..width).map(|j| j * 2).collect()];
    for (i, &ca) in a.iter().enumerate() {
        let mut row = vec![(i + 1) * 2];
        for (j, &cb) in b.iter().enumerate() {
            let swap = if ca == cb {
                0
            } else if ca.to_lowercase().eq(cb.to_lowercase()) {
                1
            } else {
                2
            };
            let at =
                |r: usize, c: usize| rows.get(r).and_then(|r| r.get(c)).copied().unwrap_or(usize::MAX / 2);
            let left = row.last().copied().unwrap_or(usize::MAX / 2);
            let mut best = (at(i, j) + swap).min(at(i, j + 1) + 2).min(left + 2);
            if i > 0 && j > 0 && a.get(i - 1) == Some(&cb) && b.get(j - 1) == Some(&ca) {
                best = best.min(at(i - 1, j - 1) + 2);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows.last().and_then(|r| r.last()).copied().unwrap_or(usize::MAX)
}

/// `a, b and c`, at most 12 of them.
pub fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    const SHOWN_MAX: usize = 12;
    let names: Vec<&str> = names.into_iter().collect();
    if names.is_empty() {
        return "none".to_owned();
    }
    let more = names.len().saturating_sub(SHOWN_MAX);
    let mut text = names.iter().take(SHOWN_MAX).copied().collect::<Vec<_>>().join(", ");
    if more > 0 {
        text.push_str(&format!(" and {more} more"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_forms_are_found_where_nothing_is_near() {
        let told = |wrong: &str| did_you_mean(wrong, ["sep", "separate_by", "na", "header"]);
        assert_eq!(told("seperator").as_deref(), Some("did you mean `sep`?"));
        assert_eq!(told("heder").as_deref(), Some("did you mean `header`?"));
        assert_eq!(told("nan_text"), None);
    }
}
