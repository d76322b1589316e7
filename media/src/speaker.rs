//! One voice's way out: from a captured frame to packets for any number of trees.

use bytes::Bytes;

use crate::codec::{CodecConfig, CodecError, Encoder, FrameLength, is_pause, pause};
use crate::envelope::Envelope;
use crate::level::Level;
use crate::packet::{CaptureTime, SourceIndex, TreeId};
use crate::seal::SenderKey;
use crate::vouch::Sign;

/// The capture side of one source.
pub struct Speaker {
    encoder: Encoder,
    envelope: Envelope,
    /// The last payload began or continued a pause.
    pausing: bool,
    config: CodecConfig,
    /// Frames are held back, and when that was last said.
    held: Option<CaptureTime>,
}

impl Speaker {
    /// A speaker for `source`. The key must come from a salt that no other speaker has used.
    ///
    /// # Errors
    /// A configuration that Opus or the packet has no room for.
    pub fn new(source: SourceIndex, key: &SenderKey, config: CodecConfig) -> Result<Self, CodecError> {
        let encoder = Encoder::new(config)?;
        let envelope = Envelope::new(source, key);
        Ok(Self { encoder, envelope, pausing: false, config, held: None })
    }

    /// See [`Envelope::vouched`].
    #[must_use]
    pub fn vouched(mut self, key: &SenderKey, salt: [u8; 16], sign: Sign) -> Self {
        self.envelope = self.envelope.vouched(key, salt, sign);
        self
    }

    /// The source that it speaks for.
    pub fn source(&self) -> SourceIndex {
        self.envelope.source()
    }

    /// What the last packet holds of the voice: a payload of Opus.
    pub fn payload(&self) -> &[u8] {
        self.envelope.payload()
    }

    /// How much sound goes into one packet.
    pub fn frame(&self) -> FrameLength {
        self.encoder.frame()
    }

    /// Makes frames of that length from now on; everything else stays. `false`, and no change, where they would not fit a
    /// packet.
    pub fn set_frame(&mut self, frame: FrameLength) -> bool {
        let config = CodecConfig { frame, ..self.config };
        match Encoder::new(config) {
            Ok(encoder) => {
                (self.encoder, self.config) = (encoder, config);
                true
            }
            Err(_) => false,
        }
    }

    /// Sets the priority bit of the packets to come. Default off.
    pub fn set_priority(&mut self, priority: bool) {
        self.envelope.set_priority(priority);
    }

    /// Sets the loss to prepare for, in percent; above 100 counts as 100.
    pub fn set_loss_percent(&mut self, percent: u8) {
        self.config.loss_percent = percent.min(100);
        self.encoder.set_loss_percent(percent);
    }

    /// Seals by another epoch's key from now on; counters go on.
    pub fn set_key(&mut self, key: &SenderKey) {
        self.envelope.set_key(key);
    }

    /// Makes every packet of the same size from now on, so that sizes and pauses say nothing to who relays; or not.
    pub fn set_constant_rate(&mut self, constant: bool) {
        self.config.constant_rate = constant;
        self.encoder.set_constant_rate(constant);
    }

    /// Encodes and seals one frame, whose first sample was captured at `capture_time`, and appends one
    /// packet for each of `trees` to `out`. The packets differ in their tree id alone. In a pause (with
    /// [`CodecConfig::dtx`]) nothing is appended but its first packet and a sign of life now and then; counters go on
    /// without a gap, capture times do not.
    ///
    /// # Errors
    /// Not exactly one frame of samples of every channel; nothing was encoded.
    pub fn packet(
        &mut self,
        pcm: &[f32],
        capture_time: CaptureTime,
        trees: &[TreeId],
        out: &mut Vec<Bytes>,
    ) -> Result<(), CodecError> {
        self.held = None;
        let level = Level::of(pcm);
        let payload = self.encoder.encode(pcm)?;
        let pausing = is_pause(payload);
        if std::mem::replace(&mut self.pausing, pausing) && pausing {
            return Ok(());
        }
        self.envelope
            .packet(level, payload, capture_time, trees, out)
            .expect("the counter grows by one, for millennia, and the encoder keeps to the longest payload");
        Ok(())
    }

    /// Holds back a frame that is as loud as that: at first and now and then a packet is appended that says so, in the way of
    /// a pause.
    pub fn hold(&mut self, level: Level, capture_time: CaptureTime, trees: &[TreeId], out: &mut Vec<Bytes>) {
        if self.held.is_some_and(|said| capture_time.ticks_since(said) < HELD_TICKS) {
            return;
        }
        self.held = Some(capture_time);
        self.pausing = true;
        self.envelope
            .packet(level, &pause(self.frame()), capture_time, trees, out)
            .expect("the counter grows by one, for millennia, and a pause is a byte long");
    }
}

/// How often a voice that is held back says so, in ticks of the session's clock: 400 ms, as Opus does in a pause.
const HELD_TICKS: i32 = 19_200;
