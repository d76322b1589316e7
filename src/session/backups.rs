//! Where every node goes when its parent dies, named with the plan, so that nobody needs to be asked then.
//!
//! One relay dies at a time, in all trees at once. Then each of its children goes, with all that hangs below it, where it is
//! without sound for the shortest time ([`Broken::silence_ms`]): to a node that is not below the dead one, or in the subtree of
//! a brother that has found its place already, so that no two go round in a ring; and together they fit into the degrees that
//! are free then, the copies for the dead included. Children of different relays may count on the same free degree. When the
//! top of a shared tree dies, the largest of its subtrees stays as it is, and the others go there. The plan that follows soon
//! makes the ways short again.

use alm_planner::{Objective, Plan};

use super::delays::Delays;
use super::plan::SPEAKERS;

/// For each tree of the plan, (node, backup parent). `degrees` is what each node can carry. Nodes for which there is no
/// room anywhere are absent.
pub(super) fn backups(plan: &Plan, delays: &Delays, degrees: &[u32]) -> Vec<Vec<(usize, usize)>> {
    let shared = plan.objective != Objective::Forest;
    let trees: Vec<Hung> = plan.trees.iter().map(|tree| Hung::new(degrees.len(), &tree.edges)).collect();
    let copies = copies(&trees, degrees.len(), shared);
    let mut found = vec![Vec::new(); trees.len()];
    for relay in 0..degrees.len() {
        // A voice that has died needs no other way, unless others speak along its tree.
        let concerned =
            |tree: &Hung| !tree.children[relay].is_empty() && (shared || tree.order.first() != Some(&relay));
        if !trees.iter().any(concerned) {
            continue;
        }
        let mut broken = Broken { copies: copies.clone(), shared, degrees, delays };
        for (t, tree) in trees.iter().enumerate().filter(|(_, tree)| concerned(tree)) {
            found[t].extend(broken.without(relay, t, tree));
        }
    }
    found
}

/// For each tree of the plan, (node, detour): over whom what comes from the node's parent goes while the way from there is bad
/// (one hop more, as in RON). That is a node which has it anyway, no deeper in the tree than the one that it is for, over
/// which the delay from the top is least, with a degree that is free. Several may count on the same free degree.
pub(super) fn detours(plan: &Plan, delays: &Delays, degrees: &[u32]) -> Vec<Vec<(usize, usize)>> {
    let shared = plan.objective != Objective::Forest;
    let trees: Vec<Hung> = plan.trees.iter().map(|tree| Hung::new(degrees.len(), &tree.edges)).collect();
    let whole = Broken { copies: copies(&trees, degrees.len(), shared), shared, degrees, delays };
    let found = |(t, tree): (usize, &Hung)| {
        let (mut delay, mut depth) = (vec![None; degrees.len()], vec![0; degrees.len()]);
        let Some(&top) = tree.order.first() else { return vec![] };
        whole.hang(tree, top, 0.0, usize::MAX, &mut delay);
        for &node in &tree.order[1..] {
            depth[node] = tree.parent[node].map_or(0, |parent| depth[parent]) + 1;
        }
        let roomy: Vec<usize> = tree.order.iter().copied().filter(|over| whole.has_room(*over, t)).collect();
        let over = |node: usize| {
            let fits = |over: &&usize| {
                **over != node
                    && depth[**over] <= depth[node]
                    && tree.parent[node] != Some(**over)
                    && delays.is_measured(**over, node)
                    && !delays.is_forbidden(**over, node)
            };
            let reached = |over: &usize| Some((*over, delay[*over]? + delays.hop_ms(*over, node)));
            let all = roomy.iter().filter(fits).filter_map(reached);
            all.min_by(|(_, a), (_, b)| a.total_cmp(b)).map(|(over, _)| (node, over))
        };
        tree.order[1..].iter().filter_map(|node| over(*node)).collect()
    };
    trees.iter().enumerate().map(found).collect()
}

/// What each node sends along each tree, in copies of a voice; in a shared tree, its links.
fn copies(trees: &[Hung], nodes: usize, shared: bool) -> Copies {
    let mut copies = Copies { trees: trees.len(), of: vec![0; trees.len() * nodes] };
    for (t, tree) in trees.iter().enumerate() {
        for &node in &tree.order {
            copies.row(node)[t] =
                tree.children[node].len() as u32 + u32::from(shared && node != tree.order[0]);
        }
    }
    copies
}

/// Row by row, a node each, a tree in each column.
#[derive(Clone)]
struct Copies {
    trees: usize,
    of: Vec<u32>,
}

impl Copies {
    fn of(&self, node: usize) -> &[u32] {
        &self.of[node * self.trees..][..self.trees]
    }

    fn row(&mut self, node: usize) -> &mut [u32] {
        &mut self.of[node * self.trees..][..self.trees]
    }
}

/// A tree, by node.
struct Hung {
    /// Parents first.
    order: Vec<usize>,
    parent: Vec<Option<usize>>,
    children: Vec<Vec<usize>>,
}

impl Hung {
    fn new(nodes: usize, edges: &[(usize, usize)]) -> Self {
        let mut hung = Self { order: vec![], parent: vec![None; nodes], children: vec![vec![]; nodes] };
        for &(parent, child) in edges.iter().filter(|(a, b)| *a.max(b) < nodes) {
            hung.parent[child] = Some(parent);
            hung.children[parent].push(child);
        }
        let mut open: Vec<usize> = edges.first().map(|(top, _)| *top).into_iter().collect();
        while let Some(node) = open.pop() {
            hung.order.push(node);
            open.extend(&hung.children[node]);
        }
        hung
    }

    fn subtree(&self, top: usize) -> Vec<usize> {
        let mut within = vec![top];
        let mut at = 0;
        while let Some(&node) = within.get(at) {
            within.extend(&self.children[node]);
            at += 1;
        }
        within
    }
}

/// All trees, when one relay is dead.
struct Broken<'a> {
    /// What each node sends along each tree, in copies of a voice; in a shared tree, its links.
    copies: Copies,
    shared: bool,
    degrees: &'a [u32],
    delays: &'a Delays,
}

impl Broken<'_> {
    /// Where the children of `relay` go in one tree.
    fn without(&mut self, relay: usize, t: usize, tree: &Hung) -> Vec<(usize, usize)> {
        if let Some(above) = tree.parent[relay] {
            let copies = &mut self.copies.row(above)[t];
            *copies = copies.saturating_sub(1);
        }
        let mut delay: Vec<Option<f64>> = vec![None; tree.parent.len()];
        let mut orphans: Vec<Vec<usize>> =
            tree.children[relay].iter().map(|child| tree.subtree(*child)).collect();
        orphans.sort_by_key(|orphan| std::cmp::Reverse(orphan.len()));
        let top = if tree.order.first() == Some(&relay) { orphans.remove(0)[0] } else { tree.order[0] };
        self.hang(tree, top, 0.0, relay, &mut delay);
        let mut whole: Vec<Option<f64>> = vec![None; tree.parent.len()];
        self.hang(tree, tree.order[0], 0.0, usize::MAX, &mut whole);
        let mut pairs = Vec::new();
        for orphan in orphans {
            let child = orphan[0];
            let reached = |place: usize| Some((place, delay[place]? + self.delays.hop_ms(place, child)));
            let places = tree.order.iter().filter(|place| self.has_room(**place, t));
            let places = places.filter(|place| !self.delays.is_forbidden(**place, child));
            let places = places.filter_map(|place| reached(*place));
            let places =
                places.map(|(place, ms)| (place, ms, self.silence_ms(place, child, ms, whole[child])));
            let Some((place, ms, _)) = places.min_by(|(.., a), (.., b)| a.total_cmp(b)) else { continue };
            self.copies.row(place)[t] += 1;
            self.hang(tree, child, ms, relay, &mut delay);
            pairs.push((child, place));
        }
        pairs
    }

    /// For how long a child that turns to `place` hears nothing once it has noticed: its asking goes there and what it has missed
    /// comes back, and by so much as everything comes later that way than it did, `whole_ms` from the top, its buffer runs dry.
    fn silence_ms(&self, place: usize, child: usize, ms: f64, whole_ms: Option<f64>) -> f64 {
        let later_ms = whole_ms.map_or(0.0, |whole_ms| (ms - whole_ms).max(0.0));
        2.0 * self.delays.hop_ms(place, child) + later_ms
    }

    /// Gives delays to a subtree, but for what is below the dead.
    fn hang(&self, tree: &Hung, top: usize, ms: f64, dead: usize, delay: &mut [Option<f64>]) {
        let mut open = vec![(top, ms)];
        while let Some((node, ms)) = open.pop() {
            delay[node] = Some(ms);
            let below = tree.children[node].iter().filter(|child| **child != dead);
            open.extend(below.map(|child| (*child, ms + self.delays.hop_ms(node, *child))));
        }
    }

    /// True if a node can send one copy more along a tree.
    fn has_room(&self, node: usize, t: usize) -> bool {
        if self.shared {
            return self.copies.of(node)[t] < self.degrees[node];
        }
        let mut copies = self.copies.of(node).to_vec();
        copies[t] += 1;
        copies.sort_unstable_by(|a, b| b.cmp(a));
        copies.iter().take(SPEAKERS).sum::<u32>() <= self.degrees[node] * SPEAKERS as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::NodeId;
    use crate::pool::NodeReport;
    use alm_planner::{OneWay, Tree};

    /// Nodes on a line, 10 ms apart.
    fn delays(nodes: u8) -> Delays {
        let node = |n: u8| NodeId([n; 32]);
        let report = |n: u8| NodeReport {
            node: node(n),
            addrs: vec![],
            place: crate::pool::Place::UNKNOWN,
            lends: false,
            of: crate::pool::AuthorityMark::NONE,
            degree_bound: 3,
            held: vec![],
            round_trips_ms: (0..nodes).map(|to| (node(to), 20.0 * f32::from(n.abs_diff(to)))).collect(),
            reach: crate::pool::Reach::Unknown,
            unreachable: vec![],
        };
        Delays::new(
            &(0..nodes).map(|n| (node(n), 3)).collect::<Vec<_>>(),
            &(0..nodes).map(report).collect::<Vec<_>>(),
            &[],
        )
    }

    fn plan(objective: Objective, edges: &[(usize, usize)]) -> Plan {
        let members: Vec<usize> = (0..=edges.len()).collect();
        let sources = if objective == Objective::Forest { vec![edges[0].0] } else { members.clone() };
        Plan {
            objective,
            root: edges[0].0,
            members,
            helpers: vec![],
            trees: vec![Tree { sources, edges: edges.to_vec() }],
            height: OneWay::ZERO,
            diameter: OneWay::ZERO,
        }
    }

    /// 0 above 1 above 2 and 3; 3 above 4; and 5 below 0.
    const EDGES: [(usize, usize); 5] = [(0, 1), (1, 2), (1, 3), (3, 4), (0, 5)];

    #[test]
    fn orphans_go_where_sound_is_back_soonest_and_never_below_themselves() {
        let voice = plan(Objective::Forest, &EDGES);
        // The larger subtree first: 3 to the top, which then has three copies again; 2 there as well, as soon as over 3; and 4 to
        // the next node, though what comes from there is later.
        let found = backups(&voice, &delays(6), &[1, 3, 3, 3, 3, 3]);
        assert_eq!(found, [vec![(3, 0), (2, 0), (4, 5)]], "what node 3 leaves behind goes over the nearest");
        let full = backups(&voice, &delays(6), &[0, 3, 0, 3, 3, 0]);
        assert_eq!(full, [vec![(4, 1)]], "no room for the others");
    }

    #[test]
    fn a_detour_leads_over_the_nearest_that_has_it_anyway_and_could_not_have_it_from_there() {
        let voice = plan(Objective::Forest, &EDGES);
        let found = detours(&voice, &delays(6), &[3; 6]);
        // 0 above 1 and 5, 1 above 2 and 3, 3 above 4. Node 5 is 50 ms off, and the only one beside node 1.
        assert_eq!(found, [vec![(5, 1), (1, 5), (3, 0), (4, 0), (2, 0)]]);
        let full = detours(&voice, &delays(6), &[0, 3, 0, 3, 3, 0]);
        assert_eq!(full, [vec![(5, 1), (4, 1), (2, 3)]], "no room for the others");
        let shared = detours(&plan(Objective::Diameter, &EDGES), &delays(6), &[2; 6]);
        assert_eq!(shared, [vec![(1, 5), (3, 2), (4, 2), (2, 5)]], "nodes 0 and 1 are full");
    }

    #[test]
    fn when_the_top_of_a_shared_tree_dies_its_largest_subtree_stays() {
        let shared = plan(Objective::Diameter, &EDGES);
        let found = backups(&shared, &delays(6), &[3; 6]);
        assert!(found[0].iter().all(|(child, _)| *child != 1), "{found:?}");
        let (_, place) = found[0].iter().find(|(child, _)| *child == 5).unwrap();
        assert!([2, 3, 4].contains(place), "node 1 is full: {found:?}");
    }
}
