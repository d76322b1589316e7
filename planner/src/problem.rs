//! What is to be planned: a session's members and root, the helpers it may borrow, and the costs and limits that a
//! plan must keep. Patent, Definition 1 ([0081]) with its extension by helpers; the limits on helpers are Table B's.
//!
//! A `Problem` is well-formed by construction; whether a tree exists for it is the planner's answer, not checked here.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use thiserror::Error;

use crate::latency::LatencyMatrix;
use crate::names::Objective;
use crate::units::{Degree, NodeIndex, OneWay};

/// A well-formed planning problem. Built by `Problem::builder`.
#[derive(Clone, Debug)]
pub struct Problem {
    pub(crate) latency: Arc<LatencyMatrix>,
    pub(crate) degrees: Vec<Degree>,
    pub(crate) members: Vec<NodeIndex>,
    pub(crate) helpers: Vec<NodeIndex>,
    pub(crate) objective: Objective,
    pub(crate) forbidden: BTreeSet<(NodeIndex, NodeIndex)>,
    pub(crate) hop_cost: OneWay,
    pub(crate) helper_min_degree: u32,
    pub(crate) radius: Option<OneWay>,
    pub(crate) max_helpers: Option<usize>,
    pub(crate) speakers: u32,
    pub(crate) protect: bool,
    /// By node; empty if each has one of its own.
    pub(crate) domains: Vec<Option<u32>>,
    pub(crate) seed: u64,
}

impl Problem {
    /// Starts a problem over the nodes of `latency`, with one degree a node and the members, the root first.
    /// Everything else has a default: no helpers, objective height, nothing forbidden, no hop cost, Table B's limits.
    pub fn builder(
        latency: impl Into<Arc<LatencyMatrix>>,
        degrees: Vec<Degree>,
        members: Vec<NodeIndex>,
    ) -> ProblemBuilder {
        ProblemBuilder {
            problem: Self {
                latency: latency.into(),
                degrees,
                members,
                helpers: Vec::new(),
                objective: Objective::Height,
                forbidden: BTreeSet::new(),
                hop_cost: OneWay::ZERO,
                helper_min_degree: HELPER_MIN_DEGREE,
                radius: OneWay::from_ms(RADIUS_MS),
                max_helpers: None,
                speakers: SPEAKERS,
                protect: false,
                domains: Vec::new(),
                seed: 1,
            },
        }
    }

    /// The same problem on other latencies of the same nodes.
    ///
    /// # Errors
    /// `ProblemError` if they are of other nodes.
    pub fn on(&self, latency: impl Into<Arc<LatencyMatrix>>) -> Result<Self, ProblemError> {
        ProblemBuilder { problem: Self { latency: latency.into(), ..self.clone() } }.build()
    }

    /// The latencies.
    pub fn latency(&self) -> &LatencyMatrix {
        &self.latency
    }

    /// How many links `node` can carry.
    pub fn degree(&self, node: NodeIndex) -> Degree {
        self.degrees[node]
    }

    /// The node at the top of the tree: the first member.
    pub fn root(&self) -> NodeIndex {
        self.members[0]
    }

    /// The members, root first.
    pub fn members(&self) -> &[NodeIndex] {
        &self.members
    }

    /// Nodes that may be borrowed, none of them a member.
    pub fn helpers(&self) -> &[NodeIndex] {
        &self.helpers
    }

    /// What is made small.
    pub fn objective(&self) -> Objective {
        self.objective
    }

    /// What each hop costs beside its latency, in planning only.
    pub fn hop_cost(&self) -> OneWay {
        self.hop_cost
    }

    /// Most helpers that a plan may use; `None` for no limit.
    pub fn max_helpers(&self) -> Option<usize> {
        self.max_helpers
    }

    /// How many sources a node's degree is for, where each has a tree of its own.
    pub fn speakers(&self) -> u32 {
        self.speakers
    }

    /// Copies that `node` may send for any so many sources at once: degree times speakers.
    pub fn copies(&self, node: NodeIndex) -> u32 {
        self.degrees[node].0.saturating_mul(self.speakers)
    }

    /// The same problem for one tree.
    #[must_use]
    pub fn unprotected(&self) -> Self {
        Self { protect: false, ..self.clone() }
    }

    /// Whether a plan has two trees in which no node relays in both.
    pub fn is_protected(&self) -> bool {
        self.protect
    }

    /// Seed of whatever an algorithm draws.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Whether the two nodes can talk to each other.
    pub fn may_link(&self, a: NodeIndex, b: NodeIndex) -> bool {
        !self.forbidden.contains(&(a.min(b), a.max(b)))
    }
}

/// Collects the parts of a `Problem`; `build` checks them together.
#[derive(Clone, Debug)]
pub struct ProblemBuilder {
    problem: Problem,
}

impl ProblemBuilder {
    /// Nodes that may be borrowed. A member among them is refused by `build`.
    pub fn helpers(mut self, helpers: Vec<NodeIndex>) -> Self {
        self.problem.helpers = helpers;
        self
    }

    /// What to make small. Default: height.
    pub fn objective(mut self, objective: Objective) -> Self {
        self.problem.objective = objective;
        self
    }

    /// Pairs that cannot talk to each other, in either order. Adds to earlier calls.
    pub fn forbid(mut self, pairs: impl IntoIterator<Item = (NodeIndex, NodeIndex)>) -> Self {
        self.problem.forbidden.extend(pairs.into_iter().map(|(a, b)| (a.min(b), a.max(b))));
        self
    }

    /// What each hop costs in planning: a relay's time to receive, open, seal and send. Plans are judged without it.
    pub fn hop_cost(mut self, cost: OneWay) -> Self {
        self.problem.hop_cost = cost;
        self
    }

    /// Least degree of a helper (Table B, condition 2). Default 4; below 2 counts as 2. Binds `critical` only.
    pub fn helper_min_degree(mut self, degree: u32) -> Self {
        self.problem.helper_min_degree = degree;
        self
    }

    /// How far a helper may be from its parent (Table B, condition 3), hop cost aside; `None` for anywhere. Default
    /// 100 ms one way. Binds `critical` only.
    pub fn radius(mut self, radius: Option<OneWay>) -> Self {
        self.problem.radius = radius;
        self
    }

    /// Most helpers that a plan may use. Default: no limit.
    pub fn max_helpers(mut self, helpers: Option<usize>) -> Self {
        self.problem.max_helpers = helpers;
        self
    }

    /// For `Objective::Forest`, for how many sources at once a node's degree is: over any K of them, a node of degree d
    /// sends d x K copies at most. Default 3; 0 counts as 1.
    pub fn speakers(mut self, speakers: u32) -> Self {
        self.problem.speakers = speakers.max(1);
        self
    }

    /// Asks for two trees, each of which carries everything, in which no node relays in both ([`crate::protect`]).
    /// Default: one tree.
    pub fn protect(mut self, two: bool) -> Self {
        self.problem.protect = two;
        self
    }

    /// The fault domain of each node, by any label; `None` for one of its own. Nodes of one domain fail together: a plan
    /// borrows one helper of them at most, and they do not relay in both trees of a protected one. Default: nobody shares
    /// one.
    pub fn domains(mut self, labels: impl IntoIterator<Item = Option<String>>) -> Self {
        let mut known = BTreeMap::new();
        let mut number = |label: String| {
            let next = known.len() as u32;
            *known.entry(label).or_insert(next)
        };
        self.problem.domains = labels.into_iter().map(|label| label.map(&mut number)).collect();
        self
    }

    /// Seed of whatever an algorithm draws. Default 1.
    pub fn seed(mut self, seed: u64) -> Self {
        self.problem.seed = seed;
        self
    }

    /// The checked problem.
    ///
    /// # Errors
    /// `ProblemError` names the first thing that is malformed.
    pub fn build(self) -> Result<Problem, ProblemError> {
        let problem = self.problem;
        let nodes = problem.latency.nodes();
        if problem.degrees.len() != nodes {
            return Err(ProblemError::Degrees { given: problem.degrees.len(), nodes });
        }
        if !problem.domains.is_empty() && problem.domains.len() != nodes {
            return Err(ProblemError::Domains { given: problem.domains.len(), nodes });
        }
        if problem.members.is_empty() {
            return Err(ProblemError::NoMembers);
        }
        let mut seen = BTreeSet::new();
        for &member in &problem.members {
            problem.check_node(member)?;
            if !seen.insert(member) {
                return Err(ProblemError::DuplicateMember(member));
            }
        }
        for &helper in &problem.helpers {
            problem.check_node(helper)?;
            if !seen.insert(helper) {
                return Err(ProblemError::DuplicateHelper(helper));
            }
        }
        for &(a, b) in &problem.forbidden {
            if b >= nodes {
                return Err(ProblemError::OutOfRange { node: b, nodes });
            }
            if a == b {
                return Err(ProblemError::ForbidsItself(a));
            }
        }
        Ok(problem)
    }
}

impl Problem {
    fn check_node(&self, node: NodeIndex) -> Result<(), ProblemError> {
        let nodes = self.latency.nodes();
        if node >= nodes {
            return Err(ProblemError::OutOfRange { node, nodes });
        }
        if self.latency.dropped().binary_search(&node).is_ok() {
            return Err(ProblemError::Dropped(node));
        }
        Ok(())
    }
}

/// What is malformed about a problem. That no plan exists for a well-formed one is a `PlanError`.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ProblemError {
    /// A session needs somebody.
    #[error("there are no members")]
    NoMembers,
    /// Not one degree a node.
    #[error("{given} degrees are given for {nodes} nodes")]
    Degrees {
        /// How many degrees there are.
        given: usize,
        /// How many there should be.
        nodes: usize,
    },
    /// Not one fault domain a node.
    #[error("{given} fault domains are given for {nodes} nodes")]
    Domains {
        /// How many labels there are.
        given: usize,
        /// How many there should be.
        nodes: usize,
    },
    /// The matrix has no such node.
    #[error("node {node} is not in the matrix of {nodes} nodes")]
    OutOfRange {
        /// The number that was given.
        node: NodeIndex,
        /// How many nodes there are.
        nodes: usize,
    },
    /// The matrix had too many holes at that node, and dropped it.
    #[error("node {0} was dropped from the matrix because latencies are missing")]
    Dropped(NodeIndex),
    /// A member is listed twice.
    #[error("member {0} is listed twice")]
    DuplicateMember(NodeIndex),
    /// A helper is listed twice, or is a member.
    #[error("helper {0} is listed twice or is a member")]
    DuplicateHelper(NodeIndex),
    /// A forbidden pair of one node.
    #[error("node {0} cannot be forbidden to talk to itself")]
    ForbidsItself(NodeIndex),
}

/// Voices at once that a conference is planned for.
const SPEAKERS: u32 = 3;
/// "An adequate degree (e.g. 4)": patent, [0085] and Table B, condition 2.
const HELPER_MIN_DEGREE: u32 = 4;
/// Table B's R has no figure; 100 ms one way keeps out what is another continent away twice over.
const RADIUS_MS: f64 = 100.0;

#[cfg(test)]
mod tests {
    use super::*;

    fn build(members: Vec<NodeIndex>, helpers: Vec<NodeIndex>) -> Result<Problem, ProblemError> {
        let latency = LatencyMatrix::from_one_way(4, |_, _| OneWay::from_ms(1.0).unwrap());
        Problem::builder(latency, vec![Degree(2); 4], members).helpers(helpers).build()
    }

    #[test]
    fn a_problem_is_well_formed_by_construction() {
        assert!(build(vec![1, 0], vec![2, 3]).is_ok());
        assert_eq!(build(vec![], vec![]).unwrap_err(), ProblemError::NoMembers);
        assert_eq!(build(vec![0, 4], vec![]).unwrap_err(), ProblemError::OutOfRange { node: 4, nodes: 4 });
        assert_eq!(build(vec![0, 1, 0], vec![]).unwrap_err(), ProblemError::DuplicateMember(0));
        assert_eq!(build(vec![0, 1], vec![1]).unwrap_err(), ProblemError::DuplicateHelper(1));
    }

    #[test]
    fn forbidden_pairs_have_no_direction() {
        let latency = LatencyMatrix::from_one_way(3, |_, _| OneWay::ZERO);
        let problem =
            Problem::builder(latency, vec![Degree(2); 3], vec![0, 1, 2]).forbid([(2, 0)]).build().unwrap();
        assert!(!problem.may_link(0, 2));
        assert!(!problem.may_link(2, 0));
        assert!(problem.may_link(0, 1));
    }
}
