//! The views that SOMO's root has of the pool, held against the pool.

use crate::pool::Moment;
use crate::pool::somo::Report;

/// What was seen of them.
#[derive(Default)]
pub(super) struct Views {
    ages_ms: Vec<u32>,
    complete: f64,
    count: u64,
    pub(super) height: Option<u32>,
    pub(super) bytes_max: Option<u64>,
    /// The first one, after the ring had healed, that was exact.
    pub(super) exact_at: Option<Moment>,
}

/// As old as a view is what it says of so many of the nodes that there are; one that shows fewer is not dated.
const COMPLETE: f64 = 0.99;

impl Views {
    /// The root has a new one, of a pool that has `nodes`.
    pub(super) fn on_view(&mut self, view: &Report, nodes: usize) {
        let share = f64::from(view.nodes) / nodes.max(1) as f64;
        self.complete += share;
        self.count += 1;
        if let Some(age_ms) = view.within_ms((nodes as f64 * COMPLETE).ceil() as u32) {
            self.ages_ms.push(age_ms);
        }
        self.height = Some(view.height.into());
        let bytes = postcard::experimental::serialized_size(view).unwrap_or_default() as u64;
        self.bytes_max = self.bytes_max.max(Some(bytes));
    }

    /// The ring is whole again after it was hurt.
    pub(super) fn on_ring_view(&mut self, view: &Report, nodes: usize, now: Moment) {
        if self.exact_at.is_none() && view.nodes as usize == nodes {
            self.exact_at = Some(now);
        }
    }

    pub(super) fn age_ms(&mut self, share: f64) -> Option<f64> {
        self.ages_ms.sort_unstable();
        let rank = (self.ages_ms.len() as f64 * share).ceil() as usize;
        self.ages_ms.get(rank.max(1) - 1).map(|age| f64::from(*age))
    }

    pub(super) fn complete(&self) -> Option<f64> {
        (self.count > 0).then(|| self.complete / self.count as f64)
    }
}
