//! The other side of [`watch`](super::watch): a sign of life every [`BEAT`] to those who depend on this node's relaying, when
//! no media have gone to them anyway.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use super::watch::BEAT;
use crate::identity::NodeId;

/// The datagram, one byte: told from media (0x80 to 0xbf) and from the pool's probes.
pub const PULSE: u8 = 0x03;

/// See the [module](self).
#[derive(Debug, Default)]
pub struct Pulse {
    /// Who depends on this node, and when it was last sent something.
    dependants: BTreeMap<NodeId, Instant>,
}

impl Pulse {
    /// Says who depends on this node from now on.
    pub fn set(&mut self, dependants: &BTreeSet<NodeId>, now: Instant) {
        self.dependants.retain(|node, _| dependants.contains(node));
        for node in dependants {
            self.dependants.entry(*node).or_insert(now);
        }
    }

    /// Something has been sent to a node.
    pub fn on_sent(&mut self, to: NodeId, at: Instant) {
        if let Some(last) = self.dependants.get_mut(&to) {
            *last = (*last).max(at);
        }
    }

    /// Who is to be sent a pulse now. `passed_at` says when the link last passed something on to a node by itself.
    pub fn due(&mut self, now: Instant, passed_at: impl Fn(NodeId) -> Option<Instant>) -> Vec<NodeId> {
        for (node, last) in self.dependants.iter_mut().filter(|(_, last)| **last + BEAT <= now) {
            *last = passed_at(*node).map_or(*last, |at| at.max(*last));
        }
        let due = self.dependants.iter_mut().filter(|(_, last)| **last + BEAT <= now);
        due.map(|(node, last)| {
            *last = now;
            *node
        })
        .collect()
    }

    /// When to call [`due`](Self::due).
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.dependants.values().min().map(|last| *last + BEAT)
    }
}
