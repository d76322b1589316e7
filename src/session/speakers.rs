//! Who has a tree of its own in a large session: those who speak, one after the other or together, and go on for more than a
//! word. The shared tree carries everybody else, and who begins to speak until its own tree stands.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::plan::SPEAKERS;
use crate::identity::NodeId;

/// As many as speak at once in any plan.
pub(super) const OWN_TREES_MAX: usize = SPEAKERS;
/// Who has spoken for so long is worth a tree, for all have to be told of it.
const WORTH: Duration = Duration::from_secs(2);
/// Somebody silent for so long has come to the end.
const PAUSE: Duration = Duration::from_millis(1_500);
/// Who has been silent for so long has its tree taken for somebody else.
const SPENT: Duration = Duration::from_secs(10);
/// Between two changes of who has one.
const CHANGE_INTERVAL: Duration = Duration::from_secs(10);

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Speakers {
    /// From when to when each has spoken, pauses for breath left in.
    heard: BTreeMap<NodeId, (Instant, Instant)>,
    chosen: Vec<NodeId>,
    /// No change before that.
    rests_until: Option<Instant>,
}

impl Speakers {
    /// These speak now. True if others are to have trees of their own than before.
    pub(super) fn on_speaking(&mut self, speaking: &[NodeId], now: Instant) -> bool {
        let silent = |last: Instant| now.saturating_duration_since(last);
        for node in speaking {
            let turn = self.heard.entry(*node).or_insert((now, now));
            if silent(turn.1) > PAUSE {
                turn.0 = now;
            }
            turn.1 = now;
        }
        let chosen = &self.chosen;
        self.heard.retain(|node, (_, last)| silent(*last) <= PAUSE || chosen.contains(node));
        if self.rests_until.is_some_and(|until| now < until) {
            return false;
        }
        let mut is_change = false;
        for node in speaking {
            let is_worth = self.heard.get(node).is_some_and(|(since, _)| silent(*since) >= WORTH);
            if is_worth && !self.chosen.contains(node) && self.make_room(now) {
                self.chosen.push(*node);
                is_change = true;
            }
        }
        if is_change {
            self.rests_until = Some(now + CHANGE_INTERVAL);
        }
        is_change
    }

    /// Somebody is gone.
    pub(super) fn on_gone(&mut self, node: NodeId) {
        self.heard.remove(&node);
        self.chosen.retain(|chosen| *chosen != node);
    }

    /// Who is to have a tree of its own.
    pub(super) fn chosen(&self) -> &[NodeId] {
        &self.chosen
    }

    /// Takes the tree of who has been silent longest, if there is no other place.
    fn make_room(&mut self, now: Instant) -> bool {
        if self.chosen.len() < OWN_TREES_MAX {
            return true;
        }
        let last = |node: &NodeId| self.heard.get(node).map(|(_, last)| *last);
        let at = (0..self.chosen.len()).min_by_key(|at| last(&self.chosen[*at]));
        let is_spent = |at: &usize| {
            last(&self.chosen[*at]).is_none_or(|last| now.saturating_duration_since(last) >= SPENT)
        };
        at.filter(is_spent).map(|at| self.chosen.remove(at)).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::origin;

    #[test]
    fn who_goes_on_speaking_has_a_tree_until_others_need_it() {
        let (start, mut speakers) = (origin(), Speakers::default());
        let node = |n: u8| NodeId([n; 32]);
        let look = Duration::from_millis(250);
        let mut now = start;
        let mut speak = |who: &[u8], time: Duration| {
            let (who, end) = (who.iter().map(|n| node(*n)).collect::<Vec<_>>(), now + time);
            let mut changes = 0;
            while now < end {
                changes += u32::from(speakers.on_speaking(&who, now));
                now += look;
            }
            (changes, speakers.chosen().to_vec())
        };
        assert_eq!(speak(&[1], WORTH), (0, vec![]), "a word is no speech");
        assert_eq!(speak(&[], PAUSE + look), (0, vec![]));
        assert_eq!(speak(&[1], WORTH), (0, vec![]), "nor are two");
        assert_eq!(speak(&[1], look), (1, vec![node(1)]));
        // Two more begin together, and wait for their turn.
        assert_eq!(speak(&[1, 2, 3], CHANGE_INTERVAL), (1, [1, 2, 3].map(node).to_vec()));
        assert_eq!(
            speak(&[2, 3, 4], CHANGE_INTERVAL - look),
            (0, [1, 2, 3].map(node).to_vec()),
            "not long silent"
        );
        assert_eq!(speak(&[2, 3, 4], look * 2), (1, [2, 3, 4].map(node).to_vec()));
        speakers.on_gone(node(3));
        assert_eq!(speakers.chosen(), [node(2), node(4)]);
        assert!(speakers.heard.len() <= 3);
    }
}
