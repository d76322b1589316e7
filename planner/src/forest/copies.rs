//! What each node sends: its children in every tree, and the sum over the K trees in which it has the most.
//!
//! With g(c) trees in which a node has c children or more, the K largest counts add up to the sum of min(K, g(c)) over
//! c >= 1. So a child more or less changes one g, and the sum by one at most: O(1).

/// Children of every node by tree, as counts.
#[derive(Clone, Debug)]
pub(super) struct Copies {
    speakers: u32,
    /// Copies that a node may send for any K sources.
    budget: Vec<u32>,
    /// Copies that it sends for its K dearest.
    load: Vec<u32>,
    /// Where a node's part of `at_least` starts.
    start: Vec<usize>,
    /// At `start + c`: in how many trees the node has more than c children.
    at_least: Vec<u32>,
}

impl Copies {
    /// Nobody sends anything. No node ever has more children than `children_max`; more than the budget it may have, but
    /// not get.
    pub(super) fn new(budget: Vec<u32>, speakers: u32, children_max: usize) -> Self {
        // One to spare, because a move may add a child before it takes another away.
        let each = children_max + 1;
        let start = (0..budget.len()).map(|node| node * each).collect();
        let end = budget.len() * each;
        Self { speakers, load: vec![0; budget.len()], budget, start, at_least: vec![0; end] }
    }

    /// Whether `node` may have a child more in a tree in which it has `children`.
    #[inline]
    pub(super) fn fits(&self, node: u32, children: u32) -> bool {
        self.fits_change(node, children, children + 1)
    }

    /// Whether `node` may have `after` children in a tree in which it has `before`.
    #[inline]
    pub(super) fn fits_change(&self, node: u32, before: u32, after: u32) -> bool {
        if after <= before {
            return true;
        }
        if after > self.budget[node as usize] {
            return false;
        }
        let start = self.start[node as usize];
        let counts = &self.at_least[start + before as usize..start + after as usize];
        let grown = counts.iter().filter(|&&trees| trees < self.speakers).count() as u32;
        self.load[node as usize] + grown <= self.budget[node as usize]
    }

    /// Whether `node` may have a child more in a tree in which it has `children`, for one less in another tree, in
    /// which it has `other`.
    #[inline]
    pub(super) fn fits_for(&self, node: u32, children: u32, other: u32) -> bool {
        if children + 1 == other {
            return true;
        }
        if children >= self.budget[node as usize] {
            return false;
        }
        let start = self.start[node as usize];
        let grown = u32::from(self.at_least[start + children as usize] < self.speakers);
        let shrunk = u32::from(self.at_least[start + other as usize - 1] <= self.speakers);
        self.load[node as usize] + grown <= self.budget[node as usize] + shrunk
    }

    /// A child more in a tree in which the node has `children`.
    #[inline]
    pub(super) fn add(&mut self, node: u32, children: u32) {
        let trees = &mut self.at_least[self.start[node as usize] + children as usize];
        *trees += 1;
        self.load[node as usize] += u32::from(*trees <= self.speakers);
    }

    /// A child less in a tree in which the node has `children`.
    #[inline]
    pub(super) fn remove(&mut self, node: u32, children: u32) {
        let trees = &mut self.at_least[self.start[node as usize] + children as usize - 1];
        *trees -= 1;
        self.load[node as usize] -= u32::from(*trees < self.speakers);
    }

    /// Copies that the node sends for its K dearest sources.
    #[cfg(test)]
    pub(super) fn load(&self, node: u32) -> u32 {
        self.load[node as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_load_is_the_sum_of_the_largest(steps in proptest::collection::vec((0..6_usize, any::<bool>()), 0..80)) {
            for speakers in 1..4 {
                let mut copies = Copies::new(vec![9], speakers, 9);
                let mut counts = [0_u32; 6];
                let load = |counts: &[u32; 6]| {
                    let mut sorted = *counts;
                    sorted.sort_unstable_by(|a, b| b.cmp(a));
                    sorted[..speakers as usize].iter().sum::<u32>()
                };
                for &(tree, more) in &steps {
                    let mut after = counts;
                    if more {
                        after[tree] += 1;
                        let fits = load(&after) <= 9;
                        prop_assert_eq!(copies.fits(0, counts[tree]), fits);
                        let other = (tree + 1) % 6;
                        if counts[other] > 0 {
                            let mut moved = after;
                            moved[other] -= 1;
                            let fits = load(&moved) <= 9;
                            prop_assert_eq!(copies.fits_for(0, counts[tree], counts[other]), fits);
                        }
                        if fits {
                            copies.add(0, counts[tree]);
                            counts = after;
                        }
                    } else if counts[tree] > 0 {
                        copies.remove(0, counts[tree]);
                        counts[tree] -= 1;
                    }
                    prop_assert_eq!(copies.load(0), load(&counts));
                }
            }
        }
    }
}
