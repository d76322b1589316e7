//! How far every node of a tree is from the members in it: what it would cost to hang something there.

/// A node's distance along the tree.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Reach {
    /// To the farthest member; minus infinity if there is none, or it does not matter.
    pub(super) to: f64,
    /// From the farthest member; the same.
    pub(super) from: f64,
}

impl Reach {
    pub(super) const NONE: Self = Self { to: f64::NEG_INFINITY, from: f64::NEG_INFINITY };
    /// A member by itself.
    pub(super) const MEMBER: Self = Self { to: 0.0, from: 0.0 };

    fn max(self, other: Self) -> Self {
        Self { to: self.to.max(other.to), from: self.from.max(other.from) }
    }

    /// As seen from the other end of a link of that cost there and back.
    fn beyond(self, there: f64, back: f64) -> Self {
        Self { to: self.to + there, from: self.from + back }
    }

    /// The longest way over a link between two trees, from a node of this reach to one of that.
    pub(super) fn across(self, there: f64, back: f64, other: Self) -> f64 {
        (self.from + there + other.to).max(other.from + back + self.to)
    }
}

/// The reach of every node in `order`, a tree with parents before their children: twice through the tree, O(N). Both
/// `parent` and `reach` go by node; `own` is what a node counts by itself.
pub(super) fn measure(
    order: &[usize],
    parent: &[usize],
    own: impl Fn(usize) -> Reach,
    cost: impl Fn(usize, usize) -> f64,
    reach: &mut [Reach],
) {
    // Up: what is below. Down: the parent's reach without this child, whose own best is told apart by looking again at
    // its brothers only when it was the best itself; so the two best are kept.
    let mut second = vec![Reach::NONE; reach.len()];
    for &node in order {
        reach[node] = own(node);
    }
    for &node in order.iter().skip(1).rev() {
        let above = parent[node];
        let seen = reach[node].beyond(cost(above, node), cost(node, above));
        let (best, next) = (&mut reach[above], &mut second[above]);
        next.to = next.to.max(seen.to.min(best.to));
        next.from = next.from.max(seen.from.min(best.from));
        *best = best.max(seen);
    }
    for &node in order.iter().skip(1) {
        let above = parent[node];
        let (there, back) = (cost(above, node), cost(node, above));
        let seen = reach[node].beyond(there, back);
        let (best, next) = (reach[above], second[above]);
        // The parent's reach without what lies this way.
        let rest = Reach {
            to: if seen.to >= best.to { next.to } else { best.to },
            from: if seen.from >= best.from { next.from } else { best.from },
        };
        let upward = rest.beyond(back, there);
        let (best, next) = (&mut reach[node], &mut second[node]);
        next.to = next.to.max(upward.to.min(best.to));
        next.from = next.from.max(upward.from.min(best.from));
        *best = best.max(upward);
    }
}
