//! `purlin broker` is killed under load: what was answered is there afterwards.

use crate::scratch::Scratch;
use pubsub_proto::google::pubsub::v1 as pb;
use pubsub_proto::google::pubsub::v1::publisher_client::PublisherClient;
use pubsub_proto::google::pubsub::v1::subscriber_client::SubscriberClient;
use std::collections::{HashMap, HashSet};
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, LockResult, Mutex, MutexGuard};
use std::time::Duration;
use tokio::sync::Notify;
use tonic::transport::{Channel, Endpoint};

const TOPIC: &str = "projects/p/topics/orders";
/// Acknowledged while the broker is being killed; exactly-once.
const BUSY: &str = "projects/p/subscriptions/busy";
/// Looked at only at the end.
const QUIET: &str = "projects/p/subscriptions/quiet";

struct Broker {
    process: Child,
    address: String,
}

impl Broker {
    fn start(scratch: &Scratch) -> Broker {
        let mut process = Command::new(env!("CARGO_BIN_EXE_purlin"))
            .args(["broker", "--listen", "127.0.0.1:0", "--data", "data"])
            .current_dir(scratch.path())
            .stdout(Stdio::piped())
            .spawn()
            .expect("purlin runs");
        let mut said = BufReader::new(process.stdout.take().expect("its output"));
        let mut line = String::new();
        said.read_line(&mut line).expect("a line");
        let address = line.split(['"', ' ', ',']).find(|w| w.starts_with("127.0.0.1:"));
        let address = address.unwrap_or_else(|| panic!("no address in {line:?}")).to_owned();
        Broker { process, address }
    }

    async fn connect(&self) -> Channel {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.address)).expect("an address");
        endpoint.connect().await.expect("a connection")
    }

    /// SIGKILL: no handler, nothing is flushed.
    fn kill(mut self) {
        self.process.kill().expect("a process that can be killed");
        self.process.wait().expect("its end");
    }
}

/// What clients know.
#[derive(Debug, Default)]
struct Known {
    next: u64,
    /// Publishing them was answered, with this id.
    published: HashMap<u64, String>,
    received: HashSet<u64>,
    /// Acknowledging them was answered.
    acked: HashSet<u64>,
    /// Came although acknowledging them had been answered.
    came_back: Vec<u64>,
}

/// What clients know, and a bell that rings when they know more.
#[derive(Debug, Default)]
struct Clients {
    known: Mutex<Known>,
    more: Notify,
}

type Shared = Arc<Clients>;

impl Clients {
    fn lock(&self) -> LockResult<MutexGuard<'_, Known>> {
        self.known.lock()
    }

    /// Waits until so many more have been published, and half of that acknowledged.
    async fn busy(&self, more: usize) {
        let counts = |known: &Known| (known.published.len(), known.acked.len());
        let (published, acked) = counts(&self.lock().unwrap());
        loop {
            let rings = self.more.notified();
            let now = counts(&self.lock().unwrap());
            if now.0 >= published + more && now.1 >= acked + more / 2 {
                return;
            }
            rings.await;
        }
    }
}

async fn publish(channel: Channel, known: Shared) {
    let mut client = PublisherClient::new(channel);
    loop {
        let numbers: Vec<u64> = {
            let mut known = known.lock().unwrap();
            known.next += 20;
            (known.next - 20..known.next).collect()
        };
        let message = |n: &u64| pb::PubsubMessage { data: n.to_string().into(), ..Default::default() };
        let messages = numbers.iter().map(message).collect();
        let request = pb::PublishRequest { topic: TOPIC.to_owned(), messages };
        // It is killed at some time.
        let Ok(response) = client.publish(request).await else { return };
        let ids = response.into_inner().message_ids;
        assert_eq!(ids.len(), numbers.len());
        known.lock().unwrap().published.extend(numbers.into_iter().zip(ids));
        known.more.notify_waiters();
    }
}

/// Pulls once and acknowledges. How many came; `None` if the broker is gone.
async fn pull(client: &mut SubscriberClient<Channel>, subscription: &str, known: &Shared) -> Option<usize> {
    let request =
        pb::PullRequest { subscription: subscription.to_owned(), max_messages: 500, ..Default::default() };
    let received = client.pull(request).await.ok()?.into_inner().received_messages;
    let mut ack_ids = Vec::new();
    let mut numbers = Vec::new();
    {
        let mut known = known.lock().unwrap();
        for received in received {
            let data = received.message.expect("a message").data;
            let number = String::from_utf8_lossy(&data).parse().expect("a number");
            if known.acked.contains(&number) {
                known.came_back.push(number);
            }
            known.received.insert(number);
            numbers.push(number);
            ack_ids.push(received.ack_id);
        }
    }
    let count = numbers.len();
    if count > 0 {
        let request = pb::AcknowledgeRequest { subscription: subscription.to_owned(), ack_ids };
        // Some may have expired, which says nothing about the others: only a plain success counts.
        match client.acknowledge(request).await {
            Ok(_) => {
                known.lock().unwrap().acked.extend(numbers);
                known.more.notify_waiters();
            }
            Err(status) if status.code() == tonic::Code::FailedPrecondition => {}
            Err(_) => return None,
        }
    }
    Some(count)
}

async fn create(channel: Channel) {
    let topic = pb::Topic { name: TOPIC.to_owned(), ..Default::default() };
    PublisherClient::new(channel.clone()).create_topic(topic).await.expect("a topic");
    for (name, exactly_once) in [(BUSY, true), (QUIET, false)] {
        let subscription = pb::Subscription {
            name: name.to_owned(),
            topic: TOPIC.to_owned(),
            ack_deadline_seconds: 10,
            enable_exactly_once_delivery: exactly_once,
            ..Default::default()
        };
        SubscriberClient::new(channel.clone()).create_subscription(subscription).await.expect("one");
    }
}

/// Pulls until everything that was published is there.
async fn drain(channel: Channel, subscription: &str, known: &Shared) {
    let mut client = SubscriberClient::new(channel);
    let missing = |known: &Known| known.published.keys().filter(|n| !known.received.contains(n)).count();
    let mut quiet = 0;
    while missing(&known.lock().unwrap()) > 0 {
        let count = pull(&mut client, subscription, known).await.expect("a broker");
        quiet = if count == 0 { quiet + 1 } else { 0 };
        // Leases from before the kill do not outlive the broker, so nothing has to be waited for.
        let known = known.lock().unwrap();
        assert!(quiet < 50, "{} of {} are lost", missing(&known), known.published.len());
    }
}

#[test]
fn what_was_answered_survives_kill_9() {
    let scratch = Scratch::new();
    let known = Shared::default();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    for round in 0..4 {
        let broker = Broker::start(&scratch);
        runtime.block_on(async {
            let channel = broker.connect().await;
            if round == 0 {
                create(channel.clone()).await;
            }
            let mut tasks = Vec::new();
            for _ in 0..3 {
                tasks.push(runtime.spawn(publish(channel.clone(), known.clone())));
            }
            for _ in 0..2 {
                let (known, channel) = (known.clone(), channel.clone());
                tasks.push(runtime.spawn(async move {
                    let mut client = SubscriberClient::new(channel);
                    while pull(&mut client, BUSY, &known).await.is_some() {}
                }));
            }
            let busy = known.busy(1000 + 700 * round);
            tokio::time::timeout(Duration::from_secs(60), busy).await.expect("load on the broker");
            broker.kill();
            for task in tasks {
                task.await.expect("a task that ends with the broker");
            }
        });
    }
    let broker = Broker::start(&scratch);
    runtime.block_on(async {
        let channel = broker.connect().await;
        drain(channel.clone(), BUSY, &known).await;
        // A subscription that nobody has looked at yet has everything too.
        let quiet = Shared::default();
        quiet.lock().unwrap().published.clone_from(&known.lock().unwrap().published);
        drain(channel, QUIET, &quiet).await;
    });
    let known = known.lock().unwrap();
    assert_eq!(known.came_back, [0_u64; 0], "acknowledged, answered, and delivered again");
    assert!(known.published.len() > 1000 && known.acked.len() > 1000, "too little load to show anything");
    let ids: HashSet<&String> = known.published.values().collect();
    assert_eq!(ids.len(), known.published.len(), "message ids are unique, also over restarts");
    broker.kill();
}
