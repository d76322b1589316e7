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

/// What a move adds to the sum, on the first side of the middle and on the other. Without a middle there is one side.
#[derive(Clone, Copy, Default)]
pub(super) struct Change {
    first: f64,
    other: f64,
}

/// Subtrees that a move takes along, with their new parents.
pub(super) type Extras = Vec<(u32, u32)>;

impl SmoothTree<'_> {
    /// What hangs at `node` adds this to the sum.
    #[inline]
    pub(super) fn part(&self, node: u32) -> f64 {
        let entry = self.node(node);
        entry.weight * entry.sum
    }

    /// Whether `node` hangs at the middle, or is the root: it can be replaced, but not taken away.
    #[inline]
    pub(super) fn is_fixed(&self, node: u32) -> bool {
        node == self.top || (self.has_middle() && self.node(node).parent == self.top)
    }

    /// `more` at the place of `node`.
    #[inline]
    pub(super) fn add(&self, change: &mut Change, node: u32, more: f64) {
        if self.has_middle() && !self.side[node as usize] {
            change.other += more;
        } else {
            change.first += more;
        }
    }

    /// With the middle where it then should be, as far as that is on the same link.
    #[inline]
    pub(super) fn judged(&self, step: Move, change: Change, helpers: i32) -> Option<Judged> {
        if !self.has_middle() {
            return Some(Judged { step, total: self.total() + change.first, helpers });
        }
        let first = self.node(self.top).first;
        let other = self.node(first).next;
        let a = (self.part(first) + change.first).max(f64::MIN_POSITIVE);
        let b = (self.part(other) + change.other).max(f64::MIN_POSITIVE);
        let shift = (b / a).sqrt().max(self.slack.0).min(self.slack.1);
        Some(Judged { step, total: a * shift + b / shift, helpers })
    }

    pub(super) fn judge_hang(&self, node: u32, to: u32) -> Option<Judged> {
        if self.is_fixed(node)
            || self.node(node).parent == to
            || !self.has_free(to)
            || self.is_below(to, node)
        {
            return None;
        }
        let sum = self.node(node).sum;
        let mut change = Change::default();
        self.add(&mut change, to, sum * self.node(to).weight * self.factor(to, node));
        self.add(&mut change, node, -sum * self.node(node).weight);
        let parent = self.node(node).parent;
        let leaves = self.is_helper(parent) && self.node(parent).kids == 1;
        self.judged(Move::Hang(node, to), change, -i32::from(leaves))
    }

    pub(super) fn judge_swap(&self, a: u32, b: u32) -> Option<Judged> {
        if self.is_fixed(a) || self.is_fixed(b) {
            return None;
        }
        let (pa, pb) = (self.node(a).parent, self.node(b).parent);
        if pa == pb || self.is_below(a, b) || self.is_below(b, a) {
            return None;
        }
        let (sum_a, sum_b) = (self.node(a).sum, self.node(b).sum);
        let mut change = Change::default();
        let at_a = sum_b * self.node(pa).weight * self.factor(pa, b) - sum_a * self.node(a).weight;
        let at_b = sum_a * self.node(pb).weight * self.factor(pb, a) - sum_b * self.node(b).weight;
        self.add(&mut change, a, at_a);
        self.add(&mut change, b, at_b);
        self.judged(Move::Swap(a, b), change, 0)
    }

    /// S of `node` with the children of `from`, without `except`.
    #[inline]
    pub(super) fn sum_with_children(&self, node: u32, from: u32, except: u32) -> f64 {
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
        let idle = self.is_helper(a) && at_b.kids == 0 || self.is_helper(b) && at_a.kids == 0;
        if idle {
            return None;
        }
        if self.is_below(a, b) {
            return self.judge_trade_below(b, a);
        }
        if self.is_below(b, a) {
            return self.judge_trade_below(a, b);
        }
        if self.is_fixed(a) && self.is_fixed(b) {
            return None;
        }
        let mut change = Change::default();
        let at_a = self.weight_in_place(a, b) * self.sum_with_children(b, a, NO) - self.part(a);
        let at_b = self.weight_in_place(b, a) * self.sum_with_children(a, b, NO) - self.part(b);
        self.add(&mut change, a, at_a);
        self.add(&mut change, b, at_b);
        self.judged(Move::Trade(a, b), change, 0)
    }

    /// Two nodes change places of which one hangs below the other.
    fn judge_trade_below(&self, upper: u32, lower: u32) -> Option<Judged> {
        let mut at = self.node(lower).parent;
        if at == upper {
            return self.judge_rise(lower);
        }
        // S on the way up, as it would be.
        let (mut below, mut before) = (upper, lower);
        let mut sum = self.sum_with_children(upper, lower, NO);
        while at != upper {
            sum = self.sum_with_children(at, at, before) + self.factor(at, below) * sum;
            (below, before) = (at, at);
            at = self.node(at).parent;
        }
        sum = self.sum_with_children(lower, upper, before) + self.factor(lower, below) * sum;
        let mut change = Change::default();
        self.add(&mut change, upper, self.weight_in_place(upper, lower) * sum - self.part(upper));
        self.judged(Move::Trade(upper, lower), change, 0)
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
        let mut change = Change::default();
        self.add(&mut change, node, self.weight_in_place(parent, node) * upper - self.part(parent));
        self.judged(Move::Rise(node), change, 0)
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
        let mut change = Change::default();
        self.add(&mut change, at, self.weight_in_place(at, member) * sum - self.part(at));
        self.add(&mut change, member, -self.part(member));
        self.judged(Move::Splice(member, at), change, 0)
    }
}
