//! Who comes into a large session hangs from its trees as a leaf at once, before the next epoch: a graft concerns a handful of
//! nodes, an epoch all. (So do joiners of IP multicast trees: RFC 3973, section 3.1.4, calls it the same.)
//!
//! A graft adds to an epoch and has no number of its own: the trees keep theirs, and all packets go on as before. It is signed by
//! the task manager and told to the joiner, the parent, those to whom the joiner may turn when the parent falls silent, and the
//! manager's heirs. Everybody else hears of it with the next epoch, which is told as what differs from this one without grafts.
//! One parent for all trees keeps every node within what it carries: a tree of one speaker sends no more copies anywhere than
//! the shared one has links there, and both have one more at the parent.

use std::collections::BTreeSet;
use std::sync::Arc;

use alm_planner::{Degree, Objective, OneWay, Plan, Problem, Slots, Tree};
use serde::{Deserialize, Serialize};

use super::delays::{Delays, HOP_COST_MS};
use super::plan::{PlanDefect, SessionPlan, TreePart, degrees_of};
use super::planning::PlanningJob;
use crate::identity::NodeId;

/// Grafts of one epoch. When there are as many, the next joiner has a new epoch made.
pub(super) const GRAFTS_MAX: usize = 64;

/// A member that hangs from all trees of an epoch as a leaf. See the [module](self).
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct Graft {
    /// Who has come.
    pub node: NodeId,
    /// The node above it in every tree.
    pub parent: NodeId,
    /// Whom it turns to when that one falls silent.
    pub backup: Option<NodeId>,
    /// The largest latency between it and a member, one way, as foretold.
    pub worst_ms: f32,
}

/// An epoch as it was told to all, and what it has become since.
#[derive(Debug)]
pub(super) struct Grown {
    told: SessionPlan,
    grafts: Vec<Graft>,
    /// With the grafts, if there are any.
    whole: Option<SessionPlan>,
}

impl Grown {
    /// # Errors
    /// The plan is no plan, or somebody is grafted who is in the trees already, or to somebody who is not.
    pub(super) fn new(told: SessionPlan, grafts: Vec<Graft>) -> Result<Self, PlanDefect> {
        told.check()?;
        let whole = if grafts.is_empty() { None } else { Some(told.grown(&grafts)?) };
        Ok(Self { told, grafts, whole })
    }

    /// What it would be with one more.
    ///
    /// # Errors
    /// It is in the trees already, or its parent is not, or there are too many.
    pub(super) fn with(&self, graft: Graft) -> Result<SessionPlan, PlanDefect> {
        if self.grafts.len() >= GRAFTS_MAX {
            return Err(PlanDefect::NotATree);
        }
        self.plan().grown(&[graft])
    }

    /// Has become `whole` by one more.
    pub(super) fn add(&mut self, graft: Graft, whole: SessionPlan) {
        self.whole = Some(whole);
        self.grafts.push(graft);
    }

    /// What carries the media.
    pub(super) fn plan(&self) -> &SessionPlan {
        self.whole.as_ref().unwrap_or(&self.told)
    }

    /// What the next epoch is told as a change of.
    pub(super) fn told(&self) -> &SessionPlan {
        &self.told
    }

    /// Who has come since.
    pub(super) fn grafts(&self) -> &[Graft] {
        &self.grafts
    }
}

impl SessionPlan {
    fn grown(&self, grafts: &[Graft]) -> Result<Self, PlanDefect> {
        let mut grown = self.clone();
        let mut nodes = self.nodes();
        for graft in grafts {
            if !nodes.contains(&graft.parent) || !nodes.insert(graft.node) {
                return Err(PlanDefect::NotATree);
            }
            for tree in &mut grown.trees {
                tree.edges.push((graft.parent, graft.node));
                tree.backups.extend(graft.backup.map(|backup| (graft.node, backup)));
                if tree.shared {
                    tree.sources.push(graft.node);
                }
            }
            grown.worst_ms = grown.worst_ms.max(f64::from(graft.worst_ms));
            grown.diameter_ms = grown.diameter_ms.max(f64::from(graft.worst_ms));
        }
        // A tree that does not have the parent, a backup from elsewhere.
        grown.check()?;
        Ok(grown)
    }

    /// Nobody hangs from it in any tree.
    pub(super) fn is_leaf(&self, node: NodeId) -> bool {
        !self.trees.iter().flat_map(|tree| &tree.edges).any(|(parent, _)| *parent == node)
    }

    /// Whom a graft concerns: the joiner, its parent, and all to whom it may turn.
    pub(super) fn concerned(&self, graft: &Graft) -> BTreeSet<NodeId> {
        let turns_to = self.parts_of(graft.node).into_iter().flat_map(|part| part.backups);
        turns_to.chain([graft.node, graft.parent]).collect()
    }
}

impl PlanningJob {
    /// The best slots for the joiners in the plan that carries the media, one after the other: `numbered` is that by number.
    /// `None` if there are no joiners, or no room for all of them: then a plan is needed.
    pub(super) fn grafts(
        &self,
        (plan, numbered): (&SessionPlan, &Plan),
        nodes: &[(NodeId, u32)],
        delays: &Delays,
    ) -> Option<Vec<Graft>> {
        let joiners: Vec<usize> = self.joiners.iter().filter_map(|joiner| delays.index(*joiner)).collect();
        let shared = numbered.trees.last().filter(|_| !joiners.is_empty())?;
        let (members, parts) = (self.members.len(), plan.parts());
        let mut links = shared.degrees();
        // A helper takes on no more than is held of it.
        let degree = |(i, (node, degree)): (usize, &(NodeId, u32))| match parts.get(node) {
            Some(parts) => {
                links.get(&i).copied().unwrap_or(0) + if i < members { room(parts, *degree) } else { 0 }
            }
            None if i < members => *degree,
            None => 0,
        };
        let degrees: Vec<u32> = nodes.iter().enumerate().map(degree).collect();
        let here = |nodes: &[usize]| nodes.iter().copied().filter(|node| *node < degrees.len()).collect();
        let closed = self.closed(nodes.len(), delays, true);
        let problem = Problem::builder(
            Arc::new(delays.matrix()),
            degrees.iter().map(|degree| Degree(*degree)).collect(),
            here(&numbered.members),
        )
        .helpers(here(&numbered.helpers))
        .objective(Objective::Diameter)
        .forbid(closed.iter().copied())
        .hop_cost(OneWay::from_ms(HOP_COST_MS)?)
        .build()
        .ok()?;
        let root = shared.edges.first().map_or(numbered.root, |(top, _)| *top);
        let alone = Plan { root, trees: vec![shared.clone()], ..numbered.clone() };
        let mut slots = Slots::new(&problem, &alone);
        let barred: BTreeSet<(usize, usize)> =
            closed.iter().flat_map(|(a, b)| [(*a, *b), (*b, *a)]).collect();
        let mut found = Vec::with_capacity(joiners.len());
        for &joiner in &joiners {
            let (parent, worst) = slots.best(joiner)?;
            slots.attach(joiner)?;
            *links.entry(parent).or_default() += 1;
            *links.entry(joiner).or_default() += 1;
            // The nearest with room for one more, that is not itself cut off when the parent dies.
            let below: BTreeSet<usize> = numbered.trees.iter().flat_map(|tree| below(tree, parent)).collect();
            let has_room = |node: &usize| {
                !below.contains(node)
                    && !joiners.contains(node)
                    && links.get(node).is_some_and(|used| *used < degrees[*node])
                    && !barred.contains(&(joiner, *node))
            };
            let to_joiner = |node: &usize| delays.hop_ms(*node, joiner);
            let backup = (0..members).filter(has_room).min_by(|a, b| to_joiner(a).total_cmp(&to_joiner(b)));
            let (node, parent, backup) =
                (nodes[joiner].0, nodes[parent].0, backup.map(|backup| nodes[backup].0));
            found.push(Graft { node, parent, backup, worst_ms: worst.ms() as f32 });
        }
        Some(found)
    }
}

/// How many joiners a node of these parts can take in, in every tree: who speaks may have more copies from it than the shared tree
/// has links there.
fn room(parts: &[TreePart], degree: u32) -> u32 {
    let mut parts = parts.to_vec();
    let mut more = || {
        parts.iter_mut().for_each(|part| part.children.push(NodeId([0; 32])));
        degrees_of(&parts) <= degree
    };
    (0..GRAFTS_MAX as u32).take_while(|_| more()).count() as u32
}

/// A node and all below it.
fn below(tree: &Tree, top: usize) -> BTreeSet<usize> {
    let mut within = BTreeSet::from([top]);
    // Parents come first.
    for (parent, child) in &tree.edges {
        if within.contains(parent) {
            within.insert(*child);
        }
    }
    within
}

#[cfg(test)]
mod tests;
