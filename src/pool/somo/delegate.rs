//! The most capable node acts as the root (the patent, [0061]).
//!
//! There it exchanges ids with the node whose zone holds the root's point. Here an id is bound to a key, so the owner of the
//! point delegates: signed, for some minutes, renewed while the choice holds. Its children are sent on to the delegate and it
//! becomes one of them itself; nobody else notices. Whoever looks for the root finds the owner, and through it the delegate.
//! A delegate that falls silent is given up by the owner, and children who miss it ask the owner again.
//!
//! Everybody may claim to be capable. What counts is what those near the candidate on the ring, whom it did not choose, say
//! that its pairs of packets came in at (see `bandwidth`): three at least, and no single one decides.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::message::SomoMessage;
use super::report::{Beacons, Helper, Report};
use super::{Action, Parent, Somo};
use crate::identity::{Identity, NodeId, Position, Signature};
use crate::pool::bandwidth::upwards;
use crate::pool::moment::Moment;
use crate::pool::peer::Peer;

/// Who acts as the root, until when.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Delegation {
    /// Whose zone holds the root's point.
    pub owner: NodeId,
    /// Who acts for it.
    pub delegate: Peer,
    /// Unix time, seconds.
    pub until_s: u64,
    /// The owner's, of the rest.
    pub signature: Signature,
}

/// How long a delegation lasts, and when its owner looks whether it is to be renewed.
const LASTS: Duration = Duration::from_secs(180);
const LOOKED_AT: Duration = Duration::from_secs(60);
/// A candidate must be so many times as capable as the owner: a change costs everybody below the root a report.
const BETTER: u32 = 2;
/// Neighbours of the candidate that are asked, and how long they may take.
const VOUCHERS: usize = 7;
const VOUCHED_WITHIN: Duration = Duration::from_secs(4);
const FOUND_WITHIN: Duration = Duration::from_secs(30);
/// An expiry farther off is no honest one.
const LASTS_MAX_S: u64 = 600;

impl Delegation {
    fn new(owner: &Identity, delegate: Peer, until_s: u64) -> Self {
        let signature = owner.sign(&signed(&owner.node_id(), &delegate, until_s));
        Self { owner: owner.node_id(), delegate, until_s, signature }
    }

    /// True when its owner has signed it and it is not over.
    #[must_use]
    pub fn is_good(&self, now_s: u64) -> bool {
        let lasts = now_s < self.until_s && self.until_s <= now_s.saturating_add(LASTS_MAX_S);
        let signed = signed(&self.owner, &self.delegate, self.until_s);
        lasts && self.owner.verifies(&signed, &self.signature.0)
    }

    /// True when it is no larger than it may be.
    #[must_use]
    pub fn is_bounded(&self) -> bool {
        self.signature.0.len() == 64
    }
}

fn signed(owner: &NodeId, delegate: &Peer, until_s: u64) -> Vec<u8> {
    [b"alm root 1".as_slice(), &owner.0, &delegate.node.0, &until_s.to_be_bytes()].concat()
}

/// The owner's search for somebody more capable.
#[derive(Debug, Default)]
pub(in crate::pool) struct Search {
    next_at: Moment,
    asked: Option<Asked>,
}

#[derive(Debug)]
struct Asked {
    candidate: Peer,
    own_kbit_s: u32,
    of: Vec<Position>,
    said: Vec<u32>,
    until: Moment,
}

impl Search {
    /// The root knows the pool anew. A candidate whose neighbours are to be found; they go to [`on_neighbours`](Self::on_neighbours).
    pub(in crate::pool) fn on_view(
        &mut self,
        view: &Report,
        me: Peer,
        own_kbit_s: u32,
        now: Moment,
    ) -> Option<Position> {
        if self.next_at > now || own_kbit_s == 0 {
            return None;
        }
        self.next_at = now + LOOKED_AT;
        let best = view.helpers.iter().max_by_key(|helper| (helper.offer.up_kbit_s, helper.peer.position))?;
        let Helper { peer, offer } = *best;
        if offer.up_kbit_s < own_kbit_s.saturating_mul(BETTER) || peer.position == me.position {
            return None;
        }
        Some(self.ask_about(peer, own_kbit_s, now))
    }

    /// Who acts as the root is to be looked at again: as for [`on_view`](Self::on_view).
    pub(in crate::pool) fn renew(
        &mut self,
        delegate: Peer,
        own_kbit_s: u32,
        now: Moment,
    ) -> Option<Position> {
        if self.next_at > now {
            return None;
        }
        self.next_at = now + LOOKED_AT;
        Some(self.ask_about(delegate, own_kbit_s, now))
    }

    fn ask_about(&mut self, candidate: Peer, own_kbit_s: u32, now: Moment) -> Position {
        let (of, said, until) = (Vec::new(), Vec::new(), now + FOUND_WITHIN);
        self.asked = Some(Asked { candidate, own_kbit_s, of, said, until });
        candidate.position
    }

    /// Who answers for the candidate's position, and those after it: they are asked.
    pub(in crate::pool) fn on_neighbours(
        &mut self,
        around: &[Peer],
        now: Moment,
    ) -> Vec<(Peer, SomoMessage)> {
        let Some(asked) = &mut self.asked else { return Vec::new() };
        let of = asked.candidate.position;
        asked.until = now + VOUCHED_WITHIN;
        let others = around.iter().filter(|peer| peer.position != of).take(VOUCHERS);
        let others: Vec<Peer> = others.copied().collect();
        asked.of = others.iter().map(|peer| peer.position).collect();
        others.into_iter().map(|peer| (peer, SomoMessage::Vouch { of })).collect()
    }

    pub(in crate::pool) fn on_vouched(&mut self, from: Position, of: Position, kbit_s: u32) {
        if let Some(asked) = self.asked.as_mut().filter(|asked| asked.candidate.position == of)
            && let Some(at) = asked.of.iter().position(|of| *of == from)
        {
            asked.of.swap_remove(at);
            asked.said.extend((kbit_s > 0).then_some(kbit_s));
        }
    }

    pub(in crate::pool) fn poll_timeout(&self) -> Moment {
        self.asked.as_ref().map_or(Moment::NEVER, |asked| asked.until)
    }

    /// Its neighbours have had their time: the candidate, if it is what it says.
    pub(in crate::pool) fn on_timeout(&mut self) -> Option<Peer> {
        let Asked { candidate, own_kbit_s, said, .. } = self.asked.take()?;
        let vouched = upwards(said)?;
        (vouched >= own_kbit_s.saturating_mul(BETTER)).then_some(candidate)
    }
}

impl Somo {
    /// Signs the root's role away, for a while.
    pub(in crate::pool) fn delegate(
        &mut self,
        to: Peer,
        identity: &Identity,
        now_s: u64,
        me: Peer,
        now: Moment,
    ) {
        let Some(point) = self.point.filter(|point| point.level() == 0) else { return };
        let delegation = Delegation::new(identity, to, now_s + LASTS.as_secs());
        let news = (Box::new(delegation.clone()), self.beacons.clone());
        self.actions.push_back(Action::Send(to, SomoMessage::Regent { delegation: news.0, beacons: news.1 }));
        self.delegated = Some((Box::new(delegation), now + LASTS));
        let root = point.key();
        for child in std::mem::take(&mut self.children) {
            if child.point == root {
                self.send_to_delegate(child.peer);
            } else {
                self.children.push(child);
            }
        }
        self.gathering = None;
        self.parent_heard = now;
        self.ask(to, me, now);
    }

    /// Who acts for this node, when it is time to look at it again.
    pub(in crate::pool) fn delegate_to_renew(&self, now: Moment) -> Option<Peer> {
        let (delegation, until) = self.delegated.as_ref()?;
        (until.since(now) < LASTS - LOOKED_AT).then_some(delegation.delegate)
    }

    /// Sends somebody who looks for the root on to who acts as it.
    pub(super) fn send_to_delegate(&mut self, peer: Peer) {
        if let Some((delegation, _)) = &self.delegated
            && delegation.delegate.position != peer.position
        {
            let (delegation, beacons) = (delegation.clone(), Beacons::default());
            self.actions.push_back(Action::Send(peer, SomoMessage::Regent { delegation, beacons }));
        }
    }

    /// The parent says who acts for it.
    pub(in crate::pool) fn on_regent(
        &mut self,
        from: Peer,
        delegation: &Delegation,
        now_s: u64,
        me: Peer,
        now: Moment,
    ) {
        let (Parent::Known(parent) | Parent::Asked(parent, _)) = self.parent else { return };
        let by_parent = parent.position == from.position && delegation.owner == from.node;
        if by_parent && delegation.delegate.position != me.position && delegation.is_good(now_s) {
            self.parent_heard = now;
            self.ask(delegation.delegate, me, now);
        }
    }

    /// The delegate has fallen silent, or its time is over.
    pub(super) fn give_up_delegate(&mut self) -> bool {
        let given_up = self.delegated.take().is_some();
        if given_up {
            self.parent = Parent::None;
        }
        given_up
    }

    /// A tree that ends in one that acts as the root: it counts itself where it is at home.
    pub(in crate::pool) fn acting(config: super::SomoConfig, beacons: Beacons, now: Moment) -> Self {
        let root = super::Point::root(config.fanout);
        let mut acting = Self::new(config, 0.5, now);
        acting.acts = true;
        acting.beacons = beacons;
        acting.point = Some(root);
        acting.zone = Some(super::Zone { after: Position(root.key().0 - 1), upto: root.key() });
        acting
    }
}
