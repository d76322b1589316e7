//! One node: pool, session and forwarding as one state machine with four doors. No sockets, no clock, no tokio.
//!
//! Give it [`Input`], take [`Output`] and [`Notice`]s until there are none, call again at
//! [`poll_timeout`](Node::poll_timeout). A media packet on its way costs one look-up and no allocation.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use alm_media::{TreeId, peek_tree, set_tree};
use bytes::{Bytes, BytesMut};
use rand::rngs::StdRng;

use crate::identity::{Identity, NodeId, SessionId};
use crate::net::{Channel, LinkEvent};
use crate::pool::{self, Contact, PoolConfig, PoolNode};
use crate::session::{
    self, Carrier, Delegation, Installation, Manager, ManagerConfig, Member, MemberConfig, Planned,
    PlanningJob, Readiness, Roster, SessionClock, SessionMessage, SessionPlan, Signed,
};
use crate::wire::Message;

/// What happens to a node.
#[derive(Debug)]
pub enum Input {
    /// The network has something to tell.
    Link(LinkEvent),
    /// A node is said to be there.
    Contact(Contact),
    /// An address to start from.
    Bootstrap(SocketAddr),
    /// A packet of this node's own source, its tree not yet set.
    Own(Bytes),
    /// A planning job is done, and took this long.
    Planned(Planned, Duration),
    /// Leave the session; as its host, end it.
    Leave,
    /// [`Node::poll_timeout`] has come.
    Timeout,
}

/// What the driver is to do.
#[derive(Debug)]
pub enum Output {
    /// Send bytes to a connected peer.
    Send(NodeId, Channel, Bytes),
    /// Dial an address, for a key where it is known.
    Dial(SocketAddr, Option<NodeId>),
    /// Give a connection up.
    Close(NodeId, &'static str),
    /// Run a planning job beside the media and hand in [`Input::Planned`].
    Plan(Box<PlanningJob>),
    /// A packet for this node's own ears, taken from the network at that time.
    Play(Bytes, Instant),
}

/// What the people at this node, and its audio, need to know.
#[derive(Debug)]
pub enum Notice {
    /// Of the session.
    Session(session::Event),
    /// The session's clock as this node knows it by now.
    Clock(SessionClock),
    /// How many nodes the pool has, this one included.
    PoolSize(usize),
    /// Something went wrong; this node goes on.
    Trouble(String),
}

/// Media over one tree link since it was first used.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LinkCounts {
    /// Packets handed to the network.
    pub sent: u64,
    /// Packets taken from it that belong on this link.
    pub received: u64,
    /// Packets that came by this link and belong to no tree over it.
    pub dropped: u64,
}

/// See the [module](self).
pub struct Node {
    me: NodeId,
    identity: Arc<Identity>,
    started: Instant,
    pool: PoolNode,
    carrier: Carrier,
    role: Role,
    clock: Option<SessionClock>,
    counts: BTreeMap<NodeId, LinkCounts>,
    /// Control messages of each peer in the second that began then.
    heard: BTreeMap<NodeId, (Instant, u32)>,
    /// Messages to oneself: a task manager is a member too.
    loopback: VecDeque<SessionMessage>,
    outputs: VecDeque<Output>,
    notices: VecDeque<Notice>,
}

/// What this node is in a session of its own; as a helper it may carry any number of others.
enum Role {
    Idle,
    Host(Box<Manager>),
    Member(Box<Member>, SessionId),
}

/// Control messages that a peer may send in a second before it is cut off: several times what a newcomer to a full pool
/// is greeted with.
const CONTROL_MESSAGES_PER_SECOND_MAX: u32 = 500;
/// A clock estimate that differs less than this from the last is no news.
const CLOCK_STEP: Duration = Duration::from_micros(500);

impl Node {
    /// A node that listens at `addrs` and is in no session.
    #[must_use]
    pub fn new(
        identity: Arc<Identity>,
        addrs: Vec<SocketAddr>,
        config: PoolConfig,
        random: StdRng,
        now: Instant,
    ) -> Self {
        let me = identity.node_id();
        Self {
            me,
            identity,
            started: now,
            pool: PoolNode::new(me, addrs, config, random, now),
            carrier: Carrier::default(),
            role: Role::Idle,
            clock: None,
            counts: BTreeMap::new(),
            heard: BTreeMap::new(),
            loopback: VecDeque::new(),
            outputs: VecDeque::with_capacity(256),
            notices: VecDeque::new(),
        }
    }

    /// Starts a session whose key is `key`.
    pub fn host(&mut self, key: &Identity, config: ManagerConfig, now: Instant) {
        let manager = Manager::new(self.identity.clone(), key, config, now);
        self.role = Role::Host(Box::new(manager));
        self.set_clock(SessionClock::new(self.started, 0));
        self.settle(now);
    }

    /// Starts to join a session.
    pub fn join(&mut self, config: MemberConfig, now: Instant) {
        let session = config.invite.session;
        let mut member = Member::new(self.me, config, now);
        for peer in self.pool.joined().collect::<Vec<_>>() {
            member.on_joined(peer, now);
        }
        self.role = Role::Member(Box::new(member), session);
        self.settle(now);
    }

    /// Takes in what happened.
    pub fn handle(&mut self, input: Input, now: Instant) {
        match input {
            Input::Link(LinkEvent::Datagram { from, bytes, at }) => {
                self.pool.on_traffic(from, at);
                if !PoolNode::is_probe(&bytes) {
                    self.forward(from, bytes, at);
                    return;
                }
                self.pool.handle_probe(from, &bytes, at);
                self.read_clock(from);
            }
            Input::Link(event) => self.handle_link(event, now),
            Input::Contact(contact) => self.pool.add_contact(contact, now),
            Input::Bootstrap(addr) => self.pool.add_bootstrap(addr, now),
            Input::Own(packet) => {
                self.send_own(&packet);
                return;
            }
            Input::Planned(planned, elapsed) => {
                if let Role::Host(manager) = &mut self.role {
                    manager.on_planned(planned, elapsed, now);
                }
            }
            Input::Leave => match &mut self.role {
                Role::Host(manager) => manager.end(),
                Role::Member(member, _) => member.leave(now),
                Role::Idle => {}
            },
            Input::Timeout => {
                self.pool.handle_timeout(now);
                for late in self.carrier.handle_timeout(now) {
                    self.report(late);
                }
                match &mut self.role {
                    Role::Host(manager) => manager.handle_timeout(now),
                    Role::Member(member, _) => member.handle_timeout(now),
                    Role::Idle => {}
                }
            }
        }
        self.settle(now);
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// The next thing to know.
    pub fn poll_notice(&mut self) -> Option<Notice> {
        self.notices.pop_front()
    }

    /// When to hand in [`Input::Timeout`], and for whom.
    #[must_use]
    pub fn poll_timeout(&self) -> (Instant, &'static str) {
        let role = match &self.role {
            Role::Host(manager) => Some((manager.poll_timeout(), "manager")),
            Role::Member(member, _) => member.poll_timeout().map(|at| (at, "member")),
            Role::Idle => None,
        };
        let carrier = self.carrier.poll_timeout().map(|at| (at, "carrier"));
        let pool = (self.pool.poll_timeout(), "pool");
        [role, carrier]
            .into_iter()
            .flatten()
            .fold(pool, |first, other| if other.0 < first.0 { other } else { first })
    }

    /// Who is in this node's own session.
    #[must_use]
    pub fn roster(&self) -> Option<&Roster> {
        match &self.role {
            Role::Host(manager) => Some(manager.roster()),
            Role::Member(member, _) => Some(member.roster()),
            Role::Idle => None,
        }
    }

    /// The plan that carries this node's own session now.
    #[must_use]
    pub fn plan(&self) -> Option<&SessionPlan> {
        self.carrier.plan(self.own_session()?)
    }

    /// The session's clock as this node knows it by now.
    #[must_use]
    pub fn clock(&self) -> Option<SessionClock> {
        self.clock
    }

    /// The pool as this node sees it.
    #[must_use]
    pub fn pool(&self) -> &PoolNode {
        &self.pool
    }

    /// The tree links that this node carries now, over all sessions, with their round trips and counts.
    #[must_use]
    pub fn links(&self) -> Vec<(NodeId, Option<Duration>, LinkCounts)> {
        let mut peers: Vec<NodeId> =
            self.carrier.sessions().flat_map(|session| self.carrier.neighbours(session)).collect();
        peers.sort_unstable();
        peers.dedup();
        let counts = |peer| self.counts.get(&peer).copied().unwrap_or_default();
        peers.into_iter().map(|peer| (peer, self.pool.round_trip(peer), counts(peer))).collect()
    }

    // The forwarding path.

    fn forward(&mut self, from: NodeId, packet: Bytes, at: Instant) {
        let route = peek_tree(&packet).and_then(|tree| self.carrier.route(tree, Some(from)));
        let Some(route) = route else {
            if let Some(counts) = self.counts.get_mut(&from) {
                counts.dropped += 1;
            }
            return;
        };
        for link in route.links {
            let to = self.carrier.peer(*link);
            self.counts.entry(to).or_default().sent += 1;
            self.outputs.push_back(Output::Send(to, Channel::Datagram, packet.clone()));
        }
        self.counts.entry(from).or_default().received += 1;
        if route.deliver {
            self.outputs.push_back(Output::Play(packet, at));
        }
    }

    fn send_own(&mut self, packet: &[u8]) {
        let Some(session) = self.own_session() else { return };
        for tree in self.carrier.own_trees(session) {
            if let Some(route) = self.carrier.route(*tree, None) {
                let packet = addressed(packet, *tree);
                for link in route.links {
                    let to = self.carrier.peer(*link);
                    self.counts.entry(to).or_default().sent += 1;
                    self.outputs.push_back(Output::Send(to, Channel::Datagram, packet.clone()));
                }
            }
        }
    }

    // Control.

    fn handle_link(&mut self, event: LinkEvent, now: Instant) {
        match event {
            LinkEvent::Connected { peer, addr } => self.pool.on_connected(peer, addr, now),
            LinkEvent::Disconnected { peer, left, .. } => {
                if let (true, Role::Member(member, _)) = (left, &mut self.role)
                    && member.manager() == Some(peer)
                {
                    member.on_manager_left();
                }
                self.heard.remove(&peer);
                self.pool.on_disconnected(peer, left, now);
            }
            LinkEvent::DialFailed { addr, error, .. } => {
                if let Role::Member(member, _) = &mut self.role {
                    member.on_unanswered(addr, now);
                }
                self.pool.on_dial_failed(addr, error);
            }
            LinkEvent::Control { from, bytes } => {
                self.pool.on_traffic(from, now);
                if !self.may_speak(from, now) {
                    return self.cut_off(from, "too many messages", now);
                }
                match Message::decode(&bytes) {
                    Ok(Message::Pool(message)) => self.pool.handle_message(from, message, now),
                    Ok(Message::Session(message)) if self.pool.is_joined(from) => {
                        self.handle_session(from, message, now);
                    }
                    Ok(Message::Session(_)) => self.cut_off(from, "the first message was no hello", now),
                    Err(_) => self.cut_off(from, "malformed message", now),
                }
            }
            LinkEvent::Datagram { .. } => {}
        }
    }

    /// Counts a control message against its sender's budget.
    fn may_speak(&mut self, from: NodeId, now: Instant) -> bool {
        let (since, count) = self.heard.entry(from).or_insert((now, 0));
        if now.saturating_duration_since(*since) >= Duration::from_secs(1) {
            (*since, *count) = (now, 0);
        }
        *count += 1;
        *count <= CONTROL_MESSAGES_PER_SECOND_MAX
    }

    /// Has nothing more to do with a peer that does not keep to the protocol, unless it comes back.
    fn cut_off(&mut self, peer: NodeId, reason: &'static str, now: Instant) {
        self.heard.remove(&peer);
        self.outputs.push_back(Output::Close(peer, reason));
        self.pool.on_disconnected(peer, true, now);
    }

    fn handle_session(&mut self, from: NodeId, message: SessionMessage, now: Instant) {
        let addrs = self.pool.addrs(from);
        match message {
            SessionMessage::Install(signed) => self.on_install(from, &signed, now),
            SessionMessage::Activate { session, epoch } => self.on_activate(from, session, epoch, now),
            message => match (&mut self.role, subject(&message)) {
                (Role::Host(manager), Some(session)) if session == manager.session() => {
                    manager.handle_message(from, message, addrs, now);
                }
                (Role::Member(member, own), Some(session)) if session == *own => {
                    member.handle_message(from, message, now);
                }
                (_, Some(session)) if matches!(message, SessionMessage::Find { .. }) => {
                    self.send(from, SessionMessage::NotFound { session });
                }
                _ => {}
            },
        }
    }

    fn on_install(&mut self, from: NodeId, signed: &Signed, now: Instant) {
        let session = SessionId::of(&signed.delegation.key);
        let is_member = self.own_session() == Some(session);
        let lease = || self.pool.degrees().holdings().find(|holding| holding.session == session);
        let held = if is_member { Some(self.pool.degrees().bound()) } else { lease().map(|h| h.degrees) };
        // Nothing is verified for a session that this node has nothing to do with.
        let Some(held) = held else { return };
        let pool = &self.pool;
        let outcome =
            self.carrier.install(signed, self.me, held, is_member, |node| pool.is_joined(node), now);
        match outcome {
            Ok(installed) => {
                for contact in &installed.missing {
                    self.pool.want(contact.clone(), now);
                }
                if installed.missing.is_empty() {
                    let (epoch, missing) = (installed.epoch, vec![]);
                    self.report(Readiness { session, epoch, manager: from, missing });
                }
            }
            Err(error) => {
                let (epoch, missing, refused) = (signed_epoch(signed), vec![], Some(error.to_string()));
                self.send(from, SessionMessage::Installed { session, epoch, missing, refused });
            }
        }
    }

    fn on_activate(&mut self, from: NodeId, session: SessionId, epoch: u64, now: Instant) {
        let Some(plan) = self.carrier.activate(session, epoch, from, now).cloned() else { return };
        if self.own_session() == Some(session) {
            self.pool.hold_own(session, plan.degree_of(self.me), now);
            self.notices.push_back(Notice::Session(session::Event::Tree(plan)));
        }
    }

    fn report(&mut self, readiness: Readiness) {
        let Readiness { session, epoch, manager, missing } = readiness;
        self.send(manager, SessionMessage::Installed { session, epoch, missing, refused: None });
    }

    /// Passes on what the parts have to say to each other until all is quiet.
    fn settle(&mut self, now: Instant) {
        loop {
            let mut quiet = true;
            while let Some(event) = self.pool.poll_event() {
                self.on_pool_event(event, now);
                quiet = false;
            }
            while let Some(output) = self.poll_role_output() {
                self.on_role_output(output, now);
                quiet = false;
            }
            while let Some(message) = self.loopback.pop_front() {
                self.handle_session(self.me, message, now);
                quiet = false;
            }
            if quiet {
                break;
            }
        }
        while let Some(output) = self.pool.poll_output() {
            self.outputs.push_back(match output {
                pool::Output::Message(to, message) => {
                    Output::Send(to, Channel::Control, Message::Pool(message).encode())
                }
                pool::Output::Datagram(to, bytes) => Output::Send(to, Channel::Datagram, bytes),
                pool::Output::Dial(addr, node) => Output::Dial(addr, node),
                pool::Output::Close(node, reason) => {
                    self.heard.remove(&node);
                    Output::Close(node, reason)
                }
            });
        }
        while let Some(event) = self.poll_role_event() {
            if let session::Event::Entered { manager, .. } = &event {
                self.read_clock(*manager);
            }
            self.notices.push_back(Notice::Session(event));
        }
    }

    fn on_pool_event(&mut self, event: pool::Event, now: Instant) {
        match event {
            pool::Event::Joined(peer) => {
                for complete in self.carrier.on_joined(peer) {
                    self.report(complete);
                }
                if let Role::Member(member, _) = &mut self.role {
                    member.on_joined(peer, now);
                }
                self.notices.push_back(Notice::PoolSize(self.pool.joined().count() + 1));
            }
            pool::Event::Lost(peer) => {
                match &mut self.role {
                    Role::Host(manager) => manager.on_lost(peer, now),
                    Role::Member(member, _) => member.on_lost(peer, now),
                    Role::Idle => {}
                }
                self.notices.push_back(Notice::PoolSize(self.pool.joined().count() + 1));
            }
            pool::Event::Measured(peer) => self.read_clock(peer),
            pool::Event::Evicted(session) => {
                if self.own_session() != Some(session) {
                    self.carrier.drop_session(session);
                }
            }
            pool::Event::BootstrapFailed(addr, error) => {
                let trouble = format!("no way to bootstrap {addr}: {error}; trying again");
                self.notices.push_back(Notice::Trouble(trouble));
            }
            pool::Event::Snapshot(reports) => {
                if let Role::Host(manager) = &mut self.role {
                    manager.on_snapshot(reports);
                }
            }
            pool::Event::Reserved { helper, granted, .. } => {
                if let Role::Host(manager) = &mut self.role {
                    manager.on_reserved(helper, granted, now);
                }
            }
            pool::Event::Preempted { helper, session } => {
                if let Role::Host(manager) = &mut self.role
                    && manager.session() == session
                {
                    manager.on_preempted(helper, now);
                }
            }
        }
    }

    fn on_role_output(&mut self, output: session::Output, now: Instant) {
        match output {
            session::Output::Message(to, message) => self.send(to, message),
            session::Output::Query => self.pool.query(now),
            session::Output::Plan(job) => self.outputs.push_back(Output::Plan(job)),
            session::Output::Reserve(helper, reservation) => self.pool.reserve(helper, reservation),
            session::Output::Release(helper) => {
                if let Some(session) = self.own_session() {
                    self.pool.release(helper, session);
                }
            }
            session::Output::Want(contact) => {
                let node = contact.node;
                self.pool.want(contact, now);
                if self.pool.is_joined(node)
                    && let Role::Member(member, _) = &mut self.role
                {
                    member.on_joined(node, now);
                }
            }
            session::Output::Bootstrap(addr) => self.pool.add_bootstrap(addr, now),
        }
    }

    fn poll_role_output(&mut self) -> Option<session::Output> {
        match &mut self.role {
            Role::Host(manager) => manager.poll_output(),
            Role::Member(member, _) => member.poll_output(),
            Role::Idle => None,
        }
    }

    fn poll_role_event(&mut self) -> Option<session::Event> {
        match &mut self.role {
            Role::Host(manager) => manager.poll_event(),
            Role::Member(member, _) => member.poll_event(),
            Role::Idle => None,
        }
    }

    fn own_session(&self) -> Option<SessionId> {
        match &self.role {
            Role::Host(manager) => Some(manager.session()),
            Role::Member(_, session) => Some(*session),
            Role::Idle => None,
        }
    }

    fn send(&mut self, to: NodeId, message: SessionMessage) {
        if to == self.me {
            self.loopback.push_back(message);
        } else {
            let bytes = Message::Session(message).encode();
            self.outputs.push_back(Output::Send(to, Channel::Control, bytes));
        }
    }

    /// A ping of the manager's tells its clock.
    fn read_clock(&mut self, peer: NodeId) {
        if let Role::Member(member, _) = &self.role
            && member.manager() == Some(peer)
            && let Some(offset_us) = self.pool.clock_offset_us(peer)
        {
            self.set_clock(SessionClock::new(self.started, offset_us));
        }
    }

    fn set_clock(&mut self, clock: SessionClock) {
        if self.clock.is_none_or(|known| known.distance(&clock) >= CLOCK_STEP) {
            self.clock = Some(clock);
            self.notices.push_back(Notice::Clock(clock));
        }
    }
}

/// The session that a message is about; `None` for what is told apart by its signature.
fn subject(message: &SessionMessage) -> Option<SessionId> {
    match message {
        SessionMessage::Find { session }
        | SessionMessage::NotFound { session }
        | SessionMessage::Join { session, .. }
        | SessionMessage::Refused { session, .. }
        | SessionMessage::Welcome { session, .. }
        | SessionMessage::Joined { session, .. }
        | SessionMessage::Left { session, .. }
        | SessionMessage::Leave { session }
        | SessionMessage::Farewell { session }
        | SessionMessage::Installed { session, .. }
        | SessionMessage::Activate { session, .. }
        | SessionMessage::End { session } => Some(*session),
        SessionMessage::Found { delegation, .. } => Delegation::session(delegation),
        SessionMessage::Install(_) => None,
    }
}

/// The epoch that an installation is for, as far as it can be read: to name it in a refusal.
fn signed_epoch(signed: &Signed) -> u64 {
    postcard::from_bytes::<Installation>(&signed.content).map_or(0, |content| content.epoch)
}

/// A copy of a packet, set on its tree.
fn addressed(packet: &[u8], tree: TreeId) -> Bytes {
    let mut packet = BytesMut::from(packet);
    set_tree(&mut packet, tree);
    packet.freeze()
}
