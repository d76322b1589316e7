//! A sine: a sound that is easy to find again.

use std::f64::consts::TAU;

use super::{Capture, DeviceError};
use crate::SAMPLE_RATE;

/// -12 dBFS.
const AMPLITUDE: f64 = 0.251_188_643;

/// An endless sine whose phase runs on from frame to frame.
pub(super) struct Tone {
    phase: f64,
    step: f64,
}

impl Tone {
    pub(super) fn new(hertz: f32) -> Self {
        Self { phase: 0.0, step: TAU * f64::from(hertz) / f64::from(SAMPLE_RATE) }
    }
}

impl Capture for Tone {
    fn read(&mut self, out: &mut [f32]) -> Result<(), DeviceError> {
        for sample in out {
            *sample = (self.phase.sin() * AMPLITUDE) as f32;
            self.phase = (self.phase + self.step) % TAU;
        }
        Ok(())
    }
}
