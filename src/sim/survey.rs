//! Vivaldi beside the nodes' own coordinates, on the same measurements, and the errors of both.

use alm_planner::coord::{Coordinate, Model, VivaldiNode, vivaldi};
use rand::RngExt;
use rand::rngs::StdRng;

/// A Vivaldi node for every slot.
pub(super) struct Springs(Vec<VivaldiNode<4>>);

/// Where a Vivaldi node begins: near the others, on a short access line.
const HEIGHT_START_MS: f64 = 10.0;

impl Springs {
    pub(super) fn new(slots: usize, random: &mut StdRng) -> Self {
        let start = |_| Self::start(random);
        Self((0..slots).map(start).collect())
    }

    fn start(random: &mut StdRng) -> VivaldiNode<4> {
        let mut at = Coordinate::<4>::from_fn(|_, _| random.random_range(-1.0..1.0));
        at[3] = HEIGHT_START_MS;
        VivaldiNode { at, error: 1.0 }
    }

    /// Another node has taken the slot.
    pub(super) fn restart(&mut self, slot: usize, random: &mut StdRng) {
        self.0[slot] = Self::start(random);
    }

    pub(super) fn on_measured(&mut self, slot: usize, other: usize, round_trip_ms: f64) {
        let there = self.0[other];
        vivaldi(Model::Height, &mut self.0[slot], &there, round_trip_ms);
    }

    pub(super) fn round_trip_ms(&self, a: usize, b: usize) -> f64 {
        Model::Height.round_trip_ms(&self.0[a].at, &self.0[b].at)
    }
}

/// Relative errors, sorted when they are asked for.
#[derive(Default)]
pub(super) struct Errors(Vec<f64>);

impl Errors {
    pub(super) fn add(&mut self, foretold: f64, truth: f64) {
        if truth > 0.0 {
            self.0.push((foretold - truth).abs() / truth);
        }
    }

    pub(super) fn quantile(&mut self, share: f64) -> Option<f64> {
        self.0.sort_by(f64::total_cmp);
        self.0.get((self.0.len() as f64 * share) as usize).copied()
    }
}
