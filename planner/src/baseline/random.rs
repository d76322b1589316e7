//! A random tree: members join in random order, each below a random node that has a free link. What a planner gets
//! without any measurement; the lower end of the scale. Degrees are kept.

use rand::seq::{IndexedRandom, SliceRandom};

use super::generator;
use super::joining::Joining;
use crate::draft::Draft;
use crate::instance::Instance;
use crate::names::Algorithm;
use crate::plan_error::PlanError;

pub(super) fn draft(instance: &Instance<'_>) -> Result<Draft, PlanError> {
    let mut rng = generator(instance, Algorithm::Random);
    let mut tree = Joining::new(instance)?;
    tree.outside.shuffle(&mut rng);
    while !tree.outside.is_empty() {
        let node = tree.next()?;
        let open: Vec<usize> = tree.open_to(node).collect();
        let Some(&parent) = open.choose(&mut rng) else { return Err(PlanError::Stuck(instance.nodes[node])) };
        tree.attach(node, parent);
    }
    Ok(tree.into_draft())
}
