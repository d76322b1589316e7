//! The packets that a node has carried last, in places that are made once and written over.

use std::time::{Duration, Instant};

use crate::packet::{MediaPacket, PACKET_MAX, SourceIndex, TreeId};

/// Packets that a node remembers, all trees and sources together: half a second of twenty talkers.
pub const RECENT_MAX: usize = 512;

/// Names a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Name {
    pub(super) tree: TreeId,
    pub(super) source: SourceIndex,
    pub(super) counter: u64,
}

/// See the [module](self); `L` names links.
#[derive(Debug)]
pub(super) struct Ring<L> {
    slots: Box<[Slot<L>]>,
    /// [`PACKET_MAX`] for each slot; the system backs what is written to.
    bytes: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
struct Slot<L> {
    name: Name,
    /// `None`: from this node itself.
    came_by: Option<L>,
    at: Option<Instant>,
    length: usize,
}

impl<L: Copy + Eq> Ring<L> {
    pub(super) fn new() -> Self {
        let name = Name { tree: TreeId(0), source: SourceIndex(0), counter: 0 };
        let slot = Slot { name, came_by: None, at: None, length: 0 };
        Self { slots: vec![slot; RECENT_MAX].into_boxed_slice(), bytes: vec![0; RECENT_MAX * PACKET_MAX] }
    }

    /// Remembers a packet; `false` if the same one came by the same link a moment ago.
    pub(super) fn put(
        &mut self,
        packet: &MediaPacket<'_>,
        datagram: &[u8],
        came_by: Option<L>,
        now: Instant,
    ) -> bool {
        let name = Name { tree: packet.tree, source: packet.source, counter: packet.counter };
        let place = place(name);
        let slot = &mut self.slots[place];
        if slot.name == name && slot.came_by == came_by && is_recent(slot.at, now) {
            return false;
        }
        *slot = Slot { name, came_by, at: Some(now), length: datagram.len() };
        self.bytes[place * PACKET_MAX..][..datagram.len()].copy_from_slice(datagram);
        true
    }

    /// A packet that is still remembered, and by which link it came.
    pub(super) fn get(&self, name: Name, now: Instant) -> Option<(Option<L>, &[u8])> {
        let place = place(name);
        let slot = self.slots.get(place).filter(|slot| slot.name == name && is_recent(slot.at, now))?;
        Some((slot.came_by, &self.bytes[place * PACKET_MAX..][..slot.length]))
    }

    /// The packets of a tree that have come since then, in the order in which they came, and by which link.
    pub(super) fn since(&self, tree: TreeId, since: Instant) -> impl Iterator<Item = (Option<L>, &[u8])> {
        let in_time = |(place, slot): (usize, &Slot<L>)| {
            slot.at.filter(|at| slot.name.tree == tree && *at >= since).map(|at| (at, place))
        };
        let mut places: Vec<(Instant, usize)> = self.slots.iter().enumerate().filter_map(in_time).collect();
        places.sort_unstable();
        places.into_iter().map(|(_, place)| {
            let slot = &self.slots[place];
            (slot.came_by, &self.bytes[place * PACKET_MAX..][..slot.length])
        })
    }
}

fn is_recent(at: Option<Instant>, now: Instant) -> bool {
    at.is_some_and(|at| now.saturating_duration_since(at) < REMEMBERED)
}

/// Longer than any packet can be of use.
const REMEMBERED: Duration = Duration::from_secs(1);

/// Where a packet is remembered: those of one stream one after the other, streams apart.
fn place(name: Name) -> usize {
    let stream =
        u64::from(name.tree.0).wrapping_mul(0x9e37_79b9).wrapping_add(u64::from(name.source.0) * 101);
    (stream.wrapping_add(name.counter) % RECENT_MAX as u64) as usize
}
