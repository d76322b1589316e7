//! Which helpers could still come into the tree, and over which of them a way is shortest. Asked at most proposals that
//! bring a helper in, so it is laid out for the compiler to look at many helpers at once.

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
        let (mut least, mut start) = (f32::INFINITY, 0);
        let blocks = from.chunks(BLOCK).zip(to.chunks(BLOCK)).zip(toll.chunks(BLOCK));
        for (block, ((from, to), toll)) in blocks.enumerate() {
            let shortest = least_sum(from, to, toll);
            if shortest < least {
                (least, start) = (shortest, block * BLOCK);
            }
        }
        let at = (start..toll.len()).find(|&at| from[at] + to[at] + toll[at] == least)?;
        least.is_finite().then_some((self.members + at) as u32)
    }
}

/// The least sum of three values at one place.
#[inline]
fn least_sum(a: &[f32], b: &[f32], c: &[f32]) -> f32 {
    let ((a, a_rest), (b, b_rest), (c, c_rest)) =
        (a.as_chunks::<LANES>(), b.as_chunks::<LANES>(), c.as_chunks::<LANES>());
    let mut lanes = [f32::INFINITY; LANES];
    for ((a, b), c) in a.iter().zip(b).zip(c) {
        for lane in 0..LANES {
            let sum = a[lane] + b[lane] + c[lane];
            lanes[lane] = if sum < lanes[lane] { sum } else { lanes[lane] };
        }
    }
    let rest = a_rest.iter().zip(b_rest).zip(c_rest).map(|((a, b), c)| a + b + c);
    rest.chain(lanes).fold(f32::INFINITY, |least, sum| if sum < least { sum } else { least })
}

/// What a helper of that degree costs at `room`, one less than the children it is for.
fn toll(degree: u32, room: usize) -> f32 {
    if degree as usize > room + 1 { 0.0 } else { f32::INFINITY }
}

/// Up to how many children helpers are told apart.
const ROOMS: usize = 2;
/// Helpers among which the shortest way is sought one by one, once it is known to be over one of them.
const BLOCK: usize = 64;
/// Helpers looked at together.
const LANES: usize = 8;
