//! The unicast star: the root sends to every member itself, as a conference server does, and as a sender without
//! multicast would. The yardstick of Chu, Rao, Zhang, "A case for end system multicast", SIGMETRICS 2000 ("sequential
//! unicast").
//!
//! Degrees are ignored: the root needs as many links as there are other members, and `degree_excess` says how many that
//! is too many. Where the root may not talk to a member there is no star.

use crate::draft::Draft;
use crate::instance::Instance;
use crate::plan_error::PlanError;

pub(super) fn draft(instance: &Instance<'_>) -> Result<Draft, PlanError> {
    if let Some(node) = (1..instance.members).find(|&node| !instance.may_link(0, node)) {
        return Err(PlanError::Stuck(instance.nodes[node]));
    }
    let links: Vec<_> = (1..instance.members).map(|node| (0, node)).collect();
    Ok(Draft::hung_from_root(instance.len(), &links))
}
