//! Nothing to hear.

use super::{Capture, DeviceError};

/// An input without sound.
pub(super) struct Silence;

impl Capture for Silence {
    fn read(&mut self, out: &mut [f32]) -> Result<(), DeviceError> {
        out.fill(0.0);
        Ok(())
    }
}
