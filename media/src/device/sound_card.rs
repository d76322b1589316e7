//! Real microphones and loudspeakers, through cpal.
//!
//! A sound server is preferred where there is one: it shares the card. ALSA is not even asked when the
//! machine has no card, because its library writes to stderr about that, and only foreign code could keep
//! it from doing so. With a card that refuses, its lines are still seen.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use cpal::traits::{DeviceTrait, HostTrait, StreamTrait};
use cpal::{BufferSize, ErrorKind, FromSample, Host, SampleFormat, SizedSample, StreamConfig};

use super::kept::{Card, Kept, Opener, Patience};
use super::punctual::{Punctuality, Starvation, punctuality};
use super::ring::{CardSink, CardSource, FromCard, ToCard, from_card, to_card};
use super::{Capture, DeviceError, DeviceName, Devices, Direction, Playback};
use crate::{Channels, SAMPLE_RATE};

/// How long a sound server may take to open a stream.
const OPEN_TIMEOUT: Duration = Duration::from_secs(2);

/// Failures of one stream that wait to be told; the first is enough.
const FAILURES_MAX: usize = 4;

/// A microphone's block, and those of a loudspeaker that are tried one after the other, in milliseconds. A sound server holds two
/// of what is played: shorter ones are less delay, and run out on a busy machine.
const BLOCK_MS: u32 = 10;
const BLOCKS_MS: [u32; 3] = [10, 20, 40];

/// A loudspeaker's channels.
const EARS: usize = 2;

/// The most channels that are mixed down or filled.
const CHANNELS_MAX: u16 = 64;

pub(super) fn open_input(name: Option<&str>, channels: Channels) -> Result<Box<dyn Capture>, DeviceError> {
    Ok(match channels {
        Channels::Mono => kept(Some(build_capture::<1>(name)?), name),
        Channels::Stereo => kept(Some(build_capture::<2>(name)?), name),
    })
}

fn kept<const CHANNELS: usize>(capture: Option<CardCapture<CHANNELS>>, name: Option<&str>) -> Box<dyn Capture>
where
    Kept<CardCapture<CHANNELS>>: Capture,
{
    let microphone = Microphone(name.map(str::to_owned));
    Box::new(Kept::new(capture, Direction::Input, microphone, Patience::default()))
}

pub(super) fn open_output(name: Option<&str>) -> Result<Box<dyn Playback>, DeviceError> {
    let playback = build_playback(name, BLOCKS_MS[0])?;
    Ok(Box::new(Kept::new(Some(playback), Direction::Output, Loudspeaker::new(name), Patience::default())))
}

#[expect(clippy::unnecessary_wraps, reason = "a build without devices has none to wait for")]
pub(super) fn await_input(channels: Channels) -> Result<Box<dyn Capture>, DeviceError> {
    Ok(match channels {
        Channels::Mono => kept::<1>(None, None),
        Channels::Stereo => kept::<2>(None, None),
    })
}

#[expect(clippy::unnecessary_wraps, reason = "a build without devices has none to wait for")]
pub(super) fn await_output() -> Result<Box<dyn Playback>, DeviceError> {
    Ok(Box::new(Kept::new(None, Direction::Output, Loudspeaker::new(None), Patience::default())))
}

/// A microphone by its name; the default one without.
struct Microphone(Option<String>);

impl<const CHANNELS: usize> Opener<CardCapture<CHANNELS>> for Microphone {
    fn open(&mut self) -> Result<CardCapture<CHANNELS>, DeviceError> {
        build_capture(self.0.as_deref())
    }

    fn name(&mut self) -> Option<String> {
        default_name(self.0.as_deref(), Direction::Input)
    }
}

/// A loudspeaker, likewise, and how long its blocks are: which of [`BLOCKS_MS`].
struct Loudspeaker {
    name: Option<String>,
    block: usize,
}

impl Loudspeaker {
    fn new(name: Option<&str>) -> Self {
        Self { name: name.map(str::to_owned), block: 0 }
    }
}

impl Opener<CardPlayback> for Loudspeaker {
    fn open(&mut self) -> Result<CardPlayback, DeviceError> {
        build_playback(self.name.as_deref(), BLOCKS_MS[self.block])
    }

    fn name(&mut self) -> Option<String> {
        default_name(self.name.as_deref(), Direction::Output)
    }

    fn lengthen(&mut self) -> bool {
        let longer = (self.block + 1).min(BLOCKS_MS.len() - 1);
        std::mem::replace(&mut self.block, longer) != longer
    }
}

/// What the default device is called now; what has a name keeps it.
fn default_name(name: Option<&str>, direction: Direction) -> Option<String> {
    let host = if name.is_none() { host() } else { None };
    default_device(&host?, direction).as_ref().and_then(name_of).map(|device| device.name)
}

impl<const CHANNELS: usize> Capture for Kept<CardCapture<CHANNELS>> {
    fn read(&mut self, out: &mut [f32]) -> Result<(), DeviceError> {
        let samples = out.len() / CHANNELS;
        let told = self.with(samples, |card| {
            card.ring.read(out);
            check(&card.failed, Direction::Input)
        });
        if !matches!(told, Ok(true) | Err(DeviceError::Restored(_))) {
            out.fill(0.0);
        }
        told.map(drop)
    }

    fn channels(&self) -> Channels {
        if CHANNELS == 1 { Channels::Mono } else { Channels::Stereo }
    }

    fn gaps(&self) -> u64 {
        self.gaps()
    }
}

impl Playback for Kept<CardPlayback> {
    fn write(&mut self, pcm: &[f32]) -> Result<(), DeviceError> {
        let told = self.with(pcm.len(), |card| {
            card.ring.write(pcm);
            check(&card.failed, Direction::Output)
        });
        told.map(drop)
    }

    fn channels(&self) -> Channels {
        Channels::Stereo
    }

    fn gaps(&self) -> u64 {
        self.gaps()
    }
}

fn build_capture<const CHANNELS: usize>(name: Option<&str>) -> Result<CardCapture<CHANNELS>, DeviceError> {
    let direction = Direction::Input;
    let (device, config, format) = find(name, direction, CHANNELS, BLOCK_MS)?;
    let (failures, failed) = sync_channel(FAILURES_MAX);
    let (sink, ring) = from_card(config.sample_rate);
    let beats = Arc::new(AtomicU64::new(0));
    let build = match format {
        SampleFormat::I16 => build_input::<i16, CHANNELS>,
        SampleFormat::I32 => build_input::<i32, CHANNELS>,
        SampleFormat::U8 => build_input::<u8, CHANNELS>,
        SampleFormat::U16 => build_input::<u16, CHANNELS>,
        _ => build_input::<f32, CHANNELS>,
    };
    let stream = build(&device, config, sink, beats.clone(), failures)
        .map_err(|error| refused(name, direction, &error))?;
    stream.play().map_err(|error| refused(name, direction, &error))?;
    Ok(CardCapture { _stream: stream, ring, beats, failed })
}

fn build_playback(name: Option<&str>, block_ms: u32) -> Result<CardPlayback, DeviceError> {
    let direction = Direction::Output;
    let (device, config, format) = find(name, direction, EARS, block_ms)?;
    let (failures, failed) = sync_channel(FAILURES_MAX);
    let (ring, source) = to_card(config.sample_rate);
    let beats = Arc::new(AtomicU64::new(0));
    let build = match format {
        SampleFormat::I16 => build_output::<i16>,
        SampleFormat::I32 => build_output::<i32>,
        SampleFormat::U8 => build_output::<u8>,
        SampleFormat::U16 => build_output::<u16>,
        _ => build_output::<f32>,
    };
    let (punctuality, starvation) = punctuality(Duration::from_millis(u64::from(2 * block_ms)));
    let stream = build(&device, config, source, (beats.clone(), punctuality), failures)
        .map_err(|error| refused(name, direction, &error))?;
    stream.play().map_err(|error| refused(name, direction, &error))?;
    Ok(CardPlayback { _stream: stream, ring, beats, starvation, failed })
}

pub(super) fn list_devices() -> Result<Devices, DeviceError> {
    let Some(host) = host() else { return Ok(Devices::default()) };
    Ok(Devices { inputs: names(&host, Direction::Input), outputs: names(&host, Direction::Output) })
}

#[cfg(target_os = "linux")]
fn host() -> Option<Host> {
    let server = cpal::available_hosts().into_iter().filter(|&id| id != cpal::HostId::Alsa);
    server.filter_map(|id| cpal::host_from_id(id).ok()).next().or_else(|| {
        let cards = std::fs::read_to_string("/proc/asound/cards").unwrap_or_default();
        // Each card has a line that begins with its number.
        let any =
            cards.lines().any(|line| line.trim_start().starts_with(|first: char| first.is_ascii_digit()));
        any.then(|| cpal::host_from_id(cpal::HostId::Alsa).ok()).flatten()
    })
}

#[cfg(not(target_os = "linux"))]
fn host() -> Option<Host> {
    Some(cpal::default_host())
}

fn default_device(host: &Host, direction: Direction) -> Option<cpal::Device> {
    match direction {
        Direction::Input => host.default_input_device(),
        Direction::Output => host.default_output_device(),
    }
}

fn devices(host: &Host, direction: Direction) -> Vec<cpal::Device> {
    let devices = match direction {
        Direction::Input => host.input_devices().map(Iterator::collect),
        Direction::Output => host.output_devices().map(Iterator::collect),
    };
    devices.unwrap_or_default()
}

fn name_of(device: &cpal::Device) -> Option<DeviceName> {
    let name = device.id().ok()?.id().to_owned();
    Some(DeviceName { name, description: device.to_string() })
}

fn names(host: &Host, direction: Direction) -> Vec<DeviceName> {
    let first = default_device(host, direction).as_ref().and_then(name_of);
    let mut names: Vec<_> = devices(host, direction).iter().filter_map(name_of).collect();
    names.sort_by_key(|device| Some(&device.name) != first.as_ref().map(|first| &first.name));
    names
}

fn find(
    name: Option<&str>,
    direction: Direction,
    channels: usize,
    block_ms: u32,
) -> Result<(cpal::Device, StreamConfig, SampleFormat), DeviceError> {
    let host = host();
    let device = match (name, &host) {
        (None, Some(host)) => default_device(host, direction),
        (Some(name), Some(host)) => devices(host, direction).into_iter().find(|device| {
            name_of(device).is_some_and(|known| known.name == name || known.description == name)
        }),
        (_, None) => None,
    };
    let device = device.ok_or_else(|| absent(name, direction))?;
    let (config, format) = choose_config(&device, direction, channels, block_ms)
        .map_err(|error| refused(name, direction, &error))?;
    Ok((device, config, format))
}

/// 48 kHz as floats if the device has it, in as many channels as wanted or nearly so; whatever it likes best otherwise.
fn choose_config(
    device: &cpal::Device,
    direction: Direction,
    wanted: usize,
    block_ms: u32,
) -> Result<(StreamConfig, SampleFormat), cpal::Error> {
    // Asked first: where there is no card, this is what fails, and not the search for the device.
    let (best, supported): (_, Vec<_>) = match direction {
        Direction::Input => (device.default_input_config()?, device.supported_input_configs()?.collect()),
        Direction::Output => (device.default_output_config()?, device.supported_output_configs()?.collect()),
    };
    let fitting = supported
        .into_iter()
        .filter(|range| range.contains_rate(SAMPLE_RATE) && range.sample_format() == SampleFormat::F32)
        .min_by_key(|range| usize::from(range.channels()).abs_diff(wanted))
        .map(|range| range.with_sample_rate(SAMPLE_RATE));
    let chosen = fitting.unwrap_or(best);
    let known =
        [SampleFormat::F32, SampleFormat::I16, SampleFormat::I32, SampleFormat::U8, SampleFormat::U16];
    let (channels, rate) = (chosen.channels(), chosen.sample_rate());
    if !known.contains(&chosen.sample_format()) || !(1..=CHANNELS_MAX).contains(&channels) || rate == 0 {
        let what = format!("{channels} channels of {} at {rate} Hz", chosen.sample_format());
        return Err(cpal::Error::with_message(ErrorKind::UnsupportedConfig, what));
    }
    let mut config = chosen.config();
    // A sound server's own choice can be two seconds.
    config.buffer_size = BufferSize::Fixed(config.sample_rate * block_ms / 1_000);
    Ok((config, chosen.sample_format()))
}

fn absent(name: Option<&str>, direction: Direction) -> DeviceError {
    match name {
        None => DeviceError::NoDefault(direction),
        Some(name) => DeviceError::Missing(name.to_owned(), direction),
    }
}

fn refused(name: Option<&str>, direction: Direction, error: &cpal::Error) -> DeviceError {
    match error.kind() {
        ErrorKind::DeviceNotAvailable | ErrorKind::HostUnavailable => absent(name, direction),
        _ => DeviceError::Broken(error.to_string(), direction),
    }
}

/// Tells of a failure unless it is one that passes by itself.
fn tell(failures: &SyncSender<String>, error: &cpal::Error) {
    if !matches!(error.kind(), ErrorKind::Xrun | ErrorKind::RealtimeDenied | ErrorKind::DeviceChanged) {
        // If there is no room, an earlier failure says enough.
        let _ = failures.try_send(error.to_string());
    }
}

fn build_input<T, const CHANNELS: usize>(
    device: &cpal::Device,
    config: StreamConfig,
    mut sink: CardSink<CHANNELS>,
    beats: Arc<AtomicU64>,
    failures: SyncSender<String>,
) -> Result<cpal::Stream, cpal::Error>
where
    T: SizedSample,
    f32: FromSample<T>,
{
    let channels = usize::from(config.channels);
    let on_samples = move |samples: &[T], _: &cpal::InputCallbackInfo| {
        beats.fetch_add(1, Ordering::Relaxed);
        sink.begin(samples.len() / channels);
        for frame in samples.chunks_exact(channels) {
            let at = |channel: usize| f32::from_sample_(frame[channel.min(channels - 1)]);
            sink.put(match CHANNELS {
                1 => [(0..channels).map(at).sum::<f32>() / channels as f32; CHANNELS],
                // The first two are left and right; of a single one both are made.
                _ => std::array::from_fn(at),
            });
        }
    };
    device.build_input_stream(config, on_samples, move |error| tell(&failures, &error), Some(OPEN_TIMEOUT))
}

fn build_output<T>(
    device: &cpal::Device,
    config: StreamConfig,
    mut source: CardSource,
    (beats, mut punctuality): (Arc<AtomicU64>, Punctuality),
    failures: SyncSender<String>,
) -> Result<cpal::Stream, cpal::Error>
where
    T: SizedSample + FromSample<f32>,
{
    let channels = usize::from(config.channels);
    let mut last = None;
    let on_room = move |samples: &mut [T], info: &cpal::OutputCallbackInfo| {
        beats.fetch_add(1, Ordering::Relaxed);
        let now = info.timestamp().callback;
        if let Some(last) = last.replace(now) {
            punctuality.on_callback(now.saturating_duration_since(last));
        }
        source.begin(samples.len() / channels);
        for frame in samples.chunks_exact_mut(channels) {
            let [left, right] = source.take();
            match frame {
                [both] => *both = T::from_sample_((left + right) / 2.0),
                // The first two are the front ones; whatever else there is stays silent.
                [one, other, rest @ ..] => {
                    (*one, *other) = (T::from_sample_(left), T::from_sample_(right));
                    rest.fill(T::from_sample_(0.0));
                }
                [] => {}
            }
        }
    };
    device.build_output_stream(config, on_room, move |error| tell(&failures, &error), Some(OPEN_TIMEOUT))
}

struct CardCapture<const CHANNELS: usize> {
    _stream: cpal::Stream,
    ring: FromCard<CHANNELS>,
    beats: Arc<AtomicU64>,
    failed: Receiver<String>,
}

impl<const CHANNELS: usize> Card for CardCapture<CHANNELS> {
    fn beats(&self) -> u64 {
        self.beats.load(Ordering::Relaxed)
    }

    fn gaps(&self) -> u64 {
        self.ring.gaps()
    }
}

struct CardPlayback {
    _stream: cpal::Stream,
    ring: ToCard,
    beats: Arc<AtomicU64>,
    starvation: Starvation,
    failed: Receiver<String>,
}

impl Card for CardPlayback {
    fn beats(&self) -> u64 {
        self.beats.load(Ordering::Relaxed)
    }

    fn gaps(&self) -> u64 {
        self.ring.gaps()
    }

    fn is_starved(&mut self, samples: usize) -> bool {
        self.starvation.is_told(samples)
    }
}

fn check(failed: &Receiver<String>, direction: Direction) -> Result<(), DeviceError> {
    match failed.try_recv() {
        Ok(what) => Err(DeviceError::Broken(what, direction)),
        Err(_) => Ok(()),
    }
}
