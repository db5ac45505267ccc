//! Makes the topics and subscriptions that pipelines need, after saying what will be done.

use super::resources::{Needs, Reading, Subscription as Wanted};
use crate::cli::pubsub::{duration, ours};
use futures::executor::block_on;
use purlin_api::{Error, ErrorKind, Result};
use purlin_pubsub::proto::{DeadLetterPolicy, PushConfig, Subscription, Topic};
use purlin_pubsub::{Client, ErrorKind as Theirs, SubscriptionName, TopicName};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// What is to be done about a topic or a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It is not there and will be made.
    Create,
    /// It is there and will be changed.
    Change,
    /// It is there as it should be.
    Keep,
    /// It is there, and what differs cannot be changed.
    Conflict,
    /// It is read, is not there, and nobody says how to make it.
    Missing,
}

impl Action {
    fn sign(self) -> char {
        match self {
            Action::Create => '+',
            Action::Change => '~',
            Action::Keep => '=',
            Action::Conflict | Action::Missing => '!',
        }
    }

    fn name(self) -> &'static str {
        match self {
            Action::Create => "create",
            Action::Change => "change",
            Action::Keep => "keep",
            Action::Conflict => "conflict",
            Action::Missing => "missing",
        }
    }
}

/// One line of a plan.
#[derive(Clone, Debug)]
pub struct Step {
    /// What is to be done.
    pub action: Action,
    /// `topic` or `subscription`.
    pub kind: &'static str,
    /// Its full name.
    pub name: String,
    /// Settings, what changes, or what to write instead.
    pub detail: String,
    call: Option<Call>,
}

#[derive(Clone, Debug)]
enum Call {
    CreateTopic(Box<Topic>),
    UpdateTopic(Box<Topic>, Vec<&'static str>),
    CreateSubscription(Box<Subscription>),
    UpdateSubscription(Box<Subscription>, Vec<&'static str>),
}

/// Everything that is to be done, topics first.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// Its lines.
    pub steps: Vec<Step>,
}

impl Plan {
    /// Looks at the service and says what is to be done there.
    ///
    /// # Errors
    /// If the service does not answer, or a name is no name in this project.
    pub fn new(client: &Client, project: Option<&str>, needs: &Needs) -> Result<Self> {
        let (mut topics, mut subscriptions) = (BTreeMap::new(), BTreeMap::new());
        for (name, retention) in &needs.topics {
            let name = TopicName::parse(name, project).map_err(ours)?;
            if topics.contains_key(name.as_str()) {
                continue;
            }
            let retention = retention.map(|r| duration(r.micros()));
            topics.insert(name.to_string(), topic_step(client, &name, retention)?);
        }
        for wanted in &needs.subscriptions {
            let (Some(name), Some(topic)) = (&wanted.name, &wanted.topic) else { continue };
            let name = SubscriptionName::parse(&name.value, project).map_err(ours)?;
            let topic = TopicName::parse(&topic.value, project).map_err(ours)?;
            let step = subscription_step(client, &name, &topic, wanted, project)?;
            subscriptions.entry(name.to_string()).or_insert(step);
        }
        for read in &needs.read {
            let step = read_step(client, read, project)?;
            let steps = if read.is_topic { &mut topics } else { &mut subscriptions };
            steps.entry(step.name.clone()).or_insert(step);
        }
        Ok(Plan { steps: topics.into_values().chain(subscriptions.into_values()).collect() })
    }

    /// True if something would be made or changed.
    pub fn has_work(&self) -> bool {
        self.steps.iter().any(|s| s.call.is_some())
    }

    /// What is in the way: conflicts, and what is missing.
    pub fn problems(&self) -> impl Iterator<Item = &Step> {
        self.steps.iter().filter(|s| matches!(s.action, Action::Conflict | Action::Missing))
    }

    /// Does it. What somebody else made in between is as good.
    ///
    /// # Errors
    /// What the service refuses.
    pub fn carry_out(&self, client: &Client) -> Result<()> {
        for step in &self.steps {
            let made = match step.call.clone() {
                None => Ok(()),
                Some(Call::CreateTopic(t)) => block_on(client.create_topic(*t)).map(drop),
                Some(Call::UpdateTopic(t, paths)) => block_on(client.update_topic(*t, &paths)).map(drop),
                Some(Call::CreateSubscription(s)) => block_on(client.create_subscription(*s)).map(drop),
                Some(Call::UpdateSubscription(s, paths)) => {
                    block_on(client.update_subscription(*s, &paths)).map(drop)
                }
            };
            match made {
                Err(e) if e.kind() == Theirs::AlreadyExists => {}
                made => made.map_err(ours)?,
            }
        }
        Ok(())
    }

    /// A line for each step.
    pub fn to_text(&self) -> String {
        self.steps.iter().map(Step::to_text).collect()
    }

    /// For machines: `action kind name detail` of each step.
    pub fn to_json(&self) -> Value {
        let step =
            |s: &Step| json!({"action": s.action.name(), "kind": s.kind, "name": s.name, "detail": s.detail});
        self.steps.iter().map(step).collect()
    }
}

impl Step {
    /// One line, or some for what is missing.
    pub fn to_text(&self) -> String {
        let note = match self.action {
            Action::Keep => " exists".to_owned(),
            _ if self.detail.is_empty() => String::new(),
            _ => format!(": {}", self.detail),
        };
        format!("{} {} {}{note}\n", self.action.sign(), self.kind, self.name)
    }
}

/// `None` if it is not there.
fn found<T>(answer: purlin_pubsub::Result<T>) -> Result<Option<T>> {
    match answer {
        Ok(t) => Ok(Some(t)),
        Err(e) if e.kind() == Theirs::NotFound => Ok(None),
        Err(e) => Err(ours(e)),
    }
}

type Span = purlin_pubsub::prost_types::Duration;

fn topic_step(client: &Client, name: &TopicName, retention: Option<Span>) -> Result<Step> {
    let there = found(block_on(client.get_topic(name)))?;
    let wanted = Topic { name: name.to_string(), message_retention_duration: retention, ..Topic::default() };
    let (action, call) = match there {
        None => (Action::Create, Some(Call::CreateTopic(Box::new(wanted)))),
        Some(t) if retention.is_some() && t.message_retention_duration != retention => {
            let topic = Topic { message_retention_duration: retention, ..t };
            (Action::Change, Some(Call::UpdateTopic(Box::new(topic), vec!["message_retention_duration"])))
        }
        Some(_) => (Action::Keep, None),
    };
    let detail = if action == Action::Change { "message_retention_duration" } else { "" }.to_owned();
    Ok(Step { action, kind: "topic", name: name.to_string(), detail, call })
}

fn subscription_step(
    client: &Client,
    name: &SubscriptionName,
    topic: &TopicName,
    wanted: &Wanted,
    project: Option<&str>,
) -> Result<Step> {
    let there = found(block_on(client.get_subscription(name)))?;
    let step = |action, detail: String, call| Step {
        action,
        kind: "subscription",
        name: name.to_string(),
        detail,
        call,
    };
    let Some(there) = there else {
        let base =
            Subscription { name: name.to_string(), topic: topic.to_string(), ..Subscription::default() };
        let (new, _, _) = changed(&base, wanted, project)?;
        let detail = format!("of topic {topic}");
        return Ok(step(Action::Create, detail, Some(Call::CreateSubscription(Box::new(new)))));
    };
    let (new, paths, mut fixed) = changed(&there, wanted, project)?;
    if there.topic != topic.as_str() {
        fixed.insert(0, format!("it is a subscription of {}, not of {topic}", there.topic));
    }
    if !fixed.is_empty() {
        let detail =
            format!("{}; this cannot be changed: delete it first, or use another name", fixed.join("; "));
        return Ok(step(Action::Conflict, detail, None));
    }
    if paths.is_empty() {
        return Ok(step(Action::Keep, String::new(), None));
    }
    let detail = paths.join(", ");
    Ok(step(Action::Change, detail, Some(Call::UpdateSubscription(Box::new(new), paths))))
}

/// A subscription as it should be; the fields that change, and what differs and cannot be changed.
type Changes = (Subscription, Vec<&'static str>, Vec<String>);

fn changed(there: &Subscription, wanted: &Wanted, project: Option<&str>) -> Result<Changes> {
    let (mut new, mut paths, mut fixed) = (there.clone(), Vec::new(), Vec::new());
    if let Some(deadline) = &wanted.ack_deadline {
        // Checked when the file was read: at most 600.
        let seconds = i32::try_from(deadline.value.micros() / 1_000_000).unwrap_or(i32::MAX);
        set(&mut new.ack_deadline_seconds, seconds, "ack_deadline_seconds", &mut paths);
    }
    if let Some(retention) = wanted.message_retention_duration {
        let retention = Some(duration(retention.micros()));
        set(&mut new.message_retention_duration, retention, "message_retention_duration", &mut paths);
    }
    if let Some(retain) = wanted.retain_acked_messages {
        set(&mut new.retain_acked_messages, retain, "retain_acked_messages", &mut paths);
    }
    if let Some(once) = wanted.enable_exactly_once_delivery {
        set(&mut new.enable_exactly_once_delivery, once, "enable_exactly_once_delivery", &mut paths);
    }
    if let Some(url) = &wanted.push_endpoint
        && new.push_config.as_ref().map(|p| &p.push_endpoint) != Some(url)
    {
        new.push_config = Some(PushConfig { push_endpoint: url.clone(), ..PushConfig::default() });
        paths.push("push_config");
    }
    if let Some(topic) = &wanted.dead_letter_topic {
        let topic = TopicName::parse(&topic.value, project).map_err(ours)?.to_string();
        let before = new.dead_letter_policy.clone().unwrap_or_default();
        let attempts = wanted.max_delivery_attempts.as_ref();
        let attempts = attempts.map_or(before.max_delivery_attempts, |a| i32::try_from(a.value).unwrap_or(0));
        if before.dead_letter_topic != topic || before.max_delivery_attempts != attempts {
            // 0 lets the service choose.
            new.dead_letter_policy =
                Some(DeadLetterPolicy { dead_letter_topic: topic, max_delivery_attempts: attempts });
            paths.push("dead_letter_policy");
        }
    }
    if let Some(filter) = wanted.filter.as_ref().filter(|f| **f != there.filter) {
        fixed.push(format!("its filter is `{}`, not `{filter}`", there.filter));
        new.filter.clone_from(filter);
    }
    if let Some(order) = wanted.enable_message_ordering.filter(|o| *o != there.enable_message_ordering) {
        fixed.push(format!("enable_message_ordering is {}, not {order}", there.enable_message_ordering));
        new.enable_message_ordering = order;
    }
    Ok((new, paths, fixed))
}

fn set<T: PartialEq>(field: &mut T, value: T, path: &'static str, paths: &mut Vec<&'static str>) {
    if *field != value {
        *field = value;
        paths.push(path);
    }
}

fn read_step(client: &Client, read: &Reading, project: Option<&str>) -> Result<Step> {
    let (name, there) = if read.is_topic {
        let name = TopicName::parse(&read.name, project).map_err(ours)?;
        (name.to_string(), found(block_on(client.get_topic(&name)))?.is_some())
    } else {
        let name = SubscriptionName::parse(&read.name, project).map_err(ours)?;
        (name.to_string(), found(block_on(client.get_subscription(&name)))?.is_some())
    };
    let declare = if read.is_topic {
        format!("{{topics: [{}]}}", read.name)
    } else {
        format!("{{subscriptions: [{{name: {}, topic: TOPIC}}]}}", read.name)
    };
    let detail = format!(
        "`{}` reads it, it is not there, and nobody declares it; add to {}: `x-purlin: {{resources: {declare}}}`",
        read.by, read.file
    );
    Ok(Step {
        action: if there { Action::Keep } else { Action::Missing },
        kind: if read.is_topic { "topic" } else { "subscription" },
        name,
        detail: if there { String::new() } else { detail },
        call: None,
    })
}

/// Makes what pipelines need, for those who do not ask. Answers what was in the way.
///
/// # Errors
/// If the service does not answer, or refuses.
pub fn make(client: &Client, project: Option<&str>, needs: &Needs, told: impl Fn(&Step)) -> Result<()> {
    let plan = Plan::new(client, project, needs)?;
    plan.carry_out(client)?;
    plan.steps.iter().filter(|s| s.call.is_some()).for_each(&told);
    match plan.problems().map(|s| s.to_text().trim_end().to_owned()).collect::<Vec<_>>() {
        problems if problems.is_empty() => Ok(()),
        problems => Err(Error::new(ErrorKind::Config, problems.join("\n"))),
    }
}
