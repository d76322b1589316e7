//! How far apart packets of a peer arrive, and how much that varies: learnt as TCP learns its timeout (RFC 6298, section 2).

use std::time::Duration;

/// See the [module](self).
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Rhythm {
    /// The mean gap between two arrivals, milliseconds.
    pub mean_ms: f64,
    /// The mean deviation from it, milliseconds.
    pub deviation_ms: f64,
}

/// Weights of the newest gap in the mean and in its deviation (RFC 6298: 1/8 and 1/4 for samples a round trip apart;
/// gaps are many times as frequent).
const MEAN_WEIGHT: f64 = 1.0 / 16.0;
const DEVIATION_WEIGHT: f64 = 1.0 / 32.0;

impl Rhythm {
    /// A rhythm without a deviation.
    #[must_use]
    pub fn of(gap: Duration) -> Self {
        Self { mean_ms: gap.as_secs_f64() * 1_000.0, deviation_ms: 0.0 }
    }

    /// Another gap.
    pub fn learn(&mut self, gap: Duration) {
        let gap_ms = gap.as_secs_f64() * 1_000.0;
        self.deviation_ms += ((gap_ms - self.mean_ms).abs() - self.deviation_ms) * DEVIATION_WEIGHT;
        self.mean_ms += (gap_ms - self.mean_ms) * MEAN_WEIGHT;
    }
}
