//! Nodes in a matrix. Where a node is, is told by how far it is from three others: the root, the node farthest from it,
//! and the one farthest from both.

use super::near::Place;
use super::world::World;
use crate::instance::Instance;

/// An instance's members. Reads single links from the problem's matrix: laying out every row (`Instance::costs`) would
/// copy all of it.
pub(super) struct Matrix<'a> {
    instance: &'a Instance<'a>,
    hop: f32,
}

impl<'a> Matrix<'a> {
    pub(super) fn new(instance: &'a Instance<'a>) -> Self {
        Self { instance, hop: instance.problem.hop_cost.ms() as f32 }
    }
}

impl World for Matrix<'_> {
    fn nodes(&self) -> usize {
        self.instance.members
    }

    fn is_metric(&self) -> bool {
        false
    }

    #[inline]
    fn cost(&self, from: usize, to: usize) -> f32 {
        self.instance.latency(from, to) as f32 + self.hop
    }

    fn hang_below_each(&self, node: usize, heights: &[f32], hung: &mut [f32]) {
        if let Some(costs) = self.instance.costs_back(node) {
            for ((hung, &height), &cost) in hung.iter_mut().zip(heights).zip(costs) {
                *hung = height + cost;
            }
        } else {
            for (from, (hung, &height)) in hung.iter_mut().zip(heights).enumerate() {
                *hung = height + self.cost(from, node);
            }
        }
    }

    fn places(&self) -> Vec<Place> {
        let mut places = vec![[0.0; 3]; self.nodes()];
        let mut nearest = vec![f32::INFINITY; self.nodes()];
        let mut landmark = 0;
        for axis in 0..3 {
            let costs = self.instance.costs(landmark);
            for ((place, nearest), &cost) in places.iter_mut().zip(&mut nearest).zip(costs) {
                place[axis] = cost;
                *nearest = nearest.min(cost);
            }
            let farthest = nearest.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
            landmark = farthest.map_or(0, |(node, _)| node);
        }
        places
    }
}
