//! The moves of the annealing: each is judged in a few multiplications before anything changes, and made if it is
//! accepted. All of them keep degrees and the tree whole; a forbidden link costs infinity and is never accepted.

use super::smooth::{NO, SmoothTree};

/// A step from one tree to the next.
#[derive(Clone, Copy, Debug)]
pub(super) enum Move {
    /// A subtree hangs elsewhere: (its top, new parent).
    Hang(u32, u32),
    /// Two subtrees change places.
    Swap(u32, u32),
    /// Two nodes change places, their children stay where they are.
    Trade(u32, u32),
    /// A node changes places with its parent.
    Rise(u32),
    /// A helper from outside comes between a node and its parent, with the extra subtrees below it.
    Insert(u32, u32),
    /// Two helpers from outside come between a node and its parent: (upper, lower, node).
    InsertTwo(u32, u32, u32),
    /// A helper from outside hangs below a node with a free link: (helper, parent), with the extra subtrees below it.
    Add(u32, u32),
    /// A helper from outside takes the place of a helper: (old, new).
    Replace(u32, u32),
    /// A helper from outside takes the place of a member, which hangs below it without children: (member, helper).
    Relieve(u32, u32),
    /// A member that is a leaf comes between a node and its parent: (member, node).
    Splice(u32, u32),
    /// A member that is a leaf takes the place of a helper, which leaves: (member, helper).
    Fill(u32, u32),
    /// A helper leaves; its children go where the extras say.
    Drop(u32),
}

/// What a move would come to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Judged {
    pub(super) step: Move,
    /// The smoothed sum.
    pub(super) total: f64,
    /// Helpers that come, less those that leave.
    pub(super) helpers: i32,
}

/// Subtrees that a move takes along, with their new parents.
pub(super) type Extras = Vec<(u32, u32)>;

impl SmoothTree<'_> {
    /// What hangs at `node` adds this to the sum.
    #[inline]
    fn part(&self, node: u32) -> f64 {
        let entry = self.node(node);
        entry.weight * entry.sum
    }

    /// Whether `node` hangs at the middle, or is the root: it can be replaced, but not taken away.
    #[inline]
    pub(super) fn is_fixed(&self, node: u32) -> bool {
        node == self.top || (self.has_middle() && self.node(node).parent == self.top)
    }

    #[inline]
    fn judged(&self, step: Move, change: f64, helpers: i32) -> Option<Judged> {
        Some(Judged { step, total: self.total() + change, helpers })
    }

    pub(super) fn judge_hang(&self, node: u32, to: u32) -> Option<Judged> {
        if self.is_fixed(node)
            || self.node(node).parent == to
            || !self.has_free(to)
            || self.is_below(to, node)
        {
            return None;
        }
        let change =
            self.node(node).sum * (self.node(to).weight * self.factor(to, node) - self.node(node).weight);
        self.judged(Move::Hang(node, to), change, 0)
    }

    pub(super) fn judge_swap(&self, a: u32, b: u32) -> Option<Judged> {
        if self.is_fixed(a) || self.is_fixed(b) {
            return None;
        }
        let (pa, pb) = (self.node(a).parent, self.node(b).parent);
        if pa == pb || self.is_below(a, b) || self.is_below(b, a) {
            return None;
        }
        let (to_a, to_b) =
            (self.node(pb).weight * self.factor(pb, a), self.node(pa).weight * self.factor(pa, b));
        let change =
            self.node(a).sum * (to_a - self.node(a).weight) + self.node(b).sum * (to_b - self.node(b).weight);
        self.judged(Move::Swap(a, b), change, 0)
    }

    /// S of `node` with the children of `from`, without `except`.
    #[inline]
    fn sum_with_children(&self, node: u32, from: u32, except: u32) -> f64 {
        let mut sum = self.own(node);
        let mut child = self.node(from).first;
        while child != NO {
            let entry = self.node(child);
            if child != except {
                sum += self.factor(node, child) * entry.sum;
            }
            child = entry.next;
        }
        sum
    }

    pub(super) fn judge_trade(&self, a: u32, b: u32) -> Option<Judged> {
        let (at_a, at_b) = (self.node(a), self.node(b));
        if a == b || a == self.top || b == self.top || at_a.kids > at_b.room || at_b.kids > at_a.room {
            return None;
        }
        let both_fixed = self.is_fixed(a) && self.is_fixed(b);
        let idle = self.is_helper(a) && at_b.kids == 0 || self.is_helper(b) && at_a.kids == 0;
        if both_fixed || idle || self.is_below(a, b) || self.is_below(b, a) {
            return None;
        }
        let change = self.weight_in_place(a, b) * self.sum_with_children(b, a, NO) - self.part(a)
            + self.weight_in_place(b, a) * self.sum_with_children(a, b, NO)
            - self.part(b);
        self.judged(Move::Trade(a, b), change, 0)
    }

    pub(super) fn judge_rise(&self, node: u32) -> Option<Judged> {
        if self.is_fixed(node) {
            return None;
        }
        let parent = self.node(node).parent;
        if parent == self.top
            || self.is_helper(parent) && self.node(node).kids == 0
            || self.node(parent).kids > self.node(node).room
            || self.node(node).kids > self.node(parent).room
        {
            return None;
        }
        let lower = self.sum_with_children(parent, node, NO);
        let upper = self.sum_with_children(node, parent, node) + self.factor(node, parent) * lower;
        let change = self.weight_in_place(parent, node) * upper - self.part(parent);
        self.judged(Move::Rise(node), change, 0)
    }

    /// Also takes along, as `extras`, those of `others` that are better off below the helper, and one of them in any
    /// case if `crowd`.
    pub(super) fn judge_insert(
        &self,
        helper: u32,
        at: u32,
        others: &[u32],
        crowd: bool,
        extras: &mut Extras,
    ) -> Option<Judged> {
        extras.clear();
        if at == self.top || self.is_placed(helper) || self.node(helper).room == 0 {
            return None;
        }
        let weight = self.weight_in_place(at, helper);
        let mut change = weight * self.factor(helper, at) * self.node(at).sum - self.part(at);
        change += self.take_along(helper, at, weight, 1, others, crowd, extras);
        self.judged(Move::Insert(helper, at), change, 1)
    }

    pub(super) fn judge_insert_two(&self, upper: u32, lower: u32, at: u32) -> Option<Judged> {
        let rooms = self.node(upper).room.min(self.node(lower).room);
        if at == self.top || upper == lower || self.is_placed(upper) || self.is_placed(lower) || rooms == 0 {
            return None;
        }
        let weight = self.weight_in_place(at, upper) * self.factor(upper, lower) * self.factor(lower, at);
        self.judged(Move::InsertTwo(upper, lower, at), weight * self.node(at).sum - self.part(at), 2)
    }

    pub(super) fn judge_add(
        &self,
        helper: u32,
        to: u32,
        others: &[u32],
        extras: &mut Extras,
    ) -> Option<Judged> {
        extras.clear();
        if self.is_placed(helper) || self.node(helper).room == 0 || !self.has_free(to) {
            return None;
        }
        let weight = self.node(to).weight * self.factor(to, helper);
        let change = self.take_along(helper, to, weight, 0, others, false, extras);
        if extras.is_empty() { None } else { self.judged(Move::Add(helper, to), change, 1) }
    }

    #[expect(clippy::too_many_arguments, reason = "one loop of two callers")]
    fn take_along(
        &self,
        helper: u32,
        at: u32,
        weight: f64,
        kids_first: u32,
        others: &[u32],
        crowd: bool,
        extras: &mut Extras,
    ) -> f64 {
        let (mut change, mut kids) = (0.0, kids_first);
        for &other in others {
            if kids == self.node(helper).room {
                break;
            }
            // Below the node itself, moving it up would change that node's own sum.
            let within = kids_first > 0 && self.is_below(other, at);
            if self.is_fixed(other) || self.is_below(at, other) || within {
                continue;
            }
            let overlaps =
                |&(taken, _): &(u32, u32)| self.is_below(other, taken) || self.is_below(taken, other);
            if extras.iter().any(overlaps) {
                continue;
            }
            let gain = self.node(other).sum * (weight * self.factor(helper, other) - self.node(other).weight);
            if gain < 0.0 || crowd && extras.is_empty() {
                change += gain;
                kids += 1;
                extras.push((other, helper));
            }
        }
        change
    }

    pub(super) fn judge_replace(&self, old: u32, new: u32) -> Option<Judged> {
        if !self.is_helper(old) || self.is_placed(new) || self.node(old).kids > self.node(new).room {
            return None;
        }
        let change = self.weight_in_place(old, new) * self.sum_with_children(new, old, NO) - self.part(old);
        self.judged(Move::Replace(old, new), change, 0)
    }

    pub(super) fn judge_relieve(&self, member: u32, helper: u32) -> Option<Judged> {
        let entry = self.node(member);
        if member == self.top
            || self.is_helper(member)
            || self.is_placed(helper)
            || entry.kids == 0
            || entry.kids + 1 > self.node(helper).room
        {
            return None;
        }
        let sum = self.sum_with_children(helper, member, NO) + self.factor(helper, member);
        let change = self.weight_in_place(member, helper) * sum - self.part(member);
        self.judged(Move::Relieve(member, helper), change, 1)
    }

    pub(super) fn judge_splice(&self, member: u32, at: u32) -> Option<Judged> {
        let entry = self.node(member);
        if at == self.top
            || member == at
            || self.is_helper(member)
            || self.is_fixed(member)
            || entry.kids != 0
            || entry.room == 0
            || self.node(at).parent == member
            || self.is_below(member, at)
        {
            return None;
        }
        let sum = 1.0 + self.factor(member, at) * self.node(at).sum;
        let change = self.weight_in_place(at, member) * sum - self.part(at) - self.part(member);
        self.judged(Move::Splice(member, at), change, 0)
    }

    pub(super) fn judge_fill(&self, member: u32, helper: u32) -> Option<Judged> {
        if !self.is_helper(helper) || self.is_helper(member) || self.is_fixed(member) {
            return None;
        }
        let from_here = self.node(member).parent == helper;
        let kids = self.node(helper).kids - u32::from(from_here);
        let far_below = !from_here && self.is_below(member, helper);
        if self.node(member).kids != 0 || kids > self.node(member).room || far_below {
            return None;
        }
        let sum = self.sum_with_children(member, helper, member);
        let mut change = self.weight_in_place(helper, member) * sum - self.part(helper);
        if !from_here {
            change -= self.part(member);
        }
        self.judged(Move::Fill(member, helper), change, -1)
    }

    /// The children go to their grandparent while it has links, the others to the best of `places`.
    pub(super) fn judge_drop(&self, helper: u32, places: &[u32], extras: &mut Extras) -> Option<Judged> {
        extras.clear();
        if !self.is_helper(helper) {
            return None;
        }
        let parent = self.node(helper).parent;
        if self.is_fixed(helper) {
            // Its only child may stand beside the middle instead.
            let child = self.node(helper).first;
            if self.node(helper).kids != 1 {
                return None;
            }
            let change = self.weight_in_place(helper, child) * self.node(child).sum - self.part(helper);
            return self.judged(Move::Drop(helper), change, -1);
        }
        let mut change = -self.part(helper);
        let mut child = self.node(helper).first;
        while child != NO {
            let entry = self.node(child);
            let (mut best, mut least) = (NO, f64::INFINITY);
            for &place in places.iter().chain([&parent]) {
                let taken = extras.iter().filter(|&&(_, to)| to == place).count() as u32;
                let kids = self.node(place).kids + taken - u32::from(place == parent);
                if kids >= self.node(place).room || self.is_below(place, helper) {
                    continue;
                }
                let there = self.node(place).weight * self.factor(place, child);
                if there < least {
                    (best, least) = (place, there);
                }
            }
            if best == NO {
                return None;
            }
            change += entry.sum * least;
            extras.push((child, best));
            child = entry.next;
        }
        self.judged(Move::Drop(helper), change, -1)
    }
}
