//! `purlin topics`.

use super::args::{TopicsArgs, TopicsCommand};
use super::{Service, ask, duration, finish, labels, show};
use crate::cli::Exit;
use crate::cli::output::Output;
use purlin_api::Result;
use purlin_pubsub::proto::Topic;
use serde_json::Value;

pub(crate) fn topics(args: &TopicsArgs, out: &mut Output) -> Exit {
    finish(run(args, out), out)
}

fn run(args: &TopicsArgs, out: &mut Output) -> Result<()> {
    let service = Service::open(&args.service)?;
    let client = &service.client;
    match &args.command {
        TopicsCommand::Create { topics, labels: pairs, message_retention_duration } => {
            for name in topics {
                let topic = Topic {
                    name: service.topic(name)?.to_string(),
                    labels: labels(pairs),
                    message_retention_duration: message_retention_duration.map(duration),
                    ..Topic::default()
                };
                let made = ask(client.create_topic(topic))?;
                show::done(out, "created topic", &made.name, &show::topic(&made));
            }
        }
        TopicsCommand::List => {
            let all = ask(client.list_topics(service.project()?))?;
            show::list(out, all.iter().map(show::topic).collect());
        }
        TopicsCommand::Describe { topic } => {
            let found = ask(client.get_topic(&service.topic(topic)?))?;
            show::one(out, &show::topic(&found));
        }
        TopicsCommand::ListSubscriptions { topic } => {
            let names = ask(client.list_topic_subscriptions(&service.topic(topic)?))?;
            show::list(out, names.into_iter().map(|n| serde_json::json!({"name": n})).collect());
        }
        TopicsCommand::Delete { topics } => {
            for name in topics {
                let name = service.topic(name)?;
                ask(client.delete_topic(&name))?;
                show::done(out, "deleted topic", name.as_str(), &Value::Null);
            }
        }
    }
    Ok(())
}
