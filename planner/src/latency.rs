//! Who is how far from whom: the recorded round trips, and the one-way latencies that planning reads.
//!
//! A recording has holes and differs between directions; a `LatencyMatrix` has neither holes nor doubt. What fills a
//! hole is the caller's choice (`Missing`), and so is whether directions stay apart (`Directions`). Values are kept
//! as 32-bit floats: a matrix of `NODES_MAX` nodes takes 1 GiB.

use std::cmp::Reverse;

use thiserror::Error;

use crate::units::{NodeIndex, OneWay, RoundTrip};

/// Round trips as recorded, with holes, one entry per ordered pair.
#[derive(Clone, Debug)]
pub struct RoundTrips {
    nodes: usize,
    /// NaN is a hole.
    ms: Vec<f32>,
}

impl RoundTrips {
    /// A recording over `nodes` nodes in which nothing has been measured yet; `None` above `NODES_MAX`.
    pub fn new(nodes: usize) -> Option<Self> {
        (nodes <= NODES_MAX).then(|| Self { nodes, ms: vec![f32::NAN; nodes * nodes] })
    }

    /// Number of nodes.
    pub fn nodes(&self) -> usize {
        self.nodes
    }

    /// Records the round trip that `from` measured to `to`.
    ///
    /// # Panics
    /// If either is not below `nodes()`.
    pub fn set(&mut self, from: NodeIndex, to: NodeIndex, value: RoundTrip) {
        assert!(from < self.nodes && to < self.nodes, "{from} or {to} is outside of {} nodes", self.nodes);
        self.ms[from * self.nodes + to] = value.ms() as f32;
    }

    /// What `from` measured to `to`, if it did.
    pub fn get(&self, from: NodeIndex, to: NodeIndex) -> Option<RoundTrip> {
        RoundTrip::from_ms(f64::from(self.ms[from * self.nodes + to]))
    }

    /// One-way time from what is recorded alone.
    fn one_way(&self, from: NodeIndex, to: NodeIndex, directions: Directions) -> Option<f64> {
        if from == to {
            return Some(0.0);
        }
        let ahead = self.get(from, to).map(|trip| trip.one_way().ms());
        if directions == Directions::Apart {
            return ahead;
        }
        let back = self.get(to, from).map(|trip| trip.one_way().ms());
        match (ahead, back) {
            (Some(a), Some(b)) => Some((a + b) / 2.0),
            (one, other) => one.or(other),
        }
    }
}

/// Whether the two directions of a pair are one value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Directions {
    /// Their mean; where one is missing, the other.
    Mean,
    /// Each its own.
    Apart,
}

/// What to do with a pair that nobody measured, in neither direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// The shortest path over recorded pairs.
    ShortestPath,
    /// Leave out nodes, those with the most holes first, until no hole is left.
    DropNodes,
    /// Refuse.
    Error,
}

/// Why a recording is no latency matrix.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum LatencyError {
    /// A hole, and the policy was to refuse.
    #[error("no latency is recorded for the pair {0} {1}")]
    Hole(NodeIndex, NodeIndex),
    /// A hole, and no path over recorded pairs to fill it.
    #[error("nodes {0} and {1} are not connected by any recorded pair")]
    Disconnected(NodeIndex, NodeIndex),
}

/// One-way latencies between all nodes, complete.
#[derive(Clone, Debug)]
pub struct LatencyMatrix {
    nodes: usize,
    ms: Vec<f32>,
    dropped: Vec<NodeIndex>,
    is_symmetric: bool,
}

impl LatencyMatrix {
    /// From a function of ordered pairs; the diagonal is zero whatever it says.
    pub fn from_one_way(nodes: usize, latency: impl Fn(NodeIndex, NodeIndex) -> OneWay) -> Self {
        let mut ms = Vec::with_capacity(nodes * nodes);
        for i in 0..nodes {
            ms.extend((0..nodes).map(|j| if i == j { 0.0 } else { latency(i, j).ms() as f32 }));
        }
        Self { is_symmetric: is_symmetric(nodes, &ms), nodes, ms, dropped: Vec::new() }
    }

    /// From recorded round trips: halved, directions merged or kept apart, holes filled.
    ///
    /// # Errors
    /// `LatencyError` if a hole cannot be filled under `missing`.
    pub fn from_round_trips(
        trips: &RoundTrips,
        directions: Directions,
        missing: Missing,
    ) -> Result<Self, LatencyError> {
        let nodes = trips.nodes;
        let mut ms = vec![f32::NAN; nodes * nodes];
        let mut holes = Vec::new();
        for i in 0..nodes {
            for j in 0..nodes {
                match trips.one_way(i, j, directions) {
                    Some(value) => ms[i * nodes + j] = value as f32,
                    None => holes.push((i, j)),
                }
            }
        }
        let mut matrix = Self { nodes, ms, dropped: Vec::new(), is_symmetric: false };
        match (missing, holes.first()) {
            (_, None) => {}
            (Missing::Error, Some(&(i, j))) => return Err(LatencyError::Hole(i, j)),
            (Missing::ShortestPath, Some(_)) => matrix.fill_by_shortest_paths(&holes)?,
            (Missing::DropNodes, Some(_)) => matrix.drop_nodes(&holes),
        }
        matrix.is_symmetric = is_symmetric(nodes, &matrix.ms);
        Ok(matrix)
    }

    /// Number of nodes, dropped ones included: numbering never changes.
    pub fn nodes(&self) -> usize {
        self.nodes
    }

    /// Nodes without usable latencies, ascending. Empty unless built with `Missing::DropNodes`.
    pub fn dropped(&self) -> &[NodeIndex] {
        &self.dropped
    }

    /// Whether both directions of every pair are the same.
    pub(crate) fn is_symmetric(&self) -> bool {
        self.is_symmetric
    }

    /// Latency from `from` to `to`. Meaningless, but huge, if either was dropped.
    pub fn one_way(&self, from: NodeIndex, to: NodeIndex) -> OneWay {
        OneWay::from_sum(self.ms(from, to))
    }

    /// The same as a bare number, for inner loops.
    #[inline]
    pub(crate) fn ms(&self, from: NodeIndex, to: NodeIndex) -> f64 {
        f64::from(self.ms[from * self.nodes + to])
    }

    /// Changes the latency from `from` to `to`.
    ///
    /// # Panics
    /// If either is not below `nodes()`.
    pub fn set(&mut self, from: NodeIndex, to: NodeIndex, value: OneWay) {
        assert!(from < self.nodes && to < self.nodes, "{from} or {to} is outside of {} nodes", self.nodes);
        self.ms[from * self.nodes + to] = value.ms() as f32;
    }

    /// Latencies from `from`, by node.
    pub(crate) fn row(&self, from: NodeIndex) -> &[f32] {
        &self.ms[from * self.nodes..][..self.nodes]
    }

    fn fill_by_shortest_paths(&mut self, holes: &[(NodeIndex, NodeIndex)]) -> Result<(), LatencyError> {
        let recorded = self.clone();
        let mut at = 0;
        while at < holes.len() {
            let from = holes[at].0;
            let distance =
                shortest_paths(self.nodes, from, |a, b| Some(recorded.ms(a, b)).filter(|ms| !ms.is_nan()));
            while at < holes.len() && holes[at].0 == from {
                let to = holes[at].1;
                if distance[to].is_infinite() {
                    return Err(LatencyError::Disconnected(from, to));
                }
                self.ms[from * self.nodes + to] = distance[to] as f32;
                at += 1;
            }
        }
        Ok(())
    }

    fn drop_nodes(&mut self, holes: &[(NodeIndex, NodeIndex)]) {
        let mut left = holes.to_vec();
        while !left.is_empty() {
            let mut count = vec![0u32; self.nodes];
            for &(i, j) in &left {
                count[i] += 1;
                count[j] += 1;
            }
            let worst = (0..self.nodes)
                .max_by_key(|&i| (count[i], Reverse(i)))
                .expect("a matrix with a hole has at least two nodes");
            self.dropped.push(worst);
            left.retain(|&(i, j)| i != worst && j != worst);
        }
        self.dropped.sort_unstable();
        for value in &mut self.ms {
            if value.is_nan() {
                *value = f32::MAX;
            }
        }
    }
}

fn is_symmetric(nodes: usize, ms: &[f32]) -> bool {
    (0..nodes).all(|i| (0..i).all(|j| ms[i * nodes + j] == ms[j * nodes + i]))
}

/// Dijkstra over a dense graph, O(n^2): distance from `from` to every node, infinite where there is no path.
pub(crate) fn shortest_paths(
    nodes: usize,
    from: NodeIndex,
    edge: impl Fn(NodeIndex, NodeIndex) -> Option<f64>,
) -> Vec<f64> {
    let mut distance = vec![f64::INFINITY; nodes];
    let mut open: Vec<NodeIndex> = (0..nodes).collect();
    distance[from] = 0.0;
    while let Some(at) = (0..open.len()).min_by(|&a, &b| distance[open[a]].total_cmp(&distance[open[b]])) {
        let node = open.swap_remove(at);
        if distance[node].is_infinite() {
            break;
        }
        for &next in &open {
            if let Some(step) = edge(node, next) {
                distance[next] = distance[next].min(distance[node] + step);
            }
        }
    }
    distance
}

/// Most nodes that a matrix may have: 1 GiB of 32-bit values.
pub const NODES_MAX: usize = 16_384;

#[cfg(test)]
mod tests {
    use super::*;

    fn trips(rows: &[&[f64]]) -> RoundTrips {
        let mut trips = RoundTrips::new(rows.len()).unwrap();
        for (i, row) in rows.iter().enumerate() {
            for (j, &ms) in row.iter().enumerate() {
                if let Some(trip) = RoundTrip::from_ms(ms) {
                    trips.set(i, j, trip);
                }
            }
        }
        trips
    }

    #[test]
    fn directions_are_averaged_and_one_fills_in_for_the_other() {
        let trips = trips(&[&[0.0, 10.0, -1.0], &[20.0, 0.0, 8.0], &[6.0, 8.0, 0.0]]);
        let mean = LatencyMatrix::from_round_trips(&trips, Directions::Mean, Missing::Error).unwrap();
        assert_eq!(mean.one_way(0, 1).ms(), 7.5);
        assert_eq!(mean.one_way(1, 0).ms(), 7.5);
        assert_eq!(mean.one_way(0, 2).ms(), 3.0);
        let error = LatencyMatrix::from_round_trips(&trips, Directions::Apart, Missing::Error).unwrap_err();
        assert_eq!(error, LatencyError::Hole(0, 2));
        let apart =
            LatencyMatrix::from_round_trips(&trips, Directions::Apart, Missing::ShortestPath).unwrap();
        assert_eq!(apart.one_way(0, 1).ms(), 5.0);
        assert_eq!(apart.one_way(0, 2).ms(), 9.0);
    }

    #[test]
    fn a_hole_is_filled_by_the_shortest_recorded_path_or_refused() {
        let line = trips(&[&[0.0, 10.0, -1.0], &[10.0, 0.0, 8.0], &[-1.0, 8.0, 0.0]]);
        let filled = LatencyMatrix::from_round_trips(&line, Directions::Mean, Missing::ShortestPath).unwrap();
        assert_eq!(filled.one_way(2, 0).ms(), 9.0);
        let apart = trips(&[&[0.0, -1.0], &[-1.0, 0.0]]);
        assert_eq!(
            LatencyMatrix::from_round_trips(&apart, Directions::Mean, Missing::ShortestPath).unwrap_err(),
            LatencyError::Disconnected(0, 1)
        );
    }

    #[test]
    fn nodes_with_the_most_holes_are_dropped_first() {
        let trips = trips(&[
            &[0.0, -1.0, 4.0, 4.0],
            &[-1.0, 0.0, -1.0, -1.0],
            &[4.0, -1.0, 0.0, 4.0],
            &[4.0, -1.0, 4.0, 0.0],
        ]);
        let kept = LatencyMatrix::from_round_trips(&trips, Directions::Mean, Missing::DropNodes).unwrap();
        assert_eq!(kept.dropped(), [1]);
        assert_eq!(kept.one_way(2, 3).ms(), 2.0);
    }
}
