//! What can be asked, and the headers that every answer carries.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Request as Asked, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::sse::{KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};
use futures_util::StreamExt;
use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::calls;
use super::feed::feed;
use super::gateway::Gateway;
use super::guard::{Guard, Who};
use super::guests::Lobby;
use super::metrics::metrics;
use super::server::Reached;
use crate::control::{Answer, Request, Served};

/// What the handlers share.
#[derive(Clone)]
pub(super) struct Site {
    guard: Guard,
    /// What is told and done; to guests, a part of it.
    desk: Arc<dyn Served>,
    changes: watch::Receiver<u64>,
    readers: Arc<Semaphore>,
    gateway: Option<Arc<dyn Gateway>>,
}

impl Site {
    pub(super) fn new(
        guard: Guard,
        desk: Arc<dyn Served>,
        changes: watch::Receiver<u64>,
        gateway: Option<Arc<dyn Gateway>>,
    ) -> Self {
        let desk = match guard {
            Guard::Own(_) => desk,
            Guard::Guests(..) => Arc::new(Lobby(desk)),
        };
        Self { guard, desk, changes, readers: Arc::new(Semaphore::new(READERS_MAX)), gateway }
    }

    /// A place among those who look on, if there is one left.
    pub(super) fn place(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.readers).try_acquire_owned().ok()
    }

    /// Who lets browsers in, if anybody does.
    pub(super) fn gateway(&self) -> Option<&dyn Gateway> {
        self.gateway.as_deref()
    }
}

pub(super) fn router(site: Site) -> Router {
    let own = Router::new().route("/metrics", get(numbers)).route("/api/v1/do", post(order));
    let own = if matches!(site.guard, Guard::Own(_)) { own } else { Router::new() };
    Router::new()
        .route("/", get(|| file("text/html", include_str!("page/index.html"))))
        .route("/page.css", get(|| file("text/css", include_str!("page/page.css"))))
        .route("/page.js", get(|| file("text/javascript", include_str!("page/page.js"))))
        .route("/people.js", get(|| file("text/javascript", include_str!("page/people.js"))))
        .route("/call.js", get(|| file("text/javascript", include_str!("page/call.js"))))
        .route("/events.js", get(|| file("text/javascript", include_str!("page/events.js"))))
        .route("/seal.js", get(|| file("text/javascript", include_str!("page/seal.js"))))
        .route("/sframe.js", get(|| file("text/javascript", include_str!("page/sframe.js"))))
        .route("/witness.js", get(|| file("text/javascript", include_str!("page/witness.js"))))
        .route("/map.js", get(|| file("text/javascript", include_str!("page/map.js"))))
        .route("/layout.js", get(|| file("text/javascript", include_str!("page/layout.js"))))
        .route("/icon.svg", get(|| file("image/svg+xml", include_str!("page/icon.svg"))))
        .route("/api/v1/state", get(state))
        .route("/api/v1/events", get(events))
        .merge(own)
        .merge(calls::routes())
        .fallback(|| async {
            refusal(StatusCode::NOT_FOUND, "there is nothing here: see ARCHITECTURE.md for what is")
        })
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .layer(from_fn_with_state(site.clone(), at_the_door))
        .with_state(site)
}

/// Turns away who must not ask, and puts the headers on that keep a browser from doing anything but show the page.
async fn at_the_door(
    State(site): State<Site>,
    Extension(Reached(reached)): Extension<Reached>,
    mut asked: Asked,
    next: Next,
) -> Response {
    let checked = site.guard.check(reached, asked.method(), asked.uri(), asked.headers());
    if let Ok(who) = checked {
        asked.extensions_mut().insert(who);
    }
    let mut answer = match checked {
        Ok(_) => match tokio::time::timeout(ANSWER_WITHIN, next.run(asked)).await {
            Ok(answer) => answer,
            Err(_) => refusal(StatusCode::REQUEST_TIMEOUT, "the request took too long to arrive"),
        },
        Err((status, sentence)) => refusal(status, sentence),
    };
    let headers = answer.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    for name in ["cross-origin-opener-policy", "cross-origin-resource-policy"] {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static("same-origin"));
    }
    answer
}

async fn file(kind: &'static str, text: &'static str) -> Response {
    let kind = HeaderValue::from_static(kind);
    ([(CONTENT_TYPE, kind)], text).into_response()
}

async fn state(State(site): State<Site>) -> Response {
    answered(site.desk.answer(Request::State))
}

async fn numbers(State(site): State<Site>) -> Response {
    match site.desk.answer(Request::State) {
        Answer::State(state) => {
            let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
            ([(CONTENT_TYPE, kind)], metrics(&state)).into_response()
        }
        other => answered(other),
    }
}

async fn events(State(site): State<Site>, Extension(who): Extension<Who>) -> Response {
    let Some(place) = site.place() else {
        return refusal(StatusCode::SERVICE_UNAVAILABLE, "too many are looking on: close a page");
    };
    // A guest's ends when their link does.
    let news = feed(site.desk, site.changes, place).take_until(shown_out(site.guard, who));
    Sse::new(news).keep_alive(KeepAlive::new().interval(ALIVE)).into_response()
}

/// Resolves when who looks on may not do so any more.
async fn shown_out(guard: Guard, who: Who) {
    let (Guard::Guests(guests, _), Who::Guest(number)) = (guard, who) else {
        return std::future::pending().await;
    };
    let mut changes = guests.changes();
    while guests.is_open(number) && changes.changed().await.is_ok() {}
}

/// Does what a line on the control socket would do.
async fn order(State(site): State<Site>, body: Bytes) -> Response {
    match serde_json::from_slice(&body) {
        Ok(request) => answered(site.desk.answer(request)),
        Err(error) => refusal(StatusCode::BAD_REQUEST, &format!("not understood ({error})")),
    }
}

fn answered(answer: Answer) -> Response {
    match answer {
        Answer::State(state) => json_answer(StatusCode::OK, &state),
        Answer::Refused(why) => refusal(StatusCode::CONFLICT, &why),
        done @ (Answer::Here { .. } | Answer::Done { .. } | Answer::Text(_)) => {
            json_answer(StatusCode::OK, &json!(done))
        }
    }
}

pub(super) fn refusal(status: StatusCode, sentence: &str) -> Response {
    json_answer(status, &json!({ "error": sentence }))
}

fn json_answer(status: StatusCode, value: &serde_json::Value) -> Response {
    let kind = HeaderValue::from_static("application/json");
    (status, [(CONTENT_TYPE, kind)], value.to_string()).into_response()
}

/// Nothing but the page's own files, and no text that becomes markup. The one policy names the one worker's file.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      worker-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; \
                      trusted-types alm";
/// Pages that are kept up to date at a time; less than there are connections, so that orders get through.
const READERS_MAX: usize = 24;
/// A request's body: as much as the control socket takes.
const BODY_MAX: usize = 8 * 1024;
/// Everything but the stream of news is answered at once; only a body that trickles in takes longer.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// Between two signs of life to a page, so that it notices a node that is gone.
const ALIVE: Duration = Duration::from_secs(5);
