//! The connections of a node: who is at the other end, what each is kept for, and what waits for one that is being dialled.
//!
//! Connections come on demand. Those to leaves and to whom the layers above want are kept; another one, which served a
//! lookup or a look at a table's entry, is closed when nothing has gone over it for a while.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::message::Hello;
use super::node::EAGER_PINGS;
use super::peer::{Peer, Place};
use super::ring::RingMessage;
use super::round_trip::RoundTrips;
use super::swarm::SwarmMessage;
use crate::identity::NodeId;
use crate::net::is_detour;

/// A connected peer.
#[derive(Debug)]
pub(super) struct Connected {
    pub(super) addr: SocketAddr,
    pub(super) hello: Option<Hello>,
    pub(super) place: Place,
    pub(super) last_heard: Instant,
    /// When it last carried a message that it was there for.
    pub(super) last_used: Instant,
    /// It is said to be dead; it is, unless it is heard by then.
    pub(super) doubted: Option<Instant>,
    /// Nobody waits for its death: its pings are rare ([`LOOSE`]), and only tell how far it is.
    pub(super) is_loose: bool,
    /// `None` while nobody wants to know how far it is.
    pub(super) next_ping: Option<Instant>,
    pub(super) pinged: Option<Instant>,
    /// Pings since it was last looked at.
    pub(super) pings: u32,
    pub(super) round_trips: RoundTrips,
    /// Messages for the ring in the second that began then.
    budget: (Instant, u32),
}

/// Of a link on which nothing depends, one in so many pings is sent.
const LOOSE: u32 = 5;
/// Messages for the ring that one peer may send in a second: several times what the busiest time of a join brings.
const RING_MESSAGES_PER_SECOND_MAX: u32 = 300;
/// Connections to keep at most, those that are wanted or lead to leaves not counted.
const SPARE_MAX: usize = 64;
/// A spare connection over which nothing went for so long is closed.
const IDLE: Duration = Duration::from_secs(30);
/// Between two looks for such.
const SWEEP: Duration = Duration::from_secs(10);
/// Nodes that are dialled at once for the ring.
const DIALS_MAX: usize = 64;
/// Messages that wait for one of them.
const WAITING_MAX: usize = 8;
/// A dial that takes longer has come to nothing.
const DIAL_WITHIN: Duration = Duration::from_secs(6);
/// A node that could not be reached is not dialled again for the ring before.
const UNREACHABLE_FOR: Duration = Duration::from_secs(5);

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Links {
    peers: BTreeMap<NodeId, Connected>,
    dials: BTreeMap<NodeId, Dial>,
    unreachable: BTreeMap<NodeId, Instant>,
    sweep_at: Instant,
}

#[derive(Debug)]
struct Dial {
    since: Instant,
    /// Addresses that have not failed.
    open: usize,
    waiting: VecDeque<SwarmMessage>,
}

/// What becomes of a message for the ring.
#[derive(Debug)]
pub(super) enum Way {
    /// It can be sent.
    Open(SwarmMessage),
    /// It waits until the node that is being dialled answers.
    Waits,
    /// It waits, and the node is to be dialled.
    Dial,
    /// There is no way.
    None,
}

impl Links {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            peers: BTreeMap::new(),
            dials: BTreeMap::new(),
            unreachable: BTreeMap::new(),
            sweep_at: now + SWEEP,
        }
    }

    pub(super) fn get(&self, node: NodeId) -> Option<&Connected> {
        self.peers.get(&node)
    }

    pub(super) fn get_mut(&mut self, node: NodeId) -> Option<&mut Connected> {
        self.peers.get_mut(&node)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (NodeId, &Connected)> {
        self.peers.iter().map(|(node, link)| (*node, link))
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (NodeId, &mut Connected)> {
        self.peers.iter_mut().map(|(node, link)| (*node, link))
    }

    pub(super) fn is_connected(&self, node: NodeId) -> bool {
        self.peers.contains_key(&node)
    }

    /// True when messages to this node go through.
    pub(super) fn is_joined(&self, node: NodeId) -> bool {
        self.peers.get(&node).is_some_and(|link| link.hello.is_some())
    }

    /// A connection is open.
    pub(super) fn insert(&mut self, node: NodeId, addr: SocketAddr, now: Instant) {
        self.unreachable.remove(&node);
        let link = Connected {
            addr,
            hello: None,
            place: Place::UNKNOWN,
            last_heard: now,
            last_used: now,
            doubted: None,
            is_loose: false,
            next_ping: None,
            pinged: None,
            pings: 0,
            round_trips: RoundTrips::default(),
            budget: (now, 0),
        };
        self.peers.insert(node, link);
    }

    pub(super) fn remove(&mut self, node: NodeId) -> Option<Connected> {
        self.peers.remove(&node)
    }

    /// What to do with a message to a node of the ring.
    pub(super) fn way(&mut self, peer: &Peer, message: SwarmMessage, now: Instant) -> Way {
        let to = peer.node;
        if let Some(link) = self.peers.get_mut(&to)
            && link.hello.is_some()
        {
            link.last_used = now;
            return Way::Open(message);
        }
        if self.unreachable.get(&to).is_some_and(|until| *until > now) {
            return Way::None;
        }
        let known = self.dials.contains_key(&to);
        if !known && self.dials.len() >= DIALS_MAX {
            return Way::None;
        }
        let fresh = || Dial { since: now, open: peer.addrs().count(), waiting: VecDeque::new() };
        let dial = self.dials.entry(to).or_insert_with(fresh);
        // A ping that was sent again would measure the wait.
        if is_ping(&message) {
            dial.waiting.retain(|other| !is_ping(other));
        }
        if dial.waiting.len() >= WAITING_MAX {
            dial.waiting.pop_front();
        }
        dial.waiting.push_back(message);
        if known || self.peers.contains_key(&to) { Way::Waits } else { Way::Dial }
    }

    /// What has waited for this node.
    pub(super) fn take_waiting(&mut self, node: NodeId) -> Option<VecDeque<SwarmMessage>> {
        self.dials.remove(&node).map(|dial| dial.waiting)
    }

    /// A dial to this node has come to nothing.
    pub(super) fn on_dial_failed(&mut self, node: NodeId, now: Instant) {
        let Some(dial) = self.dials.get_mut(&node) else { return };
        dial.open = dial.open.saturating_sub(1);
        if dial.open == 0 && !self.is_connected(node) {
            self.dials.remove(&node);
            self.unreachable.insert(node, now + UNREACHABLE_FOR);
        }
    }

    /// The connections that are not worth keeping; `keep` says which are, whatever went over them.
    pub(super) fn sweep(&mut self, keep: &BTreeSet<NodeId>, now: Instant) -> Vec<NodeId> {
        self.dials.retain(|_, dial| now.saturating_duration_since(dial.since) < DIAL_WITHIN);
        self.unreachable.retain(|_, until| *until > now);
        self.sweep_at = now + SWEEP;
        let mut spare: Vec<(Instant, NodeId)> = self
            .peers
            .iter()
            .filter(|(node, _)| !keep.contains(*node))
            .map(|(node, link)| (link.last_used, *node))
            .collect();
        spare.sort_unstable();
        let too_many = spare.len().saturating_sub(SPARE_MAX);
        let idle = |used: Instant| now.saturating_duration_since(used) >= IDLE;
        let gone = spare.into_iter().enumerate().filter(|(i, (used, _))| *i < too_many || idle(*used));
        gone.map(|(_, (_, node))| node).collect()
    }

    pub(super) fn sweep_due(&self) -> Instant {
        self.sweep_at
    }
}

impl Connected {
    /// Counts a message for the ring against its sender's budget.
    pub(super) fn may_speak(&mut self, now: Instant) -> bool {
        if now.saturating_duration_since(self.budget.0) >= Duration::from_secs(1) {
            self.budget = (now, 0);
        }
        self.budget.1 += 1;
        self.budget.1 <= RING_MESSAGES_PER_SECOND_MAX
    }

    /// It leads over a third node: it is there for messages, and no link of a tree.
    pub(super) fn is_detour(&self) -> bool {
        is_detour(self.addr)
    }

    /// When to ping: a heartbeat after anything was heard or a ping was sent, and with traffic, which is proof of life by
    /// itself, when [`next_ping`](Self::next_ping) says so at the latest.
    pub(super) fn ping_due(&self, heartbeat: Duration) -> Option<Instant> {
        let latest = self.next_ping?;
        if self.is_loose {
            return Some(latest);
        }
        let quiet_since = self.pinged.map_or(self.last_heard, |at| at.max(self.last_heard));
        Some(if self.pings < EAGER_PINGS { latest } else { latest.min(quiet_since + heartbeat) })
    }

    /// How many heartbeats stand for one.
    pub(super) fn pace(&self) -> u32 {
        if self.is_loose { LOOSE } else { 1 }
    }

    /// Says whether anybody waits for its death.
    pub(super) fn set_loose(&mut self, is_loose: bool, now: Instant) {
        if self.is_loose && !is_loose && self.next_ping.is_some() {
            // From now on its silence counts, and nobody has asked lately.
            (self.next_ping, self.last_heard) = (Some(now), now);
        }
        self.is_loose = is_loose;
    }

    /// It is to be measured from now on, if it is not already.
    pub(super) fn begin_pings(&mut self, now: Instant) {
        if self.next_ping.is_none() {
            (self.next_ping, self.pings) = (Some(now), 0);
            // Nobody has asked until now: the silence was no sign of anything.
            self.last_heard = now;
        }
    }

    /// Its first pings are sent again, one closely after the other.
    pub(super) fn ping_anew(&mut self, now: Instant) {
        (self.next_ping, self.pings) = (Some(now), 0);
    }

    /// The peer as the ring is to know it. What it says of itself counts, but for a public address that it does not know
    /// of yet.
    pub(super) fn peer(&self, node: NodeId) -> Peer {
        let seen = Peer { place: self.place, ..Peer::new(node, self.addr) };
        let Some(hello) = &self.hello else { return seen };
        let stated = SocketAddr::from(hello.here.endpoint);
        if self.is_detour() {
            return Peer { endpoint: hello.here.endpoint, local: hello.here.local, ..seen };
        }
        if is_private(stated) && !is_private(self.addr) {
            let local = if let SocketAddr::V4(addr) = stated { addr.into() } else { hello.here.local };
            return if self.addr.is_ipv4() { Peer { local, ..seen } } else { seen };
        }
        Peer { endpoint: hello.here.endpoint, local: hello.here.local, ..seen }
    }
}

/// An address that means something to its own network only.
pub(super) fn is_private(addr: SocketAddr) -> bool {
    match addr {
        SocketAddr::V4(addr) => {
            let ip = addr.ip();
            ip.is_private() || ip.is_loopback() || ip.is_link_local() || ip.is_unspecified()
        }
        SocketAddr::V6(addr) => {
            let ip = addr.ip();
            ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local() || ip.is_unspecified()
        }
    }
}

fn is_ping(message: &SwarmMessage) -> bool {
    matches!(message, SwarmMessage::Ring(RingMessage::Ping(_)))
}
