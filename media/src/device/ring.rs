//! Where a sound card's clock meets the conference's.
//!
//! The card's callback and the conference each have an end of a ring of samples at the card's rate. Their
//! clocks are never quite alike, so the ring slowly fills or drains: when it has been fuller than it need be
//! for a while, samples are dropped; when it runs out, silence is played until it has filled to its working
//! level again, which is higher from then on. The callback's ends take no lock and allocate nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rtrb::{Consumer, Producer, RingBuffer};
use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{Async, FixedAsync, Resampler, SincInterpolationParameters, WindowFunction};

use crate::SAMPLE_RATE;

/// What a ring holds at most, in milliseconds.
const RING_MS_MAX: usize = 500;

/// What is left in a ring after a draw when all goes well, in milliseconds: a card's blocks are 10 or 20 ms,
/// and threads wake late.
const MARGIN_MS: usize = 25;

/// How much the margin grows each time that a ring runs out, in milliseconds.
const MARGIN_MS_STEP: usize = 10;

/// What the margin grows to, in milliseconds.
const MARGIN_MS_MAX: usize = 150;

/// So long without running out, in milliseconds, and a margin that has grown is taken back by a step.
const CALM_MS: f64 = 60_000.0;

/// What is passed on at a time where rates are the same: 2.5 ms.
const STEP: usize = 120;

/// How far above the margin a ring may stay, in milliseconds; beyond that samples are dropped.
const SURPLUS_MS: usize = 20;

/// How long the level must not have fallen below that, in milliseconds.
const WATCH_MS: usize = 2_000;

/// The filter's length: steep enough for speech and music, and 1.4 ms long.
const SINC_LENGTH: usize = 64;

/// A ring from a card of that rate to the conference.
pub(super) fn from_card(rate: u32) -> (CardSink, FromCard) {
    let (producer, consumer) = RingBuffer::new(samples(rate, RING_MS_MAX));
    let resampler = Resample::new(rate, SAMPLE_RATE);
    let level = Level::new(rate);
    (
        CardSink { producer },
        FromCard { consumer, resampler, level, ready: Vec::new(), filled: false, gaps: 0 },
    )
}

/// A ring from the conference to a card of that rate.
pub(super) fn to_card(rate: u32) -> (ToCard, CardSource) {
    let (producer, consumer) = RingBuffer::new(samples(rate, RING_MS_MAX));
    let resampler = Resample::new(SAMPLE_RATE, rate);
    let level = Level::new(rate);
    let shared = Arc::new(Shared::default());
    let source = CardSource { consumer, shared: Arc::clone(&shared), filled: false };
    (ToCard { producer, resampler, level, shared, ran_out: 0, ready: Vec::new(), skip: 0 }, source)
}

fn samples(rate: u32, ms: usize) -> usize {
    rate as usize * ms / 1_000
}

/// The microphone callback's end.
pub(super) struct CardSink {
    producer: Producer<f32>,
}

impl CardSink {
    /// Takes one sample; dropped if nobody has drawn any for long.
    pub(super) fn put(&mut self, sample: f32) {
        let _ = self.producer.push(sample);
    }
}

/// What the two ends of a loudspeaker's ring tell each other.
#[derive(Default)]
struct Shared {
    /// The level that the ring is to be filled to before it is drawn from, in samples.
    level: AtomicUsize,
    /// How often it has run out.
    ran_out: AtomicUsize,
}

/// The loudspeaker callback's end.
pub(super) struct CardSource {
    consumer: Consumer<f32>,
    shared: Arc<Shared>,
    filled: bool,
}

impl CardSource {
    /// To be called before a block of samples is drawn.
    pub(super) fn begin(&mut self) {
        let waiting = self.consumer.slots();
        self.filled |= waiting > 0 && waiting >= self.shared.level.load(Ordering::Relaxed);
    }

    /// One sample; silence until the ring has filled.
    pub(super) fn take(&mut self) -> f32 {
        if !self.filled {
            return 0.0;
        }
        self.consumer.pop().unwrap_or_else(|_| {
            self.filled = false;
            self.shared.ran_out.fetch_add(1, Ordering::Relaxed);
            0.0
        })
    }
}

/// The conference's end of a microphone's ring.
pub(super) struct FromCard {
    consumer: Consumer<f32>,
    resampler: Resample,
    level: Level,
    ready: Vec<f32>,
    filled: bool,
    gaps: u64,
}

impl FromCard {
    /// How often the ring has run out.
    pub(super) fn gaps(&self) -> u64 {
        self.gaps
    }

    /// Fills `out` at 48 kHz; silence for what is not there.
    pub(super) fn read(&mut self, out: &mut [f32]) {
        let waiting = self.consumer.slots();
        self.filled |= waiting >= self.level.filled(out.len());
        while self.filled && self.ready.len() < out.len() {
            let block = self.resampler.block();
            let Ok(chunk) = self.consumer.read_chunk(block.len()) else {
                self.filled = false;
                self.gaps += 1;
                self.level.grow();
                break;
            };
            let (head, tail) = chunk.as_slices();
            block[..head.len()].copy_from_slice(head);
            block[head.len()..].copy_from_slice(tail);
            chunk.commit_all();
            self.resampler.run(&mut self.ready);
        }
        let length = out.len().min(self.ready.len());
        out[..length].copy_from_slice(&self.ready[..length]);
        out[length..].fill(0.0);
        self.ready.drain(..length);
        let surplus = self.level.watch(self.consumer.slots(), out.len());
        if let Ok(chunk) = self.consumer.read_chunk(surplus) {
            chunk.commit_all();
        }
    }
}

/// The conference's end of a loudspeaker's ring.
pub(super) struct ToCard {
    producer: Producer<f32>,
    resampler: Resample,
    level: Level,
    shared: Arc<Shared>,
    ran_out: usize,
    ready: Vec<f32>,
    skip: usize,
}

impl ToCard {
    /// How often the ring has run out.
    pub(super) fn gaps(&self) -> u64 {
        self.ran_out as u64
    }

    /// Takes samples at 48 kHz; drops what the card does not keep up with.
    pub(super) fn write(&mut self, pcm: &[f32]) {
        let waiting = self.producer.buffer().capacity() - self.producer.slots();
        let ran_out = self.shared.ran_out.load(Ordering::Relaxed);
        if ran_out != std::mem::replace(&mut self.ran_out, ran_out) {
            self.level.grow();
        }
        self.shared.level.store(self.level.filled(pcm.len()), Ordering::Relaxed);
        self.skip += self.level.watch(waiting, pcm.len());
        for &sample in pcm {
            self.resampler.put(sample, &mut self.ready);
        }
        let skipped = self.skip.min(self.ready.len());
        self.skip -= skipped;
        let _ = self.producer.push_partial_slice(&self.ready[skipped..]);
        self.ready.clear();
    }
}

/// Watches how full a ring stays.
struct Level {
    rate: u32,
    margin_ms: usize,
    least: usize,
    watched_ms: f64,
    calm_ms: f64,
}

impl Level {
    fn new(rate: u32) -> Self {
        Self { rate, margin_ms: MARGIN_MS, least: usize::MAX, watched_ms: 0.0, calm_ms: 0.0 }
    }

    /// Samples to wait for before the ring is drawn from, `frame` 48 kHz samples at a time.
    fn filled(&self, frame: usize) -> usize {
        samples(self.rate, self.margin_ms) + frame * self.rate as usize / SAMPLE_RATE as usize
    }

    /// The ring ran out.
    fn grow(&mut self) {
        self.margin_ms = (self.margin_ms + MARGIN_MS_STEP).min(MARGIN_MS_MAX);
        (self.least, self.watched_ms, self.calm_ms) = (usize::MAX, 0.0, 0.0);
    }

    /// Notes the level at its lowest, once for each frame of that many 48 kHz samples; returns how many
    /// samples are too many.
    fn watch(&mut self, level: usize, frame: usize) -> usize {
        self.least = self.least.min(level);
        self.watched_ms += frame as f64 / 48.0;
        if self.watched_ms < WATCH_MS as f64 {
            return 0;
        }
        self.calm_ms += self.watched_ms;
        self.watched_ms = 0.0;
        if self.calm_ms >= CALM_MS {
            self.calm_ms = 0.0;
            self.margin_ms = self.margin_ms.saturating_sub(MARGIN_MS_STEP).max(MARGIN_MS);
        }
        let least = std::mem::replace(&mut self.least, usize::MAX);
        let margin = samples(self.rate, self.margin_ms);
        if least > margin + samples(self.rate, SURPLUS_MS) { least - margin } else { 0 }
    }
}

/// A stream's rate conversion, in blocks of 10 ms; none, and no such blocks, if the rates are the same.
struct Resample {
    inner: Option<Async<f32>>,
    block: Vec<f32>,
    filled: usize,
    out: Vec<f32>,
}

impl Resample {
    fn new(from: u32, to: u32) -> Self {
        // Only a conversion needs blocks; without one they would be a delay.
        let block = samples(from, 10).max(1).min(if from == to { STEP } else { usize::MAX });
        let inner = (from != to).then(|| {
            let parameters = SincInterpolationParameters::new(SINC_LENGTH, WindowFunction::BlackmanHarris2);
            let ratio = f64::from(to) / f64::from(from);
            Async::new_sinc(ratio, 1.0, &parameters, block, 1, FixedAsync::Input)
                .expect("a finite ratio above zero and a block that is not empty")
        });
        let out = inner.as_ref().map_or(0, Async::output_frames_max);
        Self { inner, block: vec![0.0; block], filled: 0, out: vec![0.0; out] }
    }

    /// The block to fill before [`Resample::run`].
    fn block(&mut self) -> &mut [f32] {
        &mut self.block
    }

    fn put(&mut self, sample: f32, out: &mut Vec<f32>) {
        self.block[self.filled] = sample;
        self.filled += 1;
        if self.filled == self.block.len() {
            self.filled = 0;
            self.run(out);
        }
    }

    fn run(&mut self, out: &mut Vec<f32>) {
        let Some(inner) = &mut self.inner else {
            out.extend_from_slice(&self.block);
            return;
        };
        let (length, room) = (self.block.len(), self.out.len());
        let from = InterleavedSlice::new(&self.block, 1, length).expect("one channel of its own length");
        let mut to =
            InterleavedSlice::new_mut(&mut self.out, 1, room).expect("one channel of its own length");
        let (_, made) = inner
            .process_into_buffer(&from, &mut to, None)
            .expect("a whole block in, and room for the most that comes out");
        out.extend_from_slice(&self.out[..made]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::level_at;

    fn sine(rate: f64, at: usize) -> f32 {
        ((at as f64 * std::f64::consts::TAU * 440.0 / rate).sin() * 0.5) as f32
    }

    /// Runs both ends for that long, the card's clock off by `drift`; returns the last second's samples.
    fn capture(rate: u32, drift: f64, seconds: u32) -> Vec<f32> {
        let (mut sink, mut ring) = from_card(rate);
        let (mut put, mut heard) = (0, Vec::new());
        for frame in 0..seconds * 50 {
            let until = f64::from(frame + 1) * 0.02 * f64::from(rate) * (1.0 + drift);
            while (put as f64) < until {
                sink.put(sine(rate.into(), put));
                put += 1;
            }
            let mut out = [0.0; 960];
            ring.read(&mut out);
            heard.extend(out);
        }
        heard.split_off(heard.len() - 48_000)
    }

    fn playback(rate: u32, drift: f64, seconds: u32) -> Vec<f32> {
        let (mut ring, mut source) = to_card(rate);
        let (mut at, mut taken, mut heard) = (0, 0.0, Vec::new());
        for frame in 0..seconds * 50 {
            let pcm: Vec<f32> = (at..at + 960).map(|at| sine(48_000.0, at)).collect();
            at += 960;
            ring.write(&pcm);
            let until = f64::from(frame + 1) * 0.02 * f64::from(rate) * (1.0 + drift);
            source.begin();
            while taken < until {
                heard.push(source.take());
                taken += 1.0;
            }
        }
        heard.split_off(heard.len() - rate as usize)
    }

    #[test]
    fn a_margin_that_has_grown_is_taken_back_in_calm() {
        let mut level = Level::new(48_000);
        let start = level.filled(240);
        (0..3).for_each(|_| level.grow());
        assert_eq!(level.filled(240), start + samples(48_000, 3 * MARGIN_MS_STEP));
        let frames = |seconds: usize| seconds * 200;
        (0..frames(59)).for_each(|_| assert_eq!(level.watch(0, 240), 0));
        assert_eq!(level.filled(240), start + samples(48_000, 3 * MARGIN_MS_STEP));
        (0..frames(200)).for_each(|_| assert_eq!(level.watch(0, 240), 0));
        assert_eq!(level.filled(240), start);
    }

    fn quiet_runs(pcm: &[f32]) -> usize {
        pcm.chunks(120).filter(|block| block.iter().all(|sample| *sample == 0.0)).count()
    }

    #[test]
    fn any_rate_becomes_48_khz_and_back() {
        for rate in [8_000, 16_000, 44_100, 48_000, 96_000] {
            let heard = capture(rate, 0.0, 2);
            assert!((level_at(440.0, &heard) - 0.5).abs() < 0.01, "{rate} {}", level_at(440.0, &heard));
            assert_eq!(quiet_runs(&heard), 0);
            let played = playback(rate, 0.0, 2);
            let level = level_at(440.0 * 48_000.0 / rate as f32, &played);
            assert!((level - 0.5).abs() < 0.01, "{rate} {level}");
        }
    }

    #[test]
    fn clocks_that_drift_apart_cost_little() {
        for drift in [0.002, -0.002] {
            // A piece of 100 ms is whole in most seconds: an adjustment comes every 10 s or so.
            for heard in [capture(48_000, drift, 60), playback(48_000, drift, 60)] {
                let whole = heard.chunks(4_800).filter(|piece| (level_at(440.0, piece) - 0.5).abs() < 0.02);
                assert!(whole.count() >= 8, "{drift}");
            }
        }
    }

    #[test]
    fn levels_stay_bounded() {
        let (mut sink, mut ring) = from_card(48_000);
        (0..100_000).for_each(|at| sink.put(sine(48_000.0, at)));
        let mut out = [0.0; 960];
        // A full ring (the conference was busy) drains to its working level.
        for at in 0..400 {
            (0..960).for_each(|sample| sink.put(sine(48_000.0, at * 960 + sample)));
            ring.read(&mut out);
        }
        assert!(
            ring.consumer.slots() <= samples(48_000, MARGIN_MS + SURPLUS_MS),
            "{}",
            ring.consumer.slots()
        );
        // An empty one is silence, and fills before it is drawn from again.
        (0..20).for_each(|_| ring.read(&mut out));
        assert_eq!((out, ring.gaps()), ([0.0; 960], 1), "run out once, however long");
    }

    #[test]
    fn a_card_that_gets_nothing_has_run_out_once() {
        let (mut ring, mut source) = to_card(48_000);
        let mut take = |samples: usize| {
            source.begin();
            assert_eq!((0..samples).map(|_| source.take()).count(), samples);
        };
        (0..50).for_each(|_| {
            ring.write(&[0.5; 960]);
            take(960);
        });
        assert_eq!(ring.gaps(), 0);
        take(48_000);
        ring.write(&[0.5; 960]);
        assert_eq!(ring.gaps(), 1);
    }
}
