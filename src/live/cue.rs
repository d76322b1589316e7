//! What the person at the microphone hears when it goes on or off: two notes, up or down, so that nobody has to look.

use std::f32::consts::TAU;

use alm_media::SAMPLE_RATE;

/// See the [module](self). Silent from the start.
#[derive(Clone, Debug)]
pub(super) struct Cue {
    notes: [f32; 2],
    /// Samples played of it; all of them is silence.
    played: usize,
}

impl Default for Cue {
    fn default() -> Self {
        Self { notes: [0.0; 2], played: 2 * NOTE_SAMPLES }
    }
}

impl Cue {
    /// Begins: up for a microphone that is on, down for one that is off.
    pub(super) fn start(&mut self, is_on: bool) {
        let [low, high] = [LOW_HZ, HIGH_HZ];
        *self = Self { notes: if is_on { [low, high] } else { [high, low] }, played: 0 };
    }

    /// Adds what comes next of it to what is played, in all of so many channels.
    pub(super) fn add(&mut self, pcm: &mut [f32], channels: usize) {
        for samples in pcm.chunks_exact_mut(channels) {
            let Some(hz) = self.notes.get(self.played / NOTE_SAMPLES) else { return };
            let at = (self.played % NOTE_SAMPLES) as f32;
            // Each note swells and fades, so that none clicks.
            let swell = (at / NOTE_SAMPLES as f32 * TAU / 2.0).sin();
            let note = AMPLITUDE * swell * (at * hz * TAU / SAMPLE_RATE as f32).sin();
            samples.iter_mut().for_each(|sample| *sample += note);
            self.played += 1;
        }
    }
}

/// E5 and A5: in the middle of what small loudspeakers can do, and a fourth apart.
const LOW_HZ: f32 = 659.3;
const HIGH_HZ: f32 = 880.0;
/// 60 ms: heard as a note, over before a word begins.
const NOTE_SAMPLES: usize = SAMPLE_RATE as usize * 60 / 1_000;
/// -24 dBFS: beside a voice, not over it.
const AMPLITUDE: f32 = 0.063;

#[cfg(test)]
mod tests {
    use super::*;

    /// How often it goes through zero upwards in each half.
    fn crossings(pcm: &[f32]) -> [usize; 2] {
        let count = |half: &[f32]| half.windows(2).filter(|pair| pair[0] <= 0.0 && pair[1] > 0.0).count();
        [count(&pcm[..NOTE_SAMPLES]), count(&pcm[NOTE_SAMPLES..2 * NOTE_SAMPLES])]
    }

    #[test]
    fn it_rises_for_on_and_falls_for_off_and_is_over() {
        let mut cue = Cue::default();
        let mut pcm = vec![0.0; 4 * NOTE_SAMPLES];
        cue.add(&mut pcm, 1);
        assert!(pcm.iter().all(|sample| *sample == 0.0), "nothing was pressed");
        for is_on in [true, false] {
            pcm.fill(0.0);
            cue.start(is_on);
            pcm.chunks_mut(480).for_each(|tick| cue.add(tick, 1));
            let [first, second] = crossings(&pcm);
            assert_eq!(first < second, is_on, "{first} {second}");
            let peak = pcm.iter().fold(0.0_f32, |peak, sample| peak.max(sample.abs()));
            assert!((0.05..=AMPLITUDE).contains(&peak), "{peak}");
            assert!(pcm[2 * NOTE_SAMPLES..].iter().all(|sample| *sample == 0.0), "it is over");
        }
    }
}
