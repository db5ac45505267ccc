//! `purlin subscriptions`.

use super::args::{CreateSubscription, SubscriptionsArgs, SubscriptionsCommand};
use super::{Service, ask, duration, finish, labels, ours, show};
use crate::cli::Exit;
use crate::cli::output::Output;
use purlin_api::{Error, ErrorKind, Result};
use purlin_pubsub::SnapshotName;
use purlin_pubsub::prost_types::Timestamp;
use purlin_pubsub::proto::seek_request::Target;
use purlin_pubsub::proto::{DeadLetterPolicy, PushConfig, RetryPolicy, Subscription};
use serde_json::Value;

pub(crate) fn subscriptions(args: &SubscriptionsArgs, out: &mut Output) -> Exit {
    finish(run(args, out), out)
}

fn run(args: &SubscriptionsArgs, out: &mut Output) -> Result<()> {
    let service = Service::open(&args.service)?;
    let client = &service.client;
    match &args.command {
        SubscriptionsCommand::Create(wanted) => {
            let made = ask(client.create_subscription(definition(&service, wanted)?))?;
            show::done(out, "created subscription", &made.name, &show::subscription(&made));
        }
        SubscriptionsCommand::List => {
            let all = ask(client.list_subscriptions(service.project()?))?;
            show::list(out, all.iter().map(show::subscription).collect());
        }
        SubscriptionsCommand::Describe { subscription } => {
            let found = ask(client.get_subscription(&service.subscription(subscription)?))?;
            show::one(out, &show::subscription(&found));
        }
        SubscriptionsCommand::Delete { subscriptions } => {
            for name in subscriptions {
                let name = service.subscription(name)?;
                ask(client.delete_subscription(&name))?;
                show::done(out, "deleted subscription", name.as_str(), &Value::Null);
            }
        }
        SubscriptionsCommand::Seek { subscription, time, snapshot } => {
            let name = service.subscription(subscription)?;
            let target = match (time, snapshot) {
                (Some(text), _) => Target::Time(timestamp(text)?),
                (None, Some(s)) => {
                    let snapshot = SnapshotName::parse(s, service.project.as_deref()).map_err(ours)?;
                    Target::Snapshot(snapshot.to_string())
                }
                (None, None) => return Err(Error::new(ErrorKind::Config, "seek to --time or --snapshot?")),
            };
            ask(client.seek(&name, target))?;
            show::done(out, "moved subscription", name.as_str(), &Value::Null);
        }
    }
    Ok(())
}

fn definition(service: &Service, c: &CreateSubscription) -> Result<Subscription> {
    let dead_letter_policy = match &c.dead_letter_topic {
        None => None,
        Some(topic) => Some(DeadLetterPolicy {
            dead_letter_topic: service.topic(topic)?.to_string(),
            // 0 lets the service choose.
            max_delivery_attempts: c.max_delivery_attempts.unwrap_or(0),
        }),
    };
    let retries = c.min_retry_delay.is_some() || c.max_retry_delay.is_some();
    Ok(Subscription {
        name: service.subscription(&c.subscription)?.to_string(),
        topic: service.topic(&c.topic)?.to_string(),
        ack_deadline_seconds: c.ack_deadline,
        message_retention_duration: c.message_retention_duration.map(duration),
        retain_acked_messages: c.retain_acked_messages,
        enable_message_ordering: c.enable_message_ordering,
        enable_exactly_once_delivery: c.enable_exactly_once_delivery,
        filter: c.message_filter.clone(),
        push_config: c
            .push_endpoint
            .as_ref()
            .map(|url| PushConfig { push_endpoint: url.clone(), ..PushConfig::default() }),
        dead_letter_policy,
        retry_policy: retries.then(|| RetryPolicy {
            minimum_backoff: c.min_retry_delay.map(duration),
            maximum_backoff: c.max_retry_delay.map(duration),
        }),
        labels: labels(&c.labels),
        ..Subscription::default()
    })
}

fn timestamp(text: &str) -> Result<Timestamp> {
    let time: jiff::Timestamp = text.parse().map_err(|e| {
        Error::new(
            ErrorKind::Config,
            format!("--time wants a time such as 2024-03-05T12:00:00Z, found `{text}`: {e}"),
        )
    })?;
    let nanos = time.as_nanosecond();
    Ok(Timestamp {
        seconds: i64::try_from(nanos.div_euclid(1_000_000_000)).unwrap_or(i64::MAX),
        nanos: i32::try_from(nanos.rem_euclid(1_000_000_000)).unwrap_or(0),
    })
}
