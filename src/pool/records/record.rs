//! A record: an object of the data overlay (the patent, [0034]), which only its owner can make, replace or delete.
//!
//! The key is hashed from the owner's public key and a name, so nobody can put anything where another's record belongs;
//! the signature covers all of it, so no host can change what it keeps. Of two records the one with the higher version
//! counts, everywhere and in whatever order they come; the same version signed again with a later expiry is the newer.

use std::time::Duration;

use ring::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};

use super::Refusal;
use crate::identity::{Identity, NodeId, Position, Signature};

/// See the [module](self).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Record {
    claim: Claim,
    signature: Signature,
}

/// What the owner signs.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Claim {
    /// Whose it is.
    pub owner: NodeId,
    /// Which of the owner's records; at most [`NAME_MAX`] bytes.
    pub name: Vec<u8>,
    /// Grows with every change.
    pub version: u64,
    /// Until when it counts, seconds of Unix time.
    pub expires_s: u64,
    /// At most [`PAYLOAD_MAX`] bytes; nothing: the record is deleted.
    pub payload: Option<Vec<u8>>,
}

/// By which records of one key are compared without their content.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct Stamp {
    /// See [`Claim::version`].
    pub version: u64,
    /// See [`Claim::expires_s`].
    pub expires_s: u64,
}

/// A name: enough for a hash, or a word.
pub const NAME_MAX: usize = 32;
/// A record and what surrounds it still fit a datagram.
pub const PAYLOAD_MAX: usize = 900;
/// No record counts for longer without being signed again: what its owner no longer wants is gone by then.
pub const LIFETIME_MAX: Duration = Duration::from_secs(2 * 3_600);
/// Clocks of two machines may differ by this much.
const SKEW: Duration = Duration::from_secs(300);
/// What keys and signatures of records begin with, so that they are of use for nothing else.
const KEY_CONTEXT: &[u8] = b"alm record key 1";
const SIGNATURE_CONTEXT: &[u8] = b"alm record 1";
/// Of Ed25519 (RFC 8032, section 5.1.6).
const SIGNATURE_LEN: usize = 64;

/// Where the record of that owner and name belongs.
#[must_use]
pub fn key_of(owner: &NodeId, name: &[u8]) -> Position {
    let mut hash = Context::new(&SHA256);
    for part in [KEY_CONTEXT, &owner.0, name] {
        hash.update(part);
    }
    let mut first = [0; 16];
    first.copy_from_slice(&hash.finish().as_ref()[..16]);
    Position(u128::from_be_bytes(first))
}

impl Claim {
    fn signed_bytes(&self) -> Vec<u8> {
        postcard::to_extend(self, SIGNATURE_CONTEXT.to_vec())
            .expect("a claim holds nothing that postcard cannot write")
    }
}

impl Record {
    /// The owner's record. `claim.owner` is the signer, whatever it was.
    #[must_use]
    pub fn sign(mut claim: Claim, owner: &Identity) -> Self {
        claim.owner = owner.node_id();
        let signature = owner.sign(&claim.signed_bytes());
        Self { claim, signature }
    }

    /// What the owner says.
    #[must_use]
    pub fn claim(&self) -> &Claim {
        &self.claim
    }

    /// Where it belongs.
    #[must_use]
    pub fn key(&self) -> Position {
        key_of(&self.claim.owner, &self.claim.name)
    }

    /// What it holds; nothing if it is deleted.
    #[must_use]
    pub fn payload(&self) -> Option<&[u8]> {
        self.claim.payload.as_deref()
    }

    /// See [`Stamp`].
    #[must_use]
    pub fn stamp(&self) -> Stamp {
        Stamp { version: self.claim.version, expires_s: self.claim.expires_s }
    }

    /// True when it replaces `other`. An owner that signs two of one stamp gets one of them, the same one everywhere.
    #[must_use]
    pub fn is_newer_than(&self, other: &Self) -> bool {
        (self.stamp(), &self.signature.0) > (other.stamp(), &other.signature.0)
    }

    /// Bytes that it takes.
    #[must_use]
    pub fn size(&self) -> usize {
        let payload = self.claim.payload.as_ref().map_or(0, Vec::len);
        size_of::<Self>() + self.claim.name.len() + payload + self.signature.0.len()
    }

    /// True when no part of it is larger than it may be.
    #[must_use]
    pub fn is_bounded(&self) -> bool {
        let payload = self.claim.payload.as_ref().map_or(0, Vec::len);
        self.claim.name.len() <= NAME_MAX && payload <= PAYLOAD_MAX && self.signature.0.len() == SIGNATURE_LEN
    }

    /// True when it counts no longer, `now_s` being Unix time.
    #[must_use]
    pub fn is_over(&self, now_s: u64) -> bool {
        self.claim.expires_s <= now_s
    }

    /// Whether it may count at all, `now_s` being Unix time. The signature, which costs most, comes last.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self, now_s: u64) -> Result<(), Refusal> {
        let farthest_s = now_s.saturating_add((LIFETIME_MAX + SKEW).as_secs());
        if !self.is_bounded() {
            Err(Refusal::Oversized)
        } else if self.is_over(now_s) {
            Err(Refusal::Over)
        } else if self.claim.expires_s > farthest_s {
            Err(Refusal::TooFar)
        } else if !self.claim.owner.verifies(&self.claim.signed_bytes(), &self.signature.0) {
            Err(Refusal::Unsigned)
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
pub(in crate::pool) mod tests {
    use super::*;

    pub(in crate::pool) fn record(owner: u8, name: &str, version: u64, expires_s: u64) -> Record {
        let (owner, payload) = (Identity::from_seed([owner; 32]), Some(vec![version as u8; 40]));
        let name = name.as_bytes().to_vec();
        Record::sign(Claim { owner: owner.node_id(), name, version, expires_s, payload }, &owner)
    }

    #[test]
    fn only_what_the_owner_signed_counts() {
        let good = record(1, "here", 7, 5_000);
        assert_eq!(good.check(1_000), Ok(()));
        let spoilt = |spoil: fn(&mut Record)| {
            let mut record = good.clone();
            spoil(&mut record);
            record.check(1_000)
        };
        assert_eq!(spoilt(|record| record.claim.version += 1), Err(Refusal::Unsigned));
        assert_eq!(spoilt(|record| record.claim.payload = None), Err(Refusal::Unsigned));
        assert_eq!(spoilt(|record| record.claim.owner = NodeId([9; 32])), Err(Refusal::Unsigned));
        assert_eq!(spoilt(|record| record.signature.0[5] ^= 1), Err(Refusal::Unsigned));
        assert_eq!(spoilt(|record| record.signature.0.truncate(9)), Err(Refusal::Oversized));
        assert_eq!(spoilt(|record| record.claim.name = vec![0; NAME_MAX + 1]), Err(Refusal::Oversized));
        assert_eq!(spoilt(|record| record.claim.payload = Some(vec![0; 901])), Err(Refusal::Oversized));
    }

    #[test]
    fn a_record_counts_for_a_while_and_not_from_the_far_future() {
        let record = record(1, "here", 7, 10_000);
        assert_eq!(record.check(10_000), Err(Refusal::Over));
        assert_eq!(record.check(9_999), Ok(()));
        assert_eq!(record.check(10_000 - 7_500), Ok(()));
        assert_eq!(record.check(10_000 - 7_501), Err(Refusal::TooFar));
        assert_eq!(record.check(u64::MAX), Err(Refusal::Over), "no clock makes it overflow");
    }

    #[test]
    fn a_key_belongs_to_its_owner_and_name() {
        let key = record(1, "here", 7, 5).key();
        assert_eq!(record(1, "here", 8, 9).key(), key);
        assert_ne!(record(2, "here", 7, 5).key(), key);
        assert_ne!(record(1, "there", 7, 5).key(), key);
    }

    #[test]
    fn any_two_records_agree_which_is_newer() {
        let records =
            [record(1, "a", 1, 9), record(1, "a", 1, 10), record(1, "a", 2, 3), record(2, "a", 2, 3)];
        for (i, one) in records.iter().enumerate() {
            for (j, other) in records.iter().enumerate() {
                assert_eq!(one.is_newer_than(other) || other.is_newer_than(one), i != j);
                assert!(!(one.is_newer_than(other) && other.is_newer_than(one)));
            }
        }
        assert!(records[1].is_newer_than(&records[0]) && records[2].is_newer_than(&records[1]));
    }
}
