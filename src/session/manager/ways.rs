//! What nodes say of the ways to them, and how long plans avoid such a way.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::Manager;
use super::cycle::EXCLUSION;
use crate::identity::NodeId;
use crate::session::Output;

/// How long after the first word that a relay is dead it is planned without: it is lost by then, if it is, and the others
/// have said so too.
const DOUBT_WAIT: Duration = Duration::from_secs(1);
/// A way that is bad again soon after plans had come back to it is avoided for twice as long, up to this.
const AVOIDED_MAX: Duration = Duration::from_secs(600);
/// How long that is remembered after it has been avoided.
const REMEMBERED: Duration = Duration::from_secs(60);
/// Ways that are remembered: more than a plan has links.
const BAD_WAYS_MAX: usize = 8_192;

/// Ways that their ends have called bad: from, to.
#[derive(Debug, Default)]
pub(super) struct BadWays {
    known: BTreeMap<(NodeId, NodeId), Spell>,
}

#[derive(Debug)]
struct Spell {
    until: Instant,
    length: Duration,
}

impl BadWays {
    /// A way is bad. True if that is news.
    fn note(&mut self, way: (NodeId, NodeId), now: Instant) -> bool {
        if let Some(spell) = self.known.get_mut(&way) {
            let is_news = spell.until <= now;
            spell.length = if is_news { (spell.length * 2).min(AVOIDED_MAX) } else { spell.length };
            spell.until = now + spell.length;
            return is_news;
        }
        if self.known.len() < BAD_WAYS_MAX {
            self.known.insert(way, Spell { until: now + EXCLUSION, length: EXCLUSION });
        }
        true
    }

    /// The ways that plans are to do without.
    pub(super) fn avoided(&self, now: Instant) -> impl Iterator<Item = (NodeId, NodeId)> + '_ {
        self.known.iter().filter(move |(_, spell)| spell.until > now).map(|(way, _)| *way)
    }

    /// There is no plan without them.
    pub(super) fn pardon(&mut self, now: Instant) {
        self.known.values_mut().for_each(|spell| spell.until = spell.until.min(now));
    }

    pub(super) fn forget(&mut self, now: Instant) {
        self.known.retain(|_, spell| spell.until + REMEMBERED > now);
    }
}

impl Manager {
    /// A node says that a relay of its is dead. It may be, or it is the way between the two: the relay is asked, and in
    /// any case the next plan does not rely on that way.
    pub(super) fn on_silent(&mut self, reporter: NodeId, relay: NodeId, now: Instant) {
        if self.is_planned(relay, reporter) {
            self.forbidden.insert((reporter, relay), now + EXCLUSION);
            self.doubts_at.get_or_insert(now + DOUBT_WAIT);
            self.outputs.push_back(Output::Doubt(relay));
        }
    }

    /// A node says that the way from a parent to it is bad. Plans do without it for a while: the next one, whenever that is,
    /// while others feed the node; otherwise at once.
    pub(super) fn on_poor(&mut self, reporter: NodeId, parent: NodeId, urgent: bool, now: Instant) {
        if !self.is_planned(parent, reporter) {
            return;
        }
        let is_news = self.bad_ways.note((parent, reporter), now);
        if urgent && is_news {
            self.want("bad way", now);
        }
    }

    /// The plan that carries the media has that link.
    fn is_planned(&self, parent: NodeId, child: NodeId) -> bool {
        let trees = self.installed.iter().flat_map(|grown| &grown.plan().trees);
        trees.flat_map(|tree| &tree.edges).any(|edge| *edge == (parent, child))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::origin;

    #[test]
    fn a_way_that_is_bad_again_and_again_is_avoided_for_longer() {
        let (start, mut ways) = (origin(), BadWays::default());
        let (way, second) = ((NodeId([1; 32]), NodeId([2; 32])), Duration::from_secs(1));
        assert!(ways.note(way, start));
        assert!(!ways.note(way, start + 10 * second), "said again");
        assert!(ways.avoided(start + 39 * second).eq([way]));
        let back = start + 41 * second;
        assert_eq!(ways.avoided(back).count(), 0);
        assert!(ways.note(way, back));
        assert_eq!(ways.avoided(back + 59 * second).count(), 1);
        ways.pardon(back + second);
        assert_eq!(ways.avoided(back + second).count(), 0);
        ways.forget(back + second + REMEMBERED);
        assert!(ways.note(way, back + 100 * second) && ways.known[&way].length == EXCLUSION);
    }
}
