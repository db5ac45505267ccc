//! Pages of lists.

use crate::limits::{PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX};
use crate::status::invalid;
use tonic::Status;

/// One page of `items`, which are in order of `name`, and the token of the next. A token is the last name of its page,
/// so that pages stay right while resources come and go.
pub fn page<T>(
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
        let names = ["a", "b", "c"];
        let name = |n: &&'static str| *n;
        assert_eq!(page(names, name, 2, "").unwrap(), (vec!["a", "b"], "b".to_owned()));
        assert_eq!(page(names, name, 2, "b").unwrap(), (vec!["c"], String::new()));
        assert_eq!(page(names, name, 3, "").unwrap().1, "");
        assert!(page(names, name, -1, "").is_err());
    }
}
