//! Links by which guests come in who do not have the program: made, shown and taken back by whoever runs this node.
//!
//! A link opens a page with less on it: who is here, the map, and a way in. It shows no id (with which its holder could come
//! back after all), nothing that was written, and steers nothing of this node. Taken back, it says so to whoever opens it,
//! and everybody who came by it is put out.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use serde_json::{Map, Value, json};
use tokio::sync::watch;

use super::guard::Token;
use crate::control::{Answer, Request, Served};

/// See the [module](self).
pub struct Guests {
    /// What links begin with, once the port is open.
    base: OnceLock<String>,
    links: Mutex<Vec<Link>>,
    chance: fn() -> [u8; 16],
    changes: watch::Sender<u64>,
}

struct Link {
    number: u64,
    name: String,
    token: Token,
    revoked: bool,
}

/// What a word is that somebody shows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Known {
    /// The link of that number.
    Open(u64),
    /// A link that was taken back.
    Revoked,
    /// No link.
    No,
}

impl Guests {
    /// Nobody is invited yet. `chance` is the system's.
    #[must_use]
    pub fn new(chance: fn() -> [u8; 16]) -> Self {
        Self { base: OnceLock::new(), links: Mutex::default(), chance, changes: watch::Sender::new(0) }
    }

    /// Links begin so from now on.
    pub(super) fn serve_at(&self, base: String) {
        // There is one port.
        let _ = self.base.set(base);
    }

    /// The link that goes by `name`; it is made if there is none.
    ///
    /// # Errors
    /// A sentence: there are too many.
    pub fn make(&self, name: &str) -> Result<String, String> {
        let base = self.base.get().ok_or("the port for guests is not open yet")?;
        let mut links = self.links();
        if let Some(link) = links.iter().find(|link| !link.revoked && link.name == name) {
            return Ok(format!("{base}#{}", link.token));
        }
        if links.iter().filter(|link| !link.revoked).count() >= LINKS_MAX {
            return Err(format!("there are {LINKS_MAX} links already: take one back"));
        }
        // Of those that were taken back, the oldest is forgotten.
        if links.len() >= REMEMBERED_MAX
            && let Some(at) = links.iter().position(|link| link.revoked)
        {
            links.remove(at);
        }
        let number = links.last().map_or(1, |last| last.number + 1);
        let token = Token::new((self.chance)());
        let text = format!("{base}#{token}");
        links.push(Link { number, name: name.to_owned(), token, revoked: false });
        Ok(text)
    }

    /// Takes the link of that name back; false if there is none.
    pub fn revoke(&self, name: &str) -> bool {
        let mut links = self.links();
        let found = links.iter_mut().find(|link| !link.revoked && link.name == name);
        let was_open = found.map(|link| link.revoked = true).is_some();
        drop(links);
        if was_open {
            self.changes.send_modify(|times| *times += 1);
        }
        was_open
    }

    /// The names of the links that open.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.links().iter().filter(|link| !link.revoked).map(|link| link.name.clone()).collect()
    }

    /// Whether who came by the link of that number may stay.
    #[must_use]
    pub fn is_open(&self, number: u64) -> bool {
        self.links().iter().any(|link| link.number == number && !link.revoked)
    }

    /// Changes whenever a link is taken back.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Looks at all of them, so that time tells nothing.
    pub(super) fn known(&self, said: &str) -> Known {
        self.links().iter().fold(Known::No, |known, link| match (link.token.is(said), link.revoked) {
            (true, false) => Known::Open(link.number),
            (true, true) => Known::Revoked,
            (false, _) => known,
        })
    }

    fn links(&self) -> MutexGuard<'_, Vec<Link>> {
        // A list of links stays usable whatever befell another reader.
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The conference as a guest may see it.
pub(super) struct Lobby(pub(super) Arc<dyn Served>);

impl Served for Lobby {
    fn answer(&self, request: Request) -> Answer {
        match (request, self.0.answer(Request::State)) {
            (Request::State, Answer::State(Value::Object(state))) => Answer::State(seen_by_guests(state)),
            (Request::State, other) => other,
            _ => Answer::Refused("a guest cannot do that".to_owned()),
        }
    }
}

fn seen_by_guests(mut state: Map<String, Value>) -> Value {
    state.retain(|key, _| SEEN.contains(&key.as_str()));
    if let Some(name) = state.get("session").and_then(|session| session.get("name")).cloned() {
        state.insert("session".to_owned(), json!({ "id": null, "name": name, "role": "guest" }));
    }
    Value::Object(state)
}

/// What guests see of the state: who is here, who speaks, and the way of the voices.
const SEEN: [&str; 10] =
    ["locked", "session", "members", "recorders", "plan", "heard", "levels_db", "places", "phrase", "quiet"];
/// Links that open, at a time.
const LINKS_MAX: usize = 32;
/// Links that are known again, those that were taken back included.
const REMEMBERED_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU8, Ordering};

    fn chance() -> [u8; 16] {
        static NEXT: AtomicU8 = AtomicU8::new(0);
        [NEXT.fetch_add(1, Ordering::Relaxed); 16]
    }

    #[test]
    fn a_link_opens_until_it_is_taken_back() {
        let guests = Guests::new(chance);
        assert!(guests.make("friends").is_err(), "there is no port yet");
        guests.serve_at("https://a/".to_owned());
        let (friends, press) = (guests.make("friends").unwrap(), guests.make("press").unwrap());
        assert_eq!(guests.make("friends"), Ok(friends.clone()), "it is the same while it opens");
        let token = |link: &str| link.split_once('#').unwrap().1.to_owned();
        let Known::Open(number) = guests.known(&token(&friends)) else { panic!("it does not open") };
        assert!(guests.is_open(number));
        let mut changes = guests.changes();
        assert!(guests.revoke("friends") && !guests.revoke("friends") && !guests.revoke("nobody"));
        assert!(changes.has_changed().unwrap() && !guests.is_open(number));
        changes.mark_unchanged();
        assert_eq!(guests.known(&token(&friends)), Known::Revoked);
        assert!(matches!(guests.known(&token(&press)), Known::Open(_)));
        assert_eq!(guests.known("a"), Known::No);
        let again = guests.make("friends").unwrap();
        assert!(again != friends && guests.names() == ["press", "friends"]);
    }

    #[test]
    fn links_are_bounded() {
        let guests = Guests::new(chance);
        guests.serve_at(String::new());
        for name in 0..LINKS_MAX {
            guests.make(&name.to_string()).unwrap();
        }
        assert!(guests.make("one more").is_err());
        for _ in 0..2 * REMEMBERED_MAX {
            assert!(guests.revoke("0"));
            guests.make("0").unwrap();
        }
        assert!(guests.links().len() <= REMEMBERED_MAX);
    }

    #[test]
    fn guests_see_no_id_and_nothing_that_was_written() {
        let state = json!({
            "session": {"id": "almsecret", "name": "round", "role": "host"}, "chat": [["a", "hello"]],
            "news": ["a: hello"], "members": {"a": "A"}, "guests": {"x": "https://"}, "fingerprint": "AA:BB", "input_db": -3,
        });
        let seen = seen_by_guests(state.as_object().unwrap().clone());
        let session = json!({"id": null, "name": "round", "role": "guest"});
        assert_eq!(seen, json!({"session": session, "members": {"a": "A"}}));
        let none = json!({"session": null});
        assert_eq!(seen_by_guests(none.as_object().unwrap().clone()), none);
    }
}
