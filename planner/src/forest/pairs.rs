//! Two trees for every source, in which nobody but the source relays in both (`protect`), all within one budget of
//! copies. Both trees are annealed with all others; what is made small are the pairs (source, member) along both, so that
//! the copy that comes last is not late either.
//!
//! Where that is possible, no member hangs from the source in both trees: else the failure of one path would cost it both.
//!
//! A first pair: half of what there is to send, as equal as can be, is for one tree, and half for the other.

use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

use super::start::grow;
use super::view::View;
use crate::judge::judged;
use crate::plan::{Plan, Tree};
use crate::problem::Problem;
use crate::units::NodeIndex;
use crate::verify::farthest_in;

/// Parents in all first trees, then in all second ones; else a member that found no place. Where there is no way to keep
/// every member from hanging from the source in both trees, it says so in the view.
pub(super) fn start(view: &mut View) -> Result<Vec<u32>, u32> {
    start_as_is(view).or_else(|_| {
        view.apart = false;
        start_as_is(view)
    })
}

fn start_as_is(view: &View) -> Result<Vec<u32>, u32> {
    let mut parents = vec![Vec::new(); 2];
    for source in 0..view.members as u32 {
        let mut random = StdRng::seed_from_u64(u64::from(source));
        let mut stuck = source;
        let found = (0..ATTEMPTS).find_map(|_| {
            let [first, second] = shared_out(view, source, &mut random);
            let grown = grow(view, source, &first, &[]).and_then(|first| {
                let doubled = |&node: &u32| view.apart && first[node as usize] == source;
                let avoided: Vec<u32> = (0..view.members as u32).filter(doubled).collect();
                let second = grow(view, source, &second, &avoided)?;
                Ok((first, second))
            });
            grown.map_err(|member| stuck = member).ok()
        });
        let (first, second) = found.ok_or(stuck)?;
        parents[0].extend(first);
        parents[1].extend(second);
    }
    Ok(parents.concat())
}

/// Most children of every node in either tree of `source`.
fn shared_out(view: &View, source: u32, random: &mut StdRng) -> [Vec<u32>; 2] {
    let mut degrees = [vec![0; view.len()], vec![0; view.len()]];
    let own = view.degree[source as usize];
    degrees[0][source as usize] = own.div_ceil(2);
    degrees[1][source as usize] = own / 2;
    let mut carried = [own.div_ceil(2), own / 2];
    let mut nodes: Vec<u32> = (0..view.len() as u32).filter(|&node| node != source).collect();
    nodes.shuffle(random);
    // Members first: helpers come in only where members do not suffice.
    nodes.sort_by_key(|&node| (view.is_helper(node), std::cmp::Reverse(view.degree[node as usize])));
    let mut settled: Vec<Option<usize>> = vec![None; view.len()];
    for node in nodes {
        // Whoever fails together relays in the same tree.
        let to = settled[node as usize].unwrap_or(usize::from(carried[1] < carried[0]));
        for &fellow in view.fellows(node) {
            settled[fellow as usize] = Some(to);
        }
        degrees[to][node as usize] = view.degree[node as usize];
        carried[to] = carried[to].saturating_add(view.degree[node as usize]);
    }
    degrees
}

/// The plan of two trees a source: a source's trees stand together, the better one first.
pub(super) fn finish(problem: &Problem, mut trees: Vec<Tree>) -> Plan {
    let place = |source: NodeIndex| problem.members.iter().position(|&member| member == source);
    trees.sort_by(|a, b| {
        let farthest = |tree: &Tree| farthest_in(problem, tree);
        place(a.sources[0]).cmp(&place(b.sources[0])).then(farthest(a).total_cmp(&farthest(b)))
    });
    judged(problem, super::finish(problem, trees))
}

/// How often the halves are drawn for one source.
const ATTEMPTS: usize = 8;
