//! Made-up latency matrices, for experiments that want more nodes than anybody has measured.

mod plane;
mod transit_stub;

pub use plane::Plane;
pub use transit_stub::TransitStub;

use crate::latency::RoundTrips;
use crate::units::RoundTrip;

/// A matrix from one-way latencies, the same both ways; `None` for more nodes than a matrix may have.
fn symmetric(nodes: usize, one_way_ms: impl Fn(usize, usize) -> f64) -> Option<RoundTrips> {
    let mut trips = RoundTrips::new(nodes)?;
    for i in 0..nodes {
        for j in i..nodes {
            let ms = if i == j { 0.0 } else { 2.0 * one_way_ms(i, j) };
            let trip = RoundTrip::from_ms(ms)?;
            trips.set(i, j, trip);
            trips.set(j, i, trip);
        }
    }
    Some(trips)
}
