//! WHIP (RFC 9725) for who speaks and WHEP, its counterpart, for who listens: an offer is posted and answered, and what
//! comes of it is deleted. No trickling of candidates and no restarts: an answer holds all there is.
//!
//! `POST /whip` and `POST /whep` take `?name=` and `?member=WORD`, by which the two of one member find each other; `/whep`
//! also `?mix=1` for one mix of all voices and `?mix=0` for each on its own track. Without it, who offers one track gets the
//! mix. The answer's header `alm-node` names the member. With `?sealed=1` an RTP payload is no Opus but a media packet without
//! its tree id, which the other side has sealed or will open. `GET` of `/news` under what was made tells, as server-sent events,
//! the keys for that, what others have signed of their voices (`vouched`), and what happens and is written (`lines`); `POST` to
//! `/say` writes a line to all.

use std::convert::Infallible;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::header::{CONTENT_TYPE, LOCATION, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Extension, Router};
use futures_util::StreamExt;
use serde::Deserialize;

use super::gateway::{Call, OFFER_MAX, Opened, Refused, Way};
use super::guard::Who;
use super::routes::{Site, refusal};
use super::server::Reached;

pub(super) fn routes() -> Router<Site> {
    Router::new()
        .route("/whip", post(speak).options(sdp_alone))
        .route("/whep", post(listen).options(sdp_alone))
        .route("/whip/{id}", delete(close))
        .route("/whep/{id}", delete(close))
        .route("/whip/{id}/news", get(news))
        .route("/whep/{id}/news", get(news))
        .route("/whip/{id}/say", post(say))
        .route("/whep/{id}/say", post(say))
        .layer(DefaultBodyLimit::max(OFFER_MAX))
}

/// Who asks, and which address of this machine they reached.
type From = (Extension<Who>, Extension<Reached>);

#[derive(Deserialize)]
struct Wishes {
    #[serde(default)]
    name: String,
    member: Option<String>,
    mix: Option<String>,
    sealed: Option<String>,
}

async fn speak(
    site: State<Site>,
    from: From,
    wishes: Query<Wishes>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    open(site, "whip", Way::Speak, from, wishes, &headers, &body).await
}

async fn listen(
    site: State<Site>,
    from: From,
    wishes: Query<Wishes>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let mix = wishes.mix.as_deref().map(|mix| mix != "0");
    open(site, "whep", Way::Listen { mix }, from, wishes, &headers, &body).await
}

async fn open(
    State(site): State<Site>,
    place: &str,
    way: Way,
    (Extension(who), Extension(Reached(reached))): From,
    Query(wishes): Query<Wishes>,
    headers: &HeaderMap,
    body: &Bytes,
) -> Response {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if kind.split(';').next().is_none_or(|kind| !kind.trim().eq_ignore_ascii_case(SDP)) {
        return refusal(StatusCode::UNSUPPORTED_MEDIA_TYPE, "an offer is application/sdp");
    }
    let Ok(offer) = str::from_utf8(body) else {
        return refusal(StatusCode::BAD_REQUEST, "an offer is text");
    };
    let Some(gateway) = site.gateway() else {
        return refusal(StatusCode::NOT_IMPLEMENTED, NOBODY);
    };
    let sealed = wishes.sealed.is_some_and(|sealed| sealed != "0");
    let guest = match who {
        Who::Guest(number) => Some(number),
        Who::Owner | Who::Anybody => None,
    };
    let (offer, reached) = (offer.to_owned(), reached.ip());
    let call = Call { way, offer, name: wishes.name, member: wishes.member, guest, reached, sealed };
    match gateway.open(call).await {
        Ok(Opened { id, answer, node }) => {
            let value = |text: String| HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(""));
            let headers = [
                (CONTENT_TYPE, HeaderValue::from_static(SDP)),
                (LOCATION, value(format!("/{place}/{id}"))),
                (HeaderName::from_static("alm-node"), value(node)),
            ];
            (StatusCode::CREATED, headers, answer).into_response()
        }
        Err(refused) => no(&refused),
    }
}

fn no(refused: &Refused) -> Response {
    match refused {
        Refused::Malformed(why) => refusal(StatusCode::BAD_REQUEST, why),
        Refused::Forbidden(why) => refusal(StatusCode::FORBIDDEN, why),
        Refused::Conflict(why) => refusal(StatusCode::CONFLICT, why),
        Refused::TooMany(why) => {
            let mut answer = refusal(StatusCode::TOO_MANY_REQUESTS, why);
            answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("2"));
            answer
        }
        Refused::Failed(why) => refusal(StatusCode::INTERNAL_SERVER_ERROR, why),
    }
}

async fn close(State(site): State<Site>, Path(id): Path<String>) -> Response {
    let Some(gateway) = site.gateway() else {
        return refusal(StatusCode::NOT_IMPLEMENTED, NOBODY);
    };
    if gateway.close(id).await {
        StatusCode::OK.into_response()
    } else {
        refusal(StatusCode::NOT_FOUND, GONE)
    }
}

/// The text alone, in UTF-8.
async fn say(State(site): State<Site>, Path(id): Path<String>, body: Bytes) -> Response {
    let Ok(text) = str::from_utf8(&body) else {
        return refusal(StatusCode::BAD_REQUEST, "what is written is text");
    };
    let Some(gateway) = site.gateway() else {
        return refusal(StatusCode::NOT_IMPLEMENTED, NOBODY);
    };
    match gateway.say(id, text.to_owned()).await {
        Ok(true) => StatusCode::NO_CONTENT.into_response(),
        Ok(false) => refusal(StatusCode::NOT_FOUND, GONE),
        Err(refused) => no(&refused),
    }
}

async fn news(State(site): State<Site>, Path(id): Path<String>) -> Response {
    let Some(gateway) = site.gateway() else {
        return refusal(StatusCode::NOT_IMPLEMENTED, NOBODY);
    };
    let Some(place) = site.place() else {
        return refusal(StatusCode::SERVICE_UNAVAILABLE, "too many are looking on: close a page");
    };
    let Some(news) = gateway.news(id).await else {
        return refusal(StatusCode::NOT_FOUND, GONE);
    };
    let told = news.map(move |text| {
        // Somebody looks on for as long as this lives.
        let _ = &place;
        Ok::<_, Infallible>(Event::default().data(text))
    });
    Sse::new(told).into_response()
}

/// What may be posted here (RFC 9725, section 4.4.2).
async fn sdp_alone() -> Response {
    (StatusCode::NO_CONTENT, [(HeaderName::from_static("accept-post"), HeaderValue::from_static(SDP))])
        .into_response()
}

const GONE: &str = "there is no such connection, or no more";
const NOBODY: &str = "this build lets no browsers in";
const SDP: &str = "application/sdp";
