//! Lost packets asked for again, hop by hop, from the parent's memory of what it has just sent, while they can still
//! be in time; and how much is lost, told upwards to who speaks.
//!
//! ```text
//! child -- request: tree, source, first counter, 16 bits for those behind it --> parent    answered by the packets themselves
//! child -- loss: tree, source, percent ----------------------------------------> parent    the worst below, once a second; 0 once
//! ```
//!
//! Counters stand in the clear for who carries a packet, so that a relay notices a gap where it arises, and asks before
//! those below it do. The packet behind a gap shows it, and everything is done while that packet passes: no timer, no
//! allocation. What is repeated may be one twentieth of what is sent. A link's peers are trusted with no more than that:
//! whoever asks for what was not sent to it gets nothing.

mod lag;
mod ring;
mod stream;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use self::lag::Lag;
pub use self::ring::RECENT_MAX;
use self::ring::{Name, Ring};
use self::stream::Stream;
use crate::packet::{CaptureTime, MediaPacket, SourceIndex, TreeId};

/// The first byte of a request for lost packets.
pub const REQUEST_KIND: u8 = 0x05;

/// The first byte of a report of loss.
pub const LOSS_KIND: u8 = 0x06;

/// Streams (a source in a tree) whose gaps are watched; of others nothing is asked for.
pub const STREAMS_MAX: usize = 256;

/// Sources whose repaired packets are counted: more than a session has members.
const COUNTED_MAX: usize = 512;

/// Repeats may be one in so many bytes of what is sent.
const BUDGET_ONE_IN: usize = 20;

/// Bytes of repeats that may be saved up: some ten packets of a voice.
const BUDGET_MAX: usize = 1_600;

/// A stream that was silent for so long is forgotten.
const STREAM_LIFE: Duration = Duration::from_secs(30);

/// Bytes of a request: kind, tree, source, counter, bits.
const REQUEST_LEN: usize = 15;

/// Bytes of a report: kind, tree, source, percent.
const LOSS_LEN: usize = 8;

/// What a node has asked for and repeated so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RepairStats {
    /// Requests that it made, each for one packet or several.
    pub asked: u64,
    /// Packets that it asked for and that came.
    pub repaired: u64,
    /// Packets that it repeated for others.
    pub repeated: u64,
    /// Packets that it was asked for and did not repeat: unknown, not theirs, or beyond the budget.
    pub refused: u64,
}

/// A packet that a node carries.
#[derive(Clone, Copy, Debug)]
pub struct Carried<'a, L> {
    /// As it came.
    pub datagram: &'a [u8],
    /// By which link (`None`: from this node itself).
    pub came_by: Option<L>,
    /// How many peers it goes to.
    pub copies: usize,
    /// Whether this node listens to it.
    pub is_heard: bool,
}

/// One node's memory and gaps; `L` names links.
#[derive(Debug)]
pub struct Repair<L> {
    ring: Ring<L>,
    streams: BTreeMap<(TreeId, SourceIndex), Stream<L>>,
    /// How late each source is by each link; whichever tree it comes along.
    lags: BTreeMap<(L, SourceIndex), Lag>,
    /// Packets of each source that were asked for again and came, where they are heard.
    repaired: BTreeMap<SourceIndex, u64>,
    /// Bytes that may be repeated, times [`BUDGET_ONE_IN`].
    budget: usize,
    stats: RepairStats,
}

impl<L: Copy + Ord> Repair<L> {
    /// A node that has carried nothing yet.
    pub fn new() -> Self {
        Self {
            ring: Ring::new(),
            streams: BTreeMap::new(),
            lags: BTreeMap::new(),
            repaired: BTreeMap::new(),
            budget: BUDGET_MAX * BUDGET_ONE_IN,
            stats: RepairStats::default(),
        }
    }

    /// Whether a datagram is for [`on_told`](Self::on_told).
    pub fn is_told(datagram: &[u8]) -> bool {
        matches!(datagram.first(), Some(&(REQUEST_KIND | LOSS_KIND)))
    }

    /// Remembers a packet, notices gaps before it, and asks for what is missing: `tell` is given each datagram for the link
    /// that the packet came by. `false` if the same packet came by the same link before: it need not go anywhere.
    pub fn on_packet(
        &mut self,
        carried: Carried<'_, L>,
        now: Instant,
        tell: &mut dyn FnMut(L, &[u8]),
    ) -> bool {
        let Carried { datagram, came_by, copies, is_heard } = carried;
        let Ok(packet) = MediaPacket::parse(datagram) else { return true };
        if !self.ring.put(&packet, datagram, came_by, now) {
            return false;
        }
        self.budget = (self.budget + datagram.len() * copies).min(BUDGET_MAX * BUDGET_ONE_IN);
        let MediaPacket { tree, source, counter, capture_time, .. } = packet;
        if let Some(link) = came_by {
            self.note_lag(link, source, capture_time, now);
        }
        let Some(stream) = self.stream(tree, source, came_by, counter, now) else { return true };
        let was_asked_for = stream.on_counter(counter, now);
        let (asked, lost) = (stream.ask(now), stream.report(now));
        if was_asked_for {
            self.stats.repaired += 1;
            if is_heard && (self.repaired.len() < COUNTED_MAX || self.repaired.contains_key(&source)) {
                *self.repaired.entry(source).or_default() += 1;
            }
        }
        let Some(link) = came_by else { return true };
        if let Some((first, behind)) = asked {
            self.stats.asked += 1;
            let mut bytes = head::<REQUEST_LEN>(REQUEST_KIND, tree, source);
            bytes[7..13].copy_from_slice(&first.to_be_bytes()[2..]);
            bytes[13..].copy_from_slice(&behind.to_be_bytes());
            tell(link, &bytes);
        }
        if let Some(percent) = lost {
            let mut bytes = head::<LOSS_LEN>(LOSS_KIND, tree, source);
            bytes[7] = percent;
            tell(link, &bytes);
        }
        true
    }

    /// Takes a peer's request or report, and gives `repeat` the packets that are to be sent to it again. `is_sent_to` says
    /// whether what comes along that tree by that link (`None`: from here) is sent to the peer. `false` if the datagram is
    /// neither.
    pub fn on_told(
        &mut self,
        datagram: &[u8],
        now: Instant,
        is_sent_to: impl Fn(TreeId, Option<L>) -> bool,
        repeat: &mut dyn FnMut(&[u8]),
    ) -> bool {
        match *datagram {
            [REQUEST_KIND, t0, t1, t2, t3, s0, s1, c0, c1, c2, c3, c4, c5, b0, b1] => {
                let tree = TreeId(u32::from_be_bytes([t0, t1, t2, t3]));
                let source = SourceIndex(u16::from_be_bytes([s0, s1]));
                let first = u64::from_be_bytes([0, 0, c0, c1, c2, c3, c4, c5]);
                let behind = u16::from_be_bytes([b0, b1]);
                let asked = (0..16).filter(|bit| behind >> bit & 1 == 1).map(|bit| first + 1 + bit);
                for counter in std::iter::once(first).chain(asked) {
                    self.repeat(Name { tree, source, counter }, now, &is_sent_to, repeat);
                }
                true
            }
            [LOSS_KIND, t0, t1, t2, t3, s0, s1, percent] => {
                let tree = TreeId(u32::from_be_bytes([t0, t1, t2, t3]));
                let source = SourceIndex(u16::from_be_bytes([s0, s1]));
                if let Some(stream) = self.streams.get_mut(&(tree, source))
                    && is_sent_to(tree, stream.came_by)
                {
                    stream.on_report(percent, now);
                }
                true
            }
            _ => false,
        }
    }

    /// Gives `repeat` what has come along a tree since then and by links (`None`: from here) for which `is_sent_to` holds: for a
    /// peer that is sent it from now on and has missed the beginning. No budget bounds that but the caller's.
    pub fn replay(
        &self,
        tree: TreeId,
        since: Instant,
        is_sent_to: impl Fn(Option<L>) -> bool,
        repeat: &mut dyn FnMut(&[u8]),
    ) {
        let known = self.ring.since(tree, since).filter(|(came_by, _)| is_sent_to(*came_by));
        known.for_each(|(_, packet)| repeat(packet));
    }

    /// The share of this node's own packets that the worst of its listeners misses, percent; `None` while nobody has
    /// said anything.
    pub fn own_loss(&self, now: Instant) -> Option<u8> {
        let own = self.streams.values().filter(|stream| stream.came_by.is_none());
        own.filter_map(|stream| stream.loss_below(now)).max()
    }

    /// By how much what has come by each link is later than the quickest of it did lately come: of each source the quickest
    /// packet since the last call. Where all sources are late, they have waited on that link, or on one that they share
    /// before it.
    pub fn take_lags(&mut self, now: Instant, told: &mut dyn FnMut(L, Duration)) {
        self.lags.retain(|_, lag| now.saturating_duration_since(lag.heard_at) < STREAM_LIFE);
        for ((link, _), lag) in &mut self.lags {
            if let Some(lag) = lag.take() {
                told(*link, lag);
            }
        }
    }

    /// Packets of a source that were asked for again, came, and were heard here.
    pub fn repaired(&self, source: SourceIndex) -> u64 {
        self.repaired.get(&source).copied().unwrap_or(0)
    }

    /// What has been asked for and repeated so far.
    pub fn stats(&self) -> RepairStats {
        self.stats
    }

    fn note_lag(&mut self, link: L, source: SourceIndex, captured: CaptureTime, now: Instant) {
        if self.lags.len() < STREAMS_MAX || self.lags.contains_key(&(link, source)) {
            let lag = self.lags.entry((link, source));
            lag.or_insert_with(|| Lag::new(captured, now)).note(captured, now);
        }
    }

    /// Repeats a packet if it is known, the peer was sent it, and the budget allows.
    fn repeat(
        &mut self,
        name: Name,
        now: Instant,
        is_sent_to: &impl Fn(TreeId, Option<L>) -> bool,
        repeat: &mut dyn FnMut(&[u8]),
    ) {
        let known = self.ring.get(name, now).filter(|(came_by, _)| is_sent_to(name.tree, *came_by));
        match known.filter(|(_, packet)| packet.len() * BUDGET_ONE_IN <= self.budget) {
            Some((_, packet)) => {
                self.budget -= packet.len() * BUDGET_ONE_IN;
                self.stats.repeated += 1;
                repeat(packet);
            }
            None => self.stats.refused += 1,
        }
    }

    /// The stream that a packet belongs to; its first packet makes it.
    fn stream(
        &mut self,
        tree: TreeId,
        source: SourceIndex,
        came_by: Option<L>,
        counter: u64,
        now: Instant,
    ) -> Option<&mut Stream<L>> {
        let key = (tree, source);
        if self.streams.len() >= STREAMS_MAX && !self.streams.contains_key(&key) {
            self.streams.retain(|_, stream| now.saturating_duration_since(stream.heard_at) < STREAM_LIFE);
            if self.streams.len() >= STREAMS_MAX {
                return None;
            }
        }
        let fresh = || Stream::new(came_by, counter, now);
        let stream = self.streams.entry(key).or_insert_with(fresh);
        if stream.came_by != came_by {
            *stream = fresh();
        }
        Some(stream)
    }
}

impl<L: Copy + Ord> Default for Repair<L> {
    fn default() -> Self {
        Self::new()
    }
}

fn head<const N: usize>(kind: u8, tree: TreeId, source: SourceIndex) -> [u8; N] {
    let mut bytes = [0; N];
    bytes[0] = kind;
    bytes[1..5].copy_from_slice(&tree.0.to_be_bytes());
    bytes[5..7].copy_from_slice(&source.0.to_be_bytes());
    bytes
}

#[cfg(test)]
mod tests;
