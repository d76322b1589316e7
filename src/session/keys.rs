//! What a session's key and secret prove: who manages it, who may enter, what only members can read.

use ring::{hkdf, hmac};
use serde::{Deserialize, Serialize};

use crate::identity::{Identity, NodeId, SessionId, Signature};

/// The session's key says: this node is the task manager. A later term supersedes an earlier one.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Delegation {
    /// The session's public key; its hash is the [`SessionId`].
    pub key: NodeId,
    /// The task manager.
    pub manager: NodeId,
    /// Counts the managers of a session.
    pub term: u64,
    signature: Signature,
}

impl Delegation {
    /// Made by whoever holds the session's key.
    #[must_use]
    pub fn new(key: &Identity, manager: NodeId, term: u64) -> Self {
        let signature = key.sign(&Self::message(key.node_id(), manager, term));
        Self { key: key.node_id(), manager, term, signature }
    }

    /// Whose delegation it is; `None` when the signature is wrong.
    #[must_use]
    pub fn session(&self) -> Option<SessionId> {
        let message = Self::message(self.key, self.manager, self.term);
        self.key.verifies(&message, &self.signature.0).then(|| SessionId::of(&self.key))
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

/// Bytes of a proof.
pub(super) const PROOF_LEN: usize = 32;

/// What the members' media keys are derived from; helpers do not have it.
#[must_use]
pub fn media_secret(secret: &[u8; 16]) -> [u8; 32] {
    derive(secret, b"alm media v1")
}

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
    fn a_proof_admits_its_maker_to_its_session_alone() {
        let (session, joiner, manager) = (SessionId([1; 20]), NodeId([2; 32]), NodeId([3; 32]));
        let proof = admission_proof(&[4; 16], session, joiner, manager);
        assert!(admits(&[4; 16], session, joiner, manager, &proof));
        assert!(!admits(&[5; 16], session, joiner, manager, &proof));
        assert!(!admits(&[4; 16], SessionId([9; 20]), joiner, manager, &proof));
        assert!(!admits(&[4; 16], session, manager, manager, &proof));
        assert_ne!(media_secret(&[4; 16])[..], proof[..]);
    }
}
