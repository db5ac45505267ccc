//! What the broker carries: messages a second, and how long one takes from publishing to delivery.
//!
//! `cargo run --release -p purlin-broker --example load -- throughput [seconds] [folder]`
//! `cargo run --release -p purlin-broker --example load -- start [folder]`
//! `cargo run --release -p purlin-broker --example load -- latency MESSAGES_A_SECOND [seconds] [folder]`
//!
//! The broker runs in a process of its own, on the folder given (a new one without), with everything durable.
//! Messages have 150 bytes. `bench/broker.sh` runs all.

#![allow(
    clippy::disallowed_methods,
    reason = "a measurement reads the clock and starts tasks; nothing here is part of the broker"
)]
#![allow(clippy::print_stdout, reason = "the measurement is the output")]

use std::error::Error;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use pubsub_proto::google::pubsub::v1 as pb;
use pubsub_proto::google::pubsub::v1::publisher_client::PublisherClient;
use pubsub_proto::google::pubsub::v1::subscriber_client::SubscriberClient;
use tokio::sync::{Semaphore, mpsc};
use tonic::codegen::tokio_stream::Stream;
use tonic::transport::{Channel, Endpoint};

type Failure = Box<dyn Error + Send + Sync>;

const TOPIC: &str = "projects/bench/topics/load";
const SUBSCRIPTION: &str = "projects/bench/subscriptions/load";
const MESSAGE_BYTES: usize = 150;
/// Messages of a publish request when nothing limits the rate: as many as the API allows.
const BATCH: usize = 1000;
const PUBLISHERS: usize = 2;
/// Requests that a publisher has in flight.
const IN_FLIGHT: usize = 4;
const STREAMS: usize = 2;
/// Messages that a stream may have unacknowledged.
const OUTSTANDING: i64 = 20_000;

fn main() -> Result<(), Failure> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let arg = |i: usize| args.get(i).map(String::as_str);
    let number = |i: usize, default: u64| arg(i).map_or(Ok(default), str::parse);
    match arg(0) {
        Some("serve") => serve(Path::new(arg(1).ok_or("which folder?")?)),
        Some("throughput") => {
            let seconds = number(1, 10)?;
            measure(arg(2), async move |load| throughput(load, seconds).await)
        }
        Some("latency") => {
            let (rate, seconds) = (number(1, 1000)?, number(2, 10)?);
            measure(arg(3), async move |load| latency(load, rate, seconds).await)
        }
        Some("start") => measure(arg(1), async |_| Ok(())),
        _ => Err(
            "start [folder], throughput [seconds] [folder], or latency MESSAGES_A_SECOND [seconds] [folder]"
                .into(),
        ),
    }
}

/// Runs a broker until its standard input ends.
fn serve(folder: &Path) -> Result<(), Failure> {
    let options = purlin_broker::Options::new(([127, 0, 0, 1], 0).into(), folder);
    let report: purlin_broker::Report = Arc::new(|text: &str| println!("{text}"));
    let broker = purlin_broker::Broker::start(&options, report)?;
    println!("{}", broker.address());
    std::io::stdin().read_to_end(&mut Vec::new())?;
    broker.stop();
    Ok(())
}

/// A broker in another process, and how to reach it.
struct Load {
    broker: Child,
    _said: BufReader<ChildStdout>,
    address: String,
}

impl Load {
    async fn connect(&self) -> Result<Channel, Failure> {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.address))?;
        let endpoint = endpoint.initial_stream_window_size(4 << 20).initial_connection_window_size(16 << 20);
        Ok(endpoint.tcp_nodelay(true).connect().await?)
    }

    /// Seconds of processor time that the broker has taken, and its memory in MiB.
    fn cost(&self) -> (f64, f64) {
        let read = |what: &str| std::fs::read_to_string(format!("/proc/{}/{what}", self.broker.id()));
        let stat = read("stat").unwrap_or_default();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks = |i: usize| fields.get(i).and_then(|n| n.parse::<f64>().ok()).unwrap_or(0.0);
        let statm = read("statm").unwrap_or_default();
        let pages: f64 = statm.split(' ').nth(1).and_then(|n| n.parse().ok()).unwrap_or(0.0);
        ((ticks(11) + ticks(12)) / 100.0, pages * 4096.0 / f64::from(1 << 20))
    }
}

fn measure(
    folder: Option<&str>,
    what: impl AsyncFnOnce(Arc<Load>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let name = format!("purlin-load-{}", std::process::id());
    let folder = folder.map_or_else(|| std::env::temp_dir().join(name), PathBuf::from);
    let start = Instant::now();
    let mut broker = Command::new(std::env::current_exe()?)
        .arg("serve")
        .arg(&folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut said = BufReader::new(broker.stdout.take().ok_or("no output")?);
    let mut address = String::new();
    // What it reports comes first.
    while !address.starts_with("127.") {
        address.clear();
        if said.read_line(&mut address)? == 0 {
            return Err("the broker does not start".into());
        }
    }
    let address = address.trim().to_owned();
    let started = start.elapsed().as_secs_f64() * 1e3;
    let load = Arc::new(Load { broker, _said: said, address });
    println!("start    {started:>10.1} ms, {:.1} MiB", load.cost().1);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let done = runtime.block_on(async {
        set_up(&load).await?;
        what(load.clone()).await
    });
    drop(runtime);
    let mut load = Arc::into_inner(load).ok_or("a task still runs")?;
    drop(load.broker.stdin.take());
    load.broker.wait()?;
    done
}

async fn set_up(load: &Load) -> Result<(), Failure> {
    let channel = load.connect().await?;
    let topic = pb::Topic { name: TOPIC.to_owned(), ..Default::default() };
    let made = PublisherClient::new(channel.clone()).create_topic(topic).await;
    let there = |status: &tonic::Status| status.code() == tonic::Code::AlreadyExists;
    if let Some(status) = made.err().filter(|s| !there(s)) {
        return Err(status.into());
    }
    let subscription =
        pb::Subscription { name: SUBSCRIPTION.to_owned(), topic: TOPIC.to_owned(), ..Default::default() };
    let made = SubscriberClient::new(channel).create_subscription(subscription).await;
    if let Some(status) = made.err().filter(|s| !there(s)) {
        return Err(status.into());
    }
    Ok(())
}

/// What all tasks count.
#[derive(Debug, Default)]
struct Counts {
    published: AtomicU64,
    delivered: AtomicU64,
    /// Publishing has ended.
    ended: AtomicBool,
}

impl Counts {
    fn is_done(&self) -> bool {
        self.ended.load(Ordering::Acquire)
            && self.delivered.load(Ordering::Acquire) >= self.published.load(Ordering::Acquire)
    }
}

/// The requests of a stream.
struct Requests(mpsc::Receiver<pb::StreamingPullRequest>);

impl Stream for Requests {
    type Item = pb::StreamingPullRequest;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_recv(context)
    }
}

/// Pulls and acknowledges until everything that was published is there. `look` sees each message.
async fn pull(load: Arc<Load>, counts: Arc<Counts>, mut look: impl FnMut(&[u8])) -> Result<(), Failure> {
    let mut client = SubscriberClient::new(load.connect().await?).max_decoding_message_size(64 << 20);
    let (send, requests) = mpsc::channel(64);
    let first = pb::StreamingPullRequest {
        subscription: SUBSCRIPTION.to_owned(),
        stream_ack_deadline_seconds: 60,
        max_outstanding_messages: OUTSTANDING,
        ..Default::default()
    };
    send.send(first).await?;
    let mut responses = client.streaming_pull(Requests(requests)).await?.into_inner();
    while !counts.is_done() {
        // The other stream may have had the last message.
        let waited = tokio::time::timeout(Duration::from_millis(100), responses.message()).await;
        let Ok(response) = waited else { continue };
        let Some(response) = response? else { break };
        let received = response.received_messages;
        if received.is_empty() {
            continue;
        }
        received.iter().filter_map(|r| r.message.as_ref()).for_each(|m| look(&m.data));
        counts.delivered.fetch_add(received.len() as u64, Ordering::AcqRel);
        let ack_ids = received.into_iter().map(|r| r.ack_id).collect();
        send.send(pb::StreamingPullRequest { ack_ids, ..Default::default() }).await?;
    }
    Ok(())
}

async fn throughput(load: Arc<Load>, seconds: u64) -> Result<(), Failure> {
    let counts = Arc::new(Counts::default());
    let until = Instant::now() + Duration::from_secs(seconds);
    let before = load.cost().0;
    let start = Instant::now();
    let mut pulls = Vec::new();
    for _ in 0..STREAMS {
        pulls.push(tokio::spawn(pull(load.clone(), counts.clone(), |_| {})));
    }
    let mut publishers = Vec::new();
    for _ in 0..PUBLISHERS {
        let channel = load.connect().await?;
        for _ in 0..IN_FLIGHT {
            let (channel, counts) = (channel.clone(), counts.clone());
            publishers.push(tokio::spawn(async move {
                let mut client = PublisherClient::new(channel);
                let data = Bytes::from(vec![b'x'; MESSAGE_BYTES]);
                while Instant::now() < until {
                    publish(&mut client, std::iter::repeat_n(data.clone(), BATCH)).await?;
                    counts.published.fetch_add(BATCH as u64, Ordering::AcqRel);
                }
                Ok::<(), Failure>(())
            }));
        }
    }
    for publisher in publishers {
        publisher.await??;
    }
    let publishing = start.elapsed().as_secs_f64();
    counts.ended.store(true, Ordering::Release);
    for pull in pulls {
        pull.await??;
    }
    let all = start.elapsed().as_secs_f64();
    let (cpu, memory) = load.cost();
    let published = counts.published.load(Ordering::Acquire) as f64;
    let delivered = counts.delivered.load(Ordering::Acquire) as f64;
    println!("publish  {:>10.0} messages/s for {publishing:.1} s", published / publishing);
    println!(
        "deliver  {:>10.0} messages/s for {all:.1} s, {:.2} times each",
        delivered / all,
        delivered / published
    );
    println!("together {:>10.0} messages/s in and out", (published + delivered) / all);
    println!(
        "broker   {:>10.2} s of CPU a million messages, {memory:.0} MiB",
        (cpu - before) / published * 1e6
    );
    Ok(())
}

async fn publish(
    client: &mut PublisherClient<Channel>,
    data: impl Iterator<Item = Bytes>,
) -> Result<(), Failure> {
    let messages = data.map(|data| pb::PubsubMessage { data, ..Default::default() }).collect();
    client.publish(pb::PublishRequest { topic: TOPIC.to_owned(), messages }).await?;
    Ok(())
}

async fn latency(load: Arc<Load>, rate: u64, seconds: u64) -> Result<(), Failure> {
    let counts = Arc::new(Counts::default());
    let start = Instant::now();
    let (tell, mut told) = mpsc::channel(1);
    let puller = {
        let (load, counts) = (load.clone(), counts.clone());
        tokio::spawn(async move {
            let mut micros = Vec::new();
            let look = |data: &[u8]| {
                let sent = data.first_chunk::<8>().map_or(0, |b| u64::from_le_bytes(*b));
                micros.push((start.elapsed().as_micros() as u64).saturating_sub(sent));
            };
            let pulled = pull(load, counts, look).await;
            tell.send(micros).await.map_err(|_| "nobody listens")?;
            pulled
        })
    };
    let channel = load.connect().await?;
    // As clients do: what comes within a millisecond goes together.
    let batch = rate.div_ceil(1000);
    let mut ticks = tokio::time::interval(Duration::from_secs_f64(batch as f64 / rate as f64));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Burst);
    let in_flight = Arc::new(Semaphore::new(1000));
    let mut tasks = Vec::new();
    for _ in 0..rate * seconds / batch {
        ticks.tick().await;
        let permit = in_flight.clone().acquire_owned().await?;
        let (mut client, counts) = (PublisherClient::new(channel.clone()), counts.clone());
        let mut data = vec![b'x'; MESSAGE_BYTES];
        if let Some(head) = data.first_chunk_mut::<8>() {
            *head = (start.elapsed().as_micros() as u64).to_le_bytes();
        }
        let data = Bytes::from(data);
        counts.published.fetch_add(batch, Ordering::AcqRel);
        tasks.push(tokio::spawn(async move {
            let done = publish(&mut client, std::iter::repeat_n(data, batch as usize)).await;
            drop(permit);
            done
        }));
    }
    for task in tasks {
        task.await??;
    }
    counts.ended.store(true, Ordering::Release);
    puller.await??;
    let mut micros = told.recv().await.ok_or("no latencies")?;
    micros.sort_unstable();
    let at = |part: f64| micros.get((micros.len() as f64 * part) as usize).copied().unwrap_or(0) as f64 / 1e3;
    let reached = micros.len() as f64 / start.elapsed().as_secs_f64();
    println!(
        "latency  {:>10.2} ms p50, {:.2} p90, {:.2} p99, {:.2} p99.9 at {rate}/s ({reached:.0}/s reached)",
        at(0.5),
        at(0.9),
        at(0.99),
        at(0.999)
    );
    Ok(())
}
