//! The jitter buffer of one source: packets come in as the network has them, frames leave as the ear needs
//! them. Late is lost.
//!
//! Arrival less capture time, relative to the least seen lately, is how late a packet is. The buffer aims
//! at a delay that covers nearly all of that spread: it grows within some packets when they come late, and
//! shrinks by one frame at a time after a while without need. Growing plays a concealed frame without
//! moving on; shrinking plays two frames in the time of one ([`Pull::Merge`]). The same two moves absorb
//! clocks that drift apart. When nothing comes any more, some frames are concealed (the decoder fades),
//! then there is silence, and the next packet starts as the first one did.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::codec::{FrameLength, carries_previous};
use crate::packet::CaptureTime;
use crate::transit::Transit;

/// The most packets that wait. At 20 ms: 2 s.
pub const BUFFER_MAX: usize = 100;

/// The longest delay that the buffer aims at, in milliseconds.
pub const TARGET_MS_MAX: f64 = 400.0;

/// The delay that the buffer starts with, in milliseconds.
pub const TARGET_MS_START: f64 = 40.0;

/// How long nothing but concealment is played before there is silence, in milliseconds. Beyond that a
/// decoder only repeats itself.
pub const CONCEAL_MS_MAX: f64 = 100.0;

/// How long the buffer must have been deeper than needed before it shrinks by a frame.
const SHRINK_AFTER: Duration = Duration::from_secs(1);

/// The least time between two frames that are inserted to grow.
const GROW_INTERVAL: Duration = Duration::from_millis(100);

/// Fewer packets than this say little about the spread; until then the starting delay is kept.
const TRANSITS_MIN: usize = 50;

/// The longest outage whose frames are counted as lost, in packets. A counter that jumps further did not
/// count what it skipped.
const OUTAGE_MAX: u64 = 3_000;

/// Packets in a row from behind the buffer's reach after which it believes that the source counts anew.
const RESTART_AFTER: u32 = 3;

/// What to play for the next frame's time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pull {
    /// Decode this payload.
    Frame(Bytes),
    /// Decode both payloads, one after the other, and play them in the time of one: the buffer shrinks.
    Merge(Bytes, Bytes),
    /// The frame is lost. This is the payload after it, which repeats it; it will be pulled next.
    Recover(Bytes),
    /// The frame is lost or late: play what it may have been.
    Conceal,
    /// There is nothing to play.
    Silence,
}

/// What has happened so far. All but the last two only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct JitterStats {
    /// Packets that arrived, late ones and duplicates excluded.
    pub packets: u64,
    /// Frames that were not there when they were to be played; the recovered among them included.
    pub lost: u64,
    /// Lost frames that were played from the repetition in the packet after them.
    pub recovered: u64,
    /// Time that was concealed, or silent amid lost packets, in milliseconds.
    pub concealed_ms: f64,
    /// Packets that came after their frame's time.
    pub late: u64,
    /// Packets that were there already.
    pub duplicates: u64,
    /// How long frames wait at present between the quickest arrival and being played, in milliseconds.
    pub buffer_ms: f64,
    /// Mean deviation of arrival against capture (RFC 3550, section 6.4.1), in milliseconds.
    pub jitter_ms: f64,
}

/// One source's packets between arrival and ear: at most [`BUFFER_MAX`], played in order, each at most once,
/// after a delay that follows the network.
pub struct JitterBuffer {
    frame_ms: f64,
    packets: BTreeMap<u64, Packet>,
    phase: Phase,
    /// The counter of the next frame to play.
    next: u64,
    /// While filling: what lies below was played or given up before.
    floor: u64,
    /// Frames played without moving on since the last frame that was there.
    stretched: u64,
    /// Lost time that was not yet played as silence, ms.
    owed_ms: f64,
    /// The furthest that was pulled ahead, ms.
    lead_ms: f64,
    transit: Transit,
    grow_at: Option<Instant>,
    deep_since: Option<Instant>,
    behind: u32,
    stats: JitterStats,
}

#[derive(Debug)]
struct Packet {
    payload: Bytes,
    /// Capture relative to the origin's, ms.
    capture_ms: f64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Phase {
    /// Nothing to play, and nothing was played before.
    Idle,
    /// Packets have come; playing begins at the target delay.
    Filling,
    /// A frame for every pull.
    Playing,
    /// Playing has run dry for this long, ms.
    Dry(f64),
}

impl JitterBuffer {
    /// A buffer for a source whose packets hold `frame` each.
    pub fn new(frame: FrameLength) -> Self {
        Self {
            frame_ms: frame.ms(),
            packets: BTreeMap::new(),
            phase: Phase::Idle,
            next: 0,
            floor: 0,
            stretched: 0,
            owed_ms: 0.0,
            lead_ms: 0.0,
            transit: Transit::default(),
            grow_at: None,
            deep_since: None,
            behind: 0,
            stats: JitterStats::default(),
        }
    }

    /// Takes a packet that was captured at `capture_time` and arrived at `now`. Packets may come in any
    /// order, late, twice, or with a counter that jumps.
    pub fn push(&mut self, counter: u64, capture_time: CaptureTime, payload: Bytes, now: Instant) {
        if self.phase != Phase::Idle {
            if self.packets.contains_key(&counter) {
                self.stats.duplicates += 1;
                return;
            }
            // While playing has not begun, a packet that was overtaken is not late.
            let passed = if self.phase == Phase::Filling { self.floor } else { self.next };
            if counter < passed {
                self.behind += 1;
                let far = passed - counter > BUFFER_MAX as u64;
                if !far || self.behind < RESTART_AFTER {
                    self.on_late(capture_time, now);
                    return;
                }
                self.restart();
            } else if counter.abs_diff(self.next) > BUFFER_MAX as u64 {
                self.packets.clear();
                self.resume(counter);
            }
        }
        self.behind = 0;
        let capture_ms = self.transit.measure(capture_time, now);
        match self.phase {
            Phase::Idle => {
                (self.next, self.floor) = (counter, counter.saturating_sub(BUFFER_MAX as u64));
                self.phase = Phase::Filling;
            }
            Phase::Dry(ms) if ms >= CONCEAL_MS_MAX => self.resume(counter),
            Phase::Filling if counter < self.next => {
                self.stats.lost = self.stats.lost.saturating_sub(self.next - counter);
                self.next = counter;
            }
            Phase::Filling | Phase::Playing | Phase::Dry(_) => {}
        }
        self.packets.insert(counter, Packet { payload, capture_ms });
        self.stats.packets += 1;
        while self.packets.len() > BUFFER_MAX {
            self.packets.pop_first();
            if let Some((&first, _)) = self.packets.first_key_value() {
                self.stats.lost += 1;
                self.next = first;
            }
        }
    }

    /// What to play for the frame time that begins `ahead` of now; to be called once for each frame time.
    /// Who plays longer frames than the source sends pulls several at once, the later ones ahead of their
    /// time, and the buffer must be deeper by that.
    pub fn pull(&mut self, now: Instant, ahead: Duration) -> Pull {
        self.lead_ms = self.lead_ms.max(ahead.as_secs_f64() * 1_000.0);
        let now = now + ahead;
        match self.phase {
            Phase::Idle => return Pull::Silence,
            Phase::Filling => {
                if !self.is_filled(now) {
                    self.settle(self.frame_ms);
                    return Pull::Silence;
                }
                self.catch_up(now);
                self.phase = Phase::Playing;
            }
            Phase::Playing | Phase::Dry(_) => {}
        }
        let pull = self.pull_playing(now);
        if matches!(pull, Pull::Conceal) {
            self.stats.concealed_ms += self.frame_ms;
        }
        pull
    }

    /// What has happened so far.
    pub fn stats(&self) -> JitterStats {
        JitterStats { jitter_ms: self.transit.jitter_ms(), ..self.stats }
    }

    /// The delay that the buffer aims at, in milliseconds.
    pub fn target_ms(&self) -> f64 {
        // One frame on top: a pull may come just before the packet that it would have liked.
        let start = if self.transit.len() < TRANSITS_MIN { TARGET_MS_START } else { 0.0 };
        let most = TARGET_MS_MAX.min(self.frame_ms * BUFFER_MAX as f64 / 2.0);
        let wanted = self.transit.spread_ms() + self.frame_ms + self.lead_ms;
        wanted.max(start).clamp(self.frame_ms * 1.5, most)
    }

    /// Whether playing may begin. By the clock the delay is reached, or by the packets that wait: a burst
    /// after a stall comes with no clock between.
    fn is_filled(&self, now: Instant) -> bool {
        let Some(packet) = self.packets.values().next() else { return false };
        let held_ms = self.span() as f64 * self.frame_ms;
        // Half a millisecond of grace: timers are no finer.
        self.transit.delay_ms(packet.capture_ms, now) + 0.5 >= self.target_ms() || held_ms > self.target_ms()
    }

    /// Leaves out what waits but is older than need be when playing begins: a stall that lets go.
    fn catch_up(&mut self, now: Instant) {
        while let Some((&first, packet)) = self.packets.first_key_value() {
            self.next = first;
            let delay_ms = self.transit.delay_ms(packet.capture_ms, now);
            if self.packets.len() < 2 || delay_ms <= self.target_ms() + self.frame_ms {
                return;
            }
            self.packets.pop_first();
            self.stats.packets -= 1;
            self.stats.late += 1;
        }
    }

    /// Silence was played for that long; what is owed of it was concealment of lost frames.
    fn settle(&mut self, silent_ms: f64) {
        let concealed_ms = silent_ms.min(self.owed_ms);
        self.owed_ms -= concealed_ms;
        self.stats.concealed_ms += concealed_ms;
    }

    fn pull_playing(&mut self, now: Instant) -> Pull {
        let Some((&first, packet)) = self.packets.first_key_value() else { return self.run_dry() };
        let capture_ms = packet.capture_ms;
        if first > self.next && self.stretched > 0 {
            // What was played without moving on stood for frames that will not come.
            let skipped = self.stretched.min(first - self.next);
            self.next += skipped;
            self.stretched -= skipped;
            self.stats.lost += skipped;
        }
        self.phase = Phase::Playing;
        if first > self.next {
            self.next += 1;
            self.stats.lost += 1;
            let payload = &self.packets[&first].payload;
            if first == self.next && carries_previous(payload) {
                self.stats.recovered += 1;
                return Pull::Recover(payload.clone());
            }
            return Pull::Conceal;
        }
        self.stretched = 0;
        let delay_ms = self.transit.delay_ms(capture_ms, now);
        self.stats.buffer_ms = delay_ms.max(0.0);
        if self.must_grow(delay_ms, now) {
            return Pull::Conceal;
        }
        let merge = self.must_shrink(delay_ms, now);
        let payload = self.take_next();
        // More than these two must wait, or the next pull finds nothing.
        if merge && self.packets.len() >= 2 && self.packets.contains_key(&self.next) {
            self.deep_since = None;
            return Pull::Merge(payload, self.take_next());
        }
        Pull::Frame(payload)
    }

    fn take_next(&mut self) -> Bytes {
        let packet = self.packets.remove(&self.next).expect("the caller has seen that it is there");
        self.next += 1;
        packet.payload
    }

    fn run_dry(&mut self) -> Pull {
        let dry_ms = if let Phase::Dry(ms) = self.phase { ms } else { 0.0 };
        self.phase = Phase::Dry(dry_ms + self.frame_ms);
        self.deep_since = None;
        if dry_ms >= CONCEAL_MS_MAX {
            return Pull::Silence;
        }
        self.stretched += 1;
        Pull::Conceal
    }

    /// A frame is inserted when the delay is short of the target by more than half a frame.
    fn must_grow(&mut self, delay_ms: f64, now: Instant) -> bool {
        let short = delay_ms + self.frame_ms / 2.0 < self.target_ms();
        if !short || self.grow_at.is_some_and(|at| now < at) {
            return false;
        }
        self.grow_at = Some(now + GROW_INTERVAL);
        true
    }

    /// Two frames are merged when the delay was above the target by more than a frame for a while.
    fn must_shrink(&mut self, delay_ms: f64, now: Instant) -> bool {
        if delay_ms < self.target_ms() + self.frame_ms {
            self.deep_since = None;
            return false;
        }
        // A buffer that is far too deep (a stall let go) does not wait.
        let patience =
            if delay_ms > self.target_ms() + 5.0 * self.frame_ms { SHRINK_AFTER / 20 } else { SHRINK_AFTER };
        now.duration_since(*self.deep_since.get_or_insert(now)) >= patience
    }

    /// Frames from the next one to play to the newest that waits.
    fn span(&self) -> u64 {
        self.packets.last_key_value().map_or(0, |(&last, _)| last + 1 - self.next.min(last))
    }

    fn on_late(&mut self, capture_time: CaptureTime, now: Instant) {
        self.stats.late += 1;
        self.transit.measure(capture_time, now);
    }

    /// The counter starts elsewhere: what is known of the source's clock is void.
    fn restart(&mut self) {
        self.packets.clear();
        self.phase = Phase::Idle;
        self.transit = Transit::default();
        (self.stretched, self.owed_ms) = (0, 0.0);
        (self.grow_at, self.deep_since) = (None, None);
    }

    /// A packet after silence, or from beyond the buffer's reach: a pause of the source's if its counter
    /// went on without a gap, an outage otherwise. Playing begins anew.
    fn resume(&mut self, counter: u64) {
        let missed = counter.saturating_sub(self.next);
        self.floor = if missed <= OUTAGE_MAX { self.next.min(counter) } else { counter };
        if missed <= OUTAGE_MAX {
            self.stats.lost += missed;
            let silent_ms = if let Phase::Dry(ms) = self.phase { ms } else { 0.0 };
            let played_ms = silent_ms.min(CONCEAL_MS_MAX);
            self.owed_ms = (missed as f64 * self.frame_ms - played_ms).max(0.0);
            self.settle(silent_ms - played_ms);
        }
        self.next = counter;
        self.stretched = 0;
        self.deep_since = None;
        self.phase = Phase::Filling;
    }
}
