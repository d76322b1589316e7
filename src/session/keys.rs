//! What a session's key and secret prove: who manages it, who may enter, what only members can read.

use ring::{hkdf, hmac};
use serde::{Deserialize, Serialize};

use crate::identity::{Identity, NodeId, SessionId, Signature};

/// This node is the task manager: by the word of the session's key, or of a manager before it who named its heirs in
/// advance, so that its own death needs nobody's consent. A later term supersedes an earlier one.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Delegation {
    /// The session's public key; its hash is the [`SessionId`].
    pub key: NodeId,
    /// The task manager.
    pub manager: NodeId,
    /// Counts the managers of a session.
    pub term: u64,
    signature: Signature,
    /// The managers before, the first of them named by the session's key.
    before: Vec<Predecessor>,
}

/// A manager before.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Predecessor {
    manager: NodeId,
    term: u64,
    signature: Signature,
}

/// Managers that a session may have one after the other.
const MANAGERS_MAX: usize = 64;

impl Delegation {
    /// Made by whoever holds the session's key.
    #[must_use]
    pub fn new(key: &Identity, manager: NodeId, term: u64) -> Self {
        let signature = key.sign(&Self::message(key.node_id(), manager, term));
        Self { key: key.node_id(), manager, term, signature, before: vec![] }
    }

    /// Made by the manager whom this one names, for one of its heirs. `None` for a session of too many managers.
    #[must_use]
    pub fn appoint(&self, by: &Identity, heir: NodeId, term: u64) -> Option<Self> {
        if self.before.len() + 1 >= MANAGERS_MAX || by.node_id() != self.manager || term <= self.term {
            return None;
        }
        let mut before = self.before.clone();
        before.push(Predecessor {
            manager: self.manager,
            term: self.term,
            signature: self.signature.clone(),
        });
        let signature = by.sign(&Self::message(self.key, heir, term));
        Some(Self { key: self.key, manager: heir, term, signature, before })
    }

    /// Whose delegation it is; `None` when a signature is wrong.
    #[must_use]
    pub fn session(&self) -> Option<SessionId> {
        if self.before.len() >= MANAGERS_MAX {
            return None;
        }
        let (mut by, mut last) = (self.key, 0);
        let before = self.before.iter().map(|before| (before.manager, before.term, &before.signature));
        for (manager, term, signature) in before.chain([(self.manager, self.term, &self.signature)]) {
            let is_later = term > last;
            if !is_later || !by.verifies(&Self::message(self.key, manager, term), &signature.0) {
                return None;
            }
            (by, last) = (manager, term);
        }
        Some(SessionId::of(&self.key))
    }

    /// True if this one counts where both are known.
    #[must_use]
    pub fn supersedes(&self, other: &Self) -> bool {
        (self.term, self.manager) > (other.term, other.manager)
    }

    fn message(key: NodeId, manager: NodeId, term: u64) -> Vec<u8> {
        [b"alm delegation v1".as_slice(), &key.0, &manager.0, &term.to_be_bytes()].concat()
    }
}

/// Something that a session's task manager has signed, with its delegation: provable to anybody who knows the session.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Signed {
    /// The encoded content.
    pub content: Vec<u8>,
    /// Who may sign.
    pub delegation: Delegation,
    signature: Signature,
}

impl Signed {
    /// Signs `content` as the manager whom `delegation` names.
    #[must_use]
    pub fn new(content: Vec<u8>, manager: &Identity, delegation: Delegation) -> Self {
        let signature = manager.sign(&Self::message(&content));
        Self { content, delegation, signature }
    }

    /// The session whose manager has signed this; `None` when a signature is wrong.
    #[must_use]
    pub fn session(&self) -> Option<SessionId> {
        let session = self.delegation.session()?;
        self.delegation.manager.verifies(&Self::message(&self.content), &self.signature.0).then_some(session)
    }

    fn message(content: &[u8]) -> Vec<u8> {
        [b"alm installation v1".as_slice(), content].concat()
    }
}

/// Shows a task manager that `joiner` knows the secret, without showing the secret to who is none. Bound to both ends,
/// whose keys the connection has proven, so that it is of no use to anybody else.
#[must_use]
pub(super) fn admission_proof(
    secret: &[u8; 16],
    session: SessionId,
    joiner: NodeId,
    manager: NodeId,
) -> [u8; PROOF_LEN] {
    let tag = hmac::sign(&admission_key(secret), &admission_message(session, joiner, manager));
    std::array::from_fn(|i| tag.as_ref()[i])
}

/// True when `proof` is that of somebody who knows the secret.
#[must_use]
pub(super) fn admits(
    secret: &[u8; 16],
    session: SessionId,
    joiner: NodeId,
    manager: NodeId,
    proof: &[u8; PROOF_LEN],
) -> bool {
    hmac::verify(&admission_key(secret), &admission_message(session, joiner, manager), proof).is_ok()
}

/// A key for one purpose that the id gives: by whoever knows the secret, for one session.
pub(super) fn derive_for(secret: &[u8; 16], session: SessionId, purpose: &[u8]) -> [u8; 32] {
    derive(secret, &[purpose, &session.0].concat())
}

/// Bytes of a proof.
pub(super) const PROOF_LEN: usize = 32;

fn admission_key(secret: &[u8; 16]) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, &derive(secret, b"alm admission v1"))
}

fn admission_message(session: SessionId, joiner: NodeId, manager: NodeId) -> Vec<u8> {
    [session.0.as_slice(), &joiner.0, &manager.0].concat()
}

fn derive(secret: &[u8; 16], label: &[u8]) -> [u8; 32] {
    let mut key = [0; 32];
    hkdf::Salt::new(hkdf::HKDF_SHA256, &[])
        .extract(secret)
        .expand(&[label], hkdf::HKDF_SHA256)
        .and_then(|output| output.fill(&mut key))
        .expect("one hash length of output is within HKDF's limit");
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_sessions_key_delegates_and_only_its_delegate_signs() {
        let (key, host, other) =
            (Identity::from_seed([1; 32]), Identity::from_seed([2; 32]), Identity::from_seed([3; 32]));
        let delegation = Delegation::new(&key, host.node_id(), 1);
        assert_eq!(delegation.session(), Some(SessionId::of(&key.node_id())));
        assert_eq!(Delegation { term: 2, ..delegation.clone() }.session(), None);
        assert_eq!(Delegation { manager: other.node_id(), ..delegation.clone() }.session(), None);
        let signed = Signed::new(b"plan".to_vec(), &host, delegation.clone());
        assert_eq!(signed.session(), delegation.session());
        assert_eq!(Signed { content: b"plot".to_vec(), ..signed }.session(), None);
        assert_eq!(Signed::new(b"plan".to_vec(), &other, delegation).session(), None);
    }

    #[test]
    fn a_manager_names_its_heirs_and_nobody_else_does() {
        let [key, host, heir, other] = [1, 2, 3, 4].map(|seed| Identity::from_seed([seed; 32]));
        let first = Delegation::new(&key, host.node_id(), 1);
        let second = first.appoint(&host, heir.node_id(), 2).unwrap();
        assert_eq!(second.session(), first.session());
        assert!(second.supersedes(&first) && !first.supersedes(&second));
        let third = second.appoint(&heir, other.node_id(), 5).unwrap();
        assert_eq!(third.session(), first.session());
        assert_eq!(first.appoint(&other, other.node_id(), 2), None, "is not the manager");
        assert_eq!(second.appoint(&heir, other.node_id(), 2), None, "no later term");
        let mut forged = third.clone();
        forged.before.pop();
        assert_eq!(forged.session(), None, "named by nobody who could");
        assert_eq!(Delegation { term: 9, ..third }.session(), None);
    }

    #[test]
    fn a_proof_admits_its_maker_to_its_session_alone() {
        let (session, joiner, manager) = (SessionId([1; 20]), NodeId([2; 32]), NodeId([3; 32]));
        let proof = admission_proof(&[4; 16], session, joiner, manager);
        assert!(admits(&[4; 16], session, joiner, manager, &proof));
        assert!(!admits(&[5; 16], session, joiner, manager, &proof));
        assert!(!admits(&[4; 16], SessionId([9; 20]), joiner, manager, &proof));
        assert!(!admits(&[4; 16], session, manager, manager, &proof));
    }
}
