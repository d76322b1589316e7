//! Packets on their way to whoever answers for a key: hop by hop, acknowledged and rerouted at each; and the lookups that
//! this node has sent out.

use std::time::Duration;

use super::careful::Survey;
use super::message::{Errand, PEERS_MAX, Packet, RingMessage, Route};
use super::walk::Walk;
use super::{Event, RingNode};
use crate::identity::Position;
use crate::pool::moment::Moment;
use crate::pool::peer::Peer;
use crate::pool::position::Zone;

/// A packet that the next hop has not acknowledged yet.
#[derive(Debug)]
pub(super) struct Forward {
    hop: u32,
    pub(super) to: Peer,
    packet: Packet,
    pub(super) deadline: Moment,
    tries: u8,
    /// Hops that did not answer.
    silent: Vec<Position>,
}

/// A packet that waits until neighbours agree who answers for its key.
#[derive(Debug)]
pub(super) struct Held {
    packet: Packet,
    pub(super) due: Moment,
    until: Moment,
}

/// A lookup of this node's own.
#[derive(Debug)]
pub(super) struct Lookup {
    pub(super) request: u32,
    pub(super) key: Position,
    pub(super) deadline: Moment,
    tries: u8,
    pub(super) way: Way,
}

/// How a lookup goes to its key.
#[derive(Debug)]
pub(super) enum Way {
    /// Passed on from node to node.
    Passed,
    /// Step by step, when no other is to work for it.
    Walk(Box<Walk>),
    /// On many ways, when some lie.
    Careful(Box<Survey>),
}

/// Where a packet goes next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Hop {
    /// This node answers for the key.
    Here,
    /// It may, once that is settled.
    Wait,
    To(Peer),
}

/// More hops than any way has: a packet that took as many runs in circles.
const HOPS_MAX: u8 = 40;
/// Packets that are watched at once; more are sent on unwatched.
const FORWARDS_MAX: usize = 256;
/// Packets that wait here at once, and how long.
const HELD_MAX: usize = 32;
const HELD_FOR: Duration = Duration::from_secs(12);
/// Between two tries to go on with one.
const HELD_TRY: Duration = Duration::from_millis(500);
/// Hops that are tried before a packet is given up; the origin tries again.
const SILENT_MAX: usize = 8;
/// Tries of one next hop when no other will do.
const ONLY_TRIES: u8 = 3;
/// Lookups of a node's own at once.
const LOOKUPS_MAX: usize = 64;
/// How long an answer is waited for, at first; half as long again each time.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);
/// Tries of a lookup.
const LOOKUP_TRIES: u8 = 5;

impl RingNode {
    // Lookups.

    /// Who answers for `key`? [`Event::Found`] or [`Event::LookupFailed`] bring the number that is returned, or nothing if
    /// too many are under way.
    pub fn lookup(&mut self, key: Position, now: Moment) -> Option<u32> {
        let request = self.begin_lookup(key, Way::Passed, now)?;
        self.send_out(request, key, now);
        self.wake = self.next_wake();
        Some(request)
    }

    pub(super) fn begin_lookup(&mut self, key: Position, way: Way, now: Moment) -> Option<u32> {
        if self.lookups.len() >= LOOKUPS_MAX || self.has_left() {
            return None;
        }
        let (request, deadline) = (self.number(), now + ANSWER_WITHIN);
        self.lookups.push(Lookup { request, key, deadline, tries: 1, way });
        Some(request)
    }

    fn send_out(&mut self, request: u32, key: Position, now: Moment) {
        let packet = Packet { errand: Errand::Lookup(request), key, origin: self.me, hops: 0 };
        self.pass_on(packet, Vec::new(), now);
    }

    pub(super) fn retry_lookups(&mut self, now: Moment) {
        let mut at = 0;
        while at < self.lookups.len() {
            let lookup = &mut self.lookups[at];
            if lookup.deadline > now {
                at += 1;
            } else if matches!(lookup.way, Way::Walk(_)) {
                at += usize::from(self.walk_on(at, now));
            } else if matches!(lookup.way, Way::Careful(_)) {
                let request = lookup.request;
                self.on_survey_late(request, now);
                at += usize::from(self.lookups.get(at).is_some_and(|lookup| lookup.request == request));
            } else if lookup.tries < LOOKUP_TRIES {
                lookup.tries += 1;
                lookup.deadline = now + ANSWER_WITHIN.mul_f64(1.5_f64.powi(i32::from(lookup.tries) - 1));
                let (request, key) = (lookup.request, lookup.key);
                self.send_out(request, key, now);
                at += 1;
            } else {
                let request = self.lookups.swap_remove(at).request;
                self.events.push_back(Event::LookupFailed { request });
            }
        }
    }

    pub(super) fn on_found(&mut self, root: Peer, request: u32, hops: u8) {
        if let Some(at) = self.lookups.iter().position(|lookup| lookup.request == request) {
            self.lookups.swap_remove(at);
            self.events.push_back(Event::Found { request, root, hops, heirs: Vec::new() });
        }
    }

    // Packets.

    pub(super) fn on_route(&mut self, from: Peer, route: Route, now: Moment) {
        self.send(from, RingMessage::HopAck { hop: route.hop }, now);
        let Route { mut packet, .. } = route;
        if packet.origin.position == self.me.position || packet.hops >= HOPS_MAX {
            return;
        }
        if let Errand::Join { row } = &mut packet.errand {
            let shared = self.me.position.shared_digits(packet.origin.position) as u8;
            let rows = *row..=shared;
            *row = shared.saturating_add(1).max(*row);
            self.send_rows(packet.origin, rows, now);
        }
        if matches!(packet.errand, Errand::Lookup(_)) {
            self.fill_from(packet.origin, now);
        }
        self.pass_on(packet, Vec::new(), now);
    }

    fn pass_on(&mut self, mut packet: Packet, silent: Vec<Position>, now: Moment) {
        match self.next_hop(packet.key, &silent) {
            Hop::Here => self.deliver(packet, now),
            Hop::Wait => self.hold(packet, now),
            // It is on its way to its own origin, which others still know from before, or know already.
            Hop::To(to) if to.position == packet.key && packet.errand.is_for_origin() => {
                self.deliver(packet, now)
            }
            Hop::To(to) => {
                self.mend_on_the_way(packet.key, to, now);
                let hop = self.number();
                packet.hops = packet.hops.saturating_add(1);
                self.send(to, RingMessage::Route(Route { hop, packet }), now);
                if self.forwards.len() < FORWARDS_MAX {
                    let deadline = now + self.timeout(to);
                    self.forwards.push(Forward { hop, to, packet, deadline, tries: 1, silent });
                }
            }
        }
    }

    fn deliver(&mut self, packet: Packet, now: Moment) {
        let Packet { errand, key, origin, hops } = packet;
        match errand {
            Errand::Lookup(request) => {
                self.events.push_back(Event::Delivered { key, origin, request, hops });
                if origin.position == self.me.position {
                    self.on_found(self.me, request, hops);
                } else {
                    self.send(origin, RingMessage::Found { request, hops }, now);
                }
            }
            Errand::Join { .. } | Errand::Seek => {
                let around = self.around(origin.position);
                self.send(origin, RingMessage::Welcome(around), now);
            }
        }
    }

    fn hold(&mut self, packet: Packet, now: Moment) {
        if self.held.len() < HELD_MAX {
            self.held.push(Held { packet, due: now + HELD_TRY, until: now + HELD_FOR });
        }
    }

    /// What waited may go on: the zone is another one, or some time has passed.
    pub(super) fn release_held(&mut self, zone_changed: bool, now: Moment) {
        if !zone_changed && self.held.iter().all(|held| held.due > now) {
            return;
        }
        for Held { packet, until, .. } in std::mem::take(&mut self.held) {
            match self.next_hop(packet.key, &[]) {
                Hop::Wait if until <= now => {}
                Hop::Wait => self.held.push(Held { packet, due: now + HELD_TRY, until }),
                Hop::Here | Hop::To(_) => self.pass_on(packet, Vec::new(), now),
            }
        }
    }

    pub(super) fn on_hop_ack(&mut self, from: Peer, hop: u32) {
        let acknowledged = |forward: &Forward| forward.hop == hop && forward.to.position == from.position;
        if let Some(at) = self.forwards.iter().position(acknowledged) {
            self.forwards.swap_remove(at);
        }
    }

    pub(super) fn retry_forwards(&mut self, now: Moment) {
        let mut at = 0;
        while at < self.forwards.len() {
            if self.forwards[at].deadline > now {
                at += 1;
                continue;
            }
            let mut late = self.forwards.swap_remove(at);
            let to = late.to;
            late.silent.push(to.position);
            match self.next_hop(late.packet.key, &late.silent) {
                Hop::To(other) if other.position != to.position && late.silent.len() < SILENT_MAX => {
                    self.measure(to, now);
                    late.packet.hops -= 1;
                    self.pass_on(late.packet, late.silent, now);
                }
                _ if late.tries < ONLY_TRIES => {
                    late.silent.pop();
                    late.tries += 1;
                    late.deadline = now + self.timeout(to) * u32::from(late.tries);
                    let route = Route { hop: late.hop, packet: late.packet };
                    self.send(to, RingMessage::Route(route), now);
                    self.forwards.push(late);
                }
                _ => {
                    self.measure(to, now);
                    self.hold(late.packet, now);
                }
            }
        }
    }

    // Routing.

    /// Pastry's rule (section 2.3), for roots that are successors: leaf set, table, and in the rare case any node that is
    /// nearer. Nodes in `silent` and such as have just failed to answer are passed over.
    pub(super) fn next_hop(&self, key: Position, silent: &[Position]) -> Hop {
        let here = self.me.position;
        if self.zone().is_some_and(|zone| zone.contains(key)) {
            return Hop::Here;
        }
        let left = self.leaves.left().map_or(here, |left| left.peer.position);
        if (Zone { after: left, upto: here }).contains(key) {
            return Hop::Wait;
        }
        let heard_of = |peer: &Peer| !silent.contains(&peer.position);
        let good = |peer: &Peer| heard_of(peer) && !self.is_suspect(peer.position);
        self.next_peer(key, good).or_else(|| self.next_peer(key, heard_of)).map_or(Hop::Wait, Hop::To)
    }

    fn next_peer(&self, key: Position, good: impl Fn(&Peer) -> bool) -> Option<Peer> {
        let here = self.me.position;
        if self.covers(key) {
            let successor = self.leaves().filter(&good).min_by_key(|peer| key.way_to(peer.position));
            return successor.filter(|peer| key.way_to(peer.position) < key.way_to(here));
        }
        if let Some(next) = self.table.toward(key).filter(&good) {
            return Some(next);
        }
        // The rare case. A node that shares fewer digits would send the packet back here.
        let shared = here.shared_digits(key);
        let known = self.table.peers().chain(self.leaves()).filter(&good);
        let fit = known.filter(|peer| peer.position.shared_digits(key) >= shared);
        let nearest = fit.min_by_key(|peer| (apart(peer.position, key), peer.position));
        nearest.filter(|peer| apart(peer.position, key) < apart(here, key))
    }

    // Iterative lookups, the part of those who are asked.

    pub(super) fn on_step(&mut self, from: Peer, request: u32, key: Position, now: Moment) {
        let root = self.next_hop(key, &[]) == Hop::Here;
        let mut peers: Vec<Peer> = self.table.peers().chain(self.leaves()).collect();
        peers.retain(|peer| !self.is_suspect(peer.position));
        peers.sort_unstable_by_key(|peer| key.way_to(peer.position));
        peers.dedup_by_key(|peer| peer.position);
        // Those on both sides: the nearest after the key answers for it, however near those before it are.
        if peers.len() > STEPS_MAX {
            peers.drain(STEPS_MAX / 2..peers.len() - STEPS_MAX / 2);
        }
        peers.sort_unstable_by_key(|peer| (apart(peer.position, key), peer.position));
        self.send(from, RingMessage::Steps { request, root, peers }, now);
    }
}

/// Nodes that the answer to a step names: the next one, and enough others if it is silent.
const STEPS_MAX: usize = PEERS_MAX / 2;

/// The shorter way between two positions.
pub(super) fn apart(one: Position, other: Position) -> u128 {
    one.way_to(other).min(other.way_to(one))
}
