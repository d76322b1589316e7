//! One node: pool, session and forwarding as one state machine with four doors. No sockets, no clock, no tokio.
//!
//! Give it [`Input`], take [`Output`] and [`Notice`]s until there are none, call again at
//! [`poll_timeout`](Node::poll_timeout). A media packet on its way costs one look-up and no allocation (`forwarding`);
//! `control` takes messages in, `wiring` lets the parts talk to each other.

mod chat;
mod control;
mod forwarding;
mod mending;
mod office;
mod sources;
mod wiring;

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use alm_media::{SourceIndex, TreeId};
use bytes::Bytes;
use rand::rngs::StdRng;

use self::mending::Mending;
use self::sources::SourceBudgets;
use crate::identity::{Identity, NodeId, Position, SessionId};
use crate::net::{Channel, Heard, Link, LinkEvent, Switch, Watched};
use crate::pool::{Answer, Contact, Place, PoolConfig, PoolNode, Reservation, Standing};
use crate::session::{
    self, Carrier, Chat, Detours, Keyring, Keys, Line, Manager, ManagerConfig, Measured, Member,
    MemberConfig, Moderation, PULSE, Planned, PlanningJob, Repairs, Roster, Routes, Rules, SessionClock,
    SessionMessage, SessionPlan, SessionRecord, record_key,
};
use crate::wire::Message;

/// What happens to a node.
#[derive(Debug)]
pub enum Input {
    /// The network has something to tell.
    Link(LinkEvent),
    /// A peer was heard, by the link's own account ([`crate::net::Link::poll_heard`]).
    Heard(NodeId, Heard),
    /// A node is said to be there.
    Contact(Contact),
    /// An address to start from.
    Bootstrap(SocketAddr),
    /// The router leads that address here, or none any more.
    Mapped(Option<SocketAddr>),
    /// A packet of this node's own source, its tree not yet set.
    Own(Bytes),
    /// A planning job is done, and took this long.
    Planned(Planned, Duration),
    /// These members speak now, as what they sent proves; told several times a second.
    Speaking(Vec<NodeId>),
    /// Write something to all, at that time (milliseconds since 1970).
    Say(String, u64),
    /// Leave the session; as its host, hand it over.
    Leave,
    /// Do something to others, as the host; the secret that admits afterwards.
    Moderate(Moderation, [u8; 16]),
    /// Reserve links of a helper for a session that is led from elsewhere.
    Reserve(NodeId, Reservation),
    /// End the session for everybody; who is not its host leaves.
    End,
    /// [`Node::poll_timeout`] has come.
    Timeout,
}

/// What the driver is to do.
#[derive(Debug)]
pub enum Output {
    /// Send bytes to a connected peer.
    Send(NodeId, Channel, Bytes),
    /// Send two datagrams back to back.
    Pair(NodeId, [Bytes; 2]),
    /// Dial an address, for a key where it is known.
    Dial(SocketAddr, Option<NodeId>),
    /// Dial the second by way of the first.
    DialThrough(NodeId, NodeId),
    /// Give a connection up.
    Close(NodeId, &'static str),
    /// Have the link forward by this table, which replaces the last.
    Switch(Arc<dyn Switch>),
    /// Have the link watch these peers, and no others; comes only after [`Node::rely_on_alerts`].
    Watch(Vec<Watched>),
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
    /// How the pool looks from here.
    Pool(Standing),
    /// Where this node is in the space of latencies, and the median relative error of what that foretells.
    Place(Place, f64),
    /// What the root of SOMO's tree has answered.
    Answered(NodeId, Answer),
    /// What another node has measured.
    Probed(NodeId, Vec<(NodeId, f32)>),
    /// Something went wrong; this node goes on.
    Trouble(String),
}

/// Media over one tree link since it was first used, apart from what the link forwarded by itself
/// ([`crate::net::SwitchCounts`]).
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
    /// The routes that the link has.
    switched: Arc<Routes>,
    sources: Arc<SourceBudgets>,
    mending: Mending,
    /// Whom this node has come to feed or who has come to feed it, and was sent anew what had passed along a tree, lately.
    replayed: BTreeMap<(TreeId, NodeId), Instant>,
    repairs: Repairs,
    detours: Detours,
    keyring: Keyring,
    chat: Chat,
    /// Who has come and is shown what was written, when, and after which line of this node's own.
    shown_again: BTreeMap<NodeId, (Instant, Option<Line>)>,
    role: Role,
    clock: Option<SessionClock>,
    /// Nobody but this source is to be heard.
    alone: Option<SourceIndex>,
    /// A manager that is gone, when it was last heard and how soon that was noticed: told once another one's plan stands.
    replaced: Option<(NodeId, Instant, Duration)>,
    tend_at: Instant,
    /// What the session's record says by this node, and where it is kept.
    published: Option<(Position, SessionRecord)>,
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
        let carrier = Carrier::default();
        let mut pool = PoolNode::new(me, addrs, config, random, now);
        pool.set_identity(identity.clone());
        let mut node = Self {
            me,
            identity,
            started: now,
            pool,
            switched: carrier.routes().clone(),
            sources: Arc::new(SourceBudgets::new(now)),
            mending: Mending::default(),
            replayed: BTreeMap::new(),
            carrier,
            repairs: Repairs::default(),
            detours: Detours::default(),
            keyring: Keyring::default(),
            chat: Chat::default(),
            shown_again: BTreeMap::new(),
            role: Role::Idle,
            clock: None,
            alone: None,
            replaced: None,
            tend_at: now,
            published: None,
            counts: BTreeMap::new(),
            heard: BTreeMap::new(),
            loopback: VecDeque::new(),
            outputs: VecDeque::with_capacity(256),
            notices: VecDeque::new(),
        };
        // Pings are answered by it from the first on.
        node.hand_out_switch();
        node
    }

    /// Starts a session whose key is `key`.
    pub fn host(&mut self, key: &Identity, config: ManagerConfig, now: Instant) {
        let manager = Manager::new(self.identity.clone(), key, config, now);
        self.role = Role::Host(Box::new(manager));
        self.set_clock(SessionClock::new(self.started, 0));
        self.settle(now);
    }

    /// See [`PoolNode::measure_line`].
    pub fn measure_line(&mut self, now: Instant) {
        self.pool.measure_line(now);
    }

    /// The link [watches](Link::watch) whom this node tells it to, which need not look so often then.
    pub fn rely_on_alerts(&mut self) {
        self.repairs.rely_on_alerts();
        self.detours.rely_on_alerts();
    }

    /// Starts to join a session.
    pub fn join(&mut self, config: MemberConfig, now: Instant) {
        let session = config.invite.session;
        let mut member = Member::new(&self.identity, config, now);
        for peer in self.pool.joined().collect::<Vec<_>>() {
            member.on_joined(peer, now);
        }
        self.pool.fetch(Some(member.record_key()), now);
        self.role = Role::Member(Box::new(member), session);
        self.settle(now);
    }

    /// Takes in what happened.
    pub fn handle(&mut self, input: Input, now: Instant) {
        match input {
            Input::Link(LinkEvent::Datagram { from, bytes, at }) => {
                self.pool.on_traffic(from, at);
                self.repairs.on_traffic(from, at);
                if bytes.first() == Some(&PULSE) {
                    return;
                }
                if !PoolNode::is_pools(&bytes) {
                    self.forward(from, bytes, at);
                    return;
                }
                self.pool.handle_datagram(from, &bytes, at);
                self.read_clock(from);
            }
            Input::Link(LinkEvent::Delivered { from, bytes, at }) => {
                self.pool.on_traffic(from, at);
                self.repairs.on_traffic(from, at);
                if self.is_heard(&bytes) {
                    self.outputs.push_back(Output::Play(bytes, at));
                }
                return;
            }
            Input::Link(event) => self.handle_link(event, now),
            Input::Heard(from, heard) => {
                self.pool.on_traffic(from, heard.at);
                self.repairs.on_heard(from, &heard);
                self.detours.on_counted(from, heard.came, heard.lost);
                return;
            }
            Input::Contact(contact) => self.pool.add_contact(contact, now),
            Input::Bootstrap(addr) => self.pool.add_bootstrap(addr, now),
            Input::Mapped(mapped) => self.pool.on_mapped(mapped, now),
            Input::Own(packet) => {
                self.send_own(&packet, now);
                return;
            }
            Input::Planned(planned, elapsed) => {
                if let Role::Host(manager) = &mut self.role {
                    manager.on_planned(planned, elapsed, now);
                }
            }
            Input::Moderate(what, fresh) => match &mut self.role {
                Role::Host(manager) => manager.moderate(what, fresh, now),
                Role::Member(..) | Role::Idle => {
                    let trouble = "only the host can do that".to_owned();
                    self.notices.push_back(Notice::Trouble(trouble));
                }
            },
            Input::Reserve(helper, reservation) => self.pool.reserve(helper, reservation),
            Input::End => match &mut self.role {
                Role::Host(manager) => {
                    manager.end();
                    self.pool.withdraw(record_key(manager.session(), &manager.secret()), now);
                }
                Role::Member(member, _) => member.leave(now),
                Role::Idle => {}
            },
            Input::Speaking(members) => match &mut self.role {
                Role::Host(manager) => manager.on_speaking(&members, now),
                Role::Member(..) | Role::Idle => return,
            },
            Input::Say(text, sent_ms) => self.say(&text, sent_ms),
            Input::Leave => match &mut self.role {
                Role::Host(manager) => manager.leave(now),
                Role::Member(member, _) => member.leave(now),
                Role::Idle => {}
            },
            Input::Timeout => {
                self.tend(now);
                self.pool.handle_timeout(now);
                if self.carrier.poll_timeout().is_some_and(|due| due <= now) {
                    for late in self.carrier.handle_timeout(now) {
                        self.report(late);
                    }
                    self.on_carried(now);
                }
                self.repairs.handle_timeout(&mut self.carrier, now);
                self.look_at_ways(now);
                self.keyring.handle_timeout(now);
                self.show_again(now);
                match &mut self.role {
                    Role::Host(manager) => manager.handle_timeout(now),
                    Role::Member(member, _) => member.handle_timeout(now),
                    Role::Idle => {}
                }
            }
        }
        self.settle(now);
    }

    /// Takes in what the link has dealt with by itself, or kept for later. To be called before each [`Input::Timeout`], and one
    /// is due after each [`LinkEvent::Alert`]: nobody who was heard is taken for silent.
    pub fn catch_up(&mut self, link: &mut impl Link, now: Instant) {
        link.poll_heard(&mut |peer, heard| self.handle(Input::Heard(peer, heard), heard.at));
        while let Some(event) = link.poll_later() {
            self.handle(Input::Link(event), now);
        }
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
        let repairs = self.repairs.poll_timeout().map(|at| (at, "repairs"));
        let detours = self.detours.poll_timeout().map(|at| (at, "detours"));
        let keyring = self.keyring.poll_timeout().map(|at| (at, "keyring"));
        let chat = self.shown_again.values().map(|(at, _)| *at).min().map(|at| (at, "chat"));
        let pool = (self.pool.poll_timeout(), "pool");
        let tend = (!matches!(self.role, Role::Idle) || self.carrier.sessions().next().is_some())
            .then_some((self.tend_at, "tend"));
        [role, carrier, repairs, detours, keyring, chat, tend]
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

    /// What the host of this node's session has laid down.
    #[must_use]
    pub fn rules(&self) -> Option<&Rules> {
        match &self.role {
            Role::Host(manager) => Some(manager.rules()),
            Role::Member(member, _) => Some(member.rules()),
            Role::Idle => None,
        }
    }

    /// The plan that carries this node's own session now.
    #[must_use]
    pub fn plan(&self) -> Option<&SessionPlan> {
        self.carrier.plan(self.own_session()?)
    }

    /// The keys of this node's media.
    #[must_use]
    pub fn keys(&self) -> Option<Keys> {
        self.keyring.keys()
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

    /// How often a relay was suspected that lived.
    #[must_use]
    pub fn false_alarms(&self) -> u64 {
        self.repairs.false_alarms()
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

    // Shared by the parts below.

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

    /// Finds out which ways have turned bad, or are good again.
    fn look_at_ways(&mut self, now: Instant) {
        if self.detours.poll_timeout().is_none_or(|due| due > now) {
            return;
        }
        let (pool, repairs) = (&self.pool, &self.repairs);
        let measured = Measured {
            lags: &self.mending.take_lags(now),
            round_trips: &|node, time| pool.round_trips(node, &time),
            is_doubted: &|node| repairs.is_doubted(node),
        };
        if self.detours.handle_timeout(&mut self.carrier, &measured, now) {
            self.on_carried(now);
        }
    }

    /// A ping of the manager's tells its clock.
    fn read_clock(&mut self, peer: NodeId) {
        if let Role::Member(member, _) = &self.role
            && member.manager() == Some(peer)
            && let Some(offset_us) = self.pool.clock_offset_us(peer)
        {
            let offset_us = offset_us.saturating_add(member.clock_us());
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
