//! Everybody in one, for who hears one mix.

use std::collections::BTreeMap;
use std::time::Instant;

use alm_media::{CaptureTime, CodecConfig, Encoder, FrameLength, Level, Listener, SenderKey, SourceIndex};
use bytes::Bytes;

use super::{Uttered, Voice};
use crate::live::audio::Author;

/// Everybody in one: decoded, added up and encoded again.
pub(super) struct Mix {
    pub(super) listener: Listener,
    encoder: Encoder,
    pcm: Vec<f32>,
    counter: u64,
}

impl Mix {
    pub(super) fn new(voices: &BTreeMap<SourceIndex, Voice>) -> Self {
        let config = CodecConfig { bitrate: MIX_RATE, frame: MIX_FRAME, ..CodecConfig::default() };
        let encoder = Encoder::new(config).expect("a rate within bounds, and frames of 20 ms");
        let (listener, pcm) = (Listener::new(), vec![0.0; MIX_FRAME.samples()]);
        let mut mix = Self { listener, encoder, pcm, counter: 0 };
        for (&source, voice) in voices {
            mix.meet(source, &voice.keys, voice.author);
            mix.listener.set_volume(source, voice.volume);
        }
        mix
    }

    pub(super) fn meet(&mut self, source: SourceIndex, keys: &[SenderKey], author: Author) {
        let Some(last) = keys.last() else { return };
        // There are no more voices than a listener takes.
        if self.listener.set_keys(source, keys) || self.listener.add_source(source, last).is_ok() {
            self.listener.watch(source, author.node.0, author.salt);
            self.listener.set_keys(source, keys);
        }
    }

    pub(super) fn next(&mut self, now: Instant) -> Option<Uttered> {
        self.listener.pull(now, &mut self.pcm);
        let level = Level::of(&self.pcm);
        let payload = Bytes::copy_from_slice(self.encoder.encode(&self.pcm).ok()?);
        let counter = self.counter;
        self.counter += 1;
        let capture_time = CaptureTime((counter as u32).wrapping_mul(MIX_FRAME.samples() as u32));
        Some(Uttered { source: None, counter, capture_time, level, payload })
    }
}

/// The mix: one voice's frames, at a rate that carries several.
pub(super) const MIX_FRAME: FrameLength = FrameLength::MS_20;
const MIX_RATE: u32 = 48_000;
