//! The same calls as REST, for `curl`: paths, bodies and errors as Google's.

pub(crate) mod json;
mod routes;

use crate::hub::Hub;
use crate::limits::REST_BODY_BYTES_MAX;
use crate::tasks::to_its_end;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Arc;
use tonic::body::Body;
use tonic::codegen::http::{Method, Request, Response, StatusCode, header};
use tonic::{Code, Status};

/// A call of REST, read.
#[derive(Debug)]
pub(crate) struct Call {
    method: Method,
    /// Below `/v1/`, without the verb.
    path: String,
    /// Behind the colon.
    verb: String,
    query: HashMap<String, String>,
    body: Value,
}

/// Answers a call.
pub(crate) async fn answer<B>(hub: Arc<Hub>, request: Request<B>) -> Response<Body>
where
    B: http_body::Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    if request.uri().path() == "/healthz" {
        return respond(StatusCode::OK, "text/plain", "ok\n".to_owned());
    }
    let answer = match read(request).await {
        // Nothing is left half made by one that pulls and goes away; the messages stay for others.
        Ok(call) if call.verb == "pull" => routes::call(&hub, call).await,
        Ok(call) => to_its_end(async move { routes::call(&hub, call).await }).await,
        Err(status) => Err(status),
    };
    match answer {
        Ok(value) => respond(StatusCode::OK, "application/json", format!("{value:#}\n")),
        Err(status) => failure(&status),
    }
}

/// The response of a call that failed.
pub(crate) fn failure(status: &Status) -> Response<Body> {
    let (code, name) = http_status(status.code());
    let error = json!({"error": {"code": code.as_u16(), "message": status.message(), "status": name}});
    respond(code, "application/json", format!("{error:#}\n"))
}

fn respond(status: StatusCode, content_type: &'static str, text: String) -> Response<Body> {
    let mut response = Response::new(Body::new(Full::new(Bytes::from(text))));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(content_type));
    response
}

/// How `google.rpc.Code` stands in HTTP.
fn http_status(code: Code) -> (StatusCode, &'static str) {
    match code {
        Code::Ok => (StatusCode::OK, "OK"),
        Code::InvalidArgument => (StatusCode::BAD_REQUEST, "INVALID_ARGUMENT"),
        Code::FailedPrecondition => (StatusCode::BAD_REQUEST, "FAILED_PRECONDITION"),
        Code::OutOfRange => (StatusCode::BAD_REQUEST, "OUT_OF_RANGE"),
        Code::Unauthenticated => (StatusCode::UNAUTHORIZED, "UNAUTHENTICATED"),
        Code::PermissionDenied => (StatusCode::FORBIDDEN, "PERMISSION_DENIED"),
        Code::NotFound => (StatusCode::NOT_FOUND, "NOT_FOUND"),
        Code::AlreadyExists => (StatusCode::CONFLICT, "ALREADY_EXISTS"),
        Code::Aborted => (StatusCode::CONFLICT, "ABORTED"),
        Code::ResourceExhausted => (StatusCode::TOO_MANY_REQUESTS, "RESOURCE_EXHAUSTED"),
        Code::Unimplemented => (StatusCode::NOT_IMPLEMENTED, "UNIMPLEMENTED"),
        Code::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE"),
        Code::DeadlineExceeded => (StatusCode::GATEWAY_TIMEOUT, "DEADLINE_EXCEEDED"),
        _ => (StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL"),
    }
}

async fn read<B>(request: Request<B>) -> Result<Call, Status>
where
    B: http_body::Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let method = request.method().clone();
    let path = decoded(request.uri().path());
    let query = request.uri().query().unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
    let query = query.map(|(k, v)| (decoded(k), decoded(&v.replace('+', " ")))).collect();
    let rest = path.strip_prefix("/v1/").ok_or_else(|| unknown(&method, &path))?;
    let (path, verb) = rest
        .rsplit_once(':')
        .filter(|(_, v)| v.bytes().all(|b| b.is_ascii_alphabetic()))
        .unwrap_or((rest, ""));
    let (path, verb) = (path.to_owned(), verb.to_owned());
    let bytes = Limited::new(request.into_body(), REST_BODY_BYTES_MAX).collect().await.map_err(|e| {
        if e.is::<LengthLimitError>() {
            Status::invalid_argument(format!("The body is larger than {REST_BODY_BYTES_MAX} bytes."))
        } else {
            Status::invalid_argument(format!("The body cannot be read: {e}."))
        }
    })?;
    let bytes = bytes.to_bytes();
    let body = if bytes.is_empty() {
        Value::Null
    } else {
        serde_json::from_slice(&bytes)
            .map_err(|e| Status::invalid_argument(format!("Invalid JSON payload received: {e}.")))?
    };
    Ok(Call { method, path, verb, query, body })
}

fn unknown(method: &Method, path: &str) -> Status {
    Status::not_found(format!(
        "The broker has no call {method} {path}. Calls look like /v1/projects/PROJECT/topics/TOPIC."
    ))
}

/// Text without its percent signs; what is not UTF-8 then is replaced.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        let hex = behind
            .get(..2)
            .and_then(|h| std::str::from_utf8(h).ok())
            .and_then(|h| u8::from_str_radix(h, 16).ok());
        match hex.filter(|_| *first == b'%') {
            Some(byte) => {
                bytes.push(byte);
                rest = behind.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(*first);
                rest = behind;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_signs_are_decoded() {
        assert_eq!(decoded("a%2Fb%c3%a4%"), "a/bä%");
        assert_eq!(decoded("%zz%4"), "%zz%4");
    }
}
