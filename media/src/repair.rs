//! Lost packets asked for again, hop by hop, from the parent's memory of what it has just sent, while they can still
//! be in time; and how much is lost, told upwards to who speaks.
//!
//! ```text
//! child -- request: tree, source, first counter, 16 bits for those behind it --> parent    answered by the packets themselves
//! child -- loss: tree, source, percent ----------------------------------------> parent    the worst below, once a second
//! ```
//!
//! Counters stand in the clear for who carries a packet, so that a relay notices a gap where it arises, and asks before
//! those below it do. What is repeated may be one twentieth of what is sent. A link's peers are trusted with no more
//! than that: whoever asks for what was not sent to it gets nothing.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::packet::{MediaPacket, SourceIndex, TreeId};

/// The first byte of a request for lost packets.
pub const REQUEST_KIND: u8 = 0x03;

/// The first byte of a report of loss.
pub const LOSS_KIND: u8 = 0x04;

/// Packets that a node remembers, all trees and sources together: half a second of twenty talkers.
pub const RECENT_MAX: usize = 512;

/// Streams (a source in a tree) whose gaps are watched; of others nothing is asked for.
pub const STREAMS_MAX: usize = 256;

/// Lost packets that a stream waits for at once.
const MISSING_MAX: usize = 32;

/// A gap that is longer was an outage, and asking for all of it would be too late for most, packets.
const GAP_MAX: u64 = 17;

/// How long a missing packet may merely be overtaken.
const REORDER: Duration = Duration::from_millis(5);

/// How long after its gap was seen a packet is still of use: what a listener's buffer may grow by for it.
const PATIENCE: Duration = Duration::from_millis(100);

/// How often a packet is asked for.
const TRIES_MAX: u8 = 2;

/// Repeats may be one in so many bytes of what is sent.
const BUDGET_ONE_IN: usize = 20;

/// Bytes of repeats that may be saved up: some ten packets of a voice.
const BUDGET_MAX: usize = 1_600;

/// How often loss is reported, and how long a report counts for twice that.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);

/// A stream that was silent for so long is forgotten.
const STREAM_LIFE: Duration = Duration::from_secs(30);

/// Bytes of a request: kind, tree, source, counter, bits.
const REQUEST_LEN: usize = 15;

/// Bytes of a report: kind, tree, source, percent.
const LOSS_LEN: usize = 8;

/// What a node has asked for and repeated so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RepairStats {
    /// Packets that it asked for.
    pub asked: u64,
    /// Of those, that came.
    pub repaired: u64,
    /// Packets that it repeated for others.
    pub repeated: u64,
    /// Packets that it was asked for and did not repeat: unknown, not theirs, or beyond the budget.
    pub refused: u64,
}

/// What a [`Repair`] has to say to a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkPacket<L> {
    /// To whom.
    pub to: L,
    bytes: [u8; REQUEST_LEN],
    length: usize,
}

impl<L> LinkPacket<L> {
    /// The datagram.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

/// Names a packet that is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recent {
    tree: TreeId,
    source: SourceIndex,
    counter: u64,
}

/// One node's memory and gaps; `L` names links.
#[derive(Debug)]
pub struct Repair<L> {
    slots: Vec<Slot<L>>,
    streams: BTreeMap<(TreeId, SourceIndex), Stream<L>>,
    /// Bytes that may be repeated, times [`BUDGET_ONE_IN`].
    budget: usize,
    report_at: Option<Instant>,
    /// When the next packet is to be asked for.
    ask_at: Option<Instant>,
    stats: RepairStats,
}

/// A remembered packet; made when the place is first used, and used again ever after.
#[derive(Debug)]
struct Slot<L> {
    name: Recent,
    came_by: Option<L>,
    at: Instant,
    bytes: Vec<u8>,
}

#[derive(Debug)]
struct Stream<L> {
    /// `None`: this node's own.
    came_by: Option<L>,
    next: u64,
    heard_at: Instant,
    missing: Vec<Missing>,
    /// In this interval.
    expected: u64,
    lost: u64,
    /// Percent, smoothed.
    loss: f64,
    /// The worst below, and when it was reported.
    below: Option<(u8, Instant)>,
    repaired: u64,
}

#[derive(Clone, Copy, Debug)]
struct Missing {
    counter: u64,
    ask_at: Instant,
    until: Instant,
    tries: u8,
}

impl<L: Copy + Ord> Repair<L> {
    /// A node that has carried nothing yet.
    pub fn new() -> Self {
        Self {
            slots: Vec::new(),
            streams: BTreeMap::new(),
            budget: BUDGET_MAX * BUDGET_ONE_IN,
            report_at: None,
            ask_at: None,
            stats: RepairStats::default(),
        }
    }

    /// Whether a datagram is for [`handle`](Self::handle).
    pub fn is_link_packet(datagram: &[u8]) -> bool {
        matches!(datagram.first(), Some(&(REQUEST_KIND | LOSS_KIND)))
    }

    /// Remembers a packet that goes to `copies` peers, and whence it came (`None`: from here); notices gaps before it.
    /// `false` if the same packet came by the same link before: it need not go anywhere.
    pub fn on_packet(&mut self, datagram: &[u8], came_by: Option<L>, copies: usize, now: Instant) -> bool {
        let Ok(packet) = MediaPacket::parse(datagram) else { return true };
        if !self.remember(&packet, datagram, came_by, now) {
            return false;
        }
        self.budget = (self.budget + datagram.len() * copies).min(BUDGET_MAX * BUDGET_ONE_IN);
        self.watch(&packet, came_by, now);
        true
    }

    /// Takes a link packet of a peer's, and names the packets that are to be repeated for it. `is_sent_to` says whether
    /// what comes along that tree by that link (`None`: from here) is sent to the peer; `round_trip` is that to the peer:
    /// what was sent less than that ago is still on its way.
    pub fn handle(
        &mut self,
        datagram: &[u8],
        round_trip: Duration,
        now: Instant,
        is_sent_to: impl Fn(TreeId, Option<L>) -> bool,
    ) -> Vec<Recent> {
        let Some((&kind, rest)) = datagram.split_first() else { return Vec::new() };
        if kind == REQUEST_KIND
            && let Ok(&[t0, t1, t2, t3, s0, s1, c0, c1, c2, c3, c4, c5, b0, b1]) =
                <&[u8; REQUEST_LEN - 1]>::try_from(rest)
        {
            let tree = TreeId(u32::from_be_bytes([t0, t1, t2, t3]));
            let source = SourceIndex(u16::from_be_bytes([s0, s1]));
            let counter = u64::from_be_bytes([0, 0, c0, c1, c2, c3, c4, c5]);
            let behind = u16::from_be_bytes([b0, b1]);
            let asked = (0..16).filter(|bit| behind >> bit & 1 == 1).map(|bit| counter + 1 + bit);
            return std::iter::once(counter)
                .chain(asked)
                .filter_map(|counter| {
                    self.repeat(Recent { tree, source, counter }, round_trip, now, &is_sent_to)
                })
                .collect();
        }
        if kind == LOSS_KIND
            && let Ok(&[t0, t1, t2, t3, s0, s1, percent]) = <&[u8; LOSS_LEN - 1]>::try_from(rest)
        {
            let tree = TreeId(u32::from_be_bytes([t0, t1, t2, t3]));
            let source = SourceIndex(u16::from_be_bytes([s0, s1]));
            if let Some(stream) = self.streams.get_mut(&(tree, source))
                && is_sent_to(tree, stream.came_by)
            {
                let worst = stream.below(now).map_or(percent, |worst| worst.max(percent));
                stream.below = Some((worst.min(100), now));
            }
        }
        Vec::new()
    }

    /// A remembered packet.
    pub fn recent(&self, recent: Recent) -> Option<&[u8]> {
        self.slot(recent).map(|slot| &slot.bytes[..])
    }

    /// What is to be asked for or told by now, of whom; `round_trip` of a link, where it is known.
    pub fn poll_transmit(
        &mut self,
        now: Instant,
        round_trip: impl Fn(L) -> Option<Duration>,
    ) -> Vec<LinkPacket<L>> {
        let mut out = Vec::new();
        if self.ask_at.is_some_and(|at| at <= now) {
            self.ask(now, round_trip, &mut out);
        }
        if self.report_at.is_some_and(|at| at <= now) {
            self.report_at = Some(now + REPORT_INTERVAL);
            self.report(now, &mut out);
        }
        out
    }

    /// When to call [`poll_transmit`](Self::poll_transmit).
    pub fn poll_timeout(&self) -> Option<Instant> {
        [self.ask_at, self.report_at].into_iter().flatten().min()
    }

    /// The share of this node's own packets that the worst of its listeners misses, percent; `None` while nobody has
    /// said anything.
    pub fn own_loss(&self, now: Instant) -> Option<u8> {
        let own = self.streams.values().filter(|stream| stream.came_by.is_none());
        own.filter_map(|stream| stream.below(now)).max()
    }

    /// Packets of a source, along those trees, that were asked for again and came.
    pub fn repaired(&self, source: SourceIndex, trees: &[TreeId]) -> u64 {
        let of = |tree: &TreeId| self.streams.get(&(*tree, source)).map_or(0, |stream| stream.repaired);
        trees.iter().map(of).sum()
    }

    /// What has been asked for and repeated so far.
    pub fn stats(&self) -> RepairStats {
        self.stats
    }

    fn slot(&self, recent: Recent) -> Option<&Slot<L>> {
        let slot = self.slots.get(place(recent))?;
        (slot.name == recent && !slot.bytes.is_empty()).then_some(slot)
    }

    fn remember(
        &mut self,
        packet: &MediaPacket<'_>,
        datagram: &[u8],
        came_by: Option<L>,
        now: Instant,
    ) -> bool {
        let name = Recent { tree: packet.tree, source: packet.source, counter: packet.counter };
        if self.slots.is_empty() {
            let none = || Slot { name, came_by: None, at: now, bytes: Vec::new() };
            self.slots.resize_with(RECENT_MAX, none);
        }
        let slot = &mut self.slots[place(name)];
        if slot.name == name && slot.came_by == came_by && !slot.bytes.is_empty() {
            return false;
        }
        (slot.name, slot.came_by, slot.at) = (name, came_by, now);
        slot.bytes.clear();
        slot.bytes.extend_from_slice(datagram);
        true
    }

    /// Names a packet for repetition if it is known, the peer was sent it, and the budget allows.
    fn repeat(
        &mut self,
        recent: Recent,
        round_trip: Duration,
        now: Instant,
        is_sent_to: &impl Fn(TreeId, Option<L>) -> bool,
    ) -> Option<Recent> {
        let is_wanted = |slot: &&Slot<L>| {
            now.saturating_duration_since(slot.at) >= round_trip && is_sent_to(recent.tree, slot.came_by)
        };
        let length = self.slot(recent).filter(is_wanted).map(|slot| slot.bytes.len());
        let Some(length) = length.filter(|length| length * BUDGET_ONE_IN <= self.budget) else {
            self.stats.refused += 1;
            return None;
        };
        self.budget -= length * BUDGET_ONE_IN;
        self.stats.repeated += 1;
        Some(recent)
    }

    fn watch(&mut self, packet: &MediaPacket<'_>, came_by: Option<L>, now: Instant) {
        let key = (packet.tree, packet.source);
        if !self.streams.contains_key(&key) {
            if self.streams.len() >= STREAMS_MAX {
                self.streams.retain(|_, stream| now.saturating_duration_since(stream.heard_at) < STREAM_LIFE);
                if self.streams.len() >= STREAMS_MAX {
                    return;
                }
            }
            self.streams.insert(key, Stream::new(came_by, packet.counter, now));
            self.report_at.get_or_insert(now + REPORT_INTERVAL);
        }
        let Some(stream) = self.streams.get_mut(&key) else { return };
        if stream.came_by != came_by {
            *stream = Stream::new(came_by, packet.counter, now);
        }
        stream.heard_at = now;
        if came_by.is_none() {
            return;
        }
        if stream.on_counter(packet.counter, now) {
            self.stats.repaired += 1;
        }
        if let Some(first) = stream.missing.iter().map(|missing| missing.ask_at).min() {
            self.ask_at = Some(self.ask_at.map_or(first, |at| at.min(first)));
        }
    }

    fn ask(
        &mut self,
        now: Instant,
        round_trip: impl Fn(L) -> Option<Duration>,
        out: &mut Vec<LinkPacket<L>>,
    ) {
        self.ask_at = None;
        for ((tree, source), stream) in &mut self.streams {
            let Some(link) = stream.came_by else { continue };
            let round_trip = round_trip(link).unwrap_or(PATIENCE);
            let mut asked: Option<(u64, u16)> = None;
            let lost = &mut stream.lost;
            stream.missing.retain_mut(|missing| {
                if missing.ask_at <= now {
                    if missing.tries >= TRIES_MAX || now + round_trip > missing.until {
                        // One that was asked for is given its time to come.
                        *lost += 1;
                        return false;
                    }
                    match &mut asked {
                        None => asked = Some((missing.counter, 0)),
                        Some((first, bits)) => match missing.counter - *first {
                            behind @ 1..=16 => *bits |= 1 << (behind - 1),
                            _ => return true,
                        },
                    }
                    missing.tries += 1;
                    missing.ask_at = now + round_trip + round_trip / 4 + REORDER;
                    self.stats.asked += 1;
                }
                let at = missing.ask_at;
                self.ask_at = Some(self.ask_at.map_or(at, |first| first.min(at)));
                true
            });
            if let Some((counter, bits)) = asked {
                let mut bytes = head(REQUEST_KIND, *tree, *source);
                bytes[7..13].copy_from_slice(&counter.to_be_bytes()[2..]);
                bytes[13..].copy_from_slice(&bits.to_be_bytes());
                out.push(LinkPacket { to: link, bytes, length: REQUEST_LEN });
            }
        }
    }

    fn report(&mut self, now: Instant, out: &mut Vec<LinkPacket<L>>) {
        self.streams.retain(|_, stream| now.saturating_duration_since(stream.heard_at) < STREAM_LIFE);
        if self.streams.is_empty() {
            self.report_at = None;
        }
        for ((tree, source), stream) in &mut self.streams {
            stream.measure();
            let Some(link) = stream.came_by else { continue };
            // Nothing is said of who is silent.
            if now.saturating_duration_since(stream.heard_at) > REPORT_INTERVAL {
                continue;
            }
            let mut bytes = head(LOSS_KIND, *tree, *source);
            let own = stream.loss.round().clamp(0.0, 100.0) as u8;
            bytes[7] = stream.below(now).map_or(own, |worst| worst.max(own));
            out.push(LinkPacket { to: link, bytes, length: LOSS_LEN });
        }
    }
}

impl<L: Copy + Ord> Default for Repair<L> {
    fn default() -> Self {
        Self::new()
    }
}

impl<L> Stream<L> {
    fn new(came_by: Option<L>, next: u64, now: Instant) -> Self {
        Self {
            came_by,
            next,
            heard_at: now,
            missing: Vec::new(),
            expected: 0,
            lost: 0,
            loss: 0.0,
            below: None,
            repaired: 0,
        }
    }

    /// Notes that a packet has come, and which are missing before it; `true` if it had been asked for.
    fn on_counter(&mut self, counter: u64, now: Instant) -> bool {
        if counter < self.next {
            let Some(at) = self.missing.iter().position(|missing| missing.counter == counter) else {
                return false;
            };
            let repaired = self.missing.remove(at).tries > 0;
            self.repaired += u64::from(repaired);
            return repaired;
        }
        let gap = counter - self.next;
        if gap <= GAP_MAX {
            self.expected += gap + 1;
            let room = MISSING_MAX.saturating_sub(self.missing.len());
            self.lost += gap.saturating_sub(room as u64);
            self.missing.extend((self.next..counter).take(room).map(|counter| Missing {
                counter,
                ask_at: now + REORDER,
                until: now + PATIENCE,
                tries: 0,
            }));
        }
        self.next = counter + 1;
        false
    }

    /// The worst that was reported from below, while that is news.
    fn below(&self, now: Instant) -> Option<u8> {
        let (worst, at) = self.below?;
        (now.saturating_duration_since(at) < 2 * REPORT_INTERVAL).then_some(worst)
    }

    /// Closes an interval: more loss counts at once, less by and by.
    fn measure(&mut self) {
        if self.expected > 0 {
            let percent = 100.0 * self.lost as f64 / self.expected as f64;
            self.loss = if percent > self.loss { percent } else { self.loss + (percent - self.loss) / 4.0 };
        }
        (self.expected, self.lost) = (0, 0);
        // The worst child says so again within this interval, or is no longer the worst.
        self.below = self.below.map(|(worst, at)| (worst - worst.div_ceil(8).min(worst), at));
    }
}

/// Where a packet is remembered: those of one stream one after the other, streams apart.
fn place(recent: Recent) -> usize {
    let stream =
        u64::from(recent.tree.0).wrapping_mul(0x9e37_79b9).wrapping_add(u64::from(recent.source.0) * 101);
    (stream.wrapping_add(recent.counter) % RECENT_MAX as u64) as usize
}

fn head(kind: u8, tree: TreeId, source: SourceIndex) -> [u8; REQUEST_LEN] {
    let mut bytes = [0; REQUEST_LEN];
    bytes[0] = kind;
    bytes[1..5].copy_from_slice(&tree.0.to_be_bytes());
    bytes[5..7].copy_from_slice(&source.0.to_be_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::CaptureTime;
    use proptest::prelude::*;

    const TREE: TreeId = TreeId(7);
    const SOURCE: SourceIndex = SourceIndex(3);
    const MS: Duration = Duration::from_millis(1);

    fn start() -> Instant {
        #[expect(clippy::disallowed_methods, reason = "an Instant to count from; nothing waits")]
        Instant::now()
    }

    fn packet(counter: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        let capture_time = CaptureTime(counter as u32);
        let frame = &[counter as u8; 80];
        MediaPacket { tree: TREE, source: SOURCE, counter, capture_time, priority: false, frame }
            .write(&mut bytes);
        bytes
    }

    /// Source 0, relay 1, listener 2, in a row; each link loses by the word of `lost(link, counter)`, repeats do not
    /// get lost. What reached the listener, and all three.
    fn row(
        packets: u64,
        round_trip: Duration,
        lost: impl Fn(u32, u64) -> bool,
    ) -> (Vec<u64>, [Repair<u32>; 3]) {
        let (start, mut nodes) = (start(), [Repair::new(), Repair::new(), Repair::new()]);
        let mut way: Vec<(Instant, u32, u32, Vec<u8>)> = Vec::new();
        let mut heard = Vec::new();
        for tick in 0..packets * 20 + 400 {
            let now = start + MS * tick as u32;
            if tick % 20 == 0 && tick / 20 < packets {
                let bytes = packet(tick / 20);
                assert!(nodes[0].on_packet(&bytes, None, 1, now));
                if !lost(0, tick / 20) {
                    way.push((now + round_trip / 2, 0, 1, bytes));
                }
            }
            way.sort_by_key(|entry| entry.0);
            while way.first().is_some_and(|entry| entry.0 <= now) {
                let (_, from, to, bytes) = way.remove(0);
                let node = &mut nodes[to as usize];
                if Repair::<u32>::is_link_packet(&bytes) {
                    let named = node.handle(&bytes, round_trip, now, |tree, came_by| {
                        tree == TREE && came_by == to.checked_sub(1) && from == to + 1
                    });
                    for name in named {
                        let again = node.recent(name).unwrap().to_vec();
                        way.push((now + round_trip / 2, to, from, again));
                    }
                } else if node.on_packet(&bytes, Some(from), usize::from(to == 1), now) {
                    let counter = MediaPacket::parse(&bytes).unwrap().counter;
                    if to == 2 {
                        heard.push(counter);
                    } else if !lost(1, counter) || counter < tick / 20 - 1 {
                        way.push((now + round_trip / 2, 1, 2, bytes));
                    }
                }
            }
            for (at, node) in nodes.iter_mut().enumerate() {
                for out in node.poll_transmit(now, |_| Some(round_trip)) {
                    assert_eq!(out.to + 1, at as u32);
                    way.push((now + round_trip / 2, at as u32, out.to, out.bytes().to_vec()));
                }
            }
        }
        (heard, nodes)
    }

    #[test]
    fn what_is_lost_on_either_link_comes_again_once() {
        let (mut heard, nodes) = row(300, 20 * MS, |link, counter| counter % 50 == 20 + 10 * u64::from(link));
        assert!(heard.windows(2).any(|pair| pair[0] > pair[1]), "repeats come late");
        heard.sort_unstable();
        assert_eq!(heard, (0..300).collect::<Vec<_>>());
        assert_eq!((nodes[0].stats().repeated, nodes[1].stats().repeated), (6, 6));
        assert_eq!(nodes[2].repaired(SOURCE, &[TREE]), 12, "the relay's, and its own");
        assert_eq!(nodes[0].own_loss(start() + MS * 6_000), Some(0));
    }

    #[test]
    fn repeats_keep_to_their_budget_and_loss_is_told_upwards() {
        let (heard, nodes) = row(500, 20 * MS, |link, counter| link == 1 && counter % 5 == 3);
        let again = nodes[1].stats();
        assert!(again.repeated * 20 <= 500 + 20 * 17, "{again:?}");
        assert!(again.refused > 20, "{again:?}");
        assert!(heard.len() as u64 == 400 + again.repeated);
        let told = nodes[0].own_loss(start() + MS * 10_000).unwrap();
        assert!((8..=20).contains(&told), "{told}");
    }

    #[test]
    fn what_would_be_too_late_is_not_asked_for() {
        let (_, nodes) = row(200, 150 * MS, |link, counter| link == 0 && counter % 20 == 10);
        assert_eq!((nodes[1].stats().asked, nodes[2].stats().asked), (0, 0));
    }

    #[test]
    fn nothing_is_repeated_for_who_was_not_sent_it() {
        let (now, mut node) = (start(), Repair::new());
        for counter in 0..100 {
            node.on_packet(&packet(counter), Some(0), 3, now);
        }
        let mut request = head(REQUEST_KIND, TREE, SOURCE);
        request[12] = 50;
        request[13..].fill(0xff);
        assert_eq!(node.handle(&request, Duration::ZERO, now, |_, _| false), []);
        let named = node.handle(&request, Duration::ZERO, now, |_, _| true);
        assert!((5..=17).contains(&named.len()));
        assert_eq!(node.recent(named[0]), Some(&packet(50)[..]));
        while !node.handle(&request, Duration::ZERO, now, |_, _| true).is_empty() {}
        assert_eq!(node.handle(&request[..14], Duration::ZERO, now, |_, _| true), []);
    }

    proptest! {
        #[test]
        fn anything_at_all_stays_within_bounds(
            datagrams in proptest::collection::vec((proptest::collection::vec(any::<u8>(), 0..60), 0..6_u8, 0..3_u32), 0..400),
        ) {
            let (mut now, mut node) = (start(), Repair::new());
            for (mut bytes, kind, from) in datagrams {
                now += MS * 3;
                if let Some(first) = bytes.first_mut() {
                    *first = [0x80, 0x80, 0x80, REQUEST_KIND, LOSS_KIND, *first][usize::from(kind)];
                }
                node.on_packet(&bytes, Some(from), 3, now);
                prop_assert!(node.handle(&bytes, MS, now, |_, _| true).len() <= 17);
                prop_assert!(node.poll_transmit(now, |_| None).len() <= 2 * STREAMS_MAX);
                prop_assert!(node.streams.len() <= STREAMS_MAX && node.slots.len() <= RECENT_MAX);
                prop_assert!(node.streams.values().all(|stream| stream.missing.len() <= MISSING_MAX));
            }
        }
    }
}
