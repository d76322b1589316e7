//! Who is at the other end of a connection, and where this node is seen from there.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rand::RngExt;
use rand::seq::IndexedRandom;

use super::{Event, Output, PoolNode};
use crate::identity::NodeId;
use crate::net::is_detour;
use crate::pool::links::Connected;
use crate::pool::message::{ADDRS_MAX, FEATURES, Hello, PoolMessage, Whereabouts};
use crate::pool::peer::{Peer, Place};
use crate::pool::round_trip::RoundTrips;
use crate::pool::swarm;

impl PoolNode {
    pub(super) fn whereabouts(&self) -> Whereabouts {
        let Peer { endpoint, local, place, .. } = self.swarm.ring().me();
        Whereabouts { endpoint, local, place, reach: self.seen.reach() }
    }

    /// Where this node listens, the address that others see first.
    pub(super) fn own_addrs(&self) -> Vec<SocketAddr> {
        let mut addrs = vec![self.seen.endpoint()];
        addrs.extend(self.listen.iter().filter(|addr| **addr != self.seen.endpoint()));
        addrs.truncate(ADDRS_MAX);
        addrs
    }

    pub(super) fn greet(&mut self, peer: NodeId, answer: bool) {
        let Some(link) = self.links.get(peer) else { return };
        let hello = Hello {
            features: FEATURES,
            instance: self.instance,
            addrs: self.own_addrs(),
            here: self.whereabouts(),
            seen: link.addr,
            offer: self.offer,
            observer: self.is_off_ring(),
            alone: self.is_alone(),
            answer,
        };
        self.tell(peer, PoolMessage::Hello(hello));
    }

    pub(super) fn is_alone(&self) -> bool {
        self.swarm.ring().leaves().next().is_none()
    }

    pub(super) fn on_hello(&mut self, from: NodeId, mut hello: Hello, now: Instant) {
        hello.addrs.truncate(ADDRS_MAX);
        let measured = self.contacts.is_wanted(from) || self.is_measured(from);
        let Some(link) = self.links.get_mut(from) else { return };
        let restarted = link.hello.as_ref().is_some_and(|known| known.instance != hello.instance);
        let known = link.hello.is_some() && !restarted;
        let (seen, observer, alone, answer) = (hello.seen, hello.observer, hello.alone, hello.answer);
        let at = link.addr;
        link.place = hello.here.place;
        link.hello = Some(hello);
        if restarted {
            (link.round_trips, link.pings) = (RoundTrips::default(), 0);
            self.events.push_back(Event::Lost(from));
            // Here the connection is an old one, there it is new, and a hello is waited for.
            self.greet(from, true);
        }
        if known {
            // The peer has lost and found this connection while it stood here all along; it waits for a hello.
            if !answer {
                self.greet(from, true);
            }
            return;
        }
        let Some(link) = self.links.get_mut(from) else { return };
        if measured {
            link.begin_pings(now);
        }
        let peer = link.peer(from);
        let reach = self.seen.reach();
        if self.seen.vote(from, seen) || self.seen.reach() != reach {
            self.move_to(now);
        }
        self.choose_place(now);
        self.wake = now;
        self.events.push_back(Event::Joined(from));
        self.flush(from, now);
        self.on_joined_for_query(from);
        self.on_joined_for_asks(from, now);
        if !observer && !self.is_off_ring() {
            self.meet(peer, alone, self.contacts.is_bootstrap(at), now);
        }
    }

    /// Somebody of the ring is there: perhaps a way into it. Of two that know nobody the one with the greater key joins
    /// the other; if both waited for each other, neither would ever answer for anything. Of two whose hellos crossed one may
    /// have been joined by a third meanwhile: it looks whether the other has a ring of its own by now.
    fn meet(&mut self, peer: Peer, alone: bool, bootstrap: bool, now: Instant) {
        let named = bootstrap || self.seen.was_looked_at(peer.node);
        let join = if self.is_alone() { !alone || self.me > peer.node } else { alone || named };
        if join {
            self.drive(swarm::Input::Bootstrap(peer), now);
        }
    }

    /// Now and then, one of those who are connected and no leaves is asked who is around this node: on one ring that is
    /// what the leaf set says, and two rings find each other by it.
    pub(super) fn reunite(&mut self, now: Instant) {
        if self.reunite_at > now || self.is_off_ring() {
            return;
        }
        self.reunite_at = now + self.reunite_pause.mul_f64(self.random.random_range(0.75..1.25));
        self.reunite_pause = (self.reunite_pause * 2).min(REUNITE_LAST);
        let leaves: BTreeSet<NodeId> = self.swarm.ring().leaves().map(|leaf| leaf.node).collect();
        let others = self.links.iter().filter(|(node, link)| {
            !leaves.contains(node) && link.hello.as_ref().is_some_and(|hello| !hello.observer)
        });
        let others: Vec<Peer> = others.map(|(node, link)| link.peer(node)).collect();
        if let Some(other) = others.choose(&mut self.random) {
            self.drive(swarm::Input::Bootstrap(*other), now);
        }
    }

    /// Others see this node at another address.
    pub(super) fn move_to(&mut self, now: Instant) {
        let (endpoint, local) = (self.seen.endpoint().into(), self.seen.local());
        self.drive(swarm::Input::Moved(endpoint, local), now);
        let here = self.whereabouts();
        for peer in self.joined().collect::<Vec<_>>() {
            self.outputs.push_back(Output::Message(peer, PoolMessage::Here(here)));
        }
    }

    /// A peer is reached at another address from now on.
    pub fn on_moved(&mut self, peer: NodeId, addr: SocketAddr, now: Instant) {
        let Some(link) = self.links.get_mut(peer) else { return };
        let was_detour = link.is_detour();
        link.addr = addr;
        self.on_way(peer, addr, now);
        if was_detour && self.is_direct(peer) {
            self.events.push_back(Event::Direct(peer));
        }
        if self.is_direct(peer) {
            self.tell(peer, PoolMessage::Seen(addr));
        }
        self.wake = now;
    }

    pub(super) fn on_way(&mut self, peer: NodeId, addr: SocketAddr, now: Instant) {
        if is_detour(addr) {
            self.contacts.on_detour(peer, now);
        } else {
            self.contacts.on_connected(peer, addr);
            self.seen.on_connected(addr, now);
        }
    }

    /// The router leads that address here, or none any more.
    pub fn on_mapped(&mut self, mapped: Option<SocketAddr>, now: Instant) {
        if self.seen.map(mapped) {
            self.move_to(now);
        }
        self.choose_place(now);
    }

    /// The peer sees this node elsewhere by now.
    pub(super) fn on_seen(&mut self, from: NodeId, addr: SocketAddr, now: Instant) {
        if self.seen.vote(from, addr) {
            self.move_to(now);
        }
        self.choose_place(now);
    }

    pub(super) fn on_here(&mut self, from: NodeId, here: Whereabouts) {
        if let Some(link) = self.links.get_mut(from) {
            link.place = here.place;
            if let Some(hello) = &mut link.hello {
                hello.here = here;
            }
        }
    }
}

/// Between the first two looks for another ring, each a message of some hops; each pause is twice the one before it.
pub(super) const REUNITE_FIRST: Duration = Duration::from_secs(2);
const REUNITE_LAST: Duration = Duration::from_secs(600);

impl Connected {
    /// Where that node can be dialled, the likeliest first.
    pub(super) fn all_addrs(&self, node: NodeId) -> Vec<SocketAddr> {
        let mut addrs: Vec<SocketAddr> = self.peer(node).addrs().collect();
        let said = self.hello.iter().flat_map(|hello| hello.addrs.iter().copied());
        addrs.extend(said);
        let mut known = BTreeSet::new();
        addrs.retain(|addr| addr.port() != 0 && !addr.ip().is_unspecified() && known.insert(*addr));
        addrs.truncate(ADDRS_MAX);
        addrs
    }
}

/// The place of a peer that has said nothing of it.
pub(super) fn known(place: Place) -> Option<Place> {
    (place != Place::UNKNOWN).then_some(place)
}
