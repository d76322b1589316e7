//! Times and degrees as types, because the costliest confusion here is a factor of two.
//!
//! Recorded matrices hold round trips; trees are judged by what a frame spends one way. `RoundTrip::one_way` is the
//! only bridge between them.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A node's number: its row and column in the latency matrix, counted from zero.
pub type NodeIndex = usize;

/// A measured there-and-back time in milliseconds. Matrices hold these. Finite and not negative by construction.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct RoundTrip(f64);

impl RoundTrip {
    /// A round trip of `ms` milliseconds; `None` if it is negative, infinite or not a number.
    pub fn from_ms(ms: f64) -> Option<Self> {
        (ms.is_finite() && ms >= 0.0).then_some(Self(ms))
    }

    /// Milliseconds there and back.
    pub fn ms(self) -> f64 {
        self.0
    }

    /// Half of it: what one direction is taken to cost.
    pub fn one_way(self) -> OneWay {
        OneWay(self.0 / 2.0)
    }
}

/// What a frame spends on one tree edge, in milliseconds. Heights and diameters are sums of these. Finite and not
/// negative by construction.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
pub struct OneWay(f64);

impl OneWay {
    /// No time at all.
    pub const ZERO: Self = Self(0.0);

    /// A one-way time of `ms` milliseconds; `None` if it is negative, infinite or not a number.
    pub fn from_ms(ms: f64) -> Option<Self> {
        (ms.is_finite() && ms >= 0.0).then_some(Self(ms))
    }

    /// Milliseconds in one direction.
    pub fn ms(self) -> f64 {
        self.0
    }

    /// For sums of times that are already finite and not negative.
    pub(crate) fn from_sum(ms: f64) -> Self {
        debug_assert!(ms.is_finite() && ms >= 0.0, "{ms} is not a time");
        Self(ms)
    }
}

impl fmt::Display for OneWay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1} ms", self.0)
    }
}

/// Tree links that a node can carry, the link to its parent included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Degree(pub u32);

impl Degree {
    /// How many children that leaves: all of them at the root, one less elsewhere.
    pub fn children_max(self, is_root: bool) -> u32 {
        if is_root { self.0 } else { self.0.saturating_sub(1) }
    }
}

impl fmt::Display for Degree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_way_is_half_of_the_round_trip() {
        assert_eq!(RoundTrip::from_ms(81.0).unwrap().one_way(), OneWay::from_ms(40.5).unwrap());
    }

    #[test]
    fn times_are_finite_and_not_negative() {
        for bad in [-1.0, f64::NAN, f64::INFINITY] {
            assert_eq!(RoundTrip::from_ms(bad), None);
            assert_eq!(OneWay::from_ms(bad), None);
        }
    }

    #[test]
    fn the_parent_link_counts_except_at_the_root() {
        assert_eq!(Degree(4).children_max(true), 4);
        assert_eq!(Degree(4).children_max(false), 3);
        assert_eq!(Degree(0).children_max(false), 0);
    }
}
