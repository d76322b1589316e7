//! What stands in for the sound card in a build without one.

use super::{Capture, DeviceError, Devices, Playback};
use crate::codec::Channels;

pub(super) fn open_input(_name: Option<&str>, _channels: Channels) -> Result<Box<dyn Capture>, DeviceError> {
    Err(DeviceError::NotBuilt)
}

pub(super) fn open_output(_name: Option<&str>) -> Result<Box<dyn Playback>, DeviceError> {
    Err(DeviceError::NotBuilt)
}

pub(super) fn await_input(_channels: Channels) -> Result<Box<dyn Capture>, DeviceError> {
    Err(DeviceError::NotBuilt)
}

pub(super) fn await_output() -> Result<Box<dyn Playback>, DeviceError> {
    Err(DeviceError::NotBuilt)
}

pub(super) fn list_devices() -> Result<Devices, DeviceError> {
    Err(DeviceError::NotBuilt)
}
