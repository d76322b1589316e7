//! The market of the seed ([0087]-[0095]): many sessions plan for themselves, and priorities decide who gets a helper.
//!
//! Each node has a table of who holds how many of its degrees (Table C). A session of priority L holds with the highest
//! right on its own members' machines, so that it can always run, and with L elsewhere. Whatever is held with a lesser right
//! counts as free; equal rights hold first come. Who loses a node plans again, and keeps all else that it holds until the
//! new plan stands; every session looks again now and then, and moves only for a stated gain. No global scheduler: the order
//! in which sessions plan is the order in which they lose or look.
//!
//! [`Market`] is the state; [`simulate`] runs the seed's experiment on it.

mod experiment;
mod table;

pub use experiment::{Experiment, Outcome, PriorityOutcome, simulate};
pub use table::{DegreeTable, Right};

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::latency::LatencyMatrix;
use crate::names::Objective;
use crate::plan::Plan;
use crate::plan_error::PlanError;
use crate::problem::{Problem, ProblemError};
use crate::units::{Degree, NodeIndex};

/// Which session, by a number that the caller gives.
pub type SessionNumber = usize;

/// A session on the market.
#[derive(Clone, Debug)]
pub struct MarketSession {
    /// 1 to 3; 1 is the highest.
    pub priority: u8,
    /// Its members, the root first; disjoint from those of other sessions.
    pub members: Vec<NodeIndex>,
    /// What carries it now.
    pub plan: Option<Plan>,
    /// How often it has planned.
    pub plans: u32,
    /// How often it has lost a node.
    pub losses: u32,
}

/// See the [module](self).
pub struct Market<P> {
    latency: Arc<LatencyMatrix>,
    tables: Vec<DegreeTable>,
    sessions: BTreeMap<SessionNumber, MarketSession>,
    /// Have lost a node since they planned.
    broken: BTreeSet<SessionNumber>,
    planner: P,
}

/// Whose degrees a plan may count on, elsewhere than on the own members' machines.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Claim {
    /// Nobody's.
    Free,
    /// Those that are held with a lesser right.
    All,
}

/// To take a node from another session is worth it only if the plan is shorter by this share than without: whoever loses
/// must plan again, and may take from a third.
const CLAIM_GAIN: f64 = 0.1;
/// A better plan is worth moving for only if it is shorter by this share.
const GAIN: f64 = 0.02;

impl<P: FnMut(&Problem) -> Result<Plan, PlanError>> Market<P> {
    /// A market of nodes with these degrees, on which all sessions plan with `planner`.
    pub fn new(latency: Arc<LatencyMatrix>, degrees: &[Degree], planner: P) -> Self {
        let tables = degrees.iter().map(|degree| DegreeTable::new(degree.0)).collect();
        Self { latency, tables, sessions: BTreeMap::new(), broken: BTreeSet::new(), planner }
    }

    /// The sessions that are on.
    pub fn sessions(&self) -> &BTreeMap<SessionNumber, MarketSession> {
        &self.sessions
    }

    /// Sessions that have no plan, or one that has lost a node.
    pub fn unplanned(&self) -> usize {
        self.sessions.iter().filter(|(number, s)| s.plan.is_none() || self.broken.contains(number)).count()
    }

    /// A session begins and plans; so do those that lose by it, until all is quiet.
    ///
    /// # Errors
    /// Its members are not well-formed; nothing has changed.
    pub fn start(
        &mut self,
        number: SessionNumber,
        priority: u8,
        members: Vec<NodeIndex>,
    ) -> Result<(), ProblemError> {
        let session = MarketSession { priority, members, plan: None, plans: 0, losses: 0 };
        self.problem(number, &session, Claim::All)?;
        self.sessions.insert(number, session);
        self.broken.insert(number);
        self.settle();
        Ok(())
    }

    /// A session ends, and what it held is free.
    pub fn end(&mut self, number: SessionNumber) -> Option<MarketSession> {
        self.tables.iter_mut().for_each(|table| table.release(number));
        self.broken.remove(&number);
        self.sessions.remove(&number)
    }

    /// Every session looks whether it could do better by now, the highest priority first, and moves if that is worth it.
    pub fn review(&mut self) {
        let mut order: Vec<(u8, SessionNumber)> =
            self.sessions.iter().map(|(number, session)| (session.priority, *number)).collect();
        order.sort_unstable();
        for (_, number) in order {
            self.replan(number);
            self.settle();
        }
    }

    /// Those that have lost a node plan, the highest priority first, until nobody is left. It comes to an end: nobody loses
    /// a node but to a better right.
    fn settle(&mut self) {
        let next = |market: &Self| {
            let rank = |number: &SessionNumber| (market.sessions[number].priority, *number);
            market.broken.iter().copied().min_by_key(|number| rank(number))
        };
        while let Some(number) = next(self) {
            self.broken.remove(&number);
            if let Some(session) = self.sessions.get_mut(&number).filter(|session| session.losses > 0) {
                // What is left of a plan that has lost a node is no plan to compare with.
                session.plan = None;
            }
            self.replan(number);
        }
    }

    fn replan(&mut self, number: SessionNumber) {
        let Some(session) = self.sessions.get(&number) else { return };
        let peaceful = self.problem(number, session, Claim::Free).map(|problem| (self.planner)(&problem));
        let session = &self.sessions[&number];
        let claiming = self.problem(number, session, Claim::All).map(|problem| (self.planner)(&problem));
        let planned = match (peaceful, claiming) {
            (Ok(Ok(free)), Ok(Ok(all))) if all.height.ms() >= free.height.ms() * (1.0 - CLAIM_GAIN) => {
                Ok(free)
            }
            (_, Ok(all)) => all,
            _ => return,
        };
        let Some(session) = self.sessions.get_mut(&number) else { return };
        session.plans += 1;
        let Ok(plan) = planned else { return };
        let height = |plan: &Plan| plan.height.ms();
        let worth = session.plan.as_ref().is_none_or(|old| height(&plan) < height(old) * (1.0 - GAIN));
        if worth {
            let rights = Rights::of(session);
            session.plan = Some(plan.clone());
            self.install(number, &rights, &plan);
        }
    }

    /// The session's problem: what each node has left for it.
    fn problem(
        &self,
        number: SessionNumber,
        session: &MarketSession,
        claim: Claim,
    ) -> Result<Problem, ProblemError> {
        let rights = Rights::of(session);
        let right = |node: NodeIndex| match claim {
            Claim::Free if !rights.own.contains(&node) => Right::LEAST,
            _ => rights.at(node),
        };
        let available = |node: NodeIndex| self.tables[node].available(number, right(node));
        let degrees = (0..self.tables.len()).map(|node| Degree(available(node))).collect::<Vec<_>>();
        let helpers =
            (0..self.tables.len()).filter(|node| degrees[*node].0 >= 2 && !rights.own.contains(node));
        let helpers = helpers.collect();
        Problem::builder(self.latency.clone(), degrees, session.members.clone())
            .objective(Objective::Height)
            .helpers(helpers)
            .build()
    }

    fn install(&mut self, number: SessionNumber, rights: &Rights, plan: &Plan) {
        let degrees: BTreeMap<NodeIndex, u32> = plan.trees.iter().flat_map(|tree| tree.degrees()).collect();
        for table in &mut self.tables {
            table.release(number);
        }
        for (node, degree) in degrees {
            for loser in self.tables[node].take(number, rights.at(node), degree) {
                if let Some(session) = self.sessions.get_mut(&loser) {
                    session.losses += 1;
                    self.broken.insert(loser);
                }
            }
        }
    }
}

/// What a session may do where.
struct Rights {
    own: BTreeSet<NodeIndex>,
    elsewhere: Right,
}

impl Rights {
    fn of(session: &MarketSession) -> Self {
        Self { own: session.members.iter().copied().collect(), elsewhere: Right::helper(session.priority) }
    }

    fn at(&self, node: NodeIndex) -> Right {
        if self.own.contains(&node) { Right::OWN } else { self.elsewhere }
    }
}
