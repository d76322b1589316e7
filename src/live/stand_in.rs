//! A member who speaks and listens elsewhere, in a browser say, and whom this node stands in for: what comes from there is
//! encoded already and is sealed here as it is; what goes there is opened here and neither decoded nor encoded, unless one
//! mix of everybody is asked for.
//!
//! The node sees the sound of such a member, and nobody beyond it does; unless the member seals and opens its sound where it
//! is, with the keys that it gets from here ([`Secrets`]). Then it is passed on as it is, and whether a voice is its own is seen
//! there as well: what each source has signed is opened and proved here, which takes no look at the sound, and compared there
//! ([`Vouched`]).

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use alm_media::{
    CaptureTime, Channels, CodecConfig, Decoder, Encoder, Envelope, FRAME_SAMPLES_MAX, FrameLength, Level,
    Listener, MediaPacket, Opener, PAYLOAD_MAX, SOURCES_MAX, SenderKey, SourceIndex, TreeId, Vouched,
    Witness, payload_samples, with_tree, without_tree,
};
use bytes::Bytes;
use tokio::sync::{broadcast, mpsc, watch};
use tokio::time::{Interval, MissedTickBehavior, interval};

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

/// How many samples a payload holds, if it is one that members take.
fn frame_samples(payload: &[u8]) -> Option<usize> {
    let samples = payload_samples(payload).filter(|_| payload.len() <= PAYLOAD_MAX)?;
    FrameLength::from_micros(samples as u64 * 1_000 / 48).map(|frame| frame.samples())
}

async fn tick(ticks: &mut Interval) -> Instant {
    ticks.tick().await.into_std()
}

/// Everybody in one: decoded, added up and encoded again.
struct Mix {
    listener: Listener,
    encoder: Encoder,
    pcm: Vec<f32>,
    counter: u64,
}

impl Mix {
    fn new(voices: &BTreeMap<SourceIndex, Voice>) -> Self {
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

    fn meet(&mut self, source: SourceIndex, keys: &[SenderKey], author: Author) {
        let Some(last) = keys.last() else { return };
        // There are no more voices than a listener takes.
        if self.listener.set_keys(source, keys) || self.listener.add_source(source, last).is_ok() {
            self.listener.watch(source, author.node.0, author.salt);
            self.listener.set_keys(source, keys);
        }
    }

    fn next(&mut self, now: Instant) -> Option<Uttered> {
        self.listener.pull(now, &mut self.pcm);
        let level = Level::of(&self.pcm);
        let payload = Bytes::copy_from_slice(self.encoder.encode(&self.pcm).ok()?);
        let counter = self.counter;
        self.counter += 1;
        let capture_time = CaptureTime((counter as u32).wrapping_mul(MIX_FRAME.samples() as u32));
        Some(Uttered { source: None, counter, capture_time, level, payload })
    }
}

/// Where a frame stands in the sender's time and in the session's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Placed {
    timestamp: u32,
    capture_time: CaptureTime,
}

impl Placed {
    /// Where the frame of `timestamp` stands, which seems to have been captured at `begun` by its arrival: as far behind
    /// this one as the sender says, and a little nearer to what arrivals say, so that two clocks do not drift apart.
    fn next(self, timestamp: u32, begun: CaptureTime) -> Self {
        let expected = self.capture_time.plus(timestamp.wrapping_sub(self.timestamp));
        let off = begun.ticks_since(expected);
        let capture_time = if off.unsigned_abs() > OFF_MAX {
            begun
        } else {
            CaptureTime(expected.0.wrapping_add_signed(off.signum()))
        };
        Self { timestamp, capture_time }
    }
}

/// What a member's voice may take: as much as the greatest rate that `--bitrate` takes.
#[derive(Default)]
struct Allowance {
    /// Spent and not yet forgiven, bytes.
    spent: f64,
    at: Option<Instant>,
}

impl Allowance {
    fn grants(&mut self, bytes: usize, now: Instant) -> bool {
        let before = self.at.replace(now).unwrap_or(now);
        let passed = now.saturating_duration_since(before).as_secs_f64();
        self.spent = (self.spent - passed * RATE_MAX).max(0.0);
        let cost = (bytes + PACKET_COST) as f64;
        let granted = self.spent + cost <= RATE_MAX * BURST.as_secs_f64();
        if granted {
            self.spent += cost;
        }
        granted
    }
}

/// How loud a voice is whose sender does not say so: for that alone it is decoded.
#[derive(Default)]
struct Meter {
    decoder: Option<Decoder>,
    pcm: Vec<f32>,
}

impl Meter {
    fn level(&mut self, spoken: &Spoken, samples: usize) -> Level {
        if let Some(level) = spoken.level {
            return level;
        }
        self.pcm.resize(FRAME_SAMPLES_MAX.max(samples), 0.0);
        let decoder = self.decoder.get_or_insert_with(|| Decoder::new(Channels::Mono));
        match decoder.decode(&spoken.payload, &mut self.pcm) {
            Ok(decoded) => Level::of(&self.pcm[..decoded]),
            Err(_) => Level::SILENCE,
        }
    }
}

/// Frames that one tree may be behind another: 1.3 s of 20 ms.
const PASSED_MAX: usize = 64;
/// More lost frames in a row are no loss but a pause: a second of 20 ms.
const SKIP_MAX: u64 = 50;
/// A frame that stands further than that from where its arrival puts it is placed anew, ticks: 200 ms.
const OFF_MAX: u32 = 9_600;
/// Bytes a second, what a packet costs beside its payload included: 256 kbit/s in frames of 20 ms, and a quarter to spare.
const RATE_MAX: f64 = 40_000.0 + 50.0 * PACKET_COST as f64;
/// So much at once, after a stall.
const BURST: Duration = Duration::from_millis(1_000);
/// Headers on the wire, bytes.
const PACKET_COST: usize = 90;
/// The mix: one voice's frames, at a rate that carries several.
const MIX_FRAME: FrameLength = FrameLength::MS_20;
const MIX_RATE: u32 = 48_000;

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use crate::identity::Identity;
    use alm_media::CodecError;
    use tokio::time::{Instant as Virtual, sleep};

    /// Somebody's ends, and the audio between them.
    struct Ends {
        voice: mpsc::Sender<Spoken>,
        ears: mpsc::Receiver<Uttered>,
        hearing: watch::Sender<Hearing>,
        secrets: watch::Receiver<Secrets>,
        vouched: broadcast::Receiver<(SourceIndex, Vouched)>,
        handle: Handle,
    }

    fn stand_in(source: u16) -> Ends {
        let (voice, spoken) = mpsc::channel(100);
        let (uttered, ears) = mpsc::channel(100);
        let (hearing, heard) = watch::channel(Hearing::Nothing);
        let (told, secrets) = watch::channel(Secrets::default());
        let (signed, vouched) = broadcast::channel(100);
        let config =
            StandInConfig { voice: spoken, ears: uttered, hearing: heard, secrets: told, vouched: signed };
        let identity = Arc::new(Identity::from_seed([source as u8; 32]));
        let own = OwnVoice { source: SourceIndex(source), identity, salt: [2; 16] };
        let mut handle = StandIn::start(config, own);
        handle.send(ToAudio::Clock(SessionClock::new(Virtual::now().into_std(), 0)));
        Ends { voice, ears, hearing, secrets, vouched, handle }
    }

    fn author() -> Author {
        Author { node: Identity::from_seed([1; 32]).node_id(), salt: [2; 16] }
    }

    fn tone(encoder: &mut Encoder, frame: u32) -> Result<Bytes, CodecError> {
        let sample = |i: u32| (i as f32 * 0.06).sin() * 0.3;
        let pcm: Vec<f32> = (frame * 960..(frame + 1) * 960).map(sample).collect();
        encoder.encode(&pcm).map(Bytes::copy_from_slice)
    }

    #[tokio::test(start_paused = true)]
    async fn a_voice_goes_through_as_it_is_and_into_a_mix() {
        let key = SenderKey::derive(b"secret", &[1; 32], &[2; 16]);
        let (mut from, mut to) = (stand_in(1), stand_in(2));
        from.handle.send(ToAudio::Seal(key.clone()));
        to.handle.send(ToAudio::Source(SourceIndex(1), vec![key], author()));
        let mut encoder = Encoder::new(CodecConfig::default()).unwrap();
        let (mut said, mut apart, mut mixed) = (Vec::new(), Vec::new(), Level::SILENCE);
        to.hearing.send_replace(Hearing::Apart);
        for frame in 0..100 {
            if frame == 50 {
                to.hearing.send_replace(Hearing::Mixed);
            }
            let payload = tone(&mut encoder, frame).unwrap();
            said.push(payload.clone());
            // The fourth is lost on the way here; the first ones do not say how loud they are.
            if frame != 3 {
                let level = (frame >= 10).then_some(Level::decibels_below(33));
                let (lost, at) = (u64::from(frame == 4), Virtual::now().into_std());
                let timestamp = 77 + frame * 960;
                from.voice.try_send(Spoken { lost, timestamp, level, payload, sealed: false, at }).unwrap();
            }
            sleep(Duration::from_millis(20)).await;
            while let Ok(FromAudio::Packet(packet)) = from.handle.from_audio.try_recv() {
                to.handle.send(ToAudio::Packet(packet, Virtual::now().into_std()));
            }
            sleep(Duration::from_millis(0)).await;
            while let Ok(uttered) = to.ears.try_recv() {
                match uttered.source {
                    Some(_) => apart.push(uttered),
                    None => mixed = uttered.level,
                }
            }
        }
        assert!(apart.len() >= 47, "{}", apart.len());
        for uttered in &apart {
            assert_eq!(uttered.payload, said[uttered.counter as usize], "not a bit is changed");
            let told = Level::decibels_below(33);
            assert_eq!(uttered.level == told, uttered.counter >= 10, "{uttered:?}");
        }
        assert!(apart[5].level < Level::decibels_below(20), "it was measured: {:?}", apart[5].level);
        let gaps = apart.windows(2).filter(|pair| pair[1].counter != pair[0].counter + 1).count();
        assert_eq!(gaps, 1, "what was lost is counted");
        assert!(mixed < Level::decibels_below(20), "{mixed:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_sealed_elsewhere_is_passed_on_once_and_under_its_own_number_alone() {
        let key = SenderKey::derive(b"secret", &[1; 32], &[2; 16]);
        let (mut from, mut to) = (stand_in(1), stand_in(2));
        from.handle.send(ToAudio::Seal(key.clone()));
        to.handle.send(ToAudio::Source(SourceIndex(1), vec![key.clone()], author()));
        to.hearing.send_replace(Hearing::Sealed);
        sleep(Duration::from_millis(1)).await;
        assert!(from.secrets.borrow().seal.as_ref() == Some(&key));
        assert!(to.secrets.borrow().open.contains_key(&SourceIndex(1)));
        let (mut packets, mut sent) = (Vec::new(), Vec::new());
        for source in [1, 2].map(SourceIndex) {
            let level = Level::decibels_below(20);
            let trees = [TreeId(0)];
            Envelope::new(source, &key)
                .packet(level, b"voice", CaptureTime(9), &trees, &mut packets)
                .unwrap();
        }
        for payload in packets.iter().map(|packet| without_tree(packet).unwrap()) {
            let (payload, at) = (Bytes::from(payload), Virtual::now().into_std());
            let spoken = Spoken { lost: 0, timestamp: 0, level: None, payload, sealed: true, at };
            from.voice.try_send(spoken).unwrap();
        }
        sleep(Duration::from_millis(1)).await;
        while let Ok(FromAudio::Packet(packet)) = from.handle.from_audio.try_recv() {
            sent.push(packet);
        }
        assert_eq!(sent, packets[..1], "another's number is not taken");
        for tree in [3, 4] {
            let mut bytes = sent[0].to_vec();
            alm_media::set_tree(&mut bytes, TreeId(tree));
            to.handle.send(ToAudio::Packet(bytes.into(), Virtual::now().into_std()));
        }
        sleep(Duration::from_millis(1)).await;
        let heard = to.ears.try_recv().unwrap();
        assert_eq!(Some(heard.payload.to_vec()), without_tree(&packets[0]));
        assert!(to.ears.try_recv().is_err(), "the other tree's copy is not passed on");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_signed_is_told_where_the_voice_is_opened() {
        let key = SenderKey::derive(b"secret", &[1; 32], &[2; 16]);
        let (mut from, mut to) = (stand_in(1), stand_in(2));
        from.handle.send(ToAudio::Seal(key.clone()));
        to.handle.send(ToAudio::Source(SourceIndex(1), vec![key.clone()], author()));
        to.hearing.send_replace(Hearing::Sealed);
        let (mut envelope, mut packets) = (Envelope::new(SourceIndex(1), &key), Vec::new());
        for frame in 0..60 {
            let (level, at) = (Level::decibels_below(20), CaptureTime(frame * 960));
            envelope.packet(level, b"voice", at, &[TreeId(0)], &mut packets).unwrap();
        }
        for packet in &packets {
            let (payload, at) = (without_tree(packet).unwrap().into(), Virtual::now().into_std());
            let spoken = Spoken { lost: 0, timestamp: 0, level: None, payload, sealed: true, at };
            from.voice.try_send(spoken).unwrap();
            sleep(Duration::from_millis(20)).await;
        }
        let mut signed = Vec::new();
        while let Ok(FromAudio::Packet(packet)) = from.handle.from_audio.try_recv() {
            let mut altered = packet.to_vec();
            *altered.last_mut().unwrap() ^= 1;
            for packet in [packet, altered.into()] {
                to.handle.send(ToAudio::Packet(packet, Virtual::now().into_std()));
            }
            sleep(Duration::from_millis(1)).await;
            signed.extend(to.vouched.try_recv());
        }
        let told: Vec<_> =
            signed.iter().map(|(source, vouched)| (source.0, vouched.first, vouched.marks.len())).collect();
        assert_eq!(told, [(1, 0, 26), (1, 0, 51)], "half a second each, and what came before");
        assert_eq!(signed[0].1.marks, signed[1].1.marks[..26], "the same of the same frames");
    }

    #[test]
    fn frames_keep_their_distance_and_clocks_do_not_drift_apart() {
        let mut placed = Placed { timestamp: u32::MAX - 100, capture_time: CaptureTime(5_000) };
        // The other side's clock is 200 ppm slow, and arrivals spread over 20 ms.
        for frame in 1..50_000_u32 {
            let (timestamp, arrived) =
                (frame.wrapping_mul(960).wrapping_sub(101), f64::from(frame) * 960.192);
            let begun = CaptureTime(5_000 + arrived as u32 + frame * 7_919 % 960);
            let next = placed.next(timestamp, begun);
            assert!(next.capture_time.ticks_since(placed.capture_time).abs_diff(960) <= 1);
            assert!(begun.ticks_since(next.capture_time).abs() < 2_000, "{frame}");
            placed = next;
        }
        let far = CaptureTime(1);
        assert_eq!(placed.next(placed.timestamp.wrapping_add(960), far).capture_time, far);
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "an Instant to count from; nothing waits")]
    fn nobody_sends_more_than_the_greatest_rate() {
        let (mut allowance, start) = (Allowance::default(), Instant::now());
        let sent = |per_frame: usize, allowance: &mut Allowance| {
            (0..500)
                .filter(|frame| allowance.grants(per_frame, start + Duration::from_millis(20) * *frame))
                .count()
        };
        assert_eq!(sent(640, &mut allowance), 500, "256 kbit/s");
        let granted = sent(1_100, &mut Allowance::default());
        assert!((370..430).contains(&granted), "{granted}");
    }
}
