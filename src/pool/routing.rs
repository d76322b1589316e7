//! The prefix routing table (Pastry, section 2.1): for every row a node that shares that many digits with this one and goes on
//! with another, for each of the fifteen others. Of the nodes that fit, the nearest one met is kept (proximity neighbour
//! selection, section 2.5); it is sparse, so it is kept as a sorted list.

use super::peer::Peer;
use super::position::DIGITS;
use crate::identity::Position;

/// Three lists of the same order: a search reads the first alone, a few lines of memory, and none is padded. Whoever is in it has
/// answered at least once.
#[derive(Debug)]
pub(super) struct Table {
    me: Position,
    /// In ascending order.
    slots: Vec<u16>,
    peers: Vec<Peer>,
    /// The last measured round trips, microseconds.
    round_trips_us: Vec<u32>,
}

/// What a table thinks of a node that somebody has named.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Use {
    /// Its slot is empty.
    Missing,
    /// Its slot is held by a node whose round trip is this many microseconds.
    Instead(u32),
    /// It is there, or is this node itself.
    None,
}

/// Rows grow by so many entries at once: a table of 100,000 nodes has some 70, and doubling would waste as much again.
const GROWTH: usize = 4;
/// A newcomer must be nearer by a tenth, or noise makes tables churn.
const NEARER: f32 = 0.9;

impl Table {
    pub(super) fn new(me: Position) -> Self {
        Self { me, slots: Vec::new(), peers: Vec::new(), round_trips_us: Vec::new() }
    }

    pub(super) fn peers(&self) -> impl Iterator<Item = Peer> + '_ {
        self.peers.iter().copied()
    }

    pub(super) fn len(&self) -> usize {
        self.peers.len()
    }

    /// Rows up to the last that has an entry.
    pub(super) fn rows(&self) -> usize {
        self.slots.last().map_or(0, |last| usize::from(last / 16) + 1)
    }

    pub(super) fn get(&self, position: Position) -> Option<&Peer> {
        self.peers.get(self.find(position).ok()?).filter(|peer| peer.position == position)
    }

    /// The last measured round trip to the node there, microseconds.
    pub(super) fn round_trip_us(&self, position: Position) -> Option<u32> {
        let at = self.find(position).ok()?;
        (self.peers[at].position == position).then(|| self.round_trips_us[at])
    }

    /// The node that shares a digit more with `key` than this one does.
    pub(super) fn toward(&self, key: Position) -> Option<Peer> {
        self.peers.get(self.find(key).ok()?).copied()
    }

    pub(super) fn row(&self, row: usize) -> impl Iterator<Item = Peer> + '_ {
        let in_row = move |(slot, _): &(&u16, &Peer)| usize::from(**slot / 16) == row;
        self.slots.iter().zip(&self.peers).filter(in_row).map(|(_, peer)| *peer)
    }

    pub(super) fn use_of(&self, position: Position) -> Use {
        match self.find(position) {
            _ if position == self.me => Use::None,
            Err(_) => Use::Missing,
            Ok(at) if self.peers[at].position == position => Use::None,
            Ok(at) => Use::Instead(self.round_trips_us[at]),
        }
    }

    /// A node has answered after this round trip: it is kept if it is the first or the nearest that fits its slot.
    pub(super) fn offer(&mut self, peer: Peer, round_trip_us: u32) {
        match self.find(peer.position) {
            _ if peer.position == self.me => {}
            Err(at) => {
                if self.peers.len() == self.peers.capacity() {
                    self.slots.reserve_exact(GROWTH);
                    self.peers.reserve_exact(GROWTH);
                    self.round_trips_us.reserve_exact(GROWTH);
                }
                self.slots.insert(at, self.slot(peer.position));
                self.peers.insert(at, peer);
                self.round_trips_us.insert(at, round_trip_us);
            }
            Ok(at) => {
                let nearer = (round_trip_us as f32) < self.round_trips_us[at] as f32 * NEARER;
                if self.peers[at].position == peer.position || nearer {
                    (self.peers[at], self.round_trips_us[at]) = (peer, round_trip_us);
                }
            }
        }
    }

    pub(super) fn remove(&mut self, position: Position) {
        if let Ok(at) = self.find(position)
            && self.peers[at].position == position
        {
            self.slots.remove(at);
            self.peers.remove(at);
            self.round_trips_us.remove(at);
        }
    }

    /// Where the slot of a position is, or would be.
    fn find(&self, position: Position) -> Result<usize, usize> {
        self.slots.binary_search(&self.slot(position))
    }

    fn slot(&self, position: Position) -> u16 {
        let row = self.me.shared_digits(position);
        if row == DIGITS { u16::MAX } else { (row * 16 + position.digit(row)) as u16 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::NodeId;

    fn peer(first_digits: u128) -> Peer {
        let peer = Peer::new(NodeId([0; 32]), "10.0.0.1:1".parse().unwrap());
        Peer { position: Position(first_digits << 112), ..peer }
    }

    #[test]
    fn a_slot_holds_the_nearest_that_fits() {
        let mut table = Table::new(peer(0x65a1).position);
        for (digits, round_trip_us) in
            [(0x1000, 50), (0x1fff, 30), (0x1abc, 29), (0x6100, 7), (0x65b0, 9), (0x65a1, 1)]
        {
            table.offer(peer(digits), round_trip_us);
        }
        let kept: Vec<u128> = table.peers().map(|peer| peer.position.0 >> 112).collect();
        assert_eq!(kept, [0x1fff, 0x6100, 0x65b0], "nearer by less than a tenth is not nearer");
        assert_eq!(table.row(0).count(), 1);
        assert_eq!(table.toward(peer(0x1234).position), Some(peer(0x1fff)));
        assert_eq!(table.toward(peer(0x65b7).position), Some(peer(0x65b0)));
        assert!(table.toward(peer(0x7000).position).is_none());
        assert!(table.toward(table.me).is_none());
        assert_eq!(table.use_of(peer(0x1234).position), Use::Instead(30));
        assert_eq!(table.use_of(peer(0x1fff).position), Use::None);
        assert_eq!(table.use_of(peer(0x7000).position), Use::Missing);
        assert_eq!(table.use_of(table.me), Use::None);
        table.offer(peer(0x1fff), 44);
        assert_eq!(table.round_trip_us(peer(0x1fff).position), Some(44), "measured again");
        table.remove(peer(0x1234).position);
        table.remove(peer(0x1fff).position);
        assert_eq!(table.len(), 2);
    }
}
