//! The calls of the API, one file for each group.

pub mod acks;
pub mod deliver;
mod page;
pub mod publish;
pub mod pull;
pub mod streaming;
pub mod subscriptions;
pub mod topics;

use crate::hub::Hub;
use bytes::Bytes;
use prost::Message;
use tonic::Status;

/// The path of the one call that streams.
pub const STREAMING_PULL: &str = "/google.pubsub.v1.Subscriber/StreamingPull";

/// Calls a function for a path, with the request decoded and the response encoded.
macro_rules! table {
    ($hub:expr, $path:expr, $body:expr, { $($service:ident $method:ident => $call:path,)* }) => {
        match $path {
            $(concat!("/google.pubsub.v1.", stringify!($service), "/", stringify!($method)) => {
                let request = decode($body)?;
                let response = Box::pin($call($hub, request)).await?;
                Ok(response.encode_to_vec().into())
            })*
            _ => Err(Status::unimplemented(format!("The broker does not know {}.", $path))),
        }
    };
}

/// Answers a call with one request and one response.
pub async fn unary(hub: &Hub, path: &str, body: Bytes) -> Result<Bytes, Status> {
    match path {
        // These work on bytes: what is in them is kept or delivered as it is.
        "/google.pubsub.v1.Publisher/Publish" => publish::publish(hub, body).await,
        "/google.pubsub.v1.Subscriber/Pull" => pull::pull(hub, decode(body)?).await,
        _ => table!(hub, path, body, {
            Publisher CreateTopic => topics::create,
            Publisher GetTopic => topics::get,
            Publisher DeleteTopic => topics::delete,
            Publisher ListTopics => topics::list,
            Publisher ListTopicSubscriptions => topics::list_subscriptions,
            Subscriber CreateSubscription => subscriptions::create,
            Subscriber GetSubscription => subscriptions::get,
            Subscriber ListSubscriptions => subscriptions::list,
            Subscriber DeleteSubscription => subscriptions::delete,
            Subscriber ModifyAckDeadline => acks::modify,
            Subscriber Acknowledge => acks::acknowledge,
        }),
    }
}

/// Decodes a request.
pub fn decode<M: Message + Default>(body: Bytes) -> Result<M, Status> {
    M::decode(body).map_err(|e| Status::invalid_argument(format!("The request cannot be read: {e}.")))
}
