//! Nodes come and go: who lies, how the pool grows until all are there, churn, crashes, partitions.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};

use super::Scenario;
use super::run::{Happening, Run, SECOND};
use super::shard::SHARDS;
use crate::identity::{Identity, NodeId};
use crate::pool::bandwidth::BandwidthConfig;
use crate::pool::records::RecordsConfig;
use crate::pool::ring::Malice;
use crate::pool::somo::Offer;
use crate::pool::swarm::{Input, SwarmNode};
use crate::pool::{Moment, Peer};

/// The pool grows by this share a second: joins run side by side, as in a crowd.
const GROWTH: f64 = 0.1;
/// After the last join, tables improve for a while before anything is measured.
const SETTLING: Duration = Duration::from_secs(120);
/// Joins that do not come to an end are waited for so long.
const JOINING_MAX: Duration = Duration::from_secs(600);
/// After the end, answers that are under way still count, and what was hurt may heal.
const DRAIN: Duration = Duration::from_secs(60);
/// Tree links that a machine offers.
const OFFERED: std::ops::RangeInclusive<u8> = 0..=20;
/// Hosts asked for each record where some lie.
const ASKED_AMONG_LIARS: usize = 3;
const PORT: u16 = 4_433;
/// Nodes that a newcomer is told of.
const BOOTSTRAPS: usize = 3;

impl Run<'_> {
    /// Some nodes lie, and their places stay with liars whoever comes.
    pub(super) fn corrupt(&mut self) {
        let (nodes, share) = (self.scenario.nodes, self.scenario.malicious);
        let count = (nodes as f64 * share).round() as usize;
        let drawn = rand::seq::index::sample(&mut self.random, nodes, count);
        for (slot, malice) in drawn.into_iter().zip(Malice::ALL.into_iter().cycle()) {
            self.world().malice[slot] = Some(malice);
        }
    }

    pub(super) fn grow(&mut self) {
        let joined = self.census.listed().len();
        let in_time = self.now <= Moment::ZERO + JOINING_MAX;
        if self.started < self.scenario.nodes && in_time {
            let more = ((joined as f64 * GROWTH) as usize).clamp(1, self.scenario.nodes - self.started);
            // A pool that cannot take newcomers in gets no more of them.
            if self.started - joined <= more {
                for slot in self.started..self.started + more {
                    let at = self.now + SECOND.mul_f64(self.random.random_range(0.0..1.0));
                    self.queue.push(at, Happening::Start(slot as u32));
                }
                self.started += more;
            }
        } else if joined == self.scenario.nodes || !in_time {
            self.watch(self.now + SETTLING);
            return;
        }
        self.queue.push(self.now + SECOND, Happening::Growth);
    }

    /// All have joined; what is to be seen begins at `from`.
    fn watch(&mut self, from: Moment) {
        let Scenario { churn, crash, partition, lookups_per_s, duration, .. } = *self.scenario;
        self.world().watching = Some(from);
        self.counted_at = from;
        self.until = from + duration + DRAIN;
        self.queue.push(from + duration, Happening::End);
        if self.scenario.reads_per_s > 0.0 {
            for slot in self.census.listed().to_vec() {
                self.write(slot);
            }
            self.queue.push(from, Happening::Read);
        }
        if lookups_per_s > 0.0 {
            self.queue.push(from, Happening::Lookup);
        }
        if self.among_liars() {
            self.queue.push(from, Happening::Query);
        }
        if let Some((share, at)) = crash {
            self.queue.push(from + at, Happening::MassCrash(share));
        }
        if let Some((share, begin, end)) = partition {
            self.queue.push(from + begin, Happening::Partition(Some(share)));
            self.queue.push(from + end, Happening::Partition(None));
        }
        // Churn begins while tables settle, so that what is seen is its steady state.
        if let Some(mean) = churn {
            for slot in 0..self.scenario.nodes as u32 {
                let at = self.now + self.session(mean);
                self.queue.push(at, Happening::Crash(slot));
            }
        }
    }

    pub(super) fn session(&mut self, mean: Duration) -> Duration {
        mean.mul_f64(-(1.0 - self.random.random::<f64>()).ln())
    }

    pub(super) fn start(&mut self, slot: u32) {
        let seed = self.random.random();
        // Only who measures lines can find a more capable root, and sign its role away.
        let identity = (!self.scenario.lines.is_empty()).then(|| Arc::new(Identity::from_seed(seed)));
        let node = identity.as_ref().map_or(NodeId(seed), |identity| identity.node_id());
        let me = Peer::new(node, SocketAddr::from((Ipv4Addr::from(slot + 1), PORT)));
        let chance = StdRng::from_rng(&mut self.random);
        let Scenario { ring, somo, .. } = *self.scenario;
        let asked = if self.among_liars() { ASKED_AMONG_LIARS } else { 1 };
        let records = RecordsConfig { asked, ..RecordsConfig::default() };
        let mut newcomer = Box::new(SwarmNode::new(me, ring, somo, records, 0, chance, self.now));
        let degree = self.random.random_range(OFFERED);
        let offer = Offer { lends: true, free: [degree; 3], ..Offer::default() };
        newcomer.handle(Input::Offer(offer), self.now);
        if let Some(identity) = identity {
            newcomer.set_identity(identity);
            newcomer.measure_line(BandwidthConfig::default(), self.random.random(), self.now);
        }
        self.springs.restart(slot as usize, &mut self.random);
        let bootstraps: Vec<u32> =
            self.census.listed().sample(&mut self.random, BOOTSTRAPS).copied().collect();
        if bootstraps.is_empty() {
            // The first node is its own ring.
            self.census.add(me.position, slot);
        }
        for bootstrap in bootstraps {
            if let Some(node) = self.node(bootstrap) {
                newcomer.handle(Input::Bootstrap(node.ring().me()), self.now);
            }
        }
        if !self.is_honest(slot) {
            self.world().liars.insert(me.position, me);
        }
        self.shards[slot as usize % SHARDS].settle(slot, Some(newcomer));
        self.with(slot, |_| {});
        if let (Some(mean), Some(_)) = (self.scenario.churn, self.seen().watching) {
            let at = self.now + self.session(mean);
            self.queue.push(at, Happening::Crash(slot));
        }
    }

    pub(super) fn crash(&mut self, slot: u32) {
        self.count_time();
        if let Some(node) = self.shards[slot as usize % SHARDS].settle(slot, None) {
            self.census.remove(node.ring().me().position);
            self.world().liars.remove(&node.ring().me().position);
            self.lookups.on_origin_gone(slot);
            self.objects.on_gone(slot);
        }
    }

    pub(super) fn some_of(&mut self, share: f64) -> Vec<u32> {
        let listed = self.census.listed();
        let count = (listed.len() as f64 * share).round() as usize;
        listed.sample(&mut self.random, count).copied().collect()
    }

    pub(super) fn part(&mut self, share: Option<f64>) {
        self.world().parted = share.is_some();
        if let Some(share) = share {
            for slot in self.some_of(share) {
                self.world().cut_off[slot as usize] = true;
            }
        } else {
            self.hurt_at = Some(self.now);
            self.queue.push(self.now + SECOND, Happening::Inspection);
        }
    }
}
