//! End system multicast for conferences: Chu, Rao, Seshan, Zhang, "Enabling conferencing applications on the Internet
//! using an overlay multicast architecture", SIGCOMM 2001. Narada's mesh (`mesh`), but routes are first as wide as
//! possible and only then short.
//!
//! Simplified: there is no bandwidth in a latency matrix, but degrees stand for uplinks; so a link is as wide as the
//! degree of its narrower end, in powers of two, as the authors level bandwidths lest routes flap. Degrees are kept.

use super::generator;
use super::mesh::{self, Metric};
use crate::draft::Draft;
use crate::instance::Instance;
use crate::names::Algorithm;
use crate::plan_error::PlanError;

pub(super) fn draft(instance: &Instance<'_>) -> Result<Draft, PlanError> {
    mesh::draft(instance, Metric::BandwidthThenLatency, generator(instance, Algorithm::Esm))
}
