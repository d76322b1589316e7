//! What no tree can beat: certified lower bounds.
//!
//! The direct latency from the root is no bound on recorded data, because relays beat it where the triangle inequality
//! fails. The shortest path through nodes that can relay, those of degree 2 or more, is: every tree path is such a
//! path. The problem's limits on helpers (`helper_min_degree`, `radius`) are not assumed, its forbidden pairs are.

use crate::instance::Instance;
use crate::latency::shortest_paths;
use crate::names::Objective;
use crate::problem::Problem;
use crate::units::OneWay;

/// A lower bound on the objective of any plan for `problem`, without hop cost: on the height for `Height`, on the
/// diameter for `Diameter` and `Forest`. Zero where members cannot be connected at all. Takes O(N^2) for the height
/// over N nodes, and that times the members (at most `SOURCES_MAX` of them) for the diameter.
pub fn lower_bound(problem: &Problem) -> OneWay {
    let instance = Instance::new(problem, |degree| degree >= 2);
    let bound = match problem.objective {
        Objective::Height => farthest_member(&instance, 0),
        Objective::Diameter | Objective::Forest => (0..instance.members.min(SOURCES_MAX))
            .map(|from| farthest_member(&instance, from))
            .fold(0.0, f64::max),
    };
    // Latencies are 32-bit, sums of them rounded: stay below what another order of addition may give.
    OneWay::from_sum(bound * (1.0 - 1e-12))
}

/// Longest of the shortest relay paths from `from` to a member; zero if one is out of reach.
fn farthest_member(instance: &Instance<'_>, from: usize) -> f64 {
    let relays = |node: usize| node == from || instance.degree[node] >= 2;
    let distance = shortest_paths(instance.len(), from, |a, b| {
        (relays(a) && instance.may_link(a, b)).then(|| instance.latency(a, b))
    });
    let farthest = distance[..instance.members].iter().copied().fold(0.0, f64::max);
    if farthest.is_finite() { farthest } else { 0.0 }
}

/// Members from which the diameter's bound looks; any subset gives a valid bound.
const SOURCES_MAX: usize = 256;
