//! Trees of their own for those who speak in a large session, beside the shared tree: each is as short as it can be from its
//! speaker to everybody.
//!
//! They need no budget beside the shared tree's. A degree is a link of that tree, or as many copies as voices may speak at
//! once; a tree over nodes of those degrees sends no more copies of its one voice at any of them; and who has a tree of its
//! own does not send along the shared one. So any voices at once cost a node no more than they would along the shared tree.

use std::sync::Arc;

use alm_planner::{
    Budget, Degree, LatencyMatrix, MovePrice, Objective, OneWay, Plan, Problem, Tree, plan_best, replan,
};

/// Proposals for each member of such a tree that is planned from nothing.
const FRESH_MOVES_A_MEMBER: u64 = 60;

/// What they are planned on: the nodes of the shared plan, and what each carries of that.
pub(super) struct Ground<'a> {
    pub(super) latency: Arc<LatencyMatrix>,
    pub(super) degrees: Vec<Degree>,
    /// Pairs that no tree may link.
    pub(super) closed: Vec<(usize, usize)>,
    pub(super) hop_cost: OneWay,
    /// The shared plan.
    pub(super) plan: &'a Plan,
}

/// A tree for one speaker, from the one that it has already.
pub(super) fn own_tree(ground: &Ground<'_>, speaker: usize, installed: Option<&Tree>) -> Option<Tree> {
    let plan = ground.plan;
    let others = plan.members.iter().copied().filter(|member| *member != speaker);
    let members: Vec<usize> = std::iter::once(speaker).chain(others).collect();
    let count = members.len() as u64;
    let problem = Problem::builder(ground.latency.clone(), ground.degrees.clone(), members)
        .helpers(plan.helpers.clone())
        .objective(Objective::Height)
        .forbid(ground.closed.iter().copied())
        .hop_cost(ground.hop_cost)
        .build()
        .ok()?;
    let fresh = || plan_best(&problem, Budget::Moves(FRESH_MOVES_A_MEMBER * count)).ok();
    let planned = match installed {
        Some(tree) => {
            let before = Plan {
                objective: Objective::Height,
                root: speaker,
                trees: vec![tree.clone()],
                ..plan.clone()
            };
            replan(&problem, &before, Budget::for_replan(&problem), MovePrice::default())
                .ok()
                .map(|again| again.plan)
        }
        None => fresh(),
    };
    let tree = planned.or_else(fresh)?.trees.into_iter().next()?;
    Some(Tree { sources: vec![speaker], ..tree })
}
