//! The rules of delivery in a `Subscription` resource.

use super::core::Rules;
use super::retry::Backoff;
use crate::clock::{Micros, span_of};
use crate::filter::Filter;
use crate::limits::{ACK_DEADLINE_SECONDS_MIN, DELIVERY_ATTEMPTS_MIN, RETENTION_SECONDS_DEFAULT};
use pubsub_proto::google::pubsub::v1 as pb;

/// Microseconds of a second.
pub(crate) const SECOND: Micros = 1_000_000;

/// The rules of a checked resource.
pub(crate) fn rules_of(subscription: &pb::Subscription) -> Rules {
    Rules {
        ack_deadline: Micros::from(subscription.ack_deadline_seconds.max(ACK_DEADLINE_SECONDS_MIN)) * SECOND,
        ordered: subscription.enable_message_ordering,
        exactly_once: subscription.enable_exactly_once_delivery,
        backoff: subscription.retry_policy.as_ref().map_or(Backoff::default(), backoff_of),
        attempts_max: subscription.dead_letter_policy.as_ref().map(|p| match p.max_delivery_attempts {
            0 => DELIVERY_ATTEMPTS_MIN.unsigned_abs(),
            n => n.unsigned_abs(),
        }),
        filter: Some(subscription.filter.as_str())
            .filter(|f| !f.is_empty())
            .and_then(|f| Filter::parse(f).ok()),
    }
}

fn backoff_of(policy: &pb::RetryPolicy) -> Backoff {
    Backoff {
        min_micros: policy.minimum_backoff.as_ref().map_or(10 * SECOND, span_of),
        max_micros: policy.maximum_backoff.as_ref().map_or(600 * SECOND, span_of),
    }
}

/// How long a subscription keeps messages.
pub(crate) fn retention_of(subscription: &pb::Subscription) -> Micros {
    subscription.message_retention_duration.as_ref().map_or(RETENTION_SECONDS_DEFAULT * SECOND, span_of)
}
