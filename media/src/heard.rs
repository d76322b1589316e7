//! Was it heard? Finds known voices in a recorded mix, so that a run can check itself.
//!
//! A source's speech is cut into windows of half a second. First the whole source is correlated with the
//! whole recording, which gives the lag at which it most likely plays; then each window is looked for near
//! that lag, following it as jitter buffers shift it. A window counts as heard if its peak stands clearly
//! above what the correlation does elsewhere, which other voices in the mix amount to.
//!
//! Correlation is done at 8 kHz on half whitened spectra (generalised cross-correlation, Knapp and Carter
//! 1976): plain correlation of speech peaks at every pitch period, a fully whitened one believes noise.

use std::sync::Arc;

use realfft::num_complex::Complex;
use realfft::{ComplexToReal, RealFftPlanner, RealToComplex};

use crate::SAMPLE_RATE;

/// The longest recording that is looked at, in samples; what follows is ignored. 60 s.
pub const RECORDING_MAX: usize = 60 * SAMPLE_RATE as usize;

/// The longest source, in samples; what follows is ignored. 30 s.
pub const SOURCE_MAX: usize = 30 * SAMPLE_RATE as usize;

/// 48 kHz to 8 kHz: what is below 4 kHz tells voices apart, and every codec keeps it.
const DECIMATION: usize = 6;

/// Samples in a millisecond after that.
const PER_MS: usize = 8;

const WINDOW: usize = 500 * PER_MS;

/// How far a window may lie from the one beside it: a jitter buffer moves by a few frames at a time.
const DRIFT: usize = 120 * PER_MS;

/// How far around the expected place the correlation is made, to know what it does elsewhere.
const AROUND: usize = 500 * PER_MS;

/// The width of a peak: what is that near to it is not elsewhere.
const PEAK: usize = 12 * PER_MS;

/// A window's peak over the root mean square of the correlation elsewhere, from which on it counts as heard.
const HEARD_RATIO: f32 = 6.5;

/// Windows quieter than this share of the source's mean amplitude are pauses.
const SPEECH_SHARE: f32 = 0.3;

/// A recording's window below this amplitude (-74 dBFS) is silent.
const SILENT: f32 = 2e-4;

/// How often the source's samples are in the recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Playing {
    /// Once.
    Once,
    /// Over and over, without pauses in between.
    Looped,
}

/// How much of a source was heard.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SourceHeard {
    /// The share of the source's speech windows that were heard, 0 to 1. Of a source that plays once: of
    /// those within the recording. Of a looped one: of those since it was first heard, or of half of them
    /// all if those are more.
    pub share: f64,
    /// Speech windows that the share is taken of.
    pub windows: usize,
    /// When the source's first sample plays, in milliseconds of the recording; negative if before it. Of a
    /// looped source: modulo its length.
    pub lag_ms: f64,
    /// When the first window that was heard begins, in milliseconds of the recording.
    pub first_ms: Option<f64>,
    /// The highest peak of source against recording, over the highest elsewhere; 0 if there is no other.
    /// Near 1: by chance; above 2: certainly there.
    pub confidence: f64,
}

/// Looks for each of `sources` (48 kHz) in `recording` (48 kHz).
pub fn heard(sources: &[&[f32]], playing: Playing, recording: &[f32]) -> Vec<SourceHeard> {
    let recording = decimate(&recording[..recording.len().min(RECORDING_MAX)]);
    let windows = Correlator::new((WINDOW + 2 * AROUND).next_power_of_two());
    sources
        .iter()
        .map(|source| {
            let source = decimate(&source[..source.len().min(SOURCE_MAX)]);
            Search { source: &source, recording: &recording, playing, windows: &windows }.run()
        })
        .collect()
}

struct Search<'a> {
    source: &'a [f32],
    recording: &'a [f32],
    playing: Playing,
    windows: &'a Correlator,
}

/// One window of speech: where it is in the source, and where the source's copy that it belongs to begins,
/// in samples, as far as is known.
#[derive(Clone, Copy)]
struct Window {
    offset: usize,
    expected: isize,
}

impl Search<'_> {
    fn run(&self) -> SourceHeard {
        let nothing = SourceHeard { share: 0.0, windows: 0, lag_ms: 0.0, first_ms: None, confidence: 0.0 };
        if self.source.len() < WINDOW || self.recording.len() < WINDOW {
            return nothing;
        }
        let (lag, confidence) = self.global_lag();
        let found = self.follow(&self.speech(lag));
        let first = found.iter().position(Option::is_some);
        let windows = match (self.playing, first) {
            (Playing::Once, _) => found.len(),
            (Playing::Looped, first) => (found.len() - first.unwrap_or(0)).max(found.len() / 2),
        };
        let heard = found.iter().flatten().count();
        let ms = |samples: isize| samples as f64 / PER_MS as f64;
        SourceHeard {
            share: if windows == 0 { 0.0 } else { heard as f64 / windows as f64 },
            windows,
            lag_ms: ms(lag),
            first_ms: found.iter().flatten().next().map(|&at| ms(at)),
            confidence,
        }
    }

    /// Where the source's first sample most likely is, and how likely.
    fn global_lag(&self) -> (isize, f64) {
        let (length, least) = (self.source.len(), self.source.len().min(self.recording.len()) / 2);
        let size = (length + self.recording.len()).next_power_of_two();
        let correlation = Correlator::new(size).run(self.source, self.recording);
        // At least half of the source, or of the recording, takes part.
        let from = -((length - least) as isize);
        let until = (self.recording.len() - least) as isize;
        let at = |lag: isize| correlation[lag.rem_euclid(size as isize) as usize];
        let mut curve: Vec<f32> = (from..until).map(at).collect();
        if self.playing == Playing::Looped && curve.len() > length {
            // All copies at once, whose sum is higher than any of them.
            curve = (0..length).map(|start| curve[start..].iter().step_by(length).sum()).collect();
        }
        let peak = best(&curve);
        let elsewhere = curve.iter().enumerate().filter(|(place, _)| place.abs_diff(peak) > AROUND);
        let highest = elsewhere.map(|(_, &value)| value).fold(0.0, f32::max);
        let confidence = if highest > 0.0 { f64::from(curve[peak] / highest) } else { 0.0 };
        (from + peak as isize, confidence)
    }

    /// The source's speech windows that lie within the recording, in order.
    fn speech(&self, lag: isize) -> Vec<Window> {
        let loud = SPEECH_SHARE * amplitude(self.source);
        let offsets: Vec<usize> = (0..=self.source.len() - WINDOW)
            .step_by(WINDOW)
            .filter(|&offset| amplitude(&self.source[offset..offset + WINDOW]) > loud)
            .collect();
        let period = self.source.len() as isize;
        let copies: Vec<isize> = match self.playing {
            Playing::Once => vec![lag],
            Playing::Looped => {
                let first = lag.rem_euclid(period) - period;
                (first..self.recording.len() as isize).step_by(period.cast_unsigned()).collect()
            }
        };
        let last = (self.recording.len() - WINDOW) as isize;
        copies
            .into_iter()
            .flat_map(|expected| offsets.iter().map(move |&offset| Window { offset, expected }))
            .filter(|window| (0..=last).contains(&(window.expected + window.offset as isize)))
            .collect()
    }

    /// Where each window is heard, `None` if it is not. The surest window comes first, and its neighbours
    /// are looked for near it, and so on to both ends.
    fn follow(&self, windows: &[Window]) -> Vec<Option<isize>> {
        let mut found = vec![None; windows.len()];
        let sure = windows.iter().map(|&window| self.look(window, 0).map_or(0.0, |(_, ratio)| ratio));
        let Some((middle, _)) = sure.enumerate().max_by(|one, other| one.1.total_cmp(&other.1)) else {
            return found;
        };
        let ahead: Vec<usize> = (middle..windows.len()).collect();
        let back: Vec<usize> = (0..middle).rev().collect();
        let mut middle_shift = 0;
        for (order, is_back) in [(ahead, false), (back, true)] {
            let mut shift = if is_back { middle_shift } else { 0 };
            for index in order {
                let Some((moved, ratio)) = self.look(windows[index], shift) else { continue };
                if ratio < HEARD_RATIO {
                    continue;
                }
                shift += moved;
                if index == middle {
                    middle_shift = shift;
                }
                found[index] = Some(windows[index].expected + windows[index].offset as isize + shift);
            }
        }
        found
    }

    /// How far from its expected place, `shift` further on, a window's peak lies, and how clear it is.
    fn look(&self, window: Window, shift: isize) -> Option<(isize, f32)> {
        let speech = &self.source[window.offset..window.offset + WINDOW];
        let centre = window.expected + window.offset as isize + shift;
        let from = (centre - AROUND as isize).max(0).cast_unsigned();
        let until =
            (centre + (WINDOW + AROUND) as isize).clamp(0, self.recording.len() as isize).cast_unsigned();
        if until < from + WINDOW || amplitude(&self.recording[from..until]) < SILENT {
            return None;
        }
        let correlation = self.windows.run(speech, &self.recording[from..until]);
        let curve = &correlation[..=until - from - WINDOW];
        let middle = centre - from as isize;
        let near = (middle - DRIFT as isize).max(0).cast_unsigned()
            ..(middle + DRIFT as isize + 1).clamp(0, curve.len() as isize).cast_unsigned();
        if near.is_empty() {
            return None;
        }
        let peak = near.start + best(&curve[near]);
        let elsewhere = curve.iter().enumerate().filter(|(place, _)| place.abs_diff(peak) > PEAK);
        let (count, power) =
            elsewhere.fold((0, 0.0), |(count, sum), (_, value)| (count + 1, sum + value * value));
        let floor = (power / count.max(1) as f32).sqrt();
        Some((peak as isize - middle, if floor > 0.0 { curve[peak] / floor } else { 0.0 }))
    }
}

/// Cross-correlation of one size, by Fourier transform.
struct Correlator {
    forward: Arc<dyn RealToComplex<f32>>,
    back: Arc<dyn ComplexToReal<f32>>,
}

impl Correlator {
    fn new(size: usize) -> Self {
        let mut planner = RealFftPlanner::new();
        Self { forward: planner.plan_fft_forward(size), back: planner.plan_fft_inverse(size) }
    }

    /// Half whitened correlation: at `lag`, how alike `part` and `whole[lag..]` are, on no particular
    /// scale; negative lags from the end. Both must fit the size together, or lags at the end are mixed.
    fn run(&self, part: &[f32], whole: &[f32]) -> Vec<f32> {
        let mut product = self.spectrum(whole);
        for (value, part) in product.iter_mut().zip(self.spectrum(part)) {
            *value *= part.conj();
        }
        let mut out = self.back.make_output_vec();
        self.back.process(&mut product, &mut out).expect("made by the plan itself, real at both ends");
        out
    }

    fn spectrum(&self, samples: &[f32]) -> Vec<Complex<f32>> {
        let mut input = self.forward.make_input_vec();
        let length = samples.len().min(input.len());
        input[..length].copy_from_slice(&samples[..length]);
        let mut output = self.forward.make_output_vec();
        self.forward.process(&mut input, &mut output).expect("made by the plan itself");
        for value in &mut output {
            let magnitude = value.norm();
            *value *= if magnitude > 0.0 { magnitude.powf(-0.5) } else { 0.0 };
        }
        // The inverse wants these real, and rounding may have left a trace.
        let last = output.len() - 1;
        (output[0].im, output[last].im) = (0.0, 0.0);
        output
    }
}

fn decimate(samples: &[f32]) -> Vec<f32> {
    // Two means of six in a row: what would fold into speech's band is 20 dB down, and alike in both.
    let mean = |samples: &[f32]| samples.iter().sum::<f32>() / DECIMATION as f32;
    let smooth: Vec<f32> = samples.windows(DECIMATION).map(mean).collect();
    let made = smooth.windows(DECIMATION).step_by(DECIMATION).map(mean);
    made.map(|sample| if sample.is_finite() { sample } else { 0.0 }).collect()
}

fn amplitude(samples: &[f32]) -> f32 {
    (samples.iter().map(|sample| sample * sample).sum::<f32>() / samples.len().max(1) as f32).sqrt()
}

fn best(curve: &[f32]) -> usize {
    let best = curve.iter().enumerate().max_by(|one, other| one.1.total_cmp(other.1));
    best.map_or(0, |(place, _)| place)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::voice;
    use crate::{CaptureTime, CodecConfig, Listener, SenderKey, SourceIndex, Speaker, TreeId};
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};
    use std::time::{Duration, Instant};

    const VOICES: [&str; 5] = ["ada", "ben", "chi", "dee", "eli"];

    /// What one member hears of those voices over a network with jitter and loss.
    fn conference(voices: &[&[f32]], looped: bool, seconds: usize, jitter_ms: f64) -> Vec<f32> {
        #[expect(clippy::disallowed_methods, reason = "an Instant to count from; nothing waits")]
        let start = Instant::now();
        let mut rng = StdRng::seed_from_u64(3);
        let mut listener = Listener::new();
        let mut speakers: Vec<_> = (0..voices.len() as u16)
            .map(|index| {
                let key = SenderKey::derive(b"s", &[index as u8; 32], &[0; 16]);
                listener.add_source(SourceIndex(index), &key).unwrap();
                let config = CodecConfig { voice: false, ..CodecConfig::default() };
                Speaker::new(SourceIndex(index), &key, config).unwrap()
            })
            .collect();
        let (mut way, mut recording) = (Vec::new(), Vec::new());
        for frame in 0..seconds * 50 {
            let now_ms = frame as f64 * 20.0;
            for (index, speaker) in speakers.iter_mut().enumerate() {
                // Not all at once, and the first only after a while.
                let Some(begun) = (frame * 960).checked_sub(24_000 + index * 7_000) else { continue };
                let at = |sample: usize| if looped { sample % voices[index].len() } else { sample };
                let sample = |offset| voices[index].get(at(begun + offset)).copied().unwrap_or(0.0);
                let pcm: Vec<f32> = (0..960).map(sample).collect();
                let mut out = Vec::new();
                speaker.packet(&pcm, CaptureTime(frame as u32 * 960), &[TreeId(0)], &mut out).unwrap();
                if rng.random_bool(0.98) {
                    way.push((now_ms + 50.0 + rng.random_range(0.0..=jitter_ms), out.remove(0)));
                }
            }
            way.sort_by(|one, other| one.0.total_cmp(&other.0));
            let arrived = way.iter().position(|(at_ms, _)| *at_ms > now_ms).unwrap_or(way.len());
            for (at_ms, packet) in way.drain(..arrived) {
                let _ = listener.push(&packet, start + Duration::from_secs_f64(at_ms / 1_000.0));
            }
            let mut pcm = [0.0; 960];
            listener.pull(start + Duration::from_secs_f64(now_ms / 1_000.0), &mut pcm);
            recording.extend(pcm);
        }
        recording
    }

    fn voices() -> Vec<Vec<f32>> {
        VOICES.iter().map(|name| voice(name)).collect()
    }

    #[test]
    fn five_voices_at_once_are_told_apart() {
        let voices = voices();
        let all: Vec<&[f32]> = voices.iter().map(Vec::as_slice).collect();
        let recording = conference(&all, false, 9, 30.0);
        for (index, heard) in heard(&all, Playing::Once, &recording).iter().enumerate() {
            let begun_ms = 500.0 + index as f64 * 7_000.0 / 48.0;
            assert!(heard.share > 0.8, "{heard:?}");
            assert!((begun_ms + 80.0..begun_ms + 250.0).contains(&heard.lag_ms), "{heard:?}");
        }
    }

    #[test]
    fn a_voice_that_is_missing_is_missed() {
        let voices = voices();
        for missing in [0, 4] {
            let others: Vec<&[f32]> =
                (0..voices.len()).filter(|&at| at != missing).map(|at| voices[at].as_slice()).collect();
            let recording = conference(&others, false, 9, 30.0);
            let heard = heard(&[&voices[missing]], Playing::Once, &recording)[0];
            assert!(heard.share < 0.15, "{heard:?}");
        }
    }

    #[test]
    fn looped_voices_are_found_too() {
        let voices = voices();
        let some: Vec<&[f32]> = voices[..3].iter().map(Vec::as_slice).collect();
        let recording = conference(&some, true, 14, 60.0);
        let all: Vec<&[f32]> = voices.iter().map(Vec::as_slice).collect();
        for (index, heard) in heard(&all, Playing::Looped, &recording).iter().enumerate() {
            if index < 3 {
                assert!(heard.share > 0.8 && heard.windows > 15, "{heard:?}");
            } else {
                assert!(heard.share < 0.15, "{heard:?}");
            }
        }
    }

    #[test]
    fn silence_and_scraps_hold_no_voice() {
        let ada = voice("ada");
        for recording in [vec![], vec![0.0; 100], vec![0.0; 480_000], vec![f32::NAN; 96_000]] {
            for playing in [Playing::Once, Playing::Looped] {
                assert_eq!(heard(&[&ada, &[]], playing, &recording)[0].share, 0.0);
            }
        }
    }
}
