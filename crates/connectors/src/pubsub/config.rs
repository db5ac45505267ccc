//! What `ReadFromPubSub` and `WriteToPubSub` take.

use purlin_spec::Node;
use purlin_spec::config::{OneOrMany, Spanned};
use purlin_spec::types::{Duration, ErrorHandling};

purlin_spec::config! {
    /// Reads messages from a subscription of Google Cloud Pub/Sub, or of a broker that speaks its API.
    ///
    /// With `PUBSUB_EMULATOR_HOST` set (`localhost:8085`) messages come from there, without credentials and
    /// TLS; else from Google, as the service account whose key file `GOOGLE_APPLICATION_CREDENTIALS` names. A
    /// broker that asks for a token gets that of `PURLIN_PUBSUB_TOKEN`. That the topic or subscription exists is
    /// looked up when the pipeline starts.
    ///
    /// The event time of a row is when its message was published, or what `timestamp_attribute` says. The
    /// watermark follows the greatest event time seen, less the disorder seen lately: `docs/guide/pubsub.md` has
    /// the rule. While nothing comes, time goes on.
    ///
    /// **Guarantee: exactly once**, in a pipeline with checkpoints. A message is acknowledged when what was made of it is in a
    /// checkpoint and has been committed by the sinks; until then its lease is extended. The checkpoint keeps the ids of
    /// messages (the service's, or `id_attribute`) until ten minutes after they were acknowledged, at most a million of those;
    /// ids of messages that are not acknowledged are kept for as long as it takes. So a message that comes again,
    /// after a crash too, is dropped, and one that the checkpoint does not have is read again. After a restart
    /// the watermark stands still for twenty seconds, until messages that the process before held have come, so that they
    /// are not late. Without checkpoints: at least once.
    ///
    /// A message that cannot be decoded fails the run, or goes to the error output and is acknowledged.
    pub struct ReadFromPubSub {
        /// The topic, `projects/PROJECT/topics/TOPIC`, or its short name in the project of
        /// `GOOGLE_CLOUD_PROJECT`. Messages published from the start of the pipeline on are read, through
        /// a subscription that is made for it and removed at its end. In a pipeline with checkpoints it stays, so that the
        /// next run goes on with it, and goes away when nobody has read it for a month.
        pub topic: Option<Spanned<String>>,
        /// The subscription, `projects/PROJECT/subscriptions/SUBSCRIPTION`, or its short name.
        pub subscription: Option<Spanned<String>>,
        /// What payloads are: `RAW` (bytes, field `payload`), `STRING` (text, field `payload`), `JSON` (an
        /// object), `AVRO` (a record without a header) or `PROTO`.
        pub format: Spanned<String>,
        /// The fields: a JSON schema for `JSON`, an Avro schema for `AVRO`, the text of a `.proto` file for `PROTO`.
        /// A field that JSON schema says is `required` must be there; the others may be null.
        pub schema: Option<Node>,
        /// Attributes that become fields of text. A message that lacks one is a bad one.
        pub attributes: Option<OneOrMany<Spanned<String>>>,
        /// Name of a field for all attributes, a map of text.
        pub attributes_map: Option<Spanned<String>>,
        /// The attribute that tells messages apart, instead of the id that the service gives them. Messages
        /// without it are told apart by that id.
        pub id_attribute: Option<Spanned<String>>,
        /// The attribute that has the event time: milliseconds since 1970, or RFC 3339. Messages without it have
        /// the time at which they were published.
        pub timestamp_attribute: Option<Spanned<String>>,
        /// Name of a field for the time at which the message was published.
        pub publish_time_field: Option<Spanned<String>>,
        /// How far the watermark stays behind the greatest event time at least: a second, or two with Google's service,
        /// unless given. More disorder than that is seen and allowed for: with `timestamp_attribute` there is no watermark
        /// before 1,000 messages or 10 s, unless this is given. An extension.
        pub watermark_slack: Option<Spanned<Duration>>,
        /// Where messages go that cannot be decoded. `element` has `payload`, `attributes`, `message_id` and
        /// `publish_time`.
        pub error_handling: Option<ErrorHandling>,
    }
}

purlin_spec::config! {
    /// Publishes rows to a topic of Google Cloud Pub/Sub, or of a broker that speaks its API.
    ///
    /// Where the topic is and who asks follows from the same variables as for `ReadFromPubSub`. That it exists is
    /// looked up when the pipeline starts.
    ///
    /// **Guarantee: exactly once** for readers that tell messages apart by their ids, in a pipeline with checkpoints.
    /// Messages are kept in memory and in the checkpoint until their epoch (about a second) is committed, and published
    /// then, each with an id in the attribute `id_attribute`, or `purlin_id`. What has to be published again after a failure
    /// has the same ids: a `ReadFromPubSub` with `id_attribute: purlin_id` gives each once. The messages of one epoch may
    /// have a gigabyte; more fails the run.
    ///
    /// **At least once** with `x-purlin: {delivery: at_least_once}`, or in a pipeline that ends by itself: rows are published as
    /// they come, in batches, and an epoch is committed only when all of them have been answered. After a failure rows of epochs that were not committed are published again, under other ids.
    ///
    /// A request that was not answered is repeated, so the topic may have a message twice, with one id. The order of rows
    /// is not kept.
    pub struct WriteToPubSub {
        /// The topic, `projects/PROJECT/topics/TOPIC`, or its short name in the project of
        /// `GOOGLE_CLOUD_PROJECT`.
        pub topic: Spanned<String>,
        /// What payloads are: `RAW` or `STRING` (the only field left, bytes or text), `JSON` (an object without
        /// the fields that are null, keys sorted), `AVRO` (a record without a header) or `PROTO`.
        pub format: Spanned<String>,
        /// For `AVRO` the schema to write, for `PROTO` the text of a `.proto` file. Made from the fields for
        /// `AVRO` unless it is given; without effect for `JSON`.
        pub schema: Option<Node>,
        /// Fields of text that become attributes instead of being part of the payload. A null is left out.
        pub attributes: Option<OneOrMany<Spanned<String>>>,
        /// A field, a map of text, whose entries become attributes. Those of `attributes` win.
        pub attributes_map: Option<Spanned<String>>,
        /// An attribute to give each message an id of its own, unless its row gives one by that name (with `attributes` or
        /// `attributes_map`). Where delivery is exactly once, `purlin_id` unless given.
        pub id_attribute: Option<Spanned<String>>,
        /// An attribute to give each message the event time of its row, in milliseconds since 1970.
        pub timestamp_attribute: Option<Spanned<String>>,
        /// Where rows go that cannot be a message: the payload is null or cannot be encoded, it is too large, an attribute is
        /// too long.
        pub error_handling: Option<ErrorHandling>,
    }
}
