//! The flags of a voice and a pair of ears, and what they come to: devices and an encoder.

use std::path::PathBuf;
use std::time::Duration;

use alm_media::device::{DeviceError, InputSpec, OutputSpec};
use alm_media::{
    BITRATE_MAX, BITRATE_MIN, Channels, CodecConfig, Encoder, FrameLength, Recording, VoiceConfig, WavError,
};

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

    /// Begin with the microphone off; `alm unmute` or `alm ptt on` opens it
    #[arg(long)]
    muted: bool,

    /// No sound when the microphone goes on or off
    #[arg(long)]
    no_cue: bool,

    /// Bits per second of the voice, 16k to 256k; with --stereo 96k if nothing is said
    #[arg(long, value_name = "RATE", value_parser = bitrate, default_value = "32k")]
    #[arg(default_value_if("stereo", "true", "96k"))]
    bitrate: u32,

    /// Sound in one packet: 2.5ms, 5ms, 10ms, 20ms, 40ms or 60ms
    #[arg(long, value_name = "TIME", value_parser = frame, default_value = "20ms")]
    frame: FrameLength,

    /// Leave in the microphone what the loudspeaker says
    #[arg(long)]
    no_echo: bool,

    /// Leave noise in the voice
    #[arg(long)]
    no_noise: bool,

    /// Leave the voice as loud or quiet as it is
    #[arg(long)]
    no_gain: bool,

    /// All three: send the microphone as it is, for music say
    #[arg(long)]
    no_processing: bool,

    /// Send left and right, for music say; the microphone as it is, as with --no-processing
    #[arg(long)]
    stereo: bool,

    /// Keep what everybody says in this directory, a file for each and one for all; the others are told
    #[arg(long, value_name = "DIR")]
    record: Option<PathBuf>,

    /// Send nothing while nothing is said; whoever relays can then tell when you speak
    #[arg(long)]
    dtx: bool,
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
        let channels = if self.stereo { Channels::Stereo } else { Channels::Mono };
        let codec = CodecConfig {
            bitrate: self.bitrate,
            frame: self.frame,
            voice: self.input.is_device() && !self.stereo,
            channels,
            dtx: self.dtx,
            ..CodecConfig::default()
        };
        Encoder::new(codec).map_err(|error| CliError::wrong(error, "--frame", "choose shorter frames"))?;
        let mut troubles = Vec::new();
        // A sound server takes its time over each device: both at once, and people wait half as long.
        let (capture, playback) = std::thread::scope(|scope| {
            let capture = scope.spawn(|| self.input.open(self.looped, channels));
            let playback = self.output.open();
            (capture.join(), playback)
        });
        let capture = match capture.unwrap_or_else(|panic| std::panic::resume_unwind(panic)) {
            Err(error) if self.input == InputSpec::Default => {
                troubles.push(format!("no microphone, nobody will hear you: {error}"));
                InputSpec::await_default(channels).or_else(|_| InputSpec::Silence.open(false, channels))
            }
            opened => opened,
        };
        let playback = match playback {
            Err(error) if self.output == OutputSpec::Default => {
                troubles.push(format!("no loudspeaker, you will hear nobody: {error}"));
                OutputSpec::await_default().or_else(|_| OutputSpec::Null.open())
            }
            opened => opened,
        };
        let capture = capture.map_err(|error| refused(&error, &self.input))?;
        let playback = playback.map_err(|error| match &error {
            DeviceError::Wav(WavError::Io { path, source }) => {
                let what = format!("cannot write the recording ({})", reason(source));
                CliError::failed(what, path.display(), "choose another path")
            }
            _ => refused(&error, &self.output),
        })?;
        // Last: nothing is left behind by a command that cannot begin.
        let recording = self.record.as_deref().and_then(|dir| match Recording::create(dir) {
            Ok(recording) => Some(recording),
            Err(error) => {
                troubles.push(format!("nothing is recorded: {error}"));
                None
            }
        });
        // What stands in for a microphone is heard as it is.
        let voice = match self.input.is_device() && !self.no_processing && !self.stereo {
            true => VoiceConfig { echo: !self.no_echo, noise: !self.no_noise, gain: !self.no_gain },
            false => VoiceConfig::NONE,
        };
        let (pace, muted) = (Pace::Thread, self.muted);
        // A file keeps what the others say, and nothing else.
        let cue = self.output.is_device() && !self.no_cue;
        let audio = AudioConfig { capture, playback, voice, codec, pace, muted, cue, recording };
        Ok(Media { audio, troubles })
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
