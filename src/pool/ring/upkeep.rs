//! The routing table's upkeep: what others name is weighed and measured; now and then a node is drawn and looked at, and a
//! row is asked for (Pastry's lazy repair, which is also how tables find nearer nodes).

use std::ops::RangeInclusive;
use std::time::Duration;

use rand::RngExt;
use rand::seq::IteratorRandom;

use super::RingNode;
use super::message::{PEERS_MAX, RingMessage};
use crate::identity::Position;
use crate::pool::moment::Moment;
use crate::pool::peer::Peer;
use crate::pool::position::DIGITS;
use crate::pool::routing::Use;

/// The first looks of a newcomer come this quickly, and no look comes sooner.
pub(super) const FIRST: Duration = Duration::from_secs(1);
/// Each interval is so much longer than the one before, and so much shorter after a death: in a pool where nodes come and
/// go, tables are looked at more often (MS Pastry tunes itself likewise).
const LONGER: f64 = 1.3;
const SHORTER: f64 = 0.6;
/// One look in so many asks for a row.
const ROWS_EVERY: u32 = 2;
/// The first looks of a newcomer all do: its rows are full of holes.
const ROWS_FIRST: u8 = 20;
/// A place that foretells a round trip so much shorter than the one in the table is worth a measurement.
const WORTH_A_LOOK: f64 = 0.8;
/// Nodes remembered for being farther than their places foretold.
const PASSED_OVER_MAX: usize = 32;
/// Of nodes whose place is unknown, one in so many is measured in the hope that it is nearer.
const BLIND_GUESSES: u32 = 4;

impl RingNode {
    /// Somebody names a node: is it of use for the table? It comes in when it has answered.
    pub(super) fn suggest(&mut self, peer: Peer, now: Moment) {
        let worth = match self.table.use_of(peer.position) {
            Use::None => false,
            Use::Missing => true,
            Use::Instead(us) => {
                let there = Duration::from_micros(us.into());
                match self.me.place.round_trip(peer.place) {
                    Some(foretold) => foretold < there.mul_f64(WORTH_A_LOOK),
                    None => self.random.random_ratio(1, BLIND_GUESSES),
                }
            }
        };
        if worth && !self.passed_over.contains(&peer.position.mark()) {
            self.measure(peer, now);
        }
    }

    /// It has been measured: if the table has no use for it after all, it is not looked at again soon.
    pub(super) fn pass_over(&mut self, peer: &Peer) {
        if self.table.use_of(peer.position) != Use::None {
            if self.passed_over.len() == PASSED_OVER_MAX {
                self.passed_over.remove(0);
            }
            self.passed_over.push(peer.position.mark());
        }
    }

    /// A node has come by: if its slot is empty, it is welcome.
    pub(super) fn fill_from(&mut self, peer: Peer, now: Moment) {
        if self.table.use_of(peer.position) == Use::Missing {
            self.suggest(peer, now);
        }
    }

    pub(super) fn on_rows(&mut self, peers: &[Peer], now: Moment) {
        for peer in peers {
            self.suggest(*peer, now);
        }
    }

    pub(super) fn on_row_request(&mut self, from: Peer, row: u8, now: Moment) {
        self.send_rows(from, row..=row, now);
    }

    /// Rows of the table, this node itself in the first message.
    pub(super) fn send_rows(&mut self, to: Peer, rows: RangeInclusive<u8>, now: Moment) {
        let rows = usize::from(*rows.start())..=usize::from(*rows.end()).min(DIGITS - 1);
        for row in rows {
            let mut peers: Vec<Peer> = self.table.row(row).take(PEERS_MAX - 1).collect();
            peers.push(self.me);
            peers.retain(|peer| peer.position != to.position);
            self.send(to, RingMessage::Rows(peers), now);
        }
    }

    pub(super) fn keep_up(&mut self, now: Moment) {
        if self.upkeep_at > now {
            return;
        }
        self.upkeep_interval = self.upkeep_interval.mul_f64(LONGER).min(self.config.upkeep);
        let interval = self.upkeep_interval;
        self.upkeep_at = now + self.jittered(interval);
        let (leaves, entries) = (self.leaves.len(), self.table.len());
        if leaves + entries == 0 || !self.is_active() {
            return;
        }
        self.close_gaps(now);
        if self.looks < ROWS_FIRST || self.random.random_ratio(1, ROWS_EVERY) {
            self.looks = self.looks.saturating_add(1);
            self.ask_for_row(now);
            return;
        }
        let rank = self.random.random_range(0..leaves + entries);
        let table = self.table.peers();
        let drawn = self.leaves().chain(table).nth(rank);
        if let Some(peer) = drawn {
            self.measure(peer, now);
        }
    }

    /// A packet goes the long way because a slot is empty: its next hop may know who fits (MS Pastry's passive repair).
    pub(super) fn mend_on_the_way(&mut self, key: Position, next: Peer, now: Moment) {
        let row = self.me.position.shared_digits(key);
        let fits = self.me.position.shared_digits(next.position) >= row;
        if fits && !self.covers(key) && self.table.toward(key).is_none() {
            self.send(next, RingMessage::RowRequest { row: row as u8 }, now);
        }
    }

    /// A node has been found dead.
    pub(super) fn look_more_often(&mut self, now: Moment) {
        self.upkeep_interval = self.upkeep_interval.mul_f64(SHORTER).max(FIRST);
        self.upkeep_at = self.upkeep_at.min(now + self.upkeep_interval);
    }

    /// Any row, of any node in it: the same nodes fit its row and this one's.
    fn ask_for_row(&mut self, now: Moment) {
        let rows = self.table.rows();
        if rows == 0 {
            return;
        }
        let row = self.random.random_range(0..rows);
        let in_row = self.table.row(row);
        if let Some(peer) = in_row.choose(&mut self.random) {
            self.send(peer, RingMessage::RowRequest { row: row as u8 }, now);
        }
    }
}
