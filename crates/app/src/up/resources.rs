//! The topics and subscriptions that a pipeline needs: declared in its `x-purlin: resources:`, or named by its
//! transforms.

use purlin_spec::config::{Config, FromNode, Spanned};
use purlin_spec::model::Spec;
use purlin_spec::types::Duration;
use purlin_spec::{Diagnostic, Diagnostics, Node, Span};
use std::collections::BTreeMap;

purlin_spec::config! {
    /// The topics and subscriptions that a pipeline needs, under `x-purlin: resources:`.
    pub struct Resources {
        /// Topics, by name or with settings.
        pub topics: Vec<Topic> = Vec::new(),
        /// Subscriptions.
        pub subscriptions: Vec<Subscription> = Vec::new(),
    }
}

purlin_spec::config! {
    /// A topic with settings.
    pub struct TopicSettings {
        /// `orders`, or `projects/PROJECT/topics/orders`.
        pub name: Option<Spanned<String>>,
        /// How long messages stay, also those that every subscription has acknowledged.
        pub message_retention_duration: Option<Duration>,
    }
}

purlin_spec::config! {
    /// A subscription. What is not written is left as it is, or as the service makes it.
    pub struct Subscription {
        /// `orders-pipeline`, or `projects/PROJECT/subscriptions/orders-pipeline`.
        pub name: Option<Spanned<String>>,
        /// Its topic.
        pub topic: Option<Spanned<String>>,
        /// After how long a message that is not acknowledged comes again, 10 s to 10 min.
        pub ack_deadline: Option<Spanned<Duration>>,
        /// Deliver only messages whose attributes pass.
        pub filter: Option<String>,
        /// The topic for messages that were delivered too often. It is made, too.
        pub dead_letter_topic: Option<Spanned<String>>,
        /// How often that is, 5 to 100.
        pub max_delivery_attempts: Option<Spanned<i64>>,
        /// Deliver messages of one ordering key in the order of publishing.
        pub enable_message_ordering: Option<bool>,
        /// What was acknowledged never comes again.
        pub enable_exactly_once_delivery: Option<bool>,
        /// How long undelivered messages stay.
        pub message_retention_duration: Option<Duration>,
        /// Keep acknowledged messages too, so that a seek finds them.
        pub retain_acked_messages: Option<bool>,
        /// Send messages to this HTTP address instead of waiting to be asked.
        pub push_endpoint: Option<String>,
    }
}

/// A topic: a name, or a mapping.
#[derive(Clone, Debug)]
pub struct Topic {
    /// Its name, short or in full.
    pub name: String,
    /// Where it stands.
    pub span: Span,
    /// How long messages stay.
    pub retention: Option<Duration>,
}

impl FromNode for Topic {
    fn kind() -> purlin_spec::Kind {
        purlin_spec::Kind::AnyOf(vec![
            purlin_spec::Kind::Text,
            purlin_spec::Kind::Struct(TopicSettings::fields()),
        ])
    }

    fn from_node(node: &Node, d: &mut Diagnostics) -> Option<Self> {
        if let Some(name) = node.as_text() {
            return Some(Topic { name: name.to_owned(), span: node.span, retention: None });
        }
        let settings = TopicSettings::from_node(node, d)?;
        let name = needed(settings.name, "a topic", "name", node, d)?;
        Some(Topic { name: name.value, span: name.span, retention: settings.message_retention_duration })
    }
}

fn needed<T>(value: Option<T>, what: &str, key: &str, node: &Node, d: &mut Diagnostics) -> Option<T> {
    if value.is_none() {
        d.push(Diagnostic::error("resources/missing", node.span, format!("{what} needs `{key}:`")));
    }
    value
}

/// What pipelines need of Pub/Sub.
#[derive(Clone, Debug, Default)]
pub struct Needs {
    /// Topics that are made if they are not there, by name.
    pub topics: BTreeMap<String, Option<Duration>>,
    /// Subscriptions that are made if they are not there.
    pub subscriptions: Vec<Subscription>,
    /// What is read and declared nowhere: it must be there.
    pub read: Vec<Reading>,
}

/// A topic or a subscription that a transform reads and that nobody declared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// True for a topic, false for a subscription.
    pub is_topic: bool,
    /// Its name as written.
    pub name: String,
    /// The transform.
    pub by: String,
    /// The file.
    pub file: String,
}

/// Reads the declarations of a file, and says what is wrong with them.
pub fn declared(spec: &Spec, d: &mut Diagnostics) -> Resources {
    let node = spec.x_purlin.as_ref().and_then(|x| x.get("resources")).filter(|n| !n.is_null());
    let Some(node) = node else { return Resources { topics: Vec::new(), subscriptions: Vec::new() } };
    let resources = Resources::from_node(node, d);
    let resources = resources.unwrap_or(Resources { topics: Vec::new(), subscriptions: Vec::new() });
    for topic in &resources.topics {
        name(&topic.name, topic.span, true, d);
    }
    let nodes = node.get("subscriptions").and_then(Node::as_list).unwrap_or_default();
    for (s, node) in resources.subscriptions.iter().zip(nodes) {
        if needed(s.name.as_ref(), "a subscription", "name", node, d).is_some()
            && let Some(given) = &s.name
        {
            name(&given.value, given.span, false, d);
        }
        needed(s.topic.as_ref(), "a subscription", "topic", node, d);
        for topic in s.topic.iter().chain(&s.dead_letter_topic) {
            name(&topic.value, topic.span, true, d);
        }
        check(s, node, d);
    }
    resources
}

fn check(s: &Subscription, node: &Node, d: &mut Diagnostics) {
    if let Some(deadline) = &s.ack_deadline
        && !(10_000_000..=600_000_000).contains(&deadline.value.micros())
    {
        d.push(Diagnostic::error("resources/range", deadline.span, "`ack_deadline` is 10 s to 10 min"));
    }
    if let Some(attempts) = &s.max_delivery_attempts {
        if !(5..=100).contains(&attempts.value) {
            d.push(Diagnostic::error(
                "resources/range",
                attempts.span,
                "`max_delivery_attempts` is 5 to 100",
            ));
        }
        if s.dead_letter_topic.is_none() {
            d.push(
                Diagnostic::error(
                    "resources/missing",
                    node.span,
                    "`max_delivery_attempts` says when messages go to a `dead_letter_topic`, which is not given",
                )
                .help("add `dead_letter_topic: TOPIC`"),
            );
        }
    }
}

/// Names are completed only when it is known where the service is; their form is checked here.
fn name(text: &str, span: Span, is_topic: bool, d: &mut Diagnostics) {
    const ANY_PROJECT: Option<&str> = Some("project");
    let wrong = if is_topic {
        purlin_pubsub::TopicName::parse(text, ANY_PROJECT).err()
    } else {
        purlin_pubsub::SubscriptionName::parse(text, ANY_PROJECT).err()
    };
    if let Some(e) = wrong {
        d.push(Diagnostic::error("pubsub/name", span, e.to_string()));
    }
}

impl Needs {
    /// Adds those of a file.
    pub fn add(&mut self, file: &str, spec: &Spec) {
        // What is wrong with them was said when the file was loaded.
        let resources = declared(spec, &mut Diagnostics::default());
        for topic in resources.topics {
            let retention = self.topics.entry(topic.name).or_default();
            *retention = retention.take().or(topic.retention);
        }
        for s in resources.subscriptions {
            for topic in s.topic.iter().chain(&s.dead_letter_topic) {
                self.topics.entry(topic.value.clone()).or_default();
            }
            self.subscriptions.push(s);
        }
        for leaf in &spec.leaves {
            let text = |key: &str| leaf.config.get(key).and_then(Node::as_text).map(str::to_owned);
            let reading =
                |is_topic, name| Reading { is_topic, name, by: leaf.label(), file: file.to_owned() };
            match leaf.type_name.value.as_str() {
                "WriteToPubSub" => {
                    if let Some(topic) = text("topic") {
                        self.topics.entry(topic).or_default();
                    }
                }
                "ReadFromPubSub" => {
                    self.read.extend(text("subscription").map(|n| reading(false, n)));
                    self.read.extend(text("topic").map(|n| reading(true, n)));
                }
                _ => {}
            }
        }
    }

    /// True if Pub/Sub is not used at all.
    pub fn is_empty(&self) -> bool {
        self.topics.is_empty() && self.subscriptions.is_empty() && self.read.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use purlin_spec::FieldDef;

    /// What editors are told is what is read.
    #[test]
    fn the_json_schema_has_the_same_keys() {
        let schema = purlin_spec::schema::schema(&crate::catalog().vocabulary());
        let resources = &schema["properties"]["x-purlin"]["properties"]["resources"]["properties"];
        let keys = |v: &serde_json::Value| -> Vec<String> {
            v.as_object().map(|o| o.keys().cloned().collect()).unwrap_or_default()
        };
        let names =
            |fields: Vec<FieldDef>| -> Vec<String> { fields.iter().map(|f| f.name.to_owned()).collect() };
        let sorted = |mut v: Vec<String>| {
            v.sort();
            v
        };
        for (described, read) in [
            (resources, Resources::fields()),
            (&resources["topics"]["items"]["anyOf"][1]["properties"], TopicSettings::fields()),
            (&resources["subscriptions"]["items"]["properties"], Subscription::fields()),
        ] {
            assert_eq!(sorted(keys(described)), sorted(names(read)));
        }
    }
}
