//! Joining through a bootstrap, leaving, and coming back when everybody near by is gone.
//!
//! A packet to the own position is the cheap way in, and one liar on the way that acknowledges and drops it, or answers it,
//! is enough to bar it. So what does not lead to a place on the ring is followed by a careful lookup of the own position:
//! many ways, each node asked directly, from all that were met meanwhile.

use std::time::Duration;

use rand::RngExt;
use rand::seq::IndexedRandom;

use super::message::{Errand, Packet, RingMessage, Route};
use super::{Event, RingNode, upkeep};
use crate::pool::leafset::LeafSet;
use crate::pool::moment::Moment;
use crate::pool::peer::Peer;

/// Where a node stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Phase {
    /// It answers for its zone.
    Active,
    /// It has asked a node it knows to route to its position, and waits for a welcome until `due`.
    Seeking { due: Moment, tries: u8 },
    /// It knows its neighbours-to-be, who have not all agreed yet; after `due` it starts anew.
    Settling { due: Moment },
    /// It has left.
    Left,
}

/// How long a welcome is waited for.
const WELCOME_WITHIN: Duration = Duration::from_secs(3);
/// How long neighbours may take to agree.
const SETTLED_WITHIN: Duration = Duration::from_secs(15);
/// Tries after which a node that has lost everybody takes itself for the last one; it goes on looking. One that has never
/// met anybody waits for its bootstraps: it would answer for keys that others answer for.
const TRIES_MAX: u8 = 5;
/// Tries after which a node joins carefully too.
const CAREFUL_AFTER: u8 = 1;
/// Nodes that a packet is sent by at once: after a crash most of those that a node knows are gone.
const ASKED_AT_ONCE: usize = 8;
/// Bootstraps that are kept.
const BOOTSTRAPS_MAX: usize = 8;

impl Phase {
    /// When something must have happened.
    pub(super) fn due(self) -> Moment {
        match self {
            Self::Seeking { due, .. } | Self::Settling { due } => due,
            Self::Active | Self::Left => Moment::NEVER,
        }
    }
}

impl RingNode {
    pub(super) fn is_joining(&self) -> bool {
        matches!(self.phase, Phase::Settling { .. })
    }

    pub(super) fn is_seeking(&self) -> bool {
        matches!(self.phase, Phase::Seeking { .. })
    }

    pub(super) fn has_left(&self) -> bool {
        self.phase == Phase::Left
    }

    pub(super) fn on_bootstrap(&mut self, peer: Peer, now: Moment) {
        if peer.position == self.me.position {
            return;
        }
        if !self.bootstraps.contains(&peer) {
            self.bootstraps.truncate(BOOTSTRAPS_MAX - 1);
            self.bootstraps.push(peer);
        }
        if self.leaves.len() == 0 && self.is_active() {
            self.begin_seeking(now);
        } else if self.is_active() && self.leaves.get(peer.position).is_none() {
            self.seek(peer, now);
        }
    }

    fn begin_seeking(&mut self, now: Moment) {
        self.seek_again(0, now);
    }

    fn seek_again(&mut self, tries: u8, now: Moment) {
        self.unsettle(now);
        self.phase = Phase::Seeking { due: now, tries };
        self.retry_joining(now);
    }

    pub(super) fn begin_settling(&mut self, now: Moment) {
        self.phase = Phase::Settling { due: now + SETTLED_WITHIN };
    }

    pub(super) fn retry_joining(&mut self, now: Moment) {
        match self.phase {
            // Those whom it was told of do not take it in: somebody may have lied.
            Phase::Settling { due } if due <= now => self.seek_again(CAREFUL_AFTER, now),
            Phase::Seeking { due, tries } if due <= now && tries >= TRIES_MAX && self.was_among_others => {
                for peer in self.bootstraps.clone() {
                    self.remember(peer, now);
                }
                if self.leaves.len() == 0 {
                    self.settle_alone();
                    self.activate(now);
                } else {
                    self.begin_settling(now);
                }
            }
            Phase::Seeking { due, tries } if due <= now => {
                let known = self.table.peers().chain(self.leaves());
                let known = known.chain(self.ghosts()).chain(self.bootstraps.iter().copied());
                let known: Vec<Peer> = known.collect();
                if tries >= CAREFUL_AFTER {
                    self.join_carefully(&known, now);
                }
                let through: Vec<Peer> = known.sample(&mut self.random, ASKED_AT_ONCE).copied().collect();
                for through in through {
                    let errand = Errand::Join { row: 0 };
                    self.send_own(through, errand, now);
                }
                let wait = WELCOME_WITHIN.mul_f64(self.random.random_range(0.8..1.2));
                self.phase = Phase::Seeking { due: now + wait, tries: tries.saturating_add(1) };
            }
            _ => {}
        }
    }

    /// Who is around this node on the ring that `through` is on?
    pub(super) fn seek(&mut self, through: Peer, now: Moment) {
        self.send_own(through, Errand::Seek, now);
    }

    /// A packet to the own position, by way of another.
    fn send_own(&mut self, through: Peer, errand: Errand, now: Moment) {
        let packet = Packet { errand, key: self.me.position, origin: self.me, hops: 1 };
        let route = Route { hop: self.number(), packet };
        self.send(through, RingMessage::Route(route), now);
    }

    pub(super) fn on_welcome(&mut self, peers: &[Peer], now: Moment) {
        if self.is_seeking() {
            self.begin_settling(now);
        }
        self.hear_of(peers, now);
    }

    pub(super) fn activate(&mut self, now: Moment) {
        self.phase = Phase::Active;
        self.heartbeat_at = now;
        (self.upkeep_at, self.upkeep_interval) = (now + upkeep::FIRST, upkeep::FIRST);
        self.events.push_back(Event::Active);
    }

    /// Nobody is known near by.
    pub(super) fn on_alone(&mut self, now: Moment) {
        let alone = self.neighbours.zone(self.me.position).is_some_and(|zone| zone.after == zone.upto);
        if self.is_active() && !alone {
            self.begin_seeking(now);
        }
    }

    pub(super) fn leave(&mut self, now: Moment) {
        for leaf in self.leaves().collect::<Vec<_>>() {
            self.send(leaf, RingMessage::Leave, now);
        }
        self.phase = Phase::Left;
        self.leaves = LeafSet::new(self.me.position, self.config.side);
        self.pings.clear();
        self.ghosts.clear();
        self.forwards.clear();
        self.held.clear();
        self.lookups.clear();
        self.upkeep_at = Moment::NEVER;
    }

    /// A neighbour has said goodbye: no ghost, and nobody needs to look whether it is true.
    pub(super) fn on_leave(&mut self, from: Peer, now: Moment) {
        self.forget(from.position);
        if self.leaves.remove(from.position).is_none() {
            return;
        }
        if self.leaves.len() == 0 && self.is_active() {
            self.settle_alone();
        } else {
            self.repair(from.position, now);
        }
    }
}
