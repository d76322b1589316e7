//! The moves of the annealing: what each would change, and how it is made. All judge before anything changes; `None`
//! means that the move does not exist or that a node would send too much.

use super::change::Change;
use super::grove::{Grove, NO};

/// One move, judged and possible. `tree` is where it happens.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    /// A subtree hangs from another node.
    Hang { tree: u32, node: u32, to: u32 },
    /// A child of `to`, in any tree, moves to `place`; that makes room for `node`.
    Relieve { tree: u32, node: u32, to: u32, other: u32, child: u32, place: u32 },
    /// Two subtrees change places.
    Swap { tree: u32, a: u32, b: u32 },
    /// A node and its parent change places; the parent keeps its other children.
    Rise { tree: u32, node: u32 },
    /// A leaf takes over the place and all children of a node, which becomes a leaf where that was.
    Exchange { tree: u32, leaf: u32, inner: u32 },
    /// A helper comes in below `parent`, and takes over the nodes in the list of takers.
    Insert { tree: u32, helper: u32, parent: u32 },
    /// A helper goes, and another takes over its place and children, or its parent does.
    Replace { tree: u32, helper: u32, by: u32 },
}

/// A move and what it would change.
pub(super) type Judged = Option<(Step, Change)>;

impl Grove<'_> {
    pub(super) fn judge_hang(&self, tree: u32, node: u32, to: u32) -> Judged {
        if to == self.spot(tree, node).parent
            || !self.has_room(tree, to)
            || self.is_doubled(tree, to, node)
            || self.is_below(tree, to, node)
        {
            return None;
        }
        Some((Step::Hang { tree, node, to }, self.change_of_hanging(tree, node, to)))
    }

    fn change_of_hanging(&self, tree: u32, node: u32, to: u32) -> Change {
        let delay = self.spot(tree, to).delay + self.view.cost(to, node);
        Change { helpers: self.freed_by(tree, node), ..self.judge_at(tree, node, delay) }
    }

    /// `to` has no room for `node` in `tree`, and gives up a child in `other` for it.
    pub(super) fn judge_relieve(
        &self,
        [tree, node, to]: [u32; 3],
        [other, child, place]: [u32; 3],
    ) -> Judged {
        let same = other == tree;
        if to == self.spot(tree, node).parent
            || place == to
            || (same && child == node)
            || self.is_below(tree, to, node)
            || self.is_below(other, place, child)
            || !self.has_room(other, place)
            || self.is_doubled(tree, to, node)
            || self.is_doubled(other, place, child)
        {
            return None;
        }
        if same && (self.is_below(tree, place, node) || self.is_below(tree, node, child)) {
            return None;
        }
        // For another tree of the same source, it sends as many as before.
        let twin = self.view.twin(tree) == Some(other);
        if !same && self.is_barred(tree, to)
            || !same && !twin && !self.copies.fits_for(to, self.sent(tree, to), self.sent(other, to))
        {
            return None;
        }
        let change = self.change_of_hanging(tree, node, to) + {
            let delay = self.spot(other, place).delay + self.view.cost(place, child);
            self.judge_at(other, child, delay)
        };
        Some((Step::Relieve { tree, node, to, other, child, place }, change))
    }

    pub(super) fn judge_swap(&self, tree: u32, a: u32, b: u32) -> Judged {
        let (above_a, above_b) = (self.spot(tree, a).parent, self.spot(tree, b).parent);
        if above_a == above_b || self.is_below(tree, a, b) || self.is_below(tree, b, a) {
            return None;
        }
        if self.is_doubled(tree, above_b, a) || self.is_doubled(tree, above_a, b) {
            return None;
        }
        let at_a = self.spot(tree, above_b).delay + self.view.cost(above_b, a);
        let at_b = self.spot(tree, above_a).delay + self.view.cost(above_a, b);
        Some((Step::Swap { tree, a, b }, self.judge_at(tree, a, at_a) + self.judge_at(tree, b, at_b)))
    }

    pub(super) fn judge_rise(&self, tree: u32, node: u32) -> Judged {
        let parent = self.spot(tree, node).parent;
        if parent == self.source(tree) || (self.view.is_helper(parent) && self.spot(tree, parent).kids == 1) {
            return None;
        }
        if !self.has_room(tree, node) {
            return None;
        }
        let above = self.spot(tree, parent).parent;
        if self.is_doubled(tree, above, node) {
            return None;
        }
        let delay = self.spot(tree, above).delay + self.view.cost(above, node);
        let parent_delay = delay + self.view.cost(node, parent);
        let change = self.judge_at(tree, node, delay);
        // What hangs below the parent, this subtree aside.
        let rest = self.judge_at(tree, parent, parent_delay);
        let spot = self.spot(tree, node);
        let deeper = parent_delay - self.spot(tree, parent).delay;
        let aside = Change {
            sum: -spot.sum * ((deeper / self.width).exp() - 1.0),
            delay: -deeper * f64::from(spot.members),
            helpers: 0,
        };
        Some((Step::Rise { tree, node }, change + rest + aside))
    }

    pub(super) fn judge_exchange(&self, tree: u32, leaf: u32, inner: u32) -> Judged {
        let kids = self.spot(tree, inner).kids;
        if inner == self.source(tree)
            || kids == 0
            || self.spot(tree, leaf).kids > 0
            || self.view.is_helper(inner)
        {
            return None;
        }
        let (above_leaf, above) = (self.spot(tree, leaf).parent, self.spot(tree, inner).parent);
        let child = above_leaf == inner;
        let fits = !self.is_barred(tree, leaf) && self.copies.fits_change(leaf, 0, kids);
        if (!child && self.is_below(tree, above_leaf, inner)) || !fits {
            return None;
        }
        let from = if child { leaf } else { above_leaf };
        if self.is_doubled(tree, above, leaf) || self.is_doubled(tree, from, inner) {
            return None;
        }
        let leaf_delay = self.spot(tree, above).delay + self.view.cost(above, leaf);
        let from_delay = if child { leaf_delay } else { self.spot(tree, from).delay };
        let mut change = self.judge_alone(tree, leaf, leaf_delay)
            + self.judge_alone(tree, inner, from_delay + self.view.cost(from, inner));
        let mut kid = self.spot(tree, inner).first;
        while kid != NO {
            if kid != leaf {
                change = change + self.judge_at(tree, kid, leaf_delay + self.view.cost(leaf, kid));
            }
            kid = self.spot(tree, kid).next;
        }
        Some((Step::Exchange { tree, leaf, inner }, change))
    }

    /// The first of `takers` is a child of `parent`. Some of the others are dropped from the list.
    pub(super) fn judge_insert(
        &self,
        tree: u32,
        helper: u32,
        parent: u32,
        crowd: bool,
        takers: &mut Vec<u32>,
    ) -> Judged {
        if self.is_barred(tree, helper) {
            return None;
        }
        let delay = self.spot(tree, parent).delay + self.view.cost(parent, helper);
        let mut change = Change { helpers: i32::from(!self.is_used(helper)), ..Change::default() };
        let mut kept = 0;
        for at in 0..takers.len() {
            let node = takers[at];
            let listed = takers[..kept].contains(&node);
            let below = at > 0 && takers[..kept].iter().any(|&taken| self.is_below(tree, node, taken));
            if listed || below || self.is_below(tree, parent, node) {
                continue;
            }
            let moved = self.judge_at(tree, node, delay + self.view.cost(helper, node));
            // A child of the parent may come in order to make room there; others, only if it helps.
            let sibling = self.spot(tree, node).parent == parent;
            let above = takers[..kept].iter().any(|&taken| self.is_below(tree, taken, node));
            if at == 0 || (!above && (moved.sum < 0.0 || (crowd && sibling))) {
                if !self.copies.fits_change(helper, 0, kept as u32 + 1) {
                    break;
                }
                change = change + moved;
                takers[kept] = node;
                kept += 1;
            }
        }
        takers.truncate(kept);
        (kept > 0).then_some((Step::Insert { tree, helper, parent }, change))
    }

    /// `by` is the helper's parent, or a helper that is not in the tree.
    pub(super) fn judge_replace(&self, tree: u32, helper: u32, by: u32) -> Judged {
        let spot = self.spot(tree, helper);
        let above = spot.parent;
        let (fits, delay) = if by == above {
            let before = self.sent(tree, by);
            (self.copies.fits_change(by, before, before + spot.kids - 1), self.spot(tree, by).delay)
        } else {
            (
                !self.is_barred(tree, by) && self.copies.fits_change(by, 0, spot.kids),
                self.spot(tree, above).delay + self.view.cost(above, by),
            )
        };
        if !fits || !self.view.is_helper(helper) {
            return None;
        }
        let came = i32::from(by != above && !self.is_used(by));
        let gone = i32::from(self.is_used_once(helper));
        let mut change = Change { helpers: came - gone, ..Change::default() };
        let mut kid = spot.first;
        while kid != NO {
            if self.is_doubled(tree, by, kid) {
                return None;
            }
            change = change + self.judge_at(tree, kid, delay + self.view.cost(by, kid));
            kid = self.spot(tree, kid).next;
        }
        Some((Step::Replace { tree, helper, by }, change))
    }

    /// Makes a judged move.
    pub(super) fn make(&mut self, step: Step, takers: &[u32]) {
        match step {
            Step::Hang { tree, node, to } => self.hang(tree, node, to),
            Step::Relieve { tree, node, to, other, child, place } => {
                self.hang_untidily(other, child, place);
                self.hang(tree, node, to);
                self.tidy(other, to);
            }
            Step::Swap { tree, a, b } => {
                let (above_a, above_b) = (self.spot(tree, a).parent, self.spot(tree, b).parent);
                self.hang_untidily(tree, a, above_b);
                self.hang_untidily(tree, b, above_a);
            }
            Step::Rise { tree, node } => {
                let parent = self.spot(tree, node).parent;
                let above = self.spot(tree, parent).parent;
                self.hang_untidily(tree, node, above);
                self.hang_untidily(tree, parent, node);
            }
            Step::Exchange { tree, leaf, inner } => {
                let (above_leaf, above) = (self.spot(tree, leaf).parent, self.spot(tree, inner).parent);
                self.hang_untidily(tree, leaf, above);
                self.hang_kids(tree, inner, leaf);
                let from = if above_leaf == inner { leaf } else { above_leaf };
                self.hang_untidily(tree, inner, from);
            }
            Step::Insert { tree, helper, parent } => {
                self.put(tree, helper, parent);
                for &node in takers {
                    self.hang(tree, node, helper);
                }
            }
            Step::Replace { tree, helper, by } => {
                if by != self.spot(tree, helper).parent {
                    self.put(tree, by, self.spot(tree, helper).parent);
                }
                self.hang_kids(tree, helper, by);
                self.tidy(tree, helper);
            }
        }
    }

    fn hang_kids(&mut self, tree: u32, from: u32, to: u32) {
        while self.spot(tree, from).kids > 0 {
            self.hang_untidily(tree, self.spot(tree, from).first, to);
        }
    }
}
