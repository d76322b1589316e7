//! The degree law of the seed's experiments: half of the nodes can carry 2 links, a quarter 3, and so on; 8 and 9
//! share what is left. P(k) = 2^-(k-1) for k = 2..8, P(9) = P(8) = 1/128.

use rand::{Rng, RngExt};

use crate::units::Degree;

/// Draws one degree a node.
pub fn paper_degrees(nodes: usize, rng: &mut impl Rng) -> Vec<Degree> {
    // Seven fair coins, counted up to the first miss: 0 with 1/2, ..., 6 and 7 with 1/128 each.
    (0..nodes).map(|_| Degree(2 + (rng.random_range(0..128_u32) << 25).leading_ones())).collect()
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    #[test]
    fn shares_follow_the_law() {
        let degrees = paper_degrees(128_000, &mut StdRng::seed_from_u64(1));
        for degree in 2..=9 {
            let share = degrees.iter().filter(|d| d.0 == degree).count() as f64 / 128_000.0;
            let expected = 0.5_f64.powi(degree.min(8) as i32 - 1);
            assert!((share - expected).abs() < 0.05 * expected + 0.001, "{degree}: {share} for {expected}");
        }
        assert!(degrees.iter().all(|d| (2..=9).contains(&d.0)));
    }
}
