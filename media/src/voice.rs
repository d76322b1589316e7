//! A microphone in a room: what the loudspeaker says is taken out of it, then noise, and then it is brought to a usual
//! level, in this order (the audio processing of WebRTC, by a port of it).

use std::collections::VecDeque;

use sonora::config::{AdaptiveDigital, EchoCanceller, GainController2, HighPassFilter, NoiseSuppression};
use sonora::{AudioProcessing, Config, StreamConfig};

use crate::SAMPLE_RATE;

/// What is done to a voice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VoiceConfig {
    /// Takes out what comes from the loudspeaker.
    pub echo: bool,
    /// Takes out what never changes: fans, streets.
    pub noise: bool,
    /// Brings quiet and loud voices to one level.
    pub gain: bool,
}

impl VoiceConfig {
    /// All of it.
    pub const ALL: Self = Self { echo: true, noise: true, gain: true };

    /// Leaves the voice as it is.
    pub const NONE: Self = Self { echo: false, noise: false, gain: false };
}

/// See the [module](self). Works in blocks of 10 ms.
pub struct VoiceProcessor {
    inner: AudioProcessing,
    played: Vec<f32>,
    taken: Vec<f32>,
    ready: VecDeque<f32>,
}

impl VoiceProcessor {
    /// A processor that is given voices in pieces of `step` samples, a part or a multiple of [`VOICE_BLOCK`]. Shorter
    /// pieces come out later by what they lack to a block; longer ones at once.
    pub fn new(config: VoiceConfig, step: usize) -> Self {
        let VoiceConfig { echo, noise, gain } = config;
        let adaptive =
            || GainController2 { adaptive_digital: Some(AdaptiveDigital::default()), ..Default::default() };
        let config = Config {
            high_pass_filter: Some(HighPassFilter::default()),
            echo_canceller: echo.then(EchoCanceller::default),
            noise_suppression: noise.then(NoiseSuppression::default),
            gain_controller2: gain.then(adaptive),
            ..Default::default()
        };
        let stream = StreamConfig::new(SAMPLE_RATE, 1);
        let inner =
            AudioProcessing::builder().config(config).capture_config(stream).render_config(stream).build();
        let ready = std::iter::repeat_n(0.0, VOICE_BLOCK.saturating_sub(step)).collect();
        Self {
            inner,
            played: Vec::with_capacity(2 * VOICE_BLOCK),
            taken: Vec::with_capacity(2 * VOICE_BLOCK),
            ready,
        }
    }

    /// This is played by the loudspeaker now.
    pub fn play(&mut self, pcm: &[f32]) {
        for &sample in pcm {
            self.played.push(sample);
            if self.played.len() == VOICE_BLOCK {
                let mut unused = [0.0; VOICE_BLOCK];
                // Only a block of another length would be refused.
                let _ = self.inner.process_render_f32(&[&self.played], &mut [&mut unused]);
                self.played.clear();
            }
        }
    }

    /// Processes a piece of the voice, in its place.
    pub fn process(&mut self, pcm: &mut [f32]) {
        for &sample in pcm.iter() {
            self.taken.push(if sample.is_finite() { sample } else { 0.0 });
            if self.taken.len() == VOICE_BLOCK {
                let mut block = [0.0; VOICE_BLOCK];
                if self.inner.process_capture_f32(&[&self.taken], &mut [&mut block]).is_err() {
                    block.copy_from_slice(&self.taken);
                }
                self.ready.extend(block);
                self.taken.clear();
            }
        }
        for sample in pcm {
            *sample = self.ready.pop_front().unwrap_or(0.0);
        }
    }
}

/// Samples of a block, 10 ms.
pub const VOICE_BLOCK: usize = 480;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::voice;

    fn power(pcm: &[f32]) -> f32 {
        pcm.iter().map(|sample| sample * sample).sum::<f32>() / pcm.len() as f32
    }

    /// What comes out for that microphone, while `far` is played.
    fn processed(config: VoiceConfig, far: &[f32], near: &[f32]) -> Vec<f32> {
        let mut processor = VoiceProcessor::new(config, VOICE_BLOCK);
        let mut out = Vec::new();
        for (far, near) in far.chunks_exact(VOICE_BLOCK).zip(near.chunks_exact(VOICE_BLOCK)) {
            let mut piece = near.to_vec();
            processor.play(far);
            processor.process(&mut piece);
            out.extend(piece);
        }
        out
    }

    fn noise(samples: usize, amplitude: f32) -> Vec<f32> {
        let mut state = 1_u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        };
        (0..samples).map(|_| next() * amplitude).collect()
    }

    /// Four seconds of somebody who speaks.
    fn speech() -> Vec<f32> {
        voice("ada").into_iter().cycle().take(192_000).collect()
    }

    #[test]
    fn a_room_s_echo_is_a_hundredth_of_itself_and_less() {
        let far = speech();
        // A loudspeaker 70 ms away by the devices' buffers, at half its loudness, and one wall.
        let at = |i: usize, late: usize| i.checked_sub(late).map_or(0.0, |i| far[i]);
        let near: Vec<f32> = (0..far.len()).map(|i| 0.5 * at(i, 3_360) + 0.2 * at(i, 4_100)).collect();
        let echo = VoiceConfig { echo: true, ..VoiceConfig::NONE };
        let (left, second) = (processed(echo, &far, &near), 96_000..far.len());
        let factor = power(&near[second.clone()]) / power(&left[second]).max(1e-12);
        assert!(factor > 100.0, "in power, after two seconds: {factor}");
    }

    #[test]
    fn noise_is_lowered_and_a_voice_is_not() {
        let (silence, hiss) = (vec![0.0; 144_000], noise(144_000, 0.02));
        let clean = VoiceConfig { noise: true, ..VoiceConfig::NONE };
        let left = processed(clean, &silence, &hiss);
        let factor = power(&hiss[96_000..]) / power(&left[96_000..]).max(1e-12);
        assert!(factor > 6.0, "{factor}");
        let said = speech();
        let all = processed(VoiceConfig { gain: false, ..VoiceConfig::ALL }, &vec![0.0; said.len()], &said);
        let kept = power(&all[48_000..]) / power(&said[48_000..]);
        assert!((0.5..1.5).contains(&kept), "{kept}");
    }

    #[test]
    fn short_pieces_come_later_and_whole() {
        let mut processor = VoiceProcessor::new(VoiceConfig::NONE, 120);
        let said = crate::testing::tone(440.0, 0.5, 24_000);
        let mut heard = said.clone();
        heard.chunks_exact_mut(120).for_each(|piece| processor.process(piece));
        assert!(heard[..360].iter().all(|sample| *sample == 0.0));
        assert!((power(&heard[12_000..]) / power(&said[12_000..]) - 1.0).abs() < 0.1);
    }
}
