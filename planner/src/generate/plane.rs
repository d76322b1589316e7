//! Hosts in a plane: latency is distance. The kindest world for a planner: no relay is ever shorter than the direct way.

use rand::{Rng, RngExt};

use super::symmetric;
use crate::latency::RoundTrips;

/// Hosts spread uniformly over a square.
#[derive(Clone, Debug, PartialEq)]
pub struct Plane {
    /// How many.
    pub hosts: usize,
    /// One way along a side of the square, in milliseconds.
    pub side_ms: f64,
}

impl Plane {
    /// `hosts` in a square of 100 ms.
    pub fn new(hosts: usize) -> Self {
        Self { hosts, side_ms: 100.0 }
    }

    /// Draws the hosts' places. `None` for more hosts than a matrix may have.
    pub fn draw(&self, rng: &mut impl Rng) -> Option<RoundTrips> {
        let place = |_| [rng.random::<f64>() * self.side_ms, rng.random::<f64>() * self.side_ms];
        let places: Vec<[f64; 2]> = (0..self.hosts).map(place).collect();
        symmetric(self.hosts, |i, j| (places[i][0] - places[j][0]).hypot(places[i][1] - places[j][1]))
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    #[test]
    fn distances_are_those_of_a_plane() {
        let draw = |seed| Plane::new(40).draw(&mut StdRng::seed_from_u64(seed)).unwrap();
        let trips = draw(1);
        let ms = |i, j| trips.get(i, j).unwrap().ms();
        let again = draw(1);
        for i in 0..40 {
            for j in 0..40 {
                assert_eq!(again.get(i, j), trips.get(i, j));
                assert!(ms(i, j) <= 200.0 * 2.0_f64.sqrt());
                for k in 0..40 {
                    assert!(ms(i, j) <= ms(i, k) + ms(k, j) + 1e-3);
                }
            }
        }
        assert_ne!(draw(2).get(0, 1), trips.get(0, 1));
    }
}
