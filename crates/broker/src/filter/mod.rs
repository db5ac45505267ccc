//! Filters: which messages a subscription delivers.
//!
//! ```text
//! attributes:key                     has the attribute
//! attributes.key = "value"           has it with this value; != is the opposite, also without the attribute
//! hasPrefix(attributes.key, "v")     has it with a value that begins so
//! NOT x, -x, x AND y, x OR y, (x)    AND and OR do not mix without parentheses
//! ```

mod parse;

use crate::message;

/// A parsed filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Filter {
    /// The attribute is there.
    Has(String),
    /// The attribute has this value.
    Equals(String, String),
    /// The attribute's value begins with this.
    HasPrefix(String, String),
    /// Not so.
    Not(Box<Filter>),
    /// All of them.
    And(Vec<Filter>),
    /// One of them at least.
    Or(Vec<Filter>),
}

impl Filter {
    /// Parses a filter; the error says what is wrong and where.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        parse::filter(text)
    }

    /// Whether an encoded `PubsubMessage` matches.
    pub(crate) fn matches(&self, message: &[u8]) -> bool {
        let value = |key: &str| message::attribute(message, key);
        match self {
            Filter::Has(key) => value(key).is_some(),
            Filter::Equals(key, wanted) => value(key) == Some(wanted.as_str()),
            Filter::HasPrefix(key, prefix) => value(key).is_some_and(|v| v.starts_with(prefix.as_str())),
            Filter::Not(inner) => !inner.matches(message),
            Filter::And(all) => all.iter().all(|f| f.matches(message)),
            Filter::Or(any) => any.iter().any(|f| f.matches(message)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use prost::Message;
    use pubsub_proto::google::pubsub::v1::PubsubMessage;

    fn matches(filter: &str, attributes: &[(&str, &str)]) -> bool {
        let message = PubsubMessage {
            attributes: attributes.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
            ..Default::default()
        };
        Filter::parse(filter).unwrap().matches(&message.encode_to_vec())
    }

    #[test]
    fn messages_match_by_their_attributes() {
        let com = &[("domain", "com"), ("iana.org/lang", "en-GB")][..];
        for (filter, with, without) in [
            ("attributes:domain", true, false),
            ("attributes.domain = \"com\"", true, false),
            ("attributes.domain=\"org\"", false, false),
            ("attributes.domain != \"com\"", false, true),
            ("NOT attributes:domain", false, true),
            ("-attributes:domain", false, true),
            ("hasPrefix(attributes.\"iana.org/lang\", \"en\")", true, false),
            ("attributes.\"iana.org/lang\" = \"en-GB\" AND attributes:domain", true, false),
            ("attributes:domain AND NOT attributes:x", true, false),
            ("attributes:x OR attributes:domain", true, false),
            ("(attributes:x OR attributes:domain) AND attributes.domain != \"org\"", true, false),
            ("NOT (attributes:x OR attributes:domain)", false, true),
            ("attributes:\"domain\" attributes:\"iana.org/lang\"", true, false),
            ("attributes.domain = \"\\x63\\u006fm\"", true, false),
        ] {
            assert_eq!((matches(filter, com), matches(filter, &[])), (with, without), "{filter}");
        }
    }

    #[test]
    fn what_is_no_filter_is_refused_with_its_place() {
        for wrong in [
            "",
            "domain",
            "attributes",
            "attributes.",
            "attributes.a",
            "attributes.a = b",
            "attributes.a = \"b",
            "attributes:a OR",
            "attributes:a OR attributes:b AND attributes:c",
            "(attributes:a",
            "attributes:a)",
            "hasPrefix(attributes.a)",
            "hasprefix(attributes.a, \"b\")",
            "NOT",
            "attributes:a and attributes:b",
            "attributes.a = \"\\q\"",
            "attributes:AND",
        ] {
            let message = Filter::parse(wrong).unwrap_err();
            assert!(message.contains("character"), "{wrong}: {message}");
        }
        let deep = format!("{}attributes:a{}", "(".repeat(120), ")".repeat(120));
        assert!(Filter::parse(&deep).unwrap_err().contains("nested"));
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_harm(text in "[a-z:.=!\"()\\\\ -]{0,40}|.{0,40}|(attributes|NOT|AND|OR|[ :.=!\"()a-]){0,20}") {
            let _parsed = Filter::parse(&text);
        }
    }
}
