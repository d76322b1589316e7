//! One node of the pool as it lives: connections on demand beneath the ring, and beside it what sessions ask of a pool:
//! helpers, round trips, degrees.

mod aside;
mod asking;
mod config;
mod greeting;
mod insight;
mod introducing;
mod lending;
mod seen;
mod survey;
mod swarming;

use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use self::aside::Aside;
use self::asking::Asking;
pub use self::asking::capable;
pub use self::config::PoolConfig;
use self::greeting::REUNITE_FIRST;
use self::introducing::{Introducing, looks_translated};
use self::seen::Seen;
use self::survey::{Measuring, Query};
use super::bandwidth::BandwidthConfig;
use super::contacts::Contacts;
use super::degree::DegreeTable;
use super::grant::HelperGrant;
use super::links::Links;
use super::message::{Answer, Contact, NodeReport, PoolMessage};
use super::moment::Moment;
use super::peer::{Peer, Place};
use super::records::{Record, RecordsConfig};
use super::ring::RingConfig;
use super::round_trip::{self, PING, PONG};
use super::somo::{Offer, SomoConfig};
use super::swarm::{self, SwarmNode};
use crate::identity::{Identity, NodeId, SessionId};
use crate::net::DialError;

/// What the driver is to do. Drain it after every call.
#[derive(Debug)]
pub enum Output {
    /// Send a control message.
    Message(NodeId, PoolMessage),
    /// Send a datagram.
    Datagram(NodeId, Bytes),
    /// Send two datagrams back to back.
    Pair(NodeId, [Bytes; 2]),
    /// Dial an address, for a key where it is known.
    Dial(SocketAddr, Option<NodeId>),
    /// Dial the second by way of the first.
    DialThrough(NodeId, NodeId),
    /// Give a connection up.
    Close(NodeId, &'static str),
}

/// What the layer above needs to know. Drain it after every call.
#[derive(Debug)]
pub enum Event {
    /// A peer can be talked to.
    Joined(NodeId),
    /// A peer that was reached over a third node is reached directly by now.
    Direct(NodeId),
    /// A peer cannot be talked to any more; it is dialled again while it is wanted.
    Lost(NodeId),
    /// The first few round trips to a peer have been measured.
    Measured(NodeId),
    /// The answer to [`PoolNode::query`].
    Snapshot(Vec<NodeReport>),
    /// The answer to [`PoolNode::probe`]: by whom, and milliseconds to those that could be measured.
    Probed(NodeId, Vec<(NodeId, f32)>),
    /// A helper's answer to [`PoolNode::reserve`].
    Reserved {
        /// The helper.
        helper: NodeId,
        /// For whom.
        session: SessionId,
        /// Whether it granted the degrees.
        granted: bool,
        /// What it has to show for being of an authority's pool.
        grant: Option<Box<HelperGrant>>,
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
    /// A record that was fetched.
    Fetched(Record),
    /// What SOMO's root says, and who that is.
    Answered(NodeId, Answer),
    /// How the pool looks from here.
    Standing(Standing),
    /// Where this node is in the space of latencies, and the median relative error of what that foretells.
    Placed(Place, f64),
}

/// How the pool looks from one node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Standing {
    /// Nodes, this one included.
    pub size: usize,
    /// The root of SOMO's tree.
    pub root: NodeId,
    /// How old that view is.
    pub age: Duration,
}

/// See the [module](self).
pub struct PoolNode {
    me: NodeId,
    instance: u64,
    config: PoolConfig,
    listen: Vec<SocketAddr>,
    started: Instant,
    random: StdRng,
    degrees: DegreeTable,
    /// It serves sessions that it is not a member of, now.
    lending: bool,
    contacts: Contacts,
    links: Links,
    seen: Seen,
    swarm: SwarmNode,
    identity: Option<Arc<Identity>>,
    /// Its line is measured.
    is_lined: bool,
    /// The first packet of a pair, until the second one is there.
    pair: Option<(NodeId, Bytes)>,
    offer: Offer,
    query: Option<Query>,
    measuring: Vec<Measuring>,
    probes_left: f64,
    probes_counted: Instant,
    asking: Asking,
    introducing: Introducing,
    aside: Aside,
    standing: Option<Standing>,
    look_at: Instant,
    reunite_at: Instant,
    reunite_pause: Duration,
    placed: Place,
    wake: Instant,
    outputs: VecDeque<Output>,
    events: VecDeque<Event>,
}

/// The first pings to a new peer follow each other this closely, so that a plan can count on a measurement soon.
const FIRST_PINGS: u32 = 4;
const FIRST_PING_INTERVAL: Duration = Duration::from_millis(60);
/// Pings that are sent at every heartbeat: enough for a median and a clock.
pub(super) const EAGER_PINGS: u32 = 16;
/// On a link with traffic a ping stands for so many: the round trip is all that it has to tell.
const PINGS_LEFT_OUT: u32 = 3;
/// How long a peer that is said to be dead has to answer a ping: a long round trip and a lost packet.
const DOUBT_TIMEOUT: Duration = Duration::from_millis(700);
/// Two nodes that hear of each other would dial at once; the one with the greater key waits this long.
const DIAL_STAGGER: Duration = Duration::from_millis(700);
/// How long a wish for a connection stands unless it is repeated.
pub const WANTED_FOR: Duration = Duration::from_secs(60);
/// How often the line is measured: a burst of 17 KB each way in half a minute, 9 kbit/s, for the first quarter of an hour,
/// and one in half an hour then.
const LINE: BandwidthConfig =
    BandwidthConfig { first: Duration::from_secs(30), last: Duration::from_secs(1_800) };
/// Between two looks at how the pool stands.
const LOOK: Duration = Duration::from_secs(1);

impl PoolNode {
    /// A node that knows nobody yet. `listen` is where it listens, `random` its only source of chance.
    #[must_use]
    pub fn new(
        me: NodeId,
        listen: Vec<SocketAddr>,
        config: PoolConfig,
        mut random: StdRng,
        now: Instant,
    ) -> Self {
        let seen = Seen::new(&listen);
        let peer = Peer { local: seen.local(), ..Peer::new(me, seen.endpoint()) };
        let chance = StdRng::from_rng(&mut random);
        let (ring, somo, records) = (RingConfig::default(), SomoConfig::default(), RecordsConfig::default());
        let mut node = Self {
            me,
            instance: random.random(),
            degrees: DegreeTable::new(config.degree, config.sessions),
            lending: false,
            listen,
            started: now,
            contacts: Contacts::default(),
            links: Links::new(now),
            seen,
            swarm: SwarmNode::new(peer, ring, somo, records, config.born_s, chance, Moment::ZERO),
            identity: None,
            is_lined: false,
            pair: None,
            offer: Offer::default(),
            query: None,
            measuring: Vec::new(),
            probes_left: survey::PROBES_BURST,
            probes_counted: now,
            asking: Asking::default(),
            introducing: Introducing::new(now),
            aside: Aside::new(now),
            standing: None,
            look_at: now,
            reunite_at: now + LOOK,
            reunite_pause: REUNITE_FIRST,
            placed: Place::UNKNOWN,
            wake: now,
            outputs: VecDeque::new(),
            events: VecDeque::new(),
            config,
            random,
        };
        node.mind_the_hour(now);
        node.publish_offer(now);
        node
    }

    /// Gives the node its own key: if it answers for the root's point, it can have the most capable node act as the root.
    pub fn set_identity(&mut self, identity: Arc<Identity>) {
        self.swarm.set_identity(identity.clone());
        self.identity = Some(identity);
    }

    /// From now on the node's line is measured; where the link sends no pairs nothing comes of it.
    pub fn measure_line(&mut self, now: Instant) {
        let (phase, moment) = (self.random.random(), self.moment(now));
        self.swarm.measure_line(LINE, phase, moment);
        self.is_lined = true;
        self.wake = now;
    }

    // What the driver tells.

    /// Somebody says that a node is there which may be of the pool: a way into it, or to another part of it.
    pub fn add_contact(&mut self, contact: Contact, now: Instant) {
        let known = self.swarm.ring().leaves().any(|leaf| leaf.node == contact.node);
        if contact.node != self.me && !known && self.seen.is_worth_a_look(contact.node) {
            self.want(contact, now);
        }
    }

    /// An address to start from, its key unknown.
    pub fn add_bootstrap(&mut self, addr: SocketAddr, now: Instant) {
        self.contacts.learn_bootstrap(addr, now);
        self.wake = now;
    }

    /// A connection is open and the peer's key proven.
    pub fn on_connected(&mut self, peer: NodeId, addr: SocketAddr, now: Instant) {
        self.on_way(peer, addr, now);
        self.links.insert(peer, addr, now);
        self.greet(peer, false);
        self.wake = now;
    }

    /// A connection is gone; a peer that has `left` on its own account is not dialled again.
    pub fn on_disconnected(&mut self, peer: NodeId, left: bool, now: Instant) {
        let Some(link) = self.links.remove(peer) else { return };
        let alone = self.swarm.ring().leaves().next().is_none();
        self.contacts.on_lost(peer, alone, now);
        if left {
            self.contacts.forget(peer);
            self.on_left(link.peer(peer), now);
        }
        self.forget_query(peer, now);
        if link.hello.is_some() {
            self.events.push_back(Event::Lost(peer));
        }
        self.wake = now;
    }

    /// A dial came to nothing.
    pub fn on_dial_failed(
        &mut self,
        addr: SocketAddr,
        expected: Option<NodeId>,
        error: DialError,
        now: Instant,
    ) {
        match expected {
            Some(node) => {
                self.links.on_dial_failed(node, now);
                self.contacts.on_dial_failed(node);
            }
            // Who has found others does without it.
            None if self.joined().next().is_some() => self.contacts.rest_bootstrap(addr),
            None if self.contacts.is_bootstrap(addr) && error != DialError::Ourselves => {
                self.events.push_back(Event::BootstrapFailed(addr, error));
            }
            None => {}
        }
    }

    /// A few round trips to a peer are measured at once: see [`round_trips`](Self::round_trips).
    pub fn look_at(&mut self, node: NodeId, now: Instant) {
        if let Some(link) = self.links.get_mut(node).filter(|link| link.hello.is_some()) {
            link.ping_anew(now);
            self.wake = now;
        }
    }

    /// Anything has arrived from a peer: it lives.
    pub fn on_traffic(&mut self, from: NodeId, at: Instant) {
        if let Some(link) = self.links.get_mut(from) {
            link.last_heard = link.last_heard.max(at);
            link.doubted = None;
        }
    }

    /// A datagram of the pool's own; see [`is_pools`](Self::is_pools).
    pub fn handle_datagram(&mut self, from: NodeId, bytes: &[u8], at: Instant) {
        let clock_us = at.saturating_duration_since(self.started).as_micros() as u64;
        if bytes.first() == Some(&swarm::VERSION) {
            self.on_swarm_bytes(from, bytes, at);
        } else if let Some(pong) = round_trip::pong_to(bytes, clock_us) {
            self.outputs.push_back(Output::Datagram(from, Bytes::copy_from_slice(&pong)));
        } else if let Some(link) = self.links.get_mut(from)
            && link.round_trips.on_pong(bytes, at, clock_us)
        {
            if link.round_trips.samples() == FIRST_PINGS as usize {
                self.events.push_back(Event::Measured(from));
            }
            self.finish_measuring(at);
        }
    }

    /// A control message of the pool's own.
    pub fn handle_message(&mut self, from: NodeId, message: PoolMessage, now: Instant) {
        if let PoolMessage::Hello(hello) = message {
            return self.on_hello(from, hello, now);
        }
        if !self.is_joined(from) {
            self.outputs.push_back(Output::Close(from, "the first message was no hello"));
            return self.on_disconnected(from, false, now);
        }
        self.use_link(from, now);
        match message {
            PoolMessage::Hello(_) => {}
            PoolMessage::Here(here) => self.on_here(from, here),
            PoolMessage::Swarm(bytes) => self.on_swarm_bytes(from, &bytes, now),
            PoolMessage::ReportRequest { query } => {
                let report = self.report();
                self.tell(from, PoolMessage::Report { query, report });
            }
            PoolMessage::Report { query, report } => self.on_report(from, query, report, now),
            PoolMessage::Probe { request, targets } => self.on_probe(from, request, targets, now),
            PoolMessage::Probed { round_trips_ms, .. } => {
                self.on_probed(from, round_trips_ms);
            }
            PoolMessage::Reserve(reservation) => self.on_reserve(from, &reservation, now),
            PoolMessage::Reserved { session, refused, grant, .. } => {
                let granted = refused.is_none();
                self.events.push_back(Event::Reserved { helper: from, session, granted, grant });
            }
            PoolMessage::Release { session } => {
                if self.degrees.release(session, from) {
                    self.events.push_back(Event::Evicted(session));
                    self.publish_offer(now);
                }
            }
            PoolMessage::Preempted { session } => {
                self.events.push_back(Event::Preempted { helper: from, session });
            }
            PoolMessage::Ask { request, question } => self.on_ask(from, request, question, now),
            PoolMessage::Answer { request, root, answer } => {
                self.on_answer(from, request, root, answer, now);
            }
            PoolMessage::Fetch { request, key } => self.on_fetch(from, request, key, now),
            PoolMessage::Fetched { record, .. } => self.on_fetched(record, now),
            PoolMessage::Publish(record) => self.on_publish(record, now),
            PoolMessage::Introduce { to, who, carrier, hops } => {
                self.on_introduce(from, to, (who, carrier), hops, now);
            }
            PoolMessage::Owner(key) => self.on_owner_wanted(from, key, now),
            PoolMessage::OwnerIs(key, peer) => self.on_owner(key, peer, now),
            PoolMessage::Introduced(node) => {
                self.contacts.on_introduced(node, from, now);
                self.wake = now;
            }
            PoolMessage::Seen(addr) => self.on_seen(from, addr, now),
        }
    }

    /// Does what is due. A call too early does no harm.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.swarm_wake() <= now {
            self.drive(swarm::Input::Timeout, now);
        }
        if now < self.wake {
            return;
        }
        self.ping_and_bury(now);
        self.dial_contacts(now);
        self.go_through_others(now);
        for ended in self.degrees.expire(now) {
            self.evict(ended);
        }
        self.fit_line();
        self.publish_offer(now);
        self.finish_measuring(now);
        self.query_timeout(now);
        self.retry_asks(now);
        if self.publish_due().is_some_and(|due| due <= now) {
            self.publish_through_others(now);
        }
        if self.look_at <= now {
            self.look_at = now + LOOK;
            self.mind_the_hour(now);
            self.look_around(now);
            self.choose_place(now);
            self.stay_in_touch(now);
            self.reunite(now);
        }
        if self.links.sweep_due() <= now {
            self.sweep(now);
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
        self.wake.min(self.swarm_wake())
    }

    // What the layer above asks.

    /// True for datagrams that belong to [`handle_datagram`](Self::handle_datagram).
    #[must_use]
    pub fn is_pools(bytes: &[u8]) -> bool {
        matches!(bytes.first(), Some(&(swarm::VERSION | PING | PONG)))
    }

    /// Somebody says that a peer is dead: it is lost unless it is heard soon.
    pub fn doubt(&mut self, peer: NodeId, now: Instant) {
        if let Some(link) = self.links.get_mut(peer) {
            link.begin_pings(now);
            link.doubted.get_or_insert(now + DOUBT_TIMEOUT);
            link.next_ping = Some(now);
            self.wake = now;
        }
    }

    /// A link to this node is wanted now, and for [`WANTED_FOR`].
    pub fn want(&mut self, contact: Contact, now: Instant) {
        self.want_for(contact, WANTED_FOR, now);
    }

    /// A link to this node is wanted, and it wants one to this node just as well: who has the smaller key dials.
    pub fn want_mutually(&mut self, contact: Contact, now: Instant) {
        let at = if self.me < contact.node { now } else { now + DIAL_STAGGER };
        self.want_from(contact, at, now + WANTED_FOR, now);
    }

    /// Says whether it matters here how soon the death of a peer is noticed; if not, it is only measured, and rarely.
    pub fn set_loose(&mut self, peer: NodeId, is_loose: bool, now: Instant) {
        if let Some(link) = self.links.get_mut(peer).filter(|link| link.is_loose != is_loose) {
            link.set_loose(is_loose, now);
            self.wake = now;
        }
    }

    /// A link to this node is no longer wanted; one that there is stays until it is idle.
    pub fn unwant(&mut self, node: NodeId) {
        self.contacts.forget(node);
    }

    // Helpers.

    fn tell(&mut self, to: NodeId, message: PoolMessage) {
        self.outputs.push_back(Output::Message(to, message));
    }

    fn dial_contacts(&mut self, now: Instant) {
        for (via, node) in self.contacts.due_through(now) {
            self.outputs.push_back(Output::DialThrough(via, node));
        }
        for due in self.contacts.due(now) {
            for addr in &due.addrs {
                self.dial(*addr, due.node, now);
            }
            if let Some(node) = due.node
                && (due.again || looks_translated(due.addrs.iter().copied()))
            {
                self.ask_for_introduction(node, now);
            }
        }
    }

    fn use_link(&mut self, node: NodeId, now: Instant) {
        if let Some(link) = self.links.get_mut(node) {
            link.last_used = now;
        }
    }

    fn want_for(&mut self, contact: Contact, time: Duration, now: Instant) {
        self.want_from(contact, now, now + time, now);
    }

    fn want_from(&mut self, contact: Contact, at: Instant, until: Instant, now: Instant) {
        if contact.node == self.me {
            return;
        }
        let (node, connected) = (contact.node, self.links.is_connected(contact.node));
        self.contacts.want(contact, connected, at, until);
        if let Some(link) = self.links.get_mut(node)
            && link.hello.is_some()
        {
            link.begin_pings(now);
        }
        self.wake = now;
    }

    fn ping_and_bury(&mut self, now: Instant) {
        let lost_after = self.config.lost_after;
        let silent = |link: &super::links::Connected| {
            let silence = now.saturating_duration_since(link.last_heard);
            let silent = link.next_ping.is_some() && silence >= lost_after * link.pace();
            silent || link.doubted.is_some_and(|at| at <= now)
        };
        let lost: Vec<NodeId> =
            self.links.iter().filter(|(_, link)| silent(link)).map(|(node, _)| node).collect();
        for peer in lost {
            self.outputs.push_back(Output::Close(peer, "silent for too long"));
            self.on_disconnected(peer, false, now);
        }
        // One waking for all: who is pinged soon anyway is pinged now.
        let heartbeat = self.config.heartbeat;
        let is_due =
            self.links.iter().any(|(_, link)| link.ping_due(heartbeat).is_some_and(|due| due <= now));
        let (due_by, soon) = (now, now + heartbeat / 2);
        for (node, link) in self.links.iter_mut() {
            let due_by = if is_due && link.pings >= FIRST_PINGS { soon } else { due_by };
            if link.ping_due(heartbeat).is_none_or(|due| due > due_by) {
                continue;
            }
            if link.pings >= FIRST_PINGS && !self.contacts.is_wanted(node) {
                link.next_ping = None;
                continue;
            }
            // While a link is measured, somebody waits for it.
            let nonce = round_trip::nonce(self.random.random(), link.pings < FIRST_PINGS);
            link.round_trips.on_ping(nonce, now);
            link.pings = link.pings.saturating_add(1);
            // A little off the beat, so that the pings of many nodes do not fall together.
            let interval = heartbeat.mul_f64(self.random.random_range(0.9..1.1));
            let pause = match link.pings {
                ..FIRST_PINGS => FIRST_PING_INTERVAL,
                _ if link.is_loose => interval * link.pace(),
                FIRST_PINGS..EAGER_PINGS => interval,
                EAGER_PINGS.. => interval * PINGS_LEFT_OUT,
            };
            link.pinged = Some(now);
            link.next_ping = Some(now + pause);
            let ping = Bytes::copy_from_slice(&round_trip::ping(nonce));
            self.outputs.push_back(Output::Datagram(node, ping));
        }
    }

    /// Closes what is not worth keeping.
    fn sweep(&mut self, now: Instant) {
        let leaves = self.swarm.ring().leaves().map(|leaf| leaf.node);
        let wanted = self.links.iter().map(|(node, _)| node).filter(|node| self.contacts.is_wanted(*node));
        let keep: BTreeSet<NodeId> = leaves.chain(wanted).collect();
        for node in self.links.sweep(&keep, now) {
            self.outputs.push_back(Output::Close(node, "nothing to say for now"));
            self.on_disconnected(node, false, now);
        }
    }

    fn next_wake(&self, now: Instant) -> Instant {
        let pings = self.links.iter().filter_map(|(_, link)| link.ping_due(self.config.heartbeat));
        let silences = self.links.iter().filter(|(_, link)| link.next_ping.is_some());
        let silences = silences.map(|(_, link)| link.last_heard + self.config.lost_after * link.pace());
        let doubts = self.links.iter().filter_map(|(_, link)| link.doubted);
        let others = [
            self.contacts.next_due(),
            self.degrees.next_expiry(),
            self.survey_due(),
            self.asks_due(),
            self.publish_due(),
            self.introducing_due(),
        ];
        let own = self.links.sweep_due().min(self.look_at);
        pings
            .chain(silences)
            .chain(doubts)
            .chain(others.into_iter().flatten())
            .fold(own, Instant::min)
            .max(now)
    }
}
