//! Names of resources: `projects/PROJECT/KIND/ID`.

use crate::status::invalid;
use tonic::Status;

/// What a resource is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// A topic.
    Topic,
    /// A subscription.
    Subscription,
    /// A snapshot.
    Snapshot,
    /// A schema.
    Schema,
}

impl Kind {
    /// The word in names.
    pub(crate) fn plural(self) -> &'static str {
        match self {
            Kind::Topic => "topics",
            Kind::Subscription => "subscriptions",
            Kind::Snapshot => "snapshots",
            Kind::Schema => "schemas",
        }
    }
}

const RULES: &str =
    "Refer to https://cloud.google.com/pubsub/docs/pubsub-basics#resource_names for more information.";

/// The project and the id in the name of a resource that exists or not, if it has the form of one.
pub(crate) fn parse(kind: Kind, name: &str) -> Result<(&str, &str), Status> {
    let parts = name
        .strip_prefix("projects/")
        .and_then(|rest| rest.split_once('/'))
        .and_then(|(project, rest)| Some((project, rest.strip_prefix(kind.plural())?.strip_prefix('/')?)))
        .filter(|(project, id)| is_project(project) && !id.is_empty() && !id.contains('/'));
    parts.ok_or_else(|| {
        invalid(format!(
            "Invalid [{}] name: (name={name}). It must have the form projects/PROJECT/{0}/ID. {RULES}",
            kind.plural()
        ))
    })
}

/// Checks the name of a resource that is to be created.
pub(crate) fn check_new(kind: Kind, name: &str) -> Result<(), Status> {
    let (_, id) = parse(kind, name)?;
    let wrong =
        |why: &str| Err(invalid(format!("Invalid resource name given (name={name}): the id {why}. {RULES}")));
    if !(3..=255).contains(&id.len()) {
        return wrong("must have 3 to 255 characters");
    }
    if !id.starts_with(|c: char| c.is_ascii_alphabetic()) {
        return wrong("must start with a letter");
    }
    if !id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.~+%".contains(&b)) {
        return wrong("may have letters, digits and - _ . ~ + % only");
    }
    if id.starts_with("goog") {
        return wrong("must not start with `goog`");
    }
    Ok(())
}

/// The project in `projects/PROJECT`.
pub(crate) fn project(name: &str) -> Result<&str, Status> {
    name.strip_prefix("projects/").filter(|p| is_project(p)).ok_or_else(|| {
        invalid(format!(
            "Invalid project name: (name={name}). It must have the form projects/PROJECT. {RULES}"
        ))
    })
}

fn is_project(project: &str) -> bool {
    (1..=100).contains(&project.len())
        && project.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.:".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_rules() {
        assert_eq!(parse(Kind::Topic, "projects/p/topics/t").unwrap(), ("p", "t"));
        assert!(check_new(Kind::Topic, "projects/p/topics/abc-_.~+%9").is_ok());
        for wrong in [
            "",
            "t",
            "projects/p/topics",
            "projects//topics/abc",
            "projects/p/subscriptions/abc",
            "projects/p/topics/a/b",
        ] {
            assert!(parse(Kind::Topic, wrong).is_err(), "{wrong}");
        }
        let long = format!("projects/p/topics/{}", "a".repeat(256));
        for wrong in ["ab", "1abc", "a b c", "google", "goog", "äbc"] {
            assert!(check_new(Kind::Topic, &format!("projects/p/topics/{wrong}")).is_err(), "{wrong}");
        }
        assert!(check_new(Kind::Topic, &long).is_err());
        assert_eq!(project("projects/p").unwrap(), "p");
        assert!(project("projects/").is_err() && project("p").is_err() && project("projects/a/b").is_err());
    }
}
