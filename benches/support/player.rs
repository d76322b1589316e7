//! Plays what has arrived from the jitter buffer, as a sound card would ask for it.

use std::time::{Duration, Instant};

use alm_media::{CaptureTime, FAR_TOO_DEEP_MS, FrameLength, JitterBuffer, Pull};

pub const FRAME_MS: f64 = 20.0;
/// What one stretched frame gains or loses at most: the period of a voice.
pub const STRETCH_MS: f64 = 5.0;
/// What the player draws at a time.
const TICK_MS: f64 = 5.0;

/// Plays packets, each of which came at a time and has a number, until a time, all in ms from `begin`. Hands out all that
/// is pulled: when the player drew it, when it is played, and what it is; of a frame, which packet's it is.
pub fn play(
    mut arrivals: Vec<(f64, u32)>,
    until_ms: f64,
    begin: Instant,
    mut each: impl FnMut(f64, f64, &Pull, Option<u32>),
) {
    arrivals.sort_by(|one, other| one.0.total_cmp(&other.0));
    let mut arrivals = arrivals.into_iter().peekable();
    let at = |ms: f64| begin + Duration::from_secs_f64(ms / 1_000.0);
    let mut buffer = JitterBuffer::new(FrameLength::MS_20);
    // The player draws 5 ms at a time and pulls when it has less than that.
    let (mut tick_ms, mut ready_ms) = (3.0, 0.0);
    while tick_ms < until_ms {
        while let Some((ms, packet)) = arrivals.next_if(|arrival| arrival.0 <= tick_ms) {
            let payload = [&[8, 0][..], &packet.to_be_bytes()].concat();
            buffer.push(packet.into(), CaptureTime(packet.wrapping_mul(960)), payload.into(), at(ms));
        }
        while ready_ms < TICK_MS {
            let (played_ms, ahead) = (tick_ms + ready_ms, Duration::from_secs_f64(ready_ms / 1_000.0));
            let pull = buffer.pull(at(tick_ms), ahead);
            let packet = match &pull {
                Pull::Frame(payload, _) => payload.last_chunk().map(|number| u32::from_be_bytes(*number)),
                _ => None,
            };
            each(tick_ms, played_ms, &pull, packet);
            if matches!(pull, Pull::Frame(_, change_ms) if change_ms < -FAR_TOO_DEEP_MS)
                && buffer.take_following().is_some()
            {
                // Two in the time of one.
                ready_ms += FRAME_MS;
                continue;
            }
            ready_ms += match pull {
                Pull::Frame(_, change_ms) => FRAME_MS + change_ms.clamp(-STRETCH_MS, STRETCH_MS),
                Pull::Recover(_) => FRAME_MS,
                Pull::Conceal(samples) | Pull::Silence(samples) | Pull::Pause(samples) => {
                    samples as f64 / 48.0
                }
            };
        }
        ready_ms -= TICK_MS;
        tick_ms += TICK_MS;
    }
}
