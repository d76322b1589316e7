//! What a task manager needs of the pool: reports of its members and of machines that could help, and round trips that
//! are measured where only places foretold them.
//!
//! A narrow query asks whom this node is connected to, and is answered within a round trip. A wide one asks SOMO's root
//! for helpers near the members first, and connects to them.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use rand::RngExt;

use super::greeting::known;
use super::{Event, FIRST_PINGS, PoolNode};
use crate::identity::NodeId;
use crate::pool::degree::Priority;
use crate::pool::grant::HelpersFrom;
use crate::pool::message::{
    ADDRS_MAX, Contact, NEAR_MAX, NodeReport, PoolMessage, Question, ROUND_TRIPS_MAX, TARGETS_MAX,
};
use crate::pool::peer::Place;
use crate::pool::somo::Helper;

/// A query under way.
#[derive(Debug)]
pub(super) struct Query {
    number: u32,
    deadline: Instant,
    /// Asked, and yet to answer.
    missing: BTreeSet<NodeId>,
    /// To be asked when they are connected.
    unconnected: BTreeSet<NodeId>,
    /// The root has yet to name helpers.
    asking: bool,
    /// Helpers asked so far.
    helpers: usize,
    /// Whom the helpers are to be near.
    members: Vec<NodeId>,
    reports: Vec<NodeReport>,
}

/// Round trips that are being measured.
#[derive(Debug)]
pub(super) struct Measuring {
    /// For whom, and its number; nobody: for this node's own session.
    by: Option<(NodeId, u32)>,
    targets: Vec<NodeId>,
    deadline: Instant,
}

/// Helpers that a query asks. More cost more than they bring: the root names the nearest first.
const HELPERS_ASKED_MAX: usize = 24;
/// How long a query waits for the slowest report, and for the root and new connections.
const NARROW_WITHIN: Duration = Duration::from_millis(600);
const WIDE_WITHIN: Duration = Duration::from_millis(2_500);
/// How long a measurement may take: a connection, and four round trips.
pub(super) const PROBE_WITHIN: Duration = Duration::from_millis(1_800);
/// How much longer the answer of one that measures for another may take.
const PROBE_SLACK: Duration = Duration::from_millis(700);
/// A helper of fewer free links is none.
const DEGREE_MIN: u8 = 2;
/// Round trips that a node measures for others: at once, and in a second after that. Connecting to a stranger costs both
/// about a millisecond, and must not become a weapon.
pub(super) const PROBES_BURST: f64 = 128.0;
const PROBES_PER_SECOND: f64 = 4.0;
/// Measurements at once.
const MEASURING_MAX: usize = 32;
/// No pong is waited for longer; a report of more is made up.
const ROUND_TRIP_MS_MAX: f32 = 60_000.0;

impl PoolNode {
    /// Asks `members` and the helpers at hand for reports; with a priority, also looks for more helpers near the members.
    /// Helpers are those that `from` may take. [`Event::Snapshot`] brings what has come, this node's own report first. A
    /// query under way is given up.
    pub fn query(&mut self, members: Vec<NodeId>, wide: Option<Priority>, from: &HelpersFrom, now: Instant) {
        let number = self.random.random();
        let deadline = now + if wide.is_some() { WIDE_WITHIN } else { NARROW_WITHIN };
        let lends = |node: NodeId| {
            let hello = self.links.get(node).and_then(|link| link.hello.as_ref());
            hello.is_some_and(|hello| hello.offer.lends && from.may_take(hello.offer.of))
        };
        let mut helpers: Vec<NodeId> =
            self.joined().filter(|node| lends(*node) && !members.contains(node)).collect();
        helpers.sort_by_key(|node| (self.distance(*node), *node));
        helpers.truncate(HELPERS_ASKED_MAX);
        let asked = helpers.len();
        let missing: BTreeSet<NodeId> =
            members.iter().copied().filter(|node| self.is_joined(*node)).chain(helpers).collect();
        for peer in &missing {
            self.tell(*peer, PoolMessage::ReportRequest { query: number });
        }
        let near = self.near(&members);
        let reports = vec![self.report()];
        let asking = wide.is_some() && !self.is_alone();
        let unconnected = BTreeSet::new();
        self.query =
            Some(Query { number, deadline, missing, unconnected, asking, helpers: asked, members, reports });
        if let (Some(priority), true) = (wide, asking) {
            let of = from.marks();
            self.ask(Question::Helpers { near, degrees: DEGREE_MIN, priority, of }, now);
        }
        self.finish_query_if_complete();
        self.wake = now;
    }

    /// Has `by`, or this node itself, measure round trips to some nodes; [`Event::Probed`] brings them.
    pub fn probe(&mut self, by: NodeId, targets: Vec<Contact>, now: Instant) {
        if by == self.me {
            self.measure(None, targets, now);
        } else {
            let request = self.random.random();
            self.tell(by, PoolMessage::Probe { request, targets });
        }
    }

    // Queries.

    /// How far a node is, as far as that is known.
    fn distance(&self, node: NodeId) -> Duration {
        let here = self.swarm.ring().me().place;
        let link = self.links.get(node);
        let foretold = || here.round_trip(link?.place);
        let measured = link.and_then(|link| link.round_trips.round_trip());
        measured.or_else(foretold).unwrap_or(Duration::MAX)
    }

    /// Places that stand for the members': this node's own, and those farthest from all before.
    fn near(&self, members: &[NodeId]) -> Vec<Place> {
        let here = self.swarm.ring().me().place;
        let others = members.iter().filter_map(|member| self.links.get(*member)).map(|link| link.place);
        let mut left: Vec<Place> = others.filter_map(known).collect();
        let mut near: Vec<Place> = known(here).into_iter().collect();
        while near.len() < NEAR_MAX && !left.is_empty() {
            let way = |place: &Place| near.iter().filter_map(|other| place.round_trip(*other)).min();
            let Some(farthest) = (0..left.len()).max_by_key(|i| way(&left[*i])) else { break };
            near.push(left.swap_remove(farthest));
        }
        near
    }

    /// The root has named helpers, or cannot be asked.
    pub(super) fn on_helpers(&mut self, helpers: &[Helper], now: Instant) {
        let Some(query) = self.query.as_mut().filter(|query| query.asking) else { return };
        query.asking = false;
        let number = query.number;
        for Helper { peer, .. } in helpers {
            let node = peer.node;
            let Some(query) = &mut self.query else { return };
            let known = node == self.me
                || query.members.contains(&node)
                || query.missing.contains(&node)
                || query.reports.iter().any(|report| report.node == node);
            if known || query.helpers >= HELPERS_ASKED_MAX {
                continue;
            }
            query.helpers += 1;
            if self.links.is_joined(node) {
                query.missing.insert(node);
                self.tell(node, PoolMessage::ReportRequest { query: number });
            } else {
                query.unconnected.insert(node);
                self.want(Contact { node, addrs: peer.addrs().collect() }, now);
            }
        }
        self.finish_query_if_complete();
        self.wake = now;
    }

    pub(super) fn on_joined_for_query(&mut self, node: NodeId) {
        if let Some(query) = &mut self.query
            && query.unconnected.remove(&node)
        {
            query.missing.insert(node);
            let query = query.number;
            self.tell(node, PoolMessage::ReportRequest { query });
        }
    }

    pub(super) fn on_report(&mut self, from: NodeId, number: u32, mut report: NodeReport, now: Instant) {
        let Some(query) = self.query.as_mut().filter(|query| query.number == number) else { return };
        if query.missing.remove(&from) {
            report.node = from;
            report.round_trips_ms.truncate(ROUND_TRIPS_MAX);
            report.round_trips_ms.retain(|(_, ms)| (0.0..=ROUND_TRIP_MS_MAX).contains(ms));
            report.addrs.truncate(ADDRS_MAX);
            query.reports.push(report);
        }
        self.finish_query_if_complete();
        self.wake = now;
    }

    pub(super) fn forget_query(&mut self, peer: NodeId, now: Instant) {
        if let Some(query) = &mut self.query
            && query.missing.remove(&peer)
        {
            self.finish_query_if_complete();
            self.wake = now;
        }
    }

    pub(super) fn query_timeout(&mut self, now: Instant) {
        if self.query.as_ref().is_some_and(|query| query.deadline <= now) {
            self.finish_query();
        }
    }

    fn finish_query_if_complete(&mut self) {
        let complete =
            |query: &Query| !query.asking && query.missing.is_empty() && query.unconnected.is_empty();
        if self.query.as_ref().is_some_and(complete) {
            self.finish_query();
        }
    }

    fn finish_query(&mut self) {
        if let Some(query) = self.query.take() {
            self.events.push_back(Event::Snapshot(query.reports));
        }
    }

    // Measurements.

    pub(super) fn is_measured(&self, node: NodeId) -> bool {
        self.measuring.iter().any(|measuring| measuring.targets.contains(&node))
    }

    pub(super) fn on_probe(&mut self, from: NodeId, request: u32, mut targets: Vec<Contact>, now: Instant) {
        let since = now.saturating_duration_since(self.probes_counted).as_secs_f64();
        self.probes_left = (self.probes_left + since * PROBES_PER_SECOND).min(PROBES_BURST);
        self.probes_counted = now;
        targets.truncate(TARGETS_MAX.min(self.probes_left as usize));
        self.probes_left -= targets.len() as f64;
        self.measure(Some((from, request)), targets, now);
    }

    fn measure(&mut self, by: Option<(NodeId, u32)>, mut targets: Vec<Contact>, now: Instant) {
        targets.retain(|target| target.node != self.me);
        if self.measuring.len() >= MEASURING_MAX {
            targets.clear();
        }
        let nodes = targets.iter().map(|target| target.node).collect();
        self.measuring.push(Measuring { by, targets: nodes, deadline: now + PROBE_WITHIN });
        for target in targets {
            self.want_for(target, PROBE_WITHIN, now);
        }
        self.finish_measuring(now);
        self.wake = now;
    }

    /// Answers for the measurements that are done or late.
    pub(super) fn finish_measuring(&mut self, now: Instant) {
        let links = &self.links;
        let is_well_measured = |node: &NodeId| {
            links.get(*node).is_some_and(|link| link.round_trips.samples() >= FIRST_PINGS as usize)
        };
        let done = |measuring: &mut Measuring| {
            measuring.deadline <= now || measuring.targets.iter().all(is_well_measured)
        };
        for Measuring { by, targets, .. } in self.measuring.extract_if(.., done).collect::<Vec<_>>() {
            let ms = |node| Some((node, self.round_trip(node)?.as_secs_f32() * 1_000.0));
            let round_trips_ms: Vec<(NodeId, f32)> = targets.into_iter().filter_map(ms).collect();
            match by {
                Some((asker, request)) => self.tell(asker, PoolMessage::Probed { request, round_trips_ms }),
                None => self.events.push_back(Event::Probed(self.me, round_trips_ms)),
            }
        }
    }

    pub(super) fn on_probed(&mut self, from: NodeId, mut round_trips_ms: Vec<(NodeId, f32)>) {
        round_trips_ms.truncate(TARGETS_MAX);
        round_trips_ms.retain(|(_, ms)| (0.0..=ROUND_TRIP_MS_MAX).contains(ms));
        self.events.push_back(Event::Probed(from, round_trips_ms));
    }

    /// How long the answers to a [`probe`](Self::probe) may take.
    #[must_use]
    pub fn probes_take_at_most() -> Duration {
        PROBE_WITHIN + PROBE_SLACK
    }

    pub(super) fn survey_due(&self) -> Option<Instant> {
        let query = self.query.as_ref().map(|query| query.deadline);
        self.measuring.iter().map(|measuring| measuring.deadline).chain(query).min()
    }
}
