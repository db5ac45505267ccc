//! Topics, subscriptions, snapshots: making, looking up, changing, removing; and single pulls for the command
//! line.

use crate::client::{Client, senseless, unique};
use crate::error::{ErrorKind, Result, Target};
use crate::names::{SnapshotName, SubscriptionName, TopicName};
use crate::proto as p;
use prost_types::FieldMask;
use std::time::Duration;
use tonic::{Code, Response};

/// Names a page of a listing asks for.
const PAGE_SIZE: i32 = 1000;
/// Pages of a listing that are read at most.
const PAGES_MAX: usize = 10_000;

impl From<&TopicName> for Target {
    fn from(n: &TopicName) -> Self {
        Target::Topic(n.as_str().to_owned())
    }
}

impl From<&SubscriptionName> for Target {
    fn from(n: &SubscriptionName) -> Self {
        Target::Subscription(n.as_str().to_owned())
    }
}

impl From<&SnapshotName> for Target {
    fn from(n: &SnapshotName) -> Self {
        Target::Snapshot(n.as_str().to_owned())
    }
}

/// Which fields an update changes.
fn mask(paths: &[&str]) -> Option<FieldMask> {
    Some(FieldMask { paths: paths.iter().map(|s| (*s).to_owned()).collect() })
}

/// Calls about topics. All fail with what the service said, on which resource, and what to do.
impl Client {
    /// Makes a topic; `topic.name` is its full name.
    ///
    /// # Errors
    /// Among others `AlreadyExists`.
    pub async fn create_topic(&self, topic: p::Topic) -> Result<p::Topic> {
        let target = Target::Topic(topic.name.clone());
        self.call("create", target, topic, |c, q| async move { c.publisher().create_topic(q).await }).await
    }

    /// Looks a topic up.
    ///
    /// # Errors
    /// Among others `NotFound`.
    pub async fn get_topic(&self, name: &TopicName) -> Result<p::Topic> {
        let q = p::GetTopicRequest { topic: name.to_string() };
        self.call("find", name.into(), q, |c, q| async move { c.publisher().get_topic(q).await }).await
    }

    /// Changes the fields of a topic that `paths` names.
    ///
    /// # Errors
    /// What the service refuses.
    pub async fn update_topic(&self, topic: p::Topic, paths: &[&str]) -> Result<p::Topic> {
        let target = Target::Topic(topic.name.clone());
        let q = p::UpdateTopicRequest { topic: Some(topic), update_mask: mask(paths) };
        self.call("change", target, q, |c, q| async move { c.publisher().update_topic(q).await }).await
    }

    /// Removes a topic; its subscriptions stay.
    ///
    /// # Errors
    /// Among others `NotFound`.
    pub async fn delete_topic(&self, name: &TopicName) -> Result<()> {
        let q = p::DeleteTopicRequest { topic: name.to_string() };
        self.call("delete", name.into(), q, |c, q| async move { c.publisher().delete_topic(q).await }).await
    }

    /// All topics of a project.
    ///
    /// # Errors
    /// What the service refuses.
    pub async fn list_topics(&self, project: &str) -> Result<Vec<p::Topic>> {
        let (client, project) = (self.clone(), format!("projects/{project}"));
        all_pages(|page_token| {
            let (client, target) = (client.clone(), Target::Project(project.clone()));
            let q = p::ListTopicsRequest { project: project.clone(), page_size: PAGE_SIZE, page_token };
            async move {
                let page =
                    client
                        .call("list topics of", target, q, |c, q| async move {
                            c.publisher().list_topics(q).await
                        })
                        .await?;
                Ok((page.topics, page.next_page_token))
            }
        })
        .await
    }

    /// The names of all subscriptions of a topic.
    ///
    /// # Errors
    /// What the service refuses.
    pub async fn list_topic_subscriptions(&self, topic: &TopicName) -> Result<Vec<String>> {
        let (client, topic) = (self.clone(), topic.to_string());
        all_pages(|page_token| {
            let (client, topic) = (client.clone(), topic.clone());
            let target = Target::Topic(topic.clone());
            let q = p::ListTopicSubscriptionsRequest { topic, page_size: PAGE_SIZE, page_token };
            async move {
                let page = client
                    .call("list subscriptions of", target, q, |c, q| async move {
                        c.publisher().list_topic_subscriptions(q).await
                    })
                    .await?;
                Ok((page.subscriptions, page.next_page_token))
            }
        })
        .await
    }

    /// Publishes one request as it is and answers the ids, without gathering: for the command line.
    ///
    /// # Errors
    /// What the service refuses.
    pub async fn publish_once(
        &self,
        topic: &TopicName,
        messages: Vec<p::PubsubMessage>,
    ) -> Result<Vec<String>> {
        let q = p::PublishRequest { topic: topic.to_string(), messages };
        let answer = self
            .call("publish to", topic.into(), q, |c, q| async move { c.publisher().publish(q).await })
            .await?;
        Ok(answer.message_ids)
    }
}

/// Calls about subscriptions.
impl Client {
    /// Makes a subscription; `subscription.name` and `.topic` are full names.
    ///
    /// # Errors
    /// Among others `AlreadyExists`, and `NotFound` for the topic.
    pub async fn create_subscription(&self, subscription: p::Subscription) -> Result<p::Subscription> {
        // What can be missing is the topic.
        let target = Target::Topic(subscription.topic.clone());
        self.call("subscribe to", target, subscription, |c, q| async move {
            c.subscriber().create_subscription(q).await
        })
        .await
    }

    /// Makes a subscription that nobody else has, for one reader of a topic. The service removes it after a
    /// day without readers, should nobody do it before.
    ///
    /// # Errors
    /// Among others `NotFound` for the topic.
    pub async fn create_temporary_subscription(&self, topic: &TopicName) -> Result<SubscriptionName> {
        self.create_expiring(topic, &format!("purlin-{}", unique()), 1).await
    }

    /// The subscription of this id to a topic, in the topic's project, which is made unless it is there, and goes away
    /// when nobody has read it for a month; and whether it was made.
    ///
    /// # Errors
    /// What the service refuses.
    pub async fn kept_subscription(&self, topic: &TopicName, id: &str) -> Result<(SubscriptionName, bool)> {
        match self.create_expiring(topic, id, 31).await {
            Err(e) if e.kind() == ErrorKind::AlreadyExists => {
                Ok((SubscriptionName::parse(id, Some(topic.project()))?, false))
            }
            other => Ok((other?, true)),
        }
    }

    async fn create_expiring(&self, topic: &TopicName, id: &str, days: i64) -> Result<SubscriptionName> {
        const DAY_SECONDS: i64 = 86_400;
        let name = SubscriptionName::parse(id, Some(topic.project()))?;
        self.create_subscription(p::Subscription {
            name: name.to_string(),
            topic: topic.to_string(),
            ack_deadline_seconds: 60,
            expiration_policy: Some(p::ExpirationPolicy {
                ttl: Some(prost_types::Duration { seconds: days * DAY_SECONDS, nanos: 0 }),
            }),
            ..Default::default()
        })
        .await?;
        Ok(name)
    }

    /// Looks a subscription up.
    ///
    /// # Errors
    /// Among others `NotFound`.
    pub async fn get_subscription(&self, name: &SubscriptionName) -> Result<p::Subscription> {
        let q = p::GetSubscriptionRequest { subscription: name.to_string() };
        self.call("find", name.into(), q, |c, q| async move { c.subscriber().get_subscription(q).await })
            .await
    }

    /// Changes the fields of a subscription that `paths` names.
    ///
    /// # Errors
    /// What the service refuses.
    pub async fn update_subscription(&self, s: p::Subscription, paths: &[&str]) -> Result<p::Subscription> {
        let target = Target::Subscription(s.name.clone());
        let q = p::UpdateSubscriptionRequest { subscription: Some(s), update_mask: mask(paths) };
        self.call("change", target, q, |c, q| async move { c.subscriber().update_subscription(q).await })
            .await
    }

    /// Removes a subscription with all that it still holds.
    ///
    /// # Errors
    /// Among others `NotFound`.
    pub async fn delete_subscription(&self, name: &SubscriptionName) -> Result<()> {
        let q = p::DeleteSubscriptionRequest { subscription: name.to_string() };
        self.call("delete", name.into(), q, |c, q| async move { c.subscriber().delete_subscription(q).await })
            .await
    }

    /// All subscriptions of a project.
    ///
    /// # Errors
    /// What the service refuses.
    pub async fn list_subscriptions(&self, project: &str) -> Result<Vec<p::Subscription>> {
        let (client, project) = (self.clone(), format!("projects/{project}"));
        all_pages(|page_token| {
            let (client, target) = (client.clone(), Target::Project(project.clone()));
            let q =
                p::ListSubscriptionsRequest { project: project.clone(), page_size: PAGE_SIZE, page_token };
            async move {
                let page = client
                    .call("list subscriptions of", target, q, |c, q| async move {
                        c.subscriber().list_subscriptions(q).await
                    })
                    .await?;
                Ok((page.subscriptions, page.next_page_token))
            }
        })
        .await
    }

    /// Takes at most so many messages, waiting at most so long for the first; none is an empty list.
    ///
    /// # Errors
    /// What the service refuses.
    pub async fn pull_once(
        &self,
        name: &SubscriptionName,
        max: i32,
        wait: Duration,
    ) -> Result<Vec<p::ReceivedMessage>> {
        let q = p::PullRequest { subscription: name.to_string(), max_messages: max, ..Default::default() };
        let answer = self.call("pull from", name.into(), q, move |c, mut q| async move {
            q.set_timeout(wait);
            c.subscriber().pull(q).await.or_else(|status| match status.code() {
                // The wait was over, here or there.
                Code::DeadlineExceeded | Code::Cancelled => Ok(Response::new(p::PullResponse::default())),
                _ => Err(status),
            })
        });
        Ok(answer.await?.received_messages)
    }

    /// Acknowledges by id.
    ///
    /// # Errors
    /// What the service refuses.
    pub async fn acknowledge_once(&self, name: &SubscriptionName, ack_ids: Vec<String>) -> Result<()> {
        let q = p::AcknowledgeRequest { subscription: name.to_string(), ack_ids };
        self.call("acknowledge on", name.into(), q, |c, q| async move { c.subscriber().acknowledge(q).await })
            .await
    }

    /// Sets deadlines by id; 0 seconds gives messages back at once.
    ///
    /// # Errors
    /// What the service refuses.
    pub async fn modify_ack_deadline_once(
        &self,
        name: &SubscriptionName,
        ack_ids: Vec<String>,
        ack_deadline_seconds: i32,
    ) -> Result<()> {
        let q = p::ModifyAckDeadlineRequest { subscription: name.to_string(), ack_ids, ack_deadline_seconds };
        self.call("extend leases on", name.into(), q, |c, q| async move {
            c.subscriber().modify_ack_deadline(q).await
        })
        .await
    }

    /// Sets a subscription to a time (seconds and nanoseconds since 1970) or a snapshot.
    ///
    /// # Errors
    /// What the service refuses.
    pub async fn seek(&self, name: &SubscriptionName, to: p::seek_request::Target) -> Result<()> {
        let q = p::SeekRequest { subscription: name.to_string(), target: Some(to) };
        self.call("seek", name.into(), q, |c, q| async move { c.subscriber().seek(q).await }).await?;
        Ok(())
    }

    /// Ends what a subscription gets from its topic.
    ///
    /// # Errors
    /// What the service refuses.
    pub async fn detach_subscription(&self, name: &SubscriptionName) -> Result<()> {
        let q = p::DetachSubscriptionRequest { subscription: name.to_string() };
        self.call("detach", name.into(), q, |c, q| async move { c.publisher().detach_subscription(q).await })
            .await?;
        Ok(())
    }
}

/// Calls about snapshots.
impl Client {
    /// Remembers what a subscription has not acknowledged yet.
    ///
    /// # Errors
    /// Among others `NotFound` for the subscription.
    pub async fn create_snapshot(&self, name: &SnapshotName, of: &SubscriptionName) -> Result<p::Snapshot> {
        let (snapshot, subscription) = (name.to_string(), of.to_string());
        let q = p::CreateSnapshotRequest { name: snapshot, subscription, ..Default::default() };
        self.call("take a snapshot of", of.into(), q, |c, q| async move {
            c.subscriber().create_snapshot(q).await
        })
        .await
    }

    /// Looks a snapshot up.
    ///
    /// # Errors
    /// Among others `NotFound`.
    pub async fn get_snapshot(&self, name: &SnapshotName) -> Result<p::Snapshot> {
        let q = p::GetSnapshotRequest { snapshot: name.to_string() };
        self.call("find", name.into(), q, |c, q| async move { c.subscriber().get_snapshot(q).await }).await
    }

    /// Removes a snapshot.
    ///
    /// # Errors
    /// Among others `NotFound`.
    pub async fn delete_snapshot(&self, name: &SnapshotName) -> Result<()> {
        let q = p::DeleteSnapshotRequest { snapshot: name.to_string() };
        self.call("delete", name.into(), q, |c, q| async move { c.subscriber().delete_snapshot(q).await })
            .await
    }

    /// All snapshots of a project.
    ///
    /// # Errors
    /// What the service refuses.
    pub async fn list_snapshots(&self, project: &str) -> Result<Vec<p::Snapshot>> {
        let (client, project) = (self.clone(), format!("projects/{project}"));
        all_pages(|page_token| {
            let (client, target) = (client.clone(), Target::Project(project.clone()));
            let q = p::ListSnapshotsRequest { project: project.clone(), page_size: PAGE_SIZE, page_token };
            async move {
                let page = client
                    .call("list snapshots of", target, q, |c, q| async move {
                        c.subscriber().list_snapshots(q).await
                    })
                    .await?;
                Ok((page.snapshots, page.next_page_token))
            }
        })
        .await
    }
}

/// Asks for page after page. `page` is given a token and answers what is on its page, and the token of the next.
async fn all_pages<T, F>(page: impl Fn(String) -> F) -> Result<Vec<T>>
where
    F: Future<Output = Result<(Vec<T>, String)>>,
{
    let (mut all, mut token) = (Vec::new(), String::new());
    for _ in 0..PAGES_MAX {
        let (some, next) = page(token).await?;
        all.extend(some);
        if next.is_empty() {
            return Ok(all);
        }
        token = next;
    }
    Err(senseless("with pages without end"))
}
