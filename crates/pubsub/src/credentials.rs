//! Who asks: a bearer token, or a service account that signs its own tokens.
//!
//! Google accepts a JWT signed with a service account's key in place of an OAuth token ("self-signed JWT",
//! <https://google.aip.dev/auth/4111>), so nothing else needs to be asked.

use crate::clock;
use crate::error::{Error, ErrorKind, Result};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{PrivatePkcs1KeyDer, PrivatePkcs8KeyDer};
use serde::Deserialize;
use serde_json::json;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::{Request, Status};

/// How long a signed token is good, in seconds: the most that Google allows.
const TOKEN_SECONDS: i64 = 3600;
/// A token is renewed this long before its end.
const RENEW_SECONDS: i64 = 300;
/// For whom the tokens are.
const AUDIENCE: &str = "https://pubsub.googleapis.com/";

/// How calls say who asks.
#[derive(Clone)]
pub enum Credentials {
    /// They do not: emulators, and brokers on this machine.
    None,
    /// With this token.
    Bearer(String),
    /// As a service account.
    ServiceAccount(Arc<ServiceAccount>),
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Credentials::None => f.write_str("None"),
            Credentials::Bearer(_) => f.write_str("Bearer(..)"),
            Credentials::ServiceAccount(a) => write!(f, "ServiceAccount({})", a.email),
        }
    }
}

impl Credentials {
    /// The service account whose key file `GOOGLE_APPLICATION_CREDENTIALS` names.
    ///
    /// # Errors
    /// If the variable is not set, or the file is not such a key.
    pub fn google_from_env() -> Result<Self> {
        let path = std::env::var("GOOGLE_APPLICATION_CREDENTIALS").unwrap_or_default();
        if path.is_empty() {
            return Err(Error::new(
                ErrorKind::Denied,
                "Google's Pub/Sub asks for credentials; set GOOGLE_APPLICATION_CREDENTIALS to the key file of a \
                 service account, or PUBSUB_EMULATOR_HOST for a broker without (`purlin broker`)",
            ));
        }
        let text = std::fs::read(&path).map_err(|e| {
            Error::config(format!("cannot read `{path}` (GOOGLE_APPLICATION_CREDENTIALS): {e}"))
        })?;
        let account = ServiceAccount::from_json(&text)
            .map_err(|why| Error::config(format!("`{path}` (GOOGLE_APPLICATION_CREDENTIALS) {why}")))?;
        Ok(Credentials::ServiceAccount(Arc::new(account)))
    }
}

/// The fields of a key file that are used.
#[derive(Deserialize)]
struct KeyFile {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    client_email: String,
    #[serde(default)]
    private_key_id: String,
    #[serde(default)]
    private_key: String,
    #[serde(default)]
    project_id: Option<String>,
}

/// A service account with its key.
pub struct ServiceAccount {
    email: String,
    key_id: String,
    project: Option<String>,
    key: RsaKeyPair,
}

impl fmt::Debug for ServiceAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ServiceAccount({})", self.email)
    }
}

impl ServiceAccount {
    /// From the JSON of a key file.
    ///
    /// # Errors
    /// Why it is none, as the end of a sentence that began with the file's name. Never shows the key.
    pub fn from_json(text: &[u8]) -> std::result::Result<Self, String> {
        // serde's message could quote the key.
        let file: KeyFile = serde_json::from_slice(text)
            .map_err(|e| format!("is no key file of a service account (line {})", e.line()))?;
        if file.kind != "service_account" {
            return Err(format!(
                "holds credentials of type `{}`, and only `service_account` is supported; make a key for a \
                 service account (gcloud iam service-accounts keys create)",
                file.kind
            ));
        }
        if file.client_email.is_empty() || file.private_key.is_empty() {
            return Err("lacks `client_email` or `private_key`; download the key file again".to_owned());
        }
        let key = read_key(file.private_key.as_bytes())
            .ok_or("has a `private_key` that is no RSA key in PEM; download the key file again")?;
        Ok(ServiceAccount {
            email: file.client_email,
            key_id: file.private_key_id,
            project: file.project_id,
            key,
        })
    }

    /// The project it belongs to, if the file says so.
    pub fn project(&self) -> Option<&str> {
        self.project.as_deref()
    }

    /// A token that is good from `now_s`, in seconds since 1970, for an hour.
    ///
    /// # Errors
    /// If the key cannot sign.
    pub fn token(&self, now_s: i64) -> Result<String> {
        let part = |v: serde_json::Value| URL_SAFE_NO_PAD.encode(v.to_string());
        let header = part(json!({"alg": "RS256", "typ": "JWT", "kid": self.key_id}));
        let claims = part(json!({
            "iss": self.email, "sub": self.email, "aud": AUDIENCE, "iat": now_s, "exp": now_s + TOKEN_SECONDS,
        }));
        let signed = format!("{header}.{claims}");
        let mut signature = vec![0; self.key.public().modulus_len()];
        self.key
            .sign(&RSA_PKCS1_SHA256, &ring::rand::SystemRandom::new(), signed.as_bytes(), &mut signature)
            .map_err(|_| Error::config(format!("the key of `{}` cannot sign", self.email)))?;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

fn read_key(pem: &[u8]) -> Option<RsaKeyPair> {
    if let Ok(key) = PrivatePkcs8KeyDer::from_pem_slice(pem) {
        return RsaKeyPair::from_pkcs8(key.secret_pkcs8_der()).ok();
    }
    let key = PrivatePkcs1KeyDer::from_pem_slice(pem).ok()?;
    RsaKeyPair::from_der(key.secret_pkcs1_der()).ok()
}

/// Adds to each call who asks.
#[derive(Clone, Debug)]
pub(crate) struct Signer(Arc<SignerState>);

#[derive(Debug)]
struct SignerState {
    credentials: Credentials,
    /// The header and until when it is good, in seconds.
    current: Mutex<Option<(MetadataValue<Ascii>, i64)>>,
}

impl Signer {
    pub(crate) fn new(credentials: Credentials) -> Self {
        Signer(Arc::new(SignerState { credentials, current: Mutex::new(None) }))
    }

    fn header(&self, now_s: i64) -> Result<Option<MetadataValue<Ascii>>, Status> {
        if matches!(self.0.credentials, Credentials::None) {
            return Ok(None);
        }
        let mut current = self.0.current.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((header, until)) = &*current
            && now_s < until - RENEW_SECONDS
        {
            return Ok(Some(header.clone()));
        }
        let (token, until) = match &self.0.credentials {
            Credentials::None => return Ok(None),
            Credentials::Bearer(token) => (token.clone(), i64::MAX),
            Credentials::ServiceAccount(a) => {
                let token = a.token(now_s).map_err(|e| Status::unauthenticated(e.to_string()))?;
                (token, now_s + TOKEN_SECONDS)
            }
        };
        let mut header: MetadataValue<Ascii> = format!("Bearer {token}")
            .parse()
            .map_err(|_| Status::unauthenticated("the token has characters that no header may have"))?;
        header.set_sensitive(true);
        *current = Some((header.clone(), until));
        Ok(Some(header))
    }
}

impl Interceptor for Signer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(header) = self.header(clock::now() / 1_000_000)? {
            request.metadata_mut().insert("authorization", header);
        }
        Ok(request)
    }
}

#[cfg(test)]
mod tests;
