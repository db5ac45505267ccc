//! The requests that are pushed: Google's JSON envelope, or the payload alone.

use super::endpoint::Endpoint;
use crate::clock;
use crate::message;
use crate::rest::json;
use crate::subscription::core::Delivery;
use bytes::Bytes;
use http_body_util::Full;
use pubsub_proto::google::pubsub::v1::push_config::{AuthenticationMethod, Wrapper};
use pubsub_proto::google::pubsub::v1::{PushConfig, Subscription};
use serde_json::json;
use tonic::codegen::http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue, USER_AGENT};
use tonic::codegen::http::{HeaderMap, Method, Request};

/// The request for a delivery.
pub(crate) fn request(
    endpoint: &Endpoint,
    config: &PushConfig,
    subscription: &Subscription,
    token: Option<&str>,
    delivery: &Delivery,
) -> Request<Full<Bytes>> {
    let mut headers = HeaderMap::new();
    headers.insert(USER_AGENT, HeaderValue::from_static("purlin-broker"));
    if let (Some(token), Some(AuthenticationMethod::OidcToken(_))) = (token, &config.authentication_method)
        && let Ok(value) = HeaderValue::try_from(format!("Bearer {token}"))
    {
        headers.insert(AUTHORIZATION, value);
    }
    let body = match &config.wrapper {
        Some(Wrapper::NoWrapper(settings)) => {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
            if settings.write_metadata {
                metadata(&delivery.payload, &subscription.name, &mut headers);
            }
            delivery.payload.slice_ref(message::data(&delivery.payload))
        }
        _ => {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            envelope(subscription, delivery).into()
        }
    };
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = Method::POST;
    request.uri_mut().clone_from(endpoint.uri());
    *request.headers_mut() = headers;
    request
}

fn envelope(subscription: &Subscription, delivery: &Delivery) -> Vec<u8> {
    let mut message = json::stored_message(&delivery.payload);
    // Google sends both spellings.
    for (new, old) in [("messageId", "message_id"), ("publishTime", "publish_time")] {
        let value = message.get(new).cloned().unwrap_or_default();
        message.insert(old.to_owned(), value);
    }
    let mut envelope = json!({"message": message, "subscription": subscription.name});
    if let Some(attempt) = subscription.dead_letter_policy.as_ref().map(|_| delivery.attempt)
        && let Some(object) = envelope.as_object_mut()
    {
        object.insert("deliveryAttempt".to_owned(), attempt.into());
    }
    envelope.to_string().into_bytes()
}

/// What the envelope would say, as headers. What cannot stand in a header is left out.
fn metadata(payload: &[u8], subscription: &str, headers: &mut HeaderMap) {
    let mut put = |key: &str, value: &str| {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(key), HeaderValue::try_from(value)) {
            headers.insert(name, value);
        }
    };
    for (key, value) in message::attributes(payload) {
        if !matches!(
            key.to_ascii_lowercase().as_str(),
            "host" | "content-length" | "transfer-encoding" | "connection"
        ) {
            put(key, value);
        }
    }
    put("x-goog-pubsub-subscription-name", subscription);
    put("x-goog-pubsub-message-id", message::message_id(payload));
    put(
        "x-goog-pubsub-publish-time",
        &message::publish_time(payload).map(clock::rfc3339).unwrap_or_default(),
    );
    if let Some(key) = message::ordering_key(payload) {
        put("x-goog-pubsub-ordering-key", &String::from_utf8_lossy(key));
    }
}
