//! Planning at large: a tree of small height over thousands of members and more, without helpers, in time that grows a
//! little faster than their number. Links are looked up, never all of them; the latencies may be a matrix (`matrix`) or
//! coordinates (`space`), which is all that a session of that size has.
//!
//! Where there are thousands of nodes, few are far enough from the root for their detours to count, and nearly any place
//! does for the others. So those with many links come first, nearest first, each below the best of a few nodes around it;
//! then the others, farthest first, each below the nearest node that does (`grow`). What sticks out is put right after:
//! the way to the highest node is shortened wherever that is possible, whoever is in the way goes elsewhere (`repair`).

mod grow;
mod hanging;
mod matrix;
mod near;
mod repair;
mod space;
mod world;

use crate::best::Budget;
use crate::coord::{Coordinate, Model};
use crate::draft::{Draft, NONE};
use crate::instance::Instance;
use crate::plan::Tree;
use crate::plan_error::PlanError;
use crate::search::check_sum;
use crate::units::{Degree, NodeIndex, OneWay};
use grow::grow;
use matrix::Matrix;
use repair::repair;
use space::Space;
use world::World;

/// A tree that was planned on coordinates.
#[derive(Clone, Debug, PartialEq)]
pub struct SpacePlan {
    /// The tree; its source is the root.
    pub tree: Tree,
    /// Largest latency from the root to a member along the tree, as the coordinates predict it.
    pub height: OneWay,
    /// The largest direct latency from the root to a member: no tree in a space is lower.
    pub direct: OneWay,
}

/// Plans a tree over members at coordinates, for the height: in a session of tens of thousands nobody has a matrix. The
/// first is the root. The same members give the same tree; 10,000 take about 10 ms.
///
/// # Errors
/// `PlanError` if there is no tree, or if a coordinate is no place.
pub fn plan_in_space<const N: usize>(
    members: &[(Coordinate<N>, Degree)],
    model: Model,
) -> Result<SpacePlan, PlanError> {
    if let Some(nowhere) = members.iter().position(|(at, _)| !at.iter().all(|x| x.abs() <= COORDINATE_MAX)) {
        return Err(PlanError::Nowhere(nowhere));
    }
    let degrees: Vec<u32> = members.iter().map(|(_, degree)| degree.0).collect();
    check_sum(&degrees, 0, |member| member)?;
    let latency = |a: NodeIndex, b: NodeIndex| model.round_trip_ms(&members[a].0, &members[b].0) / 2.0;
    let order = match members.len() {
        0 | 1 => Draft { parent: Vec::new(), order: Vec::new() },
        _ => planned(&Space::new(members.iter().map(|(at, _)| at), model), &degrees, &mut || true),
    };
    let mut height = vec![0.0; members.len()];
    let mut edges = Vec::with_capacity(members.len().saturating_sub(1));
    for &member in order.order.iter().skip(1) {
        let parent = order.parent[member];
        height[member] = height[parent] + latency(parent, member);
        edges.push((parent, member));
    }
    let most = |values: &mut dyn Iterator<Item = f64>| OneWay::from_sum(values.fold(0.0, f64::max));
    Ok(SpacePlan {
        tree: Tree { sources: (0..members.len().min(1)).collect(), edges },
        height: most(&mut height.iter().copied()),
        direct: most(&mut (1..members.len()).map(|member| latency(0, member))),
    })
}

/// A tree over the instance's members, of which there are two at least, any of which may talk to any other, with its value.
pub(crate) fn start(instance: &Instance<'_>, budget: &mut Budget<'_>) -> Result<(Draft, f64), PlanError> {
    let members = instance.members;
    check_sum(&instance.degree[..members], 0, |member| instance.nodes[member])?;
    let matrix = Matrix::new(instance);
    let mut done = 0;
    let mut draft = planned(&matrix, &instance.degree[..members], &mut || {
        // A look at a node takes far less time than a proposal.
        done += (members / LOOKS_A_PROPOSAL) as u64;
        budget.spent(done) < 1.0
    });
    draft.parent.resize(instance.len(), NONE);
    // `Draft::value` would lay out most rows.
    let mut heights = vec![0.0; members];
    for &node in &draft.order[1..] {
        let parent = draft.parent[node];
        heights[node] = heights[parent] + f64::from(matrix.cost(parent, node));
    }
    Ok((draft, heights.into_iter().fold(0.0, f64::max)))
}

/// A tree over all nodes, of which there are two at least, whose degrees suffice.
fn planned(world: &impl World, degrees: &[u32], more: &mut dyn FnMut() -> bool) -> Draft {
    let mut tree = grow(world, degrees);
    repair(world, &mut tree, more);
    tree.into_draft()
}

/// Nodes looked at for a new parent in the time of a proposal of annealing.
const LOOKS_A_PROPOSAL: usize = 64;
/// Largest coordinate, milliseconds: 11 days. Beyond, squares would not be 32-bit floats.
const COORDINATE_MAX: f64 = 1e9;
