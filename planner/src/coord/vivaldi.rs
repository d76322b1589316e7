//! Vivaldi (Dabek, Cox, Kaashoek, Morris, SIGCOMM 2004), the reference: springs between a node and one neighbour at a time.
//!
//! The adaptive time step of section 3.4 with c_c = c_e = 0.25, and the height vectors of section 5.4. Simplified: nodes are
//! visited in turn instead of by packets.

use super::space::{Coordinate, Model};

/// A node's place and how sure it is of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct VivaldiNode<const N: usize> {
    /// Where it is.
    pub at: Coordinate<N>,
    /// Its relative error, as it estimates it; 1 knows nothing.
    pub error: f64,
}

/// One sample moves a node: a round trip of `round_trip_ms` to a neighbour that stands at `other`. A sample that is not
/// positive and finite moves nothing.
pub fn vivaldi<const N: usize>(
    model: Model,
    node: &mut VivaldiNode<N>,
    other: &VivaldiNode<N>,
    round_trip_ms: f64,
) {
    if !(round_trip_ms.is_finite() && round_trip_ms > 0.0) {
        return;
    }
    let predicted = model.round_trip_ms(&node.at, &other.at);
    let balance = node.error / (node.error + other.error).max(f64::MIN_POSITIVE);
    let off = (predicted - round_trip_ms).abs() / round_trip_ms;
    node.error = (off * TUNING * balance + node.error * (1.0 - TUNING * balance)).clamp(ERROR_MIN, ERROR_MAX);
    let force = TUNING * balance * (round_trip_ms - predicted);
    let mut along = node.at - other.at;
    if model == Model::Height {
        along[N - 1] = 0.0;
    }
    let length = along.norm().max(LENGTH_MIN);
    let height = node.at[N - 1] + other.at[N - 1];
    node.at += along * (force / length);
    if model == Model::Height {
        let lifted = node.at[N - 1] + force * height / length;
        node.at[N - 1] = lifted.clamp(HEIGHT_MIN_MS, HEIGHT_MAX_MS);
    }
}

/// c_c and c_e of the paper.
const TUNING: f64 = 0.25;
const ERROR_MIN: f64 = 1e-3;
const ERROR_MAX: f64 = 2.0;
/// Two nodes at one place are pushed apart along what direction they have.
const LENGTH_MIN: f64 = 1e-6;
const HEIGHT_MIN_MS: f64 = 0.1;
const HEIGHT_MAX_MS: f64 = 500.0;
