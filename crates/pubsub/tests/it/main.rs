//! The client against Purlin's own broker.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test fails by these

use purlin_broker::{Broker, Options};
use purlin_pubsub::credentials::Credentials;
use purlin_pubsub::proto::{PubsubMessage, Subscription, Topic};
use purlin_pubsub::{
    Address, Client, Deliveries, ErrorKind, Publisher, PublisherOptions, Subscriber, SubscriberOptions,
    SubscriptionName, TopicName, block_on, clock,
};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

fn broker(listen: SocketAddr, data: &Path) -> Broker {
    let options =
        Options { listen, data: data.to_owned(), token: None, push_token: None, open: false, tls: None };
    Broker::start(&options, Arc::new(|_: &str| {})).expect("a broker starts")
}

struct Bench {
    client: Client,
    topic: TopicName,
    name: SubscriptionName,
    address: SocketAddr,
    broker: Option<Broker>,
    data: tempfile::TempDir,
}

impl Bench {
    fn new(change: impl FnOnce(&mut Subscription)) -> Self {
        let data = tempfile::tempdir().unwrap();
        let broker = broker(([127, 0, 0, 1], 0).into(), data.path());
        let address = broker.address();
        let client = client(address);
        let topic = TopicName::parse("orders", Some("shop")).unwrap();
        let name = SubscriptionName::parse("readers", Some("shop")).unwrap();
        let mut subscription =
            Subscription { name: name.to_string(), topic: topic.to_string(), ..Subscription::default() };
        change(&mut subscription);
        let (c, t) = (client.clone(), topic.clone());
        block_on(async move {
            c.create_topic(Topic { name: t.to_string(), ..Topic::default() }).await?;
            c.create_subscription(subscription).await
        })
        .unwrap();
        Bench { client, topic, name, address, broker: Some(broker), data }
    }

    fn subscriber(&self, options: SubscriberOptions) -> Arc<Subscriber> {
        Arc::new(Subscriber::start(&self.client, &self.name, options).unwrap())
    }

    fn publish(&self, messages: Vec<PubsubMessage>) {
        let publisher = Publisher::new(&self.client, &self.topic, PublisherOptions::default()).unwrap();
        block_on(async move {
            publisher.publish(messages).await?;
            publisher.flush().await
        })
        .unwrap();
    }
}

fn client(address: SocketAddr) -> Client {
    let address = Address::resolve(Some(&address.to_string()), None).unwrap();
    Client::connect(address, Credentials::None).unwrap()
}

fn messages(texts: impl IntoIterator<Item = String>) -> Vec<PubsubMessage> {
    texts
        .into_iter()
        .map(|t| PubsubMessage { data: t.into_bytes().into(), ..PubsubMessage::default() })
        .collect()
}

fn next(s: &Arc<Subscriber>, wait: Duration) -> Option<Deliveries> {
    let s = s.clone();
    block_on(async move { s.next(wait).await }).unwrap()
}

/// Takes until so many have come.
fn take(s: &Arc<Subscriber>, count: usize) -> Vec<Deliveries> {
    let mut all = Vec::new();
    while all.iter().map(|d: &Deliveries| d.messages.len()).sum::<usize>() < count {
        all.push(next(s, Duration::from_secs(90)).expect("messages come"));
    }
    all
}

fn texts(all: &[Deliveries]) -> Vec<String> {
    let texts = all.iter().flat_map(|d| &d.messages);
    texts.map(|m| String::from_utf8(m.message.data.to_vec()).unwrap()).collect()
}

fn ack(s: &Arc<Subscriber>, all: &[Deliveries]) {
    let (s, ranges) = (s.clone(), all.iter().map(Deliveries::all).collect::<Vec<_>>());
    block_on(async move {
        s.ack(&ranges).await?;
        s.flush().await
    })
    .unwrap();
}

/// Waits until something is true.
fn until(what: &str, is: impl Fn() -> bool) {
    let began = clock::monotonic_us();
    while !is() {
        assert!(clock::monotonic_us() - began < 60_000_000, "{what} did not come to pass");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

const SOON: Duration = Duration::from_millis(300);

#[test]
fn what_is_published_arrives_once_and_is_acknowledged() {
    let b = Bench::new(|_| {});
    b.publish(messages((0..5000).map(|i| i.to_string())));
    let s = b.subscriber(SubscriberOptions::default());
    let all = take(&s, 5000);
    let mut got: Vec<usize> = texts(&all).iter().map(|t| t.parse().unwrap()).collect();
    got.sort_unstable();
    assert_eq!(got, (0..5000).collect::<Vec<_>>());
    assert_eq!(s.held(), 5000);
    let ids: BTreeSet<&str> =
        all.iter().flat_map(|d| &d.messages).map(|m| m.message.message_id.as_str()).collect();
    assert!(ids.len() == 5000 && !ids.contains(""), "each has an id of its own");
    ack(&s, &all);
    assert_eq!((s.held(), s.acks_failed()), (0, 0));
    block_on(async move { s.close().await }).unwrap();
    let again = b.subscriber(SubscriberOptions::default());
    assert!(next(&again, SOON).is_none());
}

#[test]
fn what_is_on_its_way_while_a_reader_closes_comes_again_at_once() {
    let b = Bench::new(|_| {});
    b.publish(messages((0..10_000).map(|i| i.to_string())));
    for _ in 0..4 {
        // The first messages are here, many more are between the service and us.
        let s =
            b.subscriber(SubscriberOptions { bytes_waiting_max: 100_000, ..SubscriberOptions::default() });
        assert!(next(&s, Duration::from_secs(10)).is_some());
        block_on(async move { s.close().await }).unwrap();
    }
    let began = clock::monotonic_us();
    let s = b.subscriber(SubscriberOptions::default());
    take(&s, 10_000);
    let seconds = (clock::monotonic_us() - began) / 1_000_000;
    assert!(seconds < 45, "no lease had to end first: they are a minute long, and this took {seconds} s");
}

#[test]
fn what_is_given_back_comes_again() {
    let b = Bench::new(|_| {});
    b.publish(messages(["a".to_owned(), "b".to_owned()]));
    let s = b.subscriber(SubscriberOptions::default());
    let first = take(&s, 2);
    // Closing gives back what is held.
    block_on(async move { s.close().await }).unwrap();
    let s = b.subscriber(SubscriberOptions::default());
    let second = take(&s, 2);
    let sorted = |all: &[Deliveries]| {
        let mut texts = texts(all);
        texts.sort();
        texts
    };
    assert_eq!(sorted(&first), sorted(&second));
    let (t, ranges) = (s.clone(), second.iter().map(Deliveries::all).collect::<Vec<_>>());
    block_on(async move { t.nack(&ranges).await }).unwrap();
    let third = take(&s, 2);
    assert_eq!(sorted(&third), sorted(&first));
    ack(&s, &third);
}

#[test]
fn leases_are_extended_while_messages_are_held() {
    let b = Bench::new(|s| s.ack_deadline_seconds = 10);
    b.publish(messages(["a".to_owned()]));
    let s = b.subscriber(SubscriberOptions { lease_seconds: 10, ..SubscriberOptions::default() });
    let all = take(&s, 1);
    assert!(next(&s, Duration::from_secs(13)).is_none(), "its lease ran out");
    ack(&s, &all);
    assert_eq!(s.acks_failed(), 0);
}

#[test]
fn keys_keep_their_order() {
    let b = Bench::new(|s| s.enable_message_ordering = true);
    let keyed = (0..300).map(|i| PubsubMessage {
        data: i.to_string().into_bytes().into(),
        ordering_key: (i % 3).to_string(),
        ..PubsubMessage::default()
    });
    b.publish(keyed.collect());
    let s = b.subscriber(SubscriberOptions::default());
    let mut seen: [Vec<usize>; 3] = Default::default();
    while seen.iter().map(Vec::len).sum::<usize>() < 300 {
        let all = take(&s, 1);
        for t in texts(&all) {
            let i: usize = t.parse().unwrap();
            seen[i % 3].push(i);
        }
        ack(&s, &all);
    }
    assert!(seen.iter().all(|s| s.is_sorted()), "{seen:?}");
}

#[test]
fn exactly_once_is_told_and_confirmed() {
    let b = Bench::new(|s| s.enable_exactly_once_delivery = true);
    b.publish(messages((0..100).map(|i| i.to_string())));
    let s = b.subscriber(SubscriberOptions::default());
    let all = take(&s, 100);
    assert!(s.exactly_once());
    ack(&s, &all);
    assert_eq!(s.acks_failed(), 0);
    assert!(next(&s, SOON).is_none());
}

#[test]
fn streams_are_opened_again_when_the_broker_comes_back() {
    let mut b = Bench::new(|_| {});
    let s = b.subscriber(SubscriberOptions::default());
    b.publish(messages(["before".to_owned()]));
    let all = take(&s, 1);
    ack(&s, &all);
    b.broker.take().unwrap().stop();
    assert!(next(&s, SOON).is_none());
    until("a closed stream, which says nothing of what there is", || s.quiet_since().is_none());
    b.broker = Some(broker(b.address, b.data.path()));
    b.publish(messages(["after".to_owned()]));
    assert_eq!(texts(&take(&s, 1)), ["after"]);
}

#[test]
fn silence_is_told_from_messages_that_wait() {
    let b = Bench::new(|_| {});
    let s = b.subscriber(SubscriberOptions::default());
    assert!(next(&s, SOON).is_none());
    let is_quiet = || s.quiet_since().is_some_and(|since| clock::now() - since >= 200_000);
    until("an open stream without messages", is_quiet);
    let since = s.quiet_since().expect("an open stream");
    b.publish(messages(["a".to_owned()]));
    let waits = s.clone();
    let came = block_on(async move {
        let until = async {
            while waits.quiet_since().is_some() {
                clock::sleep(Duration::from_millis(5)).await;
            }
        };
        Ok(clock::within(Duration::from_secs(20), until).await)
    });
    assert!(came.unwrap().is_some(), "one waits");
    take(&s, 1);
    assert!(s.quiet_since().is_some_and(|later| later > since));
}

#[test]
fn what_is_missing_is_said() {
    let b = Bench::new(|_| {});
    let other = SubscriptionName::parse("others", Some("shop")).unwrap();
    let s = Arc::new(Subscriber::start(&b.client, &other, SubscriberOptions::default()).unwrap());
    let e = block_on(async move { s.next(Duration::from_secs(20)).await }).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::NotFound);
    assert!(e.to_string().contains("`purlin subscriptions create projects/shop/subscriptions/others"), "{e}");
    let topic = TopicName::parse("nothing", Some("shop")).unwrap();
    let publisher = Publisher::new(&b.client, &topic, PublisherOptions::default()).unwrap();
    let e = block_on(async move {
        publisher.publish(messages(["a".to_owned()])).await?;
        publisher.flush().await
    })
    .unwrap_err();
    assert!(e.to_string().contains("cannot publish to topic `projects/shop/topics/nothing`"), "{e}");
}

#[test]
fn nobody_there_is_said_soon() {
    let client = client(([127, 0, 0, 1], 1).into());
    let topic = TopicName::parse("orders", Some("shop")).unwrap();
    let start = clock::monotonic_us();
    let e = block_on(async move { client.get_topic(&topic).await }).unwrap_err();
    assert!(
        e.to_string().contains("connection refused; is the broker running? start it with `purlin broker`"),
        "{e}"
    );
    assert!(clock::monotonic_us() - start < 10_000_000);
}

#[test]
fn a_token_does_not_travel_in_the_clear() {
    let address = Address::resolve(Some("broker.example:8085"), None).unwrap();
    let e = Client::connect(address, Credentials::Bearer("t".to_owned())).unwrap_err();
    assert!(e.to_string().contains("write https://"), "{e}");
}

#[test]
fn temporary_subscriptions_get_what_comes_later() {
    let b = Bench::new(|_| {});
    b.publish(messages(["early".to_owned()]));
    let (c, t) = (b.client.clone(), b.topic.clone());
    let name = block_on(async move { c.create_temporary_subscription(&t).await }).unwrap();
    b.publish(messages(["late".to_owned()]));
    let s = Arc::new(Subscriber::start(&b.client, &name, SubscriberOptions::default()).unwrap());
    assert_eq!(texts(&take(&s, 1)), ["late"]);
}
