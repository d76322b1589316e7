//! WAV files in a device's place.

use std::path::Path;

use super::{Capture, DeviceError, Playback};
use crate::codec::Channels;
use crate::wav::{WavError, WavWriter, read_wav_as};

/// A file as a microphone.
pub(super) struct FileCapture {
    channels: Channels,
    /// Interleaved.
    samples: Vec<f32>,
    at: usize,
    looped: bool,
}

impl FileCapture {
    pub(super) fn open(path: &Path, looped: bool, channels: Channels) -> Result<Self, WavError> {
        Ok(Self { channels, samples: read_wav_as(path, channels)?, at: 0, looped })
    }
}

impl Capture for FileCapture {
    fn read(&mut self, mut out: &mut [f32]) -> Result<(), DeviceError> {
        while !out.is_empty() {
            if self.at == self.samples.len() {
                if !self.looped {
                    out.fill(0.0);
                    break;
                }
                self.at = 0;
            }
            let length = out.len().min(self.samples.len() - self.at);
            let (now, later) = out.split_at_mut(length);
            now.copy_from_slice(&self.samples[self.at..self.at + length]);
            self.at += length;
            out = later;
        }
        Ok(())
    }

    fn channels(&self) -> Channels {
        self.channels
    }
}

/// A file as a loudspeaker.
pub(super) struct FilePlayback {
    /// `None` once writing has failed.
    writer: Option<WavWriter>,
}

impl FilePlayback {
    pub(super) fn create(path: &Path) -> Result<Self, WavError> {
        Ok(Self { writer: Some(WavWriter::create(path)?) })
    }
}

impl Playback for FilePlayback {
    fn write(&mut self, pcm: &[f32]) -> Result<(), DeviceError> {
        let Some(writer) = &mut self.writer else { return Ok(()) };
        let written = writer.write(pcm);
        if written.is_err() {
            self.writer = None;
        }
        written.map_err(DeviceError::from)
    }
}
