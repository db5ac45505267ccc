//! What is answered where.

use super::problem::Problem;
use super::{metrics, openapi, views};
use crate::up::Up;
use crate::up::pipe::{Figures, Look, Pipe, State as PipeState};
use axum::Router;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::{StatusCode, Uri, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use purlin_connectors::dead_letters::store::{Summary, counts};
use serde_json::{Value, json};
use std::sync::Arc;

/// What can be asked of one pipeline, below `/api/v1/pipelines/{name}`.
#[derive(Clone, Copy, Debug)]
enum View {
    Graph,
    Transforms,
    Ledger,
    Why,
    Checkpoints,
    DeadLetters,
    Late,
}

const VIEWS: [(&str, View); 7] = [
    ("graph", View::Graph),
    ("transforms", View::Transforms),
    ("ledger", View::Ledger),
    ("why", View::Why),
    ("checkpoints", View::Checkpoints),
    ("deadletters", View::DeadLetters),
    ("late", View::Late),
];

const HEALTH: &str = "/healthz";
const READY: &str = "/readyz";
const METRICS: &str = "/metrics";
const OPENAPI: &str = "/openapi.json";
const PIPELINES: &str = "/api/v1/pipelines";
const PIPELINE: &str = "/api/v1/pipelines/{name}";

/// Every path that is answered.
pub fn paths() -> Vec<String> {
    let fixed = [HEALTH, READY, METRICS, OPENAPI, PIPELINES, PIPELINE];
    let views = VIEWS.iter().map(|(name, _)| format!("{PIPELINE}/{name}"));
    fixed.iter().map(|p| (*p).to_owned()).chain(views).collect()
}

/// `open`: whether it may be asked under names that we do not know.
pub(super) fn router(up: Arc<Up>, open: bool) -> Router {
    let mut router = Router::new()
        .route(HEALTH, get(|| async { answer(&json!({"status": "ok"})) }))
        .route(READY, get(ready))
        .route(METRICS, get(figures))
        .route(OPENAPI, get(|| async { ([(header::CONTENT_TYPE, "application/json")], openapi::DOCUMENT) }))
        .route(PIPELINES, get(pipelines))
        .route(PIPELINE, get(pipeline));
    for (name, view) in VIEWS {
        let path = format!("{PIPELINE}/{name}");
        router = router.route(&path, get(move |up, name| look(up, name, view)));
    }
    let router = router.fallback(not_found).method_not_allowed_fallback(not_allowed).with_state(up);
    if open { router } else { router.layer(middleware::from_fn(known_host)) }
}

/// A page in a browser must not read this under a name of its own that it lets lead here.
async fn known_host(request: Request, next: Next) -> Response {
    let host = request.headers().get(header::HOST).map(|h| h.to_str().unwrap_or("?").to_owned());
    match host.filter(|h| !is_known(h)) {
        None => next.run(request).await,
        Some(host) => Problem::new(
            StatusCode::MISDIRECTED_REQUEST,
            format!(
                "`{host}` is not asked here; use localhost or the address, or say `allow_anyone: true` in the project file"
            ),
        )
        .into_response(),
    }
}

/// True for `localhost` and addresses, with or without a port.
fn is_known(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.parse::<u16>().is_ok() && !name.ends_with(':') => name,
        _ => host,
    };
    let address = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost") || address.parse::<std::net::IpAddr>().is_ok()
}

fn answer(value: &Value) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], value.to_string()).into_response()
}

async fn not_found(uri: Uri) -> Problem {
    Problem::new(StatusCode::NOT_FOUND, format!("nothing is at {}; {OPENAPI} says what is where", uri.path()))
}

async fn not_allowed() -> Problem {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "only GET: nothing can be changed here")
}

/// Ready once every pipeline runs or has run. The broker listens before anything is answered here.
async fn ready(State(up): State<Arc<Up>>) -> Response {
    let waits = |p: &Arc<Pipe>| {
        let state: PipeState = p.look().state;
        (!state.is_ready()).then(|| json!({"pipeline": p.name, "state": state.name()}))
    };
    let waiting: Vec<Value> = up.pipes().iter().filter_map(waits).collect();
    let ready = up.has_begun() && waiting.is_empty();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, answer(&json!({"ready": ready, "waiting_for": waiting}))).into_response()
}

async fn figures(State(up): State<Arc<Up>>) -> Response {
    match metrics::text(&up) {
        Ok(text) => ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response(),
        Err(e) => Problem::new(StatusCode::INTERNAL_SERVER_ERROR, format!("cannot write figures: {e}"))
            .into_response(),
    }
}

async fn pipelines(State(up): State<Arc<Up>>) -> Response {
    let list: Vec<Value> = up.pipes().iter().map(|p| views::pipeline(p)).collect();
    let waiting = |(name, waiting): (String, u64)| json!({"name": name, "waiting": waiting});
    let subscriptions: Vec<Value> = up.backlogs().into_iter().map(waiting).collect();
    answer(
        &json!({"subscriptions": subscriptions, "name": up.name, "refused": views::failure(up.refused().as_ref()), "started": up.started.to_rfc3339(), "pid": std::process::id(),
                   "broker": up.broker.map(|b| b.to_string()), "pipelines": list}),
    )
}

type Name = Result<Path<String>, PathRejection>;

fn find(up: &Up, name: Name) -> Result<Arc<Pipe>, Problem> {
    let Path(name) = name.map_err(|e| Problem::new(StatusCode::BAD_REQUEST, e.body_text()))?;
    up.pipe(&name).ok_or_else(|| {
        let known: Vec<String> = up.pipes().iter().map(|p| p.name.clone()).collect();
        Problem::new(
            StatusCode::NOT_FOUND,
            format!("there is no pipeline `{name}`; there are: {}", known.join(", ")),
        )
    })
}

async fn pipeline(State(up): State<Arc<Up>>, name: Name) -> Result<Response, Problem> {
    Ok(answer(&views::pipeline(find(&up, name)?.as_ref())))
}

async fn look(State(up): State<Arc<Up>>, name: Name, view: View) -> Result<Response, Problem> {
    let pipe = find(&up, name)?;
    let look: Look = pipe.look();
    let never = || {
        let detail = format!("the pipeline `{}` has not run yet: it is {}", pipe.name, look.state.name());
        Problem::new(StatusCode::CONFLICT, detail)
    };
    let figures: &Figures = look.figures.as_ref().ok_or_else(never)?;
    let ends = || {
        let detail =
            format!("the pipeline `{}` ends by itself: only what is unbounded is asked this", pipe.name);
        Problem::new(StatusCode::CONFLICT, detail)
    };
    Ok(answer(&match view {
        View::Graph => views::graph(figures),
        View::Transforms => views::transforms(&look, figures),
        View::Ledger => views::ledger(figures),
        View::Late => views::late(figures),
        View::DeadLetters => views::dead_letters(figures, &letters(&up, &pipe.name).await?),
        View::Why => views::why(&pipe, figures).await.ok_or_else(ends)?,
        View::Checkpoints => views::epochs(&pipe, figures).await.ok_or_else(ends)?,
    }))
}

/// What became of a pipeline's dead letters. They are read from files, which may be many.
#[allow(clippy::disallowed_methods)] // a thread for who asks: no part of a job
async fn letters(up: &Up, pipeline: &str) -> Result<Summary, Problem> {
    let (data, name) = (up.data.clone(), pipeline.to_owned());
    let unreadable = |e: &dyn std::fmt::Display| {
        let detail = format!("the dead letters of `{pipeline}` cannot be counted: {e}");
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, detail)
    };
    let counted = tokio::task::spawn_blocking(move || counts(&data, &name)).await;
    counted.map_err(|e| unreadable(&e))?.map_err(|e| unreadable(&e))
}

#[cfg(test)]
mod tests {
    use super::is_known;

    #[test]
    fn names_of_this_machine_are_known() {
        for host in ["localhost", "LOCALHOST:8090", "127.0.0.1:8090", "[::1]:8090", "::1", "10.0.0.7"] {
            assert!(is_known(host), "{host}");
        }
        for host in ["evil.example:8090", "", "localhost.evil.example", "127.0.0.1.evil.example:80", "?"] {
            assert!(!is_known(host), "{host}");
        }
    }
}
