//! How old what is known of many nodes is: a few ages, each with how many nodes are no older. What is gathered of a pool has a
//! long tail, and one late branch would date all of it if the oldest part alone counted.

use serde::{Deserialize, Serialize};

/// Ages, the youngest first, and of how many nodes each is. What is merged counts as the older of the two.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Ages(Vec<Age>);

/// So many nodes are known as they were so long ago, or less.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
struct Age {
    ms: u32,
    nodes: u32,
}

impl Ages {
    /// Of one node, now.
    pub(in crate::pool) fn now() -> Self {
        Self(vec![Age { ms: 0, nodes: 1 }])
    }

    /// Adds those of others, which have grown older since by so much.
    pub(in crate::pool) fn add(&mut self, others: &Self, older_ms: u32) {
        let aged = |age: &Age| Age { ms: age.ms.saturating_add(older_ms), nodes: age.nodes };
        self.0.extend(others.0.iter().map(aged));
        if self.0.len() > LOOSE_MAX {
            self.merge_down_to(AGES_MAX);
        }
    }

    /// So much later.
    pub(super) fn grow_older(&mut self, ms: u32) {
        self.0.iter_mut().for_each(|age| age.ms = age.ms.saturating_add(ms));
    }

    /// Leaves as many as a report may have.
    pub(in crate::pool) fn prune(&mut self) {
        self.merge_down_to(AGES_MAX);
        self.0.shrink_to_fit();
    }

    /// True when there are no more than a report may have.
    pub(super) fn is_bounded(&self) -> bool {
        self.0.len() <= AGES_MAX
    }

    /// Of how many nodes.
    pub(super) fn nodes(&self) -> u64 {
        self.0.iter().map(|age| u64::from(age.nodes)).sum()
    }

    /// The age of the oldest part.
    pub(super) fn oldest_ms(&self) -> u32 {
        self.0.last().map_or(0, |age| age.ms)
    }

    /// The age within which so many nodes are known; nothing if fewer are.
    pub(super) fn within_ms(&self, nodes: u32) -> Option<u32> {
        let mut known: u32 = 0;
        self.0.iter().find_map(|age| {
            known = known.saturating_add(age.nodes);
            (known >= nodes).then_some(age.ms)
        })
    }

    fn merge_down_to(&mut self, most: usize) {
        self.0.sort_unstable();
        self.0.dedup_by(|next, kept| {
            let same = next.ms == kept.ms;
            if same {
                kept.nodes = kept.nodes.saturating_add(next.nodes);
            }
            same
        });
        while self.0.len() > most {
            // Whom it costs least to take for older than they are.
            let cost = |i: &usize| u64::from(self.0[*i].nodes) * u64::from(self.0[i + 1].ms - self.0[*i].ms);
            let Some(cheapest) = (0..self.0.len() - 1).min_by_key(cost) else { return };
            let nodes = self.0.remove(cheapest).nodes;
            self.0[cheapest].nodes = self.0[cheapest].nodes.saturating_add(nodes);
        }
    }
}

/// Ages in a report: the tail keeps its own, and what lies close together is merged.
const AGES_MAX: usize = 32;
/// More than so many are merged on the way.
const LOOSE_MAX: usize = 400;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_ages_tell_of_many_nodes_and_never_too_little() {
        let mut all = Ages::default();
        let mut exact = Vec::new();
        for i in 0..10_000_u32 {
            // A hundredth is far behind the others.
            let ms = if i % 100 == 7 { 9_000 + i % 13 } else { 300 + i * 7 % 900 };
            exact.push(ms);
            all.add(&Ages::now(), ms);
        }
        all.prune();
        exact.sort_unstable();
        assert!(all.is_bounded());
        assert_eq!((all.oldest_ms(), all.within_ms(10_000)), (exact[9_999], Some(exact[9_999])));
        assert_eq!(all.within_ms(10_001), None);
        let [half, most] = [5_000, 9_900].map(|nodes| all.within_ms(nodes).unwrap());
        assert!((exact[4_999]..exact[4_999] + 350).contains(&half), "{half}");
        assert!((exact[9_899]..exact[9_899] + 350).contains(&most), "{most}");
        let mut later = all.clone();
        later.grow_older(5);
        assert_eq!(later.oldest_ms(), all.oldest_ms() + 5);
    }
}
