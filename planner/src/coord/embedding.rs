//! All nodes of a recorded matrix, embedded from a few measurements each, as heartbeats would do it over time.

use std::fmt;
use std::str::FromStr;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use thiserror::Error;

use super::simplex::{Loss, Neighbour, refine};
use super::space::{Coordinate, Model};
use super::vivaldi::{VivaldiNode, vivaldi};
use crate::latency::LatencyMatrix;
use crate::units::NodeIndex;

/// How coordinates are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CoordMethod {
    /// The patent's: downhill simplex in Euclidean space on the sum of |predicted - measured|.
    Seed,
    /// Downhill simplex in Euclidean space with heights, on disagreements scaled by the root of the measurement: the best
    /// found on recorded matrices.
    Height,
    /// Springs, in Euclidean space with heights.
    Vivaldi,
    /// The measurements themselves: what perfect coordinates would be.
    Oracle,
}

impl CoordMethod {
    /// All of them, the reference last.
    pub const ALL: &[Self] = &[Self::Seed, Self::Height, Self::Vivaldi, Self::Oracle];

    /// Its name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Seed => "seed",
            Self::Height => "height",
            Self::Vivaldi => "vivaldi",
            Self::Oracle => "oracle",
        }
    }
}

impl fmt::Display for CoordMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name that is no method's.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("no method of that name; there are seed, height, vivaldi and oracle")]
pub struct UnknownMethod;

impl FromStr for CoordMethod {
    type Err = UnknownMethod;

    fn from_str(name: &str) -> Result<Self, UnknownMethod> {
        Self::ALL.iter().copied().find(|method| method.name() == name).ok_or(UnknownMethod)
    }
}

/// Who measures whom: each node its own neighbours, drawn at random.
#[derive(Clone, Debug)]
pub struct Probes {
    nodes: usize,
    neighbours: Vec<Vec<NodeIndex>>,
    fitted: Vec<bool>,
}

impl Probes {
    /// `count` neighbours for each of `nodes` nodes, or all others when there are fewer.
    #[must_use]
    pub fn draw(nodes: usize, count: usize, seed: u64) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let mut probes =
            Self { nodes, neighbours: vec![Vec::new(); nodes], fitted: vec![false; nodes * nodes] };
        for node in 0..nodes {
            while probes.neighbours[node].len() < count.min(nodes - 1) {
                let other = random.random_range(0..nodes);
                if other != node && !probes.fitted[node * nodes + other] {
                    probes.fitted[node * nodes + other] = true;
                    probes.neighbours[node].push(other);
                }
            }
        }
        probes
    }

    /// The nodes that `node` measures.
    #[must_use]
    pub fn of(&self, node: NodeIndex) -> &[NodeIndex] {
        &self.neighbours[node]
    }

    /// Whether either of the two measures the other.
    #[must_use]
    pub fn fits(&self, a: NodeIndex, b: NodeIndex) -> bool {
        self.fitted[a * self.nodes + b] || self.fitted[b * self.nodes + a]
    }
}

/// Predicted round trips between all nodes, row by row, milliseconds.
#[derive(Clone, Debug, PartialEq)]
pub struct Embedding {
    nodes: usize,
    round_trips_ms: Vec<f64>,
}

impl Embedding {
    /// The predicted round trip between two nodes, milliseconds.
    #[must_use]
    pub fn round_trip_ms(&self, a: NodeIndex, b: NodeIndex) -> f64 {
        self.round_trips_ms[a * self.nodes + b]
    }
}

/// Embeds all nodes of `latency` in `dimensions` dimensions (1 to [`DIMENSIONS_MAX`], heights not counted) from what `probes`
/// measure; `None` for a number of dimensions out of range. Cost: O(rounds x nodes) searches for the simplex.
#[must_use]
pub fn embed(
    method: CoordMethod,
    dimensions: usize,
    latency: &LatencyMatrix,
    probes: &Probes,
    seed: u64,
) -> Option<Embedding> {
    let world = World { latency, probes, seed };
    let heights = matches!(method, CoordMethod::Height | CoordMethod::Vivaldi);
    match (method, dimensions + usize::from(heights)) {
        (CoordMethod::Oracle, _) => Some(world.measured()),
        (_, 1) => Some(world.run::<1>(method)),
        (_, 2) => Some(world.run::<2>(method)),
        (_, 3) => Some(world.run::<3>(method)),
        (_, 4) => Some(world.run::<4>(method)),
        (_, 5) => Some(world.run::<5>(method)),
        (_, 6) => Some(world.run::<6>(method)),
        (_, 7) => Some(world.run::<7>(method)),
        (_, 8) => Some(world.run::<8>(method)),
        _ => None,
    }
}

/// Dimensions that [`embed`] takes.
pub const DIMENSIONS_MAX: usize = 7;

/// Relative errors |predicted - measured| / measured over `pairs` random pairs that nobody fitted, sorted. Pairs measured at
/// zero are left out.
#[must_use]
pub fn relative_errors(
    embedding: &Embedding,
    latency: &LatencyMatrix,
    probes: &Probes,
    pairs: usize,
    seed: u64,
) -> Vec<f64> {
    let nodes = latency.nodes();
    let mut random = StdRng::seed_from_u64(seed);
    let mut errors = Vec::with_capacity(pairs);
    // In a small matrix all pairs may be fitted; then there is nothing to judge by.
    for _ in 0..pairs * TRIES {
        if errors.len() == pairs {
            break;
        }
        let (a, b) = (random.random_range(0..nodes), random.random_range(0..nodes));
        let measured = round_trip_ms(latency, a, b);
        if a != b && measured > 0.0 && !probes.fits(a, b) {
            errors.push((embedding.round_trip_ms(a, b) - measured).abs() / measured);
        }
    }
    errors.sort_by(f64::total_cmp);
    errors
}

struct World<'a> {
    latency: &'a LatencyMatrix,
    probes: &'a Probes,
    seed: u64,
}

impl World<'_> {
    fn measured(&self) -> Embedding {
        self.predicted(|a, b| round_trip_ms(self.latency, a, b))
    }

    fn predicted(&self, round_trip: impl Fn(NodeIndex, NodeIndex) -> f64) -> Embedding {
        let nodes = self.latency.nodes();
        let pair = |pair: usize| {
            if pair / nodes == pair % nodes { 0.0 } else { round_trip(pair / nodes, pair % nodes) }
        };
        Embedding { nodes, round_trips_ms: (0..nodes * nodes).map(pair).collect() }
    }

    fn run<const N: usize>(&self, method: CoordMethod) -> Embedding {
        let model = if method == CoordMethod::Seed { Model::Euclidean } else { Model::Height };
        let places: Vec<Coordinate<N>> = match method {
            CoordMethod::Vivaldi => self.springs(model),
            CoordMethod::Height => self.simplexes(model, Loss::RootScaled),
            CoordMethod::Seed | CoordMethod::Oracle => self.simplexes(model, Loss::Absolute),
        };
        self.predicted(|a, b| model.round_trip_ms(&places[a], &places[b]))
    }

    fn scattered<const N: usize>(&self, model: Model, width_ms: f64) -> Vec<Coordinate<N>> {
        let mut random = StdRng::seed_from_u64(self.seed);
        let mut place = || {
            let mut place = Coordinate::<N>::from_fn(|_, _| random.random_range(0.0..width_ms));
            if model == Model::Height {
                place[N - 1] = HEIGHT_START_MS;
            }
            place
        };
        (0..self.latency.nodes()).map(|_| place()).collect()
    }

    fn simplexes<const N: usize>(&self, model: Model, loss: Loss) -> Vec<Coordinate<N>> {
        let mut places = self.scattered(model, SCATTER_MS);
        for round in 0..ROUNDS {
            let step = if round < ROUNDS / 2 { STEP_WIDE_MS } else { STEP_NARROW_MS };
            for node in 0..places.len() {
                let neighbour = |other: &NodeIndex| Neighbour {
                    at: places[*other],
                    round_trip_ms: round_trip_ms(self.latency, node, *other),
                    weight: 1.0,
                };
                let neighbours: Vec<Neighbour<N>> = self.probes.of(node).iter().map(neighbour).collect();
                places[node] = refine(model, loss, places[node], step, &neighbours);
            }
        }
        places
    }

    fn springs<const N: usize>(&self, model: Model) -> Vec<Coordinate<N>> {
        let scattered = self.scattered(model, 1.0);
        let mut nodes: Vec<VivaldiNode<N>> =
            scattered.into_iter().map(|at| VivaldiNode { at, error: 1.0 }).collect();
        for _ in 0..SPRING_ROUNDS {
            for node in 0..nodes.len() {
                for other in self.probes.of(node) {
                    let (other_node, rtt) = (nodes[*other], round_trip_ms(self.latency, node, *other));
                    vivaldi(model, &mut nodes[node], &other_node, rtt);
                }
            }
        }
        nodes.into_iter().map(|node| node.at).collect()
    }
}

fn round_trip_ms(latency: &LatencyMatrix, a: NodeIndex, b: NodeIndex) -> f64 {
    latency.one_way(a, b).ms() + latency.one_way(b, a).ms()
}

/// Rounds of refinement; more change little on recorded matrices.
const ROUNDS: usize = 20;
/// Vivaldi moves by samples: as many rounds of all neighbours as it needs to come to rest.
const SPRING_ROUNDS: usize = 100;
/// Where the nodes are before they know anything, and the simplexes' edges while they find out, and later.
const SCATTER_MS: f64 = 100.0;
const STEP_WIDE_MS: f64 = 40.0;
const STEP_NARROW_MS: f64 = 10.0;
const HEIGHT_START_MS: f64 = 10.0;
/// Draws for each pair wanted before a matrix counts as too small.
const TRIES: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::OneWay;

    /// Points in a plane, each behind an access line.
    fn plane(nodes: usize, access_ms: f64) -> LatencyMatrix {
        let mut random = StdRng::seed_from_u64(9);
        let places: Vec<(f64, f64)> =
            (0..nodes).map(|_| (random.random_range(0.0..100.0), random.random_range(0.0..100.0))).collect();
        LatencyMatrix::from_one_way(nodes, |a, b| {
            let apart = (places[a].0 - places[b].0).hypot(places[a].1 - places[b].1);
            OneWay::from_ms(if a == b { 0.0 } else { apart + 2.0 * access_ms }).unwrap()
        })
    }

    fn median_error(method: CoordMethod, dimensions: usize, latency: &LatencyMatrix) -> f64 {
        let probes = Probes::draw(latency.nodes(), 16, 1);
        let embedding = embed(method, dimensions, latency, &probes, 3).unwrap();
        let errors = relative_errors(&embedding, latency, &probes, 1_000, 5);
        errors[errors.len() / 2]
    }

    #[test]
    fn a_plane_is_found_again_and_access_lines_with_heights() {
        let flat = plane(40, 0.0);
        assert!(median_error(CoordMethod::Seed, 2, &flat) < 0.01);
        let behind = plane(40, 15.0);
        assert!(median_error(CoordMethod::Height, 2, &behind) < 0.02);
        assert!(median_error(CoordMethod::Height, 2, &behind) < median_error(CoordMethod::Seed, 2, &behind));
        assert!(median_error(CoordMethod::Vivaldi, 2, &behind) < 0.1);
        assert_eq!(median_error(CoordMethod::Oracle, 2, &behind), 0.0);
    }

    #[test]
    fn the_same_seed_gives_the_same_places() {
        let latency = plane(20, 5.0);
        let probes = Probes::draw(20, 8, 1);
        let run = |seed| embed(CoordMethod::Height, 3, &latency, &probes, seed).unwrap();
        assert_eq!(run(1), run(1));
        assert_ne!(run(1), run(2));
    }

    #[test]
    fn a_small_matrix_leaves_nothing_to_judge_by_and_dimensions_are_bounded() {
        let latency = plane(3, 0.0);
        let probes = Probes::draw(3, 16, 1);
        let embedding = embed(CoordMethod::Seed, 2, &latency, &probes, 1).unwrap();
        assert!(relative_errors(&embedding, &latency, &probes, 100, 1).is_empty());
        assert_eq!(embed(CoordMethod::Seed, 9, &latency, &probes, 1), None);
        assert_eq!(embed(CoordMethod::Seed, 0, &latency, &probes, 1), None);
    }
}
