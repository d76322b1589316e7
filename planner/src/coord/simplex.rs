//! A node's coordinate by downhill simplex (Nelder and Mead, 1965): the one that disagrees least with the round trips to its
//! neighbours, given where these say they are (the patent, [0074]).

use argmin::core::{CostFunction, Error, Executor, State};
use argmin::solver::neldermead::NelderMead;

use super::space::{Coordinate, Model};

/// A neighbour as a node sees it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Neighbour<const N: usize> {
    /// Where it says it is.
    pub at: Coordinate<N>,
    /// The measured round trip to it, milliseconds.
    pub round_trip_ms: f64,
    /// How much it counts; 1 is usual, 0 not at all.
    pub weight: f64,
}

/// What a disagreement of e between prediction and a measured m costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// |e|: the patent's E(x), which long paths dominate.
    Absolute,
    /// |e| / sqrt(m): between absolute and relative error. On recorded matrices it predicts long paths nearly as well as
    /// the absolute and short ones much better.
    RootScaled,
}

/// The best coordinate found for a node that stands at `from`, searched for from a simplex of edge `step` (milliseconds).
/// Neighbours with measurements that are not positive and finite, or coordinates that are not finite, do not count. Cost:
/// O(N) a neighbour and step, a few dozen to a few hundred steps.
#[must_use]
pub fn refine<const N: usize>(
    model: Model,
    loss: Loss,
    from: Coordinate<N>,
    step: f64,
    neighbours: &[Neighbour<N>],
) -> Coordinate<N> {
    refine_within(STEPS_MAX, model, loss, from, step, neighbours)
}

/// As [`refine`], in no more than `steps` steps: for a node that refines again and again, and need not come to the end.
#[must_use]
pub fn refine_within<const N: usize>(
    steps: u64,
    model: Model,
    loss: Loss,
    from: Coordinate<N>,
    step: f64,
    neighbours: &[Neighbour<N>],
) -> Coordinate<N> {
    let trusted: Vec<Neighbour<N>> = neighbours.iter().copied().filter(is_sound).collect();
    if trusted.is_empty() || !is_finite(&from) {
        return from;
    }
    let corner = |i: usize| {
        let mut corner = from;
        corner[i] += step;
        corner
    };
    let simplex = std::iter::once(from).chain((0..N).map(corner)).collect();
    let disagreement = Disagreement { model, loss, neighbours: &trusted };
    let found = NelderMead::new(simplex).with_sd_tolerance(SD_TOLERANCE).and_then(|solver| {
        Executor::new(disagreement, solver).configure(|state| state.max_iters(steps)).timer(false).run()
    });
    // The solver fails on costs that are no number only, and such neighbours were left out.
    let best = found.ok().and_then(|found| found.state().get_best_param().copied());
    best.filter(is_finite).unwrap_or(from)
}

struct Disagreement<'a, const N: usize> {
    model: Model,
    loss: Loss,
    neighbours: &'a [Neighbour<N>],
}

impl<const N: usize> CostFunction for Disagreement<'_, N> {
    type Param = Coordinate<N>;
    type Output = f64;

    fn cost(&self, at: &Coordinate<N>) -> Result<f64, Error> {
        let cost = |neighbour: &Neighbour<N>| {
            let off = (self.model.round_trip_ms(at, &neighbour.at) - neighbour.round_trip_ms).abs();
            let scale = match self.loss {
                Loss::Absolute => 1.0,
                Loss::RootScaled => neighbour.round_trip_ms.max(ROUND_TRIP_MS_MIN).sqrt(),
            };
            neighbour.weight * off / scale
        };
        Ok(self.neighbours.iter().map(cost).sum())
    }
}

fn is_sound<const N: usize>(neighbour: &Neighbour<N>) -> bool {
    let positive = |value: f64| value.is_finite() && value > 0.0;
    positive(neighbour.round_trip_ms) && positive(neighbour.weight) && is_finite(&neighbour.at)
}

fn is_finite<const N: usize>(at: &Coordinate<N>) -> bool {
    at.iter().all(|number| number.is_finite())
}

/// The search ends when the corners' costs differ by less: well below what a microsecond of disagreement costs.
const SD_TOLERANCE: f64 = 1e-4;
/// Steps of one search; a warm start needs a tenth of them.
const STEPS_MAX: u64 = 200;
/// Below a millisecond, clocks and queues are measured rather than paths.
const ROUND_TRIP_MS_MIN: f64 = 1.0;

#[cfg(test)]
mod tests {
    use super::*;

    fn beside(x: f64, y: f64, round_trip_ms: f64) -> Neighbour<2> {
        Neighbour { at: Coordinate::<2>::new(x, y), round_trip_ms, weight: 1.0 }
    }

    #[test]
    fn a_node_finds_its_place_between_its_neighbours() {
        let neighbours = [beside(0.0, 0.0, 50.0), beside(60.0, 0.0, 50.0), beside(30.0, 80.0, 40.0)];
        for loss in [Loss::Absolute, Loss::RootScaled] {
            let found = refine(Model::Euclidean, loss, Coordinate::<2>::new(5.0, 5.0), 30.0, &neighbours);
            assert!((found - Coordinate::<2>::new(30.0, 40.0)).norm() < 0.1, "{found}");
        }
    }

    #[test]
    fn what_is_no_measurement_does_not_count() {
        let from = Coordinate::<2>::new(1.0, 2.0);
        let unsound = [
            beside(0.0, 0.0, f64::NAN),
            beside(0.0, 0.0, -1.0),
            beside(f64::INFINITY, 0.0, 5.0),
            Neighbour { weight: 0.0, ..beside(9.0, 9.0, 50.0) },
        ];
        assert_eq!(refine(Model::Euclidean, Loss::Absolute, from, 10.0, &unsound), from);
        assert_eq!(refine(Model::Euclidean, Loss::Absolute, from, 10.0, &[]), from);
    }

    #[test]
    fn one_that_lies_is_outvoted() {
        let honest = [
            beside(0.0, 0.0, 50.0),
            beside(60.0, 0.0, 50.0),
            beside(30.0, 80.0, 40.0),
            beside(30.0, 0.0, 40.0),
        ];
        let liar = beside(900.0, 900.0, 10.0);
        let neighbours: Vec<Neighbour<2>> = honest.into_iter().chain([liar]).collect();
        let found =
            refine(Model::Euclidean, Loss::Absolute, Coordinate::<2>::new(5.0, 5.0), 30.0, &neighbours);
        assert!(
            (found - Coordinate::<2>::new(30.0, 40.0)).norm() < 1.0,
            "the sum of absolute errors is robust: {found}"
        );
    }
}
