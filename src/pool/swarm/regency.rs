//! Who acts as SOMO's root: the part of a pool node that owns the root's point and looks for a more capable one, and the part of
//! that one. See `somo/delegate.rs`.

use super::{SwarmMessage, SwarmNode};
use crate::identity::NodeId;
use crate::pool::moment::Moment;
use crate::pool::peer::Peer;
use crate::pool::somo::{Beacons, Delegation, Region, Report, Somo, SomoMessage};

/// A node that acts as the root.
pub(super) struct Regency {
    pub(super) somo: Somo,
    /// Who owns the root's point, and when it was heard last.
    owner: NodeId,
    owner_heard: Moment,
    /// Unix time, seconds.
    until_s: u64,
}

/// An owner that is silent for so many intervals is gone, and whoever inherits its zone knows nothing of its delegate.
const OWNER_SILENT: f64 = 3.0;

impl SwarmNode {
    fn unix_s(&self, now: Moment) -> u64 {
        self.born_s.saturating_add(now.since(Moment::ZERO).as_secs())
    }

    /// A message of SOMO's: for this node's place in the tree, or for the root that it acts as.
    pub(super) fn on_somo(&mut self, from: Peer, message: SomoMessage, now: Moment) {
        let (me, now_s) = (self.ring.me(), self.unix_s(now));
        if let Some(regency) = self.regency.as_mut().filter(|regency| regency.owner == from.node) {
            regency.owner_heard = now;
            // It is no child of the root any more: it does not own the root's point.
            if message == SomoMessage::Quit {
                self.regency = None;
            }
        }
        let root = Region::WHOLE.key(self.somo_config.fanout);
        match message {
            SomoMessage::Regent { delegation, .. } if !delegation.is_good(now_s) => {}
            SomoMessage::Regent { delegation, beacons } if delegation.delegate.position == me.position => {
                self.reign(from, &delegation, beacons, now);
            }
            SomoMessage::Regent { delegation, .. } => {
                if delegation.owner == from.node {
                    self.asks.on_regent(from, delegation.delegate);
                    self.somo.on_regent(from, &delegation, now_s, me, now);
                }
            }
            SomoMessage::Vouch { of } => {
                let heard = self.bandwidth.as_ref().and_then(|line| line.heard_of(of)).unwrap_or(0);
                let vouched = SomoMessage::Vouched { of, kbit_s: heard };
                self.outbox.push_back((from, SwarmMessage::Somo(vouched)));
            }
            SomoMessage::Vouched { of, kbit_s } => self.search.on_vouched(from.position, of, kbit_s),
            message => {
                let for_root = match &message {
                    SomoMessage::Up { point, .. } => Some(*point) == root,
                    SomoMessage::Ask { region, .. } => *region == Region::WHOLE,
                    _ => false,
                };
                match &mut self.regency {
                    Some(regency) if for_root => regency.somo.on_message(from, message, me, now),
                    Some(regency) if message == SomoMessage::Quit => {
                        regency.somo.on_message(from, SomoMessage::Quit, me, now);
                        self.somo.on_message(from, message, me, now);
                    }
                    _ => self.somo.on_message(from, message, me, now),
                }
            }
        }
    }

    /// The owner of the root's point wants this node to act as the root.
    fn reign(&mut self, from: Peer, delegation: &Delegation, beacons: Beacons, now: Moment) {
        if delegation.owner != from.node || self.somo.owns_root() {
            return;
        }
        let (owner, owner_heard, until_s) = (delegation.owner, now, delegation.until_s);
        let old = self.regency.take().filter(|old| old.owner == owner).map(|old| old.somo);
        let somo = old.unwrap_or_else(|| Somo::acting(self.somo_config, beacons, now));
        self.regency = Some(Box::new(Regency { somo, owner, owner_heard, until_s }));
    }

    pub(super) fn go_on_reigning(&mut self, now: Moment) {
        let now_s = self.unix_s(now);
        let patience = self.somo_config.interval.mul_f64(OWNER_SILENT);
        if let Some(regency) = &mut self.regency {
            if regency.until_s <= now_s || now.since(regency.owner_heard) > patience {
                self.regency = None;
            } else if regency.somo.poll_timeout() <= now {
                regency.somo.on_timeout(self.ring.me(), now);
            }
        }
        if let Some(delegate) = self.somo.delegate_to_renew(now)
            && let Some(own) = self.line_kbit_s().0
            && let Some(position) = self.search.renew(delegate, own, now)
        {
            self.searching = self.ring.lookup_carefully(position, now);
        }
    }

    pub(super) fn look_for_delegate(&mut self, view: &Report, now: Moment) {
        let (Some(own), true) = (self.line_kbit_s().0, self.identity.is_some()) else { return };
        if self.somo.is_root()
            && let Some(position) = self.search.on_view(view, self.ring.me(), own, now)
        {
            self.searching = self.ring.lookup_carefully(position, now);
        }
    }

    pub(super) fn end_search(&mut self, now: Moment) {
        let (now_s, me) = (self.unix_s(now), self.ring.me());
        if let (Some(candidate), Some(identity)) = (self.search.on_timeout(), &self.identity) {
            self.somo.delegate(candidate, identity, now_s, me, now);
        }
    }
}
