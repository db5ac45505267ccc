//! Names of topics, subscriptions and snapshots: in full, or short within a project.

use crate::error::{Error, Result};
use std::fmt;

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $folder:literal, $one:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(String);

        impl $name {
            /// Reads a name in full, or a short one in `project`.
            ///
            /// # Errors
            /// What is wrong with it, and which form it should have.
            pub fn parse(text: &str, project: Option<&str>) -> Result<Self> {
                parse(text, project, $folder, $one).map($name)
            }

            /// In full.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The project.
            pub fn project(&self) -> &str {
                self.0.split('/').nth(1).unwrap_or_default()
            }

            /// The part behind the last slash.
            pub fn id(&self) -> &str {
                self.0.rsplit('/').next().unwrap_or_default()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name!(
    /// `projects/PROJECT/topics/TOPIC`.
    TopicName, "topics", "topic"
);
name!(
    /// `projects/PROJECT/subscriptions/SUBSCRIPTION`.
    SubscriptionName, "subscriptions", "subscription"
);
name!(
    /// `projects/PROJECT/snapshots/SNAPSHOT`.
    SnapshotName, "snapshots", "snapshot"
);

/// Longest id that Google accepts.
const ID_CHARS_MAX: usize = 255;

fn parse(text: &str, project: Option<&str>, folder: &str, one: &str) -> Result<String> {
    let wants = || format!("`projects/PROJECT/{folder}/{}`", one.to_uppercase());
    let parts: Vec<&str> = text.split('/').collect();
    let (project, id) = match *parts {
        // Beam's documentation of WriteToPubSub also has `/topics/PROJECT/TOPIC`.
        ["projects", project, f, id] if f == folder => (project, id),
        ["", f, project, id] if f == folder => (project, id),
        [id] if !id.is_empty() => match project.filter(|p| !p.is_empty()) {
            Some(project) => (project, id),
            None => {
                return Err(Error::config(format!(
                    "`{text}` does not say in which project the {one} is; write {} or set GOOGLE_CLOUD_PROJECT",
                    wants()
                )));
            }
        },
        _ => return Err(Error::config(format!("`{text}` is no name of a {one}; write {}", wants()))),
    };
    if project.is_empty() {
        return Err(Error::config(format!("`{text}` has an empty project; write {}", wants())));
    }
    check_id(id, one).map_err(|why| Error::config(format!("`{text}` is no name of a {one}: {why}")))?;
    Ok(format!("projects/{project}/{folder}/{id}"))
}

/// Google's rules for ids: 3 to 255 characters, a letter first, then letters, digits and `-_.~+%`, and not
/// beginning with `goog`. A deleted topic shows as `_deleted-topic_`.
fn check_id(id: &str, one: &str) -> Result<(), String> {
    let length = id.chars().count();
    if !(3..=ID_CHARS_MAX).contains(&length) {
        return Err(format!("the {one} has {length} characters, and 3 to {ID_CHARS_MAX} are allowed"));
    }
    if !id.starts_with(|c: char| c.is_ascii_alphabetic()) {
        return Err(format!("the {one} must begin with a letter"));
    }
    if let Some(bad) = id.chars().find(|c| !c.is_ascii_alphanumeric() && !"-_.~+%".contains(*c)) {
        return Err(format!("`{bad}` is not allowed; letters, digits and `-_.~+%` are"));
    }
    if id.starts_with("goog") {
        return Err("names beginning with `goog` are Google's own".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_full_and_short() {
        let full = TopicName::parse("projects/p-1/topics/orders", None).unwrap();
        assert_eq!((full.project(), full.id()), ("p-1", "orders"));
        assert_eq!(TopicName::parse("orders", Some("p-1")).unwrap(), full);
        assert_eq!(TopicName::parse("/topics/p-1/orders", None).unwrap(), full);
    }

    #[test]
    fn bad_names_say_what_to_write() {
        let said = |text: &str| SubscriptionName::parse(text, None).unwrap_err().to_string();
        assert!(said("orders").contains("set GOOGLE_CLOUD_PROJECT"), "{}", said("orders"));
        assert!(said("projects/p/topics/orders").contains("`projects/PROJECT/subscriptions/SUBSCRIPTION`"));
        assert!(said("projects/p/subscriptions/x").contains("3 to 255"));
        assert!(said("projects/p/subscriptions/1ab").contains("begin with a letter"));
        assert!(said("projects/p/subscriptions/a b c").contains("` ` is not allowed"));
        assert!(said("projects//subscriptions/abc").contains("empty project"));
        assert!(said("projects/p/subscriptions/google").contains("goog"));
    }
}
