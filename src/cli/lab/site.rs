//! Where the nodes are: rows of the matrix, and an access line each where rows are given out more than once.

use std::time::Duration;

use alm_planner::LatencyMatrix;
use rand::RngExt;

use crate::cli::draw::{Purpose, draw, generator};
use crate::net::emulated::PathProfile;

/// Every node's place.
pub(super) struct Sites {
    one_way_ms: Vec<f64>,
    nodes: usize,
}

/// What an access line adds, one way, ms: the contract's.
const ACCESS_MS: std::ops::Range<f64> = 0.5..2.5;

impl Sites {
    /// `nodes` nodes at rows drawn from `latency`; at rows in turn if there are too few.
    pub(super) fn draw(latency: &LatencyMatrix, nodes: usize, seed: u64) -> Self {
        let mut random = generator(seed, Purpose::Members);
        let rows = draw((0..latency.nodes()).collect(), nodes, &mut random);
        let access_ms: Vec<f64> = match rows {
            Some(_) => vec![0.0; nodes],
            None => (0..nodes).map(|_| random.random_range(ACCESS_MS)).collect(),
        };
        let rows = rows.unwrap_or_else(|| (0..nodes).map(|node| node % latency.nodes()).collect());
        let one_way = |from: usize, to: usize| {
            let path = latency.one_way(rows[from], rows[to]).ms();
            if from == to { 0.0 } else { path + access_ms[from] + access_ms[to] }
        };
        let one_way_ms = (0..nodes * nodes).map(|pair| one_way(pair / nodes, pair % nodes)).collect();
        Self { one_way_ms, nodes }
    }

    pub(super) fn one_way_ms(&self, from: usize, to: usize) -> f64 {
        self.one_way_ms[from * self.nodes + to]
    }

    /// A path of the emulated network.
    pub(super) fn path(&self, from: usize, to: usize, jitter: Duration, loss: f64) -> PathProfile {
        let one_way = Duration::from_secs_f64(self.one_way_ms(from, to) / 1_000.0);
        PathProfile { jitter, loss, ..PathProfile::clean(one_way) }
    }

    /// What a conference server at the best of `places` would make of the worst, and of the mean, pair of `members`.
    pub(super) fn best_server_ms(&self, places: &[usize], members: &[usize]) -> (f64, f64) {
        let mut best = (f64::INFINITY, f64::INFINITY);
        for &server in places {
            let (mut worst, mut sum, mut pairs) = (0.0_f64, 0.0, 0_u32);
            for &from in members {
                for &to in members.iter().filter(|to| **to != from) {
                    let way = self.one_way_ms(from, server) + self.one_way_ms(server, to);
                    worst = worst.max(way);
                    sum += way;
                    pairs += 1;
                }
            }
            best = (best.0.min(worst), best.1.min(sum / f64::from(pairs.max(1))));
        }
        best
    }
}
