//! The two ends of a voice's way: [`Speaker`], from a captured frame to packets for any number of trees,
//! and [`Listener`], from packets of any number of sources to one frame to play.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::SAMPLE_RATE;
use crate::codec::{
    CodecConfig, CodecError, Decoder, Encoder, FRAME_SAMPLES_MAX, FrameLength, payload_samples,
};
use crate::jitter::{JitterBuffer, JitterStats, Pull};
use crate::mixer::Mixer;
use crate::packet::{COUNTER_MAX, CaptureTime, MediaPacket, PACKET_MAX, PacketError, SourceIndex, TreeId};
use crate::seal::{OpenError, Opener, Sealer, SenderKey};

/// The most sources that a listener plays.
pub const SOURCES_MAX: usize = 512;

/// The most samples that a listener mixes at once, 60 ms.
pub const PULL_SAMPLES_MAX: usize = FRAME_SAMPLES_MAX;

/// The capture side of one source.
pub struct Speaker {
    encoder: Encoder,
    sealer: Sealer,
    source: SourceIndex,
    counter: u64,
    priority: bool,
    frame: Vec<u8>,
}

impl Speaker {
    /// A speaker for `source`. The key must come from a salt that no other speaker has used.
    ///
    /// # Errors
    /// A configuration that Opus or the packet has no room for.
    pub fn new(source: SourceIndex, key: &SenderKey, config: CodecConfig) -> Result<Self, CodecError> {
        let encoder = Encoder::new(config)?;
        let sealer = Sealer::new(key, source);
        Ok(Self {
            encoder,
            sealer,
            source,
            counter: 0,
            priority: false,
            frame: Vec::with_capacity(PACKET_MAX),
        })
    }

    /// How much sound goes into one packet.
    pub fn frame(&self) -> FrameLength {
        self.encoder.frame()
    }

    /// Sets the priority bit of the packets to come. Default off.
    pub fn set_priority(&mut self, priority: bool) {
        self.priority = priority;
    }

    /// Sets the loss to prepare for, in percent; above 100 counts as 100.
    pub fn set_loss_percent(&mut self, percent: u8) {
        self.encoder.set_loss_percent(percent);
    }

    /// Encodes and seals one frame, whose first sample was captured at `capture_time`, and appends one
    /// packet for each of `trees` to `out`. The packets differ in their tree id alone.
    ///
    /// # Errors
    /// Not exactly one frame of samples; nothing was encoded.
    pub fn packet(
        &mut self,
        pcm: &[f32],
        capture_time: CaptureTime,
        trees: &[TreeId],
        out: &mut Vec<Bytes>,
    ) -> Result<(), CodecError> {
        let payload = self.encoder.encode(pcm)?;
        let mut packet = MediaPacket {
            tree: TreeId(0),
            source: self.source,
            counter: self.counter,
            capture_time,
            priority: self.priority,
            frame: &[],
        };
        self.sealer
            .seal(self.counter, &packet.metadata(), payload, &mut self.frame)
            .expect("the counter grows by one, and the encoder keeps to the longest payload");
        self.counter = (self.counter + 1).min(COUNTER_MAX);
        packet.frame = &self.frame;
        for &tree in trees {
            let mut bytes = Vec::with_capacity(packet.len());
            MediaPacket { tree, ..packet }.write(&mut bytes);
            out.push(bytes.into());
        }
        Ok(())
    }
}

/// A packet that was proved and taken up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heard {
    /// Who sent it.
    pub source: SourceIndex,
    /// Its place in the source's count.
    pub counter: u64,
    /// When it was captured; with the session's clock at arrival, how long it was on its way.
    pub capture_time: CaptureTime,
}

/// Why a packet is not taken up. It was counted; the listener is otherwise unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HearError {
    /// No media packet.
    #[error(transparent)]
    Packet(#[from] PacketError),
    /// Of a source that is not played, forged, or heard before.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Proved, but not Opus.
    #[error("a payload that is not Opus")]
    Payload,
}

/// Why a source is not added. The listener is unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// There are [`SOURCES_MAX`] already.
    #[error("more than {SOURCES_MAX} sources")]
    TooMany,
}

/// One source's figures.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SourceStats {
    /// The source.
    pub source: SourceIndex,
    /// What its jitter buffer did. Its duplicates include packets that came over two trees.
    pub jitter: JitterStats,
    /// Packets that named the source, and that the source did not make.
    pub forged: u64,
}

/// What a listener refused that belongs to no source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ListenerStats {
    /// Bytes that are no media packet.
    pub malformed: u64,
    /// Packets of sources that are not played.
    pub unknown_source: u64,
}

/// The playback side: every source but the own one.
#[derive(Default)]
pub struct Listener {
    sources: BTreeMap<SourceIndex, Source>,
    mixer: Mixer,
    stats: ListenerStats,
}

impl Listener {
    /// A listener that plays nobody yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Plays `source` from now on. If it was there already with another key (it restarted), it starts anew.
    /// The own source is never added, so that nobody hears themselves.
    ///
    /// # Errors
    /// There are [`SOURCES_MAX`] sources already.
    pub fn add_source(&mut self, source: SourceIndex, key: &SenderKey) -> Result<(), SourceError> {
        if self.sources.len() >= SOURCES_MAX && !self.sources.contains_key(&source) {
            return Err(SourceError::TooMany);
        }
        self.sources.insert(source, Source::new(Opener::new(key, source)));
        Ok(())
    }

    /// Plays `source` no more. `false` if it was not played.
    pub fn remove_source(&mut self, source: SourceIndex) -> bool {
        self.sources.remove(&source).is_some()
    }

    /// Takes a packet that arrived at `now`.
    ///
    /// # Errors
    /// No packet, of an unknown source, forged, heard before, or not Opus.
    pub fn push(&mut self, packet: &[u8], now: Instant) -> Result<Heard, HearError> {
        let packet = MediaPacket::parse(packet).inspect_err(|_| self.stats.malformed += 1)?;
        let Some(source) = self.sources.get_mut(&packet.source) else {
            self.stats.unknown_source += 1;
            return Err(OpenError::UnknownSource.into());
        };
        source.push(&packet, now)?;
        let MediaPacket { source, counter, capture_time, .. } = packet;
        Ok(Heard { source, counter, capture_time })
    }

    /// Fills `out`, at most [`PULL_SAMPLES_MAX`] samples, with what is to be played from `now` on. To be
    /// called at the pace at which `out` is played.
    ///
    /// # Panics
    /// If `out` is longer than [`PULL_SAMPLES_MAX`].
    pub fn pull(&mut self, now: Instant, out: &mut [f32]) {
        assert!(out.len() <= PULL_SAMPLES_MAX, "a listener is pulled by the frame");
        out.fill(0.0);
        for source in self.sources.values_mut() {
            source.pull(now, out);
        }
        self.mixer.limit(out);
    }

    /// Every source's figures, ordered by source.
    pub fn stats(&self) -> Vec<SourceStats> {
        self.sources.iter().map(|(&index, source)| source.stats(index)).collect()
    }

    /// What belongs to no source.
    pub fn listener_stats(&self) -> ListenerStats {
        self.stats
    }
}

struct Source {
    opener: Opener,
    decoder: Decoder,
    /// Made with the first packet, which tells the source's frame length.
    jitter: Option<(FrameLength, JitterBuffer)>,
    /// Decoded and not yet played: less than one frame.
    ready: Vec<f32>,
    duplicates: u64,
    forged: u64,
}

impl Source {
    fn new(opener: Opener) -> Self {
        let (decoder, ready) = (Decoder::new(), Vec::with_capacity(PULL_SAMPLES_MAX + FRAME_SAMPLES_MAX));
        Self { opener, decoder, jitter: None, ready, duplicates: 0, forged: 0 }
    }

    fn push(&mut self, packet: &MediaPacket<'_>, now: Instant) -> Result<(), HearError> {
        let opened = self.opener.open(packet);
        let payload = opened.inspect_err(|error| match error {
            OpenError::Replayed => self.duplicates += 1,
            OpenError::Tampered | OpenError::UnknownSource => self.forged += 1,
        })?;
        let frame = payload_samples(payload)
            .and_then(|samples| FrameLength::from_micros(samples as u64 * 1_000 / 48))
            .ok_or(HearError::Payload)?;
        let payload = Bytes::copy_from_slice(payload);
        let (_, jitter) = match &mut self.jitter {
            Some(jitter) if jitter.0 == frame => jitter,
            other => other.insert((frame, JitterBuffer::new(frame))),
        };
        jitter.push(packet.counter, packet.capture_time, payload, now);
        Ok(())
    }

    fn pull(&mut self, now: Instant, out: &mut [f32]) {
        while self.ready.len() < out.len() {
            // A frame that is pulled ahead is played after what is ready.
            let ahead = Duration::from_secs_f64(self.ready.len() as f64 / f64::from(SAMPLE_RATE));
            if !self.decode_next(now, ahead) {
                break;
            }
        }
        let played = self.ready.len().min(out.len());
        Mixer::add(out, &self.ready[..played]);
        self.ready.drain(..played);
    }

    /// Appends one frame to what is ready; `false` if there is nothing to say.
    fn decode_next(&mut self, now: Instant, ahead: Duration) -> bool {
        let Some((frame, jitter)) = &mut self.jitter else { return false };
        let mut pcm = [0.0; FRAME_SAMPLES_MAX];
        let pcm = &mut pcm[..frame.samples()];
        match jitter.pull(now, ahead) {
            Pull::Frame(payload) => decode(&mut self.decoder, &payload, pcm),
            Pull::Merge(payload, next) => {
                let mut after = [0.0; FRAME_SAMPLES_MAX];
                let after = &mut after[..frame.samples()];
                decode(&mut self.decoder, &payload, pcm);
                decode(&mut self.decoder, &next, after);
                cross_fade(pcm, after);
            }
            Pull::Recover(next) => self.decoder.recover(&next, pcm),
            Pull::Conceal => self.decoder.conceal(pcm),
            // Silence lasts a frame too, or a source whose frames are longer than ours would drift.
            Pull::Silence => {}
        }
        self.ready.extend_from_slice(pcm);
        true
    }

    fn stats(&self, source: SourceIndex) -> SourceStats {
        let mut jitter = self.jitter.as_ref().map(|(_, jitter)| jitter.stats()).unwrap_or_default();
        jitter.duplicates += self.duplicates;
        SourceStats { source, jitter, forged: self.forged }
    }
}

fn decode(decoder: &mut Decoder, payload: &[u8], pcm: &mut [f32]) {
    // A payload whose length fits but whose content does not decode comes from a broken sender.
    if decoder.decode(payload, pcm) != Ok(pcm.len()) {
        decoder.conceal(pcm);
    }
}

/// From the first frame's sound to the second's, in the time of one.
fn cross_fade(pcm: &mut [f32], after: &[f32]) {
    let length = pcm.len() as f32;
    for (at, (sample, &next)) in pcm.iter_mut().zip(after).enumerate() {
        let share = at as f32 / length;
        *sample += (next - *sample) * share;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{level_at, tone};
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    fn key(sender: u8) -> SenderKey {
        SenderKey::derive(b"a secret", &[sender; 32], &[7; 16])
    }

    fn start() -> Instant {
        #[expect(clippy::disallowed_methods, reason = "an Instant to count from; nothing waits")]
        Instant::now()
    }

    fn speaker(sender: u8, micros: u64) -> Speaker {
        let frame = FrameLength::from_micros(micros).unwrap();
        let config = CodecConfig { frame, voice: false, ..CodecConfig::default() };
        Speaker::new(SourceIndex(sender.into()), &key(sender), config).unwrap()
    }

    /// Plays tones, one from each speaker, over a path that loses packets; returns what is heard.
    fn converse(
        speakers: &mut [(Speaker, f32)],
        listener: &mut Listener,
        pull: usize,
        loss: f64,
    ) -> Vec<f32> {
        const TICK: usize = 120;
        let (begin, seconds) = (start(), 4);
        let mut rng = StdRng::seed_from_u64(11);
        let signals: Vec<_> =
            speakers.iter().map(|&(_, hertz)| tone(hertz, 0.25, 48_000 * seconds)).collect();
        let mut heard = Vec::new();
        for at in (0..48_000 * seconds).step_by(TICK) {
            let now = begin + Duration::from_secs_f64(at as f64 / 48_000.0);
            for ((speaker, _), signal) in speakers.iter_mut().zip(&signals) {
                let samples = speaker.frame().samples();
                if at % samples != 0 || at + samples > signal.len() {
                    continue;
                }
                let mut packets = Vec::new();
                let capture = CaptureTime(at as u32);
                speaker
                    .packet(&signal[at..at + samples], capture, &[TreeId(1), TreeId(2)], &mut packets)
                    .unwrap();
                assert_eq!(packets.len(), 2);
                if !rng.random_bool(loss) {
                    let heard = listener.push(&packets[0], now).unwrap();
                    assert_eq!((heard.source, heard.capture_time), (speaker.source, capture));
                    let again = listener.push(&packets[1], now);
                    assert_eq!(again, Err(OpenError::Replayed.into()), "over the other tree");
                }
            }
            if at % pull == 0 {
                let mut out = vec![0.0; pull];
                listener.pull(now, &mut out);
                heard.extend(out);
            }
        }
        heard
    }

    #[test]
    fn a_tone_goes_in_and_comes_out() {
        for (micros, pull) in [(20_000, 960), (2_500, 960), (60_000, 960), (20_000, 480), (10_000, 2_880)] {
            let mut listener = Listener::new();
            listener.add_source(SourceIndex(1), &key(1)).unwrap();
            let heard = converse(&mut [(speaker(1, micros), 440.0)], &mut listener, pull, 0.0);
            let tail = &heard[48_000..];
            // In short pieces: where the buffer moves by a frame, the phase does too.
            let levels = tail.chunks_exact(4_800).map(|piece| level_at(440.0, piece));
            let level = levels.sum::<f32>() / (tail.len() / 4_800) as f32;
            assert!((level - 0.25).abs() < 0.03, "{micros} {pull}: {level}");
            assert!(level_at(660.0, tail) < 0.01);
            let stats = listener.stats()[0];
            assert_eq!((stats.jitter.lost, stats.jitter.late, stats.forged), (0, 0, 0), "{micros} {pull}");
            assert_eq!(stats.jitter.duplicates, stats.jitter.packets, "each came twice");
        }
    }

    #[test]
    fn five_percent_of_loss_are_concealed() {
        let mut listener = Listener::new();
        listener.add_source(SourceIndex(1), &key(1)).unwrap();
        let heard = converse(&mut [(speaker(1, 20_000), 440.0)], &mut listener, 960, 0.05);
        assert!((level_at(440.0, &heard[48_000..]) - 0.25).abs() < 0.04);
        let JitterStats { lost, recovered, concealed_ms, .. } = listener.stats()[0].jitter;
        assert!((3..25).contains(&lost), "{lost}");
        assert_eq!(concealed_ms, (lost - recovered) as f64 * 20.0);
    }

    #[test]
    fn voices_are_summed_and_the_unknown_ones_left_out() {
        let mut listener = Listener::new();
        for sender in [3, 1, 2] {
            listener.add_source(SourceIndex(sender.into()), &key(sender)).unwrap();
        }
        let mut speakers =
            [(speaker(1, 20_000), 440.0), (speaker(2, 10_000), 1_000.0), (speaker(3, 40_000), 1_700.0)];
        let heard = converse(&mut speakers, &mut listener, 960, 0.0);
        for hertz in [440.0, 1_000.0, 1_700.0] {
            assert!((level_at(hertz, &heard[48_000..]) - 0.25).abs() < 0.03, "{hertz}");
        }
        let order: Vec<_> = listener.stats().iter().map(|stats| stats.source.0).collect();
        assert_eq!(order, [1, 2, 3]);

        assert!(listener.remove_source(SourceIndex(2)));
        assert!(!listener.remove_source(SourceIndex(2)));
        let mut packets = Vec::new();
        speakers[1].0.packet(&[0.1; 480], CaptureTime(0), &[TreeId(1)], &mut packets).unwrap();
        let refused = listener.push(&packets[0], start());
        assert_eq!(refused, Err(OpenError::UnknownSource.into()));
        assert_eq!(listener.listener_stats().unknown_source, 1);
    }

    #[test]
    fn forged_packets_are_counted_and_silent() {
        let mut listener = Listener::new();
        listener.add_source(SourceIndex(1), &key(1)).unwrap();
        let mut forger = Speaker::new(SourceIndex(1), &key(9), CodecConfig::default()).unwrap();
        let mut packets = Vec::new();
        forger.packet(&tone(440.0, 0.5, 960), CaptureTime(0), &[TreeId(1)], &mut packets).unwrap();
        let now = start();
        assert_eq!(listener.push(&packets[0], now), Err(OpenError::Tampered.into()));
        assert!(matches!(listener.push(b"\x40QUIC", now), Err(HearError::Packet(_))));
        assert_eq!(listener.stats()[0].forged, 1);
        assert_eq!(listener.listener_stats().malformed, 1);
        let mut out = [1.0; 960];
        for frame in 0..20 {
            listener.pull(now + Duration::from_millis(20 * frame), &mut out);
            assert_eq!(out, [0.0; 960]);
        }
    }

    #[test]
    fn a_member_that_seals_garbage_harms_nobody() {
        let mut rng = StdRng::seed_from_u64(5);
        let mut listener = Listener::new();
        listener.add_source(SourceIndex(1), &key(1)).unwrap();
        let mut sealer = Sealer::new(&key(1), SourceIndex(1));
        let (begin, mut frame) = (start(), Vec::new());
        for counter in 0..500 {
            let payload: Vec<u8> = (0..rng.random_range(0..120)).map(|_| rng.random()).collect();
            let packet = MediaPacket {
                tree: TreeId(1),
                source: SourceIndex(1),
                counter,
                capture_time: CaptureTime(rng.random()),
                priority: false,
                frame: &[],
            };
            sealer.seal(counter, &packet.metadata(), &payload, &mut frame).unwrap();
            let mut bytes = Vec::new();
            MediaPacket { frame: &frame, ..packet }.write(&mut bytes);
            let now = begin + Duration::from_millis(counter * 7);
            let _ = listener.push(&bytes, now);
            let mut out = [0.0; 960];
            listener.pull(now, &mut out);
            assert!(out.iter().all(|sample| sample.abs() < 1.0));
        }
    }

    #[test]
    fn a_source_that_restarts_is_heard_again() {
        let mut listener = Listener::new();
        listener.add_source(SourceIndex(1), &key(1)).unwrap();
        converse(&mut [(speaker(1, 20_000), 440.0)], &mut listener, 960, 0.0);
        let again = SenderKey::derive(b"a secret", &[1; 32], &[8; 16]);
        listener.add_source(SourceIndex(1), &again).unwrap();
        let config = CodecConfig { voice: false, ..CodecConfig::default() };
        let speaker = Speaker::new(SourceIndex(1), &again, config).unwrap();
        let heard = converse(&mut [(speaker, 440.0)], &mut listener, 960, 0.0);
        assert!((level_at(440.0, &heard[48_000..]) - 0.25).abs() < 0.03);
    }

    #[test]
    fn sources_are_bounded() {
        let mut listener = Listener::new();
        for source in 0..SOURCES_MAX as u16 {
            listener.add_source(SourceIndex(source), &key(1)).unwrap();
        }
        let refused = listener.add_source(SourceIndex(SOURCES_MAX as u16), &key(1));
        assert_eq!(refused, Err(SourceError::TooMany));
        assert_eq!(listener.add_source(SourceIndex(0), &key(2)), Ok(()));
    }
}
