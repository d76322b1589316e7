//! The manager's office: who is to have it next, that its holder lives, how it is taken and given up.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use alm_media::Group;

use super::{Manager, ManagerConfig};
use crate::identity::{Identity, NodeId};
use crate::pool::Contact;
use crate::session::graft::{Graft, Grown};
use crate::session::message::{Departure, SessionMessage};
use crate::session::plan::SessionPlan;
use crate::session::roster::{Participant, Roster};
use crate::session::succession::{Appointment, Charter, Claim, REIGN_INTERVAL, WATCHING_MAX, heirs};
use crate::session::{Ending, Event, MemberConfig, Output};

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Office {
    heirs: Vec<NodeId>,
    /// What they have been told.
    charter: Option<Charter>,
    reign_at: Instant,
    /// Given up: when to go, whether anybody has taken over or not.
    abdicated: Option<Instant>,
    /// Just taken over: who has not followed yet, and when they are taken for lost.
    roll_call: Option<(Instant, BTreeSet<NodeId>)>,
}

/// What an heir takes over.
pub struct Estate {
    /// Its appointment.
    pub appointment: Appointment,
    /// As which member it was in.
    pub config: MemberConfig,
    /// Who is in, the manager before included.
    pub roster: Roster,
    /// What carries the media, and who has been grafted to it.
    pub plan: Option<(SessionPlan, Vec<Graft>)>,
    /// The session's clock minus the heir's own, microseconds.
    pub clock_us: i64,
    /// The members' group, where the heir is in it.
    pub group: Option<Group>,
    /// The manager before, and for how long it has been silent; no time at all if it has asked for this.
    pub before: (NodeId, Duration),
}

/// How long a manager that leaves waits for an heir to take over.
const ABDICATION_TIMEOUT: Duration = Duration::from_millis(800);
/// How long members have to follow a new manager: two long round trips, and a new connection.
const ROLL_CALL: Duration = Duration::from_millis(1_500);
/// And so much longer for each of them: the new manager connects to them all.
const ROLL_CALL_A_MEMBER: Duration = Duration::from_millis(10);
/// Numbers of sources left out by a new manager: those that the one before may have given away last.
const INDEX_STEP: u16 = 64;

impl Office {
    pub(super) fn new(now: Instant) -> Self {
        Self { heirs: vec![], charter: None, reign_at: now, abdicated: None, roll_call: None }
    }

    /// Who may take over, first come first.
    pub(super) fn heirs(&self) -> &[NodeId] {
        &self.heirs
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let reign = (!self.heirs.is_empty()).then_some(self.reign_at);
        let roll_call = self.roll_call.as_ref().map(|(at, _)| *at);
        reign.into_iter().chain(self.abdicated).chain(roll_call).min()
    }
}

impl Manager {
    /// Takes over. `None` if this node is not in the roster that it has.
    #[must_use]
    pub fn succeed(identity: Arc<Identity>, estate: Estate, now: Instant) -> Option<Self> {
        let Estate { appointment, config, roster, plan, clock_us, group, before } = estate;
        let own = roster.by_node(identity.node_id())?.clone();
        let Charter { title, objective, priority, grant, helpers, protect, next_index, rules } =
            appointment.charter;
        let secret = config.invite.secret;
        let last_index = roster.iter().map(|member| member.index).max().unwrap_or(0);
        let manager = ManagerConfig { title, objective, priority, grant, helpers, protect, secret, own };
        let mut manager = Self::with(identity, appointment.delegation, manager, group, now);
        manager.events.clear();
        manager.roster = roster;
        manager.next_index = next_index.max(last_index + 1).wrapping_add(INDEX_STEP);
        (manager.clock_us, manager.rules) = (clock_us, rules);
        // Those who follow are still of the epoch that the manager before has left them.
        let roll_call = now + ROLL_CALL + ROLL_CALL_A_MEMBER * manager.roster.len() as u32;
        manager.members.wait_until(roll_call);
        manager.epoch = plan.as_ref().map_or(0, |(plan, _)| plan.epoch);
        let helpers = plan.iter().flat_map(|(plan, _)| plan.helpers.iter().map(|h| (*h, plan.degree_of(*h))));
        manager.leases = helpers.collect();
        manager.installed = plan.and_then(|(plan, grafts)| Grown::new(plan, grafts).ok());
        let (lost, silent) = before;
        let others = manager.others();
        for other in others.iter().copied() {
            let addrs = manager.roster.by_node(other).map(|member| member.addrs.clone());
            let contact = Contact { node: other, addrs: addrs.unwrap_or_default() };
            manager.outputs.push_back(Output::Want(contact));
            let claim = manager.own_claim(silent);
            manager.send(other, SessionMessage::Claim(Box::new(claim)));
        }
        if !silent.is_zero() {
            manager.remove(lost, Departure::Lost);
        }
        manager.office.roll_call = Some((roll_call, manager.others().into_iter().collect()));
        manager.wanted = Some(if silent.is_zero() { "host handed over" } else { "host lost" });
        Some(manager)
    }

    /// Leaves: an heir is asked to take over, and this node goes on as a member until it is let go. Without an heir, the
    /// session ends.
    pub fn leave(&mut self, now: Instant) {
        match self.office.heirs.first() {
            Some(heir) if self.office.abdicated.is_none() => {
                let heir = *heir;
                self.send(heir, SessionMessage::Abdicate { session: self.session });
                self.office.abdicated = Some(now + ABDICATION_TIMEOUT);
            }
            Some(_) => {}
            None => self.end(),
        }
    }

    /// True for a manager that is on its way out.
    #[must_use]
    pub fn is_leaving(&self) -> bool {
        self.office.abdicated.is_some()
    }

    /// As which member this node goes on when another one has taken over.
    #[must_use]
    pub fn retire(self) -> (MemberConfig, String, Roster, Group) {
        let ManagerConfig { title, secret, own, .. } = self.config;
        let Participant { name, salt, degree, records, .. } = own;
        let invite = crate::session::Invite { session: self.session, secret, entry_points: vec![] };
        let config = MemberConfig { invite, name, salt, degree, records };
        (config, title, self.roster, self.members.into_group())
    }

    /// The session's clock minus this node's own, microseconds.
    #[must_use]
    pub fn clock_us(&self) -> i64 {
        self.clock_us
    }

    /// A node can be talked to. If it was in before, it may follow somebody else.
    pub fn on_joined(&mut self, node: NodeId) {
        self.forbidden.retain(|(a, b), _| *a != node && *b != node);
        self.remind(node);
    }

    /// Tells a node that was in, and may follow somebody else, who manages the session.
    pub fn remind(&mut self, node: NodeId) {
        let has_to_follow =
            self.office.roll_call.as_ref().is_some_and(|(_, missing)| missing.contains(&node));
        if has_to_follow || self.roster.knew(node) {
            self.claim_to(node);
        }
    }

    pub(super) fn on_claim(&mut self, from: NodeId, claim: Box<Claim>) {
        let word = &claim.delegation;
        if !word.supersedes(&self.delegation) {
            self.claim_to(from);
        } else if word.manager == from && word.session() == Some(self.session) {
            // Those who followed this one follow as well, rather than wait for its heirs.
            for other in self.others() {
                let found = SessionMessage::Found { delegation: word.clone(), addrs: vec![] };
                self.send(other, found);
            }
            self.outputs.push_back(Output::StepDown(claim));
        }
    }

    /// A member follows.
    pub(super) fn on_present(&mut self, node: NodeId, now: Instant) {
        if let Some((_, missing)) = &mut self.office.roll_call
            && missing.remove(&node)
            && missing.is_empty()
        {
            self.members.wait_until(now);
        }
    }

    pub(super) fn claim_to(&mut self, node: NodeId) {
        if node != self.me {
            let claim = self.own_claim(Duration::ZERO);
            self.send(node, SessionMessage::Claim(Box::new(claim)));
        }
    }

    /// Names the heirs, where there are others than before or they need to know more.
    pub(super) fn appoint_heirs(&mut self) {
        let members = self.roster.iter().map(|member| (member.index, member.node, member.degree));
        let heirs = heirs(members, self.me);
        let ManagerConfig { title, objective, priority, grant, helpers, protect, .. } = &self.config;
        let (objective, priority, protect, next_index) = (*objective, *priority, *protect, self.next_index);
        let charter = Charter {
            title: title.clone(),
            objective,
            priority,
            grant: grant.clone(),
            helpers: helpers.clone(),
            protect,
            next_index,
            rules: self.rules.clone(),
        };
        if self.office.heirs == heirs && self.office.charter.as_ref() == Some(&charter) {
            return;
        }
        for (rank, heir) in (0u8..).zip(&heirs) {
            let term = self.delegation.term + 1 + u64::from(rank);
            let Some(delegation) = self.delegation.appoint(&self.identity, *heir, term) else { return };
            let appointment = Appointment { delegation, rank, charter: charter.clone() };
            self.outputs.push_back(Output::Message(*heir, SessionMessage::Appoint(Box::new(appointment))));
        }
        (self.office.heirs, self.office.charter) = (heirs, Some(charter));
    }

    /// Tells the first heirs that their manager lives, and goes when it is time.
    pub(super) fn reign(&mut self, now: Instant) {
        if self.office.abdicated.is_some_and(|at| at <= now) {
            self.events.push_back(Event::Ended(Ending::Regular("left")));
            return;
        }
        if let Some((_, missing)) = self.office.roll_call.take_if(|(at, _)| *at <= now) {
            for node in missing {
                self.remove(node, Departure::Lost);
                self.plan_without(node, "lost", now);
            }
        }
        if self.office.reign_at <= now {
            self.office.reign_at = now + REIGN_INTERVAL;
            for heir in self.office.heirs.iter().take(WATCHING_MAX).copied().collect::<Vec<_>>() {
                self.send(heir, SessionMessage::Reign { session: self.session });
            }
        }
    }

    fn own_claim(&self, silent: Duration) -> Claim {
        let silent_ms = silent.as_millis().min(u32::MAX.into()) as u32;
        Claim { delegation: self.delegation.clone(), clock_us: self.clock_us, silent_ms }
    }
}
