//! Errors as Google's API gives them: a status code, a message, sometimes details.

use tonic::{Code, Status};

/// `google.rpc.Status`, which travels in a trailer.
#[derive(Clone, PartialEq, prost::Message)]
struct RpcStatus {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<prost_types::Any>,
}

/// `google.rpc.ErrorInfo`.
#[derive(Clone, PartialEq, prost::Message)]
struct ErrorInfo {
    #[prost(string, tag = "1")]
    reason: String,
    #[prost(string, tag = "2")]
    domain: String,
    #[prost(btree_map = "string, string", tag = "3")]
    metadata: std::collections::BTreeMap<String, String>,
}

/// A request that cannot be right, whatever the state of the broker.
pub(crate) fn invalid(message: impl Into<String>) -> Status {
    Status::invalid_argument(message)
}

/// No such resource.
pub(crate) fn not_found(name: &str) -> Status {
    Status::not_found(format!("Resource not found (resource={}).", last(name)))
}

/// There is such a resource already.
pub(crate) fn exists(name: &str) -> Status {
    Status::already_exists(format!("Resource already exists in the project (resource={}).", last(name)))
}

/// A number outside its range, in Google's words.
pub(crate) fn out_of_range(
    what: &str,
    value: impl std::fmt::Display,
    bound: &str,
    limit: impl std::fmt::Display,
) -> Status {
    let size = if bound == "maximum" { "large" } else { "small" };
    invalid(format!(
        "The value for {what} is too {size}. You passed {value} in the request, but the {bound} value is {limit}."
    ))
}

/// Why single ack ids of an exactly-once subscription failed.
pub(crate) fn ack_failures(failed: impl IntoIterator<Item = (String, &'static str)>) -> Status {
    let message = "Some acknowledgement ids in the request were invalid. This could be because the acknowledgement ids \
                   have expired or the acknowledgement ids were malformed.";
    let info = ErrorInfo {
        reason: "EXACTLY_ONCE_ACKID_FAILURE".to_owned(),
        domain: "pubsub.googleapis.com".to_owned(),
        metadata: failed.into_iter().map(|(id, why)| (id, why.to_owned())).collect(),
    };
    let status = RpcStatus {
        code: Code::InvalidArgument as i32,
        message: message.to_owned(),
        details: vec![prost_types::Any {
            type_url: "type.googleapis.com/google.rpc.ErrorInfo".to_owned(),
            value: prost::Message::encode_to_vec(&info),
        }],
    };
    Status::with_details(Code::InvalidArgument, message, prost::Message::encode_to_vec(&status).into())
}

/// The last part of a name, as Google's messages have it.
fn last(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}
