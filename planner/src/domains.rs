//! Fault domains: nodes that fail together, such as those of one machine room or behind one access line.
//!
//! A plan borrows at most one helper of a domain, so that no single failure takes two of its relays that it was free to
//! choose; members are where they are, and a helper may stand beside one. Of two trees that protect each other, no domain
//! relays in both; the source's is excepted, as nobody hears a source that is down.
//!
//! Nodes of one domain are near each other. So it is settled beforehand which of them may be borrowed, the one that is
//! nearest to the members on average, a node of few links counting as farther away than it is; algorithms never see the
//! others.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::problem::Problem;
use crate::units::NodeIndex;

impl Problem {
    /// The fault domain of `node`, by a number; `None` if it has one of its own.
    pub fn domain(&self, node: NodeIndex) -> Option<u32> {
        self.domains.get(node).copied().flatten()
    }

    /// The problem with one helper of every domain; of those in `kept`, all.
    pub(crate) fn with_one_helper_a_domain(&self, kept: &[NodeIndex]) -> Cow<'_, Self> {
        let mut chosen: BTreeMap<u32, (f64, NodeIndex)> = BTreeMap::new();
        let mut several = false;
        for &helper in &self.helpers {
            let Some(domain) = self.domain(helper) else { continue };
            let distance = if kept.contains(&helper) { 0.0 } else { self.distance(helper) };
            several |= chosen.contains_key(&domain);
            let best = chosen.entry(domain).or_insert((f64::INFINITY, helper));
            if distance < best.0 {
                *best = (distance, helper);
            }
        }
        if !several {
            return Cow::Borrowed(self);
        }
        let mut thinned = self.clone();
        thinned.helpers.retain(|helper| {
            let other = self.domain(*helper).and_then(|domain| chosen.get(&domain));
            other.is_none_or(|(_, chosen)| chosen == helper) || kept.contains(helper)
        });
        Cow::Owned(thinned)
    }

    /// How far a helper is from the members, all in all.
    fn distance(&self, helper: NodeIndex) -> f64 {
        let degree = self.degrees[helper].0;
        if degree < 2 {
            return f64::MAX;
        }
        let way = |&member: &NodeIndex| {
            if self.may_link(helper, member) { self.latency.ms(helper, member) } else { UNREACHABLE_MS }
        };
        (1.0 + 1.0 / f64::from(degree - 1)) * self.members.iter().map(way).sum::<f64>()
    }
}

/// What a member counts that the helper cannot talk to.
const UNREACHABLE_MS: f64 = 1000.0;
