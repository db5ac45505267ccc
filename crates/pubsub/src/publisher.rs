//! Publishing to one topic: gathers messages into requests, has several in flight, repeats what may be repeated.

use crate::backoff::{Backoff, publish_is_retried};
use crate::batcher::{Batch, Batcher, Limits};
use crate::client::{Client, is_refused, random, route, senseless};
use crate::clock;
use crate::error::{Error, ErrorKind, Result, Target};
use crate::names::TopicName;
use crate::proto::{PublishRequest, PubsubMessage};
use crate::tasks;
use prost::Message as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinSet;
use tonic::Request;

/// Largest message, and largest request, that Google takes.
pub const MESSAGE_BYTES_MAX: usize = 10_000_000;
/// What a message costs in a request beside its own bytes: its tag and its length.
const MESSAGE_OVERHEAD_BYTES: usize = 6;
/// How long a request is repeated, in microseconds, as in Google's clients.
const GIVE_UP_US: i64 = 600_000_000;
/// For a service that refuses connections.
const REFUSED_GIVE_UP_US: i64 = 60_000_000;
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
/// Bytes that are handed over at once, about.
const PART_BYTES: usize = 1 << 20;
/// Parts of calls of [`Publisher::publish`] that wait to be gathered.
const PARTS_QUEUED_MAX: usize = 64;

/// How messages are gathered.
#[derive(Clone, Copy, Debug)]
pub struct PublisherOptions {
    /// Messages of a request.
    pub messages_max: usize,
    /// Bytes of a request.
    pub bytes_max: usize,
    /// How long a message waits for others while a request is on its way; otherwise it does not wait.
    pub delay_max: Duration,
    /// Requests without an answer yet.
    pub requests_in_flight_max: usize,
    /// Bytes taken and not answered yet; more must wait.
    pub bytes_in_flight_max: usize,
}

impl Default for PublisherOptions {
    fn default() -> Self {
        PublisherOptions {
            messages_max: 1000,
            bytes_max: 1_000_000,
            delay_max: Duration::from_millis(10),
            requests_in_flight_max: 16,
            bytes_in_flight_max: 64 << 20,
        }
    }
}

/// Publishes to one topic. All that are cloned from it share its bounds.
#[derive(Clone, Debug)]
pub struct Publisher {
    calls: mpsc::Sender<Call>,
    room: Arc<Semaphore>,
    failure: Failure,
}

/// The first failure.
type Failure = Arc<Mutex<Option<Error>>>;

#[derive(Debug)]
enum Call {
    Publish(Vec<PubsubMessage>),
    Flush(oneshot::Sender<()>),
}

impl Publisher {
    /// A publisher to a topic. Whether the topic exists shows at the first request, or by
    /// [`Client::get_topic`].
    ///
    /// # Errors
    /// If threads cannot be started.
    pub fn new(client: &Client, topic: &TopicName, options: PublisherOptions) -> Result<Self> {
        let (calls, queue) = mpsc::channel(PARTS_QUEUED_MAX);
        // Whatever is handed over must fit at once: a part, and one message more.
        let room_bytes =
            options.bytes_in_flight_max.clamp(PART_BYTES + 2 * MESSAGE_BYTES_MAX, u32::MAX as usize);
        let room = Arc::new(Semaphore::new(room_bytes));
        let failure = Failure::default();
        let gatherer = Gatherer {
            client: client.clone(),
            topic: topic.clone(),
            requests_max: options.requests_in_flight_max.max(1),
            batcher: Batcher::new(Limits {
                messages_max: options.messages_max.clamp(1, 1000),
                bytes_max: options.bytes_max.clamp(1, MESSAGE_BYTES_MAX),
                delay_us_max: clock::micros(options.delay_max),
            }),
            in_flight: JoinSet::new(),
            room: room.clone(),
            failure: failure.clone(),
            flushes: Vec::new(),
        };
        drop(tasks::spawn(gatherer.run(queue))?);
        Ok(Publisher { calls, room, failure })
    }

    /// Takes messages, as soon as there is room for them. A failure shows in a later call, or in
    /// [`Publisher::flush`].
    ///
    /// # Errors
    /// An earlier failure; a message that no service takes.
    pub async fn publish(&self, messages: Vec<PubsubMessage>) -> Result<()> {
        self.check()?;
        for m in &messages {
            check_message(m).map_err(|why| Error::new(ErrorKind::Refused, why))?;
        }
        // In parts, so that a large call has room in turn.
        let (mut part, mut bytes) = (Vec::new(), 0);
        for message in messages {
            bytes += size(&message);
            part.push(message);
            if bytes >= PART_BYTES {
                self.hand_over(std::mem::take(&mut part), bytes).await?;
                bytes = 0;
            }
        }
        if part.is_empty() { Ok(()) } else { self.hand_over(part, bytes).await }
    }

    async fn hand_over(&self, part: Vec<PubsubMessage>, bytes: usize) -> Result<()> {
        let wanted = u32::try_from(bytes).unwrap_or(u32::MAX);
        // The gatherer gives the room back when the messages are answered.
        self.room.acquire_many(wanted).await.map_err(|_| gone())?.forget();
        self.calls.send(Call::Publish(part)).await.map_err(|_| gone())
    }

    /// Waits until all that was taken has been answered.
    ///
    /// # Errors
    /// The first failure since the last flush.
    pub async fn flush(&self) -> Result<()> {
        let (done, wait) = oneshot::channel();
        self.calls.send(Call::Flush(done)).await.map_err(|_| gone())?;
        wait.await.map_err(|_| gone())?;
        self.check()
    }

    fn check(&self) -> Result<()> {
        match &*self.failure.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(e) => Err(e.clone()),
            None => Ok(()),
        }
    }
}

fn gone() -> Error {
    Error::new(ErrorKind::Internal, "the publisher has stopped")
}

fn size(m: &PubsubMessage) -> usize {
    m.encoded_len() + MESSAGE_OVERHEAD_BYTES
}

/// Says why no service would take a message: Google's limits
/// (<https://cloud.google.com/pubsub/quotas#resource_limits>).
///
/// # Errors
/// What is wrong with it, and the limit.
pub fn check_message(m: &PubsubMessage) -> std::result::Result<(), String> {
    check_message_with(m, 0, 0)
}

/// As [`check_message`], for a message that will be given so many further attributes, which take so many bytes.
///
/// # Errors
/// What is wrong with it, and the limit.
pub fn check_message_with(
    m: &PubsubMessage,
    more_attributes: usize,
    more_bytes: usize,
) -> std::result::Result<(), String> {
    const ATTRIBUTES_MAX: usize = 100;
    const KEY_BYTES_MAX: usize = 256;
    const VALUE_BYTES_MAX: usize = 1024;
    if m.data.is_empty() && m.attributes.is_empty() && more_attributes == 0 {
        return Err("the message has neither a payload nor attributes, and needs one of them".to_owned());
    }
    if m.data.len() > MESSAGE_BYTES_MAX || size(m) + more_bytes > MESSAGE_BYTES_MAX {
        let bytes = m.encoded_len() + more_bytes;
        return Err(format!("the message has {bytes} bytes, and at most {MESSAGE_BYTES_MAX} are allowed"));
    }
    if m.attributes.len() + more_attributes > ATTRIBUTES_MAX {
        let n = m.attributes.len() + more_attributes;
        return Err(format!("the message has {n} attributes, and at most {ATTRIBUTES_MAX} are allowed"));
    }
    if m.ordering_key.len() > VALUE_BYTES_MAX {
        let n = m.ordering_key.len();
        return Err(format!("the ordering key has {n} bytes, and at most {VALUE_BYTES_MAX} are allowed"));
    }
    for (k, v) in &m.attributes {
        if k.is_empty() {
            return Err("an attribute has an empty key".to_owned());
        }
        if k.starts_with("goog") {
            return Err(format!("the attribute `{k}` begins with `goog`, which is Google's own"));
        }
        if k.len() > KEY_BYTES_MAX {
            let n = k.len();
            return Err(format!(
                "the key of an attribute has {n} bytes, and at most {KEY_BYTES_MAX} are allowed"
            ));
        }
        if v.len() > VALUE_BYTES_MAX {
            let n = v.len();
            return Err(format!(
                "the attribute `{k}` has {n} bytes, and at most {VALUE_BYTES_MAX} are allowed"
            ));
        }
    }
    Ok(())
}

/// What one request came to.
struct Answer {
    key: String,
    bytes: usize,
    result: Result<()>,
}

/// The task behind a publisher.
struct Gatherer {
    client: Client,
    topic: TopicName,
    requests_max: usize,
    batcher: Batcher<PubsubMessage>,
    in_flight: JoinSet<Answer>,
    room: Arc<Semaphore>,
    failure: Failure,
    flushes: Vec<oneshot::Sender<()>>,
}

impl Gatherer {
    async fn run(mut self, mut queue: mpsc::Receiver<Call>) {
        let mut open = true;
        while open || !self.batcher.is_empty() || !self.in_flight.is_empty() {
            if self.in_flight.is_empty() && queue.is_empty() {
                // Nobody gains by waiting. Messages gather while a request is on its way.
                self.batcher.flush();
            }
            self.send();
            self.tell_flushes();
            let wait = self.batcher.next_due().map(|due| {
                Duration::from_micros(due.saturating_sub(clock::monotonic_us()).max(0).unsigned_abs())
            });
            tokio::select! { biased;
                Some(answer) = self.in_flight.join_next() => self.settle(answer),
                call = queue.recv(), if open => match call {
                    Some(call) => self.take(call),
                    // All publishers are gone: what they left is still sent.
                    None => { open = false; self.batcher.flush(); }
                },
                () = clock::sleep(wait.unwrap_or_default()), if wait.is_some() => {
                    self.batcher.tick(clock::monotonic_us());
                }
            }
        }
        self.tell_flushes();
    }

    fn take(&mut self, call: Call) {
        match call {
            Call::Flush(done) => {
                self.batcher.flush();
                self.flushes.push(done);
            }
            Call::Publish(part) => {
                let now = clock::monotonic_us();
                for message in part {
                    let (bytes, key) = (size(&message), message.ordering_key.clone());
                    self.batcher.push(&key, message, bytes, now);
                }
            }
        }
    }

    /// Starts requests.
    fn send(&mut self) {
        while self.in_flight.len() < self.requests_max
            && let Some(Batch { key, items: messages, bytes }) = self.batcher.pop()
        {
            let (client, topic) = (self.client.clone(), self.topic.clone());
            let request = PublishRequest { topic: topic.to_string(), messages };
            self.in_flight
                .spawn(async move { Answer { result: publish(&client, &topic, request).await, key, bytes } });
        }
    }

    fn settle(&mut self, answer: Result<Answer, tokio::task::JoinError>) {
        let Ok(Answer { key, bytes, result }) = answer else {
            self.fail(Error::new(ErrorKind::Internal, "a request to publish broke down"));
            return;
        };
        self.batcher.answered(&key);
        self.room.add_permits(bytes);
        if let Err(e) = result {
            self.fail(e);
        }
    }

    /// Remembers a failure, and gives up what has not been sent: its order would be broken, and the caller must
    /// send it again anyway.
    fn fail(&mut self, e: Error) {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(e);
        for batch in self.batcher.give_up() {
            self.room.add_permits(batch.bytes);
        }
    }

    fn tell_flushes(&mut self) {
        if self.batcher.is_empty() && self.in_flight.is_empty() {
            // Who does not wait any more need not be told.
            self.flushes.drain(..).for_each(|f| f.send(()).unwrap_or_default());
        }
    }
}

/// Sends one request, as often as needed.
async fn publish(client: &Client, topic: &TopicName, request: PublishRequest) -> Result<()> {
    let target = Target::from(topic);
    let messages = request.messages.len();
    let mut backoff = Backoff::new(100_000, 10_000_000, GIVE_UP_US);
    let began = clock::monotonic_us();
    loop {
        // Payloads are shared, not copied.
        let mut sent = Request::new(request.clone());
        sent.set_timeout(REQUEST_TIMEOUT);
        route(&mut sent, &target);
        let status = match client.publisher().publish(sent).await {
            Ok(answer) => {
                let ids = answer.into_inner().message_ids;
                if ids.len() == messages {
                    return Ok(());
                }
                return Err(senseless(&format!("{messages} messages with {} ids", ids.len())));
            }
            Err(status) => status,
        };
        let waited = clock::monotonic_us() - began;
        let hopeless = is_refused(&status) && waited >= REFUSED_GIVE_UP_US;
        match backoff.failed(waited, random()).filter(|_| publish_is_retried(status.code()) && !hopeless) {
            Some(us) => clock::sleep(Duration::from_micros(us.unsigned_abs())).await,
            None => return Err(client.error("publish to", &target, &status)),
        }
    }
}
