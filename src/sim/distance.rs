//! How long messages take in a simulated pool of any size: a recorded matrix whose rows are given out in turn, and an access
//! line for each node.

use std::time::Duration;

use alm_planner::LatencyMatrix;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// One-way times between the nodes of a simulation.
pub struct Distances {
    rows: usize,
    one_way_us: Vec<u32>,
    access_us: Vec<u16>,
    least_us: u32,
}

/// The access line of a node, one way: least and most, microseconds. The contract's.
const ACCESS_US: std::ops::RangeInclusive<u16> = 500..=2_500;
/// Nothing comes to another node sooner.
const LEAST_US: u32 = 1;

impl Distances {
    /// `nodes` nodes at the rows of `matrix`, round robin. With more nodes than rows each has an access line.
    #[must_use]
    pub fn new(matrix: &LatencyMatrix, nodes: usize, seed: u64) -> Self {
        let rows = matrix.nodes();
        let us = |from: usize, to: usize| (matrix.one_way(from, to).ms() * 1e3) as u32;
        let one_way_us: Vec<u32> = (0..rows * rows).map(|pair| us(pair / rows, pair % rows)).collect();
        let mut random = StdRng::seed_from_u64(seed);
        let shared = nodes > rows;
        let access = |_| if shared { random.random_range(ACCESS_US) } else { 0 };
        let access_us = (0..nodes).map(access).collect();
        let between = one_way_us.iter().enumerate().filter(|(pair, _)| shared || pair / rows != pair % rows);
        let path = between.map(|(_, us)| *us).min().unwrap_or(LEAST_US);
        let access = if shared { 2 * u32::from(*ACCESS_US.start()) } else { 0 };
        Self { rows, one_way_us, access_us, least_us: (path + access).max(LEAST_US) }
    }

    /// From one node to another.
    #[must_use]
    pub fn one_way(&self, from: usize, to: usize) -> Duration {
        let path = self.one_way_us[(from % self.rows) * self.rows + to % self.rows];
        if from == to {
            return Duration::from_micros(path.into());
        }
        let access = u32::from(self.access_us[from]) + u32::from(self.access_us[to]);
        Duration::from_micros(path.saturating_add(access).max(LEAST_US).into())
    }

    /// No node is nearer to another one.
    #[must_use]
    pub fn least(&self) -> Duration {
        Duration::from_micros(self.least_us.into())
    }
}

#[cfg(test)]
mod tests {
    use alm_planner::{Directions, Missing, Plane};

    use super::*;

    #[test]
    fn nothing_is_nearer_than_the_least() {
        let trips = Plane::new(12).draw(&mut StdRng::seed_from_u64(1)).unwrap();
        let matrix =
            LatencyMatrix::from_round_trips(&trips, Directions::Mean, Missing::ShortestPath).unwrap();
        for nodes in [5, 12, 40] {
            let distances = Distances::new(&matrix, nodes, 1);
            let pairs = (0..nodes * nodes).map(|pair| (pair / nodes, pair % nodes));
            let least = pairs.filter(|(a, b)| a != b).map(|(a, b)| distances.one_way(a, b)).min().unwrap();
            assert!(least >= distances.least() && !distances.least().is_zero(), "{nodes} {least:?}");
        }
    }
}
