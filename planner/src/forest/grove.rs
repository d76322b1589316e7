//! All trees of a forest at once, as the annealing changes them.
//!
//! A subtree that comes to hang x deeper has its part of the smoothed worst pair's sum (`change`) multiplied by
//! e^(x / w). So with that part kept at each node, what a move would do is known without a walk through the subtree; only
//! a move that is made walks: over the subtree, for delays, and over the ancestors on both sides, for sums.

use super::anneal::MEAN_WEIGHT;
use super::copies::Copies;
use super::view::View;

/// Stands for "no node".
pub(super) const NO: u32 = u32::MAX;
/// The parent of a source in its own tree.
pub(super) const TOP: u32 = u32::MAX - 1;

/// A node in one tree.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spot {
    /// `NO` if the node is not in the tree, `TOP` at the source.
    pub(super) parent: u32,
    pub(super) first: u32,
    pub(super) next: u32,
    before: u32,
    pub(super) kids: u32,
    /// Members in the subtree, the source not counted.
    pub(super) members: u32,
    pub(super) delay: f64,
    /// Sum of e^((d - reference) / w) over those members.
    pub(super) sum: f64,
}

const ABSENT: Spot =
    Spot { parent: NO, first: NO, next: NO, before: NO, kids: 0, members: 0, delay: 0.0, sum: 0.0 };

/// One tree per source, the source of tree t being node t of the view; or two, the second ones after all the first.
#[derive(Clone, Debug)]
pub(super) struct Grove<'a> {
    pub(super) view: &'a View,
    pub(super) nodes: usize,
    pub(super) spots: Vec<Spot>,
    pub(super) copies: Copies,
    /// In how many trees each helper is.
    pub(super) uses: Vec<u32>,
    /// Helpers in any tree, and where each stands in that list.
    pub(super) used: Vec<u32>,
    place: Vec<u32>,
    pub(super) width: f64,
    pub(super) reference: f64,
    pub(super) sum: f64,
    pub(super) delay: f64,
}

impl<'a> Grove<'a> {
    /// Trees from the parents of every node in each: `parents[t * nodes + v]`, `NO` for the source and for absent
    /// nodes.
    pub(super) fn new(view: &'a View, parents: &[u32]) -> Self {
        let nodes = view.len();
        let trees = view.trees();
        let mut grove = Self {
            view,
            nodes,
            spots: vec![ABSENT; trees * nodes],
            copies: Copies::new(view.budget.clone(), view.speakers, (nodes - 1) * view.trees_each),
            uses: vec![0; nodes],
            used: Vec::new(),
            place: vec![NO; nodes],
            width: 1.0,
            reference: 0.0,
            sum: 0.0,
            delay: 0.0,
        };
        for tree in 0..trees as u32 {
            grove.spot_mut(tree, view.source(tree)).parent = TOP;
            for node in 0..nodes as u32 {
                let parent = parents[tree as usize * nodes + node as usize];
                if parent != NO {
                    grove.put(tree, node, parent);
                }
            }
        }
        let worst = grove.measure_delays();
        grove.set_width(worst.max(1e-3) * 0.05);
        grove
    }

    pub(super) fn trees(&self) -> u32 {
        self.view.trees() as u32
    }

    /// The source of a tree.
    #[inline]
    pub(super) fn source(&self, tree: u32) -> u32 {
        self.view.source(tree)
    }

    /// Copies that `node` sends of the tree's source: its children there, and in the other tree if there are two.
    #[inline]
    pub(super) fn sent(&self, tree: u32, node: u32) -> u32 {
        let other = self.view.twin(tree).map_or(0, |twin| self.spot(twin, node).kids);
        self.spot(tree, node).kids + other
    }

    /// Whether `node` must be a leaf in the tree: it relays in the other one of the same source, or who fails with it does.
    /// The source itself sends in both, and whoever fails with it may.
    #[inline]
    pub(super) fn is_barred(&self, tree: u32, node: u32) -> bool {
        let Some(twin) = self.view.twin(tree) else { return false };
        let source = self.source(tree);
        let fellows = self.view.fellows(node);
        node != source
            && !fellows.contains(&source)
            && (self.spot(twin, node).kids > 0
                || fellows.iter().any(|&fellow| self.spot(twin, fellow).kids > 0))
    }

    #[inline]
    pub(super) fn spot(&self, tree: u32, node: u32) -> &Spot {
        &self.spots[tree as usize * self.nodes + node as usize]
    }

    #[inline]
    pub(super) fn spot_mut(&mut self, tree: u32, node: u32) -> &mut Spot {
        &mut self.spots[tree as usize * self.nodes + node as usize]
    }

    #[inline]
    pub(super) fn is_placed(&self, tree: u32, node: u32) -> bool {
        self.spot(tree, node).parent != NO
    }

    #[inline]
    pub(super) fn is_used(&self, helper: u32) -> bool {
        self.uses[helper as usize] > 0
    }

    /// Whether the link would come from the source in both trees, so that its failure would cut `node` off.
    #[inline]
    pub(super) fn is_doubled(&self, tree: u32, parent: u32, node: u32) -> bool {
        let source = self.source(tree);
        let twin = self.view.twin(tree).filter(|_| self.view.apart && parent == source);
        twin.is_some_and(|twin| self.spot(twin, node).parent == source)
    }

    pub(super) fn trees_with(&self, helper: u32) -> u32 {
        self.uses[helper as usize]
    }

    #[inline]
    pub(super) fn is_used_once(&self, helper: u32) -> bool {
        self.uses[helper as usize] == 1
    }

    /// Whether `node` is `above` or below it.
    #[inline]
    pub(super) fn is_below(&self, tree: u32, mut node: u32, above: u32) -> bool {
        while node < TOP {
            if node == above {
                return true;
            }
            node = self.spot(tree, node).parent;
        }
        false
    }

    /// Whether the node may have one more child in the tree.
    #[inline]
    pub(super) fn has_room(&self, tree: u32, node: u32) -> bool {
        !self.is_barred(tree, node) && self.copies.fits(node, self.sent(tree, node))
    }

    /// The `at`-th child.
    pub(super) fn child(&self, tree: u32, node: u32, at: usize) -> u32 {
        let mut child = self.spot(tree, node).first;
        for _ in 0..at {
            child = self.spot(tree, child).next;
        }
        child
    }

    /// Hangs the subtree below `node` from `parent`, which is outside of it. Helpers that this leaves idle leave the
    /// tree.
    pub(super) fn hang(&mut self, tree: u32, node: u32, parent: u32) {
        let old = self.spot(tree, node).parent;
        self.hang_untidily(tree, node, parent);
        self.tidy(tree, old);
    }

    /// The same, but whoever it leaves idle stays.
    pub(super) fn hang_untidily(&mut self, tree: u32, node: u32, parent: u32) {
        self.cut(tree, node);
        let delay = self.spot(tree, parent).delay + self.view.cost(parent, node);
        self.shift(tree, node, delay);
        self.tie(tree, node, parent);
    }

    /// Puts a helper that is not in the tree below `parent`; it stays idle until something hangs from it.
    pub(super) fn put(&mut self, tree: u32, node: u32, parent: u32) {
        let delay = self.spot(tree, parent).delay + self.view.cost(parent, node);
        let helper = self.view.is_helper(node);
        let spot = self.spot_mut(tree, node);
        spot.delay = delay;
        self.tie(tree, node, parent);
        if helper {
            self.uses[node as usize] += 1;
            if self.uses[node as usize] == 1 {
                self.place[node as usize] = self.used.len() as u32;
                self.used.push(node);
            }
        }
    }

    /// Takes out `node` and those above it that are idle helpers.
    pub(super) fn tidy(&mut self, tree: u32, mut node: u32) {
        while node < TOP && self.view.is_helper(node) && self.spot(tree, node).kids == 0 {
            let parent = self.spot(tree, node).parent;
            self.cut(tree, node);
            *self.spot_mut(tree, node) = ABSENT;
            self.uses[node as usize] -= 1;
            if self.uses[node as usize] == 0 {
                let at = self.place[node as usize];
                self.used.swap_remove(at as usize);
                if let Some(&moved) = self.used.get(at as usize) {
                    self.place[moved as usize] = at;
                }
            }
            node = parent;
        }
    }

    fn cut(&mut self, tree: u32, node: u32) {
        let Spot { parent, next, before, members, sum, .. } = *self.spot(tree, node);
        if before == NO {
            self.spot_mut(tree, parent).first = next;
        } else {
            self.spot_mut(tree, before).next = next;
        }
        if next != NO {
            self.spot_mut(tree, next).before = before;
        }
        self.copies.remove(parent, self.sent(tree, parent));
        self.spot_mut(tree, parent).kids -= 1;
        self.add_above(tree, parent, members.wrapping_neg(), -sum);
    }

    fn tie(&mut self, tree: u32, node: u32, parent: u32) {
        let first = self.spot(tree, parent).first;
        let spot = self.spot_mut(tree, node);
        spot.parent = parent;
        spot.before = NO;
        spot.next = first;
        let (members, sum) = (spot.members, spot.sum);
        if first != NO {
            self.spot_mut(tree, first).before = node;
        }
        self.spot_mut(tree, parent).first = node;
        self.copies.add(parent, self.sent(tree, parent));
        self.spot_mut(tree, parent).kids += 1;
        self.add_above(tree, parent, members, sum);
    }

    fn add_above(&mut self, tree: u32, mut node: u32, members: u32, sum: f64) {
        while node < TOP {
            let spot = self.spot_mut(tree, node);
            spot.members = spot.members.wrapping_add(members);
            spot.sum += sum;
            node = spot.parent;
        }
    }

    /// Moves a subtree that is cut off to another delay.
    fn shift(&mut self, tree: u32, top: u32, delay: f64) {
        let spot = *self.spot(tree, top);
        let deeper = delay - spot.delay;
        let factor = (deeper / self.width).exp();
        self.sum += spot.sum * (factor - 1.0);
        self.delay += deeper * f64::from(spot.members);
        let mut node = top;
        loop {
            let spot = self.spot_mut(tree, node);
            spot.delay += deeper;
            spot.sum *= factor;
            if spot.first != NO {
                node = spot.first;
                continue;
            }
            while node != top && self.spot(tree, node).next == NO {
                node = self.spot(tree, node).parent;
            }
            if node == top {
                return;
            }
            node = self.spot(tree, node).next;
        }
    }

    /// Nodes of a tree, every parent before its children.
    pub(super) fn preorder(&self, tree: u32, order: &mut Vec<u32>) {
        order.clear();
        order.push(self.source(tree));
        let mut at = 0;
        while at < order.len() {
            let mut child = self.spot(tree, order[at]).first;
            while child != NO {
                order.push(child);
                child = self.spot(tree, child).next;
            }
            at += 1;
        }
    }

    /// Largest delay of any pair, hop costs included: O(M^2).
    pub(super) fn worst(&self) -> f64 {
        let members = self.view.members;
        self.spots
            .chunks(self.nodes)
            .fold(0.0, |worst, tree| tree[..members].iter().map(|spot| spot.delay).fold(worst, f64::max))
    }

    /// What is made small, with so much for every helper in use: O(M^2).
    pub(super) fn value(&self, helper_price: f64) -> f64 {
        self.worst() + MEAN_WEIGHT * self.delay / self.pairs() + helper_price * self.used.len() as f64
    }

    /// Pairs of a source and another member, by tree.
    pub(super) fn pairs(&self) -> f64 {
        (self.view.trees() * (self.view.members - 1)).max(1) as f64
    }

    /// Parents of all nodes in all trees, as `new` takes them.
    pub(super) fn write_parents(&self, parents: &mut [u32]) {
        for (parent, spot) in parents.iter_mut().zip(&self.spots) {
            *parent = if spot.parent >= TOP { NO } else { spot.parent };
        }
    }
}
