//! Links that only places foretell are measured before a plan uses them (the patent plans on coordinates alone, which on
//! recorded latencies loses all that it gains): plan, measure the links that the plan would like, plan again.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::Manager;
use super::cycle::Phase;
use crate::identity::NodeId;
use crate::pool::{Contact, PoolNode};
use crate::session::Output;
use crate::session::planning::{Planned, PlanningJob};

/// Round trips that were measured for plans.
#[derive(Debug, Default)]
pub(super) struct Probes {
    known: BTreeMap<(NodeId, NodeId), (f32, Instant)>,
}

/// Measured for one plan: half the gain of helpers is kept at 35 on recorded latencies, three quarters at 110.
const PROBES_MAX: usize = 110;
/// Of those, in one round: what the first round finds too long is replaced in the next.
const PROBES_A_ROUND: usize = 40;
/// A round trip is believed for this long; while a link is in use its ends measure it all the time.
const BELIEVED_FOR: Duration = Duration::from_secs(600);
/// Round trips remembered; the oldest make room.
const KNOWN_MAX: usize = 4_096;

impl Probes {
    /// How many links that no plan has asked for may be measured, to find better plans.
    pub(super) fn explorable(&self) -> usize {
        PROBES_MAX.saturating_sub(self.known.len()).min(PROBES_A_ROUND)
    }

    pub(super) fn measured(&self) -> Vec<(NodeId, NodeId, f32)> {
        self.known.iter().map(|((a, b), (ms, _))| (*a, *b, *ms)).collect()
    }

    fn learn(&mut self, by: NodeId, round_trips_ms: &[(NodeId, f32)], now: Instant) {
        self.known.retain(|_, (_, at)| now.saturating_duration_since(*at) < BELIEVED_FOR);
        for (to, ms) in round_trips_ms {
            self.known.insert((by.min(*to), by.max(*to)), (*ms, now));
        }
        while self.known.len() > KNOWN_MAX {
            let Some(oldest) = self.known.iter().min_by_key(|(_, (_, at))| *at).map(|(pair, _)| *pair) else {
                return;
            };
            self.known.remove(&oldest);
        }
    }
}

impl Manager {
    /// Links to measure before `planned` may be installed: those that it uses, and in a review those that may bring
    /// something. Where the places of newcomers are all that is known, the latter are most of what helpers bring.
    pub(super) fn to_measure(&self, job: &PlanningJob, planned: &Planned) -> Vec<(NodeId, NodeId)> {
        let explores = job.review && job.probes == 0;
        let room =
            if explores { self.probes.explorable().saturating_sub(planned.unmeasured.len()) } else { 0 };
        planned.unmeasured.iter().chain(planned.promising.iter().take(room)).copied().collect()
    }

    /// Has links measured that a plan would like to use, or does without what is left when enough were.
    pub(super) fn measure(&mut self, mut job: PlanningJob, links: &[(NodeId, NodeId)], now: Instant) {
        let room = PROBES_MAX.saturating_sub(job.probes as usize).min(PROBES_A_ROUND);
        let mut by: BTreeMap<NodeId, Vec<Contact>> = BTreeMap::new();
        for (a, b) in links.iter().take(room) {
            // Members are asked first: they have an interest in it.
            let (prober, target) = if self.roster.by_node(*a).is_some() { (*a, *b) } else { (*b, *a) };
            by.entry(prober).or_default().push(self.contact(target));
        }
        job.probes += links.len().min(room) as u32;
        if by.is_empty() || job.measured_only {
            job.measured_only = true;
            self.plan(job);
            return;
        }
        let waiting: BTreeSet<NodeId> = by.keys().copied().collect();
        for (prober, targets) in by {
            self.outputs.push_back(Output::Probe(prober, targets));
        }
        let deadline = now + PoolNode::probes_take_at_most();
        self.phase = Phase::Probing { job: Box::new(job), waiting, deadline };
    }

    /// What a node has measured, asked or not: it is one end of each link.
    pub fn on_probed(&mut self, by: NodeId, round_trips_ms: &[(NodeId, f32)], now: Instant) {
        let Phase::Probing { waiting, .. } = &mut self.phase else { return };
        if !waiting.remove(&by) {
            return;
        }
        let all_in = waiting.is_empty();
        self.probes.learn(by, round_trips_ms, now);
        if all_in {
            self.plan_on_probes(now);
        }
    }

    pub(super) fn plan_on_probes(&mut self, _now: Instant) {
        let Phase::Probing { job, .. } = std::mem::replace(&mut self.phase, Phase::Idle) else { return };
        let measured_only = job.probes as usize >= PROBES_MAX;
        self.plan(PlanningJob { probed: self.probes.measured(), measured_only, ..*job });
    }
}
