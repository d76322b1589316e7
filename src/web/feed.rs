//! What changes, as it changes: server-sent events (HTML, section 9.2), each an object of the parts of the state that are not
//! what they were.
//!
//! Nothing is queued: a reader who is slow gets the state as it is by then, and what came between is not told.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::response::sse::Event;
use futures_util::stream::{Stream, unfold};
use serde_json::{Map, Value};
use tokio::sync::{OwnedSemaphorePermit, watch};

use crate::control::{Answer, Request, Served};

/// Tells one reader, for as long as `place` is theirs, what `desk` says whenever there are `changes`.
pub(super) fn feed(
    desk: Arc<dyn Served>,
    changes: watch::Receiver<u64>,
    place: OwnedSemaphorePermit,
) -> impl Stream<Item = Result<Event, Infallible>> {
    let feed = Feed { desk, changes, told: Map::new(), _place: place };
    unfold(feed, |mut feed| async {
        let news = feed.next().await?;
        Some((Ok(Event::default().data(Value::Object(news).to_string())), feed))
    })
}

struct Feed {
    desk: Arc<dyn Served>,
    changes: watch::Receiver<u64>,
    told: Map<String, Value>,
    _place: OwnedSemaphorePermit,
}

impl Feed {
    /// Waits for news; none when the node has ended.
    async fn next(&mut self) -> Option<Map<String, Value>> {
        if !self.told.is_empty() {
            tokio::time::sleep(PACE).await;
        }
        loop {
            self.changes.borrow_and_update();
            if let Answer::State(Value::Object(state)) = self.desk.answer(Request::State) {
                let news = difference(&self.told, &state);
                if !news.is_empty() {
                    self.told = state;
                    return Some(news);
                }
            }
            self.changes.changed().await.ok()?;
        }
    }
}

/// The parts that are not what they were. Parts do not go away: what is no more is null or empty.
fn difference(before: &Map<String, Value>, now: &Map<String, Value>) -> Map<String, Value> {
    let is_news = |(key, value): &(&String, &Value)| before.get(*key) != Some(value);
    now.iter().filter(is_news).map(|(key, value)| (key.clone(), value.clone())).collect()
}

/// Between two events of one reader: faster than that nobody reads.
const PACE: Duration = Duration::from_millis(150);

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_what_has_changed_is_told() {
        let map = |value: Value| value.as_object().unwrap().clone();
        let (before, now) = (
            map(json!({"muted": false, "members": {"a": "A"}})),
            map(json!({"muted": true, "members": {"a": "A"}})),
        );
        assert_eq!(difference(&Map::new(), &now), now);
        assert_eq!(difference(&before, &now), map(json!({"muted": true})));
        assert!(difference(&now, &now).is_empty());
    }
}
