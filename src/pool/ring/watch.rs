//! Who is there: pings, deaths, and the memory of the dead, who may be beyond a broken network.

use std::time::Duration;

use super::message::{PEERS_MAX, Ping, Pong, RingMessage};
use super::{Event, RingNode};
use crate::identity::Position;
use crate::pool::leafset::Leaf;
use crate::pool::moment::Moment;
use crate::pool::peer::Peer;

/// A ping that waits for its pong.
#[derive(Debug)]
pub(super) struct Pending {
    peer: Peer,
    nonce: u32,
    sent: Moment,
    pub(super) deadline: Moment,
    tries: u8,
    tries_max: u8,
    leaves: bool,
}

/// A leaf that died, or a bootstrap: it is looked for now and then, for it may live on another ring.
#[derive(Debug)]
pub(super) struct Ghost {
    peer: Peer,
    since: Moment,
    pub(super) due: Moment,
    interval: Duration,
}

/// Tries before a leaf counts as dead: at 5 % loss a living one fails them once in 10,000 times.
const LEAF_TRIES: u8 = 4;
/// Tries for a node that only a table would lose.
const TABLE_TRIES: u8 = 2;
/// Pings under way at once; a leaf set is checked even beyond.
const PINGS_MAX: usize = 48;
/// How long a pong is waited for when nothing is known of the way.
const TIMEOUT: Duration = Duration::from_millis(600);
const TIMEOUT_MIN: Duration = Duration::from_millis(150);
const TIMEOUT_MAX: Duration = Duration::from_secs(2);
/// How long a connection may take beyond that.
const CONNECTED_WITHIN: Duration = Duration::from_millis(1_500);
/// The dead that are remembered: a leaf set, and as many again.
const GHOSTS_MAX: usize = 32;
/// The first look for a ghost comes after this time, each next one after twice as long, the last at `GHOST_LAST`.
const GHOST_FIRST: Duration = Duration::from_secs(4);
const GHOST_LAST: Duration = Duration::from_secs(600);
/// What others say of one that has just died is old news.
const GHOST_NEWS: Duration = Duration::from_secs(3);
/// A heartbeat may be this late, beyond a quarter of the interval.
const LATE: Duration = Duration::from_millis(500);
/// A node that was not called for this many heartbeats has slept, or its clock has jumped.
const SLEPT: u32 = 4;

impl RingNode {
    // Heartbeats.

    pub(super) fn heartbeat_due(&self) -> Moment {
        if self.leaves.len() == 0 || !self.is_active() { Moment::NEVER } else { self.heartbeat_at }
    }

    pub(super) fn beat(&mut self, now: Moment) {
        if self.heartbeat_due() <= now
            && let Some(left) = self.leaves.left()
        {
            let (left, interval) = (left.peer, self.config.heartbeat);
            let ping = Ping { nonce: None, leaves: false, view: self.view() };
            self.send(left, RingMessage::Ping(ping), now);
            self.heartbeat_at = now + self.jittered(interval);
        }
    }

    /// When the right neighbour's silence becomes suspicious.
    pub(super) fn silence_at(&self) -> Moment {
        match self.leaves.right() {
            Some(right) if self.is_active() && !self.is_pinged(right.peer.position) => {
                right.heard + self.config.heartbeat.mul_f64(1.25) + LATE
            }
            _ => Moment::NEVER,
        }
    }

    pub(super) fn look_for_silence(&mut self, now: Moment) {
        if self.silence_at() <= now
            && let Some(right) = self.leaves.right()
        {
            self.verify(right.peer, now);
        }
    }

    /// A process that was stopped for a while may have been buried: it asks before it answers for anything.
    pub(super) fn notice_sleep(&mut self, now: Moment) {
        let slept = now.since(self.awake_at) > self.config.heartbeat * SLEPT;
        self.awake_at = now;
        if slept && self.is_active() && self.leaves.len() > 0 {
            self.pings.clear();
            self.unsettle(now);
            self.begin_settling(now);
            for peer in self.leaves().collect::<Vec<_>>() {
                self.verify(peer, now);
            }
        }
    }

    // Pings and pongs.

    /// Is this node still there?
    pub(super) fn verify(&mut self, peer: Peer, now: Moment) {
        self.ping(peer, LEAF_TRIES, false, now);
    }

    /// Whom does it know around this node?
    pub(super) fn ask_around(&mut self, peer: Peer, now: Moment) {
        self.ping(peer, LEAF_TRIES, true, now);
    }

    /// How far is this node, which a table might use?
    pub(super) fn measure(&mut self, peer: Peer, now: Moment) {
        let tries = if self.leaves.get(peer.position).is_some() { LEAF_TRIES } else { TABLE_TRIES };
        self.ping(peer, tries, false, now);
    }

    fn ping(&mut self, peer: Peer, tries_max: u8, leaves: bool, now: Moment) {
        if peer.position == self.me.position {
            return;
        }
        if let Some(at) = self.pings.iter().position(|ping| ping.peer.position == peer.position) {
            let more = leaves && !self.pings[at].leaves;
            self.pings[at].leaves |= leaves;
            self.pings[at].tries_max = self.pings[at].tries_max.max(tries_max);
            if more {
                self.send_ping(at, now);
            }
            return;
        }
        let room = if tries_max == LEAF_TRIES { 2 * PINGS_MAX } else { PINGS_MAX };
        if self.pings.len() < room {
            let (sent, deadline) = (now, now);
            self.pings.push(Pending { peer, nonce: 0, sent, deadline, tries: 0, tries_max, leaves });
            self.send_ping(self.pings.len() - 1, now);
        }
    }

    fn send_ping(&mut self, at: usize, now: Moment) {
        let (nonce, view) = (self.number(), self.view());
        let timeout = self.timeout(self.pings[at].peer);
        let ping = &mut self.pings[at];
        ping.tries += 1;
        (ping.nonce, ping.sent) = (nonce, now);
        ping.deadline = now + timeout.mul_f64(1.5_f64.powi(i32::from(ping.tries) - 1)).min(TIMEOUT_MAX);
        let (to, leaves) = (ping.peer, ping.leaves);
        self.send(to, RingMessage::Ping(Ping { nonce: Some(nonce), leaves, view }), now);
    }

    /// Answers from a node that is not connected take longer.
    pub(super) fn on_dialling(&mut self, position: Position, now: Moment) {
        let later = now + CONNECTED_WITHIN;
        for ping in self.pings.iter_mut().filter(|ping| ping.peer.position == position) {
            ping.deadline = ping.deadline.max(later);
        }
        for forward in self.forwards.iter_mut().filter(|forward| forward.to.position == position) {
            forward.deadline = forward.deadline.max(later);
        }
    }

    /// What waited for a connection is on its way only now: the time until then is no part of the round trip.
    pub(super) fn on_departed(&mut self, position: Position, now: Moment) {
        if let Some(at) = self.pings.iter().position(|ping| ping.peer.position == position) {
            let timeout = self.timeout(self.pings[at].peer);
            (self.pings[at].sent, self.pings[at].deadline) = (now, now + timeout);
        }
        if let Some(at) = self.forwards.iter().position(|forward| forward.to.position == position) {
            let timeout = self.timeout(self.forwards[at].to);
            self.forwards[at].deadline = now + timeout;
        }
    }

    /// How long an answer is waited for.
    pub(super) fn timeout(&self, peer: Peer) -> Duration {
        let measured = self.round_trip_us(peer.position).map(|us| Duration::from_micros(us.into()));
        let expected =
            measured.or_else(|| self.me.place.round_trip(peer.place).map(|trip| trip.mul_f64(1.5)));
        expected.map_or(TIMEOUT, |trip| (trip.mul_f64(1.5) + LATE / 10).clamp(TIMEOUT_MIN, TIMEOUT_MAX))
    }

    fn round_trip_us(&self, position: Position) -> Option<u32> {
        let leaf = self.leaves.get(position).map(|leaf| leaf.round_trip_us).filter(|us| *us > 0);
        leaf.or_else(|| self.table.round_trip_us(position))
    }

    pub(super) fn retry_pings(&mut self, now: Moment) {
        let mut at = 0;
        while at < self.pings.len() {
            if self.pings[at].deadline > now {
                at += 1;
            } else if self.pings[at].tries < self.pings[at].tries_max {
                self.send_ping(at, now);
                at += 1;
            } else {
                let silent = self.pings.swap_remove(at).peer;
                self.on_silent(silent, now);
            }
        }
    }

    fn is_pinged(&self, position: Position) -> bool {
        self.pings.iter().any(|ping| ping.peer.position == position)
    }

    /// It has not answered once; others go first.
    pub(super) fn is_suspect(&self, position: Position) -> bool {
        self.pings.iter().any(|ping| ping.tries > 1 && ping.peer.position == position)
    }

    /// Nodes that would be leaves are still to answer.
    pub(super) fn is_asking_around(&self) -> bool {
        self.pings.iter().any(|ping| {
            let position = ping.peer.position;
            ping.tries_max == LEAF_TRIES && self.leaves.wants(position)
        })
    }

    pub(super) fn on_sign_of_life(&mut self, position: Position, now: Moment) {
        if let Some(leaf) = self.leaves.get_mut(position) {
            leaf.heard = now;
        }
    }

    pub(super) fn on_ping(&mut self, mut from: Peer, ping: Ping, now: Moment) {
        from.place = ping.view.place;
        self.admit(from, false, now);
        let doubt = self.on_view(from.position, &ping.view, now);
        if let Some(nonce) = ping.nonce {
            let leaves = if ping.leaves || doubt { self.around(from.position) } else { Vec::new() };
            let pong = Pong { nonce, view: self.view(), leaves };
            self.send(from, RingMessage::Pong(pong), now);
        }
        self.suggest(from, now);
    }

    pub(super) fn on_pong(&mut self, mut from: Peer, pong: Pong, now: Moment) {
        from.place = pong.view.place;
        let answered = |ping: &Pending| {
            // The answer to an earlier try proves life, but says nothing about time.
            ping.peer.position == from.position && (ping.nonce == pong.nonce || ping.tries > 1)
        };
        let found = self.pings.iter().position(answered);
        let ping = found.map(|at| self.pings.swap_remove(at));
        self.admit(from, ping.as_ref().is_some_and(|ping| ping.tries_max == LEAF_TRIES), now);
        if let Some(ping) = ping.filter(|ping| ping.nonce == pong.nonce) {
            self.on_measured(from, now.since(ping.sent));
        }
        self.on_view(from.position, &pong.view, now);
        self.hear_of(&pong.leaves, now);
    }

    fn on_measured(&mut self, peer: Peer, round_trip: Duration) {
        let us = u32::try_from(round_trip.as_micros()).unwrap_or(u32::MAX).max(1);
        if let Some(leaf) = self.leaves.get_mut(peer.position) {
            leaf.round_trip_us = us;
        }
        self.table.offer(peer, us);
        self.pass_over(&peer);
        if self.surveyor.on_measured(peer.position.mark(), peer.place, round_trip, &mut self.random) {
            self.me.place = self.surveyor.place();
        }
        self.events.push_back(Event::Measured { peer, round_trip });
    }

    /// A node that speaks for itself lives: it is taken in where it belongs. While a place in the leaf set is empty, any node
    /// would belong there; in a ring of more nodes it must be one that was asked for, or lie between others.
    fn admit(&mut self, peer: Peer, invited: bool, now: Moment) {
        if let Some(at) = self.ghosts.iter().position(|ghost| ghost.peer.position == peer.position) {
            self.ghosts.swap_remove(at);
            self.on_ghost(peer, now);
        }
        let belongs =
            invited || self.leaves.is_full() || self.leaves.encloses(peer.position) || !self.ring_is_larger();
        if let Some(leaf) = self.leaves.get_mut(peer.position) {
            leaf.peer = peer;
        } else if belongs && !self.is_seeking() {
            self.leaves.insert(Leaf { peer, heard: now, round_trip_us: 0 });
            // A new end may have been named by one who does not know those before it; it knows them itself.
            let ends = self.leaves.ends().map(|end| end.map(|leaf| leaf.peer.position));
            if invited && ends.contains(&Some(peer.position)) && self.ring_is_larger() {
                self.ask_around(peer, now);
            }
            if invited && self.leaves.has_doubtful_end() {
                self.close_gaps(now);
            }
        }
        self.refresh_neighbours(now);
    }

    /// Nodes are known that the leaf set has no place for.
    pub(super) fn ring_is_larger(&self) -> bool {
        self.leaves.is_full() || self.table.peers().any(|peer| self.leaves.get(peer.position).is_none())
    }

    pub(super) fn covers(&self, key: Position) -> bool {
        self.leaves.covers(key, self.ring_is_larger())
    }

    /// A gap that repair has left, or that one from far away has filled, is closed from both ends.
    pub(super) fn close_gaps(&mut self, now: Moment) {
        let gap = !self.leaves.is_full() || self.leaves.has_doubtful_end();
        if gap && self.ring_is_larger() {
            let ends = self.leaves.ends().map(|end| end.map(|leaf| leaf.peer));
            ends.into_iter().flatten().for_each(|end| self.ask_around(end, now));
        }
    }

    // What others say.

    /// Nodes that may belong into the leaf set, by hearsay: they are asked themselves.
    pub(super) fn hear_of(&mut self, peers: &[Peer], now: Moment) {
        let mut likely = self.leaves.clone();
        for peer in peers.iter().filter(|peer| !self.is_old_news(peer.position, now)) {
            likely.insert(Leaf { peer: *peer, heard: now, round_trip_us: 0 });
        }
        for peer in peers {
            if self.leaves.wants(peer.position) && likely.get(peer.position).is_some() {
                self.verify(*peer, now);
            } else {
                self.suggest(*peer, now);
            }
        }
    }

    fn is_old_news(&self, position: Position, now: Moment) -> bool {
        self.ghosts.iter().any(|ghost| ghost.peer.position == position && now.since(ghost.since) < GHOST_NEWS)
    }

    pub(super) fn on_gone(&mut self, position: Position, now: Moment) {
        if let Some(leaf) = self.leaves.get(position)
            && now.since(leaf.heard) > TIMEOUT
        {
            self.verify(leaf.peer, now);
        }
    }

    /// The nodes nearest to `position` on both sides that this one knows, itself included.
    pub(super) fn around(&self, position: Position) -> Vec<Peer> {
        let covered = self.covers(position);
        let table = self.table.peers().filter(|_| !covered);
        let mut peers: Vec<Peer> = self.leaves().chain(table).chain([self.me]).collect();
        peers.retain(|peer| peer.position != position);
        peers.sort_unstable_by_key(|peer| position.way_to(peer.position));
        peers.dedup_by_key(|peer| peer.position);
        if peers.len() > PEERS_MAX {
            let middle = PEERS_MAX / 2..peers.len() - PEERS_MAX / 2;
            peers.drain(middle);
        }
        peers
    }

    // Deaths.

    fn on_silent(&mut self, silent: Peer, now: Moment) {
        self.look_more_often(now);
        self.table.remove(silent.position);
        let was_right = self.neighbours.is_right(silent.position);
        let was_left = self.leaves.left().is_some_and(|left| left.peer.position == silent.position);
        if self.leaves.remove(silent.position).is_none() {
            return;
        }
        self.remember(silent, now);
        self.events.push_back(Event::Died(silent.position));
        if was_right && self.is_active() {
            for leaf in self.leaves().collect::<Vec<_>>() {
                self.send(leaf, RingMessage::Gone(silent.position), now);
            }
            // Whole stretches die at once when a network does.
            for leaf in self.leaves.right_side().iter().map(|leaf| leaf.peer).collect::<Vec<_>>() {
                self.verify(leaf, now);
            }
            // Whoever has lost both sides must know it soon: others may be about to take it for dead.
            for leaf in self.leaves().collect::<Vec<_>>() {
                self.verify_unless_fresh(leaf.position, now);
            }
        }
        if was_left && self.is_active() {
            let half = self.leaves.len() / 2;
            for leaf in self.leaves().skip(half).collect::<Vec<_>>() {
                self.verify_unless_fresh(leaf.position, now);
            }
        }
        self.repair(silent.position, now);
    }

    /// Fills the gap that a leaf has left (Pastry, section 2.4: from the farthest leaf on its side).
    pub(super) fn repair(&mut self, gone: Position, now: Moment) {
        let here = self.me.position;
        let on_right = here.way_to(gone) < gone.way_to(here);
        let [left_end, right_end] = self.leaves.ends().map(|end| end.map(|leaf| leaf.peer));
        if let Some(end) = if on_right { right_end } else { left_end } {
            self.ask_around(end, now);
        }
        // When a whole side has died, the table knows the way across the gap.
        let way = |peer: &Peer| {
            if on_right { here.way_to(peer.position) } else { peer.position.way_to(here) }
        };
        let nearest = self.table.peers().min_by_key(way);
        let end = if on_right { self.leaves.right() } else { self.leaves.left() };
        if let Some(nearest) = nearest
            && end.is_none_or(|end| way(&nearest) < way(&end.peer))
        {
            self.ask_around(nearest, now);
        }
    }

    pub(super) fn forget(&mut self, position: Position) {
        self.pings.retain(|ping| ping.peer.position != position);
        self.table.remove(position);
    }

    // Ghosts.

    pub(super) fn remember(&mut self, peer: Peer, now: Moment) {
        if self.ghosts.iter().any(|ghost| ghost.peer.position == peer.position) {
            return;
        }
        if self.ghosts.len() == GHOSTS_MAX {
            self.ghosts.remove(0);
        }
        let due = now + self.jittered(GHOST_FIRST);
        self.ghosts.push(Ghost { peer, since: now, due, interval: GHOST_FIRST });
    }

    pub(super) fn look_for_ghosts(&mut self, now: Moment) {
        let mut at = 0;
        while at < self.ghosts.len() {
            if self.ghosts[at].due > now {
                at += 1;
                continue;
            }
            let interval = self.ghosts[at].interval * 2;
            if interval > GHOST_LAST {
                self.ghosts.swap_remove(at);
                continue;
            }
            let due = now + self.jittered(interval);
            let ghost = &mut self.ghosts[at];
            (ghost.due, ghost.interval) = (due, interval);
            let ping = Ping { nonce: Some(0), leaves: false, view: self.view() };
            let to = self.ghosts[at].peer;
            self.send(to, RingMessage::Ping(ping), now);
            at += 1;
        }
    }

    /// A ghost has answered: if it is on another ring, the others may be too, and somebody there is nearest to here.
    fn on_ghost(&mut self, peer: Peer, now: Moment) {
        for ghost in &mut self.ghosts {
            ghost.due = now;
            ghost.interval = GHOST_FIRST;
        }
        self.seek(peer, now);
    }

    /// Ghosts and bootstraps.
    pub(super) fn ghosts(&self) -> impl Iterator<Item = Peer> + '_ {
        self.ghosts.iter().map(|ghost| ghost.peer)
    }
}
