//! Connections: so many at once, none of which keeps its place by doing nothing.

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::collections::VecDeque;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

/// Connections at once: each takes a file of the process, which its pipelines need, too.
const CONNECTIONS_MAX: usize = 128;
/// How long the head of a request may take to come, the first as well as the next one.
const HEAD_MAX: Duration = Duration::from_secs(10);
/// How long nobody is let in after that failed.
const ACCEPT_WAIT: Duration = Duration::from_millis(100);

/// Answers until it is told to stop, then lets answers in flight end. If all places are taken the connection that came
/// first is closed: an answer takes milliseconds, so that it is one that idles.
pub(super) async fn serve(listener: TcpListener, router: Router, mut stopping: watch::Receiver<bool>) {
    let mut guests = JoinSet::new();
    // Those who may still be there, in the order in which they came.
    let mut line: VecDeque<AbortHandle> = VecDeque::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = told(&mut stopping) => break,
        };
        while guests.try_join_next().is_some() {}
        line.retain(|g| !g.is_finished());
        if line.len() >= CONNECTIONS_MAX
            && let Some(first) = line.pop_front()
        {
            first.abort();
            // Not before its file is free.
            let _left = guests.join_next().await;
        }
        match accepted {
            Ok((stream, _)) => line.push_back(guests.spawn(guest(stream, router.clone(), stopping.clone()))),
            Err(e) => {
                // Too many open files, mostly: it passes when others are closed.
                tracing::warn!("cannot accept an HTTP connection: {e}");
                tokio::time::sleep(ACCEPT_WAIT).await;
            }
        }
    }
    drop(listener);
    while guests.join_next().await.is_some() {}
}

/// Ends once it is said to stop, or nobody can say it any more.
async fn told(stopping: &mut watch::Receiver<bool>) {
    let _told = stopping.wait_for(|s| *s).await;
}

async fn guest(stream: TcpStream, router: Router, mut stopping: watch::Receiver<bool>) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_MAX)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    tokio::pin!(connection);
    tokio::select! {
        // A connection that broke is its client's concern.
        _ended = connection.as_mut() => return,
        () = told(&mut stopping) => connection.as_mut().graceful_shutdown(),
    }
    let _ended = connection.await;
}
