//! The calls of the API, one file for each group.

pub(crate) mod acks;
mod check;
pub(crate) mod deliver;
mod mask;
mod page;
pub(crate) mod publish;
pub(crate) mod pull;
pub(crate) mod schemas;
pub(crate) mod seek;
pub(crate) mod snapshots;
pub(crate) mod streaming;
pub(crate) mod subscriptions;
pub(crate) mod topics;

use crate::hub::Hub;
use crate::tasks::to_its_end;
use bytes::Bytes;
use prost::Message;
use std::sync::Arc;
use tonic::Status;

/// The path of the one call that streams.
pub(crate) const STREAMING_PULL: &str = "/google.pubsub.v1.Subscriber/StreamingPull";

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
pub(crate) async fn unary(hub: Arc<Hub>, path: String, body: Bytes) -> Result<Bytes, Status> {
    match path.as_str() {
        // These work on bytes: what is in them is kept or delivered as it is.
        "/google.pubsub.v1.Publisher/Publish" => publish::publish(&hub, body).await,
        "/google.pubsub.v1.Subscriber/Pull" => pull::pull(&hub, decode(body)?).await,
        _ => to_its_end(async move { resources(&hub, &path, body).await }).await,
    }
}

/// Calls that change or show what is kept.
async fn resources(hub: &Hub, path: &str, body: Bytes) -> Result<Bytes, Status> {
    table!(hub, path, body, {
            Publisher CreateTopic => topics::create,
            Publisher UpdateTopic => topics::update,
            Publisher GetTopic => topics::get,
            Publisher DeleteTopic => topics::delete,
            Publisher ListTopics => topics::list,
            Publisher ListTopicSubscriptions => topics::list_subscriptions,
            Publisher ListTopicSnapshots => snapshots::list_of_topic,
            Publisher DetachSubscription => topics::detach,
            Subscriber CreateSubscription => subscriptions::create,
            Subscriber GetSubscription => subscriptions::get,
            Subscriber UpdateSubscription => subscriptions::update,
            Subscriber ModifyPushConfig => subscriptions::modify_push_config,
            Subscriber ListSubscriptions => subscriptions::list,
            Subscriber DeleteSubscription => subscriptions::delete,
            Subscriber ModifyAckDeadline => acks::modify,
            Subscriber Acknowledge => acks::acknowledge,
            Subscriber CreateSnapshot => snapshots::create,
            Subscriber GetSnapshot => snapshots::get,
            Subscriber ListSnapshots => snapshots::list,
            Subscriber UpdateSnapshot => snapshots::update,
            Subscriber DeleteSnapshot => snapshots::delete,
            Subscriber Seek => seek::seek,
            SchemaService CreateSchema => schemas::create,
            SchemaService GetSchema => schemas::get,
            SchemaService ListSchemas => schemas::list,
            SchemaService ListSchemaRevisions => schemas::list_revisions,
            SchemaService CommitSchema => schemas::commit,
            SchemaService RollbackSchema => schemas::rollback,
            SchemaService DeleteSchemaRevision => schemas::delete_revision,
            SchemaService DeleteSchema => schemas::delete,
            SchemaService ValidateSchema => schemas::validate,
            SchemaService ValidateMessage => schemas::validate_message,
    })
}

/// Decodes a request.
pub(crate) fn decode<M: Message + Default>(body: Bytes) -> Result<M, Status> {
    M::decode(body).map_err(|e| Status::invalid_argument(format!("The request cannot be read: {e}.")))
}
