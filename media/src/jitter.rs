//! The jitter buffer of one source: packets come in as the network has them, frames leave as the ear needs
//! them. Late is lost.
//!
//! The buffer aims at a delay that covers nearly all of the spread of arrivals (see `transit`). It moves there by having
//! frames played a little longer or shorter ([`Pull::Frame`]), at once when packets come late and after a while without
//! need when they do not; between talk spurts it moves for nothing. The same moves absorb clocks that drift apart. When
//! nothing comes, some sound is made up without moving on, which deepens the buffer as well; then there is silence, and
//! the next packet starts as the first one did.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::codec::{FrameLength, carries_previous, is_pause};
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

/// How long there may be comfort noise without a packet, in milliseconds: who pauses says so anew every 400.
const PAUSE_MS_MAX: f64 = 2_000.0;

/// On top of the spread: what a tick of the player may come early, in milliseconds.
const MARGIN_MS: f64 = 1.5;

/// How far below its aim the delay must be before frames are lengthened, in milliseconds.
const SHORT_MS: f64 = 1.0;

/// How far above its aim the delay must be, for [`PATIENCE`], before frames are shortened, in milliseconds: what
/// lengthening by a period of a voice may overshoot.
const DEEP_MS: f64 = 5.0;

/// See [`DEEP_MS`].
const PATIENCE: Duration = Duration::from_millis(500);

/// A delay that much above its aim (a stall let go) is taken back at once, in milliseconds.
const TOO_DEEP_MS: f64 = 40.0;

/// So much above its aim there is no conversation until it is taken back: two frames are played in the time of one, ms.
pub const FAR_TOO_DEEP_MS: f64 = 100.0;

/// Two frames lost within that time: the path loses packets, and their repeats are worth waiting for.
const LOSSY_WITHIN: Duration = Duration::from_secs(5);

/// How long that is believed without another loss.
const LOSSY_FOR: Duration = Duration::from_secs(30);

/// What is made up in one go while nothing comes: less would cost more, more would wait longer than need be.
const DRY_SAMPLES: usize = 480;

/// Fewer slots than this say little about the spread; until then the starting delay is kept. 1 s.
const SLOTS_MIN: usize = 50;

/// The longest outage whose frames are counted as lost, in packets. A counter that jumps further did not
/// count what it skipped.
const OUTAGE_MAX: u64 = 3_000;

/// Packets in a row from behind the buffer's reach after which it believes that the source counts anew.
const RESTART_AFTER: u32 = 3;

/// What to play next.
#[derive(Clone, Debug, PartialEq)]
pub enum Pull {
    /// Decode this payload and play it by so many milliseconds longer (shorter, if negative), or about so many.
    Frame(Bytes, f64),
    /// The frame is lost. This is the payload after it, which repeats it; it will be pulled next.
    Recover(Bytes),
    /// The frame is lost or late: play so many samples of what it may have been.
    Conceal(usize),
    /// There is nothing to play for so many samples.
    Silence(usize),
    /// The source has said that it pauses, for so many samples (a multiple of 2.5 ms) at least: there may be comfort
    /// noise.
    Pause(usize),
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
    frame: FrameLength,
    frame_ms: f64,
    packets: BTreeMap<u64, Packet>,
    phase: Phase,
    /// The counter of the next frame to play.
    next: u64,
    /// While filling: what lies below was played or given up before.
    floor: u64,
    /// When the frame to play was captured if the source made no pause, ms.
    expected_ms: Option<f64>,
    /// The last payload that was played said that a pause begins.
    pausing: bool,
    /// Time played without moving on since the last frame that was there, ms.
    stretched_ms: f64,
    /// Lost time that was not yet played as silence, ms.
    owed_ms: f64,
    /// The furthest that was pulled ahead, ms.
    lead_ms: f64,
    transit: Transit,
    /// When a frame was last missing, and whether more will be.
    lost_at: Option<Instant>,
    is_lossy: bool,
    /// Since when the delay has been above its aim.
    deep_since: Option<Instant>,
    /// Frames are being lengthened or shortened until the aim is reached.
    moving: bool,
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
            frame,
            frame_ms: frame.ms(),
            packets: BTreeMap::new(),
            phase: Phase::Idle,
            next: 0,
            floor: 0,
            expected_ms: None,
            pausing: false,
            stretched_ms: 0.0,
            owed_ms: 0.0,
            lead_ms: 0.0,
            transit: Transit::default(),
            lost_at: None,
            is_lossy: false,
            deep_since: None,
            moving: false,
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

    /// A packet that was taken before has come again, along another tree: the buffer aims to cover that way too, which carries
    /// on alone when the quicker one dies.
    pub fn push_again(&mut self, capture_time: CaptureTime, now: Instant) {
        if self.phase != Phase::Idle {
            self.transit.measure_again(capture_time, now);
        }
    }

    /// What to play after what has been pulled before, which is played until `ahead` from now.
    pub fn pull(&mut self, now: Instant, ahead: Duration) -> Pull {
        self.is_lossy &= self.lost_at.is_some_and(|at| now.saturating_duration_since(at) < LOSSY_FOR);
        match self.phase {
            Phase::Idle => return Pull::Silence(self.frame.samples()),
            Phase::Filling => {
                let early_ms = self.early_ms(now + ahead);
                if early_ms > 0.0 {
                    return self.silence(early_ms);
                }
                self.catch_up(now);
                self.phase = Phase::Playing;
            }
            Phase::Playing | Phase::Dry(_) => {}
        }
        self.pull_playing(now, ahead)
    }

    /// True while there is nothing but silence until a packet comes: then [`rest`](Self::rest) does as well as pulling.
    pub fn is_at_rest(&self) -> bool {
        let most_ms = if self.pausing { PAUSE_MS_MAX } else { CONCEAL_MS_MAX };
        match self.phase {
            Phase::Idle => true,
            Phase::Dry(ms) => self.packets.is_empty() && ms >= most_ms,
            Phase::Filling | Phase::Playing => false,
        }
    }

    /// So many samples of silence have been played.
    pub fn rest(&mut self, samples: usize) {
        if let Phase::Dry(ms) = &mut self.phase {
            *ms += samples as f64 / SAMPLES_PER_MS;
        }
    }

    /// The payload after the one that was pulled last, if it is there and more wait behind it: for who wants to shorten
    /// frames that are too short to find a period in, or by more than a frame ([`FAR_TOO_DEEP_MS`]).
    pub fn take_following(&mut self) -> Option<Bytes> {
        let (&first, _) = self.packets.first_key_value()?;
        (self.phase == Phase::Playing && first == self.next && self.packets.len() > 1)
            .then(|| self.take_next())
    }

    /// What has happened so far.
    pub fn stats(&self) -> JitterStats {
        JitterStats { jitter_ms: self.transit.jitter_ms(), ..self.stats }
    }

    /// [`JitterStats::concealed_ms`] alone.
    pub fn concealed_ms(&self) -> f64 {
        self.stats.concealed_ms
    }

    /// The delay that the buffer aims at, in milliseconds: how long after the quickest packet's arrival a frame is pulled.
    pub fn target_ms(&self) -> f64 {
        let start = if self.transit.len() < SLOTS_MIN { TARGET_MS_START } else { 0.0 };
        let most = TARGET_MS_MAX.min(self.frame_ms * BUFFER_MAX as f64 / 2.0);
        // The packet after a lost one brings it back if there is time to wait for it.
        let next = if self.is_lossy { self.frame_ms + self.transit.usual_ms() } else { 0.0 };
        (self.transit.spread_ms().max(next) + MARGIN_MS).max(start).min(most)
    }

    /// For how long playing should not yet begin, ms.
    fn early_ms(&self, now: Instant) -> f64 {
        let Some(packet) = self.packets.values().next() else { return self.frame_ms };
        self.target_ms() - self.transit.delay_ms(packet.capture_ms, now)
    }

    /// Silence of that length, but no longer than a frame, and no shorter than a sample.
    fn silence(&mut self, ms: f64) -> Pull {
        let step = if self.pausing { PAUSE_STEP } else { 1 };
        let samples =
            ((ms * SAMPLES_PER_MS).ceil() as usize).next_multiple_of(step).clamp(1, self.frame.samples());
        self.settle(samples as f64 / SAMPLES_PER_MS);
        if self.pausing { Pull::Pause(samples) } else { Pull::Silence(samples) }
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

    fn pull_playing(&mut self, now: Instant, ahead: Duration) -> Pull {
        let Some((&first, packet)) = self.packets.first_key_value() else { return self.run_dry() };
        let capture_ms = packet.capture_ms;
        if first > self.next && self.stretched_ms > 0.0 {
            // What was played without moving on stood for frames that will not come.
            let skipped = ((self.stretched_ms / self.frame_ms).round() as u64).min(first - self.next);
            self.next += skipped;
            self.stats.lost += skipped;
            self.stretched_ms = 0.0;
        }
        self.phase = Phase::Playing;
        if first > self.next {
            self.next += 1;
            self.stats.lost += 1;
            self.expected_ms = None;
            let last = self.lost_at.replace(now);
            self.is_lossy |= last.is_some_and(|at| now.saturating_duration_since(at) < LOSSY_WITHIN);
            let payload = &self.packets[&first].payload;
            if first == self.next && carries_previous(payload) {
                self.stats.recovered += 1;
                return Pull::Recover(payload.clone());
            }
            return self.conceal(self.frame.samples());
        }
        self.stretched_ms = 0.0;
        if self.expected_ms.is_some_and(|expected| capture_ms > expected + self.frame_ms / 2.0) {
            // The source has paused: what is too early now is no reason to hurry, and the aim is met for nothing.
            let early_ms = self.early_ms(now + ahead);
            if early_ms > 0.0 {
                return self.silence(early_ms);
            }
        }
        let delay_ms = self.transit.delay_ms(capture_ms, now);
        let ahead_ms = ahead.as_secs_f64() * 1_000.0;
        self.lead_ms = self.lead_ms.max(ahead_ms);
        self.stats.buffer_ms = (delay_ms + ahead_ms).max(0.0);
        let change_ms = self.change_ms(delay_ms, ahead_ms, now);
        Pull::Frame(self.take_next(), change_ms)
    }

    fn take_next(&mut self) -> Bytes {
        let packet = self.packets.remove(&self.next).expect("the caller has seen that it is there");
        self.next += 1;
        self.expected_ms = Some(packet.capture_ms + self.frame_ms);
        self.pausing = is_pause(&packet.payload);
        packet.payload
    }

    fn conceal(&mut self, samples: usize) -> Pull {
        self.stats.concealed_ms += samples as f64 / SAMPLES_PER_MS;
        Pull::Conceal(samples)
    }

    fn run_dry(&mut self) -> Pull {
        self.deep_since = None;
        self.moving = false;
        let dry_ms = if let Phase::Dry(ms) = self.phase { ms } else { 0.0 };
        // Nothing is missing in a pause: there is nothing to conceal.
        let dry_ms = if self.pausing { dry_ms.max(CONCEAL_MS_MAX) } else { dry_ms };
        let samples = self.frame.samples().min(DRY_SAMPLES);
        let ms = samples as f64 / SAMPLES_PER_MS;
        self.phase = Phase::Dry(dry_ms + ms);
        if dry_ms >= CONCEAL_MS_MAX {
            return if self.pausing { Pull::Pause(samples) } else { Pull::Silence(samples) };
        }
        self.stretched_ms += ms;
        self.conceal(samples)
    }

    /// By how much to play a frame longer or shorter whose delay is that now, and that is played `ahead_ms` later.
    fn change_ms(&mut self, delay_ms: f64, ahead_ms: f64, now: Instant) -> f64 {
        let mut over_ms = delay_ms - self.target_ms();
        if over_ms >= 0.0 {
            // Who draws more than a frame at once pulls what follows now as well, and must find it.
            over_ms = (over_ms - (self.lead_ms - ahead_ms)).max(0.0);
        }
        if over_ms < 0.0 {
            self.deep_since = None;
            // One that shortens has arrived; one that lengthens goes on.
            self.moving = over_ms < -SHORT_MS;
            return if self.moving { -over_ms } else { 0.0 };
        }
        if over_ms < DEEP_MS && !(self.moving && self.deep_since.is_some()) {
            self.deep_since = None;
            self.moving = false;
            return 0.0;
        }
        let since = *self.deep_since.get_or_insert(now);
        self.moving |= over_ms > TOO_DEEP_MS || now.saturating_duration_since(since) >= PATIENCE;
        if self.moving { -over_ms } else { 0.0 }
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
        (self.stretched_ms, self.owed_ms) = (0.0, 0.0);
        (self.expected_ms, self.deep_since, self.moving, self.pausing) = (None, None, false, false);
    }

    /// A packet after silence, or from beyond the buffer's reach: a pause of the source's if its counter
    /// went on without a gap, an outage otherwise. Playing begins anew.
    fn resume(&mut self, counter: u64) {
        let missed = counter.saturating_sub(self.next);
        self.floor = if missed <= OUTAGE_MAX { self.next.min(counter) } else { counter };
        if missed <= OUTAGE_MAX {
            self.stats.lost += missed;
            let silent_ms = match self.phase {
                Phase::Dry(ms) if self.pausing => ms.min(CONCEAL_MS_MAX),
                Phase::Dry(ms) => ms,
                Phase::Idle | Phase::Filling | Phase::Playing => 0.0,
            };
            let played_ms = silent_ms.min(CONCEAL_MS_MAX);
            self.owed_ms = (missed as f64 * self.frame_ms - played_ms).max(0.0);
            self.settle(silent_ms - played_ms);
        }
        self.next = counter;
        self.stretched_ms = 0.0;
        (self.expected_ms, self.deep_since, self.moving) = (None, None, false);
        self.phase = Phase::Filling;
    }
}

/// What a decoder makes up is a multiple of this, samples: 2.5 ms.
const PAUSE_STEP: usize = 120;

/// Samples in a millisecond.
const SAMPLES_PER_MS: f64 = 48.0;
