//! What planning at large asks about latencies.

use super::near::Place;

/// Nodes and the links between them. Node 0 is the root.
pub(super) trait World {
    fn nodes(&self) -> usize;

    /// Whether no way around is shorter than a link.
    fn is_metric(&self) -> bool;

    /// Cost of the link, milliseconds one way.
    fn cost(&self, from: usize, to: usize) -> f32;

    /// Writes down, for each node, how high `node` would be if it hung below that one, whose height is given.
    fn hang_below_each(&self, node: usize, heights: &[f32], hung: &mut [f32]);

    /// Where the nodes are, roughly.
    fn places(&self) -> Vec<Place>;
}
