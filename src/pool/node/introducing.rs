//! Two nodes behind translators are brought together by a third that both reach: each speaks to where the other is seen,
//! and so opens its own translator for it (the patent presumes that any two nodes can talk; the open Internet does not).
//!
//! Who named a node last is likely to reach it, and is asked first; then those who are nearest to it on the ring, for a
//! node stays connected to its neighbours there. A request goes on along the same two ways, a few hops at most.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::{Output, PoolNode};
use crate::identity::NodeId;
use crate::pool::links::is_private;
use crate::pool::message::{Contact, PoolMessage};
use crate::pool::peer::Peer;
use crate::pool::reach::Reach;
use crate::pool::ring::{Errand, RingMessage};
use crate::pool::swarm::SwarmMessage;

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Introducing {
    /// Who has named a node last, and when.
    named: BTreeMap<NodeId, (NodeId, Instant)>,
    /// Requests that may still be served, and when that was counted.
    left: f64,
    counted: Instant,
    /// Who may have to be talked to by way of whom.
    later: Vec<Later>,
}

#[derive(Debug)]
struct Later {
    at: Instant,
    carrier: Contact,
    who: NodeId,
    /// The carrier has been dialled.
    dialled: bool,
}

/// Nodes that are remembered with who named them.
const NAMED_MAX: usize = 512;
/// Who named a node that long ago may not be connected to it any more.
const NAMED_FOR: Duration = Duration::from_secs(60);
/// Nodes that are asked for an introduction at once, beside one that everybody can reach.
const INTRODUCERS: usize = 2;
/// A direct way has so long to be found before one over a third node is taken; and so has the way to that one.
const DIRECT_FIRST: Duration = Duration::from_millis(1_500);
/// Ways over third nodes that are put off at once.
const LATER_MAX: usize = 64;
/// Nodes that pass a request on.
const HOPS_MAX: u8 = 8;
/// Requests that a node serves at once, and in a second after that: each may make it send a few packets to an address
/// that it has by hearsay.
const SERVED_BURST: f64 = 64.0;
const SERVED_PER_SECOND: f64 = 8.0;
/// Addresses that one introduction makes a node speak to.
const SPOKEN_TO_MAX: usize = 4;

impl Introducing {
    pub(super) fn new(now: Instant) -> Self {
        Self { named: BTreeMap::new(), left: SERVED_BURST, counted: now, later: Vec::new() }
    }

    fn name(&mut self, node: NodeId, by: NodeId, now: Instant) {
        if self.named.len() >= NAMED_MAX && !self.named.contains_key(&node) {
            self.named.retain(|_, (_, at)| now.saturating_duration_since(*at) < NAMED_FOR);
            if self.named.len() >= NAMED_MAX {
                self.named.pop_first();
            }
        }
        self.named.insert(node, (by, now));
    }

    fn namer(&self, node: NodeId, now: Instant) -> Option<NodeId> {
        let (by, at) = self.named.get(&node)?;
        (now.saturating_duration_since(*at) < NAMED_FOR).then_some(*by)
    }

    fn serve(&mut self, now: Instant) -> bool {
        let since = now.saturating_duration_since(self.counted).as_secs_f64();
        self.left = (self.left + since * SERVED_PER_SECOND).min(SERVED_BURST);
        self.counted = now;
        let serves = self.left >= 1.0;
        self.left -= f64::from(u8::from(serves));
        serves
    }
}

impl PoolNode {
    /// `by` says that a node is there: it can bring the two together.
    pub fn named(&mut self, node: NodeId, by: NodeId, now: Instant) {
        if node != self.me && by != self.me && node != by && !self.links.is_joined(node) {
            self.introducing.name(node, by, now);
        }
    }

    /// Notes whom a message of the ring's names, and over whom it came.
    pub(super) fn note_names(&mut self, from: NodeId, message: &SwarmMessage, now: Instant) {
        let SwarmMessage::Ring(message) = message else { return };
        let peers: &[Peer] = match message {
            RingMessage::Rows(peers) | RingMessage::Welcome(peers) | RingMessage::Steps { peers, .. } => {
                peers
            }
            RingMessage::Pong(pong) => &pong.leaves,
            // What has come this way can go back this way.
            RingMessage::Route(route) if !matches!(route.packet.errand, Errand::Seek) => {
                std::slice::from_ref(&route.packet.origin)
            }
            _ => return,
        };
        for peer in peers {
            self.named(peer.node, from, now);
        }
    }

    /// Dials an address, and speaks there.
    pub(super) fn dial(&mut self, addr: SocketAddr, node: Option<NodeId>, now: Instant) {
        self.seen.speak_to(addr, now);
        self.outputs.push_back(Output::Dial(addr, node));
    }

    /// Asks those who may reach a node to have it speak to this one.
    pub(super) fn ask_for_introduction(&mut self, node: NodeId, now: Instant) {
        let mut introducers = self.introducers(node, &[], now);
        let open = |by: &NodeId| {
            let hello = self.links.get(*by).and_then(|link| link.hello.as_ref());
            self.is_direct(*by) && hello.is_some_and(|hello| is_open(hello.here.reach))
        };
        if !introducers.iter().any(open) {
            introducers.extend(self.joined().filter(|by| *by != node && open(by)).take(1));
        }
        for by in introducers {
            self.tell(by, PoolMessage::Introduce { to: node, who: None, carrier: None, hops: 0 });
        }
    }

    /// Somebody wants to talk to a node, which may be this one.
    pub(super) fn on_introduce(
        &mut self,
        from: NodeId,
        to: NodeId,
        (who, carrier): (Option<Contact>, Option<Contact>),
        hops: u8,
        now: Instant,
    ) {
        // What the first one says of itself is not passed on, but where it is seen and what its hello said.
        let who = who.filter(|_| hops > 0).unwrap_or_else(|| {
            let addrs = self.links.get(from).map(|link| link.all_addrs(from)).unwrap_or_default();
            Contact { node: from, addrs }
        });
        if who.node == self.me || !self.introducing.serve(now) {
            return;
        }
        if to == self.me {
            return self.speak_to(who, carrier, now);
        }
        let own = || Contact { node: self.me, addrs: self.own_addrs() };
        let carries = hops == 0 && self.is_direct(from) && is_open(self.seen.reach());
        let carrier = if carries { Some(own()) } else { carrier };
        if hops >= HOPS_MAX {
            return;
        }
        let next = if self.links.is_joined(to) {
            let direct = self.links.get(to).is_some_and(|link| !link.is_detour());
            if direct && hops == 0 {
                self.tell(from, PoolMessage::Introduced(to));
            }
            Some(to)
        } else {
            self.introducers(to, &[from, who.node], now).into_iter().next()
        };
        if let Some(next) = next {
            let message = PoolMessage::Introduce { to, who: Some(who), carrier, hops: hops + 1 };
            self.tell(next, message);
        }
    }

    /// Speaks to somebody who speaks to this node at the same time.
    fn speak_to(&mut self, who: Contact, carrier: Option<Contact>, now: Instant) {
        if self.links.get(who.node).is_some_and(|link| !link.is_detour()) {
            return;
        }
        let usable = |addr: &SocketAddr| {
            let ip = addr.ip();
            addr.port() != 0 && !ip.is_unspecified() && !ip.is_multicast() && !ip.is_loopback()
        };
        let later = &mut self.introducing.later;
        if let Some(carrier) = carrier.filter(|carrier| carrier.node != self.me)
            && later.len() < LATER_MAX
            && !later.iter().any(|later| later.who == who.node)
        {
            later.push(Later { at: now + DIRECT_FIRST, carrier, who: who.node, dialled: false });
            self.wake = now;
        }
        for addr in who.addrs.into_iter().filter(usable).take(SPOKEN_TO_MAX) {
            if self.seen.speak_to(addr, now) {
                self.outputs.push_back(Output::Dial(addr, Some(who.node)));
            }
        }
    }

    /// Goes by way of third nodes where no direct way has been found.
    pub(super) fn go_through_others(&mut self, now: Instant) {
        let due = |later: &mut Later| later.at <= now;
        for mut later in self.introducing.later.extract_if(.., due).collect::<Vec<_>>() {
            if self.links.is_connected(later.who) {
                continue;
            }
            if self.is_direct(later.carrier.node) {
                self.outputs.push_back(Output::DialThrough(later.carrier.node, later.who));
            } else if !later.dialled {
                self.want_for(later.carrier.clone(), 4 * DIRECT_FIRST, now);
                (later.at, later.dialled) = (now + DIRECT_FIRST, true);
                self.introducing.later.push(later);
            }
        }
    }

    pub(super) fn introducing_due(&self) -> Option<Instant> {
        self.introducing.later.iter().map(|later| later.at).min()
    }

    /// Who may reach a node: whoever named it, and those near it on the ring, nearer than this node is.
    fn introducers(&self, node: NodeId, not: &[NodeId], now: Instant) -> Vec<NodeId> {
        let fit = |other: &NodeId| *other != node && !not.contains(other) && self.links.is_joined(*other);
        // Whoever answers for a position is the next one clockwise, and those who stand aside are connected to it.
        let apart = |other: NodeId| node.position().way_to(other.position());
        let namer = self.introducing.namer(node, now).filter(fit);
        let on_ring =
            |link: &crate::pool::links::Connected| link.hello.as_ref().is_some_and(|hello| !hello.observer);
        let mut near: Vec<NodeId> =
            self.links.iter().filter(|(_, link)| on_ring(link)).map(|(o, _)| o).collect();
        let strangers_only = not.is_empty();
        near.retain(|other| fit(other) && (strangers_only || apart(*other) < apart(self.me)));
        near.sort_by_key(|other| apart(*other));
        let mut all: Vec<NodeId> = namer.into_iter().chain(near).collect();
        let mut known = std::collections::BTreeSet::new();
        all.retain(|other| known.insert(*other));
        all.truncate(INTRODUCERS);
        all
    }
}

/// Everybody can speak first to such a one.
fn is_open(reach: Reach) -> bool {
    matches!(reach, Reach::Direct | Reach::FullCone)
}

/// A node of these addresses is behind a translator: it is seen elsewhere than where it listens.
pub(super) fn looks_translated(addrs: impl Iterator<Item = SocketAddr>) -> bool {
    let v4: Vec<SocketAddr> = addrs.filter(SocketAddr::is_ipv4).collect();
    v4.iter().any(|addr| is_private(*addr)) && v4.iter().any(|addr| !is_private(*addr))
}
