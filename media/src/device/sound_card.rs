//! Real microphones and loudspeakers.

use super::{Capture, DeviceError, Playback};

/// Opens a microphone by its name, or the default one.
///
/// # Errors
/// There is none, it does not work, or the build has no sound devices.
pub(super) fn open_input(_name: Option<&str>) -> Result<Box<dyn Capture>, DeviceError> {
    Err(DeviceError::NotBuilt)
}

/// Opens a loudspeaker by its name, or the default one.
///
/// # Errors
/// There is none, it does not work, or the build has no sound devices.
pub(super) fn open_output(_name: Option<&str>) -> Result<Box<dyn Playback>, DeviceError> {
    Err(DeviceError::NotBuilt)
}

/// The names that `--input` and `--output` know.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Devices {
    /// Microphones, the default one first.
    pub inputs: Vec<String>,
    /// Loudspeakers, the default one first.
    pub outputs: Vec<String>,
}

/// Lists the machine's sound devices; none is no error.
///
/// # Errors
/// The build has no sound devices.
pub fn list_devices() -> Result<Devices, DeviceError> {
    Err(DeviceError::NotBuilt)
}
