//! The task manager: admits members, plans, reserves helpers, installs epochs.
//!
//! ```text
//! something changed -> Querying -> Planning -> Reserving -> Installing -> (activated) Idle
//! ```
//! Each step has a deadline, and whoever did not answer by then is planned without. What changes meanwhile starts the
//! cycle anew. No step touches what carries the media until all nodes of the new epoch have it.

mod cycle;
mod grafting;
mod group;
mod install;
mod moderate;
mod office;
mod probes;
mod reviews;
mod ways;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use alm_media::Group;
use alm_planner::Objective;

use self::cycle::{JOIN_REASON, Phase};
use self::group::Members;
pub use self::office::Estate;
use self::office::Office;
use self::probes::Probes;
use self::reviews::Reviews;
use self::ways::BadWays;
use super::graft::Grown;
use super::keys::{Delegation, PROOF_LEN, admits};
use super::message::{Departure, Refusal, SessionMessage};
use super::overlap::OVERLAP;
use super::planning::FOREST_MEMBERS_MAX;
use super::roster::{MEMBERS_MAX, Participant, Roster, clean_name};
use super::rules::Rules;
use super::speakers::Speakers;
use super::{Ending, Event, Output};
use crate::identity::{Identity, NodeId, SessionId};
use crate::pool::{Contact, HelpersFrom, NodeReport, Priority, SessionGrant};

/// What a session is to be.
#[derive(Clone, Debug)]
pub struct ManagerConfig {
    /// Its name.
    pub title: String,
    /// What its trees are made small for.
    pub objective: Objective,
    /// What it has on helpers.
    pub priority: Priority,
    /// By whose word.
    pub grant: Option<Box<SessionGrant>>,
    /// Whose machines may help.
    pub helpers: HelpersFrom,
    /// Every voice goes along two trees in which no node relays twice, so that one that dies costs nothing.
    pub protect: bool,
    /// The secret that admits.
    pub secret: [u8; 16],
    /// The host as a member; its number is zero.
    pub own: Participant,
}

/// See the [module](self).
pub struct Manager {
    identity: Arc<Identity>,
    me: NodeId,
    session: SessionId,
    delegation: Delegation,
    config: ManagerConfig,
    roster: Roster,
    /// Who was in: whoever comes back with the same start of its program is the same source.
    former: BTreeMap<u16, Participant>,
    next_index: u16,
    /// Said goodbye, still in the tree; let go when it does without them.
    leaving: BTreeSet<NodeId>,
    /// To be let go at that time.
    farewells: Vec<(Instant, NodeId)>,
    phase: Phase,
    /// Why to plan again as soon as the phase allows.
    wanted: Option<&'static str>,
    reviews: Reviews,
    /// Somebody's relay is said to be dead: when to plan without the link between them, if nobody has been lost by then.
    doubts_at: Option<Instant>,
    epoch: u64,
    /// What carries the media.
    installed: Option<Grown>,
    /// Members that have been told the plan under way a second time.
    told_again: BTreeSet<NodeId>,
    reports: Vec<NodeReport>,
    /// Until when they are good enough for plans that must not wait.
    reports_end: Instant,
    probes: Probes,
    excluded: BTreeMap<NodeId, Instant>,
    forbidden: BTreeMap<(NodeId, NodeId), Instant>,
    bad_ways: BadWays,
    /// Degrees held at helpers.
    leases: BTreeMap<NodeId, u32>,
    renew_at: Instant,
    /// Helpers that carry less than they hold, and when to give that back.
    releases: Vec<(Instant, NodeId)>,
    requests: u32,
    /// The session's clock minus this node's own.
    clock_us: i64,
    members: Members,
    speakers: Speakers,
    rules: Rules,
    office: Office,
    outputs: VecDeque<Output>,
    events: VecDeque<Event>,
    trouble: Option<String>,
    /// Why there is one tree where there should be two, as people have been told.
    unprotected: Option<String>,
    /// People have been told that the session is too large for its objective.
    is_shared_said: bool,
}

/// Former members that are remembered.
const FORMER_MAX: usize = 1_024;
/// How long a leaver keeps relaying after the others have moved on: the packets under way, and while voices go along both
/// the old way and the new one.
const FAREWELL_DELAY: Duration = OVERLAP;

impl Manager {
    /// Starts a session whose key is `key`, managed by `identity`.
    #[must_use]
    pub fn new(identity: Arc<Identity>, key: &Identity, config: ManagerConfig, now: Instant) -> Self {
        let delegation = Delegation::new(key, identity.node_id(), 1);
        Self::with(identity, delegation, config, None, now)
    }

    fn with(
        identity: Arc<Identity>,
        delegation: Delegation,
        config: ManagerConfig,
        group: Option<Group>,
        now: Instant,
    ) -> Self {
        let me = identity.node_id();
        let config = ManagerConfig { title: clean_name(&config.title), ..config };
        let mut roster = Roster::default();
        roster.insert(config.own.clone());
        let own = roster.iter().next().cloned().unwrap_or_else(|| config.own.clone());
        let entered = Event::Entered { title: config.title.clone(), manager: me, own: own.clone() };
        let session = SessionId::of(&delegation.key);
        let members = Members::new(&identity, session, group, now);
        Self {
            me,
            session,
            outputs: VecDeque::from([members.epoch()]),
            members,
            delegation,
            identity,
            former: BTreeMap::new(),
            next_index: own.index + 1,
            config,
            roster,
            leaving: BTreeSet::new(),
            farewells: Vec::new(),
            phase: Phase::Idle,
            wanted: Some("start"),
            reviews: Reviews::new(now),
            doubts_at: None,
            epoch: 0,
            installed: None,
            told_again: BTreeSet::new(),
            reports: Vec::new(),
            reports_end: now,
            probes: Probes::default(),
            excluded: BTreeMap::new(),
            forbidden: BTreeMap::new(),
            bad_ways: BadWays::default(),
            leases: BTreeMap::new(),
            renew_at: now,
            releases: Vec::new(),
            requests: 0,
            clock_us: 0,
            speakers: Speakers::default(),
            rules: Rules::default(),
            office: Office::new(now),
            events: VecDeque::from([entered, Event::MemberJoined(own)]),
            trouble: None,
            unprotected: None,
            is_shared_said: false,
        }
    }

    /// Which session.
    #[must_use]
    pub fn session(&self) -> SessionId {
        self.session
    }

    /// By whose word this node manages it.
    #[must_use]
    pub fn delegation(&self) -> &Delegation {
        &self.delegation
    }

    /// Who is in.
    #[must_use]
    pub fn roster(&self) -> &Roster {
        &self.roster
    }

    /// The nodes that this one is to stay connected to: members and helpers.
    #[must_use]
    pub fn peers(&self) -> Vec<Contact> {
        let members = self.roster.iter().map(|member| member.node);
        let nodes: BTreeSet<NodeId> = members.chain(self.leases.keys().copied()).collect();
        nodes.into_iter().map(|node| self.contact(node)).collect()
    }

    /// A message of this session; `addrs` is where the sender listens.
    pub fn handle_message(
        &mut self,
        from: NodeId,
        message: SessionMessage,
        addrs: Vec<std::net::SocketAddr>,
        now: Instant,
    ) {
        match message {
            SessionMessage::Find { .. } => {
                let found = SessionMessage::Found { delegation: self.delegation.clone(), addrs: vec![] };
                self.send(from, found);
            }
            SessionMessage::Join {
                proof, name, salt, degree, records, key_package, attempt, mark, ..
            } => {
                let applicant = Participant { index: 0, node: from, name, salt, degree, records, addrs };
                self.on_join(applicant, &proof, (attempt, key_package), mark, now);
            }
            SessionMessage::Leave { .. } => self.on_leave(from, now),
            SessionMessage::Claim(claim) => self.on_claim(from, claim),
            SessionMessage::Reign { .. } | SessionMessage::Appoint(_) => self.claim_to(from),
            SessionMessage::Silent { node, .. } => self.on_silent(from, node, now),
            SessionMessage::Poor { node, urgent, .. } => self.on_poor(from, node, urgent, now),
            SessionMessage::Installed { epoch, missing, refused, .. } => {
                self.on_installed(from, epoch, &missing, refused, now);
            }
            _ => {}
        }
    }

    /// A node cannot be reached any more.
    pub fn on_lost(&mut self, node: NodeId, now: Instant) {
        if self.roster.by_node(node).is_some() || self.leaving.contains(&node) {
            self.leaving.remove(&node);
            self.remove(node, Departure::Lost);
            self.plan_without(node, "lost", now);
        } else if self.leases.contains_key(&node) {
            self.on_helper_gone(node, "helper lost", now);
        }
    }

    /// These members speak now, as their own frames prove; to be told several times a second while anybody does.
    pub fn on_speaking(&mut self, speaking: &[NodeId], now: Instant) {
        let is_large = self.config.objective == Objective::Forest && self.roster.len() > FOREST_MEMBERS_MAX;
        if !is_large || self.config.protect {
            return;
        }
        let members = speaking.iter().copied().filter(|node| self.roster.by_node(*node).is_some());
        if self.speakers.on_speaking(&members.collect::<Vec<_>>(), now) {
            self.want("speakers", now);
        }
    }

    /// Ends the session for everybody.
    pub fn end(&mut self) {
        for member in self.others() {
            self.send(member, SessionMessage::End { session: self.session });
        }
        for helper in std::mem::take(&mut self.leases).into_keys() {
            self.outputs.push_back(Output::Release(helper));
        }
        self.events.push_back(Event::Ended(Ending::Regular("ended")));
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// The next thing to know.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    fn on_join(
        &mut self,
        mut applicant: Participant,
        proof: &[u8; PROOF_LEN],
        package: (u32, Vec<u8>),
        mark: Option<[u8; 16]>,
        now: Instant,
    ) {
        let session = self.session;
        if !admits(&self.config.secret, session, applicant.node, self.me, proof) {
            self.send(applicant.node, SessionMessage::Refused { session, reason: Refusal::WrongSecret });
            return;
        }
        self.on_present(applicant.node, now);
        let refusal = self.refusal(&applicant);
        if let Some(reason) = refusal.or_else(|| self.members.refusal(applicant.node, &package.1)) {
            self.send(applicant.node, SessionMessage::Refused { session, reason });
            return;
        }
        let known = self.roster.by_node(applicant.node).cloned();
        let again = known.as_ref().is_some_and(|known| known.salt == applicant.salt);
        if !again {
            if known.is_some() {
                self.remove(applicant.node, Departure::Lost);
            }
            let taken = |index| self.roster.by_index(index).is_some();
            if self.roster.len() >= MEMBERS_MAX {
                self.send(applicant.node, SessionMessage::Refused { session, reason: Refusal::Full });
                return;
            }
            let is_applicant = |old: &&Participant| old.node == applicant.node && old.salt == applicant.salt;
            if let Some(before) = self.former.values().find(is_applicant).map(|old| old.index) {
                self.former.remove(&before);
                applicant.index = before;
            } else {
                while taken(self.next_index) || self.former.contains_key(&self.next_index) {
                    self.next_index = self.next_index.wrapping_add(1);
                }
                applicant.index = self.next_index;
                self.next_index = self.next_index.wrapping_add(1);
            }
            applicant.name = clean_name(&applicant.name);
            self.leaving.remove(&applicant.node);
            let others = self.others();
            self.roster.insert(applicant.clone());
            for other in others {
                let member = applicant.clone();
                self.send(other, SessionMessage::Joined { session, member });
            }
            self.events.push_back(Event::MemberJoined(applicant.clone()));
        }
        let index = known.filter(|_| again).map_or(applicant.index, |known| known.index);
        let (title, roster) = (self.config.title.clone(), self.roster.iter().cloned().collect());
        let clock_us = self.clock_us;
        self.send(applicant.node, SessionMessage::Welcome { session, title, index, roster, clock_us });
        self.members.on_join(applicant.node, package, mark);
        let rules = SessionMessage::Rules(self.rules.signed(session, &self.identity, &self.delegation));
        self.send(applicant.node, rules);
        self.appoint_heirs();
        self.want(JOIN_REASON, now);
    }

    fn on_leave(&mut self, node: NodeId, now: Instant) {
        if self.roster.by_node(node).is_some() {
            let just_goes = self.may_just_go(node);
            self.remove(node, Departure::Left);
            if just_goes {
                self.send(node, SessionMessage::Farewell { session: self.session });
                self.reviews.on_change(false, now);
            } else {
                self.leaving.insert(node);
                self.want("left", now);
            }
        } else {
            self.send(node, SessionMessage::Farewell { session: self.session });
        }
    }

    fn remove(&mut self, node: NodeId, departure: Departure) {
        if let Some(gone) = self.roster.remove(node) {
            self.members.on_gone(node);
            self.speakers.on_gone(node);
            self.former.insert(gone.index, gone);
            if self.former.len() > FORMER_MAX {
                self.former.pop_first();
            }
            for other in self.others() {
                let session = self.session;
                self.send(other, SessionMessage::Left { session, node, departure });
            }
            self.events.push_back(Event::MemberLeft(node, departure));
        }
    }

    fn others(&self) -> Vec<NodeId> {
        self.roster.iter().map(|member| member.node).filter(|node| *node != self.me).collect()
    }

    fn send(&mut self, to: NodeId, message: SessionMessage) {
        self.outputs.push_back(Output::Message(to, message));
    }
}
