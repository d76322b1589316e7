//! What several tests need: signals that are known, and a way to look for them.

use std::f64::consts::TAU;
use std::path::PathBuf;
use std::time::Instant;

use crate::SAMPLE_RATE;

/// An origin for virtual time. No test depends on which.
#[expect(clippy::disallowed_methods, reason = "the one place where the tests' virtual time begins")]
pub(crate) fn origin() -> Instant {
    Instant::now()
}

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

/// Where a fixture is.
pub(crate) fn fixture(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../fixtures").join(path)
}

/// One of the fixtures' voices, at 48 kHz.
pub(crate) fn voice(name: &str) -> Vec<f32> {
    crate::wav::read_wav(&fixture(&format!("voices/{name}.wav"))).unwrap()
}
