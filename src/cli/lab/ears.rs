//! A member's voice and ears in the lab: a tone for each, and, tone by tone, when it was heard and when it was not.
//!
//! All tones lie on multiples of 50 Hz, so that a window of 20 ms of one has nothing of another.

use std::collections::BTreeMap;
use std::f64::consts::TAU;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use alm_media::SAMPLE_RATE;
use alm_media::device::{Capture, DeviceError, Playback};

/// The lowest tone, and what lies between two, Hz; less when there are many.
const LOWEST_HZ: u32 = 300;
const APART_HZ: u32 = 150;
/// The highest tone: what Opus carries at any rate of a conference.
const HIGHEST_HZ: u32 = 7_500;
/// What a window of 20 ms tells apart.
const GRID_HZ: u32 = 50;
/// So many voices can be told apart.
pub(super) const VOICES_MAX: usize = ((HIGHEST_HZ - LOWEST_HZ) / GRID_HZ) as usize;
/// What is looked at in one go, and how far the next look is from it: 20 ms and 10 ms.
const WINDOW: usize = 960;
const STRIDE: usize = 480;
/// Who was heard so lately before the end is not missing: longer than what waits in a buffer may be cut off.
pub(super) const TAIL: usize = 3 * WINDOW;
/// A tone is there if it has this share of its loudness.
const THERE: f64 = 0.4;
/// Windows in a row without the tone that make a hole: less may be a seam between two frames.
const HOLE_WINDOWS: u32 = 3;
/// No voice is louder than this, and all together are no louder than full scale.
const LOUDNESS_MAX: f64 = 0.25;

/// How loud each of so many voices is.
fn loudness(voices: usize) -> f64 {
    LOUDNESS_MAX.min(0.9 / voices.max(1) as f64)
}

fn hertz(voice: usize, voices: usize) -> f64 {
    let room = (HIGHEST_HZ - LOWEST_HZ) / voices.max(1) as u32 / GRID_HZ * GRID_HZ;
    f64::from(LOWEST_HZ + voice as u32 * room.clamp(GRID_HZ, APART_HZ))
}

/// A member's tone.
pub(super) struct Voice {
    phase: f64,
    step: f64,
    loudness: f64,
}

impl Voice {
    /// The voice of that number among so many.
    pub(super) fn new(voice: usize, voices: usize) -> Self {
        let step = TAU * hertz(voice, voices) / f64::from(SAMPLE_RATE);
        Self { phase: 0.0, step, loudness: loudness(voices) }
    }
}

impl Capture for Voice {
    fn read(&mut self, out: &mut [f32]) -> Result<(), DeviceError> {
        for sample in out {
            *sample = (self.phase.sin() * self.loudness) as f32;
            self.phase = (self.phase + self.step) % TAU;
        }
        Ok(())
    }
}

/// What was heard of one voice.
#[derive(Clone, Debug, Default)]
pub(super) struct Heard {
    /// When it was first there.
    pub(super) first: Option<Instant>,
    /// When it was there last.
    pub(super) last: Option<Instant>,
    /// From when to when it was missing.
    pub(super) holes: Vec<(Instant, Instant)>,
}

/// What one member has heard, by voice.
pub(super) type Record = Arc<Mutex<BTreeMap<usize, Heard>>>;

/// A member's ears.
pub(super) struct Ears {
    own: usize,
    voices: usize,
    /// Cosine of each voice's step, twice.
    coefficients: Vec<f64>,
    threshold: f64,
    pcm: Vec<f32>,
    /// When the first sample of `pcm` was played.
    begun: Option<Instant>,
    record: Record,
}

impl Ears {
    /// The ears of the member with voice `own` among so many.
    pub(super) fn new(own: usize, voices: usize, record: Record) -> Self {
        let coefficient = |voice| 2.0 * (TAU * hertz(voice, voices) / f64::from(SAMPLE_RATE)).cos();
        Self {
            own,
            voices,
            coefficients: (0..voices).map(coefficient).collect(),
            threshold: (loudness(voices) * THERE * WINDOW as f64 / 2.0).powi(2),
            pcm: Vec::with_capacity(2 * WINDOW),
            begun: None,
            record,
        }
    }

    fn look(&mut self, at: Instant) {
        let mut record = self.record.lock().unwrap_or_else(PoisonError::into_inner);
        let window = &self.pcm[..WINDOW];
        if window.iter().all(|sample| *sample == 0.0) {
            return;
        }
        for voice in (0..self.voices).filter(|voice| *voice != self.own) {
            if power(window, self.coefficients[voice]) >= self.threshold {
                record.entry(voice).or_default().on_there(at);
            }
        }
    }
}

impl Heard {
    fn on_there(&mut self, at: Instant) {
        let stride = samples(STRIDE);
        if let Some(last) = self.last
            && at > last + stride * (HOLE_WINDOWS + 1)
        {
            self.holes.push((last + stride, at));
        }
        self.first.get_or_insert(at);
        self.last = Some(at);
    }
}

/// Goertzel's power of one tone.
fn power(window: &[f32], coefficient: f64) -> f64 {
    let (mut one, mut two) = (0.0, 0.0);
    for sample in window {
        (one, two) = (f64::from(*sample) + coefficient * one - two, one);
    }
    one * one + two * two - coefficient * one * two
}

pub(super) fn samples(count: usize) -> Duration {
    Duration::from_secs_f64(count as f64 / f64::from(SAMPLE_RATE))
}

impl Playback for Ears {
    fn write(&mut self, pcm: &[f32]) -> Result<(), DeviceError> {
        // What is written now is played from now on.
        let now = tokio::time::Instant::now().into_std();
        let mut begun = *self.begun.get_or_insert(now);
        self.pcm.extend_from_slice(pcm);
        let mut looked = 0;
        while self.pcm.len() - looked >= WINDOW {
            self.pcm.drain(..looked);
            self.look(begun);
            (looked, begun) = (STRIDE, begun + samples(STRIDE));
        }
        self.pcm.drain(..looked);
        self.begun = Some(begun);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_voice_is_told_apart_and_its_holes_are_seen() {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let (voices, record) = (20, Record::default());
            let mut all: Vec<Voice> = (0..voices).map(|voice| Voice::new(voice, voices)).collect();
            let mut ears = Ears::new(0, voices, record.clone());
            let start = tokio::time::Instant::now().into_std();
            let (mut mixed, mut one) = ([0.0; 240], [0.0; 240]);
            for tick in 0..200 {
                mixed.fill(0.0);
                for (number, voice) in all.iter_mut().enumerate() {
                    voice.read(&mut one).unwrap();
                    // The third one is missing for 100 ms; the last never speaks; the first is the own.
                    let missing = number == 2 && (80..100).contains(&tick) || number == 19 || number == 0;
                    if !missing {
                        mixed.iter_mut().zip(one).for_each(|(sum, sample)| *sum += sample);
                    }
                }
                ears.write(&mixed).unwrap();
            }
            let record = record.lock().unwrap();
            assert_eq!(record.keys().copied().collect::<Vec<_>>(), (1..19).collect::<Vec<_>>());
            for (voice, heard) in &*record {
                assert_eq!(heard.first, Some(start));
                assert_eq!(heard.holes.len(), usize::from(*voice == 2), "{voice}: {heard:?}");
            }
            let (from, to) = record[&2].holes[0];
            let (begun, length) = ((from - start).as_millis(), (to - from).as_millis());
            assert!((390..=410).contains(&begun) && (80..=110).contains(&length), "{begun} {length}");
        });
    }
}
