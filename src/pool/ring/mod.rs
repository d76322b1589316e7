//! The ring: a node among up to millions, of which it knows some eighty. One value with four doors, no sockets, no clock.
//!
//! Zones, leaf sets and heartbeats are the patent's ([0041] to [0043]), prefix routing and repair Pastry's (Rowstron and
//! Druschel, Middleware 2001), and the economy of messages and the care for consistency MS Pastry's (Castro, Costa,
//! Rowstron, "Performance and dependability of structured peer-to-peer overlays", DSN 2004): one heartbeat, to the left
//! neighbour alone; any traffic is proof of life; a node that finds its right neighbour silent tells the others.
//!
//! **No wrong root.** A node delivers only what lies in the zone that its left neighbour has agreed to: it once said that
//! it sees nobody between the two. A zone shrinks at once when somebody joins; it grows, after a death, only when both
//! ends of the gap have found the dead node silent for themselves. What cannot be delivered yet is held. A joiner becomes
//! active when its two neighbours see it where it sees itself.
//!
//! Left out: nodes that lie about whom they see delay agreement or deny service to their neighbours (lookups over
//! disjoint ways deal with them); they cannot take a zone, since positions are bound to keys.

mod careful;
mod forward;
mod join;
pub(in crate::pool) mod message;
mod settle;
mod sight;
#[cfg(test)]
mod tests;
mod traitor;
mod upkeep;
mod walk;
mod watch;

use std::time::Duration;

use rand::RngExt;
use rand::rngs::StdRng;

use self::forward::{Forward, Held, Lookup};
use self::join::Phase;
pub use self::message::{
    Errand, Malformed, PEERS_MAX, Packet, Ping, Pong, Purpose, RING_MESSAGE_MAX, RingMessage, Route, View,
};
pub use self::traitor::Malice;
use self::watch::{Ghost, Pending};
use super::coord::Surveyor;
use super::leafset::LeafSet;
use super::moment::Moment;
use super::outbox::Outbox;
use super::peer::{Endpoint, Local, Peer};
use super::position::{Mark, Zone};
use super::routing::Table;
use crate::identity::Position;

/// How a ring node behaves.
#[derive(Clone, Copy, Debug)]
pub struct RingConfig {
    /// Neighbours known on each side. More: larger crashes are survived without a search, joins and deaths cost more.
    pub side: usize,
    /// Between two heartbeats to the left neighbour. Shorter: deaths are noticed sooner, idle traffic grows.
    pub heartbeat: Duration,
    /// Between two looks at a node drawn from table and leaf set, once the node has settled. Shorter: fewer stale
    /// entries, better known latencies, more idle traffic.
    pub upkeep: Duration,
}

impl Default for RingConfig {
    fn default() -> Self {
        Self { side: 8, heartbeat: Duration::from_secs(5), upkeep: Duration::from_secs(20) }
    }
}

/// A message to send.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Transmit {
    /// To whom.
    pub to: Peer,
    /// What.
    pub message: RingMessage,
}

/// What happens to a ring node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Input {
    /// A message has come; the transport has proven whose it is.
    Message(Peer, RingMessage),
    /// Something else has come from a node: it lives.
    SignOfLife(Peer),
    /// A node to join through, or to find a lost ring by.
    Bootstrap(Peer),
    /// This node listens elsewhere, or is seen elsewhere by others.
    Moved(Endpoint, Local),
    /// What was to go to that node has to wait for a connection.
    Dialling(Position),
    /// It leaves now.
    Departed(Position),
    /// Leave the ring politely.
    Leave,
    /// [`RingNode::poll_timeout`] has come.
    Timeout,
}

/// What the layer above needs to know.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// The node answers for its zone from now on.
    Active,
    /// The zone is another one.
    ZoneChanged,
    /// A node of the leaf set has been found dead.
    Died(Position),
    /// This node answers for the key of a packet that has come.
    Delivered {
        /// The key.
        key: Position,
        /// Who looks it up.
        origin: Peer,
        /// The origin's number for the lookup.
        request: u32,
        /// How far it went.
        hops: u8,
    },
    /// A lookup of this node's has been answered.
    Found {
        /// Its number.
        request: u32,
        /// Who answers for the key.
        root: Peer,
        /// How far the packet went.
        hops: u8,
        /// The next ones after it, if the lookup was a careful one.
        heirs: Vec<Peer>,
    },
    /// A lookup of this node's has come to nothing.
    LookupFailed {
        /// Its number.
        request: u32,
    },
    /// A round trip has been measured.
    Measured {
        /// To whom, and where it says it is.
        peer: Peer,
        /// How long.
        round_trip: Duration,
    },
}

/// See the [module](self).
pub struct RingNode {
    me: Peer,
    config: RingConfig,
    random: StdRng,
    phase: Phase,
    /// It has been on a ring with others.
    was_among_others: bool,
    leaves: LeafSet,
    table: Table,
    neighbours: settle::Neighbours,
    sight: sight::Sight,
    /// The left neighbour has seen less of the gap between them than there is of it, since then.
    doubts_since: Option<Moment>,
    /// What the last [`Event::ZoneChanged`] was about.
    zone_told: Option<Zone>,
    surveyor: Surveyor,
    pings: Vec<Pending>,
    ghosts: Vec<Ghost>,
    bootstraps: Vec<Peer>,
    forwards: Vec<Forward>,
    held: Vec<Held>,
    lookups: Vec<Lookup>,
    numbers: u32,
    heartbeat_at: Moment,
    upkeep_at: Moment,
    upkeep_interval: Duration,
    looks: u8,
    passed_over: Vec<Mark>,
    awake_at: Moment,
    wake: Moment,
    outbox: Outbox<Transmit>,
    events: Outbox<Event>,
}

/// Mean ways from one node to the next.
const FAR: f64 = 8.0;

impl RingNode {
    /// A node that knows nobody: alone on its ring until it is given a bootstrap.
    #[must_use]
    pub fn new(me: Peer, config: RingConfig, random: StdRng, now: Moment) -> Self {
        let mut node = Self {
            me,
            config,
            random,
            phase: Phase::Active,
            was_among_others: false,
            leaves: LeafSet::new(me.position, config.side),
            table: Table::new(me.position),
            neighbours: settle::Neighbours::alone(me.position),
            sight: sight::Sight::default(),
            doubts_since: None,
            zone_told: Some(Zone { after: me.position, upto: me.position }),
            surveyor: Surveyor::default(),
            pings: Vec::new(),
            ghosts: Vec::new(),
            bootstraps: Vec::new(),
            forwards: Vec::new(),
            held: Vec::new(),
            lookups: Vec::new(),
            numbers: 0,
            heartbeat_at: now,
            upkeep_at: now + upkeep::FIRST,
            upkeep_interval: upkeep::FIRST,
            looks: 0,
            passed_over: Vec::new(),
            awake_at: now,
            wake: now,
            outbox: Outbox::new(),
            events: Outbox::new(),
        };
        node.numbers = node.random.random();
        node
    }

    // The four doors.

    /// Something has happened.
    pub fn handle(&mut self, input: Input, now: Moment) {
        if self.has_left() {
            return;
        }
        self.notice_sleep(now);
        match input {
            Input::Message(from, message) => self.on_message(from, message, now),
            Input::SignOfLife(peer) => self.on_sign_of_life(peer.position, now),
            Input::Bootstrap(peer) => self.on_bootstrap(peer, now),
            Input::Moved(endpoint, local) => (self.me.endpoint, self.me.local) = (endpoint, local),
            Input::Dialling(position) => self.on_dialling(position, now),
            Input::Departed(position) => self.on_departed(position, now),
            Input::Leave => self.leave(now),
            Input::Timeout => {}
        }
        if self.wake <= now {
            self.on_timeout(now);
        }
        self.settle(now);
        give_back(&mut self.pings);
        give_back(&mut self.forwards);
        give_back(&mut self.lookups);
        give_back(&mut self.held);
        self.wake = self.next_wake();
    }

    /// The next message to send. Drain it after every call of [`handle`](Self::handle) or [`lookup`](Self::lookup).
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.outbox.pop_front()
    }

    /// The next thing to know. Drain it likewise.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When to give [`Input::Timeout`].
    #[must_use]
    pub fn poll_timeout(&self) -> Moment {
        self.wake
    }

    // What the layer above asks.

    /// This node as others know it.
    #[must_use]
    pub fn me(&self) -> Peer {
        self.me
    }

    /// True when the node has joined: it answers for its zone.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.phase == Phase::Active
    }

    /// What this node answers for, as far as its left neighbour has agreed; nothing while it joins.
    #[must_use]
    pub fn zone(&self) -> Option<Zone> {
        self.is_active().then(|| self.neighbours.zone(self.me.position)).flatten()
    }

    /// Its left and right neighbours.
    #[must_use]
    pub fn neighbours(&self) -> Option<(Peer, Peer)> {
        Some((self.leaves.left()?.peer, self.leaves.right()?.peer))
    }

    /// Another number after every change of who is in the leaf set.
    #[must_use]
    pub fn leaf_changes(&self) -> u32 {
        self.leaves.changes()
    }

    /// The leaf set, clockwise.
    pub fn leaves(&self) -> impl Iterator<Item = Peer> + '_ {
        self.leaves.iter().map(|leaf| leaf.peer)
    }

    /// All that it knows, the leaf set first.
    pub fn peers(&self) -> impl Iterator<Item = Peer> + '_ {
        self.leaves().chain(self.table.peers())
    }

    /// True when the node's place rests on a measurement of the one there.
    #[must_use]
    pub fn has_surveyed(&self, position: Position) -> bool {
        self.surveyor.has_measured(position.mark())
    }

    /// The median relative error of the round trips that the node's place foretells.
    #[must_use]
    pub fn place_error(&self) -> f64 {
        self.surveyor.error()
    }

    /// Who answers for a key, if it lies in the part of the ring that this node sees.
    #[must_use]
    pub fn successor_nearby(&self, key: Position) -> Option<Peer> {
        let seen = self.leaves().chain([self.me]);
        let nearest = || seen.min_by_key(|peer| key.way_to(peer.position));
        if self.is_active() && self.covers(key) { nearest() } else { None }
    }

    /// How many nodes there would be if all of the ring were as full as it is from one end of the leaf set to the other; nothing
    /// if it is not known well enough.
    #[must_use]
    pub fn crowd(&self) -> Option<f64> {
        let [left, right] = self.leaves.ends().map(|end| end.map(|leaf| leaf.peer.position));
        let span = left?.way_to(right?);
        let known = self.leaves.is_full() && !self.leaves.has_doubtful_end() && span > 0;
        known.then(|| self.leaves.len() as f64 / (span as f64 / u128::MAX as f64))
    }

    /// False where a node is farther from a key than those that answer for one hardly ever are: ways to the next node are
    /// distributed exponentially, and one honest node in 3,000 is so far.
    #[must_use]
    pub fn may_answer_for(&self, key: Position, node: Position) -> bool {
        let way = key.way_to(node) as f64 / u128::MAX as f64;
        self.crowd().is_none_or(|nodes| way * nodes < FAR)
    }

    /// How many nodes it knows: leaf set and table.
    #[must_use]
    pub fn known(&self) -> usize {
        self.leaves.len() + self.table.len()
    }

    // Helpers.

    fn on_message(&mut self, from: Peer, message: RingMessage, now: Moment) {
        // Of two keys at one position the first one known counts, while it lives: nobody makes the second by chance.
        if from.position == self.me.position || self.knows_other(from) {
            return;
        }
        self.on_sign_of_life(from.position, now);
        match message {
            RingMessage::Ping(ping) => self.on_ping(from, ping, now),
            RingMessage::Pong(pong) => self.on_pong(from, pong, now),
            RingMessage::Gone(position) => self.on_gone(position, now),
            RingMessage::Leave => self.on_leave(from, now),
            RingMessage::Route(route) => self.on_route(from, route, now),
            RingMessage::HopAck { hop } => self.on_hop_ack(from, hop),
            RingMessage::Rows(peers) => self.on_rows(&peers, now),
            RingMessage::RowRequest { row } => self.on_row_request(from, row, now),
            RingMessage::Welcome(peers) => self.on_welcome(&peers, now),
            RingMessage::Found { request, hops } => self.on_found(from, request, hops),
            RingMessage::Step { request, key } => self.on_step(from, request, key, now),
            RingMessage::Steps { request, root, peers } => self.on_steps(from, request, root, &peers, now),
        }
    }

    fn knows_other(&self, peer: Peer) -> bool {
        let leaf = self.leaves.get(peer.position).map(|leaf| &leaf.peer);
        let known = leaf.or_else(|| self.table.get(peer.position));
        known.is_some_and(|known| known.node != peer.node)
    }

    fn on_timeout(&mut self, now: Moment) {
        self.look_for_silence(now);
        self.retry_pings(now);
        self.retry_forwards(now);
        self.release_held(false, now);
        self.retry_lookups(now);
        self.retry_joining(now);
        self.look_for_ghosts(now);
        self.keep_up(now);
        self.beat(now);
    }

    fn next_wake(&self) -> Moment {
        let watch = self.silence_at().min(self.heartbeat_due()).min(self.upkeep_at);
        let join = self.phase.due().min(self.neighbours.recheck_due());
        let pings = self.pings.iter().map(|ping| ping.deadline);
        let ghosts = self.ghosts.iter().map(|ghost| ghost.due);
        let forwards = self.forwards.iter().map(|forward| forward.deadline);
        let held = self.held.iter().map(|held| held.due);
        let lookups = self.lookups.iter().map(|lookup| lookup.deadline);
        let others = pings.chain(ghosts).chain(forwards).chain(held).chain(lookups);
        others.fold(watch.min(join), Moment::min)
    }

    fn send(&mut self, to: Peer, message: RingMessage, now: Moment) {
        if self.leaves.left().is_some_and(|left| left.peer.position == to.position) {
            self.heartbeat_at = now + self.config.heartbeat;
        }
        self.outbox.push_back(Transmit { to, message });
    }

    /// A number that no other ping, hop or lookup under way has.
    fn number(&mut self) -> u32 {
        self.numbers = self.numbers.wrapping_add(1);
        self.numbers
    }

    /// Chance for what lives on the ring.
    pub(in crate::pool) fn random(&mut self) -> &mut StdRng {
        &mut self.random
    }

    fn jittered(&mut self, interval: Duration) -> Duration {
        interval.mul_f64(self.random.random_range(0.9..1.1))
    }
}

/// As an [`Outbox`], a list that is empty again keeps no memory.
fn give_back<T>(list: &mut Vec<T>) {
    if list.is_empty() {
        *list = Vec::new();
    }
}
