//! A helper goes from all trees at once. Annealing cannot do that when it is cold: each tree that gives the helper up is
//! worse off, and only the last one saves its price.

use super::grove::{Grove, NO};

impl Grove<'_> {
    /// Takes `helper` out of every tree. Its children hang where they are reached soonest. `None` if one of them finds no
    /// place; O(M N) for every tree that has it.
    pub(super) fn without(&self, helper: u32) -> Option<Self> {
        let mut grove = self.clone();
        for tree in 0..grove.trees() {
            while grove.is_placed(tree, helper) {
                let child = grove.spot(tree, helper).first;
                if child == NO {
                    grove.tidy(tree, helper);
                    continue;
                }
                let place = grove.soonest(tree, child, helper)?;
                grove.hang(tree, child, place);
            }
        }
        Some(grove)
    }

    /// Where `node` is reached soonest but through `avoided`.
    fn soonest(&self, tree: u32, node: u32, avoided: u32) -> Option<u32> {
        let members = 0..self.view.members as u32;
        let places = members.chain(self.used.iter().copied());
        places
            .filter(|&place| place != avoided && place != node && self.is_placed(tree, place))
            .map(|place| (self.spot(tree, place).delay + self.view.cost(place, node), place))
            .filter(|&(delay, place)| {
                delay.is_finite()
                    && self.has_room(tree, place)
                    && !self.is_doubled(tree, place, node)
                    && !self.is_below(tree, place, node)
            })
            .min_by(|a, b| a.0.total_cmp(&b.0))
            .map(|(_, place)| place)
    }
}
