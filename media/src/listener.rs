//! All voices' way in: from packets of any number of sources to one frame to play.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::codec::{Channels, FRAME_SAMPLES_MAX, FrameLength, payload_samples};
use crate::jitter::JitterStats;
use crate::level::Level;
use crate::mixer::Mixer;
use crate::packet::{CaptureTime, MediaPacket, PacketError, SourceIndex};
use crate::playback::Playback;
use crate::seal::{OpenError, Opener, SenderKey};
use crate::witness::{Witness, WitnessStats};

/// The most sources that a listener plays.
pub const SOURCES_MAX: usize = 512;

/// The most samples of each channel that a listener mixes at once, 60 ms.
pub const PULL_SAMPLES_MAX: usize = FRAME_SAMPLES_MAX;

/// A packet that was proved and taken up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    /// Who sent it.
    pub source: SourceIndex,
    /// Its place in the source's count.
    pub counter: u64,
    /// When it was captured; with the session's clock at arrival, how long it was on its way.
    pub capture_time: CaptureTime,
    /// How loud it is, by its source's word.
    pub level: Level,
    /// What was said: a payload of Opus.
    pub payload: Bytes,
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
    /// Of a source that is silent until it vouches for what is heard: [`Standing::Silenced`](crate::Standing::Silenced).
    #[error("a frame of a source that is not believed")]
    Silenced,
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
    /// Packets under a key that is not known: silence.
    pub unknown_key: u64,
    /// How far its frames are known to be its own.
    pub witness: WitnessStats,
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
    channels: Channels,
    mixer: Mixer,
    stats: ListenerStats,
}

impl Listener {
    /// A listener that plays nobody yet, on one channel.
    pub fn new() -> Self {
        Self::default()
    }

    /// A listener that plays nobody yet, on so many channels.
    pub fn with_channels(channels: Channels) -> Self {
        Self { channels, ..Self::default() }
    }

    /// Plays `source` from now on. With the key that it has already, nothing changes; with another one (it
    /// restarted), it starts anew. The own source is never added, so that nobody hears themselves.
    ///
    /// # Errors
    /// There are [`SOURCES_MAX`] sources already.
    pub fn add_source(&mut self, source: SourceIndex, key: &SenderKey) -> Result<(), SourceError> {
        match self.sources.get(&source) {
            // Starting anew would forget which frames were heard, and let them be played again.
            Some(known) if known.key == *key => return Ok(()),
            None if self.sources.len() >= SOURCES_MAX => return Err(SourceError::TooMany),
            Some(_) | None => {}
        }
        self.sources.insert(source, Source::new(key.clone(), source, self.channels));
        Ok(())
    }

    /// Opens `source`'s packets by these keys from now on, and by no others; what it says goes on without a seam. `false` if
    /// it is not played.
    pub fn set_keys(&mut self, source: SourceIndex, keys: &[SenderKey]) -> bool {
        let Some(known) = self.sources.get_mut(&source) else { return false };
        known.opener.set_keys(keys);
        if let Some(witness) = &mut known.witness {
            witness.set_keys(keys);
        }
        true
    }

    /// Checks from now on that `source`'s frames are vouched for by the member whose key is `author` and who has drawn `salt`.
    /// With both as they are already, nothing changes. `false` if it is not played.
    pub fn watch(&mut self, source: SourceIndex, author: [u8; 32], salt: [u8; 16]) -> bool {
        let Some(known) = self.sources.get_mut(&source) else { return false };
        if known.witness.is_none() {
            known.witness = Some(Witness::new(source, &known.key, author, salt));
        }
        true
    }

    /// Takes a digest that arrived at `now`; `false` if the bytes are none.
    pub fn take_digest(&mut self, packet: &[u8], now: Instant) -> bool {
        let Ok(packet) = MediaPacket::parse(packet) else { return false };
        if !packet.source.is_companion() {
            return false;
        }
        if let Some(source) = self.sources.get_mut(&packet.source.voice())
            && let Some(next) = source.witness.as_mut().and_then(|witness| witness.on_digest(&packet, now))
        {
            source.opener.go_on_from(next);
        }
        true
    }

    /// Plays `source` at so many times its own loudness, 0 for not at all. `false` if it is not played.
    pub fn set_volume(&mut self, source: SourceIndex, volume: f32) -> bool {
        self.sources.get_mut(&source).map(|known| known.volume = volume.clamp(0.0, VOLUME_MAX)).is_some()
    }

    /// How loud each source is by its own word, in its last packet.
    pub fn levels(&self, now: Instant) -> impl Iterator<Item = (SourceIndex, Level)> + '_ {
        self.sources.iter().map(move |(&source, known)| {
            let level = known.level.filter(|(_, at)| now.saturating_duration_since(*at) < LEVEL_LIFE);
            (source, level.map_or(Level::SILENCE, |(level, _)| level))
        })
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
        let (level, payload) = source.push(&packet, now)?;
        let MediaPacket { source, counter, capture_time, .. } = packet;
        Ok(Heard { source, counter, capture_time, level, payload })
    }

    /// Fills `out`, at most [`PULL_SAMPLES_MAX`] samples of each channel, interleaved, with what is to be played from `now` on. To be
    /// called at the pace at which `out` is played.
    ///
    /// # Panics
    /// If `out` is longer than [`PULL_SAMPLES_MAX`].
    pub fn pull(&mut self, now: Instant, out: &mut [f32]) {
        assert!(out.len() <= PULL_SAMPLES_MAX * self.channels.count(), "a listener is pulled by the frame");
        out.fill(0.0);
        for Source { playback, volume, .. } in self.sources.values_mut() {
            if let Some(playback) = playback {
                playback.pull(now, *volume, out);
            }
        }
        self.mixer.limit(out);
    }

    /// Every source's figures, ordered by source.
    pub fn stats(&self) -> Vec<SourceStats> {
        self.sources.iter().map(|(&index, source)| source.stats(index)).collect()
    }

    /// How much of each source had to be made up so far, in milliseconds, ordered by source: [`JitterStats::concealed_ms`]
    /// alone, for who asks often.
    pub fn concealed_ms(&self) -> impl Iterator<Item = (SourceIndex, f64)> + '_ {
        self.sources.iter().filter_map(|(&index, source)| {
            source.playback.as_ref().map(|playback| (index, playback.concealed_ms()))
        })
    }

    /// What belongs to no source.
    pub fn listener_stats(&self) -> ListenerStats {
        self.stats
    }
}

struct Source {
    key: SenderKey,
    opener: Opener,
    channels: Channels,
    playback: Option<Box<Playback>>,
    volume: f32,
    /// By its own word, and when that came.
    level: Option<(Level, Instant)>,
    duplicates: u64,
    forged: u64,
    unknown_key: u64,
    witness: Option<Witness>,
}

impl Source {
    fn new(key: SenderKey, source: SourceIndex, channels: Channels) -> Self {
        Self {
            opener: Opener::new(&key, source),
            key,
            channels,
            playback: None,
            volume: 1.0,
            level: None,
            duplicates: 0,
            forged: 0,
            unknown_key: 0,
            witness: None,
        }
    }

    fn push(&mut self, packet: &MediaPacket<'_>, now: Instant) -> Result<(Level, Bytes), HearError> {
        let opened = self.opener.open(packet);
        let payload = opened.inspect_err(|error| match error {
            OpenError::Replayed => {
                self.duplicates += 1;
                if let Some(playback) = &mut self.playback {
                    playback.push_again(packet.capture_time, now);
                }
            }
            OpenError::UnknownKey => self.unknown_key += 1,
            OpenError::Tampered | OpenError::UnknownSource => self.forged += 1,
        })?;
        if self.witness.as_mut().is_some_and(|witness| !witness.on_frame(packet, now)) {
            return Err(HearError::Silenced);
        }
        let (&level, payload) = payload.split_first().ok_or(HearError::Payload)?;
        let level = Level::from_byte(level);
        self.level = Some((level, now));
        let frame = payload_samples(payload)
            .and_then(|samples| FrameLength::from_micros(samples as u64 * 1_000 / 48))
            .ok_or(HearError::Payload)?;
        let payload = Bytes::copy_from_slice(payload);
        let playback = self.playback.get_or_insert_with(|| Box::new(Playback::new(self.channels, frame)));
        playback.push(frame, packet.counter, packet.capture_time, payload.clone(), now);
        Ok((level, payload))
    }

    fn stats(&self, source: SourceIndex) -> SourceStats {
        let mut jitter = self.playback.as_ref().map(|playback| playback.stats()).unwrap_or_default();
        jitter.duplicates += self.duplicates;
        let witness = self.witness.as_ref().map(Witness::stats).unwrap_or_default();
        SourceStats { source, jitter, forged: self.forged, unknown_key: self.unknown_key, witness }
    }
}

/// The loudest that somebody quiet can be made.
const VOLUME_MAX: f32 = 4.0;

/// Without a packet for so long, a source is silent: a few of the longest frames.
const LEVEL_LIFE: Duration = Duration::from_millis(300);
