//! What no tree can beat: certified lower bounds.
//!
//! The direct latency from the root is no bound on recorded data, because relays beat it where the triangle inequality
//! fails. The shortest path through nodes that can relay, those of degree 2 or more, is: every tree path is such a
//! path. The problem's limits on helpers (`helper_min_degree`, `radius`) are not assumed, its forbidden pairs and
//! `max_helpers` are.
//!
//! Height, by hop capacity: at most d(r) nodes are one hop from the root r, at most d(r) and the sum of the d(r)
//! largest degrees less one within two, and so on. If c members at most fit within k hops, then of all members but the
//! root, each by its shortest relay path of more than k hops, the (c + 1)-th farthest is no farther than the height.
//! From there on by who can cover whom (`cover`), which is most of the bound where the root has few links.
//!
//! Diameter, by the absolute centre: where both directions of a link cost the same, a tree's diameter D has its middle
//! on a link (a, b), and the members on either side are within D / 2 of it, so that D >= max(ra + l(a, b) + rb, 2 ra,
//! 2 rb) for the radii of the two sides. The least of that over all links and all ways to share out the members is a
//! bound, and sharing them out by their distance from a is best. Where directions differ, their mean takes the place of
//! both: the larger of two is no less than the mean. From there on by who can cover whom, here too.

mod cover;
mod diameter;
mod height;

use crate::instance::Instance;
use crate::latency::shortest_paths;
use crate::names::Objective;
use crate::problem::Problem;
use crate::units::OneWay;

/// A lower bound on the objective of any plan for `problem`, without hop cost: on the height for `Height`, on the
/// diameter for `Diameter` and `Forest`. Zero where members cannot be connected at all. Takes O(N^2) for the height
/// over N nodes, and that times the members (fewer of them in large problems) for the diameter; times 16 members at most
/// for the height of up to `cover`'s number of nodes: 0.1 s at 1,200; 1 s there for the diameter.
pub fn lower_bound(problem: &Problem) -> OneWay {
    let instance = Instance::new(problem, |degree| degree >= relaying(problem.objective));
    let bound = match problem.objective {
        Objective::Height => height_bound(&instance),
        Objective::Diameter => diameter_bound(&instance),
        // A tree for each source may do better than any one tree, but no better than its relay paths.
        Objective::Forest => widest_pair(&instance, &sources(&instance)),
    };
    // Latencies are 32-bit, sums of them rounded: stay below what another order of addition may give.
    OneWay::from_sum(if bound.is_finite() { bound * (1.0 - 1e-12) } else { 0.0 })
}

/// Latency of a link that may exist, infinite otherwise.
fn link(instance: &Instance<'_>, from: usize, to: usize) -> f64 {
    if instance.may_link(from, to) { instance.latency(from, to) } else { f64::INFINITY }
}

/// The same for the mean of its two directions.
fn mean_link(instance: &Instance<'_>, a: usize, b: usize) -> f64 {
    f64::midpoint(link(instance, a, b), link(instance, b, a))
}

/// Least degree of a relay. In a forest the link to a parent takes none.
fn relaying(objective: Objective) -> u32 {
    if objective == Objective::Forest { 1 } else { 2 }
}

/// Shortest relay paths from `from` to every node.
fn relay_paths(instance: &Instance<'_>, from: usize, latency: impl Fn(usize, usize) -> f64) -> Vec<f64> {
    let relaying = relaying(instance.problem.objective);
    shortest_paths(instance.len(), from, |a, b| {
        let cost = latency(a, b);
        ((a == from || instance.degree[a] >= relaying) && cost.is_finite()).then_some(cost)
    })
}

fn height_bound(instance: &Instance<'_>) -> f64 {
    let others = 1..instance.members;
    let shortest = relay_paths(instance, 0, |a, b| link(instance, a, b));
    let mut bound = shortest[others.clone()].iter().copied().fold(0.0, f64::max);
    let mut spare: Vec<u64> =
        instance.degree[instance.members..].iter().map(|&degree| u64::from(degree) - 1).collect();
    spare.sort_unstable_by(|a, b| b.cmp(a));
    spare.truncate(instance.helpers_max);
    spare.extend(instance.degree[others.clone()].iter().map(|&degree| u64::from(degree.saturating_sub(1))));
    spare.sort_unstable_by(|a, b| b.cmp(a));

    // Nodes within k hops at most, and each node's shortest relay path of at least k hops.
    let mut within = u64::from(instance.degree[0]);
    let mut paths = shortest.clone();
    for _ in 0..HOPS_MAX {
        let left = instance.members - 1;
        let Some(farther) = usize::try_from(within).ok().filter(|&within| within < left) else { break };
        let mut longer = vec![f64::INFINITY; instance.len()];
        for relay in (1..instance.len()).filter(|&node| instance.degree[node] >= 2) {
            for (to, path) in longer.iter_mut().enumerate() {
                if to != relay {
                    *path = path.min(paths[relay] + link(instance, relay, to));
                }
            }
        }
        paths = longer.iter().zip(&shortest).map(|(longer, shortest)| longer.max(*shortest)).collect();
        let mut members = paths[others.clone()].to_vec();
        members.sort_by(f64::total_cmp);
        bound = bound.max(members[left - farther - 1]);
        let placed = usize::try_from(within).unwrap_or(usize::MAX);
        let grown = u64::from(instance.degree[0]) + spare.iter().take(placed).sum::<u64>();
        if grown <= within {
            break;
        }
        within = grown;
    }
    height::height_bound(instance, &shortest, bound)
}

fn diameter_bound(instance: &Instance<'_>) -> f64 {
    let members = sources(instance);
    if instance.members < 2 {
        return 0.0;
    }
    let mean = |a, b| mean_link(instance, a, b);
    let from: Vec<Vec<f64>> = members.iter().map(|&member| relay_paths(instance, member, mean)).collect();
    let mut least = f64::INFINITY;
    let mut order: Vec<usize> = (0..members.len()).collect();
    for a in 0..instance.len() {
        order.sort_by(|&u, &v| from[u][a].total_cmp(&from[v][a]));
        least = least.min(2.0 * from[order[order.len() - 1]][a]);
        for b in (0..instance.len()).filter(|&b| b != a) {
            let between = mean(a, b);
            // From all on b's side to all but the farthest on a's; b's radius grows as a's shrinks.
            let mut other = 0.0_f64;
            for share in (0..order.len()).rev() {
                other = other.max(from[order[share]][b]);
                if 2.0 * other >= least {
                    break;
                }
                let own = if share == 0 { 0.0 } else { from[order[share - 1]][a] };
                least = least.min((own + between + other).max(2.0 * own).max(2.0 * other));
            }
        }
    }
    let widest = widest_pair(instance, &members);
    diameter::diameter_bound(instance, if least.is_finite() { least.max(widest) } else { widest })
}

/// Longest of the shortest relay paths from any of `from` to a member.
fn widest_pair(instance: &Instance<'_>, from: &[usize]) -> f64 {
    let farthest = |&member: &usize| {
        let paths = relay_paths(instance, member, |a, b| link(instance, a, b));
        paths[..instance.members].iter().copied().fold(0.0, f64::max)
    };
    from.iter().map(farthest).fold(0.0, f64::max)
}

/// Members from which the diameter's bound looks; any subset gives a valid bound.
fn sources(instance: &Instance<'_>) -> Vec<usize> {
    let most = (WORK_MAX / (instance.len() * instance.len())).max(4);
    let step = instance.members.div_ceil(most);
    (0..instance.members).step_by(step).collect()
}

/// Levels of the tree that the capacity bound looks at: beyond, hardly any tree is so narrow that it would bind.
const HOPS_MAX: usize = 8;
/// About how many path lengths the diameter's bound looks at: half a second.
const WORK_MAX: usize = 200_000_000;
/// Nodes up to which it is worth the time to look at who covers whom.
const NODES_MAX: usize = 3_000;
/// What 32-bit sums of three may be off by, and more.
const ROUNDING: f32 = 1e-6;
