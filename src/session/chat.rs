//! What members write to each other: signed by its author, sealed by the group's keys, sent to every member over the control
//! channel. After a cut, each shows those who come back what it wrote itself, and what is known already is left out:
//! both sides end with the union. Who comes for the first time is shown nothing of before.

use std::collections::BTreeMap;

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hmac;
use serde::{Deserialize, Serialize};

use super::keyring::{EpochKey, Keys};
use super::roster::is_visible;
use crate::identity::{Identity, NodeId, SessionId, Signature};

/// Bytes of one message's text.
pub const CHAT_TEXT_MAX: usize = 4 * 1024;
/// Messages that a node remembers; the oldest go first.
const HISTORY_MAX: usize = 256;
/// Bytes of texts that are shown to who comes back.
const AGAIN_BYTES_MAX: usize = 32 * 1024;

/// One message.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Line {
    /// Who wrote it.
    pub author: NodeId,
    /// When, by the author's clock, milliseconds since 1970.
    pub sent_ms: u64,
    /// What.
    pub text: String,
    /// Tells it from others of the same author.
    serial: u64,
    signature: Signature,
}

impl Line {
    fn message(session: SessionId, sent_ms: u64, serial: u64, text: &str) -> Vec<u8> {
        let head = [b"alm chat v1".as_slice(), &session.0, &sent_ms.to_be_bytes(), &serial.to_be_bytes()];
        [head.concat().as_slice(), text.as_bytes()].concat()
    }

    fn is_authors(&self, session: SessionId) -> bool {
        let message = Self::message(session, self.sent_ms, self.serial, &self.text);
        self.author.verifies(&message, &self.signature.0)
    }
}

/// What has been written, in order.
#[derive(Debug, Default)]
pub struct Chat {
    /// Messages that this node has written.
    said: u64,
    lines: BTreeMap<(u64, NodeId, u64), Line>,
}

impl Chat {
    /// This node writes; `None` if nothing legible is left of the text.
    pub fn say(&mut self, by: &Identity, session: SessionId, text: &str, sent_ms: u64) -> Option<Line> {
        let text = legible(text);
        if text.is_empty() {
            return None;
        }
        self.said += 1;
        let serial = self.said;
        let signature = by.sign(&Line::message(session, sent_ms, serial, &text));
        let line = Line { author: by.node_id(), sent_ms, text, serial, signature };
        self.keep(line.clone());
        Some(line)
    }

    /// Takes what came, and says what of it is news. `is_known` tells who is or was in.
    pub fn take(
        &mut self,
        lines: Vec<Line>,
        session: SessionId,
        is_known: impl Fn(NodeId) -> bool,
    ) -> Vec<Line> {
        let is_good = |line: &Line| {
            line.text.len() <= CHAT_TEXT_MAX && is_known(line.author) && line.text == legible(&line.text)
        };
        let key = |line: &Line| (line.sent_ms, line.author, line.serial);
        let mut news = Vec::new();
        for line in lines.into_iter().take(HISTORY_MAX) {
            // A signature is proven last: it costs the most.
            if is_good(&line) && !self.lines.contains_key(&key(&line)) && line.is_authors(session) {
                self.keep(line.clone());
                news.push(line);
            }
        }
        news
    }

    /// What `author` wrote last, as much as one message holds.
    #[must_use]
    pub fn of(&self, author: NodeId) -> Vec<Line> {
        let mut room = AGAIN_BYTES_MAX;
        let own = self.lines.values().rev().filter(|line| line.author == author);
        let mut lines: Vec<Line> = own
            .take_while(|line| {
                let fits = room >= line.text.len() + 128;
                room = room.saturating_sub(line.text.len() + 128);
                fits
            })
            .cloned()
            .collect();
        lines.reverse();
        lines
    }

    fn keep(&mut self, line: Line) {
        self.lines.insert((line.sent_ms, line.author, line.serial), line);
        if self.lines.len() > HISTORY_MAX {
            self.lines.pop_first();
        }
    }
}

/// Seals lines for the members of an epoch. The nonce is a hash of what is sealed, which members who cannot count together
/// use twice for the same lines alone (the idea of RFC 5297): they are signed, so that no two texts are the same.
#[must_use]
pub(crate) fn seal(lines: &[Line], key: &EpochKey) -> Vec<u8> {
    let mut sealed = postcard::to_stdvec(lines).expect("lines hold nothing that postcard cannot write");
    let hash = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key.chat()), &sealed);
    let nonce: [u8; NONCE_LEN] = std::array::from_fn(|at| hash.as_ref()[at]);
    cipher(key)
        .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::empty(), &mut sealed)
        .expect("far below the cipher's limit");
    sealed.splice(0..0, nonce);
    sealed
}

/// Opens what one of the keys sealed.
pub(crate) fn open(sealed: &[u8], keys: &Keys) -> Option<Vec<Line>> {
    let (nonce, sealed) = sealed.split_first_chunk::<NONCE_LEN>()?;
    keys.open.iter().rev().find_map(|key| {
        let mut plain = sealed.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let opened = cipher(key).open_in_place(nonce, Aad::empty(), &mut plain).ok()?;
        postcard::from_bytes(opened).ok()
    })
}

fn cipher(key: &EpochKey) -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &key.chat()).expect("the key has the cipher's length"))
}

/// One line of text that neither a terminal nor a reader's eye takes for more than letters, within the bound.
fn legible(text: &str) -> String {
    let shown = text.chars().map(|c| if c.is_whitespace() { ' ' } else { c }).filter(|c| is_visible(*c));
    let mut kept = String::new();
    for c in shown {
        if kept.len() + c.len_utf8() > CHAT_TEXT_MAX {
            break;
        }
        kept.push(c);
    }
    kept.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SESSION: SessionId = SessionId([7; 20]);

    #[test]
    fn what_both_sides_wrote_ends_as_the_union_and_nobody_writes_as_another() {
        let [ada, ben] = [1, 2].map(|seed| Identity::from_seed([seed; 32]));
        let (mut one, mut two) = (Chat::default(), Chat::default());
        one.say(&ada, SESSION, "here", 10).unwrap();
        two.say(&ben, SESSION, " th\u{202e}ere\u{1b}[2J\n", 11).unwrap();
        assert_eq!(one.say(&ada, SESSION, "\n\u{7}", 12), None);
        let (from_one, from_two) = (one.of(ada.node_id()), two.of(ben.node_id()));
        let news = one.take(from_two.clone(), SESSION, |_| true);
        assert_eq!(news[0].text, "there[2J");
        assert_eq!(one.take(from_two.clone(), SESSION, |_| true), [], "once");
        two.take(from_one, SESSION, |_| true);
        assert_eq!(one.lines, two.lines);
        let mut forged = from_two[0].clone();
        (forged.author, forged.serial) = (ada.node_id(), 9);
        assert_eq!(one.take(vec![forged], SESSION, |_| true), []);
        assert_eq!(Chat::default().take(from_two.clone(), SESSION, |_| false), [], "who was never in");
        assert_eq!(Chat::default().take(from_two, SessionId([8; 20]), |_| true), [], "said elsewhere");
    }

    #[test]
    fn history_and_texts_are_bounded() {
        let (ada, mut chat) = (Identity::from_seed([1; 32]), Chat::default());
        for i in 0..HISTORY_MAX as u64 + 9 {
            chat.say(&ada, SESSION, &"é".repeat(CHAT_TEXT_MAX), i).unwrap();
        }
        assert_eq!(chat.lines.len(), HISTORY_MAX);
        assert!(chat.lines.values().all(|line| line.text.len() == CHAT_TEXT_MAX));
        let again = chat.of(ada.node_id());
        assert!(again.len() == 7 && again.last().unwrap().sent_ms == HISTORY_MAX as u64 + 8);
    }
}
