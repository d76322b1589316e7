//! Members that can hardly be connected: where pairs are forbidden, growth may end in a dead end though there is a tree.
//! Whether there is one is NP-hard to say (with two links a node it is a Hamiltonian path), so both answers are looked for.
//!
//! A tree (`tree`), by local search in the manner of Fuerer and Raghavachari, "Approximating the minimum-degree Steiner tree
//! to within one of optimal" (1994): any spanning tree, then links of overloaded nodes are exchanged for others that close
//! the same gap; one that overloads another node instead may open the way for the next.
//!
//! A proof that there is none (`cut`), by toughness: without the nodes W the others fall into c components, which a tree
//! connects by c + |W| - 1 links at least, each of which ends in W. In a forest the tree of a source has to enter each
//! component from W, but the one that the source is in: over K sources, K c copies of W, and one less for each source
//! outside of W. W is sought from a few good guesses by taking in and leaving out single nodes; where the forbidden pairs
//! are all those between nodes behind NATs, the first guess is the best there is.

use crate::best::draws::Draws;
use crate::instance::Instance;
use crate::names::Objective;
use crate::plan_error::PlanError;

/// Links of a tree over the members in which no node has more than its bound, if one is found.
pub(crate) fn tree(instance: &Instance<'_>, bounds: &[u32]) -> Option<Vec<(usize, usize)>> {
    if instance.members < 2 || instance.members > MEMBERS_MAX {
        return None;
    }
    let mut tree = Loose::spanning(instance, bounds)?;
    let mut draws = Draws::new(instance.problem.seed);
    for _ in 0..STEPS_MAX {
        if !tree.relieve(&mut draws) {
            return Some(tree.links);
        }
    }
    None
}

/// Proof that there is no plan, as an error; else `stuck`.
pub(crate) fn failure(instance: &Instance<'_>, stuck: PlanError) -> PlanError {
    if instance.helpers_max > 0 || !instance.forbids || instance.members > MEMBERS_MAX {
        return stuck;
    }
    cut(instance).unwrap_or(stuck)
}

/// A spanning tree with nodes that have too many links.
struct Loose<'a> {
    instance: &'a Instance<'a>,
    bounds: &'a [u32],
    links: Vec<(usize, usize)>,
    degree: Vec<u32>,
}

impl<'a> Loose<'a> {
    /// Any spanning tree, grown from where links are free.
    fn spanning(instance: &'a Instance<'a>, bounds: &'a [u32]) -> Option<Self> {
        let mut tree = Self { instance, bounds, links: Vec::new(), degree: vec![0; instance.members] };
        let mut inside = vec![0];
        let mut outside: Vec<usize> = (1..instance.members).collect();
        while !outside.is_empty() {
            let room = |&node: &usize| i64::from(bounds[node]) - i64::from(tree.degree[node]);
            let pairs = (0..outside.len()).flat_map(|at| inside.iter().map(move |&from| (at, from)));
            let (at, from) = pairs
                .filter(|&(at, from)| instance.may_link(from, outside[at]))
                .max_by_key(|&(at, from)| (room(&from).min(1), room(&outside[at]), room(&from)))?;
            let node = outside.swap_remove(at);
            inside.push(node);
            tree.links.push((from, node));
            tree.degree[from] += 1;
            tree.degree[node] += 1;
        }
        Some(tree)
    }

    /// Takes a link from an overloaded node and closes the gap elsewhere, if that overloads no more; says whether there
    /// was an overloaded node.
    fn relieve(&mut self, draws: &mut Draws) -> bool {
        let too_many =
            |&(a, b): &(usize, usize)| self.degree[a] > self.bounds[a] || self.degree[b] > self.bounds[b];
        let heavy: Vec<usize> = (0..self.links.len()).filter(|&at| too_many(&self.links[at])).collect();
        if heavy.is_empty() {
            return false;
        }
        let old = self.links.swap_remove(heavy[draws.below(heavy.len())]);
        for end in [old.0, old.1] {
            self.degree[end] -= 1;
        }
        let side = self.reached_from(old.0);
        let load = |node: usize| u32::from(self.degree[node] >= self.bounds[node]);
        let mut best = load(old.0) + load(old.1);
        let mut choice = Vec::new();
        for a in (0..side.len()).filter(|&a| side[a]) {
            for b in (0..side.len()).filter(|&b| !side[b]) {
                let worse = load(a) + load(b);
                if worse <= best && (a, b) != old && self.instance.may_link(a, b) {
                    if worse < best {
                        (best, choice) = (worse, Vec::new());
                    }
                    choice.push((a, b));
                }
            }
        }
        let new = if choice.is_empty() { old } else { choice[draws.below(choice.len())] };
        self.links.push(new);
        for end in [new.0, new.1] {
            self.degree[end] += 1;
        }
        true
    }

    fn reached_from(&self, node: usize) -> Vec<bool> {
        let mut beside = vec![Vec::new(); self.degree.len()];
        for &(a, b) in &self.links {
            beside[a].push(b);
            beside[b].push(a);
        }
        let mut reached = vec![false; beside.len()];
        let mut open = vec![node];
        while let Some(node) = open.pop() {
            if !std::mem::replace(&mut reached[node], true) {
                open.extend_from_slice(&beside[node]);
            }
        }
        reached
    }
}

/// Members that would have to take more links, or send more copies, than they can.
fn cut(instance: &Instance<'_>) -> Option<PlanError> {
    let members = instance.members;
    let beside: Vec<u64> = (0..members)
        .map(|a| (0..members).filter(|&b| b != a && instance.may_link(a, b)).map(|b| 1 << b).sum())
        .collect();
    let everywhere = (0..members).filter(|&node| beside[node].count_ones() as usize == members - 1);
    let guesses = [0, everywhere.map(|node| 1 << node).sum()].into_iter().chain(beside.iter().copied());
    for mut within in guesses {
        let (mut given, mut needed) = demand(instance, &beside, within);
        loop {
            if given < needed {
                let relays = within.count_ones() as usize;
                return Some(PlanError::NoPlan { relays, given, needed });
            }
            // One node more or less, while that brings the two closer.
            let flips = (0..members).map(|node| within ^ (1 << node)).map(|flipped| {
                let (given, needed) = demand(instance, &beside, flipped);
                (given as i64 - needed as i64, flipped, given, needed)
            });
            let least = flips.min_by_key(|flip| flip.0);
            match least {
                Some((slack, flipped, more, less)) if slack < given as i64 - needed as i64 => {
                    (within, given, needed) = (flipped, more, less);
                }
                _ => break,
            }
        }
    }
    None
}

/// What the nodes `within` can give, and what the others need of them.
fn demand(instance: &Instance<'_>, beside: &[u64], within: u64) -> (u64, u64) {
    let mut rest = (u64::MAX >> (64 - beside.len())) & !within;
    let mut components = 0;
    while rest != 0 {
        let (mut piece, mut open) = (0, rest & rest.wrapping_neg());
        while open != 0 {
            piece |= open;
            let near = beside[open.trailing_zeros() as usize];
            open = (open & (open - 1)) | (near & rest & !piece);
        }
        rest &= !piece;
        components += 1;
    }
    let nodes = (0..beside.len()).filter(|&node| within >> node & 1 == 1);
    let degrees: u64 = nodes.map(|node| u64::from(instance.degree[node])).sum();
    let inside = u64::from(within.count_ones());
    if instance.problem.objective == Objective::Forest {
        let sources = u64::from(instance.problem.speakers).min(beside.len() as u64);
        // As many of the sources as can be are those within.
        let outside = sources.saturating_sub(inside);
        return (
            degrees * u64::from(instance.problem.speakers),
            (sources * components).saturating_sub(outside),
        );
    }
    (degrees, (components + inside).saturating_sub(1))
}

/// Members up to which this is tried: bits of a word.
const MEMBERS_MAX: usize = 64;
/// Exchanges of one link for another: some milliseconds.
const STEPS_MAX: usize = 5_000;
