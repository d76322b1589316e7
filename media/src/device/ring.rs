//! Where a sound card's clock meets the conference's.
//!
//! The card's callback and the conference each have an end of a ring of samples at the card's rate. Their
//! clocks are never quite alike, so the ring slowly fills or drains, and the conference's end converts a little faster or
//! more slowly (see `level`): nothing is cut out or put in. When the ring runs out, silence is played until it has
//! filled to its working level again, which is higher from then on. The callback's ends take no lock and allocate nothing.
//!
//! From the card come as many channels as wanted, to the card go two.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rtrb::{Consumer, Producer, RingBuffer};

use super::level::Level;
use super::resample::Resample;
use crate::SAMPLE_RATE;

/// What a ring holds at most, in milliseconds.
const RING_MS_MAX: usize = 500;

/// A sample for the left ear and one for the right.
pub(super) type Both = [f32; 2];

/// A ring from a card of that rate to the conference.
pub(super) fn from_card<const CHANNELS: usize>(rate: u32) -> (CardSink<CHANNELS>, FromCard<CHANNELS>) {
    let (producer, consumer) = RingBuffer::new(samples(rate, RING_MS_MAX));
    let block = Arc::new(AtomicUsize::new(0));
    let ring = FromCard {
        consumer,
        block: Arc::clone(&block),
        resampler: Resample::pulled(rate, SAMPLE_RATE),
        level: Level::new(rate),
        ready: Vec::new(),
        filled: false,
        gaps: 0,
    };
    (CardSink { producer, block }, ring)
}

/// A ring from the conference to a card of that rate.
pub(super) fn to_card(rate: u32) -> (ToCard, CardSource) {
    let (producer, consumer) = RingBuffer::new(samples(rate, RING_MS_MAX));
    let (resampler, level) = (Resample::pushed(SAMPLE_RATE, rate), Level::new(rate));
    let shared = Arc::new(Shared { margin: level.margin().into(), ran_out: 0.into() });
    let source = CardSource { consumer, shared: Arc::clone(&shared), filled: false };
    (ToCard { producer, resampler, level, shared, ran_out: 0, ready: Vec::new(), skip: 0 }, source)
}

fn samples(rate: u32, ms: usize) -> usize {
    rate as usize * ms / 1_000
}

/// Whether a ring holds that much; what is older than that would be delay from the beginning, and is dropped.
fn fill<T>(ring: &mut Consumer<T>, level: usize) -> bool {
    let Some(older) = ring.slots().checked_sub(level) else { return false };
    if let Ok(chunk) = ring.read_chunk(older) {
        chunk.commit_all();
    }
    true
}

/// The microphone callback's end.
pub(super) struct CardSink<const CHANNELS: usize> {
    producer: Producer<[f32; CHANNELS]>,
    block: Arc<AtomicUsize>,
}

impl<const CHANNELS: usize> CardSink<CHANNELS> {
    /// To be called before a block of so many samples is put in.
    pub(super) fn begin(&mut self, block: usize) {
        self.block.store(block, Ordering::Relaxed);
    }

    /// Takes one sample of each channel; dropped if nobody has drawn any for long.
    pub(super) fn put(&mut self, sample: [f32; CHANNELS]) {
        let _ = self.producer.push(sample);
    }
}

/// What the two ends of a loudspeaker's ring tell each other.
struct Shared {
    /// What is to be left when the first block has been drawn, in samples.
    margin: AtomicUsize,
    /// How often it has run out.
    ran_out: AtomicUsize,
}

/// The loudspeaker callback's end.
pub(super) struct CardSource {
    consumer: Consumer<Both>,
    shared: Arc<Shared>,
    filled: bool,
}

impl CardSource {
    /// To be called before a block of so many samples is drawn.
    pub(super) fn begin(&mut self, block: usize) {
        if !self.filled {
            self.filled = fill(&mut self.consumer, self.shared.margin.load(Ordering::Relaxed) + block);
        }
    }

    /// One sample for each ear; silence until the ring has filled.
    pub(super) fn take(&mut self) -> Both {
        if !self.filled {
            return Both::default();
        }
        self.consumer.pop().unwrap_or_else(|_| {
            self.filled = false;
            self.shared.ran_out.fetch_add(1, Ordering::Relaxed);
            Both::default()
        })
    }
}

/// The conference's end of a microphone's ring.
pub(super) struct FromCard<const CHANNELS: usize> {
    consumer: Consumer<[f32; CHANNELS]>,
    /// How many samples the card puts in at a time.
    block: Arc<AtomicUsize>,
    resampler: Resample<CHANNELS>,
    level: Level,
    ready: Vec<[f32; CHANNELS]>,
    filled: bool,
    gaps: u64,
}

impl<const CHANNELS: usize> FromCard<CHANNELS> {
    /// How often the ring has run out.
    pub(super) fn gaps(&self) -> u64 {
        self.gaps
    }

    /// Fills `out` at 48 kHz, the channels by turns; silence for what is not there.
    pub(super) fn read(&mut self, out: &mut [f32]) {
        let (out, _) = out.as_chunks_mut::<CHANNELS>();
        if !self.filled {
            let block = self.block.load(Ordering::Relaxed);
            self.filled = block > 0 && fill(&mut self.consumer, self.level.margin() + block);
        }
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
        out[length..].fill([0.0; CHANNELS]);
        self.ready.drain(..length);
        if !self.filled {
            return;
        }
        if let Some(correction) = self.level.watch(self.consumer.slots(), out.len()) {
            self.resampler.set_haste(correction.haste);
            if let Ok(chunk) = self.consumer.read_chunk(correction.surplus) {
                chunk.commit_all();
            }
        }
    }
}

/// The conference's end of a loudspeaker's ring.
pub(super) struct ToCard {
    producer: Producer<Both>,
    resampler: Resample<2>,
    level: Level,
    shared: Arc<Shared>,
    ran_out: usize,
    ready: Vec<Both>,
    skip: usize,
}

impl ToCard {
    /// How often the ring has run out.
    pub(super) fn gaps(&self) -> u64 {
        self.ran_out as u64
    }

    /// Takes samples at 48 kHz, those for the left ear and the right by turns; drops what the card does not keep up with.
    pub(super) fn write(&mut self, pcm: &[f32]) {
        let (pcm, _) = pcm.as_chunks::<2>();
        let waiting = self.producer.buffer().capacity() - self.producer.slots();
        let ran_out = self.shared.ran_out.load(Ordering::Relaxed);
        if ran_out != std::mem::replace(&mut self.ran_out, ran_out) {
            self.level.grow();
        }
        if let Some(correction) = self.level.watch(waiting, pcm.len()) {
            self.resampler.set_haste(correction.haste);
            self.skip = correction.surplus;
        }
        self.shared.margin.store(self.level.margin(), Ordering::Relaxed);
        for &sample in pcm {
            self.resampler.put(sample, &mut self.ready);
        }
        let skipped = self.skip.min(self.ready.len());
        self.skip -= skipped;
        let _ = self.producer.push_partial_slice(&self.ready[skipped..]);
        self.ready.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::level_at;

    fn sine(rate: f64, at: usize) -> f32 {
        ((at as f64 * std::f64::consts::TAU * 440.0 / rate).sin() * 0.5) as f32
    }

    /// The card's block and the conference's tick.
    const BLOCK_MS: f64 = 10.0;
    const TICK: usize = 240;

    /// Runs both ends for that long, the card's clock off by `drift`; returns what was heard and, tick by tick, what was left
    /// in the ring, ms.
    fn capture(rate: u32, drift: f64, seconds: u32) -> (Vec<f32>, Vec<f64>) {
        let (mut sink, mut ring) = from_card(rate);
        let (mut put, mut heard, mut left) = (0, Vec::new(), Vec::new());
        let block = (f64::from(rate) * BLOCK_MS / 1_000.0) as usize;
        for tick in 0..seconds * 200 {
            let until = f64::from(tick + 1) * 0.005 * f64::from(rate) * (1.0 + drift);
            while ((put + block) as f64) < until {
                sink.begin(block);
                (put..put + block).for_each(|at| sink.put([sine(rate.into(), at)]));
                put += block;
            }
            let mut out = [0.0; TICK];
            ring.read(&mut out);
            heard.extend(out);
            left.push(ring.consumer.slots() as f64 * 1_000.0 / f64::from(rate));
        }
        assert_eq!(ring.gaps(), 0, "{rate} {drift}");
        (heard, left)
    }

    fn playback(rate: u32, drift: f64, seconds: u32) -> (Vec<f32>, Vec<f64>) {
        let (mut ring, mut source) = to_card(rate);
        let (mut at, mut taken, mut heard, mut left) = (0, 0, Vec::new(), Vec::new());
        let block = (f64::from(rate) * BLOCK_MS / 1_000.0) as usize;
        for tick in 0..seconds * 200 {
            let pcm: Vec<f32> = (at..at + TICK).flat_map(|at| [0.0, sine(48_000.0, at)]).collect();
            at += TICK;
            ring.write(&pcm);
            let until = f64::from(tick + 1) * 0.005 * f64::from(rate) * (1.0 + drift);
            while ((taken + block) as f64) < until {
                source.begin(block);
                for [left, right] in (0..block).map(|_| source.take()) {
                    assert_eq!(left, 0.0, "only the right ear is given anything");
                    heard.push(right);
                }
                taken += block;
            }
            left.push(source.consumer.slots() as f64 * 1_000.0 / f64::from(rate));
        }
        assert_eq!(source.shared.ran_out.load(Ordering::Relaxed), 0, "{rate} {drift}");
        (heard, left)
    }

    /// How often a sound jumps further than a sine of 440 Hz does, once it has begun.
    fn jumps(pcm: &[f32], rate: u32) -> usize {
        let steepest = 0.5 * std::f32::consts::TAU * 440.0 / rate as f32;
        let begin = pcm.iter().position(|sample| sample.abs() > 0.1).unwrap();
        pcm[begin + 1_000..].windows(2).filter(|pair| (pair[1] - pair[0]).abs() > steepest * 1.1).count()
    }

    #[test]
    fn any_rate_becomes_48_khz_and_back() {
        for rate in [8_000, 16_000, 44_100, 48_000, 96_000] {
            let (heard, _) = capture(rate, 0.0, 1);
            let level = level_at(440.0, &heard[43_200..]);
            assert!((level - 0.5).abs() < 0.01 && jumps(&heard, 48_000) == 0, "{rate} {level}");
            let (played, _) = playback(rate, 0.0, 1);
            let level = level_at(440.0 * 48_000.0 / rate as f32, &played[played.len() * 9 / 10..]);
            assert!((level - 0.5).abs() < 0.01 && jumps(&played, rate) == 0, "{rate} {level}");
        }
    }

    #[test]
    fn clocks_that_drift_apart_cost_neither_a_sample_nor_delay() {
        for drift in [0.001, -0.001] {
            for (heard, left) in [capture(48_000, drift, 10), playback(48_000, drift, 10)] {
                assert_eq!(jumps(&heard, 48_000), 0, "{drift}");
                // A block on top of the margin, and what calls the resampler to haste.
                let end = &left[left.len() - 400..];
                let most = end.iter().copied().fold(0.0, f64::max);
                let least = end.iter().copied().fold(f64::MAX, f64::min);
                assert!(least > 0.0 && most < 27.0, "{drift}: {least} to {most} ms");
            }
        }
    }

    #[test]
    fn left_and_right_stay_apart() {
        let (mut sink, mut ring) = from_card(44_100);
        let mut heard = Vec::new();
        for block in 0..100 {
            sink.begin(441);
            (block * 441..(block + 1) * 441).for_each(|at| sink.put([sine(44_100.0, at), 0.0]));
            let mut out = [0.0; 2 * 480];
            ring.read(&mut out);
            heard.extend_from_slice(&out[..]);
        }
        let (left, right): (Vec<f32>, Vec<f32>) =
            heard.as_chunks::<2>().0.iter().map(|&[l, r]| (l, r)).unzip();
        assert!((level_at(440.0, &left[24_000..]) - 0.5).abs() < 0.01 && jumps(&left, 48_000) == 0);
        assert!(right.iter().all(|sample| *sample == 0.0));
    }

    #[test]
    fn levels_stay_bounded() {
        let (mut sink, mut ring) = from_card(48_000);
        (0..100_000).for_each(|at| sink.put([sine(48_000.0, at)]));
        let mut out = [0.0; 960];
        // A full ring (the conference was busy) drains to its working level.
        for at in 0..400 {
            sink.begin(960);
            (0..960).for_each(|sample| sink.put([sine(48_000.0, at * 960 + sample)]));
            ring.read(&mut out);
        }
        assert!(ring.consumer.slots() <= samples(48_000, 50), "{}", ring.consumer.slots());
        // An empty one is silence, and fills before it is drawn from again.
        (0..20).for_each(|_| ring.read(&mut out));
        assert_eq!((out, ring.gaps()), ([0.0; 960], 1), "run out once, however long");
    }

    #[test]
    fn a_card_that_gets_nothing_has_run_out_once() {
        let (mut ring, mut source) = to_card(48_000);
        let mut take = |samples: usize| {
            source.begin(samples);
            assert_eq!((0..samples).map(|_| source.take()).count(), samples);
        };
        (0..2).for_each(|_| ring.write(&[0.5; 2 * 960]));
        (0..50).for_each(|_| {
            ring.write(&[0.5; 2 * 960]);
            take(960);
        });
        assert_eq!(ring.gaps(), 0);
        take(48_000);
        ring.write(&[0.5; 2 * 960]);
        assert_eq!(ring.gaps(), 1);
    }
}
