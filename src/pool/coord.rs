//! A node's own place in the space of latencies, from what its pings measure (the patent, [0074]): downhill simplex on the
//! disagreement between measured round trips and those that its own and its neighbours' places foretell.
//!
//! Three dimensions and a height, on disagreements scaled by the root of the measurement: the best of what the planner's
//! bench compares on recorded matrices. Each link has a filter against queues, each neighbour a weight: one whose place
//! keeps disagreeing with what is measured to it counts for less, so that a liar moves nobody far. A place is for choosing
//! what to measure; no tree rests on it.

use std::time::Duration;

use alm_planner::coord::{Coordinate, Loss, Model, Neighbour, refine_within};
use rand::RngExt;
use rand::rngs::StdRng;

use super::peer::Place;
use super::position::Mark;

/// What is known of the node's place.
#[derive(Debug, Default)]
pub(super) struct Surveyor {
    samples: Vec<Sample>,
    place: Place,
    fresh: u8,
}

#[derive(Clone, Copy, Debug)]
struct Sample {
    of: Mark,
    place: Place,
    /// Filtered.
    round_trip_us: u32,
}

/// Neighbours that a place is fitted to; the longest unmeasured one makes room.
const SAMPLES_MAX: usize = 32;
/// A place is fitted to no fewer.
const SAMPLES_MIN: usize = 4;
/// A fit is due after so many measurements, and after half of them while there are few.
const FIT_EVERY: u8 = 8;
/// A shorter round trip is believed soon, a longer one slowly: queues only ever add.
const BELIEF_SHORTER: f32 = 0.5;
const BELIEF_LONGER: f32 = 0.1;
/// Where the first nodes of a pool place themselves, and how wide each looks for a better place, milliseconds.
const SCATTER_MS: f64 = 100.0;
/// Steps of one search: it goes on with the next measurements.
const STEPS: u64 = 40;
const STEP_MS: f64 = 20.0;
const HEIGHT_START_MS: f64 = 10.0;
/// The least height: a place that is all zeroes says nothing.
const HEIGHT_MIN_MS: f64 = 0.1;
const TENTHS: f64 = 10.0;

impl Surveyor {
    /// Where the node is, as far as it knows.
    pub(super) fn place(&self) -> Place {
        self.place
    }

    /// True when the place rests on a measurement of that node.
    pub(super) fn has_measured(&self, of: Mark) -> bool {
        self.samples.iter().any(|sample| sample.of == of)
    }

    /// The median relative error of what the place foretells, over the round trips that it was fitted to.
    pub(super) fn error(&self) -> f64 {
        let off = |sample: &Sample| {
            let foretold = self.place.round_trip(sample.place)?.as_secs_f64() * 1e6;
            let measured = f64::from(sample.round_trip_us.max(1));
            Some((foretold - measured).abs() / measured)
        };
        let mut offs: Vec<f64> = self.samples.iter().filter_map(off).collect();
        offs.sort_by(f64::total_cmp);
        offs.get(offs.len() / 2).copied().unwrap_or(1.0)
    }

    /// A round trip has been measured to a node that says where it is. True when the own place is another one since.
    pub(super) fn on_measured(
        &mut self,
        of: Mark,
        place: Place,
        round_trip: Duration,
        random: &mut StdRng,
    ) -> bool {
        let us = u32::try_from(round_trip.as_micros()).unwrap_or(u32::MAX);
        let known = self.samples.iter().position(|sample| sample.of == of);
        let filtered = match known.map(|at| self.samples.remove(at).round_trip_us as f32) {
            Some(before) => {
                let belief = if (us as f32) < before { BELIEF_SHORTER } else { BELIEF_LONGER };
                (before + (us as f32 - before) * belief) as u32
            }
            None => us,
        };
        if self.samples.len() == SAMPLES_MAX {
            self.samples.remove(0);
        }
        self.samples.push(Sample { of, place, round_trip_us: filtered });
        self.fresh = self.fresh.saturating_add(1);
        let few = self.samples.len() < SAMPLES_MAX / 4;
        if self.samples.len() < SAMPLES_MIN || self.fresh < FIT_EVERY / (1 + u8::from(few)) {
            return false;
        }
        self.fresh = 0;
        self.fit(random);
        true
    }

    fn fit(&mut self, random: &mut StdRng) {
        let known = self.samples.iter().filter(|sample| sample.place != Place::UNKNOWN);
        let mut neighbours: Vec<Neighbour<4>> = known
            .map(|sample| Neighbour {
                at: coordinate(sample.place),
                round_trip_ms: f64::from(sample.round_trip_us) / 1e3,
                weight: 1.0,
            })
            .collect();
        let from = if self.place == Place::UNKNOWN {
            Coordinate::<4>::from_fn(|i, _| {
                if i < 3 { random.random_range(-SCATTER_MS..SCATTER_MS) } else { HEIGHT_START_MS }
            })
        } else {
            weigh(&mut neighbours, &coordinate(self.place));
            coordinate(self.place)
        };
        let found = refine_within(STEPS, Model::Height, Loss::RootScaled, from, STEP_MS, &neighbours);
        self.place = place(&found);
    }
}

/// Gives each neighbour the weight that its agreement deserves: the whole up to twice the median disagreement, and less
/// by the square beyond.
fn weigh(neighbours: &mut [Neighbour<4>], here: &Coordinate<4>) {
    let off = |neighbour: &Neighbour<4>| {
        let foretold = Model::Height.round_trip_ms(here, &neighbour.at);
        (foretold - neighbour.round_trip_ms).abs() / neighbour.round_trip_ms.max(1.0)
    };
    let mut offs: Vec<f64> = neighbours.iter().map(off).collect();
    offs.sort_by(f64::total_cmp);
    let Some(median) = offs.get(offs.len() / 2) else { return };
    let usual = 2.0 * median.max(0.05);
    for neighbour in neighbours {
        neighbour.weight = (usual / off(neighbour).max(usual)).powi(2);
    }
}

fn coordinate(place: Place) -> Coordinate<4> {
    Coordinate::<4>::from_fn(|i, _| f64::from(place.0[i]) / TENTHS)
}

fn place(at: &Coordinate<4>) -> Place {
    let tenths = |ms: f64| (ms * TENTHS).round().clamp(f64::from(i16::MIN), f64::from(i16::MAX)) as i16;
    Place([tenths(at[0]), tenths(at[1]), tenths(at[2]), tenths(at[3].abs().max(HEIGHT_MIN_MS))])
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    /// Nodes in a cube, each behind an access line, that measure each other at random.
    fn world(nodes: usize, liars: usize, rounds: usize) -> f64 {
        let random = &mut StdRng::seed_from_u64(3);
        let mut at = |ms: f64| random.random_range(-ms..ms);
        let truth: Vec<[f64; 4]> =
            (0..nodes).map(|_| [at(60.0), at(60.0), at(60.0), 8.0 + at(5.0)]).collect();
        let truth: Vec<Coordinate<4>> = truth.into_iter().map(Coordinate::<4>::from).collect();
        let mut pool: Vec<Surveyor> = (0..nodes).map(|_| Surveyor::default()).collect();
        for _ in 0..rounds {
            for node in 0..nodes {
                let other = random.random_range(0..nodes);
                if other != node {
                    let ms = Model::Height.round_trip_ms(&truth[node], &truth[other]);
                    let queue = if random.random_ratio(1, 10) { 80.0 } else { 0.0 };
                    let lie = Place([random.random(), random.random(), 0, 1]);
                    let says = if other < liars { lie } else { pool[other].place() };
                    let round_trip = Duration::from_micros(((ms + queue) * 1e3) as u64);
                    pool[node].on_measured(Mark(other as u64), says, round_trip, random);
                }
            }
        }
        let mut errors = Vec::new();
        for a in liars..nodes {
            for b in liars..a {
                let foretold = pool[a].place().round_trip(pool[b].place()).unwrap().as_secs_f64() * 1e3;
                let ms = Model::Height.round_trip_ms(&truth[a], &truth[b]);
                errors.push((foretold - ms).abs() / ms);
            }
        }
        errors.sort_by(f64::total_cmp);
        errors[errors.len() / 2]
    }

    #[test]
    fn places_are_found_despite_queues_and_liars() {
        let honest = world(40, 0, 150);
        assert!(honest < 0.06, "median relative error {honest}");
        let lied_to = world(40, 4, 150);
        assert!(lied_to < 0.10, "with one liar in ten {lied_to}");
    }
}
