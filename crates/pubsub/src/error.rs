//! Errors that say which resource on which host, why, and what to do.

use crate::client::is_distrusted;
use std::fmt;
use tonic::{Code, Status};

/// Shorthand for results with [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Whose problem it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// An address, a name or a credential is not usable as it was given.
    Config,
    /// The topic, subscription or snapshot does not exist.
    NotFound,
    /// It exists already.
    AlreadyExists,
    /// The service refused who asked.
    Denied,
    /// The service did not answer, or not now.
    Unavailable,
    /// A limit was reached.
    Exhausted,
    /// The service refused what was asked: a bad request, or not in this state.
    Refused,
    /// A bug of ours, or an answer that makes no sense.
    Internal,
}

/// What went wrong, in words for people. The text is not an interface; kind and code are.
#[derive(Clone, Debug)]
pub struct Error {
    kind: ErrorKind,
    code: Option<Code>,
    message: String,
}

impl Error {
    /// An error of this kind.
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Error { kind, code: None, message: message.into() }
    }

    /// Something given is not usable.
    pub(crate) fn config(message: impl Into<String>) -> Self {
        Error::new(ErrorKind::Config, message)
    }

    /// The answer of the service to a call: `what` such as `publish to`, `target` such as `topic
    /// projects/p/topics/t`, `host` as the author gave it.
    pub(crate) fn of_status(what: &str, target: &Target, host: &str, status: &Status) -> Self {
        let kind = kind_of(status.code());
        let said = said(status);
        let advice = advice(status, target, host);
        let advice = advice.map(|a| format!("; {a}")).unwrap_or_default();
        let message = format!("cannot {what} {target} at {host}: {said}{advice}");
        Error { kind, code: Some(status.code()), message }
    }

    /// Whose problem it is.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The status code of the service, if it answered.
    pub fn code(&self) -> Option<Code> {
        self.code
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

/// What a call is about, as messages name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// A topic, by its full name.
    Topic(String),
    /// A subscription, by its full name.
    Subscription(String),
    /// A snapshot, by its full name.
    Snapshot(String),
    /// All of a project.
    Project(String),
}

impl Target {
    /// The name that goes into the routing header.
    pub(crate) fn name(&self) -> &str {
        match self {
            Target::Topic(n) | Target::Subscription(n) | Target::Snapshot(n) | Target::Project(n) => n,
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Topic(n) => write!(f, "topic `{n}`"),
            Target::Subscription(n) => write!(f, "subscription `{n}`"),
            Target::Snapshot(n) => write!(f, "snapshot `{n}`"),
            Target::Project(n) => write!(f, "`{n}`"),
        }
    }
}

fn kind_of(code: Code) -> ErrorKind {
    match code {
        Code::NotFound => ErrorKind::NotFound,
        Code::AlreadyExists => ErrorKind::AlreadyExists,
        Code::PermissionDenied | Code::Unauthenticated => ErrorKind::Denied,
        Code::ResourceExhausted => ErrorKind::Exhausted,
        Code::InvalidArgument | Code::FailedPrecondition | Code::OutOfRange | Code::Unimplemented => {
            ErrorKind::Refused
        }
        _ => ErrorKind::Unavailable,
    }
}

/// The deepest cause of a failed connection in words, else what the service said, with its code.
fn said(status: &Status) -> String {
    if let Some(io) = io_cause(status) {
        let text = io.to_string();
        let said = text.split_once(" (os error ").map_or(text.as_str(), |(said, _)| said);
        // As part of a sentence.
        let mut rest = said.chars();
        return rest.next().map(|c| c.to_ascii_lowercase()).into_iter().chain(rest).collect();
    }
    let mut cause = std::error::Error::source(status);
    let mut deepest = None;
    while let Some(c) = cause {
        deepest = Some(c.to_string());
        cause = c.source();
    }
    let text = deepest.unwrap_or_else(|| status.message().to_owned());
    let code = code_name(status.code());
    if text.is_empty() { code.to_owned() } else { format!("{code}: {}", text.trim_end_matches('.')) }
}

fn io_cause(status: &Status) -> Option<&std::io::Error> {
    let mut cause = std::error::Error::source(status);
    let mut found = None;
    while let Some(c) = cause {
        found = c.downcast_ref::<std::io::Error>().or(found);
        cause = c.source();
    }
    found
}

/// What to do about it.
fn advice(status: &Status, target: &Target, host: &str) -> Option<String> {
    let google = host.ends_with("googleapis.com");
    match status.code() {
        Code::NotFound => {
            let tool = if google { "gcloud pubsub" } else { "purlin" };
            match target {
                Target::Topic(n) => Some(format!("create it with `{tool} topics create {n}`")),
                Target::Subscription(n) => {
                    Some(format!("create it with `{tool} subscriptions create {n} --topic TOPIC`"))
                }
                Target::Snapshot(_) | Target::Project(_) => None,
            }
        }
        Code::PermissionDenied => Some(match target {
            Target::Topic(_) => "the account needs the role `roles/pubsub.publisher` there".to_owned(),
            Target::Subscription(_) => {
                "the account needs the role `roles/pubsub.subscriber` there".to_owned()
            }
            Target::Snapshot(_) | Target::Project(_) => {
                "the account needs the role `roles/pubsub.editor` there".to_owned()
            }
        }),
        Code::Unauthenticated if google => {
            Some("set GOOGLE_APPLICATION_CREDENTIALS to the key file of a service account".to_owned())
        }
        Code::Unauthenticated => Some("set PURLIN_PUBSUB_TOKEN to the token of the broker".to_owned()),
        _ if is_distrusted(status) => {
            Some("if that is right, set SSL_CERT_FILE to the file with the certificate to trust".to_owned())
        }
        _ if google => None,
        _ => match io_cause(status).map(std::io::Error::kind) {
            Some(std::io::ErrorKind::ConnectionRefused) => {
                Some("is the broker running? start it with `purlin broker`".to_owned())
            }
            Some(_) => Some("is PUBSUB_EMULATOR_HOST right?".to_owned()),
            None => None,
        },
    }
}

/// The name of a code as Google writes it.
pub(crate) fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_topic_says_how_to_make_it() {
        let e = Error::of_status(
            "publish to",
            &Target::Topic("projects/p/topics/t".into()),
            "localhost:8085",
            &Status::not_found("Topic not found"),
        );
        assert_eq!(
            e.to_string(),
            "cannot publish to topic `projects/p/topics/t` at localhost:8085: NOT_FOUND: Topic not found; create \
             it with `purlin topics create projects/p/topics/t`"
        );
        assert_eq!(e.kind(), ErrorKind::NotFound);
    }

    #[test]
    fn nobody_there_says_what_to_start() {
        let io = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        let e = Error::of_status(
            "read",
            &Target::Subscription("projects/p/subscriptions/s".into()),
            "localhost:1",
            &Status::from_error(Box::new(io)),
        );
        assert!(
            e.to_string()
                .ends_with("connection refused; is the broker running? start it with `purlin broker`"),
            "{e}"
        );
    }
}
