//! The sum of all voices, without clipping.
//!
//! Two steps: a limiter lowers everybody together when the sum would be too loud, quickly down and slowly
//! up; what is left above the knee (the first instants of something loud) is bent rather than cut off.

/// The loudest the limiter lets through unbent. Below it the sum is left as it is.
const CEILING: f32 = 0.85;

/// Samples over which the limiter looks for a peak and moves to a new gain: 2.5 ms.
const BLOCK: usize = 120;

/// How much of the way back to full gain the limiter goes in one block: half in 170 ms.
const RELEASE: f32 = 0.01;

/// Sums sources frame by frame.
#[derive(Clone, Debug)]
pub struct Mixer {
    gain: f32,
}

impl Mixer {
    /// A mixer at full gain.
    pub fn new() -> Self {
        Self { gain: 1.0 }
    }

    /// Adds a source's frame to the sum; samples that are no numbers count as silence.
    pub fn add(sum: &mut [f32], pcm: &[f32]) {
        for (sum, &sample) in sum.iter_mut().zip(pcm) {
            *sum += if sample.is_finite() { sample } else { 0.0 };
        }
    }

    /// Brings a sum into -1..1, both excluded.
    pub fn limit(&mut self, sum: &mut [f32]) {
        for block in sum.chunks_mut(BLOCK) {
            let peak = block.iter().fold(0.0_f32, |peak, sample| peak.max(sample.abs()));
            let wanted = if peak > CEILING { CEILING / peak } else { 1.0 };
            let target = if wanted < self.gain { wanted } else { self.gain + (wanted - self.gain) * RELEASE };
            let step = (target - self.gain) / block.len() as f32;
            for sample in block {
                self.gain += step;
                *sample = bend(*sample * self.gain);
            }
            self.gain = target;
        }
    }
}

impl Default for Mixer {
    fn default() -> Self {
        Self::new()
    }
}

fn bend(sample: f32) -> f32 {
    let over = sample.abs() - CEILING;
    if over <= 0.0 {
        return sample;
    }
    let room = 0.999 - CEILING;
    (CEILING + room * (over / room).tanh()).copysign(sample)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{level_at, tone};
    use proptest::prelude::*;

    #[test]
    fn quiet_sums_are_left_alone() {
        let mut sum = vec![0.0; 960];
        Mixer::add(&mut sum, &tone(440.0, 0.3, 960));
        Mixer::add(&mut sum, &tone(1_000.0, 0.3, 960));
        let before = sum.clone();
        Mixer::new().limit(&mut sum);
        assert_eq!(sum, before);
    }

    #[test]
    fn loud_sums_are_lowered_without_distortion() {
        let mut mixer = Mixer::new();
        let mut sum = tone(440.0, 3.0, 48_000);
        mixer.limit(&mut sum);
        assert!(sum.iter().all(|sample| sample.abs() < 1.0));
        let steady = &sum[4_800..];
        assert!((level_at(440.0, steady) - CEILING).abs() < 0.03);
        assert!(level_at(1_320.0, steady) < 0.01, "no third harmonic");
        let mut after = tone(440.0, 0.1, 48_000);
        mixer.limit(&mut after);
        assert!((level_at(440.0, &after[38_400..]) - 0.1).abs() < 0.005, "the gain comes back");
    }

    proptest! {
        #[test]
        fn nothing_leaves_the_range(frames in proptest::collection::vec(
            proptest::collection::vec(proptest::num::f32::ANY, 0..300), 1..5)) {
            let mut sum = vec![0.0; 300];
            for frame in &frames {
                let frame: Vec<f32> = frame.iter().map(|sample| sample % 1e6).collect();
                Mixer::add(&mut sum, &frame);
            }
            Mixer::new().limit(&mut sum);
            prop_assert!(sum.iter().all(|sample| sample.abs() < 1.0));
        }
    }
}
