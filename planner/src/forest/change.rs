//! What moves would change, and the sums from which that is known. The largest delay is smoothed: w ln of the sum of
//! e^(d / w) over all pairs (source, member) of delay d.

use super::grove::{Grove, Spot, TOP};

/// What a move would change.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Change {
    pub(super) sum: f64,
    pub(super) delay: f64,
    /// Helpers that come into use, or go out of it.
    pub(super) helpers: i32,
}

impl std::ops::Add for Change {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            sum: self.sum + other.sum,
            delay: self.delay + other.delay,
            helpers: self.helpers + other.helpers,
        }
    }
}

impl Grove<'_> {
    /// What changes if all of `node`'s subtree comes to be reached at `delay`.
    #[inline]
    pub(super) fn judge_at(&self, tree: u32, node: u32, delay: f64) -> Change {
        let spot = self.spot(tree, node);
        let deeper = delay - spot.delay;
        let grown = spot.sum * ((deeper / self.width).exp() - 1.0);
        Change { sum: grown, delay: deeper * f64::from(spot.members), helpers: 0 }
    }

    /// What changes if `node` alone comes to be reached at `delay`.
    #[inline]
    pub(super) fn judge_alone(&self, tree: u32, node: u32, delay: f64) -> Change {
        if self.view.is_helper(node) {
            return Change::default();
        }
        let before = self.spot(tree, node).delay;
        Change { sum: self.term(delay) - self.term(before), delay: delay - before, helpers: 0 }
    }

    #[inline]
    fn term(&self, delay: f64) -> f64 {
        ((delay - self.reference) / self.width).exp()
    }

    /// Helpers that fall out of use if `node` leaves its parent.
    #[inline]
    pub(super) fn freed_by(&self, tree: u32, node: u32) -> i32 {
        let mut parent = self.spot(tree, node).parent;
        let mut freed = 0;
        while parent < TOP && self.view.is_helper(parent) && self.spot(tree, parent).kids == 1 {
            freed -= i32::from(self.uses[parent as usize] == 1);
            parent = self.spot(tree, parent).parent;
        }
        freed
    }

    /// Delays from the links; the largest.
    pub(super) fn measure_delays(&mut self) -> f64 {
        let (mut worst, mut total) = (0.0_f64, 0.0);
        let mut order = Vec::with_capacity(self.nodes);
        for tree in 0..self.trees() {
            self.preorder(tree, &mut order);
            for &node in &order[1..] {
                let parent = self.spot(tree, node).parent;
                let delay = self.spot(tree, parent).delay + self.view.cost(parent, node);
                self.spot_mut(tree, node).delay = delay;
                if !self.view.is_helper(node) {
                    worst = worst.max(delay);
                    total += delay;
                }
            }
        }
        self.delay = total;
        worst
    }

    /// Sets the width of the smoothing, and computes all anew: O(M N). Gives the largest delay.
    pub(super) fn set_width(&mut self, width: f64) -> f64 {
        let worst = self.measure_delays();
        self.width = width;
        self.reference = worst;
        self.sum = 0.0;
        let mut order = Vec::with_capacity(self.nodes);
        for tree in 0..self.trees() {
            self.preorder(tree, &mut order);
            for &node in &order {
                let counts = !self.view.is_helper(node) && node != self.source(tree);
                let term = if counts { self.term(self.spot(tree, node).delay) } else { 0.0 };
                let spot = self.spot_mut(tree, node);
                spot.sum = term;
                spot.members = u32::from(counts);
            }
            for &node in order[1..].iter().rev() {
                let Spot { parent, sum, members, .. } = *self.spot(tree, node);
                let above = self.spot_mut(tree, parent);
                above.sum += sum;
                above.members += members;
            }
            self.sum += self.spot(tree, self.source(tree)).sum;
        }
        worst
    }
}
