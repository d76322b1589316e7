//! Who says what about a line, and what follows from it.
//!
//! Upwards others measure, and one of them may lie; each can only have seen too little, for its own line may be the narrower
//! one. The patent takes the maximum ([0075]), which one liar sets. Here the largest few are passed over, and what is left
//! near the next one is averaged by its median. Downwards the node measures for itself, nobody can make its line look
//! wider, and the maximum stays.

use crate::identity::Position;
use crate::pool::position::Mark;

/// What one other node has measured, or was heard at.
#[derive(Clone, Copy, Debug)]
struct Voucher {
    /// Half of its position: a node keeps two lists of some ninety of these.
    of: Mark,
    kbit_s: u32,
}

/// Measurements by many.
#[derive(Debug, Default)]
pub(super) struct Vouchers(Vec<Voucher>);

/// Nodes whose measurements are kept: those that a node knows.
const VOUCHERS_MAX: usize = 96;
/// The lists grow by so many at once: doubling would waste as much again.
const GROWTH: usize = 8;
/// No fewer say anything about a line.
const VOUCHERS_MIN: usize = 3;
/// One in so many is passed over at the top, and one at least.
const PASSED_OVER: usize = 8;
/// Values so near to each other are of the same line.
pub(super) const NEAR: f64 = 0.75;

impl Vouchers {
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn knows(&self, of: Position) -> bool {
        self.0.iter().any(|voucher| voucher.of == of.mark())
    }

    /// The latest measurement moves what the same node said before half of the way.
    pub(super) fn on_measured(&mut self, of: Position, kbit_s: u32) {
        let before = self.0.iter().position(|voucher| voucher.of == of.mark()).map(|at| self.0.remove(at));
        if self.0.len() == VOUCHERS_MAX {
            self.0.remove(0);
        }
        let kbit_s = before.map_or(kbit_s, |before| before.kbit_s / 2 + kbit_s / 2);
        if self.0.len() == self.0.capacity() {
            self.0.reserve_exact(GROWTH);
        }
        self.0.push(Voucher { of: of.mark(), kbit_s });
    }

    /// What one of them said last.
    pub(super) fn of(&self, position: Position) -> Option<u32> {
        self.0.iter().find(|voucher| voucher.of == position.mark()).map(|voucher| voucher.kbit_s)
    }

    /// The smaller, the longer ago it measured.
    pub(super) fn age_rank(&self, of: Position) -> Option<usize> {
        self.0.iter().position(|voucher| voucher.of == of.mark())
    }

    /// What others measured of this node's line.
    pub(super) fn upwards(&self) -> Option<u32> {
        upwards(self.0.iter().map(|voucher| voucher.kbit_s).collect())
    }

    /// What this node measured of its own line.
    pub(super) fn downwards(&self) -> Option<u32> {
        let values: Vec<u32> = self.0.iter().map(|voucher| voucher.kbit_s).collect();
        (values.len() >= VOUCHERS_MIN).then(|| agreed(values, 0))
    }
}

/// Of what several say about a line upwards, one of whom may lie; nothing if they are too few.
pub(in crate::pool) fn upwards(values: Vec<u32>) -> Option<u32> {
    let passed_over = (values.len() / PASSED_OVER).max(1);
    (values.len() >= VOUCHERS_MIN).then(|| agreed(values, passed_over))
}

/// The median of what lies near the largest value after so many.
fn agreed(mut values: Vec<u32>, passed_over: usize) -> u32 {
    values.sort_unstable_by(|one, other| other.cmp(one));
    let pivot = f64::from(values[passed_over]);
    values.retain(|value| f64::from(*value) >= pivot * NEAR && f64::from(*value) * NEAR <= pivot);
    values[values.len() / 2]
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    use super::*;

    /// Lines in the proportions of a recorded panel (quantiles of 2,425 households), by rank.
    fn line(rank: f64) -> (f64, f64) {
        const LINES: [(f64, f64, f64); 7] = [
            (0.0, 0.4, 2.8),
            (0.25, 9.2, 37.0),
            (0.5, 18.5, 69.0),
            (0.75, 26.0, 149.0),
            (0.9, 49.0, 381.0),
            (0.95, 97.0, 523.0),
            (1.0, 900.0, 915.0),
        ];
        let above = LINES.iter().position(|(share, ..)| *share >= rank).unwrap_or(6).max(1);
        let (low, high) = (LINES[above - 1], LINES[above]);
        let way = (rank - low.0) / (high.0 - low.0);
        let between = |low: f64, high: f64| low * (high / low).powf(way);
        (between(low.1, high.1), between(low.2, high.2))
    }

    #[test]
    fn one_liar_moves_an_estimate_by_less_than_a_tenth() {
        let random = &mut StdRng::seed_from_u64(2);
        let (mut errors, mut moves) = (Vec::new(), Vec::new());
        for _ in 0..2_000 {
            let (up, _) = line(random.random());
            let mut said: Vec<u32> = (0..16)
                .map(|_| {
                    let (_, down) = line(random.random());
                    (up.min(down) * 1_000.0 * random.random_range(0.96..1.04)) as u32
                })
                .collect();
            let honest = f64::from(upwards(said.clone()).unwrap());
            errors.push((honest / (up * 1_000.0) - 1.0).abs());
            for lie in [1, u32::MAX] {
                said[0] = lie;
                moves.push((f64::from(upwards(said.clone()).unwrap()) / honest - 1.0).abs());
            }
        }
        let quantile = |values: &mut Vec<f64>, share: f64| {
            values.sort_by(f64::total_cmp);
            values[(values.len() as f64 * share) as usize]
        };
        let (p50, p90) = (quantile(&mut errors, 0.5), quantile(&mut errors, 0.9));
        assert!(p50 < 0.05 && p90 < 0.15, "{p50} {p90}");
        let p99 = quantile(&mut moves, 0.99);
        assert!(p99 < 0.10, "{p99}");
    }

    #[test]
    fn too_few_say_nothing_and_no_liar_is_alone_at_the_top() {
        assert_eq!(upwards(vec![5, 5]), None);
        assert_eq!(upwards(vec![5, 5, u32::MAX]), Some(5));
        let mut vouchers = Vouchers::default();
        let at = |of: u128| Position(of << 64);
        for (of, kbit_s) in [(1, 10), (2, 80), (3, 100), (4, 99)] {
            vouchers.on_measured(at(of), kbit_s);
        }
        assert_eq!(vouchers.downwards(), Some(99), "the widest way in is its own line");
        vouchers.on_measured(at(1), 30);
        assert_eq!(
            (vouchers.age_rank(at(1)), vouchers.len()),
            (Some(3), 4),
            "one that speaks again counts once"
        );
    }
}
