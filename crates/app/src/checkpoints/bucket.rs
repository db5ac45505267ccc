//! Checkpoints in the object stores of clouds.
//!
//! A put creates an object or is refused: that is what keeps two processes on two machines from committing one epoch
//! (`docs/checkpoint-format.md`), as there is no lock. Lists must tell what is there now; S3, Google's and Azure's do.

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{
    Error as StoreError, ObjectStore, ObjectStoreExt, ObjectStoreScheme, PutMode, PutPayload, parse_url_opts,
};
use purlin_api::{Error, ErrorKind, Result};
use purlin_engine::checkpoint::{CheckpointStore, taken};
use std::future::Future;
use std::ops::Range;
use std::sync::Arc;
use tokio::runtime::{Builder, Runtime};
use url::Url;

/// How long one request may take, unless the environment says otherwise: time for a checkpoint of a gigabyte.
const REQUEST_TIMEOUT: &str = "120s";

/// The objects below a prefix of a bucket.
#[derive(Debug)]
pub(super) struct Bucket {
    store: Arc<dyn ObjectStore>,
    prefix: Path,
    place: String,
    /// How the variables begin that it was made by.
    variables: &'static str,
    /// Where requests are made; taken when this is dropped.
    runtime: Option<Runtime>,
}

impl Bucket {
    /// What a URL names: `s3://BUCKET/PREFIX`, `gs://…`, `az://…`. Credentials and options are in the environment, as
    /// for other programs: variables that begin with `AWS_`, `GOOGLE_` or `AZURE_`.
    ///
    /// # Errors
    /// `Config` if it names none, or the options make no sense. Nothing is asked yet.
    pub(super) fn open(place: &str) -> Result<Self> {
        let config = |e: String| {
            Error::new(ErrorKind::Config, format!("no checkpoints can be kept in `{place}`: {e}"))
        };
        let url = Url::parse(place).map_err(|e| config(e.to_string()))?;
        let variables = match ObjectStoreScheme::parse(&url).map_err(|e| config(e.to_string()))?.0 {
            ObjectStoreScheme::AmazonS3 => "AWS_",
            ObjectStoreScheme::GoogleCloudStorage => "GOOGLE_",
            ObjectStoreScheme::MicrosoftAzure => "AZURE_",
            _ => return Err(config("it is no object store".to_owned())),
        };
        let (store, path) = parse_url_opts(&url, options(variables)).map_err(|e| config(e.to_string()))?;
        Self::of(store.into(), path, place, variables)
    }

    /// A store, and a prefix in it.
    fn of(store: Arc<dyn ObjectStore>, prefix: Path, place: &str, variables: &'static str) -> Result<Self> {
        let runtime =
            Builder::new_multi_thread().worker_threads(1).thread_name("checkpoints").enable_all().build();
        let runtime = runtime.map_err(|e| {
            Error::new(ErrorKind::Exhausted, format!("cannot start a thread for checkpoints: {e}"))
        })?;
        Ok(Bucket { store, prefix, place: place.to_owned(), variables, runtime: Some(runtime) })
    }

    /// Waits for a request, which is made on a thread of this store: callers may be anywhere.
    fn wait<T: Send + 'static>(
        &self,
        what: &str,
        request: impl Future<Output = object_store::Result<T>> + Send + 'static,
    ) -> Result<object_store::Result<T>> {
        let gone = || Error::internal(format!("{what} in `{}` was given up", self.place));
        let runtime = self.runtime.as_ref().ok_or_else(gone)?;
        futures::executor::block_on(runtime.spawn(request)).map_err(|_| gone())
    }

    fn path(&self, name: &str) -> Path {
        self.prefix.clone().join(name)
    }

    fn failed(&self, what: &str, e: &StoreError) -> Error {
        let kind = match e {
            StoreError::NotFound { .. } => ErrorKind::Data,
            StoreError::PermissionDenied { .. } | StoreError::Unauthenticated { .. } => ErrorKind::Denied,
            StoreError::InvalidPath { .. } | StoreError::NotSupported { .. } => ErrorKind::Config,
            _ => ErrorKind::Unavailable,
        };
        let help = match e {
            StoreError::NotFound { .. } | StoreError::InvalidPath { .. } => String::new(),
            _ => format!(" (credentials and options are in variables that begin with {})", self.variables),
        };
        Error::new(kind, format!("cannot {what} in `{}`{help}: {e}", self.place))
    }

    /// True if an object is what we wanted to write: a request that was sent again finds what the first one left.
    fn is_ours(&self, name: &str, parts: &[Bytes]) -> Result<bool> {
        let size: usize = parts.iter().map(Bytes::len).sum();
        let there = self.get(name, 0..size as u64 + 1)?;
        let mut rest = there.as_ref();
        Ok(there.len() == size && parts.iter().all(|p| rest.split_off(..p.len()) == Some(p)))
    }
}

impl CheckpointStore for Bucket {
    fn put(&self, name: &str, parts: &[Bytes]) -> Result<()> {
        let (store, path) = (self.store.clone(), self.path(name));
        let payload: PutPayload = parts.iter().cloned().collect();
        let request = async move { store.put_opts(&path, payload, PutMode::Create.into()).await };
        match self.wait("writing a checkpoint", request)? {
            Ok(_) => Ok(()),
            Err(StoreError::AlreadyExists { .. } | StoreError::Precondition { .. }) => {
                match self.is_ours(name, parts)? {
                    true => Ok(()),
                    false => Err(taken(name, self)),
                }
            }
            Err(e) => Err(self.failed(&format!("write the checkpoint `{name}`"), &e)),
        }
    }

    fn list(&self) -> Result<Vec<(String, u64)>> {
        let (store, prefix) = (self.store.clone(), self.prefix.clone());
        let request = async move { store.list(Some(&prefix)).try_collect::<Vec<_>>().await };
        let found = self.wait("listing checkpoints", request)?;
        let found = found.map_err(|e| self.failed("list the checkpoints", &e))?;
        let name = |path: &Path| {
            let mut below = path.prefix_match(&self.prefix)?;
            // What is deeper down is not ours.
            Some((below.next()?.as_ref().to_owned(), below.next().is_none()))
        };
        let mut names: Vec<(String, u64)> = found
            .into_iter()
            .filter_map(|o| Some((name(&o.location)?, o.size)))
            .filter_map(|((name, is_here), size)| is_here.then_some((name, size)))
            .collect();
        names.sort();
        Ok(names)
    }

    fn get(&self, name: &str, range: Range<u64>) -> Result<Bytes> {
        if range.is_empty() {
            // Sections may be empty, and stores call such a range an error.
            return Ok(Bytes::new());
        }
        let (store, path) = (self.store.clone(), self.path(name));
        let request = async move {
            match store.get_range(&path, range.clone()).await {
                Ok(bytes) => Ok(bytes),
                // Beyond its end there is nothing; stores call that an error.
                Err(e) => match store.head(&path).await {
                    Ok(meta) if meta.size <= range.start => Ok(Bytes::new()),
                    _ => Err(e),
                },
            }
        };
        self.wait("reading a checkpoint", request)?
            .map_err(|e| self.failed(&format!("read the checkpoint `{name}`"), &e))
    }

    fn delete(&self, name: &str) -> Result<()> {
        let (store, path) = (self.store.clone(), self.path(name));
        match self.wait("deleting a checkpoint", async move { store.delete(&path).await })? {
            Ok(()) | Err(StoreError::NotFound { .. }) => Ok(()),
            Err(e) => Err(self.failed(&format!("delete the checkpoint `{name}`"), &e)),
        }
    }

    fn place(&self) -> String {
        self.place.clone()
    }
}

impl Drop for Bucket {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Waiting is not allowed everywhere, and no request is under way.
            runtime.shutdown_background();
        }
    }
}

/// What the environment says of a store. Only what is meant for it: a variable called BUCKET or TOKEN is of others.
fn options(variables: &str) -> Vec<(String, String)> {
    let all = std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)));
    let own: Vec<(String, String)> = all.filter(|(key, _)| key.starts_with(variables)).collect();
    let mut options = vec![("timeout".to_owned(), REQUEST_TIMEOUT.to_owned())];
    if own.iter().any(|(key, value)| key.contains("ENDPOINT") && value.starts_with("http://")) {
        // Who names such an address means it.
        options.push(("allow_http".to_owned(), "true".to_owned()));
    }
    options.extend(own);
    options
}

#[cfg(test)]
mod tests {
    use super::*;
    use object_store::memory::InMemory;
    use purlin_engine::checkpoint::try_store;

    fn bucket() -> Bucket {
        Bucket::of(Arc::new(InMemory::new()), Path::from("deep/er"), "memory", "NONE_").unwrap()
    }

    #[test]
    fn a_bucket_keeps_the_contract() {
        try_store(&bucket()).unwrap();
    }

    #[test]
    fn what_a_lost_answer_left_is_ours_and_anything_else_is_not() {
        let b = bucket();
        let parts = [Bytes::from_static(b"one "), Bytes::from_static(b"two")];
        b.put("a", &parts).unwrap();
        b.put("a", &parts).unwrap();
        for other in ["one", "one two three", "one tw0", ""] {
            assert_eq!(b.put("a", &[Bytes::from(other)]).unwrap_err().kind(), ErrorKind::Conflict, "{other}");
        }
    }

    #[test]
    fn what_lies_deeper_is_not_listed() {
        let b = bucket();
        b.put("a", &[]).unwrap();
        let below = Bucket::of(b.store.clone(), b.prefix.clone().join("below"), "memory", "NONE_").unwrap();
        below.put("a", &[]).unwrap();
        assert_eq!(b.list().unwrap(), [("a".to_owned(), 0)]);
    }

    #[test]
    fn places_that_are_none_are_refused() {
        for (place, said) in [
            ("https://example.org/a", "it is no object store"),
            ("s3://", "no checkpoints can be kept in `s3://`"),
        ] {
            let e = Bucket::open(place).unwrap_err();
            assert!(e.kind() == ErrorKind::Config && e.message().contains(said), "{place}: {e}");
        }
    }
}
