//! One node of the pool: contacts in, measured and reporting peers out.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};

use super::contacts::{ADDRS_MAX, CONTACTS_MAX, Contacts};
use super::degree::{DegreeTable, Holding, Priority, Refused};
use super::message::{Contact, FEATURES, Hello, NodeReport, PoolMessage, Reservation};
use super::round_trip::{self, PING, PONG, RoundTrips};
use crate::identity::{NodeId, SessionId};
use crate::net::DialError;

/// How a pool node behaves.
#[derive(Clone, Debug)]
pub struct PoolConfig {
    /// Tree links that this machine may carry.
    pub degree: u32,
    /// It may serve sessions that it is not a member of.
    pub lends: bool,
    /// Between two pings to one peer. Shorter: deaths are noticed sooner, traffic grows with the square of the pool.
    pub heartbeat: Duration,
    /// A peer that has been silent for this long is lost: at least three heartbeats.
    pub lost_after: Duration,
}

impl Default for PoolConfig {
    fn default() -> Self {
        let (heartbeat, lost_after) = (Duration::from_secs(1), Duration::from_millis(3_500));
        Self { degree: 4, lends: false, heartbeat, lost_after }
    }
}

/// What the driver is to do. Drain it after every call.
#[derive(Debug)]
pub enum Output {
    /// Send a control message.
    Message(NodeId, PoolMessage),
    /// Send a datagram.
    Datagram(NodeId, Bytes),
    /// Dial an address, for a key where it is known.
    Dial(SocketAddr, Option<NodeId>),
    /// Give a connection up.
    Close(NodeId, &'static str),
}

/// What the layer above needs to know. Drain it after every call.
#[derive(Debug)]
pub enum Event {
    /// A peer can be talked to.
    Joined(NodeId),
    /// A peer cannot be talked to any more; it is dialled again.
    Lost(NodeId),
    /// The first few round trips to a peer have been measured.
    Measured(NodeId),
    /// The answer to [`PoolNode::query`].
    Snapshot(Vec<NodeReport>),
    /// A helper's answer to [`PoolNode::reserve`].
    Reserved {
        /// The helper.
        helper: NodeId,
        /// For whom.
        session: SessionId,
        /// Whether it granted the degrees.
        granted: bool,
    },
    /// A helper has taken its degrees back.
    Preempted {
        /// The helper.
        helper: NodeId,
        /// From whom.
        session: SessionId,
    },
    /// This node no longer serves that session.
    Evicted(SessionId),
    /// A bootstrap does not answer; it is tried again.
    BootstrapFailed(SocketAddr, DialError),
}

/// See the [module](self).
pub struct PoolNode {
    me: NodeId,
    instance: u64,
    config: PoolConfig,
    addrs: Vec<SocketAddr>,
    started: Instant,
    random: StdRng,
    degrees: DegreeTable,
    contacts: Contacts,
    peers: BTreeMap<NodeId, Peer>,
    query: Option<Query>,
    next_exchange: Instant,
    wake: Instant,
    outputs: VecDeque<Output>,
    events: VecDeque<Event>,
}

struct Peer {
    addr: SocketAddr,
    hello: Option<Hello>,
    last_heard: Instant,
    /// It is said to be dead; it is, unless it is heard by then.
    doubted: Option<Instant>,
    next_ping: Instant,
    pings: u32,
    round_trips: RoundTrips,
}

struct Query {
    number: u32,
    deadline: Instant,
    missing: BTreeSet<NodeId>,
    reports: Vec<NodeReport>,
}

/// The first pings to a new peer follow each other this closely, so that a plan can count on a measurement soon.
const FIRST_PINGS: u32 = 4;
const FIRST_PING_INTERVAL: Duration = Duration::from_millis(60);
/// How long a query waits for the slowest report.
const QUERY_TIMEOUT: Duration = Duration::from_millis(600);
/// Between two exchanges of contacts with a peer drawn at random.
const EXCHANGE_INTERVAL: Duration = Duration::from_secs(10);
/// No pong is waited for longer; a report of more is made up.
const ROUND_TRIP_MS_MAX: f32 = 60_000.0;
/// How long a peer that is said to be dead has to answer a ping: a long round trip and a lost packet.
const DOUBT_TIMEOUT: Duration = Duration::from_millis(700);
/// Two nodes that hear of each other would dial at once; the one with the greater key waits this long.
const DIAL_STAGGER: Duration = Duration::from_millis(700);

impl PoolNode {
    /// A node that knows nobody yet. `addrs` is where it listens, `random` its only source of chance.
    #[must_use]
    pub fn new(
        me: NodeId,
        addrs: Vec<SocketAddr>,
        config: PoolConfig,
        mut random: StdRng,
        now: Instant,
    ) -> Self {
        Self {
            me,
            instance: random.random(),
            degrees: DegreeTable::new(config.degree),
            config,
            addrs,
            started: now,
            random: StdRng::from_rng(&mut random),
            contacts: Contacts::default(),
            peers: BTreeMap::new(),
            query: None,
            next_exchange: now + EXCHANGE_INTERVAL,
            wake: now,
            outputs: VecDeque::new(),
            events: VecDeque::new(),
        }
    }

    // What the driver tells.

    /// Somebody says that a node is there.
    pub fn add_contact(&mut self, contact: Contact, now: Instant) {
        if contact.node != self.me {
            let at = if self.me < contact.node { now } else { now + DIAL_STAGGER };
            self.contacts.learn(contact, at);
            self.wake = now;
        }
    }

    /// An address to start from, its key unknown.
    pub fn add_bootstrap(&mut self, addr: SocketAddr, now: Instant) {
        self.contacts.learn_bootstrap(addr, now);
        self.wake = now;
    }

    /// A connection is open and the peer's key proven.
    pub fn on_connected(&mut self, peer: NodeId, addr: SocketAddr, now: Instant) {
        let newcomer = self.peers.is_empty();
        self.contacts.on_connected(peer, addr);
        let round_trips = RoundTrips::default();
        let state =
            Peer { addr, hello: None, last_heard: now, doubted: None, next_ping: now, pings: 0, round_trips };
        self.peers.insert(peer, state);
        self.greet(peer, newcomer, false);
        self.wake = now;
    }

    /// A connection is gone; a peer that has `left` on its own account is not dialled again.
    pub fn on_disconnected(&mut self, peer: NodeId, left: bool, now: Instant) {
        if let Some(state) = self.peers.remove(&peer) {
            self.contacts.on_lost(peer, now);
            if left {
                self.contacts.forget(peer);
            }
            self.forget_query(peer, now);
            if state.hello.is_some() {
                self.events.push_back(Event::Lost(peer));
            }
            self.wake = now;
        }
    }

    /// A dial came to nothing.
    pub fn on_dial_failed(&mut self, addr: SocketAddr, error: DialError) {
        if self.contacts.is_bootstrap(addr) && error != DialError::Ourselves {
            self.events.push_back(Event::BootstrapFailed(addr, error));
        }
    }

    /// Anything has arrived from a peer: it lives.
    pub fn on_traffic(&mut self, from: NodeId, at: Instant) {
        if let Some(peer) = self.peers.get_mut(&from) {
            peer.last_heard = peer.last_heard.max(at);
            peer.doubted = None;
        }
    }

    /// A datagram of the pool's own; see [`is_probe`](Self::is_probe).
    pub fn handle_probe(&mut self, from: NodeId, bytes: &[u8], at: Instant) {
        let clock_us = self.clock_us(at);
        if let Some(pong) = round_trip::pong_to(bytes, clock_us) {
            self.outputs.push_back(Output::Datagram(from, Bytes::copy_from_slice(&pong)));
        } else if let Some(peer) = self.peers.get_mut(&from)
            && peer.round_trips.on_pong(bytes, at, clock_us)
            && peer.round_trips.samples() == FIRST_PINGS as usize
        {
            self.events.push_back(Event::Measured(from));
        }
    }

    /// A control message of the pool's own.
    pub fn handle_message(&mut self, from: NodeId, message: PoolMessage, now: Instant) {
        match message {
            PoolMessage::Hello(hello) => self.on_hello(from, hello, now),
            _ if !self.is_joined(from) => {
                self.outputs.push_back(Output::Close(from, "the first message was no hello"));
                self.on_disconnected(from, true, now);
            }
            PoolMessage::Contacts(contacts) => {
                for contact in contacts.into_iter().take(CONTACTS_MAX) {
                    self.add_contact(contact, now);
                }
            }
            PoolMessage::ReportRequest { query } => {
                let report = self.report();
                self.outputs.push_back(Output::Message(from, PoolMessage::Report { query, report }));
            }
            PoolMessage::Report { query, report } => self.on_report(from, query, report, now),
            PoolMessage::Reserve(reservation) => self.on_reserve(from, &reservation, now),
            PoolMessage::Reserved { session, refused, .. } => {
                let granted = refused.is_none();
                self.events.push_back(Event::Reserved { helper: from, session, granted });
            }
            PoolMessage::Release { session } => {
                if self.degrees.release(session, from) {
                    self.events.push_back(Event::Evicted(session));
                }
            }
            PoolMessage::Preempted { session } => {
                self.events.push_back(Event::Preempted { helper: from, session });
            }
        }
    }

    /// Does what is due. A call too early does no harm.
    pub fn handle_timeout(&mut self, now: Instant) {
        if now < self.wake {
            return;
        }
        self.ping_and_bury(now);
        for (addr, node) in self.contacts.due(now) {
            self.outputs.push_back(Output::Dial(addr, node));
        }
        for ended in self.degrees.expire(now) {
            self.evict(ended);
        }
        if self.query.as_ref().is_some_and(|query| query.deadline <= now) {
            self.finish_query();
        }
        if self.next_exchange <= now {
            self.next_exchange = now + EXCHANGE_INTERVAL;
            let joined: Vec<NodeId> = self.joined().collect();
            if let Some(peer) = joined.choose(&mut self.random) {
                let contacts = self.connected_contacts(*peer);
                self.outputs.push_back(Output::Message(*peer, PoolMessage::Contacts(contacts)));
            }
        }
        self.wake = self.next_wake(now);
    }

    // What the driver takes.

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// The next thing to know.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout).
    #[must_use]
    pub fn poll_timeout(&self) -> Instant {
        self.wake
    }

    // What the layer above asks.

    /// True for datagrams that belong to [`handle_probe`](Self::handle_probe).
    #[must_use]
    pub fn is_probe(bytes: &[u8]) -> bool {
        matches!(bytes.first(), Some(&(PING | PONG)))
    }

    /// Asks everybody for a report; [`Event::Snapshot`] brings what has come, this node's own first.
    pub fn query(&mut self, now: Instant) {
        let number = self.random.random();
        let missing: BTreeSet<NodeId> = self.joined().collect();
        for peer in &missing {
            let request = PoolMessage::ReportRequest { query: number };
            self.outputs.push_back(Output::Message(*peer, request));
        }
        let reports = vec![self.report()];
        self.query = Some(Query { number, deadline: now + QUERY_TIMEOUT, missing, reports });
        if self.query.as_ref().is_some_and(|query| query.missing.is_empty()) {
            self.finish_query();
        }
        self.wake = now;
    }

    /// Asks a helper for degrees, or renews them; [`Event::Reserved`] brings the answer.
    pub fn reserve(&mut self, helper: NodeId, reservation: Reservation) {
        self.outputs.push_back(Output::Message(helper, PoolMessage::Reserve(reservation)));
    }

    /// Gives a helper's degrees back.
    pub fn release(&mut self, helper: NodeId, session: SessionId) {
        self.outputs.push_back(Output::Message(helper, PoolMessage::Release { session }));
    }

    /// Sets what this node's own session holds here, at the highest priority; zero ends it.
    pub fn hold_own(&mut self, session: SessionId, degrees: u32, now: Instant) {
        if degrees == 0 {
            self.degrees.release(session, self.me);
            return;
        }
        let own = Holding { session, owner: self.me, priority: Priority::OWN, degrees };
        if let Ok(evicted) = self.degrees.reserve(own, Duration::MAX, now) {
            evicted.into_iter().for_each(|loser| self.evict(loser));
        }
        self.wake = now;
    }

    /// Somebody says that a peer is dead: it is lost unless it is heard soon.
    pub fn doubt(&mut self, peer: NodeId, now: Instant) {
        if let Some(peer) = self.peers.get_mut(&peer) {
            peer.doubted.get_or_insert(now + DOUBT_TIMEOUT);
            peer.next_ping = now;
            self.wake = now;
        }
    }

    /// A link to this node is wanted now.
    pub fn want(&mut self, contact: Contact, now: Instant) {
        if !self.peers.contains_key(&contact.node) {
            self.contacts.learn(contact, now);
            self.wake = now;
        }
    }

    /// True when messages to this node go through.
    #[must_use]
    pub fn is_joined(&self, node: NodeId) -> bool {
        self.peers.get(&node).is_some_and(|peer| peer.hello.is_some())
    }

    /// The nodes that messages go through to.
    pub fn joined(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.peers.iter().filter(|(_, peer)| peer.hello.is_some()).map(|(node, _)| *node)
    }

    /// Where a node is said to listen.
    #[must_use]
    pub fn addrs(&self, node: NodeId) -> Vec<SocketAddr> {
        match self.peers.get(&node) {
            Some(Peer { hello: Some(hello), addr, .. }) if hello.addrs.is_empty() => vec![*addr],
            Some(Peer { hello: Some(hello), .. }) => hello.addrs.clone(),
            _ => self.contacts.addrs(node).to_vec(),
        }
    }

    /// The measured round trip to a peer.
    #[must_use]
    pub fn round_trip(&self, peer: NodeId) -> Option<Duration> {
        self.peers.get(&peer)?.round_trips.round_trip()
    }

    /// A peer's clock minus this node's, microseconds; see [`clock_us`](Self::clock_us).
    #[must_use]
    pub fn clock_offset_us(&self, peer: NodeId) -> Option<i64> {
        self.peers.get(&peer)?.round_trips.clock_offset_us()
    }

    /// This node's clock: microseconds since it started.
    #[must_use]
    pub fn clock_us(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.started).as_micros() as u64
    }

    /// What this node has promised to whom.
    #[must_use]
    pub fn degrees(&self) -> &DegreeTable {
        &self.degrees
    }

    /// What this node publishes of itself.
    #[must_use]
    pub fn report(&self) -> NodeReport {
        let measured = |(node, peer): (&NodeId, &Peer)| {
            peer.round_trips.round_trip().map(|rtt| (*node, rtt.as_secs_f32() * 1_000.0))
        };
        NodeReport {
            node: self.me,
            addrs: self.addrs.clone(),
            lends: self.config.lends,
            degree_bound: self.degrees.bound(),
            held: self.degrees.holdings().cloned().collect(),
            round_trips_ms: self.peers.iter().filter_map(measured).collect(),
        }
    }

    // Helpers.

    fn greet(&mut self, peer: NodeId, newcomer: bool, answer: bool) {
        let (instance, addrs) = (self.instance, self.addrs.clone());
        let hello = Hello { features: FEATURES, instance, addrs, newcomer, answer };
        self.outputs.push_back(Output::Message(peer, PoolMessage::Hello(hello)));
    }

    fn on_hello(&mut self, from: NodeId, mut hello: Hello, now: Instant) {
        hello.addrs.truncate(ADDRS_MAX);
        let introduction = self.connected_contacts(from);
        let Some(peer) = self.peers.get_mut(&from) else { return };
        let restarted = peer.hello.as_ref().is_some_and(|known| known.instance != hello.instance);
        let known = peer.hello.is_some() && !restarted;
        let contact = Contact { node: from, addrs: hello.addrs.clone() };
        let (newcomer, answer) = (hello.newcomer, hello.answer);
        peer.hello = Some(hello);
        if restarted {
            (peer.round_trips, peer.pings) = (RoundTrips::default(), 0);
            self.events.push_back(Event::Lost(from));
        }
        if known {
            // The peer has lost and found this connection while it stood here all along; it waits for a hello.
            if !answer {
                self.greet(from, false, true);
            }
            return;
        }
        if !contact.addrs.is_empty() {
            self.contacts.learn(contact.clone(), now);
        }
        self.events.push_back(Event::Joined(from));
        if !introduction.is_empty() {
            self.outputs.push_back(Output::Message(from, PoolMessage::Contacts(introduction)));
        }
        if newcomer {
            for other in self.joined().filter(|other| *other != from).collect::<Vec<_>>() {
                let contacts = PoolMessage::Contacts(vec![contact.clone()]);
                self.outputs.push_back(Output::Message(other, contacts));
            }
        }
    }

    /// Everybody connected but one.
    fn connected_contacts(&self, but: NodeId) -> Vec<Contact> {
        let others = self.joined().filter(|node| *node != but).take(CONTACTS_MAX);
        others.map(|node| Contact { node, addrs: self.addrs(node) }).collect()
    }

    fn on_report(&mut self, from: NodeId, number: u32, mut report: NodeReport, now: Instant) {
        let Some(query) = self.query.as_mut().filter(|query| query.number == number) else { return };
        if query.missing.remove(&from) {
            report.node = from;
            report.round_trips_ms.truncate(CONTACTS_MAX);
            report.round_trips_ms.retain(|(_, ms)| (0.0..=ROUND_TRIP_MS_MAX).contains(ms));
            report.addrs.truncate(ADDRS_MAX);
            query.reports.push(report);
        }
        if query.missing.is_empty() {
            self.finish_query();
            self.wake = now;
        }
    }

    fn forget_query(&mut self, peer: NodeId, now: Instant) {
        if let Some(query) = &mut self.query {
            query.missing.remove(&peer);
            if query.missing.is_empty() {
                query.deadline = now;
            }
        }
    }

    fn finish_query(&mut self) {
        if let Some(query) = self.query.take() {
            self.events.push_back(Event::Snapshot(query.reports));
        }
    }

    fn on_reserve(&mut self, from: NodeId, asked: &Reservation, now: Instant) {
        let Reservation { request, session, priority, degrees, lease_ms } = *asked;
        // A machine that does not lend serves its own session only.
        let outcome = if self.config.lends {
            let wanted = Holding { session, owner: from, priority, degrees };
            self.degrees.reserve(wanted, Duration::from_millis(lease_ms.into()), now)
        } else {
            Err(Refused { free: 0 })
        };
        let refused = match outcome {
            Ok(evicted) => {
                evicted.into_iter().for_each(|loser| self.evict(loser));
                None
            }
            Err(Refused { free }) => Some(free),
        };
        self.outputs.push_back(Output::Message(from, PoolMessage::Reserved { request, session, refused }));
        self.wake = now;
    }

    fn evict(&mut self, loser: Holding) {
        self.events.push_back(Event::Evicted(loser.session));
        if self.is_joined(loser.owner) {
            let notice = PoolMessage::Preempted { session: loser.session };
            self.outputs.push_back(Output::Message(loser.owner, notice));
        }
    }

    fn ping_and_bury(&mut self, now: Instant) {
        let silent = |peer: &Peer| {
            let silence = now.saturating_duration_since(peer.last_heard);
            silence >= self.config.lost_after || peer.doubted.is_some_and(|at| at <= now)
        };
        let lost: Vec<NodeId> = self.peers.iter().filter(|(_, p)| silent(p)).map(|(node, _)| *node).collect();
        for peer in lost {
            self.outputs.push_back(Output::Close(peer, "silent for too long"));
            self.on_disconnected(peer, false, now);
        }
        for (node, peer) in self.peers.iter_mut().filter(|(_, peer)| peer.next_ping <= now) {
            let nonce = self.random.random();
            peer.round_trips.on_ping(nonce, now);
            peer.pings = peer.pings.saturating_add(1);
            // A little off the beat, so that the pings of many nodes do not fall together.
            let interval = self.config.heartbeat.mul_f64(self.random.random_range(0.9..1.1));
            peer.next_ping = now + if peer.pings < FIRST_PINGS { FIRST_PING_INTERVAL } else { interval };
            let ping = Bytes::copy_from_slice(&round_trip::ping(nonce));
            self.outputs.push_back(Output::Datagram(*node, ping));
        }
    }

    fn next_wake(&self, now: Instant) -> Instant {
        let pings = self.peers.values().map(|peer| peer.next_ping);
        let silence = |peer: &Peer| peer.last_heard + self.config.lost_after;
        let silences = self.peers.values().flat_map(|peer| peer.doubted.into_iter().chain([silence(peer)]));
        let query = self.query.as_ref().map(|query| query.deadline);
        let others = [self.contacts.next_due(), self.degrees.next_expiry(), query, Some(self.next_exchange)];
        let next = pings.chain(silences).chain(others.into_iter().flatten()).min();
        next.unwrap_or(self.next_exchange).max(now)
    }
}
