//! Where sound comes from and goes to: tables of constructors, the sound card first, then what stands in for
//! it. Everything is 48 kHz, one channel or two.
//!
//! Sources and sinks are read and written by the frame, at the pace of the caller's clock; none of them
//! waits. A sound card's own clock is matched to the caller's on the way.

mod file;
#[cfg(any(feature = "audio", test))]
mod kept;
#[cfg(any(feature = "audio", test))]
mod level;
#[cfg(not(feature = "audio"))]
mod not_built;
mod null;
#[cfg(any(feature = "audio", test))]
mod punctual;
#[cfg(any(feature = "audio", test))]
mod resample;
#[cfg(any(feature = "audio", test))]
mod ring;
mod silence;
#[cfg(feature = "audio")]
mod sound_card;
mod tone;

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use crate::codec::Channels;
use crate::wav::WavError;

#[cfg(not(feature = "audio"))]
use self::not_built as sound_card;

/// The highest tone, in hertz: what an ear may hear.
pub const TONE_HZ_MAX: f32 = 20_000.0;

/// Where sound comes from, frame by frame.
pub trait Capture: Send {
    /// Fills `out` with the samples that follow, by turns for each of [`channels`](Self::channels); silence where there are
    /// none. Does not wait.
    ///
    /// # Errors
    /// The device has failed: said once, and silence follows until it is back, which is said as well.
    fn read(&mut self, out: &mut [f32]) -> Result<(), DeviceError>;

    /// Whether it gives one sample after the other, or one of the left and one of the right by turns. Always the same.
    fn channels(&self) -> Channels {
        Channels::Mono
    }

    /// How often, ever, the device has left a gap: it had nothing to give when it should have, or was gone.
    fn gaps(&self) -> u64 {
        0
    }
}

/// Where sound goes, frame by frame.
pub trait Playback: Send {
    /// Takes samples to be played after those before them, by turns for each of [`channels`](Self::channels). Does not wait.
    ///
    /// # Errors
    /// The device has failed or the file cannot be written: said once, and what follows is dropped until the device is back,
    /// which is said as well.
    fn write(&mut self, pcm: &[f32]) -> Result<(), DeviceError>;

    /// The same with one channel's samples for all.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    fn write_mono(&mut self, pcm: &[f32]) -> Result<(), DeviceError> {
        let channels = self.channels().count();
        self.write(&pcm.iter().flat_map(|sample| std::iter::repeat_n(*sample, channels)).collect::<Vec<_>>())
    }

    /// Whether it takes one sample after the other, or one for the left ear and one for the right by turns. Always the same.
    fn channels(&self) -> Channels {
        Channels::Mono
    }

    /// How often, ever, there has been a gap: the device was given too little in time, or was gone.
    fn gaps(&self) -> u64 {
        0
    }
}

/// Why there is no device, or no more.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// The machine has no default device; the conference goes on without it.
    #[error("no default {0} device; name one, or join without")]
    NoDefault(Direction),
    /// There is no device of that name.
    #[error("no {1} device named {0:?}; `alm devices` lists them")]
    Missing(String, Direction),
    /// The device is there and does not work, or has ceased to.
    #[error("the {1} device does not work: {0}")]
    Broken(String, Direction),
    /// It is there, and has not asked for samples, or given any, for a while.
    #[error("the {0} device has fallen silent; it is opened again")]
    Silent(Direction),
    /// No error: a device that was gone is back.
    #[error("the {0} device works again")]
    Restored(Direction),
    /// Built without the feature `audio`.
    #[error("this build has no sound devices; use file:, tone: or silence, and file: or null")]
    NotBuilt,
    /// A file that stands in for a device.
    #[error(transparent)]
    Wav(#[from] WavError),
}

/// A sound device, as [`list_devices`] has it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DeviceName {
    /// What `--input` and `--output` know it by; unique.
    pub name: String,
    /// What its maker calls it; `--input` and `--output` take that as well.
    pub description: String,
}

/// The machine's sound devices, the default one first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Devices {
    /// Microphones.
    pub inputs: Vec<DeviceName>,
    /// Loudspeakers.
    pub outputs: Vec<DeviceName>,
}

/// Lists the machine's sound devices; to have none is no error.
///
/// # Errors
/// The build has no sound devices.
pub fn list_devices() -> Result<Devices, DeviceError> {
    sound_card::list_devices()
}

/// Which way sound flows, seen from the conference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From a microphone.
    Input,
    /// To a loudspeaker.
    Output,
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Input => "input",
            Self::Output => "output",
        })
    }
}

/// Why text names no input or output.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// Nothing at all, or no path after `file:`.
    #[error("{0:?} names nothing; give one of {1}")]
    Empty(String, &'static str),
    /// No frequency after `tone:`, or one that cannot be heard.
    #[error("{0:?} is no tone; give a frequency above 0 and up to {TONE_HZ_MAX} Hz, as in tone:440")]
    Tone(String),
}

/// What `--input` names.
#[derive(Clone, Debug, PartialEq)]
pub enum InputSpec {
    /// The system's default microphone.
    Default,
    /// A microphone by its name.
    Device(String),
    /// A WAV file, in real time.
    File(PathBuf),
    /// A sine of that frequency in hertz, at -12 dBFS.
    Tone(f32),
    /// Nothing.
    Silence,
}

/// What `--output` names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OutputSpec {
    /// The system's default loudspeaker.
    Default,
    /// A loudspeaker by its name.
    Device(String),
    /// A WAV file, 48 kHz, 16 bit, mono.
    File(PathBuf),
    /// Nowhere.
    Null,
}

/// One line of a table: how the spec is written, and how what follows the prefix is read.
struct Form<Spec> {
    /// The whole text, or, if it ends in `:`, what it begins with.
    word: &'static str,
    read: fn(&str) -> Result<Spec, SpecError>,
}

/// The forms of [`InputSpec`], for help texts. What matches none of the others is a device's name.
pub const INPUT_FORMS: &str = "default, DEVICE, file:PATH.wav, tone:HZ, silence";

/// The forms of [`OutputSpec`], for help texts. What matches none of the others is a device's name.
pub const OUTPUT_FORMS: &str = "default, DEVICE, file:PATH.wav, null";

const INPUTS: &[Form<InputSpec>] = &[
    Form { word: "default", read: |_| Ok(InputSpec::Default) },
    Form { word: "file:", read: |path| read_path(path, INPUT_FORMS).map(InputSpec::File) },
    Form { word: "tone:", read: |hertz| read_tone(hertz).map(InputSpec::Tone) },
    Form { word: "silence", read: |_| Ok(InputSpec::Silence) },
];

const OUTPUTS: &[Form<OutputSpec>] = &[
    Form { word: "default", read: |_| Ok(OutputSpec::Default) },
    Form { word: "file:", read: |path| read_path(path, OUTPUT_FORMS).map(OutputSpec::File) },
    Form { word: "null", read: |_| Ok(OutputSpec::Null) },
];

impl InputSpec {
    /// Whether this is a real microphone, whose sound wants processing: echo, noise, gain, voice detection.
    pub fn is_device(&self) -> bool {
        matches!(self, Self::Default | Self::Device(_))
    }

    /// The system's default microphone, which is not there yet: it is taken up once it is.
    ///
    /// # Errors
    /// The build has no sound devices.
    pub fn await_default(channels: Channels) -> Result<Box<dyn Capture>, DeviceError> {
        sound_card::await_input(channels)
    }

    /// Opens it; a device is opened again when it fails. A file plays once, and silence follows; with `looped` it repeats.
    /// What has not as many channels is mixed down, or is the same on both sides; a tone and silence are always mono.
    ///
    /// # Errors
    /// There is no such device, it does not work, or the file cannot be read.
    pub fn open(&self, looped: bool, channels: Channels) -> Result<Box<dyn Capture>, DeviceError> {
        Ok(match self {
            Self::Default => sound_card::open_input(None, channels)?,
            Self::Device(name) => sound_card::open_input(Some(name), channels)?,
            Self::File(path) => Box::new(file::FileCapture::open(path, looped, channels)?),
            Self::Tone(hertz) => Box::new(tone::Tone::new(*hertz)),
            Self::Silence => Box::new(silence::Silence),
        })
    }
}

impl OutputSpec {
    /// Whether this is a real loudspeaker.
    pub fn is_device(&self) -> bool {
        matches!(self, Self::Default | Self::Device(_))
    }

    /// The system's default loudspeaker, which is not there yet: it is taken up once it is.
    ///
    /// # Errors
    /// The build has no sound devices.
    pub fn await_default() -> Result<Box<dyn Playback>, DeviceError> {
        sound_card::await_output()
    }

    /// Opens it; a device is opened again when it fails. A file is emptied first.
    ///
    /// # Errors
    /// There is no such device, it does not work, or the file cannot be made.
    pub fn open(&self) -> Result<Box<dyn Playback>, DeviceError> {
        Ok(match self {
            Self::Default => sound_card::open_output(None)?,
            Self::Device(name) => sound_card::open_output(Some(name))?,
            Self::File(path) => Box::new(file::FilePlayback::create(path)?),
            Self::Null => Box::new(null::Null),
        })
    }
}

impl FromStr for InputSpec {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        read_spec(text, INPUTS, INPUT_FORMS, Self::Device)
    }
}

impl FromStr for OutputSpec {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        read_spec(text, OUTPUTS, OUTPUT_FORMS, Self::Device)
    }
}

impl fmt::Display for InputSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Device(name) => f.write_str(name),
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Tone(hertz) => write!(f, "tone:{hertz}"),
            Self::Silence => f.write_str("silence"),
        }
    }
}

impl fmt::Display for OutputSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Device(name) => f.write_str(name),
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Null => f.write_str("null"),
        }
    }
}

fn read_spec<Spec>(
    text: &str,
    forms: &[Form<Spec>],
    all: &'static str,
    device: fn(String) -> Spec,
) -> Result<Spec, SpecError> {
    for form in forms {
        let rest = match form.word.strip_suffix(':') {
            Some(_) => text.strip_prefix(form.word),
            None => (text == form.word).then_some(""),
        };
        if let Some(rest) = rest {
            return (form.read)(rest);
        }
    }
    if text.trim().is_empty() {
        return Err(SpecError::Empty(text.to_owned(), all));
    }
    Ok(device(text.to_owned()))
}

fn read_path(path: &str, all: &'static str) -> Result<PathBuf, SpecError> {
    if path.is_empty() { Err(SpecError::Empty("file:".to_owned(), all)) } else { Ok(path.into()) }
}

fn read_tone(text: &str) -> Result<f32, SpecError> {
    let refused = || SpecError::Tone(format!("tone:{text}"));
    let hertz: f32 = text.parse().map_err(|_| refused())?;
    // Also refuses what is no number.
    if hertz > 0.0 && hertz <= TONE_HZ_MAX { Ok(hertz) } else { Err(refused()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{level_at, tone};
    use crate::wav::read_wav;

    #[test]
    fn specs_are_read_and_written() {
        for (text, spec) in [
            ("default", InputSpec::Default),
            ("USB microphone", InputSpec::Device("USB microphone".to_owned())),
            ("file:/tmp/a b.wav", InputSpec::File("/tmp/a b.wav".into())),
            ("tone:440", InputSpec::Tone(440.0)),
            ("tone:0.5", InputSpec::Tone(0.5)),
            ("silence", InputSpec::Silence),
        ] {
            assert_eq!(text.parse(), Ok(spec.clone()));
            assert_eq!(spec.to_string(), text);
        }
        for (text, spec) in [
            ("default", OutputSpec::Default),
            ("hdmi", OutputSpec::Device("hdmi".to_owned())),
            ("file:out.wav", OutputSpec::File("out.wav".into())),
            ("null", OutputSpec::Null),
        ] {
            assert_eq!(text.parse(), Ok(spec.clone()));
            assert_eq!(spec.to_string(), text);
        }
        assert!(InputSpec::Default.is_device() && !InputSpec::Tone(1.0).is_device());
    }

    #[test]
    fn bad_specs_are_refused() {
        for text in
            ["", " ", "file:", "tone:", "tone:0", "tone:-1", "tone:abc", "tone:20001", "tone:NaN", "tone:inf"]
        {
            assert!(text.parse::<InputSpec>().is_err(), "{text:?}");
        }
        for text in ["", "file:"] {
            assert!(text.parse::<OutputSpec>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_tone_has_its_level_and_no_seams() {
        let mut input = "tone:440".parse::<InputSpec>().unwrap().open(false, Channels::Mono).unwrap();
        let mut pcm = Vec::new();
        for samples in [960, 120, 2_880, 960].into_iter().cycle().take(100) {
            let mut frame = vec![0.0; samples];
            input.read(&mut frame).unwrap();
            pcm.extend(frame);
        }
        let error = tone(440.0, 0.251_19, pcm.len()).into_iter().zip(&pcm).map(|(a, b)| (a - b).abs());
        assert!(error.fold(0.0, f32::max) < 1e-3);
        assert!((level_at(440.0, &pcm) - 0.251_19).abs() < 1e-3, "-12 dBFS");
    }

    #[test]
    fn files_are_played_once_or_over_and_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.wav");
        let mut out = OutputSpec::File(path.clone()).open().unwrap();
        out.write(&tone(440.0, 0.5, 1_000)).unwrap();
        drop(out);
        let samples = read_wav(&path).unwrap();
        for looped in [false, true] {
            let mut input = InputSpec::File(path.clone()).open(looped, Channels::Mono).unwrap();
            let mut pcm = vec![9.0; 2_500];
            input.read(&mut pcm[..700]).unwrap();
            input.read(&mut pcm[700..]).unwrap();
            assert_eq!(pcm[..1_000], samples);
            let after = if looped { samples.clone() } else { vec![0.0; 1_000] };
            assert_eq!(pcm[1_000..2_000], after);
            assert_eq!(pcm[2_000..], after[..500]);
        }
        let mut silence = InputSpec::Silence.open(false, Channels::Mono).unwrap();
        let mut pcm = [1.0; 10];
        silence.read(&mut pcm).unwrap();
        assert_eq!(pcm, [0.0; 10]);
        OutputSpec::Null.open().unwrap().write(&pcm).unwrap();
    }

    #[test]
    fn missing_files_and_folders_are_errors() {
        let missing = InputSpec::File("/nowhere/a.wav".into()).open(false, Channels::Mono).err().unwrap();
        assert!(missing.to_string().contains("/nowhere/a.wav"));
        let missing = OutputSpec::File("/nowhere/a.wav".into()).open().err().unwrap();
        assert!(missing.to_string().contains("/nowhere/a.wav"));
    }
}
