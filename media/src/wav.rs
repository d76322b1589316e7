//! WAV files: what stands in for a microphone and a loudspeaker in scripts and tests.

use std::fs::File;
use std::io::{BufWriter, ErrorKind};
use std::path::{Path, PathBuf};

use hound::{SampleFormat, WavReader, WavSpec};
use rubato::audioadapter_buffers::owned::InterleavedOwned;
use rubato::{Fft, FixedSync, Resampler};

use crate::SAMPLE_RATE;
use crate::codec::Channels;

/// The longest file that is read, in seconds: 30 minutes, 350 MB of samples.
pub const WAV_SECONDS_MAX: u32 = 1_800;

/// Sample rates that are read.
pub const WAV_RATES: std::ops::RangeInclusive<u32> = 2_000..=384_000;

/// The most channels that are read.
pub const WAV_CHANNELS_MAX: u16 = 8;

/// The most samples that are written: a WAV file's header counts bytes in 32 bits. 12.4 hours.
pub const WAV_SAMPLES_MAX: u64 = (u32::MAX as u64 - 1_024) / 2;

/// Why a WAV file is not read or written.
#[derive(Debug, thiserror::Error)]
pub enum WavError {
    /// The file cannot be opened, read, made or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The file is no WAV file, ends early, or is of a kind that is not read.
    #[error("{}: {what}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// The file that is written holds [`WAV_SAMPLES_MAX`] samples; it is complete and valid.
    #[error("{}: the recording is full after 12 hours", .0.display())]
    Full(PathBuf),
}

/// Reads a whole PCM file (8 to 32 bit integers or 32 bit floats, [`WAV_RATES`], 1 to [`WAV_CHANNELS_MAX`]
/// channels, at most [`WAV_SECONDS_MAX`]) as 48 kHz mono.
///
/// # Errors
/// The file cannot be read, or is malformed, empty, too long or of another kind.
pub fn read_wav(path: &Path) -> Result<Vec<f32>, WavError> {
    read_wav_as(path, Channels::Mono)
}

/// The same in as many channels as wanted: one is the mean of all that the file has; two are its first two, interleaved, or
/// its only one twice.
///
/// # Errors
/// As [`read_wav`].
pub fn read_wav_as(path: &Path, wanted: Channels) -> Result<Vec<f32>, WavError> {
    let malformed = |what: String| WavError::Malformed { path: path.to_owned(), what };
    let from_hound = |error| match error {
        // The reading library says `Other` where a file ends early; the system never does.
        hound::Error::IoError(source) => match source.kind() {
            ErrorKind::UnexpectedEof | ErrorKind::Other => {
                malformed("the file ends early; record it again".to_owned())
            }
            _ => WavError::Io { path: path.to_owned(), source },
        },
        hound::Error::Unsupported => {
            malformed("this kind of WAV is not read; convert it to 16 bit PCM".to_owned())
        }
        _ => malformed(format!("not a WAV file ({error}); convert it to 16 bit PCM")),
    };
    let reader = WavReader::open(path).map_err(from_hound)?;
    let WavSpec { channels, sample_rate, bits_per_sample, sample_format } = reader.spec();
    if !WAV_RATES.contains(&sample_rate) {
        return Err(malformed(format!("a rate of {sample_rate} Hz; convert it to 48,000 Hz")));
    }
    if !(1..=WAV_CHANNELS_MAX).contains(&channels) || !(8..=32).contains(&bits_per_sample) {
        return Err(malformed(format!(
            "{channels} channels of {bits_per_sample} bit; convert it to mono, 16 bit"
        )));
    }
    // The header's word is checked before any of it is believed with memory.
    if reader.duration() > WAV_SECONDS_MAX * sample_rate {
        return Err(malformed(format!("longer than {} minutes; cut it", WAV_SECONDS_MAX / 60)));
    }
    let scale = 1.0 / (1_u64 << (bits_per_sample - 1)) as f32;
    let samples: Result<Vec<f32>, _> = match sample_format {
        SampleFormat::Float => reader.into_samples::<f32>().collect(),
        SampleFormat::Int => {
            reader.into_samples::<i32>().map(|sample| sample.map(|sample| sample as f32 * scale)).collect()
        }
    };
    let samples = mix(&samples.map_err(from_hound)?, usize::from(channels), wanted);
    if samples.is_empty() {
        return Err(malformed("no samples in it; record it again".to_owned()));
    }
    Ok(resample(samples, wanted.count(), sample_rate))
}

fn mix(interleaved: &[f32], channels: usize, wanted: Channels) -> Vec<f32> {
    let clean = |sample: f32| if sample.is_finite() { sample.clamp(-1.0, 1.0) } else { 0.0 };
    let frames = interleaved.chunks_exact(channels);
    match wanted {
        Channels::Mono => frames.map(|frame| clean(frame.iter().sum::<f32>() / channels as f32)).collect(),
        Channels::Stereo => {
            frames.flat_map(|frame| [frame[0], frame[1.min(channels - 1)]].map(clean)).collect()
        }
    }
}

fn resample(samples: Vec<f32>, channels: usize, rate: u32) -> Vec<f32> {
    /// Long enough for a steep filter, which costs nothing that matters for a file.
    const CHUNK: usize = 2_048;
    if rate == SAMPLE_RATE {
        return samples;
    }
    let length = samples.len() / channels;
    let resampled_length = (length as u64 * u64::from(SAMPLE_RATE)).div_ceil(u64::from(rate));
    let input = InterleavedOwned::new_from(samples, channels, length).expect("channels of that many samples");
    let mut resampled =
        Fft::<f32>::new(rate as usize, SAMPLE_RATE as usize, CHUNK, channels, FixedSync::Both)
            .expect("both rates and the chunk are above zero")
            .process_all(&input, length, None)
            .expect("as many channels as the resampler was made for")
            .take_data();
    // The library computes the length in floating point and is one sample off at some rates.
    resampled.resize(resampled_length as usize * channels, 0.0);
    resampled
}

/// Writes a 48 kHz, 16 bit, mono file whose header is rewritten every second, so that the file is valid
/// whenever the process ends, however it ends.
pub struct WavWriter {
    inner: hound::WavWriter<BufWriter<File>>,
    path: PathBuf,
    samples: u64,
}

impl WavWriter {
    /// Makes the file, or empties it, and writes a header at once.
    ///
    /// # Errors
    /// The file cannot be made.
    pub fn create(path: &Path) -> Result<Self, WavError> {
        let sample_format = SampleFormat::Int;
        let spec = WavSpec { channels: 1, sample_rate: SAMPLE_RATE, bits_per_sample: 16, sample_format };
        hound::WavWriter::create(path, spec)
            .and_then(|mut inner| inner.flush().map(|()| inner))
            .map(|inner| Self { inner, path: path.to_owned(), samples: 0 })
            .map_err(|error| io_error(path, error))
    }

    /// Appends samples; what lies outside of -1..1 is cut off, what is no number is silence.
    ///
    /// # Errors
    /// The file cannot be written, or is full.
    pub fn write(&mut self, pcm: &[f32]) -> Result<(), WavError> {
        for &sample in pcm {
            if self.samples == WAV_SAMPLES_MAX {
                return Err(WavError::Full(self.path.clone()));
            }
            // A float that is no number becomes 0 in this cast, and others are cut to the range.
            let sample = (sample * 32_767.0).round() as i16;
            self.inner.write_sample(sample).map_err(|error| io_error(&self.path, error))?;
            self.samples += 1;
            if self.samples.is_multiple_of(u64::from(SAMPLE_RATE)) {
                self.flush()?;
            }
        }
        Ok(())
    }

    /// Makes the file valid as it stands. Dropping the writer does the same.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn flush(&mut self) -> Result<(), WavError> {
        self.inner.flush().map_err(|error| io_error(&self.path, error))
    }
}

fn io_error(path: &Path, error: hound::Error) -> WavError {
    let path = path.to_owned();
    match error {
        hound::Error::IoError(source) => WavError::Io { path, source },
        other => WavError::Malformed { path, what: other.to_string() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{level_at, tone};
    use proptest::prelude::*;

    fn write(path: &Path, spec: WavSpec, tone: &[f32]) {
        let mut writer = hound::WavWriter::create(path, spec).unwrap();
        for &sample in tone {
            for _ in 0..spec.channels {
                match spec.sample_format {
                    SampleFormat::Float => writer.write_sample(sample).unwrap(),
                    SampleFormat::Int => {
                        let top = ((1_i64 << (spec.bits_per_sample - 1)) - 1) as f64;
                        writer.write_sample((f64::from(sample) * top) as i32).unwrap();
                    }
                }
            }
        }
        writer.finalize().unwrap();
    }

    #[test]
    fn every_kind_becomes_48_khz_mono() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("in.wav");
        for (sample_rate, channels, bits_per_sample, sample_format) in [
            (48_000, 1, 16, SampleFormat::Int),
            (44_100, 2, 16, SampleFormat::Int),
            (16_000, 1, 8, SampleFormat::Int),
            (8_000, 1, 24, SampleFormat::Int),
            (96_000, 2, 32, SampleFormat::Int),
            (22_051, 1, 32, SampleFormat::Float),
        ] {
            let spec = WavSpec { channels, sample_rate, bits_per_sample, sample_format };
            let step = std::f64::consts::TAU * 440.0 / f64::from(sample_rate);
            let pcm: Vec<f32> =
                (0..sample_rate).map(|at| ((f64::from(at) * step).sin() * 0.5) as f32).collect();
            write(&path, spec, &pcm);
            let read = read_wav(&path).unwrap();
            assert_eq!(read.len(), 48_000, "{spec:?}");
            let expected = tone(440.0, 0.5, 48_000);
            let middle = 2_400..45_600;
            assert!((level_at(440.0, &read[middle.clone()]) - 0.5).abs() < 0.01, "{spec:?}");
            let error = middle.map(|at| (read[at] - expected[at]).abs()).fold(0.0, f32::max);
            assert!(error < 0.04, "in step and without delay: {spec:?} {error}");
        }
    }

    #[test]
    fn left_stays_left_and_one_channel_is_both() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("in.wav");
        for rate in [48_000, 44_100] {
            let (bits_per_sample, sample_format) = (32, SampleFormat::Float);
            let spec = WavSpec { channels: 2, sample_rate: rate, bits_per_sample, sample_format };
            let mut writer = hound::WavWriter::create(&path, spec).unwrap();
            for at in 0..rate {
                let turn = f64::from(at) * std::f64::consts::TAU / f64::from(rate);
                writer.write_sample(((turn * 440.0).sin() * 0.5) as f32).unwrap();
                writer.write_sample(((turn * 1_000.0).sin() * 0.25) as f32).unwrap();
            }
            writer.finalize().unwrap();
            let read = read_wav_as(&path, Channels::Stereo).unwrap();
            assert_eq!(read.len(), 96_000, "{rate}");
            for (side, hertz, level) in [(0, 440.0, 0.5), (1, 1_000.0, 0.25)] {
                let ear: Vec<f32> = read[4_800..91_200].iter().skip(side).step_by(2).copied().collect();
                assert!((level_at(hertz, &ear) - level).abs() < 0.01, "{rate} {hertz}");
                assert!(level_at(1_440.0 - hertz, &ear) < 0.001, "{rate}: nothing of the other side");
            }
        }
        let spec = WavSpec {
            channels: 1,
            sample_rate: 48_000,
            bits_per_sample: 16,
            sample_format: SampleFormat::Int,
        };
        write(&path, spec, &tone(440.0, 0.5, 1_000));
        let (one, both) = (read_wav(&path).unwrap(), read_wav_as(&path, Channels::Stereo).unwrap());
        assert!(one.iter().zip(both.as_chunks::<2>().0).all(|(one, both)| both == &[*one; 2]));
    }

    #[test]
    fn malformed_files_are_refused_with_a_sentence() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("in.wav");
        let message = || read_wav(&path).unwrap_err().to_string();
        assert!(message().contains("in.wav"), "missing: {}", message());
        std::fs::write(&path, "RIFF").unwrap();
        assert!(message().contains("in.wav"), "{}", message());
        std::fs::write(&path, "no sound at all, only text that goes on for a while").unwrap();
        assert!(message().contains("not a WAV file"), "{}", message());
        drop(WavWriter::create(&path).unwrap());
        assert!(message().contains("no samples"), "{}", message());
        let mut writer = WavWriter::create(&path).unwrap();
        writer.write(&[0.1; 1_000]).unwrap();
        drop(writer);
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, &whole[..whole.len() - 500]).unwrap();
        assert!(message().contains("ends early"), "{}", message());
        let mut odd_rate = whole.clone();
        odd_rate[24..28].copy_from_slice(&7_u32.to_le_bytes());
        odd_rate[28..32].copy_from_slice(&14_u32.to_le_bytes());
        std::fs::write(&path, &odd_rate).unwrap();
        assert!(message().contains("7 Hz"), "{}", message());
        let mut endless = whole;
        endless[40..44].copy_from_slice(&(u32::MAX - 1).to_le_bytes());
        std::fs::write(&path, &endless).unwrap();
        assert!(message().contains("30 minutes"), "{}", message());
    }

    #[test]
    fn what_is_written_is_valid_every_second_without_an_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.wav");
        let mut writer = WavWriter::create(&path).unwrap();
        let pcm = tone(440.0, 0.5, 48_000 * 2 + 100);
        for frame in pcm.chunks(960) {
            writer.write(frame).unwrap();
        }
        // The process is killed: no destructor runs, and what was not flushed is lost.
        let copy = folder.path().join("copy.wav");
        std::fs::copy(&path, &copy).unwrap();
        let read = read_wav(&copy).unwrap();
        assert_eq!(read.len(), 96_000);
        assert!(read.iter().zip(&pcm).all(|(one, other)| (one - other).abs() < 1e-4));
        writer.write(&[f32::NAN, 2.0, -2.0]).unwrap();
        drop(writer);
        let read = read_wav(&path).unwrap();
        assert_eq!(read.len(), pcm.len() + 3);
        assert!(read[pcm.len()] == 0.0 && read[pcm.len() + 1] > 0.99 && read[pcm.len() + 2] < -0.99);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(at in 0..44_usize, bytes in proptest::collection::vec(any::<u8>(), 0..8)) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("in.wav");
            let mut writer = WavWriter::create(&path).unwrap();
            writer.write(&[0.1; 100]).unwrap();
            drop(writer);
            let mut whole = std::fs::read(&path).unwrap();
            whole[at..at + bytes.len()].copy_from_slice(&bytes);
            std::fs::write(&path, &whole).unwrap();
            let _ = read_wav(&path);
        }
    }
}
