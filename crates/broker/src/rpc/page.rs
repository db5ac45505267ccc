//! Pages of lists.

use crate::limits::{PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX};
use crate::status::invalid;
use tonic::Status;

/// One page of `items`, which are in order of `name`, and the token of the next. A token is the last name of its page,
/// so that pages stay right while resources come and go.
pub(crate) fn page<T>(
    items: impl IntoIterator<Item = T>,
    name: impl Fn(&T) -> &str,
    size: i32,
    token: &str,
) -> Result<(Vec<T>, String), Status> {
    let size = match usize::try_from(size) {
        Err(_) => return Err(invalid(format!("The page size must not be negative. You passed {size}."))),
        Ok(0) => PAGE_SIZE_DEFAULT,
        Ok(n) => n.min(PAGE_SIZE_MAX),
    };
    let mut rest = items.into_iter().filter(|i| name(i) > token);
    let items: Vec<T> = rest.by_ref().take(size).collect();
    let next = items.last().filter(|_| rest.next().is_some()).map(|i| name(i).to_owned()).unwrap_or_default();
    Ok((items, next))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_follow_each_other() {
        let names = ["a", "b", "c"].map(str::to_owned);
        let page_of = |size, token| {
            let (page, next) = page(names.iter(), |n| n.as_str(), size, token)?;
            Ok::<_, Status>((page.into_iter().map(String::as_str).collect::<Vec<_>>().concat(), next))
        };
        assert_eq!(page_of(2, "").unwrap(), ("ab".to_owned(), "b".to_owned()));
        assert_eq!(page_of(2, "b").unwrap(), ("c".to_owned(), String::new()));
        assert_eq!(page_of(3, "").unwrap().1, "");
        assert!(page_of(-1, "").is_err());
    }
}
