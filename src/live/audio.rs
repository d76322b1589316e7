//! A member's voice and ears: from the capture device to sealed packets, from packets to the playback device.
//!
//! [`Audio`] is a state machine that is ticked every few milliseconds; [`Pace`] says by what: a thread on the real clock, or
//! a task on tokio's, which a test can make virtual. A tick that comes late is made up for, so that what is played
//! tracks the wall clock.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use alm_media::device::{Capture, Playback};
use alm_media::{
    CaptureTime, Channels, CodecConfig, Floor, FrameLength, Level, Listener, Recording, SAMPLE_RATE,
    SenderKey, Sign, SourceIndex, SourceStats, Speaker, TreeId, Turn, VOICE_BLOCK, VoiceConfig,
    VoiceProcessor, is_pause, payload_samples,
};
use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::{TryRecvError, TrySendError};

use super::cue::Cue;
use super::recorder::Recorder;
use crate::identity::{Identity, NodeId};
use crate::session::SessionClock;

/// The voice and the ears that a member brings.
pub struct AudioConfig {
    /// Where its voice comes from.
    pub capture: Box<dyn Capture>,
    /// Where what it hears goes.
    pub playback: Box<dyn Playback>,
    /// What is done to the voice before it is encoded; nothing but to one channel.
    pub voice: VoiceConfig,
    /// How the voice is encoded: in as many channels as `capture` has.
    pub codec: CodecConfig,
    /// What keeps time.
    pub pace: Pace,
    /// Nothing of the voice goes out until a command says so.
    pub muted: bool,
    /// Two notes are played when the microphone goes on or off.
    pub cue: bool,
    /// What everybody says is kept there.
    pub recording: Option<Recording>,
}

/// What ticks the audio.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pace {
    /// A thread on the real clock.
    Thread,
    /// A task on tokio's clock.
    Task,
}

/// From the network to the ears.
#[derive(Debug)]
pub(super) enum ToAudio {
    Packet(Bytes, Instant),
    /// A source is heard from now on, or goes by these keys, the latest last; whose it is.
    Source(SourceIndex, Vec<SenderKey>, Author),
    RemoveSource(SourceIndex),
    Clock(SessionClock),
    /// The own voice is sealed by this key from now on, and not sent before the first.
    Seal(SenderKey),
    /// Who is no member relays, so that sizes and pauses must say nothing of the voice; or nobody such does.
    Constant(bool),
    /// So many percent of the voice are lost at its worst listener.
    ExpectLoss(u8),
    /// So many voices are carried at once.
    Places(usize),
    /// Whether none but those who speak can be heard of.
    Crowd(bool),
    /// Frames of that length from now on.
    Frame(FrameLength),
    /// What a source, or the own voice, calls itself.
    Name(SourceIndex, NodeId, String),
    /// A source is played at so many times its own loudness.
    Volume(SourceIndex, f32),
    /// From now on, silence in place of the voice, or the voice again.
    Mute(bool),
}

/// Who vouches for a voice.
#[derive(Clone, Copy, Debug)]
pub(super) struct Author {
    pub(super) node: NodeId,
    /// Of this start of its program.
    pub(super) salt: [u8; 16],
}

/// Who this node's own voice is: its number in the session, what it is signed by, and the salt of its keys.
pub(super) struct OwnVoice {
    pub(super) source: SourceIndex,
    pub(super) identity: Arc<Identity>,
    pub(super) salt: [u8; 16],
}

impl OwnVoice {
    /// What signs digests of it.
    pub(super) fn sign(&self) -> Sign {
        let identity = self.identity.clone();
        Box::new(move |message| {
            let signature = identity.sign(message).0;
            signature.try_into().expect("an Ed25519 signature has 64 bytes")
        })
    }
}

/// From the voice to the network.
#[derive(Debug)]
pub(super) enum FromAudio {
    /// A sealed packet, its tree not yet set.
    Packet(Bytes),
    /// Every second: each source's figures and how long its packets were under way.
    Heard(Vec<(SourceStats, Option<f64>)>),
    /// So much of a source had to be made up, or was silent for want of packets, until now.
    Gap(SourceIndex, Duration),
    /// How loud the own microphone is, muted or not, and everybody else by their own word.
    Levels(Level, Vec<(SourceIndex, Level)>),
    /// How often the microphone and the loudspeaker have come to a gap, ever.
    Gaps(u64, u64),
    /// A device has failed; the rest goes on.
    Trouble(String),
}

/// Packets and commands between the network and the audio: a second of fifty sources.
pub(super) const QUEUE_MAX: usize = 2_560;
/// The longest tick; frames are whole numbers of ticks. A frame waits for half a tick on average, and twice as many
/// ticks cost a hundredth of a core.
const TICK_MAX: Duration = Duration::from_millis(5);
/// A tick this late has missed its turn at the microphone: old sound is not sent in a burst.
const STALE: Duration = Duration::from_millis(100);
/// How often figures are told.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);
/// How often levels are told: as fast as one can see who begins to speak.
const LEVELS_INTERVAL: Duration = Duration::from_millis(250);

/// Both ends of a running audio; dropping it stops the audio and closes its devices.
pub(super) struct Handle {
    pub(super) from_audio: mpsc::Receiver<FromAudio>,
    to_audio: mpsc::Sender<ToAudio>,
    /// Commands that found the queue full: they must not be lost, as packets may.
    backlog: VecDeque<ToAudio>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Handle {
    pub(super) fn new(
        from_audio: mpsc::Receiver<FromAudio>,
        to_audio: mpsc::Sender<ToAudio>,
        thread: Option<std::thread::JoinHandle<()>>,
    ) -> Self {
        Self { from_audio, to_audio, backlog: VecDeque::new(), thread }
    }

    /// Hands something over without waiting. Ears that do not keep up lose packets, which the jitter buffer conceals.
    pub(super) fn send(&mut self, what: ToAudio) {
        self.backlog.push_back(what);
        while let Some(next) = self.backlog.pop_front() {
            if let Err(TrySendError::Full(refused)) = self.to_audio.try_send(next) {
                self.backlog.push_front(refused);
                break;
            }
        }
        self.backlog.retain(|waiting| !matches!(waiting, ToAudio::Packet(..)));
        self.backlog.truncate(BACKLOG_MAX);
    }

    /// Stops the audio and waits until its output is complete.
    pub(super) fn stop(self) {
        let Self { to_audio, from_audio, thread, .. } = self;
        drop((to_audio, from_audio));
        if let Some(thread) = thread {
            // It ends within a tick of its queue's end; a panic there has been printed already.
            let _ = thread.join();
        }
    }
}

/// Commands that may wait for the audio: more than a full session's joins and leaves.
const BACKLOG_MAX: usize = 1_024;

/// See the [module](self).
pub struct Audio {
    capture: Box<dyn Capture>,
    playback: Box<dyn Playback>,
    own: OwnVoice,
    codec: CodecConfig,
    floor: Floor,
    /// None before the first key.
    speaker: Option<Speaker>,
    listener: Listener,
    clock: Option<SessionClock>,
    muted: bool,
    /// None where it is not wanted.
    cue: Option<Cue>,
    frame: FrameLength,
    /// What the next frame is to be.
    wanted: FrameLength,
    tick: Duration,
    /// When the next tick is due.
    due: Instant,
    /// Of all channels, interleaved.
    captured: Vec<f32>,
    /// Of all channels, interleaved.
    played: Vec<f32>,
    /// Of what is played, one channel: what a microphone hears of it.
    mixed_down: Vec<f32>,
    filled: usize,
    packets: Vec<Bytes>,
    paths_ms: BTreeMap<SourceIndex, f64>,
    gaps: BTreeMap<SourceIndex, Gap>,
    report_at: Instant,
    levels_at: Instant,
    /// The loudest since levels were told.
    input: Level,
    processor: Option<VoiceProcessor>,
    recorder: Option<Recorder>,
    inbox: mpsc::Receiver<ToAudio>,
    outbox: mpsc::Sender<FromAudio>,
}

/// What of a source is made up at present.
#[derive(Clone, Copy, Default)]
struct Gap {
    /// All that was ever, ms.
    known_ms: f64,
    /// Without an end so far, ms.
    open_ms: f64,
}

/// The network's end has been dropped: the audio is over.
struct Over;

impl Audio {
    /// Starts the audio of the member whose voice is `own`; the first tick is at `now`.
    pub(super) fn start(config: AudioConfig, own: OwnVoice, now: Instant) -> Handle {
        let AudioConfig { capture, playback, voice, codec, pace, muted, cue, recording } = config;
        let codec = CodecConfig { channels: capture.channels(), ..codec };
        let frame = codec.frame;
        let tick = frame.duration().min(TICK_MAX);
        let (to_audio, inbox) = mpsc::channel(QUEUE_MAX);
        let (outbox, from_audio) = mpsc::channel(QUEUE_MAX);
        let recorder = recording.map(|recording| {
            let outbox = outbox.clone();
            // A driver that does not keep up has lost more than that already.
            Recorder::start(recording, now, move |trouble| drop(outbox.try_send(FromAudio::Trouble(trouble))))
        });
        let floor = Floor::new(own.source);
        let samples = (tick.as_secs_f64() * f64::from(SAMPLE_RATE)).round() as usize;
        let channels = playback.channels();
        let audio = Self {
            capture,
            playback,
            listener: Listener::with_channels(channels),
            clock: None,
            muted,
            cue: cue.then(Cue::default),
            frame,
            wanted: frame,
            tick,
            due: now + tick,
            captured: vec![0.0; frame.samples() * codec.channels.count()],
            played: vec![0.0; samples * channels.count()],
            mixed_down: vec![0.0; samples],
            filled: 0,
            packets: Vec::with_capacity(1),
            paths_ms: BTreeMap::new(),
            gaps: BTreeMap::new(),
            report_at: now + REPORT_INTERVAL,
            levels_at: now + LEVELS_INTERVAL,
            input: Level::SILENCE,
            own,
            codec,
            floor,
            speaker: None,
            processor: (voice != VoiceConfig::NONE && codec.channels == Channels::Mono)
                .then(|| VoiceProcessor::new(voice, frame.samples().min(VOICE_BLOCK))),
            recorder,
            inbox,
            outbox,
        };
        let thread = match pace {
            Pace::Thread => Some(std::thread::spawn(|| audio.run_on_thread())),
            Pace::Task => {
                tokio::spawn(audio.run_on_task());
                None
            }
        };
        Handle::new(from_audio, to_audio, thread)
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the audio thread keeps real time; it is the driver of its own clock"
    )]
    fn run_on_thread(mut self) {
        loop {
            let now = Instant::now();
            match self.due.checked_duration_since(now) {
                Some(early) if !early.is_zero() => std::thread::sleep(early),
                _ => {
                    if self.tick(now).is_err() {
                        return;
                    }
                }
            }
        }
    }

    async fn run_on_task(mut self) {
        loop {
            tokio::time::sleep_until(self.due.into()).await;
            if self.tick(tokio::time::Instant::now().into_std()).is_err() {
                return;
            }
        }
    }

    /// Plays and captures the tick that is due.
    fn tick(&mut self, now: Instant) -> Result<(), Over> {
        self.take_inbox()?;
        self.listener.pull(now, &mut self.played);
        self.tell_gaps();
        let channels = self.playback.channels().count();
        if let Some(cue) = &mut self.cue {
            cue.add(&mut self.played, channels);
        }
        if let Some(processor) = &mut self.processor {
            for (sample, samples) in self.mixed_down.iter_mut().zip(self.played.chunks_exact(channels)) {
                *sample = samples.iter().sum::<f32>() / channels as f32;
            }
            processor.play(&self.mixed_down);
        }
        if let Err(error) = self.playback.write(&self.played) {
            self.tell(FromAudio::Trouble(error.to_string()));
        }
        let step = self.mixed_down.len() * self.codec.channels.count();
        if let Err(error) = self.capture.read(&mut self.captured[self.filled..self.filled + step]) {
            self.tell(FromAudio::Trouble(error.to_string()));
        }
        self.input = self.input.min(Level::of(&self.captured[self.filled..self.filled + step]));
        self.filled += step;
        let piece = VOICE_BLOCK.min(self.captured.len());
        if let Some(processor) = self.processor.as_mut().filter(|_| self.filled.is_multiple_of(piece)) {
            processor.process(&mut self.captured[self.filled - piece..self.filled]);
        }
        if self.muted {
            // Of what was said before in this frame, too.
            self.captured[..self.filled].fill(0.0);
        }
        if self.filled == self.captured.len() {
            self.filled = 0;
            if now.saturating_duration_since(self.due) < STALE {
                self.speak(now);
            }
            self.take_wanted();
        }
        self.due += self.tick;
        if self.levels_at <= now {
            self.levels_at = now + LEVELS_INTERVAL;
            if self.recorder.as_mut().is_some_and(|recorder| recorder.tick(now)) {
                self.tell(FromAudio::Trouble(BEHIND.to_owned()));
            }
            let input = std::mem::replace(&mut self.input, Level::SILENCE);
            self.tell(FromAudio::Levels(input, self.listener.levels(now).collect()));
        }
        if self.report_at <= now {
            self.report_at = now + REPORT_INTERVAL;
            let heard = self.listener.stats().into_iter();
            let heard = heard.map(|stats| (stats, self.paths_ms.get(&stats.source).copied())).collect();
            self.tell(FromAudio::Heard(heard));
            self.tell(FromAudio::Gaps(self.capture.gaps(), self.playback.gaps()));
        }
        Ok(())
    }

    /// Tells of gaps that have come to their end.
    fn tell_gaps(&mut self) {
        for (source, concealed_ms) in self.listener.concealed_ms() {
            let gap = self.gaps.entry(source).or_default();
            // A source that began anew has nothing behind it.
            let more_ms = (concealed_ms - gap.known_ms).max(0.0);
            gap.known_ms = concealed_ms;
            gap.open_ms += more_ms;
            if more_ms == 0.0 && gap.open_ms > 0.0 {
                let length = Duration::from_secs_f64(std::mem::take(&mut gap.open_ms) / 1_000.0);
                let _ = self.outbox.try_send(FromAudio::Gap(source, length));
            }
        }
    }

    /// Frames of another length begin between two.
    fn take_wanted(&mut self) {
        if self.wanted == self.frame {
            return;
        }
        if self.speaker.as_mut().is_some_and(|speaker| !speaker.set_frame(self.wanted)) {
            // The rate that was asked for does not fit such frames.
            self.wanted = self.frame;
            return;
        }
        (self.frame, self.codec.frame) = (self.wanted, self.wanted);
        self.captured.resize(self.frame.samples() * self.codec.channels.count(), 0.0);
    }

    fn speak(&mut self, now: Instant) {
        // Without the session's clock nobody could place the sound.
        let (Some(clock), Some(speaker)) = (self.clock, &mut self.speaker) else { return };
        let begun = self.due.checked_sub(self.frame.duration()).unwrap_or(self.due);
        let capture_time = CaptureTime(clock.ticks(begun));
        let (level, trees) = (Level::of(&self.captured), [TreeId(0)]);
        match self.floor.turn(level, now) {
            Turn::Speak { priority } => {
                speaker.set_priority(priority);
                let encoded = speaker.packet(&self.captured, capture_time, &trees, &mut self.packets);
                debug_assert_eq!(encoded, Ok(()), "exactly one frame is captured");
            }
            Turn::Hold { told: true } => speaker.hold(level, capture_time, &trees, &mut self.packets),
            Turn::Hold { told: false } => {}
        }
        if let Some(recorder) = self.recorder.as_mut().filter(|_| !self.packets.is_empty()) {
            let payload = Bytes::copy_from_slice(speaker.payload());
            recorder.frame(self.own.source, begun, 0, payload);
        }
        for packet in std::mem::take(&mut self.packets) {
            self.tell(FromAudio::Packet(packet));
        }
    }

    fn take_inbox(&mut self) -> Result<(), Over> {
        loop {
            match self.inbox.try_recv() {
                Ok(ToAudio::Packet(packet, at)) => {
                    if self.listener.take_digest(&packet, at) {
                        continue;
                    }
                    // What is refused is counted by the listener.
                    let Ok(heard) = self.listener.push(&packet, at) else { continue };
                    self.floor.on_frame(heard.source, heard.level, is_pause(&heard.payload), at);
                    if let Some(clock) = self.clock {
                        let since_capture = CaptureTime(clock.ticks(at)).ticks_since(heard.capture_time);
                        // From its end on: the speaker's frames need not be as long as the own ones, and clocks that
                        // agree within a few milliseconds make no way shorter than none.
                        let captured = payload_samples(&heard.payload).unwrap_or(0) as f64;
                        let path = ((f64::from(since_capture) - captured) / 48.0).max(0.0);
                        if let Some(recorder) = &mut self.recorder {
                            recorder.frame(heard.source, at, since_capture.into(), heard.payload);
                        }
                        let mean = self.paths_ms.entry(heard.source).or_insert(path);
                        *mean += (path - *mean) / PATH_SMOOTHING;
                    }
                }
                Ok(ToAudio::Source(source, keys, author)) => self.hear(source, &keys, author),
                Ok(ToAudio::Seal(key)) => self.seal_by(&key),
                Ok(ToAudio::RemoveSource(source)) => {
                    self.listener.remove_source(source);
                    self.floor.remove(source);
                    self.paths_ms.remove(&source);
                    self.gaps.remove(&source);
                    if let Some(recorder) = &mut self.recorder {
                        recorder.gone(source);
                    }
                }
                Ok(ToAudio::Clock(clock)) => self.clock = Some(clock),
                Ok(ToAudio::Constant(constant)) => {
                    self.codec.constant_rate = constant;
                    if let Some(speaker) = &mut self.speaker {
                        speaker.set_constant_rate(constant);
                    }
                }
                Ok(ToAudio::ExpectLoss(percent)) => {
                    if let Some(speaker) = &mut self.speaker {
                        speaker.set_loss_percent(percent.clamp(self.codec.loss_percent, LOSS_MAX));
                    }
                }
                Ok(ToAudio::Places(places)) => self.floor.set_places(places),
                Ok(ToAudio::Crowd(is_crowd)) => self.floor.set_crowd(is_crowd),
                Ok(ToAudio::Frame(frame)) => self.wanted = frame,
                Ok(ToAudio::Name(source, _, name)) => {
                    if let Some(recorder) = &mut self.recorder {
                        recorder.name(source, name);
                    }
                }
                Ok(ToAudio::Volume(source, volume)) => {
                    self.listener.set_volume(source, volume);
                }
                Ok(ToAudio::Mute(muted)) => {
                    if let Some(cue) = self.cue.as_mut().filter(|_| muted != self.muted) {
                        cue.start(!muted);
                    }
                    self.muted = muted;
                }
                Err(TryRecvError::Empty) => return Ok(()),
                Err(TryRecvError::Disconnected) => return Err(Over),
            }
        }
    }

    fn hear(&mut self, source: SourceIndex, keys: &[SenderKey], author: Author) {
        let Some(last) = keys.last() else { return };
        if !self.listener.set_keys(source, keys) {
            if let Err(error) = self.listener.add_source(source, last) {
                return self.tell(FromAudio::Trouble(error.to_string()));
            }
            self.listener.watch(source, author.node.0, author.salt);
            self.listener.set_keys(source, keys);
        }
    }

    fn seal_by(&mut self, key: &SenderKey) {
        if let Some(speaker) = &mut self.speaker {
            return speaker.set_key(key);
        }
        match Speaker::new(self.own.source, key, self.codec) {
            Ok(speaker) => {
                let mut speaker = speaker.vouched(key, self.own.salt, self.own.sign());
                // Pauses too, which the configuration alone does not fill.
                speaker.set_constant_rate(self.codec.constant_rate);
                self.speaker = Some(speaker);
            }
            Err(error) => self.tell(FromAudio::Trouble(error.to_string())),
        }
    }

    fn tell(&self, what: FromAudio) {
        // A driver that does not keep up loses the newest; it has lost more than that already.
        let _ = self.outbox.try_send(what);
    }
}

/// The most loss that the voice is prepared for, percent: beyond it the repeats would take the voice's own bits.
const LOSS_MAX: u8 = 30;

/// Said when parts of a recording are lost.
const BEHIND: &str = "the disk does not keep up: the recording has holes";

/// Packets over which the path's mean is taken, as RTP's jitter is (RFC 3550, section 6.4.1).
const PATH_SMOOTHING: f64 = 16.0;
