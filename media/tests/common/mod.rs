//! Signals that are known, and a way to look for them.

use std::f64::consts::TAU;

use alm_media::SAMPLE_RATE;

/// A sine from phase zero.
pub(crate) fn tone(hertz: f32, amplitude: f32, samples: usize) -> Vec<f32> {
    let step = TAU * f64::from(hertz) / f64::from(SAMPLE_RATE);
    (0..samples).map(|at| (at as f64 * step).sin() as f32 * amplitude).collect()
}

/// The amplitude of a sine of that frequency within `pcm` (Goertzel's algorithm, Hann window).
pub(crate) fn level_at(hertz: f32, pcm: &[f32]) -> f32 {
    let step = TAU * f64::from(hertz) / f64::from(SAMPLE_RATE);
    let (mut re, mut im) = (0.0, 0.0);
    for (at, &sample) in pcm.iter().enumerate() {
        let window = 1.0 - (TAU * at as f64 / pcm.len() as f64).cos();
        re += (at as f64 * step).cos() * window * f64::from(sample);
        im += (at as f64 * step).sin() * window * f64::from(sample);
    }
    (2.0 * re.hypot(im) / pcm.len().max(1) as f64) as f32
}
