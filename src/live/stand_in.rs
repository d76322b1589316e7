//! A member who speaks and listens elsewhere, in a browser say, and whom this node stands in for: what comes from there is
//! encoded already and is sealed here as it is; what goes there is opened here and neither decoded nor encoded, unless one
//! mix of everybody is asked for.
//!
//! The node sees the sound of such a member, and nobody beyond it does; unless the member seals and opens its sound where it
//! is, with the keys that it gets from here ([`Secrets`]). Then it is passed on as it is, and whether a voice is its own is seen
//! there as well: what each source has signed is opened and proved here, which takes no look at the sound, and compared there
//! ([`Vouched`]).

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use alm_media::{
    CaptureTime, Envelope, Level, MediaPacket, Opener, SOURCES_MAX, SenderKey, SourceIndex, TreeId, Vouched,
    Witness, payload_samples, with_tree, without_tree,
};
use bytes::Bytes;
use tokio::sync::{broadcast, mpsc, watch};
use tokio::time::{Interval, MissedTickBehavior, interval};

mod incoming;
mod mix;

use self::incoming::{Allowance, Meter, Placed, frame_samples};
use self::mix::{MIX_FRAME, Mix};
use super::audio::{Author, FromAudio, Handle, OwnVoice, QUEUE_MAX, ToAudio};
use super::secrets::Secrets;
use crate::session::SessionClock;

/// A frame as it comes from there.
#[derive(Clone, Debug)]
pub struct Spoken {
    /// Frames between the one before and this one that were lost on the way here.
    pub lost: u64,
    /// When its first sample was captured, by the sender's own clock of 48 kHz.
    pub timestamp: u32,
    /// How loud it is, if the sender says so.
    pub level: Option<Level>,
    /// Opus, or what has been sealed there.
    pub payload: Bytes,
    /// It is a packet without its tree, see [`with_tree`]. A voice is sealed either there or here and never both: one
    /// counter for one key.
    pub sealed: bool,
    /// When it arrived.
    pub at: Instant,
}

/// A frame on its way there.
#[derive(Clone, Debug)]
pub struct Uttered {
    /// Whose; none for the mix of all.
    pub source: Option<SourceIndex>,
    /// Its place among that source's frames.
    pub counter: u64,
    /// When it was captured, in ticks of 1/48,000 s.
    pub capture_time: CaptureTime,
    /// How loud it is.
    pub level: Level,
    /// Opus, or the packet without its tree that is opened there, see [`without_tree`].
    pub payload: Bytes,
}

/// How the member hears the others.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Hearing {
    /// Not at all.
    #[default]
    Nothing,
    /// Each voice for itself, as it was encoded by who speaks.
    Apart,
    /// Each voice for itself, sealed as it came.
    Sealed,
    /// All in one, mixed here.
    Mixed,
}

/// Where the member's voice comes from and where what it hears goes.
pub struct StandInConfig {
    /// Its voice.
    pub voice: mpsc::Receiver<Spoken>,
    /// Its ears; what does not fit is lost, as on any network.
    pub ears: mpsc::Sender<Uttered>,
    /// How it hears, which may change.
    pub hearing: watch::Receiver<Hearing>,
    /// For sealing and opening there.
    pub secrets: watch::Sender<Secrets>,
    /// What the others have signed of what is opened there. Who does not keep up misses some, as on any network.
    pub vouched: broadcast::Sender<(SourceIndex, Vouched)>,
}

/// See the [module](self).
pub(super) struct StandIn {
    config: StandInConfig,
    own: OwnVoice,
    /// None before the first key.
    envelope: Option<Envelope>,
    clock: Option<SessionClock>,
    /// Where the frame stands that came last.
    last: Option<Placed>,
    allowance: Allowance,
    meter: Meter,
    muted: bool,
    voices: BTreeMap<SourceIndex, Voice>,
    mix: Option<Mix>,
    packets: Vec<Bytes>,
    inbox: mpsc::Receiver<ToAudio>,
    outbox: mpsc::Sender<FromAudio>,
}

/// One of the others.
struct Voice {
    opener: Opener,
    witness: Witness,
    author: Author,
    keys: Vec<SenderKey>,
    volume: f32,
    /// What was passed on sealed, the newest last: two trees bring each frame twice.
    passed: VecDeque<u64>,
}

impl StandIn {
    /// Begins, on the runtime that this is called on, for the member whose voice is `own`: this node vouches for it.
    pub(super) fn start(config: StandInConfig, own: OwnVoice) -> Handle {
        let (to_audio, inbox) = mpsc::channel(QUEUE_MAX);
        let (outbox, from_audio) = mpsc::channel(QUEUE_MAX);
        config.secrets.send_modify(|secrets| secrets.own = Some(own.source));
        let stand_in = Self {
            config,
            own,
            envelope: None,
            clock: None,
            last: None,
            allowance: Allowance::default(),
            meter: Meter::default(),
            muted: false,
            voices: BTreeMap::new(),
            mix: None,
            packets: Vec::with_capacity(1),
            inbox,
            outbox,
        };
        tokio::spawn(stand_in.run());
        Handle::new(from_audio, to_audio, None)
    }

    async fn run(mut self) {
        let mut ticks = interval(MIX_FRAME.duration());
        // A mix that is late stays late: what waits meanwhile is the jitter buffers' to shorten.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut speaks = true;
        loop {
            tokio::select! {
                biased;
                order = self.inbox.recv() => match order {
                    Some(order) => self.take(order),
                    None => return,
                },
                spoken = self.config.voice.recv(), if speaks => match spoken {
                    Some(spoken) => self.speak(&spoken),
                    None => speaks = false,
                },
                now = tick(&mut ticks), if self.mix.is_some() => self.play_mix(now),
            }
        }
    }

    fn take(&mut self, order: ToAudio) {
        self.config.secrets.send_if_modified(|secrets| secrets.note(&order));
        match order {
            ToAudio::Packet(packet, at) => self.hear(&packet, at),
            ToAudio::Source(source, keys, author) => self.meet(source, keys, author),
            ToAudio::RemoveSource(source) => {
                self.voices.remove(&source);
                if let Some(mix) = &mut self.mix {
                    mix.listener.remove_source(source);
                }
            }
            ToAudio::Clock(clock) => self.clock = Some(clock),
            ToAudio::Seal(key) => match &mut self.envelope {
                Some(envelope) => envelope.set_key(&key),
                None => {
                    let envelope = Envelope::new(self.own.source, &key);
                    self.envelope = Some(envelope.vouched(&key, self.own.salt, self.own.sign()));
                }
            },
            ToAudio::Volume(source, volume) => {
                if let Some(voice) = self.voices.get_mut(&source) {
                    voice.volume = volume;
                }
                if let Some(mix) = &mut self.mix {
                    mix.listener.set_volume(source, volume);
                }
            }
            ToAudio::Mute(muted) => self.muted = muted,
            // For recordings, which are made where somebody listens on this machine.
            ToAudio::Name(..) => {}
            // The encoder is not here.
            ToAudio::ExpectLoss(_)
            | ToAudio::Constant(_)
            | ToAudio::Places(_)
            | ToAudio::Crowd(_)
            | ToAudio::Frame(_) => {}
        }
    }

    /// Passes on what was sealed there: whether it is what this member said, the others prove. Only under its own number, and
    /// not faster than anybody may.
    fn pass(&mut self, spoken: &Spoken) {
        let Ok(packet) = with_tree(&spoken.payload, TreeId(0)) else { return };
        let Ok(read) = MediaPacket::parse(&packet) else { return };
        if read.source != self.own.source || self.muted || !self.allowance.grants(packet.len(), spoken.at) {
            return;
        }
        if let Some(envelope) = &mut self.envelope {
            envelope.vouch_for(&read, &[TreeId(0)], &mut self.packets);
        }
        self.packets.insert(0, packet.into());
        self.send();
    }

    /// Seals what comes from there.
    fn speak(&mut self, spoken: &Spoken) {
        if spoken.sealed {
            return self.pass(spoken);
        }
        let (Some(clock), Some(envelope)) = (self.clock, &mut self.envelope) else { return };
        let Some(samples) = frame_samples(&spoken.payload) else { return };
        let arrived = CaptureTime(clock.ticks(spoken.at));
        let begun = CaptureTime(arrived.0.wrapping_sub(samples as u32));
        let placed = match &self.last {
            Some(last) => last.next(spoken.timestamp, begun),
            None => Placed { timestamp: spoken.timestamp, capture_time: begun },
        };
        self.last = Some(placed);
        if self.muted || !self.allowance.grants(spoken.payload.len(), spoken.at) {
            return;
        }
        let level = self.meter.level(spoken, samples);
        // A source that was gone for longer has not lost frames, it has made none.
        envelope.skip(if spoken.lost <= SKIP_MAX { spoken.lost } else { 0 });
        let sealed =
            envelope.packet(level, &spoken.payload, placed.capture_time, &[TreeId(0)], &mut self.packets);
        debug_assert_eq!(sealed, Ok(()), "the payload fits, and counters grow by few");
        self.send();
    }

    fn send(&mut self) {
        for packet in std::mem::take(&mut self.packets) {
            // A driver that does not keep up loses the newest.
            let _ = self.outbox.try_send(FromAudio::Packet(packet));
        }
    }

    fn meet(&mut self, source: SourceIndex, keys: Vec<SenderKey>, author: Author) {
        let Some(last) = keys.last() else { return };
        if let Some(mix) = &mut self.mix {
            mix.meet(source, &keys, author);
        }
        if !self.voices.contains_key(&source) && self.voices.len() < SOURCES_MAX {
            let opener = Opener::new(last, source);
            let witness = Witness::new(source, last, author.node.0, author.salt);
            let (keys, volume, passed) = (vec![], 1.0, VecDeque::new());
            self.voices.insert(source, Voice { opener, witness, author, keys, volume, passed });
        }
        if let Some(voice) = self.voices.get_mut(&source) {
            voice.opener.set_keys(&keys);
            voice.witness.set_keys(&keys);
            voice.keys = keys;
        }
    }

    /// Opens what goes there.
    fn hear(&mut self, packet: &[u8], at: Instant) {
        let hearing = *self.config.hearing.borrow();
        match hearing {
            Hearing::Nothing => {}
            Hearing::Mixed => {
                let voices = &self.voices;
                let mix = self.mix.get_or_insert_with(|| Mix::new(voices));
                if !mix.listener.take_digest(packet, at) {
                    // What is refused is counted by the listener.
                    let _ = mix.listener.push(packet, at);
                }
            }
            Hearing::Sealed => {
                let Some(payload) = without_tree(packet) else { return };
                let Ok(packet) = MediaPacket::parse(packet) else { return };
                let MediaPacket { source, counter, capture_time, .. } = packet;
                let Some(voice) = self.voices.get_mut(&source.voice()) else { return };
                if source.is_companion() {
                    if let Some(vouched) = voice.witness.prove(&packet) {
                        // Nobody there to compare it: nobody hears the voice.
                        let _ = self.config.vouched.send((source.voice(), vouched));
                    }
                    return self.note_standing(source.voice());
                }
                if !voice.passes(counter) {
                    return;
                }
                // How loud it is, is sealed as well: whoever comes first has a track.
                let (level, payload) = (Level::decibels_below(0), Bytes::from(payload));
                let uttered = Uttered { source: Some(source), counter, capture_time, level, payload };
                let _ = self.config.ears.try_send(uttered);
            }
            Hearing::Apart => {
                let Ok(packet) = MediaPacket::parse(packet) else { return };
                let Some(voice) = self.voices.get_mut(&packet.source.voice()) else { return };
                if packet.source.is_companion() {
                    if let Some(next) = voice.witness.on_digest(&packet, at) {
                        voice.opener.go_on_from(next);
                    }
                    return self.note_standing(packet.source.voice());
                }
                let Ok(plain) = voice.opener.open(&packet) else { return };
                let is_believed = voice.witness.on_frame(&packet, at);
                let MediaPacket { source, counter, capture_time, .. } = packet;
                if let Some((&level, payload)) = plain.split_first()
                    && is_believed
                    && voice.volume > 0.0
                    && payload_samples(payload).is_some()
                {
                    let (level, payload) = (Level::from_byte(level), Bytes::copy_from_slice(payload));
                    let source = Some(source);
                    let uttered = Uttered { source, counter, capture_time, level, payload };
                    let _ = self.config.ears.try_send(uttered);
                }
                self.note_standing(source);
            }
        }
    }

    /// Tells how far a source is known to be its own, when that is news.
    fn note_standing(&mut self, source: SourceIndex) {
        let Some(voice) = self.voices.get(&source) else { return };
        let stats = voice.witness.stats();
        self.config.secrets.send_if_modified(|secrets| secrets.note_standing(source, stats));
    }

    fn play_mix(&mut self, now: Instant) {
        if *self.config.hearing.borrow() != Hearing::Mixed {
            return;
        }
        if let Some(uttered) = self.mix.as_mut().and_then(|mix| mix.next(now)) {
            let _ = self.config.ears.try_send(uttered);
        }
    }
}

impl Voice {
    /// Whether a sealed frame was not passed on before. Nobody here proves it, so that a forged one must not shut out more
    /// than itself.
    fn passes(&mut self, counter: u64) -> bool {
        let is_new = !self.passed.contains(&counter);
        if is_new {
            self.passed.push_back(counter);
            if self.passed.len() > PASSED_MAX {
                self.passed.pop_front();
            }
        }
        is_new
    }
}

async fn tick(ticks: &mut Interval) -> Instant {
    ticks.tick().await.into_std()
}

/// Frames that one tree may be behind another: 1.3 s of 20 ms.
const PASSED_MAX: usize = 64;
/// More lost frames in a row are no loss but a pause: a second of 20 ms.
const SKIP_MAX: u64 = 50;

#[cfg(test)]
mod tests;
