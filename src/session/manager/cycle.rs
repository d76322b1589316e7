//! The task manager's cycle: snapshot, plan, reserve, install, activate.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use alm_media::LINKS_MAX;

use super::{FAREWELL_DELAY, Manager};
use crate::identity::NodeId;
use crate::pool::{HelpersFrom, NodeReport, Reservation};
use crate::session::graft::Grown;
use crate::session::plan::SessionPlan;
use crate::session::planning::{FOREST_MEMBERS_MAX, Planned, PlanningJob, number};
use crate::session::reach::forbidden;
use crate::session::{Event, Output, SessionMessage};

/// Where the cycle stands.
#[derive(Debug)]
pub(super) enum Phase {
    /// The installed plan stands.
    Idle,
    /// The pool is asked for a snapshot, perhaps for new helpers too; it answers in any case.
    Querying { wide: bool },
    /// The planner is at work; it answers in any case.
    Planning(Box<PlanningJob>),
    /// Links that the plan would like to use are measured first.
    Probing { job: Box<PlanningJob>, waiting: BTreeSet<NodeId>, deadline: Instant },
    /// Helpers are asked for degrees.
    Reserving { plan: SessionPlan, waiting: BTreeSet<NodeId>, deadline: Instant },
    /// Nodes are taking up the epoch.
    Installing { plan: SessionPlan, waiting: BTreeSet<NodeId>, deadline: Instant },
}

/// How long helpers may take to answer a reservation.
const RESERVE_TIMEOUT: Duration = Duration::from_secs(1);
/// How long nodes may take to connect to their neighbours and take up an epoch.
pub(super) const INSTALL_TIMEOUT: Duration = Duration::from_secs(3);
/// A lease, and how often it is renewed.
const LEASE: Duration = Duration::from_secs(60);
const RENEWAL: Duration = Duration::from_secs(20);
/// A helper that refused, vanished or was preempted is not asked again for this long; neither is a pair that did not
/// connect.
pub(super) const EXCLUSION: Duration = Duration::from_secs(30);
/// One that has said that it is of a pool which it is not of.
const STRANGER_EXCLUSION: Duration = Duration::from_secs(600);
/// A review moves edges only for an objective that is less by this much and this share, or to let a helper go.
const REVIEW_GAIN_MS: f64 = 3.0;
const REVIEW_GAIN_SHARE: f64 = 0.05;
/// The reason of a plan that nothing asked for.
pub(super) const REVIEW_REASON: &str = "review";
/// The reason of one that somebody has come for. Any other plan has room for who has come as well.
pub(super) const JOIN_REASON: &str = "joined";
/// The reason of a plan that is the old one, now that its links have been measured.
const MEASURED_REASON: &str = "measured";
/// How long a snapshot of the pool is good for plans that must not wait: two reviews.
const REPORTS_LIFE: Duration = Duration::from_secs(30);
/// How long a helper that carries less by the new plan, or nothing, is held for the old one's packets.
const RELEASE_DELAY: Duration = Duration::from_secs(2);

impl Manager {
    /// A plan is wanted; it is begun as soon as the one under way has come to its end.
    pub(super) fn want(&mut self, reason: &'static str, now: Instant) {
        let weighs_less =
            |wanted| wanted == REVIEW_REASON || wanted == JOIN_REASON && reason != REVIEW_REASON;
        if self.wanted.is_none_or(weighs_less) {
            self.wanted = Some(reason);
        }
        // Looking for helpers can wait, who has come or gone cannot.
        if matches!(self.phase, Phase::Querying { wide: true } | Phase::Probing { .. })
            && reason != REVIEW_REASON
        {
            self.phase = Phase::Idle;
        }
        self.advance(now);
    }

    fn advance(&mut self, now: Instant) {
        let Some(reason) = self.wanted.filter(|_| matches!(self.phase, Phase::Idle)) else { return };
        let wide = (reason == REVIEW_REASON || self.trouble.is_some()) && self.roster.len() > 1;
        self.phase = Phase::Querying { wide };
        // Who waits to be heard is not made to wait for the pool; the review that follows asks it.
        if reason != REVIEW_REASON && !self.reports.is_empty() && now < self.reports_end {
            self.plan_on_reports(wide, now);
        } else {
            let members = self.roster.iter().map(|member| member.node).filter(|node| *node != self.me);
            let priority = wide.then_some(self.config.priority);
            let from = self.config.helpers.clone();
            self.outputs.push_back(Output::Query(members.collect(), priority, from));
        }
    }

    /// Gives up the epoch under way and begins anew.
    fn restart(&mut self, reason: &'static str, now: Instant) {
        self.phase = Phase::Idle;
        self.want(reason, now);
    }

    /// Does what is due. A call too early does no harm.
    pub fn handle_timeout(&mut self, now: Instant) {
        let due = |at: &Instant| *at <= now;
        for (_, node) in self.farewells.extract_if(.., |(at, _)| due(at)).collect::<Vec<_>>() {
            self.send(node, SessionMessage::Farewell { session: self.session });
        }
        for (_, helper) in self.releases.extract_if(.., |(at, _)| due(at)).collect::<Vec<_>>() {
            self.give_back(helper);
        }
        self.excluded.retain(|_, until| !due(until));
        self.forbidden.retain(|_, until| !due(until));
        self.bad_ways.forget(now);
        self.reign(now);
        self.change_group(now);
        if due(&self.renew_at) {
            self.renew_at = now + RENEWAL;
            for (helper, degrees) in self.leases.clone() {
                self.reserve(helper, degrees);
            }
        }
        if self.doubts_at.as_ref().is_some_and(due) {
            self.doubts_at = None;
            self.want("relay silent", now);
        }
        if self.reviews.begin(now) {
            self.want(REVIEW_REASON, now);
        }
        match &self.phase {
            Phase::Reserving { waiting, deadline, .. } if due(deadline) => {
                for helper in waiting.clone() {
                    self.excluded.insert(helper, now + EXCLUSION);
                }
                self.restart("helper silent", now);
            }
            Phase::Probing { deadline, .. } if due(deadline) => self.plan_on_probes(now),
            Phase::Installing { waiting, deadline, .. } if due(deadline) => {
                let silent: Vec<NodeId> =
                    waiting.iter().copied().filter(|node| self.roster.by_node(*node).is_none()).collect();
                if silent.is_empty() {
                    // A member that does not answer is about to be lost; the others need not wait for that.
                    self.activate(now);
                } else {
                    for helper in silent {
                        self.excluded.insert(helper, now + EXCLUSION);
                    }
                    self.restart("helper silent", now);
                }
            }
            _ => self.advance(now),
        }
    }

    /// When to call [`handle_timeout`](Self::handle_timeout).
    #[must_use]
    pub fn poll_timeout(&self) -> Instant {
        let deadline = match &self.phase {
            Phase::Probing { deadline, .. }
            | Phase::Reserving { deadline, .. }
            | Phase::Installing { deadline, .. } => Some(*deadline),
            Phase::Idle | Phase::Querying { .. } | Phase::Planning(_) => None,
        };
        let renewal = (!self.leases.is_empty()).then_some(self.renew_at);
        let later = self.farewells.iter().chain(&self.releases).map(|(at, _)| *at);
        later
            .chain(deadline)
            .chain(renewal)
            .chain(self.doubts_at)
            .chain(self.office.poll_timeout())
            .chain(self.members.poll_timeout())
            .fold(self.reviews.due_at(), Instant::min)
    }

    /// The pool's answer.
    pub fn on_snapshot(&mut self, reports: Vec<NodeReport>, now: Instant) {
        if let Phase::Querying { wide } = self.phase {
            (self.reports, self.reports_end) = (reports, now + REPORTS_LIFE);
            self.plan_on_reports(wide, now);
        }
    }

    fn plan_on_reports(&mut self, wide: bool, now: Instant) {
        let reports = &self.reports;
        let reported: BTreeMap<NodeId, u32> =
            reports.iter().map(|report| (report.node, report.degree_bound)).collect();
        let degree =
            |member: NodeId, told: u32| reported.get(&member).copied().unwrap_or(told).min(LINKS_MAX as u32);
        let mut members: Vec<(NodeId, u32)> =
            self.roster.iter().map(|member| (member.node, degree(member.node, member.degree))).collect();
        members.sort_by_key(|(node, _)| *node != self.me);
        let reason = self.wanted.take().unwrap_or(REVIEW_REASON);
        let review = self.reviews.is_careful(reason == REVIEW_REASON, now);
        let job = PlanningJob {
            session: self.session,
            objective: self.config.objective,
            priority: self.config.priority,
            protect: self.config.protect,
            speakers: self.speakers.chosen().to_vec(),
            members,
            reports: reports.iter().filter(|report| self.may_use(report)).cloned().collect(),
            excluded: self.excluded.keys().copied().collect(),
            forbidden: self
                .forbidden
                .keys()
                .copied()
                .chain(self.bad_ways.avoided(now))
                .chain(forbidden(reports))
                .collect(),
            current: self.installed.as_ref().map(|grown| grown.plan().clone()),
            joiners: self.joiners(reason),
            review,
            reason,
            probed: self.probes.measured(),
            probes: 0,
            // Without time to measure, what has not been measured is not used.
            measured_only: !wide,
        };
        self.plan(job);
    }

    /// Members, and machines that say that they are of a pool which this session takes helpers of.
    fn may_use(&self, report: &NodeReport) -> bool {
        self.config.helpers.may_take(report.of) || self.roster.by_node(report.node).is_some()
    }

    pub(super) fn plan(&mut self, job: PlanningJob) {
        self.phase = Phase::Planning(Box::new(job.clone()));
        self.outputs.push_back(Output::Plan(Box::new(job)));
    }

    /// The planner's answer, and how long it took.
    pub fn on_planned(&mut self, planned: Planned, elapsed: Duration, now: Instant) {
        let job = match std::mem::replace(&mut self.phase, Phase::Idle) {
            Phase::Planning(job) => job,
            other => {
                self.phase = other;
                return;
            }
        };
        if !planned.grafts.is_empty() {
            self.graft(&planned.grafts, now);
            self.advance(now);
            return;
        }
        let to_measure = self.to_measure(&job, &planned);
        let mut plan = match planned.plan {
            Ok(plan) => plan,
            Err(_) if !self.forbidden.is_empty() || self.bad_ways.avoided(now).next().is_some() => {
                // Ways that were closed for a while may be open again; whoever is not reached now will be missing.
                self.forbidden.clear();
                self.bad_ways.pardon(now);
                self.want(planned.reason, now);
                return;
            }
            Err(why) => {
                // Once per cause: a review finds the same every time.
                if self.trouble.as_ref() != Some(&why) {
                    self.events.push_back(Event::Trouble(format!("no plan: {why}")));
                    self.trouble = Some(why);
                    // With helpers that are still to be found there may be one.
                    self.reviews.hurry(now);
                }
                self.advance(now);
                return;
            }
        };
        self.trouble = None;
        if plan.objective != self.config.objective && !self.is_shared_said {
            self.is_shared_said = true;
            let what = format!(
                "above {FOREST_MEMBERS_MAX} members, one shared tree carries all voices but those of who speaks for long"
            );
            self.events.push_back(Event::Trouble(what));
        }
        if planned.unprotected != self.unprotected {
            self.unprotected.clone_from(&planned.unprotected);
            let why = self.unprotected.iter().map(|why| {
                Event::Trouble(format!("without protection for now, two trees do not fit: {why}"))
            });
            self.events.extend(why);
        }
        // Who is in has changed meanwhile; reviews can wait, changes cannot. Who has come can be grafted to this one.
        let can_wait = |wanted| wanted == REVIEW_REASON || wanted == JOIN_REASON && plan.is_large();
        if self.wanted.is_some_and(|wanted| !can_wait(wanted)) {
            self.advance(now);
            return;
        }
        if !to_measure.is_empty() {
            self.measure(*job, &to_measure, now);
            return;
        }
        let helpers_saved =
            self.installed.as_ref().is_some_and(|old| plan.helpers.len() < old.plan().helpers.len());
        let all_planned = self.installed.as_ref().is_some_and(|old| {
            let nodes = old.plan().nodes();
            self.roster.iter().all(|member| nodes.contains(&member.node))
        });
        let stands = |old: &Grown| {
            !old.plan().trees.iter().any(|tree| tree.edges.iter().any(|edge| job.forbids(*edge)))
        };
        let all_planned = all_planned && self.installed.as_ref().is_some_and(stands);
        let is_same = self.installed.as_ref().is_some_and(|old| same_edges(old.told(), &plan));
        let was_guess = self.installed.as_ref().is_some_and(|old| old.told().is_guess);
        let is_known = is_same && was_guess && !plan.is_guess;
        let is_idle = plan.reason == REVIEW_REASON && all_planned;
        let is_worth = !is_idle || worth_moving(planned.value_ms, helpers_saved);
        // Those who were grafted are in no plan yet that all have been told: then they are told the one that stands.
        let grafted = self.installed.as_ref().filter(|old| !is_worth && !old.grafts().is_empty());
        if let Some(standing) = grafted {
            plan = SessionPlan { reason: plan.reason, ..standing.plan().clone() };
        } else if !is_known && (is_same || !is_worth) {
            self.advance(now);
            return;
        }
        if is_known {
            // Now it is known what it comes to, and everybody is told.
            MEASURED_REASON.clone_into(&mut plan.reason);
        }
        plan.planned_us = elapsed.as_micros() as u64;
        self.epoch += 1;
        number(&mut plan, self.session, self.delegation.term, self.epoch);
        let needs = plan.degrees();
        let mut waiting = BTreeSet::new();
        for helper in plan.helpers.clone() {
            let degrees = needs.get(&helper).copied().unwrap_or(0);
            if self.leases.get(&helper).is_none_or(|held| *held < degrees) {
                self.reserve(helper, degrees);
                waiting.insert(helper);
            }
        }
        if waiting.is_empty() {
            self.install(plan, now);
        } else {
            self.phase = Phase::Reserving { plan, waiting, deadline: now + RESERVE_TIMEOUT };
        }
    }

    /// A helper's answer. `authority` finds out of whose pool it has proven to be; that costs two signatures.
    pub fn on_reserved(
        &mut self,
        helper: NodeId,
        granted: bool,
        authority: impl FnOnce() -> Option<NodeId>,
        now: Instant,
    ) {
        let asked = matches!(&self.phase, Phase::Reserving { waiting, .. } if waiting.contains(&helper));
        if granted
            && (asked || self.leases.contains_key(&helper))
            && self.config.helpers != HelpersFrom::Anybody
            && !self.config.helpers.take(authority())
        {
            self.outputs.push_back(Output::Release(helper));
            self.on_helper_gone(helper, "helper not of the pool", now);
            self.excluded.insert(helper, now + STRANGER_EXCLUSION);
            return;
        }
        let Phase::Reserving { plan, waiting, .. } = &mut self.phase else {
            if !granted && self.leases.contains_key(&helper) {
                self.on_helper_gone(helper, "lease not renewed", now);
            }
            return;
        };
        if !waiting.remove(&helper) {
            return;
        }
        if !granted {
            self.excluded.insert(helper, now + EXCLUSION);
            self.restart("helper refused", now);
            return;
        }
        self.leases.insert(helper, plan.degree_of(helper));
        if waiting.is_empty()
            && let Phase::Reserving { plan, .. } = std::mem::replace(&mut self.phase, Phase::Idle)
        {
            self.install(plan, now);
        }
    }

    /// A helper has given its degrees to somebody else.
    pub fn on_preempted(&mut self, helper: NodeId, now: Instant) {
        self.on_helper_gone(helper, "preempted", now);
    }

    pub(super) fn on_helper_gone(&mut self, helper: NodeId, reason: &'static str, now: Instant) {
        self.leases.remove(&helper);
        self.excluded.insert(helper, now + EXCLUSION);
        // What is known of the helpers is not true any more.
        self.reports_end = now;
        self.plan_without(helper, reason, now);
    }

    /// Plans anew if `node` is in what carries the media or is about to.
    pub(super) fn plan_without(&mut self, node: NodeId, reason: &'static str, now: Instant) {
        if let Phase::Reserving { plan, .. } | Phase::Installing { plan, .. } = &self.phase
            && plan.nodes().contains(&node)
        {
            self.restart(reason, now);
        } else if self.may_just_go(node) {
            self.reviews.on_change(false, now);
        } else if self.installed.as_ref().is_some_and(|grown| grown.plan().nodes().contains(&node)) {
            self.want(reason, now);
        }
    }

    /// A node's answer to an installation.
    pub(super) fn on_installed(
        &mut self,
        node: NodeId,
        epoch: u64,
        missing: &[NodeId],
        refused: Option<String>,
        now: Instant,
    ) {
        let Phase::Installing { plan, waiting, .. } = &mut self.phase else {
            return self.on_grafted(node, epoch, missing, refused, now);
        };
        if plan.epoch != epoch || !waiting.remove(&node) {
            return;
        }
        if let Some(why) = refused {
            if self.roster.by_node(node).is_none() {
                self.excluded.insert(node, now + EXCLUSION);
                self.restart("helper refused", now);
            } else if plan.is_large() && self.told_again.insert(node) {
                // It may not have the plan that it was told a change of.
                let plan = Grown::from(plan.clone());
                waiting.insert(node);
                self.send_whole(node, &plan);
            } else {
                self.events.push_back(Event::Trouble(format!("{} refused the plan: {why}", node.short())));
                if waiting.is_empty() {
                    self.activate(now);
                }
            }
            return;
        }
        // All nodes of the plan are listed for those alone who miss some.
        let nodes = if missing.is_empty() { BTreeSet::new() } else { plan.nodes() };
        let unreachable: Vec<NodeId> =
            missing.iter().copied().filter(|other| nodes.contains(other)).collect();
        if !unreachable.is_empty() {
            for other in unreachable {
                self.forbidden.insert((node, other), now + EXCLUSION);
            }
            self.restart("edge unreachable", now);
        } else if waiting.is_empty() {
            self.activate(now);
        }
    }

    /// Gives back what a helper holds beyond what it carries, now or as soon as the plan under way is installed.
    fn give_back(&mut self, helper: NodeId) {
        let under_way = match &self.phase {
            Phase::Reserving { plan, .. } | Phase::Installing { plan, .. } => Some(plan),
            Phase::Idle | Phase::Querying { .. } | Phase::Planning(_) | Phase::Probing { .. } => None,
        };
        let plans = self.installed.iter().map(Grown::plan).chain(under_way);
        let needed = plans.map(|plan| plan.degree_of(helper)).max().unwrap_or(0);
        let Some(held) = self.leases.get_mut(&helper).filter(|held| **held > needed) else { return };
        *held = needed;
        if needed > 0 {
            self.reserve(helper, needed);
        } else {
            self.leases.remove(&helper);
            self.outputs.push_back(Output::Release(helper));
        }
    }

    fn reserve(&mut self, helper: NodeId, degrees: u32) {
        self.requests = self.requests.wrapping_add(1);
        let reservation = Reservation {
            request: self.requests,
            session: self.session,
            priority: self.config.priority,
            degrees,
            lease_ms: LEASE.as_millis() as u32,
            grant: self.config.grant.clone(),
        };
        self.outputs.push_back(Output::Reserve(helper, reservation));
    }

    fn activate(&mut self, now: Instant) {
        let Phase::Installing { plan, .. } = std::mem::replace(&mut self.phase, Phase::Idle) else { return };
        let mut nodes = plan.nodes();
        nodes.extend(self.roster.iter().map(|member| member.node));
        for node in nodes {
            self.send(node, SessionMessage::Activate { session: self.session, epoch: plan.epoch });
        }
        let needs = plan.degrees();
        let holds_more = |(helper, held): &(&NodeId, &u32)| **held > needs.get(*helper).copied().unwrap_or(0);
        for (helper, _) in self.leases.iter().filter(holds_more) {
            self.releases.push((now + RELEASE_DELAY, *helper));
        }
        for leaver in std::mem::take(&mut self.leaving) {
            self.farewells.push((now + FAREWELL_DELAY, leaver));
        }
        self.appoint_heirs();
        if plan.reason != REVIEW_REASON && plan.reason != MEASURED_REASON {
            // In a large session most pairs are never measured.
            self.reviews.on_change(plan.is_guess && self.roster.is_mesh(), now);
        }
        self.installed = Some(plan.into());
        self.advance(now);
    }
}

fn worth_moving(value_ms: Option<(f64, f64)>, helpers_saved: bool) -> bool {
    value_ms.is_none_or(|(before, after)| {
        let shorter = before - after >= REVIEW_GAIN_MS && after <= before * (1.0 - REVIEW_GAIN_SHARE);
        shorter || (helpers_saved && after <= before)
    })
}

fn same_edges(a: &SessionPlan, b: &SessionPlan) -> bool {
    let edges = |plan: &SessionPlan| -> Vec<BTreeSet<(NodeId, NodeId)>> {
        plan.trees.iter().map(|tree| tree.edges.iter().copied().collect()).collect()
    };
    edges(a) == edges(b)
}
