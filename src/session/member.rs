//! A member: finds the task manager, is admitted, follows.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use alm_media::Group;

use super::invite::Invite;
use super::keys::{Delegation, admission_proof};
use super::membership::Membership;
use super::message::{Departure, Refusal, SessionMessage};
use super::record::{SessionRecord, record_key};
use super::roster::{Participant, Roster};
use super::rules::Rules;
use super::succession::{Appointment, Claim, Heir};
use super::{Ending, Event, Output};
use crate::identity::{Identity, NodeId, Position};
use crate::pool::Contact;
use crate::pool::records::Record;

/// Who joins.
#[derive(Clone, Debug)]
pub struct MemberConfig {
    /// The id.
    pub invite: Invite,
    /// What to be called.
    pub name: String,
    /// Of this start's media key.
    pub salt: [u8; 16],
    /// Tree links that this machine can carry.
    pub degree: u32,
    /// What is said is kept here: everybody is told.
    pub records: bool,
}

/// See the [module](self).
pub struct Member {
    me: NodeId,
    group: Membership,
    config: MemberConfig,
    phase: Phase,
    /// Nodes asked for the manager, and those that did not know.
    asked: BTreeSet<NodeId>,
    ignorant: BTreeSet<NodeId>,
    /// Some node could be asked, ever.
    met: bool,
    /// Entry points that did not answer.
    silent: BTreeSet<std::net::SocketAddr>,
    delegation: Option<Delegation>,
    /// The session's clock minus the manager's own.
    clock_us: i64,
    rules: Rules,
    /// The manager has named this node.
    heir: Option<Heir>,
    /// When to ask around again.
    retry_at: Instant,
    title: String,
    roster: Roster,
    outputs: VecDeque<Output>,
    events: VecDeque<Event>,
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Phase {
    /// Looking for the manager.
    Finding { deadline: Instant },
    /// Asking to be let in.
    Joining { deadline: Instant },
    /// In; `orphaned` since the manager fell silent.
    In { orphaned: Option<Instant> },
    /// On the way out.
    Leaving { deadline: Instant },
    /// Over.
    Ended,
}

/// How long the manager is looked for.
const FIND_TIMEOUT: Duration = Duration::from_secs(10);
/// Once somebody has said that the session is unknown, how long others may still know it, or its record be found.
const IGNORANCE_TIMEOUT: Duration = Duration::from_secs(6);
/// How long the manager may take to let somebody in.
const JOIN_TIMEOUT: Duration = Duration::from_secs(6);
/// How often others are asked for the manager again: it may have changed, or they may have come late.
const RETRY: Duration = Duration::from_secs(1);
/// How long a leaver waits for the tree to do without it.
const LEAVE_TIMEOUT: Duration = Duration::from_millis(2_200);
/// How long a session goes on without its manager.
const ORPHAN_TIMEOUT: Duration = Duration::from_secs(20);

const ADVICE_REACH: &str = "ask the host for a fresh id, or give a pool node with --bootstrap";
const ADVICE_GONE: &str = "ask the host whether the session is still on, and for its id";

impl Member {
    /// Starts to join.
    #[must_use]
    pub fn new(identity: &Arc<Identity>, config: MemberConfig, now: Instant) -> Self {
        let outputs = config.invite.entry_points.iter().map(|addr| Output::Bootstrap(*addr)).collect();
        Self {
            me: identity.node_id(),
            group: Membership::new(identity, config.invite.session, now),
            config,
            phase: Phase::Finding { deadline: now + FIND_TIMEOUT },
            asked: BTreeSet::new(),
            met: false,
            ignorant: BTreeSet::new(),
            silent: BTreeSet::new(),
            delegation: None,
            clock_us: 0,
            rules: Rules::default(),
            heir: None,
            retry_at: now + RETRY,
            title: String::new(),
            roster: Roster::default(),
            outputs,
            events: VecDeque::new(),
        }
    }

    /// Goes on as a member where this node was the manager and somebody has claimed to be by a later word.
    #[must_use]
    pub fn resume(
        identity: &Arc<Identity>,
        config: MemberConfig,
        claim: &Claim,
        (title, roster, group): (String, Roster, Group),
        now: Instant,
    ) -> Self {
        let mut member = Self::new(identity, config, now);
        member.outputs.clear();
        member.group.resume(group);
        (member.title, member.roster) = (title, roster);
        member.phase = Phase::In { orphaned: None };
        (member.delegation, member.clock_us) = (Some(claim.delegation.clone()), claim.clock_us);
        member.ask_in(now);
        member
    }

    /// What it takes to be the manager, where this node is its heir.
    #[must_use]
    pub fn succession(&self) -> Option<(&Appointment, &MemberConfig, &Roster)> {
        let heir = self.heir.as_ref()?;
        Some((&heir.appointment, &self.config, &self.roster))
    }

    /// Does not take over now: nobody else is heard, so that it is this node that is cut off.
    pub fn on_cut_off(&mut self, now: Instant) {
        if let Some(heir) = &mut self.heir {
            heir.on_cut_off(now);
        }
    }

    /// Others are heard. True if this node was cut off before: then it looks for the manager first.
    pub fn on_return(&mut self, now: Instant) -> bool {
        self.heir.as_mut().is_some_and(|heir| heir.on_return(now))
    }

    /// What the host has laid down.
    #[must_use]
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// The members' group, of which this member is to be the manager.
    pub fn take_group(&mut self) -> Option<Group> {
        self.group.take()
    }

    /// The session's clock minus the manager's own, microseconds.
    #[must_use]
    pub fn clock_us(&self) -> i64 {
        self.clock_us
    }

    /// Who manages the session, once known.
    #[must_use]
    pub fn manager(&self) -> Option<NodeId> {
        self.delegation.as_ref().map(|delegation| delegation.manager)
    }

    /// By whose word.
    #[must_use]
    pub fn delegation(&self) -> Option<&Delegation> {
        self.delegation.as_ref()
    }

    /// Who is in, as far as this member has been told.
    #[must_use]
    pub fn roster(&self) -> &Roster {
        &self.roster
    }

    /// True once the last word has been said.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.phase == Phase::Ended
    }

    /// This node is let in, or was.
    #[must_use]
    pub fn is_in(&self) -> bool {
        matches!(self.phase, Phase::In { .. })
    }

    /// The nodes that this one is to stay connected to: all members, or in a large session the manager alone.
    #[must_use]
    pub fn peers(&self) -> Vec<Contact> {
        let others = self.roster.iter().filter(|_| self.roster.is_mesh());
        let members = others.map(|m| Contact { node: m.node, addrs: m.addrs.clone() });
        let manager = self.manager().map(|node| Contact { node, addrs: vec![] });
        members.chain(manager).collect()
    }

    /// A connection to a node is there, and this node's hello is on its way: what is asked right behind it is answered a round
    /// trip sooner than what waits for the other's hello.
    pub fn on_connected(&mut self, node: NodeId, now: Instant) {
        let is_first = matches!(self.phase, Phase::Finding { .. } | Phase::Joining { .. });
        if !is_first || !self.asked.insert(node) {
            return;
        }
        self.met = true;
        if self.manager() == Some(node) {
            self.ask_in(now);
        } else {
            self.send(node, SessionMessage::Find { session: self.config.invite.session });
        }
    }

    /// A node can be talked to.
    pub fn on_joined(&mut self, node: NodeId, now: Instant) {
        if self.manager() == Some(node)
            && let Some(heir) = &mut self.heir
        {
            heir.on_reign(now);
        }
        match self.phase {
            Phase::In { .. } if self.manager() == Some(node) => self.ask_in(now),
            _ => self.on_connected(node, now),
        }
    }

    /// A node cannot be talked to any more.
    pub fn on_lost(&mut self, node: NodeId, now: Instant) {
        if self.manager() != Some(node) {
            return;
        }
        if let Some(heir) = &mut self.heir {
            heir.on_lost(now);
        }
        match &mut self.phase {
            Phase::In { orphaned } => {
                orphaned.get_or_insert(now);
                let trouble = "the host does not answer; going on without it for now".to_owned();
                self.events.push_back(Event::Trouble(trouble));
            }
            Phase::Leaving { .. } => self.finish(Ending::Regular("left")),
            Phase::Finding { .. } | Phase::Joining { .. } | Phase::Ended => {}
        }
    }

    /// Nobody answers at an address that was to be tried.
    pub fn on_unanswered(&mut self, addr: std::net::SocketAddr, now: Instant) {
        let Phase::Finding { deadline } = &mut self.phase else { return };
        if self.config.invite.entry_points.contains(&addr) {
            self.silent.insert(addr);
        }
        if !self.met && self.silent.len() == self.config.invite.entry_points.len() {
            // All entry points have failed; only what mDNS or a bootstrap finds at once can help.
            *deadline = (*deadline).min(now + IGNORANCE_TIMEOUT);
        }
    }

    /// The session's record has been found.
    pub fn on_record(&mut self, record: &Record, now: Instant) {
        let Invite { session, secret, .. } = &self.config.invite;
        if let Some(SessionRecord { delegation, addrs }) = SessionRecord::open(record, *session, secret) {
            self.on_found(self.me, delegation, addrs, now);
        }
    }

    /// Where the session's record is.
    #[must_use]
    pub fn record_key(&self) -> Position {
        record_key(self.config.invite.session, &self.config.invite.secret)
    }

    /// A message of this session, or an answer to a question of ours.
    pub fn handle_message(&mut self, from: NodeId, message: SessionMessage, now: Instant) {
        match message {
            SessionMessage::Find { .. } => {
                if let Some(delegation) = self.delegation.clone() {
                    let addrs = self.roster.by_node(delegation.manager).map(|m| m.addrs.clone());
                    self.send(from, SessionMessage::Found { delegation, addrs: addrs.unwrap_or_default() });
                }
            }
            SessionMessage::Found { delegation, addrs } => self.on_found(from, delegation, addrs, now),
            SessionMessage::NotFound { .. } => self.on_not_found(from, now),
            SessionMessage::Claim(claim) => self.on_claim(from, &claim, now),
            _ if self.manager() != Some(from) => {}
            SessionMessage::Refused { reason, .. } => self.on_refused(reason),
            SessionMessage::Welcome { title, index, roster, clock_us, .. } => {
                self.clock_us = clock_us;
                self.on_welcome(title, index, roster);
            }
            SessionMessage::Admit { attempt, welcome, .. } => {
                self.outputs.extend(self.group.on_admit(attempt, &welcome, from));
            }
            SessionMessage::Commit { commit, .. } => {
                self.outputs.extend(self.group.on_commit(&commit, from));
            }
            SessionMessage::Appoint(appointment) => self.on_appoint(*appointment, now),
            SessionMessage::Reign { .. } => {
                if let Some(heir) = &mut self.heir {
                    heir.on_reign(now);
                }
            }
            SessionMessage::Abdicate { .. } if matches!(self.phase, Phase::In { .. }) => {
                self.outputs.push_back(Output::TakeOver(Duration::ZERO));
            }
            SessionMessage::Joined { member, .. } if self.roster.by_node(member.node).is_none() => {
                self.roster.insert(member.clone());
                self.events.push_back(Event::MemberJoined(member));
            }
            SessionMessage::Left { node, departure: Departure::Kicked, .. } if node == self.me => {
                self.finish(Ending::Regular("kicked by the host"));
            }
            SessionMessage::Rules(signed) => {
                let rules = Rules::read(&signed, self.config.invite.session);
                if let Some(rules) = rules.filter(|rules| rules.version >= self.rules.version) {
                    self.rules = rules;
                }
            }
            SessionMessage::Secret { secret, .. } => {
                self.config.invite.secret = secret;
                self.events.push_back(Event::Secret(secret));
            }
            SessionMessage::Left { node, departure, .. } => {
                let known = self.roster.remove(node);
                self.events.extend(known.map(|_| Event::MemberLeft(node, departure)));
            }
            SessionMessage::Farewell { .. } if matches!(self.phase, Phase::Leaving { .. }) => {
                self.finish(Ending::Regular("left"));
            }
            SessionMessage::End { .. } => self.finish(Ending::Regular("the host ended the session")),
            _ => {}
        }
    }

    /// Starts to leave.
    pub fn leave(&mut self, now: Instant) {
        match (self.phase, self.manager()) {
            (Phase::In { orphaned: None }, Some(manager)) => {
                self.send(manager, SessionMessage::Leave { session: self.config.invite.session });
                self.phase = Phase::Leaving { deadline: now + LEAVE_TIMEOUT };
            }
            (Phase::Leaving { .. } | Phase::Ended, _) => {}
            _ => self.finish(Ending::Regular("left")),
        }
    }

    /// Does what is due. A call too early does no harm.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.poll_timeout().is_none_or(|at| at > now) {
            return;
        }
        if let (Phase::In { .. }, Some(heir)) = (self.phase, &mut self.heir)
            && heir.due().is_some_and(|due| due <= now)
        {
            self.outputs.push_back(Output::TakeOver(heir.silent(now)));
            heir.postpone(now);
            return;
        }
        if matches!(self.phase, Phase::In { .. }) && self.group.asks_at().is_some_and(|at| at <= now) {
            self.ask_in(now);
        }
        if matches!(self.phase, Phase::Finding { .. } | Phase::Joining { .. }) && self.retry_at <= now {
            self.retry_at = now + RETRY;
            self.asked.clear();
            self.ignorant.clear();
            self.outputs.push_back(Output::AskAround);
        }
        if self.deadline().is_none_or(|at| at > now) {
            return;
        }
        let (what, advice) = match self.phase {
            Phase::Leaving { .. } => return self.finish(Ending::Regular("left")),
            Phase::Finding { .. } if !self.met => {
                ("nobody answers at the session's entry points", ADVICE_REACH)
            }
            Phase::Finding { .. } => {
                ("no session of this id is known there: it has ended or moved", ADVICE_GONE)
            }
            Phase::Joining { .. } => ("the host does not answer", ADVICE_REACH),
            Phase::In { .. } => ("the host is gone", "start a new session with alm host"),
            Phase::Ended => return,
        };
        self.finish(Ending::Failed { what: what.to_owned(), advice });
    }

    /// When to call [`handle_timeout`](Self::handle_timeout).
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let more = match self.phase {
            Phase::In { .. } => {
                self.heir.as_ref().and_then(Heir::due).into_iter().chain(self.group.asks_at()).min()
            }
            Phase::Finding { .. } | Phase::Joining { .. } => Some(self.retry_at),
            Phase::Leaving { .. } | Phase::Ended => None,
        };
        self.deadline().into_iter().chain(more).min()
    }

    /// When the phase comes to its end.
    fn deadline(&self) -> Option<Instant> {
        match self.phase {
            Phase::Finding { deadline } | Phase::Joining { deadline } | Phase::Leaving { deadline } => {
                Some(deadline)
            }
            Phase::In { orphaned } => orphaned.map(|since| since + ORPHAN_TIMEOUT),
            Phase::Ended => None,
        }
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// The next thing to know.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    fn on_found(
        &mut self,
        from: NodeId,
        delegation: Delegation,
        addrs: Vec<std::net::SocketAddr>,
        now: Instant,
    ) {
        let newer = self.delegation.as_ref().is_none_or(|known| delegation.supersedes(known));
        // Who is in believes its manager alone, which has stepped down.
        let is_in = matches!(self.phase, Phase::In { .. }) && self.manager() == Some(from);
        let looking = is_in || matches!(self.phase, Phase::Finding { .. } | Phase::Joining { .. });
        // A signature is proven last: it costs the most.
        if !newer || !looking || delegation.session() != Some(self.config.invite.session) {
            return;
        }
        let manager = delegation.manager;
        (self.delegation, self.heir) = (Some(delegation), None);
        if !is_in {
            self.phase = Phase::Joining { deadline: now + JOIN_TIMEOUT };
        }
        if from == manager {
            self.ask_in(now);
        } else {
            self.asked.remove(&manager);
            self.outputs.push_back(Output::Want(Contact { node: manager, addrs }));
        }
    }

    fn on_not_found(&mut self, from: NodeId, now: Instant) {
        if self.asked.contains(&from) && matches!(self.phase, Phase::Finding { .. }) {
            self.ignorant.insert(from);
            if self.ignorant.len() == self.asked.len()
                && let Phase::Finding { deadline } = &mut self.phase
            {
                *deadline = (*deadline).min(now + IGNORANCE_TIMEOUT);
            }
        }
    }

    fn on_appoint(&mut self, appointment: Appointment, now: Instant) {
        let known = self.delegation.as_ref();
        let word = &appointment.delegation;
        let later = known.is_some_and(|known| word.manager == self.me && word.supersedes(known));
        if later && word.session() == Some(self.config.invite.session) {
            self.heir = Some(Heir::new(appointment, now));
        }
    }

    /// Somebody is the manager now, and says by whose word.
    fn on_claim(&mut self, from: NodeId, claim: &Claim, now: Instant) {
        let word = &claim.delegation;
        if self.manager() == Some(from) && self.delegation.as_ref() == Some(word) {
            // It takes this node for lost.
            return self.ask_in(now);
        }
        let Some(before) = self.delegation.as_ref().filter(|known| word.supersedes(known)) else { return };
        if word.manager != from || word.session() != Some(self.config.invite.session) {
            return;
        }
        if claim.silent_ms > 0 && matches!(self.phase, Phase::In { .. }) {
            let silent = Duration::from_millis(claim.silent_ms.into());
            self.outputs.push_back(Output::Replaced(before.manager, silent));
        }
        (self.delegation, self.clock_us, self.heir) = (Some(word.clone()), claim.clock_us, None);
        match self.phase {
            Phase::In { .. } => self.phase = Phase::In { orphaned: None },
            Phase::Leaving { .. } => {
                self.send(from, SessionMessage::Leave { session: self.config.invite.session });
            }
            Phase::Finding { .. } => self.phase = Phase::Joining { deadline: now + JOIN_TIMEOUT },
            Phase::Joining { .. } | Phase::Ended => {}
        }
        // The new manager tells who is in, as it sees it.
        self.ask_in(now);
    }

    fn ask_in(&mut self, now: Instant) {
        if !matches!(self.phase, Phase::Joining { .. } | Phase::In { .. }) {
            return;
        }
        let Some(manager) = self.manager() else { return };
        let MemberConfig { invite, name, salt, degree, records } = self.config.clone();
        let proof = admission_proof(&invite.secret, invite.session, self.me, manager);
        let (attempt, key_package, mark) = self.group.apply(now);
        let session = invite.session;
        let join =
            SessionMessage::Join { session, proof, name, salt, degree, records, key_package, attempt, mark };
        self.send(manager, join);
    }

    fn on_refused(&mut self, reason: Refusal) {
        let (what, advice) = match reason {
            Refusal::WrongSecret => {
                ("the host does not admit this id: its secret is wrong or out of date", ADVICE_GONE)
            }
            Refusal::Locked => ("the host lets nobody in", "ask the host to unlock the session"),
            Refusal::Banned => ("the host has banned this machine", "ask the host"),
            Refusal::KeyPackage => {
                ("the host does not accept this machine's key", "set the clock of this machine")
            }
            Refusal::Full => ("the session is full", "try again when somebody has left"),
        };
        self.finish(Ending::Failed { what: what.to_owned(), advice });
    }

    fn on_welcome(&mut self, title: String, index: u16, roster: Vec<Participant>) {
        let first = matches!(self.phase, Phase::Joining { .. });
        if !first && !matches!(self.phase, Phase::In { .. }) {
            return;
        }
        let mut fresh = Roster::default();
        roster.into_iter().for_each(|member| fresh.insert(member));
        let Some(own) = fresh.by_node(self.me).filter(|own| own.index == index).cloned() else { return };
        self.phase = Phase::In { orphaned: None };
        if let (true, Some(manager)) = (first, self.manager()) {
            self.title = super::clean_name(&title);
            self.events.push_back(Event::Entered { title: self.title.clone(), manager, own });
        }
        let gone: Vec<NodeId> = self
            .roster
            .iter()
            .filter(|old| fresh.by_node(old.node).is_none_or(|new| new.index != old.index))
            .map(|old| old.node)
            .collect();
        for node in gone {
            self.roster.remove(node);
            self.events.push_back(Event::MemberLeft(node, Departure::Lost));
        }
        for member in fresh.iter() {
            if self.roster.by_node(member.node).is_none() {
                self.events.push_back(Event::MemberJoined(member.clone()));
            }
        }
        fresh.remember_all(&self.roster);
        self.roster = fresh;
    }

    fn finish(&mut self, ending: Ending) {
        self.phase = Phase::Ended;
        self.events.push_back(Event::Ended(ending));
    }

    fn send(&mut self, to: NodeId, message: SessionMessage) {
        self.outputs.push_back(Output::Message(to, message));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::SessionId;
    use crate::testing::origin;

    #[test]
    fn a_node_that_knows_nothing_of_the_session_is_not_nobody() {
        let now = origin();
        let invite = Invite { session: SessionId([9; 20]), secret: [0; 16], entry_points: vec![] };
        let config = MemberConfig { invite, name: "ann".into(), salt: [0; 16], degree: 2, records: false };
        let mut member = Member::new(&Arc::new(Identity::from_seed([1; 32])), config, now);
        let node = Identity::from_seed([2; 32]).node_id();
        member.on_joined(node, now);
        while !member.is_over() {
            let due = member.poll_timeout().unwrap();
            member.handle_timeout(due);
        }
        let ending = std::iter::from_fn(|| member.poll_event()).last();
        assert!(
            matches!(ending, Some(Event::Ended(Ending::Failed { what, .. })) if what.contains("no session"))
        );
    }
}
