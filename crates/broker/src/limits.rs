//! Limits: Google's where the API has them, ours where memory must have a bound.

/// Messages of one `Publish`.
pub(crate) const PUBLISH_MESSAGES_MAX: usize = 1000;
/// Bytes of one `Publish`, encoded.
pub(crate) const PUBLISH_BYTES_MAX: usize = 10_000_000;
/// Attributes of a message.
pub(crate) const ATTRIBUTES_MAX: usize = 100;
/// Bytes of an attribute's key.
pub(crate) const ATTRIBUTE_KEY_BYTES_MAX: usize = 256;
/// Bytes of an attribute's value.
pub(crate) const ATTRIBUTE_VALUE_BYTES_MAX: usize = 1024;
/// Bytes of an ordering key.
pub(crate) const ORDERING_KEY_BYTES_MAX: usize = 1024;
/// Seconds of an ack deadline: least, unless 0 for the default.
pub(crate) const ACK_DEADLINE_SECONDS_MIN: i32 = 10;
/// Seconds of an ack deadline: greatest.
pub(crate) const ACK_DEADLINE_SECONDS_MAX: i32 = 600;
/// Seconds that messages, acknowledged or not, can be kept: least (10 minutes).
pub(crate) const RETENTION_SECONDS_MIN: i64 = 600;
/// Seconds that messages, acknowledged or not, can be kept: greatest (31 days).
pub(crate) const RETENTION_SECONDS_MAX: i64 = 31 * 86_400;
/// Seconds that a subscription keeps what is not acknowledged, unless it says otherwise (7 days).
pub(crate) const RETENTION_SECONDS_DEFAULT: i64 = 7 * 86_400;
/// Delivery attempts before a message is dead: least.
pub(crate) const DELIVERY_ATTEMPTS_MIN: i32 = 5;
/// Delivery attempts before a message is dead: greatest.
pub(crate) const DELIVERY_ATTEMPTS_MAX: i32 = 100;
/// Seconds of a retry policy's delays, greatest.
pub(crate) const BACKOFF_SECONDS_MAX: i64 = 600;
/// Bytes of a filter.
pub(crate) const FILTER_BYTES_MAX: usize = 256;
/// Labels of a resource.
pub(crate) const LABELS_MAX: usize = 64;
/// Bytes of one `Acknowledge` or `ModifyAckDeadline`.
pub(crate) const ACK_REQUEST_BYTES_MAX: usize = 524_288;
/// Resources on a page, if the request does not say.
pub(crate) const PAGE_SIZE_DEFAULT: usize = 100;
/// Resources on a page, greatest.
pub(crate) const PAGE_SIZE_MAX: usize = 1000;
/// Bytes of a schema's definition.
pub(crate) const SCHEMA_BYTES_MAX: usize = 300_000;
/// Revisions of a schema.
pub(crate) const SCHEMA_REVISIONS_MAX: usize = 20;
/// Seconds that a snapshot is kept (7 days), less the age of the oldest message it keeps.
pub(crate) const SNAPSHOT_SECONDS_MAX: i64 = 7 * 86_400;
/// Seconds that a new snapshot must have to live.
pub(crate) const SNAPSHOT_SECONDS_MIN: i64 = 3600;

/// Bytes of one gRPC message, either way.
pub(crate) const GRPC_MESSAGE_BYTES_MAX: usize = 20 << 20;
/// Bytes of the body of a REST call.
pub(crate) const REST_BODY_BYTES_MAX: usize = 20 << 20;
/// Messages of a subscription that are out or wait to come again. When so many clients' messages are not acknowledged,
/// nothing new is delivered until some are, or their deadlines pass. Each takes about 150 bytes of memory.
pub(crate) const OUTSTANDING_MESSAGES_MAX: usize = 1_000_000;
/// Messages looked at in one turn, where most of them are filtered out.
pub(crate) const SCAN_MESSAGES_MAX: usize = 10_000;
/// Messages of one response.
pub(crate) const RESPONSE_MESSAGES_MAX: usize = 1000;
/// Bytes after which a response is sent.
pub(crate) const RESPONSE_BYTES_MAX: usize = 1 << 20;
/// Bytes read from a log at once.
pub(crate) const READ_BYTES_MAX: usize = 1 << 20;
/// Responses of a stream that wait for the client to take them. Each is cut at [`RESPONSE_BYTES_MAX`].
pub(crate) const STREAM_RESPONSES_MAX: usize = 2;
/// Streams and other calls that one connection may have open.
pub(crate) const CONNECTION_CALLS_MAX: u32 = 1000;
/// Connections at once.
pub(crate) const CONNECTIONS_MAX: usize = 4096;
/// Milliseconds that `Pull` waits for a message, unless told to return at once.
pub(crate) const PULL_WAIT_MILLIS: u64 = 5_000;
/// Push requests that one subscription has in flight.
pub(crate) const PUSH_IN_FLIGHT_MAX: usize = 32;
