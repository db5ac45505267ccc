//! What all calls share.

use crate::catalog::Catalog;
use crate::store::Store;
use crate::subscription::core::{Delivery, Taker};
use crate::subscription::{Micros, Subscription};
use std::sync::Arc;
use tokio::sync::watch;
use tonic::Status;

/// Where events are told that nobody asked for: damage, endpoints that fail.
pub type Report = Arc<dyn Fn(&str) + Send + Sync>;

/// The broker behind its API.
pub struct Hub {
    /// The resources.
    pub catalog: Catalog,
    /// Tells whoever runs the broker.
    pub report: Report,
    /// True once the broker stops.
    pub stopping: watch::Receiver<bool>,
}

impl Hub {
    /// The store.
    pub fn store(&self) -> &Store {
        self.catalog.store()
    }
}

impl std::fmt::Debug for Hub {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hub").field("catalog", &self.catalog).finish_non_exhaustive()
    }
}

impl Hub {
    /// Takes messages of a subscription; what was delivered too often goes to its dead-letter topic first. Also answers
    /// when to look again although nothing was published.
    pub async fn take(
        &self,
        subscription: &Subscription,
        taker: Taker,
    ) -> Result<(Vec<Delivery>, Option<Micros>), Status> {
        loop {
            let (taken, due) = subscription.take(taker)?;
            if taken.deliveries.is_empty() && taken.more {
                tokio::task::yield_now().await;
                continue;
            }
            return Ok((taken.deliveries, due));
        }
    }
}
