//! Narada: Chu, Rao, Zhang, "A case for end system multicast", SIGMETRICS 2000. A mesh improved by the utility of
//! links, with reverse shortest path trees over it (`mesh`, which says what is simplified).
//!
//! For the diameter, the one of the members' source trees that serves all others best is shared: Narada itself has a
//! tree for each source, which is what the objective forest is about. Degrees are kept, because the mesh keeps them.

use super::generator;
use super::mesh::{self, Metric};
use crate::draft::Draft;
use crate::instance::Instance;
use crate::names::Algorithm;
use crate::plan_error::PlanError;

pub(super) fn draft(instance: &Instance<'_>) -> Result<Draft, PlanError> {
    mesh::draft(instance, Metric::Latency, generator(instance, Algorithm::Narada))
}
