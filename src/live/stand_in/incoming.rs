//! What comes from there: where its frames stand in the session's time, how loud they are, and how much of them is taken.

use std::time::{Duration, Instant};

use alm_media::{
    CaptureTime, Channels, Decoder, FRAME_SAMPLES_MAX, FrameLength, Level, PAYLOAD_MAX, payload_samples,
};

use super::Spoken;

/// How many samples a payload holds, if it is one that members take.
pub(super) fn frame_samples(payload: &[u8]) -> Option<usize> {
    let samples = payload_samples(payload).filter(|_| payload.len() <= PAYLOAD_MAX)?;
    FrameLength::from_micros(samples as u64 * 1_000 / 48).map(|frame| frame.samples())
}

/// Where a frame stands in the sender's time and in the session's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Placed {
    pub(super) timestamp: u32,
    pub(super) capture_time: CaptureTime,
}

impl Placed {
    /// Where the frame of `timestamp` stands, which seems to have been captured at `begun` by its arrival: as far behind
    /// this one as the sender says, and a little nearer to what arrivals say, so that two clocks do not drift apart.
    pub(super) fn next(self, timestamp: u32, begun: CaptureTime) -> Self {
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
pub(super) struct Allowance {
    /// Spent and not yet forgiven, bytes.
    spent: f64,
    at: Option<Instant>,
}

impl Allowance {
    pub(super) fn grants(&mut self, bytes: usize, now: Instant) -> bool {
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
pub(super) struct Meter {
    decoder: Option<Decoder>,
    pcm: Vec<f32>,
}

impl Meter {
    pub(super) fn level(&mut self, spoken: &Spoken, samples: usize) -> Level {
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

/// A frame that stands further than that from where its arrival puts it is placed anew, ticks: 200 ms.
const OFF_MAX: u32 = 9_600;
/// Bytes a second, what a packet costs beside its payload included: 256 kbit/s in frames of 20 ms, and a quarter to spare.
const RATE_MAX: f64 = 40_000.0 + 50.0 * PACKET_COST as f64;
/// So much at once, after a stall.
const BURST: Duration = Duration::from_millis(1_000);
/// Headers on the wire, bytes.
const PACKET_COST: usize = 90;

#[cfg(test)]
mod tests {
    use super::*;

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
