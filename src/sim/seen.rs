//! What is to be seen of a pool when it has been watched: the outcome.

use std::time::Duration;

use rand::seq::IndexedRandom;

use super::run::Run;
use super::shard::SHARDS;
use super::survey::Errors;
use super::{Line, Outcome};
use crate::pool::Moment;
use crate::pool::ring;

/// Pairs that coordinates are judged by.
const PAIRS: usize = 20_000;

impl Run<'_> {
    pub(super) fn outcome(mut self) -> Outcome {
        self.now = self.until;
        self.count_time();
        let node_seconds = self.node_seconds.max(1e-9);
        let (mut own, mut springs) = self.survey();
        let [mut up, mut down] = self.lines();
        let (nodes, known) =
            self.living().fold((0_u64, 0), |(nodes, known), node| (nodes + 1, known + node.ring().known()));
        let traffic = self.traffic();
        Outcome {
            hops_mean: self.lookups.hops_mean(),
            hops_p99: self.lookups.hops_quantile(0.99),
            stretch_mean: self.lookups.stretch(),
            lookups: self.lookups.ended,
            lost: self.lookups.lost,
            wrong: self.lookups.wrong,
            reads: self.objects.reads,
            reads_lost: self.objects.lost,
            reads_stale: self.objects.stale,
            queries: self.queries.asked,
            queries_lost: self.queries.lost,
            queries_honest: self.queries.honest(),
            lookup_messages: (self.lookups.ended > 0)
                .then(|| traffic.of_lookups as f64 / self.lookups.ended as f64),
            messages_per_node_s: traffic.messages as f64 / node_seconds,
            bytes_per_node_s: traffic.bytes as f64 / node_seconds,
            somo_height: self.views.height,
            view_age_ms_p50: self.views.age_ms(0.5),
            view_age_ms_p99: self.views.age_ms(0.99),
            view_complete: self.views.complete(),
            root_report_bytes: self.views.bytes_max,
            coord_error_p50: own.quantile(0.5),
            coord_error_p90: own.quantile(0.9),
            vivaldi_error_p50: springs.quantile(0.5),
            vivaldi_error_p90: springs.quantile(0.9),
            bandwidth_error_p50: up.quantile(0.5),
            bandwidth_error_p90: up.quantile(0.9),
            downlink_error_p50: down.quantile(0.5),
            downlink_error_p90: down.quantile(0.9),
            root_rank: self.root_rank(),
            roots: self.living().filter(|node| node.is_root()).count(),
            view_heal_s: self
                .healed_at
                .zip(self.views.exact_at)
                .map(|(healed, exact)| exact.since(healed).as_secs_f64()),
            heal_s: self.hurt_at.zip(self.healed_at).map(|(hurt, healed)| healed.since(hurt).as_secs_f64()),
            events: self.events(),
            joined_after: self.seen().watching.map_or(Duration::ZERO, |from| from.since(Moment::ZERO)),
            known_mean: known as f64 / nodes.max(1) as f64,
        }
    }

    /// How far coordinates are off, the nodes' own and Vivaldi's, over pairs that did not measure each other.
    fn survey(&mut self) -> (Errors, Errors) {
        let (mut own, mut springs) = (Errors::default(), Errors::default());
        for _ in 0..PAIRS {
            let pair: Vec<u32> = self.census.listed().sample(&mut self.random, 2).copied().collect();
            let &[a, b] = pair.as_slice() else { break };
            let (Some(one), Some(other)) = (self.ring_of(a), self.ring_of(b)) else { continue };
            if one.has_surveyed(other.me().position) || other.has_surveyed(one.me().position) {
                continue;
            }
            let (a, b) = (a as usize, b as usize);
            let measured = self.seen().distances.one_way(a, b) + self.seen().distances.one_way(b, a);
            if let Some(foretold) = one.me().place.round_trip(other.me().place) {
                own.add(foretold.as_secs_f64() * 1e3, measured.as_secs_f64() * 1e3);
                springs.add(self.springs.round_trip_ms(a, b), measured.as_secs_f64() * 1e3);
            }
        }
        (own, springs)
    }

    /// How far measured lines are off, upwards and downwards.
    fn lines(&self) -> [Errors; 2] {
        let (mut up, mut down) = (Errors::default(), Errors::default());
        for slot in self.census.listed().iter().copied().filter(|slot| self.is_honest(*slot)) {
            if let (Some(line), Some(node)) = (self.line(slot), self.node(slot)) {
                let measured = node.line_kbit_s();
                measured.0.into_iter().for_each(|kbit_s| up.add(kbit_s.into(), line.up));
                measured.1.into_iter().for_each(|kbit_s| down.add(kbit_s.into(), line.down));
            }
        }
        [up, down]
    }

    /// The share of nodes whose line upwards is no wider than that of who acts as SOMO's root.
    fn root_rank(&self) -> Option<f64> {
        let up = |slot: u32| self.line(slot).map(|line| line.up);
        let (acting, listed) = (up(self.acting?)?, self.census.listed());
        let below = listed.iter().filter_map(|slot| up(*slot)).filter(|up| *up <= acting).count();
        Some(below as f64 / listed.len().max(1) as f64)
    }

    fn ring_of(&self, slot: u32) -> Option<&ring::RingNode> {
        self.node(slot).map(|node| node.ring())
    }

    /// The access line of a slot, where lines are measured.
    fn line(&self, slot: u32) -> Option<Line> {
        self.shards[slot as usize % SHARDS].slot(slot).access.map(|access| access.line)
    }
}
