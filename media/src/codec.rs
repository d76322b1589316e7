//! Opus (RFC 6716) at 48 kHz, one channel or two: between frames of samples and payloads of packets.
//!
//! Two channels are interleaved, left first. A decoder gives as many channels as it was made for, whatever was sent.
//! Deep redundancy (DRED) is left out: the library's safe interface does not reach it.

use crate::SAMPLE_RATE;
use crate::packet::PAYLOAD_MAX;

/// The lowest bit rate, bit/s.
pub const BITRATE_MIN: u32 = 16_000;

/// The highest bit rate, bit/s.
pub const BITRATE_MAX: u32 = 256_000;

/// The longest frame of samples, of each channel: 60 ms.
pub const FRAME_SAMPLES_MAX: usize = 2_880;

/// The most channels.
pub const CHANNELS_MAX: usize = 2;

/// The longest payload's duration in samples, 120 ms (RFC 6716, section 3.2.5, R5).
const PAYLOAD_SAMPLES_MAX: usize = 5_760;

/// How much sound one packet holds: 2.5, 5, 10, 20, 40 or 60 ms (RFC 6716, section 2.1.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FrameLength(u16);

impl FrameLength {
    /// 20 ms, the usual one.
    pub const MS_20: Self = Self(960);

    /// The frame of that many microseconds; `None` if Opus has none such.
    pub fn from_micros(micros: u64) -> Option<Self> {
        [2_500, 5_000, 10_000, 20_000, 40_000, 60_000]
            .contains(&micros)
            .then(|| Self(u16::try_from(micros * 48 / 1_000).expect("60 ms are 2,880 samples")))
    }

    /// Samples in a frame, which are also ticks of the session's clock; at most [`FRAME_SAMPLES_MAX`].
    pub fn samples(self) -> usize {
        usize::from(self.0)
    }

    /// How long a frame lasts.
    pub fn duration(self) -> std::time::Duration {
        std::time::Duration::from_nanos(u64::from(self.0) * 1_000_000_000 / u64::from(SAMPLE_RATE))
    }

    /// How long a frame lasts, in milliseconds.
    pub fn ms(self) -> f64 {
        f64::from(self.0) / 48.0
    }
}

/// How many channels sound has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Channels {
    /// One.
    #[default]
    Mono,
    /// Left and right, interleaved.
    Stereo,
}

impl Channels {
    /// 1 or 2.
    pub fn count(self) -> usize {
        match self {
            Self::Mono => 1,
            Self::Stereo => CHANNELS_MAX,
        }
    }

    fn opus(self) -> opus::Channels {
        match self {
            Self::Mono => opus::Channels::Mono,
            Self::Stereo => opus::Channels::Stereo,
        }
    }
}

/// How many channels a payload was made from, which its first byte says (RFC 6716, section 3.1); one of none.
pub fn payload_channels(payload: &[u8]) -> Channels {
    match payload.first() {
        Some(toc) if toc & 0b100 != 0 => Channels::Stereo,
        _ => Channels::Mono,
    }
}

/// What an encoder is asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CodecConfig {
    /// Mean bit rate of the payload, bit/s, [`BITRATE_MIN`] to [`BITRATE_MAX`]. Default 32,000.
    pub bitrate: u32,
    /// Sound in one packet. Longer: less overhead, more delay. Default 20 ms.
    pub frame: FrameLength,
    /// A voice from a microphone (tuned to intelligibility, high-passed) rather than a file or a tone
    /// (kept as it is). Default true.
    pub voice: bool,
    /// The loss to prepare for, in percent, 0 to 100. Higher: more of the rate goes into repeating the
    /// frame before. Default 5: enough for 93 % of the frames of the fixtures' voices to be repeated at
    /// 32 kbit/s and above (Opus 1.6); 24 kbit/s needs 10 for the same.
    pub loss_percent: u8,
    /// Every payload of the same size, so that sizes say nothing about speech. Default false.
    pub constant_rate: bool,
    /// One voice needs one channel; music and rooms may want two. Default mono.
    pub channels: Channels,
    /// Say nothing while there is nothing to say: pauses cost one payload in 400 ms, and their lengths tell whoever
    /// counts packets who speaks. Default false.
    pub dtx: bool,
}

impl Default for CodecConfig {
    fn default() -> Self {
        Self {
            bitrate: 32_000,
            frame: FrameLength::MS_20,
            voice: true,
            loss_percent: 5,
            constant_rate: false,
            channels: Channels::Mono,
            dtx: false,
        }
    }
}

/// Why there is no encoder, or no frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// The bit rate is out of bounds.
    #[error("a bit rate of {0} bit/s is outside {BITRATE_MIN} to {BITRATE_MAX}")]
    Bitrate(u32),
    /// Frames of that length at that rate do not fit a packet.
    #[error("{bitrate} bit/s in frames of {samples} samples do not fit a packet: choose shorter frames")]
    TooLarge {
        /// Bit/s.
        bitrate: u32,
        /// Samples in a frame.
        samples: usize,
    },
    /// Not one frame of samples, all channels together. The encoder is unchanged.
    #[error("{0} samples are not one frame")]
    NotAFrame(usize),
    /// The payload is not Opus, or lasts longer than there is room for. The decoder is unchanged.
    #[error("a payload that is not Opus")]
    Payload,
}

/// Frames in, payloads out.
pub struct Encoder {
    inner: opus::Encoder,
    frame: FrameLength,
    channels: Channels,
    dtx: bool,
    payload: Vec<u8>,
}

impl Encoder {
    /// An encoder with in-band forward error correction on.
    ///
    /// # Errors
    /// The rate is out of bounds, or rate and frame length together exceed a packet.
    pub fn new(config: CodecConfig) -> Result<Self, CodecError> {
        let CodecConfig { bitrate, frame, channels, .. } = config;
        if !(BITRATE_MIN..=BITRATE_MAX).contains(&bitrate) {
            return Err(CodecError::Bitrate(bitrate));
        }
        let samples = frame.samples();
        if bitrate as usize * samples / SAMPLE_RATE as usize / 8 > PAYLOAD_MAX {
            return Err(CodecError::TooLarge { bitrate, samples });
        }
        let application = if config.voice { opus::Application::Voip } else { opus::Application::Audio };
        let inner = opus::Encoder::new(SAMPLE_RATE, channels.opus(), application)
            .and_then(|mut inner| {
                inner.set_bitrate(opus::Bitrate::Bits(bitrate.cast_signed()))?;
                inner.set_inband_fec(true)?;
                inner.set_packet_loss_perc(i32::from(config.loss_percent.min(100)))?;
                inner.set_dtx(config.dtx)?;
                inner.set_vbr(!config.constant_rate)?;
                Ok(inner)
            })
            .expect("48 kHz and settings within their documented ranges are always accepted");
        Ok(Self { inner, frame, channels, dtx: config.dtx, payload: vec![0; PAYLOAD_MAX] })
    }

    /// The frame length that [`Encoder::encode`] expects.
    pub fn frame(&self) -> FrameLength {
        self.frame
    }

    /// The channels that [`Encoder::encode`] expects.
    pub fn channels(&self) -> Channels {
        self.channels
    }

    /// Sets the loss to prepare for, in percent; above 100 counts as 100.
    pub fn set_loss_percent(&mut self, percent: u8) {
        let set = self.inner.set_packet_loss_perc(i32::from(percent.min(100)));
        set.expect("0 to 100 is the documented range");
    }

    /// Makes every payload of the same size, pauses included, from now on; or not.
    pub fn set_constant_rate(&mut self, constant: bool) {
        let set = self.inner.set_vbr(!constant).and_then(|()| self.inner.set_dtx(self.dtx && !constant));
        set.expect("both are switches");
    }

    /// Encodes one frame; the payload, of 1 to [`PAYLOAD_MAX`] bytes, stays valid until the next call.
    /// Samples that are no numbers count as silence, louder ones than 1 as 1.
    ///
    /// # Errors
    /// Not exactly one frame of samples of every channel.
    pub fn encode(&mut self, pcm: &[f32]) -> Result<&[u8], CodecError> {
        if pcm.len() != self.frame.samples() * self.channels.count() {
            return Err(CodecError::NotAFrame(pcm.len()));
        }
        let mut clean = [0.0; FRAME_SAMPLES_MAX * CHANNELS_MAX];
        let clean = &mut clean[..pcm.len()];
        for (clean, &sample) in clean.iter_mut().zip(pcm) {
            *clean = if sample.is_nan() { 0.0 } else { sample.clamp(-1.0, 1.0) };
        }
        let length = self
            .inner
            .encode_float(clean, &mut self.payload)
            .expect("a frame of a length that Opus has, and room for the longest payload");
        Ok(&self.payload[..length])
    }
}

/// Payloads in, frames out.
pub struct Decoder {
    inner: opus::Decoder,
    channels: Channels,
}

impl Decoder {
    /// A decoder that has heard nothing yet, and gives that many channels.
    pub fn new(channels: Channels) -> Self {
        let inner = opus::Decoder::new(SAMPLE_RATE, channels.opus());
        Self { inner: inner.expect("48 kHz, mono or stereo, is always accepted"), channels }
    }

    /// Decodes a payload into the head of `pcm` and returns how many samples of each channel it held.
    ///
    /// # Errors
    /// The payload is empty, is not Opus, or holds more than `pcm` does.
    pub fn decode(&mut self, payload: &[u8], pcm: &mut [f32]) -> Result<usize, CodecError> {
        // Opus takes an empty payload for a lost one; nobody sends such.
        let count = self.channels.count();
        if payload_samples(payload).is_none_or(|samples| samples * count > pcm.len()) {
            return Err(CodecError::Payload);
        }
        let samples = self.inner.decode_float(payload, pcm, false).map_err(|_| CodecError::Payload)?;
        silence_non_numbers(&mut pcm[..samples * count]);
        Ok(samples)
    }

    /// Fills `pcm` (a multiple of 2.5 ms, at most [`FRAME_SAMPLES_MAX`] of each channel) with what a lost frame may have
    /// sounded like. Fades to silence over repeated calls.
    pub fn conceal(&mut self, pcm: &mut [f32]) {
        if self.inner.decode_float(&[], pcm, false).ok() != Some(pcm.len() / self.channels.count()) {
            pcm.fill(0.0);
        }
        silence_non_numbers(pcm);
    }

    /// Fills `pcm`, of the lost frame's length, from the payload that followed it, if that repeats it
    /// (see [`carries_previous`]); conceals otherwise. The payload itself is to be decoded next.
    pub fn recover(&mut self, next: &[u8], pcm: &mut [f32]) {
        let samples = pcm.len() / self.channels.count();
        if next.is_empty() || self.inner.decode_float(next, pcm, true).ok() != Some(samples) {
            self.conceal(pcm);
        }
        silence_non_numbers(pcm);
    }
}

/// How many samples a payload lasts; `None` if it is not Opus.
pub fn payload_samples(payload: &[u8]) -> Option<usize> {
    if payload.is_empty() {
        return None;
    }
    let samples = opus::packet::get_nb_samples(payload, SAMPLE_RATE).ok()?;
    (1..=PAYLOAD_SAMPLES_MAX).contains(&samples).then_some(samples)
}

/// Whether a payload says that nothing is being said (an encoder with [`CodecConfig::dtx`] makes such): it may be kept
/// back once the first of a pause has been sent.
pub fn is_pause(payload: &[u8]) -> bool {
    payload.len() <= PAUSE_LEN_MAX
}

/// The shortest payload of a pause of one frame: a table-of-contents byte alone (RFC 6716, section 3.1), mono. As long as
/// frames of that length.
pub(crate) fn pause(frame: FrameLength) -> [u8; 1] {
    // Configurations of table 2: full band without a speech layer up to 20 ms, wide band speech beyond.
    let config: u8 = match frame.samples() {
        120 => 28,
        240 => 29,
        480 => 30,
        960 => 31,
        1_920 => 10,
        _ => 11,
    };
    [config << 3]
}

/// The longest payload of a pause: the library's own measure for what need not be sent.
const PAUSE_LEN_MAX: usize = 2;

/// Whether a payload repeats the frame before it at a lower rate (RFC 6716, section 4.2.4, the LBRR flag).
/// Only payloads of one frame are looked into, which is what [`Encoder`] makes up to 20 ms, and up to 60 ms
/// while it codes speech.
pub fn carries_previous(payload: &[u8]) -> bool {
    let &[toc, first, ..] = payload else { return false };
    let (config, code) = (toc >> 3, toc & 0b11);
    // 0..12 are speech, 12..16 hybrid, the rest has no speech layer that could repeat anything (table 2).
    if config >= 16 || code != 0 {
        return false;
    }
    // One voice activity bit for each 20 ms comes first, then the flag; of two channels the middle one's are first.
    let activity_bits = match config {
        0..12 if config % 4 == 3 => 3,
        0..12 if config % 4 == 2 => 2,
        _ => 1,
    };
    first >> (7 - activity_bits) & 1 == 1
}

fn silence_non_numbers(pcm: &mut [f32]) {
    for sample in pcm {
        if !sample.is_finite() {
            *sample = 0.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{self, level_at, tone};
    use proptest::prelude::*;

    fn frames_of(micros: u64) -> FrameLength {
        FrameLength::from_micros(micros).unwrap()
    }

    #[test]
    fn every_frame_length_carries_a_tone() {
        for micros in [2_500, 5_000, 10_000, 20_000, 40_000, 60_000] {
            let frame = frames_of(micros);
            assert_eq!(u128::from(micros), frame.duration().as_micros());
            let config = CodecConfig { frame, voice: false, ..Default::default() };
            let (mut encoder, mut decoder) = (Encoder::new(config).unwrap(), Decoder::new(Channels::Mono));
            let mut heard = Vec::new();
            for pcm in tone(440.0, 0.5, 48_000).chunks_exact(frame.samples()) {
                let payload = encoder.encode(pcm).unwrap();
                assert_eq!(payload_samples(payload), Some(frame.samples()));
                let mut out = [0.0; FRAME_SAMPLES_MAX];
                let samples = decoder.decode(payload, &mut out).unwrap();
                heard.extend_from_slice(&out[..samples]);
            }
            let tail = &heard[9_600..];
            assert!((level_at(440.0, tail) - 0.5).abs() < 0.1, "{micros} us");
            assert!(level_at(1_000.0, tail) < 0.02, "{micros} us");
        }
        assert_eq!(FrameLength::from_micros(30_000), None);
    }

    #[test]
    fn rates_out_of_bounds_are_refused() {
        for bitrate in [0, BITRATE_MIN - 1, BITRATE_MAX + 1, u32::MAX] {
            let config = CodecConfig { bitrate, ..Default::default() };
            assert_eq!(Encoder::new(config).err(), Some(CodecError::Bitrate(bitrate)));
        }
        let config = CodecConfig { bitrate: BITRATE_MAX, frame: frames_of(60_000), ..Default::default() };
        assert!(matches!(Encoder::new(config).err(), Some(CodecError::TooLarge { .. })));
        let config = CodecConfig { bitrate: BITRATE_MAX, ..Default::default() };
        let payload = Encoder::new(config).unwrap().encode(&[0.3; 960]).unwrap().len();
        assert!(payload <= PAYLOAD_MAX);
        let refused = Encoder::new(CodecConfig::default()).unwrap().encode(&[0.0; 961]).err();
        assert_eq!(refused, Some(CodecError::NotAFrame(961)));
    }

    #[test]
    fn constant_rate_payloads_have_one_size() {
        let config = CodecConfig { constant_rate: true, ..Default::default() };
        let mut encoder = Encoder::new(config).unwrap();
        let speech = testing::voice("ada");
        let sizes: std::collections::BTreeSet<_> =
            speech.chunks_exact(960).map(|pcm| encoder.encode(pcm).unwrap().len()).collect();
        assert_eq!(sizes, [80].into());
        let mut encoder = Encoder::new(CodecConfig { dtx: true, ..Default::default() }).unwrap();
        encoder.set_constant_rate(true);
        let sizes: std::collections::BTreeSet<_> =
            (0..100).map(|_| encoder.encode(&[0.0; 960]).unwrap().len()).collect();
        assert_eq!(sizes, [80].into(), "nor do pauses");
    }

    #[test]
    fn speech_repeats_the_frame_before_and_a_lost_one_comes_back_better() {
        let mut encoder = Encoder::new(CodecConfig { loss_percent: 20, ..Default::default() }).unwrap();
        let speech = testing::voice("ben");
        let payloads: Vec<Vec<u8>> =
            speech.chunks_exact(960).map(|pcm| encoder.encode(pcm).unwrap().to_vec()).collect();
        let repeating = payloads.iter().filter(|payload| carries_previous(payload)).count();
        assert!(repeating * 2 > payloads.len(), "{repeating} of {}", payloads.len());
        let (mut whole, mut lossy) = (Decoder::new(Channels::Mono), Decoder::new(Channels::Mono));
        let (mut error_recovered, mut error_concealed) = (0.0, 0.0);
        for at in 0..payloads.len() - 1 {
            let (mut true_pcm, mut pcm, mut next) = ([0.0; 960], [0.0; 960], [0.0; 960]);
            whole.decode(&payloads[at], &mut true_pcm).unwrap();
            if at % 10 == 5 && carries_previous(&payloads[at + 1]) {
                lossy.recover(&payloads[at + 1], &mut pcm);
                error_recovered += distance(&true_pcm, &pcm);
                let mut other = Decoder::new(Channels::Mono);
                for payload in &payloads[at.saturating_sub(20)..at] {
                    other.decode(payload, &mut next).unwrap();
                }
                other.conceal(&mut next);
                error_concealed += distance(&true_pcm, &next);
            } else {
                lossy.decode(&payloads[at], &mut pcm).unwrap();
            }
        }
        assert!(error_recovered < error_concealed * 0.7, "{error_recovered} {error_concealed}");
    }

    fn distance(one: &[f32], other: &[f32]) -> f32 {
        one.iter().zip(other).map(|(one, other)| (one - other).powi(2)).sum()
    }

    #[test]
    fn two_channels_stay_apart_and_are_heard_on_one() {
        let config =
            CodecConfig { channels: Channels::Stereo, voice: false, bitrate: 96_000, ..Default::default() };
        let mut encoder = Encoder::new(config).unwrap();
        let (mut both, mut one) = (Decoder::new(Channels::Stereo), Decoder::new(Channels::Mono));
        let (left, right) = (tone(440.0, 0.4, 24_000), tone(1_000.0, 0.4, 24_000));
        let pcm: Vec<f32> = left.iter().zip(&right).flat_map(|(l, r)| [*l, *r]).collect();
        let (mut heard, mut mixed) = (Vec::new(), Vec::new());
        for pcm in pcm.chunks_exact(1_920) {
            let payload = encoder.encode(pcm).unwrap();
            let mut out = [0.0; 1_920];
            assert_eq!(both.decode(payload, &mut out), Ok(960));
            heard.extend_from_slice(&out);
            assert_eq!(one.decode(payload, &mut out), Ok(960));
            mixed.extend_from_slice(&out[..960]);
            assert_eq!(both.decode(payload, &mut out[..960]), Err(CodecError::Payload), "no room for both");
        }
        let tail = &heard[9_600..];
        let channel = |which: usize| tail.iter().skip(which).step_by(2).copied().collect::<Vec<f32>>();
        let (left, right) = (channel(0), channel(1));
        assert!(level_at(440.0, &left) > 0.3 && level_at(1_000.0, &left) < 0.05);
        assert!(level_at(1_000.0, &right) > 0.3 && level_at(440.0, &right) < 0.05);
        assert!(level_at(440.0, &mixed[4_800..]) > 0.15 && level_at(1_000.0, &mixed[4_800..]) > 0.15);
        assert_eq!(encoder.encode(&[0.0; 960]).err(), Some(CodecError::NotAFrame(960)));
    }

    #[test]
    fn pauses_are_cheap_and_sound_like_nothing() {
        let mut encoder = Encoder::new(CodecConfig { dtx: true, ..Default::default() }).unwrap();
        let mut decoder = Decoder::new(Channels::Mono);
        let mut pcm = testing::voice("chi")[..48_000].to_vec();
        pcm.extend(vec![0.0; 96_000]);
        let (mut sent, mut out) = (0, [0.0; 960]);
        for (at, pcm) in pcm.chunks_exact(960).enumerate() {
            let payload = encoder.encode(pcm).unwrap();
            if is_pause(payload) {
                decoder.conceal(&mut out);
            } else {
                decoder.decode(payload, &mut out).unwrap();
                sent += usize::from(at >= 75);
            }
            assert!(at < 100 || out.iter().all(|sample| sample.abs() < 0.01), "{at}");
        }
        assert!(sent <= 10, "{sent} of the last 75 frames");
    }

    #[test]
    fn a_pause_lasts_as_long_as_a_frame() {
        for micros in [2_500, 5_000, 10_000, 20_000, 40_000, 60_000] {
            let frame = frames_of(micros);
            let payload = pause(frame);
            assert!(is_pause(&payload));
            assert_eq!(payload_samples(&payload), Some(frame.samples()));
            let mut out = [1.0; FRAME_SAMPLES_MAX];
            let decoded = Decoder::new(Channels::Mono).decode(&payload, &mut out);
            assert_eq!(decoded, Ok(frame.samples()));
        }
    }

    #[test]
    fn non_numbers_and_loud_samples_are_encoded() {
        let mut encoder = Encoder::new(CodecConfig::default()).unwrap();
        let mut decoder = Decoder::new(Channels::Mono);
        for sample in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1e30] {
            let mut out = [0.0; 960];
            decoder.decode(encoder.encode(&[sample; 960]).unwrap(), &mut out).unwrap();
            assert!(out.iter().all(|sample| sample.is_finite()));
        }
    }

    #[test]
    fn the_flag_agrees_with_the_length_of_what_is_looked_at() {
        assert!(!carries_previous(&[]));
        assert!(!carries_previous(&[0b0000_1000]));
        assert!(carries_previous(&[0b0000_1000, 0b0100_0000]), "speech, 20 ms");
        assert!(carries_previous(&[0b0001_1000, 0b0001_0000]), "speech, 60 ms");
        assert!(!carries_previous(&[0b1111_1000, 0b0100_0000]), "no speech layer");
    }

    proptest! {
        #[test]
        fn any_payload_is_decoded_or_refused(
            payloads in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..300), 1..8),
        ) {
            let mut decoder = Decoder::new(Channels::Mono);
            for payload in payloads {
                let mut pcm = [0.0; PAYLOAD_SAMPLES_MAX];
                let decoded = decoder.decode(&payload, &mut pcm);
                prop_assert!(decoded.is_err() || payload_samples(&payload) == decoded.ok());
                decoder.recover(&payload, &mut pcm[..960]);
                decoder.conceal(&mut pcm[..960]);
                prop_assert!(pcm.iter().all(|sample| sample.is_finite()));
            }
        }
    }
}
