//! Several recordings of the same nodes as one: a plan made on one snapshot is tuned to its noise.

use crate::latency::RoundTrips;
use crate::units::RoundTrip;

/// Per ordered pair the `share`-quantile, 0 to 1, of what the samples recorded: the least sample that at least that
/// share of them does not exceed. A pair is a hole only where all samples have one. `None` if there are no samples, or
/// they differ in their number of nodes.
pub fn quantile_of(samples: &[RoundTrips], share: f64) -> Option<RoundTrips> {
    let nodes = samples.first()?.nodes();
    if samples.iter().any(|sample| sample.nodes() != nodes) {
        return None;
    }
    let mut merged = RoundTrips::new(nodes)?;
    let mut recorded: Vec<f64> = Vec::with_capacity(samples.len());
    for i in 0..nodes {
        for j in 0..nodes {
            recorded.clear();
            recorded.extend(samples.iter().filter_map(|sample| sample.get(i, j)).map(RoundTrip::ms));
            recorded.sort_by(f64::total_cmp);
            let rank = (share.clamp(0.0, 1.0) * recorded.len() as f64).ceil() as usize;
            if let Some(trip) = recorded.get(rank.saturating_sub(1)).and_then(|&ms| RoundTrip::from_ms(ms)) {
                merged.set(i, j, trip);
            }
        }
    }
    Some(merged)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_has_the_quantile_of_its_samples() {
        let sample = |ms: Option<f64>| {
            let mut trips = RoundTrips::new(2).unwrap();
            if let Some(trip) = ms.and_then(RoundTrip::from_ms) {
                trips.set(0, 1, trip);
            }
            trips
        };
        let samples: Vec<_> = [Some(4.0), None, Some(1.0), Some(3.0), Some(2.0)].map(sample).into();
        let at = |share| quantile_of(&samples, share).unwrap().get(0, 1).unwrap().ms();
        assert_eq!([at(0.0), at(0.25), at(0.5), at(0.9), at(1.0)], [1.0, 1.0, 2.0, 4.0, 4.0]);
        assert!(quantile_of(&samples, 0.9).unwrap().get(1, 0).is_none());
        assert!(quantile_of(&[], 0.5).is_none());
        assert!(quantile_of(&[RoundTrips::new(2).unwrap(), RoundTrips::new(3).unwrap()], 0.5).is_none());
    }
}
