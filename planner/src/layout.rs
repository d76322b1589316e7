//! Nodes on paper: places in a plane whose distances are as near to latencies as two dimensions allow.
//!
//! Classical multidimensional scaling (Torgerson 1952): the squared distances, centred twice, are inner products, and
//! their two leading eigenvectors are the axes of the best fit. Found by power iteration.

use crate::latency::LatencyMatrix;
use crate::units::NodeIndex;

/// A place for each of `nodes`, in milliseconds one way, around the origin. Directions are averaged.
pub fn plane_layout(latency: &LatencyMatrix, nodes: &[NodeIndex]) -> Vec<[f64; 2]> {
    let count = nodes.len();
    let mut inner: Vec<Vec<f64>> = nodes
        .iter()
        .map(|&a| {
            nodes.iter().map(|&b| -0.5 * f64::midpoint(latency.ms(a, b), latency.ms(b, a)).powi(2)).collect()
        })
        .collect();
    let mean = |row: &[f64]| row.iter().sum::<f64>() / count.max(1) as f64;
    let rows: Vec<f64> = inner.iter().map(|row| mean(row)).collect();
    let all = mean(&rows);
    for (i, row) in inner.iter_mut().enumerate() {
        for (j, value) in row.iter_mut().enumerate() {
            *value += all - rows[i] - rows[j];
        }
    }
    let mut places = vec![[0.0; 2]; count];
    for axis in 0..2 {
        let (value, vector) = leading(&inner, axis);
        for (place, part) in places.iter_mut().zip(&vector) {
            place[axis] = part * value.max(0.0).sqrt();
        }
        for (row, a) in inner.iter_mut().zip(&vector) {
            for (entry, b) in row.iter_mut().zip(&vector) {
                *entry -= value * a * b;
            }
        }
    }
    places
}

/// The largest eigenvalue of a symmetric matrix and its unit vector. The matrix is shifted so that no eigenvalue is
/// negative: latencies are no Euclidean distances, and the most negative one may be the largest in size.
fn leading(matrix: &[Vec<f64>], axis: usize) -> (f64, Vec<f64>) {
    let shift = matrix.iter().map(|row| row.iter().map(|value| value.abs()).sum::<f64>()).fold(0.0, f64::max);
    // Any start that is not at right angles to the answer will do.
    let mut vector: Vec<f64> = (0..matrix.len()).map(|i| 1.0 + ((i * (7 + axis)) % 11) as f64).collect();
    for _ in 0..STEPS {
        let mut next: Vec<f64> = matrix
            .iter()
            .zip(&vector)
            .map(|(row, own)| row.iter().zip(&vector).map(|(a, b)| a * b).sum::<f64>() + shift * own)
            .collect();
        let length = next.iter().map(|part| part * part).sum::<f64>().sqrt();
        if length <= 0.0 {
            return (0.0, vec![0.0; matrix.len()]);
        }
        next.iter_mut().for_each(|part| *part /= length);
        vector = next;
    }
    let product =
        |(row, own): (&Vec<f64>, &f64)| own * row.iter().zip(&vector).map(|(a, b)| a * b).sum::<f64>();
    (matrix.iter().zip(&vector).map(product).sum(), vector)
}

/// Steps of the power iteration: a picture needs no more than a few digits.
const STEPS: usize = 300;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::OneWay;

    #[test]
    fn places_in_a_plane_are_found_again() {
        let places = [[0.0, 0.0], [30.0, 0.0], [0.0, 40.0], [30.0, 40.0], [10.0, 90.0]];
        let far = |i: usize, j: usize, of: &[[f64; 2]]| (of[i][0] - of[j][0]).hypot(of[i][1] - of[j][1]);
        let latency = LatencyMatrix::from_one_way(5, |i, j| OneWay::from_ms(far(i, j, &places)).unwrap());
        let found = plane_layout(&latency, &[0, 1, 2, 3, 4]);
        for i in 0..5 {
            for j in 0..5 {
                assert!((far(i, j, &found) - far(i, j, &places)).abs() < 0.5, "{i} {j}: {found:?}");
            }
        }
        assert_eq!(plane_layout(&latency, &[3]), [[0.0, 0.0]]);
        assert!(plane_layout(&latency, &[]).is_empty());
    }
}
