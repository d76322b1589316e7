//! Where joiners hang best until the next plan: below one parent in all trees, with a backup beside it.
//!
//! That is the free link of the shared tree with the shortest way to the member that is farthest from it. Free is what a node has room
//! for in every tree at once: a speaker's own tree may have more copies from it than the shared one has links there.

use std::collections::BTreeSet;
use std::sync::Arc;

use alm_planner::{Degree, Objective, OneWay, Plan, Problem, Slots, Tree};

use super::{GRAFTS_MAX, Graft};
use crate::identity::NodeId;
use crate::session::delays::{Delays, HOP_COST_MS};
use crate::session::plan::{SessionPlan, TreePart, degrees_of};
use crate::session::planning::PlanningJob;

impl PlanningJob {
    /// The best slots for the joiners in the plan that carries the media, one after the other: `numbered` is that by number.
    /// `None` if there are no joiners, or no room for all of them: then a plan is needed.
    pub(in crate::session) fn grafts(
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

/// How many joiners a node of these parts can take in, in every tree.
pub(super) fn room(parts: &[TreePart], degree: u32) -> u32 {
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
