//! Connections: HTTP/2 for gRPC, HTTP/1.1 and HTTP/2 for REST, on one port.

use crate::grpc;
use crate::hub::Hub;
use crate::limits::{CONNECTION_CALLS_MAX, CONNECTIONS_MAX};
use crate::rest;
use crate::tasks::{spawn, stopped};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http::{Request, Response, header};

/// How long a connection may say nothing when asked whether it lives.
const PING_TIMEOUT: Duration = Duration::from_secs(20);
/// After how long without data a connection is asked.
const PING_INTERVAL: Duration = Duration::from_secs(60);
/// How long calls in flight have to end when the broker stops.
const STOP_GRACE: Duration = Duration::from_secs(3);

/// Accepts connections until the broker stops, then lets them end.
pub(crate) async fn serve(hub: Arc<Hub>, listener: TcpListener, tls: Option<TlsAcceptor>) {
    let connections = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut stopping = hub.stopping.clone();
    loop {
        let Ok(permit) = connections.clone().acquire_owned().await else { break };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stopped(&mut stopping) => break,
        };
        match accepted {
            Ok((stream, _)) => {
                let (hub, tls) = (hub.clone(), tls.clone());
                spawn(async move {
                    welcome(hub, stream, tls).await;
                    drop(permit);
                });
            }
            Err(e) => {
                // Too many open files, mostly: it passes when connections end.
                (hub.report)(&format!("cannot accept a connection: {e}"));
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
    drop(listener);
    let all = u32::try_from(CONNECTIONS_MAX).unwrap_or(u32::MAX);
    // What has not ended by then is cut off.
    let _late = tokio::time::timeout(STOP_GRACE, connections.acquire_many(all)).await;
}

async fn welcome(hub: Arc<Hub>, stream: TcpStream, tls: Option<TlsAcceptor>) {
    // Without it small responses wait for the client's next packet. A socket that refuses works all the same.
    let _refused = stream.set_nodelay(true);
    match tls {
        None => connection(hub, stream).await,
        Some(tls) => {
            // Who does not finish the handshake is gone, or speaks something else.
            if let Ok(Ok(stream)) = tokio::time::timeout(PING_TIMEOUT, tls.accept(stream)).await {
                connection(hub, stream).await;
            }
        }
    }
}

async fn connection(hub: Arc<Hub>, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
    let mut stopping = hub.stopping.clone();
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(CONNECTION_CALLS_MAX)
        .initial_stream_window_size(1 << 20)
        .initial_connection_window_size(4 << 20)
        .max_frame_size(1 << 18)
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT);
    builder.http1().timer(TokioTimer::new()).header_read_timeout(PING_TIMEOUT);
    let service = service_fn(move |request| answer(hub.clone(), request));
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    tokio::select! {
        // A connection that broke is its client's concern.
        _ended = connection.as_mut() => return,
        () = stopped(&mut stopping) => connection.as_mut().graceful_shutdown(),
    }
    let _ended = connection.await;
}

async fn answer(hub: Arc<Hub>, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let is_grpc = request
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|t| t.as_bytes().starts_with(b"application/grpc"));
    if let Err(status) = authorize(&hub, &request) {
        return Ok(if is_grpc { status.into_http() } else { rest::failure(&status) });
    }
    if is_grpc { grpc::answer(hub, request).await } else { Ok(rest::answer(hub, request).await) }
}

/// Checks the token of a call, where the broker asks for one. Whether it lives may be asked by anybody.
fn authorize(hub: &Hub, request: &Request<Incoming>) -> Result<(), Status> {
    let Some(token) = &hub.token else { return Ok(()) };
    let given = request.headers().get(header::AUTHORIZATION).map(|v| v.as_bytes());
    let given = given.and_then(|v| v.strip_prefix(b"Bearer ").or_else(|| v.strip_prefix(b"bearer ")));
    match given {
        Some(given) if is_same(given, token.as_bytes()) => Ok(()),
        _ if request.uri().path() == "/healthz" => Ok(()),
        Some(_) => Err(Status::unauthenticated("The token of the request is not the broker's.")),
        None => Err(Status::unauthenticated(
            "The broker asks for a token: send the header `Authorization: Bearer TOKEN`.",
        )),
    }
}

/// Compares in a time that does not tell how much is the same.
fn is_same(given: &[u8], token: &[u8]) -> bool {
    given.len() == token.len() && given.iter().zip(token).fold(0, |d, (a, b)| d | (a ^ b)) == 0
}
