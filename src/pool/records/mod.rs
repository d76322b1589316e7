//! The data overlay (the patent, section A): objects with a key and a soft reference to their last known host, over insert,
//! lookup and direct access. One value with four doors, which knows of the ring only what it is told: who is near by, and
//! who answers for a key.
//!
//! A record is kept by the node that answers for its key and by the next ones clockwise, `copies` in all: they are the
//! heirs of the zone, in that order, so whoever comes to answer for a key after a death has its record already. After
//! every change near by, and now and then anyway, the hosts of a record compare what they have (key and stamp, not the
//! record), which hands records to newcomers and mends what was lost. Owners sign theirs anew before half its lifetime
//! is over, so it also survives the loss of all hosts.
//!
//! Pastry's applications keep copies on both sides of a key (PAST); here zones belong to successors, so copies do too.

mod host;
pub mod message;
mod overlay;
pub mod record;
mod store;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

pub use self::message::RecordMessage;
use self::overlay::{Ask, Owned};
pub use self::overlay::{Object, Reference};
pub use self::record::{Record, key_of};
pub use self::store::{Refusal, Refusals, Store};
use super::budget::Budgets;
use super::moment::Moment;
use super::outbox::Outbox;
use super::peer::Peer;
use super::position::Zone;
use crate::identity::Position;

/// How records are kept and asked for.
#[derive(Clone, Copy, Debug)]
pub struct RecordsConfig {
    /// Nodes that keep each record. More: more of them may die at once, writes and changes near by cost more.
    pub copies: usize,
    /// Between two comparisons with the other hosts when nothing changes. Shorter: a lost message is mended sooner.
    pub compare: Duration,
    /// Hosts that are asked for each answer, the newest of which counts. One trusts the node that answers for the key.
    pub asked: usize,
}

impl Default for RecordsConfig {
    fn default() -> Self {
        Self { copies: 5, compare: Duration::from_secs(120), asked: 1 }
    }
}

/// What is to be done for it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Action {
    /// A message to send.
    Send(Peer, RecordMessage),
    /// Who answers for the key? The answer comes by [`Records::on_roots`].
    LookUp {
        /// For whom: to be repeated in the answer.
        ticket: u32,
        /// Which key.
        key: Position,
    },
}

/// What came of what the layer above has asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// The object is kept, and this refers to it.
    Referenced(u32, Reference),
    /// What a reference refers to; nothing, or a deleted record, if there is no such object.
    Dereferenced(u32, Reference, Option<Record>),
    /// The object is deleted.
    Deleted(u32),
    /// Nobody could be asked. An object of this node's own is tried again.
    Failed(u32),
}

/// See the [module](self).
#[derive(Debug)]
pub struct Records {
    config: RecordsConfig,
    me: Peer,
    /// Unix time at [`Moment::ZERO`], seconds.
    born_s: u64,
    /// In [0, 1): spreads what nodes do now and then.
    phase: f64,
    zone: Option<Zone>,
    near: Vec<Peer>,
    store: Store,
    refusals: Refusals,
    /// What each stranger has had checked and kept lately.
    puts: Budgets,
    /// When to compare next, and how often soon.
    compare_at: Moment,
    compare_soon: u8,
    own: BTreeMap<Position, Owned>,
    asks: Vec<Ask>,
    tickets: u32,
    /// Messages of this node to itself.
    to_me: VecDeque<RecordMessage>,
    actions: Outbox<Action>,
    events: Outbox<Event>,
}

impl Records {
    /// An overlay on a ring on which nobody is known yet. `phase` is any number of [0, 1), `born_s` the Unix time at
    /// [`Moment::ZERO`].
    #[must_use]
    pub fn new(me: Peer, config: RecordsConfig, phase: f64, born_s: u64) -> Self {
        Self {
            config,
            me,
            born_s,
            phase,
            zone: None,
            near: Vec::new(),
            store: Store::default(),
            refusals: Refusals::default(),
            puts: Budgets::new(PUTS_AT_ONCE, PUTS_EVERY),
            compare_at: Moment::NEVER,
            compare_soon: 0,
            own: BTreeMap::new(),
            asks: Vec::new(),
            tickets: 0,
            to_me: VecDeque::new(),
            actions: Outbox::new(),
            events: Outbox::new(),
        }
    }

    // The doors. What goes in besides: `set_ref`, `deref` and `delete`.

    /// A message has come; the transport has proven whose it is.
    pub fn on_message(&mut self, from: Peer, message: RecordMessage, now: Moment) {
        self.receive(from, message, now);
        self.talk_to_oneself(now);
    }

    /// Who is near by, and what this node answers for: now, and after every change.
    pub fn on_ring(&mut self, zone: Option<Zone>, near: impl Iterator<Item = Peer>, now: Moment) {
        let before = (self.zone, self.heirs_and_predecessors());
        self.zone = zone;
        self.near = near.collect();
        if before != (zone, self.heirs_and_predecessors()) && !self.store.is_empty() {
            self.compare_soon();
            self.compare_at = self.compare_at.min(now + AFTER_CHANGE);
        }
    }

    /// True while nothing is kept, owned or asked for: until that changes it need not know who is near by.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.store.is_empty() && self.own.is_empty() && self.asks.is_empty()
    }

    /// Forgets who is near by while it is idle; it is to be told before anything else comes.
    pub fn forget_ring(&mut self) {
        self.near = Vec::new();
    }

    /// This node is seen elsewhere by others.
    pub fn on_moved(&mut self, me: Peer) {
        self.me = me;
    }

    /// The answer to [`Action::LookUp`]: the node that answers for the key, then others that may keep its record;
    /// nobody if that could not be found out.
    pub fn on_roots(&mut self, ticket: u32, roots: &[Peer], now: Moment) {
        self.ask_hosts(ticket, roots, now);
        self.talk_to_oneself(now);
    }

    /// [`poll_timeout`](Self::poll_timeout) has come.
    pub fn on_timeout(&mut self, now: Moment) {
        if self.compare_at <= now {
            self.compare(now);
        }
        self.refresh(now);
        self.retry(now);
        self.talk_to_oneself(now);
    }

    /// When to call [`on_timeout`](Self::on_timeout).
    #[must_use]
    pub fn poll_timeout(&self) -> Moment {
        let asks = self.asks.iter().map(|ask| ask.deadline);
        let own = self.own.values().map(|owned| owned.refresh_at);
        asks.chain(own).fold(self.compare_at, Moment::min)
    }

    /// The next thing to do. Drain it after every call.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// The next thing to know. Drain it likewise.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    // What the layer above asks.

    /// What is kept here for others.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// What was not taken.
    #[must_use]
    pub fn refusals(&self) -> Refusals {
        self.refusals
    }

    // Helpers.

    fn receive(&mut self, from: Peer, message: RecordMessage, now: Moment) {
        if !message.is_bounded() {
            self.refusals.count(Refusal::Oversized);
            return;
        }
        match message {
            RecordMessage::Get { request, key, copy } => self.on_get(from, request, key, copy, now),
            RecordMessage::Put { request, record } => self.on_put(from, request, record, now),
            RecordMessage::Keep(record) => self.on_keep(record, now),
            RecordMessage::Offer(entries) => self.on_offer(from, &entries, now),
            RecordMessage::Want(keys) => self.on_want(from, &keys, now),
            RecordMessage::Got { request, answer } => self.on_got(from, request, answer, now),
            RecordMessage::PutDone { request, outcome } => self.on_put_done(from, request, outcome, now),
        }
    }

    fn talk_to_oneself(&mut self, now: Moment) {
        while let Some(message) = self.to_me.pop_front() {
            self.receive(self.me, message, now);
        }
    }

    fn send(&mut self, to: Peer, message: RecordMessage) {
        if to.position == self.me.position {
            self.to_me.push_back(message);
        } else {
            self.actions.push_back(Action::Send(to, message));
        }
    }

    /// Unix time, seconds.
    fn unix_s(&self, now: Moment) -> u64 {
        self.born_s.saturating_add(now.since(Moment::ZERO).as_secs())
    }
}

/// Records that one node may have kept here at once, and how often another one: each costs a signature's check, five copies on
/// their way and room. An owner of a session changes its record a few times a minute at most.
const PUTS_AT_ONCE: u16 = 32;
const PUTS_EVERY: Duration = Duration::from_secs(2);
/// Changes come in flocks: the first comparison waits so long for the others.
const AFTER_CHANGE: Duration = Duration::from_millis(200);
