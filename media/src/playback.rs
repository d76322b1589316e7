//! One source's way from payloads to sound: jitter buffer, decoder, stretcher. Made when a source is first heard: in a large
//! session most never are.

use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::SAMPLE_RATE;
use crate::codec::{Channels, Decoder, FrameLength};
use crate::jitter::{FAR_TOO_DEEP_MS, JitterBuffer, JitterStats, Pull};
use crate::mixer::Mixer;
use crate::packet::CaptureTime;
use crate::stretch::Stretcher;

/// See the [module](self).
pub(crate) struct Playback {
    channels: usize,
    frame: FrameLength,
    jitter: JitterBuffer,
    decoder: Decoder,
    stretcher: Stretcher,
    /// What is being decoded, interleaved.
    piece: Vec<f32>,
    /// Decoded and not yet played, interleaved: less than one piece.
    ready: Vec<f32>,
}

impl Playback {
    /// Of a source whose packets hold `frame` each.
    pub(crate) fn new(channels: Channels, frame: FrameLength) -> Self {
        let piece_max = piece_max(frame) * channels.count();
        Self {
            channels: channels.count(),
            frame,
            jitter: JitterBuffer::new(frame),
            decoder: Decoder::new(channels),
            stretcher: Stretcher::new(channels),
            piece: Vec::with_capacity(piece_max),
            ready: Vec::with_capacity(2 * piece_max),
        }
    }

    /// Takes a payload of that length; another length than before begins anew.
    pub(crate) fn push(
        &mut self,
        frame: FrameLength,
        counter: u64,
        capture_time: CaptureTime,
        payload: Bytes,
        now: Instant,
    ) {
        if frame != self.frame {
            (self.frame, self.jitter) = (frame, JitterBuffer::new(frame));
        }
        self.jitter.push(counter, capture_time, payload, now);
    }

    /// See [`JitterBuffer::push_again`].
    pub(crate) fn push_again(&mut self, capture_time: CaptureTime, now: Instant) {
        self.jitter.push_again(capture_time, now);
    }

    /// Adds what is to be played from `now` on to `out`, `volume` times as loud as it was said.
    pub(crate) fn pull(&mut self, now: Instant, volume: f32, out: &mut [f32]) {
        while self.ready.len() < out.len() {
            if self.jitter.is_at_rest() {
                self.jitter.rest((out.len() - self.ready.len()) / self.channels);
                break;
            }
            // A piece that is pulled ahead is played after what is ready.
            let samples = self.ready.len() / self.channels;
            let ahead = Duration::from_secs_f64(samples as f64 / f64::from(SAMPLE_RATE));
            self.decode_next(now, ahead);
        }
        let played = self.ready.len().min(out.len());
        self.ready[..played].iter_mut().for_each(|sample| *sample *= volume);
        Mixer::add(out, &self.ready[..played]);
        self.ready.drain(..played);
    }

    /// What the buffer did.
    pub(crate) fn stats(&self) -> JitterStats {
        self.jitter.stats()
    }

    /// [`JitterStats::concealed_ms`] alone.
    pub(crate) fn concealed_ms(&self) -> f64 {
        self.jitter.concealed_ms()
    }

    /// Appends a piece of at least one sample to what is ready.
    fn decode_next(&mut self, now: Instant, ahead: Duration) {
        let (channels, piece, decoder) = (self.channels, &mut self.piece, &mut self.decoder);
        let samples = self.frame.samples();
        piece.clear();
        match self.jitter.pull(now, ahead) {
            Pull::Frame(payload, change_ms) => {
                decode(decoder, &payload, add(piece, samples * channels));
                let wanted = (change_ms.abs() * f64::from(SAMPLE_RATE) / 1_000.0) as usize;
                if change_ms > 0.0 {
                    self.stretcher.lengthen(piece, wanted);
                } else if wanted >= Stretcher::CHANGE_MIN {
                    let is_far = change_ms < -FAR_TOO_DEEP_MS;
                    let least = match samples {
                        _ if is_far => Stretcher::HALVE_MIN.max(2 * samples),
                        ..SHORT => Stretcher::SHORTEN_MIN,
                        _ => samples,
                    };
                    while piece.len() < least * channels
                        && let Some(payload) = self.jitter.take_following()
                    {
                        decode(decoder, &payload, add(piece, samples * channels));
                    }
                    if is_far && piece.len() >= least * channels {
                        self.stretcher.halve(piece);
                    } else {
                        self.stretcher.shorten(piece, wanted);
                    }
                }
            }
            Pull::Recover(next) => decoder.recover(&next, add(piece, samples * channels)),
            Pull::Conceal(samples) | Pull::Pause(samples) => decoder.conceal(add(piece, samples * channels)),
            Pull::Silence(samples) => add(piece, samples * channels).fill(0.0),
        }
        self.stretcher.on_played(piece);
        self.ready.extend_from_slice(piece);
    }
}

/// Frames of fewer samples of each channel are too short to find a period in.
const SHORT: usize = Stretcher::SHORTEN_MIN / 2;

/// Samples of each channel in the longest piece: as many frames as are to be played in half their time. Whoever is in a large session
/// keeps hundreds of these.
fn piece_max(frame: FrameLength) -> usize {
    (2 * frame.samples()).max(Stretcher::HALVE_MIN + frame.samples())
}

/// So many samples more at the end of a piece.
fn add(piece: &mut Vec<f32>, samples: usize) -> &mut [f32] {
    let begun = piece.len();
    piece.resize(begun + samples, 0.0);
    &mut piece[begun..]
}

fn decode(decoder: &mut Decoder, payload: &[u8], pcm: &mut [f32]) {
    // A payload whose length fits but whose content does not decode comes from a broken sender.
    if decoder.decode(payload, pcm).is_err() {
        decoder.conceal(pcm);
    }
}
