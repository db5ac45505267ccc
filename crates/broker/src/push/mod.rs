//! Push: messages go to an HTTP endpoint, which acknowledges by the status of its answer.

pub(crate) mod endpoint;
mod envelope;

use crate::clock;
use crate::hub::Hub;
use crate::limits::{PUSH_IN_FLIGHT_MAX, RESPONSE_BYTES_MAX};
use crate::subscription::Subscription;
use crate::subscription::ack_id::AckId;
use crate::subscription::core::{Delivery, Taker};
use crate::subscription::retry::Backoff;
use crate::subscription::rules::SECOND;
use crate::tasks::{spawn, stopped};
use bytes::Bytes;
use endpoint::Endpoint;
use http_body_util::Full;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

type Http = Client<HttpConnector, Full<Bytes>>;

/// How long an endpoint that fails is left alone.
const PAUSE: Backoff = Backoff { min_micros: SECOND / 10, max_micros: 60 * SECOND };

/// Lets pushing begin where it is configured.
pub(crate) fn follow(hub: &Hub, subscription: &Subscription) {
    let resource = subscription.resource();
    if resource.push_config.as_ref().is_some_and(|c| !c.push_endpoint.is_empty()) {
        hub.pushing.send_modify(|n| *n += 1);
    }
}

/// Starts a task for each subscription that pushes and has none.
pub(crate) async fn supervise(hub: Arc<Hub>) {
    let http: Http =
        Client::builder(TokioExecutor::new()).pool_max_idle_per_host(PUSH_IN_FLIGHT_MAX).build_http();
    let mut changed = hub.pushing.subscribe();
    let mut stopping = hub.stopping.clone();
    loop {
        for subscription in hub.catalog.subscriptions() {
            if target(&subscription).is_some() && subscription.begin_pushing() {
                let (hub, http) = (hub.clone(), http.clone());
                spawn(async move {
                    push(&hub, &subscription, http).await;
                    subscription.end_pushing();
                    // It may have been given an endpoint again just now.
                    follow(&hub, &subscription);
                });
            }
        }
        tokio::select! {
            _ = changed.changed() => {}
            () = stopped(&mut stopping) => return,
        }
    }
}

/// Where a subscription pushes to now.
fn target(subscription: &Subscription) -> Option<Endpoint> {
    subscription.check_usable().ok()?;
    let resource = subscription.resource();
    Endpoint::parse(&resource.push_config.as_ref()?.push_endpoint).ok()
}

/// Pushes until the subscription has no endpoint any more.
async fn push(hub: &Arc<Hub>, subscription: &Arc<Subscription>, http: Http) {
    let mut stopping = hub.stopping.clone();
    let mut in_flight: JoinSet<(AckId, Result<(), String>)> = JoinSet::new();
    let (mut failures, mut resume_at) = (0u32, 0);
    while let Some(endpoint) = target(subscription) {
        let mut waker = subscription.waker();
        let room = PUSH_IN_FLIGHT_MAX.saturating_sub(in_flight.len());
        // An endpoint that failed is asked with one message until it answers.
        let room = if failures > 0 { room.min(1) } else { room };
        let mut due = None;
        if room > 0 && clock::now() >= resume_at {
            match hub.take(subscription, taker(subscription, room)).await {
                Ok((deliveries, next)) => {
                    due = next;
                    for delivery in deliveries {
                        let call =
                            call(hub.clone(), subscription.clone(), http.clone(), endpoint.clone(), delivery);
                        in_flight.spawn(call);
                    }
                }
                Err(status) => {
                    (hub.report)(&format!("cannot push for {}: {}", subscription.name(), status.message()));
                    resume_at = clock::now() + PAUSE.max_micros;
                }
            }
        }
        let wake_at = if resume_at > clock::now() { Some(resume_at) } else { due };
        tokio::select! {
            Some(Ok((id, answer))) = in_flight.join_next() => {
                if settle(hub, subscription, id, answer, &mut failures).await {
                    resume_at = 0;
                } else {
                    resume_at = clock::now() + PAUSE.delay(failures);
                }
            }
            () = waker.wait(wake_at) => {}
            () = stopped(&mut stopping) => return,
        }
    }
}

fn taker(subscription: &Subscription, room: usize) -> Taker {
    Taker {
        holder: subscription.new_holder(),
        // The endpoint has the ack deadline to answer; the lease must not end before that is known.
        ack_deadline: subscription.ack_deadline() + 5 * SECOND,
        messages_max: room,
        bytes_max: RESPONSE_BYTES_MAX,
    }
}

/// One request. Errors say what the endpoint did.
async fn call(
    hub: Arc<Hub>,
    subscription: Arc<Subscription>,
    http: Http,
    endpoint: Endpoint,
    delivery: Delivery,
) -> (AckId, Result<(), String>) {
    let resource = subscription.resource();
    let config = resource.push_config.clone().unwrap_or_default();
    let request = envelope::request(&endpoint, &config, &resource, hub.push_token.as_deref(), &delivery);
    let timeout = Duration::from_micros(subscription.ack_deadline().unsigned_abs());
    let answer = match tokio::time::timeout(timeout, http.request(request)).await {
        Err(_) => Err(format!("did not answer within {} s", timeout.as_secs())),
        Ok(Err(e)) => Err(format!("cannot be reached: {e}")),
        Ok(Ok(response)) => match response.status().as_u16() {
            102 | 200 | 201 | 202 | 204 => Ok(()),
            status => Err(format!("answered {status}")),
        },
    };
    (delivery.ack_id, answer)
}

/// Acknowledges or gives back. Answers whether the endpoint took the message.
async fn settle(
    hub: &Hub,
    subscription: &Subscription,
    id: AckId,
    answer: Result<(), String>,
    failures: &mut u32,
) -> bool {
    match answer {
        Ok(()) => {
            *failures = 0;
            if let Err(status) = subscription.ack(&[Some(id)]).await {
                (hub.report)(&format!(
                    "cannot acknowledge for {}: {}",
                    subscription.name(),
                    status.message()
                ));
            }
            true
        }
        Err(why) => {
            *failures = failures.saturating_add(1);
            if failures.is_power_of_two() {
                let name = subscription.name();
                (hub.report)(&format!("the push endpoint of {name} {why} ({failures} failures in a row)"));
            }
            subscription.modify([(Some(id), 0)]);
            false
        }
    }
}
