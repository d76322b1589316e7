//! Nodes at coordinates, axis by axis, so that the compiler can look at several at once.

use super::near::Place;
use super::world::World;
use crate::coord::{Coordinate, Model};

/// One-way milliseconds, in 32-bit floats: half of the coordinates, which are of round trips.
pub(super) struct Space {
    nodes: usize,
    /// By axis and node.
    axes: Vec<Vec<f32>>,
    /// By node: its access line. Nothing where the model has none.
    lines: Option<Vec<f32>>,
}

impl Space {
    pub(super) fn new<'a, const N: usize>(
        at: impl ExactSizeIterator<Item = &'a Coordinate<N>> + Clone,
        model: Model,
    ) -> Self {
        let half = |axis: usize| -> Vec<f32> { at.clone().map(|at| (at[axis] / 2.0) as f32).collect() };
        let (axes, lines) = match model {
            Model::Euclidean => (N, None),
            Model::Height => (N - 1, Some(half(N - 1).into_iter().map(f32::abs).collect())),
        };
        Self { nodes: at.len(), axes: (0..axes).map(half).collect(), lines }
    }

    fn line(&self, node: usize) -> f32 {
        self.lines.as_ref().map_or(0.0, |lines| lines[node])
    }
}

impl World for Space {
    fn nodes(&self) -> usize {
        self.nodes
    }

    fn is_metric(&self) -> bool {
        true
    }

    #[inline]
    fn cost(&self, from: usize, to: usize) -> f32 {
        let square = |axis: &Vec<f32>| (axis[from] - axis[to]) * (axis[from] - axis[to]);
        self.axes.iter().map(square).sum::<f32>().sqrt() + (self.line(from) + self.line(to))
    }

    fn hang_below_each(&self, node: usize, heights: &[f32], hung: &mut [f32]) {
        let own = self.line(node);
        for start in (0..heights.len()).step_by(BLOCK) {
            let block = start..(start + BLOCK).min(heights.len());
            let hung = &mut hung[block.clone()];
            hung.fill(0.0);
            for axis in &self.axes {
                let here = axis[node];
                for (sum, &there) in hung.iter_mut().zip(&axis[block.clone()]) {
                    *sum += (there - here) * (there - here);
                }
            }
            for (hung, &height) in hung.iter_mut().zip(&heights[block.clone()]) {
                *hung = height + (hung.sqrt() + own);
            }
            if let Some(lines) = &self.lines {
                for (hung, &line) in hung.iter_mut().zip(&lines[block]) {
                    *hung += line;
                }
            }
        }
    }

    /// The coordinates along the axes on which they differ most.
    fn places(&self) -> Vec<Place> {
        let spread = |axis: &Vec<f32>| {
            let mean = axis.iter().sum::<f32>() / axis.len() as f32;
            axis.iter().map(|x| (x - mean) * (x - mean)).sum::<f32>()
        };
        let mut widest: Vec<(f32, &Vec<f32>)> = self.axes.iter().map(|axis| (spread(axis), axis)).collect();
        widest.sort_by(|a, b| b.0.total_cmp(&a.0));
        let at = |axis: usize, node: usize| widest.get(axis).map_or(0.0, |(_, axis)| axis[node]);
        (0..self.nodes).map(|node| [at(0, node), at(1, node), at(2, node)]).collect()
    }
}

/// Nodes whose sums stay in the nearest cache.
const BLOCK: usize = 1024;
