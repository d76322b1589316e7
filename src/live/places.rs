//! Which places of other nodes have been told of.

use std::collections::BTreeMap;

use crate::identity::NodeId;
use crate::pool::Place;

/// What was told last, of the nodes of the plan alone.
#[derive(Debug, Default)]
pub(super) struct Places(BTreeMap<NodeId, Place>);

impl Places {
    /// Those of `nodes` whose place, as `known`, is news by now. Who is not among the nodes is forgotten.
    pub(super) fn news(
        &mut self,
        nodes: impl IntoIterator<Item = NodeId>,
        known: impl Fn(NodeId) -> Option<Place>,
    ) -> Vec<(NodeId, Place)> {
        let before = std::mem::take(&mut self.0);
        for node in nodes {
            let told = before.get(&node).copied();
            if let Some(place) =
                known(node).filter(|place| told.is_none_or(|told| is_far(told, *place))).or(told)
            {
                self.0.insert(node, place);
            }
        }
        let is_news = |(node, place): &(&NodeId, &Place)| before.get(*node) != Some(*place);
        self.0.iter().filter(is_news).map(|(node, place)| (*node, *place)).collect()
    }
}

/// They differ by a millisecond or more in one of their numbers.
fn is_far(told: Place, now: Place) -> bool {
    told.0.iter().zip(&now.0).any(|(a, b)| a.abs_diff(*b) >= STEP_TENTHS)
}

/// Less is the unrest of measuring.
const STEP_TENTHS: u16 = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_told_when_it_is_news() {
        let (a, b) = (NodeId([1; 32]), NodeId([2; 32]));
        let mut places = Places::default();
        let at = |tenths: i16| move |node| (node == a).then_some(Place([tenths, 0, 0, 5]));
        assert_eq!(places.news([a, b, a], at(100)), [(a, Place([100, 0, 0, 5]))]);
        assert_eq!(places.news([a, b], at(109)), []);
        assert_eq!(places.news([a, b], |_| None), [], "a connection that has gone takes no place away");
        assert_eq!(places.news([a, b], at(110)), [(a, Place([110, 0, 0, 5]))]);
        assert_eq!(places.news([b], at(110)), []);
        assert_eq!(places.news([a], at(110)), [(a, Place([110, 0, 0, 5]))], "forgotten meanwhile");
    }
}
