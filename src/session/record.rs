//! The session's record in the pool's data overlay: who is the task manager now, and where. It is what lets an id join when
//! its entry points have gone stale or the session has moved.
//!
//! Its key pair is derived from the id, so that whoever manages the session can renew the record, whoever has the id can
//! find it, and the pool learns neither which session it is nor who is in it. What it says is sealed under the id, and
//! believed for the delegation in it, which only the session's own key can make: an intruder with the id could withhold
//! the record, not forge it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hmac;
use serde::{Deserialize, Serialize};

use super::invite::ENTRY_POINTS_MAX;
use super::keys::{Delegation, derive_for};
use crate::identity::{Identity, Position, SessionId};
use crate::pool::records::{Object, Record, key_of};

/// What the record says.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SessionRecord {
    /// Who manages the session, and by whose word.
    pub delegation: Delegation,
    /// Where that node listens; at most [`ENTRY_POINTS_MAX`].
    pub addrs: Vec<SocketAddr>,
}

/// How long the record of a manager that has vanished is found: long enough to come back, too short to mislead for long.
const LIFETIME: Duration = Duration::from_secs(600);
/// The one record of a session.
const NAME: &[u8] = b"manager";
const OWNER: &[u8] = b"alm session record owner v1";
const SEAL: &[u8] = b"alm session record seal v1";
const NONCES: &[u8] = b"alm session record nonce v1";

/// Where the record of a session belongs.
#[must_use]
pub fn record_key(session: SessionId, secret: &[u8; 16]) -> Position {
    key_of(&owner(session, secret).node_id(), NAME)
}

impl SessionRecord {
    /// The object to keep in the pool.
    #[must_use]
    pub fn seal(&self, session: SessionId, secret: &[u8; 16]) -> Object {
        let mut addrs = self.addrs.clone();
        addrs.truncate(ENTRY_POINTS_MAX);
        let content = Self { addrs, ..self.clone() };
        let bytes = postcard::to_stdvec(&content).expect("a record holds nothing that postcard cannot write");
        Self::seal_bytes(bytes, session, secret)
    }

    /// Whoever has the id can seal anything.
    pub(crate) fn seal_bytes(mut bytes: Vec<u8>, session: SessionId, secret: &[u8; 16]) -> Object {
        // Made from the content, so that no two contents share one, without a generator.
        let tag =
            hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &derive_for(secret, session, NONCES)), &bytes);
        let nonce: [u8; NONCE_LEN] = std::array::from_fn(|i| tag.as_ref()[i]);
        let key = seal_key(session, secret);
        key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(session.0), &mut bytes)
            .expect("a record is far shorter than what may be sealed at once");
        let payload = [nonce.as_slice(), &bytes].concat();
        let owner = Arc::new(owner(session, secret));
        Object { owner, name: NAME.to_vec(), payload, lifetime: LIFETIME }
    }

    /// Reads a record; `None` when it is not this session's, or its delegation is not.
    #[must_use]
    pub fn open(record: &Record, session: SessionId, secret: &[u8; 16]) -> Option<Self> {
        let (nonce, sealed) = record.payload()?.split_first_chunk::<NONCE_LEN>()?;
        let mut bytes = sealed.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let key = seal_key(session, secret);
        let opened = key.open_in_place(nonce, Aad::from(session.0), &mut bytes).ok()?;
        let found: Self = postcard::from_bytes(opened).ok()?;
        let bounded = found.addrs.len() <= ENTRY_POINTS_MAX;
        (bounded && found.delegation.session() == Some(session)).then_some(found)
    }
}

fn owner(session: SessionId, secret: &[u8; 16]) -> Identity {
    Identity::from_seed(derive_for(secret, session, OWNER))
}

fn seal_key(session: SessionId, secret: &[u8; 16]) -> LessSafeKey {
    let key = UnboundKey::new(&CHACHA20_POLY1305, &derive_for(secret, session, SEAL));
    LessSafeKey::new(key.expect("32 bytes are a key of ChaCha20-Poly1305"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::records::record::Claim;

    fn signed(object: &Object) -> Record {
        let owner = object.owner.node_id();
        let (name, payload) = (object.name.clone(), Some(object.payload.clone()));
        Record::sign(Claim { owner, name, version: 1, expires_s: 900, payload }, &object.owner)
    }

    #[test]
    fn only_the_id_finds_and_opens_it_and_only_the_sessions_key_is_believed() {
        let (key, manager) = (Identity::from_seed([1; 32]), Identity::from_seed([2; 32]).node_id());
        let (session, secret) = (SessionId::of(&key.node_id()), [3; 16]);
        let addrs = vec!["192.0.2.1:4433".parse().unwrap(); 9];
        let record = SessionRecord { delegation: Delegation::new(&key, manager, 2), addrs };
        let kept = signed(&record.seal(session, &secret));
        assert_eq!(kept.check(1), Ok(()));
        assert_eq!(kept.key(), record_key(session, &secret));
        assert_ne!(kept.key(), record_key(session, &[4; 16]));
        let opened = SessionRecord::open(&kept, session, &secret).unwrap();
        assert_eq!((opened.delegation.manager, opened.addrs.len()), (manager, ENTRY_POINTS_MAX));
        assert_eq!(SessionRecord::open(&kept, session, &[4; 16]), None);
        let usurper = Identity::from_seed([9; 32]);
        let forged = SessionRecord { delegation: Delegation::new(&usurper, manager, 9), ..record };
        assert_eq!(SessionRecord::open(&signed(&forged.seal(session, &secret)), session, &secret), None);
    }
}
