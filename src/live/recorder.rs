//! A recording beside the call: a thread of its own writes, so that a slow disk holds up nobody; one that fails ends the
//! recording and nothing else.

use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Instant;

use alm_media::{RecordError, Recording, SourceIndex};
use bytes::Bytes;

/// What goes to the disk.
enum Part {
    Name(SourceIndex, String),
    /// When it was captured, in samples since the recording began.
    Frame(SourceIndex, i64, Bytes),
    Gone(SourceIndex),
    Now(i64),
}

/// Parts that wait for the disk: some three seconds of fifty voices.
const QUEUE_MAX: usize = 8_192;

/// The call's end of it; dropping it completes the files.
pub(super) struct Recorder {
    parts: Option<SyncSender<Part>>,
    thread: Option<JoinHandle<()>>,
    began: Instant,
    is_behind: bool,
}

impl Recorder {
    /// The recording's time is counted from `now` on. What becomes of it that somebody should know goes to `tell`.
    pub(super) fn start(
        recording: Recording,
        now: Instant,
        tell: impl FnOnce(String) + Send + 'static,
    ) -> Self {
        let (parts, waiting) = sync_channel(QUEUE_MAX);
        let thread = std::thread::spawn(move || {
            if let Err(error) = write(recording, &waiting) {
                tell(format!("nothing more is recorded: {error}"));
            }
        });
        Self { parts: Some(parts), thread: Some(thread), began: now, is_behind: false }
    }

    /// What a source calls itself.
    pub(super) fn name(&mut self, source: SourceIndex, name: String) {
        self.put(Part::Name(source, name));
    }

    /// A frame that `source` captured so many samples before `now`.
    pub(super) fn frame(&mut self, source: SourceIndex, now: Instant, since_capture: i64, payload: Bytes) {
        self.put(Part::Frame(source, self.position(now) - since_capture, payload));
    }

    /// A source says nothing more.
    pub(super) fn gone(&mut self, source: SourceIndex) {
        self.put(Part::Gone(source));
    }

    /// It is `now`; true once when parts were lost because the disk does not keep up.
    pub(super) fn tick(&mut self, now: Instant) -> bool {
        let was_behind = self.is_behind;
        self.put(Part::Now(self.position(now)));
        self.is_behind && !was_behind
    }

    fn position(&self, now: Instant) -> i64 {
        (now.saturating_duration_since(self.began).as_micros() * 48 / 1_000) as i64
    }

    fn put(&mut self, part: Part) {
        let Some(parts) = &self.parts else { return };
        match parts.try_send(part) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => self.is_behind = true,
            // It has failed, and said so.
            Err(TrySendError::Disconnected(_)) => self.parts = None,
        }
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.parts = None;
        if let Some(thread) = self.thread.take() {
            // A panic there has been printed already.
            let _ = thread.join();
        }
    }
}

fn write(mut recording: Recording, waiting: &Receiver<Part>) -> Result<(), RecordError> {
    while let Ok(part) = waiting.recv() {
        match part {
            Part::Name(source, name) => recording.name(source, &name),
            Part::Frame(source, at, payload) => recording.frame(source, at, payload),
            Part::Gone(source) => recording.leave(source)?,
            Part::Now(now) => recording.advance(now)?,
        }
    }
    recording.finish()
}
