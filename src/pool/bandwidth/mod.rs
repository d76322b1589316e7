//! How wide a node's access line is, up and down, from pairs of packets among neighbours (the patent, [0075] to [0077]).
//!
//! Now and then a node sends one that it knows, leaf set first, a burst of pairs: heartbeats padded to full size, two and two
//! back to back. The receiver measures how far each pair has been spread, says so in a heartbeat of its own, and sends a
//! burst back if asked to. What others heard is the line upwards, what this node heard the line downwards.
//!
//! Left out: lines upwards that are wider than those downwards of nearly all neighbours. They are taken for as wide as what was
//! seen, which is on the safe side. Lines downwards wider than any neighbour's upwards are shown to be by others (`wide.rs`).

mod dispersion;
pub(in crate::pool) mod message;
mod vouchers;
mod wide;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use self::dispersion::{Burst, PAIRS, SPACING};
use self::message::PADDING;
pub use self::message::{BANDWIDTH_MESSAGE_MAX, BandwidthMessage, PACKET_BYTES, Padding, Pair, Wide};
use self::vouchers::Vouchers;
pub(super) use self::vouchers::upwards;
use self::wide::Widest;
use super::moment::Moment;
use super::outbox::Outbox;
use super::peer::Peer;
use super::ring::Malice;
use crate::identity::Position;

/// How often lines are measured.
#[derive(Clone, Copy, Debug)]
pub struct BandwidthConfig {
    /// Between two bursts of a newcomer. Shorter: its line is known sooner, and fuller meanwhile.
    pub first: Duration,
    /// Between two bursts once much is known. Shorter: changes are seen sooner, more idle traffic (16.8 KB a burst, and as
    /// much back).
    pub last: Duration,
}

impl Default for BandwidthConfig {
    fn default() -> Self {
        Self { first: Duration::from_secs(6), last: Duration::from_secs(600) }
    }
}

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Bandwidth {
    me: Position,
    config: BandwidthConfig,
    due: Moment,
    sent: u32,
    numbers: u32,
    sending: Option<Sending>,
    /// Who is to be sent a burst because it asked.
    returns: VecDeque<Peer>,
    /// When all that was sent because others asked is made up for.
    returned_until: Moment,
    awaited: Vec<Awaited>,
    /// Who did not answer lately.
    silent: VecDeque<Position>,
    incoming: Vec<Incoming>,
    up: Vouchers,
    down: Vouchers,
    widest: Widest,
    outbox: Outbox<(Peer, BandwidthMessage)>,
}

#[derive(Debug)]
struct Sending {
    to: Peer,
    burst: u32,
    pair: u8,
    back: bool,
    next_at: Moment,
}

#[derive(Debug)]
struct Awaited {
    of: Position,
    burst: u32,
    until: Moment,
    /// Its verdict counts.
    vouches: bool,
}

/// What a burst is sent for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Errand {
    /// Another node has asked for it.
    Return,
    /// To learn how wide the line is both ways.
    Both,
    /// For what comes back alone. Who was named by others says nothing of the line upwards: liars would name each other, and be most
    /// of those who vouch for it.
    Down,
}

#[derive(Debug)]
struct Incoming {
    from: Peer,
    back: bool,
    burst: Burst,
}

/// Bursts at the first interval: so many neighbours make an estimate. Each later interval is so much longer.
const BURSTS_FIRST: u32 = 24;
const LONGER: f64 = 1.25;
/// How long a verdict is waited for, and how many are.
const ANSWER_WITHIN: Duration = Duration::from_secs(4);
/// How long a connection may take to one that is not known.
const CONNECTED_WITHIN: Duration = Duration::from_secs(2);
const AWAITED_MAX: usize = 4;
const SILENT_MAX: usize = 8;
/// Bursts that come in at once; more are not measured.
const INCOMING_MAX: usize = 8;
/// Bursts owed at once: a node that asks for more has to ask again.
const RETURNS_MAX: usize = 2;
/// Bursts that others may ask for: one in so long, 45 kbit/s, and so many at once. Wide senders are asked by many.
const RETURN_EVERY: Duration = Duration::from_secs(3);
const RETURNS_AT_ONCE: u32 = 5;

impl Bandwidth {
    /// `phase`, 0 to 1, spreads who begins when.
    pub(super) fn new(me: Position, config: BandwidthConfig, phase: f64, now: Moment) -> Self {
        Self {
            me,
            config,
            due: now + config.first.mul_f64(phase),
            sent: 0,
            numbers: 0,
            sending: None,
            returns: VecDeque::new(),
            returned_until: now,
            awaited: Vec::new(),
            silent: VecDeque::new(),
            incoming: Vec::new(),
            up: Vouchers::default(),
            down: Vouchers::default(),
            widest: Widest::default(),
            outbox: Outbox::new(),
        }
    }

    /// The line upwards, kbit/s, if enough others have measured it.
    pub(super) fn up_kbit_s(&self) -> Option<u32> {
        self.up.upwards()
    }

    /// The line downwards, likewise.
    pub(super) fn down_kbit_s(&self) -> Option<u32> {
        self.down.downwards()
    }

    /// What this node has heard of another one's line upwards.
    pub(super) fn heard_of(&self, position: Position) -> Option<u32> {
        self.down.of(position)
    }

    /// The next message; those of a pair are to leave without a pause.
    pub(super) fn poll_transmit(&mut self) -> Option<(Peer, BandwidthMessage)> {
        self.outbox.pop_front()
    }

    pub(super) fn poll_timeout(&self) -> Moment {
        let next = match &self.sending {
            Some(sending) => sending.next_at,
            None if self.returns.is_empty() => self.due,
            None => Moment::ZERO,
        };
        self.incoming.iter().map(|incoming| incoming.burst.until).fold(next, Moment::min)
    }

    /// A message has come, at `now` to the microsecond.
    pub(super) fn on_message(&mut self, from: Peer, message: BandwidthMessage, now: Moment) {
        match message {
            BandwidthMessage::Pair(pair) => self.on_pair(from, &pair, now),
            BandwidthMessage::Heard { burst, kbit_s, widest } => {
                let awaited = |awaited: &Awaited| awaited.burst == burst && awaited.of == from.position;
                if let Some(at) = self.awaited.iter().position(awaited) {
                    if self.awaited.swap_remove(at).vouches {
                        self.up.on_measured(from.position, kbit_s);
                    }
                    let named = widest.filter(|wide| wide.peer.position != from.position);
                    named.into_iter().for_each(|wide| self.on_named(wide));
                }
            }
            BandwidthMessage::Announce => {}
        }
    }

    /// [`poll_timeout`](Self::poll_timeout) has come; `known` are the nodes to measure with, the leaf set first.
    pub(super) fn on_timeout(&mut self, known: impl Iterator<Item = Peer>, now: Moment) {
        while let Some(at) = self.incoming.iter().position(|incoming| incoming.burst.until <= now) {
            self.judge(at, now);
        }
        while let Some(at) = self.awaited.iter().position(|awaited| awaited.until <= now) {
            let silent = self.awaited.swap_remove(at).of;
            self.silent.push_back(silent);
            self.silent.truncate(SILENT_MAX);
        }
        if self.sending.is_none() {
            self.begin(known, now);
        }
        if self.sending.as_ref().is_some_and(|sending| sending.next_at <= now) {
            self.send_pair(now);
        }
    }

    fn begin(&mut self, known: impl Iterator<Item = Peer>, now: Moment) {
        if let Some(to) = self.returns.pop_front() {
            self.send(to, Errand::Return, now);
        } else if self.due <= now {
            let more = self.sent.saturating_sub(BURSTS_FIRST).min(64);
            self.due = now + self.config.first.mul_f64(LONGER.powi(more as i32)).min(self.config.last);
            self.sent = self.sent.saturating_add(1);
            let line_kbit_s = self.down_kbit_s().unwrap_or(0);
            let wide = if self.sent.is_multiple_of(2) { self.widest.ask_next(line_kbit_s) } else { None };
            if let Some(wide) = wide {
                self.outbox.push_back((wide, BandwidthMessage::Announce));
                self.send(wide, Errand::Down, now + CONNECTED_WITHIN);
            } else if let Some(to) = self.choose(known) {
                self.send(to, Errand::Both, now);
            }
        }
    }

    /// A burst, from then on.
    fn send(&mut self, to: Peer, errand: Errand, next_at: Moment) {
        self.numbers = self.numbers.wrapping_add(1);
        let (burst, back) = (self.numbers, errand != Errand::Return);
        if back && self.awaited.len() < AWAITED_MAX {
            let (until, vouches) = (next_at + ANSWER_WITHIN, errand == Errand::Both);
            self.awaited.push(Awaited { of: to.position, burst, until, vouches });
        }
        self.sending = Some(Sending { to, burst, pair: 0, back, next_at });
    }

    /// One that has not measured this line yet; if all have, the one that did so longest ago.
    fn choose(&mut self, known: impl Iterator<Item = Peer>) -> Option<Peer> {
        let mut known: Vec<Peer> = known.filter(|peer| !self.silent.contains(&peer.position)).collect();
        if known.is_empty() {
            self.silent.clear();
        }
        if let Some(new) = known.iter().position(|peer| !self.up.knows(peer.position)) {
            return Some(known.swap_remove(new));
        }
        known.into_iter().min_by_key(|peer| self.up.age_rank(peer.position))
    }

    fn send_pair(&mut self, now: Moment) {
        let Some(sending) = &mut self.sending else { return };
        let (to, burst, pair, back) = (sending.to, sending.burst, sending.pair, sending.back);
        for second in [false, true] {
            let (sent_us, padding) = (now.micros() as u32, PADDING);
            let packet = Pair { burst, pair, second, back, sent_us, padding };
            self.outbox.push_back((to, BandwidthMessage::Pair(packet)));
        }
        sending.pair += 1;
        sending.next_at = now + SPACING;
        if sending.pair == PAIRS {
            self.sending = None;
        }
    }

    fn on_pair(&mut self, from: Peer, pair: &Pair, now: Moment) {
        let same =
            |incoming: &Incoming| incoming.burst.from == from.position && incoming.burst.number == pair.burst;
        let at = match self.incoming.iter().position(same) {
            Some(at) => at,
            None if self.incoming.len() < INCOMING_MAX && !pair.second => {
                let burst = Burst::new(from.position, pair, now);
                self.incoming.push(Incoming { from, back: pair.back, burst });
                self.incoming.len() - 1
            }
            None => return,
        };
        if self.incoming[at].burst.on_packet(pair, now) {
            self.judge(at, now);
        }
    }

    fn judge(&mut self, at: usize, now: Moment) {
        let Incoming { from, back, burst } = self.incoming.swap_remove(at);
        if let Some(kbit_s) = burst.kbit_s() {
            self.down.on_measured(from.position, kbit_s);
            self.widest.on_heard(from, kbit_s);
            let widest = self.widest.to_name(from.position, burst.number);
            let heard = BandwidthMessage::Heard { burst: burst.number, kbit_s, widest };
            self.outbox.push_back((from, heard));
        }
        let until = self.returned_until.max(now) + RETURN_EVERY;
        if back && self.returns.len() < RETURNS_MAX && until.since(now) <= RETURN_EVERY * RETURNS_AT_ONCE {
            self.returned_until = until;
            self.returns.push_back(from);
        }
    }

    fn on_named(&mut self, wide: Wide) {
        let position = wide.peer.position;
        if position != self.me && !self.down.knows(position) && !self.silent.contains(&position) {
            self.widest.on_named(wide);
        }
    }
}

/// What a node that lies says about a pair: nothing, or at the end of the burst that it came in far too slowly, or far too fast, and
/// that nobody is as wide as one of its friends.
pub(super) fn lie(
    malice: Malice,
    pair: &Pair,
    friends: &BTreeMap<Position, Peer>,
) -> Option<BandwidthMessage> {
    let kbit_s = match malice {
        Malice::Drop => return None,
        Malice::Misroute => 1,
        Malice::Claim => u32::MAX,
    };
    // Another one each time.
    let lot = Position(u128::from(pair.burst.wrapping_mul(0x9e37_79b9)) << 96);
    let friend = friends.range(lot..).chain(friends).map(|(_, friend)| *friend).next();
    let widest = friend.map(|peer| Wide { peer, kbit_s: u32::MAX });
    let heard = BandwidthMessage::Heard { burst: pair.burst, kbit_s, widest };
    (pair.second && pair.pair + 1 == PAIRS).then_some(heard)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    use super::*;
    use crate::identity::NodeId;

    const ONE_WAY: Duration = Duration::from_millis(30);

    /// A node and its line up and down, kbit/s.
    struct Household {
        peer: Peer,
        line: Bandwidth,
        rates: (f64, f64),
    }

    /// Lines that everybody measures with everybody, over a network where one packet in ten meets another one.
    fn measured(rates: &[(f64, f64)], liar: Option<u32>) -> Vec<Household> {
        let random = &mut StdRng::seed_from_u64(6);
        let mut homes: Vec<Household> = rates
            .iter()
            .map(|rates| {
                let peer = Peer::new(NodeId(random.random()), ([10, 0, 0, 1], 1).into());
                let line =
                    Bandwidth::new(peer.position, BandwidthConfig::default(), random.random(), Moment::ZERO);
                Household { peer, line, rates: *rates }
            })
            .collect();
        let peers: Vec<Peer> = homes.iter().map(|home| home.peer).collect();
        let mut under_way: Vec<(Moment, usize, Peer, BandwidthMessage)> = Vec::new();
        let mut now = Moment::ZERO;
        while now < Moment::ZERO + Duration::from_secs(240) {
            let wake = homes.iter().map(|home| home.line.poll_timeout()).min().unwrap();
            let arrival = under_way.iter().map(|(at, ..)| *at).min().unwrap_or(Moment::NEVER);
            now = now.max(wake.min(arrival));
            if let Some(next) = under_way.iter().position(|(at, ..)| *at <= now) {
                let (at, to, from, mut message) = under_way.remove(next);
                if let (Some(lie), BandwidthMessage::Heard { kbit_s, .. }, true) =
                    (liar, &mut message, from == peers[0])
                {
                    *kbit_s = lie;
                }
                homes[to].line.on_message(from, message, at);
            }
            for (from, home) in homes.iter_mut().enumerate() {
                if home.line.poll_timeout() <= now {
                    let others = peers.iter().copied().filter(|peer| *peer != home.peer);
                    home.line.on_timeout(others, now);
                }
                let mut free = now;
                while let Some((to, message)) = home.line.poll_transmit() {
                    let to = peers.iter().position(|peer| *peer == to).unwrap();
                    let narrowest = rates[from].0.min(rates[to].1);
                    let alone = if random.random_ratio(1, 10) { 2.0 } else { 1.0 };
                    free = free + Duration::from_secs_f64(PACKET_BYTES as f64 * 8e-3 / narrowest * alone);
                    under_way.push((free + ONE_WAY, to, home.peer, message));
                }
            }
            under_way.sort_by_key(|(at, ..)| *at);
        }
        homes
    }

    const RATES: [(f64, f64); 8] = [
        (9_000.0, 37_000.0),
        (18_000.0, 70_000.0),
        (1_000.0, 16_000.0),
        (26_000.0, 150_000.0),
        (90_000.0, 500_000.0),
        (50_000.0, 380_000.0),
        (97_000.0, 90_000.0),
        (18_000.0, 60_000.0),
    ];

    #[test]
    fn lines_are_measured_up_and_down_and_one_liar_changes_little() {
        let honest = measured(&RATES, None);
        for home in &honest {
            let (up, down) = (home.line.up_kbit_s().unwrap(), home.line.down_kbit_s().unwrap());
            assert!((f64::from(up) / home.rates.0 - 1.0).abs() < 0.1, "up {up} of {:?}", home.rates);
            let seen = home.rates.1.min(97_000.0);
            assert!((f64::from(down) / seen - 1.0).abs() < 0.15, "down {down} of {:?}", home.rates);
        }
        for lie in [1, u32::MAX] {
            for (before, after) in honest.iter().zip(measured(&RATES, Some(lie))).skip(1) {
                let [before, after] = [before, &after].map(|home| f64::from(home.line.up_kbit_s().unwrap()));
                assert!((after / before - 1.0).abs() < 0.1, "{before} to {after} by {lie}");
            }
        }
    }

    #[test]
    fn who_was_named_by_others_says_nothing_of_the_line_upwards() {
        let random = &mut StdRng::seed_from_u64(8);
        let mut someone = || Peer::new(NodeId(random.random()), ([10, 0, 0, 1], 1).into());
        let (me, neighbour) = (someone(), someone());
        let mut line = Bandwidth::new(me.position, BandwidthConfig::default(), 0.0, Moment::ZERO);
        let mut named = BTreeSet::new();
        while line.poll_timeout() < Moment::ZERO + Duration::from_secs(600) {
            let now = line.poll_timeout();
            line.on_timeout([neighbour].into_iter(), now);
            while let Some((to, message)) = line.poll_transmit() {
                let BandwidthMessage::Pair(Pair { burst, pair, second: true, .. }) = message else {
                    continue;
                };
                if pair + 1 < PAIRS {
                    continue;
                }
                // A liar praises the line, and another liar.
                let is_neighbour = to == neighbour;
                named.extend((!is_neighbour).then_some(to.position));
                let kbit_s = if is_neighbour { 9_000 } else { u32::MAX };
                let widest = Some(Wide { peer: someone(), kbit_s: u32::MAX });
                line.on_message(to, BandwidthMessage::Heard { burst, kbit_s, widest }, now);
            }
        }
        assert!(named.len() > 5, "{} were asked", named.len());
        assert_eq!(line.up.len(), 1);
    }

    #[test]
    fn nobody_is_believed_who_was_not_asked_and_nothing_grows() {
        let mut line = Bandwidth::new(Position(7), BandwidthConfig::default(), 0.5, Moment::ZERO);
        let random = &mut StdRng::seed_from_u64(7);
        for turn in 0..2_000_u64 {
            let now = Moment::from_micros(turn * 500);
            let from = Peer::new(NodeId(random.random()), ([10, 0, 0, 9], 1).into());
            let pair = Pair {
                burst: random.random(),
                pair: random.random(),
                second: random.random(),
                back: true,
                sent_us: random.random(),
                padding: PADDING,
            };
            line.on_message(from, BandwidthMessage::Pair(pair), now);
            line.on_message(
                from,
                BandwidthMessage::Heard { burst: random.random(), kbit_s: 7, widest: None },
                now,
            );
            line.on_timeout(std::iter::empty(), now);
            assert!(line.incoming.len() <= INCOMING_MAX && line.returns.len() <= RETURNS_MAX);
            while line.poll_transmit().is_some() {}
        }
        assert_eq!((line.up.len(), line.up_kbit_s()), (0, None));
    }
}
