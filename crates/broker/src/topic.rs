//! Topics.

use crate::catalog::records::TopicRecord;
use crate::feed::Feed;
use crate::store::StoreError;
use crate::tasks::{read, write};
use pubsub_proto::google::pubsub::v1 as pb;
use std::sync::{Arc, RwLock};

/// A topic.
#[derive(Debug)]
pub(crate) struct Topic {
    feed: Arc<Feed>,
    resource: RwLock<Arc<pb::Topic>>,
}

impl Topic {
    /// A topic that is in the catalog.
    pub(crate) fn new(
        record: TopicRecord,
        feed: impl FnOnce(u64) -> Result<Arc<Feed>, StoreError>,
    ) -> Result<Self, StoreError> {
        Ok(Topic { feed: feed(record.log)?, resource: RwLock::new(Arc::new(record.topic)) })
    }

    /// Its messages.
    pub(crate) fn feed(&self) -> &Arc<Feed> {
        &self.feed
    }

    /// The resource as clients see it.
    pub(crate) fn resource(&self) -> Arc<pb::Topic> {
        read(&self.resource).clone()
    }

    /// Changes the resource.
    pub(crate) fn set_resource(&self, topic: pb::Topic) {
        *write(&self.resource) = Arc::new(topic);
    }

    /// The record for the catalog, with another resource.
    pub(crate) fn record(&self, topic: pb::Topic) -> TopicRecord {
        TopicRecord { topic, log: self.feed.number() }
    }
}
