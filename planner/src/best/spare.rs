//! Which helpers could still come into the tree, and over which of them a way is shortest.

use super::least::least_sum_at;
use crate::instance::Instance;

/// Helpers that are not in the tree, by the links that they have to spare.
pub(super) struct Spare {
    members: usize,
    degree: Vec<u32>,
    /// For children 1 to `ROOMS`: zero for a helper that has room for so many, infinite for one that has not or that is
    /// in the tree.
    toll: [Vec<f32>; ROOMS],
}

impl Spare {
    pub(super) fn new(instance: &Instance<'_>) -> Self {
        let degree: Vec<u32> = instance.helpers().map(|helper| instance.degree[helper]).collect();
        let toll = std::array::from_fn(|at| degree.iter().map(|&degree| toll(degree, at)).collect());
        Self { members: instance.members, degree, toll }
    }

    pub(super) fn take(&mut self, helper: u32) {
        let at = helper as usize - self.members;
        for toll in &mut self.toll {
            toll[at] = f32::INFINITY;
        }
    }

    pub(super) fn give_back(&mut self, helper: u32) {
        let at = helper as usize - self.members;
        for (room, tolls) in self.toll.iter_mut().enumerate() {
            tolls[at] = toll(self.degree[at], room);
        }
    }

    /// The helper with room for `children` over which the way from one node to another is shortest, by the costs of
    /// their links to all nodes. O(H).
    pub(super) fn shortest_way(&self, from: &[f32], to: &[f32], children: usize) -> Option<u32> {
        let (from, to) = (&from[self.members..], &to[self.members..]);
        let toll = &self.toll[children.clamp(1, ROOMS) - 1];
        least_sum_at([from, to, toll]).map(|at| (self.members + at) as u32)
    }
}

/// What a helper of that degree costs at `room`, one less than the children it is for.
fn toll(degree: u32, room: usize) -> f32 {
    if degree as usize > room + 1 { 0.0 } else { f32::INFINITY }
}

/// Up to how many children helpers are told apart.
const ROOMS: usize = 2;
