//! gRPC: a call comes in as bytes and leaves as bytes; messages that need no decoding are not decoded.

use crate::hub::Hub;
use crate::limits::GRPC_MESSAGE_BYTES_MAX;
use crate::rpc;
use bytes::{Buf, BufMut, Bytes};
use std::convert::Infallible;
use std::future::{Future, ready};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::Service;
use tonic::codegen::http;
use tonic::server::Grpc;
use tonic::{Request, Response, Status, Streaming};

/// Messages as they travel.
#[derive(Clone, Copy, Debug, Default)]
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Raw;
    type Decoder = Raw;

    fn encoder(&mut self) -> Raw {
        Raw
    }

    fn decoder(&mut self) -> Raw {
        Raw
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, into: &mut EncodeBuf<'_>) -> Result<(), Status> {
        into.reserve(item.len());
        into.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        let length = from.remaining();
        Ok(Some(from.copy_to_bytes(length)))
    }
}

/// The future of a call.
type Call<T> = Pin<Box<dyn Future<Output = Result<Response<T>, Status>> + Send>>;

/// A call with one request and one response.
struct Unary {
    hub: Arc<Hub>,
    path: String,
}

impl Service<Request<Bytes>> for Unary {
    type Response = Response<Bytes>;
    type Error = Status;
    type Future = Call<Bytes>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        let (hub, path) = (self.hub.clone(), std::mem::take(&mut self.path));
        Box::pin(async move { rpc::unary(hub, path, request.into_inner()).await.map(Response::new) })
    }
}

/// The one call that streams.
struct StreamingPull {
    hub: Arc<Hub>,
}

impl Service<Request<Streaming<Bytes>>> for StreamingPull {
    type Response = Response<rpc::streaming::Responses>;
    type Error = Status;
    type Future = std::future::Ready<Result<Self::Response, Status>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Streaming<Bytes>>) -> Self::Future {
        ready(Ok(Response::new(rpc::streaming::start(self.hub.clone(), request.into_inner()))))
    }
}

/// Answers a gRPC call.
pub(crate) async fn answer<B>(
    hub: Arc<Hub>,
    request: http::Request<B>,
) -> Result<http::Response<tonic::body::Body>, Infallible>
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>> + Send,
{
    let mut grpc = Grpc::new(Raw)
        .max_decoding_message_size(GRPC_MESSAGE_BYTES_MAX)
        .max_encoding_message_size(GRPC_MESSAGE_BYTES_MAX);
    let path = request.uri().path().to_owned();
    Ok(if path == rpc::STREAMING_PULL {
        grpc.streaming(StreamingPull { hub }, request).await
    } else {
        grpc.unary(Unary { hub, path }, request).await
    })
}
