//! From a snapshot of the pool to a plan: the task manager's thinking, as a job that can run beside the media.
//!
//! A plan is made from the one that carries the media now: what has changed is mended, and a link moves only for what it
//! brings (`alm_planner::replan`). A review also plans from nothing, and takes that where it is worth all the links that
//! it moves. Of plans that are nearly as good as each other, the one with the fewest helpers is taken.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use alm_planner::{
    Budget, Degree, HelperGain, LatencyMatrix, MovePrice, Objective, OneWay, Plan, PlanError, Problem, Tree,
    moves, plan_best, protect, replan,
};

use super::backups::{backups, detours};
use super::delays::{Delays, HOP_COST_MS};
use super::graft::Graft;
use super::own_trees::{Ground, own_tree};
use super::plan::{PlanTree, SPEAKERS, SessionPlan, tree_number};
use crate::identity::{NodeId, SessionId};
use crate::pool::{NodeReport, Priority};

/// More degrees than any node is believed to carry.
const DEGREE_MAX: u32 = alm_media::LINKS_MAX as u32;
/// Helpers worth thinking about; the nearest to the manager when there are more.
const HELPER_CANDIDATES_MAX: usize = 48;
/// Members up to which every source has a tree of its own: in larger sessions one shared tree carries all of them.
pub(super) const FOREST_MEMBERS_MAX: usize = 50;
/// Limits to the number of helpers that are tried before no limit. Beyond a handful, one more is lost in the noise.
const HELPER_LIMITS: [usize; 5] = [0, 1, 2, 4, 8];
/// Proposals of a plan from nothing, for each pair (source, member) of a forest or each member of a shared tree: some
/// 10 ms at 20 members. No more than that in larger sessions: reviews go on from what they found.
const FRESH_MOVES_A_PAIR: u64 = 200;
const FRESH_MOVES_A_MEMBER: u64 = 1_000;
const FRESH_MOVES_MAX: u64 = 80_000;
/// Proposals of a change of a large session's plan that is not a review: as many as the planner's least.
const CHANGE_MOVES_MAX: u64 = 4_000;

/// Everything that a plan is made from. Running it takes milliseconds and no I/O, and gives the same every time.
#[derive(Clone, Debug)]
pub struct PlanningJob {
    /// Whose plan.
    pub session: SessionId,
    /// What to make small.
    pub objective: Objective,
    /// What the session has elsewhere than on its members' machines.
    pub priority: Priority,
    /// Two trees for every voice, if they fit.
    pub protect: bool,
    /// Who is to have a tree of its own beside the shared one, where there is such a one.
    pub speakers: Vec<NodeId>,
    /// Members and the degrees that each can carry, the task manager first.
    pub members: Vec<(NodeId, u32)>,
    /// What the nodes say of themselves.
    pub reports: Vec<NodeReport>,
    /// Helpers not to ask.
    pub excluded: BTreeSet<NodeId>,
    /// Pairs that cannot talk.
    pub forbidden: BTreeSet<(NodeId, NodeId)>,
    /// What carries the media now, to start from and to compare with.
    pub current: Option<SessionPlan>,
    /// Members that are to be grafted to what carries the media now, if there is room; nobody, if a plan is wanted.
    pub joiners: Vec<NodeId>,
    /// Nothing has changed, and there is time to look farther.
    pub review: bool,
    /// Why a plan is wanted.
    pub reason: &'static str,
    /// Round trips that were measured for plans, milliseconds.
    pub probed: Vec<(NodeId, NodeId, f32)>,
    /// How many of them for this plan.
    pub probes: u32,
    /// No link to a helper that has not been measured.
    pub measured_only: bool,
}

/// What came of it.
#[derive(Debug)]
pub struct Planned {
    /// Why a plan was wanted.
    pub reason: &'static str,
    /// The plan, its epoch not yet numbered, or why there is none.
    pub plan: Result<SessionPlan, String>,
    /// Slots in what carries the media now; where there are any, `plan` is that.
    pub grafts: Vec<Graft>,
    /// What the current plan's objective has become, hops included, and the new plan's: the same measure for both.
    pub value_ms: Option<(f64, f64)>,
    /// Links of the plan to helpers that nobody has measured.
    pub unmeasured: Vec<(NodeId, NodeId)>,
    /// Other such links that may bring something, the most promising first.
    pub promising: Vec<(NodeId, NodeId)>,
    /// Why there is one tree for each voice where two were asked for.
    pub unprotected: Option<String>,
}

/// A plan, and what it comes to with the price of the links that it moves.
struct Candidate {
    plan: Plan,
    cost_ms: f64,
}

impl PlanningJob {
    /// Makes the plan.
    #[must_use]
    pub fn run(&self) -> Planned {
        let nodes = self.nodes();
        let delays = Delays::new(&nodes, &self.reports, &self.probed).forbidding(&self.forbidden);
        let mut current = self.current.as_ref().map(|plan| delays.numbered(plan));
        if let (Some(numbered), Some(plan)) = (&current, &self.current)
            && let Some(grafts) = self.grafts((plan, numbered), &nodes, &delays)
        {
            let (unmeasured, promising, value_ms, unprotected) = (vec![], vec![], None, None);
            let (plan, reason) = (Ok(plan.clone()), self.reason);
            return Planned { reason, plan, grafts, value_ms, unmeasured, promising, unprotected };
        }
        let own_before: Vec<Tree> = match (&mut current, &self.current) {
            (Some(numbered), Some(plan)) => numbered.trees.drain(..plan.own_trees()).collect(),
            _ => vec![],
        };
        let objective = self.objective_now();
        let mut unprotected = None;
        let protected = self.protect.then(|| self.plan(&nodes, &delays, current.as_ref(), true));
        let planned = match protected {
            Some(Ok(plan)) => Ok(plan),
            other => {
                unprotected = other.and_then(Result::err);
                self.plan(&nodes, &delays, current.as_ref(), false)
            }
        };
        match planned {
            Ok(plan) => {
                let value = |plan: &Plan| delays.value_ms(plan, objective);
                let value_ms = current.as_ref().and_then(|before| Some((value(before)?, value(&plan)?)));
                let links: BTreeSet<(usize, usize)> = plan
                    .trees
                    .iter()
                    .flat_map(|tree| &tree.edges)
                    .map(|(a, b)| (*a.min(b), *a.max(b)))
                    .collect();
                let is_guess = links.iter().any(|(a, b)| !delays.is_measured(*a, *b));
                let guessed = |(a, b): &(usize, usize)| self.is_guess(*a, *b, &delays);
                let ends = |(a, b): (usize, usize)| (nodes[a].0, nodes[b].0);
                // What may be explored, which only a review has the time for.
                let promising = if self.review { delays.promising(self.members.len()) } else { vec![] };
                let promising =
                    promising.into_iter().filter(|link| !links.contains(link)).map(ends).collect();
                let unmeasured = links.into_iter().filter(guessed).map(ends).collect();
                let own = self.own_trees(&plan, &nodes, &delays, &own_before);
                let plan = SessionPlan { is_guess, ..self.session_plan(&plan, &own, &nodes, &delays) };
                let (plan, grafts, reason) = (Ok(plan), vec![], self.reason);
                Planned { reason, plan, grafts, value_ms, unmeasured, promising, unprotected }
            }
            Err(why) => Planned {
                plan: Err(why),
                grafts: vec![],
                value_ms: None,
                unmeasured: Vec::new(),
                promising: Vec::new(),
                reason: self.reason,
                unprotected: None,
            },
        }
    }

    /// What the task manager's own node knows by now: its links to those who came after the reports were made.
    pub(crate) fn refresh(&mut self, own: NodeReport) {
        self.reports.retain(|report| report.node != own.node);
        self.reports.insert(0, own);
    }

    /// These two cannot talk.
    pub(super) fn forbids(&self, (a, b): (NodeId, NodeId)) -> bool {
        self.forbidden.contains(&(a, b)) || self.forbidden.contains(&(b, a))
    }

    /// The objective, or what takes its place in a session of this size.
    fn objective_now(&self) -> Objective {
        match self.objective {
            Objective::Forest if self.members.len() > FOREST_MEMBERS_MAX => Objective::Diameter,
            objective => objective,
        }
    }

    /// Members first, then the helpers that could serve, with what each can carry.
    fn nodes(&self) -> Vec<(NodeId, u32)> {
        let members: BTreeSet<NodeId> = self.members.iter().map(|(member, _)| *member).collect();
        let is_member = |node: NodeId| members.contains(&node);
        let far = self.distances();
        let mut helpers: Vec<(NodeId, u32)> = self
            .reports
            .iter()
            .filter(|report| report.lends && !is_member(report.node) && !self.excluded.contains(&report.node))
            .map(|report| (report.node, self.available(report)))
            .filter(|(_, degree)| *degree >= 2)
            .collect();
        let distance = |node: &NodeId| far.get(node).copied().unwrap_or(f32::INFINITY);
        helpers.sort_by(|(a, _), (b, _)| distance(a).total_cmp(&distance(b)).then(a.cmp(b)));
        helpers.truncate(HELPER_CANDIDATES_MAX);
        self.members.iter().copied().chain(helpers).collect()
    }

    /// How far each node is from the task manager, as measured or as its place foretells.
    fn distances(&self) -> BTreeMap<NodeId, f32> {
        let manager = self.members.first().map(|(manager, _)| *manager);
        let Some(own) = self.reports.iter().find(|report| Some(report.node) == manager) else {
            return BTreeMap::new();
        };
        let foretold = |report: &NodeReport| {
            Some((report.node, own.place.round_trip(report.place)?.as_secs_f32() * 1_000.0))
        };
        let mut distances: BTreeMap<NodeId, f32> = self.reports.iter().filter_map(foretold).collect();
        distances.extend(own.round_trips_ms.iter().copied());
        distances
    }

    /// A link to a helper that nobody has measured.
    fn is_guess(&self, a: usize, b: usize, delays: &Delays) -> bool {
        a.max(b) >= self.members.len() && !delays.is_measured(a, b)
    }

    fn available(&self, report: &NodeReport) -> u32 {
        let firm = report.held.iter().filter(|h| h.session != self.session && h.priority <= self.priority);
        let firm = firm.map(|h| h.degrees).fold(0, u32::saturating_add);
        report.degree_bound.min(DEGREE_MAX).saturating_sub(firm)
    }

    fn plan(
        &self,
        nodes: &[(NodeId, u32)],
        delays: &Delays,
        current: Option<&Plan>,
        protect: bool,
    ) -> Result<Plan, String> {
        let problem = self.problem(nodes, delays, protect)?;
        let unlimited =
            self.candidate(&problem(None)?, delays, current).map_err(|error| error.to_string())?;
        let gain = HelperGain::default();
        let good_enough = unlimited.cost_ms + gain.ms.max(gain.share * unlimited.cost_ms);
        let used = unlimited.plan.helpers.len();
        for limit in HELPER_LIMITS.into_iter().filter(|limit| *limit < used) {
            match self.candidate(&problem(Some(limit))?, delays, current) {
                Ok(fewer) if fewer.cost_ms <= good_enough => return Ok(fewer.plan),
                // Too few relays for these members.
                _ => {}
            }
        }
        Ok(unlimited.plan)
    }

    /// Makes the problem for a number of helpers.
    fn problem(
        &self,
        nodes: &[(NodeId, u32)],
        delays: &Delays,
        protect: bool,
    ) -> Result<impl Fn(Option<usize>) -> Result<Problem, String>, String> {
        let matrix: Arc<LatencyMatrix> = Arc::new(delays.matrix());
        let degrees: Vec<Degree> = nodes.iter().map(|(_, degree)| Degree(*degree)).collect();
        let forbidden = self.closed(nodes.len(), delays, self.measured_only);
        let (members, objective) = (self.members.len(), self.objective_now());
        let hop_cost = OneWay::from_ms(HOP_COST_MS).ok_or("a hop costs no time")?;
        // Another seed for every epoch: what one review does not find, the next one may.
        let seed = self.current.as_ref().map_or(0, |plan| plan.epoch);
        Ok(move |max_helpers| {
            Problem::builder(matrix.clone(), degrees.clone(), (0..members).collect())
                .helpers((members..degrees.len()).collect())
                .max_helpers(max_helpers)
                .objective(objective)
                .forbid(forbidden.iter().copied())
                .hop_cost(hop_cost)
                .speakers(SPEAKERS as u32)
                .protect(protect)
                .seed(seed)
                .build()
                .map_err(|error| error.to_string())
        })
    }

    /// Pairs that a plan may not link: those that cannot talk, and, unless there is time to measure them, links to helpers that
    /// nobody has measured.
    pub(super) fn closed(&self, nodes: usize, delays: &Delays, measured_only: bool) -> Vec<(usize, usize)> {
        let pairs = self.forbidden.iter().filter_map(|(a, b)| Some((delays.index(*a)?, delays.index(*b)?)));
        let helpers = if measured_only { self.members.len()..nodes } else { 0..0 };
        let guesses = helpers.flat_map(|a| (0..a).map(move |b| (a, b)));
        pairs.chain(guesses.filter(|(a, b)| self.is_guess(*a, *b, delays))).collect()
    }

    /// The trees of those who speak, where one shared tree carries all others.
    fn own_trees(&self, plan: &Plan, nodes: &[(NodeId, u32)], delays: &Delays, before: &[Tree]) -> Vec<Tree> {
        let [shared] = plan.trees.as_slice() else { return vec![] };
        if plan.objective == Objective::Forest || self.speakers.is_empty() {
            return vec![];
        }
        let links = shared.degrees();
        let degree = |(i, (_, degree)): (usize, &(NodeId, u32))| {
            Degree(if i < self.members.len() { *degree } else { links.get(&i).copied().unwrap_or(0) })
        };
        let ground = Ground {
            latency: Arc::new(delays.matrix()),
            degrees: nodes.iter().enumerate().map(degree).collect(),
            closed: self.closed(nodes.len(), delays, true),
            hop_cost: OneWay::from_ms(HOP_COST_MS).unwrap_or(OneWay::ZERO),
            plan,
        };
        let tree = |speaker: usize| {
            let installed = before.iter().find(|tree| tree.sources == [speaker]);
            own_tree(&ground, speaker, installed)
        };
        let speakers = self.speakers.iter().filter_map(|speaker| delays.index(*speaker));
        speakers.filter(|speaker| *speaker < self.members.len()).filter_map(tree).collect()
    }

    /// The best plan of the problem, by what it comes to and what it moves.
    fn candidate(
        &self,
        problem: &Problem,
        delays: &Delays,
        current: Option<&Plan>,
    ) -> Result<Candidate, PlanError> {
        let objective = problem.objective();
        let value = |plan: &Plan| delays.value_ms(plan, objective).unwrap_or(f64::INFINITY);
        let fresh = || {
            let budget = fresh_budget(problem);
            if problem.is_protected() { protect(problem, budget) } else { plan_best(problem, budget) }
        };
        let Some(current) = current else {
            return fresh().map(|plan| Candidate { cost_ms: value(&plan), plan });
        };
        let price = MovePrice::default();
        let Ok(again) = replan(problem, current, self.change_budget(problem), price) else {
            return fresh().map(|plan| Candidate { cost_ms: value(&plan), plan });
        };
        let trees = if objective == Objective::Forest { problem.members().len() } else { 1 };
        let link_ms = price.share * value(&again.plan) / trees as f64;
        let priced =
            |plan: Plan, moved: usize| Candidate { cost_ms: value(&plan) + link_ms * moved as f64, plan };
        let again = priced(again.plan, again.moves.moved);
        if !self.review {
            return Ok(again);
        }
        let fresh = fresh().ok().map(|plan| {
            let moved = moves(current, &plan).moved;
            priced(plan, moved)
        });
        Ok(fresh.filter(|fresh| fresh.cost_ms < again.cost_ms).unwrap_or(again))
    }

    /// For a change of the plan. In a large session one who comes or goes concerns few, and others come and go every second.
    fn change_budget(&self, problem: &Problem) -> Budget<'static> {
        match Budget::for_replan(problem) {
            Budget::Moves(moves) if !self.review && self.members.len() > FOREST_MEMBERS_MAX => {
                Budget::Moves(moves.min(CHANGE_MOVES_MAX))
            }
            budget => budget,
        }
    }

    fn session_plan(
        &self,
        plan: &Plan,
        own: &[Tree],
        nodes: &[(NodeId, u32)],
        delays: &Delays,
    ) -> SessionPlan {
        let node = |i: &usize| nodes[*i].0;
        let pairs = |pairs: &[(usize, usize)]| pairs.iter().map(|(a, b)| (node(a), node(b))).collect();
        // One tree for all sources, whatever it was made small for: everybody may speak along it.
        let shared = plan.objective != Objective::Forest;
        let made = |shared: bool, sources: &[usize], tree: &Tree| PlanTree {
            tree: 0,
            shared,
            sources: sources.iter().map(node).collect(),
            edges: pairs(&tree.edges),
            backups: vec![],
            detours: vec![],
        };
        let all = |tree: &Tree| made(shared, if shared { &plan.members } else { &tree.sources }, tree);
        // The first tree that names a source is the one along which it speaks.
        let trees = own.iter().map(|tree| made(false, &tree.sources, tree)).chain(plan.trees.iter().map(all));
        let mut whole = SessionPlan {
            epoch: 0,
            objective: plan.objective,
            root: node(&plan.root),
            trees: trees.collect(),
            helpers: plan.helpers.iter().map(node).collect(),
            worst_ms: plan.diameter.ms(),
            height_ms: plan.height.ms(),
            diameter_ms: plan.diameter.ms(),
            is_guess: false,
            planned_us: 0,
            probes: self.probes,
            reason: self.reason.to_owned(),
        };
        // Members stand by with all that they can carry, helpers with what is held of them anyway.
        let (members, carried) = (self.members.len(), whole.degrees());
        let stand_by = |(i, (node, degree)): (usize, &(NodeId, u32))| {
            if i < members { *degree } else { carried.get(node).copied().unwrap_or(0) }
        };
        let degrees: Vec<u32> = nodes.iter().enumerate().map(stand_by).collect();
        // Within the links of each node, as along a shared tree.
        let alone = own.iter().map(|tree| Plan { trees: vec![tree.clone()], ..plan.clone() });
        let found = alone.flat_map(|plan| backups(&plan, delays, &degrees));
        let found: Vec<_> = found.chain(backups(plan, delays, &degrees)).collect();
        for (tree, found) in whole.trees.iter_mut().zip(found) {
            tree.backups = pairs(&found);
        }
        // Where everything comes twice, a bad way costs nothing; and in a large session it is planned without.
        if !self.protect && members <= FOREST_MEMBERS_MAX {
            for (tree, found) in whole.trees.iter_mut().zip(detours(plan, delays, &degrees)) {
                tree.detours = pairs(&found);
            }
        }
        whole
    }
}

fn fresh_budget(problem: &Problem) -> Budget<'static> {
    let members = problem.members().len() as u64;
    let moves = match problem.objective() {
        Objective::Forest => FRESH_MOVES_A_PAIR * members * members,
        Objective::Height | Objective::Diameter => FRESH_MOVES_A_MEMBER * members,
    };
    Budget::Moves(moves.min(FRESH_MOVES_MAX))
}

/// Numbers a plan and its trees.
pub(super) fn number(plan: &mut SessionPlan, session: SessionId, term: u64, epoch: u64) {
    plan.epoch = epoch;
    for (i, tree) in plan.trees.iter_mut().enumerate() {
        tree.tree = tree_number(session, plan.root, (term, epoch), i as u32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::Place;

    fn node(n: u8) -> NodeId {
        NodeId([n; 32])
    }

    fn report(n: u8, lends: bool, degree: u32, rtts: &[(u8, f32)]) -> NodeReport {
        NodeReport {
            node: node(n),
            addrs: vec![],
            place: Place::UNKNOWN,
            lends,
            of: crate::pool::AuthorityMark::NONE,
            degree_bound: degree,
            held: vec![],
            round_trips_ms: rtts.iter().map(|(to, ms)| (node(*to), *ms)).collect(),
            reach: crate::pool::Reach::Unknown,
            unreachable: vec![],
        }
    }

    fn job() -> PlanningJob {
        // Four members far from each other and a helper in the middle.
        let reports = vec![
            report(0, false, 2, &[(1, 100.0), (2, 100.0), (3, 100.0), (9, 50.0)]),
            report(1, false, 2, &[(0, 100.0), (2, 100.0), (3, 100.0), (9, 50.0)]),
            report(2, false, 2, &[(0, 100.0), (3, 100.0), (9, 50.0)]),
            report(3, false, 2, &[(9, 50.0)]),
            report(9, true, 8, &[]),
        ];
        PlanningJob {
            session: SessionId([1; 20]),
            objective: Objective::Diameter,
            priority: Priority::LOWEST,
            protect: false,
            speakers: vec![],
            members: (0..4).map(|n| (node(n), 2)).collect(),
            reports,
            excluded: BTreeSet::new(),
            forbidden: BTreeSet::new(),
            current: None,
            joiners: vec![],
            review: false,
            reason: "test",
            probed: vec![],
            probes: 0,
            measured_only: false,
        }
    }

    #[test]
    fn a_helper_in_the_middle_is_used_and_an_excluded_one_is_not() {
        let plan = job().run().plan.unwrap();
        assert_eq!(plan.helpers, [node(9)]);
        assert_eq!(plan.worst_ms, 50.0);
        assert_eq!(plan.check(), Ok(()));
        let without = PlanningJob { excluded: [node(9)].into(), ..job() }.run().plan.unwrap();
        assert!(without.helpers.is_empty());
        assert!(without.worst_ms >= 100.0);
    }

    #[test]
    fn a_helper_that_only_its_place_puts_in_the_middle_is_measured_before_it_is_used() {
        // All that is known of the helper is where it says it is.
        let place = |n: i16| Place([n * 500, 0, 0, 10]);
        let mut job = job();
        for (i, report) in job.reports.iter_mut().enumerate() {
            report.round_trips_ms.retain(|(to, _)| *to != node(9));
            report.place = if report.node == node(9) { place(1) } else { place(2 * (i as i16 % 2)) };
        }
        let guessed = job.run();
        assert_eq!(guessed.plan.unwrap().helpers, [node(9)]);
        assert_eq!(guessed.unmeasured.len(), 4);
        let careful = PlanningJob { measured_only: true, ..job.clone() }.run();
        assert!(careful.plan.unwrap().helpers.is_empty() && careful.unmeasured.is_empty());
        let probed = |ms| (0..4).map(|n| (node(n), node(9), ms)).collect();
        let near = PlanningJob { probed: probed(50.0), measured_only: true, ..job.clone() }.run();
        assert_eq!((near.plan.unwrap().helpers, near.unmeasured), (vec![node(9)], vec![]));
        let far = PlanningJob { probed: probed(500.0), ..job }.run();
        assert!(far.plan.unwrap().helpers.is_empty(), "it lied");
    }

    #[test]
    fn both_plans_are_measured_alike() {
        let current = PlanningJob { excluded: [node(9)].into(), ..job() }.run().plan.unwrap();
        for review in [false, true] {
            let job = PlanningJob { current: Some(current.clone()), review, ..job() };
            let (before, after) = job.run().value_ms.unwrap();
            assert_eq!(before, 150.0 + 3.0 * HOP_COST_MS, "a chain of four");
            assert_eq!(after, 50.0 + 2.0 * HOP_COST_MS);
        }
    }

    #[test]
    fn a_forest_has_a_tree_for_every_source_within_everybodys_degree() {
        let job = PlanningJob { objective: Objective::Forest, ..job() };
        let plan = job.run().plan.unwrap();
        assert_eq!(plan.check(), Ok(()));
        assert_eq!(plan.trees.iter().map(|tree| tree.sources.len()).collect::<Vec<_>>(), [1; 4]);
        assert!(plan.trees.iter().all(|tree| !tree.shared));
        for (member, degree) in &job.members {
            assert!(plan.degree_of(*member) <= *degree, "{}", plan.degree_of(*member));
        }
        assert!(plan.degree_of(node(9)) <= 8);
        assert_eq!(plan.worst_ms, 50.0, "over the helper or beside it, two nodes are 50 ms apart");
        assert_eq!(plan.helpers, [], "which brings no gain, then");
    }

    #[test]
    fn who_comes_and_goes_moves_few_links() {
        let measured = |n: u8| {
            let rtts: Vec<(u8, f32)> =
                (0..12).filter(|to| *to != n).map(|to| (to, 10.0 + f32::from(n ^ to) * 7.0)).collect();
            report(n, false, 3, &rtts)
        };
        for objective in [Objective::Forest, Objective::Diameter, Objective::Height] {
            let job = |members: std::ops::Range<u8>, current| PlanningJob {
                objective,
                members: members.map(|n| (node(n), 3)).collect(),
                reports: (0..12).map(measured).collect(),
                current,
                ..job()
            };
            let edges = |plan: &SessionPlan| -> BTreeSet<(usize, NodeId, NodeId)> {
                let trees = plan.trees.iter().enumerate();
                trees.flat_map(|(i, tree)| tree.edges.iter().map(move |(a, b)| (i, *a, *b))).collect()
            };
            let before = job(0..11, None).run().plan.unwrap();
            let joined = job(0..12, Some(before.clone())).run().plan.unwrap();
            assert_eq!(joined.check(), Ok(()));
            let kept = edges(&before).intersection(&edges(&joined)).count();
            assert!(kept * 10 >= edges(&before).len() * 7, "{objective}: {kept} of {}", edges(&before).len());
            let left = job(0..11, Some(joined)).run().plan.unwrap();
            assert_eq!((left.check(), left.nodes().len()), (Ok(()), 11));
        }
    }

    #[test]
    fn above_fifty_members_one_shared_tree_takes_the_forests_place() {
        let members: Vec<(NodeId, u32)> = (0..=FOREST_MEMBERS_MAX as u8).map(|n| (node(n), 3)).collect();
        let job = |members: &[(NodeId, u32)], current| PlanningJob {
            objective: Objective::Forest,
            members: members.to_vec(),
            reports: vec![],
            current,
            ..job()
        };
        let forest = job(&members[1..], None).run().plan.unwrap();
        assert_eq!((forest.objective, forest.trees.len()), (Objective::Forest, FOREST_MEMBERS_MAX));
        let shared = job(&members, Some(forest)).run().plan.unwrap();
        assert_eq!((shared.objective, shared.trees.len()), (Objective::Diameter, 1));
        assert_eq!(shared.check(), Ok(()));
        let again = job(&members[1..], Some(shared)).run().plan.unwrap();
        assert_eq!((again.objective, again.check()), (Objective::Forest, Ok(())));
    }

    #[test]
    fn who_speaks_in_a_large_session_has_a_tree_of_its_own_that_costs_nobody_more_degrees() {
        let count = FOREST_MEMBERS_MAX as u8 + 10;
        let rtts = |n: u8| -> Vec<(u8, f32)> {
            let others = (0..count).filter(|to| *to != n);
            others.map(|to| (to, f32::from(n.abs_diff(to)) * 3.0 + 10.0)).collect()
        };
        let job = PlanningJob {
            objective: Objective::Forest,
            members: (0..count).map(|n| (node(n), 3)).collect(),
            reports: (0..count).map(|n| report(n, false, 3, &rtts(n))).collect(),
            speakers: vec![node(7), node(40), node(200)],
            ..job()
        };
        let plan = job.run().plan.unwrap();
        assert_eq!((plan.trees.len(), plan.own_trees(), plan.is_large(), plan.check()), (3, 2, true, Ok(())));
        assert_eq!([plan.trees[0].sources[..].len(), plan.trees[2].sources.len()], [1, usize::from(count)]);
        assert!(job.members.iter().all(|(member, _)| plan.degree_of(*member) <= 3));
        let height = |tree: &PlanTree| {
            let mut ms: BTreeMap<NodeId, f64> = [(node(7), 0.0)].into();
            while ms.len() < usize::from(count) {
                let both = tree.edges.iter().flat_map(|(a, b)| [(*a, *b), (*b, *a)]);
                let reached: Vec<_> =
                    both.filter(|(a, b)| ms.contains_key(a) && !ms.contains_key(b)).collect();
                for (a, b) in reached {
                    let way = f64::from(a.0[0].abs_diff(b.0[0])) * 1.5 + 5.0 + HOP_COST_MS;
                    ms.insert(b, ms[&a] + way);
                }
            }
            ms.into_values().fold(0.0, f64::max)
        };
        assert_eq!(plan.trees[0].sources, [node(7)]);
        assert!(height(&plan.trees[0]) < height(&plan.trees[2]), "as short for one as for all");
        // It stays while others come, and goes with its speaker.
        let again = PlanningJob { current: Some(plan.clone()), speakers: vec![node(40)], ..job };
        let again = again.run().plan.unwrap();
        assert_eq!((again.trees.len(), again.trees[0].sources.clone()), (2, vec![node(40)]));
        assert_eq!(again.trees[0].edges, plan.trees[1].edges);
    }

    #[test]
    fn links_to_helpers_that_may_shorten_the_longest_way_are_named_first() {
        // Of one helper nothing is known, of the other that it is far from a member.
        let mut job = job();
        job.reports.iter_mut().for_each(|report| report.round_trips_ms.retain(|(to, _)| *to != node(9)));
        job.reports.push(report(8, true, 8, &[(0, 500.0)]));
        assert!(job.run().promising.is_empty(), "there is no time to explore");
        let planned = PlanningJob { review: true, ..job }.run();
        assert!(planned.plan.unwrap().helpers.is_empty());
        let named: Vec<NodeId> = planned.promising.iter().map(|(_, helper)| *helper).collect();
        assert_eq!(named, [9, 9, 9, 9, 8, 8, 8].map(node));
    }

    #[test]
    fn too_few_links_are_said_so() {
        let mut job = job();
        job.members.iter_mut().for_each(|(_, degree)| *degree = 1);
        job.excluded.insert(node(9));
        assert!(job.run().plan.is_err());
    }
}
