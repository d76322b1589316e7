//! Who a machine is: an Ed25519 key. The public key is the [`NodeId`]; its hash is the place on the ring.
//!
//! The QUIC handshake proves the key on both sides (RFC 7250 raw public keys), so a `NodeId` that arrives with a
//! connection needs no further proof. Signatures made here cover what travels beyond one connection.

use std::fmt;
use std::str::FromStr;

use ring::digest;
use ring::signature::{self, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use serde::{Deserialize, Serialize};

/// A node's Ed25519 public key: the one name by which it is known, printed as 52 letters of base 32.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct NodeId(pub [u8; 32]);

impl NodeId {
    /// The place on the ring: 128 bits hashed from the key.
    #[must_use]
    pub fn position(&self) -> Position {
        let hash = digest::digest(&digest::SHA256, &self.0);
        let mut first = [0; 16];
        first.copy_from_slice(&hash.as_ref()[..16]);
        Position(u128::from_be_bytes(first))
    }

    /// The first eight letters: enough for a person to tell nodes apart, never used as a key.
    #[must_use]
    pub fn short(&self) -> String {
        let mut name = self.to_string();
        name.truncate(8);
        name
    }

    /// True when `signature` is this node's over `message`.
    #[must_use]
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&signature::ED25519, self.0).verify(message, signature).is_ok()
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&data_encoding::BASE32_NOPAD.encode(&self.0).to_ascii_lowercase())
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.short())
    }
}

/// Text that is not a node id.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("not a node id")]
pub struct NotANodeId;

impl FromStr for NodeId {
    type Err = NotANodeId;

    fn from_str(text: &str) -> Result<Self, NotANodeId> {
        let bytes = data_encoding::BASE32_NOPAD
            .decode(text.to_ascii_uppercase().as_bytes())
            .map_err(|_| NotANodeId)?;
        Ok(Self(bytes.try_into().map_err(|_| NotANodeId)?))
    }
}

/// A point of the 128-bit ring. Aligned to eight bytes: lists of nodes are most of what a pool node knows.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(Rust, packed(8))]
pub struct Position(pub u128);

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", { self.0 })
    }
}

/// Which session: the first 20 bytes of the hash of its public key. A session IS a key; the id commits to it for good.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SessionId(pub [u8; 20]);

impl SessionId {
    /// The id of the session whose public key this is.
    #[must_use]
    pub fn of(key: &NodeId) -> Self {
        let hash = digest::digest(&digest::SHA256, &key.0);
        let mut first = [0; 20];
        first.copy_from_slice(&hash.as_ref()[..20]);
        Self(first)
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "session {}", data_encoding::HEXLOWER.encode(&self.0[..4]))
    }
}

/// A key pair: a machine's, or a session's.
pub struct Identity {
    seed: [u8; 32],
    key: Ed25519KeyPair,
    id: NodeId,
}

impl Identity {
    /// The key pair of a 32-byte secret (RFC 8032, section 5.1.5). Any 32 bytes are a valid secret.
    #[must_use]
    pub fn from_seed(seed: [u8; 32]) -> Self {
        let key = Ed25519KeyPair::from_seed_unchecked(&seed).expect("any 32 bytes are an Ed25519 secret");
        let mut id = [0; 32];
        id.copy_from_slice(key.public_key().as_ref());
        Self { seed, key, id: NodeId(id) }
    }

    /// The public half.
    #[must_use]
    pub fn node_id(&self) -> NodeId {
        self.id
    }

    /// The secret half, for the state file and the TLS key; nothing else has a use for it.
    #[must_use]
    pub fn seed(&self) -> &[u8; 32] {
        &self.seed
    }

    /// An Ed25519 signature of `message`.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> Signature {
        let mut bytes = [0; 64];
        bytes.copy_from_slice(self.key.sign(message).as_ref());
        Signature(bytes.to_vec())
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({:?})", self.id)
    }
}

/// A detached Ed25519 signature. A wrong length is a signature that does not verify.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Signature(pub Vec<u8>);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_id_survives_text_and_its_signature_is_its_own() {
        let alice = Identity::from_seed([1; 32]);
        let bob = Identity::from_seed([2; 32]);
        assert_eq!(alice.node_id().to_string().parse(), Ok(alice.node_id()));
        assert_eq!(alice.node_id().to_string().len(), 52);
        let signature = alice.sign(b"hello");
        assert!(alice.node_id().verifies(b"hello", &signature.0));
        assert!(!alice.node_id().verifies(b"hullo", &signature.0));
        assert!(!bob.node_id().verifies(b"hello", &signature.0));
        assert!(!alice.node_id().verifies(b"hello", &[]));
        assert_eq!("not one".parse::<NodeId>(), Err(NotANodeId));
    }
}
