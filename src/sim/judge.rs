//! What only the simulator can know: who is there, who answers for a key, whether the ring is whole; and how lookups went.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::identity::Position;
use crate::pool::Moment;

/// All nodes that have joined and live.
#[derive(Default)]
pub(super) struct Census {
    by_position: BTreeMap<Position, u32>,
    listed: Vec<u32>,
    /// Where each slot is in `listed`.
    rank: Vec<u32>,
}

impl Census {
    pub(super) fn add(&mut self, position: Position, slot: u32) {
        if self.by_position.insert(position, slot).is_none() {
            self.rank.resize(self.rank.len().max(slot as usize + 1), u32::MAX);
            self.rank[slot as usize] = self.listed.len() as u32;
            self.listed.push(slot);
        }
    }

    pub(super) fn remove(&mut self, position: Position) {
        if let Some(slot) = self.by_position.remove(&position) {
            let rank = self.rank[slot as usize] as usize;
            self.listed.swap_remove(rank);
            if let Some(moved) = self.listed.get(rank) {
                self.rank[*moved as usize] = rank as u32;
            }
        }
    }

    /// In no order that means anything, but always the same.
    pub(super) fn listed(&self) -> &[u32] {
        &self.listed
    }

    /// Around the ring.
    pub(super) fn ring(&self) -> impl Iterator<Item = (Position, u32)> + '_ {
        self.by_position.iter().map(|(position, slot)| (*position, *slot))
    }

    /// Who answers for a key, of those that `counts` says count.
    pub(super) fn root(&self, key: Position, counts: impl Fn(u32) -> bool) -> Option<Position> {
        let around = self.by_position.range(key..).chain(self.by_position.range(..key));
        around.into_iter().find(|(_, slot)| counts(**slot)).map(|(position, _)| *position)
    }
}

/// A lookup under way.
struct Started {
    key: Position,
    at: Moment,
    delivered: bool,
}

/// How lookups went.
#[derive(Default)]
pub(super) struct Lookups {
    under_way: BTreeMap<(u32, u32), Started>,
    hops: [u64; 32],
    delay: Duration,
    direct: Duration,
    pub(super) ended: u64,
    pub(super) lost: u64,
    pub(super) wrong: u64,
}

impl Lookups {
    /// True while one has not ended.
    pub(super) fn are_under_way(&self) -> bool {
        !self.under_way.is_empty()
    }

    pub(super) fn start(&mut self, slot: u32, request: u32, key: Position, at: Moment) {
        self.under_way.insert((slot, request), Started { key, at, delivered: false });
    }

    /// What is looked up.
    pub(super) fn key(&self, slot: u32, request: u32) -> Option<Position> {
        self.under_way.get(&(slot, request)).map(|started| started.key)
    }

    /// It has arrived somewhere, the right place or not; `direct` is the shortest way there.
    pub(super) fn on_delivered(
        &mut self,
        (slot, request): (u32, u32),
        right: bool,
        hops: u8,
        direct: Duration,
        now: Moment,
    ) {
        let Some(started) = self.under_way.get_mut(&(slot, request)) else { return };
        if !right {
            self.wrong += 1;
        } else if !started.delivered {
            started.delivered = true;
            self.delay += now.since(started.at);
            self.direct += direct;
            self.hops[usize::from(hops).min(self.hops.len() - 1)] += 1;
        }
    }

    pub(super) fn on_ended(&mut self, slot: u32, request: u32, found: bool) {
        if self.under_way.remove(&(slot, request)).is_some() {
            self.ended += 1;
            self.lost += u64::from(!found);
        }
    }

    /// The origin is gone; nobody waits for the answer any more.
    pub(super) fn on_origin_gone(&mut self, slot: u32) {
        let gone: Vec<(u32, u32)> =
            self.under_way.range((slot, 0)..=(slot, u32::MAX)).map(|(key, _)| *key).collect();
        for key in gone {
            self.under_way.remove(&key);
        }
    }

    pub(super) fn hops_mean(&self) -> Option<f64> {
        let total: u64 = self.hops.iter().sum();
        let sum: u64 = self.hops.iter().zip(0..).map(|(count, hops)| count * hops).sum();
        (total > 0).then(|| sum as f64 / total as f64)
    }

    pub(super) fn hops_quantile(&self, share: f64) -> Option<u8> {
        let total: u64 = self.hops.iter().sum();
        let rank = (total as f64 * share).ceil() as u64;
        let mut seen = 0;
        let found = self.hops.iter().position(|count| {
            seen += count;
            seen >= rank.max(1)
        });
        found.filter(|_| total > 0).map(|hops| hops as u8)
    }

    pub(super) fn stretch(&self) -> Option<f64> {
        (!self.direct.is_zero()).then(|| self.delay.as_secs_f64() / self.direct.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_of_a_key_is_the_next_node_clockwise() {
        let mut census = Census::default();
        for (position, slot) in [(10, 0), (20, 1), (30, 2)] {
            census.add(Position(position), slot);
        }
        let root = |census: &Census, key| census.root(Position(key), |_| true).map(|root| root.0);
        assert_eq!([10, 11, 20, 31].map(|key| root(&census, key)), [10, 20, 20, 10].map(Some));
        census.remove(Position(10));
        census.remove(Position(10));
        assert_eq!(root(&census, 31), Some(20));
        assert_eq!(census.listed(), [2, 1]);
        census.remove(Position(30));
        assert_eq!(census.listed(), [1]);
    }

    #[test]
    fn a_lookup_counts_once() {
        let mut lookups = Lookups::default();
        let at = |ms: u64| Moment::from_micros(ms * 1_000);
        lookups.start(1, 7, Position(5), at(0));
        lookups.start(1, 8, Position(5), at(0));
        lookups.start(2, 7, Position(5), at(0));
        let direct = Duration::from_millis(10);
        lookups.on_delivered((1, 7), false, 9, direct, at(5));
        lookups.on_delivered((1, 7), true, 2, direct, at(15));
        lookups.on_delivered((1, 7), true, 4, direct, at(99));
        lookups.on_ended(1, 7, true);
        lookups.on_ended(1, 7, true);
        lookups.on_ended(2, 7, false);
        lookups.on_origin_gone(1);
        lookups.on_ended(1, 8, false);
        assert_eq!((lookups.ended, lookups.lost, lookups.wrong), (2, 1, 1));
        assert_eq!((lookups.hops_mean(), lookups.hops_quantile(0.99)), (Some(2.0), Some(2)));
        assert_eq!(lookups.stretch(), Some(1.5));
    }
}
