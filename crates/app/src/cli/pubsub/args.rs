//! What can be written after `topics`, `subscriptions`, `publish`, `pull` and `subscribe`: the words of
//! `gcloud pubsub`, where it has one.

use crate::cli::args::duration;
use clap::{Args, Subcommand};
use purlin_api::Micros;

/// Where the service is.
#[derive(Args, Clone, Debug, Default)]
pub struct ServiceArgs {
    /// The project of names that are not written in full (default: GOOGLE_CLOUD_PROJECT, else `local`).
    #[arg(long, value_name = "PROJECT", global = true)]
    pub project: Option<String>,
    /// Address of a broker or an emulator (default: PUBSUB_EMULATOR_HOST, else Google's service).
    #[arg(long, value_name = "HOST:PORT", global = true)]
    pub host: Option<String>,
}

/// `purlin topics`.
#[derive(Args, Debug)]
pub struct TopicsArgs {
    /// Where.
    #[command(flatten)]
    pub service: ServiceArgs,
    /// What to do.
    #[command(subcommand)]
    pub command: TopicsCommand,
}

/// The commands below `purlin topics`.
#[derive(Debug, Subcommand)]
pub enum TopicsCommand {
    /// Make topics.
    Create {
        /// Names: `orders`, or `projects/P/topics/orders`.
        #[arg(value_name = "TOPIC", required = true)]
        topics: Vec<String>,
        /// Labels, as `key=value,key=value`.
        #[arg(long, value_name = "KEY=VALUE", value_delimiter = ',', value_parser = pair)]
        labels: Vec<(String, String)>,
        /// How long messages stay, also those that every subscription has acknowledged.
        #[arg(long, value_name = "DURATION", value_parser = duration)]
        message_retention_duration: Option<Micros>,
    },
    /// Show all topics of the project.
    List,
    /// Show a topic.
    Describe {
        /// Its name.
        topic: String,
    },
    /// Show the subscriptions of a topic.
    ListSubscriptions {
        /// The topic's name.
        topic: String,
    },
    /// Remove topics; their subscriptions stay and get nothing more.
    Delete {
        /// Names.
        #[arg(value_name = "TOPIC", required = true)]
        topics: Vec<String>,
    },
}

/// `purlin subscriptions`.
#[derive(Args, Debug)]
pub struct SubscriptionsArgs {
    /// Where.
    #[command(flatten)]
    pub service: ServiceArgs,
    /// What to do.
    #[command(subcommand)]
    pub command: SubscriptionsCommand,
}

/// The commands below `purlin subscriptions`.
#[derive(Debug, Subcommand)]
pub enum SubscriptionsCommand {
    /// Make a subscription. It gets what is published from now on.
    Create(Box<CreateSubscription>),
    /// Show all subscriptions of the project.
    List,
    /// Show a subscription.
    Describe {
        /// Its name.
        subscription: String,
    },
    /// Remove subscriptions and what they have not delivered.
    Delete {
        /// Names.
        #[arg(value_name = "SUBSCRIPTION", required = true)]
        subscriptions: Vec<String>,
    },
    /// Go to a time or a snapshot: what lies after it is delivered (again), what lies before it is not.
    Seek {
        /// Its name.
        subscription: String,
        /// A time, as RFC 3339.
        #[arg(long, value_name = "TIME", required_unless_present = "snapshot", conflicts_with = "snapshot")]
        time: Option<String>,
        /// A snapshot's name.
        #[arg(long, value_name = "SNAPSHOT")]
        snapshot: Option<String>,
    },
}

/// `purlin subscriptions create`.
#[derive(Args, Debug)]
pub struct CreateSubscription {
    /// Its name: `orders`, or `projects/P/subscriptions/orders`.
    pub subscription: String,
    /// The topic.
    #[arg(long, value_name = "TOPIC")]
    pub topic: String,
    /// Seconds after which a message that is not acknowledged is delivered again.
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(i32).range(10..=600))]
    pub ack_deadline: i32,
    /// How long undelivered messages stay.
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub message_retention_duration: Option<Micros>,
    /// Keep acknowledged messages too, so that a seek finds them.
    #[arg(long)]
    pub retain_acked_messages: bool,
    /// Deliver messages of one ordering key in the order of publishing.
    #[arg(long)]
    pub enable_message_ordering: bool,
    /// What was acknowledged never comes again, and says so.
    #[arg(long)]
    pub enable_exactly_once_delivery: bool,
    /// Deliver only messages whose attributes pass, such as `attributes.country = "India"`.
    #[arg(long, value_name = "FILTER", default_value = "")]
    pub message_filter: String,
    /// Send messages to this HTTP address instead of waiting to be asked.
    #[arg(long, value_name = "URL")]
    pub push_endpoint: Option<String>,
    /// The topic for messages that were delivered too often.
    #[arg(long, value_name = "TOPIC")]
    pub dead_letter_topic: Option<String>,
    /// How often that is.
    #[arg(long, value_name = "N", requires = "dead_letter_topic", value_parser = clap::value_parser!(i32).range(5..=100))]
    pub max_delivery_attempts: Option<i32>,
    /// The least wait before a message that was refused comes again.
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub min_retry_delay: Option<Micros>,
    /// The longest.
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub max_retry_delay: Option<Micros>,
    /// Labels, as `key=value,key=value`.
    #[arg(long, value_name = "KEY=VALUE", value_delimiter = ',', value_parser = pair)]
    pub labels: Vec<(String, String)>,
}

/// `purlin publish`.
#[derive(Args, Debug)]
pub struct PublishArgs {
    /// Where.
    #[command(flatten)]
    pub service: ServiceArgs,
    /// The topic.
    pub topic: String,
    /// The payload. Without it, each line of standard input is a message.
    #[arg(long, value_name = "TEXT")]
    pub message: Option<String>,
    /// Attributes, as `key=value,key=value`.
    #[arg(long = "attribute", value_name = "KEY=VALUE", value_delimiter = ',', value_parser = pair)]
    pub attributes: Vec<(String, String)>,
    /// The ordering key.
    #[arg(long, value_name = "KEY")]
    pub ordering_key: Option<String>,
}

/// `purlin pull`.
#[derive(Args, Debug)]
pub struct PullArgs {
    /// Where.
    #[command(flatten)]
    pub service: ServiceArgs,
    /// The subscription.
    pub subscription: String,
    /// How many messages at most.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(i32).range(1..=1000))]
    pub limit: i32,
    /// Acknowledge them.
    #[arg(long)]
    pub auto_ack: bool,
}

/// `purlin subscribe`.
#[derive(Args, Debug)]
pub struct SubscribeArgs {
    /// Where.
    #[command(flatten)]
    pub service: ServiceArgs,
    /// The subscription.
    pub subscription: String,
    /// Make the subscription on this topic if it is not there.
    #[arg(long, value_name = "TOPIC")]
    pub topic: Option<String>,
    /// Run this command for each message, its payload on standard input, its attributes in variables named
    /// `PURLIN_ATTRIBUTE_…`. The message is acknowledged if the command ends with 0; otherwise it comes again.
    #[arg(long, value_name = "COMMAND")]
    pub exec: Option<String>,
    /// Stop after this many messages.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub limit: Option<u64>,
}

/// `key=value`.
fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("wants key=value".to_owned()),
    }
}
