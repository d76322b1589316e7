//! Where a node is in the imagined space, and how far that says two nodes are apart.

use nalgebra::SVector;

/// A node's coordinate, `N` numbers of milliseconds of round trip: a place in Euclidean space and, in the model with
/// heights, in its last number the height of its access line above that space.
pub type Coordinate<const N: usize> = SVector<f64, N>;

/// How a round trip is read off two coordinates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Model {
    /// The Euclidean distance in all `N` dimensions (the patent, [0074]).
    Euclidean,
    /// The Euclidean distance in the first `N - 1` dimensions, and both heights on top: every path begins and ends with an
    /// access line (Dabek, Cox, Kaashoek, Morris, "Vivaldi", SIGCOMM 2004, section 5.4).
    Height,
}

impl Model {
    /// The predicted round trip between two coordinates, milliseconds.
    #[must_use]
    pub fn round_trip_ms<const N: usize>(self, a: &Coordinate<N>, b: &Coordinate<N>) -> f64 {
        match self {
            Self::Euclidean => (a - b).norm(),
            Self::Height => {
                let square = |i: usize| (a[i] - b[i]) * (a[i] - b[i]);
                let above = a[N - 1].abs() + b[N - 1].abs();
                (0..N - 1).map(square).sum::<f64>().sqrt() + above
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heights_come_on_top_of_the_plane() {
        let (a, b) = (Coordinate::<3>::new(0.0, 0.0, 5.0), Coordinate::<3>::new(3.0, 4.0, 7.0));
        assert_eq!(Model::Height.round_trip_ms(&a, &b), 17.0);
        assert_eq!(Model::Euclidean.round_trip_ms(&a, &b), (9.0_f64 + 16.0 + 4.0).sqrt());
    }
}
