//! The keys of this node's media: which open what comes, which seals what goes.
//!
//! Every change of the group ([`alm_media::Group`]) makes a new epoch. Its keys open from the moment that this node has
//! them, and seal a little later, so that the others have them too by then: nobody falls silent at a change. What
//! sealed before still opens for a while, for the packets under way and for those whom a partition left on the other side.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use alm_media::{Group, GroupSigner, KEYS_MAX, SenderKey};
use ring::hkdf;

use crate::identity::{Identity, NodeId};

/// How long a new epoch's keys open before they seal: the difference between the ways of the manager's word to two members, a
/// repeat of it included.
pub(super) const KEY_DELAY: Duration = Duration::from_millis(250);
/// How long keys that seal no more still open: as long as a plan's trees drain.
pub(super) const KEY_GRACE: Duration = Duration::from_secs(2);

/// What the senders' keys of one epoch are derived from. Gives the epoch away to who holds it; not printed by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct EpochKey {
    secret: [u8; 32],
    tag: u8,
}

impl EpochKey {
    /// The group's present one.
    pub(super) fn of(group: &Group) -> Self {
        Self { secret: group.media_secret(), tag: group.tag() }
    }

    /// What members' messages are sealed by.
    pub(super) fn chat(&self) -> [u8; 32] {
        let mut key = [0; 32];
        hkdf::Salt::new(hkdf::HKDF_SHA256, b"alm chat key v1")
            .extract(&self.secret)
            .expand(&[], hkdf::HKDF_SHA256)
            .and_then(|output| output.fill(&mut key))
            .expect("one hash length of output is within HKDF's limit");
        key
    }

    /// The key of one start of one member's program.
    #[must_use]
    pub fn sender(&self, node: NodeId, salt: &[u8; 16]) -> SenderKey {
        SenderKey::derive(&self.secret, &node.0, salt).with_tag(self.tag)
    }
}

impl std::fmt::Debug for EpochKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "EpochKey({:02x}, ..)", self.tag)
    }
}

/// What the audio is to go by from now on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Keys {
    /// Whatever comes is opened by one of these, the latest last.
    pub open: Vec<EpochKey>,
    /// What goes is sealed by this one.
    pub seal: EpochKey,
    /// Words for people to compare, the same at all members: nobody sits between them ([`Group::phrase`]).
    pub phrase: String,
}

/// An epoch's key of which this node knows.
#[derive(Debug)]
struct Held {
    key: EpochKey,
    came: Instant,
    /// When it opens no more, once another one seals.
    ends: Option<Instant>,
}

/// See the [module](self).
#[derive(Debug, Default)]
pub struct Keyring {
    /// In the order in which they came.
    held: VecDeque<Held>,
    seal: Option<EpochKey>,
    phrase: String,
    is_news: bool,
}

impl Keyring {
    /// The group has come to another epoch.
    pub fn on_epoch(&mut self, key: EpochKey, phrase: String, now: Instant) {
        if self.held.back().is_some_and(|last| last.key == key) {
            return;
        }
        self.held.push_back(Held { key: key.clone(), came: now, ends: None });
        if self.held.len() > KEYS_MAX {
            self.held.pop_front();
        }
        // Who has just come has nothing else to seal by.
        self.seal.get_or_insert(key);
        (self.phrase, self.is_news) = (phrase, true);
        self.handle_timeout(now);
    }

    /// Does what is due. A call too early does no harm.
    pub fn handle_timeout(&mut self, now: Instant) {
        let known = self.held.iter().rposition(|held| held.came + KEY_DELAY <= now);
        // What seals may have been pushed out by later ones.
        let sealing = known
            .or_else(|| (!self.held.iter().any(|held| Some(&held.key) == self.seal.as_ref())).then_some(0));
        if let Some(held) = sealing.and_then(|at| self.held.get(at))
            && self.seal.as_ref() != Some(&held.key)
        {
            (self.seal, self.is_news) = (Some(held.key.clone()), true);
        }
        let at = self.held.iter().position(|held| Some(&held.key) == self.seal.as_ref()).unwrap_or(0);
        for before in self.held.iter_mut().take(at) {
            before.ends.get_or_insert(now + KEY_GRACE);
        }
        let count = self.held.len();
        self.held.retain(|held| held.ends.is_none_or(|ends| ends > now));
        self.is_news |= self.held.len() < count;
    }

    /// When to call [`handle_timeout`](Self::handle_timeout).
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let ends = self.held.iter().filter_map(|held| held.ends);
        let latest = self.held.back().filter(|last| Some(&last.key) != self.seal.as_ref());
        ends.chain(latest.map(|last| last.came + KEY_DELAY)).min()
    }

    /// What to go by, where that has changed since the last call.
    pub fn poll_keys(&mut self) -> Option<Keys> {
        std::mem::take(&mut self.is_news).then(|| self.keys()).flatten()
    }

    /// What to go by.
    #[must_use]
    pub fn keys(&self) -> Option<Keys> {
        let open = self.held.iter().map(|held| held.key.clone()).collect();
        Some(Keys { open, seal: self.seal.clone()?, phrase: self.phrase.clone() })
    }
}

/// A node as its session's group knows it.
pub(super) fn signer(identity: &std::sync::Arc<Identity>) -> GroupSigner {
    let by = identity.clone();
    GroupSigner::new(identity.node_id().0, move |message| by.sign(message).0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::origin;

    fn key(tag: u8) -> EpochKey {
        EpochKey { secret: [tag; 32], tag }
    }

    fn keys(ring: &mut Keyring) -> Option<(Vec<u8>, u8)> {
        let keys = ring.poll_keys()?;
        Some((keys.open.iter().map(|key| key.tag).collect(), keys.seal.tag))
    }

    #[test]
    fn a_key_opens_at_once_seals_a_little_later_and_the_old_one_goes_after_a_while() {
        let (mut ring, start) = (Keyring::default(), origin());
        assert_eq!(ring.keys(), None);
        ring.on_epoch(key(1), "one".into(), start);
        assert_eq!(keys(&mut ring), Some((vec![1], 1)), "the first one seals at once");
        assert_eq!((keys(&mut ring), ring.poll_timeout()), (None, None));
        let change = start + KEY_GRACE * 9;
        ring.on_epoch(key(2), "two".into(), change);
        assert_eq!(keys(&mut ring), Some((vec![1, 2], 1)));
        ring.on_epoch(key(2), "two".into(), change);
        assert_eq!(keys(&mut ring), None, "no news");
        let sealing = ring.poll_timeout().unwrap();
        assert_eq!(sealing, change + KEY_DELAY);
        ring.handle_timeout(sealing);
        assert_eq!(keys(&mut ring), Some((vec![1, 2], 2)));
        ring.handle_timeout(ring.poll_timeout().unwrap());
        assert_eq!(keys(&mut ring), Some((vec![2], 2)));
        assert_eq!(ring.poll_timeout(), None);
    }

    #[test]
    fn changes_in_a_row_leave_a_bounded_number_and_one_that_seals() {
        let (mut ring, mut now) = (Keyring::default(), origin());
        for tag in 0..40 {
            now += KEY_DELAY / 10;
            ring.on_epoch(key(tag), String::new(), now);
            let keys = ring.keys().unwrap();
            assert!(keys.open.len() <= KEYS_MAX && keys.open.contains(&keys.seal), "{keys:?}");
        }
        while let Some(at) = ring.poll_timeout() {
            ring.handle_timeout(at);
        }
        assert_eq!(keys(&mut ring), Some((vec![39], 39)));
    }
}
