//! What all calls share.

use crate::catalog::Catalog;
use crate::dead_letter;
use crate::schema::Validator;
use crate::store::Store;
use crate::subscription::core::{Delivery, Taker};
use crate::subscription::{Micros, Subscription};
use crate::tasks::lock;
use pubsub_proto::google::pubsub::v1 as pb;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use tokio::sync::watch;
use tonic::Status;

/// Where events are told that nobody asked for: damage, endpoints that fail.
pub type Report = Arc<dyn Fn(&str) + Send + Sync>;

/// The broker behind its API.
pub(crate) struct Hub {
    /// The resources.
    pub(crate) catalog: Catalog,
    /// Tells whoever runs the broker.
    pub(crate) report: Report,
    /// Counts changes after which messages may have to be pushed.
    pub(crate) pushing: watch::Sender<u64>,
    /// What is sent with pushes that ask for a token.
    pub(crate) push_token: Option<String>,
    /// What calls must show.
    pub(crate) token: Option<String>,
    /// Schemas that were read, by name and revision.
    pub(crate) validators: Mutex<HashMap<String, Arc<Validator>>>,
    /// True once the broker stops.
    pub(crate) stopping: watch::Receiver<bool>,
}

impl Hub {
    /// The store.
    pub(crate) fn store(&self) -> &Store {
        self.catalog.store()
    }
}

impl std::fmt::Debug for Hub {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hub").field("catalog", &self.catalog).finish_non_exhaustive()
    }
}

/// Schemas kept after reading; then all are read anew.
const VALIDATORS_MAX: usize = 1000;

impl Hub {
    /// The revisions of a topic's schema that messages may follow, newest first.
    pub(crate) fn revisions(
        &self,
        settings: &pb::SchemaSettings,
    ) -> Result<Vec<(String, Arc<Validator>)>, Status> {
        let record = self.catalog.schema(&settings.schema)?;
        let place = |id: &str| record.revisions.iter().position(|r| r.revision_id == id);
        let first = place(&settings.first_revision_id).unwrap_or(0);
        let last = place(&settings.last_revision_id).unwrap_or(record.revisions.len().saturating_sub(1));
        let mut validators = lock(&self.validators);
        let allowed = record.revisions.iter().enumerate().filter(|(i, _)| (first..=last).contains(i)).rev();
        let read = allowed.map(|(_, schema)| {
            let key = format!("{}@{}", schema.name, schema.revision_id);
            if let Some(known) = validators.get(&key) {
                return Ok((schema.revision_id.clone(), known.clone()));
            }
            let validator = Arc::new(Validator::new(schema)?);
            if validators.len() >= VALIDATORS_MAX {
                validators.clear();
            }
            validators.insert(key, validator.clone());
            Ok((schema.revision_id.clone(), validator))
        });
        read.collect()
    }

    /// Takes messages of a subscription; what was delivered too often goes to its dead-letter topic first. Also answers
    /// when to look again although nothing was published.
    pub(crate) async fn take(
        &self,
        subscription: &Subscription,
        taker: Taker,
    ) -> Result<(Vec<Delivery>, Option<Micros>), Status> {
        loop {
            let (taken, due) = subscription.take(taker)?;
            if !taken.dead.is_empty() {
                dead_letter::forward(self, subscription, taken.dead).await;
            }
            if taken.deliveries.is_empty() && taken.more {
                tokio::task::yield_now().await;
                continue;
            }
            return Ok((taken.deliveries, due));
        }
    }
}
