//! Network coordinates: round trips between nodes that never measured each other, predicted from where each is in an
//! imagined space.
//!
//! A node measures a few neighbours and moves itself so that its place agrees with theirs and the measurements
//! ([`refine`], by downhill simplex: the patent, [0074]). [`embed`] does so for all nodes of a recorded matrix, for as many
//! rounds as heartbeats would; [`relative_errors`] says how far the predictions are off on pairs that nobody fitted.
//! [`vivaldi`] is the field's reference on the same measurements. Here as everywhere in this crate, no clock and no chance of
//! its own.
//!
//! A plan must never rest on a coordinate alone: predicted latencies pick the links to measure.

mod embedding;
mod simplex;
mod space;
mod vivaldi;

pub use embedding::{CoordMethod, DIMENSIONS_MAX, Embedding, Probes, UnknownMethod, embed, relative_errors};
pub use simplex::{Loss, Neighbour, refine, refine_within};
pub use space::{Coordinate, Model};
pub use vivaldi::{VivaldiNode, vivaldi};
