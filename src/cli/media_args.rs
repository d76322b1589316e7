//! The flags of a voice and a pair of ears, and what they come to: devices and an encoder.

use std::time::Duration;

use alm_media::device::{Capture, DeviceError, InputSpec, OutputSpec, Playback};
use alm_media::{BITRATE_MAX, BITRATE_MIN, CodecConfig, Encoder, FrameLength, WavError};

use super::error::{CliError, reason};
use super::units;
use crate::live::{AudioConfig, Pace};

/// What was typed.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct MediaArgs {
    /// Where the voice comes from: default, a device, file:PATH.wav, tone:HZ or silence
    #[arg(long, value_name = "INPUT", default_value = "default")]
    input: InputSpec,

    /// Where what is heard goes: default, a device, file:PATH.wav or null
    #[arg(long, value_name = "OUTPUT", default_value = "default")]
    output: OutputSpec,

    /// Play a file: input over and over
    #[arg(long = "loop")]
    looped: bool,

    /// Bits per second of the voice, 16k to 256k
    #[arg(long, value_name = "RATE", value_parser = bitrate, default_value = "32k")]
    bitrate: u32,

    /// Sound in one packet: 2.5ms, 5ms, 10ms, 20ms, 40ms or 60ms
    #[arg(long, value_name = "TIME", value_parser = frame, default_value = "20ms")]
    frame: FrameLength,
}

/// Open devices, and what is wrong with those that are done without.
pub(super) struct Media {
    pub(super) audio: AudioConfig,
    pub(super) troubles: Vec<String>,
}

fn bitrate(text: &str) -> Result<u32, String> {
    let rate = u32::try_from(units::rate(text)?).ok();
    let said = || format!("a bit rate is between {}k and {}k", BITRATE_MIN / 1_000, BITRATE_MAX / 1_000);
    rate.filter(|rate| (BITRATE_MIN..=BITRATE_MAX).contains(rate)).ok_or_else(said)
}

fn frame(text: &str) -> Result<FrameLength, String> {
    let micros = |frame: Duration| u64::try_from(frame.as_micros()).ok();
    units::duration(text)
        .ok()
        .and_then(micros)
        .and_then(FrameLength::from_micros)
        .ok_or_else(|| "a frame is 2.5ms, 5ms, 10ms, 20ms, 40ms or 60ms long".to_owned())
}

impl MediaArgs {
    /// Opens the devices. A missing default device is done without and said; anything else that is missing is an error.
    pub(super) fn open(&self) -> Result<Media, CliError> {
        let codec = CodecConfig {
            bitrate: self.bitrate,
            frame: self.frame,
            voice: self.input.is_device(),
            ..CodecConfig::default()
        };
        Encoder::new(codec).map_err(|error| CliError::wrong(error, "--frame", "choose shorter frames"))?;
        let mut troubles = Vec::new();
        let capture: Box<dyn Capture> = match self.input.open(self.looped) {
            Ok(capture) => capture,
            Err(error) if self.input == InputSpec::Default => {
                troubles.push(format!("no microphone, nobody will hear you: {error}"));
                InputSpec::Silence.open(false).map_err(|error| refused(&error, &self.input))?
            }
            failed => failed.map_err(|error| refused(&error, &self.input))?,
        };
        let playback: Box<dyn Playback> = match self.output.open() {
            Ok(playback) => playback,
            Err(error) if self.output == OutputSpec::Default => {
                troubles.push(format!("no loudspeaker, you will hear nobody: {error}"));
                OutputSpec::Null.open().map_err(|error| refused(&error, &self.output))?
            }
            Err(DeviceError::Wav(WavError::Io { path, source })) => {
                let what = format!("cannot write the recording ({})", reason(&source));
                return Err(CliError::failed(what, path.display(), "choose another path"));
            }
            failed => failed.map_err(|error| refused(&error, &self.output))?,
        };
        Ok(Media { audio: AudioConfig { capture, playback, codec, pace: Pace::Thread }, troubles })
    }
}

fn refused(error: &DeviceError, spec: &impl std::fmt::Display) -> CliError {
    match error {
        DeviceError::Wav(WavError::Malformed { path, what }) => {
            let (what, todo) = what.split_once("; ").unwrap_or((what, "give a PCM WAV file"));
            CliError::wrong(format_args!("cannot use the WAV file: {what}"), path.display(), todo)
        }
        DeviceError::Wav(WavError::Io { path, source }) => {
            let what = format!("cannot read the WAV file ({})", reason(source));
            CliError::wrong(what, path.display(), "check the path")
        }
        DeviceError::Missing(..) => {
            CliError::failed("no such sound device", spec, "`alm devices` lists what there is")
        }
        _ => CliError::failed(error, spec, "try another device, or file:, tone: or silence"),
    }
}
