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
}

/// The access line of a node, one way: least and most, microseconds. The contract's.
const ACCESS_US: std::ops::RangeInclusive<u16> = 500..=2_500;

impl Distances {
    /// `nodes` nodes at the rows of `matrix`, round robin. With more nodes than rows each has an access line.
    #[must_use]
    pub fn new(matrix: &LatencyMatrix, nodes: usize, seed: u64) -> Self {
        let rows = matrix.nodes();
        let us = |from: usize, to: usize| (matrix.one_way(from, to).ms() * 1e3) as u32;
        let one_way_us = (0..rows * rows).map(|pair| us(pair / rows, pair % rows)).collect();
        let mut random = StdRng::seed_from_u64(seed);
        let access = |_| if nodes > rows { random.random_range(ACCESS_US) } else { 0 };
        Self { rows, one_way_us, access_us: (0..nodes).map(access).collect() }
    }

    /// From one node to another.
    #[must_use]
    pub fn one_way(&self, from: usize, to: usize) -> Duration {
        let path = self.one_way_us[(from % self.rows) * self.rows + to % self.rows];
        let access = if from == to { 0 } else { self.access_us[from] + self.access_us[to] };
        Duration::from_micros(u64::from(path) + u64::from(access))
    }
}
