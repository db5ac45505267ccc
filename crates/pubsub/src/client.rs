//! A connection to the service.

use crate::address::Address;
use crate::backoff::{Backoff, call_is_retried};
use crate::clock;
use crate::credentials::{Credentials, Signer};
use crate::error::{Error, ErrorKind, Result, Target};
use crate::proto::publisher_client::PublisherClient;
use crate::proto::subscriber_client::SubscriberClient;
use crate::tasks;
use std::future::Future;
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;
use std::time::Duration;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, ClientTlsConfig, Endpoint};
use tonic::{Request, Response, Status};

/// Largest answer that is accepted: a streaming pull may bring several messages of ten megabytes.
const ANSWER_BYTES_MAX: usize = 64 << 20;
/// What the service may send before it is read, in bytes: enough for a fast stream over a long way.
const WINDOW_BYTES: u32 = 4 << 20;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const KEEPALIVE: Duration = Duration::from_secs(30);
/// How long calls other than publishing and pulling are repeated, in microseconds.
const CALL_GIVE_UP_US: i64 = 30_000_000;
/// For a service that cannot be connected to: whoever waits should know soon.
const UNREACHED_GIVE_UP_US: i64 = 5_000_000;
/// For one that refuses the connection: it is not there.
const REFUSED_GIVE_UP_US: i64 = 2_000_000;
/// How long one call may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(60);

/// The project of short names on a broker or an emulator, where projects are nothing but a part of names.
const LOCAL_PROJECT: &str = "local";

/// How to reach the service.
#[derive(Clone, Debug, Default)]
pub struct ClientOptions {
    /// Host, if not by `PUBSUB_EMULATOR_HOST` or Google's.
    pub host: Option<String>,
    /// A bearer token, if not by `PURLIN_PUBSUB_TOKEN`; of use for brokers that ask for one.
    pub token: Option<String>,
}

pub(crate) type Service = InterceptedService<Channel, Signer>;

/// A connection to the service, shared by all that is cloned from it.
#[derive(Clone, Debug)]
pub struct Client {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    address: Address,
    channel: Channel,
    signer: Signer,
}

impl Client {
    /// Makes a client. Nothing is sent before the first call.
    ///
    /// # Errors
    /// If the address or the credentials are not usable.
    pub fn new(options: &ClientOptions) -> Result<Self> {
        let address = Address::from_env(options.host.as_deref())?;
        let token = options.token.clone().or_else(|| std::env::var("PURLIN_PUBSUB_TOKEN").ok());
        let credentials = match token.filter(|t| !t.is_empty()) {
            Some(token) => Credentials::Bearer(token),
            None if address.is_google() => Credentials::google_from_env()?,
            None => Credentials::None,
        };
        Self::connect(address, credentials)
    }

    /// As [`Client::new`], with everything given.
    ///
    /// # Errors
    /// If the address is not usable, or a token would go over a network in the clear.
    pub fn connect(address: Address, credentials: Credentials) -> Result<Self> {
        if !address.is_tls() && !address.is_loopback() && !matches!(credentials, Credentials::None) {
            return Err(Error::config(format!(
                "a token would be sent to {} where everybody on the way can read it; write https://{}",
                address.host(),
                address.host()
            )));
        }
        let wrong = |e: tonic::transport::Error| {
            Error::config(format!("cannot use the address {}: {e}", address.host()))
        };
        let mut endpoint = Endpoint::from_shared(address.uri())
            .map_err(wrong)?
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(KEEPALIVE)
            .keep_alive_while_idle(true)
            .initial_stream_window_size(WINDOW_BYTES)
            .initial_connection_window_size(4 * WINDOW_BYTES)
            .user_agent(concat!("purlin/", env!("CARGO_PKG_VERSION")))
            .map_err(wrong)?;
        if address.is_tls() {
            endpoint = endpoint.tls_config(ClientTlsConfig::new().with_native_roots()).map_err(|e| {
                Error::config(format!(
                    "cannot use TLS: {e}; this machine needs root certificates (the package ca-certificates, or \
                     SSL_CERT_FILE)"
                ))
            })?;
        }
        let channel = {
            let _inside = tasks::try_handle()?.enter();
            endpoint.connect_lazy()
        };
        Ok(Client { inner: Arc::new(Inner { address, channel, signer: Signer::new(credentials) }) })
    }

    /// Where it connects to.
    pub fn address(&self) -> &Address {
        &self.inner.address
    }

    /// The project that short names are in: what the caller gives, else `GOOGLE_CLOUD_PROJECT`, else `local` on a
    /// service that is not Google's.
    pub fn project(&self, given: Option<&str>) -> Option<String> {
        let named = given.map(str::to_owned).or_else(|| std::env::var("GOOGLE_CLOUD_PROJECT").ok());
        named
            .filter(|p| !p.is_empty())
            .or_else(|| (!self.address().is_google()).then(|| LOCAL_PROJECT.to_owned()))
    }

    pub(crate) fn publisher(&self) -> PublisherClient<Service> {
        PublisherClient::with_interceptor(self.inner.channel.clone(), self.inner.signer.clone())
            .max_decoding_message_size(ANSWER_BYTES_MAX)
    }

    pub(crate) fn subscriber(&self) -> SubscriberClient<Service> {
        SubscriberClient::with_interceptor(self.inner.channel.clone(), self.inner.signer.clone())
            .max_decoding_message_size(ANSWER_BYTES_MAX)
    }

    /// The error of a call.
    pub(crate) fn error(&self, what: &str, target: &Target, status: &Status) -> Error {
        Error::of_status(what, target, self.inner.address.host(), status)
    }

    /// Makes a call that may be repeated, and repeats it while the service asks for that.
    pub(crate) async fn call<Q, A, F>(
        &self,
        what: &'static str,
        target: Target,
        request: Q,
        send: impl Fn(Client, Request<Q>) -> F + Send + 'static,
    ) -> Result<A>
    where
        Q: Clone + Send + Sync + 'static,
        A: Send + 'static,
        F: Future<Output = std::result::Result<Response<A>, Status>> + Send,
    {
        let client = self.clone();
        tasks::on_network(async move {
            let mut backoff = Backoff::new(100_000, 5_000_000, CALL_GIVE_UP_US);
            let began = clock::monotonic_us();
            loop {
                let mut sent = Request::new(request.clone());
                sent.set_timeout(CALL_TIMEOUT);
                route(&mut sent, &target);
                let status = match send(client.clone(), sent).await {
                    Ok(answer) => return Ok(answer.into_inner()),
                    Err(status) => status,
                };
                let waited = clock::monotonic_us() - began;
                let hopeless = hopeless(&status, waited);
                let delay = if call_is_retried(status.code()) && !hopeless {
                    backoff.failed(waited, random())
                } else {
                    None
                };
                match delay {
                    Some(us) => clock::sleep(Duration::from_micros(us.unsigned_abs())).await,
                    None => return Err(client.error(what, &target, &status)),
                }
            }
        })
        .await
    }
}

/// Says which resource a request is about, as Google's own clients do, so that it is routed well.
pub(crate) fn route<T>(request: &mut Request<T>, target: &Target) {
    let key = match target {
        Target::Topic(_) => "topic",
        Target::Subscription(_) => "subscription",
        Target::Snapshot(_) => "snapshot",
        Target::Project(_) => "project",
    };
    let escaped = target.name().replace('%', "%25").replace('/', "%2F").replace('+', "%2B");
    // A name that no header may have is refused by the service in its own words.
    if let Ok(value) = format!("{key}={escaped}").parse::<MetadataValue<Ascii>>() {
        request.metadata_mut().insert("x-goog-request-params", value);
    }
}

/// True if a call need not be repeated any more that has been tried for so long.
fn hopeless(status: &Status, waited_us: i64) -> bool {
    if is_refused(status) {
        return waited_us >= REFUSED_GIVE_UP_US;
    }
    let transport = std::error::Error::source(status).is_some();
    is_distrusted(status) || (transport && waited_us >= UNREACHED_GIVE_UP_US)
}

/// True if the certificate of the service is not trusted.
pub(crate) fn is_distrusted(status: &Status) -> bool {
    let mut cause = std::error::Error::source(status);
    while let Some(c) = cause {
        if c.to_string().contains("invalid peer certificate") {
            return true;
        }
        cause = c.source();
    }
    false
}

/// True if nobody listens there.
pub(crate) fn is_refused(status: &Status) -> bool {
    let mut cause = std::error::Error::source(status);
    while let Some(c) = cause {
        if let Some(io) = c.downcast_ref::<std::io::Error>() {
            return io.kind() == std::io::ErrorKind::ConnectionRefused;
        }
        cause = c.source();
    }
    false
}

/// Any number, to spread repetitions.
pub(crate) fn random() -> u64 {
    std::collections::hash_map::RandomState::new().build_hasher().finish()
}

/// A name nobody else has made, for a client or a temporary resource: letters and digits.
pub fn unique() -> String {
    format!("{:x}{:016x}", clock::now() / 1_000_000, random())
}

/// An answer that lacks what it must have.
pub(crate) fn senseless(what: &str) -> Error {
    Error::new(ErrorKind::Internal, format!("the service answered {what}, which makes no sense"))
}
