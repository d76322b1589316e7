//! A plan on the wire: every node's name once, and its number everywhere else. A forest names each of its nodes in every
//! tree; so the plan of 50 members takes 8 KiB where it would take 170.

use std::collections::BTreeMap;

use alm_planner::Objective;
use serde::{Deserialize, Serialize};

use super::plan::{PlanTree, SessionPlan};
use crate::identity::NodeId;

/// [`SessionPlan`], its nodes by number.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct WirePlan {
    epoch: u64,
    objective: Objective,
    nodes: Vec<NodeId>,
    root: u32,
    trees: Vec<WireTree>,
    helpers: Vec<u32>,
    worst_ms: f64,
    height_ms: f64,
    diameter_ms: f64,
    is_guess: bool,
    planned_us: u64,
    probes: u32,
    reason: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct WireTree {
    tree: u32,
    shared: bool,
    sources: Vec<u32>,
    edges: Vec<(u32, u32)>,
    backups: Vec<(u32, u32)>,
    detours: Vec<(u32, u32)>,
}

/// A number in a plan on the wire that stands for no node.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("node {0} of the plan has no name")]
pub(super) struct Nameless(u32);

impl From<SessionPlan> for WirePlan {
    fn from(plan: SessionPlan) -> Self {
        let mut numbers = Numbers::default();
        let trees = plan.trees.iter().map(|tree| WireTree {
            tree: tree.tree,
            shared: tree.shared,
            sources: tree.sources.iter().map(|source| numbers.of(*source)).collect(),
            edges: numbers.of_pairs(&tree.edges),
            backups: numbers.of_pairs(&tree.backups),
            detours: numbers.of_pairs(&tree.detours),
        });
        let trees = trees.collect();
        let root = numbers.of(plan.root);
        let helpers = plan.helpers.iter().map(|helper| numbers.of(*helper)).collect();
        Self {
            epoch: plan.epoch,
            objective: plan.objective,
            nodes: numbers.nodes,
            root,
            trees,
            helpers,
            worst_ms: plan.worst_ms,
            height_ms: plan.height_ms,
            diameter_ms: plan.diameter_ms,
            is_guess: plan.is_guess,
            planned_us: plan.planned_us,
            probes: plan.probes,
            reason: plan.reason,
        }
    }
}

impl TryFrom<WirePlan> for SessionPlan {
    type Error = Nameless;

    fn try_from(wire: WirePlan) -> Result<Self, Nameless> {
        let name = |number: u32| wire.nodes.get(number as usize).copied().ok_or(Nameless(number));
        let names =
            |numbers: &[u32]| numbers.iter().map(|number| name(*number)).collect::<Result<Vec<_>, _>>();
        let pairs = |pairs: &[(u32, u32)]| {
            let pairs = pairs.iter().map(|(a, b)| Ok((name(*a)?, name(*b)?)));
            pairs.collect::<Result<_, _>>()
        };
        let tree = |tree: &WireTree| {
            Ok(PlanTree {
                tree: tree.tree,
                shared: tree.shared,
                sources: names(&tree.sources)?,
                edges: pairs(&tree.edges)?,
                backups: pairs(&tree.backups)?,
                detours: pairs(&tree.detours)?,
            })
        };
        Ok(Self {
            epoch: wire.epoch,
            objective: wire.objective,
            root: name(wire.root)?,
            trees: wire.trees.iter().map(tree).collect::<Result<_, _>>()?,
            helpers: names(&wire.helpers)?,
            worst_ms: wire.worst_ms,
            height_ms: wire.height_ms,
            diameter_ms: wire.diameter_ms,
            is_guess: wire.is_guess,
            planned_us: wire.planned_us,
            probes: wire.probes,
            reason: wire.reason,
        })
    }
}

/// Numbers nodes in the order in which they turn up.
#[derive(Default)]
struct Numbers {
    nodes: Vec<NodeId>,
    number: BTreeMap<NodeId, u32>,
}

impl Numbers {
    fn of(&mut self, node: NodeId) -> u32 {
        *self.number.entry(node).or_insert_with(|| {
            self.nodes.push(node);
            self.nodes.len() as u32 - 1
        })
    }

    fn of_pairs(&mut self, pairs: &[(NodeId, NodeId)]) -> Vec<(u32, u32)> {
        pairs.iter().map(|(a, b)| (self.of(*a), self.of(*b))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::CONTROL_MESSAGE_MAX;

    /// Chains, each from its own source.
    fn forest(members: u8) -> SessionPlan {
        let node = |n: u8| NodeId([n % members; 32]);
        let chain = |from: u8| PlanTree {
            tree: u32::MAX - u32::from(from),
            shared: false,
            sources: vec![node(from)],
            edges: (from..from + members - 1).map(|at| (node(at), node(at + 1))).collect(),
            backups: (from + 2..from + members).map(|at| (node(at), node(at - 2))).collect(),
            detours: (from + 2..from + members).map(|at| (node(at), node(at - 2))).collect(),
        };
        SessionPlan {
            epoch: 7,
            objective: Objective::Forest,
            root: node(0),
            trees: (0..members).map(chain).collect(),
            helpers: vec![],
            worst_ms: 1.5,
            height_ms: 1.0,
            diameter_ms: 1.5,
            is_guess: true,
            planned_us: 3,
            probes: 0,
            reason: "joined".to_owned(),
        }
    }

    #[test]
    fn a_forest_of_fifty_comes_back_whole_and_fits_a_message_many_times() {
        let plan = forest(50);
        let bytes = postcard::to_stdvec(&plan).unwrap();
        assert!(bytes.len() * 4 < CONTROL_MESSAGE_MAX, "{} bytes", bytes.len());
        assert_eq!(postcard::from_bytes::<SessionPlan>(&bytes).unwrap(), plan);
    }

    #[test]
    fn a_number_without_a_name_is_refused() {
        let mut wire = WirePlan::from(forest(3));
        wire.trees[1].edges[0].1 = 3;
        assert_eq!(SessionPlan::try_from(wire), Err(Nameless(3)));
    }
}
